"""Long lists of runs: which of them match, in which order, in which groups, a page at a time.

Every condition is a question that one index of the database answers with the numbers of runs, and
every order another; both are remembered until something changes. What is left, which runs of an
order have what all conditions ask for, is a look at a few bytes a run.
"""

from __future__ import annotations

import json
import re
import sqlite3
import time
from array import array
from bisect import bisect_left
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fnmatch import translate
from typing import Any, TypeVar

from ..job import states
from .conditions import ALSO as ALSO
from .conditions import EXACTLY, METRIC, ONLY
from .conditions import Condition as Condition
from .conditions import Selection as Selection

GROUPS = {"experiment": "experiment", "notebook": "notebook", "sweep": "parent"}
"""What runs are grouped by, and where it is kept."""

ORDERS = ("live", "created", "name", "status", "duration")
BY_PROGRESS = (
    *(states.RUNNING, states.FINALIZING, states.CANCEL_REQUESTED, states.STARTING),
    *("Provisioning", states.PREPARING, states.QUEUED, states.NOT_STARTED),
    *("Paused", "Pausing", "NotResponding", "Unapproved"),
    *(states.FAILED, states.CANCELED, states.COMPLETED),
)
"""States as a list shows them: what goes on first, what went well last."""

_ALTERNATIVES = frozenset({"state", "experiment", "notebook", "target", "parent", "id"})
_REMEMBERED = 24
_DIGITS = re.compile(r"\d+")
T = TypeVar("T")


@dataclass(frozen=True)
class Group:
    """The runs of one experiment, notebook or sweep; ``newest`` is when its last one was made."""

    key: str
    name: str
    total: int
    live: int
    failed: int
    newest: float


class Listing:
    """Answers from the tables of an index, which says when they have changed."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        self._facts: OrderedDict[Any, Any] = OrderedDict()
        self._numbers: OrderedDict[Any, Any] = OrderedDict()

    def facts_changed(self) -> None:
        """Runs have come, gone or become other."""
        self._facts.clear()
        self._numbers.clear()

    def metrics_changed(self) -> None:
        """Only last values of metrics are other."""
        self._numbers.clear()

    # Answers

    def runs(
        self, selection: Selection, order: str, descending: bool, group: tuple[str, str] | None
    ) -> Sequence[int]:
        """The numbers of all runs that match, in that order."""
        asked = ("runs", selection, order, descending, group)
        if order == "duration":
            return self._select(*asked[1:])
        return _once(self._numbers, asked, lambda: self._select(*asked[1:]))

    def _select(
        self, selection: Selection, order: str, descending: bool, group: tuple[str, str] | None
    ) -> array[int]:
        mask = self._mask_of(selection, group)
        ordered = self._ordered(order, descending)
        return array("q", [run for run in ordered if mask[run]])

    def groups(self, selection: Selection, by: str) -> tuple[int, list[Group]]:
        """How many runs match, and their groups, the one with the newest run first."""
        group_of = self._group_of(by)
        mask = self._mask_of(selection, (by, ""), any_key=True)
        runs = [run for run in self._newest() if mask[run]]
        keys = [group_of[run] for run in runs]
        totals = Counter(keys)
        newest = dict(zip(reversed(keys), reversed(runs), strict=True))
        live = self._counted(runs, group_of, self._live_mask())
        failed = self._counted(runs, group_of, self._state_mask((states.FAILED,)))
        created = self._column("created", newest.values())
        names = self._names(totals) if by == "sweep" else {}
        found = [
            Group(key, names.get(key, key), total, live[key], failed[key], created[newest[key]])
            for key, total in totals.items()
        ]
        return len(runs), found

    def words(self, column: str) -> list[str]:
        """The different experiments, notebooks or targets, or keys of tags, or names of metrics."""
        table, name = {"tag": ("tags", "key"), "metric": ("metrics", "name")}.get(
            column, ("runs", column)
        )
        found = _once(self._numbers, ("words", column), lambda: self._distinct(table, name))
        return list(found)

    def tag_values(self, key: str, most: int) -> list[str]:
        """Values that a tag has, some of them where there are more than ``most``."""
        rows = self._rows(
            "SELECT DISTINCT value FROM tags WHERE key = ? AND value IS NOT NULL LIMIT ?",
            key,
            most,
        )
        return [value for (value,) in rows]

    def tally(self, since: float) -> tuple[dict[str, int], int]:
        """How many runs lists show in each state, and how many have failed since then."""
        failed = (
            "SELECT count(*) FROM runs WHERE NOT archived AND parent IS NULL "
            "AND status = 'Failed' AND ended >= ?"
        )

        def ask() -> tuple[dict[str, int], int]:
            states_of = dict(self._rows("SELECT status, runs FROM tally WHERE runs"))
            return states_of, int(self._rows(failed, since)[0][0])

        return _once(self._facts, ("tally", since), ask)

    # Which

    def _mask_of(
        self, selection: Selection, group: tuple[str, str] | None, any_key: bool = False
    ) -> bytes:
        """A byte for each run by number: whether it matches."""
        grouped_by = group[0] if group else ""
        masks = [self._scope(selection, of_sweeps=grouped_by == "sweep")]
        if group and not any_key:
            masks.append(self._group_mask(*group))
        either: dict[str, list[Condition]] = {}
        for condition in selection.conditions:
            is_any = condition.kind in _ALTERNATIVES and condition.relation != EXACTLY
            if is_any and not condition.negated:
                either.setdefault(condition.kind, []).append(condition)
            else:
                masks.append(self._meeting(condition))
        for conditions in either.values():
            masks.append(self._united([self._meeting(each) for each in conditions]))
        return self._common(masks)

    def _meeting(self, condition: Condition) -> bytes:
        """The runs that meet one condition."""
        kept = self._numbers if condition.kind == "metric" else self._facts
        found: bytes = _once(kept, condition, lambda: self._mask(self._found(condition)))
        return self._without(found) if condition.negated else found

    def _found(self, condition: Condition) -> list[int]:
        ask: Callable[[Condition], list[int]] = getattr(self, f"_by_{condition.kind}")
        return ask(condition)

    def _by_text(self, condition: Condition) -> list[int]:
        text = str(condition.value).casefold()
        return self._ids("SELECT run FROM words WHERE instr(words, ?)", _plain(text))

    def _by_state(self, condition: Condition) -> list[int]:
        return self._among("status", str(condition.value).split(","))

    def _by_experiment(self, condition: Condition) -> list[int]:
        return self._by_name(condition)

    def _by_notebook(self, condition: Condition) -> list[int]:
        return self._by_name(condition)

    def _by_target(self, condition: Condition) -> list[int]:
        return self._by_name(condition)

    def _by_name(self, condition: Condition) -> list[int]:
        value = str(condition.value)
        is_exact = condition.relation == EXACTLY
        names = [_plain(value)] if is_exact else _meant(value, self.words(condition.kind))
        return self._among(condition.kind, names)

    def _by_parent(self, condition: Condition) -> list[int]:
        return self._beginning("parent", condition)

    def _by_id(self, condition: Condition) -> list[int]:
        return self._beginning("id", condition)

    def _by_created(self, condition: Condition) -> list[int]:
        return self._ids(
            f"SELECT run FROM runs WHERE created {_operator(condition)} ?", condition.value
        )

    def _by_tag(self, condition: Condition) -> list[int]:
        keys = [key for key in self.words("tag") if key.casefold() == condition.key.casefold()]
        if condition.relation == EXACTLY:
            keys = [_plain(condition.key)]
        sql = "SELECT run FROM tags WHERE key IN (SELECT value FROM json_each(?))"
        if condition.value is None:
            return self._ids(sql, json.dumps(keys))
        value = _plain(str(condition.value))
        if condition.relation == EXACTLY:
            return self._ids(f"{sql} AND value = ?", json.dumps(keys), value)
        if "*" not in value:
            return self._ids(f"{sql} AND lower(value) = lower(?)", json.dumps(keys), value)
        return self._ids(f"{sql} AND lower(value) GLOB lower(?)", json.dumps(keys), _glob(value))

    def _by_metric(self, condition: Condition) -> list[int]:
        name = _plain(condition.key)
        if condition.value is None:
            return self._ids("SELECT run FROM metrics WHERE name = ?", name)
        where = f"name = ? AND last {_operator(condition)} ?"
        return self._ids(f"SELECT run FROM metrics WHERE {where}", name, condition.value)

    def _beginning(self, column: str, condition: Condition) -> list[int]:
        start = _plain(str(condition.value).rstrip("*"))
        where = f"{column} >= ? AND {column} < ?"
        return self._ids(f"SELECT run FROM runs WHERE {where}", start, start + "\U0010ffff")

    def _among(self, column: str, values: Sequence[str]) -> list[int]:
        where = f"{column} IN (SELECT value FROM json_each(?))"
        return self._ids(f"SELECT run FROM runs WHERE {where}", json.dumps(list(values)))

    def _scope(self, selection: Selection, of_sweeps: bool) -> bytes:
        """The runs that a list shows before any condition.

        Those of sweeps are children, and runs that are neither child nor parent.
        """
        masks = []
        if selection.archived != ALSO:
            archived = self._kept_mask("archived", "SELECT run FROM runs WHERE archived")
            masks.append(archived if selection.archived == ONLY else self._without(archived))
        asks_parent = any(c.kind == "parent" and not c.negated for c in selection.conditions)
        if of_sweeps:
            masks.append(self._without(self._parents()))
        elif selection.children != ALSO and not asks_parent:
            children = self._children()
            masks.append(children if selection.children == ONLY else self._without(children))
        return self._common(masks or [self._all()])

    def _children(self) -> bytes:
        return self._kept_mask("children", "SELECT run FROM runs WHERE parent IS NOT NULL")

    def _parents(self) -> bytes:
        return self._kept_mask(
            "parents",
            "SELECT run FROM runs WHERE id IN (SELECT DISTINCT parent FROM runs "
            "WHERE parent IS NOT NULL)",
        )

    def _live_mask(self) -> bytes:
        return self._kept_mask("live", "SELECT run FROM runs WHERE live")

    def _state_mask(self, wanted: tuple[str, ...]) -> bytes:
        return self._meeting(Condition("state", ",".join(wanted)))

    def _group_mask(self, by: str, key: str) -> bytes:
        column = GROUPS[by]
        where = f"{column} = ?" if key else f"{column} IS NULL"
        values = [_plain(key)] if key else []
        asked = ("group", by, key)
        found: bytes = _once(
            self._facts,
            asked,
            lambda: self._mask(self._ids(f"SELECT run FROM runs WHERE {where}", *values)),
        )
        return found

    def _kept_mask(self, name: str, sql: str) -> bytes:
        found: bytes = _once(self._facts, name, lambda: self._mask(self._ids(sql)))
        return found

    def _all(self) -> bytes:
        found: bytes = _once(self._facts, "all", lambda: self._mask(self._newest()))
        return found

    def _mask(self, runs: Iterable[int]) -> bytes:
        mask = bytearray(self._size())
        for run in runs:
            mask[run] = 1
        return bytes(mask)

    def _size(self) -> int:
        found: int = _once(
            self._facts,
            "size",
            lambda: 1 + int(self._rows("SELECT coalesce(max(run), 0) FROM runs")[0][0]),
        )
        return found

    def _common(self, masks: Sequence[bytes]) -> bytes:
        common = int.from_bytes(masks[0], "little")
        for mask in masks[1:]:
            common &= int.from_bytes(mask, "little")
        return common.to_bytes(self._size(), "little")

    def _united(self, masks: Sequence[bytes]) -> bytes:
        united = 0
        for mask in masks:
            united |= int.from_bytes(mask, "little")
        return united.to_bytes(self._size(), "little")

    def _without(self, mask: bytes) -> bytes:
        every = int.from_bytes(self._all(), "little")
        left = every & ~int.from_bytes(mask, "little")
        return left.to_bytes(self._size(), "little")

    # In which order

    def _ordered(self, order: str, descending: bool) -> Sequence[int]:
        if order.startswith(METRIC):
            return self._by_last(order.removeprefix(METRIC), descending)
        if order == "duration":
            return self._by_duration(descending)
        if order == "status":
            return self._by_status(descending)
        if order == "name":
            names = self._kept_order("name", "SELECT run FROM runs ORDER BY name, created DESC")
            return names[::-1] if descending else names
        newest = self._live_first() if order == "live" else self._newest()
        return newest if descending else newest[::-1]

    def _newest(self) -> array[int]:
        return self._kept_order("newest", "SELECT run FROM runs ORDER BY created DESC, run DESC")

    def _live_first(self) -> array[int]:
        live = self._live_mask()
        newest = self._newest()

        def order() -> array[int]:
            going_on = [run for run in newest if live[run]]
            return array("q", [*going_on, *(run for run in newest if not live[run])])

        found: array[int] = _once(self._facts, "live first", order)
        return found

    def _by_status(self, descending: bool) -> list[int]:
        shown = reversed(BY_PROGRESS) if descending else BY_PROGRESS
        found: list[int] = []
        for state in shown:
            found += self._ids(
                "SELECT run FROM runs WHERE status = ? ORDER BY created DESC, run DESC", state
            )
        return self._with_rest(found)

    def _by_last(self, metric: str, descending: bool) -> list[int]:
        """By a metric's last value; runs without one come last."""
        found = self._ids(
            "SELECT run FROM metrics WHERE name = ? AND last IS NOT NULL ORDER BY last", metric
        )
        if descending:
            found.reverse()
        return self._with_rest(found)

    def _by_duration(self, descending: bool) -> list[int]:
        """By the time from start to end, or to now; runs that never started come last."""
        ended, durations = self._took()
        runs, took = list(ended), list(durations)
        now = time.time()
        for run, started in self._rows("SELECT run, started FROM runs WHERE live"):
            if started is not None:
                elapsed = round(1e3 * (now - started))
                place = bisect_left(took, elapsed)
                runs.insert(place, run)
                took.insert(place, elapsed)
        if descending:
            runs.reverse()
        return self._with_rest(runs)

    def _took(self) -> tuple[Sequence[int], Sequence[int]]:
        """Runs that ended, the shortest first, and how many milliseconds they took."""

        def ask() -> tuple[array[int], array[int]]:
            where = "WHERE took IS NOT NULL ORDER BY took"
            runs = self._ids(f"SELECT run FROM runs {where}")
            milliseconds = f"SELECT CAST(took * 1000 AS INTEGER) AS ms FROM runs {where}"
            took = self._ids(milliseconds, column="ms")
            return array("q", runs), array("q", took)

        found: tuple[Sequence[int], Sequence[int]] = _once(self._facts, "took", ask)
        return found

    def _with_rest(self, first: list[int]) -> list[int]:
        known = self._mask(first)
        return [*first, *(run for run in self._newest() if not known[run])]

    def _kept_order(self, name: str, sql: str) -> array[int]:
        found: array[int] = _once(self._facts, ("order", name), lambda: array("q", self._ids(sql)))
        return found

    # In which groups

    def _group_of(self, by: str) -> list[str]:
        """The key of each run's group by its number; empty for those of none."""
        column = GROUPS[by]

        def ask() -> list[str]:
            found = [""] * self._size()
            sql = f"SELECT {column}, group_concat(run) FROM runs WHERE {column} IS NOT NULL"
            for key, runs in self._rows(f"{sql} GROUP BY {column}"):
                for run in json.loads(f"[{runs}]"):
                    found[run] = key
            return found

        found: list[str] = _once(self._facts, ("groups", by), ask)
        return found

    @staticmethod
    def _counted(runs: Sequence[int], group_of: list[str], mask: bytes) -> Counter[str]:
        return Counter([group_of[run] for run in runs if mask[run]])

    def _names(self, ids: Iterable[str]) -> dict[str, str]:
        where = "id IN (SELECT value FROM json_each(?))"
        rows = self._rows(f"SELECT id, display_name FROM runs WHERE {where}", json.dumps(list(ids)))
        return {run_id: name or run_id for run_id, name in rows}

    def _column(self, column: str, runs: Iterable[int]) -> dict[int, Any]:
        where = "run IN (SELECT value FROM json_each(?))"
        return dict(
            self._rows(f"SELECT run, {column} FROM runs WHERE {where}", json.dumps(list(runs)))
        )

    # The database

    def _distinct(self, table: str, column: str) -> list[str]:
        """Different values, found by leaping from one to the next instead of reading all."""
        return [
            value
            for (value,) in self._rows(
                f"WITH RECURSIVE each(value) AS (SELECT min({column}) FROM {table} UNION ALL "
                f"SELECT (SELECT min({column}) FROM {table} WHERE {column} > each.value) "
                "FROM each WHERE each.value IS NOT NULL) "
                "SELECT value FROM each WHERE value IS NOT NULL"
            )
        ]

    def _ids(self, sql: str, *values: Any, column: str = "run") -> list[int]:
        """One column of numbers as a whole: row by row they would take three times as long."""
        text = self._rows(f"SELECT group_concat({column}) FROM ({sql})", *values)[0][0]
        return list(json.loads(f"[{text or ''}]"))

    def _rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        return self._database.execute(sql, values).fetchall()


def sort_key(name: str) -> str:
    """What sorts names as people do: whatever the case, and 9 before 10."""
    return _DIGITS.sub(lambda digits: f"{len(digits[0]):03}{digits[0]}", name.casefold())


def _once(kept: OrderedDict[Any, Any], key: Any, ask: Callable[[], T]) -> T:
    """What was answered before, or else what is answered now, to be remembered for a while."""
    if key in kept:
        kept.move_to_end(key)
        return kept[key]  # type: ignore[no-any-return]
    found = kept[key] = ask()
    while len(kept) > _REMEMBERED:
        kept.popitem(last=False)
    return found


def _meant(wanted: str, known: Sequence[str]) -> list[str]:
    """The names meant: the one that is so called, else all that it is a part of."""
    wanted = wanted.casefold()
    if "*" in wanted:
        fits = re.compile(translate(wanted.replace("[", "[[]").replace("?", "[?]"))).fullmatch
        return [name for name in known if fits(name.casefold())]
    exact = [name for name in known if name.casefold() == wanted]
    return exact or [name for name in known if wanted in name.casefold()]


def _operator(condition: Condition) -> str:
    return {"!=": "<>"}.get(condition.relation, condition.relation)


def _glob(value: str) -> str:
    return re.sub(r"([?\[])", r"[\1]", value)


def _plain(text: str) -> str:
    return text.encode(errors="backslashreplace").decode()
