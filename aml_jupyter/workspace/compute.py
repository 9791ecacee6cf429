"""Compute targets: which there are, what they say, and where a run on one of them goes.

A target is an entry of ``targets.yaml``; besides, every kind of backend is a target of its own
name that says nothing. A pool (v1's AmlCompute) is a number of slots on this machine.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timezone

from .. import backends, runner
from ..backends.visible import submitters
from ..errors import (
    AmlError,
    ComputeTargetException,
    RunConfigurationException,
    UserErrorException,
)
from ..runner import machine
from ..runner.gpus import FAKES
from ..spec.resources import ALL_GPUS
from ..spec.words import HIDDEN, looks_secret, near
from ..store import WorkspaceFolder
from ..store.targets import Entry, entries_of, with_added, with_changed, without
from .target_settings import (
    INSTANCE,
    MAX_NODES,
    ON_THIS_MACHINE,
    POOL,
    kinds,
    options_of,
    settings_of,
)
from .vm_sizes import gpus_of

LOCAL = "local"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_OF_THEIR_OWN_KIND = (LOCAL, backends.CONTAINERS)

# The driver takes its time, and GPUs do not come and go.
_gpus_seen: dict[tuple[str | None, ...], int] = {}


@dataclass(frozen=True)
class Placement:
    """Where the runs of a target go.

    They take one of the ``slots`` of ``pool`` (the pool ``""`` is the machine itself; slots None
    are as many as it has), and go to ``backend`` with these ``options``. ``gpus`` are for runs
    that do not say how many they want; ``notes`` are for whoever submits.
    """

    backend: str
    pool: str = ""
    slots: int | None = None
    options: Mapping[str, object] = field(default_factory=dict)
    gpus: int | None = None
    notes: tuple[str, ...] = ()


def placement(folder: WorkspaceFolder, name: str) -> Placement:
    """Where a run on that target goes; ComputeTargetException when there is no such target."""
    return placed(entry_of(folder, name), folder.record["id"])


def placed(entry: Entry, workspace_id: str = "") -> Placement:
    """Where a run goes on the target of that entry, in the workspace with that id."""
    settings = read(entry)
    gpus, notes = _gpus(entry, settings)
    kind, slots = entry.kind, settings.get("slots")
    if kind in ON_THIS_MACHINE:
        most = 1 if kind == INSTANCE else settings.get("max_nodes") or MAX_NODES
        kind, slots = LOCAL, slots or most
    is_apart = slots is not None and entry.name != LOCAL
    return Placement(
        backend=kind,
        pool=f"{workspace_id}/{entry.name}" if is_apart else "",
        slots=slots if isinstance(slots, int) else None,
        options=options_of(settings),
        gpus=gpus,
        notes=notes,
    )


def for_one_run(vm_size: str | None) -> Placement:
    """Where a run goes for which v1 would make a cluster of its own: this machine."""
    if not vm_size:
        raise RunConfigurationException(
            f"The target {POOL} needs a size of machine.",
            "Set run_config.amlcompute.vm_size, or take the target local.",
        )
    return replace(placed(Entry(POOL, {"vm_size": vm_size})), pool="", slots=None)


def _gpus(entry: Entry, settings: Mapping[str, object]) -> tuple[int | None, tuple[str, ...]]:
    """How many GPUs a run gets that does not say, and what its user should know of that."""
    said = settings.get("gpus")
    if isinstance(said, int):
        return said, ()
    size = str(settings.get("vm_size") or "")
    if entry.kind not in ON_THIS_MACHINE or not size:
        return None, ()
    wanted = gpus_of(size)
    there = gpus_here() if wanted else 0
    if there is None or wanted <= there:
        return wanted, ()
    what = f"{entry.name} has the size {size} with {wanted} GPU{'s' * (wanted > 1)}"
    have = f"this machine has {there or 'none'}"
    return there, (f"{what}, but {have}: its runs get {there or 'none'}.",)


def gpus_here() -> int | None:
    """How many GPUs this process may use; None when the driver does not answer."""
    seen = (os.environ.get(FAKES), submitters(os.environ))
    if seen not in _gpus_seen:
        found = machine.here().gpus
        if found is None:
            return None
        _gpus_seen[seen] = len(found)
    return _gpus_seen[seen]


# Which there are --------------------------------------------------------------------------------


def entries(folder: WorkspaceFolder | None) -> dict[str, Entry]:
    """All targets by name: those of the file, and the kinds of backends that it does not name."""
    written = folder.target_entries() if folder else {}
    plain = {name: Entry(name) for name in backends.names() if name not in written}
    local = {LOCAL: plain.pop(LOCAL)} if LOCAL in plain else {}
    return {**local, **written, **plain}


def entry_of(folder: WorkspaceFolder, name: str) -> Entry:
    """The target of that name; ComputeTargetException, as v1 words it, when there is none."""
    written = folder.target_entries()
    if name in written:
        return written[name]
    try:
        backends.backend(name)
    except ComputeTargetException:
        makes = (
            f"`aml target add {name} --type {POOL} max_nodes=2` makes one that runs here; so does "
            "ComputeTarget.create."
        )
        if name == POOL:
            makes = "Runs may have it as their target, if run_config.amlcompute.vm_size is set."
        known = [*written, *backends.names()]
        raise ComputeTargetException(
            f"ComputeTargetNotFound: Compute Target with name {name} not found in provided "
            f"workspace {folder.record['name']}.",
            f"{near(name, known)} {makes}",
        ) from None
    return Entry(name)


def read(entry: Entry) -> dict[str, object]:
    """What a target says, as it is used; an error names the line of what is wrong."""
    if not entry.settings and entry.kind in _OF_THEIR_OWN_KIND:
        return {}  # nothing said, nothing to ask of the backend
    found = entry.read(_known(entry))
    if int(str(found.get("min_nodes", 0))) > int(str(found.get("max_nodes", MAX_NODES))):
        raise entry.wrong("min_nodes", "min_nodes is more than max_nodes", "make it less.")
    return found


def _known(entry: Entry) -> Mapping[str, backends.Setting]:
    """The settings that the target may have."""
    if entry.name in _OF_THEIR_OWN_KIND and entry.kind != entry.name:
        raise entry.wrong(
            "type", f"the target {entry.name} is of type {entry.name}", "give it another name"
        )
    try:
        return settings_of(entry.kind)
    except ComputeTargetException as error:
        what = f"there is no type {entry.kind!r} of targets"
        if "type" not in entry.settings:
            what = f"{entry.name} says no type"
        raise entry.wrong("type", what, near(entry.kind, kinds())) from error


# Changing them ----------------------------------------------------------------------------------


def add(folder: WorkspaceFolder, name: str, settings: Mapping[str, object]) -> None:
    """Write down a new target; what is wrong with it is said before."""
    if not _NAME.fullmatch(name):
        raise UserErrorException(
            f"{name!r} is not a name for a target.",
            "It starts with a letter or digit and goes on with letters, digits, _, - and dots.",
        )
    settings = settings if name in _OF_THEIR_OWN_KIND else _marked(settings, "created")
    read(Entry(name, settings))
    folder.edit_targets(lambda text: with_added(text, name, settings))


def put(folder: WorkspaceFolder, name: str, kind: str, settings: Mapping[str, object]) -> bool:
    """Write down a target, or change that of the same name and type; whether it is new."""
    changed, new = _marked(settings, "modified"), _marked({"type": kind, **settings}, "created")
    read(Entry(name, new))
    was_new: list[bool] = []

    def edited(text: str) -> str:
        there = entries_of(text).get(name)
        if there is None:
            was_new.append(True)
            return with_added(text, name, new)
        if there.kind != kind:
            raise ComputeTargetException(
                f"There is a target {name} of type {there.kind} already.",
                "Choose another name, or delete that one first.",
            )
        read(Entry(name, {**there.settings, **changed}))
        return with_changed(text, name, changed)

    folder.edit_targets(edited)
    _resize(folder, name)
    return bool(was_new)


def _marked(settings: Mapping[str, object], when: str) -> dict[str, object]:
    return {**settings, when: datetime.now(timezone.utc).isoformat(timespec="seconds")}


def change(folder: WorkspaceFolder, name: str, settings: Mapping[str, object]) -> None:
    """Change settings of a target that is written down; None takes one away."""
    changed = _marked(settings, "modified")
    merged = {**entry_of(folder, name).settings, **changed}
    read(Entry(name, {key: value for key, value in merged.items() if value is not None}))
    folder.edit_targets(lambda text: with_changed(text, name, changed))
    _resize(folder, name)


def _resize(folder: WorkspaceFolder, name: str) -> None:
    """Let the runs that wait for the target have as many slots as it has now."""
    place = placement(folder, name)
    if place.pool and place.slots:
        runner.resize_pool(place.pool, place.slots)


def remove(folder: WorkspaceFolder, name: str) -> None:
    """Take a target out of the file. Its runs go on: they know where they belong."""
    if name not in folder.target_entries():
        entry_of(folder, name)
        raise ComputeTargetException(
            f"The target {name} is always there; nothing is written of it in "
            f"{folder.targets_file}.",
            "`aml target list` shows all.",
        )
    folder.edit_targets(lambda text: without(text, name))


def settings_from(kind: str, words: Sequence[str]) -> dict[str, object]:
    """Settings of a target of that type from ``key=value`` words; a key said twice is a list."""
    known = settings_of(kind)
    said: dict[str, list[str]] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise UserErrorException(
                f"{word!r} is not understood.", "Settings are written as key=value: slots=2"
            )
        if key not in known:
            raise UserErrorException(
                f"A target of type {kind} has no setting {key!r}.", near(key, known)
            )
        said.setdefault(key, []).append(value)
    return {key: _natural(known[key], values) for key, values in said.items()}


def _natural(setting: backends.Setting, values: list[str]) -> object:
    """The text as YAML would have it (``4``, ``true``) where that means the same."""
    import yaml

    if len(values) > 1:
        return values
    try:
        value = yaml.safe_load(values[0])
        if isinstance(value, (bool, int, float)) and setting.read(value) == setting.read(values[0]):
            return value
    except (yaml.YAMLError, ValueError):
        return values[0]  # what is wrong with it is said when all is checked
    return values[0]


# Telling of them --------------------------------------------------------------------------------


@dataclass(frozen=True)
class TargetFacts:
    """A target for people and programs; ``error`` says what is wrong with its entry."""

    name: str
    kind: str
    settings: Mapping[str, object]
    placement: Placement | None = None
    error: str = ""
    hint: str = ""
    line: int | None = None

    def to_json(self) -> dict[str, object]:
        """All of it."""
        place = self.placement
        return {
            "name": self.name,
            "type": self.kind,
            "description": self.description,
            "slots": place.slots if place else None,
            "gpus": place.gpus if place else None,
            "settings": dict(self.settings),
            "notes": list(place.notes) if place else [],
            "error": self.error,
            "hint": self.hint,
            "line": self.line,
        }

    @property
    def description(self) -> str:
        """What its user wrote of it."""
        return str(self.settings.get("description") or "")

    @property
    def remarks(self) -> str:
        """What is wrong with it, else what its user should know."""
        return self.error or " ".join(self.placement.notes if self.placement else ())

    def lines(self) -> list[tuple[str, str]]:
        """All of it, a name and a text each."""
        place = self.placement
        where = f"targets.yaml, line {self.line}" if self.line else "always there"
        said = [("target", self.name), ("type", self.kind), ("written in", where)]
        said += [(key, str(value)) for key, value in self.settings.items() if key != "type"]
        if place:
            pool = f"its own, of {place.slots} slots" if place.pool else "this machine's"
            said += [("runs go to", place.backend), ("slots", pool)]
            said += [("GPUs", _word_for(place.gpus))] if place.gpus is not None else []
            said += [("note", note) for note in place.notes]
        else:
            said += [("error", self.error), ("remedy", self.hint)]
        return said

    def row(self) -> list[str]:
        """The cells of its line in a list; :data:`COLUMNS` names them."""
        place = self.placement
        slots = str(place.slots) if place and place.slots else ""
        gpus = _word_for(place.gpus) if place else ""
        apart = ("type", "description", "slots", "gpus", "created", "modified")
        rest = ", ".join(f"{k}={v}" for k, v in self.settings.items() if k not in apart)
        return [self.name, self.kind, slots, gpus, rest, self.remarks or self.description]


def _word_for(gpus: int | None) -> str:
    return "" if gpus is None else "all" if gpus == ALL_GPUS else str(gpus)


COLUMNS = ("target", "type", "slots", "GPUs", "settings", "remarks")


def listed(folder: WorkspaceFolder) -> list[TargetFacts]:
    """All targets; one that is spoiled is there with its error."""
    return [described(entry) for entry in entries(folder).values()]


def described(entry: Entry) -> TargetFacts:
    """One target for people and programs."""
    settings = {key: _shown(key, value) for key, value in entry.settings.items()}
    line = entry.lines.get("")
    try:
        place = placed(entry)
    except AmlError as error:
        hint = error.hint
        return TargetFacts(entry.name, entry.kind, settings, None, error.message, hint, line)
    return TargetFacts(entry.name, entry.kind, settings, place, line=line)


def _shown(key: str, value: object) -> object:
    if looks_secret(key):
        return HIDDEN
    return value.isoformat() if isinstance(value, (datetime, date)) else value
