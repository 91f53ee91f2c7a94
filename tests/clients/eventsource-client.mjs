// npm eventsource-client

import { createEventSource } from "eventsource-client";

for await (const { id, event, data } of createEventSource(process.argv[2])) {
  console.log(JSON.stringify({ id, event: event ?? "message", data }));
}
