"""What stays at home when a folder is taken along.

``.amlignore`` at the root of the source folder counts, else ``.gitignore`` there; they are never
merged, and nested ones are not read. The syntax is git's. As in SDK v1 the last pattern that
matches a path or one of its folders decides, so ``!data/keep.csv`` after ``data/`` brings that
file back.

Some things are always left out, whatever the file says: our own folder, ``.git`` (SDK v1 took it
along unless it was listed), caches of Python and Jupyter, and the log folders of earlier runs.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from ..errors import SnapshotException

LEFT_OUT_ANYWHERE = frozenset({".aml", ".git", "__pycache__", ".ipynb_checkpoints"})
LEFT_OUT_AT_ROOT = frozenset({"azureml-logs", "logs/azureml", "system_logs", "user_logs"})

NOT_NAMED = -1
"""The verdict on a path that no pattern matches."""

# What pathspec writes before a pattern without a slash, and at the end of any pattern.
_ANYWHERE = "^(?:.+/)?"
_FOLDER = "(?P<ps_d>/)"
_FILE_OR_FOLDER = f"(?:{_FOLDER}|$)"


@dataclass(frozen=True)
class _Pattern:
    """One line of an ignore file; ``name`` or ``path`` is a regular expression for all of it."""

    number: int
    negated: bool
    folders_only: bool
    segments: tuple[str, ...]
    name: str = ""
    path: str = ""


class IgnoreRules:
    """Says what an ignore file leaves out. Verdicts are numbers: that of the pattern that decides.

    A walk passes the verdict on a folder down to what it holds, so every name is matched once,
    by one regular expression.
    """

    def __init__(self, patterns: Sequence[_Pattern] = ()) -> None:
        # One more entry at the end, where NOT_NAMED (-1) finds it.
        self._leaves_out = [not pattern.negated for pattern in patterns] + [False]
        self._negations = [p for p in patterns if p.negated and p.path]
        self._files = _Matcher([p for p in patterns if not p.folders_only])
        self._folders = _Matcher(patterns)

    def on_file(self, path: str, name: str, inherited: int) -> int:
        """The verdict on a file in a folder with the verdict ``inherited``."""
        return max(inherited, self._files.last(path, name))

    def on_folder(self, path: str, name: str, inherited: int) -> int:
        """The verdict on a folder in a folder with the verdict ``inherited``."""
        return max(inherited, self._folders.last(path, name))

    def leaves_out(self, verdict: int) -> bool:
        """True if a path with this verdict is not taken along."""
        return self._leaves_out[verdict]

    def may_return_below(self, path: str, verdict: int) -> bool:
        """True if a later ``!pattern`` names something inside this folder, which is left out.

        A ``!pattern`` without a slash does not reopen folders, or ``!*.py`` would bring back
        whole environments.
        """
        parts = path.split("/")
        return any(n.number > verdict and _reaches(n.segments, parts) for n in self._negations)


class _Matcher:
    """Finds the last pattern that matches, by trying them backwards as one alternation."""

    def __init__(self, patterns: Sequence[_Pattern]) -> None:
        backwards = list(reversed(patterns))
        self._name_numbers = [0] + [p.number for p in backwards if p.name]
        self._path_numbers = [0] + [p.number for p in backwards if p.path]
        self._names = _alternation([p.name for p in backwards if p.name])
        self._paths = _alternation([p.path for p in backwards if p.path])

    def last(self, path: str, name: str) -> int:
        verdict = NOT_NAMED
        if self._names and (match := self._names.match(name)):
            verdict = self._name_numbers[match.lastindex or 0]
        if self._paths and (match := self._paths.match(path)):
            verdict = max(verdict, self._path_numbers[match.lastindex or 0])
        return verdict


def _alternation(expressions: list[str]) -> re.Pattern[str] | None:
    return re.compile("|".join(f"({e})" for e in expressions), re.DOTALL) if expressions else None


def _reaches(segments: Sequence[str], parts: Sequence[str]) -> bool:
    """True if a pattern with these segments can match something below the folder ``parts``."""
    for part, segment in zip(parts, segments, strict=False):
        if segment == "**":
            return True
        if not fnmatchcase(part, segment):
            return False
    return len(segments) > len(parts)


def find_ignore_file(directory: Path) -> Path | None:
    """The ignore file that counts for this source folder, if there is one."""
    for name in (".amlignore", ".gitignore"):
        path = directory / name
        if path.is_symlink() or path.exists():
            return path
    return None


def read_rules(directory: Path) -> IgnoreRules:
    """The rules of the source folder's ignore file; none if it has no such file."""
    path = find_ignore_file(directory)
    if path is None:
        return IgnoreRules()
    try:
        text = path.read_bytes().decode("utf-8", "surrogateescape")
    except OSError as error:
        raise SnapshotException(
            f"The ignore file {path} cannot be read: {error.strerror}.",
            "Make it a readable text file, or remove it.",
        ) from error
    return parse_rules(text.removeprefix("\ufeff"), path)


def parse_rules(text: str, path: Path) -> IgnoreRules:
    """The rules in the text of an ignore file; ``path`` is named if a line makes no sense."""
    patterns: list[_Pattern] = []
    for number, line in enumerate(text.split("\n"), start=1):
        try:
            pattern = _read_line(line, len(patterns))
        except (ValueError, re.error) as error:
            raise SnapshotException(
                f"Line {number} of {path} is not a pattern: {line.strip()!r}.",
                "Correct or remove the line; the syntax is that of a .gitignore file.",
            ) from error
        if pattern:
            patterns.append(pattern)
    return IgnoreRules(patterns)


def _read_line(line: str, number: int) -> _Pattern | None:
    # Its import takes longer than a small snapshot; most folders of one script have no such file.
    from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern

    expression, include = GitIgnoreSpecPattern.pattern_to_regex(line.rstrip("\r"))
    if expression is None or include is None:
        return None
    everything = expression == _FOLDER
    folders_only = _FOLDER in expression and _FILE_OR_FOLDER not in expression
    # The trailing slash is dropped: files and folders have a matcher each.
    whole = "." if everything else _up_to_the_end(expression)
    re.compile(whole)
    body = line.strip().removeprefix("!")
    segments = tuple(body.strip("/").split("/"))
    floating = "/" not in body.rstrip("/")
    if floating and whole.startswith(_ANYWHERE):
        name, path = whole.removeprefix(_ANYWHERE), ""
    elif whole == ".":
        name, path = whole, ""
    else:
        name, path = "", whole if whole.startswith("^") else f".*{whole}"
    return _Pattern(number, not include, folders_only, segments, name, path)


def _up_to_the_end(expression: str) -> str:
    """The expression for one path without a trailing slash (``$`` would let a newline follow)."""
    return expression.replace(_FILE_OR_FOLDER, r"\Z").replace(_FOLDER, r"\Z")
