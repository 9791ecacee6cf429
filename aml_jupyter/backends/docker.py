"""Containers of a Docker engine or of Podman, here or elsewhere.

One container for each run, named by the run's folder, so that it is made once however often a
runner dies. Its job is the launcher's, as on a bare process: claim, exit status and log are files
in the run's folder, which the container sees under the same path. The engine is asked only for
what no file tells. Where the engine does not see this machine's files, :mod:`.remote_files`
carries them: in after the container is made, out while it runs and before it counts as over.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from ..engine import (
    Address,
    Conflict,
    Engine,
    EngineAway,
    EngineError,
    ImageMissing,
    NotThere,
    connect,
    find_address,
)
from ..errors import AmlError, ComputeTargetException
from ..home import home
from ..job import events, layout
from ..job.beneath import open_plain
from ..job.process import boot_id
from .base import Backend, Capabilities, Handle, Job, JobStatus, Plan, Probe, data_of
from .docker_arguments import ARGUMENTS, gpus_in, read_settings
from .docker_ends import (
    began,
    conclude,
    end_by_engine,
    end_by_launcher,
    end_without_container,
    told,
)
from .docker_options import SETTINGS, merged
from .docker_plan import FOLDER, HOME, ContainerPlan, name_for, plan_for
from .docker_processes import processes_in
from .docker_record import Record, all_records, read_end, record_of, write_end
from .files import read_below
from .processes import end

if TYPE_CHECKING:
    from .remote_files import RemoteFiles

_PROBED_FOR = 5.0
_LINES_OF_THE_ENGINE = 200
_ALIVE = ("running", "paused", "restarting", "stopping")  # the last is Podman's
_CREATED = ("created", "configured", "initialized")  # the latter two are Podman's
Containers = Mapping[str, str]
"""The state of each container by its name, as the engine lists them."""


class DockerBackend(Backend):
    """Each job is a container that has no more rights than its submitter, and fewer.

    ``submit`` lets :class:`EngineAway` and :class:`ImageMissing` out: it may be asked again when
    the engine is back, or the image is made anew.
    """

    name = "docker"
    capabilities = Capabilities(gpu=True, distributed=True, mounts=True, live_logs=True)
    settings: ClassVar = {**SETTINGS, "arguments": ARGUMENTS}

    def __init__(self) -> None:
        self._probed: dict[Address, tuple[float, Probe]] = {}

    def probe(self, options: Mapping[str, object] | None = None) -> Probe:
        """Whether the engine answers, and what it can do; true for a few seconds."""
        try:
            address = find_address(read_settings(options or {}), os.environ)
        except AmlError as error:
            return _not_usable(error)
        until, probe = self._probed.get(address, (0.0, Probe(False)))
        if time.monotonic() > until:
            probe = _probe(address)
            self._probed[address] = (time.monotonic() + _PROBED_FOR, probe)
        return probe

    def merge(self, target: Mapping[str, object], run: Mapping[str, object]) -> dict[str, object]:
        """The settings of both; what is a list or a mapping in both is joined."""
        return merged(target, run)

    def gpus_in(self, options: Mapping[str, object]) -> int | None:
        """What ``--gpus`` among v1's Docker arguments says."""
        return gpus_in(options)

    def reach(self, job: Job) -> str:
        """What is bound into the container, or copied where the engine is elsewhere."""
        address = find_address(read_settings(job.spec.options), job.environment)
        return self.BOUND if address.is_local else self.COPIED

    def plan(self, job: Job) -> ContainerPlan:
        """What the engine would be told; it is not asked."""
        return plan_for(job)

    # Starting

    def submit(self, plan: Plan) -> Handle:
        """Make the container and start it, or find the one that is there."""
        assert isinstance(plan, ContainerPlan)
        engine = connect(plan.address)
        _remove_those_that_are_over(engine)
        body = _for_engine(plan, engine)
        identity, state = _made_or_found(engine, plan, body)
        record = _record(plan, identity)
        known = record_of(plan.name)
        if known is None or known.container != identity:
            record.write()
        if state in _CREATED:
            _hand_over_files(plan, record, body["User"])
            _start(engine, plan, record)
        return {"folder": record.folder, "container": identity, "name": plan.name}

    # Looking

    def poll(self, handles: Sequence[Handle]) -> list[JobStatus]:
        """What the launchers wrote; for the others, each engine is asked once about all."""
        listed: dict[Address, Containers | EngineError] = {}

        def look(address: Address) -> Containers | EngineError:
            if address not in listed:
                listed[address] = _list(address)
            return listed[address]

        return [self._status(str(handle["folder"]), look) for handle in handles]

    def whom_to_ask(self, handle: Handle) -> str:
        """The address of the job's engine."""
        record = record_of(name_for(str(handle["folder"])))
        return record.address.url if record else ""

    def read(self, handle: Handle, path: str, offset: int = 0, limit: int = 1 << 20) -> bytes:
        """Bytes of a file below the run's folder; from afar they come a moment later."""
        return read_below(str(handle["folder"]), path, offset, limit)

    def processes(self, handles: Sequence[Handle]) -> list[list[int]]:
        """All processes of each container but its init process and its launcher."""
        sought = []
        for handle in handles:
            folder = str(handle["folder"])
            record = record_of(name_for(folder))
            claim = layout.read_json(os.path.join(folder, layout.CLAIM))
            launcher = claim.get("pid") if isinstance(claim, dict) else 0
            alive = record is not None and record.address.is_local and told(folder) is None
            sought.append((record.container if record and alive else "", str(launcher)))
        return processes_in(sought)

    def _status(
        self, folder: str, look: Callable[[Address], Containers | EngineError]
    ) -> JobStatus:
        known = read_end(folder)
        if known is not None:
            return known
        record = record_of(name_for(folder))
        if record is None:
            return end_without_container(None, folder, "what was known of its container is gone")
        said = told(folder) if record.address.is_local else None
        if said is not None:
            return conclude(record, end_by_launcher(record, said))
        listed = look(record.address)
        if isinstance(listed, EngineError):
            return _unheard(record, listed)
        state = listed.get(record.name, "")
        if state in (*_ALIVE, *_CREATED):
            if not record.address.is_local and state == "running":
                _files_of(record).follow(record.interpreter, Path(record.bundle))
            return _alive(record, "its container is paused" if state == "paused" else "")
        return self._ended(record)

    def _ended(self, record: Record) -> JobStatus:
        """The end of a container that is no longer listed as running: the engine knows more."""
        try:
            found = _inspect(connect(record.address), record.container)
        except EngineError as error:
            return _unheard(record, error)
        state = found["State"] if found else {}
        if state.get("Status") in _ALIVE:
            return _alive(record)
        if found and not record.address.is_local and not _files_of(record).fetch():
            return _alive(record, _files_of(record).trouble)
        said = told(record.folder)
        if said is not None:
            return conclude(record, end_by_launcher(record, said))
        if not found:
            detail = "its container was removed from outside before it had told its end"
            return conclude(record, end_without_container(record, record.folder, detail))
        if began(record) is None:
            _take_over_log(record)
        return conclude(record, end_by_engine(record, state))

    # Ending

    def cancel(self, handle: Handle, force: bool = False) -> bool:
        """Ask the engine to signal the launcher, which tells all; or to end the container."""
        folder = str(handle["folder"])
        record = record_of(name_for(folder))
        if record is None or read_end(folder) or (record.address.is_local and told(folder)):
            return False
        record = record.but(asked=True)
        number = signal.SIGKILL if force else signal.SIGTERM
        try:
            engine = connect(record.address)
            with engine.errors("The container could not be asked to end"):
                engine.client.api.kill(record.container, int(number))
        except (Conflict, NotThere):
            return False
        except EngineAway:
            if record.address.is_local:  # its containers may well be there without it
                end(self.processes([handle])[0], force)
        except EngineError as error:
            return "is not running" not in error.message  # Podman's way to say Conflict
        return True

    def give_up(self, handle: Handle) -> None:
        """Have the container removed, if there is one, as soon as its engine is asked again."""
        record = record_of(name_for(str(handle["folder"])))
        if record is None:
            return
        record = record.but(asked=True, over=True)
        detail = "its engine did not come back"
        conclude(record, JobStatus(JobStatus.ENDED, began(record), detail=detail))

    def release(self, handle: Handle) -> None:
        """Remove the container of a job that is over, unless it is to be kept."""
        record = record_of(name_for(str(handle["folder"])))
        if record is None:
            return
        status = self.poll([handle])[0]
        if not status.ended:
            return
        write_end(record, status)
        if record.keep:
            _say_kept(record)
            record.forget()
            return
        record = record.but(over=True)
        try:
            _remove(connect(record.address), record)
        except EngineError:  # away or busy: it is tried again when the next container is made
            return


# What an engine can do -----------------------------------------------------------------------


def _probe(address: Address) -> Probe:
    try:
        engine = connect(address)
        with engine.errors("The engine says nothing of itself"):
            info = engine.client.info()
    except EngineError as error:
        return _not_usable(error)
    facts = {
        "engine": "Podman" if engine.is_podman else "Docker",
        "version": engine.version,
        "address": address.url,
        "is_here": address.is_local,
        "rootless": engine.is_rootless,
        "live_restore": bool(info.get("LiveRestoreEnabled")),
        "memory_limits": bool(info.get("MemoryLimit")),
        "cpu_limits": bool(info.get("CpuCfsQuota")),
        "gpus": not engine.is_podman and _has_gpu_runtime(info),
        "cores": info.get("NCPU"),
        "memory": info.get("MemTotal"),
    }
    return Probe(True, facts=facts)


def _not_usable(error: AmlError) -> Probe:
    """The error in halves of sentences, as probes say them."""
    hint = error.hint
    begins = hint[:1].lower() if hint[1:2].islower() else hint[:1]
    return Probe(False, error.message.rstrip("."), (begins + hint[1:]).rstrip("."))


def _has_gpu_runtime(info: Mapping[str, Any]) -> bool:
    devices = (str(device.get("ID")) for device in info.get("DiscoveredDevices") or ())
    return "nvidia" in (info.get("Runtimes") or {}) or any("nvidia" in name for name in devices)


# Making and starting --------------------------------------------------------------------------


def _made_or_found(engine: Engine, plan: ContainerPlan, body: object) -> tuple[str, str]:
    """The id and state of the run's container, which is made unless it is there."""
    try:
        with engine.errors("The container could not be made"):
            api: Any = engine.client.api
            made = api.create_container_from_config(body, plan.name)
        return str(made["Id"]), _CREATED[0]
    except (EngineAway, ImageMissing):
        raise
    except EngineError:
        found = _inspect(engine, plan.name)
        if found is None or found["Config"]["Labels"].get(FOLDER) != str(plan.job.folder):
            raise
        return str(found["Id"]), str(found["State"]["Status"])


def _for_engine(plan: ContainerPlan, engine: Engine) -> dict[str, Any]:
    """The plan's container, fitted to what kind of engine this is."""
    if engine.is_podman and "DeviceRequests" in plan.container["HostConfig"]:
        # It would take the request, and start the job without a GPU.
        raise ComputeTargetException(
            "Podman gives no GPUs to containers that are made by its Docker API.",
            "Use a Docker engine, or run it without a GPU: --gpus 0.",
        )
    said = engine.info.get("SecurityOptions") or ()
    body, host = dict(plan.container), dict(plan.container["HostConfig"])
    if engine.is_rootless:
        # Its users are mapped: root is the submitter, unless Podman keeps the numbers.
        host.pop("GroupAdd", None)
        if engine.is_podman:
            host["UsernsMode"] = "keep-id"
        else:
            body["User"] = "0:0"
    elif any("name=userns" in option for option in said):
        host["UsernsMode"] = "host"  # else the files would belong to a stranger
    if any("name=selinux" in option for option in said):
        host["SecurityOpt"] = [*host["SecurityOpt"], "label=disable"]  # else no folder is readable
    for can, limits in _LIMITS.items():
        if engine.info.get(can) is False:
            host = {name: value for name, value in host.items() if name not in limits}
    return {**body, "HostConfig": host}


# What the kernel under an engine may be unable to limit.
_LIMITS = {
    "MemoryLimit": ("Memory", "MemorySwap"),
    "SwapLimit": ("MemorySwap",),
    "CpuCfsQuota": ("NanoCpus",),
    "CPUSet": ("CpusetCpus",),
    "PidsLimit": ("PidsLimit",),
}


def _record(plan: ContainerPlan, identity: str) -> Record:
    return Record(
        name=plan.name,
        folder=str(plan.job.folder),
        container=identity,
        image=plan.image,
        interpreter=plan.interpreter,
        bundle=str(plan.job.bundle),
        address=plan.address,
        memory=plan.container["HostConfig"].get("Memory", 0),
        keep=plan.keep,
        boot=boot_id(),
    )


def _files_of(record: Record) -> RemoteFiles:
    from .remote_files import RemoteFiles

    return RemoteFiles(connect(record.address), record.container, Path(record.folder))


def _hand_over_files(plan: ContainerPlan, record: Record, user: str) -> None:
    """Let the job find its files where it runs, and let them be its own."""
    uid, gid = map(int, user.split(":"))
    if not plan.address.is_local:
        places = data_of(plan.job)["places"]
        _files_of(record).put(plan.job.bundle, (uid, gid), places)
    elif os.getuid() == 0 and uid != 0:
        os.chown(plan.job.folder, uid, gid)
        for place, folders, files in os.walk(plan.job.folder):
            if layout.MOUNTS in folders:
                folders.remove(layout.MOUNTS)  # links, to what stays whose it is
            for name in (*folders, *files):
                os.chown(os.path.join(place, name), uid, gid, follow_symlinks=False)


def _start(engine: Engine, plan: ContainerPlan, record: Record) -> None:
    try:
        with engine.errors("The container could not be started"):
            engine.client.api.start(record.container)
    except EngineAway:
        raise
    except EngineError as error:
        record = record.but(over=True)
        _remove(engine, record)
        if "DeviceRequests" not in plan.container["HostConfig"]:
            raise
        raise ComputeTargetException(
            error.message, f"{error.hint} Without a GPU: --gpus 0.".strip()
        ) from error


def _remove_those_that_are_over(engine: Engine) -> None:
    """What could not be removed when its run ended, because the engine was away."""
    for record in all_records():
        if record.over and record.address.url == engine.address.url:
            try:
                _remove(engine, record)
            except EngineError:
                continue


def _remove(engine: Engine, record: Record) -> None:
    try:
        with engine.errors("The container could not be removed"):
            engine.client.api.remove_container(record.container, v=True, force=True)
    except NotThere:
        pass
    record.forget()


# Looking --------------------------------------------------------------------------------------


def _list(address: Address) -> Containers | EngineError:
    try:
        engine = connect(address)
        with engine.errors("No containers can be listed"):
            found = engine.client.api.containers(
                all=True, filters={"label": [f"{HOME}={home().state}"]}
            )
    except EngineError as error:
        return error
    return {str(each["Names"][0]).lstrip("/"): str(each["State"]) for each in found}


def _inspect(engine: Engine, container: str) -> Mapping[str, Any] | None:
    """What the engine knows of a container; None when there is none."""
    try:
        with engine.errors("The container cannot be looked at"):
            found: Mapping[str, Any] = engine.client.api.inspect_container(container)
    except NotThere:
        return None
    return found


def _alive(record: Record, detail: str = "") -> JobStatus:
    since = began(record)
    phase = JobStatus.WAITING if since is None else JobStatus.RUNNING
    return JobStatus(phase, since, detail=detail)


def _unheard(record: Record, error: EngineError) -> JobStatus:
    return replace(_alive(record, f"its engine cannot be asked: {error.message}"), is_unheard=True)


def _take_over_log(record: Record) -> None:
    """What was said before there was a launcher to keep it: by an init process, by a shell."""
    try:
        engine = connect(record.address)
        with engine.errors("The container's log cannot be read"):
            said = engine.client.api.logs(record.container, tail=_LINES_OF_THE_ENGINE)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        log = open_plain(record.folder, layout.DRIVER_LOG, flags)
    except (EngineError, OSError):
        return
    try:
        if os.fstat(log).st_size == 0:
            os.write(log, said)
    finally:
        os.close(log)


def _say_kept(record: Record) -> None:
    message = (
        f"The container {record.name} was kept: `docker start -ai {record.name}` opens a shell "
        f"in it, `docker rm -v {record.name}` removes it."
    )
    events.append(record.folder, "warning", message=message)
