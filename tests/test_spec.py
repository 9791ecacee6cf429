"""v1's configuration classes: what they say, what they write, and what they refuse."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from aml_jupyter import spec
from aml_jupyter.errors import (
    ExperimentExecutionException,
    RunConfigurationException,
    ServiceException,
    UserErrorException,
)
from aml_jupyter.spec import (
    DEFAULT_CPU_IMAGE,
    ApplicationEndpointConfiguration,
    CondaDependencies,
    ContainerRegistry,
    DataReferenceConfiguration,
    DockerConfiguration,
    Environment,
    JobSpec,
    MpiConfiguration,
    PyTorchConfiguration,
    RunConfiguration,
    RunRequest,
    ScriptRunConfig,
    Source,
    TensorflowConfiguration,
    argument_strings,
    process_variables,
)
from aml_jupyter.spec.words import shown_bytes, shown_size


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "train.py").write_text("print('hello')\n")
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "evaluate.py").write_text("")
    return tmp_path


def fails(error: type[Exception], *words: str) -> pytest.RaisesExc:
    """The error comes with all of the words, in its message or its hint."""
    return pytest.raises(error, check=lambda raised: all(word in str(raised) for word in words))


# --- CondaDependencies


def test_fresh_conda_dependencies_are_v1s_template() -> None:
    assert CondaDependencies().as_dict() == {
        "name": "project_environment",
        "dependencies": ["python=3.8.13", {"pip": ["azureml-defaults"]}],
        "channels": ["anaconda", "conda-forge"],
    }


def test_create_drops_the_templates_pip_package_when_pip_packages_are_given() -> None:
    conda = CondaDependencies.create(conda_packages=["scikit-learn"], pip_packages=["pandas"])
    assert conda.as_dict()["dependencies"] == [
        "python=3.10.18",
        {"pip": ["pandas"]},
        "scikit-learn",
    ]
    kept = CondaDependencies.create(conda_packages=["scikit-learn"])
    assert list(kept.pip_packages) == ["azureml-defaults"]


def test_create_pins_sdk_packages_unless_told_not_to() -> None:
    packages = ["azureml-core", "azureml-dataset-runtime[fuse]", "azureml-dataprep", "numpy"]
    assert list(CondaDependencies.create(pip_packages=packages).pip_packages) == [
        "azureml-core~=1.61.0",
        "azureml-dataset-runtime[fuse]~=1.61.0",
        "azureml-dataprep",
        "numpy",
    ]
    free = CondaDependencies.create(pip_packages=packages, pin_sdk_version=False)
    assert list(free.pip_packages) == packages


def test_adding_a_package_replaces_the_entry_of_the_same_name() -> None:
    conda = CondaDependencies.create(
        pip_packages=["Scikit_Learn[all]==0.2", "torch"], conda_packages=["numpy=1.0"]
    )
    conda.add_pip_package("scikit-learn>=1")
    conda.add_conda_package("conda-forge::numpy>=2")
    assert list(conda.pip_packages) == ["scikit-learn>=1", "torch"]
    assert list(conda.conda_packages) == ["python=3.10.18", "conda-forge::numpy>=2"]


def test_a_link_for_pip_is_not_taken_for_the_package_of_its_first_word() -> None:
    conda = CondaDependencies.create(pip_packages=["git"])
    conda.add_pip_package("git+ssh://host/repository")
    assert list(conda.pip_packages) == ["git", "git+ssh://host/repository"]


def test_removing_packages_channels_and_options_leaves_the_others() -> None:
    conda = CondaDependencies.create(pip_packages=["a==1", "b"], conda_packages=["c=1", "d"])
    conda.set_pip_option("--pre")
    conda.remove_pip_package("A")
    conda.remove_conda_package("c")
    conda.remove_channel("anaconda")
    conda.remove_pip_option("--pre")
    conda.remove_pip_package("never there")
    assert conda.as_dict()["dependencies"] == ["python=3.10.18", {"pip": ["b"]}, "d"]
    assert list(conda.conda_channels) == ["conda-forge"]


def test_a_pip_option_replaces_its_former_value() -> None:
    conda = CondaDependencies()
    conda.set_pip_index_url("first")
    conda.set_pip_index_url("second")
    assert list(conda.pip_options) == ["--index-url second"]
    assert list(conda.pip_packages) == ["azureml-defaults"]


def test_python_version_is_set_in_place_or_put_first() -> None:
    conda = CondaDependencies()
    conda.set_python_version("3.11")
    assert conda.get_python_version() == "3.11"
    conda.remove_conda_package("python")
    assert conda.get_python_version() is None
    conda.set_python_version("3.12")
    assert conda.as_dict()["dependencies"] == ["python=3.12", {"pip": ["azureml-defaults"]}]


def test_tensorflow_and_cntk_are_named_by_processor() -> None:
    conda = CondaDependencies.create(pip_packages=[])
    conda.add_tensorflow_conda_package("gpu", "2.1")
    conda.add_tensorflow_pip_package(version="2.2")
    conda.add_cntk_package("gpu")
    assert list(conda.conda_packages)[1:] == ["tensorflow-gpu=2.1"]
    assert list(conda.pip_packages) == ["tensorflow==2.2", "cntk-gpu"]
    with fails(UserErrorException, "tpu", "'cpu' or 'gpu'"):
        conda.add_tensorflow_pip_package("tpu")


def test_a_conda_file_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    conda = CondaDependencies.create(conda_packages=["pip=24", "numpy"], pip_packages=["torch"])
    path = conda.save(tmp_path)
    assert path == str(tmp_path / "conda_dependencies.yml")
    assert CondaDependencies(path).as_dict() == conda.as_dict()
    named = conda.save_to_file(str(tmp_path), "env.yml")
    assert Path(named).read_text() == conda.serialize_to_string()
    assert yaml.safe_load(conda.serialize_to_string()) == conda.as_dict()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name: x\ndependences: []\n", ["'dependences'", "dependencies"]),
        ("name: x\n  y: [\n", ["line"]),
        ("- a\n- b\n", ["mapping"]),
        ("dependencies:\n- 3.8\n", ["3.8", "list of texts"]),
        ("dependencies:\n- conda: [x]\n", ["neither a package nor `pip:`"]),
        ("dependencies:\n- pip: [x]\n- pip: [y]\n", ["neither a package nor `pip:`"]),
    ],
)
def test_a_wrong_conda_file_is_refused_by_name(tmp_path: Path, text: str, words: list[str]) -> None:
    path = tmp_path / "env.yml"
    path.write_text(text)
    with fails(UserErrorException, str(path), *words):
        CondaDependencies(path)


def test_a_missing_conda_file_is_named() -> None:
    with fails(UserErrorException, "nowhere.yml"):
        Environment.from_conda_specification("x", "nowhere.yml")


# --- Environment


def test_a_fresh_environment_is_not_user_managed_and_prints_as_v1() -> None:
    environment = Environment("mine")
    assert environment.python.user_managed_dependencies is False
    assert environment.python.interpreter_path == "python"
    assert environment.docker.base_image == DEFAULT_CPU_IMAGE
    assert environment.environment_variables == {"EXAMPLE_ENV_VAR": "EXAMPLE_VALUE"}
    assert str(environment) == "Environment(Name: mine,\nVersion: None)"


def test_the_repr_of_an_environment_is_sorted_json_with_its_packages() -> None:
    text = repr(Environment("mine"))
    shown = json.loads(text)
    assert list(shown) == sorted(shown)
    assert shown["python"]["condaDependencies"]["channels"] == ["anaconda", "conda-forge"]
    assert shown["docker"]["platform"] == {"architecture": "amd64", "os": "Linux"}


def test_a_registry_password_is_not_shown_and_not_part_of_a_definition() -> None:
    registry = ContainerRegistry()
    registry.address, registry.password = "here", "secret"
    environment = Environment.from_docker_image("x", "image", registry)
    shown = [repr(environment), repr(environment.docker), json.dumps(environment.definition())]
    assert not any("secret" in text for text in shown)


def test_one_of_image_dockerfile_and_context_clears_the_others() -> None:
    docker = Environment("x").docker
    docker.base_image = None
    docker.base_dockerfile = "FROM a\n"
    assert docker.base_image is None
    docker.base_image = "b"
    assert docker.base_dockerfile is None
    docker.build_context = "folder"
    assert docker.base_image is None


def test_fields_of_unknown_names_are_ignored() -> None:
    environment = Environment("x", version="3", colour="green")
    environment.python.interpreter_pth = "typo"  # type: ignore[attr-defined]
    assert environment.version == "3"
    assert "typo" not in repr(environment)
    assert "green" not in repr(environment)


def test_a_clone_has_no_version_and_shares_nothing() -> None:
    first = Environment("first", version="7")
    second = first.clone("second")
    conda = second.python.conda_dependencies
    assert conda is not None
    conda.add_pip_package("torch")
    second.environment_variables["A"] = "1"
    assert (second.name, second.version) == ("second", None)
    assert "torch" not in repr(first)
    assert first.environment_variables == {"EXAMPLE_ENV_VAR": "EXAMPLE_VALUE"}


def test_from_conda_specification_without_python_takes_a_default_and_warns(tmp_path: Path) -> None:
    path = tmp_path / "env.yml"
    path.write_text("dependencies:\n- numpy\n")
    with pytest.warns(UserWarning, match="no version of Python"):
        environment = Environment.from_conda_specification("x", path)
    conda = environment.python.conda_dependencies
    assert conda is not None
    assert list(conda.conda_packages) == ["python=3.10.18", "numpy"]


def test_from_pip_requirements_replaces_the_templates_packages(tmp_path: Path) -> None:
    (tmp_path / "more.txt").write_text("scipy  # for the filter\n")
    path = tmp_path / "requirements.txt"
    path.write_text("# ours\nnumpy==2.0 \\\n  ; python_version > '3'\n\n-r more.txt\n--pre\n")
    conda = Environment.from_pip_requirements("x", path, "24.0").python.conda_dependencies
    assert conda is not None
    assert list(conda.pip_packages) == ["numpy==2.0    ; python_version > '3'", "scipy"]
    assert list(conda.pip_options) == ["--pre"]
    assert list(conda.conda_packages) == ["python=3.10.18", "pip==24.0"]


def test_lines_for_one_package_under_different_markers_all_stay(tmp_path: Path) -> None:
    path = tmp_path / "requirements.txt"
    path.write_text("numpy==2.0; python_version >= '3.9'\nnumpy==1.24; python_version < '3.9'\n")
    conda = Environment.from_pip_requirements("x", path).python.conda_dependencies
    assert conda is not None
    assert [line.partition(";")[0] for line in conda.pip_packages] == ["numpy==2.0", "numpy==1.24"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_requirements_are_read_as_windows_writes_them(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "requirements.txt"
    path.write_bytes("# für\r\nnumpy \\\r\n ==2.0\r\nscipy\r\n".encode(encoding))
    conda = Environment.from_pip_requirements("x", path).python.conda_dependencies
    assert conda is not None
    assert ["".join(line.split()) for line in conda.pip_packages] == ["numpy==2.0", "scipy"]


def test_requirements_in_another_encoding_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "requirements.txt"
    path.write_bytes("# für\nnumpy\n".encode("latin-1"))
    with fails(UserErrorException, "no text in UTF-8", "Save it as UTF-8"):
        Environment.from_pip_requirements("x", path)


def test_constraints_are_looked_for_beside_the_file_that_names_them(tmp_path: Path) -> None:
    (tmp_path / "inside").mkdir()
    (tmp_path / "inside" / "limits.txt").write_text("scipy<2\n")
    (tmp_path / "inside" / "more.txt").write_text("scipy\n-c limits.txt\n-c elsewhere.txt\n")
    path = tmp_path / "requirements.txt"
    path.write_text("-r inside/more.txt\n")
    conda = Environment.from_pip_requirements("x", path).python.conda_dependencies
    assert conda is not None
    limits = f"-c {tmp_path / 'inside' / 'limits.txt'}"
    assert list(conda.pip_options) == [limits, "-c elsewhere.txt"]


def test_requirements_that_include_themselves_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "requirements.txt"
    path.write_text("-r requirements.txt\n")
    with fails(UserErrorException, "includes itself"):
        Environment.from_pip_requirements("x", path)


def test_docker_arguments_in_one_text_are_refused() -> None:
    with fails(UserErrorException, "the text '--network=host'", "Write ['--network=host']"):
        DockerConfiguration(True, arguments="--network=host")


def test_an_image_without_packages_is_user_managed(tmp_path: Path) -> None:
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("numpy\n")
    plain = Environment.from_docker_image("x", "image:1")
    packed = Environment.from_docker_image("x", "image:1", pip_requirements=requirements)
    assert plain.docker.base_image == packed.docker.base_image == "image:1"
    assert plain.python.user_managed_dependencies
    assert not packed.python.user_managed_dependencies
    with fails(UserErrorException, "both"):
        Environment.from_docker_image("x", "i", None, requirements, requirements)


def test_a_dockerfile_may_be_a_path_or_a_text(tmp_path: Path) -> None:
    path = tmp_path / "Dockerfile"
    path.write_text("FROM somewhere\nRUN something\n")
    for given in (path, str(path), path.read_text()):
        docker = Environment.from_dockerfile("x", given).docker
        assert (docker.base_dockerfile, docker.base_image) == (path.read_text(), None)
    with fails(UserErrorException, "no/Dockerfile"):
        Environment.from_dockerfile("x", "no/Dockerfile")


def test_a_saved_environment_comes_back_whole(tmp_path: Path) -> None:
    environment = Environment.from_dockerfile("x", "FROM y\n")
    environment.python.interpreter_path = "/opt/python"
    environment.environment_variables = {"A": "1"}
    environment.save_to_directory(tmp_path / "saved")
    assert sorted(os.listdir(tmp_path / "saved")) == [
        "BaseDockerfile",
        "azureml_environment.json",
        "conda_dependencies.yml",
    ]
    record = json.loads((tmp_path / "saved" / "azureml_environment.json").read_text())
    assert list(record)[:5] == ["name", "version", "environmentVariables", "python", "docker"]
    assert list(record["python"]) == [
        "userManagedDependencies",
        "interpreterPath",
        "condaDependenciesFile",
        "baseCondaEnvironment",
    ]
    loaded = Environment.load_from_directory(tmp_path / "saved")
    assert loaded.to_json() == environment.to_json()


def test_saving_over_an_environment_needs_overwrite_and_leaves_nothing_behind(
    tmp_path: Path,
) -> None:
    Environment.from_dockerfile("x", "FROM y\n").save_to_directory(tmp_path / "saved")
    with pytest.raises(FileExistsError, match="overwrite=True"):
        Environment("z").save_to_directory(tmp_path / "saved")
    Environment("z").save_to_directory(tmp_path / "saved", overwrite=True)
    assert Environment.load_from_directory(tmp_path / "saved").docker.base_image
    with fails(UserErrorException, "no saved environment"):
        Environment.load_from_directory(tmp_path / "elsewhere")


def test_process_variables_are_texts_without_v1s_example() -> None:
    example = Environment("x").environment_variables
    assert process_variables(example, {"A": 1, "B": True}, {"A": Path("p")}) == {
        "A": "p",
        "B": "True",
    }
    assert process_variables({"EXAMPLE_ENV_VAR": "mine"}) == {"EXAMPLE_ENV_VAR": "mine"}
    with fails(RunConfigurationException, "A", "list"):
        process_variables({"A": [1]})
    with fails(RunConfigurationException, "'A=B'"):
        process_variables({"A=B": "1"})


# --- RunConfiguration


def test_framework_communicator_and_target_take_what_v1_takes() -> None:
    class Target:
        name = "cluster"

    config = RunConfiguration(framework="pytorch", communicator="NCCL")
    config.target = Target()
    assert (config.framework, config.communicator) == ("PyTorch", "Nccl")
    assert config.target == "cluster"
    config.target = None
    assert config.target == "local"
    with fails(RunConfigurationException, "'Torch'", "PySpark"):
        config.framework = "Torch"
    with fails(UserErrorException, "3 (int)"):
        config.target = 3


def test_conda_dependencies_given_to_a_run_configuration_are_its_environments() -> None:
    conda = CondaDependencies.create(pip_packages=["torch"])
    config = RunConfiguration(conda_dependencies=conda)
    assert config.environment.python.conda_dependencies is conda


def test_the_definition_of_an_untouched_configuration_has_v1s_keys_and_no_more() -> None:
    config = RunConfiguration("train.py", ["--alpha", 0.5])
    definition = config.to_definition()
    json.dumps(definition)
    assert list(definition) == [
        *("script", "command", "useAbsolutePath", "arguments", "sourceDirectoryDataStore"),
        *("framework", "communicator", "target", "dataReferences", "data", "outputData"),
        *("jobName", "maxRunDurationSeconds", "nodeCount", "priority", "credentialPassthrough"),
        *("environment", "history", "spark", "parallelTask", "amlCompute", "tensorflow", "mpi"),
        *("pyTorch", "hdi", "docker"),
    ]
    assert definition["arguments"] == ["--alpha", "0.5"]
    assert definition["pyTorch"] == {"communicationBackend": "nccl", "processCount": None}
    assert definition["mpi"] == {"processCountPerNode": 1}
    assert definition["hdi"] == {"yarnDeployMode": "Cluster"}
    assert definition["history"] == {
        "outputCollection": True,
        "directoriesToWatch": ["logs"],
        "enableMLflowTracking": True,
        "snapshotProject": True,
    }
    assert definition["amlCompute"] == {
        "name": None,
        "vmSize": None,
        "retainCluster": False,
        "clusterMaxNodeCount": None,
    }


def test_the_environment_in_a_definition_has_v1s_keys_and_no_more() -> None:
    definition = Environment("myenv").definition()
    assert definition["python"] == {
        "interpreterPath": "python",
        "userManagedDependencies": False,
        "condaDependencies": CondaDependencies().as_dict(),
        "baseCondaEnvironment": None,
    }
    assert definition["docker"] == {
        "baseImage": DEFAULT_CPU_IMAGE,
        "baseDockerfile": None,
        "platform": {"os": "Linux", "architecture": "amd64"},
        "baseImageRegistry": {"address": None, "username": None, "password": None},
        "enabled": False,
        "arguments": [],
    }
    assert set(definition) == {
        *("name", "version", "python", "environmentVariables", "docker", "spark"),
        "inferencingStackVersion",
    }


def busy_configuration() -> RunConfiguration:
    config = RunConfiguration("train.py", ["--rate", 0.1], "PyTorch", "Nccl")
    config.environment = Environment("mine", version="4")
    config.environment.python.user_managed_dependencies = True
    config.environment.docker.base_dockerfile = "FROM x\n"
    config.environment.docker.shm_size = "1g"
    config.environment_variables = {"A": "1"}
    config.mpi = MpiConfiguration(2, 3)
    config.node_count = 3
    config.docker = DockerConfiguration(True, arguments=["--ipc=host"])
    config.history.directories_to_watch = ["logs", "more"]
    config.data_references = {"store": DataReferenceConfiguration("store", path_on_datastore="d")}
    config.application_endpoints = {"board": ApplicationEndpointConfiguration("TensorBoard", 6006)}
    config.max_run_duration_seconds = 60
    return config


def test_a_definition_says_all_that_a_configuration_says() -> None:
    definition = busy_configuration().to_definition()
    again = RunConfiguration.from_definition(json.loads(json.dumps(definition)))
    assert again.to_definition() == definition
    assert again.environment_variables == {"A": "1"}
    assert again.mpi.node_count == 3
    assert again.environment.docker.shm_size == "1g"
    assert isinstance(again.data_references["store"], DataReferenceConfiguration)


@pytest.mark.parametrize("separate", [False, True])
def test_a_saved_configuration_comes_back_whole(project: Path, separate: bool) -> None:
    project = project / "lib"
    config = busy_configuration()
    config.save(project, "here", separate_environment_yaml=separate)
    assert (project / ".azureml" / "conda_dependencies.yml").is_file()
    for name in ("here", "here.runconfig"):
        assert RunConfiguration.load(project, name).to_json() == config.to_json()
    moved = project.rename(project.with_name("moved"))
    again = RunConfiguration.load(moved / ".azureml" / "here.runconfig")
    assert again.to_json() == config.to_json()
    RunConfiguration.delete(moved, "here")
    with fails(RunConfigurationException, "'here'"):
        RunConfiguration.load(moved, "here")


def test_a_configuration_saved_without_a_name_is_the_file_itself(project: Path) -> None:
    RunConfiguration("train.py").save(project / "mine.yml")
    assert RunConfiguration.load(project / "mine.yml").script == "train.py"
    with fails(UserErrorException, "has no name"):
        RunConfiguration().save(project)
    with fails(UserErrorException, "no folder"):
        RunConfiguration().save(project / "nowhere", "name")


def test_the_file_has_v1s_keys_in_v1s_order(project: Path) -> None:
    RunConfiguration("train.py", ["--a", 1]).save(project, "x")
    record = yaml.safe_load((project / ".azureml" / "x.runconfig").read_text())
    assert list(record)[:9] == [
        *("script", "arguments", "target", "framework", "communicator", "maxRunDurationSeconds"),
        *("nodeCount", "priority", "environment"),
    ]
    assert record["arguments"] == ["--a", 1]
    assert record["communicator"] == "None"
    python = record["environment"]["python"]
    assert python["condaDependenciesFile"] == ".azureml/conda_dependencies.yml"
    assert record["pytorch"] == {
        "communicationBackend": "nccl",
        "processCount": None,
        "nodeCount": 1,
    }


def test_old_files_are_read_in_their_old_place_and_unknown_keys_ignored(project: Path) -> None:
    (project / "aml_config").mkdir()
    (project / "aml_config" / "old.runconfig").write_text(
        "script: train.py\nautoPrepareEnvironment: true\nnodeCount:\nbatchai: {x: 1}\n"
        "communicator: none\namlCompute: {vmSize: BIG}\n"
        "environment:\n  python: {userManagedDependencies: true, interpreterPath: python3,\n"
        "    condaDependenciesFile: aml_config/conda_dependencies.yml}\n"
    )
    config = RunConfiguration.load(project, "old")
    assert config.script == "train.py"
    assert config.node_count == 1
    assert config.amlcompute.vm_size == "BIG"
    assert config.environment.python.interpreter_path == "python3"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("nodeCount: two\n", ["nodeCount", "'two'", "whole number"]),
        ("environment: {docker: {enabled: 'yes'}}\n", ["environment.docker.enabled", "true"]),
        ("history: 3\n", ["history", "mapping"]),
        ("framework: Torch\n", ["'Torch'", "PyTorch"]),
        ("a: [\n", ["line"]),
    ],
)
def test_a_wrong_configuration_file_is_refused_by_place(
    project: Path, text: str, words: list[str]
) -> None:
    path = project / "x.runconfig"
    path.write_text(text)
    with fails(RunConfigurationException, *words):
        RunConfiguration.load(project, "x")


def test_a_missing_configuration_names_those_there_are(project: Path) -> None:
    RunConfiguration().save(project, "first")
    with fails(RunConfigurationException, "'frist'", "Known: first"):
        RunConfiguration.load(project, "frist")


def test_numbers_of_numpy_are_written_as_plain_ones(project: Path) -> None:
    config = RunConfiguration("train.py", [np.float64(0.5), np.int64(3)])
    config.save(project, "x")
    assert RunConfiguration.load(project, "x").arguments == [0.5, 3]


# --- ScriptRunConfig


def test_arguments_may_be_a_list_or_one_text(project: Path) -> None:
    assert ScriptRunConfig(project, "train.py", "--name 'a b' -x").arguments == [
        "--name",
        "a b",
        "-x",
    ]
    mixed = ["--rate", 0.1, np.int64(5), Path("data") / "x", True]
    assert argument_strings(ScriptRunConfig(project, "train.py", mixed).arguments or []) == [
        "--rate",
        "0.1",
        "5",
        "data/x",
        "True",
    ]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--a", [1, 2]], ["Argument 1", "one by one"]),
        (["--a", None], ["Argument 1", "NoneType"]),
        (["--a", {"b": 1}], ["dict"]),
        ("--a 'b", ["cannot be split"]),
        (5, ["5 (int)"]),
    ],
)
def test_wrong_arguments_are_refused_clearly(arguments: object, words: list[str]) -> None:
    with fails(UserErrorException, *words):
        ScriptRunConfig(".", "train.py", arguments)  # type: ignore[arg-type]


def test_arguments_appended_after_construction_count_and_are_checked(project: Path) -> None:
    config = ScriptRunConfig(project, "train.py", ["--a"])
    assert config.arguments is not None
    config.arguments.append("b")
    assert config.effective().to_definition()["arguments"] == ["--a", "b"]
    config.arguments.append([1])  # type: ignore[arg-type]
    with fails(UserErrorException, "Argument 2"):
        config.check()


def test_a_command_may_be_a_list_or_a_text_and_excludes_a_script(project: Path) -> None:
    config = ScriptRunConfig(project, command=["python", "train.py", "&&", "echo", 1])
    config.check()
    assert config.effective().to_definition()["command"] == "python train.py && echo 1"
    assert config.effective().script is None
    with fails(UserErrorException, "excludes script"):
        ScriptRunConfig(project, "train.py", command="ls")
    with fails(UserErrorException, "excludes arguments"):
        ScriptRunConfig(project, arguments=["a"], command="ls")


def test_a_given_run_configuration_wins_with_a_warning(project: Path) -> None:
    config = RunConfiguration("other.py", ["--x"])
    with pytest.warns(UserWarning, match="compute_target, max_run_duration_seconds is ignored"):
        script = ScriptRunConfig(
            project,
            "train.py",
            run_config=config,
            compute_target="c",
            max_run_duration_seconds=60,
        )
    assert script.run_config is config
    effective = script.effective()
    assert (effective.script, effective.arguments) == ("train.py", ["--x"])
    assert config.script == "other.py"


def test_a_run_configuration_alone_says_what_to_start(project: Path) -> None:
    script = ScriptRunConfig(project, run_config=RunConfiguration("train.py"))
    script.check()
    assert script.effective().script == "train.py"
    command = RunConfiguration(command=["echo", Path("a")])
    assert ScriptRunConfig(project, run_config=command).effective().command == "echo a"
    with fails(UserErrorException, "neither a script nor a command", "train.py"):
        ScriptRunConfig(project).check()
    both = RunConfiguration("train.py", command="ls")
    with fails(UserErrorException, "excludes script"):
        ScriptRunConfig(project, run_config=both).check()


@pytest.mark.parametrize(
    ("job", "expected"),
    [
        (MpiConfiguration(2, 3), ("Python", "IntelMpi", 3)),
        (PyTorchConfiguration("gloo", 8, 2), ("PyTorch", "Gloo", 2)),
        (TensorflowConfiguration(4, 1), ("TensorFlow", "ParameterServer", 4)),
    ],
)
def test_a_distributed_job_sets_what_v1_sets(
    job: MpiConfiguration, expected: tuple[str, str, int]
) -> None:
    config = ScriptRunConfig(".", "x.py", distributed_job_config=job).run_config
    assert (config.framework, config.communicator, config.node_count) == expected


def test_docker_is_taken_from_the_environment_unless_given() -> None:
    environment = Environment("x")
    environment.docker.enabled = True
    environment.docker.arguments = ["--ipc=host"]
    derived = ScriptRunConfig(".", "x.py", environment=environment).run_config.docker
    assert (derived.use_docker, derived.arguments) == (True, ["--ipc=host"])
    given = DockerConfiguration(use_docker=False)
    config = ScriptRunConfig(".", "x.py", environment=environment, docker_runtime_config=given)
    assert config.run_config.docker is given


def test_a_missing_script_is_refused_with_the_nearest_names(project: Path) -> None:
    with fails(ExperimentExecutionException, "trian.py", "doesn't exist", "train.py"):
        ScriptRunConfig(project, "trian.py").check()
    with fails(ExperimentExecutionException, "lib/evaluate.py"):
        ScriptRunConfig(project, "evaluate.py").check()
    with fails(ExperimentExecutionException, "in arguments", "'--x 1'"):
        ScriptRunConfig(project, "train.py --x 1").check()
    with fails(ExperimentExecutionException, "is a folder", "evaluate.py"):
        ScriptRunConfig(project, "lib").check()


def test_a_script_has_to_be_inside_the_folder(project: Path) -> None:
    with fails(ExperimentExecutionException, "outside"):
        ScriptRunConfig(project / "lib", "../train.py").check()
    absolute = ScriptRunConfig(project, project / "train.py")
    absolute.check()
    assert absolute.effective().script == "train.py"


def test_a_missing_folder_is_refused_with_the_nearest_names(project: Path) -> None:
    with fails(UserErrorException, "libs does not exist", "lib"):
        ScriptRunConfig(project / "libs", "train.py").check()
    with fails(UserErrorException, "is a file"):
        ScriptRunConfig(project / "train.py", "train.py").check()


def test_the_folder_is_read_when_checked_not_when_named(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for here in (".", ""):
        config = ScriptRunConfig(here, "train.py")
        monkeypatch.chdir(project)
        config.check()


def test_wrong_types_are_named(project: Path) -> None:
    with fails(UserErrorException, "environment", "'name' (str)"):
        ScriptRunConfig(project, "train.py", environment="name")  # type: ignore[arg-type]
    with fails(UserErrorException, "script", "3 (int)"):
        ScriptRunConfig(project, 3)  # type: ignore[arg-type]
    with fails(UserErrorException, "distributed_job_config", "MpiConfiguration"):
        ScriptRunConfig(project, "a", distributed_job_config="mpi")  # type: ignore[arg-type]
    with fails(UserErrorException, "resume_from"):
        ScriptRunConfig(project, "train.py", resume_from="path")
    config = ScriptRunConfig(project, "train.py", max_run_duration_seconds=-1)
    with fails(UserErrorException, "max_run_duration_seconds", "-1"):
        config.check()


def test_a_copy_of_a_script_run_config_shares_nothing(project: Path) -> None:
    config = ScriptRunConfig(project, "train.py", ["--a"])
    other = copy.deepcopy(config)
    config.run_config.target = "elsewhere"
    config.run_config.environment.environment_variables["B"] = "2"
    assert config.arguments is not None
    config.arguments.append("b")
    assert other.run_config.target == "local"
    assert other.effective().arguments == ["--a"]
    assert "B" not in other.run_config.environment.environment_variables


# --- records


def request() -> RunRequest:
    return RunRequest(
        id="exp_1_abc",
        experiment="exp",
        number=3,
        created=1.5,
        workspace={"id": "w", "name": "ws"},
        job=JobSpec("train.py", None, ("--a", "b"), "/python", {"A": "1"}, 60.0, "snap", 2, 5),
        source={"kind": "folder"},
        tags={"k": "v"},
    )


def test_a_run_request_comes_back_from_json_equal() -> None:
    record = json.loads(json.dumps(request().to_json()))
    assert record["format"] == 1
    assert "command" not in record["job"]
    assert RunRequest.from_json(record) == request()
    interactive = RunRequest("a", "b", owner={"pid": 1, "started": 2, "boot": "c"})
    assert RunRequest.from_json(interactive.to_json()) == interactive


def test_a_run_request_ignores_keys_it_does_not_know() -> None:
    record = {**request().to_json(), "colour": "green", "tags": None}
    assert RunRequest.from_json(record).tags == {}


def test_a_run_request_of_a_newer_format_is_refused() -> None:
    with fails(ServiceException, "exp_1_abc", "newer", "Upgrade"):
        RunRequest.from_json({**request().to_json(), "format": 2})
    with fails(ServiceException, "damaged"):
        RunRequest.from_json({"experiment": "x"})


def test_a_source_is_a_folder_with_files_over_it() -> None:
    assert Source(None) == Source(None, {}, {})


# --- the room


def test_every_public_name_is_there() -> None:
    assert all(hasattr(spec, name) for name in spec.__all__)
    assert sorted(set(spec.__all__)) == sorted(spec.__all__)


def test_importing_the_room_imports_nothing_foreign() -> None:
    question = (
        "import sys, aml_jupyter.spec, aml_jupyter.environments;"
        "print(*(name for name in ('yaml', 'subprocess', 'difflib', 'numpy', 'IPython')"
        " if name in sys.modules))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", question], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == ""


@pytest.mark.parametrize(
    ("size", "by_1000", "by_1024"),
    [
        (0, "0 B", "0 B"),
        (999, "999 B", "999 B"),
        (1023, "1.02 kB", "1023 B"),
        (999_600, "1000 kB", "976 KiB"),
        (1010 << 20, "1.06 GB", "1010 MiB"),
        (16 << 30, "17.2 GB", "16 GiB"),
        (5 << 50, "5629 TB", "5120 TiB"),
    ],
)
def test_sizes_are_told_in_three_digits_or_whole(size: int, by_1000: str, by_1024: str) -> None:
    assert (shown_size(size), shown_bytes(size)) == (by_1000, by_1024)
