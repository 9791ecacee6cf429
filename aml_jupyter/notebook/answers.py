"""What a browser asks about runs, and the answers: the wire's ``Asked`` and ``Told``."""

from __future__ import annotations

import math
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..errors import UserErrorException
from ..job import layout
from ..store import Query, RunSummary
from ..store.series import MetricFeed
from . import log_window, run_files
from .markup import shown_number

if TYPE_CHECKING:
    from ..workspace import Run
    from .watch import Watch

Asked = Mapping[str, Any]


class Answer(NamedTuple):
    """An answer's kind, what it says, and bytes that go beside it."""

    kind: str
    content: Any
    buffer: bytes | None = None


_MOST_ROWS = 500
_MOST_METRIC_COLUMNS = 20
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
        self._parameters: dict[str, Mapping[str, str]] = {}
        self._kinds: Mapping[str, Callable[[Asked], Answer]] = {
            "page": self._page,
            "find": self._matches,
            "files": lambda _: Answer("files", run_files.listing(self._run.folder)),
            "bytes": self._bytes,
            "facts": lambda _: self._facts(),
            "tag": self._tag,
            "system": lambda _: Answer("system", self._measurements()),
            "children": lambda _: Answer("children", self.child_table()),
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
        data, size = run_files.part(self._run.folder, path, start, count)
        token = str(asked.get("token") or "")
        about = {"path": path, "from": start, "size": size, "token": token}
        return Answer("bytes", about, data)

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
        """The youngest children of the leading run."""
        return list(islice(self._run.get_children(), most))

    def child_table(self) -> dict[str, Any]:
        """All children as the wire's ``ChildTable``."""
        from .pictures import parallel_coordinates

        query = Query(parent=self._run.id, limit=_MOST_ROWS + 1)
        found = list(self._run.experiment.workspace.find_runs(query))
        children = found[:_MOST_ROWS]
        given = [self._parameters_of(child) for child in children]
        parameters = _differing(given)
        metrics = list(dict.fromkeys(name for child in children for name in child.metrics))
        metrics = metrics[:_MOST_METRIC_COLUMNS]
        rows = [
            _row(child, [values.get(name) for name in parameters], metrics)
            for child, values in zip(children, given, strict=True)
        ]
        columns = [{"name": name, "kind": "parameter"} for name in parameters]
        columns += [{"name": name, "kind": "metric"} for name in metrics]
        picture = ""
        if parameters and metrics:
            shown = [*parameters, metrics[0]]
            cells = [row["cells"][: len(shown)] for row in rows]
            picture = parallel_coordinates(shown, cells, metrics[0], [row["name"] for row in rows])
        return {
            "columns": columns,
            "rows": rows,
            "more": len(found) - len(children),
            "picture": picture,
        }

    def _parameters_of(self, child: RunSummary) -> Mapping[str, str]:
        from ..workspace.facts import parameters_of

        if child.id not in self._parameters:
            run = self._run.experiment.workspace.get_run(child.id)
            self._parameters[child.id] = parameters_of(run)
        # A child that its parent computes itself has no arguments, but may say by tags what it is.
        tags = {name: value for name, value in child.tags.items() if value is not None}
        return {**tags, **self._parameters[child.id]}


def _of_gpu(name: str) -> tuple[str, str, str]:
    if name.endswith("load"):
        return "%", "GPU load", ""
    return "B", "GPU memory", ""


def _differing(given: Sequence[Mapping[str, str]]) -> list[str]:
    names = dict.fromkeys(name for values in given for name in values)
    return [name for name in names if len({values.get(name) for values in given}) > 1]


def _row(
    child: RunSummary, parameters: Sequence[str | None], metrics: Sequence[str]
) -> dict[str, Any]:
    values = [child.metrics.get(name) for name in metrics]
    seconds = (child.ended or time.time()) - child.started if child.started else None
    return {
        "id": child.id,
        "name": child.display_name or child.id,
        "status": child.status,
        "started": child.started,
        "seconds": seconds if child.ended else seconds and round(seconds),
        "cells": [
            *(value or "" for value in parameters),
            *("" if value is None else shown_number(value) for value in values),
        ],
        "numbers": [*map(_number, parameters), *map(_finite, values)],
    }


def _number(text: str | None) -> float | None:
    try:
        return _finite(float(text)) if text else None
    except ValueError:
        return None


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
