"""Environments kept in a workspace: names, versions, labels, wheels, builds."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import sys
import textwrap
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from aml_jupyter import ContainerRegistry, DockerBuildContext, Environment, Workspace
from aml_jupyter.environments import BuildError
from aml_jupyter.errors import StorageFullError, UserErrorException
from aml_jupyter.spec import CondaDependencies
from aml_jupyter.workspace.images import ImageBuildDetails
from tests.support import project, ws

__all__ = ["project", "ws"]


def fails(error: type[Exception], *words: str) -> pytest.RaisesExc:
    """The error comes with all of the words, in its message or its hint."""
    return pytest.raises(error, check=lambda raised: all(word in str(raised) for word in words))


def with_packages(name: str, *packages: str) -> Environment:
    environment = Environment(name)
    environment.python.conda_dependencies = CondaDependencies.create(pip_packages=packages)
    return environment


def kept(ws: Workspace) -> Path:
    return ws.folder.root / "environments"


def everything_below(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


# --- versions


def test_versions_are_counted_and_the_same_content_keeps_its_own(ws: Workspace) -> None:
    first = with_packages("mine", "numpy").register(ws)
    again = with_packages("mine", "numpy").register(ws)
    second = with_packages("mine", "numpy", "scipy").register(ws)
    assert (first.version, again.version, second.version) == ("1", "1", "2")
    assert Environment.get(ws, "mine").version == "2"
    assert Environment.get(ws, "mine", version="1").to_json() == first.to_json()
    assert ws.environment_registry.versions("mine") == ["1", "2"]


def test_registering_leaves_the_environment_itself_as_it_is(ws: Workspace) -> None:
    environment = with_packages("mine", "numpy")
    registered = environment.register(ws)
    registered.environment_variables["A"] = "1"
    assert environment.version is None
    assert "A" not in environment.environment_variables
    assert "A" not in Environment.get(ws, "mine").environment_variables


def test_what_was_registered_last_is_the_latest_even_if_it_was_there_before(ws: Workspace) -> None:
    for package in ("numpy", "scipy", "numpy"):
        with_packages("mine", package).register(ws)
    conda = Environment.get(ws, "mine").python.conda_dependencies
    assert conda is not None
    assert list(conda.pip_packages) == ["numpy"]
    assert ws.environment_registry.versions("mine") == ["1", "2", "3"]


def test_more_than_nine_versions_are_in_order(ws: Workspace) -> None:
    for number in range(11):
        with_packages("mine", f"a=={number}").register(ws)
    assert Environment.get(ws, "mine").version == "11"


def test_names_are_found_in_any_case_and_keep_their_own(ws: Workspace) -> None:
    with_packages("My-Env", "numpy").register(ws)
    assert Environment.get(ws, "my-env").name == "My-Env"
    assert with_packages("MY-ENV", "scipy").register(ws).version == "2"


def test_everything_about_an_environment_comes_back(ws: Workspace, tmp_path: Path) -> None:
    (tmp_path / "context").mkdir()
    (tmp_path / "context" / "Dockerfile").write_text("FROM x\n")
    context = DockerBuildContext(location=tmp_path / "context")
    bare = with_packages("bare", "numpy; python_version < '4'")
    bare.python.conda_dependencies = None
    dockerfile = Environment.from_dockerfile("file", "FROM x\nRUN true\n")
    dockerfile.environment_variables = {"LANG": "C", "N": "1"}
    dockerfile.docker.arguments = ["--ipc=host"]
    built = Environment.from_docker_build_context("context", context)
    for environment in (bare, dockerfile, built):
        registered = environment.register(ws)
        found = Environment.get(ws, environment.name)
        assert found.to_json() == registered.to_json()
        assert environment.register(ws).version == "1"


def test_the_files_are_those_of_a_saved_environment(ws: Workspace) -> None:
    registered = with_packages("mine", "numpy").register(ws)
    folder = kept(ws) / "mine" / "1"
    assert sorted(os.listdir(folder)) == ["azureml_environment.json", "conda_dependencies.yml"]
    assert Environment.load_from_directory(folder).to_json() == registered.to_json()


def test_many_processes_register_at_once_and_none_is_lost(ws: Workspace, project: Path) -> None:
    code = textwrap.dedent("""
        import sys
        from aml_jupyter import CondaDependencies, Environment, Workspace
        ws = Workspace.from_config(sys.argv[1])
        for number in range(5):
            environment = Environment("mine")
            packages = [f"p{sys.argv[2]}=={number}"]
            made = CondaDependencies.create(pip_packages=packages)
            environment.python.conda_dependencies = made
            registered = environment.register(ws)
            found = Environment.get(ws, "mine", registered.version)
            assert list(found.python.conda_dependencies.pip_packages) == packages
    """)
    command = [sys.executable, "-c", code, str(project)]
    started = [subprocess.Popen([*command, str(number)]) for number in range(4)]
    assert [process.wait() for process in started] == [0] * 4
    assert ws.environment_registry.versions("mine") == [str(1 + n) for n in range(20)]


# --- finding


def test_unknown_names_versions_and_labels_say_what_there_is(ws: Workspace) -> None:
    with_packages("training", "numpy").register(ws)
    with fails(UserErrorException, "'trianing'", "Near it: training"):
        Environment.get(ws, "trianing")
    with fails(UserErrorException, "no version '7'", "It has 1"):
        Environment.get(ws, "training", version="7")
    with fails(UserErrorException, "no version '../1'"):
        Environment.get(ws, "training", version="../1")
    with fails(UserErrorException, "no label 'stable'", "latest"):
        Environment.get(ws, "training", label="stable")
    with fails(UserErrorException, "by version and by label"):
        Environment.get(ws, "training", version="1", label="stable")


def test_a_version_may_be_a_number(ws: Workspace) -> None:
    with_packages("mine", "numpy").register(ws)
    assert Environment.get(ws, "mine", version=1).version == "1"  # type: ignore[arg-type]


def test_labels_stand_for_one_version_until_they_are_moved(ws: Workspace) -> None:
    for package in ("numpy", "scipy"):
        with_packages("mine", package).register(ws)
    Environment.label(ws, "mine", "1", ["stable", "course"])
    assert Environment.get(ws, "mine", label="Stable").version == "1"
    Environment.label(ws, "mine", "2", "stable")
    assert Environment.get(ws, "mine", label="stable").version == "2"
    assert Environment.get(ws, "mine", label="course").version == "1"
    assert Environment.get(ws, "mine", label="latest").version == "2"
    assert ws.environment_registry.labels("mine") == {"stable": "2", "course": "1"}
    with fails(UserErrorException, "'latest'"):
        Environment.label(ws, "mine", "1", "latest")
    with fails(UserErrorException, "no version '9'"):
        Environment.label(ws, "mine", "9", "old")


def test_the_list_has_the_latest_of_each_and_the_curated_ones(ws: Workspace) -> None:
    for package in ("numpy", "scipy"):
        with_packages("mine", package).register(ws)
    found = Environment.list(ws)
    assert found["mine"].version == "2"
    assert any(name.startswith("AzureML-") for name in found)
    assert list(ws.environments) == list(found)


def test_curated_environments_are_found_by_v1s_names_and_cloned(ws: Workspace) -> None:
    curated = Environment.get(ws, "AzureML-sklearn-1.0-ubuntu20.04-py38-cpu")
    assert Environment.get(ws, "azureml-SKLEARN-cpu").python.conda_dependencies is not None
    registered = curated.clone("mine").register(ws)
    assert (registered.name, registered.version) == ("mine", "1")
    assert Environment.get(ws, "mine").to_json() == registered.to_json()
    with fails(UserErrorException, "curated", "clone"):
        Environment.label(ws, "AzureML-Minimal", "1", "mine")


@pytest.mark.parametrize("name", ["AzureML-mine", "azureml_x", "Microsoft-x", "MICROSOFT"])
def test_reserved_names_are_refused(ws: Workspace, name: str) -> None:
    with fails(UserErrorException, repr(name), "reserved", "clone"):
        Environment(name).register(ws)
    assert not kept(ws).exists()


@pytest.mark.parametrize(
    "name",
    [
        *("../../outside", "/etc/passwd", "..", ".", ".hidden", "a/b", "con\nnew", "x" * 5000),
        *("Ümläut", "名前", "a b", "-rf", "labels.json", "1", "\udcff", "a~b", "<b>x</b>"),
    ],
)
def test_any_name_is_kept_inside_the_workspace(ws: Workspace, project: Path, name: str) -> None:
    before = {path for path in project.parent.rglob("*") if kept(ws) not in path.parents}
    registered = with_packages(name, "numpy").register(ws)
    assert Environment.get(ws, name).name == registered.name == name
    assert name in Environment.list(ws)
    outside = {path for path in project.parent.rglob("*") if kept(ws) not in path.parents}
    assert {path.name for path in outside - before} <= {"environments", "environments.lock"}


def test_names_that_look_alike_stay_apart(ws: Workspace) -> None:
    for name in ("a b", "a-b", "a/b", "a_b"):
        with_packages(name, name.encode().hex()).register(ws)
    for name in ("a b", "a-b", "a/b", "a_b"):
        found = Environment.get(ws, name)
        assert (found.name, found.version) == (name, "1")


def test_a_name_that_says_nothing_is_refused(ws: Workspace) -> None:
    environment = Environment("x")
    environment.name = "  "
    with fails(UserErrorException, "'  '"):
        environment.register(ws)
    with fails(UserErrorException, "None"):
        Environment.get(ws, None)  # type: ignore[arg-type]


# --- secrets


@pytest.mark.parametrize(
    "line",
    [
        "--index-url https://me:hunter2@host/simple",
        "--extra-index-url=https://hunter2@host/simple",
        "a @ git+https://hunter2@host/r",
    ],
)
def test_a_password_in_an_address_is_refused_and_shown_nowhere(ws: Workspace, line: str) -> None:
    environment = with_packages("mine", "numpy")
    assert environment.python.conda_dependencies is not None
    environment.python.conda_dependencies.set_pip_requirements([line])
    with pytest.raises(UserErrorException) as raised:
        environment.register(ws)
    assert "hunter2" not in str(raised.value)
    assert "netrc" in raised.value.hint
    assert b"hunter2" not in everything_below(ws.folder.root)


def test_channels_dockerfiles_and_variables_are_looked_through_as_well(ws: Workspace) -> None:
    channel, dockerfile = with_packages("a", "numpy"), Environment("b")
    assert channel.python.conda_dependencies is not None
    channel.python.conda_dependencies.add_channel("https://host/t/hunter2/own")
    dockerfile.docker.base_dockerfile = "FROM x\nRUN pip install -i https://u:hunter2@h/s a\n"
    variable = Environment("c")
    variable.environment_variables = {"HTTPS_PROXY": "http://u:hunter2@proxy:3128"}
    for environment, where in (
        (channel, "channels"),
        (dockerfile, "Dockerfile"),
        (variable, "HTTPS_PROXY"),
    ):
        with fails(UserErrorException, where, "***"):
            environment.register(ws)
    assert b"hunter2" not in everything_below(ws.folder.root)


def test_a_variable_in_an_address_is_no_secret(ws: Workspace) -> None:
    environment = with_packages("mine", "numpy")
    assert environment.python.conda_dependencies is not None
    environment.python.conda_dependencies.set_pip_index_url("https://me:${TOKEN}@host/simple")
    assert environment.register(ws).version == "1"


def test_what_is_secret_by_name_is_not_kept_and_that_is_said(ws: Workspace) -> None:
    registry = ContainerRegistry()
    registry.address, registry.username, registry.password = "host", "me", "hunter2"
    environment = Environment.from_docker_image("mine", "image:1", registry)
    environment.environment_variables = {"API_KEY": "hunter2", "PLAIN": "1"}
    with pytest.warns(UserWarning, match="the registry's password and the variable API_KEY"):
        registered = environment.register(ws)
    assert registered.docker.base_image_registry.password == "hunter2"
    assert registered.environment_variables["API_KEY"] == "hunter2"
    found = Environment.get(ws, "mine")
    assert found.docker.base_image_registry.username == "me"
    assert found.docker.base_image_registry.password is None
    assert found.environment_variables == {"PLAIN": "1"}
    assert b"hunter2" not in everything_below(ws.folder.root)


def test_secrets_in_docker_arguments_and_conda_variables_are_not_kept(ws: Workspace) -> None:
    environment = with_packages("mine", "numpy")
    conda = environment.python.conda_dependencies
    assert conda is not None
    record = {**conda.as_dict(), "variables": {"DB_PASS": "hunter2", "MODE": "fast"}}
    environment.python.conda_dependencies = CondaDependencies.from_dict(record, "here")
    arguments = ["-e", "API_TOKEN=hunter2", "--env=DB_PASS=hunter2", "-eHF_TOKEN=hunter2"]
    environment.docker.arguments = [*arguments, "-e", "MODE=fast"]
    with pytest.warns(UserWarning, match="API_TOKEN in its docker arguments"):
        environment.register(ws)
    found = Environment.get(ws, "mine")
    names_alone = ["-e", "API_TOKEN", "--env=DB_PASS", "-eHF_TOKEN"]
    assert found.docker.arguments == [*names_alone, "-e", "MODE=fast"]
    assert found.python.conda_dependencies is not None
    assert found.python.conda_dependencies.as_dict()["variables"] == {"MODE": "fast"}
    assert b"hunter2" not in everything_below(ws.folder.root)
    environment.docker.arguments = ["-e", "PROXY=http://me:hunter2@proxy"]
    with fails(UserErrorException, "docker arguments", "***"):
        environment.register(ws)


# --- trouble


def test_what_a_killed_writer_left_is_no_version_and_goes(ws: Workspace) -> None:
    with_packages("mine", "numpy").register(ws)
    left = kept(ws) / "mine" / ".new-2"
    left.mkdir()
    (left / "azureml_environment.json").write_text("{")
    assert Environment.get(ws, "mine").version == "1"
    assert with_packages("mine", "scipy").register(ws).version == "2"
    assert not left.exists()


def test_a_damaged_environment_does_not_hide_the_others(ws: Workspace) -> None:
    for name in ("bad", "good"):
        with_packages(name, "numpy").register(ws)
    (kept(ws) / "bad" / "1" / "azureml_environment.json").write_text("{")
    with pytest.warns(UserWarning, match="bad"):
        found = Environment.list(ws)
    assert "good" in found
    with fails(UserErrorException, "cannot be read"):
        Environment.get(ws, "bad")


@pytest.fixture
def small_disk(ws: Workspace) -> Iterator[Path]:
    place = kept(ws)
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", place], check=True)
    yield place
    subprocess.run(["umount", place], check=True)


@pytest.mark.service("mount")
def test_a_full_disk_is_told_and_leaves_no_half_environment(
    ws: Workspace, small_disk: Path
) -> None:
    with_packages("mine", "numpy").register(ws)
    large = Environment.from_dockerfile("mine", "FROM x\n" + "RUN true\n" * 20_000)
    with fails(StorageFullError, "No room left"):
        large.register(ws)
    assert ws.environment_registry.versions("mine") == ["1"]
    assert with_packages("mine", "scipy").register(ws).version == "2"


# --- wheels and builds


def wheel(folder: Path, name: str, version: str) -> Path:
    """Write a wheel with one module that knows its version."""
    info = f"{name}-{version}.dist-info"
    content = {
        f"{name}.py": f"VERSION = {version!r}\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    rows = [f"{path},sha256={_digest(text)},{len(text)}\n" for path, text in content.items()]
    content[f"{info}/RECORD"] = "".join([*rows, f"{info}/RECORD,,\n"])
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for member, text in content.items():
            archive.writestr(member, text)
    return path


def _digest(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def says(interpreter: str, code: str) -> str:
    answer = subprocess.run([interpreter, "-c", code], capture_output=True, text=True, check=True)
    return answer.stdout.strip()


def offline(name: str, *packages: str) -> Environment:
    """An environment of these packages that asks no index."""
    environment = with_packages(name, *packages)
    assert environment.python.conda_dependencies is not None
    environment.python.conda_dependencies.set_pip_option("--no-index")
    environment.python.conda_dependencies.set_python_version(
        "{}.{}".format(*sys.version_info)  # the one that is certainly here
    )
    return environment


def test_a_wheel_of_ones_own_is_kept_and_installed(ws: Workspace, tmp_path: Path) -> None:
    given = wheel(tmp_path / "a folder", "greet", "1.0")
    line = Environment.add_private_pip_wheel(ws, given)
    given.unlink()
    details = offline("mine", line).build_local(ws, useDocker=False)
    assert isinstance(details, ImageBuildDetails)
    assert details.status == "Succeeded"
    assert says(details.interpreter, "import greet; print(greet.VERSION)") == "1.0"


def test_a_wheel_is_replaced_only_when_that_is_asked_for(ws: Workspace, tmp_path: Path) -> None:
    given = wheel(tmp_path / "one", "greet", "1.0")
    line = Environment.add_private_pip_wheel(ws, given)
    with fails(UserErrorException, given.name, "exist_ok=True"):
        Environment.add_private_pip_wheel(ws, given)
    given.write_bytes(b"other")
    assert Environment.add_private_pip_wheel(ws, given, exist_ok=True) == line
    assert (ws.folder.root / "wheels" / given.name).read_bytes() == b"other"
    with fails(UserErrorException, "no file"):
        Environment.add_private_pip_wheel(ws, tmp_path / "none-1-py3-none-any.whl")
    (tmp_path / "notes.txt").write_text("")
    with fails(UserErrorException, "is not a wheel"):
        Environment.add_private_pip_wheel(ws, tmp_path / "notes.txt")


def test_a_build_is_shown_as_it_goes_and_needed_once(
    ws: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    environment = offline("mine", str(wheel(tmp_path, "greet", "2.0")))
    first = environment.build_local(ws, useDocker=False)
    shown = capsys.readouterr().out
    assert "greet" in shown
    assert first.get_log() == shown
    again = environment.build_local(ws, useDocker=False)
    assert "is built already" in capsys.readouterr().out
    assert again.status == "Succeeded"


def test_a_build_that_fails_says_so_with_the_words_of_who_refused(
    ws: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    environment = offline("mine", "no-such-package-of-ours==1.0")
    registry = ws.environment_registry
    details = registry._begin(environment, container=False)
    with fails(BuildError, "no-such-package-of-ours"):
        details.wait_for_completion(show_output=False)
    assert details.status == "Failed"
    assert "no-such-package-of-ours" in details.get_log()
    assert capsys.readouterr().out == ""


def test_what_exists_already_needs_no_build(
    ws: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    environment = Environment("mine")
    environment.python.user_managed_dependencies = True
    environment.python.interpreter_path = sys.executable
    details = environment.build_local(ws, useDocker=False)
    assert details.status == "Succeeded"
    assert f"needs no build: it is {sys.executable}" in capsys.readouterr().out


# --- images


@pytest.fixture
def docker_target(
    ws: Workspace, docker_engine: object, base_image: str, monkeypatch: pytest.MonkeyPatch
) -> str:
    monkeypatch.setenv("DOCKER_HOST", docker_engine.host)  # type: ignore[attr-defined]
    target = {"type": "docker", "base_image": base_image, "build_network": "host"}
    (ws.folder.root / "targets.yaml").write_text(json.dumps({"docker": target}))
    return base_image


@pytest.mark.slow
@pytest.mark.service("docker")
def test_an_image_is_built_where_there_is_an_engine(
    ws: Workspace, docker_target: str, tmp_path: Path
) -> None:
    environment = offline("mine", str(wheel(tmp_path, "greet", "3.0")))
    before = environment.get_image_details(ws)
    assert not before.image_exists
    details = environment.build(ws)
    assert details.status in ("Queued", "Running", "Succeeded")
    assert details.wait_for_completion(show_output=False) is details
    after = environment.get_image_details(ws)
    assert after.image_exists
    assert after.name == details.image == before.name
    assert after.dockerfile == details.dockerfile == f"FROM {docker_target}\n"
    assert after.registry["password"] is None


@pytest.mark.service("docker")
def test_the_image_of_a_dockerfile_is_described_with_it(ws: Workspace, docker_target: str) -> None:
    environment = Environment.from_dockerfile("mine", f"FROM {docker_target}\nRUN true\n")
    details = environment.get_image_details(ws)
    assert details["ingredients"]["dockerfile"] == f"FROM {docker_target}\nRUN true\n"
    assert details["imageExistsInRegistry"] is False
