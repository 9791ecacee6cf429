"""v1's estimators: what their parameters come to, and what they refuse."""

from __future__ import annotations

import copy
import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from aml_jupyter import Experiment
from aml_jupyter.errors import TrainingException, UserErrorException
from aml_jupyter.spec import (
    DEFAULT_GPU_IMAGE,
    FRAMEWORK_NAMES,
    Chainer,
    CondaDependencies,
    ContainerRegistry,
    Environment,
    Estimator,
    Gloo,
    MMLBaseEstimator,
    Mpi,
    MpiConfiguration,
    Nccl,
    ParameterServer,
    PyTorch,
    Resources,
    ScriptRunConfig,
    SKLearn,
    TensorFlow,
    framework_packages,
)
from tests.support import experiment, finish, log_of, project, ws

__all__ = ["experiment", "project", "ws"]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "train.py").write_text("print('hello')\n")
    (tmp_path / "explore.ipynb").write_text("{}")
    return tmp_path


def fails(error: type[Exception], *words: str) -> pytest.RaisesExc:
    """The error comes with all of the words, in its message or its hint."""
    return pytest.raises(error, check=lambda raised: all(word in str(raised) for word in words))


def pip_of(estimator: MMLBaseEstimator) -> list[str]:
    conda = estimator.conda_dependencies
    assert conda is not None
    return list(conda.pip_packages)


# --- the script and its parameters


def test_an_estimator_becomes_a_script_run_config(source: Path) -> None:
    estimator = Estimator(source, compute_target="cpu", entry_script="train.py")
    config = estimator.to_script_run_config()
    assert isinstance(config, ScriptRunConfig)
    config.check()
    effective = config.effective()
    assert (effective.script, effective.target) == ("train.py", "cpu")
    assert estimator.source_directory == str(source)


def test_parameters_become_arguments_by_v1s_rules() -> None:
    parameters = {"--rate": 0.1, "--flag": "", "--other": None, "--layers": [64, 32], "--data": "x"}
    estimator = Estimator(
        ".", compute_target="local", entry_script="a.py", script_params=parameters
    )
    assert estimator.to_script_run_config().effective().arguments == [
        *("--rate", 0.1, "--flag", "--other", "--layers", 64, 32, "--data", "x")
    ]


def test_parameters_given_at_submission_take_the_place_of_the_others() -> None:
    estimator = Estimator(
        ".", compute_target="local", entry_script="a.py", script_params={"--a": 1, "--b": 2}
    )
    assert estimator.to_script_run_config({"--c": 3}).effective().arguments == ["--c", 3]
    assert estimator.to_script_run_config({}).effective().arguments == []
    assert estimator.to_script_run_config().effective().arguments == ["--a", 1, "--b", 2]


def test_what_is_changed_in_the_run_configuration_counts_and_is_not_shared() -> None:
    estimator = Estimator(".", compute_target="local", entry_script="a.py")
    estimator.run_config.target = "elsewhere"
    submitted = estimator.to_script_run_config()
    submitted.run_config.environment.environment_variables["A"] = "1"
    assert submitted.run_config.target == "elsewhere"
    assert "A" not in estimator.run_config.environment.environment_variables
    assert copy.deepcopy(estimator).run_config.target == "elsewhere"


def test_a_notebook_is_executed_into_outputs_with_its_parameters(source: Path) -> None:
    estimator = Estimator(
        source,
        compute_target="local",
        entry_script="explore.ipynb",
        script_params={"--learning-rate": 0.1, "--fast": None},
        pip_packages=["numpy"],
    )
    words = shlex.split(str(estimator.to_script_run_config().effective().command))
    assert words[:5] == [
        "python",
        "-m",
        "papermill",
        "explore.ipynb",
        "outputs/explore.output.ipynb",
    ]
    assert json.loads(words[words.index("--parameters_yaml") + 1]) == {
        "learning_rate": 0.1,
        "fast": True,
    }
    assert {"papermill", "ipykernel", "numpy"} <= set(pip_of(estimator))


def test_a_submitted_estimator_runs_its_script(experiment: Experiment, source: Path) -> None:
    (source / "train.py").write_text("import sys\nprint('got', sys.argv[1:])\n")
    estimator = Estimator(
        source, compute_target="local", entry_script="train.py", script_params={"--a": 1}
    )
    first, second = experiment.submit(estimator), experiment.submit(estimator, script_params={})
    assert finish(first)["status"] == finish(second)["status"] == "Completed"
    assert "got ['--a', '1']" in log_of(first)
    assert "got []" in log_of(second)


# --- where it runs


def test_a_target_or_a_size_of_machine_is_needed() -> None:
    with fails(TrainingException, "neither compute_target nor vm_size"):
        Estimator(".", entry_script="a.py")
    sized = Estimator(".", entry_script="a.py", vm_size="STANDARD_D2_V2", vm_priority="lowpriority")
    assert sized.run_config.amlcompute.vm_size == "STANDARD_D2_V2"
    assert sized.run_config.amlcompute.vm_priority == "lowpriority"
    assert sized.run_config.target == "amlcompute"


def made_up(monkeypatch: pytest.MonkeyPatch, gpus: str) -> None:
    """Make this machine have these GPUs."""
    monkeypatch.setenv("AML_FAKE_GPUS", gpus)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def test_a_size_of_machine_alone_is_this_machine_with_the_gpus_of_that_size(
    experiment: Experiment, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_up(monkeypatch, "2x16G")
    plain = {"entry_script": "train.py", "pip_packages": []}
    for size, gpus in (("STANDARD_D2_V2", 0), ("STANDARD_NC6", 1), ("STANDARD_NC24", 2)):
        place = experiment.plan(Estimator(source, vm_size=size, **plain)).place
        assert (place.backend, place.pool, place.resources.gpus) == ("local", "", gpus)
    assert "size STANDARD_NC24 with 4 GPUs, but this machine has 2" in place.notes[0]


@pytest.mark.parametrize(
    ("target", "use_gpu", "gpus"),
    [
        ("gpu-cluster", True, 4),
        ("gpu-cluster", False, 4),
        ("cpu-cluster", True, 1),
        ("all-of-them", True, -1),
        ("local", True, 1),
        ("local", False, None),
    ],
)
def test_the_gpus_of_a_run_are_those_it_likes_or_its_targets_if_they_are_more(
    experiment: Experiment,
    source: Path,
    monkeypatch: pytest.MonkeyPatch,
    target: str,
    use_gpu: bool,
    gpus: int | None,
) -> None:
    made_up(monkeypatch, "8x16G")
    experiment.workspace.folder.targets_file.write_text(
        "gpu-cluster: {type: amlcompute, vm_size: STANDARD_NC24}\n"
        "cpu-cluster: {type: amlcompute, vm_size: STANDARD_D2_V2}\n"
        "all-of-them: {type: local, gpus: all}\n"
    )
    estimator = Estimator(source, compute_target=target, entry_script="train.py", use_gpu=use_gpu)
    assert experiment.plan(estimator).place.resources.gpus == gpus


def test_what_v1_takes_at_submission_is_taken_or_refused_in_our_words(
    experiment: Experiment, source: Path
) -> None:
    estimator = Estimator(source, compute_target="local", entry_script="train.py")
    run = experiment.submit(estimator, inputs=[], source_directory_data_store="blobs")
    assert finish(run)["status"] == "Completed"
    with fails(UserErrorException, "Estimator got 'a dataset' among its inputs", "as_mount"):
        experiment.submit(estimator, inputs=["a dataset"])
    with fails(UserErrorException, "inputs"):
        run.submit_child(estimator.to_script_run_config(), inputs=["a dataset"])


def test_with_use_gpu_it_asks_for_one_and_for_the_image_with_cuda() -> None:
    plain = Estimator(".", compute_target="c", entry_script="a.py")
    gpu = Estimator(".", compute_target="c", entry_script="a.py", use_gpu=True)
    assert plain.resources == Resources()
    assert gpu.resources == Resources(gpus=1)
    assert gpu.run_config.environment.docker.base_image == DEFAULT_GPU_IMAGE


@pytest.mark.parametrize(
    ("training", "expected"),
    [
        ({"distributed_training": Mpi(2)}, ("Python", "IntelMpi", 3)),
        ({"distributed_training": MpiConfiguration(2)}, ("Python", "IntelMpi", 3)),
        (
            {"distributed_backend": "mpi", "process_count_per_node": 2},
            ("Python", "IntelMpi", 3),
        ),
        ({"distributed_training": Gloo()}, ("PyTorch", "Gloo", 3)),
        ({"distributed_backend": "NCCL"}, ("PyTorch", "Nccl", 3)),
        ({"distributed_training": Nccl()}, ("PyTorch", "Nccl", 3)),
    ],
)
def test_processes_are_spread_as_asked(
    training: dict[str, object], expected: tuple[str, str, int]
) -> None:
    estimator = PyTorch(".", compute_target="c", entry_script="a.py", node_count=3, **training)
    config = estimator.run_config
    assert (config.framework, config.communicator, config.node_count) == expected
    if config.communicator == "IntelMpi":
        assert config.mpi.process_count_per_node == 2


@pytest.mark.parametrize(
    "training",
    [
        {"distributed_backend": "ps", "worker_count": 4, "parameter_server_count": 2},
        {"distributed_training": ParameterServer(4, 2)},
    ],
)
def test_tensorflow_has_workers_and_parameter_servers(training: dict[str, object]) -> None:
    config = TensorFlow(".", compute_target="c", entry_script="a.py", **training).run_config
    assert (config.framework, config.communicator) == ("TensorFlow", "ParameterServer")
    assert (config.tensorflow.worker_count, config.tensorflow.parameter_server_count) == (4, 2)


def test_one_process_is_a_plain_run_however_it_was_asked_for() -> None:
    estimator = PyTorch(
        ".", compute_target="local", entry_script="a.py", distributed_training=Mpi()
    )
    assert estimator.run_config.communicator == "None"


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"node_count": 2}, ["2 node(s)", "Mpi()"]),
        ({"process_count_per_node": 2}, ["2 process(es)", "Mpi()"]),
        ({"distributed_backend": "ps"}, ["'ps'", "'mpi'"]),
        ({"distributed_backend": "smoke"}, ["'smoke'", "mpi, ps, gloo, nccl"]),
        ({"distributed_training": "mpi"}, ["'mpi' (str)", "Mpi()"]),
        ({"distributed_backend": "mpi", "distributed_training": Mpi()}, ["both"]),
        (
            {"distributed_training": Mpi(2), "compute_target": "local"},
            ["'local'", "AmlCompute"],
        ),
    ],
)
def test_distribution_that_makes_no_sense_is_refused(
    parameters: dict[str, object], words: list[str]
) -> None:
    given = {"compute_target": "c", "entry_script": "a.py", **parameters}
    with fails(TrainingException, *words):
        Estimator(".", **given)  # type: ignore[arg-type]


def test_scikit_learn_is_one_process() -> None:
    with fails(TrainingException, "SKLearn", "one process"):
        SKLearn(".", compute_target="c", entry_script="a.py", distributed_training=Mpi(2))


# --- what it runs in


def test_without_packages_the_interpreter_that_submits_serves() -> None:
    estimator = Estimator(".", compute_target="local", entry_script="a.py")
    conda = estimator.conda_dependencies
    assert conda is not None
    assert conda.as_dict() == CondaDependencies().as_dict()


def test_packages_and_files_of_packages_come_together(source: Path) -> None:
    (source / "env.yml").write_text("dependencies:\n- python=3.11\n- numpy\n- pip: [a==1, b]\n")
    (source / "requirements.txt").write_text("a==2\nc\n")
    estimator = Estimator(
        source,
        compute_target="c",
        entry_script="train.py",
        conda_dependencies_file="env.yml",
        pip_requirements_file_path="requirements.txt",
        conda_packages=["scipy"],
        pip_packages=["c==3"],
    )
    conda = estimator.conda_dependencies
    assert conda is not None
    assert list(conda.conda_packages) == ["python=3.11", "numpy", "scipy"]
    assert list(conda.pip_packages) == ["b", "a==2", "c==3"]


def test_variables_and_shared_memory_reach_the_run() -> None:
    estimator = PyTorch(
        ".",
        compute_target="c",
        entry_script="a.py",
        environment_variables={"A": "1"},
        shm_size="8g",
    )
    assert estimator.run_config.environment_variables == {"NCCL_TREE_THRESHOLD": "0", "A": "1"}
    assert estimator.run_config.docker.shm_size == "8g"


def test_an_image_asks_for_a_container_and_docker_alone_does_not() -> None:
    registry = ContainerRegistry()
    registry.address = "registry.test"
    plain = Estimator(".", compute_target="c", entry_script="a.py", use_docker=True)
    own = Estimator(
        ".",
        compute_target="c",
        entry_script="a.py",
        custom_docker_base_image="mine:1",
        image_registry_details=registry,
        user_managed=True,
    )
    assert not plain.run_config.docker.use_docker
    assert own.run_config.docker.use_docker
    environment = own.run_config.environment
    assert environment.docker.base_image == "mine:1"
    assert environment.docker.base_image_registry.address == "registry.test"
    assert environment.python.user_managed_dependencies
    with fails(TrainingException, "use_docker=False"):
        Estimator(
            ".",
            compute_target="c",
            entry_script="a.py",
            custom_docker_image="mine:1",
            use_docker=False,
        )


def test_an_environment_of_ones_own_excludes_the_parameters_that_describe_one() -> None:
    environment = Environment("mine")
    given = {"compute_target": "c", "entry_script": "a.py", "environment_definition": environment}
    assert PyTorch(".", **given).run_config.environment is environment
    for parameter in ("conda_packages", "pip_packages"):
        with fails(TrainingException, "environment_definition", parameter):
            Estimator(".", **given, **{parameter: ["numpy"]})
    with fails(TrainingException, "user_managed"):
        Estimator(".", **given, user_managed=True)


@pytest.mark.parametrize(
    ("parameters", "error", "words"),
    [
        ({"inputs": ["data"]}, UserErrorException, ["inputs", "as_mount"]),
        ({"resume_from": "path"}, UserErrorException, ["resume_from"]),
        (
            {"conda_dependencies_file": "a", "conda_dependencies_file_path": "b"},
            TrainingException,
            ["conda_dependencies_file", "twice"],
        ),
        ({"pip_requirements_file": "no.txt"}, UserErrorException, ["no.txt"]),
        ({"nonsense": 1}, TypeError, ["Estimator", "nonsense"]),
        ({"script_params": {"--a": {"b": 1}}}, UserErrorException, ["dict"]),
    ],
)
def test_what_cannot_be_is_refused_by_name(
    parameters: dict[str, object], error: type[Exception], words: list[str]
) -> None:
    given = {"compute_target": "c", "entry_script": "a.py", **parameters}
    with fails(error, *words):
        Estimator(".", **given)  # type: ignore[arg-type]


def test_the_hint_how_to_write_it_otherwise_is_given_once_in_a_process(source: Path) -> None:
    code = (
        "from aml_jupyter import Estimator, SKLearn\n"
        "for kind in (Estimator, Estimator, SKLearn, Estimator, SKLearn):\n"
        "    kind('.', compute_target='local', entry_script='train.py')\n"
    )
    said = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True
    )
    assert [line.split("(")[0] for line in said.stdout.splitlines()] == ["Estimator", "SKLearn"]
    assert "ScriptRunConfig('.', script='train.py'" in said.stdout
    assert said.stderr == ""


def test_the_hint_names_what_a_script_run_config_does_not_take() -> None:
    code = (
        "from aml_jupyter import PyTorch\n"
        "given = {'environment_variables': {'API_TOKEN': 'abc'}, 'vm_size': 'STANDARD_NC6'}\n"
        "PyTorch('.', entry_script='train.py', use_gpu=True, **given)\n"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "with experiment.submit(…, resources=Resources(gpus=1))" in said.stdout
    assert "'NCCL_TREE_THRESHOLD': '0'" in said.stdout
    assert "'API_TOKEN'" in said.stdout
    assert "abc" not in said.stdout
    assert "run_config.amlcompute.vm_size='STANDARD_NC6'" in said.stdout
    assert said.stdout.count("\n") == 1


# --- frameworks


@pytest.mark.parametrize(
    ("kind", "package", "oldest"),
    [
        (PyTorch, "torch", "1.0"),
        (TensorFlow, "tensorflow", "1.10"),
        (Chainer, "chainer", "5.1.0"),
        (SKLearn, "scikit-learn", "0.20.3"),
    ],
)
def test_a_framework_brings_its_packages_in_the_nearest_version(
    kind: type[PyTorch], package: str, oldest: str
) -> None:
    newest = kind(".", compute_target="c", entry_script="a.py")
    assert newest.framework_version == kind.DEFAULT_VERSION
    assert pip_of(newest)[0] == package
    old = kind(".", compute_target="c", entry_script="a.py", framework_version=oldest)
    assert old.framework_version == oldest
    assert pip_of(old)[0].startswith(f"{package}==")
    [note] = old.run_config.environment.notes
    assert f" {oldest} for Python" in note


def test_a_version_that_nobody_knows_is_refused_with_those_there_are() -> None:
    with fails(TrainingException, "PyTorch 7.7", "1.13", "newest"):
        PyTorch(".", compute_target="c", entry_script="a.py", framework_version="7.7")
    release = PyTorch(".", compute_target="c", entry_script="a.py", framework_version="2.2.1")
    assert any(line.startswith("torch==2.2.1;") for line in pip_of(release))


def test_a_version_of_ones_own_takes_the_place_of_the_frameworks() -> None:
    estimator = PyTorch(
        ".",
        compute_target="c",
        entry_script="a.py",
        framework_version="1.4",
        pip_packages=["Torch==2.4.0"],
    )
    assert [line for line in pip_of(estimator) if line.lower().startswith("torch=")] == [
        "Torch==2.4.0"
    ]
    assert estimator.run_config.environment.notes == []


def test_each_python_gets_the_nearest_version_that_it_can_install() -> None:
    found = framework_packages("sklearn", "1.2")
    assert found.requirements == (
        'scikit-learn==1.2.*; python_version <= "3.11"',
        'scikit-learn==1.3.*; python_version == "3.12"',
        'scikit-learn==1.5.*; python_version == "3.13"',
        'scikit-learn==1.7.*; python_version >= "3.14"',
        'numpy<2; python_version <= "3.12"',
        'scipy<1.14; python_version <= "3.11"',
    )
    assert found.note == ""
    gone = framework_packages("sklearn", "0.20.3").note
    assert "There is no scikit-learn 0.20.3 for Python 3.10 or newer" in gone
    assert "1.0 for Python 3.10" in gone


def test_gpus_are_named_where_the_package_differs() -> None:
    assert framework_packages("TensorFlow", gpu=True).requirements == ("tensorflow[and-cuda]",)
    assert framework_packages("TensorFlow", "2.16").requirements[1].startswith("tensorflow==2.16")
    with fails(UserErrorException, "'torch'", "pytorch"):
        framework_packages("torch")


@pytest.mark.slow
@pytest.mark.service("pypi")
@pytest.mark.parametrize("framework", FRAMEWORK_NAMES)
def test_the_oldest_version_asked_for_leads_to_packages_that_can_be_had(
    framework: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted, builders = tmp_path / "requirements.txt", tmp_path / "builders.txt"
    wanted.write_text("\n".join(framework_packages(framework, "0.1").requirements))
    # Source packages of those days need what newer setuptools no longer have.
    builders.write_text("setuptools<81\n")
    monkeypatch.setenv("UV_BUILD_CONSTRAINT", str(builders))
    resolved = subprocess.run(
        [sys.executable, "-m", "uv", "pip", "compile", "-q", "--python", sys.executable, wanted],
        capture_output=True,
        text=True,
        check=False,
    )
    assert resolved.returncode == 0, resolved.stderr
