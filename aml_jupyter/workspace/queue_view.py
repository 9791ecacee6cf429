"""The queue of this machine for people: who runs, who waits, what for and how long."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import AmlError
from ..home import Home, home
from ..job import layout, process, states
from ..runner import board, queue
from ..runner.leases import Process, in_brackets
from ..spec import ALL_GPUS, Resources, RunRequest
from ..spec.words import shown_age, shown_bytes, shown_duration

RUN_COLUMNS = ("no.", "run", "experiment", "target", "asks for", "state", "since", "starts", "why")
GPU_COLUMNS = ("gpu", "memory", "load", "others hold", "leased to")
SHOWN = 20
"""So many of those that wait are shown unless all are asked for."""

_SOON = 5.0
_NO_RUNNER = "no runner is alive; the next submit starts one"
_NOT_SEEN = "the runner has not seen it yet"


@dataclass(frozen=True)
class QueuedRun:
    """A run that has not ended. ``position`` is its place in line; None once it had its turn.

    ``since`` is when it started, or was asked for; ``expected`` when it will probably start, None
    where nobody can tell. Both in seconds since the epoch.
    """

    run_id: str
    folder: str
    experiment: str
    target: str
    pool: str
    asks: Resources
    state: str
    since: float
    position: int | None = None
    why: str = ""
    expected: float | None = None
    gpus: tuple[int, ...] | None = None

    @property
    def is_running(self) -> bool:
        """Whether it has had its turn."""
        return self.position is None

    @property
    def asks_for(self) -> str:
        """What it asks for, in words; empty for nothing but a slot."""
        return asked_in_words(self.asks)

    def row(self) -> list[str]:
        """The cells of its line in a list; :data:`RUN_COLUMNS` names them."""
        gpus = f"on GPU {', '.join(map(str, self.gpus))}" if self.gpus else ""
        return [
            "" if self.position is None else str(self.position),
            self.run_id,
            self.experiment,
            self.pool or self.target,
            self.asks_for,
            self.state,
            shown_age(self.since),
            self._starts(),
            self.why or gpus,
        ]

    def _starts(self) -> str:
        if self.expected is None:
            return ""
        wait = self.expected - time.time()
        return "soon" if wait < _SOON else f"in {shown_duration(wait)}"


@dataclass(frozen=True)
class GpuView:
    """A GPU, the runs that have a lease of it, what others hold of it, and who computes there.

    Memory in bytes, load in percent or None where it is not told.
    """

    index: int
    uuid: str
    memory_total: int
    foreign_memory: int
    load: float | None
    holders: tuple[str, ...]
    strangers: tuple[Process, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """All of it as plain JSON."""
        return {**vars(self), "strangers": [each._asdict() for each in self.strangers]}

    def row(self) -> list[str]:
        """The cells of its line in a list; :data:`GPU_COLUMNS` names them."""
        return [
            str(self.index),
            shown_bytes(self.memory_total) if self.memory_total else "",
            "" if self.load is None else f"{self.load:.0f} %",
            self._of_others(),
            ", ".join(self.holders),
        ]

    def _of_others(self) -> str:
        held = shown_bytes(self.foreign_memory) if self.foreign_memory else ""
        return f"{held}{in_brackets(self.strangers)}".strip()


@dataclass(frozen=True)
class QueueView:
    """The queue at one moment. ``gpus`` is None where the driver has not told of any yet.

    ``has_runner`` is False when no runner looks after it; all else is then as the last one saw it
    at ``seen``, which is None when there never was one.
    """

    has_runner: bool
    seen: float | None
    running: tuple[QueuedRun, ...]
    waiting: tuple[QueuedRun, ...]
    gpus: tuple[GpuView, ...] | None
    trouble: str
    cpus: float
    memory: int

    def shown(self, everything: bool = False) -> tuple[list[QueuedRun], list[str]]:
        """The runs that a list shows, and a line that says how many it leaves out."""
        waiting = self.waiting if everything else self.waiting[:SHOWN]
        left = len(self.waiting) - len(waiting)
        more = [f"… and {left} more; --all shows them."] if left else []
        return [*self.running, *waiting], more

    def to_json(self) -> dict[str, Any]:
        """All of it as plain JSON."""
        return {
            "has_runner": self.has_runner,
            "seen": self.seen,
            "running": [_to_json(run) for run in self.running],
            "waiting": [_to_json(run) for run in self.waiting],
            "gpus": None if self.gpus is None else [gpu.to_json() for gpu in self.gpus],
            "trouble": self.trouble,
            "cpus": self.cpus,
            "memory": self.memory,
        }


class Position(NamedTuple):
    """A run's place in line, when it will probably start (None: unknown), and why it waits."""

    position: int
    expected: float | None
    why: str


def queue_of(place: Home | None = None) -> QueueView:
    """The queue of this user on this machine, whether or not its runner is alive."""
    place = place or home()
    said = board.read(place) or {}
    has_runner = board.is_current(said)
    entries = {str(entry.folder): entry for entry in queue.entries(place, {})}
    running = _known(said.get("running", ()), entries)
    waiting = _known(said.get("waiting", ()), entries)
    known = {run.folder for run in (*running, *waiting)}
    waiting += filter(None, (_not_seen(entries[folder]) for folder in entries.keys() - known))
    waiting.sort(key=lambda run: entries[run.folder].order)
    if not has_runner:
        waiting = [replace(run, why=_NO_RUNNER, expected=None) for run in waiting]
    return QueueView(
        has_runner,
        said.get("time"),
        tuple(running),
        tuple(replace(run, position=n) for n, run in enumerate(waiting, 1)),
        *_machine(said.get("machine") or {}, running),
    )


def _known(said: Iterable[Mapping[str, Any]], entries: Mapping[str, object]) -> list[QueuedRun]:
    """The runs on the board that have not ended since."""
    return [_run(run) for run in said if run["folder"] in entries]


def position_of(run_id: str, folder: str | Path | None = None) -> Position | None:
    """Where a run is in line; None for one that had its turn, or that no runner has seen.

    Cheap enough to be asked several times a second. ``folder`` is the run's, where several
    workspaces may have a run of that id.
    """
    lines = _shown.look(home())
    found = lines.get(run_id, ())
    return next((at for where, at in found if folder is None or where == str(folder)), None)


def asked_in_words(asked: Resources) -> str:
    """What is asked for, in words such as ``2 GPUs (8 GiB each), 4 CPUs``."""
    words = []
    if asked.gpus is not None:
        each = f" ({shown_bytes(asked.gpu_memory)} each)" if asked.gpu_memory else ""
        count = {ALL_GPUS: "all GPUs", 0: "no GPU", 1: "1 GPU"}
        words.append(count.get(asked.gpus, f"{asked.gpus} GPUs") + each)
    if asked.cpus:
        words.append(f"{asked.cpus:g} CPU{'' if asked.cpus == 1 else 's'}")
    if asked.memory:
        words.append(f"{shown_bytes(asked.memory)} memory")
    return ", ".join(words)


def _run(said: Mapping[str, Any]) -> QueuedRun:
    """A run as the board has it."""
    gpus = said.get("gpus")
    return QueuedRun(
        said["id"],
        said["folder"],
        said["experiment"],
        said["target"],
        said["pool"].rpartition("/")[2],
        Resources.from_json(said["asks"]),
        said["state"],
        said["since"],
        None,
        said.get("why", ""),
        said.get("expected"),
        None if gpus is None else tuple(gpus),
    )


def _not_seen(entry: queue.Entry) -> QueuedRun | None:
    """A run that was queued a moment ago, or while no runner was alive."""
    try:
        request = RunRequest.from_json(layout.read_json(str(entry.folder / layout.REQUEST)) or {})
    except (OSError, AmlError):
        return None  # damaged or gone: the runner will say so
    job = request.job
    return QueuedRun(
        entry.run_id,
        str(entry.folder),
        request.experiment,
        request.target,
        job.pool.rpartition("/")[2] if job else "",
        job.resources if job else Resources(),
        states.NOT_STARTED,
        request.created,
        why=_NOT_SEEN,
    )


def _machine(
    said: Mapping[str, Any], running: Sequence[QueuedRun]
) -> tuple[tuple[GpuView, ...] | None, str, float, int]:
    found = said.get("gpus")
    gpus = None if found is None else tuple(_gpu(gpu, running) for gpu in found)
    return gpus, said.get("trouble", ""), said.get("cpus", 0.0), said.get("memory", 0)


def _gpu(said: Mapping[str, Any], running: Sequence[QueuedRun]) -> GpuView:
    index = said["index"]
    return GpuView(
        index,
        said["uuid"],
        said["memory_total"],
        said["foreign_memory"],
        said["load"],
        tuple(run.run_id for run in running if index in (run.gpus or ())),
        tuple(Process(each["pid"], each["name"]) for each in said.get("strangers", ())),
    )


def _to_json(run: QueuedRun) -> dict[str, Any]:
    return {**vars(run), "asks": run.asks.to_json()}


class _Shown:
    """Who waits according to the board, read again when the runner has written it again."""

    def __init__(self) -> None:
        self._seen: tuple[object, ...] = ()
        self._positions: dict[str, list[tuple[str, Position]]] = {}
        self._runner: Mapping[str, Any] | None = None
        self._is_current = False
        self._asked = 0.0

    def look(self, place: Home) -> Mapping[str, Sequence[tuple[str, Position]]]:
        """The places in line by run id, with the folder of each run; empty without a runner."""
        path = board.path_of(place)
        try:
            stat = os.stat(path)
        except OSError:
            return {}
        seen = (str(path), stat.st_ino, stat.st_mtime_ns)
        if seen != self._seen:
            said = board.read(place) or {}
            self._positions = {}
            for position, run in enumerate(said.get("waiting", ()), 1):
                at = Position(position, run["expected"], run["why"])
                self._positions.setdefault(run["id"], []).append((run["folder"], at))
            self._runner, self._seen, self._asked = said.get("runner"), seen, 0.0
        return self._positions if self._has_runner() else {}

    def _has_runner(self) -> bool:
        if time.monotonic() - self._asked > 1.0:
            self._asked = time.monotonic()
            self._is_current = process.is_alive(dict(self._runner) if self._runner else None)
        return self._is_current


_shown = _Shown()


def summary_of(view: QueueView) -> list[str]:
    """What there is to say of the queue as a whole, in a sentence or three."""
    said = [f"{len(view.running)} running, {len(view.waiting)} waiting."]
    if not view.has_runner:
        seen = time.strftime(" at %H:%M", time.localtime(view.seen)) if view.seen else ""
        after = f"; this is how the last one left it{seen}" if seen else ""
        said.append(f"No runner is alive{after}. Jobs go on, and the next submit starts one.")
    if view.trouble:
        said.append(f"GPUs: {view.trouble}.")
    return said
