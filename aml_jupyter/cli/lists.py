"""``aml runs``: the list.

Its options are there for scripts; all of them can be said by the filter line as well.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence

from ..job.states import RUNNING
from ..spec.words import shown_age
from ..store import RunSummary
from ..store.conditions import METRIC
from ..workspace import Workspace
from ..workspace.run_filter import help_lines, narrowed, parse_words
from . import OK
from .finding import workspace_here
from .parser import Command, Parser, add_filters, count, duration
from .present import (
    described,
    duration_of,
    print_json,
    print_table,
    say,
    shown_duration,
    shown_metrics,
)


def _arguments(parser: Parser) -> None:
    add = parser.add_argument
    add("filter", metavar="FILTER", nargs="*", help="only runs that these words find; see below")
    add_filters(parser)
    add(
        "--tag",
        metavar="KEY[=VALUE]",
        action="append",
        default=[],
        help="only runs with this tag; may be repeated",
    )
    add("--since", metavar="TIME", type=duration, help="only runs of the last 90m, 12h or 7d")
    add("--by", metavar="METRIC", help="the highest last value of this metric first")
    add("--asc", action="store_true", help="with --by: the lowest first")
    add(
        "-n",
        "--count",
        metavar="N",
        type=count,
        default=20,
        help="how many; 20 if not said, 0 for all",
    )
    add("--all", action="store_true", help="archived runs as well")
    add("--children", action="store_true", help="runs inside other runs as well")


def _runs(options: argparse.Namespace) -> int:
    workspace = workspace_here()
    found = list(_matching(workspace, options))
    if options.json:
        root = workspace.folder.root
        print_json({"runs": [described(run, root) for run in found]})
    elif found:
        _print(found, options.by)
    else:
        say("No runs match.")
    return OK


def _matching(workspace: Workspace, options: argparse.Namespace) -> Sequence[RunSummary]:
    wanted = narrowed(
        parse_words(options.filter),
        experiment=options.experiment,
        state=options.state,
        tags=options.tag,
        since=time.time() - options.since if options.since else None,
        metric=options.by,
        archived=options.all,
        children=options.children,
    )
    sort = "created" if options.by is None else METRIC + options.by
    descending = options.by is None or not options.asc
    return workspace.list_runs(wanted, sort, descending, limit=options.count or -1).runs


def _print(runs: Sequence[RunSummary], by: str | None) -> None:
    named = any(run.display_name not in ("", run.id) for run in runs)
    heads = ["run", "state", "experiment", "no.", "age", "took", "metrics"]
    rows = []
    for run in runs:
        took = shown_duration(duration_of(run)) + (" …" if run.status == RUNNING else "")
        first = {by: run.metrics[by]} if by is not None and by in run.metrics else {}
        row = [run.id, run.status, run.experiment, str(run.number), shown_age(run.started), took]
        rows.append([*row, shown_metrics({**first, **run.metrics})])
        if named:
            rows[-1].insert(1, run.display_name if run.display_name != run.id else "")
    if named:
        heads.insert(1, "name")
    print_table(heads, rows)


COMMANDS = {
    "runs": Command(
        _arguments,
        _runs,
        (
            "aml runs state:failed since:7d",
            "aml runs 'metric.loss<0.2' tag:model=cnn -tag:draft",
            "aml runs -e mnist --by val_loss --asc -n 5",
            "aml runs --tag model=cnn --json",
        ),
        usage="[FILTER ...] [options]",
        notes="\n".join(
            ["filter (in quotes where the shell would take < > * for itself):", *help_lines()]
        ),
        negates=True,
    ),
}
