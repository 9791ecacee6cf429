"""The queue: one small private file for each run that has not ended.

An entry says where the run is, what it waits for, and whose environment it starts in. The
environment may hold secrets, as do the credentials that building it takes, so they stay here,
readable by their owner only, and go when the run has ended.

A run that is its children waits for nothing itself: its file has another ending, and what it
says is for them.
"""

from __future__ import annotations

import os
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..home import Home
from ..job import layout
from ..job.process import started_at
from ..spec import Resources
from ..store.folder import locked

RUN, FAMILY = ".json", ".family"
"""How the names of entries end."""

_TURN, _POOLS = "queue.turn", "pools.json"


@dataclass(frozen=True)
class Ask:
    """What a run asks its runner for.

    It takes one of the ``slots`` of its ``pool``; "" is this machine. A pool of its own has as
    many as were said last of it, by whichever run or by :func:`resize`. ``resources`` are those
    of this machine: a run that goes elsewhere asks for none.
    """

    slots: int = 1
    priority: int = 0
    pool: str = ""
    resources: Resources = field(default_factory=Resources)


@dataclass(frozen=True)
class Entry:
    """A run that has not ended."""

    turn: int
    run_id: str
    folder: Path
    ask: Ask
    environment: Mapping[str, str]
    secrets: Mapping[str, object]
    path: Path

    @property
    def order(self) -> tuple[int, int]:
        """Sorts entries: higher priority first, then first come first served."""
        return (-self.ask.priority, self.turn)

    def remove(self) -> None:
        """Take the run off the queue: it has ended."""
        self._lease_path.unlink(missing_ok=True)
        self.path.unlink(missing_ok=True)

    @property
    def _lease_path(self) -> Path:
        return self.path.with_suffix(".lease")

    def lease(self) -> dict[str, Any] | None:
        """What an earlier runner gave the run; None for one that has not had its turn.

        It stands here, since a run's folder may be out of reach for a while, and is its job's.
        """
        found = layout.read_json(str(self._lease_path))
        return found if isinstance(found, dict) else None

    def keep_lease(self, lease: Mapping[str, object] | None) -> None:
        """Remember what the run was given, or with None that it waits again."""
        if lease is None:
            self._lease_path.unlink(missing_ok=True)
        else:
            layout.write_json(str(self._lease_path), dict(lease))


def add(
    home: Home,
    folder: Path,
    run_id: str,
    environment: Mapping[str, str],
    ask: Ask,
    secrets: Mapping[str, object] | None = None,
    kind: str = RUN,
) -> Path:
    """Queue a run, or a ``FAMILY``; it will be run, whatever dies, once this returns."""
    home.make()
    with locked(home.state / _TURN) as file:
        if ask.pool:
            _note_slots(home, ask.pool, ask.slots)
        turn = int(os.pread(file, 32, 0) or b"0") + 1
        os.pwrite(file, str(turn).encode(), 0)
    path = home.queue / f"{turn:012d}.{run_id}{kind}"
    content = {
        "folder": str(folder),
        "priority": ask.priority,
        "slots": ask.slots,
        "pool": ask.pool,
        "resources": ask.resources.to_json(),
        "environment": dict(environment),
        "secrets": dict(secrets or {}),
    }
    old = os.umask(0o077)
    try:
        layout.write_json(str(path), content)
    finally:
        os.umask(old)
    return path


def resize(home: Home, pool: str, slots: int) -> None:
    """Give a pool so many slots, for the runs that wait as well."""
    home.make()
    with locked(home.state / _TURN):
        _note_slots(home, pool, slots)


def _note_slots(home: Home, pool: str, slots: int) -> None:
    known = pools(home)
    if known.get(pool) != slots:
        layout.write_json(str(home.state / _POOLS), {**known, pool: slots})


def pools(home: Home) -> dict[str, int]:
    """The slots of each pool that runs were submitted to, or that was changed."""
    known = layout.read_json(str(home.state / _POOLS))
    found = known.items() if isinstance(known, dict) else ()
    return {pool: slots for pool, slots in found if isinstance(slots, int) and slots > 0}


def entries(home: Home, known: Container[str], kind: str = RUN) -> Iterator[Entry]:
    """The entries that are not among the ``known`` file names, in no particular order."""
    for name in _file_names(home):
        if name.endswith(kind) and name not in known:
            found = entry(home, name)
            if found is not None:
                yield found


def file_names(home: Home) -> dict[str, list[str]]:
    """The files of runs in the queue by their ids, which are unique in one workspace only."""
    found: dict[str, list[str]] = {}
    for name in _file_names(home):
        if name.endswith(RUN):
            found.setdefault(_run_id(name, RUN), []).append(name)
    return found


def entry(home: Home, name: str) -> Entry | None:
    """The entry in the file of that name; None when it is gone."""
    return _read(home.queue / name)


def is_empty(home: Home) -> bool:
    """Whether there is nothing for a runner to do."""
    return not any(any(entries(home, (), kind)) for kind in (RUN, FAMILY))


def _file_names(home: Home) -> list[str]:
    try:
        return os.listdir(home.queue)
    except FileNotFoundError:
        return []


def _run_id(name: str, kind: str) -> str:
    return name.partition(".")[2].removesuffix(kind)


def tidy(home: Home) -> None:
    """Remove what was left half-written by who was killed; for the one that holds the lock."""
    for path in home.queue.glob("*.lease*"):
        if path.suffix != ".lease" or not path.with_suffix(RUN).exists():
            path.unlink(missing_ok=True)
    for path in home.queue.glob("*.tmp"):
        writer = path.name.split(".")[-3:][0]
        if writer.isdigit() and started_at(int(writer)) is None:
            path.unlink(missing_ok=True)


def _read(path: Path) -> Entry | None:
    content = layout.read_json(str(path))
    turn = path.name.partition(".")[0]
    if not isinstance(content, dict) or not turn.isdigit() or "folder" not in content:
        return None
    ask = Ask(
        int(content.get("slots") or 1),
        int(content.get("priority") or 0),
        str(content.get("pool") or ""),
        Resources.from_json(content.get("resources")),
    )
    return Entry(
        int(turn),
        _run_id(path.name, path.suffix),
        Path(content["folder"]),
        ask,
        content.get("environment") or {},
        content.get("secrets") or {},
        path,
    )
