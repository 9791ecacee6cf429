"""Small words: what people write on command lines and in magics, and names that mean secrets."""

from __future__ import annotations

import re

HIDDEN = "•••"
"""Stands where a secret would."""

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_BYTES = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?")
_SECRET = re.compile(
    r"(^|_)(token|password|passwd|pwd|secret|secrets|api_?key|access_?key|credentials?)($|_)", re.I
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


def looks_secret(name: str) -> bool:
    """Whether what goes by that name (a variable, an option) should not be shown or recorded."""
    return _SECRET.search(re.sub(r"[-. ]", "_", name)) is not None


def holds_secret(value: object, deepest: int = 50) -> bool:
    """Whether a plain value has, at any depth, a key that looks like a secret's name."""
    if isinstance(value, dict):
        named = any(isinstance(key, str) and looks_secret(key) for key in value)
        return named or (deepest > 0 and any(holds_secret(v, deepest - 1) for v in value.values()))
    if isinstance(value, (list, tuple, set, frozenset)):
        return deepest > 0 and any(holds_secret(item, deepest - 1) for item in value)
    return False
