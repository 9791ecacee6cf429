"""What there is to see of a run, looked at again and again at little cost."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..job import events, layout, states
from ..spec import FAMILY_TYPE
from ..store.series import MetricFeed
from ..workspace.batch_run import as_batch
from ..workspace.batch_watch import TimeLeft
from .child_table import NotebookTable
from .progress_bar import Progress, progress_in
from .svg import line_style

if TYPE_CHECKING:
    from ..workspace import Run

_DELETED = "The run was deleted."
_SOON = 60.0
_ON_CLUSTERS = {states.QUEUED: "Scaling", states.FINALIZING: "Post-processing"}
"""What v1 calls these stages of a run on an AmlCompute target."""


@dataclass(frozen=True)
class Stage:
    """A stretch of a run's time line; ``until`` is None for the one that goes on."""

    state: str
    since: float
    until: float | None


@dataclass(frozen=True)
class Head:
    """How a run is at one moment, under the names that the wire's ``RunHead`` has."""

    id: str
    name: str
    experiment: str
    status: str
    target: str
    environment: str
    started: float | None
    ended: float | None
    now: float
    stages: Sequence[Stage]
    progress: Progress | None
    error: str
    note: str
    colour: str = ""
    work: str = ""
    source: str = ""
    batch: bool = False
    notebook: str = ""

    @property
    def elapsed(self) -> float | None:
        """Seconds from its start to its end, or to now."""
        return None if self.started is None else (self.ended or self.now) - self.started

    @property
    def has_ended(self) -> bool:
        """True once the run is Completed, Failed or Canceled."""
        return self.status in states.TERMINAL

    def to_wire(self) -> dict[str, Any]:
        """The same as JSON."""
        return {**asdict(self), "stages": [asdict(stage) for stage in self.stages]}

    def differs_from(self, other: Head | None) -> bool:
        """Whether there is anything new to show; that time has passed is nothing new."""
        return other is None or replace(self, now=0.0) != replace(other, now=0.0)


class Watch:
    """Follows the state of one run; its numbers are in ``metrics``.

    ``colour`` is that of its lines where several runs are shown together, ``notebooks`` the
    table of a batch.
    """

    def __init__(self, run: Run, colour: str = "") -> None:
        self.run = run
        self._colour = colour
        self.metrics = MetricFeed(run.folder / layout.METRICS)
        request = layout.read_json(str(run.folder / layout.REQUEST)) or {}
        self._experiment = str(request.get("experiment") or "")
        self._target = str(request.get("target") or "local")
        self._environment = _environment_of(request)
        self._source = str((request.get("source") or {}).get("directory") or "")
        self._stage_names = _ON_CLUSTERS if _is_on_cluster(request) else {}
        self._created = float(request.get("created") or 0.0)
        self.notebooks = NotebookTable(as_batch(run)) if run.type == FAMILY_TYPE else None
        self._executed = _executed_notebook(request)
        self._left = TimeLeft(self._experiment, _script_of(request)) if self._executed else None
        self._facts = events.Facts(request)
        self._offset = 0
        self._gone = False

    @property
    def finished(self) -> bool:
        """Whether the run had ended, or been deleted, at the last look."""
        return self._facts.has_ended or self._gone

    @property
    def started(self) -> float | None:
        """When the job started, as of the last look."""
        return self._facts.started

    def look(self, last_lines: Iterable[str] = ()) -> Head:
        """How the run is now; ``last_lines`` of its log may hold a progress bar."""
        new, self._offset = events.read(str(self.run.folder), self._offset)
        for event in new:
            self._facts.apply(event)
        facts = self._facts
        self._gone = not new and not self.run.folder.exists()
        return Head(
            id=self.run.id,
            name=facts.display_name,
            experiment=self._experiment,
            status=facts.status,
            target=self._target,
            environment=self._environment,
            started=facts.started,
            ended=facts.ended,
            now=time.time(),
            stages=self._stages(),
            progress=None if facts.has_ended else self._progress() or progress_in(last_lines),
            error=_message(facts.error),
            note=_DELETED if self._gone else _note(facts),
            colour=self._colour,
            work=str(self.run.folder / layout.WORK),
            source=self._source,
            batch=self.notebooks is not None,
            notebook=self._executed if self._has_executed() else "",
        )

    def _progress(self) -> Progress | None:
        if self._facts.status == states.QUEUED and self.notebooks is None:
            return turn_of(self.run.id, self.run.folder)
        progress = progress_by_events(self._facts)
        if progress is None:
            return None
        if self.notebooks is not None:
            self.notebooks.look()
            left = self.notebooks.left
            return replace(progress, done=round(self.notebooks.done, 4), left=left and round(left))
        left = self._seconds_left()
        return replace(progress, left=left and round(left))

    def _seconds_left(self) -> float | None:
        """How long a notebook probably still takes, where that is known from earlier runs."""
        if self._left is None or self._facts.started is None:
            return None
        return self._left(time.time() - self._facts.started)

    def _has_executed(self) -> bool:
        return bool(self._executed) and (self.run.folder / self._executed).is_file()

    def _stages(self) -> tuple[Stage, ...]:
        names, found = self._stage_names, _stages(self._facts, self._created)
        return tuple(replace(stage, state=names.get(stage.state, stage.state)) for stage in found)

    def begin_metrics(self, records: int) -> None:
        """Take in about so many numbers; of what is long beyond them show a few from all over."""
        self.metrics.poll(final=self.finished, records=records)
        self.metrics.look_ahead()

    def read_metrics(self) -> bool:
        """Take in numbers that are new, a bounded part of them; whether there were any."""
        return self.metrics.poll(final=self.finished)


def watch_all(runs: Sequence[Run]) -> list[Watch]:
    """A watch for each run, told apart by colours when they are several."""
    if len(runs) == 1:
        return [Watch(runs[0])]
    return [Watch(run, line_style(place, 0, True)[0]) for place, run in enumerate(runs)]


def _executed_notebook(request: dict[str, Any]) -> str:
    """Where the run leaves the notebook that it executes; empty if it executes none."""
    return str(((request.get("job") or {}).get("notebook") or {}).get("output") or "")


def _script_of(request: dict[str, Any]) -> str:
    return str((request.get("job") or {}).get("script") or "")


def _environment_of(request: dict[str, Any]) -> str:
    """The environment's name; where none was asked for, the Python of who submitted."""
    facts = request.get("environment") or {}
    if facts.get("kind") == "submitter":
        return f"Python {facts.get('python') or ''}".strip()
    return str(facts.get("name") or "")


def _is_on_cluster(request: dict[str, Any]) -> bool:
    properties = request.get("properties") or {}
    return str(properties.get("_azureml.ComputeTargetType")).lower() == "amlcompute"


def _stages(facts: events.Facts, created: float) -> tuple[Stage, ...]:
    """The time line without its last point; no stage begins before the one in front of it."""
    marks = [(states.NOT_STARTED, created), *facts.stages]
    if facts.started is not None:
        marks = [(s, min(t, facts.started) if s == states.RUNNING else t) for s, t in marks]
    found = []
    for number, (state, since) in enumerate(marks):
        if state in states.TERMINAL:
            break
        following = marks[number + 1][1] if number + 1 < len(marks) else facts.ended
        if following is None or following > since:
            found.append(Stage(state, since, following))
    return tuple(found)


def _note(facts: events.Facts) -> str:
    return str(facts.warnings[-1]["message"]) if facts.warnings else ""


def progress_by_events(facts: events.Facts) -> Progress | None:
    """How far a run is in its present state, where its events say so."""
    said = facts.progress
    # A run is Preparing twice: while its environment is built, and while its files are laid out.
    if not said or said.get("stage") != facts.status or said["t"] < facts.since:
        return None
    done, total = said.get("done"), said.get("total")
    part = float(done) / float(total) if isinstance(done, (int, float)) and total else None
    text = str(said.get("text") or "")
    return Progress(f"Environment: {text}" if _awaits_environment(facts) else text, part, None)


def _awaits_environment(facts: events.Facts) -> bool:
    """Whether its environment is being built, which comes before a run is Queued."""
    passed = {state for state, _ in facts.stages}
    return facts.status == states.PREPARING and states.QUEUED not in passed


def turn_of(run_id: str, folder: Path | None = None) -> Progress | None:
    """Why a run waits, its place in the queue, and when its turn will probably be.

    ``folder`` is the run's, where several workspaces may have a run of that id.
    """
    from ..workspace.queue_view import position_of

    place = position_of(run_id, folder)
    if place is None:
        return None
    starts = _start_in_words(place.expected) if place.expected else ""
    words = " · ".join(filter(None, [place.why, f"no. {place.position} in the queue", starts]))
    return Progress(words[:1].upper() + words[1:], None, None)


def _start_in_words(expected: float) -> str:
    """When a run will probably start, in words that stay as they are for a while."""
    now, then = time.localtime(), time.localtime(expected)
    if expected < time.time() + _SOON:
        return "starts soon"
    day = "" if now.tm_yday == then.tm_yday else time.strftime("%a ", then)
    return f"starts at about {day}{time.strftime('%H:%M', then)}"


def _message(error: Any) -> str:
    inner = (error or {}).get("error", error) or {}
    return str(inner.get("message") or "")
