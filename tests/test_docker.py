"""Containers of a real engine: what they may, how they end, and what is left of them."""

from __future__ import annotations

import gc
import io
import os
import signal
import socket
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from aml_jupyter.backends import Backend, Job, JobStatus, backend
from aml_jupyter.backends.docker import DockerBackend
from aml_jupyter.backends.docker_arguments import parse_run_arguments
from aml_jupyter.backends.docker_ends import began, end_by_engine
from aml_jupyter.backends.docker_plan import HOME, ContainerPlan, groups_of, name_for, user_of
from aml_jupyter.backends.docker_record import END, Record
from aml_jupyter.engine import Address, EngineAway, ImageMissing
from aml_jupyter.errors import AmlError, ComputeTargetException, RunConfigurationException
from aml_jupyter.home import home
from aml_jupyter.job import events, layout
from aml_jupyter.job.process import boot_id
from aml_jupyter.spec import JobSpec, Resources
from aml_jupyter.store import WorkspaceFolder
from aml_jupyter.testing import BackendContract
from aml_jupyter.testing.backend import SLEEPS, STUBBORN
from tests.services import images, podman
from tests.services.docker_engine import OwnEngine
from tests.services.docker_engine import engine as own_engine
from tests.support import is_running, until

IMAGE = "aml-test/anything"
CLEANS_UP = """
import signal, sys, time
def leave(*_):
    print('leaving', flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, leave)
print('up', flush=True)
time.sleep(120)
"""


@pytest.mark.service("docker")
class TestDockerBackend(BackendContract):
    @pytest.fixture(autouse=True)
    def in_an_engine(self, docker_engine: Any, base_image: str) -> None:
        self.host, self.image = docker_engine.host, base_image

    def make_backend(self) -> Backend:
        return DockerBackend()

    def job_defaults(self) -> dict[str, Any]:
        return {"interpreter": "python", "image": self.image, "options": {"host": self.host}}


class _Suite(BackendContract):
    """Only for its helpers; not collected."""

    def make_backend(self) -> Backend:
        return DockerBackend()


class Container:
    """A run in a container: submitted, and looked at from both sides."""

    def __init__(self, backend: Backend, job: Job, api: Any) -> None:
        self.backend, self.job, self.api = backend, job, api
        self.name = name_for(str(job.folder))
        self.handle = {"folder": str(job.folder)}

    def status(self) -> JobStatus:
        return self.backend.poll([self.handle])[0]

    def ended(self) -> JobStatus:
        return _Suite().ended(self.backend, self.handle)

    def log(self) -> str:
        return _Suite().log(self.backend, self.handle).decode()

    def is_up(self) -> Container:
        _Suite().is_up(self.backend, self.handle)
        return self

    def inspect(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.api.inspect_container(self.name)
        return found

    def is_there(self) -> bool:
        return bool(self.api.containers(all=True, filters={"name": f"^{self.name}$"}))


Make = Callable[..., Job]
Submit = Callable[..., Container]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Makes a job from the text of a script or ``command=…``, whose folder is laid out."""
    workspace = WorkspaceFolder.create(tmp_path / "project")

    def made(text: str = "", environment: Mapping[str, str] | None = None, **spec: Any) -> Job:
        gpus = spec.pop("gpus", None)
        spec = {"interpreter": "python", "image": IMAGE, **spec}
        job = _Suite().make_job(workspace, text, **spec)
        variables = {"PATH": os.environ["PATH"]} if environment is None else environment
        return Job(job.request, job.spec, job.folder, job.bundle, variables, gpus)

    return made


@pytest.fixture
def submit(docker_engine: Any, base_image: str, make: Make) -> Iterator[Submit]:
    """Submits a job to the engine; the container is removed by the test."""
    begun: list[Container] = []
    with docker_engine.client() as client:

        def submitted(text: str = "", **spec: Any) -> Container:
            spec = {"image": base_image, **spec}
            spec["options"] = {"host": docker_engine.host, **spec.get("options", {})}
            backend = DockerBackend()
            container = Container(backend, make(text, **spec), client.api)
            begun.append(container)
            backend.submit(backend.plan(container.job))
            return container

        yield submitted
        for container in begun:
            if container.is_there():
                client.api.remove_container(container.name, force=True, v=True)


@pytest.fixture
def collected() -> Iterator[None]:
    yield
    gc.collect()


def calls_in_vain(test: Callable[..., None]) -> Callable[..., None]:
    """For tests without an engine: docker-py does not close a socket that cannot be connected."""
    test = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")(test)
    return pytest.mark.usefixtures("collected")(test)


def plan(job: Job) -> ContainerPlan:
    return DockerBackend().plan(job)


def kept_of(job: Job) -> list[tuple[Path, bool]]:
    """What a job sees of its workspace, and whether it can only be read."""
    root = job.folder.parent.parent
    kept = [(root / name, False) for name in ("datastores", "datasets", "models")]
    return [(root / "workspace.json", True), *kept]


def host_of(job: Job) -> Mapping[str, Any]:
    found: Mapping[str, Any] = plan(job).container["HostConfig"]
    return found


def variables_of(job: Job) -> Mapping[str, str]:
    return plan(job).environment


def test_the_backend_is_found_by_its_name() -> None:
    assert isinstance(backend("docker"), DockerBackend)


# Plans --------------------------------------------------------------------------------------


def test_a_container_elsewhere_cannot_be_read_only(make: Make) -> None:
    options = {"host": "tcp://127.0.0.1:2375", "read_only": True}
    with pytest.raises(RunConfigurationException, match="copied") as refused:
        plan(make("print(1)", options=options))
    assert "read_only" in refused.value.hint


def test_a_plan_shows_what_the_container_may_use(make: Make) -> None:
    options = {"host": "unix:///x.sock", "mounts": "/data:/data:ro", "shm_size": "1g"}
    spec = {"options": options, "environment_variables": {"API_TOKEN": "abc", "LR": "1"}}
    resources = Resources(memory=64 << 20, cpus=1.5)
    shown = str(plan(make("print(1)", resources=resources, gpus=(1, 3), **spec)))
    for words in (
        f"image   {IMAGE}",
        "unix:///x.sock",
        "memory 0.0625 GiB, 1.5 processors, /dev/shm 1 GiB",
        "/data at /data (read only)",
        "GPUs    1, 3",
        f"user    {os.getuid()}:{os.getgid()}",
        "LR=1",
    ):
        assert words in shown
    assert "abc" not in shown


def test_the_runs_folder_our_code_and_what_its_workspace_keeps_are_mounted(make: Make) -> None:
    job = make("print(1)", options={"host": "unix:///x.sock"})
    assert host_of(job)["Mounts"] == [
        {"Type": "bind", "Source": str(path), "Target": str(path), "ReadOnly": read_only}
        for path, read_only in ((job.folder, False), (job.bundle, True), *kept_of(job))
    ]


def test_nothing_is_mounted_where_the_engine_sees_other_files(make: Make) -> None:
    job = make("print(1)", options={"host": "tcp://127.0.0.1:1"})
    assert host_of(job)["Mounts"] == []
    assert variables_of(job)["AML_REMOTE"] == "1"


def test_what_a_run_asks_for_is_its_limit_and_else_what_its_target_says(make: Make) -> None:
    options = {"memory": "1g", "cpus": 4}
    assert host_of(make(options=options))["Memory"] == 1 << 30
    own = host_of(make(options=options, resources=Resources(memory=1 << 20, cpus=0.5)))
    assert (own["Memory"], own["MemorySwap"], own["NanoCpus"]) == (1 << 20, 1 << 20, 500_000_000)
    assert "Memory" not in host_of(make())


def test_exactly_the_leased_gpus_are_requested(make: Make) -> None:
    requests = host_of(make(gpus=(0, 3), options={"gpus": "all"}))["DeviceRequests"]
    assert [request["DeviceIDs"] for request in requests] == [["0", "3"]]
    assert "NVIDIA_VISIBLE_DEVICES" not in variables_of(make(gpus=(0, 3)))


@pytest.mark.parametrize(
    ("asked", "count"),
    [
        ({"resources": Resources(gpus=2)}, 2),
        ({"resources": Resources(gpus=-1)}, -1),
        ({"options": {"gpus": 1}}, 1),
        ({"options": {"gpus": "all"}}, -1),
        ({"options": {"gpus": 1}, "resources": Resources(gpus=0)}, None),
    ],
    ids=str,
)
def test_of_an_engine_elsewhere_as_many_gpus_are_requested_as_were_asked_for(
    asked: dict[str, Any], count: int | None, make: Make
) -> None:
    options = {"host": "tcp://127.0.0.1:1", **asked.pop("options", {})}
    job = make(options=options, **asked)
    requests = host_of(job).get("DeviceRequests", [])
    assert [request["Count"] for request in requests] == ([] if count is None else [count])
    assert ("NVIDIA_VISIBLE_DEVICES" in variables_of(job)) == (count is None)


@pytest.mark.parametrize("asked", [{}, {"gpus": ()}, {"resources": Resources(gpus=0)}], ids=str)
def test_a_job_without_a_lease_sees_no_gpu_even_if_its_image_asks_for_all(
    asked: dict[str, Any], make: Make
) -> None:
    job = make(**asked)
    assert "DeviceRequests" not in host_of(job)
    assert variables_of(job)["NVIDIA_VISIBLE_DEVICES"] == "void"


def test_a_job_gets_the_submitters_proxies_and_nothing_else_of_theirs(make: Make) -> None:
    theirs = {"HTTPS_PROXY": "http://proxy:1", "AWS_SECRET": "x", "PATH": "/mine", "TZ": "UTC"}
    given = variables_of(make(environment=theirs))
    assert given["HTTPS_PROXY"] == "http://proxy:1"
    assert not {"AWS_SECRET", "PATH", "TZ"} & given.keys()
    assert "HTTPS_PROXY" not in variables_of(make(environment=theirs, options={"proxy": False}))
    asked = variables_of(make(environment=theirs, options={"variables": ["TZ", "MISSING"]}))
    assert asked["TZ"] == "UTC"
    assert "MISSING" not in asked


def test_the_sockets_folder_of_this_very_engine_is_not_mounted(make: Make, tmp_path: Path) -> None:
    options = {"host": f"unix://{tmp_path}/engine/e.sock", "mounts": f"{tmp_path}/engine:/x"}
    with pytest.raises(RunConfigurationException, match=r"e\.sock"):
        plan(make(options=options))


def test_the_runs_own_folder_is_not_hidden(make: Make) -> None:
    job = make()
    for target in (job.folder, job.folder.parent, job.work):
        spec = JobSpec(script="x", image=IMAGE, options={"mounts": [f"/data:{target}"]})
        with pytest.raises(RunConfigurationException, match="/data"):
            plan(Job(job.request, spec, job.folder, job.bundle, {}))


def test_a_job_without_an_image_is_refused_with_the_remedy(make: Make) -> None:
    with pytest.raises(RunConfigurationException, match="base_image"):
        plan(make(image=None))


def test_nobody_but_root_becomes_root() -> None:
    assert user_of({"user": "0"}, 0, 0) == "0:0"
    with pytest.raises(RunConfigurationException, match="root"):
        user_of({"user": "0"}, 1000, 100)


@pytest.mark.parametrize("user", ["1000:0", "1001:0", "0:1000"])
def test_nobody_but_root_comes_into_roots_group(user: str) -> None:
    with pytest.raises(RunConfigurationException, match="root"):
        user_of({"user": user}, 1000, 100, is_local=False)
    assert user_of({}, 1000, 0) == "1000:0"


@pytest.mark.parametrize("name", ["root", "0", "00"])
def test_nobody_but_root_adds_roots_group(name: str) -> None:
    with pytest.raises(RunConfigurationException, match="root"):
        groups_of({"groups": ["44", name]}, 1000, [100])
    assert groups_of({"groups": ["44", name]}, 0, []) == ["44", name]
    assert groups_of({"groups": ["44"]}, 1000, [0, 100]) == ["100", "44"]


def test_where_files_are_not_copied_a_job_is_who_owns_them() -> None:
    with pytest.raises(RunConfigurationException, match="user 1001"):
        user_of({"user": "1001"}, 1000, 100)
    assert user_of({"user": "1001"}, 1000, 100, is_local=False) == "1001:1001"
    assert user_of({"user": "1001"}, 0, 0) == "1001:1001"


def test_a_plan_is_made_where_there_is_no_engine(make: Make) -> None:
    job = make("print(1)", options={"host": "unix:///no/such.sock"})
    assert "on docker (unix:///no/such.sock)" in str(plan(job))


# No engine ----------------------------------------------------------------------------------


@calls_in_vain
def test_a_probe_of_an_engine_that_is_not_there_says_how_to_have_one(tmp_path: Path) -> None:
    probe = DockerBackend().probe({"host": f"unix://{tmp_path}/none.sock"})
    assert not probe.usable
    assert str(tmp_path) in probe.reason
    assert "DOCKER_HOST" in probe.remedy
    assert not probe.reason.endswith(".")
    assert probe.remedy.startswith("install")


def test_a_probe_with_a_context_that_is_not_there_says_so() -> None:
    probe = DockerBackend().probe({"context": "nowhere"})
    assert "nowhere" in probe.reason
    assert "docker context ls" in probe.remedy
    assert not DockerBackend().probe({"memory": "much"}).usable


def test_a_job_whose_container_nobody_knows_has_ended(make: Make) -> None:
    job = make()
    status = DockerBackend().poll([{"folder": str(job.folder)}])[0]
    assert (status.phase, status.code, status.signal) == (JobStatus.ENDED, None, None)
    assert "container" in status.detail
    assert DockerBackend().cancel({"folder": str(job.folder)}) is False


# Ends, from what is written -----------------------------------------------------------------


def record_for(job: Job, **facts: Any) -> Record:
    """What is remembered of a container that was made in this boot, on an engine here."""
    known = {"address": Address("unix:///x.sock"), "boot": boot_id(), **facts}
    name, folder, bundle = name_for(str(job.folder)), str(job.folder), str(job.bundle)
    return Record(name, folder, "c0ffee", IMAGE, "python", bundle, **known)


def note(job: Job, name: str, **facts: Any) -> None:
    layout.write_json(str(job.folder / name), facts)


def test_a_restart_of_the_machine_is_told_as_such(make: Make) -> None:
    job, state = make(), {"ExitCode": 255}
    note(job, layout.CLAIM, pid=7, started=1, boot="earlier", t=1000.0)
    status = end_by_engine(record_for(job, boot="earlier"), state)
    assert (status.code, status.signal) == (None, None)
    assert "not of this boot" in status.detail
    # An engine in a virtual machine has boots of its own.
    assert end_by_engine(record_for(job), state).code == 255
    elsewhere = Address("tcp://127.0.0.1:1", is_local=False)
    assert end_by_engine(record_for(job, boot="earlier", address=elsewhere), state).code == 255


@pytest.mark.parametrize("skew", [-1e6, 1e6])
def test_when_a_job_elsewhere_began_is_told_by_the_clock_of_this_machine(
    skew: float, make: Make
) -> None:
    job, before = make(), time.time()
    record = record_for(job, address=Address("tcp://127.0.0.1:1", is_local=False))
    assert began(record) is None
    note(job, layout.CLAIM, pid=7, started=1, boot="theirs", t=before + skew)
    assert began(record) == pytest.approx(before, abs=5)
    note(job, layout.EXIT, code=0, signal=None, t=before + skew + 100)
    assert began(record) == pytest.approx(before - 100, abs=5)


# What a job may ----------------------------------------------------------------------------

needs_docker = pytest.mark.service("docker")


@needs_docker
def test_a_container_has_no_rights_beyond_those_of_its_user(submit: Submit) -> None:
    text = """
        status = dict(line.split(":\\t", 1) for line in open("/proc/self/status"))
        caps = [status[name].strip() for name in ("CapPrm", "CapEff", "CapBnd", "CapAmb")]
        print("up", set(caps), status["NoNewPrivs"].strip())
        """
    container = submit(text)
    assert container.ended().code == 0
    assert container.log() == f"up {{'{0:016x}'}} 1\n"
    host = container.inspect()["HostConfig"]
    assert (host["CapDrop"], host["SecurityOpt"]) == (["ALL"], ["no-new-privileges"])
    assert (host["Privileged"], host["Init"], host["PidMode"]) == (False, True, "")
    assert sorted(mount["Destination"] for mount in container.inspect()["Mounts"]) == sorted(
        str(path)
        for path in (
            container.job.folder,
            container.job.bundle,
            *(path for path, _ in kept_of(container.job)),
        )
    )


@needs_docker
def test_nothing_of_the_host_is_seen_but_the_run_and_its_workspace(
    submit: Submit, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("x")
    text = f"""
        import glob, os
        print(os.path.exists({str(tmp_path / "secret")!r}), glob.glob("/run/*.sock"))
        print(sorted(os.listdir({str(tmp_path / "project/.aml")!r})))
        try:
            open(os.environ["PYTHONPATH"].split(":")[-1] + "/x", "w")
        except OSError as error:
            print(error.strerror)
        """
    container = submit(text)
    container.ended()
    seen = ["datasets", "datastores", "models", "runs", "workspace.json"]
    assert container.log() == f"False []\n{seen}\nRead-only file system\n"


@needs_docker
@pytest.mark.service("root")
def test_files_belong_to_who_the_job_is(submit: Submit) -> None:
    text = """
        import getpass, os, pathlib
        open("outputs/model", "w").write("m")
        pathlib.Path.home().joinpath("cache").write_text("c")
        print(os.getuid(), os.getgid(), getpass.getuser())
        """
    container = submit(text, options={"user": "12345:23456"})
    assert container.ended().code == 0, container.log()
    assert container.log() == "12345 23456 user12345\n"
    made = (container.job.folder / "outputs/model").stat()
    assert (made.st_uid, made.st_gid) == (12345, 23456)
    assert (container.job.folder / layout.DRIVER_LOG).stat().st_uid == 12345


@needs_docker
def test_limits_hold_inside_the_container(submit: Submit) -> None:
    text = """
        import os, resource
        memory = os.statvfs("/dev/shm")
        print(memory.f_blocks * memory.f_frsize, resource.getrlimit(resource.RLIMIT_NOFILE))
        """
    options = {"shm_size": "96m", "ulimits": "nofile=123:456", "memory": "256m", "cpus": 0.5}
    container = submit(text, options=options, resources=Resources(memory=128 << 20))
    assert container.ended().code == 0
    assert container.log() == f"{96 << 20} (123, 456)\n"
    host = container.inspect()["HostConfig"]
    assert (host["Memory"], host["MemorySwap"]) == (128 << 20, 128 << 20)
    assert host["NanoCpus"] == 500_000_000


@needs_docker
def test_settings_are_as_the_container_sees_them(submit: Submit) -> None:
    text = """
        import os, pathlib, socket
        print(socket.gethostname(), sorted(os.sched_getaffinity(0)))
        print([line for line in open("/etc/resolv.conf") if line.startswith("nameserver")])
        kinds = {line.split()[1]: line.split()[2] for line in open("/proc/mounts")}
        scratch = os.statvfs("/scratch")
        print(kinds["/scratch"], kinds["/tmp"], scratch.f_blocks * scratch.f_frsize)
        for path in ("/scratch/new", "/tmp/new", "outputs/new", "/new", "/usr/new"):
            try:
                pathlib.Path(path).touch()
            except OSError as error:
                print(path, error.strerror)
        groups = [pathlib.Path("/sys/fs/cgroup", name) for name in ("pids.max", "pids/pids.max")]
        print([path.read_text().strip() for path in groups if path.exists()])
        with socket.create_server(("", 6006)) as server:
            print("up", flush=True)
            server.accept()[0].sendall(b"hello")
        """
    options = {
        "hostname": "trainer", "cpuset": "0", "dns": ["10.1.2.3"], "read_only": True, "pids": 77,
        "tmpfs": ["/scratch:size=8m"], "ports": ["127.0.0.1::6006"],
    }  # fmt: skip
    container = submit(text, options=options).is_up()
    (outside,) = container.inspect()["NetworkSettings"]["Ports"]["6006/tcp"]
    assert outside["HostIp"] == "127.0.0.1"
    with socket.create_connection(("127.0.0.1", int(outside["HostPort"]))) as asked:
        assert asked.recv(10) == b"hello"
    assert container.ended().code == 0, container.log()
    assert container.log().splitlines() == [
        "trainer [0]",
        "['nameserver 10.1.2.3\\n']",
        f"tmpfs tmpfs {8 << 20}",
        "/new Read-only file system",
        "/usr/new Read-only file system",
        "['77']",
        "up",
    ]


@needs_docker
def test_extra_mounts_are_read_only_where_that_is_said(submit: Submit, tmp_path: Path) -> None:
    for name in ("fixed", "free"):
        (tmp_path / name).mkdir(mode=0o777)
        (tmp_path / name / "file").write_text(name)
    text = """
        for name in ("free", "fixed"):
            print(open(f"/{name}/file").read())
            open(f"/{name}/new", "w")
        """
    mounts = [f"{tmp_path}/fixed:/fixed:ro", f"{tmp_path}/free:/free"]
    container = submit(text, options={"mounts": mounts})
    assert container.ended().code == 1
    assert "Read-only file system: '/fixed/new'" in container.log()
    assert (tmp_path / "free/new").exists()
    assert not (tmp_path / "fixed/new").exists()


@needs_docker
def test_a_mount_of_what_is_not_there_is_an_error_that_names_it(submit: Submit) -> None:
    with pytest.raises(AmlError, match="/no/such/folder"):
        submit("print(1)", options={"mounts": "/no/such/folder:/data"})


@needs_docker
def test_a_job_has_no_input_and_knows_nothing_of_its_launcher(submit: Submit) -> None:
    text = """
        import os, sys
        print(repr(sys.stdin.read()), sys.stdout.isatty(), os.environ.get("AML_CONTAINER"))
        """
    for keep in (False, True):
        container = submit(text, options={"keep": keep})
        container.ended()
        assert container.log() == "'' False None\n"


@needs_docker
def test_the_images_own_variables_stay(submit: Submit, base_image: str, docker_engine: Any) -> None:
    tag = f"{base_image.partition(':')[0]}-variables:{os.getpid()}"
    with docker_engine.client() as client:
        built = f"FROM {base_image}\nENV PYTHONPATH=/theirs OWN=1 PATH=/usr/bin:/bin:/theirs"
        client.images.build(fileobj=io.BytesIO(built.encode()), tag=tag, rm=True)
        try:
            text = "import os; print(*(os.environ[n] for n in ('PYTHONPATH', 'OWN', 'PATH')))"
            container = submit(text, image=tag, options={"variables": {"OWN": "2"}})
            container.ended()
            path = layout.search_path("/theirs", str(container.job.bundle))
            assert container.log() == f"{path} 2 /usr/bin:/bin:/theirs\n"
            container.backend.release(container.handle)
        finally:
            client.images.remove(tag, force=True)


@needs_docker
def test_a_run_may_use_its_hosts_network(submit: Submit) -> None:
    text = "import os; print(sorted(os.listdir('/sys/class/net')))"
    container = submit(text, options=parse_run_arguments(["--network=host"]))
    container.ended()
    assert container.log() == f"{sorted(os.listdir('/sys/class/net'))}\n"


# Ends ---------------------------------------------------------------------------------------


@needs_docker
def test_an_end_for_lack_of_memory_is_shown_as_such(submit: Submit) -> None:
    container = submit(
        "print('up', flush=True)\nx = b'x' * (512 << 20)", resources=Resources(memory=64 << 20)
    )
    status = container.ended()
    assert (status.code, status.signal) == (None, signal.SIGKILL)
    assert "out of memory" in status.detail
    assert "64 MiB" in status.detail
    assert "--mem" in status.detail


@needs_docker
def test_a_job_whose_child_ran_out_of_memory_tells_that_too(submit: Submit) -> None:
    text = """
        import subprocess, sys
        child = [sys.executable, "-c", "x = b'x' * (512 << 20)"]
        sys.exit(subprocess.run(child).returncode != 0)
        """
    status = submit(text, resources=Resources(memory=64 << 20)).ended()
    assert status.code == 1
    assert "out of memory" in status.detail


@needs_docker
@pytest.mark.parametrize("text", [SLEEPS, CLEANS_UP], ids=["plain", "with a clean end"])
def test_a_container_stopped_from_outside_says_so(text: str, submit: Submit) -> None:
    container = submit(text).is_up()
    container.api.stop(container.name)
    status = container.ended()
    assert (status.code, status.signal) == (None, signal.SIGTERM)
    assert "stopped from outside" in status.detail
    assert "live-restore" in status.detail
    assert container.log() == ("up\n" if text == SLEEPS else "up\nleaving\n")


@needs_docker
def test_a_container_killed_from_outside_says_so(submit: Submit) -> None:
    container = submit(SLEEPS).is_up()
    container.api.kill(container.name)
    status = container.ended()
    assert (status.code, status.signal) == (None, signal.SIGKILL)
    assert "stopped from outside" in status.detail


@needs_docker
def test_what_we_ended_ourselves_was_not_stopped_from_outside(submit: Submit) -> None:
    for force in (False, True):
        container = submit(SLEEPS).is_up()
        assert container.backend.cancel(container.handle, force=force)
        assert container.ended().detail == ""


@needs_docker
def test_a_container_removed_from_outside_ends_its_run(submit: Submit) -> None:
    container = submit(SLEEPS).is_up()
    container.api.remove_container(container.name, force=True)
    status = container.ended()
    assert (status.code, status.signal) == (None, None)
    assert "removed from outside" in status.detail
    assert container.backend.cancel(container.handle) is False
    container.backend.release(container.handle)
    assert DockerBackend().poll([container.handle]) == [status]


FORGED = {
    layout.EXIT: ['{"code":"x"}', "[]", '{"code":1,"signal":9}', '{"code":null,"signal":null}'],
    layout.CLAIM: ['{"t":"x"}', "7", '{"pid":[],"t":1}'],
    END: ['{"status":{"phase":"running"}}', '{"status":{"phase":"ended","code":"x"}}', "[1]"],
}


@needs_docker
def test_nonsense_in_place_of_what_launchers_write_ends_nothing(submit: Submit) -> None:
    container = submit(SLEEPS).is_up()
    for name, contents in FORGED.items():
        path = container.job.folder / name
        for content in contents:
            path.write_text(content)
            assert not container.status().ended
            container.backend.processes([container.handle])
        path.unlink()
    assert container.backend.cancel(container.handle, force=True)
    assert container.ended().signal == signal.SIGKILL


@needs_docker
def test_a_paused_container_runs_and_can_be_ended(submit: Submit) -> None:
    container = submit(SLEEPS).is_up()
    container.api.pause(container.name)
    status = container.status()
    assert status.phase == JobStatus.RUNNING
    assert "paused" in status.detail
    container.backend.cancel(container.handle, force=True)
    assert container.ended().signal == signal.SIGKILL


@needs_docker
def test_a_process_that_ignores_its_end_goes_with_the_container(submit: Submit) -> None:
    container = submit(f"import os\nif not os.fork():\n    os.setsid()\n{STUBBORN}").is_up()
    pids = until(lambda: container.backend.processes([container.handle])[0])
    container.backend.cancel(container.handle)
    assert container.status().phase == JobStatus.RUNNING
    container.backend.cancel(container.handle, force=True)
    container.ended()
    until(lambda: not any(is_running(pid) for pid in pids))


@needs_docker
def test_an_interpreter_that_is_not_in_the_image_is_named_in_the_log(submit: Submit) -> None:
    container = submit("print(1)", interpreter="/no/such/python")
    status = container.ended()
    assert status.code == 127
    assert "before the script began" in status.detail
    assert "/no/such/python" in container.log()


@needs_docker
def test_python3_serves_where_there_is_no_python(submit: Submit) -> None:
    container = submit("import sys; print(sys.argv)", interpreter="python", arguments=("a b", ""))
    assert container.ended().code == 0
    assert container.log() == "['train.py', 'a b', '']\n"


# Images without Python ----------------------------------------------------------------------


@needs_docker
def test_a_script_in_an_image_without_python_fails_with_the_remedy(
    submit: Submit, image_without_python: str
) -> None:
    container = submit("print(1)", image=image_without_python)
    status = container.ended()
    assert status.code == 127
    assert "no Python in this image" in container.log()
    assert "Take an image with Python" in container.log()


@needs_docker
def test_a_command_runs_in_an_image_without_python(
    submit: Submit, image_without_python: str
) -> None:
    command = 'echo $((6 * 7)); echo oh >&2; echo "$AML_CONTAINER"; cat; echo m >outputs/m; exit 5'
    container = submit(command=command, image=image_without_python)
    status = container.ended()
    assert (status.code, status.signal) == (5, None)
    assert status.since is not None
    assert container.log() == "42\noh\n\n"
    assert (container.job.folder / "outputs/m").read_text() == "m\n"


@needs_docker
def test_a_command_without_a_launcher_is_told_to_end(
    submit: Submit, image_without_python: str
) -> None:
    command = "trap 'echo leaving; exit 3' TERM; echo up; while :; do sleep 0.05; done"
    container = submit(command=command, image=image_without_python).is_up()
    assert container.backend.cancel(container.handle)
    assert container.ended().code == 3
    assert container.log().endswith("leaving\n")


@needs_docker
@pytest.mark.parametrize("is_kept", [False, True])
def test_a_command_is_not_repeated_by_a_container_that_is_started_again(
    is_kept: bool, submit: Submit, image_without_python: str
) -> None:
    options = {"keep": True} if is_kept else {}
    command = "echo once; echo x >>outputs/times"
    container = submit(command=command, image=image_without_python, options=options)
    assert container.ended().code == 0
    container.api.start(container.name)
    if is_kept:
        time.sleep(0.5)
        shown = container.api.top(container.name)["Processes"]
        assert any(process[-1] == "/bin/sh" for process in shown), shown
        container.api.kill(container.name)
    assert container.api.wait(container.name, timeout=20)["StatusCode"] == (137 if is_kept else 0)
    assert container.log() == "once\n"
    assert (container.job.folder / "outputs/times").read_text() == "x\n"


# Starting once ------------------------------------------------------------------------------


@needs_docker
def test_a_container_that_was_made_and_not_started_is_started(submit: Submit) -> None:
    """As when a runner is killed between the two."""
    container = submit("print('once')")
    container.ended()
    again = submit_only_made(container)
    assert again.status().phase == JobStatus.WAITING
    again.backend.submit(again.backend.plan(again.job))
    assert again.ended().code == 0
    assert again.log() == "once\n"


def submit_only_made(container: Container) -> Container:
    """The same run with a container that has never been started."""
    # Its end is told a moment before the container stops.
    container.api.remove_container(container.name, force=True)
    for name in (layout.CLAIM, layout.EXIT, END, layout.DRIVER_LOG):
        (container.job.folder / name).unlink()
    plan = DockerBackend().plan(container.job)
    made = container.api.create_container_from_config(dict(plan.container), plan.name)
    assert made["Id"]
    return container


@needs_docker
def test_a_stranger_of_the_same_name_is_not_taken_for_the_runs_container(
    submit: Submit, make: Make, docker_engine: Any, base_image: str
) -> None:
    job = make("print(1)", image=base_image, options={"host": docker_engine.host})
    with docker_engine.client() as client:
        stranger = client.containers.create(base_image, "true", name=name_for(str(job.folder)))
        try:
            with pytest.raises(AmlError, match="in use"):
                DockerBackend().submit(plan(job))
        finally:
            stranger.remove()


@needs_docker
def test_an_image_that_is_gone_is_told_apart_from_other_errors(submit: Submit) -> None:
    with pytest.raises(ImageMissing, match="aml-test/gone"):
        submit("print(1)", image="aml-test/gone:1")


@needs_docker
def test_leased_gpus_are_requested_and_their_lack_is_a_clear_error(
    submit: Submit, docker_engine: Any, base_image: str
) -> None:
    probe = DockerBackend().probe({"host": docker_engine.host})
    if probe.facts["gpus"]:
        pytest.skip("this engine has GPUs to give")
    with pytest.raises(ComputeTargetException) as caught:
        submit("print(1)", gpus=(0, 2))
    assert "nvidia" in caught.value.message
    assert "Container Toolkit" in caught.value.hint
    assert "--gpus 0" in caught.value.hint


@pytest.mark.slow
@pytest.mark.service("podman")
@calls_in_vain
def test_podman_which_would_start_without_the_gpus_is_refused(make: Make) -> None:
    with (
        tempfile.TemporaryDirectory(prefix="aml-pm-") as place,
        podman.service(Path(place, "p")) as engine,
    ):
        options = {"host": engine.host}
        assert DockerBackend().probe(options).facts["gpus"] is False
        with pytest.raises(ComputeTargetException, match="Podman gives no GPUs"):
            DockerBackend().submit(plan(make(image=images.BASE, gpus=(0,), options=options)))


@needs_docker
def test_device_requests_reach_the_engine_as_leased(
    make: Make, docker_engine: Any, base_image: str
) -> None:
    job = make("print(1)", image=base_image, gpus=(0, 2), options={"host": docker_engine.host})
    with docker_engine.client() as client:
        made = client.api.create_container_from_config(dict(plan(job).container))
        try:
            requests = client.api.inspect_container(made["Id"])["HostConfig"]["DeviceRequests"]
        finally:
            client.api.remove_container(made["Id"])
    assert [(r["Driver"], r["DeviceIDs"], r["Capabilities"]) for r in requests] == [
        ("nvidia", ["0", "2"], [["gpu"]])
    ]


@needs_docker
def test_a_container_that_could_not_be_started_is_not_left_behind(
    submit: Submit, docker_engine: Any
) -> None:
    before = len(containers_of(docker_engine))
    with pytest.raises(AmlError, match="no-such-network"):
        submit("print(1)", options={"network": "no-such-network"})
    assert len(containers_of(docker_engine)) == before


def containers_of(engine: Any) -> list[Any]:
    """Our containers there, running or not, of this very home."""
    with engine.client() as client:
        filters = {"label": f"{HOME}={home().state}"}
        found: list[Any] = client.containers.list(all=True, filters=filters, ignore_removed=True)
        return found


# Afterwards ---------------------------------------------------------------------------------


@needs_docker
def test_a_released_container_is_gone_and_a_kept_one_is_not(submit: Submit) -> None:
    gone, kept = submit("print(1)"), submit("print(1)", options={"keep": True})
    for container in (gone, kept):
        status = container.ended()
        container.backend.release(container.handle)
        assert container.status() == status
    assert not gone.is_there()
    assert kept.is_there()
    said = [event["message"] for event in events.read(str(kept.job.folder))[0]]
    assert len(said) == 1
    assert f"docker start -ai {kept.name}" in said[0]


@needs_docker
def test_a_job_that_runs_is_not_let_go_of(submit: Submit) -> None:
    container = submit(SLEEPS).is_up()
    container.backend.release(container.handle)
    assert container.status().phase == JobStatus.RUNNING


@needs_docker
def test_one_can_look_into_a_kept_container(submit: Submit) -> None:
    container = submit("open('/tmp/left', 'w').write('behind')", options={"keep": True})
    container.ended()
    container.backend.release(container.handle)
    until(lambda: container.inspect()["State"]["Status"] == "exited")
    socket = container.api.attach_socket(
        container.name, params={"stdin": 1, "stdout": 1, "stream": 1}
    )
    container.api.start(container.name)
    os.write(socket.fileno(), b"cat /tmp/left; pwd; exit 7\n")
    socket._sock.close()  # docker-py leaves it open
    socket.close()
    assert container.api.wait(container.name)["StatusCode"] == 7
    said = container.api.logs(container.name).decode()
    assert "behind" in said
    assert str(container.job.work) in said
    assert container.status().code == 0


@needs_docker
def test_the_engine_may_know_many_runs_and_answers_for_each(submit: Submit) -> None:
    ends = [submit(f"raise SystemExit({code})") for code in (3, 4)]
    for code, container in zip((3, 4), ends, strict=True):
        assert container.ended().code == code
    handles = [container.handle for container in ends]
    assert [status.code for status in DockerBackend().poll(handles)] == [3, 4]


@needs_docker
def test_a_probe_tells_what_the_engine_can_do(docker_engine: Any) -> None:
    probe = DockerBackend().probe({"host": docker_engine.host})
    assert probe.usable
    with docker_engine.client() as client:
        info = client.info()
    assert probe.facts["version"] == info["ServerVersion"]
    assert probe.facts["live_restore"] == info["LiveRestoreEnabled"]
    assert probe.facts["memory_limits"] == info["MemoryLimit"]


# Engines that go away -----------------------------------------------------------------------


@pytest.fixture
def engine_of_its_own(request: pytest.FixtureRequest) -> Iterator[OwnEngine]:
    """An engine that the test may stop; with live-restore if its parameter says so."""
    with (
        tempfile.TemporaryDirectory(prefix="aml-dk-") as place,
        own_engine(Path(place, "e"), live_restore=request.param) as own,
    ):
        yield own


@pytest.fixture
def submit_there(engine_of_its_own: OwnEngine, make: Make) -> Submit:
    """Submits a job to the engine that the test may stop."""

    def submitted(text: str = "", **spec: Any) -> Container:
        options = {"host": engine_of_its_own.host, **spec.pop("options", {})}
        made = make(text, image=images.BASE, options=options, **spec)
        container = Container(DockerBackend(), made, None)
        container.backend.submit(container.backend.plan(made))
        return container

    return submitted


with_live_restore = pytest.mark.parametrize("engine_of_its_own", [True], indirect=True)
without_live_restore = pytest.mark.parametrize("engine_of_its_own", [False], indirect=True)


@pytest.mark.slow
@pytest.mark.service("docker", "root")
@calls_in_vain
@without_live_restore
def test_an_engine_that_stops_ends_its_jobs_and_they_say_why(
    engine_of_its_own: OwnEngine, submit_there: Submit
) -> None:
    polite, stubborn = submit_there(CLEANS_UP).is_up(), submit_there(STUBBORN).is_up()
    engine_of_its_own.stop()
    status = polite.ended()
    assert (status.code, status.signal) == (None, signal.SIGTERM)
    assert "live-restore" in status.detail
    assert polite.log() == "up\nleaving\n"
    # What did not tell its end may run on, for all that is known without the engine.
    status = stubborn.status()
    assert status.phase == JobStatus.RUNNING
    assert "cannot be asked" in status.detail
    polite.backend.release(polite.handle)
    engine_of_its_own.start()
    status = stubborn.ended()
    assert (status.code, status.signal) == (None, signal.SIGKILL)
    assert "live-restore" in status.detail
    submit_there("print(1)").ended()
    with engine_of_its_own.client() as client:
        names = [
            container.name for container in client.containers.list(all=True, ignore_removed=True)
        ]
    assert polite.name not in names


@pytest.mark.slow
@pytest.mark.service("docker", "root")
@calls_in_vain
@with_live_restore
def test_a_job_outlives_an_engine_with_live_restore(
    engine_of_its_own: OwnEngine, submit_there: Submit, tmp_path: Path
) -> None:
    text = """
        import os, time
        print("up", flush=True)
        while not os.path.exists("outputs/go"):
            time.sleep(0.05)
        raise SystemExit(int(open("outputs/go").read()))
        """
    ends, goes_on, asked = (submit_there(text).is_up() for _ in range(3))
    engine_of_its_own.stop()
    for container in (ends, goes_on, asked):
        status = container.status()
        assert status.phase == JobStatus.RUNNING
        assert "cannot be asked" in status.detail
    (ends.job.folder / "outputs/go").write_text("3")
    assert ends.ended().code == 3
    assert asked.backend.cancel(asked.handle)
    assert asked.ended().signal == signal.SIGTERM
    engine_of_its_own.start()
    until(lambda: not goes_on.status().detail)
    (goes_on.job.folder / "outputs/go").write_text("0")
    assert goes_on.ended().code == 0


@pytest.mark.slow
@pytest.mark.service("docker", "root")
@calls_in_vain
@without_live_restore
def test_a_run_that_cannot_reach_its_engine_can_be_submitted_again(
    engine_of_its_own: OwnEngine, submit_there: Submit, make: Make
) -> None:
    submit_there("print(1)").ended()  # the engine is known, and its connection kept
    engine_of_its_own.stop()
    job = make("print(2)", image=images.BASE, options={"host": engine_of_its_own.host})
    with pytest.raises(EngineAway):
        DockerBackend().submit(plan(job))
    engine_of_its_own.start()
    container = Container(DockerBackend(), job, None)
    container.backend.submit(plan(job))
    assert container.ended().code == 0
