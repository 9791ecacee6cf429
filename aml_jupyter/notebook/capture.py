"""A notebook cell as files that do the same elsewhere, or an error that says why not.

``cell.py`` is the cell with its own line numbers; ``aml_prelude.py`` is what it took along from
the notebook: imports, small values and definitions as readable source, and whatever ``--with``
named as ``aml_values.pkl``. ``python cell.py`` runs them by hand.
"""

from __future__ import annotations
import __future__ as future_module

import ast
import builtins
import difflib
import html
import importlib
import re
import sys
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType

from ..errors import CaptureError
from ..spec.words import looks_secret
from . import plain, prelude
from .names import INTRINSIC, Needs, needs_of
from .sources import Binding, NotebookSources, Sources

_BUILTINS = frozenset(dir(builtins)) - {"display", "get_ipython", "__IPYTHON__"} | {"exit", "quit"}
_LEFT_OUT = frozenset({"matplotlib", "config", "load_ext", "reload_ext", "autoreload"})
_SHOWN_PROBLEMS = 5


@dataclass(frozen=True)
class Item:
    """One thing that the cell takes along. ``kind``: import, value, source or pickle.

    ``size`` is that of what travels; 0 for what the other side has already.
    """

    kind: str
    name: str
    code: str
    note: str = ""
    origin: str = ""
    needs: tuple[str, ...] = ()
    size: int = 0


@dataclass(frozen=True)
class Card:
    """What was captured, to be looked at."""

    text: str
    html: str

    def __str__(self) -> str:
        return self.text

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        return {"text/plain": self.text, "text/html": self.html}


@dataclass(frozen=True)
class Capture:
    """The files that make up the cell elsewhere, and what they hold."""

    script: str
    files: Mapping[str, bytes]
    items: tuple[Item, ...]
    notes: tuple[str, ...]
    out: tuple[str, ...]

    def card(self) -> Card:
        """What was captured, as text and as HTML."""
        rows = list(self._rows())
        width = max(len(title) for title, _ in rows)
        text = "\n".join(f"{title:{width}}  {what}" for title, what in rows)
        cells = "".join(
            f'<tr><td style="text-align:left;color:var(--jp-ui-font-color2,#777)">{title}</td>'
            f'<td style="text-align:left">{html.escape(what)}</td></tr>'
            for title, what in rows
        )
        return Card(text, f"<table>{cells}</table>")

    def _rows(self) -> Iterator[tuple[str, str]]:
        lines = self.files[self.script].count(b"\n")
        yield "cell", f"{self.script}, {lines} line{'s' if lines != 1 else ''}"
        for kind, title in (
            ("import", "imports"),
            ("source", "defined here"),
            ("value", "values"),
            ("pickle", "pickled"),
        ):
            mine = [item for item in self.items if item.kind == kind]
            if mine:
                yield title, ", ".join(_shown(item) for item in mine)
        if self.out:
            yield "comes back", ", ".join(self.out)
        for note in self.notes:
            yield "note", note


def _shown(item: Item) -> str:
    what = item.code if item.kind == "import" else item.name
    extra = ", ".join(part for part in (item.note, item.origin) if part)
    return f"{what} ({extra})" if extra else what


def capture(
    cell: str,
    namespace: Mapping[str, object],
    *,
    sources: Sources | None = None,
    with_names: Collection[str] = (),
    out_names: Sequence[str] = (),
    script: str = "cell.py",
) -> Capture:
    """What it takes to run ``cell`` elsewhere; :class:`CaptureError` if something cannot be sent.

    ``cell`` has been through IPython's ``transform_cell`` and is the text below the magic's own
    line, so that its first line is line 2 of what the user sees, and of ``script``.
    """
    tree = _parsed(cell)
    notes: list[str] = []
    cell, tree = _without_display_magics(cell, tree, notes)
    futures = _futures(tree, namespace)
    cell, tree = _without_futures(cell, tree)
    flags = 0
    for name in futures:
        flags |= getattr(future_module, name).compiler_flag
    try:
        needs = needs_of(tree, flags)
    except SyntaxError as error:
        raise _syntax_error(error) from None
    taking = _Taking(namespace, sources or NotebookSources(), frozenset(with_names), flags, notes)
    taking.check_imports(tree)
    taking.take_all(tree, needs, _has_star(tree))
    taking.check_out(out_names, needs)
    items, pickled = taking.finish()
    files = prelude.files(cell, items, pickled, futures=futures, out=out_names, script=script)
    return Capture(script, files, items, tuple(notes), tuple(out_names))


class _Taking:
    """Collects what the cell needs, and what that needs in turn."""

    def __init__(
        self,
        namespace: Mapping[str, object],
        sources: Sources,
        named: frozenset[str],
        flags: int,
        notes: list[str],
    ) -> None:
        self._namespace = namespace
        self._sources = sources
        self._named = named
        self._flags = flags
        self._notes = notes
        self._items: dict[str, Item] = {}
        self._pickled: dict[str, object] = {}
        self._problems: dict[str, tuple[str, str]] = {}
        self._chains: dict[str, set[str]] = {}
        self._texts: deque[tuple[str, ast.AST]] = deque()

    def take_all(self, tree: ast.Module, needs: Needs, star: bool) -> None:
        """Take what the cell needs and what was named, then what those need, to the end."""
        for name in sorted(self._named):
            if name not in self._namespace:
                self._problems[name] = _not_there(name, self._namespace)
        where = "the cell"
        self._take_names(tree, needs, where, star)
        for name in sorted(self._named & self._namespace.keys()):
            self._take(name, where, must=True)
        while self._texts:
            name, definition = self._texts.popleft()
            module = ast.Module([definition], [])  # type: ignore[list-item]
            self._take_names(module, needs_of(module, self._flags), name, star)

    def _take_names(self, tree: ast.Module, needs: Needs, where: str, star: bool) -> None:
        for name, chain in _chains(tree):
            self._chains.setdefault(name, set()).add(chain)
        soft = frozenset(needs.perhaps)
        for name in needs.all:
            if name in self._namespace or not star:
                self._take(name, where, must=name not in soft, line=_line_of(tree, name))

    def _take(self, name: str, where: str, must: bool, line: int = 0) -> None:
        if name in self._items or name in self._problems or name in self._pickled:
            return
        try:
            item = self._resolve(name, must)
        except _Problem as problem:
            if must:
                place = f" (line {line})" if where == "the cell" and line else ""
                place = f" (used by {where})" if where != "the cell" else place
                self._problems[name] = (f"{problem.what}{place}", problem.remedy)
            return
        if item is not None:
            self._items[name] = item

    def _resolve(self, name: str, must: bool) -> Item | None:
        if name not in self._namespace:
            return self._not_in_notebook(name, must)
        value = self._namespace[name]
        if name in _BUILTINS and _is_ipythons(name, value):
            return None
        if name == "get_ipython":
            raise _Problem("get_ipython, which only a notebook has", "leave it out of the cell")
        if isinstance(value, ModuleType):
            return self._module(name, value)
        return self._found_in_source(name, value) or self._value(name, value, must)

    def _not_in_notebook(self, name: str, must: bool) -> Item | None:
        if name in _BUILTINS or name in INTRINSIC or not must:
            return None
        if name == "display":
            return Item("source", "display", prelude.DISPLAY, "prints")
        raise _Problem(*_not_there(name, self._namespace))

    def _module(self, name: str, module: ModuleType) -> Item:
        full = module.__name__
        if sys.modules.get(full) is not module or full == "__main__":
            raise _Problem(
                f"the module {name}, which was not imported from a file",
                f"make what you need of `{name}` in the cell",
            )
        self._check_module(full)
        root = full.partition(".")[0]
        if full == name:
            return Item("import", name, f"import {full}")
        if root == full or name != root:
            return Item("import", name, f"import {full} as {name}")
        return Item("import", name, f"import {full}")

    def _found_in_source(self, name: str, value: object) -> Item | None:
        own = _is_own(value)
        if own and "<locals>" in getattr(value, "__qualname__", "") and name in self._named:
            return None
        binding = self._sources.binding(name, value)
        if binding is not None and isinstance(binding.statement, ast.ImportFrom):
            return self._from_import(name, str(binding.statement.module), binding)
        if binding is not None and not isinstance(binding.statement, ast.Import):
            return self._definition(name, value, binding)
        module, qualname = getattr(value, "__module__", None), getattr(value, "__qualname__", "")
        if own or not isinstance(module, str) or not isinstance(qualname, str):
            return None
        if "." not in qualname and getattr(sys.modules.get(module), qualname, None) is value:
            self._check_module(module)
            renamed = "" if qualname == name else f" as {name}"
            return Item("import", name, f"from {module} import {qualname}{renamed}")
        return None

    def _from_import(self, name: str, module: str, binding: Binding) -> Item:
        assert isinstance(binding.statement, ast.ImportFrom)
        self._check_module(module)
        alias = next(a for a in binding.statement.names if (a.asname or a.name) == name)
        renamed = f" as {alias.asname}" if alias.asname else ""
        return Item("import", name, f"from {module} import {alias.name}{renamed}")

    def _definition(self, name: str, value: object, binding: Binding) -> Item:
        statement, defined = binding.statement, getattr(binding.statement, "name", name)
        if defined != name:
            # Another name for a function that has its own: both are needed.
            if self._namespace.get(defined) is not value:
                raise _Problem(
                    f"{name} ({plain.shown_type(value)}), another name for {defined}, "
                    "which has since been defined anew",
                    f"define `{name}` in the cell",
                )
            self._take(defined, name, must=True)
            return Item("source", name, f"{name} = {defined}", needs=(defined,))
        self._texts.append((name, statement))
        at_once = needs_of(ast.Module([statement], []), self._flags).now
        size = len(binding.text)
        return Item("source", name, binding.text, "", binding.origin, at_once, size)

    def _value(self, name: str, value: object, must: bool) -> Item | None:
        named = name in self._named
        if isinstance(value, str) and looks_secret(name) and not named:
            raise _Problem(f"{name}, which looks like a secret", f"send it with `--with {name}`")
        try:
            code = plain.expression(value)
        except plain.NotPlain as reason:
            if named:
                self._pickled[name] = value
                return None
            raise self._refusal(name, value, str(reason), must) from None
        for other, item in self._items.items():
            same = item.kind == "value" and self._namespace.get(other) is value
            if same and isinstance(value, (list, dict, set)):
                return Item("value", name, f"{name} = {other}", f"is {other}", needs=(other,))
        note = f"{plain.shown_type(value)}, {plain.shown_size(len(code))}"
        return Item("value", name, f"{name} = {code}", note, size=len(code))

    def _refusal(self, name: str, value: object, reason: str, must: bool) -> _Problem:
        what = f"{name} ({plain.shown_type(value)}, {plain.shown_size(plain.size_of(value))})"
        if not must:
            self._notes.append(f"{what} stays here: the cell makes its own")
        if _is_own(value) and callable(value):
            where = getattr(value, "__qualname__", name)
            if "<locals>" in where:
                maker = where.split(".<locals>")[0]
                reason = f"a function made inside {maker}(), with what it remembers from there"
            else:
                reason = "its source is not in this notebook"
            return _Problem(f"{what}: {reason}", f"send it with `--with {name}`")
        reason = "" if reason == "not a plain value" else f": {reason}"
        return _Problem(
            f"{what}{reason}", f"load it inside the cell, or send it with `--with {name}`"
        )

    def check_imports(self, tree: ast.Module) -> None:
        """Note a problem for every module the cell imports that a run would not find."""
        for node in ast.walk(tree):
            modules: list[str] = []
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                modules = [node.module]
            for module in modules:
                try:
                    self._check_module(module)
                except _Problem as problem:
                    self._problems[f"module {module}"] = (problem.what, problem.remedy)

    def _check_module(self, module: str) -> None:
        file = self._sources.only_here(module)
        if file is not None:
            folder = file.parent.parent if file.name == "__init__.py" else file.parent
            raise _Problem(
                f"the module {module.partition('.')[0]}, which is beside the notebook "
                f"({file.name})",
                f"take its folder along with `--source {folder}`",
            )

    def check_out(self, names: Iterable[str], needs: Needs) -> None:
        """Note a problem for each name to come back that the cell never makes."""
        for name in names:
            if name not in needs.bound and name not in self._items and name not in self._pickled:
                close = difflib.get_close_matches(name, needs.bound, 1)
                meant = f"did you mean `--out {close[0]}`?" if close else "assign it in the cell"
                self._problems[f"out {name}"] = (f"{name} for --out, which it never assigns", meant)

    def finish(self) -> tuple[tuple[Item, ...], bytes | None]:
        """All items in an order in which each finds what it needs, and the pickled values."""
        data = None
        if self._pickled and not self._problems:
            data = self._pickle()
        if self._problems:
            raise _as_error(self._problems)
        self._add_submodules()
        return tuple(_ordered(self._items, self._pickled)), data

    def _pickle(self) -> bytes | None:
        shipped = {
            n: self._namespace[n]
            for n, i in self._items.items()
            if i.kind == "source" and n in self._namespace
        }
        early = any(set(i.needs) & self._pickled.keys() for i in self._items.values())
        sizes = {}
        for name, value in self._pickled.items():
            try:
                sizes[name] = len(prelude.pickled({name: value}, {} if early else shipped))
            except Exception as error:  # noqa: BLE001 (whatever the value raises)
                what = f"{name} ({plain.shown_type(value)}), which cannot be pickled: {error}"
                self._problems[name] = (what, f"make `{name}` inside the cell")
        if self._problems:
            return None
        for name, value in self._pickled.items():
            note = f"{plain.shown_type(value)}, {plain.shown_size(sizes[name])}"
            self._items[name] = Item("pickle", name, "", note, size=sizes[name])
        return prelude.pickled(self._pickled, {} if early else shipped)

    def _add_submodules(self) -> None:
        """``import a`` is not enough where the code says ``a.b.c`` and ``a.b`` is a module."""
        for name in [n for n, item in self._items.items() if item.kind == "import"]:
            value = self._namespace.get(name)
            if not isinstance(value, ModuleType):
                continue
            found = {m for chain in self._chains.get(name, ()) for m in _modules(value, chain)}
            lines = [f"import {module}" for module in sorted(found)]
            if lines:
                item = self._items[name]
                code = "\n".join(dict.fromkeys([item.code, *lines]))
                # `import a.b` also binds `a`: what was asked for has the last word.
                code = "\n".join([*lines, item.code]) if " as " in item.code else code
                self._items[name] = Item("import", name, code)


class _Problem(Exception):
    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(what)
        self.what = what
        self.remedy = remedy


def _is_own(value: object) -> bool:
    return getattr(value, "__module__", None) == "__main__"


def _is_ipythons(name: str, value: object) -> bool:
    """Whether this is what IPython puts into every notebook under the name of a builtin."""
    if type(value).__module__.partition(".")[0] in ("IPython", "ipykernel"):
        return True
    return getattr(value, "__wrapped__", value) is getattr(builtins, name, None)


def _not_there(name: str, namespace: Mapping[str, object]) -> tuple[str, str]:
    known = [n for n in namespace if not n.startswith("_")]
    close = difflib.get_close_matches(name, known, 1)
    remedy = f"did you mean `{close[0]}`?" if close else f"define `{name}` first, or in the cell"
    return f"{name}, which is not defined in this notebook", remedy


def _as_error(problems: Mapping[str, tuple[str, str]]) -> CaptureError:
    whats = [what for what, _ in problems.values()]
    remedies = list(dict.fromkeys(remedy for _, remedy in problems.values()))
    more = len(whats) - _SHOWN_PROBLEMS
    listed = "; ".join(whats[:_SHOWN_PROBLEMS]) + (f"; and {more} more" if more > 0 else "")
    hint = "; ".join(remedies[:_SHOWN_PROBLEMS])
    ends = "" if hint.endswith("?") else "."
    return CaptureError(
        f"The cell needs what cannot be sent as it is: {listed}.",
        f"Before you run it again: {hint}{ends}",
    )


def _parsed(cell: str) -> ast.Module:
    try:
        return ast.parse(cell)
    except SyntaxError as error:
        raise _syntax_error(error) from None


def _syntax_error(error: SyntaxError) -> CaptureError:
    line = f": {error.text.strip()}" if error.text else ""
    if "await" in str(error.msg) or "async" in str(error.msg):
        return CaptureError(
            f"The cell uses `await` or `async` outside a function{_at(error.lineno)}.",
            "A run is a plain script: put it into `async def main()` and end with "
            "`asyncio.run(main())`.",
        )
    return CaptureError(
        f"The cell is not valid Python{_at(error.lineno)}: {error.msg}{line}",
        "Correct the line and run the cell again; nothing was submitted.",
    )


def _at(line: int | None) -> str:
    return f" in line {line + 1}" if line else ""


def _has_star(tree: ast.Module) -> bool:
    return any(isinstance(n, ast.ImportFrom) and n.names[0].name == "*" for n in ast.walk(tree))


def _line_of(tree: ast.AST, name: str) -> int:
    """The line of the cell, as its user counts, that uses the name first; 0 if none does."""
    lines = [n.lineno for n in ast.walk(tree) if isinstance(n, ast.Name) and n.id == name]
    return min(lines, default=-1) + 1


def _without_display_magics(
    cell: str, tree: ast.Module, notes: list[str]
) -> tuple[str, ast.Module]:
    """The cell without the magics that only concern the display; others are refused."""
    dropped = []
    for node in ast.walk(tree):
        magic = _magic(node)
        if magic is None:
            continue
        word = magic.split()[0] if magic.split() else magic
        if magic.startswith("%") and word[1:] in _LEFT_OUT:
            dropped.append((node, magic))
            continue
        line = getattr(node, "lineno", 0) + 1
        raise CaptureError(
            f"`{magic}` in line {line} needs IPython, which a run has not.",
            "Take the line out of the cell, or say it in Python "
            "(`subprocess.run(…)` for a shell command).",
        )
    for statement in [s for s in ast.walk(tree) if isinstance(s, ast.Expr)]:
        for node, magic in dropped:
            if statement.value is node:
                cell = _replaced(cell, statement, f"pass  # left out: {magic}")
                notes.append(f"{magic} was left out")
    return cell, ast.parse(cell)


def _magic(node: ast.AST) -> str | None:
    """How the user wrote a line that IPython turned into ``get_ipython().…(…)``."""
    if not (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Call)
        and isinstance(node.func.value.func, ast.Name)
        and node.func.value.func.id == "get_ipython"
    ):
        return None
    words = [str(a.value) for a in node.args if isinstance(a, ast.Constant)]
    how = node.func.attr
    if how in ("system", "getoutput"):
        return f"!{' '.join(words)}"
    if how == "run_cell_magic":
        return f"%%{' '.join(words[:2])}".strip()
    if how == "run_line_magic":
        if words[:1] in (["pinfo"], ["pinfo2"], ["psearch"]):
            return f"{' '.join(words[1:])}?"
        return f"%{' '.join(words)}".strip()
    return f"get_ipython().{how}"


def _replaced(cell: str, statement: ast.stmt, by: str) -> str:
    """The cell with a statement replaced and every other line where it was."""
    lines = cell.split("\n")
    first, last = statement.lineno - 1, (statement.end_lineno or statement.lineno) - 1
    before = lines[first].encode()[: statement.col_offset].decode()
    after = lines[last].encode()[statement.end_col_offset :].decode()
    lines[first] = before + by if not after.strip() else f"{before}pass{after}"
    lines[first + 1 : last + 1] = [""] * (last - first)
    return "\n".join(lines)


def _futures(tree: ast.Module, namespace: Mapping[str, object]) -> list[str]:
    """The future statements that hold: the cell's own, and those of the notebook's session."""
    own = [a.name for s in tree.body if _is_future(s) for a in s.names]  # type: ignore[attr-defined]
    known = future_module.all_feature_names
    session = [n for n in known if namespace.get(n) is getattr(future_module, n)]
    return [n for n in known if n in own or n in session]


def _is_future(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.ImportFrom) and statement.module == "__future__"


def _without_futures(cell: str, tree: ast.Module) -> tuple[str, ast.Module]:
    """The cell without its future statements, which only count in a file's first line."""
    for statement in filter(_is_future, tree.body):
        cell = _replaced(cell, statement, f"pass  # {ast.unparse(statement)}: see line 1")
    return cell, ast.parse(cell)


def _chains(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """(``a``, ``b.c``) for each ``a.b.c`` in the code."""
    for node in ast.walk(tree):
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.insert(0, node.attr)
            node = node.value
        if parts and isinstance(node, ast.Name):
            yield node.id, ".".join(parts)


def _modules(module: ModuleType, chain: str) -> Iterator[str]:
    """The last of the submodules that ``module.chain`` goes through."""
    full, last = module.__name__, ""
    for part in chain.split("."):
        full = f"{full}.{part}"
        if full not in sys.modules or not isinstance(sys.modules[full], ModuleType):
            break
        last = full
    if last and _is_package_of(last):
        yield last


def _is_package_of(module: str) -> bool:
    # `os.path` is in sys.modules without being a submodule that can be imported by its spec.
    spec = getattr(importlib.import_module(module), "__spec__", None)
    return spec is not None and spec.name == module


def _ordered(items: Mapping[str, Item], pickled: Collection[str]) -> Iterator[Item]:
    """Imports, values, then definitions after what they need at once; pickles where they fit."""
    for kind in ("import", "value"):
        yield from (item for item in items.values() if item.kind == kind)
    pickles = [item for item in items.values() if item.kind == "pickle"]
    definitions = {n: item for n, item in items.items() if item.kind == "source"}
    if any(set(item.needs) & set(pickled) for item in definitions.values()):
        yield from pickles
        pickles = []
    done: set[str] = set()

    def visit(name: str) -> Iterator[Item]:
        if name in done or name not in definitions:
            return
        done.add(name)
        for needed in definitions[name].needs:
            yield from visit(needed)
        yield definitions[name]

    for name in sorted(definitions, key=lambda n: _cell_number(definitions[n].origin)):
        yield from visit(name)
    yield from pickles


def _cell_number(origin: str) -> int:
    digits = re.search(r"\d+", origin)
    return int(digits.group()) if digits else 0
