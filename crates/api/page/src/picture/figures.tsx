import type { ComponentChildren } from "preact";
import type { Answer } from "../conversation/model";
import { digits, duration, percent } from "../format";

const NONE = "–";

export function Figures({ answer }: { answer: Answer }) {
  const report = answer.report;
  const tokens = answer.rounds.reduce((sum, round) => sum + round.drafted + round.own, 0);
  const perRound = answer.rounds.length > 0 ? digits(tokens / answer.rounds.length) : NONE;
  return (
    <dl class="figures">
      <Figure name="First token" title="From the request to its first token, as the device measured it">
        {answer.firstTokenMs === undefined ? NONE : duration(answer.firstTokenMs)}
      </Figure>
      <Figure name="Then, a token" title="Mean time between tokens after the first">
        {report ? duration(report.tbt_ms) : NONE}
      </Figure>
      <Figure name="Tokens a round" title="What one round trip to the cloud brings: accepted drafts and the model's own token">
        {perRound}
      </Figure>
      <Figure name="Drafts accepted" title="Of the tokens that the device guessed, how many the whole model agreed with">
        {report && report.drafted > 0 ? (
          <>
            {percent(report.accepted / report.drafted)}
            <small>
              {report.accepted} of {report.drafted}
            </small>
          </>
        ) : (
          NONE
        )}
      </Figure>
      <Figure name="Prompt reused" title="Prompt tokens kept from the turn before: neither computed nor sent again">
        {report ? (
          <>
            {report.reused_tokens}
            <small>of {report.prompt_tokens} tokens</small>
          </>
        ) : (
          NONE
        )}
      </Figure>
      <Figure name="Round trips" title="Rounds after the prompt">
        {report ? report.rounds : answer.rounds.length > 0 ? answer.rounds.length - 1 : NONE}
        {report && report.reconnects > 0 && <small>{report.reconnects} reconnects</small>}
      </Figure>
    </dl>
  );
}

function Figure({ name, title, children }: { name: string; title: string; children: ComponentChildren }) {
  return (
    <div title={title}>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}
