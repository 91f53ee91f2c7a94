// Bundles React for pages without a build step: `node vendor.mjs` writes `static/vendor/react.js`.

import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const require = createRequire(import.meta.url);
export const VENDORED = new URL("../../static/vendor/react.js", import.meta.url);

// An import map points all of these at the one file.
const MODULES = ["react", "react-dom", "react-dom/client", "react/jsx-runtime"];

/** The text of the bundle: the same for the same pinned packages. */
export async function bundle() {
  const { outputFiles } = await build({
    stdin: { contents: entry(), resolveDir: fileURLToPath(new URL(".", import.meta.url)) },
    bundle: true,
    minify: true,
    format: "esm",
    target: "es2022",
    define: { "process.env.NODE_ENV": '"production"' },
    legalComments: "none",
    banner: { js: banner() },
    write: false,
  });
  return outputFiles[0].text;
}

/** Names every export, as a bundler cannot see those of a CommonJS module. */
function entry() {
  process.env.NODE_ENV = "production";
  const taken = new Set(["default", "version"]);
  const lines = MODULES.map((module) => {
    const names = Object.keys(require(module)).filter((name) => !name.startsWith("__") && !taken.has(name));
    names.forEach((name) => taken.add(name));
    return `export { ${names.join(", ")} } from "${module}";`;
  });
  return ['export { default, version } from "react";', ...lines].join("\n");
}

function banner() {
  const packages = ["react", "react-dom", "scheduler"];
  const versions = packages.map((name) => `${name} ${require(`${name}/package.json`).version}`);
  const licence = readFileSync(require.resolve("react/package.json").replace("package.json", "LICENSE"), "utf8");
  return `/*!\n${versions.join(", ")}\n\n${licence.trim()}\n*/`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) writeFileSync(VENDORED, await bundle());
