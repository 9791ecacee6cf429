"""A JupyterLab and a browser of a benchmark's own, and what a page can be asked to measure."""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from playwright.sync_api import (
    Browser,
    Locator,
    Page,
    Response,
    ViewportSize,
    WebSocket,
    expect,
)

from aml_jupyter import Experiment, Run
from tests.services.chromium import SHELL, WHOLE, running
from tests.ui.lab import Lab, running_lab

LINE = ".aml-view .aml-charts path.line"
"""The drawn line of a chart in a live view."""

MEASURING = Path(__file__).with_name("browser.js").read_text()
"""Put into every page: what it measures of itself."""

SIZE = ViewportSize(width=1280, height=900)
_EXECUTED = re.compile(r"\[\d+\]:")
_BEGIN = """\
import os
from pathlib import Path
from aml_jupyter import RunDetails, Workspace
runs = Workspace.from_config({project!r}).get_run
Path("kernel.pid").write_text(str(os.getpid()))
"""
_END_KERNELS = """async () => {
  const token = document.cookie.match(/_xsrf=([^;]*)/)?.[1] ?? '';
  const options = { method: 'DELETE', headers: { 'X-XSRFToken': token } };
  for (const { id } of await (await fetch('/api/sessions')).json()) {
    await fetch(`/api/sessions/${id}`, options);
  }
}"""


def showing(*shown: Run) -> str:
    """The code of a cell that shows these runs, each in a view of its own."""
    return "\n".join(f"RunDetails(runs({run.id!r})).show()" for run in shown)


@dataclass
class Traffic:
    """What came from a kernel over its websocket."""

    seconds: float = 0.0
    bytes: int = 0
    binary: list[int] = field(default_factory=list)
    """The sizes of the messages with binary data, such as the points of a chart."""

    @property
    def kilobytes_a_second(self) -> float:
        """How much came on average."""
        return self.bytes / 1000 / self.seconds


class Notebook:
    """A notebook in a page of its own, with a kernel that has imported what cells need."""

    def __init__(self, page: Page, file: Path) -> None:
        self.page, self.file = page, file
        self._counted: Traffic | None = None
        self._debugger = page.context.new_cdp_session(page)
        self._debugger.send("Performance.enable")
        page.on("websocket", self._listen)

    # Cells

    def run(self, number: int) -> None:
        """Run a cell, and return once it has been executed."""
        prompt, before = self._at(number)
        self.page.keyboard.press("Control+Enter")
        expect(prompt).not_to_have_text(before)
        expect(prompt).to_have_text(_EXECUTED, timeout=60_000)

    def seconds_until(self, selector: str, number: int) -> float:
        """Run a cell; seconds from pressing the keys until what it brings along was painted."""
        self._at(number)
        self.page.evaluate("selector => bench.seek(selector)", selector)
        self.page.keyboard.press("Control+Enter")
        return self.seconds_sought()

    def seconds_sought(self) -> float:
        """Seconds that the page's last search took; see ``bench.seek``."""
        return float(self.page.evaluate("bench.found.then(found => found - bench.sought)")) / 1000

    def saved(self) -> int:
        """The size of the file, saved now."""
        with self.page.expect_response(_is_save):
            self.page.keyboard.press("Control+s")
        return self.file.stat().st_size

    def _at(self, number: int) -> tuple[Locator, str]:
        """The prompt of a cell whose editor has the focus now, and its text."""
        cell = self.page.locator(".jp-Notebook .jp-CodeCell").nth(number)
        cell.locator(".cm-content").first.click()
        prompt = cell.locator(".jp-InputArea-prompt").first
        return prompt, prompt.inner_text()

    # Measuring

    @property
    def kernel(self) -> psutil.Process:
        """The process of the kernel."""
        return psutil.Process(int(self.file.with_name("kernel.pid").read_text()))

    def kernel_load(self, seconds: float) -> float:
        """Percent of a core that the kernel needs while nothing is done but to wait."""
        kernel, began = self.kernel, time.monotonic()
        before = kernel.cpu_times()
        self.wait(seconds)
        after = kernel.cpu_times()
        used = after.user + after.system - before.user - before.system
        # What differs by less than a tick of the clock is rounding.
        return max(0.0, round(100 * used / (time.monotonic() - began), 3))

    def wait(self, seconds: float) -> None:
        """Let the page go on."""
        self.page.wait_for_timeout(1000 * seconds)

    @contextlib.contextmanager
    def traffic(self) -> Iterator[Traffic]:
        """What comes from the kernel during a ``with`` block."""
        # An answer of the page means that all messages before it have been counted.
        self.page.evaluate("0")
        found, began = Traffic(), time.monotonic()
        self._counted = found
        yield found
        self.page.evaluate("0")
        self._counted, found.seconds = None, time.monotonic() - began

    def heap(self) -> float:
        """MB that the page's scripts hold, without garbage."""
        self._debugger.send("HeapProfiler.collectGarbage")
        figures = self._debugger.send("Performance.getMetrics")["metrics"]
        return next(float(one["value"]) for one in figures if one["name"] == "JSHeapUsedSize") / 1e6

    def _listen(self, socket: WebSocket) -> None:
        if "/channels" in socket.url:
            socket.on("framereceived", self._count)

    def _count(self, frame: str | bytes) -> None:
        if self._counted is None:
            return
        self._counted.bytes += len(frame)
        # A frame begins with the number of its offsets: six where there is no binary part.
        if isinstance(frame, bytes) and int.from_bytes(frame[:8], "little") > 6:
            self._counted.binary.append(len(frame))


class Jupyter:
    """A JupyterLab with a browser."""

    def __init__(self, lab: Lab, browser: Browser, project: Path) -> None:
        self._lab, self._project = lab, project
        # One for all pages, so that JupyterLab itself is loaded but once.
        self._context = browser.new_context(viewport=SIZE, locale="en-GB")
        self._context.set_default_timeout(30_000)
        self._context.add_init_script(MEASURING)
        self._opened = 0

    @contextlib.contextmanager
    def notebook(self, *cells: str) -> Iterator[Notebook]:
        """A notebook of these cells, the first being number 1; its kernel ends with it."""
        self._opened += 1
        name = f"bench{self._opened}.ipynb"
        sources = [_BEGIN.format(project=str(self._project)), *cells]
        file = self._lab.root / name
        file.write_text(json.dumps(_notebook_of(sources)))
        page = self._context.new_page()
        notebook = Notebook(page, file)
        page.goto(self._lab.notebook_url(name))
        expect(page.get_by_text("Python 3 (ipykernel) | Idle")).to_be_visible(timeout=60_000)
        notebook.run(0)
        try:
            yield notebook
        finally:
            page.evaluate(_END_KERNELS)
            page.close()


def _is_save(response: Response) -> bool:
    return response.request.method == "PUT" and "/api/contents/" in response.url


def _notebook_of(sources: Sequence[str]) -> dict[str, object]:
    cells: list[dict[str, object]] = [
        {
            "cell_type": "code",
            "id": f"cell-{number}",
            "execution_count": None,
            "metadata": {},
            "source": source,
            "outputs": [],
        }
        for number, source in enumerate(sources)
    ]
    kernel = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
    metadata = {"kernelspec": kernel}
    return {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def chromium() -> contextlib.AbstractContextManager[Browser]:
    """A headless Chromium, with all of it that people use, where there is one."""
    return running(WHOLE, SHELL)


@contextlib.contextmanager
def jupyter(place: Experiment) -> Iterator[Jupyter]:
    """A JupyterLab whose notebooks find the runs of ``place``, and a headless Chromium."""
    project = place.workspace.folder.project
    with running_lab(project.parent / "lab") as lab, chromium() as browser:
        yield Jupyter(lab, browser, project)
