"""The code on the page of a run: what the server answers about sources, and how two differ."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aml_jupyter import Experiment, Run, ScriptRunConfig, Workspace
from aml_jupyter.server.sources import MOST_TEXT
from tests.services.jupyter import Server, project_server
from tests.support import finish


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that shows a project; its runs live in a home of its own."""
    with project_server(tmp_path_factory.mktemp("sources")) as started:
        yield started


@pytest.fixture(scope="module")
def runs(server: Server, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Run, Run]:
    """A run of some files, one of the same after a change, and the first one again."""
    experiment = Experiment(Workspace.from_config(server.root), "code")
    source = tmp_path_factory.mktemp("source")
    (source / "train.py").write_text("import tools\n\nprint(1)\n")
    (source / "tools.py").write_text("x = 1\n" * 3)
    (source / "weights.bin").write_bytes(b"\0\1\2")
    (source / "long.txt").write_text("a" * (MOST_TEXT + 5))
    first = submitted(experiment, source)
    (source / "train.py").write_text("import tools\n\nprint(2)\n")
    (source / "tools.py").unlink()
    (source / "new <b>.py").write_text("y = 2\n")
    second = submitted(experiment, source)
    again = first.rerun()
    return first, second, again


def submitted(experiment: Experiment, source: Path) -> Run:
    run = experiment.submit(ScriptRunConfig(str(source), script="train.py"))
    finish(run)
    return run


def ask(server: Server, kind: str, *parts: str, **query: str) -> Any:
    """The answer about a run of the only place."""
    answer = server.ask("/".join([kind, server.place(), *parts]), **query)
    assert answer.status == 200, answer.body
    return answer.json


def test_the_files_of_a_run_are_listed_with_the_one_that_is_run(
    server: Server, runs: tuple[Run, Run, Run]
) -> None:
    tree = ask(server, "source", runs[0].id)
    assert [each["path"] for each in tree["files"]] == [
        *("long.txt", "tools.py", "train.py", "weights.bin")
    ]
    assert tree["script"] == "train.py"
    assert tree["more"] == 0


def test_the_runs_to_compare_with_begin_with_the_one_that_was_repeated(
    server: Server, runs: tuple[Run, Run, Run]
) -> None:
    first, second, again = runs
    told = ask(server, "source", again.id)["relatives"]
    assert [(each["id"], each["kin"]) for each in told] == [
        (first.id, "origin"),
        (second.id, "before"),
    ]
    assert ask(server, "source", first.id)["relatives"] == []


def test_a_file_is_told_as_text_and_never_beyond_bounds(
    server: Server, runs: tuple[Run, Run, Run]
) -> None:
    text = ask(server, "source", runs[1].id, "new%20%3Cb%3E.py")
    assert (text["text"], text["note"]) == ("y = 2\n", "")
    binary = ask(server, "source", runs[1].id, "weights.bin")
    assert (binary["text"], binary["note"]) == ("", "This file is no text.")
    long = ask(server, "source", runs[1].id, "long.txt")
    assert len(long["text"]) == MOST_TEXT
    assert long["note"].startswith("The first 1,000,000 of 1,000,005 bytes")


@pytest.mark.parametrize("path", ["none.py", "..%2F..%2Frun.json", "%2Fetc%2Fpasswd"])
def test_what_is_not_in_the_source_is_not_told(
    server: Server, runs: tuple[Run, Run, Run], path: str
) -> None:
    answer = server.ask(f"source/{server.place()}/{runs[0].id}/{path}")
    assert answer.status in (400, 404)
    assert "has no file" in answer.json["message"]


def test_two_sources_are_told_file_by_file(server: Server, runs: tuple[Run, Run, Run]) -> None:
    told = ask(server, "diff", runs[1].id, **{"with": runs[0].id})
    assert [(each["path"], each["change"]) for each in told["files"]] == [
        ("new <b>.py", "added"),
        ("tools.py", "removed"),
        ("train.py", "changed"),
    ]
    changed = told["files"][2]["text"].splitlines()
    assert "-print(1)" in changed
    assert "+print(2)" in changed
    same = ask(server, "diff", runs[2].id, **{"with": runs[0].id})
    assert same == {"files": [], "more": 0, "environment": ""}


def test_a_run_is_not_compared_with_itself_nor_with_none(
    server: Server, runs: tuple[Run, Run, Run]
) -> None:
    own = f"diff/{server.place()}/{runs[0].id}"
    itself = server.ask(own, **{"with": runs[0].id})
    assert itself.json["message"] == "A run is the same as itself."
    assert server.ask(own, **{"with": "no_such_run"}).status in (400, 404)
    assert server.ask(own).status == 400


def test_a_run_without_files_has_an_empty_source(server: Server) -> None:
    experiment = Experiment(Workspace.from_config(server.root), "none")
    run = experiment.start_logging(snapshot_directory=None)
    run.complete()
    tree = ask(server, "source", run.id)
    assert (tree["files"], tree["script"]) == ([], "")
