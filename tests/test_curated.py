"""Curated environments: found under v1's names, and installable today."""

from __future__ import annotations

import subprocess
import sys

import pytest

from aml_jupyter.environments import resolve
from aml_jupyter.environments.curated import VERSION, curated, is_reserved, names
from aml_jupyter.environments.recipe import VENV
from aml_jupyter.environments.venv import uv
from aml_jupyter.spec import DEFAULT_CPU_IMAGE, DEFAULT_GPU_IMAGE, Environment
from aml_jupyter.spec.frameworks import TORCH_FOR_CPU

# A name of each form in v1's samples and documentation, and what has to be in it.
NAMES = {
    "AzureML-Minimal": [],
    "AzureML-Tutorial": ["scikit-learn", "pandas", "matplotlib"],
    "AzureML-Scikit-learn-0.20.3": ["scikit-learn"],
    "AzureML-PyTorch-1.0-CPU": ["torch", "torchvision"],
    "AzureML-PyTorch-1.6-GPU": ["torch", "torchvision"],
    "AzureML-TensorFlow-1.10-CPU": ["tensorflow"],
    "AzureML-TensorFlow-2.3-GPU": ["tensorflow"],
    "AzureML-Chainer-5.1.0-GPU": ["chainer"],
    "AzureML-PySpark-MmlSpark-0.15": ["pyspark"],
    "AzureML-AutoML": ["scikit-learn", "lightgbm", "xgboost"],
    "AzureML-AutoML-DNN-GPU": ["scikit-learn", "torch"],
    "AzureML-Hyperdrive-ForecastDNN": ["scikit-learn", "torch"],
    "AzureML-sklearn-0.24-ubuntu18.04-py37-cpu": ["scikit-learn"],
    "AzureML-sklearn-1.0-ubuntu20.04-py38-cpu": ["scikit-learn"],
    "azureml-sklearn-1.5": ["scikit-learn"],
    "AzureML-tensorflow-2.4-ubuntu20.04-py38-cuda11-gpu": ["tensorflow"],
    "azureml-tensorflow-2.16-cuda12": ["tensorflow"],
    "AzureML-pytorch-1.10-ubuntu18.04-py38-cuda11-gpu": ["torch"],
    "AzureML-ACPT-pytorch-1.11-py38-cuda11.3-gpu": ["torch"],
    "azureml-acpt-pytorch-2.2-cuda12.1": ["torch"],
    "AzureML-lightgbm-3.2-ubuntu18.04-py37-cpu": ["lightgbm", "scikit-learn"],
    "AzureML-xgboost-0.9-ubuntu18.04-py37-cpu": ["xgboost", "scikit-learn"],
    "AzureML-responsibleai-0.21-ubuntu20.04-py38-cpu": ["scikit-learn", "interpret"],
}


def found(name: str, version: str | None = None) -> Environment:
    environment = curated(name, version)
    assert environment is not None, name
    return environment


def requirements(environment: Environment) -> list[str]:
    dependencies = environment.python.conda_dependencies
    assert dependencies is not None
    return [line for line in dependencies.pip_packages if not line.startswith("azureml")]


def packages(environment: Environment) -> set[str]:
    return {
        line.replace("[", "=").split("=")[0].split("<")[0] for line in requirements(environment)
    }


@pytest.mark.parametrize("name", NAMES)
def test_v1_s_names_lead_to_the_packages_that_they_promise_in_any_case(name: str) -> None:
    assert packages(found(name)) >= set(NAMES[name])
    assert requirements(found(name.lower())) == requirements(found(name.upper()))
    assert found(name).name == name


def test_all_names_of_ours_are_found_and_spelled_our_way() -> None:
    assert [found(name.lower()).name for name in names()] == names()
    assert all(found(name).version == VERSION for name in names())
    assert all(found(name).notes == [] for name in names())
    framework_words = ("minimal", "sklearn", "pytorch", "tensorflow", "lightgbm", "xgboost")
    assert all(any(word in name.lower() for name in names()) for word in framework_words)


def test_names_for_gpus_have_the_gpu_image() -> None:
    for name in (*NAMES, *names()):
        gpu = "gpu" in name.lower() or "cuda" in name.lower()
        image = DEFAULT_GPU_IMAGE if gpu else DEFAULT_CPU_IMAGE
        assert found(name).docker.base_image == image


def test_pytorch_for_the_cpu_does_not_bring_cuda() -> None:
    for name, is_for_cpu in (
        ("AzureML-PyTorch-CPU", True),
        ("AzureML-PyTorch-1.6-CPU", True),
        ("AzureML-PyTorch-GPU", False),
        ("AzureML-pytorch-1.9-ubuntu18.04-py37-cuda11-gpu", False),
        ("AzureML-sklearn-CPU", False),
    ):
        resolved = resolve(found(name), container=True)
        assert resolved.recipe is not None
        assert (TORCH_FOR_CPU in resolved.recipe.pip) == is_for_cpu


@pytest.mark.parametrize(
    "name",
    ["sklearn", "my-AzureML-sklearn", "AzureML-", "AzureML-Fortran-77", "AzureML-pytorchlike", ""],
)
def test_other_names_are_nobody_s(name: str) -> None:
    assert curated(name) is None
    assert is_reserved(name) == name.startswith("AzureML-")


def test_a_version_that_nobody_can_install_any_more_becomes_the_nearest_and_is_noted() -> None:
    old = found("AzureML-PyTorch-1.6-GPU")
    assert len(old.notes) == 1
    assert old.notes[0].startswith("There is no PyTorch 1.6 for Python 3.10 or newer")
    assert found("AzureML-PyTorch-1.6-GPU", version="44").notes[1:] == [
        "Of AzureML-PyTorch-1.6-GPU there is only one version here; 44 was asked for."
    ]
    assert "Automated ML itself is not part" in found("AzureML-AutoML").notes[0]


def test_each_call_gives_an_environment_of_its_own() -> None:
    mine = found("AzureML-sklearn-1.5").clone("mine")
    first = found("AzureML-sklearn-1.5")
    assert first.python.conda_dependencies is not None
    first.python.conda_dependencies.add_pip_package("tabulate")
    assert "tabulate" not in packages(found("AzureML-sklearn-1.5"))
    assert mine.version is None


def test_they_run_as_virtual_environments_without_any_package_of_azure() -> None:
    resolved = resolve(found("AzureML-lightgbm-3.2-ubuntu18.04-py37-cpu"))
    assert resolved.recipe is not None
    assert resolved.recipe.kind == VENV
    assert [line for line in resolved.recipe.pip if "azureml" in line] == []
    assert "scikit-learn" in resolved.recipe.pip


@pytest.mark.slow
@pytest.mark.service("pypi")
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "name",
    [
        *(name for name in names() if "Minimal" not in name),
        "AzureML-Scikit-learn-0.20.3",
        "AzureML-sklearn-1.0-ubuntu20.04-py38-cpu",
        "AzureML-lightgbm-3.2-ubuntu18.04-py37-cpu",
        "AzureML-xgboost-0.9-ubuntu18.04-py37-cpu",
        "AzureML-PyTorch-1.6-GPU",
        "AzureML-TensorFlow-2.3-GPU",
        "AzureML-AutoML",
    ],
)
def test_they_can_be_installed_today_from_wheels_alone(name: str) -> None:
    """Resolved, not downloaded: some hold gigabytes."""
    environment = found(name)
    limit = next(environment.python.conda_dependencies.conda_packages).rpartition("<3.")[2]  # type: ignore[union-attr]
    if limit.isdigit() and sys.version_info[1] >= int(limit):
        pytest.skip(f"{name} has no wheels for this Python, and asks for another one")
    asked = "\n".join(requirements(environment))
    resolver = [uv(), "pip", "compile", "--quiet", "--only-binary", ":all:", "-"]
    done = subprocess.run(
        [*resolver, "--python", sys.executable], input=asked, text=True, capture_output=True
    )
    assert done.returncode == 0, done.stderr
    resolved = {line.partition("==")[0] for line in done.stdout.splitlines() if "==" in line}
    assert resolved >= packages(environment)
