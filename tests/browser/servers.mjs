// What a hub does not do on demand: servers that answer as told, and a network that fails.

import { once } from "node:events";
import { createServer } from "node:http";
import { connect, createServer as createTcpServer } from "node:net";

async function listen(t, server) {
  const sockets = new Set();
  server.on("connection", (socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return sockets;
}

/**
 * Answers each request by the next of `answers`, the last one for ever: a status, or what is called
 * with the request and the response. Writes down when each came, and its headers.
 */
export async function startServer(t, ...answers) {
  const asked = [];
  const server = createServer((request, response) => {
    const answer = answers[Math.min(asked.length, answers.length - 1)];
    asked.push({ at: Date.now(), url: request.url, headers: request.headers });
    if (typeof answer === "function") answer(response, request);
    else response.writeHead(answer).end();
  });
  await listen(t, server);
  const port = server.address().port;
  return { url: `http://127.0.0.1:${port}`, port, asked };
}

/** Answers with a stream of `text`, and keeps it open, or ends it. */
export const stream = (text, { end = false, headers = {} } = {}) => (response) => {
  response.writeHead(200, { "Content-Type": "text/event-stream", ...headers });
  response.write(text);
  if (end) response.end();
};

/** A way to `port` that can be cut, or go silent without a word. */
export async function startNetwork(t, port) {
  let isSilent = false;
  const server = createTcpServer((near) => {
    const far = connect(port, "127.0.0.1");
    for (const [from, to] of [[near, far], [far, near]]) {
      from.on("data", (data) => isSilent || to.write(data));
      from.on("error", () => {});
      from.on("close", () => to.destroy());
    }
  });
  const sockets = await listen(t, server);
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    cut: () => sockets.forEach((socket) => socket.resetAndDestroy()),
    silence: (yes) => { isSilent = yes; },
    connections: () => sockets.size,
  };
}
