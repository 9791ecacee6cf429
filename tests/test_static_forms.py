"""The forms of a run that need no kernel: they say what there is, whatever a job calls its things.

``AML_WRITE_GOLDEN=1`` writes ``tests/data/golden`` anew instead of comparing with it.
"""

from __future__ import annotations

import base64
import json
import math
import os
import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import jsonschema
import nbformat
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from aml_jupyter import Experiment, Run, Workspace
from aml_jupyter.job import layout
from aml_jupyter.job.metric_log import MetricLog
from aml_jupyter.job.metrics import MetricWriter, read_all
from aml_jupyter.notebook import forms, views
from aml_jupyter.notebook.forms import Curve, RunTable, Shot
from aml_jupyter.watching.log_text import LogText
from aml_jupyter.watching.markup import escaped, short, shown_number, shown_time
from aml_jupyter.watching.pictures import MOST_ROWS, parallel_coordinates, picture_of
from aml_jupyter.watching.progress_bar import Progress
from aml_jupyter.watching.svg import PALETTE, Drawn, line_chart, round_numbers, stretches
from aml_jupyter.watching.watch import Head, Stage
from tests.support import experiment, project, ws

__all__ = ["experiment", "project", "ws"]

DATA = Path(__file__).parent / "data"
WIRE = Path(__file__).parents[1] / "labextension" / "wire" / "run-card.schema.json"
ONE_PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


# Reading what was made ----------------------------------------------------------------------

TAGS = set(
    re.findall(
        r"\w+",
        """div span b br code pre table thead tbody tr th td details summary img small
        svg g path text tspan title""",
    )
)
ATTRIBUTES = set(
    re.findall(
        r"[\w-]+",
        """style class title role tabindex scope colspan rowspan alt src width height viewbox d x y
        fill stroke transform text-anchor font-size font-weight font-family stroke-width
        stroke-linejoin stroke-linecap stroke-dasharray stroke-opacity fill-opacity aria-label
        aria-hidden aria-valuemin aria-valuemax aria-valuenow""",
    )
)
# Only what our own styles are made of: words, numbers, colours and variables with a fallback.
STYLE = re.compile(r"(?:[a-z-]+:(?:[\w\s#.%,()-])+;?)*")
UNSAFE = re.compile(r"url\(|expression|javascript|import|@|//", re.IGNORECASE)
VOID = ("br", "img")


class Markup(HTMLParser):
    """Reads HTML, and fails on anything that one of our own forms would not hold."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.pieces: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in TAGS
        for name, value in attrs:
            assert name in ATTRIBUTES
            if name in ("aria-label", "title", "alt"):
                self.pieces.append(f" {value} ")
            if name == "style":
                assert STYLE.fullmatch(value or "")
                assert not UNSAFE.search(value or "")
            if name == "src":
                assert re.fullmatch(r"data:image/[\w.+-]+;base64,[\w+/=]*", value or "")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.pieces.append(data)

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data}")

    handle_decl = handle_pi = unknown_decl = handle_comment


def read(text: str) -> str:
    """The words in HTML that is sound: known elements, balanced, its drawings XML, storable."""
    json.dumps(text).encode()
    text.encode()
    for drawing in re.findall(r"<svg .*?</svg>", text, re.DOTALL):
        ET.fromstring(drawing)
    words = "".join(Markup(text).pieces)
    assert not re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", words)
    return words


def pieces(text: str) -> set[str]:
    """The words of each element by themselves."""
    read(text)
    return {piece.strip() for piece in Markup(text).pieces}


def weight(html: str) -> int:
    """Bytes without pictures."""
    return len(re.sub(r'src="data:[^"]*"', "", html).encode())


# Making what is read ------------------------------------------------------------------------


@cache
def corpus() -> Mapping[str, str]:
    entries = json.loads((DATA / "hostile.json").read_text())
    return {entry["what"]: entry["text"] * entry.get("times", 1) for entry in entries}


@pytest.fixture(params=sorted(corpus()))
def hostile(request: pytest.FixtureRequest) -> str:
    """Each text of the corpus in turn."""
    return corpus()[request.param]


def line(*values: float, label: str = "run", **more: Any) -> Drawn:
    y = np.array(values, dtype=float)
    gaps = np.flatnonzero(~np.isfinite(y))
    return Drawn(label, np.arange(len(y), dtype=float), y, gaps.astype(float),
                 gap_kinds=y[gaps], **more)  # fmt: skip


def head(**facts: Any) -> Head:
    usual: dict[str, Any] = {
        "id": "exp_1", "name": "brisk-otter", "experiment": "exp", "status": "Running",
        "target": "local", "environment": "Python 3.12", "started": 1000.0, "ended": None,
        "now": 1083.0, "progress": None, "error": "", "note": "",
        "stages": (Stage("Queued", 990.0, 1000.0), Stage("Running", 1000.0, None)),
    }  # fmt: skip
    return Head(**{**usual, **facts})


def log_of(text: str) -> LogText:
    log = LogText()
    log.feed(text)
    return log


def shot(*curves: Curve, **more: Any) -> Shot:
    usual: dict[str, Any] = {
        "heads": [head()], "metrics": len(curves), "others": [], "log": log_of("hello\n"),
    }  # fmt: skip
    return Shot(curves=curves, **{**usual, **more})


def curve(name: str, *values: float) -> Curve:
    return Curve(name, [line(*values)], values[-1] if values else math.nan, len(values))


class Logged:
    """A run's folder with what was logged into it, by the run's own methods."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self.log = MetricLog(str(folder), "exp_1")

    def picture(self, name: str, limit: int = 100_000) -> str:
        entries = read_all(str(self.folder / layout.METRICS))[name]
        return picture_of(name, entries, self.folder, limit)

    def schema(self, kind: str, data: Any, name: str = "m") -> str:
        content = {"schema_type": kind, "schema_version": "1.0.0", "data": data}
        getattr(self.log, f"log_{kind}")(name, content)
        return self.picture(name)


@pytest.fixture
def logged(tmp_path: Path) -> Logged:
    return Logged(tmp_path / "run")


# Charts -------------------------------------------------------------------------------------


def paths(drawing: str, stroke: str = PALETTE[0][0]) -> list[str]:
    """The outlines that have this colour."""
    found = [path for path in ET.fromstring(drawing).iter("path") if path.get("stroke") == stroke]
    return [str(path.get("d")) for path in found]


def test_a_chart_has_a_gap_with_a_mark_where_a_value_is_no_number() -> None:
    drawing = line_chart("loss<1>", [line(1, 2, math.nan, 4, 5, math.inf, 7, -math.inf)])
    lines, dots = paths(drawing)
    assert lines.count("M") == 2
    assert dots.count("M") == 1
    marks = [path[0].text for path in ET.fromstring(drawing).iter("path") if len(path)]
    assert marks == ["NaN", "∞", "-∞"]
    assert "loss&lt;1&gt;" in drawing


def test_a_chart_says_what_it_shows_to_those_who_do_not_see_it() -> None:
    drawing = ET.fromstring(line_chart("loss", [line(0.5, 3, 0.25)], note="0.25"))
    assert drawing.get("role") == "img"
    assert drawing.get("aria-label") == "loss: from 0.25 to 3, last 0.25"


def test_a_single_point_is_a_dot() -> None:
    (dot,) = paths(line_chart("m", [line(3)]))
    assert re.fullmatch(r"M\d+ \d+h0", dot)


def test_nothing_to_draw_is_said() -> None:
    drawing = line_chart("m", [line(math.nan, math.nan)], note="NaN")
    assert "no finite values" in read(drawing)
    assert "no finite values" in read(line_chart("m", []))


def test_several_lines_have_a_legend_and_differ_by_more_than_colour() -> None:
    lines = [
        line(1, n, label=f"run {n}", colour=PALETTE[n][0], dash=PALETTE[n][1]) for n in range(5)
    ]
    drawing = ET.fromstring(line_chart("m", lines))
    words = [text.text for text in drawing.iter("text")]
    assert {"run 0", "run 4"} <= set(words)
    patterns = [path.get("stroke-dasharray") for path in drawing.iter("path") if len(path)]
    assert len(set(patterns)) == 4


def test_no_two_lines_of_a_chart_look_alike_on_any_background() -> None:
    assert len(set(PALETTE)) == len(PALETTE) >= 20
    for colour, _ in PALETTE:
        assert contrast(colour, "#ffffff") >= 3
        assert contrast(colour, "#111111") >= 3


def contrast(one: str, other: str) -> float:
    """As the WCAG defines it."""
    low, high = sorted(luminance(colour) for colour in (one, other))
    return (high + 0.05) / (low + 0.05)


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (0.03, 0.98, [0.2, 0.4, 0.6, 0.8]),
        (-7, 130, [0, 50, 100]),
        (1e-9, 3e-9, [1e-9, 1.5e-9, 2e-9, 2.5e-9, 3e-9]),
    ],
)
def test_axes_have_round_numbers(low: float, high: float, ticks: list[float]) -> None:
    assert round_numbers(low, high) == pytest.approx(ticks)


def test_labels_of_neighbouring_ticks_differ() -> None:
    drawing = ET.fromstring(line_chart("m", [line(1e9, 1e9 + 1)]))
    labels = [text.text for group in drawing.iter("g") for text in group.iter("text")]
    assert len(set(labels)) == len(labels)


def test_a_logarithmic_axis_has_powers_of_ten() -> None:
    drawing = ET.fromstring(line_chart("m", [line(1e-3, 1, 0, -5, 1e3)], log_y=True))
    assert {"0.001", "0.1", "10", "1000"} <= {text.text for text in drawing.iter("text")}


@settings(deadline=None)
@given(
    st.lists(st.floats(width=64), max_size=30),
    st.lists(st.floats(width=64), max_size=30),
    st.booleans(),
    st.booleans(),
)
@example([1e308, 1.5e308], [5e-324, 1e-315], True, True)
@example([1.7976931348623157e308, -1e292], [0.0, 0.0], False, False)
def test_any_numbers_make_a_chart(x: list[float], y: list[float], log_x: bool, log_y: bool) -> None:
    size = min(len(x), len(y))
    xs, ys = np.array(x[:size]), np.array(y[:size])
    gaps = xs[~np.isfinite(ys)]
    drawn = Drawn("a", xs, ys, gaps, gap_kinds=ys[~np.isfinite(ys)])
    drawing = line_chart("m", [drawn], log_x=log_x, log_y=log_y)
    read(drawing)
    for element in ET.fromstring(drawing).iter():
        coordinates = " ".join(str(element.get(name, "")) for name in ("d", "x", "y", "viewBox"))
        assert not re.search("nan|inf", coordinates)
        for number in re.findall(r"\d+", coordinates):
            assert int(number) < 10_000


@settings(deadline=None)
@given(st.lists(st.one_of(st.integers(-9, 9), st.just(math.nan)), max_size=300), st.integers(1, 40))
def test_a_thinned_line_keeps_its_extremes_its_ends_and_its_gaps(
    values: list[float], columns: int
) -> None:
    y = np.array(values, dtype=float)
    kept = stretches(np.arange(len(y), dtype=float), y, columns)
    finite = y[np.isfinite(y)]
    shown = np.concatenate([np.empty(0), *(ys for _, ys in kept)])
    assert len(shown) <= 2 * columns + 4
    if len(finite):
        assert (shown.min(), shown.max()) == (finite.min(), finite.max())
        assert (shown[0], shown[-1]) == (finite[0], finite[-1])
    for xs, _ in kept:
        assert np.isfinite(y[int(xs[0]) : int(xs[-1]) + 1]).all()


# Pictures -----------------------------------------------------------------------------------


def test_rows_of_numbers_are_lines_over_the_column_that_rises(logged: Logged) -> None:
    for step in range(60):
        logged.log.log_row("sine", angle=step / 10, sin=math.sin(step / 10), cos=1.0)
    shown = logged.picture("sine")
    assert shown.count("<svg") == 1
    assert {"angle", "sin", "cos"} <= pieces(shown)
    assert "Table: 60 rows" in shown
    assert shown.count("<tr>") == MOST_ROWS + 2
    assert "10 more rows" in shown


def test_columns_of_different_size_have_charts_of_their_own(logged: Logged) -> None:
    logged.log.log_table("m", {"loss": [0.1, 0.2, 0.1], "images": [1e6, 3e6, 2e6]})
    shown = logged.picture("m")
    assert shown.count("<svg") == 2
    assert "m: images" in read(shown)


def test_a_single_column_is_named_in_its_title(logged: Logged) -> None:
    logged.log.log_table("m", {"x": [1, 2, 3], "<y>": [3, None, 2]})
    assert "m: <y>" in pieces(logged.picture("m"))


def test_a_table_with_words_is_a_table(logged: Logged) -> None:
    logged.log.log_table("m", {"animal": ["<cat>", "dog"], "weight": [4.25, None]})
    logged.log.log_row("m", animal="fish", legs=0)
    shown = logged.picture("m")
    assert "<svg" not in shown
    assert "&lt;cat&gt;" in shown
    assert {"animal", "weight", "legs", "4.25", "fish", "0"} <= pieces(shown)
    assert "3 rows" in shown


def test_a_list_of_numbers_is_a_line_and_one_of_words_a_table(logged: Logged) -> None:
    logged.log.log_list("numbers", range(100_000))
    assert "100000 values" in read(logged.picture("numbers"))
    assert len(logged.picture("numbers")) < 4000
    logged.log.log_list("words", ["a", "b"])
    assert logged.picture("words").count("<tr>") == 3


def test_of_texts_the_last_is_shown(logged: Logged) -> None:
    logged.log.log("note", "first")
    logged.log.log("note", "<last>")
    assert "<last>" in read(logged.picture("note"))
    assert "the last of 2" in logged.picture("note")


@pytest.mark.parametrize("name", ["a.png", "a.svg"])
def test_an_image_is_part_of_the_page(logged: Logged, tmp_path: Path, name: str) -> None:
    content = ONE_PIXEL if name == "a.png" else b'<svg xmlns="http://www.w3.org/2000/svg"/>'
    (tmp_path / name).write_bytes(content)
    logged.log.log_image("figure", str(tmp_path / name))
    shown = logged.picture("figure")
    assert base64.b64encode(content).decode() in shown
    assert 'alt="figure"' in shown
    assert "figure" in read(shown)


def test_an_image_that_is_too_large_is_named(logged: Logged, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(ONE_PIXEL + bytes(200_000))
    logged.log.log_image("figure", str(tmp_path / "a.png"))
    assert "a.png has 200 kB, more than 100 kB" in read(logged.picture("figure"))


def test_what_is_no_picture_for_browsers_is_named(logged: Logged, tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(b"II*\0")
    logged.log.log_image("figure", str(tmp_path / "a.tif"))
    assert "a.tif, 4 bytes, is no picture that browsers show" in read(logged.picture("figure"))


PREFIX = "aml://artifactId/ExperimentRun/dcid.exp_1/"


@pytest.mark.parametrize(
    ("location", "said"),
    [
        (PREFIX + "../secret.png", "outside the run"),
        (PREFIX + "/etc/hostname", "outside the run"),
        (PREFIX + "link.png", "outside the run"),
        (PREFIX + "pipe.png", "is not a file"),
        (PREFIX + "folder", "is not a file"),
        (PREFIX + "gone.png", "cannot be read (No such file or directory)"),
        (PREFIX + "a\0b", "Not drawn"),
        (PREFIX + "x" * 260, "cannot be read (File name too long)"),
        (PREFIX, "outside the run"),
        ("https://example.org/a.png", "is no place in a run"),
        (["a"], "is no place in a run"),
    ],
)
def test_only_files_of_the_run_are_read(logged: Logged, location: object, said: str) -> None:
    artifacts = logged.folder / layout.ARTIFACTS
    artifacts.mkdir()
    (logged.folder / "secret.png").write_bytes(ONE_PIXEL)
    (artifacts / "link.png").symlink_to(logged.folder / "secret.png")
    (artifacts / "folder").mkdir()
    os.mkfifo(artifacts / "pipe.png")
    shown = picture_of("m", [{"kind": "image", "value": location}], logged.folder, 1000)
    assert "data:" not in shown
    assert said in read(shown)


def test_a_confusion_matrix_is_a_grid_of_counts_and_shares(logged: Logged) -> None:
    data = {"class_labels": ["cat", "<dog>"], "matrix": [[30, 10], [0, 60]]}
    shown = logged.schema("confusion_matrix", data)
    words = read(shown)
    for told in ("true", "predicted", "cat", "<dog>", "30", "75%", "60", "100%"):
        assert told in words
    assert "90.0% of 100 right" in shown
    assert "rows are true classes" in shown
    assert re.search(r"background:rgba\(0,94,160,0.90\)\">60", shown)


def test_of_very_many_classes_the_worst_confused_are_listed(logged: Logged) -> None:
    matrix = np.eye(200) * 50
    matrix[3, 7] = 25
    labels = [f"class {n}" for n in range(200)]
    shown = logged.schema("confusion_matrix", {"class_labels": labels, "matrix": matrix.tolist()})
    assert "<td>class 3</td><td>class 7</td><td>25</td><td>33%</td>" in shown
    assert len(shown) < 3000


def test_an_accuracy_table_is_the_curves_people_know(logged: Logged) -> None:
    shown = logged.schema("accuracy_table", accuracy_data(2))
    for title in ("ROC", "Precision and recall", "Calibration", "Gain", "Lift"):
        assert f">{title}<" in shown
    assert "class 0 (0.75)" in read(shown)
    assert "AUC 0.750" in read(shown)


def test_of_many_classes_the_mean_curve_is_drawn(logged: Logged) -> None:
    shown = logged.schema("accuracy_table", accuracy_data(50))
    assert "mean of 50 classes" in read(shown)
    assert "class 1" not in read(shown)
    assert len(shown) < 20_000


def accuracy_data(classes: int) -> dict[str, Any]:
    # At the middle threshold 3 of 4 true ones are found, and 1 of 4 others is taken for one.
    table = [[4, 4, 0, 0], [3, 1, 3, 1], [0, 0, 4, 4]]
    return {
        "probability_tables": [table] * classes,
        "percentile_tables": [table] * classes,
        "probability_thresholds": [0, 0.5, 1],
        "percentile_thresholds": [0, 0.5, 1],
        "class_labels": [f"class {n}" for n in range(classes)],
    }


def test_residuals_are_a_histogram(logged: Logged) -> None:
    shown = logged.schema("residuals", {"bin_edges": [-2, -1, 0, 1], "bin_counts": [1, 5, 2]})
    (bars,) = [p for p in ET.fromstring(svg_in(shown)).iter("path") if p.get("fill-opacity")]
    assert str(bars.get("d")).count("M") == 3
    assert "8 in all" in read(shown)


def test_predictions_are_means_with_errors_beside_what_is_ideal(logged: Logged) -> None:
    data = {"bin_averages": [1, 2.5], "bin_errors": [0.5, 0.1], "bin_counts": [10, 3],
            "bin_edges": [0, 2, 4]}  # fmt: skip
    shown = logged.schema("predictions", data)
    assert {"ideal", "mean and error"} <= {
        t.text for t in ET.fromstring(svg_in(shown)).iter("text")
    }
    whiskers, means = paths(svg_in(shown))[:2]
    assert whiskers.count("V") == 2
    assert means.count("M") == 1


def svg_in(text: str) -> str:
    return text[text.index("<svg") : text.index("</svg>") + 6]


@pytest.mark.parametrize(
    ("kind", "data", "said"),
    [
        ("confusion_matrix", {"class_labels": ["a"], "matrix": [[1, 2]]}, "1 rows and 2 columns"),
        ("confusion_matrix", {"class_labels": ["a"], "matrix": [[1], [2, 3]]}, "different lengths"),
        ("confusion_matrix", {"class_labels": [], "matrix": [[1]]}, "class_labels are not 1"),
        ("confusion_matrix", {"class_labels": ["a"], "matrix": [[-1]]}, "no count"),
        ("residuals", {"bin_edges": [0, 1], "bin_counts": [1, 2]}, "2 bin_counts between 2"),
        ("residuals", {"bin_edges": [1, 0], "bin_counts": [1]}, "do not rise"),
        ("residuals", {"bin_edges": "no", "bin_counts": [1]}, "not made of numbers"),
        ("predictions", {"bin_edges": [0, 1], "bin_averages": [], "bin_errors": [],
                         "bin_counts": []}, "not a list of numbers"),
        ("accuracy_table", {key: [[[1]]] for key in accuracy_data(1)}, "four counts"),
    ],
)  # fmt: skip
def test_data_that_cannot_be_drawn_is_said_to_be(
    logged: Logged, kind: str, data: Any, said: str
) -> None:
    shown = logged.schema(kind, data)
    assert "Not drawn" in shown
    assert said in read(shown)


def test_an_artifact_that_is_broken_or_gone_is_said_to_be(logged: Logged) -> None:
    logged.schema("residuals", {"bin_edges": [0, 1], "bin_counts": [1]})
    stored = logged.folder / layout.ARTIFACTS / "m"
    for content in ("", "[1", "[1]", '{"data": 1}', "[" * 100_000):
        stored.write_text(content)
        assert "Not drawn" in read(logged.picture("m"))
    stored.unlink()
    assert "No such file" in read(logged.picture("m"))


LEAVES = (
    st.none() | st.booleans() | st.floats() | st.integers() | st.just(10**400) | st.text(max_size=5)
)
JSON = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=12,
)
KINDS = st.sampled_from(["scalar", "list", "row", "table", "image", "residuals", "later", 3])


@settings(deadline=None)
@given(st.lists(st.fixed_dictionaries({"kind": KINDS, "value": JSON}), max_size=4))
@example(2 * [{"kind": "row", "value": {"": 10**400}}])
def test_whatever_was_logged_makes_sound_html(entries: list[dict[str, Any]]) -> None:
    read(picture_of("m", entries, Path("/nowhere"), 1000))


NUMBERS = st.lists(st.floats() | st.integers(-5, 5), max_size=4)
TABLES = st.lists(st.lists(NUMBERS, max_size=3), max_size=3)


@settings(deadline=None, max_examples=60)
@given(
    st.sampled_from(["confusion_matrix", "accuracy_table", "residuals", "predictions"]),
    st.fixed_dictionaries(
        {},
        optional={
            "class_labels": st.lists(st.text(max_size=3), max_size=3) | JSON,
            "matrix": st.lists(NUMBERS, max_size=4) | JSON,
            "probability_tables": TABLES,
            "percentile_tables": TABLES | JSON,
            "probability_thresholds": NUMBERS,
            "bin_edges": NUMBERS.map(sorted),
            "bin_counts": NUMBERS,
            "bin_averages": NUMBERS,
            "bin_errors": NUMBERS,
        },
    ),
)
def test_whatever_stands_in_an_artifact_makes_sound_html(
    tmp_path_factory: pytest.TempPathFactory, kind: str, data: dict[str, Any]
) -> None:
    folder = tmp_path_factory.getbasetemp()
    (folder / layout.ARTIFACTS).mkdir(exist_ok=True)
    (folder / layout.ARTIFACTS / "m").write_text(json.dumps({"data": data}))
    read(picture_of("m", [{"kind": kind, "value": PREFIX + "m"}], folder, 1000))


def test_runs_are_lines_across_their_parameters() -> None:
    rows = [[10.0**-n, "adam" if n % 2 else "sgd", str(n), n / 3] for n in range(6)]
    rows.append([None, "sgd", "", None])
    drawing = parallel_coordinates(
        ["rate", "optimizer", "layers", "accuracy"],
        rows,
        "accuracy",
        [f"run {n}" for n in range(7)],
    )
    words = pieces(drawing)
    assert {"rate", "optimizer", "adam", "sgd", "0.001", "layers", "accuracy"} <= words
    strokes = [g for g in ET.fromstring(drawing).iter("g") if g.get("stroke")]
    assert len(strokes) == 7
    assert drawing.count("<title>run") == 7


def test_parallel_coordinates_take_no_more_than_they_can_show() -> None:
    drawing = parallel_coordinates(["a", "b"], [[n, n] for n in range(5000)], "b")
    assert drawing.count("<path") == 202
    assert parallel_coordinates([], [], "b") == ""


# Hostile texts ------------------------------------------------------------------------------


def test_charts_hold_any_text(hostile: str) -> None:
    lines = [line(1, 2, math.nan, label=hostile), line(3, 4, label=hostile)]
    read(line_chart(hostile, lines, x_label=hostile, note=hostile))
    assert len(line_chart(hostile, lines, x_label=hostile)) < 10_000


def test_pictures_hold_any_text(hostile: str, logged: Logged) -> None:
    entries = {
        "scalar": hostile,
        "list": [hostile, 1, hostile],
        "row": {hostile: hostile, "b": 1},
        "table": {hostile: [1, 2, 3], hostile + "2": [3, 4, 5]},
        "image": hostile,
        "residuals": PREFIX + hostile,
        hostile: 1,
    }
    for kind, value in entries.items():
        shown = picture_of(hostile, [{"kind": kind, "value": value}], logged.folder, 1000)
        read(shown)
        assert len(shown) < 20_000


def test_pictures_of_classes_hold_any_text(hostile: str, logged: Logged) -> None:
    labels = [hostile, "b"]
    for kind, data in {
        "confusion_matrix": {"matrix": [[1, 2], [3, 4]]},
        "accuracy_table": accuracy_data(2),
        "residuals": {"bin_edges": [-1, 0], "bin_counts": [1]},
        "predictions": {"bin_averages": [1], "bin_errors": [1], "bin_counts": [1],
                        "bin_edges": [0, 1]},
    }.items():  # fmt: skip
        (logged.folder / layout.ARTIFACTS).mkdir(exist_ok=True)
        stored = logged.folder / layout.ARTIFACTS / "m"
        stored.write_text(json.dumps({"data": {**data, "class_labels": labels}}))
        shown = picture_of(hostile, [{"kind": kind, "value": PREFIX + "m"}], logged.folder, 1000)
        assert "Not drawn" not in read(shown)
        assert len(shown) < 30_000


def test_parallel_coordinates_hold_any_text(hostile: str) -> None:
    rows = [[hostile, 1.0, "x"], ["y", 2.0, hostile]]
    read(parallel_coordinates([hostile, "m", hostile], rows, "m", [hostile, hostile]))


def hostile_shot(hostile: str) -> Shot:
    progress = Progress(hostile, 0.5, 10.0)
    stage = Stage(hostile, 1.0, None)
    facts = dict.fromkeys(
        ("id", "name", "experiment", "status", "target", "environment", "error", "note"), hostile
    )
    children = {
        "of": "notebooks",
        "partial": False,
        "columns": [{"name": hostile, "kind": "parameter"}],
        "rows": [
            child(
                **dict.fromkeys(("key", "id", "name", "status", "error", "note"), hostile),
                **{"cells": [hostile], "numbers": [None], "notebook": hostile},
                progress={"text": hostile, "done": None, "left": None},
            )
        ],
        "more": 3,
        "picture": parallel_coordinates([hostile], [[hostile]], hostile),
    }
    return shot(
        curve(hostile, 1, 2, math.nan),
        curve(hostile, 1),
        heads=[head(**facts, progress=progress, stages=(stage, stage), batch=True)],
        others=[(hostile, picture_of(hostile, [], Path("/nowhere"), 0))] * 20,
        log=log_of(f"{hostile}\n" * 30),
        children=children,
        run_type=hostile,
    )


def test_the_card_holds_any_text_and_stays_small(hostile: str) -> None:
    one = hostile_shot(hostile)
    html = forms.card(one)
    read(html)
    assert weight(html) <= 90_000
    several = shot(
        *(Curve(hostile, [line(1, label=hostile), line(2, label="b")], 1, 2) for _ in range(20)),
        heads=[*one.heads] * 20,
    )
    read(forms.card(several))
    assert weight(forms.card(several)) <= 90_000
    read(forms.header(one.heads[0]))


def test_the_data_of_a_run_holds_any_text(hostile: str) -> None:
    data = forms.as_json(hostile_shot(hostile))
    text = json.dumps(data, allow_nan=False, ensure_ascii=False)
    assert len(text.encode()) < 100_000
    jsonschema.validate(data, json.loads(WIRE.read_text()))


def test_a_table_of_runs_holds_any_text(hostile: str, experiment: Experiment) -> None:
    run = experiment.start_logging(snapshot_directory=None, display_name=hostile)
    run.tag("tag", hostile)
    run.log(hostile, 1.0)
    run.complete()
    read(RunTable(experiment.workspace.runs())._repr_html_())


@pytest.mark.parametrize("text", ["<script>alert(1)</script>", "&lt;b&gt; &amp;", "%s{}${x}"])
def test_what_can_be_shown_is_shown_as_it_is(text: str) -> None:
    words = read(forms.card(hostile_shot(text)))
    assert words.count(text) > 10


@given(st.text(), st.integers(1, 30))
def test_a_shortened_text_is_no_longer_than_asked(text: str, most: int) -> None:
    cut = short(text, most)
    assert len(cut) <= most
    assert "\n" not in cut
    if cut.endswith("…"):
        assert " ".join(text.split()).startswith(cut[:-1]) or "…" in text
    else:
        assert cut == " ".join(text.split())


@given(st.text() | st.text(st.characters(categories=["Cs", "Cc", "Lu", "Po"])))
def test_any_text_can_be_escaped_for_xml(text: str) -> None:
    ET.fromstring(f'<a b="{escaped(text)}">{escaped(text)}</a>')


# The log ------------------------------------------------------------------------------------


def text_of(*pieces: str, lines: int = 400) -> str:
    log = LogText(lines)
    for piece in pieces:
        log.feed(piece)
    return log.text()


def test_of_a_progress_bar_the_last_state_remains() -> None:
    assert text_of("\r 10%\r 50%", "\r100%\n", "done\r\n") == "100%\ndone"


def test_a_progress_bar_cut_anywhere_looks_the_same() -> None:
    assert text_of("a\r", "\n", "b\rc", "\rd\r", "e") == "a\ne"


@given(st.text(alphabet="ab\n\r", max_size=40), st.data())
def test_a_log_in_pieces_is_the_log_as_a_whole(text: str, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=5)))
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert text_of(*pieces) == text_of(text)


def test_a_log_keeps_its_last_lines_and_says_what_is_missing() -> None:
    log = LogText(3)
    log.feed("".join(f"{i}\n" for i in range(100_000)))
    assert log.lines() == ["99997", "99998", "99999"]
    log.feed("half a line\nnext\n", reset=True)
    assert log.lines()[1:] == ["next"]
    assert "earlier lines" in log.lines()[0]


def test_one_endless_line_stays_bounded() -> None:
    log = LogText()
    for _ in range(100):
        log.feed("x" * 10_000)
    assert len(log.text()) < 3000


def test_colours_become_spans_and_markup_becomes_text() -> None:
    log = log_of("\x1b[1;31m<b>&\x1b[0m plain \x1b[2K\x1b]0;title\x07\x1b[38;5;9mx\x00\n")
    assert read(log.html()) == "<b>& plain x\n".rstrip("\n")
    assert "&lt;b&gt;&amp;</span> plain x" in log.html()
    assert "font-weight:bold" in log.html()
    assert log.text() == "<b>& plain x"


def test_colours_do_not_pile_up() -> None:
    log = log_of(("\x1b[1m\x1b[31mx" * 200 + "\n") * 400)
    assert len(log.html()) < 100 * len(log.text())


def test_the_end_of_a_colourful_log_is_small() -> None:
    html = forms.card(shot(log=log_of(("\x1b[31m<\x1b[32m>" * 150 + "\n") * 400)))
    assert weight(html) < 20_000
    assert "><" in read(html)


# Cards --------------------------------------------------------------------------------------


def test_the_card_tells_state_time_line_and_how_far_it_is() -> None:
    html = forms.card(
        shot(heads=[head(progress=Progress("epoch 3/10", 0.3, 120), note="<be careful>")])
    )
    words = read(html)
    for told in (
        "● Running", "brisk-otter", "exp_1", "0:01:23", "local", "Python 3.12", "epoch 3/10",
        "30%", "0:02:00 left", "Queued 0:00:10 · Running 0:01:23", "<be careful>",
        "%aml_attach exp_1",
    ):  # fmt: skip
        assert told in words


def test_a_failed_run_says_why_and_is_not_to_be_followed() -> None:
    words = read(forms.card(shot(heads=[head(status="Failed", ended=1010.0, error="It\n<broke>")])))
    assert "✖ Failed" in words
    assert "It\n<broke>" in words
    assert "0:00:10" in words
    assert "%aml_attach" not in words


def test_metrics_with_one_value_are_a_table_below_the_charts() -> None:
    html = forms.card(shot(curve("loss", 2, 1), curve("best", 0.5), metrics=30))
    assert html.count("<svg") == 1
    assert "best" in read(html[html.index("<table") : html.index("</table>") + 8])
    assert "2 of 30 metrics are shown" in html


def test_compared_runs_share_charts_and_tables() -> None:
    html = forms.card(
        shot(
            Curve("loss", [line(2, 1, label="a"), line(3, 2, label="b")], 2, 4),
            Curve("best", [line(0.5, label="a"), line(0.25, label="b")], 0.25, 2),
            heads=[head(name="a"), head(id="exp_2", name="b", status="Completed", ended=1001.0)],
            comparison="<table><tr><td>lr</td></tr></table>",
        )
    )
    words = read(html)
    assert html.count("<svg") == 1
    assert "● Running" in words
    assert "✔ Completed" in words
    assert {"0.5", "0.25"} <= set(re.findall(r"[\d.]+(?=</td>)", html))
    assert "<td>lr</td>" in html


def test_a_usual_run_is_kept_in_sixty_kilobytes_and_any_run_in_ninety() -> None:
    rng = np.random.default_rng(1)
    curves = [curve(f"metric {n}", *rng.normal(size=5000)) for n in range(20)]
    assert weight(forms.card(shot(*curves[:8], log=log_of("epoch 1: loss 0.5\n" * 50)))) < 60_000
    crowd = [
        Curve("m", [line(*rng.normal(size=500), label=f"{n} {m}") for m in range(20)], 1, 10_000)
        for n in range(20)
    ]
    table = {**notebooks(2), "of": "runs", "rows": [], "columns": []}
    pictures = [(f"<p{n}>", f"<div>{'x' * 9000}</div>") for n in range(20)]
    html = forms.card(
        shot(*crowd, others=pictures, metrics=10_000, children=table, comparison="x" * 500_000)
    )
    assert weight(html) <= 90_000
    words = read(html)
    assert "of 9980 metrics are shown" in words
    assert "Too large to be kept here" in words
    assert "<p9>" in words
    assert re.search(r"and \d+ more\.", words)
    assert "The differences in detail are too large" in words


def test_what_is_folded_up_goes_first_when_there_is_no_room() -> None:
    folded = f"<details><summary>all</summary>{'y' * 200_000}</details>"
    html = forms.card(
        shot(others=[("m", f"<div>kept{folded}</div>")], comparison=f"<b>kept</b>{folded}")
    )
    assert weight(html) < 10_000
    assert read(html).count("kept") >= 2


def test_images_of_a_card_have_a_limit_of_their_own() -> None:
    image = f'<img src="data:image/png;base64,{"A" * 140_000}" alt="m">'
    html = forms.card(shot(others=[(f"image {n}", image) for n in range(3)]))
    assert html.count("<img") == 2
    assert "Too large to be kept here: image 2" in html
    assert len(html) < 300_000


def child(**facts: Any) -> dict[str, Any]:
    """A row of a table of children."""
    usual = {
        "key": "0", "id": "exp_1", "name": "child", "status": "Completed", "started": 1.0,
        "seconds": 61.0, "cells": [], "numbers": [], "progress": None, "error": "", "note": "",
        "notebook": "",
    }  # fmt: skip
    return {**usual, **facts}


def notebooks(count: int) -> dict[str, Any]:
    """The table of a batch of which the last notebook runs, and one has failed."""
    rows = [
        child(key=str(n), name=f"alpha={n}", cells=["0.5"], numbers=[0.5]) for n in range(count)
    ]
    rows[-1] |= {"status": "Running", "progress": {"text": "cell 2 of 5 · <Train>", "done": 0.2,
                 "left": 9.0}}  # fmt: skip
    rows[-2] |= {"status": "Failed", "error": "ValueError: <b>no</b>"}
    columns = [{"name": "loss", "kind": "metric"}]
    return {
        "of": "notebooks", "columns": columns, "rows": rows, "more": 0, "picture": "",
        "partial": False,
    }  # fmt: skip


def test_a_batch_is_a_table_of_its_notebooks() -> None:
    batch = shot(heads=[head(batch=True)], children=notebooks(3), log=log_of(""))
    words = read(forms.card(batch))
    assert "3 notebooks: 1 Completed, 1 Failed, 1 Running" in words
    assert "● Running · cell 2 of 5 · <Train>" in words
    assert "ValueError: <b>no</b>" in words
    assert "no output yet" not in words
    saved = forms.as_json(batch)["notebooks"]
    assert isinstance(saved, dict)
    assert saved["columns"] == ["Notebook", "Status", "Duration", "loss", "Error"]
    assert [row["status"] for row in saved["rows"]] == ["Completed", "Failed", "Running"]


def test_of_many_notebooks_those_that_run_or_failed_are_kept() -> None:
    batch = shot(heads=[head(batch=True)], children=notebooks(1000), log=log_of(""))
    html = forms.card(batch)
    words = read(html)
    assert weight(html) < 90_000
    assert "alpha=999" in words
    assert "ValueError" in words
    assert "of 1000 notebooks are shown" in words
    assert len(json.dumps(forms.as_json(batch))) < 20_000


def test_children_are_a_picture_and_a_table() -> None:
    rows = [
        child(id=f"exp_{n}", name=f"child {n}", cells=["0.1", "<adam>"], numbers=[0.1, None])
        for n in range(300)
    ]
    names = ["lr", "optimizer"]
    table = {
        "of": "runs",
        "partial": False,
        "columns": [{"name": name, "kind": "parameter"} for name in names],
        "rows": rows,
        "more": 700,
        "picture": parallel_coordinates(names, [row["cells"] for row in rows], ""),
    }
    html = forms.card(shot(children=table))
    words = read(html)
    assert "of 1000 children are shown" in words
    assert "✔ Completed" in words
    assert "<adam>" in words
    assert html.count("<tr>") > 10


# Real runs ----------------------------------------------------------------------------------


@pytest.fixture
def run(experiment: Experiment) -> Run:
    started = experiment.start_logging(snapshot_directory=None, display_name="<first>")
    (started.folder / "azureml-logs").mkdir(exist_ok=True)
    (started.folder / layout.DRIVER_LOG).write_text("hello <world>\n")
    return started


def test_the_card_shows_state_charts_and_log_without_any_script(run: Run) -> None:
    for value in (1.0, 0.5, math.nan, 0.1):
        run.log("loss", value)
    run.log_row("table", a="b")
    bundle = views.mimebundle([run])
    card = str(bundle["text/html"])
    words = read(card)
    for told in ("● Running", "<first>", "hello <world>", "NaN", f"%aml_attach {run.id}", "table"):
        assert told in words
    assert "<svg" in card


def test_the_data_of_a_run_is_strict_json_of_bounded_size(run: Run) -> None:
    for step in range(20_000):
        run.log("loss", math.nan if step % 7 == 0 else step)
    run.log("never", math.inf)
    for value in (1.0, math.nan, 2.0):
        run.log("few", value)
    run.fail(error_details="the <end>")
    text = json.dumps(views.mimebundle([run])[forms.MIME], allow_nan=False)
    assert len(text) < 50_000
    back = json.loads(text)
    jsonschema.validate(back, json.loads(WIRE.read_text()))
    assert back["status"] == "Failed"
    assert back["metrics"][0]["count"] == 20_000
    few, never = back["metrics"][1:]
    assert few["y"] == [1, None, 2]
    assert never["last"] is None
    assert never["y"] == [None]
    assert "the <end>" in back["error"]["message"]
    assert back["log_tail"] == "hello <world>"


def test_a_table_of_runs_leaves_out_empty_columns(run: Run) -> None:
    run.log("loss", 0.5)
    run.complete()
    table = RunTable(Workspace.from_config().runs())
    assert "Tags" not in repr(table)
    assert "loss=0.5" in repr(table)
    assert "&lt;first&gt;" in table._repr_html_()
    assert repr(RunTable([])) == "no runs yet"


@pytest.mark.parametrize(
    ("seconds", "shown"), [(None, ""), (0.4, "0:00:00"), (83, "0:01:23"), (90_000, "1 d 1:00:00")]
)
def test_times_are_shown_as_a_clock(seconds: float | None, shown: str) -> None:
    assert shown_time(seconds) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.5, "0.5"), (20_000, "20000"), (1e6, "1e6"), (1.23456e-7, "1.235e-7"), (-2, "-2"),
     (math.nan, "NaN"), (-math.inf, "-∞"), (0.1 + 0.2, "0.3")],
)  # fmt: skip
def test_numbers_are_shown_short(value: float, shown: str) -> None:
    assert shown_number(value) == shown


# Golden files -------------------------------------------------------------------------------

REQUEST = {
    "format": 1, "id": "curves_1700000000_0123abcd", "experiment": "curves", "number": 1,
    "type": "azureml.scriptrun", "created": 1700000000.0, "display_name": "brisk-otter",
    "description": None, "parent": None, "target": "local", "host": "here",
    "job": None, "definition": {}, "environment": {"name": "pytorch-2"}, "source": {},
    "git": {}, "tags": {}, "properties": {}, "owner": None,
}  # fmt: skip
EVENTS = [
    {"t": 1700000001.0, "e": "state", "state": "Queued"},
    {"t": 1700000005.0, "e": "state", "state": "Running"},
    {"t": 1700000065.0, "e": "warning", "message": "2 files were left out of the snapshot"},
    {"t": 1700000095.0, "e": "state", "state": "Failed",
     "error": {"error": {"message": "Traceback (most recent call last):\nValueError: <no>"}}},
]  # fmt: skip


@pytest.fixture
def finished(experiment: Experiment) -> Run:
    """A run of which everything is always the same."""
    workspace = experiment.workspace
    experiment.start_logging(snapshot_directory=None).complete()  # so that there is a workspace
    folder = workspace.folder.runs / REQUEST["id"]
    (folder / "azureml-logs").mkdir(parents=True)
    (folder / layout.REQUEST).write_text(json.dumps(REQUEST))
    (folder / layout.EVENTS).write_text("".join(json.dumps(e) + "\n" for e in EVENTS))
    lines = "".join(f"epoch {n} \x1b[32mloss\x1b[0m {1 / (n + 1):.3f}\n" for n in range(30))
    (folder / layout.DRIVER_LOG).write_text(lines)
    numbers = MetricWriter(str(folder / layout.METRICS))
    for step in range(400):
        numbers.number("loss", math.nan if step == 200 else 1 / (step + 1), step)
    numbers.number("best", 0.0025, 399)
    numbers.close()
    log = MetricLog(str(folder), REQUEST["id"])
    log.log_table("table", {"x": [1, 2, 3], "<y>": [2.5, 1.5, 4]})
    matrix = {"class_labels": ["cat", "dog"], "matrix": [[8, 2], [1, 9]]}
    content = {"schema_type": "confusion_matrix", "schema_version": "1.0.0", "data": matrix}
    log.log_confusion_matrix("confusion", content)
    return workspace.get_run(REQUEST["id"])


def test_a_notebook_converted_to_html_shows_the_run_as_it_ended(finished: Run) -> None:
    import nbconvert

    bundle = {"application/vnd.jupyter.widget-view+json": {"model_id": "gone"}}
    bundle |= views.mimebundle([finished])
    notebook = nbformat.v4.new_notebook()
    output = nbformat.v4.new_output("display_data", data=bundle)
    notebook.cells = [nbformat.v4.new_code_cell("run", outputs=[output])]
    page, _ = nbconvert.HTMLExporter().from_notebook_node(notebook)
    shown = fragment(page)
    read(shown)
    golden = DATA / "golden" / "finished_run.html"
    if os.environ.get("AML_WRITE_GOLDEN"):
        golden.write_text(pretty(shown))
    assert pretty(shown) == golden.read_text()


def fragment(page: str) -> str:
    """The card in a page."""
    start = page.index('<div class="aml-run"')
    depth = 0
    for tag in re.finditer(r"<(/?)div\b", page[start:]):
        depth += -1 if tag[1] else 1
        if not depth:
            return page[start : start + tag.end() + 1]
    raise AssertionError("the card has no end")


class Pretty(Markup):
    """Writes what it reads in one way, an element a line, whoever wrote it before."""

    def __init__(self, text: str) -> None:
        self.lines: list[str] = []
        super().__init__(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        super().handle_starttag(tag, attrs)
        shown = "".join(f" {name}={value!r}" for name, value in sorted(attrs))
        self.lines.append(f"<{tag}{shown}>")

    def handle_data(self, data: str) -> None:
        super().handle_data(data)
        if data.strip():
            self.lines.append(data.strip())


def pretty(html: str) -> str:
    return "\n".join(Pretty(html).lines) + "\n"
