"""Environments on this machine: what one that stands ready costs, and what building one costs."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from aml_jupyter import Environment, Experiment, Run, ScriptRunConfig
from aml_jupyter.environments import Recipe, cache, resolve
from aml_jupyter.environments.shelf import Shelf
from aml_jupyter.environments.venv import uv
from aml_jupyter.job import states
from benchmarks.report import Row, median_of, not_measured
from benchmarks.setting import JOBS, PYTHON, Effort, experiment
from tests.conftest import SERVICES

_PACKAGES = ("scikit-learn", "pandas")
_RUNS = 10
_WITHIN = 60.0
_BACKEND = """
import time, zipfile
from pathlib import Path

place = Path({place!r})

def build_wheel(folder, config_settings=None, metadata_directory=None):
    with open(place / "builds", "a") as builds:
        builds.write("one\\n")
    while not (place / "gate").exists():
        time.sleep(0.01)
    info = "counted-1.0.dist-info"
    metadata = "Metadata-Version: 2.1\\nName: counted\\nVersion: 1.0\\n"
    wheel = "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"
    with zipfile.ZipFile(Path(folder, "counted-1.0-py3-none-any.whl"), "w") as archive:
        archive.writestr("counted.py", "")
        archive.writestr(f"{{info}}/METADATA", metadata)
        archive.writestr(f"{{info}}/WHEEL", wheel)
        archive.writestr(f"{{info}}/RECORD", "")
    return "counted-1.0-py3-none-any.whl"
"""
_PROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
[project]
name = "counted"
version = "1.0"
"""


def rows(effort: Effort) -> Iterator[Row]:
    """An environment of scikit-learn and pandas is built for the first run that wants it, and by
    hand, by turns, with all downloads in uv's cache; each time into an empty folder. Then runs in
    that environment, which is ready, and runs with no environment are submitted by turns; the
    figure is how much longer it is to the script's first line, less by how much longer the
    environment's Python itself takes to it.
    """
    building = f"building an environment of {' and '.join(_PACKAGES)}"
    ready = "submit to the script's first line: what an environment that is ready adds"
    if not SERVICES["pypi"].probe():
        yield not_measured(building, "≤ 1.3 × by hand", f"no PyPI; {SERVICES['pypi'].how}")
        yield not_measured(ready, "≤ 20 ms more", f"no PyPI; {SERVICES['pypi'].how}")
        return
    with experiment() as place, tempfile.TemporaryDirectory(prefix="aml-bench-") as scratch:
        environment = _environment(Path(scratch), _PACKAGES)
        yield _built(building, environment, Path(scratch), effort.repeat)
        yield _ready(ready, place, environment, Path(scratch), max(effort.repeat, effort.of(31)))


def at_once(effort: Effort) -> Iterator[Row]:
    """Ten runs want an environment that nobody has, of a package that counts how often it is
    built, with no cache to take it from. It is let go on when all ten runs wait for it.
    """
    samples = [_builds_of_ten() for _ in range(effort.repeat)]
    name, worst = f"{_RUNS} runs that want one new environment at once: builds", max(samples)
    yield Row(name, worst, "builds", "1", "environments", 1.0, worst == 1, samples)


# One that is built ---------------------------------------------------------------------------


def _built(name: str, environment: Environment, scratch: Path, repeat: int) -> Row:
    recipe = _recipe(environment)
    _by_us(recipe)  # fetches what is not in uv's cache yet
    python = os.path.realpath(_found(recipe).interpreter)
    samples = []
    for _ in range(repeat):
        cache.remove(recipe.key)
        samples.append((_by_us(recipe), _by_hand(recipe, python, scratch)))
    ours, hands = (list(column) for column in zip(*samples, strict=True))
    value, limit = median_of(ours), ("uv venv && uv pip install", median_of(hands))
    return Row(name, value, "s", "≤ 1.3 × by hand", *limit, value <= 1.3 * limit[1], ours)


def _by_us(recipe: Recipe) -> float:
    """Seconds from wanting the environment until it is ready."""
    started = time.monotonic()
    build = cache.Build.begin(recipe, wanted_by="bench")
    while not (state := build.state()).is_over:
        time.sleep(0.005)
    seconds = time.monotonic() - started
    if state.error is not None:
        raise state.error
    _wait_until_free(recipe)
    build.leave("bench")
    return seconds


def _by_hand(recipe: Recipe, python: str, scratch: Path) -> float:
    """The same of the same Python and packages."""
    target = scratch / "by-hand"
    shutil.rmtree(target, ignore_errors=True)
    into, started = ["--python", str(target / "bin/python")], time.monotonic()
    _call([uv(), "venv", "--python", python, str(target)])
    _call([uv(), "pip", "install", *into, *recipe.pip])
    return time.monotonic() - started


def _found(recipe: Recipe) -> cache.Built:
    built = cache.find(recipe)
    if built is None:
        raise RuntimeError("the environment that was built is not found")
    return built


def _wait_until_free(recipe: Recipe) -> None:
    """Return when the builder has ended: it still measures how large the result is."""
    Shelf.of(recipe.key).wait_until_free(_WITHIN)


def _call(command: list[str]) -> None:
    subprocess.run(command, check=True, capture_output=True)


# One that stands ready -----------------------------------------------------------------------


def _ready(
    name: str, place: Experiment, environment: Environment, scratch: Path, repeat: int
) -> Row:
    built = _found(_recipe(environment))
    folder, note = _folder(scratch), scratch / "note"
    for each in (environment, None):
        _first_line(place, folder, note, each)
    more, without = [], []
    for _ in range(repeat):
        own = _first_line(place, folder, note, environment) - _bare(folder, note, built.interpreter)
        plain = _first_line(place, folder, note, None)
        more.append(own - (plain - _bare(folder, note, PYTHON)))
        without.append(plain)
    value, limit = median_of(more), ("a run with no environment", median_of(without))
    return Row(name, value, "ms", "≤ 20 ms more", *limit, value <= 20, more)


def _first_line(
    place: Experiment, folder: Path, note: Path, environment: Environment | None
) -> float:
    """Milliseconds from the call of submit to the script's first line."""
    config = ScriptRunConfig(
        str(folder), script="first_line.py", arguments=[str(note)], environment=environment
    )
    started = time.time_ns()
    _ended_well(place.submit(config))
    return (int(note.read_text()) - started) / 1e6


def _bare(folder: Path, note: Path, python: str) -> float:
    """The same by ``python script.py``."""
    started = time.time_ns()
    _call([python, str(folder / "first_line.py"), str(note)])
    return (int(note.read_text()) - started) / 1e6


# One that many want --------------------------------------------------------------------------


def _builds_of_ten() -> float:
    variables = {"AML_SLOTS": str(_RUNS), "UV_NO_CACHE": "1"}
    with (
        experiment(**variables) as place,
        tempfile.TemporaryDirectory(prefix="aml-bench-") as folder,
    ):
        scratch = Path(folder)
        environment = _environment(scratch, [_counted(scratch)])
        config = ScriptRunConfig(str(JOBS), script="nothing.py", environment=environment)
        runs = [place.submit(config) for _ in range(_RUNS)]
        _wait_until_all_prepare(runs)
        (scratch / "gate").touch()
        for run in runs:
            _ended_well(run)
        _wait_until_free(_recipe(environment))
        return float(len((scratch / "builds").read_text().split()))


def _wait_until_all_prepare(runs: list[Run]) -> None:
    until = time.monotonic() + _WITHIN
    while any(run.get_status() != states.PREPARING for run in runs):
        if time.monotonic() > until:
            raise RuntimeError(f"not all prepare: {[run.get_status() for run in runs]}")
        time.sleep(0.02)


def _counted(scratch: Path) -> str:
    """A project that notes each build of it, and ends none before a file ``gate`` is there."""
    project = scratch / "counted"
    project.mkdir()
    (project / "pyproject.toml").write_text(_PROJECT)
    (project / "backend.py").write_text(_BACKEND.format(place=str(scratch)))
    return str(project)


# All -----------------------------------------------------------------------------------------


def _environment(scratch: Path, packages: Iterable[str]) -> Environment:
    requirements = scratch / "requirements.txt"
    requirements.write_text("\n".join(packages))
    return Environment.from_pip_requirements("bench", requirements)


def _recipe(environment: Environment) -> Recipe:
    recipe = resolve(environment, container=False).recipe
    if recipe is None:
        raise RuntimeError(f"nothing is built for {environment}")
    return recipe


def _folder(scratch: Path) -> Path:
    folder = scratch / "script"
    folder.mkdir()
    shutil.copy(JOBS / "first_line.py", folder)
    return folder


def _ended_well(run: Run) -> None:
    run.wait_for_completion()
    if run.get_status() != states.COMPLETED:
        raise RuntimeError(f"{run.id}: {run.get_details().get('error')}")
