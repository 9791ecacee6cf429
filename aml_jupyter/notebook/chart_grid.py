"""The charts of a live view: which there are, in which order, and when each is drawn anew."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import ipywidgets

from ..watching.curves import Look
from ..watching.figures import Choice, Group, Source, traces

if TYPE_CHECKING:
    from .charts import Chart, Shared

_SHARE = 0.04
"""The part of a processor that redrawing charts may take: the more there is to draw, the rarer."""


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
        self._choice = Choice()
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

    def _close_others(self, wanted: Sequence[Group]) -> None:
        keys = {group.key for group in wanted}
        gone = [key for key in self._charts if key not in keys]
        if not gone:
            return
        closing = [self._charts.pop(key) for key in gone]
        stay = {chart.widget for chart in self._charts.values()}
        self.widget.children = [child for child in self.widget.children if child in stay]
        for chart in closing:
            chart.close()

    def _update_old(self, wanted: Sequence[Group], sources: Sequence[Source]) -> None:
        there = [group for group in wanted if group.key in self._charts]
        if not there:
            return
        began = time.thread_time()
        look = Look.from_options(self._options)
        for group in there:
            self._charts[group.key].update(traces(group, sources), look)
        self._rests_until = time.monotonic() + (time.thread_time() - began) / _SHARE

    def _make_new(self, wanted: Sequence[Group], sources: Sequence[Source], at_most: int) -> None:
        missing = [group for group in wanted if group.key not in self._charts][:at_most]
        if not missing:
            return
        # Only here, where there is a front end: it takes its time.
        from .charts import Chart, Shared

        if self._shared is None:
            self._shared = Shared()
        look = Look.from_options(self._options)
        for group in missing:
            chart = Chart(group.title, self._shared, self._on_zoom)
            chart.update(traces(group, sources), look)
            self._charts[group.key] = chart

    def _on_zoom(self) -> None:
        self._asked = True
        self._on_change()

    def _lay_out(self, wanted: Sequence[Group]) -> None:
        there = [self._charts[group.key].widget for group in wanted if group.key in self._charts]
        if there != list(self.widget.children):
            self.widget.children = there

    def _summary(
        self, sources: Sequence[Source], groups: Sequence[Group], wanted: Sequence[Group]
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
