"""What old scripts trip over, put back where it was asked for; each use is said in the log.

``np.float`` went with numpy 1.24, ``sklearn.externals.joblib`` with scikit-learn 0.23, the keyword
``use_conda`` of ``mlflow.projects.run`` with MLflow 2. A script of 2019 needs them, and a script of
today should not find them: so they are there only where somebody asked, by the variable that
:data:`aml_jupyter.compat.SHIMS` names, or by ``aml compat run --shims``.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.machinery import ModuleSpec, PathFinder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import ModuleType
    from typing import Any

NAMES: Mapping[str, Mapping[str, str]] = {
    "numpy": {
        **{name: f"builtins.{name}" for name in ("bool", "complex", "float", "int", "object")},
        "str": "builtins.str",
        "alltrue": "numpy.all",
        "cumproduct": "numpy.cumprod",
        "float_": "numpy.float64",
        "Inf": "numpy.inf",
        "infty": "numpy.inf",
        "long": "builtins.int",
        "NaN": "numpy.nan",
        "product": "numpy.prod",
        "sometrue": "numpy.any",
        "unicode": "builtins.str",
        "unicode_": "numpy.str_",
    },
}
"""Module → a name that it had → what that name was."""

MODULES: Mapping[str, str] = {
    "mlflow.azureml": "aml_jupyter.compat.former_mlflow",
    "sklearn.datasets.samples_generator": "sklearn.datasets",
    "sklearn.externals.joblib": "joblib",
    "sklearn.externals.six": "six",
}
"""A module that was → the module that is it today."""

KEYWORDS: Mapping[str, Mapping[str, Mapping[str, Mapping[bool, Mapping[str, str]]]]] = {
    "mlflow.projects": {"run": {"use_conda": {False: {"env_manager": "local"}, True: {}}}},
}
"""Module → function → a keyword that it had → its value → what to say today."""

_MENDED = frozenset(NAMES) | frozenset(KEYWORDS)


def install_shims() -> None:
    """Put back what is missing, in modules that are imported already or will be."""
    if any(isinstance(each, _Former) for each in sys.meta_path):
        return
    sys.meta_path.insert(0, _Missing())
    sys.meta_path.append(_Former())
    for name in _MENDED:
        if name in sys.modules:
            _mend(sys.modules[name])


class _Missing:
    """Mends a module when it has been imported."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name not in _MENDED:
            return None
        spec = PathFinder.find_spec(name, path)
        if spec is not None and spec.loader is not None:
            _and_then_mend(spec.loader)
        return spec


def _and_then_mend(loader: Any) -> None:
    execute = loader.exec_module

    def exec_module(module: ModuleType) -> None:
        execute(module)
        _mend(module)

    loader.exec_module = exec_module  # each module has a loader of its own


def _mend(module: ModuleType) -> None:
    if module.__name__ in NAMES:
        _put_back_names(module)
    for name, keywords in KEYWORDS.get(module.__name__, {}).items():
        setattr(
            module, name, _with_keywords(f"{module.__name__}.{name}", vars(module)[name], keywords)
        )


def _with_keywords(name: str, function: Any, lost: Mapping[str, Any]) -> Any:
    """The function, which takes keywords that it had, too, unless it has them still."""
    from functools import wraps
    from inspect import signature

    gone = {key: lost[key] for key in lost if key not in signature(function).parameters}

    @wraps(function)
    def called(*args: Any, **kwargs: Any) -> Any:
        for key in gone:
            if key in kwargs:
                said = gone[key].get(kwargs.pop(key), {})
                _say(
                    f"{name}({key}=…)",
                    ", ".join(f"{k}={v!r}" for k, v in said.items()) or "nothing",
                )
                kwargs = {**said, **kwargs}
        return function(*args, **kwargs)

    return called


def _put_back_names(module: ModuleType) -> None:
    """Let the module have the names that it lost, from their first use on."""
    there = module.__dict__
    lost, otherwise = NAMES[module.__name__], there.get("__getattr__")

    def fetch(name: str) -> Any:
        if name not in lost:
            if otherwise is not None:
                return otherwise(name)
            raise AttributeError(f"module {module.__name__!r} has no attribute {name!r}")
        home, _, real = lost[name].rpartition(".")
        _say(f"{module.__name__}.{name}", f"{real if home == 'builtins' else lost[name]}")
        value = there[name] = getattr(import_module(home), real)
        return value

    there["__getattr__"] = fetch


class _Former:
    """Finds modules under the names that they had; asked when nobody else knows them."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        for former, today in MODULES.items():
            if name == former or name.startswith(f"{former}."):
                if name == former:
                    _say(former, today)
                loader: Any = _Loader(today + name[len(former) :])
                return ModuleSpec(name, loader)
        return None


class _Loader:
    """Gives the module of today; what it says of itself stays."""

    def __init__(self, name: str) -> None:
        self._name = name

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = import_module(self._name)
        self._spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._spec


def _say(lost: str, real: str) -> None:
    sys.stderr.write(f"aml: {lost} is no more; a shim puts {real} in its place.\n")
