"""What `%aml_queue` shows: who runs on this machine, who waits, and what for."""

from __future__ import annotations

from ..watching.markup import FAINT, clean, escaped
from ..workspace.queue_view import GPU_COLUMNS, RUN_COLUMNS, QueueView, summary_of
from .targets import Table


class QueueTable:
    """The queue at one moment: its runs, the GPUs, and a sentence or three."""

    def __init__(self, view: QueueView, everything: bool = False) -> None:
        runs, more = view.shown(everything)
        self.tables = [Table(RUN_COLUMNS, (run.row() for run in runs))] if runs else []
        if view.gpus:
            self.tables.append(Table(GPU_COLUMNS, (gpu.row() for gpu in view.gpus)))
        self.words = [clean(line) for line in (*more, *summary_of(view))]

    def __repr__(self) -> str:
        return "\n\n".join([*map(repr, self.tables), "\n".join(self.words)])

    def _repr_html_(self) -> str:
        words = "".join(f'<div style="{FAINT}">{escaped(line)}</div>' for line in self.words)
        return "".join(table._repr_html_() for table in self.tables) + words
