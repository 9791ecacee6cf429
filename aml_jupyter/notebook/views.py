"""How runs look in a notebook: a card that needs nothing, and a live view where there is a kernel.

Every display carries all forms at once (widget, HTML, plain text, JSON), so that a notebook saved
and opened without its kernel still shows the run.
"""

from __future__ import annotations

import html
import os
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..errors import AmlError
from ..job import states
from . import charts
from .forms import FAINT, drawn, header, log_block, static_bundle
from .poller import POLLER
from .watch import Look, Watch, shown_time
from .widget_data import widget_data

if TYPE_CHECKING:
    from ..workspace import Run

WIDGET_MIME = "application/vnd.jupyter.widget-view+json"

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
        values = [f"{n} {charts.shown_number(s.last)}" for n, s in drawn(look.series)]
        parts = [look.status, look.id, shown_time(look.elapsed), look.progress, *values]
        text = " · ".join(part for part in [*parts, look.error.split("\n")[0]] if part)
        metrics = f'<span style="{FAINT}"> {html.escape(" · ".join(values))}</span>'
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
        return widget_data(self._run, widget_settings)

    def __repr__(self) -> str:
        return f"_UserRunWidget(widget_settings={{}}, run_id={self._run.id!r})"

    def _repr_mimebundle_(self, **_: object) -> dict[str, object]:
        return {**mimebundle(self._run), "text/plain": repr(self)}
