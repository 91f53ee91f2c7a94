// nginx and haproxy, set up by the README's own text.

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { until } from "./until.mjs";

const README = readFileSync("../../README.md", "utf8");
const DIR = mkdtempSync(join(tmpdir(), "herald-proxies-"));
process.on("exit", () => rmSync(DIR, { recursive: true }));

const CERTIFICATE = join(DIR, "example.com.pem");
execFileSync("openssl", ["req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
  "-keyout", CERTIFICATE, "-out", CERTIFICATE, "-subj", "/CN=example.com"], { stdio: "ignore" });

/** What the README leaves to Debian's files, and how to run each in the foreground. */
const PROXIES = {
  nginx: {
    around: (server) => `
      daemon off;
      master_process off;
      pid nginx.pid;
      events {}
      http {
        access_log off;
        ${["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((kind) => `${kind}_temp_path temp;`).join(" ")}
        ${server}
      }`,
    command: (config) => ["/usr/sbin/nginx", "-p", DIR, "-e", "stderr", "-c", config],
  },
  haproxy: {
    around: (sections) => `
      defaults
        mode http
        timeout connect 5s
        timeout client 50s
        timeout server 50s
        ${[502, 503, 504].map((status) => `errorfile ${status} /etc/haproxy/errors/${status}.http\n`).join("")}
      ${sections}`,
    command: (config) => ["/usr/sbin/haproxy", "-db", "-q", "-f", config],
  },
};

/** Starts a proxy of example.com before what listens on `port`, and stops it after the test. */
export async function startProxy(t, name, port, changes = []) {
  const own = await freePort();
  const readme = README.match(new RegExp(`^\`\`\`${name}\n(.*?)^\`\`\``, "ms"))[1];
  const text = [
    [/(listen |bind )(:?)443/, `$1127.0.0.1:${own}`],
    [/\/etc\/ssl\/example\.com\.\w+/g, CERTIFICATE],
    ["127.0.0.1:8080", `127.0.0.1:${port}`],
    ...changes,
  ].reduce(change, readme);
  const { around, command } = PROXIES[name];
  const config = join(DIR, `${own}.conf`);
  writeFileSync(config, around(text));
  const [program, ...args] = command(config);
  const proxy = spawn(program, args, { stdio: ["ignore", "ignore", "pipe"] });
  let complaints = "";
  proxy.stderr.on("data", (text) => { complaints += text; });
  t.after(async () => {
    if (proxy.kill("SIGKILL")) await once(proxy, "close");
  });
  await until(() => {
    assert.equal(proxy.exitCode, null, complaints);
    return isOpen(own);
  });
  const origin = `${text.includes(`${own} ssl`) ? "https" : "http"}://example.com:${own}`;
  return { origin, url: `${origin}/live` };
}

/** Replaces what must be there, so that the README and the tests stay together. */
function change(text, [from, to]) {
  const changed = text.replace(from, to);
  assert.notEqual(changed, text, `the README's snippet has no ${from}`);
  return changed;
}

export async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  await new Promise((done) => server.close(done));
  return port;
}

function isOpen(port) {
  const socket = connect(port, "127.0.0.1");
  return new Promise((done) => {
    socket.once("connect", () => done(true)).once("error", () => done(false));
  }).finally(() => socket.destroy());
}
