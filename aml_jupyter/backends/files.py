"""Reading files of runs that lie on this machine."""

from __future__ import annotations

import os

from ..job import layout


def read_below(folder: str, path: str, offset: int, limit: int) -> bytes:
    """Bytes of a file in a run's folder; empty when there are none (yet)."""
    try:
        with open(os.path.join(folder, layout.artifact_name(path)), "rb") as file:
            file.seek(offset)
            return file.read(limit)
    except (FileNotFoundError, IsADirectoryError):
        return b""
