"""Environment beyond its fields: what is installed already, build contexts, requirements."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
import zipfile
from pathlib import Path

import pytest

from aml_jupyter import Environment, Workspace
from aml_jupyter.errors import RunConfigurationException, UserErrorException
from aml_jupyter.spec import CondaDependencies, DockerBuildContext
from aml_jupyter.spec.credentials import masked_credentials
from aml_jupyter.spec.installed import conda_packages
from tests.support import project, ws

__all__ = ["project", "ws"]


def fails(error: type[Exception], *words: str) -> pytest.RaisesExc:
    """The error comes with all of the words, in its message or its hint."""
    return pytest.raises(error, check=lambda raised: all(word in str(raised) for word in words))


# --- requirements


@pytest.mark.parametrize(
    ("written", "version"),
    [
        ("python=3.10", "3.10"),
        ("conda-forge::python=3.9", "3.9"),
        ("Python==3.11", "3.11"),
        ("python >=3.9", ">=3.9"),
        ("python", None),
        ("python-dateutil=2", None),
    ],
)
def test_the_python_asked_for_is_told_however_it_is_written(
    written: str, version: str | None
) -> None:
    conda = CondaDependencies.from_dict({"dependencies": [written]}, "here")
    assert conda.get_python_version() == version


def test_requirements_of_one_package_are_merged() -> None:
    assert CondaDependencies.merge_requirements(
        ["a>=1", "b[x]", "A<2", "a>=1", "b[y]==1; python_version<'3'", "b[y]", "c (>=1.0, <2)"]
    ) == ["a>=1,<2", "b[x,y]", "b[y]==1; python_version<'3'", "c>=1.0,<2"]


def test_links_and_options_are_not_merged() -> None:
    lines = ["git+https://host/a", "--pre", "./a.whl", "git+https://host/b"]
    assert CondaDependencies.merge_requirements(lines) == lines
    with fails(UserErrorException, "['a']"):
        CondaDependencies.merge_requirements("a")


def test_the_index_of_the_sdk_is_an_address() -> None:
    assert CondaDependencies.sdk_origin_url().startswith("https://")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("--index-url https://me:pw@host/simple", "--index-url https://***@host/simple"),
        ("git+https://tok3n@host/a", "git+https://***@host/a"),
        ("https://host/t/tk-1/channel", "https://host/t/***/channel"),
        ("postgres://me:pw@host/db", "postgres://***@host/db"),
    ],
)
def test_passwords_and_tokens_in_addresses_are_masked(text: str, shown: str) -> None:
    masked = masked_credentials(text)
    assert "pw" not in masked
    assert masked.replace("me:", "") == shown


@pytest.mark.parametrize(
    "text",
    [
        "git+ssh://git@host/repository",
        "ssh://me@host/repository",
        "https://me:${TOKEN}@host/simple",
        "https://${TOKEN}@host/simple",
        "numpy>=2 ; python_version>'3'",
        "a @ https://host/a-1.whl",
        "https://host/path/@scope",
    ],
)
def test_addresses_without_secrets_are_left_alone(text: str) -> None:
    assert masked_credentials(text) == text


# --- what the notebook runs on


def python_of(folder: Path) -> Path:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    return folder / "bin" / "python"


def installed(python: Path, name: str, version: str, origin: object = None) -> None:
    """Put a package into a virtual environment, as an installer leaves it."""
    [site] = python.parent.parent.glob("lib/python3*/site-packages")
    info = site / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    if origin is not None:
        (info / "direct_url.json").write_text(json.dumps(origin))


def kernel_environment(python: Path) -> tuple[dict[str, object], list[str]]:
    """What ``Environment.from_kernel`` says in that Python: its packages, and its warnings."""
    code = (
        "import sys, json, warnings\n"
        "warnings.simplefilter('always')\n"
        "sys.path.append(sys.argv[1])\n"
        "from aml_jupyter.spec import Environment\n"
        "with warnings.catch_warnings(record=True) as caught:\n"
        "    made = Environment.from_kernel('mine')\n"
        "told = [str(each.message) for each in caught]\n"
        "assert told == made.notes\n"
        "print(json.dumps([made.python.conda_dependencies.as_dict(), told]))\n"
    )
    room = str(Path(__file__).parents[1])
    said = subprocess.run(
        [python, "-c", code, room], capture_output=True, text=True, check=True, cwd="/"
    )
    packages, told = json.loads(said.stdout)
    return packages, told


def test_a_kernel_is_frozen_with_its_python_and_exact_versions(tmp_path: Path) -> None:
    python = python_of(tmp_path / "kernel")
    installed(python, "Some.Package", "1.2")
    installed(python, "with-cuda", "2.1.0+cu118")
    installed(python, "pip", "24.0")
    installed(python, "aml-jupyter", "0.1")
    packages, told = kernel_environment(python)
    version = "{}.{}.{}".format(*sys.version_info)
    assert packages["dependencies"] == [
        f"python={version}",
        {"pip": ["Some.Package==1.2", "with-cuda==2.1.0"]},
    ]
    assert told == []


def test_what_came_from_elsewhere_is_frozen_with_its_address_or_told(tmp_path: Path) -> None:
    python = python_of(tmp_path / "kernel")
    wheel = tmp_path / "there-1-py3-none-any.whl"
    zipfile.ZipFile(wheel, "w").close()
    vcs = {"vcs": "git", "commit_id": "abc", "requested_revision": "main"}
    installed(python, "from-git", "1", {"url": "https://host/r", "vcs_info": vcs})
    installed(python, "from-link", "1", {"url": "https://host/a.whl", "archive_info": {}})
    installed(python, "there", "1", {"url": wheel.as_uri(), "archive_info": {}})
    installed(python, "gone", "1", {"url": "file:///no/gone.whl", "archive_info": {}})
    installed(python, "mine", "1", {"url": "file:///w", "dir_info": {"editable": True}})
    installed(python, "odd", "1", ["not an origin"])
    packages, told = kernel_environment(python)
    assert packages["dependencies"][1:] == [  # type: ignore[index]
        {
            "pip": [
                "from-git @ git+https://host/r@abc",
                "from-link @ https://host/a.whl",
                "odd==1",
                f"there @ {wheel.as_uri()}",
            ]
        }
    ]
    assert len(told) == 1
    assert "gone, mine" in told[0]


def test_the_environment_of_this_very_process_is_its_own() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = Environment.from_kernel()
    conda = made.python.conda_dependencies
    assert conda is not None
    assert conda.get_python_version() == "{}.{}.{}".format(*sys.version_info)
    assert f"pytest=={pytest.__version__}" in list(conda.pip_packages)


# --- existing conda environments


def conda_environment(prefix: Path) -> Path:
    """A conda environment as conda leaves it: a record of each package, and what pip put in."""
    records = prefix / "conda-meta"
    records.mkdir(parents=True)
    forge = "https://conda.anaconda.org/conda-forge"
    defaults = "https://repo.anaconda.com/pkgs/main"
    own = "https://packages.test/t/tk-1/own"
    for name, version, channel, subdir in (
        ("python", "3.11.9", forge, "linux-64"),
        ("numpy", "1.26.4", forge, "linux-64"),
        ("zlib", "1.2.13", defaults, "linux-64"),
        ("greet", "1.0", own, "noarch"),
        ("__glibc", "2.36", forge, "linux-64"),
    ):
        record = {"name": name, "version": version, "build": "h1_0", "subdir": subdir}
        path = records / f"{name}-{version}-h1_0.json"
        path.write_text(json.dumps({**record, "channel": f"{channel}/{subdir}"}))
    (records / "broken.json").write_text("{")
    site = prefix / "lib" / "python3.11" / "site-packages"
    for name, installer in (("numpy", "conda"), ("words", "pip")):
        info = site / f"{name}-1.26.4.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.26.4\n")
        (info / "INSTALLER").write_text(installer)
    return prefix


def test_an_existing_conda_environment_is_taken_with_all_its_packages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    conda_environment(tmp_path / "root" / "envs" / "course")
    monkeypatch.setenv("MAMBA_ROOT_PREFIX", str(tmp_path / "root"))
    made = Environment.from_existing_conda_environment("mine", "course")
    assert made is not None
    conda = made.python.conda_dependencies
    assert conda is not None
    assert conda.as_dict() == {
        "name": "project_environment",
        "dependencies": [
            "python=3.11.9",
            {"pip": ["words==1.26.4"]},
            *("greet=1.0", "numpy=1.26.4", "zlib=1.2.13"),
        ],
        "channels": ["conda-forge", "https://packages.test/own", "defaults"],
    }


def test_a_conda_environment_is_found_by_path_or_in_condas_own_list(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefix = conda_environment(tmp_path / "somewhere" / "course")
    assert Environment.from_existing_conda_environment("mine", str(prefix)) is not None
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Environment.from_existing_conda_environment("mine", "course") is None
    (tmp_path / ".conda").mkdir()
    (tmp_path / ".conda" / "environments.txt").write_text(f"{prefix}\n")
    assert Environment.from_existing_conda_environment("mine", "course") is not None


def test_an_unknown_conda_environment_is_none() -> None:
    assert Environment.from_existing_conda_environment("mine", "no such thing") is None


def test_a_conda_environment_without_python_asks_for_none(tmp_path: Path) -> None:
    (tmp_path / "conda-meta").mkdir()
    (tmp_path / "conda-meta" / "zlib-1-0.json").write_text('{"name": "zlib", "version": "1"}')
    assert list(conda_packages(tmp_path).conda_packages) == ["zlib=1"]


# --- build contexts


@pytest.fixture
def context(tmp_path: Path) -> Path:
    folder = tmp_path / "context"
    (folder / "docker").mkdir(parents=True)
    (folder / "Dockerfile").write_text("FROM scratch\n")
    (folder / "docker" / "gpu.Dockerfile").write_text("FROM other\n")
    return folder


def test_an_environment_of_a_build_context_is_user_managed(context: Path) -> None:
    made = Environment.from_docker_build_context("x", DockerBuildContext(location=context))
    assert made.python.user_managed_dependencies
    assert made.docker.base_image is None
    assert made.docker.build_context is not None
    assert made.docker.build_context.folder() == str(context)
    assert made.needs_image()


def test_a_build_context_is_written_and_read_with_the_environment(
    context: Path, tmp_path: Path
) -> None:
    given = DockerBuildContext(
        DockerBuildContext.LocationType.StorageAccount, context, "docker/gpu.Dockerfile"
    )
    made = Environment.from_docker_build_context("x", given)
    made.save_to_directory(tmp_path / "saved")
    again = Environment.load_from_directory(tmp_path / "saved").docker.build_context
    assert again is not None
    assert again.to_json() == {
        "locationType": "StorageAccount",
        "location": str(context),
        "dockerfilePath": "docker/gpu.Dockerfile",
    }


def test_what_is_no_build_context_is_refused(context: Path) -> None:
    with fails(RunConfigurationException, "nowhere"):
        DockerBuildContext(location="nowhere").folder()
    with fails(RunConfigurationException, "has no other.Dockerfile"):
        DockerBuildContext(location=context, dockerfile_path="other.Dockerfile").folder()
    with fails(RunConfigurationException, "https://host/r.git", "Clone"):
        DockerBuildContext("git", "https://host/r.git").folder()
    with fails(RunConfigurationException, "'disk'", "StorageAccount, Git"):
        DockerBuildContext("disk", context)
    with fails(UserErrorException, "3 (int)"):
        Environment("x").docker.build_context = 3  # type: ignore[assignment]


def test_a_local_directory_is_kept_as_it_was(ws: Workspace, context: Path) -> None:
    first = DockerBuildContext.from_local_directory(ws, context)
    again = DockerBuildContext.from_local_directory(ws, context)
    (context / "Dockerfile").write_text("FROM later\n")
    later = DockerBuildContext.from_local_directory(ws, context)
    assert first.location == again.location != later.location
    assert first.location_type == "StorageAccount"
    assert Path(first.folder(), "Dockerfile").read_text() == "FROM scratch\n"
    assert Path(first.folder(), "docker", "gpu.Dockerfile").exists()


def test_a_project_may_be_its_own_build_context(ws: Workspace, project: Path) -> None:
    (project / "Dockerfile").write_text("FROM scratch\n")
    kept = Path(DockerBuildContext.from_local_directory(ws, ".").folder())
    assert [path.name for path in kept.iterdir()] == ["Dockerfile"]


# --- the rest


def test_only_images_and_dockerfiles_need_a_container() -> None:
    plain, image, dockerfile, enabled = (Environment(name) for name in "abcd")
    image.docker.base_image = "python:3.12"
    dockerfile.docker.base_dockerfile = "FROM x\n"
    enabled.docker.enabled = True
    none = Environment("e")
    none.docker.base_image = None
    asked = [each.needs_image() for each in (plain, image, dockerfile, enabled, none)]
    assert asked == [False, True, True, True, False]


def test_an_environment_without_packages_stays_so_when_saved(tmp_path: Path) -> None:
    environment = Environment("x")
    environment.python.conda_dependencies = None
    environment.save_to_directory(tmp_path / "saved")
    assert Environment.load_from_directory(tmp_path / "saved").python.conda_dependencies is None


def test_notes_go_with_a_copy_and_are_no_part_of_what_is_asked_for() -> None:
    environment = Environment("x")
    environment.notes.append("1.4 became 2.0")
    assert environment.clone("y").notes == ["1.4 became 2.0"]
    assert "became" not in repr(environment)


def test_what_is_no_workspace_is_named() -> None:
    for call in (
        lambda: Environment("x").register("ws"),  # type: ignore[arg-type]
        lambda: Environment.get(None, "x"),  # type: ignore[arg-type]
        lambda: Environment.list(3),  # type: ignore[arg-type]
    ):
        with fails(UserErrorException, "A workspace cannot be", "Workspace.from_config()"):
            call()
