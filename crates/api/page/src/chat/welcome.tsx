import { send } from "../conversation/state";

const IDEAS = ["A lost letter.", "Tell me about a fox who learns to share.", "Why does the moon follow us home?"];

export function Welcome() {
  return (
    <section class="welcome">
      <h2>
        Words stay here.
        <br />
        Numbers go out.
      </h2>
      <p>
        The first and last parts of this model run on this device; only its middle runs in the cloud. Ask something, and watch what crosses the
        line between the two.
      </p>
      <ul class="ideas">
        {IDEAS.map((idea) => (
          <li key={idea}>
            <button type="button" onClick={() => void send(idea)}>
              {idea}
            </button>
          </li>
        ))}
      </ul>
      <p class="note">The conversation lives in this tab's memory. Nothing is stored: reloading forgets it.</p>
    </section>
  );
}
