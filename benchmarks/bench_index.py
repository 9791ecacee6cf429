"""How fast runs are found, and how fast the index is made again from their folders."""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from aml_jupyter import Experiment
from aml_jupyter.job import events, layout, states
from aml_jupyter.store import Index, Query, WorkspaceFolder
from benchmarks.report import Row, median_of, timed
from benchmarks.setting import Effort, experiment, submit

_EXPERIMENTS, _MODELS = 20, ("resnet", "vit", "bert", "gpt", "lstm")
_PAGE = 50


def rows(effort: Effort) -> Iterator[Row]:
    """10⁵ runs are put into the index the way the index takes in a run, but from a request in
    memory: as folders on disk they would take longer to make than all else here. They are of 20
    experiments and have two metrics and two tags. Each figure is one question of an open index,
    which first looks whether anything has changed; the limit is reading 50 rows of the same
    database by their numbers.
    """
    count, repeat = effort.of(100_000), max(effort.repeat, effort.of(51))
    with experiment() as place:
        folder = place.workspace.folder
        index = Index(folder)
        _fill(index, folder, count)
        least = _rows_by_number(folder.root / "index.db", count, repeat)
        for what, query in _questions(count).items():
            found = index.find(query)
            if not found or len(found) > _PAGE:
                raise RuntimeError(f"{what}: {len(found)} runs")
            samples = [1e3 * second for second in timed(partial(index.find, query), repeat)]
            value, limit = median_of(samples), (f"{_PAGE} rows by number", least)
            name = f"{count:,} runs: {what}"
            yield Row(name, value, "ms", "≤ 20 ms", *limit, value <= 20, samples)


def rebuild(effort: Effort) -> Iterator[Row]:
    """10⁴ copies of the folder of a run that was really made, with 200 points of two metrics, each
    under its own id and with its own tags. The limit is reading the files that say what the index
    holds: request, events and metrics.
    """
    count = effort.of(10_000)
    with experiment() as place:
        _copy_a_run(place, count)
        folder = place.workspace.folder
        index = Index(folder)
        samples = timed(lambda: _rebuild(index, count + 1), effort.repeat)
        least = median_of(timed(lambda: _read_all(folder.runs), effort.repeat))
    value, limit = median_of(samples), ("reading the files", least)
    name = f"rebuild of the index from {count:,} run folders"
    yield Row(name, value, "s", "≤ 20 s", *limit, value <= 20, samples)


# Questions ------------------------------------------------------------------------------------


def _questions(count: int) -> dict[str, Query]:
    page = Query(limit=_PAGE)
    return {
        f"newest {_PAGE}": page,
        f"newest {_PAGE} of an experiment": replace(page, experiment="e7"),
        f"top {_PAGE} by a metric": replace(page, by_metric="accuracy"),
        f"top {_PAGE} by a metric in an experiment": replace(
            page, by_metric="accuracy", experiment="e7"
        ),
        f"newest {_PAGE} with a tag that a fifth has": replace(
            page, tag="model", tag_value=_MODELS[0]
        ),
        "the one with a rare tag": replace(page, tag="seed", tag_value=str(count // 2)),
    }


def _fill(index: Index, folder: WorkspaceFolder, count: int) -> None:
    """Take in ``count`` runs that ended; the door of `Index` for folders is left out."""
    database = index._database
    database.execute("BEGIN")
    for number in range(count):
        request = _request(number)
        facts = events.Facts(request)
        facts.apply({"t": request["created"], "e": "state", "state": states.RUNNING})
        facts.apply({"t": request["created"] + 60, "e": "state", "state": states.COMPLETED})
        last = {"loss": 1 / (number + 1), "accuracy": number * 7919 % count / count}
        index._insert(database, folder.runs / request["id"], request, facts, last, "")
    database.execute("COMMIT")


def _request(number: int) -> dict[str, Any]:
    name = f"e{number % _EXPERIMENTS}"
    return {
        "id": f"{name}_{number:08d}",
        "experiment": name,
        "number": number // _EXPERIMENTS + 1,
        "type": "azureml.scriptrun",
        "created": 1.6e9 + 60 * number,
        "display_name": f"run {number}",
        "target": "local",
        "source": {"kind": "cell", "notebook": f"n{number % 100}.ipynb"},
        "tags": {"model": _MODELS[number % len(_MODELS)], "seed": str(number)},
        "properties": {"ContentSnapshotId": f"{number:040x}"},
    }


def _rows_by_number(path: Path, count: int, repeat: int) -> float:
    """Milliseconds for as many rows as an answer has, from the same file without any search."""
    database = sqlite3.connect(path)
    numbers = [number * (count // _PAGE) + 1 for number in range(_PAGE)]

    def read() -> None:
        for number in numbers:
            database.execute("SELECT * FROM runs WHERE run = ?", (number,)).fetchone()

    milliseconds = 1e3 * median_of(timed(read, repeat))
    database.close()
    return milliseconds


# Run folders ----------------------------------------------------------------------------------


def _copy_a_run(place: Experiment, count: int) -> None:
    run = submit(place, "train.py")
    run.wait_for_completion()
    request = layout.read_json(str(run.folder / layout.REQUEST))
    for number in range(count):
        own = {"id": f"copy_{number}", "created": time.time(), "tags": {"number": str(number)}}
        folder = place.workspace.folder.new_run({**request, **own})
        shutil.copy(run.folder / layout.EVENTS, folder)
        shutil.copytree(run.folder / layout.METRICS, folder / layout.METRICS, dirs_exist_ok=True)


def _rebuild(index: Index, expected: int) -> None:
    found = index.rebuild()
    if found != expected:
        raise RuntimeError(f"{found} runs found, not {expected}")


def _read_all(runs: Path) -> None:
    for run in os.scandir(runs):
        names = [layout.REQUEST, layout.EVENTS]
        names += [f"metrics/{name}" for name in os.listdir(f"{run.path}/metrics")]
        for name in names:
            with open(f"{run.path}/{name}", "rb") as file:
                file.read()
