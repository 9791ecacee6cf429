"""Bytes kept once, found by their SHA-256.

One file for each object is what makes other stores slow, so small objects that arrive together
go into one pack::

    objects/pack-<name>.bin     the bytes, one object after another
    objects/pack-<name>.idx     magic, size of the .bin, then (sha256, offset, size), sorted
    objects/ab/cdef…            an object above 4 MB, on its own
    objects/tmp/…               being written; what is older than an hour was left by a crash

The name of a pack is the hash of its index, so two processes that store the same bytes write the
same files, and no lock is needed. Files appear by rename, the ``.bin`` before its ``.idx``; a pack
that is shorter than its index says (power was cut) counts as not there, and its objects are stored
anew.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import secrets
import shutil
import struct
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from ..errors import ServiceException, StorageFullError

LARGE = 4 * 1024 * 1024
"""Objects above this size are files of their own."""

_MAGIC = b"aml-idx1"
_HEADER = struct.Struct("<8sQ")
_RECORD = struct.Struct("<32sQQ")
_CHUNK = 1024 * 1024
_BATCH_BYTES = 8 * 1024 * 1024
_BATCH_COUNT = 4096
_ABANDONED_AFTER = 3600.0
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


class Location(NamedTuple):
    """Where the bytes of one object lie."""

    path: str
    offset: int
    size: int


@contextlib.contextmanager
def needing(size: int, folder: str | Path) -> Iterator[None]:
    """Turn "no space left on device" into our error, which says how much was needed where."""
    try:
        yield
    except OSError as error:
        if isinstance(error, StorageFullError) or error.errno not in _NO_ROOM:
            raise
        free = shutil.disk_usage(_nearest_existing(Path(folder))).free
        raise StorageFullError(
            f"No room left on the disk: {size:,} bytes were needed in {folder}, {free:,} are free.",
            "Free some space there (`aml delete` removes old runs), then try again.",
        ) from error


def _nearest_existing(folder: Path) -> Path:
    return next((f for f in (folder, *folder.parents) if f.exists()), Path("/"))


def write_all(descriptor: int, data: bytes) -> None:
    """Write every byte, however often the system accepts only some."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


class Objects:
    """The bytes under one ``objects/`` folder; any number of processes may add at once."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    @contextlib.contextmanager
    def adding(self, needed: int) -> Iterator[Adder]:
        """A context in which objects are added; they become visible together when it ends well.

        ``needed`` is how many bytes may have to be stored, for the error if there is no room.
        """
        with needing(needed, self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            _remove_abandoned(self.folder)
        adder = Adder(self, needed)
        try:
            yield adder
            adder.publish()
        finally:
            adder.drop_temporary_files()

    def locate(self, sizes: Mapping[bytes, int | None]) -> dict[bytes, Location]:
        """Where those of the hashes that are here lie; sizes may be unknown (None)."""
        places: dict[bytes, Location] = {}
        for pack, records in self._packs():
            for digest, offset, size in _RECORD.iter_unpack(records):
                if digest in sizes:
                    places[digest] = Location(pack, offset, size)
        for digest, expected in sizes.items():
            if digest not in places and (expected is None or expected > LARGE):
                place = self._own_file(digest, expected)
                if place:
                    places[digest] = place
        return places

    def read(self, digest: bytes) -> bytes:
        """The bytes with this hash."""
        with self.reading({digest: None}) as reader:
            return b"".join(reader.chunks(digest))

    def copy(self, digest: bytes, target: str | Path) -> None:
        """Write the bytes with this hash to a file."""
        with (
            self.reading({digest: None}) as reader,
            needing(reader.place(digest).size, Path(target).parent),
            open(target, "wb") as file,
        ):
            file.writelines(reader.chunks(digest))

    def reading(self, sizes: Mapping[bytes, int | None]) -> contextlib.closing[Reader]:
        """A context in which the objects named can be read, each pack opened once."""
        return contextlib.closing(Reader(self.folder, self.locate(sizes)))

    def verify(self) -> list[str]:
        """What is damaged: one line for each object whose bytes no longer have their hash."""
        damaged = []
        for index in sorted(self.folder.glob("pack-*.idx")):
            if _pack_name(index.read_bytes()) != index.stem:
                damaged.append(f"{index.name}: the index does not have its hash")
        places = {
            digest: Location(pack, offset, size)
            for pack, records in self._packs(report=damaged)
            for digest, offset, size in _RECORD.iter_unpack(records)
        }
        for path in self.folder.glob("[0-9a-f][0-9a-f]/*"):
            digest = bytes.fromhex(path.parent.name + path.name)
            places[digest] = Location(str(path), 0, path.stat().st_size)
        with contextlib.closing(Reader(self.folder, places)) as reader:
            for digest, place in places.items():
                if not reader.agrees(digest):
                    damaged.append(f"{os.path.basename(place.path)}: object {digest.hex()}")
        return damaged

    def write_aside(self, path: Path, data: bytes) -> None:
        """Write a small file so that others see all of it or nothing."""
        aside = self._write_temporary(data)
        path.parent.mkdir(parents=True, exist_ok=True)
        os.replace(aside, path)

    def publish_pack(self, aside: str, size: int, records: list[tuple[bytes, int, int]]) -> None:
        """Make a written pack visible: both files complete, then the bytes, then the index."""
        index = _HEADER.pack(_MAGIC, size)
        index += b"".join(_RECORD.pack(*record) for record in sorted(records))
        index_aside = self._write_temporary(index)
        path = self.folder / _pack_name(index)
        os.replace(aside, f"{path}.bin")
        os.replace(index_aside, f"{path}.idx")

    def open_aside(self) -> tuple[str, int]:
        """A new temporary file inside the store, to be renamed into place: path and descriptor."""
        folder = self.folder / "tmp"
        folder.mkdir(parents=True, exist_ok=True)
        aside = f"{folder}/{os.getpid()}-{secrets.token_hex(8)}"
        return aside, os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)

    @contextlib.contextmanager
    def writing_aside(self) -> Iterator[tuple[str, int]]:
        """The same, closed when it is written; and gone, if it could not be."""
        aside, descriptor = self.open_aside()
        try:
            yield aside, descriptor
        except BaseException:
            os.unlink(aside)
            raise
        finally:
            os.close(descriptor)

    def _write_temporary(self, data: bytes) -> str:
        with needing(len(data), self.folder), self.writing_aside() as (aside, descriptor):
            write_all(descriptor, data)
        return aside

    def own_path(self, digest: bytes) -> Path:
        """The file of an object that is too large for a pack."""
        name = digest.hex()
        return self.folder / name[:2] / name[2:]

    def _own_file(self, digest: bytes, expected: int | None) -> Location | None:
        path = self.own_path(digest)
        try:
            size = path.stat().st_size
        except FileNotFoundError:
            return None
        return Location(str(path), 0, size) if expected in (None, size) else None

    def _packs(self, report: list[str] | None = None) -> Iterator[tuple[str, memoryview]]:
        """Each whole pack: the path of its bytes and the records of its index."""
        for index in self.folder.glob("pack-*.idx"):
            content = index.read_bytes()
            pack = index.with_suffix(".bin")
            if _is_whole(content, pack):
                yield str(pack), memoryview(content)[_HEADER.size :]
            elif report is not None:
                report.append(f"{pack.name}: shorter or longer than its index says")


def _is_whole(index: bytes, pack: Path) -> bool:
    if len(index) < _HEADER.size or (len(index) - _HEADER.size) % _RECORD.size:
        return False
    magic, size = _HEADER.unpack_from(index)
    try:
        return bool(magic == _MAGIC and pack.stat().st_size == size)
    except FileNotFoundError:
        return False


def _pack_name(index: bytes) -> str:
    return f"pack-{hashlib.sha256(index).hexdigest()[:40]}"


class Reader:
    """Reads located objects, checking that as many bytes come as were promised."""

    def __init__(self, folder: Path, places: Mapping[bytes, Location]) -> None:
        self._folder = folder
        self._places = places
        self._open: tuple[str, int] | None = None

    def place(self, digest: bytes) -> Location:
        """Where the object lies; reading in this order goes through each pack once, forwards."""
        try:
            return self._places[digest]
        except KeyError:
            raise _missing(digest, self._folder) from None

    def chunks(self, digest: bytes) -> Iterator[bytes]:
        """The object's bytes, at most a megabyte at a time."""
        path, offset, size = self.place(digest)
        descriptor = self._descriptor(path, digest)
        end = offset + size
        while offset < end:
            data = os.pread(descriptor, min(end - offset, _CHUNK), offset)
            if not data:
                raise _missing(digest, self._folder)
            offset += len(data)
            yield data

    def copy(self, digest: bytes, descriptor: int) -> None:
        """Write the object's bytes to an open file."""
        for data in self.chunks(digest):
            write_all(descriptor, data)

    def agrees(self, digest: bytes) -> bool:
        """True if the object's bytes still have their hash."""
        found = hashlib.sha256()
        try:
            for data in self.chunks(digest):
                found.update(data)
        except ServiceException:
            return False
        return found.digest() == digest

    def _descriptor(self, path: str, digest: bytes) -> int:
        if self._open and self._open[0] == path:
            return self._open[1]
        self.close()
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise _missing(digest, self._folder) from None
        self._open = (path, descriptor)
        return descriptor

    def close(self) -> None:
        """Close the pack that was read last."""
        if self._open:
            os.close(self._open[1])
            self._open = None


def _missing(digest: bytes, folder: Path) -> ServiceException:
    return ServiceException(
        f"Object {digest.hex()[:12]}… is missing from {folder}, or cut short.",
        "Submit again from the source folder: bytes that are missing are stored anew.",
    )


class Adder:
    """Adds objects; use it as a context (see :meth:`Objects.adding`)."""

    def __init__(self, objects: Objects, needed: int) -> None:
        self._objects = objects
        self._needed = needed
        self._waiting: dict[bytes, bytes] = {}
        self._waiting_bytes = 0
        self._records: list[tuple[bytes, int, int]] = []
        self._in_pack: set[bytes] = set()
        self._own: dict[bytes, str] = {}
        self._pack: tuple[str, int] | None = None
        self._pack_size = 0

    def add(self, data: bytes) -> bytes:
        """Store some bytes (at most ``LARGE``) unless they are here; their hash."""
        digest = hashlib.sha256(data).digest()
        if digest not in self._waiting and digest not in self._in_pack:
            self._waiting[digest] = data
            self._waiting_bytes += len(data)
            if self._waiting_bytes > _BATCH_BYTES or len(self._waiting) > _BATCH_COUNT:
                with self._needing_room():
                    self._flush()
        return digest

    def add_large(self, chunks: Iterator[bytes]) -> tuple[bytes, int]:
        """Store an object as a file of its own unless it is here; its hash and size."""
        digest, size = hashlib.sha256(), 0
        with self._needing_room(), self._objects.writing_aside() as (aside, descriptor):
            for data in chunks:
                digest.update(data)
                size += len(data)
                write_all(descriptor, data)
        self._keep_own(digest.digest(), size, aside)
        return digest.digest(), size

    def _keep_own(self, digest: bytes, size: int, aside: str) -> None:
        if size <= LARGE:  # it shrank while it was read
            data = Path(aside).read_bytes()
            os.unlink(aside)
            self.add(data)
        elif digest in self._own or self._objects.locate({digest: size}):
            os.unlink(aside)
        else:
            self._own[digest] = aside

    def _needing_room(self) -> contextlib.AbstractContextManager[None]:
        return needing(self._needed, self._objects.folder)

    def _flush(self) -> None:
        """Append what waits and is in no pack yet."""
        here = self._objects.locate(dict.fromkeys(self._waiting, 0))
        new = [(digest, data) for digest, data in self._waiting.items() if digest not in here]
        self._in_pack.update(self._waiting)
        self._waiting, self._waiting_bytes = {}, 0
        if not new:
            return
        if self._pack is None:
            self._pack = self._objects.open_aside()
        write_all(self._pack[1], b"".join(data for _, data in new))
        for digest, data in new:
            self._records.append((digest, self._pack_size, len(data)))
            self._pack_size += len(data)

    def publish(self) -> None:
        """Make all that was added visible."""
        with self._needing_room():
            self._flush()
            self._publish()

    def _publish(self) -> None:
        for digest, aside in self._own.items():
            path = self._objects.own_path(digest)
            path.parent.mkdir(exist_ok=True)
            os.replace(aside, path)
        if self._pack:
            self._objects.publish_pack(self._pack[0], self._pack_size, self._records)

    def drop_temporary_files(self) -> None:
        """Remove what was written and not published."""
        asides = list(self._own.values())
        if self._pack:
            os.close(self._pack[1])
            asides.append(self._pack[0])
        for aside in asides:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(aside)


def _remove_abandoned(folder: Path) -> None:
    """Delete what a crash left behind; a file still being written is younger than that."""
    halves = [pack for pack in folder.glob("pack-*.bin") if not pack.with_suffix(".idx").exists()]
    for path in [*folder.glob("tmp/*"), *halves]:
        with contextlib.suppress(FileNotFoundError):
            if time.time() - path.stat().st_mtime > _ABANDONED_AFTER:
                path.unlink()
