"""What a job takes in and leaves behind, as frozen records that cross every boundary as JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import TypeVar

DIRECT, MOUNT, DOWNLOAD, UPLOAD = "direct", "mount", "download", "upload"

Record = TypeVar("Record", "DataInput", "DataOutput", "DataPointer")


@dataclass(frozen=True)
class DataInput:
    """A dataset that a job reads; all that is needed of it is in ``definition``.

    ``id``, ``dataset`` and ``version`` say which one it was, the latter two only of a registered
    one. ``mode`` is direct, mount or download.
    """

    name: str
    mode: str = DIRECT
    definition: Mapping[str, object] = field(default_factory=dict)
    id: str = ""
    dataset: str = ""
    version: int = 0
    path_on_compute: str = ""
    overwrite: bool = False

    @property
    def title(self) -> str:
        """The dataset as people name it; by its id if nobody gave it a name."""
        return f"{self.dataset}:{self.version}" if self.dataset else f"dataset {self.id[:8]}"

    @property
    def variable(self) -> str:
        """The variable that holds its path, or its id."""
        return self.name


@dataclass(frozen=True)
class DataOutput:
    """A folder that a job writes and that belongs in a datastore.

    ``path`` may hold ``{run-id}`` and ``{output-name}``. ``source`` is where in its working
    directory the job writes, if that was said. ``registration`` (name, description, tags) and
    ``reading`` (glob, definition), of a table only, say which dataset it becomes.
    """

    name: str
    mode: str = MOUNT
    datastore: str = ""
    path: str = ""
    source: str = ""
    globs: tuple[str, ...] = ()
    overwrite: bool = False
    registration: Mapping[str, object] = field(default_factory=dict)
    reading: Mapping[str, object] = field(default_factory=dict)

    @property
    def variable(self) -> str:
        """The variable that holds its path."""
        return self.name

    def destination(self, run_id: str) -> str:
        """The path in the datastore, for one run."""
        filled = self.path.replace("{run-id}", run_id).replace("{output-name}", self.name)
        return filled.strip("/")


@dataclass(frozen=True)
class DataPointer:
    """A path in a datastore that a job is pointed to: v1's data reference."""

    name: str
    mode: str = MOUNT
    datastore: str = ""
    path: str = ""
    path_on_compute: str = ""
    overwrite: bool = False

    @property
    def variable(self) -> str:
        """The variable that holds its path."""
        return reference_variable(self.name)


@dataclass(frozen=True)
class JobData:
    """All data of a job; true if there is any."""

    inputs: tuple[DataInput, ...] = ()
    outputs: tuple[DataOutput, ...] = ()
    references: tuple[DataPointer, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.inputs or self.outputs or self.references)

    @property
    def is_written(self) -> bool:
        """Whether there is something to put in its place when the job has ended."""
        return bool(self.outputs) or any(each.mode == UPLOAD for each in self.references)

    def to_json(self) -> dict[str, object]:
        """The ``data`` of a job in ``run.json``."""
        return {
            "inputs": [asdict(each) for each in self.inputs],
            "outputs": [{**asdict(each), "globs": list(each.globs)} for each in self.outputs],
            "references": [asdict(each) for each in self.references],
        }

    @classmethod
    def from_json(cls, record: object) -> JobData:
        """The data in ``record``; none where it is something else."""
        if not isinstance(record, Mapping):
            return cls()
        return cls(
            _records(DataInput, record.get("inputs")),
            _records(DataOutput, record.get("outputs")),
            _records(DataPointer, record.get("references")),
        )


def reference_variable(name: str) -> str:
    """The variable that holds the path of a data reference."""
    return f"AZUREML_DATAREFERENCE_{name.replace('-', '_')}"


def _records(kind: Callable[..., Record], found: object) -> tuple[Record, ...]:
    if not isinstance(found, list):
        return ()
    known = {each.name for each in fields(kind)}  # type: ignore[arg-type]
    records = []
    for each in found:
        said = {key: value for key, value in each.items() if key in known}
        if "globs" in said:
            said["globs"] = tuple(said["globs"])
        records.append(kind(**said))
    return tuple(records)
