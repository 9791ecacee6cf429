"""One thread in a kernel looks at all live runs for all views, a few times a second.

Nothing is ever printed from it: views change their widgets, or a display by its id.
"""

from __future__ import annotations

import logging
import threading
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
        self._views: weakref.WeakSet[View] = weakref.WeakSet()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._called = threading.Event()

    def watch(self, view: View) -> None:
        """Refresh ``view`` from now on; it is held weakly. Once more is at once."""
        with self._lock:
            self._views.add(view)
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
        while (pause := self._refresh_all()) is not None:
            # A call ends a long pause, but never makes looks more frequent than the interval.
            if pause > self._interval:
                self._called.wait(pause - self._interval)
            threading.Event().wait(min(pause, self._interval))

    def _refresh_all(self) -> float | None:
        """Seconds until somebody wants to be looked at again; None when nobody is left."""
        # A method of its own, so that no view is held by a local variable during the pause.
        self._called.clear()
        with self._lock:
            views = list(self._views)
            if not views:
                self._thread = None
                return None
        pauses = [self._refresh(view) for view in views]
        return min((pause for pause in pauses if pause is not None), default=self._interval)

    def _refresh(self, view: View) -> float | None:
        try:
            pause = view.refresh()
        except Exception:  # noqa: BLE001 (one broken view must not stop the others)
            _log.debug("a view of a run failed", exc_info=True)
            pause = None
        if pause is None:
            self._views.discard(view)
            return None
        return max(pause, self._interval)


POLLER = Poller()
"""The kernel's own."""
