"""Readers for settings: from a text, or what YAML made of it, to what is used.

The ValueError of each says what it should look like; reading what was read changes nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TypeVar

from ..spec.resources import ALL_GPUS
from ..spec.words import parse_bytes

T = TypeVar("T")

_YES_NO = {
    **dict.fromkeys(("true", "yes", "on", "1"), True),
    **dict.fromkeys(("false", "no", "off", "0"), False),
}


def text(value: object) -> str:
    """A text, or a number as one; not empty."""
    if isinstance(value, (str, int, float)) and not isinstance(value, bool) and str(value).strip():
        return str(value)
    raise ValueError("write a text")


def flag(value: object) -> bool:
    """True or False, written as YAML or people do."""
    found = value if isinstance(value, bool) else _YES_NO.get(str(value).strip().lower())
    if found is None:
        raise ValueError("write true or false")
    return found


def size(value: object) -> int:
    """Bytes, from a number of them or a text such as ``2g``."""
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    return parse_bytes(text(value))


def amount(value: object) -> float:
    """A number above 0, also part of one."""
    try:
        number = float(text(value))
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise ValueError("write a number above 0, such as 2 or 1.5")
    return number


def count(value: object) -> int:
    """A number of things, which may be none."""
    return _whole(value, 0)


def count_above_0(value: object) -> int:
    """A number of things, at least one."""
    return _whole(value, 1)


def _whole(value: object, least: int) -> int:
    said = str(value).strip()
    if not said.isdecimal() or int(said) < least:
        raise ValueError(f"write a whole number, {least} or more")
    return int(said)


def gpus(value: object) -> int:
    """A number of GPUs, or ALL_GPUS for ``all``."""
    said = str(value).strip("\"' ")
    if said in ("all", str(ALL_GPUS)):
        return ALL_GPUS
    if not said.isdecimal():
        raise ValueError("write how many, or all; which ones is decided when it is the run's turn")
    return int(said)


def existing_file(value: object) -> str:
    """The absolute path of a file that is there."""
    path = os.path.abspath(os.path.expanduser(text(value)))
    if not os.path.isfile(path):
        raise ValueError("there is no such file")
    return path


def several(read: Callable[[object], T]) -> Callable[[object], list[T]]:
    """What reads one or several of what ``read`` does."""

    def read_all(value: object) -> list[T]:
        return [read(each) for each in (value if isinstance(value, (list, tuple)) else [value])]

    return read_all


texts = several(text)
"""Reads one text or several."""
