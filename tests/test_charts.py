"""Live charts as a kernel makes them: which there are, what is in them, and what is sent."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bqplot
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aml_jupyter.job.metrics import MetricWriter
from aml_jupyter.notebook.chart_grid import ChartGrid
from aml_jupyter.notebook.charts import COLUMNS
from aml_jupyter.store import MetricFeed
from aml_jupyter.watching.figures import MOST_LINES, Source
from aml_jupyter.watching.session import OPTIONS

FEW = [1.0, 3.0, 2.0]


class Logged:
    """A run's metrics on disk, and the feed that reads them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.feed = MetricFeed(folder)
        self._writer = MetricWriter(str(folder))

    def log(self, name: str, values: Any, first_step: int | None = None) -> None:
        """Log values one by one, and let the feed read them."""
        for nth, value in enumerate(values):
            step = None if first_step is None else first_step + nth
            self._writer.number(name, float(value), step)
        self._writer.flush()
        self.read()

    def log_quietly(self, name: str, value: float) -> None:
        """Log a value that is read later."""
        self._writer.number(name, value)

    def read(self) -> None:
        """Let the feed take in all there is."""
        while self.feed.poll(final=True):
            pass

    def in_another_process(self) -> None:
        """Log from now on as another process would, into files of its own."""
        self._writer.close()
        self._writer = MetricWriter(str(self.folder))

    def source(self, label: str = "run", started: float | None = None, colour: int = 0) -> Source:
        """It as a source of charts."""
        return Source(label, self.feed, started, colour)

    def close(self) -> None:
        """Close the files."""
        self._writer.close()


class Drawn:
    """A grid of charts, and what a browser would find in it."""

    def __init__(self) -> None:
        self.calls: list[int] = []
        self.grid = ChartGrid(lambda: self.calls.append(1))

    def update(self, *sources: Source, **options: Any) -> dict[str, Any]:
        """Draw until all is drawn; the last summary."""
        summary = self.grid.update(sources, {**OPTIONS, **options})
        for _ in range(100_000):
            if not self.grid.is_behind:
                break
            summary = self.grid.update(sources, {**OPTIONS, **options})
        return summary

    @property
    def figures(self) -> list[Any]:
        """The figures in their order."""
        return list(self.grid.widget.children)

    @property
    def titles(self) -> list[str]:
        """Their titles."""
        return [figure.title for figure in self.figures]

    def lines(self, figure: int = 0) -> list[Any]:
        """The lines of a figure."""
        return [mark for mark in self.figures[figure].marks if isinstance(mark, bqplot.Lines)]

    def gaps(self, figure: int = 0) -> list[Any]:
        """The marks of gaps in a figure."""
        scatters = [m for m in self.figures[figure].marks if isinstance(m, bqplot.Scatter)]
        return [mark for mark in scatters if mark.marker == "triangle-up"]

    def range(self, side: int = 0, figure: int = 0) -> tuple[float, float]:
        """What the x axis, or the y axis for 1, spans."""
        scale = self.figures[figure].axes[side].scale
        return scale.min, scale.max

    def browser_sets(self, low: float | None, high: float | None, side: int = 0) -> None:
        """What a message from a browser that zoomed does."""
        self.figures[0].axes[side].scale.set_state({"min": low, "max": high})


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Logged]:
    logged = Logged(tmp_path / "metrics")
    yield logged
    logged.close()


@pytest.fixture
def drawn() -> Iterator[Drawn]:
    made = Drawn()
    yield made
    made.grid.close()


# Which charts there are


def test_each_metric_has_a_chart_in_the_order_of_first_appearance(
    run: Logged, drawn: Drawn
) -> None:
    for name in ("loss", "accuracy", "a"):
        run.log(name, FEW)
    drawn.update(run.source())
    run.log("before all others in the alphabet", FEW)
    run.log("loss", FEW)
    summary = drawn.update(run.source())
    assert drawn.titles == ["loss", "accuracy", "a", "before all others in the alphabet"]
    assert [figure["title"] for figure in summary["figures"]] == drawn.titles
    assert [figure["model"] for figure in summary["figures"]] == [
        figure.model_id for figure in drawn.figures
    ]


def test_a_filter_lets_names_through_that_hold_all_its_words(run: Logged, drawn: Drawn) -> None:
    for name in ("train/loss", "val/loss", "train/Accuracy"):
        run.log(name, FEW)
    summary = drawn.update(run.source(), filter="LOSS tr")
    assert drawn.titles == ["train/loss"]
    assert (summary["metrics"], summary["matching"], summary["charts"]) == (3, 1, 1)
    drawn.update(run.source(), filter="")
    assert drawn.titles == ["train/loss", "val/loss", "train/Accuracy"]


def test_metrics_are_grouped_by_the_first_part_of_their_names(run: Logged, drawn: Drawn) -> None:
    for name in ("train/loss", "lr", "train/accuracy", "val/loss"):
        run.log(name, FEW)
    drawn.update(run.source(), grouping="prefix")
    assert drawn.titles == ["train/…", "lr", "val/loss"]
    assert [line.labels[0] for line in drawn.lines(0)] == ["train/loss", "train/accuracy"]


def test_all_metrics_go_on_one_chart_on_request(run: Logged, drawn: Drawn) -> None:
    for name in ("loss", "accuracy"):
        run.log(name, FEW)
    drawn.update(run.source(), grouping="one")
    assert len(drawn.figures) == 1
    assert [line.labels[0] for line in drawn.lines()] == ["loss", "accuracy"]
    looks = {(line.colors[0], line.line_style) for line in drawn.lines()}
    assert len(looks) == 2


def test_a_chart_has_no_more_lines_than_can_be_told_apart(run: Logged, drawn: Drawn) -> None:
    for number in range(MOST_LINES + 5):
        run.log(f"metric {number}", FEW)
    drawn.update(run.source(), grouping="one")
    assert len(drawn.lines()) == MOST_LINES


def test_new_charts_are_made_a_few_at_a_time(run: Logged, drawn: Drawn) -> None:
    for number in range(10):
        run.log(f"metric {number}", FEW)
    made = []
    for _ in range(3):
        summary = drawn.grid.update([run.source()], OPTIONS, at_most=4)
        made.append((summary["drawn"], len(drawn.figures), drawn.grid.is_behind))
    assert made[0] == (4, 4, True)
    assert [count for count, _, _ in made] == [4, 8, 10]


def test_no_more_charts_are_drawn_than_asked_for(run: Logged, drawn: Drawn) -> None:
    for number in range(30):
        run.log(f"metric {number}", FEW)
    summary = drawn.update(run.source(), most=3)
    assert (summary["metrics"], summary["charts"], summary["drawn"]) == (30, 30, 3)


def test_charts_that_are_no_longer_wanted_are_closed(run: Logged, drawn: Drawn) -> None:
    run.log("loss", [*FEW, math.nan, *FEW])
    drawn.update(run.source(), smoothing=0.5)
    figure = drawn.figures[0]
    parts = [figure, *figure.axes, *figure.marks, *(axis.scale for axis in figure.axes)]
    assert len(figure.marks) >= 3
    drawn.update(run.source(), filter="nothing is called so")
    assert drawn.figures == []
    assert [part.comm for part in parts] == [None] * len(parts)


# What is in them


@pytest.mark.parametrize("count", [1_000, 20_000])
def test_a_long_line_has_two_points_a_column_and_every_spike(
    run: Logged, drawn: Drawn, count: int
) -> None:
    values = np.random.default_rng(0).standard_normal(count)
    values[count // 3], values[count // 2] = 1e3, -1e3
    run.log("noise", values)
    drawn.update(run.source())
    (line,) = drawn.lines()
    assert 1.9 * COLUMNS <= len(line.x) == len(line.y) <= 2 * COLUMNS
    assert (line.y.min(), line.y.max()) == (-1e3, 1e3)


def test_nothing_is_sent_when_nothing_is_new(run: Logged, drawn: Drawn) -> None:
    run.log("loss", [*FEW, math.nan, 1.0])
    run.log("accuracy", FEW)
    drawn.update(run.source(), smoothing=0.5)
    sent: list[Any] = []
    for figure in drawn.figures:
        for part in (figure, *figure.axes, *figure.marks, *(a.scale for a in figure.axes)):
            part.observe(sent.append)
    drawn.update(run.source(), smoothing=0.5)
    assert sent == []
    run.log("loss", [5.0])
    drawn.update(run.source(), smoothing=0.5)
    assert {change["owner"] for change in sent} & set(drawn.figures[0].marks)
    assert not {change["owner"] for change in sent} & set(drawn.figures[1].marks)


def test_a_line_is_broken_and_marked_where_there_is_no_number(run: Logged, drawn: Drawn) -> None:
    run.log("loss", [1, 2, math.nan, 3, 4, math.inf, 5, 6, -math.inf], first_step=0)
    drawn.update(run.source())
    (line,), (gaps,) = drawn.lines(), drawn.gaps()
    assert list(line.y[np.isfinite(line.y)]) == [1, 2, 3, 4, 5, 6]
    breaks = line.x[~np.isfinite(line.y)]
    assert 1 < breaks[0] < 3
    assert 4 < breaks[1] < 6
    assert np.isfinite(line.y[-1])
    assert list(gaps.x) == [2, 5, 8]
    assert gaps.y[1] == 1
    assert list(np.round(gaps.y)) == [0, 1, 0]
    assert drawn.range()[1] == 8


def test_a_point_that_stands_alone_between_gaps_is_a_dot(run: Logged, drawn: Drawn) -> None:
    run.log("loss", [1, math.nan, 2, math.nan, 3, 4], first_step=0)
    drawn.update(run.source())
    dots = [m for m in drawn.figures[0].marks if getattr(m, "marker", "") == "circle"]
    assert [list(dot.x) for dot in dots] == [[0, 2]]


def test_marks_of_gaps_are_made_only_where_there_are_any(run: Logged, drawn: Drawn) -> None:
    run.log("loss", FEW)
    drawn.update(run.source())
    assert drawn.figures[0].marks == drawn.lines()
    run.log("loss", [math.nan])
    drawn.update(run.source())
    assert len(drawn.gaps()) == 1


def test_a_single_value_is_one_dot_in_the_middle(run: Logged, drawn: Drawn) -> None:
    run.log("score", [0.25], first_step=7)
    drawn.update(run.source())
    (line,) = drawn.lines()
    assert (list(line.x), list(line.y), line.marker) == ([7], [0.25], "circle")
    (left, right), (low, high) = drawn.range(0), drawn.range(1)
    assert left < 7 < right
    assert low < 0.25 < high


def test_the_last_value_travels_with_the_line(run: Logged, drawn: Drawn) -> None:
    run.log("loss", [0.5, 0.123456])
    drawn.update(run.source())
    assert drawn.lines()[0].labels == ["loss", "0.1235"]


def test_a_logarithmic_axis_marks_what_it_cannot_show(run: Logged, drawn: Drawn) -> None:
    run.log("loss", [100, 10, 0, -5, 1], first_step=1)
    drawn.update(run.source(), log_y=True)
    (line,), (gaps,) = drawn.lines(), drawn.gaps()
    good = np.isfinite(line.y)
    assert list(line.y[good]) == [2, 1, 0]
    assert list(gaps.x) == [3, 4]
    assert "aml-log-y" in drawn.figures[0]._dom_classes
    drawn.update(run.source())
    assert list(drawn.lines()[0].y) == [100, 10, 0, -5, 1]
    assert "aml-log-y" not in drawn.figures[0]._dom_classes


def test_all_decades_of_a_logarithmic_x_axis_have_points(run: Logged, drawn: Drawn) -> None:
    run.log("loss", np.random.default_rng(0).standard_normal(20_000), first_step=0)
    drawn.update(run.source(), log_x=True)
    x = drawn.lines()[0].x
    assert x[0] == 0
    for decade in range(1, 4):
        assert np.count_nonzero((x >= decade) & (x < decade + 1)) > 40
    assert len(x) <= 2 * COLUMNS


def test_relative_time_begins_with_the_start_of_the_run(run: Logged, drawn: Drawn) -> None:
    run.log("loss", FEW)
    began = run.feed.lines("loss")[0].first_time
    drawn.update(run.source(started=began - 60), axis="time")
    assert drawn.lines()[0].x[0] == pytest.approx(60)
    drawn.update(run.source(), axis="time")
    assert drawn.lines()[0].x[0] == 0
    drawn.update(run.source(started=began - 60), axis="clock")
    assert drawn.lines()[0].x[0] == began
    assert "aml-x-clock" in drawn.figures[0]._dom_classes


def test_smoothing_draws_a_calm_line_over_a_faint_one(run: Logged, drawn: Drawn) -> None:
    run.log("noise", 5 + np.random.default_rng(0).standard_normal(200))
    drawn.update(run.source(), smoothing=0.9)
    faint, calm = drawn.lines()
    assert faint.opacities[0] < 1 == calm.opacities[0]
    assert calm.y.std() < faint.y.std() / 2
    drawn.update(run.source(), smoothing=0)
    assert len(drawn.lines()) == 1


def test_smoothing_does_not_pull_the_beginning_towards_zero(run: Logged, drawn: Drawn) -> None:
    run.log("constant", [7.0] * 50)
    drawn.update(run.source(), smoothing=0.99)
    assert drawn.lines()[1].y == pytest.approx(np.full(50, 7.0))


def test_lines_of_several_runs_are_told_apart_by_colour(
    run: Logged, drawn: Drawn, tmp_path: Path
) -> None:
    other = Logged(tmp_path / "other")
    run.log("loss", FEW)
    other.log("loss", FEW)
    drawn.update(run.source("first", colour=0), other.source("second", colour=1))
    other.close()
    assert [line.labels[0] for line in drawn.lines()] == ["first", "second"]
    assert len({line.colors[0] for line in drawn.lines()}) == 2


def test_each_process_of_a_run_has_a_line(run: Logged, drawn: Drawn) -> None:
    run.log("loss", FEW)
    run.in_another_process()
    run.log("loss", FEW)
    drawn.update(run.source())
    assert [line.labels[0] for line in drawn.lines()] == ["process 1", "process 2"]
    assert drawn.figures[0].fig_margin["bottom"] > 24


def test_hostile_names_stay_text_of_a_decent_length(run: Logged, drawn: Drawn) -> None:
    names = ['<img src=x onerror="alert(1)">', "\u202eevil", "n" * 5000]
    for name in names:
        run.log(name, FEW)
    summary = drawn.update(run.source())
    assert drawn.titles[0] == names[0]
    assert "\u202e" not in drawn.titles[1]
    assert max(len(figure["title"]) for figure in summary["figures"]) <= 201


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(values=st.lists(st.floats(), min_size=1, max_size=30), looks=st.data())
def test_any_numbers_can_be_drawn(
    tmp_path_factory: pytest.TempPathFactory, values: list[float], looks: st.DataObject
) -> None:
    run, drawn = Logged(tmp_path_factory.mktemp("any") / "metrics"), Drawn()
    run.log("any", values)
    options = {
        "axis": looks.draw(st.sampled_from(["step", "time", "clock"])),
        "log_x": looks.draw(st.booleans()),
        "log_y": looks.draw(st.booleans()),
        "smoothing": looks.draw(st.sampled_from([0, 0.5, 0.999])),
    }
    drawn.update(run.source(), **options)
    for low, high in (drawn.range(0), drawn.range(1)):
        assert low < high
        assert math.isfinite(high - low)
    for line in drawn.lines():
        assert np.isfinite(line.x).all()
        assert not len(line.y) or np.isfinite(line.y[-1])
    drawn.grid.close()
    run.close()


# Zooming


def test_a_zoom_asks_for_an_update_and_gets_all_the_detail(run: Logged, drawn: Drawn) -> None:
    values = np.random.default_rng(0).standard_normal(20_000)
    run.log("noise", values, first_step=0)
    drawn.update(run.source())
    assert drawn.calls == []
    drawn.browser_sets(5000, 5200)
    assert drawn.calls
    drawn.update(run.source())
    (line,) = drawn.lines()
    seen = (line.x >= 5000) & (line.x <= 5200)
    assert list(line.y[seen]) == list(values[5000:5201])
    assert drawn.range() == (5000, 5200)
    low, high = drawn.range(1)
    assert low < values[5000:5201].min()
    assert values[5000:5201].max() < high < values.max() + 1


def test_a_zoom_stays_while_new_points_come(run: Logged, drawn: Drawn) -> None:
    run.log("loss", range(100), first_step=0)
    drawn.update(run.source())
    drawn.browser_sets(10, 20)
    drawn.update(run.source())
    run.log("loss", range(100, 150), first_step=100)
    drawn.update(run.source())
    assert drawn.range() == (10, 20)


def test_a_browser_that_unsets_the_range_sees_everything_again(run: Logged, drawn: Drawn) -> None:
    run.log("loss", range(100), first_step=0)
    drawn.update(run.source())
    drawn.browser_sets(10, 20)
    drawn.browser_sets(3, 4, side=1)
    drawn.update(run.source())
    assert drawn.range(1) == (3, 4)
    run.log("loss", [100], first_step=100)
    for side in (0, 1):
        drawn.browser_sets(None, None, side)
    drawn.update(run.source())
    assert drawn.range() == (0, 100)
    assert drawn.range(1)[0] < 0
    assert drawn.range(1)[1] > 100


def test_all_charts_show_everything_when_the_view_is_no_longer_zoomed(
    run: Logged, drawn: Drawn
) -> None:
    run.log("loss", range(100), first_step=0)
    drawn.update(run.source(), zoomed=False)
    drawn.browser_sets(10, 20)
    drawn.update(run.source(), zoomed=True)
    assert drawn.range() == (10, 20)
    drawn.update(run.source(), zoomed=False)
    assert drawn.range() == (0, 99)


def test_another_unit_of_the_x_axis_ends_a_zoom(run: Logged, drawn: Drawn) -> None:
    run.log("loss", range(1, 101), first_step=1)
    drawn.update(run.source())
    drawn.browser_sets(10, 20)
    drawn.update(run.source())
    drawn.update(run.source(), log_x=True)
    assert drawn.range() == (0, 2)


@pytest.mark.parametrize("wrong", [(20.0, 10.0), (5.0, 5.0), (None, 5.0)])
def test_a_range_that_is_none_is_not_taken(
    run: Logged, drawn: Drawn, wrong: tuple[float | None, float | None]
) -> None:
    run.log("loss", range(100), first_step=0)
    drawn.update(run.source())
    drawn.browser_sets(*wrong)
    drawn.update(run.source())
    assert drawn.range() == (0, 99)


def test_the_summary_tells_of_ten_thousand_metrics(run: Logged, drawn: Drawn) -> None:
    for number in range(10_000):
        run.log_quietly(f"metric {number:04}", 1.0)
    run.read()
    summary = drawn.update(run.source(), filter="METRIC 99", most=6)
    assert summary["metrics"] == 10_000
    assert summary["matching"] == 280
    assert summary["drawn"] == 6
    assert summary["reading"] == 1
