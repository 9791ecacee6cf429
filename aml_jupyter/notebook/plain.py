"""Small plain values as Python expressions that give them back exactly."""

from __future__ import annotations

import math
import pathlib
import sys
from collections.abc import Sized
from typing import Any

LIMIT = 64 * 1024
"""Characters that one value may take as source."""

_DEEPEST = 50


class NotPlain(Exception):
    """The value is something that no short expression gives back."""


def expression(value: object) -> str:
    """An expression equal to ``value``, of the same types throughout; else :class:`NotPlain`."""
    text = _expression(_unwrapped(value), 0)
    if len(text) > LIMIT:
        raise NotPlain(f"too large to be written out ({shown_size(len(text))})")
    return text


def _unwrapped(value: object) -> object:
    """A numpy scalar as the Python number it stands for: jobs need not have numpy."""
    if any(c.__module__ == "numpy" and c.__name__ == "generic" for c in type(value).__mro__):
        return value.item()  # type: ignore[attr-defined]
    return value


def _expression(value: object, depth: int) -> str:
    # Exact types: a subclass (an enum member, a named tuple) would come back as something less.
    kind = type(value)
    if depth > _DEEPEST:
        raise NotPlain("nested too deeply")
    if value is None or kind in (bool, bytes, str):
        return repr(value)
    if isinstance(value, int) and kind is int:
        return hex(value) if abs(value) > 10**300 else repr(value)
    if isinstance(value, float) and kind is float:
        return repr(value) if math.isfinite(value) else f'float("{value}")'
    if isinstance(value, (list, tuple, set, frozenset)):
        return _collection(value, depth)
    if isinstance(value, dict) and kind is dict:
        _check_length(value)
        pairs = (f"{_inner(k, depth)}: {_inner(v, depth)}" for k, v in value.items())
        return "{" + ", ".join(pairs) + "}"
    if isinstance(value, pathlib.Path) and kind is type(pathlib.Path()):
        return f'__import__("pathlib").Path({str(value)!r})'
    raise NotPlain("not a plain value")


def _collection(
    value: list[object] | tuple[object, ...] | set[object] | frozenset[object], depth: int
) -> str:
    _check_length(value)
    inside = ", ".join(_inner(item, depth) for item in value)
    if type(value) is list:
        return f"[{inside}]"
    if type(value) is tuple:
        return f"({inside},)" if value else "()"
    if type(value) is set:
        return f"{{{inside}}}" if value else "set()"
    if type(value) is frozenset:
        return f"frozenset({{{inside}}})" if value else "frozenset()"
    raise NotPlain("not a plain value")


def _inner(value: object, depth: int) -> str:
    return _expression(_unwrapped(value), depth + 1)


def _check_length(value: Sized) -> None:
    # Two characters an item is the least it takes: no need to write it all out to refuse it.
    if len(value) > LIMIT // 2:
        raise NotPlain("too long to be written out")


def size_of(value: object) -> int:
    """About how many bytes ``value`` takes in memory."""
    size: Any = getattr(value, "nbytes", None)
    try:
        if callable(getattr(value, "memory_usage", None)):
            size = value.memory_usage().sum()  # type: ignore[attr-defined]
        return int(size)
    except (TypeError, ValueError, AttributeError):
        return sys.getsizeof(value, 0)


def shown_size(size: float) -> str:
    """A number of bytes for people: ``240 MB``."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g} {unit}" if unit != "B" else f"{int(size)} B"
        size /= 1000
    return f"{size:.3g} TB"


def shown_type(value: object) -> str:
    """The name of the type of ``value`` as its user knows it."""
    kind = type(value)
    module = (kind.__module__ or "").split(".")[0]
    name = kind.__qualname__
    return name if module in ("builtins", "__main__") else f"{module}.{name}"
