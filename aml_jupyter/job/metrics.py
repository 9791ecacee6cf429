"""Metrics on disk: the writer that training code calls every batch, and the reader.

Each process that logs has three files of its own, so nobody ever waits for anybody:

``<writer>.bin``
    A 32-byte header, then 32-byte records: step, time, value, metric id, kind. The file is
    allocated ahead and mapped, so that logging is a few stores to memory which the kernel
    keeps even when the process is killed in the next instruction. The id is stored last and
    is never 0: a record exists once its id does.
``<writer>.names``
    One JSON string a line; a metric's id is its line number.
``<writer>.jsonl``
    Whatever is not one number: lists, rows, tables, images, text.

Where mapping is not to be trusted (network file systems) records are written one by one.
"""

from __future__ import annotations

import errno
import itertools
import mmap
import os
import struct
from _thread import RLock
from array import array
from time import time

from aml_jupyter.errors import UserErrorException

from .layout import full_disk

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, Iterator, Union

    Entry = Dict[str, Any]
    Scalar = Union[float, int, bool, str, None]

SIZE = 32
FLOAT, INTEGER, BOOLEAN = 1, 2, 3
NO_STEP = -(1 << 63)
HEADER = b"AMLMETRICS\x00\x01".ljust(SIZE, b"\x00")

_FLOAT_RECORD = struct.Struct("<qddII")
_INTEGER_RECORD = struct.Struct("<qdqII")
_FIRST_ALLOCATION = 1 << 16
_LARGEST_STEP = 1 << 24

NETWORK_FILE_SYSTEMS = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "ncpfs", "9p", "afs", "ceph", "lustre", "gpfs"}
    | {"beegfs", "panfs", "fuse.sshfs", "fuse.glusterfs"}
)
"""File systems on which a mapping is not seen by other machines in time."""


class MetricWriter:
    """Appends the metrics of one process below ``folder``; never waits for a reader.

    Safe from several threads and from signal handlers: each call takes its own slot by one
    atomic step. A forked child gets files of its own.
    """

    def __init__(self, folder: str, mapped: bool | None = None) -> None:
        self._folder = folder
        self._mapped = is_mapping_safe(folder) if mapped is None else mapped
        self._reset()
        os.register_at_fork(after_in_child=self._reset)

    def _reset(self) -> None:
        self._stem = ""
        self._ids: dict[str, int] = {}
        self._slots = itertools.count(1)
        self._map: Any = bytearray()
        self._growing = RLock()
        self._file = self._names = self._other = -1

    def number(self, name: str, value: float, step: int | None = None) -> None:
        """Append one number. The common case is one store into mapped memory."""
        if type(value) is float and step is None:
            try:
                metric = self._ids[name]
            except KeyError:
                metric = self._new_id(name)
            slot = next(self._slots) * SIZE
            try:
                _FLOAT_RECORD.pack_into(self._map, slot, NO_STEP, time(), value, metric, FLOAT)
            except struct.error:
                self._store(slot, _FLOAT_RECORD.pack(NO_STEP, time(), value, metric, FLOAT))
            return
        metric = self._ids.get(name) or self._new_id(name)
        at = NO_STEP if step is None else step
        if type(value) is float:
            record = _FLOAT_RECORD.pack(at, time(), value, metric, FLOAT)
        else:
            kind = BOOLEAN if type(value) is bool else INTEGER
            record = _INTEGER_RECORD.pack(at, time(), value, metric, kind)
        self._store(next(self._slots) * SIZE, record)

    def other(self, name: str, kind: str, value: Any, description: str | None = None) -> None:
        """Append something that is not one number, as a line of JSON."""
        import json

        entry = {"t": time(), "name": name, "kind": kind, "value": value}
        if description:
            entry["description"] = description
        line = (json.dumps(entry, separators=(",", ":")) + "\n").encode()
        if self._other < 0:
            self._other = self._open(".jsonl", os.O_APPEND)
        self._append(self._other, line)

    def flush(self) -> None:
        """Nothing is held back, so there is nothing to do but keep v1's promise."""

    def close(self) -> None:
        """Give back what was allocated ahead; logging again simply goes on."""
        with self._growing:
            if self._file >= 0 and self._mapped:
                self._map = bytearray()
                trim(self._file)

    def _store(self, slot: int, record: bytes) -> None:
        while self._mapped and slot + SIZE > len(self._map):
            self._grow(slot)
        if self._mapped:
            # The half that holds the id goes last: it is what makes the record exist.
            self._map[slot : slot + SIZE - 8] = record[:-8]
            self._map[slot + SIZE - 8 : slot + SIZE] = record[-8:]
        else:
            self._append(self._file, record)

    def _grow(self, slot: int) -> None:
        """Allocate before mapping: on a full disk this is an error here, never a SIGBUS later."""
        with self._growing:
            now = os.fstat(self._file).st_size
            ahead = now + min(max(now, _FIRST_ALLOCATION), _LARGEST_STEP)
            try:
                size = self._allocate(now, max(slot + SIZE, ahead), slot + SIZE)
            except OSError as error:
                if error.errno in (errno.ENOSPC, errno.EDQUOT):
                    raise full_disk(error, f"{self._stem}.bin") from error
                self._stop_mapping(slot)
                return
            # Other threads may still store through the old mapping: both show the same file.
            if size > len(self._map):
                self._map = mmap.mmap(self._file, size)

    def _allocate(self, now: int, wanted: int, needed: int) -> int:
        try:
            os.posix_fallocate(self._file, 0, wanted)
        except OSError as error:
            # A full disk may still have the one page that this record needs.
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            os.ftruncate(self._file, max(now, SIZE))
            os.posix_fallocate(self._file, 0, needed)
            return needed
        return wanted

    def _stop_mapping(self, slot: int) -> None:
        """Where nothing can be allocated ahead, write record by record from here on."""
        self._mapped = False
        self._map = bytearray()
        os.ftruncate(self._file, slot)
        os.lseek(self._file, slot, os.SEEK_SET)

    def _new_id(self, name: str) -> int:
        if type(name) is not str or not name:
            raise UserErrorException(
                f"A metric's name is a non-empty string, not {name!r}.",
                "Use for example run.log('loss', value).",
            )
        import json

        if self._file < 0:
            self._begin()
        self._append(self._names, (json.dumps(name) + "\n").encode())
        # Only now may a record carry the id: a reader must find the name behind it.
        self._ids[name] = len(self._ids) + 1
        return self._ids[name]

    def _begin(self) -> None:
        self._names = self._open(".names", os.O_APPEND)
        self._file = self._open(".bin", 0)
        self._append(self._file, HEADER)

    def _open(self, suffix: str, flags: int) -> int:
        if not self._stem:
            os.makedirs(self._folder, exist_ok=True)
            unique = f"{int(time() * 1000):012x}-{os.getpid()}-{os.urandom(2).hex()}"
            self._stem = os.path.join(self._folder, unique)
        return os.open(
            f"{self._stem}{suffix}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | flags, 0o644
        )

    def _append(self, file: int, data: bytes) -> None:
        try:
            written = os.write(file, data)
        except OSError as error:
            raise full_disk(error, f"{self._stem}.bin") from error
        if written != len(data):
            cut_short = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            raise full_disk(cut_short, f"{self._stem}.bin")


def trim(file: int) -> None:
    """Cut the zeros that were allocated ahead from the end of a ``.bin`` nobody writes to."""
    end = os.fstat(file).st_size
    while end > SIZE:
        start = max(SIZE, end - (1 << 20))
        block = os.pread(file, end - start, start).rstrip(b"\0")
        if block:
            end = start + -(-len(block) // SIZE) * SIZE
            break
        end = start
    os.ftruncate(file, end)


def is_mapping_safe(folder: str) -> bool:
    """Whether readers see what is stored through a mapping of files in ``folder``.

    ``AML_METRICS_IO`` (``mmap`` or ``write``) decides where it is set.
    """
    asked = os.environ.get("AML_METRICS_IO")
    if asked:
        return asked != "write"
    # Without an allocation that can fail, a full disk would end the job by SIGBUS.
    return hasattr(os, "posix_fallocate") and file_system_of(folder) not in NETWORK_FILE_SYSTEMS


def file_system_of(path: str) -> str:
    """The type of the file system that holds ``path``, as Linux names it; empty elsewhere."""
    path = os.path.realpath(path)
    best, kind = "", ""
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
            for line in file:
                fields = line.split(" ")
                point = fields[4].replace("\\040", " ")
                if len(point) >= len(best) and (path + "/").startswith(point.rstrip("/") + "/"):
                    best, kind = point, fields[fields.index("-", 6) + 1]
    except OSError:
        return ""
    return kind


# Reading ------------------------------------------------------------------------------------


def writers(folder: str) -> list[str]:
    """The path stems of all processes that logged below ``folder``, oldest first."""
    try:
        names = os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []
    stems = {name.rpartition(".")[0] for name in names if name.endswith((".bin", ".jsonl"))}
    return [os.path.join(folder, stem) for stem in sorted(stems)]


def read_records(stem: str, offset: int = 0, final: bool = False) -> tuple[bytes, int]:
    """The records written since ``offset`` (bytes), and the offset to go on from.

    A slot taken but not yet filled by another thread ends what is read, until it is filled or
    clearly never will be; such slots come back as all zeros and are to be skipped.
    """
    offset = max(offset, SIZE)
    try:
        with open(f"{stem}.bin", "rb") as file:
            file.seek(offset)
            data = file.read()
    except FileNotFoundError:
        return b"", offset
    data = data[: len(data) // SIZE * SIZE]
    end = _written(array("I", data)[6::8], final) * SIZE
    return data[:end], offset + end


def _written(ids: array[int], final: bool) -> int:
    try:
        hole = ids.index(0)
    except ValueError:
        return len(ids)
    after = len(ids)
    while after > hole and ids[after - 1] == 0:
        after -= 1
    # A slot left open by a thread that died is passed over once many came after it.
    return after if final or after - hole > 64 else hole


def near_the_end(stem: str, records: int = 4096) -> int:
    """An offset with at most about ``records`` written records behind it."""
    try:
        file = os.open(f"{stem}.bin", os.O_RDONLY)
    except FileNotFoundError:
        return SIZE
    try:
        low, high = 1, os.fstat(file).st_size // SIZE
        while low < high:  # the written records come first, the zeros allocated ahead after them
            middle = (low + high) // 2
            if any(os.pread(file, 4, middle * SIZE + 24)):
                low = middle + 1
            else:
                high = middle
    finally:
        os.close(file)
    return max(1, low - records) * SIZE


def read_names(stem: str) -> list[str]:
    """Metric names by id - 1."""
    import json

    try:
        with open(f"{stem}.names", encoding="utf-8") as file:
            text = file.read()
    except FileNotFoundError:
        return []
    return [json.loads(line) for line in text.splitlines(True) if line.endswith("\n")]


def read_other(stem: str, offset: int = 0) -> tuple[list[Entry], int]:
    """The entries of the ``.jsonl`` from byte ``offset`` on, and the offset to go on from."""
    import json

    try:
        with open(f"{stem}.jsonl", "rb") as file:
            file.seek(offset)
            data = file.read()
    except FileNotFoundError:
        return [], offset
    whole = data.rfind(b"\n") + 1
    return [json.loads(line) for line in data[:whole].splitlines()], offset + whole


def decode(data: bytes) -> Iterator[tuple[int, float, Scalar]]:
    """(metric id, time, value) of each record in ``data``."""
    ids, kinds = array("I", data)[6::8], array("I", data)[7::8]
    times, values = array("d", data)[1::4], array("d", data)[2::4]
    if set(kinds) <= {FLOAT}:
        yield from zip(ids, times, values)
        return
    integers = array("q", data)[2::4]
    for metric, when, value, integer, kind in zip(ids, times, values, integers, kinds):
        if kind == FLOAT:
            yield metric, when, value
        elif kind:
            yield metric, when, bool(integer) if kind == BOOLEAN else integer


def read_all(folder: str) -> dict[str, list[Entry]]:
    """Everything logged below ``folder``: name → entries ``{"t", "kind", "value"}`` in order."""
    found: dict[str, list[Entry]] = {}
    stems = writers(folder)
    for stem in stems:
        names = read_names(stem)
        numbers: list[list[Entry]] = [[] for _ in names]
        for metric, when, value in decode(read_records(stem, final=True)[0]):
            if 0 < metric <= len(names):
                numbers[metric - 1].append({"t": when, "kind": "scalar", "value": value})
        for name, entries in zip(names, numbers):
            _merge(found, name, entries)
        for entry in read_other(stem)[0]:
            _merge(found, entry["name"], [entry])
    return found


def _merge(found: dict[str, list[Entry]], name: str, entries: list[Entry]) -> None:
    if not entries:
        return
    known = found.setdefault(name, [])
    in_order = not known or known[-1]["t"] <= entries[0]["t"]
    known.extend(entries)
    if not in_order:
        known.sort(key=_time)


_time: Callable[[Entry], float] = lambda entry: entry["t"]  # noqa: E731


def v1_shape(entries: list[Entry]) -> Any:
    """What v1's ``get_metrics()`` returns for one name.

    One value comes back bare, several as a list; rows and tables become columns.
    The last kind logged under a name decides, as v1's service did.
    """
    kind = "table" if entries[-1]["kind"] == "row" else entries[-1]["kind"]
    if kind == "table":
        return _columns([entry for entry in entries if entry["kind"] in ("row", "table")])
    if kind in ("scalar", "list"):
        values: list[Any] = []
        for entry in entries:
            if entry["kind"] == "scalar":
                values.append(entry["value"])
            elif entry["kind"] == "list":
                values.extend(entry["value"])
        return values[0] if len(values) == 1 else values
    return entries[-1]["value"]


def _columns(entries: list[Entry]) -> dict[str, Any]:
    columns: dict[str, list[Any]] = {}
    length = 0
    for entry in entries:
        cells = {
            name: list(value) if isinstance(value, list) else [value]
            for name, value in entry["value"].items()
        }
        rows = max([len(column) for column in cells.values()] or [0])
        for name in cells:
            columns.setdefault(name, [None] * length)
        for name, column in columns.items():
            column.extend(cells.get(name, []))
            column.extend([None] * (length + rows - len(column)))
        length += rows
    if length == 1:
        return {name: column[0] for name, column in columns.items()}
    return dict(columns)
