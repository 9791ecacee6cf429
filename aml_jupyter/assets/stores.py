"""The datastores of a workspace as records: what they are called, and where their files are.

::

    .aml/datastores/<name>/        files of a datastore, unless they are elsewhere
    .aml/datastores/<name>.json    {name, kind, account, container, place, registered}
    .aml/datastores.json           {default}
"""

from __future__ import annotations

import os
import re
import time
from typing import NamedTuple

from aml_jupyter.errors import UserErrorException, near
from aml_jupyter.job.layout import full_disk, read_json, write_json

from .place import locked

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

BLOB = "AzureBlob"
FILES = "AzureFile"
DEFAULT = "workspaceblobstore"
ARTIFACTS = "workspaceartifactstore"

_OF_EVERY_WORKSPACE = {
    DEFAULT: BLOB,
    "workspacefilestore": FILES,
    ARTIFACTS: BLOB,
    "workspaceworkingdirectory": FILES,
}
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,254}")


class StoreRecord(NamedTuple):
    """A datastore: ``place`` is a folder or an address of fsspec's; ``""`` for our own folder."""

    name: str
    kind: str
    account: str = "local"
    container: str = ""
    place: str = ""
    registered: float = 0.0

    def where(self, root: str) -> str:
        """The folder or address that the files are below."""
        return self.place or os.path.join(root, "datastores", self.name)


def stores(root: str) -> dict[str, StoreRecord]:
    """All datastores by name: those that every workspace has, then what was registered."""
    found = {
        name: StoreRecord(name, kind, container=name) for name, kind in _OF_EVERY_WORKSPACE.items()
    }
    folder = os.path.join(root, "datastores")
    for file in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
        record = read_json(os.path.join(folder, file)) if file.endswith(".json") else None
        if isinstance(record, dict):
            known = {key: record[key] for key in StoreRecord._fields if key in record}
            found[record["name"]] = StoreRecord(**known)
    return found


def store(root: str, name: str) -> StoreRecord:
    """The datastore of that name."""
    found = stores(root)
    if name not in found:
        raise UserErrorException(
            f"There is no datastore named {name!r} in this workspace.", near(str(name), found)
        )
    return found[name]


def register(root: str, record: StoreRecord) -> None:
    """Keep a datastore; one of the same name is replaced, its files stay."""
    if not isinstance(record.name, str) or not _NAME.fullmatch(record.name):
        raise UserErrorException(
            f"{record.name!r} is not a name for a datastore.",
            "It has letters, digits, _ and -, 255 at most.",
        )
    path = _record_path(root, record.name)
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if not record.place:
            os.makedirs(record.where(root), exist_ok=True)
    except OSError as error:
        raise full_disk(error, path) from error
    write_json(path, record._replace(registered=time.time())._asdict())


def unregister(root: str, name: str) -> None:
    """Forget a datastore; its files stay."""
    store(root, name)
    if name in _OF_EVERY_WORKSPACE:
        raise UserErrorException(
            f"{name} belongs to every workspace and stays.", "Only registered datastores can go."
        )
    with locked(_settings_path(root) + ".lock"):
        os.unlink(_record_path(root, name))
        if _settings(root).get("default") == name:
            write_json(_settings_path(root), {**_settings(root), "default": DEFAULT})


def default_name(root: str) -> str:
    """The name of the default datastore."""
    return str(_settings(root).get("default") or DEFAULT)


def set_default(root: str, name: str) -> None:
    """Let another datastore be the default."""
    store(root, name)
    with locked(_settings_path(root) + ".lock"):
        write_json(_settings_path(root), {**_settings(root), "default": name})


def _record_path(root: str, name: str) -> str:
    return os.path.join(root, "datastores", f"{name}.json")


def _settings_path(root: str) -> str:
    return os.path.join(root, "datastores.json")


def _settings(root: str) -> dict[str, Any]:
    return read_json(_settings_path(root)) or {}
