"""The processes of containers as this machine counts them, without asking an engine."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

_INIT = "1"


def processes_in(containers: Sequence[tuple[str, str]]) -> list[list[int]]:
    """The pids in each container, given by its id and its launcher's pid inside; in this order.

    Init process and launcher only wait and are left out. By one look at all processes: whose
    control group has the id in its name, which any user may read, for Docker as for Podman.
    """
    found: list[list[int]] = [[] for _ in containers]
    sought = {
        identity: (position, {_INIT, launcher})
        for position, (identity, launcher) in enumerate(containers)
        if identity
    }
    for pid in _pids() if sought else ():
        groups = _text(f"/proc/{pid}/cgroup")
        for identity, (position, waiting) in sought.items():
            if identity in groups and _inside(pid) not in waiting:
                found[position].append(pid)
    return found


def _pids() -> Iterator[int]:
    if os.path.isdir("/proc/self"):
        yield from (int(name) for name in os.listdir("/proc") if name.isdigit())


def _inside(pid: int) -> str:
    """What a process is counted as in its own container; as the init process when it is gone."""
    for line in _text(f"/proc/{pid}/status").splitlines():
        if line.startswith("State:") and line.split()[1] in "ZX":
            return _INIT
        if line.startswith("NSpid:"):
            return line.split()[-1]
    return _INIT


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""
