"""How runs look in a notebook: a card that needs nothing, and a live view where there is a kernel.

Every display carries all forms at once (widget, HTML, plain text, JSON), so that a notebook saved
and opened without its kernel still shows the run.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import UserErrorException
from ..job import layout
from ..store.feed import LogTail
from ..watching.answers import Answers
from ..watching.log_text import LogText
from ..watching.markup import FAINT, escaped, shown_number, shown_time
from ..watching.poller import POLLER
from ..watching.watch import watch_all
from . import forms
from .shots import take_shot
from .widget_data import widget_data

if TYPE_CHECKING:
    from ..workspace import Run

_CARD_EVERY = 1.0
_MOST_VALUES = 4
_MOST_RUNS = 20

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
    named = _has_notebook() or os.environ.get("COLAB_RELEASE_TAG")
    return "live" if named or "__vsc_ipynb_file__" in shell.user_ns else "updates"


def _has_notebook() -> bool:
    """Whether the server opened this kernel for a notebook.

    A notebook that runs another, as papermill does, hands its own name down to that one's kernel.
    """
    import psutil

    named = os.environ.get("JPY_SESSION_NAME")
    if not named:
        return False
    try:
        starter = psutil.Process(int(os.environ.get("JPY_PARENT_PID") or 0))
        return bool(starter.environ().get("JPY_SESSION_NAME") != named)
    except (ValueError, OSError, psutil.Error):  # gone, or another user's: a server, not a kernel
        return True


# Views without widgets


class CardView:
    """Runs shown without widgets; where displays can be updated it follows them."""

    def __init__(self, runs: Sequence[Run]) -> None:
        self._lock = threading.Lock()
        self._watches = watch_all(runs)
        self._answers = Answers(self._watches)
        self._tail = LogTail(runs[0].folder / layout.DRIVER_LOG)
        self._log = LogText()
        self._handle: Any = None
        self._shown: dict[str, object] = {}

    def show(self, follow: bool) -> None:
        """Display it, and keep it up to date until the runs have ended if ``follow``."""
        from IPython.display import display

        self._shown = self.bundle()
        self._handle = display(self._shown, raw=True, display_id=True)  # type: ignore[no-untyped-call]
        if follow and not self._finished:
            _keep(self)

    def refresh(self) -> float | None:
        """Show what is new."""
        with self._lock:
            try:
                bundle = self.bundle()
            except OSError:  # a network disk that does not answer now may do so later
                return _CARD_EVERY
            if bundle != self._shown:
                self._shown = bundle
                self._handle.update(bundle, raw=True)
            return None if self._finished else _CARD_EVERY

    def show_end(self) -> None:
        """Show at once that the runs have ended, if they have and it is not shown yet."""
        with self._lock:
            was_finished = self._finished
            for watch in self._watches:
                watch.look()
            has_just_ended = self._finished != was_finished
        if has_just_ended:
            self.refresh()

    def bundle(self) -> dict[str, object]:
        """All forms of the runs as they are now."""
        heads = [watch.look() for watch in self._watches]
        for watch in self._watches:
            while watch.read_metrics():
                pass
        self._read_log()
        return forms.bundle(take_shot(self._watches, heads, self._log, self._answers))

    def _read_log(self) -> None:
        skipped = self._tail.skip_to_tail()
        self._log.feed(self._tail.text(), skipped)

    @property
    def _finished(self) -> bool:
        return all(watch.finished for watch in self._watches)


class LineView(CardView):
    """A run as one line that follows its state: ``--quiet``."""

    def bundle(self) -> dict[str, object]:
        """The line, as text and as HTML."""
        watch = self._watches[0]
        self._read_log()
        head = watch.look(self._log.lines()[-2:])
        watch.read_metrics()
        names = watch.metrics.names[:_MOST_VALUES]
        values = [f"{name} {shown_number(watch.metrics.lines(name)[-1].last)}" for name in names]
        progress = head.progress.text if head.progress else ""
        parts = [head.status, head.id, shown_time(head.elapsed), progress, *values]
        text = " · ".join(part for part in [*parts, head.error.split("\n")[0]] if part)
        metrics = f'<span style="{FAINT}"> {escaped(" · ".join(values))}</span>'
        return {"text/plain": text, "text/html": forms.header(head) + (metrics if values else "")}


_kept: set[CardView] = set()


def _keep(view: CardView) -> None:
    """Follow a view that no widget holds, until its runs have ended."""
    from IPython.core.getipython import get_ipython

    _kept.intersection_update({kept for kept in _kept if not kept._finished})
    _kept.add(view)
    POLLER.watch(view)
    shell = get_ipython()
    if shell is not None:
        shell.events.register("post_run_cell", _show_ends)


def _show_ends(*_: object) -> None:
    # What runs a notebook in a batch ends the kernel with its last cell, before the next look.
    for view in list(_kept):
        try:
            view.show_end()
        except OSError:  # as above: the poller looks again
            continue


# Showing


def show(runs: Sequence[Run], quiet: bool = False) -> None:
    """Display runs in the best way the place allows; returns at once."""
    where = surface()
    if quiet:
        LineView(runs).show(follow=where != "once")
    elif where == "live":
        from .live import LiveView

        LiveView(runs).show()
    else:
        CardView(runs).show(follow=where == "updates")


def mimebundle(runs: Sequence[Run]) -> dict[str, object]:
    """The display of runs at the end of a cell: live where there is a front end."""
    if surface() == "live":
        from .live import LiveView

        view = LiveView(runs)
        view.follow()
        return view.bundle()
    return CardView(runs).bundle()


class RunDetails:
    """v1's widget: ``RunDetails(run).show()`` never blocks and never fails for want of a UI.

    A list of runs is shown together: one line for each in every chart, and what differs.
    """

    def __init__(self, run_instance: Run | Sequence[Run]) -> None:
        several = isinstance(run_instance, Sequence)
        self._runs: list[Run] = list(run_instance) if several else [run_instance]  # type: ignore[arg-type,list-item]
        if not 0 < len(self._runs) <= _MOST_RUNS:
            raise UserErrorException(
                f"RunDetails was given {len(self._runs)} runs.",
                f"Give it one run, or a list of up to {_MOST_RUNS} to compare them.",
            )

    def show(self, render_lib: object = None, widget_settings: object = None) -> None:
        """Display the run and follow it until it ends."""
        show(self._runs)

    def get_widget_data(self, widget_settings: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """What the widget shows, with v1's keys."""
        return widget_data(self._runs[0], widget_settings)

    def __repr__(self) -> str:
        named = ", ".join(f"run_id={run.id!r}" for run in self._runs)
        return f"_UserRunWidget(widget_settings={{}}, {named})"

    def _repr_mimebundle_(self, **_: object) -> dict[str, object]:
        return {**mimebundle(self._runs), "text/plain": repr(self)}
