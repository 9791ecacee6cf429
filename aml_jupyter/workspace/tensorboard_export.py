"""What runs logged, written as event files for TensorBoard: v1's ``export_to_tensorboard``."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterable, Iterator, Mapping
from operator import itemgetter
from pathlib import Path
from typing import Any

from ..errors import UserErrorException
from ..job import layout, metrics
from ..job.metrics import NO_STEP
from ..store.event_files import Point, event_file
from .experiment import Experiment
from .run import Run

__all__ = ["export_to_tensorboard"]

# Tag, step or NO_STEP, time and value.
_Number = tuple[str, int, float, float]


def export_to_tensorboard(
    run_data: Run | Iterable[Run] | Experiment,
    logsdir: str | os.PathLike[str],
    logger: logging.Logger | None = None,
    recursive: bool = True,
) -> None:
    """Write all that is a number of what runs logged as event files below ``logsdir``.

    Each run has a folder there, called by its id; children too, if ``recursive``. Steps and times
    are kept, and a value without a step has its place in the series for one. Lists are series;
    each column of rows and tables is one, ``name/column``. Exporting again replaces the files.
    """
    folder = Path(logsdir)
    if not folder.is_dir():
        raise UserErrorException(
            f"The folder {logsdir} to export to does not exist.",
            f"Make it first: os.makedirs({os.fspath(logsdir)!r}, exist_ok=True).",
        )
    for run in _runs(run_data, recursive):
        points = _points(run)
        _write(run, points, folder / run.id)
        if logger is not None:
            logger.info("Exported %d values of run %s to %s.", len(points), run.id, folder)


def _runs(run_data: Any, recursive: bool) -> Iterator[Run]:
    if isinstance(run_data, Experiment):
        run_data = run_data.get_runs()
    for run in [run_data] if isinstance(run_data, Run) else run_data:
        if not isinstance(run, Run):
            raise UserErrorException(
                f"export_to_tensorboard takes runs, not {type(run).__name__}.",
                "Give a run, a list of runs or an experiment.",
            )
        yield run
        if recursive:
            yield from run.get_children(recursive=True)


def _write(run: Run, points: Iterable[Point], folder: Path) -> None:
    """Write the one file of a run, whole or not at all."""
    began = float(run._request.get("created") or 0.0)
    folder.mkdir(exist_ok=True)
    path = folder / f"events.out.tfevents.{int(began):010d}.{socket.gethostname()}.aml"
    aside = folder / f"{path.name.replace('tfevents', 'writing')}.{os.getpid()}"
    try:
        with open(aside, "wb") as file:
            file.writelines(event_file(points, began))
        os.replace(aside, path)
    except OSError as error:
        aside.unlink(missing_ok=True)
        raise layout.full_disk(error, str(path)) from error


def _points(run: Run) -> list[Point]:
    """Every number that the run logged, series by series in order."""
    series: dict[str, list[_Number]] = {}
    for number in _numbers(str(run.folder / layout.METRICS)):
        series.setdefault(number[0], []).append(number)
    return [
        Point(tag, place if step == NO_STEP else step, when, value)
        for numbers in series.values()
        for place, (tag, step, when, value) in enumerate(sorted(numbers, key=itemgetter(2)))
    ]


def _numbers(folder: str) -> Iterator[_Number]:
    for stem in metrics.writers(folder):
        names = metrics.read_names(stem)
        data = metrics.read_records(stem, final=True)[0]
        for step, (number, when, value) in zip(
            metrics.steps(data), metrics.decode(data), strict=True
        ):
            if 0 < number <= len(names) and names[number - 1]:
                yield names[number - 1], step, when, float(value)  # type: ignore[arg-type]
        for entry in metrics.read_other(stem)[0]:
            for tag, value in _listed(entry):
                yield tag, NO_STEP, float(entry["t"]), value


def _listed(entry: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """The numbers in a list, a row or a table, and under which name."""
    name, value = entry["name"], entry["value"]
    columns = {"": value} if entry["kind"] in ("scalar", "list") else value
    if entry["kind"] not in ("scalar", "list", "row", "table") or not isinstance(columns, dict):
        return
    for column, cells in columns.items():
        for cell in cells if isinstance(cells, list) else [cells]:
            if isinstance(cell, (int, float)):
                yield (f"{name}/{column}" if column else name), _as_float(cell)


def _as_float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")
