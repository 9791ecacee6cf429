"""What a job reaches of its workspace, with the whole package beside it and in a bare Python."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from aml_jupyter import Dataset, Environment, Experiment, Model, Run, Workspace
from aml_jupyter.home import home
from aml_jupyter.job.run import REQUIRED_VARIABLES
from tests.support import experiment, finish, interpreter, log_of, project, submit, ws

__all__ = ["experiment", "project", "ws"]


def whole() -> Environment | None:
    """The interpreter of these tests: the package is installed there."""
    return None


def bare() -> Environment:
    """The Python that it was made from: nothing of ours is installed there."""
    environment = Environment("bare")
    environment.python.user_managed_dependencies = True
    environment.python.interpreter_path = str(sys._base_executable)  # type: ignore[attr-defined]
    return environment


IN_THE_JOB = """
    import importlib.util, json, os, sys
    from aml_jupyter import Dataset, Experiment, Model, Run, Workspace
    from aml_jupyter.errors import ModelNotFoundException, ModelPathNotFoundException

    assert importlib.util.find_spec("psutil") is None or {is_whole}
    run = Run.get_context()
    ws = run.experiment.workspace
    assert hasattr(run, "experiment") and run.experiment.name == "test"
    names = (ws.name, ws.subscription_id, ws.resource_group, ws.location)
    assert ws.get_mlflow_tracking_uri().startswith("aml:///")
    assert Workspace.from_config().name == ws.name == ws.get_details()["name"]
    assert "test" in ws.experiments and repr(ws).startswith("Workspace.create(name=")

    os.makedirs("outputs/net")
    for name in ("outputs/model.pkl", "outputs/net/a.bin", "mine"):
        open(name, "w").write(name)
    run.upload_file("models/m", "mine")
    print(run.register_model("uploaded", "models/m").id)
    print(run.register_model("written", "./outputs/net", tags={{"in": "job"}}).id)
    print(Model.register(ws, "mine", "mine", description="by hand").id)
    open("outputs/net/a.bin", "w").write("changed")
    try:
        run.register_model("none", "outputs/nett")
    except ModelPathNotFoundException as error:
        assert "outputs/net/a.bin" in str(error) and "Did you mean outputs/net" in str(error)
    else:
        raise SystemExit("registered nothing")

    path = Model.get_model_path("before")
    assert path == os.path.join("azureml-models", "before", "1", "m"), path
    assert open(path).read() == "before" and Model.get_model_path("before", version=1) == path
    open(path, "a").write(" and mine to change")
    try:
        Model.get_model_path("befor")
    except ModelNotFoundException as error:
        assert "Did you mean before?" in str(error)
    else:
        raise SystemExit("found nothing")
    assert open(Model(ws, "before").download("there")).read() == "before"
    assert sorted(ws.models) == ["before", "mine", "uploaded", "written"]
    assert Model(ws, "written").run.id == run.id
    assert run.parent is None

    store = ws.get_default_datastore()
    assert store.name == "workspaceblobstore" and store.name in ws.datastores
    assert run.get_secret("name") == "value"
    data = ws.datasets["data"]
    assert data.name == Dataset.get_by_name(ws, "data").name == "data"
    model = run.register_model("fed", "models/m", datasets=[("training", data)])
    assert [each.name for _, each in Model(ws, "fed").datasets] == ["data"]

    with run.child_run("child") as child:
        child.upload_file("c", "mine")
    print(child.register_model("childs", "c").id)
    assert child.parent.id == run.id and child.experiment.name == "test"
    assert [each.id for each in run.get_children()] == [child.id]
    assert ws.get_run(child.id).id == child.id
    assert run.id in [each.id for each in run.experiment.get_runs()]
    print(json.dumps(names))
    """


@pytest.mark.parametrize("interpreter", [whole, bare])
def test_a_job_reaches_models_experiment_and_workspace_in_any_interpreter(
    ws: Workspace, experiment: Experiment, project: Path, interpreter: object
) -> None:
    assert callable(interpreter)
    (project / "m").write_text("before")
    Model.register(ws, "m", "before")
    ws.get_default_keyvault().set_secret("name", "value")
    store = ws.get_default_datastore()
    store.upload_files(["m"])
    Dataset.File.from_files((store, "m")).register(ws, "data")
    text = IN_THE_JOB.format(is_whole=interpreter is whole)
    run = submit(experiment, text, environment=interpreter())
    assert finish(run, 60)["status"] == "Completed", log_of(run)[-3000:]
    said = log_of(run).splitlines()
    assert said[:2] == ["uploaded:1", "written:1"]
    assert "childs:1" in said
    assert said[-1] == f'["{ws.name}", "{ws.subscription_id}", "local", "local"]'

    written = Model(ws, "written")
    assert (written.run_id, written.run.id, written.tags) == (run.id, run.id, {"in": "job"})
    assert written.experiment_name == "test"
    assert Path(written.download("out"), "a.bin").read_text() == "outputs/net/a.bin"
    assert Model(ws, "childs").run.parent.id == run.id
    assert not any(model.damages() for model in Model.list(ws))
    assert not run.get_details().get("warnings")


def test_v1s_names_reach_the_workspace_in_a_bare_interpreter(
    ws: Workspace, experiment: Experiment
) -> None:
    text = """
        from azureml.core import Experiment, Model, Run, Workspace
        from azureml.core.model import Model as same
        from azureml.core.resource_configuration import ResourceConfiguration
        run = Run.get_context()
        ws = Workspace(run.experiment.workspace.subscription_id,
                       run.experiment.workspace.resource_group,
                       run.experiment.workspace.name)
        open("outputs/m", "w").write("m")
        model = run.register_model("m", "outputs/m",
                                   resource_configuration=ResourceConfiguration(cpu=2))
        assert same is Model and Model(ws, "m").resource_configuration.cpu == 2
        assert [each.id for each in Experiment(ws, "test").get_runs()] == [run.id]
        """
    run = submit(experiment, text, environment=bare())
    assert finish(run, 60)["status"] == "Completed", log_of(run)[-3000:]
    assert Model(ws, "m").run_id == run.id


TOLD = """
import sys
from aml_jupyter import Run, Workspace
run = Run.get_context()
ws = run.experiment.workspace
for ask in (lambda: run.submit_child(None), lambda: run.experiment.submit(None),
            lambda: ws.compute_targets, lambda: Workspace.get("another"), lambda: ws.get_run("x"),
            lambda: {more}):
    try:
        ask()
    except Exception as error:
        print(type(error).__name__, error, sep=": ")
print(hasattr(run, "submit_child"), ws.name)
"""


def told(run: Run, python: str, more: str = "None") -> list[str]:
    """What a bare Python in the place of the run's job prints."""
    variables = dict.fromkeys(REQUIRED_VARIABLES, "x")
    variables.update(AML_RUN_FOLDER=str(run.folder), PYTHONPATH=str(home().bundle()))
    done = subprocess.run(
        [python, "-S", "-c", TOLD.format(more=more)],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_what_a_bare_interpreter_cannot_do_is_one_clear_error(experiment: Experiment) -> None:
    with experiment.start_logging(outputs=False, snapshot_directory=None) as run:
        said = told(run, sys.executable)
    assert said[0].startswith("AttributeError: run.submit_child needs the aml-jupyter package")
    assert said[1].startswith("AttributeError: experiment.submit needs the aml-jupyter package")
    assert said[2].startswith("AttributeError: workspace.compute_targets needs the aml-jupyter")
    assert said[3] == (
        "WorkspaceException: A job sees its own workspace only, 'project', and not 'another'."
    )
    assert "UserErrorException: There is no run x in workspace project." in said
    assert said[-1] == "False project"


def test_a_job_that_sees_its_own_folder_only_is_told_that_of_what_lies_beyond(
    experiment: Experiment, tmp_path: Path
) -> None:
    with experiment.start_logging(outputs=False, snapshot_directory=None) as run:
        run.upload_file("m", os.__file__)
    away = tmp_path / "elsewhere" / run.id
    away.parent.mkdir()
    os.rename(run.folder, away)
    run._folder = str(away)
    said = told(run, sys.executable, "run.register_model('m')")
    assert "project are not within reach of this job" in said[-4] + said[-3]
    assert said[-2].startswith("Hand it datasets as inputs")
    assert said[-1] == "False project"


@pytest.mark.service("python3.8")
def test_the_oldest_interpreter_that_runs_jobs_registers_models(
    ws: Workspace, experiment: Experiment
) -> None:
    with experiment.start_logging(outputs=False, snapshot_directory=None) as run:
        run.upload_file("m", os.__file__)
        python = interpreter("3.8")
        assert python
        said = told(run, python, "print(run.register_model('m', datasets=[]).serialize()['id'])")
    assert "m:1" in said
    assert Model(ws, "m").run_id == run.id
