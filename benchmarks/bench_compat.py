"""What SDK v1's import names cost: the import itself, and the start of every process of a job."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import aml_jupyter
from aml_jupyter.home import home
from aml_jupyter.job import layout
from benchmarks.report import Row, median_of, timed
from benchmarks.setting import PYTHON, Effort, experiment, submit

_FIRST_CELL = "from azureml.core import Environment, Experiment, ScriptRunConfig, Workspace"


def rows(effort: Effort) -> Iterator[Row]:
    """``python -c "import azureml.core"`` and ``python -c pass`` by turns, from start to exit; the
    figure is the difference. Outside a job the names are turned on as by ``aml compat run``, in a
    job by its own environment. Of the start of a process the figure is what ``python -c pass``
    takes more with the job's folder on ``PYTHONPATH`` than with an empty one.
    """
    repeat = max(effort.repeat, effort.of(31))
    package = Path(aml_jupyter.__file__).parent
    outside = {"PYTHONPATH": layout.search_path(None, str(package / "compat"))}
    with experiment() as place, tempfile.TemporaryDirectory() as empty:
        run = submit(place, "nothing.py")
        run.wait_for_completion()
        path = layout.search_path(None, str(home().bundle()))
        job = {"PYTHONPATH": path, "AML_RUN_FOLDER": str(run.folder)}
        yield _added("import azureml.core", outside, 150, repeat)
        yield _added(_FIRST_CELL, outside, 400, repeat)
        yield _added("from azureml.core import Run", job, 15, repeat, ", in a job")
        yield _start(job, {"PYTHONPATH": empty}, max(effort.repeat, effort.of(101)))


def _added(
    statement: str, variables: Mapping[str, str], reach: float, repeat: int, where: str = ""
) -> Row:
    bare, added = [], []
    for _ in range(repeat):
        bare.append(_milliseconds("pass", variables))
        added.append(_milliseconds(statement, variables) - bare[-1])
    value, limit = median_of(added), ("python -c pass", median_of(bare))
    return Row(f"{statement}{where}", value, "ms", f"≤ {reach} ms", *limit, value <= reach, added)


def _start(job: Mapping[str, str], without: Mapping[str, str], repeat: int) -> Row:
    bare, added = [], []
    for _ in range(repeat):
        bare.append(_milliseconds("pass", without))
        added.append(_milliseconds("pass", job) - bare[-1])
    value, limit = median_of(added), ("python -c pass", median_of(bare))
    name = "azureml's names at the start of a process of a job"
    return Row(name, value, "ms", "< 1 ms", *limit, value < 1, added)


def _milliseconds(program: str, variables: Mapping[str, str]) -> float:
    command, environment = [PYTHON, "-c", program], {**os.environ, **variables}
    return 1e3 * timed(lambda: subprocess.run(command, env=environment, check=True), 1)[0]
