"""The end of a log as a person should see it: progress bars in place, colours, a bounded length."""

from __future__ import annotations

import html
import re
from collections import deque
from collections.abc import Iterator

LINES = 400
_WIDEST = 2000

_COLOUR = re.compile(r"\x1b\[([0-9;]*)m")
_OTHER = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-ln-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[@-Z\\-_]"
    r"|[\x00-\x08\x0b-\x1a\x1c-\x1f\x7f]"
)
# Readable on light and on dark.
_COLOURS = ("#8a8d93", "#d9534f", "#1a9c50", "#b58900", "#2f8fdd", "#c05fb5", "#258f8f", "#8a8d93")


class LogText:
    r"""Keeps the last lines of a log that arrives in pieces.

    ``\r`` returns to the start of the line, so that of a progress bar its last state remains.
    """

    def __init__(self, lines: int = LINES) -> None:
        self._lines: deque[str] = deque(maxlen=lines)
        self._open = ""

    def feed(self, text: str, reset: bool = False) -> bool:
        """Take in more text, after a gap if ``reset``; whether anything changed."""
        if reset:
            self._lines.clear()
            self._open = ""
            text = text.partition("\n")[2]
            self._lines.append("… (earlier lines are in the log file)")
        if not text:
            return reset
        *whole, rest = (self._open + text).split("\n")
        for line in whole[-(self._lines.maxlen or 0) :]:
            self._lines.append(_bounded(_last_state(line.rstrip("\r"))))
        ending = "\r" if rest.endswith("\r") else ""
        self._open = _bounded(_last_state(rest.rstrip("\r"))) + ending
        return True

    def lines(self) -> list[str]:
        """The lines, oldest first, the unfinished one last."""
        return [*self._lines, *([self._open.rstrip("\r")] if self._open else [])]

    def text(self, lines: int | None = None) -> str:
        """The last lines without colours."""
        shown = self.lines()[-lines:] if lines else self.lines()
        return "\n".join(_COLOUR.sub("", _OTHER.sub("", line)) for line in shown)

    def html(self, lines: int | None = None) -> str:
        """The last lines escaped for HTML, with colours as spans."""
        shown = self.lines()[-lines:] if lines else self.lines()
        return "".join(_coloured(_OTHER.sub("", "\n".join(shown))))


def _last_state(line: str) -> str:
    return line[line.rfind("\r") + 1 :]


def _bounded(line: str) -> str:
    return line if len(line) <= _WIDEST else line[:_WIDEST] + " …"


def _coloured(text: str) -> Iterator[str]:
    style = ""
    parts = _COLOUR.split(text)
    for plain, codes in zip(parts[::2], [*parts[1::2], ""], strict=True):
        if plain:
            escaped = html.escape(plain)
            yield f'<span style="{style}">{escaped}</span>' if style else escaped
        style = _style(codes, style)


def _style(codes: str, style: str) -> str:
    """The style after a colour sequence; what it does not know leaves the style as it is."""
    for code in (int(c) for c in (codes or "0").split(";") if c):
        if code == 0:
            style = ""
        elif code == 1:
            style += "font-weight:bold;"
        elif 30 <= code <= 37 or 90 <= code <= 97:
            style += f"color:{_COLOURS[code % 10]};"
        elif code == 39:
            style = re.sub(r"color:#\w+;", "", style)
        elif code in (38, 48):
            break
    return style
