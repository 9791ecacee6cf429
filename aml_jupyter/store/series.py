"""Following the metrics of a run at any size: what to draw of them, from afar and near.

Of a metric no more than some thousand buckets are kept (:mod:`.buckets`), each with the bytes of
the file where its records lie: from afar the buckets are drawn, and for a closer look the bytes
are read again. Files are read and never mapped, because their end is cut when a run ends.
"""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import time
from typing import TYPE_CHECKING, Literal

import numpy as np

from ..job import metrics
from ..job.metrics import LONGEST_GAP, SIZE
from .ahead import Ahead, look_ahead
from .buckets import (
    END,
    FIELDS,
    LEAST,
    MOST,
    NONE,
    START,
    VALUE,
    Flags,
    Floats,
    Ints,
    merged,
    summarise,
)
from .columns import Columns, Points
from .entries import Entries
from .records import PIECE, Batch, Slots, Words, batch, pieces, read_piece, settled

if TYPE_CHECKING:
    from ..job.metrics import Entry

__all__ = ["Axis", "Line", "MetricFeed", "Points"]

Axis = Literal["step", "time"]

# With many metrics larger pieces are read, or there would be too little of each in one.
_FIRST_PIECE = 2 * LONGEST_GAP
_LARGEST_PIECE = 1 << 19
_PIECE_OF_EACH = 64
_TEXT_PIECE = 1 << 20
# What a byte of text costs, in records: parsing JSON is slow.
_BYTE = 0.25
# On a network disk a name may be seen later than a record that needs it.
_NAME_DELAY = 30.0
_MOST_NAMES = 1 << 15
# All buckets of a feed; where there are too many metrics for that, each has fewer.
_ALL_BUCKETS = 1 << 20
_FEWEST_BUCKETS = 64
_MOST_ZOOMS = 16
_TOGETHER = 128
# Bytes that take so long to be taken in that something is shown of them before.
_LONG = 1 << 24
_NO_POINTS = np.empty((0, 3))


class MetricFeed:
    """Follows all metric files in a folder, while they are written and after.

    One thread polls; lines may be asked from any other.
    """

    def __init__(self, folder: Path, buckets: int = 2048) -> None:
        self._folder = os.fspath(folder)
        self._roll = _Roll(buckets)
        self._writers: dict[str, _Writer] = {}
        self._others = Entries()
        self._turn = 0
        self._progress = 0.0

    def poll(self, final: bool = False, records: int = 2_000_000) -> bool:
        """Take in at most about so many new records; whether there was anything new.

        ``final`` is for files that nobody writes to any more: it takes all there is.
        """
        left = float(records)
        writers = [self._writer(stem) for stem in metrics.writers(self._folder)]
        # They take turns: a process that logs without end must not hide the others.
        first = self._turn % max(len(writers), 1)
        for number, writer in enumerate(writers[first:] + writers[:first], start=first):
            if left <= 0:
                self._turn = number
                break
            left -= writer.take_records(left, final)
            left -= writer.take_others(left, self._others)
        self._progress = 1.0 if left > 0 else self._share_taken()
        return left < records

    def look_ahead(self) -> None:
        """Show of what is long and has not been taken in a few points from all over it.

        They stand for it in :meth:`Line.points` until it has been taken in, so that a line is seen
        over its whole range from the first moment.
        """
        for stem in metrics.writers(self._folder):
            self._writer(stem).look_ahead()

    @property
    def progress(self) -> float:
        """How much of what there is was taken in by the last look, from 0 to 1."""
        return self._progress

    @property
    def names(self) -> list[str]:
        """All names that numbers were logged under, in order of first appearance."""
        return list(self._roll.lines)

    def lines(self, name: str) -> list[Line]:
        """A line for each process that logged numbers under this name, oldest process first."""
        return list(self._roll.lines.get(name, ()))

    @property
    def others(self) -> Mapping[str, list[Entry]]:
        """What is not a number, name by name in order: the newest ten thousand entries each."""
        return self._others.by_name

    @property
    def others_version(self) -> Mapping[str, int]:
        """For each name of :attr:`others` a number that grows with every change."""
        return self._others.versions

    @property
    def left_out(self) -> int:
        """How many names are not followed, because there are too many."""
        return self._others.left_out + sum(each.left_out for each in self._writers.values())

    def _writer(self, stem: str) -> _Writer:
        if stem not in self._writers:
            self._writers[stem] = _Writer(stem, self._roll)
        return self._writers[stem]

    def _share_taken(self) -> float:
        shares = [each.taken() for each in self._writers.values()]
        there = sum(there for _, there in shares)
        return min(1.0, sum(taken for taken, _ in shares) / max(there, 1))


class _Roll:
    """All lines of a feed by name, and how many buckets each may have."""

    def __init__(self, most_buckets: int) -> None:
        self.lock = threading.RLock()
        self.lines: dict[str, list[Line]] = {}
        self.most_buckets = max(most_buckets, _FEWEST_BUCKETS)
        self._count = 0

    def add(self, line: Line) -> None:
        lines = self.lines.setdefault(line.name, [])
        lines.append(line)
        lines.sort(key=lambda each: each.writer)
        self._count += 1
        share = max(_FEWEST_BUCKETS, _ALL_BUCKETS // self._count)
        if share < self.most_buckets:
            self.most_buckets = share
            # Those that get no more points make room as well, whenever the lines have doubled.
            if self._count & (self._count - 1) == 0:
                _widen_crowded([each for lines in self.lines.values() for each in lines])


class _Table:
    """What changes with every point, for all lines of one process, by slot."""

    def __init__(self) -> None:
        self.slot_of: Slots = np.zeros(2, np.uint16)
        self.counts = np.zeros(1, np.int64)
        self.widths = np.ones(1, np.int64)
        self.last = np.zeros(1)
        self.first_time = np.zeros(1)
        self.last_time = np.zeros(1)
        self.newest = np.zeros((1, FIELDS))
        """The bucket of each line that has room for more points, once there are any in it."""
        self.taken = SIZE
        """The byte of the file up to which records were taken in."""

    def add_ids(self, slots: list[int]) -> None:
        """The next ids are those of these slots."""
        self.slot_of = np.append(self.slot_of[:-1], np.array([*slots, 0], np.uint16))
        more = max(slots, default=0) + 1 - len(self.counts)
        if more > 0:
            more = max(more, len(self.counts))
            self.counts = np.append(self.counts, np.zeros(more, np.int64))
            self.widths = np.append(self.widths, np.ones(more, np.int64))
            self.last = np.append(self.last, np.zeros(more))
            self.first_time = np.append(self.first_time, np.zeros(more))
            self.last_time = np.append(self.last_time, np.zeros(more))
            self.newest = np.append(self.newest, np.zeros((more, FIELDS)), axis=0)


# Axis, columns, from and to, and where a logarithmic axis has its zero.
_Key = tuple[int, int, float, float, float | None]


@dataclass(frozen=True, eq=False)
class _Zoom:
    """A closer look at a range, up to a byte of the file and a count of points."""

    view: Columns
    points: Points
    only_file: bool
    """Whether nothing in the view is from buckets, so that more may be added."""
    until: int
    count: int


class Line:
    """One metric of one process, however many points it has."""

    def __init__(self, name: str, stem: str, slot: int, table: _Table, roll: _Roll) -> None:
        self.name = name
        self.writer = os.path.basename(stem)
        """The name of the process's files; it begins with the time of its first call."""
        self._path = f"{stem}.bin"
        self._slot = slot
        self._table = table
        self._roll = roll
        self._closed = NONE
        self._size = 0
        self._zooms: dict[_Key, _Zoom] = {}
        self._ahead: Ahead | None = None

    @property
    def count(self) -> int:
        """How many points there are so far."""
        return int(self._table.counts[self._slot])

    @property
    def version(self) -> int:
        """A number that grows with every change."""
        return self.count

    @property
    def last(self) -> float:
        """The value that was logged last, as far as the file was looked at."""
        ahead = self._points_ahead()
        return float(ahead[-1, VALUE] if len(ahead) else self._table.last[self._slot])

    @property
    def first_time(self) -> float:
        """When the first point was logged, in seconds since the epoch."""
        return float(self._table.first_time[self._slot])

    @property
    def last_time(self) -> float:
        """When the last point was logged, in seconds since the epoch."""
        return float(self._table.last_time[self._slot])

    def points(
        self,
        axis: Axis,
        columns: int,
        low: float | None = None,
        high: float | None = None,
        log_from: float | None = None,
    ) -> Points:
        """What a chart of so many pixel columns from ``low`` to ``high`` has to draw.

        Without both it is the whole line from afar, which costs the same at any size. With one
        of them the file is read again where too little is known of the range. With ``log_from``,
        which is below ``low``, columns are even by the logarithm of the distance from there, and
        it is the line from afar without ``high``.
        """
        kind = 1 if axis == "time" else 0
        with self._roll.lock, np.errstate(all="ignore"):
            rows, ahead = self._rows(), self._points_ahead()
            is_far = high is None and (low is None or log_from is not None)
            if low is None or low == -math.inf:
                low = float(min(rows[:, LEAST + kind].min(), ahead[:, kind].min(initial=math.inf)))
            if high is None or high == math.inf:
                high = float(max(rows[:, MOST + kind].max(), ahead[:, kind].max(initial=-math.inf)))
            if not is_far and self._width > 1 and not len(ahead):
                return self._near((kind, columns, low, high, log_from), rows)
            view = Columns(low, high, columns, log_from)
            if log_from is not None and self._width > 1:
                rows = self._begun(view, kind, rows)
            view.add_buckets(rows[view.touches(rows, kind)], kind)
            if not len(ahead):
                return view.points()
            view.add(ahead[:, kind], ahead[:, VALUE])
            return replace(view.points(), exact=False)

    def _points_ahead(self) -> Floats:
        """What stands for the part of the file that has not been taken in."""
        if self._ahead is None:
            return _NO_POINTS
        ahead = self._ahead.beyond(self._table.taken)
        if not len(ahead):
            self._ahead = None
        return ahead

    @property
    def _is_crowded(self) -> bool:
        """Whether there are more buckets than a line may have now."""
        return self.count > self._width * self._roll.most_buckets

    def _add(self, rows: Floats) -> None:
        """Take in buckets that have no room for more points."""
        size = self._size + len(rows)
        if size > len(self._closed):
            larger = np.empty((max(size, 2 * len(self._closed)), FIELDS))
            larger[: self._size] = self._closed[: self._size]
            self._closed = larger
        self._closed[self._size : size] = rows
        self._size = size

    @property
    def _width(self) -> int:
        """How many points there are in a bucket, which is a power of two."""
        return int(self._table.widths[self._slot])

    @property
    def _has_newest(self) -> bool:
        """Whether there is a bucket that has room for more points."""
        return self.count % self._width > 0

    def _rows(self) -> Floats:
        """All buckets in order."""
        rows = self._closed[: self._size]
        if self._has_newest:
            rows = np.append(rows, self._table.newest[self._slot : self._slot + 1], axis=0)
        return rows

    def _begun(self, view: Columns, kind: int, rows: Floats) -> Floats:
        """Add from the file what its beginning has for the lower decades; the other buckets."""
        wide = view.wide_at_the_beginning(rows, kind)
        try:
            self._read_again(view, kind, rows, np.flatnonzero(wide), (0, 0))
        except OSError:
            return rows
        return rows[~wide]

    def _near(self, key: _Key, rows: Floats) -> Points:
        """What is in a range, most of it from the file."""
        kind, columns, low, high, log_from = key
        view = Columns(low, high, columns, log_from)
        touching = view.touches(rows, kind)
        zoom = self._zooms.pop(key, None)
        if zoom is None or (touching & (rows[:, END] > zoom.until)).any():
            zoom = self._looked_again(zoom, view, kind, rows)
        if zoom is None:  # the file is gone; what is known of it is not
            view.add_buckets(rows[touching], kind)
            return view.points()
        self._zooms[key] = zoom
        if len(self._zooms) > _MOST_ZOOMS:
            del self._zooms[next(iter(self._zooms))]
        return zoom.points

    def _looked_again(
        self, zoom: _Zoom | None, view: Columns, kind: int, rows: Floats
    ) -> _Zoom | None:
        """The zoom as it is now; None when the file cannot be read."""
        touching = view.touches(rows, kind)
        again = view.to_read_again(rows, kind)
        only_file = bool((again == touching).all())
        since = (0, 0)
        if zoom and zoom.only_file and only_file:
            view, since = zoom.view, (zoom.until, zoom.count)
        try:
            self._read_again(view, kind, rows, np.flatnonzero(again), since)
        except OSError:
            return None
        view.add_buckets(rows[touching & ~again], kind)
        return _Zoom(view, view.points(), only_file, int(rows[-1, END]), self.count)

    def _read_again(
        self, view: Columns, kind: int, rows: Floats, wanted: Ints, since: tuple[int, int]
    ) -> None:
        """Add what the file has of these buckets, from a byte and a count of points on."""
        until, known = since
        wanted = wanted[rows[wanted, END] > until]
        for part in np.split(wanted, np.flatnonzero(np.diff(wanted) > 1) + 1):
            if len(part):
                start, count = int(rows[part[0], START]), int(part[0]) * self._width
                if start < until:
                    start, count = until, known
                self._read(view, kind, (start, int(rows[part[-1], END])), count)

    def _read(self, view: Columns, kind: int, span: tuple[int, int], count: int) -> None:
        """Add the points between two bytes of the file; so many came before."""
        mine = (self._table.slot_of == self._slot).astype(np.uint16)
        for words in pieces(self._path, *span):
            found = batch(words, mine)
            if found is not None:
                view.add(found.t if kind else found.x(np.array([count])), found.y)
                count += len(found.y)


def _widen(lines: Sequence[Line]) -> None:
    """Make one bucket of each two; many lines together cost little more than one."""
    pairs = np.concatenate([line._closed[: line._size // 2 * 2] for line in lines])
    rows = merged(pairs[0::2], pairs[1::2])
    _put_before_newest([line for line in lines if line._size % 2])
    end = 0
    for line in lines:
        start, end = end, end + line._size // 2
        line._closed, line._size = rows[start:end].copy(), end - start
        line._table.widths[line._slot] *= 2


def _put_before_newest(lines: Sequence[Line]) -> None:
    """Make the last finished bucket of each line one with the newest."""
    if not lines:
        return
    rows = np.stack([line._closed[line._size - 1] for line in lines])
    newest = np.stack([line._table.newest[line._slot] for line in lines])
    begun = np.array([line._has_newest for line in lines])
    rows[begun] = merged(rows[begun], newest[begun])
    for line, row in zip(lines, rows, strict=True):
        line._table.newest[line._slot] = row


def _widen_crowded(lines: Sequence[Line]) -> None:
    while crowded := [line for line in lines if line._is_crowded]:
        for first in range(0, len(crowded), _TOGETHER):
            _widen(crowded[first : first + _TOGETHER])


class _Writer:
    """Takes in the files of one process."""

    def __init__(self, stem: str, roll: _Roll) -> None:
        self.left_out = 0
        self._stem = stem
        self._roll = roll
        self._table = _Table()
        self._lines: dict[int, Line] = {}
        self._names: list[str] = []
        self._slots: dict[str, int] = {}
        self._known_ids = 0
        self._names_at = 0
        self._others_at = 0

    def taken(self) -> tuple[int, int]:
        """How many bytes were taken in, and how many there are."""
        there = metrics.written(self._stem) - SIZE
        try:
            there += os.stat(f"{self._stem}.jsonl").st_size
        except FileNotFoundError:
            pass
        return self._table.taken - SIZE + self._others_at, there

    def take_others(self, limit: float, others: Entries) -> float:
        """Take in new lines of text; what it cost, as a number of records."""
        cost = 0.0
        while cost < limit:
            start = self._others_at
            lines, self._others_at = metrics.other_lines(self._stem, start, _TEXT_PIECE)
            if self._others_at == start:
                break
            others.add(self._stem, lines)
            cost += (self._others_at - start) * _BYTE
        return cost

    def take_records(self, limit: float, final: bool) -> int:
        """Take in about so many new records; how many it were."""
        taken, size = 0, _FIRST_PIECE
        try:
            with metrics.open_to_read(f"{self._stem}.bin") as file:
                while taken < limit:
                    now = time()
                    words = read_piece(file, self._table.taken, size)
                    count = self._named(words[: settled(words, now, final)], now, final)
                    if count:
                        self._take(words[:count])
                    taken += count
                    if not count or len(words) < size or len(words) - count >= LONGEST_GAP:
                        break
                    largest = min(max(PIECE, _PIECE_OF_EACH * len(self._names)), _LARGEST_PIECE)
                    size = min(8 * size, largest)
        except FileNotFoundError:
            pass
        return taken

    def look_ahead(self) -> None:
        """Let lines show a few points of what has not been taken in, if that is long."""
        if self._table.taken == SIZE:
            self.take_records(_FIRST_PIECE, final=False)
        try:
            end = metrics.written(self._stem)
            if end - self._table.taken < _LONG:
                return
            with metrics.open_to_read(f"{self._stem}.bin") as file:
                table = self._table
                found = look_ahead(file, table.taken, end, table.slot_of, table.counts)
        except FileNotFoundError:
            return
        with self._roll.lock:
            for slot, line in self._lines.items():
                line._ahead = found.get(slot)

    def _named(self, words: Words, now: float, final: bool) -> int:
        """How many of these records, from the first on, have a name or never will."""
        ids = words.view(np.uint32)[:, 6]
        if not len(ids) or int(ids.max()) <= self._known_ids:
            return len(words)
        self._learn_names()
        unknown = np.flatnonzero(ids > self._known_ids)
        if final or not len(unknown):
            return len(words)
        age = np.abs(now - words[unknown, 1].view(np.float64))
        recent = unknown[age < _NAME_DELAY]
        return int(recent[0]) if len(recent) else len(words)

    def _learn_names(self) -> None:
        names, self._names_at = metrics.new_names(self._stem, self._names_at)
        self._table.add_ids([self._slot(name) for name in names])
        self._known_ids += len(names)

    def _slot(self, name: str) -> int:
        """The slot of a name, which may have several ids; 0 when it is not followed."""
        if name and name not in self._slots:
            if len(self._names) == _MOST_NAMES:
                self.left_out += 1
                return 0
            self._names.append(name)
            self._slots[name] = len(self._names)
        return self._slots.get(name, 0)

    def _take(self, words: Words) -> None:
        """Make buckets of these records."""
        offset = self._table.taken
        found = batch(words, self._table.slot_of)
        with self._roll.lock, np.errstate(all="ignore"):
            self._table.taken += len(words) * SIZE
            if found is None:
                return
            self._begin_lines(found)
            table, slots = self._table, found.slots
            counts, widths = table.counts[slots], table.widths[slots]
            starts, firsts = _cut(found, counts, widths)
            rows = summarise(found.x(counts), found.t, found.y, offset + found.where * SIZE, starts)
            begun = counts % widths > 0
            rows[firsts[begun]] = merged(table.newest[slots[begun]], rows[firsts[begun]])
            counts += found.sizes
            self._keep(rows, slots, firsts, counts % widths > 0)
            ends = found.starts + found.sizes - 1
            table.counts[slots] = counts
            table.last[slots], table.last_time[slots] = found.y[ends], found.t[ends]

    def _begin_lines(self, found: Batch) -> None:
        """Begin lines that have no points so far, and let all have room for what is found."""
        table, slots = self._table, found.slots
        new = np.flatnonzero(table.counts[slots] == 0)
        table.first_time[slots[new]] = found.t[found.starts[new]]
        for slot in slots[new[np.argsort(found.where[found.starts[new]])]].tolist():
            line = Line(self._names[slot - 1], self._stem, slot, table, self._roll)
            self._lines[slot] = line
            self._roll.add(line)
        crowded = slots
        while len(crowded):
            room = table.widths[slots] * self._roll.most_buckets
            crowded = slots[table.counts[slots] + found.sizes > room]
            for first in range(0, len(crowded), _TOGETHER):
                some = crowded[first : first + _TOGETHER].tolist()
                _widen([self._lines[slot] for slot in some])

    def _keep(self, rows: Floats, slots: Ints, firsts: Ints, unfinished: Flags) -> None:
        """Give each line its buckets; the last one of each may be unfinished."""
        ends = np.append(firsts[1:], len(rows))
        self._table.newest[slots[unfinished]] = rows[ends[unfinished] - 1]
        ends -= unfinished
        some = ends > firsts
        for slot, first, end in zip(
            slots[some].tolist(), firsts[some].tolist(), ends[some].tolist(), strict=True
        ):
            self._lines[slot]._add(rows[first:end])


def _cut(found: Batch, counts: Ints, widths: Ints) -> tuple[Ints, Ints]:
    """Where the buckets of these points begin, and which is the first one of each line."""
    before = counts // widths
    numbers = -(-(counts + found.sizes) // widths) - before
    firsts = np.cumsum(numbers) - numbers
    line = np.repeat(np.arange(len(numbers)), numbers)
    nth = before[line] + np.arange(len(line)) - firsts[line]
    starts = found.starts[line] + np.maximum(nth * widths[line] - counts[line], 0)
    return starts, firsts
