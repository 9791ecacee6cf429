"""Functions that say which keywords they take when they are given one they do not."""

from __future__ import annotations

from aml_jupyter.errors import meant

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, TypeVar, cast

    F = TypeVar("F", bound=Callable[..., Any])
else:

    def cast(kind: Any, value: Any) -> Any:
        """What typing's says, without importing it."""
        return value


def says_its_keywords(function: F) -> F:
    """``function``, whose TypeError for a wrong keyword lists the right ones."""
    code = function.__code__
    known = dict.fromkeys(code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]).keys()
    taken = [name for name in known if name not in ("self", "cls") and not name.startswith("_")]

    def asked(*args: Any, **kwargs: Any) -> Any:
        if (
            not kwargs or kwargs.keys() <= known
        ):  # as cheap as it can be: `run.log` is a microsecond
            return function(*args, **kwargs)
        wrong = next(name for name in kwargs if name not in known)
        hint = " ".join(filter(None, [meant(wrong, taken), f"It takes: {', '.join(taken)}."]))
        name = asked.__qualname__.replace(".__init__", "").replace(".__new__", "")
        raise TypeError(f"{name}() has no argument {wrong!r}. {hint}")

    # As functools.wraps does, whose import would be most of what `from azureml.core import Run`
    # costs in a job.
    for attribute in ("__module__", "__name__", "__qualname__", "__doc__"):
        setattr(asked, attribute, getattr(function, attribute))
    asked.__dict__.update(function.__dict__, __wrapped__=function)
    return cast("F", asked)
