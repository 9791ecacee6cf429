"""Experiments on disk: ``experiments/<name>.json`` and ``<name>.number`` in a workspace."""

from __future__ import annotations

import os
import re
import time

from aml_jupyter.errors import UserErrorException
from aml_jupyter.job import layout

from .place import locked

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict

    Record = Dict[str, Any]

FOLDER = "experiments"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,254}")
_LOCK = "workspace.lock"


def record_of(root: str, name: str) -> Record | None:
    """The record of an experiment; None when there is none of that name."""
    record: Record | None = layout.read_json(path_of(root, name))
    return record


def make(root: str, name: str) -> Record:
    """The record of an experiment, made if it is not there."""
    return record_of(root, name) or _make(root, name)


def _make(root: str, name: str) -> Record:
    with locked(os.path.join(root, _LOCK)):
        record = record_of(root, name)
        if record is None:
            record = {"id": layout.guid(), "name": name, "created": time.time()}
            record.update(archived=None, tags={})
            save(root, record)
    return record


def save(root: str, record: Record) -> None:
    """Replace the record of an experiment."""
    path = path_of(root, record["name"])
    os.makedirs(os.path.dirname(path), exist_ok=True)
    layout.write_json(path, record)


def records(root: str) -> list[Record]:
    """The records of all experiments, by name."""
    folder = os.path.join(root, FOLDER)
    try:
        names = [name for name in os.listdir(folder) if name.endswith(".json")]
    except (FileNotFoundError, NotADirectoryError):
        return []
    found = [layout.read_json(os.path.join(folder, name)) for name in names]
    return sorted((record for record in found if record), key=lambda record: str(record["name"]))


def next_number(root: str, name: str) -> int:
    """Counts the runs of an experiment, across all processes."""
    with locked(f"{path_of(root, name)[: -len('.json')]}.number") as file:
        number = int(os.pread(file, 32, 0) or b"0") + 1
        os.pwrite(file, str(number).encode(), 0)
        return number


def path_of(root: str, name: str) -> str:
    """Where the record of an experiment is, or would be."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise UserErrorException(
            f"{name!r} is not a name for an experiment.",
            "It starts with a letter or digit and goes on with letters, digits, _ and -.",
        )
    return os.path.join(root, FOLDER, f"{name}.json")
