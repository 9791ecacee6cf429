"""Forms of a run, and of a list of runs, that need no kernel: HTML, plain text, JSON."""

from __future__ import annotations

import html
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ..job import states
from ..store.feed import Series
from . import charts
from .log_text import LogText
from .watch import Look, shown_time

if TYPE_CHECKING:
    from ..store import RunSummary
    from ..workspace import Run

MIME = "application/vnd.aml.run+json"

_CARD_LINES = 20
_SAVED_LINES = 100
_SAVED_METRICS = 20
_SAVED_POINTS = 250

# (icon, colour) of each state; an icon as well, because not everybody tells the colours apart.
_LOOK = {
    states.COMPLETED: ("✔", "var(--jp-success-color1,#388e3c)"),
    states.FAILED: ("✖", "var(--jp-error-color1,#d32f2f)"),
    states.CANCELED: ("⊘", "var(--jp-warn-color1,#f57c00)"),
    states.CANCEL_REQUESTED: ("⊘", "var(--jp-warn-color1,#f57c00)"),
    states.RUNNING: ("●", "var(--jp-brand-color1,#1976d2)"),
}
_WAITING = ("○", "var(--jp-ui-font-color2,#757575)")
FAINT = "color:var(--jp-ui-font-color2,#757575)"
_MONO = "font-family:var(--jp-code-font-family,monospace);font-size:12px"


def header(look: Look) -> str:
    """State, name, id, elapsed time and target in one line, and what went wrong in a second."""
    icon, colour = _LOOK.get(look.status, _WAITING)
    name = look.display_name if look.display_name != look.id else ""
    facts = [f'<code style="{_MONO}">{html.escape(look.id)}</code>']
    facts += [html.escape(part) for part in (shown_time(look.elapsed), look.target) if part]
    if look.progress:
        facts.append(html.escape(look.progress))
    text = (
        f'<div role="status"><span style="color:{colour};font-weight:600">{icon} '
        f"{html.escape(look.status)}</span>&ensp;"
        + (f"<b>{html.escape(name)}</b>&ensp;" if name else "")
        + f'<span style="{FAINT}">{" · ".join(facts)}</span></div>'
    )
    if look.error:
        red = "color:var(--jp-error-color1,#d32f2f)"
        text += f'<div style="{red};white-space:pre-wrap">{html.escape(look.error[:2000])}</div>'
    return text


def log_block(log: LogText, lines: int | None = None, height: str = "16em") -> str:
    """The end of the log, scrolled to its last line and staying there."""
    text = log.html(lines)
    if not text:
        return f'<div style="{FAINT}">no output yet</div>'
    # column-reverse: the browser then keeps the end in sight when lines are added.
    return (
        '<div role="log" tabindex="0" aria-label="log of the run" style="display:flex;'
        f"flex-direction:column-reverse;max-height:{height};overflow:auto;"
        "border:1px solid var(--jp-border-color2,#d0d0d0);border-radius:3px;padding:4px 8px;"
        'background:var(--jp-layout-color1,transparent)">'
        f'<pre style="flex:none;overflow:visible;margin:0;{_MONO};line-height:1.35;'
        f'white-space:pre-wrap;color:var(--jp-content-font-color1,inherit);background:none">{text}</pre></div>'
    )


def card(look: Look, log: LogText) -> str:
    """The run as HTML that needs neither kernel nor script: state, charts, end of the log."""
    pictures = [charts.svg(name, series) for name, series in drawn(look.series)]
    shown = "".join(pictures)
    grid = f'<div style="display:flex;flex-wrap:wrap">{shown}</div>' if pictures else ""
    again = ""
    if look.status not in states.TERMINAL:
        again = f'<div style="{FAINT}">To follow it: <code>%aml_attach {look.id}</code></div>'
    body = f"{header(look)}{grid}{log_block(log, _CARD_LINES)}{again}"
    return f'<div class="aml-run" style="display:grid;gap:6px">{body}</div>'


def drawn(series: Mapping[str, Series]) -> list[tuple[str, Series]]:
    """What to draw: metrics with a curve before single values, in the order they appeared."""
    curves = sorted(series.items(), key=lambda item: item[1].count < 2)
    return curves[: charts.MOST]


def as_text(look: Look, run_type: str | None) -> str:
    """v1's plain form of a run."""
    return (
        f"Run(Experiment: {look.experiment},\nId: {look.id},\n"
        f"Type: {run_type},\nStatus: {look.status})"
    )


def as_json(look: Look, log: LogText) -> dict[str, object]:
    """The run as data, for viewers that draw it themselves."""
    metrics = [
        {
            "name": name,
            "x": charts.as_json(series.x, _SAVED_POINTS),
            "y": charts.as_json(series.y, _SAVED_POINTS),
            "last": charts.as_json(series.y[-1:], 1)[0] if len(series.y) else None,
            "count": series.count,
        }
        for name, series in list(look.series.items())[:_SAVED_METRICS]
    ]
    return {
        "version": 1,
        "id": look.id,
        "display_name": look.display_name,
        "experiment": look.experiment,
        "status": look.status,
        "target": look.target,
        "started": look.started,
        "ended": look.ended,
        "metrics": metrics,
        "log_tail": log.text(_SAVED_LINES),
        "error": {"message": look.error} if look.error else None,
    }


def static_bundle(run: Run, look: Look, log: LogText) -> dict[str, object]:
    """All forms of a run that need no kernel."""
    return {
        "text/plain": as_text(look, run.type),
        "text/html": card(look, log),
        MIME: as_json(look, log),
    }


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
                ", ".join(
                    f"{n}={charts.shown_number(v)}" for n, v in list(run.metrics.items())[:4]
                ),
                ", ".join(f"{k}={v}" if v else k for k, v in run.tags.items()),
            ]
            for run in self.runs
        ]

    def _columns(self) -> tuple[list[str], list[list[str]]]:
        """Titles and rows, without the columns that are empty throughout."""
        titles = ["Id", "Name", "Status", "Created", "Duration", "Target", "Metrics", "Tags"]
        rows = self._rows()
        used = [i for i in range(len(titles)) if i == 0 or any(row[i] for row in rows)]
        return [titles[i] for i in used], [[row[i] for i in used] for row in rows]

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
    text = html.escape(content)
    if title == "Status":
        icon, colour = _LOOK.get(content, _WAITING)
        text = f'<span style="color:{colour};font-weight:600">{icon} {text}</span>'
    elif title == "Id":
        text = f"<code>{text}</code>"
    return f'<td style="text-align:left;white-space:nowrap">{text}</td>'
