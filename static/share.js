/**
 * One connection for all tabs of a browser. The tab that holds a lock leads: it has the connection,
 * and tells the others what comes. When it closes, crashes or freezes, another one takes over.
 *
 * What a tab has of the stream is told by its position, the last event id. The leader says with
 * each event from which position on it brings the stream; a tab that is elsewhere asks the hub
 * itself for what it misses. So nothing depends on what the leader before has told to whom.
 * @module
 */

import { HeraldError } from "./stream.js";

/** @typedef {import("./event-stream.js").Block} Block */
/** @typedef {import("./stream.js").Sink} Sink */
/** @typedef {import("./stream.js").State} State */

/**
 * @callback Open Reads the stream until `closing`; or `once`, up to where the hub has nothing more.
 * @param {Sink} sink
 * @param {AbortSignal} closing
 * @param {string} lastEventId
 * @param {boolean} [once]
 * @returns {Promise<void>}
 */

/**
 * @typedef {object} Message What tabs tell each other: all but the question are the leader's.
 * @property {true} [isQuestion] Is anybody leading?
 * @property {State} [state]
 * @property {string} [error]
 * @property {string} [before] The position that the following moves.
 * @property {string} [position]
 * @property {Block} [event]
 */

/** A leader that is silent for so long, in milliseconds, is asked whether it is there… */
const PATIENCE = 20_000;
/** …and has so long to answer: it may have crashed, or been frozen by the browser. */
const ANSWER = 2_000;
/** How often at most the others hear that the leader hears something. */
const LIFE = 1_000;
/** So many ids of events that were here tell which come again. */
const MAX_SEEN = 10_000;

/**
 * @param {string} name What all tabs of one stream have in common.
 * @param {Open} open
 * @param {Sink} sink
 * @param {AbortSignal} closing
 * @param {string} position
 */
export async function share(name, open, sink, closing, position) {
  const { held = [] } = await navigator.locks.query();
  if (closing.aborted) return;
  const channel = new BroadcastChannel(name);
  /** @type {Set<string>} */
  const seen = new Set();
  /** This tab's turn in the queue for the lock. */
  let turn = new AbortController();
  /** Ends this tab's own reading, to lead or to catch up. */
  let reading = new AbortController();
  let isLeading = false;
  /** What has come while this tab catches up. @type {Message[] | undefined} */
  let waiting;
  /** @type {Message} */
  let standing = {};
  let told = 0;
  let heard = 0;
  let isDoubtful = false;

  /** @param {Message} message */
  function tell(message) {
    if (closing.aborted) return;
    told = Date.now();
    channel.postMessage(message);
  }

  /** @param {Block} event */
  function deliver(event) {
    position = event.lastEventId;
    // One without an id has no place in the stream, and does not come again.
    if (event.id) {
      if (seen.has(event.id)) return;
      if (seen.add(event.id).size > MAX_SEEN) seen.delete(oldest(seen));
    }
    sink.onEvent(event);
  }

  /** @param {string} id */
  function move(id) {
    position = id;
    sink.onPosition?.(id);
  }

  function startReading() {
    reading.abort();
    reading = new AbortController();
    return reading.signal;
  }

  // ---- Leading

  /** @param {boolean} [steal] From a leader that is gone, but did not let go. */
  async function claim(steal) {
    turn.abort();
    const mine = (turn = new AbortController());
    try {
      await navigator.locks.request(name, steal ? { steal } : { signal: mine.signal }, lead);
    } catch {
      // Stolen, by a tab that took this one for gone.
      if (turn !== mine || !isLeading || closing.aborted) return;
      isLeading = false;
      reading.abort();
      follow();
    }
  }

  async function lead() {
    if (closing.aborted) return;
    isLeading = true;
    waiting = undefined;
    await open({
      onEvent(event) {
        tell({ before: position, position: event.lastEventId, event });
        deliver(event);
      },
      onPosition(id) {
        tell({ before: position, position: id });
        move(id);
      },
      onState(state, error) {
        standing = { state, error: error?.message };
        // Others may fare better than one that is refused.
        if (state !== "closed") tell(standing);
        sink.onState?.(state, error);
      },
      onLife() {
        if (Date.now() - told > LIFE) tell({});
      },
      room: sink.room,
    }, startReading(), position);
  }

  // ---- Following

  function follow() {
    ask();
    claim();
  }

  channel.onmessage = ({ data: message }) => {
    if (isLeading) {
      if (message.isQuestion) tell(standing);
    } else if (!message.isQuestion) {
      heard = Date.now();
      isDoubtful = false;
      hear(message);
    }
  };

  /** @param {Message} message */
  function hear(message) {
    if (waiting) return void waiting.push(message);
    const { state, error, before, position: next, event } = message;
    if (state) sink.onState?.(state, error ? new HeraldError(error) : undefined);
    if (next === undefined) return;
    if (event?.id && seen.has(event.id)) move(next);
    else if (before !== position) catchUp(message);
    else if (event) deliver(event);
    else move(next);
  }

  /**
   * Reads what this tab misses, at least up to a message that does not follow on what it has.
   *
   * @param {Message} [message]
   */
  async function catchUp(message) {
    waiting = [];
    const signal = startReading();
    await open({
      onEvent: deliver,
      onPosition: move,
      onState: (state, error) => state === "closed" && sink.onState?.(state, error),
      room: sink.room,
    }, signal, position, true);
    if (signal.aborted || !waiting) return;
    const later = waiting;
    waiting = undefined;
    if (message?.event) deliver(message.event);
    if (message?.position !== undefined) move(message.position);
    later.forEach(hear);
  }

  function ask() {
    heard = Date.now();
    isDoubtful = true;
    tell({ isQuestion: true });
    setTimeout(() => {
      if (isDoubtful && !isLeading && !closing.aborted) claim(true);
    }, ANSWER);
  }

  const timer = setInterval(() => {
    if (!isLeading && Date.now() - heard > PATIENCE) ask();
  }, PATIENCE / 4);
  const { document } = globalThis;
  document?.addEventListener("visibilitychange", () => document.hidden || isLeading || ask(), { signal: closing });
  closing.addEventListener("abort", () => {
    clearInterval(timer);
    turn.abort();
    reading.abort();
    channel.close();
  });

  if (held.some((lock) => lock.name === name)) catchUp();
  follow();
}

/** @param {Set<string>} ids In the order in which they were added. */
function oldest(ids) {
  for (const id of ids) return id;
  return "";
}
