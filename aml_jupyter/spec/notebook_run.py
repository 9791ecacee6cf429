"""v1's ``azureml.contrib.notebook``: a notebook with parameters as a run configuration."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from pathlib import PurePath

from aml_jupyter.errors import UserErrorException

from .notebook import NotebookSpec
from .runconfig import RunConfiguration
from .script import ScriptRunConfig

_DOES_NOTHING = ("progress_bar", "log_output", "autosave_cell_every", "report_mode")
_KNOWN = ("kernel_name", "start_timeout", *_DOES_NOTHING)


class PapermillExecutionHandler:
    """How papermill executes a notebook: ``timeout`` seconds for a cell, and papermill's options.

    Of these ``kernel_name`` and ``start_timeout`` count; what concerns progress and logs is
    always done.
    """

    def __init__(self, timeout: float | None = None, **kwargs: object) -> None:
        if timeout is not None and not (isinstance(timeout, (int, float)) and timeout > 0):
            raise UserErrorException(f"timeout cannot be {timeout!r}.", "It has to be seconds.")
        unknown = [name for name in kwargs if name not in _KNOWN]
        if unknown:
            warnings.warn(
                f"{', '.join(unknown)} has no effect on notebooks here; these have: "
                f"{', '.join(_KNOWN[:2])}.",
                stacklevel=2,
            )
        self.timeout = timeout
        self.options = dict(kwargs)

    def spec(self, parameters: Mapping[str, object], output: str) -> NotebookSpec:
        """How a notebook with these parameters is executed."""
        kernel, start = self.options.get("kernel_name"), self.options.get("start_timeout")
        made = NotebookSpec(
            dict(parameters),
            output,
            kernel=str(kernel) if kernel else None,
            cell_timeout=float(self.timeout or 0),
        )
        if isinstance(start, (int, float)):
            made = NotebookSpec(**{**vars(made), "start_timeout": float(start)})
        return made


class AzureMLNotebookHandler(PapermillExecutionHandler):
    """The same; what a notebook records (scrapbook's ``glue``) is logged, as v1 did it.

    ``history=False``, which left that out in v1, is accepted and changes nothing.
    """

    def __init__(
        self, history: bool = True, timeout: float | None = None, **kwargs: object
    ) -> None:
        super().__init__(timeout, **kwargs)
        self.history = history


class NotebookRunConfig(ScriptRunConfig):
    """A notebook, its parameters, and where it runs: for ``experiment.submit``.

    The executed notebook is ``outputs/<name>.output.ipynb`` unless ``output_notebook`` says so.
    """

    def __init__(
        self,
        source_directory: str | os.PathLike[str],
        notebook: str | os.PathLike[str],
        output_notebook: str | None = None,
        parameters: Mapping[str, object] | None = None,
        handler: PapermillExecutionHandler | None = None,
        run_config: RunConfiguration | None = None,
    ) -> None:
        super().__init__(source_directory, notebook, run_config=run_config)
        if not str(self.script).endswith(".ipynb"):
            raise UserErrorException(
                f"{self.script} is not a notebook.", "Name a .ipynb file below source_directory."
            )
        if handler is not None and not isinstance(handler, PapermillExecutionHandler):
            raise UserErrorException(
                f"handler cannot be {handler!r}.", "It has to be an AzureMLNotebookHandler."
            )
        named = output_notebook or f"{PurePath(str(self.script)).stem}.output.ipynb"
        output = named if PurePath(named).parts[0] == "outputs" else f"outputs/{named}"
        self.notebook = (handler or AzureMLNotebookHandler()).spec(parameters or {}, output)

    @property
    def parameters(self) -> Mapping[str, object]:
        """The values that the notebook's parameters get."""
        return self.notebook.parameters if self.notebook else {}
