// The client in pages and workers of a real browser, against the real hub.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { numbers, publish, publishAll, startHub } from "./hub.mjs";
import { openBlank, openBrowser, openPage, subscribe } from "./pages.mjs";
import { startServer } from "./servers.mjs";
import { KEY, bearer, token } from "./token.mjs";

describe("a page", { concurrency: 3 }, () => {
  test("that loses the network goes on where it was when it is back", async (t) => {
    const hub = await startHub(t);
    const context = await openBrowser(t);
    const stream = await subscribe(await openBlank(t, context, hub), "/events/a");
    await stream.state("open");
    await publish(hub, "a", "before");
    await stream.received(1);
    await context.setOffline(true);
    await publish(hub, "a", "meanwhile");
    await context.setOffline(false);
    await publish(hub, "a", "after");
    await stream.received(3);
    assert.deepEqual(await stream.events(), ["before", "meanwhile", "after"]);
  });

  test("waits for a hub that restarts, without a complaint of its own", async (t) => {
    const hub = await startHub(t);
    const page = await openBlank(t, await openBrowser(t), hub);
    const stream = await subscribe(page, "/events/a");
    await stream.state("open");
    await publishAll(hub, "a", numbers(10));
    await stream.received(10);
    await hub.stop();
    await stream.state("waiting");
    const again = await startHub(t, { port: hub.port });
    await stream.state("open");
    await publish(again, "a", "after");
    await stream.has("after");
    assert.deepEqual(await stream.events(), [...numbers(10), "gap", "after"]);
  });

  test("is told once of what the hub has let go of meanwhile, and goes on after that", async (t) => {
    const hub = await startHub(t, { flags: ["--history-events", "10"] });
    const page = await openBlank(t, await openBrowser(t), hub);
    // The hub ends the stream after each event.
    const stream = await subscribe(page, "/events/a?limit=1");
    await page.evaluate(() => source.on("gap", ({ json }) => { window.gap = json; }));
    await stream.state("open");
    let letBack;
    const isGone = new Promise((resolve) => { letBack = resolve; });
    await page.route("**/events/a*", (route) => isGone.then(() => route.continue()));
    const { id: first } = await publish(hub, "a", "before");
    await stream.received(1);
    await publishAll(hub, "a", numbers(20));
    const { channels: [{ last_id: last }] } = await fetch(`${hub.url}/channels`).then((answer) => answer.json());
    letBack();
    await stream.received(3);
    assert.deepEqual((await stream.events()).slice(0, 3), ["before", "gap", "10"]);
    const { after, oldest } = await page.evaluate(() => gap);
    assert.equal(after, first);
    assert.ok(oldest > first && oldest < last, `${first} ${oldest} ${last}`);
  });

  for (const [what, event] of [["is looked at", 'document.dispatchEvent(new Event("visibilitychange"))'],
    ["has a network", 'dispatchEvent(new Event("online"))']]) {
    test(`hurries when it ${what} again`, async (t) => {
      const hub = await startHub(t);
      const page = await openBlank(t, await openBrowser(t), hub);
      const stream = await subscribe(page, "/events/a");
      await stream.state("open");
      await hub.stop();
      // The third wait is of eight seconds or more.
      await page.waitForFunction(() => log.states.filter((state) => state === "waiting").length === 3);
      const begin = Date.now();
      await startHub(t, { port: hub.port });
      await page.evaluate(event);
      await stream.state("open");
      assert.ok(Date.now() - begin < 8_000, "it did not wait that long");
    });
  }

  test("does not hurry a hub that said when to come back", async (t) => {
    const server = await startServer(t, (response) =>
      response.writeHead(503, { "Retry-After": "60", "Access-Control-Allow-Origin": "*",
        "Access-Control-Expose-Headers": "Retry-After" }).end());
    const hub = await startHub(t);
    const page = await openBlank(t, await openBrowser(t), hub);
    const stream = await subscribe(page, server.url);
    await stream.state("waiting");
    // What it would ask for would come before what the page asks for after.
    await page.evaluate((url) => {
      document.dispatchEvent(new Event("visibilitychange"));
      dispatchEvent(new Event("online"));
      return new Promise((done) => setTimeout(done)).then(() => fetch(`${url}/after`));
    }, server.url);
    assert.deepEqual(server.asked.map(({ url }) => url), ["/", "/after"]);
    assert.equal(await page.evaluate(() => source.state), "waiting");
    assert.equal(await page.evaluate(() => source.error.retryAfter), 60_000);
  });

  test("may subscribe in a worker of its own", async (t) => {
    const hub = await startHub(t);
    const page = await openBlank(t, await openBrowser(t), hub);
    await page.evaluate((home) => {
      window.told = [];
      const program = `
        import { connect } from "${home}/static/herald.js";
        const source = connect("${home}/events/a");
        source.watch(() => postMessage(source.state));
        for await (const { json } of source) postMessage(json);`;
      window.worker = new Worker(URL.createObjectURL(new Blob([program], { type: "text/javascript" })), { type: "module" });
      worker.onmessage = ({ data }) => told.push(data);
      worker.onerror = ({ message }) => told.push(message);
    }, hub.url);
    await page.waitForFunction(() => told.includes("open"));
    await publish(hub, "a", '{"n":1}');
    await page.waitForFunction(() => told.length === 2);
    assert.deepEqual(await page.evaluate(() => told), ["open", { n: 1 }]);
  });

  test("may share with a worker", async (t) => {
    const hub = await startHub(t);
    const page = await openBlank(t, await openBrowser(t), hub);
    const stream = await subscribe(page, "/events/a", { share: true });
    await stream.state("open");
    await page.evaluate((home) => {
      window.told = [];
      const program = `
        import { connect } from "${home}/static/herald.js";
        const source = connect("${home}/events/a", { share: true });
        source.watch(() => source.state === "open" && postMessage("open"));
        for await (const { data } of source) postMessage(data);`;
      window.worker = new Worker(URL.createObjectURL(new Blob([program], { type: "text/javascript" })), { type: "module" });
      worker.onmessage = ({ data }) => told.push(data);
    }, hub.url);
    await page.waitForFunction(() => told.includes("open"));
    await publish(hub, "a", "one");
    await stream.received(1);
    // It led.
    await stream.close();
    await page.waitForFunction(() => told.includes("one"));
    await publish(hub, "a", "two");
    await page.waitForFunction(() => told.includes("two"));
    assert.deepEqual(await page.evaluate(() => told.filter((text) => text !== "open")), ["one", "two"]);
  });

  test("of another origin subscribes with a token in a header, and resumes after any id", async (t) => {
    const home = await startServer(t, (response) => response.writeHead(200, { "Content-Type": "text/html" }).end());
    const hub = await startHub(t, { flags: ["--jwt-key", KEY, "--cors-origin", home.url] });
    const grants = { subscribe: ["a"], publish: ["a"] };
    const options = { token: token(grants) };
    const write = (text, id) => publish(hub, "a", text, `id=${encodeURIComponent(id)}`, bearer(grants));
    const context = await openBrowser(t);
    // The module is let in from another origin by who serves it; here, by the test.
    await context.route(`${home.url}/static/*`, async (route) =>
      route.fulfill({ response: await route.fetch({ url: route.request().url().replace(home.url, hub.url) }) }));
    const page = await openPage(t, context, home.url);
    const stream = await subscribe(page, `${hub.url}/events/a`, options);
    await stream.state("open");
    await write("one", "тест");
    await stream.received(1);
    await write("two", "end");
    await stream.received(2);
    await page.evaluate(([url, options]) => import("/static/herald.js").then(({ connect }) => {
      window.again = [];
      connect(url, options).on("*", ({ data }) => again.push(data));
    }), [`${hub.url}/events/a`, { ...options, lastEventId: "тест" }]);
    await page.waitForFunction(() => again.length === 1);
    assert.deepEqual(await page.evaluate(() => again), ["two"]);
    const refused = await subscribe(page, `${hub.url}/events/b`, options);
    await refused.state("closed");
    assert.match(await refused.error(), /subscribe/);
  });
});
