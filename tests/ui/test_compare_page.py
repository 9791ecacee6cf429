"""Runs against each other on a page of JupyterLab: picked, told apart, copied, and there again."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from aml_jupyter import Experiment, Run, ScriptRunConfig, Workspace
from tests.support import finish, until
from tests.ui.lab import Lab, code_cell
from tests.ui.notebook_page import open_notebook, run_cell, settled, wait_until_idle

pytestmark = [pytest.mark.ui, pytest.mark.service("chromium")]

TRAIN = """\
import sys
from aml_jupyter import Run
run = Run.get_context()
for step in range(5):
    run.log("loss", float(sys.argv[2]) / (step + 1))
"""
Shot = Callable[[str], None]


def trained(to: Experiment, folder: Path, rate: str, text: str) -> Run:
    """A run of a script, with a learning rate, that goes on."""
    folder.mkdir()
    (folder / "train.py").write_text(text)
    words = ["--rate", rate, "--data", "digits"]
    return to.submit(ScriptRunConfig(str(folder), script="train.py", arguments=words))


@pytest.fixture
def pair(lab: Lab, tmp_path: Path) -> list[Run]:
    """Two runs of the folder that JupyterLab shows, which differ in a parameter and a line."""
    to = Experiment(Workspace.from_config(lab.root), tmp_path.name)
    texts = [TRAIN, TRAIN.replace("range(5)", "range(6)")]
    runs = [
        trained(to, tmp_path / name, rate, text)
        for name, rate, text in zip("ab", ["0.5", "0.25"], texts, strict=True)
    ]
    for run, name in zip(runs, ["slow", "quick"], strict=True):
        finish(run)
        run.display_name = name
    return runs


def picking(page: Page) -> Locator:
    """Open, by the keyboard alone, the dialog in which runs are picked."""
    page.keyboard.press("Control+Shift+c")
    page.locator(".lm-CommandPalette-input, jp-search input").last.fill("compare runs")
    page.locator(".lm-CommandPalette-item", has_text="Compare Runs…").first.click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("searchbox", name="Filter runs")).to_be_focused()
    return dialog


def row(page: Page, name: str) -> Locator:
    """A line of the table by its head."""
    head = page.get_by_role("rowheader", name=re.compile(f"^{name}"))
    return page.get_by_role("row").filter(has=head)


def saved(lab: Lab) -> str:
    """What JupyterLab has kept of its layouts."""
    files = (lab.folder / "workspaces").glob("*.jupyterlab-workspace")
    return "".join(file.read_text() for file in files).replace('": ', '":')


def test_runs_are_picked_told_apart_copied_into_a_notebook_and_there_again(
    lab: Lab, page: Page, pair: list[Run], complaints: list[str], screenshot: Shot
) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto(f"{lab.url}/lab/workspaces/compared?reset")
    page.get_by_role("tab", name="Launcher").wait_for()
    complaints.clear()

    dialog = picking(page)
    page.keyboard.type("state:")
    expect(dialog.get_by_role("alert")).not_to_be_empty()
    page.keyboard.press("Control+a")
    page.keyboard.type(f"experiment:{pair[0].experiment.name}")
    expect(dialog.get_by_role("checkbox")).to_have_count(2)
    assert complaints == []
    dialog.get_by_role("checkbox", name=re.compile("^slow")).check()
    dialog.get_by_role("button", name="Choose all 2").click()
    expect(dialog.get_by_text("2 chosen.")).to_be_visible()
    screenshot("compare-1-pick")
    dialog.get_by_role("button", name="Compare").click()

    # What differs, and what is best.
    expect(page.get_by_role("heading", name="2 runs compared")).to_be_visible()
    expect(page.get_by_role("columnheader", name=re.compile("slow"))).to_be_visible()
    expect(row(page, "rate")).to_contain_text("0.5")
    expect(row(page, "rate")).to_contain_text("0.25")
    expect(row(page, "data")).to_have_count(0)
    best = row(page, "loss").get_by_role("cell").filter(has=page.get_by_role("img", name="best"))
    expect(best).to_have_count(1)
    expect(best).to_contain_text("0.04167")
    page.get_by_role("button", name=re.compile("^loss: Less is better")).click()
    expect(best).to_contain_text("0.1")
    page.get_by_role("button", name="All", exact=True).click()
    expect(row(page, "data")).to_contain_text("digits")
    page.get_by_role("columnheader", name=re.compile("slow")).hover()
    page.get_by_role("button", name="Measure the others by slow").click()
    expect(row(page, "rate")).to_contain_text("−50.0 %")
    page.get_by_role("button", name="rate", exact=True).click()
    expect(page.get_by_role("rowheader", name=re.compile("^rate"))).to_have_attribute(
        "aria-sort", "ascending"
    )

    # The line that was changed, and the curves.
    diff = page.get_by_role("table", name="Changes of train.py")
    expect(diff).to_contain_text("range(5)")
    expect(diff).to_contain_text("range(6)")
    expect(page.locator(".aml-Plots canvas").first).to_be_visible()
    screenshot("compare-2-page")

    # There again after a reload, with what was chosen.
    until(lambda: f'"baseline":"{pair[0].id}"' in saved(lab))
    page.reload()
    expect(row(page, "rate")).to_contain_text("−50.0 %", timeout=30_000)
    expect(row(page, "data")).to_contain_text("digits")

    # The line that was copied shows the same runs in a notebook.
    page.get_by_role("button", name="Copy as %aml_compare").click()
    expect(page.get_by_text("Copied: paste it into a cell")).to_be_visible()
    line = page.evaluate("navigator.clipboard.readText()")
    assert {run.id for run in pair} == set(line.removeprefix("%aml_compare ").split())
    cells = [code_cell(f"%load_ext aml_jupyter\n{line}")]
    lab.write_notebook("compared.ipynb", cells, kernel=True)
    open_notebook(page, lab, "compared.ipynb")
    view = settled(run_cell(page, "%load_ext"))
    for name in ("slow", "quick"):
        expect(view.get_by_role("heading", name=name)).to_be_visible(timeout=60_000)
    lab.stop_kernels()


def test_runs_compared_are_shown_in_the_notebook_that_was_used_last(
    lab: Lab, page: Page, pair: list[Run], screenshot: Shot
) -> None:
    lab.write_notebook("used.ipynb", [code_cell("%load_ext aml_jupyter")], kernel=True)
    page.goto(f"{lab.url}/lab/workspaces/inserted?reset")
    page.get_by_role("tab", name="Launcher").wait_for()
    dialog = picking(page)
    page.keyboard.type(f"experiment:{pair[0].experiment.name}")
    dialog.get_by_role("button", name="Choose all 2").click()
    dialog.get_by_role("button", name="Compare").click()
    expect(page.get_by_role("heading", name="2 runs compared")).to_be_visible()
    insert = page.get_by_role("button", name="Insert in notebook")
    expect(insert).to_be_hidden()

    page.locator(".jp-DirListing-item", has_text="used.ipynb").dblclick()
    wait_until_idle(page)
    settled(run_cell(page, "%load_ext"))
    page.get_by_role("tab", name="Compare 2 runs").click()
    insert.click()
    view = page.locator(".jp-Notebook").get_by_role("heading", name=re.compile("slow|quick"))
    expect(view).to_have_count(2, timeout=60_000)
    cell = page.locator(".jp-Cell").filter(has_text="%aml_compare")
    for run in pair:
        expect(cell).to_contain_text(run.id)
    screenshot("compare-3-notebook")
    lab.stop_kernels()
