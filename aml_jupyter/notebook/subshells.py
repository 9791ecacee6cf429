"""Hearing a browser while a cell is being executed, and after its page was loaded anew.

A browser may speak to a subshell of the kernel, which listens while a cell runs. ipykernel 7.4
brings its answers to where the kernel last *spoke* from instead, as far as a thread can know: to
the main shell, which is busy, or to the subshell of a page that is gone, where they are lost.
"""

from __future__ import annotations

from typing import Any


class HeardAnywhere:
    """For widgets, before their base class: what a browser says is heard where it was sent to."""

    comm: Any

    def open(self) -> None:
        """Open the way to the browser."""
        super().open()  # type: ignore[misc]
        self._forget_where_it_spoke()

    def _send(self, msg: Any, buffers: Any = None) -> None:
        super()._send(msg, buffers)  # type: ignore[misc]
        self._forget_where_it_spoke()

    def _forget_where_it_spoke(self) -> None:
        # Without it, as with every other version, a message goes to the shell that it names.
        vars(self.comm or self).pop("_reply_subshell_id", None)
