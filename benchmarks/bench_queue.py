"""The queue: nobody has what another has, leases come back at once, and deciding costs little."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from aml_jupyter.home import Home
from aml_jupyter.runner.board import Board, BoardRun
from aml_jupyter.runner.leases import Gpu, Lease, Machine, Wish, decide
from aml_jupyter.spec import JobSpec, Resources, RunRequest
from benchmarks.report import Row, median_of, timed
from benchmarks.setting import Effort, experiment
from benchmarks.soak import GPU_MEMORY, GPUS, VARIABLES, Soak

_RUNS, _RUNNER_KILLS = 1000, 10
_WITHIN = 1800.0


def rows(effort: Effort) -> Iterator[Row]:
    """1,000 runs that ask for GPUs (one to all, alone or shared), for CPUs or for nothing, with
    three priorities, wait until all are submitted and then go at once; each notes when it had
    which. A third die by kill -9, half of them after their launcher; the runner is killed ten
    times meanwhile. Counted are all moments at which a GPU or a slot was had by too many, runs
    that did not end as they should or ran twice, and turns out of order among runs of a kind. A
    lease is back when the run's end is noted, which the next decision follows; the worst of all
    is shown, beside the time from kill -9 to the end of a process as its parent sees it.
    """
    count = effort.of(_RUNS)
    kills = min(_RUNNER_KILLS, max(1, count // 10))
    with experiment(**VARIABLES) as place, tempfile.TemporaryDirectory() as folder:
        soak = Soak(place, Path(folder), count)
        soak.go(kills, _WITHIN)
        problems, returns, killed = soak.problems(), soak.returns(), soak.runner_kills
    for problem in problems[:10]:
        print(f"    {problem}")
    name = f"{count} queued runs on {GPUS} fake GPUs, a third and {killed} runners killed: "
    many, wrong = float(count), float(len(problems))
    yield Row(f"{name}wrong", wrong, "cases", "0", "runs", many, not wrong, [wrong])
    worst, limit = max(returns), ("kill and wait of a process", _kill_and_wait())
    yield Row(f"{name}death to lease back, worst", worst, "s", "≤ 2 s", *limit, worst <= 2, returns)


def deciding(effort: Effort) -> Iterator[Row]:
    """One look at 1,000 runs that wait, a few of which can start; the board with all of them,
    and when each is expected to start. Beside it: sorting as many.
    """
    count = effort.of(_RUNS)
    wishes = [Wish(Resources(n % 3 or None), "", 4, run=f"run{n}") for n in range(count)]
    waiting = [(wish.run, wish) for wish in wishes]
    machine = Machine(tuple(Gpu(n, f"GPU-{n}", GPU_MEMORY) for n in range(GPUS)), 16)
    repeat = max(effort.repeat, effort.of(50))
    limit = ("sorting them", _median_ms(lambda: sorted(wishes, key=lambda each: each.run), repeat))
    looks = _in_ms(lambda: decide([], waiting, machine), repeat)
    value = median_of(looks)
    yield Row(f"deciding on {count} runs", value, "ms", "≤ 10 ms", *limit, value <= 10, looks)
    with tempfile.TemporaryDirectory() as folder:
        boards = _in_ms(_publishing(Path(folder), wishes, machine), repeat)
    value = median_of(boards)
    name = f"the board of {count} runs, with expected starts"
    yield Row(name, value, "ms", "≤ 100 ms", *limit, value <= 100, boards)


def _publishing(folder: Path, wishes: list[Wish], machine: Machine) -> Callable[[], None]:
    """Publishes a queue anew at each call, by a board that has not published yet."""
    home = Home(folder, folder).make()
    waiting = [_on_board(wish) for wish in wishes]
    running = [waiting[0].running(Lease((0,)), "Running", time.time())]

    def publish() -> None:
        board = Board(home)
        board.durations.note("bench", "train.py", 60)
        board.show(machine, {}, running, waiting[1:], {})

    return publish


def _on_board(wish: Wish) -> BoardRun:
    job = JobSpec(script="train.py", resources=wish.resources)
    request = RunRequest(wish.run, "bench", created=time.time(), job=job)
    return BoardRun.waiting(wish.run, f"/runs/{wish.run}", request, wish, "Queued")


def _in_ms(work: Callable[[], object], repeat: int) -> list[float]:
    return [seconds * 1000 for seconds in timed(work, repeat)]


def _median_ms(work: Callable[[], object], repeat: int) -> float:
    return median_of(_in_ms(work, repeat))


def _kill_and_wait() -> float:
    process = subprocess.Popen(["sleep", "60"])
    started = time.monotonic()
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    return time.monotonic() - started
