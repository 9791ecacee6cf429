"""``Dataset.Tabular``: makes tables of delimited text, Parquet, JSON lines and data frames."""

from __future__ import annotations

import os
import tempfile

from aml_jupyter.errors import UserErrorException, near

from .column_types import PromoteHeadersBehavior, column_types
from .definition import TABULAR, Definition
from .file_dataset import check_here
from .keywords import says_its_keywords
from .partition import PartitionFormat
from .sources import sources_of, target_of
from .tables import DELIMITED, JSON_LINES, PARQUET, encoding_of
from .tabular_dataset import TabularDataset

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Mapping

_INVALID_LINES = ("error", "drop")


class TabularDatasetFactory:
    """``Dataset.Tabular``: makes tables; nothing is read before rows are asked for."""

    @staticmethod
    @says_its_keywords
    def from_delimited_files(
        path: Any,
        validate: bool = True,
        include_path: bool = False,
        infer_column_types: bool = True,
        set_column_types: Mapping[str, Any] | None = None,
        separator: str = ",",
        header: bool | PromoteHeadersBehavior = True,
        partition_format: str | None = None,
        support_multi_line: bool = False,
        empty_as_string: bool = False,
        encoding: str = "utf8",
    ) -> TabularDataset:
        """The rows of delimited text.

        Line breaks within quotes belong to the value, whatever ``support_multi_line`` says.
        """
        if not isinstance(separator, str) or not separator:
            raise UserErrorException(
                f"The separator is {separator!r}.", "Give a text, such as ','."
            )
        encoding_of(encoding)
        reading = {
            "format": DELIMITED,
            "infer_types": bool(infer_column_types),
            "separator": separator,
            "header": PromoteHeadersBehavior.of(header).value,
            "empty_as_string": bool(empty_as_string),
            "encoding": encoding,
        }
        return _table(path, reading, validate, include_path, set_column_types, partition_format)

    @staticmethod
    @says_its_keywords
    def from_parquet_files(
        path: Any,
        validate: bool = True,
        include_path: bool = False,
        set_column_types: Mapping[str, Any] | None = None,
        partition_format: str | None = None,
    ) -> TabularDataset:
        """The rows of Parquet files."""
        reading = {"format": PARQUET}
        return _table(path, reading, validate, include_path, set_column_types, partition_format)

    @staticmethod
    @says_its_keywords
    def from_json_lines_files(
        path: Any,
        validate: bool = True,
        include_path: bool = False,
        set_column_types: Mapping[str, Any] | None = None,
        partition_format: str | None = None,
        invalid_lines: str = "error",
        encoding: str = "utf8",
    ) -> TabularDataset:
        """The rows of files with a JSON object on each line."""
        if invalid_lines not in _INVALID_LINES:
            raise UserErrorException(
                f"invalid_lines is {invalid_lines!r}.", near(str(invalid_lines), _INVALID_LINES)
            )
        encoding_of(encoding)
        reading = {"format": JSON_LINES, "invalid_lines": invalid_lines, "encoding": encoding}
        return _table(path, reading, validate, include_path, set_column_types, partition_format)

    @staticmethod
    def from_sql_query(
        query: Any,
        validate: bool = True,
        set_column_types: Mapping[str, Any] | None = None,
        query_timeout: int = 30,
    ) -> TabularDataset:
        """Raise: there are no datastores here that are databases."""
        raise UserErrorException(
            "Datasets are not made of SQL queries here.",
            "Read the rows with pandas.read_sql(query, connection), and keep them with"
            " Dataset.Tabular.register_pandas_dataframe(frame, datastore, name).",
        )

    @staticmethod
    @says_its_keywords
    def register_pandas_dataframe(
        dataframe: Any,
        target: Any,
        name: str,
        description: str | None = None,
        tags: Mapping[str, Any] | None = None,
        show_progress: bool = True,
        row_group_size: int | None = None,
        make_target_path_unique: bool = True,
    ) -> TabularDataset:
        """Write a DataFrame to a datastore as Parquet and register it as a new version."""
        say = print if show_progress else _silent
        say("Validating arguments.")
        if not hasattr(dataframe, "to_parquet"):
            raise UserErrorException(
                f"A pandas DataFrame is needed, not {type(dataframe).__name__}.",
                "pandas.DataFrame(data) makes one.",
            )
        datastore, below = target_of(target)
        say("Arguments validated.")
        say("Successfully obtained datastore reference and path.")
        parts = [below, _guid() if make_target_path_unique else ""]
        folder = "/".join(part for part in parts if part)
        say(f"Uploading file to {folder}")
        _upload_parquet(dataframe, datastore, folder, row_group_size)
        say("Successfully uploaded file to datastore.")
        say("Creating and registering a new dataset.")
        made = TabularDatasetFactory.from_parquet_files((datastore, f"{folder}/"))
        registered: TabularDataset = made.register(
            None, name, description, tags, create_new_version=True
        )
        say("Successfully created and registered a new dataset.")
        return registered

    @staticmethod
    def register_dask_dataframe(
        dataframe: Any,
        target: Any,
        name: str,
        description: str | None = None,
        tags: Mapping[str, Any] | None = None,
        show_progress: bool = True,
    ) -> TabularDataset:
        """The same for a Dask DataFrame, which is computed for it."""
        return TabularDatasetFactory.register_pandas_dataframe(
            dataframe.compute(), target, name, description, tags, show_progress
        )

    @staticmethod
    def register_spark_dataframe(
        dataframe: Any,
        target: Any,
        name: str,
        description: str | None = None,
        tags: Mapping[str, Any] | None = None,
        show_progress: bool = True,
    ) -> TabularDataset:
        """The same for a Spark DataFrame, which is collected for it."""
        return TabularDatasetFactory.register_pandas_dataframe(
            dataframe.toPandas(), target, name, description, tags, show_progress
        )


def _table(
    path: Any,
    reading: dict[str, Any],
    validate: bool,
    include_path: bool,
    types: Mapping[str, Any] | None,
    partition_format: str | None,
) -> TabularDataset:
    sources, root = sources_of(path)
    if include_path:
        reading["include_path"] = True
    if types:
        reading["types"] = column_types(types)
    if partition_format:
        reading["partition_format"] = PartitionFormat.read(partition_format).text
    dataset = TabularDataset(Definition(TABULAR, sources, reading), root)
    if validate:
        check_here(dataset)
    return dataset


def _upload_parquet(frame: Any, datastore: Any, folder: str, row_group_size: int | None) -> None:
    columns = [str(column).replace(".", "_") for column in frame.columns]
    options = {"row_group_size": row_group_size} if row_group_size else {}
    twice = sorted({name for name in columns if columns.count(name) > 1})
    if twice:
        raise UserErrorException(
            f"Several columns would be called {', '.join(twice)}.",
            "A dot in the name of a column becomes _; rename one of them.",
        )
    with tempfile.TemporaryDirectory(prefix="aml-table-") as aside:
        path = os.path.join(aside, f"{_guid()}.parquet")
        try:
            frame.set_axis(columns, axis=1).to_parquet(path, index=False, **options)
        except (ImportError, TypeError, ValueError) as error:  # pyarrow's errors are such
            raise UserErrorException(
                f"The table cannot be written as Parquet: {error}",
                "Each column has values of one type (frame.astype), and pyarrow is installed.",
            ) from error
        datastore.upload_files([path], aside, folder, True, False)


def _guid() -> str:
    from aml_jupyter.job.layout import guid

    return guid()


def _silent(*words: str) -> None:
    """Say nothing."""
