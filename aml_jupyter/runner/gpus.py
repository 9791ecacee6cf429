"""What the GPUs of this machine do, as NVIDIA's driver tells it.

The driver is asked on a thread of its own: it may take seconds to wake, and may never answer.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, NamedTuple

from ..errors import RunConfigurationException
from ..spec.words import parse_bytes

FAKES = "AML_FAKE_GPUS"
"""Names GPUs to be taken for real, for tests of the queue: ``8x16G`` or ``4x16G,2x80G``."""

_LIBRARY = "libnvidia-ml.so.1"
_REST_AFTER = 30.0
_AFTER_TROUBLE = 60.0
_LOST_AFTER = 10.0


class Gpu(NamedTuple):
    """A GPU at one moment; ``load`` in percent, memory in bytes, None where it is not told.

    ``total`` is what jobs can have of its memory: without what the driver keeps for itself.
    """

    number: int
    uuid: str
    load: float | None
    memory: float | None
    processes: Mapping[int, int | None]
    total: float | None = None

    def memory_of(self, pids: Collection[int]) -> float | None:
        """What ``pids`` hold of its memory; all that is in use where nobody says whose it is."""
        own = [self.processes[pid] for pid in pids if pid in self.processes]
        # In a container the driver may speak of processes that only the host knows.
        told = own or all(os.path.exists(f"/proc/{pid}") for pid in self.processes)
        if not told or None in own:
            return self.memory
        return float(sum(memory or 0 for memory in own))


class Reading(NamedTuple):
    """All GPUs at a time."""

    time: float
    gpus: tuple[Gpu, ...]

    def used_by(self, pids: Collection[int], visible: str | None) -> list[Gpu]:
        """The GPUs that ``pids`` compute on; else those that CUDA_VISIBLE_DEVICES names."""
        found = [gpu for gpu in self.gpus if not gpu.processes.keys().isdisjoint(pids)]
        return found or list(self.named(visible or ""))

    def named(self, visible: str) -> Iterable[Gpu]:
        """The GPUs that a CUDA_VISIBLE_DEVICES of ``visible`` names, in its order."""
        for name in map(str.strip, visible.split(",")):
            gpu = next((gpu for gpu in self.gpus if _is_named(gpu, name)), None)
            if gpu is None:  # CUDA stops here, too
                return
            yield gpu


class Gpus:
    """The newest reading, and a thread that takes the next one when asked.

    Where there is no driver the first reading says so and stays. Trouble with a driver is told
    once, kept in ``trouble``, and the driver left alone for a while. A GPU with an error is as it
    was, and lost when it has had nothing else for ``lost_after`` seconds.
    """

    def __init__(self, say: Callable[[str], None], lost_after: float = _LOST_AFTER) -> None:
        self.newest: Reading | None = None
        self.trouble = ""
        self._thread: threading.Thread | None = None
        self._asked = threading.Event()
        self._is_settled = False
        self._not_before = 0.0
        self._say = say
        self._lost_after = lost_after
        self._seen: dict[int, Gpu] = {}
        self._errors: dict[int, float] = {}

    @property
    def age(self) -> float:
        """Seconds since the newest reading; infinite without one, 0 when it stays true."""
        newest = self.newest
        if newest is None:
            return math.inf
        return 0.0 if self._is_settled else max(0.0, time.time() - newest.time)

    def ask(self) -> None:
        """Have a new reading taken; returns at once."""
        if self._is_settled or time.monotonic() < self._not_before:
            return
        self._asked.set()
        if self._thread is None or not self._thread.is_alive():
            self.newest = None
            self._thread = threading.Thread(target=self._serve, name="gpus", daemon=True)
            self._thread.start()

    def _serve(self) -> None:
        try:
            fakes = os.environ.get(FAKES)
            if fakes or not _has_driver():
                self.newest = Reading(time.time(), tuple(fake_gpus(fakes or "")))
                self._is_settled = True
                return
            import pynvml

            pynvml.nvmlInit()
            try:
                self._read_while_asked(pynvml)
            finally:
                # A GPU that somebody holds on to does not sleep.
                pynvml.nvmlShutdown()
        except Exception as error:  # noqa: BLE001 - a driver's trouble is no run's
            self._leave_alone(error)

    def _leave_alone(self, error: Exception) -> None:
        self._not_before = time.monotonic() + _AFTER_TROUBLE
        if repr(error) != self.trouble:
            self._say(f"GPUs are not sampled: {error!r}")
        self.trouble = repr(error)

    def _read_while_asked(self, nvml: Any) -> None:
        while self._asked.wait(_REST_AFTER):
            self._asked.clear()
            if self._look_at_each(nvml):
                self.newest = Reading(
                    time.time(), tuple(gpu for _, gpu in sorted(self._seen.items()))
                )
            self.trouble = ""

    def _look_at_each(self, nvml: Any) -> bool:
        """See how all GPUs are; False while one has only had errors that may pass."""
        there = range(max([nvml.nvmlDeviceGetCount(), *(index + 1 for index in self._seen)]))
        for index in there:
            gpu = _gpu(nvml, index)
            if gpu is not None:
                self._seen[index] = gpu
                self._errors.pop(index, None)
            elif self._has_errors(index):
                self._seen.pop(index, None)
        return all(index in self._seen or self._has_errors(index) for index in there)

    def _has_errors(self, index: int) -> bool:
        """Whether a GPU that has an error now has had them for so long that it is lost."""
        now = time.monotonic()
        return now - self._errors.setdefault(index, now) >= self._lost_after


def fake_gpus(text: str) -> list[Gpu]:
    """The GPUs that ``text`` makes up, in the form of :data:`FAKES`; none of an empty one."""
    sizes: list[int] = []
    for group in filter(None, map(str.strip, text.split(","))):
        count, _, size = group.partition("x")
        try:
            sizes += [parse_bytes(size)] * int(count)
        except ValueError:
            raise RunConfigurationException(
                f"{FAKES} is {text!r}, which names no GPUs.", "Write it as 8x16G or 4x16G,2x80G."
            ) from None
    return [Gpu(n, f"GPU-fake-{n}", None, None, {}, size) for n, size in enumerate(sizes)]


def _has_driver() -> bool:
    import ctypes

    try:
        ctypes.CDLL(_LIBRARY)
    except OSError:
        return False
    return True


def _gpu(nvml: Any, index: int) -> Gpu | None:
    """A GPU with what it tells; None for one that has an error."""
    try:
        handle = nvml.nvmlDeviceGetHandleByIndex(index)
        uuid = nvml.nvmlDeviceGetUUID(handle)
    except nvml.NVMLError:
        return None
    load = _told(nvml, nvml.nvmlDeviceGetUtilizationRates, handle)
    memory = _memory(nvml, handle)
    processes: dict[int, int | None] = {}
    for each in _told(nvml, nvml.nvmlDeviceGetComputeRunningProcesses, handle) or ():
        known, more = processes.get(each.pid, 0), each.usedGpuMemory
        processes[each.pid] = None if known is None or more is None else known + more
    return Gpu(
        index,
        uuid if isinstance(uuid, str) else uuid.decode(),
        None if load is None else float(load.gpu),
        None if memory is None else float(memory.used),
        processes,
        None if memory is None else float(memory.used + memory.free),
    )


def _memory(nvml: Any, handle: Any) -> Any:
    """Memory used and free. Newer drivers can say it without what they keep for themselves."""
    version = getattr(nvml, "nvmlMemory_v2", None)
    newer = version and _told(nvml, lambda it: nvml.nvmlDeviceGetMemoryInfo(it, version), handle)
    return newer or _told(nvml, nvml.nvmlDeviceGetMemoryInfo, handle)


def _told(nvml: Any, question: Any, handle: Any) -> Any:
    """The answer; None where this GPU has none, as some of a divided GPU."""
    try:
        return question(handle)
    except nvml.NVMLError:
        return None


def _is_named(gpu: Gpu, name: str) -> bool:
    if name.startswith("GPU-"):
        return gpu.uuid.startswith(name)
    return name == str(gpu.number)
