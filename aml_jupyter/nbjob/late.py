"""Puts off what the packages that execute notebooks would do at import, and few ever need."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from importlib.util import find_spec
from types import ModuleType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_GRAMMAR = "rfc3987_syntax"


@contextmanager
def late_grammar() -> Iterator[None]:
    """Within this, ``jsonschema`` is imported in a tenth of its time.

    It has a grammar of international addresses built, which takes most of a second, for a format
    that no notebook's schema has. This way the first who asks for that format has it built.
    """
    if _GRAMMAR in sys.modules or find_spec(_GRAMMAR) is None:
        yield
        return
    stand_in = ModuleType(_GRAMMAR)
    stand_in.is_valid_syntax = _is_valid_syntax  # type: ignore[attr-defined]
    sys.modules[_GRAMMAR] = stand_in
    try:
        yield
    finally:
        del sys.modules[_GRAMMAR]


def _is_valid_syntax(term: str, value: str) -> bool:
    from rfc3987_syntax import is_valid_syntax

    return bool(is_valid_syntax(term, value))
