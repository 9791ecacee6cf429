"""The end of a log for a browser: a bounded number of lines, of which only what changed is sent.

The file is the truth and may be of any size; what a browser holds, and what travels to it a
second, is not.
"""

from __future__ import annotations

import re
import time
from collections import deque
from pathlib import Path
from typing import Any

from .terminal import last_state, printable

LINES = 2000
"""Lines that a browser holds."""

WINDOW = 128 * 1024
"""Bytes behind which a reader that cannot keep up falls at most before it passes some over."""

PIECE = 32 * 1024
"""Bytes read in one look: at four looks a second well below what a notebook server lets through."""

_WIDEST = 5000
_OPEN_BYTES = 4 * _WIDEST
_PAGE = 48 * 1024
_MATCHES = 200
_SEARCH_SECONDS = 20.0
_SEARCH_PIECE = 4 * 1024 * 1024
_MATCH_WIDTH = 300


class LogWindow:
    r"""Follows one log of a run; lines are numbered, a progress bar is one line in its last state.

    The last line may be unfinished: it is sent again, under its number, whenever it grows.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        self._path = folder / name
        self._begin()

    def _begin(self) -> None:
        self._lines: deque[tuple[int, str]] = deque(maxlen=LINES)
        self._first = 0
        self._open = b""
        self._open_more = 0
        self._open_at = 0
        self._offset = 0
        self._size = 0
        self._passed = 0
        self._in_gap = False
        self._changed = 0
        self._restarted = True

    @property
    def caught_up(self) -> bool:
        """Whether all that the file held at the last look has been taken in."""
        return self._offset >= self._size

    def look(self) -> bool:
        """Take in what is new, at most one piece of it; whether there was anything."""
        try:
            # A pipe in its place would keep whoever opens it waiting, and with it all views.
            if not self._path.is_file():
                return False
            with open(self._path, "rb") as file:
                self._size = file.seek(0, 2)
                if self._size < self._offset:  # another file by now
                    size = self._size
                    self._begin()
                    self._size = size
                self._keep_up()
                file.seek(self._offset)
                data = file.read(PIECE)
        except OSError:
            return False
        if data:
            self._take(data)
        return bool(data)

    def piece(self, ended: bool = False) -> dict[str, Any] | None:
        """What changed since the last piece, as the wire's LogPiece; None if nothing did."""
        # Lines that came and went between two pieces would leave a hole.
        if self._restarted or self._changed < self._first:
            return self.whole(ended)
        if self._changed > self._last:
            return None
        return self._piece(self._changed, ended, reset=False)

    def whole(self, ended: bool = False) -> dict[str, Any]:
        """All lines that are kept, for a browser that has none yet."""
        self._restarted = False
        return self._piece(self._first, ended, reset=True)

    def nothing(self, ended: bool = False) -> dict[str, Any]:
        """A piece without lines, to tell what else is new."""
        return self._piece(self._last + 1, ended, reset=False)

    @property
    def size(self) -> int:
        """Bytes that the file had at the last look."""
        return self._size

    def last_lines(self) -> list[str]:
        """The newest two lines, where a progress bar would be."""
        return self._texts(max(self._first, self._last - 1))

    def text(self) -> str:
        """The kept lines with their colour codes."""
        return "\n".join(self._texts(self._first))

    @property
    def _last(self) -> int:
        """The number of the last line; the unfinished one counts when there is something in it."""
        return self._first + len(self._lines) - (0 if self._open else 1)

    def _piece(self, first: int, ended: bool, reset: bool) -> dict[str, Any]:
        lines = self._texts(first)
        passed, self._passed = self._passed, 0
        self._changed = self._last + 1
        return {
            "file": self.name,
            "files": [],
            "first": first,
            "reset": reset,
            "lines": lines,
            "cut": self._lines[0][0] if self._lines else self._open_at,
            "passed": passed,
            "size": self._size,
            "ended": ended,
        }

    def _texts(self, first: int) -> list[str]:
        skipped = first - self._first
        lines = [text for _, text in list(self._lines)[skipped:]]
        if self._open and first <= self._last:
            lines.append(_shown(self._open, self._open_more))
        return lines

    def _keep_up(self) -> None:
        behind = self._size - self._offset
        if behind <= WINDOW:
            return
        self._finish_open()
        skipped = behind - WINDOW
        self._offset += skipped
        self._open_at = self._offset
        self._passed += skipped
        self._in_gap = True

    def _finish_open(self) -> None:
        if self._open:
            self._append(self._open_at, _shown(self._open, self._open_more))
            self._open, self._open_more = b"", 0

    def _take(self, data: bytes) -> None:
        at = self._offset
        self._offset += len(data)
        if self._in_gap:
            # The rest of a line whose beginning was passed over says little.
            rest = data.find(b"\n") + 1
            at, data, self._in_gap = at + rest, data[rest:], False
            self._open_at = at
        self._changed = min(self._changed, self._first + len(self._lines))
        *whole, rest_of_line = data.split(b"\n")
        for line in whole:
            self._extend(line)
            self._append(self._open_at, _shown(self._open, self._open_more))
            self._open, self._open_more = b"", 0
            at += len(line) + 1
            self._open_at = at
        self._extend(rest_of_line)

    def _append(self, at: int, text: str) -> None:
        if len(self._lines) == LINES:
            self._first += 1
        self._lines.append((at, text))

    def _extend(self, data: bytes) -> None:
        """Add to the unfinished line; of one that never ends only the beginning is kept."""
        returned = data.rstrip(b"\r").rfind(b"\r")
        if returned >= 0:
            self._open, self._open_more = data[returned + 1 :], 0
        elif self._open.endswith(b"\r") and data.strip(b"\r"):
            self._open, self._open_more = data, 0
        elif self._open_more:
            self._open_more += len(data)
            return
        else:
            self._open += data
        if len(self._open) > _OPEN_BYTES:
            self._open_more += len(self._open) - _OPEN_BYTES
            self._open = self._open[:_OPEN_BYTES]


def _shown(line: bytes, more: int = 0) -> str:
    text = printable(last_state(line.decode("utf-8", "replace").rstrip("\r")))
    more += max(0, len(text) - _WIDEST)
    return f"{text[:_WIDEST]} … ({more:,} more characters)" if more else text


def page(folder: Path, name: str, at: int, before: bool) -> dict[str, Any]:
    """Whole lines from the middle of a log: those that end before byte ``at``, or begin there."""
    with open(folder / name, "rb") as file:
        size = file.seek(0, 2)
        at = min(max(0, at), size)
        begin = max(0, at - _PAGE) if before else at
        file.seek(begin)
        data = file.read((at - begin) if before else _PAGE)
    if before and begin > 0:
        cut = data.find(b"\n") + 1
        begin, data = begin + cut, data[cut:]
    if not before and begin + len(data) < size:
        data = data[: data.rfind(b"\n") + 1] or data
    lines = [_shown(line) for line in data.removesuffix(b"\n").split(b"\n")] if data else []
    to = begin + len(data)
    return {"file": name, "from": begin, "to": to, "size": size, "lines": lines}


def find(folder: Path, name: str, text: str) -> dict[str, Any]:
    """The lines of a whole log that hold ``text``, whatever its case; the first few hundred."""
    wanted = re.compile(re.escape(text).encode(), re.IGNORECASE)
    matches: list[dict[str, Any]] = []
    give_up = time.monotonic() + _SEARCH_SECONDS
    at = 0
    rest = b""
    with open(folder / name, "rb") as file:
        while (data := file.read(_SEARCH_PIECE)) and time.monotonic() < give_up:
            block = rest + data
            whole = block.rfind(b"\n") + 1 or len(block)
            _collect(matches, wanted, block[:whole], at)
            at, rest = at + whole, block[whole:]
            if len(matches) > _MATCHES:
                break
        else:
            _collect(matches, wanted, rest, at)
            at, data = at + len(rest), data
    more = len(matches) > _MATCHES or bool(data)
    found = matches[:_MATCHES]
    return {"file": name, "text": text, "matches": found, "more": more, "searched": at}


def _collect(
    matches: list[dict[str, Any]], wanted: re.Pattern[bytes], block: bytes, at: int
) -> None:
    """Add one match for each line of ``block`` that has the text."""
    seen = -1
    for match in wanted.finditer(block):
        start = block.rfind(b"\n", 0, match.start()) + 1
        if start == seen:
            continue
        seen = start
        end = block.find(b"\n", match.end())
        line = block[start : end if end >= 0 else len(block)][: 4 * _MATCH_WIDTH]
        matches.append({"at": at + start, "line": _shown(line)[:_MATCH_WIDTH]})
        if len(matches) > _MATCHES:
            return
