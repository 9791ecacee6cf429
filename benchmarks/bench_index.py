"""How fast runs are found, and how fast the index is made again from their folders."""

from __future__ import annotations

import itertools
import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from aml_jupyter import Experiment, Run
from aml_jupyter.job import events, layout, metrics, states
from aml_jupyter.store import Index, Query, WorkspaceFolder
from aml_jupyter.store.conditions import Condition, Selection
from aml_jupyter.watching.changes import Changes
from benchmarks.report import Row, median_of, timed
from benchmarks.setting import Effort, experiment, submit

_EXPERIMENTS, _MODELS = 20, ("resnet", "vit", "bert", "gpt", "lstm")
_PAGE = 50
_LIVE, _NUMBERS = 50, 200


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
        fill(index, folder, count)
        least = _rows_by_number(folder.root / "index.db", count, repeat)
        for what, query in _questions(count).items():
            found = index.find(query)
            if not found or len(found) > _PAGE:
                raise RuntimeError(f"{what}: {len(found)} runs")
            samples = [1e3 * second for second in timed(partial(index.find, query), repeat)]
            value, limit = median_of(samples), (f"{_PAGE} rows by number", least)
            name = f"{count:,} runs: {what}"
            yield Row(name, value, "ms", "≤ 20 ms", *limit, value <= 20, samples)


def lists(effort: Effort) -> Iterator[Row]:
    """The same 10⁵ runs as the sidebar shows them: a page and how many there are in all, live ones
    first, filtered, sorted, in groups. No figure is of something asked before: each text, number
    and tag is another one, and for the first page, the order and the groups all that the index
    remembers is thrown away. The limit is a look at one column of every run.
    """
    count, repeat = effort.of(100_000), max(effort.repeat, effort.of(21))
    with experiment() as place:
        folder = place.workspace.folder
        index = Index(folder)
        fill(index, folder, count)
        least = 1e3 * median_of(timed(partial(_every_name, folder.root / "index.db"), repeat))
        for what, ask in _lists(index, count).items():
            samples = [1e3 * second for second in timed(ask, repeat)]
            value, limit = median_of(samples), ("a look at every name", least)
            yield Row(
                f"{count:,} runs: {what}", value, "ms", "≤ 100 ms", *limit, value <= 100, samples
            )


def changes(effort: Effort) -> Iterator[Row]:
    """What 50 runs that log without end cost whoever follows all runs of a workspace of 10⁵: the
    processor time of a look at what is new, with 200 numbers more in each run since the last. The
    server looks three times a second. The limit is reading those numbers. Beside it a look after
    one of them has ended, and the limit is reading its events.
    """
    count, repeat = effort.of(100_000), max(effort.repeat, effort.of(51))
    with experiment() as place:
        fill(place.workspace.index, place.workspace.folder, count)
        runs = [place.start_logging(snapshot_directory=None, outputs=False) for _ in range(_LIVE)]
        following = Changes(place.workspace)
        samples, reads = [], []
        for number in range(repeat):
            for run in runs:
                for step in range(_NUMBERS // 2):
                    run.log("loss", number + step)
                    run.log("accuracy", step)
            begun = time.process_time()
            found = following.look()
            samples.append(1e3 * (time.process_time() - begun))
            if len(found.runs) != _LIVE:
                raise RuntimeError(f"{len(found.runs)} of {_LIVE} runs have changed")
            begun = time.process_time()
            _read_numbers(place.workspace.folder.runs)
            reads.append(1e3 * (time.process_time() - begun))
        ends = [_end_of(run, following) for run in runs]
    value, limit = median_of(samples), ("reading the numbers", median_of(reads))
    name = f"{count:,} runs, {_LIVE} that log: what is new"
    yield Row(name, value, "ms CPU", "≤ 5 ms", *limit, value <= 5, samples)
    looks, least = [look for look, _ in ends], median_of([read for _, read in ends])
    value, limit = median_of(looks), ("reading its events", least)
    name = f"{count:,} runs, {_LIVE} that log: that one has ended"
    yield Row(name, value, "ms CPU", "≤ 5 ms", *limit, value <= 5, looks)


def _end_of(run: Run, following: Changes) -> tuple[float, float]:
    """Milliseconds that it takes to see that a run has ended, and to read its events."""
    run.complete()
    begun = time.process_time()
    found = following.look()
    seen = time.process_time()
    events.read(str(run.folder))
    if [each.id for each in found.ended] != [run.id]:
        raise RuntimeError(f"{run.id} has not been seen to end")
    return 1e3 * (seen - begun), 1e3 * (time.process_time() - seen)


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


def _lists(index: Index, count: int) -> dict[str, Callable[[], object]]:
    numbers = itertools.count(1)

    def first(order: str = "live") -> object:
        index._listing.facts_changed()
        return index.page(Selection(), order, limit=_PAGE)

    def find(*kinds: str) -> object:
        number = next(numbers)
        conditions = {
            "text": Condition("text", f"9{number}"),
            "metric": Condition("metric", 0.95 + number / 1e4, "accuracy", "<"),
            "tag": Condition("tag", f"*{number % 10}", "seed"),
        }
        asked = Selection(tuple(conditions[kind] for kind in kinds))
        total, runs = index.page(asked, limit=_PAGE)
        if not runs:
            raise RuntimeError(f"no run of {total} was found by {kinds}")
        return runs

    def groups(by: str) -> object:
        index._listing.facts_changed()
        return index.groups(Selection(), by)

    return {
        "first page": first,
        "deep page": partial(index.page, Selection(), offset=count - _PAGE, limit=_PAGE),
        "found by text": partial(find, "text"),
        "found by a metric": partial(find, "metric"),
        "found by a tag": partial(find, "tag"),
        "found by all three": partial(find, "text", "metric", "tag"),
        "sorted by a metric": partial(first, "metric.accuracy"),
        "sorted by name": partial(first, "name"),
        "groups by experiment": partial(groups, "experiment"),
        "groups by notebook": partial(groups, "notebook"),
    }


def _every_name(path: Path) -> None:
    database = sqlite3.connect(path)
    database.execute("SELECT sum(length(display_name)) FROM runs").fetchone()
    database.close()


def _read_numbers(runs: Path) -> None:
    """Read as many numbers of each run as it has got since the last look."""
    for folder in os.scandir(runs):
        for stem in metrics.writers(os.path.join(folder.path, layout.METRICS)):
            offset = metrics.written(stem) - _NUMBERS * metrics.SIZE
            for _ in metrics.decode(metrics.read_records(stem, offset)[0]):
                pass


def fill(index: Index, folder: WorkspaceFolder, count: int) -> None:
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
