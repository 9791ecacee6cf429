"""Writing what was rewritten: into a folder of its own, or in place of the originals."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import UserErrorException
from . import sources
from .rewrite import rewritten
from .sources import SETTINGS, Source


@dataclass(frozen=True)
class Change:
    """A file as it shall be: where it goes, its bytes, and whether they differ from now."""

    source: Path
    target: Path
    content: bytes
    is_new: bool
    """Whether our import names made it another text than the original is."""


def changes(root: Path, into: Path | None) -> list[Change]:
    """All notebooks and scripts of ``root`` with our import names; in place, those that differ.

    Into a folder go the unchanged ones as well, since the others import them.
    """
    if into is not None:
        _check_apart(root, into)
    found = []
    for path in sources.files_below(root):
        if into is not None and into.resolve() in path.resolve().parents:
            continue  # what was written there before is no original
        change = _change(root, path, into)
        if change is not None and (into is not None or change.is_new):
            found.append(change)
    return found


def _check_apart(root: Path, into: Path) -> None:
    folder = root if root.is_dir() else root.parent
    if into.resolve() == folder.resolve():
        raise UserErrorException(
            f"{into} is where the originals are.",
            "Name another folder, or change the originals by --in-place.",
        )
    if into.exists() and not into.is_dir():
        raise UserErrorException(f"{into} is a file.", "Name a folder, or one that is not there.")


def _change(root: Path, path: Path, into: Path | None) -> Change | None:
    source = sources.read(path)
    if source.kind == SETTINGS or not source.text:
        return None
    text = _text(source)
    below = path.name if path == root else path.relative_to(root)
    target = path if into is None else into / below
    return Change(path, target, text.encode(source.encoding), text != source.text)


def _text(source: Source) -> str:
    try:
        return rewritten(source)
    except RecursionError:
        return source.text


def in_the_way(planned: Sequence[Change]) -> list[Path]:
    """The files that are there already, with other bytes."""
    return [
        each.target
        for each in planned
        if os.path.lexists(each.target) and not _has(each.target, each.content)
    ]


def _has(path: Path, content: bytes) -> bool:
    return path.is_file() and path.read_bytes() == content


def write(planned: Sequence[Change]) -> None:
    """Write all of it, each file aside and then into its place."""
    for each in planned:
        each.target.parent.mkdir(parents=True, exist_ok=True)
        # Through a link the file that it names is meant, and keeps its mode.
        place = each.target.resolve()
        mode = each.source.stat().st_mode & 0o777
        number, aside = tempfile.mkstemp(dir=place.parent, prefix=f".{place.name}.")
        try:
            with os.fdopen(number, "wb") as file:
                file.write(each.content)
            os.chmod(aside, mode)
            os.replace(aside, place)
        except BaseException:
            os.unlink(aside)
            raise
