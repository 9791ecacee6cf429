"""An SSH server on loopback with a key of its own, that lets the user who started it in.

Usable by hand: ``python -m tests.services.sshd FOLDER`` runs one until Enter is pressed.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_START_LIMIT = 15.0


@dataclass(frozen=True)
class Server:
    """Where a server listens, and what gets one in."""

    user: str
    port: int
    key: Path
    programs: Path
    """A folder for PATH whose ``ssh`` has the key and trusts the server."""

    @property
    def options(self) -> tuple[str, ...]:
        """What ``ssh -o`` and its relatives need to get in without a question."""
        known = ("StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null")
        return (f"IdentityFile={self.key}", *known, "BatchMode=yes", "LogLevel=ERROR")


def is_here() -> bool:
    """Tell whether there is a server's program."""
    return _program() is not None


def _program() -> str | None:
    return shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


@contextlib.contextmanager
def server(folder: Path) -> Iterator[Server]:
    """A server whose files are in ``folder``, for the block."""
    keys = folder / "keys"
    keys.mkdir(mode=0o700, parents=True)
    for name in ("host", "user"):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(keys / name)]
        subprocess.run(command, check=True)
    shutil.copy(keys / "user.pub", keys / "authorized")
    port = free_port()
    config = folder / "sshd_config"
    config.write_text(
        f"ListenAddress 127.0.0.1:{port}\nHostKey {keys / 'host'}\n"
        f"AuthorizedKeysFile {keys / 'authorized'}\nStrictModes no\nUsePAM no\n"
        f"PasswordAuthentication no\nPidFile none\nSubsystem sftp internal-sftp\n"
    )
    started = Server(getpass.getuser(), port, keys / "user", folder / "programs")
    _write_ssh(started)
    # sshd wants its privilege separation folder, and to be started by its full path.
    if os.geteuid() == 0:
        os.makedirs("/run/sshd", exist_ok=True)
    command = [_program() or "sshd", "-D", "-e", "-f", str(config)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        _wait_for(port, process)
        yield started
    finally:
        process.terminate()
        process.wait(10)


def _write_ssh(server: Server) -> None:
    server.programs.mkdir()
    options = " ".join(f"-o {option}" for option in server.options)
    program = server.programs / "ssh"
    program.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} {options} "$@"\n')
    program.chmod(0o755)


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + _START_LIMIT
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise RuntimeError("sshd did not start")


def free_port() -> int:
    """A port on loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    with server(Path(sys.argv[1])) as here:
        input(
            f"PATH={here.programs}:$PATH ssh -p {here.port} {here.user}@127.0.0.1\n"
            "works until you press Enter "
        )
