"""The charts that the extension draws itself: on a page without a server, of known functions."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.support import until
from tests.ui.plot_page import plot_page

pytestmark = [pytest.mark.ui, pytest.mark.service("chromium")]

HOSTILE = '<img src=x onerror="window.harmed = true">'
RISING = "{title: 'rising', lines: [{label: 'rising', count: 10000, value: step => step}]}"
SEVERAL = """{title: 'several', lines: ['one', 'two', 'three'].map((label, nth) => (
  {label, count: 101, value: step => step * (nth + 1)}))}"""
HOLES = """{title: 'holes', lines: [{label: 'holes', count: 10,
  value: step => step === 5 ? NaN : step === 7 ? Infinity : step}]}"""


@pytest.fixture(scope="module")
def opened(browser: Browser) -> Iterator[Page]:
    """The page; each test puts its own charts into it."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, locale="en-GB")
    page = context.new_page()
    page.set_default_timeout(10_000)
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    with plot_page() as url:
        page.goto(url)
        page.wait_for_function("window.isReady")
        yield page
    assert wrong == []
    context.close()


def show(page: Page, *charts: str, options: str = "{}") -> None:
    """Show these charts and no others, and wait until their lines have come."""
    page.mouse.move(2, 2)
    page.evaluate(f"showCharts([{','.join(charts)}], {options})")
    page.wait_for_function("source.sent >= source.asked.at(-1)?.length")


def figure(page: Page, name: str) -> Locator:
    return page.get_by_role("figure", name=name)


def asked(page: Page) -> list[dict[str, Any]]:
    """What was asked for last."""
    found: list[dict[str, Any]] = page.evaluate("source.asked.at(-1)")
    return found


def at(chart: Locator, across: float, down: float = 0.5) -> tuple[float, float]:
    """A place in the plot of a chart, on the page."""
    box = chart.locator(".aml-chart-frame").bounding_box()
    assert box is not None
    return box["x"] + across * box["width"], box["y"] + down * box["height"]


def drag(chart: Locator, start: tuple[float, float], end: tuple[float, float]) -> None:
    """Drag between two places, each as parts of the plot."""
    mouse = chart.page.mouse
    mouse.move(*at(chart, *start))
    mouse.down()
    mouse.move(*at(chart, *end), steps=5)
    mouse.up()


def looked_at(page: Page) -> tuple[float, float]:
    """The range that was asked for last of the first chart."""
    first = asked(page)[0]
    assert first["low"] is not None
    return first["low"], first["high"]


def until_range(page: Page, low: float, high: float, within: float = 100) -> None:
    """Wait until such a part of the first chart was asked for."""

    def is_so() -> bool:
        first = asked(page)[0]
        return (
            first["low"] is not None
            and abs(first["low"] - low) < within
            and abs(first["high"] - high) < within
        )

    until(is_so, why=lambda: str(asked(page)[0]))


def test_only_charts_on_screen_are_asked_for(opened: Page) -> None:
    many = "...Array.from({length: 300}, (_, n) => ({title: `m${n}`, lines: ["
    many += "{label: 'm', count: 10, value: step => step * n}]}))"
    show(opened, many)
    first = [one["key"] for one in asked(opened)]
    assert first[0] == "m0"
    assert len(first) < 30
    assert opened.locator("canvas").count() == len(first)
    opened.mouse.move(600, 400)
    opened.mouse.wheel(0, 100_000)
    until(lambda: "m299" in [one["key"] for one in asked(opened)])
    until(lambda: opened.locator("canvas").count() < 40)
    assert "m0" not in [one["key"] for one in asked(opened)]


def test_dragging_looks_closer_and_asks_for_detail(opened: Page) -> None:
    show(opened, RISING)
    assert asked(opened)[0]["low"] is None
    chart = figure(opened, "rising")
    drag(chart, (0.4, 0.5), (0.6, 0.5))
    until_range(opened, 4000, 6000)
    assert asked(opened)[0]["columns"] >= 300
    # With every point there is by now, what is under the pointer is exact.
    opened.wait_for_timeout(100)
    opened.mouse.move(*at(chart, 0.501))
    expect(chart.locator(".aml-chart-tip b")).to_have_text(
        chart.locator(".aml-chart-where").inner_text().removeprefix("step ")
    )
    chart.get_by_role("button", name="Show all of rising").click()
    until(lambda: asked(opened)[0]["low"] is None)
    assert opened.evaluate("source.options().zoomed") is False


def test_a_legend_hides_lines_and_leaves_one_alone(opened: Page) -> None:
    show(opened, SEVERAL)
    chart = figure(opened, "several, 3 lines")
    one, two, three = (chart.get_by_role("button", name=name) for name in ("one", "two", "three"))
    two.click()
    expect(two).to_have_attribute("aria-pressed", "false")
    opened.mouse.move(*at(chart, 0.5))
    expect(chart.locator(".aml-chart-tip b")).to_have_count(2)
    three.dblclick()
    expect(one).to_have_attribute("aria-pressed", "false")
    expect(three).to_have_attribute("aria-pressed", "true")
    three.click(modifiers=["Alt"])
    for entry in (one, two, three):
        expect(entry).to_have_attribute("aria-pressed", "true")


def test_names_that_look_like_markup_are_shown_as_text(opened: Page) -> None:
    show(opened, SEVERAL.replace("'several'", f"'{HOSTILE}'").replace("'one'", f"'{HOSTILE}'"))
    chart = figure(opened, HOSTILE)
    expect(chart.locator(".aml-chart-name")).to_have_text(HOSTILE)
    expect(chart.locator(".aml-chart-entry").first).to_contain_text(HOSTILE)
    opened.mouse.move(*at(chart, 0.5))
    expect(chart.locator(".aml-chart-tip")).to_contain_text(HOSTILE)
    assert opened.locator("img").count() == 0
    assert opened.evaluate("window.harmed") is None


def heads(page: Page) -> list[str]:
    """The names of the axes from left to right."""
    found: list[str] = page.locator(".aml-Parallel-head").evaluate_all(
        "nodes => nodes.map(node => node.title)"
    )
    return found


def foot(page: Page, name: str) -> float:
    """How far across the page an axis stands."""
    box = page.locator(f".aml-Parallel-head[title='{name}']").bounding_box()
    assert box is not None
    return box["x"] + box["width"] / 2


def test_parallel_axes_are_chosen_moved_and_brushed(opened: Page) -> None:
    opened.mouse.move(2, 2)
    opened.evaluate("showRuns('parallel', runsOf(200, 50))")
    assert heads(opened)[:4] == ["learning_rate", "layers", "optimizer", "metric/0"]
    expect(opened.get_by_text("200 of 200 runs")).to_be_visible()
    # Of one to seven layers, those with five and more.
    area = opened.locator(".aml-Parallel-area").bounding_box()
    assert area is not None
    left, low = foot(opened, "layers"), area["y"] + 44 + 0.42 * (area["height"] - 74)
    opened.mouse.move(left, area["y"] + 40)
    opened.mouse.down()
    opened.mouse.move(left, low, steps=3)
    opened.mouse.up()
    expect(opened.get_by_text("84 of 200 runs")).to_be_visible()
    chosen = opened.evaluate("heard.chosen")
    assert {int(one.removeprefix("id")) % 7 for one in chosen} == {4, 5, 6}
    opened.get_by_role("button", name="All runs").click()
    assert opened.evaluate("heard.chosen") is None
    # By keys alone: the axis goes to the left, and its lower half away.
    opened.get_by_role("button", name="layers").press("ArrowLeft")
    assert heads(opened)[:2] == ["layers", "learning_rate"]
    for _ in range(10):
        opened.get_by_role("button", name="layers").press("ArrowUp")
    expect(opened.get_by_role("status")).not_to_have_text("200 of 200 runs")
    opened.get_by_role("button", name="layers").press("Delete")
    expect(opened.get_by_text("200 of 200 runs")).to_be_visible()
    opened.get_by_text("Axes").click()
    opened.get_by_role("searchbox").fill("metric/4")
    opened.get_by_role("checkbox", name="metric/42").check()
    opened.get_by_role("checkbox", name="metric/42").press("Escape")
    assert heads(opened)[-1] == "metric/42"
    assert opened.evaluate("heard.choice.axes.at(-1)") == "metric/42"


def test_a_line_among_parallel_axes_says_its_run_and_opens_it(opened: Page) -> None:
    opened.mouse.move(2, 2)
    opened.evaluate("showRuns('parallel', runsOf(3, 2))")
    area = opened.locator(".aml-Parallel-area").bounding_box()
    assert area is not None
    # Run 0 has the fewest layers: its line ends at the foot of that axis.
    opened.mouse.move(foot(opened, "layers") + 16, area["y"] + area["height"] - 56)
    expect(opened.locator(".aml-chart-tip")).to_contain_text("run 0")
    assert opened.evaluate("heard.pointed") == "id0"
    opened.mouse.down()
    opened.mouse.up()
    assert opened.evaluate("heard.opened") == "id0"


def test_a_scatter_plot_says_its_runs_and_opens_them(opened: Page) -> None:
    opened.mouse.move(2, 2)
    opened.evaluate("showRuns('scatter', runsOf(40, 5))")
    across = opened.get_by_role("combobox", name="Across")
    expect(across).to_have_value("learning_rate")
    expect(opened.get_by_role("button", name="log x")).to_have_attribute("aria-pressed", "true")
    plot = opened.get_by_role("img", name="metric/0 over learning_rate")
    plot.press("ArrowLeft")
    expect(opened.locator(".aml-chart-tip")).to_contain_text("learning_rate: 0.1")
    plot.press("Enter")
    assert opened.evaluate("heard.opened") == "id0"
    across.select_option("optimizer")
    expect(opened.get_by_role("button", name="log x")).to_be_hidden()
    assert opened.evaluate("heard.choice.x") == "optimizer"


def test_keys_move_a_chart_and_zooming_together_moves_all(opened: Page) -> None:
    show(opened, RISING, RISING.replace("'rising'", "'other'"))
    opened.get_by_role("button", name="Zoom together").click()
    chart = figure(opened, "rising")
    chart.press("+")
    until_range(opened, 1667, 8333)
    assert [one["low"] for one in asked(opened)] == [asked(opened)[0]["low"]] * 2
    chart.press("ArrowRight")
    until_range(opened, 3000, 9667)
    chart.press("Home")
    until(lambda: {one["low"] for one in asked(opened)} == {None})
    # While a pointer is in one, the other says what it has there.
    opened.mouse.move(*at(chart, 0.5))
    expect(figure(opened, "other").locator(".aml-chart-last")).to_have_text(re.compile("^[45]"))
    chart.press("f")
    opened.wait_for_function("document.fullscreenElement?.classList.contains('aml-chart')")
    chart.press("Escape")
    opened.wait_for_function("document.fullscreenElement === null")


def test_a_box_and_the_middle_button_choose_both_axes_and_move_them(opened: Page) -> None:
    show(opened, RISING)
    chart = figure(opened, "rising")
    opened.keyboard.down("Alt")
    drag(chart, (0.2, 0.2), (0.6, 0.8))
    opened.keyboard.up("Alt")
    until_range(opened, 2000, 6000)
    before = opened.evaluate("[...grid.onScreen][0].figure.range.y")
    assert 1500 < before[0] < before[1] < 8500
    opened.mouse.move(*at(chart, 0.5, 0.5))
    opened.mouse.down(button="middle")
    opened.mouse.move(*at(chart, 0.75, 0.25), steps=4)
    opened.mouse.up(button="middle")
    until_range(opened, 1000, 5000)
    after = opened.evaluate("[...grid.onScreen][0].figure.range.y")
    assert after[0] < before[0] - 1000
    opened.mouse.dblclick(*at(chart, 0.5))
    until(lambda: asked(opened)[0]["low"] is None)


def test_logarithms_times_and_smoothing_change_what_is_drawn(opened: Page) -> None:
    show(opened, RISING, HOLES, options="{log_x: true}")
    chart = figure(opened, "rising")
    drag(chart, (0.5, 0.5), (0.75, 0.5))
    # The lowest that is drawn is 24: halfway from there to 9999 by factors is 490.
    until_range(opened, 490, 2213, within=60)
    opened.evaluate("source.setOptions({log_x: false, axis: 'clock'})")
    until(lambda: asked(opened)[0]["low"] is None)
    opened.evaluate("source.renew()")
    opened.mouse.move(*at(chart, 0.5))
    expect(chart.locator(".aml-chart-where")).to_have_text(re.compile(r"\d\d:\d\d:\d\d"))
    opened.evaluate("source.setOptions({axis: 'step', smoothing: 0.9})")
    opened.evaluate("source.renew()")
    opened.mouse.move(*at(chart, 0.52))
    # The smooth value, and beside it what was logged.
    expect(chart.locator(".aml-chart-tip b")).to_have_text(re.compile(r"^[\d.]+ \([\d.]+\)$"))
    holes = figure(opened, "holes")
    opened.mouse.move(*at(holes, 5 / 9))
    expect(holes.locator(".aml-chart-tip")).to_contain_text("NaN")
    opened.mouse.move(*at(holes, 7 / 9))
    expect(holes.locator(".aml-chart-tip")).to_contain_text("∞")


def test_a_chart_is_saved_as_values_and_as_a_picture(opened: Page) -> None:
    show(opened, SEVERAL)
    chart = figure(opened, "several")
    chart.hover()
    chart.get_by_role("button", name="Save or copy").click()
    with opened.expect_download() as values:
        opened.get_by_role("menuitem", name="Save values as CSV").click()
    assert values.value.suggested_filename == "several.csv"
    lines = values.value.path().read_text().splitlines()
    assert lines[:3] == ["line,run,metric,step,value", "one,run,one,0,0", "one,run,one,1,1"]
    assert len(lines) == 1 + 3 * 101
    chart.get_by_role("button", name="Save or copy").click()
    with opened.expect_download() as picture:
        opened.get_by_role("menuitem", name="Save as PNG").click()
    width, height = struct.unpack(">II", picture.value.path().read_bytes()[16:24])
    box = chart.bounding_box()
    assert box is not None
    assert (width, height) == (round(box["width"]) - 2, round(box["height"]) - 2)


def test_colours_are_those_of_the_theme_as_soon_as_it_changes(opened: Page) -> None:
    show(opened, SEVERAL)
    before = opened.evaluate("[...grid.onScreen][0].figure.theme.faint")
    opened.evaluate("theme.href = theme.href.replace('light', 'dark')")
    opened.wait_for_function(
        f"getComputedStyle(document.body).getPropertyValue('--jp-ui-font-color2') !== '{before}'"
    )
    opened.evaluate("document.body.dataset.jpThemeName = 'dark'")
    dark = "[...grid.onScreen][0].figure.theme.faint"
    opened.wait_for_function(f"{dark} !== '{before}'")
    opened.evaluate("theme.href = theme.href.replace('dark', 'light')")


def test_what_is_logged_meanwhile_is_drawn(opened: Page) -> None:
    show(opened, RISING)
    chart = figure(opened, "rising, last value 9999")
    expect(chart).to_be_visible()
    drawn = "document.querySelector('canvas').toDataURL()"
    before = opened.evaluate(drawn)
    opened.evaluate("source.all[0].lines[0].count = 20000; source.renew()")
    expect(figure(opened, "rising, last value 19999")).to_be_visible()
    opened.wait_for_function(f"{drawn} !== '{before}'")


def test_fingers_point_and_pinch(browser: Browser) -> None:
    context = browser.new_context(viewport={"width": 800, "height": 600}, has_touch=True)
    page = context.new_page()
    touch = context.new_cdp_session(page)

    def fingers(kind: str, *places: tuple[float, float]) -> None:
        points = [{"x": x, "y": y, "id": nth} for nth, (x, y) in enumerate(places)]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    with plot_page() as url:
        page.goto(url)
        page.wait_for_function("window.isReady")
        show(page, RISING)
        chart = figure(page, "rising")
        fingers("touchStart", at(chart, 0.5))
        fingers("touchEnd")
        expect(chart.locator(".aml-chart-where")).to_contain_text("step")
        fingers("touchStart", at(chart, 0.4), at(chart, 0.6))
        fingers("touchMove", at(chart, 0.3), at(chart, 0.7))
        fingers("touchMove", at(chart, 0.2), at(chart, 0.8))
        fingers("touchEnd")
        until_range(page, 3333, 6667, within=200)
    context.close()
