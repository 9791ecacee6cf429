"""The records of a metric file as arrays, a piece at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedReader
from typing import Any

import numpy as np

from ..job import metrics
from ..job.metrics import SIZE
from .buckets import Floats, Ints

Words = np.ndarray[Any, np.dtype[np.uint64]]
"""Records as four words each: step, time, value, and id with kind."""
Slots = np.ndarray[Any, np.dtype[np.uint16]]
"""Which line a metric's id belongs to: 0 for none, which the last one is, too."""

PIECE = 1 << 15
"""So many records at a time stay in the processor's own memory."""


@dataclass(frozen=True, eq=False)
class Batch:
    """The points in a piece of a file, line by line and within one as they were logged."""

    slots: Ints
    """Whose points there are, each once and ascending."""
    starts: Ints
    sizes: Ints
    """Where the points of each begin, and how many they are."""
    where: Ints
    """Which record of the piece each point is."""
    steps: Ints
    t: Floats
    y: Floats

    def x(self, counts: Ints) -> Floats:
        """Their steps; without one the number of calls before, which begins with ``counts``."""
        counted = np.arange(len(self.y)) + np.repeat(counts - self.starts, self.sizes)
        missing = self.steps <= metrics.STEP_0
        if missing.all():
            return counted.astype(np.float64)
        return np.where(missing, counted, self.steps).astype(np.float64)


def batch(words: Words, slot_of: Slots) -> Batch | None:
    """The points of these records whose ids have a slot; None when there are none."""
    step_words, times, values, keys = (np.ascontiguousarray(words[:, n]) for n in range(4))
    ids, kinds = keys.view(np.uint32)[0::2], keys.view(np.uint32)[1::2]
    t = times.view(np.float64)
    slots = slot_of.take(ids, mode="clip")
    # Slots that a thread took and never filled, and what a disk has spoiled.
    if not (kinds.all() and t.min() > -metrics.LATEST and t.max() < metrics.LATEST):
        slots[(kinds == 0) | ~(np.abs(t) < metrics.LATEST)] = 0
    steps, y = step_words.view(np.int64), values.view(np.float64)
    if (kinds != metrics.FLOAT).any():
        y = np.where(kinds == metrics.FLOAT, y, values.view(np.int64))
    where = np.arange(len(words))
    order = _order(slots)
    if order is not None:
        where, steps, t, y, slots = order, steps[order], t[order], y[order], slots[order]
    if not len(where):
        return None
    starts = np.append(0, np.flatnonzero(slots[1:] != slots[:-1]) + 1)
    sizes = np.diff(starts, append=len(slots))
    return Batch(slots[starts].astype(np.intp), starts, sizes, where, steps, t, y)


def _order(slots: Slots) -> Ints | None:
    """Which records have a slot, slot by slot; None for all of them as they are."""
    chosen = None
    if not slots.all():
        chosen = np.flatnonzero(slots)
        slots = slots[chosen]
    if len(slots) and slots.min() < slots.max():
        order = np.argsort(slots, kind="stable")
        return order if chosen is None else chosen[order]
    return chosen


def read_piece(file: BufferedReader, offset: int, records: int) -> Words:
    """The records from ``offset`` on, at most so many."""
    words = np.empty((records, SIZE // 8), np.uint64)
    file.seek(offset)
    return words[: file.readinto(words.data) // SIZE]


def pieces(path: str, start: int, end: int) -> Iterator[Words]:
    """All records between two bytes of a file, as far as they are there."""
    with metrics.open_to_read(path) as file:
        while start < end:
            words = read_piece(file, start, min(PIECE, (end - start) // SIZE))
            if not len(words):
                return
            yield words
            start += len(words) * SIZE


def settled(words: Words, now: float, final: bool) -> int:
    """How many of these records, read after ``now``, are not about to change.

    ``final`` is for a file that nobody writes to any more. What was allocated ahead is not
    counted.
    """
    kinds = words.view(np.uint32)[:, 7]
    if kinds.all():
        return len(words)
    there = np.flatnonzero(kinds)
    end = int(there[-1]) + 1 if len(there) else 0
    if final or len(there) == end:
        return end
    return metrics.settled(words[:end].tobytes(), now)
