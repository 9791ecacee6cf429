"""How a notebook is executed, as a frozen record that crosses every boundary as JSON."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .requirements import normalised, pip_name

if TYPE_CHECKING:
    from .environment import Environment

EXECUTED_BY = ("papermill", "ipykernel")
"""The packages that a notebook is executed by, in the interpreter of its run."""

DEFAULT_KERNEL_START = 60.0
"""Seconds that a kernel may take to start."""


@dataclass(frozen=True)
class NotebookSpec:
    """What a notebook is executed with.

    ``output`` is where the executed notebook goes, below the working directory. ``kernel`` names
    a kernelspec; without it a Python notebook runs on the job's interpreter, another one on the
    kernelspec that it names. A cell may take ``cell_timeout`` seconds; 0 for ever. ``replay``
    is the number of code cells at the beginning that are run once more only for their state.
    """

    parameters: Mapping[str, object] = field(default_factory=dict)
    output: str = ""
    kernel: str | None = None
    cell_timeout: float = 0.0
    start_timeout: float = DEFAULT_KERNEL_START
    replay: int = 0

    def to_json(self) -> dict[str, object]:
        """The ``notebook`` entry of a job."""
        return {**vars(self), "parameters": dict(self.parameters)}

    @classmethod
    def from_json(cls, record: object) -> NotebookSpec | None:
        """The notebook in ``record``; None where there is none. What is missing has its default."""
        if not isinstance(record, Mapping):
            return None
        known = {name: record[name] for name in cls.__dataclass_fields__ if name in record}
        return cls(**known)


def able_to_execute_notebooks(environment: Environment) -> Environment:
    """A copy that has the packages that notebooks are executed by.

    One that is managed by its user is left as it is.
    """
    made = copy.deepcopy(environment)
    packages = made.python.conda_dependencies
    if made.python.user_managed_dependencies or packages is None:
        return made
    there = {normalised(pip_name(entry)) for entry in packages.pip_packages}
    there |= {entry.partition("=")[0].strip() for entry in packages.conda_packages}
    for name in EXECUTED_BY:
        if name not in there:
            packages.add_pip_package(name)
    return made
