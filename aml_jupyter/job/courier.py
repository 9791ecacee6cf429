"""Tells of a run's files while they grow, from inside a container whose disk nobody else sees.

Started beside the job, in its container, it reads one line of JSON, what the other side has
already, and then writes *frames* of what is new until its input is closed. The other side is
:mod:`..backends.remote_files`. What is sent here lets people watch; whatever a job did in its last
moment is fetched when it is over, so nothing here waits for a file that has not settled.

A frame is ``HEADER``, the file's path below the run's folder, and data.
"""

from __future__ import annotations

import os
import struct
import sys
import time

from . import metrics
from .layout import CLAIM, EVENTS, METRICS, WORK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, BinaryIO, Dict, Iterator, List

    Known = Dict[str, List[int]]

HEADER = struct.Struct(">cHQqI")
"""Kind, length of the path, offset, time of change in nanoseconds, length of the data."""

PIECE, CUT, ASIDE, INSTEAD, GONE, LINES, BEAT = b"P", b"T", b"N", b"R", b"X", b"E", b"B"
"""What a frame says of its file: these bytes are at this offset; it is so long and no longer;
these bytes are at this offset of what will take its place; that takes its place now; it is gone.
Of events: these lines end at this offset. A beat says nothing but that all is well."""

LARGEST = 1 << 18
"""No frame has more data."""

ARRIVED = "job/arrived.json"
"""Written last of what is copied in: what changed after it was changed by the job."""

CHANGED = "job/changed.json"
"""What the job changed in its working directory, written when it has ended."""

LIVE_LIMIT = 16 << 20
"""Larger files are not sent while they may still change, unless they are logs."""

_WATCHED = ("azureml-logs", METRICS)
_LOOKED_AT = ("outputs", "logs", "artifacts", "children")
_LOGS = (".jsonl", ".names", ".log", ".txt", ".csv", ".err", ".out")
_SETTLED = 1.0
_TAIL = 256
_AT_ONCE = 1 << 20
_TICK = 0.2
_BEAT_EVERY = 5.0
_MOST_CHANGES = 10_000


def is_log(path: str) -> bool:
    """Whether a file is taken to grow at its end, so that the other side may show half of it."""
    return path.startswith(("azureml-logs/", "logs/", f"{METRICS}/")) or path.endswith(_LOGS)


def main(folder: str) -> None:
    """Send what is new in ``folder`` until nobody listens any more."""
    import json
    import signal

    # Meant for the job: what it writes while it cleans up is wanted as well.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    os.nice(5)
    os.chdir(folder)
    asked = json.loads(sys.stdin.buffer.readline())
    try:
        Courier(sys.stdout.buffer, asked).run()
    except BrokenPipeError:
        os._exit(0)


class Courier:
    """Follows the files of the run in the current directory and writes frames to ``out``.

    ``asked`` holds ``files``, path → size and time of change on the other side, and ``events``,
    the offset up to which the events are known there.
    """

    def __init__(self, out: BinaryIO, asked: dict[str, Any]) -> None:
        self._out = out
        self._known: Known = asked.get("files") or {}
        self._tails: dict[str, bytes] = {}
        self._events = int(asked.get("events") or 0)
        self._more = False
        self._spoke = time.monotonic()
        self._next_walk = 0.0

    def run(self) -> None:
        """Look and send, until the input is closed."""
        while self._waits():
            self.look()
            if time.monotonic() - self._spoke > _BEAT_EVERY:
                self._send(BEAT, "")
            self._out.flush()

    def look(self) -> None:
        """Send what is new now, at most a certain amount of each file."""
        self._more = False
        self._send_events()
        self._consider(CLAIM)
        for folder in _WATCHED:
            for path in _files(folder):
                self._consider(path)
        now = time.monotonic()
        if now >= self._next_walk:
            self._walk()
            # A look at very many files must not cost the job its processor.
            self._next_walk = time.monotonic() + max(1.0, 20 * (time.monotonic() - now))

    def _waits(self) -> bool:
        """Wait a moment unless there is more to send; False once nobody listens."""
        from select import select

        readable = select([0], [], [], 0 if self._more else _TICK)[0]
        return not (readable and not os.read(0, 4096))

    def _walk(self) -> None:
        there = {path for folder in _LOOKED_AT for path in _files(folder)}
        for path in sorted(there):
            self._consider(path)
        for path in [path for path in self._known if path.startswith(_LOOKED_AT)]:
            if path not in there and not os.path.lexists(path):
                del self._known[path]
                self._send(GONE, path)

    def _consider(self, path: str) -> None:
        try:
            with open(path, "rb", opener=_not_through_a_link) as file:
                if path.endswith(".bin") and os.path.basename(os.path.dirname(path)) == METRICS:
                    self._send_records(path, file)
                elif is_log(path):
                    self._send_grown(path, file)
                else:
                    self._send_settled(path, file)
        except OSError:  # gone again, or not for us: if it matters it is fetched at the end
            return

    def _send_events(self) -> None:
        """Whole lines, each once: the other side adds them to its own."""
        try:
            with open(EVENTS, "rb") as file:
                file.seek(self._events)
                data = file.read(LARGEST)
        except FileNotFoundError:
            return
        data = data[: data.rfind(b"\n") + 1]
        if data:
            self._events += len(data)
            self._send(LINES, EVENTS, self._events, 0, data)
            self._more = True

    def _send_records(self, path: str, file: BinaryIO) -> None:
        """Records of a metric, without the zeros that are allocated ahead."""
        size = metrics.SIZE
        if path not in self._tails:
            # A record may appear a little after those behind it, also of those sent earlier.
            known = self._known.get(path, [0])[0] // size * size
            self._known[path] = [max(0, known - metrics.LONGEST_GAP * size), 0]
            self._tails[path] = b""
        start, sent = self._known[path]
        end = start + len(_records(file, start))
        if end > sent or any(os.pread(file.fileno(), 4, start + size - 4)):
            self._pieces(PIECE, path, file, start, end)
            self._known[path] = [_first_gap(file, start, end), end]
            self._more = self._more or end - start > _AT_ONCE // 2

    def _send_grown(self, path: str, file: BinaryIO) -> None:
        """What was added to a log; all of it if it began anew."""
        size = os.fstat(file.fileno()).st_size
        known = self._known.get(path)
        if known is None or known[0] > size or not self._goes_on(path, file, known[0]):
            self._cut(path, 0)
        start = self._known[path][0]
        end = self._pieces(PIECE, path, file, start, size)
        if end > start:
            self._remember(path, file, end)

    def _send_settled(self, path: str, file: BinaryIO) -> None:
        """A file whole, when it has not changed for a moment and is not too large."""
        now = os.fstat(file.fileno())
        state = [now.st_size, now.st_mtime_ns]
        age = time.time() - now.st_mtime
        is_settled = age > _SETTLED or age < 0 or path == CLAIM
        if self._known.get(path) == state or now.st_size > LIVE_LIMIT or not is_settled:
            return
        end = self._pieces(ASIDE, path, file, 0, now.st_size, now.st_size)
        later = os.fstat(file.fileno())
        if end == now.st_size and [later.st_size, later.st_mtime_ns] == state:
            self._known[path] = state
            self._send(INSTEAD, path, end, now.st_mtime_ns)

    def _pieces(
        self, kind: bytes, path: str, file: BinaryIO, start: int, end: int, most: int = _AT_ONCE
    ) -> int:
        """Send bytes of a file, but not too many at once; how far it was sent."""
        stop = min(end, start + most)
        while start < stop:
            data = os.pread(file.fileno(), min(LARGEST, stop - start), start)
            if not data:
                break
            self._send(kind, path, start, 0, data)
            start += len(data)
        self._more = self._more or start < end
        return start

    def _cut(self, path: str, size: int) -> None:
        self._known[path] = [size, 0]
        self._tails[path] = b""
        self._send(CUT, path, size)

    def _goes_on(self, path: str, file: BinaryIO, size: int) -> bool:
        """Whether the file's beginning, as far as is known of it, is what was sent."""
        tail = self._tails.get(path)
        if tail is None:  # sent by an earlier courier
            self._remember(path, file, size)
            return True
        return os.pread(file.fileno(), len(tail), size - len(tail)) == tail

    def _remember(self, path: str, file: BinaryIO, end: int) -> None:
        start = max(0, end - _TAIL)
        self._known[path] = [end, 0]
        self._tails[path] = os.pread(file.fileno(), end - start, start)

    def _send(
        self, kind: bytes, path: str, offset: int = 0, changed: int = 0, data: bytes = b""
    ) -> None:
        name = os.fsencode(path)
        self._out.write(HEADER.pack(kind, len(name), offset, changed, len(data)))
        self._out.write(name)
        self._out.write(data)
        self._spoke = time.monotonic()


def _files(folder: str) -> Iterator[str]:
    """The paths of all plain files below a folder that are not about to be replaced."""
    for place, folders, names in os.walk(folder):
        # A run that was made inside this one has a working directory of its own.
        if WORK in folders and os.path.dirname(place).endswith("children"):
            folders.remove(WORK)
        for name in names:
            if not name.endswith(".tmp"):
                yield f"{place}/{name}"


def _not_through_a_link(path: str, flags: int) -> int:
    """Open for reading; never waits, as for a pipe that a job put there."""
    file = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if os.fstat(file).st_mode & 0o170000 != 0o100000:
        os.close(file)
        raise FileNotFoundError(path)
    return file


def _records(file: BinaryIO, start: int) -> bytes:
    """The records from ``start`` on up to the last that is there, but not too many."""
    data = os.pread(file.fileno(), _AT_ONCE, start)
    whole = -(-len(data.rstrip(b"\0")) // metrics.SIZE) * metrics.SIZE
    return data[:whole]


def _first_gap(file: BinaryIO, start: int, end: int) -> int:
    """Where the first record is that was not there yet, of those that may still come."""
    size = metrics.SIZE
    start = max(start, end - metrics.LONGEST_GAP * size)
    data = os.pread(file.fileno(), end - start, start)
    for at in range(0, len(data) - size + 1, size):
        if start + at and not any(data[at + size - 4 : at + size]):
            return start + at
    return end


def note_changes(folder: str) -> None:
    """Write down which files of the working directory the job has changed.

    So the others, which may be large, need not be copied back. Without the note all are.
    """
    import json

    try:
        since = os.stat(os.path.join(folder, ARRIVED)).st_ctime_ns
        changed = [path for path, when in _work_files(folder) if when > since]
        if len(changed) <= _MOST_CHANGES:
            path = os.path.join(folder, CHANGED)
            with open(f"{path}.tmp", "w", encoding="ascii") as file:
                json.dump(changed, file)
            os.replace(f"{path}.tmp", path)
    except (OSError, ValueError):
        return


def _work_files(folder: str) -> Iterator[tuple[str, int]]:
    """(path below the run's folder, time of its last change) of what is below ``work``."""
    for place, _, names in os.walk(os.path.join(folder, WORK)):
        for name in names:
            path = os.path.join(place, name)
            yield os.path.relpath(path, folder), os.lstat(path).st_ctime_ns
