"""How much a browser loads of ours, beside what JupyterLab has and shares."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path

import aml_jupyter
from benchmarks.report import Row
from benchmarks.setting import Effort

_MOST = 250
_BUILT = Path(aml_jupyter.__file__).parent / "labextension" / "static"


def rows(effort: Effort) -> Iterator[Row]:
    """The scripts that were built for JupyterLab, style sheets and uPlot in them: as they lie on
    disk, and as a server sends them that compresses.
    """
    scripts = [path.read_bytes() for path in sorted(_BUILT.glob("*.js"))]
    size = sum(map(len, scripts)) / 1000
    packed = sum(len(gzip.compress(script)) for script in scripts) / 1000
    reach = f"≤ {_MOST} kB"
    yield _row("labextension without JupyterLab's shared packages", size, reach)
    yield _row("the same compressed", packed, reach)


def _row(name: str, size: float, reach: str) -> Row:
    return Row(name, size, "kB", reach, "most", _MOST, 0 < size <= _MOST)
