/**
 * A client for Server-Sent Events, of herald and of others: what `EventSource` does, and headers,
 * statuses, a watchdog, and tabs that share a connection. For pages, workers and Node 20.
 * @module
 */

import { HeraldError, keepOpen } from "./stream.js";

/** @typedef {import("./event-stream.js").Block} Block */
/** @typedef {import("./stream.js").State} State */
/** @typedef {import("./stream.js").Sink} Sink */

/**
 * @typedef {object} Choice What to subscribe to.
 * @property {string[]} [channels] Channels and patterns, for a URL that ends in `/events`. Each event
 *   then names its own in `channels`.
 * @property {string} [lastEventId] Begin after this event; `earliest` is all that is kept.
 * @property {AbortSignal} [signal] Closes the connection.
 * @property {boolean | string} [share] One connection for all tabs that ask for the same. Where they
 *   may be of several users, give each user's a name of their own: a tab gets what the token of
 *   another lets see. Does nothing where the browser has no locks, which want HTTPS or localhost.
 *   The server must be a herald.
 *
 * @typedef {Choice & import("./stream.js").Request} Options
 */

/** So many events wait for an iteration… */
const MAX_QUEUED = 1_000;
/** …with so many characters, and then the stream does. */
const MAX_CHARACTERS = 16_777_216;

export { HeraldError };

/** An event. */
export class HeraldEvent {
  /** @type {unknown} */
  #json;
  #isParsed = false;

  /** @param {Block} block */
  constructor({ type, data, id, lastEventId, channels }) {
    this.type = type;
    this.data = data;
    this.id = id;
    this.lastEventId = lastEventId;
    this.channels = channels;
  }

  /** What the data says, if it is JSON. @returns {any} */
  get json() {
    if (!this.#isParsed) {
      this.#isParsed = true;
      try {
        this.#json = JSON.parse(this.data);
      } catch {
        // A text.
      }
    }
    return this.#json;
  }
}

/**
 * Subscribes. The connection comes back by itself, and goes on where it was, until it is closed or
 * refused for good.
 *
 * @param {string | URL} url
 * @param {Options} [options]
 */
export function connect(url, options) {
  return new Connection(url, options);
}

/** @implements {AsyncIterable<HeraldEvent>} */
export class Connection {
  /** @type {State} */
  state = "connecting";
  /** What went wrong last, until it is open again. @type {HeraldError | undefined} */
  error;
  lastEventId;

  #closing = new AbortController();
  /** @type {Map<string, Set<(event: HeraldEvent) => void>>} */
  #listeners = new Map();
  /** @type {Set<() => void>} */
  #watchers = new Set();
  /** @type {Set<HeraldEvent[]>} */
  #queues = new Set();
  /** @type {(() => void) | undefined} */
  #resume;

  /**
   * @param {string | URL} url
   * @param {Options} [options]
   */
  constructor(url, options = {}) {
    const { channels = [], lastEventId = "", signal, share } = options;
    this.lastEventId = lastEventId;
    const address = new URL(url, globalThis.document?.baseURI ?? globalThis.location?.href);
    for (const channel of channels) address.searchParams.append("channel", channel);
    if (channels.length) address.searchParams.set("show", "channel");
    const close = () => this.close();
    signal?.addEventListener("abort", close, { signal: this.#closing.signal });
    if (signal?.aborted) close();
    /** @type {Sink} */
    const sink = {
      onEvent: (block) => this.#dispatch(block),
      onPosition: (id) => void (this.lastEventId = id),
      onState: (state, error) => this.#turn(state, error),
      room: () => this.#room(),
    };
    const request = { ...options };
    /** @type {import("./share.js").Open} */
    const open = (...args) => keepOpen(address, request, ...args);
    const closing = this.#closing.signal;
    const alone = () => open(sink, closing, lastEventId);
    if (share && globalThis.navigator?.locks) {
      const name = `herald ${share} ${address}`;
      import("./share.js").then(({ share }) => share(name, open, sink, closing, lastEventId)).catch(alone);
    } else alone();
  }

  /**
   * Calls `listener` with every event of a type, or with every one: `*`. A `gap` tells that events
   * are missing. Returns what ends it.
   *
   * @param {string} type
   * @param {(event: HeraldEvent) => void} listener
   */
  on(type, listener) {
    const listeners = this.#listeners.get(type) ?? new Set();
    this.#listeners.set(type, listeners.add(listener));
    return () => void listeners.delete(listener);
  }

  /**
   * Calls `watcher` when `state` or `error` has changed. Returns what ends it.
   *
   * @param {() => void} watcher
   */
  watch(watcher) {
    this.#watchers.add(watcher);
    return () => void this.#watchers.delete(watcher);
  }

  close() {
    this.#closing.abort();
    this.#turn("closed");
  }

  /**
   * Every event from the time on when the first is asked for. Throws what closes the connection. The
   * stream waits for who is slow.
   */
  async *[Symbol.asyncIterator]() {
    /** @type {HeraldEvent[]} */
    const queue = [];
    let wake = () => {};
    const stops = [this.on("*", (event) => (queue.push(event), wake())), this.watch(() => wake())];
    this.#queues.add(queue);
    try {
      for (;;) {
        const event = queue.shift();
        this.#resume?.();
        if (event) yield event;
        else if (this.state !== "closed") await new Promise((resolve) => (wake = () => resolve(null)));
        else if (this.error) throw this.error;
        else return;
      }
    } finally {
      this.#queues.delete(queue);
      this.#resume?.();
      for (const stop of stops) stop();
    }
  }

  /** @param {Block} block */
  #dispatch(block) {
    if (this.state === "closed") return;
    this.lastEventId = block.lastEventId;
    const event = new HeraldEvent(block);
    for (const type of new Set([block.type, "*"])) call(this.#listeners.get(type), event);
  }

  /**
   * @param {State} state
   * @param {HeraldError} [error]
   */
  #turn(state, error) {
    if (this.state === "closed") return;
    // One try more is no news of what went wrong.
    const next = state === "connecting" ? this.error : error;
    if (state === this.state && next?.message === this.error?.message) return;
    this.state = state;
    this.error = next;
    call(this.#watchers);
    if (state === "closed") this.#closing.abort();
  }

  #room() {
    const isFull = () => [...this.#queues].some((queue) => {
      return queue.length >= MAX_QUEUED || queue.reduce((sum, { data }) => sum + data.length, 0) > MAX_CHARACTERS;
    });
    const wait = async () => {
      while (isFull()) await new Promise((resolve) => (this.#resume = () => resolve(null)));
    };
    return isFull() ? wait() : undefined;
  }
}

/**
 * Calls functions; one that throws keeps the others from nothing.
 *
 * @template {unknown[]} Args
 * @param {Set<(...args: Args) => void>} [functions]
 * @param {Args} args
 */
function call(functions, ...args) {
  for (const fn of [...(functions ?? [])]) {
    try {
      if (functions?.has(fn)) fn(...args);
    } catch (error) {
      queueMicrotask(() => {
        throw error;
      });
    }
  }
}
