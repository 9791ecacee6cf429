"""What a run takes in and leaves behind, as it is said in ``arguments`` before there is a run.

Each of these objects stands for a path (or, for a dataset in direct mode, for its id) that is
known only where the run starts; in a stored run definition its :meth:`Placeheld.placeholder`
stands in its place.
"""

from __future__ import annotations

import os
import re
import warnings
from abc import ABC, abstractmethod

from aml_jupyter.errors import UserErrorException

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Mapping, Sequence, TypeVar

    Output = TypeVar("Output", bound="OutputDatasetConfig")

DIRECT, MOUNT, DOWNLOAD, UPLOAD, HDFS = "direct", "mount", "download", "upload", "hdfs"
"""The ways in which a run gets at data: v1's modes."""

INPUT, OUTPUT = "DatasetConsumptionConfig", "DatasetOutputConfig"
"""What placeholders in a run definition begin with."""

DEFAULT_DATASTORE = "workspaceblobstore"
DEFAULT_DESTINATION = "dataset/{run-id}/{output-name}"
"""Where an output goes if its destination says nothing else."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_NEEDED = frozenset(
    [
        "PATH",
        "HOME",
        "USER",
        "LOGNAME",
        "SHELL",
        "TMPDIR",
        "LANG",
        "PYTHONPATH",
        "PYTHONHOME",
        "LD_LIBRARY_PATH",
    ]
)
_COMMON = frozenset(name.lower() for name in (*_NEEDED, "PWD", "TERM", "TMP", "TEMP", "HOSTNAME"))


def check_name(name: object, what: str = "input") -> str:
    """``name`` if it can name an input or an output, and so a variable of the run."""
    if not isinstance(name, str) or not _NAME.match(name):
        raise UserErrorException(
            f"{name!r} cannot be the name of an {what}: it becomes a variable of the run.",
            "Use letters, digits and _, not beginning with a digit, such as train_data.",
        )
    if name in _NEEDED:
        raise UserErrorException(
            f"An {what} cannot be called {name}: the variable {name} of the run would be lost.",
            f"Call it {name.lower()}_data, for example.",
        )
    if name.lower() in _COMMON:
        warnings.warn(
            f"The {what} {name} is called like a common variable; a script may take one for the "
            "other.",
            stacklevel=3,
        )
    return name


class Placeheld(ABC):
    """Something in ``arguments`` that becomes a text where the run starts."""

    @abstractmethod
    def placeholder(self) -> str:
        """What stands for it in the stored definition."""

    def __str__(self) -> str:
        return self.placeholder()

    def __deepcopy__(self, memo: Any) -> Any:
        """A copy that names the same data: ``submit`` copies configurations, not datasets."""
        copied = type(self).__new__(type(self))
        copied.__dict__.update(self.__dict__)
        return copied


class Consumable:
    """What every dataset can do for a run; the classes of datasets inherit it."""

    _modes: tuple[str, ...] = (DIRECT,)

    def as_named_input(self, name: str) -> DatasetConsumptionConfig:
        """The dataset as the input ``name`` of a run, in direct mode unless said otherwise."""
        return DatasetConsumptionConfig(name, self)


class ConsumableFiles(Consumable):
    """What a dataset of files can do for a run besides."""

    _modes = (DIRECT, MOUNT, DOWNLOAD, HDFS)

    def as_mount(self, path_on_compute: str | None = None) -> DatasetConsumptionConfig:
        """The dataset as an input with a generated name, whose files are there without a copy."""
        return DatasetConsumptionConfig(_generated("input__"), self, MOUNT, path_on_compute)

    def as_download(self, path_on_compute: str | None = None) -> DatasetConsumptionConfig:
        """The dataset as an input with a generated name, whose files are the run's own copies."""
        return DatasetConsumptionConfig(_generated("input_"), self, DOWNLOAD, path_on_compute)

    def as_hdfs(self) -> DatasetConsumptionConfig:
        """An error: this mode is for Spark on Synapse alone."""
        return DatasetConsumptionConfig(_generated("input_"), self).as_hdfs()


class DatasetConsumptionConfig(Placeheld):
    """A dataset as an input of a run: under which name, and in which of v1's modes.

    ``direct`` gives the script the id of the dataset and ``run.input_datasets[name]`` the
    dataset itself; ``mount`` and ``download`` give a path. An absolute ``path_on_compute`` is
    used as it is, a relative one lies in the working directory.
    """

    def __init__(
        self,
        name: str,
        dataset: Any,
        mode: str = DIRECT,
        path_on_compute: str | os.PathLike[str] | None = None,
    ) -> None:
        self._name = check_name(name)
        self.dataset = dataset
        self.mode = str(mode).lower()
        self.path_on_compute = None if path_on_compute is None else os.fspath(path_on_compute)
        self._check()

    @property
    def name(self) -> str:
        """The name of the input."""
        return self._name

    def as_mount(
        self, path_on_compute: str | os.PathLike[str] | None = None
    ) -> DatasetConsumptionConfig:
        """The same input as files that are there without a copy, and are only to be read."""
        return DatasetConsumptionConfig(self.name, self.dataset, MOUNT, path_on_compute)

    def as_download(
        self, path_on_compute: str | os.PathLike[str] | None = None
    ) -> DatasetConsumptionConfig:
        """The same input as copies of the files, which are the run's own."""
        return DatasetConsumptionConfig(self.name, self.dataset, DOWNLOAD, path_on_compute)

    def as_hdfs(self) -> DatasetConsumptionConfig:
        """An error: this mode is for Spark on Synapse alone."""
        return DatasetConsumptionConfig(self.name, self.dataset, HDFS)

    def placeholder(self) -> str:
        """``DatasetConsumptionConfig:<name>``."""
        return f"{INPUT}:{self.name}"

    def to_json(self) -> dict[str, Any]:
        """The entry of ``data`` in a stored run definition."""
        # Asked for its id, a dataset that nobody has saved would be saved.
        record = getattr(self.chosen, "_record", None) or getattr(self.chosen, "definition", None)
        which = {key: getattr(record, key, None) for key in ("id", "name", "version")}
        return {
            "dataLocation": {"dataset": which, "dataPath": None},
            "mechanism": self.mode.capitalize(),
            "environmentVariableName": self.name,
            "pathOnCompute": self.path_on_compute,
            "overwrite": False,
        }

    @property
    def chosen(self) -> Any:
        """The dataset; of a parameter of a pipeline the one that it has by itself."""
        return getattr(self.dataset, "default_value", self.dataset)

    def _check(self) -> None:
        dataset = self.chosen
        if self.mode == HDFS:
            raise _of_synapse("as_hdfs()", "as_mount() or as_download()")
        if self.mode not in (DIRECT, MOUNT, DOWNLOAD):
            raise UserErrorException(
                f"There is no mode {self.mode!r} for the input {self.name}.",
                f"Use {DIRECT}, {MOUNT} or {DOWNLOAD}.",
            )
        if isinstance(dataset, OutputDatasetConfig):
            return
        if not isinstance(dataset, Consumable):
            raise UserErrorException(
                f"The input {self.name} cannot be {dataset!r} ({type(dataset).__name__}).",
                "Give a dataset, such as Dataset.get_by_name(workspace, 'name').",
            )
        if self.mode not in dataset._modes:
            raise UserErrorException(
                f"A {type(dataset).__name__} cannot be passed by {self.mode}: it is a table.",
                "Pass it by as_named_input(name) alone and call "
                "run.input_datasets[name].to_pandas_dataframe() in the script.",
            )

    def __repr__(self) -> str:
        more = "" if self.path_on_compute is None else f", {self.path_on_compute!r}"
        of = getattr(self.chosen, "name", None)
        shown = f"<{type(self.chosen).__name__}{f' {of}' if of else ''}>"
        return f"DatasetConsumptionConfig({self.name!r}, {shown}, {self.mode!r}{more})"


class OutputDatasetConfig(Placeheld):
    """A folder that a run writes, and what becomes of it: see :class:`OutputFileDatasetConfig`."""

    def __init__(
        self, name: str | None = None, destination: Any = None, source: str | None = None
    ) -> None:
        self._name = _generated("output_") if name is None else check_name(name, "output")
        self.datastore, self.path = _destination(destination)
        self.source = None if source is None else os.fspath(source)
        self.mode = MOUNT
        self.overwrite = False
        self.source_globs: tuple[str, ...] = ()
        self.registration: dict[str, Any] = {}
        self.reading: dict[str, Any] = {}
        if self.source is not None and not _is_inside(self.source):
            raise UserErrorException(
                f"source={source!r} of the output {self.name} is not in the working directory.",
                "Give a relative folder that the script writes to, such as 'checkpoints/'.",
            )

    @property
    def name(self) -> str:
        """The name of the output."""
        return self._name

    def as_mount(self: Output, disable_metadata_cache: bool = False) -> Output:
        """The same output, written where it belongs at once."""
        return self._but(mode=MOUNT)

    def as_upload(
        self: Output,
        overwrite: bool = False,
        source_globs: str | Sequence[str] | None = None,
    ) -> Output:
        """The same output, put where it belongs when the run has ended, failed runs too.

        Only files that match one of ``source_globs`` are taken, if there are any; what is there
        already is an error unless ``overwrite`` is true.
        """
        globs = (source_globs,) if isinstance(source_globs, str) else tuple(source_globs or ())
        return self._but(mode=UPLOAD, overwrite=overwrite, source_globs=globs)

    def register_on_complete(
        self: Output,
        name: str,
        description: str | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> Output:
        """The same output, registered as a new version of a dataset when the run completes."""
        if not isinstance(name, str) or not name.strip():
            raise UserErrorException(
                f"{name!r} is no name for a dataset.", "For example register_on_complete('prepped')"
            )
        said = {"name": name, "description": description, "tags": dict(tags or {})}
        return self._but(registration=said)

    def as_input(self, name: str | None = None) -> DatasetConsumptionConfig:
        """The output as the input of a later step of a pipeline."""
        return DatasetConsumptionConfig(self.name if name is None else name, self, MOUNT)

    def placeholder(self) -> str:
        """``DatasetOutputConfig:<name>``."""
        return f"{OUTPUT}:{self.name}"

    def to_json(self) -> dict[str, Any]:
        """The entry of ``outputData`` in a stored run definition."""
        where = {"datastoreName": self.datastore, "relativePath": self.path}
        is_upload = self.mode == UPLOAD
        upload = {"overwrite": self.overwrite, "sourceGlobs": {"globPatterns": self.source_globs}}
        return {
            "outputLocation": {"dataset": None, "dataPath": where},
            "mechanism": self.mode.capitalize(),
            "additionalOptions": {
                "pathOnCompute": self.source,
                "registrationOptions": self.registration or None,
                "uploadOptions": upload if is_upload else None,
            },
            "environmentVariableName": self.name,
        }

    def _but(self: Output, **changes: Any) -> Output:
        changed: Output = self.__deepcopy__({})
        changed.__dict__.update(changes)
        return changed

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, {(self.datastore, self.path)!r})"


class OutputFileDatasetConfig(OutputDatasetConfig):
    """A folder that a run writes, which becomes a dataset of files.

    ``destination`` is a datastore or ``(datastore, path)``; in the path ``{run-id}`` and
    ``{output-name}`` are filled in. The script is given a folder as the argument; with ``source``
    that is this folder of its working directory.
    """

    def __init__(
        self,
        name: str | None = None,
        destination: Any = None,
        source: str | None = None,
        partition_format: str | None = None,
    ) -> None:
        super().__init__(name, destination, source)
        self.partition_format = partition_format

    def read_delimited_files(
        self,
        include_path: bool = False,
        separator: str = ",",
        header: Any = True,
        partition_format: str | None = None,
        path_glob: str | None = None,
        set_column_types: Mapping[str, Any] | None = None,
    ) -> OutputTabularDatasetConfig:
        """The same output, registered as a table that its delimited files make."""
        return self._table(
            "delimited",
            path_glob,
            include_path=include_path,
            separator=separator,
            header=header,
            partition_format=partition_format or self.partition_format,
            set_column_types=set_column_types,
        )

    def read_parquet_files(
        self,
        include_path: bool = False,
        partition_format: str | None = None,
        path_glob: str | None = None,
        set_column_types: Mapping[str, Any] | None = None,
    ) -> OutputTabularDatasetConfig:
        """The same output, registered as a table that its parquet files make."""
        return self._table(
            "parquet",
            path_glob,
            include_path=include_path,
            partition_format=partition_format or self.partition_format,
            set_column_types=set_column_types,
        )

    def _table(
        self, kind: str, path_glob: str | None, **options: Any
    ) -> OutputTabularDatasetConfig:
        table = OutputTabularDatasetConfig(self.name)
        said: dict[str, Any] = {"kind": kind, "glob": path_glob, "options": options, "columns": []}
        table.__dict__.update({**self.__dict__, "reading": said})
        return table


class OutputTabularDatasetConfig(OutputDatasetConfig):
    """An output that is registered as a table; made by ``read_delimited_files`` and its like."""

    def keep_columns(self, columns: str | Sequence[str]) -> OutputTabularDatasetConfig:
        """The same output with these columns alone."""
        return self._with_columns("keep", columns)

    def drop_columns(self, columns: str | Sequence[str]) -> OutputTabularDatasetConfig:
        """The same output without these columns."""
        return self._with_columns("drop", columns)

    def _with_columns(self, what: str, columns: str | Sequence[str]) -> OutputTabularDatasetConfig:
        names = [columns] if isinstance(columns, str) else list(columns)
        steps = [*self.reading.get("columns", ()), [what, names]]
        return self._but(reading={**self.reading, "columns": steps})


class HDFSOutputDatasetConfig:
    """Not here: outputs on HDFS are for Spark on Synapse alone."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise _of_synapse("HDFSOutputDatasetConfig", "OutputFileDatasetConfig")


def _of_synapse(what: str, instead: str) -> UserErrorException:
    return UserErrorException(
        f"{what} is for Spark on Synapse alone, which does not run here.", f"Use {instead}."
    )


def _generated(start: str) -> str:
    return start + os.urandom(4).hex()


def _destination(destination: Any) -> tuple[str, str]:
    """(name of the datastore, path in it) of what v1 takes for a destination."""
    pair = destination if isinstance(destination, (tuple, list)) else (destination, None)
    if hasattr(destination, "path_on_datastore"):  # a DataPath
        pair = (destination.datastore_name, destination.path_on_datastore)
    if len(pair) == 2:
        datastore, path = pair
        name = DEFAULT_DATASTORE if datastore is None else getattr(datastore, "name", datastore)
        text = DEFAULT_DESTINATION if not path else os.fspath(path)
        if isinstance(name, str) and isinstance(text, str) and _is_inside(text.lstrip("/")):
            return name, text.strip("/")
    raise UserErrorException(
        f"An output cannot go to {destination!r}.",
        "Give (datastore, 'path'), such as (workspace.get_default_datastore(), 'prepared').",
    )


def _is_inside(path: str) -> bool:
    return not os.path.isabs(path) and not os.path.normpath(path or ".").startswith("..")
