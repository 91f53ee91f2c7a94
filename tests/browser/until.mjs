// Waiting for what comes in its own time, but not for ever: what is lost fails the test that waits for it.

import assert from "node:assert/strict";
import { setTimeout as pause } from "node:timers/promises";

/** So long, in milliseconds, a test waits in vain: far longer than anything takes on a busy machine. */
export const LONGEST = 60_000;

/** Resolves when `look` says so. */
export async function until(look) {
  const end = Date.now() + LONGEST;
  while (!(await look())) {
    if (Date.now() > end) assert.fail(`waited in vain for ${look}`);
    await pause(20);
  }
}

/** Gives what `promise` does, or fails with what `tell` then says. */
export async function inTime(promise, tell) {
  const over = new AbortController();
  const vain = pause(LONGEST, undefined, { signal: over.signal }).then(() => assert.fail(`waited in vain: ${tell()}`));
  vain.catch(() => {});
  return Promise.race([promise, vain]).finally(() => over.abort());
}
