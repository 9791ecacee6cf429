"""What a person does with a notebook in a browser; the same in JupyterLab and in Notebook 7."""

from __future__ import annotations

import re
from pathlib import Path

from playwright.sync_api import Locator, Page, expect

from tests.ui.lab import Lab

_START_LIMIT = 30_000


def open_notebook(page: Page, lab: Lab, name: str) -> None:
    """Open a notebook and wait until its kernel is idle."""
    page.goto(lab.notebook_url(name))
    try:
        wait_until_idle(page)
    except AssertionError:
        # A JupyterLab that was slow to start may forget to start the kernel that is named.
        page.reload()
        wait_until_idle(page)


def open_without_kernel(page: Page, lab: Lab, name: str) -> None:
    """Open a notebook that names no kernel, and choose none."""
    page.goto(lab.notebook_url(name))
    page.get_by_role("dialog").get_by_role("button", name="No Kernel").click()


def wait_until_idle(page: Page) -> None:
    """Wait until there is a kernel and it has nothing to do."""
    name = page.locator(".jp-Toolbar-kernelName")
    expect(name).to_have_text(re.compile("Python 3"), timeout=_START_LIMIT)
    indicator = page.locator(".jp-Notebook-ExecutionIndicator")
    expect(indicator).to_have_attribute("data-status", "idle", timeout=_START_LIMIT)


def cell_with(page: Page, text: str) -> Locator:
    """The first cell whose code contains `text`."""
    return page.locator(".jp-Cell", has=page.locator(".jp-InputArea", has_text=text)).first


def run_cell(page: Page, text: str) -> Locator:
    """Run the first cell whose code contains `text`, and return it once the kernel took it."""
    return run(cell_with(page, text))


def run(cell: Locator) -> Locator:
    """Run a cell, and return it once the kernel took it."""
    editor = cell.locator(".cm-content")
    editor.click()
    expect(editor).to_be_focused()
    cell.page.keyboard.press("Control+Enter")
    expect(_prompt(cell)).to_have_text(re.compile(r"\[(\*|\d+)\]:"))
    return cell


def settled(cell: Locator) -> Locator:
    """The cell once it is no longer busy."""
    expect(_prompt(cell)).to_have_text(re.compile(r"\[\d+\]:"), timeout=30_000)
    return cell


def restart_kernel(page: Page) -> None:
    """Restart the kernel from the menu, and wait until it is idle again."""
    _kernel_menu(page, "^Restart Kernel…")
    page.get_by_role("button", name="Confirm Kernel Restart").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    wait_until_idle(page)


def shut_down_kernel(page: Page) -> None:
    """Shut the kernel down from the menu."""
    _kernel_menu(page, "^Shut Down Kernel")


def save_notebook(page: Page) -> None:
    """Save the notebook from the keyboard, and wait until it is on disk."""
    with page.expect_response(
        lambda answer: answer.request.method == "PUT" and "/api/contents/" in answer.url
    ):
        page.keyboard.press("Control+s")


def connect_to_kernel_of(page: Page, name: str) -> None:
    """Leave the notebook's kernel for that of another notebook."""
    page.locator(".jp-Toolbar-kernelName").click()
    dialog = page.get_by_role("dialog")
    choice = dialog.locator("option", has_text=name).first.get_attribute("value")
    dialog.locator("select").first.select_option(value=choice)
    dialog.get_by_role("button", name=re.compile("Select")).click()
    wait_until_idle(page)


def asks_to_open(page: Page, path: Path | str, line: int) -> bool:
    """Say that a link to a file was clicked in a live view; True if somebody opens it."""
    return not page.evaluate(
        """detail => window.dispatchEvent(
            new CustomEvent('aml:open-file', {detail, cancelable: true}))""",
        {"path": str(path), "line": line},
    )


def _kernel_menu(page: Page, item: str) -> None:
    page.get_by_role("menuitem", name="Kernel", exact=True).click()
    page.get_by_role("menuitem", name=re.compile(item)).click()


def _prompt(cell: Locator) -> Locator:
    return cell.locator(".jp-InputArea-prompt").first
