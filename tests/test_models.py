"""Models: registered from a path or a run, found again, brought out, and never silently changed."""

from __future__ import annotations

import datetime
import json
import os
import shutil
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aml_jupyter import Dataset, Experiment, Model, ResourceConfiguration, Run, Workspace
from aml_jupyter.assets.model_files import read_notes
from aml_jupyter.assets.model_shelf import ModelShelf
from aml_jupyter.cli import main
from aml_jupyter.cli.completion import candidates
from aml_jupyter.errors import (
    ModelNotFoundException,
    ModelPathNotFoundException,
    UserErrorException,
    WebserviceException,
)
from tests.support import experiment, project, until, ws

__all__ = ["experiment", "project", "ws"]

BIG = 17 << 20


@pytest.fixture
def done(experiment: Experiment, project: Path) -> Run:
    """A run that has ended, with a file, a folder, a log and an upload."""
    with experiment.start_logging(snapshot_directory=None) as run:
        for name in ("outputs/model.pkl", "outputs/net/a.bin", "outputs/net/b/c.bin"):
            (project / name).parent.mkdir(parents=True, exist_ok=True)
            (project / name).write_text(name)
        (project / "alone").write_text("alone")
        run.upload_file("model/model.pkl", "alone")
    shutil.rmtree(project / "outputs")
    return run


def big(folder: Path, name: str = "big.bin") -> Path:
    """A file that is too big for its hash to be waited for."""
    path = folder / name
    with open(path, "wb") as file:
        file.write(b"start")
        file.truncate(BIG)
    return path


def files_of(model: Model) -> dict[str, Path]:
    """Where the workspace keeps the files of a model."""
    return {name: Path(url[len("file://") :]) for name, url in model.get_sas_urls().items()}


def hashes_of(model: Model) -> list[str | None]:
    return [noted["sha256"] for noted in read_notes(model._folder).values()]


def overwrite(path: Path, text: bytes) -> None:
    """Change a file in place, as somebody does whom permissions do not stop."""
    mode = path.stat().st_mode
    path.chmod(0o600)
    with open(path, "r+b") as file:
        file.write(text)
    path.chmod(mode)


# Registering a path ---------------------------------------------------------------------------


def test_a_file_is_registered_as_version_1_and_said_so(
    ws: Workspace, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "model.pkl").write_text("weights")
    model = Model.register(ws, "model.pkl", "mnist", tags={"area": "digits", "n": 1})
    assert capsys.readouterr().out == "Registering model mnist\n"
    assert (model.name, model.version, model.id) == ("mnist", 1, "mnist:1")
    assert type(model.version) is int
    assert model.tags == {"area": "digits", "n": "1"}
    assert (model.run_id, model.run, model.experiment_name) == (None, None, None)
    assert model.url.startswith("aml://asset/")
    assert abs(model.created_time.timestamp() - time.time()) < 60
    assert model.created_time.tzinfo is datetime.timezone.utc
    assert repr(model).startswith("Model(workspace=Workspace.create(name=")
    assert repr(model).endswith(
        "name=mnist, id=mnist:1, version=1, tags={'area': 'digits', 'n': '1'}, properties={})"
    )


def test_a_copy_is_registered_so_that_changing_the_original_changes_nothing(
    ws: Workspace, project: Path
) -> None:
    (project / "model.pkl").write_text("weights")
    model = Model.register(ws, "model.pkl", "mnist")
    (project / "model.pkl").write_text("changed")
    os.unlink("model.pkl")
    assert Path(model.download("out")).read_text() == "weights"


def test_versions_count_up_and_a_number_is_never_given_twice(ws: Workspace, project: Path) -> None:
    (project / "m").write_text("1")
    first, second = (Model.register(ws, "m", "mnist") for _ in range(2))
    assert (first.version, second.version) == (1, 2)
    second.delete()
    assert Model.register(ws, "m", "mnist").version == 3
    for version in (1, 3):
        Model(ws, "mnist", version=version).delete()
    assert "mnist" not in ws.models
    assert Model.register(ws, "m", "mnist").version == 4


def test_a_folder_is_registered_whole_and_child_paths_choose_from_it(
    ws: Workspace, project: Path
) -> None:
    for name in ("net/a.bin", "net/b/c.bin", "net/b/d.tmp"):
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(name)
    whole = Model.register(ws, "./net/", "whole")
    part = Model.register(ws, "net", "part", child_paths=["b"])
    assert sorted(files_of(whole)) == ["net/a.bin", "net/b/c.bin", "net/b/d.tmp"]
    assert sorted(files_of(part)) == ["net/b/c.bin", "net/b/d.tmp"]
    with pytest.raises(WebserviceException, match="has no files of these child_paths"):
        Model.register(ws, "net", "none", child_paths=["x"])


def test_what_a_link_in_a_folder_leads_to_is_registered_with_it(
    ws: Workspace, project: Path
) -> None:
    (project / "weights").mkdir()
    (project / "weights/a.bin").write_text("a")
    (project / "net").mkdir()
    (project / "net/latest").symlink_to("../weights")
    model = Model.register(ws, "net", "net")
    assert Path(model.download("out"), "latest/a.bin").read_text() == "a"


def test_what_is_no_tag_dataset_or_resource_is_told_before_anything_is_registered(
    ws: Workspace, project: Path
) -> None:
    (project / "m").write_text("m")
    for wrong, said in (
        ({"tags": "area"}, "are a dictionary"),
        ({"properties": ["a"]}, "are a dictionary"),
        ({"sample_input_dataset": "data"}, "is not a dataset"),
        ({"datasets": [("training", "data")]}, "is not a dataset"),
        ({"resource_configuration": "1 cpu"}, "is not a resource configuration"),
    ):
        keywords: Any = wrong
        with pytest.raises(UserErrorException, match=said):
            Model.register(ws, "m", "mnist", **keywords)
    assert ws.models == {}


def test_a_path_that_is_not_there_is_named_with_what_is_like_it(
    ws: Workspace, project: Path
) -> None:
    (project / "model.pkl").write_text("weights")
    with pytest.raises(WebserviceException, match=r"modle.pkl' cannot be found") as refused:
        Model.register(ws, "modle.pkl", "mnist")
    assert "Did you mean model.pkl?" in refused.value.hint
    assert Model.list(ws) == []


@pytest.mark.parametrize("name", ["", "-x", "a/b", "a b", ".hidden", "x" * 256])
def test_what_v1_takes_for_no_name_is_refused(ws: Workspace, project: Path, name: str) -> None:
    (project / "m").write_text("1")
    with pytest.raises(WebserviceException, match="is not a name for a model"):
        Model.register(ws, "m", name)


def test_a_wrong_keyword_is_a_type_error_that_lists_the_right_ones(
    ws: Workspace, done: Run
) -> None:
    calls: list[Callable[..., Any]] = [Model.register, Model.list, Model, done.register_model]
    for call in calls:
        with pytest.raises(TypeError, match=r"has no argument 'modelname'.*It takes: .*tags"):
            call(ws, modelname="x")
    with pytest.raises(TypeError, match=r"^Run.register_model\(\) has .*mean model_name"):
        done.register_model(modelname="x")


# Registering what a run left ------------------------------------------------------------------


def test_a_file_of_a_run_is_registered_with_the_run_and_its_experiment(
    ws: Workspace, done: Run
) -> None:
    model = done.register_model("mnist", "outputs/model.pkl", description="first")
    assert (model.run_id, model.run.id, model.experiment_name) == (done.id, done.id, "test")
    assert model.description == "first"
    assert Path(model.download("out")).read_text() == "outputs/model.pkl"
    assert [each.id for each in Model.list(ws, run_id=done.id)] == ["mnist:1"]


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("./outputs/model.pkl", ["model.pkl"]),
        ("outputs\\model.pkl", ["model.pkl"]),
        (".\\outputs\\net\\", ["net/a.bin", "net/b/c.bin"]),
        ("outputs/net/b", ["b/c.bin"]),
        ("model/model.pkl", ["model.pkl"]),
        ("model", ["model/model.pkl"]),
        (
            "./",
            ["model/model.pkl", "outputs/model.pkl", "outputs/net/a.bin", "outputs/net/b/c.bin"],
        ),
    ],
)
def test_artifact_paths_are_taken_as_v1_takes_them(done: Run, path: str, names: list[str]) -> None:
    assert sorted(files_of(done.register_model("m", path))) == names


def test_without_a_path_the_name_is_the_path(done: Run) -> None:
    assert list(files_of(done.register_model("model"))) == ["model/model.pkl"]


def test_an_artifact_that_is_not_there_is_an_error_that_lists_the_files_of_the_run(
    done: Run,
) -> None:
    with pytest.raises(ModelPathNotFoundException) as refused:
        done.register_model("m", "outputs/modle.pkl")
    assert "outputs/modle.pkl" in refused.value.message
    assert "outputs/net/b/c.bin" in refused.value.message
    assert "Did you mean outputs/model.pkl" in refused.value.hint


def test_no_bytes_are_copied_when_the_run_has_ended(done: Run) -> None:
    kept = files_of(done.register_model("m", "outputs/model.pkl"))["model.pkl"]
    theirs = done.folder / "outputs/model.pkl"
    shared = kept.stat().st_ino == theirs.stat().st_ino  # a file system with clones has two
    assert shared or kept.stat().st_blocks == theirs.stat().st_blocks
    assert not kept.stat().st_mode & 0o222


def test_while_the_run_goes_on_a_copy_of_what_is_there_is_registered(
    experiment: Experiment, project: Path
) -> None:
    with experiment.start_logging(snapshot_directory=None) as run:
        (project / "m").write_text("early")
        run.upload_file("m", "m")
        model = run.register_model("m")
        stored = run.folder / "artifacts/m"
        assert files_of(model)["m"].stat().st_ino != stored.stat().st_ino
        overwrite(stored, b"later")
    assert Path(model.download("out")).read_text() == "early"


def test_deleting_the_run_keeps_the_model(ws: Workspace, done: Run) -> None:
    model = done.register_model("m", "outputs/net")
    done.delete()
    assert Path(model.download("out"), "a.bin").read_text() == "outputs/net/a.bin"
    assert model.run is None
    assert Model(ws, "m").run_id == done.id


def test_a_child_of_a_run_registers_what_is_its_own(ws: Workspace, experiment: Experiment) -> None:
    with experiment.start_logging(outputs=False, snapshot_directory=None) as run:
        with run.child_run("child") as child:
            Path("m").write_text("child's")
            child.upload_file("m", "m")
        model = child.register_model("m")
    assert (model.run_id, model.run.parent.id) == (child.id, run.id)


# Finding --------------------------------------------------------------------------------------


@pytest.fixture
def several(ws: Workspace, project: Path) -> Workspace:
    """Two versions of one model and one of another."""
    (project / "m").write_text("1")
    Model.register(ws, "m", "a", tags={"alg": "svm"}, properties={"p": "1"})
    Model.register(ws, "m", "a", tags={"alg": "cnn", "best": None}, model_framework="Onnx")
    Model.register(ws, "m", "b", tags={"alg": "svm"})
    return ws


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({}, ["b:1", "a:2", "a:1"]),
        ({"name": "a"}, ["a:2", "a:1"]),
        ({"latest": True}, ["b:1", "a:2"]),
        ({"tags": ["alg"]}, ["b:1", "a:2", "a:1"]),
        ({"tags": [["alg", "svm"]]}, ["b:1", "a:1"]),
        ({"tags": ["best", ["alg", "cnn"]]}, ["a:2"]),
        ({"tags": {"alg": "svm"}, "name": "a"}, ["a:1"]),
        ({"tags": [["alg", "svm"]], "latest": True}, ["b:1"]),
        ({"properties": ["p"]}, ["a:1"]),
        ({"properties": [["p", 1]]}, ["a:1"]),
        ({"model_framework": Model.Framework.ONNX}, ["a:2"]),
        ({"run_id": "none"}, []),
        ({"dataset_id": "none"}, []),
        ({"name": "c"}, []),
    ],
)
def test_list_gives_the_models_that_match_newest_first(
    several: Workspace, filters: dict[str, Any], found: list[str]
) -> None:
    assert [model.id for model in Model.list(several, **filters)] == found


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({"name": "a"}, "a:2"),
        ({"name": "a", "version": 1}, "a:1"),
        ({"id": "a:1"}, "a:1"),
        ({"name": "a", "tags": [["alg", "svm"]]}, "a:1"),
        ({"tags": ["best"]}, "a:2"),
    ],
)
def test_a_model_is_the_latest_that_matches(
    several: Workspace, asked: dict[str, Any], found: str
) -> None:
    assert Model(several, **asked).id == found


def test_a_model_that_is_not_there_is_an_error_with_the_nearest_names(several: Workspace) -> None:
    (Path("x")).write_text("1")
    Model.register(several, "x", "mnist")
    with pytest.raises(WebserviceException, match="ModelNotFound") as refused:
        Model(several, "minst")
    assert refused.value.hint == "Did you mean mnist?"
    with pytest.raises(WebserviceException, match=r"ModelNotFound.* a:7") as refused:
        Model(several, "a", version=7)
    assert refused.value.hint == "a has versions 1, 2."
    with pytest.raises(WebserviceException, match=r"ModelNotFound.* a with tags"):
        Model(several, "a", tags=["nothing"])


def test_models_of_a_workspace_are_the_latest_by_name(several: Workspace) -> None:
    assert {name: model.version for name, model in several.models.items()} == {"a": 2, "b": 1}


# What is known of it --------------------------------------------------------------------------


def test_tags_and_properties_change_by_rules_and_the_change_is_printed(
    several: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    model = Model(several, "b")
    model.add_tags({"best": True})
    model.remove_tags(["alg", "never was"])
    model.add_properties({"p": 2})
    with pytest.raises(UserErrorException, match=r"never change.* p already"):
        model.add_properties({"p": 3})
    assert capsys.readouterr().out.splitlines() == [
        "Model tag add operation complete.",
        "Model tag remove operation complete.",
        "Model properties add operation complete.",
    ]
    model.update_tags_properties({"x": "1"}, ["best"], {"q": "3"})
    for seen in (model, Model(several, "b")):
        assert (seen.tags, seen.properties) == ({"x": "1"}, {"p": "2", "q": "3"})


def test_update_replaces_what_is_given_and_nothing_else(several: Workspace) -> None:
    model = Model(several, "a", version=1)
    model.update(description="new", resource_configuration=ResourceConfiguration(1, 0.5))
    assert (model.description, model.tags) == ("new", {"alg": "svm"})
    model.update(tags={"only": "this"})
    found = Model(several, "a", version=1)
    assert (found.description, found.tags) == ("new", {"only": "this"})
    assert found.resource_configuration is not None
    assert found.resource_configuration.serialize() == {"cpu": 1, "memoryInGB": 0.5, "gpu": None}


def test_datasets_are_kept_with_their_purpose_and_found_by_id(ws: Workspace, project: Path) -> None:
    (project / "m").write_text("1")
    store = ws.get_default_datastore()
    store.upload_files(["m"], target_path="data")
    one, other = (Dataset.File.from_files((store, path)) for path in ("data/m", "data"))
    one = one.register(ws, "one")
    pairs = [("training", one)]
    model = Model.register(ws, "m", "a", datasets=pairs, sample_input_dataset=other)
    Model.register(ws, "m", "b")
    assert [(purpose, each.name) for purpose, each in model.datasets] == [("training", "one")]
    model.add_dataset_references([("validation", other)])
    found = Model(ws, "a")
    assert [purpose for purpose, _ in found.datasets] == ["training", "validation"]
    assert found.datasets[1][1].id == found.sample_input_dataset.id == other.id
    assert found.sample_output_dataset is None
    assert [each.id for each in Model.list(ws, dataset_id=one.id)] == ["a:1"]
    with pytest.raises(UserErrorException, match="are not datasets of a model"):
        Model.register(ws, "m", "a", datasets=[one])  # type: ignore[list-item]


def test_two_who_change_tags_at_once_lose_nothing(several: Workspace) -> None:
    one, other = Model(several, "b"), Model(several, "b")
    one.add_tags({"one": "1"})
    other.add_tags({"other": "2"})
    assert Model(several, "b").tags == {"alg": "svm", "one": "1", "other": "2"}


def test_an_amount_that_is_none_is_refused_by_the_resource_configuration() -> None:
    with pytest.raises(WebserviceException, match="cpu='two' is not an amount"):
        ResourceConfiguration(cpu="two")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="It takes: cpu, memory_in_gb, gpu"):
        ResourceConfiguration(memory=2)  # type: ignore[call-arg]


def test_the_frameworks_are_v1s_words() -> None:
    assert {name: word for name, word in vars(Model.Framework).items() if name.isupper()} == {
        "CUSTOM": "Custom",
        "TENSORFLOW": "TensorFlow",
        "SCIKITLEARN": "ScikitLearn",
        "ONNX": "Onnx",
        "TFKERAS": "TfKeras",
        "PYTORCH": "PyTorch",
        "MULTI": "Multi",
    }


def test_a_model_that_was_deleted_says_so(several: Workspace) -> None:
    model = Model(several, "b")
    model.delete()
    model.delete()
    for use in (model.download, lambda: model.add_tags({"x": "1"})):
        with pytest.raises((WebserviceException, UserErrorException), match="b:1 has been deleted"):
            use()


@pytest.mark.parametrize("method", ["deploy", "profile", "package", "print_configuration"])
def test_what_needs_web_services_is_one_clear_error(ws: Workspace, method: str) -> None:
    with pytest.raises(WebserviceException, match=f"Model.{method} needs web services"):
        getattr(Model, method)(ws, "name", [], inference_config=None)


# Bringing files out ---------------------------------------------------------------------------


def test_download_keeps_the_last_segment_of_the_path(done: Run, project: Path) -> None:
    file = done.register_model("file", "outputs/model.pkl")
    folder = done.register_model("folder", "outputs/net")
    assert file.download() == os.path.join(".", "model.pkl")
    assert folder.download("deep/er") == os.path.join("deep/er", "net")
    assert (project / "model.pkl").read_text() == "outputs/model.pkl"
    assert (project / "deep/er/net/b/c.bin").read_text() == "outputs/net/b/c.bin"
    (project / "model.pkl").write_text("mine to change")


def test_download_onto_what_is_there_wants_exist_ok(done: Run, project: Path) -> None:
    model = done.register_model("file", "outputs/model.pkl")
    (project / "model.pkl").write_text("mine")
    with pytest.raises(WebserviceException, match=r"model\.pkl exists already") as refused:
        model.download()
    assert "exist_ok=True" in refused.value.hint
    assert (project / "model.pkl").read_text() == "mine"
    model.download(exist_ok=True)
    assert (project / "model.pkl").read_text() == "outputs/model.pkl"


def test_get_model_path_of_a_workspace_fetches_and_returns_the_only_entry(
    ws: Workspace, done: Run
) -> None:
    for _ in range(2):
        done.register_model("net", "outputs/net")
    done.register_model("all", "./")
    assert Model.get_model_path("net", _workspace=ws) == "azureml-models/net/2/net"
    assert Model.get_model_path("net", 1, _workspace=ws) == "azureml-models/net/1/net"
    assert Model.get_model_path("net", _workspace=ws) == "azureml-models/net/2/net"
    assert Model.get_model_path("all", _workspace=ws) == "azureml-models/all/1"
    with pytest.raises(ModelNotFoundException) as refused:
        Model.get_model_path("nett", _workspace=ws)
    assert "Did you mean net?" in refused.value.hint


def test_get_model_path_elsewhere_looks_in_azureml_models_then_in_the_folder_here(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "m").write_text("here")
    assert Model.get_model_path("m") == "m"
    for version in (9, 10):
        (project / f"azureml-models/m/{version}").mkdir(parents=True)
        (project / f"azureml-models/m/{version}/model.pkl").write_text(str(version))
    assert Model.get_model_path("m") == "azureml-models/m/10/model.pkl"
    assert Model.get_model_path("m", version=9) == "azureml-models/m/9/model.pkl"
    monkeypatch.setenv("AML_APP_ROOT", "/nowhere")
    assert Model.get_model_path("m") == "m"
    with pytest.raises(ModelNotFoundException, match="neither in /nowhere/azureml-models/other"):
        Model.get_model_path("other")


def test_a_version_may_be_text_and_what_can_be_no_name_is_not_found(
    several: Workspace, project: Path
) -> None:
    name = Model.list(several)[0].name
    version: Any = "1"
    assert Model(several, name, version=version).version == 1
    assert Model.get_model_path(name, version, _workspace=several).split("/")[2] == "1"
    for missing in ("x" * 300, "a\0b", "../datasets", "..", 3):
        wrong: Any = missing
        with pytest.raises(WebserviceException, match="ModelNotFound"):
            Model(several, wrong)
    with pytest.raises(WebserviceException, match="there is no model nonsense in this"):
        Model(several, id="nonsense")


def test_a_model_that_another_workspace_left_in_the_folder_is_not_taken_for_this_one(
    ws: Workspace, project: Path
) -> None:
    (project / "m").write_text("of old")
    Model.register(ws, "m", "mnist")
    assert Path(Model.get_model_path("mnist", _workspace=ws)).read_text() == "of old"
    shutil.rmtree(ws.folder.root)  # as who begins anew does
    again = Workspace.from_config()
    (project / "m").write_text("new")
    Model.register(again, "m", "mnist")
    path = Path(Model.get_model_path("mnist", _workspace=again))
    assert path.read_text() == "new"
    path.write_text("changed by its user")
    assert Model.get_model_path("mnist", _workspace=again) == str(path)
    assert path.read_text() == "changed by its user"


# Staying as it was ----------------------------------------------------------------------------


def test_a_file_changed_in_place_is_noticed_by_its_hash(ws: Workspace, done: Run) -> None:
    model = done.register_model("m", "outputs/net")
    overwrite(files_of(model)["net/a.bin"], b"O")
    for use in (
        lambda: model.download("out"),
        lambda: Model.get_model_path("m", _workspace=ws),
    ):
        with pytest.raises(UserErrorException) as refused:
            use()
        assert refused.value.message == (
            "Model m:1 is damaged: its file net/a.bin does not hold what was registered."
        )
        assert "Register a good copy" in refused.value.hint
    assert not os.path.exists("out/net")
    assert model.damages() == {"net/a.bin": "does not hold what was registered"}


def test_a_file_that_is_shorter_or_gone_is_noticed(done: Run) -> None:
    model = done.register_model("m", "outputs/net")
    os.truncate(files_of(model)["net/a.bin"], 3)
    os.unlink(files_of(model)["net/b/c.bin"])
    assert model.damages() == {
        "net/a.bin": "has 3 bytes instead of 17",
        "net/b/c.bin": "cannot be read (No such file or directory)",
    }


def test_hashes_of_big_files_are_noted_by_a_process_nobody_waits_for(
    experiment: Experiment, project: Path
) -> None:
    with experiment.start_logging(snapshot_directory=None) as run:
        big(project / "outputs")
    model = run.register_model("m", "outputs/big.bin")
    until(lambda: all(hashes_of(model)), 30)
    assert model.damages() == {}
    overwrite(files_of(model)["big.bin"], b"other")
    with pytest.raises(UserErrorException, match="is damaged"):
        model.download("out")


def test_what_was_changed_before_its_hash_was_known_is_noticed_by_its_times(
    experiment: Experiment, project: Path
) -> None:
    with experiment.start_logging(snapshot_directory=None) as run:
        big(project / "outputs")
    model = run.register_model("m", "outputs/big.bin")
    until(lambda: all(hashes_of(model)), 30)
    notes = read_notes(model._folder)
    notes["big.bin"]["sha256"] = None  # as if the process had been killed
    Path(model._folder, "files.json").write_text(json.dumps(notes))
    overwrite(files_of(model)["big.bin"], b"other")
    assert model.damages() == {"big.bin": "was changed before its hash was known"}


def test_damaged_facts_are_told_and_hide_no_other_model(ws: Workspace, project: Path) -> None:
    (project / "m").write_text("m")
    first, second = (Model.register(ws, "m", "mnist") for _ in range(2))
    Model.register(ws, "m", "other")
    Path(second._folder, "model.json").write_text("{}")
    assert sorted(model.id for model in Model.list(ws)) == ["mnist:1", "other:1"]
    with pytest.raises(WebserviceException, match="Version 2 is damaged"):
        Model(ws, "mnist", version=2)
    Path(first._folder, "files.json").write_text("[")
    for use in (first.download, first.damages):
        with pytest.raises(UserErrorException, match=r"damaged: its file files\.json"):
            use()
    with pytest.raises(UserErrorException, match=r"damaged: its file files\.json"):
        Model.get_model_path("mnist", _workspace=ws)
    Path(first._folder).parent.joinpath("number").write_text("nonsense")
    assert Model.register(ws, "m", "mnist").version == 3


def test_a_file_in_the_way_of_a_download_is_told(done: Run, project: Path) -> None:
    model = done.register_model("model", "outputs/model.pkl")
    (project / "file").write_text("")
    (project / "out/model.pkl").mkdir(parents=True)
    for folder in ("file", "file/below", "out"):
        with pytest.raises(WebserviceException, match="cannot be put into"):
            model.download(folder, exist_ok=True)


def test_damages_notes_the_hashes_that_are_missing(ws: Workspace, project: Path) -> None:
    (project / "m").write_text("weights")
    model = Model.register(ws, "m", "m")
    known = hashes_of(model)
    notes = read_notes(model._folder)
    notes["m"]["sha256"] = None
    Path(model._folder, "files.json").write_text(json.dumps(notes))
    assert model.damages() == {}
    assert hashes_of(model) == known


# Several at once, and ends in the middle ------------------------------------------------------


REGISTER = """
    import sys
    from aml_jupyter import Model, Workspace
    ws = Workspace.from_config()
    print(*(Model.register(ws, "m", "shared").version for _ in range(5)))
    """


def test_processes_that_register_at_once_get_versions_of_their_own(
    ws: Workspace, project: Path
) -> None:
    (project / "m").write_text("1")
    command = [sys.executable, "-c", textwrap.dedent(REGISTER)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    said = [process.communicate()[0].splitlines()[-1] for process in processes]
    assert sorted(int(word) for line in said for word in line.split()) == list(range(1, 16))
    assert len(Model.list(ws, "shared")) == 15


def test_a_registration_that_is_killed_leaves_nothing_visible_and_is_cleared_away(
    ws: Workspace, project: Path
) -> None:
    (project / "m").write_text("1")
    with open("endless", "wb") as file:
        file.truncate(1 << 40)
    program = (
        "from aml_jupyter import *; Model.register(Workspace.from_config(), 'endless', 'killed')"
    )
    process = subprocess.Popen([sys.executable, "-c", program])
    try:
        until(lambda: list(Path(ModelShelf(ws).folder).glob(".new-*/files/*")), 60)
    finally:  # else it would write until the disk is full
        process.kill()
        process.wait()
    assert Model.list(ws) == []
    assert ws.models == {}
    (left,) = Path(ModelShelf(ws).folder).glob(".new-*")
    Model.register(ws, "m", "other")
    assert left.exists()  # it might still be at it
    long_ago = time.time() - 3600
    os.utime(left, (long_ago, long_ago))
    assert Model.register(ws, "m", "killed").version == 1
    assert not left.exists()


def test_a_link_in_the_place_of_a_model_is_refused_and_not_followed(
    ws: Workspace, project: Path, tmp_path: Path
) -> None:
    (project / "m").write_text("1")
    (tmp_path / "elsewhere/1").mkdir(parents=True)
    os.symlink(tmp_path / "elsewhere", Path(ModelShelf(ws).folder, "m"))
    with pytest.raises(UserErrorException, match="holds a link"):
        Model.register(ws, "m", "m")
    assert os.listdir(tmp_path / "elsewhere") == ["1"]
    assert Model.list(ws) == []


# From the command line ------------------------------------------------------------------------


def aml(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """The exit code of a command, and what it wrote."""
    code = main(["models", *words])
    return (code, *capsys.readouterr())


def test_aml_models_registers_lists_and_shows(
    ws: Workspace, done: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = aml(capsys, "register", "mnist", "outputs/model.pkl", "--run", done.id)
    assert (code, out) == (0, "mnist:1 is registered.\n")
    code, out, _ = aml(capsys, "register", "mnist", "alone", "--tag", "a=b", "--json")
    assert json.loads(out)["id"] == "mnist:2"
    assert json.loads(out)["tags"] == {"a": "b"}
    code, out, _ = aml(capsys)
    assert out.splitlines()[1].split()[:2] == ["mnist", "2"]
    code, out, _ = aml(capsys, "list", "mnist", "--json")
    assert [each["version"] for each in json.loads(out)["models"]] == [2, 1]
    code, out, _ = aml(capsys, "show", "mnist:1")
    assert f"run          {done.id}" in out


def test_aml_models_downloads_and_verifies(
    done: Run, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = done.register_model("net", "outputs/net")
    assert aml(capsys, "download", "net", "--to", "out")[:2] == (0, "out/net\n")
    code, _, said = aml(capsys, "download", "net", "--to", "out")
    assert (code, said.splitlines()[0]) == (2, "out/net exists already.")
    assert aml(capsys, "verify")[:2] == (0, "net:1  as registered\n")
    overwrite(files_of(model)["net/a.bin"], b"O")
    code, out, _ = aml(capsys, "verify", "--json")
    assert code == 1
    assert list(json.loads(out)["damaged"]["net:1"]) == ["net/a.bin"]


def test_aml_models_verify_tells_of_damaged_facts_and_notes(
    ws: Workspace, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "m").write_text("m")
    first, second = (Model.register(ws, "m", "mnist") for _ in range(2))
    lone = Model.register(ws, "m", "alone")
    Path(second._folder, "model.json").write_text("{}")
    Path(lone._folder, "model.json").write_text("{")
    Path(first._folder, "files.json").write_text("[")
    capsys.readouterr()
    code, out, _ = aml(capsys, "verify")
    assert code == 1
    assert out.splitlines() == [
        "alone:1  damaged",
        "  model.json does not hold the facts of a model",
        "mnist:2  damaged",
        "  model.json does not hold the facts of a model",
        "mnist:1  damaged",
        "  files.json cannot be read",
    ]
    code, out, _ = aml(capsys, "verify", "mnist:2", "--json")
    assert (code, json.loads(out)["checked"]) == (1, ["mnist:2"])
    assert aml(capsys, "verify", "mnist:3")[0] == aml(capsys, "verify", "mnits")[0] == 2


def test_aml_models_delete_asks_first_and_wants_to_know_which(
    several: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, said = aml(capsys, "delete", "a:1")
    assert (code, "has to be confirmed" in said) == (2, True)
    code, _, said = aml(capsys, "delete", "a", "-y")
    assert said.splitlines() == [
        "a has 2 versions.",
        "Say which, such as a:2, or --all-versions.",
    ]
    assert aml(capsys, "delete", "a", "b:1", "--all-versions", "-y")[0] == 0
    assert Model.list(several) == []


def test_aml_models_lists_what_is_damaged_and_deletes_it(
    ws: Workspace, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "m").write_text("m")
    _, second = (Model.register(ws, "m", "mnist") for _ in range(2))
    lone = Model.register(ws, "m", "alone")
    for each in (second, lone):
        Path(each._folder, "model.json").write_text("{}")
    capsys.readouterr()
    code, out, said = aml(capsys)
    assert (code, [line.split()[0] for line in out.splitlines()]) == (0, ["model", "mnist"])
    assert said.splitlines() == [
        f"{name} is damaged: its facts cannot be read. `aml models delete {name}` removes it."
        for name in ("alone:1", "mnist:2")
    ]
    assert json.loads(aml(capsys, "list", "alone", "--json")[1]) == {
        "models": [],
        "unreadable": ["alone:1"],
    }
    assert "Deleting mnist:2 (" in aml(capsys, "delete", "mnist:2")[2]
    assert aml(capsys, "delete", "mnist:2", "alone", "-y")[:2] == (0, "Deleted mnist:2, alone:1.\n")
    assert not Path(second._folder).exists()
    assert not Path(lone._folder).exists()
    assert aml(capsys)[2] == ""
    assert Model.register(ws, "m", "mnist").version == 3


def test_aml_models_names_what_is_near_and_completes(
    several: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    assert aml(capsys, "downlod", "a")[2].endswith("Did you mean download?\n")
    assert aml(capsys, "show", "c")[2].splitlines()[0].startswith("ModelNotFound")
    assert aml(capsys, "show")[2].startswith("aml models show was told no model.")
    assert candidates(["models", "ver"]) == ["verify"]
    assert candidates(["models", "show", "a"]) == ["a", "a:1", "a:2"]
