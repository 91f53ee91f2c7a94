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
  return all.get(name) ?? new ReadMarks(name);
}

class ReadMarks {
  #name;
  #ids;
  /** @type {Set<() => void>} */
  #watchers = new Set();
  #follow = (/** @type {StorageEvent} */ { key }) => {
    if (key !== null && key !== this.#name) return;
    this.#ids = new Set(load(this.#name));
    this.#tell();
  };

  /** @param {string} name */
  constructor(name) {
    this.#name = name;
    this.#ids = new Set(load(name));
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
    if (!this.#watchers.size) {
      all.set(this.#name, this);
      addEventListener("storage", this.#follow);
    }
    this.#watchers.add(watcher);
    return () => {
      this.#watchers.delete(watcher);
      if (this.#watchers.size) return;
      all.delete(this.#name);
      removeEventListener("storage", this.#follow);
    };
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
