"""What is Notebook 7's own: one document to a window. What it shares is in the other files."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.ui.lab import Lab, code_cell
from tests.ui.notebook_page import asks_to_open, open_without_kernel
from tests.ui.test_lab import toast
from tests.ui.test_run_card import bundle_of, completed_run

pytestmark = [pytest.mark.ui, pytest.mark.service("chromium")]


def test_a_strangers_run_is_drawn_without_a_kernel(notebook7: Lab, page: Page, screenshot) -> None:
    notebook7.write_notebook("card.ipynb", [code_cell("train()", [bundle_of(completed_run())])])
    open_without_kernel(page, notebook7, "card.ipynb")
    card = page.get_by_role("article", name="Run lively_lemur")
    expect(card.get_by_role("status")).to_have_text("Completed")
    expect(card.get_by_role("img")).to_have_count(3)
    screenshot("run-card-notebook7")


def test_a_file_in_a_traceback_is_opened_in_a_window_of_its_own(notebook7: Lab, page: Page) -> None:
    (notebook7.root / "train.py").write_text("learning_rate = 0.1\n", "utf-8")
    notebook7.write_notebook("traceback.ipynb", [])
    open_without_kernel(page, notebook7, "traceback.ipynb")
    with page.expect_popup() as popup:
        assert asks_to_open(page, notebook7.root / "train.py", 1)
    expect(popup.value.get_by_text("learning_rate")).to_be_visible()


def test_a_file_is_submitted_by_the_form_and_it_is_told_when_its_run_has_ended(
    notebook7: Lab, page: Page, screenshot
) -> None:
    gate = notebook7.root / "gate"
    text = (
        f"import os, time\nwhile not os.path.exists({str(gate)!r}):\n    time.sleep(0.1)\n1 / 0\n"
    )
    (notebook7.root / "sink.py").write_text(text)
    page.goto(f"{notebook7.url}/tree")
    page.locator(".jp-DirListing-item", has_text="sink.py").click(button="right")
    page.get_by_role("menuitem", name="Submit as Run…").click()
    form = page.get_by_role("dialog", name="Submit sink.py as a run")
    form.get_by_role("textbox", name="Name").fill("sinking")
    screenshot("notebook7-form")
    form.get_by_role("button", name="Submit").click()
    expect(toast(page, "sinking was submitted.")).to_be_visible()
    gate.touch()
    ended = toast(page, re.compile(r"sinking failed after .*ZeroDivisionError"))
    expect(ended).to_be_visible()
    # There is no room for the page of a run.
    expect(ended.get_by_role("button", name="Open")).to_have_count(0)
    screenshot("notebook7-ended")
