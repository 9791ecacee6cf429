"""A quick look at a long file that has not been read: a few points from all over it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BufferedReader

import numpy as np

from ..job import metrics
from ..job.metrics import SIZE
from .buckets import Floats, Ints
from .records import Slots, Words, batch, read_piece

_MOST_WINDOWS = 1024
_RECORDS = 1 << 18
"""Records that are read at most."""
_SECONDS = 0.3
"""How long it may take where it is a network or a turning disk that is read."""
_FEWEST = 64
_OF_EACH = 4
"""Points of each metric in one window, where they are logged by turns."""


@dataclass(frozen=True, eq=False)
class Ahead:
    """Points of one line from here and there in the part of its file that has not been read."""

    at: Ints
    """The byte that the window of each begins at, ascending."""
    points: Floats
    """A row for each: its step, its time and its value; a step that was counted is estimated."""

    def beyond(self, byte: int) -> Floats:
        """Those from this byte on."""
        beyond: Floats = self.points[np.searchsorted(self.at, byte) :]
        return beyond


def look_ahead(
    file: BufferedReader, start: int, end: int, slot_of: Slots, counts: Ints
) -> Mapping[int, Ahead]:
    """Points between two bytes of a file, by the slot of their line.

    ``counts`` has, by slot, how many points came before ``start``.
    """
    # Of metrics that are logged by turns there is the same number in each window.
    metrics_known = max(len(slot_of) - 2, 1)
    size = metrics_known * max(_OF_EACH, _FEWEST // metrics_known)
    size = min(size, _RECORDS // _FEWEST)
    records = (end - start) // SIZE
    number = min(_MOST_WINDOWS, _RECORDS // size, records // size)
    if number < 2:
        return {}
    places = np.linspace(0, records - size, number).astype(np.int64)
    read = _read(file, [start + place * SIZE for place in places.tolist()], size)
    firsts = places[sorted(read)]
    found = batch(np.concatenate([read[window] for window in sorted(read)]), slot_of)
    if found is None:
        return {}
    # Which window each point is from; within a line they are as they lie in the file.
    windows = found.where // size
    steps = found.steps.astype(np.float64)
    missing = found.steps <= metrics.STEP_0
    ahead = {}
    for slot, begin, length in zip(found.slots, found.starts, found.sizes, strict=True):
        mine = slice(begin, begin + length)
        if missing[mine].any():
            counted = counts[slot] + _counted(windows[mine], firsts, size)
            steps[mine] = np.where(missing[mine], counted, steps[mine])
        points = np.column_stack((steps[mine], found.t[mine], found.y[mine]))
        ahead[int(slot)] = Ahead(start + firsts[windows[mine]] * SIZE, points)
    return ahead


def _read(file: BufferedReader, places: Sequence[int], size: int) -> dict[int, Words]:
    """The windows at these bytes by number, or of a slow disk as many as there is time for.

    They come from far apart first, so that those that are there are from all over the file.
    """
    last = len(places) - 1
    order = sorted(range(len(places)), key=lambda n: (n % 16 > 0 and n < last, n % 4 > 0, n))
    windows: dict[int, Words] = {}
    give_up = time.monotonic() + _SECONDS
    for number in order:
        windows[number] = _window(file, places[number], size)
        if time.monotonic() > give_up:
            break
    return windows


def _window(file: BufferedReader, at: int, size: int) -> Words:
    words = read_piece(file, at, size)
    # One that is shorter than it should be must not move those after it.
    return np.concatenate((words, np.zeros((size - len(words), SIZE // 8), np.uint64)))


def _counted(windows: Ints, firsts: Ints, size: int) -> Floats:
    """How many points of a line came before each, if it is logged between windows as in them."""
    number = np.bincount(windows, minlength=len(firsts))
    before = np.append(0.0, np.cumsum(np.diff(firsts) * (number[:-1] / size)))
    rank = np.arange(len(windows)) - np.searchsorted(windows, windows)
    counted: Floats = np.rint(before)[windows] + rank
    return counted
