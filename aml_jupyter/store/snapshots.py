"""Snapshots: what a source folder held at one moment, taken quickly and laid out again.

A snapshot is a manifest, ``objects/snapshots/<id>.json``, over objects (see :mod:`.objects`)::

    {"format": 1, "files": [[path, sha256, size, executable], …]}

sorted by path, with bytes of a path that are not UTF-8 as lone surrogates.
The id is made from the hash of the manifest: an unchanged folder gives the same id.

``objects/stat/<hash of folder>.bin`` remembers what each file's stat said when it was hashed, as
git's index does. A file written so shortly before that a later change might leave its timestamps
as they are is not remembered.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
import struct
import time
import uuid
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from ..errors import SnapshotException
from .objects import LARGE, Adder, Objects, Reader, needing
from .source import MB, Found, as_bytes, as_text, cannot_read, check_size, look_through, printable

SNAPSHOT_MAX_SIZE_BYTES = 300 * MB
"""The limit for a snapshot; set it, or the variable ``AML_SNAPSHOT_MAX_BYTES``, to allow more."""

Progress = Callable[[int, int], None]
"""Told now and then how many bytes of how many are done."""

_DEFAULT_LIMIT = SNAPSHOT_MAX_SIZE_BYTES
_CHUNK = 1024 * 1024
_REPORT_EVERY = 4 * 1024 * 1024

# Laid-out files carry this date, and nanoseconds from their hash: a file that the job copied over
# another with its times (cp -p) is then still seen to be changed.
_LAID_OUT_SECOND = 1_577_836_800


class Entry(NamedTuple):
    """A file in a snapshot."""

    path: str
    hash: str
    size: int
    executable: bool


@dataclass(frozen=True)
class Manifest:
    """The files of a snapshot, sorted by path."""

    id: str
    files: tuple[Entry, ...]

    @property
    def bytes(self) -> int:
        """The size of all files together."""
        return sum(entry.size for entry in self.files)


@dataclass(frozen=True)
class Snapshot:
    """A snapshot just taken; ``skipped`` names sockets, pipes and devices that stayed at home."""

    id: str
    files: int
    bytes: int
    manifest: Path
    skipped: tuple[str, ...] = ()


def take(
    directory: str | Path | None,
    objects: Objects,
    *,
    files: Mapping[str, bytes] = {},
    limit_bytes: int | None = None,
    progress: Progress | None = None,
) -> Snapshot:
    """Remember what a folder holds now.

    ``files`` are laid over the folder, or are all there is if it is None.
    Raises :class:`SnapshotException` for what cannot be taken along, before anything is stored if
    it is too much, and :class:`StorageFullError` if there is no room.
    """
    limit = _limit(limit_bytes)
    overlay = {_inside(name): data for name, data in files.items()}
    found: list[Found] = []
    skipped: list[str] = []
    folder = Path(os.path.abspath(directory)) if directory is not None else None
    if folder:
        source = look_through(folder, limit)
        found = [file for file in source.files if file.path not in overlay]
        skipped = source.skipped
    _refuse_clashes(overlay, found)
    sizes = [(f.path, f.facts.st_size) for f in found] + [(n, len(d)) for n, d in overlay.items()]
    check_size(sizes, limit, folder)
    entries = _Taking(folder, objects, _Report(progress, sum(size for _, size in sizes)))
    manifest, path = _write_manifest(objects, entries.store(found, overlay))
    return Snapshot(manifest.id, len(manifest.files), manifest.bytes, path, tuple(sorted(skipped)))


def _limit(argument: int | None) -> int:
    """The argument, else the attribute if somebody set it, else the variable, else the default."""
    if argument is not None:
        return argument
    if SNAPSHOT_MAX_SIZE_BYTES != _DEFAULT_LIMIT:
        return SNAPSHOT_MAX_SIZE_BYTES
    variable = os.environ.get("AML_SNAPSHOT_MAX_BYTES", "")
    if variable and not variable.isdecimal():
        raise SnapshotException(
            f"AML_SNAPSHOT_MAX_BYTES is {variable!r}, which is not a number of bytes.",
            "Set it to a whole number such as 1000000000, or remove it.",
        )
    return int(variable) if variable else SNAPSHOT_MAX_SIZE_BYTES


def _inside(name: str) -> str:
    """The name of an overlaid file, checked to stay inside the snapshot."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts or "\0" in name:
        raise SnapshotException(
            f"{printable(name)!r} cannot be the name of a file in a snapshot.",
            "Use a path relative to the source folder, without `..`.",
        )
    return str(path)


def _refuse_clashes(overlay: Mapping[str, bytes], found: list[Found]) -> None:
    """Refuse an overlaid file that would have to be a folder too, or the other way round."""
    if not overlay:
        return
    folders = {str(folder) for name in overlay for folder in PurePosixPath(name).parents}
    inside = tuple(f"{name}/" for name in overlay)
    for path in (*overlay, *(file.path for file in found)):
        if path in folders or path.startswith(inside):
            raise SnapshotException(
                f"{printable(path)} needs a file to be a folder too in this snapshot.",
                "Rename one of them.",
            )


class _Report:
    """Calls a progress function at most once for every few megabytes."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        self._progress = progress
        self._total = total
        self._done = 0
        self._told = 0

    def add(self, size: int) -> None:
        self._done += size
        if self._progress and self._done - self._told >= _REPORT_EVERY:
            self._told = self._done
            self._progress(min(self._done, self._total), self._total)

    def finish(self) -> None:
        if self._progress:
            self._progress(self._total, self._total)


class _Taking:
    """Turns the files found into entries, reading those whose content is not known."""

    def __init__(self, folder: Path | None, objects: Objects, report: _Report) -> None:
        self._folder = folder or Path()
        self._objects = objects
        self._report = report
        self._started = time.time_ns()
        self._memory = _Memory(objects, folder) if folder else None

    def store(self, found: list[Found], overlay: Mapping[str, bytes]) -> list[Entry]:
        known = self._known(found)
        unread = [file for file in found if file.path not in known]
        needed = sum(f.facts.st_size for f in unread) + sum(map(len, overlay.values()))
        if unread or overlay:
            with self._objects.adding(needed) as adder:
                read = {f.path: self._read(f, adder) for f in unread}
                laid_over = [_overlaid(name, data, adder) for name, data in overlay.items()]
        else:
            read, laid_over = {}, []
        if self._memory and unread:
            digests = {path: entry for path, entry in {**known, **read}.items() if entry}
            self._memory.remember(found, digests, self._started)
        self._report.finish()
        entries = [*known.values(), *(entry for entry in read.values() if entry), *laid_over]
        return sorted(entries)

    def _known(self, found: list[Found]) -> dict[str, Entry]:
        """Entries for the files that did not change since they were hashed, and are stored."""
        if self._memory is None:
            return {}
        known = self._memory.recall(found)
        wanted = {bytes.fromhex(e.hash): e.size for e in known.values()}
        here = {digest.hex() for digest in self._objects.locate(wanted)}
        if len(here) != len(wanted):
            known = {path: entry for path, entry in known.items() if entry.hash in here}
        return known

    def _read(self, file: Found, adder: Adder) -> Entry | None:
        """Store one file; None if it was deleted meanwhile."""
        try:
            descriptor = os.open(file.where, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise cannot_read(self._folder, file.path, error) from error
        try:
            digest, size = _add(descriptor, file.facts.st_size, adder, self._report)
        finally:
            os.close(descriptor)
        return Entry(file.path, digest.hex(), size, _is_executable(file.facts))


def _add(descriptor: int, size: int, adder: Adder, report: _Report) -> tuple[bytes, int]:
    """Store what an open file holds, which may be more or less than its stat said."""
    if size <= LARGE:
        data = os.read(descriptor, size + 1)
        if len(data) <= size:
            report.add(size)
            return adder.add(data), len(data)
        os.lseek(descriptor, 0, os.SEEK_SET)
    return adder.add_large(_chunks(descriptor, report))


def _chunks(descriptor: int, report: _Report) -> Iterator[bytes]:
    while data := os.read(descriptor, _CHUNK):
        report.add(len(data))
        yield data


def _overlaid(name: str, data: bytes, adder: Adder) -> Entry:
    if len(data) > LARGE:
        digest, _ = adder.add_large(iter([data]))
    else:
        digest = adder.add(data)
    return Entry(name, digest.hex(), len(data), False)


def _is_executable(facts: os.stat_result) -> bool:
    return bool(facts.st_mode & stat.S_IXUSR)


class _Memory:
    """What the files of one source folder looked like when they were hashed.

    The file: magic and CRC, number of records, records, names separated by NUL.
    It is a cache: damaged or missing, every file is read again.
    """

    _HEADER = struct.Struct("<8sII")
    _RECORD = struct.Struct("<QqqQQ32s")
    _MAGIC = b"aml-sta1"

    # Timestamps tick: in milliseconds on most file systems, every two seconds on FAT and old NFS.
    _TICK = 100_000_000
    _COARSE_TICK = 2_500_000_000
    _SECOND = 1_000_000_000

    def __init__(self, objects: Objects, folder: Path) -> None:
        name = hashlib.sha256(os.path.realpath(os.fsencode(folder))).hexdigest()[:40]
        self._objects = objects
        self._path = objects.folder / "stat" / f"{name}.bin"

    def recall(self, found: list[Found]) -> dict[str, Entry]:
        """Entries for the files that look as they did."""
        records = self._load()
        known = {}
        for path, _, facts in found:
            record = records.get(path)
            if record and record[:5] == _facts(facts):
                size, digest = facts.st_size, record[5]
                known[path] = Entry(path, digest.hex(), size, _is_executable(facts))
        return known

    def remember(self, found: list[Found], entries: Mapping[str, Entry], started: int) -> None:
        """Write down the files that were old enough when their hashing started."""
        names, records = [], []
        for path, _, facts in found:
            entry = entries.get(path)
            if entry and self._is_settled(facts, started):
                names.append(path)
                records.append(self._RECORD.pack(*_facts(facts), bytes.fromhex(entry.hash)))
        body = b"".join(records) + as_bytes("\0".join(names))
        header = self._HEADER.pack(self._MAGIC, zlib.crc32(body), len(records))
        with contextlib.suppress(OSError):  # without it the next snapshot is only slower
            self._objects.write_aside(self._path, header + body)

    def _is_settled(self, facts: os.stat_result, started: int) -> bool:
        mtime, ctime = facts.st_mtime_ns, facts.st_ctime_ns
        coarse = mtime % self._SECOND == 0 or ctime % self._SECOND == 0
        return max(mtime, ctime) < started - (self._COARSE_TICK if coarse else self._TICK)

    def _load(self) -> dict[str, tuple[int, int, int, int, int, bytes]]:
        try:
            content = self._path.read_bytes()
            magic, crc, count = self._HEADER.unpack_from(content)
        except (OSError, struct.error):
            return {}
        body = memoryview(content)[self._HEADER.size :]
        if magic != self._MAGIC or crc != zlib.crc32(body):
            return {}
        end = count * self._RECORD.size
        names = as_text(bytes(body[end:])).split("\0")
        return dict(zip(names, self._RECORD.iter_unpack(body[:end]), strict=False))


def _facts(facts: os.stat_result) -> tuple[int, int, int, int, int]:
    return (facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns, facts.st_ino, facts.st_dev)


def _write_manifest(objects: Objects, entries: list[Entry]) -> tuple[Manifest, Path]:
    rows = [[path, digest, size, int(executable)] for path, digest, size, executable in entries]
    content = json.dumps({"format": 1, "files": rows}, separators=(",", ":")).encode()
    name = str(uuid.UUID(bytes=hashlib.sha256(content).digest()[:16], version=5))
    path = _manifest_path(name, objects)
    with contextlib.suppress(FileNotFoundError):
        if path.stat().st_size == len(content):
            return Manifest(name, tuple(entries)), path
    objects.write_aside(path, content)
    return Manifest(name, tuple(entries)), path


def _manifest_path(snapshot_id: str, objects: Objects) -> Path:
    return objects.folder / "snapshots" / f"{snapshot_id}.json"


def read_manifest(snapshot_id: str, objects: Objects) -> Manifest:
    """The files of a snapshot."""
    path = _manifest_path(snapshot_id, objects)
    try:
        rows = json.loads(path.read_bytes())["files"]
    except FileNotFoundError:
        raise SnapshotException(
            f"There is no snapshot {snapshot_id!r} in {objects.folder}.",
            "run.get_snapshot_id() gives the id of a run's snapshot.",
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        raise SnapshotException(
            f"The manifest {path} is damaged: {error}.",
            "Submit again from the source folder, which writes it anew.",
        ) from error
    entries = (Entry(name, digest, size, bool(x)) for name, digest, size, x in rows)
    return Manifest(snapshot_id, tuple(entries))


def lay_out(
    snapshot_id: str, objects: Objects, target: str | Path, progress: Progress | None = None
) -> Manifest:
    """Write a snapshot's files into a folder; again over a half-written one is fine.

    Links to folders that are there already (``outputs``, ``logs``) are followed.
    Each file gets a date from which :func:`remove_unchanged` knows it again.
    """
    manifest = read_manifest(snapshot_id, objects)
    root = os.fsencode(os.path.abspath(target))
    report = _Report(progress, manifest.bytes)
    with _reading(manifest, objects) as reader, needing(manifest.bytes, os.fsdecode(root)):
        os.makedirs(root, exist_ok=True)
        for folder in _folders(manifest)[1:]:
            with contextlib.suppress(FileExistsError):
                os.mkdir(os.path.join(root, as_bytes(folder)))
        for entry in sorted(manifest.files, key=lambda e: reader.place(bytes.fromhex(e.hash))):
            _write(entry, reader, os.path.join(root, as_bytes(entry.path)))
            report.add(entry.size)
    report.finish()
    return manifest


def _reading(manifest: Manifest, objects: Objects) -> contextlib.closing[Reader]:
    return objects.reading({bytes.fromhex(entry.hash): entry.size for entry in manifest.files})


def _folders(manifest: Manifest) -> list[str]:
    """Every folder of a snapshot, those above first; the first is the root, ""."""
    folders = {""}
    for entry in manifest.files:
        folder = entry.path.rpartition("/")[0]
        while folder not in folders:
            folders.add(folder)
            folder = folder.rpartition("/")[0]
    return sorted(folders)


def _write(entry: Entry, reader: Reader, where: bytes) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
    try:
        descriptor = os.open(where, flags, 0o777 if entry.executable else 0o666)
    except (IsADirectoryError, NotADirectoryError) as error:
        raise SnapshotException(
            f"{printable(entry.path)} cannot be laid out: {error.strerror}.",
            "`outputs` and `logs` are folders in every run; give a file of that name another.",
        ) from error
    try:
        reader.copy(bytes.fromhex(entry.hash), descriptor)
        mtime = _laid_out_at(entry)
        os.utime(descriptor, ns=(mtime, mtime))
    finally:
        os.close(descriptor)


def _laid_out_at(entry: Entry) -> int:
    return _LAID_OUT_SECOND * 1_000_000_000 + int(entry.hash[:12], 16) % 1_000_000_000


def remove_unchanged(snapshot_id: str, objects: Objects, target: str | Path) -> None:
    """Delete the laid-out files that the job left as they were, and the folders empty then.

    What the job wrote or modified stays, also under ``outputs`` and ``logs``.
    """
    manifest = read_manifest(snapshot_id, objects)
    root = os.fsencode(os.path.abspath(target))
    folders = dict.fromkeys(folder for folder in _folders(manifest) if _is_in_run(folder, root))
    for entry in manifest.files:
        where = os.path.join(root, as_bytes(entry.path))
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            if entry.path.rpartition("/")[0] in folders and _is_unchanged(entry, where):
                os.unlink(where)
    for folder in reversed(folders):
        with contextlib.suppress(OSError):  # not empty, gone, or a link
            if folder:
                os.rmdir(os.path.join(root, as_bytes(folder)))


def _is_in_run(folder: str, root: bytes) -> bool:
    """Whether a folder below ``root`` is still in the run, and no link that the job has put there.

    The links that ``outputs`` and ``logs`` are at first lead to the run's own.
    """
    run = os.path.realpath(os.path.dirname(root))
    return os.path.realpath(os.path.join(root, as_bytes(folder))).startswith(run + b"/")


def _is_unchanged(entry: Entry, where: bytes) -> bool:
    facts = os.lstat(where)
    if not stat.S_ISREG(facts.st_mode) or facts.st_size != entry.size:
        return False
    if facts.st_mtime_ns == _laid_out_at(entry):
        return True
    if facts.st_mtime_ns // 1_000_000_000 not in (_LAID_OUT_SECOND, _LAID_OUT_SECOND + 1):
        return False
    # A file system that keeps rougher times: only the content can tell.
    with open(where, "rb") as file:
        digest = hashlib.sha256()
        while data := file.read(_CHUNK):
            digest.update(data)
    return digest.hexdigest() == entry.hash


def zip_to(snapshot_id: str, objects: Objects, path: str | Path) -> Path:
    r"""Write a snapshot as a zip file; the same snapshot gives the same bytes.

    Names in a zip file are text: bytes of a name that are not UTF-8 appear as ``\xff``.
    """
    manifest = read_manifest(snapshot_id, objects)
    path = Path(path)
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with (
            needing(manifest.bytes, path.parent),
            _reading(manifest, objects) as reader,
            zipfile.ZipFile(aside, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        ):
            for entry in manifest.files:
                with archive.open(_zip_info(entry), "w") as member:
                    for data in reader.chunks(bytes.fromhex(entry.hash)):
                        member.write(data)
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)
    return path


def _zip_info(entry: Entry) -> zipfile.ZipInfo:
    name = as_bytes(entry.path).decode("utf-8", "backslashreplace")
    info = zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0))
    info.compress_type = zipfile.ZIP_DEFLATED
    info.file_size = entry.size
    info.external_attr = (stat.S_IFREG | (0o755 if entry.executable else 0o644)) << 16
    return info
