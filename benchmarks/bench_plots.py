"""What pages are sent of charts that they draw themselves: how soon, how much, at what cost."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import psutil

from aml_jupyter.server.places import Place, Places
from aml_jupyter.server.viewing import Viewer
from benchmarks.points import RECORD, Flow, Numbers
from benchmarks.report import Row, median_of, timed
from benchmarks.setting import Effort, experiment

_CHARTS = 20
_COLUMNS = 700
_LIVE = 10.0
"""Seconds that one sample of what a live run costs is taken for."""

_Came = list[tuple[float, Mapping[str, Any]]]
"""When each chart came, and what was said of it."""


def rows(effort: Effort) -> Iterator[Row]:
    """A run of 20 metrics, whose records numpy writes in the documented format, is opened by the
    part of the server that follows runs for pages; of the page there is no more than what asks for
    all charts as soon as it hears of them, 700 columns wide. *Seen* is when the last of the 20 has
    come with a line over its whole range, *complete* when they have come with all points. Then
    each metric goes on with ten points a second; a point is late by the time from its record to the
    message that has it. The processor's time is that of the threads that follow runs.
    """
    with experiment() as place:
        points = effort.of(1_000_000)
        numbers = Numbers(place, [f"metric{number}" for number in range(_CHARTS)])
        numbers.add(points)
        (found,) = Places(place.workspace.folder.project).look()
        yield from _opening(numbers, found, points, effort)
        yield from _live(numbers, found, points)
        numbers.end()


class _Page:
    """Asks for all charts, and notes what came when."""

    is_full = False

    def __init__(self, viewer: Viewer, place: Place, numbers: Numbers) -> None:
        self.bytes = 0
        self.came: _Came = []
        self._asked = False
        self._opened = threading.Event()
        self.began = time.perf_counter()
        self.view = viewer.open("page", place, [numbers.run.id], self)
        self._opened.set()

    def send(self, told: Mapping[str, Any], buffer: bytes | None = None) -> None:
        """Note what is sent."""
        if buffer is not None:
            self.bytes += len(buffer)
            self.came.append((time.perf_counter(), told["told"]["plot"]))
        elif told.get("name") == "charts" and not self._asked:
            self._ask(told["value"]["figures"])

    def seen_after(self, points: int) -> float:
        """Seconds until every chart had come with so many points."""
        while True:
            whole: dict[str, float] = {}
            for at, plot in list(self.came):
                if plot["lines"][0]["count"] >= points:
                    whole.setdefault(plot["key"], at)
            if len(whole) == _CHARTS:
                return max(whole.values()) - self.began
            time.sleep(0.005)

    def _ask(self, figures: list[Mapping[str, Any]]) -> None:
        self._asked = len(figures) == _CHARTS
        whole = {"columns": _COLUMNS, "low": None, "high": None}
        plots = [{"key": figure["model"], **whole} for figure in figures]
        self._opened.wait()
        self.view.ask({"kind": "plots", "plots": plots})


def _opening(numbers: Numbers, place: Place, points: int, effort: Effort) -> Iterator[Row]:
    seen, complete = [], []
    for _ in range(effort.repeat):
        viewer = Viewer()
        page = _Page(viewer, place, numbers)
        seen.append(page.seen_after(1))
        complete.append(page.seen_after(points))
        page.view.close()
        viewer.close()
    read = median_of(timed(lambda: np.fromfile(numbers.file, np.uint8), 3))
    limit = ("reading the file by numpy.fromfile", read)
    name = f"{_CHARTS} charts of {points:,} points for a page"
    value = median_of(seen)
    yield Row(f"{name}: seen", value, "s", "≤ 0.5 s", *limit, value <= 0.5, seen)
    value = median_of(complete)
    yield Row(f"{name}: complete", value, "s", "≤ 3 s", *limit, value <= 3, complete)


def _live(numbers: Numbers, place: Place, points: int) -> Iterator[Row]:
    viewer = Viewer()
    page = _Page(viewer, place, numbers)
    page.seen_after(points)
    size = numbers.file.stat().st_size
    with Flow([numbers], a_second=10):
        time.sleep(1)
        page.bytes, first = 0, len(page.came)
        clock, spent = time.time() - time.perf_counter(), _spent()
        time.sleep(_LIVE)
        spent, sent = _spent() - spent, page.bytes
        came = page.came[first:]
    page.view.close()
    viewer.close()
    name = f"{_CHARTS} charts of {points:,} points for a page, live"
    new = timed(lambda: np.fromfile(numbers.file, np.uint8, offset=size), 3)
    limit = ("reading what is new by numpy.fromfile", 100 * median_of(new) / _LIVE)
    value = 100 * spent / _LIVE
    yield Row(f"{name}: of a core", value, "%", "≤ 10 %", *limit, value <= 10)
    value, limit = sent / _LIVE / 1000, ("all points, once", _CHARTS * points * 16 / 1000)
    yield Row(f"{name}: a second", value, "kB", "≤ 1000 kB", *limit, value <= 1000)
    late = _late(numbers, came, clock)
    value, limit = median_of(late), ("a look every", 250.0)
    yield Row(f"{name}: a point is late", value, "ms", "≤ 1500 ms", *limit, value <= 1500, late)


def _spent() -> float:
    """Seconds that the threads which follow runs have used of processors."""
    ours = {each.native_id for each in threading.enumerate() if each.name.startswith("aml-view")}
    used = psutil.Process().threads()
    return sum(each.user_time + each.system_time for each in used if each.id in ours)


def _late(
    numbers: Numbers, came: list[tuple[float, Mapping[str, Any]]], clock: float
) -> list[float]:
    """Milliseconds by which the points of one chart were late."""
    records = np.fromfile(numbers.file, RECORD, offset=RECORD.itemsize)
    key = came[0][1]["key"]
    counts = [(at + clock, plot["lines"][0]["count"]) for at, plot in came if plot["key"] == key]
    times = records["time"][records["metric"] == records["metric"][0]]
    late: list[float] = []
    for (_, before), (at, count) in itertools.pairwise(counts):
        late += (1000 * (at - times[before:count])).tolist()
    return late
