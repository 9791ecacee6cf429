"""``aml migrate``: what of a program for SDK v1 runs here, and the same with our import names.

Nothing is run or imported of what is looked at.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from . import settings, sources
from .flow import Walk
from .judge import judged, judged_line
from .report import CANNOT, DIFFERS, SAME, FileReport, Group, Report, shown_path
from .rewrite import rewritten
from .sources import Piece, Place, Source

__all__ = [
    "CANNOT",
    "DIFFERS",
    "SAME",
    "FileReport",
    "Group",
    "Place",
    "Report",
    "examine",
    "examined",
    "rewritten",
    "shown_path",
]

_MARK = "azureml"


def examine(root: Path, told: Callable[[int, int], None] = lambda done, total: None) -> Report:
    """What becomes of v1 in a file, or in all notebooks, scripts and settings below a folder.

    ``told`` hears after each file how many are done, and how many there are.
    """
    paths = sources.files_below(root)
    found: list[FileReport] = []
    for number, path in enumerate(paths, 1):
        report = examined(sources.read(path))
        if report.findings or report.problems:
            found.append(report)
        told(number, len(paths))
    return Report(root, found, len(paths) - len(found))


def examined(source: Source) -> FileReport:
    """What becomes of v1 in one file."""
    report = FileReport(source.path, source.kind)
    speaks_of_v1 = _MARK in source.text or source.path.suffix == ".runconfig"
    if source.problems and (speaks_of_v1 or not source.text):
        report.problems = list(source.problems)
    if not speaks_of_v1:
        return report
    if source.kind == sources.SETTINGS:
        settings.examined(source, report)
    else:
        _follow(source, report)
    return report


def _follow(source: Source, report: FileReport) -> None:
    together = Walk()
    walks = [together]
    for piece in source.pieces:
        if piece.apart:
            walks.append(Walk())
        if piece.tree is not None:
            _walk(walks[-1] if piece.apart else together, piece, report)
    uses = [use for walk in walks for use in walk.finish()]
    lines = [judged_line(line) for piece in source.pieces for line in piece.odd]
    found = [each for each in [*map(judged, uses), *lines] if each is not None]
    report.findings = sorted(found, key=lambda each: (each.place.cell or 0, each.place.line))


def _walk(walk: Walk, piece: Piece, report: FileReport) -> None:
    assert piece.tree is not None
    try:
        walk.walk(piece.tree, piece.cell)
    except RecursionError:
        report.problems.append((Place(1, piece.cell), "nested too deeply to be followed"))
