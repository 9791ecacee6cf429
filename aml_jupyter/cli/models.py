"""``aml models``: the registered models of a workspace."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..assets.model_records import number_of
from ..assets.model_shelf import ModelShelf
from ..assets.models import Model, register_from_path
from ..errors import UserErrorException, meant
from ..spec.words import shown_age, shown_size
from ..workspace import Workspace
from . import OK, RUN_FAILED
from .finding import find_run, workspace_here
from .parser import Command, Parser, tag
from .present import print_json, print_table, say

ACTIONS = {
    "list": "the latest version of each model; of one NAME all versions",
    "show": "all that is known of NAME or NAME:VERSION, and its files",
    "register": "NAME PATH: a file or folder here, or of a run with --run",
    "download": "copy the files of NAME or NAME:VERSION here, or below --to",
    "delete": "take NAME:VERSION away, or NAME with --all-versions; asks first",
    "verify": "read all files and say which are not what was registered",
}
_HEADS = ("model", "version", "age", "size", "framework", "run", "tags")


def _arguments(parser: Parser) -> None:
    add = parser.add_argument
    add("action", nargs="?", metavar="ACTION", default="list", help=", ".join(ACTIONS))
    add(
        "names", nargs="*", metavar="NAME[:VERSION]", help="a model; the latest version if not said"
    )
    add("--run", metavar="ID", help="register: PATH is a file or folder of this run")
    add("--tag", metavar="KEY=VALUE", type=tag, action="append", default=[], help="register: a tag")
    add("--description", metavar="TEXT", help="register: what it is")
    add("--framework", metavar="NAME", help="register, list: its framework")
    add("--to", metavar="FOLDER", default=".", help="download: where to; here if not said")
    add("--force", action="store_true", help="download: write over what is there")
    add("--all-versions", action="store_true", help="delete: every version of the names")
    add("-y", "--yes", action="store_true", help="delete: do not ask")


def _models(options: argparse.Namespace) -> int:
    if options.action not in ACTIONS:
        hint = meant(options.action, ACTIONS) or f"It does: {', '.join(ACTIONS)}."
        raise UserErrorException(f"aml models cannot {options.action!r}.", hint)
    return _DO[options.action](options)


def _list(options: argparse.Namespace) -> int:
    workspace, framework = workspace_here(), options.framework
    if options.names:
        found = [each for name in options.names for each in _versions(workspace, name)]
        found = [each for each in found if framework in (None, each.model_framework)]
    else:
        found = Model.list(workspace, latest=True, model_framework=framework)
    unreadable = list(_unreadable(workspace, options.names))
    if options.json:
        print_json({"models": [_described(each) for each in found], "unreadable": unreadable})
        return OK
    if found:
        print_table(_HEADS, [_row(each) for each in found])
    elif not unreadable:
        say("No models are registered.")
    for each in unreadable:
        say(f"{each} is damaged: its facts cannot be read. `aml models delete {each}` removes it.")
    return OK


def _unreadable(workspace: Workspace, names: Sequence[str]) -> Iterator[str]:
    """The versions, of these names or of all, whose facts are damaged."""
    shelf = ModelShelf(workspace)
    for name in names or shelf.names():
        for version in shelf.versions(name):
            if shelf.record(name, version) is None:
                yield f"{name}:{version}"


def _show(options: argparse.Namespace) -> int:
    model = _one(options)
    if options.json:
        print_json(_described(model))
        return OK
    facts = {
        "model": model.id,
        "registered": f"{shown_age(model.created_time.timestamp())} ago "
        f"by {model.created_by['userName']}",
        "size": shown_size(model.size),
        "run": model.run_id,
        "experiment": model.experiment_name,
        "framework": " ".join(filter(None, [model.model_framework, model.model_framework_version])),
        "tags": _pairs(model.tags),
        "properties": _pairs(model.properties),
        "description": model.description,
        "resources": model.resource_configuration,
    }
    for name, value in facts.items():
        if value:
            print(f"{name:<12} {value}")
    for name, address in model.get_sas_urls().items():
        print(f"{'file':<12} {name}  {address}")
    return OK


def _register(options: argparse.Namespace) -> int:
    if len(options.names) != 2:
        raise UserErrorException(
            "aml models register takes a name and a path.",
            "For example: aml models register mnist outputs/model.pkl --run last",
        )
    name, path = options.names
    facts: dict[str, Any] = {"tags": dict(options.tag), "description": options.description}
    facts["model_framework"] = options.framework
    if options.run:
        model = find_run(workspace_here(), options.run).register_model(name, path, **facts)
    else:
        # A model may come before the first run.
        model = register_from_path(Workspace.from_config(), name, path, **facts)
    _tell(options, model, "is registered.")
    return OK


def _download(options: argparse.Namespace) -> int:
    model = _one(options)
    path = model.download(options.to, exist_ok=options.force)
    if options.json:
        print_json({"model": model.id, "path": str(Path(path).absolute())})
    else:
        print(path)
    return OK


def _delete(options: argparse.Namespace) -> int:
    workspace = workspace_here()
    shelf, names = ModelShelf(workspace), _named(options)
    chosen = [each for name in names for each in _to_delete(workspace, name, options)]
    ids = [f"{name}:{version}" for name, version in chosen]
    if not options.yes and not _is_agreed(ids, sum(shelf.size(*each) for each in chosen)):
        say("Nothing was deleted.")
        return OK
    for name, version in chosen:
        shelf.remove(name, version)
    if options.json:
        print_json({"deleted": ids})
    else:
        print(f"Deleted {', '.join(ids)}.")
    return OK


def _to_delete(
    workspace: Workspace, name: str, options: argparse.Namespace
) -> list[tuple[str, int]]:
    versions = list(_there(workspace, [name]))
    if len(versions) > 1 and not options.all_versions:
        newest = ":".join(map(str, versions[0]))
        raise UserErrorException(
            f"{name} has {len(versions)} versions.",
            f"Say which, such as {newest}, or --all-versions.",
        )
    return versions


def _is_agreed(ids: Sequence[str], size: int) -> bool:
    what = f"{', '.join(ids)} ({shown_size(size)})"
    if not sys.stdin.isatty():
        raise UserErrorException(f"Deleting {what} has to be confirmed.", "Say it with -y.")
    sys.stderr.write(f"Delete {what}? [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _verify(options: argparse.Namespace) -> int:
    workspace = workspace_here()
    shelf = ModelShelf(workspace)
    checked, damaged = [], {}
    for name, version in _there(workspace, options.names or shelf.names()):
        model, damages = f"{name}:{version}", shelf.damages(name, version)
        checked.append(model)
        if damages:
            damaged[model] = damages
        if not options.json:
            print(f"{model}  {'damaged' if damages else 'as registered'}")
            for file, fault in damages.items():
                print(f"  {file} {fault}")
    if options.json:
        print_json({"checked": checked, "damaged": damaged})
    elif not checked:
        say("No models are registered.")
    return RUN_FAILED if damaged else OK


def _there(workspace: Workspace, names: Sequence[str]) -> Iterator[tuple[str, int]]:
    """The versions that names stand for, newest first; also those whose facts are damaged."""
    shelf = ModelShelf(workspace)
    for each in names:
        name, _, said = each.partition(":")
        number = number_of(said or None)
        there = [version for version in shelf.versions(name) if number in (None, version)]
        if not there:
            _find(workspace, each)  # which says what there is
        yield from ((name, version) for version in reversed(there))


# Naming models --------------------------------------------------------------------------------


def _named(options: argparse.Namespace) -> list[str]:
    if not options.names:
        raise UserErrorException(
            f"aml models {options.action} was told no model.", "`aml models` lists them."
        )
    names: list[str] = options.names
    return names


def _one(options: argparse.Namespace) -> Model:
    names = _named(options)
    if len(names) > 1:
        raise UserErrorException(
            f"aml models {options.action} takes one model, not {len(names)}.", "Name one."
        )
    return _find(workspace_here(), names[0])


def _find(workspace: Workspace, name: str) -> Model:
    return Model(workspace, id=name) if ":" in name else Model(workspace, name)


def _versions(workspace: Workspace, name: str) -> list[Model]:
    is_name = ModelShelf(workspace).versions(name)
    return Model.list(workspace, name) if is_name else [_find(workspace, name)]


# How they look --------------------------------------------------------------------------------


def _row(model: Model) -> list[str]:
    return [
        model.name,
        str(model.version),
        shown_age(model.created_time.timestamp()),
        shown_size(model.size),
        model.model_framework or "",
        model.run_id or "",
        _pairs(model.tags),
    ]


def _pairs(facts: Mapping[str, str | None]) -> str:
    return ", ".join(key if value is None else f"{key}={value}" for key, value in facts.items())


def _described(model: Model) -> dict[str, Any]:
    return {
        "id": model.id,
        "name": model.name,
        "version": model.version,
        "created": model.serialize()["createdTime"],
        "size": model.size,
        "framework": model.model_framework,
        "framework_version": model.model_framework_version,
        "run": model.run_id,
        "experiment": model.experiment_name,
        "tags": model.tags,
        "properties": model.properties,
        "description": model.description,
        "files": {name: url[len("file://") :] for name, url in model.get_sas_urls().items()},
    }


def _tell(options: argparse.Namespace, model: Model, what: str) -> None:
    if options.json:
        print_json(_described(model))
    else:
        print(f"{model.id} {what}")


_DO: Mapping[str, Callable[[argparse.Namespace], int]] = {
    "list": _list,
    "show": _show,
    "register": _register,
    "download": _download,
    "delete": _delete,
    "verify": _verify,
}

COMMANDS = {
    "models": Command(
        _arguments,
        _models,
        (
            "aml models",
            "aml models register mnist outputs/model.pkl --run last --tag data=v2",
            "aml models download mnist:3 --to scoring",
            "aml models verify",
        ),
        usage="[list|show|register|download|delete|verify] [NAME[:VERSION] …] [OPTIONS]",
        notes="\n".join(f"{name:<9} {what}" for name, what in ACTIONS.items()),
    )
}
