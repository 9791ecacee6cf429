"""The live view as a reader meets it, in JupyterLab and Notebook 7, with jobs that really run."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, WebSocket, expect

from aml_jupyter.store import MetricFeed
from tests.support import until
from tests.ui.lab import Lab, code_cell
from tests.ui.notebook_page import (
    cell_with,
    open_notebook,
    restart_kernel,
    run_cell,
    save_notebook,
    settled,
)

pytestmark = [pytest.mark.ui, pytest.mark.service("chromium"), pytest.mark.timeout(180)]

LOAD = "%load_ext aml_jupyter"
ATTACH = "%aml_attach"
LOG = "azureml-logs/70_driver_log.txt"

# Says something, then waits for a word, in stages: what a test looks at holds still meanwhile.
JOB = """
import math, os, sys, time
from aml_jupyter import Run

run = Run.get_context()

def wait_for(word):
    while not os.path.exists(f"{SIGNS}/{word}"):
        time.sleep(0.02)

for step in range(150):
    run.log("loss", math.exp(-step / 50) if step != 75 else math.nan)
    print(f"epoch {step:3d}: loss äöü 漢字 <b>{math.exp(-step / 50)}</b>")
print("\\x1b[31mred alert\\x1b[0m")
for percent in range(0, 51, 10):
    sys.stdout.write(f"\\r {percent}%|#####     | {percent}/100 [00:01<02:05,  9it/s]")
    sys.stdout.flush()
wait_for("more")
print()
for step in range(50):
    run.log("loss", 0.1)
    print(f"more {step}")
wait_for("end")
"""


class Story:
    """A notebook with a job that is told when to go on, and a reader who watches it."""

    def __init__(self, page: Page, lab: Lab, name: str) -> None:
        self.page = page
        self._name = f"{name}-{lab.app}"
        self.folder = lab.root / self._name
        self.folder.mkdir()
        job = JOB.replace("{SIGNS}", str(self.folder))
        cells = [
            LOAD,
            f'%%aml_run --as run --name "the story"\n{job}',
            ATTACH,
            "print('still here')",
        ]
        lab.write_notebook(f"{self._name}.ipynb", [code_cell(text) for text in cells], kernel=True)
        open_notebook(page, lab, f"{self._name}.ipynb")
        settled(run_cell(page, LOAD))
        self.cell = settled(run_cell(page, "%%aml_run"))
        until(lambda: list((lab.root / ".aml" / "runs").glob(f"{self._name}*/metrics/*.bin")))
        self.run = max((lab.root / ".aml" / "runs").glob(f"{self._name}*"))

    def say(self, word: str) -> None:
        """Let the job go on."""
        (self.folder / word).touch()

    def view(self, cell: Locator | None = None) -> Locator:
        """The part of the page that shows the run."""
        return (cell or self.cell).locator(".aml-view")

    @property
    def log(self) -> str:
        """The log as it is on disk, every line in its last state, without colours."""
        text = (self.run / LOG).read_bytes().decode()
        lines = [line[line.rfind("\r") + 1 :] for line in text.removesuffix("\n").split("\n")]
        return re.sub(r"\x1b\[\d*m", "", "\n".join(lines))

    @property
    def points(self) -> list[list[float]]:
        """The finite points of the loss, as they are on disk."""
        feed = MetricFeed(self.run / "metrics")
        while feed.poll(final=True):
            pass
        (line,) = feed.lines("loss")
        found = line.points("step", 10_000)
        good = found.y == found.y
        return [found.x[good].tolist(), found.y[good].tolist()]


def state_in(view: Locator) -> Locator:
    """Where the view says how the run is."""
    return view.get_by_role("region", name=re.compile("^Run ")).get_by_role("status").first


def log_in(view: Locator) -> str:
    """The text of the log in the page."""
    lines = view.get_by_role("log", name="Log").locator(".aml-v-line")
    return "\n".join(lines.evaluate_all("nodes => nodes.map(node => node.textContent)"))


def points_in(view: Locator) -> list[list[float]]:
    """The finite points that the first chart in the page draws."""
    curve = view.locator(".aml-charts .bqplot .curve").first
    drawn = curve.evaluate("node => node.__data__.values.map(point => [point.x, point.y])")
    finite = [(x, y) for x, y in drawn if y is not None and y == y]
    return [[x for x, _ in finite], [y for _, y in finite]]


def be(page: Page, state: str) -> None:
    """Let the page believe that its tab is visible, or hidden behind another."""
    page.evaluate(
        """state => {
            const property = {get: () => state, configurable: true};
            Object.defineProperty(document, 'visibilityState', property);
            document.dispatchEvent(new Event('visibilitychange'));
        }""",
        state,
    )


def drawn_in(view: Locator) -> str | None:
    """The path of the first line as it is on the screen."""
    return view.locator(".aml-charts .bqplot path.line").first.get_attribute("d")


def tell(page: Page, lab: Lab, name: str) -> Iterator[Story]:
    page.set_viewport_size({"width": 1280, "height": 1300})
    story = Story(page, lab, name.split("[")[0].removeprefix("test_")[:20])
    yield story
    story.say("more")
    story.say("end")


@pytest.fixture
def story(page: Page, lab: Lab, request: pytest.FixtureRequest) -> Iterator[Story]:
    """In JupyterLab."""
    yield from tell(page, lab, request.node.name)


@pytest.fixture
def story_in_either(page: Page, either: Lab, request: pytest.FixtureRequest) -> Iterator[Story]:
    """In JupyterLab, and then in Notebook 7."""
    yield from tell(page, either, request.node.name)


def test_what_the_page_shows_is_what_is_on_disk_through_reload_restart_and_end(
    story_in_either: Story, page: Page, screenshot: Callable[[str], None]
) -> None:
    story = story_in_either
    view = story.view()
    expect(state_in(view)).to_have_text("Running")
    expect(view.get_by_role("heading", name="the story")).to_be_visible()
    expect(view.get_by_role("progressbar")).to_be_visible()
    expect(view).to_contain_text("50/100")
    expect(view).to_contain_text("about 2 min")
    until(lambda: log_in(view) == story.log)
    until(lambda: points_in(view) == story.points)
    assert len(story.points[0]) == 149
    screenshot(f"live-1-running-{story.folder.name}")

    save_notebook(page)
    page.reload()
    view = story.view()
    expect(state_in(view)).to_have_text("Running", timeout=60_000)
    story.say("more")
    until(lambda: log_in(view) == story.log and "more 49" in story.log)
    until(lambda: points_in(view) == story.points and len(story.points[0]) == 199)

    restart_kernel(page)
    settled(run_cell(page, LOAD))
    attached = settled(run_cell(page, ATTACH))
    view = story.view(attached)
    expect(state_in(view)).to_have_text("Running")
    until(lambda: log_in(view) == story.log)
    until(lambda: points_in(view) == story.points)
    story.say("end")
    expect(state_in(view)).to_have_text("Completed")
    expect(view.get_by_role("button", name="Cancel")).to_be_hidden()
    until(lambda: log_in(view) == story.log)
    screenshot(f"live-2-attached-{story.folder.name}")

    page.wait_for_timeout(1500)
    save_notebook(page)
    page.reload()
    expect(state_in(view)).to_have_text("Completed", timeout=60_000)
    view.get_by_role("tab", name="Facts").click()
    expect(view.get_by_text("submitted by")).to_be_visible()


def test_a_job_is_cancelled_from_its_view_and_run_again(story: Story, page: Page) -> None:
    view = story.view()
    expect(state_in(view)).to_have_text("Running")
    view.get_by_role("button", name="Cancel").click()
    expect(state_in(view)).to_have_text("Canceled", timeout=30_000)
    story.say("more")
    story.say("end")
    view.get_by_role("button", name="Run again").click()
    expect(view.get_by_role("button", name=re.compile("back to"))).to_be_visible()
    expect(state_in(view)).to_have_text("Completed", timeout=30_000)
    expect(view.get_by_role("log", name="Log")).to_contain_text("more 49")
    view.get_by_role("button", name=re.compile("back to")).click()
    expect(state_in(view)).to_have_text("Canceled")


def test_the_log_is_searched_the_files_are_read_and_the_facts_changed(
    story: Story, page: Page, screenshot: Callable[[str], None]
) -> None:
    view = story.view()
    view.get_by_role("tab", name="Log").click()
    search = view.get_by_role("searchbox")
    search.fill("EPOCH 149")
    expect(view.locator(".aml-v-log-view")).to_contain_text("1 here")
    search.fill("")

    view.get_by_role("tab", name="System").click()
    expect(view.get_by_role("img", name=re.compile("Memory"))).to_be_visible(timeout=15_000)
    screenshot(f"live-3-system-{story.folder.name}")

    view.get_by_role("tab", name="Files").click()
    view.get_by_role("button", name=re.compile("70_driver_log.txt")).click()
    expect(view.get_by_text("epoch 148")).to_have_count(2)
    screenshot(f"live-4-files-{story.folder.name}")

    view.get_by_role("tab", name="Facts").click()
    view.get_by_placeholder("Name of the tag").fill("colour")
    view.get_by_placeholder("Value of the tag").fill("<b>red</b>")
    view.get_by_role("button", name="Add").click()
    expect(view.get_by_text("<b>red</b>")).to_be_visible()
    until(lambda: '"colour":"<b>red</b>"' in (story.run / "events.jsonl").read_text())
    screenshot(f"live-5-facts-{story.folder.name}")


def test_a_closer_look_at_a_chart_is_taken_and_given_up(story: Story, page: Page) -> None:
    view = story.view()
    chart = view.locator(".aml-charts .bqplot").first
    until(lambda: len(points_in(view)[0]) == 149)
    chart.scroll_into_view_if_needed()
    whole = drawn_in(view)
    box = chart.bounding_box()
    assert box is not None
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + 0.4 * box["width"], middle)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.6 * box["width"], middle, steps=5)
    page.mouse.up()
    everything = view.get_by_role("button", name="Show everything")
    expect(everything).to_be_visible()
    assert drawn_in(view) != whole
    everything.click()
    until(lambda: drawn_in(view) == whole)


def test_a_view_goes_on_whose_head_is_scrolled_out_of_sight(story: Story, page: Page) -> None:
    view = story.view()
    expect(state_in(view)).to_have_text("Running")
    page.set_viewport_size({"width": 1280, "height": 500})
    log = view.get_by_role("log", name="Log")
    log.evaluate("node => node.scrollIntoView({block: 'start'})")
    expect(view.get_by_role("heading", name="the story")).not_to_be_in_viewport()
    page.wait_for_timeout(4500)
    story.say("more")
    expect(log).to_contain_text("more 49")


def test_a_hidden_view_is_sent_nothing(story: Story, page: Page) -> None:
    frames: list[int] = []
    view = story.view()
    expect(state_in(view)).to_have_text("Running")
    page.wait_for_timeout(1000)

    def listen(socket: WebSocket) -> None:
        # Of what JupyterLab itself looks at, such as folders, the server tells as well.
        if "/api/events/" not in socket.url:
            socket.on("framereceived", lambda data: frames.append(len(data)))

    page.on("websocket", listen)
    save_notebook(page)
    page.reload()
    expect(state_in(story.view())).to_have_text("Running", timeout=60_000)
    be(page, "hidden")
    page.wait_for_timeout(5000)
    frames.clear()
    story.say("more")
    page.wait_for_timeout(3000)
    assert sum(frames) < 2000
    be(page, "visible")
    until(lambda: "more 49" in story.log and log_in(story.view()) == story.log)


def test_a_saved_view_is_a_card_with_the_last_state_when_there_is_no_kernel(
    story: Story, page: Page, lab: Lab, screenshot: Callable[[str], None]
) -> None:
    view = story.view()
    expect(state_in(view)).to_have_text("Running")
    story.say("more")
    story.say("end")
    expect(state_in(view)).to_have_text("Completed", timeout=30_000)
    page.wait_for_timeout(1500)
    save_notebook(page)
    saved = json.loads((lab.root / f"{story.folder.name}.ipynb").read_text())
    (shown,) = saved["cells"][1]["outputs"]
    assert "Completed" in "".join(shown["data"]["text/html"])
    assert "<svg" in "".join(shown["data"]["text/html"])
    assert len(json.dumps(shown)) < 100_000
    lab.stop_kernels()
    page.goto("about:blank")
    saved["metadata"] = {}
    name = f"{story.folder.name}-again.ipynb"
    (lab.root / name).write_text(json.dumps(saved))
    lab.trust(name)
    page.goto(lab.notebook_url(name))
    page.get_by_role("dialog").get_by_role("button", name="No Kernel").click()
    card = cell_with(page, "%%aml_run").get_by_role("article")
    expect(card.get_by_role("status")).to_have_text("Completed")
    expect(card.get_by_role("img", name=re.compile("loss"))).to_be_visible()
    expect(page.get_by_text("model not found")).to_have_count(0)
    screenshot(f"live-6-saved-{story.folder.name}")


def test_it_follows_the_dark_theme_and_narrow_windows(
    lab: Lab, page: Page, screenshot: Callable[[str], None]
) -> None:
    with lab.theme("JupyterLab Dark"):
        page.set_viewport_size({"width": 1600, "height": 1300})
        story = Story(page, lab, "dark")
        view = story.view()
        until(lambda: len(points_in(view)[0]) == 149)
        screenshot("live-7-dark")
        page.set_viewport_size({"width": 760, "height": 1300})
        page.wait_for_timeout(500)
        box, cell = view.bounding_box(), story.cell.bounding_box()
        assert box is not None
        assert cell is not None
        assert box["width"] <= cell["width"]
        assert view.evaluate("node => node.scrollWidth <= node.clientWidth")
        screenshot("live-8-narrow")
        story.say("more")
        story.say("end")


def test_what_a_job_says_is_text_and_never_markup(lab: Lab, page: Page) -> None:
    hostile: list[object] = json.loads(
        (Path(__file__).parents[1] / "data" / "hostile.json").read_text("utf-8")
    )
    texts = [str(text)[:300] for text in hostile]
    alerts: list[str] = []
    page.on("dialog", lambda dialog: (alerts.append(dialog.message), dialog.dismiss()))
    code = (
        "%%aml_run\nimport json\nfrom aml_jupyter import Run\nrun = Run.get_context()\n"
        f"for text in json.loads({json.dumps(json.dumps(texts))}):\n"
        "    name = text.replace('\\n', ' ') or 'empty'\n"
        "    run.log(name, 1.0); run.log(name, 2.0)\n"
        "    run.log_row(name + ' row', **{name: 1})\n"
        "    run.tag(name[:100], text)\n"
        "    print(text.encode('utf-8', 'replace').decode())\n"
        "    open('outputs/' + name.replace('/', '_').replace(chr(0), '')[:40], 'w')"
        ".write(text.encode('utf-8', 'replace').decode())\n"
    )
    lab.write_notebook("hostile.ipynb", [code_cell(LOAD), code_cell(code)], kernel=True)
    open_notebook(page, lab, "hostile.ipynb")
    settled(run_cell(page, LOAD))
    cell = settled(run_cell(page, "%%aml_run"))
    view = cell.locator(".aml-view")
    expect(state_in(view)).to_have_text("Completed", timeout=60_000)
    for tab in ("Log", "Files", "Facts", "Overview"):
        view.get_by_role("tab", name=tab).click()
        page.wait_for_timeout(1000)
        assert view.locator("script, iframe, object, embed, img[onerror], svg[onload]").count() == 0
    assert alerts == []
    assert page.evaluate("window.harmed") is None


def test_while_a_cell_is_busy_the_view_follows_and_the_job_can_be_cancelled(
    story: Story, page: Page
) -> None:
    view = story.view()
    expect(state_in(view)).to_have_text("Running")
    cell_with(page, "still here").locator(".cm-content").click()
    page.keyboard.press("Control+a")
    enough = str(story.folder / "enough")
    wait = f"import os, time\nwhile not os.path.exists({enough!r}):\n    time.sleep(0.1)"
    page.keyboard.insert_text(wait)
    busy = run_cell(page, "enough")
    prompt = busy.locator(".jp-InputArea-prompt").first
    expect(prompt).to_have_text("[*]:")
    try:
        story.say("more")
        until(lambda: "more 49" in story.log and log_in(view) == story.log)
        until(lambda: points_in(view) == story.points and len(story.points[0]) == 199)
        view.get_by_role("button", name="Cancel").click()
        expect(state_in(view)).to_have_text("Canceled", timeout=30_000)
        expect(prompt).to_have_text("[*]:")
    finally:
        story.say("enough")
    settled(busy)
