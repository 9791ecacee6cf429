"""What is in the snapshots of runs, and how two of them differ."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from ..store import Objects, snapshots
from ..store.gitfacts import without_credentials_inside
from ..store.source import printable

MOST_FILES = 200
"""How many files are shown of two sources that differ."""

MOST_TEXT = 200_000
"""How many characters of diff are shown of two sources."""

_BEGINS_A_CELL = "exec(compile(open("
_ENDS_A_CELL = "_aml_save_out("
_LARGEST = 200_000
_MOST_LINES = 5_000
_LOOKED_AT = 8_000


class SnapshotFiles:
    """The files of one snapshot, or none at all; what is asked for is read, and no more."""

    def __init__(self, objects: Objects, snapshot_id: str | None) -> None:
        self.snapshot_id = snapshot_id
        self._objects = objects

    @cached_property
    def entries(self) -> Mapping[str, snapshots.Entry]:
        """What is known of each file, by its path."""
        if not self.snapshot_id:
            return {}
        found = snapshots.read_manifest(self.snapshot_id, self._objects).files
        return {entry.path: entry for entry in found}

    def beginnings(self, paths: Iterable[str], most: int) -> dict[str, bytes]:
        """The first bytes of those of the files that are there, by path."""
        wanted = [self.entries[path] for path in paths if path in self.entries]
        sizes = {bytes.fromhex(entry.hash): entry.size for entry in wanted}
        with self._objects.reading(sizes) as reader:
            return {
                entry.path: _first(reader.chunks(bytes.fromhex(entry.hash)), most)
                for entry in wanted
            }

    def text(self, path: str, most: int) -> str:
        """A file as text, cut where it is longer; "" when there is no such file."""
        data = self.beginnings([path], most + 1).get(path, b"")
        text = data[:most].decode("utf-8", "replace")
        return f"{text}\n(cut after {most:,} bytes)\n" if len(data) > most else text


def cell_in(script: str) -> tuple[int, list[str]]:
    """The lines of the cell that a script was made of, and the number of the first of them.

    A line of ours stands above them, in place of the magic, and perhaps one below.
    """
    lines = script.splitlines()
    last = next((at for at, line in enumerate(lines) if line.startswith(_ENDS_A_CELL)), len(lines))
    first = 1 if _BEGINS_A_CELL in (lines or [""])[0] else 0
    return first + 1, lines[first:last]


def _first(chunks: Iterator[bytes], most: int) -> bytes:
    found = b""
    for chunk in chunks:
        found += chunk
        if len(found) >= most:
            break
    return found[:most]


@dataclass(frozen=True)
class FileDiff:
    """How a file differs: ``change`` is added, removed or changed, ``text`` a unified diff.

    Where there is no text, ``note`` says why.
    """

    path: str
    change: str
    text: str = ""
    note: str = ""

    def __str__(self) -> str:
        head = f"{self.change}: {self.path}" + (f" ({self.note})" if self.note else "")
        return f"{head}\n{self.text}".rstrip("\n")


@dataclass(frozen=True)
class SourceDiff:
    """How two sources differ, file by file; ``more`` files differ that are not listed."""

    files: tuple[FileDiff, ...] = ()
    more: int = 0

    def __str__(self) -> str:
        more = [f"… and {self.more} more files"] if self.more else []
        return "\n".join([*map(str, self.files), *more])


def diff_of(before: SnapshotFiles, after: SnapshotFiles) -> SourceDiff:
    """How the files of ``after`` differ from those of ``before``."""
    if before.snapshot_id == after.snapshot_id:
        return SourceDiff()
    paths = sorted(
        path
        for path in before.entries.keys() | after.entries.keys()
        if _hash(before, path) != _hash(after, path)
    )
    shown = paths[:MOST_FILES]
    # The largest are not even read: two of them could keep a notebook waiting for minutes.
    small = [path for path in shown if max(_size(before, path), _size(after, path)) <= _LARGEST]
    old, new = before.beginnings(small, _LARGEST), after.beginnings(small, _LARGEST)
    files, room = [], MOST_TEXT
    for path in shown:
        change = _change(path, before, after)
        if path not in small:
            note = f"{_size(before, path):,} and {_size(after, path):,} bytes"
            files.append(FileDiff(printable(path), change, note=note))
            continue
        found = _file_diff(path, change, old.get(path, b""), new.get(path, b""), room)
        room -= len(found.text)
        files.append(found)
    return SourceDiff(tuple(files), len(paths) - len(shown))


def _hash(files: SnapshotFiles, path: str) -> str:
    return files.entries[path].hash if path in files.entries else ""


def _size(files: SnapshotFiles, path: str) -> int:
    return files.entries[path].size if path in files.entries else 0


def _change(path: str, before: SnapshotFiles, after: SnapshotFiles) -> str:
    if path not in before.entries:
        return "added"
    return "changed" if path in after.entries else "removed"


def _file_diff(path: str, change: str, old: bytes, new: bytes, room: int) -> FileDiff:
    name = printable(path)
    if b"\0" in old[:_LOOKED_AT] or b"\0" in new[:_LOOKED_AT]:
        return FileDiff(name, change, note="binary")
    if room <= 0:
        return FileDiff(name, change, note="not shown, there is so much else")
    before, after = old.decode("utf-8", "replace"), new.decode("utf-8", "replace")
    text = text_diff(before, after, name, name)
    if text is None:
        return FileDiff(name, change, note="too many lines")
    text = without_credentials_inside(text)
    return FileDiff(name, change, text if len(text) <= room else f"{text[:room]}\n(cut)\n")


def text_diff(before: str, after: str, from_name: str, to_name: str) -> str | None:
    """A unified diff of two texts; None where they have too many lines to be compared quickly."""
    import difflib

    old, new = _lines(before), _lines(after)
    start, end = _in_common(old, new)
    if max(len(old), len(new)) - start - end > _MOST_LINES:
        return None
    lines = difflib.unified_diff(old, new, from_name, to_name, lineterm="")
    return "".join(f"{line}\n" for line in lines)


def _lines(text: str) -> list[str]:
    *whole, rest = text.split("\n")
    return [*whole, f"{rest}\n\\ No newline at end of file"] if rest else whole


def _in_common(old: list[str], new: list[str]) -> tuple[int, int]:
    """How many lines at the start, and of the rest at the end, are the same."""
    least = min(len(old), len(new))
    start = next((i for i in range(least) if old[i] != new[i]), least)
    rest = least - start
    return start, next((i for i in range(rest) if old[-1 - i] != new[-1 - i]), rest)
