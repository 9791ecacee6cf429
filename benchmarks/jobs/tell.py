"""Says over a websocket when a file has some content, and does nothing else."""

import asyncio
from pathlib import Path

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application
from tornado.websocket import WebSocketHandler


class Teller(WebSocketHandler):
    def check_origin(self, origin):
        return True

    async def open(self):
        file = Path(self.get_query_argument("file"))
        content = bytes.fromhex(self.get_query_argument("content"))
        while content not in file.read_bytes():
            await asyncio.sleep(0.001)
        await self.write_message("it has")


async def main():
    sockets = bind_sockets(0, "127.0.0.1")
    HTTPServer(Application([("/", Teller)])).add_sockets(sockets)
    print(sockets[0].getsockname()[1], flush=True)
    await asyncio.Event().wait()


asyncio.run(main())
