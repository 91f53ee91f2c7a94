// A hub that speaks HTTPS itself, in a real browser.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { startHub } from "./hub.mjs";
import { openBrowser, openPage } from "./pages.mjs";

const DIR = mkdtempSync(join(tmpdir(), "herald-https-"));
const [CERT, KEY] = ["cert.pem", "key.pem"].map((name) => join(DIR, name));

execFileSync("openssl", ["req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
  "-keyout", KEY, "-out", CERT, "-subj", "/CN=127.0.0.1"], { stdio: "ignore" });
after(() => rmSync(DIR, { recursive: true }));

test("streams beyond six share one connection over HTTP/2", async (t) => {
  const hub = await startHub(t, { flags: ["--tls-cert", CERT, "--tls-key", KEY] });
  const page = await openPage(t, await openBrowser(t, { ignoreHTTPSErrors: true }), hub.url);
  await page.waitForSelector('#state[data-state="open"]', { state: "attached" });
  const received = await page.evaluate(async () => {
    const sources = Array.from({ length: 20 }, () => new EventSource("/events/many"));
    await Promise.all(sources.map((source) => new Promise((opened) => { source.onopen = opened; })));
    const events = sources.map((source) => new Promise((received) => {
      source.onmessage = (event) => received(event.data);
    }));
    await fetch("/events/many", { method: "POST", body: "hello" });
    return Promise.all(events);
  });
  assert.deepEqual(received, Array(20).fill("hello"));
  const protocol = await page.evaluate(() => performance.getEntriesByType("navigation")[0].nextHopProtocol);
  assert.equal(protocol, "h2");
});
