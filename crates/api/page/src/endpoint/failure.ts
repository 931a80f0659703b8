// What went wrong, in words and with a mend.

export interface Failure {
  title: string;
  detail: string;
  /** Whether the same request may succeed later. */
  retry: boolean;
}

/** A failed request, as `catch` sees it. */
export class EndpointError extends Error {
  constructor(readonly failure: Failure) {
    super(failure.title);
  }
}

export function explain(error: unknown): Failure {
  if (error instanceof EndpointError) return error.failure;
  if (error instanceof SyntaxError) {
    return { title: "The answer could not be read", detail: "Something between this page and the device changed it.", retry: true };
  }
  return {
    title: "This device does not answer",
    detail: "Is “tricorn device” still running? Start it again, then retry; the conversation is still here.",
    retry: true,
  };
}

/** The failure that a response's status and body tell of. */
export async function refused(response: Response): Promise<EndpointError> {
  const body: unknown = await response.json().catch(() => undefined);
  const error = (body as { error?: { message?: string; code?: string | null } } | undefined)?.error;
  const seconds = Number(response.headers.get("retry-after"));
  return new EndpointError(describe(response.status, error?.code, error?.message ?? response.statusText, seconds));
}

/** What passes, by the error's code. */
const TITLES: Record<string, string> = {
  rate_limit_exceeded: "This device is busy",
  cloud_unreachable: "The cloud is out of reach",
  cloud_full: "The cloud is full",
  cloud_refused: "The cloud refused this device",
  shutting_down: "This device is shutting down",
  deadline_exceeded: "The answer took too long",
  model_not_found: "This device has another model now",
};

/** The same by status, for errors without a code that is known here. */
const BY_STATUS: Record<number, string> = {
  429: "This device is busy",
  503: "The cloud is out of reach",
};

/** An error that the endpoint sent, with the status of its response, or that of a server error for one in mid-answer. */
export function describe(status: number, code: string | null | undefined, message: string, retryAfter = 0): Failure {
  const wait = retryAfter > 0 ? ` Try again in ${retryAfter} s.` : "";
  if (code === "context_length_exceeded") {
    return { title: "The conversation is too long for this model", detail: `${message} Start a new chat, or ask for fewer tokens.`, retry: false };
  }
  const title = (code && TITLES[code]) || BY_STATUS[status];
  if (title) return { title, detail: `${message}${wait}`, retry: true };
  if (status >= 500) return { title: "The answer failed", detail: message, retry: true };
  return { title: "The device refused the request", detail: message, retry: false };
}
