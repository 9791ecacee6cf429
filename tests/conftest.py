"""What every test gets: a home of its own, and an honest word about what is missing here."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from aml_jupyter.job.metrics import file_system_of
from tests.compat import alone
from tests.services import chromium, images, memory_group, sshd
from tests.services import docker_engine as docker_service
from tests.services import podman as podman_service


@dataclass(frozen=True)
class Service:
    """Something of the machine that a test needs: is it here, and if not, how to get it."""

    probe: Callable[[], bool]
    how: str


def _can_mount() -> bool:
    """Tell whether this process may mount a tmpfs, by doing it."""
    with tempfile.TemporaryDirectory() as place:
        mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", place]
        try:
            if subprocess.run(mount, capture_output=True, check=False).returncode:
                return False
        except FileNotFoundError:
            return False
        subprocess.run(["umount", place], check=True)
        return True


def _has_pypi() -> bool:
    """Tell whether packages can be had, by asking for a very small one and not taking it."""
    asked = ["-m", "uv", "pip", "install", "--dry-run", "--no-deps", "--refresh", "--reinstall"]
    command = [sys.executable, *asked, "--python", sys.executable, "nest-asyncio"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _counts_writes() -> bool:
    """Tell whether the system counts what a process writes to where tests write."""
    in_memory = file_system_of(tempfile.gettempdir()) == "tmpfs"
    return os.access("/proc/self/io", os.R_OK) and not in_memory


def _has_python_3_8() -> bool:
    from tests.support import interpreter  # which itself imports this file

    return interpreter("3.8") is not None


SERVICES: Mapping[str, Service] = {
    "chromium": Service(
        chromium.is_here,
        chromium.HOW,
    ),
    "disk": Service(
        _counts_writes,
        "Linux, and TMPDIR on a disk rather than in memory",
    ),
    "docker": Service(
        docker_service.is_possible,
        "be root on Debian, apt-get install docker.io debootstrap iproute2 iptables; or name an "
        "engine that is up: AML_TEST_DOCKER_HOST=unix:///var/run/docker.sock",
    ),
    "git": Service(
        lambda: shutil.which("git") is not None,
        "Debian: apt-get install git; macOS: xcode-select --install",
    ),
    "memory": Service(
        memory_group.is_possible,
        "be root on Linux, where control groups with a limit of memory can be made",
    ),
    "mount": Service(
        _can_mount,
        "run as root on Linux, or inside `unshare --map-root-user --mount`",
    ),
    "namespaces": Service(
        alone.has_namespaces,
        "run as root on Linux, or as a user who may have namespaces: `unshare --net` tells",
    ),
    "sshd": Service(
        lambda: sshd.is_here() and shutil.which("ssh") is not None,
        "Debian: apt-get install openssh-server openssh-client",
    ),
    "sshfs": Service(
        lambda: bool(shutil.which("sshfs")) and os.path.exists("/dev/fuse") and sshd.is_here(),
        "Debian: apt-get install openssh-server sshfs, on a machine with /dev/fuse",
    ),
    "pypi": Service(
        _has_pypi,
        "connect this machine to PyPI, or name a mirror of it: UV_DEFAULT_INDEX=https://…",
    ),
    "python3.8": Service(_has_python_3_8, "put a `python3.8` on PATH"),
    "podman": Service(
        podman_service.is_possible,
        "Debian: apt-get install podman catatonit uidmap slirp4netns, and debootstrap; as root, or "
        "as a user with a line in /etc/subuid",
    ),
    "tmpfs": Service(
        lambda: file_system_of("/dev/shm") == "tmpfs" != file_system_of(tempfile.gettempdir()),
        "Linux with /dev/shm, and TMPDIR on a disk rather than in memory",
    ),
    "root": Service(lambda: os.geteuid() == 0, "run as root, in a container for example"),
}

_REPOSITORY = Path(__file__).resolve().parent.parent

_missing: dict[str, bool] = {}

_LONGEST = (
    *("docker_runs", "docker", "images", "batches", "notebook_jobs", "magics", "cli", "faults"),
    *("runner", "env_commands", "papermill_engine", "warm", "environment_builds"),
    *("batch", "installed", "live_view", "view_parts", "environments", "connection"),
)
"""The files that take longest, by name. They begin first, lest one process ends long after all."""

# Started in the background, pytest would hand ignored signals down to what tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGQUIT, signal.SIG_DFL)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave alone what has no test of the part that is asked for: to import it takes seconds."""
    words = config.option.markexpr.split(" and ")
    if collection_path.suffix != ".py" or not {"slow", "ui", "not ui"}.intersection(words):
        return None
    text = collection_path.read_text(encoding="utf-8")
    is_wanted = all(f"mark.{word}" in text for word in words if word in ("slow", "ui"))
    is_excluded = "not ui" in words and "mark.ui" in text  # a mark of whole files
    return True if is_excluded or not is_wanted else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files that take longest first; the order is otherwise as it was."""
    place = {f"test_{name}": at for at, name in enumerate(_LONGEST)}
    items.sort(key=lambda item: place.get(item.path.stem, len(place)))


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker in item.iter_markers("service"):
        for name in marker.args:
            _require(name)


def _require(name: str) -> None:
    service = SERVICES[name]
    if name not in _missing:
        _missing[name] = not service.probe()
    if not _missing[name]:
        return
    reason = f"needs {name}: {service.how}"
    if os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    lines = sorted(_not_tested(terminalreporter))
    # pytest-xdist's workers end here as well; the one that started them counts for all.
    if not lines or hasattr(terminalreporter.config, "workerinput"):
        return
    # scripts/test collects these of all its parts, to say them last and once.
    collected = os.environ.get("AML_TEST_MISSING")
    if collected:
        with open(collected, "a", encoding="utf-8") as file:
            file.writelines(f"  {line}\n" for line in lines)
        return
    terminalreporter.section("Not tested here")
    for line in lines:
        terminalreporter.line(line)


def _not_tested(reporter: pytest.TerminalReporter) -> Iterator[str]:
    counts: dict[str, int] = {}
    for report in reporter.stats.get("skipped", ()):
        found = re.match(r"(?:Skipped: )?(needs \w+: .*)", report.longrepr[2])
        if found:
            counts[found[1]] = counts.get(found[1], 0) + 1
    for reason, count in counts.items():
        yield f"{count} test{'s' if count > 1 else ''}: {reason}"


@pytest.fixture(scope="session")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where all homes keep what jobs import: to compile it takes longer than most tests."""
    return tmp_path_factory.mktemp("bundles")


@pytest.fixture(autouse=True)
def aml_home(bundles: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give the test an AML_HOME of its own; what runs in it ends with the test."""
    # Not tmp_path: a unix socket's path is limited to about a hundred bytes.
    home = Path(tempfile.mkdtemp(prefix="aml-"))
    (home / "bundle").symlink_to(bundles)
    monkeypatch.setenv("AML_HOME", str(home))
    yield home
    stop_runner(home)
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "-o", str(folder)]
    done = subprocess.run([*command, str(_REPOSITORY)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return next(folder.glob("aml_jupyter-*.whl"))


@pytest.fixture(scope="session")
def docker_engine() -> Iterator[docker_service.Engine]:
    """A Docker engine for all tests; its ``host`` is what they set DOCKER_HOST to."""
    _require("docker")
    given = docker_service.given()
    if given is not None:
        yield given
        return
    # Not tmp_path: a unix socket's path is limited to about a hundred bytes.
    with (
        tempfile.TemporaryDirectory(prefix="aml-dk-") as place,
        docker_service.engine(Path(place, "e")) as own,
    ):
        yield own


@pytest.fixture(scope="session")
def base_image(docker_engine: docker_service.Engine) -> str:
    """An image with Python in that engine."""
    return _provided(docker_engine, images.BASE)


@pytest.fixture(scope="session")
def image_without_python(docker_engine: docker_service.Engine) -> str:
    """An image with a shell and no Python in that engine."""
    return _provided(docker_engine, images.NO_PYTHON)


def _provided(engine: docker_service.Engine, image: str) -> str:
    with engine.client() as client:
        images.provide(client, image)
    return image


def stop_runner(home: Path) -> None:
    """End the runner that lives in `home`, if there is one."""
    try:
        found = re.search(rb"\d+", (home / "run" / "runner.lock").read_bytes())
        runner = psutil.Process(int(found[0])) if found else None
        # The pid may be another's by now: a runner says whose it is in its environment.
        if runner is None or runner.environ().get("AML_HOME") != str(home):
            return
        runner.terminate()
        if not _is_gone(runner, 3):
            runner.kill()
            assert _is_gone(runner, 3), f"runner {runner.pid} cannot be ended"
    except (FileNotFoundError, psutil.NoSuchProcess):
        return


def _is_gone(process: psutil.Process, seconds: float) -> bool:
    """Wait for a process to end; one that nobody has reaped yet has ended."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            if process.status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.01)
    return False
