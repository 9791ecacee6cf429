"""BatchRun: a batch as it is now, and what came of it."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UserErrorException
from ..home import home
from ..job import events, layout, states
from ..job.run import iso
from ..runner.board import DURATIONS
from ..runner.forecast import Durations
from ..spec import (
    FAMILY_TYPE,
    Family,
    Member,
    RunConfiguration,
    RunRequest,
    ScriptRunConfig,
    Source,
)
from ..store import Query, RunSummary, WorkspaceFolder
from . import submission
from .run import Run

if TYPE_CHECKING:
    from .experiment import Experiment
    from .workspace import Workspace

BATCH_NAME = "aml.batch"
"""The property of a batch that has the name by which it is found again."""

RESUMES = "aml.resumes"
"""The property of a batch that names the one that it goes on with."""

MEMBER, ATTEMPT = "aml.member", "aml.attempt"
SCRAPS = "artifacts/scraps.json"

_LONGEST_ERROR = 300
_NO_RUN = (states.NOT_STARTED, states.QUEUED)


@dataclass(frozen=True)
class BatchRow:
    """One notebook of a batch: what it is executed with, how far it is, what came of it.

    ``cell`` and ``part`` (0 to 1) say where it is while it runs, ``left`` how many seconds it
    will probably take; ``earlier`` that a batch before this one has done it.
    """

    index: int
    name: str
    parameters: Mapping[str, object]
    status: str = states.NOT_STARTED
    run_id: str = ""
    folder: Path | None = None
    started: float | None = None
    seconds: float | None = None
    attempts: int = 0
    metrics: Mapping[str, float] = field(default_factory=dict)
    cell: str = ""
    part: float | None = None
    left: float | None = None
    error: str = ""
    earlier: bool = False

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will come of it."""
        return self.status in states.TERMINAL

    @property
    def executed(self) -> Path | None:
        """The executed notebook, as far as it has come; None if there is none (yet)."""
        return executed_notebook(self.folder) if self.folder is not None else None

    def to_json(self) -> dict[str, object]:
        """The row for programs."""
        return {
            **vars(self),
            "folder": str(self.folder) if self.folder else None,
            "started": None if self.started is None else iso(self.started),
            "parameters": dict(self.parameters),
            "metrics": dict(self.metrics),
        }


class BatchRun(Run):
    """A run that is one notebook, executed with many sets of parameters."""

    RUN_TYPE = FAMILY_TYPE

    @property
    def has_ended(self) -> bool:
        """Whether the batch is over."""
        return self.get_status() in states.TERMINAL

    @property
    def family(self) -> Family:
        """What was asked for."""
        family = RunRequest.from_json(self._request).family
        assert family is not None
        return family

    @property
    def notebook(self) -> str:
        """The notebook, as it lies in its source folder."""
        return self.family.job.what

    @property
    def notebooks(self) -> list[Path]:
        """The executed notebooks, in order, as far as there are any; they may still grow."""
        return [path for row in self.rows() if (path := row.executed) is not None]

    def rows(self) -> list[BatchRow]:
        """One row for each set of parameters, in order, as they are now."""
        workspace = self.experiment.workspace
        root = workspace.folder.root
        latest: dict[int, RunSummary] = {}
        attempts: dict[int, int] = {}
        for child in workspace.find_runs(Query(parent=self.id)):
            number, attempt = _place(child)
            attempts[number] = max(attempts.get(number, 0), attempt)
            if number not in latest or _place(latest[number])[1] < attempt:
                latest[number] = child
        times = _Times(self.experiment.name, self.notebook)
        done = self._done_before()
        rows = []
        for index, member in enumerate(self.family.members):
            row = BatchRow(index, member.name, member.parameters)
            if member.done_by:
                row = _of_earlier(row, member.done_by, done)
            elif index in latest:
                row = _of_child(row, latest[index], root, attempts[index], times)
            rows.append(row)
        return rows

    def _done_before(self) -> dict[str, BatchRow]:
        """The rows of the batches that this one goes on with, by run."""
        earlier = self.properties.get(RESUMES)
        if not earlier or not any(member.done_by for member in self.family.members):
            return {}
        try:
            before = self.experiment.workspace.get_run(earlier)
        except Exception:  # noqa: BLE001 - it was deleted; what it did can be told all the same
            return {}
        return {row.run_id: row for row in as_batch(before).rows()}

    def failed_cell(self, index: int) -> int:
        """The code cell, from 1, that a notebook failed in; 0 if it did not, or nobody knows."""
        row = self.rows()[index]
        error = _error(row.folder) if row.folder and row.status == states.FAILED else {}
        cell = ((error.get("error") or {}).get("exception") or {}).get("cell")
        return int(cell) if isinstance(cell, int) else 0

    # What came of it

    def to_frame(self) -> Any:
        """A table for pandas: parameters, state, seconds, last metrics, recorded values, error.

        A name that is both a parameter and a metric has ``metric:`` before it as the latter.
        """
        from ..assets.tables import pandas_of_this_python

        pandas = pandas_of_this_python()
        records = []
        for row in self.rows():
            record: dict[str, Any] = dict(row.parameters)
            found = {**row.metrics, **_recorded(row.folder)}
            taken = {
                name if name not in record else f"metric:{name}": v for name, v in found.items()
            }
            state = {"state": row.status, "seconds": row.seconds}
            record = {**record, **state, **taken, "error": row.error, "run": row.run_id}
            records.append(record)
        frame = pandas.DataFrame.from_records(records)
        frame.index.name = "notebook"
        return frame

    def report(self, path: str | Path | None = None) -> Path:
        """Write one HTML page of all executed notebooks, with an index; returns where it is."""
        from .batch_report import write_report

        return write_report(self, path)

    def resume(self, *, from_failed_cell: bool = False) -> BatchRun:
        """Go on with what is not done, in a new run; see :func:`.batch.resume`."""
        return resume(self, from_failed_cell=from_failed_cell)


# Batches that are there -----------------------------------------------------------------------


def find_batch(workspace: Workspace, name: str, experiment: str | None = None) -> BatchRun | None:
    """The newest batch of that name or id, if there is one."""
    for summary in workspace.find_runs(Query(experiment=experiment, type=FAMILY_TYPE)):
        if summary.id == name or summary.properties.get(BATCH_NAME) == name:
            return as_batch(workspace.get_run(summary.id))
    return None


def gone_on_with(batch: BatchRun) -> BatchRun | None:
    """The newest batch that goes on with this one already, if there is one."""
    query = Query(experiment=batch.experiment.name, top_level=True)
    for summary in batch.experiment.workspace.find_runs(query):
        if summary.properties.get(RESUMES) == batch.id:
            return as_batch(batch.experiment.workspace.get_run(summary.id))
    return None


def as_batch(run: Run) -> BatchRun:
    """The run as a batch; an error if it is none."""
    if run.type != FAMILY_TYPE:
        raise UserErrorException(f"Run {run.id} is no batch.", "`aml runs` lists all runs.")
    return _batch_in(run.experiment, run.folder)


def _batch_in(experiment: Experiment, folder: Path) -> BatchRun:
    run = BatchRun._in(experiment, folder)
    assert isinstance(run, BatchRun)
    return run


def resume(
    earlier: BatchRun, *, from_failed_cell: bool = False, notebook: str | None = None
) -> BatchRun:
    """Go on with what a batch has not done; a new run, which takes over.

    The source is its own snapshot, or the folder of ``notebook``, which has been mended since.
    What is completed is not run again. A batch that goes on is left alone, one that is done is
    returned as it is. With ``from_failed_cell`` the log of a notebook says that the cells before
    the one that failed are run only for their state.
    """
    if not earlier.has_ended:
        return earlier
    request = RunRequest.from_json(earlier._request)
    if request.family is None:
        raise UserErrorException(f"Run {earlier.id} is no batch.", "Name a batch.")
    members = done_already(request.family.members, earlier)
    if all(member.done_by for member in members):
        return earlier
    if from_failed_cell:
        members = [_replaying(member, earlier, at) for at, member in enumerate(members)]
    family = replace(request.family, members=tuple(members))
    properties = {**_name_of(earlier), RESUMES: earlier.id}
    place = earlier.experiment.workspace.folder
    if notebook is None:
        folder = submission.submit_again(place, request, family=family, properties=properties)
    else:
        planned = _planned_anew(place, request, family, notebook)
        folder = submission.submit_family(planned, lambda job: replace(family, job=job), properties)
    return _batch_in(earlier.experiment, folder)


def _planned_anew(
    place: WorkspaceFolder, request: RunRequest, family: Family, notebook: str
) -> submission.Submission:
    """The submission of a batch whose source is taken once more."""
    what = family.job.what
    source = notebook.removesuffix(what).rstrip(os.sep) if notebook.endswith(what) else ""
    source = source or os.path.dirname(notebook)
    config = ScriptRunConfig(
        source,
        os.path.relpath(notebook, source),
        run_config=RunConfiguration.from_definition(request.definition),
    )
    return submission.plan(
        place,
        request.experiment,
        config,
        request.tags,
        source=Source(source, {}, {"kind": "notebook"}),
        display_name=request.display_name,
        resources=family.job.resources,
        notebook=family.job.notebook,
    )


def _name_of(batch: BatchRun) -> dict[str, str]:
    name = batch.properties.get(BATCH_NAME)
    return {BATCH_NAME: name} if name else {}


def done_already(members: Sequence[Member], earlier: BatchRun) -> list[Member]:
    """The members, with those marked that an earlier batch has completed with the same values."""
    done = {
        repr(sorted(row.parameters.items())): row.run_id
        for row in earlier.rows()
        if row.status == states.COMPLETED and row.run_id
    }
    return [
        replace(member, done_by=done.get(repr(sorted(member.parameters.items()))), replay=0)
        for member in members
    ]


def _replaying(member: Member, earlier: BatchRun, index: int) -> Member:
    """The member with the number of cells that came before the one that failed."""
    if member.done_by:
        return member
    return replace(member, replay=max(0, earlier.failed_cell(index) - 1))


def executed_notebook(folder: Path) -> Path | None:
    """The executed notebook of a run, as far as it has come; None if there is none (yet)."""
    request = layout.read_json(str(folder / layout.REQUEST)) or {}
    spec = (request.get("job") or {}).get("notebook") or {}
    path = folder / str(spec.get("output") or "")
    return path if path.is_file() else None


# How far it is -------------------------------------------------------------------------------


class _Times:
    """How long runs of this notebook took so far."""

    def __init__(self, experiment: str, notebook: str) -> None:
        self._of = (experiment, notebook)
        self._known = Durations(home().state / DURATIONS)

    def left(self, age: float) -> float | None:
        """Seconds until one that is so old probably ends."""
        return self._known.left(*self._of, age)


def seconds_left(rows: Sequence[BatchRow], usual: float | None) -> float | None:
    """Until a batch is probably over; None when nobody can tell."""
    running = [row for row in rows if row.status not in (*_NO_RUN, *states.TERMINAL)]
    waiting = sum(row.status in _NO_RUN for row in rows)
    known = [row.left for row in running if row.left is not None]
    if not known or (waiting and usual is None):
        return None
    return (sum(known) + waiting * (usual or 0.0)) / max(1, len(running))


def usual_seconds(batch: BatchRun) -> float | None:
    """How long the notebook of a batch usually takes; None when it never ran."""
    known = Durations(home().state / DURATIONS)
    return known.usual(batch.experiment.name, batch.notebook)


def _place(child: RunSummary) -> tuple[int, int]:
    """Which member a child is, and which attempt at it."""
    known = child.properties
    return int(known.get(MEMBER, -1)), int(known.get(ATTEMPT, 0))


def _of_earlier(row: BatchRow, run_id: str, done: Mapping[str, BatchRow]) -> BatchRow:
    before = done.get(run_id)
    if before is None:
        return BatchRow(row.index, row.name, row.parameters, states.COMPLETED, run_id, earlier=True)
    facts = {**vars(before), "index": row.index, "name": row.name, "earlier": True}
    return BatchRow(**facts)


def _of_child(
    row: BatchRow, child: RunSummary, root: Path, attempts: int, times: _Times
) -> BatchRow:
    folder = root / child.folder
    now = time.time()
    seconds = (child.ended or now) - child.started if child.started else None
    facts: dict[str, Any] = {
        "status": child.status,
        "run_id": child.id,
        "folder": folder,
        "started": child.started,
        "seconds": seconds,
        "attempts": attempts,
        "metrics": child.metrics,
    }
    if child.status == states.FAILED:
        facts["error"] = _message(_error(folder))
    elif child.status not in (*_NO_RUN, *states.TERMINAL):
        facts.update(_progress(folder))
        facts["left"] = times.left(seconds) if seconds is not None else None
    return BatchRow(row.index, row.name, row.parameters, **facts)


def _facts(folder: Path) -> events.Facts:
    facts = events.Facts(layout.read_json(str(folder / layout.REQUEST)) or {})
    for event in events.read(str(folder))[0]:
        facts.apply(event)
    return facts


def _progress(folder: Path) -> dict[str, object]:
    told = _facts(folder).progress or {}
    done, total = told.get("done"), told.get("total")
    part = done / total if isinstance(done, int) and isinstance(total, int) and total else None
    return {"cell": str(told.get("text") or ""), "part": part}


def _error(folder: Path) -> dict[str, Any]:
    return _facts(folder).error or {}


def _message(error: Mapping[str, Any]) -> str:
    inner = error.get("error") or {}
    exception = inner.get("exception") or {}
    told = f"{exception['type']}: {exception['message']}" if exception.get("type") else ""
    return (told or str(inner.get("message") or ""))[:_LONGEST_ERROR]


def _recorded(folder: Path | None) -> dict[str, Any]:
    found = layout.read_json(str(folder / SCRAPS)) if folder is not None else None
    return found if isinstance(found, dict) else {}
