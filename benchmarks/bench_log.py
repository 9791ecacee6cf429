"""What it costs a job to print much."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Iterator

from aml_jupyter import Experiment, runner
from aml_jupyter.job import layout
from benchmarks.report import Row, median_of, timed
from benchmarks.setting import JOBS, PYTHON, Effort, Memory, experiment, submit


def rows(effort: Effort) -> Iterator[Row]:
    """A script that prints 10⁶ lines of 100 bytes, by turns submitted (from the call of ``submit``
    to the job's end as its launcher wrote it down) and as ``python script.py > file``. The
    runner's resident memory is read every 20 ms.
    """
    lines = effort.of(1_000_000)
    with experiment() as place:
        submit(place, "print_lines.py", 1).wait_for_completion()
        samples = [(*_submitted(place, lines), _redirected(lines)) for _ in range(effort.repeat)]
    taken, grown, bare = (list(column) for column in zip(*samples, strict=True))
    name = f"a job printing {lines:,} lines of 100 bytes"
    value, least = median_of(taken), median_of(bare)
    reached = value <= 1.3 * least
    yield Row(name, value, "s", "≤ 1.3 × redirected", "redirected to a file", least, reached, taken)
    most, limit = median_of(grown), ("the lines", lines * 100 / 1e6)
    yield Row(f"{name}: the runner grows", most, "MB", "< 10 MB", *limit, most < 10, grown)


def _submitted(place: Experiment, lines: int) -> tuple[float, float]:
    """Seconds until the job's end, and by how many MB the runner grew."""
    with Memory(runner.ensure_runner().pid) as memory:
        started = time.time()
        run = submit(place, "print_lines.py", lines)
        run.wait_for_completion()
    log = run.folder / layout.DRIVER_LOG
    if log.stat().st_size != lines * 100:
        raise RuntimeError(f"{log} has {log.stat().st_size} bytes, not {lines * 100}")
    end = layout.read_json(str(run.folder / layout.EXIT))
    return end["t"] - started, (memory.peak - memory.first) / 1e6


def _redirected(lines: int) -> float:
    command = [PYTHON, str(JOBS / "print_lines.py"), str(lines)]
    with tempfile.TemporaryFile() as log:
        return timed(lambda: subprocess.run(command, check=True, stdout=log), 1)[0]
