"""The queue of a machine: leases that end with their jobs, what is told of it, `aml queue`."""

from __future__ import annotations

import json
import os
import shutil
import textwrap
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from aml_jupyter import Experiment, Run, ScriptRunConfig, Workspace, runner
from aml_jupyter.cli import main
from aml_jupyter.home import home
from aml_jupyter.job import events, layout, states
from aml_jupyter.notebook.queue_table import QueueTable
from aml_jupyter.runner import queue
from aml_jupyter.runner.board import Board, BoardRun, is_current, read
from aml_jupyter.runner.forecast import Coming, Durations, Going, forecast
from aml_jupyter.runner.leases import Gpu, Lease, Machine, Process, Wish, decide
from aml_jupyter.spec import ALL_GPUS, Resources, RunRequest
from aml_jupyter.spec.records import JobSpec
from aml_jupyter.workspace.queue_view import (
    QueuedRun,
    QueueView,
    asked_in_words,
    position_of,
    queue_of,
    summary_of,
)
from tests.support import (
    LEASE_BACK_WITHIN,
    experiment,
    finish,
    kill,
    kill_runner,
    launcher_of,
    log_of,
    project,
    runner_pid,
    script,
    submit,
    time_of,
    until,
    ws,
)

__all__ = ["experiment", "project", "ws"]

G = 1 << 30
FOUR = Machine(tuple(Gpu(n, f"GPU-{n}", 16 * G) for n in range(4)), 8, 32 * G)


# When it will be somebody's turn ----------------------------------------------------------------


def going(left: float | None, gpus: int = 1, first: int = 0) -> Going:
    """A run that has these GPUs and ends in so many seconds."""
    lease = Lease(tuple(range(first, first + gpus)))
    return Going(Wish(Resources(gpus), slots=99), lease, left)


def coming(key: str, takes: float | None, gpus: int | None = 1) -> Coming:
    """A run that waits and will take so many seconds."""
    return Coming(key, Wish(Resources(gpus), slots=99, run=key), takes)


def test_runs_are_expected_when_those_before_them_have_ended() -> None:
    running = [going(10, 2), going(30, 2, 2)]
    waiting = [coming("a", 100, 2), coming("b", 5, 1), coming("c", 5, 1), coming("d", 1, 4)]
    assert forecast(running, waiting, FOUR) == {"a": 10, "b": 30, "c": 30, "d": 110}


def test_what_takes_nobody_knows_how_long_is_not_waited_for_in_numbers() -> None:
    running = [going(None, 3), going(7, 1, 3)]
    waiting = [coming("a", 1), coming("b", 1), coming("all", 1, ALL_GPUS), coming("c", 1)]
    assert forecast(running, waiting, FOUR) == {"a": 7, "b": 8}


def test_a_run_that_can_never_start_is_not_expected() -> None:
    assert forecast([], [coming("never", 1, 5), coming("a", 1)], FOUR) == {"a": 0}


def test_a_thousand_runs_are_expected_one_after_the_other() -> None:
    waiting = [coming(f"run{number}", 10) for number in range(1000)]
    expected = forecast([], waiting, FOUR)
    assert [expected[run.key] for run in waiting] == [number // 4 * 10 for number in range(1000)]


def test_a_forecast_of_a_busy_driver_is_as_if_it_answered() -> None:
    assert forecast([], [coming("a", 1)], replace(FOUR, trouble="asked")) == {"a": 0}


def test_usual_is_the_median_of_the_last_twenty(tmp_path: Path) -> None:
    known = Durations(tmp_path / "durations.json")
    assert known.usual("mnist", "train.py") is None
    for seconds in [1000.0] * 50 + [10.0] * 9 + [20.0] * 11:
        known.note("mnist", "train.py", seconds)
    assert known.usual("mnist", "train.py") == 20
    assert known.usual("mnist", "other.py") is None
    known.keep()
    again = Durations(tmp_path / "durations.json")
    assert again.usual("mnist", "train.py") == 20
    assert again.left("mnist", "train.py", 12) == 8
    assert again.left("mnist", "train.py", 100) == 10
    assert again.left("mnist", "other.py", 100) is None


def test_a_damaged_file_of_durations_is_no_trouble(tmp_path: Path) -> None:
    path = tmp_path / "durations.json"
    path.write_text('{"a: b": [1, "x", null], "c: d": 5, "e: f": []}')
    known = Durations(path)
    assert (known.usual("a", "b"), known.usual("c", "d"), known.usual("e", "f")) == (1, None, None)
    path.write_text("[")
    assert Durations(path).usual("a", "b") is None


def test_only_the_scripts_of_late_are_remembered(tmp_path: Path) -> None:
    known = Durations(tmp_path / "durations.json")
    for number in range(1200):
        known.note("test", f"{number}.py", number)
        known.note("test", "often.py", 1)
    assert known.usual("test", "0.py") is None
    assert known.usual("test", "1199.py") == 1199
    assert known.usual("test", "often.py") == 1


# The board --------------------------------------------------------------------------------------


def on_board(key: str, **asked: Any) -> BoardRun:
    """A run as the runner puts it up."""
    job = JobSpec(script="train.py", resources=Resources(**asked))
    request = RunRequest(key, "mnist", created=time.time() - 60, job=job)
    wish = Wish(job.resources, slots=9, run=key)
    return BoardRun.waiting(key, f"/runs/{key}", request, wish, "Queued")


def shown(board: Board, running: list[BoardRun], waiting: list[BoardRun]) -> dict[str, Any]:
    """What others read of it."""
    reasons = decide([], [(run.key, run.wish) for run in waiting], Machine(())).reasons
    board.show(FOUR, {0: 37.0}, running, waiting, reasons)
    return read(home()) or {}


def test_the_board_tells_who_has_what_and_who_waits_for_what() -> None:
    board = Board(home().make())
    board.durations.note("mnist", "train.py", 90)
    first = on_board("first", gpus=4).running(Lease((0, 1, 2, 3)), "Running", time.time() - 30)
    content = shown(board, [first], [on_board("second", gpus=1, gpu_memory=G)])
    assert is_current(content)
    machine = content["machine"]
    assert machine["gpus"] == [
        {**vars(gpu), "strangers": [], "load": None if gpu.index else 37} for gpu in FOUR.gpus or ()
    ]
    assert (machine["cpus"], machine["memory"]) == (FOUR.cpus, FOUR.memory)
    (running,), (waiting,) = content["running"], content["waiting"]
    assert (running["id"], running["gpus"], running["state"]) == ("first", [0, 1, 2, 3], "Running")
    assert waiting["asks"] == {"gpus": 1, "gpu_memory": G}
    assert waiting["why"].startswith("It asks for 1 GPU")
    assert abs(waiting["expected"] - time.time() - 60) < 5


def test_the_board_and_the_queue_name_who_computes_without_a_run(
    capsys: pytest.CaptureFixture[str],
) -> None:
    kernel = Process(4711, "python -m ipykernel_launcher")
    used = Machine((Gpu(0, "GPU-0", 16 * G, 2 * G, 2 * G, (kernel, Process(12))),))
    run, board = on_board("first", gpus=1), Board(home().make())
    reasons = decide([], [(run.key, run.wish)], used).reasons
    board.show(used, {}, [], [run], reasons)
    assert "(python -m ipykernel_launcher, pid 4711; pid 12)" in reasons["first"]
    (gpu,) = queue_of().gpus or ()
    assert gpu.strangers == (kernel, Process(12))
    assert gpu.row()[3] == "2 GiB (python -m ipykernel_launcher, pid 4711; pid 12)"
    content = json.loads(said(capsys, "--json")[0])
    assert content["gpus"][0]["strangers"] == [kernel._asdict(), {"pid": 12, "name": ""}]


def test_who_waits_for_an_environment_is_told_so() -> None:
    board = Board(home().make())
    board.show(FOUR, {}, [], [replace(on_board("first"), state="Preparing")], {})
    content = read(home())
    assert content is not None
    assert content["waiting"][0]["why"] == "its environment is being built"


def test_what_has_not_changed_is_not_written_again() -> None:
    board, path = Board(home().make()), home().state / "board.json"
    runs = [on_board("first"), on_board("second")]
    shown(board, [], runs)
    before = path.stat().st_ino
    until(lambda: board.next_look is None)
    shown(board, [], runs)
    assert path.stat().st_ino == before
    until(lambda: shown(board, [], runs[1:])["waiting"][0]["id"] == "second")


def test_an_empty_queue_is_told_at_once() -> None:
    board = Board(home().make())
    shown(board, [], [on_board(f"run{number}") for number in range(300)])
    assert shown(board, [], [])["waiting"] == []


def test_a_board_that_cannot_be_written_is_written_later() -> None:
    board, place = Board(home().make()), home().state
    away = place.rename(f"{place}-away")
    board.show(FOUR, {}, [], [on_board("first")], {})
    away.rename(place)
    assert read(home()) is None
    until(lambda: shown(board, [], [on_board("first")]))


def test_how_long_a_run_took_is_remembered_for_those_that_had_a_turn() -> None:
    board = Board(home().make())
    board.ended(on_board("never"))
    assert board.durations.usual("mnist", "train.py") is None
    board.ended(on_board("first").running(Lease(), "Running", time.time() - 50))
    assert board.durations.usual("mnist", "train.py") == pytest.approx(50, abs=2)


# For people -------------------------------------------------------------------------------------

WORDS = [
    (Resources(), ""),
    (Resources(0), "no GPU"),
    (Resources(1), "1 GPU"),
    (Resources(2, 8 * G), "2 GPUs (8 GiB each)"),
    (Resources(ALL_GPUS, cpus=1, memory=G), "all GPUs, 1 CPU, 1 GiB memory"),
    (Resources(cpus=1.5), "1.5 CPUs"),
]


@pytest.mark.parametrize(("asked", "words"), WORDS)
def test_what_a_run_asks_for_is_told_in_words(asked: Resources, words: str) -> None:
    assert asked_in_words(asked) == words


def test_a_notebook_and_a_terminal_show_the_same_rows() -> None:
    now = time.time()
    run = QueuedRun(
        *("run0", "/runs/run0", "mnist", "local", "", Resources(2), "Queued", now - 61, 1),
        why="waits for 2 GPUs: 0 of 2 free",
        expected=now + 125.5,
    )
    assert run.row() == [
        *("1", "run0", "mnist", "local", "2 GPUs", "Queued", "1 min", "in 2 min 05 s"),
        "waits for 2 GPUs: 0 of 2 free",
    ]
    many = tuple(replace(run, run_id=f"run{n}", position=n + 1) for n in range(22))
    view = QueueView(True, now, (), many, None, "", 8.0, 0)
    in_notebook = repr(QueueTable(view))
    assert all(cell in in_notebook for cell in many[19].row())
    assert "run20" not in in_notebook
    assert "… and 2 more; --all shows them." in in_notebook
    assert "run21" in repr(QueueTable(view, everything=True))


# With a runner ----------------------------------------------------------------------------------

HOLD = """
    import os, pathlib, time
    print(os.environ.get("CUDA_VISIBLE_DEVICES"), flush=True)
    while not pathlib.Path({gate!r}).exists():
        time.sleep(0.02)
    """


@pytest.fixture(autouse=True)
def _two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AML_FAKE_GPUS", "2x16G")
    monkeypatch.setenv("AML_SLOTS", "9")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


@pytest.fixture
def ask(experiment: Experiment, project: Path) -> Callable[..., Run]:
    """Submits a run that holds what it asks for until its gate is opened."""

    def submit(gate: str = "gate", priority: int | None = None, **asked: Any) -> Run:
        source = project.parent / f"source-{os.urandom(3).hex()}"
        source.mkdir()
        text = textwrap.dedent(HOLD).format(gate=str(project / gate))
        config = ScriptRunConfig(str(source), script=script(source, text))
        config.run_config.priority = priority
        return experiment.submit(config, resources=Resources(**asked))

    return submit


def up(run: Run) -> Run:
    """The run once its script has said its first line."""
    until(lambda: "\n" in log_of(run))
    return run


def waits(run: Run) -> str:
    """Why the run waits, once the runner says so."""
    return str(until(lambda: (at := position_of(run.id, run.folder)) and at.why))


def test_two_jobs_see_a_gpu_each_and_the_third_waits(
    ask: Callable[..., Run], project: Path
) -> None:
    first, second = up(ask(gpus=1)), up(ask(gpus=1))
    third, none = ask(gpus=1), up(ask(gpus=0))
    assert [log_of(run).strip() for run in (first, second, none)] == ["0", "1", ""]
    assert waits(third) == "waits for 1 GPU: 0 of 2 free"
    (project / "gate").touch()
    finish(third)
    assert log_of(third) in ("0\n", "1\n")


def test_a_run_that_asks_for_no_gpus_sees_what_its_submitter_sees(
    ask: Callable[..., Run], project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "gate").touch()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    run = ask()
    finish(run)
    assert log_of(run) == "7\n"


def test_small_jobs_share_a_gpu(ask: Callable[..., Run]) -> None:
    runs = [up(ask(gpus=1, gpu_memory=8 * G)) for _ in range(3)]
    assert [log_of(run).strip() for run in runs] == ["0", "0", "1"]
    assert waits(ask(gpus=1)) == "waits for 1 GPU: 0 of 2 free"


@pytest.mark.parametrize("victim", ["job", "job, launcher", "runner", "job, launcher, runner"])
def test_a_lease_ends_with_its_job_whatever_ended_it(victim: str, ask: Callable[..., Run]) -> None:
    first = up(ask(gpus=2))
    second = ask("other", gpus=2)
    waits(second)
    launcher = launcher_of(first)
    (job,) = Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split()
    if "runner" in victim:
        kill_runner()
    died = time.time()
    for name, pid in (("launcher", launcher), ("job", int(job))):
        if name in victim:
            kill(pid)
    runner.wake()
    if victim == "runner":
        until(runner_pid)
        assert waits(second).startswith("waits for 2 GPUs")
        died = time.time()
        first.cancel()
    up(second)
    assert first.get_status() in ("Failed", "Canceled")
    assert log_of(second) == "0,1\n"
    assert 0 <= time_of(second, "lease") - died <= LEASE_BACK_WITHIN


def test_a_start_that_a_killed_runner_left_half_done_goes_on_with_its_lease(
    ask: Callable[..., Run],
) -> None:
    first = up(ask(gpus=2))
    second = ask(gpus=1)
    waits(second)
    kill_runner()
    work = second.folder / layout.WORK
    shutil.copytree(first.folder / layout.WORK, work, symlinks=True)
    for name in (layout.OUTPUTS, layout.LOGS):
        (second.folder / name).mkdir(exist_ok=True)
    # As far as it gets between two lines of the runner.
    entry = next(each for each in queue.entries(home(), {}) if each.run_id == second.id)
    entry.keep_lease(Lease((1,)).to_json())
    events.append(str(second.folder), "state", state=states.STARTING)
    runner.wake()
    assert log_of(up(second)) == "1\n"


def test_a_higher_priority_goes_first(ask: Callable[..., Run], project: Path) -> None:
    first = up(ask("first", gpus=2))
    low, high = ask(gpus=2), ask("high", priority=5, gpus=2)
    assert waits(low).endswith(f"behind {high.id}")
    assert [run.run_id for run in queue_of().waiting] == [high.id, low.id]
    (project / "first").touch()
    finish(first)
    up(high)
    assert not log_of(low)


# Who starts the runner ---------------------------------------------------------------------------

RESTART = """
    import os, pathlib, signal, time
    from aml_jupyter import runner

    print(os.environ["CUDA_VISIBLE_DEVICES"], flush=True)
    until = time.monotonic() + 20
    os.kill(runner.runner_status().pid, signal.SIGKILL)
    while runner.runner_status() is None and time.monotonic() < until:
        runner.wake()
        time.sleep(0.1)
    while not pathlib.Path({gate!r}).exists():
        time.sleep(0.02)
    """


def test_a_runner_that_a_job_started_has_more_gpus_than_the_job(
    experiment: Experiment, ask: Callable[..., Run], project: Path
) -> None:
    before = runner.ensure_runner().pid
    job = submit(experiment, RESTART.format(gate=str(project / "gate")), resources=Resources(1))
    until(lambda: runner_pid() not in (0, before))
    both = ask(gpus=2)
    assert waits(both) == "waits for 2 GPUs: 1 of 2 free"
    (project / "gate").touch()
    assert finish(both)["status"] == "Completed"
    assert (log_of(job), log_of(both)) == ("0\n", "0,1\n")


def test_gpus_that_are_only_hidden_from_the_runner_are_waited_for(
    ask: Callable[..., Run], project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "gate").touch()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    runner.ensure_runner()
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    both, one = ask(gpus=2), ask(gpus=1)
    assert "the runner has 1, CUDA_VISIBLE_DEVICES hides 1 more" in waits(both)
    assert finish(one)["status"] == "Completed"
    runner.stop_runner()
    until(lambda: not runner_pid())
    assert finish(both)["status"] == "Completed"
    assert (log_of(one), log_of(both)) == ("1\n", "0,1\n")


def test_only_runs_that_completed_tell_how_long_the_next_one_takes(
    ask: Callable[..., Run], project: Path
) -> None:
    def known() -> dict[str, Any]:
        path = home().state / "durations.json"
        return json.loads(path.read_text()) if path.exists() else {}

    killed, canceled = up(ask("never")), up(ask("never"))
    canceled.cancel()
    (job,) = (
        Path(f"/proc/{launcher_of(killed)}/task/{launcher_of(killed)}/children").read_text().split()
    )
    kill(int(job))
    assert (finish(killed)["status"], finish(canceled)["status"]) == ("Failed", "Canceled")
    completed = up(ask())
    (project / "gate").touch()
    finish(completed)
    until(lambda: known() != {})
    (took,) = known().values()
    assert len(took) == 1


# Runs that submit runs --------------------------------------------------------------------------

PARENT = """
    import pathlib, time
    from aml_jupyter import Run, ScriptRunConfig
    from aml_jupyter.spec import Resources

    print("up", flush=True)
    while not pathlib.Path({gate!r}).exists():
        time.sleep(0.02)
    run = Run.get_context()
    open("child.py", "w").write("import os; print(os.environ['CUDA_VISIBLE_DEVICES'])")
    child = run.submit_child(ScriptRunConfig(".", script="child.py"), resources=Resources({gpus}))
    child.wait_for_completion()
    """


@pytest.fixture
def parent(experiment: Experiment, project: Path) -> Callable[[int], Run]:
    """Submits a run with one GPU that waits for a child with so many."""

    def submitted(gpus: int) -> Run:
        text = PARENT.format(gate=str(project / "child"), gpus=gpus)
        return up(submit(experiment, text, resources=Resources(1)))

    return submitted


def test_a_child_has_its_turn_before_who_waits_for_its_parent(
    ask: Callable[..., Run], parent: Callable[[int], Run], project: Path
) -> None:
    run, other = parent(1), ask(gpus=2)
    waits(other)
    (project / "gate").touch()
    (project / "child").touch()
    assert finish(run)["status"] == "Completed", log_of(run)
    (child,) = run.get_children()
    assert log_of(child) == "1\n"
    assert finish(other)["status"] == "Completed"


def test_a_child_that_waits_for_what_its_parent_holds_says_so(
    ask: Callable[..., Run], parent: Callable[[int], Run], project: Path
) -> None:
    run = parent(2)
    (project / "child").touch()
    child = until(lambda: next(iter(run.get_children()), None))
    until(lambda: f"{run.id} may be waiting for it" in waits(child))
    assert log_of(up(ask(gpus=1))) == "1\n"
    run.cancel()
    child.cancel()
    finish(run)


# `aml queue` ------------------------------------------------------------------------------------


def said(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[str, str]:
    """What the command prints."""
    capsys.readouterr()
    assert main(["queue", *words]) == 0
    out, err = capsys.readouterr()
    return out, err


def test_aml_queue_shows_who_has_what_and_who_waits(
    ask: Callable[..., Run], capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = up(ask(gpus=2)), ask(gpus=1, cpus=1)
    waits(second)
    until(lambda: any(run.gpus for run in queue_of().running))
    out, err = said(capsys)
    lines = out.splitlines()
    (of_first,) = (line for line in lines if first.id in line and "on GPU" in line)
    (of_second,) = (line for line in lines if second.id in line)
    assert "on GPU 0, 1" in of_first
    assert of_second.startswith("1 ")
    assert "1 GPU, 1 CPU" in of_second
    assert "waits for 1 GPU: 0 of 2 free" in of_second
    assert sum(line.endswith(first.id) for line in lines) == 2
    assert err == "1 running, 1 waiting.\n"
    content = json.loads(said(capsys, "--json")[0])
    assert [run["run_id"] for run in content["waiting"]] == [second.id]
    assert content["gpus"][0]["holders"] == [first.id]


def test_aml_queue_works_without_a_runner(
    ask: Callable[..., Run], capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = up(ask(gpus=2)), ask(gpus=1)
    waits(second)
    runner.stop_runner()
    until(lambda: not runner_pid())
    out, err = said(capsys)
    assert "no runner is alive" in next(line for line in out.splitlines() if second.id in line)
    assert first.id in out
    assert "No runner is alive; this is how the last one left it" in err
    until(lambda: position_of(second.id) is None)


def test_an_empty_queue_is_told_in_a_word(capsys: pytest.CaptureFixture[str]) -> None:
    out, err = said(capsys)
    assert out == ""
    assert err.startswith("0 running, 0 waiting.\nNo runner is alive. ")


def test_a_run_that_no_runner_has_seen_is_in_the_queue(
    ask: Callable[..., Run], ws: Workspace
) -> None:
    run = up(ask())
    (home().state / "board.json").unlink()
    (seen,) = queue_of().waiting
    assert (seen.run_id, seen.experiment, seen.position) == (run.id, "test", 1)
    (run.folder / layout.REQUEST).write_text("{")
    assert queue_of().waiting == ()


def test_a_long_queue_is_shown_in_part(
    ask: Callable[..., Run], capsys: pytest.CaptureFixture[str]
) -> None:
    up(ask(gpus=2))
    runs = [ask(gpus=2) for _ in range(22)]
    until(lambda: len(queue_of().waiting) == 22 and queue_of().running)
    out, _ = said(capsys)
    assert "… and 2 more; --all shows them." in out
    assert runs[-1].id not in out
    assert runs[-1].id in said(capsys, "--all")[0]
    assert summary_of(queue_of()) == ["1 running, 22 waiting."]
