"""``events.jsonl``: all that happened to a run after it was asked for.

Runner, job and notebooks append; the order of the file is the order of things, because clocks
may jump. Each line is one ``write`` under a lock. A line that a dying writer left half-written
is closed by the next writer and skipped by readers.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time

from . import states
from .beneath import IN_THE_WAY, open_own, open_plain
from .layout import EVENTS, full_disk

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict

    Event = Dict[str, Any]

_LOCKS_UNKNOWN = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL)


def append(folder: str, kind: str, **facts: Any) -> None:
    """Add one event to the run in ``folder``; it is there, whole, when this returns."""
    import json

    path = os.path.join(folder, EVENTS)
    line = json.dumps({"t": time.time(), "e": kind, **facts}, separators=(",", ":")) + "\n"
    try:
        append_line(path, line.encode())
    except OSError as error:
        raise full_disk(error, path) from error


def append_line(path: str, line: bytes) -> None:
    """Append one whole line to a file that others append to as well.

    A link that a job has put in its place goes: what it leads to is none of the run's.
    """
    file = open_own(*os.path.split(path), os.O_RDWR | os.O_APPEND | os.O_CREAT)
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError as error:  # a file system without locks still appends
            if error.errno not in _LOCKS_UNKNOWN:
                raise
        size = os.fstat(file).st_size
        if size and os.pread(file, 1, size - 1) != b"\n":
            line = b"\n" + line
        if os.write(file, line) != len(line):
            os.ftruncate(file, size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
    finally:
        os.close(file)


def read(folder: str, offset: int = 0) -> tuple[list[Event], int]:
    """The events from byte ``offset`` on, and the offset to go on from.

    A last line without its newline is still being written: it is left for next time.
    """
    try:
        with open(open_plain(folder, EVENTS, os.O_RDONLY), "rb") as file:
            if os.fstat(file.fileno()).st_size < offset:
                offset = 0  # it is another file: its job has taken the old one away
            file.seek(offset)
            data = file.read()
    except OSError as error:
        if error.errno not in (errno.ENOENT, *IN_THE_WAY):
            raise
        return [], offset
    whole = data.rfind(b"\n") + 1
    return parse(data[:whole]), offset + whole


def parse(data: bytes) -> list[Event]:
    """The events in ``data``, without the lines that a killed writer left broken."""
    import json

    found = []
    for line in data.splitlines():
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict) and "e" in event:
            found.append(event)
    return found


class Facts:
    """What the events of a run add up to.

    Starts from the request (``run.json``) and takes events in order. The first terminal state
    wins and properties are write-once, so that replaying is the same for every reader.
    """

    def __init__(self, request: dict[str, Any]) -> None:
        self.status: str = states.NOT_STARTED
        self.since: float = float(request.get("created") or 0.0)
        self.started: float | None = None
        self.ended: float | None = None
        self.stages: list[tuple[str, float]] = []
        self.tags: dict[str, str | None] = dict(request.get("tags") or {})
        self.properties: dict[str, str] = dict(request.get("properties") or {})
        self.params: dict[str, str] = {}
        """What the job itself says are its parameters, by MLflow."""
        self.display_name: str = request.get("display_name") or request.get("id") or ""
        self.description: str | None = request.get("description")
        self.error: dict[str, Any] | None = None
        self.warnings: list[dict[str, Any]] = []
        self.cancel_requested = False
        self.cancel_by: str | None = None
        self.handle: dict[str, Any] | None = None
        self.progress: Event | None = None
        self.outputs: dict[str, Event] = {}
        self.archived = False

    @property
    def has_ended(self) -> bool:
        """True once the run is Completed, Failed or Canceled."""
        return self.status in states.TERMINAL

    def apply(self, event: Event) -> None:
        """Take one more event into account; what cannot be understood is passed over.

        It is from a later version, or a disk has spoiled it: the rest of the run is still true.
        """
        take = getattr(self, f"_on_{event['e']}", None)
        if take is not None:
            try:
                take(event)
            except (KeyError, TypeError, ValueError, AttributeError):
                pass

    def _on_state(self, event: Event) -> None:
        if self.has_ended:
            return
        state, when = str(event["state"]), float(event["t"])
        self.status, self.since = state, when
        self.stages.append((state, when))
        if state == states.RUNNING and self.started is None:
            self.started = float(event.get("since") or when)
        if state not in states.TERMINAL:
            if self.cancel_requested:
                self.status = states.CANCEL_REQUESTED
        else:
            # A clock that was set back must not make a run end before it began.
            self.ended = max(when, self.started or when)
            self.error = event.get("error")
            self.progress = None

    def _on_cancel(self, event: Event) -> None:
        if not self.has_ended:
            if not self.cancel_requested:
                self.cancel_by = event.get("by")
            self.cancel_requested = True
            self.status = states.CANCEL_REQUESTED

    def _on_tags(self, event: Event) -> None:
        self.tags.update(event.get("set") or {})
        for key in event.get("remove") or ():
            self.tags.pop(key, None)

    def _on_properties(self, event: Event) -> None:
        for key, value in (event.get("set") or {}).items():
            self.properties.setdefault(key, value)

    def _on_params(self, event: Event) -> None:
        for key, value in (event.get("set") or {}).items():
            self.params.setdefault(str(key), str(value))

    def _on_name(self, event: Event) -> None:
        self.display_name = event.get("display_name", self.display_name)
        self.description = event.get("description", self.description)

    def _on_job(self, event: Event) -> None:
        self.handle = event.get("handle")

    def _on_progress(self, event: Event) -> None:
        self.progress = event

    def _on_output(self, event: Event) -> None:
        self.outputs[str(event["name"])] = event

    def _on_warning(self, event: Event) -> None:
        self.warnings.append({"message": event.get("message", "")})

    def _on_archive(self, event: Event) -> None:
        self.archived = bool(event.get("archived"))
