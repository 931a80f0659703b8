import { useEffect, useRef } from "preact/hooks";
import { announcement, exchanges } from "../conversation/state";
import { AnswerView } from "./answer";
import { Composer } from "./composer";
import { Welcome } from "./welcome";

/** A reader within so many pixels of the end is taken along as text comes. */
const NEAR_END = 80;

export function Chat() {
  const log = useRef<HTMLDivElement>(null);
  const following = useRef(true);
  const lastTop = useRef(0);

  const content = useRef<HTMLDivElement>(null);

  useEffect(() => {
    if (!content.current) return undefined;
    const observer = new ResizeObserver(() => {
      if (following.current) log.current?.scrollTo({ top: log.current.scrollHeight });
    });
    observer.observe(content.current);
    return () => observer.disconnect();
  }, []);

  // A new question is always looked at.
  const last = exchanges.value.at(-1)?.id;
  useEffect(() => {
    following.current = last !== undefined;
  }, [last]);

  const onScroll = () => {
    const element = log.current;
    if (!element) return;
    const top = element.scrollTop;
    // Text that came since is no sign that the reader has left the end; going up is.
    if (element.scrollHeight - top - element.clientHeight < NEAR_END) following.current = true;
    else if (top < lastTop.current) following.current = false;
    lastTop.current = top;
  };

  return (
    <main class="chat">
      <div class="transcript" ref={log} onScroll={onScroll} tabIndex={0} role="region" aria-label="Conversation">
        <div ref={content}>
          {exchanges.value.length === 0 && <Welcome />}
          {exchanges.value.map((exchange) => (
            <article class="exchange" key={exchange.id}>
              <p class="question">
                <span class="unseen">You: </span>
                {exchange.question}
              </p>
              <AnswerView exchange={exchange} />
            </article>
          ))}
        </div>
      </div>
      <Composer />
      <p class="unseen" role="status" aria-live="polite">
        {announcement.value}
      </p>
    </main>
  );
}
