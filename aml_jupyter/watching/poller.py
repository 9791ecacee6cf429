"""One thread looks at all live runs for all views of a process, a few times a second.

Nothing is ever printed from it: views change their widgets, or a display by its id, or tell a page.
"""

from __future__ import annotations

import logging
import threading
import time
import weakref
from typing import Protocol

INTERVAL = 0.25
"""Seconds between two looks: at most four updates a second."""

_log = logging.getLogger(__name__)


class View(Protocol):
    """Something that shows a run."""

    def refresh(self) -> float | None:
        """Show what is new; seconds until the next look, or None when there is no more to show."""


class Poller:
    """Refreshes views until they are finished, closed or forgotten by everyone else."""

    def __init__(self, interval: float = INTERVAL) -> None:
        self._interval = interval
        # When each is to be looked at again.
        self._views: weakref.WeakKeyDictionary[View, float] = weakref.WeakKeyDictionary()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._called = threading.Event()

    def watch(self, view: View) -> None:
        """Refresh ``view`` from now on; it is held weakly. Once more is at once."""
        with self._lock:
            self._views[view] = 0.0
            self._called.set()
            # A thread of before a fork is not one of this process.
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="aml-views", daemon=True)
                self._thread.start()

    @property
    def running(self) -> bool:
        """Whether there is anything left to look at."""
        thread = self._thread
        return thread is not None and thread.is_alive()

    def _run(self) -> None:
        while (pause := self._refresh_due()) is not None:
            # A call ends a long pause, but never makes looks more frequent than the interval.
            if pause > self._interval:
                self._called.wait(pause - self._interval)
            threading.Event().wait(min(pause, self._interval))

    def _refresh_due(self) -> float | None:
        """Seconds until somebody wants to be looked at again; None when nobody is left."""
        # A method of its own, so that no view is held by a local variable during the pause.
        self._called.clear()
        # Those that are due a little later need not wait for a round of their own.
        soon = time.monotonic() + self._interval / 2
        with self._lock:
            if not self._views:
                self._thread = None
                return None
            due = [view for view, at in self._views.items() if at <= soon]
            for view in due:  # whoever is called from now on is called for the next round
                self._views[view] = float("inf")
        for view in due:
            self._refresh(view)
        with self._lock:
            at = min(self._views.values(), default=0.0)
        return max(at - time.monotonic(), self._interval)

    def _refresh(self, view: View) -> None:
        try:
            pause = view.refresh()
        except Exception:  # noqa: BLE001 (one broken view must not stop the others)
            _log.debug("a view of a run failed", exc_info=True)
            pause = None
        with self._lock:
            called = self._views.get(view, 0.0) == 0.0
            if pause is None and not called:
                self._views.pop(view, None)
            elif not called:
                self._views[view] = time.monotonic() + max(pause or 0.0, self._interval)


POLLER = Poller()
"""The process's own."""
