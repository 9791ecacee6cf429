"""Datasets, outputs and data references in real runs: where a script finds them, and what stays."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from aml_jupyter import (
    DataPath,
    DataReference,
    Dataset,
    DatasetConsumptionConfig,
    Datastore,
    Environment,
    Estimator,
    Experiment,
    HDFSOutputDatasetConfig,
    OutputFileDatasetConfig,
    Run,
    RunConfiguration,
    ScriptRunConfig,
    Workspace,
)
from aml_jupyter.backends import Job, backend
from aml_jupyter.cli.completion import candidates
from aml_jupyter.errors import UserErrorException
from aml_jupyter.job import layout
from aml_jupyter.runner.delivering import deliver, outputs_of
from aml_jupyter.runner.links import copy_files, link_files
from aml_jupyter.spec import JobData, JobSpec, RunRequest
from aml_jupyter.workspace.facts import facts_of
from tests.shell import Shell, ipython, shell
from tests.support import (
    experiment,
    finish,
    interpreter,
    kill,
    kill_runner,
    log_of,
    message_of,
    project,
    runner_pid,
    script,
    states_of,
    submit,
    until,
    ws,
)

__all__ = ["experiment", "ipython", "project", "shell", "ws"]

TELL = """
    import json, os, sys
    from aml_jupyter import Run
    run = Run.get_context()
    def files(path):
        if os.path.isfile(path):
            return open(path).read()
        found = [os.path.join(place, name) for place, _, names in os.walk(path) for name in names]
        return {os.path.relpath(each, path): open(each).read() for each in sorted(found)}
    told = {
        "arguments": sys.argv[1:],
        "inputs": {name: str(value) for name, value in run.input_datasets.items()},
        "variables": {name: os.environ[name] for name in run.input_datasets},
        "found": [files(path) for path in sys.argv[1:] if os.path.exists(path)],
    }
    print("told " + json.dumps(told))
    """


@pytest.fixture
def store(ws: Workspace) -> Datastore:
    """The default datastore, with two files in a folder of it."""
    place = Path(Datastore.get_default(ws).root, "data", "deep")
    place.mkdir(parents=True)
    (place.parent / "a.txt").write_text("A")
    (place / "b.txt").write_text("B")
    return Datastore.get_default(ws)


def told(run: Run) -> dict[str, Any]:
    """What TELL said of its data."""
    details = finish(run)
    assert details["status"] == "Completed", log_of(run) + json.dumps(details.get("error"))
    line = next(each for each in log_of(run).splitlines() if each.startswith("told "))
    found: dict[str, Any] = json.loads(line.removeprefix("told "))
    return found


def files(store: Datastore, *paths: str) -> Any:
    """The dataset of these paths in the datastore."""
    return Dataset.File.from_files([(store, path) for path in paths])


# Inputs ---------------------------------------------------------------------------------------


def test_argument_variable_and_input_are_the_same_path(
    experiment: Experiment, store: Datastore
) -> None:
    folder, one = files(store, "data/"), files(store, "data/a.txt")
    given = [
        folder.as_named_input("folder").as_mount(),
        one.as_named_input("one").as_mount(),
        files(store, "data/a.txt", "data/deep/b.txt").as_named_input("several").as_mount(),
        folder.as_named_input("copied").as_download(),
        one.as_named_input("one_copied").as_download(),
    ]
    run = submit(experiment, TELL, arguments=given)
    found = told(run)
    assert found["arguments"] == list(found["inputs"].values()) == list(found["variables"].values())
    assert list(found["inputs"]) == ["folder", "one", "several", "copied", "one_copied"]
    both = {"a.txt": "A", "deep/b.txt": "B"}
    several = {f"workspaceblobstore/data/{name}": text for name, text in both.items()}
    assert found["found"] == [both, "A", several, both, "A"]
    assert found["inputs"]["folder"] == f"{store.root}/data"
    assert found["inputs"]["one"].endswith("/a.txt")
    # Links and copies are gone with the run; what they were of is where it was.
    assert not (run.folder / layout.MOUNTS).exists()
    assert not (run.folder / layout.DOWNLOADS).exists()
    assert Path(store.root, "data/a.txt").read_text() == "A"


def test_a_dataset_in_direct_mode_is_its_id_and_the_object(
    experiment: Experiment, store: Datastore
) -> None:
    Path(store.root, "t.csv").write_text("x,y\n1,2\n3,4\n")
    table = Dataset.Tabular.from_delimited_files((store, "t.csv"))
    text = """
        import sys
        from aml_jupyter import Dataset, Run
        run = Run.get_context()
        found = run.input_datasets["table"]
        print(sys.argv[1] == found.id, list(found.to_pandas_dataframe()["y"]))
        try:
            run.input_datasets["tabel"]
        except KeyError as error:
            print(error)
        """
    run = submit(experiment, text, arguments=[table.as_named_input("table")])
    assert finish(run)["status"] == "Completed", log_of(run)
    assert "True [2, 4]" in log_of(run)
    assert "no input named 'tabel'. It has: table." in log_of(run)


@pytest.mark.service("python3.8")
def test_data_need_nothing_in_the_interpreter_of_the_job(
    experiment: Experiment, store: Datastore
) -> None:
    environment = Environment("bare")
    environment.python.user_managed_dependencies = True
    environment.python.interpreter_path = str(interpreter("3.8"))
    text = """
        from aml_jupyter import Run
        found = Run.get_context().input_datasets
        print(open(found["one"]).read(), found["all"].to_path(), found["all"].download("here"))
        """
    one, both = files(store, "data/a.txt"), files(store, "data/")
    given = [one.as_named_input("one").as_mount(), both.as_named_input("all")]
    run = submit(experiment, text, arguments=given, environment=environment)
    assert finish(run)["status"] == "Completed", log_of(run)
    assert log_of(run).startswith("A ['/a.txt', '/deep/b.txt'] [")


def test_path_on_compute_is_taken_as_it_is_or_below_the_working_directory(
    experiment: Experiment, store: Datastore, tmp_path: Path
) -> None:
    away = tmp_path / "away" / "data"
    run = submit(
        experiment,
        TELL,
        arguments=[
            files(store, "data/").as_mount(str(away)),
            files(store, "data/").as_mount("near/by"),
            files(store, "data/a.txt").as_download("alone"),
        ],
    )
    found = told(run)
    assert found["arguments"] == [
        str(away),
        str(run.folder / "work/near/by"),
        str(run.folder / "work/alone/a.txt"),
    ]
    both = {"a.txt": "A", "deep/b.txt": "B"}
    assert found["found"] == [both, both, "A"]
    assert not os.path.lexists(away)


def test_a_copy_is_the_runs_own(experiment: Experiment, store: Datastore) -> None:
    text = "import sys; open(sys.argv[1] + '/a.txt', 'a').write('!')"
    run = submit(experiment, text, arguments=[files(store, "data/").as_download()])
    assert finish(run)["status"] == "Completed", log_of(run)
    assert Path(store.root, "data/a.txt").read_text() == "A"


@pytest.mark.service("tmpfs")
def test_links_cross_file_systems(tmp_path: Path, project: Path) -> None:
    away = Path(f"/dev/shm/aml-{os.getpid()}")
    away.mkdir()
    try:
        for place in (away, tmp_path):
            (place / "x").write_text("x")
        found = [("far/x", str(away / "x")), ("near/x", str(tmp_path / "x"))]
        assert link_files(found, str(tmp_path / "links")) == [str(away / "x")]
        assert os.path.samefile(tmp_path / "links/near/x", tmp_path / "x")
        assert not (tmp_path / "links/near/x").is_symlink()
        assert (tmp_path / "links/far/x").read_text() == "x"
    finally:
        for each in away.iterdir():
            each.unlink()
        away.rmdir()


def test_names_never_lead_out_of_the_folder_and_links_are_followed(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("x")
    (tmp_path / "link").symlink_to("x")
    wanted = [("../../out", str(tmp_path / "x")), ("a/link", str(tmp_path / "link"))]
    assert link_files(wanted, str(tmp_path / "links")) == []
    copy_files(wanted, str(tmp_path / "copies"), lambda done, total: None)
    for place in ("links", "copies"):
        assert (tmp_path / place / "out").read_text() == "x"
        assert (tmp_path / place / "a/link").read_text() == "x"
        assert not (tmp_path / place / "a/link").is_symlink()


def test_data_may_be_words_of_a_command(experiment: Experiment, store: Datastore) -> None:
    Path(store.root, "with space").mkdir()
    Path(store.root, "with space", "c.txt").write_text("C")
    source = experiment.workspace.folder.project / "empty"
    source.mkdir()
    output = OutputFileDatasetConfig("made", (store, "made"))
    command = ["cp", files(store, "with space/").as_named_input("data").as_mount()]
    config = ScriptRunConfig(str(source), command=[command[0], "-r", command[1], output])
    run = experiment.submit(config)
    assert finish(run)["status"] == "Completed", log_of(run)
    assert Path(store.root, "made/with space/c.txt").read_text() == "C"
    definition = run.get_details()["runDefinition"]
    assert definition["command"] == "cp -r DatasetConsumptionConfig:data DatasetOutputConfig:made"


def test_a_definition_has_v1s_placeholders_and_entries(
    experiment: Experiment, store: Datastore
) -> None:
    data = files(store, "data/").register(experiment.workspace, "mnist")
    given = [
        "--data-folder",
        data.as_named_input("mnist").as_mount(),
        "--out",
        OutputFileDatasetConfig("out", (store, "made")).register_on_complete("made"),
        store.as_mount(),
    ]
    project = experiment.workspace.folder.project
    planned = experiment.plan(ScriptRunConfig(str(project), script(project, "0"), given))
    definition = planned.config.to_definition()
    assert definition["arguments"] == [
        "--data-folder",
        "DatasetConsumptionConfig:mnist",
        "--out",
        "DatasetOutputConfig:out",
        "$AZUREML_DATAREFERENCE_workspaceblobstore",
    ]
    entry: Any = definition["data"]
    assert entry["mnist"]["dataLocation"]["dataset"]["id"] == data.id
    assert entry["mnist"]["dataLocation"]["dataset"]["version"] == 1
    assert entry["mnist"]["mechanism"] == "Mount"
    assert entry["mnist"]["environmentVariableName"] == "mnist"
    out: Any = definition["outputData"]
    where = {"datastoreName": "workspaceblobstore", "relativePath": "made"}
    assert out["out"]["outputLocation"]["dataPath"] == where
    assert out["out"]["additionalOptions"]["registrationOptions"]["name"] == "made"
    assert list(definition["dataReferences"]) == ["workspaceblobstore"]
    # A definition is enough to do the same again.
    again = ScriptRunConfig(str(project), "train.py", run_config=RunConfiguration())
    again.run_config.data = entry
    again.run_config.output_data = out
    again.arguments = definition["arguments"][:4]
    job = experiment.plan(again).job
    assert job.data.inputs == planned.job.data.inputs
    assert job.data.outputs == planned.job.data.outputs
    assert job.arguments == ("--data-folder", "$mnist", "--out", "$out")


def test_records_of_data_come_back_from_json(experiment: Experiment, store: Datastore) -> None:
    project = experiment.workspace.folder.project
    output = OutputFileDatasetConfig("o").as_upload(source_globs="*.csv").read_delimited_files()
    given = [files(store, "data/").as_mount(), output, store.path("data").as_download("here")]
    planned = experiment.plan(ScriptRunConfig(str(project), script(project, "0"), given))
    assert "output       o: workspaceblobstore/dataset/{run-id}/{output-name} (upload)" in str(
        planned
    )
    job = planned.job
    assert JobSpec.from_json(json.loads(json.dumps(job.to_json()))).data == job.data
    assert JobData.from_json(None) == JobData()


def test_a_rerun_and_an_estimator_have_the_same_data(
    experiment: Experiment, store: Datastore
) -> None:
    run = submit(experiment, TELL, arguments=[files(store, "data/").as_named_input("d").as_mount()])
    assert told(run)["found"] == told(run.rerun())["found"]
    source = experiment.workspace.folder.project
    script(source, TELL)
    estimator = Estimator(
        str(source),
        entry_script="train.py",
        compute_target="local",
        inputs=[files(store, "data/").as_named_input("given").as_mount()],
        script_params={"--data": files(store, "data/a.txt").as_named_input("one").as_mount()},
    )
    found = told(experiment.submit(estimator))
    assert list(found["inputs"]) == ["given", "one"]
    assert found["found"] == ["A"]


# References -----------------------------------------------------------------------------------


def test_a_reference_is_the_path_in_the_datastore(experiment: Experiment, store: Datastore) -> None:
    mounted = store.path("data").as_mount()
    copied = store.path("data").as_download("copied")
    new = DataReference(store, "new", "not/there/yet")
    found = told(submit(experiment, TELL, arguments=[mounted, str(copied), new]))
    assert found["arguments"][0] == f"{store.root}/data"
    # v1 knows a reference by its text only where it is named in the run configuration, too.
    assert found["arguments"][1] == str(copied)
    assert found["arguments"][2] == f"{store.root}/not/there/yet"
    config = ScriptRunConfig(
        script_folder := str(experiment.workspace.folder.project),
        script(Path(script_folder), TELL),
        [str(copied)],
    )
    config.run_config.data_references = {copied.data_reference_name: copied.to_config()}
    run = experiment.submit(config)
    assert told(run)["found"] == [{"a.txt": "A", "deep/b.txt": "B"}]
    assert told(run)["arguments"] == [str(run.folder / "work/copied")]


def test_a_reference_may_be_filled_when_the_run_has_ended(
    experiment: Experiment, store: Datastore
) -> None:
    reference = store.path("filled").as_upload("made")
    text = "import sys; open(sys.argv[1] + '/x', 'w').write('x'); sys.exit(3)"
    run = submit(experiment, text, arguments=[reference])
    assert finish(run)["status"] == "Failed"
    assert Path(store.root, "filled/x").read_text() == "x"


def test_a_run_resumes_from_what_another_one_left(experiment: Experiment, ws: Workspace) -> None:
    first = submit(experiment, "open('outputs/model', 'w').write('M')")
    finish(first)
    path = first._get_outputs_datapath()
    assert isinstance(path, DataPath)
    run = submit(experiment, TELL, arguments=["x"], resume_from=path)
    found = told(run)
    assert found["arguments"] == ["x", "--resume-from", str(first.folder / "outputs")]
    assert found["found"] == [{"model": "M"}]


# Outputs --------------------------------------------------------------------------------------

WRITES = """
    import os, sys
    from aml_jupyter import Run
    run = Run.get_context()
    for name, path in run.output_datasets.items():
        open(os.path.join(path, "x.csv"), "w").write("a,b\\n1,2\\n")
        open(os.path.join(path, "x.txt"), "w").write(name)
    sys.exit(int(sys.argv[1]))
    """


def test_outputs_go_where_they_belong_and_become_datasets(
    experiment: Experiment, store: Datastore
) -> None:
    live = OutputFileDatasetConfig("live", (store, "made/{run-id}/{output-name}"))
    table = OutputFileDatasetConfig("table").read_delimited_files(path_glob="*.csv")
    given = [
        live.register_on_complete("made", tags={"kind": "test"}),
        OutputFileDatasetConfig("sent", (store, "sent")).as_upload(source_globs=["*.txt"]),
        OutputFileDatasetConfig("near", (store, "near"), source="checkpoints/"),
        OutputFileDatasetConfig("kept", (store, "kept"), source="outputs/kept").as_upload(),
        OutputFileDatasetConfig("whole", (store, "whole"), source="logs"),
        table.keep_columns("b").register_on_complete("tables"),
    ]
    run = submit(experiment, WRITES, arguments=[0, *given])
    assert finish(run)["status"] == "Completed", log_of(run) + str(run.get_details().get("error"))
    there = {path for path in Path(store.root).rglob("*") if path.is_file()}
    names = {str(path.relative_to(store.root)) for path in there} - {
        "data/a.txt",
        "data/deep/b.txt",
    }
    assert names == {
        f"made/{run.id}/live/x.csv", f"made/{run.id}/live/x.txt", "sent/x.txt",
        "near/x.csv", "near/x.txt", "kept/x.csv", "kept/x.txt", "whole/x.csv", "whole/x.txt",
        f"dataset/{run.id}/table/x.csv", f"dataset/{run.id}/table/x.txt",
    }  # fmt: skip
    assert "outputs/kept/x.txt" in run.get_file_names()
    made = Dataset.get_by_name(experiment.workspace, "made")
    assert (made.version, made.tags) == (1, {"kind": "test"})
    assert sorted(made.to_path()) == ["/x.csv", "/x.txt"]
    tables = Dataset.get_by_name(experiment.workspace, "tables").to_pandas_dataframe()
    assert list(tables.columns) == ["b"]
    details = run.get_details()
    assert [each["outputDetails"]["outputName"] for each in details["outputDatasets"]] == [
        "live", "sent", "near", "kept", "whole", "table",
    ]  # fmt: skip
    assert details["outputDatasets"][0]["identifier"]["savedId"] == made.id
    assert details["outputDatasets"][1]["dataset"].to_path() == ["/x.txt"]


def test_a_failed_run_uploads_but_registers_nothing(
    experiment: Experiment, store: Datastore
) -> None:
    output = OutputFileDatasetConfig("o", (store, "o")).as_upload().register_on_complete("never")
    run = submit(experiment, WRITES, arguments=[3, output])
    assert finish(run)["status"] == "Failed"
    assert Path(store.root, "o/x.txt").read_text() == "o"
    assert "never" not in Dataset.get_all(experiment.workspace)


def test_what_was_put_in_its_place_is_not_put_there_again(
    experiment: Experiment, store: Datastore
) -> None:
    output = OutputFileDatasetConfig("o", (store, "o")).as_upload().register_on_complete("once")
    run = submit(experiment, WRITES, arguments=[0, output])
    assert finish(run)["status"] == "Completed"
    request = RunRequest.from_json(json.loads((run.folder / layout.REQUEST).read_text()))
    assert request.job is not None
    job = Job(request, request.job, run.folder, run.folder, {})
    before = run.get_details()["outputDatasets"][0]["identifier"]
    deliver(job, backend("local"))  # as a runner does that comes after one that was killed
    (again,) = outputs_of(job, completed=True)
    assert (again["id"], again["version"]) == (before["savedId"], 1)
    assert Path(store.root, "o/x.txt").read_text() == "o"


def test_what_is_there_already_is_not_overwritten_unless_asked(
    experiment: Experiment, store: Datastore
) -> None:
    Path(store.root, "o").mkdir()
    Path(store.root, "o/x.txt").write_text("mine")
    output = OutputFileDatasetConfig("o", (store, "o"))
    run = submit(experiment, WRITES, arguments=[0, output.as_upload()])
    details = finish(run)
    assert details["status"] == "Failed"
    assert "is there already" in message_of(details)
    assert Path(store.root, "o/x.txt").read_text() == "mine"
    assert (run.folder / layout.UPLOADS / "o" / "x.txt").read_text() == "o"
    run = submit(experiment, WRITES, arguments=[0, output.as_upload(overwrite=True)])
    assert finish(run)["status"] == "Completed"
    assert Path(store.root, "o/x.txt").read_text() == "o"


def test_a_link_that_a_job_has_left_is_not_followed(
    experiment: Experiment, store: Datastore, tmp_path: Path
) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret/key").write_text("secret")
    text = f"""
        import os, sys
        os.rmdir(sys.argv[1])
        os.symlink({str(tmp_path / "secret")!r}, sys.argv[1])
        os.symlink({str(tmp_path / "secret/key")!r}, sys.argv[2] + "/key")
        """
    given = [OutputFileDatasetConfig(name, (store, name)).as_upload() for name in ("one", "two")]
    assert finish(submit(experiment, text, arguments=given))["status"] == "Completed"
    assert (tmp_path / "secret/key").read_text() == "secret"
    assert not list(Path(store.root).rglob("key"))


# Words ----------------------------------------------------------------------------------------


def test_generated_names_are_v1s(ws: Workspace, store: Datastore) -> None:
    data = files(store, "data/")
    assert data.as_mount().name.startswith("input__")
    assert data.as_download().name.startswith("input_")
    assert len(data.as_mount().name) == len("input__") + 8
    assert OutputFileDatasetConfig().name.startswith("output_")
    assert OutputFileDatasetConfig().path == "dataset/{run-id}/{output-name}"
    with pytest.warns(UserWarning, match="common variable"):
        assert data.as_named_input("path").name == "path"


def test_what_cannot_be_is_said_before_there_is_a_run(
    experiment: Experiment, store: Datastore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, table = files(store, "data/"), Dataset.Tabular.from_delimited_files((store, "data/a.txt"))
    for wrong in ("a b", "1a", "", None):
        with pytest.raises(UserErrorException, match="cannot be the name of an input"):
            data.as_named_input(wrong)
    with pytest.raises(UserErrorException, match="variable PATH of the run would be lost"):
        data.as_named_input("PATH")
    with pytest.raises(UserErrorException, match="as_mount"):
        ScriptRunConfig(".", "a.py", ["--data", data])
    with pytest.raises(UserErrorException, match="as_named_input"):
        ScriptRunConfig(".", command=["ls", table])
    with pytest.raises(UserErrorException, match="it is a table"):
        table.as_named_input("t").as_mount()
    with pytest.raises(UserErrorException, match="Synapse"):
        data.as_hdfs()
    with pytest.raises(UserErrorException, match="Synapse"):
        HDFSOutputDatasetConfig()
    with pytest.raises(UserErrorException, match="mode 'copy'"):
        DatasetConsumptionConfig("d", data, "copy")
    with pytest.raises(UserErrorException, match="cannot go to"):
        OutputFileDatasetConfig(destination=(store, "../up"))
    two = [data.as_named_input("d").as_mount(), files(store, "data/a.txt").as_named_input("d")]
    with pytest.raises(UserErrorException, match="Two different things"):
        submit(experiment, "0", arguments=two)
    with pytest.raises(UserErrorException, match="both called d"):
        submit(experiment, "0", arguments=[two[0], OutputFileDatasetConfig("d")])
    with pytest.raises(UserErrorException, match="step of a pipeline"):
        submit(experiment, "0", arguments=[OutputFileDatasetConfig("o").as_input()])
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    elsewhere = Experiment(Workspace.create("other", show_output=False), "e")
    with pytest.raises(UserErrorException, match="another workspace"):
        submit(elsewhere, "0", arguments=[data.as_mount()])
    assert list(experiment.get_runs()) == []


def aml(*words: str, code: int = 0) -> str:
    """What a command says, on either of its streams."""
    command = [sys.executable, "-m", "aml_jupyter.cli", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_shells_name_data_by_an_option(experiment: Experiment, store: Datastore) -> None:
    files(store, "data/").register(experiment.workspace, "mnist")
    project = experiment.workspace.folder.project
    script(project, TELL)
    said = ["--data", "train=mnist:1@download", "--data", "raw=./train.py"]
    aml("run", "-e", "test", *said, "--wait", "train.py", "$train", "$raw")
    (run,) = experiment.get_runs()
    assert told(run)["found"] == [{"a.txt": "A", "deep/b.txt": "B"}, textwrap.dedent(TELL)]
    facts = next(each for each in facts_of(run)["sections"] if each["title"] == "Data")
    assert {each["name"]: each["value"] for each in facts["facts"]}["train"] == "mnist:1 (download)"
    assert candidates(["run", "--data", "train=m"]) == ["train=mnist"]
    assert "mean mnist?" in aml("run", "--data", "train=mnits", "train.py", code=2)
    assert "Did you mean mount?" in aml("run", "--data", "train=mnist@mont", "train.py", code=2)
    assert "NAME=DATASET" in aml("run", "--data", "mnist", "train.py", code=2)


def test_a_cell_names_data_by_an_option(
    experiment: Experiment, store: Datastore, shell: Shell
) -> None:
    files(store, "data/a.txt").register(experiment.workspace, "one")
    cell = "import os\nprint('cell', open(os.environ['single']).read())"
    shell.run(f"%%aml_run -e test --wait --data single=one\n{cell}")
    (run,) = experiment.get_runs()
    assert "cell A" in log_of(run)


# Trouble --------------------------------------------------------------------------------------


class Slow(BaseHTTPRequestHandler):
    """Sends a file slowly, and never all of it unless ``go`` is set."""

    go = threading.Event()
    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        type(self).asked.append(self.path)
        self.send_response(200)
        self.send_header("Content-Length", "3")
        self.end_headers()
        self.wfile.write(b"ab")
        self.wfile.flush()
        self.go.wait(20)
        self.wfile.write(b"c")

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def slow() -> Iterator[str]:
    """The address of a file that does not come."""
    Slow.go.clear()
    Slow.asked.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Slow)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/folder/file.bin"
    Slow.go.set()
    server.shutdown()
    server.server_close()


def fetchers() -> list[int]:
    """The processes that fetch data for runs of this test's runner."""
    runner = runner_pid()
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            said = Path(f"/proc/{name}/cmdline").read_bytes()
            parent = int(Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        if b"aml_jupyter.runner.fetching" in said and parent in (runner, 1):
            found.append(int(name))
    return found


def test_others_go_on_while_one_fetches_and_cancel_ends_that(
    experiment: Experiment, slow: str
) -> None:
    data = Dataset.File.from_files(slow)
    run = submit(experiment, TELL, arguments=[data.as_mount()])
    until(lambda: Slow.asked)
    assert finish(submit(experiment, "print('quick')"))["status"] == "Completed"
    assert run.get_status() == "Preparing"
    run.cancel()
    assert finish(run)["status"] == "Canceled"
    until(lambda: not fetchers())
    until(lambda: not (run.folder / layout.WORK).exists())


def test_a_runner_killed_while_data_come_is_followed_by_one_that_brings_them(
    experiment: Experiment, slow: str, store: Datastore
) -> None:
    data = [Dataset.File.from_files(slow), files(store, "data/"), files(store, "data/a.txt")]
    given = [data[1].as_download(), data[2].as_mount(), data[0].as_named_input("slow").as_mount()]
    run = submit(experiment, TELL, arguments=given)
    until(lambda: Slow.asked)
    kill_runner()
    until(lambda: not fetchers())
    Slow.go.set()
    until(lambda: run.get_status() in ("Completed", "Failed"), 20)
    assert told(run)["found"] == [{"a.txt": "A", "deep/b.txt": "B"}, "A", "abc"]
    assert states_of(run)[-1] == "Completed"


def test_data_whose_fetching_is_killed_fail_the_run_and_come_whole_the_next_time(
    experiment: Experiment, slow: str
) -> None:
    data = Dataset.File.from_files(slow)
    run = submit(experiment, TELL, arguments=[data.as_mount()])
    until(lambda: Slow.asked)
    for pid in fetchers():
        kill(pid)
    details = finish(run)
    assert details["status"] == "Failed"
    assert "the process that did it was ended" in message_of(details)
    assert "Submit the run again" in message_of(details)
    Slow.go.set()
    assert told(submit(experiment, TELL, arguments=[data.as_mount()]))["found"] == ["abc"]
    coming = experiment.workspace.folder.root / "datasets/cache/coming"
    assert list(coming.iterdir()) == []


def test_an_address_that_cannot_be_reached_is_named_by_the_run(
    experiment: Experiment, slow: str
) -> None:
    address = slow.replace("/folder", "1/folder")  # a port that is no port
    run = submit(experiment, "0", arguments=[Dataset.File.from_files(address).as_mount()])
    details = finish(run)
    assert details["status"] == "Failed"
    assert f"{address} cannot be reached" in message_of(details)
    assert "Nothing is kept" in message_of(details)


def test_data_that_went_before_the_run_began_are_named(
    experiment: Experiment, store: Datastore
) -> None:
    data = files(store, "data/a.txt")
    Path(store.root, "data/a.txt").unlink()
    details = finish(submit(experiment, "0", arguments=[data.as_mount()]))
    assert details["status"] == "Failed"
    assert "data/a.txt" in message_of(details)
