"""PyPI sseclient-py, over urllib3. It parses one response; to come back is left to its user."""

import json
import sys
import time

import sseclient
import urllib3

last_event_id, retry = "", 3000
http = urllib3.PoolManager(retries=False)

while True:
    headers = {"Last-Event-ID": last_event_id} if last_event_id else {}
    try:
        response = http.request("GET", sys.argv[1], headers=headers, preload_content=False)
        for event in sseclient.SSEClient(response).events():
            last_event_id = event.id
            retry = int(event.retry or retry)
            print(json.dumps({"id": event.id, "event": event.event, "data": event.data}), flush=True)
    except urllib3.exceptions.HTTPError:
        pass
    time.sleep(retry / 1000)
