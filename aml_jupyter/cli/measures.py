"""``aml metrics``: what a run logged."""

from __future__ import annotations

import argparse
import csv
import os
import sys
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import UserErrorException
from ..job import layout, metrics
from ..job.run import iso
from ..spec.words import near
from ..store.progress import shown_progress
from ..workspace import Run
from . import OK
from .finding import find_run, workspace_here
from .parser import Command, Parser, add_run
from .present import print_json, print_table, say, shown_value

_SLICE = 50_000 * metrics.SIZE

Point = tuple[int | None, float, Any]


@dataclass
class Summary:
    """A metric in four values; what is no number has no least and greatest."""

    last: Any = None
    min: float | None = None
    max: float | None = None
    count: int = 0
    when: float = float("-inf")

    def add(self, values: Sequence[Any], when: float) -> None:
        """Take in values, the last of which was logged at ``when``."""
        self.count += len(values)
        if when >= self.when:
            self.last, self.when = values[-1], when
        # NaN compares with nothing, so it would hide whatever stands behind it.
        numbers = [value for value in values if isinstance(value, (int, float)) and value == value]
        if numbers:
            low, high = min(numbers), max(numbers)
            self.min = low if self.min is None else min(low, self.min)
            self.max = high if self.max is None else max(high, self.max)

    def __str__(self) -> str:
        times = f"  ({self.count} values)" if self.count > 1 else ""
        return f"{shown_value(_brief(self.last))}{times}"


def summaries(run: Run) -> dict[str, Summary]:
    """Every metric of a run, in the order of their names' first use."""
    found: dict[str, Summary] = {}
    folder = str(run.folder / layout.METRICS)
    with shown_progress("reading metrics", "points") as progress:
        for stem in metrics.writers(folder):
            names = metrics.read_names(stem)
            data = metrics.read_records(stem, final=True)[0]
            for start in range(0, len(data), _SLICE):
                _add(found, names, data[start : start + _SLICE])
                progress(start // metrics.SIZE, len(data) // metrics.SIZE)
            for entry in metrics.read_other(stem)[0]:
                found.setdefault(entry["name"], Summary()).add([_content(entry)], entry["t"])
    return found


def _add(found: dict[str, Summary], names: list[str], data: bytes) -> None:
    values: list[list[Any]] = [[] for _ in names]
    latest = [0.0] * len(names)
    for metric, when, value in metrics.decode(data):
        if 0 < metric <= len(names):
            values[metric - 1].append(value)
            latest[metric - 1] = when
    for name, mine, when in zip(names, values, latest, strict=True):
        if mine:
            found.setdefault(name, Summary()).add(mine, when)


def _content(entry: metrics.Entry) -> Any:
    return entry["value"] if entry["kind"] in ("scalar", "list") else f"<{entry['kind']}>"


def _brief(value: Any) -> Any:
    return f"<list of {len(value)}>" if isinstance(value, list) else value


def points(run: Run, wanted: Sequence[str] | None) -> Iterator[tuple[str, Point]]:
    """(name, (step, time, value)) of everything logged under these names, writer by writer."""
    folder = str(run.folder / layout.METRICS)
    for stem in metrics.writers(folder):
        names = metrics.read_names(stem)
        data = metrics.read_records(stem, final=True)[0]
        chosen = {number for number, name in enumerate(names, 1) if not wanted or name in wanted}
        for step, (metric, when, value) in zip(_steps(data), metrics.decode(data), strict=False):
            if metric in chosen:
                known = None if step == metrics.NO_STEP else max(step, 0)
                yield names[metric - 1], (known, when, value)
        for entry in metrics.read_other(stem)[0]:
            if not wanted or entry["name"] in wanted:
                yield entry["name"], (None, entry["t"], entry["value"])


def _steps(data: bytes) -> Iterator[int]:
    """The step of each record; as :func:`metrics.decode`, without slots that were never filled."""
    steps, kinds = array("q", data)[0::4], array("I", data)[7::8]
    return (step for step, kind in zip(steps, kinds, strict=True) if kind)


def _arguments(parser: Parser) -> None:
    add_run(parser)
    parser.add_argument(
        "--name",
        dest="metrics",
        metavar="METRIC",
        action="append",
        default=[],
        help="all points of this metric; may be repeated",
    )
    parser.add_argument("--csv", action="store_true", help="points as metric,step,time,value")


def _metrics(options: argparse.Namespace) -> int:
    run = find_run(workspace_here(), options.run)
    _check_names(run, options.metrics)
    if options.csv and not options.json:
        _write_csv(run, options.metrics)
    elif options.metrics:
        _show_points(run, options.metrics, options.json)
    else:
        _show_summaries(run, options.json)
    return OK


def _check_names(run: Run, wanted: Sequence[str]) -> None:
    known = {name for stem in metrics.writers(os.fspath(run.folder / layout.METRICS))
             for name in [*metrics.read_names(stem), *_other_names(stem)]}  # fmt: skip
    for name in wanted:
        if name not in known:
            raise UserErrorException(
                f"Run {run.id} has logged nothing named {name!r}.", near(name, known)
            )


def _other_names(stem: str) -> list[str]:
    return [entry["name"] for entry in metrics.read_other(stem)[0]]


def _write_csv(run: Run, wanted: Sequence[str]) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["metric", "step", "time", "value"])
    for name, (step, when, value) in points(run, wanted):
        writer.writerow([name, "" if step is None else step, iso(when), value])


def _show_points(run: Run, wanted: Sequence[str], as_json: bool) -> None:
    found: dict[str, list[Point]] = {name: [] for name in wanted}
    for name, point in points(run, wanted):
        found[name].append(point)
    for series in found.values():
        series.sort(key=lambda point: point[1])  # several processes may have logged it
    if as_json:
        shown = {n: [(step, iso(t), v) for step, t, v in series] for n, series in found.items()}
        print_json({"id": run.id, "points": shown})
        return
    for name, series in found.items():
        for place, (step, when, value) in enumerate(series):
            print(f"{name}  {place if step is None else step}  {iso(when)}  {value}")


def _show_summaries(run: Run, as_json: bool) -> None:
    found = summaries(run)
    if as_json:
        facts = {
            name: {"last": each.last, "min": each.min, "max": each.max, "count": each.count}
            for name, each in found.items()
        }
        print_json({"id": run.id, "metrics": facts})
    elif found:
        rows = [_row(name, each) for name, each in found.items()]
        print_table(["metric", "last", "min", "max", "count"], rows)
    else:
        say(f"Run {run.id} has logged nothing (yet).")


def _row(name: str, found: Summary) -> list[str]:
    least, greatest = ("" if v is None else shown_value(v) for v in (found.min, found.max))
    return [name, shown_value(_brief(found.last)), least, greatest, str(found.count)]


COMMANDS = {
    "metrics": Command(
        _arguments,
        _metrics,
        (
            "aml metrics",
            "aml metrics mnist_17 --name loss --name accuracy",
            "aml metrics mnist_17 --csv > points.csv",
        ),
    ),
}
