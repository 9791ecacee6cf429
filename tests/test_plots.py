"""The charts of a page that draws them itself: what it is sent of which lines, and how often."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from aml_jupyter.job import metrics
from aml_jupyter.job.metrics import FLOAT, NO_STEP, MetricWriter
from aml_jupyter.store import MetricFeed
from aml_jupyter.watching.figures import Source
from aml_jupyter.watching.plots import MOST_COLUMNS, PlotFeed
from aml_jupyter.watching.session import OPTIONS

WIRE = Path(__file__).parents[1] / "labextension" / "wire"
STARTED = 1_700_000_000.0


@dataclass(frozen=True)
class Drawn:
    """A line as a page has it."""

    about: dict[str, Any]
    x: Any
    y: Any
    mean_x: Any
    mean_y: Any
    gaps: Any
    kinds: Any


class Page:
    """A page with memory, and the feed that it is told by."""

    def __init__(
        self,
        *feeds: MetricFeed,
        share: float = 1000.0,
        bytes_a_second: float = 1e12,
        polling: bool = True,
        **options: Any,
    ) -> None:
        self.plots: list[tuple[dict[str, Any], list[Drawn]]] = []
        self.pictures: list[dict[str, str | None]] = []
        self.feed = PlotFeed(self._told, share, bytes_a_second)
        self.options = {**OPTIONS, **options}
        self.sources = [
            Source(f"run {number}", feed, STARTED, number, f"id-{number}")
            for number, feed in enumerate(feeds)
        ]
        self.look(polling)

    def look(self, polling: bool = True) -> None:
        for source in self.sources if polling else ():
            source.feed.poll(final=True)
        self.summary = self.feed.update(self.sources, self.options)
        self.keys = {each["title"]: each["model"] for each in self.summary["figures"]}

    def show(
        self, *titles: str, columns: int = 100, low: float | None = None, high: float | None = None
    ) -> None:
        shown = [
            {"columns": columns, "low": low, "high": high, "key": self.keys[t]} for t in titles
        ]
        jsonschema.validate({"kind": "plots", "plots": shown}, schema("run-view-asked"))
        self.feed.show(shown)

    def line(self) -> Drawn:
        """The only line of what was sent last."""
        ((_, (line,)),) = self.plots[-1:]
        return line

    def sent(self) -> list[str]:
        """The titles of the charts that were sent, in order."""
        titles = {key: title for title, key in self.keys.items()}
        return [titles[about["key"]] for about, _ in self.plots]

    def _told(self, kind: str, content: Any = None, buffer: bytes | None = None) -> None:
        content = json.loads(json.dumps(content, allow_nan=False))
        jsonschema.validate({"kind": kind, kind: content}, schema("run-view-told"))
        if kind == "pictures":
            self.pictures.append({each["name"]: each["html"] for each in content})
            return
        assert buffer is not None
        numbers, lines = np.frombuffer(buffer), []
        for about in content["lines"]:
            parts = []
            for size in (about["points"], about["means"], about["gaps"]):
                parts += [numbers[:size], numbers[size : 2 * size]]
                numbers = numbers[2 * size :]
            lines.append(Drawn(about, *parts))
        assert len(numbers) == 0
        self.plots.append((content, lines))


def schema(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((WIRE / f"{name}.schema.json").read_text())
    state = json.loads((WIRE / "run-view.schema.json").read_text())
    return {**found, "$defs": {**state["$defs"], **found["$defs"]}}


def written(folder: Path, y: Any, names: Sequence[str] = ("loss",), steps: Any = NO_STEP) -> Path:
    """A metric file made at once, whose names are logged by turns, a second after another."""
    kind = [("step", "<i8"), ("t", "<f8"), ("value", "<f8"), ("id", "<u4"), ("kind", "<u4")]
    records = np.zeros(len(y), kind)
    records["step"], records["value"], records["kind"] = steps, y, FLOAT
    records["t"] = STARTED + np.arange(len(y)) // len(names)
    records["id"] = 1 + np.arange(len(y)) % len(names)
    folder.mkdir(exist_ok=True)
    (folder / "0-1-a.bin").write_bytes(metrics.HEADER + records.tobytes())
    (folder / "0-1-a.names").write_text("".join(json.dumps(name) + "\n" for name in names))
    return folder


def rose(folder: Path, count: int) -> Page:
    """A page of one line of so many points, without order."""
    return Page(MetricFeed(written(folder, np.random.default_rng(1).normal(size=count))))


def test_a_short_line_travels_as_it_was_logged(tmp_path: Path) -> None:
    page = Page(MetricFeed(written(tmp_path, [3.0, 1.0, math.nan, 2.0, math.inf, -math.inf])))
    page.show("loss")
    line = page.line()
    assert line.x.tolist() == [0, 1, 2, 3]
    assert np.array_equal(line.y, [3, 1, math.nan, 2], equal_nan=True)
    assert (line.gaps.tolist(), line.kinds.tolist()) == ([2, 4, 5], [0, 1, -1])
    assert line.about["exact"]
    assert (line.about["count"], line.about["last"]) == (6, None)
    assert (line.about["run"], line.about["metric"]) == ("id-0", "loss")


def test_a_long_line_has_what_the_asked_columns_can_show(tmp_path: Path) -> None:
    page = rose(tmp_path, 300_000)
    page.show("loss", columns=700)
    line, (direct,) = page.line(), page.sources[0].feed.lines("loss")
    points = direct.points("step", 700)
    assert 1300 < len(line.x) <= 1400
    assert np.array_equal(line.x, points.x)
    assert np.array_equal(line.y, points.y)
    assert np.array_equal(line.mean_y, points.mean_y)
    assert not line.about["exact"]


def test_there_is_a_bound_to_columns(tmp_path: Path) -> None:
    page = rose(tmp_path, 100_000)
    page.show("loss", columns=10**9, low=0, high=99_999)
    assert len(page.line().x) <= 2 * 2 * MOST_COLUMNS


def test_a_range_has_all_the_detail_there_is_in_it_and_as_much_beside_it(tmp_path: Path) -> None:
    y = np.random.default_rng(1).normal(size=400_000)
    page = Page(MetricFeed(written(tmp_path, y)))
    page.show("loss", columns=200, low=100_000, high=101_000)
    line = page.line()
    assert 99_500 <= line.x.min() < 99_505
    assert 101_495 <= line.x.max() <= 101_500
    for left in range(99_500, 101_495, 5):  # 200 columns are 1000 steps wide
        drawn = line.y[(line.x >= left) & (line.x < left + 5)]
        assert (drawn.min(), drawn.max()) == (y[left : left + 5].min(), y[left : left + 5].max())
    page.show("loss", columns=200, low=200_000, high=200_050)
    near = page.line()
    assert near.about["exact"]
    assert np.array_equal(near.y, y[199_975:200_076])


def test_columns_are_even_on_a_logarithmic_axis(tmp_path: Path) -> None:
    y = np.random.default_rng(1).normal(size=200_000)
    page = Page(MetricFeed(written(tmp_path, y)), log_x=True)
    page.show("loss", columns=500)
    x = page.line().x
    assert np.array_equal(x[:10], np.arange(1, 11))
    decades = np.histogram(np.log10(x), bins=[2, 3, 4, 5])[0]
    assert decades.max() - decades.min() < 0.1 * decades.max()
    page.show("loss", columns=500, low=10, high=100)
    assert set(range(10, 101)) <= set(page.line().x.tolist())


def test_time_counts_from_the_start_of_the_run_and_the_clock_from_the_epoch(tmp_path: Path) -> None:
    feed = MetricFeed(written(tmp_path, np.arange(50_000.0)))
    page = Page(feed, axis="time")
    page.show("loss", low=1000, high=1010)
    assert np.array_equal(page.line().x, np.arange(995, 1016))
    page.options["axis"] = "clock"
    page.look()
    page.show("loss", low=STARTED + 1000, high=STARTED + 1010)
    assert np.array_equal(page.line().x, STARTED + np.arange(995, 1016))


def test_only_charts_that_have_more_points_are_sent_again(tmp_path: Path) -> None:
    writer = MetricWriter(str(tmp_path))
    writer.number("one", 1.0)
    writer.number("two", 1.0)
    page = Page(MetricFeed(tmp_path))
    page.show("one", "two")
    page.look()
    assert page.sent() == ["one", "two"]
    writer.number("two", 2.0)
    page.look()
    assert page.sent() == ["one", "two", "two"]
    page.show("one")
    writer.number("two", 3.0)
    page.look()
    assert page.sent() == ["one", "two", "two"]
    page.show("one", "two")
    page.feed.forget()
    page.look()
    assert page.sent()[3:] == ["two", "one", "two"]
    writer.close()


@pytest.mark.parametrize("budget", [{"share": 1e-6}, {"bytes_a_second": 0.1}])
def test_sending_has_a_budget_and_what_is_asked_for_does_not_wait(
    tmp_path: Path, budget: dict[str, float]
) -> None:
    writer = MetricWriter(str(tmp_path))
    writer.number("one", 1.0)
    page = Page(MetricFeed(tmp_path), **budget)  # type: ignore[arg-type]
    page.show("one")
    writer.number("one", 2.0)
    page.look()
    assert (page.sent(), page.feed.is_behind) == (["one"], True)
    page.show("one", columns=50)
    assert page.line().about["count"] == 2
    page.options["axis"] = "time"
    page.look()
    assert [about["axis"] for about, _ in page.plots] == ["step", "step", "time"]
    assert not page.feed.is_behind
    writer.close()


def test_keys_stay_the_same_whatever_is_filtered_and_tell_charts_apart(tmp_path: Path) -> None:
    hostile = "a\ud800\x00<script>"
    names = ["loss", "val/a", "val/b", hostile]
    page = Page(MetricFeed(written(tmp_path, np.arange(8.0), names)))
    keys = dict(page.keys)
    assert len(set(keys.values())) == 4
    page.options["filter"] = "val"
    page.look()
    assert page.keys == {title: key for title, key in keys.items() if title.startswith("val")}
    page.options |= {"filter": "", "grouping": "prefix"}
    page.look()
    page.show("val/…")
    assert [line.about["label"] for line in page.plots[-1][1]] == ["val/a", "val/b"]
    assert page.keys["val/…"] not in keys.values()


def test_several_runs_are_told_apart_in_one_chart(tmp_path: Path) -> None:
    feeds = [MetricFeed(written(tmp_path / name, np.arange(3.0))) for name in ("a", "b")]
    page = Page(*feeds)
    page.show("loss")
    abouts = [line.about for line in page.plots[-1][1]]
    assert [about["label"] for about in abouts] == ["run 0", "run 1"]
    assert [about["run"] for about in abouts] == ["id-0", "id-1"]
    assert abouts[0]["colour"] != abouts[1]["colour"]


@pytest.mark.parametrize(
    "asked",
    [
        {"columns": 10, "low": 5, "high": 1},
        {"columns": 10, "low": math.nan, "high": 1},
        {"columns": -3, "low": "a", "high": None},
    ],
)
def test_a_range_that_is_none_is_everything(tmp_path: Path, asked: dict[str, Any]) -> None:
    page = rose(tmp_path, 20)
    page.feed.show([{"key": page.keys["loss"], **asked}, {"key": "nobody", **asked}])
    about, (line,) = page.plots[-1]
    assert (about["low"], about["high"]) == (None, None)
    assert line.x[-1] <= 19


def test_pictures_are_sent_when_there_is_more_of_them(tmp_path: Path) -> None:
    writer = MetricWriter(str(tmp_path / "metrics"))
    writer.other("<blink>", "list", [1, 2])
    writer.other("sizes", "list", [3])
    feed = MetricFeed(tmp_path / "metrics")
    page = Page(feed)
    page.feed.show_others([(tmp_path, feed)])
    page.feed.show_others([(tmp_path, feed)])
    (first,) = page.pictures
    assert list(first) == ["<blink>", "sizes"]
    assert all(html and "<blink>" not in html for html in first.values())
    writer.other("sizes", "list", [4])
    feed.poll()
    page.feed.show_others([(tmp_path, feed)])
    assert page.pictures[-1]["<blink>"] is None
    assert page.pictures[-1]["sizes"] not in (None, first["sizes"])
    writer.close()


def test_a_run_that_is_long_is_seen_over_its_whole_range_before_it_was_read(
    tmp_path: Path,
) -> None:
    feed = MetricFeed(written(tmp_path, np.sin(np.arange(3_000_000) / 2e5), ("a", "b")))
    feed.poll(records=50_000)
    feed.look_ahead()
    page = Page(feed, polling=False)
    page.show("a", "b", columns=500)
    assert page.summary["reading"] < 0.1
    for _, (line,) in page.plots:
        assert (line.x.min(), line.x.max() > 1_490_000) == (0, True)
        assert np.abs(line.y - np.sin(line.x * 2 / 2e5)).max() < 0.001
        assert np.diff(line.x).max() < 10_000
        assert not line.about["exact"]
    began = time.monotonic()
    while page.summary["reading"] < 1:
        page.look()
        assert time.monotonic() - began < 20
    (direct,) = feed.lines("b")
    assert np.array_equal(page.line().y, direct.points("step", 500).y)
