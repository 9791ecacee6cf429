"""Which names a piece of code needs from around it, read from its compiled form.

The compiler has already decided what is local, global, an attribute of a class or the variable
of a comprehension; reading its instructions means never disagreeing with it.
"""

from __future__ import annotations

import ast
import dis
import inspect
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import CodeType

# What every module has without asking.
INTRINSIC = frozenset(
    {"__name__", "__file__", "__doc__", "__builtins__", "__annotations__", "__spec__"}
    | {"__package__", "__loader__", "__debug__", "__qualname__", "__module__", "__class__"}
    | {"__conditional_annotations__"}
)

_READS = frozenset(
    {"LOAD_NAME", "LOAD_GLOBAL", "LOAD_FROM_DICT_OR_GLOBALS", "DELETE_NAME", "DELETE_GLOBAL"}
)
_BINDS = frozenset({"STORE_NAME", "STORE_GLOBAL"})
_AT_ONCE = frozenset({"<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>"})

_BRANCHING = tuple(
    getattr(ast, kind)
    for kind in ("If", "For", "AsyncFor", "While", "Try", "TryStar", "Match")
    if hasattr(ast, kind)
)


@dataclass(frozen=True)
class Needs:
    """The names that code reads from around it.

    now: read while the code runs from its first line to its last, before it binds them.
    later: read when a function it defines is called.
    perhaps: bound by the code as well, but not for certain before they are read.
    """

    now: tuple[str, ...]
    later: tuple[str, ...]
    perhaps: tuple[str, ...]
    bound: frozenset[str]

    @property
    def all(self) -> tuple[str, ...]:
        """Every name, those needed at once first."""
        return tuple(dict.fromkeys((*self.now, *self.later, *self.perhaps)))


def needs_of(tree: ast.Module, flags: int = 0) -> Needs:
    """What the code of ``tree`` needs; ``flags`` are the compiler's, for future statements."""
    reading = _Reading()
    for statement in _straight(tree.body):
        alone = ast.Module([statement], [])
        code = compile(alone, "<cell>", "exec", flags, dont_inherit=True)
        certain = not isinstance(statement, _BRANCHING)
        reading.take(_events(code), certain, _loop_variables(statement))
    return reading.needs()


class _Reading:
    """Follows the binding of names from statement to statement."""

    def __init__(self) -> None:
        self._sure: set[str] = set()
        self._maybe: set[str] = set()
        self._now: dict[str, None] = {}
        self._later: dict[str, None] = {}
        self._perhaps: dict[str, None] = {}

    def take(self, events: Iterable[tuple[str, str]], certain: bool, loops: frozenset[str]) -> None:
        """Follow one statement; ``certain`` if all of it is sure to run, else only ``loops`` is."""
        for what, name in events:
            if what == "bind":
                (self._sure if certain or name in loops else self._maybe).add(name)
            elif name in self._sure or name in INTRINSIC:
                continue
            elif what == "bind later":
                self._maybe.add(name)
            elif what == "later":
                self._later[name] = None
            else:
                (self._perhaps if name in self._maybe else self._now)[name] = None

    def needs(self) -> Needs:
        """The sum. A function's names that the cell binds anywhere may be bound in time."""
        bound = self._sure | self._maybe
        later = tuple(n for n in self._later if n not in bound and n not in self._now)
        soft = dict.fromkeys((*self._perhaps, *(n for n in self._later if n in bound)))
        perhaps = tuple(n for n in soft if n not in self._now)
        return Needs(tuple(self._now), later, perhaps, frozenset(bound))


def _straight(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements one after the other, those inside ``with`` like the others."""
    for statement in body:
        if isinstance(statement, ast.With):
            yield ast.copy_location(ast.With(statement.items, [_nothing(statement)]), statement)
            yield from _straight(statement.body)
        else:
            yield statement


def _loop_variables(statement: ast.stmt) -> frozenset[str]:
    """The variables of a loop and of the loops in it, which have values wherever it reads them."""
    if not isinstance(statement, (ast.For, ast.AsyncFor)):
        return frozenset()
    names = {node.id for node in ast.walk(statement.target) if isinstance(node, ast.Name)}
    return frozenset(names).union(*map(_loop_variables, statement.body))


def _nothing(at: ast.stmt) -> ast.stmt:
    return ast.copy_location(ast.Pass(), at)


def _events(code: CodeType, now: bool = True) -> Iterator[tuple[str, str]]:
    """("read" | "bind" | "later" | "bind later", name), in the order of the instructions."""
    is_class = code.co_name != "<module>" and not code.co_flags & inspect.CO_OPTIMIZED
    own: set[str] = set()
    for step in dis.get_instructions(code):
        if isinstance(step.argval, CodeType):
            inner = step.argval
            yield from _events(inner, now and _runs_at_once(inner))
        elif step.opname in _BINDS:
            if is_class and step.opname == "STORE_NAME":
                own.add(step.argval)
            else:
                yield "bind" if now else "bind later", step.argval
        elif step.opname in _READS and step.argval not in own:
            yield "read" if now else "later", step.argval


def _runs_at_once(code: CodeType) -> bool:
    return code.co_name in _AT_ONCE or not code.co_flags & inspect.CO_OPTIMIZED
