// `static/` as an npm package: its types, and an app that is built with it.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { once } from "node:events";
import { cp, mkdir, mkdtemp, readFile, readdir, rm, symlink, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { delimiter, extname, join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { notify, publish, startHub } from "./hub.mjs";
import { openBrowser, openPage } from "./pages.mjs";

const STATIC = fileURLToPath(new URL("../../static", import.meta.url));
const MODULES = fileURLToPath(new URL("node_modules", import.meta.url));
const PAGES = fileURLToPath(new URL("pages/app", import.meta.url));
const PATH = [join(MODULES, ".bin"), process.env.PATH].join(delimiter);

/** Runs a program, and fails the test with what it says. */
async function run(cwd, program, ...args) {
  const env = { ...process.env, PATH, NODE_ENV: "production" };
  try {
    return (await promisify(execFile)(program, args, { cwd, env })).stdout;
  } catch ({ stdout, stderr }) {
    assert.fail(`${program} ${args.join(" ")}\n${stdout}${stderr}`);
  }
}

let folder;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "herald-app-"));
  await installApp();
});

after(async () => {
  await rm(folder, { recursive: true });
});

/** A fresh app, with the package as npm would unpack it, and all else from the tests' own packages. */
async function installApp() {
  await cp(PAGES, folder, { recursive: true });
  const [{ filename }] = JSON.parse(await run(STATIC, "npm", "pack", "--json", "--pack-destination", folder));
  const unpacked = join(folder, "node_modules", "herald-client");
  await mkdir(unpacked, { recursive: true });
  await run(folder, "tar", "-xzf", filename, "-C", unpacked, "--strip-components", "1");
  for (const name of ["react", "react-dom", "vite", "@types"]) {
    await symlink(join(MODULES, name), join(folder, "node_modules", name));
  }
}

test("the modules are as their comments declare", async () => {
  await run(STATIC, "tsc", "-p", ".", "--noEmit");
});

test("the package has the modules, their types and the licences, and nothing else", async () => {
  const files = await readdir(join(folder, "node_modules", "herald-client"), { recursive: true });
  const modules = ["bell", "bell/notification", "bell/read-marks", "bell/style", "bell/view",
    "event-stream", "herald", "react", "share", "stream"];
  assert.deepEqual(files.filter((file) => extname(file)).sort(), [
    "README.md", "package.json", ...modules.flatMap((name) => [`${name}.js`, `types/${name}.d.ts`]),
  ].sort());
  assert.deepEqual(files.filter((file) => file.startsWith("LICENSE")).sort(), ["LICENSE", "LICENSE-APACHE", "LICENSE-MIT"]);
});

test("an app with types is checked, and a wrong use is refused", async () => {
  await run(folder, "tsc", "-p", ".");
  await writeFile(join(folder, "src", "wrong.tsx"), `
    import { NotificationBell, useSSE } from "herald-client/react";
    export const Wrong = () => <NotificationBell src={7} />;
    export const wrong = () => useSSE<{ cups: number }>("/events/a").data!.cups.length;
  `);
  const said = await run(folder, "tsc", "-p", ".").then(() => "", ({ message }) => message);
  await rm(join(folder, "src", "wrong.tsx"));
  assert.match(said, /wrong\.tsx\(3,.*\n(.*\n)*.*wrong\.tsx\(4,.*'length' does not exist on type 'number'/);
});

test("an app that is built with it works, at another address than the hub's", async (t) => {
  await run(folder, "vite", "build");
  const address = await serve(t, join(folder, "dist"));
  const hub = await startHub(t, { flags: ["--cors-origin", address] });
  const page = await openPage(t, await openBrowser(t), `${address}/?hub=${encodeURIComponent(hub.url)}`);
  await page.waitForSelector('[data-state="open"]');
  await publish(hub, "orders", '{"item":"tea","cups":2}', "event=order");
  await page.getByText("2 cups of tea").waitFor();
  await page.getByText("connect: order").waitFor();
  await notify(hub, { title: "It is ready" });
  await page.getByRole("button", { name: "Notifications, 1 unread" }).click();
  await page.getByRole("button", { name: "It is ready" }).click();
  await page.getByText("selected: It is ready").waitFor();
});

/** A server of files, until the test ends. */
async function serve(t, root) {
  const types = { ".html": "text/html", ".js": "text/javascript", ".css": "text/css" };
  const server = createServer(async (request, response) => {
    const { pathname } = new URL(request.url, "http://localhost");
    const path = pathname === "/" ? "/index.html" : pathname;
    try {
      const content = await readFile(join(root, path));
      response.writeHead(200, { "Content-Type": types[extname(path)] ?? "text/plain" }).end(content);
    } catch {
      response.writeHead(404).end();
    }
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.closeAllConnections() ?? server.close());
  return `http://127.0.0.1:${server.address().port}`;
}
