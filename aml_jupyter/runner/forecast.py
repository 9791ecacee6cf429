"""When those that wait will probably start: the queue played forward, by how long runs took."""

from __future__ import annotations

import heapq
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from ..job import layout
from .leases import Lease, Machine, Room, Wish, queued

_REMEMBERED = 20
_SCRIPTS = 1000
_LONGEST_NAME = 200
_SOON = 0.1


class Going(NamedTuple):
    """A run that runs; ``left`` are the seconds until it probably ends, None when unknown."""

    wish: Wish
    lease: Lease
    left: float | None


class Coming(NamedTuple):
    """A run that waits; ``takes`` are the seconds that it probably takes, None when unknown."""

    key: str
    wish: Wish
    takes: float | None


def forecast(
    going: Iterable[Going], coming: Sequence[Coming], machine: Machine
) -> dict[str, float]:
    """Seconds until each run probably starts; those are left out of which it cannot be told."""
    machine = replace(machine, trouble="")
    takes = {run.key: run.takes for run in coming}
    wishes = {run.key: run.wish for run in coming}
    room = Room(machine)
    ends: list[tuple[float, int, Wish, Lease]] = []
    for run in going:
        room.take(run.wish, run.lease)
        if run.left is not None:
            ends.append((run.left, len(ends), run.wish, run.lease))
    heapq.heapify(ends)
    line, _ = queued(list(wishes.items()), room)
    starts: dict[str, float] = {}
    now, count = 0.0, len(ends)
    while True:
        for key, lease in line.let_in(room).items():
            starts[key] = now
            length, count = takes[key], count + 1
            if length is not None:
                heapq.heappush(ends, (now + length, count, wishes[key], lease))
        if not line or not ends:
            return starts
        now, _, wish, lease = heapq.heappop(ends)
        room.give_back(wish, lease)


class Durations:
    """How long the last runs of each script took, kept in a small file from runner to runner."""

    def __init__(self, path: Path) -> None:
        self._path = path
        content = layout.read_json(str(path))
        known = content if isinstance(content, dict) else {}
        self._known: dict[str, list[float]] = {
            name: [float(each) for each in took if isinstance(each, (int, float))]
            for name, took in known.items()
            if isinstance(took, list)
        }
        self._medians: dict[str, float] = {}
        self._is_new = False

    def note(self, experiment: str, what: str, seconds: float) -> None:
        """Remember that a run of this script took so long; :meth:`keep` writes it down."""
        name = _name(experiment, what)
        took = [*self._known.pop(name, []), round(seconds, 3)][-_REMEMBERED:]
        self._known[name] = took  # at the end: what was longest not run is forgotten first
        while len(self._known) > _SCRIPTS:
            del self._known[next(iter(self._known))]
        self._medians.pop(name, None)
        self._is_new = True

    def usual(self, experiment: str, what: str) -> float | None:
        """The seconds that such a run takes: the median of the last ones; None without any."""
        name = _name(experiment, what)
        if name not in self._medians:
            took = self._known.get(name)
            if not took:
                return None
            self._medians[name] = statistics.median(took)
        return self._medians[name]

    def left(self, experiment: str, what: str, age: float) -> float | None:
        """The seconds until a run that is so old probably ends.

        One that has taken longer than all before it will end soon, as far as anybody knows.
        """
        longer = [each for each in self._known.get(_name(experiment, what), ()) if each > age]
        if longer:
            return statistics.median(longer) - age
        return None if self.usual(experiment, what) is None else age * _SOON

    def keep(self) -> None:
        """Write down what is new."""
        if self._is_new:
            layout.write_json(str(self._path), self._known)
            self._is_new = False


def _name(experiment: str, what: str) -> str:
    return f"{experiment}: {what}"[:_LONGEST_NAME]
