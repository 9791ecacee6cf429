"""An executed notebook that grows on disk while it is executed.

Whoever opens the file finds a whole notebook with all there is so far. What is new is added, at a
cost that does not depend on what is there already: a cell's outputs come before all of it that
changes at its end, so that writing goes on behind the last output.

A small file is written anew each time. A large one is two: what is new is added to the one that
nobody reads, which then takes the place of the other. So all of it is written twice, however
often it is saved, and a reader never meets half a notebook.
"""

from __future__ import annotations

import json
import os
import threading
import time
from io import FileIO

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Iterable, Iterator

    Cell = Dict[str, Any]

LARGEST_REPLACED = 1 << 20
"""Bytes up to which the file is written anew each time."""

_AT_ONCE = 256 << 10
_SLICE = 128 << 10
_SHARE = 20
_PAUSE = 0.25
# Somebody may still be reading the file that is written to next.
_PAUSE_IF_LARGE = 1.0
_LAST_IN_CELL = ("execution_count", "metadata")
_ENDS = ("completed", "failed", "canceled")
_TOGETHER = 500


class GrowingNotebook:
    """The file of one notebook. Cells before the present one are done, those behind it untouched.

    :meth:`save` writes what is new; a large amount, or what comes too soon after the last time,
    is left to a thread, so that no cell waits for a disk. The last output of the present cell
    may grow; of any other change in what was there already, :meth:`changed` has to tell.
    """

    def __init__(self, path: str, notebook: Any) -> None:
        self._text = _Text(notebook)
        self._file = _File(path)
        self._lock = threading.Lock()
        self._changed: list[tuple[int, int]] = []
        self._not_before = 0.0
        self._wanted = threading.Event()
        self._thread: threading.Thread | None = None
        self._closed = threading.Event()
        self._rewritten = 0
        self.error: OSError | None = None

    @property
    def size(self) -> int:
        """About how many bytes the notebook has by now."""
        return self._text.size + self._text.news()

    def save(self) -> None:
        """Write what is new: now if it is little, else soon, beside the work."""
        if self._is_much() or not self._lock.acquire(False):
            self.save_soon()
            return
        try:
            self._write()
        finally:
            self._lock.release()

    def _is_much(self) -> bool:
        is_too_soon = time.monotonic() < self._not_before
        is_again = bool(self._changed) or self._file.is_large
        return is_too_soon or is_again or self._text.news() > _AT_ONCE

    def save_soon(self) -> None:
        """Have what is new written beside the work."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._keep_writing, daemon=True)
            self._thread.start()
        self._wanted.set()

    def changed(self, cell: int, output: int) -> None:
        """Take note that this output is another now, or gone, and that all behind it may be."""
        self._changed.append((cell, output))

    def close(self, whole: bytes | None = None) -> None:
        """Write all that is new, or ``whole`` instead of everything, and let go of the file."""
        self._closed.set()
        if self._thread is not None:
            self._wanted.set()
            self._thread.join()
        with self._lock:
            if whole is None:
                self._write()
            else:
                self._attempt(lambda: self._file.replace(whole))
            self._file.close()

    # Writing

    def _keep_writing(self) -> None:
        while not self._closed.is_set():
            self._wanted.wait()
            if self._closed.wait(max(0.0, self._not_before - time.monotonic())):
                return
            self._wanted.clear()
            with self._lock:
                self._write()

    def _write(self) -> None:
        """Write the stable part that is new, and the rest of the notebook behind it.

        Writing that takes long is done the more seldom: it has a twentieth of the time at most.
        """
        begun = time.monotonic()
        self._take_back()
        try:
            self._attempt(self._go_on)
        except (IndexError, RuntimeError):  # outputs were cleared in this very moment
            self._forget()
            self._wanted.set()
        pause = _PAUSE_IF_LARGE if self._file.is_large else _PAUSE
        self._not_before = begun + max(pause, _SHARE * (time.monotonic() - begun))

    def _attempt(self, step: Any) -> None:
        try:
            step()
            self.error = None
        except OSError as error:  # the cells are worth more than the picture of them
            self.error = error
            self._forget()

    def _go_on(self) -> None:
        if not self._file.is_as_left():
            self._forget()
        if self._text.size + self._text.news() <= LARGEST_REPLACED:
            self._file.grow_small(b"".join(self._text.stable()), self._text.rest())
        else:
            self._file.grow_large(self._text.stable(), self._text.rest())

    def _take_back(self) -> None:
        """Go back behind what has changed, unless it was long ago and much came after it.

        That waits for as much news as has to be written again, so that a bar of progress in the
        first cell of a large notebook does not have all of it written again and again.
        """
        changes, self._changed = self._changed, []
        if not changes:
            return
        size = self._text.size
        offset, to = min((self._text.offset(*change), change) for change in changes)
        again = size - offset
        if again > LARGEST_REPLACED and not self._closed.is_set():
            if self._rewritten and size < self._rewritten + again // 2:
                self._changed.append(to)
                return
            self._rewritten = size
        self._text.go_back(*to)
        self._file.forget(offset)

    def _forget(self) -> None:
        self._text.go_back(0, 0)
        self._file.forget(0)


class _Text:
    """The text of a notebook, as far as it will not change any more, and what is behind that."""

    def __init__(self, notebook: Any) -> None:
        self._notebook = notebook
        self.size = 0
        # For each cell that has begun: where it does, and where each output of it does.
        self._begins: list[list[int]] = []
        self._is_open = False

    def offset(self, cell: int, output: int) -> int:
        """Where this output begins, or its cell if it is the first; the end if it is not there."""
        if cell >= len(self._begins):
            return self.size
        begins = self._begins[cell]
        return begins[output] if output < len(begins) else self.size

    def go_back(self, cell: int, output: int) -> None:
        """Take the notebook for written only up to this output."""
        self.size = self.offset(cell, output)
        if cell >= len(self._begins) or output >= len(self._begins[cell]):
            return
        del self._begins[cell + 1 :]
        del self._begins[cell][output:]
        self._is_open = bool(self._begins[cell])
        if not self._is_open:
            del self._begins[cell]

    def news(self) -> int:
        """About how many bytes are new."""
        cells, done = self._notebook.cells, len(self._begins) - self._is_open
        first = len(self._begins[-1]) if self._is_open else 0
        size = 0
        for cell in cells[done : done + 2]:
            size += sum(map(_size, cell.get("outputs", ())[first:]))
            first = 0
        return size

    def stable(self) -> Iterator[bytes]:
        """What is new and will not change: cells that are done, outputs of the present one."""
        for piece in self._stable():
            self.size += len(piece)
            yield piece

    def _stable(self) -> Iterator[bytes]:
        cells = self._notebook.cells
        while len(self._begins) - self._is_open < len(cells):
            number = len(self._begins) - self._is_open
            cell = cells[number]
            is_done = _is_done(cell)
            outputs = cell.get("outputs", ()) if _is_code(cell) else ()
            until = len(outputs) if is_done else len(outputs) - 1
            if not is_done and until <= (len(self._begins[number]) if self._is_open else 0):
                return
            yield from self._add(number, cell, outputs, until)
            if not is_done:
                return
            yield _tail(cell)
            self._is_open = False

    def _add(self, number: int, cell: Cell, outputs: Any, until: int) -> Iterator[bytes]:
        """The cell from where it is not there yet, with outputs up to this one."""
        if not self._is_open:
            self._begins.append([self.size])
            self._is_open = True
            yield _head(cell, number)
            if until:
                yield from _output(outputs[0], 0)
        for at in range(len(self._begins[number]), until):
            self._begins[number].append(self.size)
            yield from _output(outputs[at], at)

    def rest(self) -> Iterator[bytes]:
        """All behind it, as it is now."""
        cells, number = self._notebook.cells, len(self._begins) - self._is_open
        first = len(self._begins[-1]) if self._is_open else 0
        for cell in cells[number:]:
            if not first:
                yield _head(cell, number)
            outputs = cell.get("outputs", ()) if _is_code(cell) else ()
            for at in range(first, len(outputs)):
                yield from _output(outputs[at], at)
            yield _tail(cell)
            first, number = 0, number + 1
        others = {key: value for key, value in self._notebook.items() if key != "cells"}
        opening = b"" if cells else b'{"cells":['
        yield opening + b"\n]," + _json(others)[1:] + b"\n"


class _File:
    """The file on disk, and while it is large the other one that is to take its place.

    How many bytes of each are what they shall be for good is known.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._aside = f"{path}.{os.getpid()}.tmp"
        self._spare = f"{path}.{os.getpid()}.spare.tmp"
        self._kept = bytearray()
        self._good = self._good_aside = 0
        self._left: tuple[int, ...] | None = None
        self.is_large = False

    def is_as_left(self) -> bool:
        """Whether nobody else has written to the file, or replaced it."""
        return self._left is None or self._left == self._facts()

    def forget(self, offset: int) -> None:
        """Take nothing from here on for good."""
        self._good, self._good_aside = min(self._good, offset), min(self._good_aside, offset)
        del self._kept[offset:]
        if not offset:
            self.is_large, self._left = False, None

    def grow_small(self, new: bytes, rest: Iterable[bytes]) -> None:
        """Write a file with all that was there before, what is new, and the rest."""
        self._kept += new
        self.replace(self._kept, *rest)
        self._good = len(self._kept)

    def replace(self, *pieces: bytes | bytearray) -> None:
        """Write a file of these pieces, which appears as a whole."""
        try:
            with open(self._aside, "wb") as file:
                file.writelines(pieces)
            os.replace(self._aside, self._path)
        except OSError:
            self.close()
            raise
        self._left = self._facts()

    def grow_large(self, new: Iterable[bytes], rest: Iterable[bytes]) -> None:
        """Bring the other file up to date, and let it take the place of this one."""
        if not self.is_large:
            self.is_large, self._kept = True, bytearray()
            self._good_aside = 0
        try:
            with FileIO(self._aside, "r+" if self._good_aside else "w+") as file:
                file.seek(self._good_aside)
                self._copy_to(file)
                _write_all(file, new)
                good = file.tell()
                _write_all(file, rest)
                file.truncate()
            self._exchange()
        except OSError:
            self.close()
            raise
        self._good = good
        self._left = self._facts()

    def _copy_to(self, file: FileIO) -> None:
        """Copy what came since this other file was the first."""
        if self._good_aside >= self._good:
            return
        with FileIO(self._path, "r") as source:
            source.seek(self._good_aside)
            left = self._good - self._good_aside
            while left:
                piece = source.read(min(left, _SLICE))
                if not piece:
                    raise OSError(f"{self._path} has become shorter")
                left -= len(piece)
                _write_all(file, [piece])

    def _exchange(self) -> None:
        there = os.path.exists(self._path)
        if there:
            try:
                os.link(self._path, self._spare)
            except OSError:  # without links there is no file for a moment
                os.rename(self._path, self._spare)
        os.rename(self._aside, self._path)
        if there:
            os.rename(self._spare, self._aside)
        self._good_aside = self._good if there else 0

    def _facts(self) -> tuple[int, ...] | None:
        try:
            facts = os.stat(self._path)
        except OSError:
            return None
        return facts.st_ino, facts.st_size, facts.st_mtime_ns

    def close(self) -> None:
        """Remove what is not the file itself."""
        for path in (self._aside, self._spare):
            try:
                os.unlink(path)
            except OSError:
                continue


def _write_all(file: FileIO, pieces: Iterable[bytes]) -> None:
    """Write the pieces, small ones together; other threads get their turn at each write."""
    waiting: list[bytes] = []
    size = 0
    for piece in pieces:
        waiting.append(piece)
        size += len(piece)
        if size >= _SLICE:
            _write(file, b"".join(waiting))
            waiting, size = [], 0
    _write(file, b"".join(waiting))


def _write(file: FileIO, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]


def _is_code(cell: Cell) -> bool:
    return bool(cell.get("cell_type") == "code")


def _is_done(cell: Cell) -> bool:
    facts = cell["metadata"].get("papermill") or {}
    return facts.get("status") in _ENDS and facts.get("duration") is not None


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _head(cell: Cell, number: int) -> bytes:
    """The cell up to its outputs."""
    shown = {k: v for k, v in cell.items() if k not in ("outputs", *_LAST_IN_CELL)}
    opening = b",\n" if number else b'{"cells":[\n'
    return opening + _json(shown)[:-1] + (b',"outputs":[' if _is_code(cell) else b"")


def _tail(cell: Cell) -> bytes:
    shown = {k: cell[k] for k in _LAST_IN_CELL if k in cell}
    return (b"]," if _is_code(cell) else b",") + _json(shown)[1:]


def _output(output: Cell, number: int) -> Iterator[bytes]:
    """An output, in pieces: who encodes a long text at once keeps all other threads waiting."""
    if number:
        yield b","
    if _size(output) < _SLICE:
        yield _json(output)
    else:
        yield from _encoded(output)


def _encoded(value: Any) -> Iterator[bytes]:
    if isinstance(value, dict):
        for number, (key, inner) in enumerate(list(value.items())):
            yield (b"," if number else b"{") + _json(key) + b":"
            yield from _encoded(inner)
        yield b"}" if value else b"{}"
    elif isinstance(value, str) and len(value) > _SLICE:
        yield b'"'
        for at in range(0, len(value), _SLICE):
            yield _json(value[at : at + _SLICE])[1:-1]
        yield b'"'
    elif isinstance(value, list) and len(value) > _TOGETHER:
        for at in range(0, len(value), _TOGETHER):
            yield (b"," if at else b"[") + _json(value[at : at + _TOGETHER])[1:-1]
        yield b"]"
    elif isinstance(value, list) and _length(value) > _SLICE:
        for number, inner in enumerate(value):
            yield b"," if number else b"["
            yield from _encoded(inner)
        yield b"]"
    else:
        yield _json(value)


def _size(output: Cell) -> int:
    """About how long an output is as text."""
    text = output.get("text")
    if isinstance(text, str):
        return 60 + len(text)
    return 60 + _length(output.get("data"))


def _length(value: Any) -> int:
    if isinstance(value, str):
        return 10 + len(value)
    if isinstance(value, dict):
        return 20 * len(value) + sum(map(_length, value.values()))
    if isinstance(value, list) and value:
        is_deep = isinstance(value[0], (str, list, dict))
        return sum(map(_length, value)) if is_deep else 8 * len(value)
    return 10
