"""Where registered models are: ``models/<name>/<version>/`` in the folder of a workspace.

A version appears as a whole, by a rename, and its number is never given to another. Beside the
files there are ``model.json``, which holds the facts, and ``files.json``, what each file was.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import shutil
import time

from aml_jupyter.errors import UserErrorException
from aml_jupyter.job import layout

from . import model_files
from .place import locked, root_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, Iterator, Mapping

    Record = Dict[str, Any]

NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9\-._]{0,254}")
"""What a model may be called."""

RECORD = "model.json"
_FACTS = {"name", "version", "created", "run_id", "tags", "properties", "datasets", "framework"}
_NUMBER = "number"
_ASIDE = ".new-"
_NOT_WRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS)
_SURELY_LOCKED_AFTER = 60.0


class ModelShelf:
    """The registered models of one workspace, as files."""

    def __init__(self, workspace: Any) -> None:
        self.folder = os.path.join(root_of(workspace), "models")

    def names(self) -> list[str]:
        """The names that have a version, sorted."""
        found = _listed(self.folder)
        return sorted(name for name in found if name[0] != "." and self.versions(name))

    def versions(self, name: str) -> list[int]:
        """The versions of a name, ascending."""
        is_name = isinstance(name, str) and NAME.fullmatch(name)
        found = _listed(os.path.join(self.folder, name)) if is_name else ()
        return sorted(int(version) for version in found if version.isdigit())

    def place(self, name: str, version: int) -> str:
        """The folder of a version."""
        return os.path.join(self.folder, name, str(version))

    def record(self, name: str, version: int) -> Record | None:
        """The facts of a version; None when there is no such version, or they are damaged."""
        record: Any = layout.read_json(os.path.join(self.place(name, version), RECORD))
        return record if isinstance(record, dict) and record.keys() >= _FACTS else None

    def records(self, name: str | None = None) -> Iterator[Record]:
        """The facts of all versions of a name, or of all there are."""
        for each in self.names() if name is None else [name]:
            for version in self.versions(each):
                record = self.record(each, version)
                if record is not None:
                    yield record

    def size(self, name: str, version: int) -> int:
        """The bytes of its files: as its facts say, or as they lie there if these are damaged."""
        record = self.record(name, version)
        if record is not None:
            return int(record["bytes"])
        folders = os.walk(self.place(name, version))
        return sum(
            os.lstat(os.path.join(at, each)).st_size for at, _, got in folders for each in got
        )

    def damages(self, name: str, version: int) -> dict[str, str]:
        """What is wrong with each file of a version, its facts and notes too; {} if nothing is.

        All bytes are read, and hashes that were not known yet are noted.
        """
        folder = self.place(name, version)
        wrong = {} if self.record(name, version) else {RECORD: "does not hold the facts of a model"}
        if not model_files.read_notes(folder):
            return {**wrong, model_files.NOTES: model_files.UNREADABLE}
        model_files.note_hashes(folder)
        return {**wrong, **dict(model_files.faults(folder))}

    def add(self, facts: Mapping[str, Any], sources: Mapping[str, str], may_link: bool) -> Record:
        """A new version, made of files (name → path); the record of it."""
        aside = os.path.join(self.folder, f"{_ASIDE}{os.urandom(8).hex()}")
        try:
            self._clear_away()
            self._refuse_links(facts["name"])
            os.makedirs(aside)
            with _held(aside):
                notes = model_files.take_in(sources, aside, may_link)
                record = {**facts, "bytes": sum(noted["size"] for noted in notes.values())}
                self._number(record, aside)
        except OSError as error:
            if error.errno in _NOT_WRITABLE:
                raise self._not_writable(error) from error
            raise layout.full_disk(error, aside) from error
        finally:
            shutil.rmtree(aside, ignore_errors=True)
        model_files.hash_beside(self.place(record["name"], record["version"]))
        return record

    def _refuse_links(self, name: str) -> None:
        """A job in a container may write here, but not say that it is somewhere else."""
        path = os.path.join(self.folder, name)
        if os.path.islink(path) or os.path.islink(os.path.join(path, _NUMBER)):
            raise UserErrorException(
                f"{path} holds a link, where the models {name} should be.", "Remove it."
            )

    def _not_writable(self, error: OSError) -> UserErrorException:
        return UserErrorException(
            f"Models cannot be registered in {self.folder}: {error.strerror}.",
            "In a job, leave the model in outputs/ and register it once the run has ended.",
        )

    def _number(self, record: Record, aside: str) -> None:
        """Give what lies aside the next number, and let it be seen."""
        name = record["name"]
        with locked(os.path.join(self.folder, name, _NUMBER)) as file:
            said = os.pread(file, 32, 0)
            last = max([int(said) if said.isdigit() else 0, *self.versions(name)])
            record["version"] = last + 1
            os.pwrite(file, str(last + 1).encode(), 0)
            layout.write_json(os.path.join(aside, RECORD), record)
            os.rename(aside, self.place(name, last + 1))

    def change(self, name: str, version: int, edit: Callable[[Record], None]) -> Record:
        """The record of a version after ``edit`` has changed it."""
        with locked(os.path.join(self.folder, name, _NUMBER)):
            record = self.record(name, version)
            if record is None:
                raise UserErrorException(
                    f"Model {name}:{version} has been deleted.", "Register it again."
                )
            edit(record)
            layout.write_json(os.path.join(self.place(name, version), RECORD), record)
        return record

    def remove(self, name: str, version: int) -> None:
        """Take a version away; its number stays taken."""
        aside = os.path.join(self.folder, f"{_ASIDE}{os.urandom(8).hex()}")
        try:
            os.rename(self.place(name, version), aside)
        except FileNotFoundError:
            return
        shutil.rmtree(aside, ignore_errors=True)

    def _clear_away(self) -> None:
        """Remove what processes left that were killed while they registered something."""
        for name in _listed(self.folder):
            path = os.path.join(self.folder, name)
            if name.startswith(_ASIDE) and _is_left(path):
                shutil.rmtree(path, ignore_errors=True)


def _listed(folder: str) -> list[str]:
    """The names of the folders in a folder; no link is one."""
    try:
        entries = os.scandir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]


class _held:
    """A folder that is locked by this process, until it lets go or is killed."""

    def __init__(self, folder: str) -> None:
        self._file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def __enter__(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:  # file systems without locks of folders: what is left there stays
            pass

    def __exit__(self, *error: Any) -> None:
        os.close(self._file)


def _is_left(folder: str) -> bool:
    try:
        if time.time() - os.stat(folder).st_mtime < _SURELY_LOCKED_AFTER:
            return False
        file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except OSError:
        return False
    finally:
        os.close(file)
