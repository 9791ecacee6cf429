"""The small functions and constants of v1 that belong to no room."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

VERSION = __version__ = "1.61.0"
"""The version of SDK v1 whose names these are; scripts print and compare it."""


def get_run(experiment: Any, run_id: str, rehydrate: bool = True, clean_up: bool = True) -> Any:
    """The run of that id."""
    return experiment.workspace.get_run(run_id)


def set_diagnostics_collection(
    send_diagnostics: bool = True, verbosity: int | None = None, component_name: str | None = None
) -> None:
    """Say what was asked for. Nothing is ever sent, whatever it was."""
    word = "on" if send_diagnostics else "off"
    print(f"Turning diagnostics collection {word}. (aml_jupyter never sends anything.)")
