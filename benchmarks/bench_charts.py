"""What a person sees of charts on the page of a run in JupyterLab: how soon, and how smoothly."""

from __future__ import annotations

import contextlib
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from playwright.sync_api import Browser, Locator, Page, expect

from benchmarks.browser import MEASURING, chromium
from benchmarks.points import Flow, Numbers
from benchmarks.report import Row, median_of, timed
from benchmarks.setting import Effort, experiment
from tests.ui.lab import Lab, running_lab

_CHARTS = 20
_MOVING = 3.0
"""Seconds that one sample of frames is taken for."""

_DRAWN = ".aml-Plots figure[aria-label*='last value']"
"""A chart that has its line."""

_IN_SIGHT = """() => [...document.querySelectorAll('.aml-Plots figure')].filter(node => {
  const { top, bottom } = node.getBoundingClientRect();
  return top >= 0 && bottom <= innerHeight && node.querySelector('canvas');
}).length"""


def rows(effort: Effort) -> Iterator[Row]:
    """The page of a run of 20 metrics, whose records numpy writes in the documented format, in a
    JupyterLab of its own and a headless Chromium of 1920 by 2100 pixels, so that all charts are in
    sight. It is opened from the sidebar; the first chart is painted with the frame after it has its
    line. Frames are counted by the page, for 3 s each: while the middle button drags one chart and
    all 20 follow, zoomed together; and while each metric goes on with ten points a second. The
    limit is the same page, and the mouse moved over it where there is no chart. Long tasks are
    those that held the page up for more than 50 ms, in all samples together.
    """
    with _lab() as (lab, browser), experiment(lab.root) as place:
        points = effort.of(1_000_000)
        numbers = Numbers(place, [f"metric{number:02}" for number in range(_CHARTS)])
        numbers.add(points)
        name = f"run page with {_CHARTS} charts of {points:,} points"
        read = median_of(timed(lambda: np.fromfile(numbers.file, np.uint8), 2))
        opened = [_opened(lab, browser) for _ in range(effort.repeat)]
        value, limit = median_of(opened), ("reading the file by numpy.fromfile", read)
        yield Row(f"{name}: first paint", value, "s", "≤ 1 s", *limit, value <= 1, opened)
        with _page(lab, browser) as page, Flow([numbers], a_second=10):
            yield from _frames(page, name, max(3, effort.repeat))
        numbers.end()


@contextlib.contextmanager
def _lab() -> Iterator[tuple[Lab, Browser]]:
    with (
        tempfile.TemporaryDirectory(prefix="aml-bench-") as folder,
        running_lab(Path(folder, "lab")) as lab,
        chromium() as browser,
    ):
        yield lab, browser


@contextlib.contextmanager
def _page(lab: Lab, browser: Browser) -> Iterator[Page]:
    """JupyterLab with the page of the run in front, and all of its charts drawn."""
    page = _listed(lab, browser)
    _row(page).dblclick()
    expect(page.locator(_DRAWN)).to_have_count(_CHARTS, timeout=60_000)
    try:
        yield page
    finally:
        page.context.close()


def _listed(lab: Lab, browser: Browser) -> Page:
    """JupyterLab with the sidebar of runs open."""
    context = browser.new_context(viewport={"width": 1920, "height": 2100}, locale="en-GB")
    context.set_default_timeout(30_000)
    context.add_init_script(MEASURING)
    page = context.new_page()
    page.goto(f"{lab.url}/lab/workspaces/bench?reset")
    page.get_by_role("tab", name=re.compile("^Runs")).click()
    expect(_row(page)).to_be_visible()
    return page


def _row(page: Page) -> Locator:
    return page.get_by_role("treeitem").last


def _opened(lab: Lab, browser: Browser) -> float:
    """Seconds from the double click until the first chart was painted."""
    page = _listed(lab, browser)
    page.evaluate("selector => bench.seek(selector)", _DRAWN)
    _row(page).dblclick()
    seconds = float(page.evaluate("bench.found.then(found => found - bench.sought)")) / 1000
    page.context.close()
    return seconds


def _frames(page: Page, name: str, samples: int) -> Iterator[Row]:
    in_sight = int(page.evaluate(_IN_SIGHT))
    if in_sight < _CHARTS:
        raise RuntimeError(f"only {in_sight} of {_CHARTS} charts are in sight")
    idle, _ = _counted(page, lambda: _move(page, 4, 4))
    live = [_counted(page, lambda: page.wait_for_timeout(1000 * _MOVING)) for _ in range(samples)]
    yield from _rows_of(f"{name}, live", live, 30, idle)
    page.get_by_role("button", name="Zoom together").click()
    chart = page.locator(".aml-Plots figure").first
    for _ in range(3):
        chart.press("+")
    page.wait_for_timeout(1000)
    box = chart.bounding_box()
    if box is None:
        raise RuntimeError("the chart is not in the page")
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    panned = [_counted(page, lambda: _drag(page, x, y)) for _ in range(samples)]
    yield from _rows_of(f"{name}, panning", panned, 50, idle)


def _rows_of(name: str, found: list[tuple[float, float]], least: int, idle: float) -> Iterator[Row]:
    frames = [each for each, _ in found]
    value, limit = median_of(frames), ("the page at rest", idle)
    yield Row(name, value, "frames/s", f"≥ {least} frames/s", *limit, value >= least, frames)
    long = [each for _, each in found]
    value = sum(long)
    yield Row(f"{name}: long tasks", value, "", "0", "the page at rest", 0, value == 0, long)


def _counted(page: Page, work: Callable[[], object]) -> tuple[float, float]:
    """Frames a second, and long tasks, while something is done."""
    page.evaluate("bench.count()")
    work()
    frames = float(page.evaluate("bench.counted()"))
    return frames, float(page.evaluate("bench.long"))


def _drag(page: Page, x: float, y: float) -> None:
    page.mouse.move(x, y)
    page.mouse.down(button="middle")
    _move(page, x, y)
    page.mouse.up(button="middle")


def _move(page: Page, x: float, y: float) -> None:
    """Move the mouse to and fro."""
    end, turn = time.monotonic() + _MOVING, 0
    while time.monotonic() < end:
        turn += 1
        page.mouse.move(x + abs(turn * 3 % 160 - 80), y)
        page.wait_for_timeout(8)
