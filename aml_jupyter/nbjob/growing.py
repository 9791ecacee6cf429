"""An executed notebook that grows on disk while it is executed.

Whoever opens the file finds a notebook with all there is so far. What is new is added, at a cost
that does not depend on what is there already: a cell's outputs come before all of it that
changes at its end, so that writing goes on behind the last output. A small file is replaced as a
whole, so that it is never seen half-written; one that has grown large is continued in place.
"""

from __future__ import annotations

import json
import os
import threading
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    Cell = dict[str, Any]

LARGEST_REPLACED = 4 << 20
"""Bytes up to which the file is replaced as a whole."""

_AT_ONCE = 1 << 20
_SLICE = 256 << 10
_SHARE = 20
_SHORTEST_PAUSE = 0.1
_LAST_IN_CELL = ("execution_count", "metadata")


class GrowingNotebook:
    """The file of one notebook. Cells before the present one are done, those behind it untouched.

    :meth:`save` writes what is new; a large amount, or what comes too soon after the last time,
    is left to a thread, so that no cell waits for a disk.
    """

    def __init__(self, path: str, notebook: Any) -> None:
        self._path = path
        self._notebook = notebook
        self._lock = threading.Lock()
        self._written = 0
        self._is_large = False
        self._kept: list[bytes] = []
        self._cell = 0
        self._outputs = 0
        self._not_before = 0.0
        self._wanted = threading.Event()
        self._thread: threading.Thread | None = None
        self._closed = False
        self.error: OSError | None = None

    def save(self) -> None:
        """Write what is new: now if it is little, else soon, beside the work."""
        if time.monotonic() < self._not_before or self._news() > _AT_ONCE:
            self.save_soon()
        else:
            self._write()

    def save_soon(self) -> None:
        """Have what is new written beside the work."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._keep_writing, daemon=True)
            self._thread.start()
        self._wanted.set()

    def begin_again(self) -> None:
        """Forget what was written: an output of a cell that was done has changed."""
        with self._lock:
            self._forget()
        self.save_soon()

    def close(self) -> None:
        """Write all that is new, and let go of the file."""
        self._closed = True
        if self._thread is not None:
            self._wanted.set()
            self._thread.join()
        self._write()

    # Writing

    def _keep_writing(self) -> None:
        while not self._closed:
            self._wanted.wait()
            pause = self._not_before - time.monotonic()
            if pause > 0 and not self._closed:
                time.sleep(min(pause, _SHORTEST_PAUSE))
                continue
            self._wanted.clear()
            self._write()

    def _write(self) -> None:
        """Write the stable part that is new, and the rest of the notebook behind it.

        Writing that takes long is done the more seldom: it has a twentieth of the time at most.
        """
        begun = time.monotonic()
        with self._lock:
            try:
                new = list(self._stable())
                rest = b"".join(self._rest())
                if self._is_large:
                    self._go_on(new, rest)
                else:
                    self._replace(new, rest)
                self.error = None
            except IndexError:  # outputs were cleared in this very moment
                self._forget()
                self._wanted.set()
            except OSError as error:  # the cells are worth more than the picture of them
                self.error = error
                self._forget()
        self._not_before = begun + max(_SHORTEST_PAUSE, _SHARE * (time.monotonic() - begun))

    def _forget(self) -> None:
        self._cell = self._outputs = self._written = 0
        self._kept, self._is_large = [], False

    def _replace(self, new: list[bytes], rest: bytes) -> None:
        self._kept += new
        self._written += sum(map(len, new))
        aside = f"{self._path}.{os.getpid()}.tmp"
        try:
            with open(aside, "wb") as file:
                file.writelines(self._kept)
                file.write(rest)
            os.replace(aside, self._path)
        except OSError:
            if os.path.exists(aside):
                os.unlink(aside)
            raise
        if self._written > LARGEST_REPLACED:
            self._is_large, self._kept = True, []

    def _go_on(self, new: list[bytes], rest: bytes) -> None:
        with open(self._path, "r+b") as file:
            file.seek(self._written)
            for piece in new:
                file.write(piece)
            file.write(rest)
            file.truncate()
        self._written += sum(map(len, new))

    # What is written

    def _news(self) -> int:
        """About how many bytes are new."""
        cells, size = self._notebook.cells, 0
        first = self._outputs
        for cell in cells[self._cell : self._cell + 2]:
            size += sum(map(_size, cell.get("outputs", [])[first:]))
            first = 0
        return size

    def _stable(self) -> Iterator[bytes]:
        """What will not change any more: cells that are done, and outputs of the present one.

        Its last output may still grow.
        """
        cells = self._notebook.cells
        if self._cell < len(cells) and self._outputs > len(cells[self._cell].get("outputs", [])):
            self._forget()  # what was written has been cleared
        if not self._cell and not self._outputs and not self._written:
            yield b'{"cells": ['
        while self._cell < len(cells):
            cell = cells[self._cell]
            is_done = _is_done(cell)
            outputs = cell.get("outputs", []) if _is_code(cell) else []
            until = len(outputs) if is_done else len(outputs) - 1
            if not is_done and until <= self._outputs:
                return
            if not self._outputs:
                yield _head(cell, self._cell)
            while self._outputs < until:
                yield from _output(outputs[self._outputs], self._outputs)
                self._outputs += 1
            if not is_done:
                return
            yield _tail(cell)
            self._cell += 1
            self._outputs = 0

    def _rest(self) -> Iterator[bytes]:
        """All behind it, as it is now."""
        cells = self._notebook.cells
        for number in range(self._cell, len(cells)):
            cell, first = cells[number], self._outputs if number == self._cell else 0
            if not first:
                yield _head(cell, number)
            outputs = cell.get("outputs", []) if _is_code(cell) else []
            for at in range(first, len(outputs)):
                yield from _output(outputs[at], at)
            yield _tail(cell)
        others = {key: value for key, value in self._notebook.items() if key != "cells"}
        yield b"\n], " + json.dumps(others, separators=(",", ":")).encode()[1:] + b"\n"


def _is_code(cell: Cell) -> bool:
    return bool(cell.get("cell_type") == "code")


def _is_done(cell: Cell) -> bool:
    status = (cell["metadata"].get("papermill") or {}).get("status")
    return status in ("completed", "failed")


def _head(cell: Cell, number: int) -> bytes:
    """The cell up to its outputs."""
    shown = {k: v for k, v in cell.items() if k not in ("outputs", *_LAST_IN_CELL)}
    text = json.dumps(shown, separators=(",", ":"))[:-1]
    outputs = ',"outputs":[' if _is_code(cell) else ""
    return f"{',' if number else ''}\n{text}{outputs}".encode()


def _tail(cell: Cell) -> bytes:
    shown = {k: cell[k] for k in _LAST_IN_CELL if k in cell}
    text = json.dumps(shown, separators=(",", ":"))[1:]
    return f"{'],' if _is_code(cell) else ','}{text}".encode()


def _output(output: dict[str, Any], number: int) -> Iterator[bytes]:
    """An output, in pieces: who encodes a long text at once keeps all other threads waiting."""
    if number:
        yield b","
    if _size(output) < _SLICE:
        yield json.dumps(output, separators=(",", ":")).encode()
    else:
        yield from _encoded(output)


def _encoded(value: Any) -> Iterator[bytes]:
    if isinstance(value, dict):
        for number, (key, inner) in enumerate(value.items()):
            yield f"{',' if number else '{'}{json.dumps(key)}:".encode()
            yield from _encoded(inner)
        yield b"}" if value else b"{}"
    elif isinstance(value, str) and len(value) > _SLICE:
        yield b'"'
        for at in range(0, len(value), _SLICE):
            yield json.dumps(value[at : at + _SLICE])[1:-1].encode()
        yield b'"'
    else:
        yield json.dumps(value, separators=(",", ":")).encode()


def _size(output: dict[str, Any]) -> int:
    """About how long an output is as text."""
    text = output.get("text")
    if isinstance(text, str):
        return len(text)
    data = output.get("data") or {}
    return 100 + sum(len(each) if isinstance(each, str) else 1000 for each in data.values())
