// One streamed chat completion.

import { EndpointError, describe, refused } from "./failure";
import { events } from "./sse";
import type { ChatMessage, Chunk, Settings } from "./types";

/** The endpoint sends at least a comment every 15 s; silence for so long means that it is gone. */
const SILENCE_MS = 60_000;

/** The completion's chunks. Aborting `signal` ends the request on the device too. */
export async function* complete(model: string, messages: ChatMessage[], settings: Settings, signal: AbortSignal): AsyncGenerator<Chunk> {
  const silence = new AbortController();
  const gone = new EndpointError({ title: "The device went silent", detail: "Nothing came for a minute.", retry: true });
  let timer = setTimeout(() => silence.abort(gone), SILENCE_MS);
  try {
    const response = await fetch("/v1/chat/completions", {
      method: "POST",
      headers: { "content-type": "application/json" },
      signal: AbortSignal.any([signal, silence.signal]),
      body: JSON.stringify({
        model,
        messages,
        temperature: settings.temperature,
        max_tokens: settings.maxTokens,
        stream: true,
        stream_options: { include_usage: true },
        tricorn: { trace: true },
      }),
    });
    if (!response.ok || response.body === null) throw await refused(response);
    for await (const data of events(response.body)) {
      clearTimeout(timer);
      timer = setTimeout(() => silence.abort(gone), SILENCE_MS);
      if (data === null) continue;
      if (data === "[DONE]") return;
      const chunk = JSON.parse(data) as Chunk;
      if (chunk.error) throw new EndpointError(describe(500, chunk.error.code, chunk.error.message));
      yield chunk;
    }
    throw new EndpointError({ title: "The answer broke off", detail: "The connection to the device ended before the answer did.", retry: true });
  } finally {
    clearTimeout(timer);
  }
}
