"""A run's folder as a place that is written to by names and links that a job chose."""

from __future__ import annotations

import hashlib
import os
import posixpath
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..errors import ServiceException
from ..job.beneath import parent_of, plain_at, remove_at

_PIECE = 1 << 20


class Place:
    """Writes below ``folder`` and nowhere else: links that lie there are replaced, not followed.

    Paths are relative, with ``/``; folders are made as they are needed.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = os.path.abspath(folder)

    def write(self, path: str, offset: int, data: bytes) -> None:
        """Let these bytes be at ``offset`` of a file."""
        with self._file(path) as file:
            _write_all(file, data, offset)

    def cut(self, path: str, size: int) -> None:
        """Let a file be this long; it is made if there is none."""
        with self._file(path) as file:
            os.ftruncate(file, size)

    def write_aside(self, path: str, offset: int, data: bytes) -> None:
        """Add to what :meth:`replace` will put in the place of ``path``; offset 0 begins it."""
        with self._file(_aside(path)) as file:
            if offset == 0:
                os.ftruncate(file, 0)
            _write_all(file, data, offset)

    def replace(self, path: str, changed: int, mode: int = 0o644) -> None:
        """Put what was written aside in its place, whole, with its time of change (ns)."""
        with self._file(_aside(path)) as file:
            os.fchmod(file, mode & 0o777 | 0o600)
            os.utime(file, ns=(changed, changed))
        with self._parent(path) as (here, name):
            aside = posixpath.basename(_aside(path))
            try:
                os.rename(aside, name, src_dir_fd=here, dst_dir_fd=here)
            except IsADirectoryError:
                remove_at(here, name)
                os.rename(aside, name, src_dir_fd=here, dst_dir_fd=here)

    def receive(self, path: str, pieces: Iterable[bytes], changed: int, mode: int) -> None:
        """A whole file, in place of what was there; nothing remains of one that breaks off."""
        try:
            offset = 0
            self.write_aside(path, 0, b"")
            for piece in pieces:
                self.write_aside(path, offset, piece)
                offset += len(piece)
            self.replace(path, changed, mode)
        except BaseException:
            self.remove(_aside(path))
            raise

    def grow(self, path: str, pieces: Iterable[bytes], changed: int, mode: int) -> None:
        """A whole file, written over what is there: whoever follows it sees it grow."""
        with self._file(path) as file:
            offset = 0
            for piece in pieces:
                _write_all(file, piece, offset)
                offset += len(piece)
            os.ftruncate(file, offset)
            os.fchmod(file, mode & 0o777 | 0o600)
            os.utime(file, ns=(changed, changed))

    def make(self, path: str) -> None:
        """Let there be a folder."""
        with self._parent(f"{path}/.") as _:
            return

    def link(self, path: str, target: str) -> bool:
        """Make a symbolic link, unless it would lead out of the folder."""
        inside = posixpath.join(posixpath.dirname(posixpath.join(self._folder, path)), target)
        if not f"{posixpath.normpath(inside)}/".startswith(f"{self._folder}/"):
            return False
        with self._parent(path) as (here, name):
            with suppress(FileNotFoundError):
                if os.readlink(name, dir_fd=here) == target:
                    return True
            remove_at(here, name)
            os.symlink(target, name, dir_fd=here)
        return True

    def link_hard(self, path: str, to: str) -> None:
        """Let ``path`` be the same file as ``to``."""
        with self._parent(to) as (there, old), self._parent(path) as (here, new):
            remove_at(here, new)
            os.link(old, new, src_dir_fd=there, dst_dir_fd=here, follow_symlinks=False)

    def remove(self, path: str) -> None:
        """Let there be nothing at ``path``."""
        with self._parent(path) as (here, name):
            remove_at(here, name)

    @contextmanager
    def _parent(self, path: str) -> Iterator[tuple[int, str]]:
        _check(path)
        here, name = parent_of(self._folder, path)
        try:
            yield here, name
        finally:
            os.close(here)

    @contextmanager
    def _file(self, path: str) -> Iterator[int]:
        with self._parent(path) as (here, name):
            file = plain_at(here, name, os.O_RDWR | os.O_CREAT)
        try:
            yield file
        finally:
            os.close(file)


def _check(path: str) -> None:
    parts = path.split("/")
    if "\0" in path or any(part in ("", "..") for part in parts) or "." in parts[:-1]:
        raise ServiceException(
            f"{path!r} is no path of a file of a run.", "The container sent it; look into its log."
        )


def _aside(path: str) -> str:
    """A name beside ``path`` that is short enough whatever its own is."""
    folder, _, name = path.rpartition("/")
    own = f".{hashlib.sha256(os.fsencode(name)).hexdigest()[:20]}.tmp"
    return f"{folder}/{own}" if folder else own


def _write_all(file: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(file, view[:_PIECE], offset)
        view, offset = view[written:], offset + written
