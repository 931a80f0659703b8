import type { Answer } from "../conversation/model";
import { bytes } from "../format";

/** Device and cloud, and the bytes between them. */
export function Path({ answer }: { answer: Answer }) {
  const running = answer.state === "waiting" || answer.state === "streaming";
  const moving = running && answer.elapsedMs > 0;
  return (
    <div class="path" data-moving={moving}>
      <div class="place device">
        <h3>This device</h3>
        <ul>
          <li>your words</li>
          <li>model's ends</li>
          <li>drafter</li>
        </ul>
      </div>
      <div class="wires">
        <Arrow direction="up" label={bytes(answer.bytesUp)} name="up" />
        <Arrow direction="down" label={bytes(answer.bytesDown)} name="down" />
      </div>
      <div class="place cloud">
        <h3>Cloud</h3>
        <ul>
          <li>no words</li>
          <li>model's middle</li>
          <li>numbers only</li>
        </ul>
      </div>
    </div>
  );
}

function Arrow({ direction, label, name }: { direction: "up" | "down"; label: string; name: string }) {
  return (
    <div class={`wire-arrow ${direction}`}>
      <span>
        <b>{label}</b> {name}
      </span>
      <i aria-hidden="true" />
    </div>
  );
}
