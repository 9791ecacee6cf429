"""``aml queue``: who runs on this machine, who waits, and what for."""

from __future__ import annotations

import argparse
import time

from ..job.run import iso
from ..spec.words import shown_age
from ..workspace.queue_view import GPU_COLUMNS, QueuedRun, QueueView, queue_of, summary_of
from . import OK
from .parser import Command, Parser
from .present import print_json, print_table, say, shown_duration

_SHOWN = 20


def _arguments(parser: Parser) -> None:
    parser.add_argument(
        "--all", action="store_true", help=f"all that wait; else the first {_SHOWN}"
    )


def _queue(options: argparse.Namespace) -> int:
    view = queue_of()
    if options.json:
        print_json(_described(view))
        return OK
    runs = [*view.running, *view.waiting]
    shown = runs if options.all else runs[: len(view.running) + _SHOWN]
    if shown:
        print_table(_HEADS, map(_row, shown))
    if len(shown) < len(runs):
        print(f"… and {len(runs) - len(shown)} more; --all shows them.")
    if view.gpus:
        print()
        print_table(GPU_COLUMNS, (gpu.row() for gpu in view.gpus))
    for line in summary_of(view):
        say(line)
    return OK


_HEADS = ("no.", "run", "experiment", "target", "asks for", "state", "since", "starts", "why")


def _row(run: QueuedRun) -> list[str]:
    gpus = "" if not run.gpus else f"on GPU {', '.join(map(str, run.gpus))}"
    return [
        "" if run.position is None else str(run.position),
        run.run_id,
        run.experiment,
        run.pool or run.target,
        run.asks_for,
        run.state,
        shown_age(run.since),
        _shown_wait(run),
        run.why or gpus,
    ]


def _shown_wait(run: QueuedRun) -> str:
    if run.expected is None:
        return ""
    wait = run.expected - time.time()
    return "soon" if wait < 5 else f"in {shown_duration(wait)}"


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
