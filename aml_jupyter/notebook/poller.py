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

    def refresh(self) -> bool:
        """Show what is new; False when there will be nothing more to show."""


class Poller:
    """Refreshes views until they are finished, closed or forgotten by everyone else."""

    def __init__(self, interval: float = INTERVAL) -> None:
        self._interval = interval
        self._views: weakref.WeakSet[View] = weakref.WeakSet()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def watch(self, view: View) -> None:
        """Refresh ``view`` from now on; it is held weakly."""
        with self._lock:
            self._views.add(view)
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
        pause = threading.Event()
        while self._refresh_all():
            pause.wait(self._interval)

    def _refresh_all(self) -> bool:
        # A method of its own, so that no view is held by a local variable during the pause.
        with self._lock:
            views = list(self._views)
            if not views:
                self._thread = None
                return False
        for view in views:
            try:
                more = view.refresh()
            except Exception:  # noqa: BLE001 (one broken view must not stop the others)
                _log.debug("a view of a run failed", exc_info=True)
                more = False
            if not more:
                self._views.discard(view)
        return True


POLLER = Poller()
"""The kernel's own."""
