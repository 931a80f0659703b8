// From what a device recorded to bars on lanes.

import { bytes, count, duration } from "../format";
import type { Report, TraceSpan } from "../endpoint/types";

export const LANES = ["Device", "Drafter", "Link", "Cloud"] as const;
export type Lane = (typeof LANES)[number];

/** A bar; times in milliseconds from the request's start. */
export interface Bar {
  lane: Lane;
  kind: "shallow" | "judged" | "drafted" | "link" | "queue" | "compute";
  start: number;
  end: number;
  title: string;
}

export interface Timeline {
  bars: Bar[];
  end: number;
  /** Each round after the prompt, from one judgement to the next. */
  rounds: { start: number; end: number }[];
}

export function timeline(report: Report): Timeline {
  const bars: Bar[] = [];
  const judgements: number[] = [];
  const underWay: TraceSpan[] = [];
  for (const span of report.waterfall) {
    switch (span.kind) {
      case "shallow":
        bars.push(bar("Device", "shallow", span, `first layers, ${count(span.rows ?? 0, "row")}`));
        break;
      case "judged":
        bars.push(bar("Device", "judged", span, `last layers and head, ${count(span.tokens ?? 0, "token")} confirmed`));
        judgements.push(span.end_ms);
        break;
      case "drafted":
        bars.push(bar("Drafter", "drafted", span, span.branches ? `${count(span.branches, "continuation")} beside the round` : "one draft step"));
        break;
      case "sent":
        underWay.push(span);
        break;
      case "answered": {
        const sent = takeSent(underWay, span);
        if (sent) bars.push(...roundTrip(sent, span));
        break;
      }
    }
  }
  const rounds = judgements.slice(1).map((end, index) => ({ start: judgements[index] ?? 0, end }));
  return { bars, end: Math.max(1e-3, ...bars.map((each) => each.end)), rounds };
}

/** The message that was answered. Those sent before it were abandoned, since answers come in order; so were earlier ones of its position. */
function takeSent(underWay: TraceSpan[], answered: TraceSpan): TraceSpan | undefined {
  const index = underWay.findLastIndex((sent) => sent.pos === answered.pos);
  return index < 0 ? undefined : underWay.splice(0, index + 1).at(-1);
}

/** The cloud tells how long it waited and computed, not when: its share is drawn in the middle of the round trip. */
function roundTrip(sent: TraceSpan, answered: TraceSpan): Bar[] {
  const start = sent.start_ms;
  const end = Math.max(start, answered.end_ms);
  const queue = answered.queue_ms ?? 0;
  const compute = answered.compute_ms ?? 0;
  const arrived = start + Math.max(0, end - start - queue - compute) / 2;
  const size = sent.bytes ? `, ${bytes(sent.bytes)} up` : "";
  return [
    { lane: "Link", kind: "link", start, end, title: `${count(sent.rows ?? 0, "row")} on the way${size}: ${duration(end - start)}` },
    { lane: "Cloud", kind: "queue", start: arrived, end: arrived + queue, title: `waited in the cloud: ${duration(queue)}` },
    { lane: "Cloud", kind: "compute", start: arrived + queue, end: arrived + queue + compute, title: `middle layers: ${duration(compute)}` },
  ];
}

function bar(lane: Lane, kind: Bar["kind"], span: TraceSpan, what: string): Bar {
  return { lane, kind, start: span.start_ms, end: span.end_ms, title: `${what}: ${duration(span.end_ms - span.start_ms)}` };
}

/** Four to eight round marks from `start` to `end`. */
export function ticks(start: number, end: number): number[] {
  const rough = (end - start) / 5;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((candidate) => candidate >= rough) ?? power;
  const marks: number[] = [];
  for (let mark = Math.ceil(start / step) * step; mark <= end; mark += step) marks.push(mark);
  return marks;
}
