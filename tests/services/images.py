"""The images that tests start from, made on the spot: no registry is needed.

``debootstrap`` makes a small Debian once; it is kept as tar files in ``$AML_TEST_CACHE`` (default:
``aml-tests`` in the user's cache folder) and imported into every engine that a test starts.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

BASE = "aml-test/base:bookworm"
"""Debian with Python, pip, venv and certificates: a user's everyday base image."""

NO_PYTHON = "aml-test/no-python:bookworm"
"""The same Debian with a shell and its tools, and no Python."""

_PACKAGES = "python3,python3-pip,python3-venv,ca-certificates"
_USELESS = ("dev/*", "var/cache/apt/*", "var/lib/apt/lists/*", "usr/share/doc/*", "usr/share/man/*")
_PYTHON = ("usr/bin/*python*", "usr/bin/pip*", "usr/lib/python3*", "usr/share/python*")
_TARS = {BASE: _USELESS, NO_PYTHON: (*_USELESS, *_PYTHON, "usr/share/locale/*", "usr/share/perl*")}


def cache() -> Path:
    """The folder where tests keep what is expensive to make."""
    given = os.environ.get("AML_TEST_CACHE")
    if given:
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "aml-tests"


def can_be_made() -> bool:
    """Tell whether the images are there already, or can be made here."""
    made = all(_path(cache(), name).exists() for name in _TARS)
    return made or (os.geteuid() == 0 and which("debootstrap") is not None)


def which(program: str) -> str | None:
    """The path of a program, also of those that only root has on PATH."""
    return shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


def provide(client: Any, *names: str) -> None:
    """Let the engine that ``client`` talks to have these images of this module."""
    for name in names:
        if not client.images.list(name):
            # The whole name at once: Podman heeds no tag here, and adds no registry.
            changes = ['CMD ["/bin/bash"]', "ENV PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"]
            client.api.import_image(
                src=str(_tar(name)), repository=f"docker.io/{name}", changes=changes
            )


def _tar(name: str) -> Path:
    """The tar file of an image; made now if it is not in the cache."""
    folder = cache()
    folder.mkdir(parents=True, exist_ok=True)
    path = _path(folder, name)
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            _make_all(folder)
    return path


def _path(folder: Path, name: str) -> Path:
    return folder / (name.replace("/", "-").replace(":", "-") + ".tar")


def _make_all(folder: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="aml-debian-") as place:
        root = Path(place, "root")
        asked = ["--variant=minbase", f"--include={_PACKAGES}"]
        command = ["debootstrap", *asked, "bookworm", str(root)]
        made = subprocess.run(command, capture_output=True, text=True, check=False)
        if made.returncode:
            raise RuntimeError(f"debootstrap failed:\n{made.stdout[-2000:]}{made.stderr[-2000:]}")
        for name, left_out in _TARS.items():
            _pack(root, _path(folder, name), left_out)


def _pack(root: Path, path: Path, left_out: Iterable[str]) -> None:
    beside = path.with_suffix(".new")
    excludes = [f"--exclude=./{pattern}" for pattern in left_out]
    command = ["tar", "-C", str(root), "--numeric-owner", *excludes, "-cf", str(beside), "."]
    subprocess.run(command, check=True)
    beside.rename(path)
