"""Words and numbers as readers see them: escaped, cut to size, and safe to keep in a notebook."""

from __future__ import annotations

import html
import math
import re
import unicodedata

INK = "var(--jp-ui-font-color1,currentColor)"
FAINT_INK = "var(--jp-ui-font-color2,#757575)"
GRID = "var(--jp-border-color2,rgba(128,128,128,.4))"
FAINT = f"color:{FAINT_INK}"
MONO = "font-family:var(--jp-code-font-family,monospace);font-size:12px"

# What XML cannot hold, what a notebook cannot be saved with (halves of surrogate pairs), and what
# makes the text around it read backwards.
_UNFIT = re.compile(
    "[^\t\n\r\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]|[\u202a-\u202e\u2066-\u2069]"
)
_SPACES = re.compile(r"\s+")


def clean(text: object) -> str:
    """``text`` with a mark in place of each character that could harm where it is kept or shown."""
    return _UNFIT.sub("\ufffd", str(text))


def escaped(text: object) -> str:
    """``text`` for HTML and SVG, between tags as well as in quoted attributes."""
    return html.escape(clean(text))


def short(text: object, most: int) -> str:
    """``text`` in one line at most ``most`` letters wide, ``…`` for the rest."""
    line = _SPACES.sub(" ", str(text)[: 2 * most + 2]).strip()
    used = 0
    for at, letter in enumerate(line):
        used += width_of(letter)
        if used > most:
            return line[: max(0, at - 1)].rstrip() + "…"
    return line if len(str(text)) <= 2 * most + 2 else line + "…"


def width_of(text: str) -> int:
    """How many letters wide ``text`` is; those of East Asia are two."""
    return sum(1 + (unicodedata.east_asian_width(letter) in "WF") for letter in text)


def side_by_side(items: str) -> str:
    """Elements in a row, in as many rows as it takes."""
    style = "display:flex;flex-wrap:wrap;align-items:flex-start;gap:8px 14px"
    return f'<div style="{style}">{items}</div>'


def shown_number(value: float) -> str:
    """A number as short as it can be read."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    if value == int(value) and abs(value) < 1e6:
        return str(int(value))
    return tidy(f"{value:.4g}")


def tidy(number: str) -> str:
    """A number's text with the short form of its exponent: ``1e6`` for ``1e+06``."""
    digits, e, exponent = number.partition("e")
    return f"{digits}e{int(exponent)}" if e else digits


def shown_time(seconds: float | None) -> str:
    """A duration: ``0:01:23``, days when there are any; empty for None."""
    if seconds is None:
        return ""
    whole = max(0, int(seconds))
    days, rest = divmod(whole, 86400)
    clock = f"{rest // 3600}:{rest // 60 % 60:02}:{rest % 60:02}"
    return f"{days} d {clock}" if days else clock
