"""Why a run failed: the exception, the line that it came from, the last words, what to try."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import AmlError
from ..job import layout, states
from ..job.beneath import open_plain
from ..spec import RunRequest
from .remedies import Hint, Symptoms, hints_for
from .sources import SnapshotFiles, cell_in

if TYPE_CHECKING:
    from .run import Run

_TAIL = 64 * 1024
_LOG_LINES = 40
_LONGEST_LINE = 2_000
_LONGEST_TRACE = 60_000
_LONGEST_MESSAGE = 8_000
_AROUND = 4
_LONGEST_FILE = 400_000

_COLOUR = re.compile(r"\x1b\[[0-9;:]*m")
_HEAD = "Traceback (most recent call last):"
_FRAME = re.compile(r'^\s*(?:\[rank\d+\]:\s*)?File "([^"\n]+)", line (\d+)', re.MULTILINE)
_LAST = re.compile(r"^((?:\w+\.)*[A-Za-z_]\w*)(?:: (.*))?$")
_IN_CELL = re.compile(r"^\s*-+> (\d+) ", re.MULTILINE)
_FOREIGN = ("site-packages", "dist-packages", "<frozen ", "<string>", "/lib/python")


class Code(NamedTuple):
    """A line of the run's own code, and those around it as they were run, from ``first`` on.

    ``number`` is that of the cell in an executed notebook, from 1, or 0.
    """

    path: str
    line: int
    is_cell: bool = False
    number: int = 0
    first: int = 1
    lines: tuple[str, ...] = ()


@dataclass(frozen=True)
class Failure:
    """Why a run failed. ``kind`` is the exception's name, "" where there was none."""

    kind: str
    message: str
    place: Code | None
    trace: str
    log: tuple[str, ...]
    log_name: str
    hints: tuple[Hint, ...] = field(default=())


def failure_of(run: Run) -> Failure | None:
    """What is known of the failure of a run; None of a run that has not failed."""
    facts = run._read()
    if facts.status != states.FAILED:
        return None
    request = RunRequest.from_json(run._request)
    told = _inner(facts.error)
    log_name = _log_name(run, told)
    tail = _tail(str(run.folder), log_name)
    exception = _exception(told, tail)
    message = str(told.get("message") or exception.get("message") or "")
    trace = str(exception.get("traceback") or "")[-_LONGEST_TRACE:]
    kind = str(exception.get("type") or "")
    return Failure(
        kind=kind,
        message=_said(kind, message, exception)[:_LONGEST_MESSAGE],
        place=_place(run, request, exception),
        trace=trace,
        log=tuple(line[:_LONGEST_LINE] for line in _lines(told, tail)),
        log_name=log_name,
        hints=tuple(hints_for(_symptoms(request, told, kind, message, trace, tail))),
    )


def _inner(error: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """What the error record says; users may have written what they like."""
    found = (error or {}).get("error", error)
    return found if isinstance(found, Mapping) else {}


def _log_name(run: Run, told: Mapping[str, Any]) -> str:
    if told.get("code") == "ImageBuildFailure":
        return layout.BUILD_LOG
    return layout.DRIVER_LOG


def _tail(folder: str, name: str) -> str:
    """The end of a log as it is now; "" where the job has put something else in its place."""
    try:
        with open(open_plain(folder, name, os.O_RDONLY), "rb") as log:
            size = os.fstat(log.fileno()).st_size
            log.seek(max(0, size - _TAIL))
            data = log.read(_TAIL)
    except OSError:
        return ""
    text = data.decode("utf-8", "replace")
    return text if size <= _TAIL else text.partition("\n")[2]


def _lines(told: Mapping[str, Any], tail: str) -> list[str]:
    kept = told.get("logTail")
    lines = tail.splitlines() or (list(map(str, kept)) if isinstance(kept, list) else [])
    while lines and not lines[-1].strip():
        lines.pop()
    # Of a progress bar its last state remains.
    return [line.rstrip("\r").rpartition("\r")[2] for line in lines[-_LOG_LINES:]]


def _said(kind: str, message: str, exception: Mapping[str, Any]) -> str:
    """The message without what is told beside it."""
    own = str(exception.get("message") or "")
    return own if kind and own else message


# The exception ------------------------------------------------------------------------------------


def _exception(told: Mapping[str, Any], tail: str) -> Mapping[str, Any]:
    """What the launcher saw of it, else what the log tells of the last one."""
    found = told.get("exception")
    if isinstance(found, Mapping):
        return found
    if told.get("exitCode") in (None, 0) or told.get("signal"):
        return {}
    return _last_in(_COLOUR.sub("", tail))


def _last_in(log: str) -> Mapping[str, Any]:
    """The last traceback in a log, if its job ended with it rather than going on."""
    at = log.rfind(_HEAD)
    if at < 0:
        return {}
    start = log.rfind("\n", 0, at) + 1
    prefix = log[start:at]
    lines = [line.removeprefix(prefix) for line in log[start:].splitlines()]
    for number, line in enumerate(lines[1:], 1):
        match = _LAST.match(line)
        if match and not line.startswith(" "):
            rest = lines[number + 1 :]
            message = "\n".join([match[2] or "", *_go_on(rest)]).rstrip()
            trace = "\n".join([*lines[: number + 1], *_go_on(rest)])
            return {"type": match[1].rpartition(".")[2], "message": message, "traceback": trace}
    return {}


def _go_on(lines: list[str]) -> Iterator[str]:
    """Further lines of a message: those that are set in."""
    for line in lines:
        if not line.startswith((" ", "\t")):
            return
        yield line


# The line -----------------------------------------------------------------------------------------


def _place(run: Run, request: RunRequest, exception: Mapping[str, Any]) -> Code | None:
    cell = exception.get("cell")
    if isinstance(cell, int) and cell > 0:
        return _in_notebook(request, cell, str(exception.get("traceback") or ""))
    work = str(run.folder / layout.WORK)
    for path, line in _frames(exception):
        below = _below(path, work)
        if below is not None:
            return _in_source(run, request, path, below, line)
    return None


def _frames(exception: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """The places that a traceback names, the innermost first."""
    trace = _COLOUR.sub("", str(exception.get("traceback") or ""))
    # Of several, which one has caused, the last one is what ended the program.
    last = trace[trace.rfind(_HEAD) :] if _HEAD in trace else trace
    yield from ((match[1], int(match[2])) for match in reversed(list(_FRAME.finditer(last))))
    if exception.get("file") and isinstance(exception.get("line"), int):
        yield str(exception["file"]), exception["line"]


def _below(path: str, work: str) -> str | None:
    """A file of the run below its working directory; None for those of others."""
    if any(word in path for word in _FOREIGN):
        return None
    if not os.path.isabs(path):
        return os.path.normpath(path)
    for root in (work, os.path.realpath(work)):
        if path.startswith(f"{root}/"):
            return path[len(root) + 1 :]
    # In a container, or on another machine, the folder may have another place.
    marker = f"/{os.path.basename(os.path.dirname(work))}/{layout.WORK}/"
    return path.partition(marker)[2] or None


def _in_source(run: Run, request: RunRequest, path: str, below: str, line: int) -> Code:
    script = os.path.normpath(request.job.script) if request.job and request.job.script else ""
    is_cell = request.source.get("kind") == "cell" and below == script
    text = _source_text(run, request, below)
    begins, lines = cell_in(text) if is_cell else (1, text.splitlines())
    first = max(begins, line - _AROUND)
    shown = [each[:_LONGEST_LINE] for each in lines[first - begins : line + _AROUND + 1 - begins]]
    is_there = begins <= line < begins + len(lines)
    return Code(path, line, is_cell, 0, first, tuple(shown) if is_there else ())


def _source_text(run: Run, request: RunRequest, path: str) -> str:
    """The file as it was submitted; "" where its snapshot is gone."""
    snapshot = request.job.snapshot if request.job else None
    try:
        return SnapshotFiles(run._objects(), snapshot).text(path, _LONGEST_FILE)
    except (AmlError, OSError):
        return ""


def _in_notebook(request: RunRequest, cell: int, trace: str) -> Code:
    """IPython shows the lines of the cell in its traceback, with an arrow at the one meant."""
    notebook = request.job.notebook if request.job else None
    at = _IN_CELL.search(_COLOUR.sub("", trace))
    path = notebook.output if notebook else ""
    return Code(path, int(at[1]) if at else 1, False, cell)


# What to try --------------------------------------------------------------------------------------


def _symptoms(
    request: RunRequest, told: Mapping[str, Any], kind: str, message: str, trace: str, tail: str
) -> Symptoms:
    environment, job = request.environment, request.job
    number, exit_code = told.get("signal"), told.get("exitCode")
    return Symptoms(
        name=kind,
        # What the exception says counts; without one the last words of the log may tell.
        text=_COLOUR.sub("", f"{message}\n{trace}" if kind else f"{message}\n{tail[-16_384:]}"),
        signal=number if isinstance(number, int) else None,
        exit_code=exit_code if isinstance(exit_code, int) else None,
        code=str(told.get("code") or ""),
        environment=str(environment.get("name") or ""),
        environment_kind=str(environment.get("kind") or ""),
        interpreter=str(job.interpreter or "") if job else "",
        in_container=bool(job and job.image),
        is_cell=request.source.get("kind") == "cell",
    )
