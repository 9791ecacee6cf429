"""The runs of an index that had not ended, and what has become of them since the last look."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..job import layout, states
from ..job.events import Facts
from ..job.process import is_alive
from .following import NOTHING, Followed, Mark, mark_of
from .summary import RunSummary

_WAITS = frozenset({states.QUEUED, states.NOT_STARTED})
_OWNER_EVERY = 1.0


class LiveRuns:
    """Looks after runs that go on.

    What waits is one mark of a file each, for thousands may wait; the rest is followed.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._runs: dict[str, _LiveRun] = {}

    def replace(self, rows: Iterable[tuple[str, str, str, str]]) -> set[str]:
        """Let these be the runs that go on: id, folder, status and what was seen of each.

        Returns those that are no longer among them.
        """
        before, self._runs = self._runs, {}
        for run_id, folder, status, seen in rows:
            known = before.pop(run_id, None)
            self._runs[run_id] = known or _LiveRun(self._root / folder, status, seen)
        return set(before)

    def put(self, followed: Followed, folder: Path) -> None:
        """Take in how a run is now, which goes on if it has not ended."""
        run_id = str(followed.request["id"])
        if followed.facts.has_ended:
            self._runs.pop(run_id, None)
        else:
            self._runs[run_id] = _LiveRun(folder, followed.facts.status, None, followed)

    def drop(self, run_id: str) -> None:
        """Forget a run."""
        self._runs.pop(run_id, None)

    def look(self) -> tuple[set[str], set[str]]:
        """Those whose facts may be other, and those of which only numbers are."""
        other, moved = set(), set()
        for run_id, run in self._runs.items():
            if run.is_other():
                other.add(run_id)
            elif run.has_moved():
                moved.add(run_id)
        return other, moved

    def followed(self, run_id: str) -> Followed | None:
        """What is known of a run that is followed."""
        run = self._runs.get(run_id)
        return run.followed if run else None

    def keep(self, summary: RunSummary) -> RunSummary | None:
        """The summary with the newest numbers, for :meth:`shown`; None if it is not followed."""
        run = self._runs.get(summary.id)
        if run is None or run.followed is None:
            return None
        run.summary = replace(summary, metrics=run.followed.numbers.values)
        return run.summary

    def shown(self, run_id: str) -> RunSummary | None:
        """The summary of a run of which nothing but numbers is new since it was kept."""
        run = self._runs.get(run_id)
        if run is None or run.summary is None:
            return None
        return self.keep(run.summary)

    def facts(self) -> dict[str, Facts | None]:
        """All by id; the facts of those that are followed."""
        return {
            run_id: run.followed.facts if run.followed else None
            for run_id, run in self._runs.items()
        }


class _LiveRun:
    def __init__(
        self, folder: Path, status: str, seen: str | None, followed: Followed | None = None
    ) -> None:
        self._folder = folder
        self._events = os.path.join(folder, layout.EVENTS)
        self._request = os.path.join(folder, layout.REQUEST)
        self._mark: Mark | None = mark_of(self._events) if followed is None else followed.mark
        self._asked = time.monotonic()
        self.summary: RunSummary | None = None
        self.followed = None if status in _WAITS else followed
        if seen is not None and (status == states.RUNNING or fingerprint(folder) != seen):
            self._mark = None  # whatever was put in the index of it is old

    def is_other(self) -> bool:
        """Whether there is more of it than numbers that are new."""
        if self.followed is None:
            mark = mark_of(self._events)
            return mark != self._mark or (mark == NOTHING and not os.path.exists(self._request))
        is_other = self.followed.has_new_events() or self.followed.has_new_children()
        return is_other or self._is_abandoned(self.followed)

    def has_moved(self) -> bool:
        return self.followed is not None and self.followed.numbers.look()

    def _is_abandoned(self, followed: Followed) -> bool:
        now = time.monotonic()
        if now < self._asked + _OWNER_EVERY:
            return False
        self._asked = now
        return followed.is_gone() or owner_is_gone(followed.request)


def fingerprint(folder: Path) -> str:
    """Changes whenever something in the run that the index knows of changes."""
    sizes = []
    for name in (layout.EVENTS, layout.METRICS, layout.CHILDREN):
        try:
            facts = (folder / name).stat()
            sizes.append(f"{facts.st_size}:{facts.st_mtime_ns}")
        except OSError:
            sizes.append("")
    return " ".join(sizes)


def owner_is_gone(request: dict[str, Any]) -> bool:
    """Whether the run is a process that no longer runs."""
    owner = request.get("owner")
    here = request.get("host") in (None, socket.gethostname())
    return bool(owner) and here and not is_alive(owner)
