// What a conversation is made of. It lives in this tab's memory and nowhere else.

import type { Signal } from "@preact/signals";
import type { Failure } from "../endpoint/failure";
import type { Report } from "../endpoint/types";

/** Where a token came from: drafted on the device and accepted, or the whole model's own. `unknown` without the endpoint's extension. */
export type Origin = "drafted" | "own" | "unknown";

export interface Piece {
  text: string;
  origin: Origin;
}

/** Tokens that one round trip to the cloud brought. */
export interface Round {
  drafted: number;
  own: number;
}

export interface Answer {
  state: "waiting" | "streaming" | "done" | "stopped" | "failed";
  pieces: Piece[];
  rounds: Round[];
  bytesUp: number;
  bytesDown: number;
  /** Milliseconds from the request to its first text: the device's own figure once it has come, this page's until then. */
  firstTokenMs: number | undefined;
  elapsedMs: number;
  promptTokens: number | undefined;
  tokens: number | undefined;
  finish: string | undefined;
  report: Report | undefined;
  failure: Failure | undefined;
}

export interface Exchange {
  id: number;
  question: string;
  answer: Signal<Answer>;
}

export function emptyAnswer(): Answer {
  return {
    state: "waiting",
    pieces: [],
    rounds: [],
    bytesUp: 0,
    bytesDown: 0,
    firstTokenMs: undefined,
    elapsedMs: 0,
    promptTokens: undefined,
    tokens: undefined,
    finish: undefined,
    report: undefined,
    failure: undefined,
  };
}

export function textOf(answer: Answer): string {
  return answer.pieces.map((piece) => piece.text).join("");
}
