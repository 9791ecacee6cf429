"""Why an environment is built: what changed since the last build under its name."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from aml_jupyter.errors import ServiceException
from aml_jupyter.job import layout
from aml_jupyter.spec.requirements import normalised

from .recipe import Recipe
from .shelf import root

NEVER_BUILT = "never built here before"
_SHOWN = 12
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def remember(name: str, recipe: Recipe) -> None:
    """Keep in mind what was built last under this name."""
    path = _path(name)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        layout.write_json(str(path), {"name": name, "recipe": recipe.to_json()})
    except OSError:
        pass  # Only the next explanation is poorer for it.


def last(name: str) -> Recipe | None:
    """What was built last under this name; None when nothing was."""
    record = layout.read_json(str(_path(name)))
    recipe = record.get("recipe") if isinstance(record, dict) else None
    try:
        return Recipe.from_json(recipe) if isinstance(recipe, Mapping) else None
    except (ServiceException, TypeError):
        return None


def reasons(name: str, recipe: Recipe) -> list[str]:
    """Lines that say what is new in ``recipe``; empty when it is what was built last."""
    before = last(name)
    return [NEVER_BUILT] if before is None else changes(before, recipe)


def changes(before: Recipe, after: Recipe) -> list[str]:
    """What differs between two recipes: ``+ x``, ``- y``, ``pandas==2.1 → pandas==2.2``."""
    lines: list[str] = []
    if before.kind != after.kind:
        lines.append(f"{before.kind} → {after.kind}")
    lines += _value("python", before.python, after.python)
    lines += _value("base image", before.base, after.base)
    lines += _value("platform", before.platform, after.platform)
    lines += _entries(before.conda, after.conda)
    lines += _entries(before.pip, after.pip)
    lines += _entries(before.channels, after.channels, "channel ")
    if before.channels != after.channels and sorted(before.channels) == sorted(after.channels):
        lines.append("the channels are in another order")
    if before.dockerfile != after.dockerfile:
        lines += _dockerfile(before.dockerfile or "", after.dockerfile or "")
    if before.context != after.context:
        lines.append("files of the Docker build context changed")
    lines += _entries(_pairs(before.build_args), _pairs(after.build_args), "build argument ")
    known = dict(before.contents)
    lines += [
        f"{path} changed" for path, digest in after.contents if known.get(path, digest) != digest
    ]
    return lines if len(lines) <= _SHOWN else [*lines[:_SHOWN], f"and {len(lines) - _SHOWN} more"]


def _value(what: str, before: str | None, after: str | None) -> Iterator[str]:
    if before != after:
        yield f"{what} {before or 'not said'} → {after or 'not said'}"


def _entries(before: Sequence[str], after: Sequence[str], what: str = "") -> Iterator[str]:
    gone = [entry for entry in before if entry not in after]
    for entry in after:
        if entry in before:
            continue
        old = next((line for line in gone if _name(line) == _name(entry)), None)
        if old is None:
            yield f"+ {what}{entry}"
        else:
            gone.remove(old)
            yield f"{what}{old} → {entry}"
    yield from (f"- {what}{entry}" for entry in gone)


def _dockerfile(before: str, after: str) -> Iterator[str]:
    import difflib

    yield "the Dockerfile changed:"
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=0)
    for line in lines:
        if line[:1] in "+-" and line[:3] not in ("+++", "---"):
            yield f"  {line}"


def _pairs(pairs: Sequence[Sequence[str]]) -> list[str]:
    return [f"{name}={value}" for name, value in pairs]


def _name(entry: str) -> str:
    """What two versions of one entry have in common: the package's name, or the option."""
    if entry.startswith("-"):
        return re.split(r"[\s=]", entry, maxsplit=1)[0]
    found = _NAME.match(entry.rpartition("::")[2])
    return normalised(found[0]) if found else entry


def _path(name: str) -> Path:
    digest = hashlib.sha256(os.fsencode(name)).hexdigest()[:32]
    return root() / "names" / f"{digest}.json"
