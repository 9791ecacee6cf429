"""What a browser asks about runs, and the answers: the wire's ``Asked`` and ``Told``."""

from __future__ import annotations

import math
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..errors import UserErrorException
from ..job import layout, states
from ..store.series import MetricFeed
from ..workspace.run import open_in
from . import log_window, run_files
from .child_table import RunTable, Table
from .failure import failure

if TYPE_CHECKING:
    from ..workspace import Run
    from .watch import Watch

Asked = Mapping[str, Any]


class Answer(NamedTuple):
    """An answer's kind, what it says, and bytes that go beside it."""

    kind: str
    content: Any
    buffer: bytes | None = None


_MOST_CANDIDATES = 200
_COLUMNS = 240

# Of each measurement: its unit, the chart that it shares, and what a reader must know.
_MACHINE = "counts the whole machine when the job runs in its network"
_SYSTEM: Mapping[str, tuple[str, str, str]] = {
    "cpu": ("%", "CPU", "100 % is one core"),
    "memory": ("B", "Memory", "resident, of all processes of the job"),
    "disk read": ("B/s", "Disk", ""),
    "disk written": ("B/s", "Disk", ""),
    "network received": ("B/s", "Network", _MACHINE),
    "network sent": ("B/s", "Network", _MACHINE),
    "processes": ("", "Processes", ""),
}


class Answers:
    """Answers about the runs of one view, the first of which leads."""

    def __init__(self, watches: Sequence[Watch]) -> None:
        self._watch = watches[0]
        self._runs = [watch.run for watch in watches]
        self._run = self._runs[0]
        self._system = MetricFeed(self._run.folder / layout.SYSTEM)
        self._table = RunTable(self._run)
        self._kinds: Mapping[str, Callable[[Asked], Answer]] = {
            "page": self._page,
            "find": self._matches,
            "files": lambda _: Answer("files", run_files.listing(self._run.folder)),
            "bytes": self._bytes,
            "facts": lambda _: self._facts(),
            "failure": lambda _: Answer("failure", failure(self._run)),
            "tag": self._tag,
            "system": lambda _: Answer("system", self._measurements()),
            "children": lambda _: Answer("children", self.child_table(at_once=False)),
            "compare": lambda _: Answer("compare", self.comparison()),
            "candidates": lambda _: Answer("candidates", self._candidates()),
            "folder": lambda _: Answer("said", self._folder()),
        }

    def answer(self, asked: Asked) -> Answer:
        """The answer; ``UserErrorException`` for what cannot be."""
        kind = str(asked.get("kind"))
        if kind not in self._kinds:
            raise UserErrorException(
                f"This kernel does not know what {kind!r} is.",
                "It has another version of aml_jupyter than the page: restart it.",
            )
        return self._kinds[kind](asked)

    def run(self, asked: Asked) -> Run:
        """The run that is asked for by its id."""
        found: Run = self._run.experiment.workspace.get_run(str(asked.get("run")))
        return found

    def log_name(self, asked: Asked) -> str:
        """The log that is asked for, if the run has it."""
        name = str(asked.get("file"))
        if name not in run_files.logs(self._run.folder):
            raise UserErrorException(f"The run has no log {name}.", "Choose one of the list.")
        return name

    # Log and files

    def _page(self, asked: Asked) -> Answer:
        name, at = self.log_name(asked), int(asked.get("at") or 0)
        before = asked.get("text") == "before"
        return Answer("page", log_window.page(self._run.folder, name, at, before))

    def _matches(self, asked: Asked) -> Answer:
        text = str(asked.get("text") or "")
        return Answer("matches", log_window.find(self._run.folder, self.log_name(asked), text))

    def _bytes(self, asked: Asked) -> Answer:
        path, start = str(asked.get("path")), int(asked.get("from") or 0)
        count = int(asked.get("count") or run_files.CHUNK)
        run = self.run(asked) if asked.get("run") else self._run
        has_ended = run.status in states.TERMINAL  # asked first: what comes later is not missed
        part = run_files.part(run.folder, path, start, count)
        about = {"size": part.size, "modified": part.modified, "ended": has_ended}
        token = str(asked.get("token") or "")
        return Answer("bytes", {"path": path, "from": start, "token": token, **about}, part.data)

    def _folder(self) -> str:
        """Show the folder in the desktop's file manager if there is a desktop; say where it is."""
        folder = str(self._run.folder)
        opener = "open" if sys.platform == "darwin" else "xdg-open"
        desktop = sys.platform == "darwin" or "DISPLAY" in os.environ
        if desktop and shutil.which(opener):
            quiet = subprocess.DEVNULL
            subprocess.Popen(
                [opener, folder], stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True
            )
        return folder

    # Facts

    def _facts(self) -> Answer:
        from ..workspace.facts import facts_of

        return Answer("facts", facts_of(self._run))

    def _tag(self, asked: Asked) -> Answer:
        name, value = str(asked.get("name") or "").strip(), asked.get("value")
        if not name:
            raise UserErrorException("A tag needs a name.", "Write one before its value.")
        if value is None:
            self._run.remove_tags([name])
        else:
            self._run.tag(name, str(value))
        return self._facts()

    def _measurements(self) -> list[dict[str, Any]]:
        """What the runner has measured of the job, as the wire's ``SystemSeries``."""
        self._system.poll()
        return [self._measurement(name, self._watch.started) for name in self._system.names]

    def _measurement(self, name: str, started: float | None) -> dict[str, Any]:
        lines = self._system.lines(name)
        begin = started if started is not None else min(line.first_time for line in lines)
        points = [line.points("time", _COLUMNS) for line in lines]
        x = np.concatenate([part.x for part in points])
        y = np.concatenate([part.y for part in points])
        unit, group, note = _SYSTEM.get(name) or _of_gpu(name)
        return {
            "name": name,
            "unit": unit,
            "group": group,
            "note": note,
            "x": [round(float(value) - begin, 3) for value in x],
            "y": [float(f"{value:.5g}") if math.isfinite(value) else None for value in y],
        }

    # Other runs

    def _candidates(self) -> list[dict[str, Any]]:
        place, shown = self._run.experiment.workspace, {run.id for run in self._runs}
        found = place.runs(limit=_MOST_CANDIDATES + len(shown))
        # Those of the same experiment first: they are what one compares with.
        found = sorted(found, key=lambda run: run.experiment != self._run.experiment.name)
        return [
            {
                "id": run.id,
                "name": run.display_name or run.id,
                "status": run.status,
                "started": run.started,
            }
            for run in found
            if run.id not in shown
        ]

    def comparison(self) -> str:
        """What differs between the runs, as HTML; empty for one run."""
        from ..workspace.comparison import compare

        return compare(self._runs)._repr_html_() if len(self._runs) > 1 else ""

    def children(self, most: int) -> list[Run]:
        """The youngest children of the leading run; of a batch those that have begun."""
        notebooks = self._watch.notebooks
        if notebooks is None:
            return list(islice(self._run.get_children(), most))
        begun = [row for row in notebooks.look() if row.started is not None and not row.earlier]
        begun.sort(key=lambda row: row.started or 0.0)
        return [open_in(self._run.experiment, row.folder) for row in begun[-most:] if row.folder]

    def child_table(self, at_once: bool = True) -> Table:
        """The children as the wire's ``ChildTable``; ``at_once`` as they are this very moment."""
        notebooks = self._watch.notebooks
        return notebooks.table(at_once) if notebooks else self._table.table()


def _of_gpu(name: str) -> tuple[str, str, str]:
    if name.endswith("load"):
        return "%", "GPU load", ""
    return "B", "GPU memory", ""
