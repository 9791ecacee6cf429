"""``aml compare``: runs side by side."""

from __future__ import annotations

import argparse
from typing import Any

from ..workspace.comparison import Comparison, compare
from ..workspace.comparison_forms import diffs
from . import OK
from .finding import find_run, workspace_here
from .parser import Command, Parser
from .present import print_json, printable_lines, styled

_COLOURS = {"+": "green", "-": "red", "@": "cyan"}


def _arguments(parser: Parser) -> None:
    parser.add_argument("runs", metavar="ID", nargs="+", help="two to twenty runs")
    parser.add_argument(
        "--diff",
        action="store_true",
        help="how environments and sources differ from those of the first run, too",
    )


def _compare(options: argparse.Namespace) -> int:
    workspace = workspace_here()
    found = compare([find_run(workspace, name) for name in options.runs])
    if options.json:
        print_json(_everything(found) | (_all_diffs(found) if options.diff else {}))
        return OK
    print(found)
    if options.diff:
        for title, text in diffs(found):
            print(f"\n{styled(title, 'bold')}")
            print("\n".join(map(_coloured, printable_lines(text).rstrip("\n").split("\n"))))
    return OK


def _coloured(line: str) -> str:
    colour = _COLOURS.get(line[:1])
    return styled(line, colour) if colour else line


def _everything(found: Comparison) -> dict[str, Any]:
    return {
        "ids": found.ids,
        "names": found.names,
        "facts": {name: row for name, row in found.facts.items() if name != "duration"},
        "durations": found.durations,
        "parameters": found.all_parameters,
        "tags": found.tags,
        "metrics": {
            name: [each and {"last": each.last, "min": each.min, "max": each.max} for each in row]
            for name, row in found.metrics.items()
        },
    }


def _all_diffs(found: Comparison) -> dict[str, Any]:
    others = range(1, len(found.ids))
    return {
        "environment_diffs": [found.environment_diff(run) for run in others],
        "source_diffs": [
            [
                {"path": file.path, "change": file.change, "text": file.text, "note": file.note}
                for file in found.source_diff(run).files
            ]
            for run in others
        ],
    }


COMMANDS = {
    "compare": Command(
        _arguments,
        _compare,
        (
            "aml compare mnist_17 mnist_18",
            "aml compare mnist_17 last --diff",
            "aml compare $(aml runs --tag sweep=1 --json | jq -r .runs[].id)",
        ),
    ),
}
