"""What all datasets have in common: they are values, with an id, that may be registered."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from contextlib import contextmanager
from importlib import import_module

from aml_jupyter.errors import UserErrorException, near
from aml_jupyter.job.layout import FOLDER_VARIABLE

from . import dataset_records as records
from .consumption import Consumable
from .definition import Definition
from .expressions import Expression, checked, column
from .keywords import says_its_keywords
from .place import root_here, root_of
from .resolve import entries_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    import datetime
    from typing import Any, Iterator

    from .dataset_records import DatasetRecord
    from .file_dataset import FileDatasetFactory
    from .files import Progress
    from .tabular_factory import TabularDatasetFactory

_KINDS = {
    "file": "file_dataset.FileDataset",
    "tabular": "tabular_dataset.TabularDataset",
}
_FACTORIES = {
    "File": "file_dataset.FileDatasetFactory",
    "Tabular": "tabular_factory.TabularDatasetFactory",
}


def _of_assets(place: str) -> Any:
    """Something of this room that is above this module: the kinds of datasets are made of it."""
    module, _, name = place.partition(".")
    return getattr(import_module(f"aml_jupyter.assets.{module}"), name)


class _Factory:
    """``Dataset.File`` and ``Dataset.Tabular``, fetched when first used."""

    def __set_name__(self, owner: Any, name: str) -> None:
        self._place = _FACTORIES[name]

    def __get__(self, instance: Any, owner: Any) -> Any:
        return _of_assets(self._place)


class AbstractDataset(Consumable):
    """Data by its definition: nothing is read before it is asked for, nothing ever changes.

    Every method that narrows the data down gives another dataset.
    """

    if TYPE_CHECKING:
        File: type[FileDatasetFactory]
        Tabular: type[TabularDatasetFactory]
    else:
        File = _Factory()
        Tabular = _Factory()

    def __init__(
        self,
        definition: Definition,
        root: str | None = None,
        record: DatasetRecord | None = None,
    ) -> None:
        self._definition = definition
        self._known_root = root
        self._record = record

    # Finding

    @staticmethod
    @says_its_keywords
    def get_by_name(workspace: Any, name: str, version: int | str = "latest") -> Any:
        """The dataset registered under a name, in the latest version or the one given."""
        root = root_of(workspace)
        return opened(root, records.find(root, name, version))

    @staticmethod
    @says_its_keywords
    def get_by_id(workspace: Any, id: str) -> Any:
        """The dataset with that id, registered or not."""
        root = root_of(workspace)
        return opened(root, records.by_id(root, id))

    @staticmethod
    def get_all(workspace: Any) -> Mapping[str, Any]:
        """The latest version of every registered dataset, by name; read when asked for."""
        return RegisteredDatasets(root_of(workspace))

    # What it is

    @property
    def definition(self) -> Definition:
        """Where the data comes from and what is done with it."""
        return self._definition

    @property
    def root(self) -> str:
        """The workspace it belongs to; if none was named, the one of this process."""
        if self._known_root is None:
            self._known_root = root_here()
        return self._known_root

    @property
    def id(self) -> str:
        """The id, by which jobs find the dataset; without a name it follows from the definition."""
        return self._record.id if self._record else records.save(self.root, self._definition)

    @property
    def name(self) -> str | None:
        """The name it is registered under; None for a dataset that is not."""
        return self._record.name if self._record else None

    @property
    def version(self) -> int | None:
        """The version of that name."""
        return self._record.version if self._record else None

    @property
    def description(self) -> str | None:
        """What was said about it."""
        return self._record.description if self._record else None

    @property
    def tags(self) -> dict[str, str]:
        """The tags."""
        return dict(self._record.tags) if self._record else {}

    @property
    def data_changed_time(self) -> datetime.datetime | None:
        """When the newest of the files was changed last; None without files."""
        import datetime

        times = [os.stat(entry.path).st_mtime for entry in self._entries()]
        if not times:
            return None
        return datetime.datetime.fromtimestamp(max(times), datetime.timezone.utc)

    # Registering

    @says_its_keywords
    def register(
        self,
        workspace: Any = None,
        name: str | None = None,
        description: str | None = None,
        tags: Mapping[str, Any] | None = None,
        create_new_version: bool = False,
    ) -> Any:
        """The dataset under a name; the version that is the same already, if there is one."""
        root = root_of(workspace) if workspace is not None else self.root
        if self._known_root not in (None, root) and self._uses_datastores():
            raise UserErrorException(
                "The dataset lies in a datastore of another workspace.",
                "Register it there, or copy the files to a datastore of this one.",
            )
        record = records.register(
            root,
            self._definition,
            "" if name is None else name,
            description,
            tags,
            create_new_version,
        )
        return opened(root, record)

    def unregister_all_versions(self) -> None:
        """Forget the name with all its versions; the data stays."""
        records.unregister(self.root, self._registered().name or "")
        self._record = None

    def add_tags(self, tags: Mapping[str, Any] | None = None) -> Any:
        """The dataset with more tags."""
        return self._changed(tags={**self._now().tags, **records.tags_as_texts(tags)})

    def remove_tags(self, tags: Any = None) -> Any:
        """The dataset without some tags; given by their keys, or as a dictionary."""
        gone = {tags} if isinstance(tags, str) else set(tags or ())
        kept = {key: value for key, value in self._now().tags.items() if key not in gone}
        return self._changed(tags=kept)

    def update(self, description: str | None = None, tags: Mapping[str, Any] | None = None) -> Any:
        """The dataset with another description, or with other tags in place of all it had."""
        changes: dict[str, Any] = {} if description is None else {"description": description}
        if tags is not None:
            changes["tags"] = records.tags_as_texts(tags)
        return self._changed(**changes)

    def _changed(self, **changes: Any) -> Any:
        self._record = records.update(self.root, self._registered(), **changes)
        return opened(self.root, self._record)

    def _now(self) -> DatasetRecord:
        return records.find(self.root, str(self._registered().name), self.version)

    def _registered(self) -> DatasetRecord:
        if self._record is None or self._record.name is None:
            raise UserErrorException(
                "Only a registered dataset has tags and a description.",
                "Register it first: ds = ds.register(ws, 'name').",
            )
        return self._record

    def _uses_datastores(self) -> bool:
        return any(source.datastore for source in self._definition.sources)

    # Narrowing

    def take(self, count: int) -> Any:
        """The first ``count`` of them."""
        return self._then("take", count=_whole_number("count", count))

    def skip(self, count: int) -> Any:
        """All but the first ``count``."""
        return self._then("skip", count=_whole_number("count", count))

    def take_sample(self, probability: float, seed: int | None = None) -> Any:
        """About that share of them, chosen by chance; the same ones for the same seed."""
        return self._then("sample", share=_share("probability", probability), seed=_seed(seed))

    def random_split(self, percentage: float, seed: int | None = None) -> tuple[Any, Any]:
        """About ``percentage`` (from 0 to 1) of them by chance, and all the others."""
        how = {"share": _share("percentage", percentage), "seed": _seed(seed)}
        return self._then("split", rest=False, **how), self._then("split", rest=True, **how)

    def filter(self, expression: Expression) -> Any:
        """Those for which a condition holds, such as ``ds['AGE'] > 60``."""
        return self._then("filter", condition=checked(expression))

    def __getitem__(self, name: str) -> Expression:
        """The value of a column in a condition."""
        return column(name)

    def _then(self, do: str, **how: Any) -> Any:
        return type(self)(self._definition.then(do, **how), self._known_root)

    # Partitions

    @property
    def partition_keys(self) -> list[str]:
        """The columns that the partition format makes of paths."""
        from .resolve import partition_names

        return partition_names(self._definition)

    def get_partition_key_values(self, partition_keys: Any = None) -> list[dict[str, Any]]:
        """Which values the paths have for these keys (for all, if not said), each once."""
        known = self.partition_keys
        keys = known if partition_keys is None else list(partition_keys)
        for key in keys:
            if key not in known:
                hint = near(key, known) if known else "Give partition_format when it is made."
                raise UserErrorException(f"The dataset has no partition key {key!r}.", hint)
        found = [{key: entry.values[key] for key in keys} for entry in self._entries(fetch=False)]
        return [each for index, each in enumerate(found) if each not in found[:index]]

    # For all of the above

    def _entries(self, fetch: bool = True) -> list[Any]:
        with shown_progress(self._definition) as progress:
            entries, notes = entries_of(self._definition, self.root, progress, fetch)
        tell(notes)
        return entries

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self._facts() == other._facts()

    def __hash__(self) -> int:
        return hash(self._definition.digest)

    def _facts(self) -> tuple[Any, ...]:
        return (self._definition.digest, self.name, self.version)

    def __repr__(self) -> str:
        shown: list[tuple[str, Any]] = [
            ("source", [str(source) for source in self._definition.sources]),
            ("steps", [step["do"] for step in self._definition.steps]),
        ]
        if self._record is not None:
            shown += [("id", self.id), ("name", self.name), ("version", self.version)]
        lines = [f"  {name}: {value}" for name, value in shown if value]
        return "\n".join([type(self).__name__, *lines])


class RegisteredDatasets(Mapping):  # type: ignore[type-arg]  # subscripting is 3.9's
    """All registered datasets by name, each read when it is asked for."""

    def __init__(self, root: str) -> None:
        self._root = root

    def __getitem__(self, name: str) -> Any:
        if name not in self:
            raise KeyError(f"{name!r}: {near(str(name), self)}")
        return opened(self._root, records.find(self._root, name))

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and bool(records.versions(self._root, name))

    def __iter__(self) -> Iterator[str]:
        return iter(records.names(self._root))

    def __len__(self) -> int:
        return len(records.names(self._root))

    def __repr__(self) -> str:
        return f"{{{', '.join(repr(name) for name in self)}}}"


def opened(root: str, record: DatasetRecord) -> Any:
    """The dataset of a record, as what it is."""
    return _of_assets(_KINDS[record.definition.kind])(record.definition, root, record)


@contextmanager
def shown_progress(definition: Definition) -> Iterator[Progress | None]:
    """A line about data that takes long to come; not in a job, whose log is no place for it."""
    if FOLDER_VARIABLE in os.environ:
        yield None
        return
    progress = import_module("aml_jupyter.store.progress")
    first, *more = definition.sources
    is_folder = bool(more) or first.path.endswith(("/", "*"))
    with progress.shown_progress("fetching data", "files" if is_folder else "bytes") as update:
        yield update


def tell(notes: tuple[str, ...]) -> None:
    """Say what people should know of where their data came from."""
    import sys

    for note in dict.fromkeys(notes):
        sys.stderr.write(f"{note}\n")


def _whole_number(name: str, value: Any) -> int:
    if isinstance(value, bool) or not hasattr(value, "__index__") or value < 0:
        raise UserErrorException(f"{name} is {value!r}.", "It is a whole number, 0 or more.")
    return int(value)


def _share(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise UserErrorException(f"{name} is {value!r}.", "It is a number from 0 to 1.")
    return float(value)


def _seed(seed: Any) -> int:
    """The seed, or one by chance: the definition holds it, so that it is the same ever after."""
    if seed is not None and not hasattr(seed, "__index__"):
        raise UserErrorException(f"seed is {seed!r}.", "It is a whole number.")
    return secrets.randbelow(2**31) if seed is None else int(seed)
