"""Datastores: folders under names, what goes in and out of them, and references to paths."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from aml_jupyter import (
    DataPath,
    DataPathComputeBinding,
    DataReference,
    Dataset,
    Datastore,
    Experiment,
    Workspace,
)
from aml_jupyter.assets.place import root_of
from aml_jupyter.errors import UserErrorException
from tests.support import experiment, finish, log_of, project, submit, ws

__all__ = ["experiment", "project", "ws"]


def written(folder: Path, **files: str) -> Path:
    """The folder with files in it; ``__`` stands for a folder, ``_csv`` for an ending."""
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_csv", ".csv")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


# Which there are ------------------------------------------------------------------------------


def test_a_workspace_has_the_four_datastores_of_v1(ws: Workspace) -> None:
    assert {name: store.datastore_type for name, store in ws.datastores.items()} == {
        "workspaceblobstore": "AzureBlob",
        "workspacefilestore": "AzureFile",
        "workspaceartifactstore": "AzureBlob",
        "workspaceworkingdirectory": "AzureFile",
    }
    assert ws.get_default_datastore().name == Datastore.get_default(ws).name == "workspaceblobstore"


def test_the_default_may_be_another_and_is_the_first_again_when_that_one_goes(
    ws: Workspace, tmp_path: Path
) -> None:
    other = Datastore.register_folder(ws, "mine", tmp_path)
    ws.set_default_datastore("mine")
    assert Workspace.from_config().get_default_datastore() == other
    other.unregister()
    assert ws.get_default_datastore().name == "workspaceblobstore"
    assert "mine" not in ws.datastores
    assert tmp_path.is_dir()


def test_a_datastore_of_every_workspace_cannot_go(ws: Workspace) -> None:
    with pytest.raises(UserErrorException, match="belongs to every workspace"):
        ws.get_default_datastore().unregister()


def test_a_missing_datastore_is_told_with_the_nearest_name(ws: Workspace) -> None:
    with pytest.raises(UserErrorException, match=r"'workspaceblobstor'[^$]*workspaceblobstore"):
        Datastore.get(ws, "workspaceblobstor")


def test_a_container_of_azures_is_a_folder_here_and_that_is_said(
    ws: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    store = Datastore.register_azure_blob_container(
        workspace=ws, datastore_name="mnist", container_name="sampledata", account_name="pipelines"
    )
    assert (store.account_name, store.container_name) == ("pipelines", "sampledata")
    assert (store.datastore_type, store.protocol) == ("AzureBlob", "file")
    assert store.account_key is store.sas_token is None
    said = capsys.readouterr().out
    assert store.root in said
    assert "nothing is fetched from Azure" in said
    assert Path(store.root).is_dir()


def test_a_name_that_was_given_to_a_folder_keeps_meaning_it(ws: Workspace, tmp_path: Path) -> None:
    Datastore.register_folder(ws, "mnist", tmp_path)
    again = Datastore.register_azure_blob_container(ws, "mnist", "sampledata", "pipelines")
    assert again.root == str(tmp_path)


def test_a_name_is_not_given_to_two_folders(ws: Workspace, tmp_path: Path) -> None:
    Datastore.register_folder(ws, "mine", tmp_path)
    with pytest.raises(UserErrorException, match="overwrite=True"):
        Datastore.register_folder(ws, "mine", tmp_path.parent)
    moved = Datastore.register_folder(ws, "mine", tmp_path.parent, overwrite=True)
    assert moved.root == str(tmp_path.parent)


@pytest.mark.parametrize("name", ["", "a b", "../up", "a/b"])
def test_a_datastore_needs_a_name_that_fits(ws: Workspace, tmp_path: Path, name: str) -> None:
    with pytest.raises(UserErrorException, match="not a name for a datastore"):
        Datastore.register_folder(ws, name, tmp_path)


def test_a_database_is_refused_with_the_way_to_take_its_rows_along(ws: Workspace) -> None:
    with pytest.raises(UserErrorException, match="register_pandas_dataframe"):
        Datastore.register_azure_sql_database(ws, "sql", "server", "database")


# In and out -----------------------------------------------------------------------------------


def test_upload_copies_a_folder_and_says_so_as_v1_does(
    ws: Workspace, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written(project / "data", a_csv="1", sub__b_csv="2")
    store = ws.get_default_datastore()
    store.upload("data", "diabetes")
    assert capsys.readouterr().out.splitlines() == [
        "Uploading an estimated of 2 files",
        "Uploading data/a.csv",
        "Uploaded data/a.csv, 1 files out of an estimated total of 2",
        "Uploading data/sub/b.csv",
        "Uploaded data/sub/b.csv, 2 files out of an estimated total of 2",
        "Uploaded 2 files",
    ]
    assert (Path(store.root) / "diabetes/sub/b.csv").read_text() == "2"


def test_what_is_there_already_is_only_replaced_when_asked(
    ws: Workspace, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written(project / "data", a_csv="old")
    store = ws.get_default_datastore()
    store.upload("data", "d", show_progress=False)
    assert capsys.readouterr().out == ""
    written(project / "data", a_csv="new")
    store.upload("data", "d")
    assert "Target already exists. Skipping upload for d/a.csv" in capsys.readouterr().out
    assert (Path(store.root) / "d/a.csv").read_text() == "old"
    store.upload("data", "d", overwrite=True)
    assert (Path(store.root) / "d/a.csv").read_text() == "new"


def test_files_keep_their_paths_below_what_they_have_in_common(
    ws: Workspace, project: Path
) -> None:
    written(project, x__a_csv="1", x__y__b_csv="2", c_csv="3")
    store = ws.get_default_datastore()
    store.upload_files(["x/a.csv", "x/y/b.csv"], target_path="common", show_progress=False)
    store.upload_files(["./c.csv"], target_path="one", show_progress=False)
    store.upload_files(["x/a.csv"], ".", "root", show_progress=False)
    root = Path(store.root)
    found = sorted(str(path.relative_to(root)) for path in root.rglob("*.csv"))
    assert found == ["common/a.csv", "common/y/b.csv", "one/c.csv", "root/x/a.csv"]


def test_the_folder_of_the_project_is_uploaded_without_its_workspace(
    ws: Workspace, project: Path
) -> None:
    written(project, a_csv="1", b__c_csv="2")
    store = ws.get_default_datastore()
    for _ in range(2):
        store.upload(".", "all", overwrite=True, show_progress=False)
    assert Dataset.File.from_files((store, "all/")).to_path() == ["/a.csv", "/b/c.csv"]
    inside = Datastore.register_folder(ws, "inside", project / "b")
    inside.upload(".", "all", show_progress=False)
    assert Dataset.File.from_files((inside, "all/")).to_path() == ["/a.csv"]


def test_download_copies_what_is_below_a_prefix_and_counts(
    ws: Workspace, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written(project / "data", d__a_csv="1", d__e__b_csv="2", other_csv="3")
    store = ws.get_default_datastore()
    store.upload("data", show_progress=False)
    assert store.download("got", prefix="d") == 2
    assert (project / "got/d/e/b.csv").read_text() == "2"
    assert not (project / "got/other.csv").exists()
    assert "Downloaded 2 files" in capsys.readouterr().out
    assert store.download("got", prefix="d") == 0
    assert "Skipping download for got/d/a.csv" in capsys.readouterr().out


def test_nothing_is_written_outside_the_datastore(ws: Workspace, project: Path) -> None:
    written(project, a_csv="1")
    with pytest.raises(UserErrorException, match=r"not a path in a datastore"):
        ws.get_default_datastore().upload_files(["a.csv"], target_path="../up")


def test_a_file_that_is_not_there_is_told_before_anything_is_copied(
    ws: Workspace, project: Path
) -> None:
    written(project, a_csv="1")
    store = ws.get_default_datastore()
    with pytest.raises(UserErrorException, match=r"There is no file .*b\.csv"):
        store.upload_files(["a.csv", "b.csv"])
    with pytest.raises(UserErrorException, match="takes a list of files"):
        store.upload_files("a.csv")  # a text is a sequence of texts, too
    assert not Path(store.root).exists()


def test_a_file_where_a_folder_has_to_be_is_told(ws: Workspace, project: Path) -> None:
    written(project, a_csv="1")
    store = ws.get_default_datastore()
    store.upload_files(["a.csv"], show_progress=False)
    with pytest.raises(UserErrorException, match="a folder would have the same name"):
        store.upload_files(["a.csv"], target_path="a.csv", show_progress=False)


@pytest.mark.service("mount")
def test_a_full_disk_leaves_the_old_file_and_says_what_to_do(
    ws: Workspace, project: Path, tmp_path: Path
) -> None:
    from aml_jupyter.errors import StorageFullError

    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)]
    subprocess.run(mount, check=True)
    try:
        store = Datastore.register_folder(ws, "small", place)
        written(project, a_csv="old")
        store.upload_files(["a.csv"], show_progress=False)
        written(project, a_csv="x" * 100_000)
        with pytest.raises(StorageFullError, match="Free some space"):
            store.upload_files(["a.csv"], overwrite=True, show_progress=False)
        assert [(path.name, path.read_text()) for path in place.iterdir()] == [("a.csv", "old")]
    finally:
        subprocess.run(["umount", str(place)], check=True)


# A datastore at an address --------------------------------------------------------------------


def test_a_datastore_may_be_an_address_of_fsspecs(ws: Workspace, project: Path) -> None:
    store = Datastore.register_folder(ws, "far", "memory://bucket/base")
    written(project / "data", a_csv="x\n1\n", sub__b_csv="x\n2\n")
    store.upload("data", "d", show_progress=False)
    found = Dataset.File.from_files((store, "d/"))
    assert found.to_path() == ["/a.csv", "/sub/b.csv"]
    assert [Path(path).read_text() for _, path in found.located().files] == ["x\n1\n", "x\n2\n"]
    one = Dataset.File.from_files((store, "d/sub/b.csv")).located()
    assert one.single is not None
    assert Path(one.single).name == "b.csv"
    assert store.download("got", show_progress=False) == 2
    assert (project / "got/d/sub/b.csv").read_text() == "x\n2\n"


# References -----------------------------------------------------------------------------------


def test_a_reference_is_shown_as_the_variable_that_holds_its_path(ws: Workspace) -> None:
    store = ws.get_default_datastore()
    assert str(store.as_mount()) == "$AZUREML_DATAREFERENCE_workspaceblobstore"
    path = store.path("data/mnist")
    assert len(path.data_reference_name) == 32
    assert repr(path) == str(path) == f"$AZUREML_DATAREFERENCE_{path.data_reference_name}"
    named = DataReference(store, "input_data", "data")
    assert str(named) == "$AZUREML_DATAREFERENCE_input_data"


def test_upload_returns_a_reference_to_where_it_put_the_files(ws: Workspace, project: Path) -> None:
    written(project / "data", a_csv="1")
    store = ws.get_default_datastore()
    assert store.upload("data", "./mnist", show_progress=False).path_on_datastore == "mnist"
    assert store.upload("data", show_progress=False).path_on_datastore is None


def test_a_reference_changes_its_mode_and_keeps_its_name(ws: Workspace) -> None:
    reference = DataReference(ws.get_default_datastore(), "data", "d")
    assert reference.mode == "mount"
    copied = reference.as_download("/tmp/x", overwrite=True)
    assert (copied.mode, copied.path_on_compute, copied.overwrite) == ("download", "/tmp/x", True)
    assert copied.data_reference_name == "data"
    assert reference.as_upload().mode == "upload"
    assert reference.path("below").path_on_datastore == "d/below"


def test_a_reference_becomes_the_configuration_of_a_run(ws: Workspace) -> None:
    reference = DataReference(ws.get_default_datastore(), "data", "d", mode="download")
    config = reference.to_config()
    assert config.to_json() == {
        "dataStoreName": "workspaceblobstore",
        "mode": "download",
        "pathOnDataStore": "d",
        "pathOnCompute": None,
        "overwrite": False,
    }


def test_a_path_and_a_binding_make_a_reference_and_come_back_from_it(ws: Workspace) -> None:
    path = DataPath(ws.get_default_datastore(), "models/1", name="model")
    binding = DataPathComputeBinding(mode="download", path_on_compute="here")
    reference = path.create_data_reference("resume", binding)
    assert (reference.data_reference_name, reference.mode) == ("resume", "download")
    again = DataPath.create_from_data_reference(reference)
    assert (again.datastore_name, again.path_on_datastore) == ("workspaceblobstore", "models/1")
    back = DataPathComputeBinding.create_from_data_reference(reference)
    assert (back.mode, back.path_on_compute) == ("download", "here")


def test_a_mode_that_does_not_exist_is_told_with_the_nearest(ws: Workspace) -> None:
    with pytest.raises(UserErrorException, match="Did you mean mount"):
        DataReference(ws.get_default_datastore(), mode="mout")


# The workspace --------------------------------------------------------------------------------


def test_the_root_is_had_from_a_workspace_or_a_path(ws: Workspace) -> None:
    root = str(ws.folder.root)
    assert root_of(ws) == root_of(root) == root_of(Path(root)) == root_of(ws.folder) == root
    with pytest.raises(UserErrorException, match="not a workspace"):
        root_of(None)


def test_secrets_are_kept_where_nobody_else_reads_them(ws: Workspace) -> None:
    vault = ws.get_default_keyvault()
    vault.set_secret("token", "abc")
    vault.set_secrets({"other": "def"})
    again = Workspace.from_config().get_default_keyvault()
    assert again.get_secret("token") == "abc"
    assert again.get_secrets(["token", "other"]) == {"token": "abc", "other": "def"}
    assert again.list_secrets() == [{"name": "other"}, {"name": "token"}]
    mode = stat.S_IMODE(os.stat(ws.folder.root / "secrets.json").st_mode)
    assert mode == 0o600
    vault.delete_secret("token")
    with pytest.raises(UserErrorException, match=r"'token'[^$]*other"):
        vault.get_secret("token")


def test_the_data_rooms_import_nothing_heavy() -> None:
    code = (
        "import sys; from aml_jupyter import Dataset, Datastore, DataReference;"
        "Dataset.File, Dataset.Tabular;"
        "print([m for m in ('pandas', 'numpy', 'fsspec', 'pyarrow', 'aml_jupyter.workspace')"
        " if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_job_reads_secrets_of_its_workspace(experiment: Experiment) -> None:
    experiment.workspace.get_default_keyvault().set_secret("token", "abc")
    run = submit(
        experiment,
        "from aml_jupyter import Run; print(Run.get_context().get_secret('token')[::-1])",
    )
    assert finish(run)["status"] == "Completed"
    assert "cba" in log_of(run)
