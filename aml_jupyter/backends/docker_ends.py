"""How containers' jobs ended: from what the launcher wrote, else from what the engine knows."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from ..job import layout
from .base import JobStatus
from .docker_record import Record, read_end, write_end

_STOPPED = (
    "the container was stopped from outside: by `docker stop` or `docker kill`, or by its engine, "
    "which ends containers when it stops unless live-restore is on"
)


def began(folder: str) -> float | None:
    """When the job began; None until it has, or if the image has no Python and no clock."""
    claim = layout.read_json(os.path.join(folder, layout.CLAIM))
    since = claim.get("t") if isinstance(claim, Mapping) else None
    return float(since) if isinstance(since, (int, float)) else None


def told(folder: str) -> Mapping[str, Any] | None:
    """What the launcher wrote of the end; None until it has. A job may write anything there."""
    found = layout.read_json(os.path.join(folder, layout.EXIT))
    if not isinstance(found, Mapping):
        return None
    kinds = (type(found.get("code")), type(found.get("signal")))
    return found if kinds in ((int, type(None)), (type(None), int)) else None


def conclude(record: Record, status: JobStatus) -> JobStatus:
    """Write the end down, which from here on does not change; a full disk may put that off."""
    try:
        write_end(record, status)
    except OSError:
        return status
    return read_end(record.folder) or status


def end_by_launcher(record: Record, said: Mapping[str, Any]) -> JobStatus:
    """The end that the launcher told, and what lies behind it."""
    code, number, detail = said.get("code"), said.get("signal"), ""
    if said.get("out_of_memory"):
        detail = _out_of_memory(record)
    elif said.get("stopped") and not record.asked:
        detail = _STOPPED
        if code == 0:  # however well it took it: it did not come to its own end
            code, number = None, int(signal.SIGTERM)
    return JobStatus(JobStatus.ENDED, began(record.folder), code, number, detail)


def end_by_engine(record: Record, state: Mapping[str, Any]) -> JobStatus:
    """The end of a container whose launcher could not tell it, or that never had one."""
    since, detail = began(record.folder), ""
    code, number = _told_apart(int(state["ExitCode"]))
    if state.get("OOMKilled"):
        detail = _out_of_memory(record)
    elif number in (signal.SIGKILL, signal.SIGTERM) and not record.asked:
        detail = _STOPPED
    elif since is None:
        detail = "before the script began"
    outcome = layout.read_json(os.path.join(record.folder, layout.OUTCOME))
    if isinstance(outcome, Mapping) and isinstance(outcome.get("code"), int):
        # The program told its end itself, and something took the launcher away after that.
        return JobStatus(JobStatus.ENDED, since, outcome["code"], None, detail)
    return JobStatus(JobStatus.ENDED, since or _started(state), code, number, detail)


def end_without_container(folder: str, detail: str) -> JobStatus:
    """The end of a job whose container nobody can be asked about any more."""
    said = told(folder) or {}
    code, number = said.get("code"), said.get("signal")
    return JobStatus(JobStatus.ENDED, began(folder), code, number, "" if said else detail)


def _told_apart(status: int) -> tuple[int | None, int | None]:
    """Exit code and signal from the one number that engines and shells have for both."""
    return (None, status - 128) if 128 < status <= 128 + 64 else (status, None)


def _started(state: Mapping[str, Any]) -> float | None:
    """When a container without a claim was started, as far as the engine says."""
    said = str(state.get("StartedAt") or "")[:19]
    try:
        started = datetime.fromisoformat(f"{said}+00:00").timestamp()
    except ValueError:
        return None
    return started if started > 0 else None


def _out_of_memory(record: Record) -> str:
    if not record.memory:
        return "its machine ran out of memory"
    return (
        f"out of memory: its limit is {record.memory / (1 << 20):.0f} MiB; "
        "raise it with --mem, or the target's setting memory"
    )
