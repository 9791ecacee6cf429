"""A network file system on this machine: a folder served by sshd and mounted by sshfs.

Usable by hand: ``python -m tests.services.network_disk FOLDER`` mounts one until Enter is pressed.
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
from pathlib import Path

_START_LIMIT = 15.0


@contextlib.contextmanager
def mounted(folder: Path) -> Iterator[Path]:
    """A network disk below ``folder``; what serves it ends with the block."""
    served, point = folder / "served", folder / "mounted"
    for place in (served, point):
        place.mkdir(parents=True)
    with _sshd(folder) as port:
        _mount(folder, served, point, port)
        try:
            yield point
        finally:
            subprocess.run(["fusermount", "-u", "-z", str(point)], check=True)


@contextlib.contextmanager
def _sshd(folder: Path) -> Iterator[int]:
    keys = folder / "keys"
    keys.mkdir(mode=0o700)
    for name in ("host", "user"):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(keys / name)]
        subprocess.run(command, check=True)
    shutil.copy(keys / "user.pub", keys / "authorized")
    port = _free_port()
    config = folder / "sshd_config"
    config.write_text(
        f"ListenAddress 127.0.0.1:{port}\nHostKey {keys / 'host'}\n"
        f"AuthorizedKeysFile {keys / 'authorized'}\nStrictModes no\nUsePAM no\n"
        f"PasswordAuthentication no\nPidFile none\nSubsystem sftp internal-sftp\n"
    )
    # sshd wants its privilege separation folder, and to be started by its full path.
    if os.geteuid() == 0:
        os.makedirs("/run/sshd", exist_ok=True)
    sshd = shutil.which("sshd") or "/usr/sbin/sshd"
    server = subprocess.Popen([sshd, "-D", "-e", "-f", str(config)], stderr=subprocess.DEVNULL)
    try:
        _wait_for(port, server)
        yield port
    finally:
        server.terminate()
        server.wait(10)


def _mount(folder: Path, served: Path, point: Path, port: int) -> None:
    options = (
        f"port={port},IdentityFile={folder / 'keys' / 'user'},StrictHostKeyChecking=no,"
        "UserKnownHostsFile=/dev/null,BatchMode=yes,LogLevel=ERROR"
    )
    source = f"{getpass.getuser()}@127.0.0.1:{served}"
    subprocess.run(["sshfs", "-o", options, source, str(point)], check=True, timeout=30)


def _wait_for(port: int, server: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + _START_LIMIT
    while time.monotonic() < until and server.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise RuntimeError("sshd did not start")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    with mounted(Path(sys.argv[1])) as place:
        input(f"{place} is a network disk until you press Enter ")
