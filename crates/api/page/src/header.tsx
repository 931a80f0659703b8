import { useSignal } from "@preact/signals";
import { newChat } from "./conversation/state";
import { type Readiness, model, readiness } from "./endpoint/service";
import { Icon } from "./icon";

const STATES: Record<Readiness, string> = {
  unknown: "",
  ready: "ready",
  alone: "without a cloud",
  offline: "cloud out of reach, the drafter answers",
  away: "cloud out of reach",
  gone: "device does not answer",
};

export function Header() {
  const dark = useSignal(matchMedia("(prefers-color-scheme: dark)").matches);
  const toggle = () => {
    dark.value = !dark.value;
    document.documentElement.dataset["theme"] = dark.value ? "dark" : "light";
  };
  return (
    <header class="header">
      <img class="logo" src="/icon.svg" alt="" width="26" height="26" />
      <h1>Tricorn</h1>
      <p class="model" data-state={readiness.value}>
        <span class="dot" />
        <span class="model-name">{model.value || "no model yet"}</span>
        {STATES[readiness.value] && <span class="model-state">{STATES[readiness.value]}</span>}
      </p>
      <button type="button" class="quiet" onClick={newChat}>
        <Icon name="plus" />
        <span>New chat</span>
      </button>
      <button type="button" class="quiet icon-only" aria-label="Dark colours" aria-pressed={dark.value} onClick={toggle}>
        <Icon name={dark.value ? "sun" : "moon"} />
      </button>
    </header>
  );
}
