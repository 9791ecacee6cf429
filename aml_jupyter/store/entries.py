"""What a run logs that is not a number: the newest of it, name by name."""

from __future__ import annotations

from collections.abc import Iterable
from heapq import merge
from typing import TYPE_CHECKING, Any

from ..job import metrics

if TYPE_CHECKING:
    from ..job.metrics import Entry

_MOST_NAMES = 10_000
_MOST_ENTRIES = 10_000
_MOST_TEXT = 1 << 25

_Sized = tuple["Entry", int]


class Entries:
    """The newest entries of each name, at most ten thousand and some megabytes of text each."""

    def __init__(self) -> None:
        self.by_name: dict[str, list[Entry]] = {}
        """In order of their times; what one process logged keeps its order."""
        self.versions: dict[str, int] = {}
        """How many there were so far, name by name."""
        self.left_out = 0
        """How many entries came under one name too many."""
        self._kept: dict[str, _Kept] = {}

    def add(self, writer: str, lines: Iterable[bytes]) -> None:
        """Take in more lines of the ``.jsonl`` of a process."""
        new: dict[str, list[_Sized]] = {}
        for line in lines:
            entry = metrics.parse_other(line)
            if entry is not None:
                new.setdefault(entry["name"], []).append((entry, len(line)))
        for name, entries in new.items():
            if name not in self._kept:
                if len(self._kept) >= _MOST_NAMES:
                    self.left_out += len(entries)
                    continue
                self._kept[name] = _Kept()
            self._kept[name].add(writer, entries)
            self.by_name[name] = [entry for entry, _ in self._kept[name].entries]
            self.versions[name] = self.versions.get(name, 0) + len(entries)


class _Kept:
    """The newest entries of one name, each with the length of its text."""

    def __init__(self) -> None:
        self.entries: list[_Sized] = []
        self._text = 0
        self._writers: set[str] = set()

    def add(self, writer: str, entries: list[_Sized]) -> None:
        self._writers.add(writer)
        self._text += sum(size for _, size in entries)
        # A clock that was set back must not change the order of what one process logged.
        if len(self._writers) > 1:
            later = self._later_than(_when(entries[0]))
            entries = list(merge(later, entries, key=_when))
        self.entries.extend(entries)
        self._forget()

    def _later_than(self, when: float) -> list[_Sized]:
        """Take out the entries at the end that are later."""
        end = len(self.entries)
        while end and _when(self.entries[end - 1]) > when:
            end -= 1
        later = self.entries[end:]
        del self.entries[end:]
        return later

    def _forget(self) -> None:
        """Drop the oldest of too many; the newest one stays whatever its length."""
        oldest = max(0, len(self.entries) - _MOST_ENTRIES)
        self._text -= sum(size for _, size in self.entries[:oldest])
        while self._text > _MOST_TEXT and oldest < len(self.entries) - 1:
            self._text -= self.entries[oldest][1]
            oldest += 1
        del self.entries[:oldest]


def _when(entry: Any) -> float:
    return float(entry[0]["t"])
