"""What the last cells of a sample claim, looked up in the workspace that it leaves behind.

A check is called with an :class:`After` and returns what is missing, or nothing.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_ENDED = ("Completed", "Failed", "Canceled")


@dataclass(frozen=True)
class After:
    """A sample that has been played: its folder, what it printed, its workspace."""

    folder: Path
    printed: str
    workspace: Any

    def runs(self, experiment: str) -> list[Any]:
        """The runs of an experiment, the oldest first."""
        found = self.workspace.experiments.get(experiment)
        return [*found.get_runs()][::-1] if found is not None else []


Check = Callable[[After], str]


def wait_for_runs(workspace: Any, seconds: float) -> str:
    """Let all runs end that go on; what is still not over."""
    end = time.monotonic() + seconds
    while True:
        runs = [run for each in workspace.experiments.values() for run in each.get_runs()]
        going = [run.id for run in runs if run.get_status() not in _ENDED]
        if not going or time.monotonic() > end:
            return f"still going on: {', '.join(going)}" if going else ""
        time.sleep(0.2)


def completed(experiment: str, runs: int = 1) -> Check:
    """So many runs of the experiment there are at least, and all have completed."""

    def check(after: After) -> str:
        found = after.runs(experiment)
        ended = {run.id: run.get_status() for run in found}
        bad = [f"{name} is {state}" for name, state in ended.items() if state != "Completed"]
        if len(found) < runs:
            bad.append(f"{experiment} has {len(found)} runs instead of {runs}")
        return "; ".join(bad)

    return check


def metric(experiment: str, name: str, values: int = 1) -> Check:
    """The last run of the experiment has the metric, with so many values."""

    def check(after: After) -> str:
        metrics = {}
        for run in after.runs(experiment)[-1:]:
            metrics = run.get_metrics()
        found = metrics.get(name)
        count = len(found) if isinstance(found, list) else int(found is not None)
        return "" if count >= values else f"{name} has {count} values; there are {sorted(metrics)}"

    return check


def artifact(experiment: str, pattern: str) -> Check:
    """The last run of the experiment has a file whose name matches."""

    def check(after: After) -> str:
        names: list[str] = []
        for run in after.runs(experiment)[-1:]:
            names = run.get_file_names()
        fits = any(re.search(pattern, name) for name in names)
        return "" if fits else f"no file of the run is like {pattern}: {names}"

    return check


def model(name: str) -> Check:
    """A model of that name is registered, and its file can be fetched."""

    def check(after: After) -> str:
        from aml_jupyter import Model

        path = Model.get_model_path(name, _workspace=after.workspace)
        return "" if Path(path).exists() else f"{name} has no file at {path}"

    return check


def dataset(name: str) -> Check:
    """A dataset of that name is registered."""

    def check(after: After) -> str:
        known = after.workspace.datasets
        return "" if name in known else f"there is no dataset {name}: {sorted(known)}"

    return check


def target(name: str) -> Check:
    """There is a compute target of that name."""

    def check(after: After) -> str:
        known = after.workspace.compute_targets
        return "" if name in known else f"there is no target {name}: {sorted(known)}"

    return check


def environment(name: str) -> Check:
    """An environment of that name is registered."""

    def check(after: After) -> str:
        known = after.workspace.environments
        return "" if name in known else f"there is no environment {name}"

    return check


def file(path: str) -> Check:
    """The sample has written a file below its folder."""

    def check(after: After) -> str:
        return "" if [*after.folder.glob(path)] else f"{path} was not written"

    return check


def says(text: str) -> Check:
    """The sample, or one of its jobs that it shows, printed that."""

    def check(after: After) -> str:
        return "" if re.search(text, after.printed) else f"nothing printed is like {text!r}"

    return check


def log(experiment: str, text: str) -> Check:
    """The log of the experiment's last run has it."""

    def check(after: After) -> str:
        for run in after.runs(experiment)[-1:]:
            found = (Path(run.folder) / "azureml-logs" / "70_driver_log.txt").read_text()
            return "" if re.search(text, found) else f"the log has nothing like {text!r}"
        return f"{experiment} has no run"

    return check
