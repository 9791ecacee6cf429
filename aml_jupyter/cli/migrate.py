"""``aml migrate``: what of a program for SDK v1 runs here, and the same with our names."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .. import migrate
from ..errors import UserErrorException
from ..migrate import Report, writing
from ..migrate.writing import Change
from . import OK, RUN_FAILED
from .parser import Command, Parser
from .present import is_terminal, print_json, say

_DEFAULT_FOLDER = "migrated"
_WORTH_A_BAR = 20
_SHOWN_IN_THE_WAY = 3


def _arguments(parser: Parser) -> None:
    parser.add_argument("path", metavar="FILE|FOLDER", help="a notebook, a script, or a folder")
    parser.add_argument(
        "--all", action="store_true", help="every line that uses v1, not only what needs a look"
    )
    parser.add_argument(
        "--write",
        metavar="DIR",
        nargs="?",
        const=_DEFAULT_FOLDER,
        help=f"write notebooks and scripts with our import names to DIR ({_DEFAULT_FOLDER})",
    )
    parser.add_argument("--in-place", action="store_true", help="write over the originals")
    parser.add_argument(
        "-y", "--yes", action="store_true", help="write over what is there without asking"
    )


def _migrate(options: argparse.Namespace) -> int:
    root = Path(options.path)
    if not root.exists():
        raise UserErrorException(f"There is no {root}.", "Name a file or a folder.")
    if options.write is not None and options.in_place:
        raise UserErrorException(
            "--write and --in-place exclude each other.", "Write to a folder, or in place."
        )
    with _told_of() as told:
        report = migrate.examine(root, told)
    written = _written(options, root)
    if options.json:
        print_json({**report.to_json(), "written": _as_json(written)})
    else:
        _show(report, options, written)
    return OK if report.runs else RUN_FAILED


def _show(report: Report, options: argparse.Namespace, written: list[Change] | None) -> None:
    from .migrate_shown import show

    show(report, every_line=options.all)
    if written is None:
        return
    changed = sum(each.is_new for each in written)
    place = "in place" if options.in_place else f"to {options.write}"
    others = len(written) - changed
    same = f", and {others} as they were" if others else ""
    print(f"\nWritten {place}: {_count(changed, 'file')} with the names of aml_jupyter{same}.")


def _as_json(written: list[Change] | None) -> list[dict[str, Any]] | None:
    if written is None:
        return None
    return [
        {"path": str(each.source), "target": str(each.target), "changed": each.is_new}
        for each in written
    ]


# Writing --------------------------------------------------------------------------------------


def _written(options: argparse.Namespace, root: Path) -> list[Change] | None:
    """What was written; None when nothing was to be."""
    if options.write is None and not options.in_place:
        return None
    planned = writing.changes(root, None if options.in_place else Path(options.write))
    _check_leave(options, writing.in_the_way(planned))
    writing.write(planned)
    return planned


def _check_leave(options: argparse.Namespace, there: list[Path]) -> None:
    if not there or options.yes:
        return
    what = "the original" if options.in_place else "what is there"
    named = ", ".join(map(str, there[:_SHOWN_IN_THE_WAY]))
    more = f" and {len(there) - _SHOWN_IN_THE_WAY} more" if len(there) > _SHOWN_IN_THE_WAY else ""
    if options.json or not sys.stdin.isatty():
        raise UserErrorException(
            f"{named}{more} would be written over.", "Say so with --yes; nothing was written."
        )
    say(f"Write over {what}: {named}{more}? [y/N]")
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise UserErrorException("Nothing was written.", "Answer y, or say --yes.")


def _count(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


# Progress -------------------------------------------------------------------------------------


@contextmanager
def _told_of() -> Iterator[Callable[[int, int], None]]:
    """What hears of each file that is done, and shows a bar where a person waits for many."""
    if not (is_terminal() and sys.stderr.isatty()):
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (TextColumn("reading"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", visible=False)

        def told(done: int, total: int) -> None:
            visible = total >= _WORTH_A_BAR
            progress.update(task, completed=done, total=total, visible=visible)

        yield told


COMMANDS = {
    "migrate": Command(
        _arguments,
        _migrate,
        (
            "aml migrate train.ipynb",
            "aml migrate project/ --all",
            "aml migrate project/ --write migrated",
            "aml migrate train.py --in-place --yes",
        ),
        notes=(
            "It reads and never runs. The exit code is 0 when all of it runs here, 1 when a line\n"
            "cannot or a file could not be read, 2 when nothing was done."
        ),
    ),
}
