"""What there is to show of a run, looked at again and again at little cost."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..store.feed import RunFeed, Series
from .log_text import LogText

if TYPE_CHECKING:
    from ..workspace import Run

# bqplot draws up to a thousand points quickly, and freezes far above.
_POINTS = 1000


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
        self._feed = RunFeed(run.folder, _POINTS)
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
