"""The same program with our import names; every other byte stays where it is."""

from __future__ import annotations

import ast
import io
import json
import re
import tokenize
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from .. import __all__ as _PUBLIC
from ..compat import modules
from ..compat.names import SETTABLE
from .flow import V1, dotted, is_of_v1
from .sources import NOTEBOOK, SCRIPT, Piece, Source, lines_of

_OURS = "aml_jupyter"
_MODULE_OF_FROM = re.compile(r"(from[\s\\]+)([\w.\s\\]+?)([\s\\]+import\b)")
_LOAD = f"%load_ext {_OURS}"


@dataclass(frozen=True)
class Edit:
    """A stretch of text, and what comes in its place."""

    start: int
    end: int
    text: str


def rewritten(source: Source) -> str:
    """The text of the file with our import names; the same text where there is nothing to do."""
    if source.kind not in (NOTEBOOK, SCRIPT):
        return source.text
    chains = _Chains([piece.tree for piece in source.pieces if piece.tree is not None])
    edited = [(piece, _applied(piece.text, _edits(piece, chains))) for piece in source.pieces]
    if source.kind == SCRIPT:
        return edited[0][1] if edited else source.text
    return _notebook(source, edited)


def _applied(text: str, edits: Iterable[Edit]) -> str:
    for edit in sorted(edits, key=lambda each: each.start, reverse=True):
        text = f"{text[: edit.start]}{edit.text}{text[edit.end :]}"
    return text


# Which names go where -------------------------------------------------------------------------


def _ours(module: str, name: str) -> str | None:
    """The module of ours to import a name of v1 from; None if there is none."""
    room = modules.homes_of(module).get(name)
    if room is None or f"{module}.{name}" in SETTABLE:
        return None
    return _OURS if name in _PUBLIC else f"{_OURS}.{room}"


class _Chains:
    """What is reached through ``import azureml…`` in a file, and what becomes of it."""

    def __init__(self, trees: Sequence[ast.Module]) -> None:
        self.aliases: dict[str, str] = {}
        self.kept: set[str] = set()
        self._rebound: set[str] = set()
        for tree in trees:
            self._learn(tree)
        for tree in trees:
            self._look(tree)

    def _learn(self, tree: ast.Module) -> None:
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    if is_of_v1(alias.name):
                        bound = alias.asname or V1
                        self.aliases[bound] = alias.name if alias.asname else V1

    def _look(self, tree: ast.Module) -> None:
        for node, root in _roots(tree):
            if root in self.aliases and self.ours(node) is None:
                self.kept.add(root)

    def ours(self, node: ast.expr) -> str | None:
        """What a chain such as ``azureml.core.Workspace`` is called here, by its whole length."""
        root, _, rest = dotted(node).partition(".")
        module, _, name = f"{self.aliases.get(root, '')}.{rest}".rpartition(".")
        found = _ours(module, name)
        if found != _OURS:
            return None  # what is in a room of ours would need an import of its own
        return f"{_OURS if root == V1 else root}.{name}"

    def replacements(self, tree: ast.Module) -> Iterator[tuple[ast.expr, str]]:
        """Each chain that is called something else here."""
        for node, root in _roots(tree):
            if root in self.aliases and (root == V1 or root not in self.kept):
                found = self.ours(node)
                if found is not None and found != dotted(node):
                    yield node, found


def _roots(tree: ast.Module) -> Iterator[tuple[ast.expr, str]]:
    """Each chain from its first name to the first that begins with a capital, with that name."""
    inner: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and id(node) not in inner:
            *whole, first = _parts(node)
            inner.update(id(part) for part in (*whole, first))
            if isinstance(first, ast.Name):
                yield _named(whole), first.id
        elif isinstance(node, ast.Name) and id(node) not in inner:
            yield node, node.id


def _parts(node: ast.expr) -> list[ast.expr]:
    """The chain from its whole length down to what it begins with."""
    parts = [node]
    while isinstance(node, ast.Attribute):
        node = node.value
        parts.append(node)
    return parts


def _named(whole: list[ast.expr]) -> ast.expr:
    """The part that names something in a module: the innermost with a capital, else all."""
    for part in reversed(whole):
        if isinstance(part, ast.Attribute) and part.attr.lstrip("_")[:1].isupper():
            return part
    return whole[0]


# Python ---------------------------------------------------------------------------------------


def _edits(piece: Piece, chains: _Chains) -> Iterator[Edit]:
    if piece.tree is None:
        return
    lines = _Lines(piece.text)
    for node in ast.walk(piece.tree):
        if isinstance(node, ast.ImportFrom) and not node.level and is_of_v1(node.module or ""):
            yield from _of_from(node, lines)
        elif isinstance(node, ast.Import):
            yield from _of_import(node, lines, chains)
    for chain, name in chains.replacements(piece.tree):
        yield Edit(*lines.span(chain), name)


class _Lines:
    """A text whose positions are those of Python's syntax tree."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._lines = lines_of(text)
        self._starts = [0]
        for line in self._lines:
            self._starts.append(self._starts[-1] + len(line))

    def span(self, node: ast.stmt | ast.expr) -> tuple[int, int]:
        """Where the node begins and ends."""
        line, column = node.end_lineno or node.lineno, node.end_col_offset or 0
        return self._at(node.lineno, node.col_offset), self._at(line, column)

    def _at(self, line: int, column: int) -> int:
        # Columns are bytes of UTF-8.
        before = self._lines[line - 1].encode("utf-8")[:column].decode("utf-8")
        return self._starts[line - 1] + len(before)

    def indent(self, start: int) -> str | None:
        """What stands before a statement, if that is only space; else it has neighbours."""
        before = self.text[max(self._starts[: self._line(start)]) : start]
        return before if not before.strip() else None

    def _line(self, at: int) -> int:
        return sum(1 for start in self._starts if start <= at)


def _of_from(node: ast.ImportFrom, lines: _Lines) -> Iterator[Edit]:
    start, end = lines.span(node)
    module = node.module or ""
    sorted_out: dict[str, list[ast.alias]] = {}
    for alias in node.names:
        sorted_out.setdefault(_ours(module, alias.name) or module, []).append(alias)
    if list(sorted_out) == [module]:
        return
    text = lines.text[start:end]
    if len(sorted_out) == 1:
        found = _MODULE_OF_FROM.match(text)
        if found:
            (ours,) = sorted_out
            yield Edit(start + found.start(2), start + found.end(2), ours)
            return
    wanted = [f"from {name} import {_shown(names)}" for name, names in sorted_out.items()]
    yield Edit(start, end, _joined([*_comments(text), *wanted], lines, start))


def _of_import(node: ast.Import, lines: _Lines, chains: _Chains) -> Iterator[Edit]:
    start, end = lines.span(node)
    names: list[str] = []
    for alias in node.names:
        bound = alias.asname or alias.name.partition(".")[0]
        shown = _shown([alias])
        if not is_of_v1(alias.name):
            names.append(shown)
        elif alias.asname:
            names.append(shown if bound in chains.kept else f"{_OURS} as {alias.asname}")
        else:
            names += [shown, _OURS] if V1 in chains.kept else [_OURS]
    wanted = ", ".join(dict.fromkeys(names))
    if wanted != ", ".join(_shown([alias]) for alias in node.names):
        yield Edit(start, end, f"import {wanted}")


def _shown(names: Iterable[ast.alias]) -> str:
    return ", ".join(
        f"{each.name} as {each.asname}" if each.asname else each.name for each in names
    )


def _joined(statements: list[str], lines: _Lines, start: int) -> str:
    indent = lines.indent(start)
    if indent is None:
        return "; ".join(each for each in statements if not each.startswith("#"))
    newline = "\r\n" if "\r\n" in lines.text else "\n"
    return f"{newline}{indent}".join(statements)


def _comments(text: str) -> list[str]:
    """The comments inside a statement that is written anew."""
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
    except (tokenize.TokenError, SyntaxError):
        return []
    return [token.string for token in tokens if token.type == tokenize.COMMENT]


# Notebooks ------------------------------------------------------------------------------------


def _notebook(source: Source, edited: Sequence[tuple[Piece, str]]) -> str:
    changed = [(piece, text) for piece, text in edited if text != piece.text]
    edits = [_cell_edit(source.text, piece, text) for piece, text in changed]
    if not source.hooked and any(V1 in piece.text for piece in source.pieces):
        edits.append(_hook(source))
    return _applied(source.text, edits)


def _cell_edit(notebook: str, piece: Piece, text: str) -> Edit:
    assert piece.span is not None
    start, end = piece.span.source_start, piece.span.source_end
    return Edit(start, end, _encoded(text, notebook[start:end]))


def _encoded(text: str, before: str) -> str:
    """The source as JSON, laid out as it was."""
    ascii_only = "\\u" in before and before.isascii()
    if not before.startswith("["):
        return json.dumps(text, ensure_ascii=ascii_only)
    gap = before[1 : len(before) - len(before[1:].lstrip())]
    last = before[len(before[:-1].rstrip()) : -1]
    items = [json.dumps(line, ensure_ascii=ascii_only) for line in lines_of(text)]
    between = f",{gap}" if gap else ", "
    return f"[{gap}{between.join(items)}{last}]"


def _hook(source: Source) -> Edit:
    """A cell before the first one with code that loads the extension."""
    first = source.pieces[0].span
    assert first is not None
    content = json.loads(source.text)
    cell: dict[str, Any] = {
        "cell_type": "code",
        "execution_count": None,
        "metadata": {},
        "outputs": [],
    }
    if (content.get("nbformat", 4), content.get("nbformat_minor", 0)) >= (4, 5):
        cell = {"id": uuid.uuid5(uuid.NAMESPACE_URL, source.path.name).hex[:8], **cell}
    before = source.text[: first.start]
    margin = before[len(before.rstrip(" \t")) :]
    step = _step(source.text)
    newline = "\r\n" if "\r\n" in source.text else "\n"
    if not before.endswith(f"\n{margin}") or step is None:
        text = json.dumps({**cell, "source": [_LOAD]})
        return Edit(first.start, first.start, f"{text}, ")
    text = json.dumps({**cell, "source": [_LOAD]}, indent=step, sort_keys=True)
    laid = text.replace("\n", f"{newline}{margin}")
    return Edit(first.start, first.start, f"{laid},{newline}{margin}")


def _step(text: str) -> str | None:
    """How far the text of a notebook indents; None where it is all on one line."""
    found = re.match(r"\s*\{\r?\n([ \t]+)\"", text)
    return found[1] if found else None
