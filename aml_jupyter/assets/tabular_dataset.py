"""TabularDataset: a table by its definition, read when it is asked for."""

from __future__ import annotations

import datetime
import os
import tempfile

from aml_jupyter.errors import DatasetTimestampMissingError, UserErrorException, near

from .abstract_dataset import AbstractDataset
from .definition import FILE, Definition, Source
from .expressions import Expression, column
from .file_dataset import FileDataset, Mount
from .keywords import says_its_keywords
from .sources import sources_of, target_of
from .tables import PARQUET, read_table, write_parts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Sequence

_ERRORS = ("null", "fail")


class TabularDataset(AbstractDataset):
    """Rows and columns in files; made by ``Dataset.Tabular``."""

    # Reading

    @says_its_keywords
    def to_pandas_dataframe(
        self, on_error: str = "null", out_of_range_datetime: str = "null"
    ) -> Any:
        """The table as a pandas DataFrame.

        What is not of its column's type becomes nothing, or with ``"fail"`` an error.
        """
        for value in (on_error, out_of_range_datetime):
            if value not in _ERRORS:
                raise UserErrorException(f"{value!r} is not understood.", near(str(value), _ERRORS))
        return read_table(self._definition, self._entries(), on_error, out_of_range_datetime)

    def to_dask_dataframe(
        self,
        sample_size: int = 10000,
        dtypes: Any = None,
        on_error: str = "null",
        out_of_range_datetime: str = "null",
    ) -> Any:
        """The table as a Dask DataFrame, where Dask is installed."""
        from importlib import import_module

        try:
            dask = import_module("dask.dataframe")
        except ImportError:
            raise UserErrorException(
                "to_dask_dataframe() needs Dask, which this Python does not have.",
                "Install dask[dataframe], or use to_pandas_dataframe().",
            ) from None
        table = self.to_pandas_dataframe(on_error, out_of_range_datetime)
        return dask.from_pandas(table, chunksize=sample_size)

    def to_spark_dataframe(self) -> Any:
        """Raise: there is no Spark session here that the table could go to."""
        raise UserErrorException(
            "There is no Spark session that this table could be read into.",
            "spark.createDataFrame(ds.to_pandas_dataframe()) does it in a session of yours.",
        )

    def to_csv_files(self, separator: str = ",") -> FileDataset:
        """The table as a file of delimited text, in a dataset of files."""
        return self._as_file(
            "part_00000.csv", lambda table, path: table.to_csv(path, sep=separator, index=False)
        )

    def to_parquet_files(self) -> FileDataset:
        """The table as a Parquet file, in a dataset of files."""
        return self._as_file(
            "part_00000.parquet", lambda table, path: table.to_parquet(path, index=False)
        )

    def _as_file(self, name: str, write: Any) -> FileDataset:
        from .datastore import Datastore

        datastore = Datastore(self.root)
        folder = f"converted/{self._definition.id}-{name.rpartition('.')[2]}"
        with tempfile.TemporaryDirectory(prefix="aml-table-") as aside:
            path = os.path.join(aside, name)
            write(self.to_pandas_dataframe(), path)
            datastore.upload_files([path], aside, folder, True, False)
        source = Source(f"{folder}/", datastore.name)
        return FileDataset(Definition(FILE, (source,), {}), self.root)

    def get_profile(self, workspace: Any = None) -> Any:
        """What pandas says of each column: count, kinds of values, extremes, quartiles."""
        return self.to_pandas_dataframe().describe(include="all").transpose()

    def get_profile_runs(self, workspace: Any = None) -> Any:
        """None: profiles are made at once, without a run."""
        return iter(())

    def submit_profile_run(
        self, compute_target: Any, experiment: Any, cache_datastore_name: str | None = None
    ) -> Any:
        """Raise: a profile needs no run here."""
        raise UserErrorException("Profiles are not made by runs here.", "Call ds.get_profile().")

    # Columns

    def keep_columns(self, columns: Any, validate: bool = False) -> TabularDataset:
        """The dataset with just these columns, in this order."""
        names = _names(columns)
        return self._checked(self._then("keep", columns=names), names, validate)

    def drop_columns(self, columns: Any) -> TabularDataset:
        """The dataset without these columns, whether it has them or not."""
        found: TabularDataset = self._then("drop", columns=_names(columns))
        return found

    def _checked(self, made: TabularDataset, names: Sequence[str], look: bool) -> TabularDataset:
        if look:
            there = list(self.take(1).to_pandas_dataframe().columns)
            for name in names:
                if name not in there:
                    raise UserErrorException(
                        f"The dataset has no column {name!r}.", near(name, there)
                    )
        return made

    # Times

    @property
    def timestamp_columns(self) -> tuple[str | None, str | None]:
        """The column with the time of each row, and the one with the time that paths say.

        A dataset that has lost the first has neither.
        """
        fine: str | None = None
        coarse: str | None = None
        for step in self._definition.steps:
            if step["do"] == "timestamps":
                fine, coarse = step["timestamp"], step["partition_timestamp"]
            elif step["do"] in ("keep", "drop"):
                fine, coarse = (
                    name if (name in step["columns"]) == (step["do"] == "keep") else None
                    for name in (fine, coarse)
                )
        return (fine, coarse) if fine else (None, None)

    def with_timestamp_columns(
        self,
        timestamp: str | None = None,
        partition_timestamp: str | None = None,
        validate: bool = False,
        **kwargs: Any,
    ) -> TabularDataset:
        """The dataset with columns that say when; ``time_before`` and its family ask them."""
        fine = kwargs.get("fine_grain_timestamp", timestamp)
        coarse = kwargs.get("coarse_grain_timestamp", partition_timestamp)
        if fine is not None and fine == coarse:
            raise UserErrorException(
                f"{fine!r} cannot be both timestamps.", "Give one of the two, or two columns."
            )
        if fine is None and coarse is not None:
            raise UserErrorException(
                f"{coarse!r} cannot be the timestamp of partitions alone.",
                "Name the column with the time of each row, too: timestamp='datetime'.",
            )
        made: TabularDataset = self._then("timestamps", timestamp=fine, partition_timestamp=coarse)
        return self._checked(made, [name for name in (fine, coarse) if name], validate)

    def time_before(
        self, end_time: datetime.datetime, include_boundary: bool = True, validate: bool = True
    ) -> TabularDataset:
        """The rows up to a time."""
        when = self._when()
        return self._in_time(when <= end_time if include_boundary else when < end_time)

    def time_after(
        self, start_time: datetime.datetime, include_boundary: bool = True, validate: bool = True
    ) -> TabularDataset:
        """The rows from a time on."""
        when = self._when()
        return self._in_time(when >= start_time if include_boundary else when > start_time)

    def time_between(
        self,
        start_time: datetime.datetime,
        end_time: datetime.datetime,
        include_boundary: bool = True,
        validate: bool = True,
    ) -> TabularDataset:
        """The rows between two times."""
        if _in_utc(start_time) > _in_utc(end_time):
            raise UserErrorException(
                f"{start_time} is after {end_time}.", "Give the earlier time first."
            )
        after = self.time_after(start_time, include_boundary, validate)
        return after.time_before(end_time, include_boundary, validate)

    def time_recent(
        self, time_delta: datetime.timedelta, include_boundary: bool = True, validate: bool = True
    ) -> TabularDataset:
        """The rows of the last hours or days, as of now."""
        now = datetime.datetime.now(datetime.timezone.utc)
        return self.time_after(now - time_delta, include_boundary, validate)

    def _when(self) -> Expression:
        name = self.timestamp_columns[0]
        if name is None:
            raise DatasetTimestampMissingError(
                "The dataset has no timestamp column.",
                "Name one first: ds.with_timestamp_columns('datetime').",
            )
        return column(name)

    def _in_time(self, condition: Expression) -> TabularDataset:
        found: TabularDataset = self.filter(condition)
        return found

    # Partitions

    def partition_by(
        self,
        partition_keys: Sequence[str],
        target: Any,
        name: str | None = None,
        show_progress: bool = True,
        partition_as_file_dataset: bool = False,
    ) -> Any:
        """The dataset written to ``target`` with a folder for each value of the keys."""
        datastore, below = target_of(target)
        keys = _names(partition_keys)
        table = self.to_pandas_dataframe()
        for key in keys:
            if key not in table.columns:
                raise UserErrorException(
                    f"The dataset has no column {key!r}.", near(key, table.columns)
                )
        folder = "/".join(part for part in (below, os.urandom(16).hex()) if part)
        with tempfile.TemporaryDirectory(prefix="aml-parts-") as aside:
            for values, rows in write_parts(table, keys):
                place = os.path.join(aside, *(_for_path(value) for value in values))
                path = os.path.join(place, "part_00000.parquet")
                if os.path.exists(path):
                    raise UserErrorException(
                        f"Two values of {', '.join(keys)} are both written {'/'.join(values)}.",
                        "Make texts of them that differ, or leave out what is empty.",
                    )
                os.makedirs(place, exist_ok=True)
                rows.to_parquet(path, index=False)
            datastore.upload(aside, folder, True, show_progress)
        form = f"{folder}/{'/'.join(f'{{{key}}}' for key in keys)}/part_00000.parquet"
        sources, root = sources_of((datastore, f"{folder}/"))
        made: AbstractDataset
        if partition_as_file_dataset:
            made = FileDataset(Definition(FILE, sources, {"partition_format": form}), root)
        else:
            reading = {"format": PARQUET, "partition_format": form}
            made = TabularDataset(Definition("tabular", sources, reading), root)
        return made.register(None, name, create_new_version=True) if name else made

    # Files that a column names

    def download(
        self,
        stream_column: str,
        target_path: str | os.PathLike[str] | None = None,
        overwrite: bool = False,
        ignore_not_found: bool = True,
    ) -> list[str]:
        """Copy the files that a column names to a folder, and return their paths."""
        return self._files_of(stream_column).download(target_path, overwrite, ignore_not_found)

    def mount(self, stream_column: str, mount_point: str | None = None) -> Mount:
        """The files that a column names as a folder, while the context is open."""
        return self._files_of(stream_column).mount(mount_point)

    def _files_of(self, stream_column: str) -> FileDataset:
        table = self.keep_columns([stream_column]).to_pandas_dataframe()
        paths = [str(value) for value in table[stream_column].dropna().unique()]
        known = self._definition.sources[0].datastore
        sources = tuple(
            Source(path, "") if "://" in path or not known else Source(path.lstrip("/"), known)
            for path in paths
        )
        return FileDataset(Definition(FILE, sources, {}), self.root)


def _in_utc(when: datetime.datetime) -> datetime.datetime:
    """A time that can be compared with any other: one without a zone is taken for UTC."""
    if not isinstance(when, datetime.datetime):
        raise UserErrorException(f"{when!r} is not a time.", "Give a datetime.datetime.")
    return when.replace(tzinfo=when.tzinfo or datetime.timezone.utc)


def _names(columns: Any) -> list[str]:
    names = [columns] if isinstance(columns, str) else list(columns)
    for name in names:
        if not isinstance(name, str):
            raise UserErrorException(f"{name!r} is not the name of a column.", "Give texts.")
    return names


def _for_path(value: str) -> str:
    """A value as the name of a folder, which no other value has."""
    made = value.replace("%", "%25").replace("/", "%2F").replace("\\", "%5C")
    return f"%{made}" if made in ("", ".", "..") else made
