"""The sidebar of runs in JupyterLab: what changes shows at once, however one looks for it."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, expect

from aml_jupyter import Workspace
from aml_jupyter.job import events, layout
from aml_jupyter.job.run import Run
from aml_jupyter.store import WorkspaceFolder
from tests.ui.lab import Lab, code_cell
from tests.ui.notebook_page import run_cell, wait_until_idle

pytestmark = [pytest.mark.ui, pytest.mark.service("chromium")]

Shot = Callable[[str], None]
SHIPS = 150
LOAD = "%load_ext aml_jupyter"
SUNK = {
    "format": 1,
    "id": "sunk_1",
    "experiment": "sail",
    "number": 999,
    "created": 1.8e9,
    "display_name": "sunk",
    "target": "local",
}
VOYAGE = """\
%%aml_run --name {name}
import os, time
from aml_jupyter import Run
run = Run.get_context()
while not os.path.exists({gate!r}):
    time.sleep(0.1)
run.log("knots", 3.5)
"""


@pytest.fixture(scope="module")
def harbour(lab: Lab) -> WorkspaceFolder:
    """A project below the server's root with many runs; the root has a workspace as well."""
    if WorkspaceFolder.find(lab.root) is None:
        WorkspaceFolder.create(lab.root)
    project = lab.root / "harbour"
    project.mkdir()
    folder = WorkspaceFolder.create(project)
    for number in range(SHIPS):
        add_ship(folder, number)
    # Who opens a workspace notes where it is, by which a server that runs already finds it at once.
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AML_HOME", str(lab.folder / "aml"))
        Workspace.find(project)
    return folder


def add_ship(folder: WorkspaceFolder, number: int) -> None:
    """A run that has ended; the higher its number, the later it was made."""
    made = 1.7e9 + 100 * number
    request = {
        "format": 1,
        "id": f"ship_{number}",
        "experiment": ("sail", "steam", "oars")[number % 3],
        "number": number + 1,
        "created": made,
        "display_name": f"ship {number}",
        "target": "local",
        "tags": {"best": None} if number % 50 == 0 else {},
    }
    run = folder.new_run(request)
    ended = "Failed" if number % 10 == 7 else "Completed"
    say(Run(str(run)), "Running", made + 1)
    say(Run(str(run)), ended, made + 61)
    if number % 5 == 0:
        Run(str(run)).log("depth", number / 100)


def say(run: Run, state: str, at: float | None = None) -> None:
    """Let a run be in a state from then on."""
    line = json.dumps({"t": time.time() if at is None else at, "e": "state", "state": state})
    events.append_line(os.path.join(run._folder, layout.EVENTS), f"{line}\n".encode())


@pytest.fixture
def tree(lab: Lab, harbour: WorkspaceFolder, page: Page) -> Locator:
    """The list of the runs of that project, in a fresh workspace of JupyterLab."""
    page.goto(f"{lab.url}/lab/workspaces/panel/tree/harbour?reset")
    # It takes the focus when it comes.
    page.get_by_role("heading", name="Notebook").wait_for()
    show_panel(page)
    page.get_by_role("combobox", name="Workspace").select_option(label="harbour (harbour)")
    found = page.get_by_role("tree", name="Runs")
    expect(found.get_by_role("treeitem").first).to_be_visible()
    return found


def show_panel(page: Page) -> None:
    page.get_by_role("tab", name=re.compile("^Runs")).click()


def row(tree: Locator, number: int) -> Locator:
    """The row at a place of the whole list; the first has number 1."""
    return tree.locator(f'[role="treeitem"][aria-posinset="{number}"]')


def named(tree: Locator, words: str) -> Locator:
    return tree.get_by_role("treeitem", name=re.compile(f"^{words}"))


def total(page: Page, count: int) -> None:
    """The number beside the heading of the section."""
    expect(page.get_by_role("button", name=re.compile(rf"^All runs\s*{count}$"))).to_be_visible()


def filter_line(page: Page) -> Locator:
    return page.get_by_role("combobox", name="Filter runs")


def test_runs_of_a_notebook_appear_move_and_end_though_the_server_is_restarted(
    lab: Lab, harbour: WorkspaceFolder, page: Page, tree: Locator, screenshot: Shot
) -> None:
    gates = {name: harbour.project / f"{name}.gate" for name in ("first", "second", "third")}
    cells = [VOYAGE.format(name=name, gate=str(gate)) for name, gate in gates.items()]
    lab.write_notebook("harbour/log.ipynb", [code_cell(LOAD), *map(code_cell, cells)], kernel=True)
    page.get_by_role("tab", name=re.compile("File Browser")).click()
    page.locator(".jp-DirListing-item", has_text="log.ipynb").dblclick()
    wait_until_idle(page)
    show_panel(page)
    run_cell(page, LOAD)
    tab = page.get_by_role("tab", name=re.compile("^Runs"))

    run_cell(page, "--name first")
    expect(row(tree, 1)).to_have_accessible_name(re.compile("first, Running"), timeout=20_000)
    total(page, SHIPS + 1)
    run_cell(page, "--name second")
    expect(row(tree, 1)).to_have_accessible_name(re.compile("second, Running"), timeout=20_000)
    expect(tab).to_have_accessible_name(re.compile("2 running"))
    screenshot("panel-1-running")

    # The one that ends makes way for the one that goes on; what has the focus keeps it.
    row(tree, 1).focus()
    gates["second"].touch()
    expect(row(tree, 2)).to_have_accessible_name(
        re.compile("second, Completed, .* took"), timeout=20_000
    )
    expect(row(tree, 2)).to_be_focused()
    expect(row(tree, 1)).to_have_accessible_name(re.compile("first, Running"))
    expect(tab).to_have_accessible_name(re.compile("1 running"))

    lab.stop()
    expect(page.get_by_text("Not connected; trying again")).to_be_visible()
    gates["first"].touch()
    add_ship(harbour, 1001)
    lab.start()
    expect(named(tree, "first, Completed")).to_be_visible(timeout=40_000)
    expect(page.get_by_text("Not connected; trying again")).to_have_count(0)
    total(page, SHIPS + 3)


def test_the_list_is_filtered_sorted_and_grouped_by_the_keyboard_and_is_kept(
    lab: Lab, page: Page, tree: Locator, screenshot: Shot
) -> None:
    line = filter_line(page)
    line.focus()
    page.keyboard.type("metr")
    expect(page.get_by_role("option", name="metric.")).to_be_visible()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.get_by_role("option", name="metric.depth")).to_be_visible()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.keyboard.type("<0.2")
    expect(line).to_have_value("metric.depth<0.2")
    total(page, 4)
    page.keyboard.type(" ship tag:best")
    total(page, 1)
    expect(row(tree, 1)).to_have_accessible_name(re.compile("ship 0, Completed, .*depth 0"))
    page.keyboard.type(" metric.depth>x")
    expect(page.get_by_text("In the filter, metric.depth>x")).to_be_visible()
    screenshot("panel-2-error")
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    expect(line).to_have_value("")

    page.get_by_role("combobox", name="Sort by").select_option(label="depth")
    expect(row(tree, 1)).to_have_accessible_name(re.compile("^ship 0,"))
    page.get_by_role("button", name="Ascending order").press("Enter")
    deepest = 5 * ((SHIPS - 1) // 5)
    expect(row(tree, 1)).to_have_accessible_name(re.compile(f"ship {deepest},.*depth 1.45"))

    last = row(tree, 1).get_attribute("aria-setsize") or ""
    row(tree, 1).focus()
    page.keyboard.press("End")
    expect(row(tree, int(last))).to_be_focused()
    page.keyboard.press("Home")
    page.keyboard.press("Space")
    page.keyboard.press("Shift+ArrowDown")
    picked = page.get_by_role("toolbar", name="Selected runs")
    expect(picked).to_contain_text("2 selected")
    expect(picked.get_by_role("button", name="Compare")).to_be_visible()
    page.keyboard.press("Escape")
    expect(picked).to_have_count(0)
    page.keyboard.press("Shift+F10")
    menu = page.locator(".aml-Menu")
    for entry in ("Open Run", "Run Again", "Copy Id", "Compare", "Archive", "Delete"):
        expect(menu.get_by_role("menuitem", name=re.compile(f"^{entry}")).first).to_be_visible()
    expect(menu.get_by_role("menuitem", name=re.compile("^Cancel"))).to_have_count(0)
    screenshot("panel-3-menu")
    page.keyboard.press("Escape")

    page.get_by_role("combobox", name="Group by").select_option(label="Experiment")
    steam = tree.get_by_role("treeitem", name=re.compile("^steam"))
    expect(steam).to_have_attribute("aria-level", "1")
    expect(steam).to_have_attribute("aria-expanded", "false")
    line.fill("state:failed")
    total(page, SHIPS // 10)
    expect(steam).to_have_accessible_name("steam, 5 runs, 5 failed")
    steam.press("ArrowLeft")
    expect(steam).to_have_attribute("aria-expanded", "false")

    # All of it is there again after a reload; and it can be read in the dark.
    with lab.theme("JupyterLab Dark"):
        page.wait_for_timeout(1000)
        page.reload()
        expect(steam).to_be_visible(timeout=30_000)
    expect(line).to_have_value("state:failed")
    expect(steam).to_have_attribute("aria-expanded", "false")
    expect(page.get_by_role("combobox", name="Sort by")).to_have_value("metric.depth")
    total(page, SHIPS // 10)
    screenshot("panel-4-dark")


def test_a_filter_that_is_being_typed_is_told_what_is_wrong_and_is_no_error_of_the_page(
    page: Page, tree: Locator, complaints: list[str], screenshot: Shot
) -> None:
    complaints.clear()
    line = filter_line(page)
    line.focus()
    page.keyboard.type("metric.")
    wrong = page.get_by_role("status").filter(has_text="In the filter, metric.: it names no metric")
    expect(wrong).to_be_visible()
    expect(line).to_have_accessible_description(re.compile("it names no metric"))
    expect(line).to_have_attribute("aria-invalid", "true")
    page.keyboard.type("depth<")
    expect(line).to_have_accessible_description(re.compile("In the filter, metric.depth<: "))
    screenshot("panel-5-typed")
    page.keyboard.type("0.2")
    total(page, 4)
    expect(line).to_have_accessible_description("")
    expect(line).to_have_attribute("aria-invalid", "false")
    page.get_by_role("combobox", name="Group by").select_option(label="Experiment")
    expect(named(tree, "steam")).to_be_visible()
    page.keyboard.press("Escape")
    line.fill("state:")
    expect(line).to_have_accessible_description(re.compile("In the filter, state:"))
    line.fill("state:failed")
    total(page, SHIPS // 10)
    assert complaints == []


def test_a_panel_that_is_hidden_asks_nothing_and_its_tab_tells_what_failed(
    harbour: WorkspaceFolder, page: Page, tree: Locator
) -> None:
    asked: list[str] = []
    page.get_by_role("tab", name=re.compile("File Browser")).click()
    expect(tree).to_have_count(0)
    page.wait_for_timeout(500)
    page.on("request", lambda request: asked.append(request.url))
    run = Run(str(harbour.new_run(SUNK)))
    say(run, "Running")
    tab = page.get_by_role("tab", name=re.compile("^Runs"))
    expect(tab).to_have_accessible_name(re.compile("1 running"))
    # Longer than sections wait that ask now and then.
    page.wait_for_timeout(5000)
    assert [url for url in asked if "/aml/" in url] == []
    say(run, "Failed")
    expect(tab).to_have_accessible_name("Runs · 1 failed since you looked")

    # What has changed meanwhile is told, and not asked for again; now it was seen.
    tab.click()
    expect(named(tree, "sunk, Failed")).to_be_visible()
    assert [url for url in asked if "/aml/api/runs" in url] == []
    expect(tab).to_have_accessible_name("Runs")
