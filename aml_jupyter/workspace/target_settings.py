"""What any compute target may say in ``targets.yaml``, whatever its backend, and what a pool may.

A reader takes what was written, a text or what YAML made of it, and returns what is used; its
ValueError says what it should look like.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone

from ..backends import CONTAINERS, Setting, backend, names
from ..backends.readers import count, count_above_0, existing_file, flag, gpus, text, texts
from ..errors import ComputeTargetException
from ..spec.words import near, parse_duration, parse_tag

POOL = "amlcompute"
"""The type of a target that is v1's AmlCompute: a pool of slots on this machine."""

INSTANCE = "computeinstance"
"""The type of a target that is v1's ComputeInstance: one slot on this machine."""

ON_THIS_MACHINE = (POOL, INSTANCE)
"""Types that stand for machines of Azure's, and whose runs are processes here."""

IDLE_SECONDS = 1800
MAX_NODES = 4
"""v1's number for a pool that does not say."""

_POOL_RUNS_ON = ("local", CONTAINERS)


def seconds(value: object) -> int:
    """A time: seconds, or a text such as ``30m``."""
    try:
        return count(value)
    except ValueError:
        return parse_duration(str(value))


def tags(value: object) -> dict[str, str]:
    """Keys and values: a mapping, or texts such as ``team=vision``."""
    if isinstance(value, Mapping):
        return {str(key): "" if of is None else str(of) for key, of in value.items()}
    words = [value] if isinstance(value, str) else value
    if not isinstance(words, (list, tuple)):
        raise ValueError("write keys with values")
    return dict(parse_tag(str(word)) for word in words)


def moment(value: object) -> datetime:
    """A point in time, as ISO 8601 writes it; one without a zone is of UTC."""
    try:
        found = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    except ValueError:
        raise ValueError("write a time such as 2025-03-01T12:00:00+00:00") from None
    return found if found.tzinfo else found.replace(tzinfo=timezone.utc)


def priority(value: object) -> str:
    """``dedicated`` or ``lowpriority``."""
    found = str(value).lower()
    if found not in ("dedicated", "lowpriority"):
        raise ValueError("write dedicated or lowpriority")
    return found


COMMON: Mapping[str, Setting] = {
    "type": Setting("What kind of target it is.", text, "docker"),
    "description": Setting("What people should know of it.", text),
    "slots": Setting("How many runs may go at once there.", count_above_0, "2"),
    "gpus": Setting("How many GPUs each run gets that does not say.", gpus, "1"),
    "tags": Setting("Keys and values of your own.", tags, "{team: vision}"),
    "created": Setting("When it was made; written by us.", moment),
    "modified": Setting("When it was last changed; written by us.", moment),
}
"""What any target may say."""

POOL_SETTINGS: Mapping[str, Setting] = {
    "vm_size": Setting("A machine size of v1; GPU sizes ask for GPUs.", text, "STANDARD_NC6"),
    "vm_priority": Setting("`dedicated` or `lowpriority`; kept for programs that ask.", priority),
    "min_nodes": Setting("How many nodes are always said to be there.", count, "0"),
    "max_nodes": Setting("How many runs may go at once there.", count_above_0, "4"),
    "idle_seconds_before_scaledown": Setting(
        "For how long a node is said to stay after its run.", seconds, "1800"
    ),
    "location": Setting("A name from Azure's world.", text),
    "identity_type": Setting("A name from Azure's world.", text, "SystemAssigned"),
    "identity_id": Setting("Names from Azure's world.", texts),
}
"""What a pool may say besides, and whatever the backends say that its runs may go to."""

RUNNING, STOPPED = "Running", "Stopped"


def state(value: object) -> str:
    """``Running`` or ``Stopped``."""
    found = str(value).capitalize()
    if found not in (RUNNING, STOPPED):
        raise ValueError(f"write {RUNNING} or {STOPPED}")
    return found


INSTANCE_SETTINGS: Mapping[str, Setting] = {
    "vm_size": POOL_SETTINGS["vm_size"],
    "state": Setting("`Running` or `Stopped`; kept for programs that ask.", state, "Stopped"),
}
"""What a compute instance may say besides, and whatever its backends say."""


BUILD_SETTINGS: Mapping[str, Setting] = {
    "ca_certificates": Setting(
        "A PEM file of all certificates to trust when environments are built.", existing_file
    ),
    "conda_from_pypi": Setting(
        "Whether PyPI may serve conda packages where no channel can be reached.", flag, "false"
    ),
    "conda_tool": Setting(
        "Which conda to use: micromamba, mamba, conda, py-rattler or a path.", text
    ),
}
"""What any target may say of how environments are built for it, if its backend does not."""


_SETTINGS_OF = {POOL: POOL_SETTINGS, INSTANCE: INSTANCE_SETTINGS}


def kinds() -> list[str]:
    """The types that a target may have."""
    return sorted([*names(), *ON_THIS_MACHINE])


def settings_of(kind: str) -> dict[str, Setting]:
    """All that a target of that type may say; ComputeTargetException when there is no such type."""
    if kind not in (*ON_THIS_MACHINE, *_POOL_RUNS_ON) and kind not in kinds():
        raise ComputeTargetException(
            f"There is no type {kind!r} of compute targets.", near(kind, kinds())
        )
    known: dict[str, Setting] = dict(BUILD_SETTINGS)
    for name in _POOL_RUNS_ON if kind in ON_THIS_MACHINE else (kind,):
        known.update(backend(name).settings)
    return {**known, **COMMON, **_SETTINGS_OF.get(kind, {})}


def options_of(read: Mapping[str, object]) -> dict[str, object]:
    """Of the settings of a target, as they were read, those that its backend takes."""
    ours = {*COMMON, *POOL_SETTINGS, *INSTANCE_SETTINGS}
    return {key: value for key, value in read.items() if key not in ours}
