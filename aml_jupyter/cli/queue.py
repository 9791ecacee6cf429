"""``aml queue``: who runs on this machine, who waits, and what for."""

from __future__ import annotations

import argparse

from ..job.run import iso
from ..workspace.queue_view import (
    GPU_COLUMNS,
    RUN_COLUMNS,
    SHOWN,
    QueueView,
    queue_of,
    summary_of,
)
from . import OK
from .parser import Command, Parser
from .present import print_json, print_table, say


def _arguments(parser: Parser) -> None:
    parser.add_argument("--all", action="store_true", help=f"all that wait; else the first {SHOWN}")


def _queue(options: argparse.Namespace) -> int:
    view = queue_of()
    if options.json:
        print_json(_described(view))
        return OK
    runs, more = view.shown(options.all)
    if runs:
        print_table(RUN_COLUMNS, (run.row() for run in runs))
    for line in more:
        print(line)
    if view.gpus:
        print()
        print_table(GPU_COLUMNS, (gpu.row() for gpu in view.gpus))
    for line in summary_of(view):
        say(line)
    return OK


def _described(view: QueueView) -> dict[str, object]:
    """The queue as JSON, with times as every command writes them."""
    content = view.to_json()
    content["seen"] = view.seen and iso(view.seen)
    for run in (*content["running"], *content["waiting"]):
        run["since"] = iso(run["since"])
        run["expected"] = run["expected"] and iso(run["expected"])
    return content


COMMANDS = {
    "queue": Command(_arguments, _queue, ("aml queue", "aml queue --all", "aml queue --json")),
}
