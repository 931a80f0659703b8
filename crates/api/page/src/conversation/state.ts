// The conversation on the screen, and what can be done with it.

import { computed, signal } from "@preact/signals";
import { complete } from "../endpoint/chat";
import { explain } from "../endpoint/failure";
import { ask, model } from "../endpoint/service";
import type { ChatMessage, Settings } from "../endpoint/types";
import { absorb } from "./absorb";
import { type Answer, type Exchange, emptyAnswer, textOf } from "./model";

export const exchanges = signal<Exchange[]>([]);
export const settings = signal<Settings>({ system: "", temperature: 0.7, maxTokens: 256 });
/** Whether an answer's tokens are coloured by where they came from. */
export const marked = signal(true);
/** The token of the pictured answer that the wire view points at. */
export const pointed = signal<number | undefined>(undefined);
/** What a narrow screen shows; a wide one shows both. */
export const view = signal<"chat" | "picture">("chat");
/** What a screen reader is told. */
export const announcement = signal("");

const chosen = signal<number | undefined>(undefined);
let stopper: AbortController | undefined;
let nextId = 1;

/** The exchange that the picture shows: the chosen one, else the last. */
export const pictured = computed<Exchange | undefined>(
  () => exchanges.value.find((exchange) => exchange.id === chosen.value) ?? exchanges.value.at(-1),
);
export const busy = computed(() => {
  const state = exchanges.value.at(-1)?.answer.value.state;
  return state === "waiting" || state === "streaming";
});

/** Shows an exchange's picture. */
export function choose(id: number): void {
  chosen.value = id;
  view.value = "picture";
  pointed.value = undefined;
}

export function stop(): void {
  stopper?.abort();
}

export function newChat(): void {
  stop();
  exchanges.value = [];
  chosen.value = undefined;
  pointed.value = undefined;
  announcement.value = "New chat.";
}

/** Sends the last question again, after a failure. */
export function retry(): void {
  const last = exchanges.value.at(-1);
  if (!last || busy.value) return;
  exchanges.value = exchanges.value.slice(0, -1);
  void send(last.question);
}

export async function send(question: string): Promise<void> {
  if (busy.value) return;
  const messages = history(question);
  const answer = signal<Answer>(emptyAnswer());
  exchanges.value = [...exchanges.value, { id: nextId++, question, answer }];
  chosen.value = undefined;
  pointed.value = undefined;
  announcement.value = "Answering.";
  const abort = new AbortController();
  stopper = abort;
  const screen = new Screen((next) => (answer.value = next), answer.value);
  try {
    if (model.value === "") await ask();
    const sent = performance.now();
    for await (const chunk of complete(model.value, messages, settings.value, abort.signal)) {
      screen.set(absorb(screen.latest, chunk, performance.now() - sent));
    }
    screen.end({ ...screen.latest, state: "done" });
    announcement.value = textOf(answer.value);
  } catch (error) {
    if (abort.signal.aborted) {
      screen.end({ ...screen.latest, state: "stopped" });
      announcement.value = "Stopped.";
    } else {
      screen.end({ ...screen.latest, state: "failed", failure: explain(error) });
      announcement.value = "";
      void ask();
    }
  }
}

/** Earlier answers that failed are left out, with their questions. */
function history(question: string): ChatMessage[] {
  const messages: ChatMessage[] = [];
  const system = settings.value.system.trim();
  if (system !== "") messages.push({ role: "system", content: system });
  for (const exchange of exchanges.value) {
    const answer = exchange.answer.value;
    if (answer.pieces.length === 0 || answer.state === "failed") continue;
    messages.push({ role: "user", content: exchange.question }, { role: "assistant", content: textOf(answer) });
  }
  messages.push({ role: "user", content: question });
  return messages;
}

/** Shows an answer at most once a frame: chunks may come faster than a screen can change. */
class Screen {
  private frame: number | undefined;

  constructor(
    private readonly show: (answer: Answer) => void,
    public latest: Answer,
  ) {}

  set(answer: Answer): void {
    this.latest = answer;
    this.frame ??= requestAnimationFrame(() => {
      this.frame = undefined;
      this.show(this.latest);
    });
  }

  end(answer: Answer): void {
    if (this.frame !== undefined) cancelAnimationFrame(this.frame);
    this.latest = answer;
    this.show(answer);
  }
}
