"""Lists of runs for who shows them: filtered, sorted, in groups, a page at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import UserErrorException
from ..spec.words import near
from ..store import RunSummary
from ..store.conditions import METRIC, Selection
from ..store.listing import GROUPS, ORDERS, Group
from . import run_filter

if TYPE_CHECKING:
    from ..store import Index

__all__ = ["FilterWords", "Group", "RunsPage", "filter_words", "list_runs", "run_groups"]

_ASCENDING = frozenset({"name", "status"})
_MOST_WORDS = 1000


@dataclass(frozen=True)
class RunsPage:
    """A stretch of a list of runs: how many match in all, and those from ``offset`` on."""

    total: int
    offset: int
    runs: Sequence[RunSummary]


@dataclass(frozen=True)
class FilterWords:
    """What a filter line can be completed with, under the names that the wire has."""

    states: Sequence[str]
    experiments: Sequence[str]
    notebooks: Sequence[str]
    targets: Sequence[str]
    tags: Sequence[str]
    metrics: Sequence[str]


def list_runs(
    index: Index,
    filter: str | Selection = "",
    sort: str = "live",
    descending: bool | None = None,
    by: str | None = None,
    group: str | None = None,
    offset: int = 0,
    limit: int = 100,
) -> RunsPage:
    """A page of the runs that match, in order.

    ``sort`` is ``live`` (what has not ended first, then the newest), ``created``, ``name``,
    ``status``, ``duration``, or ``metric.NAME`` for its last value; names and states ascend
    unless ``descending`` says otherwise, all else descends. ``by`` and ``group`` leave only one
    group of :func:`run_groups`.
    """
    if not sort.startswith(METRIC) and sort not in ORDERS:
        raise UserErrorException(
            f"Runs cannot be sorted by {sort!r}.", f"{near(sort, (*ORDERS, METRIC + 'NAME'))}"
        )
    descends = sort not in _ASCENDING if descending is None else descending
    of_group = (_grouping(by), group or "") if by else None
    offset = max(0, offset)
    total, runs = index.page(_selected(filter), sort, descends, of_group, offset, limit)
    return RunsPage(total, offset, runs)


def run_groups(index: Index, by: str, filter: str | Selection = "") -> tuple[int, Sequence[Group]]:
    """How many runs match, and their groups, the one with the newest run first.

    ``by`` is ``experiment``, ``notebook`` or ``sweep``. Runs of no notebook or no sweep are a
    group with an empty key. A sweep is the run that others belong to: its group has those.
    """
    return index.groups(_selected(filter), _grouping(by))


def filter_words(index: Index) -> FilterWords:
    """The names that a filter line can be completed with."""
    names = {
        column: index.words(column)[:_MOST_WORDS]
        for column in ("experiment", "notebook", "target", "tag", "metric")
    }
    return FilterWords(run_filter.STATES, *names.values())


def completions(index: Index, word: str) -> list[str]:
    """What the last word of a filter line may become."""
    sign, word = ("-", word[1:]) if word.startswith("-") else ("", word)
    return [sign + each for each in _completions(index, word) if each.startswith(word)]


def _completions(index: Index, word: str) -> Sequence[str]:
    name, colon, rest = word.partition(":")
    if word.startswith(METRIC):
        return [METRIC + quoted(each) for each in index.words("metric")[:_MOST_WORDS]]
    if not colon:
        return [METRIC if key == "metric" else f"{key}:" for key in run_filter.KEYS]
    if name == "tag" and "=" in rest:
        key = rest.partition("=")[0]
        values = index.tag_values(key, _MOST_WORDS)
        return [f"tag:{quoted(key)}={quoted(each)}" for each in values]
    known: Mapping[str, Sequence[str]] = {
        "state": run_filter.STATES,
        "since": ("today", "yesterday", "1h", "12h", "7d", "30d"),
        "archived": ("yes", "only"),
        "children": ("yes", "only"),
    }
    words = known.get(name)
    if words is None and name in ("experiment", "notebook", "target", "tag"):
        words = index.words(name)[:_MOST_WORDS]
    return [f"{name}:{quoted(each)}" for each in words or ()]


def quoted(word: str) -> str:
    """A name as a filter line takes it."""
    if word and not any(sign.isspace() or sign in '"<>=!,*\\' for sign in word):
        return word
    escaped = word.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _selected(filter: str | Selection) -> Selection:
    return run_filter.parse(filter) if isinstance(filter, str) else filter


def _grouping(by: str | None) -> str:
    if by not in GROUPS:
        raise UserErrorException(f"Runs cannot be grouped by {by!r}.", near(str(by), tuple(GROUPS)))
    return by
