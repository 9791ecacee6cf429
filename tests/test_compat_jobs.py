"""v1's import names inside jobs: on by themselves, in every process, in any interpreter."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from aml_jupyter import Environment, Experiment, Run, ScriptRunConfig
from aml_jupyter.home import home
from aml_jupyter.job import layout
from tests.support import experiment, finish, interpreter, log_of, project, script, submit, ws

__all__ = ["experiment", "project", "ws"]

LOG = """
from azureml.core import Run
from azureml.core.run import Run as same, _OfflineRun
run = Run.get_context()
assert same is Run and isinstance(run, Run) and type(run) is not _OfflineRun
run.log({name!r}, 1)
"""


def bare_interpreter() -> Environment:
    """The Python that the tests' own was made from: nothing of ours is installed there."""
    environment = Environment("bare")
    environment.python.user_managed_dependencies = True
    environment.python.interpreter_path = str(sys._base_executable)  # type: ignore[attr-defined]
    return environment


def completed(run: Run, seconds: float = 60) -> Run:
    details = finish(run, seconds)
    assert details["status"] == "Completed", log_of(run)[-3000:]
    return run


def test_a_script_and_the_processes_that_it_starts_log_by_v1s_names(
    experiment: Experiment,
) -> None:
    text = f"""
        import multiprocessing, subprocess, sys
        def child():
            from azureml.core import Run
            Run.get_context().log("spawned", 1)
        if __name__ == "__main__":
            exec({LOG.format(name="script")!r})
            subprocess.run([sys.executable, "-c", {LOG.format(name="child")!r}], check=True)
            process = multiprocessing.get_context("spawn").Process(target=child)
            process.start()
            process.join()
            assert not process.exitcode
        """
    run = completed(submit(experiment, text))
    assert run.get_metrics() == {"script": 1, "child": 1, "spawned": 1}


def test_a_command_and_a_module_log_by_v1s_names_where_nothing_of_ours_is_installed(
    experiment: Experiment, tmp_path: Path
) -> None:
    script(tmp_path / "source", LOG.format(name="script"), "train.py")
    script(tmp_path / "source", LOG.format(name="module"), "package/__main__.py")
    python = sys._base_executable  # type: ignore[attr-defined]
    command = f"{python} train.py && {python} -m package"
    config = ScriptRunConfig(str(tmp_path / "source"), command=command)
    config.run_config.environment = bare_interpreter()
    run = completed(experiment.submit(config))
    assert run.get_metrics() == {"script": 1, "module": 1}


def test_what_a_bare_interpreter_lacks_is_told_as_that(experiment: Experiment) -> None:
    text = """
        from azureml.core import Run, VERSION
        from azureml.exceptions import UserErrorException
        from azureml.train.hyperdrive import HyperDriveConfig
        assert Run.get_context().id and VERSION
        from azureml.core import Environment, ScriptRunConfig
        for use in (Environment, lambda name: Environment.get(None, name)):
            try:
                use("name")
            except UserErrorException as error:
                print("told:", error)
        try:
            from azureml.core.runconfig import DEFAULT_CPU_IMAGE
        except ImportError as error:
            print("told:", error)
        """
    run = completed(submit(experiment, text, environment=bare_interpreter()))
    lines = [line for line in log_of(run).splitlines() if line.startswith("told: ")]
    used = ["azureml.core.Environment", "azureml.core.Environment.get"]
    lacks = "Environment needs the aml-jupyter package in this interpreter"
    for line, name in zip(lines, used, strict=False):
        assert line.startswith(f"told: {name} cannot be used here: {lacks}")
    assert lines[2].startswith("told: DEFAULT_CPU_IMAGE needs the aml-jupyter package")


def test_a_notebook_that_is_a_job_logs_by_v1s_names(experiment: Experiment, tmp_path: Path) -> None:
    notebook = new_notebook(cells=[new_code_cell(LOG.format(name="cell"))])
    script(tmp_path / "source", nbformat.writes(notebook), "report.ipynb")
    run = completed(experiment.submit(ScriptRunConfig(str(tmp_path / "source"), "report.ipynb")))
    assert run.get_metrics() == {"cell": 1}


@pytest.mark.slow
@pytest.mark.service("docker")
def test_a_container_has_the_names_in_every_process(
    experiment: Experiment, docker_engine: Any, base_image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", docker_engine.host)
    environment = Environment.from_docker_image("given", base_image)
    text = f"""
        import subprocess, sys
        exec({LOG.format(name="script")!r})
        subprocess.run([sys.executable, "-c", {LOG.format(name="child")!r}], check=True)
        """
    run = submit(experiment, text, environment=environment, compute_target="docker")
    assert completed(run).get_metrics() == {"script": 1, "child": 1}


@pytest.mark.service("python3.8")
def test_the_oldest_interpreter_that_runs_jobs_has_the_names(tmp_path: Path) -> None:
    python = interpreter("3.8")
    assert python
    text = "import azureml.core, azureml.pipeline.steps; from azureml.core.run import _OfflineRun"
    text += "; from azureml.core.authentication import MsiAuthentication as M"
    text += "; print(azureml.core.VERSION, M().get_authentication_header())"
    environment = {
        **os.environ,
        "PYTHONPATH": layout.search_path(None, str(home().bundle())),
        "AML_COMPAT_SHIMS": "1",
    }
    done = subprocess.run([python, "-c", text], env=environment, capture_output=True, text=True)
    assert done.stdout.startswith("1.61.0 {'Authorization'"), done.stderr


CHAINS = """
    import builtins, os, sys
    builtins.seen = [*getattr(builtins, "seen", []), __file__]
    from importlib.machinery import PathFinder
    from importlib.util import module_from_spec
    hidden = [path for path in sys.path if path != os.path.dirname(__file__)]
    ours = PathFinder.find_spec("sitecustomize", hidden)
    ours.loader.exec_module(module_from_spec(ours))
    """


@pytest.mark.parametrize("text", ["import builtins; builtins.seen = [__file__]", CHAINS])
def test_a_sitecustomize_that_ours_hides_is_imported_all_the_same(
    tmp_path: Path, text: str
) -> None:
    script(tmp_path / "own", text, "sitecustomize.py")
    path = layout.search_path(str(tmp_path / "own"), str(home().bundle()))
    program = "import azureml.core, sitecustomize; print(*seen, sitecustomize.__file__)"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    own = str(tmp_path / "own" / "sitecustomize.py")
    assert done.stdout.split() == [own, own], done.stderr


def test_shims_are_on_in_a_run_that_asks_for_them(experiment: Experiment) -> None:
    environment = Environment("old")
    environment.python.user_managed_dependencies = True
    environment.python.interpreter_path = sys.executable
    environment.environment_variables["AML_COMPAT_SHIMS"] = "1"
    text = "import numpy as np\nprint(np.float(1))"
    run = completed(submit(experiment, text, environment=environment))
    assert "aml: numpy.float is no more; a shim puts float in its place." in log_of(run)
