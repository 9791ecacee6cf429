"""How long a snapshot of a large folder takes, first and again, beside git."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from aml_jupyter.store.objects import Objects
from aml_jupyter.store.snapshots import lay_out, take
from benchmarks.report import Row, median_of, timed
from benchmarks.setting import Effort

FOLDERS, FILES, SIZE = 100, 100, 10_000
CHANGES = 10


def rows(effort: Effort) -> Iterator[Row]:
    """First and second snapshot of 10,000 files of 10 kB, and laying them out again; in a new
    folder each time. ``git add`` of the same files is measured beside it where there is git.
    """
    # Deleted only at the end: ext4 is slow to hand out inodes that were just freed.
    with tempfile.TemporaryDirectory(prefix="aml-bench-") as place:
        samples = [_once(Path(place, str(number)), number) for number in range(effort.repeat)]
    first, again, laid_out, floor, written, git_first, git_again = (
        list(column) for column in zip(*samples, strict=True)
    )
    hashing, git = median_of(floor), shutil.which("git")
    yield _row(
        "first snapshot of 10,000 files, 100 MB",
        first,
        "≤ 3 × reading and hashing the bytes",
        ("reading and hashing", hashing),
        median_of(first) <= 3 * hashing,
    )
    yield _row(
        "snapshot again after 10 changes",
        again,
        "≤ 0.25 s",
        ("git add", median_of(git_again)) if git else ("reading and hashing", hashing),
        median_of(again) <= 0.25,
    )
    if git:
        yield _row(
            "first snapshot, beside git add of the same files",
            first,
            "faster than git",
            ("git add", median_of(git_first)),
            median_of(first) < median_of(git_first),
        )
    yield _row(
        "laying out 10,000 files, 100 MB",
        laid_out,
        "≤ 2 × writing the same files",
        ("writing the files", median_of(written)),
        median_of(laid_out) <= 2 * median_of(written),
    )


def _row(
    name: str, samples: list[float], reach: str, limit: tuple[str, float], reached: bool
) -> Row:
    return Row(name, median_of(samples), "s", reach, *limit, reached, samples)


def _once(place: Path, seed: int) -> tuple[float, ...]:
    """Every figure once, in a folder of its own."""
    source, objects = place / "source", Objects(place / "objects")
    change = random.Random(seed)
    written = _seconds(lambda: _write_tree(source, change))
    time.sleep(0.2)  # else the files count as still being written
    floor = _seconds(lambda: _read_and_hash(source))
    first = _seconds(lambda: take(source, objects))
    git_first = _git_add(source)
    _change_some(source, change)
    again = _seconds(lambda: take(source, objects))
    git_again = _git_add(source)
    snapshot = take(source, objects)
    laid_out = _seconds(lambda: lay_out(snapshot.id, objects, place / "work"))
    return first, again, laid_out, floor, written, git_first, git_again


def _seconds(work: Callable[[], object]) -> float:
    return timed(work, 1)[0]


def _write_tree(source: Path, change: random.Random) -> None:
    for folder in range(FOLDERS):
        (source / f"{folder}").mkdir(parents=True)
        for file in range(FILES):
            (source / f"{folder}" / f"{file}.bin").write_bytes(change.randbytes(SIZE))


def _change_some(source: Path, change: random.Random) -> None:
    for number in range(CHANGES):
        (source / f"{number}" / f"{number}.bin").write_bytes(change.randbytes(SIZE))


def _read_and_hash(source: Path) -> None:
    for folder, _, files in os.walk(source):
        for name in files:
            with open(os.path.join(folder, name), "rb") as file:
                hashlib.sha256(file.read()).digest()


def _git_add(source: Path) -> float:
    """Seconds for ``git add`` of all; 0 without git. Its own folder is never part of a snapshot."""
    if not shutil.which("git"):
        return 0.0
    if not (source / ".git").exists():
        subprocess.run(["git", "init", "-q", str(source)], check=True, capture_output=True)
    add = ["git", "-C", str(source), "add", "--all"]
    return _seconds(lambda: subprocess.run(add, check=True, capture_output=True))
