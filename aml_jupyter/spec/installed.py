"""What is installed already, as dependencies: of this process, or of a conda environment."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, distributions
from pathlib import Path
from urllib.parse import unquote, urlsplit

from .conda import CondaDependencies
from .credentials import without_channel_token, without_credentials
from .requirements import pip_name

# Our own package travels with every job, and pip is no part of what a script imports.
_NOT_NEEDED = ("aml-jupyter", "pip")
_CONDA_RECORDS = "conda-meta"
_ROOTS = ("miniconda3", "anaconda3", "miniforge3", "mambaforge", "micromamba", ".conda")


@dataclass(frozen=True)
class InstalledPackages:
    """Dependencies that repeat what is installed; ``notes`` say what they cannot repeat."""

    dependencies: CondaDependencies
    notes: tuple[str, ...] = ()


def running_packages() -> InstalledPackages:
    """The Python of this process and all packages that it can import, in exact versions."""
    prefix = Path(sys.prefix)
    if (prefix / _CONDA_RECORDS).is_dir():
        return _of_conda(prefix)
    lines, notes = _of_pip(distributions())
    dependencies = CondaDependencies.create(python_version=platform.python_version())
    dependencies.set_pip_requirements(lines)
    return InstalledPackages(dependencies, notes)


def conda_packages(prefix: Path) -> CondaDependencies:
    """The packages of a conda environment in exact versions, what pip installed there included."""
    return _of_conda(prefix).dependencies


def conda_prefix(name_or_path: str) -> Path | None:
    """The folder of the conda environment of that name, or at that path; None if there is none."""
    for candidate in _candidates(name_or_path):
        if (candidate / _CONDA_RECORDS).is_dir():
            return candidate.absolute()
    return None


def _candidates(name: str) -> Iterator[Path]:
    """Where such an environment may be; conda itself is not started, and need not be there."""
    if os.sep in name:
        yield Path(name).expanduser()
        return
    active = os.environ.get("CONDA_PREFIX")
    if active and os.path.basename(active) == name:
        yield Path(active)
    for root in _roots():
        if name == "base":
            yield root
        yield root / "envs" / name
    for variable in ("CONDA_ENVS_PATH", "CONDA_ENVS_DIRS"):
        for folder in filter(None, os.environ.get(variable, "").split(os.pathsep)):
            yield Path(folder) / name
    yield from (noted for noted in _noted_environments() if noted.name == name)


def _roots() -> Iterator[Path]:
    for variable in ("MAMBA_ROOT_PREFIX", "CONDA_ROOT"):
        if os.environ.get(variable):
            yield Path(os.environ[variable])
    if os.environ.get("CONDA_EXE"):
        yield Path(os.environ["CONDA_EXE"]).parent.parent
    for name in _ROOTS:
        yield Path.home() / name


def _noted_environments() -> list[Path]:
    """The environments that conda noted for this user when it made them."""
    try:
        text = (Path.home() / ".conda" / "environments.txt").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return []
    return [Path(line.strip()) for line in text.splitlines() if line.strip()]


def _of_conda(prefix: Path) -> InstalledPackages:
    records = sorted(_conda_records(prefix), key=lambda record: record["name"])
    python = next((r["version"] for r in records if r["name"] == "python"), None)
    dependencies = CondaDependencies.create(pip_packages=[], python_version=python)
    if python is None:
        dependencies.remove_conda_package("python")
    for known in list(dependencies.conda_channels):
        dependencies.remove_channel(known)
    for record in records:
        if record["name"] != "python":
            dependencies.add_conda_package(f"{record['name']}={record['version']}")
    # The channel that most of them came from is the one that goes first.
    channels = Counter(record["channel"] for record in records if record["channel"])
    for channel, _ in channels.most_common():
        dependencies.add_channel(channel)
    places = [str(place) for place in prefix.glob("lib/python3*/site-packages")]
    by_pip = [each for each in distributions(path=places) if _installer(each) != "conda"]
    lines, notes = _of_pip(by_pip)
    dependencies.set_pip_requirements(lines)
    return InstalledPackages(dependencies, notes)


def _conda_records(prefix: Path) -> Iterator[dict[str, str]]:
    for path in (prefix / _CONDA_RECORDS).glob("*.json"):
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            name, version = str(record["name"]), str(record["version"])
        except (OSError, ValueError, KeyError, TypeError):
            continue  # a record that conda itself could not read either
        # Conda's virtual packages stand for the machine and cannot be installed.
        if not name.startswith("__"):
            yield {"name": name, "version": version, "channel": _channel(record)}


def _channel(record: dict[str, object]) -> str:
    """The channel's short name for Anaconda's own hosts, else its address, without a token."""
    address = str(record.get("channel") or "").removesuffix("/")
    address = address.removesuffix(f"/{record.get('subdir') or 'noarch'}")
    parts = urlsplit(address)
    if parts.hostname in ("conda.anaconda.org", "repo.anaconda.com"):
        path = parts.path.strip("/")
        return "defaults" if path.startswith("pkgs/") else path
    return without_channel_token(without_credentials(address))


def _of_pip(found: Iterable[Distribution]) -> tuple[list[str], tuple[str, ...]]:
    """A line for each distribution, and notes on those that another machine cannot install."""
    lines: dict[str, str] = {}
    left_out: list[str] = []
    for each in found:
        name = each.metadata["Name"]
        # The first on sys.path is the one that is imported.
        if not name or pip_name(name) in lines or pip_name(name) in _NOT_NEEDED:
            continue
        line = _line(name, each)
        lines[pip_name(name)] = line
        if not line:
            left_out.append(name)
    kept = [line for _, line in sorted(lines.items()) if line]
    return kept, _notes(sorted(left_out))


def _notes(left_out: list[str]) -> tuple[str, ...]:
    if not left_out:
        return ()
    return (
        f"Left out, because they were installed from folders of this machine: "
        f"{', '.join(left_out)}. Add wheels of them, or put their code beside the script.",
    )


def _line(name: str, distribution: Distribution) -> str:
    """What pip is told to install the same again; empty when it could not."""
    # A local version such as 2.1.0+cu118 is on no index but the one it came from.
    exact = f"{name}=={distribution.version.partition('+')[0]}"
    text = distribution.read_text("direct_url.json")
    if not text:
        return exact
    try:
        origin = json.loads(text)
        url = str(origin["url"])
    except (ValueError, KeyError, TypeError):
        return exact
    if isinstance(origin.get("vcs_info"), dict):
        commit = origin["vcs_info"].get("commit_id") or origin["vcs_info"].get("requested_revision")
        where = f"{origin['vcs_info'].get('vcs', 'git')}+{url}{f'@{commit}' if commit else ''}"
        return f"{name} @ {where}"
    if "dir_info" in origin:
        return ""
    if url.startswith("file:"):
        return f"{name} @ {url}" if os.path.isfile(unquote(urlsplit(url).path)) else ""
    return f"{name} @ {url}"


def _installer(distribution: Distribution) -> str:
    return (distribution.read_text("INSTALLER") or "").strip()
