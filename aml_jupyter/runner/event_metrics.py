"""Metric files that hold what a run's event files say, each number once, whoever is killed.

Beside the numbers stands how far the event files had been read: what it was before the last
numbers were added, and after. It is written first. So whoever goes on sees from the length of
the file which of the two holds.
"""

from __future__ import annotations

import errno
import json
import os
import struct
from collections.abc import Collection, Mapping
from typing import Any

from ..job import layout, metrics
from ..job.beneath import open_own, open_plain, replace
from ..store.event_files import Point

PREFIX = "tensorboard/"
"""What a name begins with that the run has logged itself, too."""

WRITER = "tensorboard"
"""What the metric files are called; a process that logs has a number for a name."""

MOST_NAMES = 2000
_LONGEST_NAME = 1000
_TEXT_AT_ONCE = 1 << 20
_LARGEST_NAMES = 16 << 20
_RECORD = struct.Struct("<qddII")
_STEPS = range(-(1 << 63) + 1, 1 << 63)

Place = tuple[str, int]
"""How far a file was read: what it begins with, and a byte."""


class EventMetrics:
    """The numbers of event files as metrics of the run in ``folder``."""

    def __init__(self, folder: str) -> None:
        self.left_out = 0
        self._folder = folder
        self._path = f"{layout.METRICS}/{WRITER}"
        self._names: dict[str, _Name] = {}
        self._end_of_names = 0
        self._size = 0
        self._read: dict[str, Place] = {}
        self._own = _NamesOfTheRun(os.path.join(folder, layout.METRICS))

    def resume(self) -> dict[str, Place]:
        """How far each event file had been read when the last numbers were added."""
        self._names, self._end_of_names, self._read, self._size = {}, 0, {}, 0
        state = _state(layout.read_json(os.path.join(self._folder, self._path + ".read")))
        size = self._size_of(".bin")
        if state is None or size < state["from"]:
            self._cut(".bin", 0)
            self._cut(".names", 0)
            return {}
        is_done = size >= state["to"]
        self._read = state["after"] if is_done else state["before"]
        self._size = state["to"] if is_done else state["from"]
        self._cut(".bin", self._size)
        self._take_names()
        return dict(self._read)

    def append(self, points: Collection[Point], read: Mapping[str, Place]) -> None:
        """Add numbers, and note how far the event files were ``read``; all of it or nothing."""
        self._begin()
        self.make_way()
        ids = [self._id(point.tag) for point in points]
        records = b"".join(
            _RECORD.pack(_step(point.step), _time(point.time), point.value, number, metrics.FLOAT)
            for point, number in zip(points, ids, strict=True)
            if number
        )
        size, after = self._size + len(records), dict(read)
        state = {"from": self._size, "to": size, "before": self._read, "after": after}
        replace(self._folder, self._path + ".read", json.dumps(state).encode())
        self._write(".bin", records)
        self._size, self._read = size, after

    def make_way(self) -> None:
        """Give another name to what the run has begun to log itself under the same one."""
        for name in self._own.new():
            mine = self._names.get(name)
            if mine is not None and not mine.is_prefixed:
                self._rename(mine)

    def _begin(self) -> None:
        if not self._size:
            self._write(".names", b"", os.O_CREAT)
            self._write(".bin", metrics.HEADER, os.O_CREAT)
            self._size = metrics.SIZE

    # Names

    def _id(self, tag: str) -> int:
        """The id of a tag's metric; 0 of one too many."""
        known = self._names.get(tag)
        if known is not None:
            return known.number
        if len(self._names) >= MOST_NAMES or len(tag) > _LONGEST_NAME:
            self.left_out += 1
            return 0
        name = _Name(tag, len(self._names) + 1, self._end_of_names, tag in self._own.known)
        # Only with its name on disk may a record carry an id.
        self._write(".names", name.line())
        self._names[tag] = name
        self._end_of_names += len(name.line())
        return name.number

    def _rename(self, name: _Name) -> None:
        name.is_prefixed = True
        path = self._path + ".names"
        file = open_plain(self._folder, path, os.O_WRONLY)
        try:
            os.pwrite(file, name.line(), name.offset)
        finally:
            os.close(file)

    def _take_names(self) -> None:
        """Read the names again, and cut what a killed runner had not written to its end."""
        try:
            with open(self._open(".names", os.O_RDONLY), "rb") as file:
                data = file.read()
        except FileNotFoundError:
            data = b""
        whole = data.rfind(b"\n") + 1
        for line in data[:whole].splitlines(keepends=True):
            name = _Name.from_line(line, len(self._names) + 1, self._end_of_names)
            self._names[name.tag] = name
            self._end_of_names += len(line)
        if whole < len(data):
            self._cut(".names", whole)

    # Files

    def _size_of(self, suffix: str) -> int:
        try:
            return os.lstat(os.path.join(self._folder, self._path + suffix)).st_size
        except FileNotFoundError:
            return 0

    def _cut(self, suffix: str, size: int) -> None:
        try:
            file = self._open(suffix, os.O_WRONLY)
        except FileNotFoundError:
            return
        try:
            if os.fstat(file).st_size > size:
                os.ftruncate(file, size)
        finally:
            os.close(file)

    def _write(self, suffix: str, data: bytes, flags: int = 0) -> None:
        file = self._open(suffix, os.O_WRONLY | os.O_APPEND | flags)
        try:
            written = os.write(file, data)
            if written != len(data):
                os.ftruncate(file, os.fstat(file).st_size - written)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self._path)
        finally:
            os.close(file)

    def _open(self, suffix: str, flags: int) -> int:
        return open_own(self._folder, self._path + suffix, flags)


class _Name:
    """A metric's line in the file of names, which keeps room for the prefix."""

    def __init__(self, tag: str, number: int, offset: int, is_prefixed: bool) -> None:
        self.tag = tag
        self.number = number
        self.offset = offset
        self.is_prefixed = is_prefixed

    @classmethod
    def from_line(cls, line: bytes, number: int, offset: int) -> _Name:
        """The name in a line; where the room is used up it has the prefix."""
        text = line.decode(errors="replace").rstrip("\n")
        shown = text.rstrip(" ")
        try:
            name = str(json.loads(shown))
        except ValueError:
            name = shown
        is_prefixed = len(text) - len(shown) < len(PREFIX) and name.startswith(PREFIX)
        tag = name[len(PREFIX) :] if is_prefixed else name
        return cls(tag, number, offset, is_prefixed)

    def line(self) -> bytes:
        """As long with the prefix as without: it is put there while others read on."""
        shown = f"{PREFIX}{self.tag}" if self.is_prefixed else self.tag
        length = len(json.dumps(self.tag)) + len(PREFIX)
        return json.dumps(shown).ljust(length).encode() + b"\n"


class _NamesOfTheRun:
    """All names that the run's own processes have logged, as they come."""

    def __init__(self, folder: str) -> None:
        self.known: set[str] = set()
        self._folder = folder
        self._offsets: dict[str, tuple[int, int]] = {}

    def new(self) -> set[str]:
        """Those that were not known at the last look."""
        found: set[str] = set()
        for stem in metrics.writers(self._folder):
            if os.path.basename(stem) != WRITER and _is_small(f"{stem}.names"):
                names, texts = self._offsets.get(stem, (0, 0))
                new, names = metrics.new_names(stem, names)
                lines, texts = metrics.other_lines(stem, texts, _TEXT_AT_ONCE)
                entries = filter(None, map(metrics.parse_other, lines))
                found.update(new, (entry["name"] for entry in entries))
                self._offsets[stem] = (names, texts)
        found -= self.known
        self.known |= found
        return found


def _is_small(path: str) -> bool:
    try:
        return os.stat(path).st_size <= _LARGEST_NAMES
    except FileNotFoundError:
        return True


def _state(raw: Any) -> dict[str, Any] | None:
    """What was noted, if it is what :meth:`EventMetrics.append` notes."""
    try:
        start, end = int(raw["from"]), int(raw["to"])
        both = {key: _places(raw[key]) for key in ("before", "after")}
    except (KeyError, TypeError, ValueError):
        return None
    return {"from": start, "to": end, **both} if metrics.SIZE <= start <= end else None


def _places(raw: Mapping[str, Any]) -> dict[str, Place]:
    return {path: (str(mark), int(offset)) for path, (mark, offset) in raw.items()}


def _step(step: int) -> int:
    return step if step in _STEPS else metrics.NO_STEP


def _time(when: float) -> float:
    """A time that readers take for one; who wrote it may have had none."""
    return when if 0 <= when < metrics.LATEST else 0.0
