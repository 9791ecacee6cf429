"""Metrics at any size: no spike lost, no point invented, whatever was logged and however far in."""

from __future__ import annotations

import json
import math
import os
import struct
import threading
import tracemalloc
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aml_jupyter.job import metrics
from aml_jupyter.job.metrics import FLOAT, NO_STEP, SIZE, MetricWriter
from aml_jupyter.store.columns import Points
from aml_jupyter.store.series import Line, MetricFeed
from tests.support import experiment, project, ws

__all__ = ["experiment", "project", "ws"]

Point = tuple[float, float]
VALUES = st.one_of(
    st.floats(-1e6, 1e6),
    st.sampled_from([0.0, 1.0, math.nan, math.inf, -math.inf, 1e308, -1e308]),
    st.integers(-(2**63), 2**63 - 1),
    st.booleans(),
)
CALLS = st.lists(
    st.tuples(st.sampled_from("ab"), VALUES, st.none() | st.integers(-20, 200)), max_size=400
)


def feed_of(folder: Path, buckets: int = 2048, piece: int = 2_000_000) -> MetricFeed:
    """A feed that has taken in all there is."""
    feed = MetricFeed(folder, buckets)
    while feed.poll(final=True, records=piece) or feed.progress < 1:
        pass
    return feed


def line_of(folder: Path, name: str = "x", buckets: int = 2048) -> Line:
    (line,) = feed_of(folder, buckets).lines(name)
    return line


def log(folder: Path, values: Sequence[float], name: str = "x") -> MetricWriter:
    """Log these values in turn."""
    writer = MetricWriter(str(folder))
    for value in values:
        writer.number(name, value)
    return writer


def write_file(folder: Path, y: Any, ids: Any = 1, steps: Any = NO_STEP, names: str = "x") -> Path:
    """A metric file as a process leaves it, made at once; its times are 0, 1, 2, …"""
    records = np.zeros(
        len(y),
        [("step", "<i8"), ("t", "<f8"), ("value", "<f8"), ("id", "<u4"), ("kind", "<u4")],
    )
    records["step"], records["t"], records["value"] = steps, np.arange(len(y)), y
    records["id"], records["kind"] = ids, FLOAT
    folder.mkdir(exist_ok=True)
    path = folder / "0-1-a.bin"
    path.write_bytes(metrics.HEADER + records.tobytes())
    path.with_suffix(".names").write_text("".join(json.dumps(name) + "\n" for name in names))
    return path


def column_of(x: float, low: float, high: float, columns: int) -> int:
    return min(int((x - low) * (columns / (high - low))), columns - 1) if high > low else 0


def by_column(
    points: Sequence[Point], low: float, high: float, columns: int
) -> dict[int, list[Point]]:
    found: dict[int, list[Point]] = {}
    for x, y in points:
        if low <= x <= high:
            found.setdefault(column_of(x, low, high, columns), []).append((x, y))
    return found


def pairs(points: Points) -> list[Point]:
    return [(x, y) for x, y in zip(points.x.tolist(), points.y.tolist(), strict=True) if y == y]


def check(points: Points, logged: Sequence[Point], low: float, high: float, columns: int) -> None:
    """What is drawn of a range is what was logged in it, to the last extreme."""
    raw = by_column(logged, low, high, columns)
    drawn = by_column(pairs(points), low, high, columns)
    finite = {c: [p for p in found if math.isfinite(p[1])] for c, found in raw.items()}
    assert {c for c, found in finite.items() if found} == set(drawn)
    for column, found in drawn.items():
        assert set(found) <= set(finite[column])
        assert len(found) == min(2, len(finite[column]))
        assert min(y for _, y in found) == min(y for _, y in finite[column])
        assert max(y for _, y in found) == max(y for _, y in finite[column])
    assert points.exact == all(len(found) <= 2 for found in finite.values())
    check_gaps(points, raw, low, high, columns)
    check_means(points, finite)
    check_form(points)


def check_gaps(
    points: Points, raw: dict[int, list[Point]], low: float, high: float, columns: int
) -> None:
    gone = {c: [p for p in found if not math.isfinite(p[1])] for c, found in raw.items()}
    kinds = {0: "nan", 1: "inf", -1: "-inf"}
    seen = [(float(x), kinds[int(k)]) for x, k in zip(points.gaps, points.gap_kinds, strict=True)]
    columns_seen = [column_of(x, low, high, columns) for x, _ in seen]
    assert columns_seen == sorted(c for c, found in gone.items() if found)
    for column, place in zip(columns_seen, seen, strict=True):
        assert place in [(x, str(y)) for x, y in gone[column]]


def check_means(points: Points, finite: dict[int, list[Point]]) -> None:
    with np.errstate(all="ignore"):
        means = [np.mean(finite[c], axis=0) for c in sorted(finite) if finite[c]]
    expected = [mean for mean in means if np.isfinite(mean[1])]
    assert len(points.mean_x) == len(points.mean_y) == len(expected)
    if expected:
        scale = max(abs(y) for found in finite.values() for _, y in found)
        assert np.allclose(points.mean_x, [x for x, _ in expected], rtol=1e-9, atol=1e-6)
        assert np.allclose(points.mean_y, [y for _, y in expected], rtol=1e-9, atol=scale * 1e-9)


def check_form(points: Points) -> None:
    """In order of x, and NaN only between two points, never two of them."""
    assert list(points.x) == sorted(points.x)
    missing = np.isnan(points.y)
    assert np.isfinite(points.y[~missing]).all()
    assert not (missing[1:] & missing[:-1]).any()
    assert not missing[:1].any()
    assert not missing[-1:].any()


def played(folder: Path, calls: list[tuple[str, Any, int | None]]) -> dict[str, list[Point]]:
    """Log these calls; the steps and values of each name as they must come back."""
    writer, found = MetricWriter(str(folder), mapped=False), dict[str, list[Point]]()
    for name, value, step in calls:
        writer.number(name, value, step)
        known = found.setdefault(name, [])
        known.append((float(len(known) if step is None else step), float(value)))
    return found


# What is drawn ------------------------------------------------------------------------------


def test_a_short_line_is_drawn_as_it_was_logged(tmp_path: Path) -> None:
    log(tmp_path, [3.5, 1, True, -2])
    line = line_of(tmp_path)
    points = line.points("step", 100)
    assert pairs(points) == [(0, 3.5), (1, 1), (2, 1), (3, -2)]
    assert points.exact
    assert (line.count, line.last, line.name) == (4, -2.0, "x")
    assert line.first_time <= line.last_time == line.points("time", 100).x[-1]


@settings(max_examples=100, deadline=None)
@given(
    CALLS,
    st.floats(-30, 210),
    st.floats(0, 250),
    st.integers(1, 40),
    st.sampled_from([64, 512]),
)
def test_each_column_of_a_range_has_the_extremes_of_what_was_logged_in_it(
    tmp_path_factory: pytest.TempPathFactory,
    calls: list[tuple[str, Any, int | None]],
    low: float,
    span: float,
    columns: int,
    buckets: int,
) -> None:
    folder = tmp_path_factory.mktemp("metrics")
    logged = played(folder, calls)
    feed = feed_of(folder, buckets, piece=50)
    assert feed.names == list(logged)
    for name, expected in logged.items():
        (line,) = feed.lines(name)
        assert line.count == len(expected)
        check(line.points("step", columns, low, low + span), expected, low, low + span, columns)


@settings(max_examples=100, deadline=None)
@given(CALLS, st.integers(1, 40), st.integers(1, 300))
def test_from_afar_all_points_are_real_and_the_extremes_of_the_whole_are_there(
    tmp_path_factory: pytest.TempPathFactory,
    calls: list[tuple[str, Any, int | None]],
    columns: int,
    piece: int,
) -> None:
    folder = tmp_path_factory.mktemp("metrics")
    logged = played(folder, calls)
    feed = feed_of(folder, buckets=64, piece=piece)
    for name, expected in logged.items():
        points = feed.lines(name)[0].points("step", columns)
        check_form(points)
        finite = [p for p in expected if math.isfinite(p[1])]
        assert set(pairs(points)) <= set(finite)
        if finite:
            assert points.y[np.isfinite(points.y)].min() == min(y for _, y in finite)
            assert points.y[np.isfinite(points.y)].max() == max(y for _, y in finite)
        drawn = by_column(pairs(points), *extent(expected), columns)
        assert all(len(found) <= 2 for found in drawn.values())
        if len(expected) <= 64:
            check(points, expected, *extent(expected), columns)


def extent(points: Sequence[Point]) -> tuple[float, float]:
    return min(x for x, _ in points), max(x for x, _ in points)


@settings(max_examples=40, deadline=None)
@given(CALLS, st.lists(st.integers(1, 60), min_size=1, max_size=5))
def test_it_does_not_matter_in_which_pieces_a_file_was_read(
    tmp_path_factory: pytest.TempPathFactory,
    calls: list[tuple[str, Any, int | None]],
    sizes: list[int],
) -> None:
    folder = tmp_path_factory.mktemp("metrics")
    feed, written = MetricFeed(folder, buckets=64), 0
    writer = MetricWriter(str(folder), mapped=False)
    for size in [*sizes, len(calls)]:
        for name, value, step in calls[written : written + size]:
            writer.number(name, value, step)
        written += size
        feed.poll()
    other = feed_of(folder, buckets=64)
    for name in other.names:
        for axis in ("step", "time"):
            one, two = (each.lines(name)[0].points(axis, 30) for each in (feed, other))
            assert np.array_equal(one.x, two.x)
            assert np.array_equal(one.y, two.y, equal_nan=True)
            assert np.array_equal(one.gaps, two.gaps)
            assert np.allclose(one.mean_y, two.mean_y, rtol=1e-6)


def test_a_line_is_broken_where_nan_was_logged_and_the_place_is_marked(tmp_path: Path) -> None:
    log(tmp_path, [math.nan, 1.0, math.nan, math.inf, 2.0, 3.0, -math.inf])
    points = line_of(tmp_path).points("step", 100)
    assert list(points.x) == [1, 2, 4, 5]
    assert np.array_equal(points.y, [1, math.nan, 2, 3], equal_nan=True)
    assert list(points.gaps) == [0, 2, 3, 6]
    assert list(points.gap_kinds) == [0, 0, 1, -1]


def test_a_nan_among_many_points_of_a_column_is_marked_and_breaks_nothing(tmp_path: Path) -> None:
    y = np.arange(100_000.0)
    y[::100] = math.nan
    write_file(tmp_path, y)
    for low in (None, 0.0):
        points = line_of(tmp_path).points("step", 100, low)
        assert np.isfinite(points.y).all()
        assert len(points.gaps) == 100


def test_a_long_stretch_of_nan_breaks_a_long_line_from_afar_as_well(tmp_path: Path) -> None:
    y = np.sin(np.arange(200_000) / 1000)
    y[80_000:120_000] = math.nan
    write_file(tmp_path, y)
    for low in (None, 0.0):
        points = line_of(tmp_path).points("step", 500, low)
        (broken,) = points.x[np.isnan(points.y)]
        assert 80_000 <= broken < 120_000


def test_a_line_of_nothing_but_nan_has_marks_and_no_points(tmp_path: Path) -> None:
    log(tmp_path, [math.nan] * 5)
    line = line_of(tmp_path)
    points = line.points("step", 100)
    assert (len(points.x), len(points.mean_x), len(points.gaps)) == (0, 0, 5)
    assert math.isnan(line.last)


@pytest.mark.parametrize("count", [20_000, 200_000])
def test_what_is_drawn_has_the_same_size_however_long_the_line(tmp_path: Path, count: int) -> None:
    write_file(tmp_path, np.random.default_rng(1).normal(size=count))
    line = line_of(tmp_path)
    assert len(line.points("step", 500, 0).x) == 1000
    assert 980 <= len(line.points("step", 500).x) <= 1000
    assert len(line.points("step", 500, count / 2, count / 2 + 5000).x) == 1000


def test_a_single_spike_of_a_long_run_is_seen_from_afar_and_near(tmp_path: Path) -> None:
    y = np.zeros(300_000)
    y[123_457], y[123_458] = 7.0, -7.0
    write_file(tmp_path, y)
    line = line_of(tmp_path)
    for points in (line.points("step", 300), line.points("step", 300, 100_000, 200_000)):
        assert {(123_457.0, 7.0), (123_458.0, -7.0)} <= set(pairs(points))


def test_the_time_of_a_point_is_an_axis_as_well(tmp_path: Path) -> None:
    y = np.random.default_rng(2).normal(size=50_000)
    write_file(tmp_path, y, steps=np.random.default_rng(3).permutation(50_000))
    points = line_of(tmp_path).points("time", 64, 1000.5, 2000)
    check(points, list(enumerate(y.tolist())), 1000.5, 2000, 64)


@pytest.mark.parametrize(("low", "high", "zero"), [(1, 199_999, 0), (1010, 150_000, 1000)])
def test_columns_are_even_on_a_logarithmic_axis_and_have_the_extremes_of_what_is_in_them(
    tmp_path: Path, low: float, high: float, zero: float
) -> None:
    y = np.random.default_rng(5).normal(size=200_000)
    write_file(tmp_path, y)
    points = line_of(tmp_path).points("step", 300, low, high, log_from=zero)
    x = np.arange(len(y))
    inside = (x >= low) & (x <= high)
    left, right = np.log10(low - zero), np.log10(high - zero)

    def columns(places: Any) -> Any:
        return np.minimum((np.log10(places - zero) - left) * (300 / (right - left)), 299).astype(
            int
        )

    logged, drawn = columns(x[inside]), columns(points.x)
    assert np.array_equal(np.unique(logged), np.unique(drawn))
    for column in np.unique(logged):
        true, seen = y[inside][logged == column], points.y[drawn == column]
        assert (seen.min(), seen.max(), len(seen)) == (true.min(), true.max(), min(2, len(true)))
    means = [y[inside][logged == column].mean() for column in np.unique(logged)]
    assert np.allclose(points.mean_y, means)


@pytest.mark.parametrize(
    "steps",
    [
        np.tile(np.arange(1000), 30),
        np.random.default_rng(4).permutation(30_000),
        np.repeat(np.arange(30), 1000),
        np.arange(30_000)[::-1],
        np.full(30_000, 5),
    ],
    ids=["begun again and again", "shuffled", "repeated", "backwards", "all the same"],
)
def test_steps_need_not_ascend(tmp_path: Path, steps: Any) -> None:
    y = np.random.default_rng(5).normal(size=len(steps))
    write_file(tmp_path, y, steps=steps)
    logged = list(zip(steps.astype(float).tolist(), y.tolist(), strict=True))
    line = line_of(tmp_path)
    for low, high in ((2.0, 20.0), (5.0, 5.0), (-10.0, 40_000.0)):
        check(line.points("step", 32, low, high), logged, low, high, 32)
    check_form(line.points("step", 32))


def test_points_of_one_step_stay_in_the_order_they_were_logged(tmp_path: Path) -> None:
    writer = MetricWriter(str(tmp_path))
    for value in (3.0, 1.0):
        writer.number("x", value, 7)
    assert list(line_of(tmp_path).points("step", 10).y) == [3.0, 1.0]


def test_a_range_without_points_and_one_upside_down_are_empty(tmp_path: Path) -> None:
    log(tmp_path, [float(n) for n in range(100)])
    line = line_of(tmp_path, buckets=64)
    for low, high in ((200.0, 300.0), (-5.0, -1.0), (50.0, 20.0), (math.nan, 5.0)):
        points = line.points("step", 10, low, high)
        assert len(points.x) == len(points.gaps) == len(points.mean_x) == 0
    assert len(line.points("step", 10, -math.inf, math.inf).x) > 0


# Near, while the run goes on ----------------------------------------------------------------


def test_a_range_looked_at_again_has_what_came_since(tmp_path: Path) -> None:
    random = np.random.default_rng(6)
    writer, feed, logged = MetricWriter(str(tmp_path)), MetricFeed(tmp_path, buckets=64), []
    for _ in range(40):
        for value in random.normal(size=int(random.integers(1, 90))).tolist():
            writer.number("other", 0.0)
            writer.number("x", value)
            logged.append((float(len(logged)), value))
        feed.poll(final=True)
        line = feed.lines("x")[0]
        for low, high in ((50.0, 70.0), (300.0, 1200.0), (-1.0, 5000.0)):
            check(line.points("step", 20, low, high), logged, low, high, 20)


def test_a_closer_look_survives_the_end_of_the_run_and_the_loss_of_the_file(tmp_path: Path) -> None:
    writer = log(tmp_path, [float(n % 1000) for n in range(30_000)])
    feed = MetricFeed(tmp_path)
    feed.poll()
    line = feed.lines("x")[0]
    assert len(line.points("step", 100, 20_000).x) == 200
    writer.close()
    assert len(line.points("step", 100, 20_001).x) == 200
    (stem,) = metrics.writers(str(tmp_path))
    os.truncate(f"{stem}.bin", 25_000 * SIZE)
    assert line.points("step", 2000, 20_002).x[-1] == 24_998
    os.unlink(f"{stem}.bin")
    points = line.points("step", 100, 20_003)
    assert 150 < len(points.x) <= 200
    assert points.x[-1] > 29_900
    assert feed.poll() is False


def test_lines_may_be_drawn_by_one_thread_while_another_polls(tmp_path: Path) -> None:
    writer, feed = MetricWriter(str(tmp_path)), MetricFeed(tmp_path, buckets=64)
    writer.number("x", 0.0)
    feed.poll(final=True)
    line, failed = feed.lines("x")[0], list[str]()

    def draw() -> None:
        seen = 0
        while seen < 6_000:
            points = line.points("step", 50, 0, 1e6)
            if len(points.y) and points.y[-1] != points.x[-1]:
                failed.append(f"{points.x[-1]} is {points.y[-1]}")
                return
            seen = line.count

    drawing = threading.Thread(target=draw)
    drawing.start()
    for number in range(1, 6_001):
        writer.number("x", float(number))
        if number % 100 == 0:
            feed.poll(final=True)
    feed.poll(final=True)
    drawing.join(30)
    assert not drawing.is_alive()
    assert failed == []


# Following the files ------------------------------------------------------------------------


def test_a_slot_that_is_not_filled_yet_holds_up_what_follows(tmp_path: Path) -> None:
    writer = log(tmp_path, [0.0])
    next(writer._slots)
    writer.number("x", 2.0)
    feed = MetricFeed(tmp_path)
    assert feed.poll() is True
    assert feed.lines("x")[0].count == 1
    assert feed.poll() is False
    assert feed.poll(final=True) is True
    assert pairs(feed.lines("x")[0].points("step", 10)) == [(0, 0), (1, 2)]


def test_processes_have_lines_of_their_own_the_oldest_first(tmp_path: Path) -> None:
    feed = MetricFeed(tmp_path)
    assert feed.poll() is False
    assert feed.progress == 1.0
    one, two = (log(tmp_path, [number], name) for number, name in ((1.0, "x"), (2.0, "y")))
    stems = [os.path.basename(each._stem) for each in (one, two)]
    feed.poll(final=True)
    two.number("x", 20.0)
    one.number("y", 10.0)
    feed.poll(final=True)
    assert sorted(feed.names) == ["x", "y"]
    for name in "xy":
        assert [line.writer for line in feed.lines(name)] == sorted(stems)
        assert sorted(line.count for line in feed.lines(name)) == [1, 1]
    assert feed.lines("never logged") == []


def test_names_come_in_order_of_first_appearance(tmp_path: Path) -> None:
    writer = MetricWriter(str(tmp_path))
    names = [f"n{number}" for number in np.random.default_rng(7).permutation(500)]
    for name in names:
        writer.number(name, 1.0)
        writer.number(names[0], 2.0)
    assert feed_of(tmp_path).names == names


def test_a_name_with_two_ids_is_one_line(tmp_path: Path) -> None:
    # A signal handler that logs while its name is being written makes such a file.
    write_file(tmp_path, [1.0, 2.0, 3.0, 4.0], ids=[1, 2, 3, 1], names="xxy")
    feed = feed_of(tmp_path)
    assert pairs(feed.lines("x")[0].points("step", 10)) == [(0, 1), (1, 2), (2, 4)]
    assert pairs(feed.lines("x")[0].points("step", 1, 0, 3)) == [(0, 1), (2, 4)]
    assert feed.names == ["x", "y"]


def test_metrics_whose_name_a_disk_has_spoiled_are_passed_over(tmp_path: Path) -> None:
    path = write_file(tmp_path, [1.0, 2.0, 3.0], ids=[1, 2, 3])
    path.with_suffix(".names").write_bytes(b'"x"\n\xff\xfe\n"y"\n' + b"[" * 100_000 + b"\n")
    feed = feed_of(tmp_path)
    assert feed.names == ["x", "y"]
    assert feed.lines("y")[0].last == 3.0


def test_a_record_waits_for_a_name_that_the_disk_shows_late(tmp_path: Path) -> None:
    writer = log(tmp_path, [1.0])
    writer.number("late", 2.0)
    names = Path(f"{writer._stem}.names")
    both = names.read_text()
    names.write_text('"x"\n')
    feed = MetricFeed(tmp_path)
    assert feed.poll() is True
    assert feed.names == ["x"]
    names.write_text(both)
    assert feed.poll() is True
    assert feed.lines("late")[0].last == 2.0


def test_a_long_file_is_taken_in_piece_by_piece(tmp_path: Path) -> None:
    write_file(tmp_path, np.arange(300_000.0))
    feed, shares = MetricFeed(tmp_path), [0.0]
    assert feed.progress == 0.0
    while feed.progress < 1:
        assert feed.poll(records=70_000) is True
        shares.append(feed.progress)
        assert feed.lines("x")[0].points("step", 100).y[-1] == feed.lines("x")[0].last
    assert len(shares) > 3
    assert shares == sorted(shares)
    assert feed.lines("x")[0].count == 300_000


def test_a_process_that_logs_much_does_not_hide_the_others(tmp_path: Path) -> None:
    path = write_file(tmp_path, np.zeros(200_000))
    for suffix in (".bin", ".names"):
        os.link(path.with_suffix(suffix), tmp_path / f"0-2-b{suffix}")
    feed = MetricFeed(tmp_path)
    feed.poll(records=50_000)
    feed.poll(records=50_000)
    assert all(line.count > 0 for line in feed.lines("x"))
    assert len(feed.lines("x")) == 2
    assert feed.progress < 1


def test_what_is_kept_of_a_million_points_is_little(tmp_path: Path) -> None:
    write_file(tmp_path, np.random.default_rng(8).normal(size=1_000_000))
    tracemalloc.start()
    feed = feed_of(tmp_path)
    feed.lines("x")[0].points("step", 500, 0, 900_000)
    kept, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 1_000_000
    assert most < 32_000_000
    assert feed.lines("x")[0].count == 1_000_000


@pytest.mark.parametrize("counted", [True, False])
def test_a_look_ahead_shows_a_long_file_from_end_to_end_until_it_was_read(
    tmp_path: Path, counted: bool
) -> None:
    number = 600_000
    steps = NO_STEP if counted else np.repeat(np.arange(number // 3) * 10, 3)
    write_file(tmp_path, np.repeat(np.arange(number // 3), 3), np.tile([1, 2, 3], number // 3),
               steps, "abc")  # fmt: skip
    feed = MetricFeed(tmp_path)
    feed.poll(records=1000)
    taken = feed.lines("a")[0].count
    assert taken < number / 30
    feed.look_ahead()
    for name in "abc":
        (line,) = feed.lines(name)
        points = line.points("step", 300)
        assert abs(line.count - taken) <= 1
        assert points.x[-1] > points.x[0] + 0.99 * (number / 3) * (1 if counted else 10)
        # Where steps were counted, what was not read is placed by estimate.
        assert np.abs(points.x - points.y * (1 if counted else 10)).max() <= (1 if counted else 0)
        assert np.diff(points.x).max() < points.x[-1] / 100
        assert not points.exact
        assert line.last == points.y[-1]
        near = line.points("step", 50, points.x[-1] / 2, points.x[-1])
        assert len(near.x) > 50
        assert near.x[0] >= points.x[-1] / 2
    feed.poll(final=True)
    assert np.array_equal(
        feed.lines("b")[0].points("step", 300).y, line_of(tmp_path, "b").points("step", 300).y
    )


def test_a_look_ahead_changes_nothing_of_a_short_file(tmp_path: Path) -> None:
    write_file(tmp_path, np.arange(1000.0))
    feed = MetricFeed(tmp_path)
    feed.look_ahead()
    feed.poll(final=True)
    assert feed.lines("x")[0].points("step", 1000).exact


def test_thousands_of_names_have_less_room_each_and_lose_no_spike(tmp_path: Path) -> None:
    names, each = 3000, 400
    y = np.zeros(names * each)
    spikes = np.arange(names) * each % (names * each)
    y[spikes] = 1 + np.arange(names)
    ids = np.tile(np.arange(1, names + 1), each)
    path = write_file(tmp_path, y, ids=ids)
    text = "".join(f'"n{number}"\n' for number in range(1, names + 1))
    path.with_suffix(".names").write_text(text)
    tracemalloc.start()
    feed = feed_of(tmp_path)
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(feed.names) == names
    assert kept < 200_000_000
    for spike, value in zip(spikes[::97], y[spikes[::97]], strict=True):
        assert feed.lines(f"n{ids[spike]}")[0].points("step", 300).y.max() >= value


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=3000), st.booleans())
def test_a_spoiled_file_harms_nothing(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, final: bool
) -> None:
    folder = tmp_path_factory.mktemp("metrics")
    (folder / "a.bin").write_bytes(metrics.HEADER + data)
    (folder / "a.names").write_bytes(b'"x"\n"y"\n')
    (folder / "a.jsonl").write_bytes(data)
    look_at_everything(folder, final)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(-(2**63), 2**63 - 1),
            st.floats(),
            st.floats(),
            st.integers(0, 5) | st.integers(0, 2**32 - 1),
            st.integers(0, 4),
        ),
        max_size=200,
    ),
    st.booleans(),
)
def test_whatever_stands_in_the_records_of_a_file_harms_nothing(
    tmp_path_factory: pytest.TempPathFactory, records: list[tuple[Any, ...]], final: bool
) -> None:
    folder = tmp_path_factory.mktemp("metrics")
    packed = b"".join(struct.pack("<qddII", *record) for record in records)
    (folder / "a.bin").write_bytes(metrics.HEADER + packed)
    (folder / "a.names").write_bytes(b'"x"\n"y"\n"x"\n')
    look_at_everything(folder, final)


def look_at_everything(folder: Path, final: bool) -> None:
    feed = MetricFeed(folder, buckets=64)
    feed.poll(final)
    feed.poll(final)
    for name in feed.names:
        for line in feed.lines(name):
            check_form(line.points("step", 20))
            check_form(line.points("time", 20))
            check_form(line.points("step", 20, -1e18, 1e18))
            check_form(line.points("time", 20, 0, 1))


@pytest.mark.parametrize("suffix", [".bin", ".jsonl", ".names"])
def test_a_pipe_in_place_of_a_file_is_not_waited_for(tmp_path: Path, suffix: str) -> None:
    write_file(tmp_path, [1.0])
    os.mkfifo(tmp_path / f"0-2-b{suffix}")
    if suffix == ".names":
        (tmp_path / "0-2-b.bin").write_bytes((tmp_path / "0-1-a.bin").read_bytes())
    feed = feed_of(tmp_path)
    assert [line.count for line in feed.lines("x")] == [1]


# What is not a number -----------------------------------------------------------------------


def test_what_is_not_a_number_comes_in_order_and_with_a_version(tmp_path: Path) -> None:
    writer = MetricWriter(str(tmp_path))
    feed = MetricFeed(tmp_path)
    values: list[Any] = ["text", None, 2**70]
    for value in values:
        writer.other("x", "scalar", value)
    writer.other("y", "list", [1, 2], "a description")
    assert feed.poll() is True
    assert [entry["value"] for entry in feed.others["x"]] == values
    assert feed.others["y"][0]["description"] == "a description"
    assert feed.names == []
    before = dict(feed.others_version)
    assert feed.poll() is False
    writer.other("x", "scalar", "more")
    assert feed.poll() is True
    assert feed.others_version["x"] > before["x"]
    assert feed.others_version["y"] == before["y"]


def test_what_several_processes_logged_is_brought_together_by_their_clocks(tmp_path: Path) -> None:
    feed = MetricFeed(tmp_path)
    for moments in ((1, 5, 2), (10, 11)):
        for stem, shift in (("a", 0.0), ("b", 0.5)):
            with open(tmp_path / f"{stem}.jsonl", "a") as file:
                for t in moments:
                    entry = {"t": t + shift, "name": "x", "kind": "list", "value": f"{stem}{t}"}
                    file.write(json.dumps(entry) + "\n")
        feed.poll()
    found = [entry["value"] for entry in feed.others["x"]]
    assert [value for value in found if value[0] == "a"] == ["a1", "a5", "a2", "a10", "a11"]
    assert found.index("a1") < found.index("b1") < found.index("a10") < found.index("b10")


def test_only_the_newest_of_very_many_entries_are_kept(tmp_path: Path) -> None:
    with open(tmp_path / "a.jsonl", "w") as file:
        for number in range(25_000):
            entry = {"t": number, "name": "x", "kind": "row", "value": {"n": number}}
            file.write(json.dumps(entry) + "\n")
    feed = feed_of(tmp_path)
    assert [entry["value"]["n"] for entry in feed.others["x"]] == list(range(15_000, 25_000))
    assert feed.others_version["x"] == 25_000


def test_a_very_long_line_is_taken_in_whole_and_a_half_one_is_left(tmp_path: Path) -> None:
    entry = {"t": 1.0, "name": "x", "kind": "list", "value": [1.5] * 800_000}
    line = json.dumps(entry) + "\n"
    (tmp_path / "a.jsonl").write_text(line + line[:1000])
    feed = feed_of(tmp_path)
    assert len(feed.others["x"][0]["value"]) == 800_000
    (tmp_path / "a.jsonl").write_text(line + line)
    assert feed.poll() is True
    assert len(feed.others["x"]) == 2


@pytest.mark.parametrize(
    "line",
    [
        '{"t": 1, "name": ["x"], "kind": "list", "value": 1}',
        '{"t": 1, "name": "x", "kind": {}, "value": 1}',
        '{"name": "x", "kind": "list", "value": 1}',
        '{"t": "1", "name": "x", "kind": "list", "value": 1}',
        '{"t": 1e999, "name": "x", "kind": "list", "value": 1}',
        "[" * 100_000,
        '"x"',
    ],
    ids=["name", "kind", "no time", "text as time", "endless time", "deep", "no object"],
)
def test_a_line_that_is_no_entry_is_passed_over(tmp_path: Path, line: str) -> None:
    good = '{"t": 1, "name": "x", "kind": "list", "value": 1}\n'
    (tmp_path / "a.jsonl").write_text(good + line + "\n" + good)
    assert len(feed_of(tmp_path).others["x"]) == 2
