import { useSignal } from "@preact/signals";
import { memo } from "./memo";
import { type Answer, type Exchange, type Piece, textOf } from "../conversation/model";
import { choose, exchanges, marked, pictured, pointed, retry } from "../conversation/state";
import { count } from "../format";
import { Icon } from "../icon";

export function AnswerView({ exchange }: { exchange: Exchange }) {
  const answer = exchange.answer.value;
  const isPictured = pictured.value?.id === exchange.id;
  const waiting = answer.state === "waiting";
  return (
    <div class="answer" data-marked={marked.value} aria-busy={waiting || answer.state === "streaming"}>
      <span class="unseen">Answer: </span>
      {waiting && (
        <p class="waiting">
          <i />
          <i />
          <i />
          <span>reading the prompt</span>
        </p>
      )}
      {answer.pieces.length > 0 && <Text answer={answer} pointed={isPictured ? pointed.value : undefined} />}
      {answer.failure && (
        <div class="failure" role="alert">
          <strong>{answer.failure.title}</strong>
          <p>{answer.failure.detail}</p>
          {answer.failure.retry && exchanges.value.at(-1) === exchange && (
            <button type="button" onClick={retry}>
              Try again
            </button>
          )}
        </div>
      )}
      {(answer.state === "done" || answer.state === "stopped") && <Footer exchange={exchange} answer={answer} isPictured={isPictured} />}
    </div>
  );
}

function Text({ answer, pointed: index }: { answer: Answer; pointed: number | undefined }) {
  return (
    <p class="text">
      {answer.pieces.map((piece, at) => (
        <Token key={at} piece={piece} pointed={at === index} />
      ))}
      {answer.state === "streaming" && <span class="caret" />}
    </p>
  );
}

const Token = memo(({ piece, pointed: isPointed }: { piece: Piece; pointed: boolean }) => (
  <span class={`token ${piece.origin}${isPointed ? " pointed" : ""}`}>{piece.text}</span>
));

function Footer({ exchange, answer, isPictured }: { exchange: Exchange; answer: Answer; isPictured: boolean }) {
  return (
    <p class="footer">
      {answer.state === "stopped" && <span class="tag">stopped</span>}
      {answer.finish === "length" && <span class="tag">token limit reached</span>}
      {answer.report?.offline && <span class="tag warn">answered offline, by the drafter alone</span>}
      <Origins answer={answer} />
      <Copy text={textOf(answer)} />
      <button type="button" class={`quiet${isPictured ? " beside" : ""}`} onClick={() => choose(exchange.id)}>
        <Icon name="picture" />
        <span>Show its picture</span>
      </button>
    </p>
  );
}

/** The answer's tokens by where they came from, which is the legend of its colours too. */
function Origins({ answer }: { answer: Answer }) {
  const drafted = answer.rounds.reduce((sum, round) => sum + round.drafted, 0);
  const own = answer.rounds.reduce((sum, round) => sum + round.own, 0);
  if (drafted + own === 0) return answer.tokens === undefined ? null : <span>{count(answer.tokens, "token")}</span>;
  return (
    <>
      <span>{count(drafted + own, "token")}:</span>
      <span class="token drafted">{drafted} drafted here</span>
      <span class="token own">{own} the model's own</span>
    </>
  );
}

function Copy({ text }: { text: string }) {
  const copied = useSignal(false);
  // Browsers offer the clipboard to pages of this machine and to https only.
  if (!window.isSecureContext) return null;
  const copy = async () => {
    await navigator.clipboard.writeText(text);
    copied.value = true;
    setTimeout(() => (copied.value = false), 1500);
  };
  return (
    <button type="button" class="quiet" onClick={() => void copy().catch(() => undefined)}>
      <Icon name={copied.value ? "check" : "copy"} />
      <span>{copied.value ? "Copied" : "Copy"}</span>
    </button>
  );
}
