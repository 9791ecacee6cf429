"""Following runs that go on: what is new in their files, read on from where it was read to."""

from __future__ import annotations

import os
import time
from array import array
from pathlib import Path
from typing import Any

from ..job import events, layout, metrics

_SMALL = 128 * metrics.SIZE
_PIECE = 1024 * metrics.SIZE
_MOST = 16 * _PIECE
_NEAR = 64
_COARSE = 1e8
"""Nanoseconds in which a file system may not tell one change of a folder from the next."""

Mark = tuple[int, int, int]
NOTHING: Mark = (0, 0, 0)
"""The mark of what is not there."""


class Followed:
    """The facts and last numbers of a run as of the last look."""

    def __init__(self, folder: Path) -> None:
        self._folder = os.fspath(folder)
        self._events = os.path.join(self._folder, layout.EVENTS)
        self._children = os.path.join(self._folder, layout.CHILDREN)
        request = layout.read_json(os.path.join(self._folder, layout.REQUEST))
        if not isinstance(request, dict) or "id" not in request:
            raise ValueError(f"{folder} is not the folder of a run")
        self.request: dict[str, Any] = request
        self.facts = events.Facts(request)
        self.numbers = LastNumbers(os.path.join(self._folder, layout.METRICS))
        self._offset = 0
        self.mark = mark_of(self._events)
        self._known_children = mark_of(self._children)
        self._read_on()

    def has_new_events(self) -> bool:
        """Take in events that are new; whether there were any."""
        mark = mark_of(self._events)
        if mark == self.mark:
            return False
        is_other_file = mark[0] != self.mark[0] or mark[1] < self._offset
        if is_other_file:
            self.facts, self._offset = events.Facts(self.request), 0
        self.mark = mark
        return self._read_on() or is_other_file

    def has_new_children(self) -> bool:
        """Whether runs may have come to be below this one."""
        mark = mark_of(self._children)
        is_new = mark != self._known_children
        # One that comes in the same tick of the file system's clock would never be seen.
        self._known_children = mark if time.time_ns() - mark[2] > _COARSE else NOTHING
        return is_new

    def is_gone(self) -> bool:
        """Whether its folder is no longer that of a run."""
        return not os.path.exists(os.path.join(self._folder, layout.REQUEST))

    def _read_on(self) -> bool:
        new, self._offset = events.read(self._folder, self._offset)
        for event in new:
            self.facts.apply(event)
        return bool(new)


class LastNumbers:
    """The last number logged under each name below a folder, by whichever process."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._tails: dict[str, _Tail] = {}
        self._known: Mark = NOTHING
        self.values: dict[str, float] = {}

    def look(self, final: bool = False) -> bool:
        """Take in what is new; whether any value is another. ``final``: nobody writes any more."""
        self._find_writers()
        moved = [tail for tail in self._tails.values() if tail.look(final)]
        if not moved:
            return False
        latest: dict[str, tuple[float, float]] = {}
        for tail in self._tails.values():
            for name, found in tail.last.items():
                if found[0] >= latest.get(name, (0.0, 0.0))[0]:
                    latest[name] = found
        before, self.values = self.values, {name: value for name, (_, value) in latest.items()}
        return before != self.values

    def _find_writers(self) -> None:
        mark = mark_of(self._folder)
        if mark == self._known:
            return
        self._known = mark if time.time_ns() - mark[2] > _COARSE else NOTHING
        stems = metrics.writers(self._folder)
        self._tails = {stem: self._tails.get(stem) or _Tail(stem) for stem in stems}


class _Tail:
    """The last numbers of one process; ``last`` has name → time, value."""

    def __init__(self, stem: str) -> None:
        self._stem = stem
        self._offset = 0
        self._names: list[str] = []
        self._names_offset = 0
        self._piece = _SMALL
        self._sought: set[str] = set()
        self._skipped: tuple[int, int] | None = None
        self.last: dict[str, tuple[float, float]] = {}

    def look(self, final: bool = False) -> bool:
        """Take in the records since the last look; whether there were any."""
        data, self._offset = self._new_records(final)
        if data:
            self._take(data)
        elif self._skipped is None:
            return False
        self._catch_up(final)
        return True

    def _new_records(self, final: bool) -> tuple[bytes, int]:
        """What was written; where that is very much, its end, and the rest is for later."""
        offset = max(self._offset, metrics.SIZE)
        try:
            with metrics.open_to_read(f"{self._stem}.bin") as file:
                data = os.pread(file.fileno(), self._piece, offset)
                if len(data) == self._piece and any(data[-metrics.SIZE :]):
                    end = metrics.written(self._stem)
                    if end - offset > _MOST:
                        first = self._skipped[0] if self._skipped else offset
                        offset = end - 4 * _PIECE
                        self._skipped = (first, offset)
                        self._read_names()
                        self._sought = {*self._names} - {""}
                    data = os.pread(file.fileno(), end - offset + _PIECE, offset)
        except FileNotFoundError:
            return b"", self._offset
        length = _settled(data, final) * metrics.SIZE
        # As much as came now will probably come until the next look.
        self._piece = min(max(_SMALL, 2 * length), _PIECE)
        return data[:length], offset + length

    def _take(self, data: bytes) -> None:
        """Note the last record of each name, where none later is known."""
        ids, kinds = array("I", data)[6::8], array("I", data)[7::8]
        floats, integers = array("d", data), array("q", data)
        for metric, slot in _last_of_each(ids).items():
            name = self._name(metric)
            self._sought.discard(name)
            when, value = floats[4 * slot + 1], floats[4 * slot + 2]
            if not name or when < self.last.get(name, (0.0, 0.0))[0]:
                continue
            if kinds[slot] != metrics.FLOAT:
                value = float(integers[4 * slot + 2])
            self.last[name] = (when, value)

    def _catch_up(self, final: bool) -> None:
        """Look in what was passed over for names that none of the later records has."""
        while self._skipped is not None:
            first, end = self._skipped
            if first >= end or not self._sought:
                self._skipped = None
                return
            start = max(first, end - _MOST)
            with metrics.open_to_read(f"{self._stem}.bin") as file:
                self._take(os.pread(file.fileno(), end - start, start))
            self._skipped = (first, start)
            if not final:
                return

    def _name(self, metric: int) -> str:
        if metric > len(self._names):
            self._read_names()
        return self._names[metric - 1] if 0 < metric <= len(self._names) else ""

    def _read_names(self) -> None:
        new, self._names_offset = metrics.new_names(self._stem, self._names_offset)
        self._names += new


def _settled(data: bytes, final: bool) -> int:
    """How many of the records in ``data`` are there and not about to change."""
    data = data[: len(data) // metrics.SIZE * metrics.SIZE]
    kinds = array("I", data)[7::8]
    try:
        first = kinds.index(0)
    except ValueError:
        return len(kinds)
    if not any(kinds[first:]):
        return first
    last = max(slot for slot in range(first, len(kinds)) if kinds[slot])
    data = data[: (last + 1) * metrics.SIZE]
    return last + 1 if final else metrics.settled(data, time.time())


def _last_of_each(ids: array[int]) -> dict[int, int]:
    """Where each id is found last; quick where all are found near the end."""
    there = set(ids)
    found: dict[int, int] = {}
    for slot in range(len(ids) - 1, max(-1, len(ids) - _NEAR), -1):
        found.setdefault(ids[slot], slot)
        if len(found) == len(there):
            return found
    return dict(zip(ids, range(len(ids)), strict=True))


def last_values(folder: str) -> dict[str, float]:
    """The last number logged under each name."""
    numbers = LastNumbers(folder)
    numbers.look(final=True)
    return numbers.values


def mark_of(path: str) -> Mark:
    """Changes whenever a file or the list of a folder does."""
    try:
        found = os.stat(path)
    except OSError:
        return NOTHING
    return (found.st_ino, found.st_size, found.st_mtime_ns)
