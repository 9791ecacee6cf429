"""What people give as the path of a dataset, as sources: datastore and path, address, file."""

from __future__ import annotations

import os
import re

from aml_jupyter.errors import UserErrorException

from .datastore import Datastore
from .definition import Source
from .files import path_within
from .reference import DataPath, DataReference

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterator

_HOW = (
    "Give a URL, a file or folder of this machine, (datastore, 'path'), datastore.path('path'), "
    "or a list of such."
)


def sources_of(path: Any) -> tuple[tuple[Source, ...], str | None]:
    """The sources, and the workspace that their datastores belong to (None without any)."""
    found = list(_each(path))
    if not found:
        raise UserErrorException(f"{path!r} names no data.", _HOW)
    roots = {root for _, root in found if root}
    if len(roots) > 1:
        raise UserErrorException(
            "The paths are in datastores of different workspaces.",
            "A dataset lies in one workspace; copy the files there.",
        )
    return tuple(source for source, _ in found), roots.pop() if roots else None


def _each(path: Any) -> Iterator[tuple[Source, str | None]]:
    if isinstance(path, tuple) and len(path) == 2 and isinstance(path[0], Datastore):
        below = path[1] if isinstance(path[1], (list, tuple)) else [path[1]]
        for each in below:
            yield _in_store(path[0], each)
    elif isinstance(path, (DataPath, DataReference)):
        yield _in_store(path.datastore, path.path_on_datastore)
    elif isinstance(path, Datastore):
        yield _in_store(path, "")
    elif isinstance(path, (list, tuple, set)):
        for each in path:
            yield from _each(each)
    elif isinstance(path, (str, os.PathLike)) and os.fspath(path):
        yield Source(_address_or_file(os.fspath(path))), None
    else:
        raise UserErrorException(f"{path!r} is not where data is.", _HOW)


def _in_store(datastore: Datastore, path: Any) -> tuple[Source, str]:
    within = path_within(path, f"the datastore {datastore.name}")
    return Source(within, datastore.name), datastore.workspace_root


def _address_or_file(text: str) -> str:
    if text.startswith("file://"):
        from urllib.request import url2pathname

        return url2pathname(text[len("file://") :])
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", text):
        return _checked(text)
    return os.path.abspath(os.path.expanduser(text))


def _checked(address: str) -> str:
    from urllib.parse import urlsplit

    try:
        urlsplit(address)
    except ValueError as error:
        raise UserErrorException(f"{address!r} is no address: {error}.", _HOW) from None
    return address


def target_of(target: Any) -> tuple[Datastore, str]:
    """The datastore and the path in it that something is written to."""
    if isinstance(target, Datastore):
        return target, ""
    if isinstance(target, (DataPath, DataReference)):
        return target.datastore, path_within(target.path_on_datastore)
    if isinstance(target, tuple) and len(target) == 2 and isinstance(target[0], Datastore):
        return target[0], path_within(target[1], f"the datastore {target[0].name}")
    raise UserErrorException(
        f"{target!r} is not a place to write to.",
        "Give a datastore, (datastore, 'path') or a DataPath.",
    )
