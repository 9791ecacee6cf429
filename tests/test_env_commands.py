"""`aml env`, `%aml_env` and the options of runs, with real builds from wheels made on the spot."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.manager import KernelManager

from aml_jupyter import Environment, Workspace
from aml_jupyter.cli import main
from aml_jupyter.environments import cache
from aml_jupyter.errors import UserErrorException
from aml_jupyter.job import layout
from aml_jupyter.notebook import options
from aml_jupyter.notebook.environments import BuildView
from aml_jupyter.spec import ALL_GPUS, CondaDependencies, Resources
from aml_jupyter.workspace import env_facts, env_prune
from aml_jupyter.workspace.env_commands import EnvironmentBuild
from aml_jupyter.workspace.run_options import RunOptions, environment_of
from tests.services.docker_engine import Engine
from tests.shell import Shell, ipython, shell
from tests.support import finish, interpreter, project, until, ws

__all__ = ["ipython", "project", "shell", "ws"]

PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"


def wheel(folder: Path, name: str, version: str) -> None:
    """Write a wheel with one module of that name, which knows its version."""
    info = f"{name}-{version}.dist-info"
    content = {
        f"{name}/__init__.py": f"VERSION = {version!r}\n".encode(),
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    digests = {
        path: base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")
        for path, data in content.items()
    }
    rows = [f"{path},sha256={digests[path]},{len(data)}" for path, data in content.items()]
    content[f"{info}/RECORD"] = "\n".join([*rows, f"{info}/RECORD,,", ""]).encode()
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        for member, data in content.items():
            archive.writestr(member, data)


@dataclass(frozen=True)
class Answer:
    """What a command said, and how it ended."""

    code: int
    out: str
    error: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Aml = Callable[..., Answer]


@pytest.fixture
def aml(capfd: pytest.CaptureFixture[str]) -> Aml:
    """Carries out a command line in this process; its code is asserted."""

    def carry_out(*words: str, code: int = 0) -> Answer:
        capfd.readouterr()
        ended = main(words)
        answer = Answer(ended, *capfd.readouterr())
        assert ended == code, answer
        return answer

    return carry_out


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    """A folder with two versions of the package mini, and one of other."""
    for name, version in (("mini", "1.0"), ("mini", "2.0"), ("other", "1.0")):
        wheel(tmp_path / "wheels", name, version)
    return tmp_path / "wheels"


def conda_file(wheels: Path, *packages: str, name: str = "env.yml") -> str:
    """Write a conda specification of these packages, which come from the wheels."""
    pip = "".join(f"  - {line}\n" for line in ("--no-index", f"--find-links {wheels}", *packages))
    Path(name).write_text(f"dependencies:\n- python={PYTHON}\n- pip:\n{pip}")
    return name


@pytest.fixture
def mini(aml: Aml, ws: Workspace, wheels: Path) -> str:
    """An environment that is registered and built."""
    aml("env", "create", "mini", "--conda", conda_file(wheels, "mini==1.0"))
    aml("env", "build", "mini")
    return "mini"


def key_of(aml: Aml, name: str) -> str:
    found = aml("env", "show", name, "--json").json["builds"]
    return str(found[0]["key"])


# Making and keeping ---------------------------------------------------------------------------


def test_an_environment_is_created_from_a_file_and_gets_versions(
    aml: Aml, ws: Workspace, wheels: Path
) -> None:
    file = conda_file(wheels, "mini==1.0")
    assert aml("env", "create", "m", "--conda", file).out == "m:1 is registered.\n"
    assert aml("env", "create", "m", "--conda", file).out == "m:1 is registered.\n"
    file = conda_file(wheels, "mini==2.0")
    answer = aml("env", "create", "m", "--conda", file, "--json")
    assert answer.json == {"name": "m", "version": "2"}
    assert "mini==2.0" in aml("env", "show", "m").out
    assert "mini==1.0" in aml("env", "show", "m:1").out


def test_an_environment_is_created_from_requirements_images_and_dockerfiles(
    aml: Aml, ws: Workspace
) -> None:
    Path("requirements.txt").write_text("six\n")
    Path("Dockerfile").write_text("FROM scratch\nRUN true\n")
    aml("env", "create", "r", "--pip", "requirements.txt")
    aml("env", "create", "i", "--image", "image:debian:12", "--pip", "requirements.txt")
    aml("env", "create", "d", "--dockerfile", "Dockerfile")
    kept = {name: Environment.get(ws, name) for name in ("r", "i", "d")}
    assert list(kept["r"].python.conda_dependencies.pip_packages) == ["six"]
    assert kept["i"].docker.base_image == "debian:12"
    assert list(kept["i"].python.conda_dependencies.pip_packages) == ["six"]
    assert kept["d"].docker.dockerfile_text() == "FROM scratch\nRUN true\n"


def test_an_environment_is_created_from_what_is_installed_here(aml: Aml, ws: Workspace) -> None:
    aml("env", "create", "here", "--from-kernel")
    packages = list(Environment.get(ws, "here").python.conda_dependencies.pip_packages)
    assert any(line.startswith("pytest==") for line in packages)


@pytest.mark.parametrize(
    "words",
    [
        ["x"],
        ["x", "--image", "debian", "--from-kernel"],
        ["x", "--pip", "r.txt", "--conda", "e.yml"],
        ["x", "--pip", "r.txt", "--from-kernel"],
        ["x", "--pip", "missing.txt"],
        ["x:1", "--image", "debian"],
        ["AzureML-x", "--image", "debian"],
    ],
)
def test_what_cannot_be_created_is_two_lines_and_registers_nothing(
    aml: Aml, ws: Workspace, words: list[str]
) -> None:
    Path("r.txt").write_text("six\n")
    Path("e.yml").write_text("dependencies: [python=3.11]\n")
    answer = aml("env", "create", *words, code=2)
    assert len(answer.error.splitlines()) == 2
    assert ws.environment_registry.registered() == []


def test_an_environment_is_saved_and_registered_again_under_another_name(
    aml: Aml, ws: Workspace, wheels: Path
) -> None:
    aml("env", "create", "m", "--conda", conda_file(wheels, "mini"))
    aml("env", "save", "m", "kept")
    assert "--overwrite" in aml("env", "save", "m", "kept", code=2).error
    aml("env", "save", "m", "kept", "--overwrite")
    assert aml("env", "register", "kept", "--name", "n").out == "n:1 is registered.\n"
    assert aml("env", "clone", "n", "o").out == "o:1 is registered.\n"
    assert "mini" in aml("env", "show", "o").out
    assert "no file or folder" in aml("env", "register", "nowhere", code=2).error


def test_values_of_variables_that_look_secret_are_not_shown(aml: Aml, ws: Workspace) -> None:
    environment = Environment("v")
    environment.environment_variables = {"COLOUR": "green", "API_TOKEN": "s3cret"}
    environment.save_to_directory("kept")
    shown = aml("env", "show", "./kept").out
    assert "COLOUR=green" in shown
    assert "API_TOKEN=•••" in shown
    assert "s3cret" not in shown + aml("env", "show", "./kept", "--json").out


# Building -------------------------------------------------------------------------------------


def test_a_build_says_why_and_what_came_of_it_and_is_done_once(
    aml: Aml, ws: Workspace, wheels: Path
) -> None:
    aml("env", "create", "m", "--conda", conda_file(wheels, "mini==1.0"))
    assert "never built here before" in aml("env", "why", "m").out
    first = aml("env", "build", "m")
    assert "never built here before" in first.error
    assert re.match(r"m is ready, built in .* \(1 packages?, .*\): /.*/env/bin/python\n", first.out)
    again = aml("env", "build", "m")
    assert again.out.startswith("m is built already: ")
    assert again.error == ""
    answer = aml("env", "build", "m", "--json").json
    assert answer["packages"] == ["mini==1.0"]
    assert answer["built"] is False
    assert "is ready" in aml("env", "why", "m").out


def test_the_lines_that_changed_are_told_before_the_next_build(
    aml: Aml, mini: str, wheels: Path
) -> None:
    aml("env", "create", "mini", "--conda", conda_file(wheels, "mini==2.0", "other"))
    said = aml("env", "why", "mini").out
    assert "mini==1.0 → mini==2.0" in said
    assert "+ other" in said
    answer = aml("env", "why", "mini", "--json").json
    assert answer["must_build"] is True
    assert aml("env", "why", "mini:1", "--json").json["must_build"] is False


def test_a_failed_build_shows_the_end_of_its_log_and_the_line_at_fault(
    aml: Aml, ws: Workspace, wheels: Path
) -> None:
    aml("env", "create", "m", "--conda", conda_file(wheels, "mini==7.0"))
    answer = aml("env", "build", "m", code=2)
    assert "mini==7.0" in answer.error.splitlines()[-2]
    assert len(answer.error.splitlines()) > 3
    assert "mini==7.0" in aml("env", "build", "m", "--json", code=2).json["error"]["message"]
    assert "the last build failed" in aml("env", "why", "m").out
    assert aml("env", "list", "--json").json["environments"][0]["state"] == "failed"


def test_the_list_has_registered_curated_and_built_ones(aml: Aml, mini: str, wheels: Path) -> None:
    aml("env", "build", conda_file(wheels, "other", name="apart.yml"))
    found = {each["name"]: each for each in aml("env", "list", "--json").json["environments"]}
    assert found["mini"]["source"] == "registered"
    assert found["mini"]["state"] == "ready"
    assert found["mini"]["size"] > 0
    assert found["mini"]["builds"][0]["packages"] == ["mini==1.0"]
    assert found["AzureML-Minimal-CPU"]["source"] == "curated"
    assert found["AzureML-Minimal-CPU"]["state"] == "not built"
    assert found["project-apart"]["source"] == "built"
    table = aml("env").out
    assert re.search(r"^mini:1 +registered +ready \(venv\) ", table, re.M)


def test_a_spoiled_environment_does_not_hide_the_others(aml: Aml, mini: str) -> None:
    gone = Environment("gone")
    gone.python.user_managed_dependencies = True
    gone.python.interpreter_path = "/nowhere/python"
    gone.save_to_directory("gone")
    aml("env", "register", "gone")
    table = aml("env", "list").out
    assert re.search(r"^gone:1 .*cannot be used: .*/nowhere/python", table, re.M)
    assert re.search(r"^mini:1 .*ready", table, re.M)


# Checking and removing ------------------------------------------------------------------------


def test_damage_is_found_by_the_check_and_mended_by_the_next_build(aml: Aml, mini: str) -> None:
    assert aml("env", "check").out.startswith("✔ mini ")
    key = key_of(aml, mini)
    folder = next((cache.all_built()[0].folder / "env" / "lib").glob("python*/site-packages/mini"))
    (folder / "__init__.py").unlink()
    answer = aml("env", "check", mini, code=1)
    assert answer.out.startswith(f"✖ mini {key}\n  ")
    assert aml("env", "check", key, "--json", code=1).json["ok"] is False


def test_prune_says_what_it_would_free_and_asks_before(aml: Aml, mini: str) -> None:
    assert "Would free" in aml("env", "prune", "--all", "--dry-run").out
    refused = aml("env", "prune", "--all", code=2)
    assert "1 environment" in refused.error
    assert "-y" in refused.error
    assert len(cache.all_built()) == 1
    answer = aml("env", "prune", "--all", "-y", "--json").json
    assert [each["environment"] for each in answer["removed"]] == ["mini"]
    assert answer["freed_bytes"] > 0
    assert cache.all_built() == []
    assert "gone" in aml("env", "why", mini).out


def test_prune_leaves_what_was_used_not_long_ago(aml: Aml, mini: str, wheels: Path) -> None:
    aml("env", "build", conda_file(wheels, "other"))
    old = next(each for each in cache.all_built() if each.name == "mini")
    long_ago = old.made - 40 * 86400
    (old.folder / "used").touch()
    os.utime(old.folder / "used", (long_ago, long_ago))
    assert [each.key for each in env_prune.candidates(30 * 86400)] == [old.key]
    assert [each.key for each in env_prune.candidates(50 * 86400)] == []
    aml("env", "prune", "-y")
    assert [each.name for each in cache.all_built()] == ["project-env"]


def test_prune_removes_what_failed_builds_left(aml: Aml, ws: Workspace, wheels: Path) -> None:
    aml("env", "create", "m", "--conda", conda_file(wheels, "mini==7.0"))
    aml("env", "build", "m", code=2)
    found = aml("env", "prune", "--all", "-y", "--json").json
    assert [each["kind"] for each in found["removed"]] == ["remains (venv)"]
    assert aml("env", "prune", "--all", "-y", "--json").json["removed"] == []


@pytest.mark.parametrize("by_path", [False, True])
def test_what_a_live_run_uses_is_never_removed(
    aml: Aml, mini: str, ws: Workspace, by_path: bool
) -> None:
    named = cache.all_built()[0].interpreter if by_path else mini
    Path("wait.py").write_text("import time, mini; print('up', flush=True); time.sleep(60)")
    run = ws.get_run(aml("run", "--env", named, "wait.py").out.strip())
    until(lambda: run.get_status() == "Running")
    answer = aml("env", "prune", "--all", "-y", "--json").json
    assert answer["removed"] == []
    assert run.id in answer["kept"][0]["kept"]
    assert aml("env", "remove", mini, "-y", "--json").json["removed"] == []
    run.cancel()
    finish(run)
    until(lambda: not env_prune.KeysInUse().look())
    assert len(aml("env", "remove", mini, "-y", "--json").json["removed"]) == 1


def test_what_is_built_is_removed_by_name_and_by_key(aml: Aml, mini: str, wheels: Path) -> None:
    key = key_of(aml, mini)
    aml("env", "remove", key[:8], "-y")
    assert "Nothing is built" in aml("env", "remove", mini, "-y", code=2).error
    assert Environment.get(Workspace.from_config(), mini).version == "1"
    aml("env", "build", mini)
    assert "Freed" in aml("env", "remove", mini, "-y").out
    assert cache.all_built() == []


# What --env may be ----------------------------------------------------------------------------


def test_an_environment_may_be_named_in_many_ways(aml: Aml, mini: str, wheels: Path) -> None:
    def named(text: str) -> Environment:
        return environment_of(text, Workspace.from_config)

    aml("env", "create", "mini", "--conda", conda_file(wheels, "mini==2.0"))
    Environment.label(Workspace.from_config(), "mini", "1", "stable")
    assert named("mini").version == "2"
    assert named("mini:1").version == named("mini:stable").version == "1"
    assert named("env.yml").name == "project-env"
    Path("requirements.txt").write_text("six\n")
    assert named("./requirements.txt").name == "project-requirements"
    Path("Dockerfile").write_text("FROM scratch\nRUN true\n")
    assert named("Dockerfile").docker.dockerfile_text() == "FROM scratch\nRUN true\n"
    assert named("image:debian:12").docker.base_image == "debian:12"
    assert named("azureml-minimal-cpu").name == "AzureML-Minimal-CPU"
    for text in (sys.executable, sys.prefix, os.path.basename(sys.executable)):
        assert named(text).python.user_managed_dependencies
    assert named(sys.prefix).python.interpreter_path == f"{sys.prefix}/bin/python"


@pytest.mark.parametrize("text", ["nothing", "nothing.yml", "./nothing", "text", "image:", "m:9"])
def test_what_is_no_environment_is_refused_by_name(ws: Workspace, text: str) -> None:
    Path("text").write_text("no environment\n")
    Environment("m").register(ws)
    with pytest.raises(UserErrorException, match=re.escape(text.partition(":")[0])):
        environment_of(text, lambda: ws)


def test_what_the_making_of_an_environment_warns_of_is_a_note(ws: Workspace) -> None:
    Path("env.yml").write_text("dependencies:\n- pip:\n  - six\n")
    assert "names no version of Python" in environment_of("env.yml", lambda: ws).notes[0]


# Options of runs ------------------------------------------------------------------------------


def run_options(line: str) -> RunOptions:
    return RunOptions.of(options.RUN_CELL.parse(line).values, None)


def test_what_a_run_asks_for_is_read_as_people_write_it() -> None:
    assert run_options("").resources is None
    assert run_options("--gpus all").resources == Resources(ALL_GPUS)
    assert run_options("--gpus 0").resources == Resources(0)
    assert run_options("--gpu-mem 8G").resources == Resources(1, 8 << 30)
    asked = run_options("--gpus 2 --cpus 1.5 --mem 512M --priority -3")
    assert asked.resources == Resources(2, 0, 1.5, 512 << 20)
    assert asked.priority == -3


def test_what_only_a_container_can_do_goes_to_one() -> None:
    image = Environment.from_docker_image("i", "debian:12")
    assert run_options("").compute_target is None
    for line in ("--docker", "--keep", "--docker-arg --network=host"):
        assert run_options(line).compute_target == "docker"
    assert run_options("--docker -t local").compute_target == "local"
    assert RunOptions(environment=image).compute_target == "docker"
    assert run_options("--docker-arg --network=host --docker-arg='-e X=1'").docker_arguments == (
        "--network=host",
        "-e X=1",
    )
    assert run_options("--keep").settings == {"keep": True}


@pytest.mark.parametrize(
    "line", ["--gpus some", "--cpus 0", "--cpus nan", "--mem much", "--priority high"]
)
def test_what_cannot_be_asked_for_is_refused(line: str) -> None:
    with pytest.raises(UserErrorException, match="is not understood"):
        run_options(line)


def test_the_options_of_aml_run_are_those_of_the_magics(aml: Aml, mini: str) -> None:
    Path("train.py").write_text("import mini; print('mini', mini.VERSION)")
    answer = aml("run", "--env", mini, "--cpus", "1", "--mem", "64M", "--priority", "7", "--wait",
                 "train.py")  # fmt: skip
    assert answer.out == "mini 1.0\n"
    run_id = aml("runs", "--json").json["runs"][0]["id"]
    folder = Workspace.from_config().get_run(run_id).folder
    job = json.loads((folder / layout.REQUEST).read_text())["job"]
    assert job["resources"] == {"cpus": 1.0, "memory": 64 << 20}
    assert job["priority"] == 7


def test_a_run_is_repeated_with_the_very_packages_it_had(
    aml: Aml, ws: Workspace, wheels: Path
) -> None:
    Path("train.py").write_text("import mini; print('mini', mini.VERSION)")
    file = conda_file(wheels, "mini<2")
    assert aml("run", "--env", file, "--wait", "train.py").out == "mini 1.0\n"
    wheel(wheels, "mini", "1.5")
    assert aml("rerun", "--locked", "--wait").out == "mini 1.0\n"


@pytest.mark.service("docker")
def test_options_for_the_container_reach_it(
    aml: Aml,
    ws: Workspace,
    docker_engine: Engine,
    base_image: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DOCKER_HOST", docker_engine.host)
    Path("train.py").write_text(
        "import os, sys; print(os.path.exists('/.dockerenv'), os.uname().nodename, sys.argv[1:])"
    )
    answer = aml("run", "--env", f"image:{base_image}", "--docker-arg", "--hostname=trainer",
                 "--wait", "train.py", "--docker-arg", "x")  # fmt: skip
    assert answer.out == "True trainer ['--docker-arg', 'x']\n"
    aml("run", "--keep", "--env", f"image:{base_image}", "--id", "kept", "--wait", "train.py")
    with docker_engine.client() as client:
        kept = client.containers.list(all=True, filters={"label": "aml.run=kept"})
        for container in kept:
            container.remove(force=True)
    assert len(kept) == 1


@pytest.mark.service("docker")
def test_an_image_is_built_listed_and_removed(
    aml: Aml,
    ws: Workspace,
    docker_engine: Engine,
    base_image: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DOCKER_HOST", docker_engine.host)
    Path("Dockerfile").write_text(f"FROM {base_image}\nRUN ln -s python3 /usr/bin/python\n")
    aml("env", "create", "img", "--dockerfile", "Dockerfile")
    image = aml("env", "build", "img", "--json").json["image"]
    with docker_engine.client() as client:
        assert client.images.get(image)
        assert aml("env", "check", "img").out.startswith("✔ img ")
        assert len(aml("env", "prune", "--all", "-y", "--json").json["removed"]) == 1
        assert not client.images.list(image)


@pytest.mark.slow
@pytest.mark.service("docker")
def test_what_was_made_on_the_way_to_an_image_goes_with_it(
    aml: Aml,
    ws: Workspace,
    wheels: Path,
    docker_engine: Engine,
    base_image: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DOCKER_HOST", docker_engine.host)
    text = f"FROM {base_image}\nRUN echo {os.urandom(8).hex()} > /made\n"
    alone = Environment.from_dockerfile("alone", text)
    with_mini = alone.clone("with-mini")
    with_mini.python.user_managed_dependencies = False
    lines = ["--no-index", f"--find-links {wheels}", "mini"]
    with_mini.python.conda_dependencies = CondaDependencies.create(pip_packages=lines)
    for environment in (alone, with_mini):
        environment.register(ws)
    with docker_engine.client() as client:

        def count() -> int:
            made = client.images.list(all=True, filters={"label": "aml.environment"})
            return len(made)

        before = count()
        aml("env", "build", "with-mini", "--docker")
        assert count() == before + 2
        aml("env", "build", "alone")
        aml("env", "remove", "with-mini", "-y")
        assert count() == before + 1  # another environment has the Dockerfile's image
        aml("env", "build", "with-mini", "--docker")
        aml("env", "remove", "alone", "-y")
        aml("env", "remove", "with-mini", "-y")
        assert count() == before
        assert not client.images.list("aml-uv")


# Help -----------------------------------------------------------------------------------------


def test_every_command_explains_itself_with_an_example(aml: Aml) -> None:
    for name in options.ENVIRONMENTS.commands:
        if name != "use":
            text = aml("env", name, "--help").out
            assert f"aml env {name}" in text
            assert "--json" in text


def test_mistakes_are_json_where_json_was_asked_for(aml: Aml, ws: Workspace) -> None:
    answer = aml("env", "show", "nothing", "--json", code=2).json
    assert "nothing" in answer["error"]["message"]


# In a notebook --------------------------------------------------------------------------------


def test_the_notebook_uses_an_environment_until_told_otherwise(shell: Shell, wheels: Path) -> None:
    file = conda_file(wheels, "mini==1.0")
    assert "the Python of this notebook" in shell.run("%aml_env use")
    assert "Cells run in project-env from now on" in shell.run(f"%aml_env use {file}")
    cell = "%%aml_run --wait{}\nimport sys\ntry:\n    import mini\n    print(mini.VERSION)\n"
    cell += "except ImportError:\n    print('none')"
    shell.run("import os; os.makedirs('elsewhere', exist_ok=True)")
    assert "1.0" in shell.run(cell.format(""))
    assert "none" in shell.run(cell.format(f" --env {sys.executable}"))
    shell.run("%aml_env use --reset")
    assert "none" in shell.run(cell.format(""))
    assert "no environment 'nothing'" in shell.run("%aml_env use nothing")


def test_the_magic_does_what_the_command_does(shell: Shell, wheels: Path) -> None:
    file = conda_file(wheels, "mini==1.0")
    assert shell.run(f"%aml_env create m --conda {file}") == "m:1 is registered.\n"
    assert "never built" in repr(shell.value("%aml_env why m"))
    shell.run("%aml_env build m")
    assert re.search(r"^m:1 .*ready \(venv\)", repr(shell.value("%aml_env list")), re.M)
    assert "mini==1.0" in repr(shell.value("%aml_env show m"))
    assert "✔ whole" in repr(shell.value("%aml_env check"))
    assert "Add --yes" in shell.run("%aml_env prune --all")
    assert len(cache.all_built()) == 1
    assert "Freed" in shell.run("%aml_env prune --all --yes")
    assert cache.all_built() == []
    assert shell.run("%aml_env clone m n") == "n:1 is registered.\n"
    assert "Saved in" in shell.run("%aml_env save n there")


def test_an_environment_in_a_variable_is_registered(shell: Shell) -> None:
    shell.run("from aml_jupyter import Environment; mine = Environment('from-here')")
    assert shell.run("%aml_env register mine") == "from-here:1 is registered.\n"
    assert "no Environment of this notebook" in shell.run("%aml_env register yours")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("%aml_env bild m", "Did you mean build?"),
        ("%aml_env show", "needs NAME"),
        ("%aml_env show a b", "does not know what to do with 'b'"),
        ("%aml_env list --json", "has no option --json"),
        ("%aml_env use m --reset", "--reset"),
        ("%aml_env prune --older-than soon", "30m"),
        ("%aml_env prune --all --older-than 1d", "exclude each other"),
        ("%aml_target bild", "There are"),
        ("%aml_queue now", "'now'"),
        ("%%aml_run --gpus 1 --gpu-mem 8\nx = 1", "GPU"),
    ],
)
def test_a_mistake_in_a_magic_is_two_lines(shell: Shell, line: str, said: str) -> None:
    printed = shell.run(line)
    assert said in printed
    assert len(printed.strip().splitlines()) == 2, printed


def test_names_and_logs_are_escaped_where_they_are_shown(
    shell: Shell, ws: Workspace, wheels: Path
) -> None:
    evil = "<img src=x onerror=alert(1)>"
    made = environment_of(conda_file(wheels, "mini==7.0"), lambda: ws).clone(evil)
    made.environment_variables = {"X": "<script>alert(2)</script>"}
    made.register(ws)
    build = EnvironmentBuild(ws, made, docker=False)
    *_, last = build.looks()
    shown = [
        shell.value("%aml_env list")._repr_html_(),
        str(BuildView(build).bundle(last)["text/html"]),
    ]
    facts = env_facts.described(ws, made).lines()
    shell.ipython.user_ns["facts"] = facts
    shell.run("from aml_jupyter.notebook.environments import Facts; shown = Facts(facts)")
    shown.append(shell.ipython.user_ns["shown"]._repr_html_())
    for html in shown:
        assert "&lt;img" in html
        assert "<img" not in html
        assert "<script" not in html


def test_environments_and_actions_are_completed(shell: Shell) -> None:
    def offered(line: str) -> list[str]:
        symbol = line.rpartition(" ")[2]
        event = type("Event", (), {})()
        event.command, event.text_until_cursor, event.symbol = line.split()[0], line, symbol
        return [each for each in magics.complete(None, event) if each.startswith(symbol)]

    magics = shell.ipython._aml_magics
    assert offered("%aml_env cr") == ["create"]
    assert offered("%aml_env show AzureML-Minimal-C") == ["AzureML-Minimal-CPU"]
    assert offered("%aml_env prune --old") == ["--older-than"]
    assert offered("%%aml_run --env AzureML-Minimal-C") == ["AzureML-Minimal-CPU"]
    assert offered("%aml_run --gpu") == ["--gpu-mem", "--gpus"]
    assert offered("%aml_target sho") == ["show"]
    assert offered("%aml_target show lo") == ["local"]
    assert offered("%aml_target add x --type dock") == ["docker"]


def test_targets_and_the_queue_are_shown(shell: Shell) -> None:
    assert re.search(r"^local ", repr(shell.value("%aml_target")), re.M)
    shell.run("%%aml_run --as run\nimport time; time.sleep(60)")
    run = shell.ipython.user_ns["run"]
    until(lambda: run.get_status() == "Running")
    table = until(lambda: run.id in repr(found := shell.value("%aml_queue")) and found)
    assert "1 running, 0 waiting." in repr(table)
    assert run.id in table._repr_html_()
    run.cancel()
    finish(run)


def test_a_build_in_a_kernel_is_one_display_that_is_updated(
    ws: Workspace, wheels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = conda_file(wheels, "mini==1.0")
    manager = KernelManager(kernel_name="python3")
    manager.start_kernel(cwd=os.getcwd())
    client = manager.blocking_client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=60)
        messages: list[dict[str, Any]] = []
        client.execute_interactive(
            f"%load_ext aml_jupyter\n%aml_env build {file}",
            timeout=60,
            output_hook=messages.append,
        )
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
        manager.cleanup_resources()
    kinds = [message["msg_type"] for message in messages]
    assert kinds.count("display_data") == 1
    assert "stream" not in kinds
    assert "error" not in kinds
    last = [m for m in messages if m["msg_type"] in ("display_data", "update_display_data")][-1]
    assert "project-env is ready" in last["content"]["data"]["text/html"]
    assert "never built here before" in last["content"]["data"]["text/plain"]


def test_an_older_python_is_run_by_its_path(aml: Aml, ws: Workspace) -> None:
    found = next(filter(None, map(interpreter, ("3.8", "3.9", "3.10", "3.12", PYTHON))))
    Path("which.py").write_text("import sys; print(sys.version_info[1])")
    said = aml("run", "--env", found, "--wait", "which.py").out.strip()
    code = "import sys; print(sys.version_info[1])"
    assert said == subprocess.check_output([found, "-c", code], text=True).strip()
