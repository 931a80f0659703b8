import { marked, settings } from "../conversation/state";
import type { Settings } from "../endpoint/types";

export function SettingsPanel() {
  const set = (change: Partial<Settings>) => (settings.value = { ...settings.value, ...change });
  const { system, temperature, maxTokens } = settings.value;
  return (
    <fieldset class="settings">
      <legend class="unseen">Settings</legend>
      <label class="wide">
        <span>System prompt</span>
        <textarea rows={2} value={system} placeholder="None" onInput={(event) => set({ system: event.currentTarget.value })} />
      </label>
      <label>
        <span>
          Temperature <b>{temperature.toFixed(1)}</b>
        </span>
        <input
          type="range"
          min="0"
          max="2"
          step="0.1"
          value={temperature}
          onInput={(event) => set({ temperature: event.currentTarget.valueAsNumber })}
        />
      </label>
      <label>
        <span>Tokens at most</span>
        <input
          type="number"
          min="1"
          step="1"
          inputMode="numeric"
          value={maxTokens}
          onChange={(event) => {
            const value = event.currentTarget.valueAsNumber;
            // What is no number of tokens leaves the setting as it was.
            if (Number.isInteger(value) && value > 0) set({ maxTokens: value });
            else event.currentTarget.value = String(maxTokens);
          }}
        />
      </label>
      <label class="check">
        <input type="checkbox" checked={marked.value} onChange={(event) => (marked.value = event.currentTarget.checked)} />
        <span>Colour drafted tokens</span>
      </label>
    </fieldset>
  );
}
