"""What `%aml_batch` does: one notebook, executed with many sets of parameters."""

from __future__ import annotations

import ast
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import ExperimentExecutionException, UserErrorException
from ..watching.markup import FAINT, clean, escaped, shown_time
from ..workspace import Workspace
from ..workspace.batch_options import batch_of, resumed
from ..workspace.batch_run import BatchRow, BatchRun
from ..workspace.batch_watch import BatchWatch
from ..workspace.command_table import Parsed
from ..workspace.notebook_parameters import Parameter
from ..workspace.run_options import RunOptions
from .targets import Table

_LOOK_EVERY = 0.5
_PARAMETERS = "parameters"
"""The tag of the cell that papermill takes for the parameters."""


def answer(
    asked: Parsed, placed: RunOptions, facts: Mapping[str, object]
) -> BatchRun | ParameterTable | None:
    """The batch that was started or gone on with, or what there is to show instead of one."""
    if asked.text("resume"):
        return resumed(_notebook(asked, None), asked.values, Workspace.from_config())
    notebook = _notebook(asked, "For example: %aml_batch report.ipynb -p alpha 0.1,0.3")
    assert notebook is not None
    batch = batch_of(notebook, asked.values, placed, facts)
    if asked.given("inspect"):
        return ParameterTable(notebook, batch.inspect())
    for note in placed.notes:
        print(note)
    planned = batch.plan()
    if asked.given("dry_run"):
        print(planned)
        return None
    return planned.submit()


def _notebook(asked: Parsed, otherwise: str | None) -> str | None:
    if asked.words:
        return asked.words[0]
    if otherwise:
        raise UserErrorException("%aml_batch was given no notebook.", otherwise)
    return None


def wait(batch: BatchRun, quiet: bool = False) -> None:
    """Say of each notebook how it has ended, until all have; an error if not all are completed."""
    try:
        for row in () if quiet else _endings(batch):
            after = f" after {shown_time(row.seconds)}" if row.seconds else ""
            print(clean(f"{row.name}: {row.status}{after}{f': {row.error}' if row.error else ''}"))
    except KeyboardInterrupt:
        raise ExperimentExecutionException(
            f"Waiting for batch {batch.id} was interrupted; the batch itself goes on.",
            f"%aml_cancel {batch.id} ends it; %aml_attach {batch.id} shows it.",
        ) from None
    batch.wait_for_completion()


def _endings(batch: BatchRun) -> Iterator[BatchRow]:
    """The rows of a batch, each when it has ended."""
    watch, told = BatchWatch(batch), set()
    is_last = False
    while not is_last:
        is_last = batch.has_ended
        for row in watch.look():
            if row.has_ended and row.index not in told:
                told.add(row.index)
                yield row
        if not is_last:
            time.sleep(_LOOK_EVERY)


class ParameterTable:
    """The parameters of a notebook, with their types and defaults."""

    def __init__(self, notebook: str, parameters: Sequence[Parameter]) -> None:
        self.parameters = list(parameters)
        self._none = (
            f"{clean(notebook)} has no parameters: no cell has the tag `{_PARAMETERS}`."
            if not parameters
            else ""
        )
        titles = ("parameter", "type", "default", "help")
        rows = [[p.name, p.type or p.wants, p.default, p.help] for p in parameters]
        self._table = Table(titles, rows)

    def __repr__(self) -> str:
        return self._none or repr(self._table)

    def _repr_html_(self) -> str:
        if self._none:
            return f'<div style="{FAINT}">{escaped(self._none)}</div>'
        return self._table._repr_html_()


# Completion -----------------------------------------------------------------------------------


def parameter_names(line: str) -> list[str]:
    """The parameters of the notebook that a line names; none if it names none that can be read.

    Papermill itself is too slow to be imported while somebody types.
    """
    named = [word.strip("\"'") for word in line.split()[1:]]
    for path in (Path(word).expanduser() for word in named if word.endswith(".ipynb")):
        try:
            content = json.loads(path.read_text("utf-8"))
            return [name for cell in content["cells"] for name in _names_in(cell)]
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return []
    return []


def _names_in(cell: Mapping[str, Any]) -> Iterator[str]:
    if _PARAMETERS not in ((cell.get("metadata") or {}).get("tags") or ()):
        return
    for statement in ast.parse("".join(cell["source"])).body:
        if isinstance(statement, ast.AnnAssign):
            targets: Sequence[ast.expr] = [statement.target]
        else:
            targets = statement.targets if isinstance(statement, ast.Assign) else []
        yield from (target.id for target in targets if isinstance(target, ast.Name))
