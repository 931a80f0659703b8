import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { busy, exchanges, send, stop } from "../conversation/state";
import { Icon } from "../icon";
import { SettingsPanel } from "./settings";

export function Composer() {
  const text = useSignal("");
  const open = useSignal(false);
  const field = useRef<HTMLTextAreaElement>(null);

  // Ready to type at the start and after each answer or new chat, where a keyboard is likely.
  const idle = !busy.value;
  const isEmpty = exchanges.value.length === 0;
  useEffect(() => {
    if (idle && matchMedia("(hover: hover)").matches) field.current?.focus();
  }, [idle, isEmpty]);

  const submit = () => {
    const question = text.value.trim();
    if (question === "" || busy.value) return;
    text.value = "";
    void send(question);
  };
  const onKey = (event: KeyboardEvent) => {
    // Enter also ends the composition of a character.
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    submit();
  };

  return (
    <form
      class="composer"
      onSubmit={(event) => {
        event.preventDefault();
        submit();
      }}
    >
      {open.value && <SettingsPanel />}
      <div class="field">
        <label class="unseen" for="question">
          Message
        </label>
        <textarea
          id="question"
          ref={field}
          rows={1}
          placeholder="Ask something"
          value={text.value}
          onInput={(event) => (text.value = event.currentTarget.value)}
          onKeyDown={onKey}
        />
        <button
          type="button"
          class="quiet icon-only"
          aria-label="Settings"
          aria-expanded={open.value}
          onClick={() => (open.value = !open.value)}
        >
          <Icon name="sliders" />
        </button>
        {busy.value ? (
          <button type="button" class="round-button" aria-label="Stop" onClick={stop}>
            <Icon name="stop" />
          </button>
        ) : (
          <button type="submit" class="round-button" aria-label="Send" disabled={text.value.trim() === ""}>
            <Icon name="send" />
          </button>
        )}
      </div>
      <p class="keys">
        <kbd>Enter</kbd> sends · <kbd>Shift</kbd>+<kbd>Enter</kbd> starts a line · <kbd>Esc</kbd> stops
      </p>
    </form>
  );
}
