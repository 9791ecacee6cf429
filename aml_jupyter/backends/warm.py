"""Interpreters that have imported what a notebook needs, and fork to be its launcher.

Those imports take a second or two of a processor, once for each interpreter instead of once for
each notebook. Nothing depends on it: whatever is wrong here, the job is started the usual way.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from .base import Plan

IDLE_SECONDS = 120.0
"""An interpreter that had nothing to do for so long ends; ``AML_WARM_IDLE_SECONDS``."""

_MOST = 3
_AFTER_A_FAULT = 60.0
# What differs from run to run, or from folder to folder, and matters to no import.
_OF_A_RUN = ("AML_", "AZUREML_", "CUDA_", "MLFLOW_")
_OF_A_SHELL = ("PWD", "OLDPWD", "SHLVL", "_")
# Room for these, in what /proc shows of a process.
_ROOM = ("AML_ROOM", "-" * 8192)

Key = tuple[str, str, tuple[tuple[str, str], ...]]


class WarmInterpreters:
    """At most a few of them, one for each interpreter and environment; for any thread to ask.

    They end soon after this process does, and their jobs never notice. One that is not warm
    after ``ready_within`` seconds, or does not answer after ``answers_within``, is not used.
    """

    def __init__(self, ready_within: float = 30.0, answers_within: float = 10.0) -> None:
        self._patience = (ready_within, answers_within)
        self._lock = threading.Lock()
        self._kept: dict[Key, _Interpreter] = {}
        self._unfit: dict[Key, float] = {}

    def launch(self, plan: Plan) -> Mapping[str, Any] | None:
        """Who the plan's launcher is, which has been forked; None where it has to be started.

        Waits for the interpreter to become warm. If the answer is lost on its way there may be
        a launcher nevertheless: the run's claim is what keeps a second one from starting it.
        """
        if not _can_be_warm(plan):
            return None
        key = _key(plan)
        for _ in range(2):  # the first may be just about to end
            interpreter = self._at(key)
            if interpreter is None:
                return None
            answer = interpreter.ask(plan)
            if answer is not None:
                return answer if "pid" in answer else None
            self._drop(key, interpreter)
        return None

    def _at(self, key: Key) -> _Interpreter | None:
        with self._lock:
            if time.monotonic() < self._unfit.get(key, 0.0):
                return None
            found = self._kept.pop(key, None)
            if found is None or found.has_ended:
                try:
                    found = _Interpreter(*key, *self._patience)
                except OSError:
                    return None
            self._kept[key] = found  # the one that was used last comes last
            while len(self._kept) > _MOST:
                self._kept.pop(next(iter(self._kept))).hang_up()
            return found

    def _drop(self, key: Key, interpreter: _Interpreter) -> None:
        with self._lock:
            now = time.monotonic()
            self._unfit = {each: until for each, until in self._unfit.items() if until > now}
            if not interpreter.was_ready:
                self._unfit[key] = now + _AFTER_A_FAULT
            if self._kept.get(key) is interpreter:
                del self._kept[key]
        interpreter.end()


class _Interpreter:
    """One process, and the way to ask it."""

    def __init__(
        self,
        interpreter: str,
        program: str,
        environment: tuple[tuple[str, str], ...],
        ready_within: float,
        answers_within: float,
    ) -> None:
        self.was_ready = False
        self._asking = threading.Lock()
        self._connection, theirs = socket.socketpair()
        self._connection.settimeout(ready_within)
        self._answers_within = answers_within
        # Not closed before the last who hears it has let go of it: its number would be another's.
        weakref.finalize(self, self._connection.close)
        idle = os.environ.get("AML_WARM_IDLE_SECONDS") or str(IDLE_SECONDS)
        with theirs:
            self._process = subprocess.Popen(
                [interpreter, program, str(theirs.fileno()), idle],
                cwd="/",
                env=dict([*environment, _ROOM]),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        # It ends when it likes, and somebody has to take note.
        threading.Thread(target=self._process.wait, daemon=True).start()

    @property
    def has_ended(self) -> bool:
        """Whether the process is gone."""
        return self._process.returncode is not None

    def ask(self, plan: Plan) -> Mapping[str, Any] | None:
        """What it answers to a request; None if it does not, now or ever again."""
        request = {
            "command": plan.command,
            "directory": str(plan.directory),
            "log": str(plan.log),
            "environment": dict(plan.environment),
        }
        with self._asking:
            try:
                if not self.was_ready:
                    self._hear()
                    self.was_ready = True
                    self._connection.settimeout(self._answers_within)
                self._connection.sendall(json.dumps(request).encode() + b"\n")
                return self._hear()
            except (OSError, ValueError):
                return None

    def _hear(self) -> Mapping[str, Any]:
        line = b""
        while not line.endswith(b"\n"):
            line += self._connection.recv(4096) or b"it is gone\n"
        answer: Mapping[str, Any] = json.loads(line)
        return answer

    def hang_up(self) -> None:
        """Let it end as soon as it has nothing to do."""
        with suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)

    def end(self) -> None:
        """End it: it does not answer."""
        self.hang_up()
        self._process.kill()


def _can_be_warm(plan: Plan) -> bool:
    """Whether a fork is as good as a start: not on macOS, where libraries forbid it."""
    path = plan.environment.get("PYTHONPATH", "")
    # What is relative there is meant from the job's folder, at the interpreter's start.
    return sys.platform == "linux" and all(map(os.path.isabs, path.split(os.pathsep)))


def _key(plan: Plan) -> Key:
    """Whatever an interpreter may look at while it starts and imports."""
    program = str(plan.job.bundle / "aml_jupyter/nbjob/warm.py")
    lasting = sorted(
        (name, value)
        for name, value in plan.environment.items()
        if name not in _OF_A_SHELL and not name.startswith(_OF_A_RUN)
    )
    return plan.command[0], program, tuple(lasting)
