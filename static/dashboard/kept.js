/**
 * The events that the page keeps: the newest, and of those what a filter lets through.
 * @module
 */

/** @typedef {import("../herald.js").HeraldEvent} HeraldEvent */
/** @typedef {{ number: number, at: Date, event: HeraldEvent }} Entry */

/** So many events… */
export const MAX_KEPT = 10_000;
/** …and so many characters of data are kept. */
export const MAX_CHARACTERS = 64 * 1024 * 1024;

export class Kept {
  /** What is shown, the oldest first. @type {Entry[]} */
  shown = [];
  /** How many of them came since anybody looked. */
  fresh = 0;

  /** @type {Entry[]} */
  #all = [];
  #characters = 0;
  #count = 0;
  #filter = "";

  /** @param {HeraldEvent} event */
  add(event) {
    const entry = { number: ++this.#count, at: new Date(), event };
    this.#all.push(entry);
    this.#characters += event.data.length;
    if (this.#isShown(entry)) {
      this.shown.push(entry);
      this.fresh += 1;
    }
    while (this.#all.length > MAX_KEPT || (this.#characters > MAX_CHARACTERS && this.#all.length > 1)) {
      const oldest = this.#all.shift();
      this.#characters -= oldest?.event.data.length ?? 0;
      if (this.shown[0] === oldest) this.shown.shift();
    }
  }

  clear() {
    this.#all = [];
    this.shown = [];
    this.fresh = 0;
    this.#characters = 0;
  }

  /** @param {string} text */
  filter(text) {
    this.#filter = text.toLowerCase();
    this.shown = this.#all.filter((entry) => this.#isShown(entry));
    this.fresh = 0;
  }

  /** @param {Entry} entry */
  #isShown({ event }) {
    const { type, lastEventId, channels, data } = event;
    return !this.#filter || [type, lastEventId, data, ...channels].some((text) => text.toLowerCase().includes(this.#filter));
  }
}
