"""An Environment becomes something that runs."""

from __future__ import annotations

from ..lazy import names_from

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .cache import Build, BuildState, Built
    from .making import BuildError
    from .recipe import Recipe
    from .resolution import ResolvedEnvironment, resolve

__all__ = [
    "Build",
    "BuildError",
    "BuildState",
    "Built",
    "Recipe",
    "ResolvedEnvironment",
    "resolve",
]

__getattr__ = names_from(
    __name__,
    {
        "cache": "Build BuildState Built",
        "making": "BuildError",
        "recipe": "Recipe",
        "resolution": "ResolvedEnvironment resolve",
    },
)
