"""The kernel of a notebook: forked from a process that has imported it already, where that is safe.

Starting an IPython kernel is a second of imports and a tenth of a second of work. The process
that executes a notebook has imported the same things, so its child is a kernel at once. It is
forked before any thread, socket or event loop exists, and serves one notebook only.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
import tempfile
import threading

from jupyter_client.manager import AsyncKernelManager

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_SHUTDOWN_WITHIN = 5.0
_LOOK_EVERY = 0.005
_OOM_KILLS = "/proc/vmstat"
_NO_HISTORY = "--HistoryManager.hist_file=:memory:"


def can_fork() -> bool:
    """Whether a kernel can be had by forking: on macOS, what system libraries do forbids it."""
    return sys.platform == "linux" and threading.active_count() == 1


class ForkedKernel(AsyncKernelManager):  # type: ignore[misc]
    """A kernel that is a fork of this process; made by :meth:`fork`, before anything else."""

    @classmethod
    def fork(cls) -> ForkedKernel:
        """Fork; the child becomes the kernel and never comes back from here."""
        kernel = cls()
        # Names of sockets are short, and only their owner can reach them.
        kernel._place = tempfile.mkdtemp(prefix="aml-kernel-")
        kernel.transport = "ipc"
        kernel.ip = os.path.join(kernel._place, "k")
        kernel.connection_file = os.path.join(kernel._place, "connection.json")
        kernel.write_connection_file()
        sys.stdout.flush()
        sys.stderr.flush()
        starter = os.getpid()
        pid = os.fork()
        if not pid:
            _become_kernel(kernel.connection_file, starter)
        kernel._pid = pid
        kernel._status = None
        return kernel

    _place: str
    _pid: int
    _status: int | None

    @property
    def has_kernel(self) -> bool:
        """Whether there is a process; it may have ended."""
        return True

    @property
    def exit_signal(self) -> int | None:
        """The signal that ended the kernel, if one did."""
        self._look()
        ended_by_signal = self._status is not None and os.WIFSIGNALED(self._status)
        return os.WTERMSIG(self._status or 0) if ended_by_signal else None

    @property
    def pid(self) -> int:
        """The kernel's process."""
        return self._pid

    def _look(self) -> bool:
        """Whether it is alive; its end is taken note of once."""
        if self._status is None:
            ended, status = os.waitpid(self._pid, os.WNOHANG)
            if ended:
                self._status = status
        return self._status is None

    async def is_alive(self) -> bool:
        """Whether the kernel is there."""
        return self._look()

    async def interrupt_kernel(self) -> None:
        """Interrupt the cell that is executed."""
        await self.signal_kernel(signal.SIGINT)

    async def signal_kernel(self, signum: int) -> None:  # type: ignore[override]
        """Send a signal, if it is there to hear it."""
        if self._look():
            os.kill(self._pid, signum)

    async def shutdown_kernel(  # type: ignore[override]
        self, now: bool = False, restart: bool = False
    ) -> None:
        """Ask the kernel to end, and end it if it does not; with ``now`` at once."""
        if not now and self._look():
            message = self.session.msg("shutdown_request", content={"restart": False})
            socket = self._create_connected_socket("control")
            socket.linger = 100
            self.session.send(socket, message)
            socket.close()
            await self._wait(_SHUTDOWN_WITHIN)
        if self._look():
            os.kill(self._pid, signal.SIGKILL)
            await self._wait(_SHUTDOWN_WITHIN)

    async def _wait(self, seconds: float) -> None:
        for _ in range(int(seconds / _LOOK_EVERY)):
            if not self._look():
                return
            await asyncio.sleep(_LOOK_EVERY)

    async def cleanup_resources(self, restart: bool = False) -> None:  # type: ignore[override]
        """Remove the sockets."""
        shutil.rmtree(self._place, ignore_errors=True)

    async def start_kernel(self, **kwargs: Any) -> None:  # type: ignore[override]
        """Do nothing: it was started when it was made."""


def _become_kernel(connection_file: str, starter: int) -> None:
    """Be a kernel until told to end, with all that Python does at its own end."""
    code = 1
    try:
        sys.argv = ["ipykernel_launcher", "-f", connection_file]
        sys.excepthook = sys.__excepthook__
        os.environ["JPY_PARENT_PID"] = str(starter)
        from ipykernel.kernelapp import IPKernelApp

        app: Any = IPKernelApp.instance(parent_handle=starter)
        app.initialize(["-f", connection_file, _NO_HISTORY])
        app.start()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001 - nothing may come back into the process that was forked
        import traceback

        traceback.print_exc()
    finally:
        _end(code)


def _end(code: int) -> None:
    import atexit

    try:
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


def memory_kills() -> int:
    """How often the system has ended a process for want of memory, so far as can be known."""
    try:
        with open(_OOM_KILLS, encoding="ascii") as file:
            return next((int(line.split()[1]) for line in file if line.startswith("oom_kill ")), 0)
    except (OSError, ValueError):
        return 0
