"""Making room: removing what is built of environments and is not needed now."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ..backends import CONTAINERS
from ..engine import EngineError, find_address
from ..environments import Built, Recipe, cache
from ..environments.recipe import IMAGE, is_key
from ..environments.shelf import Shelf, root
from ..errors import AmlError
from ..home import home
from ..job import layout
from ..job.run import iso
from ..runner import queue
from ..store import WorkspaceFolder
from ..store.folder import bytes_below
from .compute import entries, placed

_MOMENT = 5.0

REMAINS = "remains"
"""The kind of what a failed or interrupted build left."""


@dataclass(frozen=True)
class Candidate:
    """Something built that may be removed; ``kept`` says why it stays after all."""

    key: str
    name: str
    kind: str
    size: int
    used: float
    kept: str = ""

    def to_json(self) -> dict[str, object]:
        """All of it."""
        return {
            "key": self.key,
            "environment": self.name,
            "kind": self.kind,
            "size": self.size,
            "used": iso(self.used),
            "kept": self.kept,
        }


@dataclass(frozen=True)
class Pruned:
    """What was removed, and what was not, with the reason."""

    removed: Sequence[Candidate]
    kept: Sequence[Candidate]

    @property
    def freed(self) -> int:
        """The bytes that were freed; layers that images share count for each."""
        return sum(each.size for each in self.removed)

    def to_json(self) -> dict[str, object]:
        """All of it."""
        return {
            "removed": [each.to_json() for each in self.removed],
            "kept": [each.to_json() for each in self.kept],
            "freed_bytes": self.freed,
        }


class KeysInUse:
    """The environments that runs which have not ended were started in, or wait for."""

    def __init__(self) -> None:
        self._by_entry: dict[str, tuple[str, str]] = {}

    def look(self) -> dict[str, str]:
        """The keys in use now, in any workspace, each with the id of a run that uses it."""
        place = home()
        for entry in queue.entries(place, self._by_entry):
            key = _key_of(layout.read_json(str(entry.folder / layout.REQUEST)))
            self._by_entry[entry.path.name] = (key, entry.run_id)
        live = set(os.listdir(place.queue)) if place.queue.is_dir() else set()
        return {key: run for name, (key, run) in self._by_entry.items() if key and name in live}


def _key_of(request: object) -> str:
    """The key of what a run's request has a recipe for, or an interpreter from; else empty."""
    job = request.get("job") if isinstance(request, dict) else None
    if not isinstance(job, dict):
        return ""
    recipe, python = job.get("recipe"), str(job.get("interpreter") or "")
    if not recipe:
        return python.removeprefix(f"{root()}/").partition("/")[0]
    try:
        return Recipe.from_json(recipe).key
    except (AmlError, TypeError):
        return ""


def candidates(older_than: float) -> list[Candidate]:
    """Everything built that was not used for so many seconds, the biggest first.

    With what failed builds left. What live runs use, or is being built, is among them as kept.
    """
    latest = time.time() - older_than
    found = [_of_built(each) for each in cache.all_built()]
    found += _remains({each.key for each in found})
    used = KeysInUse().look()
    old = [_judged(each, used) for each in found if each.used <= latest]
    return sorted(old, key=lambda each: each.size, reverse=True)


def of_builds(builds: Iterable[Built]) -> list[Candidate]:
    """Some of what is built, however new; what live runs use is among them as kept."""
    used = KeysInUse().look()
    return [_judged(_of_built(each), used) for each in builds]


def _of_built(built: Built) -> Candidate:
    return Candidate(built.key, built.name, built.kind, built.size, built.used)


def _remains(known: set[str]) -> Iterator[Candidate]:
    """What is in the cache and stands not ready: logs, and what a killed builder left."""
    if not root().is_dir():
        return
    for name in os.listdir(root()):
        folder = root() / name
        if name not in known and is_key(name) and folder.is_dir():
            told = Shelf(folder).read("recipe")
            kind = f"{REMAINS} ({told.get('kind')})" if told.get("kind") else REMAINS
            yield Candidate(name, "", kind, bytes_below(folder), folder.stat().st_mtime)


def _judged(each: Candidate, used: Mapping[str, str]) -> Candidate:
    why = ""
    if each.key in used:
        why = f"run {used[each.key]} uses it"
    elif Shelf.of(each.key).is_building and not Shelf.of(each.key).read("ready"):
        why = "it is being built"
    return Candidate(each.key, each.name, each.kind, each.size, each.used, why) if why else each


def remove(chosen: Iterable[Candidate], folder: WorkspaceFolder | None) -> Pruned:
    """Remove what may be removed; who uses it is asked once more before each.

    Images are removed from the engines of the workspace's targets.
    """
    in_use, built = KeysInUse(), {each.key: each for each in cache.all_built()}
    removed, kept = [], []
    for each in chosen:
        now = each if each.kept else _judged(each, in_use.look())
        why = now.kept or _removed(each, built.get(each.key), folder)
        if why:
            kept.append(Candidate(each.key, each.name, each.kind, each.size, each.used, why))
        else:
            removed.append(each)
    return Pruned(removed, kept)


def _removed(each: Candidate, built: Built | None, folder: WorkspaceFolder | None) -> str:
    """Remove one; returns why it could not be, or nothing."""
    try:
        # A builder stays for a moment after its last word.
        Shelf.of(each.key).wait_until_free(_MOMENT)
        if built is not None and built.kind == IMAGE:
            _remove_image(built, folder)
        cache.remove(each.key)
    except AmlError as error:
        return error.message.rstrip(".")
    return ""


def _remove_image(built: Built, folder: WorkspaceFolder | None) -> None:
    """Remove an image wherever it may be; EngineError when an engine cannot be asked.

    It is known by its record here alone, so that stays until the image is surely gone.
    """
    from ..environments import image_store

    seen = Shelf(built.folder).read("engines")
    others = [
        Shelf(each.folder).read("engines") for each in cache.all_built() if each.key != built.key
    ]
    unasked, trouble = set(seen), None
    for options in _engines(folder):
        try:
            url = find_address(options, os.environ).url
            if url in seen:
                unasked.discard(url)
                image_store.remove(built, options, seen=seen, others=others)
        except EngineError as error:
            trouble = trouble or error
    for url in unasked:
        # No target leads there any more, so nobody can be asked to bring such an engine back.
        with contextlib.suppress(EngineError):
            image_store.remove(built, {"host": url}, seen=seen, others=others)
    if trouble is not None:
        raise trouble


def _engines(folder: WorkspaceFolder | None) -> Iterator[Mapping[str, object]]:
    """The settings that lead to each engine that a target of this workspace has."""
    seen: list[object] = []
    for entry in entries(folder).values():
        try:
            place = placed(entry)
        except AmlError:
            continue  # a spoiled entry leads nowhere
        where = [place.options.get(name) for name in ("host", "context")]
        if (place.backend == CONTAINERS) and where not in seen:
            seen.append(where)
            yield place.options
