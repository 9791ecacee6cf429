"""MLflow's own client on our runs: in a job, outside of it, and as a server."""

from __future__ import annotations

import json
import math
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from importlib.metadata import Distribution
from pathlib import Path
from typing import Any

import pytest
import tomllib

from aml_jupyter import Experiment, Run, Workspace
from aml_jupyter.home import home
from aml_jupyter.job import events, metrics
from aml_jupyter.job.mlflow_names import address_of, mlflow_variables, path_of
from aml_jupyter.store import MetricFeed
from aml_jupyter.workspace import compare
from aml_jupyter.workspace.facts import facts_of, parameters_of
from tests import support
from tests.conftest import SERVICES, stop_runner
from tests.support import experiment, project, script, ws  # noqa: F401

PROGRAMS = Path(__file__).parent / "data" / "mlflow"


class Told:
    """What the two programs saw, and the workspace that they left behind."""

    def __init__(self, place: Path) -> None:
        self.outside: dict[str, Any] = json.loads((place / "told.json").read_text())
        self.workspace = Workspace.from_config(place / "project")
        self.run: Run = self.workspace.get_run(self.outside["job"])
        told = self.run.folder / "outputs" / "told.json"
        assert told.exists(), (self.run.folder / "azureml-logs/70_driver_log.txt").read_text()
        self.job: dict[str, Any] = json.loads(told.read_text())


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A folder in which somebody has used MLflow; importing it takes seconds, so only once."""
    place = Path(tempfile.mkdtemp(prefix="aml-mlflow-"))
    (place / "project").mkdir()
    (place / "small").mkdir()
    variables = {**os.environ, "AML_HOME": str(place / "home"), "AML_RUNNER_IDLE_SECONDS": "20"}
    is_mounted = SERVICES["mount"].probe()
    if is_mounted:
        command = ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(place / "small")]
        subprocess.run(command, check=True)
        variables["SMALL_DISK"] = str(place / "small")
    try:
        _python(place, variables, str(PROGRAMS / "outside.py"), str(place / "told.json"))
        yield place
    finally:
        stop_runner(place / "home")
        if is_mounted:
            subprocess.run(["umount", "-l", str(place / "small")], check=True)
        shutil.rmtree(place, ignore_errors=True)


def _python(place: Path, variables: dict[str, str], *words: str) -> str:
    done = subprocess.run(
        [sys.executable, *words],
        cwd=place / "project",
        env=variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.fixture
def told(place: Path) -> Told:
    return Told(place)


# In a job -------------------------------------------------------------------------------------


def test_a_job_is_told_where_to_log_and_mlflow_logs_into_its_run(told: Told) -> None:
    variables = told.job["variables"]
    assert variables["MLFLOW_TRACKING_URI"] == told.workspace.get_mlflow_tracking_uri()
    assert variables["MLFLOW_RUN_ID"] == told.job["active"] == told.run.id
    assert variables["MLFLOW_EXPERIMENT_ID"] == told.workspace.experiments["jobs"].id
    assert variables["MLFLOW_EXPERIMENT_NAME"] == "jobs"
    assert variables["MLFLOW_DISABLE_TELEMETRY"] == "true"


def test_metrics_of_mlflow_are_metrics_of_the_run(told: Told) -> None:
    logged = told.run.get_metrics()
    assert logged["implicit"] == 1.5
    assert logged["stepped"] == [0.5, 0.7]
    assert (logged["a/b"], logged["größe"], logged["inf"]) == (1.0, 2.0, float("inf"))
    assert math.isnan(logged["nan"])
    assert logged["ours"] == 0.25


def test_steps_and_times_come_back_as_they_were_logged(told: Told) -> None:
    history = told.job["history"]
    assert [(step, value) for step, _, value in history["stepped"]] == [(5, 0.5), (7, 0.7)]
    assert history["long ago"] == [[0, 1_500_000_000_000, 2.0]]
    assert [step for step, _, _ in history["loss"]] == [0, 0, 0]
    assert [(step, value) for step, _, value in history["ours"]] == [(0, 0.25)]


def test_values_without_a_step_make_a_curve_in_our_charts(told: Told) -> None:
    feed = MetricFeed(told.run.folder / "metrics")
    feed.poll(final=True)
    (loss,), (stepped,) = feed.lines("loss"), feed.lines("stepped")
    assert list(loss.points("step", 100).x) == [0, 1, 2]
    assert list(stepped.points("step", 100).x) == [5, 7]


def test_parameters_come_back_by_mlflow_and_stand_in_our_views(told: Told) -> None:
    params = {"lr": "0.1", "text": "x" * 6000, "a/b": "c", "p": "x" * 6000}
    assert told.job["read back"]["params"] == params
    assert parameters_of(told.run) == params
    sections = {each["title"]: each["facts"] for each in facts_of(told.run)["sections"]}
    assert {"name": "lr", "value": "0.1"} in sections["Parameters"]
    by_hand = [told.workspace.get_run(each) for each in told.outside["runs"][:2]]
    assert compare(by_hand).all_parameters == {"n": ("0", "1")}


def test_what_mlflow_refuses_is_refused_here_in_its_words(told: Told) -> None:
    assert "Changing param values is not allowed" in told.job["changed param"]
    assert "logged with value='0.1'" in told.job["changed param"]
    assert told.job["too long"] == ""  # MLflow 3 cuts it to 6000 characters, and says so
    for name in ("hostile key", "endless key", "endless step"):
        assert told.job[name].startswith("MlflowException")
    assert not (told.run.folder / "x").exists()


def test_tags_are_tags_and_those_of_the_system_are_there_for_mlflow(told: Told) -> None:
    assert told.run.tags == {"kind": "small"}
    tags = told.job["read back"]["tags"]
    assert tags["kind"] == "small"
    assert tags["mlflow.source.type"] == "JOB"
    assert tags["mlflow.source.name"] == "job.py"
    assert tags["mlflow.runName"] == told.run.display_name


def test_artifacts_have_the_names_that_files_of_the_run_have(told: Told) -> None:
    names = told.run.get_file_names()
    assert {"notes/hello.txt", "facts.json", "model/MLmodel", "outputs/told.json"} <= set(names)
    listed = ["azureml-logs", "facts.json", "model", "model-2", "notes"]
    assert told.job["files"] == listed
    told.run.download_file("notes/hello.txt", str(told.run.folder / "copy.txt"))
    assert (told.run.folder / "copy.txt").read_text() == "hello"


def test_a_logged_model_is_found_by_its_id_and_its_files_are_the_runs(told: Told) -> None:
    assert told.job["outputs"] == [told.job["model"]]
    assert told.job["second model"].endswith(f"/{told.run.id}/artifacts/model-2")
    # MLflow logs the run's metrics once more for the model; ours are not doubled by it.
    assert told.run.get_metrics("loss") == {"loss": [3.0, 2.0, 1.0]}


def test_a_nested_run_is_a_child_run(told: Told) -> None:
    children = {child.id: child for child in told.run.get_children()}
    child = children[told.job["child"]]
    assert child.get_metrics() == {"score": 0.5}
    assert (child.get_status(), child.display_name) == ("Completed", "part")


def test_ending_the_run_by_mlflow_does_not_end_the_job(told: Told) -> None:
    assert told.job["after the end"] == "Running"
    assert told.outside["job state"] == "Completed"
    states = [e["state"] for e in events.read(str(told.run.folder))[0] if e["e"] == "state"]
    assert states.count("Completed") == 1
    again, parent = told.job["again"]
    assert parent == told.run.id
    assert again in {child.id for child in told.run.get_children()}


def test_a_second_process_that_is_killed_loses_nothing_that_it_logged(told: Told) -> None:
    assert told.run.get_metrics("other") == {"other": [float(n) for n in range(1000)]}


def test_a_job_loads_of_ours_only_what_travels_with_it(told: Told) -> None:
    rooms = {name.split(".")[1] for name in told.job["imported"]}
    assert rooms <= {"assets", "compat", "errors", "job", "lazy", "tracking"}


# Outside --------------------------------------------------------------------------------------


def test_runs_made_by_mlflow_are_runs_of_an_experiment(told: Told) -> None:
    made = told.outside["runs"]
    assert told.outside["ours"] == made[::-1]
    assert set(told.outside["states"]) == {"Completed"}
    run = told.workspace.get_run(made[2])
    assert (run.display_name, run.number, run.tags) == ("run 2", 3, {"half": "0"})
    assert run.get_metrics() == {"score": 0.2}


def test_runs_are_searched_by_filters_orders_and_pages(told: Told) -> None:
    assert told.outside["by metric"] == [2, 3, 4]
    assert told.outside["by tag and param"] == [3]
    assert told.outside["newest first"] == [4, 3, 2, 1, 0]
    assert told.outside["pages"] == [[4, 3], [2, 1], [0]]


def test_a_run_deleted_by_mlflow_is_archived_and_can_be_restored(told: Told) -> None:
    without = told.outside["runs"][:0:-1]
    assert told.outside["deleted"] == [[4, 3, 2, 1], without]
    assert told.outside["only deleted"] == [0]
    assert "archived; restore it" in told.outside["log to deleted"]
    assert told.outside["restored"] == [4, 3, 2, 1, 0]


def test_what_is_logged_after_the_end_is_in_our_lists_too(told: Told) -> None:
    assert told.outside["late"] == [7.0, "FINISHED"]
    assert told.outside["tags"] == {"half": "0"}
    assert "Did you mean half?" in told.outside["no such tag"]


def test_nested_and_failed_runs_are_ours_with_their_states(told: Told) -> None:
    assert told.outside["child"] == [told.outside["below"]]
    assert told.outside["broken"] == ["FAILED", "Failed"]


def test_experiments_are_searched_tagged_and_archived(told: Told) -> None:
    assert told.outside["experiments"] == ["by-hand", "jobs"]
    assert told.outside["filtered"] == ["by-hand"]
    assert told.outside["experiment tags"] == {"team": "a"}
    listed, refusal = told.outside["archived"]
    assert listed == ["jobs"]
    assert "archived and takes no new runs" in refusal
    assert told.outside["default"] == "Default"
    assert told.outside["external"] == ["external"]
    assert told.outside["external deleted"] == []


def test_what_cannot_be_is_said_with_what_to_do(told: Told) -> None:
    assert "is not a name for an experiment" in told.outside["bad name"]
    assert "Use a new experiment" in told.outside["renamed"]
    assert "Run 'nothing' not found" in told.outside["no such run"]
    assert "There is no workspace in /nowhere/.aml" in told.outside["no workspace"]


def test_models_registered_by_mlflow_are_our_models(told: Told) -> None:
    assert told.outside["registered"] == [1, told.run.id, "READY"]
    assert told.outside["model"] == [1, told.run.id, {"by": "mlflow"}, "answers"]
    assert told.outside["again"] == [2, [1, 2]]
    assert told.outside["alias"] == 1
    assert told.outside["loaded"] == told.run.id
    assert told.outside["versions"] == [1, 2]
    assert told.outside["left"] == [1]
    assert told.outside["registry"] == ["empty"]
    assert "Did you mean empty?" in told.outside["no such model"]
    assert "is not a name for a model" in told.outside["bad model name"]


def test_what_v1_added_to_mlflow_works_with_its_runs(told: Told) -> None:
    address, folder = told.outside["portal"]
    assert address == folder
    assert told.outside["registered by v1"] == "weights:1"


@pytest.mark.service("mount")
def test_a_full_disk_is_our_error_and_loses_nothing(told: Told) -> None:
    message, logged, kept = told.outside["full"]
    assert "No room left on the disk" in message
    assert logged == kept > 5000


# Without MLflow ---------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/a/.aml", "/with space/é%/.aml"])
def test_the_address_of_a_workspace_leads_back_to_it(path: str) -> None:
    assert path_of(address_of(path)) == path


def test_a_server_of_the_users_own_is_left_alone(tmp_path: Path) -> None:
    run = str(tmp_path / ".aml" / "runs" / "r")
    assert mlflow_variables(run, "r", "e", {"MLFLOW_TRACKING_URI": "http://server"}) == {}
    old = {"MLFLOW_TRACKING_URI": "aml:///elsewhere", "MLFLOW_REGISTRY_URI": "http://models"}
    ours = mlflow_variables(run, "r", "e", {**old, "MLFLOW_DISABLE_TELEMETRY": "false"})
    assert ours["MLFLOW_TRACKING_URI"] == address_of(str(tmp_path / ".aml"))
    assert "MLFLOW_REGISTRY_URI" not in ours
    assert "MLFLOW_DISABLE_TELEMETRY" not in ours
    assert "MLFLOW_RUN_ID" not in mlflow_variables(run, "a.b", "e", {})


def test_variables_of_the_user_win_in_a_job(experiment: Experiment) -> None:  # noqa: F811
    config_of = {"MLFLOW_EXPERIMENT_NAME": "mine"}
    text = (
        "import os; print([os.environ.get(f'MLFLOW_{n}') for n in ('EXPERIMENT_NAME', 'RUN_ID')])"
    )
    from aml_jupyter import ScriptRunConfig

    source = experiment.workspace.folder.project / "src"
    source.mkdir()
    config = ScriptRunConfig(str(source), script=script(source, text))
    config.run_config.environment_variables = config_of
    run = experiment.submit(config)
    support.finish(run)
    assert f"['mine', '{run.id}']" in support.log_of(run)


def test_the_bundle_offers_mlflow_what_the_package_does() -> None:
    (folder,) = home().bundle().glob("*.dist-info")
    bundled = Distribution.at(folder)
    declared = tomllib.loads((PROGRAMS.parents[2] / "pyproject.toml").read_text())
    entries = declared["project"]["entry-points"]
    found = [(each.group, each.name, each.value) for each in bundled.entry_points]
    assert found
    for group, name, value in found:
        assert entries[group][name] == value
    assert bundled.metadata["Name"] != declared["project"]["name"]


def test_the_first_value_of_a_parameter_counts(ws: Workspace) -> None:  # noqa: F811
    run = Experiment(ws, "e").start_logging(outputs=False, snapshot_directory=None)
    for value in ("1", "2"):
        events.append(str(run.folder), "params", set={"a": value})
    assert parameters_of(run) == {"a": "1"}
    run.complete()


def test_values_of_another_moment_are_kept_with_it(tmp_path: Path) -> None:
    writer = metrics.MetricWriter(str(tmp_path))
    writer.put("x", 1.5, 1000.5, metrics.STEP_0)
    writer.put("x", 2.5, 2000.5, 3)
    (stem,) = metrics.writers(str(tmp_path))
    data, _ = metrics.read_records(stem, final=True)
    assert list(metrics.decode(data)) == [(1, 1000.5, 1.5), (1, 2000.5, 2.5)]
    assert metrics.steps(data) == [metrics.STEP_0, 3]


# The server -----------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_mlflows_server_shows_our_history(place: Path, told: Told) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    uri = told.workspace.get_mlflow_tracking_uri()
    words = ["server", "--backend-store-uri", uri, "--host", "127.0.0.1", "--port", str(port)]
    variables = {**os.environ, "AML_HOME": str(place / "home"), "MLFLOW_DISABLE_TELEMETRY": "true"}
    with open(place / "server.log", "wb") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "mlflow", *words, "--workers", "1"],
            cwd=place,
            env=variables,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        support.until(lambda: _answers(f"{address}/health"), 60, 0.2)
        named = f"{address}/api/2.0/mlflow/experiments/get-by-name?experiment_name=jobs"
        experiment_id = _asked(named)["experiment"]["experiment_id"]
        found = _asked(f"{address}/api/2.0/mlflow/runs/search", experiment_ids=[experiment_id])
        runs = {each["info"]["run_id"]: each for each in found["runs"]}
        logged = {each["key"]: each["value"] for each in runs[told.run.id]["data"]["metrics"]}
        assert logged["implicit"] == 1.5
        models = _asked(
            f"{address}/api/2.0/mlflow/logged-models/search", experiment_ids=[experiment_id]
        )
        assert told.job["model"] in [each["info"]["model_id"] for each in models["models"]]
        page = _asked(f"{address}/api/2.0/mlflow/registered-models/search")
        assert "answers" in [each["name"] for each in page["registered_models"]]
        listed = _asked(
            f"{address}/api/2.0/mlflow/artifacts/list?run_id={told.run.id}&path=outputs"
        )
        assert [each["path"] for each in listed["files"]] == ["outputs/told.json"]
        file = f"{address}/get-artifact?run_id={told.run.id}&path=notes/hello.txt"
        with urllib.request.urlopen(file, timeout=20) as answer:
            assert answer.read() == b"hello"
        assert (told.run.folder / "artifacts/notes/hello.txt").exists()
    finally:
        os.killpg(server.pid, 15)
        server.wait(20)


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _asked(address: str, **content: Any) -> Any:
    data = json.dumps(content).encode() if content else None
    request = urllib.request.Request(address, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.load(answer)


@pytest.mark.slow
def test_a_project_is_a_run_of_ours(tmp_path: Path, project: Path) -> None:  # noqa: F811
    (project / "MLproject").write_text(
        "name: sums\nentry_points:\n  main:\n    parameters:\n      alpha: float\n"
        "      beta: {type: float, default: 0.5}\n"
        '    command: "python add.py {alpha} {beta}"\n'
    )
    script(
        project,
        "import sys; assert sys.argv[1] != '9'; print(sum(map(float, sys.argv[1:])))",
        "add.py",
    )
    said = _python(tmp_path, dict(os.environ), str(PROGRAMS / "projects.py"))
    told = json.loads(said.partition("TOLD")[2])
    run = Workspace.from_config().get_run(told["done"][0])
    assert told["done"][1:] == ["FINISHED", True]
    assert told["params"] == parameters_of(run) | {"alpha": "2", "beta": "0.5"}
    assert support.log_of(run).strip() == "2.5"
    assert run.tags["mlflow.source.type"] == "PROJECT"
    assert "set_tracking_uri(workspace.get_mlflow_tracking_uri())" in told["elsewhere"]
    assert "failed" in told["failed"]
    assert "Did you mean COMPUTE?" in told["misspelt"]
    assert "x" in told["target"]
