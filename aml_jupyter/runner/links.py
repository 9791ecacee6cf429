"""Many files at once in a folder of a run: linked, which copies nothing, or copied.

A link is a hard one wherever the file system allows it. It costs a third of a symbolic one, which
takes an inode of its own, and to ``find``, ``cp -r`` and ``tar`` it is a file like any other; what
is replaced or deleted in a datastore meanwhile stays as it was for the run. Across file systems,
and for files of others, links are symbolic.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import closing

File = tuple[str, str]
"""The name of a file below the folder, and where it is."""

Note = Callable[[int, int], None]
"""Is told how many bytes of how many are done; what it raises ends the work."""

_NO_HARD_LINK = (errno.EXDEV, errno.EPERM, errno.EACCES, errno.EMLINK, errno.ENOTSUP, errno.ENOSYS)
_NO_RANGES = (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EBADF)
_AT_ONCE = 1 << 26
_COPIERS, _TOGETHER = 4, 64
_TELL_EVERY = 0.2


def link_files(files: Iterable[File], folder: str) -> list[str]:
    """Let ``folder`` have links to the files; returns the paths of those linked symbolically."""
    symbolic: list[str] = []
    last, source, target = ("", ""), -1, -1
    with closing(_Folders(folder)) as folders:
        for name, path in files:
            # Ten thousand times: what is the same for a whole folder is done once.
            above, _, base = name.rpartition("/")
            where, _, here = path.rpartition("/")
            if (above, where) != last:
                last = (above, where)
                source, target = folders.between(where, above)
            try:
                # Given folders that are open, it follows a link that lies in the datastore.
                os.link(here, base, src_dir_fd=source, dst_dir_fd=target, follow_symlinks=True)
            except OSError as error:
                if error.errno not in _NO_HARD_LINK:
                    raise
                os.symlink(path, base, dir_fd=target)
                symbolic.append(path)
    return symbolic


class _Folders:
    """The two folders that a link is between, kept open while files of the same ones follow."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._open: tuple[int, ...] = ()

    def between(self, where: str, above: str) -> tuple[int, int]:
        """The folder of files, and that of the links to them, which is made; both open."""
        target = os.path.join(self._folder, inside(above)) if above else self._folder
        os.makedirs(target, exist_ok=True)
        self.close()
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
        self._open = (os.open(where or "/", flags),)
        self._open += (os.open(target, flags),)
        return self._open[0], self._open[1]

    def close(self) -> None:
        """Let go of both."""
        for each in self._open:
            os.close(each)
        self._open = ()


def copy_files(files: Sequence[File], folder: str, note: Note) -> None:
    """Let ``folder`` have copies of the files, by several threads at once."""
    total = sum(os.stat(path).st_size for _, path in files)
    for above in {os.path.dirname(inside(name)) for name, _ in files}:
        os.makedirs(os.path.join(folder, above), exist_ok=True)
    copying = _Copying(folder)
    with ThreadPoolExecutor(_COPIERS) as pool:
        parts = [files[at : at + _TOGETHER] for at in range(0, len(files), _TOGETHER)]
        waited_for = {pool.submit(copying.copy_all, part) for part in parts}
        try:
            while waited_for:
                over, waited_for = wait(waited_for, _TELL_EVERY, FIRST_EXCEPTION)
                for each in over:
                    each.result()
                note(min(copying.done, total), total)
        except BaseException:
            copying.is_over = True
            raise


class _Copying:
    """Copies of files in one folder, which end early once they are not wanted any more."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self.done = 0
        self.is_over = False

    def copy_all(self, files: Sequence[File]) -> None:
        """Copy files one after the other."""
        for name, path in files:
            if self.is_over:
                return
            self._copy(path, os.path.join(self._folder, inside(name)))

    def _copy(self, path: str, target: str) -> None:
        """Copy a file with its time; it can be written to, whatever the original says."""
        with open(path, "rb", buffering=0) as source, open(target, "wb", buffering=0) as copy:
            facts = os.fstat(source.fileno())
            for size in self._pieces(source.fileno(), copy.fileno()):
                self.done += size  # for people: two threads may lose a piece between them
            os.fchmod(copy.fileno(), facts.st_mode & 0o777 | 0o600)
            os.utime(copy.fileno(), ns=(facts.st_atime_ns, facts.st_mtime_ns))

    def _pieces(self, source: int, copy: int) -> Iterator[int]:
        """Copy piece by piece, in the kernel where it can: some file systems then share blocks."""
        in_kernel = hasattr(os, "copy_file_range")
        while not self.is_over:
            try:
                if in_kernel:
                    size = os.copy_file_range(source, copy, _AT_ONCE)
                else:
                    size = os.write(copy, os.read(source, 1 << 20))
            except OSError as error:
                if not in_kernel or error.errno not in _NO_RANGES:
                    raise
                in_kernel = False
                continue
            if not size:
                return
            yield size


def inside(name: str) -> str:
    """``name`` without parts that would lead out of the folder it is below."""
    return "/".join(part for part in name.split("/") if part not in ("", ".", ".."))


def move_file(path: str, target: str) -> None:
    """Let a file be at ``target`` instead: by its name alone where that is the same disk."""
    os.makedirs(os.path.dirname(target), exist_ok=True)
    try:
        os.rename(path, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        aside = f"{target}.{os.getpid()}.{os.urandom(3).hex()}.tmp"
        shutil.copy2(path, aside)
        os.replace(aside, target)
        os.unlink(path)
