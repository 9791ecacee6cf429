"""``aml target``: the compute targets of a workspace."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path

from ..store import WorkspaceFolder, project_for
from ..workspace import compute, target_words
from ..workspace.diagnosis import Finding, tried
from ..workspace.target_words import Asked
from . import OK, RUN_FAILED
from .doctor import show_finding
from .finding import workspace_here
from .parser import Command, Parser
from .present import print_json, print_table, say


def _arguments(parser: Parser) -> None:
    actions = ", ".join(target_words.ACTIONS)
    parser.add_argument(
        "action", nargs="?", choices=list(target_words.ACTIONS), default="list", help=actions
    )
    parser.add_argument("words", nargs="*", metavar="WORD", help="NAME KEY=VALUE …")
    # It takes the words after it along: argparse has no other way to mix them with an option.
    parser.add_argument(
        "--type", nargs="+", metavar=("KIND", "KEY=VALUE"), help="the type of the target"
    )


def _target(options: argparse.Namespace) -> int:
    kind, *more = options.type or [None]
    asked = target_words.understood([options.action, *options.words, *more], kind)
    return _DO[asked.action](asked, options.json)


def _list(asked: Asked, as_json: bool) -> int:
    here = WorkspaceFolder.find(Path.cwd())
    found = [compute.described(each) for each in compute.entries(here).values()]
    if as_json:
        print_json({"targets": [each.to_json() for each in found]})
    else:
        print_table(compute.COLUMNS, [each.row() for each in found])
    return OK


def _show(asked: Asked, as_json: bool) -> int:
    if not asked.name:
        return _show_settings(asked.kind, as_json)
    facts = target_words.shown(workspace_here().folder, asked.name)
    if as_json:
        print_json(facts.to_json())
    else:
        for name, value in facts.lines():
            print(f"{name:<13} {value}")
    return OK


def _show_settings(kind: str, as_json: bool) -> int:
    rows = target_words.setting_rows(kind)
    if as_json:
        names = ("name", "help", "example")
        print_json({"type": kind, "settings": [dict(zip(names, r, strict=True)) for r in rows]})
    else:
        print_table(("setting", "what it is for", "example"), rows)
    return OK


def _add(asked: Asked, as_json: bool) -> int:
    # A target may come before the first run.
    here = Path.cwd()
    folder = WorkspaceFolder.find(here) or WorkspaceFolder.create(project_for(here))
    facts = target_words.added(folder, asked)
    if as_json:
        print_json(facts.to_json())
    else:
        print(f"{facts.name} is added to {folder.targets_file}.")
        if facts.remarks:
            say(facts.remarks)
    return OK


def _test(asked: Asked, as_json: bool) -> int:
    folder = workspace_here().folder
    kind = compute.entry_of(folder, asked.name).kind
    findings: list[Finding] = []
    for finding in tried(folder, asked.name, asked.settings_for(kind)):
        findings.append(finding)
        if not as_json:
            show_finding(finding)
    works = all(each.works is not False for each in findings)
    if as_json:
        print_json({"ok": works, "findings": [asdict(each) for each in findings]})
    return OK if works else RUN_FAILED


def _remove(asked: Asked, as_json: bool) -> int:
    folder = workspace_here().folder
    compute.remove(folder, asked.name)
    if as_json:
        print_json({"removed": asked.name})
    else:
        print(f"{asked.name} is removed from {folder.targets_file}.")
    return OK


_DO: Mapping[str, Callable[[Asked, bool], int]] = {
    "list": _list,
    "show": _show,
    "add": _add,
    "test": _test,
    "remove": _remove,
}

COMMANDS = {
    "target": Command(
        _arguments,
        _target,
        tuple(f"aml target {words}" for words in ("list", *target_words.EXAMPLES)),
        usage="[list|show|add|test|remove] [NAME] [--type KIND] [KEY=VALUE …] [--json]",
        notes="\n".join(f"{name:<7} {what}" for name, what in target_words.ACTIONS.items()),
    )
}
