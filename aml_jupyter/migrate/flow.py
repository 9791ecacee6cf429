"""Which name means what of v1, followed through one file in the order of its lines.

It knows what was imported, made, returned by what v1 documents, and handed on by a plain
assignment. It does not guess: what comes as a parameter, or out of a data structure of the
file's own, has no type, and what is done with it is nobody's use of v1.
"""

from __future__ import annotations

import ast
import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ..compat import modules
from .sources import Place
from .types import EACH, LISTED, type_of_call, type_of_member

V1 = "azureml"
_DEEPEST = 10


@dataclass(frozen=True)
class Meant:
    """What an expression means: a module (of v1 or foreign), a name in one, an object of v1."""

    kind: str
    name: str
    module: str = ""

    @property
    def path(self) -> str:
        """The name with its module."""
        return f"{self.module}.{self.name}" if self.module else self.name


_Function = ast.FunctionDef | ast.AsyncFunctionDef
MODULE, NAME, OBJECT, FOREIGN = "module", "name", "object", "foreign"


@dataclass(frozen=True)
class Use:
    """One place where v1 is used."""

    place: Place
    kind: str
    """``import``, ``name``, ``member``, ``call``, ``keyword``, ``value``, ``object`` or
    ``foreign``: something of another library."""
    owner: str
    """The module of a name, the class of a member, the callable of a keyword."""
    name: str
    stored: bool = False
    module: str = ""
    """Where the class of an object was imported from, if that is known."""
    value: str | None = None
    """The text that a keyword or an attribute was given, where it stands there."""


class Walk(ast.NodeVisitor):
    """Collects the uses of v1 in one piece after the other; what they name is kept between."""

    def __init__(self) -> None:
        self.uses: list[Use] = []
        self.known: dict[str, Meant] = {}
        self._cell: int | None = None
        self._later: list[tuple[_Function, int | None]] = []
        self._inside = False

    def walk(self, tree: ast.Module, cell: int | None) -> None:
        """Add the uses of one more piece."""
        self._cell = cell
        self._all(tree.body)

    def finish(self) -> list[Use]:
        """All uses in the order of the lines.

        What functions do is looked at last, since by the time they are called all that stands
        beside them has its value.
        """
        self._inside = True
        for function, cell in self._later:
            self._cell = cell
            with contextlib.suppress(RecursionError):  # the rest of it is as deep
                self._function(function)
        self._later = []
        return sorted(self.uses, key=lambda use: (use.place.cell or 0, use.place.line))

    def _use(
        self,
        node: ast.AST,
        kind: str,
        owner: str,
        name: str,
        *,
        stored: bool = False,
        module: str = "",
        value: str | None = None,
    ) -> None:
        line = getattr(node, "end_lineno" if kind == "member" else "lineno", 1)
        place = Place(line, self._cell)
        self.uses.append(Use(place, kind, owner, name, stored, module, value))

    # Imports ----------------------------------------------------------------------------------

    def visit_Import(self, node: ast.Import) -> None:  # noqa: D102
        for alias in node.names:
            is_v1 = is_of_v1(alias.name)
            bound = alias.asname or alias.name.partition(".")[0]
            if is_v1:
                self._use(node, "import", alias.name, "")
                named = alias.name if alias.asname else V1
                self.known[bound] = Meant(MODULE, named)
            else:
                self._use(node, "foreign", alias.name, "")
                self.known[bound] = Meant(FOREIGN, alias.name if alias.asname else bound)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:  # noqa: D102
        module = node.module or ""
        if node.level or not is_of_v1(module):
            for alias in node.names:
                self._use(node, "foreign", f"{module}.{alias.name}", "")
                self.known.pop(alias.asname or alias.name, None)
            return
        for alias in node.names:
            bound = alias.asname or alias.name
            self._use(alias, "import", module, alias.name)
            names = _public(module) if alias.name == "*" else {bound: alias.name}
            self.known.update((each, Meant(NAME, v1, module)) for each, v1 in names.items())

    # What is used -----------------------------------------------------------------------------

    def visit_Name(self, node: ast.Name) -> None:  # noqa: D102
        meant = self.known.get(node.id)
        if meant is None or not isinstance(node.ctx, ast.Load):
            return
        if meant.kind == NAME:
            self._use(node, "name", meant.module, meant.name)
        elif meant.kind == OBJECT:
            self._use(node, "object", "", meant.name, module=meant.module)

    def visit_Attribute(self, node: ast.Attribute) -> None:  # noqa: D102
        self._member(node)

    def _member(self, node: ast.Attribute, value: str | None = None) -> None:
        owner = self.meant(node.value)
        stored = isinstance(node.ctx, ast.Store)
        if owner is None or owner.kind not in (MODULE, FOREIGN):
            self.visit(node.value)
        if owner is None:
            return
        if owner.kind == FOREIGN:
            self._use(node, "foreign", f"{owner.name}.{node.attr}", "")
        elif owner.kind == MODULE:
            self._use(node, "name", owner.name, node.attr)
        elif owner.name[:1] not in (EACH, LISTED):
            name, module = node.attr, owner.module
            self._use(node, "member", owner.name, name, stored=stored, module=module, value=value)

    def visit_Call(self, node: ast.Call) -> None:  # noqa: D102
        self.visit(node.func)
        called = self._called(node.func)
        if called and "." not in called:
            self._use(node.func, "call", "", called)
        for argument in node.args:
            self.visit(argument)
        for keyword in node.keywords:
            if called and keyword.arg:
                text = text_of(keyword.value)
                self._use(keyword, "keyword", called, keyword.arg, value=text)
            self.visit(keyword.value)
        texts = [text_of(argument) for argument in node.args]
        if called and any(texts):
            self._use(node, "value", called, "", value=next(filter(None, texts)))

    def _called(self, func: ast.expr) -> str:
        """``Class`` or ``Class.method``, where that is known."""
        if isinstance(func, ast.Attribute):
            owner = self.meant(func.value)
            if owner is not None and owner.kind in (NAME, OBJECT):
                return f"{owner.name}.{func.attr}"
        meant = self.meant(func)
        return meant.name if meant is not None and meant.kind == NAME else ""

    # What names mean --------------------------------------------------------------------------

    def visit_Assign(self, node: ast.Assign) -> None:  # noqa: D102
        self.visit(node.value)
        for target in node.targets:
            self._bind(target, self.meant(node.value), text_of(node.value))

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:  # noqa: D102
        self.visit(node.annotation)
        if node.value is not None:
            self.visit(node.value)
        self._bind(node.target, self._annotated(node.annotation))

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:  # noqa: D102
        self.visit(node.value)
        self._bind(node.target, self.meant(node.value))

    def visit_With(self, node: ast.With) -> None:  # noqa: D102
        for item in node.items:
            self.visit(item.context_expr)
            if item.optional_vars is not None:
                self._bind(item.optional_vars, self.meant(item.context_expr))
        self._all(node.body)

    def visit_For(self, node: ast.For) -> None:  # noqa: D102
        self.visit(node.iter)
        self._bind_each(node.target, node.iter)
        self._all([*node.body, *node.orelse])

    def visit_comprehension(self, node: ast.comprehension) -> None:  # noqa: D102
        self.visit(node.iter)
        self._bind_each(node.target, node.iter)
        self._all(node.ifs)

    def visit_ListComp(self, node: ast.ListComp) -> None:  # noqa: D102
        self._comprehended(node.generators, [node.elt])

    def visit_SetComp(self, node: ast.SetComp) -> None:  # noqa: D102
        self._comprehended(node.generators, [node.elt])

    def visit_GeneratorExp(self, node: ast.GeneratorExp) -> None:  # noqa: D102
        self._comprehended(node.generators, [node.elt])

    def visit_DictComp(self, node: ast.DictComp) -> None:  # noqa: D102
        self._comprehended(node.generators, [node.key, node.value])

    def _comprehended(self, generators: Iterable[ast.AST], parts: Iterable[ast.AST]) -> None:
        outside = dict(self.known)
        self._all([*generators, *parts])
        self.known = outside

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:  # noqa: D102
        self._defined(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:  # noqa: D102
        self._defined(node)

    def _defined(self, node: _Function) -> None:
        self.known.pop(node.name, None)
        arguments = [each for each in ast.walk(node.args) if isinstance(each, ast.arg)]
        annotations = [each.annotation for each in arguments]
        self._all([*node.decorator_list, *filter(None, [*annotations, node.returns])])
        if self._inside:
            self._function(node)
        else:
            self._later.append((node, self._cell))

    def _function(self, node: _Function) -> None:
        outside = dict(self.known)
        arguments = node.args
        for each in [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]:
            self._bind(ast.Name(each.arg, ast.Store()), self._annotated(each.annotation))
        for extra in (arguments.vararg, arguments.kwarg):
            if extra is not None:
                self.known.pop(extra.arg, None)
        self._all([*arguments.defaults, *filter(None, arguments.kw_defaults), *node.body])
        # What belongs to the object outlives the method that put it there.
        own = {name: meant for name, meant in self.known.items() if name.startswith("self.")}
        shared = {name for part in ast.walk(node) for name in _globals(part)}
        own.update((name, self.known[name]) for name in shared if name in self.known)
        self.known = outside | own

    def visit_Lambda(self, node: ast.Lambda) -> None:  # noqa: D102
        outside = dict(self.known)
        for each in node.args.args:
            self.known.pop(each.arg, None)
        self.visit(node.body)
        self.known = outside

    def visit_ClassDef(self, node: ast.ClassDef) -> None:  # noqa: D102
        self._all([*node.decorator_list, *node.bases, *node.body])

    def _all(self, nodes: Iterable[ast.AST]) -> None:
        for node in nodes:
            self.visit(node)

    def _bind(self, target: ast.expr, meant: Meant | None, value: str | None = None) -> None:
        if isinstance(target, (ast.Tuple, ast.List)):
            same = meant is not None and meant.name.startswith(LISTED)
            for part in target.elts:
                self._bind(part, _element(meant) if same else None)
            return
        if isinstance(target, ast.Attribute):
            self._member(target, value)
        elif not isinstance(target, ast.Name):
            self.visit(target)
        text = dotted(target)
        if not text:
            return
        if meant is None:
            self.known.pop(text, None)
        else:
            self.known[text] = meant

    def _bind_each(self, target: ast.expr, source: ast.expr) -> None:
        """Bind what a loop goes over: elements, or the names and values of ``.items()``."""
        if isinstance(source, ast.Call) and isinstance(source.func, ast.Attribute):
            held = self.meant(source.func.value)
            if held is not None and held.name.startswith(EACH):
                one = _element(held)
                if source.func.attr == "items" and isinstance(target, ast.Tuple):
                    self._bind(target.elts[0], None)
                    self._bind(target.elts[-1], one)
                    return
                self._bind(target, one if source.func.attr == "values" else None)
                return
        meant = self.meant(source)
        listed = meant is not None and meant.name.startswith(LISTED)
        self._bind(target, _element(meant) if listed else None)

    def _annotated(self, node: ast.expr | None) -> Meant | None:
        meant = self.meant(node) if node is not None else None
        is_class = meant is not None and meant.kind == NAME
        return Meant(OBJECT, meant.name, meant.module) if meant and is_class else None

    # Expressions ------------------------------------------------------------------------------

    def meant(self, node: ast.expr) -> Meant | None:
        """What the expression means, if that is something of v1."""
        if isinstance(node, ast.Name):
            return self.known.get(node.id)
        if isinstance(node, ast.Attribute):
            return self._meant_by_member(node)
        if isinstance(node, ast.Call):
            return self._returned(node)
        if isinstance(node, ast.Subscript):
            held = self.meant(node.value)
            is_one = held is not None and not isinstance(node.slice, ast.Slice)
            return _element(held) if is_one else held
        if isinstance(node, ast.BoolOp):
            return next(filter(None, map(self.meant, node.values)), None)
        if isinstance(node, ast.IfExp):
            return self.meant(node.body) or self.meant(node.orelse)
        if isinstance(node, ast.NamedExpr):
            return self.meant(node.value)
        return None

    def _meant_by_member(self, node: ast.Attribute) -> Meant | None:
        known = self.known.get(dotted(node))
        if known is not None:
            return known
        owner = self.meant(node.value)
        if owner is None or owner.kind == FOREIGN:
            return None
        if owner.kind == MODULE:
            is_module = node.attr[:1].islower() or node.attr.startswith("_")
            path = f"{owner.name}.{node.attr}"
            return Meant(MODULE, path) if is_module else Meant(NAME, node.attr, owner.name)
        found = type_of_member(owner.name, node.attr)
        return Meant(OBJECT, found) if found else None

    def _returned(self, node: ast.Call) -> Meant | None:
        func = node.func
        if isinstance(func, ast.Name) and func.id in ("list", "next", "sorted") and node.args:
            held = self.meant(node.args[0])
            return _element(held) if func.id == "next" else held
        if not isinstance(func, ast.Attribute):
            meant = self.meant(func)
            is_class = meant is not None and meant.kind == NAME
            return Meant(OBJECT, meant.name, meant.module) if meant and is_class else None
        owner = self.meant(func.value)
        if owner is None or owner.kind not in (NAME, OBJECT):
            is_class = owner is not None and owner.kind == MODULE and func.attr[:1].isupper()
            return Meant(OBJECT, func.attr, owner.name) if owner and is_class else None
        given = self.meant(node.args[0]) if node.args else None
        found = type_of_call(owner.name, func.attr, given.name if given else "")
        return Meant(OBJECT, found) if found else None


def is_of_v1(module: str) -> bool:
    """Whether a dotted name is ``azureml`` or below it."""
    return module.partition(".")[0] == V1


def dotted(node: ast.AST) -> str:
    """``a.b.c`` as text; empty for anything else."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute) and len(parts) < _DEEPEST:
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return ""
    return ".".join([node.id, *reversed(parts)])


def text_of(node: ast.expr) -> str | None:
    """The text of a literal, if it is one."""
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def _public(module: str) -> dict[str, str]:
    """What ``import *`` of one of v1's modules brings."""
    names = {**modules.homes_of(module), **modules.later_of(module)}
    return {name: name for name in names if not name.startswith("_")}


def _element(meant: Meant | None) -> Meant | None:
    if meant is None or meant.kind != OBJECT or meant.name[:1] not in (EACH, LISTED):
        return None
    return Meant(OBJECT, meant.name[1:])


def _globals(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Global):
        yield from node.names
