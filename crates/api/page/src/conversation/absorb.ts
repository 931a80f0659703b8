// How a streamed chunk changes an answer.

import type { Chunk, Report, TracedToken } from "../endpoint/types";
import type { Answer, Piece, Round } from "./model";

/** The answer after `chunk`, which came `elapsedMs` after the request was sent. */
export function absorb(answer: Answer, chunk: Chunk, elapsedMs: number): Answer {
  const choice = chunk.choices[0];
  const content = choice?.delta?.content ?? "";
  const traced = chunk.tricorn?.tokens ?? [];
  // Before its first round the device tells no time.
  const next: Answer = { ...answer, elapsedMs: chunk.tricorn?.elapsed_ms || elapsedMs };
  if (content !== "" || traced.length > 0) {
    next.state = "streaming";
    next.firstTokenMs ??= next.elapsedMs;
    next.pieces = [...answer.pieces, ...pieces(content, traced)];
    next.rounds = rounds(answer.rounds, traced);
  }
  if (choice?.finish_reason) next.finish = choice.finish_reason;
  if (chunk.usage) {
    next.promptTokens = chunk.usage.prompt_tokens;
    next.tokens = chunk.usage.completion_tokens;
  }
  if (chunk.tricorn?.bytes_up !== undefined) next.bytesUp = chunk.tricorn.bytes_up;
  if (chunk.tricorn?.bytes_down !== undefined) next.bytesDown = chunk.tricorn.bytes_down;
  if (chunk.tricorn?.rounds !== undefined) {
    const report = chunk.tricorn as Report;
    next.report = report;
    next.firstTokenMs = report.ttft_ms;
  }
  return next;
}

/** A chunk's text by tokens where they make it up, and as one piece where they do not: a stop text may have cut the last. */
function pieces(content: string, traced: TracedToken[]): Piece[] {
  if (traced.map((token) => token.text).join("") === content) {
    return traced.map((token) => ({ text: token.text, origin: token.drafted ? "drafted" : "own" }));
  }
  const [first] = traced;
  const alike = first !== undefined && traced.every((token) => token.drafted === first.drafted);
  return [{ text: content, origin: alike ? (first.drafted ? "drafted" : "own") : "unknown" }];
}

/** A round ends with the model's own token, behind the drafts that it accepted. */
function rounds(before: Round[], traced: TracedToken[]): Round[] {
  const after = [...before];
  for (const token of traced) {
    let last = after.at(-1);
    if (last === undefined || last.own > 0) {
      last = { drafted: 0, own: 0 };
      after.push(last);
    } else {
      last = { ...last };
      after[after.length - 1] = last;
    }
    if (token.drafted) last.drafted += 1;
    else last.own += 1;
  }
  return after;
}
