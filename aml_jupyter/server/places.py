"""The workspaces that a server shows: one for each project folder under its root."""

from __future__ import annotations

import hashlib
import os
import threading
from dataclasses import dataclass
from pathlib import Path

from ..errors import UserErrorException
from ..store import WorkspaceFolder
from ..workspace import Workspace


@dataclass(frozen=True)
class Place:
    """A workspace that the server shows."""

    key: str
    """Its short name in addresses; the same after every start."""
    project: Path
    workspace: Workspace


class Places:
    """Finds workspaces under a root, and the one that the root itself lies in."""

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = Path(root).expanduser().resolve()
        self._lock = threading.Lock()
        self._known: dict[str, Place] = {}

    def look(self) -> list[Place]:
        """All that are there now, that of the root first; walks folders, so not on the loop."""
        found = WorkspaceFolder.find(self.root)
        if found is not None:
            self._know(found)
        with self._lock:
            return list(self._known.values())

    def get(self, key: str) -> Place:
        """The one with that key."""
        with self._lock:
            known = self._known.get(key)
        if known is None:
            raise UserErrorException(
                f"There is no workspace {key!r} under {self.root}.", "Reload the page."
            )
        return known

    def _know(self, folder: WorkspaceFolder) -> Place:
        key = hashlib.sha256(os.fsencode(folder.root)).hexdigest()[:12]
        with self._lock:
            if key not in self._known:
                opened = Workspace.find(folder.project)
                assert opened is not None
                self._known[key] = Place(key, folder.project, opened)
            return self._known[key]
