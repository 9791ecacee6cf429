"""The children of a run as the wire's ``ChildTable``: runs, or the notebooks of a batch."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..job import states
from ..store import Query, RunSummary
from ..workspace.batch_run import BatchRow, BatchRun
from ..workspace.batch_values import differing
from ..workspace.batch_watch import BatchWatch
from .markup import short, shown_number

if TYPE_CHECKING:
    from ..workspace import Run

Table = dict[str, Any]
"""The wire's ``ChildTable``."""

_MOST_RUNS = 500
_MOST_NOTEBOOKS = 2000
_BEFORE_RUNNING = 500
_STEP = 250
_MOST_METRIC_COLUMNS = 20
_LOOK_EVERY = 0.9
_SHARE = 25
"""Looking takes this part of a processor at most."""
_PICTURE_EVERY = 5.0


def changes(before: Table | None, now: Table) -> Table | None:
    """What has to be sent of a table to who has the one before; None if nothing."""
    if before is None or _frame(before) != _frame(now):
        return now
    pairs = zip(before["rows"], now["rows"], strict=True)
    rows = [row for old, row in pairs if old is not row and old != row]
    if not rows and before["picture"] == now["picture"]:
        return None
    return {**now, "rows": rows, "partial": True}


def _frame(table: Table) -> object:
    """All in a table but what its rows say."""
    return table["columns"], table["more"], [row["key"] for row in table["rows"]]


# Runs -----------------------------------------------------------------------------------------


class RunTable:
    """The children of a run, newest first."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._parameters: dict[str, Mapping[str, str]] = {}

    def table(self) -> Table:
        """All children as they are now."""
        query = Query(parent=self._run.id, limit=_MOST_RUNS + 1)
        found = list(self._run.experiment.workspace.find_runs(query))
        children = found[:_MOST_RUNS]
        given = [self._parameters_of(child) for child in children]
        parameters = _differing(given)
        metrics = _metric_names([child.metrics for child in children])
        rows = [
            _run_row(child, [values.get(name) for name in parameters], metrics)
            for child, values in zip(children, given, strict=True)
        ]
        picture = ""
        if parameters and metrics:
            cells = [row["cells"][: len(parameters) + 1] for row in rows]
            picture = _picture(parameters, metrics[0], cells, [row["name"] for row in rows])
        columns = [{"name": name, "kind": "parameter"} for name in parameters]
        more = len(found) - len(children)
        return _table("runs", [*columns, *_columns(metrics)], rows, more, picture)

    def _parameters_of(self, child: RunSummary) -> Mapping[str, str]:
        from ..workspace.facts import parameters_of

        known = self._parameters.get(child.id)
        if known is None:
            known = parameters_of(self._run.experiment.workspace.get_run(child.id))
            if child.ended is not None:  # until then it may log more of them
                self._parameters[child.id] = known
        # A child that its parent computes itself has no arguments, but may say by tags what it is.
        tags = {name: value for name, value in child.tags.items() if value is not None}
        return {**tags, **known}


def _differing(given: Sequence[Mapping[str, str]]) -> list[str]:
    names = dict.fromkeys(name for values in given for name in values)
    return [name for name in names if len({values.get(name) for values in given}) > 1]


def _run_row(
    child: RunSummary, parameters: Sequence[str | None], metrics: Sequence[str]
) -> dict[str, Any]:
    values = [child.metrics.get(name) for name in metrics]
    seconds = (child.ended or time.time()) - child.started if child.started else None
    return {
        "key": child.id,
        "id": child.id,
        "name": child.display_name or child.id,
        "status": child.status,
        "started": child.started,
        "seconds": seconds if child.ended else seconds and round(seconds),
        "cells": [*(value or "" for value in parameters), *map(_shown, values)],
        "numbers": [*map(_number, parameters), *map(_finite, values)],
        "progress": None,
        "error": "",
        "note": "",
        "notebook": "",
    }


# Notebooks ------------------------------------------------------------------------------------


class NotebookTable:
    """The notebooks of a batch, in order; looked at no more often than is cheap."""

    def __init__(self, batch: BatchRun) -> None:
        self._watch = BatchWatch(batch)
        self._rows: list[BatchRow] = []
        self._look_at = self._draw_at = 0.0
        self._drawn = ""
        self._wire: dict[str, tuple[BatchRow, tuple[str, ...], dict[str, Any]]] = {}
        self._varied = differing([member.parameters for member in batch.family.members])

    def look(self, at_once: bool = False) -> Sequence[BatchRow]:
        """The rows as they are, or were a moment ago."""
        begun = time.monotonic()
        if at_once or begun >= self._look_at:
            self._rows = self._watch.look()
            now = time.monotonic()
            self._look_at = now + max(_LOOK_EVERY, _SHARE * (now - begun))
        return self._rows

    @property
    def left(self) -> float | None:
        """Seconds until all is probably done, as of the last look."""
        return self._watch.left()

    @property
    def done(self) -> float:
        """How much of all is done, from 0 to 1, as of the last look."""
        parts = [1.0 if row.has_ended else row.part or 0.0 for row in self._rows]
        return sum(parts) / max(1, len(parts))

    def table(self, at_once: bool = False) -> Table:
        """The notebooks; of very many those around the ones that run."""
        rows = self.look(at_once)
        metrics = _metric_names([row.metrics for row in rows])
        window = _window(rows)
        shown = [self._row(row, tuple(metrics)) for row in window]
        picture = self._picture(rows, metrics, at_once)
        return _table("notebooks", _columns(metrics), shown, len(rows) - len(window), picture)

    def _row(self, row: BatchRow, metrics: tuple[str, ...]) -> dict[str, Any]:
        """The wire's ``ChildRow``; the same object as long as nothing has changed."""
        key = str(row.index)
        known = self._wire.get(key)
        if known is not None and known[0] is row and known[1] == metrics:
            return known[2]
        made = _notebook_row(row, metrics)
        self._wire[key] = (row, metrics, made)
        return made

    def _picture(self, rows: Sequence[BatchRow], metrics: Sequence[str], at_once: bool) -> str:
        now = time.monotonic()
        if now < self._draw_at and not at_once:
            return self._drawn
        self._draw_at = now + _PICTURE_EVERY
        done = [row for row in rows if metrics and metrics[0] in row.metrics]
        if len(self._varied) > 1 and len(done) > 1:
            cells = [
                [*(_text(row.parameters.get(n)) for n in self._varied), row.metrics[metrics[0]]]
                for row in done
            ]
            self._drawn = _picture(self._varied, metrics[0], cells, [row.name for row in done])
        return self._drawn


def _window(rows: Sequence[BatchRow]) -> Sequence[BatchRow]:
    if len(rows) <= _MOST_NOTEBOOKS:
        return rows
    first = next((row.index for row in rows if not row.has_ended), 0)
    # In steps: each time it moves, all of it is sent.
    start = max(0, first - _BEFORE_RUNNING) // _STEP * _STEP
    start = min(start, len(rows) - _MOST_NOTEBOOKS)
    return rows[start : start + _MOST_NOTEBOOKS]


def _notebook_row(row: BatchRow, metrics: Sequence[str]) -> dict[str, Any]:
    values = [row.metrics.get(name) for name in metrics]
    executed = row.executed
    place = executed.relative_to(row.folder).as_posix() if executed and row.folder else ""
    return {
        "key": str(row.index),
        "id": row.run_id,
        "name": row.name,
        "status": row.status,
        "started": row.started,
        "seconds": row.seconds if row.has_ended or row.seconds is None else round(row.seconds),
        "cells": [*map(_shown, values)],
        "numbers": [*map(_finite, values)],
        "progress": _progress(row),
        "error": row.error,
        "note": _note(row),
        "notebook": place,
    }


def _progress(row: BatchRow) -> dict[str, Any] | None:
    if row.has_ended or row.started is None:
        return None
    left = None if row.left is None else round(row.left)
    return {"text": row.cell, "done": row.part, "left": left}


def _note(row: BatchRow) -> str:
    if row.earlier:
        return "done by an earlier batch"
    return f"attempt {row.attempts}" if row.attempts > 1 else ""


# Shared ---------------------------------------------------------------------------------------


def counts(table: Mapping[str, Any]) -> str:
    """How many rows of a table are in which state: ``3 notebooks: 2 Completed, 1 Failed``."""
    rows = table["rows"]
    found: dict[str, int] = {}
    for row in sorted(rows, key=lambda row: row["status"] not in states.TERMINAL):
        found[row["status"]] = found.get(row["status"], 0) + 1
    what = str(table["of"]) if len(rows) != 1 else str(table["of"])[:-1]
    told = ", ".join(f"{count} {short(status, 20)}" for status, count in found.items())
    return f"{len(rows)} {what}: {told}" if rows else f"no {what}"


def _table(
    of: str,
    columns: Sequence[Mapping[str, str]],
    rows: Sequence[Mapping[str, Any]],
    more: int,
    picture: str,
) -> Table:
    return {
        "of": of,
        "columns": [*columns],
        "rows": [*rows],
        "more": more,
        "picture": picture,
        "partial": False,
    }


def _columns(metrics: Sequence[str]) -> list[dict[str, str]]:
    return [{"name": name, "kind": "metric"} for name in metrics]


def _metric_names(found: Sequence[Mapping[str, float]]) -> list[str]:
    names = dict.fromkeys(name for values in found for name in values)
    return list(names)[:_MOST_METRIC_COLUMNS]


def _picture(
    parameters: Sequence[str], metric: str, cells: Sequence[Sequence[object]], names: Sequence[str]
) -> str:
    from .pictures import parallel_coordinates

    return parallel_coordinates([*parameters, metric], cells, metric, names)


def _shown(value: float | None) -> str:
    return "" if value is None else shown_number(value)


def _text(value: object) -> object:
    return value if value is None or isinstance(value, (int, float, str)) else str(value)


def _number(text: str | None) -> float | None:
    try:
        return _finite(float(text)) if text else None
    except ValueError:
        return None


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
