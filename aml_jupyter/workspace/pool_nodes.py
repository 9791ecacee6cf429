"""How many nodes a pool would have, were its slots machines: told from the runs on it.

A run that is going on is a node at work. Its node stays idle for a while after its end, and
takes the next run that comes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..job import states
from ..store import RunSummary

_AT_WORK = frozenset({states.RUNNING, states.FINALIZING, states.CANCEL_REQUESTED})


@dataclass(frozen=True)
class Nodes:
    """The nodes at one moment: the ids of the runs they are at, how many are idle or asked for."""

    running: Sequence[str]
    preparing: Sequence[str]
    idle: int
    wanted: int
    """How many there would be if every run that waits had one, as far as the pool allows."""
    changed: float | None
    """When a run last began or ended; None without runs."""

    @property
    def count(self) -> int:
        """All that there are."""
        return len(self.running) + len(self.preparing) + self.idle


def nodes_of(
    runs: Iterable[RunSummary], least: int, most: int, idle_seconds: float, now: float
) -> Nodes:
    """The nodes of a pool of ``least`` to ``most`` of them that has had these runs."""
    runs = list(runs)
    going_on = [run for run in runs if run.status not in states.TERMINAL]
    running = [run.id for run in going_on if run.status in _AT_WORK and run.started is not None]
    preparing = [run.id for run in going_on if run.status == states.STARTING]
    busy = len(running) + len(preparing)
    idle = min(_idle(runs, idle_seconds, now), max(0, most - busy))
    idle = max(idle, least - busy)
    waiting = len(going_on) - busy
    wanted = max(busy + idle, min(most, busy + waiting))
    times = [when for run in runs for when in (run.started, run.ended) if when is not None]
    return Nodes(running, preparing, idle, wanted, max(times, default=None))


def _idle(runs: Sequence[RunSummary], idle_seconds: float, now: float) -> int:
    """How many nodes have been left by a run, and by no longer than that."""
    begun = [(run.started, True) for run in runs if run.started is not None]
    over = [(run.ended, False) for run in runs if run.started is not None and run.ended is not None]
    idle: list[float] = []
    for when, begins in sorted(begun + over):
        idle = [since for since in idle if when - since < idle_seconds]
        if not begins:
            idle.append(when)
        elif idle:
            idle.pop()
    return sum(now - since < idle_seconds for since in idle)
