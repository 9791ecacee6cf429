"""Options of ``docker run``, as SDK v1 takes them, become settings of the docker target."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from ..errors import RunConfigurationException
from .base import Setting
from .docker_options import SETTINGS, merged, read_options

_OWN = "it is decided by the run itself"
_OPENS = "it would open the host to the job"
_REFUSED: Mapping[str, str] = {
    **dict.fromkeys(("privileged", "cap-add", "security-opt", "pid", "userns", "uts"), _OPENS),
    **dict.fromkeys(("device-cgroup-rule", "cgroupns", "cgroup-parent", "volumes-from"), _OPENS),
    **dict.fromkeys(("name", "workdir", "entrypoint", "cidfile", "restart"), _OWN),
    "runtime": "ask for GPUs with --gpus",
}
_SHORT: Mapping[str, str] = {
    "-v": "volume",
    "-e": "env",
    "-m": "memory",
    "-u": "user",
    "-h": "hostname",
    "-p": "publish",
    "-l": "label",
    "-w": "workdir",
}
_MEANS_NOTHING = {"rm", "init", "interactive", "tty", "detach", "sig-proxy"}
_SPACED = re.compile(r"(--?[A-Za-z][\w-]*)\s+\S.*", re.DOTALL)

# Which setting an option is; lists and mappings take one entry each time it is given.
_ONE: Mapping[str, str] = {
    "shm-size": "shm_size",
    "memory": "memory",
    "cpus": "cpus",
    "cpuset-cpus": "cpuset",
    "pids-limit": "pids",
    "network": "network",
    "net": "network",
    "ipc": "ipc",
    "hostname": "hostname",
    "user": "user",
    "gpus": "gpus",
    "pull": "pull",
}
_MANY: Mapping[str, str] = {
    "volume": "mounts",
    "mount": "mounts",
    "tmpfs": "tmpfs",
    "device": "devices",
    "publish": "ports",
    "ulimit": "ulimits",
    "env": "variables",
    "env-file": "variables",
    "label": "labels",
    "add-host": "add_hosts",
    "dns": "dns",
    "group-add": "groups",
}
_FLAGS: Mapping[str, str] = {"read-only": "read_only"}


def parse_run_arguments(arguments: Iterable[str]) -> dict[str, object]:
    """Settings from a list of ``docker run`` options: ``["--shm-size=2g", "-v", "/a:/b:ro"]``.

    An option and its value may be one text or two. RunConfigurationException for what is not
    known, makes no sense, or would open the host to the job.
    """
    written: dict[str, Any] = {}
    for option, value in _options(arguments):
        setting = _ONE.get(option) or _MANY.get(option) or _FLAGS.get(option)
        if setting is None:
            continue
        read = _read(option, setting, value)
        if isinstance(read, dict):
            written.setdefault(setting, {}).update(read)
        elif isinstance(read, list):
            written.setdefault(setting, []).extend(read)
        else:
            written[setting] = read
    return written


def read_settings(written: Mapping[str, object]) -> dict[str, object]:
    """All settings that are written, those in :data:`ARGUMENTS` among them, as they are taken."""
    options = read_options(written)
    arguments = written.get("arguments")
    return merged(options, parse_run_arguments(_texts(arguments))) if arguments else options


def _texts(value: object) -> list[str]:
    texts = list(value) if isinstance(value, (list, tuple)) else shlex.split(str(value))
    if not all(isinstance(text, (str, int, float)) for text in texts):
        raise ValueError("write a list of texts")
    return [str(text) for text in texts]


def _read_arguments(value: object) -> list[str]:
    try:
        parse_run_arguments(_texts(value))
    except RunConfigurationException as error:
        raise ValueError(error.message.rstrip(".")) from error
    return _texts(value)


ARGUMENTS = Setting(
    "Options of docker run, in a list; what they say comes after all other settings.",
    _read_arguments,
    "['--shm-size=8g', '--network=host']",
)


def gpus_in(written: Mapping[str, object]) -> int | None:
    """How many GPUs settings ask for, -1 for all; None if they do not say."""
    found = read_settings(written).get("gpus")
    return found if isinstance(found, int) else None


def _options(arguments: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Each option's long name, and its value."""
    waiting = [word for argument in arguments for word in _words(str(argument))]
    while waiting:
        word = waiting.pop(0)
        option, value = _split(word)
        _refuse(option, value, word)
        if option in _MEANS_NOTHING:
            continue
        if option in _FLAGS:
            yield option, value or "true"
            continue
        if value is None:
            if not waiting:
                raise _error(word, "its value is missing")
            value = waiting.pop(0)
        yield option, value


def _words(argument: str) -> list[str]:
    """An argument as the shell would have split it, if it holds an option and its value."""
    if not _SPACED.fullmatch(argument):
        return [argument]
    try:
        return shlex.split(argument)
    except ValueError as error:
        raise _error(argument, str(error)) from error


def _split(word: str) -> tuple[str, str | None]:
    """The long name in a word, and the value if it is in the same word."""
    if re.fullmatch(r"-[itd]+", word):
        return "interactive", None
    if word.startswith("--"):
        name, equals, value = word[2:].partition("=")
        return name, value if equals else None
    if word[:2] in _SHORT:
        return _SHORT[word[:2]], word[2:].removeprefix("=") or None
    return word, None


def _refuse(option: str, value: str | None, word: str) -> None:
    if option in _REFUSED and (value or "").lower() != "false":
        raise _error(word, _REFUSED[option])
    known = (_ONE, _MANY, _FLAGS, _MEANS_NOTHING, _REFUSED)
    if not any(option in names for names in known):
        names = ", ".join(f"--{name}" for name in sorted((*_ONE, *_MANY, *_FLAGS)))
        raise RunConfigurationException(
            f"{word!r} is no option of docker run that a run can have.", f"These can be: {names}."
        )


def _read(option: str, setting: str, value: str) -> object:
    try:
        return SETTINGS[setting].read(_READERS.get(option, str)(value))
    except (ValueError, OSError) as error:
        raise _error(f"--{option}={value}", str(error)) from error


def _mount(value: str) -> object:
    """``type=bind,source=/a,target=/b,readonly`` as a mapping."""
    words = dict(part.partition("=")[::2] for part in value.split(","))
    kind = words.pop("type", "volume")
    if kind not in ("bind", "volume"):
        raise ValueError("its type is bind or volume; for a folder in memory use --tmpfs")
    named: dict[str, object] = {}
    for name, said in words.items():
        if name in _MOUNT_WORDS:
            named[_MOUNT_WORDS[name]] = said or "true"
        else:
            raise ValueError(f"{name} cannot be said of a mount here")
    return named


_MOUNT_WORDS = {"source": "source", "src": "source"} | {
    "target": "target",
    "destination": "target",
    "dst": "target",
    "readonly": "read_only",
    "ro": "read_only",
}


def _env_file(path: str) -> list[str]:
    with open(os.path.expanduser(path), encoding="utf-8") as file:
        lines = [line.strip() for line in file]
    return [line for line in lines if line and not line.startswith("#")]


_READERS: Mapping[str, Callable[[str], object]] = {"mount": _mount, "env-file": _env_file}


def _error(word: str, why: str) -> RunConfigurationException:
    return RunConfigurationException(
        f"The Docker argument {word!r} cannot be used: {why}.",
        "Change DockerConfiguration(arguments=…), environment.docker.arguments, or the target.",
    )
