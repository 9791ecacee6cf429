"""How far a run is by its own word: the progress bar that it prints, as a number."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from .terminal import plain


@dataclass(frozen=True)
class Progress:
    """What a progress bar says: in words, from 0 to 1, and seconds until done where it guesses."""

    text: str
    done: float | None
    left: float | None


_TIME = r"(?:(?:\d+ days?, )?\d+:\d\d(?::\d\d)?|\?)"
# tqdm:   Epoch 3:  45%|████▌     | 45/100 [00:12<00:14,  3.7it/s]
_TQDM = re.compile(rf"^(?P<what>.*?)\s*(?P<percent>\d+)%\|[^|]*\|\s*(?P<count>\S+/\S+)"
                   rf"\s*\[{_TIME}<(?P<left>{_TIME})")  # fmt: skip
# Keras:  12/100 ━━━━━━━━━━━━━━━━━━━━ 3s 40ms/step - loss: 0.1   or   12/100 [==>....] - ETA: 3s
_KERAS = re.compile(
    r"^\s*(?P<at>\d+)/(?P<of>\d+)\s+(?:\[[=>.]+\] - ETA: |[━─-]+\s*)(?P<left>[\d:]+)s?(?:\s|$)"
)
# rich:   Training ━━━━━━━━━━╸          45% 0:00:12
_RICH = re.compile(
    rf"^(?P<what>.*?)\s*[━╸╺ ]{{5,}}\s*(?P<percent>\d+)%\s+-?(?P<left>{_TIME}|-:--:--)"
)


def progress_in(lines: Iterable[str]) -> Progress | None:
    """The last progress bar among ``lines``, the newest of which comes last."""
    for line in reversed(list(lines)):
        text = plain(line)
        for read in (_read_tqdm, _read_keras, _read_rich):
            progress = read(text)
            if progress is not None:
                return progress
    return None


def _read_tqdm(line: str) -> Progress | None:
    found = _TQDM.search(line)
    if found is None:
        return None
    what = found["what"].rstrip(": ")
    text = f"{what} {found['count']}".strip()
    return Progress(text, _part(found["percent"]), _seconds(found["left"]))


def _read_keras(line: str) -> Progress | None:
    found = _KERAS.match(line)
    if found is None or int(found["at"]) > int(found["of"]):
        return None
    done = int(found["at"]) / max(1, int(found["of"]))
    return Progress(f"{found['at']}/{found['of']}", done, _seconds(found["left"]))


def _read_rich(line: str) -> Progress | None:
    found = _RICH.search(line)
    if found is None:
        return None
    return Progress(found["what"].strip(), _part(found["percent"]), _seconds(found["left"]))


def _part(percent: str) -> float:
    return min(1.0, int(percent) / 100)


def _seconds(text: str) -> float | None:
    """``1:02:03`` in seconds; a number alone is seconds; None for what is no time."""
    days, _, clock = text.rpartition(", ")
    parts = clock.split(":")
    if not all(part.isdigit() for part in parts):
        return None
    seconds = 0.0
    for part in parts:
        seconds = seconds * 60 + int(part)
    return seconds + 86400 * int(days.split()[0]) if days else seconds
