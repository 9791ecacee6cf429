"""``python -m benchmarks``: measures all that is promised and says what was reached."""

from __future__ import annotations

import argparse
import inspect
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks import (
    bench_batch,
    bench_bundle,
    bench_charts,
    bench_compare,
    bench_compat,
    bench_data,
    bench_docker,
    bench_environments,
    bench_import,
    bench_index,
    bench_log,
    bench_metrics,
    bench_mlflow,
    bench_models,
    bench_panel,
    bench_plots,
    bench_queue,
    bench_server,
    bench_snapshots,
    bench_submit,
    bench_told,
    bench_view,
)
from benchmarks.report import Row, as_json, as_markdown, read_rows, today
from benchmarks.setting import FULL, QUICK, Effort

BENCHES: Mapping[str, Callable[[Effort], Iterator[Row]]] = {
    "metrics": bench_metrics.rows,
    "mlflow": bench_mlflow.rows,
    "import": bench_import.rows,
    "bundle": bench_bundle.rows,
    "compare": bench_compare.rows,
    "compat": bench_compat.rows,
    "submit": bench_submit.rows,
    "log": bench_log.rows,
    "snapshots": bench_snapshots.rows,
    "index": bench_index.rows,
    "lists": bench_index.lists,
    "changes": bench_index.changes,
    "rebuild": bench_index.rebuild,
    "throughput": bench_submit.throughput,
    "environments": bench_environments.rows,
    "at-once": bench_environments.at_once,
    "docker": bench_docker.rows,
    "deciding": bench_queue.deciding,
    "queue": bench_queue.rows,
    "models": bench_models.rows,
    "batch": bench_batch.rows,
    "batch-queued": bench_batch.queued,
    "batch-large": bench_batch.large,
    "batch-killed": bench_batch.killed,
    "data": bench_data.rows,
    "view": bench_view.rows,
    "server": bench_server.rows,
    "panel": bench_panel.rows,
    "told": bench_told.rows,
    "plots": bench_plots.rows,
    "charts": bench_charts.rows,
}

_HERE = Path(__file__).parent
_LATEST = _HERE / "results" / "latest.json"
_DOCUMENT = _HERE.parent / "docs" / "benchmarks.md"

_INTRODUCTION = """\
# Speed and size

Written by `scripts/bench --write`; every time and size is the median of at least five runs (of what
must not be lost, the worst of five), beside a limit measured in the same minutes: what the machine
needs for the least that has to be done.
All samples are in `benchmarks/results/latest.json`.
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what the arguments ask for, show it, and keep it where they say."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.write and options.quick:
        parser.error("--write needs benches in full: leave out --quick")
    names = options.only or list(BENCHES)
    rows = list(_measured(names, QUICK if options.quick else FULL))
    print(as_markdown(rows))
    if options.write:
        rows = _with_others(rows, names)
    is_whole = options.write or not (options.only or options.quick)
    report = options.json or (_LATEST if is_whole else None)
    if report is not None:
        report.parent.mkdir(parents=True, exist_ok=True)
        report.write_text(as_json(rows) + "\n")
    if options.write:
        _DOCUMENT.write_text(_document(rows))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    say = parser.add_argument
    say("--only", action="append", choices=list(BENCHES), metavar="NAME", help=", ".join(BENCHES))
    say("--quick", action="store_true", help="a glance: a fiftieth of the work, twice")
    say("--json", type=Path, metavar="FILE", help=f"default, if all: {_LATEST.name} in results/")
    say(
        "--write",
        action="store_true",
        help="write docs/benchmarks.md, too; with --only the other rows stay",
    )
    return parser


def _measured(names: Sequence[str], effort: Effort) -> Iterator[Row]:
    for number, name in enumerate(names, start=1):
        started = time.monotonic()
        _say(f"[{number}/{len(names)}] {name}")
        for row in BENCHES[name](effort):
            _say(f"    {_verdict(row)} {row.name}")
            yield replace(row, bench=name, date=today())
        _say(f"    {time.monotonic() - started:.0f} s")


def _with_others(rows: Sequence[Row], names: Sequence[str]) -> list[Row]:
    """The rows, and those of the other benches as they were measured last, in their order."""
    kept = [row for row in read_rows(_LATEST) if row.bench in BENCHES and row.bench not in names]
    order = list(BENCHES)
    return sorted([*rows, *kept], key=lambda row: order.index(row.bench))


def _verdict(row: Row) -> str:
    if row.missing:
        return "NOT MEASURED"
    return "reached" if row.ok else "MISSED "


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _document(rows: Iterable[Row]) -> str:
    ways = [
        f"- **{name}**: {inspect.cleandoc(bench.__doc__ or '')}".replace("\n", "\n  ")
        for name, bench in BENCHES.items()
    ]
    return "\n".join([_INTRODUCTION, as_markdown(rows), "## How", "", *ways, ""])


if __name__ == "__main__":
    main()
