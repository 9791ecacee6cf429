"""What `%aml_queue` shows: who runs on this machine, who waits, and what for."""

from __future__ import annotations

import time

from ..runner.leases import shown_bytes
from ..workspace.env_facts import shown_age
from ..workspace.queue_view import GpuView, QueuedRun, QueueView, summary_of
from .markup import FAINT, clean, escaped, shown_time
from .targets import Table

_SHOWN = 20
_TITLES = ("no.", "run", "experiment", "target", "asks for", "state", "since", "starts", "why")
_GPU_TITLES = ("gpu", "memory", "load", "others hold", "leased to")


class QueueTable:
    """The queue at one moment: its runs, the GPUs, and a sentence or three."""

    def __init__(self, view: QueueView, everything: bool = False) -> None:
        waiting = view.waiting if everything else view.waiting[:_SHOWN]
        runs = [*view.running, *waiting]
        self.tables = [Table(_TITLES, map(_row, runs))] if runs else []
        self.tables += [Table(_GPU_TITLES, map(_gpu_row, view.gpus))] if view.gpus else []
        left = len(view.waiting) - len(waiting)
        more = [f"… and {left} more; --all shows them."] if left else []
        self.words = [clean(line) for line in (*more, *summary_of(view))]

    def __repr__(self) -> str:
        return "\n\n".join([*map(repr, self.tables), "\n".join(self.words)])

    def _repr_html_(self) -> str:
        words = "".join(f'<div style="{FAINT}">{escaped(line)}</div>' for line in self.words)
        return "".join(table._repr_html_() for table in self.tables) + words


def _row(run: QueuedRun) -> list[str]:
    gpus = f"on GPU {', '.join(map(str, run.gpus))}" if run.gpus else ""
    return [
        "" if run.position is None else str(run.position),
        run.run_id,
        run.experiment,
        run.pool or run.target,
        run.asks_for,
        run.state,
        shown_age(run.since),
        _starts(run.expected),
        run.why or gpus,
    ]


def _starts(expected: float | None) -> str:
    if expected is None:
        return ""
    wait = expected - time.time()
    return "soon" if wait < 5 else f"in {shown_time(wait)}"


def _gpu_row(gpu: GpuView) -> list[str]:
    return [
        str(gpu.index),
        shown_bytes(gpu.memory_total) if gpu.memory_total else "",
        "" if gpu.load is None else f"{gpu.load:.0f} %",
        shown_bytes(gpu.foreign_memory) if gpu.foreign_memory else "",
        ", ".join(gpu.holders),
    ]
