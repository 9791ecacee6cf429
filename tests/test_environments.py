"""An environment names an interpreter, or is refused with what to do about it."""

from __future__ import annotations

import json
import os
import stat
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from aml_jupyter.environments import Recipe, interpreter, resolve
from aml_jupyter.environments.resolution import GPU_IMAGE, ResolvedEnvironment
from aml_jupyter.environments.wishes import Wishes
from aml_jupyter.errors import RunConfigurationException
from aml_jupyter.spec import (
    DEFAULT_CPU_IMAGE,
    DEFAULT_GPU_IMAGE,
    CondaDependencies,
    Environment,
    RunConfiguration,
)

MINOR = "{}.{}".format(*sys.version_info)


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


def test_variables_of_a_conda_file_are_set_unless_the_environment_says_otherwise(
    tmp_path: Path,
) -> None:
    file = tmp_path / "env.yml"
    lines = ["dependencies: [python=3.11]", "variables: {OMP_NUM_THREADS: 4, MODE: fast}", ""]
    file.write_text("\n".join(lines))
    environment = Environment.from_conda_specification("x", file)
    environment.environment_variables = {"MODE": "exact"}
    wanted = {"OMP_NUM_THREADS": "4", "MODE": "exact"}
    assert resolve(environment).environment_variables == wanted
    assert resolve(environment, container=True).environment_variables == wanted
    environment.python.user_managed_dependencies = True
    assert resolve(environment).environment_variables == {"MODE": "exact"}
    file.write_text("dependencies: [python=3.11]\nvariables: [MODE]\n")
    with fails("`variables:`"):
        resolve(Environment.from_conda_specification("x", file))


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


def test_images_are_refused_on_a_bare_process_with_the_remedy() -> None:
    built = Environment.from_dockerfile("x", "FROM y\n")
    with fails("a Dockerfile", "use_docker=True", "base_dockerfile = None"):
        resolve(built)
    with fails("image pytorch:2", "target 'docker'", "base_image = None"):
        resolve(Environment.from_docker_image("x", "pytorch:2"))


def test_an_environment_without_an_image_still_runs() -> None:
    environment = user_managed()
    environment.docker.base_image = None
    assert resolve(environment).interpreter == sys.executable


# Packages -----------------------------------------------------------------------------------


def with_packages(*pip: str, conda: Sequence[str] = (), python: str = MINOR) -> Environment:
    environment = Environment("mine")
    environment.python.conda_dependencies = CondaDependencies.create(
        pip_packages=list(pip), conda_packages=list(conda), python_version=python
    )
    return environment


def recipe_of(environment: Environment, **how: Any) -> Recipe:
    recipe = resolve(environment, **how).recipe
    assert recipe is not None
    return recipe


def test_what_asks_for_nothing_runs_with_the_submitters_interpreter() -> None:
    assert resolve(Environment("fresh")).kind == "submitter"
    without = Environment("fresh")
    without.python.conda_dependencies = None
    assert resolve(without).kind == "submitter"


def test_pip_packages_are_a_virtual_environment() -> None:
    resolved = resolve(with_packages("b", "a==1", conda=["pip"]))
    assert resolved.kind == "venv"
    assert resolved.recipe is not None
    assert (resolved.recipe.kind, resolved.recipe.pip) == ("venv", ("a==1", "b", "pip"))
    assert (resolved.recipe.python, resolved.recipe.channels) == (MINOR, ())
    folder = Path(os.environ["AML_HOME"]) / "environments" / resolved.recipe.key
    assert resolved.interpreter == str(folder / "env" / "bin" / "python")
    assert resolved.facts["python"] == "{}.{}.{}".format(*sys.version_info)
    json.dumps([dict(resolved.facts), resolved.recipe.to_json()])


def test_other_conda_packages_need_conda() -> None:
    recipe = recipe_of(with_packages("a", conda=["numpy=1.2", "conda-forge::gcc", "azureml-sdk"]))
    assert recipe.kind == "conda"
    assert recipe.conda == ("conda-forge::gcc", "numpy=1.2")
    assert recipe.channels == ("anaconda", "conda-forge")
    assert recipe.python == MINOR


def test_only_what_matters_makes_another_environment() -> None:
    one = with_packages("b", "a==1")
    same = with_packages("a==1", "b ", "b", "azureml-defaults")
    same.name = "other"
    same.environment_variables["A"] = "1"
    assert recipe_of(one).key == recipe_of(same).key
    assert recipe_of(one).key != recipe_of(with_packages("a==2", "b")).key
    assert recipe_of(one).key != recipe_of(with_packages("a==1", "b", python="3.9")).key


def test_packages_of_v1s_sdk_are_satisfied_by_ours() -> None:
    environment = with_packages("azureml-sdk[notebooks]", "AzureML_Core==1.0", "azure-storage-blob")
    resolved = resolve(environment)
    assert resolved.recipe is not None
    assert resolved.recipe.pip == ("azure-storage-blob",)
    assert resolved.facts["satisfied"] == ["AzureML_Core==1.0", "azureml-sdk[notebooks]~=1.61.0"]
    assert "aml_jupyter stands for these" in str(resolved.facts["notes"])


def test_what_packages_of_v1_promise_by_their_names_is_installed() -> None:
    lines = ("azureml-dataset-runtime[pandas,fuse]~=1.61", "azureml-mlflow", "azureml-core")
    assert recipe_of(with_packages(*lines)).pip == ("mlflow-skinny", "pandas", "pyarrow")


@pytest.mark.parametrize(
    ("written", "line"), [("pip", "pip"), ("pip==21.3.1", "pip==21.3.1"), ("pip=21", "pip==21.*")]
)
def test_a_version_of_pip_is_kept(written: str, line: str) -> None:
    assert recipe_of(with_packages("a", conda=[written])).pip == ("a", line)


@pytest.mark.parametrize(
    ("written", "version"),
    [
        ("python=3.10.*", "3.10"),
        ("python==3.11.7", "3.11.7"),
        ("python=3.11=h12_0_cpython", "3.11"),
        ("conda-forge::python=3.9", "3.9"),
        ("python>=3.9, <3.12", ">=3.9,<3.12"),
        ("python=>=3.9", ">=3.9"),
        ("python ~=3.10", "~=3.10"),
        ("python", None),
        ("python 3.8", "3.8"),
    ],
)
def test_the_python_of_a_specification_is_understood(written: str, version: str | None) -> None:
    conda = CondaDependencies.from_dict({"dependencies": [written, {"pip": ["a"]}]}, "test")
    assert Wishes.of(conda).python == version


def test_packages_without_a_python_take_the_submitters() -> None:
    environment = Environment("x")
    environment.python.conda_dependencies = CondaDependencies.from_dict(
        {"dependencies": [{"pip": ["a"]}]}, "test"
    )
    assert recipe_of(environment).python == MINOR


def test_a_second_look_at_packages_starts_no_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bin").mkdir()
    counting_python(tmp_path / "bin").rename(tmp_path / "bin" / "python3.19")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    first = resolve(with_packages("a"))
    assert resolve(with_packages("a")) == first
    assert starts(tmp_path / "bin") == 1


# Which Python -------------------------------------------------------------------------------


def python_that_says(folder: Path, version: str) -> Path:
    name = "python" + ".".join(version.split(".")[:2])
    return program(folder / name, f"#!/bin/sh\necho Python {version}\n")


@pytest.fixture
def pythons(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A machine with 3.9, 3.10 and 3.13 besides the submitter's own; path → version."""
    folder = tmp_path / "pythons"
    found = [python_that_says(folder, version) for version in ("3.9.18", "3.10.13", "3.13.0")]
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "none"))
    monkeypatch.setenv("UV_PYTHON_INSTALL_DIR", str(tmp_path / "none"))
    return dict(zip(map(str, found), ("3.9.18", "3.10.13", "3.13.0"), strict=True))


OWN = "{}.{}.{}".format(*sys.version_info)
NEWER = sorted({"3.13.0", OWN} - {"3.9.18"}, key=lambda text: [int(n) for n in text.split(".")])


@pytest.mark.usefixtures("pythons")
@pytest.mark.parametrize(
    ("asked", "versions"),
    [
        ("3.9.18", ["3.9.18", "fetch 3.9", "3.10.13", *NEWER]),
        ("3.9.1", ["3.9.18", "fetch 3.9", "3.10.13", *NEWER]),
        ("3.10.18", ["3.10.13", *NEWER, "fetch >=3.10"]),
        ("3.8.13", ["3.9.18", "3.10.13", *NEWER, "fetch >=3.8"]),
        ("3.6.2", ["3.9.18", "3.10.13", *NEWER, "fetch >=3.8"]),
        ("2.7", ["3.9.18", "3.10.13", *NEWER, "fetch >=3.8"]),
        ("3.19", ["fetch 3.19"]),
        (">=3.9,<3.11", ["3.10.13", "3.9.18", "fetch >=3.9,<3.11"]),
        ("~=3.10.2", ["3.10.13", "fetch ~=3.10.2"]),
        ("!=3.10,<3.11", ["3.9.18", "fetch !=3.10,<3.11"]),
    ],
)
@pytest.mark.skipif(sys.version_info[:2] not in ((3, 11), (3, 12)), reason="made for these two")
def test_the_nearest_python_is_taken(asked: str, versions: list[str]) -> None:
    found = [
        f"fetch {choice.request}" if choice.is_fetched else choice.version
        for choice in interpreter.choices(asked)
    ]
    assert found == versions


@pytest.mark.parametrize(
    ("asked", "got", "said"),
    [
        ("3.8.13", "3.8.18", False),
        ("3.8.13", "3.11.7", True),
        ("3.9", "3.9.1", False),
        (">=3.9,<3.12", "3.11.7", False),
        (None, "3.11.7", False),
    ],
)
def test_another_python_than_asked_for_is_said(asked: str | None, got: str, said: bool) -> None:
    note = interpreter.difference(asked, got)
    assert bool(note) == said
    assert not said or (str(asked) in note and got in note)


# Local files and credentials ----------------------------------------------------------------


def test_local_files_are_named_by_their_whole_path_and_known_by_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    wheel = tmp_path / "w" / "x-1-py3-none-any.whl"
    wheel.parent.mkdir()
    wheel.write_bytes(b"one")
    lines = ("w/x-1-py3-none-any.whl", "--find-links ./w", "y @ file:w/x-1-py3-none-any.whl")
    recipe = recipe_of(with_packages(*lines))
    assert recipe.pip == (f"--find-links {tmp_path}/w", str(wheel), f"y @ file://{wheel}")
    os.utime(wheel, (1, 1))
    os.utime(wheel.parent, (1, 1))
    only_wheel = recipe_of(with_packages("./w/x-1-py3-none-any.whl[extra] ; python_version>'3'"))
    assert only_wheel.pip == (f"{wheel}[extra] ; python_version>'3'",)
    os.utime(wheel, (2, 2))
    assert recipe_of(with_packages(*only_wheel.pip)).key == only_wheel.key
    wheel.write_bytes(b"two")
    assert recipe_of(with_packages(*only_wheel.pip)).key != only_wheel.key


def test_what_is_not_there_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with fails("./gone.whl", str(tmp_path)):
        resolve(with_packages("./gone.whl"))


def test_requirements_that_are_included_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "requirements.txt").write_text("a==1  # why\nazureml-core\n")
    assert recipe_of(with_packages("-r requirements.txt")).pip == ("a==1",)


def test_what_a_conda_file_names_is_looked_for_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project, wheels = tmp_path / "project", tmp_path / "project" / "wheels"
    wheels.mkdir(parents=True)
    (wheels / "x-1-py3-none-any.whl").write_bytes(b"one")
    (project / "setup.py").write_text("")
    (project / "numpy").mkdir()
    (project / "more.txt").write_text("b==2\n-c limits.txt\n")
    (project / "limits.txt").write_text("b<3\n")
    lines = ["-r more.txt", "-f wheels", "./wheels/x-1-py3-none-any.whl[extra]", "numpy", "-e ."]
    lines += ["y @ file:wheels/x-1-py3-none-any.whl", "--index-url https://host/wheels"]
    text = "dependencies:\n- python=3.11\n- pip:\n"
    (project / "env.yml").write_text(text + "".join(f"  - '{line}'\n" for line in lines))
    monkeypatch.chdir(project)
    environment = Environment.from_conda_specification("x", "env.yml")
    monkeypatch.chdir(tmp_path)
    assert set(recipe_of(environment).pip) == {
        "b==2",
        f"-c {project}/limits.txt",
        f"-f {wheels}",
        f"{wheels}/x-1-py3-none-any.whl[extra]",
        "numpy",
        f"-e {project}",
        f"y @ file://{wheels}/x-1-py3-none-any.whl",
        "--index-url https://host/wheels",
    }


def test_a_link_to_a_folder_is_for_bare_processes_only(tmp_path: Path) -> None:
    (tmp_path / "setup.py").write_text("")
    environment = with_packages(f"-e {tmp_path}")
    assert recipe_of(environment).pip == (f"-e {tmp_path}",)
    with fails("not in the container", "without -e"):
        resolve(environment, container=True)


def test_passwords_are_kept_apart() -> None:
    environment = with_packages(
        "--index-url https://me:p%40ss@host.example:8443/simple",
        "git+https://t0ken@git.example/x.git@main",
        "--extra-index-url=https://${USER}:${PASS}@other.example/simple",
        conda=["gcc"],
    )
    assert environment.python.conda_dependencies is not None
    environment.python.conda_dependencies.add_channel("https://conda.example/t/tk-1/team")
    resolved = resolve(environment)
    assert resolved.recipe is not None
    assert resolved.recipe.pip == (
        "--index-url https://host.example:8443/simple",
        "--extra-index-url=https://${USER}:${PASS}@other.example/simple",
        "git+https://git.example/x.git@main",
    )
    assert resolved.recipe.channels[-1] == "https://conda.example/team"
    assert resolved.secrets == {
        "netrc": 'machine host.example login "me" password "p@ss"\n'
        'machine git.example login "t0ken" password ""\n',
        "channels": {"https://conda.example/team": "https://conda.example/t/tk-1/team"},
    }
    told = f"{resolved} {resolved.recipe.to_json()} {dict(resolved.facts)}"
    assert not any(secret in told for secret in ("p@ss", "p%40ss", "t0ken", "tk-1"))


def test_the_python_that_v1_puts_in_today_is_the_submitters(tmp_path: Path) -> None:
    file = tmp_path / "requirements.txt"
    file.write_text("six\n")
    assert recipe_of(Environment.from_pip_requirements("x", file)).python == MINOR
    assert recipe_of(with_packages("six", python="3.8.13")).python == "3.8.13"


def test_a_python_that_is_no_version_is_refused() -> None:
    with fails("Python 'abc'", "python=3.11"):
        resolve(with_packages("six", python="abc"))


def test_two_logins_for_one_host_are_refused() -> None:
    lines = ("--index-url https://a:b@h.example/x", "--extra-index-url https://c:d@h.example/y")
    with fails("several logins for h.example"):
        resolve(with_packages(*lines))


# In a container -----------------------------------------------------------------------------


def test_in_a_container_v1s_image_is_a_plain_python() -> None:
    resolved = resolve(container=True)
    assert (resolved.kind, resolved.interpreter) == ("image", "python")
    assert resolved.image == f"python:{MINOR}-slim"
    assert resolved.recipe is not None
    assert resolved.recipe.base == resolved.image
    assert DEFAULT_CPU_IMAGE in str(resolved.facts["notes"])


def test_the_targets_image_stands_for_v1s() -> None:
    resolved = resolve(
        with_packages("a", python="3.9"), container=True, options={"base_image": "ours:1"}
    )
    assert resolved.recipe is not None
    assert (resolved.recipe.base, resolved.recipe.python) == ("ours:1", "3.9")
    assert resolved.image == f"aml-env:{resolved.recipe.key}"
    assert resolved.interpreter == "/opt/aml/env/bin/python"
    assert "ours:1" in str(resolved.facts["notes"])


@pytest.mark.parametrize(
    ("image", "python", "base", "wanted"),
    [
        (DEFAULT_CPU_IMAGE, "3.10.18", f"python:{MINOR}-slim", None),
        (DEFAULT_CPU_IMAGE, "3.9", "python:3.9-slim", None),
        (DEFAULT_CPU_IMAGE, "3.6", f"python:{MINOR}-slim", None),
        (DEFAULT_CPU_IMAGE, ">=3.9,<3.10", "python:3.9-slim", None),
        (DEFAULT_GPU_IMAGE, "3.9", GPU_IMAGE, "3.9"),
        (DEFAULT_GPU_IMAGE, "3.8.13", GPU_IMAGE, MINOR),
        (None, "3.12", "python:3.12-slim", None),
        ("own/image:2", "3.12", "own/image:2", "3.12"),
        ("own/image:2", "3.10.18", "own/image:2", None),
    ],
)
def test_the_image_and_its_python_follow_what_was_asked(
    image: str | None, python: str, base: str, wanted: str | None
) -> None:
    environment = with_packages("a", python=python)
    environment.docker.base_image = image
    recipe = recipe_of(environment, container=True)
    assert (recipe.kind, recipe.base, recipe.python) == ("image", base, wanted)


@pytest.mark.parametrize("user_managed", [True, False])
def test_the_gpu_image_is_given_the_submitters_python(user_managed: bool) -> None:
    environment = Environment("x")
    environment.docker.base_image = DEFAULT_GPU_IMAGE
    environment.python.user_managed_dependencies = user_managed
    resolved = resolve(environment, container=True)
    assert resolved.recipe is not None
    assert (resolved.recipe.base, resolved.recipe.python) == (GPU_IMAGE, MINOR)
    assert resolved.interpreter == "/opt/aml/env/bin/python"
    assert resolved.image == f"aml-env:{resolved.recipe.key}"
    own = resolve(environment, container=True, options={"base_image": "ours:1"})
    assert (own.image, own.interpreter) == ("ours:1", "python")


def test_an_image_with_its_own_python_is_taken_as_it_is() -> None:
    environment = Environment.from_docker_image("x", "own/image:2")
    resolved = resolve(environment, container=True)
    assert (resolved.image, resolved.interpreter) == ("own/image:2", "python")
    environment.python.interpreter_path = "/opt/conda/bin/python"
    assert resolve(environment, container=True).interpreter == "/opt/conda/bin/python"
    assert "notes" not in resolved.facts


def test_a_registrys_login_is_a_secret_and_its_address_is_not() -> None:
    environment = Environment.from_docker_image("x", "team/image:2")
    registry = environment.docker.base_image_registry
    registry.address, registry.username, registry.password = "reg.example", "me", "pw-1"
    resolved = resolve(environment, container=True)
    assert resolved.image == "reg.example/team/image:2"
    login = {"address": "reg.example", "username": "me", "password": "pw-1"}
    assert resolved.secrets == {"registry": login}
    assert "pw-1" not in f"{resolved} {dict(resolved.facts)}"


def test_a_dockerfile_is_built_as_given() -> None:
    resolved = resolve(Environment.from_dockerfile("x", "FROM y\nRUN z\n"), container=True)
    assert resolved.recipe is not None
    assert (resolved.recipe.dockerfile, resolved.recipe.base) == ("FROM y\nRUN z\n", None)
    assert resolved.image == f"aml-env:{resolved.recipe.key}"
    assert resolved.interpreter == "python"


def test_build_arguments_that_a_dockerfile_asks_for_make_another_image() -> None:
    text = "ARG VERSION=1\nFROM y:$VERSION\nARG API_TOKEN PLACE=here\nRUN z\n"
    environment = Environment.from_dockerfile("x", text)

    def resolved(**arguments: str) -> ResolvedEnvironment:
        return resolve(environment, container=True, options={"build_args": arguments})

    recipe = resolved(VERSION="2", PLACE="there", OTHER="x").recipe
    assert recipe is not None
    assert recipe.build_args == (("PLACE", "there"), ("VERSION", "2"))
    assert resolved(VERSION="3").image != resolved(VERSION="2").image
    assert resolved(OTHER="x").image == resolved().image
    assert "build_secrets" in str(resolved(API_TOKEN="x").notes)
    assert not resolved(VERSION="3").notes
    plain = resolve(container=True, options={"build_args": {"VERSION": "3"}})
    assert plain.recipe is not None
    assert plain.recipe.build_args == ()


def test_a_build_context_is_known_by_its_content(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM y\n")
    (tmp_path / "data").write_text("one")
    environment = Environment("x")
    environment.docker.build_context = str(tmp_path)
    first = resolve(environment, container=True)
    assert first.recipe is not None
    assert first.recipe.dockerfile == "FROM y\n"
    assert first.options == {"context_folder": str(tmp_path)}
    os.utime(tmp_path / "data", (1, 1))
    assert recipe_of(environment, container=True) == first.recipe
    (tmp_path / "data").write_text("two")
    assert recipe_of(environment, container=True).key != first.recipe.key


def test_the_present_interpreter_stands_for_environments_where_that_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AML_ENVIRONMENTS", "present")
    asked = Environment("asked")
    asked.python.conda_dependencies = CondaDependencies.create(
        conda_packages=["scikit-learn==0.22.1"], pip_packages=["pillow==6.2.1"]
    )
    asked.docker.base_image = "pytorch/pytorch:2.1.0"
    asked.environment_variables = {"MODE": "exact"}
    resolved = resolve(asked)
    assert (resolved.interpreter, resolved.recipe) == (sys.executable, None)
    assert resolved.environment_variables == {"MODE": "exact"}
    (note,) = resolved.notes
    for word in ("scikit-learn==0.22.1", "pillow==6.2.1", "pytorch/pytorch:2.1.0"):
        assert word in note
    assert resolve(Environment("plain")).notes == []
    assert resolve(user_managed(sys.executable)).kind == "user-managed"
    assert resolve(asked, container=True).recipe is not None
    monkeypatch.setenv("AML_ENVIRONMENTS", "presnt")
    with fails("AML_ENVIRONMENTS", "presnt", "present"):
        resolve(asked)
