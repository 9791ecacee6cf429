"""Polling backends that may take their time, beside the runner's other work."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable, Mapping

from ..backends import Backend, Handle, JobStatus

_PAUSE = 0.25
_PAUSE_IN_HASTE = 0.03


class Asker:
    """Asks one backend on a thread, one question at a time; ``wake`` is called at each answer."""

    def __init__(self, backend: Backend, wake: Callable[[], object]) -> None:
        self._backend = backend
        self._wake = wake
        self._answers: dict[str, JobStatus] = {}
        self._thread: threading.Thread | None = None
        self._not_before = 0.0

    def take(self, handles: Mapping[str, Handle], in_haste: bool) -> dict[str, JobStatus]:
        """The answers since the last call, by the names of the jobs; has the next ones asked for.

        ``in_haste``: a job is just starting, and somebody watches.
        """
        if self._thread is not None and self._thread.is_alive():
            return {}
        answers, self._answers = self._answers, {}
        if handles and time.monotonic() >= self._not_before:
            self._not_before = time.monotonic() + (_PAUSE_IN_HASTE if in_haste else _PAUSE)
            self._thread = threading.Thread(target=self._ask, args=(dict(handles),), daemon=True)
            self._thread.start()
        return answers

    def next_look(self) -> float:
        """Seconds until there is something to ask again."""
        return max(0.0, self._not_before - time.monotonic())

    def _ask(self, handles: dict[str, Handle]) -> None:
        try:
            answers = self._backend.poll(list(handles.values()))
            self._answers = dict(zip(handles, answers, strict=True))
        except Exception:  # noqa: BLE001 - a backend's trouble must not end the runner
            traceback.print_exc()
        self._wake()
