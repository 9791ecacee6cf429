"""papermill with our engine installed: unharmed without it, and a run with it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import papermill
import pytest
from nbformat import v4

from aml_jupyter import Experiment, Run, ScriptRunConfig, Workspace
from aml_jupyter.job import layout
from tests.support import experiment, finish, log_of, project, ws

__all__ = ["experiment", "project", "ws"]

CELLS = (
    "alpha = 1",
    "print('alpha is', alpha)",
    "from aml_jupyter import Run\nRun.get_context().log('twice', 2 * alpha)",
)


@pytest.fixture
def source(project: Path) -> Path:
    """A notebook in the working directory."""
    return write(project / "report.ipynb", *CELLS)


def write(path: Path, *cells: str) -> Path:
    made = v4.new_notebook(cells=[v4.new_code_cell(cell) for cell in cells])
    made.cells[0].metadata["tags"] = ["parameters"]
    made.metadata["kernelspec"] = {
        "name": "python3",
        "language": "python",
        "display_name": "Python 3",
    }
    nbformat.write(made, path)
    return path


def shell(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "papermill", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def read(path: Path) -> Any:
    found = nbformat.read(path, as_version=4)
    nbformat.validate(found)
    return found


def outputs(path: Path) -> list[Any]:
    return [each for cell in read(path).cells for each in cell.get("outputs", ())]


def only_run(ws: Workspace, name: str = "report") -> Run:
    runs = list(Experiment(ws, name).get_runs())
    assert len(runs) == 1
    return runs[0]


def test_papermill_loads_nothing_of_ours_but_the_file_that_it_is_told_of(project: Path) -> None:
    look = (
        "import sys, papermill, papermill.cli\n"
        "print([n for n in sys.modules if n.partition('.')[0] == 'aml_jupyter'])"
    )
    said = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    loaded = set(json.loads(said.stdout.replace("'", '"')))
    assert "aml_jupyter.notebook.papermill_engine" in loaded
    assert loaded <= {
        "aml_jupyter",
        "aml_jupyter.errors",
        "aml_jupyter.notebook",
        "aml_jupyter.notebook.papermill_engine",
    }


def test_the_engine_can_be_imported_before_papermill(project: Path) -> None:
    first = "import aml_jupyter.notebook.papermill_engine, papermill"
    subprocess.run([sys.executable, "-c", first], check=True)


def test_papermill_without_the_engine_is_as_before(source: Path, project: Path) -> None:
    done = shell("report.ipynb", "out.ipynb", "-p", "alpha", "2")
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert "alpha is 2\n" in [each.get("text") for each in outputs(project / "out.ipynb")]
    assert not (project / ".aml").exists()


def test_papermill_with_the_engine_makes_a_run(source: Path, project: Path) -> None:
    done = shell("--engine", "aml", "report.ipynb", "out.ipynb", "-p", "alpha", "2")
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert "Executing" in done.stderr
    run = only_run(Workspace.from_config())
    assert run.get_status() == "Completed"
    assert run.get_metrics() == {"twice": 4}
    assert run.get_tags() == {"alpha": "2"}
    assert run.display_name == "report"
    theirs, ours = project / "out.ipynb", run.folder / "outputs" / "out.ipynb"
    assert outputs(theirs) == outputs(ours)
    assert "alpha is 2\n" in [each.get("text") for each in outputs(theirs)]
    assert read(theirs).metadata.papermill.parameters == {"alpha": 2}
    assert "alpha is 2" in log_of(run)
    assert "cell 4 of 4" in (run.folder / layout.EVENTS).read_text()


def test_a_notebook_that_fails_under_papermill_is_a_failed_run(project: Path) -> None:
    write(project / "report.ipynb", "1", "1/0")
    plain = shell("report.ipynb", "plain.ipynb")
    done = shell("--engine", "aml", "report.ipynb", "out.ipynb")
    assert done.returncode == plain.returncode == 1
    assert done.stdout == plain.stdout
    assert "PapermillExecutionError" in done.stderr
    run = only_run(Workspace.from_config())
    details = run.get_details()
    assert details["status"] == "Failed"
    assert "division by zero" in details["error"]["error"]["message"]
    for path in (project / "out.ipynb", run.folder / "outputs" / "out.ipynb"):
        made = read(path)
        assert "papermill-error-cell" in made.cells[0].source
        assert 'id="papermill-error-cell"' in made.cells[2].source


def test_a_folder_that_is_not_there_is_told_before_any_cell(project: Path) -> None:
    write(project / "report.ipynb", "open('executed', 'w')")
    done = shell("--engine", "aml", "report.ipynb", "gone/out.ipynb")
    assert done.returncode != 0
    assert "gone doesn't exist" in done.stderr
    assert not (project / "executed").exists()
    assert only_run(Workspace.from_config()).get_status() == "Failed"


@pytest.mark.filterwarnings("ignore")
def test_papermill_in_python_makes_a_run_and_leaves_this_process_as_it_was(
    source: Path, project: Path
) -> None:
    before = dict(os.environ)
    made = papermill.execute_notebook(
        "report.ipynb", "out.ipynb", {"alpha": 5}, engine_name="aml", progress_bar=False
    )
    assert dict(os.environ) == before
    assert made.metadata.papermill.exception is None
    assert read(project / "out.ipynb").metadata.papermill.parameters == {"alpha": 5}
    assert only_run(Workspace.from_config()).get_metrics() == {"twice": 10}


@pytest.mark.filterwarnings("ignore")
def test_papermill_in_python_may_write_nowhere(source: Path, project: Path) -> None:
    papermill.execute_notebook(
        "report.ipynb", None, engine_name="aml", progress_bar=False, cwd=str(project)
    )
    run = only_run(Workspace.from_config())
    assert "outputs/notebook.ipynb" in run.get_file_names()


def test_inside_a_job_papermill_reports_to_the_run_of_the_job(
    experiment: Experiment, tmp_path: Path
) -> None:
    folder = tmp_path / "source"
    folder.mkdir()
    write(folder / "report.ipynb", *CELLS)
    command = ["python", "-m", "papermill", "--engine", "aml", "report.ipynb", "outputs/out.ipynb"]
    run = experiment.submit(ScriptRunConfig(str(folder), command=command))
    assert finish(run, 60)["status"] == "Completed", log_of(run)
    assert run.get_metrics() == {"twice": 2}
    assert "cell 3 of 3" in (run.folder / layout.EVENTS).read_text()
    assert [each.id for each in experiment.get_runs()] == [run.id]
    assert len(outputs(run.folder / "outputs" / "out.ipynb")) == 1
