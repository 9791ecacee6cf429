"""TensorBoard: its event files as metrics, ours as event files, and the helper of v1."""

from __future__ import annotations

import json
import os
import random
import signal
import struct
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.compat.proto import event_pb2, summary_pb2, tensor_pb2
from tensorboard.summary.writer.event_file_writer import EventFileWriter
from tensorboard.util.tensor_util import make_tensor_proto

from aml_jupyter import Experiment, Tensorboard, Workspace, export_to_tensorboard
from aml_jupyter.errors import UserErrorException
from aml_jupyter.home import home
from aml_jupyter.job import layout, metrics
from aml_jupyter.runner.event_logs import EventLogs
from aml_jupyter.store import event_files
from aml_jupyter.store.event_files import Point
from tests.support import experiment, finish, log_of, project, submit, until, ws

__all__ = ["experiment", "project", "ws"]


def value(tag: str, number: Any) -> summary_pb2.Summary.Value:
    """A value as TF1 and torch write it, or, of numpy's numbers, as TF2 does."""
    if type(number) is float:
        return summary_pb2.Summary.Value(tag=tag, simple_value=number)
    return summary_pb2.Summary.Value(tag=tag, tensor=make_tensor_proto(number))


def event(step: int, *values: summary_pb2.Summary.Value, at: float = 0.0) -> event_pb2.Event:
    """An event with these values."""
    summary = summary_pb2.Summary(value=list(values))
    return event_pb2.Event(wall_time=at or 1000.0 + step, step=step, summary=summary)


def write(folder: Path, *written: event_pb2.Event) -> Path:
    """One event file of these events, by TensorBoard's own writer."""
    before = set(folder.iterdir()) if folder.exists() else set()
    writer = EventFileWriter(str(folder))
    for each in written:
        writer.add_event(each)
    writer.close()
    return (set(folder.iterdir()) - before).pop()


def read(path: Path) -> list[Point]:
    """All the numbers in an event file."""
    with open(path, "rb") as file:
        found = event_files.records(file.fileno())
        return [point for data, _ in found for point in event_files.points(data)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run's folder, of which there is no more than these tests need."""
    (tmp_path / "run/logs").mkdir(parents=True)
    return tmp_path / "run"


def taken_in(folder: Path) -> dict[str, list[Any]]:
    """The values that are metrics of the run after another runner has looked."""
    assert EventLogs(str(folder)).look(10)
    return logged(folder)


def logged(folder: Path) -> dict[str, list[Any]]:
    """The values of all metrics of the run."""
    found = metrics.read_all(str(folder / layout.METRICS))
    return {name: [each["value"] for each in entries] for name, entries in found.items()}


# The format


def test_numbers_are_read_however_they_were_written(tmp_path: Path) -> None:
    numbers = [0.5, np.float32(1.5), np.float64(1 / 3), np.float16(2.5), np.int64(-7)]
    numbers += [np.int32(3), np.uint8(9), np.int8(-2), np.bool_(True)]
    path = write(tmp_path, *(event(step, value("a", each)) for step, each in enumerate(numbers)))
    assert [point.value for point in read(path)] == [float(each) for each in numbers]
    assert read(path)[4] == Point("a", 4, 1004.0, -7.0)


def test_torchs_tensor_without_a_shape_is_a_number(tmp_path: Path) -> None:
    tensor = tensor_pb2.TensorProto(float_val=[4.5], dtype="DT_FLOAT")
    path = write(tmp_path, event(-1, summary_pb2.Summary.Value(tag="t", tensor=tensor)))
    assert read(path) == [Point("t", -1, 999.0, 4.5)]


def test_what_is_no_number_is_passed_over(tmp_path: Path) -> None:
    picture = summary_pb2.Summary.Value(
        tag="p", image=summary_pb2.Summary.Image(encoded_image_string=os.urandom(100_000))
    )
    vector, text = value("v", np.array([1.0, 2.0])), value("t", np.array(b"words"))
    path = write(tmp_path, event(1, picture, vector, text, value("n", 2.0)), event(2, picture))
    assert [(point.tag, point.value) for point in read(path)] == [("n", 2.0)]


def test_a_record_without_its_end_is_read_once_it_has_one(tmp_path: Path) -> None:
    path = write(tmp_path, event(1, value("a", 1.0)), event(2, value("a", 2.0)))
    whole = path.read_bytes()
    with open(path, "rb") as file:
        *_, first, second = (end for _, end in event_files.records(file.fileno()))
    for length in range(len(whole) + 1):
        path.write_bytes(whole[:length])
        assert len(read(path)) == (length >= first) + (length >= second)


def test_spoiled_bytes_are_no_numbers_and_no_error(tmp_path: Path) -> None:
    events = [
        event(step, value("loss", step + 0.5), value("t", np.int64(step))) for step in range(9)
    ]
    whole, chance = write(tmp_path / "whole", *events).read_bytes(), random.Random(7)
    good, path = set(read_bytes(tmp_path, whole)), tmp_path / "spoiled"
    for _ in range(300):
        spoiled = bytearray(whole)
        for _ in range(chance.randint(1, 4)):
            spoiled[chance.randrange(len(spoiled))] = chance.randrange(256)
        path.write_bytes(spoiled)
        assert set(read(path)) <= good
        event_files.points(bytes(spoiled[chance.randrange(40) :]))


def read_bytes(folder: Path, data: bytes) -> list[Point]:
    """The numbers in an event file with these bytes."""
    (folder / "file").write_bytes(data)
    return read(folder / "file")


def test_a_record_may_claim_any_length(tmp_path: Path) -> None:
    for length in (1 << 20, 1 << 40, (1 << 64) - 1):
        head = event_files.record(struct.pack("<Q", length))[12:20]
        claims = head + event_files.record(head)[-4:]
        assert read_bytes(tmp_path, claims + b"\0" * 100) == []


def test_one_event_cannot_keep_the_runner_busy(tmp_path: Path) -> None:
    many = b"\x2a" + event_files._nested(0, b"\x0a\x00" * 1_000_000)[1:]
    assert read_bytes(tmp_path, event_files.record(many)) == []


def test_tensorboard_reads_what_is_written_here(tmp_path: Path) -> None:
    points = [Point("loss", step, 50.5 + step, step / 3) for step in range(-2, 500)]
    points += [Point("große/Zahl ü", 1 << 40, 60.0, 1e300), Point("nan", 0, 0.0, float("nan"))]
    data = b"".join(event_files.event_file(points, 50.0))
    (tmp_path / "events.out.tfevents.1.here").write_bytes(data)
    found = EventAccumulator(str(tmp_path), size_guidance={"scalars": 0})
    found.Reload()
    assert set(found.Tags()["scalars"]) == {"loss", "große/Zahl ü", "nan"}
    loss = found.Scalars("loss")
    assert [(each.step, each.wall_time) for each in loss] == [p[1:3] for p in points[:-2]]
    assert [each.value for each in loss] == pytest.approx([p.value for p in points[:-2]])
    assert found.Scalars("große/Zahl ü")[0].value == float("inf")


# Taking in what jobs write


def test_tags_become_metrics_under_their_folders_names(folder: Path) -> None:
    write(folder / "logs", event(1, value("loss", 1.0)))
    write(folder / "logs/train/deep", event(1, value("loss", 2.0)), event(2, value("loss", 3.0)))
    write(folder / "logs/train/deep", event(3, value("loss", 4.0)))
    found = taken_in(folder)
    assert found.keys() == {"loss", "train/deep/loss"}
    assert found["loss"] == [1.0]
    assert sorted(found["train/deep/loss"]) == [2.0, 3.0, 4.0]


def test_steps_and_times_stay(folder: Path) -> None:
    write(folder / "logs", event(17, value("loss", 1.0), at=123.5))
    taken_in(folder)
    (stem,) = metrics.writers(str(folder / layout.METRICS))
    step, when, number, _, _ = struct.unpack("<qddII", metrics.read_records(stem, final=True)[0])
    assert (step, when, number) == (17, 123.5, 1.0)


def test_no_number_comes_twice_whenever_a_runner_is_killed(folder: Path) -> None:
    path = write(folder / "logs", *(event(step, value("loss", float(step))) for step in range(30)))
    whole = path.read_bytes()
    for length in range(0, len(whole), 97):
        path.write_bytes(whole[:length])
        taken_in(folder)  # each of them is a runner of its own
    path.write_bytes(whole)
    for cut in (1, 31, 32, 33, 100):  # of a runner that was killed while it wrote, in any place
        records = folder / "metrics/tensorboard.bin"
        records.write_bytes(records.read_bytes()[:-cut])
        assert taken_in(folder)["loss"] == [float(step) for step in range(30)]


def test_a_file_in_another_ones_place_is_read_from_its_beginning(folder: Path) -> None:
    path = write(folder / "logs", event(1, value("a", 1.0)), event(2, value("a", 2.0)))
    logs = EventLogs(str(folder))
    logs.look(10)
    other = write(folder / "other", *(event(step, value("b", 5.0)) for step in range(5)))
    os.replace(other, path)
    assert logs.look(10)
    assert logged(folder) == {"a": [1.0, 2.0], "b": [5.0] * 5}
    assert taken_in(folder) == {"a": [1.0, 2.0], "b": [5.0] * 5}


def test_a_copy_of_the_same_file_is_not_read_again(folder: Path) -> None:
    path = write(folder / "logs", event(1, value("a", 1.0)))
    taken_in(folder)
    copy = folder / "copy"
    copy.write_bytes(path.read_bytes())
    os.replace(copy, path)
    assert taken_in(folder) == {"a": [1.0]}


def test_what_a_run_logs_itself_keeps_its_name(folder: Path) -> None:
    own = metrics.MetricWriter(str(folder / layout.METRICS))
    own.number("before", 0.0)
    numbers = [value(name, 1.0) for name in ("before", "after", "listed", "alone", "tensorboard/x")]
    write(folder / "logs", event(1, *numbers))
    logs = EventLogs(str(folder))
    logs.look(10)
    assert logged(folder)["after"] == [1.0]
    own.number("after", 0.0)
    own.number("x", 0.0)
    own.other("listed", "list", [0.0])
    write(folder / "logs", event(2, *numbers))
    logs.look(10)
    found = logged(folder)
    for name in ("before", "after"):
        assert (found[name], found[f"tensorboard/{name}"]) == ([0.0], [1.0, 1.0])
    assert found["tensorboard/listed"] == [1.0, 1.0]
    assert found["alone"] == found["tensorboard/x"] == [1.0, 1.0]
    write(folder / "logs", event(3, *numbers))
    assert taken_in(folder)["tensorboard/after"] == [1.0, 1.0, 1.0]
    assert taken_in(folder)["tensorboard/x"] == [1.0, 1.0, 1.0]


def test_links_and_pipes_in_the_logs_are_left_alone(folder: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "elsewhere", event(1, value("secret", 1.0)))
    (folder / "logs/link.tfevents").symlink_to(path)
    (folder / "logs/linked").symlink_to(path.parent)
    os.mkfifo(folder / "logs/pipe.tfevents")
    assert taken_in(folder) == {}


def test_too_many_names_are_told_of_and_do_no_harm(folder: Path) -> None:
    values = [value(f"n{number}", 1.0) for number in range(3000)]
    write(folder / "logs", *(event(1, *values[at : at + 500]) for at in range(0, 3000, 500)))
    (folder / layout.EVENTS).touch()
    assert len(taken_in(folder)) == 2000
    assert "2000 names" in (folder / layout.EVENTS).read_text()


JOB = """
    import os, sys, time
    sys.path.append({site!r})
    from tensorboard.compat.proto import event_pb2, summary_pb2
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    writer = EventFileWriter("logs/train", flush_secs=0.05)

    def log(step, tag="loss"):
        number = summary_pb2.Summary.Value(tag=tag, simple_value=float(step))
        summary = summary_pb2.Summary(value=[number])
        writer.add_event(event_pb2.Event(wall_time=time.time(), step=step, summary=summary))

    for step in range(5):
        log(step)
    writer.flush()
    print("flushed", flush=True)
    while not os.path.exists("go"):
        time.sleep(0.02)
    for step in range(5, 2000):
        log(step)
    writer.close()
"""


def job() -> str:
    """A script that writes for TensorBoard, waits for a file `go`, and writes on to its end."""
    import tensorboard

    return JOB.format(site=str(Path(tensorboard.__file__).parent.parent))


def test_a_jobs_numbers_arrive_while_it_runs_whoever_kills_the_runner(
    experiment: Experiment,
) -> None:
    run = submit(experiment, job())
    until(lambda: run.get_metrics() == {"train/loss": [0.0, 1.0, 2.0, 3.0, 4.0]}, 30)
    assert run.get_status() == "Running"
    os.kill(int(home().lock.read_text()), signal.SIGKILL)
    (run.folder / "work/go").touch()
    assert finish(run)["status"] == "Completed", log_of(run)
    assert run.get_metrics() == {"train/loss": [float(step) for step in range(2000)]}


def test_what_was_written_before_a_cancel_is_there(experiment: Experiment) -> None:
    run = submit(experiment, job())
    until(lambda: "flushed" in log_of(run), 30)
    run.cancel()
    assert finish(run)["status"] == "Canceled"
    assert run.get_metrics() == {"train/loss": [0.0, 1.0, 2.0, 3.0, 4.0]}


# Exporting


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Step and value of all scalars below a folder, as TensorBoard reads them."""
    found = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    found.Reload()
    return {
        tag: [(each.step, each.value) for each in found.Scalars(tag)]
        for tag in found.Tags()["scalars"]
    }


def test_export_writes_each_run_with_all_that_is_a_number(
    experiment: Experiment, tmp_path: Path
) -> None:
    run = experiment.start_logging()
    child = run.child_run("child")
    for step in (10, 20):
        run.log("loss", step / 4, step=step)
    for number in (1, 2.5, True, "words"):
        run.log("mixed", number)
    run.log_list("list", [3, 1, 2])
    run.log_row("row", x=1, y=2.0, text="no number")
    run.log_row("row", x=3, y=4.0, text="no number")
    run.log_table("table", {"z": [5, 6]})
    child.log("loss", 9.0)
    before = time.time()
    child.complete()
    run.complete()
    board = tmp_path / "board"
    board.mkdir()
    export_to_tensorboard(run, board)
    export_to_tensorboard([run], str(board))
    assert {path.name for path in board.iterdir()} == {run.id, child.id}
    assert scalars(board / run.id) == {
        "loss": [(10, 2.5), (20, 5.0)],
        "mixed": [(0, 1.0), (1, 2.5), (2, 1.0)],
        "list": [(0, 3.0), (1, 1.0), (2, 2.0)],
        "row/x": [(0, 1.0), (1, 3.0)],
        "row/y": [(0, 2.0), (1, 4.0)],
        "table/z": [(0, 5.0), (1, 6.0)],
    }
    assert scalars(board / child.id) == {"loss": [(0, 9.0)]}
    (path,) = (board / child.id).iterdir()
    assert before - 60 < read(path)[0].time <= before


def test_export_of_an_experiment_leaves_children_out_if_asked(
    experiment: Experiment, tmp_path: Path
) -> None:
    run = experiment.start_logging()
    run.child_run("child").complete()
    run.complete()
    board = tmp_path / "board"
    board.mkdir()
    export_to_tensorboard(experiment, board, recursive=False)
    assert [path.name for path in board.iterdir()] == [run.id]


def test_export_needs_a_folder_that_exists(experiment: Experiment) -> None:
    with pytest.raises(UserErrorException, match="does not exist"):
        export_to_tensorboard(experiment, "nowhere")


# The helper


def asked(url: str, path: str) -> Any:
    """The JSON that TensorBoard answers with."""
    with urllib.request.urlopen(url + path, timeout=10) as answer:
        return json.load(answer)


@pytest.mark.slow
def test_tensorboard_shows_a_run_that_goes_on_and_an_exported_one(
    experiment: Experiment, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    past = experiment.start_logging()
    past.log("mse", 0.25, step=3)
    past.complete()
    (project / "root").mkdir()
    export_to_tensorboard(past, "root")
    run = submit(experiment, job())
    board = Tensorboard([run], local_root="root", port=0)
    try:
        url = board.start()
        assert url in capsys.readouterr().out
        tags = "data/plugin/scalars/tags"
        shown = f"{run.id}/train"
        until(lambda: {past.id, shown} <= asked(url, tags).keys(), 30, 0.3)
        place = f"data/plugin/scalars/scalars?run={past.id}&tag=mse"
        assert [point[1:] for point in asked(url, place)] == [[3, 0.25]]
        (run.folder / "work/go").touch()
        place = f"data/plugin/scalars/scalars?run={shown}&tag=loss"
        until(lambda: asked(url, place)[-1][1:] == [1999, 1999.0], 30, 0.3)
        other = Tensorboard([], local_root="root", port=int(url.split(":")[2].strip("/")))
        assert other.start() != url
        assert "is taken" in capsys.readouterr().out
        other.stop()
    finally:
        board.stop()
    assert [path.name for path in (project / "root").iterdir()] == [past.id]
    with pytest.raises(OSError, match="refused"):
        asked(url, tags)


KERNEL = """
import os, sys, time
from aml_jupyter import Tensorboard, Workspace
ws = Workspace.from_config()
board = Tensorboard(list(ws.experiments["test"].get_runs()), port=0)
board.start()
print(board._process.pid, board._made, flush=True)
time.sleep(60)
"""


@pytest.mark.slow
def test_tensorboard_ends_with_a_kernel_that_is_killed(experiment: Experiment) -> None:
    experiment.start_logging().complete()
    kernel = subprocess.Popen([sys.executable, "-c", KERNEL], stdout=subprocess.PIPE, text=True)
    assert kernel.stdout is not None
    try:
        kernel.stdout.readline()
        pid, made = kernel.stdout.readline().split()
        board = psutil.Process(int(pid))
        family = [board, *board.children(recursive=True)]
        assert Path(made).is_dir()
    finally:
        kernel.kill()
        kernel.wait()
        kernel.stdout.close()
    _, alive = psutil.wait_procs(family, 10)
    assert not alive
    assert not Path(made).exists()


def test_tensorboard_wants_runs_or_a_folder(ws: Workspace) -> None:
    with pytest.raises(UserErrorException, match="neither runs nor a folder"):
        Tensorboard([])
    with pytest.raises(UserErrorException, match="takes runs, not str"):
        Tensorboard(["run"])  # type: ignore[list-item]


def test_without_the_package_the_helper_says_what_to_install(tmp_path: Path) -> None:
    # An interpreter that sees this package alone, and nothing that is installed.
    code = "from aml_jupyter import Tensorboard\nTensorboard([], local_root='.').start()"
    here = {"PYTHONPATH": str(Path(__file__).parent.parent)}
    bare = [sys.executable, "-S", "-c", code]
    done = subprocess.run(
        bare, cwd=tmp_path, env=here, capture_output=True, text=True, check=False, timeout=60
    )
    assert "tensorboard is not installed" in done.stderr
    assert f"{sys.executable} -m pip install tensorboard" in done.stderr


def test_the_command_shows_the_last_run_until_it_is_interrupted(experiment: Experiment) -> None:
    run = experiment.start_logging()
    (run.folder / "logs").mkdir()
    write(run.folder / "logs", event(1, value("loss", 1.0)))
    run.complete()
    words = [sys.executable, "-m", "aml_jupyter", "tensorboard", "--port", "0", "--json"]
    command = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert command.stdout is not None
    try:
        said = json.loads(command.stdout.readline())
        assert said["runs"] == [run.id]
        until(lambda: run.id in asked(said["url"], "data/runs"), 30, 0.3)
        command.send_signal(signal.SIGINT)
        assert command.wait(20) == 0
    finally:
        command.kill()
        command.stdout.close()
    with pytest.raises(OSError, match="refused"):
        asked(said["url"], "data/runs")
