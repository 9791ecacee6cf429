"""What `%aml_target` shows: tables of targets and settings, and how a target is when tried."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from ..store import WorkspaceFolder
from ..watching.markup import FAINT, clean, escaped, short
from ..workspace import compute, target_words
from ..workspace.diagnosis import Finding, tried
from ..workspace.target_words import Asked

_LETTERS = 300
_MARKS = {
    True: ("✔", "var(--jp-success-color1,#388e3c)"),
    False: ("✖", "var(--jp-error-color1,#d32f2f)"),
    None: ("·", "var(--jp-ui-font-color2,#757575)"),
}


class Table:
    """Rows of text under titles, as a table in a notebook and as columns in a terminal."""

    def __init__(self, titles: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        rows = [[short(clean(cell), _LETTERS) for cell in row] for row in rows]
        used = [n for n in range(len(titles)) if n == 0 or any(row[n] for row in rows)]
        self.titles = [titles[n] for n in used]
        self.rows = [[row[n] for n in used] for row in rows]

    def __repr__(self) -> str:
        widths = [max(map(len, column)) for column in zip(self.titles, *self.rows, strict=True)]
        lines = []
        for row in [self.titles, *self.rows]:
            cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            lines.append("  ".join(cells).rstrip())
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        left = "text-align:left"
        head = "".join(f'<th scope="col" style="{left}">{escaped(t)}</th>' for t in self.titles)
        body = "".join(
            "<tr>" + "".join(f'<td style="{left}">{escaped(cell)}</td>' for cell in row) + "</tr>"
            for row in self.rows
        )
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


class Findings:
    """What works of a target and what does not; ``works`` when nothing is broken."""

    def __init__(self, findings: Iterable[Finding]) -> None:
        self.findings = list(findings)

    @property
    def works(self) -> bool:
        """Whether nothing that was looked at is broken."""
        return all(each.works is not False for each in self.findings)

    def __repr__(self) -> str:
        lines = []
        for each in self.findings:
            lines.append(f"{_MARKS[each.works][0]} {clean(each.name)}: {clean(each.detail)}")
            lines += [f"  {clean(each.remedy)}"] if each.remedy else []
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return "".join(map(_shown, self.findings))


def _shown(finding: Finding) -> str:
    mark, colour = _MARKS[finding.works]
    remedy = f'<div style="{FAINT};margin-left:1.5em">{escaped(finding.remedy)}</div>'
    return (
        f'<div style="overflow-wrap:anywhere"><span style="color:{colour}">{mark}</span> '
        f"<b>{escaped(finding.name)}</b> {escaped(finding.detail)}</div>"
        + (remedy if finding.remedy else "")
    )


def answer(folder: WorkspaceFolder, words: Sequence[str], kind: str | None = None) -> object:
    """Do what the words of `%aml_target` ask for, and return what is to be shown of it."""
    asked = target_words.understood(words, kind)
    return _DO[asked.action](folder, asked)


def _list(folder: WorkspaceFolder, asked: Asked) -> Table:
    return Table(compute.COLUMNS, [facts.row() for facts in compute.listed(folder)])


def _show(folder: WorkspaceFolder, asked: Asked) -> Table:
    if not asked.name:
        titles = ("setting", "what it is for", "example")
        return Table(titles, target_words.setting_rows(asked.kind))
    return Table(("target", asked.name), target_words.shown(folder, asked.name).lines()[1:])


def _add(folder: WorkspaceFolder, asked: Asked) -> Table:
    target_words.added(folder, asked)
    return _show(folder, asked)


def _test(folder: WorkspaceFolder, asked: Asked) -> Findings:
    kind = compute.entry_of(folder, asked.name).kind
    return Findings(tried(folder, asked.name, asked.settings_for(kind)))


def _remove(folder: WorkspaceFolder, asked: Asked) -> Table:
    compute.remove(folder, asked.name)
    return _list(folder, asked)


_DO: Mapping[str, Callable[[WorkspaceFolder, Asked], object]] = {
    "list": _list,
    "show": _show,
    "add": _add,
    "test": _test,
    "remove": _remove,
}
