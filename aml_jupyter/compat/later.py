"""Stand-ins for names whose feature is not here yet: importing them works, using them says so.

A notebook may import HyperDrive in its first cell and never come to use it.
"""

from __future__ import annotations

from enum import Enum

from ..errors import UserErrorException
from .names import FEATURES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn


class PrimaryMetricGoal(Enum):
    """Which way the primary metric of a search is better."""

    MAXIMIZE = "MAXIMIZE"
    MINIMIZE = "MINIMIZE"


_CONSTANTS = {"PrimaryMetricGoal": PrimaryMetricGoal}


class _Later(type):
    """The class of stand-ins: calling one, or what v1's class offered, is the error."""

    __feature__: str

    def __call__(cls, *args: Any, **kwargs: Any) -> NoReturn:
        raise not_yet(f"{cls.__module__}.{cls.__name__}", cls.__feature__)

    def __getattr__(cls, name: str) -> Any:
        # What Python and notebooks look for by themselves is not a use.
        if name.startswith("_"):
            raise AttributeError(f"{cls.__name__} has no attribute {name!r}")

        def refuse(*args: Any, **kwargs: Any) -> NoReturn:
            raise not_yet(f"{cls.__module__}.{cls.__name__}.{name}", cls.__feature__)

        return refuse


def stand_in(name: str, feature: str) -> Any:
    """What stands for ``name`` until its feature is here."""
    module, _, last = name.rpartition(".")
    if last in _CONSTANTS:
        return _CONSTANTS[last]
    purpose, instead = FEATURES[feature]
    about = f"Not here yet: {feature}, which SDK v1 used to {purpose}. {instead}"
    return _Later(last, (), {"__module__": module, "__doc__": about, "__feature__": feature})


def not_yet(name: str, feature: str) -> UserErrorException:
    """That something was used whose feature is not here yet."""
    purpose, instead = FEATURES[feature]
    message = f"{name} cannot be used yet: {feature} (to {purpose}) is not in aml_jupyter."
    return UserErrorException(message, instead)
