"""What `%aml_batch` and `aml batch` take, and the batch that it means.

The options are part of every magic's table: what they need for a batch comes with the first one.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..errors import UserErrorException
from ..spec.words import parse_duration, parse_tag
from . import run_options
from .command_table import Option

if TYPE_CHECKING:
    from .batch import Batch
    from .batch_run import BatchRun
    from .run_options import RunOptions
    from .workspace import Workspace


def parameter(text: str) -> tuple[str, list[object]]:
    """Name and values from ``alpha=0.1,0.3``."""
    from .batch_values import parse_values

    name, equals, values = text.partition("=")
    if not name.isidentifier() or not equals:
        raise ValueError("write a name and its values, such as `alpha 0.1,0.3`")
    return name, parse_values(values)


def number(text: str) -> int:
    """A whole number, 0 or more."""
    if not text.isdecimal():
        raise ValueError("it must be a whole number")
    return int(text)


PARAMETER = Option(
    "-p/--parameter", "NAME VALUES",
    "values of a parameter: 0.1,0.3 or 1..5, in YAML; may be repeated", parameter, many=True,
    pair=True,
)  # fmt: skip

OPTIONS = (
    PARAMETER,
    Option("--grid", "", "every value with every other; this is usual"),
    Option("--zip", "", "the first values together, then the second, …"),
    Option(
        "--params", "FILE",
        "sets from a .csv (a line each) or YAML (a list of sets, or values by name)",
        source="paths",
    ),
    Option("--inspect", "", "list the parameters of the notebook, and do nothing"),
    Option("-e/--experiment", "NAME", "the experiment; named after the notebook if not said",
           source="experiments"),
    *run_options.OPTIONS,
    Option("--source", "DIR", "take this folder along; it becomes the working directory",
           source="paths"),
    Option("--kernel", "NAME", "the kernelspec; the run's own Python if not said"),
    Option("--parallel", "N", "at most N at the same time", number),
    Option("--name", "NAME", "its name: the same batch again does only what is not done"),
    Option("--resume", "BATCH", "go on with what a batch, by name or id, has not done",
           source="runs"),
    Option("--from-failed-cell", "",
           "with --resume: cells before the one that failed run only for their state"),
    Option("--retry", "N", "do a notebook that failed again, up to N times", number),
    Option("--fail-fast", "", "end all with the first that failed"),
    Option("--keep-going", "", "let the others go on when one failed; this is usual"),
    Option("--timeout-cell", "TIME", "give a cell up after 90s, 10m, 2h", parse_duration),
    Option("--tag", "KEY=VALUE", "tag the runs; may be repeated", parse_tag, many=True),
)  # fmt: skip
"""The options that both have; each adds what is its own."""


def batch_of(
    notebook: str, values: Mapping[str, Any], asked: RunOptions, facts: Mapping[str, object]
) -> Batch:
    """The batch that these options mean."""
    from .batch import Batch
    from .batch_values import GRID, ZIP, read_table

    _refuse_both(values, "grid", "zip")
    _refuse_both(values, "fail_fast", "keep_going")
    given: dict[str, list[object]] = {}
    for name, several in values.get("parameter") or ():
        given.setdefault(name, []).extend(several)
    table, more = read_table(values["params"]) if values.get("params") else ([], {})
    batch = Batch(
        notebook,
        {**more, **given},
        table,
        ZIP if values.get("zip") else GRID,
        name=values.get("name"),
        experiment=values.get("experiment"),
        source_directory=values.get("source"),
        compute_target=asked.compute_target,
        environment=asked.environment,
        kernel=values.get("kernel"),
        parallel=values.get("parallel"),
        retries=values.get("retry") or 0,
        fail_fast=bool(values.get("fail_fast")),
        cell_timeout=values.get("timeout_cell"),
        tags=dict(values.get("tag") or ()),
        resources=asked.resources,
        options=asked.settings,
        facts=facts,
    )
    config = batch.script_config()
    asked.apply(config)
    return replace(batch, config=config)


def resumed(notebook: str | None, values: Mapping[str, Any], workspace: Workspace) -> BatchRun:
    """The batch that goes on where the one named by ``--resume`` stopped.

    With a notebook its folder is taken anew, for one that was mended.
    """
    from .batch_run import as_batch, find_batch, resume

    wanted = str(values["resume"])
    earlier = find_batch(workspace, wanted)
    if earlier is None:
        try:
            earlier = as_batch(workspace.get_run(wanted))
        except UserErrorException as error:
            raise UserErrorException(
                f"There is no batch {wanted!r} in this workspace.",
                "Name its id or its name; `aml runs` lists ids.",
            ) from error
    source = os.path.abspath(notebook) if notebook else None
    return resume(earlier, from_failed_cell=bool(values.get("from_failed_cell")), notebook=source)


def experiment_for(notebook: str, values: Mapping[str, Any]) -> str:
    """The experiment that the batch belongs to."""
    from .batch import experiment_named

    return str(values.get("experiment") or experiment_named(notebook))


def _refuse_both(values: Mapping[str, Any], one: str, other: str) -> None:
    if values.get(one) and values.get(other):
        first, second = (f"--{name.replace('_', '-')}" for name in (one, other))
        raise UserErrorException(f"{first} and {second} exclude each other.", "Leave one out.")
