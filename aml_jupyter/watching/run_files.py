"""The files of a run for a browser: a bounded list, and any part of any of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import UserErrorException
from ..job import layout

MOST = 2000
"""Files in a list."""

CHUNK = 512 * 1024
"""Bytes of a file in one message, at most."""

_FOLDERS = (layout.OUTPUTS, layout.LOGS, "azureml-logs", layout.ARTIFACTS)


def listing(folder: Path) -> dict[str, Any]:
    """What a run left, as the wire's ``RunFiles``."""
    files: list[dict[str, Any]] = []
    more = 0
    for path in _files(folder):
        if len(files) == MOST:
            more += 1
            continue
        try:
            facts = path.stat()
        except OSError:  # gone, or a link that leads nowhere
            continue
        relative = path.relative_to(folder).as_posix()
        files.append({"path": relative, "size": facts.st_size, "modified": facts.st_mtime})
    return {"folder": str(folder), "files": files, "more": more}


class Part(NamedTuple):
    """Bytes of a file, how many it has in all, and when it was written last."""

    data: bytes
    size: int
    modified: float


def part(folder: Path, path: str, start: int, count: int) -> Part:
    """Bytes of a file of the run from ``start`` on."""
    found = _inside(folder, path)
    with open(found, "rb") as file:
        facts = os.fstat(file.fileno())
        file.seek(max(0, start))
        return Part(file.read(min(max(0, count), CHUNK)), facts.st_size, facts.st_mtime)


def logs(folder: Path) -> list[str]:
    """All logs of a run, the one to begin with first."""
    found = [*(folder / "azureml-logs").glob("*.txt"), *_below(folder / layout.LOGS)]
    paths = (path for path in found if path.is_file() and not layout.is_driver_log_again(path))
    names = [path.relative_to(folder).as_posix() for path in paths]
    first = _telling(folder)
    names.sort(key=lambda name: (name != first, name != layout.DRIVER_LOG, name))
    return names[:MOST]


def _telling(folder: Path) -> str:
    """The log with something to tell: until the job says a word, that of its environment."""
    log = folder / layout.DRIVER_LOG
    has_begun = log.is_file() and log.stat().st_size > 0
    is_built = (folder / layout.BUILD_LOG).is_file()
    return layout.BUILD_LOG if is_built and not has_begun else layout.DRIVER_LOG


def _files(folder: Path) -> Iterator[Path]:
    for name in _FOLDERS:
        yield from _below(folder / name)


def _below(folder: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(folder):
        folders.sort()
        yield from (Path(place, name) for name in sorted(names))


def _inside(folder: Path, path: str) -> Path:
    """The file meant; what leads out of the run's folder is refused."""
    found = (folder / path).resolve()
    if not found.is_relative_to(folder.resolve()) or not found.is_file():
        raise UserErrorException(
            f"{path} is not a file of this run.", "It was removed, or leads out of its folder."
        )
    return found
