"""Tables by pandas: files as a definition says they are read, and what is done with the rows."""

from __future__ import annotations

import re

from aml_jupyter.errors import UserErrorException, near

from .column_types import PromoteHeadersBehavior
from .definition import Definition
from .expressions import names_in, value_of
from .resolve import Entry, taken_by

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterator, Mapping, Sequence

DELIMITED, PARQUET, JSON_LINES = "delimited", "parquet", "json lines"

PATH_COLUMN = "Path"

_NO_NUMBER = {"", "NA", "N/A", "NaN", "nan", "NULL", "null", "None", "n/a", "#N/A"}
_ENCODINGS = {
    "utf8": "utf-8-sig",
    "utf-8": "utf-8-sig",
    "utf8bom": "utf-8-sig",
    "iso88591": "iso-8859-1",
    "latin1": "iso-8859-1",
    "ascii": "ascii",
    "utf16": "utf-16",
    "windows1252": "cp1252",
}
_ISO = re.compile(
    r"\d{4}-\d{1,2}-\d{1,2}([T ]\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:?\d{2})?)?"
)
_SLASHED = re.compile(r"(\d{1,2})/(\d{1,2})/\d{4}( \d{1,2}:\d{2}(:\d{2})?( ?[AaPp][Mm])?)?")
_LOOKED_AT = 200
_TRUE, _FALSE = ("true", "yes", "1", "t", "y"), ("false", "no", "0", "f", "n")


def encoding_of(name: str) -> str:
    """Python's name of an encoding that v1 names."""
    import codecs

    wanted = _ENCODINGS.get(str(name).lower(), str(name))
    try:
        return codecs.lookup(wanted).name
    except LookupError:
        raise UserErrorException(
            f"There is no encoding {name!r}.", near(str(name), _ENCODINGS)
        ) from None


def read_table(
    definition: Definition,
    entries: Sequence[Entry],
    on_error: str = "null",
    out_of_range: str = "null",
) -> Any:
    """The table as a DataFrame."""
    pandas = pandas_of_this_python()
    reading = definition.reading
    wanted = _rows_wanted(definition.steps)
    frames: list[Any] = []
    rows = 0
    for index, entry in enumerate(entries):
        frame = _read_file(pandas, entry, reading, index, frames, wanted)
        frame = _with_path(frame, entry, reading)
        frames.append(frame)
        rows += len(frame)
        if wanted is not None and rows >= wanted:
            break
    if not frames:
        return pandas.DataFrame()
    table = pandas.concat(frames, ignore_index=True) if len(frames) > 1 else frames[0]
    table = _typed(pandas, table, reading, on_error, out_of_range)
    for step in definition.steps:
        table = _stepped(table, step)
    return table.reset_index(drop=True)


def pandas_of_this_python() -> Any:
    """pandas, or what to do to have it."""
    try:
        import pandas
    except ImportError:
        import sys

        raise UserErrorException(
            f"Tables need pandas, which this Python does not have ({sys.executable}).",
            f"Install it ({sys.executable} -m pip install pandas); for a run add it to the "
            "environment: CondaDependencies.create(pip_packages=['pandas']).",
        ) from None
    return pandas


def _rows_wanted(steps: Sequence[Mapping[str, Any]]) -> int | None:
    """How many rows at the beginning are enough for what the steps take; None for all."""
    passed = 0
    for step in steps:
        if step["do"] == "skip":
            passed += step["count"]
        elif step["do"] == "take":
            return int(passed + step["count"])
        elif step["do"] not in ("keep", "drop", "timestamps"):
            return None
    return None


# Files ----------------------------------------------------------------------------------------


def _read_file(
    pandas: Any,
    entry: Entry,
    reading: Mapping[str, Any],
    index: int,
    before: Sequence[Any],
    rows: int | None,
) -> Any:
    try:
        if reading["format"] == PARQUET:
            return pandas.read_parquet(entry.path)
        if reading["format"] == JSON_LINES:
            return _read_json_lines(pandas, entry, reading, rows)
        return _read_delimited(pandas, entry, reading, index, before, rows)
    except UnicodeDecodeError as error:
        raise UserErrorException(
            f"{entry.name} is not in the encoding {reading.get('encoding')}: {error.reason}.",
            "Name the right one: encoding='iso88591', 'utf16', 'windows1252', …",
        ) from error
    except ImportError as error:
        raise UserErrorException(
            f"{entry.name} cannot be read here: {str(error).splitlines()[0]}", "Install pyarrow."
        ) from error
    except pandas.errors.EmptyDataError:
        return pandas.DataFrame()
    except (ValueError, OSError) as error:  # pyarrow's errors are such
        said = str(error).strip().splitlines()
        raise UserErrorException(
            f"{entry.name} is not {reading['format']}: {said[0] if said else error!r}.",
            "Check the file, and the separator and encoding that were given.",
        ) from error


def _read_delimited(
    pandas: Any,
    entry: Entry,
    reading: Mapping[str, Any],
    index: int,
    before: Sequence[Any],
    rows: int | None,
) -> Any:
    header = PromoteHeadersBehavior(reading["header"])
    only_first = header is PromoteHeadersBehavior.ONLY_FIRST_FILE_HAS_HEADERS
    headless = header is PromoteHeadersBehavior.NO_HEADERS or (only_first and index > 0)
    separator = reading["separator"]
    options: dict[str, Any] = {
        "sep": separator if len(separator) == 1 else re.escape(separator),
        "header": None if headless else 0,
        "encoding": encoding_of(reading["encoding"]),
        "keep_default_na": False,
        "na_values": [] if reading["empty_as_string"] else [""],
        "nrows": rows,
        "index_col": False,
    }
    if not reading["infer_types"]:
        options["dtype"] = str
    if len(separator) > 1:
        options["engine"] = "python"
    elif not rows:
        options["low_memory"] = False  # types are those of the whole column
    frame = pandas.read_csv(entry.path, **options)
    if headless:
        first = before[0].columns if only_first else ()
        names = list(first) + [f"Column{n + 1}" for n in range(len(first), len(frame.columns))]
        frame.columns = names[: len(frame.columns)]
    frame.columns = [str(name).strip() for name in frame.columns]
    if header is PromoteHeadersBehavior.ALL_FILES_HAVE_SAME_HEADERS and before:
        same = len(frame.columns) == len(before[0].columns)
        frame.columns = list(before[0].columns) if same else list(frame.columns)
    return frame


def _read_json_lines(
    pandas: Any, entry: Entry, reading: Mapping[str, Any], rows: int | None
) -> Any:
    import json

    found: list[Any] = []
    with open(entry.path, encoding=encoding_of(reading["encoding"])) as file:
        for number, line in enumerate(file, 1):
            if rows is not None and len(found) >= rows:
                break
            if not line.strip():
                continue
            try:
                record = json.loads(line)
                if not isinstance(record, dict):
                    raise ValueError("it is not an object")
                found.append(record)
            except ValueError as error:
                if reading["invalid_lines"] == "error":
                    raise UserErrorException(
                        f"Line {number} of {entry.name} is not JSON: {error}.",
                        "Mend it, or pass invalid_lines='drop'.",
                    ) from error
    return pandas.DataFrame(found)


def _with_path(frame: Any, entry: Entry, reading: Mapping[str, Any]) -> Any:
    """The rows of a file with what its path says, in front as v1 has it."""
    said: dict[str, Any] = {}
    if reading.get("include_path"):
        said[PATH_COLUMN] = f"/{entry.name}"
    said.update(entry.values)
    for position, (name, value) in enumerate(said.items()):
        if name in frame.columns:
            frame = frame.drop(columns=name)
        frame.insert(position, name, value)
    return frame


# Types ----------------------------------------------------------------------------------------


def _typed(
    pandas: Any, table: Any, reading: Mapping[str, Any], on_error: str, out_of_range: str
) -> Any:
    given = reading.get("types") or {}
    for name in given:
        _known_column(name, table.columns)
    for name in table.columns:
        if name in given:
            kind, how = given[name]
            table[name] = _as_type(pandas, table[name], kind, how, on_error, out_of_range)
        elif reading["format"] == DELIMITED and reading["infer_types"]:
            table[name] = _inferred(pandas, table[name])
        elif _is_aware(table[name]):
            table[name] = _naive(table[name])
    return table


def _inferred(pandas: Any, column: Any) -> Any:
    """A column of texts as numbers or times, where all of it is such."""
    if not _is_text(pandas, column):
        return column
    texts = column.dropna()
    if not len(texts):
        return column
    if texts.iloc[:_LOOKED_AT].map(lambda text: _is_number(str(text))).all():
        without = column.where(~column.isin(_NO_NUMBER))
        numbers = pandas.to_numeric(without, errors="coerce")
        if numbers.notna().sum() == without.notna().sum() and numbers.notna().any():
            return numbers
    form = _form_of_times([str(text) for text in texts.iloc[:_LOOKED_AT]])
    if form is None:
        return column
    times = _parsed(pandas, column, **form)
    return _naive(times) if times.notna().sum() == len(texts) else column


def _is_number(text: str) -> bool:
    if text in _NO_NUMBER:
        return True
    try:
        float(text)
    except ValueError:
        return False
    return True


def _form_of_times(texts: Sequence[str]) -> dict[str, Any] | None:
    """How pandas is to read texts as times; None where they are not, or could be read two ways."""
    if all(_ISO.fullmatch(text) for text in texts):
        return {"format": "ISO8601"}
    matches = [_SLASHED.fullmatch(text) for text in texts]
    found = [match for match in matches if match]
    if len(found) < len(texts):
        return None
    first, second = (max(int(match[n]) for match in found) for n in (1, 2))
    if first <= 12 < second:
        return {"format": "mixed", "dayfirst": False}
    return {"format": "mixed", "dayfirst": True} if second <= 12 < first else None


def _as_type(
    pandas: Any, column: Any, kind: str, how: Mapping[str, Any], on_error: str, out_of_range: str
) -> Any:
    if kind in ("string", "stream"):
        return column.where(column.isna(), column.astype(str))
    if kind == "datetime":
        return _as_times(pandas, column, how.get("formats") or [], on_error, out_of_range)
    if kind == "bool":
        words = column.astype(str).str.lower()
        made = words.isin(_TRUE).where(words.isin(_TRUE + _FALSE))
    else:
        texts = column
        if how.get("decimal_mark", ".") != "." and _is_text(pandas, column):
            texts = column.str.replace(how["decimal_mark"], ".", regex=False)
        made = pandas.to_numeric(texts, errors="coerce")
    _refuse_lost(column, made, kind, on_error)
    if made.notna().all():
        return made.astype({"bool": bool, "long": "int64", "double": float}[kind])
    return made if kind != "bool" else made.astype(object)


def _as_times(
    pandas: Any, column: Any, formats: Sequence[str], on_error: str, out_of_range: str
) -> Any:
    if not formats:
        times = _parsed(pandas, column, "mixed")
    else:
        times = pandas.Series(pandas.NaT, index=column.index, dtype="datetime64[ns, UTC]")
        for form in formats:
            times = times.fillna(_parsed(pandas, column, form))
    _refuse_lost(
        column, times, "datetime", "fail" if "fail" in (on_error, out_of_range) else "null"
    )
    return _naive(times)


def _parsed(pandas: Any, column: Any, format: str, **how: Any) -> Any:
    """Texts as times in UTC, nothing where they are none."""
    # pandas 1 looks at each value by itself without being told.
    told = pandas.__version__.startswith("1.") and format in ("ISO8601", "mixed")
    options = how if told else {**how, "format": format}
    return pandas.to_datetime(column, errors="coerce", utc=True, **options)


def _refuse_lost(column: Any, made: Any, kind: str, on_error: str) -> None:
    lost = column[made.isna() & column.notna()]
    if on_error == "fail" and len(lost):
        raise UserErrorException(
            f"{len(lost)} values of the column {column.name!r} are no {kind},"
            f" {lost.iloc[0]!r} among them.",
            "Pass on_error='null' to have nothing in their place.",
        )


def _is_text(pandas: Any, column: Any) -> bool:
    kinds = pandas.api.types
    return bool(kinds.is_object_dtype(column) or kinds.is_string_dtype(column))


def _is_aware(column: Any) -> bool:
    return getattr(column.dtype, "tz", None) is not None


def _naive(times: Any) -> Any:
    """Times in UTC without saying so, as v1 has them."""
    return times.dt.tz_convert("UTC").dt.tz_localize(None) if _is_aware(times) else times


# Steps ----------------------------------------------------------------------------------------


def _stepped(table: Any, step: Mapping[str, Any]) -> Any:
    do = step["do"]
    if do == "drop":
        return table.drop(columns=step["columns"], errors="ignore")
    if do == "keep":
        for name in step["columns"]:
            _known_column(name, table.columns)
        return table[step["columns"]]
    if do == "timestamps":
        return table
    if do == "filter":
        for name in sorted(names_in(step["condition"])):
            _known_column(name, table.columns)
        holds = value_of(step["condition"], table)
        return table[holds.fillna(False).astype(bool) if hasattr(holds, "fillna") else holds]
    if do == "take":
        return table.iloc[: step["count"]]
    if do == "skip":
        return table.iloc[step["count"] :]
    return table[taken_by(step, len(table))]


def _known_column(name: str, columns: Any) -> None:
    if name not in columns:
        raise UserErrorException(
            f"The dataset has no column {name!r}.", near(str(name), map(str, columns))
        )


# Writing --------------------------------------------------------------------------------------


def write_parts(table: Any, keys: Sequence[str]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """The values of the keys as texts for paths, and the rows that have them."""
    for values, rows in table.groupby(list(keys), sort=True, dropna=False):
        # pandas 1 does not wrap the value of one key.
        each = values if isinstance(values, tuple) else (values,)
        yield tuple(str(value) for value in each), rows.drop(columns=list(keys))
