"""Workspace, Experiment and Run as v1's samples use them."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
import zipfile
from pathlib import Path
from types import GeneratorType
from typing import Any

import pytest

from aml_jupyter import (
    AmlCompute,
    ComputeTarget,
    Environment,
    Experiment,
    Run,
    RunConfiguration,
    ScriptRunConfig,
    Workspace,
)
from aml_jupyter.errors import (
    ActivityFailedException,
    AmlError,
    AzureMLException,
    UserErrorException,
    WorkspaceException,
)
from aml_jupyter.job import layout
from tests.support import (
    assert_no_orphans,
    experiment,
    finish,
    log_of,
    processes_below,
    project,
    script,
    submit,
    until,
    ws,
)

__all__ = ["experiment", "project", "ws"]

ROOT = Path(__file__).parent.parent
SLEEP = "import time\nprint('up', flush=True)\ntime.sleep(60)"
AZURE = {"subscription_id": "sub", "resource_group": "group", "workspace_name": "azure-ws"}
SCOPE = (
    "/subscriptions/sub/resourceGroups/group/providers/"
    "Microsoft.MachineLearningServices/workspaces/azure-ws"
)


def config(path: Path, content: Any = None) -> Path:
    """Write a config.json and return it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(AZURE if content is None else content))
    return path


def facts(workspace: Workspace) -> tuple[str, str, str]:
    return (workspace.name, workspace.resource_group, workspace.subscription_id)


# Workspace.from_config (section 2) ----------------------------------------------------------


def test_without_any_config_a_workspace_is_made_here(project: Path) -> None:
    workspace = Workspace.from_config()
    assert workspace.folder.root == project / ".aml"
    assert workspace.name == "project"
    assert (project / ".aml/.gitignore").read_text() == "*\n"


def test_a_workspace_is_made_at_the_root_of_a_repository(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / ".git").mkdir()
    (project / "a/b").mkdir(parents=True)
    monkeypatch.chdir(project / "a/b")
    assert Workspace.from_config().folder.project == project


def test_the_workspace_of_an_ancestor_is_found(
    ws: Workspace, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "a/b").mkdir(parents=True)
    monkeypatch.chdir(project / "a/b")
    assert Workspace.from_config().folder.record == ws.folder.record


@pytest.mark.parametrize("content", [AZURE, {**AZURE, "extra": 1}, {"Id": None, "Scope": SCOPE}])
def test_both_forms_of_a_config_name_the_workspace(content: Any, project: Path) -> None:
    config(project / ".azureml/config.json", content)
    assert facts(Workspace.from_config()) == ("azure-ws", "group", "sub")


def test_a_file_may_be_named_itself(project: Path) -> None:
    path = config(project / "elsewhere/mine.json")
    assert Workspace.from_config(path).name == "azure-ws"
    assert Workspace.from_config(str(path)).name == "azure-ws"


def test_a_far_azureml_folder_beats_a_near_bare_file(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config(project / ".azureml/config.json", {**AZURE, "workspace_name": "far"})
    config(project / "a/config.json", {**AZURE, "workspace_name": "near"})
    monkeypatch.chdir(project / "a")
    assert Workspace.from_config().name == "far"


ORDER = [
    ".azureml/config.json",
    ".azureml/project.json",
    "aml_config/config.json",
    "aml_config/project.json",
    "config.json",
    "project.json",
]


def test_the_kinds_of_config_are_tried_in_v1s_order(project: Path) -> None:
    from aml_jupyter.workspace.workspace import _find_config

    for name in ORDER:
        config(project / name)
    for name in ORDER:
        assert _find_config(project) == project / name
        (project / name).unlink()


@pytest.mark.parametrize("content", [{}, {"workspace_name": "x"}, {"Scope": "/a/b"}, [], 5])
def test_a_config_that_says_too_little_is_an_error(content: Any, project: Path) -> None:
    config(project / ".azureml/config.json", content)
    with pytest.raises(UserErrorException, match="does not describe a workspace"):
        Workspace.from_config()


def test_a_bare_config_of_another_program_is_passed_over(project: Path) -> None:
    config(project / "config.json", {"model": "bert"})
    assert Workspace.from_config().name == "project"


def test_a_path_that_is_not_there_is_an_error(project: Path) -> None:
    with pytest.raises(UserErrorException, match="no file or folder"):
        Workspace.from_config("missing")


def test_the_same_config_leads_to_the_same_workspace(project: Path) -> None:
    config(project / ".azureml/config.json")
    first, second = Workspace.from_config(), Workspace.from_config()
    assert first.folder.record == second.folder.record


# create, get, list, write_config ------------------------------------------------------------


def test_create_makes_a_workspace_once(project: Path) -> None:
    made = Workspace.create("my-ws", subscription_id="s", resource_group="g", location="here")
    assert (*facts(made), made.location) == ("my-ws", "g", "s", "here")
    with pytest.raises(WorkspaceException, match="my-ws already"):
        Workspace.create("my-ws")
    again = Workspace.create("my-ws", exist_ok=True)
    assert again.folder.record == made.folder.record


@pytest.mark.parametrize("name", ["", "ab", "-abc", "a b c", "x" * 34, "a/b", None, "../x"])
def test_a_bad_name_is_refused(name: Any, project: Path) -> None:
    with pytest.raises(UserErrorException, match="not a name"):
        Workspace.create(name)
    assert not (project / ".aml").exists()


def test_a_project_may_have_several_workspaces(project: Path) -> None:
    first, second = Workspace.create("first"), Workspace.create("second")
    assert first.folder.root != second.folder.root
    assert Workspace.get("first").folder.root == first.folder.root
    assert Workspace.get("second").folder.root == second.folder.root
    assert sorted(Workspace.list()) == ["first", "second"]


def test_a_workspace_seen_once_is_found_by_name_from_anywhere(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Workspace.create("known")
    monkeypatch.chdir(tmp_path)
    assert Workspace.get("known").folder.root == made.folder.root
    assert Workspace("sub", "group", "known").folder.root == made.folder.root


def test_a_workspace_that_is_not_there_is_an_error(project: Path) -> None:
    Workspace.create("known")
    with pytest.raises(WorkspaceException, match="no workspace named 'unknown'") as caught:
        Workspace.get("unknown")
    assert "known" in caught.value.hint


def test_write_config_writes_v1s_form_and_is_read_back(ws: Workspace, project: Path) -> None:
    ws.write_config()
    written = json.loads((project / ".azureml/config.json").read_text())
    assert list(written) == ["Id", "Scope"]
    assert written["Scope"].split("/")[8] == ws.name
    assert Workspace.from_config().folder.record == ws.folder.record


def test_write_config_goes_where_v1_puts_it(ws: Workspace, project: Path) -> None:
    ws.write_config("a/.azureml")
    ws.write_config("b", "mine.json")
    (project / "c/aml_config").mkdir(parents=True)
    (project / "c/aml_config/project.json").write_text("{}")
    ws.write_config("c")
    assert (project / "a/.azureml/config.json").exists()
    assert (project / "b/.azureml/mine.json").exists()
    assert "Scope" in json.loads((project / "c/aml_config/project.json").read_text())


def test_what_samples_print(ws: Workspace) -> None:
    assert f"{ws.name} {ws.resource_group} {ws.location}" == "project local local"
    assert repr(ws) == (
        f"Workspace.create(name='project', subscription_id='{ws.subscription_id}', "
        "resource_group='local')"
    )
    details = ws.get_details()
    assert {"id", "name", "location", "type", "tags", "sku", "workspaceid"} <= set(details)
    assert details["creationTime"].endswith("Z")


def test_a_workspace_of_a_later_version_is_refused(ws: Workspace) -> None:
    path = ws.folder.root / "workspace.json"
    path.write_text(json.dumps({**ws.folder.record, "format": 99}))
    with pytest.raises(WorkspaceException, match="later version"):
        Workspace.from_config()


# Experiment (section 3) ---------------------------------------------------------------------


@pytest.mark.parametrize("name", ["", "a b", "-a", "ä", "a/b", "../a", "x" * 256, None, 5, "a\n"])
def test_a_bad_name_for_an_experiment_is_refused(name: Any, ws: Workspace) -> None:
    with pytest.raises(UserErrorException, match="not a name for an experiment"):
        Experiment(ws, name)


def test_an_experiment_is_made_once(ws: Workspace) -> None:
    first, second = Experiment(ws, "e-1_x"), Experiment(workspace=ws, name="e-1_x")
    assert first.id == second.id
    assert first.workspace is ws
    assert repr(first) == "Experiment(Name: e-1_x,\nWorkspace: project)"
    assert list(ws.experiments) == ["e-1_x"]


def test_experiments_may_be_archived_and_come_back(ws: Workspace) -> None:
    kept, gone = Experiment(ws, "kept"), Experiment(ws, "gone")
    gone.archive()
    assert gone.archived_time
    assert [e.name for e in Experiment.list(ws)] == ["kept"] == list(ws.experiments)
    assert [e.name for e in Experiment.list(ws, view_type="ArchivedOnly")] == ["gone"]
    assert [e.name for e in Experiment.list(ws, view_type="All")] == ["gone", "kept"]
    with pytest.raises(UserErrorException, match="archived"):
        gone.start_logging(snapshot_directory=None)
    with pytest.raises(UserErrorException, match="archived"):
        submit(Experiment(ws, "gone"), "print(1)")
    gone.reactivate()
    assert len(Experiment.list(ws)) == 2
    with pytest.raises(UserErrorException, match="view"):
        Experiment.list(ws, view_type="Some")
    assert kept.archived_time is None


def test_experiments_have_tags(ws: Workspace) -> None:
    Experiment(ws, "a").set_tags({"k": 1, "l": "x"})
    Experiment(ws, "b").tag("k", "2")
    assert [e.name for e in Experiment.list(ws, tags="k")] == ["a", "b"]
    assert [e.name for e in Experiment.list(ws, tags={"k": "2"})] == ["b"]
    one = Experiment(ws, "a")
    one.remove_tags(["l"])
    assert Experiment(ws, "a").tags == {"k": "1"}


def test_only_an_empty_experiment_is_deleted(ws: Workspace) -> None:
    full, empty = Experiment(ws, "full"), Experiment(ws, "empty")
    full.start_logging(snapshot_directory=None, outputs=False).complete()
    with pytest.raises(UserErrorException, match="has runs"):
        Experiment.delete(ws, full.id)
    Experiment.delete(ws, empty.id)
    assert list(ws.experiments) == ["full"]


def quick(to: Experiment, **options: Any) -> Run:
    """An interactive run without a snapshot."""
    return to.start_logging(snapshot_directory=None, outputs=False, **options)


def test_runs_come_newest_first_one_by_one(experiment: Experiment) -> None:
    made = [quick(experiment).id for _ in range(4)]
    runs = experiment.get_runs()
    assert isinstance(runs, GeneratorType)
    assert [run.id for run in runs] == made[::-1]
    assert isinstance(Run.list(experiment), GeneratorType)


def test_runs_are_filtered_by_type_tags_and_properties(experiment: Experiment) -> None:
    one, two, three = (quick(experiment) for _ in range(3))
    one.set_tags({"a": "1", "b": "1"})
    two.set_tags({"a": "2"})
    three.tag("c")
    two.add_properties({"p": "q", "r": "s"})

    def ids(**query: Any) -> list[str]:
        return [run.id for run in experiment.get_runs(**query)]

    assert ids(tags="a") == [two.id, one.id]
    assert ids(tags={"a": "1"}) == [one.id]
    assert ids(tags={"a": "1", "b": "2"}) == []
    assert ids(tags={"c": None}) == [three.id]
    assert ids(properties="p") == ids(properties={"p": "q", "r": "s"}) == [two.id]
    assert ids(properties={"p": "other"}) == []
    assert ids(type="azureml.scriptrun") == []
    assert len(ids()) == 3


def test_children_are_listed_only_when_asked_for(experiment: Experiment) -> None:
    parent = quick(experiment)
    child = parent.child_run()
    assert [run.id for run in experiment.get_runs()] == [parent.id]
    assert {run.id for run in experiment.get_runs(include_children=True)} == {parent.id, child.id}


def test_experiments_do_not_share_runs(ws: Workspace) -> None:
    one, two = Experiment(ws, "one"), Experiment(ws, "two")
    first, second, third = quick(one), quick(two), quick(one)
    assert [run.number for run in (first, second, third)] == [1, 1, 2]
    assert [run.id for run in two.get_runs()] == [second.id]


def test_more_runs_than_a_page_are_all_listed(experiment: Experiment) -> None:
    request = json.loads((quick(experiment).folder / layout.REQUEST).read_text())
    for number in range(420):
        request.update(id=f"copy{number}", created=float(number))
        experiment.workspace.folder.new_run(request)
    assert len({run.id for run in experiment.get_runs()}) == 421


# start_logging ------------------------------------------------------------------------------


def test_an_interactive_run_is_running_at_once(experiment: Experiment, project: Path) -> None:
    (project / "notes.txt").write_text("n")
    run = experiment.start_logging()
    assert run.get_status() == "Running"
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f-]{27}", run.id)
    assert run.type is None
    assert (project / "outputs").is_dir()
    assert "runDefinition" not in run.get_details()
    run.log("x", 1)
    run.complete()
    assert run.get_status() == "Completed"
    assert run.get_metrics() == {"x": 1}


def test_outputs_of_an_interactive_run_are_kept(experiment: Experiment, project: Path) -> None:
    run = experiment.start_logging(snapshot_directory=None)
    (project / "outputs/model.pkl").write_bytes(b"m")
    run.complete()
    assert run.get_file_names() == ["outputs/model.pkl"]


def test_outputs_may_be_left_alone(experiment: Experiment, project: Path) -> None:
    experiment.start_logging(outputs=False, snapshot_directory=None).complete()
    assert not (project / "outputs").exists()


def test_an_interactive_run_takes_a_snapshot_unless_told_not_to(
    experiment: Experiment, project: Path
) -> None:
    (project / "code.py").write_text("x")
    assert experiment.start_logging(outputs=False).get_snapshot_id()
    assert quick(experiment).get_snapshot_id() is None


def test_a_block_ends_an_interactive_run(experiment: Experiment) -> None:
    with quick(experiment) as run:
        run.log("x", 1)
    assert run.get_status() == "Completed"
    with pytest.raises(KeyError), quick(experiment) as failed:
        raise KeyError("gone")
    assert failed.get_status() == "Failed"
    assert "KeyError" in failed.get_details()["error"]["error"]["message"]


@pytest.mark.parametrize("run_id", ["../x", "a/b", ".."])
def test_an_interactive_run_id_stays_in_the_workspace(run_id: str, experiment: Experiment) -> None:
    with pytest.raises(UserErrorException, match="not an id"):
        quick(experiment, run_id=run_id)


def test_names_for_people(experiment: Experiment) -> None:
    run = quick(experiment, display_name="try 1")
    assert run.display_name == "try 1"
    run.display_name = "try 2"
    assert Run(experiment, run.id).display_name == "try 2"


# Submit -------------------------------------------------------------------------------------


def test_a_submitted_run_has_v1s_identity(experiment: Experiment) -> None:
    run = submit(experiment, "print(1)", tags={"a": 1, "b": None})
    assert re.fullmatch(r"test_\d{10}_[0-9a-f]{8}", run.id)
    assert run.type == "azureml.scriptrun"
    assert type(run).__name__ == "ScriptRun"
    assert (run.number, run.experiment.name, run.parent) == (1, "test", None)
    assert run.tags == {"a": "1", "b": None}
    details = finish(run)
    assert repr(run) == (
        f"Run(Experiment: test,\nId: {run.id},\nType: azureml.scriptrun,\nStatus: Completed)"
    )
    assert run.id in run._repr_html_()
    properties = run.properties
    assert properties["ContentSnapshotId"] == run.get_snapshot_id()
    assert properties["_azureml.ComputeTargetType"] == "local"
    definition = details["runDefinition"]
    assert definition["script"] == "train.py"
    assert {"arguments", "target", "environment", "framework", "nodeCount"} <= set(definition)


def test_arguments_become_texts(experiment: Experiment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATA_DIR", "/data")
    text = "import sys; print(sys.argv[1:])"
    run = submit(experiment, text, arguments=["--n", 5, "--x", 0.5, "--d", "$DATA_DIR/a"])
    details = finish(run)
    assert log_of(run) == "['--n', '5', '--x', '0.5', '--d', '/data/a']\n"
    assert details["runDefinition"]["arguments"][:4] == ["--n", "5", "--x", "0.5"]


def test_a_run_id_of_ones_own_is_used_once(experiment: Experiment) -> None:
    run = submit(experiment, "print(1)", run_id="mine")
    assert run.id == "mine"
    with pytest.raises(UserErrorException, match="mine"):
        submit(experiment, "print(1)", run_id="mine")
    finish(run)
    assert log_of(run) == "1\n"


@pytest.mark.parametrize("run_id", ["../x", "a/b", "", "..", ".x", "a\nb", "x" * 300])
def test_a_run_id_that_is_none_is_refused(run_id: str, experiment: Experiment) -> None:
    with pytest.raises(UserErrorException, match="not an id"):
        submit(experiment, "print(1)", run_id=run_id)
    assert list(experiment.get_runs()) == []


def test_a_config_may_be_changed_and_submitted_again(experiment: Experiment, project: Path) -> None:
    script(project / "code", "import sys; print(sys.argv[1])")
    src = ScriptRunConfig("code", script="train.py", arguments=["one"])
    first = experiment.submit(src)
    src.arguments = ["two"]
    second = experiment.submit(config=src)
    for run, word in ((first, "one"), (second, "two")):
        finish(run)
        assert log_of(run) == f"{word}\n"


def test_another_interpreter_and_variables_come_from_the_environment(
    experiment: Experiment,
) -> None:
    environment = Environment("mine")
    environment.python.user_managed_dependencies = True
    environment.python.interpreter_path = sys.executable
    environment.environment_variables = {"COLOUR": "red"}
    text = "import os, sys; print(os.environ['COLOUR'], sys.executable)"
    run = submit(experiment, text, environment=environment)
    finish(run)
    assert log_of(run) == f"red {sys.executable}\n"
    found = run.get_environment()
    assert found is not None
    assert found.environment_variables["COLOUR"] == "red"


WRONG: list[tuple[str, Any, str]] = [
    ("a missing script", lambda: ScriptRunConfig("code", script="missing.py"), "missing.py"),
    ("a missing folder", lambda: ScriptRunConfig("nowhere", script="train.py"), "nowhere"),
    ("nothing to run", lambda: ScriptRunConfig("code"), "neither a script nor a command"),
    ("an unknown target", lambda: ScriptRunConfig("code", "train.py", compute_target="gpu"), "gpu"),
    ("another class", lambda: object(), "object cannot be submitted"),
    ("None", lambda: None, "NoneType cannot be submitted"),
]


@pytest.mark.parametrize(("make", "named"), [w[1:] for w in WRONG], ids=[w[0] for w in WRONG])
def test_what_is_wrong_is_said_before_anything_is_queued(
    make: Any, named: str, experiment: Experiment, project: Path
) -> None:
    script(project / "code", "print(1)")
    with pytest.raises(AzureMLException, match=re.escape(named)) as caught:
        experiment.submit(make())
    assert caught.value.hint
    assert list(experiment.get_runs()) == []
    assert list(experiment.workspace.folder.runs.iterdir()) == []


def test_an_error_is_two_lines_in_a_notebook(experiment: Experiment, project: Path) -> None:
    with pytest.raises(AmlError) as caught:
        experiment.submit(ScriptRunConfig("nowhere", script="train.py"))
    assert len(caught.value._render_traceback_()) == 2


def test_a_plan_changes_nothing(experiment: Experiment, project: Path) -> None:
    script(project / "code", "print(1)")
    before = sorted(project.rglob("*"))
    shown = str(experiment.plan(ScriptRunConfig("code", script="train.py", arguments=["--lr", 1])))
    assert sorted(project.rglob("*")) == before
    assert "train.py --lr 1" in shown


def test_a_saved_run_configuration_runs(experiment: Experiment, project: Path) -> None:
    script(project / "code", "print('configured')")
    run_config = RunConfiguration()
    run_config.script = "train.py"
    run = experiment.submit(ScriptRunConfig("code", script="train.py", run_config=run_config))
    assert finish(run)["status"] == "Completed"


# wait_for_completion (4.7) ------------------------------------------------------------------


def test_waiting_prints_v1s_form(
    experiment: Experiment, capsys: pytest.CaptureFixture[str]
) -> None:
    run = submit(experiment, "import time\nprint('one')\ntime.sleep(0.3)\nprint('two')")
    details = run.wait_for_completion(show_output=True)
    assert details["status"] == "Completed"
    url = run.get_portal_url()
    assert capsys.readouterr().out == (
        f"RunId: {run.id}\nWeb View: {url}\n\n"
        "Streaming azureml-logs/70_driver_log.txt\n"
        "========================================\n\n"
        "one\ntwo\n\n"
        f"Execution Summary\n=================\nRunId: {run.id}\nWeb View: {url}\n\n"
    )


def test_waiting_for_a_failed_run_raises_what_samples_catch(
    experiment: Experiment, capsys: pytest.CaptureFixture[str]
) -> None:
    run = submit(experiment, "raise ValueError('bad data')")
    with pytest.raises(ActivityFailedException) as caught:
        run.wait_for_completion(show_output=True)
    assert "User program failed with ValueError: bad data" in caught.value.message
    assert '"code": "UserError"' in caught.value.message
    printed = capsys.readouterr().out
    assert printed.rstrip().endswith("}")
    assert json.loads(printed.split("Error:\n")[1])["error"]["code"] == "UserError"
    assert run.wait_for_completion(raise_on_error=False)["status"] == "Failed"


def test_waiting_for_a_canceled_run_raises_nothing(experiment: Experiment) -> None:
    run = submit(experiment, SLEEP)
    until(lambda: "up" in log_of(run))
    threading.Timer(0.2, run.cancel).start()
    assert run.wait_for_completion()["status"] == "Canceled"


def test_interrupting_the_wait_leaves_the_run_alone(experiment: Experiment) -> None:
    run = submit(experiment, "import time\nprint('up', flush=True)\ntime.sleep(1.2)\nprint('end')")
    code = f"""
        from aml_jupyter import Workspace
        from aml_jupyter.errors import ExperimentExecutionException
        run = Workspace.from_config().get_run({run.id!r})
        print('waiting', flush=True)
        try:
            run.wait_for_completion()
        except ExperimentExecutionException as error:
            print(error.message)
        """
    waiter = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert waiter.stdout is not None
    waiter.stdout.readline()
    time.sleep(0.2)
    waiter.send_signal(signal.SIGINT)
    assert "the run itself goes on" in waiter.communicate(timeout=10)[0]
    assert finish(run)["status"] == "Completed"
    assert log_of(run) == "up\nend\n"


def test_binary_and_half_characters_stream_without_harm(
    experiment: Experiment, capsys: pytest.CaptureFixture[str]
) -> None:
    text = r"""
        import sys, time
        for byte in 'ü€'.encode():
            sys.stdout.buffer.write(bytes([byte]))
            sys.stdout.flush()
            time.sleep(0.15)
        sys.stdout.buffer.write(b'\xff\x00')
        """
    submit(experiment, text).wait_for_completion(show_output=True)
    assert "ü€\N{REPLACEMENT CHARACTER}\0" in capsys.readouterr().out


# A run from elsewhere -----------------------------------------------------------------------


def test_a_run_is_found_again_by_each_of_v1s_ways(ws: Workspace, experiment: Experiment) -> None:
    run = submit(experiment, "print(1)")
    finish(run)
    same = [Run(experiment, run.id), Run.get(ws, run.id), ws.get_run(run.id)]
    same += list(experiment.get_runs())
    assert {found.id for found in same} == {run.id}
    assert [type(found).__name__ for found in same[1:]] == ["ScriptRun"] * 3
    with pytest.raises(UserErrorException, match="no run 'missing'"):
        ws.get_run("missing")


def test_status_is_the_last_known_and_get_status_looks(experiment: Experiment) -> None:
    run = quick(experiment)
    other = Run(experiment, run.id)
    assert other.status == "Running"
    run.complete()
    assert other.get_status() == "Completed"
    assert other.status == "Completed"


# Files and source ---------------------------------------------------------------------------


def test_files_of_a_run_are_downloaded(experiment: Experiment, project: Path) -> None:
    run = submit(experiment, "open('outputs/model.pkl', 'wb').write(b'model')")
    finish(run)
    run.download_file(name="outputs/model.pkl", output_file_path="./model.pkl")
    assert (project / "model.pkl").read_bytes() == b"model"
    run.upload_file("extra.txt", io.BytesIO(b"later"))
    assert "extra.txt" in run.get_file_names()


def test_the_source_of_a_run_comes_back_as_a_zip(experiment: Experiment, project: Path) -> None:
    script(project / "code", "print('original')")
    (project / "code/data").mkdir()
    (project / "code/data/x.bin").write_bytes(bytes(range(256)))
    run = experiment.submit(ScriptRunConfig("code", script="train.py"))
    script(project / "code", "print('changed')")
    path = run.restore_snapshot(path="back")
    assert path == f"back/{run.get_snapshot_id()}.zip"
    with zipfile.ZipFile(path) as archive:
        assert sorted(archive.namelist()) == ["data/x.bin", "train.py"]
        assert b"original" in archive.read("train.py")
        assert archive.read("data/x.bin") == bytes(range(256))
    finish(run)


def test_a_run_without_a_snapshot_takes_one_once(experiment: Experiment, project: Path) -> None:
    run = quick(experiment)
    with pytest.raises(UserErrorException, match="no snapshot"):
        run.restore_snapshot()
    (project / "code").mkdir()
    (project / "code/a.py").write_text("x")
    taken = run.take_snapshot("code")
    assert run.get_snapshot_id() == taken
    with pytest.raises(UserErrorException, match="snapshot already"):
        run.take_snapshot("code")
    single = quick(experiment)
    single.take_snapshot("code/a.py")
    with zipfile.ZipFile(single.restore_snapshot()) as archive:
        assert archive.namelist() == ["a.py"]


@pytest.mark.service("git")
def test_git_facts_are_properties(experiment: Experiment, project: Path) -> None:
    script(project / "code", "print(1)")
    git = ["git", "-c", "user.name=x", "-c", "user.email=x@example.org"]
    for command in (["init", "-q", "-b", "main"], ["add", "code"], ["commit", "-qm", "first"]):
        subprocess.run([*git, *command], check=True, cwd=project)
    run = experiment.submit(ScriptRunConfig("code", script="train.py"))
    assert run.properties["azureml.git.branch"] == "main"
    assert len(run.properties["azureml.git.commit"]) == 40
    assert run.properties["azureml.git.dirty"] == "False"
    finish(run)


# Ends ---------------------------------------------------------------------------------------


def test_a_deleted_run_is_gone(ws: Workspace, experiment: Experiment) -> None:
    kept, gone = quick(experiment), quick(experiment)
    child = gone.child_run()
    with pytest.raises(UserErrorException, match="only a run that has ended"):
        gone.delete()
    child.complete()
    gone.complete()
    gone.delete()
    assert [run.id for run in experiment.get_runs(include_children=True)] == [kept.id]
    assert not gone.folder.exists()
    for lost in (gone, child):
        with pytest.raises(UserErrorException):
            ws.get_run(lost.id)


def test_archived_runs_leave_the_lists(experiment: Experiment) -> None:
    run = quick(experiment)
    run.archive()
    assert list(experiment.get_runs()) == []
    run.reactivate()
    assert [found.id for found in experiment.get_runs()] == [run.id]


def test_canceling_a_parent_cancels_its_children(experiment: Experiment) -> None:
    parent = quick(experiment)
    script(experiment.workspace.folder.project / "code", SLEEP)
    child = parent.submit_child(ScriptRunConfig("code", script="train.py"), tags={"k": "v"})
    inner = parent.child_run()
    done = parent.child_run()
    done.complete()
    until(lambda: "up" in log_of(child))
    assert child.parent is not None
    assert child.parent.id == parent.id
    parent.cancel()
    assert finish(child)["status"] == "Canceled"
    assert parent.get_status() == inner.get_status() == "Canceled"
    assert done.get_status() == "Completed"
    assert_no_orphans(child.folder)


def test_children_are_listed_and_filtered(experiment: Experiment) -> None:
    parent = quick(experiment)
    first, second = parent.child_run("one"), parent.child_run("two")
    second.tag("k", "v")
    second.complete()
    grandchild = first.child_run()
    assert [run.id for run in parent.get_children()] == [second.id, first.id]
    assert [run.id for run in parent.get_children(tags={"k": "v"})] == [second.id]
    assert [run.id for run in parent.get_children(status="Running")] == [first.id]
    assert {run.id for run in parent.get_children(recursive=True)} == {
        first.id,
        second.id,
        grandchild.id,
    }
    first.log("x", 1)
    grandchild.log("x", 2)
    assert parent.get_metrics(recursive=True) == {first.id: {"x": 1}, grandchild.id: {"x": 2}}


def test_children_of_a_script_are_seen_from_outside(experiment: Experiment) -> None:
    text = """
        from aml_jupyter import Run
        run = Run.get_context()
        for fold in range(3):
            with run.child_run(f'fold {fold}') as child:
                child.log('score', fold)
        """
    run = submit(experiment, text)
    finish(run)
    children = list(run.get_children())
    assert [child.display_name for child in children] == ["fold 2", "fold 1", "fold 0"]
    assert [child.get_metrics() for child in children] == [{"score": n} for n in (2, 1, 0)]
    assert {child.get_status() for child in children} == {"Completed"}


def test_a_child_left_open_by_a_script_ends_with_it(experiment: Experiment) -> None:
    text = "from aml_jupyter import Run\nRun.get_context().child_run().log('x', 1)"
    run = submit(experiment, text)
    finish(run)
    (child,) = run.get_children()
    assert child.get_status() == "Failed"
    assert "ended without completing" in child.get_details()["error"]["error"]["message"]


def test_nothing_of_a_test_is_left(experiment: Experiment, project: Path) -> None:
    run = submit(experiment, SLEEP)
    until(lambda: "up" in log_of(run))
    assert processes_below(project.parent)
    run.cancel()
    finish(run)
    assert_no_orphans(project.parent)


def test_a_child_is_found_however_it_and_its_parent_are_looked_at(experiment: Experiment) -> None:
    # Which comes first depends on the hashes of their ids: with twenty, both orders occur.
    for _ in range(20):
        parent = experiment.start_logging(snapshot_directory=None)
        assert list(parent.get_children()) == []
        child = parent.child_run()
        child.complete()
        assert [each.id for each in parent.get_children()] == [child.id]
        parent.complete()


# What administrators of v1's workspaces used --------------------------------------------------


def test_update_notes_names_and_tags_for_everybody(ws: Workspace) -> None:
    assert ws.tags == {}
    ws.update(friendly_name="Ours", tags={"team": "a", "n": 1})
    details = ws.update(description="for tests", image_build_compute="cpu-cluster")
    assert details["friendlyName"] == "Ours"
    assert details["description"] == "for tests"
    assert Workspace.from_config().tags == details["tags"] == {"team": "a", "n": "1"}


def test_what_belongs_to_azure_is_empty_and_changes_nothing(ws: Workspace) -> None:
    assert (ws.webservices, ws.images, ws.linked_services, ws.private_endpoints) == ({}, {}, {}, {})
    assert ws.list_keys() == {}
    ws.sync_keys()
    assert ws.discovery_url == ws.folder.root.as_uri()
    assert ws.service_context is ws


def test_a_workspace_does_not_delete_itself(ws: Workspace) -> None:
    with pytest.raises(WorkspaceException, match="is not deleted"):
        ws.delete(delete_dependent_resources=True)
    assert ws.folder.root.exists()


def test_runs_are_listed_by_their_compute_target(ws: Workspace, experiment: Experiment) -> None:
    pool = ComputeTarget.create(ws, "cpu", AmlCompute.provisioning_configuration(max_nodes=1))
    other = Experiment(ws, "other")
    first, second = (submit(each, "pass", compute_target="cpu") for each in (experiment, other))
    with experiment.start_logging(snapshot_directory=None):
        pass
    first.tag("a")
    assert [run.id for run in Run.list_by_compute(pool)] == [second.id, first.id]
    assert [run.id for run in Run.list_by_compute(pool, tags="a")] == [first.id]
    assert not list(Run.list_by_compute(pool, status="Failed"))
    for run in (first, second):
        finish(run, 60)


def test_a_run_asks_for_secrets_of_its_workspace(ws: Workspace, experiment: Experiment) -> None:
    ws.get_default_keyvault().set_secret("name", "value")
    with experiment.start_logging(snapshot_directory=None) as run:
        assert run.get_secret("name") == "value"
        assert run.get_secrets(["name"]) == {"name": "value"}
        with pytest.raises(UserErrorException, match="no secret named 'nam'"):
            run.get_secret("nam")
