"""Executes the cells of a notebook in a kernel, and tells what comes of each at once."""

from __future__ import annotations

import asyncio
import re
import signal
import sys
import time
from queue import Empty

from jupyter_client.kernelspec import NoSuchKernel
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbclient.util import ensure_async, run_sync
from nbformat import NotebookNode
from papermill.clientwrap import PapermillNotebookClient

from .faults import CellTimedOut, Unable, death
from .kernels import ForkedKernel, memory_kills

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_ASK_AGAIN = (0.05, 0.1, 0.2)
_LOOK_EVERY = 0.2
_LAST_WORDS = 0.1
_INTERRUPTED_WITHIN = 2.0
_GREW_TO = 128 << 10
_OVERWRITTEN = re.compile(r"^[^\n]*\r(?=[^\n\r])", re.MULTILINE)


class Client(PapermillNotebookClient):  # type: ignore[misc]
    """papermill's client, which also knows what ended a kernel, and starts one sooner."""

    def __init__(self, manager: Any, kernel: ForkedKernel | None, **options: Any) -> None:
        super().__init__(manager, km=kernel, **options)
        self.owns_km = True
        self._manager = manager
        self._kernel = kernel
        self._kills_before = memory_kills()
        self._info: Any = None
        self._cell: int | None = None
        self._is_asked = False

    # Starting

    async def async_start_new_kernel_client(self) -> Any:
        """A client whose kernel answers on both of its channels.

        The usual way to know that waits for a fifth of a second of silence.
        """
        kernel = self._kernel
        if kernel is None:
            client = await super().async_start_new_kernel_client()
            self._info = await self.async_wait_for_reply(client.kernel_info())
            return client
        until = time.monotonic() + self.startup_timeout
        if not kernel.wait_until_ready(self.startup_timeout):
            await self._give_up(until)
        self.kc = client = kernel.client()
        # A heart beats to tell of kernels far away.
        client.start_channels(hb=False, stdin=False)
        for tries in range(1 << 20):
            if await self._answers(client, _ASK_AGAIN[min(tries, len(_ASK_AGAIN) - 1)]):
                break
            if time.monotonic() > until or not await kernel.is_alive():
                await self._give_up(until)
        client.allow_stdin = False
        await kernel.cleanup_resources()
        return client

    start_new_kernel_client = run_sync(async_start_new_kernel_client)

    async def _give_up(self, until: float) -> None:
        assert self._kernel is not None
        if time.monotonic() > until:
            await self._async_cleanup_kernel()
            limit = f"{self.startup_timeout:g} s"
            raise RuntimeError(f"The kernel did not start within {limit}.")
        why = self._death()
        await self._async_cleanup_kernel()
        raise why

    async def _answers(self, client: Any, patience: float) -> bool:
        """Whether the kernel answers, and what it tells to everybody is heard here."""
        asked = client.kernel_info()
        try:
            while True:
                reply = await client.get_shell_msg(timeout=patience)
                if reply["parent_header"].get("msg_id") == asked:
                    self._info = reply
                    break
            while True:
                told = await client.get_iopub_msg(timeout=patience)
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

    def execute(self, **options: Any) -> Any:
        """Execute the notebook; afterwards the kernel is gone, or about to go."""
        self.reset_execution_trackers()
        with self.setup_kernel(**options), self._asked_to_end():
            if self._info is not None:
                self.nb.metadata["language_info"] = self._info["content"]["language_info"]
            self.papermill_execute_cells()
            self.set_widgets_metadata()
            # The kernel ends while the notebook is written.
            self._ask_kernel_to_end()
            self._manager.notebook_complete()
        return self.nb

    def papermill_execute_cells(self) -> None:
        """Execute all cells; what ends the kernel ends the cell, as an error of its own."""
        for index, cell in enumerate(self.nb.cells):
            if self._manager.is_canceled or not self._execute(index, cell):
                return

    def _execute(self, index: int, cell: Any) -> bool:
        """Whether the cell came to its end."""
        manager = self._manager
        manager.cell_start(cell, index)
        self._cell = index
        try:
            self.execute_cell(cell, index)
        except (DeadKernelError, CellTimeoutError) as error:
            self._note_end_of_kernel(cell, error)
            manager.cell_exception(cell, cell_index=index, exception=error)
            return False
        except CellExecutionError as error:
            manager.cell_exception(cell, cell_index=index, exception=error)
            return False
        finally:
            self._cell = None
            manager.cell_complete(cell, cell_index=index)
        return True

    def _note_end_of_kernel(self, cell: Any, error: Exception) -> None:
        """Put it where a cell that never came to its end would have its error."""
        trace: list[str] = []
        if isinstance(error, CellTimeoutError):
            self.shutdown_kernel = "immediate"
            why: Exception = CellTimedOut(
                f"The cell took longer than {self._get_timeout(cell):g} s and was given up. "
                "Allow it more with --timeout-cell, or see in its output where it hangs."
            )
            # It was interrupted, and has told where.
            if cell.outputs and cell.outputs[-1].output_type == "error":
                trace = cell.outputs.pop().traceback
                self._manager.changed(self._cell, len(cell.outputs))
        elif self._manager.is_canceled:
            return
        else:
            why = self._death()
        if cell.execution_count is None:  # it died before it could say
            cell.execution_count = self.code_cells_executed
        name = type(why).__name__
        told = NotebookNode(output_type="error", ename=name, evalue=str(why))
        told.traceback = [f"{name}: {why}"]
        self._manager.said(told)
        cell.outputs.append(NotebookNode({**told, "traceback": [*trace, *told.traceback]}))

    def _death(self) -> Exception:
        kernel = self._kernel or self.km
        number, code = _end_of(kernel)
        return death(number, code, memory_kills() > self._kills_before)

    # What takes too long, and what comes too soon

    async def _async_handle_timeout(self, timeout: Any, cell: Any = None) -> None:
        """Interrupt the cell, so that it tells where it is, before it is given up."""
        assert self.km is not None
        assert self.kc is not None
        await ensure_async(self.km.interrupt_kernel())
        try:
            await self.kc.get_shell_msg(timeout=_INTERRUPTED_WITHIN)
            await asyncio.sleep(_LAST_WORDS)
        except Empty:
            pass
        raise CellTimeoutError.error_from_timeout_and_cell("too long", timeout, cell)

    async def _async_poll_kernel_alive(self) -> None:
        """Look whether the kernel is there, and hear it out if it is not any more."""
        while True:
            await asyncio.sleep(_LOOK_EVERY)
            try:
                await self._async_check_alive()
            except DeadKernelError:
                await asyncio.sleep(_LAST_WORDS)
                if self.task_poll_for_reply is not None:
                    self.task_poll_for_reply.cancel()
                return

    async def _async_check_alive(self) -> None:
        # The client would ask its heart, which does not beat here.
        if self._kernel is None:
            await super()._async_check_alive()
        elif not await self._kernel.is_alive():
            raise DeadKernelError("Kernel died")

    def _asked_to_end(self) -> Any:
        return _Cancel(self)

    def cancel(self) -> None:
        """Be asked to end: the cell is interrupted, if the kernel has not heard it itself."""
        self._manager.cancel(self._cell)
        if self._kernel is not None:
            self._kernel.tell(signal.SIGTERM)

    # Ending

    def _ask_kernel_to_end(self) -> None:
        is_to_ask = self.kc is not None and self.shutdown_kernel != "immediate"
        if self._kernel is not None and is_to_ask and not self._is_asked:
            self._is_asked = True
            self.kc.shutdown()

    async def _async_cleanup_kernel(self) -> None:
        self._ask_kernel_to_end()
        await super()._async_cleanup_kernel()

    _cleanup_kernel = run_sync(_async_cleanup_kernel)

    # Listening

    def process_message(self, message: Any, cell: Any, cell_index: int) -> Any:
        """Take in what the kernel says."""
        output = super(PapermillNotebookClient, self).process_message(message, cell, cell_index)
        if output is not None:
            self._manager.said(output)
            if self.log_output or self.stdout_file or self.stderr_file:
                self.log_output_message(output)
        return output

    def output(self, outs: Any, msg: Any, display_id: str | None, cell_index: int) -> Any:
        """Take in an output; of a stream, what is little goes on where the last piece ended."""
        is_hooked = bool(self.output_hook_stack[msg["parent_header"].get("msg_id")])
        if msg["msg_type"] == "stream" and not is_hooked and not self.clear_before_next_output:
            content = msg["content"]
            return _add_to_stream(outs, content["name"], content["text"])
        if self.clear_before_next_output and not is_hooked:
            self._manager.changed(cell_index, 0)
        return super().output(outs, msg, display_id, cell_index)

    def clear_output(self, outs: Any, msg: Any, cell_index: int) -> None:
        """Clear the outputs, now or before the next one."""
        super().clear_output(outs, msg, cell_index)
        if not outs:
            self._manager.changed(cell_index, 0)

    def _update_display_id(self, display_id: str, msg: Any) -> None:
        super()._update_display_id(display_id, msg)
        for cell, outputs in self._display_id_map.get(display_id, {}).items():
            if outputs:
                self._manager.changed(cell, min(outputs))


class _Cancel:
    """While it is entered, SIGTERM has the client end early rather than the process at once."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._loop: Any = None

    def __enter__(self) -> None:
        from jupyter_core.utils import ensure_event_loop

        if self._client._manager.takes_signals:
            self._loop = ensure_event_loop()
            self._loop.add_signal_handler(signal.SIGTERM, self._client.cancel)

    def __exit__(self, *error: Any) -> None:
        if self._loop is not None:
            self._loop.remove_signal_handler(signal.SIGTERM)


def _add_to_stream(outs: Any, name: str, text: str) -> Any:
    """Append text of a stream, in pieces that are not too small; the output that it is."""
    new = NotebookNode(output_type="stream", name=name, text=text)
    last = outs[-1] if outs else {}
    if last.get("name") == name and len(last["text"]) + len(text) < _GREW_TO:
        last["text"] = without_overwritten(last["text"] + text)
    else:
        outs.append(NotebookNode(new, text=without_overwritten(text)))
    return new


def without_overwritten(text: str) -> str:
    """The text without lines that were written over after a carriage return."""
    return _OVERWRITTEN.sub("", text) if "\r" in text else text


def merged(outputs: Any) -> Any:
    """Outputs with neighbouring pieces of one stream as one, and without overwritten lines."""
    found: list[Any] = []
    pieces: list[str] = []
    for output in outputs:
        is_stream = output["output_type"] == "stream"
        if is_stream and pieces and found[-1]["name"] == output["name"]:
            pieces.append(output["text"])
            continue
        _close(found, pieces)
        found.append(output)
        pieces = [output["text"]] if is_stream else []
    _close(found, pieces)
    return found


def _close(found: Any, pieces: Any) -> None:
    if len(pieces) > 1:
        found[-1]["text"] = without_overwritten("".join(pieces))


def _end_of(manager: Any) -> tuple[int | None, int | None]:
    """The signal or else the exit code that ended a kernel."""
    if isinstance(manager, ForkedKernel):
        return manager.exit_signal, manager.exit_code
    process = getattr(getattr(manager, "provisioner", None), "process", None)
    code = process.poll() if process is not None else None
    return (-code, None) if code is not None and code < 0 else (None, code)


def _no_such_kernel(name: str) -> Exception:
    from jupyter_client.kernelspec import KernelSpecManager

    there = ", ".join(sorted(KernelSpecManager().find_kernel_specs())) or "none"
    return Unable(
        f"There is no kernel named {name!r} in {sys.prefix}. Kernels here: {there}. "
        "Name one with --kernel, or install it there."
    )
