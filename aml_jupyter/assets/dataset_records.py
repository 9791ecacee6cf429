"""What a workspace remembers of datasets.

::

    .aml/datasets/saved/<id>.json                     whatever was asked for its id
    .aml/datasets/registered/<name>/<version>.json    what has a name; also saved

Both hold {id, definition, name, version, description, tags, created}.
"""

from __future__ import annotations

import os
import time
from typing import NamedTuple

from aml_jupyter.errors import UserErrorException, near
from aml_jupyter.job.layout import full_disk, guid, read_json, write_json

from .definition import Definition
from .place import locked

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Mapping


_LONGEST_FILE = 250


class DatasetRecord(NamedTuple):
    """A version of a registered dataset; of one that is only saved, ``name`` is None."""

    id: str
    definition: Definition
    name: str | None = None
    version: int | None = None
    description: str | None = None
    tags: Mapping[str, str] = {}
    created: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """The record as JSON."""
        return {**self._asdict(), "definition": self.definition.to_json()}

    @staticmethod
    def from_json(record: Mapping[str, Any]) -> DatasetRecord:
        """What :meth:`to_json` wrote."""
        known = {key: record[key] for key in DatasetRecord._fields if key in record}
        return DatasetRecord(**{**known, "definition": Definition.from_json(record["definition"])})


# Saved ----------------------------------------------------------------------------------------


def save(root: str, definition: Definition) -> str:
    """The id under which a definition is found again, in jobs as well."""
    if not os.path.exists(_saved_path(root, definition.id)):
        _write(_saved_path(root, definition.id), DatasetRecord(definition.id, definition))
    return definition.id


def by_id(root: str, dataset_id: str) -> DatasetRecord:
    """The dataset with that id, as it is registered now if it is."""
    record = read_json(_saved_path(root, str(dataset_id)))
    if record is None:
        ids = [name[: -len(".json")] for name in _listed(os.path.join(root, "datasets", "saved"))]
        raise UserErrorException(
            f"There is no dataset with the id {dataset_id!r} in this workspace.",
            near(str(dataset_id), ids) if len(ids) < 20 else "Dataset.get_all(ws) lists names.",
        )
    saved = DatasetRecord.from_json(record)
    now = read_json(_version_path(root, saved.name, saved.version)) if saved.name else None
    # The name may have been given to something else since: the id means what it always has.
    return DatasetRecord.from_json(now) if now and now["id"] == saved.id else saved


def is_saved(root: str, dataset_id: str) -> bool:
    """Whether there is a dataset with that id."""
    return os.path.exists(_saved_path(root, dataset_id))


# Registered -----------------------------------------------------------------------------------


def names(root: str) -> list[str]:
    """The names of all registered datasets."""
    from urllib.parse import unquote

    folder = _registered_folder(root)
    found = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    return sorted(unquote(name) for name in found if versions(root, unquote(name)))


def versions(root: str, name: str) -> list[int]:
    """The versions of a dataset, oldest first."""
    found = _listed(_folder_of(root, name))
    return sorted(int(file[: -len(".json")]) for file in found)


def find(root: str, name: str, version: int | str | None = "latest") -> DatasetRecord:
    """A version of a registered dataset."""
    known = versions(root, name)
    if not known:
        raise UserErrorException(
            f"There is no dataset named {name!r} in this workspace.", near(str(name), names(root))
        )
    wanted = known[-1] if version in ("latest", None) else version
    if not str(wanted).isdecimal() or int(wanted) not in known:
        shown = ", ".join(str(each) for each in known[-10:])
        raise UserErrorException(
            f"The dataset {name} has no version {version!r}.", f"There are: {shown}, and 'latest'."
        )
    return DatasetRecord.from_json(read_json(_version_path(root, name, int(wanted))))


def register(
    root: str,
    definition: Definition,
    name: str,
    description: str | None = None,
    tags: Mapping[str, Any] | None = None,
    create_new_version: bool = False,
) -> DatasetRecord:
    """A version of ``name`` with this definition; the one that has it already, if any."""
    _check_name(name)
    with locked(os.path.join(root, "datasets", "registered.lock")):
        known = versions(root, name)
        for version in reversed(known):
            record = find(root, name, version)
            if record.definition.digest == definition.digest:
                return record
        if known and not create_new_version:
            raise UserErrorException(
                f"There is a dataset named {name} already, and it is defined otherwise.",
                "Pass create_new_version=True, or give another name.",
            )
        version = known[-1] + 1 if known else 1
        texts = tags_as_texts(tags)
        record = DatasetRecord(guid(), definition, name, version, description, texts, time.time())
        _write(_saved_path(root, record.id), record)
        _write(_version_path(root, name, version), record)
        return record


def update(root: str, record: DatasetRecord, **changes: Any) -> DatasetRecord:
    """The record with other tags or another description, which are kept."""
    with locked(os.path.join(root, "datasets", "registered.lock")):
        found = find(root, str(record.name), record.version)
        if found.id != record.id:
            raise UserErrorException(
                f"Version {record.version} of the dataset {record.name} is another one by now.",
                f"This one was unregistered; Dataset.get_by_name(ws, {record.name!r}) is the new.",
            )
        changed = found._replace(**changes)
        _write(_version_path(root, record.name, record.version), changed)
        return changed


def unregister(root: str, name: str) -> None:
    """Forget all versions of a name; their ids still lead to what they were."""
    import shutil

    with locked(os.path.join(root, "datasets", "registered.lock")):
        shutil.rmtree(_folder_of(root, name), ignore_errors=True)


# Paths ----------------------------------------------------------------------------------------


def _write(path: str, record: DatasetRecord) -> None:
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
    except OSError as error:
        raise full_disk(error, path) from error
    write_json(path, record.to_json())


def _listed(folder: str) -> list[str]:
    return [n for n in os.listdir(folder) if n.endswith(".json")] if os.path.isdir(folder) else []


def _saved_path(root: str, dataset_id: str) -> str:
    name = os.path.basename(dataset_id)[:_LONGEST_FILE]
    return os.path.join(root, "datasets", "saved", f"{name}.json")


def _registered_folder(root: str) -> str:
    return os.path.join(root, "datasets", "registered")


def _folder_of(root: str, name: str | None) -> str:
    return os.path.join(_registered_folder(root), _quoted(str(name)))


def _quoted(name: str) -> str:
    from urllib.parse import quote

    return quote(name, safe=" ", errors="surrogatepass")


def _version_path(root: str, name: str | None, version: int | None) -> str:
    return os.path.join(_folder_of(root, name), f"{version}.json")


def _check_name(name: object) -> None:
    if not isinstance(name, str) or not name.strip() or name[0] == "." or len(name) > 60:
        raise UserErrorException(
            f"{name!r} is not a name for a dataset.",
            "It is a text of at most 60 characters that does not begin with a dot.",
        )
    if len(_quoted(name)) > _LONGEST_FILE or not name.isprintable():
        raise UserErrorException(
            f"{name!r} is not a name for a dataset: no folder can be called so.",
            "Use a shorter one, or one of plain letters.",
        )


def tags_as_texts(tags: Mapping[str, Any] | None) -> dict[str, str]:
    """Tags as they are kept."""
    if not isinstance(tags, (dict, type(None))):
        raise UserErrorException(f"{tags!r} are no tags.", "Give a dictionary: {'key': 'value'}.")
    return {str(key): str(value) for key, value in (tags or {}).items()}
