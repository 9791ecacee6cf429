"""A network between a browser and a server, over which websockets can be made slow."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

_CHUNK = 64 * 1024
_LONGEST_CLOSE = 127
_CLOSE = b"\x88"


@dataclass
class Relay:
    """Passes on all that is sent to its port; what websockets are told can be held back."""

    server: int
    path: bytes
    """How the address of a websocket that may be held back begins."""
    port: int = 0
    codes: list[int] = field(default_factory=list)
    """With what code the server closed each of those websockets, in order."""
    _going: threading.Event = field(default_factory=threading.Event)

    def hold(self) -> None:
        """Take nothing from the server for those websockets any more."""
        self._going.clear()

    def release(self) -> None:
        """Pass on what was held back, and all that follows."""
        self._going.set()

    def serve(self, listening: socket.socket) -> None:
        """Pass on until the socket is closed."""
        with contextlib.suppress(OSError):
            while True:
                client, _ = listening.accept()
                threading.Thread(target=self._connect, args=(client,), daemon=True).start()

    def _connect(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), client, socket.socket() as server:
            first = client.recv(_CHUNK)
            is_held = first.startswith(b"GET " + self.path)
            server.connect(("127.0.0.1", self.server))
            server.sendall(first)
            back = threading.Thread(target=self._back, args=(server, client, is_held), daemon=True)
            back.start()
            while data := client.recv(_CHUNK):
                server.sendall(data)
            server.shutdown(socket.SHUT_WR)
            back.join()

    def _back(self, server: socket.socket, client: socket.socket, is_held: bool) -> None:
        last = b""
        with contextlib.suppress(OSError):
            while data := server.recv(_CHUNK):
                if is_held:
                    self._going.wait()
                    last = (last + data)[-_LONGEST_CLOSE:]
                client.sendall(data)
        if is_held and _CLOSE in last:
            code = last[last.rindex(_CLOSE) + 2 :][:2]
            self.codes.append(int.from_bytes(code, "big"))
        with contextlib.suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def relay_to(server: int, path: str) -> Iterator[Relay]:
    """A relay to a port of this machine, for websockets whose address begins with ``path``."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        relay = Relay(server, path.encode(), listening.getsockname()[1])
        relay.release()
        threading.Thread(target=relay.serve, args=(listening,), daemon=True).start()
        try:
            yield relay
        finally:
            relay.release()
