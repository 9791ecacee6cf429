"""Where jobs run. A table of names, each imported on first use.

Packages add their own under the entry point group ``aml_jupyter.backends``; a name that is
taken is an error, never a replacement.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from importlib.metadata import entry_points

from ..errors import ComputeTargetException
from .base import Backend, Capabilities, Handle, Job, JobStatus, Plan, Probe, Setting

__all__ = [
    "CONTAINERS",
    "Backend",
    "Capabilities",
    "Handle",
    "Job",
    "JobStatus",
    "Plan",
    "Probe",
    "Setting",
    "backend",
    "names",
]

CONTAINERS = "docker"
"""The backend that v1's ``use_docker`` means."""

_BUILT_IN = {
    "docker": "aml_jupyter.backends.docker:DockerBackend",
    "local": "aml_jupyter.backends.local:LocalBackend",
}
_GROUP = "aml_jupyter.backends"


@cache
def backend(name: str) -> Backend:
    """The backend of that name."""
    place = _BUILT_IN.get(name) or _added().get(name)
    if place is None:
        raise ComputeTargetException(
            f"There is no kind of compute target named {name!r}.",
            f"There are {', '.join(names())}.",
        )
    module, _, attribute = place.partition(":")
    kind = getattr(import_module(module), attribute)
    made: Backend = kind()
    return made


def names() -> list[str]:
    """The names of all backends."""
    return sorted({*_BUILT_IN, *_added()})


def _added() -> dict[str, str]:
    found: dict[str, str] = {}
    for entry in entry_points(group=_GROUP):
        if entry.name in _BUILT_IN or entry.name in found:
            raise ComputeTargetException(
                f"Two backends are named {entry.name!r}: {entry.value} and "
                f"{_BUILT_IN.get(entry.name) or found[entry.name]}.",
                "Uninstall one of the packages, or rename its entry point.",
            )
        found[entry.name] = entry.value
    return found
