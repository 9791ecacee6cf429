"""The live view of a notebook: a widget that a session fills, and its forms without a kernel.

What is sent, and when, is the session's; here is what it is shown on, and what is stored.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..watching.figures import Source
from ..watching.log_text import LogText
from ..watching.poller import POLLER
from ..watching.session import FROM_BROWSER, HIDDEN_PAUSE, ViewSession, first_tab
from .chart_grid import ChartGrid
from .panel import Panel
from .picture_box import PictureBox
from .presence import Presence
from .shots import take_shot

if TYPE_CHECKING:
    from ..store.series import MetricFeed
    from ..workspace import Run
    from .forms import Shot

WIDGET_MIME = "application/vnd.jupyter.widget-view+json"

_STORE_EVERY = 30.0
_CHARTS_A_LOOK = 12


class LiveView:
    """The widget of one run, or of several compared, live until they have ended."""

    def __init__(self, runs: Sequence[Run]) -> None:
        import ipywidgets as widgets

        self._presence = Presence()
        self._handle: Any = None
        self._stored: object = None
        self._stored_at = time.monotonic()
        self._panel = Panel(self._on_asked, tab=first_tab(runs))
        self._charts = _WidgetCharts(self._look_soon)
        self.widget = widgets.VBox([self._panel, *self._charts.widgets])
        self.widget.add_class("aml-view")
        # The widget is what the notebook holds on to: the view lives as long as it does.
        self.widget.aml_view = self
        screen = _PanelScreen(self._panel, self._presence)
        self._session = ViewSession(runs, screen, self._charts, self.follow)
        self._panel.observe(self._on_browser, names=list(FROM_BROWSER))

    # Being displayed

    def show(self) -> None:
        """Display it and follow the runs; the stored static forms follow as well."""
        from IPython.display import display

        self._handle = display(self.bundle(), raw=True, display_id=True)  # type: ignore[no-untyped-call]
        self.follow()

    def follow(self) -> None:
        """Keep the widget up to date from now on."""
        POLLER.watch(self)

    def bundle(self) -> dict[str, object]:
        """The widget with all its static forms."""
        from .forms import bundle

        model = {"version_major": 2, "version_minor": 0, "model_id": self.widget.model_id}
        return {WIDGET_MIME: model, **bundle(self._shot())}

    def refresh(self) -> float | None:
        """Show what is new; seconds until the next look, None when there will be no more."""
        with self._session.lock:
            if self.widget.comm is None:
                self._close()
                return None
            try:
                return self._refreshed()
            except OSError:  # a network disk that does not answer now may do so later
                return HIDDEN_PAUSE
            except Exception as error:
                shown = self._session.runs[0].id
                said = f"This view stopped ({error!r}); %aml_attach {shown} shows it anew."
                self._panel.tell("said", said, bad=True)
                raise

    def _refreshed(self) -> float | None:
        pause = self._session.refresh()
        if pause is None:
            if not self._presence.looking:
                self._session.read_to_end()
            self._store()
        elif self._panel.hosted and time.monotonic() > self._stored_at + _STORE_EVERY:
            self._store()
        return pause

    def _close(self) -> None:
        self._charts.close()
        self._panel.close()

    # What the notebook holds for when there is no kernel

    def _store(self) -> None:
        """Let the notebook hold the state of now."""
        self._stored_at = time.monotonic()
        if self._handle is not None and self._stored != (now := self._state()):
            self._stored = now
            self._handle.update(self.bundle(), raw=True)

    def _state(self) -> object:
        """Changes when the static forms would."""
        session = self._session
        points = sum(
            line.count
            for watch in session.everyone()
            for name in watch.metrics.names
            for line in watch.metrics.lines(name)
        )
        return [head.to_wire() | {"now": 0} for head in session.heads], points, session.log.size

    def _shot(self) -> Shot:
        session, log = self._session, LogText()
        log.feed(session.log.text())
        return take_shot(session.watches, session.heads, log, session.answers)

    # What a browser says; perhaps on another thread

    def _on_browser(self, change: Mapping[str, Any]) -> None:
        name, value = change["name"], change["new"]
        self._presence.heard(bool(value) if name == "shown" else None)
        self._session.heard(name)

    def _on_asked(self, asked: Mapping[str, Any]) -> None:
        self._presence.heard()
        self._session.ask(asked)

    def _look_soon(self) -> None:
        self._session.look_soon()


class _PanelScreen:
    """The panel as what a session is seen on."""

    def __init__(self, panel: Panel, presence: Presence) -> None:
        self._panel = panel
        self._presence = presence
        self.tell = panel.tell

    @property
    def looking(self) -> bool:
        return self._presence.looking

    def get(self, name: str) -> Any:
        return getattr(self._panel, name)

    def set(self, name: str, value: Any) -> None:
        setattr(self._panel, name, value)


class _WidgetCharts:
    """Charts by bqplot, and beside them what is no number."""

    def __init__(self, on_zoom: Callable[[], None]) -> None:
        self._grid = ChartGrid(on_zoom)
        self._pictures = PictureBox()
        self.widgets = [self._grid.widget, self._pictures.widget]

    @property
    def is_behind(self) -> bool:
        return self._grid.is_behind

    def update(self, sources: Sequence[Source], options: Mapping[str, Any]) -> dict[str, Any]:
        return self._grid.update(sources, options, _CHARTS_A_LOOK)

    def show_others(self, logged: Sequence[tuple[Path, MetricFeed]]) -> None:
        self._pictures.update(logged)

    def close(self) -> None:
        self._grid.close()
        self._pictures.close()
