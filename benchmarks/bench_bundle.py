"""How much a browser loads of ours, beside what JupyterLab has and shares."""

from __future__ import annotations

import gzip
import tempfile
from collections.abc import Iterator
from pathlib import Path

import aml_jupyter
from benchmarks.browser import chromium
from benchmarks.report import Row
from benchmarks.setting import Effort
from tests.ui.lab import running_lab

_MOST = 250
_BUILT = Path(aml_jupyter.__file__).parent / "labextension" / "static"
_OURS = "/extensions/aml-jupyter/static/"


def rows(effort: Effort) -> Iterator[Row]:
    """The scripts that were built for JupyterLab, style sheets and uPlot in them: those that a
    browser fetches when JupyterLab starts, and all there are, once a page of a run, a comparison
    and a form have been opened; as they lie on disk, and as a server sends them that compresses.
    """
    everything = {path.name: path.read_bytes() for path in sorted(_BUILT.glob("*.js"))}
    first = [everything[name] for name in _fetched_at_start()]
    reach = f"≤ {_MOST} kB"
    yield _row("labextension at JupyterLab's start", _size(first), reach)
    yield _row("labextension with all its pages", _size(list(everything.values())), reach)
    packed = _size([gzip.compress(script) for script in everything.values()])
    yield _row("labextension with all its pages, compressed", packed, reach)


def _fetched_at_start() -> list[str]:
    with (
        tempfile.TemporaryDirectory(prefix="aml-bench-") as folder,
        running_lab(Path(folder, "lab")) as lab,
        chromium() as browser,
    ):
        page = browser.new_page()
        fetched: list[str] = []
        page.on("request", lambda request: fetched.append(request.url.partition("?")[0]))
        page.goto(f"{lab.url}/lab")
        page.locator(".jp-Launcher-sectionTitle").first.wait_for()
        page.wait_for_load_state("networkidle")
    return [url.rpartition("/")[2] for url in fetched if _OURS in url and url.endswith(".js")]


def _size(scripts: list[bytes]) -> float:
    return sum(map(len, scripts)) / 1000


def _row(name: str, size: float, reach: str) -> Row:
    return Row(name, size, "kB", reach, "most", _MOST, 0 < size <= _MOST)
