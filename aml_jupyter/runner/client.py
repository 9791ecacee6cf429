"""How a notebook, a script or the command line reaches the runner."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import __version__
from ..backends.visible import unleased
from ..errors import RunnerError
from ..home import Home, home
from ..spec import Resources
from . import queue

_ANSWER_WITHIN = 5.0
_START_WITHIN = 20.0
_LOOK_EVERY = 2.0
_looked_at = 0.0


@dataclass(frozen=True)
class RunnerStatus:
    """What the runner says of itself."""

    pid: int
    version: str
    running: int
    waiting: int
    since: float


def enqueue(
    folder: Path,
    run_id: str,
    environment: Mapping[str, str],
    ask: queue.Ask,
    secrets: Mapping[str, object] | None = None,
    is_family: bool = False,
) -> None:
    """Hand a run over: when this returns it will be run, whatever becomes of this process.

    The children of one that is its children have the environment, the secrets and the ask of it.
    """
    place = home()
    kind = queue.FAMILY if is_family else queue.RUN
    queue.add(place, folder, run_id, environment, ask, secrets, kind)
    wake(place)


def resize_pool(pool: str, slots: int) -> None:
    """Give a pool so many slots, for the runs that wait as well."""
    place = home()
    queue.resize(place, pool, slots)
    _ask(place, "wake")


def impossible_here(resources: Resources) -> str | None:
    """Why this machine can never serve a run that asks for ``resources``, and the remedy."""
    from .leases import Machine, Wish, impossible
    from .machine import here, memory, processors

    # The driver is not woken for those who want no GPU.
    found = here() if resources.gpus else Machine((), processors(), memory())
    return impossible(Wish(resources), found)


def wake(place: Home | None = None) -> None:
    """Make the runner look at once; starts one if there is none."""
    place = place or home()
    answer = _ask(place, "wake")
    if answer is None or _is_older(answer):
        if answer is not None:
            _ask(place, "leave")
        _start(place)


def ensure_runner() -> RunnerStatus:
    """The runner's status, after starting one if need be."""
    place = home().make()
    wake(place)
    until = time.monotonic() + _START_WITHIN
    while time.monotonic() < until:
        status = runner_status()
        if status is not None:
            return status
        time.sleep(0.02)
    raise RunnerError(
        "The runner did not start.", f"See what it said in {place.runner_log}, then try again."
    )


def runner_status() -> RunnerStatus | None:
    """What the runner says of itself; None when there is none."""
    answer = _ask(home(), "status")
    if answer is None:
        return None
    return RunnerStatus(
        int(answer["pid"]),
        str(answer["version"]),
        int(answer["running"]),
        int(answer["waiting"]),
        float(answer["since"]),
    )


def look_after() -> None:
    """Make sure somebody takes runs to their end: called, and cheap, wherever a run is watched.

    A runner that was killed leaves its jobs going, but their end is only noted by the next one.
    """
    global _looked_at
    if time.monotonic() - _looked_at > _LOOK_EVERY:
        _looked_at = time.monotonic()
        place = home()
        if not queue.is_empty(place) and _ask(place, "status") is None:
            _start(place)


def stop_runner() -> bool:
    """Make the runner leave; jobs go on, and the next runner takes them up again."""
    return _ask(home(), "leave") is not None


def _ask(place: Home, question: str) -> dict[str, Any] | None:
    """The runner's answer; None when nobody answers."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(_ANSWER_WITHIN)
            connection.connect(str(place.socket))
            connection.sendall(question.encode() + b"\n")
            data = b""
            while not data.endswith(b"\n"):
                chunk = connection.recv(65536)
                if not chunk:
                    return None
                data += chunk
    except OSError:
        return None
    answer: dict[str, Any] = json.loads(data)
    return answer


def _is_older(answer: Mapping[str, Any]) -> bool:
    """Whether the runner is of an earlier version than ours, and should make room."""
    return _parts(str(answer.get("version") or "0")) < _parts(__version__)


def _parts(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:3] if part.isdigit())


def _start(place: Home) -> None:
    """Start a runner that nothing here can take down with it.

    It need not be up when this returns: it begins by reading the queue. If another one holds
    the lock by then, the new one leaves.
    """
    place.make()
    package = str(Path(__file__).parents[2])
    # A job that starts it must not hide the GPUs from it that the job has no lease of.
    environment = unleased(os.environ)
    environment["PYTHONPATH"] = os.pathsep.join(
        [package, *filter(None, [environment.get("PYTHONPATH")])]
    )
    for name in ("JPY_PARENT_PID", "AML_RUN_FOLDER", "AZUREML_RUN_ID"):
        environment.pop(name, None)
    with open(place.runner_log, "ab") as log:
        try:
            subprocess.run(
                [sys.executable, "-m", "aml_jupyter.runner"],
                cwd="/",
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                timeout=_START_WITHIN,
                check=True,
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise RunnerError(
                f"The runner could not be started: {error}.",
                f"See what it said in {place.runner_log}, then try again.",
            ) from error
