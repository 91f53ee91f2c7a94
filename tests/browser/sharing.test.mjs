// Tabs that share one connection, in a real browser, against the real hub.

import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { launchKeeping } from "./chromium.mjs";
import { numbers, publish, publishAll, startHub, subscribers as count } from "./hub.mjs";
import { openBlank, openBrowser, openPage, subscribe } from "./pages.mjs";
import { KEY, bearer, token } from "./token.mjs";
import { until } from "./until.mjs";

/** How long tabs that nobody looks at wait for a leader that is silent. */
const PATIENCE = 20_000;

/** Opens a tab that shares, once it is open. */
async function openTab(t, context, hub, path = "/events/a", options = {}) {
  const tab = await subscribe(await openBlank(t, context, hub), path, { share: true, ...options });
  await tab.state("open");
  return tab;
}

async function openTabs(t, context, hub, count) {
  const tabs = [];
  // The first leads.
  while (tabs.length < count) tabs.push(await openTab(t, context, hub));
  await caughtUp(hub);
  return tabs;
}

const subscribers = (hub, channel = "a") => count(hub, channel);

/** Waits until nobody but the leader has a connection. */
async function caughtUp(hub, channel) {
  await until(async () => (await subscribers(hub, channel)) === 1);
}

/** Publishes in small batches, and does something in between. */
async function publishWhile(hub, texts, doings, size = 5) {
  const every = Math.floor(texts.length / (doings.length + 1) / size) * size;
  const done = [];
  for (let at = 0; at < texts.length; at += size) {
    if (at && at % every === 0 && doings.length) done.push(doings.shift()());
    await publishAll(hub, "a", texts.slice(at, at + size));
  }
  await Promise.all(done);
}

/** Every tab has all of `texts`, each once and in order. */
async function haveAll(tabs, texts) {
  for (const tab of tabs) {
    await tab.has(texts.at(-1));
    assert.deepEqual(await tab.events(), texts);
  }
}

const session = (page) => page.context().newCDPSession(page);

/**
 * Stops a tab as Chromium freezes one that was not looked at for long: it keeps its lock and its
 * connection, and no task runs. Gives what thaws it. (A page that is visible, as all are that a test
 * opens, cannot be frozen in earnest.)
 */
async function freeze({ page }) {
  const debugging = await session(page);
  await debugging.send("Debugger.enable");
  const paused = new Promise((done) => debugging.once("Debugger.paused", done));
  debugging.send("Runtime.evaluate", { expression: "debugger" }).catch(() => {});
  await paused;
  return () => debugging.send("Debugger.resume");
}

/** Ends a tab's renderer as a lack of memory would. */
async function crash({ page }) {
  const crashed = new Promise((done) => page.once("crash", done));
  (await session(page)).send("Page.crash").catch(() => {});
  await crashed;
}

/** As if it was looked at again. */
const look = ({ page }) => page.evaluate(() => document.dispatchEvent(new Event("visibilitychange")));

/** Publishes one number after another until it is stopped, and counts them. */
function publishOn(t, hub) {
  const publisher = { count: 0, isOver: false };
  const publishing = (async () => {
    for (; !publisher.isOver; publisher.count++) {
      await publish(hub, "a", `${publisher.count}`);
      // The hub's position is then not always one that the leader has told.
      await publish(hub, "other", "x");
    }
  })();
  publisher.stop = () => {
    publisher.isOver = true;
    return publishing;
  };
  t.after(publisher.stop);
  return publisher;
}

/** Lets what the hub answers to a page that catches up reach it only once `isTime`, each time. */
async function holdCatchUps(page, isTime) {
  const held = { count: 0 };
  await page.route(({ searchParams }) => searchParams.get("wait") === "0", async (route) => {
    const response = await route.fetch();
    held.count++;
    await isTime();
    await route.fulfill({ response });
  });
  return held;
}

describe("tabs that share", { concurrency: 3 }, () => {
  test("seven of them get every event over HTTP/1.1, and the hub has one subscriber", async (t) => {
    const hub = await startHub(t);
    const tabs = await openTabs(t, await openBrowser(t), hub, 7);
    const texts = numbers(200);
    for (const text of texts) await publish(hub, "a", text);
    await haveAll(tabs, texts);
    assert.equal(await subscribers(hub), 1);
    for (const tab of tabs) assert.deepEqual(await tab.page.evaluate(() => source.lastEventId), (await tab.page.evaluate(() => log.ids)).at(-1));
  });

  test("leaders that close in a burst take nothing with them", async (t) => {
    const hub = await startHub(t);
    const tabs = await openTabs(t, await openBrowser(t), hub, 6);
    const texts = numbers(1_000);
    const leaving = tabs.splice(0, 3);
    await publishWhile(hub, texts, leaving.map(({ page }) => () => page.close()));
    await haveAll(tabs, texts);
    await caughtUp(hub);
  });

  test("a leader that only closes its stream leaves the lead", async (t) => {
    const hub = await startHub(t);
    const tabs = await openTabs(t, await openBrowser(t), hub, 4);
    const texts = numbers(1_000);
    const leaving = tabs.splice(0, 2);
    await publishWhile(hub, texts, leaving.map((tab) => () => tab.close()));
    await haveAll(tabs, texts);
    await caughtUp(hub);
  });

  test("a leader that crashes in a burst takes nothing with it", async (t) => {
    const hub = await startHub(t);
    // Pages of one browser share a renderer.
    const context = await openBrowser(t);
    const tabs = await openTabs(t, context, hub, 4);
    const texts = numbers(1_000);
    const [first] = tabs.splice(0, 1);
    await publishWhile(hub, texts, [() => crash(first)]);
    await haveAll(tabs, texts);
    await caughtUp(hub);
  });

  test("a leader that is frozen is replaced at once by a tab that is looked at, and doubles nothing after", async (t) => {
    const hub = await startHub(t);
    const tabs = await openTabs(t, await openBrowser(t), hub, 4);
    const [first, second, ...rest] = tabs;
    const texts = numbers(1_000);
    let thaw;
    let begin;
    await publishWhile(hub, texts.slice(0, 500), [async () => {
      begin = Date.now();
      thaw = await freeze(first);
      // More than once, and by more than one.
      await Promise.all([look(second), look(second), look(rest[0]), look(second)]);
    }]);
    await haveAll([second, ...rest], texts.slice(0, 500));
    assert.ok(Date.now() - begin < PATIENCE, "nobody had to lose patience");
    await publishWhile(hub, texts.slice(500), [thaw]);
    await haveAll(tabs, texts);
    await caughtUp(hub);
  });

  test("a leader that is frozen is replaced by tabs that nobody looks at, once they lose patience", async (t) => {
    const hub = await startHub(t);
    const tabs = await openTabs(t, await openBrowser(t), hub, 3);
    const [first, ...rest] = tabs;
    await publishAll(hub, "a", ["0"]);
    await haveAll(tabs, ["0"]);
    const thaw = await freeze(first);
    const begin = Date.now();
    await publishAll(hub, "a", ["1"]);
    await haveAll(rest, ["0", "1"]);
    const passed = Date.now() - begin;
    assert.ok(passed > PATIENCE - 5_000, `${passed} ms`);
    await thaw();
    // Nothing is published that could show it what it misses.
    await haveAll(tabs, ["0", "1"]);
    await publishAll(hub, "a", ["2"]);
    await haveAll(tabs, ["0", "1", "2"]);
    await caughtUp(hub);
  });

  test("a tab that was frozen, and not told all, notices by the next ping", async (t) => {
    const hub = await startHub(t, { ping: "1s" });
    const tabs = await openTabs(t, await openBrowser(t), hub, 3);
    await publishAll(hub, "a", ["0"]);
    await haveAll(tabs, ["0"]);
    const thaw = await freeze(tabs[1]);
    await publishAll(hub, "a", ["1", "2"]);
    await haveAll([tabs[0], tabs[2]], ["0", "1", "2"]);
    await thaw();
    await haveAll(tabs, ["0", "1", "2"]);
  });

  test("tabs of a quiet channel do not ask a busy hub again and again", async (t) => {
    const hub = await startHub(t, { ping: "300ms" });
    const context = await openBrowser(t);
    await publishAll(hub, "a", ["0"]);
    const tabs = [];
    for (let count = 0; count < 3; count++) {
      await publishAll(hub, "other", ["x"]);
      tabs.push(await openTab(t, context, hub));
    }
    await caughtUp(hub);
    const asked = [];
    for (const { page } of tabs) page.on("request", (request) => asked.push(request.url()));
    await pause(3_000);
    // Once, at most, to agree with the leader on where they are.
    assert.ok(asked.length <= tabs.length, `${asked}`);
    await publishAll(hub, "a", ["1"]);
    await haveAll(tabs, ["1"]);
  });

  test("a tab that heard nothing for long takes over without a gap that is none", async (t) => {
    const hub = await startHub(t, { ping: "500ms", flags: ["--history-events", "10"] });
    const context = await openBrowser(t);
    const leader = await openTab(t, context, hub);
    const follower = await openTab(t, context, hub);
    await caughtUp(hub);
    // The hub moves on between any two things that the tabs hear of it.
    const moving = setInterval(() => publish(hub, "other", "x").catch(() => {}), 10);
    t.after(() => clearInterval(moving));
    const late = await openTab(t, context, hub);
    for (const tab of [late, follower]) {
      const begun = await tab.page.evaluate(() => source.lastEventId);
      await tab.page.waitForFunction((begun) => source.lastEventId !== begun, begun, { polling: 20 });
    }
    clearInterval(moving);
    await publishAll(hub, "other", numbers(20));
    const last = await late.page.evaluate(() => source.lastEventId);
    await late.page.waitForFunction((last) => source.lastEventId !== last, last, { polling: 20 });
    for (const tab of [leader, follower]) await tab.page.close();
    await caughtUp(hub);
    await publishAll(hub, "a", ["hello"]);
    await haveAll([late], ["hello"]);
  });

  test("a restart of a hub that keeps its journal costs nothing and doubles nothing", async (t) => {
    const directory = mkdtempSync(join(tmpdir(), "herald-sharing-"));
    t.after(() => rmSync(directory, { recursive: true }));
    const flags = ["--journal", `disk:${directory}`];
    const hub = await startHub(t, { flags });
    const tabs = await openTabs(t, await openBrowser(t), hub, 4);
    await publishAll(hub, "a", numbers(300));
    await hub.stop();
    const again = await startHub(t, { port: hub.port, flags });
    await publishAll(again, "a", numbers(300, 300));
    await haveAll(tabs, numbers(600));
    await caughtUp(again);
  });

  test("a restart of a hub that forgets is one gap for each", async (t) => {
    const hub = await startHub(t);
    const tabs = await openTabs(t, await openBrowser(t), hub, 4);
    await publishAll(hub, "a", ["before"]);
    await haveAll(tabs, ["before"]);
    await hub.stop();
    for (const tab of tabs) await tab.state("waiting");
    const again = await startHub(t, { port: hub.port });
    for (const tab of tabs) await tab.has("gap");
    await publishAll(again, "a", ["after"]);
    await haveAll(tabs, ["before", "gap", "after"]);
  });

  test("a leader that closes while the hub is away is followed by one that comes back", async (t) => {
    const hub = await startHub(t);
    const tabs = await openTabs(t, await openBrowser(t), hub, 3);
    await hub.stop();
    await tabs[0].state("waiting");
    await tabs[0].page.close();
    await tabs[1].state("waiting");
    const again = await startHub(t, { port: hub.port });
    await tabs[1].state("open");
    await publishAll(again, "a", ["after"]);
    await tabs[1].has("after");
  });

  test("a late tab gets its history, and then the rest, once", async (t) => {
    const hub = await startHub(t);
    const context = await openBrowser(t);
    await publishAll(hub, "a", numbers(10));
    const early = await openTab(t, context, hub, "/events/a?last=5");
    await haveAll([early], numbers(5, 5));
    await publishAll(hub, "a", numbers(10, 10));
    await early.has("19");
    const texts = numbers(300, 20);
    const late = [];
    await publishWhile(hub, texts, [async () => late.push(await openTab(t, context, hub, "/events/a?last=5"))], 2);
    await haveAll([early], numbers(315, 5));
    await late[0].has("319");
    const events = await late[0].events();
    assert.deepEqual(events, numbers(320 - events[0], Number(events[0])));
    assert.ok(events[0] >= 15);
  });

  for (const lastEventId of ["earliest", undefined]) {
    const from = lastEventId ? "from the earliest on" : "from when the hub answers on";
    test(`late tabs that see late what the hub answers get every event once, ${from}`, async (t) => {
      const hub = await startHub(t);
      const context = await openBrowser(t);
      const leader = await openTab(t, context, hub);
      await caughtUp(hub);
      const publisher = publishOn(t, hub);
      const late = [];
      while (late.length < 5) {
        const page = await openBlank(t, context, hub);
        let answered;
        const held = await holdCatchUps(page, async () => {
          const now = publisher.count;
          answered ??= now;
          // The leader tells of some in between.
          await until(async () => publisher.isOver || (await leader.page.evaluate(() => log.events.length)) > now + 10);
        });
        const tab = await subscribe(page, "/events/a", { share: true, lastEventId });
        await tab.state("open");
        await until(() => held.count);
        late.push({ tab, latest: lastEventId ? 0 : answered + 1 });
      }
      await publisher.stop();
      const texts = numbers(publisher.count);
      await haveAll([leader], texts);
      for (const { tab, latest } of late) {
        await tab.has(texts.at(-1));
        const events = await tab.events();
        assert.ok(Number(events[0]) <= latest, `${events[0]} is later than ${latest}`);
        assert.deepEqual(events, texts.slice(Number(events[0])));
      }
    });
  }

  test("late tabs have at once what came last while they saw late what the hub answers", async (t) => {
    const hub = await startHub(t, { ping: "1h" });
    const context = await openBrowser(t);
    const leader = await openTab(t, context, hub);
    const texts = [];
    for (let count = 0; count < 3; count++) {
      // The hub's position is then not one that the leader has told.
      await publish(hub, "other", "x");
      const page = await openBlank(t, context, hub);
      let told;
      await holdCatchUps(page, async () => {
        if (told) return;
        told = Date.now();
        const text = `${texts.push(`${texts.length}`) - 1}`;
        await publish(hub, "a", text);
        await leader.has(text);
      });
      const tab = await subscribe(page, "/events/a", { share: true });
      await until(() => told);
      await tab.received(1);
      assert.ok(Date.now() - told < PATIENCE / 2, "it did not wait for the leader to say how it stands");
      assert.deepEqual(await tab.events(), texts.slice(-1));
    }
    await haveAll([leader], texts);
  });

  test("a late tab gets every event once, though more come than wait while it catches up", async (t) => {
    const hub = await startHub(t);
    const context = await openBrowser(t);
    const leader = await openTab(t, context, hub);
    await publishAll(hub, "a", numbers(10));
    await leader.has("9");
    const texts = numbers(2_510);
    const page = await openBlank(t, context, hub);
    const held = await holdCatchUps(page, () => leader.has(texts.at(-1)));
    const late = await subscribe(page, "/events/a", { share: true, lastEventId: "earliest" });
    await until(() => held.count);
    await publishAll(hub, "a", texts.slice(10));
    await haveAll([leader, late], texts);
    await publishAll(hub, "a", ["end"]);
    await haveAll([leader, late], [...texts, "end"]);
    await caughtUp(hub);
  });

  test("tabs of two names do not mix", async (t) => {
    const hub = await startHub(t);
    const context = await openBrowser(t);
    const names = [];
    for (const share of ["one", "one", "two", "two"]) names.push(await openTab(t, context, hub, "/events/a", { share }));
    await until(async () => (await subscribers(hub)) === 2);
    await publishAll(hub, "a", ["x"]);
    await haveAll(names, ["x"]);
    await names[0].page.close();
    await publishAll(hub, "a", ["y"]);
    await haveAll(names.slice(1), ["x", "y"]);
  });

  test("who is refused sees nothing of what the others get", async (t) => {
    const hub = await startHub(t, { flags: ["--jwt-key", KEY] });
    const context = await openBrowser(t);
    const good = token({ subscribe: ["a"] });
    const bad = token({ subscribe: ["b"] });
    const write = bearer({ publish: ["a"] });
    const first = await openBlank(t, context, hub);
    const second = await openBlank(t, context, hub);
    // Both at once, so that neither finds a leader.
    const [welcome, refused] = await Promise.all([
      subscribe(first, "/events/a", { share: true, token: good, lastEventId: "earliest" }),
      subscribe(second, "/events/a", { share: true, token: bad, lastEventId: "earliest" }),
    ]);
    const texts = numbers(50);
    for (const text of texts) await publishAll(hub, "a", [text], write);
    await refused.state("closed");
    assert.match(await refused.error(), /token|grant|subscribe/);
    await welcome.has("49");
    assert.deepEqual(await refused.events(), []);
    const later = await subscribe(await openBlank(t, context, hub), "/events/a", { share: true, token: bad });
    await publishAll(hub, "a", ["x"], write);
    await later.state("closed");
    assert.deepEqual(await later.events(), []);
  });

  test("who finds the hub full is told so, and takes over from who closes", async (t) => {
    const hub = await startHub(t, { flags: ["--max-subscribers", "1"] });
    const context = await openBrowser(t);
    const [first] = await openTabs(t, context, hub, 1);
    const second = await subscribe(await openBlank(t, context, hub), "/events/a", { share: true, lastEventId: "earliest" });
    await second.state("waiting");
    assert.match(await second.error(), /full|subscribers/);
    const texts = numbers(2_000);
    for (let at = 0; at < texts.length; at += 100) await publishAll(hub, "a", texts.slice(at, at + 100));
    await haveAll([first], texts);
    assert.deepEqual(await second.events(), []);
    await first.close();
    await haveAll([second], texts);
    await second.state("open");
  });

  test("ids that publishers use again are no reason to drop an event", async (t) => {
    const hub = await startHub(t);
    const context = await openBrowser(t);
    const tabs = await openTabs(t, context, hub, 3);
    const texts = ["on", "off", "on", "off", "on"];
    for (const text of texts) await publish(hub, "a", text, "id=lamp");
    await haveAll(tabs, texts);
  });

  test("a leader whose own consumer takes nothing holds up nobody, and keeps little", async (t) => {
    const hub = await startHub(t);
    const context = await openBrowser(t);
    const tabs = await openTabs(t, context, hub, 3);
    const slow = tabs.slice(0, 2);
    for (const { page } of slow) {
      await page.evaluate(() => {
        window.taken = [];
        window.iterator = source[Symbol.asyncIterator]();
        window.first = iterator.next();
      });
    }
    const texts = numbers(5_000);
    for (let at = 0; at < texts.length; at += 100) await publishAll(hub, "a", texts.slice(at, at + 100));
    await haveAll(tabs.slice(2), texts);
    for (const tab of slow) assert.ok((await tab.events()).length < 4_000, "no more than what comes at once");
    for (const { page } of slow) {
      const taken = await page.evaluate(async (count) => {
        const taken = [(await first).value.data];
        while (taken.length < count) taken.push((await iterator.next()).value.data);
        return taken;
      }, texts.length);
      assert.deepEqual(taken, texts);
    }
    await haveAll(tabs, texts);
    await caughtUp(hub);
    // One that is full and closes leaves the lead, too.
    await publishAll(hub, "a", numbers(1_000, 5_000));
    await publishAll(hub, "a", numbers(1_000, 6_000));
    await slow[0].close();
    await publishAll(hub, "a", ["end"]);
    await tabs[2].has("end");
  });

  test("a leader that is busy for long is asked in vain, and nothing is lost", async (t) => {
    const hub = await startHub(t);
    const tabs = await openTabs(t, await openBrowser(t), hub, 3);
    const busy = tabs[0].page.evaluate(() => {
      const end = Date.now() + 4_000;
      while (Date.now() < end);
    });
    for (const tab of tabs.slice(1)) await look(tab);
    const texts = numbers(300);
    await publishWhile(hub, texts, []);
    await haveAll(tabs.slice(1), texts);
    await busy;
    await haveAll(tabs, texts);
    await caughtUp(hub);
  });

  test("tabs that all close, and open again, start anew", async (t) => {
    const hub = await startHub(t);
    const context = await openBrowser(t);
    for (const round of ["first", "second"]) {
      const tabs = await openTabs(t, context, hub, 2);
      await publishAll(hub, "a", [round]);
      await haveAll(tabs, [round]);
      for (const { page } of tabs) await page.close();
      await until(async () => !(await subscribers(hub)));
    }
  });

  test("a tab that goes elsewhere and comes back is one of them again", async (t) => {
    const hub = await startHub(t);
    const tabs = await openTabs(t, await openBrowser(t), hub, 2);
    const [first, second] = tabs;
    await first.page.goto("about:blank");
    await publishAll(hub, "a", ["one"]);
    await haveAll([second], ["one"]);
    await first.page.goBack();
    const again = await subscribe(first.page, "/events/a", { share: true });
    await again.state("open");
    await caughtUp(hub);
    await publishAll(hub, "a", ["two"]);
    await again.has("two");
    await haveAll([second], ["one", "two"]);
  });

  test("a page that is kept for the way back lets go of the lead, and takes nothing for lost", async (t) => {
    const hub = await startHub(t);
    const keeping = await launchKeeping();
    t.after(() => keeping.close());
    const context = await openBrowser(t, {}, keeping);
    // One that may be stored, as pages are that a browser keeps.
    const openKept = async () => {
      const page = await openPage(t, context, `${hub.url}/static/stream.js`);
      const tab = await subscribe(page, "/events/a", { share: true });
      await tab.state("open");
      return tab;
    };
    const [first, second] = [await openKept(), await openKept()];
    await caughtUp(hub);
    await first.page.goto(`${hub.url}/static/share.js`);
    const begin = Date.now();
    await publishAll(hub, "a", ["one"]);
    await haveAll([second], ["one"]);
    assert.ok(Date.now() - begin < PATIENCE, "nobody had to lose patience");
    await second.page.goto(`${hub.url}/static/share.js`);
    await until(async () => !(await subscribers(hub)));
    await publishAll(hub, "a", ["two"]);
    await second.page.evaluate(() => history.back()).catch(() => {});
    await second.page.waitForURL("**/stream.js", { waitUntil: "commit" });
    // Nobody told it anything, so it was kept.
    await haveAll([second], ["one", "two"]);
    await caughtUp(hub);
  });

  test("closing while it is still being set up leaves nothing behind", async (t) => {
    const hub = await startHub(t);
    const context = await openBrowser(t);
    const [tab] = await openTabs(t, context, hub, 1);
    const page = await openBlank(t, context, hub);
    await page.evaluate(async () => {
      const { connect } = await import("/static/herald.js");
      for (let delay = 0; delay < 40; delay++) {
        const source = connect("/events/a", { share: true });
        await new Promise((done) => setTimeout(done, delay % 20));
        source.close();
      }
    });
    await caughtUp(hub);
    await page.waitForFunction(async () => {
      const { held, pending } = await navigator.locks.query();
      return held.length === 1 && !pending.length;
    });
    await publishAll(hub, "a", ["x"]);
    await haveAll([tab], ["x"]);
  });
});
