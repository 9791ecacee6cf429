"""A conda channel in a folder, made on the spot, with a few tiny packages and a real Python.

Its ``python`` is the interpreter that this runs with, linked; all else is a few bytes.
Usable by hand: ``python -m tests.services.conda_channel FOLDER`` makes the channels ``near`` and
``far`` there and prints their addresses.
"""

from __future__ import annotations

import bz2
import hashlib
import io
import json
import os
import platform
import sys
import tarfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

PYTHON = platform.python_version()
MINOR = ".".join(PYTHON.split(".")[:2])
PLACEHOLDER = "/opt/a_prefix_that_is_replaced_when_a_package_is_linked"


@dataclass(frozen=True)
class Package:
    """A conda package: ``files`` are texts by path, ``links`` are targets by path.

    A ``noarch`` package is for Python: what is below ``site-packages/`` is put where the
    environment's Python looks, and ``commands`` become executables. ``placed`` are files in which
    the placeholder is replaced by the environment's path.
    """

    name: str
    version: str
    depends: Sequence[str] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)
    commands: Sequence[str] = ()
    placed: Iterable[str] = ()
    noarch: bool = True
    build: str = "0"

    @property
    def file_name(self) -> str:
        """What it is called in a channel."""
        return f"{self.name}-{self.version}-{self.build}.tar.bz2"

    def write(self, channel: Path) -> None:
        """Put the package into its folder of ``channel``."""
        folder = channel / ("noarch" if self.noarch else subdir())
        folder.mkdir(parents=True, exist_ok=True)
        (folder / self.file_name).write_bytes(bz2.compress(self._archive(), 1))

    def index(self) -> dict[str, object]:
        """What the solver is told of it."""
        record: dict[str, object] = {
            "name": self.name,
            "version": self.version,
            "build": self.build,
            "build_number": 0,
            "depends": list(self.depends),
            "subdir": "noarch" if self.noarch else subdir(),
            "timestamp": 1_700_000_000_000,
        }
        return {**record, "noarch": "python"} if self.noarch else record

    def _archive(self) -> bytes:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            for path, text in self._about().items():
                _add(archive, f"info/{path}", text)
            for path, text in self.files.items():
                _add(archive, path, text)
            for path, target in self.links.items():
                link = tarfile.TarInfo(path)
                link.type, link.linkname = tarfile.SYMTYPE, target
                archive.addfile(link)
        return buffer.getvalue()

    def _about(self) -> dict[str, str]:
        paths = [self._path(path, text) for path, text in self.files.items()]
        paths += [{"_path": path, "path_type": "softlink"} for path in self.links]
        about: dict[str, object] = {
            "index.json": self.index(),
            "paths.json": {"paths": paths, "paths_version": 1},
            "about.json": {"summary": "made on the spot"},
        }
        if self.noarch:
            python = {"type": "python", "entry_points": list(self.commands)}
            about["link.json"] = {"noarch": python, "package_metadata_version": 1}
        texts = {name: json.dumps(value) for name, value in about.items()}
        return {**texts, "files": "".join(f"{path}\n" for path in [*self.files, *self.links])}

    def _path(self, path: str, text: str) -> dict[str, object]:
        record: dict[str, object] = {
            "_path": path,
            "path_type": "hardlink",
            "sha256": hashlib.sha256(text.encode()).hexdigest(),
            "size_in_bytes": len(text.encode()),
        }
        if path in self.placed:
            record |= {"prefix_placeholder": PLACEHOLDER, "file_mode": "text"}
        return record


def python() -> Package:
    """The interpreter that this runs with, as a package that is good enough to work with.

    A ``pyvenv.cfg`` makes the environment's folder its prefix, as in a virtual environment.
    """
    interpreter = os.path.realpath(os.path.join(sys.base_exec_prefix, "bin", f"python{MINOR}"))
    home = os.path.dirname(interpreter)
    return Package(
        "python",
        PYTHON,
        files={"pyvenv.cfg": f"home = {home}\nversion = {PYTHON}\n"},
        links={
            f"bin/python{MINOR}": interpreter,
            "bin/python3": f"python{MINOR}",
            "bin/python": f"python{MINOR}",
        },
        noarch=False,
    )


def module(name: str, version: str, text: str, depends: Sequence[str] = ()) -> Package:
    """A package with one Python module, as pip sees it too, and a command of the same name."""
    about = f"site-packages/{name}-{version}.dist-info"
    return Package(
        name,
        version,
        ["python", *depends],
        files={
            f"site-packages/{name}.py": text,
            f"{about}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
            f"{about}/INSTALLER": "conda\n",
            f"{about}/RECORD": f"{name}.py,,\n{name}-{version}.dist-info/METADATA,,\n",
        },
        commands=[f"{name} = {name}:main"] if "def main" in text else [],
    )


def tool() -> Package:
    """A package for this platform: a script that names its prefix, variables, and a last step."""
    return Package(
        "tool",
        "1.0",
        files={
            "bin/tool": f"#!/bin/sh\necho {PLACEHOLDER}\n",
            "etc/conda/activate.d/tool.sh": 'export TOOL_DATA="$CONDA_PREFIX/share/tool"\n',
            "share/tool/data": "data\n",
            "bin/.tool-post-link.sh": '#!/bin/sh\necho linked > "$PREFIX/share/tool/linked"\n',
        },
        placed=["bin/tool"],
        noarch=False,
    )


_GREET = "import words\n\ndef main():\n    print(words.HELLO, 'from {}')\n"


def near() -> list[Package]:
    """Packages that fit together, but for ``greet`` 2.0 and ``loud``."""
    return [
        python(),
        tool(),
        module("words", "1.0", "HELLO = 'Hello'\n"),
        module("words", "2.0", "HELLO = 'Good morning'\n"),
        module("greet", "1.0", _GREET.format("1.0"), ["words >=1,<2"]),
        module("greet", "2.0", _GREET.format("2.0"), ["words >=2"]),
        module("loud", "1.0", "import words\nHELLO = words.HELLO.upper()\n", ["words <2"]),
    ]


def far() -> list[Package]:
    """Packages of a second channel: a newer ``greet``, and one that only it has."""
    return [
        module("greet", "3.0", _GREET.format("3.0"), ["words >=2"]),
        module("farewell", "1.0", "import words\nprint('Farewell,', words.HELLO)\n", ["words"]),
    ]


def write(folder: Path, packages: Iterable[Package]) -> str:
    """Make ``folder`` a channel with these packages; returns its address."""
    for name in ("noarch", subdir()):
        (folder / name).mkdir(parents=True, exist_ok=True)
    listed: dict[str, dict[str, object]] = {"noarch": {}, subdir(): {}}
    for package in packages:
        package.write(folder)
        record = package.index()
        where = str(record["subdir"])
        data = (folder / where / package.file_name).read_bytes()
        sums = {"md5": hashlib.md5(data).hexdigest(), "sha256": hashlib.sha256(data).hexdigest()}
        listed[where][package.file_name] = {**record, **sums, "size": len(data)}
    for name, records in listed.items():
        repodata = {"info": {"subdir": name}, "packages": records, "packages.conda": {}}
        (folder / name / "repodata.json").write_text(json.dumps(repodata), encoding="utf-8")
    return folder.absolute().as_uri()


def subdir() -> str:
    """What conda calls this platform."""
    system = {"linux": "linux", "darwin": "osx"}[sys.platform]
    machine = platform.machine()
    arm = "arm64" if system == "osx" else "aarch64"
    return f"{system}-{ {'x86_64': '64', 'aarch64': arm, 'arm64': arm}.get(machine, machine) }"


def _add(archive: tarfile.TarFile, path: str, text: str) -> None:
    data = text.encode()
    entry = tarfile.TarInfo(path)
    entry.size = len(data)
    entry.mtime = int(time.time())
    entry.mode = 0o755 if path.startswith("bin/") else 0o644
    archive.addfile(entry, io.BytesIO(data))


if __name__ == "__main__":
    place = Path(sys.argv[1])
    print(write(place / "near", near()))
    print(write(place / "far", far()))
