import { chromium } from "playwright-core";

const QUIET = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
  "--disable-background-networking", "--disable-component-update", "--disable-sync"];

export const launch = (...args) => chromium.launch(
  { executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: [...QUIET, ...args] });
