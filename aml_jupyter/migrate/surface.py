"""What our classes have and take: asked of the classes themselves, so that it is never outdated."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import textwrap
from functools import cache
from importlib import import_module
from typing import Any

from ..compat.names import AZURE_ONLY, LATER, OURS
from .types import kinds_of, lineage

_PACKAGE = __name__.partition(".")[0]
_IN_JOBS_TOO = {"Run": "job.run:_SubmittedRun"}
_OF_SERVICES = {"AutoMLRun": "AutoML"}


@cache
def _places() -> dict[str, str]:
    """Every name of v1 that is ours, with its place."""
    found = {}
    for rooms in OURS.values():
        for room, names in rooms.items():
            found.update({name: f"{room}:{name}" for name in names.split()})
    return found


@cache
def _features() -> dict[str, str]:
    """The feature that a class of v1 belongs to, if it is none of ours."""
    found = {name.rpartition(".")[2]: feature for name, feature in AZURE_ONLY.items()}
    for features in LATER.values():
        for feature, names in features.items():
            found.update(dict.fromkeys(names.split(), feature))
    return {**found, **_OF_SERVICES}


def feature_of_class(name: str) -> str:
    """The feature that a class belongs to which we do not have; empty for one of ours."""
    return "" if name in _places() else _features().get(name, "")


def has(owner: str, member: str) -> bool | None:
    """Whether what v1 documents as ``owner`` has the member here; None where nobody knows."""
    classes = _classes(owner)
    return any(member in _members(each) for each in classes) if classes else None


def members(owner: str) -> list[str]:
    """The public members that our classes have."""
    names = {name for each in _classes(owner) for name in _members(each)}
    return sorted(name for name in names if not name.startswith("_"))


def keywords(called: str) -> list[str] | None:
    """The keywords that ``Class`` or ``Class.method`` takes; None if any, or if nobody knows."""
    owner, _, member = called.partition(".")
    if not member:
        found = _object(_places().get(owner, ""))
        is_ours = inspect.isclass(found) or inspect.isroutine(found)
        return _keywords(found) if is_ours else None
    parts = [getattr(each, member, None) for each in _classes(owner)]
    taken = [_keywords(part) for part in parts if callable(part)]
    known = [each for each in taken if each is not None]
    return sorted({name for each in known for name in each}) if taken == known != [] else None


@cache
def _classes(owner: str) -> list[type]:
    """Our classes for what v1 documents as ``owner``: it, what it is made from, its kinds."""
    names = dict.fromkeys([*lineage(owner), *kinds_of(owner)])
    places = [_places().get(name, "") for name in names]
    found = map(_object, [*places, _IN_JOBS_TOO.get(owner, "")])
    return [each for each in found if inspect.isclass(each)]


def _object(place: str) -> Any:
    room, _, name = place.partition(":")
    try:
        return getattr(import_module(f"{_PACKAGE}.{room}"), name) if room else None
    except (ImportError, AttributeError):
        return None


def _bases(found: type) -> list[type]:
    """The class and those it is made from, but for Python's own."""
    return [base for base in inspect.getmro(found) if base is not object]


@cache
def _members(found: type) -> frozenset[str]:
    names: set[str] = set()
    for base in _bases(found):
        names |= {*vars(base), *vars(base).get("__annotations__", ()), *_put_there(base)}
        if dataclasses.is_dataclass(base):
            names |= {each.name for each in dataclasses.fields(base)}
    return frozenset(names)


def _put_there(base: type) -> set[str]:
    """What methods of the class assign to ``self``."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(base)))
    except (OSError, TypeError, SyntaxError):
        return set()
    return {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.ctx, ast.Store)
        and isinstance(node.value, ast.Name)
        and node.value.id == "self"
    }


def _keywords(found: Any) -> list[str] | None:
    try:
        parameters = inspect.signature(found).parameters.values()
    except (TypeError, ValueError):
        return None
    if any(each.kind is each.VAR_KEYWORD for each in parameters):
        return None
    return [each.name for each in parameters if each.name != "self"]
