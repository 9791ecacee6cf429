"""One run, and where it came from: ``RunDetail`` of ``api.json``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from jupyter_server.auth.decorator import authorized
from tornado.web import authenticated

from ..errors import AmlError
from ..job import layout
from ..spec import RunRequest
from ..store.conditions import ALSO, Condition, Selection
from ..workspace import Run
from ..workspace.sources import SnapshotFiles, cell_in
from .handling import PREFIX, Handler
from .hub import Hubs
from .places import Place, Places
from .problems import NotHere
from .rows import Row

_NAMESAKES = 100
_LONGEST_CELL = 100_000


class RunAbout(Handler):
    """``RunDetail`` of ``api.json``."""

    @authenticated
    @authorized
    async def get(self, key: str, run: str) -> None:
        """Answer what there is to know of a run before its page is open."""
        hubs: Hubs = self.settings["aml_hubs"]
        await self.answer_about(key, lambda place: _detail(self.places, hubs, place, run))


def _detail(places: Places, hubs: Hubs, place: Place, run_id: str) -> dict[str, Any]:
    run = place.run(run_id)
    request = RunRequest.from_json(layout.read_json(str(run.folder / layout.REQUEST)) or {})
    return {
        "row": _row(hubs, place, run),
        "folder": places.below(run.folder),
        "where": str(run.folder),
        "cell": _cell(places, place, run, request),
        "script": _script(places, request),
        "error": _message(run._read().error),
    }


def _row(hubs: Hubs, place: Place, run: Run) -> Row:
    """Its row, as the index has it by now."""
    asked = Selection((Condition("id", run.id),), archived=ALSO, children=ALSO)
    # Its own children may have ids that begin so; they are younger.
    found = place.workspace.list_runs(asked, "created", False, limit=_NAMESAKES).runs
    for summary in found:
        if summary.id == run.id:
            return hubs.of(place).rows.of([summary])[0]
    raise NotHere(f"Run {run.id} cannot be read.", f"Look at {run.folder}.")


def _cell(places: Places, place: Place, run: Run, request: RunRequest) -> dict[str, str] | None:
    source = request.source
    notebook = _notebook(places, place, source.get("notebook"))
    if source.get("kind") != "cell" or notebook is None:
        return None
    script = request.job.script if request.job else None
    text = _cell_text(run, request.job.snapshot, script) if request.job and script else ""
    return {"notebook": notebook, "cell": str(source.get("cell") or ""), "text": text}


def _notebook(places: Places, place: Place, path: object) -> str | None:
    """Where a notebook is below the root; a kernel may know it from its project only."""
    return places.below(place.project / path) if isinstance(path, str) and path else None


def _cell_text(run: Run, snapshot: str | None, script: str) -> str:
    """The cell without what our own script has around it; "" where its snapshot is gone."""
    try:
        text = SnapshotFiles(run._objects(), snapshot).text(script, _LONGEST_CELL)
    except (AmlError, OSError):
        return ""
    return "\n".join(cell_in(text)[1]).strip("\n")


def _script(places: Places, request: RunRequest) -> str | None:
    """The script or notebook where it was submitted from, if it is still there."""
    directory, script = request.source.get("directory"), request.source.get("script")
    if not isinstance(directory, str) or not isinstance(script, str) or not directory:
        return None
    path = Path(os.path.normpath(os.path.join(directory, script)))
    return places.below(path) if path.is_file() else None


def _message(error: Any) -> str:
    inner = (error or {}).get("error", error) or {}
    return str(inner.get("message") or "")


ROUTES = [(rf"{PREFIX}/run/([^/]+)/([^/]+)", RunAbout)]
