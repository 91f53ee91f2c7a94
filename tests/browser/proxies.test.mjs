// A hub behind nginx and haproxy, each set up by the README's own text, in a real browser.

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { request } from "node:https";
import { describe, test } from "node:test";
import { numbers, publish, publishAll, startHub } from "./hub.mjs";
import { openBrowser, openPage } from "./pages.mjs";
import { freePort, startProxy } from "./proxy.mjs";

const RESTARTS = { "a SIGKILL": ["SIGKILL"], "a SIGTERM": ["SIGTERM"] };

/** What differs between the two: the changes that a test makes to the README's text. */
const PROXIES = {
  nginx: {
    withoutTls: [[" ssl http2;", ";"], [/ssl_certificate.*\n/g, "\n"]],
    withoutHttp2: [[" ssl http2;", " ssl;"]],
    withoutComeBack: [[/error_page .*/, ""]],
    patience: (time) => [["proxy_read_timeout 60s", `proxy_read_timeout ${time}`]],
    restarts: RESTARTS,
    statusWhenDown: 502,
  },
  haproxy: {
    withoutTls: [[/ ssl crt .*/, ""]],
    withoutHttp2: [["alpn h2,http/1.1", "alpn http/1.1"]],
    withoutComeBack: [[/http-after-response .*/g, ""]],
    patience: (time) => [["timeout server 60s", `timeout server ${time}`]],
    restarts: {
      ...RESTARTS,
      "a SIGKILL that health checks saw": ["SIGKILL", [[/(server herald .*)/, "$1 check inter 500ms"]]],
    },
    statusWhenDown: 503,
  },
};

/** A browser that takes our own certificate. */
const openTrusting = (t) => openBrowser(t, { ignoreHTTPSErrors: true });

/** A page of the proxy's own origin: its error page, for nothing is there. */
const openBlankPage = async (t, proxy) => openPage(t, await openTrusting(t), `${proxy.origin}/`);

/** An `EventSource` in a blank page, which writes down what it meets. */
async function subscribe(t, proxy) {
  const page = await openBlankPage(t, proxy);
  await page.evaluate((url) => {
    window.log = { opened: 0, errors: [], events: [] };
    const source = new EventSource(url);
    source.onopen = () => log.opened++;
    source.onerror = () => log.errors.push(source.readyState);
    const receive = ({ type, data }) => log.events.push({ type, data, at: Date.now() });
    for (const type of ["message", "gap"]) source.addEventListener(type, receive);
  }, `${proxy.url}/events/demo`);
  return {
    log: () => page.evaluate(() => log),
    /** Waits until `condition` holds for what the page wrote down. */
    until: (condition, number) =>
      page.waitForFunction(`(${condition})(log, ${number})`, undefined, { polling: 20 }),
  };
}

const opened = ({ opened }, times) => opened === times;
const received = ({ events }, count) => events.length >= count;
const texts = ({ events }) => events.map(({ data }) => data);
/** `EventSource.CLOSED`: it has given up. */
const CLOSED = 2;

/** What a program gets: the answer, once its head is here. */
async function ask(url, { method = "GET", headers = {}, body } = {}) {
  const lookup = (_, options, found) => found(null, [{ address: "127.0.0.1", family: 4 }]);
  const asked = request(url, { method, headers, lookup, agent: false, rejectUnauthorized: false }).end(body);
  const [answer] = await once(asked, "response");
  return answer;
}

async function statusOf(url, options) {
  const answer = await ask(url, options);
  answer.destroy();
  return answer.statusCode;
}

for (const [name, its] of Object.entries(PROXIES)) {
  describe(`through ${name}`, { concurrency: 4 }, () => {
    for (const [scheme, changes] of [["https", []], ["http", its.withoutTls]]) {
      test(`every event comes at once over ${scheme}`, async (t) => {
        // Without pings nothing else can push an event out that is held back.
        const hub = await startHub(t, { ping: "1h" });
        const stream = await subscribe(t, await startProxy(t, name, hub.port, changes));
        await stream.until(opened, 1);
        for (let count = 1; count <= 10; count++) {
          await publish(hub, "demo", `${Date.now()}`);
          await stream.until(received, count);
        }
        const { events } = await stream.log();
        // What holds events back holds each of them.
        const delays = events.map(({ data, at }) => at - data);
        assert.ok(Math.min(...delays) < 1_000, `delays in milliseconds: ${delays}`);
      });
    }

    test("a large event comes whole, and a burst in order", async (t) => {
      const hub = await startHub(t);
      const stream = await subscribe(t, await startProxy(t, name, hub.port));
      await stream.until(opened, 1);
      const large = Array.from({ length: 150_000 }, (_, n) => n).join(" ");
      await publish(hub, "demo", large);
      const burst = numbers(1_000);
      await publishAll(hub, "demo", burst);
      await stream.until(received, 1_001);
      assert.deepEqual(texts(await stream.log()), [large, ...burst]);
    });

    test("pings keep a quiet stream", async (t) => {
      const hub = await startHub(t, { ping: "250ms" });
      const stream = await subscribe(t, await startProxy(t, name, hub.port, its.patience("2s")));
      await stream.until(opened, 1);
      const begin = Date.now();
      await stream.until((_, begin) => Date.now() > begin + 5_000, begin);
      await publish(hub, "demo", "still here");
      await stream.until(received, 1);
      const { opened: times, errors } = await stream.log();
      assert.deepEqual({ times, errors }, { times: 1, errors: [] });
    });

    test("without pings a quiet stream is cut, and comes back without a loss", async (t) => {
      const hub = await startHub(t, { ping: "1h" });
      const stream = await subscribe(t, await startProxy(t, name, hub.port, its.patience("2s")));
      await stream.until(({ errors }) => errors.length === 1);
      await publish(hub, "demo", "while away");
      await stream.until(received, 1);
      assert.deepEqual(texts(await stream.log()), ["while away"]);
    });

    for (const [what, [signal, changes]] of Object.entries(its.restarts)) {
      test(`an EventSource comes back after ${what} and a new start of the hub`, async (t) => {
        const hub = await startHub(t, { drain: "1s" });
        const stream = await subscribe(t, await startProxy(t, name, hub.port, changes));
        await stream.until(opened, 1);
        await publish(hub, "demo", "before");
        await stream.until(received, 1);
        await hub.stop(signal);
        // It asked while nobody was there, and was told to come back.
        await stream.until(opened, 2);
        const again = await startHub(t, { port: hub.port });
        await stream.until(received, 2);
        await publish(again, "demo", "after");
        await stream.until(received, 3);
        const { events, errors } = await stream.log();
        assert.deepEqual(events.map(({ type }) => type), ["message", "gap", "message"]);
        assert.ok(!errors.includes(CLOSED));
      });
    }

    test("without the README's help an EventSource gives up while the hub is down", async (t) => {
      const hub = await startHub(t);
      const stream = await subscribe(t, await startProxy(t, name, hub.port, its.withoutComeBack));
      await stream.until(opened, 1);
      await hub.stop();
      await stream.until(({ errors }) => errors.at(-1) === EventSource.CLOSED);
    });

    test("while the hub is down, programs get an error, and an EventSource an empty stream", async (t) => {
      const { url } = await startProxy(t, name, await freePort());
      assert.equal(await statusOf(`${url}/events/demo`), its.statusWhenDown);
      const answer = await ask(`${url}/events/demo`, { headers: { Accept: "text/event-stream" } });
      assert.equal(answer.statusCode, 200);
      assert.equal(answer.headers["content-type"], "text/event-stream");
      assert.match(answer.headers["cache-control"], /no-(store|cache)/);
      assert.doesNotMatch((await answer.toArray()).join(""), /^(data|event|id|retry)/m);
    });

    test("a program can tell a stream that was cut from one that ended", async (t) => {
      const hub = await startHub(t);
      const { url } = await startProxy(t, name, hub.port);
      const ended = await ask(`${url}/events/demo?wait=0`);
      await ended.toArray();
      const cut = await ask(`${url}/events/demo`);
      await hub.stop();
      await assert.rejects(cut.toArray(), { code: "ECONNRESET" });
    });

    for (const [version, changes, most] of [["HTTP/2", [], 12], ["HTTP/1.1", its.withoutHttp2, 6]]) {
      test(`a page has ${most} of 12 streams over ${version}`, async (t) => {
        const hub = await startHub(t);
        const proxy = await startProxy(t, name, hub.port, changes);
        const page = await openBlankPage(t, proxy);
        await page.evaluate((url) => {
          window.streams = Array.from({ length: 12 }, (_, n) => new EventSource(`${url}/events/${n}`));
          for (const stream of streams) stream.onmessage = () => { stream.isServed = true; };
        }, proxy.url);
        const count = (condition) =>
          page.waitForFunction(`streams.filter(${condition}).length === ${most}`, undefined, { polling: 20 });
        await count(({ readyState }) => readyState === 1);
        for (let channel = 0; channel < 12; channel++) await publish(hub, channel, "hello");
        await count(({ isServed }) => isServed);
        await count(({ readyState }) => readyState === 1);
      });
    }

    test("the hub's page works below the prefix, but for publishing", async (t) => {
      const hub = await startHub(t);
      const proxy = await startProxy(t, name, hub.port);
      const page = await openPage(t, await openTrusting(t), `${proxy.url}/`);
      await page.waitForSelector('#state[data-state="open"]', { state: "attached" });
      const { id } = await publish(hub, "demo", "hello");
      await page.waitForSelector(`.row[data-id="${id}"]`);
      await page.click("#publish");
      await page.waitForSelector("#published.failed");
      assert.equal(await page.locator(".row:visible").count(), 1);
    });

    test("the world may read streams, and nothing else", async (t) => {
      const hub = await startHub(t);
      const { url } = await startProxy(t, name, hub.port);
      for (const path of ["/events/demo", "/events?channel=demo", "/notifications"]) {
        assert.equal(await statusOf(url + path), 200, path);
        assert.equal(await statusOf(url + path, { method: "HEAD" }), 200, path);
      }
      for (const path of ["/events/demo", "/events", "/notify", "/notifications"]) {
        assert.ok([403, 404].includes(await statusOf(url + path, { method: "POST", body: "x" })), path);
      }
      for (const path of ["/channels", "/channels/demo", "/time", "/eventsource"]) {
        assert.ok([403, 404].includes(await statusOf(url + path)), path);
      }
      const published = await fetch(`${hub.url}/events?channel=**&last_event_id=earliest&wait=0`);
      assert.doesNotMatch(await published.text(), /^data/m);
    });

    test("the hub hears the client's address, and the rest of the request as it was", async (t) => {
      const hub = createServer(({ url, headers }, answer) => answer.end(JSON.stringify({ url, headers })));
      hub.listen(0, "127.0.0.1");
      t.after(() => hub.close());
      await once(hub, "listening");
      const { url } = await startProxy(t, name, hub.address().port);
      const path = "/events/a%20b/%C3%BC%25/c%3Fd?last=5&since=1%25";
      const answer = await ask(url + path, { headers: { "X-Forwarded-For": "192.0.2.1", "Last-Event-ID": "7-0" } });
      const { url: asked, headers } = JSON.parse((await answer.toArray()).join(""));
      assert.equal(asked, path);
      assert.match(headers.host, /^(localhost|127\.0\.0\.1:\d+)$/);
      assert.equal(headers["x-forwarded-for"], "127.0.0.1");
      assert.equal(headers["last-event-id"], "7-0");
    });
  });
}
