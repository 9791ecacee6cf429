"""What a cell took along from its notebook, as the run remembers it: names and short values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import ModuleType
from typing import TYPE_CHECKING

from ..spec.words import holds_secret, looks_secret
from ..store.gitfacts import without_credentials_inside
from . import plain

if TYPE_CHECKING:
    from .capture import Item

MOST = 200
"""How many names are remembered."""

LONGEST = 200
"""How many characters of a value are remembered."""

# Values come first: they are the parameters of the run, and must not fall off the end.
_HOW = {"value": "value", "pickle": "pickled", "source": "source", "import": "import"}


def record(items: Iterable[Item], namespace: Mapping[str, object]) -> list[dict[str, object]]:
    """``{"name", "how", "type", "value", "size"}`` of each item, for the run's ``source`` entry.

    Only plain values have a ``value``, and none that looks like a secret; else it is None.
    """
    order = list(_HOW)
    found = sorted(items, key=lambda item: order.index(item.kind))
    return [_described(item, namespace.get(item.name)) for item in found[:MOST]]


def _described(item: Item, value: object) -> dict[str, object]:
    return {
        "name": item.name,
        "how": _HOW[item.kind],
        "type": _type(value),
        "value": _short(item.name, value) if item.kind == "value" else None,
        "size": item.size,
    }


def _type(value: object) -> str:
    return f"module {value.__name__}" if isinstance(value, ModuleType) else plain.shown_type(value)


def _short(name: str, value: object) -> str | None:
    """The value as Python writes it, cut; None where it looks like a secret."""
    if looks_secret(name) or holds_secret(value):
        return None
    text = without_credentials_inside(plain.expression(value))
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
