// npm eventsource

import { EventSource } from "eventsource";

const source = new EventSource(process.argv[2]);
for (const type of ["message", "order", "gap"]) {
  source.addEventListener(type, ({ lastEventId, type, data }) => {
    console.log(JSON.stringify({ id: lastEventId, event: type, data }));
  });
}
