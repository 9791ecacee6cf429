"""The workspace and the runs that a command is about."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .. import runner
from ..errors import UserErrorException, WorkspaceException
from ..job import events, layout, states
from ..job.process import is_alive
from ..store import RunSummary
from ..store.following import last_values
from ..workspace import Run, Workspace

LAST = "last"
_LOOK_AFTER = 5.0


def workspace_here() -> Workspace:
    """The workspace of the project here. Looking at runs never makes one."""
    here = Path.cwd()
    workspace = Workspace.find(here)
    if workspace is None:
        raise WorkspaceException(
            f"There is no workspace in {here} or above it.",
            "Change to the folder of your project; the first `aml run` makes a workspace there.",
        )
    return workspace


def find_run(workspace: Workspace, run_id: str) -> Run:
    """The run with that id, with the only id that begins so, or the last one."""
    if run_id != LAST:
        return workspace.get_run(run_id)
    newest = workspace.runs(1, top_level=True)
    if not newest:
        raise UserErrorException("There are no runs in this workspace yet.", "Start one: aml run.")
    return workspace.get_run(newest[0].id)


def live_runs(workspace: Workspace) -> Iterator[Run]:
    """Every run that has not ended, children of others left out."""
    for state in sorted(states.ALL - states.TERMINAL):
        for summary in workspace.runs(-1, state=state, top_level=True, archived=True):
            yield workspace.get_run(summary.id)


class Watch:
    """A run as it is now, and again as it is now."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.request: dict[str, Any] = layout.read_json(str(run.folder / layout.REQUEST)) or {}
        self.facts = events.Facts(self.request)
        self._offset = 0
        self._look_after_at = 0.0

    def look(self) -> events.Facts:
        """What is known of the run, with all that happened since the last look."""
        self._read()
        if not self.facts.has_ended and time.monotonic() >= self._look_after_at:
            self._look_after_at = time.monotonic() + _LOOK_AFTER
            self._look_after()
            self._read()
        return self.facts

    def _read(self) -> None:
        new, self._offset = events.read(str(self.run.folder), self._offset)
        for event in new:
            self.facts.apply(event)

    def _look_after(self) -> None:
        """See to it that the run ends, whoever of those that would say so was killed."""
        if self.request.get("host") != socket.gethostname():
            return
        owner = self.request.get("owner")
        if owner is None:
            runner.look_after()
        elif not is_alive(owner):
            self.run.experiment.workspace.runs(1)  # the index ends runs whose process is gone

    def summary(self) -> RunSummary:
        """The run as a line of a list."""
        facts, request = self.look(), self.request
        root = self.run.experiment.workspace.folder.root
        return RunSummary(
            id=self.run.id,
            folder=str(self.run.folder.relative_to(root)),
            experiment=str(request.get("experiment")),
            number=self.run.number,
            type=self.run.type,
            parent=request.get("parent"),
            status=facts.status,
            created=float(request.get("created") or 0),
            started=facts.started,
            ended=facts.ended,
            target=str(request.get("target") or ""),
            display_name=facts.display_name,
            archived=facts.archived,
            notebook=(request.get("source") or {}).get("notebook"),
            tags=facts.tags,
            properties=facts.properties,
            metrics=last_values(str(self.run.folder / layout.METRICS)),
        )
