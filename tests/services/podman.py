"""A rootless Podman of the tests' own, answering at a socket as Docker would.

Root gives it a user of its own, in a view of /etc that only its processes have; anybody else runs
it as themselves. Usable by hand: ``python -m tests.services.podman FOLDER`` runs one until Enter
is pressed.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil

from tests.services import images
from tests.services.docker_engine import DATA_SIZE, Engine, unmount_below

NEEDED = ("podman", "runc", "conmon", "newuidmap", "slirp4netns", "setpriv", "unshare")
_CATATONIT = ("/usr/libexec/podman/catatonit", "/usr/bin/catatonit")
_USER, _ID = "aml-podman", 47_114
_MAPPED = "2000000000:65536"
_START_LIMIT = 30.0
_STORAGE = '[storage]\ndriver = "overlay"\n'
# Neither systemd's cgroups nor its journal are there on a bare machine.
# What was executed in a container is told apart for five minutes unless said otherwise.
_CONTAINERS = (
    '[engine]\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\nexit_command_delay = 1\n'
)


class Podman(Engine):
    """A Podman that is up; ``uid`` and ``gid`` are whose it is."""

    def __init__(self, folder: Path) -> None:
        super().__init__(f"unix://{folder}/run/podman.sock")
        self.folder = folder
        self.uid, self.gid = (_ID, _ID) if os.geteuid() == 0 else (os.geteuid(), os.getegid())
        self._as_user: list[str] = []
        self._process: subprocess.Popen[bytes] | None = None

    def command(self, *words: str, capabilities: str = "") -> list[str]:
        """The words of a command, to be run as the user whose Podman this is.

        ``capabilities`` are what root leaves it with, as setpriv names them.
        """
        if not self._as_user:
            return list(words)
        given = [f"--inh-caps={capabilities}", f"--ambient-caps={capabilities}"]
        return [*self._as_user, *(given if capabilities else []), "--", *words]

    @property
    def variables(self) -> dict[str, str]:
        """The environment of that user."""
        return {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": str(self.folder / "home"),
            "XDG_RUNTIME_DIR": str(self.folder / "run"),
            "CONTAINERS_CONF": str(self.folder / "containers.conf"),
            "CONTAINERS_STORAGE_CONF": str(self.folder / "storage.conf"),
        }

    def start(self) -> None:
        """Lay out what it stands on, start it, and wait until it answers."""
        for name in ("home", "run"):
            (self.folder / name).mkdir(mode=0o700, parents=True)
            # The group counts as well: what has one that is not mapped, no container may pass.
            os.chown(self.folder / name, self.uid, self.gid)
        if os.geteuid() == 0:
            self._keep_in_memory(self.folder / "home")
        for place in (self.folder, *self.folder.parents[:1]):
            place.chmod(0o755)
        (self.folder / "storage.conf").write_text(_STORAGE)
        (self.folder / "containers.conf").write_text(_CONTAINERS)
        if os.geteuid() == 0:
            self._as_user = _as_another_user(self.folder)
        with open(self.folder / "log", "wb") as log:
            self._process = subprocess.Popen(
                self.command("podman", "system", "service", "--time=0", self.host),
                env=self.variables,
                cwd=self.folder,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._wait_until_it_answers()

    def _keep_in_memory(self, store: Path) -> None:
        """As a Docker engine's data, where memory can hold it: kernels before 6.6 refuse."""
        settings = f"size={DATA_SIZE},mode=700,uid={self.uid},gid={self.gid}"
        subprocess.run(["mount", "-t", "tmpfs", "-o", settings, "aml-test", store], check=True)
        try:
            os.setxattr(store, "user.aml", b"")
        except OSError:
            unmount_below(self.folder)

    def _wait_until_it_answers(self) -> None:
        assert self._process is not None
        until = time.monotonic() + _START_LIMIT
        while time.monotonic() < until and self._process.poll() is None:
            if self.answers():
                return
            time.sleep(0.1)
        said = (self.folder / "log").read_text(errors="replace")
        raise RuntimeError(f"podman did not start:\n{said[-3000:]}")

    def close(self) -> None:
        """End it and its containers, and remove what it made."""
        if self._process is not None:
            self._run("podman", "rm", "--all", "--force", "--time=0")
            # Podman enters its user namespace by a child, which would outlive it.
            os.killpg(self._process.pid, signal.SIGTERM)
            self._process.wait(_START_LIMIT)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            # The process that holds the user namespace would stay for ever.
            self._run("podman", "system", "migrate")
            self._end_monitors()
        if os.geteuid() == 0:
            unmount_below(self.folder)
        remove = ("rm", "-rf", str(self.folder))
        if os.geteuid():
            self._run("podman", "unshare", *remove)
        subprocess.run(remove, check=True)

    def _end_monitors(self) -> None:
        """End the processes that watched over containers; they name this folder."""
        for found in psutil.process_iter(["cmdline"]):
            if any(word.startswith(f"{self.folder}/") for word in found.info["cmdline"] or ()):
                with contextlib.suppress(psutil.NoSuchProcess):
                    found.kill()

    def _run(self, *words: str) -> None:
        command = self.command(*words)
        subprocess.run(command, env=self.variables, cwd=self.folder, check=True, timeout=60)


def _network_for_all(folder: Path) -> list[str]:
    """What makes a container's network possible where only root may open the device for it."""
    tun = Path("/dev/net/tun")
    if not tun.exists() or tun.stat().st_mode & 0o006 == 0o006:
        return []
    open_to_all = folder / "tun"
    number = tun.stat().st_rdev
    os.mknod(open_to_all, 0o666 | stat.S_IFCHR, number)
    open_to_all.chmod(0o666)
    return [f"mount --bind {open_to_all} {tun}"]


def _as_another_user(folder: Path) -> list[str]:
    """What starts a command as a user that only the command sees in /etc."""
    etc = folder / "etc"
    etc.mkdir()
    added = {
        "passwd": f"{_USER}:x:{_ID}:{_ID}::{folder / 'home'}:/bin/sh\n",
        "group": f"{_USER}:x:{_ID}:\n",
        "subuid": f"{_USER}:{_MAPPED}\n",
        "subgid": f"{_USER}:{_MAPPED}\n",
    }
    lines = ["set -e"]
    for name, line in added.items():
        there = Path("/etc", name)
        (etc / name).write_text((there.read_text() if there.exists() else "") + line)
        lines.append(f"mount --bind {etc / name} {there}")
    lines += _network_for_all(etc)
    lines.append(f'exec setpriv --reuid={_ID} --regid={_ID} --clear-groups "$@"')
    (etc / "start").write_text("\n".join(lines))
    return ["unshare", "--mount", "--propagation=private", "sh", str(etc / "start")]


@contextlib.contextmanager
def service(folder: Path, names: Sequence[str] = (images.BASE,)) -> Iterator[Podman]:
    """A rootless Podman with these images, living in ``folder``, for the block."""
    podman = Podman(folder)
    try:
        podman.start()
        with podman.client() as client:
            images.provide(client, *names)
        yield podman
    finally:
        podman.close()


def is_possible() -> bool:
    """Tell whether a rootless Podman can be had here, and a base image for it."""
    there = all(map(images.which, NEEDED)) and any(map(os.path.exists, _CATATONIT))
    if os.geteuid() == 0:
        return there and images.can_be_made() and Path("/etc/subuid").exists()
    return there and images.can_be_made() and _has_mapped_ids()


def _has_mapped_ids() -> bool:
    user = getpass.getuser()
    with contextlib.suppress(FileNotFoundError):
        lines = Path("/etc/subuid").read_text().splitlines()
        return any(line.startswith((f"{user}:", f"{os.geteuid()}:")) for line in lines)
    return False


if __name__ == "__main__":
    with service(Path(sys.argv[1])) as started:
        input(f"export DOCKER_HOST={started.host}\nuntil you press Enter ")
