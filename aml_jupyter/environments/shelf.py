"""Where one built environment lies: its folder, its lock, and the files that tell of it."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aml_jupyter.home import home
from aml_jupyter.job import layout

from .recipe import IMAGE

BUILD_VARIABLE = "AML_BUILD"
"""Tells a process which environment's folder it builds."""

_RESERVE = 1 << 16


class Shelf:
    """The folder of one environment, named by its recipe's key.

    ``ready.json`` is written last, so what it tells of is whole. Whoever builds holds the lock
    for as long as it lives; the door is held for moments, by those who begin or leave.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.env = folder / "env"
        self.log = folder / "build.log"
        self.wanted = folder / "wanted"
        self._reserve = folder / "reserve"

    @classmethod
    def of(cls, key: str) -> Shelf:
        """The shelf of the environment with this key, which may not be there yet."""
        return cls(root() / key)

    @property
    def key(self) -> str:
        """The recipe's key."""
        return self.folder.name

    @property
    def scratch(self) -> Path:
        """Where a build keeps what goes when it ends; outside, so that no secret is ever inside."""
        return self.folder.parent / "scratch" / self.key

    def make(self) -> Shelf:
        """Make the folder, readable by nobody else."""
        for folder in (self.folder.parent, self.folder, self.wanted):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return self

    def read(self, name: str) -> dict[str, Any]:
        """The record ``<name>.json``; empty when there is none or it is damaged."""
        record = layout.read_json(str(self.folder / f"{name}.json"))
        return record if isinstance(record, dict) else {}

    def write(self, name: str, record: Mapping[str, object]) -> None:
        """Replace the record ``<name>.json``, whole or not at all."""
        layout.write_json(str(self.folder / f"{name}.json"), dict(record))

    def drop(self, *names: str) -> None:
        """Remove the records of these names."""
        for name in names:
            (self.folder / f"{name}.json").unlink(missing_ok=True)

    def take(self) -> int | None:
        """The lock, as an open file; None when somebody builds. Closing it gives it back."""
        lock = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(lock)
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                return None
            raise
        return lock

    @property
    def is_building(self) -> bool:
        """Whether somebody holds the lock."""
        try:
            lock = os.open(self.folder / "lock", os.O_RDWR)
        except FileNotFoundError:
            return False
        try:
            # Shared: two that only look must not take each other for a builder.
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
        finally:
            os.close(lock)
        return False

    def wait_until_free(self, seconds: float) -> bool:
        """Whether nobody builds any more, after so long at most."""
        end = time.monotonic() + seconds
        while self.is_building:
            if time.monotonic() > end:
                return False
            time.sleep(0.02)
        return True

    def take_unless_building(self) -> int | None:
        """The lock, however many look at it just now; None when somebody builds."""
        while True:
            lock = self.take()
            if lock is not None or self.is_building:
                return lock
            time.sleep(0.005)

    @contextmanager
    def door(self) -> Iterator[None]:
        """Only one at a time begins a build here, leaves it, or takes all away.

        FileNotFoundError, before anything is done inside, when there is no folder (any more).
        """
        path = self.folder / "door"
        while True:
            with open(path, "ab") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                # The folder may have been taken away while this waited, with this door in it.
                if os.path.samestat(os.fstat(file.fileno()), os.stat(path)):
                    yield
                    return

    def move_away(self) -> Path:
        """Put the folder where nobody looks for it, in one moment; returns where that is."""
        away = self.scratch.parent / f"removed-{layout.guid()}"
        away.parent.mkdir(mode=0o700, exist_ok=True)
        self.folder.rename(away)
        return away

    def reserve(self) -> None:
        """Put some room aside, so that a full disk cannot swallow the news that it is full."""
        with open(self._reserve, "wb") as file:
            file.write(b"\1" * _RESERVE)

    def clear(self) -> None:
        """Remove what was built, whole or half, and what a build keeps beside it.

        The record of an image stays: it is with its engine, and may be with others.
        """
        if self.read("ready").get("kind") != IMAGE:
            self.drop("ready")
        for path in (self.env, self.scratch):
            shutil.rmtree(path, ignore_errors=True)
        self._reserve.unlink(missing_ok=True)


def root() -> Path:
    """The folder with one folder for each environment."""
    return home().state / "environments"
