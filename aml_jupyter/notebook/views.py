"""How runs look in a notebook: a card that needs nothing, and a live view where there is a kernel.

Every display carries all forms at once (widget, HTML, plain text, JSON), so that a notebook saved
and opened without its kernel still shows the run.
"""

from __future__ import annotations

import html
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import AmlError
from ..job import states
from ..store.feed import RunFeed, Series
from . import charts
from .log_text import LogText
from .poller import POLLER

if TYPE_CHECKING:
    from ..store import RunSummary
    from ..workspace import Run

MIME = "application/vnd.aml.run+json"
WIDGET_MIME = "application/vnd.jupyter.widget-view+json"

# A bucket gives two points: bqplot draws up to a thousand quickly, and freezes far above.
_BUCKETS = 500
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
_FAINT = "color:var(--jp-ui-font-color2,#757575)"
_MONO = "font-family:var(--jp-code-font-family,monospace);font-size:12px"


@dataclass(frozen=True)
class Look:
    """What there is to show of a run at one moment."""

    id: str
    display_name: str
    experiment: str
    target: str
    status: str
    started: float | None
    ended: float | None
    progress: str
    error: str
    series: Mapping[str, Series]

    @property
    def elapsed(self) -> float | None:
        """Seconds from its start to its end, or to now."""
        return None if self.started is None else (self.ended or time.time()) - self.started


class Watch:
    """Follows a run for one view: each look is cheap, and the log stays bounded."""

    def __init__(self, run: Run) -> None:
        self._feed = RunFeed(run.folder, _BUCKETS)
        self._run = run
        self._target = str(run.get_details().get("target") or "local")
        self.log = LogText()
        self.log_changed = False

    def look(self) -> Look:
        """What there is to show now."""
        update = self._feed.poll()
        self.log_changed = self.log.feed(update.log, update.log_reset)
        return Look(
            self._run.id,
            self._run.display_name,
            self._run.experiment.name,
            self._target,
            update.status,
            update.started,
            update.ended,
            update.progress,
            _message(update.error),
            update.series,
        )

    @property
    def finished(self) -> bool:
        """Whether the run had ended at the last look."""
        return self._feed.finished


def _message(error: Mapping[str, Any] | None) -> str:
    inner = (error or {}).get("error", error) or {}
    return str(inner.get("message") or "")


def shown_time(seconds: float | None) -> str:
    """A duration: ``0:01:23``, days when there are any; empty for None."""
    if seconds is None:
        return ""
    whole = max(0, int(seconds))
    days, rest = divmod(whole, 86400)
    clock = f"{rest // 3600}:{rest // 60 % 60:02}:{rest % 60:02}"
    return f"{days} d {clock}" if days else clock


# Pieces of HTML


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
        + f'<span style="{_FAINT}">{" · ".join(facts)}</span></div>'
    )
    if look.error:
        red = "color:var(--jp-error-color1,#d32f2f)"
        text += f'<div style="{red};white-space:pre-wrap">{html.escape(look.error[:2000])}</div>'
    return text


def log_block(log: LogText, lines: int | None = None, height: str = "16em") -> str:
    """The end of the log, scrolled to its last line and staying there."""
    text = log.html(lines)
    if not text:
        return f'<div style="{_FAINT}">no output yet</div>'
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
    drawn = [charts.svg(name, series) for name, series in _drawn(look.series)]
    grid = f'<div style="display:flex;flex-wrap:wrap">{"".join(drawn)}</div>' if drawn else ""
    again = ""
    if look.status not in states.TERMINAL:
        again = f'<div style="{_FAINT}">To follow it: <code>%aml_attach {look.id}</code></div>'
    body = f"{header(look)}{grid}{log_block(log, _CARD_LINES)}{again}"
    return f'<div class="aml-run" style="display:grid;gap:6px">{body}</div>'


def _drawn(series: Mapping[str, Series]) -> list[tuple[str, Series]]:
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


# Where we are


def surface() -> str:
    """``live`` with a front end, ``updates`` with a kernel alone, else ``once``.

    The server names a kernel's notebook and VS Code its file; what runs a notebook in a batch
    does neither, and answers no widget.
    """
    from IPython.core.getipython import get_ipython

    shell = get_ipython()
    if shell is None or getattr(shell, "kernel", None) is None:
        return "once"
    named = os.environ.get("JPY_SESSION_NAME") or os.environ.get("COLAB_RELEASE_TAG")
    return "live" if named or "__vsc_ipynb_file__" in shell.user_ns else "updates"


# Views


class CardView:
    """A run shown without widgets; where displays can be updated it follows the run."""

    _EVERY = 1.0

    def __init__(self, run: Run) -> None:
        self._run = run
        self._watch = Watch(run)
        self._handle: Any = None
        self._shown: dict[str, object] = {}
        self._next = 0.0

    def show(self, follow: bool) -> None:
        """Display it, and keep it up to date until the run has ended if ``follow``."""
        from IPython.display import display

        self._shown = self._bundle()
        self._handle = display(self._shown, raw=True, display_id=True)  # type: ignore[no-untyped-call]
        if follow and not self._watch.finished:
            _keep(self)

    def refresh(self) -> bool:
        """Show what is new."""
        if time.monotonic() < self._next:
            return True
        self._next = time.monotonic() + self._EVERY
        bundle = self._bundle()
        if bundle != self._shown:
            self._shown = bundle
            self._handle.update(bundle, raw=True)
        return not self._watch.finished

    def _bundle(self) -> dict[str, object]:
        return static_bundle(self._run, self._watch.look(), self._watch.log)


class LineView(CardView):
    """A run as one line that follows its state: ``--quiet``."""

    def _bundle(self) -> dict[str, object]:
        look = self._watch.look()
        values = [f"{n} {charts.shown_number(s.last)}" for n, s in _drawn(look.series)]
        parts = [look.status, look.id, shown_time(look.elapsed), look.progress, *values]
        text = " · ".join(part for part in [*parts, look.error.split("\n")[0]] if part)
        metrics = f'<span style="{_FAINT}"> {html.escape(" · ".join(values))}</span>'
        return {"text/plain": text, "text/html": header(look) + (metrics if values else "")}


class LiveView:
    """The widget of a run: header, charts, log and a button to cancel. Sends what changed only."""

    def __init__(self, run: Run) -> None:
        import ipywidgets as widgets

        self._run = run
        self._watch = Watch(run)
        self._handle: Any = None
        self._charts: dict[str, charts.Chart] = {}
        self._header = widgets.HTML(layout=widgets.Layout(flex="1 1 auto"))
        self._cancel = widgets.Button(
            description="Cancel",
            icon="stop",
            tooltip=f"Cancel run {run.id}",
            layout=widgets.Layout(width="auto", flex="0 0 auto"),
        )
        self._cancel.on_click(self._on_cancel)
        self._grid = widgets.HBox(layout=widgets.Layout(flex_flow="row wrap"))
        self._log = widgets.HTML()
        top = widgets.HBox([self._header, self._cancel])
        self.widget = widgets.VBox([top, self._grid, self._log])
        # The widget is what the notebook holds on to: the view lives as long as it does.
        self.widget.aml_view = self
        self._render(self._watch.look(), first=True)

    def show(self) -> None:
        """Display it and follow the run; the last state replaces the first in the saved output."""
        from IPython.display import display

        self._handle = display(self.bundle(), raw=True, display_id=True)  # type: ignore[no-untyped-call]
        self.follow()

    def follow(self) -> None:
        """Keep the widget up to date from now on."""
        if not self._watch.finished:
            POLLER.watch(self)

    def bundle(self) -> dict[str, object]:
        """The widget with all its static forms."""
        static = static_bundle(self._run, self._look, self._watch.log)
        model = {"version_major": 2, "version_minor": 0, "model_id": self.widget.model_id}
        return {WIDGET_MIME: model, **static}

    def refresh(self) -> bool:
        """Show what is new."""
        if self.widget.comm is None:
            return False
        self._render(self._watch.look())
        if not self._watch.finished:
            return True
        if self._handle is not None:
            self._handle.update(self.bundle(), raw=True)
        return False

    def _render(self, look: Look, first: bool = False) -> None:
        self._look = look
        # Widgets compare before they send: an unchanged text costs nothing.
        self._header.value = header(look)
        if first or self._watch.log_changed:
            self._log.value = log_block(self._watch.log)
        if look.status in states.TERMINAL:
            self._cancel.disabled = True
            self._cancel.layout.display = "none"
        elif look.status == states.CANCEL_REQUESTED:
            self._cancel.disabled = True
        self._draw(look)

    def _draw(self, look: Look) -> None:
        for name, series in look.series.items():
            if name in self._charts:
                self._charts[name].update(series)
            elif len(self._charts) < charts.MOST:
                self._charts[name] = charts.Chart(name, series)
        if len(self._grid.children) != len(self._charts):
            self._grid.children = [chart.widget for chart in self._charts.values()]

    def _on_cancel(self, _: object) -> None:
        self._cancel.disabled = True
        try:
            self._run.cancel()
        except AmlError as error:
            self._cancel.disabled = False
            self._header.value += f"<div>{html.escape(str(error))}</div>"


_kept: set[CardView] = set()


def _keep(view: CardView) -> None:
    """Follow a view that no widget holds, until its run has ended."""
    _kept.intersection_update({kept for kept in _kept if not kept._watch.finished})
    _kept.add(view)
    POLLER.watch(view)


def show(run: Run, quiet: bool = False) -> None:
    """Display a run in the best way the place allows; returns at once."""
    where = surface()
    if quiet:
        LineView(run).show(follow=where != "once")
    elif where == "live":
        LiveView(run).show()
    else:
        CardView(run).show(follow=where == "updates")


def mimebundle(run: Run) -> dict[str, object]:
    """The display of a run at the end of a cell: live where there is a front end."""
    if surface() == "live":
        view = LiveView(run)
        view.follow()
        return view.bundle()
    watch = Watch(run)
    return static_bundle(run, watch.look(), watch.log)


class RunDetails:
    """v1's widget: ``RunDetails(run).show()`` never blocks and never fails for want of a UI."""

    def __init__(self, run_instance: Run) -> None:
        self._run = run_instance

    def show(self, render_lib: object = None, widget_settings: object = None) -> None:
        """Display the run and follow it until it ends."""
        show(self._run)

    def get_widget_data(self, widget_settings: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """What the widget shows, with v1's keys."""
        from .widget_data import widget_data

        return widget_data(self._run, widget_settings)

    def __repr__(self) -> str:
        return f"_UserRunWidget(widget_settings={{}}, run_id={self._run.id!r})"

    def _repr_mimebundle_(self, **_: object) -> dict[str, object]:
        return {**mimebundle(self._run), "text/plain": repr(self)}


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
            return f'<div style="{_FAINT}">no runs yet</div>'
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
