// What `/v1/chat/completions` sends, as far as this page reads it. Everything under `tricorn` is this endpoint's extension and may be absent.

export interface ChatMessage {
  role: "system" | "user" | "assistant";
  content: string;
}

export interface Settings {
  system: string;
  temperature: number;
  maxTokens: number;
}

export interface TracedToken {
  id: number;
  text: string;
  drafted: boolean;
}

/** One thing that the device did, or that the link brought; milliseconds from the request's start. */
export interface TraceSpan {
  kind: "shallow" | "sent" | "answered" | "drafted" | "judged";
  start_ms: number;
  end_ms: number;
  pos?: number;
  rows?: number;
  tokens?: number;
  branches?: number;
  bytes?: number;
  queue_ms?: number;
  compute_ms?: number;
}

/** The first values of a message's first hidden row, as they went over the link. */
export interface WireSample {
  pos: number;
  direction: "up" | "down";
  bytes: number;
  sample: number[];
}

export interface Report {
  ttft_ms: number;
  tbt_ms: number;
  rounds: number;
  drafted: number;
  accepted: number;
  accepted_per_round: number;
  bytes_up: number;
  bytes_down: number;
  prompt_tokens: number;
  reused_tokens: number;
  reconnects: number;
  offline: boolean;
  waterfall: TraceSpan[];
  wire: WireSample[];
}

/** What a chunk tells of the round that brought it; bytes and time count from the request's start. */
export interface Progress {
  tokens: TracedToken[];
  bytes_up: number;
  bytes_down: number;
  elapsed_ms: number;
}

export interface Usage {
  prompt_tokens: number;
  completion_tokens: number;
}

export interface Chunk {
  choices: { delta?: { content?: string | null }; finish_reason?: string | null }[];
  usage?: Usage | null;
  tricorn?: Partial<Progress> & Partial<Report>;
  error?: { message: string; code?: string | null };
}
