"""``aml batch``: a notebook becomes many runs, watched here until they have ended."""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

from ..errors import UserErrorException
from ..job import states
from ..spec import Environment
from ..workspace import Workspace
from ..workspace.batch_options import OPTIONS, batch_of, resumed
from ..workspace.batch_run import BatchRow, BatchRun, seconds_left, usual_seconds
from ..workspace.notebook_parameters import Parameter
from ..workspace.run_options import RunOptions, environment_of
from . import INTERRUPTED, OK, RUN_FAILED
from .options import add_options
from .parser import Command, Parser
from .present import print_json, say, shown_duration, shown_state

_LOOK_EVERY = 0.5
_NARROWEST = 40

_NOTES = """\
Values are YAML, with commas between: -p alpha 0.1,0.3 -p seed 1..5 -p layers "[64, 32]".
For cron and continuous integration: with --wait the exit code is 0 only if every notebook
completed, and with --name the same command again does only what is not done."""


def _arguments(parser: Parser) -> None:
    add_options(parser, OPTIONS)
    add = parser.add_argument
    add("--report", metavar="FILE", help="with --wait: write one HTML page of all notebooks")
    add("--wait", action="store_true", help="watch it; exit 1 if not every notebook completes")
    add("--dry-run", action="store_true", help="show what would be done, and do nothing")
    add("notebook", metavar="NOTEBOOK", nargs="?", help="the notebook")


def _run(options: argparse.Namespace) -> int:
    values = vars(options)
    if options.resume:
        return _tell(resumed(options.notebook, values, Workspace.from_config()), options)
    if not options.notebook:
        raise UserErrorException(
            "aml batch was given no notebook.", "For example: aml batch report.ipynb -p alpha 1,2"
        )
    asked = RunOptions.of(values, _environment(options.env))
    for note in asked.notes:
        say(note)
    batch = batch_of(options.notebook, values, asked, {})
    if options.inspect:
        return _show_parameters(options.notebook, batch.inspect(), options.json)
    planned = batch.plan()
    if not options.dry_run:
        return _tell(planned.submit(), options)
    if options.json:
        sets = [dict(member.parameters) for member in planned.members]
        print_json({"plan": {"notebook": options.notebook, "sets": sets, "text": str(planned)}})
    else:
        print(planned)
    return OK


def _environment(named: str | None) -> Environment | None:
    return None if named is None else environment_of(named, Workspace.from_config)


def _show_parameters(notebook: str, found: Sequence[Parameter], as_json: bool) -> int:
    if as_json:
        print_json({"parameters": [vars(each) for each in found]})
        return OK
    if not found:
        say(f"{notebook} has no parameters: no cell has the tag `parameters`.")
    width = max((len(each.name) for each in found), default=0)
    for each in found:
        kind = f": {each.type or each.wants}" if each.type or each.wants else ""
        print(f"{each.name:{width}}{kind} = {each.default}{'  ' if each.help else ''}{each.help}")
    return OK


def _tell(batch: BatchRun, options: argparse.Namespace) -> int:
    """Name the batch, or watch it to its end if asked to."""
    if not options.wait:
        if options.json:
            print_json(_described(batch, batch.rows()))
        else:
            print(batch.id)
            if sys.stdout.isatty():
                say("`aml attach` follows it, `aml batch --resume` goes on with one that ended.")
        return OK
    try:
        rows = _watch(batch, as_json=options.json)
    except KeyboardInterrupt:
        say(f"\nBatch {batch.id} goes on. `aml cancel {batch.id}` ends it.")
        return INTERRUPTED
    if options.report:
        say(f"The report is in {batch.report(options.report)}.")
    if options.json:
        print_json(_described(batch, rows))
    else:
        say(_ending(batch, rows))
    return OK if batch.get_status() == states.COMPLETED else RUN_FAILED


def _described(batch: BatchRun, rows: Sequence[BatchRow]) -> dict[str, Any]:
    return {
        "id": batch.id,
        "name": batch.display_name,
        "experiment": batch.experiment.name,
        "notebook": batch.notebook,
        "status": batch.get_status(),
        "notebooks": [row.to_json() for row in rows],
    }


def _ending(batch: BatchRun, rows: Sequence[BatchRow]) -> str:
    done = sum(row.status == states.COMPLETED for row in rows)
    lines = [f"{batch.id}: {shown_state(batch.get_status())}, {done} of {len(rows)} completed"]
    lines += [f"  {row.name}: {row.error}" for row in rows if row.error]
    return "\n".join(lines)


# Watching -------------------------------------------------------------------------------------


def _watch(batch: BatchRun, as_json: bool) -> list[BatchRow]:
    """Show how far the notebooks are until all have ended, and return them."""
    if sys.stderr.isatty() and not as_json and shutil.get_terminal_size().columns > _NARROWEST:
        return _watch_live(batch)
    told: dict[int, str] = {}
    for rows in _looks(batch):
        for row in rows:
            if row.has_ended and told.get(row.index) != row.run_id:
                told[row.index] = row.run_id
                after = f" after {shown_duration(row.seconds)}" if row.seconds else ""
                say(f"{row.name}: {row.status}{after}{f': {row.error}' if row.error else ''}")
    return rows


def _looks(batch: BatchRun) -> Iterator[list[BatchRow]]:
    while not batch.has_ended:
        yield batch.rows()
        time.sleep(_LOOK_EVERY)
    yield batch.rows()


def _watch_live(batch: BatchRun) -> list[BatchRow]:
    from rich.console import Console
    from rich.live import Live

    from .batch_bars import table

    rows: list[BatchRow] = []
    console = Console(stderr=True)
    with Live(console=console, auto_refresh=False, transient=False) as live:
        for rows in _looks(batch):
            left = seconds_left(rows, usual_seconds(batch))
            live.update(table(batch.display_name, rows, left, console.size.height - 4))
            live.refresh()
    return rows


COMMANDS = {
    "batch": Command(
        _arguments,
        _run,
        (
            "aml batch report.ipynb --inspect",
            "aml batch report.ipynb -p alpha 0.1,0.3,1.0 -p seed 1..5 --wait",
            "aml batch report.ipynb --params table.csv --parallel 4 --retry 2",
            "aml batch report.ipynb --params sets.yaml --name nightly --wait --json",
            "aml batch --resume nightly --wait",
        ),
        notes=_NOTES,
        usage="[options] NOTEBOOK",
    ),
}
