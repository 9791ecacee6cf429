"""``azureml.*`` import names, resolved to ours by an import finder. Travels with every job.

Nothing named ``azureml`` lies on disk. The finder is asked last, after everybody who looks on
``sys.path``: where SDK v1 itself is installed, it is found before us. What the names are is in
:mod:`.names`, and nothing of that is read before the first ``import azureml``.

Standard library only, Python 3.8, and next to nothing to import: every job does.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

__all__ = ["SHIMS", "Finder", "install", "is_installed", "uninstall"]

SHIMS = "AML_COMPAT_SHIMS"
"""The variable that asks for the shims of :mod:`.shims`; ``0`` or nothing does not."""

_TOPS = ("azureml", "azureml_user")


class Finder:
    """Finds ``azureml`` and what is below it; one stands at the end of ``sys.meta_path``."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """How to load one of v1's modules; None for all others."""
        if name.partition(".")[0] not in _TOPS:
            return None
        from .modules import spec_of

        return spec_of(name, path)

    def invalidate_caches(self) -> None:
        """There are none."""


def install() -> bool:
    """Let ``import azureml.core`` and the rest find ours, unless SDK v1 itself is there.

    Returns whether that is new.
    """
    if os.environ.get(SHIMS, "0") not in ("", "0"):
        from .shims import install_shims

        install_shims()
    if is_installed():
        return False
    sys.meta_path.append(Finder())
    return True


def uninstall() -> None:
    """Take the finder away, and the modules that it made."""
    sys.meta_path[:] = [each for each in sys.meta_path if not isinstance(each, Finder)]
    made = f"{__name__}.modules"
    if made in sys.modules:
        sys.modules[made].forget()


def is_installed() -> bool:
    """Whether the finder is there."""
    return any(isinstance(each, Finder) for each in sys.meta_path)
