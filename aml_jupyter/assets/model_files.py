"""The bytes of models: how they get in without being copied, out again, and stay as they were.

A file comes in by the cheapest way that keeps it apart from what others do to the original: as a
clone that shares its blocks, where the file system can do that; as a second name for the same
file, made read-only, if the run that wrote it has ended; as a copy. What each file holds is noted
as SHA-256: at once for what was copied or is small, beside (``hash_beside``) for the rest.
"""

from __future__ import annotations

import fcntl
import os
import stat

from aml_jupyter.errors import UserErrorException
from aml_jupyter.job import layout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Iterator, Mapping, TypedDict

    class Noted(TypedDict):
        """What a file was when it came in; ``sha256`` is None until it is known."""

        size: int
        mtime_ns: int
        sha256: str | None

    Notes = Dict[str, Noted]

FILES = "files"
NOTES = "files.json"
UNREADABLE = "cannot be read"
"""What is wrong with notes that are none."""

_CHUNK = 1 << 20
_READ_AT_ONCE = 16 << 20
_CLONE = 0x40049409  # Linux's FICLONE
_CHANGED = "does not hold what was registered"
_WRITABLE = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH

_hashing: list[Any] = []


def take_in(sources: Mapping[str, str], folder: str, may_link: bool) -> Notes:
    """Bring files, name → path, into a model's folder, and note there what they are."""
    notes: Notes = {}
    left = _READ_AT_ONCE
    for name, source in sources.items():
        target = os.path.join(folder, FILES, name)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        notes[name] = noted = _take(source, target, may_link)
        if noted["sha256"] is None and noted["size"] <= left:
            left -= noted["size"]
            noted["sha256"] = sha256_of(target)
    layout.write_json(os.path.join(folder, NOTES), notes)
    return notes


def _take(source: str, target: str, may_link: bool) -> Noted:
    sha256 = None
    if not _clone(source, target) and not (may_link and _link(source, target)):
        sha256 = copy(source, target)
    _seal(target)
    found = os.stat(target)
    return {"size": found.st_size, "mtime_ns": found.st_mtime_ns, "sha256": sha256}


def _clone(source: str, target: str) -> bool:
    """Whether ``target`` is a file of its own now that shares the blocks of ``source``."""
    with open(source, "rb") as old, open(target, "xb") as new:
        try:
            fcntl.ioctl(new.fileno(), _CLONE, old.fileno())
        except OSError:
            os.unlink(target)
            return False
    return True


def _link(source: str, target: str) -> bool:
    """Whether ``target`` is another name of ``source`` now, which nobody may write to."""
    try:
        if not stat.S_ISREG(os.lstat(source).st_mode):
            return False
        os.link(source, target)
    except OSError:  # another file system, or one without links, or a file of somebody else's
        return False
    try:
        _seal(target)
    except PermissionError:
        os.unlink(target)
        return False
    return True


def _seal(path: str) -> None:
    os.chmod(path, stat.S_IMODE(os.stat(path).st_mode) & ~_WRITABLE)


def copy(source: str, target: str) -> str:
    """Copy a file; returns the SHA-256 of what was copied."""
    import hashlib

    digest = hashlib.sha256()
    with open(source, "rb") as old, open(target, "wb") as new:
        for chunk in iter(lambda: old.read(_CHUNK), b""):
            digest.update(chunk)
            new.write(chunk)
    os.chmod(target, stat.S_IMODE(os.stat(source).st_mode) | stat.S_IWUSR)
    return digest.hexdigest()


def sha256_of(path: str) -> str:
    """The SHA-256 of what a file holds."""
    import hashlib

    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for chunk in iter(lambda: file.read(_CHUNK), b""):
            digest.update(chunk)
    return digest.hexdigest()


# Knowing them again ---------------------------------------------------------------------------


def read_notes(folder: str) -> Notes:
    """What the files of the model in ``folder`` were when they came in, by name."""
    notes: Notes | None = layout.read_json(os.path.join(folder, NOTES))
    return notes if isinstance(notes, dict) else {}


def note_hashes(folder: str) -> None:
    """Note what is not known yet of the files of the model in ``folder``.

    A file that was changed before its hash was known gets none: it stays noticed by its times.
    """
    notes = read_notes(folder)
    for name, noted in notes.items():
        path = os.path.join(folder, FILES, name)
        if noted["sha256"] is None and _looks_the_same(path, noted):
            sha256 = sha256_of(path)
            if _looks_the_same(path, noted):
                noted["sha256"] = sha256
    layout.write_json(os.path.join(folder, NOTES), notes)


def hash_beside(folder: str) -> None:
    """Have the hashes of the model in ``folder`` noted by a process that nobody waits for.

    In a job they are noted at once: what a job leaves running is ended with it.
    """
    import subprocess
    import sys

    if all(noted["sha256"] for noted in read_notes(folder).values()):
        return
    if os.environ.get(layout.FOLDER_VARIABLE) or not sys.executable:
        note_hashes(folder)
        return
    package = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    program = (
        "import os, sys; os.nice(19); sys.path.insert(0, sys.argv[1]);"
        "from aml_jupyter.assets.model_files import note_hashes; note_hashes(sys.argv[2])"
    )
    # Those that have ended are asked, so that none stays a zombie for long.
    _hashing[:] = [process for process in _hashing if process.poll() is None]
    try:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", program, package, folder],
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError:  # no process to be had: `aml models verify` will note them
        return
    _hashing.append(process)


def faults(folder: str) -> Iterator[tuple[str, str]]:
    """(file, what is wrong with it) for the model in ``folder``; all bytes are read."""
    for name, noted in read_notes(folder).items():
        path = os.path.join(folder, FILES, name)
        fault = _fault_at_a_glance(path, noted)
        if not fault and noted["sha256"] not in (None, sha256_of(path)):
            fault = _CHANGED
        if fault:
            yield name, fault


def glance(folder: str, model: str) -> None:
    """Raise if a file of the model in ``folder`` is plainly not what was registered."""
    for name, noted in read_notes(folder).items():
        fault = _fault_at_a_glance(os.path.join(folder, FILES, name), noted)
        if fault:
            raise damaged(model, name, fault)


def bring_out(folder: str, model: str, target: str) -> None:
    """Copy the files of the model in ``folder`` to ``target``; they are yours to change.

    Each is compared with what was registered on the way; unless all are right, none is there.
    """
    import shutil

    aside = os.path.join(target, f".{os.urandom(8).hex()}.tmp")
    notes = read_notes(folder)
    try:
        for name, noted in notes.items():
            fault = _copied(os.path.join(folder, FILES, name), os.path.join(aside, name), noted)
            if fault:
                raise damaged(model, name, fault)
        for name in notes:
            os.makedirs(os.path.dirname(os.path.join(target, name)), exist_ok=True)
            os.replace(os.path.join(aside, name), os.path.join(target, name))
    except OSError as error:
        raise layout.full_disk(error, aside) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _copied(source: str, target: str, noted: Noted) -> str:
    """Copy a file of a model; what is wrong with it, or ""."""
    fault = _fault_at_a_glance(source, noted)
    if fault:
        return fault
    os.makedirs(os.path.dirname(target), exist_ok=True)
    return "" if noted["sha256"] in (None, copy(source, target)) else _CHANGED


def damaged(model: str, name: str, fault: str) -> UserErrorException:
    """The error for a model one of whose files is not what was registered."""
    return UserErrorException(
        f"Model {model} is damaged: its file {name} {fault}.",
        "Register a good copy of it, as a new version, and delete this one. The run it came from "
        "may share the damaged file; `aml models verify` checks all models.",
    )


def _fault_at_a_glance(path: str, noted: Noted) -> str:
    """What size and times tell of a file; "" if nothing is wrong by them."""
    try:
        found = os.stat(path)
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    if found.st_size != noted["size"]:
        return f"has {found.st_size} bytes instead of {noted['size']}"
    if noted["sha256"] is None and found.st_mtime_ns != noted["mtime_ns"]:
        return "was changed before its hash was known"
    return ""


def _looks_the_same(path: str, noted: Noted) -> bool:
    return not _fault_at_a_glance(path, noted)
