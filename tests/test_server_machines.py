"""What a page is told of targets and environments, and what it may remove."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import pytest

from aml_jupyter import Experiment, ScriptRunConfig, Workspace
from aml_jupyter.environments import cache
from aml_jupyter.environments.shelf import root
from aml_jupyter.workspace.env_table import OLDEST_KEPT
from tests.services.jupyter import Server, empty_server
from tests.support import remains_of_a_build, until


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with empty_server(tmp_path_factory.mktemp("machines")) as started:
        yield started


@pytest.fixture
def workspace(server: Server, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setenv("AML_HOME", str(server.home))
    folder = server.root / f"project-{os.urandom(3).hex()}"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return Workspace.from_config()


def place_of(server: Server, workspace: Workspace) -> str:
    places = server.ask("hello").json["places"]
    name = workspace.folder.project.name
    return next(str(each["key"]) for each in places if each["project"] == name)


def test_targets_say_who_is_on_them(server: Server, workspace: Workspace) -> None:
    place = place_of(server, workspace)
    workspace.folder.targets_file.write_text("slow:\n  type: local\nbad:\n  type: nonsense\n")
    (workspace.folder.project / "wait.py").write_text("import time; time.sleep(60)")
    run = Experiment(workspace, "e").submit(ScriptRunConfig(".", "wait.py"))
    until(lambda: run.get_status() == "Running")
    try:
        until(lambda: server.ask("targets", place=place).json["queued"] == 1)
        found = server.ask("targets", place=place).json
        named = {each["name"]: each for each in found["targets"]}
        assert {"local", "slow", "bad"} <= set(named)
        assert (named["local"]["running"], named["local"]["usable"]) == (1, True)
        assert not named["bad"]["usable"]
        assert "nonsense" in named["bad"]["remarks"]
        (queued,) = [each for each in found["queue"] if each["id"] == run.id]
        assert (queued["here"], queued["position"], queued["target"]) == (True, None, "local")
    finally:
        run.cancel()
        run.wait_for_completion()


def test_what_is_built_is_told_and_what_is_old_is_removed_when_asked(
    server: Server, workspace: Workspace
) -> None:
    place = place_of(server, workspace)
    key = remains_of_a_build(time.time() - OLDEST_KEPT - 10)
    new = remains_of_a_build(time.time())
    rows = server.ask("environments", place=place).json["environments"]
    assert any(each["source"] == "curated" for each in rows)
    log = server.ask("environments/log", key=key).json
    assert log == {"key": key, "text": "it was built\n"}
    found = server.ask("environments/prune", place=place).json
    assert [each["key"] for each in found["builds"]] == [key]
    done = server.ask("environments/prune", "POST", {"keys": [key, new]}, place=place).json
    assert (done["removed"], done["kept"]) == (1, [])
    assert not (root() / key).exists()
    assert (root() / new).exists()
    assert cache.all_built() == []


@pytest.mark.parametrize("key", ["../../secrets", "", "x" * 64, "/etc/passwd"])
def test_a_log_is_only_that_of_a_build(key: str, server: Server, workspace: Workspace) -> None:
    answer = server.ask("environments/log", key=key)
    assert answer.status == 400
    assert answer.json["hint"]


@pytest.mark.parametrize("body", [{}, {"keys": []}, {"keys": "all"}])
def test_nothing_is_removed_that_was_not_named(
    body: dict[str, object], server: Server, workspace: Workspace
) -> None:
    answer = server.ask("environments/prune", "POST", body, place=place_of(server, workspace))
    assert answer.status == 400
    assert "Nothing was said" in answer.json["message"]
