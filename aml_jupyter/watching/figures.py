"""Which charts there are of what runs have logged, and which lines are in each."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .markup import clean, short
from .svg import line_style

if TYPE_CHECKING:
    from ..store.series import Line, MetricFeed

MOST_LINES = 24
"""Lines in one chart."""


@dataclass(frozen=True)
class Source:
    """One run's numbers, with what its lines are called and coloured."""

    label: str
    feed: MetricFeed
    started: float | None
    """Seconds since the epoch; None when it is not known."""
    colour_from: int
    """Where in the palette its colours begin."""
    run: str = ""
    """The id of the run."""


@dataclass(frozen=True)
class Trace:
    """One line to be drawn."""

    label: str
    line: Line
    started: float
    """Seconds since the epoch at which its relative time is 0."""
    colour: str
    dash: str
    run: str = ""
    """The id of its run."""


@dataclass(frozen=True)
class Group:
    """The metrics of one chart."""

    key: str
    """Stays the same while the grouping does."""
    title: str
    names: tuple[str, ...]


class Choice:
    """The charts that a filter and a grouping make of all metrics; found anew only if need be."""

    def __init__(self) -> None:
        self.metrics = 0
        self.matching = 0
        self._key: object = None
        self._groups: list[Group] = []

    def groups(self, sources: Sequence[Source], options: Mapping[str, Any]) -> list[Group]:
        """The charts, in the order in which their first metric appeared."""
        names = [source.feed.names for source in sources]
        feeds = [id(source.feed) for source in sources]
        key = (feeds, [len(own) for own in names], options["filter"], options["grouping"])
        if key != self._key:
            self._key = key
            everything = list(dict.fromkeys(name for own in names for name in own))
            words = str(options["filter"]).casefold().split()
            matching = [name for name in everything if _holds(name.casefold(), words)]
            self.metrics, self.matching = len(everything), len(matching)
            self._groups = list(_grouped(matching, str(options["grouping"])))
        return self._groups


def _holds(name: str, words: Sequence[str]) -> bool:
    return all(word in name for word in words)


def _grouped(names: Sequence[str], grouping: str) -> Iterator[Group]:
    if grouping == "one":
        if names:
            title = names[0] if len(names) == 1 else "All metrics"
            yield Group("one", _title(title), tuple(names))
        return
    if grouping == "each":
        yield from (Group(f"each {name}", _title(name), (name,)) for name in names)
        return
    parts: dict[str, list[str]] = {}
    for name in names:
        head, slash, _ = name.partition("/")
        parts.setdefault(head + slash, []).append(name)
    for part, own in parts.items():
        title = f"{part}…" if len(own) > 1 else own[0]
        yield Group(f"prefix {part}", _title(title), tuple(own))


def _title(name: str) -> str:
    return short(clean(name), 200)


def traces(group: Group, sources: Sequence[Source]) -> list[Trace]:
    """The lines of a chart, labelled by what tells them apart."""
    found = list(itertools.islice(_lines(group, sources), MOST_LINES))
    several_names = len({one.line.name for one in found}) > 1
    several_runs = len({one.run for one in found}) > 1
    nth: dict[int, int] = {}
    drawn = []
    for one in found:
        source = sources[one.run]
        parts = [one.line.name] if several_names else []
        parts += [source.label] if several_runs else []
        parts += [f"process {one.process}"] if one.process else []
        own = nth[one.run] = nth.get(one.run, -1) + 1
        colour, dash = line_style(source.colour_from, own, several_runs)
        started = one.line.first_time if source.started is None else source.started
        label = " · ".join(parts) or one.line.name
        drawn.append(Trace(label, one.line, started, colour, dash, source.run))
    return drawn


@dataclass(frozen=True)
class _Found:
    line: Line
    run: int
    process: int
    """From 1 on where several processes of the run logged it, else 0."""


def _lines(group: Group, sources: Sequence[Source]) -> Iterator[_Found]:
    for name in group.names:
        for run, source in enumerate(sources):
            lines = source.feed.lines(name)
            for nth, line in enumerate(lines, start=1):
                yield _Found(line, run, nth if len(lines) > 1 else 0)
