"""Plays a sample in a copy of its folder, without a network, and tells what came of it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from tests.conftest import stop_runner

from . import sources
from .alone import has_namespaces
from .samples import Sample

ROOT = Path(__file__).resolve().parent.parent.parent
PYTHON = "AML_SAMPLES_PYTHON"
"""The variable that names the interpreter with the packages of the samples; else this one."""

RUNS, PARTLY, FAILS, NOT_PLAYED = "runs", "runs in part", "fails", "not played"

_AZURE_CONFIG = {
    "subscription_id": "00000000-0000-0000-0000-000000000001",
    "resource_group": "samples",
    "workspace_name": "samples",
}


@dataclass(frozen=True)
class Outcome:
    """What came of a sample: one of the words above, how long it took, and why."""

    sample: Sample
    result: str
    seconds: float = 0.0
    why: str = ""
    passed_over: Mapping[str, int] = field(default_factory=dict)
    printed: str = ""


def play(sample: Sample, keep: Path | None = None) -> Outcome:
    """Play one sample from its checkout; ``keep`` is a folder to leave everything in."""
    if sample.why_not:
        return Outcome(sample, NOT_PLAYED, why=sample.why_not)
    missing = _missing_modules(sample)
    if missing:
        return Outcome(sample, NOT_PLAYED, why=f"the interpreter has no {', '.join(missing)}")
    try:
        with _place(keep) as place:
            return _played(sample, place)
    except sources.MissingError as error:
        return Outcome(sample, NOT_PLAYED, why=str(error))


def _played(sample: Sample, place: Path) -> Outcome:
    folder = place / "project"
    if sample.code:
        sources.copy(sample.code, sample.folder, folder)
    else:
        shutil.copytree(ROOT / sample.folder, folder)
    if sample.has_config:
        (folder / ".azureml").mkdir(exist_ok=True)
        (folder / ".azureml" / "config.json").write_text(json.dumps(_AZURE_CONFIG))
    plan = place / "plan.json"
    outcome = place / "outcome.json"
    said = {"sample": sample.key, "folder": str(folder), "outcome": str(outcome)}
    plan.write_text(json.dumps(said))
    environment = _environment(sample, place)
    started = time.monotonic()
    try:
        output = _run(plan, environment, sample.seconds * 2)
    finally:
        stop_runner(Path(environment["AML_HOME"]))
    seconds = time.monotonic() - started
    if not outcome.exists():
        return Outcome(sample, FAILS, seconds, f"the player died: {output[-2000:]}")
    found = json.loads(outcome.read_text())
    passed_over, printed = found["passed_over"], found["printed"]
    ends_early = any(reason in passed_over for reason in sample.until.values())
    result = FAILS if found["why"] else PARTLY if ends_early else RUNS
    return Outcome(sample, result, seconds, found["why"], passed_over, printed)


def _run(plan: Path, environment: Mapping[str, str], seconds: float) -> str:
    command = [python(), "-m", "tests.compat.play", str(plan)]
    if has_namespaces():
        command = [python(), "-m", "tests.compat.alone", *command]
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            return process.communicate(timeout=seconds)[0]
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            return f"after {seconds:g} s\n{process.communicate()[0]}"


def _environment(sample: Sample, place: Path) -> dict[str, str]:
    """A home of its own, no network, and what an offline user would have set."""
    home, tools = place / "user", place / "tools"
    home.mkdir()
    _make_tools(tools)
    guard = Path(__file__).parent / "guard"
    paths = [str(tools), str(Path(python()).parent), os.environ["PATH"]]
    given = {
        **os.environ,
        "AML_ENVIRONMENTS": "present",
        "AML_HOME": str(place / "aml"),
        "AML_RUNNER_IDLE_SECONDS": "20",
        "AML_SAMPLES_GUARD": "kernel" if has_namespaces() else "sockets",
        "HOME": str(home),
        "IPYTHONDIR": str(home / "ipython"),
        "JUPYTER_PLATFORM_DIRS": "1",
        "MPLCONFIGDIR": str(_cache("matplotlib")),
        "PATH": os.pathsep.join(paths),
        "PYTHONPATH": str(guard),
        "TMPDIR": str(place / "tmp"),
        **sample.variables,
    }
    (place / "tmp").mkdir()
    for name in ("AML_RUN_FOLDER", "PYTEST_CURRENT_TEST", "VIRTUAL_ENV"):
        given.pop(name, None)
    return given


def _make_tools(folder: Path) -> None:
    """No Docker and no Azure command line, whatever this machine has: samples ask for them."""
    folder.mkdir()
    for name in ("az", "docker"):
        (folder / name).write_text(f"#!/bin/sh\necho '{name} is not here' >&2\nexit 127\n")
        (folder / name).chmod(0o755)


@contextmanager
def _place(keep: Path | None) -> Iterator[Path]:
    # Short, and not below TMPDIR: a unix socket's path is limited to about a hundred bytes.
    place = Path(tempfile.mkdtemp(prefix="aml-", dir=keep))
    try:
        yield place
    finally:
        if keep is None:
            shutil.rmtree(place, ignore_errors=True)


def _cache(name: str) -> Path:
    folder = Path(tempfile.gettempdir()) / f"aml-samples-{os.getuid()}" / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


# The interpreter and the kernel -------------------------------------------------------------


def python() -> str:
    """The interpreter that has the packages of the samples."""
    return os.environ.get(PYTHON) or sys.executable


@cache
def _has_module(name: str) -> bool:
    question = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({name!r}) is None)"
    return subprocess.run([python(), "-c", question], check=False).returncode == 0


def _missing_modules(sample: Sample) -> list[str]:
    return [name for name in sample.modules if not _has_module(name)]
