"""A headless Chromium of this machine: Playwright brings none along here, and must fetch none."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser

SHELL = "chromium-headless-shell"
"""Chromium without windows of its own, which takes a fifth less of a processor."""

WHOLE = "chromium"
"""What people use."""

HOW = "Debian: apt-get install chromium-headless-shell; elsewhere put a `chromium` on PATH"

_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def is_here() -> bool:
    """Whether there is one."""
    return any(map(shutil.which, (SHELL, WHOLE)))


@contextlib.contextmanager
def running(*programs: str) -> Iterator[Browser]:
    """The first of these programs that is there, running."""
    from playwright.sync_api import sync_playwright  # a tenth of a second for every test process

    found = next(filter(None, map(shutil.which, programs)), None)
    if found is None:
        raise RuntimeError(f"There is no Chromium; {HOW}.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, headless=True, args=_FLAGS)
        try:
            yield browser
        finally:
            browser.close()
