"""Follows the notebooks of a batch, at a cost that what is done adds nothing to."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..home import home
from ..job import events, layout, states
from ..runner.board import DURATIONS
from ..runner.forecast import Durations
from ..spec import Member
from ..store.following import last_values
from .batch_run import BatchRow, BatchRun, _message, _of_earlier, seconds_left

_NEW_TIMES_EVERY = 10.0


class BatchWatch:
    """The rows of a batch, looked at again and again.

    A row that has not changed since the last look is the same object. Unlike
    :meth:`BatchRun.rows` this asks no index: what has ended is not looked at again, of what
    waits only the size of a file.
    """

    def __init__(self, batch: BatchRun) -> None:
        self._folder = str(batch.folder)
        self._offset = 0
        self._times = TimeLeft(batch.experiment.name, batch.notebook)
        done = batch._done_before()
        runs = batch.folder.parent
        self._notebooks = [
            _Notebook(index, member, runs / f"{batch.id}_{index}", done)
            for index, member in enumerate(batch.family.members)
        ]

    def look(self) -> list[BatchRow]:
        """The rows as they are now, in order."""
        new, self._offset = events.read(self._folder, self._offset)
        for event in new:
            self._hear(event)
        for notebook in self._notebooks:
            if not notebook.row.has_ended:
                notebook.look(self._times)
        return [notebook.row for notebook in self._notebooks]

    def left(self) -> float | None:
        """Seconds until the batch is probably over, as of the last look; None if unknown."""
        return seconds_left([notebook.row for notebook in self._notebooks], self._times.usual())

    def _hear(self, event: Mapping[str, Any]) -> None:
        index = event.get("index")
        if event["e"] != "member" or not isinstance(index, int):
            return
        if 0 <= index < len(self._notebooks):
            self._notebooks[index].hear(event)


class TimeLeft:
    """How long runs of a script or notebook still take, by how long those before took."""

    def __init__(self, experiment: str, what: str) -> None:
        self._of = (experiment, what)
        self._until = 0.0
        self._read = Durations(home().state / DURATIONS)

    def __call__(self, age: float) -> float | None:
        """Seconds until one that is so old probably ends; None if none ran before."""
        return self._known().left(*self._of, age)

    def usual(self) -> float | None:
        """Seconds that one usually takes."""
        return self._known().usual(*self._of)

    def _known(self) -> Durations:
        now = time.monotonic()
        if now > self._until:
            self._until = now + _NEW_TIMES_EVERY
            self._read = Durations(home().state / DURATIONS)
        return self._read


class _Notebook:
    """One notebook of the batch: the row it has, and how far its events were read."""

    def __init__(
        self, index: int, member: Member, folder: Path, done: Mapping[str, BatchRow]
    ) -> None:
        self.row = BatchRow(index, member.name, member.parameters)
        if member.done_by:
            self.row = _of_earlier(self.row, member.done_by, done)
        self._ended_as = ""
        self._size, self._offset = -1, 0
        self._follow(folder)

    def hear(self, event: Mapping[str, Any]) -> None:
        """Take in which run does it now, and how that has ended."""
        run_id = os.path.basename(str(event.get("id") or ""))
        if run_id and run_id != self._folder.name:
            self._follow(self._folder.with_name(run_id))
        self._ended_as = str(event.get("state") or "")
        attempt = event.get("attempt")
        if isinstance(attempt, int) and not self.row.has_ended:
            self.row = replace(self.row, attempts=attempt)

    def look(self, left: TimeLeft) -> None:
        """Bring the row up to date; ``left`` tells how long one that is so old still takes."""
        try:
            size = os.stat(self._events).st_size
        except OSError:  # not made yet, or never; or it was deleted
            if self._ended_as:
                self.row = replace(self.row, status=self._ended_as)
            return
        if size != self._size:
            self._size = size
            new, self._offset = events.read(str(self._folder), self._offset)
            for event in new:
                self._facts.apply(event)
        elif self.row.status in _WAITS:
            return
        self.row = self._row(left)

    def _follow(self, folder: Path) -> None:
        self._folder = folder
        self._events = str(folder / layout.EVENTS)
        self._facts = events.Facts({})
        self._size, self._offset = -1, 0

    def _row(self, left: TimeLeft) -> BatchRow:
        facts, row = self._facts, self.row
        now = BatchRow(
            row.index,
            row.name,
            row.parameters,
            status=facts.status,
            run_id=self._folder.name,
            folder=self._folder,
            attempts=max(1, row.attempts),
            error=_message(facts.error or {}) if facts.status == states.FAILED else "",
        )
        if facts.started is None:
            return now
        seconds = (facts.ended or time.time()) - facts.started
        cell, part = _place(facts)
        return replace(
            now,
            started=facts.started,
            seconds=seconds,
            metrics=last_values(str(self._folder / layout.METRICS)),
            cell=cell,
            part=part,
            left=None if facts.has_ended else left(seconds),
        )


_WAITS = (states.NOT_STARTED, states.QUEUED)


def _place(facts: events.Facts) -> tuple[str, float | None]:
    """Which cell a notebook is in, and how much of it is done."""
    told = facts.progress or {}
    done, total = told.get("done"), told.get("total")
    part = done / total if isinstance(done, int) and isinstance(total, int) and total else None
    return str(told.get("text") or ""), part
