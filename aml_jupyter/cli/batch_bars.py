"""A batch on a terminal: a bar for all of it, and one for each notebook that runs."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ..job import states
from ..workspace.batch_run import BatchRow
from .present import shown_duration

_STYLES = {
    states.COMPLETED: "green",
    states.FAILED: "red",
    states.CANCELED: "yellow",
    states.RUNNING: "cyan",
}
_NO_TURN_YET = (states.NOT_STARTED, states.QUEUED)
_BAR = 20
_LEAST_ROWS = 3


def table(name: str, rows: Sequence[BatchRow], left: float | None, height: int) -> RenderableType:
    """How far a batch is, in ``height`` lines."""
    shown = _most_telling(rows, max(_LEAST_ROWS, height))
    found = Table(box=None, pad_edge=False, expand=True)
    for title in ("notebook", "state", "", "cell", "took", "left"):
        found.add_column(title, overflow="ellipsis", no_wrap=True)
    for row in shown:
        found.add_row(*_cells(row))
    rest = len(rows) - len(shown)
    more = [Text(f"… and {rest} more", style="dim")] if rest else []
    return Group(_head(name, rows, left), found, *more)


def _head(name: str, rows: Sequence[BatchRow], left: float | None) -> RenderableType:
    ended = sum(row.has_ended for row in rows)
    failed = sum(row.status == states.FAILED for row in rows)
    line = Table.grid(padding=(0, 2))
    told = f"{ended} of {len(rows)}" + (f", {failed} failed" if failed else "")
    soon = f"about {shown_duration(left)} left" if left is not None else ""
    line.add_row(
        Text(name, style="bold"),
        ProgressBar(total=max(1, len(rows)), completed=ended, width=_BAR),
        told,
        soon,
    )
    return line


def _cells(row: BatchRow) -> list[RenderableType]:
    style = _STYLES.get(row.status, "dim")
    status = f"{row.status}, earlier" if row.earlier else row.status
    bar: RenderableType = ""
    if row.part is not None and not row.has_ended:
        bar = ProgressBar(total=1.0, completed=row.part, width=_BAR)
    left = f"{shown_duration(row.left)}" if row.left is not None else ""
    told = row.error or row.cell
    return [row.name, Text(status, style=style), bar, told, shown_duration(row.seconds), left]


def _most_telling(rows: Sequence[BatchRow], most: int) -> list[BatchRow]:
    """As many rows as there is room for: those that run first, then failures, then what is next."""

    def weight(row: BatchRow) -> int:
        if not row.has_ended and row.status not in _NO_TURN_YET:
            return 0
        if row.status == states.FAILED:
            return 1
        return 3 if row.has_ended else 2

    kept = sorted(rows, key=weight)[:most]
    return sorted(kept, key=lambda row: row.index)
