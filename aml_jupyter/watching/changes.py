"""What changes among the runs of a workspace, for whoever shows lists of them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..job import states
from ..job.events import Facts
from ..store import RunSummary
from ..workspace import Workspace
from ..workspace.run_filter import WAITING
from .progress_bar import Progress
from .watch import progress_by_events, turn_of

_RECENTLY = 24 * 3600.0
_MINUTE = 60.0
_TURNS_EVERY = 2.0
_MOST_TURNS = 500


@dataclass(frozen=True)
class Counts:
    """How many runs there are, children and archived ones left out.

    ``waiting`` are submitted and do not run yet, ``failed`` are those of the last 24 hours.
    """

    running: int
    waiting: int
    failed: int
    total: int


@dataclass(frozen=True)
class Changed:
    """What became of a workspace's runs since the last look.

    ``ended`` are those of ``runs`` that have just ended. ``progress`` has each of ``runs`` that
    says how far it is. ``behind`` says that there is no telling: lists are to be asked anew.
    """

    runs: Sequence[RunSummary]
    gone: Sequence[str]
    ended: Sequence[RunSummary]
    progress: Mapping[str, Progress]
    counts: Counts
    counts_changed: bool
    behind: bool

    @property
    def anything(self) -> bool:
        """Whether there is anything to tell."""
        return bool(self.runs or self.gone or self.behind or self.counts_changed)


class Changes:
    """Follows all runs of one workspace at little cost.

    Look several times a second, from one thread; what was seen may be asked for from any.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._index = workspace.index
        self._watcher = self._index.watch()
        self._begun = time.time()
        self._live: Mapping[str, Facts | None] = self._index.live()
        self._told: set[str] = set()
        self._turns: dict[str, Progress] = {}
        self._turns_seen = -_TURNS_EVERY
        self._counts = self._count()

    @property
    def counts(self) -> Counts:
        """How many runs there were at the last look."""
        return self._counts

    def progress_of(self, run_id: str) -> Progress | None:
        """How far a run was at the last look, where it says so itself or its turn is known."""
        facts = self._live.get(run_id)
        return self._turns.get(run_id) if facts is None else progress_by_events(facts)

    def look(self) -> Changed:
        """What has changed since the last look."""
        news = self._index.news(self._watcher, self._look_at_turns())
        before, self._live = self._live, self._index.live()
        ended = [run for run in news.runs if self._has_just_ended(run, before)]
        self._told.update(run.id for run in ended)
        said = {run.id: self.progress_of(run.id) for run in news.runs}
        was, self._counts = self._counts, self._count()
        return Changed(
            runs=news.runs,
            gone=news.gone,
            ended=ended,
            progress={run_id: progress for run_id, progress in said.items() if progress},
            counts=self._counts,
            counts_changed=self._counts != was,
            behind=news.everything,
        )

    def _has_just_ended(self, run: RunSummary, before: Mapping[str, object]) -> bool:
        """Also where its whole life went by between two looks; but a run ends only once."""
        if run.status not in states.TERMINAL or run.id in self._told:
            return False
        return run.id in before or (run.ended or 0.0) >= self._begun

    def _look_at_turns(self) -> set[str]:
        """See when it is the turn of runs that wait; returns those of which that is new."""
        now = time.monotonic()
        if now < self._turns_seen + _TURNS_EVERY:
            return set()
        self._turns_seen = now
        waiting = [run_id for run_id, facts in self._live.items() if facts is None]
        found = {run_id: turn_of(run_id) for run_id in waiting[:_MOST_TURNS]}
        before, self._turns = self._turns, {each: turn for each, turn in found.items() if turn}
        return {each for each in found if before.get(each) != self._turns.get(each)}

    def _count(self) -> Counts:
        since = (time.time() - _RECENTLY) // _MINUTE * _MINUTE
        found, failed = self._index.tally(since)
        waiting = sum(found.get(state, 0) for state in WAITING)
        return Counts(found.get(states.RUNNING, 0), waiting, failed, sum(found.values()))
