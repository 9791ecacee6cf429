"""Runs with more numbers than there is time to log one by one."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from aml_jupyter import Experiment, Run
from aml_jupyter.job import layout, metrics

RECORD = np.dtype(
    [("step", "<i8"), ("time", "<f8"), ("value", "<f8"), ("metric", "<u4"), ("kind", "<u4")]
)
"""A record as the metric files have it."""

_PIECE = 1 << 20


class Numbers:
    """A run of this process, whose points are written many at once in the format of the files."""

    def __init__(self, to: Experiment, names: Sequence[str]) -> None:
        self.run: Run = to.start_logging(snapshot_directory=None, outputs=False)
        self._metrics = len(names)
        self._random = np.random.default_rng(0)
        folder = self.run.folder / layout.METRICS
        folder.mkdir(exist_ok=True)
        self.file = folder / "bench.bin"
        (folder / "bench.names").write_text("".join(f"{json.dumps(name)}\n" for name in names))
        self.file.write_bytes(metrics.HEADER)

    def add(self, points: int) -> None:
        """Append so many points of each metric."""
        most = max(1, _PIECE // self._metrics)
        with self.file.open("ab", buffering=0) as file:
            for start in range(0, points, most):
                file.write(self._records(min(most, points - start)).tobytes())

    def end(self) -> Run:
        """The run, completed."""
        self.run.complete()
        return self.run

    def _records(self, points: int) -> np.ndarray[Any, Any]:
        records = np.empty(points * self._metrics, RECORD)
        records["step"], records["kind"] = metrics.NO_STEP, metrics.FLOAT
        records["time"] = time.time()
        records["value"] = self._random.standard_normal(len(records))
        records["metric"] = np.tile(np.arange(1, self._metrics + 1), points)
        return records


class Flow(threading.Thread):
    """Lets runs go on while a ``with`` block does: so often a second, so many points a metric."""

    def __init__(self, runs: Sequence[Numbers], a_second: float = 20, points: int = 1) -> None:
        super().__init__(daemon=True)
        self._runs, self._pause, self._points = runs, 1 / a_second, points
        self._ending = threading.Event()

    def run(self) -> None:
        while not self._ending.wait(self._pause):
            for each in self._runs:
                each.add(self._points)

    def __enter__(self) -> Flow:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self.join()


def logged_at(folder: Path) -> list[float]:
    """When each number of a run that logs in one process was logged, in order."""
    (stem,) = metrics.writers(str(folder / layout.METRICS))
    records, _ = metrics.read_records(stem, final=True)
    return [float(at) for at in np.frombuffer(records, RECORD)["time"]]
