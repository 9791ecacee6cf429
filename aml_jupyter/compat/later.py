"""Stand-ins for names that cannot be used here: importing them works, using them says why not.

A notebook may import HyperDrive in its first cell and never come to use it; a script may import
what only its notebook needs.
"""

from __future__ import annotations

from enum import Enum

from ..errors import UserErrorException
from .names import FEATURES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn


class PrimaryMetricGoal(Enum):
    """Which way the primary metric of a search is better."""

    MAXIMIZE = "MAXIMIZE"
    MINIMIZE = "MINIMIZE"


_CONSTANTS = {"PrimaryMetricGoal": PrimaryMetricGoal}


class _Later(type):
    """The class of stand-ins: calling one, or what v1's class offered, is the error."""

    __told__: Callable[[str], Exception]

    def __call__(cls, *args: Any, **kwargs: Any) -> NoReturn:
        raise cls.__told__(f"{cls.__module__}.{cls.__name__}")

    def __getattr__(cls, name: str) -> Any:
        # What Python and notebooks look for by themselves is not a use.
        if name.startswith("_"):
            raise AttributeError(f"{cls.__name__} has no attribute {name!r}")

        def refuse(*args: Any, **kwargs: Any) -> NoReturn:
            raise cls.__told__(f"{cls.__module__}.{cls.__name__}.{name}")

        return refuse


def stand_in(name: str, feature: str) -> Any:
    """What stands for ``name`` until its feature is here."""
    last = name.rpartition(".")[2]
    if last in _CONSTANTS:
        return _CONSTANTS[last]
    purpose, instead = FEATURES[feature]
    about = f"Not here yet: {feature}, which SDK v1 used to {purpose}. {instead}"
    return _named(name, about, lambda used: not_yet(used, feature))


def absent(name: str, why: str) -> Any:
    """What stands for a class that this interpreter cannot have, and ``why`` not."""
    return _named(name, why, lambda used: UserErrorException(f"{used} cannot be used here: {why}"))


def _named(name: str, about: str, told: Callable[[str], Exception]) -> Any:
    module, _, last = name.rpartition(".")
    return _Later(last, (), {"__module__": module, "__doc__": about, "__told__": told})


def not_yet(name: str, feature: str) -> UserErrorException:
    """That something was used whose feature is not here yet."""
    purpose, instead = FEATURES[feature]
    message = f"{name} cannot be used yet: {feature} (to {purpose}) is not in aml_jupyter."
    return UserErrorException(message, instead)
