"""How a run failed, in words that its user understands."""

from __future__ import annotations

import os
import signal
from typing import Any

from ..backends import JobStatus
from ..environments import BuildError
from ..job import layout
from ..job.beneath import open_plain
from ..job.ranks import LOGS

_TAIL_LINES = 30
_TAIL_BYTES = 16_384
_OF_EXCEPTIONS = ("type", "message", "traceback", "file", "line", "cell")


def explain(folder: str, status: JobStatus) -> dict[str, Any]:
    """Why a run failed, in words: the user's exception, an exit code, or a signal."""
    outcome = layout.read_json(os.path.join(folder, layout.OUTCOME)) or {}
    detail = f", {status.detail}" if status.detail else ""
    # One of several processes that failed, and so ended the others.
    process, log = outcome.get("process"), layout.DRIVER_LOG
    who = str(process or "User program")
    number = outcome.get("signal") if process else status.signal
    if isinstance(number, int):
        unexplained = number == signal.SIGKILL and not detail
        guess = ", perhaps because memory ran out" if unexplained else ""
        message = f"{who} was killed by signal {number} ({_signal_name(number)}){guess}{detail}."
    elif "type" in outcome:
        message = f"{who} failed with {outcome['type']}: {outcome['message']}"
    elif status.code is not None:
        message = f"{who} ended with exit code {status.code}{detail}."
    else:
        message = f"The run ended without leaving an exit status{detail}."
    if str(outcome.get("log")).startswith(LOGS):
        log = outcome["log"]
    tail = _end_of_log(folder, log).decode(errors="replace")
    error = failure("UserError", message)
    error["error"].update(
        exitCode=status.code,
        signal=status.signal,
        exception={key: outcome[key] for key in _OF_EXCEPTIONS if key in outcome} or None,
        logTail=tail.splitlines()[-_TAIL_LINES:],
    )
    return error


def _end_of_log(folder: str, name: str) -> bytes:
    """The last of a log; nothing where the job has put a link or a pipe in its place."""
    try:
        with open(open_plain(folder, name, os.O_RDONLY), "rb") as log:
            log.seek(max(0, os.fstat(log.fileno()).st_size - _TAIL_BYTES))
            return log.read(_TAIL_BYTES)
    except OSError:
        return b""


def build_failure(error: BuildError) -> dict[str, Any]:
    """Why an environment could not be built, and which line of its specification is at fault."""
    at_fault = f"At fault: {error.line}" if error.line else ""
    message = "\n".join(filter(None, (error.message, at_fault, error.hint)))
    failed = failure("ImageBuildFailure", message)
    failed["error"]["logTail"] = error.said.splitlines()[-_TAIL_LINES:]
    return failed


def failure(code: str, message: str) -> dict[str, Any]:
    """The error of a run, in v1's form."""
    return {"error": {"code": code, "message": message}}


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
