"""Which notebook this is, as far as a kernel can know, and which cell is being run."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ..workspace.run_options import experiment_name
from .sources import NotebookSources


class NotebookContext:
    """What a kernel knows of its notebook: path, cells run so far, the cell being run."""

    def __init__(self, shell: Any) -> None:
        self._shell = shell

    @property
    def namespace(self) -> dict[str, object]:
        """The notebook's variables."""
        names: dict[str, object] = self._shell.user_ns
        return names

    @property
    def path(self) -> str | None:
        """The notebook's file, from VS Code or the Jupyter server; None if neither tells."""
        told = self._shell.user_ns.get("__vsc_ipynb_file__") or os.environ.get("JPY_SESSION_NAME")
        return str(told) if told else None

    def experiment(self) -> str:
        """The experiment that cells of this notebook belong to unless told otherwise."""
        return experiment_name(Path(self.path).stem if self.path else "notebook")

    def facts(self) -> dict[str, object]:
        """What a run remembers of where it came from."""
        metadata = self._request().get("metadata") or {}
        cell = metadata.get("cellId") or metadata.get("cell_id")
        facts = {
            "notebook": self.path,
            "cell": cell,
            "execution_count": self._shell.execution_count,
        }
        return {key: value for key, value in facts.items() if value is not None}

    def sources(self, folders: list[str]) -> NotebookSources:
        """Where names come from; modules in ``folders`` travel along."""
        cells = self._shell.history_manager.input_hist_parsed
        labelled = [(f"cell [{n}]", text) for n, text in enumerate(cells) if n and text]
        return NotebookSources(labelled, folders)

    def plain_python(self, cell: str) -> str:
        """The cell as IPython would execute it, every line where it was."""
        # IPython drops blank lines at the top; line numbers must not move.
        blank = len(cell) - len(cell.lstrip())
        first = cell.count("\n", 0, blank)
        text = self._shell.transform_cell(cell)
        return "\n" * first + str(text)

    def _request(self) -> dict[str, Any]:
        ask = getattr(self._shell, "get_parent", None)
        try:
            parent = ask() if ask else {}
        except (AttributeError, LookupError, TypeError):
            parent = {}
        return parent if isinstance(parent, dict) else {}
