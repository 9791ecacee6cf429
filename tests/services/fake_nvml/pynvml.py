"""A stand-in for NVIDIA's ``pynvml``: two GPUs whose state is a folder that processes share.

The folder is named by ``FAKE_NVML``. A job takes memory of a GPU by :func:`occupy`; a test spoils
the driver by making a file ``broken`` or ``hangs`` there, or one GPU by ``lost-1``.
``calls`` says who started it.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from types import SimpleNamespace

_STATE = Path(os.environ["FAKE_NVML"])
_GPUS = ("GPU-1f0e0000-0000-0000-0000-000000000000", "GPU-2a000000-0000-0000-0000-000000000000")
_MEMORY = 16 << 30
_SYSTEM_USES = 1 << 20
_LOAD = 37

_is_up = False


class NVMLError(Exception):
    """Any trouble with the driver."""


def occupy(gpu: int, memory: int) -> None:
    """Let this process compute on a GPU, as a job does."""
    place = _STATE / str(gpu)
    place.mkdir(parents=True, exist_ok=True)
    (place / "new").write_text(json.dumps(memory))
    (place / "new").rename(place / str(os.getpid()))


def nvmlInit() -> None:
    global _is_up
    with open(_STATE / "calls", "a") as file:
        file.write(f"init {os.getpid()}\n")
    _is_up = True


def nvmlShutdown() -> None:
    global _is_up
    _is_up = False


def nvmlDeviceGetCount() -> int:
    _answer()
    return len(_GPUS)


def nvmlDeviceGetHandleByIndex(index: int) -> int:
    _answer()
    return index


def nvmlDeviceGetUUID(handle: int) -> str:
    _answer()
    if (_STATE / f"lost-{handle}").exists():
        raise NVMLError("GPU is lost")
    return _GPUS[handle]


def nvmlDeviceGetUtilizationRates(handle: int) -> SimpleNamespace:
    _answer()
    return SimpleNamespace(gpu=_LOAD + handle, memory=0)


def nvmlDeviceGetMemoryInfo(handle: int) -> SimpleNamespace:
    _answer()
    used = _SYSTEM_USES + sum(memory for _, memory in _processes(handle))
    return SimpleNamespace(used=used, free=_MEMORY - used, total=_MEMORY)


def nvmlDeviceGetComputeRunningProcesses(handle: int) -> list[SimpleNamespace]:
    _answer()
    found = _processes(handle)
    return [SimpleNamespace(pid=pid, usedGpuMemory=memory) for pid, memory in found]


def _answer() -> None:
    while (_STATE / "hangs").exists():
        time.sleep(0.05)
    if not _is_up or (_STATE / "broken").exists():
        raise NVMLError("GPU is lost")


def _processes(handle: int) -> list[tuple[int, int]]:
    """The processes that compute there and are alive."""
    return [
        (int(path.name), json.loads(path.read_text()))
        for path in sorted((_STATE / str(handle)).glob("[0-9]*"))
        if os.path.exists(f"/proc/{path.name}")
    ]
