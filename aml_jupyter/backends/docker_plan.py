"""What a container is made from: a pure function from a job to what the engine is told."""

from __future__ import annotations

import hashlib
import os
import pwd
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import __version__
from ..engine import Address, find_address
from ..errors import RunConfigurationException
from ..home import home
from ..job import layout
from ..job.launch import CONTAINED, KEPT, REMOTE, SEVERAL
from ..spec.words import HIDDEN, looks_secret
from .base import Job, Plan, data_of, expand, run_variables
from .docker_arguments import read_settings
from .docker_options import refuse_source

RUN, FOLDER, HOME, KEEP = "aml.run", "aml.folder", "aml.home", "aml.keep"
"""Labels that containers are found again by."""

_VERSION = "aml.version"
_WORKSPACE, _OF_WORKSPACE = "workspace.json", ("datastores", "datasets", "models")
_SHARED_MEMORY = 2 << 30  # v1's shm_size
_LOG_OF_THE_ENGINE = {"Type": "json-file", "Config": {"max-size": "1m"}}
_CERTIFICATES = "/etc/aml/ca-certificates.crt"
_FOR_CERTIFICATES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "PIP_CERT")
_PROXIES = ("http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy")
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_.-]")

# Arguments: the interpreter, start.py, the run's folder, "script" or "command", the script or
# the command, the script's arguments.
_LAUNCHED = """
interpreter=$1
shift
for python in "$interpreter" python3 python; do
  command -v "$python" >/dev/null 2>&1 && exec "$python" "$@"
done
"""
_WITHOUT_PYTHON = """
echo "There is no Python in this image ($interpreter, python3, python) for the run's script." >&2
echo "Take an image with Python, let the environment name packages, or run a command." >&2
exit 127
"""
# A shell stands in for the launcher as well as it can. Asked again, it becomes a shell to look
# around in, as the launcher does.
_WITHOUT_LAUNCHER = f"""
contained=${CONTAINED}
unset {CONTAINED}
log=$2/{layout.DRIVER_LOG}
claim=$2/{layout.CLAIM}
if [ -e "$claim" ]; then
  [ "$contained" = {KEPT} ] && exec /bin/sh
  exit 0
fi
set -C
now=$(date +%s) &&
  printf '{{"pid":%s,"started":null,"boot":"","t":%s}}' "$$" "$now" >"$claim"
set +C
exec </dev/null >>"$log" 2>&1
if [ "${SEVERAL}" ]; then
  echo "There is no Python in this image to start several processes." >&2
  exit 127
fi
trap 'told=1; kill -s TERM -- -1' TERM
/bin/sh -c "$4" &
code=
told=1
while [ "$told" ]; do
  told=
  wait "$!"
  ended=$?
  # It may have ended just when the signal came, and is not told twice.
  [ "$code" ] && [ "$ended" = 127 ] || code=$ended
done
exit "$code"
"""


@dataclass(frozen=True)
class ContainerPlan(Plan):
    """A plan whose ``container`` is what the engine at ``address`` makes ``name`` from.

    ``container`` is in the engine's own words; what depends on the kind of engine comes on top
    when it is made.
    """

    name: str
    image: str
    interpreter: str
    address: Address
    container: Mapping[str, Any]
    keep: bool = False

    def __str__(self) -> str:
        shown = "\n".join(f"    {name}={_shown(name, self.added)}" for name in sorted(self.added))
        facts = "\n".join(f"  {name:<7} {what}" for name, what in self._facts())
        return (
            f"on {self.backend} ({self.address.url}), in {self.directory}\n"
            f"  run     {shlex.join(self.command)}\n"
            f"  log     {self.log}\n"
            f"{facts}\n"
            f"  with\n{shown}"
        )

    def _facts(self) -> Iterator[tuple[str, str]]:
        host = self.container["HostConfig"]
        yield "image", self.image
        yield "user", str(self.container["User"])
        yield "limits", ", ".join(_limits(host))
        if host.get("NetworkMode"):
            yield "network", host["NetworkMode"]
        for mount in host["Mounts"]:
            rights = " (read only)" if mount["ReadOnly"] else ""
            yield "mount", f"{mount['Source']} at {mount['Target']}{rights}"
        for request in host.get("DeviceRequests", ()):
            devices = ", ".join(request.get("DeviceIDs") or ())
            yield "GPUs", devices or ("all" if request["Count"] < 0 else str(request["Count"]))
        for device in host.get("Devices", ()):
            yield "device", device["PathOnHost"]


def plan_for(job: Job) -> ContainerPlan:
    """The plan of one job; nothing is asked of the engine, and nothing is made."""
    spec = job.spec
    if not spec.image:
        raise RunConfigurationException(
            "The run names no image to be started from.",
            "Name one in its environment, or as base_image of the target.",
        )
    options = read_settings(spec.options)
    address = find_address(options, job.environment)
    kind = spec.kind
    added = _variables(job, options, address)
    start = str(job.bundle / "aml_jupyter/job/start.py")
    interpreter = spec.interpreter or "python"
    arguments = [] if kind == "command" else expand(spec.arguments, added)
    command = [interpreter, start, str(job.folder), kind, spec.what, *arguments]
    container = {
        "Image": spec.image,
        "Entrypoint": _entrypoint(interpreter, kind),
        "Cmd": command if kind == "command" or not os.path.isabs(interpreter) else command[1:],
        "WorkingDir": str(job.work),
        "Env": [f"{name}={value}" for name, value in added.items()],
        **_who_and_where(job, options, address),
        "HostConfig": _host_config(job, options, address),
    }
    return ContainerPlan(
        "docker", tuple(command), job.work, job.folder / layout.DRIVER_LOG, added, added, job,
        name_for(str(job.folder)), spec.image, interpreter, address, container,
        bool(options.get("keep")),
    )  # fmt: skip


def name_for(folder: str) -> str:
    """The name of a run's container, by which a second one cannot be made."""
    digest = hashlib.sha256(os.fsencode(folder)).hexdigest()[:10]
    return f"aml-{_NOT_IN_NAMES.sub('-', os.path.basename(folder))[:80]}-{digest}"


def _entrypoint(interpreter: str, kind: str) -> list[str]:
    """A script's own interpreter, named in full, is started as it is; others are looked for."""
    if kind != "command" and os.path.isabs(interpreter):
        return [interpreter]
    otherwise = _WITHOUT_LAUNCHER if kind == "command" else _WITHOUT_PYTHON
    return ["/bin/sh", "-c", _LAUNCHED + otherwise, "aml"]


def _who_and_where(job: Job, options: Mapping[str, Any], address: Address) -> dict[str, Any]:
    keep = bool(options.get("keep"))
    labels = {
        **options.get("labels", {}),
        RUN: job.request.id,
        FOLDER: str(job.folder),
        HOME: str(home().state),
        _VERSION: __version__,
        **({KEEP: "1"} if keep else {}),
    }
    ports = [_port(text) for text in options.get("ports", ())]
    said: dict[str, Any] = {
        "User": user_of(options, os.getuid(), os.getgid(), address.is_local),
        "Labels": labels,
        "StopSignal": "SIGTERM",
        "Healthcheck": {"Test": ["NONE"]},
        # `docker start -ai` is how one looks into a container that was kept.
        "OpenStdin": keep,
        "Tty": keep,
        "ExposedPorts": {inside: {} for inside, _ in ports},
        "Hostname": options.get("hostname"),
    }
    return {name: value for name, value in said.items() if value is not None}


def user_of(options: Mapping[str, Any], submitter: int, group: int, is_local: bool = True) -> str:
    """Whom a container runs as: who submitted the run, so that its files are theirs."""
    user = str(options.get("user") or f"{submitter}:{group}")
    uid, _, said = user.partition(":")
    gid = int(said or uid)
    if submitter != 0 and (int(uid) == 0 or (gid == 0 and group != 0)):
        raise RunConfigurationException(
            "A run cannot be root in its container, nor in root's group.",
            "Leave out the setting user; a rootless engine makes root of you by itself.",
        )
    if submitter not in (0, int(uid)) and is_local:
        raise RunConfigurationException(
            f"A run cannot be user {uid} in its container: its folder is user {submitter}'s.",
            "Leave out the setting user, or submit the run as that user.",
        )
    return f"{int(uid)}:{gid}"


def groups_of(options: Mapping[str, Any], submitter: int, member_of: Iterable[int]) -> list[str]:
    """The groups that the submitter is in, whose files may be the job's business; not root's."""
    own = [] if options.get("user") else sorted({*member_of} - {0})
    more = [str(name) for name in options.get("groups", ())]
    if submitter != 0 and any(name == "root" or name.strip("0") == "" for name in more):
        raise RunConfigurationException(
            "A run cannot be in root's group in its container.",
            "Leave root out of the setting groups.",
        )
    return [*map(str, own), *more]


# Variables ----------------------------------------------------------------------------------


def _variables(job: Job, options: Mapping[str, Any], address: Address) -> dict[str, str]:
    uid = user_of(options, os.getuid(), os.getgid(), address.is_local).partition(":")[0]
    added = dict(_given(job, options))
    if uid != "0":
        # This user need not be in the image's /etc/passwd, and may have no home there.
        added.setdefault("HOME", "/tmp")
        name = _name_of(int(uid))
        added.update({key: name for key in ("USER", "LOGNAME") if key not in added})
    if options.get("ca_certificates") and address.is_local:
        added.update({name: _CERTIFICATES for name in _FOR_CERTIFICATES if name not in added})
    if not _gpu_requests(job, options, address):
        # Images may ask for all GPUs by themselves, where NVIDIA's runtime is the usual one.
        added["NVIDIA_VISIBLE_DEVICES"] = "void"
    if not address.is_local:
        # Who reads a mapped file from another machine misses what is in no page yet.
        added.update({"AML_METRICS_IO": "write", REMOTE: "1"})
    added[CONTAINED] = KEPT if options.get("keep") else "1"
    return added


def _name_of(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user{uid}"


def _given(job: Job, options: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What the job gets of its submitter's variables, of its target's, and of its own."""
    if options.get("proxy", True):
        for name in (*_PROXIES, *map(str.upper, _PROXIES)):
            if job.environment.get(name):
                yield name, job.environment[name]
    of_target = {
        name: job.environment.get(name) if value is None else value
        for name, value in options.get("variables", {}).items()
    }
    known = {name: value for name, value in of_target.items() if value is not None}
    yield from known.items()
    yield from run_variables(job, known).items()
    if job.spec.command is not None:
        yield "PYTHONUNBUFFERED", "1"


def _shown(name: str, variables: Mapping[str, str]) -> str:
    return HIDDEN if looks_secret(name) and name != "AZUREML_RUN_TOKEN" else variables[name]


# The part that is about the host -------------------------------------------------------------


def _host_config(job: Job, options: Mapping[str, Any], address: Address) -> dict[str, Any]:
    resources = job.spec.resources
    memory = resources.memory or options.get("memory")
    cpus = resources.cpus or options.get("cpus")
    ulimits = options.get("ulimits", {}).items()
    is_fixed = bool(options.get("read_only"))
    if is_fixed and not address.is_local:
        raise RunConfigurationException(
            f"The engine at {address.url} is not on this machine, so the run's files are copied "
            "into the container, and a read-only one takes none.",
            "Leave out read_only.",
        )
    said = {
        "Init": True,
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges"],
        "LogConfig": _LOG_OF_THE_ENGINE,
        "RestartPolicy": {"Name": "no"},
        "GroupAdd": groups_of(options, os.getuid(), {*os.getgroups()} - {os.getgid()}),
        "Mounts": list(_mounts(job, options, address)),
        "Tmpfs": {**({"/tmp": "mode=1777"} if is_fixed else {}), **options.get("tmpfs", {})},
        "ShmSize": options.get("shm_size", _SHARED_MEMORY),
        "Memory": memory,
        "MemorySwap": memory,  # a limit that swap goes beyond is none
        "NanoCpus": int(cpus * 1e9) if cpus else None,
        "CpusetCpus": options.get("cpuset"),
        "PidsLimit": options.get("pids"),
        "Ulimits": [{"Name": n, "Soft": soft, "Hard": hard} for n, (soft, hard) in ulimits],
        "NetworkMode": options.get("network"),
        "IpcMode": options.get("ipc"),
        "Dns": options.get("dns"),
        "ExtraHosts": options.get("add_hosts"),
        "PortBindings": _port_bindings(options),
        "ReadonlyRootfs": is_fixed,
        "Devices": [_device(text) for text in options.get("devices", ())],
        "DeviceRequests": _gpu_requests(job, options, address),
    }
    return {name: value for name, value in said.items() if value or name == "Mounts"}


def _mounts(job: Job, options: Mapping[str, Any], address: Address) -> Iterator[dict[str, object]]:
    """The run's folder and our own code, where they are here; and what the target adds."""
    if address.is_local:
        yield _mount("bind", str(job.folder), str(job.folder), False)
        yield _mount("bind", str(job.bundle), str(job.bundle), True)
        yield from _data(job, address)
    certificates = options.get("ca_certificates")
    if certificates and address.is_local:
        yield _mount("bind", certificates, _CERTIFICATES, True)
    for each in options.get("mounts", ()):
        _check(each, job.folder, address)
        yield _mount(each["type"], each["source"], each["target"], each["read_only"])


def _data(job: Job, address: Address) -> Iterator[dict[str, object]]:
    """What the job asks of its workspace from inside, and the data that were laid out for it.

    A place within another has the last word: an input in a datastore can only be read.
    """
    root = job.folder.parent.parent
    mark = root / _WORKSPACE
    if mark.exists():
        yield _mount("bind", str(mark), str(mark), True)
    for name in _OF_WORKSPACE:
        if (root / name).is_dir():
            yield _mount("bind", str(root / name), str(root / name), False)
    for each in data_of(job)["places"]:
        _refuse(each["source"], each["target"], address)
        yield _mount("bind", each["source"], each["target"], each["read_only"])


def _mount(kind: str, source: str, target: str, read_only: bool) -> dict[str, object]:
    return {"Type": kind, "Source": source, "Target": target, "ReadOnly": read_only}


def _refuse(source: str, target: str, address: Address) -> None:
    """Refuse data that would show a job more of the machine than a folder with files."""
    try:
        refuse_source(source, [os.path.realpath(address.socket)] if address.socket else [])
    except ValueError as error:
        raise _not_mounted(
            source, target, error, "Copy the data to a folder of their own."
        ) from error


def _check(mount: Mapping[str, Any], folder: Path, address: Address) -> None:
    try:
        if mount["type"] == "bind" and address.socket:
            refuse_source(mount["source"], [os.path.realpath(address.socket)])
        if Path(mount["target"]) in (folder, *folder.parents, Path("/tmp")):
            raise ValueError("it would hide the run's own files or /tmp")
        if folder in Path(mount["target"]).parents:
            raise ValueError("it lies in the run's own folder")
    except ValueError as error:
        hint = "Change the setting mounts, or the Docker arguments of the run."
        raise _not_mounted(mount["source"], mount["target"], error, hint) from error


def _not_mounted(source: str, target: str, why: ValueError, hint: str) -> RunConfigurationException:
    return RunConfigurationException(f"{source} cannot be mounted at {target}: {why}.", hint)


def _gpu_requests(job: Job, options: Mapping[str, Any], address: Address) -> list[dict[str, Any]]:
    """For exactly the GPUs that are leased; elsewhere nobody leases, and their number counts."""
    request = {"Driver": "nvidia", "Capabilities": [["gpu"]]}
    asked = job.spec.resources.gpus
    if job.gpus:
        return [{**request, "Count": 0, "DeviceIDs": [str(gpu) for gpu in job.gpus]}]
    if asked is None:
        asked = options.get("gpus") or 0
    elif address.is_local:
        return []
    return [{**request, "Count": asked}] if asked and job.gpus is None else []


def _device(text: str) -> dict[str, str]:
    host, inside, rights = text.split(":")
    return {"PathOnHost": host, "PathInContainer": inside, "CgroupPermissions": rights}


def _port(text: str) -> tuple[str, dict[str, str]]:
    """``8080/tcp`` inside, and where it is to be had on the host."""
    address, _, kind = text.partition("/")
    where, _, inside = address.rpartition(":")
    ip, _, outside = where.rpartition(":")
    host_ip = "127.0.0.1" if ip == "localhost" else ip
    return f"{inside}/{kind or 'tcp'}", {"HostIp": host_ip, "HostPort": outside}


def _port_bindings(options: Mapping[str, Any]) -> dict[str, list[dict[str, str]]]:
    bindings: dict[str, list[dict[str, str]]] = {}
    for inside, outside in map(_port, options.get("ports", ())):
        bindings.setdefault(inside, []).append(outside)
    return bindings


def _limits(host: Mapping[str, Any]) -> Iterator[str]:
    if host.get("Memory"):
        yield f"memory {host['Memory'] / (1 << 30):.4g} GiB"
    if host.get("NanoCpus"):
        yield f"{host['NanoCpus'] / 1e9:.4g} processors"
    yield f"/dev/shm {host['ShmSize'] / (1 << 30):.4g} GiB"
    for limit in host.get("Ulimits", ()):
        yield f"{limit['Name']} {limit['Soft']}:{limit['Hard']}"
