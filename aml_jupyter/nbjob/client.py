"""Executes the cells of a notebook in a kernel, and tells what comes of each at once."""

from __future__ import annotations

import re
import sys
import time
from queue import Empty

from jupyter_client.kernelspec import NoSuchKernel
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbclient.util import run_sync
from nbformat import NotebookNode
from papermill.clientwrap import PapermillNotebookClient

from .faults import CellTimedOut, death
from .kernels import ForkedKernel, memory_kills

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_ASK_AGAIN = 0.2
_COLLAPSED_UP_TO = 4 << 20
_OVERWRITTEN = re.compile(r"^[^\n]*\r(?=[^\n])", re.MULTILINE)


class Client(PapermillNotebookClient):  # type: ignore[misc]
    """papermill's client, which also knows what ended a kernel, and starts one sooner."""

    def __init__(self, manager: Any, kernel: ForkedKernel | None, **options: Any) -> None:
        super().__init__(manager, km=kernel, **options)
        self.owns_km = True
        self._manager = manager
        self._kernel = kernel
        self._kills_before = memory_kills()

    # Starting

    async def async_start_new_kernel_client(self) -> Any:
        """A client whose kernel answers on both of its channels.

        The usual way to know that waits for a fifth of a second of silence.
        """
        if self._kernel is None:
            return await super().async_start_new_kernel_client()
        kernel = self._kernel
        self.kc = client = kernel.client()
        client.start_channels()
        until = time.monotonic() + self.startup_timeout
        while not await self._answers(client):
            if not await kernel.is_alive():
                raise death(kernel.exit_signal, self._ran_out_of_memory())
            if time.monotonic() > until:
                raise RuntimeError(f"The kernel did not start within {self.startup_timeout:g} s.")
        client.allow_stdin = False
        return client

    start_new_kernel_client = run_sync(async_start_new_kernel_client)

    async def _answers(self, client: Any) -> bool:
        """Whether the kernel answers, and what it tells to everybody is heard here."""
        asked = client.kernel_info()
        try:
            while True:
                reply = await client.get_shell_msg(timeout=_ASK_AGAIN)
                if reply["parent_header"].get("msg_id") == asked:
                    break
            while True:
                told = await client.get_iopub_msg(timeout=_ASK_AGAIN)
                is_end = told["content"].get("execution_state") == "idle"
                if is_end and told["parent_header"].get("msg_id") == asked:
                    return True
        except Empty:
            return False

    async def async_start_new_kernel(self, **options: Any) -> None:
        """Start a kernel by its kernelspec."""
        try:
            await super().async_start_new_kernel(**options)
        except NoSuchKernel as error:
            raise _no_such_kernel(error.name) from error

    start_new_kernel = run_sync(async_start_new_kernel)

    # Executing

    def papermill_execute_cells(self) -> None:
        """Execute all cells; what ends the kernel ends the cell, as an error of its own."""
        for index, cell in enumerate(self.nb.cells):
            if not self._execute(index, cell):
                return

    def _execute(self, index: int, cell: Any) -> bool:
        """Whether the cell came to its end."""
        manager = self._manager
        manager.cell_start(cell, index)
        try:
            self.execute_cell(cell, index)
        except (DeadKernelError, CellTimeoutError) as error:
            cell.outputs.append(self._end_of_kernel(error))
            manager.cell_exception(self.nb.cells[index], cell_index=index, exception=error)
            return False
        except CellExecutionError as error:
            manager.cell_exception(self.nb.cells[index], cell_index=index, exception=error)
            return False
        finally:
            manager.cell_complete(self.nb.cells[index], cell_index=index)
        return True

    def _end_of_kernel(self, error: Exception) -> Any:
        """What is put where a cell that never came to its end would have its error."""
        if isinstance(error, CellTimeoutError):
            limit = self.timeout
            why: Exception = CellTimedOut(
                f"The cell took longer than {limit:g} s and was given up. "
                "Allow it more with --timeout-cell, or see in its output where it hangs."
            )
        else:
            number = self._kernel.exit_signal if self._kernel else _exit_signal(self.km)
            why = death(number, self._ran_out_of_memory())
        name = type(why).__name__
        facts = {"ename": name, "evalue": str(why), "traceback": [f"{name}: {why}"]}
        return NotebookNode(output_type="error", **facts)

    def _ran_out_of_memory(self) -> bool:
        return memory_kills() > self._kills_before

    # Ending

    def execute(self, **options: Any) -> Any:
        """Execute the notebook; afterwards the kernel is gone."""
        self.reset_execution_trackers()
        with self.setup_kernel(**options):
            info = self.wait_for_reply(self.kc.kernel_info())
            if info is not None:
                self.nb.metadata["language_info"] = info["content"]["language_info"]
            self.papermill_execute_cells()
            self.set_widgets_metadata()
            self._manager.all_cells_done()
        return self.nb

    # Listening

    def process_message(self, message: Any, cell: Any, cell_index: int) -> Any:
        """Take in what the kernel says."""
        output = super(PapermillNotebookClient, self).process_message(message, cell, cell_index)
        if output is not None:
            self._manager.said(output)
        return output

    def _update_display_id(self, display_id: str, msg: Any) -> None:
        super()._update_display_id(display_id, msg)
        self._manager.changed()


def merged(outputs: Any) -> Any:
    """Outputs with neighbouring pieces of one stream as one, and without overwritten lines."""
    found: list[Any] = []
    pieces: list[str] = []
    for output in outputs:
        is_stream = output["output_type"] == "stream"
        if is_stream and found and pieces and found[-1]["name"] == output["name"]:
            pieces.append(output["text"])
            continue
        _close(found, pieces)
        found.append(output)
        pieces = [output["text"]] if is_stream else []
    _close(found, pieces)
    return found


def _close(found: Any, pieces: Any) -> None:
    if not pieces:
        return
    text = "".join(pieces)
    if len(text) < _COLLAPSED_UP_TO and "\r" in text:
        text = _OVERWRITTEN.sub("", text)
    found[-1]["text"] = text


def _exit_signal(manager: Any) -> int | None:
    """The signal that ended a kernel which another program started."""
    process = getattr(getattr(manager, "provisioner", None), "process", None)
    code = process.poll() if process is not None else None
    return -code if code is not None and code < 0 else None


def _no_such_kernel(name: str) -> Exception:
    from jupyter_client.kernelspec import KernelSpecManager

    there = ", ".join(sorted(KernelSpecManager().find_kernel_specs())) or "none"
    return LookupError(
        f"There is no kernel named {name!r} in {sys.prefix}. Kernels here: {there}. "
        "Name one with --kernel, or install it there."
    )
