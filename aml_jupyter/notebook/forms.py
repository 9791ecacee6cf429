"""Forms of a run, and of a list of runs, that need no kernel: HTML, plain text, JSON."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..job import states
from ..watching.child_table import counts
from ..watching.log_text import LogText
from ..watching.markup import (
    FAINT,
    GRID,
    MONO,
    clean,
    escaped,
    short,
    shown_number,
    shown_time,
    side_by_side,
)
from ..watching.svg import Drawn, line_chart, stretches

if TYPE_CHECKING:
    from ..store import RunSummary
    from ..watching.watch import Head

MIME = "application/vnd.aml.run+json"

# How many bytes of HTML each part may have; what is left of the whole is for the charts.
_WHOLE = 88_000
_CHARTS = 40_000
_HEAD, _VALUES, _LOG = 9_000, 9_000, 9_000
_PICTURES, _CHILDREN, _COMPARISON = 22_000, 16_000, 16_000
_NOTEBOOKS = 32_000
_LEAST_CHARTS, _MOST_PICTURES = 6_000, 40_000
_IMAGES = 300_000

_CARD_LINES = 20
_SAVED_LINES = 100
_SAVED_LETTERS = 20_000
_SAVED_METRICS = 20
_SAVED_POINTS = 2_500
_SAVED_ROWS = 60
_MOST_CHARTS = 20
# (letters of each text, runs), from full to short.
_HEAD_DETAIL = ((2000, 20), (600, 20), (200, 20), (60, 20), (60, 5), (60, 1))
# (charts, columns of points in each), from full to short.
_DETAIL = ((20, 150), (20, 100), (20, 60), (20, 30), (8, 30), (4, 24), (2, 12), (1, 6))

# (icon, colour) of each state; an icon as well, because not everybody tells the colours apart.
_RED = "var(--jp-error-color1,#d32f2f)"
_BLUE = "var(--jp-brand-color1,#1976d2)"
_GREY = "var(--jp-ui-font-color2,#757575)"
_LOOK = {
    states.COMPLETED: ("✔", "var(--jp-success-color1,#388e3c)"),
    states.FAILED: ("✖", _RED),
    states.CANCELED: ("⊘", "var(--jp-warn-color1,#f57c00)"),
    states.CANCEL_REQUESTED: ("⊘", "var(--jp-warn-color1,#f57c00)"),
    states.RUNNING: ("●", _BLUE),
}
_WAITING = ("○", _GREY)


@dataclass(frozen=True)
class Curve:
    """One metric: its lines, the last value and how many there are in all."""

    name: str
    lines: Sequence[Drawn]
    last: float
    count: int

    @property
    def is_line(self) -> bool:
        """Whether there is more than one point to any of its lines."""
        return any(len(line.x) + len(line.gaps) > 1 for line in self.lines)


@dataclass(frozen=True)
class Shot:
    """A run, or several compared, at one moment: all that the static forms need."""

    heads: Sequence[Head]
    curves: Sequence[Curve]
    """At most 20, those with a curve before single values."""
    metrics: int
    """How many metrics there are in all."""
    others: Sequence[tuple[str, str]]
    """Name and HTML, from ``picture_of``, of what is no number."""
    log: LogText
    children: Mapping[str, Any] | None = None
    """The wire's ``ChildTable``."""
    comparison: str = ""
    """HTML of our own making."""
    run_type: str | None = None


def bundle(shot: Shot) -> dict[str, object]:
    """All forms that need no kernel, by their MIME types."""
    return {"text/plain": as_text(shot), "text/html": card(shot), MIME: as_json(shot)}


def as_text(shot: Shot) -> str:
    """v1's plain form of each run."""
    return "\n".join(
        f"Run(Experiment: {head.experiment},\nId: {head.id},\n"
        f"Type: {shot.run_type},\nStatus: {head.status})"
        for head in shot.heads
    )


# The card


def card(shot: Shot) -> str:
    """The runs as HTML that needs neither kernel nor script, and is never large."""
    heads = _fitting(_HEAD, (_heads(shot.heads, *most) for most in _HEAD_DETAIL))
    values = _fitting(_VALUES, (_values(shot, rows) for rows in (_MOST_CHARTS, 8, 2, 0)))
    is_batch = shot.heads[0].batch
    # Of its own a batch has a log only where its environment was built.
    log = "" if is_batch and not shot.log.lines() else _log(shot.log)
    children = _children(shot.children, _NOTEBOOKS if is_batch else _CHILDREN)
    comparison = _comparison(shot.comparison)
    rest = [children, comparison, log, _hint(shot.heads)]
    room = _WHOLE - sum(map(_size, (heads, values, *rest)))
    for_charts = room - _PICTURES if shot.others else room
    charts = _fitting(max(_LEAST_CHARTS, min(_CHARTS, for_charts)), _charts(shot))
    pictures = _pictures(shot.others, min(room - _size(charts), _MOST_PICTURES))
    numbers = [charts, values, pictures]
    body = "".join([heads, *([children, *numbers, *rest[1:]] if is_batch else [*numbers, *rest])])
    layout = "display:grid;gap:8px;grid-template-columns:minmax(0,1fr)"
    return f'<div class="aml-run" style="{layout}">{body}</div>'


def _fitting(room: int, forms: Iterable[str]) -> str:
    """The first of ``forms``, which go from full to short, that fits into ``room``, or the last."""
    form = ""
    for form in forms:
        if _size(form) <= room:
            break
    return form


def _size(text: str) -> int:
    return len(text.encode(errors="replace"))


def _faint(text: str) -> str:
    return f'<div style="{FAINT}">{text}</div>'


# Heads


def _heads(heads: Sequence[Head], letters: int, most: int) -> str:
    several = len(heads) > 1
    parts = []
    for head in heads[:most]:
        line = header(head, letters)
        parts.append(line if several else line + _time_line(head) + _progress(head))
    if len(heads) > most:
        parts.append(_faint(f"and {len(heads) - most} more runs"))
    return f'<div style="display:grid;gap:3px">{"".join(parts)}</div>'


def header(head: Head, letters: int = 2000) -> str:
    """A run in one line: state, name, id, time, target; below it what is wrong, if anything is.

    Of what is wrong at most so many ``letters`` are shown.
    """
    icon, colour = _LOOK.get(head.status, _WAITING)
    name = short(head.name, min(letters, 120)) if head.name != head.id else ""
    facts = [f'<code style="{MONO}">{escaped(short(head.id, 100))}</code>']
    words = (shown_time(head.elapsed), head.target, head.environment)
    facts += [escaped(short(part, min(letters, 80))) for part in words if part]
    if head.progress and head.progress.text:
        facts.append(escaped(short(head.progress.text, min(letters, 120))))
    swatch = f'<span aria-hidden="true" style="color:{head.colour}">■</span> '
    return (
        '<div role="status" style="overflow-wrap:anywhere">'
        + (swatch if head.colour else "")
        + f'<span style="color:{colour};font-weight:600">{icon} '
        f"{escaped(short(head.status, 40))}</span>&ensp;"
        + (f"<b>{escaped(name)}</b>&ensp;" if name else "")
        + f'<span style="{FAINT}">{" · ".join(facts)}</span></div>'
        + _boxed(head.error, _RED, letters)
        + _boxed(head.note, "var(--jp-warn-color1,#f57c00)", letters)
    )


def _boxed(text: str, colour: str, letters: int) -> str:
    if not text:
        return ""
    shown = text if len(text) <= letters else text[:letters] + "…"
    return (
        f'<div style="border-left:3px solid {colour};padding:2px 8px;white-space:pre-wrap;'
        f'overflow-wrap:anywhere;max-height:14em;overflow:auto">{escaped(shown)}</div>'
    )


def _time_line(head: Head) -> str:
    """The stages as a thin bar, and how long each took."""
    stages = []
    for stage in list(head.stages)[-12:]:
        seconds = max(0.0, (head.now if stage.until is None else stage.until) - stage.since)
        stages.append((stage.state, seconds, f"{short(stage.state, 20)} {shown_time(seconds)}"))
    if not stages:
        return ""
    # No stage is so short that it cannot be seen beside the others.
    least = sum(seconds for _, seconds, _ in stages) / 100 or 1.0
    bars = "".join(
        f'<span title="{escaped(said)}" style="flex:{max(seconds, least):.3f} 0 0;'
        f"background:{_stage_colour(state)};opacity:{1 if state == states.RUNNING else 0.5}"
        '"></span>'
        for state, seconds, said in stages
    )
    said = " · ".join(escaped(said) for _, _, said in stages)
    return (
        '<div aria-hidden="true" style="display:flex;gap:1px;height:5px;border-radius:3px;'
        f'overflow:hidden">{bars}</div><div style="{FAINT};font-size:11px">{said}</div>'
    )


def _stage_colour(state: str) -> str:
    return _LOOK.get(state, _WAITING)[1]


def _progress(head: Head) -> str:
    """How far it is, as a bar; the words for it stand in the head."""
    progress = head.progress
    if progress is None or progress.done is None or not math.isfinite(progress.done):
        return ""
    part = min(max(progress.done, 0.0), 1.0)
    left = f" · {shown_time(progress.left)} left" if progress.left is not None else ""
    return (
        f'<div style="display:flex;gap:8px;align-items:center;{FAINT};font-size:11px">'
        f'<div role="progressbar" aria-label="progress" aria-valuemin="0" aria-valuemax="100" '
        f'aria-valuenow="{part * 100:.0f}" style="flex:1 1 auto;height:5px;border-radius:3px;'
        f'background:linear-gradient(to right,{_BLUE} {part:.1%},{GRID} {part:.1%})"></div>'
        f"<span>{part:.0%}{left}</span></div>"
    )


# Metrics


def _charts(shot: Shot) -> Iterator[str]:
    """The charts with ever fewer points, then ever fewer of them."""
    curves = [curve for curve in shot.curves if curve.is_line][:_MOST_CHARTS]
    singles = sum(not curve.is_line for curve in shot.curves)
    several = len(shot.heads) > 1
    for count, columns in _DETAIL:
        shown = curves[:count]
        charts = "".join(_chart(curve, columns, several) for curve in shown)
        note = _of_all(len(shown) + singles, shot.metrics - len(shot.others))
        yield (side_by_side(charts) if charts else "") + note
    yield _faint("The charts are too large to be kept here.") if curves else ""


def _chart(curve: Curve, columns: int, several: bool) -> str:
    note = "" if several else shown_number(curve.last)
    chart = line_chart(curve.name, curve.lines, note=note, columns=columns)
    return f'<div style="max-width:100%">{chart}</div>'


def _of_all(shown: int, metrics: int) -> str:
    return _faint(f"{shown} of {metrics} metrics are shown.") if shown < metrics else ""


def _values(shot: Shot, most: int) -> str:
    """Metrics with a single value, as a table with a column for each of their lines."""
    singles = [curve for curve in shot.curves if not curve.is_line]
    labels = list(dict.fromkeys(line.label for curve in singles for line in curve.lines))
    shown = singles[:most]
    more = len(singles) - len(shown)
    note = _faint(f"{more} single values are not shown.") if more else ""
    if not shown:
        return note
    if len(labels) < 2:
        rows = [[short(curve.name, 60), shown_number(curve.last)] for curve in shown]
        return _small_table([], rows) + note
    titles = ["", *(short(label, 24) for label in labels[:_MOST_CHARTS])]
    return _small_table(titles, [_value_row(curve, labels) for curve in shown]) + note


def _value_row(curve: Curve, labels: Sequence[str]) -> list[str]:
    values: dict[str, list[str]] = {}
    for line in curve.lines:
        shown = float(line.y[-1]) if len(line.y) else math.nan
        values.setdefault(line.label, []).append(shown_number(shown))
    cells = [" / ".join(values.get(label, ())) for label in labels[:_MOST_CHARTS]]
    return [short(curve.name, 40), *cells]


def _small_table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    style = "text-align:left;padding:1px 12px 1px 0"
    head = "".join(f'<th scope="col" style="{style}">{escaped(title)}</th>' for title in titles)
    body = "".join(
        "<tr>" + "".join(f'<td style="{style}">{escaped(cell)}</td>' for cell in row) + "</tr>"
        for row in rows
    )
    top = f"<thead><tr>{head}</tr></thead>" if titles else ""
    return (
        '<div style="overflow-x:auto"><table style="border-collapse:collapse;font-size:12px">'
        f"{top}<tbody>{body}</tbody></table></div>"
    )


# Pictures, children, comparison, log

_IMAGE = re.compile(r'(?<=src=")data:[^"]*(?=")')
_FOLDED = re.compile(r"<details>.*?</details>", re.DOTALL)


def _pictures(others: Sequence[tuple[str, str]], room: int) -> str:
    """The pictures, without what is folded up if that is too much, as far as there is room."""
    if sum(_size(_IMAGE.sub("", html)) for _, html in others) > room - 3000:
        others = [(name, _FOLDED.sub("", html)) for name, html in others]
    shown, left_out = "", []
    room, images = room - 3000, _IMAGES
    for name, html in others:
        image, words = sum(map(len, _IMAGE.findall(html))), _size(_IMAGE.sub("", html)) + 50
        if image > images or words > room:
            left_out.append(name)
            continue
        images, room = images - image, room - words
        shown += f'<div style="max-width:100%;min-width:0">{html}</div>'
    names = ", ".join(escaped(short(name, 40)) for name in left_out[:10])
    more = f" and {len(left_out) - 10} more" if len(left_out) > 10 else ""
    note = _faint(f"Too large to be kept here: {names}{more}.") if left_out else ""
    return (side_by_side(shown) if shown else "") + note


def _children(table: Mapping[str, Any] | None, room: int) -> str:
    if not table or not table["rows"]:
        return ""
    forms = (
        (rows, picture) for picture in (table.get("picture") or "", "") for rows in (100, 50, 12, 4)
    )
    return _fitting(room, (_child_table(table, *form) for form in forms))


def _child_table(table: Mapping[str, Any], most: int, picture: str) -> str:
    are_notebooks = table["of"] == "notebooks"
    rows, more = _shown_rows(table, most)
    titles, cells = _columns_of(table, rows)
    body = _small_table(titles, cells)
    what = "notebooks" if are_notebooks else "children"
    note = _faint(f"{len(rows)} of {len(rows) + more} {what} are shown.") if more else ""
    title = escaped(counts(table)) if are_notebooks else "Children"
    parts = (body, note, picture) if are_notebooks else (picture, body, note)
    return f"<div><b>{title}</b>{''.join(parts)}</div>"


def _shown_rows(table: Mapping[str, Any], most: int) -> tuple[list[Mapping[str, Any]], int]:
    """At most so many rows of a table, and how many there are more."""
    rows = list(table["rows"])
    shown = _most_telling(rows, most) if table["of"] == "notebooks" else rows[:most]
    return shown, len(rows) - len(shown) + int(table.get("more") or 0)


def _columns_of(
    table: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]
) -> tuple[list[str], list[list[str]]]:
    """Titles and texts of a table of children."""
    has_error = any(row["error"] for row in rows)
    titles = ["Notebook" if table["of"] == "notebooks" else "Run", "Status", "Duration"]
    titles += [short(column["name"], 20) for column in table["columns"][:12]]
    return titles + ["Error"] * has_error, [_child_cells(row, has_error) for row in rows]


def _child_cells(row: Mapping[str, Any], has_error: bool) -> list[str]:
    state = f"{_LOOK.get(row['status'], _WAITING)[0]} {short(row['status'], 16)}"
    where = short((row["progress"] or {}).get("text") or row["note"], 50)
    return [
        short(row["name"] or row["id"], 40),
        f"{state} · {where}" if where else state,
        shown_time(row["seconds"]),
        *(short(cell, 24) for cell in row["cells"][:12]),
        *([short(row["error"], 120)] if has_error else []),
    ]


def _most_telling(rows: Sequence[Mapping[str, Any]], most: int) -> list[Mapping[str, Any]]:
    """So many rows, in their order: those that go on before those that failed, then the rest."""

    def weight(row: Mapping[str, Any]) -> int:
        goes_on = row["progress"] is not None
        return 0 if goes_on else 1 if row["status"] == states.FAILED else 2

    kept = sorted(range(len(rows)), key=lambda at: weight(rows[at]))[:most]
    return [rows[at] for at in sorted(kept)]


def _comparison(html: str) -> str:
    if not html:
        return ""
    note = _faint("The differences in detail are too large to be kept here.")
    html = clean(html)
    return _fitting(_COMPARISON, (html, _FOLDED.sub("", html) + note, note))


def _log(log: LogText) -> str:
    """The end of the log, scrolled to its last line and staying there."""
    if not log.lines():
        return _faint("no output yet")
    text = _fitting(_LOG - 700, _log_texts(log))
    # column-reverse: the browser then keeps the end in sight when lines are added.
    return (
        '<div role="log" tabindex="0" aria-label="log of the run" style="display:flex;'
        "flex-direction:column-reverse;max-height:16em;overflow:auto;"
        f"border:1px solid {GRID};border-radius:3px;padding:4px 8px;"
        'background:var(--jp-layout-color1,transparent)">'
        f'<pre style="flex:none;overflow:visible;margin:0;{MONO};line-height:1.35;'
        "white-space:pre-wrap;overflow-wrap:anywhere;"
        f'color:var(--jp-content-font-color1,inherit);background:none">{text}</pre></div>'
    )


def _log_texts(log: LogText) -> Iterator[str]:
    for lines in (_CARD_LINES, 10, 5):
        yield log.html(lines)
    yield escaped(log.text(_CARD_LINES)[-1200:])


def _hint(heads: Sequence[Head]) -> str:
    going_on = [head.id for head in heads if head.status not in states.TERMINAL]
    if not going_on:
        return ""
    return _faint(f"To follow it: <code>%aml_attach {escaped(short(going_on[0], 256))}</code>")


# JSON


def as_json(shot: Shot) -> dict[str, object]:
    """The leading run as data, for viewers that draw it themselves."""
    batch = shot.heads[0].batch and shot.children
    return {**_run_json(shot), **({"notebooks": _saved_table(batch)} if batch else {})}


def _saved_table(table: Mapping[str, Any]) -> dict[str, object]:
    """The notebooks of a batch as the wire's ``CardTable``."""
    rows, more = _shown_rows(table, _SAVED_ROWS)
    titles, cells = _columns_of(table, rows)
    return {
        "title": clean(counts(table)),
        "columns": [clean(title) for title in titles],
        "rows": [
            {"status": clean(row["status"][:100]), "cells": [clean(text) for text in texts]}
            for row, texts in zip(rows, cells, strict=True)
        ],
        "more": more,
    }


def _run_json(shot: Shot) -> dict[str, object]:
    head = shot.heads[0]
    metrics = shot.curves[:_SAVED_METRICS]
    points = _SAVED_POINTS // max(10, len(metrics))
    return {
        "version": 1,
        "id": clean(head.id[:256]),
        "display_name": clean(head.name[:1000]),
        "experiment": clean(head.experiment[:1000]),
        "status": clean(head.status[:100]),
        "target": clean(head.target[:1000]),
        "started": head.started,
        "ended": head.ended,
        "metrics": [_saved(curve, points) for curve in metrics],
        "log_tail": shot.log.text(_SAVED_LINES)[-_SAVED_LETTERS:],
        "error": {"message": clean(head.error[:4000])} if head.error else None,
    }


def _saved(curve: Curve, points: int) -> dict[str, object]:
    """The first line of a metric as the wire's ``MetricSeries``; null parts its stretches."""
    x: list[float] = []
    y: list[float | None] = []
    line = curve.lines[0] if curve.lines else Drawn("", np.empty(0), np.empty(0))
    for xs, ys in stretches(line.x, line.y, points // 2):
        if x:
            x.append(x[-1])
            y.append(None)
        x += [float(f"{value:.9g}") for value in xs]
        y += [float(f"{value:.6g}") for value in ys]
    if not x and len(line.gaps):
        x, y = [float(line.gaps[0])], [None]
    last = curve.last if math.isfinite(curve.last) else None
    name = clean(curve.name[:500])
    return {"name": name, "x": x, "y": y, "last": last, "count": curve.count}


# Lists of runs


class RunTable:
    """A list of runs as a table; behaves as a sequence of them."""

    def __init__(self, runs: Sequence[RunSummary]) -> None:
        self.runs = list(runs)

    def _rows(self) -> list[list[str]]:
        now = time.time()
        return [
            [
                run.id,
                run.display_name if run.display_name != run.id else "",
                run.status,
                time.strftime("%Y-%m-%d %H:%M", time.localtime(run.created)),
                shown_time((run.ended or now) - run.started if run.started else None),
                run.target,
                ", ".join(f"{n}={shown_number(v)}" for n, v in list(run.metrics.items())[:4]),
                ", ".join(f"{k}={v}" if v else k for k, v in run.tags.items()),
            ]
            for run in self.runs
        ]

    def _columns(self) -> tuple[list[str], list[list[str]]]:
        """Titles and rows, without the columns that are empty throughout."""
        titles = ["Id", "Name", "Status", "Created", "Duration", "Target", "Metrics", "Tags"]
        rows = self._rows()
        used = [i for i in range(len(titles)) if i == 0 or any(row[i] for row in rows)]
        return [titles[i] for i in used], [[short(row[i], 200) for i in used] for row in rows]

    def __repr__(self) -> str:
        if not self.runs:
            return "no runs yet"
        titles, rows = self._columns()
        widths = [max(len(row[i]) for row in [titles, *rows]) for i in range(len(titles))]
        lines = ["  ".join(f"{c:{w}}" for c, w in zip(row, widths, strict=True)).rstrip()
                 for row in [titles, *rows]]  # fmt: skip
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        if not self.runs:
            return f'<div style="{FAINT}">no runs yet</div>'
        titles, rows = self._columns()
        left = "text-align:left"
        head = "".join(f'<th style="{left}">{title}</th>' for title in titles)
        body = "".join(
            "<tr>" + "".join(_cell(t, c) for t, c in zip(titles, row, strict=True)) + "</tr>"
            for row in rows
        )
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"

    def __len__(self) -> int:
        return len(self.runs)


def _cell(title: str, content: str) -> str:
    text = escaped(content)
    if title == "Status":
        icon, colour = _LOOK.get(content, _WAITING)
        text = f'<span style="color:{colour};font-weight:600">{icon} {text}</span>'
    elif title == "Id":
        text = f"<code>{text}</code>"
    return f'<td style="text-align:left;white-space:nowrap">{text}</td>'
