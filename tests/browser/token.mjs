// Tokens for a hub with a secret of ours.

import { createHmac } from "node:crypto";

export const KEY = "0123456789abcdef0123456789abcdef";

/** @param {object} grants What its bearer may do. */
export function token(grants) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const claims = { sub: "7", exp: Math.floor(Date.now() / 1000) + 600, herald: grants };
  const signed = `${part({ alg: "HS256", typ: "JWT" })}.${part(claims)}`;
  return `${signed}.${createHmac("sha256", KEY).update(signed).digest("base64url")}`;
}
