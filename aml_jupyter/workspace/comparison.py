"""Several runs side by side: what they were started with, what came out, and where they differ."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..errors import UserErrorException
from ..spec import RunRequest
from ..store import Objects
from . import facts
from .comparison_forms import as_html, as_text, differ
from .metric_ranges import MOST_POINTS, MetricRange, ranges_of
from .sources import SnapshotFiles, SourceDiff, diff_of, text_diff

if TYPE_CHECKING:
    from .run import Run

FEWEST, MOST = 2, 20

Rows = Mapping[str, tuple[str | None, ...]]
"""Name → a value for each run; None where a run has none."""


@dataclass(frozen=True)
class Comparison:
    """Two to twenty runs beside each other; every tuple has one member for each, in their order.

    Whether more or less of a metric is better is not known, so none is called the best.
    """

    ids: tuple[str, ...]
    names: tuple[str, ...]
    facts: Rows
    durations: tuple[float | None, ...]
    all_parameters: Rows
    tags: Rows
    metrics: Mapping[str, tuple[MetricRange | None, ...]]
    _requests: tuple[RunRequest, ...] = field(repr=False)
    _sources: tuple[tuple[Objects, str | None], ...] = field(repr=False)
    _diffs: dict[int, SourceDiff] = field(default_factory=dict, repr=False, compare=False)

    @property
    def parameters(self) -> Rows:
        """The parameters that are not the same in all runs."""
        return {name: row for name, row in self.all_parameters.items() if differ(row)}

    def environment_diff(self, run: int) -> str:
        """How the environment of that run differs from the first one's, as a unified diff."""
        before, after = (facts.environment_text(self._requests[each]) for each in (0, run))
        found = text_diff(before, after, self.ids[0], self.ids[run])
        return "too long to be compared\n" if found is None else found

    def source_diff(self, run: int) -> SourceDiff:
        """How the source of that run differs from the first one's, file by file.

        :class:`SnapshotException` where a snapshot is gone; a run without one has no files.
        """
        if run not in self._diffs:
            before, after = (SnapshotFiles(*self._sources[each]) for each in (0, run))
            self._diffs[run] = diff_of(before, after)
        return self._diffs[run]

    def to_frame(self) -> Any:
        """A pandas DataFrame with a line for each run.

        Its columns have two levels: fact, parameter, tag or metric, and the name in it. The
        metrics are their last values; texts that are numbers throughout become numbers.
        """
        from ..assets.tables import pandas_of_this_python

        pandas = pandas_of_this_python()
        columns: dict[tuple[str, str], Sequence[Any]] = {
            **{("fact", name): row for name, row in self.facts.items()},
            ("fact", "duration"): self.durations,
            **{("parameter", name): _numbers(row) for name, row in self.all_parameters.items()},
            **{("tag", name): _numbers(row) for name, row in self.tags.items()},
            **{("metric", name): [each and each.last for each in row]
               for name, row in self.metrics.items()},
        }  # fmt: skip
        return pandas.DataFrame(columns, index=list(self.ids))

    def __repr__(self) -> str:
        return as_text(self)

    def _repr_html_(self) -> str:
        return as_html(self)


def compare(runs: Sequence[Run]) -> Comparison:
    """The runs side by side, the first one as what the others are measured by."""
    runs = list(runs)
    ids = [run.id for run in runs]
    if not FEWEST <= len(set(ids)) == len(ids) <= MOST:
        raise UserErrorException(
            f"{len(set(ids))} different runs of {len(ids)} named cannot be compared.",
            f"Name {FEWEST} to {MOST} runs, each of them once.",
        )
    return side_by_side(runs)


def side_by_side(runs: Sequence[Run], most_points: int = MOST_POINTS) -> Comparison:
    """The same for any number of different runs; no more than ``most_points`` are read of them."""
    ids = [run.id for run in runs]
    requests = [RunRequest.from_json(run._request) for run in runs]
    durations = tuple(map(_duration, runs))
    return Comparison(
        ids=tuple(ids),
        names=tuple(run.display_name for run in runs),
        facts=_facts(runs, requests, durations),
        durations=durations,
        all_parameters=_side_by_side(list(map(facts.parameters_of, runs))),
        tags=_side_by_side([{k: v or "" for k, v in run.tags.items()} for run in runs]),
        metrics=_side_by_side(ranges_of(runs, most_points)),
        _requests=tuple(requests),
        _sources=tuple((run._objects(), run.get_snapshot_id()) for run in runs),
    )


def _facts(
    runs: Sequence[Run], requests: Sequence[RunRequest], durations: Sequence[float | None]
) -> Rows:
    rows: dict[str, Callable[[Run, RunRequest], object]] = {
        "state": lambda run, request: run.status,
        "target": lambda run, request: request.target,
        "environment": lambda run, request: _environment(request),
        "source": lambda run, request: (run.get_snapshot_id() or "")[:8],
        "commit": lambda run, request: _commit(request),
    }
    found = {
        name: tuple(str(say(*each)) or None for each in zip(runs, requests, strict=True))
        for name, say in rows.items()
    }
    found["duration"] = tuple(facts.shown_duration(seconds) or None for seconds in durations)
    return {name: row for name, row in found.items() if any(row)}


def _environment(request: RunRequest) -> str:
    known = request.environment
    python = f"Python {known['python']}" if known.get("python") else ""
    return ", ".join(filter(None, [str(known.get("name") or ""), python]))


def _commit(request: RunRequest) -> str:
    commit = str(request.git.get("azureml.git.commit") or "")[:12]
    changed = request.git.get("azureml.git.dirty") == "True"
    return f"{commit} and changes" if commit and changed else commit


def _duration(run: Run) -> float | None:
    known = run._read()
    if known.started is None:
        return None
    return max(0.0, (known.ended or time.time()) - known.started)


def _side_by_side(content: Sequence[Mapping[str, Any]]) -> dict[str, tuple[Any, ...]]:
    """The values of each name, in the order in which the names come up."""
    names = dict.fromkeys(name for each in content for name in each)
    return {name: tuple(each.get(name) for each in content) for name in names}


def _numbers(row: Sequence[str | None]) -> list[Any]:
    """The texts as numbers if each of them is one, else as they are."""
    try:
        return [None if text is None else float(text) for text in row]
    except ValueError:
        return list(row)
