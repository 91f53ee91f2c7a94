// npm event-source-polyfill

import { EventSourcePolyfill } from "event-source-polyfill";

const source = new EventSourcePolyfill(process.argv[2]);
for (const type of ["message", "order", "gap"]) {
  source.addEventListener(type, ({ lastEventId, type, data }) => {
    console.log(JSON.stringify({ id: lastEventId, event: type, data }));
  });
}
