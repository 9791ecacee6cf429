"""What a page is told of batches of notebooks and of models, and what it may delete."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from nbformat import v4

from aml_jupyter import Batch, Model, Workspace
from tests.services.jupyter import Server, empty_server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with empty_server(tmp_path_factory.mktemp("assets")) as started:
        yield started


@pytest.fixture
def workspace(server: Server, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setenv("AML_HOME", str(server.home))
    monkeypatch.chdir(server.root)
    return Workspace.from_config()


def notebook(folder: Path) -> str:
    """A notebook that fails where its parameter is 2."""
    cells = [
        v4.new_code_cell("alpha = 0", metadata={"tags": ["parameters"]}),
        v4.new_code_cell("assert alpha != 2"),
    ]
    content = v4.new_notebook(cells=cells)
    content.metadata.kernelspec = {"name": "python3", "language": "python", "display_name": "P"}
    nbformat.write(content, folder / "report.ipynb")
    return "report.ipynb"


def test_a_batch_says_how_many_of_its_notebooks_are_over_and_failed(
    server: Server, workspace: Workspace
) -> None:
    assert server.ask("batches", place=server.place()).json == {"batches": [], "more": 0}
    batch = Batch(notebook(server.root), {"alpha": [1, 2, 3]}).submit()
    batch.wait_for_completion(raise_on_error=False)
    (found,) = server.ask("batches", place=server.place()).json["batches"]
    assert (found["id"], found["notebook"], found["status"]) == (
        batch.id,
        "report.ipynb",
        batch.status,
    )
    assert (found["notebooks"], found["ended"], found["running"], found["failed"]) == (3, 3, 0, 1)


def test_of_a_model_the_latest_version_is_shown_and_the_one_named_is_deleted(
    server: Server, workspace: Workspace
) -> None:
    (server.root / "weights.bin").write_bytes(b"0123456789")
    for tag in ("first", "second"):
        Model.register(workspace, "weights.bin", "net", tags={"made": tag})
    place = server.place()
    (found,) = server.ask("models", place=place).json["models"]
    assert (found["name"], found["version"], found["versions"]) == ("net", 2, 2)
    assert (found["size"], found["run"], found["tags"]) == (10, None, {"made": "second"})
    done = server.ask("models", "POST", {"name": "net", "version": 2}, place=place).json
    assert "net:2" in done["said"]
    (left,) = server.ask("models", place=place).json["models"]
    assert (left["version"], left["versions"]) == (1, 1)


@pytest.mark.parametrize(
    "body",
    [{}, {"name": "net"}, {"version": 1}, {"name": "", "version": 1}, {"name": "no", "version": 1}],
)
def test_no_model_is_deleted_that_was_not_named(
    body: dict[str, object], server: Server, workspace: Workspace
) -> None:
    (server.root / "weights.bin").write_bytes(b"0123456789")
    Model.register(workspace, "weights.bin", "kept")
    before = len(Model.list(workspace))
    answer = server.ask("models", "POST", body, place=server.place())
    assert answer.status >= 400
    assert answer.json["hint"]
    assert len(Model.list(workspace)) == before
