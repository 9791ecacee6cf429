"""``aml runs``: the list."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator

from ..job.states import RUNNING
from ..spec.words import shown_age
from ..store import Query, RunSummary
from ..workspace import Workspace
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

_PAGE = 500


def _arguments(parser: Parser) -> None:
    add_filters(parser)
    add = parser.add_argument
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


def _matching(workspace: Workspace, options: argparse.Namespace) -> Iterator[RunSummary]:
    """The runs asked for: what the index cannot ask is asked here, a page at a time."""
    earliest = time.time() - options.since if options.since else 0.0
    tags = [tag.partition("=") for tag in options.tag]
    left, offset = options.count or sys.maxsize, 0
    while left:
        limit = _PAGE if options.since or tags[1:] else min(left, _PAGE)
        page = _page(workspace, options, offset, limit)
        for run in page:
            if run.created < earliest:
                if options.by is None and not tags:
                    return  # newest first: nothing later is newer
            elif left and all(_has(run, key, value) for key, _, value in tags):
                left -= 1
                yield run
        if len(page) < limit:
            return
        offset += len(page)


def _page(
    workspace: Workspace, options: argparse.Namespace, offset: int, limit: int
) -> list[RunSummary]:
    key, _, value = (options.tag or [""])[0].partition("=")
    query = Query(
        experiment=options.experiment,
        state=options.state,
        tag=key or None,
        tag_value=value or None,
        top_level=not options.children,
        archived=options.all,
        by_metric=options.by,
        largest=not options.asc,
        limit=limit,
        offset=offset,
    )
    return list(workspace.find_runs(query))


def _has(run: RunSummary, key: str, value: str) -> bool:
    return key in run.tags and (not value or run.tags[key] == value)


def _print(runs: list[RunSummary], by: str | None) -> None:
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
            "aml runs --state failed --since 7d",
            "aml runs -e mnist --by val_loss --asc -n 5",
            "aml runs --tag model=cnn --json",
        ),
    ),
}
