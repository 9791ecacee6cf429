"""What a job writes for TensorBoard, below ``logs/``, becomes metrics of its run.

The job needs no change for it and does not notice. Its event files are read on as they grow, for
so long at a time as the runner has to spare; where there are none it is a look into a folder.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

from ..job import events, layout
from ..job.beneath import open_plain
from ..store import event_files
from ..store.event_files import Point
from .event_metrics import MOST_NAMES, EventMetrics, Place

_MOST_FILES = 1000
_MOST_ENTRIES = 10_000
_LOOK_FOR_NEW_EVERY = 50
_MARK = 40


class EventLogs:
    """The event files of one run, and how far they have been taken in."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._files: dict[str, _EventFile] = {}
        self._metrics: EventMetrics | None = None
        self._read: dict[str, Place] = {}
        self._find_after = 0.0
        self._has_told = False

    def look(self, seconds: float) -> bool:
        """Take in what is new, for about so long; whether that was all there is."""
        now = time.monotonic()
        if now >= self._find_after:
            self._find()
            # Large trees are not walked through all the time.
            self._find_after = now + _LOOK_FOR_NEW_EVERY * (time.monotonic() - now)
        if not self._files:
            return True
        try:
            return self._take_in(now + seconds)
        except BaseException:
            self._metrics = None  # what was written of it shows in the files
            raise

    def _take_in(self, until: float) -> bool:
        if self._metrics is None:
            self._resume()
        assert self._metrics is not None
        found: list[Point] = []
        is_all = True
        for path, file in self._files.items():
            is_all = file.take(path, found, until) and is_all
            if not is_all:
                break
        if found:
            self._read.update((path, file.place) for path, file in self._files.items())
            self._metrics.append(found, self._read)
            self._tell()
        else:
            self._metrics.make_way()
        if not is_all:  # the others have their turn first at the next look
            self._files[path] = self._files.pop(path)
        return is_all

    def _resume(self) -> None:
        self._metrics = EventMetrics(self._folder)
        self._read = self._metrics.resume()
        for path in self._files:
            self._files[path] = _EventFile(self._folder, path, self._read.get(path))

    def _find(self) -> None:
        """Take notice of new event files."""
        for path in _event_files(self._folder):
            if path not in self._files and len(self._files) < _MOST_FILES:
                self._files[path] = _EventFile(self._folder, path, self._read.get(path))

    def _tell(self) -> None:
        if self._metrics is not None and self._metrics.left_out and not self._has_told:
            self._has_told = True
            message = f"Of what was logged for TensorBoard {MOST_NAMES} names are metrics here."
            events.append(self._folder, "warning", message=message)


class _EventFile:
    """One event file, and how far it has been read."""

    def __init__(self, folder: str, path: str, place: Place | None = None) -> None:
        self.place = place or ("", 0)
        self._folder = folder
        name = os.path.dirname(path)[len(layout.LOGS) + 1 :]
        self._prefix = f"{name}/" if name else ""
        self._seen: tuple[int, int, int] | None = None

    def take(self, path: str, found: list[Point], until: float) -> bool:
        """Add new numbers to those ``found``, until a time; whether these were all there are."""
        try:
            seen = _as_it_is(os.lstat(os.path.join(self._folder, path)))
            if seen == self._seen:
                return True
            file = open_plain(self._folder, path, os.O_RDONLY)
        except OSError:  # gone, or something else by now
            return True
        try:
            is_all = self._read(file, found, until)
        finally:
            os.close(file)
        self._seen = seen if is_all else None
        return is_all

    def _read(self, file: int, found: list[Point], until: float) -> bool:
        beginning = os.pread(file, _MARK, 0).hex()
        mark, offset = self.place
        if offset > os.fstat(file).st_size or not beginning.startswith(mark):
            offset = 0  # another file has taken its place
        for event, end in event_files.records(file, offset):
            if time.monotonic() > until:
                return False
            found += (
                each._replace(tag=f"{self._prefix}{each.tag}") for each in event_files.points(event)
            )
            self.place = (beginning, end)
        return True


def _as_it_is(found: os.stat_result) -> tuple[int, int, int]:
    return found.st_ino, found.st_size, found.st_mtime_ns


def _event_files(folder: str) -> Iterator[str]:
    """The paths of event files below a run's ``logs``; no link is followed."""
    left = _MOST_ENTRIES
    folders = [layout.LOGS]
    while folders and left > 0:
        place = folders.pop()
        try:
            with os.scandir(os.path.join(folder, place)) as entries:
                for entry in entries:
                    left -= 1
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(f"{place}/{entry.name}")
                    elif event_files.is_event_file(entry.name):
                        yield f"{place}/{entry.name}"
                    if left <= 0:
                        break
        except OSError:
            continue
