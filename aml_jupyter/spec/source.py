"""Source: the code that a run takes along."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Source:
    """A folder (or none), with ``files`` laid over it, and what is known about where they are from.

    ``files`` maps names relative to the folder to their bytes;
    ``facts`` go into the run's ``source`` entry, such as ``{"kind": "cell"}``.
    """

    directory: str | None
    files: Mapping[str, bytes] = field(default_factory=dict)
    facts: Mapping[str, object] = field(default_factory=dict)
