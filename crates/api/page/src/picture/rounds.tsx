import type { Round } from "../conversation/model";
import { count } from "../format";
import { useWidth } from "./width";

/** Of a square with the gap after it. Columns get narrower before they need a second line. */
const WIDEST = 11;
const NARROWEST = 5;
const GAP = 2;
const CELL = WIDEST - GAP;

/** One column a round trip: accepted drafts, and the model's own token on top of them. */
export function Rounds({ rounds }: { rounds: Round[] }) {
  const [ref, width] = useWidth();
  const step = Math.min(WIDEST, Math.max(NARROWEST, Math.floor(width / rounds.length)));
  const columns = Math.max(1, Math.floor(width / step));
  const tallest = Math.max(...rounds.map((round) => round.drafted + round.own));
  const lineHeight = tallest * (CELL + GAP) + 6;
  const lines = Math.ceil(rounds.length / columns);
  const drafted: string[] = [];
  const own: string[] = [];
  rounds.forEach((round, index) => {
    const x = (index % columns) * step;
    const base = (Math.floor(index / columns) + 1) * lineHeight - 6;
    for (let cell = 0; cell < round.drafted + round.own; cell += 1) {
      const square = `M${x} ${base - cell * (CELL + GAP)}h${step - GAP}v-${CELL}h-${step - GAP}z`;
      (cell < round.drafted ? drafted : own).push(square);
    }
  });
  const total = rounds.reduce((sum, round) => sum + round.drafted, 0);
  return (
    <section class="card">
      <h3>Tokens by round trip</h3>
      <p class="legend">
        <span>
          <i class="swatch drafted" /> drafted here, accepted
        </span>
        <span>
          <i class="swatch own" /> the whole model's own
        </span>
      </p>
      <div ref={ref}>
        <svg
          class="rounds"
          width={width}
          height={lines * lineHeight}
          role="img"
          aria-label={`${count(rounds.length, "round trip")}, ${count(total, "accepted draft")}`}
        >
          <path class="drafted" d={drafted.join("")} />
          <path class="own" d={own.join("")} />
        </svg>
      </div>
    </section>
  );
}
