"""What a live view does, whatever shows it: followed on a screen that keeps what it is told."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from aml_jupyter import Experiment, Run, Workspace
from aml_jupyter.job import layout
from aml_jupyter.store import MetricFeed
from aml_jupyter.watching.figures import Source
from aml_jupyter.watching.session import HIDDEN_PAUSE, STATE, ViewSession


class Screen:
    """A screen with memory."""

    def __init__(self) -> None:
        self.looking = True
        self.state = dict(STATE)
        self.was_set: list[str] = []
        self.messages: list[dict[str, Any]] = []

    def get(self, name: str) -> Any:
        return self.state[name]

    def set(self, name: str, value: Any) -> None:
        json.dumps(value)
        if self.state[name] != value:
            self.state[name] = value
            self.was_set.append(name)

    def tell(
        self, kind: str, content: Any = None, buffer: bytes | None = None, **more: Any
    ) -> None:
        self.messages.append(json.loads(json.dumps({"kind": kind, **more, kind: content})))

    def told(self, kind: str) -> list[Any]:
        """What came under this kind so far."""
        return [message[kind] for message in self.messages if message["kind"] == kind]


class Charts:
    """What draws charts, with memory of what there was to draw."""

    def __init__(self) -> None:
        self.is_behind = False
        self.sources: Sequence[Source] = ()
        self.options: Mapping[str, Any] = {}
        self.others: Sequence[tuple[Path, MetricFeed]] = ()

    def update(self, sources: Sequence[Source], options: Mapping[str, Any]) -> dict[str, Any]:
        self.sources, self.options = list(sources), dict(options)
        names = {name for source in sources for name in source.feed.names}
        return {**STATE["charts"], "metrics": len(names)}

    def show_others(self, logged: Sequence[tuple[Path, MetricFeed]]) -> None:
        self.others = list(logged)


class Seen:
    """A session, and what became of it."""

    def __init__(self, *runs: Run) -> None:
        self.screen, self.charts, self.woken = Screen(), Charts(), 0
        self.session = ViewSession(runs, self.screen, self.charts, self._wake)

    def _wake(self) -> None:
        self.woken += 1

    def ask(self, kind: str, **more: Any) -> None:
        self.session.ask({"kind": kind, **more})

    def shown_runs(self) -> list[str]:
        return [run["id"] for run in self.screen.state["runs"]]

    def until(self, happened: Callable[[], Any]) -> Any:
        give_up = time.monotonic() + 20
        while not (found := happened()):
            assert time.monotonic() < give_up
            self.session.refresh()
            time.sleep(0.02)
        return found


@pytest.fixture
def experiment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Experiment:
    monkeypatch.chdir(tmp_path)
    return Experiment(Workspace.create("testing", show_output=False), "looks")


@pytest.fixture
def run(experiment: Experiment) -> Run:
    return started(experiment, "first")


@pytest.fixture
def seen(run: Run) -> Seen:
    return Seen(run)


def started(experiment: Experiment, name: str) -> Run:
    return experiment.start_logging(snapshot_directory=None, display_name=name, outputs=False)


def test_all_that_there_is_to_see_stands_on_the_screen_from_the_beginning(run: Run) -> None:
    run.log("loss", 0.5)
    (run.folder / layout.DRIVER_LOG).parent.mkdir(exist_ok=True)
    (run.folder / layout.DRIVER_LOG).write_text("hello\n")
    seen = Seen(run)
    state = seen.screen.state
    assert (state["runs"][0]["name"], state["runs"][0]["status"]) == ("first", "Running")
    assert state["log"]["lines"] == ["hello"]
    assert state["charts"]["metrics"] == 1
    assert state["tabs"] == ["overview", "log", "system", "files", "facts"]
    (source,) = seen.charts.sources
    assert (source.label, source.run) == ("first", run.id)


def test_nothing_is_said_while_nothing_happens(seen: Seen) -> None:
    seen.ask("ready")
    for _ in range(3):
        seen.session.refresh()
    seen.screen.was_set.clear()
    seen.screen.messages.clear()
    for _ in range(3):
        assert seen.session.refresh() is not None
    assert (seen.screen.was_set, seen.screen.messages) == ([], [])


def test_while_nobody_looks_only_the_state_of_the_run_is_followed(run: Run, seen: Seen) -> None:
    seen.ask("ready")
    seen.session.refresh()
    seen.screen.looking = False
    seen.screen.messages.clear()
    run.log("loss", 0.5)
    assert seen.session.refresh() == HIDDEN_PAUSE
    assert (seen.charts.sources[0].feed.names, seen.screen.messages) == ([], [])
    seen.screen.looking = True
    woken = seen.woken
    seen.session.heard("shown")
    assert seen.woken == woken + 1
    seen.session.refresh()
    assert seen.charts.sources[0].feed.names == ["loss"]


def test_it_is_over_when_the_run_has_ended_and_all_of_it_was_shown(run: Run, seen: Seen) -> None:
    run.log("loss", 0.5)
    assert seen.session.refresh() is not None
    run.complete()
    assert seen.until(lambda: seen.session.refresh() is None)
    assert seen.screen.state["runs"][0]["status"] == "Completed"
    assert seen.screen.state["charts"]["metrics"] == 1


def test_it_is_not_over_while_charts_are_behind(run: Run, seen: Seen) -> None:
    run.complete()
    seen.charts.is_behind = True
    for _ in range(4):
        assert seen.session.refresh() is not None
    seen.charts.is_behind = False
    assert seen.until(lambda: seen.session.refresh() is None)


def test_it_turns_to_another_run_and_comes_back(experiment: Experiment, run: Run) -> None:
    other = started(experiment, "second")
    seen = Seen(run)
    seen.screen.state["options"] = {**STATE["options"], "filter": "loss"}
    seen.ask("open", run=other.id)
    assert seen.shown_runs() == [other.id]
    assert seen.screen.state["backs"] == [run.id]
    assert seen.screen.state["options"] == STATE["options"]
    seen.ask("against", run=run.id)
    assert seen.shown_runs() == [other.id, run.id]
    assert "compare" in seen.screen.state["tabs"]
    assert [source.run for source in seen.charts.sources] == [other.id, run.id]
    seen.ask("back")
    seen.ask("back")
    assert seen.shown_runs() == [run.id]
    assert seen.screen.state["backs"] == []


def test_what_cannot_be_is_said_and_changes_nothing(run: Run, seen: Seen) -> None:
    seen.ask("open", run="nobody")
    seen.ask("log", file="../../secret")
    seen.ask("dance")
    said = [m for m in seen.screen.messages if m["kind"] == "said"]
    assert len(said) == 3
    assert all(message["bad"] for message in said)
    assert seen.shown_runs() == [run.id]


def test_the_open_tab_is_kept_up_to_date_and_the_others_are_not(run: Run, seen: Seen) -> None:
    run.child_run(name="one").log("loss", 1.0)
    seen.until(lambda: "children" in seen.screen.state["tabs"])
    assert seen.screen.told("children") == []
    seen.screen.state["tab"] = "children"
    seen.session.heard("tab")
    seen.session.refresh()
    (table,) = seen.screen.told("children")
    assert [row["name"] for row in table["rows"]] == ["one"]
    assert [source.label for source in seen.charts.sources] == ["first", "one"]


def test_what_is_no_number_is_shown_beside_the_charts(run: Run, seen: Seen) -> None:
    run.log_list("sizes", [1, 2, 3])
    seen.until(lambda: seen.charts.others and list(seen.charts.others[0][1].others) == ["sizes"])
    assert seen.charts.others[0][0] == run.folder
