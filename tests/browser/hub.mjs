// The real binary, for one test.

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

export const publish = (hub, channel, body, query = "") =>
  fetch(`${hub.url}/events/${channel}?${query}`, { method: "POST", body }).then((answer) => answer.json());
