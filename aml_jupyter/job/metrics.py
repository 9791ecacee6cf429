"""Metrics on disk: the writer that training code calls every batch, and the reader.

Each process that logs has three files of its own, so nobody ever waits for anybody:

``<writer>.bin``
    A 32-byte header, then 32-byte records: step, time, value, metric id, kind. The file is
    allocated ahead and mapped, so that logging is a few stores to memory which the kernel
    keeps even when the process is killed in the next instruction. The kind is stored last and
    is never 0: a record exists once its kind does.
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
import stat
import struct
from _thread import RLock
from _weakref import ref
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
STEP_0 = NO_STEP + 1
"""MLflow's step 0, which it also writes where a program names none: calls are counted then."""
LATEST = 1e15
"""No time of a record is as late; what has such a one was spoiled."""
HEADER = b"AMLMETRICS\x00\x01".ljust(SIZE, b"\x00")

_FLOAT_RECORD = struct.Struct("<qddII")
_INTEGER_RECORD = struct.Struct("<qdqII")
_FIRST_ALLOCATION = 1 << 16
_LARGEST_STEP = 1 << 24
_PIECE = 1 << 20
_LONGEST_LINE = 1 << 26
LONGEST_GAP = 1024
_OPEN_SLOT = 1.0

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
        self._asked = mapped
        self._mapped = True
        self._hears_forks = False
        self._reset()

    def __del__(self, close: Callable[[int], None] = os.close) -> None:
        # A notebook may see thousands of runs, and a process has about a thousand files to open.
        for file in (self._file, self._names, self._other):
            if file >= 0:
                close(file)

    def _reset(self) -> None:
        self._stem = ""
        self._ids: dict[str, int] = {}
        self._named = (0, 0)
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
            except (struct.error, ValueError):  # the mapping is too short, or was just closed
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

    def put(self, name: str, value: float, when: float, step: int) -> None:
        """Append one number as of another moment than now."""
        metric = self._ids.get(name) or self._new_id(name)
        record = _FLOAT_RECORD.pack(step, when, value, metric, FLOAT)
        self._store(next(self._slots) * SIZE, record)

    def other(self, name: str, kind: str, value: Any, description: str | None = None) -> None:
        """Append something that is not one number, as a line of JSON."""
        import json

        entry = {"t": time(), "name": name, "kind": kind, "value": value}
        if description:
            entry["description"] = description
        line = (json.dumps(entry, separators=(",", ":")) + "\n").encode()
        if self._other < 0:
            self._other = self._open(".jsonl")
        self._append(self._other, line)

    def flush(self) -> None:
        """Nothing is held back, so there is nothing to do but keep v1's promise."""

    def close(self) -> None:
        """Give back what was allocated ahead; logging again simply goes on."""
        with self._growing:
            if self._file >= 0 and self._mapped:
                mapping, self._map = self._map, bytearray()
                # Closed before it is cut: another thread that still has it gets an error from
                # Python, which it takes for a short mapping, and never a SIGBUS.
                if isinstance(mapping, mmap.mmap):
                    mapping.close()
                trim(self._file)

    def _store(self, slot: int, record: bytes) -> None:
        while self._mapped:
            mapping = self._map
            try:
                if slot + SIZE <= len(mapping):
                    # The half that holds the kind goes last: it is what makes the record exist.
                    mapping[slot : slot + SIZE - 8] = record[:-8]
                    mapping[slot + SIZE - 8 : slot + SIZE] = record[-8:]
                    return
            except ValueError:  # closed by another thread
                continue
            self._grow(slot)
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

    def _new_id(self, name: str) -> int:
        if type(name) is not str or not name:
            raise UserErrorException(
                f"A metric's name is a non-empty string, not {name!r}.",
                "Use for example run.log('loss', value).",
            )
        with self._growing:
            if self._file < 0:
                self._begin()
            # Only with its name on disk may a record carry an id.
            return self._ids.get(name) or self._write_name(name)

    def _write_name(self, name: str) -> int:
        import json

        line = (json.dumps(name) + "\n").encode()
        self._append(self._names, line)
        known, size = self._named
        now = os.fstat(self._names).st_size
        if now == size + len(line):
            self._ids.setdefault(name, known + 1)
            self._named = (known + 1, now)
        else:  # a signal handler named something in between: the file says who got which line
            names = read_names(self._stem)
            self._ids.update((each, number) for number, each in enumerate(names, start=1))
            self._named = (len(names), now)
        return self._ids[name]

    def _begin(self) -> None:
        names, file = self._open(".names"), self._open(".bin")
        if self._file < 0:
            self._append(file, HEADER)
            self._names, self._file = names, file

    def _open(self, suffix: str) -> int:
        if not self._stem:
            self._choose_stem()
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        return os.open(f"{self._stem}{suffix}", flags, 0o644)

    def _choose_stem(self) -> None:
        try:
            os.makedirs(self._folder, exist_ok=True)
        except OSError as error:
            raise full_disk(error, self._folder) from error
        if not self._hears_forks:
            # Here and not earlier: most handles on runs never log, and this is never undone.
            self._hears_forks = True
            _reset_in_children(ref(self))
            self._mapped = is_mapping_safe(self._folder) if self._asked is None else self._asked
        unique = f"{int(time() * 1000):012x}-{os.getpid()}-{os.urandom(2).hex()}"
        stem = os.path.join(self._folder, unique)
        # A signal handler or a thread may have come first; nothing is called in between here.
        if not self._stem:
            self._stem = stem

    def _append(self, file: int, data: bytes) -> None:
        """Write all of ``data`` or nothing: what follows must not begin in a broken record."""
        with self._growing:
            try:
                written = os.write(file, data)
                if written == len(data):
                    return
                os.ftruncate(file, os.fstat(file).st_size - written)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            except OSError as error:
                raise full_disk(error, f"{self._stem}.bin") from error


def _reset_in_children(writer: ref[MetricWriter]) -> None:
    """Have forked children of this process leave alone what the writer writes to, if it lives."""

    def reset() -> None:
        still_there = writer()
        if still_there is not None:
            still_there._reset()

    os.register_at_fork(after_in_child=reset)


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
    ``final`` is for a file that nobody writes to any more: it gives all there is.
    """
    offset = max(offset, SIZE)
    now = time()
    try:
        with open_to_read(f"{stem}.bin") as file:
            file.seek(offset)
            data = _until_unwritten(file)
    except FileNotFoundError:
        return b"", offset
    # The last byte of a record that is not 0 belongs to its kind.
    data = data[: -(-len(data.rstrip(b"\0")) // SIZE) * SIZE]
    data = data[: len(data) // SIZE * SIZE]
    end = len(data) if final else settled(data, now) * SIZE
    return data[:end], offset + end


def open_to_read(path: str) -> Any:
    """A file that a job may have put there, opened for reading.

    What is no regular file is as good as not there: opening a pipe would wait for its other end.
    """
    file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
    return open(file, "rb")


def _until_unwritten(file: Any) -> bytes:
    """What was written; megabytes of zeros allocated ahead are not read to find its end."""
    pieces = []
    while True:
        pieces.append(file.read(_PIECE))
        if len(pieces[-1]) < _PIECE or not any(pieces[-1][-LONGEST_GAP * SIZE :]):
            return b"".join(pieces)


def settled(data: bytes, now: float) -> int:
    """How many of the records in ``data``, read after ``now``, are not about to change.

    Reading takes time as well: what follows an empty slot may have been written after that
    slot was read. Only an old record behind it proves that its thread has died.
    """
    kinds, times = array("I", data)[7::8], array("d", data)[1::4]
    try:
        hole = kinds.index(0)
    except ValueError:
        return len(kinds)
    for slot in range(hole, len(kinds)):
        if kinds[slot] and hole >= 0:
            if times[slot] > now - _OPEN_SLOT:
                return hole
            hole = -1
        elif not kinds[slot] and hole < 0:
            hole = slot
    return hole if hole >= 0 else len(kinds)


def near_the_end(stem: str, records: int = 4096) -> int:
    """An offset with at most about ``records`` written records behind it."""
    return max(SIZE, written(stem) - records * SIZE)


def written(stem: str) -> int:
    """The offset behind the last record, as a few looks into the file find it."""
    try:
        with open_to_read(f"{stem}.bin") as file:
            low, high = 1, os.fstat(file.fileno()).st_size // SIZE
            while low < high:  # the records come first, the zeros allocated ahead after them
                middle = (low + high) // 2
                if any(os.pread(file.fileno(), 4, middle * SIZE + 24)):
                    low = middle + 1
                else:
                    high = middle
    except FileNotFoundError:
        return SIZE
    return low * SIZE


def read_names(stem: str) -> list[str]:
    """Metric names by id - 1; empty where a disk has spoiled one."""
    return new_names(stem, 0)[0]


def new_names(stem: str, offset: int) -> tuple[list[str], int]:
    """The names from byte ``offset`` on, as :func:`read_names`, and the offset to go on from."""
    try:
        with open_to_read(f"{stem}.names") as file:
            file.seek(offset)
            data = file.read()
    except FileNotFoundError:
        return [], offset
    whole = data.rfind(b"\n") + 1
    return [_name(line) for line in data[:whole].split(b"\n")[:-1]], offset + whole


def _name(line: bytes) -> str:
    import json

    try:
        name = json.loads(line)
    except (ValueError, RecursionError):
        return ""
    return name if isinstance(name, str) else ""


def read_other(stem: str, offset: int = 0) -> tuple[list[Entry], int]:
    """The entries of the ``.jsonl`` from byte ``offset`` on, and the offset to go on from."""
    lines, offset = other_lines(stem, offset)
    return [entry for entry in map(parse_other, lines) if entry is not None], offset


def other_lines(stem: str, offset: int = 0, limit: int = -1) -> tuple[list[bytes], int]:
    """The lines of the ``.jsonl`` from byte ``offset`` on, and the offset to go on from.

    With a ``limit`` about so many bytes of them, but never less than a line.
    """
    try:
        with open_to_read(f"{stem}.jsonl") as file:
            file.seek(offset)
            data = file.read(limit)
            while 0 < limit <= len(data) < _LONGEST_LINE and b"\n" not in data:
                more = file.read(len(data))
                data += more
                if not more:
                    break
    except FileNotFoundError:
        return [], offset
    whole = data.rfind(b"\n") + 1
    if limit > 0 and not whole and len(data) >= _LONGEST_LINE:
        whole = len(data)  # no line of ours: what it goes on with will not parse either
    return data[:whole].splitlines(), offset + whole


def parse_other(line: bytes) -> Entry | None:
    """The entry in a line of the ``.jsonl``; None for one torn by a machine that went down."""
    import json

    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not (isinstance(entry, dict) and "value" in entry and type(entry.get("name")) is str):
        return None
    if not (type(entry.get("kind")) is str and type(entry.get("t")) in (int, float)):
        return None
    return entry if abs(entry["t"]) < LATEST else None


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


def steps(data: bytes) -> list[int]:
    """The step of each record that :func:`decode` tells of; ``NO_STEP`` of one that has none."""
    found, kinds = array("q", data)[0::4], array("I", data)[7::8]
    return [step for step, kind in zip(found, kinds) if kind]


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
            if name:
                _merge(found, name, entries)
        others: dict[str, list[Entry]] = {}
        for entry in read_other(stem)[0]:
            others.setdefault(entry["name"], []).append(entry)
        for name, entries in others.items():
            _merge(found, name, entries)
    return found


def _merge(found: dict[str, list[Entry]], name: str, entries: list[Entry]) -> None:
    """Add what one process logged; its own order stays, however its clock jumped."""
    if not entries:
        return
    known = found.setdefault(name, [])
    if known and known[-1]["t"] > entries[0]["t"]:
        from heapq import merge

        found[name] = list(merge(known, entries, key=_time))
    else:
        known.extend(entries)


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
