"""The process that takes queued runs to their end, whoever else is alive.

One for each user and host, started by the first submit, gone after ten idle minutes. It holds
nothing that is not on disk: killed at any moment, its successor goes on where it stood.
"""

from __future__ import annotations

from ..lazy import names_from

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .client import (
        RunnerStatus,
        enqueue,
        ensure_runner,
        impossible_here,
        look_after,
        resize_pool,
        runner_status,
        stop_runner,
        wake,
    )
    from .queue import Ask

__all__ = [
    "Ask",
    "RunnerStatus",
    "enqueue",
    "ensure_runner",
    "impossible_here",
    "look_after",
    "resize_pool",
    "runner_status",
    "stop_runner",
    "wake",
]

__getattr__ = names_from(__name__, {"client": " ".join(__all__[1:]), "queue": "Ask"})
