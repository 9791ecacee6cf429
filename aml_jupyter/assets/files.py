"""A few habits of keeping files: written aside, never outside the folder."""

from __future__ import annotations

import errno
import os
import re
import shutil

from aml_jupyter.errors import UserErrorException
from aml_jupyter.job.layout import full_disk

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Iterator, Sequence

    Progress = Callable[[int, int], None]

CHUNK = 1 << 20
_ASIDE = re.compile(r"\.\d+\.[0-9a-f]{6}\.tmp$")


def copy_whole(source: str, target: str) -> None:
    """Copy a file with its time, whole or not at all; the folders above are made."""
    aside = f"{target}.{os.getpid()}.{os.urandom(3).hex()}.tmp"
    try:
        os.makedirs(os.path.dirname(target) or ".", exist_ok=True)
        shutil.copyfile(source, aside)
        shutil.copystat(source, aside)
        os.chmod(aside, 0o644)  # what was read-only in a cache is the user's own now
        os.replace(aside, target)
    except OSError as error:
        if os.path.lexists(aside):
            os.unlink(aside)
        if error.errno in (errno.EISDIR, errno.ENOTDIR, errno.EEXIST):
            raise UserErrorException(
                f"{target} cannot be written: {error.strerror}.",
                "A file and a folder would have the same name; use another path.",
            ) from error
        raise full_disk(error, target) from error


def path_within(path: object, what: str = "a datastore") -> str:
    """``path`` as it is kept: forward slashes, relative; ``""`` for all of it."""
    text = os.fspath(path) if isinstance(path, (str, os.PathLike)) else ""
    parts = [part for part in str(text).replace("\\", "/").split("/") if part not in ("", ".")]
    if ".." in parts or (not text and path not in ("", None)):
        raise UserErrorException(
            f"{path!r} is not a path in {what}.", "Use a relative path without `..`."
        )
    return "/".join(parts)


def files_below(
    folder: str, prefix: str = "", without: tuple[str, ...] = (), came_by: tuple[str, ...] = ()
) -> Iterator[tuple[str, str]]:
    """(relative name, path) of every file, in the order of their names; links are followed.

    What is in the folders ``without`` (real paths) is left out. ``came_by`` are the folders that
    links on the way here were in and led to: a link back to one of them has no end.
    """
    for entry in _entries(folder):
        if not entry.is_dir():
            if entry.is_file() and not _ASIDE.search(entry.name):
                yield prefix + entry.name, entry.path
        elif not (without and os.path.realpath(entry.path) in without):
            passed = came_by
            if entry.is_symlink():
                passed = (*came_by, os.path.realpath(folder))
                there = os.path.realpath(entry.path)
                if any(f"{each}/".startswith(f"{there}/") for each in passed):
                    continue
                passed = (*passed, there)
            yield from files_below(entry.path, f"{prefix}{entry.name}/", without, passed)


def files_fitting(
    folder: str, parts: Sequence[Callable[[str], bool]], prefix: str = ""
) -> Iterator[tuple[str, str]]:
    """The same for those whose path fits part by part; no other folder is looked into."""
    for entry in _entries(folder):
        if not parts[0](entry.name):
            continue
        if len(parts) > 1 and entry.is_dir():
            yield from files_fitting(entry.path, parts[1:], f"{prefix}{entry.name}/")
        elif len(parts) == 1 and entry.is_file() and not _ASIDE.search(entry.name):
            yield prefix + entry.name, entry.path


def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            return sorted(found, key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return []
