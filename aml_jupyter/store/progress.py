"""A line that shows how far something slow has come; nothing at all for what is quick."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Progress = Callable[[int, int], None]

_QUIET_FOR = 1.0
_EVERY = 0.2
_WIDTH = 30


@contextmanager
def shown_progress(what: str, unit: str = "") -> Iterator[Progress]:
    """Yields a callback ``(done, total)`` that draws a bar on stderr after the first second."""
    line = _Line(what, unit)
    try:
        yield line.update
    finally:
        line.clear()


class _Line:
    def __init__(self, what: str, unit: str) -> None:
        self._what = what
        self._unit = unit
        self._next = time.monotonic() + _QUIET_FOR
        self._drawn = False

    def update(self, done: int, total: int) -> None:
        now = time.monotonic()
        if now < self._next or not total:
            return
        self._next = now + _EVERY
        self._drawn = True
        filled = min(_WIDTH, _WIDTH * done // total)
        bar = "█" * filled + "·" * (_WIDTH - filled)
        sys.stderr.write(f"\r{self._what} {bar} {self._amount(done)} of {self._amount(total)}")
        sys.stderr.flush()

    def clear(self) -> None:
        if self._drawn:
            sys.stderr.write("\r" + " " * 78 + "\r")
            sys.stderr.flush()

    def _amount(self, number: int) -> str:
        return f"{number / 1e6:.0f} MB" if self._unit == "bytes" else f"{number:,} {self._unit}"
