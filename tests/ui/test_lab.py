"""Runs where one works in JupyterLab: files, notebooks, cells, lists of what is running."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.ui.lab import Lab, code_cell
from tests.ui.notebook_page import cell_with, open_notebook, run_cell, settled

pytestmark = [pytest.mark.ui, pytest.mark.service("chromium")]

SCRIPT = """\
import sys, time
print("given", sys.argv[1:], flush=True)
time.sleep(float(sys.argv[1]))
"""
CELL = """\
import time
time.sleep(0.5)
print("from the cell")
"""
WRECK = """\
%%aml_run --name wreck
depth = 3

print("sailing")
depth / 0
"""
Shot = Callable[[str], None]
SOON = 30_000


def submit_from_file_browser(page: Page, name: str) -> Locator:
    """Choose the item of the file's menu, and return the form."""
    page.locator(".jp-DirListing-item", has_text=name).click(button="right")
    page.get_by_role("menuitem", name="Submit as Run…").click()
    form = page.get_by_role("dialog", name=f"Submit {name} as a run")
    expect(form.get_by_role("textbox", name="Arguments")).to_be_focused()
    return form


def palette(page: Page, text: str) -> Locator:
    """The command in the palette, once it was typed."""
    page.keyboard.press("Control+Shift+c")
    search = page.locator(".lm-CommandPalette-input, jp-search input").last
    search.fill(text)
    return page.locator(".lm-CommandPalette-item", has_text=text).first


def choose(page: Page, run: str) -> None:
    """Choose a run of those that a command offers."""
    page.get_by_role("listbox", name="Recent runs").select_option(value=run)
    page.get_by_role("dialog").get_by_role("button", name="Choose").click()


def panel(page: Page, name: str) -> Locator:
    """What is shown in the main area under the tab with that very name."""
    return page.get_by_role("main").get_by_role("tabpanel", name=name, exact=True)


def toast(page: Page, words: str | re.Pattern[str]) -> Locator:
    return page.locator(".Toastify__toast", has_text=words).first


def test_a_script_is_submitted_by_a_form_watched_and_cancelled(
    lab: Lab, page: Page, screenshot: Shot
) -> None:
    (lab.root / "wait.py").write_text(textwrap.dedent(SCRIPT))
    page.goto(f"{lab.url}/lab/workspaces/submit/tree/wait.py?reset")
    form = submit_from_file_browser(page, "wait.py")

    # By the keyboard alone, with a mistake first: it is said while one types.
    page.keyboard.type("60 'open")
    wrong = form.get_by_text("close the quotation mark")
    expect(wrong).to_be_visible()
    arguments = form.get_by_role("textbox", name="Arguments")
    expect(arguments).to_have_attribute("aria-invalid", "true")
    page.keyboard.press("End")
    for _ in range(6):
        page.keyboard.press("Backspace")
    expect(wrong).to_have_count(0)
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    expect(form.get_by_role("textbox", name="Name")).to_be_focused()
    page.keyboard.type("a long wait")
    page.keyboard.press("Tab")
    page.keyboard.type("moon")
    page.keyboard.press("Enter")
    expect(form.get_by_role("combobox", name="Target")).to_be_focused()
    expect(form.get_by_text("Target with name moon not found")).to_be_visible()
    screenshot("lab-1-form-error")
    page.keyboard.press("Control+a")
    page.keyboard.press("Delete")
    form.get_by_role("button", name="Preview").click()
    expect(form.get_by_role("region", name="What would be done")).to_contain_text("wait.py 60")
    screenshot("lab-2-form-plan")
    arguments.focus()
    page.keyboard.press("Enter")
    expect(form).to_have_count(0)
    expect(toast(page, "a long wait was submitted.")).to_be_visible()

    status = page.get_by_role("button", name=re.compile("Runs: 1 running"))
    expect(status).to_be_visible()
    page.get_by_role("tab", name="Running Terminals and Kernels").click()
    item = (
        page.get_by_role("treeitem", name=re.compile("a long wait"))
        .or_(page.locator(".jp-RunningSessions-item", has_text="a long wait"))
        .first
    )
    expect(item).to_be_visible()
    screenshot("lab-3-running")
    item.hover()
    item.locator(".jp-RunningSessions-itemShutdown").click()
    expect(item).to_have_count(0)
    expect(status).to_have_count(0)

    # What was submitted is there again.
    page.get_by_role("tab", name=re.compile("File Browser")).click()
    again = submit_from_file_browser(page, "wait.py")
    expect(again.get_by_role("textbox", name="Name")).to_have_value("a long wait")
    page.keyboard.press("Escape")
    expect(again).to_have_count(0)


def test_a_cell_becomes_a_run_whose_mark_opens_it(lab: Lab, page: Page, screenshot: Shot) -> None:
    lab.write_notebook("marked.ipynb", [code_cell("x = 1"), code_cell(CELL)], kernel=True)
    chosen = lab.folder / "settings" / "aml-jupyter" / "panel.jupyterlab-settings"
    chosen.parent.mkdir(parents=True)
    chosen.write_text(json.dumps({"notifyAfter": 0}))
    open_notebook(page, lab, "marked.ipynb")
    chosen.unlink()
    cell_with(page, "from the cell").locator(".cm-content").click()
    page.get_by_role("button", name=re.compile("Run this cell as a run")).first.click()

    cell = cell_with(page, "%%aml_run")
    expect(cell).to_contain_text("Completed", timeout=30_000)
    mark = cell.get_by_role("button", name=re.compile(r"Run marked_\S+: Completed. Open its page."))
    expect(mark).to_be_visible()
    ended = toast(page, re.compile(r"marked_\S+ completed after"))
    expect(ended).to_be_visible()
    screenshot("lab-4-mark")
    run = re.search(r"marked_\w+", ended.inner_text())[0]  # type: ignore[index]

    mark.click()
    tab = page.get_by_role("main").get_by_role("tab", name=re.compile("marked_"))
    expect(tab.first).to_be_visible()
    palette(page, "Reveal Cell of Run").click()
    choose(page, run)
    expect(page.locator(".jp-Cell.aml-mod-revealed")).to_contain_text("from the cell")

    offered = palette(page, "Delete Run…")
    screenshot("lab-5-palette")
    offered.click()
    choose(page, run)
    sure = page.get_by_role("dialog").filter(has_text="Delete this run?")
    expect(sure).to_contain_text(run)
    expect(sure).to_contain_text("cannot be undone")
    screenshot("lab-6-delete")
    sure.get_by_role("button", name="Cancel").click()
    assert (lab.root / ".aml" / "runs" / run).is_dir()
    palette(page, "Delete Run…").click()
    choose(page, run)
    sure.get_by_role("button", name="Delete for good").click()
    expect(toast(page, "was deleted")).to_be_visible()
    assert not (lab.root / ".aml" / "runs" / run).exists()


def test_a_cell_that_failed_is_attached_from_its_row_and_its_error_leads_back_to_it(
    lab: Lab, page: Page, screenshot: Shot
) -> None:
    load = "%load_ext aml_jupyter"
    cells = [load, WRECK, "rest = 1" + 8 * "\n"]
    lab.write_notebook("wreck.ipynb", [code_cell(text) for text in cells], kernel=True)
    lab.write_notebook("calm.ipynb", [code_cell("calm = 1\n\n\n\n\n")])
    open_notebook(page, lab, "wreck.ipynb")
    notebook = panel(page, "wreck.ipynb")
    run_cell(page, load)
    expect(run_cell(page, "sailing")).to_contain_text("Failed", timeout=SOON)

    # A cell that shows the run is put below the one that is active, and executed.
    page.get_by_role("tab", name=re.compile("^Runs")).click()
    row = page.get_by_role("treeitem", name=re.compile("^wreck, Failed")).first
    row.click(button="right")
    page.get_by_role("menuitem", name="Attach Run in Notebook").click()
    attached = settled(cell_with(page, "%aml_attach"))
    expect(attached).to_contain_text(re.compile("%aml_attach wreck_"))
    view = attached.get_by_role("region", name=re.compile("^Run wreck"))
    expect(view).to_contain_text("ZeroDivisionError", timeout=SOON)
    expect(notebook.locator(".jp-CodeCell")).to_have_count(4)
    screenshot("lab-7-attached")

    # From the page of the run to the line of the cell, whichever notebook one was in last.
    page.get_by_role("tab", name=re.compile("^File Browser")).click()
    page.get_by_role("listitem", name=re.compile("calm.ipynb")).dblclick()
    page.get_by_role("dialog").get_by_role("button", name="No Kernel").click()
    calm = panel(page, "calm.ipynb")
    calm.get_by_role("textbox").first.click()
    page.get_by_role("tab", name=re.compile("^Runs")).click()
    row.dblclick()
    where = panel(page, "wreck").get_by_role("region", name="Where it failed")
    expect(where.locator("[aria-current]")).to_contain_text("depth / 0")
    screenshot("lab-8-error")
    where.get_by_role("link").click()
    failed = notebook.locator(".jp-Cell.jp-mod-active")
    expect(failed).to_contain_text("sailing")
    expect(failed.get_by_role("textbox")).to_be_focused()
    expect(page.get_by_role("button", name="Ln 5, Col 1")).to_be_visible()
    screenshot("lab-9-line")

    # To no other cell once that one is gone.
    for key in ("Escape", "d", "d"):
        page.keyboard.press(key)
    expect(notebook.locator(".jp-CodeCell")).to_have_count(3)
    rest = cell_with(page, "rest = 1").get_by_role("textbox")
    rest.click(position={"x": 5, "y": 5})
    expect(page.get_by_role("button", name="Ln 1, Col 1")).to_be_visible()
    page.get_by_role("main").get_by_role("tab", name="wreck", exact=True).click()
    where.get_by_role("link").click()
    expect(toast(page, "The cell is no longer in wreck.ipynb")).to_be_visible()
    expect(page.get_by_role("button", name="Ln 1, Col 1")).to_be_visible()
    expect(rest).not_to_be_focused()
    lab.stop_kernels()
