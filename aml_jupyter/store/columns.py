"""What a chart of so many pixel columns has to draw of any number of points."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .buckets import (
    END,
    FINITE,
    GAP,
    HIGH,
    LEAST,
    LOW,
    MOST,
    START,
    SUM,
    VALUE,
    Flags,
    Floats,
    Ints,
    extremes,
)

_MOST_COLUMNS = 1 << 14
# Bytes that are read again for a closer look: at once, and at most.
_LITTLE = 1 << 24
_VERY_MUCH = 1 << 29
# Bytes that are read again at the beginning, for the lower decades of a logarithmic axis.
_BEGINNING = 1 << 22


@dataclass(frozen=True, eq=False)
class Points:
    """A line as a chart wants it: two points a pixel column, and no spike lost."""

    x: Floats
    """Where the points are, ascending: of each column the lowest and the highest."""
    y: Floats
    """Finite, or a single NaN between two points that must not be joined."""
    gaps: Floats
    """Where NaN or an infinity was logged: the first such place of each column."""
    gap_kinds: np.ndarray[Any, np.dtype[np.int8]]
    """What it was there: 0 NaN, 1 infinity, -1 minus infinity."""
    mean_x: Floats
    mean_y: Floats
    """Of each column that has any, the mean of its finite points."""
    exact: bool
    """Whether every finite point that was logged in the range is in ``x`` and ``y``."""


@dataclass(frozen=True, eq=False)
class _Cloud:
    """Points before they are drawn; ``breaks`` where one that is not finite parts the line."""

    x: Floats
    y: Floats
    breaks: Flags


class Columns:
    """Takes in points in any order and any number, and keeps what so many columns can show.

    ``low`` and ``high`` belong to the range; what lies outside is passed over. The columns are
    even, or on a logarithmic axis of the distance from ``log_from``, which is below the range.
    """

    def __init__(
        self, low: float, high: float, columns: int, log_from: float | None = None
    ) -> None:
        self.low, self.high = low, high
        self._log_from = log_from
        self._columns = max(1, min(columns, _MOST_COLUMNS))
        self._left, right = self._place(np.array([low, high]))
        self._extent = float(right - self._left)
        with np.errstate(all="ignore"):
            scale = self._columns / np.float64(self._extent)
        self._scale = float(scale) if np.isfinite(scale) else 0.0
        self._cloud = _Cloud(np.empty(0), np.empty(0), np.empty(0, bool))
        self._new: list[_Cloud] = []
        # Of each column: how many finite points, the sum of their distances from low, of values.
        self._sums = np.zeros((3, self._columns))

    def touches(self, rows: Floats, axis: int) -> Flags:
        """Which buckets may have points in the range."""
        return (rows[:, MOST + axis] >= self.low) & (rows[:, LEAST + axis] <= self.high)

    def holds(self, rows: Floats, axis: int) -> Flags:
        """Which buckets have no point outside the range."""
        return (rows[:, LEAST + axis] >= self.low) & (rows[:, MOST + axis] <= self.high)

    def has_narrow(self, rows: Floats, axis: int) -> Flags:
        """Which buckets are in the range no wider than a quarter of a column."""
        ends = np.clip(rows[:, [LEAST + axis, MOST + axis]], self.low, self.high)
        width = self._place(ends[:, 1]) - self._place(ends[:, 0])
        narrow: Flags = width <= self._extent / self._columns / 4
        return narrow

    def has_in_one(self, rows: Floats, axis: int) -> Flags:
        """Which buckets that the range holds have all their points in one column."""
        ends = np.clip(rows[:, [LEAST + axis, MOST + axis]], self.low, self.high)
        same: Flags = self._column(ends[:, 0]) == self._column(ends[:, 1])
        return same

    def to_read_again(self, rows: Floats, axis: int) -> Flags:
        """Which buckets that touch the range tell too little of it.

        Enough is told by those that are in it and narrow, if they are the most. Better still are
        those within one column, and the others are read again if that is little; never is it very
        much.
        """
        touching, inside = self.touches(rows, axis), self.holds(rows, axis)
        narrow = inside & self.has_narrow(rows, axis)
        if 2 * np.count_nonzero(narrow) < np.count_nonzero(touching):
            narrow[:] = False
        sizes = rows[:, END] - rows[:, START]
        in_one = narrow & self.has_in_one(rows, axis)
        for known, most in ((in_one, _LITTLE), (narrow, _VERY_MUCH)):
            again = touching & ~known
            if sizes[again].sum() <= most:
                return again
        return touching & ~inside

    def wide_at_the_beginning(self, rows: Floats, axis: int) -> Flags:
        """Which of the first buckets have more in them than a column, as far as that is little."""
        wide = self.touches(rows, axis) & ~self.has_narrow(rows, axis)
        first: Flags = np.cumsum(wide * (rows[:, END] - rows[:, START])) <= _BEGINNING
        return wide & first

    def add(self, x: Floats, y: Floats) -> None:
        """Take in points as they were logged."""
        inside = (x >= self.low) & (x <= self.high)
        if not inside.all():
            x, y = x[inside], y[inside]
        cloud = _ascending(_Cloud(x, y, ~np.isfinite(y)))
        finite = ~cloud.breaks
        self._count(cloud.x[finite], cloud.y[finite], np.ones(np.count_nonzero(finite)))
        self._gather(cloud)

    def add_buckets(self, rows: Floats, axis: int) -> None:
        """Take in buckets; the points they are known by may be anywhere."""
        finite = rows[:, FINITE]
        some = rows[finite > 0]
        middle = some[:, LEAST + axis] / 2 + some[:, MOST + axis] / 2
        self._count(np.clip(middle, self.low, self.high), some[:, SUM], some[:, FINITE])
        places = np.array([LOW, HIGH, GAP])
        there = np.column_stack((finite > 0, finite > 1, rows[:, GAP + VALUE] != 0))
        x, y = rows[:, places + axis][there], rows[:, places + VALUE][there]
        # Among many finite values one that is not has no room to part them.
        alone = np.repeat((finite <= 2)[:, None], 3, axis=1)[there]
        inside = (x >= self.low) & (x <= self.high)
        breaks = alone & ~np.isfinite(y)
        self._gather(_ascending(_Cloud(x[inside], y[inside], breaks[inside])))

    def points(self) -> Points:
        """What there is to draw of all that was taken in."""
        cloud = self._settle()
        count, distance, total = self._sums[:, self._sums[0] > 0]
        with np.errstate(all="ignore"):
            mean_x, mean_y = self.low + distance / count, total / count
        sound = np.isfinite(mean_y)
        finite = np.isfinite(cloud.y)
        exact = np.count_nonzero(finite) == self._sums[0].sum()
        gaps = np.flatnonzero(~finite)
        gaps = gaps[_starts(self._column(cloud.x[gaps]))]
        kinds = np.nan_to_num(cloud.y[gaps], nan=0.0, posinf=1.0, neginf=-1.0).astype(np.int8)
        x, y = _line(cloud)
        return Points(x, y, cloud.x[gaps], kinds, mean_x[sound], mean_y[sound], bool(exact))

    def _gather(self, cloud: _Cloud) -> None:
        self._new.append(self._thinned(cloud))
        if sum(len(each.x) for each in self._new) > 8 * self._columns:
            self._settle()

    def _settle(self) -> _Cloud:
        """One cloud of all so far."""
        if self._new:
            clouds = [self._cloud, *self._new]
            x, y = (np.concatenate([getattr(each, name) for each in clouds]) for name in "xy")
            breaks = np.concatenate([each.breaks for each in clouds])
            self._cloud = self._thinned(_ascending(_Cloud(x, y, breaks)))
            self._new.clear()
        return self._cloud

    def _column(self, x: Floats) -> Ints:
        """The column of each place, which is in the range."""
        column: Ints = ((self._place(x) - self._left) * self._scale).astype(np.intp)
        return np.minimum(column, self._columns - 1)

    def _place(self, x: Floats) -> Floats:
        """Where on the axis these are."""
        if self._log_from is None:
            return x
        placed: Floats = np.log10(x - self._log_from)
        return placed

    def _count(self, x: Floats, totals: Floats, counts: Floats) -> None:
        """Count points at places ``x``, ``counts`` of them at each, for the means."""
        column = self._column(x)
        for row, weights in enumerate((counts, (x - self.low) * counts, totals)):
            self._sums[row] += np.bincount(column, weights, self._columns)

    def _thinned(self, cloud: _Cloud) -> _Cloud:
        """Of each column the lowest and the highest, and where the line is to be parted."""
        column = self._column(cloud.x)
        finite = np.isfinite(cloud.y)
        keep = np.zeros(len(finite), bool)
        points = np.flatnonzero(finite)
        if len(points):
            y = cloud.y[points]
            first, last = extremes(y, y, _starts(column[points]))
            keep[points[first]] = keep[points[last]] = True
        breaks = cloud.breaks
        if len(points) < len(finite):
            crowded = np.bincount(column[points], minlength=self._columns) > 2
            breaks = breaks & ~crowded[column]
            gaps = np.flatnonzero(~finite)
            keep[gaps[_starts(column[gaps])]] = True
            # Of several in a row the first one parts; column by column, so at most three.
            after_point = np.append(False, finite[:-1])
            keep |= breaks & after_point
        return _Cloud(cloud.x[keep], cloud.y[keep], breaks[keep])


def _ascending(cloud: _Cloud) -> _Cloud:
    """In order of x; of the same x as it was logged."""
    if (cloud.x[1:] >= cloud.x[:-1]).all():
        return cloud
    order = np.argsort(cloud.x, kind="stable")
    return _Cloud(cloud.x[order], cloud.y[order], cloud.breaks[order])


def _starts(column: Ints) -> Ints:
    """Where each column begins, for columns in order."""
    return np.flatnonzero(np.diff(column, prepend=-1))


def _line(cloud: _Cloud) -> tuple[Floats, Floats]:
    """The points, with one NaN wherever two of them are parted and nowhere else."""
    finite = np.isfinite(cloud.y)
    shown = finite | cloud.breaks
    x, y, finite = cloud.x[shown], cloud.y[shown], finite[shown]
    points = np.flatnonzero(finite)
    if not len(points):
        return np.empty(0), np.empty(0)
    keep = finite | np.append(False, finite[:-1])
    keep[points[-1] + 1 :] = False
    return x[keep], np.where(finite, y, np.nan)[keep]
