"""A metric as a small chart: an inline SVG that needs nothing, or a live bqplot figure."""

from __future__ import annotations

import html
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from ..store.feed import Floats, Series

MOST = 4
"""Charts in one view."""

_WIDTH, _HEIGHT = 300, 130
_LEFT, _RIGHT, _TOP, _BOTTOM = 48, 8, 22, 18
_LINE = "var(--jp-brand-color1,#1976d2)"
_FAINT = "var(--jp-ui-font-color2,#757575)"
_GRID = "var(--jp-border-color2,#d0d0d0)"
_DOTS_UP_TO = 30


def shown_number(value: float) -> str:
    """A number as short as it can be read."""
    return f"{value:.4g}"


def svg(name: str, series: Series) -> str:
    """The chart as SVG text, readable in light and dark, gaps where values are not finite."""
    x, y = _finite(series.x), _finite(series.y)
    low, high = _range(y)
    first, last = _range(x)
    across = _LEFT + (x - first) / (last - first) * (_WIDTH - _LEFT - _RIGHT)
    down = _HEIGHT - _BOTTOM - (y - low) / (high - low) * (_HEIGHT - _TOP - _BOTTOM)
    title = f"{name}: {shown_number(series.last)}"
    labels = [
        _label(_LEFT - 4, _TOP + 8, shown_number(high), "end"),
        _label(_LEFT - 4, _HEIGHT - _BOTTOM, shown_number(low), "end"),
        _label(_LEFT, _HEIGHT - 4, shown_number(float(first)), "start"),
        _label(_WIDTH - _RIGHT, _HEIGHT - 4, shown_number(float(last)), "end"),
    ]
    return (
        f'<svg role="img" aria-label="{html.escape(title)}" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        f'width="{_WIDTH}" height="{_HEIGHT}" style="margin:4px;font:11px sans-serif">'
        f'<text x="{_LEFT}" y="13" style="fill:var(--jp-ui-font-color1,currentColor);'
        f'font-weight:600">{html.escape(title)}</text>'
        f'<path d="M{_LEFT} {_TOP}V{_HEIGHT - _BOTTOM}H{_WIDTH - _RIGHT}" '
        f'style="fill:none;stroke:{_GRID}"/>'
        f"{''.join(labels)}{''.join(_marks(across, down))}</svg>"
    )


def _label(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}" style="fill:{_FAINT}">{text}</text>'


def _marks(across: Floats, down: Floats) -> Iterator[str]:
    """A line for each stretch of finite points; a stretch of one is a dot."""
    good = np.isfinite(across) & np.isfinite(down)
    breaks = np.flatnonzero(np.diff(good.astype(int))) + 1
    for stretch in np.split(np.arange(len(good)), breaks):
        if not len(stretch) or not good[stretch[0]]:
            continue
        points = [f"{across[i]:.1f},{down[i]:.1f}" for i in stretch]
        if len(points) == 1:
            x, y = points[0].split(",")
            yield f'<circle cx="{x}" cy="{y}" r="2.5" style="fill:{_LINE}"/>'
        else:
            style = f"fill:none;stroke:{_LINE};stroke-width:1.5"
            yield f'<polyline points="{" ".join(points)}" style="{style}"/>'


def _finite(values: Floats) -> Floats:
    return np.where(np.isfinite(values), values, np.nan)


def _range(values: Floats) -> tuple[float, float]:
    """The lowest and highest finite value, never equal."""
    good = values[np.isfinite(values)]
    if not len(good):
        return 0.0, 1.0
    low, high = float(good.min()), float(good.max())
    if low == high:
        space = abs(low) * 0.1 or 1.0
        return low - space, high + space
    return low, high


def round_numbers(low: float, high: float, about: int = 6) -> Floats:
    """About so many round numbers between ``low`` and ``high``, which differ."""
    exact = high / about - low / about
    place = math.floor(math.log10(exact))
    size = 10.0**place
    step = next(size * factor for factor in (1, 2, 5, 10) if size * factor >= exact * 0.999)
    whole = np.arange(math.ceil(low / step), math.floor(high / step) + 1)
    return np.round(whole * step, max(0, -place))


class Chart:
    """A live chart of one metric. Only made where there is a front end: bqplot takes its time."""

    def __init__(self, name: str, series: Series) -> None:
        import bqplot
        from ipywidgets import Layout

        self._name = name
        self._seen = -1
        self._x = bqplot.LinearScale()
        self._y = bqplot.LinearScale()
        ticks = {"fill": _FAINT, "font-size": "10px"}
        look: dict[str, Any] = {"tick_style": ticks, "grid_color": _GRID}
        self._across = bqplot.Axis(scale=self._x, grid_lines="none", **look)
        self._up = bqplot.Axis(scale=self._y, side="left", **look)
        self._lines = bqplot.Lines(
            x=series.x[:0],
            y=series.y[:0],
            scales={"x": self._x, "y": self._y},
            colors=["#1976d2"],
            stroke_width=1.5,
        )
        self.widget = bqplot.Figure(
            marks=[self._lines],
            axes=[self._across, self._up],
            title=self._title(series),
            title_style={"font-size": "13px", "fill": "var(--jp-ui-font-color1,currentColor)"},
            background_style={"fill": "transparent"},
            fig_margin={"top": 34, "bottom": 26, "left": 52, "right": 12},
            animation_duration=0,
            layout=Layout(width="330px", height="220px", min_width="200px"),
        )
        self.update(series)

    def update(self, series: Series) -> None:
        """Show the points of ``series``; sends nothing when there are no new ones."""
        if series.count == self._seen:
            return
        self._seen = series.count
        # bqplot cannot place the end of a line that ends in nothing.
        end = int(np.flatnonzero(np.isfinite(series.y)).max(initial=-1)) + 1
        x, y = series.x[:end], _finite(series.y[:end])
        with self._lines.hold_sync():
            self._lines.x, self._lines.y = x, y
            dots = len(y) <= _DOTS_UP_TO or not np.isfinite(y[1:] + y[:-1]).any()
            self._lines.marker, self._lines.marker_size = ("circle", 20) if dots else (None, 64)
        for scale, axis, values in ((self._x, self._across, x), (self._y, self._up, y)):
            low, high = _range(values)
            with scale.hold_sync():
                scale.min, scale.max = low, high
            axis.tick_values = round_numbers(low, high)
        self.widget.title = self._title(series)

    def _title(self, series: Series) -> str:
        return f"{self._name}  {shown_number(series.last)}"


def as_json(values: Floats, most: int) -> list[float | None]:
    """Numbers as JSON has them: None for what is not finite, and not more than ``most``."""
    step = max(1, math.ceil(len(values) / most))
    return [float(value) if math.isfinite(value) else None for value in values[::step]]
