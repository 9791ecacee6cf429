"""Runs as rows of a list: ``RunRow`` of ``api.json``, with how far those are that go on."""

from __future__ import annotations

import math
import os
import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import AmlError
from ..job import beneath, layout, states
from ..spec import FAMILY_TYPE
from .places import Place

if TYPE_CHECKING:
    from ..store import RunSummary
    from ..watching.watch import Watch

Row = dict[str, Any]

_MOST_FOLLOWED = 500
_TAIL = 4096
_LAST_LINES = 20
_LONGEST = 1000
_MOST_NAMES = 1000

T = TypeVar("T")


class Rows:
    """Makes rows of the runs of one workspace; threads may share it."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._lock = threading.Lock()
        self._followed: OrderedDict[str, _Followed] = OrderedDict()

    def of(self, runs: Sequence[RunSummary]) -> list[Row]:
        """A row for each run, as it is now."""
        with self._lock:
            return [self._row(run) for run in runs]

    def progressed(self, besides: Iterable[str]) -> list[Row]:
        """Rows of runs that have only come further; those in ``besides`` are told already."""
        told = set(besides)
        with self._lock:
            waiting = [each for run_id, each in self._followed.items() if run_id not in told]
            return [each.row for each in waiting if each.look()]

    def forget(self, run_ids: Iterable[str]) -> None:
        """Let go of runs that are gone."""
        with self._lock:
            for run_id in run_ids:
                self._followed.pop(run_id, None)

    def _row(self, run: RunSummary) -> Row:
        row = _plain_row(run)
        if run.status in states.TERMINAL:
            self._followed.pop(run.id, None)
            return row
        followed = self._followed.get(run.id)
        if followed is None:
            followed = self._followed[run.id] = _Followed(self._place, run)
        followed.row = row
        followed.look()
        self._followed.move_to_end(run.id)
        while len(self._followed) > _MOST_FOLLOWED:
            self._followed.popitem(last=False)
        return row


class _Followed:
    """A run that goes on: how far it is by its own word, or why it waits."""

    def __init__(self, place: Place, run: RunSummary) -> None:
        self._place = place
        self._id = run.id
        self._folder = place.root / run.folder
        self._watch: Watch | None = None
        self._log: tuple[int, list[str]] = (-1, [])
        self._progress: Mapping[str, Any] | None = None
        self.row: Row = {}

    def look(self) -> bool:
        """Put into the row how far it is; whether it has come further."""
        found = self._look()
        self.row["progress"] = found
        if found == self._progress:
            return False
        self._progress = found
        return True

    def _look(self) -> Mapping[str, Any] | None:
        from ..watching.watch import Watch, turn_of

        try:
            if self.row.get("status") == states.QUEUED and not self.row.get("batch"):
                place = turn_of(self._id, self._folder)
                return asdict(place) if place else None
            if self._watch is None:
                self._watch = Watch(self._place.workspace.get_run(self._id))
            found = self._watch.look(self._last_lines()).progress
        except (AmlError, OSError):  # deleted in this moment: the next look will say so
            return None
        return asdict(found) if found else None

    def _last_lines(self) -> list[str]:
        """The end of its log, where a progress bar may be."""
        try:
            file = beneath.open_plain(str(self._folder), layout.DRIVER_LOG, os.O_RDONLY)
        except OSError:
            return []
        try:
            size = os.fstat(file).st_size
            if size != self._log[0]:
                data = os.pread(file, _TAIL, max(0, size - _TAIL))
                lines = data.decode("utf-8", "replace").replace("\r", "\n").split("\n")
                self._log = size, [line for line in lines if line.strip()][-_LAST_LINES:]
        finally:
            os.close(file)
        return self._log[1]


def _plain_row(run: RunSummary) -> Row:
    """What the index knows, within bounds: a job may log and tag whatever it likes."""
    return {
        "id": run.id,
        "name": (run.display_name or run.id)[:_LONGEST],
        "number": int(run.number or 0),
        "experiment": run.experiment or "",
        "status": run.status,
        "target": run.target or "local",
        "notebook": run.notebook,
        "parent": run.parent,
        "batch": run.type == FAMILY_TYPE,
        "created": _finite(run.created) or 0.0,
        "started": _finite(run.started),
        "ended": _finite(run.ended),
        "archived": run.archived,
        "tags": {name[:_LONGEST]: value and value[:_LONGEST] for name, value in _some(run.tags)},
        "metrics": {name[:_LONGEST]: _finite(value) for name, value in _some(run.metrics)},
        "progress": None,
    }


def _some(named: Mapping[str, T]) -> Iterable[tuple[str, T]]:
    return islice(named.items(), _MOST_NAMES)


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
