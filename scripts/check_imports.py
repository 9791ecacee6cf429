"""Check who imports whom: rooms only reach down, jobs need the standard library alone, no cycles.

The rooms and their order stand in docs/architecture.md.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "aml_jupyter"

_SHARED = {"errors", "home", "lazy", "job", "assets", "spec"}
_KEEPING = _SHARED | {"store"}
_DOING = _KEEPING | {"engine", "environments", "backends"}
_FACE = _DOING | {"runner", "workspace", "nbjob", "tracking", "compat", "migrate"}
MAY_IMPORT: Mapping[str, set[str]] = {
    "": {"errors", "job"},
    "errors": set(),
    "home": {"errors"},
    "lazy": set(),
    "job": {"errors"},
    "nbjob": {"errors", "job"},
    "assets": {"errors", "lazy", "job"},
    "tracking": {"errors", "lazy", "job", "assets"},
    "compat": {"errors", "lazy", "job", "assets"},
    "migrate": {"errors", "compat"},
    "spec": {"errors", "lazy", "job", "assets"},
    "store": _SHARED,
    "engine": _SHARED,
    "environments": _SHARED | {"engine"},
    "backends": _SHARED | {"engine"},
    "runner": _DOING,
    "workspace": _DOING | {"runner", "tracking"},
    "watching": _FACE,
    "notebook": _FACE | {"watching"},
    "server": _FACE | {"watching"},
    "cli": _FACE,
    "__main__": {"cli"},
    "testing": _DOING,
}
# These travel into interpreters that have nothing of ours installed.
ALONE = {"", "errors", "lazy", "job", "assets", "compat"}
# … but may use, when asked for something that needs it, what the interpreter has.
WHERE_THERE: Mapping[str, set[str]] = {
    "assets": {"fsspec", "numpy", "pandas", "pyarrow", "sklearn"}
}


@dataclass(frozen=True)
class Import:
    """One import statement: who, whom, and whether it runs (types only, it does not)."""

    source: str
    target: str
    line: int
    runs: bool
    deferred: bool


def main() -> int:
    """Print every import that should not be, and return 1 if there was one."""
    modules = dict(find_modules(ROOT / PACKAGE))
    imports = [found for name, path in modules.items() for found in imports_of(name, path, modules)]
    problems = [*wrong_directions(imports), *foreign_imports(imports), *cycles(imports)]
    for problem in problems:
        print(problem)
    return 1 if problems else 0


def find_modules(package: Path) -> Iterator[tuple[str, Path]]:
    """Yield the dotted name and file of every module."""
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package.parent).with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def imports_of(name: str, path: Path, modules: Mapping[str, Path]) -> Iterator[Import]:
    """Yield every import in one file, resolved to the module meant."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    tree = ast.parse(path.read_bytes(), str(path))
    for node, runs, deferred in statements(tree, runs=True, deferred=False):
        for target in targets(node, package, modules):
            yield Import(name, target, node.lineno, runs, deferred)


def statements(
    node: ast.AST, *, runs: bool, deferred: bool
) -> Iterator[tuple[ast.Import | ast.ImportFrom, bool, bool]]:
    """Walk a tree for imports, noting `if TYPE_CHECKING:` and functions on the way."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.Import, ast.ImportFrom)):
            yield child, runs, deferred
            continue
        for_types = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test)
        inside = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef))
        yield from statements(child, runs=runs and not for_types, deferred=deferred or inside)


def targets(
    node: ast.Import | ast.ImportFrom, package: str, modules: Mapping[str, Path]
) -> Iterator[str]:
    """Yield the modules that one statement names."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
        return
    base = node.module or ""
    if node.level:
        above = package.split(".")[: len(package.split(".")) - node.level + 1]
        base = ".".join([*above, base] if base else above)
    for alias in node.names:
        member = f"{base}.{alias.name}"
        yield member if member in modules else base


def room_of(module: str) -> str | None:
    """Return the room of one of our modules, "" for the package itself, None for a foreign one."""
    parts = module.split(".")
    if parts[0] != PACKAGE:
        return None
    return parts[1] if len(parts) > 1 else ""


def wrong_directions(imports: list[Import]) -> Iterator[str]:
    """Yield the imports that reach up or sideways."""
    for found in imports:
        source, target = room_of(found.source), room_of(found.target)
        if source is None or target is None or source == target:
            continue
        # Everybody may ask the package's version.
        if is_door(found) or target == "":
            continue
        if source not in MAY_IMPORT:
            yield f"{place(found)}: the room {source} is not in docs/architecture.md"
        elif target not in MAY_IMPORT[source]:
            yield f"{place(found)}: {source} may not import {target}"


def is_door(found: Import) -> bool:
    """Tell whether this is the package showing the way to a room: by type, or when first asked."""
    return room_of(found.source) == "" and (found.deferred or not found.runs)


def foreign_imports(imports: list[Import]) -> Iterator[str]:
    """Yield what travels with jobs but needs more than the standard library."""
    for found in imports:
        top = found.target.partition(".")[0]
        room = room_of(found.source) or ""
        foreign = top != PACKAGE and top not in sys.stdlib_module_names
        if found.deferred and top in WHERE_THERE.get(room, ()):
            continue
        if foreign and found.runs and room_of(found.source) in ALONE:
            yield f"{place(found)}: {top} is not in the standard library"


def cycles(imports: list[Import]) -> Iterator[str]:
    """Yield each group of modules that import each other, deferred imports included."""
    edges: dict[str, set[str]] = {}
    for found in imports:
        ours = room_of(found.target) is not None and found.source != found.target
        if ours and found.runs and not is_door(found):
            edges.setdefault(found.source, set()).add(found.target)
    seen: set[frozenset[str]] = set()
    for module in sorted(edges):
        loop = path_back(module, edges)
        if loop and frozenset(loop) not in seen:
            seen.add(frozenset(loop))
            yield "cycle: " + " -> ".join(loop)


def path_back(start: str, edges: Mapping[str, set[str]]) -> list[str]:
    """Return the shortest way from a module to itself, or nothing."""
    ways = [[start]]
    seen: set[str] = set()
    for way in ways:
        for target in sorted(edges.get(way[-1], ())):
            if target == start:
                return [*way, start]
            if target not in seen:
                seen.add(target)
                ways.append([*way, target])
    return []


def place(found: Import) -> str:
    """Return where an import stands, as editors like it."""
    return f"{found.source.replace('.', '/')}:{found.line}"


if __name__ == "__main__":
    sys.exit(main())
