"""`aml target`, `aml doctor` for each target, and what `%aml_target` shows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from aml_jupyter import Workspace
from aml_jupyter.errors import ComputeTargetException, UserErrorException
from aml_jupyter.notebook.targets import Findings, Table, answer
from aml_jupyter.workspace.diagnosis import Finding
from aml_jupyter.workspace.target_words import understood
from tests.services.docker_engine import Engine

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Project:
    """A folder that `aml` is used in."""

    folder: Path
    variables: dict[str, str]

    def both(self, *words: str, code: int = 0) -> tuple[str, str]:
        """What a command prints on stdout and on stderr."""
        done = subprocess.run(
            [sys.executable, "-m", "aml_jupyter.cli", *words],
            cwd=self.folder,
            env={**os.environ, **self.variables},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == code, f"{words} ended with {done.returncode}:\n{done}"
        return done.stdout, done.stderr

    def aml(self, *words: str, code: int = 0) -> str:
        """What a command prints on stdout."""
        return self.both(*words, code=code)[0]

    def json(self, *words: str, code: int = 0) -> Any:
        """What a command says with --json."""
        return json.loads(self.aml(*words, "--json", code=code))

    @property
    def file(self) -> Path:
        return self.folder / ".aml" / "targets.yaml"

    def write(self, text: str) -> None:
        self.aml("target", "add", "first", "--type", "local")
        self.file.write_text(textwrap.dedent(text))


@pytest.fixture
def project(tmp_path: Path) -> Project:
    path = os.environ.get("PYTHONPATH")
    where = f"{ROOT}{os.pathsep}{path}" if path else str(ROOT)
    # An engine that is not there: these tests are about words, and the machine may have one.
    return Project(tmp_path, {"PYTHONPATH": where, "DOCKER_HOST": f"unix://{tmp_path}/none"})


# The words ------------------------------------------------------------------------------------


def test_without_words_the_list_is_meant() -> None:
    assert understood([]).action == "list"
    asked = understood(["add", "box", "host=ssh://me@box", "mounts=/a:/b"], "docker")
    assert (asked.action, asked.name, asked.kind) == ("add", "box", "docker")
    assert asked.settings == ["host=ssh://me@box", "mounts=/a:/b"]


@pytest.mark.parametrize(
    ("words", "kind", "message", "hint"),
    [
        (["shwo"], None, "cannot be asked to 'shwo'", "show"),
        (["show"], None, "Which target is to be shown", "show NAME"),
        (["show", "a", "b"], None, "not a and b", "key=value"),
        (["list", "a"], None, "'a'", "show a"),
        (["show", "a", "x=1"], None, "'x=1'", "targets.yaml"),
        (["remove"], None, "removed", "remove NAME"),
        (["add", "a"], None, "Of which type is a", "amlcompute, computeinstance, docker, local"),
        (["add", "slots=2"], "local", "to be added", "add NAME"),
    ],
)
def test_words_that_mean_nothing_are_refused(
    words: Sequence[str], kind: str | None, message: str, hint: str
) -> None:
    with pytest.raises(UserErrorException, match=message) as caught:
        understood(words, kind)
    assert hint in caught.value.hint


# The command ----------------------------------------------------------------------------------


def test_the_list_needs_no_workspace_and_makes_none(project: Project) -> None:
    found = project.json("target")["targets"]
    assert [each["name"] for each in found][:2] == ["local", "docker"]
    assert project.aml("target").splitlines()[0].split()[:2] == ["target", "type"]
    assert not (project.folder / ".aml").exists()


def test_targets_are_added_shown_and_removed(project: Project) -> None:
    said = project.json(
        *("target", "add", "box", "--type", "docker", "host=ssh://me@box", "shm_size=4g"),
        *("cpus=0.5", "mounts=/a:/b", "mounts=/c:/d:ro", "keep=true", "description=upstairs"),
    )
    assert said["settings"] == {
        "type": "docker",
        "host": "ssh://me@box",
        "shm_size": "4g",
        "cpus": 0.5,
        "mounts": ["/a:/b", "/c:/d:ro"],
        "keep": True,
        "description": "upstairs",
        "created": said["settings"]["created"],
    }
    assert project.file.read_text().startswith("box:\n  type: docker\n  host: ssh://me@box\n")
    assert "upstairs" in project.aml("target")
    shown = project.aml("target", "show", "box").splitlines()
    assert any(line.split() == ["written", "in", "targets.yaml,", "line", "1"] for line in shown)
    assert project.json("target", "remove", "box") == {"removed": "box"}
    _, error = project.both("target", "show", "box", code=2)
    assert error.startswith("ComputeTargetNotFound: Compute Target with name box not found")


def test_the_type_may_stand_before_and_after_the_settings(project: Project) -> None:
    project.aml("target", "add", "one", "slots=2", "--type", "local")
    project.aml("target", "add", "--type", "local", "two", "slots=3")
    found = {each["name"]: each["slots"] for each in project.json("target")["targets"]}
    assert (found["one"], found["two"]) == (2, 3)


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        (["add", "x", "--type", "dokcer"], "no type 'dokcer'", "Did you mean docker?"),
        (["add", "x", "--type", "docker", "shmsize=1"], "'shmsize'", "Did you mean shm_size?"),
        (["add", "x", "--type", "docker", "shm_size=b"], "target x: shm_size 'b'", "shm_size: 8g"),
        (["add", "x y", "--type", "local"], "'x y' is not a name", "letters"),
        (["add", "local", "--type", "docker"], "local is of type local", "another name"),
        (["remove", "local"], "local is always there", "aml target list"),
        (["test", "nobody"], "nobody not found", "aml target add nobody"),
    ],
)
def test_what_cannot_be_is_two_lines_and_changes_nothing(
    project: Project, words: Sequence[str], message: str, hint: str
) -> None:
    project.write("{}\n")
    _, error = project.both("target", *words, code=2)
    first, second = error.splitlines()
    assert message in first
    assert hint in second
    assert project.file.read_text() == "{}\n"


def test_a_spoiled_target_is_listed_with_its_line_and_keeps_no_other_from_use(
    project: Project,
) -> None:
    project.write("good: {type: local}\nbad:\n  type: local\n  slot: 2\n")
    found = {each["name"]: each["error"] for each in project.json("target")["targets"]}
    assert found["bad"].startswith("targets.yaml, line 4: ")
    assert found["good"] == ""
    assert "line 4" in project.aml("target")
    shown = project.aml("target", "show", "bad")
    assert "Did you mean slots?" in shown


def test_the_settings_of_a_type_are_told_with_examples(project: Project) -> None:
    found = {
        each["name"]: each
        for each in project.json("target", "show", "--type", "docker")["settings"]
    }
    assert {"host", "shm_size", "slots", "description"} <= set(found)
    assert all(each["help"] for each in found.values())
    assert "shm_size" in project.aml("target", "show", "--type", "docker")


def test_a_target_is_tried_and_the_exit_code_tells(project: Project) -> None:
    project.write("desk: {type: local}\n")
    said = project.json("target", "test", "desk")
    assert said["ok"] is True
    assert [each["name"] for each in said["findings"]] == ["target desk", "job on desk"]
    assert "✗ target docker" in project.aml("target", "test", "docker", code=1)


def test_the_help_tells_what_can_be_done(project: Project) -> None:
    out = project.aml("target", "--help")
    assert "aml target add gpu-box --type docker" in out
    assert "targets.yaml" in out


# The doctor -----------------------------------------------------------------------------------


def test_the_doctor_looks_at_each_target(project: Project) -> None:
    project.write("desk: {type: local, slots: 3}\nbad: {type: local, slot: 2}\n")
    answer = project.json("doctor")
    found: dict[str, list[dict[str, Any]]] = {}
    for each in answer["findings"]:
        found.setdefault(each["name"], []).append(each)
    assert answer["ok"] is True
    assert "3 at once" in found["target desk"][0]["detail"]
    assert found["target bad"][0]["works"] is False
    assert found["target bad"][0]["detail"].startswith("targets.yaml, line 2: ")
    # Nobody has asked for an engine, so that there is none is only told.
    assert found["target docker"][0]["works"] is None
    assert found["target docker"][0]["remedy"]
    assert {"GPUs", "uv", "conda", "environments"} <= set(found)


def test_a_file_that_cannot_be_read_keeps_runs_from_working(project: Project) -> None:
    project.write("desk: [\n")
    answer = project.json("doctor", code=1)
    told = next(each for each in answer["findings"] if each["name"] == "targets")
    assert told["essential"]
    assert told["detail"].startswith("targets.yaml, line 2: ")


def test_the_doctor_counts_gpus(project: Project) -> None:
    variables = {**project.variables, "AML_FAKE_GPUS": "2x16G", "CUDA_VISIBLE_DEVICES": "0,1"}
    answer = Project(project.folder, variables).json("doctor")
    told = next(each for each in answer["findings"] if each["name"] == "GPUs")
    assert told["works"] is True
    assert told["detail"].startswith("2 (16 GiB, 16 GiB)")


@pytest.mark.service("docker")
def test_the_doctor_tells_of_an_engine_that_answers(
    project: Project, docker_engine: Engine
) -> None:
    answer = Project(project.folder, {**project.variables, "DOCKER_HOST": docker_engine.host}).json(
        "doctor"
    )
    told = [each for each in answer["findings"] if each["name"] == "target docker"]
    assert told[0]["works"] is True
    assert "version" in told[0]["detail"]


# The notebook ---------------------------------------------------------------------------------


@pytest.fixture
def ask(tmp_path: Path) -> Callable[..., Any]:
    """Asks what `%aml_target` would."""
    workspace = Workspace.from_config(tmp_path)

    def asked(words: str, kind: str | None = None) -> Any:
        return answer(workspace.folder, words.split(), kind)

    return asked


def test_the_magic_shows_tables(ask: Callable[..., Any]) -> None:
    assert "4g" in repr(ask("add box shm_size=4g", "docker"))
    listed = ask("")
    assert repr(listed).splitlines()[0].split()[:2] == ["target", "type"]
    assert "<td" in listed._repr_html_()
    assert "shm_size=4g" in repr(listed)
    assert "line 1" in repr(ask("show box"))
    assert "setting" in repr(ask("show", "docker"))
    assert "box" not in repr(ask("remove box"))
    with pytest.raises(ComputeTargetException):
        ask("show box")


def test_the_magic_tries_a_target(ask: Callable[..., Any]) -> None:
    found = ask("test local")
    assert found.works
    assert "✔ job on local" in repr(found)
    assert "<b>job on local</b>" in found._repr_html_()


def test_whatever_a_target_says_is_harmless_where_it_is_shown() -> None:
    nasty = "<script>alert(1)</script>\x1b[31m\u202e"
    table = Table(("target", "remarks"), [(nasty, nasty)])
    found = Findings([Finding(nasty, False, nasty, nasty)])
    for html in (table._repr_html_(), found._repr_html_()):
        assert "<script" not in html
        assert "&lt;script&gt;" in html
    for text in (repr(table), repr(found)):
        assert "\x1b" not in text
        assert "\u202e" not in text
    assert not found.works
