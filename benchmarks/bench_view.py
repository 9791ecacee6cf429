"""What a person sees of a run in JupyterLab: how soon, how smoothly, and at what cost."""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from playwright.sync_api import Locator, expect

from aml_jupyter import Experiment, Run
from aml_jupyter.job import layout
from benchmarks.browser import LINE, Jupyter, Notebook, Traffic, jupyter, showing
from benchmarks.points import Flow, Numbers, logged_at
from benchmarks.report import Row, median_of, timed
from benchmarks.setting import Effort, experiment, submit

_MOVING = 1.0
"""Seconds that one sample of frames is taken for."""

_LOOKING = 4.0
"""Seconds that one sample of a kernel's load is taken for."""

_PAUSE = 0.13
"""Seconds between two points; of two looks it is no part, so that each comes at another time."""

_COLUMNS = 240
"""Of each a chart is sent two points."""

_Weights = tuple[list[float], list[float]]
"""Kilobytes a second, and the bytes of each message that has points."""

_TALL = """\
from IPython.display import HTML
HTML("<div class=tall style=height:4000px></div>")
"""
_TO_THE_TOP = "document.querySelector('.jp-WindowedPanel-outer').scrollTo(0, 0)"


def rows(effort: Effort) -> Iterator[Row]:
    """One JupyterLab with a headless Chromium, and notebooks in it with kernels of their own.

    *Painted* is the frame after the line of a chart has changed in the page. A job logs 100 points,
    one every 0.13 s; each is late by the time from its record to the frame whose line has so many
    points. The limit is a bare display update of the same kernel.
    Runs of very many points are not logged: numpy writes their records in the documented format,
    and while they go on to the end of the same file.
    Bytes are all that the page receives from the kernel; an update is a message with points. Frames
    are counted by the page, while Chromium is given wheel turns and mouse moves; the limit is a
    page that shows nothing. A view that opens is timed from the keys that run its cell until its
    first chart is painted; the first of five brings the kernel its imports.
    Of jobs that print the worst of five counts, each seen from its first line to a second after
    its end; memory is what the page's scripts hold without garbage, before the cell is run and
    after the job. Beside them stands what becomes of lines that the notebook's own kernel prints.
    The kernel's load is the mean of 20 s: a job that logs three metrics and prints a line 20 times
    a second; and 20 runs that log two metrics 5 times a second, scrolled out of sight.
    """
    with experiment() as place, jupyter(place) as lab:
        yield from _delay(place, lab, effort)
        yield from _updates(place, lab, effort)
        yield from _many_charts(place, lab, effort)
        yield from _opening(place, lab, effort)
        yield from _log(place, lab, effort)
        yield from _load(place, lab, effort)


def _waiting(place: Experiment, script: str, *arguments: object) -> tuple[Run, Path]:
    """A run that does nothing until the file exists, so that it is watched from its beginning."""
    gate = place.workspace.folder.project / f"gate-{os.urandom(4).hex()}"
    return submit(place, script, gate, *arguments), gate


# From the log call to the screen ---------------------------------------------------------------


def _delay(place: Experiment, lab: Jupyter, effort: Effort) -> Iterator[Row]:
    points = max(30, effort.of(100))
    run, gate = _waiting(place, "log_slowly.py", 1, points, _PAUSE)
    with lab.notebook(showing(run), _BARE_UPDATES) as notebook:
        notebook.run(1)
        gate.touch()
        seen = _followed(notebook, LINE, _PAUSE * points + 1)
        run.wait_for_completion()
        bare = _bare_delays(notebook)
    delays = _delays(logged_at(run.folder), seen)
    if len(delays) < points // 2:
        raise RuntimeError(f"only {len(delays)} of {points} points were seen: {seen}")
    name, limit_name = "run.log() to the point painted in the browser", "a bare display update"
    value, limit = median_of(delays), median_of(bare)
    yield Row(name, value, "ms", "≤ 400 ms", limit_name, limit, value <= 400, delays)
    value, limit = _late(delays), _late(bare)
    name = f"{name}: 19 of 20"
    yield Row(name, value, "ms", "≤ 800 ms", limit_name, limit, value <= 800, delays)


def _followed(notebook: Notebook, selector: str, seconds: float) -> list[tuple[int, float]]:
    """The numbers that the page showed meanwhile, and when each was painted."""
    notebook.page.evaluate("selector => bench.follow(selector)", selector)
    notebook.wait(seconds)
    return [(int(number), at) for number, at in notebook.page.evaluate("bench.followed()")]


def _delays(logged: Sequence[float], seen: Sequence[tuple[int, float]]) -> list[float]:
    """Milliseconds by which each point is late that was logged after the first look."""
    delays = []
    known = seen[0][0] if seen else 0
    for count, painted in seen[1:]:
        delays += [painted - 1000 * at for at in logged[known:count]]
        known = count
    return delays


_BARE_UPDATES = """\
import threading, time
from IPython.display import HTML, display
handle, sent = display(HTML("<b class=bare>0</b>"), display_id=True), []
def send():
    for number in range(1, 61):
        time.sleep(0.05)
        sent.append(time.time())
        handle.update(HTML(f"<b class=bare>{number}</b>"))
    Path("sent.txt").write_text(repr(sent))
threading.Thread(target=send).start()
"""


def _bare_delays(notebook: Notebook) -> list[float]:
    notebook.run(2)
    seen = _followed(notebook, ".bare", 3.5)
    sent = json.loads(notebook.file.with_name("sent.txt").read_text())
    return _delays(sent, seen)


def _late(delays: Sequence[float]) -> float:
    """What 19 of 20 stay below."""
    return statistics.quantiles(delays, n=20)[-1]


# What an update weighs -------------------------------------------------------------------------


def _updates(place: Experiment, lab: Jupyter, effort: Effort) -> Iterator[Row]:
    most = effort.of(10_000_000)
    counts = (1_000, 100_000, most)
    numbers = [Numbers(place, ["loss"]) for _ in counts]
    for each, count in zip(numbers, counts, strict=True):
        each.add(count)
    cells = [showing(each.run) for each in numbers]
    with lab.notebook(*cells, _BARE_CHART) as notebook:
        found = [
            _weighed(notebook, cell, each, count // 1000, effort.repeat)
            for cell, (each, count) in enumerate(zip(numbers, counts, strict=True), start=1)
        ]
        notebook.run(len(cells) + 1)
        bare, _ = _weigh(notebook, 3)
    middles = [median_of(sizes) for _, sizes in found]
    value, limit = 100 * (max(middles) / min(middles) - 1), ("all points", most / 10)
    title = f"an update of a chart, runs of {', '.join(f'{count:,}' for count in counts)} points"
    every = [size for _, sizes in found for size in sizes]
    name = f"{title}: how much the sizes differ"
    yield Row(name, value, "%", "≤ 10 %", *limit, value <= 10, every)
    samples = [each for rates, _ in found for each in rates]
    value = max(median_of(rates) for rates, _ in found)
    limit = (f"{2 * _COLUMNS} points by bqplot alone", median_of(bare))
    yield Row(f"{title}: a second", value, "kB", "≤ 40 kB", *limit, value <= 40, samples)


def _weighed(notebook: Notebook, cell: int, numbers: Numbers, points: int, repeat: int) -> _Weights:
    """What comes for a chart of a run that goes on, so fast that the line is always another."""
    with Flow([numbers], points=points):
        _opened(notebook, cell)
        notebook.page.locator(LINE).last.scroll_into_view_if_needed()
        notebook.wait(1)
        found = _weigh(notebook, repeat)
    numbers.end()
    return found


def _weigh(notebook: Notebook, repeat: int) -> _Weights:
    rates: list[float] = []
    sizes: list[float] = []
    for _ in range(repeat):
        with notebook.traffic() as traffic:
            notebook.wait(1.25)
        rates.append(traffic.kilobytes_a_second)
        sizes += map(float, traffic.binary)
    return rates, sizes


@contextlib.contextmanager
def _drawn_anew(notebook: Notebook) -> Iterator[None]:
    """See that the charts in sight go on meanwhile: a view that rests costs nothing."""
    with notebook.traffic() as traffic:
        yield
    if not traffic.binary:
        raise RuntimeError("no points came for the charts in sight")


def _opened(notebook: Notebook, cell: int) -> float:
    """Seconds until a chart of a cell's view was painted; returns when all points are read."""
    seconds = notebook.seconds_until(LINE, cell)
    _wait_until_read(notebook)
    return seconds


def _wait_until_read(notebook: Notebook) -> None:
    """Until the view has taken in all points that there are."""
    reading = notebook.page.locator(".aml-v-reading").last
    reading.wait_for(state="attached")
    reading.wait_for(state="hidden", timeout=60_000)


_BARE_CHART = f"""\
import threading, time
import bqplot
import numpy as np
from ipywidgets import Layout
scales = {{"x": bqplot.LinearScale(), "y": bqplot.LinearScale()}}
line = bqplot.Lines(x=np.arange({2 * _COLUMNS}.0), y=np.zeros({2 * _COLUMNS}), scales=scales)
def move():
    while True:
        time.sleep(0.25)
        with line.hold_sync():
            line.x, line.y = line.x + 1, np.random.randn({2 * _COLUMNS})
threading.Thread(target=move, daemon=True).start()
display(bqplot.Figure(marks=[line], layout=Layout(width="330px", height="220px")))
"""


# Many charts -----------------------------------------------------------------------------------


def _many_charts(place: Experiment, lab: Jupyter, effort: Effort) -> Iterator[Row]:
    points = effort.of(1_000_000)
    numbers = Numbers(place, [f"metric{number}" for number in range(20)])
    numbers.add(points)
    samples = max(3, effort.repeat)
    with lab.notebook(showing(numbers.run), _TALL) as notebook, Flow([numbers], a_second=10):
        bare_scrolled, bare_panned = _frames_of_nothing(notebook)
        opened = [_opened(notebook, 1) for _ in range(effort.repeat)]
        notebook.page.locator(".aml-charts .bqplot").nth(19).wait_for()
        chart = notebook.page.locator(".aml-charts .bqplot").nth(4)
        with _drawn_anew(notebook):
            scrolled = [_frames(notebook, chart, _turn_wheel) for _ in range(samples)]
        _zoom_in(chart)
        with _drawn_anew(notebook):
            panned = [_frames(notebook, chart, _drag) for _ in range(samples)]
    numbers.end()
    read = median_of(timed(lambda: np.fromfile(numbers.file, np.uint8), 2))
    name = f"20 charts of {points:,} points, live"
    for what, found, bare in (
        ("scrolling", scrolled, bare_scrolled),
        ("panning", panned, bare_panned),
    ):
        value, limit = median_of(found), ("an empty page", bare)
        unit, reach = "frames/s", "≥ 30 frames/s"
        yield Row(f"{name}: {what}", value, unit, reach, *limit, value >= 30, found)
    value, limit = median_of(opened), ("reading the file by numpy.fromfile", read)
    yield Row(f"{name}: first chart painted", value, "s", "≤ 1.5 s", *limit, value <= 1.5, opened)


def _frames_of_nothing(notebook: Notebook) -> tuple[float, float]:
    """Frames a second while an empty page is scrolled, and while the mouse is dragged over it."""
    notebook.run(2)
    place = notebook.page.locator(".tall")
    return _frames(notebook, place, _turn_wheel), _frames(notebook, place, _drag)


def _frames(
    notebook: Notebook, chart: Locator, move: Callable[[Notebook, float, float, int], None]
) -> float:
    """Frames a second that the page paints while it is moved."""
    chart.scroll_into_view_if_needed()
    box = chart.bounding_box()
    if box is None:
        raise RuntimeError("the chart is not in the page")
    x, y = box["x"] + box["width"] / 2, box["y"] + min(box["height"], 300) / 2
    notebook.page.mouse.move(x, y)
    notebook.page.evaluate("bench.count()")
    end, turn = time.monotonic() + _MOVING, 0
    while time.monotonic() < end:
        move(notebook, x, y, turn)
        turn += 1
    notebook.page.mouse.up(button="middle")
    return float(notebook.page.evaluate("bench.counted()"))


def _turn_wheel(notebook: Notebook, x: float, y: float, turn: int) -> None:
    notebook.page.mouse.wheel(0, 60 if turn // 15 % 2 == 0 else -60)
    notebook.wait(0.008)


def _drag(notebook: Notebook, x: float, y: float, turn: int) -> None:
    if turn == 0:
        notebook.page.mouse.down(button="middle")
    notebook.page.mouse.move(x + 80 * np.sin(turn / 10), y)
    notebook.wait(0.008)


def _zoom_in(chart: Locator) -> None:
    chart.focus()
    for _ in range(3):
        chart.press("+")


# Opening ---------------------------------------------------------------------------------------


def _opening(place: Experiment, lab: Jupyter, effort: Effort) -> Iterator[Row]:
    points, count = effort.of(10_000_000), max(1000, effort.of(10_000))
    long = Numbers(place, ["loss"])
    long.add(points)
    wide = Numbers(place, [f"layer{n // 100}/unit{n % 100:02}" for n in range(count)])
    wide.add(20)
    with lab.notebook(showing(long.end()), showing(wide.end())) as notebook:
        opened = [_opened(notebook, 1) for _ in range(effort.repeat)]
        yield _row_of_opening(long, points, opened)
        opened, found = [], []
        for number in range(effort.repeat):
            opened.append(_opened(notebook, 2))
            notebook.page.get_by_text(f"{count:,} metrics").last.wait_for()
            found.append(_filtered(notebook, f"layer{count // 100 - 1}/unit{number + 50}"))
    names = wide.file.with_suffix(".names")
    least = timed(lambda: [json.loads(line) for line in names.read_text().splitlines()], 3)
    title, limit = f"{count:,} metrics in one run", ("reading the names", median_of(least))
    value = median_of(opened)
    yield Row(f"{title}: the view opens", value, "s", "≤ 2 s", *limit, value <= 2, opened)
    value = median_of(found)
    yield Row(f"{title}: the filter finds one", value, "s", "≤ 1 s", *limit, value <= 1, found)


def _row_of_opening(numbers: Numbers, points: int, opened: list[float]) -> Row:
    read = median_of(timed(lambda: np.fromfile(numbers.file, np.uint8), 3))
    value, limit = median_of(opened), ("reading the file by numpy.fromfile", read)
    name = f"opening a finished run of {points:,} points, to the first chart"
    return Row(name, value, "s", "≤ 1 s", *limit, value <= 1, opened)


def _filtered(notebook: Notebook, name: str) -> float:
    """Seconds from typing a metric's name until a chart with that title was painted."""
    box = notebook.page.get_by_role("searchbox", name="Filter metrics").last
    notebook.page.evaluate("name => bench.seek('.aml-chart-name', name)", name)
    box.fill(name)
    return notebook.seconds_sought()


# A job that prints much ------------------------------------------------------------------------


@dataclass(frozen=True)
class _Flood:
    """What a notebook had to bear of much that was printed."""

    kilobytes_a_second: float
    page: float
    """MB by which the page's memory grew."""
    file: float
    """kB by which the notebook's file grew."""
    missing: float
    """Bytes that were printed and are nowhere."""


def _log(place: Experiment, lab: Jupyter, effort: Effort) -> Iterator[Row]:
    lines, size, printed = (effort.of(amount) for amount in (10_000_000, 200_000_000, 20_000))
    many, long = f"a job printing {lines:,} lines", f"a job printing a line of {size // 10**6} MB"
    direct = _printed(lab, printed)
    found = _flooded(place, lab, {many: (100 * lines, 100), long: (size, size)}, effort.repeat)
    for name, each in found.items():
        for what, field, unit, most in (
            ("from the kernel", "kilobytes_a_second", "kB/s", 200),
            ("the page grows", "page", "MB", 150),
            ("the notebook file grows", "file", "kB", 100),
        ):
            samples = [float(getattr(one, field)) for one in each]
            limit = (f"{printed:,} lines printed by a cell", float(getattr(direct, field)))
            value, reach = max(samples), f"≤ {most} {unit}"
            yield Row(f"{name}: {what}", value, unit, reach, *limit, value <= most, samples)
        samples = [one.missing for one in each]
        limit = ("printed", 100 * lines if name == many else size)
        title, value = f"{name}: missing in the log file", max(samples)
        yield Row(title, value, "bytes", "none", *limit, not value, samples)


def _flooded(
    place: Experiment, lab: Jupyter, jobs: Mapping[str, tuple[int, int]], repeat: int
) -> dict[str, list[_Flood]]:
    """What views bear of jobs that print so many bytes in lines of a length, job by job."""
    waiting = [
        (name, size, *_waiting(place, "flood.py", size, length))
        for name, (size, length) in jobs.items()
        for _ in range(repeat)
    ]
    found: dict[str, list[_Flood]] = {name: [] for name in jobs}
    with lab.notebook(*[showing(run) for _, _, run, _ in waiting]) as notebook:
        file, page = notebook.saved(), notebook.heap()
        for number, (name, size, run, gate) in enumerate(waiting, start=1):
            traffic = _watched(notebook, number, gate)
            log = run.folder / layout.DRIVER_LOG
            missing = size - log.stat().st_size
            log.unlink()
            before, file, page = (file, page), notebook.saved(), notebook.heap()
            grown = page - before[1], (file - before[0]) / 1000
            found[name].append(_Flood(traffic.kilobytes_a_second, *grown, missing))
    return found


def _watched(notebook: Notebook, number: int, gate: Path) -> Traffic:
    """What comes of a run from the moment at which its gate opens."""
    notebook.run(number)
    state = notebook.page.locator(".aml-v-state").nth(number - 1)
    state.scroll_into_view_if_needed()
    notebook.wait(0.5)
    gate.touch()
    with notebook.traffic() as traffic:
        expect(state).to_contain_text("Completed", timeout=60_000)
        notebook.wait(1)
    return traffic


def _printed(lab: Jupyter, lines: int) -> _Flood:
    """What a notebook bears of lines that its own kernel prints."""
    with lab.notebook(f"for _ in range({lines}):\n    print('x' * 99)") as notebook:
        file, page = notebook.saved(), notebook.heap()
        with notebook.traffic() as traffic:
            notebook.run(1)
            notebook.wait(1)
        heap, grown = notebook.heap() - page, notebook.saved() - file
    return _Flood(traffic.kilobytes_a_second, heap, grown / 1000, max(0, 100 * lines - grown))


# What a kernel has to do -----------------------------------------------------------------------


def _load(place: Experiment, lab: Jupyter, effort: Effort) -> Iterator[Row]:
    run, gate = _waiting(place, "log_slowly.py", 3, 100_000, 0.05)
    others = [Numbers(place, ["loss", "accuracy"]) for _ in range(20)]
    hidden = showing(*[numbers.run for numbers in others])
    with lab.notebook(_TALL, showing(run), hidden) as notebook:
        idle = notebook.kernel_load(_LOOKING)
        notebook.run(1)
        gate.touch()
        notebook.seconds_until(LINE, 2)
        notebook.page.locator(LINE).last.scroll_into_view_if_needed()
        notebook.wait(2)
        visible = [_load_of_drawing(notebook) for _ in range(effort.repeat)]
        run.cancel()
        with Flow(others, a_second=5):
            notebook.run(3)
            notebook.page.evaluate(_TO_THE_TOP)
            notebook.wait(5)
            unseen = [notebook.kernel_load(_LOOKING) for _ in range(effort.repeat)]
    for numbers in others:
        numbers.end()
    limit = ("a kernel without a view", idle)
    name, value = "kernel's load, one view of a live run in sight", statistics.fmean(visible)
    yield Row(name, value, "%", "≤ 5 % of a core", *limit, value <= 5, visible)
    name, value = "kernel's load, 20 views of live runs out of sight", statistics.fmean(unseen)
    yield Row(name, value, "%", "≤ 1 % of a core", *limit, value <= 1, unseen)


def _load_of_drawing(notebook: Notebook) -> float:
    with _drawn_anew(notebook):
        return notebook.kernel_load(_LOOKING)
