"""The end of a log as a person should see it: progress bars in place, colours, a bounded length."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace

from .markup import clean, escaped
from .terminal import COLOUR, last_state, plain, printable

LINES = 400
_WIDEST = 2000

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
            self._lines.append(_bounded(last_state(line.rstrip("\r"))))
        ending = "\r" if rest.endswith("\r") else ""
        self._open = _bounded(last_state(rest.rstrip("\r"))) + ending
        return True

    def lines(self) -> list[str]:
        """The lines, oldest first, the unfinished one last."""
        return [*self._lines, *([self._open.rstrip("\r")] if self._open else [])]

    def text(self, lines: int | None = None) -> str:
        """The last lines without colours."""
        shown = self.lines()[-lines:] if lines else self.lines()
        return "\n".join(clean(plain(line)) for line in shown)

    def html(self, lines: int | None = None) -> str:
        """The last lines escaped for HTML, with colours as spans."""
        shown = self.lines()[-lines:] if lines else self.lines()
        return "".join(_coloured(printable("\n".join(shown))))


def _bounded(line: str) -> str:
    return line if len(line) <= _WIDEST else line[:_WIDEST] + " …"


@dataclass(frozen=True)
class _Pen:
    """How text is written from here on."""

    colour: str = ""
    bold: bool = False

    @property
    def style(self) -> str:
        weight = "font-weight:bold;" if self.bold else ""
        return weight + (f"color:{self.colour};" if self.colour else "")

    def after(self, code: int) -> _Pen:
        """The pen after one code; what it does not know leaves it as it is."""
        if code == 0:
            return _Pen()
        if code in (1, 22):
            return replace(self, bold=code == 1)
        if 30 <= code <= 37 or 90 <= code <= 97:
            return replace(self, colour=_COLOURS[code % 10])
        return replace(self, colour="") if code == 39 else self


def _coloured(text: str) -> Iterator[str]:
    pen = _Pen()
    parts = COLOUR.split(text)
    for words, codes in zip(parts[::2], [*parts[1::2], ""], strict=True):
        if words:
            style = pen.style
            yield f'<span style="{style}">{escaped(words)}</span>' if style else escaped(words)
        pen = _after(pen, codes)


def _after(pen: _Pen, codes: str) -> _Pen:
    """The pen after a colour sequence. An empty code is 0; 38 and 48 take the rest for theirs."""
    for code in re.split("[;:]", codes):
        number = int(code or "0") if len(code) < 4 else -1
        if number in (38, 48):
            break
        pen = pen.after(number)
    return pen
