"""What a terminal would show of the bytes that a job prints."""

from __future__ import annotations

import re

COLOUR = re.compile(r"\x1b\[([0-9;:]*)m")
"""A sequence that sets colour or weight."""

_OTHER = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-ln-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[@-Z\\-_]"
    r"|[\x00-\x08\x0b-\x1a\x1c-\x1f\x7f]"
)


def last_state(line: str) -> str:
    r"""What stands in a line after every ``\r`` in it has gone back to its beginning."""
    return line[line.rfind("\r") + 1 :]


def printable(text: str) -> str:
    """The text without what moves cursors or rings bells; colours stay."""
    return _OTHER.sub("", text)


def plain(text: str) -> str:
    """The text alone."""
    return COLOUR.sub("", printable(text))
