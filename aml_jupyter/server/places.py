"""The workspaces that a server shows: one for each project folder under its root."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import AmlError, WorkspaceException
from ..home import home
from ..job import layout
from ..store import WorkspaceFolder
from ..store.folder import NAME
from ..workspace import Run, Workspace
from ..workspace.workspace import open_workspace
from .problems import NotHere, problem_of

_RECORD = "workspace.json"
_NOT_PROJECTS = frozenset({"node_modules", "site-packages", "__pycache__"})
_ENVIRONMENT_MARKS = frozenset({"pyvenv.cfg", "conda-meta"})
"""What lies in the folder of a virtual environment, or of one of conda."""

_MOST_FOLDERS = 20_000
_LONGEST_WALK = 10.0
_PATIENCE = 0.5


@dataclass(frozen=True)
class Place:
    """A workspace that the server shows; where there is a ``problem``, it cannot be opened."""

    key: str
    """Its short name in addresses; the same after every start."""
    name: str
    root: Path
    opened: Workspace | None = None
    problem: AmlError | None = None

    @property
    def project(self) -> Path:
        """The folder that holds ``.aml``."""
        return self.root.parent

    @property
    def workspace(self) -> Workspace:
        """The workspace; an error that says why it cannot be opened."""
        if self.opened is None:
            raise self.problem or WorkspaceException(f"{self.root} is not open.")
        if not (self.root / _RECORD).exists():
            raise NotHere(f"The workspace {self.name} in {self.root} is gone.", "Reload the page.")
        return self.opened

    def run(self, run_id: str) -> Run:
        """The run with that very id."""
        try:
            found = self.workspace.get_run(run_id)
        except (AmlError, ValueError) as error:
            if isinstance(error, NotHere) or self.problem is not None:
                raise
            raise NotHere(
                f"There is no run {run_id} in the workspace {self.name}.",
                "It was deleted; reload the page.",
            ) from error
        if found.id != run_id:
            raise NotHere(f"There is no run {run_id}.", f"The nearest is {found.id}.")
        return found


class Places:
    """Finds workspaces under a root, and the one that the root itself lies in.

    Three sources: the folders above the root, the workspaces that were seen on this machine,
    which tell of a new one at once, and a walk through the folders below the root, which is
    bounded and done again when the last is older than ``pause``. Nothing of it belongs on the
    event loop.
    """

    def __init__(self, root: str | os.PathLike[str], depth: int = 4, pause: float = 60.0) -> None:
        self.root = Path(root).expanduser().resolve()
        self._depth = depth
        self._pause = pause
        self._lock = threading.Lock()
        self._walking = threading.Lock()
        self._known: dict[Path, tuple[object, Place]] = {}
        self._walked: frozenset[Path] = frozenset()
        self._noted: tuple[int, frozenset[Path]] = (0, frozenset())
        self._next_walk = 0.0

    def look(self, walk: bool = True) -> list[Place]:
        """All that are there now, that of the root first; with ``walk`` folders are looked through.

        What takes longer is not waited for: what it finds is there the next time.
        """
        if walk and time.monotonic() >= self._next_walk:
            walker = threading.Thread(target=self._walk, name="aml-places", daemon=True)
            walker.start()
            walker.join(_PATIENCE)
        roots = dict.fromkeys([*self._around(), *sorted({*self._walked, *self._seen()})])
        with self._lock:
            found = [place for root in roots if (place := self._place(root)) is not None]
            self._known = {place.root: self._known[place.root] for place in found}
        # What cannot be opened must not be what a page shows first.
        return sorted(found, key=lambda place: place.problem is not None)

    def get(self, key: str) -> Place:
        """The one with that key; looked for anew if it is not known."""
        with self._lock:
            known = {place.key: place for _, place in self._known.values()}
        if key not in known:
            known = {place.key: place for place in self.look()}
        if key not in known:
            raise NotHere(f"There is no workspace {key!r} under {self.root}.", "Reload the page.")
        return known[key]

    def below(self, path: str | os.PathLike[str]) -> str | None:
        """A path as it is named below the root; None for what lies elsewhere."""
        # Whoever wrote it down may have come by a link to the root, or to a folder above it.
        for found in (Path(os.path.abspath(path)), Path(os.path.realpath(path))):
            if found.is_relative_to(self.root):
                name = found.relative_to(self.root).as_posix()
                return "" if name == "." else name
        return None

    def to_wire(self, place: Place) -> dict[str, Any]:
        """A place as the ``Place`` of ``api.json``."""
        project = self.below(place.project)
        found: dict[str, Any] = {"key": place.key, "name": place.name, "project": project or ""}
        if place.problem is not None:
            found["problem"] = problem_of(place.problem)
        return found

    # Finding

    def _around(self) -> Iterator[Path]:
        """That of the root, or of the nearest folder above it."""
        for folder in (self.root, *self.root.parents):
            if (folder / NAME / _RECORD).is_file():
                yield folder / NAME
                return

    def _seen(self) -> Iterable[Path]:
        """Those below the root that were used on this machine; read when there are others."""
        notes = home().workspaces
        try:
            mark = notes.stat().st_mtime_ns
        except OSError:
            return ()
        if mark != self._noted[0]:
            self._noted = mark, frozenset(filter(None, map(self._noted_in, notes.glob("*.json"))))
        return self._noted[1]

    def _noted_in(self, note: Path) -> Path | None:
        record = layout.read_json(str(note))
        path = record.get("root") if isinstance(record, dict) else None
        if not isinstance(path, str) or not os.path.isabs(path):
            return None
        root = Path(os.path.realpath(path))
        return root if root.name == NAME and root.is_relative_to(self.root) else None

    def _walk(self) -> None:
        if not self._walking.acquire(blocking=False):
            return  # another thread is at it
        try:
            self._walked = frozenset(self._found_below())
            self._next_walk = time.monotonic() + self._pause
        finally:
            self._walking.release()

    def _found_below(self) -> Iterator[Path]:
        """Breadth first, so that what lies near the root is found however much there is below."""
        waiting, looked = deque([(self.root, 0)]), 0
        give_up = time.monotonic() + _LONGEST_WALK
        while waiting and looked < _MOST_FOLDERS and time.monotonic() < give_up:
            folder, depth = waiting.popleft()
            looked += 1
            names = _folders_in(folder)
            if names is None:
                continue
            if (folder / NAME / _RECORD).is_file():
                yield folder / NAME
            if depth < self._depth:
                waiting.extend((folder / name, depth + 1) for name in names)

    def _place(self, root: Path) -> Place | None:
        """What is there, as it was opened before if it is still the same."""
        try:
            facts = (root / _RECORD).stat()
        except OSError:
            return None
        mark = (facts.st_ino, facts.st_mtime_ns, facts.st_size)
        known = self._known.get(root)
        if known is not None and known[0] == mark:
            return known[1]
        place = _opened(root)
        before = known[1].opened if known else None
        if before is not None and place.opened is not None and _is_same(before, place.opened):
            # Its record has other tags, say: what follows its runs goes on with what it has.
            place = Place(place.key, place.name, root, before)
        self._known[root] = (mark, place)
        return place


def _opened(root: Path) -> Place:
    key = hashlib.sha256(os.fsencode(root)).hexdigest()[:12]
    try:
        opened = open_workspace(WorkspaceFolder(root))
        return Place(key, opened.name, root, opened)
    except AmlError as error:
        return Place(key, root.parent.name, root, problem=error)
    except (OSError, KeyError, TypeError, AttributeError) as error:
        problem = WorkspaceException(f"{root / _RECORD} cannot be read: {error!r}.", "Restore it.")
        return Place(key, root.parent.name, root, problem=problem)


def _is_same(one: Workspace, other: Workspace) -> bool:
    first: Mapping[str, Any] = one.folder.record
    return first.get("id") == other.folder.record.get("id")


def _folders_in(folder: Path) -> list[str] | None:
    """The folders to go on with, links left out; None where no project lies below."""
    try:
        with os.scandir(folder) as entries:
            found = list(entries)
    except OSError:
        return None
    if any(entry.name in _ENVIRONMENT_MARKS for entry in found):
        return None
    return [
        entry.name
        for entry in found
        if not entry.name.startswith(".")
        and entry.name not in _NOT_PROJECTS
        and entry.is_dir(follow_symlinks=False)
    ]
