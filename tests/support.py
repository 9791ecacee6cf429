"""What several test files need: a workspace with real runs in it, and eyes on real processes."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from aml_jupyter import Experiment, Run, ScriptRunConfig, Workspace
from aml_jupyter.environments.shelf import Shelf, root
from aml_jupyter.home import home
from aml_jupyter.job import events, layout
from tests.conftest import stop_runner

__all__ = ["experiment", "project", "ws"]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder that the test works in; nothing that ran below it outlives the test."""
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("AML_RUNNER_IDLE_SECONDS", "20")
    monkeypatch.setenv("AML_CANCEL_GRACE", "0.5")
    yield folder
    # First who would start the next in line when a job is ended.
    stop_runner(home().state)
    for pid in processes_below(tmp_path):
        kill(pid)


@pytest.fixture
def ws(project: Path) -> Workspace:
    """A workspace of the project's own."""
    return Workspace.from_config()


@pytest.fixture
def experiment(ws: Workspace) -> Experiment:
    """An experiment in it."""
    return Experiment(ws, "test")


def script(folder: Path, text: str, name: str = "train.py") -> str:
    """Write a script below ``folder`` and return its name."""
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(textwrap.dedent(text))
    return name


def submit(to: Experiment, text: str, **options: Any) -> Run:
    """The run of a script with this text, just submitted from a folder of its own."""
    source = to.workspace.folder.project.parent / f"source-{os.urandom(3).hex()}"
    source.mkdir()
    run_id = options.pop("run_id", None)
    tags = options.pop("tags", None)
    resources = options.pop("resources", None)
    config = ScriptRunConfig(str(source), script=script(source, text), **options)
    return to.submit(config, tags=tags, run_id=run_id, resources=resources)


def finish(run: Run, seconds: float = 20) -> dict[str, Any]:
    """The details of the run once it has ended."""
    until(
        lambda: run.get_status() in ("Completed", "Failed", "Canceled"),
        seconds,
        why=lambda: (run.folder / layout.EVENTS).read_text()[-2000:],
    )
    return run.get_details()


def remains_of_a_build(used: float) -> str:
    """Leave what a build of an environment that failed leaves, used last at that time; its key."""
    key = os.urandom(10).hex()
    Shelf.of(key).make().log.write_text("it was built\n")
    os.utime(root() / key, (used, used))
    return key


def until(
    holds: Callable[[], Any],
    seconds: float = 10,
    pause: float = 0.01,
    why: Callable[[], str] = str,
) -> Any:
    """What ``holds`` returns once that is true; the test fails when it takes too long."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = holds()
        if found:
            return found
        time.sleep(pause)
    found = holds()
    assert found, f"still not so after {seconds} s; {why()}\n{_runner_said()}"
    return found


def _runner_said() -> str:
    path = home().runner_log
    return path.read_text(errors="replace")[-3000:] if path.exists() else "no runner spoke"


LEASE_BACK_WITHIN = 5.0
"""Seconds from the death of a job to the end of its lease: two are promised, and others compute."""


def time_of(run: Run, kind: str) -> float:
    """When the run first had an event of that kind."""
    return next(each["t"] for each in events.read(str(run.folder))[0] if each["e"] == kind)


def log_of(run: Run) -> str:
    """The text of the run's driver log."""
    return log_bytes(run).decode(errors="replace")


def log_bytes(run: Run) -> bytes:
    """The driver log as it is; empty when there is none."""
    path = run.folder / layout.DRIVER_LOG
    return path.read_bytes() if path.exists() else b""


def states_of(run: Run) -> list[str]:
    """All states the run has been in, in order, as its events tell them."""
    return [event["state"] for event in events.read(str(run.folder))[0] if event["e"] == "state"]


def message_of(details: dict[str, Any]) -> str:
    """What the run says of its failure."""
    return str(details["error"]["error"]["message"])


LINKS = """
    import os, time
    run, away = os.environ["AML_RUN_FOLDER"], {away!r}
    print("up", flush=True)
    os.unlink("outputs")
    os.mkdir("outputs")
    open("outputs/planted", "w").write("planted")
    for name in ("azureml-logs", "job", "logs", "metrics", "outputs", "system"):
        path = f"{{run}}/{{name}}"
        if os.path.exists(path):
            os.rename(path, f"{{path}}.own")
        os.symlink(f"{{away}}/folder", path)
    for name in ("environment.lock", "events.jsonl"):
        if os.path.exists(f"{{run}}/{{name}}"):
            os.unlink(f"{{run}}/{{name}}")
        os.symlink(f"{{away}}/file", f"{{run}}/{{name}}")
    time.sleep(2)
    os._exit(0)
    """
"""A job that puts links to elsewhere where others write into its run's folder."""


class Elsewhere:
    """Files that are no run's business, and whether they are as they were."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "folder").mkdir(parents=True)
        (folder / "file").write_text("mine\n")
        for name in ("70_driver_log.txt", "container.json", "metric.bin", "metric.names"):
            (folder / "folder" / name).write_bytes(bytes(100))
        self._were = self._are()

    def is_untouched(self) -> bool:
        """Whether nothing was written, made or removed."""
        return self._are() == self._were

    def _are(self) -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in self.folder.rglob("*") if path.is_file()}


# Processes ----------------------------------------------------------------------------------


def runner_pid() -> int:
    """The pid in the runner's lock; 0 when there is none, or it is gone."""
    try:
        found = re.search(rb"\d+", home().lock.read_bytes())
    except FileNotFoundError:
        return 0
    pid = int(found[0]) if found else 0
    return pid if pid and is_running(pid) else 0


def is_running(pid: int) -> bool:
    """False for a process that is gone or a zombie."""
    try:
        state = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0]
    except OSError:
        return False
    return state not in (b"Z", b"X")


def kill(pid: int, number: int = signal.SIGKILL) -> None:
    """Send a signal to a process that may be gone already."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def kill_runner() -> int:
    """Kill the runner as the kernel would, and return when it is gone."""
    pid = until(runner_pid)
    kill(pid)
    until(lambda: not is_running(pid))
    return int(pid)


def launcher_of(run: Run) -> int:
    """The pid of the process that waits for the job."""
    claim = until(lambda: layout.read_json(str(run.folder / layout.CLAIM)))
    return int(claim["pid"])


def processes_below(folder: Path) -> list[int]:
    """The pids of everything that belongs to a run below ``folder``, by its environment."""
    mark = os.fsencode(f"\0{layout.FOLDER_VARIABLE}={folder}/")
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid():
            try:
                environment = b"\0" + Path(f"/proc/{name}/environ").read_bytes()
            except OSError:
                continue
            if mark in environment and is_running(int(name)):
                found.append(int(name))
    return found


def assert_no_orphans(folder: Path) -> None:
    """Nothing that belongs to a run below ``folder`` is alive, at once or very soon."""
    until(lambda: not processes_below(folder), 2)


# Interpreters -------------------------------------------------------------------------------

VERSIONS = ("3.8", "3.9", "3.10", "3.11", "3.12", "3.13", "3.14")


@cache
def interpreter(version: str) -> str | None:
    """A Python of that version on this machine, if there is one."""
    if version == f"{sys.version_info[0]}.{sys.version_info[1]}":
        return sys.executable
    shims = os.environ.get("PYENV_ROOT") or os.path.expanduser("~/.pyenv")
    candidates = [shutil.which(f"python{version}")]
    candidates += sorted(map(str, Path(shims).glob(f"versions/{version}.*/bin/python")))
    for path in filter(None, candidates):
        tried = subprocess.run([path, "-c", "0"], capture_output=True, check=False)
        if tried.returncode == 0:
            return path
    return None
