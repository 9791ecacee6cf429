"""What a click on a file in a traceback opens in JupyterLab."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.ui.lab import Lab
from tests.ui.notebook_page import asks_to_open, open_without_kernel

pytestmark = [pytest.mark.ui, pytest.mark.service("chromium")]


@pytest.fixture
def opened(lab: Lab, page: Page) -> Page:
    """JupyterLab with some notebook, and a folder with code."""
    (lab.root / "pkg" / ".hidden").mkdir(parents=True, exist_ok=True)
    code = "".join(f"line_{n} = {n}\n" for n in range(1, 301))
    (lab.root / "pkg" / "train it.py").write_text(code, "utf-8")
    lab.write_notebook("traceback.ipynb", [])
    open_without_kernel(page, lab, "traceback.ipynb")
    return page


def test_a_file_that_the_server_shows_is_opened_at_its_line(lab: Lab, opened: Page) -> None:
    assert asks_to_open(opened, lab.root / "pkg" / "train it.py", 217)
    expect(opened.get_by_role("tab", name="train it.py")).to_be_visible()
    expect(opened.get_by_role("button", name="Ln 217, Col 1")).to_be_visible()
    expect(opened.locator(".cm-line", has_text="line_217 = 217")).to_be_visible()
    assert asks_to_open(opened, lab.root / "pkg" / "train it.py", 3)
    expect(opened.get_by_role("button", name="Ln 3, Col 1")).to_be_visible()


def test_files_that_the_server_does_not_show_are_left_to_the_view(lab: Lab, opened: Page) -> None:
    outside = ["/usr/lib/python3/os.py", f"{lab.root}-beside/a.py", "pkg/train it.py", ""]
    hidden = [lab.root / "pkg" / ".hidden" / "a.py", lab.root / "pkg" / ".." / ".." / "a.py"]
    for path in [*outside, *map(str, hidden), str(lab.root)]:
        assert not asks_to_open(opened, path, 1), path
