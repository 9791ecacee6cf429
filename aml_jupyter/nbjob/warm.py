"""A process that has imported what executes a notebook, and forks whenever a job is to start.

``warm.py FD SECONDS`` says ``ready`` on the socket FD, then takes requests, one JSON object a
line: ``command`` (what a process would be started with: interpreter, ``start.py``, its
arguments), ``directory``, ``log`` and ``environment``. A fork of this process becomes the
launcher of that job, and the answer says who it is; ``trouble``, where it could not.

It ends when the socket is closed, or when it has had nothing to do for SECONDS. The jobs are in
sessions of their own and do not notice; neither do they when it is killed.
"""

from __future__ import annotations

import gc
import json
import os
import select
import signal
import socket
import sys
from importlib import import_module

sys.path[0] = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from aml_jupyter.job.launch import main  # noqa: E402
from aml_jupyter.job.layout import FOLDER_VARIABLE  # noqa: E402
from aml_jupyter.job.process import identity  # noqa: E402
from aml_jupyter.nbjob.late import late_grammar  # noqa: E402

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

_NEEDED = (
    "papermill.execute",
    "nbclient",
    "nbformat.v4",
    "jupyter_client.asynchronous",
    "zmq.eventloop.zmqstream",
    "tornado.platform.asyncio",
    "ipykernel.kernelapp",
    "IPython.core.interactiveshell",
)
# What they, and the first notebook, import only when it is needed; not every version has it.
_ON_FIRST_USE = (
    "aml_jupyter.nbjob.engine",
    "aml_jupyter.nbjob.main",
    "aml_jupyter.nbjob.report",
    "comm",
    "faulthandler",
    "ipykernel.debugger",
    "ipykernel.kernelspec",
    "IPython.core.completerlib",
    "IPython.core.debugger",
    "IPython.core.logger",
    "IPython.core.oinspect",
    "IPython.extensions.storemagic",
    "psutil",
    "sqlite3",
    "tornado.locks",
    "tornado.queues",
)

# Papermill imports it where it is installed, for notebooks on HDFS; jobs have theirs in a folder.
_STARTS_THREADS = ("pyarrow",)


class Server:
    """Forks when asked to. There must be no thread, no event loop and no zmq context here."""

    def __init__(self, connection: socket.socket, idle_seconds: float) -> None:
        self._connection = connection
        self._lines = connection.makefile("rb")
        self._idle_seconds = idle_seconds
        self._parent = os.getppid()
        self._children: set[int] = set()
        self._places = _places()
        self._ended, self._waker = os.pipe()
        for end in (self._ended, self._waker):
            os.set_blocking(end, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._waker, warn_on_full_buffer=False)

    def serve(self) -> list[str] | None:
        """In a fork: the arguments of the launcher that it is to be. None when all is over."""
        self._say({"ready": True})
        sources = (self._connection.fileno(), self._ended)
        while True:
            # Those who share our memory keep it in use anyway.
            patience = None if self._children else self._idle_seconds
            heard, _, _ = select.select(sources, [], [], patience)
            if self._ended in heard:
                self._reap()
            if sources[0] in heard:
                line = self._lines.readline()
                if not line.endswith(b"\n") or self._is_outdated():
                    return None
                command = self._fork(json.loads(line))
                if command is not None:
                    return command
            if not heard:
                return None

    def _is_outdated(self) -> bool:
        """Whether what lies beside what was imported has changed since."""
        return _places() != self._places

    def _fork(self, request: dict[str, Any]) -> list[str] | None:
        hears, says = os.pipe()
        try:
            pid = os.fork()
        except OSError as error:
            os.close(hears)
            os.close(says)
            self._say({"trouble": str(error)})
            return None
        if not pid:
            os.close(hears)
            _try(lambda: self._become(request), says)
            return list(request["command"][2:])
        os.close(says)
        self._children.add(pid)
        with open(hears, "rb") as pipe:
            trouble = pipe.read().decode()
        self._say({"trouble": trouble} if trouble else identity(pid))
        return None

    def _become(self, request: dict[str, Any]) -> None:
        """In the fork: be no server any more, but what the request says."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._lines.close()
        self._connection.close()
        os.close(self._ended)
        os.close(self._waker)
        _begin_anew(request)

    def _reap(self) -> None:
        os.read(self._ended, 4096)
        for child in list(self._children):
            if os.waitpid(child, os.WNOHANG)[0]:
                self._children.remove(child)
        # Who asked waits for the ends of its own children; these are as good as that.
        if os.getppid() == self._parent:
            os.kill(self._parent, signal.SIGCHLD)

    def _say(self, what: dict[str, Any]) -> None:
        try:
            self._connection.sendall(json.dumps(what).encode() + b"\n")
        except OSError:  # nobody is there to hear it: the next look at the socket tells
            pass


def warm_up() -> None:
    """Import what a notebook needs; an error means that this interpreter has not got it."""
    gc.disable()
    for name in _STARTS_THREADS:
        sys.modules[name] = None  # type: ignore[assignment]
    with late_grammar():
        for name in _NEEDED:
            import_module(name)
    for name in _ON_FIRST_USE:
        try:
            import_module(name)
        except Exception:  # noqa: BLE001 - whoever needs it will tell
            continue
    for name in _STARTS_THREADS:
        del sys.modules[name]
    _compile_schemas()
    if len(os.listdir("/proc/self/task")) > 1:
        sys.exit("A module has started a thread, so forking is not safe.")
    gc.collect()
    # A collection in a job would write to, and so copy, all that is shared.
    gc.freeze()


def _compile_schemas() -> None:
    """Have the schemas of notebooks compiled, each of which takes as long as many an import."""
    reads = import_module("nbformat").reads
    for minor in (2, 4, 5):  # as JupyterLab, Colab and VS Code write them
        reads(json.dumps({"nbformat": 4, "nbformat_minor": minor, "metadata": {}, "cells": []}), 4)


def _places() -> list[Any]:
    """How the folders look that the packages were imported from, and the interpreter itself."""
    tops = {name.partition(".")[0] for name in _NEEDED}
    files = [getattr(sys.modules[top], "__file__", None) for top in sorted(tops)]
    folders = {os.path.dirname(os.path.dirname(file)) for file in files if file}
    found: list[Any] = []
    for path in sorted(folders | {os.path.realpath(sys.executable)}):
        try:
            facts = os.stat(path)
        except OSError:
            found.append(path)
        else:
            found.append((path, facts.st_ino, facts.st_mtime_ns))
    return found


# In the fork ---------------------------------------------------------------------------------


def _try(step: Callable[[], None], says: int) -> None:
    """Take the step that is told of by closing ``says``; what goes wrong is said there."""
    try:
        step()
    except BaseException as error:  # noqa: BLE001 - nothing may come back into the server's loop
        os.write(says, (str(error) or repr(error)).encode(errors="replace"))
        os._exit(1)
    os.close(says)


def _begin_anew(request: dict[str, Any]) -> None:
    """Be as if started anew with what the request says; standard input is empty already.

    The streams were made for files like these, and nothing has been written to them.
    """
    os.setsid()
    os.environ.clear()
    os.environ.update(request["environment"])
    _show(request["environment"])
    os.chdir(request["directory"])
    log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
    for stream in (1, 2):
        os.dup2(log, stream)
    os.close(log)
    sys.argv[:] = request["command"][1:]
    getattr(sys, "orig_argv", [])[:] = request["command"]
    gc.enable()


def _show(environment: dict[str, str]) -> None:
    """Have ``/proc`` tell of this process whose job it is, as of one that was started with it.

    By that a process is found that has left the job's session. The room is that of the variables
    which this process was started with, and nothing points there any more.
    """
    first = sorted(environment.items(), key=lambda item: item[0] != FOLDER_VARIABLE)
    text = b"".join(os.fsencode(f"{name}={value}") + b"\0" for name, value in first)
    try:
        with open("/proc/self/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        begin = int(fields[47])
        room = int(fields[48]) - begin
        with open("/proc/self/mem", "r+b", buffering=0) as memory:
            memory.seek(begin)
            memory.write(text[:room].ljust(room, b"\0"))
    except (OSError, ValueError, IndexError):  # the session is there still
        pass


def _launch(arguments: list[str]) -> None:
    """Launch a notebook, whose processes hold nothing that has to be taken apart at their end."""
    code = 0
    try:
        main(arguments)
    except SystemExit as end:
        if not isinstance(end.code, (int, type(None))):
            raise
        code = end.code or 0
    import atexit
    import threading

    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError, AttributeError):
        sys.exit(code)  # Python tells of it at its own end
    os._exit(code)


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as connection:
        warm_up()
        arguments = Server(connection, float(sys.argv[2])).serve()
    if arguments is None:
        os._exit(0)
    if arguments[1] == "notebook":
        _launch(arguments)
    # As in start.py: what ends the program ends this one, and nobody is above it.
    main(arguments)
