// The device behind this page: its model, and whether its cloud is there.

import { signal } from "@preact/signals";

/** `alone`: ready without a cloud; `offline`: its cloud is away, and its own drafter answers. */
export type Readiness = "unknown" | "ready" | "alone" | "offline" | "away" | "gone";

interface Ready {
  cloud?: "reachable" | "unreachable" | "local";
}

/** The model's name in requests; empty until the device has told it. */
export const model = signal("");
export const readiness = signal<Readiness>("unknown");

const INTERVAL_MS = 15_000;
const DEADLINE_MS = 10_000;

/** Asks now, and goes on asking while the page is looked at. */
export async function watchService(): Promise<void> {
  await ask();
  setInterval(() => {
    if (document.visibilityState === "visible") void ask();
  }, INTERVAL_MS);
}

export async function ask(): Promise<void> {
  const signal = AbortSignal.timeout(DEADLINE_MS);
  try {
    // Every time: a device that was started again may have another model.
    const list = (await (await fetch("/v1/models", { signal })).json()) as { data: { id: string }[] };
    model.value = list.data[0]?.id ?? "";
    const ready = await fetch("/ready", { signal });
    if (ready.ok) {
      const { cloud } = (await ready.json()) as Ready;
      readiness.value = cloud === "local" ? "alone" : cloud === "unreachable" ? "offline" : "ready";
    } else {
      // Devices without this path say nothing about their cloud.
      readiness.value = ready.status === 503 ? "away" : "unknown";
    }
  } catch {
    readiness.value = "gone";
  }
}
