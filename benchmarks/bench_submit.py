"""How long a user waits for the first line of a script, and how many runs pass in a second."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from aml_jupyter import Experiment, runner
from aml_jupyter.home import home
from aml_jupyter.job import states
from benchmarks.report import Row, median_of
from benchmarks.setting import JOBS, PYTHON, Effort, Memory, experiment, stop_runner, submit

_FILES, _FILE_SIZE = 100, 10_000
_SLOTS = 2


def rows(effort: Effort) -> Iterator[Row]:
    """A script writes down the time of its first line. The figure is the time from the call of
    ``submit`` to it, minus the time from starting ``python script.py`` to it, measured by turns.
    The folder of 100 files is a new one each time, so nothing is known of it.
    """
    with experiment() as place, tempfile.TemporaryDirectory() as scripts:
        small = _folder(Path(scripts, "small"), 1)
        _submitted(place, small)  # the first run of a home makes the bundle that jobs import
        yield _runner_up(place, small, max(effort.repeat, effort.of(21)))
        yield _no_runner(place, small, max(effort.repeat, effort.of(11)))
        yield _many_files(place, small, max(effort.repeat, effort.of(21)))


def throughput(effort: Effort) -> Iterator[Row]:
    """Two runs hold both slots until 500 runs of an empty script wait behind them; the figure is
    500 by the time from then until the last has ended. The limit: two threads starting
    ``python script.py`` one after the other. The runner's resident memory is read every 20 ms.
    """
    count = effort.of(500)
    samples = [_throughput(count) for _ in range(effort.repeat)]
    rates, memory, first, bare = (list(column) for column in zip(*samples, strict=True))
    name = f"{count} queued no-op runs on {_SLOTS} slots"
    rate, limit = median_of(rates), ("python script.py, two at a time", median_of(bare))
    yield Row(name, rate, "runs/s", "≥ 15 runs/s", *limit, rate >= 15, rates)
    most, limit = median_of(memory), ("before the first run", median_of(first))
    yield Row(f"{name}: the runner's memory", most, "MB", "< 120 MB", *limit, most < 120, memory)


# To the first line ----------------------------------------------------------------------------


def _runner_up(place: Experiment, folder: Path, repeat: int) -> Row:
    samples = [(_submitted(place, folder), _bare(folder)) for _ in range(repeat)]
    return _row("submit to the script's first line, runner already up", samples, 60)


def _no_runner(place: Experiment, folder: Path, repeat: int) -> Row:
    samples = []
    for _ in range(repeat):
        stop_runner()
        samples.append((_submitted(place, folder), _bare(folder)))
    return _row("the same with no runner up", samples, 500)


def _many_files(place: Experiment, small: Path, repeat: int) -> Row:
    samples = []
    for number in range(repeat):
        large = _folder(small.with_name(f"large{number}"), _FILES)
        samples.append((_submitted(place, large), _submitted(place, small)))
    name = f"submit of a folder of {_FILES} files, beside one of 1 file"
    return _row(name, samples, 30, "a folder of 1 file")


def _row(
    name: str, samples: list[tuple[float, float]], reach: float, limit: str = "python script.py"
) -> Row:
    """What the first of each pair takes more than the second."""
    more = [taken - least for taken, least in samples]
    least = median_of([least for _, least in samples])
    value = median_of(more)
    return Row(name, value, "ms", f"≤ {reach:g} ms more", limit, least, value <= reach, more)


def _submitted(place: Experiment, folder: Path) -> float:
    """Milliseconds from the call of submit to the script's first line."""
    note, started = folder.with_name("note"), time.time_ns()
    submit(place, "first_line.py", note, folder=folder).wait_for_completion()
    return (int(note.read_text()) - started) / 1e6


def _bare(folder: Path) -> float:
    """The same by ``python script.py``."""
    note, started = folder.with_name("note"), time.time_ns()
    subprocess.run([PYTHON, str(folder / "first_line.py"), str(note)], check=True)
    return (int(note.read_text()) - started) / 1e6


def _folder(path: Path, files: int) -> Path:
    path.mkdir()
    shutil.copy(JOBS / "first_line.py", path)
    for number in range(files - 1):
        (path / f"{number}.bin").write_bytes(os.urandom(_FILE_SIZE))
    return path


# Many runs ------------------------------------------------------------------------------------


def _throughput(count: int) -> tuple[float, float, float, float]:
    """Runs in a second, the runner's memory at most and at first, bare scripts in a second."""
    with experiment(AML_SLOTS=str(_SLOTS)) as place:
        gate = home().state / "gate"
        pid = runner.ensure_runner().pid
        with Memory(pid) as memory:
            for _ in range(_SLOTS):
                submit(place, "hold.py", gate)
            for _ in range(count):
                submit(place, "nothing.py")
            gate.touch()
            rate = count / _until_the_queue_is_empty()
        ended = place.workspace.runs(limit=-1, state=states.COMPLETED)
        if len(ended) != count + _SLOTS:
            raise RuntimeError(f"only {len(ended)} of {count + _SLOTS} runs were completed")
        return rate, memory.peak / 1e6, memory.first / 1e6, _bare_rate(count)


def _until_the_queue_is_empty() -> float:
    started = time.monotonic()
    # Asking the runner would make it look at every run; its folder tells as much.
    while any(home().queue.iterdir()):
        time.sleep(0.05)
    return time.monotonic() - started


def _bare_rate(count: int) -> float:
    command, started = [PYTHON, str(JOBS / "nothing.py")], time.monotonic()
    with ThreadPoolExecutor(_SLOTS) as pool:
        for end in pool.map(lambda _: subprocess.run(command, check=False), range(count)):
            end.check_returncode()
    return count / (time.monotonic() - started)
