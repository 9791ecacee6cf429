"""What came of samples, kept in a JSON file, so that they need not be played all at once."""

from __future__ import annotations

import fcntl
import json
from dataclasses import asdict
from pathlib import Path

from .harness import Outcome
from .samples import find


def add(path: Path, outcome: Outcome) -> None:
    """Keep an outcome; one of the same sample is replaced."""
    with open(path, "a+", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        kept = json.loads(file.read() or "{}")
        facts = {**asdict(outcome), "printed": ""}
        del facts["sample"]
        kept[outcome.sample.key] = facts
        file.seek(0)
        file.truncate()
        file.write(json.dumps(kept, indent=1))


def read(path: Path) -> dict[str, Outcome]:
    """All that is kept, by the numbers of the samples."""
    kept = json.loads(path.read_text(encoding="utf-8"))
    return {key: Outcome(find(key), **facts) for key, facts in kept.items()}
