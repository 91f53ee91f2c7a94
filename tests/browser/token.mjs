// Tokens for a hub with a secret of ours, made by the binary.

import { execFileSync } from "node:child_process";
import { BINARY } from "./hub.mjs";

export const KEY = "0123456789abcdef0123456789abcdef";

/** What lets its bearer subscribe to and publish to channels and patterns. */
export function token({ subscribe = [], publish = [], sub = "7", ttl = "1h" }) {
  const grants = [...subscribe.flatMap((pattern) => ["--subscribe", pattern]), ...publish.flatMap((pattern) => ["--publish", pattern])];
  return execFileSync(BINARY, ["token", "--jwt-key", KEY, "--sub", sub, "--ttl", ttl, ...grants], { encoding: "utf8" }).trim();
}

export const bearer = (grants) => ({ Authorization: `Bearer ${token(grants)}` });
