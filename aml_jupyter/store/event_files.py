"""TensorBoard's event files: the numbers in them, and files like them with numbers of ours.

A file is records: a length and its checksum, that many bytes and theirs. Each record is an
``Event`` of protobuf, of which only the time, the step and what is one number matter here. Both
ways of writing a number are understood: ``simple_value``, and tensors as TensorFlow 2 has them.
"""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Iterable, Iterator
from typing import NamedTuple

LARGEST = 16 << 20
"""Events that are larger are passed over: pictures and graphs, no numbers."""

_PIECE = 1 << 16
_CHECKED = 1 << 16
_MOST_VALUES = 4096
_MOST_FIELDS = 64
_POLYNOMIAL = 0x82F63B78
_LENGTH = struct.Struct("<Q")
_SUM = struct.Struct("<I")
_DOUBLE = struct.Struct("<d")
_FLOAT = struct.Struct("<f")
_AROUND = _LENGTH.size + 2 * _SUM.size
_LARGEST_FLOAT = 3.4028234663852886e38

# Which kind of field it is, in the last bits of its key.
_VARINT, _EIGHT_BYTES, _BYTES, _FOUR_BYTES = 0, 1, 2, 5

# Keys of fields: number and kind.
_WALL_TIME, _STEP, _FILE_VERSION, _SUMMARY = 0x09, 0x10, 0x1A, 0x2A
_VALUE, _TAG, _SIMPLE_VALUE, _TENSOR = 0x0A, 0x0A, 0x15, 0x42
_TYPE, _SHAPE, _CONTENT, _DIMENSION = 0x08, 0x12, 0x22, 0x12

# The single number in a tensor's bytes, by its type; and the fields that hold numbers one by one.
_FORMATS = {1: "<f", 2: "<d", 3: "<i", 4: "<B", 5: "<h", 6: "<b", 9: "<q", 10: "<?", 17: "<H"}
_FORMATS.update({19: "<e", 22: "<I", 23: "<Q"})
_HALF, _BRAIN_FLOAT = 19, 14
_FLOATS, _DOUBLES, _HALVES = 5, 6, 13
_INTEGERS = (7, 10, 11, 16, 17)


class Point(NamedTuple):
    """One number of one tag."""

    tag: str
    step: int
    time: float
    value: float


# Reading --------------------------------------------------------------------------------------


def is_event_file(name: str) -> bool:
    """Whether TensorBoard would take a file of that name for its own."""
    return "tfevents" in name


def records(file: int, offset: int = 0) -> Iterator[tuple[bytes, int]]:
    """Each whole record from ``offset`` on, and where the next one begins.

    It ends where the file does, or where the rest is not written yet, or spoiled. One that is too
    large, or not what its checksum says, is empty.
    """
    window, size = _Window(file), os.fstat(file).st_size
    while offset + _AROUND <= size:
        head = window.read(offset, _LENGTH.size + _SUM.size)
        if len(head) < _LENGTH.size + _SUM.size or not _is_whole(head):
            return
        length = _LENGTH.unpack_from(head)[0]
        end = offset + _AROUND + length
        if end > size:
            return
        body = b""
        if length <= LARGEST:
            body = window.read(offset + len(head), length + _SUM.size)
            if length <= _CHECKED and not _is_whole(body):
                if end == size:  # its last bytes may still be on their way
                    return
                body = b""
        yield body[: -_SUM.size], end
        offset = end


class _Window:
    """Reads a file a piece at a time."""

    def __init__(self, file: int) -> None:
        self._file = file
        self._start = 0
        self._data = b""

    def read(self, offset: int, length: int) -> bytes:
        """So many bytes, or what there is of them."""
        inside = offset - self._start
        if not 0 <= inside <= len(self._data) - length:
            self._start, inside = offset, 0
            self._data = os.pread(self._file, max(length, _PIECE), offset)
        return self._data[inside : inside + length]


def points(event: bytes) -> list[Point]:
    """The numbers in an event; none in one that is not understood."""
    try:
        return list(_points(event))
    except (ValueError, IndexError, struct.error):
        return []


def _points(event: bytes) -> Iterator[Point]:
    when, step, found = 0.0, 0, []
    for key, start, end in _fields(event, 0, len(event)):
        if key == _WALL_TIME:
            when = _DOUBLE.unpack_from(event, start)[0]
        elif key == _STEP:
            step = _signed(start)
        elif key == _SUMMARY:
            found = list(_values(event, start, end))
    for tag, value in found:
        yield Point(tag, step, when, value)


def _values(event: bytes, start: int, end: int) -> Iterator[tuple[str, float]]:
    """Tag and number of each value in a summary that is one number."""
    for key, begin, until in _fields(event, start, end, _MOST_VALUES):
        if key == _VALUE:
            tag, value = "", None
            for inner, first, last in _fields(event, begin, until):
                if inner == _TAG:
                    tag = event[first:last].decode("utf-8", "replace")
                elif inner == _SIMPLE_VALUE:
                    value = _FLOAT.unpack_from(event, first)[0]
                elif inner == _TENSOR:
                    value = _number(event, first, last)
            if tag and value is not None:
                yield tag, value


def _number(event: bytes, start: int, end: int) -> float | None:
    """The one number in a tensor; None of any other tensor."""
    kind, found = 0, []
    for key, first, last in _fields(event, start, end):
        if key == _TYPE:
            kind = first
        elif key == _SHAPE:
            if any(inner == _DIMENSION for inner, _, _ in _fields(event, first, last)):
                return None
        elif key == _CONTENT:
            found += _content(kind, event[first:last])
        else:
            found += _listed(key, kind, event, first, last)
    return float(found[0]) if len(found) == 1 else None


def _content(kind: int, data: bytes) -> list[float]:
    if kind == _BRAIN_FLOAT and len(data) == 2:
        return [_FLOAT.unpack(b"\0\0" + data)[0]]
    form = _FORMATS.get(kind)
    if form is None or len(data) != struct.calcsize(form):
        return []
    return [struct.unpack(form, data)[0]]


def _listed(key: int, kind: int, event: bytes, first: int, last: int) -> list[float]:
    """The numbers in a field that lists them, packed or not; no more than two of them."""
    number, wire = key >> 3, key & 7
    if number in (_FLOATS, _DOUBLES) and wire != _VARINT:
        form = _FLOAT if number == _FLOATS else _DOUBLE
        starts = range(first, last - form.size + 1, form.size)[:2]
        return [form.unpack_from(event, each)[0] for each in starts]
    if number != _HALVES and number not in _INTEGERS:
        return []
    found: list[int] = []
    if wire == _VARINT:
        found.append(first)
    while wire == _BYTES and first < last and len(found) < 2:
        value, first = _varint(event, first)
        found.append(value)
    if number == _HALVES:
        return [each for raw in found for each in _content(kind, _half(raw))]
    return [_signed(value) for value in found]


def _half(raw: int) -> bytes:
    return struct.pack("<H", raw & 0xFFFF)


def _fields(
    data: bytes, at: int, end: int, most: int = _MOST_FIELDS
) -> Iterator[tuple[int, int, int]]:
    """Key, start and end of each field between two places; of a varint its value, and 0."""
    while at < end:
        most -= 1
        if most < 0:
            raise ValueError("nobody writes so many fields")
        key = data[at]
        at += 1
        if key > 127:
            key, at = _varint(data, at - 1)
        wire = key & 7
        if wire == _VARINT:
            value, at = _varint(data, at)
            yield key, value, 0
            continue
        if wire == _BYTES:
            length, at = _varint(data, at)
        elif wire in (_FOUR_BYTES, _EIGHT_BYTES):
            length = 4 if wire == _FOUR_BYTES else 8
        else:
            raise ValueError(f"no such kind of field: {wire}")
        if at + length > end:
            raise ValueError("a field is longer than what it is in")
        yield key, at, at + length
        at += length


def _varint(data: bytes, at: int) -> tuple[int, int]:
    byte = data[at]
    value, shift = byte & 127, 7
    while byte > 127:
        if shift > 63:
            raise ValueError("a number is too long")
        at += 1
        byte = data[at]
        value |= (byte & 127) << shift
        shift += 7
    return value & 0xFFFF_FFFF_FFFF_FFFF, at + 1


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


# Writing --------------------------------------------------------------------------------------


def event_file(written: Iterable[Point], began: float) -> Iterator[bytes]:
    """The records of a file with these points; ``began`` is the time in its first one."""
    version = b"brain.Event:2"
    yield record(_fixed(_WALL_TIME, _DOUBLE.pack(began)) + _nested(_FILE_VERSION, version))
    for point in written:
        number = _FLOAT.pack(_within_floats(point.value))
        value = _nested(_TAG, point.tag.encode()) + _fixed(_SIMPLE_VALUE, number)
        yield record(
            _fixed(_WALL_TIME, _DOUBLE.pack(point.time))
            + bytes([_STEP])
            + _as_varint(point.step & 0xFFFF_FFFF_FFFF_FFFF)
            + _nested(_SUMMARY, _nested(_VALUE, value))
        )


def record(data: bytes) -> bytes:
    """``data`` with its length and both checksums."""
    length = _LENGTH.pack(len(data))
    return b"".join((length, _checksum(length), data, _checksum(data)))


def _within_floats(value: float) -> float:
    """What no float of four bytes can be becomes infinite."""
    if abs(value) <= _LARGEST_FLOAT or math.isnan(value):
        return value
    return math.copysign(math.inf, value)


def _fixed(key: int, data: bytes) -> bytes:
    return bytes([key]) + data


def _nested(key: int, data: bytes) -> bytes:
    return bytes([key]) + _as_varint(len(data)) + data


def _as_varint(value: int) -> bytes:
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    found.append(value)
    return bytes(found)


# Checksums ------------------------------------------------------------------------------------


def _is_whole(data: bytes) -> bool:
    """Whether the four bytes at the end are the checksum of those before."""
    return data[-_SUM.size :] == _checksum(data[: -_SUM.size])


def _checksum(data: bytes) -> bytes:
    """CRC-32C, masked as TensorFlow does it."""
    crc, table = 0xFFFF_FFFF, _TABLE
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    crc ^= 0xFFFF_FFFF
    return _SUM.pack(((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFF_FFFF)


def _table() -> list[int]:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (_POLYNOMIAL if byte & 1 else 0)
        table.append(byte)
    return table


_TABLE = _table()
