"""What ``aml migrate`` found, for people: a score for each file, then what needs a look."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ..migrate import CANNOT, DIFFERS, SAME, FileReport, Group, Place, Report, shown_path
from .present import is_terminal, one_line

_MARKS = {CANNOT: ("✖", "red"), DIFFERS: ("≈", "yellow"), SAME: ("✔", "green")}
_BAR = 10
_MOST_PLACES = 6
_MOST_NAMES = 3
_PLAIN_WIDTH = 2000


def show(report: Report, *, every_line: bool) -> None:
    """Print it: at once as much as one can take in, with ``every_line`` all there is."""
    console = Console(width=None if is_terminal() else _PLAIN_WIDTH, highlight=False)
    with console.capture() as shown:
        for part in _parts(report, every_line):
            console.print(part)
    for line in shown.get().splitlines():
        print(line.rstrip())


def _parts(report: Report, every_line: bool) -> Iterator[RenderableType]:
    if not report.files:
        yield Text(f"Nothing of SDK v1 in {_files(report.others)}.")
        return
    alone = not report.root.is_dir()
    for each in sorted(report.files, key=_worst_first):
        if every_line or alone or each.problems or each.groups():
            yield _head(each, report)
            yield from _problems(each)
            yield from _body(each, alone, every_line)
            yield Text()
    if not alone and not every_line:
        yield from _legend(report.files)
    yield _total(report)


def _worst_first(report: FileReport) -> tuple[int, str]:
    return (-1 if report.problems else report.score or 0, str(report.path))


# One file -------------------------------------------------------------------------------------


def _head(each: FileReport, report: Report) -> Text:
    score = each.score
    style = "red" if score is None or score < 50 else "green" if each.runs else "yellow"
    full = 0 if score is None else score * _BAR // 100
    shown = "  –  " if score is None else f"{score:3} %"
    line = Text.assemble(
        (f"{shown} ", f"bold {style}"),
        ("━" * full, style),
        ("━" * (_BAR - full), "dim"),
        "  ",
        (one_line(shown_path(each.path, report.root)), "bold"),
    )
    for verdict, (mark, colour) in reversed(_MARKS.items()):
        if each.counts[verdict]:
            line.append(f"  {mark} {each.counts[verdict]}", colour)
    return line


def _problems(each: FileReport) -> Iterator[RenderableType]:
    for place, text in each.problems:
        words = f"line {place} is not understood: {one_line(text)}"
        yield Padding(Text.assemble(("✖ ", "red"), words), (0, 0, 0, 2))


def _body(each: FileReport, alone: bool, every_line: bool) -> Iterator[RenderableType]:
    if every_line:
        yield _table(_rows_by_line(each))
    elif alone:
        groups = each.groups()
        if groups:
            yield _table(_row(group, _places(group.places)) for group in groups)
    else:
        for verdict in (CANNOT, DIFFERS):
            groups = each.groups([verdict])
            if groups:
                mark, style = _MARKS[verdict]
                yield _table([(Text(mark, style), _in_one_line(groups))], gap=1)


def _in_one_line(groups: Sequence[Group]) -> Text:
    told = Text()
    for number, group in enumerate(groups):
        name, places = _short(group.subject), _places(group.places)
        told.append(" · " if number else "", "dim")
        told.append(_unbroken(name)).append(_unbroken(f" {places}"), "dim")
    return told


def _unbroken(text: str) -> str:
    """The text as one word, so that a terminal breaks lines only between such."""
    return one_line(text).replace(" ", "\N{NO-BREAK SPACE}" if is_terminal() else " ")


def _table(rows: Iterable[Sequence[RenderableType]], gap: int = 2) -> RenderableType:
    table = Table.grid(padding=(0, gap, 0, 0))
    for row in rows:
        table.add_row(*row)
    return Padding(table, (0, 0, 0, 2))


def _row(group: Group, places: str) -> Sequence[RenderableType]:
    mark, style = _MARKS[group.verdict]
    name = Text.assemble((f"{mark} ", style), _unbroken(_short(group.subject)))
    return name, Text(places, "dim"), _told(group.text, group.way)


def _rows_by_line(each: FileReport) -> Iterator[Sequence[RenderableType]]:
    said: set[tuple[str, str]] = set()
    for place, found in groupby(each.findings, key=lambda one: one.place):
        line = list(found)
        mark, style = _MARKS[each.lines[place]]
        names = dict.fromkeys(_short(one.subject) for one in line)
        told = []
        for one in line:
            if one.text and (one.subject, one.text) not in said:
                said.add((one.subject, one.text))
                told.append(_told(one.text, one.way))
        yield (
            Text.assemble((f"{mark} ", style), (str(place), "dim")),
            Text(one_line(" · ".join(names))),
            Text("; ").join(told),
        )


def _told(text: str, way: str) -> Text:
    told = Text(one_line(text))
    if way:
        told.append(" → " if text else "→ ", "dim").append(one_line(way), "cyan")
    return told


# All files ------------------------------------------------------------------------------------


def _legend(files: Sequence[FileReport]) -> Iterator[RenderableType]:
    """What stands in the way, and what differs: each once, the most frequent first."""
    for verdict, title in ((CANNOT, "What cannot run"), (DIFFERS, "What differs")):
        said: dict[tuple[str, str], Counter[str]] = {}
        for each in files:
            for group in each.groups([verdict]):
                said.setdefault((group.text, group.way), Counter())[_short(group.subject)] += 1
        if not said:
            continue
        yield Text(title, "bold")
        ranked = sorted(said.items(), key=lambda item: (-max(item[1].values()), item[0]))
        yield _table(_explained(verdict, subjects, *told) for told, subjects in ranked)
        yield Text()


def _explained(
    verdict: str, subjects: Counter[str], text: str, way: str
) -> Sequence[RenderableType]:
    mark, style = _MARKS[verdict]
    names = [name for name, _ in subjects.most_common()]
    more = [f"and {len(names) - _MOST_NAMES} more"] if len(names) > _MOST_NAMES else []
    shown = "\n  ".join(map(one_line, [*names[:_MOST_NAMES], *more]))
    name = Text.assemble((f"{mark} ", style), shown)
    return name, Text(_files(max(subjects.values())), "dim"), _told(text, way)


def _total(report: Report) -> Text:
    counts = report.counts
    if report.score is None:
        return Text(f"{_files(len(report.files))} could not be read.")
    whole = sum(each.runs for each in report.files)
    style = "green" if report.runs else "yellow"
    told = Text.assemble((f"{report.score} %", f"bold {style}"))
    told.append(f" of {_lines(counts.total())} that use v1 run here")
    if report.root.is_dir():
        told.append(f"; {whole} of {_files(len(report.files))} to the end")
    if any(place.cell for each in report.files for place in each.lines):
        told.append(". 3:12 is line 12 of code cell 3", "dim")
    return told.append(".")


# Words ----------------------------------------------------------------------------------------


def _short(subject: str) -> str:
    """A keyword without what takes it."""
    called, _, keyword = subject.partition("(")
    return f"{keyword[:-1]}=" if keyword else called


def _places(places: Sequence[Place]) -> str:
    """Lines as text, neighbours as one stretch; not too many of them."""
    shown = [
        str(first) if first == last else f"{first}–{last.line}"
        for first, last in _stretches(places)
    ]
    if len(shown) > _MOST_PLACES and is_terminal():
        shown[_MOST_PLACES:] = [f"… {len(shown) - _MOST_PLACES} more"]
    return ", ".join(shown)


def _stretches(places: Sequence[Place]) -> list[tuple[Place, Place]]:
    found: list[tuple[Place, Place]] = []
    for place in places:
        if found and found[-1][1] == Place(place.line - 1, place.cell):
            found[-1] = (found[-1][0], place)
        else:
            found.append((place, place))
    return found


def _files(number: int) -> str:
    return f"{number} file" if number == 1 else f"{number} files"


def _lines(number: int) -> str:
    return f"{number} line" if number == 1 else f"{number} lines"
