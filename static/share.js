/**
 * One connection for all tabs of a browser. The tab that holds a lock leads: it has the connection,
 * and tells the others what comes. When it closes, crashes or freezes, another one takes over.
 *
 * What a tab has of the stream is told by its position, the last event id, which only moves on. The
 * leader says with each event from which position on it brings the stream; a tab that is elsewhere
 * asks the hub itself for what it misses. So nothing depends on what the leader before has told to
 * whom. The leader hears itself in the same way, so that it can be slow without holding up the rest.
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
 * @property {{ message: string, status: number, retryAfter: number }} [error]
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
/** So many events that were here are known again when a leader brings them that is behind. */
const MAX_SEEN = 10_000;
/** So many messages wait… */
const MAX_WAITING = 1_000;
/** …with so many characters; the hub has what came before them. */
const MAX_CHARACTERS = 16_777_216;

/**
 * @param {string} name What all tabs of one stream have in common.
 * @param {Open} open
 * @param {Sink} sink
 * @param {AbortSignal} closing
 * @param {string} position
 */
export async function share(name, open, sink, closing, position) {
  if (closing.aborted) return;
  const channel = new BroadcastChannel(name);
  /** @type {Set<number>} */
  const seen = new Set();
  /** This tab's turn in the queue for the lock. */
  let turn = new AbortController();
  /** Ends the reading for all. */
  let leading = new AbortController();
  /** Ends this tab's own reading, to catch up. */
  let reading = new AbortController();
  let isLeading = false;
  /**
   * What has come while this tab catches up, or is full. Until the hub has let it in, it hears nothing.
   *
   * @type {Message[] | undefined}
   */
  let waiting = [];
  /** How many of those had come before the hub was asked: what they tell of is in its answer. */
  let covered = 0;
  /** @type {Message} */
  let standing = {};
  /** How far the leader is, and how far this tab has all that the leader tells of: it may be ahead. */
  let last = "";
  let joint = position;
  let told = 0;
  let heard = 0;
  let isDoubtful = false;

  /** @param {Message} message */
  function tell(message) {
    if (closing.aborted) return;
    told = Date.now();
    channel.postMessage(message);
  }

  /** Says how it stands, and where, so that who has missed something notices. */
  function report() {
    tell({ ...standing, before: last, position: last });
  }

  /** @param {Block} event */
  function deliver(event) {
    position = event.lastEventId;
    if (event.id && seen.add(digest(event)).size > MAX_SEEN) seen.delete(oldest(seen));
    sink.onEvent(event);
  }

  /** @param {string} id */
  function move(id) {
    position = id;
    sink.onPosition?.(id);
  }

  /** Has all that the leader tells of up to there. @param {string} id */
  function join(id) {
    joint = id;
    // Where nothing comes for long, the hub forgets the position of before.
    if (isLater(id, position)) move(id);
  }

  // ---- Leading

  /** @param {boolean} [steal] From a leader that is gone, but did not let go. */
  async function claim(steal) {
    turn.abort();
    const mine = (turn = new AbortController());
    try {
      await navigator.locks.request(name, steal ? { steal } : { signal: mine.signal }, lead);
    } catch (error) {
      // Stolen, by a tab that took this one for gone; or given up.
      const isAborted = error instanceof DOMException && error.name === "AbortError";
      if (!isAborted || turn !== mine || mine.signal.aborted) return;
      isLeading = false;
      leading.abort();
      follow();
    }
  }

  async function lead() {
    if (closing.aborted) return;
    isLeading = true;
    leading.abort();
    leading = new AbortController();
    reading.abort();
    waiting = undefined;
    last = joint = position;

    /**
     * @param {string} next
     * @param {Block} [event]
     */
    function pass(next, event) {
      const message = { before: last, position: next, event };
      last = next;
      tell(message);
      hear(message);
    }

    await open({
      onEvent: (event) => pass(event.lastEventId, event),
      onPosition: (id) => pass(id),
      onState(state, error) {
        standing = { state, error: error && { ...error, message: error.message } };
        // Others may fare better than one that is refused.
        if (state !== "closed") report();
        sink.onState?.(state, error);
      },
      onLife() {
        if (Date.now() - told > LIFE) report();
      },
    }, leading.signal, position);
  }

  // ---- Following

  function follow() {
    ask();
    claim();
  }

  channel.onmessage = ({ data: message }) => {
    if (isLeading) {
      if (message.isQuestion) report();
    } else if (!message.isQuestion) {
      heard = Date.now();
      isDoubtful = false;
      hear(message);
    }
  };

  /** @param {Message} message */
  function hear(message) {
    if (!waiting) return take(message);
    waiting.push(message);
    while (waiting.length > MAX_WAITING || (waiting.length > 1 && charactersOf(waiting) > MAX_CHARACTERS)) {
      waiting.shift();
      covered = Math.max(covered - 1, 0);
    }
  }

  /**
   * @param {Message} message
   * @param {boolean} [isOld] What it tells of has been caught up with, or is from before this tab.
   */
  function take(message, isOld) {
    const { state, error, before, position: next, event } = message;
    if (state) sink.onState?.(state, error && new HeraldError(error.message, error.status, error.retryAfter));
    if (next === undefined) return;
    const isNext = before === position;
    if (event && !event.id && !isNext) {
      // It has no place in the stream, and does not come again.
      sink.onEvent({ ...event, lastEventId: position });
    } else if (isNext) {
      joint = next;
      if (event) deliver(event);
      else if (next !== position) move(next);
    } else if (event ? seen.has(digest(event)) : isOld || before === joint) {
      join(next);
    } else if (!isOld) {
      // One that is not known may be new, or older than where this tab began.
      return catchUp(message);
    }
    const room = sink.room?.();
    if (room) hold(() => room);
  }

  /**
   * Lets what comes wait until something is done.
   *
   * @param {(signal: AbortSignal) => Promise<boolean | void>} until Gives whether it has caught up.
   */
  async function hold(until) {
    waiting ??= [];
    covered = waiting.length;
    reading.abort();
    const { signal } = (reading = new AbortController());
    const isCaughtUp = await until(signal);
    if (signal.aborted || !waiting) return;
    const known = isCaughtUp ? covered : 0;
    const later = waiting;
    waiting = undefined;
    later.forEach((message, index) => {
      if (!waiting) return take(message, index < known);
      // It waits again, with those that come while the hub has not been asked yet.
      covered = waiting.push(message);
    });
  }

  /**
   * Reads what this tab misses.
   *
   * @param {Message} [message] What showed it.
   */
  function catchUp({ event, position: next = joint } = {}) {
    hold(async (signal) => {
      let hasFailed = false;
      await open({
        onEvent: deliver,
        onPosition: move,
        onState(state, error) {
          if (!error) return;
          hasFailed = true;
          sink.onState?.(state, error);
        },
        room: sink.room,
      }, signal, position, true);
      if (signal.aborted) return;
      // The leader knows how it stands now.
      if (hasFailed) ask();
      // Another node may have been asked, that did not have it yet.
      if (event?.id && !seen.has(digest(event))) setTimeout(ask, ANSWER);
      else join(next);
      return true;
    });
  }

  function leave() {
    turn.abort();
    leading.abort();
    isLeading = false;
  }

  function ask() {
    if (isLeading || closing.aborted) return;
    heard = Date.now();
    isDoubtful = true;
    tell({ isQuestion: true });
    setTimeout(() => {
      if (isDoubtful && !isLeading && !closing.aborted) claim(true);
    }, ANSWER);
  }

  const timer = setInterval(() => {
    if (Date.now() - heard > PATIENCE) ask();
  }, PATIENCE / 10);
  const { document } = globalThis;
  document?.addEventListener("visibilitychange", () => document.hidden || ask(), { signal: closing });
  document?.addEventListener("resume", ask, { signal: closing });
  // A page that is left may come back, and holds until then what it held.
  globalThis.addEventListener?.("pagehide", leave, { signal: closing });
  globalThis.addEventListener?.("pageshow", ({ persisted }) => persisted && follow(), { signal: closing });
  closing.addEventListener("abort", () => {
    clearInterval(timer);
    leave();
    reading.abort();
    channel.close();
  });

  follow();
  await navigator.locks.query();
  if (!isLeading && !closing.aborted) catchUp();
}

/**
 * Whether an id of the hub's comes after another; of those that publishers give, nobody can tell.
 *
 * @param {string} id
 * @param {string} other
 */
function isLater(id, other) {
  const [mine, its] = [id, other].map((text) => /^(\d+)-(\d+)$/.exec(text));
  return mine !== null && its !== null && (Number(mine[1]) - Number(its[1]) || Number(mine[2]) - Number(its[2])) > 0;
}

/**
 * Tells events apart without keeping them. An id alone does not: publishers may use it again.
 *
 * @param {Block} event
 */
function digest({ id, type, data }) {
  let [high, low] = [0x811c9dc5, 0x9747b28c];
  for (const text of [id, type, data]) {
    for (let i = 0; i <= text.length; i++) {
      const unit = i < text.length ? text.charCodeAt(i) : 0x10000;
      high = Math.imul(high ^ unit, 0x01000193);
      low = Math.imul(low ^ unit, 0x5bd1e995);
    }
  }
  // As many bits as a number holds.
  return (high >>> 0) * 2 ** 21 + (low >>> 11);
}

/** @param {Message[]} messages */
function charactersOf(messages) {
  return messages.reduce((sum, { event }) => sum + (event?.data.length ?? 0), 0);
}

/** @param {Set<number>} marks In the order in which they were added. */
function oldest(marks) {
  for (const mark of marks) return mark;
  return 0;
}
