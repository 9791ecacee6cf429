"""Where the names of a notebook come from: its own cells, and the modules it imported."""

from __future__ import annotations

import ast
import functools
import importlib.machinery
import inspect
import linecache
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class Binding:
    """The statement that gave a name its value: an import, a definition or a lambda."""

    statement: ast.stmt
    text: str
    origin: str


class Sources(Protocol):
    """What capturing a cell asks about the notebook around it."""

    def binding(self, name: str, value: object) -> Binding | None:
        """The statement that gave ``name`` this value, if it can be repeated elsewhere."""

    def only_here(self, module: str) -> Path | None:
        """The file of a module that an interpreter started elsewhere would not find."""


class NotebookSources:
    """Answers from the cells run so far, oldest first, as (label, code)."""

    def __init__(
        self, cells: Iterable[tuple[str, str]] = (), folders: Sequence[str | Path] = ()
    ) -> None:
        self._cells = list(cells)
        self._folders = [str(folder) for folder in folders]

    def binding(self, name: str, value: object) -> Binding | None:
        """The statement that gave ``name`` this value, if it can be repeated elsewhere."""
        return self._of_function(name, value) or self._of_name(name, value)

    def only_here(self, module: str) -> Path | None:
        """The file of a module that an interpreter started elsewhere would not find.

        That is what lies beside the notebook; ``folders`` travel along, so their modules are found.
        """
        top = module.partition(".")[0]
        if top in sys.builtin_module_names or top in ("aml_jupyter", "__main__"):
            return None
        file = _file_of(top)
        if file is None or not _is_own(file):
            return None
        found = importlib.machinery.PathFinder.find_spec(top, [*self._folders, *_path_elsewhere()])
        return None if found else file

    def _of_function(self, name: str, value: object) -> Binding | None:
        function = inspect.unwrap(value) if callable(value) else value
        code = getattr(function, "__code__", None)
        if not inspect.isfunction(function) or code is None or "<locals>" in function.__qualname__:
            return None
        if function.__globals__.get("__name__") != "__main__":
            return None
        text = "".join(linecache.getlines(code.co_filename, function.__globals__))
        for statement in _statements(text):
            if _first_line(statement) != code.co_firstlineno:
                continue
            if _defines(statement, name, value, wrapped=function is not value):
                return self._as_binding(statement, text)
        return None

    def _of_name(self, name: str, value: object) -> Binding | None:
        for label, text in reversed(self._cells):
            binders = [s for s in _statements(text) if name in _bound_by(s)]
            if binders:
                fits = _fits(binders[-1], name, value)
                return _binding(binders[-1], text, label) if fits else None
        return None

    def _as_binding(self, statement: ast.stmt, text: str) -> Binding:
        known = ((label, cell.strip()) for label, cell in reversed(self._cells))
        label = next((label for label, cell in known if cell == text.strip()), "")
        return _binding(statement, text, label)


def _binding(statement: ast.stmt, text: str, label: str) -> Binding:
    if statement.col_offset:
        return Binding(statement, ast.unparse(statement), label)
    lines = text.splitlines()[_first_line(statement) - 1 : statement.end_lineno]
    return Binding(statement, "\n".join(lines), label)


@functools.lru_cache(maxsize=512)
def _statements(text: str) -> tuple[ast.stmt, ...]:
    """Every statement at the level of the cell, those in its branches included."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return ()
    return tuple(_at_cell_level(tree.body))


def _at_cell_level(body: Iterable[ast.AST]) -> Iterator[ast.stmt]:
    for node in body:
        if isinstance(node, ast.stmt):
            yield node
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.expr)):
            yield from _at_cell_level(ast.iter_child_nodes(node))


def _bound_by(statement: ast.stmt) -> set[str]:
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return {statement.name}
    if isinstance(statement, (ast.Import, ast.ImportFrom)):
        return {alias.asname or alias.name.partition(".")[0] for alias in statement.names}
    if isinstance(statement, (ast.For, ast.AsyncFor)):
        return _stored(statement.target)
    if isinstance(statement, (ast.With, ast.AsyncWith)):
        return set().union(*(_stored(i.optional_vars) for i in statement.items if i.optional_vars))
    simple = not hasattr(statement, "body") and not hasattr(statement, "cases")
    return _stored(statement) if simple else set()


def _stored(node: ast.AST) -> set[str]:
    return {
        part.id
        for part in ast.walk(node)
        if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)
    }


def _first_line(statement: ast.stmt) -> int:
    decorators = getattr(statement, "decorator_list", [])
    return int(decorators[0].lineno if decorators else statement.lineno)


def _defines(statement: ast.stmt, name: str, function: object, wrapped: bool) -> bool:
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef)):
        # What was wrapped by other means than a decorator is not what the definition gives.
        same = statement.name == getattr(function, "__name__", "")
        return same and bool(statement.decorator_list or not wrapped)
    return is_lambda(statement) and name in _stored(statement) and not wrapped


def is_lambda(statement: ast.stmt) -> bool:
    """Whether this is ``name = lambda …``, and only that."""
    return (
        isinstance(statement, ast.Assign)
        and isinstance(statement.value, ast.Lambda)
        and all(isinstance(target, ast.Name) for target in statement.targets)
    )


def _fits(statement: ast.stmt, name: str, value: object) -> bool:
    """Whether repeating the statement gives the name this value again."""
    if isinstance(statement, ast.ClassDef):
        return getattr(value, "__name__", name) == name and callable(value)
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef)):
        return bool(statement.decorator_list) or inspect.isfunction(value)
    if isinstance(statement, ast.ImportFrom) and statement.module and not statement.level:
        wanted = next(a.name for a in statement.names if (a.asname or a.name) == name)
        missing = object()
        return getattr(sys.modules.get(statement.module), wanted, missing) is value
    return isinstance(statement, ast.Import)


def _file_of(module: str) -> Path | None:
    loaded = getattr(sys.modules.get(module), "__spec__", None)
    spec = loaded or importlib.machinery.PathFinder.find_spec(module)
    if spec is None:
        return None
    places = [spec.origin] if spec.origin else list(spec.submodule_search_locations or ())
    return Path(places[0]) if places and places[0] not in ("built-in", "frozen") else None


def _is_own(file: Path) -> bool:
    """Whether a file may be the user's own: nothing that came with Python or was installed."""
    if {"site-packages", "dist-packages"} & set(file.parts):
        return False
    library = Path(inspect.getfile(inspect)).parent
    return library not in file.parents


@functools.cache
def _path_elsewhere() -> tuple[str, ...]:
    """Where a fresh interpreter looks for modules, without what the notebook has added."""
    question = "import sys; print('\\n'.join(sys.path[1:]))"
    answer = subprocess.run(
        [sys.executable, "-c", question], capture_output=True, text=True, check=False, timeout=60
    )
    return tuple(line for line in answer.stdout.splitlines() if line)
