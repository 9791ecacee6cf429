"""One HTML page of a batch: an index, plots of metrics over parameters, all executed notebooks.

It needs no network and no other file. What a notebook says is shown without its scripts.
"""

from __future__ import annotations

import html
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UserErrorException
from ..job import layout, states
from .batch_values import differing
from .facts import shown_duration

if TYPE_CHECKING:
    from .batch_run import BatchRow, BatchRun

FILE = "report.html"

_LARGEST_NOTEBOOK = 20 << 20
_MOST_PLOTS = 12
_WIDTH, _HEIGHT, _EDGE = 260, 170, 36
_COLOURS = {states.COMPLETED: "#2e7d32", states.FAILED: "#c62828", states.CANCELED: "#b26a00"}

_STYLE = """
body{font:14px/1.5 system-ui,sans-serif;margin:0 auto;max-width:70rem;padding:1.5rem;color:#222}
h1{font-size:1.5rem}h2{font-size:1.1rem;margin-top:2.5rem;padding-top:1rem;
border-top:1px solid #ddd}
table{border-collapse:collapse;font-size:13px}th,td{padding:.25rem .6rem;text-align:left}
th{border-bottom:1px solid #999}tbody tr:nth-child(even){background:#f6f6f6}
td.n{text-align:right;font-variant-numeric:tabular-nums}.e{color:#c62828;white-space:pre-wrap}
.plots{display:flex;flex-wrap:wrap;gap:1rem;margin:1rem 0}.faint{color:#666}
.notebook{overflow-x:auto}.notebook pre{background:#f7f7f7;padding:.5rem;
overflow-x:auto;margin:.4rem 0}
.notebook img,.notebook svg{max-width:100%}.notebook .output_error pre{background:#fdecea}
.notebook .prompt{color:#888;font-size:12px}details>summary{cursor:pointer}
@media print{details>*{display:block}}
"""


def write_report(batch: BatchRun, path: str | Path | None = None) -> Path:
    """Write the page; into the outputs of the batch if no place is named."""
    target = Path(path) if path else batch.folder / layout.OUTPUTS / FILE
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = target.with_name(f"{target.name}.{os.getpid()}.tmp")
    try:
        with open(aside, "w", encoding="utf-8") as file:
            file.writelines(_page(batch, batch.rows()))
        os.replace(aside, target)
    except OSError as error:
        aside.unlink(missing_ok=True)
        raise layout.full_disk(error, str(target)) from error
    return target.absolute()


def _page(batch: BatchRun, rows: Sequence[BatchRow]) -> Iterator[str]:
    title = html.escape(f"{batch.display_name} · {Path(batch.notebook).name}")
    yield f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
    yield f"<style>{_STYLE}</style><h1>{title}</h1>"
    done = sum(row.status == states.COMPLETED for row in rows)
    yield f'<p class="faint">{html.escape(batch.get_status())}, {done} of {len(rows)} completed. '
    yield f"Batch {html.escape(batch.id)}.</p>"
    yield _index(rows)
    yield f'<div class="plots">{"".join(_plots(rows))}</div>'
    exporter = _exporter()
    for row in rows:
        yield from _section(row, exporter)
    yield "</html>\n"


# The index ------------------------------------------------------------------------------------


def _index(rows: Sequence[BatchRow]) -> str:
    parameters = list(dict.fromkeys(name for row in rows for name in row.parameters))
    metrics = list(dict.fromkeys(name for row in rows for name in row.metrics))[:20]
    titles = ["Notebook", "State", "Took", *parameters, *metrics, ""]
    head = "".join(f"<th>{html.escape(title)}</th>" for title in titles)
    body = "".join(_line(row, parameters, metrics) for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _line(row: BatchRow, parameters: Sequence[str], metrics: Sequence[str]) -> str:
    colour = _COLOURS.get(row.status, "#666")
    cells = [
        f'<td><a href="#notebook-{row.index}">{html.escape(row.name)}</a></td>',
        f'<td style="color:{colour}">{html.escape(row.status)}</td>',
        f'<td class="n">{html.escape(shown_duration(row.seconds))}</td>',
        *(f'<td class="n">{_value(row.parameters.get(name))}</td>' for name in parameters),
        *(f'<td class="n">{_value(row.metrics.get(name))}</td>' for name in metrics),
        f'<td class="e">{html.escape(row.error)}</td>',
    ]
    return f"<tr>{''.join(cells)}</tr>"


def _value(value: object) -> str:
    if value is None:
        return ""
    return html.escape(f"{value:.6g}" if isinstance(value, float) else str(value))


# The plots ------------------------------------------------------------------------------------


def _plots(rows: Sequence[BatchRow]) -> Iterator[str]:
    """Each metric over each parameter that is a number and not always the same."""
    names = differing([row.parameters for row in rows])
    metrics = list(dict.fromkeys(name for row in rows for name in row.metrics))
    made = 0
    for metric in metrics:
        for name in names:
            points = [
                (x, y)
                for row in rows
                if (x := _number(row.parameters.get(name))) is not None
                and (y := _number(row.metrics.get(metric))) is not None
            ]
            if len({x for x, _ in points}) > 1 and made < _MOST_PLOTS:
                made += 1
                yield _plot(name, metric, points)


def _number(value: object) -> float | None:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    number = float(str(value)) if is_number else math.nan
    return number if math.isfinite(number) else None


def _plot(name: str, metric: str, points: Sequence[tuple[float, float]]) -> str:
    across, up = [x for x, _ in points], [y for _, y in points]
    place_x = _scale(min(across), max(across), _EDGE, _WIDTH - 10)
    place_y = _scale(min(up), max(up), _HEIGHT - _EDGE, 16)
    dots = "".join(
        f'<circle cx="{place_x(x):.1f}" cy="{place_y(y):.1f}" r="3" fill="#1f77b4"'
        f' fill-opacity=".7"><title>{x:.6g}, {y:.6g}</title></circle>'
        for x, y in points
    )
    bottom, middle = _HEIGHT - _EDGE, (_EDGE + _WIDTH) / 2
    axis = f"M{_EDGE - 4},10V{bottom + 4}H{_WIDTH - 6}"
    texts = [
        (_EDGE - 2, bottom + 16, "start", f"{min(across):.4g}"),
        (_WIDTH - 8, bottom + 16, "end", f"{max(across):.4g}"),
        (middle, bottom + 30, "middle", name),
        (_EDGE + 2, 12, "start", f"{metric} {min(up):.4g} to {max(up):.4g}"),
    ]
    written = "".join(
        f'<text x="{x}" y="{y}" text-anchor="{anchor}" font-size="11" fill="#444">'
        f"{html.escape(text)}</text>"
        for x, y, anchor, text in texts
    )
    label = html.escape(f"{metric} over {name}", quote=True)
    return (
        f'<svg width="{_WIDTH}" height="{_HEIGHT}" role="img" aria-label="{label}">'
        f'<path d="{axis}" fill="none" stroke="#999"/>{dots}{written}</svg>'
    )


def _scale(least: float, most: float, first: float, last: float) -> Any:
    span = (most - least) or 1.0
    return lambda value: first + (value - least) / span * (last - first)


# The notebooks --------------------------------------------------------------------------------


def _exporter() -> Any:
    try:
        nbconvert: Any = import_module("nbconvert")
    except ImportError as error:
        raise UserErrorException(
            "The report needs nbconvert, which is not installed here.", "pip install nbconvert"
        ) from error
    exporter = nbconvert.HTMLExporter(template_name="basic", sanitize_html=True)
    exporter.exclude_anchor_links = True
    return exporter


def _section(row: BatchRow, exporter: Any) -> Iterator[str]:
    yield f'<h2 id="notebook-{row.index}">{html.escape(row.name)}</h2>'
    yield f'<p class="faint">{html.escape(_told(row.parameters))}</p>'
    if row.error:
        yield f'<p class="e">{html.escape(row.error)}</p>'
    path = row.executed
    if path is None:
        yield '<p class="faint">It was not executed.</p>'
    elif path.stat().st_size > _LARGEST_NOTEBOOK:
        yield f'<p class="faint">Too large to be shown here: {html.escape(str(path))}</p>'
    else:
        yield f'<details open><summary class="faint">{html.escape(str(path))}</summary>'
        yield f'<div class="notebook">{_body(path, exporter)}</div></details>'


def _body(path: Path, exporter: Any) -> str:
    try:
        body, _ = exporter.from_filename(str(path))
    except Exception as error:  # noqa: BLE001 - one notebook must not cost the page of all others
        return f'<p class="e">{html.escape(f"It cannot be shown: {error}")}</p>'
    return str(body)


def _told(parameters: Mapping[str, object]) -> str:
    return ", ".join(f"{name} = {value!r}" for name, value in parameters.items())
