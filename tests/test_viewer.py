"""Views of a server: followed by its threads, told to pages by whatever leads there."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aml_jupyter import Experiment, Run, Workspace
from aml_jupyter.job import layout
from aml_jupyter.server.places import Place, Places
from aml_jupyter.server.viewing import ServerView, Viewer
from tests.support import until


class Page:
    """The end of the way to a page: keeps what arrives, and may be slow."""

    def __init__(self) -> None:
        self.is_full = False
        self.got: list[tuple[dict[str, Any], bytes | None]] = []
        self.threads: set[str] = set()

    def send(self, told: Mapping[str, Any], buffer: bytes | None = None) -> None:
        self.threads.add(threading.current_thread().name)
        self.got.append((json.loads(json.dumps(told, allow_nan=False)), buffer))

    def state(self) -> dict[str, Any]:
        """The shared state as the page knows it."""
        return {told["name"]: told["value"] for told, _ in list(self.got) if "name" in told}

    def told(self, kind: str) -> list[Any]:
        """What was told under this kind."""
        told = [told["told"] for told, _ in list(self.got) if told["kind"] == "told"]
        return [each[kind] for each in told if each["kind"] == kind]

    def plots(self) -> list[tuple[dict[str, Any], Any]]:
        """The charts that came, each with its numbers."""
        return [
            (told["told"]["plot"], np.frombuffer(buffer))
            for told, buffer in list(self.got)
            if buffer is not None
        ]

    def failed(self) -> list[dict[str, str]]:
        return [told["problem"] for told, _ in list(self.got) if told["kind"] == "failed"]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.chdir(tmp_path)
    Workspace.create("testing", show_output=False)
    (found,) = Places(tmp_path).look()
    return found


@pytest.fixture
def run(place: Place) -> Run:
    return started(place, "first")


@pytest.fixture
def viewer() -> Iterator[Viewer]:
    viewer = Viewer()
    yield viewer
    viewer.close()


@pytest.fixture
def page() -> Page:
    return Page()


def started(place: Place, name: str) -> Run:
    to = Experiment(place.workspace, "looks")
    return to.start_logging(snapshot_directory=None, display_name=name, outputs=False)


def opened(viewer: Viewer, place: Place, page: Page, *runs: Run, **more: Any) -> ServerView:
    view = viewer.open("mine", place, [run.id for run in runs], page, **more)
    until(lambda: "log" in page.state())
    return view


def show_all(view: ServerView, page: Page) -> None:
    figures = page.state()["charts"]["figures"]
    asked = [{"key": each["model"], "columns": 100, "low": None, "high": None} for each in figures]
    view.ask({"kind": "plots", "plots": asked})


def test_a_page_is_told_all_of_the_state_and_then_what_changes(
    viewer: Viewer, place: Place, page: Page, run: Run
) -> None:
    view = opened(viewer, place, page, run)
    names = {"runs", "tabs", "tab", "options", "charts", "log", "backs"}
    until(lambda: set(page.state()) >= names)
    assert set(page.state()) == names
    assert page.state()["runs"][0]["status"] == "Running"
    view.ask({"kind": "ready"})
    log = run.folder / layout.DRIVER_LOG
    log.parent.mkdir(exist_ok=True)
    log.write_text("hello\n")
    until(lambda: any("hello" in piece["lines"] for piece in page.told("log")))
    run.complete()
    until(lambda: page.state()["runs"][0]["status"] == "Completed")
    assert {told["view"] for told, _ in page.got} == {"mine"}
    assert threading.current_thread().name not in page.threads


def test_charts_travel_as_numbers_and_again_when_there_are_more(
    viewer: Viewer, place: Place, page: Page, run: Run
) -> None:
    run.log("loss", 0.5)
    view = opened(viewer, place, page, run)
    show_all(view, page)
    about, numbers = until(page.plots)[0]
    assert (about["lines"][0]["metric"], numbers[:2].tolist()) == ("loss", [0, 0.5])
    run.log("loss", 0.25)
    until(lambda: page.plots()[-1][0]["lines"][0]["count"] == 2)
    assert page.plots()[-1][1][:4].tolist() == [0, 1, 0.5, 0.25]


def test_of_many_ranges_asked_for_the_last_one_counts(
    viewer: Viewer, place: Place, page: Page, run: Run
) -> None:
    run.log("loss", 0.5)
    view = opened(viewer, place, page, run)
    key = page.state()["charts"]["figures"][0]["model"]
    for high in range(1, 301):
        view.ask({"kind": "plots", "plots": [{"key": key, "columns": 9, "low": 0, "high": high}]})
    until(lambda: page.plots() and page.plots()[-1][0]["high"] == 300)
    assert len(page.plots()) < 300


def test_a_hidden_page_is_sent_nothing_until_it_is_shown(
    viewer: Viewer, place: Place, page: Page, run: Run
) -> None:
    view = opened(viewer, place, page, run)
    view.set("shown", False)
    view.ask({"kind": "folder"})  # answered after the one before was taken in
    until(lambda: page.told("said"))
    page.got.clear()
    run.log("loss", 0.5)
    run.tag("a", "b")
    run.complete()
    time.sleep(1)
    assert page.got == []
    view.set("shown", True)
    until(lambda: page.state().get("runs", [{}])[0].get("status") == "Completed")
    until(lambda: page.state().get("charts", {}).get("drawn") == 1)


def test_a_slow_page_is_spared_and_catches_up(
    viewer: Viewer, place: Place, page: Page, run: Run
) -> None:
    run.log("loss", 0.0)
    view = opened(viewer, place, page, run)
    show_all(view, page)
    until(page.plots)
    page.is_full = True
    time.sleep(0.6)  # a look that has begun may still send something
    page.got.clear()
    for number in range(1, 50):
        run.log("loss", number)
        time.sleep(0.02)
    assert page.got == []
    page.is_full = False
    until(lambda: page.plots() and page.plots()[-1][0]["lines"][0]["count"] == 50)
    assert len(page.plots()) <= 2


def test_a_page_that_comes_again_finds_the_view_as_it_was(
    viewer: Viewer, place: Place, page: Page, run: Run
) -> None:
    run.log("loss", 0.5)
    run.log("acc", 0.5)
    opened(viewer, place, page, run).close()
    again = Page()
    state = {"tab": "facts", "options": {"filter": "acc", "most": -4, "smoothing": "x"}}
    view = opened(viewer, place, again, run, state=state)
    assert again.state()["tab"] == "facts"
    assert again.state()["options"]["filter"] == "acc"
    assert (again.state()["options"]["most"], again.state()["options"]["smoothing"]) == (0, 0.0)
    assert again.state()["charts"]["matching"] == 1
    view.ask({"kind": "ready"})
    assert until(lambda: again.told("log"))[0]["reset"]


def test_a_closed_view_says_nothing_more(
    viewer: Viewer, place: Place, page: Page, run: Run
) -> None:
    view = opened(viewer, place, page, run)
    view.close()
    page.got.clear()
    run.log("loss", 1.0)
    view.ask({"kind": "facts"})
    run.complete()
    time.sleep(0.6)
    assert page.got == []


@pytest.mark.parametrize("number", [0, 21])
def test_no_runs_and_too_many_are_refused(
    viewer: Viewer, place: Place, page: Page, run: Run, number: int
) -> None:
    viewer.open("mine", place, [run.id] * number, page)
    (problem,) = until(page.failed)
    assert str(number) in problem["message"]


def test_a_run_that_is_not_there_is_told(viewer: Viewer, place: Place, page: Page) -> None:
    view = viewer.open("mine", place, ["nobody_1_00000000"], page)
    (problem,) = until(page.failed)
    assert "nobody_1_00000000" in problem["message"]
    view.ask({"kind": "facts"})
    view.set("shown", True)


def test_where_runs_are_only_shown_nothing_is_changed_or_started(
    place: Place, page: Page, run: Run
) -> None:
    viewer = Viewer(read_only=True)
    view = opened(viewer, place, page, run)
    for kind in ("cancel", "rerun", "resume"):
        view.ask({"kind": kind})
    view.ask({"kind": "tag", "name": "a", "value": "b"})
    until(lambda: len(page.told("said")) == 4)
    said = [told["told"] for told, _ in page.got if told["kind"] == "told"]
    assert all(each["bad"] and "read_only" in each["said"] for each in said if "bad" in each)
    assert run.get_status() == "Running"
    assert "a" not in run.get_tags()
    view.ask({"kind": "facts"})
    until(lambda: page.told("facts"))
    viewer.close()


def test_what_makes_no_sense_is_answered_and_the_view_lives_on(
    viewer: Viewer, place: Place, page: Page, run: Run
) -> None:
    view = opened(viewer, place, page, run)
    view.set("runs", [])
    view.set("options", [1])
    view.set("tab", 7)
    for asked in ({"kind": "dance"}, {"kind": 5}, {}, {"kind": "page", "file": "x", "at": "y"}):
        view.ask(asked)
    view.ask({"kind": "plots", "plots": [{"key": 1}]})
    view.ask({"kind": "folder"})
    until(lambda: str(run.folder) in page.told("said"))
    run.log("loss", 1.0)
    until(lambda: page.state()["charts"]["drawn"] == 1)
    assert page.state()["runs"][0]["id"] == run.id


def test_many_views_are_followed_by_few_threads(viewer: Viewer, place: Place, run: Run) -> None:
    before = threading.active_count()
    pages = [Page() for _ in range(30)]
    views = [viewer.open(f"view {n}", place, [run.id], page) for n, page in enumerate(pages)]
    until(lambda: all("log" in page.state() for page in pages))
    run.log("loss", 1.0)
    until(lambda: all(page.state()["charts"]["drawn"] == 1 for page in pages))
    assert threading.active_count() - before <= 7
    for view in views:
        view.close()


def test_opening_and_asking_wait_for_nothing(
    viewer: Viewer, place: Place, page: Page, run: Run, calls: Callable[..., float]
) -> None:
    for number in range(200):
        run.log(f"m{number}", number)
    view: list[ServerView] = []
    assert calls(lambda: view.append(viewer.open("mine", place, [run.id], page))) < 0.05
    assert calls(lambda: view[0].ask({"kind": "facts"})) < 0.05
    assert calls(lambda: view[0].set("tab", "facts")) < 0.05
    until(lambda: page.told("facts"))
    assert calls(view[0].close) < 0.05


@pytest.fixture
def calls() -> Callable[..., float]:
    """How many seconds of its thread's own time a call takes."""

    def seconds(call: Callable[[], object]) -> float:
        began = time.thread_time()
        call()
        return time.thread_time() - began

    return seconds
