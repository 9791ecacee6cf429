"""The charts of a live view: which there are, in which order, and when each is drawn anew."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import ipywidgets

from ..watching.markup import clean, short
from ..watching.svg import line_style

if TYPE_CHECKING:
    from ..store.series import Line, MetricFeed
    from .charts import Chart, Shared, Trace

MOST_LINES = 24
"""Lines in one chart."""

_SHARE = 0.04
"""The part of a processor that redrawing charts may take: the more there is to draw, the rarer."""


@dataclass(frozen=True)
class Source:
    """One run's numbers, with what its lines are called and coloured."""

    label: str
    feed: MetricFeed
    started: float | None
    """Seconds since the epoch; None when it is not known."""
    colour_from: int
    """Where in the palette its colours begin."""


@dataclass(frozen=True)
class _Group:
    """The metrics of one chart."""

    key: str
    title: str
    names: tuple[str, ...]


class ChartGrid:
    """A row of charts that wraps.

    ``on_change`` is called, on any thread, when a browser zoomed and an update is due.
    """

    def __init__(self, on_change: Callable[[], None]) -> None:
        layout = ipywidgets.Layout(flex_flow="row wrap", width="auto")
        self.widget = ipywidgets.HBox(layout=layout)
        self.widget.add_class("aml-charts")
        self._on_change = on_change
        self._lock = threading.RLock()
        self._charts: dict[str, Chart] = {}
        self._shared: Shared | None = None
        self._choice = _Choice()
        self._asked = False
        self._options: Mapping[str, Any] = {}
        self._rests_until = 0.0
        self.is_behind = False
        """Whether there is something to draw that the last update left for the next."""

    def update(
        self, sources: Sequence[Source], options: Mapping[str, Any], at_most: int = 6
    ) -> dict[str, Any]:
        """Draw what is new, with at most so many new charts; the wire's type ``ChartSummary``."""
        with self._lock:
            groups = self._choice.groups(sources, options)
            wanted = groups[: max(int(options["most"]), 0)]
            if options != self._options:
                self._asked |= bool(self._options)
                if self._options.get("zoomed") and not options["zoomed"]:
                    self._show_all()
                self._options = dict(options)
            rests = time.monotonic() < self._rests_until and not self._asked
            self._asked = False
            self._close_others(wanted)
            if not rests:
                self._update_old(wanted, sources)
            self._make_new(wanted, sources, at_most)
            self._lay_out(wanted)
            self.is_behind = rests or len(self._charts) < len(wanted)
            return self._summary(sources, groups, wanted)

    def close(self) -> None:
        """Take all charts out of every browser."""
        with self._lock:
            self._close_others(())
            self.widget.layout.close()
            self.widget.close()
            if self._shared is not None:
                self._shared.close()

    def _show_all(self) -> None:
        for chart in self._charts.values():
            chart.show_all()

    def _close_others(self, wanted: Sequence[_Group]) -> None:
        keys = {group.key for group in wanted}
        gone = [key for key in self._charts if key not in keys]
        if not gone:
            return
        closing = [self._charts.pop(key) for key in gone]
        stay = {chart.widget for chart in self._charts.values()}
        self.widget.children = [child for child in self.widget.children if child in stay]
        for chart in closing:
            chart.close()

    def _update_old(self, wanted: Sequence[_Group], sources: Sequence[Source]) -> None:
        there = [group for group in wanted if group.key in self._charts]
        if not there:
            return
        from .charts import Look

        began = time.thread_time()
        look = Look.from_options(self._options)
        for group in there:
            self._charts[group.key].update(_traces(group, sources), look)
        self._rests_until = time.monotonic() + (time.thread_time() - began) / _SHARE

    def _make_new(self, wanted: Sequence[_Group], sources: Sequence[Source], at_most: int) -> None:
        missing = [group for group in wanted if group.key not in self._charts][:at_most]
        if not missing:
            return
        # Only here, where there is a front end: it takes its time.
        from .charts import Chart, Look, Shared

        if self._shared is None:
            self._shared = Shared()
        look = Look.from_options(self._options)
        for group in missing:
            chart = Chart(group.title, self._shared, self._on_zoom)
            chart.update(_traces(group, sources), look)
            self._charts[group.key] = chart

    def _on_zoom(self) -> None:
        self._asked = True
        self._on_change()

    def _lay_out(self, wanted: Sequence[_Group]) -> None:
        there = [self._charts[group.key].widget for group in wanted if group.key in self._charts]
        if there != list(self.widget.children):
            self.widget.children = there

    def _summary(
        self, sources: Sequence[Source], groups: Sequence[_Group], wanted: Sequence[_Group]
    ) -> dict[str, Any]:
        there = [group for group in wanted if group.key in self._charts]
        reading = [source.feed.progress for source in sources]
        return {
            "metrics": self._choice.metrics,
            "matching": self._choice.matching,
            "charts": len(groups),
            "drawn": len(there),
            "reading": sum(reading) / len(reading) if reading else 1.0,
            "figures": [
                {"model": self._charts[group.key].widget.model_id, "title": group.title}
                for group in there
            ],
        }


class _Choice:
    """The charts that a filter and a grouping make of all metrics; found anew only if need be."""

    def __init__(self) -> None:
        self.metrics = 0
        self.matching = 0
        self._key: object = None
        self._groups: list[_Group] = []

    def groups(self, sources: Sequence[Source], options: Mapping[str, Any]) -> list[_Group]:
        """The charts, in the order in which their first metric appeared."""
        names = [source.feed.names for source in sources]
        feeds = [id(source.feed) for source in sources]
        key = (feeds, [len(own) for own in names], options["filter"], options["grouping"])
        if key != self._key:
            self._key = key
            everything = list(dict.fromkeys(name for own in names for name in own))
            words = str(options["filter"]).casefold().split()
            matching = [name for name in everything if _holds(name.casefold(), words)]
            self.metrics, self.matching = len(everything), len(matching)
            self._groups = list(_grouped(matching, str(options["grouping"])))
        return self._groups


def _holds(name: str, words: Sequence[str]) -> bool:
    return all(word in name for word in words)


def _grouped(names: Sequence[str], grouping: str) -> Iterator[_Group]:
    if grouping == "one":
        if names:
            title = names[0] if len(names) == 1 else "All metrics"
            yield _Group("one", _title(title), tuple(names))
        return
    if grouping == "each":
        yield from (_Group(f"each {name}", _title(name), (name,)) for name in names)
        return
    parts: dict[str, list[str]] = {}
    for name in names:
        head, slash, _ = name.partition("/")
        parts.setdefault(head + slash, []).append(name)
    for part, own in parts.items():
        title = f"{part}…" if len(own) > 1 else own[0]
        yield _Group(f"prefix {part}", _title(title), tuple(own))


def _title(name: str) -> str:
    return short(clean(name), 200)


def _traces(group: _Group, sources: Sequence[Source]) -> list[Trace]:
    """The lines of a chart, labelled by what tells them apart."""
    from .charts import Trace

    found = list(itertools.islice(_lines(group, sources), MOST_LINES))
    several_names = len({one.line.name for one in found}) > 1
    several_runs = len({one.run for one in found}) > 1
    nth: dict[int, int] = {}
    traces = []
    for one in found:
        source = sources[one.run]
        parts = [one.line.name] if several_names else []
        parts += [source.label] if several_runs else []
        parts += [f"process {one.process}"] if one.process else []
        own = nth[one.run] = nth.get(one.run, -1) + 1
        colour, dash = line_style(source.colour_from, own, several_runs)
        started = one.line.first_time if source.started is None else source.started
        label = " · ".join(parts) or one.line.name
        traces.append(Trace(label, one.line, started, colour, dash))
    return traces


@dataclass(frozen=True)
class _Found:
    line: Line
    run: int
    process: int
    """From 1 on where several processes of the run logged it, else 0."""


def _lines(group: _Group, sources: Sequence[Source]) -> Iterator[_Found]:
    for name in group.names:
        for run, source in enumerate(sources):
            lines = source.feed.lines(name)
            for nth, line in enumerate(lines, start=1):
                yield _Found(line, run, nth if len(lines) > 1 else 0)
