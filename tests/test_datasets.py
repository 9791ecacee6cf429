"""Datasets: definitions, files and tables, and what a workspace remembers of them."""

from __future__ import annotations

import gzip
import json
import os
import struct
import subprocess
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from aml_jupyter import DataPath, Dataset, Datastore, DataType, Workspace, cli
from aml_jupyter.assets import opendatasets
from aml_jupyter.assets.column_types import PromoteHeadersBehavior
from aml_jupyter.assets.definition import Definition, Source
from aml_jupyter.errors import DatasetTimestampMissingError, UserErrorException
from aml_jupyter.home import home
from tests.support import interpreter, project, ws
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


def test_links_are_followed_but_not_round_in_circles(ws: Workspace, project: Path) -> None:
    written(project, far__a_csv="1", here__b_csv="2")
    (project / "here/far").symlink_to(project / "far")
    (project / "here/round").symlink_to(project)
    assert Dataset.File.from_files("here").to_path() == ["/b.csv", "/far/a.csv"]
    for name, other in (("one", "two"), ("two", "one")):
        written(project, **{f"pair__{name}__x": name})
        (project / f"pair/{name}/to").symlink_to(project / "pair" / other)
    pair = ["/one/to/x", "/one/x", "/two/to/x", "/two/x"]
    assert Dataset.File.from_files("pair").to_path() == pair


def test_a_pattern_looks_only_where_something_may_fit(ws: Workspace, project: Path) -> None:
    written(project, a__x_csv="1", b__y_csv="2", b__c__z_csv="3")
    os.mkfifo(project / "a/waits.csv")
    (project / "b/c").chmod(0)  # root looks in nevertheless, and finds nothing that fits
    assert Dataset.File.from_files("*/*.csv").to_path() == ["/a/x.csv", "/b/y.csv"]
    (project / "b/c").chmod(0o700)


def test_a_file_that_several_paths_name_is_there_once(store: Datastore) -> None:
    dataset = Dataset.File.from_files([(store, "d/a.csv"), (store, "d/*.csv"), (store, "d/sub")])
    name = "/workspaceblobstore/d/"
    assert dataset.to_path() == [f"{name}a.csv", f"{name}sub/b.csv", f"{name}sub/notes"]
    with dataset.mount() as mounted:
        assert (Path(mounted.mount_point) / "workspaceblobstore/d/a.csv").exists()


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
    # Who has the id, such as a model that was trained with the data, still means the first.
    assert Dataset.get_by_id(ws, was).to_path() == ["/a.csv", "/sub/b.csv", "/sub/notes"]
    stale = Dataset.get_by_id(ws, was)
    with pytest.raises(UserErrorException, match="is another one by now"):
        stale.add_tags({"a": "1"})
    assert Dataset.get_by_name(ws, "data").tags == {}


@pytest.mark.parametrize("name", ["", " ", ".hidden", "x" * 61, "数" * 40, "a\nb", "a\ud800", 3])
def test_what_can_be_no_name_is_refused_and_not_found(
    ws: Workspace, store: Datastore, name: Any
) -> None:
    with pytest.raises(UserErrorException, match="is not a name for a dataset"):
        Dataset.File.from_files((store, "d/")).register(ws, name)
    for find in (Dataset.get_by_name, Dataset.get_by_id):
        with pytest.raises(UserErrorException, match="There is no dataset"):
            find(ws, str(name) * 300)


def test_tags_that_are_no_dictionary_are_refused(ws: Workspace, store: Datastore) -> None:
    dataset: Any = Dataset.File.from_files((store, "d/"))
    for tags in ("area", ["area"]):
        with pytest.raises(UserErrorException, match="are no tags"):
            dataset.register(ws, "data", tags=tags)


# Files ----------------------------------------------------------------------------------------


def test_downloads_are_copies_with_the_paths_of_the_dataset(
    store: Datastore, project: Path
) -> None:
    dataset = Dataset.File.from_files((store, "d/"))
    paths = dataset.download("got")
    assert paths == [str(project / "got" / name) for name in ("a.csv", "sub/b.csv", "sub/notes")]
    Path(paths[2]).write_text("mine")
    assert (Path(store.root) / "d/sub/notes").read_text() == "hello"
    with pytest.raises(UserErrorException, match="overwrite=True"):
        dataset.download("got")
    dataset.download("got", overwrite=True)
    assert Path(paths[2]).read_text() == "hello"


def test_a_download_of_what_went_may_be_told_to_pass_over_it(store: Datastore) -> None:
    dataset = Dataset.File.from_files((store, "later/"), validate=False)
    assert dataset.download("got", ignore_not_found=True) == []
    with pytest.raises(UserErrorException, match="no file later"):
        dataset.download("got")


def test_a_mount_is_there_while_its_context_is_open(store: Datastore, project: Path) -> None:
    dataset = Dataset.File.from_files((store, "d/**/*.csv"))
    with dataset.mount() as mount:
        assert (Path(mount.mount_point) / "sub/b.csv").read_text() == "x,y\n3,c\n"
    assert not Path(mount.mount_point).exists()
    own = dataset.mount(project / "here")
    own.start()
    (project / "here/mine").write_text("kept")
    with pytest.raises(UserErrorException, match="not empty"):
        dataset.mount(project / "here").start()
    own.stop()
    assert [path.name for path in (project / "here").iterdir()] == ["mine"]


def test_a_split_of_files_has_each_in_one_half_and_is_the_same_for_the_same_seed(
    ws: Workspace, project: Path
) -> None:
    written(project / "many", **{f"f{index:03}": "" for index in range(200)})
    dataset = Dataset.File.from_files("many")
    first, second = dataset.random_split(0.7, seed=3)
    assert sorted(first.to_path() + second.to_path()) == dataset.to_path()
    assert 110 < len(first.to_path()) < 170
    assert dataset.random_split(0.7, seed=3)[0].to_path() == first.to_path()
    chance, rest = dataset.random_split(0.5)
    assert sorted(chance.to_path() + rest.to_path()) == dataset.to_path()
    assert dataset.skip(3).take(2).to_path() == ["/f003", "/f004"]
    assert 10 < len(dataset.take_sample(0.2, seed=1).to_path()) < 90


@pytest.mark.parametrize("value", [-1, 1.5, "a", None, True])
def test_a_share_is_a_number_from_0_to_1(store: Datastore, value: object) -> None:
    with pytest.raises(UserErrorException, match="from 0 to 1"):
        Dataset.File.from_files((store, "d/")).random_split(value)


def test_files_are_filtered_by_their_facts(store: Datastore) -> None:
    dataset = Dataset.File.from_files((store, "d/"))
    large = dataset.filter(dataset.file_metadata("Size") > 8)
    assert large.to_path() == ["/a.csv"]
    both = dataset.filter(
        (dataset.file_metadata("Size") < 6) | ~(dataset.file_metadata("Size") < 9)
    )
    assert both.to_path() == ["/a.csv", "/sub/notes"]
    with pytest.raises(UserErrorException, match=r"no fact 'Sise'[^$]*Size"):
        dataset.filter(dataset.file_metadata("Sise") > 1).to_path()
    with pytest.raises(UserErrorException, match="Join conditions by & and"):
        dataset.filter(dataset.file_metadata("Size") > 1 and dataset.file_metadata("Size") < 3)


def test_partitions_are_read_from_paths_and_filtered_by(ws: Workspace, project: Path) -> None:
    written(project / "p", u1__2019__01__x_csv="", u1__2020__02__x_csv="", u2__2020__02__y_csv="")
    store = ws.get_default_datastore()
    store.upload("p", "p", show_progress=False)
    dataset = Dataset.File.from_files((store, "p/"), partition_format="{user}/{when:yyyy/MM}/*.csv")
    assert dataset.partition_keys == ["user", "when"]
    assert dataset.get_partition_key_values(["user"]) == [{"user": "u1"}, {"user": "u2"}]
    chosen = dataset.filter((dataset["user"] == "u1") & (dataset["when"] > datetime(2019, 6, 1)))
    assert chosen.to_path() == ["/u1/2020/02/x.csv"]
    with pytest.raises(UserErrorException, match="have no 'usr'"):
        dataset.filter(dataset["usr"] == "u1")
    wrong = Dataset.File.from_files((store, "p/"), partition_format="{user}/data.csv")
    with pytest.raises(UserErrorException, match="does not fit the partition format"):
        wrong.get_partition_key_values()


def test_upload_directory_takes_what_matches_and_gives_the_dataset(
    ws: Workspace, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written(project / "src", a_csv="1", b__c_csv="2", b__notes="3")
    store = ws.get_default_datastore()
    everything = Dataset.File.upload_directory("src", (store, "all"))
    assert everything.to_path() == ["/a.csv", "/b/c.csv", "/b/notes"]
    assert "Uploaded 3 files" in capsys.readouterr().out
    some = Dataset.File.upload_directory(
        "./src", DataPath(store, "some"), pattern="*.csv", show_progress=False
    )
    assert len(some.to_path()) == 2
    assert capsys.readouterr().out == ""
    with pytest.raises(UserErrorException, match=r"no files that match '\*\.parquet'"):
        Dataset.File.upload_directory("src", store, pattern="*.parquet")


# Tables ---------------------------------------------------------------------------------------


def table(project: Path, text: str, **options: Any) -> pd.DataFrame:
    """The rows of a delimited file with this text."""
    (project / "table.csv").write_text(text)
    made = Dataset.Tabular.from_delimited_files("table.csv", **options).to_pandas_dataframe()
    assert isinstance(made, pd.DataFrame)
    return made


def test_types_of_columns_are_found_out(ws: Workspace, project: Path) -> None:
    frame = table(
        project,
        "n,f,b,t,us,text,missing\n"
        "1,0.5,True,2020-01-02T03:04:05Z,1/31/2020 11:00:00 PM,NA,NA\n"
        "2,,False,2020-01-03,2/1/2020 1:00:00 AM,,7\n",
    )
    kinds = {name: frame[name].dtype.kind for name in frame.columns}
    assert [kinds[name] for name in ("n", "f", "b", "t", "us", "missing")] == list("ifbMMf")
    assert frame["t"][0] == datetime(2020, 1, 2, 3, 4, 5)
    assert frame["us"][0] == datetime(2020, 1, 31, 23)
    assert frame["text"][0] == "NA"
    assert frame["text"].isna().tolist() == [False, True]


def test_types_may_be_left_alone_or_set(ws: Workspace, project: Path) -> None:
    text = 'code,when,sum\n007,31/12/2020,"1,5"\n008,01/01/2021,x\n'
    plain = table(project, text, infer_column_types=False)
    assert plain["code"].tolist() == ["007", "008"]
    kinds = {
        "code": DataType.to_string(),
        "when": DataType.to_datetime("%d/%m/%Y"),
        "sum": DataType.to_float(decimal_mark=","),
    }
    made = table(project, text, set_column_types=kinds, infer_column_types=False)
    assert made["when"][0] == datetime(2020, 12, 31)
    assert made["sum"].isna().tolist() == [False, True]
    assert made["sum"][0] == 1.5
    dataset = Dataset.Tabular.from_delimited_files("table.csv", set_column_types=kinds)
    with pytest.raises(UserErrorException, match=r"'sum' are no double, 'x' among them"):
        dataset.to_pandas_dataframe(on_error="fail")
    with pytest.raises(UserErrorException, match=r"no column 'cod'[^$]*code"):
        table(project, text, set_column_types={"cod": DataType.to_string()})


def test_empty_values_are_nothing_or_empty_texts(ws: Workspace, project: Path) -> None:
    text = "a,b\nx,\n,y\n"
    assert table(project, text)["a"].isna().tolist() == [False, True]
    assert table(project, text, empty_as_string=True)["a"].tolist() == ["x", ""]


@pytest.mark.parametrize(
    ("header", "columns", "rows"),
    [
        (True, ["a", "b"], 2),
        ("ALL_FILES_HAVE_SAME_HEADERS", ["a", "b"], 2),
        ("COMBINE_ALL_FILES_HEADERS", ["a", "b", "c"], 2),
        ("ONLY_FIRST_FILE_HAS_HEADERS", ["a", "b"], 3),
        ("NO_HEADERS", ["Column1", "Column2"], 4),
        (False, ["Column1", "Column2"], 4),
    ],
)
def test_headers_of_several_files(
    ws: Workspace, project: Path, header: Any, columns: list[str], rows: int
) -> None:
    second = "a,c" if header == "COMBINE_ALL_FILES_HEADERS" else "a,b"
    written(project / "h", one_csv="a,b\n1,2\n", two_csv=f"{second}\n3,4\n")
    given = PromoteHeadersBehavior[header] if isinstance(header, str) else header
    frame = Dataset.Tabular.from_delimited_files("h", header=given).to_pandas_dataframe()
    assert (list(frame.columns), len(frame)) == (columns, rows)


def test_separator_encoding_and_line_breaks_in_quotes(ws: Workspace, project: Path) -> None:
    (project / "latin.csv").write_bytes('näme;x\n"two\nlines";1\n'.encode("latin-1"))
    frame = Dataset.Tabular.from_delimited_files(
        "latin.csv", separator=";", encoding="iso88591", support_multi_line=True
    ).to_pandas_dataframe()
    assert frame.to_dict("records") == [{"näme": "two\nlines", "x": 1}]
    with pytest.raises(UserErrorException, match="not in the encoding utf8"):
        Dataset.Tabular.from_delimited_files("latin.csv", separator=";").to_pandas_dataframe()
    with pytest.raises(UserErrorException, match=r"no encoding 'utf88'[^$]*utf8"):
        Dataset.Tabular.from_delimited_files("latin.csv", encoding="utf88")
    assert table(project, "\ufeffa||b\n1||2\n", separator="||").to_dict("list") == {
        "a": [1],
        "b": [2],
    }


def test_paths_and_partitions_become_columns(ws: Workspace, project: Path) -> None:
    written(project / "p", dog__2020__04__x_csv="n\n1\n", cat__2021__05__x_csv="n\n2\n")
    store = ws.get_default_datastore()
    store.upload("p", "p", show_progress=False)
    dataset = Dataset.Tabular.from_delimited_files(
        store.path("p/**/*.csv"), include_path=True, partition_format="/{kind}/{when:yyyy/MM}/x.csv"
    )
    assert dataset.to_pandas_dataframe().to_dict("records") == [
        {"Path": "/cat/2021/05/x.csv", "kind": "cat", "when": datetime(2021, 5, 1), "n": 2},
        {"Path": "/dog/2020/04/x.csv", "kind": "dog", "when": datetime(2020, 4, 1), "n": 1},
    ]


def test_json_lines(ws: Workspace, project: Path) -> None:
    (project / "x.jsonl").write_text('{"a": 1, "b": "x"}\n\nnonsense\n{"a": 2}\n')
    with pytest.raises(UserErrorException, match=r"Line 3 of x\.jsonl[^$]*invalid_lines='drop'"):
        Dataset.Tabular.from_json_lines_files("x.jsonl").to_pandas_dataframe()
    dataset = Dataset.Tabular.from_json_lines_files("x.jsonl", invalid_lines="drop")
    assert dataset.to_pandas_dataframe()["a"].tolist() == [1, 2]


def test_what_is_no_table_is_told(ws: Workspace, project: Path) -> None:
    (project / "x.parquet").write_text("not parquet")
    with pytest.raises(UserErrorException, match=r"x\.parquet is not parquet"):
        Dataset.Tabular.from_parquet_files("x.parquet").to_pandas_dataframe()
    with pytest.raises(UserErrorException, match=r"table\.csv is not delimited"):
        table(project, 'a,b\n1,2\n1,2,3,4\n5\n"')
    with pytest.raises(UserErrorException, match="read_sql"):
        Dataset.Tabular.from_sql_query("select 1")


def test_a_data_frame_is_registered_and_every_time_as_a_new_version(
    ws: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = pd.DataFrame({"a.b": [1, 2], "c": ["x", "y"]})
    store = ws.get_default_datastore()
    made = Dataset.Tabular.register_pandas_dataframe(frame, (store, "frames"), "frame")
    said = capsys.readouterr().out.splitlines()
    assert said[:3] == [
        "Validating arguments.",
        "Arguments validated.",
        "Successfully obtained datastore reference and path.",
    ]
    assert said[3].startswith("Uploading file to frames/")
    assert said[4:] == [
        "Successfully uploaded file to datastore.",
        "Creating and registering a new dataset.",
        "Successfully created and registered a new dataset.",
    ]
    assert made.to_pandas_dataframe().to_dict("list") == {"a_b": [1, 2], "c": ["x", "y"]}
    again = Dataset.Tabular.register_pandas_dataframe(
        frame, target=store, name="frame", show_progress=False
    )
    assert (made.version, again.version) == (1, 2)
    assert Dataset.get_by_name(ws, "frame").to_pandas_dataframe().shape == (2, 2)


@pytest.fixture
def people(ws: Workspace, project: Path) -> Any:
    """A table of ten rows."""
    lines = [f"{n},{n % 3},2020-01-{n + 1:02}" for n in range(10)]
    (project / "people.csv").write_text("\n".join(["n,group,day", *lines]))
    return Dataset.Tabular.from_delimited_files("people.csv")


def test_rows_and_columns_are_narrowed_down_without_changing_the_dataset(people: Any) -> None:
    assert people.take(2).to_pandas_dataframe()["n"].tolist() == [0, 1]
    assert people.skip(7).take(2).to_pandas_dataframe()["n"].tolist() == [7, 8]
    kept = people.keep_columns(["day", "n"], validate=True).drop_columns("day")
    assert list(kept.take(1).to_pandas_dataframe().columns) == ["n"]
    odd = people.filter((people["n"] % 2 == 1) & ~(people["group"] == 0))
    assert odd.to_pandas_dataframe()["n"].tolist() == [1, 5, 7]
    first, rest = people.random_split(percentage=0.6, seed=223)
    both = [*first.to_pandas_dataframe()["n"], *rest.to_pandas_dataframe()["n"]]
    assert sorted(both) == list(range(10))
    assert people.to_pandas_dataframe().shape == (10, 3)
    with pytest.raises(UserErrorException, match=r"no column 'grup'[^$]*group"):
        people.keep_columns(["grup"], validate=True)
    with pytest.raises(UserErrorException, match=r"no column 'grup'[^$]*group"):
        people.filter(people["grup"] == 1).to_pandas_dataframe()


def test_rows_are_chosen_by_time(people: Any) -> None:
    with pytest.raises(DatasetTimestampMissingError, match="with_timestamp_columns"):
        people.time_before(datetime(2020, 1, 3))
    timed = people.with_timestamp_columns("day", validate=True)
    assert timed.timestamp_columns == ("day", None)

    def numbers(dataset: Any) -> list[int]:
        return list(dataset.to_pandas_dataframe()["n"])

    assert numbers(timed.time_before(datetime(2020, 1, 3))) == [0, 1, 2]
    assert numbers(timed.time_before(datetime(2020, 1, 3), include_boundary=False)) == [0, 1]
    assert numbers(timed.time_after(datetime(2020, 1, 9))) == [8, 9]
    assert numbers(timed.time_between(datetime(2020, 1, 3), datetime(2020, 1, 4))) == [2, 3]
    assert numbers(timed.time_recent(timedelta(days=1))) == []
    assert numbers(timed.time_after(datetime(2020, 1, 9, tzinfo=timezone.utc))) == [8, 9]
    with pytest.raises(DatasetTimestampMissingError):
        timed.with_timestamp_columns(None).time_after(datetime(2020, 1, 1))


def test_a_table_that_loses_its_timestamp_cannot_be_asked_for_times(people: Any) -> None:
    timed = people.with_timestamp_columns("day", partition_timestamp="group")
    assert list(people.drop_columns(["n", "never was"]).to_pandas_dataframe()) == ["group", "day"]
    assert timed.drop_columns(["n"]).timestamp_columns == ("day", "group")
    assert timed.drop_columns(["group"]).timestamp_columns == ("day", None)
    assert timed.keep_columns(["day", "n"]).timestamp_columns == ("day", None)
    for lost in (timed.drop_columns("day"), timed.keep_columns(["group", "n"])):
        assert lost.timestamp_columns == (None, None)
        with pytest.raises(DatasetTimestampMissingError):
            lost.time_before(datetime(2020, 1, 3))
    with pytest.raises(UserErrorException, match="'group' cannot be the timestamp of partitions"):
        timed.with_timestamp_columns(None, partition_timestamp="group")


def test_a_table_becomes_files_and_is_the_same_when_read_again(people: Any) -> None:
    frame = people.to_pandas_dataframe()
    csv = people.to_csv_files(separator=";")
    assert csv.to_path() == ["/part_00000.csv"]
    text = Path(csv.located().listing()[0][1]).read_text()
    assert text.startswith("n;group;day\n")
    parquet = people.to_parquet_files().located().listing()[0][1]
    assert pd.read_parquet(parquet).equals(frame)


def test_a_table_is_partitioned_by_its_columns(
    ws: Workspace, people: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    target = DataPath(ws.get_default_datastore(), "parts")
    parts = people.partition_by(["group"], target=target, name="parts")
    assert (parts.name, parts.version, parts.partition_keys) == ("parts", 1, ["group"])
    assert parts.get_partition_key_values() == [{"group": "0"}, {"group": "1"}, {"group": "2"}]
    chosen = parts.filter(parts["group"] == "1").to_pandas_dataframe()
    assert chosen["n"].tolist() == [1, 4, 7]
    files = people.partition_by("group", target, partition_as_file_dataset=True)
    assert len(files.filter(files["group"] == "2").to_path()) == 1


def test_no_row_is_lost_where_values_look_alike_as_paths(ws: Workspace, project: Path) -> None:
    target = DataPath(ws.get_default_datastore(), "parts")
    (project / "like.csv").write_text("k,v\na/b,1\na_b,2\na%2Fb,3\n..,4\n")
    table = Dataset.Tabular.from_delimited_files("like.csv")
    parts = table.partition_by(["k"], target, show_progress=False).to_pandas_dataframe()
    assert sorted(parts["v"]) == [1, 2, 3, 4]
    (project / "like.csv").write_text("k,v\nnan,1\n,2\n")
    with pytest.raises(UserErrorException, match="are both written nan"):
        table.partition_by(["k"], target, show_progress=False)


def test_a_frame_that_cannot_be_kept_is_told(ws: Workspace) -> None:
    store = ws.get_default_datastore()
    for values, said in (
        ({"a.b": [1], "a_b": [2]}, "would be called a_b"),
        ({"a": [1, "x"]}, "cannot be written as Parquet"),
    ):
        frame = pd.DataFrame(values)
        with pytest.raises(UserErrorException, match=said):
            Dataset.Tabular.register_pandas_dataframe(frame, store, "frame", show_progress=False)
    assert dict(ws.datasets) == {}


def test_wrong_arguments_are_told_with_what_is_right(ws: Workspace, people: Any) -> None:
    assert people.filter(people["n"].contains("1")).to_pandas_dataframe()["n"].tolist() == [1]
    people.register(ws, "people")
    unknown: dict[str, Any] = {"versoin": 1}
    for use in (
        lambda: Dataset.get_by_name(ws, "people", **unknown),
        lambda: Dataset.get_by_id(ws, people.id, **unknown),
        lambda: Dataset.File.from_files("people.csv", **unknown),
        lambda: Dataset.Tabular.from_delimited_files("people.csv", **unknown),
        lambda: people.register(ws, "people", **unknown),
        lambda: people.to_pandas_dataframe(**unknown),
    ):
        with pytest.raises(TypeError, match=r"has no argument 'versoin'.*It takes: "):
            use()
    timed = people.with_timestamp_columns("day")
    later = datetime(2020, 1, 3, tzinfo=timezone.utc)
    assert len(timed.time_between(datetime(2020, 1, 2), later).to_pandas_dataframe()) == 2
    for wrong in (
        lambda: people.filter(people["n"].contains(1)).to_pandas_dataframe(),
        lambda: people.random_split(0.5, seed="x"),
        lambda: timed.time_between("2020-01-01", later),
    ):
        with pytest.raises(UserErrorException):
            wrong()


def test_files_that_a_column_names_are_fetched(store: Datastore, project: Path) -> None:
    (project / "list.csv").write_text("file,label\nd/a.csv,1\nd/sub/b.csv,2\n")
    store.upload_files(["list.csv"], show_progress=False)
    listed = Dataset.Tabular.from_delimited_files((store, "list.csv"))
    paths = listed.download("file", "got")
    assert [Path(path).read_text()[:3] for path in paths] == ["x,y", "x,y"]
    with listed.mount("file") as mount:
        assert len(list(Path(mount.mount_point).rglob("*.csv"))) == 2


def test_a_profile_tells_of_each_column(people: Any) -> None:
    profile = people.get_profile()
    assert profile.loc["n", "count"] == 10
    assert profile.loc["n", "max"] == 9


def test_when_the_data_changed_last(store: Datastore) -> None:
    dataset = Dataset.File.from_files((store, "d/"))
    then = datetime(2031, 5, 6, tzinfo=timezone.utc)
    os.utime(Path(store.root) / "d/sub/notes", (then.timestamp(),) * 2)
    assert dataset.data_changed_time == then


# Open datasets --------------------------------------------------------------------------------


def test_diabetes_is_the_unscaled_table_under_v1s_names(ws: Workspace) -> None:
    frame = opendatasets.Diabetes.get_tabular_dataset().to_pandas_dataframe()
    assert list(frame.columns) == ["AGE", "SEX", "BMI", "BP", *(f"S{n}" for n in range(1, 7)), "Y"]
    assert frame.shape == (442, 11)
    assert frame.iloc[0][["AGE", "SEX", "BMI", "Y"]].tolist() == [59, 2, 32.1, 151]
    assert "azureml_globaldatasets" in ws.datastores


def test_mnist_is_four_files_in_its_format_and_says_that_it_is_a_stand_in(
    ws: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = opendatasets.MNIST.get_file_dataset()
    assert "a small stand-in" in capsys.readouterr().err
    assert dataset.to_path() == [
        f"/{part}-{kind}-ubyte.gz"
        for part in ("t10k", "train")
        for kind in ("images-idx3", "labels-idx1")
    ]
    paths = dataset.download("mnist")
    with gzip.open(paths[2]) as file:
        assert struct.unpack(">4I", file.read(16)) == (2051, 1500, 28, 28)
        assert len(file.read()) == 1500 * 28 * 28
    with gzip.open(paths[1]) as file:
        assert struct.unpack(">2I", file.read(8)) == (2049, 297)
        assert set(file.read()) == set(range(10))
    test_half = opendatasets.MNIST.get_file_dataset(dataset_filter="test")
    assert len(test_half.to_path()) == 2
    assert capsys.readouterr().err == ""


def test_other_open_datasets_say_what_there_is() -> None:
    with pytest.raises(UserErrorException, match=r"NoaaIsdWeather[^$]*Diabetes and MNIST"):
        opendatasets.NoaaIsdWeather(datetime(2020, 1, 1), datetime(2020, 2, 1))
    with pytest.raises(UserErrorException, match="NycTlcGreen"):
        opendatasets.NycTlcGreen.get_tabular_dataset()


# The command line -----------------------------------------------------------------------------


def aml(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> str:
    """What a command prints on stdout."""
    capsys.readouterr()
    assert cli.main(words) == code
    return capsys.readouterr().out


def test_aml_data_lists_what_there_is(
    ws: Workspace, store: Datastore, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "No dataset is registered yet" in aml(capsys, "data")
    Dataset.File.from_files([(store, "d/a.csv"), (store, "single.csv")]).register(ws, "both")
    lines = aml(capsys, "data").splitlines()
    assert lines[1].split()[:3] == ["both", "1", "file"]
    assert "workspaceblobstore/d/a.csv and 1 more" in lines[1]
    assert any(line.startswith("workspaceblobstore (default)") for line in lines)
    said = json.loads(aml(capsys, "data", "list", "--json"))
    assert [each["name"] for each in said["datasets"]] == ["both"]
    assert [each["name"] for each in said["datastores"] if each["default"]] == [store.name]


def test_aml_data_shows_a_dataset_by_name_or_id_and_a_datastore(
    ws: Workspace, store: Datastore, capsys: pytest.CaptureFixture[str]
) -> None:
    first = Dataset.File.from_files((store, "d/")).register(ws, "data", tags={"a": 1})
    Dataset.File.from_files((store, "single.csv")).register(ws, "data", create_new_version=True)
    assert json.loads(aml(capsys, "data", "show", "data", "--json"))["files"] == ["single.csv"]
    old = aml(capsys, "data", "show", "data", "--version", "1").splitlines()
    assert old[0].split() == ["name", "data"]
    assert "tags         a: 1" in old
    assert "             sub/b.csv" in old
    by_id = json.loads(aml(capsys, "data", "show", first.id, "--json"))
    assert (by_id["version"], by_id["sources"]) == (1, ["workspaceblobstore/d"])
    assert store.root in aml(capsys, "data", "show", store.name)
    refused = json.loads(aml(capsys, "data", "show", "dta", "--json", code=2))["error"]
    assert refused["hint"] == "Did you mean data?"
    assert aml(capsys, "data", "show", code=2) == ""


def test_aml_data_names_a_folder_as_a_datastore(
    ws: Workspace, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "mine").mkdir()
    assert str(project / "mine") in aml(capsys, "data", "add", "own", "mine")
    assert Datastore.get(ws, "own").root == str(project / "mine")
    assert (
        "no folder"
        in json.loads(aml(capsys, "data", "add", "x", "y", "--json", code=2))["error"]["message"]
    )


def test_names_of_data_are_completed(
    ws: Workspace, store: Datastore, capsys: pytest.CaptureFixture[str]
) -> None:
    Dataset.File.from_files((store, "d/")).register(ws, "digits")
    assert aml(capsys, "completion", "words", "data", "").split() == ["list", "show", "add"]
    assert aml(capsys, "completion", "words", "data", "show", "di").split() == ["digits"]


# In jobs --------------------------------------------------------------------------------------


@pytest.mark.service("python3.8")
def test_what_travels_finds_datasets_in_an_old_python_without_packages(
    ws: Workspace, store: Datastore
) -> None:
    old = interpreter("3.8")
    assert old is not None
    dataset = Dataset.File.from_files((store, "d/*.csv"))
    table = Dataset.Tabular.from_delimited_files((store, "d/**/*.csv")).register(ws, "table")
    code = f"""
import sys
sys.path.insert(0, {str(home().bundle())!r})
from aml_jupyter import Dataset
from aml_jupyter.errors import UserErrorException
print(Dataset.get_by_id({str(ws.folder.root)!r}, {dataset.id!r}).located().listing())
try:
    Dataset.get_by_name({str(ws.folder.root)!r}, "table").to_pandas_dataframe()
except UserErrorException as error:
    print(error)
"""
    done = subprocess.run(
        [old, "-I", "-c", code],
        env={**os.environ, "AML_RUN_FOLDER": str(ws.folder.root / "runs" / "x")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert f"[('a.csv', '{store.root}/d/a.csv')]" in done.stdout
    assert "Tables need pandas, which this Python does not have" in done.stdout
    assert table.version == 1
