"""Faults, really done: whatever is killed, filled up or spoiled, runs come to their true end."""

from __future__ import annotations

import functools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

from aml_jupyter import Dataset, Datastore, Experiment, Run, ScriptRunConfig, Workspace, runner
from aml_jupyter.errors import StorageFullError
from aml_jupyter.home import home
from aml_jupyter.job import events, layout
from aml_jupyter.runner import queue
from aml_jupyter.spec import Resources
from aml_jupyter.store import Index, Query, WorkspaceFolder
from tests.support import (
    assert_no_orphans,
    experiment,
    finish,
    is_running,
    kill,
    kill_runner,
    launcher_of,
    log_of,
    message_of,
    processes_below,
    project,
    runner_pid,
    script,
    states_of,
    submit,
    until,
    ws,
)

__all__ = ["experiment", "project", "ws"]

ROOT = Path(__file__).parent.parent

COUNT = """
    import sys, time
    from aml_jupyter import Run
    run = Run.get_context()
    for n in range(100):
        print('line', n)
        run.log('x', float(n))
        time.sleep(0.01)
    sys.exit(5)
    """
UNTIL_TOLD = """
    import os, sys, time
    from aml_jupyter import Run
    run = Run.get_context()
    n = 0
    while not os.path.exists('enough'):
        print('line', n)
        run.log('x', float(n))
        n += 1
        time.sleep(0.01)
    print('end', n)
    sys.exit(5)
    """
SLEEP = "import time\nprint('up', flush=True)\ntime.sleep(60)"


def assert_complete(run: Run, count: int = 100, end: str = "") -> None:
    """All lines, all points, and the right exit status of a run of ``COUNT``."""
    details = finish(run)
    assert log_of(run) == "".join(f"line {n}\n" for n in range(count)) + end
    assert run.get_metrics() == {"x": list(range(count))}
    assert details["error"]["error"]["exitCode"] == 5
    assert states_of(run).count("Running") == 1
    assert_no_orphans(run.folder)


def has_begun(run: Run) -> None:
    until(lambda: "line 20" in log_of(run))


# The kernel ---------------------------------------------------------------------------------


@pytest.fixture
def kernel(project: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[KernelManager]:
    """A real kernel in the project's folder."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    manager = KernelManager(kernel_name="python3")
    manager.start_kernel(cwd=str(project), env=dict(os.environ))
    yield manager
    manager.shutdown_kernel(now=True)


def tell(manager: KernelManager, code: str) -> str:
    """Run code in the kernel and return what it printed."""
    client: BlockingKernelClient = manager.client()
    client.start_channels()
    printed: list[str] = []
    try:
        client.wait_for_ready(timeout=30)
        client.execute_interactive(
            textwrap.dedent(code),
            timeout=30,
            output_hook=lambda message: printed.append(message["content"].get("text", "")),
        )
    finally:
        client.stop_channels()
    return "".join(printed)


def submitted_by(manager: KernelManager, project: Path) -> Run:
    """A run of ``UNTIL_TOLD`` that the kernel submitted."""
    script(project / "code", UNTIL_TOLD)
    code = """
        from aml_jupyter import Experiment, ScriptRunConfig, Workspace
        experiment = Experiment(Workspace.from_config(), 'kernel')
        run = experiment.submit(ScriptRunConfig('code', script='train.py'))
        print(run.id)
        """
    run = Workspace.from_config(project).get_run(tell(manager, code).strip())
    has_begun(run)
    return run


@pytest.mark.slow
def test_a_run_outlives_a_killed_kernel(kernel: KernelManager, project: Path) -> None:
    run = submitted_by(kernel, project)
    lines = log_of(run).count("\n")
    kernel.signal_kernel(signal.SIGKILL)
    until(lambda: log_of(run).count("\n") > lines + 20)
    (run.folder / "work/enough").touch()
    finish(run)
    count = int(log_of(run).split()[-1])
    assert_complete(run, count, f"end {count}\n")


@pytest.mark.slow
@pytest.mark.parametrize("now", [False, True], ids=["polite", "forced"])
def test_a_run_outlives_a_restart_of_the_kernel_which_finds_it_again(
    now: bool, kernel: KernelManager, project: Path
) -> None:
    run = submitted_by(kernel, project)
    kernel.restart_kernel(now=now)
    code = f"""
        from aml_jupyter import Workspace
        run = Workspace.from_config().get_run({run.id!r})
        print(run.get_status(), end=' ')
        (run.folder / 'work/enough').touch()
        run.wait_for_completion(raise_on_error=False)
        print(run.get_status(), len(run.get_metrics()['x']))
        """
    before, after, count = tell(kernel, code).split()
    assert (before, after) == ("Running", "Failed")
    assert_complete(run, int(count), f"end {count}\n")


@pytest.mark.slow
def test_an_interactive_run_of_a_killed_kernel_fails(kernel: KernelManager, project: Path) -> None:
    code = """
        from aml_jupyter import Experiment, Workspace
        run = Experiment(Workspace.from_config(), 'kernel').start_logging(snapshot_directory=None)
        for n in range(1000): run.log('x', float(n))
        print(run.id)
        """
    run_id = tell(kernel, code).strip()
    kernel.signal_kernel(signal.SIGKILL)
    workspace = Workspace.from_config(project)
    listed = until(lambda: [r for r in workspace.runs() if r.status == "Failed"])
    assert [run.id for run in listed] == [run_id]
    run = workspace.get_run(run_id)
    assert run.get_metrics() == {"x": list(range(1000))}
    assert "ended without completing" in message_of(run.get_details())


# The runner, the launcher, the job ----------------------------------------------------------


def test_a_run_outlives_the_runner_killed_while_it_runs(experiment: Experiment) -> None:
    run = submit(experiment, COUNT)
    has_begun(run)
    kill_runner()
    until(lambda: "line 60" in log_of(run))
    runner.ensure_runner()
    assert_complete(run)


def test_a_run_that_ended_while_there_was_no_runner_ends_as_it_did(experiment: Experiment) -> None:
    run = submit(experiment, COUNT)
    has_begun(run)
    kill_runner()
    until(lambda: not processes_below(run.folder.parent))
    assert run.get_status() == "Running"
    runner.ensure_runner()
    assert_complete(run)


@pytest.mark.slow
def test_waiting_for_a_run_brings_back_a_killed_runner(experiment: Experiment) -> None:
    run = submit(experiment, COUNT)
    has_begun(run)
    kill_runner()
    assert run.wait_for_completion(raise_on_error=False)["status"] == "Failed"
    assert_complete(run)


def test_a_queued_run_survives_the_runner(
    experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AML_SLOTS", "1")
    first = submit(experiment, SLEEP)
    until(lambda: "up" in log_of(first))
    second = submit(experiment, "print('second')")
    until(lambda: second.get_status() == "Queued")
    kill_runner()
    runner.ensure_runner()
    first.cancel()
    assert finish(first)["status"] == "Canceled"
    assert finish(second)["status"] == "Completed"
    assert log_of(second) == "second\n"


def test_a_run_that_the_runner_never_saw_is_run(
    experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    pid = runner.ensure_runner().pid
    kill(pid, signal.SIGSTOP)
    try:
        (experiment.workspace.folder.project / "code").mkdir()
        run = in_another_process(experiment, "print('seen')")
    finally:
        kill(pid)
    until(lambda: not is_running(pid))
    runner.ensure_runner()
    assert finish(run)["status"] == "Completed"


def in_another_process(experiment: Experiment, text: str) -> Run:
    """A run whose submitter was killed as soon as the run was in the queue."""
    project = experiment.workspace.folder.project
    script(project / "code", text)
    code = """
        from aml_jupyter import Experiment, ScriptRunConfig, Workspace
        experiment = Experiment(Workspace.from_config(), 'test')
        experiment.submit(ScriptRunConfig('code', script='train.py'))
        """
    submitter = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    (entry,) = until(lambda: list(home().queue.glob("*.json")))
    submitter.kill()
    submitter.wait()
    return experiment.workspace.get_run(entry.name.split(".", 1)[1].removesuffix(".json"))


def big_folder(folder: Path, files: int) -> None:
    """Enough that the runner lays it out beside its other work, for some tenths of a second."""
    for number in range(files):
        path = folder / f"d{number % 40}" / f"f{number}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"content {number}")


@pytest.mark.slow
def test_the_runner_killed_while_preparing_lays_out_everything_again(
    ws: Workspace, project: Path
) -> None:
    source = project / "code"
    script(source, "import pathlib\nprint(len(list(pathlib.Path('.').glob('d*/*'))))")
    big_folder(source, 6000)
    run = Experiment(ws, "e").submit(ScriptRunConfig("code", script="train.py"))
    for _ in range(3):
        until(lambda: run.get_status() == "Preparing", pause=0.001)
        until(lambda: (run.folder / "work").exists(), pause=0.001)
        kill_runner()
        assert run.get_status() == "Preparing"
        runner.ensure_runner()
    assert finish(run)["status"] == "Completed", message_of(run.get_details())
    assert log_of(run) == "6000\n"


@pytest.mark.slow
def test_a_run_canceled_while_preparing_leaves_nothing(ws: Workspace, project: Path) -> None:
    source = project / "code"
    script(source, "print('never')")
    big_folder(source, 6000)
    run = Experiment(ws, "e").submit(ScriptRunConfig("code", script="train.py"))
    until(lambda: run.get_status() == "Preparing", pause=0.001)
    run.cancel()
    assert finish(run)["status"] == "Canceled"
    assert log_of(run) == ""
    assert_no_orphans(run.folder)


@pytest.mark.slow
def test_the_runner_killed_at_random_moments_starts_each_job_once(
    experiment: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AML_SLOTS", "3")
    text = f"""
        import os, time
        with open({str(tmp_path / "started")!r}, 'a') as file:
            file.write(os.environ['AZUREML_RUN_ID'] + chr(10))
        time.sleep(0.02)
        """
    runs = [submit(experiment, text) for _ in range(24)]
    chance = random.Random(11)
    for _ in range(14):
        runner.ensure_runner()
        time.sleep(chance.uniform(0, 0.25))
        if pid := runner_pid():
            kill(pid)
            until(lambda pid=pid: not is_running(pid))  # type: ignore[misc]
    runner.ensure_runner()
    for run in runs:
        assert finish(run)["status"] == "Completed", message_of(run.get_details())
    started = (tmp_path / "started").read_text().split()
    assert sorted(started) == sorted(run.id for run in runs)
    until(lambda: not list(home().queue.iterdir()))


AT_STATES = ["Preparing", "Starting", "Running", "Finalizing"]


@pytest.mark.slow
@pytest.mark.parametrize("state", AT_STATES)
def test_the_runner_killed_as_soon_as_a_state_is_noted(
    state: str, experiment: Experiment, tmp_path: Path
) -> None:
    for number in range(3):
        path = tmp_path / f"started{number}"
        run = submit(experiment, f"open({str(path)!r}, 'a').write('x')\nprint('done')")
        events_file = run.folder / layout.EVENTS
        mark = f'"state":"{state}"'.encode()
        while not (events_file.exists() and mark in events_file.read_bytes()):
            pass
        kill_runner()
        runner.ensure_runner()
        assert finish(run)["status"] == "Completed"
        assert path.read_text() == "x"
        assert log_of(run) == "done\n"


def test_a_launcher_killed_before_its_claim_does_not_hold_the_run_for_ever(
    experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = submit(experiment, "print(1)")
    finish(run)
    # As it is when both the runner and the launcher it had just started were killed.
    request = json.loads((run.folder / layout.REQUEST).read_text())
    request["id"] = "orphan"
    folder = experiment.workspace.folder.new_run(request)
    gone = subprocess.Popen(["true"])
    gone.wait()
    who = {"pid": gone.pid, "started": 1, "boot": "x"}
    events.append(str(folder), "state", state="Starting")
    events.append(str(folder), "job", handle={"folder": str(folder), "launcher": who})
    runner.enqueue(folder, "orphan", dict(os.environ), runner.Ask(2))
    details = finish(experiment.workspace.get_run("orphan"))
    assert details["status"] == "Failed"
    assert "before the script began" in message_of(details)


def test_a_recycled_pid_is_not_taken_for_the_launcher(experiment: Experiment) -> None:
    run = submit(experiment, "print(1)")
    finish(run)
    request = json.loads((run.folder / layout.REQUEST).read_text())
    request["id"] = "recycled"
    folder = experiment.workspace.folder.new_run(request)
    claim = {"pid": os.getpid(), "started": 1, "boot": "another", "t": time.time()}
    (folder / layout.CLAIM).write_text(json.dumps(claim))
    events.append(str(folder), "state", state="Starting")
    runner.enqueue(folder, "recycled", dict(os.environ), runner.Ask(2))
    details = finish(experiment.workspace.get_run("recycled"))
    assert details["status"] == "Failed"
    assert "without leaving an exit status" in message_of(details)


def test_a_run_whose_launcher_is_killed_goes_on_and_ends_as_its_script_did(
    experiment: Experiment,
) -> None:
    run = submit(experiment, COUNT)
    has_begun(run)
    kill(launcher_of(run))
    assert_complete(run)


def test_launcher_and_runner_killed_together(experiment: Experiment) -> None:
    run = submit(experiment, COUNT)
    has_begun(run)
    kill(launcher_of(run))
    kill_runner()
    runner.ensure_runner()
    assert_complete(run)


def test_a_canceled_run_whose_launcher_is_killed_is_canceled(experiment: Experiment) -> None:
    run = submit(experiment, SLEEP)
    until(lambda: "up" in log_of(run))
    kill(launcher_of(run))
    run.cancel()
    assert finish(run)["status"] == "Canceled"
    assert_no_orphans(run.folder)


def test_a_daemon_of_a_job_whose_launcher_is_killed_does_not_hold_the_run(
    experiment: Experiment,
) -> None:
    text = """
        import os, time
        if not os.fork():
            os.setsid()
            time.sleep(60)
        print('up', flush=True)
        time.sleep(0.5)
        1 / 0
        """
    run = submit(experiment, text)
    until(lambda: "up" in log_of(run))
    kill(launcher_of(run))
    details = finish(run, 10)
    assert "ZeroDivisionError" in message_of(details)
    assert_no_orphans(run.folder)


def test_a_killed_job_says_by_what(experiment: Experiment) -> None:
    run = submit(experiment, COUNT)
    has_begun(run)
    launcher = launcher_of(run)
    for pid in processes_below(run.folder.parent):
        if pid != launcher:
            kill(pid)
    details = finish(run)
    assert "killed by signal 9 (SIGKILL)" in message_of(details)
    lines = log_of(run).splitlines()
    assert lines == [f"line {n}" for n in range(len(lines))]
    values = run.get_metrics()["x"]
    assert values == list(range(len(values)))
    assert len(values) >= len(lines)


def test_a_cancel_survives_the_runner(experiment: Experiment) -> None:
    text = """
        import signal, time
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        print('up', flush=True)
        time.sleep(60)
        """
    run = submit(experiment, text)
    until(lambda: "up" in log_of(run))
    kill_runner()
    run._append("cancel", by="a test")
    runner.ensure_runner()
    time.sleep(0.1)
    kill_runner()
    runner.ensure_runner()
    assert finish(run)["status"] == "Canceled"
    assert_no_orphans(run.folder)


def test_a_time_limit_survives_the_runner(experiment: Experiment) -> None:
    run = submit(experiment, SLEEP, max_run_duration_seconds=1)
    until(lambda: "up" in log_of(run))
    kill_runner()
    time.sleep(1)
    runner.ensure_runner()
    details = finish(run)
    assert details["error"]["error"]["code"] == "Timeout"
    assert_no_orphans(run.folder)


def test_the_reason_of_an_ended_run_survives_the_runner(
    experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AML_CANCEL_GRACE", "30")
    text = """
        import signal, sys, time
        def leave(*_):
            time.sleep(0.5)
            sys.exit(1)
        signal.signal(signal.SIGTERM, leave)
        print('up', flush=True)
        time.sleep(60)
        """
    run = submit(experiment, text, max_run_duration_seconds=1)
    until(lambda: run.get_status() == "CancelRequested")
    kill_runner()
    until(lambda: not processes_below(run.folder.parent))
    runner.ensure_runner()
    assert finish(run)["error"]["error"]["code"] == "Timeout"


# Disks --------------------------------------------------------------------------------------


class Disk:
    """A small disk with a project on it."""

    def __init__(self, point: Path) -> None:
        self.point = point
        self._ballast = point / "ballast"

    def fill(self) -> None:
        """Take all room there is."""
        with open(self._ballast, "ab", buffering=0) as file:
            for size in (1 << 16, 4096, 1):
                try:
                    while True:
                        file.write(b"x" * size)
                except OSError:
                    continue

    def clear(self) -> None:
        """Give it back."""
        self._ballast.unlink(missing_ok=True)


@pytest.fixture
def disk(project: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    """A tmpfs of four megabytes, and the test works on it."""
    point = project.parent / "disk"
    point.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(point)], check=True)
    monkeypatch.chdir(point)
    yield Disk(point)
    for pid in processes_below(point):
        kill(pid)
    monkeypatch.chdir(project)
    subprocess.run(["umount", "-l", str(point)], check=True)


def on_disk(disk: Disk, text: str) -> Run:
    """A run on the small disk, just submitted."""
    script(disk.point / "code", text)
    workspace = Workspace.from_config(disk.point)
    return Experiment(workspace, "small").submit(ScriptRunConfig("code", script="train.py"))


@pytest.mark.service("mount")
def test_a_disk_that_fills_while_a_job_logs(disk: Disk) -> None:
    text = """
        from aml_jupyter import Run
        run = Run.get_context()
        print('up', flush=True)
        n = 0
        while True:
            run.log('x', float(n))
            n += 1
        """
    run = on_disk(disk, text)
    until(lambda: "up" in log_of(run))
    disk.fill()
    wait_then_clear(disk, run)
    assert "StorageFullError: No room left on the disk" in message_of(finish(run))
    values = run.get_metrics()["x"]
    assert values == list(range(len(values)))
    assert len(values) > 1000


def wait_then_clear(disk: Disk, run: Run) -> None:
    """Free the disk once nothing of the run goes on, as a person would."""
    launcher = launcher_of(run)
    until(lambda: not is_running(launcher))
    time.sleep(0.5)
    assert runner_pid()
    disk.clear()


@pytest.mark.service("mount")
def test_a_disk_that_fills_while_a_job_prints(disk: Disk) -> None:
    run = on_disk(disk, "print('up', flush=True)\nfor n in range(10**7): print('line', n)")
    launcher = launcher_of(run)
    until(lambda: not is_running(launcher), 30)
    assert runner_pid()
    log = run.folder / layout.DRIVER_LOG
    assert log.read_bytes().startswith(b"up\nline 0\nline 1\n")
    assert log.stat().st_size > 2_000_000
    # As a person would who frees some room: what the run left is big, not gone.
    os.truncate(log, 1_000_000)
    details = finish(run)
    assert details["status"] == "Failed"
    assert "No space left on device" in message_of(details)


@pytest.mark.service("mount")
def test_an_exit_status_survives_a_full_disk(disk: Disk) -> None:
    # It waits for a file to go: on a full disk none can come.
    text = """
        import os, sys, time
        open('wait', 'w').close()
        print('up', flush=True)
        while os.path.exists('wait'):
            time.sleep(0.01)
        sys.exit(7)
        """
    run = on_disk(disk, text)
    until(lambda: "up" in log_of(run))
    disk.fill()
    (run.folder / "work/wait").unlink()
    wait_then_clear(disk, run)
    details = finish(run)
    assert details["error"]["error"]["exitCode"] == 7
    assert_no_orphans(run.folder)


@pytest.mark.service("mount")
def test_a_disk_without_room_for_a_snapshot_refuses_the_run(disk: Disk) -> None:
    finish(on_disk(disk, "print('first')"))
    (disk.point / "code" / "data.bin").write_bytes(os.urandom(1_000_000))
    disk.fill()
    workspace = Workspace.from_config(disk.point)
    with pytest.raises(StorageFullError, match="room") as caught:
        Experiment(workspace, "small").submit(ScriptRunConfig("code", script="train.py"))
    assert "Free" in caught.value.hint
    disk.clear()
    (first,) = Experiment(workspace, "small").get_runs()
    assert log_of(first) == "first\n"
    assert finish(on_disk(disk, "print('second')"))["status"] == "Completed"
    assert os.listdir(workspace.folder.runs)


@pytest.mark.service("mount")
def test_a_disk_without_room_to_lay_out_fails_the_run_and_says_so(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AML_SLOTS", "1")
    first = on_disk(disk, SLEEP)
    until(lambda: "up" in log_of(first))
    (disk.point / "code" / "data.bin").write_bytes(os.urandom(1_200_000))
    second = on_disk(disk, "print('never')")
    (disk.point / "code" / "data.bin").unlink()
    disk.fill()
    # Room for the records of both runs, not for the data of the second.
    os.truncate(disk.point / "ballast", (disk.point / "ballast").stat().st_size - 200_000)
    first.cancel()
    assert finish(first)["status"] == "Canceled"
    details = finish(second)
    assert details["status"] == "Failed"
    assert "room" in message_of(details)
    assert runner_pid()


@pytest.fixture
def too_big(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder with a file that the small disk has no room for, and the address of that file."""
    place = tmp_path / "served"
    place.mkdir()
    (place / "big.bin").write_bytes(os.urandom(6_000_000))
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(place))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield place, f"http://127.0.0.1:{server.server_port}/big.bin"
        server.shutdown()
        thread.join()


@pytest.mark.service("mount")
@pytest.mark.parametrize("is_at_an_address", [True, False], ids=["fetched", "copied"])
def test_a_disk_that_fills_while_data_come_fails_the_run_and_nothing_half_stays(
    disk: Disk, too_big: tuple[Path, str], is_at_an_address: bool
) -> None:
    script(disk.point / "code", "print('never')")
    workspace = Workspace.from_config(disk.point)
    Datastore.register_folder(workspace, "elsewhere", too_big[0])
    source = too_big[1] if is_at_an_address else (Datastore(workspace, "elsewhere"), "big.bin")
    data = Dataset.File.from_files(source).as_download()
    config = ScriptRunConfig("code", script="train.py", arguments=[data])
    run = Experiment(workspace, "small").submit(config)
    details = finish(run)
    assert details["status"] == "Failed"
    assert "No room left on the disk" in message_of(details)
    assert "Free some space" in message_of(details)
    assert log_of(run) == ""
    half = [path for path in disk.point.rglob("*") if path.is_file() and is_part_of(path, too_big)]
    assert half == []
    assert finish(on_disk(disk, "print('next')"))["status"] == "Completed"


def is_part_of(path: Path, too_big: tuple[Path, str]) -> bool:
    """Whether a file begins as the big one does."""
    with open(path, "rb") as file, open(too_big[0] / "big.bin", "rb") as whole:
        begin = file.read(4096)
        return bool(begin) and begin == whole.read(4096)


@pytest.mark.service("mount")
def test_a_full_disk_that_stays_full_does_not_stop_runs_elsewhere(
    disk: Disk, project: Path
) -> None:
    stuck = on_disk(disk, SLEEP)
    until(lambda: stuck.get_status() == "Running")
    disk.fill()
    launcher = launcher_of(stuck)
    for pid in processes_below(disk.point):
        if pid != launcher:
            kill(pid)
    time.sleep(0.3)
    elsewhere = submit(Experiment(Workspace.from_config(project), "e"), "print('fine')")
    assert finish(elsewhere)["status"] == "Completed"
    disk.clear()
    assert "signal 9" in message_of(finish(stuck))


class ReadOnly:
    """Makes folders read-only, as a disk with an error becomes, and writable again."""

    def __init__(self) -> None:
        self._bound: list[Path] = []

    def freeze(self, folder: Path) -> None:
        """Nothing can be written below ``folder`` from now on."""
        subprocess.run(["mount", "--bind", str(folder), str(folder)], check=True)
        self._bound.append(folder)
        subprocess.run(["mount", "-o", "remount,bind,ro", str(folder)], check=True)

    def thaw(self) -> None:
        """All is as it was."""
        while self._bound:
            subprocess.run(["umount", "-l", str(self._bound.pop())], check=True)


@pytest.fixture
def read_only() -> Iterator[ReadOnly]:
    made = ReadOnly()
    yield made
    made.thaw()


@pytest.mark.service("mount")
def test_a_run_that_can_never_start_is_refused_once_it_can_be_written(
    experiment: Experiment, read_only: ReadOnly, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("AML_FAKE_GPUS", "1x16G")
    runner.ensure_runner()  # else each submit starts one, and the later ones outlive the first
    first, second = (submit(experiment, SLEEP, resources=Resources(1)) for _ in range(2))
    until(lambda: first.get_status() == "Running" and second.get_status() == "Queued")
    kill_runner()
    read_only.freeze(second.folder)
    monkeypatch.setenv("AML_FAKE_GPUS", "")
    pid = runner.ensure_runner().pid
    until(lambda: f"{second.id}: OSError" in home().runner_log.read_text())
    assert runner_pid() == pid
    read_only.thaw()
    details = finish(second)
    assert "asks for 1 GPU, and this machine has none" in message_of(details)
    assert runner_pid() == pid


@pytest.mark.service("mount")
def test_a_read_only_run_is_finished_once_it_can_be_written(
    experiment: Experiment, read_only: ReadOnly
) -> None:
    run = submit(experiment, SLEEP)
    until(lambda: "up" in log_of(run) and run.get_status() == "Running")
    read_only.freeze(run.folder)
    launcher = launcher_of(run)
    for pid in processes_below(run.folder.parent):
        if pid != launcher:
            kill(pid)
    other = submit(experiment, "print('other')")
    assert finish(other)["status"] == "Completed"
    assert run.get_status() == "Running"
    with pytest.raises(OSError, match="Read-only"):
        run.tag("a", "1")
    read_only.thaw()
    assert "signal 9" in message_of(finish(run))


@pytest.mark.service("mount")
@pytest.mark.parametrize("has_index", [True, False], ids=["with an index", "without one"])
def test_a_read_only_workspace_can_still_be_looked_at(
    has_index: bool, experiment: Experiment, read_only: ReadOnly
) -> None:
    run = submit(experiment, "from aml_jupyter import Run; Run.get_context().log('x', 1)")
    finish(run)
    folder = experiment.workspace.folder
    if has_index:
        Index(folder)
    run.tag("since", "then")
    read_only.freeze(folder.root)
    workspace = Workspace.from_config(folder.project)
    (listed,) = workspace.runs()
    assert (listed.id, listed.status, listed.metrics) == (run.id, "Completed", {"x": 1})
    assert listed.tags == {"since": "then"}
    assert workspace.get_run(run.id).get_metrics() == {"x": 1}
    with pytest.raises(OSError, match="Read-only"):
        submit(Experiment(workspace, "test"), "print(1)")


# The index ----------------------------------------------------------------------------------


NOISE = [b"", b"noise" * 5000, b"SQLite format 3\0" + b"\xff" * 8000]


@pytest.mark.parametrize("noise", NOISE)
@pytest.mark.parametrize("is_open", [True, False], ids=["while open", "while closed"])
def test_an_index_overwritten_with_noise_is_built_again(
    noise: bytes, is_open: bool, experiment: Experiment
) -> None:
    for number in range(3):
        with experiment.start_logging(snapshot_directory=None, outputs=False) as run:
            run.log("x", float(number))
    folder = experiment.workspace.folder
    index = Index(folder)
    assert index.count() == 3
    if not is_open:
        del index
    for name in ("index.db", "index.db-wal", "index.db-shm"):
        if (folder.root / name).exists():
            (folder.root / name).write_bytes(noise)
    index = index if is_open else Index(folder)
    found = index.find(Query(by_metric="x"))
    assert [run.metrics for run in found] == [{"x": 2.0}, {"x": 1.0}, {"x": 0.0}]


@pytest.mark.parametrize("is_open", [True, False], ids=["while open", "while closed"])
@pytest.mark.parametrize("page", range(1, 16))
def test_a_spoiled_page_of_the_index_never_reaches_the_user(
    page: int, is_open: bool, experiment: Experiment
) -> None:
    with experiment.start_logging(snapshot_directory=None, outputs=False) as run:
        run.log("x", 1)
        run.tag("a", "b")
    folder = experiment.workspace.folder
    index = Index(folder)
    assert index.count() == 1
    if not is_open:
        del index
    with open(folder.root / "index.db", "r+b") as file:
        file.seek(page * 4096)
        file.write(b"\xa5" * 4096)
        # A page is read again by who has it only if the change counter says so.
        file.seek(24)
        file.write(b"\x00\x01\x00\x00")
    index = index if is_open else Index(folder)
    queries = [
        Query(),
        Query(by_metric="x"),
        Query(tag="a", tag_value="b"),
        Query(state="Completed"),
    ]
    assert [[run.metrics for run in index.find(query)] for query in queries] == [[{"x": 1}]] * 4
    assert index.locate(run.id[:20]) == run.folder


def test_an_index_deleted_while_open_is_built_again(experiment: Experiment) -> None:
    index = Index(experiment.workspace.folder)
    for path in experiment.workspace.folder.root.glob("index.*"):
        path.unlink()
    with experiment.start_logging(snapshot_directory=None, outputs=False):
        pass
    assert [run.status for run in index.find(Query())] == ["Completed"]
    for path in experiment.workspace.folder.root.glob("index.*"):
        path.unlink()
    assert index.count() == 1
    assert Index(experiment.workspace.folder).count() == 1


# Many at once -------------------------------------------------------------------------------


@pytest.mark.slow
def test_four_processes_submit_two_hundred_runs_at_once(ws: Workspace, project: Path) -> None:
    code = """
        from aml_jupyter import Experiment, ScriptRunConfig, Workspace
        experiment = Experiment(Workspace.from_config(), 'many')
        for _ in range(50):
            experiment.submit(ScriptRunConfig('code', command='true'))
        """
    (project / "code").mkdir()
    submitters = [
        subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(code)],
            cwd=project,
            env={**os.environ, "PYTHONPATH": str(ROOT), "AML_SLOTS": "4"},
        )
        for _ in range(4)
    ]
    assert [submitter.wait(60) for submitter in submitters] == [0] * 4
    until(lambda: len(ws.runs(-1, state="Completed")) == 200, 60, pause=0.1)
    runs = ws.runs(-1)
    assert sorted(run.number for run in runs) == list(range(1, 201))
    assert len({run.id for run in runs}) == 200
    until(lambda: not list(home().queue.iterdir()))
    assert_no_orphans(ws.folder.runs)


def test_a_workspace_is_made_once_by_many_at_once(project: Path) -> None:
    code = "from aml_jupyter import Workspace as W; print(W.from_config().folder.record['id'])"
    asking = [
        subprocess.Popen(
            [sys.executable, "-c", code],
            cwd=project,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
        )
        for _ in range(4)
    ]
    assert len({process.communicate(timeout=30)[0] for process in asking}) == 1


def test_an_experiment_is_made_once_by_many_at_once(project: Path) -> None:
    Workspace.from_config()
    code = """
        from aml_jupyter import Experiment, Workspace
        ws = Workspace.from_config()
        print([Experiment(ws, f'e{n}').id for n in range(40)])
        """
    asking = [
        subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(code)],
            cwd=project,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
        )
        for _ in range(3)
    ]
    assert len({process.communicate(timeout=30)[0] for process in asking}) == 1


def test_a_queue_entry_half_written_by_a_killed_submitter_is_no_run(
    experiment: Experiment,
) -> None:
    folder = experiment.workspace.folder
    home().make()
    (home().queue / "000000000001.x.json.123.abc.tmp").write_text('{"folder"')
    request = json.dumps({"format": 1, "id": "half"})[:-3]
    (folder.runs / "half").mkdir()
    (folder.runs / "half" / layout.REQUEST).write_text(request)
    queue.add(home(), folder.runs / "half", "half", {}, queue.Ask())
    run = submit(experiment, "print(1)")
    assert finish(run)["status"] == "Completed"
    assert [summary.id for summary in experiment.workspace.runs()] == [run.id]
    shutil.rmtree(folder.runs / "half")


def test_a_folder_copied_elsewhere_is_the_same_run(experiment: Experiment, tmp_path: Path) -> None:
    run = submit(experiment, COUNT)
    finish(run)
    other = WorkspaceFolder.create(tmp_path / "other")
    shutil.copytree(run.folder, other.runs / run.id, symlinks=True)
    copy = Workspace.from_config(tmp_path / "other").get_run(run.id)
    assert copy.get_metrics() == run.get_metrics()
    assert log_of(copy) == log_of(run)
    assert copy.get_details()["error"] == run.get_details()["error"]
