"""The page that compares runs: what the server answers about many of them at once."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest

from aml_jupyter import Experiment, Run, ScriptRunConfig, Workspace
from aml_jupyter.store import Query
from aml_jupyter.workspace.metric_ranges import better_of
from tests.services.jupyter import Server, project_server
from tests.support import finish


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that shows a project; its runs live in a home of its own."""
    with project_server(tmp_path_factory.mktemp("comparing")) as started:
        yield started


@pytest.fixture
def experiment(server: Server, monkeypatch: pytest.MonkeyPatch) -> Experiment:
    """An experiment in the project that the server shows."""
    monkeypatch.chdir(server.root)
    return Experiment(Workspace.from_config(server.root), "test")


def compared(server: Server, *ids: str, ranges: bool = True) -> dict[str, Any]:
    """What the server says of these runs."""
    (place,) = server.ask("hello").json["places"]
    body = {"runs": list(ids), "ranges": ranges}
    answer = server.ask("compare", "POST", body, place=place["key"])
    assert answer.status == 200, answer.body
    found: dict[str, Any] = answer.json
    return found


def logged(to: Experiment, *values: Any, name: str = "loss") -> Run:
    """A run inside this process that has logged some values and ended."""
    run = to.start_logging(snapshot_directory=None, outputs=False)
    for value in values:
        run.log(name, value)
    run.complete()
    return run


def rows_of(found: dict[str, Any], kind: str) -> dict[str, list[str | None]]:
    (section,) = [each for each in found["sections"] if each["kind"] == kind]
    return {row["name"]: row["values"] for row in section["rows"]}


def test_what_differs_comes_first_and_what_is_the_same_is_said_once(
    experiment: Experiment, server: Server
) -> None:
    runs = []
    for rate in ("0.5", "0.25"):
        arguments = ["-c", "pass", "--data", "digits", "--lr", rate]
        runs.append(experiment.submit(ScriptRunConfig(".", command=["python", *arguments])))
    for run in runs:
        finish(run)
    runs[0].tag("model", "cnn")
    found = compared(server, runs[0].id, runs[1].id)
    assert [each["id"] for each in found["runs"]] == [run.id for run in runs]
    assert [each["status"] for each in found["runs"]] == ["Completed", "Completed"]
    (parameters,) = [each for each in found["sections"] if each["kind"] == "parameters"]
    assert parameters["rows"][0] == {"name": "lr", "differs": True, "values": ["0.5", "0.25"]}
    assert {"name": "data", "differs": False, "values": ["digits"]} in parameters["rows"]
    assert rows_of(found, "tags") == {"model": ["cnn", None]}
    assert rows_of(found, "facts")["target"] == ["local"]


def test_metrics_have_their_last_least_and_greatest_value_and_what_is_better(
    experiment: Experiment, server: Server
) -> None:
    first, second = logged(experiment, 3, 1, 2), logged(experiment, 5)
    odd = logged(experiment, math.nan, name="odd")
    found = compared(server, first.id, second.id, odd.id)
    loss, other = found["metrics"]
    assert loss == {
        "name": "loss",
        "better": "min",
        "last": [2, 5, None],
        "min": [1, 5, None],
        "max": [3, 5, None],
    }
    assert (other["name"], other["better"]) == ("odd", None)
    assert other["last"] == [None, None, "nan"]
    assert other["min"] == [None, None, None]


def test_without_ranges_the_last_values_come_from_the_index(
    experiment: Experiment, server: Server
) -> None:
    runs = [logged(experiment, 3, number) for number in range(3)]
    found = compared(server, *(run.id for run in runs), ranges=False)
    (loss,) = found["metrics"]
    assert loss["last"] == [0, 1, 2]
    assert loss["min"] == loss["max"] == [None] * 3


def test_runs_that_are_not_there_are_named_and_the_others_are_shown(
    experiment: Experiment, server: Server
) -> None:
    known, deleted = logged(experiment, 1), logged(experiment, 2)
    deleted.delete()
    found = compared(server, known.id, deleted.id, "../../etc")
    assert [each["id"] for each in found["runs"]] == [known.id]
    assert [each["id"] for each in found["gone"]] == [deleted.id, "../../etc"]
    assert "There is no run" in found["gone"][0]["why"]
    assert compared(server)["runs"] == []


def test_what_is_no_list_of_ids_or_too_long_a_one_is_refused(
    experiment: Experiment, server: Server
) -> None:
    (place,) = server.ask("hello").json["places"]
    asked: tuple[object, ...] = (
        {},
        {"runs": "x"},
        {"runs": [1]},
        {"runs": [*map(str, range(501))]},
    )
    for body in asked:
        assert server.ask("compare", "POST", body, place=place["key"]).status == 400
    assert server.ask("compare", "POST", {"runs": []}, place="none").status in (400, 404)


def test_names_and_values_of_strangers_are_cut_and_cleaned(
    experiment: Experiment, server: Server
) -> None:
    run, other = logged(experiment, 1), logged(experiment, 1)
    run.tag("long", "x" * 5_000)
    run.tag("back\u202ewards", "\x1b[31m")
    tags = rows_of(compared(server, run.id, other.id), "tags")
    assert len(tags["long"][0] or "") == 300
    assert tags["back�wards"] == ["�[31m", None]


def test_the_index_finds_runs_by_their_ids(experiment: Experiment) -> None:
    runs = [logged(experiment, number) for number in range(3)]
    query = Query(ids=(runs[2].id, runs[0].id, "none"))
    found = experiment.workspace.find_runs(query)
    assert {each.id for each in found} == {runs[0].id, runs[2].id}
    assert list(experiment.workspace.find_runs(Query(ids=()))) == []


@pytest.mark.parametrize(
    ("name", "better"),
    [
        *(("loss", "min"), ("val/loss", "min"), ("valLoss", "min"), ("RMSE", "min")),
        *(("accuracy", "max"), ("eval_f1", "max"), ("mAP", "max"), ("test/top1", "max")),
        *(("lr", None), ("glossary", None), ("accuracy_loss", None), ("", None)),
    ],
)
def test_what_is_better_is_guessed_by_the_words_of_a_name(name: str, better: str | None) -> None:
    assert better_of(name) == better
