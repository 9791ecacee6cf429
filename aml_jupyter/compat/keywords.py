"""Wrong keywords are told with the right ones, throughout v1's classes.

Python says only that a keyword is unexpected. A class of ours that is asked for by one of v1's
names is taught, once, to list what each of its methods takes.
"""

from __future__ import annotations

from types import FunctionType

from ..assets.keywords import says_its_keywords

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_PACKAGE = __name__.partition(".")[0]
_TAUGHT = "_says_its_keywords"
_WAYS_TO_MAKE_ONE = ("__init__", "__new__")
_VAR_KEYWORDS = 0x08  # of `co_flags`: inspect has a name for it, and costs milliseconds


def taught(value: Any) -> Any:
    """``value``; if it is a class of ours, or a function, its wrong keywords are told."""
    if isinstance(value, type):
        for each in value.__mro__:
            if each.__module__.startswith(f"{_PACKAGE}.") and _TAUGHT not in each.__dict__:
                _teach(each)
    elif isinstance(value, FunctionType):
        return _taught(value)
    return value


def _teach(cls: type) -> None:
    setattr(cls, _TAUGHT, True)
    for name, member in list(vars(cls).items()):
        if name.startswith("_") and name not in _WAYS_TO_MAKE_ONE:
            continue
        if isinstance(member, FunctionType):
            setattr(cls, name, _taught(member))
        elif isinstance(member, (staticmethod, classmethod)):
            setattr(cls, name, type(member)(_taught(member.__func__)))


def _taught(function: Any) -> Any:
    code = getattr(function, "__code__", None)
    if code is None or code.co_flags & _VAR_KEYWORDS or hasattr(function, "__wrapped__"):
        return function
    return says_its_keywords(function)
