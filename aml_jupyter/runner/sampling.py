"""Samples what every running job uses, into its run: CPU, memory, disk, network, GPUs.

The samples are metrics like any others, in a folder of their own. All jobs that are due are
sampled by one look at the machine, and all looks together take a hundredth of one core at most.
"""

from __future__ import annotations

import errno
import json
import math
import os
import struct
import time
import traceback
from collections.abc import Collection, Mapping
from typing import NamedTuple

from ..backends import Job
from ..backends.visible import VISIBLE
from ..job import layout, metrics
from ..job.beneath import open_own
from .gpus import Gpus, Reading
from .lifecycle import ActiveRun
from .usage import Census, Family, Networks

_FIRST = 0.3
_INTERVALS = ((120.0, 1.0), (3600.0, 2.0), (math.inf, 10.0))
_LARGEST_SHARE = 0.01
_THOROUGH_EVERY = 10
_AFTER_A_FAULT = 60.0

_RECORD = struct.Struct("<qddII")


class Sample(NamedTuple):
    """One value of one metric."""

    name: str
    time: float
    value: float


class SampleFile:
    """Appends samples in the format of metrics, those of one look by one write.

    A :class:`~aml_jupyter.job.metrics.MetricWriter` is for a process that logs without pause:
    it keeps files open and room allocated. Here is one process for many runs that logs once a
    second, so nothing is held between two calls, and nothing is to be done at the end.
    """

    def __init__(self, folder: str) -> None:
        self._run, self._name = os.path.split(folder)
        self._stem = ""
        self._ids: dict[str, int] = {}

    def append(self, samples: Collection[Sample]) -> None:
        """Write all of them or none; an ``OSError`` where the run's folder does not take them."""
        if not self._stem:
            self._begin()
        new = [sample.name for sample in samples if sample.name not in self._ids]
        if new:
            # Only with its name on disk may a record carry an id.
            self._write(".names", b"".join(json.dumps(name).encode() + b"\n" for name in new))
            for name in new:
                self._ids[name] = len(self._ids) + 1
        records = (
            _RECORD.pack(metrics.NO_STEP, when, value, self._ids[name], metrics.FLOAT)
            for name, when, value in samples
        )
        self._write(".bin", b"".join(records))

    def _begin(self) -> None:
        unique = f"{int(time.time() * 1000):012x}-{os.getpid()}-{os.urandom(2).hex()}"
        self._stem = f"{self._name}/{unique}"
        self._write(".names", b"", os.O_CREAT)
        self._write(".bin", metrics.HEADER, os.O_CREAT)

    def _write(self, suffix: str, data: bytes, flags: int = 0) -> None:
        # The folder is made, but not its parents: a run that was deleted must not come back empty.
        path = f"{self._stem}{suffix}"
        file = open_own(self._run, path, os.O_WRONLY | os.O_APPEND | flags)
        try:
            written = os.write(file, data)
            if written != len(data):
                os.ftruncate(file, os.fstat(file).st_size - written)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
        finally:
            os.close(file)


class Sampler:
    """Samples all running jobs whenever they are due; trouble is never theirs."""

    def __init__(self, gpus: Gpus) -> None:
        self._subjects: dict[str, _Subject] = {}
        self._census = Census()
        self._gpus = gpus
        self._not_before = 0.0

    @property
    def next_look(self) -> float | None:
        """Seconds until a job is due; None while there is none."""
        due = min((subject.due for subject in self._subjects.values()), default=math.inf)
        if due == math.inf:
            return None
        return max(0.0, max(due, self._not_before) - time.monotonic())

    def pids_of(self, name: str) -> set[int]:
        """The processes of a job, as they were at the last look."""
        subject = self._subjects.get(name)
        return subject.family.members if subject else set()

    def look(self, runs: Mapping[str, ActiveRun]) -> None:
        """Sample those of ``runs`` that are due; cheap when there are none."""
        try:
            self._take_notice(runs)
            if self.next_look == 0.0:
                self._sample()
        except Exception:  # noqa: BLE001 - it is only about a few charts
            self._not_before = time.monotonic() + _AFTER_A_FAULT
            say(traceback.format_exc())

    def _take_notice(self, runs: Mapping[str, ActiveRun]) -> None:
        running = {name for name, run in runs.items() if run.is_running}
        for name in self._subjects.keys() - running:
            del self._subjects[name]
        for name in running - self._subjects.keys():
            self._subjects[name] = _Subject(runs[name], self._gpus.newest)

    def _sample(self) -> None:
        now, used = time.monotonic(), time.thread_time()
        due = [subject for subject in self._subjects.values() if subject.due <= now]
        self._find_processes(due)
        networks, reading = Networks(), self._gpus.newest
        for subject in due:
            subject.sample(networks, reading)
        self._gpus.ask()
        least = (time.thread_time() - used) / _LARGEST_SHARE
        for subject in due:
            subject.put_off(now, least)

    def _find_processes(self, due: Collection[_Subject]) -> None:
        by_backend: dict[int, list[_Subject]] = {}
        for subject in due:
            if subject.needs_thorough_look():
                by_backend.setdefault(id(subject.run.backend), []).append(subject)
        for subjects in by_backend.values():
            try:
                handles = [subject.run.handle or {} for subject in subjects]
                found = subjects[0].run.backend.processes(handles)
                for subject, pids in zip(subjects, found, strict=True):
                    self._census.add(subject.family, pids)
            except Exception as error:  # noqa: BLE001 - a plug-in's trouble is its own runs'
                for subject in subjects:
                    subject.give_up(error)
        self._census.follow([subject.family for subject in self._subjects.values()])


class _Subject:
    """A running job, when it is sampled next, and where to."""

    def __init__(self, run: ActiveRun, reading: Reading | None) -> None:
        self.run = run
        self.due = time.monotonic() + _FIRST
        self.family = Family()
        self._file = SampleFile(os.path.join(run.folder, layout.SYSTEM))
        self._looks = 0
        self._reading = reading

    def needs_thorough_look(self) -> bool:
        """Whether to ask the backend: now and then, for those that have left the family."""
        self._looks += 1
        return self._looks % _THOROUGH_EVERY == 1 or not self.family.members

    def put_off(self, now: float, least: float) -> None:
        """Wait for the job's next turn, ``least`` seconds or so."""
        self.due = max(self.due, next_turn(now, self.run.age or 0.0, least))

    def give_up(self, error: Exception) -> None:
        """Leave the run alone, and say so once."""
        self.due = math.inf
        say(f"{self.run.entry.run_id}: what it uses is no longer sampled: {error!r}")

    def sample(self, networks: Networks, reading: Reading | None) -> None:
        """Write down what the job uses now; a run that does not take it is left alone."""
        if not self.family.members:
            return
        try:
            samples = self._of_processes(networks)
            if reading is not None and reading is not self._reading:
                self._reading = reading
                samples += self._of_gpus(reading)
            if samples:
                self._file.append(samples)
        except OSError as error:
            self.give_up(error)

    def _of_processes(self, networks: Networks) -> list[Sample]:
        usage, now = self.family.usage(networks, self.run.age or 0.0), time.time()
        if not usage.processes:
            return []
        values: list[tuple[str, float | None]] = [
            ("cpu", None if usage.cpu is None else usage.cpu * 100),
            ("memory", usage.memory),
            *zip(("disk read", "disk written"), usage.disk or (), strict=False),
            *zip(("network received", "network sent"), usage.network or (), strict=False),
            ("processes", usage.processes),
        ]
        return [Sample(name, now, value) for name, value in values if value is not None]

    def _of_gpus(self, reading: Reading) -> list[Sample]:
        pids, found = self.family.members, []
        for gpu in reading.used_by(pids, _visible_gpus(self.run.job)):
            for what, value in (("load", gpu.load), ("memory", gpu.memory_of(pids))):
                if value is not None:
                    found.append(Sample(f"gpu {gpu.number} {what}", reading.time, value))
        return found


def next_turn(now: float, age: float, least: float) -> float:
    """When a job of that age is sampled next; jobs of one interval have their turns together."""
    interval = max(least, next(seconds for until, seconds in _INTERVALS if age < until))
    return (math.floor(now / interval + 0.5) + 1) * interval


def _visible_gpus(job: Job | None) -> str | None:
    """CUDA_VISIBLE_DEVICES as the job was given it."""
    if job is None:
        return None
    if job.gpus is not None:
        return ",".join(map(str, job.gpus))
    own = job.spec.environment_variables
    return own.get(VISIBLE, job.environment.get(VISIBLE))


def say(text: str) -> None:
    """Print to the runner's log."""
    try:
        print(text, flush=True)
    except OSError:  # the disk of the log is full, too
        pass
