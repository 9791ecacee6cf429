"""How a notebook is executed, as a frozen record that crosses every boundary as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

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
