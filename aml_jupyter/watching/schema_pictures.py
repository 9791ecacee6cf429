"""v1's four chart metrics: confusion matrix, accuracy table, residuals, predictions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .markup import FAINT, INK, escaped, short, shown_number, side_by_side
from .svg import PALETTE, Axis, Drawn, Plot

if TYPE_CHECKING:
    from .svg import Floats

_MOST_CELLS_WIDE = 30
_MOST_SHARES_WIDE = 12
_MOST_CLASSES = 10
_MOST_BINS = 300
_COLUMNS = 24
_BLUE, _ORANGE = PALETTE[0][0], PALETTE[1][0]
_FAINT_LINE = "#808080"
_SQUARE = 250


class Broken(ValueError):
    """What was logged cannot be drawn; says why, as the end of a sentence."""


def schema_picture(kind: str, name: str, content: object) -> str:
    """HTML for the ``content`` of an artifact of this ``kind``; ``Broken`` if it is not that."""
    data = content.get("data") if isinstance(content, dict) else None
    if not isinstance(data, dict):
        raise Broken("the stored JSON holds no data")
    drawers: Mapping[str, Callable[[str, Mapping[str, Any]], str]] = {
        "confusion_matrix": _confusion_matrix,
        "accuracy_table": _accuracy_table,
        "residuals": _residuals,
        "predictions": _predictions,
    }
    return drawers[kind](name, data)


def _array(data: Mapping[str, Any], key: str, dimensions: int) -> Floats:
    try:
        values = np.array(data.get(key), dtype=np.float64)
    except (ValueError, TypeError, OverflowError):
        raise Broken(f"{key} is not made of numbers, or its rows have different lengths") from None
    if values.ndim != dimensions or not values.size:
        wanted = ("a list", "a list of lists", "a list of lists of lists")[dimensions - 1]
        raise Broken(f"{key} is not {wanted} of numbers")
    return values


def _labels(data: Mapping[str, Any], count: int) -> list[str]:
    labels = data.get("class_labels")
    if not isinstance(labels, list) or len(labels) != count:
        raise Broken(f"class_labels are not {count}, one for each class")
    return [str(label) for label in labels]


# Confusion matrix


def _confusion_matrix(name: str, data: Mapping[str, Any]) -> str:
    matrix = _array(data, "matrix", 2)
    if matrix.shape[0] != matrix.shape[1]:
        raise Broken(f"the matrix has {matrix.shape[0]} rows and {matrix.shape[1]} columns")
    if not (np.isfinite(matrix).all() and (matrix >= 0).all()):
        raise Broken("the matrix holds something that is no count")
    labels = _labels(data, len(matrix))
    total = float(matrix.sum())
    right = float(np.trace(matrix)) / total if total else 0.0
    said = f"{right:.1%} of {shown_number(total)} right"
    grid = _grid if len(matrix) <= _MOST_CELLS_WIDE else _confused
    return f'<div style="{FAINT}">{said}</div>{grid(name, matrix, labels)}'


def _grid(name: str, matrix: Floats, labels: Sequence[str]) -> str:
    """The matrix as a table whose cells are the darker, the larger their share of the row."""
    sums = matrix.sum(axis=1, keepdims=True)
    shares = np.divide(matrix, sums, out=np.zeros_like(matrix), where=sums > 0)
    count = len(labels)
    head = "".join(f'<th scope="col" style="{_EDGE}">{_label(label)}</th>' for label in labels)
    body = ""
    for row, label in enumerate(labels):
        true = (
            f'<th rowspan="{count}" scope="rowgroup" style="{_EDGE};writing-mode:vertical-rl">'
            "true</th>"
        )
        cells = "".join(_share(n, s, count) for n, s in zip(matrix[row], shares[row], strict=True))
        first = true if row == 0 else ""
        body += f'<tr>{first}<th scope="row" style="{_EDGE}">{_label(label)}</th>{cells}</tr>'
    return (
        '<div style="overflow-x:auto">'
        f'<table aria-label="{escaped(name)}: confusion matrix, rows are true classes, columns '
        'predicted ones" style="border-collapse:collapse;font-size:12px">'
        f'<thead><tr><td colspan="2" style="border:0"></td><th colspan="{count}" '
        f'scope="colgroup" style="{_EDGE}">predicted</th></tr>'
        f'<tr><td colspan="2" style="border:0"></td>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


_EDGE = f"font-weight:normal;text-align:center;padding:2px 6px;color:{INK}"


def _label(label: str) -> str:
    shown = short(label, 14)
    if "…" not in shown:
        return escaped(shown)
    return f'<span title="{escaped(short(label, 200))}">{escaped(shown)}</span>'


def _share(count: float, share: float, classes: int) -> str:
    # In a light theme white is easier to read only on the darkest cells, in a dark one on all.
    ink = "color:#fff;" if share > 0.8 else ""
    percent = f"<br><small>{share:.0%}</small>"
    return (
        f'<td style="{ink}text-align:center;padding:3px 6px;'
        f'background:rgba(0,94,160,{share * 0.9:.2f})">{shown_number(count)}'
        f"{percent if classes <= _MOST_SHARES_WIDE else ''}</td>"
    )


def _confused(name: str, matrix: Floats, labels: Sequence[str]) -> str:
    """Of very many classes those that are taken for each other most often."""
    wrong = matrix.copy()
    np.fill_diagonal(wrong, 0)
    worst = np.argsort(wrong, axis=None)[::-1][:10]
    rows = ""
    for place in worst:
        true, predicted = divmod(int(place), len(labels))
        if wrong[true, predicted] > 0:
            share = wrong[true, predicted] / matrix[true].sum()
            rows += (
                f"<tr><td>{_label(labels[true])}</td><td>{_label(labels[predicted])}</td>"
                f"<td>{shown_number(float(wrong[true, predicted]))}</td><td>{share:.0%}</td></tr>"
            )
    head = "".join(f'<th scope="col">{t}</th>' for t in ("true", "predicted", "count", "share"))
    return (
        f"<div>{len(labels)} classes; those confused most often:</div>"
        f'<table aria-label="{escaped(name)}: classes confused most often" '
        f'style="font-size:12px"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'
    )


# Accuracy table


@dataclass(frozen=True)
class _Counts:
    """True and false, positive and negative, for each class and threshold."""

    tp: Floats
    fp: Floats
    tn: Floats
    fn: Floats

    @classmethod
    def of(cls, data: Mapping[str, Any], key: str) -> _Counts:
        table = _array(data, key, 3)
        if table.shape[2] != 4:
            raise Broken(f"{key} does not hold four counts for each threshold")
        return cls(*(table[:, :, place] for place in range(4)))

    @property
    def recall(self) -> Floats:
        return _ratio(self.tp, self.tp + self.fn)

    @property
    def precision(self) -> Floats:
        return _ratio(self.tp, self.tp + self.fp)

    @property
    def false_alarm(self) -> Floats:
        return _ratio(self.fp, self.fp + self.tn)

    @property
    def chosen(self) -> Floats:
        """The part of all that is called positive."""
        return _ratio(self.tp + self.fp, self.tp + self.fp + self.tn + self.fn)


def _ratio(part: Floats, whole: Floats) -> Floats:
    found: Floats = np.full(part.shape, np.nan)
    np.divide(part, whole, out=found, where=whole != 0)
    return found


def _accuracy_table(name: str, data: Mapping[str, Any]) -> str:
    counts = _Counts.of(data, "probability_tables")
    labels = _labels(data, len(counts.tp))
    recall = counts.recall
    first = [
        _unit_chart("ROC", "false positives", "true positives", "rising", labels,
                    _ordered(_ends(counts.false_alarm), _ends(recall)), areas=True),
        _unit_chart("Precision and recall", "recall", "precision", "", labels,
                    _ordered(recall, counts.precision)),
    ]  # fmt: skip
    more = [*_calibration(counts, labels, data), *_gain_and_lift(labels, data)]
    rest = side_by_side("".join(more)) if more else ""
    folded = f"<details><summary>Calibration, gain and lift</summary>{rest}</details>"
    return side_by_side("".join(first)) + (folded if rest else "")


def _ends(rates: Floats) -> Floats:
    """Each row from 0 to 1: nothing and everything called positive."""
    row = np.ones((len(rates), 1))
    return np.hstack([rates, 0 * row, row])


_Curves = Sequence[tuple["Floats", "Floats"]]


def _ordered(x: Floats, y: Floats) -> _Curves:
    """For each class its finite points in order of x, then of y."""
    curves = []
    for xs, ys in zip(x, y, strict=True):
        good = np.isfinite(xs) & np.isfinite(ys)
        order = np.lexsort((ys[good], xs[good]))
        curves.append((xs[good][order], ys[good][order]))
    return curves


def _calibration(counts: _Counts, labels: Sequence[str], data: Mapping[str, Any]) -> list[str]:
    """How often each class is true where it is given a probability: between two thresholds."""
    try:
        thresholds = _array(data, "probability_thresholds", 1)
    except Broken:
        return []
    if len(thresholds) != counts.tp.shape[1] or len(thresholds) < 2:
        return []
    hits = np.abs(np.diff(counts.tp, axis=1))
    found = _ratio(hits, hits + np.abs(np.diff(counts.fp, axis=1)))
    middle = np.broadcast_to((thresholds[1:] + thresholds[:-1]) / 2, found.shape)
    return [
        _unit_chart("Calibration", "predicted probability", "fraction that is true", "rising",
                    labels, _ordered(middle, found))
    ]  # fmt: skip


def _gain_and_lift(labels: Sequence[str], data: Mapping[str, Any]) -> list[str]:
    try:
        counts = _Counts.of(data, "percentile_tables")
    except Broken:
        return []
    if len(counts.tp) != len(labels):
        return []
    chosen, recall = counts.chosen, counts.recall
    gain = _ordered(_ends(chosen), _ends(recall))
    lift = _ordered(chosen, _ratio(recall, chosen))
    highest = max((float(ys.max(initial=1.0)) for _, ys in lift), default=1.0)
    return [
        _unit_chart("Gain", "part chosen", "true positives", "rising", labels, gain),
        _unit_chart("Lift", "part chosen", "lift", "", labels, lift, up=Axis(0.0, highest * 1.04)),
    ]


def _unit_chart(
    title: str,
    x_label: str,
    y_label: str,
    reference: str,
    labels: Sequence[str],
    curves: _Curves,
    up: Axis = Axis(0.0, 1.0),  # noqa: B008  # frozen
    areas: bool = False,
) -> str:
    """One line for each class and one for their mean; of many classes only the mean."""
    mean = _mean(curves)
    note = f"AUC {_area(*mean):.3f}" if areas else ""
    lines = [] if len(labels) > _MOST_CLASSES else _class_lines(labels, curves, areas)
    if len(labels) > 1:
        said = "mean" if lines else f"mean of {len(labels)} classes"
        lines.append(Drawn(said, *mean, colour=_FAINT_LINE, dash="dashed"))
    legend = [(line.label, line.colour, line.dash) for line in lines]
    unit = Axis(0.0, 1.0)
    plot = Plot(title, unit, up, note=note, x_label=x_label, y_label=y_label,
                legend=legend, height=_SQUARE)  # fmt: skip
    plot.says = f"{y_label} over {x_label}, {len(labels)} classes {note}".strip()
    if reference == "rising":
        plot.line(np.array([0.0, 1.0]), np.array([0.0, 1.0]), _FAINT_LINE, "dotted", width=0.8)
    for line in lines:
        plot.line(line.x, line.y, line.colour, line.dash, line.label, _COLUMNS)
    return plot.svg()


def _class_lines(labels: Sequence[str], curves: _Curves, areas: bool) -> list[Drawn]:
    lines = []
    for place, (label, (x, y)) in enumerate(zip(labels, curves, strict=True)):
        said = f"{short(label, 20)} ({_area(x, y):.2f})" if areas else short(label, 20)
        colour, dash = PALETTE[place]
        lines.append(Drawn(said, x, y, colour=colour, dash=dash))
    return lines


def _mean(curves: _Curves) -> tuple[Floats, Floats]:
    """The mean of the curves at each place between 0 and 1."""
    places = np.linspace(0.0, 1.0, 101)
    values = [np.interp(places, x, y) for x, y in curves if len(x)]
    return places, np.mean(values, axis=0) if values else np.full(101, np.nan)


def _area(x: Floats, y: Floats) -> float:
    return float(np.sum(np.diff(x) * (y[1:] + y[:-1]) / 2))


# Residuals and predictions


def _bins(data: Mapping[str, Any], key: str) -> tuple[Floats, Floats]:
    """The edges of the bins, and the values of ``key`` in each."""
    edges, values = _array(data, "bin_edges", 1), _array(data, key, 1)
    if len(edges) != len(values) + 1:
        raise Broken(f"there are {len(values)} {key} between {len(edges)} bin_edges")
    if not (np.isfinite(edges).all() and (np.diff(edges) > 0).all()):
        raise Broken("the bin_edges do not rise")
    if len(values) > _MOST_BINS:
        raise Broken(f"there are {len(values)} bins, more than {_MOST_BINS}")
    return edges, values


def _residuals(name: str, data: Mapping[str, Any]) -> str:
    edges, counts = _bins(data, "bin_counts")
    counts = np.nan_to_num(np.maximum(counts, 0), posinf=0.0)
    across = Axis.over(edges)
    up = Axis(0.0, float(counts.max(initial=0.0)) * 1.05 or 1.0)
    total = shown_number(float(counts.sum()))
    plot = Plot(
        "Residuals", across, up, x_label="residual", y_label="count", note=f"{total} in all"
    )
    plot.says = f"histogram of {total} residuals in {len(counts)} bins"
    plot.bars(edges, counts, _BLUE)
    if across.low < 0 < across.high:
        plot.line(np.zeros(2), np.array([0.0, up.high]), _ORANGE, "dashed", "0")
    return plot.svg()


def _predictions(name: str, data: Mapping[str, Any]) -> str:
    edges, averages = _bins(data, "bin_averages")
    errors = np.abs(np.nan_to_num(_bins(data, "bin_errors")[1], posinf=0.0, neginf=0.0))
    counts = np.nan_to_num(np.maximum(_bins(data, "bin_counts")[1], 0), posinf=0.0)
    middles = edges[1:] / 2 + edges[:-1] / 2
    low, high = averages - errors, averages + errors
    up = Axis.over(np.concatenate([low, high, edges]), space=0.03)
    legend = [("mean and error", _BLUE, "solid"), ("ideal", _ORANGE, "dashed")]
    plot = Plot("Predicted over true values", Axis.over(edges), up, height=_SQUARE,
                x_label="true value", y_label="predicted", legend=legend)  # fmt: skip
    plot.says = f"mean predictions in {len(averages)} bins, and how they should be"
    share = counts / (counts.max(initial=0.0) or 1.0) * 0.3
    plot.bars(edges, up.low + share * (up.high - up.low), _FAINT_LINE, 0.3, base=up.low)
    plot.line(edges[[0, -1]], edges[[0, -1]], _ORANGE, "dashed", "ideal")
    good = np.isfinite(averages)
    plot.whiskers(middles[good], low[good], high[good], _BLUE)
    plot.line(middles, averages, _BLUE, "solid", "mean of the predictions")
    return plot.svg()
