"""PyPI aiohttp-sse-client2. It comes back after a stream's end; after a broken connection it raises."""

import asyncio
import json
import sys

from aiohttp import ClientError, ClientTimeout
from aiohttp_sse_client2.client import EventSource


async def main():
    last_event_id = ""
    # aiohttp's defaults: no line beyond 512 KiB, and no response longer than five minutes.
    options = {"read_bufsize": 2**20, "timeout": ClientTimeout(total=None)}
    while True:
        headers = {"Last-Event-Id": last_event_id} if last_event_id else {}
        try:
            async with EventSource(sys.argv[1], headers=headers, **options) as source:
                async for event in source:
                    last_event_id = event.last_event_id
                    seen = {"id": event.last_event_id, "event": event.type or "message", "data": event.data}
                    print(json.dumps(seen), flush=True)
        except ClientError:
            await asyncio.sleep(3)


asyncio.run(main())
