"""papermill's engine ``aml``: executes a notebook, reports to its run, and lets it grow on disk.

papermill's conventions are kept: its parameters cell, its metadata, its error cell.
"""

from __future__ import annotations

import math
import time

from nbformat import NotebookNode
from papermill.engines import Engine, NotebookExecutionManager

from .client import Client, merged
from .growing import GrowingNotebook
from .outline import Outline

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Sequence

    from .kernels import ForkedKernel

CANCELED = "canceled"
"""The status of a cell that was interrupted because the run was cancelled."""

LARGEST_ARRANGED = 8 << 20
"""Bytes up to which a finished notebook is written as nbformat arranges it, a line a line."""

_MAY_FAIL = "raises-exception"


class Manager(NotebookExecutionManager):  # type: ignore[misc]
    """What papermill tells of the execution, told on: to the file, to the log, to the run.

    ``paths`` are files that grow. ``is_last`` says that nobody writes the notebook after this:
    then it has its error cell here.
    """

    def __init__(
        self,
        nb: Any,
        output_path: str | None,
        report: Any,
        paths: Sequence[str],
        replay: int,
        is_last: bool,
        **more: Any,
    ) -> None:
        super().__init__(nb, output_path=output_path, **more)
        self._files = [GrowingNotebook(path, nb) for path in paths]
        self._report = report
        self._replay = replay
        self._is_last = is_last
        self._outline = Outline(nb)
        self._began = 0.0
        self._is_over = False
        self._canceled: Any = None
        self.error: Any = None
        self.takes_signals = is_last
        self.is_canceled = False

    def save(self, **facts: Any) -> None:
        """Write what is new of the notebook."""
        for file in self._files:
            file.save()

    def cell_start(self, cell: Any, cell_index: int = 0, **facts: Any) -> None:
        """Tell which cell it is."""
        place = self._outline.place(cell_index)
        is_again = place is not None and place.number <= self._replay
        if is_again:
            cell.metadata.papermill["replayed"] = True
        super().cell_start(cell, cell_index, **facts)
        self._began = time.monotonic()
        if place is not None:
            self._report.begin(place, is_again)

    def cell_exception(self, cell: Any, cell_index: int = 0, **facts: Any) -> None:
        """Take note that it failed, or was interrupted."""
        super().cell_exception(cell, cell_index, **facts)
        if self.is_canceled:
            self._canceled = cell
            cell.metadata.papermill["status"] = CANCELED

    def cell_complete(self, cell: Any, cell_index: int = 0, **facts: Any) -> None:
        """Tell how long it took."""
        super().cell_complete(cell, cell_index, **facts)
        if cell is self._canceled:
            cell.metadata.papermill["status"] = CANCELED
        place = self._outline.place(cell_index)
        if place is not None:
            self._report.end(place, time.monotonic() - self._began)

    def autosave_cell(self, **facts: Any) -> None:
        """Nothing: it is saved while it grows."""

    def said(self, output: Any) -> None:
        """Pass an output of the present cell on, and save it soon."""
        self._report.output(output)
        self._save_soon()

    def changed(self, cell: int, output: int) -> None:
        """Take note that outputs of a cell have changed, from this one on."""
        for file in self._files:
            file.changed(cell, output)
        self._save_soon()

    def _save_soon(self) -> None:
        for file in self._files:
            file.save_soon()

    def cancel(self, index: int | None) -> None:
        """Take note that the end was asked for, while this cell was executed."""
        self.is_canceled = True
        if index is not None:
            # Whoever asked may not wait for the cell's own end.
            self.nb.cells[index].metadata.papermill["status"] = CANCELED
            self.nb.metadata.papermill["exception"] = True
            self._save_soon()

    def notebook_complete(self, **facts: Any) -> None:
        """Join what belongs together in the notebook, and write the last of it; once."""
        if self._is_over:
            return
        self._is_over = True
        pending = [cell for cell in self.nb.cells if cell.metadata.papermill["status"] == "pending"]
        super().notebook_complete(**facts)
        if self.is_canceled:
            for cell in pending:
                cell.metadata.papermill["status"] = "pending"
        elif self._is_last:
            self._mark_error()
        whole = None
        if self._files and self._files[0].size <= LARGEST_ARRANGED:
            for cell in self.nb.cells:
                if cell.get("outputs"):
                    cell.outputs = merged(cell.outputs)
            whole = _arranged(self.nb)
        for file in self._files:
            file.close(whole)
            if file.error is not None:
                self._report.trouble(file.error)

    def _mark_error(self) -> None:
        """Put papermill's error cells where they belong, if there is an error."""
        self.error, marks = error_of(self.nb)
        if self.error is not None and marks:
            self.nb.cells.insert(self.error.cell_index, marks[-1])
            self.nb.cells.insert(0, marks[0])
            for file in self._files:
                file.changed(0, 0)


def _arranged(nb: Any) -> bytes | None:
    import nbformat

    try:
        return str(nbformat.writes(nb)).encode()
    except UnicodeError:  # half a character, which JSON can write all the same
        return None


def error_of(nb: Any) -> tuple[Any, list[Any]]:
    """What papermill takes for the error of a notebook, and the cells that it tells of it in.

    It is asked about a notebook that has errors for outputs and nothing else, since it writes
    the one it is asked about. Errors of a cell that may fail are none.
    """
    from papermill.exceptions import PapermillExecutionError
    from papermill.execute import ERROR_MARKER_TAG, raise_for_execution_errors

    bare = NotebookNode(nbformat=4, nbformat_minor=5, metadata=NotebookNode())
    bare.cells = [_only_errors(cell) for cell in nb.cells]
    try:
        raise_for_execution_errors(bare, None)
    except PapermillExecutionError as error:
        tags = [cell.metadata.get("tags", ()) for cell in bare.cells]
        return error, [cell for cell, its in zip(bare.cells, tags) if ERROR_MARKER_TAG in its]
    return None, []


def _only_errors(cell: Any) -> Any:
    made = NotebookNode({key: value for key, value in cell.items() if key != "outputs"})
    if cell.get("cell_type") == "code":
        has_failed = (cell.metadata.get("papermill") or {}).get("exception")
        may_fail = _MAY_FAIL in cell.metadata.get("tags", ()) and not has_failed
        errors = [] if may_fail else [each for each in cell.outputs if each.output_type == "error"]
        made.outputs = errors
    return made


class AmlEngine(Engine):  # type: ignore[misc]
    """The engine; ``report`` is whom it tells, ``kernel`` one that has been started already.

    With ``is_last`` the notebook is written for good here, and an error of it is raised.
    """

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
        paths: Sequence[str] | None = None,
        replay: int = 0,
        is_last: bool = False,
        **options: Any,
    ) -> Any:
        """Execute the notebook; its errors are in its cells, as papermill wants them."""
        manager = Manager(
            nb,
            output_path,
            report or _Silent(),
            ([output_path] if output_path else []) if paths is None else paths,
            replay,
            is_last,
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
        if manager.is_canceled:
            from .faults import Canceled

            raise Canceled
        if manager.error is not None:
            raise manager.error
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
            # Older clients count in whole seconds.
            startup_timeout=math.ceil(start_timeout),
            timeout_func=(lambda cell: timeout) if timeout else None,
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

    def trouble(self, error: OSError) -> None:
        """Nothing."""
