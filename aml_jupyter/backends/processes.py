"""The processes of a job, wherever they have wandered, and how to end them."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

from ..job.layout import FOLDER_VARIABLE

_ON_LINUX = os.path.isdir("/proc/self")


def processes_of(folder: str, session: int | None) -> list[int]:
    """The pids of a job: those of its session, and those that carry its run's variable.

    A daemon that left the session still has the variable in its environment; a program that
    overwrote its environment is still in the session.
    """
    mark = os.fsencode(f"{FOLDER_VARIABLE}={folder}")
    own = os.getpid()
    return [
        pid
        for pid in _pids()
        if pid not in (own, session) and (_is_in(pid, session) or _carries(pid, mark))
    ]


def end(pids: list[int], force: bool) -> None:
    """Ask processes to end, or end them; those that are gone already are no matter."""
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL if force else signal.SIGTERM)
        except (ProcessLookupError, PermissionError):
            continue
    wake(pids)  # a stopped process cannot hear the first signal


def wake(pids: list[int]) -> None:
    """Let processes go on that were stopped."""
    for pid in pids:
        try:
            os.kill(pid, signal.SIGCONT)
        except (ProcessLookupError, PermissionError):
            continue


def _pids() -> Iterator[int]:
    if _ON_LINUX:
        yield from (int(name) for name in os.listdir("/proc") if name.isdigit())
        return
    import psutil

    yield from psutil.pids()


def _is_in(pid: int, session: int | None) -> bool:
    try:
        return session is not None and os.getsid(pid) == session and _is_running(pid)
    except (ProcessLookupError, PermissionError):
        return False


def _is_running(pid: int) -> bool:
    """False for a zombie: it has ended, and no signal will make it end more."""
    if not _ON_LINUX:
        return True
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0] not in (b"Z", b"X")
    except OSError:
        return False


def _carries(pid: int, mark: bytes) -> bool:
    if _ON_LINUX:
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                return mark in file.read().split(b"\0")
        except OSError:
            return False
    import psutil

    try:
        name, _, value = os.fsdecode(mark).partition("=")
        return bool(psutil.Process(pid).environ().get(name) == value)
    except psutil.Error:
        return False
