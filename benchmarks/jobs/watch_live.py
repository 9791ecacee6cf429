"""Pages that watch a workspace; the first notes what it is told of each run, and when."""

import asyncio
import json
import sys
import time

from tornado.httpclient import HTTPRequest
from tornado.websocket import websocket_connect

address, token, place, count, seconds, told = sys.argv[1:]


async def page(received):
    request = HTTPRequest(address, headers={"Authorization": f"token {token}"})
    socket = await websocket_connect(request)
    await socket.write_message(
        json.dumps({"kind": "watch", "place": place, "level": "rows", "since": None})
    )
    while (text := await socket.read_message()) is not None:
        if received is not None:
            now, message = time.time(), json.loads(text)
            rows = message.get("rows", ()) if message["kind"] == "changed" else ()
            received += [(row["id"], row["metrics"].get("sent"), now) for row in rows]


async def main():
    received = []
    pages = [asyncio.ensure_future(page(None if n else received)) for n in range(int(count))]
    print("up", flush=True)
    await asyncio.sleep(float(seconds))
    # A page that lost its connection has ended: then nothing was measured.
    ended = [each for each in pages if each.done()]
    with open(told, "w") as file:
        json.dump({"received": received, "lost": len(ended)}, file)


asyncio.run(main())
