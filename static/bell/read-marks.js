/**
 * Which notifications have been read, remembered by the browser.
 * @module
 */

/** So many ids are remembered, the newest. */
const KEPT = 500;

/** @type {Map<string, ReadMarks>} */
const all = new Map();

/**
 * The marks under a name in `localStorage`. Where there is no storage, or it is full, they last as
 * long as the page.
 *
 * @param {string} name
 */
export function readMarks(name) {
  const marks = all.get(name) ?? new ReadMarks(name);
  all.set(name, marks);
  return marks;
}

class ReadMarks {
  #name;
  #ids;
  /** @type {Set<() => void>} */
  #watchers = new Set();

  /** @param {string} name */
  constructor(name) {
    this.#name = name;
    this.#ids = new Set(load(name));
    globalThis.addEventListener?.("storage", ({ key }) => {
      if (key !== null && key !== name) return;
      this.#ids = new Set(load(name));
      this.#tell();
    });
  }

  /** @param {string} id */
  has(id) {
    return this.#ids.has(id);
  }

  /** @param {string[]} ids */
  add(ids) {
    // Another tab may have written meanwhile.
    const merged = [...new Set([...load(this.#name), ...this.#ids, ...ids])].slice(-KEPT);
    this.#ids = new Set(merged);
    save(this.#name, merged);
    this.#tell();
  }

  /**
   * Calls `watcher` when there are other marks, here or in another tab. Returns what ends it.
   *
   * @param {() => void} watcher
   */
  watch(watcher) {
    this.#watchers.add(watcher);
    return () => void this.#watchers.delete(watcher);
  }

  #tell() {
    for (const watcher of [...this.#watchers]) watcher();
  }
}

/**
 * @param {string} name
 * @returns {string[]}
 */
function load(name) {
  try {
    const ids = JSON.parse(localStorage.getItem(name) ?? "[]");
    return Array.isArray(ids) ? ids.filter((id) => typeof id === "string") : [];
  } catch {
    return [];
  }
}

/**
 * @param {string} name
 * @param {string[]} ids
 */
function save(name, ids) {
  try {
    localStorage.setItem(name, JSON.stringify(ids));
  } catch {
    // Then this page alone knows.
  }
}
