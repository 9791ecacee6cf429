"""The last, least and greatest value of every metric of some runs, at a bounded cost."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from ..job import layout, metrics
from ..store import Query
from ..store.following import last_values

if TYPE_CHECKING:
    from .run import Run
    from .workspace import Workspace

MOST_POINTS = 20_000_000
"""Points that are read for one comparison; runs beyond that are told by their last values alone."""

_MOST_TEXT = 4 * 1024 * 1024
_PIECE = 1 << 18

_BETTER = {
    "min": "loss error err mse mae rmse rmsle mape smape perplexity ppl nll bce wer cer ter fid "
    "kid divergence kl regret latency cost brier ece",
    "max": "acc accuracy auc auroc auprc roc f1 f2 fscore precision recall sensitivity "
    "specificity r2 score bleu rouge meteor map ap ndcg mrr iou miou dice jaccard reward return "
    "psnr ssim mcc kappa correlation throughput top1 top5",
}

_RECORD = np.dtype(
    [("step", "<i8"), ("time", "<f8"), ("value", "<f8"), ("metric", "<u4"), ("kind", "<u4")]
)


@dataclass(frozen=True)
class MetricRange:
    """A metric in three values; what is no number, or was not read, has no least and greatest.

    ``last`` is a number, a text, or ``<table>`` and the like for what has more than one value.
    """

    last: float | str | None
    min: float | None = None
    max: float | None = None


def ranges_of(runs: Sequence[Run], most_points: int = MOST_POINTS) -> list[dict[str, MetricRange]]:
    """The metrics of each run, by name.

    The smallest runs are read first. Where ``most_points`` are reached, the index is asked
    instead: it knows the last values.
    """
    sizes = {run.id: _points(_folder(run)) for run in runs}
    read: set[str] = set()
    for run_id, size in sorted(sizes.items(), key=lambda item: item[1]):
        if size <= most_points:
            most_points -= size
            read.add(run_id)
    last = _indexed(run for run in runs if run.id not in read)
    return [_as_it_ended(run) if run.id in read else _last_only(run, last[run.id]) for run in runs]


def better_of(name: str) -> str | None:
    """What is better of a metric by the words of its name: ``min``, ``max``, or None to ask."""
    words = set(re.findall(r"[a-z]+\d*", re.sub(r"([a-z])([A-Z])", r"\1 \2", name).lower()))
    fitting = [which for which, telling in _BETTER.items() if words & set(telling.split())]
    return fitting[0] if len(fitting) == 1 else None


def _folder(run: Run) -> str:
    return str(run.folder / layout.METRICS)


def _points(folder: str) -> int:
    """How many points are there, at most."""
    return sum(_size(f"{stem}.bin") for stem in metrics.writers(folder)) // metrics.SIZE


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return 0


def _indexed(runs: Iterable[Run]) -> dict[str, dict[str, float]]:
    """The last values of each run, by its id: as the index has them, else from the files' end."""
    by_place: dict[Workspace, list[Run]] = {}
    for run in runs:
        by_place.setdefault(run.experiment.workspace, []).append(run)
    found: dict[str, dict[str, float]] = {}
    for place, those in by_place.items():
        query = Query(ids=tuple(run.id for run in those), archived=True)
        known = {each.id: dict(each.metrics) for each in place.find_runs(query)}
        for run in those:
            found[run.id] = known[run.id] if run.id in known else last_values(_folder(run))
    return found


def _last_only(run: Run, last: Mapping[str, float]) -> dict[str, MetricRange]:
    found = {name: MetricRange(value) for name, value in last.items()}
    return {**found, **_texts(_folder(run))}


def _as_it_ended(run: Run) -> dict[str, MetricRange]:
    """What is in the files, which are read but once where nobody writes them any more."""
    folder = _folder(run)
    if not run._read().has_ended:
        return _read(folder)
    sizes = tuple(
        (stem, _size(f"{stem}.bin"), _size(f"{stem}.jsonl")) for stem in metrics.writers(folder)
    )
    return _read_once(folder, sizes)


@lru_cache(maxsize=1000)
def _read_once(folder: str, sizes: object) -> dict[str, MetricRange]:
    return _read(folder)


def _read(folder: str) -> dict[str, MetricRange]:
    found: dict[str, _Range] = {}
    for stem in metrics.writers(folder):
        for name, known in _numbers(stem):
            found.setdefault(name, _Range()).join(known)
    return {**{name: known.told() for name, known in found.items()}, **_texts(folder)}


class _Range:
    """One metric while it is being read."""

    def __init__(
        self, last: float = np.nan, when: float = -np.inf, low: float = np.nan, high: float = np.nan
    ) -> None:
        self.last, self.when, self.low, self.high = last, when, low, high

    def join(self, later: _Range) -> None:
        """Take in what another process logged, or what came later."""
        if later.when >= self.when:
            self.last, self.when = later.last, later.when
        self.low = float(np.fmin(self.low, later.low))
        self.high = float(np.fmax(self.high, later.high))

    def told(self) -> MetricRange:
        low, high = (None if np.isnan(value) else value for value in (self.low, self.high))
        return MetricRange(self.last, low, high)


def _numbers(stem: str) -> Iterator[tuple[str, _Range]]:
    """What one process logged, piece by piece."""
    names = metrics.read_names(stem)
    for records in _pieces(f"{stem}.bin"):
        ids = records["metric"]
        # Stable, so that the last of each metric stays the last; sorting one number costs little.
        order = np.argsort(ids, kind="stable") if np.any(ids != ids[0]) else slice(None)
        ids, values, times = ids[order], _values(records)[order], records["time"][order]
        starts = np.flatnonzero(np.r_[True, ids[1:] != ids[:-1]])
        ends = np.r_[starts[1:], len(ids)] - 1
        low, high = np.fmin.reduceat(values, starts), np.fmax.reduceat(values, starts)
        for place, (start, end) in enumerate(zip(starts, ends, strict=True)):
            number = int(ids[start])
            if 0 < number <= len(names) and names[number - 1]:
                last, when = float(values[end]), float(times[end])
                yield names[number - 1], _Range(last, when, float(low[place]), float(high[place]))


def _pieces(path: str) -> Iterator[np.ndarray[Any, Any]]:
    """The written records of a file, some at a time.

    Read rather than mapped: a file that is trimmed while it is mapped takes the process with it.
    """
    try:
        file = open(path, "rb")  # noqa: SIM115 -- closed below
    except FileNotFoundError:
        return
    with file:
        file.seek(metrics.SIZE)  # the header has the size of a record
        while data := file.read(_PIECE * metrics.SIZE):
            records = np.frombuffer(data[: len(data) // metrics.SIZE * metrics.SIZE], _RECORD)
            written = records["kind"] != 0
            if not written.any():
                return
            yield records if written.all() else records[written]


def _values(records: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The values as floats; those of other kinds are whole numbers in the same eight bytes."""
    whole = records["kind"] != metrics.FLOAT
    if not whole.any():
        return records["value"]
    return np.where(whole, records["value"].view("<i8").astype(float), records["value"])


def _texts(folder: str) -> dict[str, MetricRange]:
    """The last of what is no number, from the end of files that are long."""
    found: dict[str, tuple[float, MetricRange]] = {}
    for stem in metrics.writers(folder):
        start = max(0, _size(f"{stem}.jsonl") - _MOST_TEXT)
        for entry in metrics.read_other(stem, start)[0]:
            when = float(entry.get("t") or 0)
            if when >= found.get(str(entry["name"]), (0.0,))[0]:
                found[str(entry["name"])] = (when, MetricRange(_told(entry)))
    return {name: told for name, (_, told) in found.items()}


def _told(entry: metrics.Entry) -> str:
    if entry["kind"] == "scalar":
        return str(entry["value"])
    size = f" of {len(entry['value'])}" if isinstance(entry["value"], list) else ""
    return f"<{entry['kind']}{size}>"
