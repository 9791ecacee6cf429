"""Where a run goes: the target by its name, a container or a bare process, and what it asks for."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace

from ..backends import CONTAINERS, backend
from ..environments import policy
from ..errors import ComputeTargetException, RunConfigurationException
from ..runner import Ask, impossible_here
from ..spec import ALL_GPUS, Resources, RunConfiguration
from ..store import WorkspaceFolder
from .compute import LOCAL, Placement, entry_of, for_one_run, gpus_here, placement
from .diagnosis import to_use_it
from .target_settings import ON_THIS_MACHINE, POOL

SLOTS_VARIABLE = "AML_SLOTS"

_DEFAULT_SHM_SIZE = "2g"


@dataclass(frozen=True)
class Place:
    """Where a run goes, with the settings of the target and of the run, and what it asks for.

    ``is_here`` is false where the job's resources are another machine's, which manages them.
    ``notes`` tell what was asked for and cannot be had, or is not needed.
    """

    backend: str
    target_kind: str
    pool: str
    slots: int
    options: Mapping[str, object]
    resources: Resources
    is_here: bool = True
    notes: tuple[str, ...] = ()

    @property
    def is_container(self) -> bool:
        """Whether the job runs in a container."""
        return self.backend == CONTAINERS

    def ask(self, priority: int) -> Ask:
        """What the runner is asked for."""
        resources = self.resources if self.is_here else Resources()
        return Ask(self.slots, priority, self.pool, resources)


def place(
    folder: WorkspaceFolder,
    config: RunConfiguration,
    resources: Resources | None = None,
    options: Mapping[str, object] | None = None,
    liked_gpus: int | None = None,
) -> Place:
    """Where the run of that configuration goes; an error when it cannot go there.

    ``liked_gpus`` are for a run that asks for none itself: as many of them as there are.
    """
    target, target_kind = _target(folder, config)
    goes_in = target.backend == LOCAL and _asks_for_container(config, target_kind)
    kind = CONTAINERS if goes_in else target.backend
    place_of = backend(kind)
    settings = place_of.merge(
        target.options, place_of.merge(_docker_options(config), options or {})
    )
    wanted = resources or Resources()
    if wanted.gpus is None:
        wanted = replace(wanted, gpus=place_of.gpus_in(settings))
    notes = [*target.notes, *_notes(config, kind)]
    if wanted.gpus is None:
        gpus, note = _unasked_gpus(liked_gpus or 0, target.gpus)
        wanted = replace(wanted, gpus=gpus)
        notes += [note] if note else []
    probe = place_of.probe(settings)
    if not probe.usable:
        raise ComputeTargetException(
            f"Target {config.target} cannot be used here: {probe.reason}.",
            to_use_it(probe),
        )
    is_here = bool(probe.facts.get("is_here", True))
    if is_here:
        _refuse_impossible(wanted)
    slots = target.slots or _slots(folder)
    return Place(kind, target_kind, target.pool, slots, settings, wanted, is_here, tuple(notes))


def _target(folder: WorkspaceFolder, config: RunConfiguration) -> tuple[Placement, str]:
    """Where runs of the target go, and its type."""
    if config.target == POOL and POOL not in folder.target_entries():
        return for_one_run(config.amlcompute.vm_size), POOL
    return placement(folder, config.target), entry_of(folder, config.target).kind


def _unasked_gpus(liked: int, of_target: int | None) -> tuple[int | None, str]:
    """The GPUs of a run that asks for none: those it likes, or its target's if they are more."""
    if of_target != ALL_GPUS and liked > (of_target or 0):
        return _as_there_are(liked)
    return of_target, ""


def _as_there_are(liked: int) -> tuple[int, str]:
    """So many GPUs, or those that there are, and what to say of that."""
    there = gpus_here()
    if there is None or there >= liked:
        return liked, ""
    return there, f"It would use {liked} GPU(s); this machine has {there or 'none'}."


def _asks_for_container(config: RunConfiguration, target_kind: str) -> bool:
    """Whether a run that would be a bare process has to be in a container.

    On clusters v1 ran everything in containers, so its own images say nothing there; on the
    local target asking for Docker meant Docker.
    """
    if policy.is_stood_in_for(config.environment):
        return False
    asked = config.docker.use_docker or config.environment.docker.enabled
    return config.environment.docker.has_own_image if target_kind in ON_THIS_MACHINE else asked


def _docker_options(config: RunConfiguration) -> dict[str, object]:
    """What v1's docker configuration says, in the words of the backend."""
    docker, section = config.docker, config.environment.docker
    arguments = [*section.arguments, *docker.arguments] if docker.use_docker else section.arguments
    said: dict[str, object] = {"arguments": list(dict.fromkeys(arguments))} if arguments else {}
    for size in (section.shm_size, docker.shm_size):
        if size and size != _DEFAULT_SHM_SIZE:
            said["shm_size"] = size
    return said


def _notes(config: RunConfiguration, kind: str) -> list[str]:
    asked = config.docker.use_docker or config.environment.docker.enabled
    if not asked or kind != LOCAL:
        return []
    if policy.is_stood_in_for(config.environment):
        return [f"It asks for Docker; with {policy.VARIABLE}=present it is a bare process."]
    return ["It asks for Docker with v1's own image, which here is a bare process."]


def _refuse_impossible(resources: Resources) -> None:
    message, _, remedy = (impossible_here(resources) or "").partition("\n")
    if message:
        raise RunConfigurationException(message, remedy or "`aml queue` shows what there is.")


def _slots(folder: WorkspaceFolder) -> int:
    """How many runs of this machine may go at once: variable, targets.yaml, number of cores."""
    asked = os.environ.get(SLOTS_VARIABLE) or placement(folder, LOCAL).slots
    if asked is None:
        return max(2, os.cpu_count() or 1)
    if not str(asked).isdigit() or int(asked) < 1:
        raise RunConfigurationException(
            f"The number of slots is {asked!r}, which is not a whole number above 0.",
            f"Set {SLOTS_VARIABLE}, for example to 2, or `slots` of `local` in targets.yaml.",
        )
    return int(asked)
