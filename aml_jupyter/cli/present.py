"""How things look: to people as words and tables, to programs as JSON."""

from __future__ import annotations

import json
import math
import os
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..job import states

if TYPE_CHECKING:
    from ..store import RunSummary

_COLOURS = {
    states.COMPLETED: "green",
    states.FAILED: "red",
    states.CANCELED: "yellow",
    states.CANCEL_REQUESTED: "yellow",
    states.RUNNING: "cyan",
    states.FINALIZING: "cyan",
}
_CODES = {"green": 32, "red": 31, "yellow": 33, "cyan": 36, "bold": 1, "dim": 2}
_METRICS_SHOWN = 3
# The columns that give way on a narrow terminal; the beginning of an id is enough to name a run.
_LEAST_WIDTH = {"run": 24, "name": 4, "experiment": 4, "metrics": 9, "last": 9}


def say(text: str) -> None:
    """Tell the person something that is no part of the answer."""
    print(text, file=sys.stderr, flush=True)


def print_json(content: object) -> None:
    """One JSON object, readable by strict parsers: NaN and infinities become strings."""
    print(json.dumps(_strict(content), indent=2 if is_terminal() else None))


def _strict(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, Mapping):
        return {str(key): _strict(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_strict(inner) for inner in value]
    return value


def described(run: RunSummary, root: Path) -> dict[str, Any]:
    """A run as every command's JSON shows it."""
    from ..job.run import iso

    return {
        "id": run.id,
        "experiment": run.experiment,
        "number": run.number,
        "display_name": run.display_name,
        "type": run.type,
        "status": run.status,
        "created": iso(run.created),
        "started": None if run.started is None else iso(run.started),
        "ended": None if run.ended is None else iso(run.ended),
        "duration": duration_of(run),
        "target": run.target,
        "parent": run.parent,
        "archived": run.archived,
        "tags": run.tags,
        "properties": run.properties,
        "metrics": run.metrics,
        "folder": str(root / run.folder),
    }


def duration_of(run: RunSummary) -> float | None:
    """Seconds that the run took, or has taken so far; None before it started."""
    if run.started is None:
        return None
    return max(0.0, (time.time() if run.ended is None else run.ended) - run.started)


# Words ----------------------------------------------------------------------------------------


def shown_duration(seconds: float | None) -> str:
    """A length of time for people: ``4.2 s``, ``3 min 05 s``, ``2 h 10 min``."""
    from ..spec.words import shown_duration

    return shown_duration(seconds)


def ago(when: float | None) -> str:
    """How long ago something was, in one unit."""
    from ..spec.words import shown_age

    age = shown_age(when)
    return f"{age} ago" if age else ""


def shown_value(value: object) -> str:
    """A metric's value for people; five digits are enough to compare."""
    return f"{value:.5g}" if isinstance(value, float) else str(value)


def shown_metrics(metrics: Mapping[str, object]) -> str:
    """The first few metrics on one line."""
    shown = [f"{name} {shown_value(value)}" for name, value in metrics.items()]
    more = [f"… {len(shown) - _METRICS_SHOWN} more"] if len(shown) > _METRICS_SHOWN else []
    return "  ".join(shown[:_METRICS_SHOWN] + more)


# Terminals ------------------------------------------------------------------------------------


def is_terminal() -> bool:
    """Whether a person is looking at stdout."""
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


def styled(text: str, style: str) -> str:
    """``text`` in a colour or bold, where that can be seen."""
    if not is_terminal() or os.environ.get("NO_COLOR"):
        return text
    return f"\033[{_CODES[style]}m{text}\033[0m"


def shown_state(status: str) -> str:
    """A state in its colour."""
    return styled(status, _COLOURS.get(status, "dim"))


def print_table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table; on a terminal as wide as it is, elsewhere plain columns with nothing cut off."""
    rows = [[one_line(cell) for cell in row] for row in rows]
    if is_terminal():
        _print_rich(heads, rows)
        return
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    for row in [heads, *rows]:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print("  ".join(cells).rstrip())


def _print_rich(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for head in heads:
        table.add_column(head, no_wrap=head not in _LEAST_WIDTH, min_width=_LEAST_WIDTH.get(head))
    for row in rows:
        cells = (
            Text(each, _COLOURS.get(each, ""), no_wrap=True, overflow="ellipsis") for each in row
        )
        table.add_row(*cells)
    Console().print(table)


def one_line(text: str) -> str:
    """``text`` without what would break a line or command the terminal."""
    return "".join(letter if letter.isprintable() else "�" for letter in text)


def printable_lines(text: str) -> str:
    """Lines of text without what would command the terminal; tabs stay."""
    return "".join(letter if letter.isprintable() or letter in "\n\t" else "�" for letter in text)
