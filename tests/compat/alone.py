"""``python -m tests.compat.alone COMMAND``: the command in a network with nothing but loopback.

All that it starts is in there with it, and the kernel refuses every connection to elsewhere. For
root, or where users may have namespaces of their own.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
import subprocess
import sys
from functools import cache
from pathlib import Path

_NEW_NETWORK, _NEW_USER = 0x40000000, 0x10000000
_GET_FLAGS, _SET_FLAGS, _IS_UP = 0x8913, 0x8914, 1


@cache
def has_namespaces() -> bool:
    """Whether this process may have a network of its own, with nothing in it but loopback."""
    if not sys.platform.startswith("linux"):
        return False
    command = [sys.executable, "-m", "tests.compat.alone", sys.executable, "-c", "0"]
    root = Path(__file__).resolve().parent.parent.parent
    return subprocess.run(command, cwd=root, capture_output=True, check=False).returncode == 0


def main() -> None:
    """Enter a network of its own and become the command."""
    user, group = os.getuid(), os.getgid()
    _unshare(_NEW_NETWORK if user == 0 else _NEW_NETWORK | _NEW_USER)
    if user != 0:
        _stay(user, group)
    _raise_loopback()
    os.execv(sys.argv[1], sys.argv[1:])


def _unshare(what: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(what):
        number = ctypes.get_errno()
        raise OSError(number, f"a network of its own is refused: {os.strerror(number)}")


def _stay(user: int, group: int) -> None:
    """Be who one was, in the new namespace of users as well."""
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{user} {user} 1"),
        ("gid_map", f"{group} {group} 1"),
    ):
        with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
            file.write(text)


def _raise_loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sh22x", b"lo", 0)
        (flags,) = struct.unpack_from("h", fcntl.ioctl(any_socket, _GET_FLAGS, request), 16)
        request = struct.pack("16sh22x", b"lo", flags | _IS_UP)
        fcntl.ioctl(any_socket, _SET_FLAGS, request)


if __name__ == "__main__":
    main()
