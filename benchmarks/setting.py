"""Where and how much is measured: a workspace and a home of its own, in full or at a glance."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from aml_jupyter import Experiment, Run, ScriptRunConfig, Workspace, runner
from aml_jupyter.store import WorkspaceFolder

JOBS = Path(__file__).parent / "jobs"
PYTHON = sys.executable
# What steers runs, and what makes Python itself slower than it is for most people.
_NOT_OURS = (
    *("AML_HOME", "AML_RUN_FOLDER", "AML_SLOTS", "AML_METRICS_IO", "AZUREML_RUN_ID"),
    *("PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED", "PYTHONPATH"),
)


@dataclass(frozen=True)
class Effort:
    """How often to measure, and which share of the full amount of work."""

    repeat: int
    share: float

    def of(self, amount: int) -> int:
        """The share of an amount that is to be done."""
        return max(1, round(amount * self.share))


FULL = Effort(repeat=5, share=1.0)
QUICK = Effort(repeat=2, share=0.02)


@contextlib.contextmanager
def experiment(project: Path | None = None, **variables: str) -> Iterator[Experiment]:
    """An experiment with nobody else in its workspace and home; its runner ends with it.

    The workspace is in the folder ``project``, else in one of its own.
    """
    with tempfile.TemporaryDirectory(prefix="aml-bench-") as place, _environment(variables):
        os.environ["AML_HOME"] = f"{place}/home"
        if project is None:
            project = Path(place, "project")
            project.mkdir()
        WorkspaceFolder.create(project)
        try:
            yield Experiment(Workspace.from_config(project), "bench")
        finally:
            stop_runner()


def submit(to: Experiment, script: str, *arguments: object, folder: Path = JOBS) -> Run:
    """The run of one of the scripts here, just submitted."""
    words = [str(argument) for argument in arguments]
    return to.submit(ScriptRunConfig(str(folder), script=script, arguments=words))


def stop_runner() -> None:
    """End the runner and see it gone."""
    status = runner.runner_status()
    if status is None:
        return
    process = psutil.Process(status.pid)
    runner.stop_runner()
    with contextlib.suppress(psutil.NoSuchProcess):
        process.wait(10)


class Memory(threading.Thread):
    """Watches the resident memory of a process while a ``with`` block runs."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._process = psutil.Process(pid)
        self._watching = True
        self.first = self.peak = self._process.memory_info().rss

    def run(self) -> None:
        while self._watching:
            self.peak = max(self.peak, self._process.memory_info().rss)
            time.sleep(0.02)

    def __enter__(self) -> Memory:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._watching = False
        self.join()


@contextlib.contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    """The environment with ``variables`` and without what is not ours; put back at the end."""
    before = dict(os.environ)
    for name in _NOT_OURS:
        os.environ.pop(name, None)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
