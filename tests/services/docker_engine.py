"""A Docker engine of the tests' own: its own data, network and settings, beside any other.

Usable by hand, as root: ``python -m tests.services.docker_engine FOLDER`` runs one until Enter
is pressed. ``AML_TEST_DOCKER_HOST`` names an engine that is already up and serves instead.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil

from tests.services import images

_START_LIMIT = 60.0
_STOP_LIMIT = 40.0
DATA_SIZE = "4g"
NEEDED = ("dockerd", "containerd", "runc", "ip", "iptables", "setpriv")


class Engine:
    """A Docker engine that is up: ``host`` is what DOCKER_HOST would be."""

    def __init__(self, host: str) -> None:
        self.host = host

    def answers(self) -> bool:
        """Whether the engine at this unix socket answers."""
        import docker.errors

        with socket.socket(socket.AF_UNIX) as probe:
            # docker-py leaves a connection open that could not be made.
            try:
                probe.connect(self.host.removeprefix("unix://"))
            except OSError:
                return False
        with contextlib.suppress(docker.errors.DockerException), self.client() as client:
            return bool(client.ping())
        return False

    @contextlib.contextmanager
    def client(self) -> Iterator[Any]:
        """A client of docker-py's for the block."""
        import docker

        client = docker.DockerClient(base_url=self.host, timeout=120)
        try:
            yield client
        finally:
            client.close()


class OwnEngine(Engine):
    """An engine that a test may stop, kill and start again; its containers are its own."""

    def __init__(
        self,
        folder: Path,
        *,
        live_restore: bool = False,
        listen: Sequence[str] = (),
        data_size: str = DATA_SIZE,
        inside: Sequence[str] = (),
        runtimes: Sequence[str] = (),
    ) -> None:
        # A unix socket's path is limited to about a hundred bytes, and containerd's is longer.
        assert len(str(folder)) < 50, f"{folder} is too long a path for an engine's sockets"
        super().__init__(f"unix://{folder}/docker.sock")
        self.folder = folder
        self.listens = tuple(listen)
        self._inside = tuple(inside)
        self._process: subprocess.Popen[bytes] | None = None
        data = folder / "data"
        data.mkdir(parents=True)
        # In memory: on disks that are told of each block that is freed, to remove the thousands
        # of files of one image takes longer than all that most tests do with them.
        _call("mount", "-t", "tmpfs", "-o", f"size={data_size}", "aml-test", str(data))
        self._bridge = _Bridge()
        settings = {
            "hosts": [self.host, *listen],
            "data-root": str(data),
            "exec-root": str(folder / "exec"),
            "pidfile": str(folder / "docker.pid"),
            "live-restore": live_restore,
            "bridge": self._bridge.name,
            "runtimes": {name: {"path": "runc"} for name in runtimes},
            # On, it would empty the chains of the machine's own Docker.
            "iptables": False,
            "ip6tables": False,
        }
        (folder / "daemon.json").write_text(json.dumps(settings))

    @property
    def pid(self) -> int:
        """The process id of the engine."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start the engine and wait until it answers."""
        # A containerd of the machine's own would serve several engines.
        spaces = [f"--containerd-namespace={self._bridge.name}"]
        spaces += [f"--containerd-plugins-namespace={self._bridge.name}-plugins"]
        command = ["dockerd", "--config-file", str(self.folder / "daemon.json"), *spaces]
        # Whatever ends the tests ends the engine, and with it the containers.
        follow = ["setpriv", "--pdeathsig", "TERM", *self._inside]
        with open(self.folder / "log", "ab") as log:
            self._process = subprocess.Popen(
                [*follow, *command], stdout=log, stderr=log, start_new_session=True
            )
        self._wait_until_it_answers()

    def _wait_until_it_answers(self) -> None:
        assert self._process is not None
        until = time.monotonic() + _START_LIMIT
        while time.monotonic() < until and self._process.poll() is None:
            if self.answers():
                return
            time.sleep(0.1)
        said = (self.folder / "log").read_text(errors="replace")
        raise RuntimeError(f"dockerd did not start:\n{said[-3000:]}")

    def stop(self) -> None:
        """Stop the engine as a service manager does; containers end too, unless live_restore."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Kill the engine's process; its containers stay, nobody looking after them."""
        self._end(signal.SIGKILL)

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(_STOP_LIMIT)
            self._process = None
            self._see_containerd_end()

    def _see_containerd_end(self) -> None:
        """Wait for the engine's containerd: the next one would take its remains for alive."""
        pidfile = self.folder / "exec/containerd/containerd.pid"
        with contextlib.suppress(FileNotFoundError, ValueError, psutil.NoSuchProcess):
            containerd = psutil.Process(int(pidfile.read_text()))
            until = time.monotonic() + _STOP_LIMIT
            while containerd.status() != psutil.STATUS_ZOMBIE and time.monotonic() < until:
                time.sleep(0.05)
        pidfile.unlink(missing_ok=True)

    def close(self) -> None:
        """End the engine, its containers, and all that it made on this machine."""
        try:
            if self._process is None:
                self.start()
            self._remove_containers()
            self.stop()
        finally:
            self._end(signal.SIGKILL)
            self._end_what_is_left()
            self._bridge.remove()
            unmount_below(self.folder)
            shutil.rmtree(self.folder)

    def _remove_containers(self) -> None:
        with self.client() as client:
            for container in client.containers.list(all=True, ignore_removed=True):
                container.remove(force=True, v=True)

    def _end_what_is_left(self) -> None:
        """End containers of an engine that could not be asked to."""
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.NoSuchProcess):
                words = process.cmdline()
                if words and "containerd-shim" in words[0] and str(self.folder) in " ".join(words):
                    for part in (*process.children(recursive=True), process):
                        part.kill()


class _Bridge:
    """A network bridge for containers, with a way out that leaves other engines' rules alone."""

    def __init__(self) -> None:
        self.name, subnet = _new_bridge()
        self._rules = [
            [
                "nat",
                "POSTROUTING",
                "-s",
                f"{subnet}.0/24",
                "!",
                "-o",
                self.name,
                "-j",
                "MASQUERADE",
            ],
            ["filter", "FORWARD", "-i", self.name, "-j", "ACCEPT"],
            ["filter", "FORWARD", "-o", self.name, "-j", "ACCEPT"],
        ]
        _call("ip", "address", "add", f"{subnet}.1/24", "dev", self.name)
        _call("ip", "link", "set", self.name, "up")
        for table, *rule in self._rules:
            _call("iptables", "-w", "-t", table, "-I", *rule)

    def remove(self) -> None:
        """Remove the bridge and its rules."""
        for table, *rule in self._rules:
            _call("iptables", "-w", "-t", table, "-D", *rule)
        _call("ip", "link", "delete", self.name)


def _new_bridge() -> tuple[str, str]:
    """The name of a bridge made now, and the first three numbers of its subnet."""
    for number in range(256):
        with contextlib.suppress(RuntimeError):
            _call("ip", "link", "add", "name", f"aml{number}", "type", "bridge")
            return f"aml{number}", f"172.30.{number}"
    raise RuntimeError("no network bridge can be made here")


def _call(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")


def unmount_below(folder: Path) -> None:
    """Unmount all that is mounted below a folder."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    points = [line.split()[4] for line in lines]
    for point in reversed([point for point in points if point.startswith(f"{folder}/")]):
        subprocess.run(["umount", "-l", point], check=True)


@contextlib.contextmanager
def engine(
    folder: Path,
    *,
    live_restore: bool = False,
    listen: Sequence[str] = (),
    data_size: str = DATA_SIZE,
    inside: Sequence[str] = (),
    runtimes: Sequence[str] = (),
) -> Iterator[OwnEngine]:
    """An engine with the images of ``images.BASE``, living in ``folder``, for the block.

    ``listen`` are further addresses (``tcp://127.0.0.1:2375``), ``data_size`` is how much it may
    store, in memory, ``inside`` is a command that the engine is started by, such as
    ``unshare --mount``. ``runtimes`` are further names for the usual runtime.
    """
    own = OwnEngine(
        folder,
        live_restore=live_restore,
        listen=listen,
        data_size=data_size,
        inside=inside,
        runtimes=runtimes,
    )
    try:
        own.start()
        with own.client() as client:
            images.provide(client, images.BASE)
        yield own
    finally:
        own.close()


def given() -> Engine | None:
    """The engine that ``AML_TEST_DOCKER_HOST`` names, if it does."""
    host = os.environ.get("AML_TEST_DOCKER_HOST")
    return Engine(host) if host else None


def is_possible() -> bool:
    """Tell whether an engine can be had here, and a base image for it."""
    if given() is not None:
        return True
    return os.geteuid() == 0 and images.can_be_made() and all(map(images.which, NEEDED))


if __name__ == "__main__":
    with engine(Path(sys.argv[1])) as started:
        input(f"export DOCKER_HOST={started.host}\nuntil you press Enter ")
