"""Partition formats: ``{user}/{when:yyyy/MM}/data.csv`` makes columns of what paths say."""

from __future__ import annotations

import datetime
import re
from typing import NamedTuple

from aml_jupyter.errors import UserErrorException

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_KEY = re.compile(r"\{(\w+)(?::([^{}]*))?\}")
_TIME_PARTS = {
    "yyyy": ("year", r"\d{4}"),
    "MM": ("month", r"\d{1,2}"),
    "dd": ("day", r"\d{1,2}"),
    "HH": ("hour", r"\d{1,2}"),
    "mm": ("minute", r"\d{1,2}"),
    "ss": ("second", r"\d{1,2}"),
}
_TIME_PART = re.compile("|".join(_TIME_PARTS))
_WILD = {"**": ".*", "*": "[^/]*", "?": "[^/]"}


class PartitionFormat(NamedTuple):
    """What paths look like at their end, and what they say."""

    text: str
    keys: tuple[str, ...]
    times: dict[str, tuple[str, ...]]
    pattern: re.Pattern[str]

    @staticmethod
    def read(text: str) -> PartitionFormat:
        """The format that ``text`` writes down."""
        text = re.sub(r"^(\.{0,2}/)+", "", text)
        keys: list[str] = []
        times: dict[str, tuple[str, ...]] = {}
        pattern, at = "", 0
        for found in _KEY.finditer(text):
            name, form = found[1], found[2]
            pattern += _literal(text[at : found.start()])
            at = found.end()
            if name in keys:
                pattern += f"(?P=k{keys.index(name)})"
            elif form is None:
                pattern += f"(?P<k{len(keys)}>[^/]+?)"
            else:
                part, times[name] = _of_time(form, len(keys), text)
                pattern += part
            keys += [name] if name not in keys else []
        if not keys:
            raise UserErrorException(
                f"The partition format {text!r} names no column.",
                "For example '{user}/{when:yyyy/MM/dd}/data.csv'.",
            )
        whole = re.compile(
            f"(?:^|.*/){pattern}{_literal(text[at:])}$".replace("(?:^|.*/)/", "(?:^|.*)/")
        )
        return PartitionFormat(text, tuple(keys), times, whole)

    def values(self, path: str) -> dict[str, Any]:
        """What a path says."""
        found = self.pattern.match(f"/{path}")
        if found is None:
            raise UserErrorException(
                f"The path {path} does not fit the partition format {self.text!r}.",
                "The format is what paths look like from the first {column} to their end.",
            )
        return {
            name: self._time(name, index, found) if name in self.times else found[f"k{index}"]
            for index, name in enumerate(self.keys)
        }

    def _time(self, name: str, index: int, found: re.Match[str]) -> datetime.datetime:
        parts = {part: int(found[f"k{index}{part}"]) for part in self.times[name]}
        try:
            return datetime.datetime(**{"month": 1, "day": 1, **parts})  # type: ignore[arg-type]
        except ValueError as error:
            raise UserErrorException(
                f"{found[0]} says no time for {name}: {error}.",
                f"The partition format is {self.text!r}.",
            ) from error


def _of_time(form: str, index: int, text: str) -> tuple[str, tuple[str, ...]]:
    parts, pattern, at = [], "", 0
    for found in _TIME_PART.finditer(form):
        part, digits = _TIME_PARTS[found[0]]
        pattern += f"{_literal(form[at : found.start()])}(?P<k{index}{part}>{digits})"
        parts.append(part)
        at = found.end()
    if "year" not in parts or len(set(parts)) < len(parts):
        raise UserErrorException(
            f"The partition format {text!r} does not say a time with {{…:{form}}}.",
            "Times are written with yyyy, MM, dd, HH, mm and ss, yyyy among them.",
        )
    return pattern + _literal(form[at:]), tuple(parts)


def _literal(text: str) -> str:
    """The pattern of text between columns, where ``*`` stands for anything."""
    pieces = re.split(r"(\*\*|\*|\?)", text)
    return "".join(_WILD.get(piece) or re.escape(piece) for piece in pieces)
