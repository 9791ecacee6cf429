"""What this machine has for runs: GPUs and who else computes on them, processors, memory."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path

from ..backends.visible import submitters
from . import gpus as driver
from .leases import NOT_TOLD, Gpu, Machine, Process

_ASK_EVERY = 1.0
_STALE = 5.0
_LOOK_AGAIN = 0.05
_LONGEST_NAME = 60
_CGROUPS = Path("/sys/fs/cgroup")


class MachineWatch:
    """The machine as it was lately seen; looking never waits for the driver."""

    def __init__(self, gpus: driver.Gpus) -> None:
        self._gpus = gpus
        self._known: driver.Reading | None = None
        self._lessees: dict[int, set[int]] = {}
        self._asked = 0.0
        self._waits = False

    def look(self, lessees: Mapping[int, Collection[int]], wanted: bool) -> Machine:
        """The machine now. ``lessees`` are the pids of the jobs that each leased GPU is for.

        With ``wanted`` (some run waits for GPUs) a GPU that may be leased was looked at lately.
        """
        if (wanted or self._known is None) and self._gpus.age > _ASK_EVERY:
            self._ask()
        self._known = self._gpus.newest or self._known
        trouble = self._trouble() if wanted else ""
        self._waits = bool(trouble)
        if self._known is None:
            return Machine(None, processors(), memory(), 0, trouble)
        self._remember(lessees, self._known)
        visible = submitters(os.environ)
        seen = self._known.gpus if visible is None else tuple(self._known.named(visible))
        found = tuple(
            as_leasable(gpu, self._lessees.get(gpu.number, ()), gpu.number in lessees)
            for gpu in sorted(seen)
        )
        hidden = len(self._known.gpus) - len(found)
        return Machine(found, processors(), memory(), hidden, trouble)

    @property
    def loads(self) -> dict[int, float | None]:
        """How busy each GPU was when it was last seen, in percent."""
        return {gpu.number: gpu.load for gpu in self._known.gpus} if self._known else {}

    @property
    def next_look(self) -> float | None:
        """Seconds until the driver may have answered what somebody waits for."""
        return _LOOK_AGAIN if self._waits and not self._gpus.trouble else None

    def _ask(self) -> None:
        if time.monotonic() - self._asked >= _LOOK_AGAIN:
            self._asked = time.monotonic()
            self._gpus.ask()

    def _trouble(self) -> str:
        """Why no GPU can be leased now."""
        if self._gpus.trouble:
            return f"NVIDIA's driver has an error, {self._gpus.trouble}"
        if self._gpus.age <= _STALE:
            return ""
        return NOT_TOLD if self._known is None else "NVIDIA's driver is being asked how they are"

    def _remember(self, lessees: Mapping[int, Collection[int]], reading: driver.Reading) -> None:
        """A process stays its lessee's as long as the driver tells of it: readings are old."""
        for gpu in reading.gpus:
            known = self._lessees.get(gpu.number, set()) & gpu.processes.keys()
            self._lessees[gpu.number] = known | set(lessees.get(gpu.number, ()))


def as_leasable(gpu: driver.Gpu, lessees: Collection[int], is_leased: bool) -> Gpu:
    """A GPU with what others than its lessees hold of it.

    In a container the driver may tell of processes that only the host knows; on a GPU that is
    leased they are taken for the lessee's.
    """
    own: list[int | None] = []
    others: dict[int, int | None] = {}
    for pid, held in gpu.processes.items():
        if pid in lessees or (is_leased and not os.path.exists(f"/proc/{pid}")):
            own.append(held)
        else:
            others[pid] = held
    used, of_others = int(gpu.memory or 0), _sum(others.values())
    rest = of_others if None in own else max(of_others, used - _sum(own))
    computing = rest if None in others.values() else of_others
    strangers = tuple(Process(pid, name_of(pid)) for pid in sorted(others))
    return Gpu(gpu.number, gpu.uuid, int(gpu.total or 0), rest, computing, strangers)


def name_of(pid: int) -> str:
    """What a process is called by who looks for it: its program, and the module or script."""
    try:
        line = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return ""
    words = [word for word in line.decode(errors="replace").split("\0") if word]
    # A name that a process gave itself may have spaces in it.
    program = os.path.basename((words or [""])[0].split(" ")[0])
    if len(words) > 2 and words[1] == "-m":
        return f"{program} -m {words[2]}"[:_LONGEST_NAME]
    script = os.path.basename(words[1]) if len(words) > 1 and words[1][0] != "-" else ""
    return f"{program} {script}".strip()[:_LONGEST_NAME]


def _sum(sizes: Iterable[int | None]) -> int:
    return sum(size or 0 for size in sizes)


def here(seconds: float = 3.0) -> Machine:
    """The machine, asking the driver for so long at most; for processes without a runner's watch.

    Every GPU that is used counts as used by others.
    """
    gpus = driver.Gpus(lambda _: None)
    watch, until = MachineWatch(gpus), time.monotonic() + seconds
    while True:
        machine = watch.look({}, wanted=True)
        if not machine.trouble or gpus.trouble or time.monotonic() > until:
            return machine
        time.sleep(0.005)


# Processors and memory ------------------------------------------------------------------------


@cache
def processors() -> float:
    """How many processors this process may use: of the machine's, what it is limited to."""
    try:
        count = float(len(os.sched_getaffinity(0)))
    except AttributeError:  # not Linux
        count = float(os.cpu_count() or 0)
    limits = [quota / period for quota, period in _numbers("cpu.max") if period]
    return min([count, *(limit for limit in limits if limit > 0)])


@cache
def memory() -> int:
    """How many bytes of memory there are; 0 where the system does not say."""
    try:
        there = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return 0
    limits = [int(limit) for limit, *_ in _numbers("memory.max")]
    return min([there, *(limit for limit in limits if limit > 0)])


def _numbers(name: str) -> Iterator[tuple[float, float]]:
    """What a limit of this process's control group is, and of those around it."""
    for group in _control_groups():
        try:
            words = [*(group / name).read_text().split(), "0"]
            yield float(words[0]), float(words[1])
        except (OSError, ValueError):  # not there, or "max"
            continue


def _control_groups() -> Iterator[Path]:
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        if line.startswith("0::/"):
            inner = Path(line.removeprefix("0::/"))
            yield from (_CGROUPS / place for place in (inner, *inner.parents))
