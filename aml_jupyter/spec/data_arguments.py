"""Data among the arguments of a script: noted in the run configuration, as v1 does."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from aml_jupyter.assets.consumption import DatasetConsumptionConfig, OutputDatasetConfig
from aml_jupyter.assets.reference import DataReference
from aml_jupyter.errors import UserErrorException

from .runconfig import Argument, RunConfiguration

_MODEL = "MODEL_LOCATION"


def note_data(config: RunConfiguration, named: Iterable[object]) -> None:
    """Let ``data``, ``output_data`` and ``data_references`` hold what ``named`` names of data.

    Two that are different cannot have one name, since each is a variable of the run.
    """
    for each in named:
        if isinstance(each, DatasetConsumptionConfig):
            _note(config.data, each.name, each)
        elif isinstance(each, OutputDatasetConfig):
            _note(config.output_data, each.name, each)
        elif isinstance(each, DataReference):
            _note(config.data_references, each.data_reference_name, each.to_config())
    for name in config.data:
        if name in config.output_data:
            raise UserErrorException(
                f"An input and an output of the run are both called {name}.", "Rename one of them."
            )


def inputs_of(config: RunConfiguration, inputs: Iterable[object] | None, whose: str) -> None:
    """Let the run have ``inputs`` besides those in its arguments: what an estimator was given."""
    named = list(inputs or ())
    for each in named:
        if not isinstance(each, (DatasetConsumptionConfig, DataReference)):
            raise UserErrorException(
                f"{whose} got {each!r} among its inputs, which is neither an input nor a reference "
                "to data.",
                "For example inputs=[dataset.as_named_input('data').as_mount()].",
            )
    note_data(config, named)


def resuming(path: Any) -> list[Argument]:
    """The arguments that lead a script to the outputs of a former run."""
    return ["--resume-from", path.create_data_reference(_MODEL)]


def _note(known: dict[str, object], name: str, new: Any) -> None:
    old: Any = known.setdefault(name, new)
    if old is not new and _said(old) != _said(new):
        raise UserErrorException(
            f"Two different things of the run are called {name}.",
            "Give each its own name: dataset.as_named_input('other_name').",
        )


def _said(value: Any) -> object:
    return value.to_json() if hasattr(value, "to_json") else value
