"""Whether anybody is looking: a browser says so, unless it is gone or the kernel cannot listen."""

from __future__ import annotations

import time
from typing import Any

SILENCE = 90.0
"""Seconds without a word from a browser, after which it is taken to be gone."""


class _Kernel:
    """Knows whether a cell is being executed: until it ends, the kernel may hear no browser."""

    def __init__(self) -> None:
        self._shell: Any = None
        self._busy = False
        self._idle_since = time.monotonic()

    def listen(self) -> None:
        """Follow the cells of this kernel from now on; a second time changes nothing."""
        from IPython.core.getipython import get_ipython

        shell = get_ipython()
        if shell is None or shell is self._shell:
            return
        self._shell = shell
        self._busy = getattr(shell, "kernel", None) is not None
        shell.events.register("pre_run_cell", self._on_begin)
        shell.events.register("post_run_cell", self._on_end)

    def silent_since(self, heard: float) -> float:
        """Since when a browser that was last heard then could have been heard again."""
        return time.monotonic() if self._busy else max(heard, self._idle_since)

    def _on_begin(self, *_: object) -> None:
        self._busy = True

    def _on_end(self, *_: object) -> None:
        self._busy = False
        self._idle_since = time.monotonic()


_KERNEL = _Kernel()


class Presence:
    """Whether a view is in somebody's sight.

    The server keeps what a kernel sends for a browser that has gone, without bound: so a view
    that nobody has confirmed to look at for a while sends nothing any more.
    """

    def __init__(self, silence: float = SILENCE) -> None:
        _KERNEL.listen()
        self._silence = silence
        self._heard = time.monotonic()
        self._shown = True

    def heard(self, shown: bool | None = None) -> None:
        """Note a sign of life of a browser, and what it said of being in sight."""
        self._heard = time.monotonic()
        if shown is not None:
            self._shown = shown

    @property
    def looking(self) -> bool:
        """Whether it is worth while to send anything."""
        silence = time.monotonic() - _KERNEL.silent_since(self._heard)
        return self._shown and silence < self._silence
