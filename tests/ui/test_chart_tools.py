"""What a reader can do with live charts: see values, look closer, move, and come back."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.support import until
from tests.ui.lab import Lab, code_cell

pytestmark = [pytest.mark.ui, pytest.mark.service("chromium")]

HOSTILE = '<img src=x onerror="window.harmed = true">'
POINTS = 5000
SETUP = f"""
import math, threading, time
from pathlib import Path
from ipywidgets import VBox
from aml_jupyter.job.metrics import MetricWriter
from aml_jupyter.notebook.chart_grid import ChartGrid
from aml_jupyter.notebook.panel import Panel
from aml_jupyter.store import MetricFeed
from aml_jupyter.watching.figures import Source

folder = Path("metrics").absolute()
for process in range(2):
    writer = MetricWriter(str(folder))
    for step in range({POINTS}):
        if not process:
            writer.number("rising", step, step)
        if step < 100:
            writer.number({HOSTILE!r}, step * (process + 1), step)
    if not process:
        for step in range(10):
            writer.number("holes", math.nan if step == 5 else step, step)
    writer.close()
    time.sleep(0.01)
feed = MetricFeed(folder)
while feed.poll(final=True):
    pass
wanted = threading.Event()
panel = Panel(lambda asked: None)
panel.observe(lambda change: wanted.set(), "options")
grid = ChartGrid(wanted.set)
source = Source("run", feed, None, 0)

def draw():
    panel.charts = grid.update([source], panel.options)

def keep_drawing():
    while True:
        wanted.wait()
        wanted.clear()
        draw()
        time.sleep(0.1)

draw()
threading.Thread(target=keep_drawing, daemon=True).start()
view = VBox([panel, grid.widget])
_ = view.add_class("aml-view")
"""
RANGE = "grid.widget.children[0].axes[0].scale.min > 100"
BUSY = "while not Path('free').exists(): time.sleep(0.02)"


def run(page: Page, number: int, wait: bool = True) -> Locator:
    """Run a cell; the cell, once the kernel has done with it unless told not to wait."""
    found = page.locator(".jp-Notebook .jp-Cell").nth(number)
    found.locator(".cm-content").click()
    page.keyboard.press("Control+Enter")
    if wait:
        expect(found.locator(".jp-InputArea-prompt")).to_contain_text("[", timeout=60_000)
        expect(found.locator(".jp-InputArea-prompt")).not_to_contain_text("*", timeout=60_000)
    return found


@pytest.fixture(scope="module")
def opened(lab: Lab, browser: Browser) -> Iterator[Page]:
    """A notebook with three charts in it; one for all tests, each puts it back as it was."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, locale="en-GB")
    page = context.new_page()
    page.set_default_timeout(30_000)
    cells = [code_cell(source) for source in (SETUP, "view", RANGE, BUSY)]
    lab.write_notebook("charts.ipynb", cells, kernel=True)
    page.goto(lab.notebook_url("charts.ipynb"))
    expect(page.get_by_text("Python 3 (ipykernel) | Idle")).to_be_visible(timeout=60_000)
    run(page, 0)
    run(page, 1)
    expect(page.get_by_role("figure")).to_have_count(3)
    yield page
    context.close()


@pytest.fixture
def chart(opened: Page) -> Iterator[Locator]:
    """The chart of the metric that rises by one with each step, not zoomed into."""
    found = figure(opened, "rising")
    found.scroll_into_view_if_needed()
    expect_all(found)
    yield found
    found.press("0")
    expect_all(found)


def kernel_says(page: Page, word: str) -> bool:
    """Whether that is what the kernel knows of the first chart's range by now."""
    return word in run(page, 2).locator(".jp-OutputArea").inner_text()


def figure(page: Page, name: str) -> Locator:
    return page.get_by_role("figure", name=name)


def numbers(chart: Locator, side: int = 0) -> list[float]:
    """What is written below the x axis, or beside the y axis for 1."""
    texts = chart.locator(".axis").nth(side).locator(".tick text").all_text_contents()
    return [float(text) for text in texts if text]


def expect_numbers(chart: Locator, holds: Callable[[list[float]], bool], side: int = 0) -> None:
    """Wait until what is written along an axis is so."""
    until(
        lambda: len(found := numbers(chart, side)) > 1 and holds(found),
        why=lambda: str(numbers(chart, side)),
    )


def expect_all(chart: Locator) -> None:
    """Wait until the chart shows all of its line."""
    last = chart.locator(".axis").first.locator(".tick text").last
    expect(last).to_have_text(str(POINTS - 1000))
    expect(chart.get_by_role("button", name="Show all of rising")).to_be_hidden()


def expect_part(chart: Locator) -> None:
    expect(chart.get_by_role("button", name="Show all of rising")).to_be_visible()


def at(chart: Locator, across: float, down: float = 0.5) -> tuple[float, float]:
    """A place in the plot of a chart, on the page."""
    box = chart.locator(".aml-chart-frame").bounding_box()
    assert box is not None
    return box["x"] + across * box["width"], box["y"] + down * box["height"]


def drag(chart: Locator, start: float, end: float) -> None:
    mouse = chart.page.mouse
    mouse.move(*at(chart, start))
    mouse.down()
    mouse.move(*at(chart, end), steps=5)
    mouse.up()


def test_a_chart_says_its_name_and_its_last_value(opened: Page, chart: Locator) -> None:
    expect(chart).to_contain_text("rising")
    expect(chart.locator(".aml-chart-last")).to_have_text("4999")
    expect(figure(opened, "rising, last value 4999")).to_be_visible()


def test_names_that_look_like_markup_are_shown_as_text(opened: Page) -> None:
    hostile = figure(opened, HOSTILE)
    expect(hostile.locator(".aml-chart-name")).to_have_text(HOSTILE)
    assert opened.locator("img[src=x]").count() == 0
    assert opened.evaluate("window.harmed") is None


def test_several_lines_have_a_legend(opened: Page) -> None:
    entries = figure(opened, HOSTILE).locator(".aml-chart-legend .aml-chart-entry")
    expect(entries).to_have_text(["process 199", "process 2198"])
    expect(figure(opened, "rising").locator(".aml-chart-legend")).to_be_hidden()


def test_hovering_shows_the_value_nearest_to_the_pointer(opened: Page, chart: Locator) -> None:
    opened.mouse.move(*at(chart, 0.5))
    tip = chart.locator(".aml-chart-tip")
    step, value = tip.locator(".aml-chart-where"), tip.locator("b")
    expect(step).to_contain_text("step 2")
    assert abs(float(value.inner_text()) - POINTS / 2) < POINTS / 50
    assert step.inner_text() == f"step {value.inner_text()}"
    opened.mouse.move(2, 2)
    expect(tip).to_be_hidden()


def test_hovering_over_a_gap_says_what_stood_there(opened: Page) -> None:
    holes = figure(opened, "holes")
    holes.scroll_into_view_if_needed()
    opened.mouse.move(*at(holes, 5 / 9))
    expect(holes.locator(".aml-chart-tip")).to_contain_text("NaN")
    opened.mouse.move(2, 2)


def test_dragging_looks_closer_and_the_kernel_hears_of_it(opened: Page, chart: Locator) -> None:
    drag(chart, 0.4, 0.6)
    expect_part(chart)
    expect_numbers(chart, lambda shown: 1900 < shown[0] < shown[-1] < 3100)
    until(lambda: kernel_says(opened, "True"))
    chart.get_by_role("button", name="Show all of rising").click()
    expect_all(chart)
    until(lambda: kernel_says(opened, "False"))


def test_show_everything_is_offered_while_a_chart_is_zoomed(opened: Page, chart: Locator) -> None:
    everything = opened.get_by_role("button", name="Show everything")
    expect(everything).to_be_hidden()
    drag(chart, 0.2, 0.3)
    everything.click()
    expect_all(chart)
    expect(everything).to_be_hidden()


def test_a_double_click_shows_all_of_a_chart(opened: Page, chart: Locator) -> None:
    drag(chart, 0.4, 0.6)
    expect_part(chart)
    opened.mouse.dblclick(*at(chart, 0.5))
    expect_all(chart)


def test_keys_zoom_and_move_and_never_reach_the_notebook(opened: Page, chart: Locator) -> None:
    chart.focus()
    chart.press("+")
    expect_part(chart)
    expect_numbers(chart, lambda shown: 800 < shown[0] < shown[-1] < 4200)
    chart.press("ArrowRight")
    expect_numbers(chart, lambda shown: shown[0] > 1400)
    chart.press("-")
    chart.press("-")
    expect_all(chart)
    chart.press("0")
    chart.press("0")
    chart.press("d")
    chart.press("d")
    expect(opened.get_by_role("dialog")).to_have_count(0)
    expect(chart).to_be_visible()


def test_a_wheel_zooms_only_with_control(opened: Page, chart: Locator) -> None:
    opened.mouse.move(*at(chart, 0.5))
    before = at(chart, 0.5)
    opened.mouse.wheel(0, -40)
    opened.mouse.wheel(0, 40)
    expect_all(chart)
    opened.mouse.move(*at(chart, 0.5))
    opened.keyboard.down("Control")
    opened.mouse.wheel(0, -400)
    opened.keyboard.up("Control")
    expect_part(chart)
    expect_numbers(chart, lambda shown: shown[0] > 0)
    assert at(chart, 0.5)[1] == pytest.approx(before[1], abs=60)


def test_dragging_with_shift_moves_what_is_seen(opened: Page, chart: Locator) -> None:
    drag(chart, 0.4, 0.6)
    expect_part(chart)
    expect_numbers(chart, lambda shown: 1900 < shown[0] < shown[-1] < 3100)
    opened.keyboard.down("Shift")
    drag(chart, 0.2, 0.9)
    opened.keyboard.up("Shift")
    expect_numbers(chart, lambda shown: 1200 < shown[0] < shown[-1] < 2400)


def test_dragging_beside_the_axis_chooses_a_height(opened: Page, chart: Locator) -> None:
    up = chart.locator(".axis").nth(1).locator(".tick text")
    expect(up.last).to_have_text("4000")
    opened.mouse.move(*at(chart, -0.05, 0.9))
    opened.mouse.down()
    opened.mouse.move(*at(chart, -0.05, 0.7), steps=5)
    opened.mouse.up()
    expect_part(chart)
    expect_numbers(chart, lambda shown: 200 < shown[0] < shown[-1] < 2000, side=1)


def test_zooming_needs_no_kernel(lab: Lab, opened: Page, chart: Locator) -> None:
    busy = run(opened, 3, wait=False)
    expect(busy.locator(".jp-InputArea-prompt")).to_contain_text("*")
    chart.scroll_into_view_if_needed()
    drag(chart, 0.4, 0.6)
    expect_part(chart)
    expect_numbers(chart, lambda shown: 1900 < shown[0] < shown[-1] < 3100)
    chart.press("0")
    expect_all(chart)
    expect(busy.locator(".jp-InputArea-prompt")).to_contain_text("*")
    Path(lab.root / "free").touch()
    expect(busy.locator(".jp-InputArea-prompt")).not_to_contain_text("*")


def test_time_is_written_as_time_and_decades_as_decades(opened: Page, chart: Locator) -> None:
    opened.get_by_role("button", name="log x").click()
    expect(chart.locator(".axis").first.locator(".tick text")).to_have_text(
        ["1", "10", "100", "1000"]
    )
    opened.get_by_role("button", name="log x").click()
    axis = opened.get_by_role("combobox", name="Horizontal axis")
    axis.select_option("clock")
    last = chart.locator(".axis").first.locator(".tick text").last
    expect(last).to_have_text(re.compile(r"^\d\d:\d\d:\d\d$"))
    axis.select_option("time")
    expect(last).to_have_text(re.compile(r"^[\d.]+ s$"))
    axis.select_option("step")
    expect_all(chart)


def test_a_chart_fills_the_screen_on_request(opened: Page, chart: Locator) -> None:
    opened.mouse.move(*at(chart, 0.5))
    button = chart.get_by_role("button", name="Full screen: rising")
    button.click()
    opened.wait_for_function("document.fullscreenElement?.classList.contains('aml-chart')")
    box = chart.bounding_box()
    assert box is not None
    assert box["width"] > 1000
    button.click()
    opened.wait_for_function("document.fullscreenElement === null")
