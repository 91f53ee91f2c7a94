// What a page that takes every event keeps of them: nothing. HERALD_SOAK_MINUTES makes it a long one.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { publishAll, startHub } from "./hub.mjs";
import { openBlank, openBrowser } from "./pages.mjs";

const MINUTES = Number(process.env.HERALD_SOAK_MINUTES ?? 0);
const [RATE, SECONDS] = MINUTES ? [200, MINUTES * 60] : [1_500, 16];
/** Each event's own, and all that came with it, if something held on to that. */
const PADDING = "x".repeat(500);

describe("the heap of a page does not grow with the events", { concurrency: true }, () => {
  for (const share of [false, true]) {
    test(share ? "that it shares" : "that it iterates over", async (t) => {
      const hub = await startHub(t);
      const page = await openBlank(t, await openBrowser(t), hub);
      await page.evaluate(async (share) => {
        const { connect } = await import("/static/herald.js");
        window.count = 0;
        window.source = connect("/events/a", { share });
        (async () => {
          for await (const { json } of source) if (json.n === count) count++;
        })();
      }, share);
      await page.waitForFunction(() => source.state === "open");
      const session = await page.context().newCDPSession(page);
      const heap = async () => {
        await session.send("HeapProfiler.collectGarbage");
        return (await session.send("Runtime.getHeapUsage")).usedSize / 1_000;
      };
      const sizes = [];
      const total = RATE * SECONDS;
      const begin = Date.now();
      // By then a leader remembers as many events as it ever does.
      const marks = [0.7, 0.8, 0.9, 1].map((part) => total * part);
      for (let sent = 0; sent < total; ) {
        const batch = Array.from({ length: RATE / 10 }, () => JSON.stringify({ n: sent++, padding: PADDING }));
        await publishAll(hub, "a", batch);
        if (sent >= marks[0]) {
          await page.waitForFunction((count) => window.count === count, sent);
          marks.shift();
          sizes.push(await heap());
        }
        await pause(begin + (sent / RATE) * 1_000 - Date.now());
      }
      const growth = sizes.at(-1) - sizes[0];
      const told = `${sizes.map((size) => size.toFixed()).join(", ")} kB after ${total} events`;
      t.diagnostic(told);
      assert.ok(growth < 300, told);
    });
  }
});
