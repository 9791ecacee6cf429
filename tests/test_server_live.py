"""What a page hears of runs while they happen, and what becomes of a page that does not behave."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import websocket

from aml_jupyter import Experiment, Run, Workspace
from aml_jupyter.job import events
from tests.services.jupyter import Server, empty_server, project_server
from tests.support import until


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with empty_server(tmp_path_factory.mktemp("live"), *QUICK) as started:
        yield started


QUICK = (
    *("--AmlServer.look_every=0.1", "--AmlServer.linger=0.5"),
    "--AmlServer.buffer=2000000",
)


@pytest.fixture(autouse=True)
def project(server: Server, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of the test's own below the server's root."""
    monkeypatch.setenv("AML_HOME", str(server.home))
    folder = server.root / f"project-{os.urandom(3).hex()}"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def experiment(project: Path) -> Experiment:
    return Experiment(Workspace.from_config(), "live")


class Page:
    """A page that listens: all it was told, in order."""

    def __init__(self, server: Server, **options: Any) -> None:
        self.socket = server.live(**options)
        self.told: list[dict[str, Any]] = []

    def __enter__(self) -> Page:
        return self

    def __exit__(self, *raised: object) -> None:
        self.socket.close()
        self.socket.shutdown()  # the former does nothing once the other side has closed

    def ask(self, kind: str, **content: Any) -> None:
        self.socket.send(json.dumps({"kind": kind, **content}))

    def hear(self, seconds: float = 10) -> dict[str, Any]:
        """The next thing that is told."""
        self.socket.settimeout(seconds)
        told: dict[str, Any] = json.loads(self.socket.recv())
        self.told.append(told)
        return told

    def until(self, holds: Callable[[dict[str, Any]], Any], seconds: float = 15) -> dict[str, Any]:
        """The first thing told from now on that is so."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            told = self.hear(end - time.monotonic())
            if holds(told):
                return told
        raise AssertionError(self.told)

    def until_row(self, run: Run, holds: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
        """The row of a run, once it is so."""

        def row(told: dict[str, Any]) -> dict[str, Any] | None:
            rows = told.get("rows", ()) if told["kind"] == "changed" else ()
            return next((row for row in rows if row["id"] == run.id and holds(row)), None)

        return row(self.until(row)) or {}

    def closed(self, seconds: float = 10) -> tuple[int, str]:
        """The code and the reason that the connection is ended with."""
        self.socket.settimeout(seconds)
        while True:
            frame = self.socket.recv_frame()
            if frame.opcode == websocket.ABNF.OPCODE_CLOSE:
                return int.from_bytes(frame.data[:2], "big"), frame.data[2:].decode()


def until_told(page: Page, run: Run) -> None:
    """Listen until a run was told of, now or before."""
    while not any(run.id in str(told.get("rows")) for told in page.told):
        page.hear()


def place_of(server: Server, experiment: Experiment) -> str:
    return server.place(experiment.workspace.folder.project.name)


def listed(server: Server, place: str, **query: Any) -> dict[str, Any]:
    answer = server.ask("runs", place=place, **query)
    assert answer.status == 200, answer.body
    found: dict[str, Any] = answer.json
    return found


# Runs -----------------------------------------------------------------------------------------


def test_a_run_appears_moves_and_ends(server: Server, experiment: Experiment) -> None:
    place = place_of(server, experiment)
    before = listed(server, place)
    assert before["rows"] == []
    with Page(server) as page:
        page.ask("watch", place=place, level="rows", since=before["seq"])
        first = page.hear()
        assert first["kind"] == "counts"
        assert first["counts"] == {"running": 0, "waiting": 0, "failed": 0, "total": 0}
        run = experiment.start_logging(snapshot_directory=None)
        assert page.until_row(run, lambda row: row["status"] == "Running")["metrics"] == {}
        run.log("loss", 0.5)
        page.until_row(run, lambda row: row["metrics"] == {"loss": 0.5})
        run.tag("kind", "small")
        page.until_row(run, lambda row: row["tags"] == {"kind": "small"})
        run.complete()
        ended = page.until(lambda told: told["kind"] == "ended")
        assert [row["id"] for row in ended["rows"]] == [run.id]
        assert ended["rows"][0]["status"] == "Completed"
        kinds = {told["kind"] for told in page.told}
        assert kinds == {"counts", "changed", "ended"}
        numbers = [told["seq"] for told in page.told]
        assert numbers == sorted(numbers)
        run.delete()
        page.until(lambda told: run.id in told.get("gone", ()))
        assert listed(server, place)["total"] == 0


def test_who_hears_of_counts_only_is_told_no_rows_but_those_that_end(
    server: Server, experiment: Experiment
) -> None:
    place = place_of(server, experiment)
    with Page(server) as page:
        page.ask("watch", place=place, level="counts", since=None)
        run = experiment.start_logging(snapshot_directory=None)
        page.until(lambda told: told["kind"] == "counts" and told["counts"]["running"] == 1)
        run.log("loss", 1.0)
        run.fail()
        page.until(lambda told: told["kind"] == "ended")
        assert {told["kind"] for told in page.told} == {"counts", "ended"}
        last = [told["counts"] for told in page.told if told["kind"] == "counts"][-1]
        assert last == {"running": 0, "waiting": 0, "failed": 1, "total": 1}


def test_what_a_page_has_missed_is_told_when_it_comes_back(
    server: Server, experiment: Experiment
) -> None:
    place = place_of(server, experiment)
    seq = listed(server, place)["seq"]
    ended = experiment.start_logging(snapshot_directory=None)
    ended.complete()
    going_on = experiment.start_logging(snapshot_directory=None)
    time.sleep(1)  # long enough for a thread that would look without anybody watching
    with Page(server) as page:
        page.ask("watch", place=place, level="rows", since=seq)
        page.until_row(going_on, lambda row: row["status"] == "Running")
        page.until(lambda told: told["kind"] == "ended" and told["rows"][0]["id"] == ended.id)
        seq = page.told[-1]["seq"]
    going_on.log("loss", 2.0)
    with Page(server) as page:
        page.ask("watch", place=place, level="rows", since=seq)
        page.until_row(going_on, lambda row: row["metrics"] == {"loss": 2.0})
        assert "behind" not in [told["kind"] for told in page.told]
        assert "ended" not in [told["kind"] for told in page.told]  # that was told before
    going_on.complete()


def test_who_comes_new_is_not_told_what_ended_before(
    server: Server, experiment: Experiment
) -> None:
    place = place_of(server, experiment)
    run = experiment.start_logging(snapshot_directory=None)
    listed(server, place)
    run.complete()
    with Page(server) as page:
        page.ask("watch", place=place, level="rows", since=None)
        assert page.hear()["kind"] == "counts"
        other = experiment.start_logging(snapshot_directory=None)
        page.until_row(other, lambda row: True)
        assert {told["kind"] for told in page.told} == {"counts", "changed"}
        other.complete()


@pytest.mark.parametrize("since", [0, 12345, 2**60])
def test_who_is_too_far_behind_is_told_so(
    server: Server, experiment: Experiment, since: int
) -> None:
    place = place_of(server, experiment)
    with Page(server) as page:
        page.ask("watch", place=place, level="rows", since=since)
        assert page.hear()["kind"] == "counts"
        assert page.hear()["kind"] == "behind"


def test_more_than_a_message_holds_is_said_to_be_behind(
    server: Server, experiment: Experiment
) -> None:
    place = place_of(server, experiment)
    folder = experiment.workspace.folder
    with Page(server) as page:
        page.ask("watch", place=place, level="rows", since=None)
        page.hear()
        for number in range(600):
            run = folder.new_run({"format": 1, "id": f"many_{number}", "experiment": "live",
                                  "created": time.time()})  # fmt: skip
            events.append(str(run), "state", state="Canceled")
        while not any("many_599" in str(told) or told["kind"] == "behind" for told in page.told):
            page.hear()
    assert listed(server, place, limit=5)["total"] == 600


def test_a_progress_bar_in_the_log_moves_the_row(server: Server, experiment: Experiment) -> None:
    place = place_of(server, experiment)
    run = experiment.start_logging(snapshot_directory=None)
    log = run.folder / "azureml-logs" / "70_driver_log.txt"
    log.parent.mkdir(exist_ok=True)
    with Page(server) as page:
        page.ask("watch", place=place, level="rows", since=None)
        page.hear()
        log.write_text("start\n  45%|████▌     | 45/100 [00:12<00:14,  3.7it/s]\r")
        row = page.until_row(run, lambda row: row["progress"])
        assert row["progress"] == {"text": "45/100", "done": 0.45, "left": 14.0}
    run.complete()


def test_several_workspaces_are_watched_over_one_connection(
    server: Server, experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    other_project = server.root / f"other-{os.urandom(3).hex()}"
    other_project.mkdir()
    monkeypatch.chdir(other_project)
    other = Experiment(Workspace.from_config(), "other")
    places = [place_of(server, each) for each in (experiment, other)]
    with Page(server) as page:
        for place in places:
            page.ask("watch", place=place, level="rows", since=None)
            assert page.hear()["place"] == place
        runs = [each.start_logging(snapshot_directory=None) for each in (experiment, other)]
        for run in runs:
            until_told(page, run)
        told = {each["place"]: each["rows"][0]["id"] for each in page.told if "rows" in each}
        assert told == {place: run.id for place, run in zip(places, runs, strict=True)}
        page.ask("unwatch", place=places[0])
        page.ask("unwatch", place=places[1])
        for run in runs:
            run.complete()
        with pytest.raises(websocket.WebSocketTimeoutException):
            page.until(lambda told: told["kind"] == "ended", seconds=1)


# Pages that do not behave ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "message",
    [
        "no JSON",
        "[]",
        '{"kind": "dance"}',
        '{"kind": "watch"}',
        '{"kind": "watch", "place": "a", "level": "all"}',
        '{"kind": "watch", "place": "a", "level": "rows", "since": "1"}',
        '{"kind": "open", "view": "v", "place": "a", "runs": "r"}',
        '{"kind": "open", "view": "v", "place": "a", "runs": [1]}',
        '{"kind": "open", "view": 1, "place": "a", "runs": []}',
        '{"kind": "ask", "view": "v"}',
        "[" * 50_000,
    ],
)
def test_a_message_that_means_nothing_ends_the_connection(server: Server, message: str) -> None:
    with Page(server) as page:
        page.socket.send(message)
        code, reason = page.closed()
        assert code == 4400
        assert reason


def test_a_message_that_is_too_long_ends_the_connection(server: Server) -> None:
    with Page(server) as page:
        page.socket.send('{"kind": "' + "x" * 300_000)
        assert page.closed()[0] == 1009
    assert server.ask("hello").status == 200


@pytest.mark.parametrize("api", [None, 0, 2, "x"])
def test_a_page_of_another_version_is_told_so(server: Server, api: object) -> None:
    with Page(server, api=api) as page:
        code, reason = page.closed()
        assert code == 4426
        assert "version 1" in reason


def test_a_workspace_that_is_not_there_ends_the_connection(server: Server) -> None:
    with Page(server) as page:
        page.ask("watch", place="0123456789ab", level="rows", since=None)
        told = page.hear()
        assert (told["kind"], told["place"]) == ("failed", "0123456789ab")
        assert told["problem"]["hint"] == "Reload the page."
        assert page.closed()[0] == 4404


def test_a_page_that_reads_nothing_is_let_go_and_keeps_nobody_waiting(
    server: Server, experiment: Experiment
) -> None:
    place = place_of(server, experiment)
    run = experiment.start_logging(snapshot_directory=None)
    before = server.memory()
    slow = server.live(sockopt=[(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)])
    slow.send(json.dumps({"kind": "watch", "place": place, "level": "rows", "since": None}))
    with Page(server) as page:
        page.ask("watch", place=place, level="rows", since=None)
        page.hear()
        run.set_tags({f"tag-{number}": "x" * 1000 for number in range(200)})
        for number in range(40):
            run.log("loss", number)
            page.until_row(run, lambda row, number=number: row["metrics"].get("loss") == number)
            page.told.clear()
        assert server.memory() - before < 100 << 20
        # What the other one missed it hears of as soon as it reads: that it is behind.
        slow.settimeout(20)
        until(lambda: json.loads(slow.recv())["kind"] == "behind", 20)
    slow.close()
    slow.shutdown()
    run.complete()


# Nothing is left over -------------------------------------------------------------------------


def threads_of(server: Server) -> int:
    assert server.process is not None
    return int(psutil.Process(server.process.pid).num_threads())


def test_nothing_is_looked_at_when_nobody_watches_any_more(
    server: Server, experiment: Experiment
) -> None:
    place = place_of(server, experiment)
    run = experiment.start_logging(snapshot_directory=None)
    until(lambda: looks_at(server, run) == 0, 10)
    pages = [Page(server) for _ in range(3)]
    for page in pages:
        page.ask("watch", place=place, level="rows", since=None)
        page.hear()
    before = threads_of(server)
    pages[0].ask("unwatch", place=place)
    pages[1].socket.close()
    # Its computer has lost power, as it were.
    pages[2].socket.sock.shutdown(socket.SHUT_RDWR)
    until(lambda: threads_of(server) < before, 10)
    for page in pages:
        page.__exit__()
    assert looks_at(server, run, 1.0) == 0
    run.complete()


def looks_at(server: Server, run: Run, seconds: float = 0.3) -> int:
    """How often the server reads anything in that time, as the system counts it."""
    assert server.process is not None
    process = psutil.Process(server.process.pid)
    before = process.io_counters().read_count
    time.sleep(seconds)
    return int(process.io_counters().read_count - before)


def test_a_server_that_stops_says_goodbye(tmp_path: Path) -> None:
    with project_server(tmp_path) as server, Page(server) as page:
        page.ask("watch", place=server.place(), level="rows", since=None)
        page.hear()
        stopping = threading.Thread(target=server.stop)
        stopping.start()
        assert page.closed()[0] == 1001
        stopping.join()


# Faults ---------------------------------------------------------------------------------------


def test_a_page_goes_on_with_a_server_that_was_killed_and_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with empty_server(tmp_path, *QUICK) as server:
        monkeypatch.chdir(server.root)
        experiment = Experiment(Workspace.from_config(), "live")
        run = experiment.start_logging(snapshot_directory=None)
        place = server.place()
        seq = listed(server, place)["seq"]
        with Page(server) as page:
            page.ask("watch", place=place, level="rows", since=seq)
            page.hear()
            server.stop(signal.SIGKILL)
            run.log("loss", 1.0)
            server.start()
        with Page(server) as page:
            page.ask("watch", place=place, level="rows", since=seq)
            assert page.hear()["counts"]["running"] == 1
            assert page.hear()["kind"] == "behind"  # it remembers nothing of before
            rows = listed(server, place)["rows"]
            assert [row["metrics"] for row in rows] == [{"loss": 1.0}]
            run.log("loss", 2.0)
            page.until_row(run, lambda row: row["metrics"] == {"loss": 2.0})
            run.complete()


def test_a_workspace_that_is_deleted_while_it_is_watched_is_said_to_be_gone(
    server: Server, experiment: Experiment, project: Path
) -> None:
    place = place_of(server, experiment)
    with Page(server) as page:
        page.ask("watch", place=place, level="rows", since=None)
        page.hear()
        shutil.rmtree(project)
        told = page.until(lambda told: told["kind"] == "failed")
        assert told["place"] == place
        assert page.closed()[0] == 4404
    assert server.ask("runs", place=place).status == 404
    places = server.ask("hello").json["places"]
    assert place not in [each["key"] for each in places]
    os.chdir(server.root)


def test_a_spoiled_run_and_a_lost_index_hide_nothing_else(
    server: Server, experiment: Experiment
) -> None:
    place = place_of(server, experiment)
    good = experiment.start_logging(snapshot_directory=None)
    folder = experiment.workspace.folder
    with Page(server) as page:
        page.ask("watch", place=place, level="rows", since=listed(server, place)["seq"])
        page.hear()
        for number, text in enumerate(["", "{", "[]", '{"id": 7}', '{"id": "x", "created": "y"}']):
            spoiled = folder.runs / f"spoiled-{number}"
            spoiled.mkdir()
            (spoiled / "run.json").write_text(text)
            (spoiled / "events.jsonl").write_bytes(b"\xff\x00{}\n[1]\n")
            folder.note(spoiled.name)
        good.log("loss", 1.0)
        page.until_row(good, lambda row: row["metrics"] == {"loss": 1.0})
        (folder.root / "index.db").unlink()
        good.log("loss", 2.0)
        page.until_row(good, lambda row: row["metrics"] == {"loss": 2.0})
        (folder.root / "index.db").write_bytes(b"no database")
        good.log("loss", 3.0)
        # All of it was read again: what has changed meanwhile can only be asked for.
        page.until(lambda told: told["kind"] == "behind")
        (row,) = [row for row in listed(server, place)["rows"] if row["id"] == good.id]
        assert row["metrics"] == {"loss": 3.0}
        good.complete()
        page.until(lambda told: told["kind"] == "ended")
