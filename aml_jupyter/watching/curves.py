"""What of a line a chart of so many columns has to draw, for the axis and the range looked at."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from ..store.buckets import Floats
    from ..store.series import Axis, Points
    from .figures import Trace

Range = tuple[float, float]

_LOG_FLOOR: Mapping[str, float] = {"step": 1.0, "time": 0.01}
"""Where a logarithmic axis begins at the earliest."""


@dataclass(frozen=True)
class Look:
    """How lines are drawn; of the wire's type ``ChartOptions`` what concerns a single chart."""

    axis: str
    log_x: bool
    log_y: bool
    smoothing: float

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> Look:
        """The look that these options ask for; a logarithm of the time of day means nothing."""
        axis = options["axis"] if options["axis"] in ("time", "clock") else "step"
        smoothing = min(max(float(options["smoothing"]), 0.0), 0.999)
        log_x = bool(options["log_x"]) and axis != "clock"
        return cls(axis, log_x, bool(options["log_y"]), smoothing)

    @property
    def logged_axis(self) -> Axis:
        """Which of the two numbers that are logged with a value the axis shows."""
        return "step" if self.axis == "step" else "time"

    def zero(self, started: float) -> float:
        """What of that number is 0 on the axis, for a run that started then."""
        return started if self.axis == "time" else 0.0

    def shown_x(self, x: Floats, started: float) -> Floats:
        """Where on the axis points stand, on a logarithmic one by their logarithm."""
        return _log(x - self.zero(started)) if self.log_x else x - self.zero(started)

    def shown_y(self, y: Floats) -> Floats:
        """How high points stand; NaN for what a logarithmic axis cannot show."""
        return _log(y) if self.log_y else y


def points_of(trace: Trace, look: Look, columns: int, view: Range | None = None) -> Points:
    """What to draw of a line where all of it is looked at, or the range ``view`` of the axis.

    Of a range there is as much again beside it, so that there is something when the reader moves
    on. Columns are as even on a logarithmic axis as on another.
    """
    line, axis, zero = trace.line, look.logged_axis, look.zero(trace.started)
    whole = line.points(axis, columns)
    if whole.exact or not len(whole.x) or (view is None and not look.log_x):
        return whole
    if not look.log_x:
        assert view is not None
        low, high = _widened(view)
        return line.points(axis, 2 * columns, low + zero, high + zero)
    # The first point may be anywhere in the first column.
    first, last = whole.x[0] - zero, whole.x[-1] - zero
    low, high = first - (last - first) / columns, last
    floor = _LOG_FLOOR[look.axis]
    if view is not None:
        low, high = _widened((_exponent(view[0], floor), _exponent(view[1], floor)))
        low, high = 10.0**low, 10.0 ** min(high, 308.0)
    low = max(low, floor)
    if not low < high:
        return whole
    if view is None:
        return line.points(axis, columns, low + zero, log_from=zero)
    return line.points(axis, 2 * columns, low + zero, high + zero, log_from=zero)


def _widened(view: Range) -> Range:
    more = (view[1] - view[0]) / 2
    return view[0] - more, view[1] + more


def _exponent(value: float, floor: float) -> float:
    return math.log10(max(value, floor))


def _log(values: Floats) -> Floats:
    return np.log10(np.where(values > 0, values, np.nan))
