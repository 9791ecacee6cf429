"""The children of a family: each is made, found again, asked to end, and counted once."""

from __future__ import annotations

import os
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..errors import UserErrorException
from ..job import events, layout, states
from ..job.run import text_values
from ..spec import Family, Member, RunRequest
from ..store.folder import WorkspaceFolder
from .ends import failure

MEMBER, ATTEMPT = "aml.member", "aml.attempt"
"""The properties of a child that say which it is."""

_RUN_TYPE = "azureml.scriptrun"


@dataclass
class Child:
    """One attempt at one member of a family.

    ``entry`` is its file in the queue, while it has one; ``is_told`` is whether it was asked to
    end.
    """

    parent: str
    index: int
    attempt: int
    runs: Path
    entry: str = ""
    is_told: bool = False

    def __post_init__(self) -> None:
        again = "" if self.attempt == 1 else f"_{self.attempt}"
        self.id = f"{self.parent}_{self.index}{again}"

    @property
    def folder(self) -> Path:
        """The folder of its run."""
        return self.runs / self.id

    def read(self) -> events.Facts | None:
        """What has become of it; None when there is no such run, or it is somebody else's."""
        raw = layout.read_json(str(self.folder / layout.REQUEST))
        if not isinstance(raw, dict) or raw.get("parent") != self.parent:
            return None
        facts = events.Facts(raw)
        for event in events.read(str(self.folder))[0]:
            facts.apply(event)
        return facts

    def make(self, place: WorkspaceFolder, request: RunRequest, family: Family) -> None:
        """Make its run, which is not there, or only half; ``request`` is its parent's."""
        if (self.folder / layout.REQUEST).exists():
            raise UserErrorException(
                f"There is a run {self.id} already, which is no child of {self.parent}.",
                "Delete that run, or submit this one under another id.",
            )
        if self.folder.exists():
            shutil.rmtree(self.folder)  # whoever made it was killed
        member = family.members[self.index]
        which = {MEMBER: str(self.index), ATTEMPT: str(self.attempt)}
        own = replace(
            request,
            id=self.id,
            parent=self.parent,
            number=place.next_number(request.experiment),
            type=_RUN_TYPE,
            created=time.time(),
            display_name=member.name,
            job=member.job(family.job),
            family=None,
            tags={**request.tags, **text_values(dict(member.parameters))},
            properties={**request.properties, **which},
        )
        place.new_run(own.to_json())

    def has_news(self) -> bool:
        """Whether anything has happened to it since it was made; for one that was not queued."""
        return os.path.exists(f"{self.folder}/{layout.EVENTS}")

    def ask_to_end(self) -> None:
        """Ask it to end, as its user would; for one that is in the queue."""
        if self.folder.exists():
            events.append(str(self.folder), "cancel", by=f"run {self.parent}")
        self.is_told = True

    def end(self) -> None:
        """End it as Canceled; for one that was not queued."""
        if self.folder.exists():
            events.append(str(self.folder), "state", state=states.CANCELED)


def children_left(parent: str, runs: Path) -> Iterator[Child]:
    """The children of a run that is itself gone, as their folders tell."""
    for path in runs.glob(f"{parent}_*/{layout.REQUEST}"):
        raw = layout.read_json(str(path))
        if isinstance(raw, dict) and raw.get("parent") == parent:
            found = raw.get("properties") or {}
            index, attempt = str(found.get(MEMBER)), str(found.get(ATTEMPT))
            if index.isdigit() and attempt.isdigit():
                yield Child(parent, int(index), int(attempt), runs)


class Tally:
    """How the members of a family have ended; each counts once."""

    def __init__(self, members: Sequence[Member]) -> None:
        self._members = members
        self._ends = {
            index: states.COMPLETED for index, member in enumerate(members) if member.done_by
        }
        self._counts = Counter(self._ends.values())
        self._done_before = len(self._ends)
        self._first: dict[str, Child] = {}

    def __contains__(self, index: int) -> bool:
        return index in self._ends

    def __getitem__(self, state: str) -> int:
        return self._counts[state]

    def __len__(self) -> int:
        return len(self._ends)

    def add(self, child: Child, state: str) -> None:
        """Count the last attempt at a member."""
        if child.index not in self._ends:
            self._ends[child.index] = state
            self._counts[state] += 1
            self._first.setdefault(state, child)

    @property
    def has_run(self) -> bool:
        """Whether any member has been run by this family."""
        return self[states.COMPLETED] + self[states.FAILED] > self._done_before

    def text(self, running: int) -> str:
        """How far it is, for people."""
        counts = {
            "running": running,
            "failed": self[states.FAILED],
            "canceled": self[states.CANCELED],
        }
        said = [f"{count} {what}" for what, count in counts.items() if count]
        return ", ".join([f"{len(self)} of {len(self._members)} done", *said])

    def outcome(self) -> tuple[str, dict[str, Any] | None]:
        """The state that the family ends with, and the error that tells why."""
        if self[states.FAILED]:
            return states.FAILED, failure("UserError", self._why(states.FAILED))
        if self[states.CANCELED]:
            return states.CANCELED, failure("Canceled", self._why(states.CANCELED))
        return states.COMPLETED, None

    def _why(self, state: str) -> str:
        """How many ended so, and what the first of them said."""
        child, count = self._first[state], self[state]
        verb = "failed" if state == states.FAILED else f"{'was' if count == 1 else 'were'} canceled"
        which = f"{self._members[child.index].name} ({child.id})"
        facts = child.read()
        said = facts.error if facts is not None else None
        message = str(((said or {}).get("error") or {}).get("message") or "")
        first = f": {which}." if count == 1 else f", {which} first."
        return f"{count} of {len(self._members)} runs {verb}{first} {message}".rstrip()
