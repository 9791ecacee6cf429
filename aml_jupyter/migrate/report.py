"""What was found: line by line, for each file, and for all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .sources import Place

SAME, DIFFERS, CANNOT = "same", "differs", "cannot"
"""Runs as it is; runs, with a difference; cannot run here."""

_WORST = (SAME, DIFFERS, CANNOT)


@dataclass(frozen=True)
class Finding:
    """One use of v1: where, what of v1, and what becomes of it here."""

    place: Place
    verdict: str
    subject: str
    text: str = ""
    """What is different, or why it cannot run."""
    way: str = ""
    """The nearest way to the same end."""


@dataclass(frozen=True)
class Group:
    """The same thing found in several lines."""

    verdict: str
    subject: str
    text: str
    way: str
    places: Sequence[Place]


@dataclass
class FileReport:
    """What was found in one file."""

    path: Path
    kind: str
    findings: list[Finding] = field(default_factory=list)
    problems: list[tuple[Place, str]] = field(default_factory=list)
    """What could not be understood, with its line."""

    @property
    def lines(self) -> dict[Place, str]:
        """Each line that uses v1, with the worst of what was found in it."""
        found: dict[Place, str] = {}
        for each in self.findings:
            before = found.get(each.place, SAME)
            found[each.place] = max(before, each.verdict, key=_WORST.index)
        return found

    @property
    def counts(self) -> Counter[str]:
        """How many lines run as they are, run differently, cannot run."""
        return Counter(self.lines.values())

    @property
    def score(self) -> int | None:
        """How many percent of its lines that use v1 run here; None where no line does."""
        return score_of(self.counts)

    @property
    def runs(self) -> bool:
        """Whether nothing stands in its way."""
        return not self.problems and not self.counts[CANNOT]

    def groups(self, verdicts: Iterable[str] = (CANNOT, DIFFERS)) -> list[Group]:
        """The findings of these kinds, the same ones together, in the order asked for."""
        found: dict[tuple[str, str, str, str], list[Place]] = {}
        for each in self.findings:
            key = (each.verdict, each.subject, each.text, each.way)
            places = found.setdefault(key, [])
            if each.place not in places:
                places.append(each.place)
        wanted = list(verdicts)
        kept = [Group(*key, places) for key, places in found.items() if key[0] in wanted]
        return sorted(kept, key=lambda group: wanted.index(group.verdict))

    def to_json(self, root: Path) -> dict[str, Any]:
        """All of it, for programs."""
        return {
            "path": shown_path(self.path, root),
            "kind": self.kind,
            "score": self.score,
            "runs": self.runs,
            "lines": {verdict: self.counts[verdict] for verdict in _WORST},
            "problems": [
                {"line": place.line, "cell": place.cell, "text": text}
                for place, text in self.problems
            ],
            "findings": [
                {
                    "line": each.place.line,
                    "cell": each.place.cell,
                    "verdict": each.verdict,
                    "subject": each.subject,
                    "text": each.text,
                    "way": each.way,
                }
                for each in self.findings
            ],
        }


@dataclass(frozen=True)
class Report:
    """What was found in all files, without those that have nothing of v1."""

    root: Path
    files: Sequence[FileReport]
    others: int = 0
    """How many files were looked at that have nothing of v1."""

    @property
    def counts(self) -> Counter[str]:
        """How many lines run as they are, run differently, cannot run."""
        return sum((each.counts for each in self.files), Counter())

    @property
    def score(self) -> int | None:
        """How many percent of all lines that use v1 run here; None where no line does."""
        return score_of(self.counts)

    @property
    def runs(self) -> bool:
        """Whether nothing stands in the way of any file."""
        return all(each.runs for each in self.files)

    def to_json(self) -> dict[str, Any]:
        """All of it, for programs."""
        return {
            "path": str(self.root),
            "score": self.score,
            "runs": self.runs,
            "lines": {verdict: self.counts[verdict] for verdict in _WORST},
            "without_v1": self.others,
            "files": [each.to_json(self.root) for each in self.files],
        }


def score_of(counts: Counter[str]) -> int | None:
    """Percent of lines that run; 100 only where all of them do."""
    total = sum(counts.values())
    return (total - counts[CANNOT]) * 100 // total if total else None


def shown_path(path: Path, root: Path) -> str:
    """The path below the folder that was asked about, or the file's name."""
    return path.name if path == root else path.relative_to(root).as_posix()
