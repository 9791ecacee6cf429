"""Which process is which, so that a recycled pid is never taken for a job."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def boot_id() -> str:
    """Names this boot of this machine; empty where the system does not say."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return ""


def started_at(pid: int) -> int | None:
    """The process's start in clock ticks since boot; None when there is no such process.

    A zombie counts as gone: it has ended, only its parent has not looked yet.
    """
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # The second field is the program's name in brackets and may hold anything.
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return _exists(pid) if not os.path.isdir("/proc/self") else None
    return None if fields[0] in (b"Z", b"X") else int(fields[19])


def _exists(pid: int) -> int | None:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    return 0


def identity(pid: int | None = None) -> dict[str, Any]:
    """What to write down to find this process again: pid, start and boot."""
    pid = os.getpid() if pid is None else pid
    return {"pid": pid, "started": started_at(pid), "boot": boot_id()}


def is_alive(who: dict[str, Any] | None) -> bool:
    """Whether the process described by :func:`identity` still runs."""
    if not who or who.get("boot") != boot_id():
        return False
    started = started_at(int(who["pid"]))
    return started is not None and started == who.get("started")
