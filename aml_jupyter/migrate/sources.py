"""Files as pieces of Python: a script is one, a notebook has one for each of its code cells.

A piece keeps the text as it is in the file; what Python does not know (magics, shell lines) is
only masked for reading, line by line, so that every position holds for the text itself.
"""

from __future__ import annotations

import ast
import io
import json
import re
import tokenize
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .spans import CellSpan, cell_spans

NOTEBOOK, SCRIPT, SETTINGS = "notebook", "script", "settings"
KINDS = {
    ".ipynb": NOTEBOOK,
    ".py": SCRIPT,
    ".yml": SETTINGS,
    ".yaml": SETTINGS,
    ".runconfig": SETTINGS,
}
_SKIPPED = {".git", ".aml", ".ipynb_checkpoints", "__pycache__", "node_modules", "site-packages"}
_LINES = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+\Z")
_ODD = re.compile(r"(\s*)(?:[%!?].*|[\w.\[\]]+\?{1,2}\s*|[\w., ]+=\s*[!%].*)")
# Cell magics below which there is Python that we should see.
_STILL_PYTHON = {"time", "timeit", "capture", "prun", "matplotlib", "aml_run", "aml_capture"}
_TOO_DEEP = "nested too deeply to be read"


@dataclass(frozen=True)
class Place:
    """Where something stands: a line, and in a notebook the number of the code cell, from 1."""

    line: int
    cell: int | None = None

    def __str__(self) -> str:
        return str(self.line) if self.cell is None else f"{self.cell}:{self.line}"


@dataclass(frozen=True)
class OddLine:
    """A magic or a shell line: what Python does not know."""

    place: Place
    text: str


@dataclass
class Piece:
    """Python that is read on its own: a script, or what one code cell holds."""

    text: str
    cell: int | None = None
    span: CellSpan | None = None
    apart: bool = False
    """Whether it is a script that a cell writes, which shares no names with its notebook."""
    tree: ast.Module | None = None
    odd: list[OddLine] = field(default_factory=list)

    def lines(self) -> list[str]:
        """The lines, with the ends they have."""
        return lines_of(self.text)


@dataclass
class Source:
    """A file, read: its pieces, and what could not be understood."""

    path: Path
    kind: str
    text: str = ""
    encoding: str = "utf-8"
    pieces: list[Piece] = field(default_factory=list)
    problems: list[tuple[Place, str]] = field(default_factory=list)
    hooked: bool = False
    """Whether the notebook loads aml_jupyter by itself."""


def lines_of(text: str) -> list[str]:
    """The lines as Python counts them, with their ends; form feeds end none."""
    return _LINES.findall(text)


def files_below(root: Path) -> list[Path]:
    """The files worth reading, in the order of their names; links are not followed."""
    if not root.is_dir():
        return [root]
    found: list[Path] = []
    waiting = [root]
    while waiting:
        for entry in sorted(waiting.pop().iterdir()):
            if entry.is_symlink():
                continue
            if entry.is_dir():
                is_venv = (entry / "pyvenv.cfg").exists()
                if entry.name not in _SKIPPED and not is_venv:
                    waiting.append(entry)
            elif entry.suffix in KINDS and entry.is_file():
                found.append(entry)
    return sorted(found)


def read(path: Path) -> Source:
    """The file's pieces; what cannot be read is a problem of the source, never an error."""
    source = Source(path, KINDS.get(path.suffix, SCRIPT))
    try:
        _decode(source, path.read_bytes())
    except (OSError, SyntaxError, UnicodeError, LookupError) as error:
        source.problems.append((Place(1), _why(error)))
        return source
    if source.kind == NOTEBOOK:
        _read_notebook(source)
    elif source.kind == SCRIPT:
        source.pieces.append(Piece(source.text))
    for piece in source.pieces:
        _parse(source, piece)
    return source


def _decode(source: Source, content: bytes) -> None:
    if source.kind == SCRIPT:
        source.encoding, _ = tokenize.detect_encoding(io.BytesIO(content).readline)
    elif content.startswith(b"\xef\xbb\xbf"):
        source.encoding = "utf-8-sig"
    source.text = content.decode(source.encoding)


def _why(error: Exception) -> str:
    if isinstance(error, SyntaxError):
        return f"{error.msg}"
    if isinstance(error, UnicodeError):
        return "the file is not text in the encoding it names"
    return str(error)


# Notebooks ------------------------------------------------------------------------------------


def _read_notebook(source: Source) -> None:
    try:
        content = json.loads(source.text)
        cells = content["cells"]
        language = _language(content)
        spans = cell_spans(source.text)
    except RecursionError:
        source.problems.append((Place(1), _TOO_DEEP))
        return
    except (ValueError, KeyError, TypeError, AttributeError):
        source.problems.append((Place(1), "this is no notebook of format 4"))
        return
    if language not in ("", "python"):
        source.problems.append((Place(1), f"a notebook in {language}: only Python is read"))
        return
    number = 0
    for cell, span in zip(cells, spans, strict=False):
        if not isinstance(cell, dict) or cell.get("cell_type") != "code":
            continue
        number += 1
        text = cell.get("source", "")
        text = "".join(map(str, text)) if isinstance(text, list) else str(text)
        source.hooked |= re.search(r"^\s*%load_ext\s+aml_jupyter\b", text, re.M) is not None
        source.pieces.append(Piece(text, number, span))


def _language(content: dict[str, Any]) -> str:
    metadata = content.get("metadata", {})
    info = metadata.get("language_info") or metadata.get("kernelspec") or {}
    # `name` of a kernelspec is any word; only `language` of it is one.
    named = info.get("name") if "language_info" in metadata else info.get("language")
    return str(named or "").lower()


# Python ---------------------------------------------------------------------------------------


def _parse(source: Source, piece: Piece) -> None:
    try:
        piece.tree = _tree(piece)
    except SyntaxError as error:
        line = error.lineno or 1
        source.problems.append((Place(line, piece.cell), _why(error)))
    except (RecursionError, MemoryError):
        source.problems.append((Place(1, piece.cell), _TOO_DEEP))
    except ValueError as error:
        source.problems.append((Place(1, piece.cell), str(error)))


def _tree(piece: Piece) -> ast.Module:
    if piece.cell is None:
        return ast.parse(piece.text)
    lines = piece.lines()
    if lines and lines[0].lstrip().startswith("%%"):
        lines = _below_magic(piece, lines)
    try:
        return _parsed(lines)
    except SyntaxError:
        return _parsed(_masked(piece, lines))


def _parsed(lines: list[str]) -> ast.Module:
    """The tree of a cell, which may be indented as a whole."""
    first = next((line for line in lines if line.strip()), "")
    if not first[:1].isspace():
        return ast.parse("".join(lines))
    try:
        tree = ast.parse("".join(["if 1:\n", *lines]))
    except SyntaxError as error:
        error.lineno = max(1, (error.lineno or 1) - 1)
        raise
    whole = tree.body[0]
    if not isinstance(whole, ast.If) or whole.orelse or len(tree.body) > 1:
        raise SyntaxError("unindent does not match any outer indentation level")
    tree.body = whole.body
    return ast.increment_lineno(tree, -1)


def _below_magic(piece: Piece, lines: list[str]) -> list[str]:
    """The lines of a cell with a magic in front, as far as they are Python."""
    words = lines[0].strip()[2:].split()
    name = words[0] if words else ""
    writes_python = name == "writefile" and words[-1].strip("\"'").endswith(".py")
    piece.apart = writes_python
    piece.odd.append(OddLine(Place(1, piece.cell), lines[0].strip()))
    if name in _STILL_PYTHON or writes_python:
        return [_blank(lines[0]), *lines[1:]]
    if name in ("bash", "sh", "script", "!"):
        numbered = enumerate(lines[1:], 2)
        piece.odd += [OddLine(Place(at, piece.cell), f"!{line.strip()}") for at, line in numbered]
    return [_blank(line) for line in lines]


def _masked(piece: Piece, lines: list[str]) -> list[str]:
    """The lines with ``pass`` in place of magics and shell lines, which are noted."""
    masked = []
    goes_on = False
    for number, line in enumerate(lines, 1):
        bare = line.rstrip("\r\n")
        found = _ODD.fullmatch(bare)
        if goes_on or found is None:
            masked.append(_blank(line) if goes_on else line)
        else:
            piece.odd.append(OddLine(Place(number, piece.cell), bare.strip()))
            masked.append(f"{found[1]}pass{line[len(bare) :]}")
        goes_on = (goes_on or found is not None) and bare.endswith("\\")
    return masked


def _blank(line: str) -> str:
    return line[len(line.rstrip("\r\n")) :]
