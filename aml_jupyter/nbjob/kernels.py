"""The kernel of a notebook: forked from a process that has imported it already, where that is safe.

Starting an IPython kernel is a second of imports and a tenth of a second of work. The process
that executes a notebook has imported the same things, so its child is a kernel at once. It is
forked before any thread, socket or event loop exists, and serves one notebook only.
"""

from __future__ import annotations

import asyncio
import os
import select
import shutil
import signal
import sys
import tempfile
import threading
import time

from jupyter_client.manager import AsyncKernelManager

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_SHUTDOWN_WITHIN = 5.0
_LOOK_EVERY = 0.002
_NO_HISTORY = "--HistoryManager.hist_file=:memory:"
_PREFIX = "aml-kernel-"
_SURELY_LEFT_AFTER = 60.0


def can_fork() -> bool:
    """Whether a kernel can be had by forking: on macOS, what system libraries do forbids it."""
    return sys.platform == "linux" and threading.active_count() == 1


class ForkedKernel(AsyncKernelManager):
    """A kernel that is a fork of this process; made by :meth:`fork`, before anything else."""

    _place: str
    _pid: int
    _listening: int
    _status: int | None

    @classmethod
    def fork(cls) -> ForkedKernel:
        """Fork; the child becomes the kernel and never comes back from here."""
        kernel = cls()
        kernel._place = _new_place()
        kernel.transport = "ipc"
        kernel.ip = os.path.join(kernel._place, "k")
        kernel.connection_file = os.path.join(kernel._place, "connection.json")
        kernel.write_connection_file()
        kernel._listening, says_ready = os.pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        starter = os.getpid()
        pid = os.fork()
        if not pid:
            os.close(kernel._listening)
            _become_kernel(kernel.connection_file, starter, says_ready)
        os.close(says_ready)
        kernel._pid = pid
        kernel._status = None
        return kernel

    def wait_until_ready(self, seconds: float) -> bool:
        """Whether it listens; False if it has ended instead, or not begun to listen by then."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if select.select([self._listening], [], [], 0.5)[0]:
                is_ready = bool(os.read(self._listening, 1))
                os.close(self._listening)
                if not is_ready:
                    os.waitid(os.P_PID, self._pid, os.WEXITED | os.WNOWAIT)
                return is_ready
        return False

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
    def exit_code(self) -> int | None:
        """What it ended with, if it did so by itself."""
        self._look()
        ended_itself = self._status is not None and os.WIFEXITED(self._status)
        return os.WEXITSTATUS(self._status or 0) if ended_itself else None

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

    async def is_alive(self) -> bool:  # type: ignore[override]
        """Whether the kernel is there."""
        return self._look()

    async def interrupt_kernel(self) -> None:  # type: ignore[override]
        """Interrupt the cell that is executed."""
        await self.signal_kernel(signal.SIGINT)

    async def signal_kernel(self, signum: int) -> None:  # type: ignore[override]
        """Send a signal, if it is there to hear it."""
        self.tell(signum)

    def tell(self, signum: int) -> None:
        """Send a signal at once, if it is there to hear it."""
        if self._look():
            os.kill(self._pid, signum)

    async def shutdown_kernel(  # type: ignore[override]
        self, now: bool = False, restart: bool = False
    ) -> None:
        """Wait for the end that the kernel has been asked for; with ``now``, end it at once."""
        if not now:
            await self.wait_for_end(_SHUTDOWN_WITHIN)
        if self._look():
            os.kill(self._pid, signal.SIGKILL)
            await self.wait_for_end(_SHUTDOWN_WITHIN)

    async def wait_for_end(self, seconds: float) -> bool:
        """Whether it has ended within so many seconds."""
        until = time.monotonic() + seconds
        while self._look():
            if time.monotonic() > until:
                return False
            await asyncio.sleep(_LOOK_EVERY)
        return True

    async def cleanup_resources(self, restart: bool = False) -> None:  # type: ignore[override]
        """Remove the names of the sockets: who is connected stays so, and nobody else comes."""
        shutil.rmtree(self._place, ignore_errors=True)

    async def start_kernel(self, **kwargs: Any) -> None:  # type: ignore[override]
        """Do nothing: it was started when it was made."""


def _new_place() -> str:
    """A folder for sockets: their names have to be short, and only their owner may reach them."""
    place = tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-")
    _tidy(os.path.dirname(place))
    return place


def _tidy(folder: str) -> None:
    """Remove what was left behind by those who were killed while their kernel was starting."""
    for name in os.listdir(folder):
        pid = name[len(_PREFIX) :].partition("-")[0] if name.startswith(_PREFIX) else ""
        if not pid.isdigit() or os.path.exists(f"/proc/{pid}"):
            continue
        path = os.path.join(folder, name)
        try:
            facts = os.stat(path)
        except OSError:
            continue
        if facts.st_uid == os.getuid() and time.time() - facts.st_mtime > _SURELY_LEFT_AFTER:
            shutil.rmtree(path, ignore_errors=True)


# In the kernel's process ---------------------------------------------------------------------


def _become_kernel(connection_file: str, starter: int, says_ready: int) -> None:
    """Be a kernel until told to end, with all that Python does at its own end."""
    code = 1
    app: Any = None
    try:
        _die_with(starter)
        _be_as_new(connection_file)
        os.environ["JPY_PARENT_PID"] = str(starter)
        from ipykernel.kernelapp import IPKernelApp

        app = IPKernelApp.instance(parent_handle=starter)
        app.initialize(["-f", connection_file, _NO_HISTORY])
        _interrupt_when_asked_to_end()
        os.write(says_ready, b"+")
        os.close(says_ready)
        app.start()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001 - nothing may come back into the process that was forked
        import traceback

        traceback.print_exc()
    finally:
        _end(app, code)


def _die_with(starter: int) -> None:
    """Have the system end this process with the one that it is for, even in the middle of C."""
    import ctypes

    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    if os.getppid() != starter:
        os._exit(1)


def _be_as_new(connection_file: str) -> None:
    """Have nothing of the process that this is a fork of, as far as programs can tell."""
    sys.argv = ["ipykernel_launcher", "-f", connection_file]
    sys.excepthook = sys.__excepthook__
    # As for a script, ours comes last.
    ours = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    if sys.path and os.path.abspath(sys.path[0]) == ours:
        sys.path.append(sys.path.pop(0))
    numbers = sys.modules.get("numpy.random")
    if numbers is not None:  # or all forks would draw the same
        numbers.seed()


def _interrupt_when_asked_to_end() -> None:
    """Have a cancelled cell interrupted, so that what it has to tidy up is done."""
    kernel = os.getpid()
    heard: list[int] = []

    def interrupt(number: int, frame: Any) -> None:
        if os.getpid() != kernel:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        elif not heard:
            heard.append(number)
            os.kill(kernel, signal.SIGINT)

    signal.signal(signal.SIGTERM, interrupt)


def _end(app: Any, code: int) -> None:
    """End as Python does, but for the sockets: whoever listened has heard what there was."""
    import atexit

    try:
        if app is not None:
            atexit.unregister(app.close)
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


# Memory --------------------------------------------------------------------------------------

_V2, _V1 = "/sys/fs/cgroup", "/sys/fs/cgroup/memory"


def memory_kills() -> int:
    """How often the system has ended a process for want of memory, so far as can be known.

    Those of this process's own group are counted where there is one, else those of the machine.
    """
    for path in _counts_of_kills():
        try:
            with open(path, encoding="ascii") as file:
                counts = dict(line.split()[:2] for line in file)
            return int(counts["oom_kill"])
        except (OSError, ValueError, KeyError):
            continue
    return 0


def _counts_of_kills() -> list[str]:
    found = []
    try:
        with open("/proc/self/cgroup", encoding="utf-8") as file:
            groups = [line.rstrip("\n").split(":", 2) for line in file]
    except (OSError, ValueError):
        groups = []
    for _, controllers, path in (group for group in groups if len(group) == 3):
        if not controllers:
            found += [f"{_V2}{path}/memory.events", f"{_V2}/unified{path}/memory.events"]
        elif "memory" in controllers.split(","):
            found.append(f"{_V1}{path}/memory.oom_control")
    own = [f"{_V2}/memory.events", f"{_V1}/memory.oom_control"]
    return [*found, *own, "/proc/vmstat"]
