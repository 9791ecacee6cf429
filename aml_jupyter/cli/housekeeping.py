"""``aml cancel``, ``delete``, ``reindex`` and ``runner``: keeping the house in order."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable, Iterator
from typing import Any

from .. import runner
from ..errors import ServiceException, UserErrorException
from ..home import home
from ..job import states
from ..job.run import iso
from ..spec.words import shown_size
from ..store.folder import bytes_below
from ..store.progress import shown_progress
from ..workspace import Run, Workspace
from . import OK
from .finding import find_run, live_runs, workspace_here
from .parser import Command, Parser, add_filters, duration
from .present import ago, print_json, say, shown_duration, shown_state

# A job has ten seconds to end politely before it is ended.
_CANCELED_WITHIN = 20.0
_STOPPED_WITHIN = 5.0


# cancel ---------------------------------------------------------------------------------------


def _cancel_arguments(parser: Parser) -> None:
    parser.add_argument("runs", metavar="ID", nargs="*", help="runs to cancel")
    parser.add_argument("--all", action="store_true", help="every run that has not ended")


def _cancel(options: argparse.Namespace) -> int:
    workspace = workspace_here()
    runs = _chosen(workspace, options.runs) if options.runs else []
    if options.all:
        runs += live_runs(workspace)
    elif not runs:
        raise UserErrorException("aml cancel was told no run.", "Name some, or say --all.")
    for run in runs:
        run.cancel()
    left = _wait_for(runs)
    if options.json:
        print_json({"runs": [{"id": run.id, "status": run.get_status()} for run in runs]})
    else:
        for run in runs:
            print(f"{run.id}  {shown_state(run.get_status())}")
    if left:
        raise ServiceException(
            f"{len(left)} of {len(runs)} runs have not ended after {_CANCELED_WITHIN:.0f} s.",
            f"They will as soon as they can; {home().runner_log} says more.",
        )
    if not runs:
        say("Nothing is running.")
    return OK


def _wait_for(runs: Iterable[Run]) -> list[Run]:
    """Wait until the runs have ended, for a while; returns those that have not."""
    left, until = list(runs), time.monotonic() + _CANCELED_WITHIN
    total = len(left)
    with shown_progress("canceling", "runs") as progress:
        while left and time.monotonic() < until:
            left = [run for run in left if run.get_status() not in states.TERMINAL]
            progress(total - len(left), total)
            time.sleep(0.05 if left else 0)
    return left


def _chosen(workspace: Workspace, names: Iterable[str]) -> list[Run]:
    """The runs of these names, each once."""
    found = {run.id: run for run in (find_run(workspace, name) for name in names)}
    return list(found.values())


# delete ---------------------------------------------------------------------------------------


def _delete_arguments(parser: Parser) -> None:
    parser.add_argument("runs", metavar="ID", nargs="*", help="runs to delete")
    parser.add_argument("--all-ended", action="store_true", help="every run that has ended")
    parser.add_argument(
        "--older-than", metavar="TIME", type=duration, help="every run that ended 30d ago or more"
    )
    add_filters(parser)
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask")


def _delete(options: argparse.Namespace) -> int:
    workspace = workspace_here()
    runs = _to_delete(workspace, options)
    sizes = _measured(runs)
    total = sum(sizes.values())
    if runs and not options.yes and not _is_agreed(runs, total):
        say("Nothing was deleted.")
        return OK
    with shown_progress("deleting", "runs") as progress:
        for done, run in enumerate(runs):
            if run.folder.exists():  # it may have been inside one that is gone by now
                run.delete()
            progress(done, len(runs))
    if options.json:
        print_json({"deleted": list(sizes), "freed_bytes": total})
    else:
        print(f"Deleted {_counted(runs)}, freed {shown_size(total)}.")
    return OK


def _to_delete(workspace: Workspace, options: argparse.Namespace) -> list[Run]:
    in_bulk = options.all_ended or options.older_than is not None
    if bool(options.runs) == in_bulk:
        raise UserErrorException(
            "aml delete takes either runs, or --all-ended or --older-than.",
            "For example: aml delete --older-than 30d",
        )
    if in_bulk:
        return list(_ended(workspace, options))
    runs = _chosen(workspace, options.runs)
    for run in runs:
        if run.get_status() not in states.TERMINAL:
            raise UserErrorException(
                f"Run {run.id} is {run.status}; only a run that has ended can be deleted.",
                f"Cancel it first: aml cancel {run.id}",
            )
    return runs


def _ended(workspace: Workspace, options: argparse.Namespace) -> Iterator[Run]:
    latest = time.time() - (options.older_than or 0)
    found = workspace.runs(-1, options.experiment, options.state, archived=True, top_level=True)
    for summary in found:
        if summary.ended is not None and summary.ended <= latest:
            yield workspace.get_run(summary.id)


def _measured(runs: list[Run]) -> dict[str, int]:
    """What each run takes on the disk."""
    sizes = {}
    with shown_progress("measuring", "runs") as progress:
        for done, run in enumerate(runs):
            sizes[run.id] = bytes_below(run.folder)
            progress(done, len(runs))
    return sizes


def _is_agreed(runs: list[Run], total: int) -> bool:
    what = f"{_counted(runs)} ({shown_size(total)})"
    if not sys.stdin.isatty():
        raise UserErrorException(f"Deleting {what} has to be confirmed.", "Say it with -y.")
    say("\n".join(f"  {run.id}" for run in runs[:10]) + ("\n  …" if len(runs) > 10 else ""))
    sys.stderr.write(f"Delete {what}? [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _counted(runs: list[Run]) -> str:
    return f"{len(runs)} run{'' if len(runs) == 1 else 's'}"


# reindex --------------------------------------------------------------------------------------


def _reindex_arguments(parser: Parser) -> None:
    """It takes none."""


def _reindex(options: argparse.Namespace) -> int:
    workspace, start = workspace_here(), time.monotonic()
    count = workspace.reindex()
    seconds = time.monotonic() - start
    if options.json:
        print_json({"runs": count, "seconds": round(seconds, 3)})
    else:
        print(f"{count} runs indexed in {shown_duration(seconds)}.")
    return OK


# runner ---------------------------------------------------------------------------------------


def _runner_arguments(parser: Parser) -> None:
    parser.add_argument("action", nargs="?", choices=["status", "stop"], default="status")


def _runner(options: argparse.Namespace) -> int:
    if options.action == "stop":
        _stop()
    status = runner.runner_status()
    place = home()
    facts: dict[str, Any] = {
        "running": status is not None,
        "pid": status and status.pid,
        "version": status and status.version,
        "since": status and iso(status.since),
        "runs_running": status.running if status else 0,
        "runs_waiting": status.waiting if status else len(list(place.queue.glob("*.json"))),
        "home": str(place.state),
        "socket": str(place.socket),
        "log": str(place.runner_log),
    }
    if options.json:
        print_json(facts)
        return OK
    if status is None:
        print(f"No runner is running ({facts['runs_waiting']} runs in its queue).")
        say("It starts with the next submit; jobs that run go on without it.")
    else:
        print(
            f"Runner {status.version}, pid {status.pid}, started {ago(status.since)}: "
            f"{status.running} running, {status.waiting} waiting."
        )
    return OK


def _stop() -> None:
    until = time.monotonic() + _STOPPED_WITHIN
    while runner.stop_runner():
        if time.monotonic() > until:
            raise ServiceException(
                "The runner has not stopped.", f"{home().runner_log} may say why."
            )
        time.sleep(0.05)


COMMANDS = {
    "cancel": Command(
        _cancel_arguments, _cancel, ("aml cancel last", "aml cancel mnist_17 mnist_18")
    ),
    "delete": Command(
        _delete_arguments,
        _delete,
        ("aml delete mnist_17", "aml delete --older-than 30d -e mnist --state failed -y"),
    ),
    "reindex": Command(_reindex_arguments, _reindex, ("aml reindex",)),
    "runner": Command(_runner_arguments, _runner, ("aml runner", "aml runner stop")),
}
