"""One run with what MLflow notes of it: its parameters, inputs, outputs and logged models.

All of that are lines of the run's ``events.jsonl`` like any others, so they travel wherever a run
does: ``params`` (``set``: names and values, the first one of a name wins) and ``mlflow``, with one
of ``dataset``, ``model_input``, ``model_output``, ``model``, ``model_metric``.
"""

from __future__ import annotations

import os
import struct

from mlflow.exceptions import MlflowException

from aml_jupyter.job import events, layout, metrics

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Tuple

    from aml_jupyter.job.run import Run

    Record = Dict[str, Any]
    Point = Tuple[int, float, float]

_TAIL = 4096


class Notes:
    """What events say beyond the facts that every run has."""

    def __init__(self) -> None:
        self.datasets: dict[tuple[str, str], Record] = {}
        self.model_inputs: dict[str, None] = {}
        self.model_outputs: dict[str, int] = {}
        self.models: dict[str, Record] = {}
        """Logged models by their ids, as they are now."""
        self.model_metrics: dict[str, list[Record]] = {}

    def apply(self, event: Record) -> None:
        """Take one more event into account; what makes no sense is passed over."""
        if event.get("e") != "mlflow":
            return
        try:
            self._apply(event)
        except (KeyError, TypeError, ValueError, AttributeError):
            pass

    def _apply(self, event: Record) -> None:
        if "dataset" in event:
            dataset = event["dataset"]
            self.datasets.setdefault((dataset["name"], dataset["digest"]), dataset)
        elif "model_input" in event:
            self.model_inputs[str(event["model_input"])] = None
        elif "model_output" in event:
            self.model_outputs.setdefault(str(event["model_output"]), int(event.get("step") or 0))
        elif "model" in event:
            self.models[event["model"]["model_id"]] = dict(event["model"])
        elif "model_metric" in event:
            metric = event["model_metric"]
            self.model_metrics.setdefault(metric["model_id"], []).append(metric)


class TrackedRun:
    """A run, its facts and its notes; both are read on from where they were."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.folder = os.path.abspath(run._folder)
        self._notes = Notes()
        self._facts = events.Facts(run._request)
        self._offset = 0

    @property
    def experiment(self) -> str:
        """The name of its experiment."""
        return str(self.run._request.get("experiment"))

    @property
    def created(self) -> float:
        """When it was asked for."""
        return float(self.run._request.get("created") or 0)

    @property
    def has_job(self) -> bool:
        """Whether it is a process or a family of runs, which alone can end it."""
        return bool(self.run._request.get("job") or self.run._request.get("family"))

    def is_there(self) -> bool:
        """Whether its folder has not been deleted."""
        return os.path.exists(os.path.join(self.folder, layout.REQUEST))

    @property
    def facts(self) -> events.Facts:
        """The facts, with all that happened since the last look."""
        self._read()
        return self._facts

    @property
    def notes(self) -> Notes:
        """The notes, with all that happened since the last look."""
        self._read()
        return self._notes

    def _read(self) -> None:
        new, self._offset = events.read(self.folder, self._offset)
        for event in new:
            self._facts.apply(event)
            self._notes.apply(event)

    def append(self, kind: str, **facts: Any) -> None:
        """Write an event down."""
        events.append(self.folder, kind, **facts)

    # Metrics

    def put(self, name: str, value: float, when: float, step: int) -> None:
        """Add a value to a metric of the run."""
        try:
            self.run._metrics.put(name, value, when, step or metrics.STEP_0)
        except struct.error:
            raise MlflowException.invalid_parameter_value(
                f"The step of metric {name!r} is {step!r}, and a step has 64 bits at most."
            ) from None

    def stamp(self) -> tuple[int, ...] | None:
        """Changes whenever anything of an ended run does; None for one that goes on."""
        if not self.facts.has_ended:
            return None
        folder = os.path.join(self.folder, layout.METRICS)
        return (self._offset, *(os.stat(f"{stem}.bin").st_size for stem in _stems(folder)))

    def latest(self) -> dict[str, Point]:
        """(step, time, value) of the last step of each metric."""
        found: dict[str, Point] = {}
        folder = os.path.join(self.folder, layout.METRICS)
        for stem in metrics.writers(folder):
            names = metrics.read_names(stem)
            last = _points(stem, names, metrics.near_the_end(stem, _TAIL))
            if len(last) < len(set(filter(None, names))):  # something was logged long before
                last = _points(stem, names, 0)
            for name, points in last.items():
                known = [found[name]] if name in found else []
                found[name] = max([*known, *points], key=lambda point: point[:2])
            for name, value, when in _others(stem):
                step = found[name][0] + 1 if name in found else 0
                found[name] = (step, when, value)
        return found

    def history(self, name: str) -> list[Point]:
        """All values of a metric, process by process in the order they were logged.

        What has no step is counted, as our own charts do.
        """
        found: list[Point] = []
        for stem in metrics.writers(os.path.join(self.folder, layout.METRICS)):
            names = metrics.read_names(stem)
            found += _points(stem, names, 0, name).get(name, [])
            others = [(when, value) for each, value, when in _others(stem) if each == name]
            found += [(len(found) + i, when, value) for i, (when, value) in enumerate(others)]
        return found


def _stems(folder: str) -> list[str]:
    return [stem for stem in metrics.writers(folder) if os.path.exists(f"{stem}.bin")]


def _points(
    stem: str, names: list[str], offset: int, wanted: str | None = None
) -> dict[str, list[Point]]:
    data = metrics.read_records(stem, offset, final=True)[0]
    found: dict[str, list[Point]] = {}
    for step, (metric, when, value) in zip(metrics.steps(data), metrics.decode(data)):
        name = names[metric - 1] if 0 < metric <= len(names) else ""
        if not name or wanted not in (None, name) or value is None:
            continue
        points = found.setdefault(name, [])
        if step == metrics.NO_STEP:
            step = len(points)
        points.append((0 if step == metrics.STEP_0 else step, when, float(value)))
    return found


def _others(stem: str) -> list[tuple[str, float, float]]:
    """(name, value, time) of the numbers in lists and of those that are none of the records."""
    found = []
    for entry in metrics.read_other(stem)[0]:
        values = entry["value"] if entry["kind"] == "list" else [entry["value"]]
        for value in values if entry["kind"] in ("list", "scalar") else ():
            if isinstance(value, (int, float)):
                found.append((entry["name"], float(value), entry["t"]))
    return found
