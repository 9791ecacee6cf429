"""Where the cells of a notebook stand in its text, so that nothing else need be touched."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

_SPACE = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder(strict=False)


@dataclass(frozen=True)
class CellSpan:
    """A cell in the text of its notebook: where it begins, and where its source stands."""

    start: int
    source_start: int
    source_end: int


def cell_spans(text: str) -> list[CellSpan]:
    """The cells in their order; ValueError when the text is no notebook."""
    cells = None
    for key, start, _ in _members(text, _skip(text, 0)):
        if key == "cells":
            cells = start  # of keys that are there twice the last counts
    if cells is None:
        raise ValueError("there are no cells")
    return [_cell(text, start) for start in _elements(text, cells)]


def _cell(text: str, start: int) -> CellSpan:
    begin = end = start
    for key, at, until in _members(text, start):
        if key == "source":
            begin, end = at, until
    return CellSpan(start, begin, end)


def _members(text: str, start: int) -> Iterator[tuple[str, int, int]]:
    """Each key of the object there, with where its value begins and ends."""
    at = _expect(text, start, "{")
    while text[at] != "}":
        key, at = _DECODER.raw_decode(text, at)
        at = _expect(text, _skip(text, at), ":")
        _, end = _DECODER.raw_decode(text, at)
        yield str(key), at, end
        at = _next(text, end)


def _elements(text: str, start: int) -> Iterator[int]:
    """Where each element of the array there begins."""
    at = _expect(text, start, "[")
    while text[at] != "]":
        yield at
        _, end = _DECODER.raw_decode(text, at)
        at = _next(text, end)


def _next(text: str, end: int) -> int:
    at = _skip(text, end)
    return _skip(text, at + 1) if text[at] == "," else at


def _expect(text: str, at: int, letter: str) -> int:
    if text[at : at + 1] != letter:
        raise ValueError(f"{letter} was expected at {at}")
    return _skip(text, at + 1)


def _skip(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at
