// A device that needs no model: it serves the built page and answers as a test tells it to.

import { createServer } from "node:http";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";

const DIST = new URL("../../../crates/api/page/dist/", import.meta.url);
const FILES = { "/": "index.html", "/page.js": "page.js", "/page.css": "page.css", "/icon.svg": "icon.svg" };
const TYPES = { html: "text/html; charset=utf-8", js: "text/javascript", css: "text/css", svg: "image/svg+xml" };
const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const STORY = (
  "Once there was a letter that had lost its way. It lay under a bench in the station, where the wind turned its corners, and nobody saw it " +
  "but a small grey dog. The dog took it between his teeth, carefully, and walked along the river to the last house in the lane. An old " +
  "woman opened the door. She read it twice, and then she laughed, for it was from her brother, who had written it forty years ago."
).match(/\s?[^\s]{1,6}/g);
const ACCEPTED = [4, 2, 5, 0, 3, 6, 1, 4, 2, 3];
const PROMPT_TOKENS = 23;
const HIDDEN_BYTES = 448;

/**
 * Starts a device on a free port. `behaviour` may be changed between requests:
 * `answer`: "traced" (with the tricorn extension), "plain" (without), "endless", "breaks" (fails in mid-answer), or an error's status;
 * `pace`: milliseconds between rounds.
 */
export async function startDevice(behaviour = {}) {
  const state = { answer: "traced", pace: 0, model: "story-7b", cloud: "reachable", requests: [], aborted: 0, ...behaviour };
  const server = createServer((request, response) => {
    handle(state, request, response).catch((error) => response.destroy(error));
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    state,
    url: `http://127.0.0.1:${server.address().port}/`,
    stop: () => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(resolve));
    },
  };
}

async function handle(state, request, response) {
  if (request.method === "GET" && request.url in FILES) {
    const name = FILES[request.url];
    response.writeHead(200, { "content-type": TYPES[name.split(".")[1]], "content-security-policy": POLICY });
    response.end(await readFile(fileURLToPath(new URL(name, DIST))));
  } else if (request.url === "/v1/models") {
    json(response, 200, { object: "list", data: [{ id: state.model, object: "model", created: 0, owned_by: "tricorn" }] });
  } else if (request.url === "/ready") {
    json(response, state.answer === 503 ? 503 : 200, { cloud: state.cloud });
  } else if (request.method === "POST" && request.url === "/v1/chat/completions") {
    let body = "";
    for await (const part of request) body += part;
    const asked = JSON.parse(body);
    state.requests.push(asked);
    response.on("close", () => {
      if (!response.writableFinished) state.aborted += 1;
    });
    if (typeof state.answer === "number") refuse(state.answer, response);
    else await stream(state, asked, response);
  } else {
    json(response, 404, { error: { message: `no such path: ${request.url}`, type: "invalid_request_error", param: null, code: null } });
  }
}

function json(response, status, body, headers = {}) {
  response.writeHead(status, { "content-type": "application/json", ...headers });
  response.end(JSON.stringify(body));
}

function refuse(status, response) {
  const [message, code, headers] = {
    404: ["The model `story-7b` does not exist or you do not have access to it.", "model_not_found", {}],
    400: ["This model's context is 2048 tokens; the prompt has 2100 and 256 more are asked for.", "context_length_exceeded", {}],
    429: ["64 requests wait already; try again later.", "rate_limit_exceeded", { "retry-after": "2" }],
    503: ["the cloud at http://10.0.0.7:7070 cannot be reached.", "cloud_unreachable", { "retry-after": "5" }],
  }[status];
  json(response, status, { error: { message, type: status < 500 ? "invalid_request_error" : "server_error", param: null, code } }, headers);
}

async function stream(state, asked, response) {
  const traced = state.answer !== "plain" && asked.tricorn?.trace === true;
  const pause = () => new Promise((resolve) => setTimeout(resolve, state.pace));
  const send = (data) => response.write(`data: ${JSON.stringify({ object: "chat.completion.chunk", ...data })}\n\n`);
  response.writeHead(200, { "content-type": "text/event-stream" });
  response.write(": keep-alive\n\n");
  send({ choices: [{ index: 0, delta: { role: "assistant", content: "" }, finish_reason: null }] });
  const totals = { tokens: 0, rounds: 0, up: PROMPT_TOKENS * HIDDEN_BYTES, down: PROMPT_TOKENS * 12, clock: 86 };
  for (let at = 0; at < STORY.length || state.answer === "endless"; totals.rounds += 1) {
    const accepted = at === 0 ? 0 : ACCEPTED[totals.rounds % ACCEPTED.length];
    const texts = Array.from({ length: accepted + 1 }, (_, offset) => STORY[(at + offset) % STORY.length]);
    if (state.answer !== "endless") texts.length = Math.min(texts.length, STORY.length - at);
    at += texts.length;
    totals.tokens += texts.length;
    if (at > 1) {
      totals.up += 7 * HIDDEN_BYTES;
      totals.down += 7 * HIDDEN_BYTES;
      totals.clock += 41;
    }
    const tokens = texts.map((text, index) => ({ id: index, text, drafted: index < accepted }));
    const tricorn = { tokens, bytes_up: totals.up, bytes_down: totals.down, elapsed_ms: totals.clock };
    send({ choices: [{ index: 0, delta: { content: texts.join("") }, finish_reason: null }], ...(traced && { tricorn }) });
    if (state.answer === "breaks" && at > 20) {
      send({ error: { message: "the cloud closed the session and did not come back", type: "server_error", code: null } });
      response.end();
      return;
    }
    await pause();
    if (response.destroyed) return;
  }
  send({ choices: [{ index: 0, delta: {}, finish_reason: "stop" }] });
  const usage = { prompt_tokens: PROMPT_TOKENS, completion_tokens: totals.tokens, total_tokens: PROMPT_TOKENS + totals.tokens };
  send({ choices: [], usage, ...(traced && { tricorn: report(totals, asked) }) });
  response.end("data: [DONE]\n\n");
}

function report(totals, asked) {
  const rounds = totals.rounds - 1;
  const accepted = totals.tokens - totals.rounds;
  return {
    ttft_ms: 86,
    tbt_ms: 41 / (totals.tokens / totals.rounds),
    rounds,
    drafted: rounds * 6,
    accepted,
    accepted_per_round: accepted / rounds,
    bytes_up: totals.up,
    bytes_down: totals.down,
    prompt_tokens: PROMPT_TOKENS,
    reused_tokens: asked.messages.length > 1 ? 12 : 0,
    reconnects: 0,
    offline: false,
    waterfall: waterfall(rounds),
    wire: wire(),
  };
}

function waterfall(rounds) {
  const spans = [];
  for (const [index, start] of [0, 9, 18].entries()) {
    const rows = index < 2 ? 8 : 7;
    spans.push({ kind: "shallow", start_ms: start, end_ms: start + 8.6, pos: index * 8, rows });
    spans.push({ kind: "sent", start_ms: start + 8.7, end_ms: start + 8.7, pos: index * 8, rows, bytes: rows * HIDDEN_BYTES });
  }
  for (const [index, at] of [48, 64, 80].entries()) {
    spans.push({ kind: "answered", start_ms: at, end_ms: at, pos: index * 8, rows: index < 2 ? 0 : 1, queue_ms: 3, compute_ms: 11 });
  }
  spans.push({ kind: "judged", start_ms: 81, end_ms: 86, rows: 1, tokens: 1 });
  for (let round = 0; round < rounds; round += 1) {
    const start = 86 + round * 41;
    const pos = PROMPT_TOKENS + round * 4;
    for (let step = 0; step < 6; step += 1) spans.push({ kind: "drafted", start_ms: start + step * 1.7, end_ms: start + step * 1.7 + 1.6 });
    spans.push({ kind: "shallow", start_ms: start + 10.3, end_ms: start + 12.4, pos, rows: 7 });
    spans.push({ kind: "sent", start_ms: start + 12.5, end_ms: start + 12.5, pos, rows: 7, bytes: 7 * HIDDEN_BYTES });
    spans.push({ kind: "answered", start_ms: start + 37, end_ms: start + 37, pos, rows: 7, queue_ms: 1.5, compute_ms: 9 });
    spans.push({ kind: "judged", start_ms: start + 37, end_ms: start + 41, rows: 7, tokens: 4 });
  }
  return spans;
}

function wire() {
  return Array.from({ length: 12 }, (_, index) => ({
    pos: index === 0 ? 0 : PROMPT_TOKENS - 1 + (index >> 1),
    direction: index % 2 === 0 ? "up" : "down",
    bytes: 7 * HIDDEN_BYTES,
    sample: Array.from({ length: 32 }, (_, value) => Math.sin(value * 12.9898 + index * 78.233) ** 3 * 2.4),
  }));
}
