"""The kernel's half of the live view: what it tells a browser, and what it does when asked."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from comm.base_comm import BaseComm

from aml_jupyter import Experiment, Run, ScriptRunConfig, Workspace
from aml_jupyter.notebook.live import LiveView
from aml_jupyter.notebook.panel import Panel

LOG = "azureml-logs/70_driver_log.txt"
WIRE = Path(__file__).parents[1] / "labextension" / "wire"


class Channel(BaseComm):  # type: ignore[misc]
    """The way to a browser: keeps what goes through it."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.buffers: list[bytes] = []
        super().__init__(target_name="jupyter.widget")

    def publish_msg(self, msg_type: str, data: Any = None, **more: Any) -> None:
        self.sent.append(json.loads(json.dumps(data)) if data else {})
        self.buffers += [bytes(buffer) for buffer in more.get("buffers") or ()]


class Page:
    """A browser as far as the kernel can tell: asks, sets traits, and keeps what it is told."""

    def __init__(self, view: LiveView) -> None:
        self.view = view
        self.panel: Panel = view.widget.children[0]
        self.channel = Channel()
        self.panel.comm = self.channel

    def ask(self, kind: str, **more: Any) -> None:
        asked = {"kind": kind, **more}
        jsonschema.validate(asked, _schema("run-view-asked"))
        self._send({"method": "custom", "content": asked})

    def set(self, **traits: Any) -> None:
        self._send({"method": "update", "state": traits})

    def told(self, kind: str) -> list[Any]:
        """What came under this kind so far; each message has the shape of the wire."""
        found = []
        for message in self.channel.sent:
            content = message.get("content") if message.get("method") == "custom" else None
            if content is not None:
                jsonschema.validate(content, _schema("run-view-told"))
                if content["kind"] == kind:
                    found.append(content[kind])
        return found

    def updates(self) -> list[str]:
        """The names of the traits that were sent, in order."""
        sent = [m["state"] for m in self.channel.sent if m.get("method") == "update"]
        return [name for state in sent for name in state]

    def until(self, happened: Callable[[], Any]) -> Any:
        give_up = time.monotonic() + 20
        while not (found := happened()):
            assert time.monotonic() < give_up
            self.view.refresh()
            time.sleep(0.02)
        return found

    def _send(self, data: Mapping[str, Any]) -> None:
        self.panel._handle_msg({"content": {"data": data}, "buffers": []})


def _schema(name: str) -> dict[str, Any]:
    """The schema, with the definitions of the view's state that the messages use."""
    schema: dict[str, Any] = json.loads((WIRE / f"{name}.schema.json").read_text())
    state = json.loads((WIRE / "run-view.schema.json").read_text())
    return {**schema, "$defs": {**state["$defs"], **schema.get("$defs", {})}}


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.chdir(tmp_path)
    return Workspace.create("testing", show_output=False)


@pytest.fixture
def experiment(workspace: Workspace) -> Experiment:
    return Experiment(workspace, "looks")


@pytest.fixture
def run(experiment: Experiment) -> Run:
    return started(experiment, "first")


@pytest.fixture
def page(run: Run) -> Iterator[Page]:
    view = LiveView([run])
    yield Page(view)
    view.widget.close()
    view.refresh()


def started(experiment: Experiment, name: str) -> Run:
    run = experiment.start_logging(snapshot_directory=None, display_name=name)
    (run.folder / LOG).parent.mkdir(exist_ok=True)
    return run


def write(run: Run, text: str, name: str = LOG) -> None:
    (run.folder / name).parent.mkdir(parents=True, exist_ok=True)
    with open(run.folder / name, "a") as log:
        log.write(text)


def test_the_state_has_the_shape_of_the_wire(run: Run, page: Page) -> None:
    run.log("loss", 0.5)
    write(run, "hello\n")
    page.view.refresh()
    schema = _schema("run-view")
    state = {name: getattr(page.panel, name) for name in schema["properties"]}
    jsonschema.validate(json.loads(json.dumps(state)), schema)
    assert state["runs"][0]["status"] == "Running"


def test_nothing_is_sent_while_nothing_happens(run: Run, page: Page) -> None:
    page.ask("ready")
    for _ in range(3):
        page.view.refresh()
    page.channel.sent.clear()
    for _ in range(5):
        page.view.refresh()
    assert page.channel.sent == []


def test_a_run_that_fails_gets_a_tab_that_says_why(run: Run, page: Page) -> None:
    assert "error" not in page.panel.tabs
    run.fail("it is too late")
    page.until(lambda: page.panel.tabs[0] == "error")
    assert page.panel.tab == "overview"
    page.ask("failure")
    assert page.told("failure")[0]["message"] == "it is too late"
    again = LiveView([run])
    assert Page(again).panel.tab == "error"
    again.widget.close()


def test_until_a_browser_is_ready_the_state_has_the_log_and_then_only_pieces_travel(
    run: Run, page: Page
) -> None:
    write(run, "one\n")
    page.until(lambda: page.panel.log["lines"] == ["one"])
    assert page.told("log") == []
    page.ask("ready")
    assert page.told("log")[0]["reset"]
    write(run, "two\n")
    page.until(lambda: any(piece["lines"] == ["two"] for piece in page.told("log")))
    assert page.panel.log["lines"] == ["one"]


def test_another_log_can_be_followed_and_none_that_is_not_there(run: Run, page: Page) -> None:
    page.ask("ready")
    write(run, "epoch 1\n", "logs/training.log")
    page.ask("log", file="logs/training.log")
    piece = [piece for piece in page.told("log") if piece["reset"]][-1]
    assert (piece["file"], piece["lines"]) == ("logs/training.log", ["epoch 1"])
    assert "logs/training.log" in piece["files"]
    page.ask("log", file="../../../index.db")
    assert "has no log" in page.told("said")[-1]


def test_what_is_stored_of_a_run_that_ended_out_of_sight_is_whole(run: Run, page: Page) -> None:
    page.ask("ready")
    page.set(shown=False)
    run.log("loss", 0.8125)
    write(run, "the last word\n")
    run.complete()
    page.channel.sent.clear()
    assert page.view.refresh() is None
    assert not page.told("log")
    stored = str(page.view.bundle()["text/html"])
    assert "the last word" in stored
    assert "0.8125" in stored
    page.set(shown=True)
    page.until(lambda: any(piece["lines"] == ["the last word"] for piece in page.told("log")))


def test_a_printed_progress_bar_tells_how_far_the_run_is(run: Run, page: Page) -> None:
    write(run, "start\n  0%|   | 0/40 [00:00<?, ?it/s]\r 25%|█  | 10/40 [00:01<00:03,  9it/s]")
    page.until(lambda: page.panel.runs[0]["progress"])
    assert page.panel.runs[0]["progress"] == {"text": "10/40", "done": 0.25, "left": 3.0}


def test_who_is_not_looked_at_sends_nothing_and_catches_up_when_it_is(run: Run, page: Page) -> None:
    page.ask("ready")
    page.set(shown=False)
    page.channel.sent.clear()
    run.log("loss", 0.5)
    write(run, "unseen\n")
    page.view.refresh()
    assert page.channel.sent == []
    page.set(shown=True)
    page.until(lambda: any(piece["lines"] == ["unseen"] for piece in page.told("log")))
    page.until(lambda: page.panel.charts["drawn"] == 1)


def test_a_view_out_of_sight_ends_with_its_run_and_shows_the_end_when_seen(
    run: Run, page: Page
) -> None:
    page.set(shown=False)
    run.log("loss", 0.5)
    run.complete()
    assert page.view.refresh() is None
    page.set(shown=True)
    page.until(lambda: page.view.refresh() is None)
    assert page.panel.runs[0]["status"] == "Completed"
    assert page.panel.charts["drawn"] == 1


def test_a_closed_view_is_looked_at_no_more_and_leaves_no_model(run: Run) -> None:
    run.log("loss", 0.5)
    view = LiveView([run])
    view.refresh()
    figure = view.widget.children[1].children[0]
    view.widget.close()
    assert view.refresh() is None
    assert figure.comm is None
    assert view.widget.comm is None


def test_charts_follow_what_is_logged(run: Run, page: Page) -> None:
    for step in range(50_000):
        run.log("loss", math.sin(step))
    run.log("accuracy", 0.5)
    page.until(lambda: page.panel.charts["drawn"] == 2)
    assert page.panel.charts["metrics"] == 2
    line = page.view.widget.children[1].children[0].marks[0]
    assert 400 < len(line.x) <= 500


def test_what_is_no_number_is_a_picture(run: Run, page: Page) -> None:
    run.log_table("curve", {"x": [1, 2, 3], "y": [1.0, 4.0, 9.0]})
    box = page.view.widget.children[2]
    page.until(lambda: box.children)
    assert "<svg" in box.children[0].value
    run.log_list("others", [1, 2])
    page.until(lambda: len(box.children) == 2)


def test_a_running_job_is_cancelled_when_asked(run: Run, page: Page) -> None:
    page.ask("cancel")
    page.until(lambda: page.panel.runs[0]["status"] in ("Canceled", "CancelRequested"))


def test_files_are_listed_and_any_part_of_them_can_be_had(run: Run, page: Page) -> None:
    write(run, "0123456789", "outputs/deep/digits.txt")
    page.ask("files")
    paths = [file["path"] for file in page.told("files")[-1]["files"]]
    assert paths == ["outputs/deep/digits.txt"]
    page.ask("bytes", path=paths[0], **{"from": 3}, count=4, token="t")
    part = page.told("bytes")[-1]
    assert part.pop("modified") == pytest.approx(time.time(), abs=60)
    assert part == {"path": paths[0], "from": 3, "size": 10, "token": "t", "ended": False}
    assert page.channel.buffers == [b"3456"]


@pytest.mark.parametrize("path", ["../../../../etc/passwd", "/etc/passwd", "outputs", "no", ""])
def test_nothing_outside_the_run_can_be_read(run: Run, page: Page, path: str) -> None:
    (run.folder / "outputs").mkdir(exist_ok=True)
    page.ask("bytes", path=path)
    assert "is not a file of this run" in page.told("said")[-1]
    assert page.channel.buffers == []


def test_a_link_out_of_the_run_is_not_followed(run: Run, page: Page, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    (run.folder / "outputs").mkdir(exist_ok=True)
    (run.folder / "outputs" / "link").symlink_to(secret)
    page.ask("bytes", path="outputs/link")
    assert page.channel.buffers == []


def test_tags_can_be_set_and_taken_away(run: Run, page: Page) -> None:
    page.ask("tag", name="best", value="yes")
    assert run.tags["best"] == "yes"
    assert {"name": "best", "value": "yes"} in page.told("facts")[-1]["tags"]
    page.ask("tag", name="best", value=None)
    assert "best" not in run.tags


def test_a_whole_log_is_searched_and_shown_in_pages(run: Run, page: Page) -> None:
    write(run, "".join(f"line {number}\n" for number in range(50_000)))
    page.ask("find", file=LOG, text="LINE 31415")
    page.until(lambda: page.told("matches"))
    match = page.told("matches")[-1]["matches"][0]
    assert match["line"] == "line 31415"
    page.ask("page", file=LOG, at=match["at"], text="after")
    assert page.told("page")[-1]["lines"][0] == "line 31415"


def test_measurements_come_while_their_tab_is_open(run: Run, page: Page) -> None:
    from aml_jupyter.job.metrics import MetricWriter

    writer = MetricWriter(str(run.folder / "system"))
    writer.number("cpu", 97.0)
    writer.number("memory", 2e9)
    page.view.refresh()
    assert page.told("system") == []
    page.set(tab="system")
    page.ask("system")
    page.until(lambda: page.told("system"))
    cpu, memory = page.told("system")[-1]
    assert (cpu["name"], cpu["unit"], cpu["y"]) == ("cpu", "%", [97.0])
    assert memory["unit"] == "B"


def test_children_are_drawn_listed_and_opened(run: Run, page: Page) -> None:
    for number in range(3):
        child = run.child_run(name=f"child {number}")
        child.log("loss", 1.0 / (number + 1))
        child.log("loss", 0.5 / (number + 1))
        child.complete()
    page.until(lambda: "children" in page.panel.tabs)
    page.until(lambda: page.panel.charts["drawn"] == 1)
    assert len(page.view.widget.children[1].children[0].marks) >= 3
    page.set(tab="children")
    page.ask("children")
    page.until(lambda: page.told("children"))
    table = page.told("children")[-1]
    assert [row["name"] for row in table["rows"]] == ["child 2", "child 1", "child 0"]
    column = [column["name"] for column in table["columns"]].index("loss")
    assert [row["numbers"][column] for row in table["rows"]] == [0.5 / 3, 0.25, 0.5]
    page.ask("open", run=table["rows"][0]["id"])
    assert page.panel.runs[0]["name"] == "child 2"
    assert page.panel.backs == [run.id]
    page.ask("back")
    assert page.panel.runs[0]["name"] == "first"
    assert page.panel.backs == []


def test_runs_are_compared_line_by_line(experiment: Experiment, run: Run, page: Page) -> None:
    other = started(experiment, "second")
    for each, start in ((run, 1.0), (other, 2.0)):
        each.log("loss", start)
        each.log("loss", start / 2)
        each.complete()
    page.ask("candidates")
    assert [found["id"] for found in page.told("candidates")[-1]] == [other.id]
    page.ask("against", run=other.id)
    assert [head["name"] for head in page.panel.runs] == ["first", "second"]
    assert len({head["colour"] for head in page.panel.runs}) == 2
    assert "compare" in page.panel.tabs
    page.until(lambda: page.panel.charts["drawn"] == 1)
    lines = [m for m in page.view.widget.children[1].children[0].marks if len(m.x) == 2]
    assert len(lines) == 2
    page.ask("compare")
    assert "loss" in page.told("compare")[-1]


def test_a_run_is_started_again_from_its_view(experiment: Experiment, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "train.py").write_text("print('again')")
    first = experiment.submit(ScriptRunConfig(str(source), script="train.py"))
    first.wait_for_completion()
    page = Page(LiveView([first]))
    page.ask("rerun")
    second = page.panel.runs[0]["id"]
    assert second != first.id
    assert page.panel.backs == [first.id]
    assert second in page.told("said")[-1]
    experiment.workspace.get_run(second).wait_for_completion()
    page.until(lambda: page.panel.runs[0]["status"] == "Completed")


def test_what_cannot_be_done_is_said_and_the_view_goes_on(run: Run, page: Page) -> None:
    page.ask("rerun")
    page.ask("open", run="nobody_1_00000000")
    assert len(page.told("said")) == 2
    write(run, "still here\n")
    page.ask("ready")
    page.until(lambda: any(piece["lines"] == ["still here"] for piece in page.told("log")))


def test_a_run_that_is_deleted_under_its_view_is_said_to_be(run: Run, page: Page) -> None:
    run.complete()
    run.delete()
    page.view.refresh()
    assert page.panel.runs[0]["note"] == "The run was deleted."
    page.until(lambda: page.view.refresh() is None)


def test_names_that_cannot_travel_do_so_in_another_form(experiment: Experiment) -> None:
    run = started(experiment, "x\ud800y\x00z")
    run.tag("a\udfff", "b")
    hostile = json.loads((Path(__file__).parent / "data" / "hostile.json").read_text())
    for number, name in enumerate(hostile):
        run.log(str(name)[:1000] or "empty", number)
    page = Page(LiveView([run]))
    page.until(lambda: page.panel.charts["drawn"] == min(24, page.panel.charts["charts"]))
    page.ask("facts")
    for message in page.channel.sent:
        json.dumps(message, ensure_ascii=False).encode("utf-8")
    page.view.widget.close()


def test_children_differ_by_what_they_were_tagged_with(run: Run, page: Page) -> None:
    for rate in (0.1, 0.2):
        child = run.child_run(name=f"rate {rate}")
        child.tag("rate", rate)
        child.tag("kind", "same")
        child.log("loss", rate)
        child.complete()
    page.set(tab="children")
    page.ask("children")
    table = page.until(lambda: page.told("children"))[-1]
    assert [column["name"] for column in table["columns"]] == ["rate", "loss"]
    assert [row["cells"] for row in table["rows"]] == [["0.2", "0.2"], ["0.1", "0.1"]]
    assert "<svg" in table["picture"]


def test_children_of_a_run_that_is_soon_over_are_shown_as_well(run: Run, page: Page) -> None:
    page.view.refresh()
    with run.child_run(name="short") as child:
        child.log("loss", 1.0)
    run.complete()
    page.until(lambda: page.view.refresh() is None)
    assert "children" in page.panel.tabs
    assert page.panel.charts["drawn"] == 1
