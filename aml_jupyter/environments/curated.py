"""Curated environments: ready-made sets of packages, under names of ours and of v1's samples.

v1's names say the framework, its version, and CPU or GPU, as in
``AzureML-sklearn-1.0-ubuntu20.04-py38-cpu``. Any such name is understood; the rest of it, like
the operating system, is not followed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from aml_jupyter.spec import (
    DEFAULT_CPU_IMAGE,
    DEFAULT_GPU_IMAGE,
    CondaDependencies,
    Environment,
)
from aml_jupyter.spec.frameworks import TORCH_FOR_CPU, framework_packages

PREFIX = "AzureML-"
"""What these names start with; no environment of a user's own may."""

VERSION = "1"
"""The one version that each of them has."""

_OURS = (
    "AzureML-Minimal-CPU",
    "AzureML-Minimal-GPU",
    "AzureML-sklearn-CPU",
    "AzureML-LightGBM-CPU",
    "AzureML-XGBoost-CPU",
    "AzureML-XGBoost-GPU",
    "AzureML-PyTorch-CPU",
    "AzureML-PyTorch-GPU",
    "AzureML-TensorFlow-CPU",
    "AzureML-TensorFlow-GPU",
)
_ANY_PYTHON = "python>=3.10"
_TABLES = ("pandas", "matplotlib")


@dataclass(frozen=True)
class _Set:
    """Packages for names with one of these words in them; the first set that fits is taken.

    ``frameworks`` come in the version that the name says, if it says one after that word;
    ``note`` is what the user should know.
    """

    words: str
    frameworks: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()
    python: str = _ANY_PYTHON
    note: str = ""


_NOT_AUTOMATED = "Automated ML itself is not part of this; the packages of its models are."
_SETS = (
    _Set(
        "hyperdrive-forecastdnn|automl-dnn",
        ("sklearn", "lightgbm", "pytorch"),
        (*_TABLES, "statsmodels"),
        note=_NOT_AUTOMATED,
    ),
    _Set(
        "automl",
        ("sklearn", "lightgbm", "xgboost"),
        (*_TABLES, "statsmodels"),
        note=_NOT_AUTOMATED,
    ),
    _Set(
        "responsibleai",
        ("sklearn",),
        (*_TABLES, "fairlearn", "interpret", "shap"),
        note="The packages fairlearn, interpret and shap take the place of responsibleai's own.",
    ),
    _Set(
        "pyspark",
        ("sklearn",),
        (*_TABLES, "pyspark"),
        note="Java, which pyspark needs, and MMLSpark have to be there already.",
    ),
    _Set("pytorch", ("pytorch",), (*_TABLES, "pillow", "tensorboard", "tqdm")),
    _Set("tensorflow", ("tensorflow",), _TABLES, "python>=3.10,<3.14"),
    _Set("chainer", ("chainer",), _TABLES, "python>=3.10,<3.12"),
    _Set("lightgbm", ("lightgbm",), ("scikit-learn", *_TABLES)),
    _Set("xgboost", ("xgboost",), ("scikit-learn", *_TABLES)),
    _Set("sklearn|scikit-learn|tutorial", ("sklearn",), (*_TABLES, "joblib", "tqdm")),
    _Set("minimal"),
)
_OTHER_WORDS = {"scikit-learn": "sklearn", "tutorial": "sklearn"}


def names() -> list[str]:
    """The names of our own; those of v1's samples lead to the same packages."""
    return list(_OURS)


def is_reserved(name: str) -> bool:
    """Whether the name looks like a curated environment's, whether there is one or not."""
    return name.lower().startswith(PREFIX.lower())


def curated(name: str, version: str | None = None) -> Environment | None:
    """The curated environment of that name, in any case; None when its words mean nothing here.

    A version of a framework that cannot be installed any more becomes the nearest that can, and
    a note of the environment says so.
    """
    found = _find(name)
    if found is None:
        return None
    word, chosen = found
    gpu = re.search(r"gpu|cuda", name, re.IGNORECASE) is not None
    packages, notes = _packages(name, word, chosen, gpu)
    environment = Environment(_spelled(name))
    environment.version = VERSION
    environment.docker.base_image = DEFAULT_GPU_IMAGE if gpu else DEFAULT_CPU_IMAGE
    environment.python.conda_dependencies = CondaDependencies.from_dict(
        {"channels": ["conda-forge"], "dependencies": [chosen.python, {"pip": packages}]}, name
    )
    if version is not None and str(version) != VERSION:
        notes.append(f"Of {name} there is only one version here; {version} was asked for.")
    environment.notes = notes
    return environment


def _find(name: str) -> tuple[str, _Set] | None:
    """The word in the name that decides, and what it stands for."""
    if not is_reserved(name):
        return None
    for chosen in _SETS:
        found = re.search(rf"-({chosen.words})(?=-|$)", name, re.IGNORECASE)
        if found:
            return found[1].lower(), chosen
    return None


def _packages(name: str, word: str, chosen: _Set, gpu: bool) -> tuple[list[str], list[str]]:
    """The requirements and the notes."""
    packages = ["azureml-defaults"]
    if "pytorch" in chosen.frameworks and not gpu:
        packages.append(TORCH_FOR_CPU)
    notes = [chosen.note] if chosen.note else []
    for framework in chosen.frameworks:
        version = _version(name, word) if framework == _OTHER_WORDS.get(word, word) else None
        found = framework_packages(framework, version, gpu)
        packages += found.requirements
        notes += [found.note] if found.note else []
    return [*packages, *chosen.beside], notes


def _version(name: str, word: str) -> str | None:
    """The version that follows the word, without what is not a number."""
    found = re.search(rf"-{re.escape(word)}-(\d+(?:\.\d+)*)", name, re.IGNORECASE)
    return found[1] if found else None


def _spelled(name: str) -> str:
    """Our own spelling for our own names; others as they were written."""
    return next((ours for ours in _OURS if ours.lower() == name.lower()), name)
