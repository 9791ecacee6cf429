"""A notebook without a front end."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

from aml_jupyter.notebook import load_ipython_extension, unload_ipython_extension
from aml_jupyter.workspace import Workspace


class Shell:
    """Runs cells, and keeps what they print."""

    def __init__(self, ipython: InteractiveShell) -> None:
        self.ipython = ipython
        self.displayed: list[dict[str, Any]] = []

    def run(self, cell: str) -> str:
        """What the cell prints, errors included; what it displays is kept."""
        with capture_output() as caught:
            self.ipython.run_cell(cell, store_history=True)
        self.displayed = [output.data for output in caught.outputs]
        return re.sub(r"\x1b\[[0-9;]*m", "", caught.stdout + caught.stderr)

    def value(self, line: str) -> Any:
        """What a line magic returns."""
        self.run(f"_value = {line}")
        return self["_value"]

    def __getitem__(self, name: str) -> Any:
        return self.ipython.user_ns[name]


@pytest.fixture
def ipython() -> Iterator[InteractiveShell]:
    """An IPython with an empty namespace, which meanwhile is the main module."""
    main = sys.modules["__main__"]
    instance = InteractiveShell.instance()
    sys.modules["__main__"] = instance.user_module
    instance.reset()
    yield instance
    instance.reset()
    # What a later test spawns begins with what is the main module then.
    sys.modules["__main__"] = main


@pytest.fixture
def shell(
    ws: Workspace, ipython: InteractiveShell, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Shell]:
    """It with our extension, in the folder of the workspace."""
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    load_ipython_extension(ipython)
    yield Shell(ipython)
    unload_ipython_extension(ipython)
