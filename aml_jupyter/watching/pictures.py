"""Metrics that are not one number, as the pictures people expect of them: HTML without script."""

from __future__ import annotations

import base64
import math
import os
import stat
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..job import layout
from .markup import FAINT, FAINT_INK, GRID, INK, MONO, escaped, short, shown_number, side_by_side
from .schema_pictures import Broken, schema_picture
from .svg import PALETTE, Axis, Drawn, line_chart

if TYPE_CHECKING:
    from .svg import Floats

    Entry = Mapping[str, Any]

MOST_ROWS = 50
MOST_RUNS = 200

_MOST_COLUMNS = 20
_MOST_LINES = 8
_ALIKE = 30.0
_COLUMNS = 60
_LARGEST_JSON = 8 << 20
_SCHEMAS = ("confusion_matrix", "accuracy_table", "residuals", "predictions")
_SIGNS = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"BM", "image/bmp"),
)


def picture_of(name: str, entries: Sequence[Entry], folder: Path, limit: int) -> str:
    """HTML for the metric ``name`` of the run in ``folder``; images of up to ``limit`` bytes.

    The kind logged last decides. What cannot be drawn becomes a line that says why.
    """
    try:
        return _drawn(name, entries, Path(folder), limit)
    except Broken as error:
        return _titled(name, f'<div style="{FAINT}">Not drawn: {escaped(short(error, 300))}.</div>')


def _drawn(name: str, entries: Sequence[Entry], folder: Path, limit: int) -> str:
    if not entries:
        raise Broken("nothing was logged")
    last = entries[-1]
    kind, value = last.get("kind"), last.get("value")
    if kind == "scalar":
        return _text(name, value, len(entries))
    if kind == "list":
        return _list(name, entries)
    if kind in ("row", "table"):
        return _table(name, entries)
    if kind == "image":
        return _image(name, value, folder, limit, sum(e.get("kind") == "image" for e in entries))
    if kind in _SCHEMAS:
        content = _artifact(folder, value, _LARGEST_JSON)
        return _titled(name, schema_picture(str(kind), short(name, 200), content))
    raise Broken(f"a later version of aml_jupyter logged it, as {kind!r}")


def _titled(name: str, body: str, note: str = "") -> str:
    beside = f' <span style="{FAINT}">{escaped(note)}</span>' if note else ""
    title = f"<div><b>{escaped(short(name, 120))}</b>{beside}</div>"
    return f'<div style="min-width:0">{title}{body}</div>'


# Values, lists and tables


def _text(name: str, value: object, count: int) -> str:
    note = f"the last of {count}" if count > 1 else ""
    style = f"{MONO};white-space:pre-wrap;overflow-wrap:anywhere"
    text = str(value)
    shown = text if len(text) <= 500 else text[:500] + "…"
    return _titled(name, f'<div style="{style}">{escaped(shown)}</div>', note)


def _list(name: str, entries: Iterable[Entry]) -> str:
    values: list[Any] = []
    for entry in entries:
        value = entry.get("value")
        values.extend(value if isinstance(value, list) else [value])
    if not values:
        raise Broken("the list is empty")
    numbers = _numbers(values)
    if numbers is None or len(numbers) < 2:
        return _titled(name, _html_table({"value": values}, len(values)), f"{len(values)} values")
    x = np.arange(len(numbers), dtype=np.float64)
    line = _line(name, x, numbers, 0)
    note = f"{len(values)} values"
    return line_chart(name, [line], x_label="place in the list", note=note, columns=_COLUMNS)


@dataclass(frozen=True)
class _Columns:
    """Rows and tables of one name, one below the other."""

    cells: Mapping[str, list[Any]]
    rows: int
    left_out: int


def _table(name: str, entries: Iterable[Entry]) -> str:
    table = _merged(entries)
    if not table.cells:
        raise Broken("the table has no columns")
    more = f", {table.left_out} more columns" if table.left_out else ""
    note = f"{table.rows} row{'s' * (table.rows != 1)}{more}"
    numbers = {column: _numbers(cells) for column, cells in table.cells.items()}
    lines = {column: cells for column, cells in numbers.items() if cells is not None}
    shown = _html_table(table.cells, table.rows)
    if table.rows < 2 or len(lines) < len(numbers):
        return _titled(name, shown, note)
    details = f"<details><summary>Table: {escaped(note)}</summary>{shown}</details>"
    return f'<div style="min-width:0">{_table_charts(name, lines)}{details}</div>'


def _merged(entries: Iterable[Entry]) -> _Columns:
    cells: dict[str, list[Any]] = {}
    left_out: set[str] = set()
    length = 0
    for entry in entries:
        value = entry.get("value")
        if entry.get("kind") not in ("row", "table") or not isinstance(value, dict):
            continue
        rows = 0
        for column, given in value.items():
            new = given if isinstance(given, list) else [given]
            rows = max(rows, len(new))
            if column not in cells and len(cells) >= _MOST_COLUMNS:
                left_out.add(column)
                continue
            known = cells.setdefault(column, [])
            known.extend([None] * (length - len(known)))
            known.extend(new)
        length += rows
    for known in cells.values():
        known.extend([None] * (length - len(known)))
    return _Columns(cells, length, len(left_out))


def _table_charts(name: str, columns: Mapping[str, Floats]) -> str:
    """The columns over the first that only rises, else over the number of the row."""
    rising = [key for key, cells in columns.items() if bool((cells[1:] > cells[:-1]).all())]
    along = rising[0] if rising and len(columns) > 1 else ""
    rows = np.arange(len(next(iter(columns.values()))), dtype=np.float64)
    x, x_label = (columns[along], along) if along else (rows, "row")
    drawn = [(key, cells) for key, cells in columns.items() if key != along][:_MOST_LINES]
    lines = [_line(key, x, cells, place) for place, (key, cells) in enumerate(drawn)]
    if len(lines) > 1 and _alike([cells for _, cells in drawn]):
        return line_chart(name, lines, x_label=x_label, columns=_COLUMNS)
    charts = [
        line_chart(f"{short(name, 200)}: {line.label}", [line], x_label=x_label, columns=_COLUMNS)
        for line in lines
    ]
    return side_by_side("".join(charts))


def _alike(columns: Sequence[Floats]) -> bool:
    """Whether all columns can be read off one axis."""
    sizes = [np.abs(cells[np.isfinite(cells)]).max(initial=0.0) for cells in columns]
    sizes = [size for size in sizes if size > 0]
    return not sizes or max(sizes) / _ALIKE <= min(sizes)


def _line(label: str, x: Floats, y: Floats, place: int) -> Drawn:
    without = ~np.isfinite(y) & np.isfinite(x)
    colour, dash = PALETTE[place % len(PALETTE)]
    return Drawn(label, x, y, x[without], colour, dash, y[without])


def _numbers(values: Sequence[Any]) -> Floats | None:
    """``values`` as numbers, NaN for nothing; None if one of them is something else."""
    if not any(type(value) in (int, float) for value in values):
        return None
    if not all(value is None or type(value) in (int, float) for value in values):
        return None
    return np.array([_number(value) for value in values])


def _number(value: float | None) -> float:
    if value is None:
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _html_table(columns: Mapping[str, Sequence[Any]], rows: int) -> str:
    """At most ``MOST_ROWS`` rows, the first and the last ones."""
    half = MOST_ROWS // 2
    shown = [*range(rows)] if rows <= MOST_ROWS else [*range(half), *range(rows - half, rows)]
    style = f"text-align:left;padding:1px 8px;border-bottom:1px solid {GRID}"
    head = "".join(f'<th scope="col" style="{style}">{_cell(key)}</th>' for key in ["", *columns])
    body = ""
    for row in shown:
        if row == rows - half and rows > MOST_ROWS:
            said = f"… {rows - MOST_ROWS} more rows …"
            body += f'<tr><td colspan="{len(columns) + 1}" style="{FAINT}">{said}</td></tr>'
        cells = "".join(f"<td>{_cell(column[row])}</td>" for column in columns.values())
        body += f'<tr><td style="{FAINT}">{row}</td>{cells}</tr>'
    return (
        '<div style="overflow-x:auto"><table style="border-collapse:collapse;font-size:12px;'
        f'text-align:left"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def _cell(value: object) -> str:
    if value is None:
        return ""
    return escaped(shown_number(value) if type(value) is float else short(value, 60))


# Files of the run


def _image(name: str, location: object, folder: Path, limit: int, count: int) -> str:
    path = _place(folder, location)
    data = _content(path, limit)
    kind = next((kind for sign, kind in _SIGNS if data.startswith(sign)), "")
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        kind = "image/webp"
    elif path.suffix.lower() == ".svg":
        kind = "image/svg+xml"
    if not kind:
        raise Broken(f"{path.name}, {_size(len(data))}, is no picture that browsers show")
    source = f"data:{kind};base64,{base64.b64encode(data).decode()}"
    picture = (
        f'<img src="{source}" alt="{escaped(short(name, 200))}" '
        'style="max-width:100%;max-height:400px">'
    )
    return _titled(name, picture, f"the last of {count}" if count > 1 else "")


def _artifact(folder: Path, location: object, limit: int) -> object:
    import json

    path = _place(folder, location)
    content = _content(path, limit)
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        raise Broken(f"{path.name} is not JSON") from None


def _place(folder: Path, location: object) -> Path:
    """Where the artifact at v1's ``location`` is, which is nowhere outside the run's artifacts."""
    parts = str(location).split("/", 5)
    if parts[:4] != ["aml:", "", "artifactId", "ExperimentRun"] or len(parts) < 6:
        raise Broken(f"{location!r} is no place in a run")
    root = os.path.realpath(folder / layout.ARTIFACTS)
    try:
        path = os.path.realpath(os.path.join(root, parts[5]))
    except ValueError:
        raise Broken(f"{parts[5]!r} cannot be the name of a file") from None
    if not path.startswith(root + os.sep):
        raise Broken(f"{parts[5]!r} is outside the run")
    return Path(path)


def _content(path: Path, limit: int) -> bytes:
    """All of a file, if it is one and has at most ``limit`` bytes."""
    try:
        # Never to wait for a pipe that somebody left there.
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "no such name"
        raise Broken(f"{short(path.name, 80)} cannot be read ({reason})") from None
    try:
        facts = os.fstat(file)
        if not stat.S_ISREG(facts.st_mode):
            raise Broken(f"{path.name} is not a file")
        if facts.st_size > limit:
            raise Broken(f"{path.name} has {_size(facts.st_size)}, more than {_size(limit)}")
        with open(file, "rb", closefd=False) as opened:
            return opened.read(limit)
    finally:
        os.close(file)


def _size(count: float) -> str:
    for unit in ("bytes", "kB", "MB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} GB"


# Runs over their parameters

_SPACE, _AXIS, _HEAD = 120, 170, 28
_LOW, _MIDDLE, _HIGH = (26, 126, 194), (140, 140, 140), (213, 94, 0)
_TONES = 9


def parallel_coordinates(
    columns: Sequence[str],
    rows: Sequence[Sequence[object]],
    metric: str,
    labels: Sequence[str] = (),
) -> str:
    """SVG of runs as lines across one axis a column, coloured by the column ``metric``.

    ``rows`` hold a cell for each column: numbers, texts, or None; ``labels`` name the runs.
    """
    rows = [row for row in rows if len(row) == len(columns)][:MOST_RUNS]
    if not columns or not rows:
        return ""
    axes = [_Scale.of(name, [row[at] for row in rows]) for at, name in [*enumerate(columns)][:12]]
    width = _SPACE * len(axes)
    lines = _run_lines(axes, _shades(columns, rows, metric), labels)
    frames = "".join(_axis(at, axis) for at, axis in enumerate(axes))
    said = f"{len(rows)} runs over {', '.join(short(name, 40) for name in columns[:12])}"
    return (
        f'<svg role="img" aria-label="{escaped(said)}" viewBox="0 0 {width} {_HEAD + _AXIS + 20}" '
        f'width="{width}" height="{_HEAD + _AXIS + 20}" font-size="11" font-family="sans-serif" '
        f'style="max-width:100%;height:auto"><g fill="none" stroke-width="1.4" '
        f'stroke-opacity=".6">{lines}</g>{frames}</svg>'
    )


@dataclass(frozen=True)
class _Scale:
    """One axis: a place between 0 and 1 for each run, NaN for none, and what stands beside it."""

    name: str
    places: Floats
    ticks: Sequence[tuple[float, str]]

    @classmethod
    def of(cls, name: str, cells: Sequence[object]) -> _Scale:
        numbers = [_parsed(cell) for cell in cells]
        if all(
            number is not None or cell in (None, "")
            for number, cell in zip(numbers, cells, strict=True)
        ):
            return cls._numeric(name, np.array([math.nan if n is None else n for n in numbers]))
        words = sorted({str(cell) for cell in cells if cell not in (None, "")})
        at = {word: (i + 0.5) / len(words) for i, word in enumerate(words)}
        places = np.array([at.get(str(cell), math.nan) for cell in cells])
        return cls(name, places, [(at[word], word) for word in words[:: len(words) // 13 + 1]])

    @classmethod
    def _numeric(cls, name: str, values: Floats) -> _Scale:
        good = values[np.isfinite(values)]
        # Learning rates and their like are chosen by powers.
        log = bool(len(good) and good.min() > 0 and good.max() / 100 >= good.min())
        axis = Axis.over(values, log)
        different = np.unique(good)
        shown = axis.ticks(5)
        if 0 < len(different) <= 6:
            shown = [(float(value), shown_number(float(value))) for value in different]
        places = axis.parts(np.array([value for value, _ in shown]))
        ticks = [(float(at), label) for at, (_, label) in zip(places, shown, strict=True)]
        return cls(name, axis.parts(values), ticks)


def _parsed(cell: object) -> float | None:
    """A cell that is a number or reads as one, however it was written for a person."""
    if isinstance(cell, bool) or not isinstance(cell, (int, float, str)):
        return None
    try:
        return float(cell.replace("∞", "inf") if isinstance(cell, str) else cell)
    except (ValueError, OverflowError):
        return None


def _shades(columns: Sequence[str], rows: Sequence[Sequence[object]], metric: str) -> list[int]:
    """For each run how high its metric is among all, in ``_TONES`` steps; -1 without one."""
    if metric not in columns:
        return [-1] * len(rows)
    at = list(columns).index(metric)
    numbers = [_parsed(row[at]) for row in rows]
    values = np.array([math.nan if number is None else number for number in numbers])
    parts = Axis.over(values).parts(values)
    return [round(part * (_TONES - 1)) if math.isfinite(part) else -1 for part in parts]


def _run_lines(axes: Sequence[_Scale], shades: Sequence[int], labels: Sequence[str]) -> str:
    groups: dict[int, str] = {}
    for run, shade in enumerate(shades):
        path, pen = "", "M"
        for at, axis in enumerate(axes):
            if not math.isfinite(axis.places[run]):
                pen = "M"
                continue
            path += f"{pen}{_SPACE // 2 + at * _SPACE} {_height(axis.places[run])}"
            pen = "L"
        title = f"<title>{escaped(short(labels[run], 60))}</title>" if run < len(labels) else ""
        groups[shade] = groups.get(shade, "") + f'<path d="{path or "M0 0"}">{title}</path>'
    return "".join(f'<g stroke="{_tone(shade)}">{groups[shade]}</g>' for shade in sorted(groups))


def _height(place: float) -> int:
    return round(_HEAD + _AXIS - place * _AXIS)


def _tone(shade: int) -> str:
    """From blue by grey to orange, which those who see red and green alike can tell apart."""
    if shade < 0:
        return "#8c8c8c"
    part = shade / (_TONES - 1) * 2
    ends = (_LOW, _MIDDLE) if part <= 1 else (_MIDDLE, _HIGH)
    share = part if part <= 1 else part - 1
    mixed = (round(a + (b - a) * share) for a, b in zip(*ends, strict=True))
    return "#" + "".join(f"{value:02x}" for value in mixed)


def _axis(at: int, axis: _Scale) -> str:
    x = _SPACE // 2 + at * _SPACE
    ticks = "".join(
        f'<text x="{x + 5}" y="{_height(place) + 4}">{escaped(short(label, 10))}</text>'
        for place, label in axis.ticks
        if -0.01 <= place <= 1.01
    )
    name = short(axis.name, 16)
    whole = f"<title>{escaped(short(axis.name, 200))}</title>" if "…" in name else ""
    return (
        f'<text x="{x}" y="16" text-anchor="middle" font-weight="600" style="fill:{INK}">{whole}'
        f"{escaped(name)}</text>"
        f'<path d="M{x} {_HEAD}v{_AXIS}" style="stroke:{FAINT_INK}"/>'
        f'<g style="fill:{INK};paint-order:stroke;stroke-width:3px;'
        f'stroke:var(--jp-layout-color0,transparent)">{ticks}</g>'
    )
