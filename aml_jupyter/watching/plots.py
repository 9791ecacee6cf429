"""Charts of pages that draw them themselves: of those on screen, the lines as numbers.

A page says which charts it shows, how wide and of which range; it is sent their lines at once, and
again whenever there are more points, as often as a small part of a processor allows.
"""

from __future__ import annotations

import hashlib
import itertools
import math
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from .curves import Look, Range, points_of
from .figures import Choice, Group, Source, Trace, traces
from .markup import clean
from .pictures import picture_of

if TYPE_CHECKING:
    from ..store.buckets import Floats
    from ..store.series import MetricFeed, Points

MOST_COLUMNS = 2000
"""Columns of one chart."""

MOST_PLOTS = 200
"""Charts that a page may show at a time."""

SHARE = 0.04
"""The part of a processor that it may take: the more there is to send, the rarer."""

BYTES_A_SECOND = 1_000_000
"""What it sends by itself at most, on the average: pages may be far from their server."""

_MOST_OTHERS = 40
_IMAGE_BYTES = 1_000_000


class Tell(Protocol):
    """Sends a message of the wire's type ``Told``."""

    def __call__(self, kind: str, content: Any = None, buffer: bytes | None = None) -> None:
        """The content goes under the kind's own name, the bytes beside it."""


@dataclass(frozen=True)
class Plot:
    """A chart on screen: the wire's ``PlotAsked``."""

    key: str
    columns: int
    low: float | None
    high: float | None

    @classmethod
    def from_wire(cls, asked: Mapping[str, Any]) -> Plot:
        """What a page asks for, within bounds; a range that is none is all there is."""
        columns = min(max(int(asked["columns"]), 1), MOST_COLUMNS)
        low, high = (_finite(asked.get(name)) for name in ("low", "high"))
        if low is None or high is None or not low < high:
            low = high = None
        return cls(str(asked["key"]), columns, low, high)

    @property
    def view(self) -> Range | None:
        """The range looked at; None for all there is."""
        return None if self.low is None or self.high is None else (self.low, self.high)


class PlotFeed:
    """What a session draws on for a page: tells of charts what there are, and the lines of some.

    What is on screen may be said, and updated, by any thread.
    """

    def __init__(
        self, tell: Tell, share: float = SHARE, bytes_a_second: float = BYTES_A_SECOND
    ) -> None:
        self._tell = tell
        self._share, self._bytes_a_second = share, bytes_a_second
        self._lock = threading.RLock()
        self._plots: dict[str, Plot] = {}
        self._sent: dict[str, tuple[object, object]] = {}
        self._choice = Choice()
        self._groups: dict[str, Group] = {}
        self._sources: Sequence[Source] = ()
        self._look = Look("step", log_x=False, log_y=False, smoothing=0.0)
        self._rests_until = 0.0
        self._pictures: list[tuple[str, str, int]] = []
        self._is_behind = False

    @property
    def is_behind(self) -> bool:
        """Whether a chart on screen has points that the last update left for the next."""
        return self._is_behind

    def show(self, asked: Iterable[Mapping[str, Any]]) -> None:
        """Send these charts, of the wire's type ``PlotAsked``, and no others, from now on."""
        plots = [Plot.from_wire(each) for each in itertools.islice(asked, MOST_PLOTS)]
        with self._lock:
            self._plots = {plot.key: plot for plot in plots}
            self._sent = {key: sent for key, sent in self._sent.items() if key in self._plots}
            self._send(only_asked=True)

    def forget(self) -> None:
        """Send everything anew, because a page has come again."""
        with self._lock:
            self._sent.clear()
            self._pictures.clear()

    def update(self, sources: Sequence[Source], options: Mapping[str, Any]) -> dict[str, Any]:
        """Send what is new of the charts on screen; what there is, as ``ChartSummary``."""
        with self._lock:
            groups = self._choice.groups(sources, options)
            wanted = groups[: max(int(options["most"]), 0)]
            self._groups = {_key(group): group for group in wanted}
            self._sources, self._look = sources, Look.from_options(options)
            self._send(only_asked=time.monotonic() < self._rests_until)
            reading = [source.feed.progress for source in sources]
            return {
                "metrics": self._choice.metrics,
                "matching": self._choice.matching,
                "charts": len(groups),
                "drawn": len(wanted),
                "reading": sum(reading) / len(reading) if reading else 1.0,
                "figures": [
                    {"model": key, "title": group.title} for key, group in self._groups.items()
                ],
            }

    def show_others(self, logged: Sequence[tuple[Path, MetricFeed]]) -> None:
        """Send what is no number as pictures, when there is more of it."""
        there = [
            (folder, name, feed)
            for folder, feed in logged
            for name in itertools.islice(feed.others, _MOST_OTHERS)
        ]
        with self._lock:
            now = [(folder.name, name, feed.others_version[name]) for folder, name, feed in there]
            before, self._pictures = self._pictures, now
            if now == before:
                return
            same = set(before)
            told = [
                {
                    "run": version[0],
                    "name": clean(name),
                    "html": None
                    if version in same
                    else picture_of(name, feed.others[name], folder, _IMAGE_BYTES),
                }
                for version, (folder, name, feed) in zip(now, there, strict=True)
            ]
            self._tell("pictures", told)

    def _send(self, only_asked: bool) -> None:
        """Send charts that have more points, or only those that are asked for otherwise."""
        began, size = time.thread_time(), 0
        self._is_behind = False
        for plot in self._plots.values():
            group = self._groups.get(plot.key)
            if group is None:
                continue
            lines = traces(group, self._sources)
            asked = (plot, self._look.axis, self._look.log_x)
            known = [(trace, trace.line.version) for trace in lines]
            before = self._sent.get(plot.key)
            if before == (asked, known):
                continue
            if only_asked and before is not None and before[0] == asked:
                self._is_behind = True
                continue
            self._sent[plot.key] = (asked, known)
            content, numbers = _plot_data(plot, lines, self._look)
            self._tell("plot", content, numbers)
            size += len(numbers)
        rest = max((time.thread_time() - began) / self._share, size / self._bytes_a_second)
        self._rests_until = max(self._rests_until, time.monotonic() + rest)


def _plot_data(plot: Plot, lines: Sequence[Trace], look: Look) -> tuple[dict[str, Any], bytes]:
    """The wire's ``PlotData``, and its bytes."""
    drawn = [points_of(trace, look, plot.columns, plot.view) for trace in lines]
    said = [_line(trace, points) for trace, points in zip(lines, drawn, strict=True)]
    parts = [
        part
        for trace, points in zip(lines, drawn, strict=True)
        for part in _numbers(points, look.zero(trace.started))
    ]
    content = {"key": plot.key, "axis": look.axis, "low": plot.low, "high": plot.high}
    return {**content, "lines": said}, np.concatenate([np.empty(0), *parts]).tobytes()


def _line(trace: Trace, points: Points) -> dict[str, Any]:
    return {
        "label": clean(trace.label),
        "run": trace.run,
        "metric": clean(trace.line.name),
        "colour": trace.colour,
        "dash": trace.dash,
        "count": trace.line.count,
        "last": _finite(trace.line.last),
        "points": len(points.x),
        "means": len(points.mean_x),
        "gaps": len(points.gaps),
        "exact": points.exact,
    }


def _numbers(points: Points, zero: float) -> Iterator[Floats]:
    yield points.x - zero
    yield points.y
    yield points.mean_x - zero
    yield points.mean_y
    yield points.gaps - zero
    yield points.gap_kinds.astype(np.float64)


def _key(group: Group) -> str:
    """A name for the chart that stays the same, whatever characters a job has put into its own."""
    return hashlib.sha256(group.key.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _finite(value: Any) -> float | None:
    if isinstance(value, (int, float)) and math.isfinite(value):
        return float(value)
    return None
