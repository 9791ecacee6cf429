"""Batches as a user has them: real notebooks, a real runner, real kernels."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import nbformat.v4 as v4
import psutil
import pytest

from aml_jupyter import Batch, CondaDependencies, Environment, Resources, Workspace
from aml_jupyter.errors import UserErrorException
from aml_jupyter.home import home
from aml_jupyter.runner import runner_status
from aml_jupyter.workspace.batch_run import BatchRun, as_batch, find_batch, resume
from tests.services.docker_engine import Engine
from tests.support import processes_below, project, until, ws

__all__ = ["project", "ws"]

AML = [sys.executable, "-m", "aml_jupyter.cli"]
ROOT = Path(__file__).parents[1]
MARKS = "marks.txt"


def notebook(folder: Path, *cells: str, name: str = "report.ipynb") -> str:
    """Write a notebook of these code cells; the first holds the parameters."""
    made = [v4.new_code_cell(text) for text in cells]
    made[0].metadata["tags"] = ["parameters"]
    made.insert(1, v4.new_markdown_cell("# Work"))
    content = v4.new_notebook(cells=made)
    content.metadata.kernelspec = {"name": "python3", "language": "python", "display_name": "P"}
    nbformat.write(content, folder / name)
    return name


def marking(folder: Path, seconds: float = 0.0) -> str:
    """A notebook that notes in a file that it began and that it ended."""
    mark = (
        "def mark(word):\n"
        f"    with open({str(folder.parent / MARKS)!r}, 'a') as file:\n"
        "        file.write(f'{word} {alpha} {seed}\\n')\n"
    )
    return notebook(
        folder,
        "alpha = 0.5\nseed = 1",
        f"from aml_jupyter import Run\nrun = Run.get_context()\n{mark}mark('begin')",
        f"import time; time.sleep({seconds})",
        "run.log('loss', alpha * seed)\nmark('end')",
    )


def marks(folder: Path, word: str) -> list[str]:
    file = folder.parent / MARKS
    lines = file.read_text().splitlines() if file.exists() else []
    return [line.partition(" ")[2] for line in lines if line.startswith(f"{word} ")]


def ended(batch: BatchRun, seconds: float = 60) -> BatchRun:
    until(lambda: batch.has_ended, seconds, why=lambda: str([r.to_json() for r in batch.rows()]))
    return batch


def states_of(batch: BatchRun) -> list[str]:
    return [row.status for row in batch.rows()]


# What comes of it -----------------------------------------------------------------------------


@pytest.mark.slow
def test_each_set_of_values_becomes_a_run_with_metrics_and_an_executed_notebook(
    ws: Workspace, project: Path
) -> None:
    batch = ended(Batch(marking(project), {"alpha": [0.5, 2.0], "seed": [1, 2]}).submit())
    assert batch.get_status() == "Completed"
    rows = batch.rows()
    assert [row.parameters for row in rows] == [
        {"alpha": a, "seed": s} for a in (0.5, 2.0) for s in (1, 2)
    ]
    assert [row.metrics["loss"] for row in rows] == [0.5, 1.0, 2.0, 4.0]
    assert sorted(marks(project, "end")) == sorted(marks(project, "begin"))
    for path, row in zip(batch.notebooks, rows, strict=True):
        content = nbformat.read(path, as_version=4)
        nbformat.validate(content)
        assert content.metadata.papermill.parameters == row.parameters
    assert {child.parent.id for child in batch.get_children()} == {batch.id}


@pytest.mark.slow
def test_a_batch_as_a_frame_has_parameters_metrics_records_and_errors(
    ws: Workspace, project: Path
) -> None:
    name = notebook(
        project,
        "alpha = 0.5",
        "from aml_jupyter import Run\nRun.get_context().log('loss', alpha)",
        "from IPython.display import display\n"
        "display({'application/scrapbook.scrap.json+json': "
        "{'name': 'kind', 'data': 'small', 'encoder': 'json', 'version': 1}}, raw=True)",
        "assert alpha < 1, 'too large'",
    )
    batch = ended(Batch(name, {"alpha": [0.5, 2.0]}).submit())
    frame = batch.to_frame()
    assert list(frame["alpha"]) == [0.5, 2.0]
    assert list(frame["state"]) == ["Completed", "Failed"]
    assert list(frame["loss"]) == [0.5, 2.0]
    assert list(frame["kind"]) == ["small", "small"]
    assert frame["error"][0] == ""
    assert frame["error"][1].startswith("AssertionError: too large, in cell 5")
    assert batch.failed_cell(1) == 5
    assert batch.failed_cell(0) == 0
    assert "1 of 2" in batch.get_details()["error"]["error"]["message"]


@pytest.mark.slow
def test_the_report_shows_an_index_a_plot_and_all_notebooks_without_their_scripts(
    ws: Workspace, project: Path
) -> None:
    name = notebook(
        project,
        "alpha = 0.5",
        "from aml_jupyter import Run\nRun.get_context().log('loss', alpha ** 2)",
        "from IPython.display import HTML\n"
        "HTML('<b>bold words</b><script>window.stolen = 1</script>')",
        "print('<script>alert(1)</script>')\nassert alpha < 3, '<img src=x onerror=alert(2)>'",
    )
    batch = ended(Batch(name, {"alpha": [1.0, 2.0, 3.0]}).submit())
    page = batch.report(project / "report.html").read_text("utf-8")
    assert "loss over alpha" in page
    assert page.count('<h2 id="notebook-') == 3
    assert "bold words" in page
    assert "<script" not in page
    assert "<img src=x" not in page
    assert "Failed" in page


# Refused before anything starts ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"alhpa": [1]}, "no parameter 'alhpa'"),
        ({"seed": [1.5]}, "seed is an int, not 1.5"),
        ({"seed": []}, "seed has no values"),
    ],
)
def test_values_that_do_not_fit_are_refused_and_nothing_is_left(
    ws: Workspace, project: Path, parameters: dict[str, Any], said: str
) -> None:
    name = marking(project)
    with pytest.raises(UserErrorException, match=said):
        Batch(name, parameters).submit()
    assert not list(ws.folder.runs.glob("*"))


def test_what_is_no_notebook_is_refused(ws: Workspace, project: Path) -> None:
    (project / "train.py").write_text("")
    with pytest.raises(UserErrorException, match="no notebook none"):
        Batch("none.ipynb").submit()
    with pytest.raises(UserErrorException, match="is not a notebook"):
        Batch("train.py").submit()


def test_a_plan_shows_every_notebook_and_changes_nothing(ws: Workspace, project: Path) -> None:
    planned = Batch(marking(project), {"seed": range(1, 31)}, parallel=4).plan()
    text = str(planned)
    assert "30 notebooks" in text
    assert "seed=1" in text
    assert "… and 10 more" in text
    assert not list(ws.folder.runs.glob("*"))


# The same again, and the rest -----------------------------------------------------------------


@pytest.mark.slow
def test_a_named_batch_submitted_again_does_only_what_is_not_done(
    ws: Workspace, project: Path
) -> None:
    first = ended(Batch(marking(project), {"seed": [1, 2]}, name="nightly").submit())
    again = Batch("report.ipynb", {"seed": [1, 2]}, name="nightly").submit()
    assert again.id == first.id
    more = ended(Batch("report.ipynb", {"seed": [1, 2, 3]}, name="nightly").submit())
    assert more.id != first.id
    assert [row.earlier for row in more.rows()] == [True, True, False]
    assert states_of(more) == ["Completed"] * 3
    assert [row.metrics["loss"] for row in more.rows()] == [0.5, 1.0, 1.5]
    assert sorted(marks(project, "begin")) == ["0.5 1", "0.5 2", "0.5 3"]
    assert find_batch(ws, "nightly").id == more.id


@pytest.mark.slow
def test_a_named_batch_whose_notebook_changed_is_done_anew(ws: Workspace, project: Path) -> None:
    first = ended(Batch(marking(project), {"seed": [1]}, name="nightly").submit())
    (project / "driver.ipynb").write_text("{}")  # where one works changes all the time
    assert Batch("report.ipynb", {"seed": [1]}, name="nightly").submit().id == first.id
    marking(project, seconds=0.01)
    again = ended(Batch("report.ipynb", {"seed": [1]}, name="nightly").submit())
    assert again.id != first.id
    assert marks(project, "begin") == ["0.5 1", "0.5 1"]


@pytest.mark.slow
def test_a_canceled_batch_goes_on_with_what_is_not_done(ws: Workspace, project: Path) -> None:
    batch = Batch(marking(project, 0.3), {"seed": range(1, 9)}, parallel=2).submit()
    until(lambda: len(marks(project, "end")) >= 2, 60)
    batch.cancel()
    ended(batch)
    assert batch.get_status() == "Canceled"
    done = set(marks(project, "end"))
    assert len(done) < 8
    rest = ended(resume(as_batch(ws.get_run(batch.id))))
    assert rest.get_status() == "Completed"
    begun = marks(project, "begin")
    assert set(marks(project, "end")) == {f"0.5 {seed}" for seed in range(1, 9)}
    for each in done & {f"0.5 {r.parameters['seed']}" for r in rest.rows() if r.earlier}:
        assert begun.count(each) == 1
    assert sum(row.earlier for row in rest.rows()) == sum(
        row.status == "Completed" for row in batch.rows()
    )
    assert resume(rest).id == rest.id


@pytest.mark.slow
def test_a_batch_that_is_run_again_does_everything_anew(ws: Workspace, project: Path) -> None:
    first = ended(Batch(marking(project), {"seed": [1, 2]}).submit())
    again = ended(as_batch(ws.get_run(first.id).rerun(display_name="once more")))
    assert states_of(again) == ["Completed", "Completed"]
    assert again.display_name == "once more"
    assert sorted(marks(project, "end")) == ["0.5 1", "0.5 1", "0.5 2", "0.5 2"]


@pytest.mark.slow
def test_from_the_failed_cell_says_that_the_cells_before_it_run_for_their_state(
    ws: Workspace, project: Path
) -> None:
    name = notebook(project, "alpha = 0.5", "x = 1", "assert alpha < 1, 'too large'\nprint(x)")
    failed = ended(Batch(name, {"alpha": [2.0]}).submit())
    assert states_of(failed) == ["Failed"]
    notebook(project, "alpha = 0.5", "x = 1", "print('mended', x, alpha)")
    path = str(project / name)
    mended = ended(resume(failed, from_failed_cell=True, notebook=path))
    assert states_of(mended) == ["Completed"]
    row = mended.rows()[0]
    log = (row.folder / "azureml-logs/70_driver_log.txt").read_text()
    assert "again for its state" in log
    assert "mended 1 2.0" in log


@pytest.mark.slow
def test_retry_does_a_notebook_again_and_fail_fast_ends_the_others(
    ws: Workspace, project: Path
) -> None:
    flag = project / "tried"
    name = notebook(
        project,
        "seed = 1",
        f"import os\nwas = os.path.exists({str(flag)!r})\nopen({str(flag)!r}, 'w').close()\n"
        "assert was, 'first time'",
    )
    again = ended(Batch(name, {"seed": [1]}, retries=1).submit())
    assert states_of(again) == ["Completed"]
    assert again.rows()[0].attempts == 2

    slow = notebook(
        project,
        "seed = 1",
        "import time\ntime.sleep(60 if seed else 0)\nassert seed",
        name="s.ipynb",
    )
    fast = ended(Batch(slow, {"seed": [0, 1, 2, 3]}, fail_fast=True).submit())
    assert fast.get_status() == "Failed"
    assert states_of(fast)[0] == "Failed"
    assert set(states_of(fast)[1:]) == {"Canceled"}


def kill_runner() -> None:
    status = runner_status()
    if status is not None:
        os.kill(status.pid, signal.SIGKILL)


def kill_executors(below: Path) -> None:
    """Kill every process of the runs, launchers and warm interpreters included."""
    for pid in processes_below(below):
        if pid != os.getpid():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue


def kill_kernels(below: Path) -> None:
    """Kill what has no child of its own: kernels."""
    for pid in processes_below(below):
        try:
            process = psutil.Process(pid)
            if process.pid != os.getpid() and not process.children():
                process.kill()
        except psutil.Error:
            continue


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("strike", [kill_runner, kill_executors, kill_kernels])
def test_whatever_is_killed_no_finished_notebook_runs_again_and_none_is_lost(
    ws: Workspace, project: Path, strike: Callable[..., None]
) -> None:
    batch = Batch(marking(project, 0.2), {"seed": range(1, 13)}, parallel=2).submit()
    for _ in range(4):
        until(lambda: batch.has_ended or len(marks(project, "begin")) > 0, 60)
        time.sleep(0.5)
        strike(*([project.parent] if strike is not kill_runner else []))
    ended(batch, 120)
    for _ in range(5):
        if all(row.status == "Completed" for row in batch.rows()):
            break
        batch = ended(resume(batch), 120)
    assert states_of(batch) == ["Completed"] * 12
    assert [row.metrics["loss"] for row in batch.rows()] == [0.5 * seed for seed in range(1, 13)]
    completed = marks(project, "end")
    assert set(completed) == {f"0.5 {seed}" for seed in range(1, 13)}
    if strike is kill_runner:  # a job does not notice that its runner died
        assert sorted(completed) == sorted(set(completed))


# The command line -----------------------------------------------------------------------------


def aml(folder: Path, *words: str, code: int = 0) -> str:
    environment = {**os.environ, "AML_HOME": str(home().state), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [*AML, *words], cwd=folder, env=environment, capture_output=True, text=True, timeout=110
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def test_inspect_lists_parameters_with_types_and_defaults(ws: Workspace, project: Path) -> None:
    name = notebook(project, "alpha = 0.5\nseed: int = 1  # of the shuffle", "x = 1")
    assert aml(project, "batch", name, "--inspect").splitlines() == [
        "alpha: float = 0.5",
        "seed : int = 1  of the shuffle",
    ]
    found = json.loads(aml(project, "batch", name, "--inspect", "--json"))["parameters"]
    assert [each["name"] for each in found] == ["alpha", "seed"]


@pytest.mark.slow
def test_aml_batch_waits_tells_each_end_and_exits_with_what_became_of_it(
    ws: Workspace, project: Path
) -> None:
    name = notebook(project, "alpha = 0.5", "assert alpha < 1, 'too large'")
    words = ["batch", name, "-p", "alpha", "0.1,0.2", "--wait", "--json", "--name", "n"]
    told = json.loads(aml(project, *words))
    assert told["status"] == "Completed"
    assert [each["parameters"] for each in told["notebooks"]] == [{"alpha": 0.1}, {"alpha": 0.2}]
    assert all(each["started"].endswith("Z") for each in told["notebooks"])
    assert json.loads(aml(project, *words))["id"] == told["id"]
    failed = json.loads(
        aml(project, "batch", name, "-p", "alpha=0.1,3", "--wait", "--json", code=1)
    )
    assert [each["status"] for each in failed["notebooks"]] == ["Completed", "Failed"]
    rest = json.loads(aml(project, "batch", "--resume", failed["id"], "--wait", "--json", code=1))
    assert [each["earlier"] for each in rest["notebooks"]] == [True, False]


def test_mistakes_are_two_lines_and_exit_2(ws: Workspace, project: Path) -> None:
    name = marking(project)
    for words in (
        ["batch"],
        ["batch", name, "-p", "alpha"],
        ["batch", name, "--grid", "--zip"],
        ["batch", name, "-p", "nope", "1"],
        ["batch", "--resume", "nobody"],
        ["batch", name, "--params", "none.csv"],
    ):
        aml(project, *words, code=2)


@pytest.mark.slow
def test_a_notebook_without_parameters_is_a_plain_run(ws: Workspace, project: Path) -> None:
    name = notebook(project, "x = 6", "print('answer', x * 7)")
    told = json.loads(aml(project, "run", "--wait", "--json", name))
    run = ws.get_run(told["id"])
    assert run.get_status() == "Completed"
    assert "answer 42" in (run.folder / "azureml-logs/70_driver_log.txt").read_text()
    assert (run.folder / "outputs" / name).is_file()


# In containers --------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.service("docker")
@pytest.mark.service("pypi")
def test_notebooks_are_executed_in_containers_and_say_when_memory_runs_out(
    docker_engine: Engine,
    base_image: str,
    ws: Workspace,
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DOCKER_HOST", docker_engine.host)
    name = notebook(
        project,
        "size = 1",
        "import os, sys\nfrom aml_jupyter import Run\nRun.get_context().log('size', size)\n"
        "print(sys.prefix, os.path.exists('/.dockerenv'))",
        "held = []\nfor _ in range(size):\n    held.append(b'x' * (16 << 20))",
        "print('held', len(held))",
    )
    # What executes notebooks is put beside the packages that are asked for.
    environment = Environment.from_docker_image("notebooks", base_image)
    environment.python.user_managed_dependencies = False
    environment.python.conda_dependencies = CondaDependencies.create(pip_packages=["six"])
    batch = Batch(
        name,
        {"size": [1, 100]},
        compute_target="docker",
        environment=environment,
        resources=Resources(memory=512 << 20),
        options={"build_network": "host"},
        parallel=1,
    ).submit()
    ended(batch, 400)
    small, large = batch.rows()
    assert small.status == "Completed", small.error
    assert small.metrics == {"size": 1.0}
    log = (small.folder / "azureml-logs/70_driver_log.txt").read_text()
    assert "/opt/aml/env True" in log
    assert "cell 5 of 5" in log
    assert large.status == "Failed"
    assert "memory ran out" in large.error or "out of memory" in large.error.lower()
    executed = nbformat.read(large.executed, as_version=4)
    assert any("size" in "".join(cell.source) for cell in executed.cells)
