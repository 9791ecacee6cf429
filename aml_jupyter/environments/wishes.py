"""The packages that an environment asks for, as a recipe takes them: no secrets, no v1 SDK."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from urllib.parse import quote, unquote

from aml_jupyter.errors import RunConfigurationException
from aml_jupyter.spec import CondaDependencies
from aml_jupyter.spec.credentials import without_channel_token
from aml_jupyter.spec.requirements import read_requirements

from .conda_names import pip_version
from .venv import requirement_name

# They would need Azure, or shadow the package of that name that comes with us.
_OURS = re.compile(r"azureml(-.*)?")
_CONDA = re.compile(r"(?:[^\s:]+::)?(?P<name>[^\s=<>!~\[]+)\s*(?P<version>.*)")
_CREDENTIALS = re.compile(r"(?P<scheme>(?:\w+\+)?https?://)(?P<who>[^\s/@]+)@(?P<host>[^\s/:]+)")
_OPTION = re.compile(r"(?P<option>--?[A-Za-z][\w-]*)(?:\s*=\s*|\s+)(?P<value>\S.*)")
_LOCAL_OPTIONS = frozenset(("-f", "--find-links", "-c", "--constraint", "-e", "--editable"))
_INCLUDE = frozenset(("-r", "--requirement"))
_EDITABLE = frozenset(("-e", "--editable"))
_ARCHIVE = re.compile(r"\S+\.(?:whl|zip|tar\.gz|tgz|tar\.bz2)")
_PROJECT_FILES = ("pyproject.toml", "setup.py", "setup.cfg")
_READ_WHOLE = 1 << 24


@dataclass
class Wishes:
    """What is asked for. ``satisfied`` are the entries that our own package stands for."""

    python: str | None = None
    pip: list[str] = field(default_factory=list)
    conda: list[str] = field(default_factory=list)
    channels: list[str] = field(default_factory=list)
    satisfied: list[str] = field(default_factory=list)
    contents: dict[str, str] = field(default_factory=dict)
    netrc: dict[str, tuple[str, str]] = field(default_factory=dict)
    channel_urls: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, conda: CondaDependencies | None, in_container: bool = False) -> Wishes:
        """What ``conda`` asks for; local files are named by absolute paths."""
        wishes = cls()
        if conda is None:
            return wishes
        record = conda.as_dict()
        packages = list(conda.conda_packages)
        pip = wishes._take_conda(packages)
        lines = [*conda.pip_options, *conda.pip_packages]
        for line in _expanded(lines):
            wishes._take_pip(line, in_container)
        # A folder of wheels, or hashes for all, seldom have pip among them.
        is_closed = any("--hash" in line or "--no-index" in line for line in wishes.pip)
        if pip and not is_closed:
            wishes.pip.append(pip)
        wishes.channels = [wishes._channel(str(each)) for each in _list(record.get("channels"))]
        options = [line for line in wishes.pip if line.startswith("-")]
        wishes.pip = [*options, *sorted({line for line in wishes.pip if line not in options})]
        wishes.conda = sorted(set(wishes.conda))
        return wishes

    @property
    def secrets(self) -> dict[str, object]:
        """The credentials that were cut out: a text for a netrc file, and whole channel URLs."""
        entries = [
            f"machine {host} login {_quoted(login)} password {_quoted(password)}\n"
            for host, (login, password) in self.netrc.items()
        ]
        found: dict[str, object] = {"netrc": "".join(entries)} if entries else {}
        return {**found, "channels": self.channel_urls} if self.channel_urls else found

    def _take_conda(self, packages: Iterable[str]) -> str:
        """Sort the conda entries; returns pip itself as pip writes it, if it is among them."""
        pip = ""
        for package in packages:
            found = _CONDA.fullmatch(package.strip())
            name = found["name"].lower() if found else ""
            if name == "python" and found is not None:
                self.python = python_version(found["version"])
            elif name == "pip":
                pip = f"pip{pip_version(found['version'] if found else '') or ''}"
            elif _OURS.fullmatch(name):
                self._satisfy(package)
            else:
                self.conda.append(" ".join(package.split()))
        return pip

    def _satisfy(self, entry: str) -> None:
        """Leave it to our own package, but for what its name promises besides."""
        self.satisfied.append(entry)
        extras = re.search(r"\[([^\]]*)\]", entry)
        if extras and "pandas" in re.split(r"[\s,]+", extras[1]):
            # Registered tables are Parquet files, which pandas reads by pyarrow, as v1 did.
            self.pip += ["pandas", "pyarrow"]
        if requirement_name(entry) == "azureml-mlflow":
            self.pip.append("mlflow-skinny")

    def _take_pip(self, line: str, in_container: bool) -> None:
        line = self._without_credentials(" ".join(line.split()))
        if _OURS.fullmatch(requirement_name(line)):
            self._satisfy(line)
            return
        found = _OPTION.fullmatch(line) if line.startswith("-") else None
        if found and found["option"] in _LOCAL_OPTIONS:
            line = f"{found['option']} {self._local(found['value'], found['option'], in_container)}"
        elif found is None and not line.startswith("-"):
            line = self._local_requirement(line)
        if line not in self.pip:
            self.pip.append(line)

    def _local_requirement(self, line: str) -> str:
        what, semicolon, marker = line.partition(";")
        before, at, url = what.partition(" @ ")
        path = url.strip() if at else what.strip()
        is_path = path.startswith(("./", "../", "/", "~", "file:")) or (
            not at and "://" not in path and _ARCHIVE.fullmatch(path) is not None
        )
        if not is_path:
            return line
        absolute = self._local(path, "", False)
        if at:
            absolute = f"{before} @ file://{quote(absolute)}"
        return f"{absolute} ;{marker}" if semicolon else absolute

    def _local(self, value: str, option: str, in_container: bool) -> str:
        """The absolute path of what a line names on this machine; other addresses as they are."""
        is_url = "://" in value and not value.startswith("file:")
        if is_url:
            return value
        path, bracket, extras = value.partition("[")
        if path.startswith("file:"):
            path = unquote(path.removeprefix("file:").removeprefix("//"))
        path = os.path.abspath(os.path.expanduser(path.strip()))
        if option in _EDITABLE and in_container:
            raise RunConfigurationException(
                f"`-e {value}` links to a folder of this machine, which is not in the container.",
                f"Write {value} without -e: it is then installed into the image.",
            )
        if not os.path.exists(path):
            raise RunConfigurationException(
                f"There is no {path}, which the environment's packages name ({value}).",
                f"Paths are relative to {os.getcwd()}; correct it, or give the whole path.",
            )
        self.contents[path] = _editable(path) if option in _EDITABLE else digest(path)
        return f"{path}{bracket}{extras}"

    def _without_credentials(self, line: str) -> str:
        def cut(found: re.Match[str]) -> str:
            if "$" in found["who"] or found["who"] == "git":
                return found[0]
            login, _, password = found["who"].partition(":")
            self._remember(found["host"], unquote(login), unquote(password))
            return f"{found['scheme']}{found['host']}"

        return _CREDENTIALS.sub(cut, line)

    def _remember(self, host: str, login: str, password: str) -> None:
        if self.netrc.setdefault(host, (login, password)) != (login, password):
            raise RunConfigurationException(
                f"The environment has several logins for {host}.",
                "Give all of them the same one, or keep one of the packages on another server.",
            )

    def _channel(self, channel: str) -> str:
        clean = without_channel_token(self._without_credentials(channel))
        if clean != channel:
            self.channel_urls[clean] = channel
        return clean


def python_version(text: str) -> str | None:
    """The version or range of Python in a conda entry: ``=3.10.*`` is ``3.10``."""
    # `=>=3.9` is what set_python_version makes of a range.
    version = re.sub(r"^[=\s]+(?=[\d<>!~])", "", text.strip())
    if re.search(r"[<>!~,|]", version):
        return re.sub(r"\s+", "", version)
    first = re.split(r"[=\s]", version.lstrip("= "))[0].removesuffix(".*")
    if first and not first[0].isdigit():
        raise RunConfigurationException(
            f"The environment asks for Python {first!r}, which is no version.",
            "Write one such as python=3.11, or a range such as python>=3.10,<3.13.",
        )
    return first or None


def digest(path: str) -> str:
    """What changes with a file's content, or with any file in a folder."""
    if os.path.isfile(path):
        found = os.stat(path)
        if found.st_size > _READ_WHOLE:
            return f"{found.st_size}-{found.st_mtime_ns}"
        with open(path, "rb") as file:
            return hashlib.sha256(file.read()).hexdigest()[:32]
    return folder_digest(path)


def folder_digest(folder: str, whole: bool = False) -> str:
    """What changes when a file in the folder does: by size and time, or ``whole``, by content."""
    summary = hashlib.sha256()
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in (".git", "__pycache__"))
        for name in sorted(names):
            path = os.path.join(place, name)
            found = os.lstat(path)
            stamp = digest(path) if whole and os.path.isfile(path) else str(found.st_mtime_ns)
            relative = os.path.relpath(path, folder)
            summary.update(repr((relative, found.st_size, found.st_mode, stamp)).encode())
    return summary.hexdigest()[:32]


def _editable(path: str) -> str:
    """The digest of what an editable install is made from; its modules are only linked to."""
    if not os.path.isdir(path):
        raise RunConfigurationException(
            f"`-e {path}` names a file.", "Name the project's folder, or leave out -e."
        )
    files = [os.path.join(path, name) for name in _PROJECT_FILES]
    return "-".join(digest(file)[:16] for file in files if os.path.isfile(file))


def _expanded(lines: Iterable[str]) -> Iterator[str]:
    """The lines, with files of requirements that they include."""
    for line in lines:
        found = _OPTION.fullmatch(line.strip())
        if found and found["option"] in _INCLUDE:
            yield from read_requirements(found["value"])
        else:
            yield re.sub(r"\s#.*$", "", line)


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _list(value: object) -> list[object]:
    return list(value) if isinstance(value, list) else []
