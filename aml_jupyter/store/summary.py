"""What a list shows of a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class RunSummary:
    """One line of a list of runs."""

    id: str
    folder: str
    experiment: str
    number: int
    type: str | None
    parent: str | None
    status: str
    created: float
    started: float | None
    ended: float | None
    target: str
    display_name: str
    archived: bool
    notebook: str | None
    tags: Mapping[str, str | None] = field(default_factory=dict)
    properties: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
