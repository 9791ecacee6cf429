"""The processes of a job, wherever they have wandered, and how to end them."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Mapping, Sequence

from ..job.layout import FOLDER_VARIABLE

_ON_LINUX = os.path.isdir("/proc/self")


def processes_of(folder: str, session: int | None) -> list[int]:
    """The pids of a job: those of its session, and those that carry its run's variable.

    A daemon that left the session still has the variable in its environment; a program that
    overwrote its environment is still in the session.
    """
    return processes_of_each([(folder, session)])[0]


def processes_of_each(jobs: Sequence[tuple[str, int | None]]) -> list[list[int]]:
    """The same for many jobs, by one look at all processes."""
    sessions = {session: job for job, (_, session) in enumerate(jobs) if session is not None}
    marks = {_mark(folder): job for job, (folder, _) in enumerate(jobs)}
    found: list[list[int]] = [[] for _ in jobs]
    not_theirs = {os.getpid(), *sessions}
    for pid in _pids():
        if pid not in not_theirs:
            job = _job_in(pid, sessions)
            job = _job_carried(pid, marks) if job is None else job
            if job is not None:
                found[job].append(pid)
    return found


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


def _job_in(pid: int, sessions: Mapping[int, int]) -> int | None:
    try:
        job = sessions.get(os.getsid(pid))
    except (ProcessLookupError, PermissionError):
        return None
    return job if job is not None and _is_running(pid) else None


def _is_running(pid: int) -> bool:
    """False for a zombie: it has ended, and no signal will make it end more."""
    if not _ON_LINUX:
        return True
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0] not in (b"Z", b"X")
    except OSError:
        return False


def _mark(folder: str) -> bytes:
    return os.fsencode(f"{FOLDER_VARIABLE}={folder}")


def _job_carried(pid: int, marks: Mapping[bytes, int]) -> int | None:
    """The job whose variable is in the environment of the process."""
    return next((marks[entry] for entry in _environment(pid) if entry in marks), None)


def _environment(pid: int) -> list[bytes]:
    if _ON_LINUX:
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                return file.read().split(b"\0")
        except OSError:
            return []
    import psutil

    try:
        folder = psutil.Process(pid).environ().get(FOLDER_VARIABLE)
    except psutil.Error:
        return []
    return [] if folder is None else [_mark(folder)]
