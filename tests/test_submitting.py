"""Forms of files and runs, asked of a real server: what is there, what is wrong, what is done."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import nbformat
import pytest

from aml_jupyter import Workspace
from aml_jupyter.errors import StorageFullError
from aml_jupyter.spec import RunConfiguration
from aml_jupyter.workspace.run_form import concerning
from aml_jupyter.workspace.run_options import OPTIONS
from tests.services.jupyter import Server, project_server, running_server
from tests.support import script, until


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that shows a folder with a project in it; its runs live in a home of its own."""
    with project_server(tmp_path_factory.mktemp("submitting")) as started:
        (started.root / "project").mkdir()
        yield started


@pytest.fixture
def project(server: Server) -> Path:
    return server.root / "project"


def notebook(folder: Path, name: str, *cells: str) -> None:
    """Write a notebook whose first cell has its parameters."""
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text) for text in cells])
    made.cells[0].metadata["tags"] = ["parameters"]
    made.metadata["kernelspec"] = {
        "name": "python3",
        "display_name": "Python",
        "language": "python",
    }
    nbformat.write(made, folder / name)


def form(server: Server, **query: object) -> dict[str, Any]:
    answer = server.ask(f"options?{urlencode(query)}")
    assert answer.status == 200, answer.body
    found: dict[str, Any] = answer.json
    return found


def fields(found: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    return {each["name"]: each for each in found["fields"]}


def send(server: Server, do: str, values: Mapping[str, list[str]], **more: Any) -> dict[str, Any]:
    answer = server.ask("submit", "POST", {"do": do, "values": dict(values), **more})
    assert answer.status == 200, answer.body
    found: dict[str, Any] = answer.json
    return found


def run_of(project: Path, run_id: str) -> Any:
    workspace = Workspace.find(project)
    assert workspace is not None
    return workspace.get_run(run_id)


def ended(project: Path, run_id: str) -> Any:
    run = run_of(project, run_id)
    until(lambda: run.get_status() in ("Completed", "Failed", "Canceled"), 30)
    assert run.get_status() == "Completed", run.get_details()
    return run


def test_the_form_of_a_script_has_the_options_of_the_magics(server: Server, project: Path) -> None:
    script(project, "print(1)")
    (project / "requirements.txt").write_text("six\n")
    found = form(server, path="project/train.py")
    there = fields(found)

    assert {option.key for option in OPTIONS} < set(there)
    assert {name: there[name]["help"] for name in ("gpus", "env")} == {
        option.key: option.help for option in OPTIONS if option.key in ("gpus", "env")
    }
    assert "local" in there["target"]["choices"]
    assert "requirements.txt" in there["env"]["choices"]
    assert there["experiment"]["usual"] == "train"
    assert there["data"]["kind"] == "list"
    assert there["docker"]["kind"] == "switch"
    assert found["place"] in {place["key"] for place in server.ask("hello").json["places"]}


def test_what_cannot_be_meant_is_said_at_its_field_and_nothing_runs(
    server: Server, project: Path
) -> None:
    script(project, "print(1)")
    before = len(list((server.root / ".aml" / "runs").glob("*")))
    for do in ("check", "submit"):
        values = {"cpus": ["many"], "tag": ["no sign"], "gpus": ["1"]}
        problems = send(server, do, values, path="project/train.py")["problems"]
        assert {each["field"] for each in problems} == {"cpus", "tag"}
        assert any("number above 0" in each["message"] for each in problems)
    for values, field in (
        ({"env": ["nowhere.txt"]}, "env"),
        ({"target": ["moon"]}, "target"),
        ({"source": ["/"]}, "source"),
    ):
        problems = send(server, "plan", values, path="project/train.py")["problems"]
        assert [each["field"] for each in problems] == [field], problems
        assert problems[0]["message"]
    assert len(list((server.root / ".aml" / "runs").glob("*"))) == before


def test_a_script_is_planned_and_then_submitted_as_it_was_filled_in(
    server: Server, project: Path
) -> None:
    script(project, "import sys; print('given', sys.argv[1:])")
    values = {
        "arguments": ["--name 'two words'"],
        "experiment": ["forms"],
        "tag": ["model=cnn", "try=1"],
        "name": ["the first"],
        "timeout": ["5m"],
    }
    planned = send(server, "plan", values, path="project/train.py")
    assert "experiment   forms" in planned["plan"]
    assert "tag          model = cnn" in planned["plan"]
    assert planned["run"] is None

    done = send(server, "submit", values, path="project/train.py")
    assert "the first" in done["said"]
    run = ended(project, done["run"])
    assert run.tags == {"model": "cnn", "try": "1"}
    assert run.display_name == "the first"
    log = (run.folder / "azureml-logs" / "70_driver_log.txt").read_text()
    assert "given ['--name', 'two words']" in log


def test_a_notebook_shows_its_parameters_and_runs_once_or_as_a_batch(
    server: Server, project: Path
) -> None:
    notebook(project, "report.ipynb", "alpha = 0.5\nsteps = 3", "print('alpha is', alpha)")
    there = fields(form(server, path="project/report.ipynb"))
    assert there["parameter.alpha"]["usual"] == "0.5"
    assert there["parameter.alpha"]["group"] == "parameters"

    path = {"path": "project/report.ipynb"}
    wrong = send(server, "check", {"parameter.steps": ["often"]}, **path)["problems"]
    assert [each["field"] for each in wrong] == ["parameter.steps"]
    assert "steps is an int" in wrong[0]["message"]

    sets = send(
        server, "plan", {"parameter.alpha": ["0.1,0.3"], "parameter.steps": ["1..2"]}, **path
    )
    assert "4 notebooks" in sets["plan"]
    once = send(server, "submit", {"parameter.alpha": ["0.25"]}, **path)
    run = ended(project, once["run"])
    executed = nbformat.read(run.folder / "outputs" / "report.ipynb", as_version=4)
    assert "alpha is 0.25" in json.dumps(executed)

    batch = send(server, "submit", {"parameter.alpha": ["0.1,0.3"]}, batch=True, **path)
    family = json.loads((run_of(project, batch["run"]).folder / "run.json").read_text())["family"]
    assert [member["parameters"] for member in family["members"]] == [
        {"alpha": 0.1},
        {"alpha": 0.3},
    ]
    run_of(project, batch["run"]).cancel()


def test_a_run_configuration_of_v1_is_submitted_with_changes(server: Server, project: Path) -> None:
    script(project, "import sys; print('given', sys.argv[1:])", "configured.py")
    config = RunConfiguration(script="configured.py", arguments=["--epochs", "3"])
    config.save(str(project), "nightly")
    (project / "configs").mkdir()
    shutil.move(project / ".azureml" / "nightly.runconfig", project / "configs" / "nightly.yml")
    there = fields(form(server, path="project/configs/nightly.yml"))
    assert there["arguments"]["values"] == ["--epochs 3"]

    done = send(server, "submit", {"arguments": ["--epochs 4"]}, path="project/configs/nightly.yml")
    run = ended(project, done["run"])
    log = (run.folder / "azureml-logs" / "70_driver_log.txt").read_text()
    assert "given ['--epochs', '4']" in log


def test_a_file_that_is_none_of_these_is_refused_in_words(server: Server, project: Path) -> None:
    (project / "conda.yml").write_text("dependencies: [python=3.11]\n")
    (project / "notes.txt").write_text("x")
    for name, words in (
        ("conda.yml", "no run configuration"),
        ("notes.txt", "cannot be submitted"),
    ):
        answer = server.ask(f"options?path=project/{name}")
        assert answer.status == 400
        assert words in answer.json["message"]
        assert answer.json["hint"]


def test_a_run_is_repeated_with_other_arguments_and_tags(server: Server, project: Path) -> None:
    script(project, "import sys; print('given', sys.argv[1:])")
    first = send(
        server, "submit", {"arguments": ["--lr 0.1"], "tag": ["a=1"]}, path="project/train.py"
    )
    about = {"place": first["place"], "run": first["run"]}
    there = fields(form(server, **about))
    assert there["arguments"]["values"] == ["--lr 0.1"]
    assert there["tag"]["values"] == ["a=1"]
    assert there["target"]["values"] == ["local"]
    ended(project, first["run"])
    (project / "train.py").unlink()

    kept = {name: each["values"] for name, each in there.items()}
    changed = {**kept, "arguments": ["--lr 0.2"], "tag": ["a=2"], "cpus": ["1"], "timeout": ["10m"]}
    planned = send(server, "plan", changed, **about)["plan"]
    assert "train.py --lr 0.2" in planned
    assert "cpus 1" in planned
    again = ended(project, send(server, "submit", changed, **about)["run"])
    log = (again.folder / "azureml-logs" / "70_driver_log.txt").read_text()
    assert "given ['--lr', '0.2']" in log
    assert again.tags == {"a": "2"}
    request = json.loads((again.folder / "run.json").read_text())
    assert request["job"]["max_seconds"] == 600
    assert request["properties"]["aml.rerun_of"] == first["run"]


def test_a_batch_is_repeated_with_other_values(server: Server, project: Path) -> None:
    notebook(project, "report.ipynb", "alpha = 0.5\nsteps = 3", "print('alpha is', alpha)")
    values = {"parameter.alpha": ["0.1,0.3"], "parameter.steps": ["2"]}
    first = send(server, "submit", values, path="project/report.ipynb", batch=True)
    run_of(project, first["run"]).cancel()
    about = {"place": first["place"], "run": first["run"]}
    kept = {name: each["values"] for name, each in fields(form(server, **about)).items()}
    assert kept["parameter.alpha"] == ["0.1,0.3"]
    assert kept["parameter.steps"] == ["2"]
    assert "notebooks    2: alpha=0.1; alpha=0.3" in send(server, "plan", kept, **about)["plan"]

    changed = {**kept, "parameter.alpha": ["0.2"], "parameter.steps": ["1..2"]}
    assert "notebooks    2: steps=1; steps=2" in send(server, "plan", changed, **about)["plan"]
    more = {**changed, "parameter.steps": ["1..3"]}
    again = run_of(project, send(server, "submit", more, **about)["run"])
    request = json.loads((again.folder / "run.json").read_text())
    again.cancel()
    assert again.display_name == "report × 3"
    assert [each["parameters"] for each in request["family"]["members"]] == [
        {"alpha": 0.2, "steps": steps} for steps in (1, 2, 3)
    ]
    assert request["properties"]["aml.rerun_of"] == first["run"]


def test_files_outside_of_what_the_server_shows_are_refused(
    server: Server, project: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "secret.py"
    outside.write_text("print(1)")
    (project / "link.py").symlink_to(outside)
    for path in ("../secret.py", "project/link.py", str(outside), "project/../../secret.py"):
        answer = server.ask(f"options?{urlencode({'path': path})}")
        assert answer.status == 400, path
        assert (
            server.ask("submit", "POST", {"do": "submit", "path": path, "values": {}}).status == 400
        )


def test_a_server_that_only_shows_runs_submits_none(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    script(tmp_path / "root", "print(1)")
    with running_server(
        tmp_path / "server", tmp_path / "root", "--AmlServer.read_only=True"
    ) as server:
        asked = {"do": "submit", "path": "train.py", "values": {}}
        refused = server.ask("submit", "POST", asked)
        assert refused.status == 403
        assert "only shows" in refused.json["message"]
        assert not (tmp_path / "root" / ".aml").exists()


def test_a_full_disk_is_told_as_such_and_not_as_a_mistake_in_a_field() -> None:
    with pytest.raises(StorageFullError), concerning("experiment"):
        raise StorageFullError("No room left.", "Free some space.")
