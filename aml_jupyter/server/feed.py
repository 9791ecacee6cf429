"""What has changed in a workspace since the last look, and how many runs are in which state."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..job import states
from ..store import Query, RunSummary
from ..workspace import Workspace

_RECENT = 24 * 3600.0
_RUNNING = frozenset({states.RUNNING, states.FINALIZING, states.CANCEL_REQUESTED})


@dataclass(frozen=True)
class Look:
    """Runs that are new or other, ids of those that are gone or go on, and ``Counts``."""

    changed: Sequence[RunSummary]
    gone: Sequence[str]
    live: Sequence[str]
    counts: Mapping[str, int]


class Feed:
    """Looks at one workspace again and again; one thread at a time."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._known: dict[str, RunSummary] = {}

    def begin(self) -> Look:
        """How it is: what goes on is all that counts as changed."""
        look = self.look()
        live = set(look.live)
        return Look([run for run in look.changed if run.id in live], (), look.live, look.counts)

    def look(self) -> Look:
        """What is other than it was at the last look."""
        found = {run.id: run for run in self._workspace.find_runs(Query(archived=True))}
        before, self._known = self._known, found
        changed = [run for run_id, run in found.items() if before.get(run_id) != run]
        gone = [run_id for run_id in before if run_id not in found]
        live = [run_id for run_id, run in found.items() if run.status not in states.TERMINAL]
        return Look(changed, gone, live, _counts(list(found.values())))


def _counts(runs: Sequence[RunSummary]) -> Mapping[str, int]:
    shown = [run for run in runs if not run.archived and run.parent is None]
    running = sum(run.status in _RUNNING for run in shown)
    live = sum(run.status not in states.TERMINAL for run in shown)
    since = time.time() - _RECENT
    failed = sum(run.status == states.FAILED and (run.ended or 0.0) > since for run in shown)
    return {"running": running, "waiting": live - running, "failed": failed, "total": len(shown)}
