"""Many points in little room: of each stretch its lowest, its highest, and where it is on disk.

A bucket is a row of numbers, so that thousands of them are made, merged and drawn at once.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..job.metrics import SIZE

Floats = np.ndarray[Any, np.dtype[np.float64]]
Ints = np.ndarray[Any, np.dtype[np.signedinteger[Any]]]
Flags = np.ndarray[Any, np.dtype[np.bool_]]

# The first field of a point in a row; a point is its step, its time and its value.
LOW, HIGH, GAP = 0, 3, 6
VALUE = 2
# The least and the most step, each followed by that of the times.
LEAST, MOST = 9, 11
# Sum and count of the finite values, and the bytes of the file where the records lie.
SUM, FINITE, START, END = 13, 14, 15, 16
FIELDS = 17

NONE = np.empty((0, FIELDS))


def summarise(x: Floats, t: Floats, y: Floats, at: Ints, starts: Ints) -> Floats:
    """One bucket for each piece of these points; the pieces begin at ``starts``.

    Steps ``x``, times ``t`` and values ``y`` are parallel, ``at`` is the byte of each record.
    Without a finite value LOW is at infinity and HIGH below; without another GAP is 0.
    """
    ends = np.append(starts[1:], len(y))
    rows = np.zeros((len(starts), FIELDS))
    low = high = finite_only = y
    finite = np.isfinite(y)
    if finite.all():
        rows[:, FINITE] = ends - starts
    else:
        low, high = np.where(finite, y, np.inf), np.where(finite, y, -np.inf)
        finite_only = np.where(finite, y, 0.0)
        rows[:, FINITE] = np.add.reduceat(finite, starts, dtype=np.float64)
        gaps = np.flatnonzero(~finite)
        owners, firsts = np.unique(np.searchsorted(starts, gaps, "right") - 1, return_index=True)
        gaps = gaps[firsts]
        rows[owners, GAP : GAP + 3] = np.column_stack((x[gaps], t[gaps], y[gaps]))
    first, last = extremes(low, high, starts)
    rows[:, LOW : LOW + 3] = np.column_stack((x[first], t[first], low[first]))
    rows[:, HIGH : HIGH + 3] = np.column_stack((x[last], t[last], high[last]))
    for field, values in enumerate((x, t)):
        rows[:, LEAST + field] = np.minimum.reduceat(values, starts)
        rows[:, MOST + field] = np.maximum.reduceat(values, starts)
    rows[:, SUM] = np.add.reduceat(finite_only, starts)
    rows[:, START], rows[:, END] = at[starts], at[ends - 1] + SIZE
    return rows


def extremes(low: Floats, high: Floats, starts: Ints) -> tuple[Ints, Ints]:
    """Where each piece has its first lowest value in ``low``, and its last highest in ``high``.

    First and last, so that a piece with more than one value always has two such places.
    """
    sizes = np.diff(starts, append=len(low))
    lows = np.repeat(np.minimum.reduceat(low, starts), sizes)
    hits = np.flatnonzero(low == lows)
    first = hits[np.searchsorted(hits, starts)]
    highs = np.repeat(np.maximum.reduceat(high, starts), sizes)
    hits = np.flatnonzero(high == highs)
    last = hits[np.searchsorted(hits, starts + sizes) - 1]
    return first, last


def merged(left: Floats, right: Floats) -> Floats:
    """Each bucket of ``left`` made one with that of ``right``, which came after it."""
    rows: Floats = left.copy()
    for field, is_right in (
        (LOW, right[:, LOW + VALUE] < left[:, LOW + VALUE]),
        (HIGH, right[:, HIGH + VALUE] >= left[:, HIGH + VALUE]),
        (GAP, left[:, GAP + VALUE] == 0),
    ):
        rows[is_right, field : field + 3] = right[is_right, field : field + 3]
    rows[:, LEAST:MOST] = np.minimum(left[:, LEAST:MOST], right[:, LEAST:MOST])
    rows[:, MOST:SUM] = np.maximum(left[:, MOST:SUM], right[:, MOST:SUM])
    rows[:, SUM:START] += right[:, SUM:START]
    rows[:, END] = right[:, END]
    return rows
