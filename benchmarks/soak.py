"""Many runs for few GPUs, while jobs and the runner are killed: what became of them all."""

from __future__ import annotations

import json
import math
import os
import random
import signal
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from aml_jupyter import Experiment, Run, ScriptRunConfig, runner
from aml_jupyter.home import home
from aml_jupyter.job import events, states
from aml_jupyter.runner.machine import processors
from aml_jupyter.spec import ALL_GPUS, Resources
from benchmarks.setting import JOBS

GPUS, GPU_MEMORY = 8, 16 << 30
SLOTS = 12
VARIABLES = {"AML_FAKE_GPUS": f"{GPUS}x16G", "AML_SLOTS": str(SLOTS)}
"""The environment of a soak."""

_G = 1 << 30
_WISHES = (
    *(Resources(1), Resources(1), Resources(1), Resources(2), Resources(4), Resources(GPUS)),
    *(Resources(1, 4 * _G), Resources(1, 10 * _G), Resources(2, 6 * _G)),
    *(Resources(0), Resources(), Resources(cpus=1), Resources(1, cpus=1)),
)
_LONGEST = 0.4
_KILLED = 1 / 3


@dataclass(frozen=True)
class Job:
    """A run of the soak: what it asked for, and how it is to end."""

    run: Run
    asked: Resources
    priority: int
    end: str

    @property
    def kind(self) -> tuple[bool, bool]:
        """What it has to wait for; runs of a kind have their turns in order."""
        return bool(self.asked.gpus), self.asked.cpus > 0


@dataclass(frozen=True)
class Stay:
    """The time that a job was alive and had these GPUs, by the job's own notes."""

    job: Job
    gpus: tuple[int, ...] | None
    begin: float
    end: float


class Soak:
    """Submits runs, lets them go all at once, and kills; :meth:`problems` then tells."""

    def __init__(self, experiment: Experiment, folder: Path, count: int, seed: int = 0) -> None:
        self._experiment = experiment
        self._notes = folder / "notes.jsonl"
        self._gate = folder / "gate"
        self._chance = random.Random(seed)
        self.seconds = 0.0
        self.runner_kills = 0
        holders = [self._hold(Resources(ALL_GPUS if n == 0 else None)) for n in range(SLOTS)]
        _until(lambda: all(run.get_status() == states.RUNNING for run in holders), 60)
        self.jobs = [self._submit() for _ in range(count)]

    def go(self, runner_kills: int, within: float) -> None:
        """Let all go, kill the runner now and then, and return when every run has ended."""
        begun, total = time.monotonic(), self._waiting()
        marks = [total * (n + 1) // (runner_kills + 1) for n in range(runner_kills)]
        self._gate.touch()
        while left := self._waiting():
            if marks and left <= marks[-1]:
                marks.pop()
                self._kill_runner()
            if time.monotonic() - begun > within:
                raise RuntimeError(f"{left} of {total} runs have not ended after {within:g} s")
            runner.look_after()
            time.sleep(0.02)
        self.seconds = time.monotonic() - begun

    def _kill_runner(self) -> None:
        status = runner.runner_status()
        if status is not None:
            os.kill(status.pid, signal.SIGKILL)
            self.runner_kills += 1
        runner.wake()

    def _waiting(self) -> int:
        return len(list(home().queue.glob("*.json")))

    def _hold(self, asked: Resources) -> Run:
        config = ScriptRunConfig(str(JOBS), script="hold.py", arguments=[str(self._gate)])
        return self._experiment.submit(config, resources=asked)

    def _submit(self) -> Job:
        chance = self._chance
        end = chance.choice(["die", "die-with-launcher"]) if chance.random() < _KILLED else "end"
        seconds, asked = chance.uniform(0, _LONGEST), chance.choice(_WISHES)
        words = [str(self._notes), f"{seconds:.3f}", end]
        config = ScriptRunConfig(str(JOBS), script="lease.py", arguments=words)
        priority = config.run_config.priority = chance.choice([0, 0, 0, 1, 5])
        return Job(self._experiment.submit(config, resources=asked), asked, priority, end)

    # What became of them

    def problems(self) -> list[str]:
        """All that should not have happened; empty when all was well."""
        stays = self.stays()
        return [*self._ends(stays), *too_much(stays), *self._out_of_order()]

    def stays(self) -> list[Stay]:
        """When each job was alive."""
        by_id = {job.run.id: job for job in self.jobs}
        begun: dict[str, float] = {}
        found = []
        for line in self._notes.read_text().splitlines():
            said = json.loads(line)
            if said["what"] == "begin":
                begun[said["run"]] = said["time"]
                continue
            job, gpus = by_id[said["run"]], said["gpus"]
            indices = None if gpus is None else tuple(map(int, filter(None, gpus.split(","))))
            found.append(Stay(job, indices, begun[said["run"]], said["time"]))
        return found

    def returns(self) -> list[float]:
        """Seconds from the death of each job that was killed to the end of its lease.

        Infinite for a lease of which no end was noted.
        """
        return [
            _time_of(stay.job.run, "state", states.FAILED) - stay.end
            for stay in self.stays()
            if stay.job.end != "end"
        ]

    def _ends(self, stays: Sequence[Stay]) -> Iterator[str]:
        lives = Counter(stay.job.run.id for stay in stays)
        for job in self.jobs:
            expected = states.COMPLETED if job.end == "end" else states.FAILED
            status = job.run.get_status()
            if status != expected:
                yield f"{job.run.id}, to {job.end}, is {status}"
            if lives[job.run.id] != 1:
                yield f"{job.run.id} ran {lives[job.run.id]} times"
            for kind, state in (("lease", None), ("state", expected)):
                if math.isinf(_time_of(job.run, kind, state)):
                    yield f"{job.run.id} has no event of its {state or kind}"

    def _out_of_order(self) -> Iterator[str]:
        turns: dict[tuple[bool, bool], list[tuple[int, int, float, str]]] = defaultdict(list)
        for number, job in enumerate(self.jobs):
            when = _time_of(job.run, "lease")
            turns[job.kind].append((-job.priority, number, when, job.run.id))
        for line in turns.values():
            line.sort()
            for earlier, later in pairwise(line):
                if earlier[2] > later[2]:
                    yield f"{later[3]} had its turn before {earlier[3]}"


def too_much(stays: Sequence[Stay]) -> Iterator[str]:
    """Every moment at which jobs had more than there is."""
    alive: set[Stay] = set()
    ends = [(stay.end, 0, number, stay) for number, stay in enumerate(stays)]
    begins = [(stay.begin, 1, number, stay) for number, stay in enumerate(stays)]
    for _, begins_now, _, stay in sorted(ends + begins, key=lambda each: each[:3]):
        if not begins_now:
            alive.discard(stay)
            continue
        alive.add(stay)
        yield from _wrong_lease(stay)
        if len(alive) > SLOTS:
            yield f"{stay.job.run.id} is one of {len(alive)} on {SLOTS} slots"
        cpus = sum(each.job.asked.cpus for each in alive)
        if cpus > processors():
            yield f"{stay.job.run.id} is one of those that have {cpus:g} of {processors():g} CPUs"
        for gpu in stay.gpus or ():
            yield from _wrong_use(gpu, [each for each in alive if gpu in (each.gpus or ())])


def _wrong_lease(stay: Stay) -> Iterator[str]:
    asked, got = stay.job.asked, stay.gpus
    if asked.gpus is None:
        is_right = got is None
    else:
        is_right = got is not None and len(set(got)) == len(got) == asked.gpus
    if not is_right:
        yield f"{stay.job.run.id} asked for {asked.gpus} GPUs and got {got}"


def _wrong_use(gpu: int, together: Sequence[Stay]) -> Iterator[str]:
    memory = [stay.job.asked.gpu_memory for stay in together]
    if not 0 <= gpu < GPUS or sum(memory) > GPU_MEMORY or (len(memory) > 1 and 0 in memory):
        names = ", ".join(stay.job.run.id for stay in together)
        yield f"GPU {gpu} is had by {names} at once"


def _time_of(run: Run, kind: str, state: str | None = None) -> float:
    """When the run last had an event of that kind; never is infinitely late."""
    found, _ = events.read(str(run.folder))
    times = [each["t"] for each in found if each["e"] == kind and each.get("state") == state]
    return float(times[-1]) if times else math.inf


def _until(holds: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            raise RuntimeError(f"still not so after {seconds:g} s")
        time.sleep(0.05)
