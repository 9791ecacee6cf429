"""What is asked of a list of runs: conditions, apart from how they are looked for."""

from __future__ import annotations

from dataclasses import dataclass

NO, ALSO, ONLY = "no", "yes", "only"
"""What may be asked of runs that lists leave out."""

EXACTLY = "=="
"""A relation of texts: neither parts of names nor another case will do."""

METRIC = "metric."
"""Begins an order by a metric, or a condition on one."""


@dataclass(frozen=True)
class Condition:
    """What runs have, or where ``negated`` have not.

    ``kind`` is text, state, experiment, notebook, target, parent, id, tag, metric or created;
    ``key`` the name of the tag or metric, whose ``value`` is None where any will do.
    """

    kind: str
    value: str | float | None = None
    key: str = ""
    relation: str = "="
    negated: bool = False


@dataclass(frozen=True)
class Selection:
    """Which runs: those that meet every condition; of a state, a name or an id, any of several."""

    conditions: tuple[Condition, ...] = ()
    archived: str = NO
    children: str = NO
