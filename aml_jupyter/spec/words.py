"""Small words: what people write and read of sizes and times, and names that mean secrets."""

from __future__ import annotations

import re
import time

from ..errors import meant as meant
from ..errors import near as near

HIDDEN = "•••"
"""Stands where a secret would."""

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_BYTES = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_AGES = ((86400, "d"), (3600, "h"), (60, "min"))
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?")
_KINDS_OF_KEYS = (
    "access|account|api|auth|encryption|master|private|secret|service|shared|signing|ssh|storage"
    "|subscription"
)
_SECRET = re.compile(
    rf"(^|_)(token|password|passwd|pwd|passphrase|secret|secrets|credentials?|({_KINDS_OF_KEYS})_?key"
    r"|sas|conn(ection)?_?str(ing)?)($|_)|(^|_)pass$",
    re.I,
)
# Variables such as OPENAI_KEY; not the keys of tables, and public ones.
_VARIABLE_OF_A_KEY = re.compile(
    r"(?!.*(?:PUBLIC|PRIMARY|FOREIGN|SORT|PARTITION|INDEX)_)[A-Z][A-Z0-9_]*_KEY"
)


def parse_duration(text: str) -> int:
    """Seconds from ``90``, ``90s``, ``2h``, ``1h30m`` or ``1d``; ValueError for anything else."""
    wanted = text.strip().lower()
    parts = re.findall(r"(\d+(?:\.\d+)?)([smhd]?)", wanted)
    if not parts or "".join(number + unit for number, unit in parts) != wanted:
        raise ValueError("write it as 90s, 30m, 2h or 1d")
    seconds = int(sum(float(number) * _SECONDS[unit or "s"] for number, unit in parts))
    if seconds < 1:
        raise ValueError("it must be at least one second")
    return seconds


def parse_bytes(text: str) -> int:
    """Bytes from ``8G``, ``512MB`` or ``1.5GiB`` (all by 1024); ValueError for anything else."""
    found = _SIZE.fullmatch(text.strip().lower())
    size = int(float(found[1]) * _BYTES[found[2]]) if found else 0
    if size < 1:
        raise ValueError("write it as 512M, 8G or 1.5G")
    return size


def parse_tag(text: str) -> tuple[str, str]:
    """Key and value from ``key=value``; ValueError for anything else."""
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise ValueError("write it as key=value")
    return key, value


def shown_bytes(size: float) -> str:
    """Bytes as people ask for them: by 1024."""
    return _shown_by(1024, size, ("B", "KiB", "MiB", "GiB", "TiB"))


def shown_size(size: float) -> str:
    """The size of files and folders for people: by 1000."""
    return _shown_by(1000, size, ("B", "kB", "MB", "GB", "TB"))


def _shown_by(step: int, size: float, units: tuple[str, ...]) -> str:
    unit = 0
    while size >= step and unit < len(units) - 1:
        size, unit = size / step, unit + 1
    # Whole from 999.5 on, where three digits would be written as 1e+03.
    is_whole = not unit or size >= 999.5
    return f"{size:.0f} {units[unit]}" if is_whole else f"{size:.3g} {units[unit]}"


def shown_age(when: float | None) -> str:
    """The time since then, in one unit; empty for None."""
    if when is None:
        return ""
    seconds = max(0.0, time.time() - when)
    for size, unit in _AGES:
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return f"{int(seconds)} s"


def shown_duration(seconds: float | None) -> str:
    """A length of time for people: ``4.2 s``, ``3 min 05 s``, ``2 h 10 min``; "" for None."""
    if seconds is None:
        return ""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def looks_secret(name: str) -> bool:
    """Whether what goes by that name (a variable, an option) should not be shown or recorded."""
    word = re.sub(r"[-. ]", "_", name)
    return bool(_SECRET.search(word) or _VARIABLE_OF_A_KEY.fullmatch(word))


def holds_secret(value: object, deepest: int = 50) -> bool:
    """Whether a plain value has, at any depth, a key that looks like a secret's name."""
    if isinstance(value, dict):
        named = any(isinstance(key, str) and looks_secret(key) for key in value)
        return named or (deepest > 0 and any(holds_secret(v, deepest - 1) for v in value.values()))
    if isinstance(value, (list, tuple, set, frozenset)):
        return deepest > 0 and any(holds_secret(item, deepest - 1) for item in value)
    return False
