"""What the processes of a job use, by looking at all of this machine's processes together.

Nothing here takes a lock or waits, and a process may vanish between any two lines.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Collection, Iterable
from typing import NamedTuple

_ON_LINUX = os.path.isdir("/proc/self")
_FRESH = 3.0
_SLACK = 0.05

# Their traffic also passes another interface, where it is counted.
_PASSING_ON = re.compile(
    r"(veth|docker|br-|bridge|virbr|cni|flannel|cali|ifb|dummy|u?tun|tap|wg|bond|team)|.*\.\d+$"
)
_LOOPBACK = re.compile(r"lo\d*$")


class Process(NamedTuple):
    """A process as it was at a look; counters include its children that have ended."""

    parent: int
    session: int
    started: float
    is_zombie: bool
    cpu: float
    memory: int


class Traffic(NamedTuple):
    """Bytes that an interface has received and sent since it came up."""

    received: int
    sent: int


class Usage(NamedTuple):
    """What a job used between two looks; a rate is None where it cannot be told."""

    processes: int
    memory: int
    cpu: float | None
    disk: tuple[float, float] | None
    network: tuple[float, float] | None


class Family:
    """The processes of one job, followed from look to look.

    A process that has once belonged to it goes on to, wherever it wanders, and so do its
    children.
    """

    def __init__(self) -> None:
        self.members: set[int] = set()
        self.sessions: set[int] = set()
        self._looked: float | None = None
        self._last: dict[int, _Counted] = {}
        self._network: tuple[str, dict[str, Traffic]] | None = None

    def usage(self, networks: Networks, age: float) -> Usage:
        """What was used since this was asked last, by a job of that age in seconds."""
        found = {pid: process for pid in self.members if (process := _process(pid))}
        now = _now()
        # What a job that has just begun has used, it used since then. Of an older one that is
        # new to us, nobody knows when.
        since = self._looked or (now - age if age < _FRESH else now)
        seconds, self._looked = now - since, now
        counted = self._count(found)
        cpu, read, written = self._grown(counted, since)
        traffic = self._traffic(found, networks)
        self._last = counted
        known = seconds >= _SLACK
        has_disk = any(each.disk is not None for each in counted.values())
        return Usage(
            sum(not process.is_zombie for process in found.values()),
            sum(process.memory for process in found.values()),
            cpu / seconds if known else None,
            (read / seconds, written / seconds) if known and has_disk else None,
            (traffic[0] / seconds, traffic[1] / seconds) if known and traffic else None,
        )

    def _count(self, found: dict[int, Process]) -> dict[int, _Counted]:
        counted = {}
        for pid, process in found.items():
            last = self._last.get(pid)
            if last is not None and last.started != process.started:
                del self._last[pid]  # another process has the number now
                last = None
            disk = _disk(pid) or (last.disk if last else None)
            counted[pid] = _Counted(process.parent, process.started, process.cpu, disk)
        self.members.intersection_update(counted)
        return counted

    def _grown(self, counted: dict[int, _Counted], since: float) -> tuple[float, float, float]:
        """How much the job's counters grew, with what children used that have ended.

        A parent that waits for a child inherits its counters: what was counted of the child
        before is taken off there. A parent that does not wait inherits nothing.
        """
        grown = {}
        for pid, each in counted.items():
            last = self._last.get(pid)
            if last is None and each.started >= since - _SLACK:
                grown[pid] = each.amounts
            elif last is not None:
                grown[pid] = _minus(each.amounts, last.amounts)
        for pid, last in self._last.items():
            heir = None if pid in counted else self._heir(last.parent, counted)
            if heir in grown:
                grown[heir] = _minus(grown[heir], last.amounts)
        cpu, read, written = (
            sum(max(0.0, amounts[kind]) for amounts in grown.values()) for kind in range(3)
        )
        return cpu, read, written

    def _heir(self, pid: int, counted: dict[int, _Counted]) -> int | None:
        passed = set()
        while pid not in counted:
            if pid not in self._last or pid in passed or not _ON_LINUX:
                return None
            passed.add(pid)
            pid = self._last[pid].parent
        return pid

    def _traffic(self, found: dict[int, Process], networks: Networks) -> tuple[int, int] | None:
        """Bytes received and sent by the network that the job's oldest process is in."""
        if not found:
            return None
        oldest = min(found, key=lambda pid: found[pid].started)
        last, self._network = self._network, networks.of(oldest)
        if last is None or self._network is None or last[0] != self._network[0]:
            return None
        both = [(last[1][name], now) for name, now in self._network[1].items() if name in last[1]]
        received = sum(max(0, now.received - before.received) for before, now in both)
        return received, sum(max(0, now.sent - before.sent) for before, now in both)


class _Counted(NamedTuple):
    """What a process had used by the last look, with its ended children."""

    parent: int
    started: float
    cpu: float
    disk: tuple[int, int] | None

    @property
    def amounts(self) -> tuple[float, float, float]:
        return (self.cpu, *(self.disk or (0, 0)))


class Census:
    """Tells who is new on this machine, and to which job they belong.

    What belongs to no job never will, so each stranger is looked at once.
    """

    def __init__(self) -> None:
        self._strangers: set[int] = set()

    def follow(self, families: Collection[Family]) -> None:
        """Take the new children of all families in, and let go of those that are gone."""
        pids = set(_pids())
        self._strangers &= pids
        self._strangers.add(os.getpid())
        owners: dict[int, Family] = {}
        for family in families:
            family.members &= pids
            family.sessions &= pids
            owners.update((pid, family) for pid in family.members)
        self._strangers.difference_update(owners)
        new = {}
        for pid in pids.difference(self._strangers, owners):
            process = _process(pid)
            if process is not None:
                new[pid] = process
            else:  # gone by now, or not for us to see
                self._strangers.add(pid)
        sessions = {session: family for family in families for session in family.sessions}
        while new:
            self._place(next(iter(new)), new, owners, sessions)

    def add(self, family: Family, pids: Iterable[int]) -> None:
        """Let ``pids`` belong to the family: whoever runs the job says so."""
        family.members.update(pids)
        self._strangers.difference_update(family.members)
        for pid in pids:
            process = _process(pid)
            # The session that the job was started in; its leader waits for the job.
            if process is not None and process.session in (pid, process.parent):
                family.sessions.add(process.session)

    def _place(
        self,
        pid: int,
        new: dict[int, Process],
        owners: dict[int, Family],
        sessions: dict[int, Family],
    ) -> None:
        """Go up from a new process until somebody is known."""
        way: list[int] = []
        family = owners.get(pid)
        while family is None and pid in new:
            process = new.pop(pid)
            way.append(pid)
            in_session = None if process.session == pid else sessions.get(process.session)
            family = in_session or owners.get(process.parent)
            pid = process.parent
        if family is None:
            self._strangers.update(way)
            return
        family.members.update(way)
        owners.update((each, family) for each in way)


class Networks:
    """The traffic of each network that a process can be in, read once for all jobs of a look."""

    def __init__(self) -> None:
        self._known: dict[str, dict[str, Traffic]] = {}

    def of(self, pid: int) -> tuple[str, dict[str, Traffic]] | None:
        """The name of the process's network and its interfaces; None where it cannot be told."""
        try:
            name = os.readlink(f"/proc/{pid}/ns/net") if _ON_LINUX else ""
            if name not in self._known:
                self._known[name] = _outer(_interfaces(pid))
        except OSError:
            return None
        return name, self._known[name]


def _now() -> float:
    """Seconds on the clock that processes' starts are told by."""
    if _ON_LINUX:
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.time()


def _minus(more: tuple[float, ...], less: tuple[float, ...]) -> tuple[float, float, float]:
    return more[0] - less[0], more[1] - less[1], more[2] - less[2]


def _outer(interfaces: dict[str, Traffic]) -> dict[str, Traffic]:
    """The interfaces that lead out, so that no byte counts twice."""
    found = {name: each for name, each in interfaces.items() if not _LOOPBACK.match(name)}
    # A container may have a tunnel and nothing else.
    return {name: each for name, each in found.items() if not _PASSING_ON.match(name)} or found


# Reading; elsewhere than on Linux by psutil -------------------------------------------------

if _ON_LINUX:
    _TICKS = os.sysconf("SC_CLK_TCK")
    _PAGE = os.sysconf("SC_PAGE_SIZE")

    def _pids() -> list[int]:
        return [int(name) for name in os.listdir("/proc") if name.isdigit()]

    def _process(pid: int) -> Process | None:
        data = _read(f"/proc/{pid}/stat")
        # The second field is the program's name in brackets and may hold anything.
        fields = data.rpartition(b")")[2].split()
        if len(fields) < 22:
            return None
        return Process(
            int(fields[1]),
            int(fields[3]),
            int(fields[19]) / _TICKS,
            fields[0] in (b"Z", b"X"),
            sum(map(int, fields[11:15])) / _TICKS,
            int(fields[21]) * _PAGE,
        )

    def _disk(pid: int) -> tuple[int, int] | None:
        """Bytes read and written; None where the kernel does not count or does not tell."""
        data = _read(f"/proc/{pid}/io")
        _, found, rest = data.partition(b"\nread_bytes: ")
        read, _, rest = rest.partition(b"\nwrite_bytes: ")
        return (int(read), int(rest.partition(b"\n")[0])) if found else None

    def _interfaces(pid: int) -> dict[str, Traffic]:
        with open(f"/proc/{pid}/net/dev", encoding="utf-8", errors="replace") as file:
            lines = file.read().splitlines()[2:]
        found = {}
        for line in lines:
            name, _, numbers = line.rpartition(":")
            fields = numbers.split()
            found[name.strip()] = Traffic(int(fields[0]), int(fields[8]))
        return found

    def _read(path: str) -> bytes:
        """A small file of the kernel's, without the ceremony of ``open``; empty if it is gone."""
        try:
            file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return b""
        try:
            return os.read(file, 4096)
        except OSError:
            return b""
        finally:
            os.close(file)

else:

    def _pids() -> list[int]:
        import psutil

        return psutil.pids()

    def _process(pid: int) -> Process | None:
        import psutil

        try:
            process = psutil.Process(pid)
            with process.oneshot():
                is_zombie = process.status() == psutil.STATUS_ZOMBIE
                used = process.cpu_times()
                return Process(
                    process.ppid(),
                    os.getsid(pid),
                    process.create_time(),
                    is_zombie,
                    used.user + used.system,
                    process.memory_info().rss,
                )
        except (psutil.Error, OSError):
            return None

    def _disk(pid: int) -> tuple[int, int] | None:
        return None

    def _interfaces(pid: int) -> dict[str, Traffic]:
        import psutil

        counters = psutil.net_io_counters(pernic=True)
        return {name: Traffic(each.bytes_recv, each.bytes_sent) for name, each in counters.items()}
