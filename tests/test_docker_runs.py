"""Whole runs in containers of a real engine: from submit to the end, whatever goes wrong."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import socket
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from multiprocessing.connection import wait as ready
from pathlib import Path
from typing import Any

import docker.errors
import pytest

from aml_jupyter import (
    DataReference,
    Dataset,
    Datastore,
    Environment,
    Experiment,
    OutputFileDatasetConfig,
    PyTorchConfiguration,
    Run,
    ScriptRunConfig,
    Workspace,
)
from aml_jupyter.backends.docker_plan import HOME, name_for
from aml_jupyter.home import home
from aml_jupyter.job import events, layout, states
from aml_jupyter.runner import ensure_runner
from aml_jupyter.spec import DEFAULT_GPU_IMAGE, CondaDependencies, DockerConfiguration, Resources
from aml_jupyter.store.event_files import Point, event_file
from aml_jupyter.workspace.amlcompute import AmlCompute
from aml_jupyter.workspace.compute_target import ComputeTarget
from tests.services import docker_engine as docker_service
from tests.services import images
from tests.support import (
    LINKS,
    Elsewhere,
    experiment,
    finish,
    is_running,
    kill_runner,
    log_of,
    message_of,
    project,
    script,
    states_of,
    until,
    ws,
)

__all__ = ["experiment", "project", "ws"]

pytestmark = pytest.mark.service("docker")

LONG = 60.0
StartEngine = Callable[..., docker_service.OwnEngine]
WAITS = """
    import os, time
    from aml_jupyter import Run
    run = Run.get_context()
    run.log("loss", 1)
    open("outputs/begun", "a").write("x")
    print("up", flush=True)
    while not os.path.exists("outputs/go"):
        time.sleep(0.02)
    run.log("loss", 0)
    print("over", flush=True)
    """
STUBBORN = """
    import signal, time
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print("up", flush=True)
    time.sleep(300)
    """


class Engine:
    """The engine that a test's runs go to, and what is there of them."""

    def __init__(self, client: Any) -> None:
        self.api = client.api
        self.images = client.images

    def containers(self) -> list[dict[str, Any]]:
        """All containers of this test's runs, running or not."""
        label = f"{HOME}={home().state}"
        return list(self.api.containers(all=True, filters={"label": [label]}))

    def of(self, run: Run) -> dict[str, Any]:
        """All that the engine knows of the container of one run."""
        return dict(self.api.inspect_container(name_for(str(run.folder))))

    def remove_containers(self) -> None:
        """Remove what a test left or kept."""
        for container in self.containers():
            self.api.remove_container(container["Id"], force=True, v=True)

    def has_nothing_left(self) -> None:
        """Fail unless every container of this test is gone, now or very soon."""
        until(
            lambda: not self.containers(),
            why=lambda: str([each["Names"] for each in self.containers()]),
        )


@pytest.fixture
def engine(
    docker_engine: docker_service.Engine,
    base_image: str,
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Engine]:
    """The engine for the test's runs, which must leave no container in it."""
    monkeypatch.setenv("DOCKER_HOST", docker_engine.host)
    with docker_engine.client() as client:
        engine = Engine(client)
        try:
            yield engine
            engine.has_nothing_left()
        finally:
            engine.remove_containers()


@pytest.fixture
def start_engine(project: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StartEngine]:
    """Starts an engine for the test's runs that the test may stop."""
    with contextlib.ExitStack() as stack:

        def start(**options: Any) -> docker_service.OwnEngine:
            place = stack.enter_context(tempfile.TemporaryDirectory(prefix="aml-dk-"))
            own = stack.enter_context(docker_service.engine(Path(place, "e"), **options))
            monkeypatch.setenv("DOCKER_HOST", own.host)
            return own

        yield start


def nothing_is_left_in(own: docker_service.OwnEngine) -> None:
    """Fail unless all containers are gone, now or very soon: those of runs, and of builds."""
    with own.client() as client:
        names = partial(_names_in, client.api)
        until(lambda: not names(), why=lambda: str(names()))


def _names_in(api: Any) -> list[str]:
    return [f"{each['Names']} {each['Command']}" for each in api.containers(all=True)]


def in_docker(
    to: Experiment, text: str, environment: Environment | str = images.BASE, **details: Any
) -> Run:
    """The run of a script in an image, just submitted to the docker target."""
    if isinstance(environment, str):
        environment = Environment.from_docker_image("given", environment)
    how = {name: details.pop(name) for name in ("resources", "options") if name in details}
    source = Path(tempfile.mkdtemp(prefix="source-", dir=to.workspace.folder.project.parent))
    details = {"compute_target": "docker", "environment": environment, **details}
    return to.submit(ScriptRunConfig(str(source), script(source, text), **details), **how)


def goes_on(run: Run) -> None:
    """Let a run of ``WAITS`` come to its end."""
    (run.folder / "outputs/go").touch()


def is_up(run: Run) -> None:
    """Return when the run's script has said ``up``."""
    until(lambda: "up" in log_of(run), LONG, why=lambda: f"{states_of(run)} {log_of(run)}")


def warnings_of(run: Run) -> str:
    """All that the run was warned of, as one text."""
    told = events.read(str(run.folder))[0]
    return "\n".join(event["message"] for event in told if event["e"] == "warning")


def build_log(run: Run) -> str:
    """What the run says of how its environment was built."""
    return (run.folder / layout.BUILD_LOG).read_text()


# A run in a container ------------------------------------------------------------------------


def test_log_and_metrics_are_live_and_nothing_is_left_of_the_container(
    engine: Engine, experiment: Experiment
) -> None:
    run = in_docker(experiment, WAITS)
    is_up(run)
    until(lambda: run.get_metrics() == {"loss": 1})
    until(lambda: run.get_status() == states.RUNNING)
    assert engine.of(run)["State"]["Running"]
    goes_on(run)
    assert finish(run)["status"] == states.COMPLETED
    assert run.get_metrics() == {"loss": [1, 0]}
    assert log_of(run) == "up\nover\n"
    lock = (run.folder / layout.ENVIRONMENT_LOCK).read_text()
    assert f"image: {images.BASE}" in lock
    assert "pip==" in lock
    order = [state for state in states_of(run) if state != states.NOT_STARTED]
    assert order.index(states.STARTING) < order.index(states.RUNNING) < len(order) - 1


def test_v1s_docker_configuration_makes_a_container_of_a_local_run(
    engine: Engine, experiment: Experiment
) -> None:
    run = in_docker(
        experiment,
        "import os; print(os.readlink('/proc/self/ns/pid'))",
        compute_target="local",
        docker_runtime_config=DockerConfiguration(use_docker=True),
    )
    assert finish(run, LONG)["status"] == states.COMPLETED
    assert log_of(run).strip() not in ("", os.readlink("/proc/self/ns/pid"))


def test_a_container_is_kept_when_that_is_asked_for(engine: Engine, experiment: Experiment) -> None:
    run = in_docker(experiment, "print(1)", options={"keep": True})
    assert finish(run, LONG)["status"] == states.COMPLETED
    until(lambda: "was kept" in warnings_of(run))
    assert engine.of(run)["Name"] == f"/{name_for(str(run.folder))}"
    engine.remove_containers()


def test_a_run_on_an_engine_elsewhere_is_live_and_its_files_come_back(
    engine: Engine, experiment: Experiment
) -> None:
    text = """
        import os, time
        from aml_jupyter import Run
        run = Run.get_context()
        run.log("loss", 1)
        print("up", flush=True)
        while not os.path.exists("/tmp/go"):
            time.sleep(0.02)
        open("outputs/model", "w").write("m")
        run.log("loss", 0)
        """
    run = in_docker(experiment, text, options={"local": False})
    is_up(run)
    until(lambda: run.get_metrics() == {"loss": 1})
    assert engine.of(run)["Mounts"] == []
    api = engine.api
    api.exec_start(api.exec_create(name_for(str(run.folder)), ["touch", "/tmp/go"]))
    assert finish(run, LONG)["status"] == states.COMPLETED
    assert run.get_metrics() == {"loss": [1, 0]}
    assert (run.folder / "outputs/model").read_text() == "m"


@pytest.mark.parametrize("is_local", [True, False], ids=["here", "elsewhere"])
def test_processes_of_a_job_meet_in_a_container_and_their_event_files_are_live(
    is_local: bool, engine: Engine, experiment: Experiment
) -> None:
    data = b"".join(event_file([Point("loss", 3, 100.0, 0.5)], 100.0))
    text = f"""
        import os, socket, time
        from aml_jupyter import Run
        rank, address = int(os.environ["RANK"]), ("127.0.0.1", int(os.environ["MASTER_PORT"]))
        if rank == 0:
            os.mkdir("logs/train")
            open("logs/train/events.out.tfevents.1", "wb").write({data!r})
            said = socket.create_server(address).accept()[0].recv(9)
            while not os.path.exists("/tmp/go"):
                time.sleep(0.02)
        while rank:
            try:
                socket.create_connection(address).sendall(b"hello")
                break
            except ConnectionRefusedError:
                time.sleep(0.01)
        Run.get_context().log("rank", rank)
        print(rank, said if rank == 0 else "")
        """
    job = PyTorchConfiguration("Gloo", 2)
    run = in_docker(
        experiment, text, distributed_job_config=job, options=None if is_local else {"local": False}
    )
    until(lambda: run.get_metrics("train/loss"), LONG, why=lambda: log_of(run))
    api = engine.api
    api.exec_start(api.exec_create(name_for(str(run.folder)), ["touch", "/tmp/go"]))
    assert finish(run, LONG)["status"] == states.COMPLETED, log_of(run)
    assert run.get_metrics() == {"train/loss": 0.5, "rank": [1, 0]}
    logs = [run.folder / f"azureml-logs/70_driver_log{end}.txt" for end in ("", "_0", "_1")]
    assert [path.read_text() for path in logs] == ["0 b'hello'\n", "0 b'hello'\n", "1 \n"]


# Data -----------------------------------------------------------------------------------------

USES_DATA = """
    import os, sys
    from aml_jupyter import Run
    run = Run.get_context()
    wanted = ("folder", "several", "there", "copied")
    folder, several, there, copied = (run.input_datasets[name] for name in wanted)
    def texts(path):
        found = [f"{at}/{name}" for at, _, names in sorted(os.walk(path)) for name in sorted(names)]
        return [open(each).read() for each in found]
    print([texts(path) for path in (folder, several, there, copied)], there)
    reference = os.environ["AZUREML_DATAREFERENCE_reference"]
    print(run.input_datasets["direct"].to_path(), texts(reference))
    for path in (folder, several, there):
        try:
            place = next(place for place, _, names in os.walk(path) if "a.txt" in names)
            open(f"{place}/a.txt", "w").write("spoiled")
            print("written")
        except OSError:
            print("only to be read")
    open(f"{copied}/a.txt", "w").write("changed")
    for name, path in run.output_datasets.items():
        open(f"{path}/{name}", "w").write(name)
    """


def data_for(ws: Workspace) -> tuple[Datastore, list[Any]]:
    """The default datastore with two files, and USES_DATA's arguments."""
    store = Datastore.get_default(ws)
    for name in ("a", "b"):
        path = Path(store.root, "data", name, f"{name}.txt")
        path.parent.mkdir(parents=True)
        path.write_text(name.upper())
    Path(store.root, "data", "a.txt").write_text("top")
    folder = Dataset.File.from_files((store, "data/"))
    several = Dataset.File.from_files([(store, "data/a.txt"), (store, "data/b/b.txt")])
    return store, [
        folder.as_named_input("folder").as_mount(),
        several.as_named_input("several").as_mount(),
        several.as_named_input("there").as_mount("/data/there"),
        folder.as_named_input("copied").as_download(),
        folder.as_named_input("direct"),
        DataReference(store, "reference", "data/b"),
        OutputFileDatasetConfig("live", (store, "made/live")).register_on_complete("made"),
        OutputFileDatasetConfig("sent", (store, "made/sent")).as_upload(),
    ]


@pytest.mark.parametrize("is_here", [True, False])
def test_data_are_bound_or_copied_into_a_container(
    engine: Engine, experiment: Experiment, is_here: bool
) -> None:
    store, given = data_for(experiment.workspace)
    run = in_docker(experiment, USES_DATA, arguments=given, options={"local": is_here})
    details = finish(run, LONG)
    assert details["status"] == states.COMPLETED, f"{details.get('error')} {log_of(run)}"
    both = ["top", "A", "B"]
    lines = log_of(run).splitlines()
    assert lines[0] == f"{[both, ['top', 'B'], ['top', 'B'], both]} /data/there"
    assert lines[1] == "['/a/a.txt', '/a.txt', '/b/b.txt'] ['B']"
    if is_here:
        assert lines[2:] == ["only to be read"] * 3
    assert Path(store.root, "data/a.txt").read_text() == "top"
    assert Path(store.root, "made/live/live").read_text() == "live"
    assert Path(store.root, "made/sent/sent").read_text() == "sent"
    assert Dataset.get_by_name(experiment.workspace, "made").to_path() == ["/live"]
    assert not (run.folder / layout.MOUNTS).exists()


# Runners that are killed ----------------------------------------------------------------------


class Gate:
    """A way to an engine that hears what it is asked, and can hold a request or its answer."""

    def __init__(self, host: str, path: Path) -> None:
        self.host = f"unix://{path}"
        self.heard = b""
        self.is_silent = self.is_shut = False
        self.holds_it = threading.Event()
        self._to = host.removeprefix("unix://")
        self._word, self._holds_answer, self._drops = b"", False, False
        self._open = threading.Event()
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(str(path))
        self._server.listen(64)
        threading.Thread(target=self._accept, daemon=True).start()

    def hold(self, word: bytes, answer: bool = False) -> None:
        """Hold the next request that has this word in it, or only keep its answer back."""
        self._holds_answer, self._word = answer, word

    def let_go(self, drop: bool = False) -> None:
        """Let what is held go on, or never arrive."""
        self._drops = drop
        self._open.set()

    def close(self) -> None:
        """End it."""
        self.is_silent = False
        self.let_go(drop=True)
        self._server.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._server.accept()
                if self.is_shut:
                    near.close()
                    continue
                far = socket.socket(socket.AF_UNIX)
                try:
                    far.connect(self._to)
                except OSError:  # the engine is away
                    near.close()
                    far.close()
                    continue
                threading.Thread(target=self._carry, args=(near, far), daemon=True).start()

    def _carry(self, near: socket.socket, far: socket.socket) -> None:
        is_it = False
        with near, far, contextlib.suppress(OSError):
            while True:
                # Not `select.select`, which knows only the first 1024 files of a process.
                for end in ready([near, far]):
                    assert isinstance(end, socket.socket)
                    data = end.recv(1 << 16)
                    while self.is_silent:
                        time.sleep(0.05)
                    if self.is_shut:
                        return
                    if end is near:
                        self.heard += data
                        if self._word and self._word in data:
                            is_it, self._word = True, b""
                    if is_it and (end is far) == self._holds_answer:
                        self.holds_it.set()
                        self._open.wait()
                        is_it = False
                        if self._drops:
                            return
                    if not data:
                        return
                    (far if end is near else near).sendall(data)


@contextlib.contextmanager
def gate_to(host: str) -> Iterator[Gate]:
    """A gate on the way to that engine, for the block."""
    with tempfile.TemporaryDirectory(prefix="aml-gate-") as place:
        gate = Gate(host, Path(place, "s"))
        try:
            yield gate
        finally:
            gate.close()


@pytest.fixture
def gate(
    engine: Engine, docker_engine: docker_service.Engine, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Gate]:
    """The way to the engine for all that the test's runs ask of it."""
    with gate_to(docker_engine.host) as gate:
        monkeypatch.setenv("DOCKER_HOST", gate.host)
        yield gate


def test_a_runner_killed_while_the_job_runs_is_followed_by_one_that_takes_it_on(
    engine: Engine, experiment: Experiment
) -> None:
    run = in_docker(experiment, WAITS)
    is_up(run)
    container = engine.of(run)["Id"]
    kill_runner()
    ensure_runner()
    assert engine.of(run)["Id"] == container
    goes_on(run)
    assert finish(run)["status"] == states.COMPLETED
    assert log_of(run) == "up\nover\n"
    assert (run.folder / "outputs/begun").read_text() == "x"
    assert run.get_metrics() == {"loss": [1, 0]}


def test_a_job_that_ends_while_no_runner_looks_is_told_by_the_next(
    engine: Engine, experiment: Experiment
) -> None:
    run = in_docker(experiment, f"{WAITS.rstrip()}\n    raise SystemExit(5)")
    is_up(run)
    kill_runner()
    goes_on(run)
    until(lambda: not engine.of(run)["State"]["Running"])
    details = finish(run)
    assert details["status"] == states.FAILED
    assert "exit code 5" in message_of(details)


held = pytest.mark.parametrize(
    ("word", "answer"),
    [
        (b"/containers/create", False),
        (b"/containers/create", True),
        (b"/start ", False),
        (b"/start ", True),
    ],
    ids=["not made", "made unheard", "not started", "started unheard"],
)


def killed_while_starting(gate: Gate, to: Experiment, word: bytes, answer: bool) -> Run:
    """A run whose runner was killed when it asked this, or before it was answered."""
    finish(in_docker(to, "print('the environment is known')"), LONG)
    gate.hold(word, answer)
    run = in_docker(to, WAITS)
    assert gate.holds_it.wait(LONG), states_of(run)
    kill_runner()
    gate.let_go(drop=True)
    return run


@pytest.mark.slow
@held
def test_a_runner_killed_while_it_starts_the_job_starts_it_once(
    gate: Gate, engine: Engine, experiment: Experiment, word: bytes, answer: bool
) -> None:
    run = killed_while_starting(gate, experiment, word, answer)
    ensure_runner()
    is_up(run)
    goes_on(run)
    assert finish(run)["status"] == states.COMPLETED
    assert (run.folder / "outputs/begun").read_text() == "x"
    assert log_of(run) == "up\nover\n"
    assert states_of(run).count(states.RUNNING) == 1


@pytest.mark.slow
@held
def test_a_run_canceled_while_nobody_knows_of_its_container_leaves_none(
    gate: Gate, engine: Engine, experiment: Experiment, word: bytes, answer: bool
) -> None:
    run = killed_while_starting(gate, experiment, word, answer)
    run.cancel()
    assert finish(run, LONG)["status"] == states.CANCELED
    engine.has_nothing_left()
    assert "over" not in log_of(run)


# Engines that stop ----------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.service("root")
def test_a_run_ends_with_an_engine_that_ends_its_containers_and_says_why(
    start_engine: StartEngine, experiment: Experiment
) -> None:
    own = start_engine()
    run = in_docker(experiment, WAITS)
    is_up(run)
    own.stop()
    details = finish(run, LONG)
    assert details["status"] == states.FAILED
    assert "live-restore" in message_of(details)
    assert log_of(run) == "up\n"
    own.start()
    again = run.rerun()
    is_up(again)
    goes_on(again)
    assert finish(again)["status"] == states.COMPLETED
    nothing_is_left_in(own)


@pytest.mark.slow
@pytest.mark.service("root")
def test_a_run_goes_on_without_its_engine_where_that_is_set_so(
    start_engine: StartEngine, experiment: Experiment
) -> None:
    own = start_engine(live_restore=True)
    run = in_docker(experiment, WAITS)
    is_up(run)
    own.stop()
    until(lambda: "cannot be asked" in warnings_of(run), LONG)
    assert run.get_status() == states.RUNNING
    own.start()
    goes_on(run)
    assert finish(run)["status"] == states.COMPLETED
    assert log_of(run) == "up\nover\n"
    assert run.get_metrics() == {"loss": [1, 0]}
    nothing_is_left_in(own)


@pytest.mark.slow
@pytest.mark.service("root")
@pytest.mark.parametrize("live_restore", [False, True])
def test_an_engine_that_is_killed_during_a_run_takes_it_on_or_ends_it_when_it_is_back(
    live_restore: bool, start_engine: StartEngine, experiment: Experiment
) -> None:
    own = start_engine(live_restore=live_restore)
    run = in_docker(experiment, WAITS)
    is_up(run)
    own.kill()
    until(lambda: "cannot be asked" in warnings_of(run), LONG)
    assert run.get_status() == states.RUNNING
    own.start()
    if live_restore:
        goes_on(run)
        assert finish(run, LONG)["status"] == states.COMPLETED
        assert log_of(run) == "up\nover\n"
    else:
        details = finish(run, LONG)
        assert details["status"] == states.FAILED
        assert "live-restore" in message_of(details)
    nothing_is_left_in(own)


def test_an_answer_that_is_lost_in_mid_start_starts_no_second_job(
    gate: Gate, engine: Engine, experiment: Experiment
) -> None:
    finish(in_docker(experiment, "print('the environment is known')"), LONG)
    gate.hold(b"/start ", answer=True)
    run = in_docker(experiment, WAITS)
    assert gate.holds_it.wait(LONG)
    gate.let_go(drop=True)
    is_up(run)
    goes_on(run)
    assert finish(run, LONG)["status"] == states.COMPLETED
    assert (run.folder / "outputs/begun").read_text() == "x"
    assert "It is asked again for a while." in warnings_of(run)
    assert states_of(run).count(states.STARTING) == 1


def test_an_engine_that_is_silent_keeps_no_run_waiting_that_is_not_its_own(
    gate: Gate,
    engine: Engine,
    docker_engine: docker_service.Engine,
    experiment: Experiment,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AML_SLOTS", "3")
    lost = in_docker(experiment, WAITS, options={"local": False})
    is_up(lost)
    other = in_docker(experiment, WAITS, options={"host": docker_engine.host})
    is_up(other)
    gate.is_silent = True
    lost.cancel()
    local = in_docker(experiment, "print('here')", Environment("bare"), compute_target="local")
    assert finish(local)["status"] == states.COMPLETED
    goes_on(other)
    assert finish(other)["status"] == states.COMPLETED
    assert lost.get_status() == states.CANCEL_REQUESTED
    gate.is_silent = False
    assert finish(lost, LONG)["status"] == states.CANCELED


def test_a_canceled_run_ends_without_an_engine_that_does_not_come_back(
    gate: Gate, engine: Engine, experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AML_ENGINE_PATIENCE", "2")
    run = in_docker(experiment, STUBBORN, options={"local": False})
    is_up(run)
    gate.is_shut = True
    until(lambda: "cannot be asked" in warnings_of(run), LONG)
    assert run.get_status() == states.RUNNING
    run.cancel()
    assert finish(run, LONG)["status"] == states.CANCELED
    assert "its container may still run" in warnings_of(run)
    assert engine.of(run)["State"]["Running"]
    gate.is_shut = False
    finish(in_docker(experiment, "print(1)", options={"local": False}), LONG)
    engine.has_nothing_left()


@pytest.mark.parametrize("is_canceled", [False, True])
def test_a_job_whose_start_was_never_answered_is_removed_when_the_engine_is_back(
    is_canceled: bool,
    gate: Gate,
    engine: Engine,
    experiment: Experiment,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AML_ENGINE_PATIENCE", "2")
    finish(in_docker(experiment, "print('the environment is known')"), LONG)
    gate.hold(b"/start ", answer=True)
    run = in_docker(experiment, WAITS)
    assert gate.holds_it.wait(LONG)
    gate.is_shut = True
    gate.let_go(drop=True)
    if is_canceled:
        run.cancel()
    details = finish(run, LONG)
    assert details["status"] == (states.CANCELED if is_canceled else states.FAILED)
    is_up(run)
    gate.is_shut = False
    assert finish(in_docker(experiment, "print(1)"), LONG)["status"] == states.COMPLETED
    engine.has_nothing_left()


@pytest.mark.slow
@pytest.mark.service("root")
@pytest.mark.parametrize("comes_back", [True, False])
def test_a_run_whose_turn_comes_while_the_engine_is_away_waits_for_it_a_while(
    comes_back: bool,
    start_engine: StartEngine,
    experiment: Experiment,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AML_SLOTS", "1")
    monkeypatch.setenv("AML_ENGINE_PATIENCE", "60" if comes_back else "2")
    own = start_engine(live_restore=True)
    first, second = in_docker(experiment, WAITS), in_docker(experiment, "print('here')")
    is_up(first)
    own.stop()
    goes_on(first)
    assert finish(first, LONG)["status"] == states.COMPLETED
    until(lambda: "It is asked again for a while." in warnings_of(second), LONG)
    if comes_back:
        own.start()
    details = finish(second, 2 * LONG)
    if comes_back:
        assert details["status"] == states.COMPLETED
        assert log_of(second) == "here\n"
        nothing_is_left_in(own)
    else:
        assert details["status"] == states.FAILED
        assert f"the container engine at {own.host} is not there" in message_of(details)


@pytest.mark.slow
@pytest.mark.service("root")
def test_a_job_is_found_that_began_when_both_its_runner_and_its_engine_went_away(
    start_engine: StartEngine,
    experiment: Experiment,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own = start_engine(live_restore=True)
    with gate_to(own.host) as gate:
        monkeypatch.setenv("DOCKER_HOST", gate.host)
        run = killed_while_starting(gate, experiment, b"/start ", True)
        is_up(run)
        own.stop()
        ensure_runner()
        until(lambda: "It is asked again for a while." in warnings_of(run), LONG)
        own.start()
        goes_on(run)
        assert finish(run, LONG)["status"] == states.COMPLETED
        assert (run.folder / "outputs/begun").read_text() == "x"
        assert (run.folder / layout.ENVIRONMENT_LOCK).exists()
        nothing_is_left_in(own)


@pytest.mark.slow
@pytest.mark.service("root")
def test_an_engine_that_stops_during_a_build_fails_the_run_and_the_next_builds(
    start_engine: StartEngine, experiment: Experiment
) -> None:
    own = start_engine()
    seconds = f"6.{os.getpid():07d}"
    text = f"FROM {images.BASE}\nRUN sleep {seconds}\n"
    environment = Environment.from_dockerfile("slow", text)
    run = in_docker(experiment, "print(1)", environment)
    until(lambda: processes_with(seconds), LONG, why=lambda: build_log(run))
    own.kill()
    details = finish(run, LONG)
    assert details["status"] == states.FAILED
    assert details["error"]["error"]["code"] == "ImageBuildFailure"
    assert "went away during the build" in message_of(details)
    own.start()
    again = in_docker(experiment, "print(1)", environment)
    assert finish(again, LONG)["status"] == states.COMPLETED, build_log(again)
    nothing_is_left_in(own)


def test_a_run_canceled_while_its_image_is_built_ends_the_build(
    engine: Engine, experiment: Experiment
) -> None:
    seconds = f"600.{os.getpid():07d}"
    environment = Environment.from_dockerfile("slow", f"FROM {images.BASE}\nRUN sleep {seconds}\n")
    run = in_docker(experiment, "print(1)", environment)
    until(lambda: processes_with(seconds), LONG, why=lambda: build_log(run))
    assert run.get_status() == states.PREPARING
    run.cancel()
    assert finish(run)["status"] == states.CANCELED
    until(lambda: not processes_with(seconds), LONG)
    assert log_of(run) == ""


def processes_with(word: str) -> list[int]:
    """The processes whose command line ends in ``word``, in any container."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            words = Path(f"/proc/{name}/cmdline").read_bytes().split(b"\0")
            if words[-2:-1] == [word.encode()] and is_running(int(name)):
                found.append(int(name))
    return found


# Images that are not as they should be --------------------------------------------------------


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    """A folder with a package of the name that :func:`greets` asks for."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    wheel(folder, "1.0")
    return folder


def wheel(folder: Path, version: str) -> None:
    """Put a version of the package into the folder; its module is ``greet``."""
    name = package(folder)
    known = name.replace("-", "_")
    info = f"{known}-{version}.dist-info"
    files = {
        "greet.py": f"version = {version!r}\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(folder / f"{known}-{version}-py3-none-any.whl", "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)


def package(folder: Path) -> str:
    """The name of the package in that folder: no other test has it, so nor has any image."""
    return f"greet-{hashlib.sha256(bytes(folder)).hexdigest()[:8]}"


def greets(folder: Path) -> Environment:
    """An environment on the base image with the package from that folder."""
    environment = Environment.from_docker_image("greets", images.BASE)
    lines = ["--no-index", f"--find-links {folder}", package(folder)]
    environment.python.conda_dependencies = CondaDependencies.create(pip_packages=lines)
    environment.python.user_managed_dependencies = False
    return environment


GREETS = "import greet; print(greet.version)"


@pytest.fixture
def made(engine: Engine) -> Iterator[Callable[[Run], str]]:
    """Says which image was made for a run; such images are removed after the test."""
    names: list[str] = []

    def image_of(run: Run) -> str:
        lock = (run.folder / layout.ENVIRONMENT_LOCK).read_text()
        name = next(line for line in lock.splitlines() if line.startswith("# image: "))
        names.append(name.removeprefix("# image: "))
        return names[-1]

    yield image_of
    for name in names:
        with contextlib.suppress(docker.errors.ImageNotFound):
            engine.api.remove_image(name, force=True)


def test_packages_are_put_into_the_image_and_the_next_run_starts_at_once(
    engine: Engine, experiment: Experiment, wheels: Path, made: Callable[[Run], str]
) -> None:
    first = in_docker(experiment, GREETS, greets(wheels))
    assert finish(first, LONG)["status"] == states.COMPLETED, build_log(first)
    assert log_of(first) == "1.0\n"
    assert states_of(first).index(states.PREPARING) < states_of(first).index(states.QUEUED)
    assert made(first).startswith("aml-env:")
    assert "Installed 1 package" in build_log(first)
    second = in_docker(experiment, GREETS, greets(wheels))
    assert finish(second, LONG)["status"] == states.COMPLETED
    assert not (second.folder / layout.BUILD_LOG).exists()
    assert made(second) == made(first)


@pytest.mark.slow
@pytest.mark.parametrize("is_noticed_late", [False, True])
def test_an_image_that_is_gone_is_made_again(
    is_noticed_late: bool,
    gate: Gate,
    engine: Engine,
    experiment: Experiment,
    wheels: Path,
    made: Callable[[Run], str],
) -> None:
    first = in_docker(experiment, GREETS, greets(wheels))
    finish(first, LONG)
    engine.has_nothing_left()
    image = made(first)
    if is_noticed_late:
        gate.hold(b"/containers/create")
    else:
        engine.api.remove_image(image)
    run = in_docker(experiment, GREETS, greets(wheels))
    if is_noticed_late:
        assert gate.holds_it.wait(LONG)
        engine.api.remove_image(image)
        gate.let_go()
    assert finish(run, LONG)["status"] == states.COMPLETED, build_log(run)
    assert log_of(run) == "1.0\n"
    assert "the engine does not have its image" in build_log(run)
    assert made(run) == image
    assert ("It is made again." in warnings_of(run)) == is_noticed_late


@pytest.mark.slow
def test_runs_on_two_engines_at_once_each_get_the_image_on_their_own(
    engine: Engine,
    start_engine: StartEngine,
    docker_engine: docker_service.Engine,
    experiment: Experiment,
) -> None:
    other = start_engine()
    with other.client() as client:
        images.provide(client, images.BASE)
    text = f"FROM {images.BASE}\nRUN sleep 5 && echo {os.urandom(8).hex()}\n"
    environment = Environment.from_dockerfile("both", text)
    runs = [
        in_docker(experiment, "print(1)", environment, options={"host": host})
        for host in (docker_engine.host, other.host)
    ]
    for run in runs:
        assert finish(run, LONG)["status"] == states.COMPLETED, build_log(run)
    # Neither has taken it from the other: both are still there to be found.
    for host in (docker_engine.host, other.host):
        again = in_docker(experiment, "print(1)", environment, options={"host": host})
        assert finish(again, LONG)["status"] == states.COMPLETED
        assert not (again.folder / layout.BUILD_LOG).exists()
    engine.has_nothing_left()
    nothing_is_left_in(other)


def test_a_registry_out_of_reach_fails_the_run_with_what_to_do(
    engine: Engine, experiment: Experiment
) -> None:
    details = finish(in_docker(experiment, "print(1)", "127.0.0.1:9/box:1"), LONG)
    assert details["status"] == states.FAILED
    assert details["error"]["error"]["code"] == "ImageBuildFailure"
    assert "At fault: 127.0.0.1:9/box:1" in message_of(details)
    assert "base_image" in message_of(details)


@pytest.mark.slow
@pytest.mark.service("mount")
def test_a_disk_full_in_a_build_fails_the_run_and_the_next_finds_room(
    start_engine: StartEngine, experiment: Experiment
) -> None:
    own = start_engine(data_size="700m")
    text = f"FROM {images.BASE}\nRUN head -c 900000000 /dev/zero > /big\n"
    run = in_docker(experiment, "print(1)", Environment.from_dockerfile("big", text))
    details = finish(run, LONG)
    assert details["status"] == states.FAILED
    assert "No room left on the disk where the container engine" in message_of(details)
    assert "aml env prune" in message_of(details)
    text = f"FROM {images.BASE}\nRUN head -c 9000 /dev/zero > /small\n"
    again = in_docker(experiment, "print(1)", Environment.from_dockerfile("big", text))
    assert finish(again, LONG)["status"] == states.COMPLETED, build_log(again)
    nothing_is_left_in(own)


def test_an_image_without_python_runs_commands_and_says_why_it_runs_no_script(
    engine: Engine, image_without_python: str, experiment: Experiment
) -> None:
    fails = in_docker(experiment, "print(1)", image_without_python)
    environment = Environment.from_docker_image("given", image_without_python)
    works = experiment.submit(
        ScriptRunConfig(
            ".",
            command=["echo", "here"],
            environment=environment,
            compute_target="docker",
        )
    )
    details = finish(fails, LONG)
    assert details["status"] == states.FAILED
    assert "127, before the script began" in message_of(details)
    assert "no Python in this image" in "\n".join(details["error"]["error"]["logTail"])
    assert finish(works, LONG)["status"] == states.COMPLETED
    assert log_of(works) == "here\n"


@pytest.mark.slow
def test_ten_runs_that_want_one_new_image_have_it_built_once(
    engine: Engine, experiment: Experiment, made: Callable[[Run], str]
) -> None:
    step = f"echo {os.urandom(4).hex()}; sleep 1; cat /proc/sys/kernel/random/uuid > /built"
    text = f"FROM {images.BASE}\nRUN {step}\n"
    environment = Environment.from_dockerfile("one", text)
    runs = [in_docker(experiment, "print(open('/built').read())", environment) for _ in range(10)]
    for run in runs:
        assert finish(run, 2 * LONG)["status"] == states.COMPLETED
    assert len({log_of(run) for run in runs}) == 1
    assert len({made(run) for run in runs}) == 1
    logs = {build_log(run) for run in runs if (run.folder / layout.BUILD_LOG).exists()}
    assert len(logs) == 1, logs
    assert logs.pop().count("Building environment one") == 1


# Ends that are not the job's own ---------------------------------------------------------------


def test_a_job_that_ignores_its_end_is_canceled_after_the_grace(
    engine: Engine, experiment: Experiment
) -> None:
    run = in_docker(experiment, STUBBORN)
    is_up(run)
    run.cancel()
    assert finish(run)["status"] == states.CANCELED


def test_a_job_that_ran_out_of_memory_says_so_with_its_limit(
    engine: Engine, experiment: Experiment
) -> None:
    text = "print('up', flush=True)\nhoard = b'x' * (300 << 20)\nprint('over')"
    run = in_docker(experiment, text, resources=Resources(memory=64 << 20))
    details = finish(run, LONG)
    assert details["status"] == states.FAILED
    assert "out of memory: its limit is 64 MiB" in message_of(details)
    assert "--mem" in message_of(details)


def test_a_job_over_its_time_is_canceled_with_its_container(
    engine: Engine, experiment: Experiment
) -> None:
    run = in_docker(experiment, STUBBORN, max_run_duration_seconds=1)
    details = finish(run, LONG)
    assert details["status"] == states.CANCELED
    assert "max_run_duration_seconds = 1" in message_of(details)


def test_a_clock_elsewhere_that_is_wrong_does_not_use_up_the_time_of_a_run(
    engine: Engine, experiment: Experiment
) -> None:
    text = """
        import json, os, time
        path = os.environ["AML_RUN_FOLDER"] + "/job/claim.json"
        claim = json.load(open(path))
        with open(path + ".new", "w") as file:
            json.dump({**claim, "t": claim["t"] - 1e6, "boot": "theirs"}, file)
        os.replace(path + ".new", path)
        print("up", flush=True)
        time.sleep(3)
        """
    options = {"local": False}
    run = in_docker(experiment, text, options=options, max_run_duration_seconds=600)
    assert finish(run, LONG)["status"] == states.COMPLETED


def test_exactly_the_leased_gpus_are_asked_for_and_come_back_when_there_are_none_to_give(
    gate: Gate, engine: Engine, experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("AML_FAKE_GPUS", "3x16G")
    bare = Environment("bare")
    holder = in_docker(experiment, WAITS, bare, compute_target="local", resources=Resources(gpus=1))
    is_up(holder)
    run = in_docker(experiment, "print(1)", resources=Resources(gpus=2))
    details = finish(run, LONG)
    asked = re.findall(rb'"DeviceIDs": \[(.*?)\]', gate.heard)
    assert asked == [b'"1", "2"'], gate.heard
    assert details["status"] == states.FAILED
    assert "NVIDIA Container Toolkit" in message_of(details)
    assert "--gpus 0" in message_of(details)
    text = "import os; print(os.environ['CUDA_VISIBLE_DEVICES'])"
    other = in_docker(experiment, text, bare, compute_target="local", resources=Resources(gpus=2))
    assert finish(other)["status"] == states.COMPLETED
    assert log_of(other) == "1,2\n"
    goes_on(holder)
    finish(holder)


# Whose files they are -------------------------------------------------------------------------


def test_nothing_is_written_through_links_that_a_job_leaves_in_its_run(
    engine: Engine, experiment: Experiment, tmp_path: Path
) -> None:
    elsewhere = Elsewhere(tmp_path / "elsewhere")
    run = in_docker(experiment, LINKS.format(away=str(elsewhere.folder)))
    assert finish(run, LONG)["status"] == states.COMPLETED
    run.tag("after", "it")
    assert elsewhere.is_untouched()
    assert not (run.folder / layout.EVENTS).is_symlink()
    assert run.get_tags() == {"after": "it"}


AS_ANOTHER = """
    from aml_jupyter import Environment, Experiment, ScriptRunConfig, Workspace
    config = ScriptRunConfig(
        "source",
        script="train.py",
        environment=Environment.from_docker_image("given", "{image}"),
        compute_target="docker",
    )
    run = Experiment(Workspace.from_config(), "test").submit(config)
    run.wait_for_completion()
    print(run.folder)
    """


@pytest.mark.service("root")
def test_what_a_job_wrote_belongs_to_who_submitted_it(
    engine: Engine,
    docker_engine: docker_service.Engine,
    project: Path,
    aml_home: Path,
    tmp_path: Path,
) -> None:
    uid = 43210
    (project / "source").mkdir()
    text = """
        import os
        os.makedirs("outputs/deep")
        open("outputs/deep/model", "w").write("m")
        open("beside", "w").write("b")
        print(os.getuid())
        """
    script(project / "source", text)
    for path in (aml_home, project, *project.rglob("*")):
        os.chown(path, uid, uid)
    group = os.stat(docker_engine.host.removeprefix("unix://")).st_gid
    done = subprocess.run(
        [
            "setpriv",
            f"--reuid={uid}",
            f"--regid={uid}",
            f"--groups={group}",
            # The interpreter of these tests may lie where only root can look.
            "--inh-caps=+dac_read_search",
            "--ambient-caps=+dac_read_search",
            "--securebits=+no_setuid_fixup",
            sys.executable,
            "-c",
            textwrap.dedent(AS_ANOTHER).format(image=images.BASE),
        ],
        env={**os.environ, "HOME": str(project), "USER": "ada"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    folder = Path(done.stdout.split()[-1])
    assert (folder / layout.DRIVER_LOG).read_text() == f"{uid}\n"
    assert (folder / "outputs/deep/model").read_text() == "m"
    strangers = [path for path in folder.rglob("*") if path.lstat().st_uid != uid]
    assert not strangers


# Repeated, and v1's shapes ---------------------------------------------------------------------


def test_a_locked_repetition_has_the_versions_of_the_first_run(
    engine: Engine, experiment: Experiment, wheels: Path, made: Callable[[Run], str]
) -> None:
    first = in_docker(experiment, GREETS, greets(wheels))
    assert finish(first, LONG)["status"] == states.COMPLETED
    assert log_of(first) == "1.0\n"
    wheel(wheels, "2.0")
    engine.has_nothing_left()
    engine.api.remove_image(made(first))
    anew, locked = first.rerun(), first.rerun(locked=True)
    for run, version in ((anew, "2.0"), (locked, "1.0")):
        assert finish(run, LONG)["status"] == states.COMPLETED, build_log(run)
        assert log_of(run) == f"{version}\n"
        made(run)
    packages = [lock_of(run) for run in (first, locked)]
    assert packages[0] == packages[1] == [f"{package(wheels)}==1.0"]


def lock_of(run: Run) -> list[str]:
    """The packages in a run's ``environment.lock``."""
    lines = (run.folder / layout.ENVIRONMENT_LOCK).read_text().splitlines()
    return [line for line in lines if not line.startswith("#")]


def test_a_locked_repetition_of_an_image_as_it_is_takes_that_image(
    engine: Engine, experiment: Experiment
) -> None:
    first = in_docker(experiment, "import sys; print(sys.version)")
    finish(first, LONG)
    again = first.rerun(locked=True)
    assert finish(again, LONG)["status"] == states.COMPLETED
    assert log_of(again) == log_of(first)
    assert lock_of(again) == lock_of(first)
    assert not (again.folder / layout.BUILD_LOG).exists()


def test_a_pool_runs_v1s_own_image_as_a_bare_process_and_others_in_a_container(
    engine: Engine, experiment: Experiment, ws: Workspace
) -> None:
    size = AmlCompute.provisioning_configuration(vm_size="STANDARD_NC6", max_nodes=2)
    ComputeTarget.create(ws, "cluster", size).wait_for_completion()
    text = "import os; print(os.readlink('/proc/self/ns/pid'))"
    of_v1 = Environment("samples")
    of_v1.docker.enabled = True
    of_v1.docker.base_image = DEFAULT_GPU_IMAGE
    own = Environment("own")
    own.docker.enabled = True
    own.docker.base_image = images.BASE
    own.python.user_managed_dependencies = True
    bare = in_docker(experiment, text, of_v1, compute_target="cluster")
    contained = in_docker(experiment, text, own, compute_target="cluster")
    for run in (bare, contained):
        assert finish(run, LONG)["status"] == states.COMPLETED
    here = f"{os.readlink('/proc/self/ns/pid')}\n"
    assert log_of(bare) == here
    assert log_of(contained) not in ("", here)
    assert "which here is a bare process" in warnings_of(bare)
