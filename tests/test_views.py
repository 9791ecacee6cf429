"""How runs look: the log's text, charts, the card, the live widget and the thread that feeds it."""

from __future__ import annotations

import gc
import json
import math
import threading
import time
from pathlib import Path
from typing import Any

import ipywidgets
import jsonschema
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

from aml_jupyter.notebook import RunDetails, charts, forms, views, watch
from aml_jupyter.notebook.log_text import LogText
from aml_jupyter.notebook.poller import Poller
from aml_jupyter.store.feed import Series
from aml_jupyter.workspace import Experiment, Run, Workspace

WIRE = Path(__file__).parents[1] / "labextension" / "wire" / "run-card.schema.json"


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
    log = LogText()
    log.feed("\x1b[1;31m<b>&\x1b[0m plain \x1b[2K\x1b]0;title\x07\x1b[38;5;9mx\x00\n")
    shown = log.html()
    assert "&lt;b&gt;&amp;</span> plain x" in shown
    assert "font-weight:bold" in shown
    assert "\x1b" not in shown
    assert "\x00" not in shown
    assert log.text() == "<b>& plain x"


def series(*values: float) -> Series:
    y = np.array(values, dtype=float)
    return Series(np.arange(len(y), dtype=float), y, float(y[-1]), len(y))


def test_a_chart_has_a_gap_where_a_value_is_not_a_number() -> None:
    drawn = charts.svg("loss<1>", series(1, 2, math.nan, 4, 5, math.inf, 7))
    assert drawn.count("<polyline") == 2
    assert drawn.count("<circle") == 1
    assert "loss&lt;1&gt;: 7" in drawn
    assert "nan" not in drawn
    assert "inf" not in drawn


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
    assert charts.round_numbers(low, high) == pytest.approx(ticks)


@pytest.mark.parametrize("values", [(3.0,), (0.0, 0.0), (math.nan,), (1e300, -1e300)])
def test_any_values_make_a_chart(values: tuple[float, ...]) -> None:
    assert charts.svg("m", series(*values)).endswith("</svg>")
    charts.Chart("m", series(*values))


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    workspace = Workspace.create("testing", show_output=False)
    started = Experiment(workspace, "looks").start_logging(
        snapshot_directory=None, display_name="<first>"
    )
    (started.folder / "azureml-logs").mkdir(exist_ok=True)
    write(started, "hello <world>\n")
    return started


def write(run: Run, text: str) -> None:
    with open(run.folder / "azureml-logs" / "70_driver_log.txt", "a") as log:
        log.write(text)


def test_the_card_shows_state_charts_and_log_without_any_script(run: Run) -> None:
    for value in (1.0, 0.5, math.nan, 0.1):
        run.log("loss", value)
    bundle = views.mimebundle(run)
    card = str(bundle["text/html"])
    assert "● Running" in card
    assert "&lt;first&gt;" in card
    assert "hello &lt;world&gt;" in card
    assert "<svg" in card
    assert f"%aml_attach {run.id}" in card
    assert "<script" not in card
    assert bundle["text/plain"] == repr(run)


def test_the_data_of_a_run_is_strict_json_of_bounded_size(run: Run) -> None:
    for step in range(20_000):
        run.log("loss", math.nan if step % 7 == 0 else step)
    run.fail(error_details="the <end>")
    data = views.mimebundle(run)[forms.MIME]
    text = json.dumps(data, allow_nan=False)
    assert len(text) < 50_000
    back = json.loads(text)
    assert back["version"] == 1
    assert back["status"] == "Failed"
    assert back["metrics"][0]["count"] == 20_000
    assert "the <end>" in back["error"]["message"]
    jsonschema.validate(back, json.loads(WIRE.read_text()))
    assert back["log_tail"] == "hello <world>"


def changes(widget: ipywidgets.Widget) -> list[str]:
    """The names of synced traits that change from now on, in the widget and what is in it."""
    seen: list[str] = []
    todo = [widget]
    while todo:
        part = todo.pop()
        part.observe(lambda change: seen.append(change["name"]), names=part.keys)
        todo += getattr(part, "children", ())
    return seen


def test_the_live_view_follows_and_changes_only_what_changed(run: Run) -> None:
    run.log("loss", 1.0)
    view = views.LiveView(run)
    view.refresh()
    seen = changes(view.widget)
    view.refresh()
    assert set(seen) <= {"value"}  # the clock at most
    assert len(seen) <= 1
    seen.clear()
    write(run, "more\n")
    view.refresh()
    log = view.widget.children[2]
    assert "more" in log.value
    assert "children" not in seen
    run.log("accuracy", 0.5)
    view.refresh()
    assert len(view.widget.children[1].children) == 2
    run.complete()
    assert view.refresh() is False
    assert "✔ Completed" in view.widget.children[0].children[0].value
    assert view.widget.children[0].children[1].layout.display == "none"


def test_a_live_chart_never_holds_more_than_about_a_thousand_points(run: Run) -> None:
    for step in range(50_000):
        run.log("loss", math.sin(step))
    view = views.LiveView(run)
    marks = view.widget.children[1].children[0].marks[0]
    assert 500 < len(marks.x) <= 1001
    assert view.widget.children[1].children[0].title.startswith("loss")


def test_there_are_no_more_than_a_few_charts(run: Run) -> None:
    for number in range(10):
        run.log(f"metric {number}", number)
    assert len(views.LiveView(run).widget.children[1].children) == charts.MOST


def test_the_cancel_button_cancels(run: Run) -> None:
    view = views.LiveView(run)
    view.widget.children[0].children[1].click()
    view.refresh()
    assert run.status in ("Canceled", "CancelRequested")
    assert view.widget.children[0].children[1].disabled


class Counter:
    """A view that counts its looks, until told to stop."""

    def __init__(self, looks: int = 10**9, fails: bool = False) -> None:
        self.count = 0
        self._looks = looks
        self._fails = fails

    def refresh(self) -> bool:
        self.count += 1
        if self._fails:
            raise OSError("gone")
        return self.count < self._looks


def until(happened: Any) -> None:
    deadline = time.monotonic() + 10
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def threads() -> int:
    return sum(thread.name == "aml-views" for thread in threading.enumerate())


def test_one_thread_serves_all_views_and_ends_with_the_last() -> None:
    before = threads()
    poller = Poller(interval=0.005)
    counters = [Counter(3), Counter(5), Counter(2, fails=True)]
    for counter in counters:
        poller.watch(counter)
    assert threads() <= before + 1
    until(lambda: not poller.running)
    assert [counter.count for counter in counters] == [3, 5, 1]
    again = Counter(1)
    poller.watch(again)
    until(lambda: again.count == 1)


def test_a_view_that_nobody_holds_is_forgotten() -> None:
    poller = Poller(interval=0.005)
    counters = [Counter()]
    poller.watch(counters[0])
    until(lambda: counters[0].count > 1)
    counters.clear()
    gc.collect()
    until(lambda: not poller.running)


def test_a_closed_widget_is_looked_at_no_more(run: Run) -> None:
    view = views.LiveView(run)
    assert view.refresh()
    view.widget.close()
    assert not view.refresh()


def test_run_details_shows_without_a_front_end_and_returns_nothing(run: Run) -> None:
    InteractiveShell.instance()
    with capture_output() as caught:
        assert RunDetails(run).show(render_lib=None, widget_settings={"a": 1}) is None
    data = caught.outputs[0].data
    assert "Status: Running" in data["text/plain"]
    assert views.WIDGET_MIME not in data


def test_widget_data_has_the_keys_of_v1(run: Run) -> None:
    run.log("loss", 0.5)
    run.log("loss", 0.25)
    run.complete()
    data = RunDetails(run).get_widget_data({"debug": True})
    assert data["status"] == "Completed"
    assert data["run_metrics"] == [
        {
            "name": "loss",
            "run_id": run.id,
            "categories": [0, 1],
            "series": [{"data": [0.5, 0.25]}],
        }
    ]
    assert data["run_logs"] == "hello <world>"
    assert data["run_properties"]["run_number"] == "1"
    assert data["run_properties"]["end_time_utc"]
    assert data["widget_settings"] == {"debug": True}


def test_a_table_of_runs_leaves_out_empty_columns(run: Run) -> None:
    run.log("loss", 0.5)
    run.complete()
    table = forms.RunTable(Workspace.from_config().runs())
    assert "Tags" not in repr(table)
    assert "loss=0.5" in repr(table)
    assert "&lt;first&gt;" in table._repr_html_()
    assert repr(forms.RunTable([])) == "no runs yet"


@pytest.mark.parametrize(
    ("seconds", "shown"), [(None, ""), (0.4, "0:00:00"), (83, "0:01:23"), (90_000, "1 d 1:00:00")]
)
def test_times_are_shown_as_a_clock(seconds: float | None, shown: str) -> None:
    assert watch.shown_time(seconds) == shown
