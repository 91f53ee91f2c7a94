"""PyPI httpx-sse. It does not reconnect; its documentation says to, with `sse.id` and `sse.retry`."""

import json
import sys
import time

import httpx
from httpx_sse import connect_sse

last_event_id, retry = "", 3000

# By default, httpx gives up a stream that is silent for five seconds.
with httpx.Client(timeout=httpx.Timeout(5, read=60)) as client:
    while True:
        headers = {"Last-Event-ID": last_event_id} if last_event_id else {}
        try:
            with connect_sse(client, "GET", sys.argv[1], headers=headers) as source:
                for sse in source.iter_sse():
                    last_event_id = sse.id
                    if sse.retry is not None:
                        retry = sse.retry
                    print(json.dumps({"id": sse.id, "event": sse.event, "data": sse.data}), flush=True)
        except httpx.TransportError:
            pass
        time.sleep(retry / 1000)
