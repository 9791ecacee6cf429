"""Small words that people write on command lines and in magics."""

from __future__ import annotations

import re

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


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


def parse_tag(text: str) -> tuple[str, str]:
    """Key and value from ``key=value``; ValueError for anything else."""
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise ValueError("write it as key=value")
    return key, value
