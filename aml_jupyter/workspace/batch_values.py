"""The values that a batch goes through: how they are written, and which sets they make."""

from __future__ import annotations

import csv
import itertools
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from ..errors import UserErrorException

GRID, ZIP = "grid", "zip"
"""Every value with every other; the first with the first, the second with the second."""

MOST_SETS = 100_000

_RANGE = re.compile(r"(-?\d+)\.\.(-?\d+)(?:\.\.(\d+))?")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)
_OPENS, _CLOSES, _QUOTES = "[{(", "]})", "\"'"
_LONGEST_NAME = 80

Values = Mapping[str, Sequence[object]]
Set = dict[str, object]


# How values are written -----------------------------------------------------------------------


def parse_values(text: str) -> list[object]:
    """The values in ``0.1,0.3``, ``1..5``, ``cnn`` or ``[64, 32]``: YAML, with commas between.

    A comma inside brackets or quotation marks parts nothing; ``1..9..2`` goes in steps.
    """
    return [value for part in _parts(text) for value in _values_of(part)]


def _parts(text: str) -> Iterator[str]:
    depth, quote, start = 0, "", 0
    is_escaped = False
    for at, letter in enumerate(text):
        if is_escaped:
            is_escaped = False
        elif quote:
            is_escaped = letter == "\\" and quote == '"'
            quote = "" if letter == quote else quote
        elif letter in _QUOTES:
            quote = letter
        elif letter in _OPENS:
            depth += 1
        elif letter in _CLOSES:
            depth -= 1
        elif letter == "," and not depth:
            yield text[start:at]
            start = at + 1
    yield text[start:]


def _values_of(part: str) -> Iterator[object]:
    found = _RANGE.fullmatch(part.strip())
    if found is None:
        yield parse_value(part)
        return
    first, last, step = int(found[1]), int(found[2]), int(found[3] or 1)
    if not step:
        raise ValueError("a range goes in steps of 1 or more")
    way = step if last >= first else -step
    values = range(first, last + (1 if way > 0 else -1), way)
    count = abs(last - first) // step + 1  # the length of a range has a limit
    if count > MOST_SETS:
        raise ValueError(f"{part.strip()} is {count:,} values; a batch has {MOST_SETS:,} at most")
    yield from values


def parse_value(text: str) -> object:
    """One value as YAML has it, and ``1e-3``, which YAML takes for a text, as a number."""
    text = text.strip()
    if _NUMBER.fullmatch(text):
        return int(text) if text.lstrip("+-").isdigit() else float(text)
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        problem = str(error).splitlines()[0]
        raise ValueError(f"{text} is no value in YAML: {problem}") from None
    return value if value is None or isinstance(value, _PLAIN) else text


_PLAIN = (bool, int, float, str, list, dict)


def written_values(values: Sequence[object]) -> str:
    """The text that ``parse_values`` reads these values from."""
    return _as_range(values) or ",".join(map(_written, values))


def _as_range(values: Sequence[object]) -> str:
    """Whole numbers at equal distances as ``1..9..2``; "" for what is no range."""
    numbers = [value for value in values if type(value) is int]
    if len(numbers) < max(3, len(values)) or numbers[0] == numbers[1]:
        return ""
    step = numbers[1] - numbers[0]
    if numbers != list(range(numbers[0], numbers[-1] + (1 if step > 0 else -1), step)):
        return ""
    return f"{numbers[0]}..{numbers[-1]}" + (f"..{abs(step)}" if abs(step) > 1 else "")


def _written(value: object) -> str:
    return value if isinstance(value, str) and _reads_as_itself(value) else _in_yaml(value)


def _reads_as_itself(text: str) -> bool:
    try:
        # Beside another, as a bracket or an apostrophe in it would take that for its own.
        return bool(text.strip()) and parse_values(f"{text},{text}") == [text, text]
    except ValueError:
        return False


def _in_yaml(value: object) -> str:
    """YAML on one line, with every text in quotation marks."""
    if isinstance(value, dict):
        return f"{{{', '.join(f'{_in_yaml(k)}: {_in_yaml(v)}' for k, v in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(_in_yaml, value))}]"
    style = '"' if isinstance(value, str) else None
    said = yaml.safe_dump(value, default_style=style, width=math.inf, allow_unicode=True)
    return said.removesuffix("\n").removesuffix("\n...")


# Tables ---------------------------------------------------------------------------------------


def read_table(path: str) -> tuple[list[Set], Values]:
    """What a table of parameters holds: sets of values, or values to be combined.

    A ``.csv`` has a set in each line below its head; YAML is a list of sets, or values by name.
    """
    file = Path(path).expanduser()
    try:
        text = file.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserErrorException(
            f"The table of parameters {path} cannot be read: {error}.",
            "Give a .csv or .yaml file.",
        ) from None
    if file.suffix.lower() in (".yaml", ".yml", ".json"):
        return _from_yaml(path, text)
    if file.suffix.lower() in (".csv", ".tsv"):
        return _from_csv(path, text, "\t" if file.suffix.lower() == ".tsv" else ","), {}
    raise UserErrorException(
        f"{path} is no table of parameters.", "It has to be a .csv, .tsv, .yaml or .json file."
    )


def _from_csv(path: str, text: str, delimiter: str) -> list[Set]:
    lines = [line for line in csv.reader(text.splitlines(), delimiter=delimiter) if any(line)]
    if len(lines) < 2:
        raise UserErrorException(
            f"{path} has no values.", "Its first line names the parameters, each further is a set."
        )
    head = [name.strip() for name in lines[0]]
    sets: list[Set] = []
    for number, line in enumerate(lines[1:], 2):
        if len(line) != len(head):
            raise UserErrorException(
                f"{path}, line {number}: {len(line)} values for {len(head)} parameters.",
                f"The parameters are {', '.join(head)}; put a value with a comma in quotes.",
            )
        sets.append({name: parse_value(value) for name, value in zip(head, line, strict=True)})
    return sets


def _from_yaml(path: str, text: str) -> tuple[list[Set], Values]:
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UserErrorException(f"{path} is not YAML: {error}.", "Mend it.") from None
    if isinstance(content, dict) and content:
        return [], {str(k): v if isinstance(v, list) else [v] for k, v in content.items()}
    if isinstance(content, list) and content and all(isinstance(each, dict) for each in content):
        return [{str(k): v for k, v in each.items()} for each in content], {}
    raise UserErrorException(
        f"{path} holds no parameters.",
        "Write a list of sets (- {alpha: 0.1, seed: 1}), or values by name (alpha: [0.1, 0.3]).",
    )


# Sets -----------------------------------------------------------------------------------------


def combined(values: Values, how: str = GRID, table: Sequence[Set] = ()) -> list[Set]:
    """The sets that come of values and of a table's lines, in order, each once.

    Every line of the table goes with every set of values.
    """
    count = 1 if how == ZIP else math.prod(map(len, values.values()))
    count *= max(1, len(table))
    if count > MOST_SETS:
        raise UserErrorException(
            f"These values make {count:,} sets.", f"A batch has {MOST_SETS:,} at most."
        )
    of_values = list(_zipped(values) if how == ZIP else _grid(values))
    sets = [{**line, **each} for line in table or [{}] for each in of_values]
    found: dict[str, Set] = {}
    for each in sets:
        found.setdefault(repr(sorted(each.items())), each)
    return list(found.values())


def as_grid(sets: Sequence[Mapping[str, object]]) -> dict[str, list[object]] | None:
    """The values that these sets combine, each with every other; None where they do not."""
    values: dict[str, dict[str, object]] = {}
    for each in sets:
        for name, value in each.items():
            values.setdefault(name, {}).setdefault(repr(value), value)
    found = {name: list(each.values()) for name, each in values.items()}
    if math.prod(map(len, found.values())) != len(sets):
        return None
    return found if repr(list(_grid(found))) == repr([dict(each) for each in sets]) else None


def _grid(values: Values) -> Iterator[Set]:
    for row in itertools.product(*values.values()):
        yield dict(zip(values, row, strict=True))


def _zipped(values: Values) -> Iterator[Set]:
    counts = {name: len(each) for name, each in values.items() if len(each) != 1}
    if len(set(counts.values())) > 1:
        told = ", ".join(f"{name} has {count}" for name, count in counts.items())
        raise UserErrorException(
            f"The values cannot be put side by side: {told}.",
            "Give each parameter the same number of values, or one; or leave out --zip.",
        )
    length = next(iter(counts.values()), 1)
    for at in range(length):
        yield {name: each[at if len(each) > 1 else 0] for name, each in values.items()}


def title_of(notebook: str, sets: Sequence[object]) -> str:
    """What a batch is called if nobody says."""
    return f"{Path(notebook).stem} × {len(sets)}"


def names_of(sets: Sequence[Mapping[str, object]], otherwise: str) -> list[str]:
    """A short name for each set: the values in which it differs from others."""
    told = differing(sets)
    names = [
        " ".join(f"{name}={_shown(each[name])}" for name in told if name in each) for each in sets
    ]
    return [_cut(name) or otherwise for name in names]


def differing(sets: Sequence[Mapping[str, Any]]) -> list[str]:
    """The parameters that are not the same in all sets."""
    all_names = dict.fromkeys(name for each in sets for name in each)
    return [
        name for name in all_names if len({repr(each.get(name, _MISSING)) for each in sets}) > 1
    ]


_MISSING = object()


def _shown(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_NAME else f"{text[: _LONGEST_NAME - 1]}…"
