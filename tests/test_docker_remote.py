"""Engines that see nothing of this machine: files go in, and come back while the job runs."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from multiprocessing.connection import wait as ready
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from aml_jupyter import Environment, Experiment
from aml_jupyter import Run as WholeRun
from aml_jupyter.backends import Backend, Handle, Job, JobStatus
from aml_jupyter.backends.docker import DockerBackend
from aml_jupyter.backends.remote_archive import Going
from aml_jupyter.job import events, layout
from aml_jupyter.job.run import Run
from aml_jupyter.runner import ensure_runner
from aml_jupyter.store import WorkspaceFolder
from tests.far_backend import Far
from tests.services import docker_engine as service
from tests.services import images, sshd
from tests.support import experiment, finish, kill_runner, log_of, project, until, ws
from tests.support import submit as submit_script

__all__ = ["experiment", "project", "ws"]

pytestmark = [pytest.mark.service("docker"), pytest.mark.slow]

HIDE = 'mount -t tmpfs hidden "$0" && exec "$@"'
GOES_ON = """
import os, time
print('up', flush=True)
while not os.path.exists('/tmp/end'):
    time.sleep(0.02)
print('end')
"""


@pytest.fixture(scope="module")
def far_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[service.OwnEngine]:
    """An engine that is reached by network and does not see what tests write."""
    hidden = str(tmp_path_factory.getbasetemp())
    inside = ["unshare", "--mount", "--propagation=private", "sh", "-c", HIDE, hidden]
    listen = f"tcp://127.0.0.1:{sshd.free_port()}"
    with (
        tempfile.TemporaryDirectory(prefix="aml-dk-") as place,
        service.engine(Path(place, "e"), listen=[listen], inside=inside) as engine,
    ):
        with engine.client() as client:
            images.provide(client, images.NO_PYTHON)
        yield engine


class TestFarEngine(Far):
    @pytest.fixture(autouse=True)
    def far_away(self, far_engine: service.OwnEngine) -> None:
        (self.host,) = far_engine.listens


class FarRun:
    """A run on a far engine, looked at from here and, by docker-py, from there."""

    def __init__(self, job: Job, handle: Handle, client: Any) -> None:
        self.job, self.handle, self.folder = job, handle, job.folder
        self.backend: Backend = DockerBackend()
        self._client = client

    @property
    def status(self) -> JobStatus:
        return self.backend.poll([self.handle])[0]

    @property
    def log(self) -> bytes:
        self.backend.poll([self.handle])
        return self.backend.read(self.handle, layout.DRIVER_LOG, limit=1 << 30)

    @property
    def metrics(self) -> dict[str, Any]:
        return Run(str(self.folder)).get_metrics()

    @property
    def warnings(self) -> list[str]:
        told, _ = events.read(str(self.folder))
        return [event["message"] for event in told if event["e"] == "warning"]

    def is_up(self) -> FarRun:
        until(lambda: b"up\n" in self.log, 20)
        return self

    def inside(self, command: str) -> str:
        """What a shell command says in the container."""
        container = self._client.containers.get(self.handle["container"])
        return str(container.exec_run(["sh", "-c", command]).output.decode())

    def finish(self) -> JobStatus:
        """Let GOES_ON end; the status when the run is over."""
        self.inside("touch /tmp/end")
        return self.ended()

    def ended(self, seconds: float = 20) -> JobStatus:
        status: JobStatus = until(
            lambda: status if (status := self.status).ended else None,
            seconds,
            why=lambda: str(self.status),
        )
        return status


Submit = Callable[..., FarRun]


@pytest.fixture
def workspace(tmp_path: Path) -> WorkspaceFolder:
    return WorkspaceFolder.create(tmp_path / "project")


@pytest.fixture
def submit(far_engine: service.OwnEngine, workspace: WorkspaceFolder) -> Iterator[Submit]:
    """Submits a script or a command to the far engine; ``prepare(job)`` comes before that."""
    begun: list[FarRun] = []
    with far_engine.client() as client:

        def submitted(
            text: str = "", prepare: Callable[[Job], object] | None = None, **spec: Any
        ) -> FarRun:
            far = Far()
            far.host = spec.pop("host", far_engine.listens[0])
            job = far.make_job(workspace, text, **spec)
            if prepare:
                prepare(job)
            backend = DockerBackend()
            begun.append(FarRun(job, backend.submit(backend.plan(job)), client))
            return begun[-1]

        yield submitted
        for run in begun:
            with contextlib.suppress(Exception):
                client.containers.get(run.handle["container"]).remove(force=True)
            until(lambda run=run: run.status.ended, 20)


# While it runs -------------------------------------------------------------------------------


def test_log_metrics_and_tags_arrive_while_the_job_runs(submit: Submit) -> None:
    text = """
        import os, time
        from aml_jupyter import Run
        run = Run.get_context()
        run.log('loss', 0.5)
        run.log_list('many', [1, 2])
        run.tag('stage', 'one')
        open('outputs/early', 'w').write('early')
        """
    run = submit(dedent(text) + GOES_ON).is_up()
    until(lambda: run.metrics == {"loss": 0.5, "many": [1, 2]})
    until(lambda: Run(str(run.folder)).tags == {"stage": "one"})
    until(lambda: (run.folder / "outputs/early").exists())
    assert run.status.phase == JobStatus.RUNNING
    assert run.status.since is not None
    assert run.finish().code == 0
    assert run.log == b"up\nend\n"
    assert run.metrics == {"loss": 0.5, "many": [1, 2]}


def test_events_of_the_job_and_of_this_side_are_each_there_once(submit: Submit) -> None:
    text = """
        from aml_jupyter import Run
        run = Run.get_context()
        for n in range(20):
            run.tag(f'n{n}', str(n))
        print('tagged', run.get_tags()['before'])
        """
    run = submit(
        dedent(text) + GOES_ON,
        prepare=lambda job: events.append(str(job.folder), "tags", set={"before": "here"}),
    ).is_up()
    events.append(str(run.folder), "state", state="Running")
    until(lambda: "n19" in Run(str(run.folder)).tags)
    events.append(str(run.folder), "tags", set={"after": "here"})
    assert run.finish().code == 0
    assert b"tagged here\n" in run.log
    told = [name for event in events.read(str(run.folder))[0] for name in event.get("set", ())]
    assert told == ["before", *(f"n{n}" for n in range(20)), "after"]


def test_a_runner_that_is_killed_midway_leaves_no_hole_and_no_echo(submit: Submit) -> None:
    text = """
        import os, time
        from aml_jupyter import Run
        run = Run.get_context()
        print('up', flush=True)
        n = 0
        while not os.path.exists('/tmp/end'):
            print('line', n, flush=True)
            run.log('n', n)
            run.tag('n', str(n))
            n += 1
            time.sleep(0.01)
        """
    run = submit(text).is_up()
    for size in (2_000, 4_000):
        runner = multiprocessing.get_context("spawn").Process(target=_poll, args=(run.handle,))
        runner.start()
        until(lambda size=size: (run.folder / layout.DRIVER_LOG).stat().st_size > size)
        assert runner.pid is not None
        os.kill(runner.pid, signal.SIGKILL)
        runner.join()
    assert run.finish().code == 0
    lines = run.log.decode().splitlines()
    assert lines == ["up", *(f"line {n}" for n in range(len(lines) - 1))]
    assert run.metrics["n"] == list(range(len(lines) - 1))
    tags = [event["set"] for event in events.read(str(run.folder))[0] if event["e"] == "tags"]
    assert tags == [{"n": str(n)} for n in range(len(lines) - 1)]


def _poll(handle: Handle) -> None:
    """As a runner does, in a process of its own."""
    backend = DockerBackend()
    while True:
        backend.poll([handle])
        threading.Event().wait(0.05)


def test_a_log_arrives_from_an_image_without_python_too(submit: Submit) -> None:
    command = "echo up; until [ -e /tmp/end ]; do sleep 0.1; done; echo end; echo x >outputs/x"
    run = submit(command=command, image=images.NO_PYTHON).is_up()
    assert run.finish().code == 0
    assert run.log == b"up\nend\n"
    assert (run.folder / "outputs/x").read_text() == "x\n"


def test_the_courier_is_not_heard_of_when_the_job_cleans_up(submit: Submit) -> None:
    text = """
        import signal, sys, time
        def leave(*_):
            print('leaving', flush=True)
            open('outputs/last', 'w').write('words')
            sys.exit(3)
        signal.signal(signal.SIGTERM, leave)
        print('up', flush=True)
        time.sleep(60)
        """
    run = submit(text).is_up()
    assert run.backend.cancel(run.handle) is True
    assert run.ended().code == 3
    assert run.log == b"up\nleaving\n"
    assert (run.folder / "outputs/last").read_text() == "words"


# What is there in the end --------------------------------------------------------------------


def test_all_that_a_job_left_is_here_when_it_counts_as_over(submit: Submit) -> None:
    text = """
        import os
        os.makedirs('outputs/deep/er')
        with open('outputs/deep/er/large', 'wb') as file:
            for n in range(40):
                file.write(bytes([n]) * (1 << 20))
        open('outputs/program', 'w').write('#!/bin/sh')
        os.chmod('outputs/program', 0o755)
        os.symlink('deep/er/large', 'outputs/latest')
        os.link('outputs/program', 'outputs/same')
        os.mkdir('outputs/empty')
        open('logs/own.log', 'w').write('own')
        open('beside', 'w').write('in the working directory')
        from aml_jupyter import Run
        child = Run.get_context().child_run('child')
        child.log('x', 1.0)
        child.complete()
        """
    run = submit(text)
    assert run.ended().code == 0, run.log.decode()
    outputs = run.folder / "outputs"
    with open(outputs / "latest", "rb") as file:
        assert [set(file.read(1 << 20)) for _ in range(40)] == [{n} for n in range(40)]
    assert (outputs / "program").stat().st_mode & 0o777 == 0o755
    assert (outputs / "same").read_text() == "#!/bin/sh"
    assert (outputs / "empty").is_dir()
    assert (run.folder / "logs/own.log").read_text() == "own"
    assert (run.folder / "work/beside").read_text() == "in the working directory"
    (child,) = (run.folder / "children").iterdir()
    assert Run(str(child)).get_metrics() == {"x": 1.0}
    assert run.backend.read(run.handle, "outputs/same") == b"#!/bin/sh"


def test_only_what_changed_comes_back_of_the_working_directory(submit: Submit) -> None:
    text = "open('data/input.txt', 'a').write('!')"
    run = submit(text)
    before = (run.folder / "work/train.py").stat()
    assert run.ended().code == 0
    assert (run.folder / "work/data/input.txt").read_text() == "21!"
    assert (run.folder / "work/train.py").stat().st_ino == before.st_ino


def test_all_of_the_working_directory_comes_back_when_nobody_could_say_what_changed(
    submit: Submit,
) -> None:
    run = submit("open('beside', 'w').write('x')\n" + GOES_ON).is_up()
    run.backend.cancel(run.handle, force=True)
    assert run.ended().signal == 9
    assert (run.folder / "work/beside").read_text() == "x"


def test_what_the_job_deleted_is_gone_here_too(submit: Submit) -> None:
    text = """
        import os, time
        open('outputs/first', 'w').write('1')
        print('up', flush=True)
        while not os.path.exists('/tmp/end'):
            time.sleep(0.02)
        os.unlink('outputs/first')
        open('outputs/second', 'w').write('2')
        """
    run = submit(text).is_up()
    until(lambda: (run.folder / "outputs/first").exists())
    run.finish()
    assert [path.name for path in (run.folder / "outputs").iterdir()] == ["second"]


def test_a_link_that_leads_out_of_the_run_is_left_behind_and_said(
    submit: Submit, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("secret")
    text = f"import os; os.symlink({str(tmp_path / 'secret')!r}, 'outputs/out')"
    run = submit(text)
    assert run.ended().code == 0
    assert list((run.folder / "outputs").iterdir()) == []
    (warning,) = run.warnings
    assert "outputs/out (a link to " in warning


def test_files_travel_in_pieces(workspace: WorkspaceFolder) -> None:
    job = Far().make_job(workspace, "pass")
    with open(job.work / "large", "wb") as file:
        file.truncate(20 << 20)
    sizes = [len(piece) for piece in Going(job.folder, job.bundle, (0, 0))]
    assert sum(sizes) > 20 << 20
    assert max(sizes) <= 1 << 18


# What may come between -----------------------------------------------------------------------


class Cable:
    """A network connection to an engine that can be cut, and mended."""

    def __init__(self, host: str) -> None:
        self._to = ("127.0.0.1", int(host.rpartition(":")[2]))
        self._whole = True
        self._left: float = float("inf")
        self._ends: list[socket.socket] = []
        self._server = socket.create_server(("127.0.0.1", 0))
        self.host = f"tcp://127.0.0.1:{self._server.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Break all connections, and let no new one come about."""
        self._whole = False
        for end in self._ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def cut_after(self, size: int) -> None:
        """Break all connections when so many bytes more have come by them."""
        self._left = size

    @property
    def is_whole(self) -> bool:
        """False from the cut on until it is mended."""
        return self._whole

    def mend(self) -> None:
        """Let connections be made again."""
        self._whole = True

    def close(self) -> None:
        """End it."""
        self._server.close()
        self.cut()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._server.accept()
                if not self._whole:
                    near.close()
                    continue
                far = socket.create_connection(self._to)
                self._ends += [near, far]
                threading.Thread(target=self._carry, args=(near, far), daemon=True).start()

    def _carry(self, near: socket.socket, far: socket.socket) -> None:
        other = {near: far, far: near}
        with near, far, contextlib.suppress(OSError):
            while True:
                # Not `select.select`, which knows only the first 1024 files of a process.
                for end in ready([near, far]):
                    assert isinstance(end, socket.socket)
                    data = end.recv(1 << 16)
                    if not data:
                        return
                    other[end].sendall(data)
                    self._left -= len(data) if end is far else 0
                    if self._left < 0:
                        self._left = float("inf")
                        self.cut()


@pytest.fixture
def cable(far_engine: service.OwnEngine) -> Iterator[Cable]:
    """A connection to the far engine that a test may cut."""
    cable = Cable(far_engine.listens[0])
    yield cable
    cable.close()


def test_a_connection_that_is_cut_is_no_end_and_what_was_missed_arrives(
    submit: Submit, cable: Cable
) -> None:
    run = submit(GOES_ON, host=cable.host).is_up()
    cable.cut()
    run.inside(f"echo missed >>{run.folder}/{layout.DRIVER_LOG}")
    status = run.status
    assert status.phase == JobStatus.RUNNING
    assert "cannot be asked" in status.detail
    assert b"missed" not in run.log
    cable.mend()
    until(lambda: b"missed\n" in run.log, 20)
    assert run.finish().code == 0
    assert run.log == b"up\nmissed\nend\n"


def test_a_job_that_ends_while_nobody_can_ask_is_fetched_later(
    submit: Submit, cable: Cable
) -> None:
    run = submit(GOES_ON + "open('outputs/x', 'w').write('x')", host=cable.host).is_up()
    cable.cut()
    run.inside("touch /tmp/end")
    assert not run.status.ended
    cable.mend()
    assert run.ended().code == 0
    assert run.log == b"up\nend\n"
    assert (run.folder / "outputs/x").read_text() == "x"


def test_a_fetch_that_breaks_off_is_repeated(submit: Submit, cable: Cable) -> None:
    text = """
        with open('outputs/large', 'wb') as file:
            for n in range(60):
                file.write(bytes([n]) * (1 << 20))
        """
    run = submit(dedent(text) + GOES_ON, host=cable.host).is_up()
    cable.cut_after(30 << 20)
    run.inside("touch /tmp/end")
    until(lambda: not run.status.ended and not cable.is_whole, 20)
    assert not run.status.ended
    cable.mend()
    assert run.ended(40).code == 0
    assert [path.name for path in (run.folder / "outputs").iterdir()] == ["large"]
    with open(run.folder / "outputs/large", "rb") as file:
        assert [set(file.read(1 << 20)) for _ in range(60)] == [{n} for n in range(60)]


@pytest.mark.service("mount")
def test_a_full_disk_here_keeps_the_container_until_there_is_room(
    submit: Submit, tmp_path: Path
) -> None:
    def shrink(job: Job) -> None:
        """Give the run's outputs a disk of their own, which is small."""
        outputs.append(job.folder / "outputs")
        mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "small", str(outputs[0])]
        subprocess.run(mount, check=True)

    outputs: list[Path] = []
    run = submit("open('outputs/large', 'wb').write(b'x' * (3 << 20))", prepare=shrink)
    try:
        until(lambda: run.status and run.warnings, 20, why=lambda: str(run.status))
        status = run.status
        assert not status.ended
        assert "No room left" in status.detail
        assert "No room left" in run.warnings[0]
        grow = ["mount", "-o", "remount,size=8m", str(outputs[0])]
        subprocess.run(grow, check=True)
        assert run.ended().code == 0
        assert (outputs[0] / "large").stat().st_size == 3 << 20
        assert len(run.warnings) == 1
    finally:
        subprocess.run(["umount", "-l", str(outputs[0])], check=True)


def test_a_container_that_was_removed_leaves_what_had_come(submit: Submit) -> None:
    run = submit(GOES_ON).is_up()
    container = run._client.containers.get(run.handle["container"])
    container.remove(force=True)
    status = run.ended()
    assert status.code is None
    assert "removed" in status.detail
    assert run.log == b"up\n"


# Whole runs ----------------------------------------------------------------------------------


@pytest.fixture
def far_experiment(
    far_engine: service.OwnEngine, experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> Experiment:
    """An experiment whose runs in Docker go to the far engine."""
    monkeypatch.setenv("DOCKER_HOST", far_engine.listens[0])
    return experiment


def in_docker(to: Experiment, text: str) -> WholeRun:
    """A run of a script, just submitted to the far engine."""
    environment = Environment.from_docker_image("given", images.BASE)
    return submit_script(to, text, compute_target="docker", environment=environment)


TRAINS = """
    import os, time
    from aml_jupyter import Run
    run = Run.get_context()
    n = 0
    print('up', flush=True)
    while 'go' not in os.listdir('/tmp'):
        run.log('n', n)
        n += 1
        time.sleep(0.01)
    run.tag('n', str(n))
    open('outputs/model', 'w').write(str(n))
    print('over')
    """


def test_a_run_far_away_looks_like_one_from_here(
    far_experiment: Experiment, far_engine: service.OwnEngine
) -> None:
    run = in_docker(far_experiment, TRAINS)
    until(lambda: log_of(run) == "up\n", 30, why=lambda: str(run.get_details()))
    until(lambda: run.get_status() == "Running")
    until(lambda: len(run.get_metrics().get("n", ())) > 20)
    kill_runner()
    let_end(far_engine, run)
    ensure_runner()
    details = finish(run, 30)
    assert details["status"] == "Completed", details
    assert log_of(run) == "up\nover\n"
    count = int(run.get_tags()["n"])
    assert run.get_metrics()["n"] == list(range(count))
    assert (run.folder / "outputs/model").read_text() == str(count)
    assert "outputs/model" in run.get_file_names()
    with far_engine.client() as client:
        label = f"aml.run={run.id}"
        of_run: Any = {"all": True, "filters": {"label": label}, "ignore_removed": True}
        until(lambda: not client.containers.list(**of_run))


def let_end(engine: service.OwnEngine, run: WholeRun) -> None:
    """Let TRAINS come to its end."""
    with engine.client() as client:
        (container,) = client.containers.list(filters={"label": f"aml.run={run.id}"})
        container.exec_run(["touch", "/tmp/go"])


def test_a_run_far_away_can_be_cancelled(far_experiment: Experiment) -> None:
    run = in_docker(far_experiment, TRAINS)
    until(lambda: "up" in log_of(run), 30)
    run.cancel()
    assert finish(run, 30)["status"] == "Canceled"


# By ssh --------------------------------------------------------------------------------------


@pytest.mark.service("sshd")
class TestBySsh:
    @pytest.fixture(autouse=True)
    def server(
        self, far_engine: service.OwnEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> Iterator[sshd.Server]:
        with sshd.server(tmp_path / "ssh") as server:
            monkeypatch.setenv("PATH", f"{server.programs}:{os.environ['PATH']}")
            yield server

    def test_a_run_goes_there_and_comes_back(
        self, submit: Submit, far_engine: service.OwnEngine, server: sshd.Server
    ) -> None:
        text = "from aml_jupyter import Run\nRun.get_context().log('x', 1.0)\n"
        text += "open('outputs/model', 'w').write('m')\n" + GOES_ON
        there = f"ssh://{server.user}@127.0.0.1:{server.port}{far_engine.folder}/docker.sock"
        run = submit(text, host=there).is_up()
        until(lambda: run.metrics == {"x": 1.0})
        assert run.finish().code == 0
        assert run.log == b"up\nend\n"
        assert (run.folder / "outputs/model").read_text() == "m"
        assert json.loads((run.folder / layout.EXIT).read_bytes())["code"] == 0
