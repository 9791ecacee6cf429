"""The notebook room: magics, captured cells, live views."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .views import RunDetails as RunDetails

__all__ = ["RunDetails", "load_ipython_extension", "unload_ipython_extension"]


def load_ipython_extension(ipython: Any) -> None:
    """Register the magics, their completion and the return of ``--out`` variables; once."""
    from .magics import load

    load(ipython)


def unload_ipython_extension(ipython: Any) -> None:
    """Take away what :func:`load_ipython_extension` registered."""
    from .magics import unload

    unload(ipython)


def __getattr__(name: str) -> Any:
    # The views bring numpy and the widgets; loading the magics need not wait for them.
    if name == "RunDetails":
        from .views import RunDetails

        return RunDetails
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
