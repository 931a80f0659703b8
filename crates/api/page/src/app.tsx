import { useEffect } from "preact/hooks";
import { Chat } from "./chat/chat";
import { busy, stop, view } from "./conversation/state";
import { Header } from "./header";
import { Picture } from "./picture/picture";

export function App() {
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (event.key === "Escape" && busy.value) stop();
    };
    document.addEventListener("keydown", onKey);
    return () => document.removeEventListener("keydown", onKey);
  }, []);

  return (
    <div class="app" data-view={view.value}>
      <Header />
      <nav class="views" aria-label="View">
        <button type="button" aria-pressed={view.value === "chat"} onClick={() => (view.value = "chat")}>
          Chat
        </button>
        <button type="button" aria-pressed={view.value === "picture"} onClick={() => (view.value = "picture")}>
          What leaves the device
        </button>
      </nav>
      <Chat />
      <Picture />
    </div>
  );
}
