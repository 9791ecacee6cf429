"""Names of a room that are fetched from their module when first used.

``from aml_jupyter import Run`` must cost milliseconds, and each room's front page names more
than any one caller needs.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False  # importing typing for it would cost more than all the rest
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any


def names_from(room: str, modules: Mapping[str, str]) -> Callable[[str], Any]:
    """A module-level ``__getattr__`` for ``room``: module → the names it holds, as one text."""
    home_of = {name: module for module, names in modules.items() for name in names.split()}

    def fetch(name: str) -> Any:
        from importlib import import_module

        if name in modules:
            return import_module(f"{room}.{name}")
        if name not in home_of:
            raise AttributeError(f"module {room!r} has no attribute {name!r}")
        value = getattr(import_module(f"{room}.{home_of[name]}"), name)
        setattr(sys.modules[room], name, value)
        return value

    return fetch
