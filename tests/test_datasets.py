"""Datasets: definitions, files and tables, and what a workspace remembers of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from aml_jupyter import Dataset, Datastore, Workspace
from aml_jupyter.assets.definition import Definition, Source
from aml_jupyter.errors import UserErrorException
from tests.support import project, ws
from tests.test_datastores import written

__all__ = ["project", "ws"]


@pytest.fixture
def store(ws: Workspace, project: Path) -> Datastore:
    """The default datastore with a few files in it."""
    written(
        project / "data",
        d__a_csv="x,y\n1,a\n2,b\n",
        d__sub__b_csv="x,y\n3,c\n",
        d__sub__notes="hello",
        single_csv="x\n1\n",
    )
    datastore = ws.get_default_datastore()
    datastore.upload("data", show_progress=False)
    return datastore


# Definitions ----------------------------------------------------------------------------------


def test_a_definition_comes_back_from_json_the_same() -> None:
    definition = Definition("file", (Source("d", "store"),), {"is_file": True}).then(
        "take", count=3
    )
    again = Definition.from_json(definition.to_json())
    assert again == definition
    assert again.id == definition.id
    assert definition.then("skip", count=1).id != definition.id


# Where files are ------------------------------------------------------------------------------


def test_one_file_path_is_that_file(store: Datastore) -> None:
    found = Dataset.File.from_files((store, "d/a.csv")).located()
    assert found.single == f"{store.root}/d/a.csv"
    assert found.folder is None


@pytest.mark.parametrize("path", ["d/", "d", "./d/", "/d", "d/**"])
def test_a_folder_of_a_datastore_is_that_folder(store: Datastore, path: str) -> None:
    found = Dataset.File.from_files((store, path)).located()
    assert (found.single, found.folder, found.files) == (None, f"{store.root}/d", [])
    assert [name for name, _ in found.listing()] == ["a.csv", "sub/b.csv", "sub/notes"]


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("d/*.csv", ["/a.csv"]),
        ("d/**/*.csv", ["/a.csv", "/sub/b.csv"]),
        ("d/*/b.csv", ["/sub/b.csv"]),
        ("*.csv", ["/single.csv"]),
        ("**/n?tes", ["/d/sub/notes"]),
        ("d/sub/**", ["/b.csv", "/notes"]),
    ],
)
def test_patterns_match_as_v1s_do(store: Datastore, pattern: str, names: list[str]) -> None:
    dataset = Dataset.File.from_files((store, pattern))
    assert dataset.to_path() == names
    assert dataset.located().single is None


def test_files_of_several_paths_keep_the_hierarchy_of_where_they_come_from(
    store: Datastore, project: Path
) -> None:
    paths = [(store, "d/sub/b.csv"), (store, "single.csv"), str(project / "data/single.csv")]
    dataset = Dataset.File.from_files(paths)
    assert dataset.to_path() == [
        "/workspaceblobstore/d/sub/b.csv",
        "/workspaceblobstore/single.csv",
        str(project / "data/single.csv"),
    ]


def test_a_list_of_paths_in_one_datastore_is_understood(store: Datastore) -> None:
    listed = Dataset.File.from_files((store, ["d/a.csv", "d/sub/b.csv"]))
    same = Dataset.File.from_files([store.path("d/a.csv"), store.path("d/sub/b.csv")])
    assert listed.id == same.id


def test_local_paths_may_be_data_as_well(ws: Workspace, project: Path) -> None:
    written(project / "here", a_csv="1")
    assert Dataset.File.from_files("here").located().folder == str(project / "here")
    assert Dataset.File.from_files(project / "here" / "a.csv").located().single


def test_a_folder_with_one_file_is_still_a_folder(store: Datastore, project: Path) -> None:
    written(project / "one", a_csv="1")
    store.upload("one", "one", show_progress=False)
    found = Dataset.File.from_files((store, "one")).located()
    assert found.single is None
    assert found.folder == f"{store.root}/one"


def test_what_is_not_there_is_told_with_the_nearest_name(store: Datastore) -> None:
    with pytest.raises(UserErrorException, match=r"no file d/aa\.csv[^$]*Did you mean a\.csv"):
        Dataset.File.from_files((store, "d/aa.csv"))
    later = Dataset.File.from_files((store, "d/later.csv"), validate=False)
    with pytest.raises(UserErrorException, match=r"no file d/later\.csv"):
        later.to_path()


@pytest.mark.parametrize("path", [None, 3, [], "", {"a": 1}])
def test_what_is_no_path_is_refused_with_what_would_be(path: object) -> None:
    with pytest.raises(UserErrorException, match="Give a URL"):
        Dataset.File.from_files(path)


# Registering ----------------------------------------------------------------------------------


def test_a_dataset_without_a_name_is_found_by_its_id(ws: Workspace, store: Datastore) -> None:
    dataset = Dataset.File.from_files((store, "d/"))
    assert (dataset.name, dataset.version) == (None, None)
    assert dataset.id == Dataset.File.from_files((store, "d/")).id
    again = Dataset.get_by_id(ws, id=dataset.id)
    assert again == dataset
    assert type(again) is type(dataset)


def test_registering_gives_versions_that_count_from_one(ws: Workspace, store: Datastore) -> None:
    first = Dataset.File.from_files((store, "d/")).register(ws, "data", "All of it", {"a": 1})
    assert (first.name, first.version, first.description) == ("data", 1, "All of it")
    assert first.tags == {"a": "1"}
    other = Dataset.File.from_files((store, "single.csv"))
    with pytest.raises(UserErrorException, match="create_new_version=True"):
        other.register(workspace=ws, name="data")
    second = other.register(workspace=ws, name="data", create_new_version=True)
    assert second.version == 2
    assert second.id != first.id
    assert Dataset.get_by_name(ws, "data").version == 2
    assert Dataset.get_by_name(ws, "data", version=1) == first
    assert Dataset.get_by_id(ws, first.id).name == "data"


def test_registering_the_same_definition_again_gives_the_version_there_is(
    ws: Workspace, store: Datastore
) -> None:
    first = Dataset.File.from_files((store, "d/")).register(ws, "data")
    again = Dataset.File.from_files((store, "d/")).register(ws, "data", create_new_version=True)
    assert (again.id, again.version) == (first.id, 1)


def test_a_missing_dataset_and_a_missing_version_are_told(ws: Workspace, store: Datastore) -> None:
    Dataset.File.from_files((store, "d/")).register(ws, "mnist-dataset")
    with pytest.raises(UserErrorException, match=r"'mnist'[^$]*mnist-dataset"):
        Dataset.get_by_name(ws, "mnist")
    with pytest.raises(UserErrorException, match=r"no version 4[^$]*There are: 1"):
        Dataset.get_by_name(ws, "mnist-dataset", version=4)
    with pytest.raises(UserErrorException, match="no dataset with the id"):
        Dataset.get_by_id(ws, "nonsense")


def test_the_workspace_lists_its_datasets_by_name(ws: Workspace, store: Datastore) -> None:
    assert dict(ws.datasets) == {}
    for name in ("b/with slash", "a"):
        Dataset.File.from_files((store, "d/")).register(ws, name)
    assert list(ws.datasets) == ["a", "b/with slash"]
    assert "a" in ws.datasets
    assert "c" not in ws.datasets
    assert ws.datasets["b/with slash"].version == 1
    with pytest.raises(KeyError, match="aa"):
        ws.datasets["aa"]


def test_tags_and_description_change_and_stay_changed(ws: Workspace, store: Datastore) -> None:
    dataset = Dataset.File.from_files((store, "d/")).register(ws, "data", tags={"a": "1"})
    assert dataset.add_tags({"b": 2}).tags == {"a": "1", "b": "2"}
    dataset.remove_tags(["a"])
    dataset.update(description="new")
    found = Dataset.get_by_name(ws, "data")
    assert (found.tags, found.description) == ({"b": "2"}, "new")
    assert Dataset.get_by_id(ws, found.id).description == "new"
    with pytest.raises(UserErrorException, match="Register it first"):
        Dataset.File.from_files((store, "d/")).add_tags({"a": "1"})


def test_after_unregistering_the_name_is_free_and_the_id_still_leads_to_the_data(
    ws: Workspace, store: Datastore
) -> None:
    dataset = Dataset.File.from_files((store, "d/")).register(ws, "data")
    was = dataset.id
    dataset.unregister_all_versions()
    assert "data" not in ws.datasets
    assert Dataset.get_by_id(ws, was).to_path() == ["/a.csv", "/sub/b.csv", "/sub/notes"]
    assert Dataset.File.from_files((store, "single.csv")).register(ws, "data").version == 1
