/**
 * Keeping a stream open: requests, refusals, waits and resumption.
 * @module
 */

import { createParser } from "./event-stream.js";

/** @typedef {import("./event-stream.js").Block} Block */
/** @typedef {"connecting" | "open" | "waiting" | "closed"} State */

/**
 * @typedef {object} Request What to ask for, and how.
 * @property {string} [token] Sent as `Authorization: Bearer`.
 * @property {() => string | Promise<string>} [getToken] Asked for a token if there is none, and once
 *   for a fresh one when the hub refuses it (401, 403).
 * @property {Record<string, string>} [headers] To be sent along.
 * @property {RequestCredentials} [credentials] Whether cookies are sent: to the page's own origin,
 *   unless this says otherwise.
 * @property {number} [ping] How often at least the server sends something, in milliseconds: a
 *   connection that is silent for twice as long is dead. herald says it by itself; 0 never gives up.
 *
 * @typedef {object} Sink Who is told how it goes.
 * @property {(event: Block) => void} onEvent
 * @property {(lastEventId: string) => void} [onPosition] It goes on after this, without an event.
 * @property {(state: State, error?: HeraldError) => void} [onState]
 * @property {() => void} [onLife] Something came.
 * @property {() => Promise<void> | undefined} [room] If no more events can be taken: until they can.
 */

/** The longest time between two tries, in milliseconds, unless the server asks for more. */
const MAX_BACKOFF = 30_000;
/** A day; beyond 24 of them a timer would fire at once. */
const MAX_WAIT = 86_400_000;
/** As `EventSource` does it, until the server says how long to wait. */
const RETRY = 3_000;
/** The shortest, though a server says `retry: 0`: streams that end at once would keep both busy… */
const MIN_BACKOFF = 100;
/** …and what it grows from when they fail. */
const FIRST_BACKOFF = 500;
/** Until the server says how often it sends something. */
const PING = 15_000;
/** The reason to end a connection of a network that may be gone. */
const MOVED = Symbol("moved");

/** Why a connection waits, or is closed. */
export class HeraldError extends Error {
  name = "HeraldError";

  /**
   * @param {string} message
   * @param {number} [status] What the server answered.
   * @param {number} [retryAfter] How long it asks to wait, in milliseconds.
   */
  constructor(message, status = 0, retryAfter = 0) {
    super(message);
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

/**
 * Reads a stream, and again when it ends, from where it was, until `closing` or a refusal ends it;
 * or `once`, up to where the hub has nothing more.
 *
 * @param {URL} url
 * @param {Request} request Its token is replaced when it is refused.
 * @param {Sink} sink
 * @param {AbortSignal} closing
 * @param {string} lastEventId
 * @param {boolean} [once]
 */
export async function keepOpen(url, request, sink, closing, lastEventId, once) {
  let retry = RETRY;
  let failures = 0;
  let isRefused = false;

  if (once) (url = new URL(url)).searchParams.set("wait", "0");

  /** @param {AbortController} attempt */
  async function read(attempt) {
    const { signal } = attempt;
    const token = (request.token ??= await request.getToken?.());
    const watchdog = watch(attempt);
    const headers = new Headers(request.headers);
    // By the second, an overloaded hub knows that it can say so.
    headers.set("Accept", "text/event-stream, application/problem+json");
    if (token) headers.set("Authorization", `Bearer ${token}`);
    // An id is any text, and a header bytes.
    if (lastEventId) headers.set("Last-Event-ID", bytesOf(lastEventId));
    const response = await fetch(url, { headers, signal, cache: "no-store", credentials: request.credentials });
    const { status, body } = response;
    if (status !== 200) throw await refusal(response);
    if (!body || !/^text\/event-stream\s*(;|$)/i.test(response.headers.get("Content-Type") ?? "")) {
      throw new HeraldError(`${url.pathname} is no event stream`, status);
    }
    failures = 0;
    isRefused = false;
    watchdog.expect(request.ping ?? Number(response.headers.get("Herald-Ping")));
    sink.onState?.("open");
    const parse = createParser({
      onEvent(event) {
        if (signal.aborted) return;
        lastEventId = event.lastEventId;
        sink.onEvent(event);
      },
      onPosition(id) {
        if (signal.aborted) return;
        lastEventId = id;
        sink.onPosition?.(id);
      },
      onRetry: (milliseconds) => void (retry = milliseconds),
    }, lastEventId);
    const decoder = new TextDecoder();
    const reader = body.getReader();
    for (let piece; !(piece = await reader.read()).done; ) {
      parse(decoder.decode(piece.value, { stream: true }));
      sink.onLife?.();
      await watchdog.rest(sink.room?.());
    }
  }

  while (!closing.aborted) {
    const attempt = new AbortController();
    const { signal } = attempt;
    closing.addEventListener("abort", () => attempt.abort(), { signal });
    let error;
    try {
      sink.onState?.("connecting");
      await read(attempt);
      if (once) return;
    } catch (cause) {
      if (closing.aborted) return;
      const { reason } = signal;
      if (reason === MOVED) continue;
      error = toHeraldError(reason instanceof HeraldError ? reason : cause);
      const { status } = error;
      if ((status === 401 || status === 403) && request.getToken && !isRefused) {
        isRefused = true;
        request.token = undefined;
        continue;
      }
      isRefused = false;
      if (status && status < 500 && ![408, 425, 429].includes(status)) {
        return sink.onState?.("closed", error);
      }
    } finally {
      attempt.abort();
    }
    sink.onState?.("waiting", error);
    await pause(backoff(retry, failures++, error?.retryAfter), !error?.retryAfter, closing);
  }
}

/**
 * Ends an attempt when nothing has come for twice the ping.
 *
 * @param {AbortController} attempt
 */
function watch(attempt) {
  const { signal } = attempt;
  let limit = 2 * PING;
  let seen = Date.now();
  let isResting = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  function look() {
    clearTimeout(timer);
    const left = seen + limit - Date.now();
    if (!limit || signal.aborted) return;
    if (isResting || left > 0) timer = setTimeout(look, Math.min(isResting ? limit : left, MAX_WAIT));
    else attempt.abort(new HeraldError(`nothing came for ${limit / 1_000} s`));
  }
  look();
  signal.addEventListener("abort", look);
  // Timers stand still in a page that sleeps.
  onReturn(signal, look, () => attempt.abort(MOVED));
  return {
    /** @param {number} ping */
    expect(ping) {
      limit = 2 * ping;
      seen = Date.now();
      look();
    },
    /** @param {Promise<void>} [rest] Silence until then is our own. */
    async rest(rest) {
      isResting = true;
      await rest;
      isResting = false;
      seen = Date.now();
    },
  };
}

/**
 * Waits, but not for the time to be up where the page is looked at again, or has a network again.
 *
 * @param {number} milliseconds
 * @param {boolean} canHurry
 * @param {AbortSignal} closing
 */
async function pause(milliseconds, canHurry, closing) {
  if (closing.aborted) return;
  const over = new AbortController();
  const end = () => over.abort();
  const timer = setTimeout(end, milliseconds);
  closing.addEventListener("abort", end, { signal: over.signal });
  if (canHurry) onReturn(over.signal, end, end);
  await new Promise((resolve) => over.signal.addEventListener("abort", resolve));
  clearTimeout(timer);
}

/**
 * @param {AbortSignal} signal
 * @param {() => void} onVisible The page is looked at again.
 * @param {() => void} onOnline There is a network again, perhaps another one.
 */
function onReturn(signal, onVisible, onOnline) {
  globalThis.addEventListener?.("online", onOnline, { signal });
  const { document } = globalThis;
  document?.addEventListener("visibilitychange", () => document.hidden || onVisible(), { signal });
}

/**
 * How long to wait before the next try, in milliseconds: no less than the server asked for, longer
 * with every failure, and not the same for everybody.
 *
 * @param {number} retry
 * @param {number} failures
 * @param {number} [retryAfter]
 */
export function backoff(retry, failures, retryAfter = 0) {
  const first = Math.max(retry, failures ? FIRST_BACKOFF : MIN_BACKOFF);
  const longer = Math.min(first * 2 ** failures, Math.max(retry, MAX_BACKOFF));
  return Math.min(Math.max(longer, retryAfter) * (1 + Math.random() / 2), MAX_WAIT);
}

/** A text as UTF-8, a character for each byte. @param {string} text */
function bytesOf(text) {
  return Array.from(new TextEncoder().encode(text), (byte) => String.fromCharCode(byte)).join("");
}

/** @param {unknown} cause */
function toHeraldError(cause) {
  if (cause instanceof HeraldError) return cause;
  return new HeraldError(cause instanceof Error ? cause.message : String(cause));
}

/**
 * What a refusal says of itself (RFC 9457), unless a proxy answered.
 *
 * @param {Response} response
 */
async function refusal(response) {
  const { status, statusText, headers } = response;
  const problem = await response.json().catch(() => null);
  const after = headers.get("Retry-After") ?? "0";
  // Seconds, or a date (RFC 9110, 10.2.3).
  const wait = /^\d+$/.test(after) ? Number(after) * 1_000 : Date.parse(after) - Date.now();
  return new HeraldError(problem?.detail ?? `the server answers ${status} ${statusText}`, status, Math.max(wait, 0) || 0);
}
