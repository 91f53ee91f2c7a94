"""PyPI requests-sse."""

import json
import sys

from requests_sse import EventSource

with EventSource(sys.argv[1]) as source:
    for event in source:
        print(json.dumps({"id": event.last_event_id, "event": event.type, "data": event.data}), flush=True)
