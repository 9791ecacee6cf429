"""Forms of a comparison: a plain text table, and HTML that needs neither script nor kernel."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..errors import AmlError

if TYPE_CHECKING:
    from .comparison import Comparison, Rows
    from .metric_ranges import MetricRange

_MOST_ROWS = 200
_WIDEST = 40
_LONGEST = 500
_MOST_DIFF = 400_000

_FAINT = "color:var(--jp-ui-font-color2,#757575)"
_ADDED = "color:var(--jp-success-color1,#388e3c)"
_REMOVED = "color:var(--jp-error-color1,#d32f2f)"
_MONO = "font-family:var(--jp-code-font-family,monospace);font-size:12px"
_CELL = "text-align:left;vertical-align:top;padding:2px 12px 2px 0"
_LINE = "border-top:1px solid var(--jp-border-color2,#d0d0d0)"
_OF_LINE = {"+": _ADDED, "-": _REMOVED, "@": _FAINT}


@dataclass(frozen=True)
class _Section:
    """Rows of cells under a title; ``same`` are those that tell nothing of a difference."""

    title: str
    rows: list[tuple[str, list[str]]]
    same: list[tuple[str, list[str]]] = field(default_factory=list)
    more: int = 0


def as_text(comparison: Comparison) -> str:
    """The comparison as a table in plain text, without what is the same in all runs."""
    lines = [["", *map(_one_line, comparison.ids)]]
    if comparison.names != comparison.ids:
        lines.append(["name", *map(_one_line, comparison.names)])
    for section in _sections(comparison):
        if section.title:
            same = f" ({len(section.same)} more the same)" if section.same else ""
            lines += [[], [section.title + same]]
        indent = "  " if section.title else ""
        lines += [
            [indent + _one_line(name), *map(_one_line, cells)] for name, cells in section.rows
        ]
        if section.more:
            lines.append([f"  … {section.more:,} more"])
    return _aligned(lines)


def _aligned(lines: Sequence[Sequence[str]]) -> str:
    """Columns of equal width; a line of one cell is a title, and gives no measure."""
    columns = max(map(len, lines))
    widths = [
        max((len(line[i]) for line in lines if len(line) > max(1, i)), default=0)
        for i in range(columns)
    ]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=False)).rstrip()
        for line in lines
    )


def as_html(comparison: Comparison) -> str:
    """The comparison as HTML of its own, with the diffs of environments and sources folded up."""
    head = "".join(
        f'<th style="{_CELL}"><code style="{_MONO}">{_escaped(run_id)}</code>'
        + (f"<br>{_escaped(name)}" if name != run_id else "")
        + "</th>"
        for run_id, name in zip(comparison.ids, comparison.names, strict=True)
    )
    body = "".join(_html_section(each, len(comparison.ids)) for each in _sections(comparison))
    table = (
        f'<table style="border-collapse:collapse"><thead><tr><th></th>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table>"
    )
    return (
        f'<div class="aml-compare"><div style="overflow-x:auto">{table}</div>'
        f"{''.join(_html_diffs(comparison))}</div>"
    )


def differ(row: Sequence[object]) -> bool:
    """Whether not all of the values are the same."""
    return any(value != row[0] for value in row)


def diffs(comparison: Comparison) -> Iterator[tuple[str, str]]:
    """(title, text) of every diff between the first run and another that is not empty."""
    tellers: tuple[tuple[str, Callable[[int], object]], ...] = (
        ("environment", comparison.environment_diff),
        ("source", comparison.source_diff),
    )
    for what, tell in tellers:
        for run in range(1, len(comparison.ids)):
            try:
                text = str(tell(run))
            except (AmlError, OSError) as error:
                text = f"cannot be compared: {error}"
            if text:
                yield f"{what}: {comparison.ids[0]} → {comparison.ids[run]}", text


# Both forms -----------------------------------------------------------------------------------


def _sections(comparison: Comparison) -> Iterator[_Section]:
    yield _section("", comparison.facts, keep_same=True)
    yield from _unless_empty(_section("parameters", comparison.all_parameters))
    yield from _unless_empty(_section("tags", comparison.tags))
    found = comparison.metrics
    rows = [(name, list(map(shown_range, row))) for name, row in list(found.items())[:_MOST_ROWS]]
    yield from _unless_empty(_Section("metrics", rows, more=len(found) - len(rows)))


def _section(title: str, rows: Rows, keep_same: bool = False) -> _Section:
    listed = [(name, [value or "" for value in row]) for name, row in rows.items()]
    telling = [row for row in listed if keep_same or differ(row[1])]
    same = [row for row in listed if not keep_same and not differ(row[1])]
    more = max(0, len(telling) - _MOST_ROWS)
    return _Section(title, telling[:_MOST_ROWS], same, more)


def _unless_empty(section: _Section) -> Iterator[_Section]:
    if section.rows or section.same:
        yield section


def shown_range(known: MetricRange | None) -> str:
    """A metric for people: its last value, and where it has been."""
    if known is None:
        return ""
    last = _number(known.last)
    if known.min is None or known.max is None or known.min == known.max:
        return last
    return f"{last} ({_number(known.min)} … {_number(known.max)})"


def _number(value: float | str | None) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


# Text -----------------------------------------------------------------------------------------


def _one_line(text: str) -> str:
    """``text`` without what would break a line or command a terminal, and not too long."""
    clean = "".join(each if each.isprintable() else "�" for each in text[: _WIDEST + 1])
    return clean if len(clean) <= _WIDEST else f"{clean[: _WIDEST - 1]}…"


# HTML -----------------------------------------------------------------------------------------


def _html_section(section: _Section, runs: int) -> str:
    title = ""
    if section.title:
        title = (
            f'<tr><th colspan="{runs + 1}" style="{_CELL};{_LINE}">{_escaped(section.title)}'
            f"</th></tr>"
        )
    rows = "".join(_html_row(name, cells) for name, cells in section.rows)
    if section.more:
        rows += _html_row(f"… {section.more:,} more", [""] * runs)
    return title + rows + _html_same(section, runs)


def _html_row(name: str, cells: Sequence[str]) -> str:
    # What is the same everywhere steps back, so that differences stand out.
    style = _CELL if differ(cells) else f"{_CELL};{_FAINT}"
    values = "".join(f'<td style="{style}">{_escaped(cell)}</td>' for cell in cells)
    return f'<tr><td style="{_CELL};{_FAINT}">{_escaped(name)}</td>{values}</tr>'


def _html_same(section: _Section, runs: int) -> str:
    if not section.same:
        return ""
    shown = section.same[:_MOST_ROWS]
    pairs = "".join(f"<div>{_escaped(f'{name} = {cells[0]}')}</div>" for name, cells in shown)
    return (
        f'<tr><td colspan="{runs + 1}" style="{_CELL};{_FAINT}"><details>'
        f"<summary>{len(section.same):,} the same</summary>{pairs}</details></td></tr>"
    )


def _html_diffs(comparison: Comparison) -> Iterator[str]:
    room = _MOST_DIFF
    for title, text in diffs(comparison):
        shown = text[: max(0, room)]
        room -= len(text)
        lines = "".join(map(_html_line, shown.split("\n")))
        if len(shown) < len(text):
            lines += f'<span style="{_FAINT}">(cut: aml compare --diff shows all of it)</span>'
        yield (
            f"<details><summary>{_escaped(title)}</summary>"
            f'<pre style="{_MONO};overflow-x:auto;margin:4px 0">{lines}</pre></details>'
        )


def _html_line(line: str) -> str:
    style = _OF_LINE.get(line[:1])
    text = html.escape(line)
    return f'<span style="{style}">{text}</span>\n' if style else f"{text}\n"


def _escaped(text: str) -> str:
    text = text.encode("utf-8", "replace").decode()  # half characters travel nowhere
    return html.escape(text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…")
