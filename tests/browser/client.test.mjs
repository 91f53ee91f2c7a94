// The client in Node, against a real hub, and for what a hub does not do on demand, a server that does.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { connect } from "../../static/herald.js";
import { backoff } from "../../static/stream.js";
import { numbers, publish, publishAll, startHub, subscribers } from "./hub.mjs";
import { startNetwork, startServer, stream } from "./servers.mjs";
import { KEY, bearer, token } from "./token.mjs";
import { inTime, until } from "./until.mjs";

const CLIENT = new URL("../../static/herald.js", import.meta.url).href;
const READ = { subscribe: ["**"] };

/** Subscribes, and closes after the test. */
function subscribe(t, url, options) {
  const stream = connect(url, options);
  t.after(() => stream.close());
  const events = [];
  const states = [];
  stream.on("*", ({ type, data }) => events.push(type === "message" ? data : type));
  stream.watch(() => states.push(stream.error ? `${stream.state}: ${stream.error.message}` : stream.state));
  return Object.assign(stream, { events, states });
}

/** Waits until `condition` holds of a stream, if only for a moment. */
async function reaches(stream, condition) {
  const stops = [];
  const isSo = new Promise((done) => {
    const look = () => condition(stream) && done();
    stops.push(stream.on("*", look), stream.watch(look));
    look();
  });
  await inTime(isSo, () => `${stream.state}, ${stream.events?.length} events, for ${condition}`);
  for (const stop of stops) stop();
}

const opened = (stream) => reaches(stream, ({ state }) => state === "open");
const closed = (stream) => reaches(stream, ({ state }) => state === "closed");
const waits = (stream) => reaches(stream, ({ state }) => state === "waiting");
const received = (stream, count) => reaches(stream, ({ events }) => events.length >= count);

const event = (data, id) => `${id ? `id: ${id}\n` : ""}data: ${data}\n\n`;

function temporaryDirectory(t) {
  const path = mkdtempSync(join(tmpdir(), "herald-client-"));
  t.after(() => rmSync(path, { recursive: true }));
  return path;
}

/** Runs a program in a process of its own, and gives what it prints. */
async function run(program, ...args) {
  const child = spawn(process.execPath, ["--input-type=module", "-e", program, ...args], { stdio: ["ignore", "pipe", "inherit"] });
  const printed = (await child.stdout.toArray()).join("");
  if (child.exitCode === null) await once(child, "exit");
  return printed.trim().split("\n");
}

test("waits grow with failures to half a minute, differ, and are no shorter than asked for", () => {
  const many = (...args) => Array.from({ length: 1_000 }, () => backoff(...args));
  for (let failures = 0; failures < 2_000; failures = failures * 2 + 1) {
    const waits = many(2_000, failures);
    const least = Math.min(2_000 * 2 ** failures, 30_000);
    assert.ok(waits.every((wait) => wait >= least && wait <= 1.5 * least), `${failures}`);
    assert.ok(new Set(waits).size > 900);
  }
  assert.ok(many(60_000, 5).every((wait) => wait >= 60_000 && wait <= 90_000), "the server's own is longer");
  assert.ok(many(2_000, 0, 40_000).every((wait) => wait >= 40_000 && wait <= 60_000), "Retry-After");
  assert.equal(backoff(Infinity, 3, 1e15), 86_400_000, "a day is the longest");
  assert.ok(many(0, 0).every((wait) => wait >= 100), "nor one whose streams end at once");
  assert.ok(many(0, 1).every((wait) => wait >= 1_000), "a server that fails is not asked again at once for ever");
  assert.ok(many(0, 2_000).every((wait) => wait >= 30_000));
});

describe("the client", { concurrency: 8 }, () => {
  test("receives by type, and by `*`, with JSON when there is some", async (t) => {
    const hub = await startHub(t);
    const source = subscribe(t, `${hub.url}/events`, { channels: ["a", "b/*"] });
    const orders = [];
    const named = [];
    source.on("*", ({ channels }) => named.push(channels));
    source.on("order", ({ json, data, id, lastEventId }) => orders.push([json, data, id === lastEventId]));
    await opened(source);
    await publish(hub, "a", "no: {json", "event=order");
    await publish(hub, "b/c", '{"price": 1}', "event=order");
    await publish(hub, "a", "plain");
    await received(source, 3);
    assert.deepEqual(orders, [[undefined, "no: {json", true], [{ price: 1 }, '{"price": 1}', true]]);
    assert.deepEqual(named, [["a"], ["b/c"], ["a"]]);
    assert.deepEqual(source.states, ["open"]);
  });

  test("channels are asked for by name, and to be named", async (t) => {
    const server = await startServer(t, stream("channel: a&b\ndata: x\n\n"));
    const source = subscribe(t, `${server.url}/events?since=1m`, { channels: ["a&b", "c/**"] });
    const named = [];
    source.on("*", ({ channels }) => named.push(...channels));
    await received(source, 1);
    assert.deepEqual(named, ["a&b"]);
    assert.equal(server.asked[0].url, "/events?since=1m&channel=a%26b&channel=c%2F**&show=channel");
  });

  test("an event of the type `*` comes once", async (t) => {
    const hub = await startHub(t);
    const source = subscribe(t, `${hub.url}/events/a`);
    await opened(source);
    await publish(hub, "a", "x", "event=*");
    await publish(hub, "a", "end");
    await reaches(source, ({ events }) => events.at(-1) === "end");
    assert.deepEqual(source.events, ["*", "end"]);
  });

  for (const status of [204, 400, 404, 410]) {
    test(`${status} is final`, async (t) => {
      const server = await startServer(t, status);
      const source = subscribe(t, server.url);
      await closed(source);
      assert.equal(source.error.status, status);
      assert.match(source.error.message, new RegExp(`the server answers ${status}`));
      assert.equal(server.asked.length, 1);
    });
  }

  for (const type of ["text/html", "text/event-streambogus", "text/event-stream-not", undefined]) {
    test(`what is ${type} is no event stream, for good`, async (t) => {
      const server = await startServer(t, (response) => response.writeHead(200, type && { "Content-Type": type }).end("data: x\n\n"));
      const source = subscribe(t, `${server.url}/page`);
      await closed(source);
      assert.equal(source.error.message, "/page is no event stream");
      assert.deepEqual(source.events, []);
    });
  }

  for (const type of ["text/event-stream;charset=utf-8", "Text/Event-Stream ; charset=x", "text/event-stream;"]) {
    test(`${type} is an event stream`, async (t) => {
      const server = await startServer(t, stream(event("x"), { headers: { "Content-Type": type } }));
      await received(subscribe(t, server.url), 1);
    });
  }

  test("what a hub says of a refusal is the error's message", async (t) => {
    const hub = await startHub(t);
    const source = subscribe(t, `${hub.url}/events/a//b`);
    await closed(source);
    assert.match(source.error.message, /empty segment/);
    assert.equal(source.error.status, 400);
    await assert.rejects(async () => {
      for await (const _ of source);
    }, { name: "HeraldError", status: 400 });
  });

  const failures = { 500: 500, 502: 502, 408: 408, 425: 425, "a reset": (response) => response.destroy(),
    "half an answer": (response) => {
      stream("data: half")(response);
      setTimeout(() => response.destroy(), 20);
    } };
  for (const [name, failure] of Object.entries(failures)) {
    test(`${name} is waited out, and so is an end`, async (t) => {
      const server = await startServer(t, stream("retry: 1\n\n", { end: true }), failure, stream(event("x")));
      const source = subscribe(t, server.url);
      await received(source, 1);
      assert.deepEqual(source.events, ["x"]);
      assert.equal(source.error, undefined);
      assert.match(source.states.join(), /^open,waiting,connecting,.*waiting: .*open$/);
    });
  }

  test("a server's `retry` is how long the first wait is, and the next is longer", async (t) => {
    const [short, longer] = [20, 400].map((wait) => stream(`retry: ${wait}\n\n`, { end: true }));
    const server = await startServer(t, short, longer, 503, 503, stream(event("x")));
    await received(subscribe(t, server.url), 1);
    const [least, first, second, third] = server.asked.slice(1).map(({ at }, n) => at - server.asked[n].at);
    assert.ok(least >= 20 && least < 2_000, `${least} is not the client's own wait`);
    assert.ok(first >= 400, `${first}`);
    assert.ok(second >= 1_000, `${second}`);
    assert.ok(third >= 2_000, `${third}`);
  });

  for (const [how, after] of [["seconds", () => "1"], ["a date", () => new Date(Date.now() + 2_000).toUTCString()]]) {
    for (const status of [429, 503]) {
      test(`${status} with a Retry-After in ${how} is waited for`, async (t) => {
        let begin;
        const server = await startServer(t, stream("retry: 1\n\n", { end: true }), (response) => {
          begin = Date.parse(after()) - 1_000 || Date.now();
          response.writeHead(status, { "Retry-After": after() }).end();
        }, stream(event("x")));
        await received(subscribe(t, server.url), 1);
        const waited = server.asked[2].at - server.asked[1].at;
        const asked = how === "seconds" ? 1_000 : begin + 1_000 - server.asked[1].at;
        assert.ok(waited >= asked, `${waited} ms of ${asked}`);
      });
    }
  }

  test("a hub that is full says so to this client, and when to come back", async (t) => {
    const hub = await startHub(t, { flags: ["--max-subscribers", "1"] });
    await opened(subscribe(t, `${hub.url}/events/a`));
    const source = subscribe(t, `${hub.url}/events/a`);
    await waits(source);
    assert.equal(source.error.status, 503);
    assert.ok(source.error.retryAfter >= 1_000, `${source.error.retryAfter}`);
  });

  test("a token that has expired is replaced once, and nothing is missed", async (t) => {
    const hub = await startHub(t, { flags: ["--jwt-key", KEY] });
    const fresh = token(READ);
    const write = (text) => publish(hub, "a", text, "", bearer({ publish: ["a"] }));
    let asked = 0;
    const source = subscribe(t, `${hub.url}/events/a`, {
      token: token({ ...READ, ttl: "2s" }),
      getToken: async () => {
        asked++;
        // While nobody reads.
        await write("meanwhile");
        return fresh;
      },
    });
    await opened(source);
    await write("before");
    await received(source, 2);
    assert.deepEqual(source.events, ["before", "meanwhile"]);
    assert.equal(asked, 1);
    await opened(source);
  });

  test("without a token one is asked for first", async (t) => {
    const hub = await startHub(t, { flags: ["--jwt-key", KEY] });
    let asked = 0;
    const source = subscribe(t, `${hub.url}/events/a`, { getToken: () => (asked++, token(READ)) });
    await opened(source);
    assert.equal(asked, 1);
  });

  test("who is refused twice is closed, and told why", async (t) => {
    const hub = await startHub(t, { flags: ["--jwt-key", KEY] });
    let asked = 0;
    const source = subscribe(t, `${hub.url}/events/a`, { token: "stale", getToken: () => (asked++, "no better") });
    await closed(source);
    assert.equal(asked, 1);
    assert.equal(source.error.status, 401);
    assert.match(source.error.message, /token/);
    const without = subscribe(t, `${hub.url}/events/a`, { token: token({ subscribe: ["b"] }) });
    await closed(without);
    assert.equal(without.error.status, 403);
  });

  test("a token may be replaced again after a failure in between", async (t) => {
    const server = await startServer(t, stream("retry: 1\n\n", { end: true }), 401, 500, 401, 401);
    let asked = 0;
    const source = subscribe(t, server.url, { token: "0", getToken: () => `${++asked}` });
    await closed(source);
    assert.deepEqual(server.asked.map(({ headers }) => headers.authorization),
      ["0", "0", "1", "1", "2"].map((token) => `Bearer ${token}`));
  });

  test("a `getToken` that fails is asked again later", async (t) => {
    const server = await startServer(t, stream(event("x")));
    let asked = 0;
    const source = subscribe(t, server.url, {
      getToken() {
        if (!asked++) throw new Error("the login is away");
        return "good";
      },
    });
    await waits(source);
    assert.equal(source.error.message, "the login is away");
    await received(source, 1);
    assert.equal(server.asked[0].headers.authorization, "Bearer good");
  });

  test("own ids of any letters are resumed after", async (t) => {
    for (const id of ["blå", "тест-1", "😀", "a b"]) {
      const hub = await startHub(t);
      const network = await startNetwork(t, hub.port);
      const source = subscribe(t, `${network.url}/events/a`);
      await opened(source);
      await publish(hub, "a", "one", `id=${encodeURIComponent(id)}`);
      await received(source, 1);
      assert.equal(source.lastEventId, id);
      source.close();
      const again = subscribe(t, `${network.url}/events/a`, { lastEventId: source.lastEventId });
      await publish(hub, "a", "two");
      await received(again, 1);
      assert.deepEqual(again.events, ["two"], id);
    }
  });

  test("`earliest` is all that is kept", async (t) => {
    const hub = await startHub(t);
    await publishAll(hub, "a", numbers(3));
    const source = subscribe(t, `${hub.url}/events/a`, { lastEventId: "earliest" });
    await received(source, 3);
    assert.deepEqual(source.events, numbers(3));
  });

  test("a restart of a hub that keeps its journal costs nothing and doubles nothing", async (t) => {
    const flags = ["--journal", `disk:${temporaryDirectory(t)}`];
    let hub = await startHub(t, { flags });
    const source = subscribe(t, `${hub.url}/events/a`);
    await opened(source);
    await publishAll(hub, "a", numbers(500));
    await received(source, 1);
    await hub.stop();
    await waits(source);
    hub = await startHub(t, { port: hub.port, flags });
    await publishAll(hub, "a", numbers(500, 500));
    await received(source, 1_000);
    await publish(hub, "a", "end");
    await received(source, 1_001);
    assert.deepEqual(source.events, [...numbers(1_000), "end"]);
  });

  test("a restart of a hub that forgets is one gap", async (t) => {
    let hub = await startHub(t);
    const source = subscribe(t, `${hub.url}/events/a`);
    await opened(source);
    await publish(hub, "a", "before");
    await received(source, 1);
    await hub.stop();
    hub = await startHub(t, { port: hub.port });
    await received(source, 2);
    await publish(hub, "a", "after");
    await received(source, 3);
    assert.deepEqual(source.events, ["before", "gap", "after"]);
  });

  test("connections that are cut in a burst lose nothing", async (t) => {
    const hub = await startHub(t);
    const network = await startNetwork(t, hub.port);
    // The hub's own `retry` is of seconds.
    const source = subscribe(t, `${network.url}/events/a`);
    await opened(source);
    for (let at = 0; at < 300; at += 100) {
      for (const text of numbers(100, at)) {
        await publish(hub, "a", text);
        if (text.endsWith("50")) network.cut();
      }
      await received(source, at + 100);
    }
    assert.deepEqual(source.events, numbers(300));
  });

  test("a connection that dies without a word is noticed within twice the ping", async (t) => {
    const hub = await startHub(t, { ping: "1s" });
    const network = await startNetwork(t, hub.port);
    const source = subscribe(t, `${network.url}/events/a`);
    await opened(source);
    await pause(4_000);
    assert.deepEqual(source.states, ["open"], "pings keep it");
    const begin = Date.now();
    network.silence(true);
    await waits(source);
    const passed = Date.now() - begin;
    // A ping may have come up to its whole time before.
    assert.ok(passed >= 900 && passed < 20_000, `${passed} ms`);
    assert.equal(source.error.message, "nothing came for 2 s");
    await publish(hub, "a", "meanwhile");
    network.silence(false);
    await received(source, 1);
    assert.deepEqual(source.events, ["meanwhile"]);
  });

  test("an answer that takes longer than pings later do is no dead connection", async (t) => {
    const server = await startServer(t, (response) => setTimeout(() => {
      stream(": here\n")(response);
      setTimeout(() => response.write(event("x")), 200);
    }, 1_000));
    const source = subscribe(t, server.url, { ping: 250 });
    await received(source, 1);
    assert.equal(server.asked.length, 1);
  });

  test("a server's own word on its pings counts, and without one there is no end", async (t) => {
    const says = await startServer(t, stream(": here\n", { headers: { "Herald-Ping": "200" } }));
    const source = subscribe(t, says.url);
    await waits(source);
    assert.equal(source.error.message, "nothing came for 0.4 s");
    const quiet = [];
    for (const headers of [{}, { "Herald-Ping": "soon" }, { "Herald-Ping": "4000000000" }]) {
      quiet.push((await startServer(t, stream(": here\n", { headers }))).url);
    }
    const [states, calls] = await run(`
      import { createHook } from "node:async_hooks";
      const { connect } = await import(${JSON.stringify(CLIENT)});
      const sources = process.argv.slice(1).map((url) => connect(url));
      await Promise.all(sources.map((source) => new Promise((done) =>
        source.watch(() => source.state === "open" && done()))));
      let calls = 0;
      createHook({ before: () => calls++ }).enable();
      await new Promise((done) => setTimeout(done, 1_000));
      console.log(sources.map(({ state }) => state).join());
      console.log(calls);
      process.exit();`, ...quiet);
    assert.equal(states, "open,open,open");
    assert.ok(calls < 100, `no timer runs wild: ${calls} calls in a second`);
  });

  test("a consumer that takes nothing stops the stream, and later has every event in order", async (t) => {
    const hub = await startHub(t, { ping: "500ms", flags: ["--stall", "2s", "--send-buffer", "64KiB"] });
    const source = connect(`${hub.url}/events/a`);
    t.after(() => source.close());
    let dispatched = 0;
    source.on("*", () => dispatched++);
    const iterator = source[Symbol.asyncIterator]();
    await opened(Object.assign(source, { events: [] }));
    const first = iterator.next();
    const padding = "x".repeat(1_900);
    const texts = numbers(10_000).map((number) => `${number} ${padding}`);
    await publishAll(hub, "a", texts);
    const got = [(await first).value.data];
    // Nothing more arrives once it is full: not in what is longer than the hub stalls.
    let before = -1;
    for (let quiet = 0; quiet < 6; quiet = dispatched === before ? quiet + 1 : 0) {
      before = dispatched;
      await pause(500);
    }
    assert.ok(dispatched < 1_200, `${dispatched} events in the client`);
    while (got.length < texts.length) got.push((await iterator.next()).value.data);
    assert.deepEqual(got, texts);
    await iterator.return();
  });

  test("closing inside a listener is the end, and the position is that event's", async (t) => {
    const server = await startServer(t, stream(`${event(1, 1)}${event(2, 2)}id: 3\n\n${event(4, 4)}`));
    const source = subscribe(t, server.url);
    source.on("message", () => source.close());
    await closed(source);
    await pause(50);
    assert.deepEqual([source.events, source.lastEventId, source.error], [["1"], "1", undefined]);
  });

  test("a closed stream leaves the hub, and its iteration ends", async (t) => {
    const hub = await startHub(t);
    const source = subscribe(t, `${hub.url}/events/a`);
    const iterated = (async () => {
      const got = [];
      for await (const { data } of source) got.push(data);
      return got;
    })();
    await opened(source);
    await publish(hub, "a", "x");
    await received(source, 1);
    source.close();
    assert.deepEqual(await iterated, ["x"]);
    await until(async () => !(await subscribers(hub, "a")));
  });

  test("a signal closes it, before and during", async (t) => {
    const server = await startServer(t, stream(event("x")));
    const before = subscribe(t, server.url, { signal: AbortSignal.abort() });
    assert.equal(before.state, "closed");
    const during = new AbortController();
    const source = subscribe(t, server.url, { signal: during.signal });
    await received(source, 1);
    during.abort();
    assert.equal(source.state, "closed");
    assert.equal(server.asked.length, 1);
    const waiting = new AbortController();
    const away = subscribe(t, "http://127.0.0.1:1/", { signal: waiting.signal });
    await waits(away);
    waiting.abort();
    assert.equal(away.state, "closed");
  });

  test("listeners that come and go while an event is told", async (t) => {
    const server = await startServer(t, (response) => {
      stream(event(1))(response);
      setTimeout(() => response.write(event(2)), 50);
    });
    const source = subscribe(t, server.url);
    const told = [];
    source.on("message", ({ data }) => {
      told.push(`first ${data}`);
      stop();
      if (data === "1") source.on("message", ({ data }) => told.push(`late ${data}`));
    });
    const stop = source.on("message", () => told.push("stopped"));
    await received(source, 2);
    assert.deepEqual(told, ["first 1", "first 2", "late 2"]);
  });

  test("a listener that throws harms neither the others nor the stream, and is not kept secret", async (t) => {
    const server = await startServer(t, stream(`${event("{", 1)}${event(2, 2)}`));
    const printed = await run(`
      process.on("uncaughtException", ({ message }) => console.log("uncaught", message));
      const { connect } = await import(${JSON.stringify(CLIENT)});
      const source = connect(process.argv[1]);
      source.watch(() => { throw new Error(source.state); });
      source.on("*", ({ data }) => { throw new Error("listener " + data); });
      source.on("*", ({ data, json, id }) => {
        console.log("heard", data, json);
        if (id === "2") setTimeout(() => source.close());
      });`, server.url);
    assert.deepEqual(printed.sort(), ["heard 2 2", "heard { undefined", "uncaught closed", "uncaught listener 2",
      "uncaught listener {", "uncaught open"]);
  });

  test("a process ends when its stream is closed", async (t) => {
    const hub = await startHub(t);
    const printed = await run(`
      const { connect } = await import(${JSON.stringify(CLIENT)});
      const source = connect(process.argv[1]);
      source.watch(() => { console.log(source.state); if (source.state === "open") source.close(); });
    `, `${hub.url}/events/a`);
    assert.deepEqual(printed, ["open", "closed"]);
  });

  test("it works in a worker thread", async (t) => {
    const hub = await startHub(t);
    const worker = new Worker(`
      const { parentPort, workerData } = require("node:worker_threads");
      import(workerData.client).then(async ({ connect }) => {
        const source = connect(workerData.url);
        source.watch(() => parentPort.postMessage(source.state));
        for await (const { json } of source) parentPort.postMessage(json);
      });`, { eval: true, workerData: { client: CLIENT, url: `${hub.url}/events/a` } });
    t.after(() => worker.terminate());
    assert.deepEqual(await once(worker, "message"), ["open"]);
    await publish(hub, "a", '{"n":1}');
    assert.deepEqual(await once(worker, "message"), [{ n: 1 }]);
  });

  test("headers of one's own are sent, and a relative address needs a page", async (t) => {
    const server = await startServer(t, stream(event("x")));
    await received(subscribe(t, server.url, { headers: { "X-Own": "1" } }), 1);
    assert.equal(server.asked[0].headers["x-own"], "1");
    assert.equal(server.asked[0].headers.accept, "text/event-stream, application/problem+json");
    assert.throws(() => connect("/events/a"), { code: "ERR_INVALID_URL" });
  });
});
