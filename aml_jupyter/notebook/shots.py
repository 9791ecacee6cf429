"""A run, or several, at one moment: what the forms without a kernel are made from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..store.series import Line
from ..watching.log_text import LogText
from ..watching.pictures import picture_of
from ..watching.svg import COLUMNS, Drawn, line_style
from .forms import Curve, Shot

if TYPE_CHECKING:
    from ..watching.answers import Answers
    from ..watching.watch import Head, Watch

_MOST_CURVES = 20
_MOST_OTHERS = 20
_IMAGE_BYTES = 150_000


def take_shot(
    watches: Sequence[Watch], heads: Sequence[Head], log: LogText, answers: Answers
) -> Shot:
    """Everything that the static forms show of these runs now."""
    names = list(dict.fromkeys(name for watch in watches for name in watch.metrics.names))
    curves = [_curve(name, watches, heads) for name in names[: 4 * _MOST_CURVES]]
    curves.sort(key=lambda curve: curve.count < 2)  # single values last, else as they appeared
    first = watches[0]
    others = [
        (name, picture_of(name, entries, first.run.folder, _IMAGE_BYTES))
        for name, entries in list(first.metrics.others.items())[:_MOST_OTHERS]
    ]
    children = answers.child_table() if len(watches) == 1 else None
    return Shot(
        heads=heads,
        curves=curves[:_MOST_CURVES],
        metrics=len(names) + len(first.metrics.others),
        others=others,
        log=log,
        children=children if children and children["rows"] else None,
        comparison=answers.comparison(),
        run_type=first.run.type,
    )


def _curve(name: str, watches: Sequence[Watch], heads: Sequence[Head]) -> Curve:
    """A colour for each run, the same in every chart, and a dash for each of its processes."""
    drawn: list[Drawn] = []
    last, count = float("nan"), 0
    for place, (watch, head) in enumerate(zip(watches, heads, strict=True)):
        lines = watch.metrics.lines(name)
        for number, line in enumerate(lines):
            label = head.name if len(lines) == 1 else f"{head.name} · {number + 1}"
            drawn.append(_drawn(label, line, *line_style(place, number, len(watches) > 1)))
            last, count = line.last, count + line.count
    return Curve(name, drawn, last, count)


def _drawn(label: str, line: Line, colour: str, dash: str) -> Drawn:
    points = line.points("step", COLUMNS)
    return Drawn(label, points.x, points.y, points.gaps, colour, dash, points.gap_kinds)
