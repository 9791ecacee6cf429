"""The quickstart as a person meets it: in JupyterLab, with a kernel that is restarted midway."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.ui.lab import Lab
from tests.ui.notebook_page import open_notebook, restart_kernel, run, run_cell, settled

QUICKSTART = Path(__file__).parents[2] / "notebooks" / "quickstart.ipynb"
EPOCHS = 150

pytestmark = [pytest.mark.ui, pytest.mark.service("chromium")]


def epochs_shown(view: Locator) -> int:
    """The last epoch that the log in a live view shows."""
    found = re.findall(r"epoch\s+(\d+)", view.inner_text())
    return int(found[-1]) if found else -1


def curve(view: Locator) -> str:
    """The path of the loss curve as drawn now."""
    return view.locator("svg path.line").first.get_attribute("d") or ""


def test_a_run_is_watched_live_and_outlives_its_kernel(
    lab: Lab, page: Page, screenshot: Callable[[str], None]
) -> None:
    shutil.copy(QUICKSTART, lab.root / QUICKSTART.name)
    page.set_viewport_size({"width": 1280, "height": 1400})
    open_notebook(page, lab, QUICKSTART.name)

    settled(run_cell(page, "%load_ext aml_jupyter"))
    settled(run_cell(page, "def noisy_line"))
    live = settled(run_cell(page, "%%aml_run --as training"))
    expect(live).to_contain_text("Running")
    expect(live).to_contain_text("epoch  10", timeout=20_000)
    seen, drawn = epochs_shown(live), curve(live)
    page.wait_for_timeout(1500)
    assert epochs_shown(live) > seen
    assert curve(live) != drawn
    screenshot("quickstart-1-live")

    answer = settled(run_cell(page, "training.get_status()"))
    expect(answer).to_contain_text("Running")

    restart_kernel(page)
    cells = page.locator(".jp-Cell", has=page.locator(".jp-InputArea", has_text="%load_ext"))
    settled(run(cells.nth(1)))
    attached = settled(run_cell(page, "%aml_attach --as training"))
    expect(attached).to_contain_text("epoch   0")
    screenshot("quickstart-2-attached")

    checked = settled(run_cell(page, "Nothing is missing"))
    expect(checked).to_contain_text("Completed", timeout=30_000)
    expect(attached).to_contain_text("Completed")
    assert epochs_shown(attached) == EPOCHS - 1
    screenshot("quickstart-3-completed")

    settled(run_cell(page, "mkdir(exist_ok=True)"))
    settled(run_cell(page, "%%writefile"))
    folder = settled(run_cell(page, "RunDetails(run).show()"))
    expect(folder).to_contain_text("Completed", timeout=30_000)
    waited = settled(run_cell(page, "show_output=True"))
    expect(waited).to_contain_text("minimum found at")
    screenshot("quickstart-4-folder")

    listed = settled(run_cell(page, "%aml_runs"))
    expect(listed).to_contain_text("a line, fitted")
    screenshot("quickstart-5-runs")
