"""What `aml target` and `%aml_target` are asked for: the words that both understand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..errors import UserErrorException
from ..spec.words import near
from ..store import WorkspaceFolder
from ..store.targets import FILE_NAME
from . import compute
from .target_settings import kinds, settings_of

ACTIONS: Mapping[str, str] = {
    "list": "all targets of this workspace",
    "show": "what one says and where its runs go; with --type KIND, which settings such a one has",
    "add": "write down a new one: NAME --type KIND KEY=VALUE …",
    "test": "try it with a small job; KEY=VALUE … are settings for this once",
    "remove": "take it out of targets.yaml; its runs go on",
}
"""What can be done, and what it is for."""

EXAMPLES = (
    "add gpu-box --type docker host=ssh://me@gpu-box shm_size=8g",
    "add cpu-cluster --type amlcompute vm_size=STANDARD_D2_V2 max_nodes=2",
    "show --type docker",
    "test gpu-box",
)


@dataclass(frozen=True)
class Asked:
    """One thing to be done: which, to what target, of which type, with which settings."""

    action: str
    name: str = ""
    kind: str = ""
    settings: Sequence[str] = ()

    def settings_for(self, kind: str) -> dict[str, object]:
        """The settings as a target of that type has them."""
        return compute.settings_from(kind, self.settings)


def understood(words: Sequence[str], kind: str | None = None) -> Asked:
    """What the words ask for; without any, the list."""
    action, *rest = words or ["list"]
    if action not in ACTIONS:
        raise UserErrorException(f"A target cannot be asked to {action!r}.", near(action, ACTIONS))
    names = [word for word in rest if "=" not in word]
    settings = [word for word in rest if "=" in word]
    if len(names) > 1:
        raise UserErrorException(
            f"One target at a time, not {' and '.join(names)}.", "Settings are written key=value."
        )
    asked = Asked(action, names[0] if names else "", kind or "", settings)
    _refuse_misfits(asked)
    return asked


def _refuse_misfits(asked: Asked) -> None:
    if not asked.name and not _needs_no_name(asked):
        raise UserErrorException(
            f"Which target is to be {_DONE[asked.action]}?", f"Name it: {asked.action} NAME"
        )
    if asked.name and asked.action == "list":
        raise UserErrorException(
            f"The list does not know what to do with {asked.name!r}.",
            f"Do you mean show {asked.name}?",
        )
    if asked.settings and asked.action not in ("add", "test"):
        raise UserErrorException(
            f"{asked.action} takes no settings, but there is {asked.settings[0]!r}.",
            f"Change what a target says in {FILE_NAME}.",
        )
    if asked.action == "add" and not asked.kind:
        raise UserErrorException(
            f"Of which type is {asked.name} to be?",
            f"Say --type with one of {', '.join(kinds())}.",
        )


_DONE = {"show": "shown", "add": "added", "test": "tested", "remove": "removed"}


def _needs_no_name(asked: Asked) -> bool:
    return asked.action == "list" or bool(asked.action == "show" and asked.kind)


def added(folder: WorkspaceFolder, asked: Asked) -> compute.TargetFacts:
    """Write the new target down and return what it says."""
    settings = {"type": asked.kind, **asked.settings_for(asked.kind)}
    compute.add(folder, asked.name, settings)
    return shown(folder, asked.name)


def shown(folder: WorkspaceFolder, name: str) -> compute.TargetFacts:
    """What a target says."""
    return compute.described(compute.entry_of(folder, name))


def setting_rows(kind: str) -> list[list[str]]:
    """The settings that a target of that type may have: name, what it is for, example."""
    known = settings_of(kind)
    return [[name, s.help, s.example] for name, s in sorted(known.items()) if name != "type"]
