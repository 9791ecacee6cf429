"""How containers' jobs ended: from what the launcher wrote, else from what the engine knows."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from ..job import layout
from ..job.process import boot_id
from .base import JobStatus
from .docker_record import Record, read_end, write_end

_STOPPED = (
    "the container was stopped from outside: by `docker stop` or `docker kill`, or by its engine, "
    "which ends containers when it stops unless live-restore is on"
)
_RESTARTED = "its launcher is not of this boot: the machine was restarted while the job ran"


def began(record: Record) -> float | None:
    """When the job began; None until it has, or if the image has no Python and no clock.

    The clock of another machine may be wrong: a job there began when its claim came here, or as
    long before its end came as it took.
    """
    since = _time_in(record.folder, layout.CLAIM)
    if since is None or record.address.is_local:
        return since
    came, ended = (_came(record.folder, name) for name in (layout.CLAIM, layout.EXIT))
    took = max(0.0, (_time_in(record.folder, layout.EXIT) or since) - since)
    return min(came, ended - took) if came and ended else came


def _time_in(folder: str, note: str) -> float | None:
    found = layout.read_json(os.path.join(folder, note))
    time = found.get("t") if isinstance(found, Mapping) else None
    return float(time) if isinstance(time, (int, float)) else None


def _came(folder: str, note: str) -> float | None:
    """When a file came here; it may have brought the time of its change along."""
    try:
        return os.stat(os.path.join(folder, note)).st_ctime
    except OSError:
        return None


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
    return JobStatus(JobStatus.ENDED, began(record), code, number, detail)


def end_by_engine(record: Record, state: Mapping[str, Any]) -> JobStatus:
    """The end of a container whose launcher could not tell it, or that never had one."""
    since, detail = began(record), ""
    code, number = _told_apart(int(state["ExitCode"]))
    if _is_of_an_earlier_boot(record):
        # The engine makes something up for what it did not see end.
        code, number, detail = None, None, _RESTARTED
    elif state.get("OOMKilled"):
        detail = _out_of_memory(record)
    elif number in (signal.SIGKILL, signal.SIGTERM) and not record.asked:
        detail = _STOPPED
    elif since is None:
        detail = "before the script began"
    outcome = layout.read_json(os.path.join(record.folder, layout.OUTCOME))
    if isinstance(outcome, Mapping) and isinstance(outcome.get("code"), int):
        # The program told its end itself, and something took the launcher away after that.
        return JobStatus(JobStatus.ENDED, since, outcome["code"], None, detail)
    return JobStatus(
        JobStatus.ENDED,
        since or (_started(state) if record.address.is_local else None),
        code,
        number,
        detail,
    )


def _is_of_an_earlier_boot(record: Record) -> bool:
    """Whether this machine was restarted since the job began.

    The claim alone does not tell: an engine may be in a virtual machine that boots by itself.
    """
    claim = layout.read_json(os.path.join(record.folder, layout.CLAIM))
    claimed = claim.get("boot") if isinstance(claim, Mapping) else ""
    boots = {boot_id(), ""}
    return record.address.is_local and claimed not in boots and record.boot not in boots


def end_without_container(record: Record | None, folder: str, detail: str) -> JobStatus:
    """The end of a job whose container nobody can be asked about any more."""
    said = told(folder) or {}
    code, number = said.get("code"), said.get("signal")
    since = began(record) if record else _time_in(folder, layout.CLAIM)
    return JobStatus(JobStatus.ENDED, since, code, number, "" if said else detail)


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
