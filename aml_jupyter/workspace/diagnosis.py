"""What works of a compute target, what is missing, and how to get it: asked, or really tried."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..backends import CONTAINERS, Handle, Job, JobStatus, Probe, backend
from ..engine import Engine, connect, find_address, find_build_command
from ..errors import AmlError
from ..home import home
from ..job import events, layout, states
from ..runner import machine
from ..spec import DEFAULT_CPU_IMAGE, DEFAULT_GPU_IMAGE, JobSpec, RunRequest
from ..store import WorkspaceFolder
from ..store.targets import Entry
from . import compute
from .compute import Placement

_PATIENCE = 60.0
_LOOK_EVERY = 0.05
_TRIALS = "trials"
_WORD = "aml-trial-works"
_OURS, _WITH_A_SHELL = "aml-env", ("python", "debian", "ubuntu", "continuumio", "nvidia", "pytorch")


@dataclass(frozen=True)
class Finding:
    """What was looked at, how it is, and what would make it better.

    ``works`` is None for what is only told; nothing runs without what is ``essential``.
    """

    name: str
    works: bool | None
    detail: str
    remedy: str = ""
    essential: bool = False


def about_target(entry: Entry) -> Iterator[Finding]:
    """How a target is, from what its backend says of itself."""
    label, essential = f"target {entry.name}", entry.name == compute.LOCAL
    try:
        place = compute.placed(entry)
        probe = backend(place.backend).probe(place.options)
    except AmlError as error:
        yield Finding(label, False, error.message, error.hint, essential)
        return
    if not probe.usable:
        # A kind of target that nobody has asked for may well be missing.
        works = None if not entry.lines and not essential else False
        yield Finding(label, works, probe.reason, to_use_it(probe), essential)
        return
    yield Finding(label, True, _said(place, probe) or entry.kind, essential=essential)
    yield from (Finding(label, None, note) for note in place.notes)
    if place.backend == CONTAINERS:
        yield from _about_engine(label, place, probe)


def to_use_it(probe: Probe) -> str:
    """What would make a backend usable, as a sentence; probes may tell it as half of one."""
    remedy = probe.remedy
    return f"To use it, {remedy.rstrip('.')}." if remedy[:1].islower() else remedy


def _said(place: Placement, probe: Probe) -> str:
    """The facts in a line."""
    slots = f"{place.slots} at once" if place.slots else ""
    facts = (_fact(name, value) for name, value in probe.facts.items())
    return ", ".join(filter(None, [slots, *facts]))


def _fact(name: str, value: object) -> str:
    if isinstance(value, bool):
        return name.replace("_", " ") if value else ""
    if name == "memory" and isinstance(value, int):
        return f"{value / 1e9:.0f} GB memory"
    return f"{name.replace('_', ' ')} {value}" if value is not None else ""


# Engines ------------------------------------------------------------------------------------------


def _about_engine(label: str, place: Placement, probe: Probe) -> Iterator[Finding]:
    facts = probe.facts
    if not facts.get("live_restore") and facts.get("engine") == "Docker":
        detail = "its jobs end when the engine restarts, since live-restore is off"
        remedy = 'Put {"live-restore": true} into /etc/docker/daemon.json and reload the engine.'
        yield Finding(label, None, detail, remedy)
    if not facts.get("gpus"):
        are_there = bool(facts.get("is_here") and compute.gpus_here())
        detail = "its containers get no GPUs: it has no NVIDIA runtime"
        remedy = "Install nvidia-container-toolkit, then `nvidia-ctk runtime configure`."
        yield Finding(label, False if are_there else None, detail, remedy if are_there else "")
    if not (facts.get("memory_limits") and facts.get("cpu_limits")):
        yield Finding(label, None, "limits of memory or processors have no effect there")
    try:
        engine = connect(find_address(place.options, os.environ))
        yield from _about_builds(label, engine)
        yield from _leftovers(label, engine)
    except AmlError as error:
        yield Finding(label, False, error.message, error.hint)


def _about_builds(label: str, engine: Engine) -> Iterator[Finding]:
    if find_build_command(engine, os.environ) is None:
        detail = "images are built without BuildKit: no download cache, no index with a password"
        yield Finding(label, None, detail, "Install buildx for the docker command: docker-buildx.")


def _leftovers(label: str, engine: Engine) -> Iterator[Finding]:
    """Containers of ours whose run is over."""
    from ..backends.docker_plan import FOLDER, HOME, KEEP

    with engine.errors("Its containers cannot be listed"):
        ours = {"label": [f"{HOME}={home().state}"]}
        found = engine.client.api.containers(all=True, filters=ours)
    over: dict[bool, list[str]] = {True: [], False: []}
    for container in found:
        labels = container.get("Labels") or {}
        if _has_ended(labels.get(FOLDER, "")):
            over[KEEP in labels].append(str(container["Names"][0]).lstrip("/"))
    for is_kept, names in over.items():
        if names:
            what = "kept, as was asked" if is_kept else "left over"
            shown = ", ".join(names[:3]) + (", …" if names[3:] else "")
            detail = f"{len(names)} containers of runs that are over, {what}: {shown}"
            yield Finding(label, None, detail, f"`docker rm {' '.join(names[:3])}` removes them.")


def _has_ended(folder: str) -> bool:
    """Whether a run is over, or gone."""
    request = layout.read_json(os.path.join(folder, layout.REQUEST))
    if request is None:
        return True
    facts = events.Facts(request)
    for event in events.read(folder)[0]:
        facts.apply(event)
    return facts.status in states.TERMINAL


# Really trying ------------------------------------------------------------------------------------


def tried(
    folder: WorkspaceFolder, name: str, more: Mapping[str, object] | None = None
) -> Iterator[Finding]:
    """How a target is, and whether a small job gets there and back; with ``more`` settings."""
    entry = compute.entry_of(folder, name)
    entry = replace(entry, settings={**entry.settings, **(more or {})})
    first, *others = about_target(entry)
    if first.works is not True:
        yield replace(first, works=False)
        return
    yield from (first, *others)
    place = compute.placed(entry)
    image = None
    if place.backend == CONTAINERS:
        image = _image(connect(find_address(place.options, os.environ)), place.options)
        if image is None:
            yield Finding(
                *(f"job on {name}", None, "not tried: the engine has no image that will do"),
                f"`aml target test {name} base_image=IMAGE` takes one that is there.",
            )
            return
    yield _job(folder, name, place, image)


def _image(engine: Engine, options: Mapping[str, object]) -> str | None:
    """An image that the engine has and that has a shell, as far as names tell."""
    with engine.errors("Its images cannot be listed"):
        there = [tag for image in engine.client.images.list() for tag in image.tags]
    wanted = [options.get("base_image"), DEFAULT_GPU_IMAGE, DEFAULT_CPU_IMAGE]
    for tag in filter(None, wanted):
        if tag in there or f"{tag}:latest" in there:
            return str(tag)
    if options.get("base_image"):
        return None
    known = [tag for tag in there if tag.split(":")[0] == _OURS]
    known += [tag for tag in there if tag.split("/")[-1].split(":")[0] in _WITH_A_SHELL]
    return known[0] if known else None


def _job(folder: WorkspaceFolder, name: str, place: Placement, image: str | None) -> Finding:
    """A job that says one word, by the way that runs go."""
    label, start = f"job on {name}", time.monotonic()
    gpus = _a_gpu(place)
    try:
        job = _trial(folder, name, place, image, gpus)
    except OSError as error:
        return Finding(label, False, f"{error}", "Look at the disk of the workspace.")
    try:
        status, said = _outcome(job, place)
    except AmlError as error:
        return Finding(label, False, error.message, error.hint)
    finally:
        shutil.rmtree(job.folder, ignore_errors=True)
        with suppress(OSError):  # another trial may be going on
            job.folder.parent.rmdir()
    took = f"{time.monotonic() - start:.1f} s"
    if status.ended and status.code == 0 and _WORD in said:
        where = f" in a container of {image}" if image else ""
        on = f", with GPU {gpus[0]}" if gpus else ""
        return Finding(label, True, f"started, heard and ended{where}{on} in {took}")
    if not status.ended:
        return Finding(label, False, f"not over after {took}", "Is the machine busy? Try again.")
    ended = f"signal {status.signal}" if status.signal else f"exit code {status.code}"
    words = "; ".join(filter(None, [ended, status.detail, said.strip()[-500:]]))
    return Finding(label, False, f"it failed: {words}")


def _a_gpu(place: Placement) -> tuple[int, ...] | None:
    """One of the GPUs for a container that may have one; it is looked at, not used."""
    if place.backend != CONTAINERS:
        return None
    facts = backend(CONTAINERS).probe(place.options).facts
    found = (machine.here().gpus or ()) if facts.get("gpus") and facts.get("is_here") else ()
    return tuple(gpu.index for gpu in found[:1]) or None


def _trial(
    folder: WorkspaceFolder,
    name: str,
    place: Placement,
    image: str | None,
    gpus: tuple[int, ...] | None,
) -> Job:
    """A job as the runner makes it, in a folder that no list of runs knows."""
    command = f"echo {_WORD}" + (" && ls /dev/nvidiactl" if gpus else "")
    spec = JobSpec(
        command=command, interpreter=sys.executable, image=image, options=dict(place.options)
    )
    request = RunRequest(
        id=f"trial_{os.urandom(6).hex()}", experiment=_TRIALS, target=name, job=spec
    )
    run = folder.root / _TRIALS / request.id
    for below in ("job", "azureml-logs", layout.OUTPUTS, layout.LOGS, layout.METRICS, layout.WORK):
        (run / below).mkdir(parents=True)
    layout.write_json(str(run / layout.REQUEST), request.to_json())
    return Job(request, spec, run, home().make().bundle(), dict(os.environ), gpus)


def _outcome(job: Job, place: Placement) -> tuple[JobStatus, str]:
    """How the job was when it ended, or when patience did, and what it said."""
    runs_on = backend(place.backend)
    handle: Handle = runs_on.submit(runs_on.plan(job))
    status, until = JobStatus(JobStatus.WAITING), time.monotonic() + _PATIENCE
    try:
        while not status.ended and time.monotonic() < until:
            time.sleep(_LOOK_EVERY)
            status = runs_on.poll([handle])[0]
        return status, runs_on.read(handle, layout.DRIVER_LOG).decode(errors="replace")
    finally:
        if not status.ended:
            runs_on.cancel(handle, force=True)
            _wait_until_ended(runs_on, handle)
        runs_on.release(handle)


def _wait_until_ended(runs_on: Any, handle: Handle) -> None:
    until = time.monotonic() + _PATIENCE / 6
    while not runs_on.poll([handle])[0].ended and time.monotonic() < until:
        time.sleep(_LOOK_EVERY)


def disk_room(name: str, folder: Path, least: int, remedy: str, also: str = "") -> Finding:
    """Whether the disk of a folder, which need not be there yet, has room."""
    there = next(place for place in (folder, *folder.parents) if place.exists())
    free = shutil.disk_usage(there).free
    detail = f"{also}{free / 1e9:.3g} GB free"
    return Finding(name, free >= least, detail, "" if free >= least else remedy)
