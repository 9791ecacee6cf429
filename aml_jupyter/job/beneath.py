"""Opening what lies below a run's folder, for those who are not the run's job.

The folder is the job's: it may put a link wherever it likes, and from a container such a link
leads to what the job itself cannot reach. So nobody outside writes there by a path alone. Each
folder on the way is opened by itself and no link is followed. What makes way for plain files and
folders, as long as it lies in the run, is the job's own; what a link leads to is not.
"""

from __future__ import annotations

import errno
import os
import stat

IN_THE_WAY = (errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.ENXIO, errno.EMLINK)
"""What opening says of a link, of a pipe, of a folder for a file and of a file for a folder."""

_NOT_FOLLOWED = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def open_plain(folder: str, path: str, flags: int) -> int:
    """A plain file below ``folder``; an OSError where a link or something else is in its place."""
    here, name = parent_of(folder, path, makes_way=False)
    try:
        return _plain(here, name, flags)
    finally:
        os.close(here)


def open_own(folder: str, path: str, flags: int) -> int:
    """The same for a file that is ours: whatever else has its name, or is on the way, goes."""
    here, name = parent_of(folder, path)
    try:
        return plain_at(here, name, flags)
    finally:
        os.close(here)


def replace(folder: str, path: str, data: bytes) -> None:
    """Let a file below ``folder`` hold ``data``, whole or not at all."""
    here, name = parent_of(folder, path)
    aside = f"{name}.{os.getpid()}.{os.urandom(3).hex()}.tmp"
    try:
        with open(_plain(here, aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL), "wb") as file:
            file.write(data)
        try:
            os.rename(aside, name, src_dir_fd=here, dst_dir_fd=here)
        except IsADirectoryError:
            remove_at(here, name)
            os.rename(aside, name, src_dir_fd=here, dst_dir_fd=here)
    except OSError:
        remove_at(here, aside)
        raise
    finally:
        os.close(here)


def parent_of(folder: str, path: str, makes_way: bool = True) -> tuple[int, str]:
    """The open folder that ``path`` below ``folder`` lies in, made if need be, and its name there.

    Without ``makes_way`` nothing is made, and what is no folder is an OSError.
    """
    *folders, name = path.split("/")
    here = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in folders:
            below = enter(here, part) if makes_way else os.open(part, _FOLDER, dir_fd=here)
            os.close(here)
            here = below
    except BaseException:
        os.close(here)
        raise
    return here, name


# In a folder that is open ---------------------------------------------------------------------


def enter(here: int, name: str) -> int:
    """The folder ``name``, which is made; a link or a file of that name goes."""
    try:
        return os.open(name, _FOLDER, dir_fd=here)
    except FileNotFoundError:
        pass
    except OSError as error:
        if error.errno not in IN_THE_WAY:
            raise
        os.unlink(name, dir_fd=here)
    try:
        os.mkdir(name, dir_fd=here)
    except FileExistsError:
        pass
    return os.open(name, _FOLDER, dir_fd=here)


def plain_at(here: int, name: str, flags: int) -> int:
    """The plain file ``name``; whatever else has the name makes room for it."""
    try:
        return _plain(here, name, flags)
    except OSError as error:
        if error.errno not in IN_THE_WAY:
            raise
    remove_at(here, name)
    return _plain(here, name, flags)


def remove_at(here: int, name: str) -> None:
    """Let there be nothing called ``name``."""
    try:
        os.unlink(name, dir_fd=here)
    except FileNotFoundError:
        return
    except (IsADirectoryError, PermissionError):  # macOS says the latter of a folder
        for _, folders, files, below in os.fwalk(name, topdown=False, dir_fd=here):
            for file in files:
                os.unlink(file, dir_fd=below)
            for folder in folders:
                _remove_empty(below, folder)
        os.rmdir(name, dir_fd=here)


def _plain(here: int, name: str, flags: int) -> int:
    file = os.open(name, flags | _NOT_FOLLOWED, 0o644, dir_fd=here)
    if stat.S_ISREG(os.fstat(file).st_mode):
        return file
    os.close(file)
    raise OSError(errno.ENXIO, "Not a plain file", name)


def _remove_empty(here: int, name: str) -> None:
    """Remove a folder, or a link to one."""
    try:
        os.rmdir(name, dir_fd=here)
    except NotADirectoryError:
        os.unlink(name, dir_fd=here)
