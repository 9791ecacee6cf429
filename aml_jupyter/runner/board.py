"""What the runner tells of the queue: a file for whoever wants to see whose turn it is."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..errors import StorageFullError
from ..home import Home
from ..job import layout, process, states
from ..spec import RunRequest
from .forecast import Coming, Durations, Going, forecast
from .leases import Gpu, Lease, Machine, Wish

BOARD, DURATIONS = "board.json", "durations.json"
FORMAT = 1

_BUILT = "its environment is being built"
_LOADS_EVERY = 5.0
_FORECAST_EVERY = 30.0
_LARGEST_SHARE = 0.02


@dataclass(frozen=True)
class BoardRun:
    """A run as others see it. ``since`` is when it started, or was asked for if it waits."""

    key: str
    run_id: str
    folder: str
    experiment: str
    what: str
    target: str
    wish: Wish
    state: str
    since: float
    lease: Lease | None = None

    @classmethod
    def waiting(
        cls, key: str, folder: str, request: RunRequest, wish: Wish, state: str
    ) -> BoardRun:
        """A run that waits for its turn, or for its environment."""
        job = request.job
        what = (job.script or job.command or "") if job is not None else ""
        return cls(
            key,
            request.id,
            folder,
            request.experiment,
            what,
            request.target,
            wish,
            state,
            request.created,
        )

    def running(self, lease: Lease, state: str, since: float | None) -> BoardRun:
        """The same run once it has had its turn; ``since`` is None until its job has started."""
        started = time.time() if since is None else since
        return replace(self, lease=lease, state=state, since=started)

    def to_json(self) -> dict[str, object]:
        """The run as it stands on the board."""
        return {
            "id": self.run_id,
            "folder": self.folder,
            "experiment": self.experiment,
            "what": self.what,
            "target": self.target,
            "pool": self.wish.pool,
            "asks": self.wish.resources.to_json(),
            "state": self.state,
            "since": self.since,
            **({} if self.lease is None else {"gpus": self.lease.to_json()["gpus"]}),
        }


class Board:
    """Publishes how the queue is, when that has changed; looking costs little."""

    def __init__(self, home: Home) -> None:
        self.durations = Durations(home.state / DURATIONS)
        self._path = str(path_of(home))
        self._runner = process.identity()
        self._shown: tuple[Any, ...] = ()
        self._loads: Mapping[int, float | None] = {}
        self._written = -math.inf
        self._not_before = -math.inf
        self._is_behind = False
        self._forecast = _Forecast(self.durations)

    @property
    def next_look(self) -> float | None:
        """Seconds until something may be published that could not be before."""
        return max(0.0, self._not_before - time.monotonic()) if self._is_behind else None

    def ended(self, run: BoardRun) -> None:
        """Remember how long a run took whose job is over; times of others are told by it."""
        if run.lease is not None:
            self.durations.note(run.experiment, run.what, max(0.0, time.time() - run.since))

    def show(
        self,
        machine: Machine,
        loads: Mapping[int, float | None],
        running: Sequence[BoardRun],
        waiting: Sequence[BoardRun],
        reasons: Mapping[str, str],
    ) -> None:
        """Publish this if it is new; ``waiting`` is in the order of turns.

        A long queue is published the less often the longer that takes. What cannot be written is
        not told, and that is all.
        """
        begun = time.monotonic()
        self._is_behind = begun < self._not_before and bool(running or waiting)
        if self._is_behind:
            return
        shown = (machine, list(running), list(waiting), dict(reasons))
        is_older = begun - self._written > _LOADS_EVERY and loads != self._loads
        if shown == self._shown and not is_older and not (waiting and self._forecast.is_due):
            return
        self._shown, self._loads, self._written = shown, dict(loads), begun
        expected = self._forecast.of(running, waiting, machine)
        try:
            layout.write_json(self._path, self._content(expected))
            self.durations.keep()
        except (OSError, StorageFullError):
            self._shown = ()
        self._not_before = begun + (time.monotonic() - begun) / _LARGEST_SHARE

    def _content(self, expected: Mapping[str, float]) -> dict[str, object]:
        machine, running, waiting, reasons = self._shown
        return {
            "format": FORMAT,
            "runner": self._runner,
            "time": time.time(),
            "machine": _machine_to_json(machine, self._loads),
            "running": [run.to_json() for run in running],
            "waiting": [
                {
                    **run.to_json(),
                    "why": reasons.get(run.key, _BUILT if run.state == states.PREPARING else ""),
                    "expected": expected.get(run.key),
                }
                for run in waiting
            ],
        }


class _Forecast:
    """When runs will start, reckoned anew when runs have come or gone, but not at any price."""

    def __init__(self, durations: Durations) -> None:
        self._durations = durations
        self._of: tuple[list[str], list[str]] = ([], [])
        self._expected: dict[str, float] = {}
        self._due = self._not_before = -math.inf

    @property
    def is_due(self) -> bool:
        """Whether to reckon although nobody has come or gone: time has passed for all."""
        return time.monotonic() >= self._due

    def of(
        self, running: Sequence[BoardRun], waiting: Sequence[BoardRun], machine: Machine
    ) -> Mapping[str, float]:
        """Seconds since the epoch at which each of ``waiting`` probably starts."""
        keys, begun = ([run.key for run in running], [run.key for run in waiting]), time.monotonic()
        if keys == self._of and not self.is_due:
            return self._expected
        if begun < self._not_before:
            self._due = self._not_before
            return self._expected
        self._of, self._due = keys, begun + _FORECAST_EVERY
        self._expected = self._reckon(running, waiting, machine)
        self._not_before = begun + (time.monotonic() - begun) / _LARGEST_SHARE
        return self._expected

    def _reckon(
        self, running: Sequence[BoardRun], waiting: Sequence[BoardRun], machine: Machine
    ) -> dict[str, float]:
        if not waiting:
            return {}
        now, known = time.time(), self._durations
        going = [
            Going(
                run.wish,
                run.lease or Lease(),
                known.left(run.experiment, run.what, max(0.0, now - run.since)),
            )
            for run in running
        ]
        coming = [
            Coming(run.key, run.wish, known.usual(run.experiment, run.what)) for run in waiting
        ]
        return {key: round(now + wait, 1) for key, wait in forecast(going, coming, machine).items()}


def _machine_to_json(machine: Machine, loads: Mapping[int, float | None]) -> dict[str, object]:
    gpus = machine.gpus
    return {
        "cpus": machine.cpus,
        "memory": machine.memory,
        "hidden": machine.hidden,
        "trouble": machine.trouble,
        "gpus": gpus and [_gpu_to_json(gpu, loads.get(gpu.index)) for gpu in gpus],
    }


def _gpu_to_json(gpu: Gpu, load: float | None) -> dict[str, object]:
    strangers = [each._asdict() for each in gpu.strangers]
    return {**vars(gpu), "strangers": strangers, "load": load}


# For those who read it ------------------------------------------------------------------------


def read(home: Home) -> dict[str, Any] | None:
    """What was last published; None when nothing was that can be understood."""
    content = layout.read_json(str(path_of(home)))
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        return None
    return content


def is_current(board: Mapping[str, Any]) -> bool:
    """Whether the runner that published it is alive."""
    return process.is_alive(board.get("runner"))


def path_of(home: Home) -> Path:
    """Where it is published."""
    return home.state / BOARD
