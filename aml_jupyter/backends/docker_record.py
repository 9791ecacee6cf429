"""What is remembered of a run's container: where no job can change it, and in the run's folder.

How to find the container stands below the home of the user's files, which no container sees; a
job that could write it might have any other container ended. How the container ended stands
in the run's folder, to be read when the container and its record are long gone.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ..engine import Address, Tls
from ..home import home
from ..job import layout
from .base import JobStatus

END = "job/container.json"
"""How the container ended and what it was, in the run's folder; written once."""


@dataclass(frozen=True)
class Record:
    """One container: whose it is, its engine, and what was asked of it since.

    ``asked`` is True once we asked it to end, ``over`` once it may be removed. ``boot`` is the
    boot of this machine that it was made in.
    """

    name: str
    folder: str
    container: str
    image: str
    interpreter: str
    bundle: str
    address: Address
    memory: int = 0
    keep: bool = False
    asked: bool = False
    over: bool = False
    boot: str = ""

    def write(self) -> None:
        """Keep it, in place of what was kept under this name."""
        path = _path(self.name)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        layout.write_json(str(path), asdict(self))

    def but(self, **changes: Any) -> Record:
        """The same with changes, which are kept."""
        changed = replace(self, **changes)
        if changed != self:
            changed.write()
        return changed

    def forget(self) -> None:
        """Keep it no longer."""
        _path(self.name).unlink(missing_ok=True)


def record_of(name: str) -> Record | None:
    """What is kept under that name, if anything."""
    return _read(_path(name))


def all_records() -> Iterator[Record]:
    """All that is kept."""
    for path in sorted(_folder().glob("*.json")):
        record = _read(path)
        if record is not None:
            yield record


def _folder() -> Path:
    return home().state / "containers"


def _path(name: str) -> Path:
    return _folder() / f"{name}.json"


def _read(path: Path) -> Record | None:
    content = layout.read_json(str(path))
    try:
        address = content.pop("address")
        tls = address.pop("tls")
        found = Address(**address, tls=Tls(**tls) if tls else None)
        return Record(**content, address=found)
    except (AttributeError, KeyError, TypeError):
        return None


# The end ------------------------------------------------------------------------------------


def write_end(record: Record, status: JobStatus) -> None:
    """Keep how the container's job ended; what was written before stays."""
    facts = {
        "name": record.name,
        "container": record.container,
        "image": record.image,
        "engine": record.address.url,
        "status": asdict(status),
    }
    if not os.path.exists(os.path.join(record.folder, END)):
        layout.write_json_below(record.folder, END, facts)


def read_end(folder: str) -> JobStatus | None:
    """How the container's job ended; None until that is written. A job may write anything there."""
    facts = layout.read_json(os.path.join(folder, END))
    try:
        status = JobStatus(**facts["status"])
    except (KeyError, TypeError):
        return None
    numbers = (status.since, status.code, status.signal)
    fits = all(each is None or isinstance(each, (int, float)) for each in numbers)
    return status if fits and status.ended and isinstance(status.detail, str) else None
