"""What is in a source folder: the files a snapshot takes along, found without reading them."""

from __future__ import annotations

import errno
import heapq
import os
import stat
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from ..errors import SnapshotException
from .ignore import (
    LEFT_OUT_ANYWHERE,
    LEFT_OUT_AT_ROOT,
    NOT_NAMED,
    IgnoreRules,
    find_ignore_file,
    read_rules,
)

MB = 1024 * 1024

# A walk this far over the limit has seen enough to say what is large (think of a home folder).
_GIVE_UP_AT = 20


class Found(NamedTuple):
    """A file of the source folder: its name in the snapshot, its path on disk, its facts."""

    path: str
    where: bytes
    facts: os.stat_result


@dataclass
class Source:
    """What a walk found; ``skipped`` names sockets, pipes and devices, which stay at home."""

    directory: Path
    files: list[Found] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)


def as_text(name: bytes) -> str:
    """A file name as a string, whatever its bytes; :func:`as_bytes` gives the bytes back."""
    return name.decode("utf-8", "surrogateescape")


def as_bytes(name: str) -> bytes:
    """The bytes of a file name."""
    return name.encode("utf-8", "surrogateescape")


def printable(name: str) -> str:
    """A file name fit for a message: one line, no bytes that cannot be printed."""
    text = name.encode("utf-8", "backslashreplace").decode() if name else name
    return text if text.isprintable() else repr(text)[1:-1]


def look_through(directory: Path, limit_bytes: int) -> Source:
    """The files of a folder that its ignore file does not leave out.

    Raises :class:`SnapshotException` for what cannot be taken along, and for more than
    ``limit_bytes``.
    """
    if not directory.is_dir():
        problem = "is not a folder" if directory.exists() else "does not exist"
        raise SnapshotException(
            f"The source folder {directory} {problem}.", "Give the folder your script is in."
        )
    source = Source(directory)
    _Walk(source, read_rules(directory), limit_bytes * _GIVE_UP_AT).run()
    source.files.sort()
    check_size([(f.path, f.facts.st_size) for f in source.files], limit_bytes, directory)
    return source


class _Folder(NamedTuple):
    """A folder still to be walked. ``above`` identifies it and the folders it is in."""

    where: bytes
    path: str
    verdict: int
    above: frozenset[tuple[int, int]]
    link: str  # the last link followed on the way here


class _Walk:
    def __init__(self, source: Source, rules: IgnoreRules, enough: int) -> None:
        self._source = source
        self._rules = rules
        self._enough = enough
        self._bytes = 0
        self._folders: list[_Folder] = []

    def run(self) -> None:
        root = os.path.realpath(os.fsencode(self._source.directory))
        above = frozenset(_identity(os.stat(folder)) for folder in _with_parents(root))
        self._folders.append(_Folder(root, "", NOT_NAMED, above, ""))
        while self._folders and self._bytes <= self._enough:
            folder = self._folders.pop()
            for entry in self._entries(folder):
                name = as_text(entry.name)
                path = f"{folder.path}{name}"
                if name in LEFT_OUT_ANYWHERE or path in LEFT_OUT_AT_ROOT:
                    continue
                try:
                    self._visit(folder, entry, path, name)
                except FileNotFoundError:
                    pass  # deleted since it was listed
                except PermissionError as error:
                    raise cannot_read(self._source.directory, path, error) from error

    def _entries(self, folder: _Folder) -> Iterator[os.DirEntry[bytes]]:
        try:
            with os.scandir(folder.where) as entries:
                yield from entries
        except FileNotFoundError:
            return  # deleted since it was listed
        except PermissionError as error:
            raise cannot_read(self._source.directory, folder.path or "./", error) from error

    def _visit(self, folder: _Folder, entry: os.DirEntry[bytes], path: str, name: str) -> None:
        if entry.is_dir(follow_symlinks=False):
            self._visit_folder(folder, entry, path, name, folder.link)
        elif self._leaves_out_file(folder, path, name):
            return
        elif entry.is_file(follow_symlinks=False):
            self._keep(path, entry, entry.stat(follow_symlinks=False))
        elif entry.is_symlink():
            self._visit_link(folder, entry, path, name)
        else:
            self._source.skipped.append(path)

    def _visit_link(self, folder: _Folder, entry: os.DirEntry[bytes], path: str, name: str) -> None:
        try:
            facts = os.stat(entry.path)
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise _circular(self._source.directory, path) from error
            raise cannot_read(self._source.directory, path, error) from error
        if stat.S_ISDIR(facts.st_mode):
            self._visit_folder(folder, entry, path, name, path)
        elif stat.S_ISREG(facts.st_mode):
            self._keep(path, entry, facts)
        else:
            self._source.skipped.append(path)

    def _visit_folder(
        self, folder: _Folder, entry: os.DirEntry[bytes], path: str, name: str, link: str
    ) -> None:
        verdict = self._rules.on_folder(path, name, folder.verdict)
        if self._rules.leaves_out(verdict) and not self._rules.may_return_below(path, verdict):
            return
        identity = _identity(os.stat(entry.path))
        # Without a link no folder is inside itself, whatever numbers a file system makes up.
        if link and identity in folder.above:
            raise _circular(self._source.directory, link)
        above = folder.above | {identity}
        self._folders.append(_Folder(entry.path, f"{path}/", verdict, above, link))

    def _leaves_out_file(self, folder: _Folder, path: str, name: str) -> bool:
        return self._rules.leaves_out(self._rules.on_file(path, name, folder.verdict))

    def _keep(self, path: str, entry: os.DirEntry[bytes], facts: os.stat_result) -> None:
        self._source.files.append(Found(path, entry.path, facts))
        self._bytes += facts.st_size


def _identity(facts: os.stat_result) -> tuple[int, int]:
    return facts.st_dev, facts.st_ino


def _with_parents(folder: bytes) -> Iterator[bytes]:
    yield folder
    while folder != b"/":
        folder = os.path.dirname(folder)
        yield folder


def cannot_read(directory: Path, path: str, error: OSError) -> SnapshotException:
    """The error for a file or folder that is there but cannot be read."""
    where = f"{printable(str(directory))}/{printable(path)}"
    reason = error.strerror or "unknown reason"
    if error.errno == errno.ENOENT:
        reason = "it is a link to something that does not exist"
    return SnapshotException(
        f"{where} cannot be taken along: {reason}.",
        f"Make it readable, or leave it out with the line `{_pattern(path)}` "
        f"in {ignore_file_to_write(directory)}.",
    )


def _circular(directory: Path, path: str) -> SnapshotException:
    return SnapshotException(
        f"The link {printable(str(directory))}/{printable(path)} is circular: "
        "following it leads back to a folder it is in.",
        f"Remove it, or leave it out with the line `{_pattern(path)}` "
        f"in {ignore_file_to_write(directory)}.",
    )


def ignore_file_to_write(directory: Path) -> str:
    """The ignore file a user should add a line to: the one that counts now, or a new one."""
    return printable(str(find_ignore_file(directory) or directory / ".amlignore"))


def _pattern(path: str) -> str:
    """An ignore-file line for exactly this path."""
    special = "".join(f"\\{c}" if c in "*?[]\\" else c for c in printable(path))
    return f"/{special}"


def check_size(sizes: list[tuple[str, int]], limit_bytes: int, directory: Path | None) -> None:
    """Raise an error that names what is largest if all together is over the limit."""
    total = sum(size for _, size in sizes)
    if total <= limit_bytes:
        return
    largest = _largest(sizes)
    largest = [(p, size) for p, size in largest if size * 100 >= total] or largest[:1]
    named = ", ".join(f"{printable(path)} ({size / MB:,.1f} MB)" for path, size in largest)
    remedy = "Send less"
    if directory:
        example = _pattern(largest[0][0])
        where = ignore_file_to_write(directory)
        remedy = f"Leave something out with a line in {where}, such as `{example}`"
    raise SnapshotException(
        f"Your total snapshot size exceeds the limit of {limit_bytes / MB:.1f} MB. "
        f"Largest: {named}.",
        f"{remedy}; or raise the limit: AML_SNAPSHOT_MAX_BYTES=<bytes>.",
    )


def _largest(sizes: Iterable[tuple[str, int]], count: int = 5) -> list[tuple[str, int]]:
    """The largest files and folders, none inside another.

    A folder stands for what it holds, unless one thing in it makes up most of it.
    """
    inside: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for path, size in sizes:
        end = path.find("/") + 1
        folder = ""
        while end:
            inside[folder][path[:end]] += size
            folder = path[:end]
            end = path.find("/", end) + 1
        inside[folder][path] += size
    heap = [(-size, path) for path, size in inside[""].items()]
    heapq.heapify(heap)
    largest: list[tuple[str, int]] = []
    while heap and len(largest) < count:
        size, path = heapq.heappop(heap)
        parts = inside.get(path, {})
        if parts and 2 * max(parts.values()) >= -size:
            for part, part_size in parts.items():
                heapq.heappush(heap, (-part_size, part))
        else:
            largest.append((path, -size))
    return largest
