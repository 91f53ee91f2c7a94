import { chromium } from "playwright-core";

const QUIET = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
  "--disable-background-networking", "--disable-component-update", "--disable-sync"];

const start = (options, ...args) => chromium.launch(
  { executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: [...QUIET, ...args], ...options });

export const launch = (...args) => start({}, ...args);

/** One that keeps the pages that it leaves, for the way back. */
export const launchKeeping = () => start({ ignoreDefaultArgs: ["--disable-back-forward-cache"] });
