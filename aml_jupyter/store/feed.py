"""Following a log from outside: what is new since the last look, in bounded pieces."""

from __future__ import annotations

import codecs
import os
from pathlib import Path

LOG_CHUNK = 256 * 1024


class LogTail:
    """Follows a log by byte offset, a bounded piece at a time."""

    def __init__(self, path: Path, offset: int = 0) -> None:
        self._path = path
        self.offset = offset
        self._decoder = _decoder()

    def read(self, limit: int = LOG_CHUNK) -> bytes:
        """What was written since the last call, at most ``limit`` bytes of it."""
        try:
            with open(self._path, "rb") as file:
                file.seek(self.offset)
                data = file.read(limit)
        except FileNotFoundError:
            return b""
        self.offset += len(data)
        return data

    def text(self, limit: int = LOG_CHUNK) -> str:
        """The same as text; a character of which only a part is there yet comes with the rest."""
        while data := self.read(limit):
            if text := self._decoder.decode(data):
                return text
        return ""

    def skip_to_tail(self, limit: int = LOG_CHUNK) -> bool:
        """Pass over all but the last ``limit`` bytes; whether anything was passed over."""
        try:
            size = self._path.stat().st_size
        except FileNotFoundError:
            return False
        if size - self.offset <= limit:
            return False
        self.offset = size - limit
        self._decoder = _decoder()
        return True


def _decoder() -> codecs.IncrementalDecoder:
    return codecs.getincrementaldecoder("utf-8")("replace")


def read_tail(path: Path, limit: int) -> bytes:
    """The last ``limit`` bytes of a file; empty when there is none."""
    try:
        with open(path, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - limit))
            return file.read()
    except FileNotFoundError:
        return b""
