"""An environment names an interpreter, or is refused with what to do about it."""

from __future__ import annotations

import json
import os
import stat
import sys
from pathlib import Path

import pytest

from aml_jupyter.environments import resolve
from aml_jupyter.errors import RunConfigurationException
from aml_jupyter.spec import CondaDependencies, Environment, RunConfiguration


@pytest.fixture(autouse=True)
def _aml_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AML_HOME", str(tmp_path / "home"))


def fails(*words: str) -> pytest.RaisesExc:
    """A refusal that has all of the words in its message or its hint."""
    return pytest.raises(
        RunConfigurationException, check=lambda raised: all(word in str(raised) for word in words)
    )


def user_managed(interpreter_path: str = "python") -> Environment:
    environment = Environment("mine")
    environment.python.user_managed_dependencies = True
    environment.python.interpreter_path = interpreter_path
    return environment


def program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def counting_python(folder: Path) -> Path:
    """A real interpreter behind a script that notes each start in ``starts``."""
    text = f'#!/bin/sh\necho x >> {folder}/starts\nexec {sys.executable} "$@"\n'
    return program(folder / "mypython", text)


def starts(folder: Path) -> int:
    return len((folder / "starts").read_text().split())


def test_no_environment_means_the_submitters_interpreter() -> None:
    for environment in (None, Environment("default-environment"), RunConfiguration().environment):
        resolved = resolve(environment)
        assert (resolved.kind, resolved.interpreter) == ("submitter", sys.executable)
        assert resolved.environment_variables == {}
    assert resolved.facts["python"] == "{}.{}.{}".format(*sys.version_info)
    json.dumps(dict(resolved.facts))


def test_python_means_the_submitters_interpreter_too(tmp_path: Path) -> None:
    other = counting_python(tmp_path)
    resolved = resolve(user_managed(), default_interpreter=str(other))
    assert (resolved.kind, resolved.interpreter) == ("user-managed", str(other))


def test_variables_of_the_environment_are_kept_but_v1s_example_is_not() -> None:
    environment = user_managed()
    environment.environment_variables["A"] = "1"
    assert resolve(environment).environment_variables == {"A": "1"}


def test_a_path_may_be_relative_or_start_at_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = counting_python(tmp_path / "bin")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for given in ("bin/mypython", "./bin/mypython", "~/bin/mypython", str(python)):
        assert resolve(user_managed(given)).interpreter == str(python)


def test_a_bare_name_is_looked_for_on_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = counting_python(tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert resolve(user_managed("mypython")).interpreter == str(python)
    with fails("'python9.9'", "PATH", "interpreter_path"):
        resolve(user_managed("python9.9"))


def test_a_virtual_environments_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "python").symlink_to(sys.executable)
    assert resolve(user_managed(str(tmp_path / "python"))).interpreter == str(tmp_path / "python")


def test_a_second_look_at_an_interpreter_starts_no_process(tmp_path: Path) -> None:
    environment = user_managed(str(counting_python(tmp_path)))
    first = resolve(environment)
    assert resolve(environment) == first
    assert starts(tmp_path) == 1


def test_a_changed_interpreter_is_asked_again(tmp_path: Path) -> None:
    python = counting_python(tmp_path)
    resolve(user_managed(str(python)))
    os.utime(python, (1, 1))
    resolve(user_managed(str(python)))
    assert starts(tmp_path) == 2


@pytest.mark.parametrize("content", ["", "{", "[1]", '{"x": 3}', b"\xff\x00".decode("latin-1")])
def test_a_damaged_cache_is_only_slower(tmp_path: Path, content: str) -> None:
    (tmp_path / "home").mkdir()
    cache = tmp_path / "home" / "interpreters.json"
    cache.write_text(content, encoding="latin-1")
    python = counting_python(tmp_path)
    assert resolve(user_managed(str(python))).interpreter == str(python)
    assert str(python) in json.loads(cache.read_text())


def test_a_home_that_cannot_be_written_is_only_slower(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("AML_HOME", str(tmp_path / "file" / "home"))
    python = counting_python(tmp_path)
    assert resolve(user_managed(str(python))).interpreter == str(python)


def test_a_missing_interpreter_is_named_with_a_remedy(tmp_path: Path) -> None:
    with fails(str(tmp_path / "no"), "env.python.interpreter_path", "'python'"):
        resolve(user_managed(str(tmp_path / "no")))


def test_a_folder_is_answered_with_the_interpreter_inside(tmp_path: Path) -> None:
    inside = program(tmp_path / "venv" / "bin" / "python", "")
    with fails("is a folder", str(inside)):
        resolve(user_managed(str(tmp_path / "venv")))


def test_an_interpreter_has_to_be_executable(tmp_path: Path) -> None:
    python = counting_python(tmp_path)
    python.chmod(stat.S_IRUSR)
    with fails(str(python), "not executable", "chmod"):
        resolve(user_managed(str(python)))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("#!/bin/sh\necho Python 2.7.18\n", ["2.7.18", "too old", "3.8"]),
        ("#!/bin/sh\necho no such thing >&2\nexit 3\n", ["not a working Python", "no such thing"]),
        ("#!/bin/sh\n", ["not a working Python", "said nothing"]),
        ("#!/no/such/shell\n", ["cannot be started"]),
    ],
)
def test_what_is_no_usable_python_is_refused(tmp_path: Path, text: str, words: list[str]) -> None:
    with fails(*words):
        resolve(user_managed(str(program(tmp_path / "fake", text))))


def test_packages_are_refused_until_environments_are_built() -> None:
    with fails("'fresh'", "packages", "user_managed_dependencies = True", "interpreter_path"):
        resolve(Environment("fresh"))
    config = RunConfiguration(conda_dependencies=CondaDependencies.create(pip_packages=["torch"]))
    with fails("default-environment", "torch", "user_managed_dependencies = True"):
        resolve(config.environment)


def test_images_are_refused_until_containers_run() -> None:
    built = Environment.from_dockerfile("x", "FROM y\n")
    with fails("a Dockerfile", "base_dockerfile = None"):
        resolve(built)
    with fails("image pytorch:2", "base_image = None"):
        resolve(Environment.from_docker_image("x", "pytorch:2"))
    enabled = user_managed()
    enabled.docker.enabled = True
    with fails("a container", "enabled = False"):
        resolve(enabled)
    with fails("use_docker=False"):
        resolve(user_managed(), use_docker=True)


def test_an_environment_without_an_image_still_runs() -> None:
    environment = user_managed()
    environment.docker.base_image = None
    assert resolve(environment).interpreter == sys.executable
