"""One live chart: a bqplot figure that is told its lines, and sends only what changed.

What a figure needs beside its data (title, legend, ticks, hovering, zooming) is done in the browser
by `labextension/src/view/chart_tools.ts`, so that none of it waits for a kernel that computes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import bqplot
import numpy as np
from ipywidgets import Layout

from ..watching.curves import Look, Range, points_of
from ..watching.figures import Trace
from ..watching.markup import clean, short, shown_number
from .subshells import HeardAnywhere

if TYPE_CHECKING:
    from ..store.buckets import Floats

COLUMNS = 240
"""A line is sent as so many columns of two points at most, however long the run."""

_MARGIN = {"top": 30, "bottom": 24, "left": 54, "right": 14}
_LEGEND_ROW = 17
_LEGEND_WIDTH = 330
_DOTS_UP_TO = 30
_SPACE = 0.05
_MOST = 8e307
_FAINT, _WIDE = 0.3, 1.75
# How high a gap is marked also says what it is; the browser has the same table. NaN, ∞ and -∞ as
# they are told by ``Points.gap_kinds``, and what a logarithmic axis cannot show.
_HEIGHTS = np.array([0.0, 1.0, 1e-6])
_HEIGHT_BELOW = 2e-6


@dataclass(frozen=True)
class _Drawn:
    """A line in the chart's own units."""

    x: Floats
    y: Floats
    mean_x: Floats
    mean_y: Floats
    gap_x: Floats
    gap_heights: Floats


class Chart:
    """A figure of one or several lines.

    It shows everything until a browser sets the range of one of its scales; then it keeps that
    range, with all the detail there is in it, until ``show_all`` or until the browser unsets it.
    """

    def __init__(self, title: str, shared: Shared, on_zoom: Callable[[], None]) -> None:
        self._shared = shared
        self._x, self._y = _Span(on_zoom), _Span(on_zoom)
        ticks = {"tick_style": {"font-size": "10px"}}
        self._axes = [
            bqplot.Axis(scale=self._x.scale, grid_lines="none", **ticks),
            bqplot.Axis(scale=self._y.scale, side="left", **ticks),
        ]
        self._curves: list[_Curve] = []
        self._seen: object = None
        self._look: Look | None = None
        toolbar = {"display_toolbar": False} if hasattr(bqplot.Figure, "display_toolbar") else {}
        self.widget = bqplot.Figure(
            axes=self._axes,
            title=short(clean(title), 60),
            title_style={"font-size": "13px"},
            background_style={"fill": "transparent"},
            fig_margin=_MARGIN,
            padding_y=0,
            scale_x=shared.unit,
            scale_y=shared.unit,
            layout=shared.layout(0),
            **toolbar,
        )

    def update(self, traces: Sequence[Trace], look: Look) -> None:
        """Show these lines in this way; sends nothing when nothing changed."""
        if look != self._look:
            self._take(look)
        asked = (self._x.chosen, self._y.chosen)
        lines = [(trace, trace.line.version) for trace in traces]
        seen = (lines, look, asked, self._x.is_set, self._y.is_set)
        if seen == self._seen:
            return
        self._fit_curves(len(traces))
        drawn = [_drawn(trace, look, self._x.chosen) for trace in traces]
        for curve, trace, its in zip(self._curves, traces, drawn, strict=True):
            curve.show(trace, its, look.smoothing)
        self._show_ranges(drawn)
        self._show_marks(_legend_rows([trace.label for trace in traces]))
        self._seen = (lines, look, asked, True, True)

    def show_all(self) -> None:
        """Forget what a browser zoomed into; the next update shows everything."""
        self._x.free()
        self._y.free()

    def close(self) -> None:
        """Take the chart out of every browser."""
        self.widget.close()
        for part in (*self._axes, *self._marks(), self._x.scale, self._y.scale):
            part.close()

    def _take(self, look: Look) -> None:
        before = self._look
        if before is None or (look.axis, look.log_x) != (before.axis, before.log_x):
            self._x.free()
        if before is None or look.log_y != before.log_y:
            self._y.free()
        # Browsers read from these how to write ticks and values.
        old, new = _classes(before), _classes(look)
        for name in old - new:
            self.widget.remove_class(name)
        for name in new - old:
            self.widget.add_class(name)
        self._look = look

    def _fit_curves(self, count: int) -> None:
        while len(self._curves) < count:
            self._curves.append(_Curve(self._x.scale, self._y.scale, self._shared.unit))
        for curve in self._curves[count:]:
            curve.close()
        del self._curves[count:]

    def _show_ranges(self, drawn: Sequence[_Drawn]) -> None:
        chosen = self._x.chosen
        low, high = chosen or _around([part for its in drawn for part in (its.x, its.gap_x)])
        if not chosen:
            self._x.show(low, high)
        if not self._y.chosen:
            inside = [its.y[(its.x >= low) & (its.x <= high)] for its in drawn]
            self._y.show(*_around(inside, _SPACE))

    def _show_marks(self, rows: int) -> None:
        marks = self._marks()
        if marks != self.widget.marks:
            self.widget.marks = marks
        margin = {**_MARGIN, "bottom": _MARGIN["bottom"] + rows * _LEGEND_ROW}
        if margin != self.widget.fig_margin:
            with self.widget.hold_sync():
                self.widget.fig_margin = margin
                self.widget.layout = self._shared.layout(rows)

    def _marks(self) -> list[Any]:
        return [mark for curve in self._curves for mark in curve.marks]


def _legend_rows(labels: Sequence[str]) -> int:
    """How much room to leave below the axis; a legend that needs more is scrolled."""
    if len(labels) < 2:
        return 0
    # A swatch, the label as far as it is shown, and its last value.
    width = sum(70 + 6.2 * min(len(label), 30) for label in labels)
    return 1 if width < _LEGEND_WIDTH else 2


class Shared:
    """What the charts of a grid have in common, so that each is made of few widgets."""

    def __init__(self) -> None:
        self.unit = bqplot.LinearScale(min=0, max=1, allow_padding=False)
        self._layouts: dict[int, Layout] = {}

    def layout(self, rows: int) -> Layout:
        """The layout of a chart whose legend has so many rows."""
        if rows not in self._layouts:
            size = {"flex": "1 1 300px", "width": "auto", "max_width": "520px", "min_width": "0"}
            self._layouts[rows] = Layout(height=f"{220 + rows * _LEGEND_ROW}px", **size)
        return self._layouts[rows]

    def close(self) -> None:
        """Close them, after the charts."""
        for part in (self.unit, *self._layouts.values()):
            part.close()


class _HeardScale(HeardAnywhere, bqplot.LinearScale):  # type: ignore[misc]
    """A scale that a browser can set while the kernel is busy."""


class _Span:
    """A scale whose range is ours to set, until a browser sets another."""

    def __init__(self, on_chosen: Callable[[], None]) -> None:
        self.scale = _HeardScale(allow_padding=False)
        self._on_chosen = on_chosen
        self._ours: object = (None, None)
        self._setting = False
        self.scale.observe(self._changed, ["min", "max"])

    @property
    def is_set(self) -> bool:
        """Whether there is a range that makes sense; a browser unsets it to see everything."""
        now = (self.scale.min, self.scale.max)
        return self.chosen is not None or (now == self._ours and now != (None, None))

    @property
    def chosen(self) -> Range | None:
        """The range that a reader wants; None when it is left to us."""
        low, high = now = (self.scale.min, self.scale.max)
        if now == self._ours or low is None or high is None or not low < high:
            return None
        return low, high

    def show(self, low: float, high: float) -> None:
        """Set the range, in one message and only if it is another."""
        self._ours = (low, high)
        if (self.scale.min, self.scale.max) == self._ours:
            return
        self._setting = True
        try:
            with self.scale.hold_sync():
                self.scale.min, self.scale.max = low, high
        finally:
            self._setting = False

    def free(self) -> None:
        """Take the range as ours, whoever set it."""
        self._ours = (self.scale.min, self.scale.max)

    def _changed(self, _: object) -> None:
        if not self._setting:
            self._on_chosen()


class _Curve:
    """The marks of one line: as logged, smoothed, and where it has no number."""

    def __init__(self, x: Any, y: Any, unit: Any) -> None:
        self._scales = {"x": x, "y": y}
        self._unit = unit
        self._logged = self._line()
        self._smooth: Any = None
        self._gaps: Any = None
        self._dots: Any = None

    @property
    def marks(self) -> list[Any]:
        """All there are, the lower ones first."""
        return [
            mark
            for mark in (self._gaps, self._logged, self._dots, self._smooth)
            if mark is not None
        ]

    def show(self, trace: Trace, drawn: _Drawn, smoothing: float) -> None:
        """Draw the line."""
        smooth = smoothing > 0 and len(drawn.mean_x) > 1
        self._smooth = _made_or_closed(self._smooth, smooth, self._line)
        self._gaps = _made_or_closed(self._gaps, len(drawn.gap_x) > 0, self._triangles)
        alone = _alone(drawn.y)
        self._dots = _made_or_closed(self._dots, bool(alone.any()), self._circles)
        opacity = _FAINT if smooth else 1.0
        _draw(self._logged, trace, drawn.x, drawn.y, opacity)
        if smooth:
            mean_y = _smoothed(drawn.mean_y, smoothing)
            _draw(self._smooth, trace, *_broken(drawn.mean_x, mean_y, drawn.gap_x), 1.0)
        if self._gaps is not None:
            self._draw_gaps(trace, drawn)
        if self._dots is not None:
            with self._dots.hold_sync():
                self._dots.x, self._dots.y = drawn.x[alone], drawn.y[alone]
                self._dots.colors, self._dots.opacities = [trace.colour], [opacity]

    def close(self) -> None:
        """Close the marks."""
        for mark in self.marks:
            mark.close()

    def _line(self) -> Any:
        none = np.empty(0)
        return bqplot.Lines(x=none, y=none, scales=self._scales, preserve_domain=_PRESERVE)

    def _triangles(self) -> Any:
        return _scatter({**self._scales, "y": self._unit}, "triangle-up", 28)

    def _circles(self) -> Any:
        return _scatter(self._scales, "circle", 10)

    def _draw_gaps(self, trace: Trace, drawn: _Drawn) -> None:
        with self._gaps.hold_sync():
            self._gaps.x, self._gaps.y = drawn.gap_x, drawn.gap_heights
            self._gaps.colors = [trace.colour]


_PRESERVE = {"x": True, "y": True}


def _scatter(scales: Mapping[str, Any], marker: str, size: int) -> Any:
    none = np.empty(0)
    look = {"marker": marker, "default_size": size, "display_names": False}
    return bqplot.Scatter(x=none, y=none, scales=scales, preserve_domain=_PRESERVE, **look)


def _made_or_closed(mark: Any, wanted: bool, make: Callable[[], Any]) -> Any:
    """The mark if it is wanted, else None."""
    if wanted:
        return make() if mark is None else mark
    if mark is not None:
        mark.close()
    return None


def _alone(y: Floats) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Which points would not be seen, because what is before and after them is missing."""
    there = np.concatenate([[False], np.isfinite(y), [False]])
    lonely: np.ndarray[Any, np.dtype[np.bool_]] = there[1:-1] & ~there[:-2] & ~there[2:]
    return lonely & (len(y) > 1)


def _draw(mark: Any, trace: Trace, x: Floats, y: Floats, opacity: float) -> None:
    # bqplot cannot place the end of a line that ends in nothing, nor a dot that is nowhere.
    end = int(np.flatnonzero(np.isfinite(y)).max(initial=-1)) + 1
    x, y = x[:end], y[:end]
    dots = opacity == 1 and len(y) <= _DOTS_UP_TO and bool(np.isfinite(y).all())
    with mark.hold_sync():
        if not (np.array_equal(mark.x, x) and np.array_equal(mark.y, y, equal_nan=True)):
            mark.x, mark.y = x, y
        # The second one is no label but the last value: browsers show it beside the first.
        mark.labels = [short(clean(trace.label), 80), shown_number(trace.line.last)]
        mark.colors, mark.line_style, mark.opacities = [trace.colour], trace.dash, [opacity]
        mark.stroke_width = _WIDE
        mark.marker, mark.marker_size = ("circle", 22) if dots else (None, 64)


def _classes(look: Look | None) -> set[str]:
    if look is None:
        return set()
    logs = (("aml-log-x", look.log_x), ("aml-log-y", look.log_y))
    return {f"aml-x-{look.axis}"} | {name for name, is_log in logs if is_log}


# Reading a line


def _drawn(trace: Trace, look: Look, view: Range | None) -> _Drawn:
    points = points_of(trace, look, COLUMNS, view and _as_shown(look, view))
    x = look.shown_x(points.x, trace.started)
    y = np.clip(look.shown_y(points.y), -_MOST, _MOST)
    mean_x, mean_y = look.shown_x(points.mean_x, trace.started), look.shown_y(points.mean_y)
    gap_x, heights = look.shown_x(points.gaps, trace.started), _HEIGHTS[points.gap_kinds]
    below = np.isfinite(points.y) & ~np.isfinite(y)
    gap_x = np.concatenate([gap_x, x[below]])
    heights = np.concatenate([heights, np.full(np.count_nonzero(below), _HEIGHT_BELOW)])
    on_axis, means = np.isfinite(x), np.isfinite(mean_x) & np.isfinite(mean_y)
    gaps = np.isfinite(gap_x)
    kept = x[on_axis], y[on_axis], mean_x[means], mean_y[means], gap_x[gaps], heights[gaps]
    return _Drawn(*kept)


def _as_shown(look: Look, view: Range) -> Range:
    """The range of the axis, whose scale here has the logarithms."""
    return (10.0 ** min(view[0], 308.0), 10.0 ** min(view[1], 308.0)) if look.log_x else view


def _around(values: Sequence[Floats], space: float = 0.0) -> Range:
    """A range that holds all that is finite, with some space at its ends."""
    all_of_them = np.concatenate([np.empty(0), *values])
    good = all_of_them[np.isfinite(all_of_them)]
    if not len(good):
        return 0.0, 1.0
    low, high = float(good.min()), float(good.max())
    size = max(abs(low), abs(high))
    # Closer together than this they could not be told apart on the axis.
    if high - low <= size * 1e-12:
        room = size * 0.1 or 1.0
        return low - room, high + room
    room = (high - low) * space
    return low - room, high + room


def _smoothed(values: Floats, weight: float) -> Floats:
    """The moving average whose weights fall by ``weight`` each step, without a pull towards 0."""
    smooth = np.empty(len(values))
    total, missing = 0.0, 1.0
    for at, value in enumerate(values.tolist()):
        total = weight * total + (1 - weight) * value
        missing *= weight
        smooth[at] = total / (1 - missing)
    return smooth


def _broken(x: Floats, y: Floats, gaps: Floats) -> tuple[Floats, Floats]:
    """The smoothed line, broken where there is a gap and nothing else for more than a column."""
    if not len(gaps) or len(x) < 2:
        return x, y
    after = np.unique(np.searchsorted(x, gaps))
    after = after[(after > 0) & (after < len(x))]
    wide = x[after] - x[after - 1] > 1.5 * (x[-1] - x[0]) / COLUMNS
    after = after[wide]
    return np.insert(x, after, (x[after] + x[after - 1]) / 2), np.insert(y, after, np.nan)
