"""Plain processes on this machine."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence

from ..errors import ExperimentExecutionException, UserErrorException
from ..job import layout
from ..job.beneath import open_plain
from ..job.launch import CONTAINED
from ..job.process import identity, is_alive
from .base import Backend, Capabilities, Handle, Job, JobStatus, Plan, Probe, expand, run_variables
from .files import read_below
from .processes import end, processes_of, processes_of_each, wake
from .visible import leased
from .warm import WarmInterpreters

_NOT_FOR_JOBS = ("JPY_PARENT_PID", "JPY_SESSION_NAME", "JPY_INTERRUPT_EVENT", CONTAINED)


class LocalBackend(Backend):
    """Each job is a launcher in a session of its own; its log is a file from the start.

    All that is known of a job is in its run folder: the launcher's claim, the exit status it
    leaves. So any runner can go on where another was killed. A notebook's launcher is forked
    from a process that has imported what it needs, and is no child of ours.
    """

    name = "local"
    capabilities = Capabilities(gpu=True, distributed=True, live_logs=True)
    starts_at_once = True

    def __init__(self, warm: WarmInterpreters | None = None) -> None:
        self._started: dict[str, subprocess.Popen[bytes]] = {}
        self._warm = WarmInterpreters() if warm is None else warm

    def probe(self, options: Mapping[str, object] | None = None) -> Probe:
        """Always usable where processes can be forked."""
        if not hasattr(os, "fork"):
            return Probe(False, "this system cannot fork", "use Linux, macOS or WSL")
        return Probe(True, facts={"python": sys.executable, "cores": os.cpu_count() or 1})

    def plan(self, job: Job) -> Plan:
        """The launcher's command line, and what it adds to the submitter's environment."""
        spec = job.spec
        start = str(job.bundle / "aml_jupyter/job/start.py")
        # A shell command has no interpreter of its own: ours waits for it.
        interpreter = sys.executable if spec.command is not None else spec.interpreter
        what = [interpreter, start, str(job.folder), spec.kind, spec.what]
        added = run_variables(job, job.environment)
        if spec.command is not None:
            added["PYTHONUNBUFFERED"] = "1"
        # What a command or a script starts as `python`, `pip` or `papermill` is the environment's.
        own = os.path.dirname(spec.interpreter)
        added["PATH"] = os.pathsep.join(filter(None, [own, job.environment.get("PATH")]))
        theirs = job.environment.get("PYTHONPATH")
        added["PYTHONPATH"] = layout.search_path(theirs, str(job.bundle))
        if job.gpus is not None:
            added.update(leased(job.environment, job.gpus))
        environment = {**_clean(job.environment), **added}
        if spec.command is None:
            what += expand(spec.arguments, environment)
        log = job.folder / layout.DRIVER_LOG
        return Plan(self.name, tuple(what), job.work, log, environment, added, job)

    def starts_slowly(self, job: Job) -> bool:
        """A notebook's interpreter may have to become warm first."""
        return job.spec.kind == "notebook"

    def submit(self, plan: Plan) -> Handle:
        """Start the launcher; if the run is claimed already, the new one leaves at once."""
        folder = str(plan.job.folder)
        _link_places(plan.job)
        launcher = self._warm.launch(plan) if self.starts_slowly(plan.job) else None
        if launcher is not None:
            return {"folder": folder, "launcher": dict(launcher)}
        process = self._start(plan, folder)
        self._started[folder] = process
        return {"folder": folder, "launcher": identity(process.pid)}

    def _start(self, plan: Plan, folder: str) -> subprocess.Popen[bytes]:
        log = open_plain(folder, layout.DRIVER_LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        try:
            return subprocess.Popen(
                plan.command,
                cwd=plan.directory,
                env=dict(plan.environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            raise ExperimentExecutionException(
                f"The job could not be started: {plan.command[0]}: {error}.",
                "Check interpreter_path of the run's environment.",
            ) from error
        finally:
            os.close(log)

    def poll(self, handles: Sequence[Handle]) -> list[JobStatus]:
        """What the launcher wrote, else whether it is still there."""
        return [self._status(handle) for handle in handles]

    def cancel(self, handle: Handle, force: bool = False) -> bool:
        """Signal every process of the job but its launcher, which stays to tell the end."""
        folder = str(handle["folder"])
        path = os.path.join(folder, layout.CLAIM)
        claim = layout.read_json(path) or {}
        pids = processes_of(folder, claim.get("pid"))
        end(pids, force)
        if is_alive(claim):
            wake([claim["pid"]])  # stopped with the job, it could not tell
        elif not claim and os.path.exists(path):
            # The launcher passed the point where the signal is for itself: ask its job.
            return self.cancel(handle, force)
        return bool(pids)

    def read(self, handle: Handle, path: str, offset: int = 0, limit: int = 1 << 20) -> bytes:
        """Bytes of a file below the run's folder."""
        return read_below(str(handle["folder"]), path, offset, limit)

    def release(self, handle: Handle) -> None:
        """Take away the links to data that were made beyond the run's folder."""
        for source, target in _places_beyond(str(handle["folder"])):
            if os.path.islink(target) and os.readlink(target) == source:
                os.unlink(target)

    def processes(self, handles: Sequence[Handle]) -> list[list[int]]:
        """All processes of each job but its launcher."""
        return processes_of_each([(str(handle["folder"]), _launcher(handle)) for handle in handles])

    def _status(self, handle: Handle) -> JobStatus:
        folder = str(handle["folder"])
        own = self._reap(folder)
        is_starting = own.returncode is None if own else is_alive(handle.get("launcher"))
        claim = layout.read_json(os.path.join(folder, layout.CLAIM))
        if claim is None:
            if is_starting:
                return JobStatus(JobStatus.WAITING)
            code = own.returncode if own else None
            return self._ended(folder, None, code, "before the script began")
        since = float(claim["t"])
        end_of_job = layout.read_json(os.path.join(folder, layout.EXIT))
        if end_of_job is not None:
            return JobStatus(JobStatus.ENDED, since, end_of_job["code"], end_of_job["signal"])
        if is_alive(claim):
            return JobStatus(JobStatus.RUNNING, since)
        return self._without_launcher(folder, claim)

    def _without_launcher(self, folder: str, claim: Handle) -> JobStatus:
        """The launcher was killed; the job goes on without it, or has told its end itself."""
        since = float(claim["t"])
        written = layout.read_json(os.path.join(folder, layout.EXIT))
        if written is not None:  # it ended properly between two looks
            return JobStatus(JobStatus.ENDED, since, written["code"], written["signal"])
        outcome = layout.read_json(os.path.join(folder, layout.OUTCOME)) or {}
        # A program that has told its end is over, whatever daemons it left behind.
        goes_on = is_alive(outcome) if outcome else processes_of(folder, claim.get("pid"))
        if goes_on:
            return JobStatus(JobStatus.RUNNING, since, detail="its launcher was killed")
        return self._ended(folder, since, outcome.get("code"), "and its launcher was killed")

    def _ended(self, folder: str, since: float | None, code: int | None, detail: str) -> JobStatus:
        if code is not None and code < 0:
            return JobStatus(JobStatus.ENDED, since, None, -code, detail)
        return JobStatus(JobStatus.ENDED, since, code, None, detail)

    def _reap(self, folder: str) -> subprocess.Popen[bytes] | None:
        process = self._started.get(folder)
        if process is not None and process.poll() is not None and _has_told(folder):
            del self._started[folder]
        return process


def _link_places(job: Job) -> None:
    """Let data be where the job was told: at absolute paths that its user chose."""
    own = f"{job.folder.parent.parent}/"
    for source, target in _places_beyond(str(job.folder)) if job.spec.data else ():
        try:
            if os.path.islink(target) and os.readlink(target).startswith((source, own)):
                os.unlink(target)  # of an earlier run, or of this one's start that was cut short
            os.makedirs(os.path.dirname(target), exist_ok=True)
            os.symlink(source, target)
        except OSError as error:
            raise UserErrorException(
                f"Data of the run cannot be at {target}: {error.strerror}.",
                "Choose another path_on_compute, or leave it out.",
            ) from error


def _places_beyond(folder: str) -> list[tuple[str, str]]:
    """(where data is, where the job is told it is) of data that are not at their own paths."""
    found = layout.read_json(os.path.join(folder, layout.DATA)) or {}
    places = [(str(each["source"]), str(each["target"])) for each in found.get("places", ())]
    return [(source, target) for source, target in places if source != target]


def _has_told(folder: str) -> bool:
    return layout.read_json(os.path.join(folder, layout.EXIT)) is not None


def _launcher(handle: Handle) -> int | None:
    """The pid that the job's session is named by: its claim's, else of who is about to claim."""
    claim = layout.read_json(os.path.join(str(handle["folder"]), layout.CLAIM))
    who = claim or handle.get("launcher") or {}
    return who.get("pid")


def _clean(environment: Mapping[str, str]) -> dict[str, str]:
    """The submitter's environment without what only makes sense inside its kernel."""
    variables = dict(environment)
    for name in _NOT_FOR_JOBS:
        variables.pop(name, None)
    if str(variables.get("MPLBACKEND", "")).startswith("module://matplotlib_inline"):
        del variables["MPLBACKEND"]
    return variables
