"""papermill's engine ``aml``: executes a notebook, reports to its run, and lets it grow on disk.

papermill's conventions are kept: its parameters cell, its metadata, its error cell.
"""

from __future__ import annotations

import sys
import time

from papermill.engines import Engine, NotebookExecutionManager

from .client import Client, merged
from .growing import GrowingNotebook
from .kernels import ForkedKernel
from .outline import Outline

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_SAVE_EVERY = 1.0


class Manager(NotebookExecutionManager):  # type: ignore[misc]
    """What papermill tells of the execution, told on: to the file, to the log, to the run."""

    def __init__(
        self, nb: Any, output_path: str | None, report: Any, replay: int, **options: Any
    ) -> None:
        super().__init__(nb, output_path=output_path, **options)
        self._file = GrowingNotebook(output_path, nb) if output_path else None
        self._report = report
        self._replay = replay
        self._outline = Outline(nb)
        self._began = 0.0
        self._saved = 0.0

    def save(self, **facts: Any) -> None:
        """Write what is new of the notebook."""
        if self._file is not None:
            self._file.save()

    def cell_start(self, cell: Any, cell_index: int = 0, **facts: Any) -> None:
        """Tell which cell it is."""
        super().cell_start(cell, cell_index, **facts)
        place = self._outline.place(cell_index)
        self._began = time.monotonic()
        if place is not None:
            is_again = place.number <= self._replay
            if is_again:
                cell.metadata.papermill["replayed"] = True
            self._report.begin(place, is_again)

    def cell_complete(self, cell: Any, cell_index: int = 0, **facts: Any) -> None:
        """Tell how long it took."""
        super().cell_complete(cell, cell_index, **facts)
        place = self._outline.place(cell_index)
        if place is not None:
            self._report.end(place, time.monotonic() - self._began)

    def said(self, output: Any) -> None:
        """Pass an output of the present cell on, and save it now and then."""
        self._report.output(output)
        now = time.monotonic()
        if self._file is not None and now - self._saved > _SAVE_EVERY:
            self._saved = now
            self._file.save_soon()

    def changed(self) -> None:
        """Save anew: an output of an earlier cell may have changed."""
        if self._file is not None:
            self._file.begin_again()

    def all_cells_done(self) -> None:
        """Tell that only the kernel's end is left."""
        self._report.done(self._outline.count)

    def notebook_complete(self, **facts: Any) -> None:
        """Join what belongs together in the notebook, and write all of it."""
        super().notebook_complete(**facts)
        for cell in self.nb.cells:
            if cell.get("outputs"):
                cell.outputs = merged(cell.outputs)
        if self._file is not None:
            self._file.close()


class AmlEngine(Engine):  # type: ignore[misc]
    """The engine; ``report`` is whom it tells, ``kernel`` one that has been started already."""

    @classmethod
    def execute_notebook(
        cls,
        nb: Any,
        kernel_name: str,
        output_path: str | None = None,
        progress_bar: bool = True,
        log_output: bool = False,
        autosave_cell_every: int = 30,
        report: Any = None,
        replay: int = 0,
        **options: Any,
    ) -> Any:
        """Execute the notebook; its errors are in its cells, as papermill wants them."""
        manager = Manager(
            nb,
            output_path,
            report or _Silent(),
            replay,
            progress_bar=progress_bar,
            log_output=log_output,
            autosave_cell_every=autosave_cell_every,
        )
        manager.notebook_start()
        try:
            cls.execute_managed_notebook(manager, kernel_name, log_output=log_output, **options)
        finally:
            manager.cleanup_pbar()
            manager.notebook_complete()
        return manager.nb

    @classmethod
    def execute_managed_notebook(
        cls,
        nb_man: Any,
        kernel_name: str,
        log_output: bool = False,
        stdout_file: Any = None,
        stderr_file: Any = None,
        start_timeout: float = 60,
        execution_timeout: float | None = None,
        kernel: ForkedKernel | None = None,
        input_path: str | None = None,
        **options: Any,
    ) -> None:
        """Execute the cells."""
        timeout = execution_timeout or options.pop("timeout", None)
        client = Client(
            nb_man,
            kernel,
            kernel_name=kernel_name,
            startup_timeout=start_timeout,
            timeout=timeout,
            interrupt_on_timeout=False,
            log_output=log_output,
            stdout_file=stdout_file,
            stderr_file=stderr_file,
            **options,
        )
        client.execute()


class _Silent:
    """Tells nobody."""

    def begin(self, place: Any, is_again: bool) -> None:
        """Nothing."""

    def end(self, place: Any, seconds: float) -> None:
        """Nothing."""

    def output(self, output: Any) -> None:
        """Nothing."""

    def done(self, count: int) -> None:
        """Nothing."""


def register() -> None:
    """Let papermill know the engine also where no entry point tells of it."""
    module = sys.modules["papermill.engines"]
    module.papermill_engines.register("aml", AmlEngine)
