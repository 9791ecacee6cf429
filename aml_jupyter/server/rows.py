"""Runs as rows of a list: ``RunRow`` of ``api.json``, with how far those are that go on."""

from __future__ import annotations

import math
import os
import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ..job import beneath, layout, states
from ..spec import FAMILY_TYPE
from .places import Place

if TYPE_CHECKING:
    from ..job.events import Facts
    from ..store import RunSummary
    from ..watching.progress_bar import Progress

Row = dict[str, Any]
Live = Mapping[str, "Facts | None"]
"""Runs that go on, with what their events add up to; None for those that only wait."""

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
        live = self._live()
        with self._lock:
            return [self._row(run, live) for run in runs]

    def progressed(self, besides: Iterable[str]) -> list[Row]:
        """Rows of runs that have only come further; those in ``besides`` are told already."""
        told, live = set(besides), self._live()
        with self._lock:
            waiting = [each for run_id, each in self._followed.items() if run_id not in told]
            return [each.row for each in waiting if each.look(live)]

    def forget(self, run_ids: Iterable[str]) -> None:
        """Let go of runs that are gone."""
        with self._lock:
            for run_id in run_ids:
                self._followed.pop(run_id, None)

    def _live(self) -> Live:
        return self._place.workspace.index.live()

    def _row(self, run: RunSummary, live: Live) -> Row:
        row = _plain_row(run)
        if run.status in states.TERMINAL:
            self._followed.pop(run.id, None)
            return row
        followed = self._followed.get(run.id)
        if followed is None:
            folder = self._place.root / run.folder
            followed = self._followed[run.id] = _Followed(run.id, folder)
        followed.row = row
        followed.look(live)
        self._followed.move_to_end(run.id)
        while len(self._followed) > _MOST_FOLLOWED:
            self._followed.popitem(last=False)
        return row


class _Followed:
    """A run that goes on: how far it is by its own word, or why it waits."""

    def __init__(self, run_id: str, folder: Path) -> None:
        self._id = run_id
        self._folder = folder
        self._log: tuple[int, list[str]] = (-1, [])
        self._progress: Mapping[str, Any] | None = None
        self.row: Row = {}

    def look(self, live: Live) -> bool:
        """Put into the row how far it is; whether it has come further."""
        found = self._said(live.get(self._id))
        progress = asdict(found) if found else None
        self.row["progress"] = progress
        if progress == self._progress:
            return False
        self._progress = progress
        return True

    def _said(self, facts: Facts | None) -> Progress | None:
        """By an event, by its place in the queue, or by a progress bar in its log."""
        from ..watching.progress_bar import progress_in
        from ..watching.watch import progress_by_events, turn_of

        if facts is None:
            return turn_of(self._id, self._folder)
        found = progress_by_events(facts)
        if found is None and facts.status == states.RUNNING:
            found = progress_in(self._last_lines())
        return found

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
