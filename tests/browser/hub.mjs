// The real binary, for one test, and what a program does with it.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";

export const BINARY = process.env.HERALD_BINARY ?? "../../target/debug/herald";

/** Starts a hub, and stops it after the test. */
export async function startHub(t, { port = 0, ping = "15s", drain = "0s", flags = [] } = {}) {
  const hub = spawn(BINARY, ["--listen", `127.0.0.1:${port}`, "--admin", "off", "--ping", ping, "--drain", drain, ...flags],
    { stdio: ["ignore", "pipe", "inherit"] });
  const failed = once(hub, "exit").then(() => { throw new Error("the hub did not start"); });
  const [line] = await Promise.race([once(createInterface(hub.stdout), "line"), failed]);
  failed.catch(() => {});
  const stop = async (signal = "SIGKILL") => {
    if (hub.exitCode === null && hub.signalCode === null) {
      hub.kill(signal);
      await once(hub, "exit");
    }
  };
  t.after(() => stop());
  return { url: line.match(/https?:\S+/)[0], port: Number(line.split(":").at(-1)), stop };
}

export const publish = (hub, channel, body, query = "", headers = {}) =>
  fetch(`${hub.url}/events/${channel}?${query}`, { method: "POST", headers, body }).then((answer) => answer.json());

/** Publishes texts, as many in one request as the hub takes of some length. */
export async function publishAll(hub, channel, texts, headers = {}) {
  for (let at = 0; at < texts.length; at += 500) {
    const body = texts.slice(at, at + 500).map((data) => JSON.stringify({ channel, data })).join("\n");
    const answer = await fetch(`${hub.url}/events`, { method: "POST", headers, body });
    assert.equal(answer.status, 200, await answer.text());
  }
}

/** Texts to publish, of which none is missed unnoticed. */
export const numbers = (count, from = 0) => Array.from({ length: count }, (_, n) => `${from + n}`);

/** Sends a notification, or whatever text, and gives its id. */
export async function notify(hub, notification) {
  const body = typeof notification === "string" ? notification : JSON.stringify(notification);
  const answer = await fetch(`${hub.url}/notify`, { method: "POST", body });
  return (await answer.json()).id;
}

/** How many the hub counts. */
export async function subscribers(hub, channel) {
  const answer = await fetch(`${hub.url}/channels/${channel}`);
  assert.equal(answer.status, 200);
  return (await answer.json()).subscribers;
}
