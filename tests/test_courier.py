"""What the courier tells of a run's files, heard from a real process beside real writers."""

from __future__ import annotations

import json
import os
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from aml_jupyter.backends.remote_archive import Events
from aml_jupyter.backends.remote_place import Place
from aml_jupyter.errors import ServiceException
from aml_jupyter.job import courier, events, layout, metrics
from tests.support import until

START = "import sys; from aml_jupyter.job.courier import main; main(sys.argv[1])"
LOG = layout.DRIVER_LOG


class Listener:
    """Hears a courier, and rebuilds on its side what it hears of."""

    def __init__(self, far: Path, near: Path, asked: Mapping[str, Any]) -> None:
        self.near = near
        self.journal = Events(near)
        self.kinds: list[tuple[bytes, str]] = []
        self._place = Place(near)
        self._process = subprocess.Popen(
            [sys.executable, "-c", START, str(far)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self.pid = self._process.pid
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"files": {}, "events": 0, **asked}).encode() + b"\n")
        self._process.stdin.flush()
        self._thread = threading.Thread(target=self._hear)
        self._thread.start()

    def _hear(self) -> None:
        assert self._process.stdout is not None
        while head := self._process.stdout.read(courier.HEADER.size):
            kind, length, offset, changed, size = courier.HEADER.unpack(head)
            path = os.fsdecode(self._process.stdout.read(length))
            data = self._process.stdout.read(size)
            self.kinds.append((kind, path))
            if kind == courier.PIECE:
                self._place.write(path, offset, data)
            elif kind == courier.CUT:
                self._place.cut(path, offset)
            elif kind == courier.ASIDE:
                self._place.write_aside(path, offset, data)
            elif kind == courier.INSTEAD:
                self._place.replace(path, changed)
            elif kind == courier.GONE:
                self._place.remove(path)
            elif kind == courier.LINES:
                self.journal.take(data, offset)

    def has(self, path: str, content: bytes) -> bool:
        """Whether a file is on this side as it should be."""
        file = self.near / path
        return file.exists() and file.read_bytes() == content

    def hang_up(self) -> int:
        """Close the courier's input; its exit status."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        code = self._process.wait(10)
        self._thread.join(10)
        assert self._process.stdout is not None
        self._process.stdout.close()
        return code


Listen = Callable[..., Listener]


@pytest.fixture
def far(tmp_path: Path) -> Path:
    """The run's folder where the job is."""
    return _run(tmp_path / "far")


@pytest.fixture
def near(tmp_path: Path) -> Path:
    """The run's folder on this side."""
    return _run(tmp_path / "near")


def _run(folder: Path) -> Path:
    for name in ("azureml-logs", "outputs", "logs", "job", "work", "artifacts", "metrics"):
        (folder / name).mkdir(parents=True)
    (folder / layout.EVENTS).touch()
    return folder


@pytest.fixture
def listen(far: Path, near: Path) -> Iterator[Listen]:
    """Starts a courier for the far folder; ended by the test."""
    begun: list[Listener] = []

    def listening(**asked: Any) -> Listener:
        begun.append(Listener(far, near, asked))
        return begun[-1]

    yield listening
    for listener in begun:
        listener.hang_up()


def add(path: Path, data: bytes) -> None:
    """Write at the end of a file."""
    with open(path, "ab") as file:
        file.write(data)


def test_a_log_arrives_as_it_grows(far: Path, listen: Listen) -> None:
    add(far / LOG, b"one\n")
    listener = listen()
    until(lambda: listener.has(LOG, b"one\n"))
    add(far / LOG, b"two\n")
    until(lambda: listener.has(LOG, b"one\ntwo\n"))
    assert [kind for kind, path in listener.kinds if path == LOG] == [b"T", b"P", b"P"]


def test_a_log_that_begins_anew_is_sent_anew(far: Path, listen: Listen) -> None:
    (far / LOG).write_bytes(b"a long line of the first\n")
    listener = listen()
    until(lambda: listener.has(LOG, b"a long line of the first\n"))
    (far / LOG).write_bytes(b"second\n")
    until(lambda: listener.has(LOG, b"second\n"))
    (far / LOG).write_bytes(b"a third that is longer than the second\n")
    until(lambda: listener.has(LOG, b"a third that is longer than the second\n"))


def test_a_second_courier_goes_on_where_the_first_was_cut_off(
    far: Path, near: Path, listen: Listen
) -> None:
    add(far / LOG, b"0123456789")
    (near / LOG).write_bytes(b"01234")
    listener = listen(files={LOG: [5, 0]})
    until(lambda: listener.has(LOG, b"0123456789"))
    assert (courier.CUT, LOG) not in listener.kinds


def test_a_log_with_more_than_fits_in_a_frame_arrives_whole(far: Path, listen: Listen) -> None:
    content = os.urandom(3 * courier.LARGEST + 17)
    add(far / LOG, content)
    listener = listen()
    until(lambda: listener.has(LOG, content))


def numbers(folder: Path, name: str) -> list[Any]:
    """The values of a metric."""
    entries = metrics.read_all(str(folder / "metrics")).get(name, ())
    return [entry["value"] for entry in entries]


def test_metrics_arrive_without_what_is_allocated_ahead(
    far: Path, near: Path, listen: Listen
) -> None:
    writer = metrics.MetricWriter(str(far / "metrics"))
    listen()
    for number in range(100):
        writer.number("loss", float(number))
    until(lambda: numbers(near, "loss") == [float(number) for number in range(100)])
    (file,) = (near / "metrics").glob("*.bin")
    assert file.stat().st_size == metrics.SIZE * 101
    writer.number("loss", 100.0)
    writer.other("text", "scalar", "words")
    until(lambda: len(numbers(near, "loss")) == 101 and numbers(near, "text") == ["words"])


def test_a_record_that_appears_late_is_sent_late(far: Path, near: Path, listen: Listen) -> None:
    record = struct.Struct("<qddII")
    path = far / "metrics/w.bin"
    (far / "metrics/w.names").write_text('"x"\n')

    def write(slot: int, value: float) -> None:
        with open(path, "r+b") as file:
            file.seek(metrics.SIZE * slot)
            file.write(record.pack(metrics.NO_STEP, 1.0, value, 1, metrics.FLOAT))

    path.write_bytes(metrics.HEADER + bytes(metrics.SIZE * 100))
    write(1, 1.0)
    write(3, 3.0)
    listener = listen()
    until(lambda: numbers(near, "x") == [1.0, 3.0])
    write(2, 2.0)
    until(lambda: numbers(near, "x") == [1.0, 2.0, 3.0])
    sent = len(listener.kinds)
    time.sleep(1)  # nothing is new, so nothing is sent over and over
    assert len(listener.kinds) == sent


def test_events_of_both_sides_are_kept_and_each_comes_once(
    far: Path, near: Path, listen: Listen
) -> None:
    for side in (far, near):
        events.append(str(side), "tags", set={"before": "yes"})
    brought = (far / layout.EVENTS).stat().st_size
    listener = listen(events=brought)
    events.append(str(near), "state", state="Running")
    events.append(str(far), "tags", set={"n": "1"})
    until(lambda: tags(near) == [{"before": "yes"}, {"n": "1"}])
    listener.hang_up()
    events.append(str(far), "tags", set={"n": "2"})
    # A courier that knows less than it could sends again what came already.
    listener = listen(events=brought)
    until(lambda: {"n": "2"} in tags(near))
    assert tags(near) == [{"before": "yes"}, {"n": "1"}, {"n": "2"}]


def tags(folder: Path) -> list[dict[str, str]]:
    """What was tagged, event by event."""
    return [event["set"] for event in events.read(str(folder))[0] if event["e"] == "tags"]


def test_half_a_line_of_events_waits_for_its_other_half(
    far: Path, near: Path, listen: Listen
) -> None:
    listener = listen()
    add(far / layout.EVENTS, b'{"t":1,"e":"tags","set"')
    add(far / LOG, b"later\n")
    until(lambda: listener.has(LOG, b"later\n"))
    assert not tags(near)
    add(far / layout.EVENTS, b':{"a":"b"}}\n')
    until(lambda: tags(near))


def test_outputs_arrive_whole_when_they_have_settled(far: Path, near: Path, listen: Listen) -> None:
    listener = listen()
    content = os.urandom(2 * courier.LARGEST)
    (far / "outputs/sub").mkdir()
    (far / "outputs/sub/model").write_bytes(content)
    until(lambda: listener.has("outputs/sub/model", content))
    assert (near / "outputs/sub/model").stat().st_mtime_ns == (
        (far / "outputs/sub/model").stat().st_mtime_ns
    )
    assert [path.name for path in (near / "outputs/sub").iterdir()] == ["model"]
    (far / "outputs/sub/model").unlink()
    until(lambda: not (near / "outputs/sub/model").exists())


def test_what_is_known_is_not_sent_again(far: Path, listen: Listen) -> None:
    file = far / "outputs/model"
    file.write_bytes(b"model")
    os.utime(file, ns=(10**18, 10**18))
    (far / "outputs/other").write_bytes(b"other")
    listener = listen(files={"outputs/model": [5, 10**18]})
    until(lambda: listener.has("outputs/other", b"other"))
    assert "outputs/model" not in {path for _, path in listener.kinds}


def test_very_large_files_are_left_for_the_end(far: Path, listen: Listen) -> None:
    with open(far / "outputs/large", "wb") as file:
        file.truncate(courier.LIVE_LIMIT + 1)
    (far / "outputs/small").write_bytes(b"small")
    listener = listen()
    until(lambda: listener.has("outputs/small", b"small"))
    assert "outputs/large" not in {path for _, path in listener.kinds}


def test_neither_links_nor_pipes_are_read(far: Path, near: Path, listen: Listen) -> None:
    (far / "outputs/link").symlink_to("/etc/hostname")
    os.mkfifo(far / "outputs/pipe")
    (far / "outputs/file").write_bytes(b"file")
    listener = listen()
    until(lambda: listener.has("outputs/file", b"file"))
    assert sorted(path.name for path in (near / "outputs").iterdir()) == ["file"]


def test_a_name_that_is_no_text_arrives(far: Path, near: Path, listen: Listen) -> None:
    name = os.fsdecode(b"outputs/\xff.bin")
    (far / name).write_bytes(b"x")
    listener = listen()
    until(lambda: listener.has(name, b"x"))


def test_signals_for_the_job_do_not_end_it_and_hanging_up_does(far: Path, listen: Listen) -> None:
    add(far / LOG, b"one\n")
    listener = listen()
    until(lambda: listener.has(LOG, b"one\n"))
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        os.kill(listener.pid, number)
    add(far / LOG, b"two\n")
    until(lambda: listener.has(LOG, b"one\ntwo\n"))
    assert listener.hang_up() == 0


# What changed in the working directory -------------------------------------------------------


def noted(folder: Path) -> list[str]:
    courier.note_changes(str(folder))
    found: list[str] = layout.read_json(str(folder / courier.CHANGED))
    return sorted(found)


def test_only_what_changed_after_the_arrival_is_noted(far: Path) -> None:
    (far / "work/data").mkdir()
    (far / "work/data/input").write_bytes(b"in")
    (far / "work/train.py").write_bytes(b"pass")
    time.sleep(0.05)
    (far / courier.ARRIVED).touch()
    assert noted(far) == []
    time.sleep(0.05)
    add(far / "work/data/input", b"more")
    (far / "work/new").symlink_to("train.py")
    assert noted(far) == ["work/data/input", "work/new"]


def test_without_an_arrival_nothing_is_noted(far: Path) -> None:
    courier.note_changes(str(far))
    assert not (far / courier.CHANGED).exists()


# Writing what a job chose the names of -------------------------------------------------------


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A file that no job may touch."""
    path = tmp_path / "outside/secret"
    path.parent.mkdir()
    path.write_bytes(b"secret")
    return path


def test_a_link_is_replaced_and_never_followed(near: Path, outside: Path) -> None:
    place = Place(near)
    (near / "outputs/file").symlink_to(outside)
    (near / "outputs/folder").symlink_to(outside.parent)
    place.write("outputs/file", 0, b"new")
    place.write("outputs/folder/secret", 0, b"new")
    place.receive("outputs/folder/deep/er", [b"n", b"ew"], 10**18, 0o644)
    assert outside.read_bytes() == b"secret"
    assert [path.name for path in outside.parent.iterdir()] == ["secret"]
    assert (near / "outputs/file").read_bytes() == b"new"
    assert (near / "outputs/folder/secret").read_bytes() == b"new"
    assert (near / "outputs/folder/deep/er").read_bytes() == b"new"


def test_removing_a_folder_leaves_alone_what_its_links_lead_to(near: Path, outside: Path) -> None:
    (near / "outputs/folder").mkdir()
    (near / "outputs/folder/link").symlink_to(outside.parent)
    (near / "outputs/folder/file").write_bytes(b"x")
    Place(near).write("outputs/folder", 0, b"now a file")
    assert (near / "outputs/folder").read_bytes() == b"now a file"
    assert outside.read_bytes() == b"secret"


@pytest.mark.parametrize("path", ["../x", "/etc/x", "outputs/../../x", "outputs//x", "", "a\0b"])
def test_no_path_leads_out_of_the_run(path: str, near: Path) -> None:
    with pytest.raises(ServiceException):
        Place(near).write(path, 0, b"x")


@pytest.mark.parametrize(
    ("target", "may_be"),
    [
        (f"../{layout.WORK}/data", True),
        ("model", True),
        ("../../elsewhere", False),
        ("/etc/passwd", False),
        ("../../near-too/x", False),
    ],
)
def test_only_links_that_stay_in_the_run_are_made(target: str, may_be: bool, near: Path) -> None:
    assert Place(near).link("outputs/link", target) is may_be
    assert os.path.lexists(near / "outputs/link") is may_be


def test_nothing_remains_of_a_file_that_broke_off(near: Path) -> None:
    def pieces() -> Iterator[bytes]:
        yield b"half"
        raise EOFError

    (near / "outputs/model").write_bytes(b"old")
    with pytest.raises(EOFError):
        Place(near).receive("outputs/model", pieces(), 0, 0o644)
    assert [path.name for path in (near / "outputs").iterdir()] == ["model"]
    assert (near / "outputs/model").read_bytes() == b"old"


def test_a_file_takes_the_place_of_whatever_had_its_name(near: Path) -> None:
    place = Place(near)
    os.mkfifo(near / "outputs/pipe")
    place.write("outputs/pipe", 0, b"x")
    assert (near / "outputs/pipe").read_bytes() == b"x"
    place.write("outputs/pipe/below", 0, b"y")
    assert (near / "outputs/pipe/below").read_bytes() == b"y"
    place.receive("outputs/pipe", [b"z"], 0, 0o755)
    assert (near / "outputs/pipe").read_bytes() == b"z"
    assert (near / "outputs/pipe").stat().st_mode & 0o777 == 0o755
