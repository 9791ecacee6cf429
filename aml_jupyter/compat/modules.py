"""v1's modules, made when they are first imported; each fetches a name when it is first used.

Every module counts as a package. ``from azureml.core import Name`` then asks the finder for
``azureml.core.Name`` when the module has no such attribute, and that is where the import can
fail with words of ours, while ``hasattr`` stays False.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

from ..errors import near
from .keywords import taught
from .names import (
    AZURE_ONLY,
    FEATURES,
    IN_A_JOB,
    LATER,
    OURS,
    SETTABLE,
    WITHOUT_THE_PACKAGE,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

MODULES = frozenset(OURS) | frozenset(LATER)
"""Every module of v1 that can be imported."""

_PACKAGE = __name__.partition(".")[0]


def homes_of(module: str) -> dict[str, str]:
    """Each name of one of v1's modules, and the room of ours that it is in."""
    return {name: room for room, names in OURS.get(module, {}).items() for name in names.split()}


def later_of(module: str) -> dict[str, str]:
    """Each name of one of v1's modules that cannot be used yet, and its feature."""
    return {
        name: feature for feature, names in LATER.get(module, {}).items() for name in names.split()
    }


# The finder's half ----------------------------------------------------------------------------


def spec_of(name: str, path: Sequence[str] | None) -> ModuleSpec | None:
    """How to load the module; an ImportError that says why not where it is no module of ours.

    None, and with it Python's own error, where SDK v1 itself is installed: ours and its modules
    do not know each other's classes.
    """
    if name != "azureml" and _is_real(path):
        return None
    if name in MODULES:
        loader: Any = _Loader()
        return ModuleSpec(name, loader, is_package=True)
    raise _refusal(name)


class _Loader:
    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return V1Module(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """All there is to do has been done."""


def _is_real(path: Sequence[str] | None) -> bool:
    """Whether azureml-core, on which all of SDK v1 depends, is there."""
    if path is None:
        return False
    found = sys.modules.get("azureml.core")
    if found is not None:
        return not isinstance(found, V1Module)
    return PathFinder.find_spec("azureml.core", list(path)) is not None


def forget() -> None:
    """Take all modules made here out of ``sys.modules``."""
    for name, module in list(sys.modules.items()):
        if isinstance(module, V1Module):
            del sys.modules[name]


# The modules ----------------------------------------------------------------------------------


class V1Module(ModuleType):
    """One of v1's modules: its names are ours."""

    def __init__(self, name: str) -> None:
        super().__init__(name, f"SDK v1's {name}, as aml_jupyter has it; see docs/compat.md.")
        names = {**homes_of(name), **later_of(name)}
        self.__dict__["__all__"] = sorted(each for each in names if not each.startswith("_"))

    def __getattr__(self, name: str) -> Any:
        value = _value_of(self.__name__, name)
        self.__dict__[name] = value
        return value

    def __setattr__(self, name: str, value: object) -> None:
        if f"{self.__name__}.{name}" in SETTABLE:
            setattr(import_module(f"{_PACKAGE}.{homes_of(self.__name__)[name]}"), name, value)
        super().__setattr__(name, value)

    def __repr__(self) -> str:
        return f"<module {self.__name__!r} (aml_jupyter)>"

    def __dir__(self) -> list[str]:
        below = f"{self.__name__}."
        modules = (name[len(below) :] for name in MODULES if name.startswith(below))
        return sorted({*self.__dict__, *homes_of(self.__name__), *modules} - {"__path__"})


def _value_of(module: str, name: str) -> Any:
    room = homes_of(module).get(name)
    if room is not None:
        return _ours(room, module, name)
    feature = later_of(module).get(name)
    if feature is not None:
        return import_module(f"{__package__}.later").stand_in(f"{module}.{name}", feature)
    if f"{module}.{name}" in MODULES:
        return import_module(f"{module}.{name}")
    if name.startswith("__"):
        raise AttributeError(f"module {module!r} has no attribute {name!r}")
    raise AttributeError(str(_refusal(f"{module}.{name}")))


def _ours(room: str, module: str, name: str) -> Any:
    if "AML_RUN_FOLDER" in os.environ:
        room = IN_A_JOB.get(f"{room}:{name}", room)
    try:
        return taught(getattr(import_module(f"{_PACKAGE}.{room}"), name))
    except ModuleNotFoundError as error:
        travelling = WITHOUT_THE_PACKAGE.get(f"{room}:{name}")
        if travelling is None:
            return _without_the_package(module, name, error)
    return taught(getattr(import_module(f"{_PACKAGE}.{travelling}"), name))


def _without_the_package(module: str, name: str, error: ModuleNotFoundError) -> Any:
    """A stand-in for a class, which its script may never use; constants and functions are not."""
    if name[:1].isupper() and not name.isupper():
        later = import_module(f"{__package__}.later")
        return later.absent(f"{module}.{name}", _needs_the_package(name, error))
    raise AttributeError(_needs_the_package(name, error)) from None


# What cannot be had ---------------------------------------------------------------------------


def _refusal(name: str) -> ImportError:
    """Why there is no such module, or no such name in its module."""
    feature = _feature_of(name)
    module, _, last = name.rpartition(".")
    if feature is not None:
        return ImportError(without(name, feature), name=name)
    if module in MODULES and last in homes_of(module):
        return ImportError(_cannot_be_had(module, last), name=module)
    if module in MODULES and last[:1].isupper():
        return ImportError(_no_name(module, last), name=module)
    return ModuleNotFoundError(_no_module(name), name=name)


def _feature_of(name: str) -> str | None:
    """The feature of Azure that a module or a name belongs to."""
    # `azureml.contrib.train` is imported on the way to what is below it.
    below = next((each for each in AZURE_ONLY if each.startswith(f"{name}.")), None)
    if below is not None and name not in MODULES:
        return AZURE_ONLY[below]
    while name:
        if name in AZURE_ONLY:
            return AZURE_ONLY[name]
        name = name.rpartition(".")[0]
    return None


def without(name: str, feature: str) -> str:
    """That a feature is not here, what it was for, and what to do instead."""
    purpose, instead = FEATURES[feature]
    return f"{name}: {feature} is not part of aml_jupyter. SDK v1 used it to {purpose}. {instead}"


def _cannot_be_had(module: str, name: str) -> str:
    try:
        _value_of(module, name)
    except AttributeError as error:
        return str(error)
    return f"{module}.{name} could not be imported."


def _needs_the_package(name: str, error: ModuleNotFoundError) -> str:
    return (
        f"{name} needs the aml-jupyter package in this interpreter ({sys.executable}), which has"
        f" no {error.name}. A job by itself has what its script needs: Run and its data."
        " Install aml-jupyter there for the rest."
    )


def _no_name(module: str, name: str) -> str:
    names = {**homes_of(module), **later_of(module)}
    elsewhere = sorted(
        other for other in MODULES if name in homes_of(other) or name in later_of(other)
    )
    hint = f"It is in {elsewhere[0]}." if elsewhere else near(name, _public(names))
    return f"{module} has no {name} here. {hint}"


def _public(names: Iterable[str]) -> list[str]:
    return [name for name in names if not name.startswith("_")]


def _no_module(name: str) -> str:
    return f"aml_jupyter has no {name}. {near(name, MODULES)}"
