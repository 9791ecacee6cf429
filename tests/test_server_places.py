"""Which workspaces a server shows: those of projects under its root, and that which it is in."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from aml_jupyter import Workspace
from aml_jupyter.server.places import Places
from aml_jupyter.server.problems import NotHere
from aml_jupyter.store import WorkspaceFolder
from tests.services.jupyter import Server, empty_server


def project(folder: Path) -> Path:
    """A project folder with a workspace, which this machine has not seen used."""
    WorkspaceFolder.create(folder)
    return folder


def shown(root: Path, depth: int = 4) -> list[str | None]:
    places = Places(root, depth)
    return [places.below(place.project) for place in places.look()]


def test_projects_below_the_root_are_found_and_nothing_that_is_none(tmp_path: Path) -> None:
    root = tmp_path / "root"
    for name in ("a", "deep/er/b", ".hidden/c", "node_modules/d", "venv/lib/e", "a/b/c/d/e/f"):
        project(root / name)
    (root / "venv" / "pyvenv.cfg").write_text("")
    project(tmp_path / "elsewhere")
    (root / "link").symlink_to(tmp_path / "elsewhere")
    assert shown(root, depth=0) == []
    assert shown(root) == ["a", "deep/er/b"]
    assert shown(root, depth=6) == ["a", "a/b/c/d/e/f", "deep/er/b"]


def test_the_workspace_that_the_root_lies_in_comes_first(tmp_path: Path) -> None:
    outer = project(tmp_path / "outer")
    root = outer / "notebooks"
    project(root / "inner")
    places = Places(root)
    found = places.look()
    assert [place.project for place in found] == [outer, root / "inner"]
    assert [places.to_wire(place)["project"] for place in found] == ["", "inner"]


def test_a_project_that_was_used_on_this_machine_is_found_however_deep_it_lies(
    tmp_path: Path,
) -> None:
    deep = tmp_path / "root" / "1/2/3/4/5/6"
    deep.mkdir(parents=True)
    places = Places(tmp_path / "root")
    assert places.look() == []
    Workspace.from_config(deep)
    (found,) = places.look(walk=False)
    assert found.project == deep
    other = tmp_path / "other"
    other.mkdir()
    Workspace.from_config(other)
    assert [place.project for place in places.look(walk=False)] == [deep]


def test_the_key_of_a_workspace_stays_and_leads_to_it(tmp_path: Path) -> None:
    folder = project(tmp_path / "root" / "a")
    (before,) = Places(tmp_path / "root").look()
    after = Places(tmp_path / "root").get(before.key)  # as after a restart, when nobody has looked
    assert after.project == folder
    with pytest.raises(NotHere):
        Places(tmp_path / "root").get("nowhere")


@pytest.mark.parametrize("text", ["", "{", "[]", "7", "null", "{}", '{"format": 99}'])
def test_a_damaged_workspace_hides_no_other_and_says_what_is_wrong(
    tmp_path: Path, text: str
) -> None:
    project(tmp_path / "root" / "good")
    bad = project(tmp_path / "root" / "bad")
    (bad / ".aml" / "workspace.json").write_text(text)
    places = Places(tmp_path / "root")
    good, damaged = places.look()
    assert (good.project.name, good.problem) == ("good", None)
    told = places.to_wire(damaged)
    assert told["name"] == "bad"
    assert told["problem"]["message"]
    assert told["problem"]["hint"]


def test_a_workspace_that_is_mended_or_made_anew_is_opened_anew(tmp_path: Path) -> None:
    folder = project(tmp_path / "root" / "a")
    record = folder / ".aml" / "workspace.json"
    places = Places(tmp_path / "root")
    places.look()
    text = record.read_text()
    record.write_text("spoiled")
    (spoiled,) = places.look()
    assert spoiled.problem is not None
    record.write_text(text)
    (mended,) = places.look()
    assert mended.problem is None
    record.write_text(json.dumps({**json.loads(text), "tags": {"a": "b"}}))
    (same,) = places.look()
    assert same.opened is mended.opened
    record.write_text(json.dumps({**json.loads(text), "id": "another"}))
    (other,) = places.look()
    assert other.opened is not mended.opened


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with empty_server(tmp_path) as started:
        yield started


def test_a_page_hears_within_seconds_of_a_project_that_has_its_first_run(server: Server) -> None:
    socket = server.live()
    assert server.ask("hello").json["places"] == []
    folder = server.root / "new"
    folder.mkdir()
    time.sleep(0.5)
    Workspace.from_config(folder)
    socket.settimeout(10)
    told = json.loads(socket.recv())
    assert told["kind"] == "places"
    assert [place["project"] for place in told["places"]] == ["new"]
    socket.close()
    socket.shutdown()
