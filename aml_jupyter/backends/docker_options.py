"""The settings of the docker target: what each means, and how what was written is read.

All are JSON, so that they travel in a run's request; reading what was read already changes
nothing. What would open the host to a job is refused here, wherever it was written.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterable, Mapping

from ..errors import RunConfigurationException
from .base import Setting
from .readers import amount, count_above_0, existing_file, flag, gpus, several, size, text, texts

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_OF_A_VARIABLE = re.compile(r"\$(\{\w+\}|\w+)")
_ADDRESS = re.compile(r"(unix|tcp|http|https|ssh)://.+")
_USER = re.compile(r"\d+(:\d+)?")
_PORTS = re.compile(r"((\d+\.\d+\.\d+\.\d+|localhost):)?(\d*:)?\d+(/(tcp|udp|sctp))?")
_HOST = re.compile(r"[^\s:]+:\S+")
_UNLIMITED = -1
_FOR_MOUNTS = {"ro", "rw", "z", "Z", "cached", "delegated", "consistent", "nocopy"}

# With any of these inside, or a folder above or below, a container is no longer apart from its
# host: a socket takes orders for the whole machine, even where it is mounted to be read only.
_OPENS_THE_HOST = (
    "/proc",
    "/sys",
    "/dev",
    "/run/docker.sock",
    "/run/containerd",
    "/run/crio",
    "/run/podman",
    "/run/systemd",
    "/run/dbus",
    "/var/lib/docker",
    "/var/lib/containerd",
    "/var/lib/containers",
)
_OPENS_THE_USER = ("docker.sock", "podman", "containerd", "bus", "systemd")


def read_options(written: Mapping[str, object]) -> dict[str, object]:
    """The settings among ``written`` as the backend takes them; others are left out.

    RunConfigurationException names a setting that makes no sense, and says how it looks.
    """
    options = {}
    for name, value in written.items():
        setting = SETTINGS.get(name)
        if setting is None or value is None:
            continue
        try:
            options[name] = setting.read(value)
        except ValueError as error:
            raise RunConfigurationException(
                f"The setting {name} cannot be {value!r}: {error}.",
                f"Such as {name}: {setting.example}" if setting.example else setting.help,
            ) from error
    return options


def merged(target: Mapping[str, object], run: Mapping[str, object]) -> dict[str, object]:
    """The settings of a target with those of one run: lists and mappings add up."""
    both = dict(target)
    for name, value in run.items():
        before = both.get(name)
        if isinstance(before, list) and isinstance(value, list):
            both[name] = before + [entry for entry in value if entry not in before]
        elif isinstance(before, Mapping) and isinstance(value, Mapping):
            both[name] = {**before, **value}
        else:
            both[name] = value
    return both


# What may be written ------------------------------------------------------------------------


def _like(pattern: re.Pattern[str], looks: str) -> Callable[[object], str]:
    def read(value: object) -> str:
        said = text(value)
        if not pattern.fullmatch(said):
            raise ValueError(f"write {looks}")
        return said

    return read


def _one_of(*words: str) -> Callable[[object], str]:
    def read(value: object) -> str:
        if value not in words:
            raise ValueError(f"it is one of {', '.join(words)}")
        return str(value)

    return read


def _pairs(value: object, between: str = "=") -> Iterable[tuple[str, object]]:
    """Names and values, from a mapping or from texts ``name=value``; None where only a name is."""
    if isinstance(value, Mapping):
        return [(str(name), each) for name, each in value.items()]
    found = []
    for each in value if isinstance(value, (list, tuple)) else [value]:
        name, said, rest = text(each).partition(between)
        found.append((name, rest if said else None))
    return found


def _variables(value: object) -> dict[str, object]:
    read: dict[str, object] = {}
    for name, each in _pairs(value):
        if not _VARIABLE.fullmatch(name) or isinstance(each, (list, Mapping)):
            raise ValueError("write NAME=value, or NAME alone for your own variable's value")
        read[name] = None if each is None else str(each)
    return read


def _labels(value: object) -> dict[str, str]:
    read = {name: str("" if each is None else each) for name, each in _pairs(value)}
    if any(not name or name.startswith("aml.") for name in read):
        raise ValueError("names that begin with aml. are ours")
    return read


def _named_texts(value: object) -> dict[str, str]:
    return {name: str("" if each is None else each) for name, each in _pairs(value)}


def _secrets(value: object) -> dict[str, str]:
    """Where secrets are; the secrets themselves would be kept with each run."""
    read = _named_texts(value)
    if not all(map(_NAME.fullmatch, read)):
        raise ValueError("write name: /path/to/file, or name: $VARIABLE")
    return {
        name: place if _OF_A_VARIABLE.fullmatch(place) else existing_file(place)
        for name, place in read.items()
    }


def _ulimits(value: object) -> dict[str, list[int]]:
    return {name: _limit(each) for name, each in _pairs(value)}


def _limit(value: object) -> list[int]:
    parts = value if isinstance(value, (list, tuple)) else str(value).split(":")
    try:
        limits = [_UNLIMITED if str(part) == "unlimited" else int(str(part)) for part in parts]
    except ValueError:
        limits = []
    if len(limits) not in (1, 2) or min(limits) < _UNLIMITED:
        raise ValueError("write name=limit or name=soft:hard")
    return [limits[0], limits[-1]]


def _tmpfs(value: object) -> dict[str, str]:
    read = {name: str(each or "") for name, each in _pairs(value, ":")}
    if not all(name.startswith("/") for name in read):
        raise ValueError("write /path or /path:size=1g")
    return read


def _network(value: object) -> str:
    name = text(value)
    if not _NAME.fullmatch(name):
        raise ValueError("write bridge, host, none, or the name of a network of the engine")
    return name


def device(value: object) -> str:
    """A device of the host as ``path:path:rwm``; GPUs are leased, and disks are none of a job's."""
    host, _, rest = text(value).partition(":")
    inside, _, rights = rest.partition(":")
    path = os.path.realpath(host)
    if not path.startswith("/dev/") or not set(rights) <= set("rwm"):
        raise ValueError("write /dev/name, or /dev/name:/dev/inside:rw")
    if os.path.basename(path).startswith("nvidia"):
        raise ValueError("GPUs are leased: ask for a number of them with --gpus")
    if path in ("/dev/mem", "/dev/kmem", "/dev/port") or _is_disk(path):
        raise ValueError("it would open the host to the job")
    return f"{host}:{inside or host}:{rights or 'rw'}"


def _is_disk(path: str) -> bool:
    try:
        return not stat.S_ISCHR(os.stat(path).st_mode)
    except OSError:
        return False  # the engine may be elsewhere, and will say if there is none


# Mounts -------------------------------------------------------------------------------------


def mount(value: object) -> dict[str, object]:
    """A mount, from ``source:/target[:ro]`` or a mapping: type, source, target, read_only."""
    if isinstance(value, Mapping):
        said = {str(name): each for name, each in value.items()}
    else:
        said = _from_text(text(value))
    source, target = str(said.get("source") or ""), str(said.get("target") or "")
    is_folder = source.startswith(("/", "~", "."))
    if is_folder:
        source = os.path.abspath(os.path.expanduser(source))
        refuse_source(source)
    elif not _NAME.fullmatch(source):
        raise ValueError("write /source:/target, or name:/target for a volume")
    if not target.startswith("/") or os.path.normpath(target) == "/" or set(said) - _OF_A_MOUNT:
        raise ValueError("write /source:/target or /source:/target:ro")
    return {
        "type": "bind" if is_folder else "volume",
        "source": source,
        "target": os.path.normpath(target),
        "read_only": flag(said.get("read_only", False)),
    }


_OF_A_MOUNT = {"type", "source", "target", "read_only"}


def _from_text(written: str) -> dict[str, object]:
    source, _, rest = written.partition(":")
    target, _, mode = rest.partition(":")
    modes = set(filter(None, mode.split(",")))
    if modes - _FOR_MOUNTS:
        raise ValueError("after the second colon only ro or rw can be said")
    return {"source": source, "target": target, "read_only": "ro" in modes}


def refuse_source(source: str, also: Iterable[str] = ()) -> None:
    """ValueError when a folder of the host, or what is in it, would open the host to a job."""
    paths = {os.path.normpath(source), os.path.realpath(source)}
    for danger in (*_OPENS_THE_HOST, *_sockets_of_the_user(), *also):
        if any(_is_within(danger, path) or _is_within(path, danger) for path in paths):
            raise ValueError(f"{danger} inside a container would open the host to the job")


def _sockets_of_the_user() -> Iterable[str]:
    runtime = os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}"
    yield from (os.path.join(runtime, name) for name in _OPENS_THE_USER)
    desktop = os.path.expanduser("~/.docker/run/docker.sock")
    if os.path.exists(desktop):
        yield desktop


def _is_within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


# The settings -------------------------------------------------------------------------------

SETTINGS: Mapping[str, Setting] = {
    "host": Setting(
        "Where the engine is; without it, as the docker command finds one.",
        _like(_ADDRESS, "unix:///path, tcp://host:port or ssh://user@host"),
        "ssh://me@workstation",
    ),
    "context": Setting("A context of the docker command, instead of host.", text, "workstation"),
    "local": Setting(
        "Whether the engine sees this machine's files under the same paths.", flag, "true"
    ),
    "slots": Setting("How many runs may run here at once.", count_above_0, "2"),
    "base_image": Setting(
        "The image for environments that name none of their own.", text, "python:3.11-slim"
    ),
    "pull": Setting(
        "When an image is fetched: always, missing (the usual), or never.",
        _one_of("always", "missing", "never"),
        "missing",
    ),
    "build_network": Setting("The network that images are built in.", _network, "host"),
    "build_args": Setting("Build arguments for images.", _named_texts, "{VERSION: '1.2'}"),
    "build_secrets": Setting(
        "What a Dockerfile may see by RUN --mount=type=secret,id=NAME: files, or your variables.",
        _secrets,
        "{token: $TOKEN}",
    ),
    "conda_from_pypi": Setting(
        "Whether PyPI may serve conda packages where no channel can be reached.", flag, "true"
    ),
    "ca_certificates": Setting(
        "A PEM file of all certificates to trust, in builds and in jobs.",
        existing_file,
        "/etc/ssl/certs/ca-certificates.crt",
    ),
    "proxy": Setting("Whether jobs get your proxy variables (they do).", flag, "false"),
    "network": Setting("bridge, host, none, or a network's name.", _network, "host"),
    "mounts": Setting(
        "Folders and volumes that jobs see besides their own.", several(mount), "[/data:/data:ro]"
    ),
    "tmpfs": Setting("Folders in memory.", _tmpfs, "[/scratch:size=4g]"),
    "shm_size": Setting("Size of /dev/shm; 2g if nothing is said.", size, "8g"),
    "ulimits": Setting("Limits as ulimit has them.", _ulimits, "{nofile: '65536:65536'}"),
    "memory": Setting("Memory limit of runs that ask for none.", size, "16g"),
    "cpus": Setting("Processors for runs that ask for none.", amount, "4"),
    "cpuset": Setting(
        "Which processors.", _like(re.compile(r"\d+([,-]\d+)*"), "0-3 or 0,2"), "'0-3'"
    ),
    "pids": Setting("How many processes and threads a job may have.", count_above_0, "4096"),
    "gpus": Setting("How many GPUs a run gets, or all.", gpus, "1"),
    "devices": Setting(
        "Other devices of the host, without disks.", several(device), "[/dev/infiniband]"
    ),
    "ports": Setting(
        "Ports of the container on its host.",
        several(_like(_PORTS, "8080:80 or 127.0.0.1:8080:80")),
        "['127.0.0.1:6006:6006']",
    ),
    "hostname": Setting("The container's name for itself.", _like(_NAME, "a name"), "trainer"),
    "ipc": Setting(
        "Shared memory: private, or host.", _one_of("private", "none", "shareable", "host"), "host"
    ),
    "add_hosts": Setting(
        "Lines for /etc/hosts.", several(_like(_HOST, "name:address")), "['nas:10.0.0.2']"
    ),
    "dns": Setting("Name servers.", texts, "[10.0.0.1]"),
    "groups": Setting(
        "More groups that the job is in.", several(_like(_NAME, "a group's number")), "['44']"
    ),
    "read_only": Setting("Whether the image's own files cannot be changed.", flag, "true"),
    "user": Setting(
        "Who the job is, by number; without it, whoever submitted it.",
        _like(_USER, "uid or uid:gid, as numbers"),
        "'1000:1000'",
    ),
    "variables": Setting("Environment variables for jobs.", _variables, "{TZ: Europe/Berlin}"),
    "labels": Setting("Labels of the container.", _labels, "{team: vision}"),
    "keep": Setting(
        "Whether the container stays when its job is over, for looking into.", flag, "true"
    ),
}
