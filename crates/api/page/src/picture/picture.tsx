import { type Answer, emptyAnswer } from "../conversation/model";
import { pictured } from "../conversation/state";
import { Figures } from "./figures";
import { Path } from "./path";
import { Rounds } from "./rounds";
import { Waterfall } from "./waterfall";
import { Wire } from "./wire";

const NOTHING_YET: Answer = emptyAnswer();

/** What one request did: beside the chat, live. */
export function Picture() {
  const exchange = pictured.value;
  const answer = exchange?.answer.value ?? NOTHING_YET;
  return (
    <aside class="picture" aria-label="What leaves the device" tabIndex={0}>
      <h2 class="picture-title">What leaves the device</h2>
      <Path answer={answer} />
      <Figures answer={answer} />
      {answer.rounds.length > 0 && <Rounds rounds={answer.rounds} />}
      {/* A new answer starts with its own view of the time. */}
      {answer.report && <Waterfall key={`w${exchange?.id}`} report={answer.report} />}
      {answer.report && <Wire key={`v${exchange?.id}`} answer={answer} report={answer.report} />}
      {answer.report?.bytes_up === 0 && <p class="note">Nothing left the device: {answer.report.offline ? "its drafter wrote alone" : "it ran the whole model itself"}.</p>}
      {!answer.report && <Explanation answer={answer} />}
    </aside>
  );
}

function Explanation({ answer }: { answer: Answer }) {
  if (answer.state === "done") {
    return <p class="note">This endpoint sends no trace, so there is no more to show of this answer.</p>;
  }
  if (answer.rounds.length > 0) return null;
  return (
    <ol class="steps">
      <li>
        <b>The device</b> turns your words into tokens and runs the model's first layers. Its drafter guesses a few tokens ahead.
      </li>
      <li>
        <b>The link</b> carries one row of numbers for each token: hidden states, no text.
      </li>
      <li>
        <b>The cloud</b> runs the middle layers on all rows at once and sends rows back.
      </li>
      <li>
        <b>The device</b> runs the last layers, keeps the guesses that the whole model agrees with, and adds one token of the model's own.
      </li>
    </ol>
  );
}
