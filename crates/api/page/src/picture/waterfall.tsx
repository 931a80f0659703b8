import { useComputed, useSignal } from "@preact/signals";
import { useMemo } from "preact/hooks";
import type { Report } from "../endpoint/types";
import { duration, mark } from "../format";
import { Icon } from "../icon";
import { LANES, type Timeline, ticks, timeline } from "./timeline";
import { useWidth } from "./width";

type View = "first" | "round" | "all";

const LEGEND = [
  ["shallow", "first layers"],
  ["judged", "last layers"],
  ["link", "on the link"],
  ["queue", "waiting"],
  ["compute", "middle layers"],
] as const;

const LEFT = 58;
const LANE = 26;
const BAR = 16;
const TOP = 6;
const AXIS = 22;

/** Where a request's time went. */
export function Waterfall({ report }: { report: Report }) {
  const line = useMemo(() => timeline(report), [report]);
  const view = useSignal<View>("first");
  const round = useSignal(0);
  const range = useComputed(() => {
    if (view.value === "first") return { start: 0, end: Math.min(line.end, report.ttft_ms * 1.06) };
    const chosen = line.rounds[round.value];
    if (view.value === "round" && chosen) {
      const margin = (chosen.end - chosen.start) * 0.04;
      return { start: Math.max(0, chosen.start - margin), end: chosen.end + margin };
    }
    return { start: 0, end: line.end };
  });
  if (line.bars.length === 0) return null;

  const tab = (name: View, label: string) => (
    <button type="button" aria-pressed={view.value === name} onClick={() => (view.value = name)}>
      {label}
    </button>
  );
  const step = (by: number) => (round.value = Math.min(line.rounds.length - 1, Math.max(0, round.value + by)));
  return (
    <section class="card">
      <h3>Where the time went</h3>
      <div class="controls">
        <div class="segments" role="group" aria-label="Part of the request">
          {tab("first", "To first token")}
          {line.rounds.length > 0 && tab("round", "One round")}
          {tab("all", "All")}
        </div>
        {view.value === "round" && (
          <div class="stepper">
            <button type="button" class="quiet icon-only" aria-label="Earlier round" disabled={round.value === 0} onClick={() => step(-1)}>
              <Icon name="left" />
            </button>
            <span>
              {round.value + 1} of {line.rounds.length}
            </span>
            <button
              type="button"
              class="quiet icon-only"
              aria-label="Later round"
              disabled={round.value >= line.rounds.length - 1}
              onClick={() => step(1)}
            >
              <Icon name="right" />
            </button>
          </div>
        )}
      </div>
      <Chart line={line} start={range.value.start} end={range.value.end} />
      <p class="legend">
        {LEGEND.map(([kind, label]) => (
          <span key={kind}>
            <i class={`swatch ${kind}`} /> {label}
          </span>
        ))}
      </p>
    </section>
  );
}

function Chart({ line, start, end }: { line: Timeline; start: number; end: number }) {
  const [ref, width] = useWidth();
  const right = width - 8;
  const x = (time: number) => LEFT + ((Math.min(end, Math.max(start, time)) - start) / (end - start)) * (right - LEFT);
  const height = TOP + LANES.length * LANE + AXIS;
  const shown = line.bars.filter((bar) => bar.end >= start && bar.start <= end && bar.end > bar.start);
  return (
    <div ref={ref}>
      {width > 0 && (
        <svg class="waterfall" width={width} height={height} role="img" aria-label={`From ${duration(start)} to ${duration(end)}`}>
          {ticks(start, end).map((time) => (
            <g key={time} class="tick">
              <line x1={x(time)} x2={x(time)} y1={TOP} y2={height - AXIS} />
              <text x={x(time)} y={height - 6} text-anchor={x(time) > right - 20 ? "end" : "middle"}>
                {mark(time)}
              </text>
            </g>
          ))}
          {LANES.map((lane, index) => (
            <g key={lane}>
              <text class="lane" x={0} y={TOP + index * LANE + LANE / 2 + 4}>
                {lane}
              </text>
              {shown
                .filter((bar) => bar.lane === lane)
                .map((bar, at) => (
                  <rect
                    key={at}
                    class={bar.kind}
                    x={x(bar.start)}
                    y={TOP + index * LANE + (LANE - BAR) / 2}
                    // What lasts less than a pixel is still seen.
                    width={Math.max(1, x(bar.end) - x(bar.start))}
                    height={BAR}
                    rx={Math.min(2, (x(bar.end) - x(bar.start)) / 2)}
                  >
                    <title>{bar.title}</title>
                  </rect>
                ))}
            </g>
          ))}
        </svg>
      )}
    </div>
  );
}
