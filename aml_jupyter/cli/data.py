"""``aml data``: the datasets and datastores of a workspace."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ..assets import dataset_records as records
from ..assets import stores
from ..assets.dataset_records import DatasetRecord
from ..assets.datastore import Datastore
from ..assets.place import root_of
from ..assets.resolve import names_of
from ..errors import UserErrorException
from ..spec.words import near, shown_age
from ..workspace import Workspace
from . import OK
from .finding import workspace_here
from .parser import Command, Parser, count
from .present import print_json, print_table

_ACTIONS = {
    "list": "the latest version of every dataset, and the datastores",
    "show": "a dataset by its name or id, or a datastore: where it is and what is in it",
    "add": "name a folder, or an address such as s3://bucket/path, as a datastore",
}
_SHOWN = 20


def _arguments(parser: Parser) -> None:
    add = parser.add_argument
    add("action", nargs="?", choices=list(_ACTIONS), default="list", help=", ".join(_ACTIONS))
    add("name", nargs="?", metavar="NAME", help="a dataset or a datastore")
    add("place", nargs="?", metavar="PLACE", help="with add: the folder or address")
    add("--version", metavar="N", type=count, help="with show: not the latest version, but this")


def _data(options: argparse.Namespace) -> int:
    if options.action != "list" and not options.name:
        raise UserErrorException(
            f"aml data {options.action} needs a name.", "`aml data list` shows what there is."
        )
    return _DO[options.action](workspace_here(), options)


def _list(workspace: Workspace, options: argparse.Namespace) -> int:
    root = root_of(workspace)
    found = [records.find(root, name) for name in records.names(root)]
    named = stores.stores(root).values()
    if options.json:
        datasets = [_described(record) for record in found]
        datastores = [_described_store(root, store) for store in named]
        print_json({"datasets": datasets, "datastores": datastores})
        return OK
    if found:
        rows = [
            (r.name or "", str(r.version), r.definition.kind, _source(r), shown_age(r.created))
            for r in found
        ]
        print_table(("dataset", "version", "kind", "source", "age"), rows)
    else:
        print("No dataset is registered yet: ds.register(ws, 'name') does it.")
    print()
    print_table(("datastore", "type", "place"), [_store_row(root, store) for store in named])
    return OK


def _show(workspace: Workspace, options: argparse.Namespace) -> int:
    root = root_of(workspace)
    record = _dataset_called(root, options.name, options.version)
    if record is not None:
        facts = _described(record)
        facts["files"] = names_of(record.definition, root)
    elif options.name in stores.stores(root):
        facts = _described_store(root, stores.store(root, options.name))
    else:
        raise UserErrorException(
            f"There is no dataset or datastore called {options.name!r}.",
            near(options.name, [*records.names(root), *stores.stores(root)]),
        )
    if options.json:
        print_json(facts)
    else:
        for name, value in _lines(facts):
            print(f"{name:<12} {value}".rstrip())
    return OK


def _dataset_called(root: str, name: str, version: int | None) -> DatasetRecord | None:
    if records.versions(root, name):
        return records.find(root, name, "latest" if version is None else version)
    return records.by_id(root, name) if records.is_saved(root, name) else None


def _add(workspace: Workspace, options: argparse.Namespace) -> int:
    if not options.place:
        raise UserErrorException(
            "aml data add needs a folder or an address.", "For example: aml data add mine /srv/data"
        )
    store = Datastore.register_folder(workspace, options.name, options.place)
    if options.json:
        root = root_of(workspace)
        print_json(_described_store(root, stores.store(root, store.name)))
    else:
        print(f"The datastore {store.name} is {store.root}.")
    return OK


# How they are shown ---------------------------------------------------------------------------


def _described(record: DatasetRecord) -> dict[str, Any]:
    from ..job.run import iso

    return {
        "name": record.name,
        "version": record.version,
        "id": record.id,
        "kind": record.definition.kind,
        "description": record.description,
        "tags": dict(record.tags),
        "created": iso(record.created) if record.created else None,
        "sources": [str(source) for source in record.definition.sources],
        "steps": [dict(step) for step in record.definition.steps],
    }


def _described_store(root: str, store: stores.StoreRecord) -> dict[str, Any]:
    return {
        "name": store.name,
        "type": store.kind,
        "account": store.account,
        "container": store.container,
        "place": store.where(root),
        "default": store.name == stores.default_name(root),
    }


def _store_row(root: str, store: stores.StoreRecord) -> tuple[str, str, str]:
    is_default = store.name == stores.default_name(root)
    return f"{store.name}{' (default)' if is_default else ''}", store.kind, store.where(root)


def _source(record: DatasetRecord) -> str:
    first, *more = (str(source) for source in record.definition.sources)
    return f"{first} and {len(more)} more" if more else first


def _lines(facts: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Each fact with its value, or as many lines as it has values."""
    for name, value in facts.items():
        if isinstance(value, dict):
            value = [f"{key}: {each}" for key, each in value.items()]
        if not isinstance(value, list):
            yield name, "" if value is None else str(value)
            continue
        texts = [each["do"] if isinstance(each, dict) else str(each) for each in value]
        more = [f"… and {len(texts) - _SHOWN:,} more"] if len(texts) > _SHOWN else []
        for at, text in enumerate([*texts[:_SHOWN], *more] or [""]):
            yield "" if at else name, text


_DO: Mapping[str, Callable[[Workspace, argparse.Namespace], int]] = {
    "list": _list,
    "show": _show,
    "add": _add,
}

COMMANDS = {
    "data": Command(
        _arguments,
        _data,
        (
            "aml data                              what there is",
            "aml data show mnist --version 2",
            "aml data add pictures /srv/pictures   a datastore that is that folder",
            "aml data add bucket s3://bucket/path  needs s3fs",
        ),
        usage="[list|show|add] [NAME] [PLACE] [--version N] [--json]",
        notes="\n".join(f"{name:<6} {what}" for name, what in _ACTIONS.items()),
    )
}
