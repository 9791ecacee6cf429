"""What a job far away writes, as it writes it: the near end of :mod:`aml_jupyter.job.courier`."""

from __future__ import annotations

import json
import os
import socket
import struct
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from ..engine import Engine, NotThere
from ..errors import ServiceException
from ..job import courier, layout
from .remote_archive import Coming, Events, archive_of, size_of
from .remote_place import Place

_LONGEST_PATH = 4096
_SILENCE = 30.0
_PLAINLY_EVERY = 2.0
_NO_PYTHON = 127
_SAID = struct.Struct(">BxxxL")
_OUTPUT = 1
_AT_ONCE = 1 << 16

_START = """
for python in "$1" python3 python; do
  command -v "$python" >/dev/null 2>&1 && exec "$python" -I -c "$2" "$3" "$4"
done
exit 127
"""
_COURIER = """
import sys
sys.path.insert(0, sys.argv[1])
from aml_jupyter.job.courier import main
main(sys.argv[2])
"""


class Following:
    """Follows the files of one run in its container until ``stop`` is set or the job is over.

    ``followed`` are the folders whose files may come, ``mirrored`` those in which the job may
    also delete.
    """

    def __init__(
        self,
        engine: Engine,
        container: str,
        folder: Path,
        followed: Sequence[str],
        mirrored: Sequence[str],
        stop: threading.Event,
    ) -> None:
        self._engine = engine
        self._container = container
        self._folder = folder
        self._followed = tuple(followed)
        self._mirrored = tuple(mirrored)
        self._stop = stop
        self._place = Place(folder)
        self._has_python = True

    def follow(self, interpreter: str, bundle: Path, brought: int) -> None:
        """Take what comes; ``brought`` is the length of the events that came with the run.

        An image without Python can only be asked for the log, now and then.
        """
        if self._has_python:
            start = ["/bin/sh", "-c", _START, "aml", interpreter, _COURIER]
            command = [*start, str(bundle), str(self._folder)]
            self._has_python = self._with_courier(command, brought)
        if not self._has_python:
            self._plainly()

    # With a courier at the other end

    def _with_courier(self, command: Sequence[str], brought: int) -> bool:
        journal = Events(self._folder)
        asked = {"files": dict(self._known()), "events": journal.known or brought}
        with self._engine.errors("The run's files cannot be followed"):
            api = self._engine.client.api
            made = api.exec_create(self._container, list(command), stdin=True, workdir="/")
            with closing(_Conversation(api.exec_start(made["Id"], socket=True))) as talk:
                # Not before it was asked does the courier say anything.
                talk.send(json.dumps(asked).encode() + b"\n")
                for frame in talk.frames(self._stop):
                    self._receive(journal, *frame)
            if self._stop.is_set():
                return True
            ended = api.exec_inspect(made["Id"])
        if ended.get("ExitCode") == _NO_PYTHON:
            return False
        if ended.get("ExitCode") == 1:
            raise ServiceException(f"it cannot be told what the job writes: {talk.words()}")
        return True

    def _known(self) -> Iterator[tuple[str, tuple[int, int]]]:
        """What is here already: path → size and time of change."""
        for name in self._followed:
            for path, place in layout.files_below(str(self._folder / name), f"{name}/"):
                facts = os.lstat(place)
                yield path, (facts.st_size, facts.st_mtime_ns)

    def _receive(
        self, journal: Events, kind: bytes, path: str, offset: int, changed: int, data: bytes
    ) -> None:
        if kind == courier.BEAT:
            return
        if kind == courier.LINES:
            journal.take(data, offset)
            return
        top = path.partition("/")[0]
        if path != layout.CLAIM and top not in self._followed:
            raise ServiceException(f"the container sent {path!r}, which is not for it to write")
        if kind == courier.PIECE:
            self._place.write(path, offset, data)
        elif kind == courier.CUT:
            self._place.cut(path, offset)
        elif kind == courier.ASIDE:
            self._place.write_aside(path, offset, data)
        elif kind == courier.INSTEAD:
            self._place.replace(path, changed)
        elif kind == courier.GONE and top in self._mirrored:
            self._place.remove(path)

    # Without one

    def _plainly(self) -> None:
        """The log alone, whole whenever it has grown; the longer that takes, the rarer."""
        pause, size = _PLAINLY_EVERY, -1
        while not self._stop.wait(pause) and self._is_running():
            began = time.monotonic()
            size = self._take_log(size)
            pause = max(_PLAINLY_EVERY, 10 * (time.monotonic() - began))

    def _is_running(self) -> bool:
        with self._engine.errors("The container cannot be looked at"):
            found = self._engine.client.api.inspect_container(self._container)
        return bool(found["State"]["Running"])

    def _take_log(self, size: int) -> int:
        path = str(self._folder / layout.DRIVER_LOG)
        with suppress(NotThere):
            now = size_of(self._engine, self._container, path)
            if now != size:
                with archive_of(self._engine, self._container, path) as pieces:
                    Coming(self._place).take(pieces, os.path.dirname(layout.DRIVER_LOG))
                size = now
        return size


class _Conversation:
    """What a command in a container says, and is told, by one connection of the engine's."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._socket: socket.socket = getattr(connection, "_sock", connection)
        self._socket.settimeout(1.0)
        self._data = bytearray()
        self._head = bytearray()
        self._left = 0
        self._stream = _OUTPUT
        self._errors = bytearray()

    def send(self, data: bytes) -> None:
        """Tell the command something."""
        self._socket.settimeout(_SILENCE)
        self._socket.sendall(data)
        self._socket.settimeout(1.0)

    def words(self) -> str:
        """The end of what it said to its standard error."""
        return self._errors.decode(errors="replace").strip()[-500:]

    def close(self) -> None:
        """Hang up, which the courier hears."""
        response = getattr(self._connection, "_response", None)
        if response is not None:
            # It has no body, and would put its connection back for others to use.
            if response.raw.connection is not None:
                response.raw.connection.close()
            response.close()
        self._connection.close()
        self._socket.close()

    def frames(self, stop: threading.Event) -> Iterator[tuple[bytes, str, int, int, bytes]]:
        """What the courier sends, until it or its container ends, or ``stop`` is set."""
        while self._fill(courier.HEADER.size, stop):
            kind, length, offset, changed, size = courier.HEADER.unpack_from(self._data)
            if length > _LONGEST_PATH or size > courier.LARGEST or offset < 0:
                raise ServiceException("what the container sends cannot be understood")
            whole = courier.HEADER.size + length + size
            if not self._fill(whole, stop):
                return
            path = os.fsdecode(bytes(self._data[courier.HEADER.size :][:length]))
            data = bytes(self._data[courier.HEADER.size + length : whole])
            del self._data[:whole]
            yield kind, path, offset, changed, data

    def _fill(self, size: int, stop: threading.Event) -> bool:
        """Have so many bytes at hand; False if no more come."""
        heard = time.monotonic()
        while len(self._data) < size:
            if stop.is_set():
                return False
            try:
                data = self._socket.recv(_AT_ONCE)
            except TimeoutError:
                if time.monotonic() - heard > _SILENCE:
                    raise
                continue
            if not data:
                return False
            heard = time.monotonic()
            self._sort(memoryview(data))
        return True

    def _sort(self, data: memoryview) -> None:
        """Take output and errors apart, which come as pieces of one stream, each with a head."""
        while data:
            if not self._left:
                missing = _SAID.size - len(self._head)
                self._head += data[:missing]
                data = data[missing:]
                if len(self._head) == _SAID.size:
                    self._stream, self._left = _SAID.unpack(self._head)
                    self._head.clear()
                continue
            piece = data[: self._left]
            data = data[self._left :]
            self._left -= len(piece)
            if self._stream == _OUTPUT:
                self._data += piece
            else:
                self._errors = (self._errors + piece)[-_AT_ONCE:]
