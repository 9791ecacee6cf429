"""Looks after what all running jobs write for TensorBoard, each when it is due."""

from __future__ import annotations

import math
import time
import traceback
from collections.abc import Mapping

from .lifecycle import ActiveRun
from .sampling import next_turn, say

_FIRST = 0.5
_A_LOOK = 0.004
_WHILE_BEHIND = 0.1
_LARGEST_SHARE = 0.01
_AFTER_A_FAULT = 60.0


class EventWatch:
    """Takes event files in as they grow; trouble with them is never their job's."""

    def __init__(self) -> None:
        self._due: dict[str, float] = {}

    @property
    def next_look(self) -> float | None:
        """Seconds until a job is due; None while there is none."""
        due = min(self._due.values(), default=math.inf)
        return None if due == math.inf else max(0.0, due - time.monotonic())

    def look(self, runs: Mapping[str, ActiveRun]) -> None:
        """Look at those of ``runs`` that are due; cheap when there are none."""
        now = time.monotonic()
        running = {name: run for name, run in runs.items() if run.is_running}
        for name in self._due.keys() - running.keys():
            del self._due[name]
        for name, run in running.items():
            if self._due.setdefault(name, now + _FIRST) <= now:
                self._due[name] = _looked(run, now)


def _looked(run: ActiveRun, now: float) -> float:
    """Look at one run, and tell when it is due again."""
    used = time.thread_time()
    try:
        is_all = run.event_logs.look(_A_LOOK)
    except OSError as error:
        say(f"{run.entry.run_id}: its event files are left alone for a while: {error!r}")
        return now + _AFTER_A_FAULT
    except Exception:  # noqa: BLE001 - it is only about a few charts
        say(traceback.format_exc())
        return math.inf
    if not is_all:
        return now + _WHILE_BEHIND
    return next_turn(now, run.age or 0.0, (time.thread_time() - used) / _LARGEST_SHARE)
