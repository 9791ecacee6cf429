"""What a page can have done to a run, and what it is told of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aml_jupyter import Experiment, Run, Workspace
from tests.services.jupyter import Answer, Server, empty_server
from tests.support import finish, script, submit, until


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with empty_server(tmp_path_factory.mktemp("actions")) as started:
        yield started


@pytest.fixture
def experiment(server: Server, monkeypatch: pytest.MonkeyPatch) -> Experiment:
    monkeypatch.setenv("AML_HOME", str(server.home))
    monkeypatch.setenv("AML_RUNNER_IDLE_SECONDS", "20")
    monkeypatch.setenv("AML_CANCEL_GRACE", "0.5")
    monkeypatch.chdir(server.root)
    return Experiment(Workspace.from_config(), "acted-on")


@pytest.fixture
def run(experiment: Experiment) -> Run:
    found = experiment.start_logging(snapshot_directory=None)
    found.complete()
    return found


def act(server: Server, run: Run, action: str, **asked: Any) -> Answer:
    return server.ask(f"run/{server.place()}/{run.id}/{action}", "POST", asked)


def row_of(server: Server, run: Run) -> dict[str, Any]:
    row: dict[str, Any] = server.ask(f"run/{server.place()}/{run.id}").json["row"]
    return row


def test_a_run_that_goes_on_is_cancelled_and_one_that_ended_stays_as_it_is(
    server: Server, experiment: Experiment
) -> None:
    run = submit(experiment, "import time; print('up', flush=True); time.sleep(60)")
    until(lambda: run.get_status() == "Running", 30)
    answer = act(server, run, "cancel")
    assert answer.status == 200
    assert answer.json["said"].endswith("is being cancelled.")
    assert finish(run, 30)["status"] == "Canceled"
    again = act(server, run, "cancel")
    assert again.json == {"said": f"{run.display_name} had ended already: Canceled.", "run": None}


def test_a_run_is_done_once_more_from_its_own_source(
    server: Server, experiment: Experiment
) -> None:
    run = submit(experiment, "print('once')", tags={"a": "b"})
    finish(run, 60)
    answer = act(server, run, "rerun", name="twice")
    assert answer.status == 200, answer
    again = experiment.workspace.get_run(answer.json["run"])
    assert finish(again, 60)["status"] == "Completed"
    assert again.display_name == "twice"
    assert again.tags == {"a": "b"}


def test_what_cannot_be_repeated_is_said_with_what_to_do_instead(server: Server, run: Run) -> None:
    answer = act(server, run, "rerun")
    assert answer.status == 400
    assert "no job that could be repeated" in answer.json["message"]
    assert answer.json["hint"]


def test_an_archived_run_leaves_the_lists_until_it_is_restored(server: Server, run: Run) -> None:
    assert act(server, run, "archive").status == 200
    assert row_of(server, run)["archived"] is True
    listed = server.ask("runs", place=server.place()).json["rows"]
    assert run.id not in [row["id"] for row in listed]
    assert act(server, run, "restore").status == 200
    assert row_of(server, run)["archived"] is False


def test_tags_and_names_are_set_and_taken_away(server: Server, run: Run) -> None:
    assert act(server, run, "tag", name="best", value="yes").status == 200
    assert act(server, run, "tag", name="seen").status == 200
    assert act(server, run, "name", name=" The one ").status == 200
    row = row_of(server, run)
    assert (row["tags"], row["name"]) == ({"best": "yes", "seen": None}, "The one")
    assert act(server, run, "untag", name="best").status == 200
    assert row_of(server, run)["tags"] == {"seen": None}


@pytest.mark.parametrize(
    ("action", "asked"),
    [
        ("tag", {}),
        ("tag", {"name": "  "}),
        ("tag", {"name": 7}),
        ("tag", {"name": "x" * 2000}),
        ("tag", {"name": "a", "value": ["b"]}),
        ("untag", {}),
        ("name", {"name": ""}),
    ],
)
def test_what_means_nothing_is_refused(
    server: Server, run: Run, action: str, asked: dict[str, Any]
) -> None:
    answer = act(server, run, action, **asked)
    assert answer.status == 400
    assert answer.json["message"]
    assert answer.json["hint"]
    assert run.tags == {}


def test_a_deleted_run_is_gone_and_one_that_goes_on_is_not_deleted(
    server: Server, experiment: Experiment, run: Run
) -> None:
    live = experiment.start_logging(snapshot_directory=None)
    refused = act(server, live, "delete")
    assert refused.status == 400
    assert "Cancel it first" in refused.json["hint"]
    assert live.folder.exists()
    live.complete()
    assert act(server, run, "delete").status == 200
    assert not run.folder.exists()
    assert act(server, run, "delete").status == 404


def test_an_unknown_action_and_an_unknown_run_are_not_there(server: Server, run: Run) -> None:
    answer = act(server, run, "dance")
    assert answer.status == 404
    assert "cancel" in answer.json["hint"]
    missing = server.ask(f"run/{server.place()}/{run.id[:8]}/cancel", "POST", {})
    assert missing.status == 404  # the beginning of an id is not the run's address


def test_a_run_of_a_cell_says_where_the_cell_is_and_what_it_was(
    server: Server, experiment: Experiment
) -> None:
    from aml_jupyter import ScriptRunConfig
    from aml_jupyter.spec import Source

    folder = Path(server.root, "work")
    folder.mkdir()
    script(folder, "pass", "helper.py")
    first = "exec(compile(open(__file__), 'aml_prelude.py', 'exec'))"
    text = f"{first}\nx = 1\n\nprint(x)\n\n_aml_save_out(['x'], [])\n"
    notebook = folder / "train.ipynb"
    facts = {"kind": "cell", "notebook": str(notebook), "cell": "cell-7"}
    source = Source(str(folder), {"cell.py": text.encode()}, facts)
    run = experiment.submit(ScriptRunConfig(str(folder), script="cell.py"), source=source)
    detail = server.ask(f"run/{server.place()}/{run.id}").json
    assert detail["cell"] == {
        "notebook": "work/train.ipynb",
        "cell": "cell-7",
        "text": "x = 1\n\nprint(x)",
    }
    finish(run, 60)
