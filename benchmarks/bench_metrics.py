"""What logging a number costs, whether it is kept, and how soon others see it."""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from aml_jupyter import Experiment
from aml_jupyter.job import layout
from aml_jupyter.store import MetricFeed
from benchmarks.report import Row, median_of
from benchmarks.setting import Effort, experiment, submit

Reader = Callable[[], float | None]


def rows(effort: Effort) -> Iterator[Row]:
    """A submitted job logs floats in a loop and, by turns, writes 32 bytes by a bare system call
    to a file of the same folder. Another logs 10⁶ points and kills itself by signal 9 in the next
    instruction; all its points are then read and compared. A third logs the time every 3 ms while
    another process reads in a tight loop: what it sees is how late the point is. The limit is the
    same with a bare file. (A notebook's card looks less often than that, by choice.)
    """
    with experiment() as place:
        yield _cost(place, effort)
        yield _durability(place, effort)
        yield _delay(place, effort)


def _cost(place: Experiment, effort: Effort) -> Row:
    run = submit(place, "log_loop.py", effort.repeat, effort.of(500_000))
    run.wait_for_completion()
    samples = layout.read_json(str(run.folder / "outputs" / "samples.json"))
    logged, written = ([1e6 * second for second in column] for column in zip(*samples, strict=True))
    value = median_of(logged)
    limit = ("one write of 32 bytes", median_of(written))
    return Row(
        "run.log(name, float), a call", value, "µs", "≤ 1.2 µs", *limit, value <= 1.2, logged
    )


def _durability(place: Experiment, effort: Effort) -> Row:
    points = effort.of(1_000_000)
    lost = [_lost(place, points) for _ in range(effort.repeat)]
    name = f"{points:,} points, then kill -9: points lost"
    return Row(name, max(lost), "points", "none", "logged", points, not any(lost), lost)


def _lost(place: Experiment, points: int) -> float:
    run = submit(place, "log_and_die.py", points)
    run.wait_for_completion(raise_on_error=False)
    expected = {float(number) for number in range(points)}
    return len(expected.difference(run.get_metrics()["number"]))


def _delay(place: Experiment, effort: Effort) -> Row:
    logged = [_median_delay(place, effort, "log", _feed) for _ in range(effort.repeat)]
    written = [_median_delay(place, effort, "write", _file) for _ in range(effort.repeat)]
    value = median_of(logged)
    limit = ("written to and read from a bare file", median_of(written))
    name = "log call to the point readable by another process"
    return Row(name, value, "ms", "≤ 5 ms", *limit, value <= 5, logged)


def _median_delay(
    place: Experiment, effort: Effort, way: str, reader_of: Callable[[Path], Reader]
) -> float:
    """Milliseconds, the middle one of many points of one job."""
    points = max(50, effort.of(300))
    run = submit(place, "send.py", way, points)
    read = reader_of(run.folder)
    delays: list[float] = []
    silent_since = time.monotonic()
    while time.monotonic() - silent_since < 1:
        sent = read()
        if sent is not None:
            delays.append(1e3 * (time.time() - sent))
            silent_since = time.monotonic()
    run.wait_for_completion()
    return median_of(delays)


def _feed(folder: Path) -> Reader:
    feed = MetricFeed(folder / layout.METRICS)
    return lambda: feed.lines("sent")[0].last if feed.poll() else None


def _file(folder: Path) -> Reader:
    file = os.open(folder / "outputs" / "sent.bin", os.O_RDONLY | os.O_CREAT, 0o644)

    def read() -> float | None:
        data = os.read(file, 4096)
        return float(struct.unpack("d", data[-8:])[0]) if data else None

    return read
