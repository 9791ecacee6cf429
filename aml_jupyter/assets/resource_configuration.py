"""What a model wants of the machine that serves it."""

from __future__ import annotations

from aml_jupyter.errors import WebserviceException

from .keywords import says_its_keywords

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Mapping


class ResourceConfiguration:
    """What a model wants of the machine that serves it."""

    @says_its_keywords
    def __init__(
        self,
        cpu: float | None = None,
        memory_in_gb: float | None = None,
        gpu: int | None = None,
    ) -> None:
        self.cpu = cpu
        self.memory_in_gb = memory_in_gb
        self.gpu = gpu
        for name, value in vars(self).items():
            if value is not None and (not isinstance(value, (int, float)) or value < 0):
                raise WebserviceException(
                    f"{name}={value!r} is not an amount.", "Give a number that is not negative."
                )

    def serialize(self) -> dict[str, Any]:
        """The wishes with v1's keys."""
        return {"cpu": self.cpu, "memoryInGB": self.memory_in_gb, "gpu": self.gpu}

    @staticmethod
    def _of(wishes: Mapping[str, Any] | None) -> ResourceConfiguration | None:
        if wishes is None:
            return None
        return ResourceConfiguration(wishes["cpu"], wishes["memoryInGB"], wishes["gpu"])

    def __repr__(self) -> str:
        return (
            f"ResourceConfiguration(cpu={self.cpu}, memory_in_gb={self.memory_in_gb}, "
            f"gpu={self.gpu})"
        )
