import { chromium } from "playwright-core";

const QUIET = ["--no-sandbox", "--host-resolver-rules=MAP example.com 127.0.0.1", "--disable-gpu", "--disable-quic", "--no-first-run",
  "--disable-background-networking", "--disable-component-update", "--disable-sync"];

export const launch = (options) => chromium.launch(
  { executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: QUIET, ...options });

/** One that keeps the pages that it leaves, for the way back. */
export const launchKeeping = () => launch({ ignoreDefaultArgs: ["--disable-back-forward-cache"] });
