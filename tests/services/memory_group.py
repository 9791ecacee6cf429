"""A group of processes that share little memory, made for a test and removed after it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_GROUPS = Path("/sys/fs/cgroup")
_EMPTY_WITHIN = 10.0


def is_possible() -> bool:
    """Whether such a group can be made here, told by making one."""
    try:
        with little_memory(1 << 30):
            return True
    except OSError:
        return False


@contextmanager
def little_memory(limit: int) -> Iterator[Callable[[int], object]]:
    """A group with so many bytes; what is yielded puts a process into it."""
    of_old = (_GROUPS / "memory").is_dir()
    group = (_GROUPS / "memory" if of_old else _GROUPS) / f"aml-test-{os.getpid()}"
    group.mkdir()
    try:
        name = "memory.limit_in_bytes" if of_old else "memory.max"
        (group / name).write_text(str(limit))
        yield lambda pid: (group / "cgroup.procs").write_text(str(pid))
    finally:
        until = time.monotonic() + _EMPTY_WITHIN
        while (group / "cgroup.procs").read_text().split() and time.monotonic() < until:
            time.sleep(0.01)
        group.rmdir()
