"""The facts of registered models: made, chosen among and changed."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping

from aml_jupyter.errors import UserErrorException, WebserviceException, near
from aml_jupyter.job.run import text_values

from .model_shelf import NAME, ModelShelf
from .resource_configuration import ResourceConfiguration

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterable, Sequence

    from .model_shelf import Record


def new_facts(
    name: str,
    path: str,
    run_id: str | None = None,
    experiment: str | None = None,
    tags: Mapping[str, Any] | None = None,
    properties: Mapping[str, Any] | None = None,
    description: str | None = None,
    datasets: Sequence[tuple[str, Any]] | None = None,
    model_framework: str | None = None,
    model_framework_version: str | None = None,
    sample_input_dataset: Any = None,
    sample_output_dataset: Any = None,
    resource_configuration: ResourceConfiguration | None = None,
) -> Record:
    """The record of a model that is to be registered; its version is still to come."""
    version = model_framework_version
    return {
        "name": checked_name(name),
        "version": 0,
        "path": path,
        "asset": os.urandom(16).hex(),
        "created": time.time(),
        "created_by": _user(),
        "run_id": run_id,
        "experiment": experiment,
        "tags": texts(tags or {}),
        "properties": texts(properties or {}),
        "description": description,
        "framework": model_framework,
        "framework_version": None if version is None else str(version),
        "datasets": pairs_of(datasets or ()),
        "sample_input": id_of(sample_input_dataset),
        "sample_output": id_of(sample_output_dataset),
        "resources": wishes_of(resource_configuration),
    }


def checked_name(name: Any) -> str:
    """``name``, if a model may be called so."""
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise WebserviceException(
            f"{name!r} is not a name for a model.",
            "It has at most 255 letters, digits, -, . and _, and starts with a letter or digit.",
        )
    return name


def _user() -> str:
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return str(os.getuid())


# Choosing among them -----------------------------------------------------------------------


def select(
    workspace: Any,
    name: str | None,
    tags: Any = None,
    properties: Any = None,
    run_id: str | None = None,
    framework: str | None = None,
    dataset_id: str | None = None,
    latest: bool = False,
) -> list[Record]:
    """The records that match all that is said; None asks for nothing."""
    shelf = ModelShelf(workspace)
    found = shelf.records(name)
    if latest:
        newest = {each["name"]: each for each in found}  # versions come ascending
        found = iter(newest.values())
    return [
        each
        for each in found
        if run_id in (None, each["run_id"])
        and framework in (None, each["framework"])
        and (dataset_id is None or dataset_id in _dataset_ids(each))
        and _has(each["tags"], tags)
        and _has(each["properties"], properties)
    ]


def _has(facts: Mapping[str, Any], wanted: Any) -> bool:
    """v1's rule: a key, or a pair of key and value; all of them must be there."""
    if wanted is None:
        return True
    if isinstance(wanted, str):
        return wanted in facts
    pairs = wanted.items() if isinstance(wanted, dict) else wanted
    for each in pairs:
        if isinstance(each, str):
            if each not in facts:
                return False
        elif each[0] not in facts or facts[each[0]] != str(each[1]):
            return False
    return True


def _dataset_ids(record: Record) -> list[str]:
    return [each for _, each in record["datasets"]]


def newness(record: Record) -> tuple[float, int]:
    """What sorts models of any name by age."""
    return record["created"], record["version"]


def by_version(record: Record) -> int:
    """What sorts the models of one name."""
    return int(record["version"])


def known(workspace: Any, name: str | None) -> str:
    """A hint: the versions of a name, or the names that are like it."""
    shelf = ModelShelf(workspace)
    versions = shelf.versions(name) if name else []
    if not versions:
        return near(str(name or ""), shelf.names())
    hint = f"{name} has version{'s' if versions[1:] else ''} {', '.join(map(str, versions))}."
    for version in versions:
        if shelf.record(str(name), version) is None:
            place = shelf.place(str(name), version)
            hint += f" Version {version} is damaged: {place} has no facts."
    return hint


def number_of(version: Any) -> Any:
    """A version as it is counted; programs have it as text, too, from ids and arguments."""
    return int(version) if isinstance(version, str) and version.isdecimal() else version


# Tags, properties, datasets -------------------------------------------------------------------


def texts(values: Any) -> dict[str, str | None]:
    """Tags or properties as records keep them."""
    return text_values(dict(values) if isinstance(values, Mapping) else values)


def wishes_of(configuration: Any) -> dict[str, Any] | None:
    """A resource configuration as records keep it."""
    if configuration is None:
        return None
    if not isinstance(configuration, ResourceConfiguration):
        raise UserErrorException(
            f"{configuration!r} is not a resource configuration.",
            "Give ResourceConfiguration(cpu=1, memory_in_gb=0.5).",
        )
    return configuration.serialize()


def without(tags: dict[str, Any], gone: str | Iterable[str]) -> None:
    """Take tags away by their keys."""
    for key in [gone] if isinstance(gone, str) else gone:
        tags.pop(key, None)


def add_once(record: Record, added: Mapping[str, Any]) -> None:
    """Set properties of a record that it does not have yet."""
    taken = sorted(set(record["properties"]) & set(added))
    if taken:
        raise UserErrorException(
            f"Properties never change, and model {record['name']}:{record['version']} has "
            f"{', '.join(taken)} already.",
            "Use a tag (model.add_tags) for what may change.",
        )
    record["properties"].update(added)


def pairs_of(datasets: Sequence[tuple[str, Any]]) -> list[list[str]]:
    """Purposes and datasets as records keep them."""
    try:
        return [[str(purpose), str(id_of(each))] for purpose, each in datasets]
    except (TypeError, ValueError, AttributeError):
        raise UserErrorException(
            f"{datasets!r} are not datasets of a model.",
            "Give pairs of a purpose and a dataset: [(Dataset.Scenario.TRAINING, dataset)].",
        ) from None


def id_of(dataset: Any) -> str | None:
    """What a dataset is kept by; one that was not registered is kept as it is now."""
    if dataset is None:
        return None
    if not hasattr(dataset, "id"):
        raise UserErrorException(
            f"{dataset!r} is not a dataset.", "Dataset.get_by_name(ws, name) gives one."
        )
    return str(dataset.id)


def dataset_of(workspace: Any, dataset_id: str | None) -> Any:
    """The dataset that a record keeps by this id."""
    if dataset_id is None:
        return None
    from .dataset import Dataset

    return Dataset.get_by_id(workspace, dataset_id)
