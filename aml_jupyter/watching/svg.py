"""Charts as inline SVG: no script, no style sheet, readable on light and on dark."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from .markup import FAINT_INK, GRID, INK, escaped, short, shown_number, tidy, width_of

if TYPE_CHECKING:
    Floats = np.ndarray[Any, np.dtype[np.float64]]

WIDTH, HEIGHT = 340, 190
COLUMNS = 150
"""So many pieces of a line are drawn at most, each with its lowest and its highest point."""

# Okabe and Ito's, those that are too light on white or too dark on black made a little less so.
_COLOURS = ("#1a7ec2", "#d55e00", "#009e73", "#c4659f", "#b07d00", "#3f9dbf", "#8a6fd1", "#808080")
_DASHES = {"solid": "", "dashed": "60 30", "dotted": "15 30", "dash_dotted": "60 30 15 30"}
PALETTE = tuple(
    (_COLOURS[i % len(_COLOURS)], tuple(_DASHES)[(i + i // len(_COLOURS)) % len(_DASHES)])
    for i in range(len(_COLOURS) * len(_DASHES))
)
"""(colour, dash) of the first line, the second, …; no two pairs are the same."""


def line_style(first: int, nth: int, several_runs: bool) -> tuple[str, str]:
    """(colour, dash) of the nth line of a run whose colours begin at ``first``.

    Runs side by side differ by colour, and the lines of one of them then by dashes.
    """
    if not several_runs:
        return PALETTE[(first + nth) % len(PALETTE)]
    colour, dash = PALETTE[first % len(PALETTE)]
    dashes = tuple(_DASHES)
    return colour, dashes[(dashes.index(dash) + nth) % len(dashes)]


_TEXT = 11
_LETTER = 6.1
_RIGHT, _TOP, _BOTTOM = 10, 24, 18
_MOST_LEGEND = 12
_NOTHING = "no finite values"


def _nothing() -> Floats:
    return np.empty(0)


@dataclass(frozen=True)
class Drawn:
    """One line of a chart: NaN in ``y`` breaks it, ``gaps`` are where a value was no number."""

    label: str
    x: Floats
    y: Floats
    gaps: Floats = field(default_factory=_nothing)
    colour: str = PALETTE[0][0]
    dash: str = PALETTE[0][1]
    gap_kinds: Sequence[float] | np.ndarray[Any, Any] = ()
    """Beside ``gaps``: above 0 for infinity, below for minus infinity, else NaN."""


def line_chart(
    title: str,
    lines: Sequence[Drawn],
    *,
    x_label: str = "",
    log_x: bool = False,
    log_y: bool = False,
    note: str = "",
    legend: bool = True,
    columns: int = COLUMNS,
) -> str:
    """The chart of one or several lines; ``note``, such as the last value, stands at its right."""
    across = Axis.over(np.concatenate([_nothing(), *(_both(line) for line in lines)]), log_x)
    values = np.concatenate([_nothing(), *(line.y for line in lines)])
    up = Axis.over(values, log_y, space=0.04)
    several = [(line.label, line.colour, line.dash) for line in lines] if len(lines) > 1 else []
    plot = Plot(title, across, up, note=note, x_label=x_label, legend=several if legend else ())
    plot.says = _description(values, len(lines), note)
    for line in lines:
        label = line.label if len(lines) > 1 else ""
        plot.line(line.x, line.y, line.colour, line.dash, label, columns)
        plot.gaps(line)
    if plot.says == _NOTHING:
        plot.write(_NOTHING)
    return plot.svg()


def _both(line: Drawn) -> Floats:
    return np.concatenate([line.x, line.gaps])


def _description(values: Floats, lines: int, note: str) -> str:
    """What a chart shows, for those who do not see it."""
    good = values[np.isfinite(values)]
    if not len(good):
        return _NOTHING
    said = f"from {shown_number(float(good.min()))} to {shown_number(float(good.max()))}"
    said = f"{lines} lines {said}" if lines > 1 else said
    return f"{said}, last {short(note, 40)}" if note else said


def stretches(
    x: Floats, y: Floats, columns: int, axis: Axis | None = None
) -> list[tuple[Floats, Floats]]:
    """The unbroken stretches of a line, of each of ``columns`` pieces its lowest and highest point.

    Points come in the order they have; no piece has more than two, however often the line breaks.
    """
    good = np.isfinite(x) & np.isfinite(y)
    stretch = np.cumsum(~good)[good]
    x, y = x[good], y[good]
    if len(x) > 2 * columns:
        place = (axis or Axis.over(x)).parts(x)
        kept = _extremes(np.floor(place * columns), y)
        x, y, stretch = x[kept], y[kept], stretch[kept]
    cuts = np.flatnonzero(np.diff(stretch)) + 1
    return [
        (xs, ys) for xs, ys in zip(np.split(x, cuts), np.split(y, cuts), strict=True) if len(xs)
    ]


def _extremes(columns: Floats, y: Floats) -> np.ndarray[Any, np.dtype[np.intp]]:
    """Indexes of the lowest and the highest of each run of equal ``columns``, and of both ends."""
    group = np.cumsum(np.diff(columns, prepend=columns[:1]) != 0)
    order = np.lexsort((y, group))
    borders = np.flatnonzero(np.diff(group[order])) + 1
    lowest, highest = order[np.r_[0, borders]], order[np.r_[borders, len(y)] - 1]
    return np.unique(np.concatenate([lowest, highest, [0, len(y) - 1]]))


# Axes


@dataclass(frozen=True)
class Axis:
    """What one side of a chart spans; ``low`` is below ``high``, and both above 0 if ``log``."""

    low: float
    high: float
    log: bool = False

    @classmethod
    def over(cls, values: Floats, log: bool = False, space: float = 0.0) -> Axis:
        """The axis that shows all finite ``values``, with a little ``space`` at its ends."""
        good = values[np.isfinite(values) & (values > 0)] if log else values[np.isfinite(values)]
        if not len(good):
            return cls(0.1, 1.0, True) if log else cls(0.0, 1.0)
        low, high = float(good.min()), float(good.max())
        if log:
            # Powers beyond these are no numbers any more, or have lost their digits.
            ends = [min(max(math.log10(value), -307), 308) for value in (low, high)]
            room = (ends[1] - ends[0]) * space or (0 if ends[1] > ends[0] else 0.3)
            return cls(10 ** max(ends[0] - room, -307), 10 ** min(ends[1] + room, 308), True)
        size = max(abs(low), abs(high))
        # Closer together than this they cannot be told apart, or not even be subtracted.
        if high / 2 - low / 2 <= max(size * 1e-13, 1e-300):
            room = size * 0.1 if size > 1e-290 else 1.0
        else:
            room = (high / 2 - low / 2) * (2 * space)
        return cls(max(low - room, -1.7e308), min(high + room, 1.7e308))

    def parts(self, values: Floats) -> Floats:
        """Where ``values`` lie: 0 is the low end, 1 the high one; NaN what cannot be shown."""
        if self.log:
            safe = np.where(values > 0, values, np.nan)
            low, high = math.log10(self.low), math.log10(self.high)
            logs: Floats = (np.log10(safe) - low) / (high - low)
            return logs
        # Halved, so that the difference of the largest numbers is one as well.
        half = self.low / 2
        found: Floats = (values / 2 - half) / (self.high / 2 - half)
        return found

    def ticks(self, about: int) -> list[tuple[float, str]]:
        """Round numbers along the axis, and how they are written."""
        if self.log:
            decades = _decades(self.low, self.high, about)
            if len(decades) > 1:
                return [(value, tidy(f"{value:.6g}")) for value in decades]
        values = round_numbers(self.low, self.high, about)
        step = float(values[1] - values[0]) if len(values) > 1 else abs(float(self.high))
        return [(float(value), _label(float(value), step)) for value in values]


def _decades(low: float, high: float, about: int) -> list[float]:
    first, last = math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9)
    stride = max(1, math.ceil((last - first) / about))
    return [10.0**power for power in range(first, last + 1, stride)]


def _label(value: float, step: float) -> str:
    """``value`` with as many digits as neighbours at a distance of ``step`` need to differ."""
    if not value:
        return "0"
    digits = math.floor(math.log10(abs(value))) - math.floor(math.log10(abs(step) or 1.0)) + 1
    digits = min(max(digits, 1), 15)
    if 1e-4 <= abs(value) < 1e6:
        digits = max(digits, math.floor(math.log10(abs(value))) + 1)
    return tidy(f"{value:.{digits}g}")


def round_numbers(low: float, high: float, about: int = 6) -> Floats:
    """About so many round numbers between ``low`` and ``high``, which differ."""
    exact = high / about - low / about
    place = math.floor(math.log10(exact))
    size = 10.0**place
    step = next(size * factor for factor in (1, 2, 5, 10) if size * factor >= exact * 0.999)
    whole = np.arange(math.ceil(low / step), math.floor(high / step) + 1)
    ticks: Floats = whole.astype(np.float64) * step
    return np.round(ticks, max(0, -place)) if -place < 300 else ticks


# Drawing


class Plot:
    """A chart in the making: a frame with axes, marks put on it one by one, then ``svg()``."""

    def __init__(
        self,
        title: str,
        across: Axis,
        up: Axis,
        *,
        note: str = "",
        x_label: str = "",
        y_label: str = "",
        legend: Iterable[tuple[str, str, str]] = (),
        height: int = HEIGHT,
    ) -> None:
        self._title, self._note = title, note
        self._across, self._up = across, up
        self._x_label, self._y_label = x_label, y_label
        self._legend = list(legend)
        self._ticks = up.ticks(5)
        widest = max((len(label) for _, label in self._ticks), default=1)
        self._left = min(100.0, 10 + _LETTER * widest) + (14 if y_label else 0)
        self._floor = height - _BOTTOM - (13 if x_label else 0)
        self._height = height
        self._marks: list[str] = []
        self.says = ""

    def line(
        self,
        x: Floats,
        y: Floats,
        colour: str,
        dash: str = "solid",
        label: str = "",
        columns: int = COLUMNS,
        width: float = 1.6,
    ) -> None:
        """A line; a stretch of one point becomes a dot."""
        x, y = self._across.parts(x), self._up.parts(y)
        lines: list[str] = []
        dots: list[str] = []
        for xs, ys in stretches(x, y, columns, Axis(0.0, 1.0)):
            path = _path(self._tenths_across(xs), self._tenths_up(ys))
            (lines if len(xs) > 1 else dots).append(path)
        title = f"<title>{escaped(short(label, 100))}</title>" if label else ""
        pattern = f' stroke-dasharray="{_DASHES[dash]}"' if _DASHES.get(dash) else ""
        self._path(lines, f'stroke-width="{width * 10:g}"{pattern}', colour, title)
        self._path(dots, 'stroke-width="50" stroke-linecap="round"', colour, title)

    def gaps(self, line: Drawn) -> None:
        """A small triangle for each place of ``line`` that has no number to show."""
        kinds = [_kind(kind) for kind in line.gap_kinds] or ["NaN"] * len(line.gaps)
        places = self._across.parts(line.gaps)
        for kind in ("NaN", "∞", "-∞"):
            mine = [at for at, its in zip(places, kinds, strict=False) if its == kind]
            self._triangles(np.array(mine), kind, line.colour)

    def _triangles(self, places: Floats, kind: str, colour: str) -> None:
        places = places[np.isfinite(places)]
        if not len(places):
            return
        # Closer than its own width, one cannot be told from the next.
        at = np.unique(self._tenths_across(places) // 40) * 40 + 20
        tip, shape = {
            "NaN": (self._floor * 10 - 60, "l-30 60h60z"),
            "∞": (_TOP * 10, "l-30 60h60z"),
            "-∞": (self._floor * 10, "l-30-60h60z"),
        }[kind]
        path = "".join(f"M{int(x)} {tip}{shape}" for x in at)
        self._marks.append(f'<path d="{path}" fill="{colour}"><title>{kind}</title></path>')

    def bars(
        self, edges: Floats, heights: Floats, colour: str, opacity: float = 0.8, base: float = 0.0
    ) -> None:
        """Bars from ``base`` to ``heights``, each between two of ``edges``."""
        ends = self._tenths_across(self._across.parts(edges))
        zero = int(self._tenths_up(self._up.parts(np.array([base])))[0])
        tops = self._tenths_up(self._up.parts(heights))
        path = "".join(
            f"M{left} {zero}V{top}H{max(right - 5, left + 1)}V{zero}z"
            for left, right, top in zip(ends, ends[1:], tops, strict=False)
        )
        self._marks.append(f'<path d="{path}" fill="{colour}" fill-opacity="{opacity:g}"/>')

    def whiskers(self, x: Floats, low: Floats, high: Floats, colour: str) -> None:
        """Error bars from ``low`` to ``high`` at each ``x``."""
        places = self._tenths_across(self._across.parts(x))
        below = self._tenths_up(self._up.parts(low))
        above = self._tenths_up(self._up.parts(high))
        ends = zip(places, below, above, strict=False)
        path = "".join(f"M{at - 30} {b}h60m-30 0V{a}m-30 0h60" for at, b, a in ends)
        self._path([path], 'stroke-width="10"', colour, "")

    def write(self, words: str) -> None:
        """Our own words in the middle of the frame."""
        x, y = (self._left + WIDTH) * 5, (_TOP + self._floor) * 5
        style = f'font-size="110" text-anchor="middle" style="fill:{FAINT_INK}"'
        self._marks.append(f'<text x="{x:.0f}" y="{y:.0f}" {style}>{words}</text>')

    def svg(self) -> str:
        """The chart as text."""
        rows = self._legend_rows()
        height = self._height + 15 * len(rows)
        said = f"{short(self._title, 200)}: {self.says}" if self.says else short(self._title, 200)
        return (
            f'<svg role="img" aria-label="{escaped(said)}" viewBox="0 0 {WIDTH} {height}" '
            f'width="{WIDTH}" height="{height}" font-size="{_TEXT}" font-family="sans-serif" '
            f'style="max-width:100%;height:auto">'
            f"{self._head()}{self._axes()}"
            f'<g transform="scale(.1)" fill="none">{"".join(self._marks)}</g>'
            f"{''.join(rows)}</svg>"
        )

    def _head(self) -> str:
        value = short(self._note, 16)
        room = int((WIDTH - 8) / 6.9) - (width_of(value) + 2 if value else 0)
        note = f'<tspan x="{WIDTH - 8}" text-anchor="end">{escaped(value)}</tspan>' if value else ""
        shown = short(self._title, room)
        whole = f"<title>{escaped(short(self._title, 400))}</title>" if "…" in shown else ""
        return (
            f'<text x="2" y="13" font-size="12" font-weight="600" style="fill:{INK}">'
            f"{whole}{escaped(shown)}{note}</text>"
        )

    def _axes(self) -> str:
        rows = [(self._y(value), label) for value, label in self._ticks]
        across = [(self._x(value), label) for value, label in self._x_ticks()]
        grid = "".join(f"M{self._left:.0f} {y:.1f}H{WIDTH - _RIGHT}" for y, _ in rows)
        grid += "".join(f"M{x:.1f} {self._floor}v4" for x, _ in across)
        frame = f"M{self._left:.0f} {_TOP}V{self._floor}H{WIDTH - _RIGHT}"
        beside = "".join(
            f'<text x="{self._left - 5:.0f}" y="{y + 4:.1f}">{label}</text>' for y, label in rows
        )
        below = "".join(
            f'<text x="{x:.1f}" y="{self._floor + 15}">{label}</text>' for x, label in across
        )
        return (
            f'<path d="{grid}" fill="none" stroke-width=".6" style="stroke:{GRID}"/>'
            f'<path d="{frame}" fill="none" style="stroke:{FAINT_INK}"/>'
            f'<g text-anchor="end" style="fill:{FAINT_INK}">{beside}</g>'
            f'<g text-anchor="middle" style="fill:{FAINT_INK}">{below}{self._labels()}</g>'
        )

    def _x_ticks(self) -> list[tuple[float, str]]:
        """As many as have room beside each other."""
        for about in (5, 4, 3, 2):
            ticks = self._across.ticks(about)
            if len(ticks) * (max(len(t) for _, t in ticks) + 2) * _LETTER <= WIDTH - self._left:
                return ticks
        return ticks[:1]

    def _labels(self) -> str:
        middle = (self._left + WIDTH - _RIGHT) / 2
        text = ""
        if self._x_label:
            label = escaped(short(self._x_label, 40))
            text += f'<text x="{middle:.0f}" y="{self._floor + 28}">{label}</text>'
        if self._y_label:
            up = (_TOP + self._floor) / 2
            label = escaped(short(self._y_label, 26))
            text += f'<text x="11" y="{up:.0f}" transform="rotate(-90 11 {up:.0f})">{label}</text>'
        return text

    def _legend_rows(self) -> list[str]:
        shown = [(short(label, 44), c, d) for label, c, d in self._legend[:_MOST_LEGEND]]
        rows: list[str] = []
        x, y = 6.0, self._height - 5
        for label, colour, dash in shown:
            wide = 30 + width_of(label) * _LETTER
            if not rows or x + wide > WIDTH:
                x, y = 6.0, y + 15
                rows.append("")
            rows[-1] += self._sample(x, y, label, colour, dash)
            x += wide + 8
        more = len(self._legend) - len(shown)
        if more > 0:
            text = f'<text x="6" y="{y + 15}" style="fill:{FAINT_INK}">and {more} more</text>'
            rows.append(text)
        return rows

    def _sample(self, x: float, y: float, label: str, colour: str, dash: str) -> str:
        pattern = _DASHES.get(dash, "")
        tenth = " ".join(f"{int(part) / 10:g}" for part in pattern.split())
        dashes = f' stroke-dasharray="{tenth}"' if tenth else ""
        return (
            f'<path d="M{x:.0f} {y - 4}h22" stroke="{colour}" stroke-width="2"{dashes}/>'
            f'<text x="{x + 27:.0f}" y="{y}" style="fill:{INK}">{escaped(label)}</text>'
        )

    def _path(self, pieces: Sequence[str], attributes: str, colour: str, title: str) -> None:
        if pieces:
            ink = f'stroke="{colour}" {attributes} stroke-linejoin="round"'
            self._marks.append(
                f'<path d="{"".join(pieces)}" {ink}>{title}</path>'
                if title
                else f'<path d="{"".join(pieces)}" {ink}/>'
            )

    def _x(self, value: float) -> float:
        return float(self._tenths_across(self._across.parts(np.array([value])))[0]) / 10

    def _y(self, value: float) -> float:
        return float(self._tenths_up(self._up.parts(np.array([value])))[0]) / 10

    def _tenths_across(self, parts: Floats) -> np.ndarray[Any, np.dtype[np.int64]]:
        width = WIDTH - _RIGHT - self._left
        return np.rint((self._left + _within(parts) * width) * 10).astype(np.int64)

    def _tenths_up(self, parts: Floats) -> np.ndarray[Any, np.dtype[np.int64]]:
        height = self._floor - _TOP
        return np.rint((self._floor - _within(parts) * height) * 10).astype(np.int64)


def _within(parts: Floats) -> Floats:
    """``parts`` kept to the frame, for values that a fixed axis does not reach."""
    return np.clip(np.nan_to_num(parts), 0.0, 1.0)


def _path(x: Sequence[int] | Any, y: Sequence[int] | Any) -> str:
    """A path through whole numbers, in the shortest words SVG has for it."""
    start = f"M{x[0]} {y[0]}"
    if len(x) == 1:
        return start + "h0"
    steps = zip(np.diff(x).tolist(), np.diff(y).tolist(), strict=True)
    return start + "l" + " ".join(f"{dx} {dy}" for dx, dy in steps).replace(" -", "-")


def _kind(value: float) -> str:
    return "∞" if value > 0 else "-∞" if value < 0 else "NaN"
