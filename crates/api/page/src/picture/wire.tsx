import { useSignal } from "@preact/signals";
import type { Answer } from "../conversation/model";
import { pointed } from "../conversation/state";
import type { Report, WireSample } from "../endpoint/types";
import { bytes } from "../format";
import { halfHex } from "./half";

/** What a listener on the link sees of a request, beside what the screen shows. */
export function Wire({ answer, report }: { answer: Answer; report: Report }) {
  const open = useSignal<number | undefined>(undefined);
  if (report.wire.length === 0) return null;
  return (
    <section class="card wire">
      <h3>What a listener would see</h3>
      <p class="about">
        Each message's first row of hidden states, as 16-bit numbers, beside the token that it stands for.
      </p>
      <div class="wire-head" aria-hidden="true">
        <span>Your screen</span>
        <span>The link</span>
      </div>
      <ul>
        {report.wire.map((sample, index) => {
          const token = tokenAt(report.wire, index, answer, report);
          const isOpen = open.value === index;
          return (
            <li key={index} onMouseEnter={() => (pointed.value = token.index)} onMouseLeave={() => (pointed.value = undefined)}>
              <button
                type="button"
                aria-expanded={isOpen}
                onFocus={() => (pointed.value = token.index)}
                onBlur={() => (pointed.value = undefined)}
                onClick={() => (open.value = isOpen ? undefined : index)}
              >
                <span class="seen">
                  {token.index === undefined ? <em>{token.text}</em> : <q>{token.text}</q>}
                  <small>
                    {sample.direction === "up" ? "↑ up" : "↓ down"} · {bytes(sample.bytes)}
                  </small>
                </span>
                <span class="sent">
                  <Heat sample={sample.sample} />
                  <code>{sample.sample.map(halfHex).join(" ")}</code>
                </span>
              </button>
            </li>
          );
        })}
      </ul>
      <p class="note">
        Not text, but not encryption either: who has this model's weights, the cloud among them, can compute much of the text back.
      </p>
    </section>
  );
}

interface Shown {
  text: string;
  /** Its place in the answer, if it is there. */
  index: number | undefined;
}

/** An upload's row is made from the token at its position; an answer's row is what the next token is chosen from. */
function tokenAt(samples: WireSample[], at: number, answer: Answer, report: Report): Shown {
  const sample = samples[at];
  if (!sample) return { text: "", index: undefined };
  const index = sample.pos + (sample.direction === "up" ? 0 : 1) - report.prompt_tokens;
  if (index < 0) return { text: `prompt #${sample.pos + 1}`, index: undefined };
  // A rollback is an upload, or the answer to one, that is not above what went before. Answers to refused drafts come after a newer upload.
  const refused = samples
    .slice(at + 1)
    .some((later) => later.pos <= sample.pos && (later.direction === "up" || sample.direction === "down"));
  const text = answer.pieces[index]?.text;
  return refused || text === undefined ? { text: "refused draft", index: undefined } : { text, index };
}

/** Colours from the row's most negative value to its most positive. */
function Heat({ sample }: { sample: number[] }) {
  const largest = Math.max(1e-6, ...sample.map(Math.abs));
  // Most of a row is near zero beside a few large values: the root keeps the small ones apart.
  const shade = (value: number) => Math.round(Math.sign(value) * Math.sqrt(Math.abs(value) / largest) * 4) + 4;
  return (
    <svg class="heat" viewBox={`0 0 ${sample.length} 1`} preserveAspectRatio="none" aria-hidden="true">
      {sample.map((value, index) => (
        // A little wider than its place, so that no gap shows between two.
        <rect key={index} x={index} width="1.02" height="1" class={`h${shade(value)}`} />
      ))}
    </svg>
  );
}
