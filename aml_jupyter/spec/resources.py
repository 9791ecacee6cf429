"""What a job asks of a machine: GPUs, processors, memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

ALL_GPUS = -1
"""``Resources.gpus`` of a job that wants every GPU there is."""


@dataclass(frozen=True)
class Resources:
    """What a job asks for; it waits until it can have all of it at once.

    ``gpus`` is None for a job that does not say: it gets no lease and sees what its submitter
    sees. 0 means that it shall see none. With ``gpu_memory`` (bytes on each GPU) GPUs are shared
    with other jobs that say how much they need; without, they are the job's alone.
    ``cpus`` and ``memory`` (bytes) of 0 are not asked for.
    """

    gpus: int | None = None
    gpu_memory: int = 0
    cpus: float = 0.0
    memory: int = 0

    def to_json(self) -> dict[str, object]:
        """The fields that ask for something."""
        fields = {"gpu_memory": self.gpu_memory, "cpus": self.cpus, "memory": self.memory}
        said: dict[str, object] = {name: value for name, value in fields.items() if value}
        return said if self.gpus is None else {"gpus": self.gpus, **said}

    @classmethod
    def from_json(cls, record: object) -> Resources:
        """The resources in ``record``; what is missing or of another kind is not asked for."""
        if not isinstance(record, Mapping):
            return cls()
        gpus = record.get("gpus")
        return cls(
            gpus if isinstance(gpus, int) else None,
            int(_number(record, "gpu_memory")),
            _number(record, "cpus"),
            int(_number(record, "memory")),
        )


def _number(record: Mapping[str, object], key: str) -> float:
    value = record.get(key)
    return value if isinstance(value, (int, float)) else 0
