"""A batch of notebooks as a reader meets it in JupyterLab, with notebooks that are executed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import Locator, Page, expect

from tests.ui.lab import Lab, code_cell
from tests.ui.notebook_page import (
    cell_with,
    open_notebook,
    restart_kernel,
    run_cell,
    save_notebook,
    settled,
)

pytestmark = [pytest.mark.ui, pytest.mark.service("chromium"), pytest.mark.timeout(240)]

LOAD = "%load_ext aml_jupyter"
ATTACH = "%aml_attach"
SOON = 30_000

THREE = "-p alpha 0.1,2.0,0.3 --parallel 2"

TRAIN = """
import os, time
from aml_jupyter import Run

run = Run.get_context()
for step in range(4):
    run.log("loss", alpha / (step + 1))
    print("step", step, "<b>of 4</b>")
while not os.path.exists(f"{signs}/train-{alpha}"):
    time.sleep(0.02)
"""
CHECK = """
while not os.path.exists(f"{signs}/check-{alpha}"):
    time.sleep(0.02)
assert alpha < 1, f"alpha is {alpha}"
run.log("score", 1 - alpha)
"""


def write_report(path: Path) -> None:
    """Write a notebook that waits for words in its two sections."""
    v4 = nbformat.v4
    cells = [
        v4.new_markdown_cell("# Report"),
        v4.new_code_cell('alpha = 0.5\nsigns = ""', metadata={"tags": ["parameters"]}),
        v4.new_markdown_cell("## Train"),
        v4.new_code_cell(TRAIN),
        v4.new_markdown_cell("## Check"),
        v4.new_code_cell(CHECK),
    ]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}), path)


class Story:
    """A notebook that starts a batch, of three two at a time, and a reader who watches it."""

    def __init__(self, page: Page, lab: Lab, name: str, options: str = THREE) -> None:
        self.page = page
        self.folder = lab.root / name
        self.folder.mkdir()
        write_report(self.folder / "report.ipynb")
        batch = f"%aml_batch {name}/report.ipynb -e {name} {options}"
        cells = [LOAD, f"{batch} -p signs {self.folder}", ATTACH]
        lab.write_notebook(f"{name}.ipynb", [code_cell(text) for text in cells], kernel=True)
        open_notebook(page, lab, f"{name}.ipynb")
        settled(run_cell(page, LOAD))
        self.cell = settled(run_cell(page, "%aml_batch"))
        self.view = self.cell.locator(".aml-view")

    def say(self, *words: str) -> None:
        """Let notebooks go on."""
        for word in words:
            (self.folder / word).touch()

    def row(self, name: str, view: Locator | None = None) -> Locator:
        """The line of a notebook."""
        return (view or self.view).get_by_role("row", name=re.compile(re.escape(name)))

    @property
    def head(self) -> Locator:
        """What stands above the table."""
        return self.view.get_by_role("region", name=re.compile("^Run "))


WORDS = [f"{word}-{alpha}" for word in ("train", "check") for alpha in (0.1, 2.0, 0.3)]


@pytest.fixture(autouse=True)
def _nothing_is_left(lab: Lab) -> Iterator[None]:
    yield
    for folder in lab.root.glob("*/report.ipynb"):
        for word in WORDS:
            (folder.parent / word).touch()
    lab.stop_kernels()


def test_the_table_moves_while_notebooks_are_executed(
    lab: Lab, page: Page, screenshot: Callable[[str], None]
) -> None:
    story = Story(page, lab, "moving")
    expect(story.row("alpha=0.3")).to_contain_text(re.compile("Queued|Not started"), timeout=SOON)
    first = story.row("alpha=0.1")
    expect(first).to_contain_text("cell 3 of 4 · Train", timeout=SOON)
    screenshot("batch-running")
    story.say("train-0.1")
    expect(first).to_contain_text("cell 4 of 4 · Check", timeout=SOON)
    story.say("check-0.1", "train-2.0", "check-2.0")
    expect(first).to_contain_text("Completed", timeout=SOON)
    failed = story.row("alpha=2")
    expect(failed).to_contain_text("AssertionError: alpha is 2.0", timeout=SOON)
    expect(story.head).to_contain_text("2 of 3 done")
    screenshot("batch-failed")
    story.say("train-0.3", "check-0.3")
    expect(story.head.get_by_role("status").first).to_have_text("Failed", timeout=SOON)
    expect(story.view.get_by_role("group", name="State")).to_contain_text("Completed 2")
    screenshot("batch-ended")


def test_a_notebook_that_is_executed_is_opened_in_the_middle_and_grows(
    lab: Lab, page: Page, screenshot: Callable[[str], None]
) -> None:
    story = Story(page, lab, "opened")
    row = story.row("alpha=0.1")
    expect(row).to_contain_text("cell 3 of 4 · Train", timeout=SOON)
    row.get_by_role("button", name="Open the executed notebook").click()
    tab = page.locator(".aml-Executed").first
    expect(tab).to_contain_text("as far as it has come")
    expect(tab.get_by_role("heading", name="Train")).to_be_visible()
    expect(tab).to_contain_text("step 3 <b>of 4</b>")
    screenshot("batch-growing")
    story.say("train-0.1", "check-0.1")
    expect(tab).to_contain_text("as it ended", timeout=SOON)
    story.row("alpha=2").get_by_role("button", name="Open the executed notebook").click()
    story.say("train-2.0", "check-2.0")
    expect(page.get_by_role("tab", name="alpha=2")).to_be_visible()
    failed = page.locator(".aml-Executed:visible")
    expect(failed).to_contain_text("AssertionError", timeout=SOON)
    expect(failed).to_contain_text("An Exception was encountered")
    screenshot("batch-failed-notebook")
    story.say("train-0.3", "check-0.3")


def test_a_batch_is_cancelled_and_goes_on_with_the_rest(
    lab: Lab, page: Page, screenshot: Callable[[str], None]
) -> None:
    story = Story(page, lab, "resumed")
    story.say("train-0.1", "check-0.1")
    expect(story.row("alpha=0.1")).to_contain_text("Completed", timeout=SOON)
    story.head.get_by_role("button", name="Cancel").click()
    state = story.head.get_by_role("status").first
    expect(state).to_have_text("Canceled", timeout=SOON)
    expect(story.row("alpha=0.3")).to_contain_text("Canceled")
    story.say("train-2.0", "check-2.0", "train-0.3", "check-0.3")
    story.head.get_by_role("button", name="Go on with the rest").click()
    expect(story.row("alpha=0.1")).to_contain_text("done by an earlier batch", timeout=SOON)
    expect(story.row("alpha=0.3")).to_contain_text("Completed", timeout=SOON)
    expect(story.row("alpha=2")).to_contain_text("AssertionError", timeout=SOON)
    screenshot("batch-resumed")
    story.head.get_by_role("button", name=re.compile("^← back")).click()
    expect(state).to_have_text("Canceled")
    story.row("alpha=0.1").get_by_role("button", name="alpha=0.1", exact=True).click()
    expect(story.head.get_by_role("heading", name="alpha=0.1")).to_be_visible()
    expect(story.head.get_by_role("button", name="Open notebook")).to_be_visible()
    expect(story.view.get_by_role("log", name="Log")).to_contain_text("step 3 <b>of 4</b>")
    screenshot("batch-child")


def test_a_batch_is_found_again_after_a_reload_and_a_restart(
    lab: Lab, page: Page, screenshot: Callable[[str], None]
) -> None:
    with lab.theme("JupyterLab Dark"):
        story = Story(page, lab, "found")
        expect(story.row("alpha=0.1")).to_contain_text("cell 3 of 4 · Train", timeout=SOON)
        save_notebook(page)
        page.reload()
        story.cell = cell_with(page, "%aml_batch")
        story.view = story.cell.locator(".aml-view")
        expect(story.row("alpha=0.1")).to_contain_text("cell 3 of 4 · Train", timeout=SOON)
        restart_kernel(page)
        story.say("train-0.1", "check-0.1", "train-2.0", "check-2.0")
        settled(run_cell(page, LOAD))
        again = settled(run_cell(page, ATTACH)).locator(".aml-view")
        expect(story.row("alpha=2", again)).to_contain_text("AssertionError", timeout=SOON)
        story.row("alpha=2", again).locator("summary").click()
        expect(story.row("alpha=2", again).locator("pre")).to_contain_text("below “Check”")
        screenshot("batch-dark")
        story.say("train-0.3", "check-0.3")
        expect(story.row("alpha=0.3", again)).to_contain_text("Completed", timeout=SOON)
        page.wait_for_timeout(2000)  # the notebook is given what it keeps
        save_notebook(page)
        page.goto("about:blank")
        lab.stop_kernels()
        open_notebook(page, lab, "found.ipynb")
        card = cell_with(page, ATTACH).get_by_role("article")
        expect(card.get_by_role("region", name="Notebooks")).to_contain_text("3 notebooks")
        expect(card.get_by_role("row", name=re.compile("alpha=0.3"))).to_contain_text("Completed")
        screenshot("batch-saved")


def test_a_long_batch_is_looked_through_by_state_and_page_by_page(
    lab: Lab, page: Page, screenshot: Callable[[str], None]
) -> None:
    story = Story(page, lab, "long", "-p alpha 1..150 --parallel 2")
    rows = story.view.locator("tbody tr")
    pages = story.view.get_by_role("group", name="Page")
    expect(pages).to_contain_text("1 to 100 of 150", timeout=SOON)
    expect(rows).to_have_count(100)
    pages.get_by_role("button", name="Next page").click()
    expect(pages).to_contain_text("101 to 150 of 150")
    expect(story.row("alpha=150")).to_be_visible()
    states = story.view.get_by_role("group", name="State")
    states.get_by_role("button", name="Running 2").click()
    expect(rows).to_have_count(2)
    expect(story.row("alpha=1 ")).to_contain_text("cell 3 of 4", timeout=SOON)
    screenshot("batch-long")
    story.head.get_by_role("button", name="Cancel").click()
    expect(states).to_contain_text("Canceled 150", timeout=SOON)
