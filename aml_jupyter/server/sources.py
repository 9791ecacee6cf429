"""What a run was started from: its files, the text of one, and how they differ from another's."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

from jupyter_server.auth.decorator import authorized
from tornado.web import authenticated

from ..errors import UserErrorException
from ..spec import RunRequest
from ..store.source import printable
from ..watching.markup import clean
from ..workspace import Run, Workspace
from ..workspace.comparison import side_by_side
from ..workspace.sources import SnapshotFiles
from .handling import PREFIX, Handler

MOST_FILES = 5_000
"""Files in a list."""

MOST_TEXT = 1_000_000
"""Bytes of a file that are shown."""

_BINARY = 8_000
_MOST_BEFORE = 10
_PLACE = r"(?P<place>[^/]+)"
_RUN = r"(?P<run>[^/]+)"


class Tree(Handler):
    """``SourceTree`` of ``api.json``."""

    @authenticated
    @authorized
    async def get(self, place: str, run: str) -> None:
        """Answer which files there are, and which runs to compare them with."""
        await self.answer_about(place, lambda found: _tree(found.workspace, found.run(run)))


class Text(Handler):
    """``SourceText`` of ``api.json``."""

    @authenticated
    @authorized
    async def get(self, place: str, run: str, path: str) -> None:
        """Answer with a file of the source as text."""
        await self.answer_about(place, lambda found: _text(found.run(run), path))


class Diff(Handler):
    """``SourceDiff`` of ``api.json``."""

    @authenticated
    @authorized
    async def get(self, place: str, run: str) -> None:
        """Answer how the source differs from that of another run."""
        other = self.get_query_argument("with")
        await self.answer_about(place, lambda found: _diff(found.run(other), found.run(run)))


def _files(run: Run) -> SnapshotFiles:
    return SnapshotFiles(run._objects(), run.get_snapshot_id())


def _tree(workspace: Workspace, run: Run) -> dict[str, Any]:
    entries = _files(run).entries
    request = RunRequest.from_json(run._request)
    script = os.path.normpath(request.job.script) if request.job and request.job.script else ""
    listed = sorted(entries)[:MOST_FILES]
    return {
        "script": clean(script) if script in entries else "",
        "files": [{"path": clean(printable(path)), "size": entries[path].size} for path in listed],
        "more": len(entries) - len(listed),
        "relatives": list(_relatives(workspace, run, request)),
    }


def _relatives(workspace: Workspace, run: Run, request: RunRequest) -> Iterator[dict[str, str]]:
    """Runs to compare with, each once: what it was made from, its parent, those before it."""
    seen = {run.id}
    named = (("origin", request.source.get("again")), ("parent", request.parent))
    for kin, run_id in named:
        found = _known(workspace, str(run_id or ""))
        if found is not None and found.id not in seen:
            seen.add(found.id)
            yield _relative(found.id, found.display_name, kin)
    before = workspace.runs(limit=_MOST_BEFORE * 5, experiment=request.experiment)
    earlier = [each for each in before if each.created < request.created and each.id not in seen]
    for each in earlier[:_MOST_BEFORE]:
        yield _relative(each.id, each.display_name, "before")


def _known(workspace: Workspace, run_id: str) -> Run | None:
    """The run of that id; None where it was deleted, or has no source."""
    try:
        found = workspace.get_run(run_id) if run_id else None
    except UserErrorException:
        return None
    return found if found is not None and found.get_snapshot_id() else None


def _relative(run_id: str, name: str | None, kin: str) -> dict[str, str]:
    return {"id": run_id, "name": clean(name or run_id), "kin": kin}


def _text(run: Run, path: str) -> dict[str, Any]:
    files = _files(run)
    # Names are shown as they can be printed, and asked for so.
    names = {printable(known): known for known in files.entries}
    known = names.get(path) or names.get(unquote(path))
    if known is None:
        raise UserErrorException(f"The source of {run.id} has no file {path}.", "Choose another.")
    size = files.entries[known].size
    data = files.beginnings([known], MOST_TEXT + 1).get(known, b"")
    about = {"path": clean(printable(known)), "size": size}
    if b"\0" in data[:_BINARY]:
        return {**about, "text": "", "note": "This file is no text."}
    cut = f"The first {MOST_TEXT:,} of {size:,} bytes." if len(data) > MOST_TEXT else ""
    text = data[:MOST_TEXT].decode("utf-8", "replace")
    return {**about, "text": clean(text), "note": cut}


def _diff(before: Run, after: Run) -> dict[str, Any]:
    if before.id == after.id:
        raise UserErrorException("A run is the same as itself.", "Choose another one.")
    # What they logged is not asked for: no point of it need be read.
    found = side_by_side([before, after], most_points=0)
    difference = found.source_diff(1)
    return {
        "files": [
            {"path": each.path, "change": each.change, "text": clean(each.text), "note": each.note}
            for each in difference.files
        ],
        "more": difference.more,
        "environment": clean(found.environment_diff(1)),
    }


ROUTES = [
    (rf"{PREFIX}/source/{_PLACE}/{_RUN}", Tree),
    (rf"{PREFIX}/source/{_PLACE}/{_RUN}/(?P<path>.+)", Text),
    (rf"{PREFIX}/diff/{_PLACE}/{_RUN}", Diff),
]
