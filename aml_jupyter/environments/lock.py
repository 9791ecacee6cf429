"""Exact versions: what is installed, written down with a run, and built again from that."""

from __future__ import annotations

import os
import platform as machine
import re
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from aml_jupyter.errors import ServiceException, UserErrorException
from aml_jupyter.home import home
from aml_jupyter.job import layout
from aml_jupyter.job.beneath import replace as replace_below
from aml_jupyter.spec.credentials import without_credentials
from aml_jupyter.spec.requirements import normalised

from .recipe import CONDA, IMAGE, VENV, Recipe

CONDA_MARK = "conda:"
"""Begins the lines of packages that conda installed: ``conda:name==version=build``."""

_TITLE = "# What this run's environment held, exactly."
_NO_DEPS = "--no-deps"
_PATHS = "import json, sys; print(json.dumps([path for path in sys.path if path]))"
_PATHS_CACHE = "interpreter-paths.json"
_SECONDS_TO_START = 30


@dataclass(frozen=True)
class Lock:
    """What an ``environment.lock`` tells. ``packages`` are its lines, one for each package."""

    packages: tuple[str, ...]
    python: str = ""
    platform: str = ""
    kind: str = ""
    image: str = ""


def write(
    folder: Path,
    packages: Iterable[str],
    *,
    python: str,
    kind: str,
    image: str | None = None,
    platform: str = "",
) -> Path:
    """Write the ``environment.lock`` of the run in ``folder``; returns where."""
    facts = {
        "python": python,
        "platform": platform or f"{machine.system()} {machine.machine()}".lower(),
        "kind": kind,
        "image": image or "",
    }
    head = [_TITLE, *(f"# {name}: {_one_line(text)}" for name, text in facts.items() if text)]
    path = folder / layout.ENVIRONMENT_LOCK
    lines = [*head, *sorted(set(map(_one_line, packages)), key=str.lower)]
    try:
        # The job may be running already.
        replace_below(str(folder), path.name, "".join(f"{line}\n" for line in lines).encode())
    except OSError as error:
        raise layout.full_disk(error, str(path)) from error
    return path


def read(path: Path) -> Lock:
    """What :func:`write` wrote, in the file or in the run's folder."""
    file = path / layout.ENVIRONMENT_LOCK if path.is_dir() else path
    try:
        lines = file.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserErrorException(
            f"The exact versions in {file} cannot be read: {error}.",
            "Only runs that came to start have them; repeat the run without.",
        ) from error
    facts = dict(re.findall(r"(?m)^# (python|platform|kind|image): (.*)$", "\n".join(lines)))
    packages = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    return Lock(tuple(packages), **facts)


def locked_recipe(recipe: Recipe | None, lock: Lock) -> Recipe:
    """The recipe that builds exactly what the lock tells of, and nothing that is not in it.

    ``recipe`` is the run's own and says where packages come from; None for a run that took an
    interpreter as it was, which becomes a virtual environment.
    """
    base = recipe or Recipe(VENV, platform="")
    pip = [line for line in lock.packages if not line.startswith(CONDA_MARK)]
    conda = [_match_spec(line) for line in lock.packages if line.startswith(CONDA_MARK)]
    if conda and base.kind not in (CONDA, IMAGE):
        base = replace(base, kind=CONDA)
    options = [line for line in base.pip if line.startswith("-") and not _is_source(line)]
    named = replace(
        base,
        python=lock.python or base.python,
        pip=(_NO_DEPS, *(line for line in options if line != _NO_DEPS), *pip),
        conda=tuple(conda),
        contents=tuple(pair for pair in base.contents if any(pair[0] in line for line in pip)),
    )
    if recipe is None:
        # What was installed from a folder of its owner's cannot be had anywhere.
        named = replace(named, pip=tuple(line for line in named.pip if not _is_local(line)))
    return named


def installed(interpreter: str) -> tuple[str, ...]:
    """What an interpreter has installed, read from the disk; it is started once, to ask where."""
    found: dict[str, str] = {}
    for path in _paths_of(interpreter):
        for line in distributions(Path(path)):
            found.setdefault(re.split(r"==| @ ", line)[0], line)
    return tuple(sorted(found.values()))


def in_prefix(prefix: Path) -> tuple[str, ...]:
    """What a virtual or conda environment has installed by pip or uv."""
    folders = sorted((prefix / "lib").glob("python*/site-packages"))
    return tuple(sorted(line for folder in folders for line in distributions(folder)))


def distributions(folder: Path) -> list[str]:
    """``name==version`` of each distribution in one folder; ``name @ url`` where that is known."""
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return []
    lines = []
    for name in names:
        stem, _, suffix = name.rpartition(".")
        package, _, version = stem.partition("-")
        # A ~ begins the name of what pip was about to remove.
        if suffix not in ("dist-info", "egg-info") or package.startswith("~") or not version:
            continue
        version = re.sub(r"-py\d.*$", "", version)
        url = _direct_url(folder / name)
        package = normalised(package)
        lines.append(f"{package} @ {url}" if url else f"{package}=={version}")
    return lines


def _direct_url(info: Path) -> str:
    """Where a package was installed from, when not from an index; without any password."""
    record = layout.read_json(str(info / "direct_url.json"))
    if not isinstance(record, Mapping) or not record.get("url"):
        return ""
    url = without_credentials(str(record["url"]))
    vcs = record.get("vcs_info")
    if isinstance(vcs, Mapping):
        url = f"{vcs.get('vcs')}+{url}@{vcs.get('commit_id')}"
    below = record.get("subdirectory")
    return f"{url}#subdirectory={below}" if below else url


def _paths_of(interpreter: str) -> list[str]:
    """The folders that an interpreter imports from, asked once for each state of its file."""
    cache_path = str(home().state / _PATHS_CACHE)
    cache = layout.read_json(cache_path)
    known = cache if isinstance(cache, dict) else {}
    stamp = _stamp(interpreter)
    entry = known.get(interpreter)
    if isinstance(entry, dict) and entry.get("stamp") == stamp:
        return [str(path) for path in entry["paths"]]
    paths = _asked(interpreter)
    try:
        layout.write_json(cache_path, {**known, interpreter: {"stamp": stamp, "paths": paths}})
    except OSError:
        pass  # It is only a cache.
    return paths


def _asked(interpreter: str) -> list[str]:
    import json

    try:
        answer = subprocess.run(
            [interpreter, "-c", _PATHS],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_SECONDS_TO_START,
            cwd="/",
            check=True,
        )
        paths: list[str] = json.loads(answer.stdout.splitlines()[-1])
    except (OSError, subprocess.SubprocessError, ValueError, IndexError) as error:
        raise ServiceException(
            f"The interpreter {interpreter} does not say what it has installed: {error}.",
            f"Try `{interpreter} -c 'import sys'`.",
        ) from error
    return paths


def _stamp(interpreter: str) -> list[int]:
    """Changes with the interpreter, and with the virtual environment around it."""
    found = os.stat(interpreter)
    config = Path(interpreter).parent.parent / "pyvenv.cfg"
    beside = config.stat().st_mtime_ns if config.exists() else 0
    return [found.st_mtime_ns, found.st_size, beside]


def _match_spec(line: str) -> str:
    """Conda's words for ``conda:name==version=build``."""
    return line.removeprefix(CONDA_MARK).replace("==", "=", 1)


def _is_source(option: str) -> bool:
    """Whether an option names something to install; the lock says what that came to."""
    return option.startswith(("-e", "--editable", "-r", "--requirement", "-c", "--constraint"))


def _is_local(line: str) -> bool:
    return " @ file:" in line


def _one_line(text: str) -> str:
    return " ".join(text.split())
