"""Why a run failed, for a browser: the wire's ``RunFailure``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..workspace.failure import Code, Failure, failure_of
from .markup import clean
from .terminal import plain

if TYPE_CHECKING:
    from ..workspace import Run


def failure(run: Run) -> dict[str, Any]:
    """What is known of it; with an empty message where the run has not failed."""
    found = failure_of(run)
    if found is None:
        found = Failure("", "", None, "", (), "")
    return {
        "kind": clean(found.kind),
        "message": clean(found.message),
        "place": found.place and _place(found.place),
        "trace": clean(plain(found.trace)),
        "file": clean(found.log_name),
        "log": [clean(plain(line)) for line in found.log],
        "hints": [{"text": clean(hint.text), "code": clean(hint.code)} for hint in found.hints],
    }


def _place(code: Code) -> dict[str, Any]:
    return {
        "path": clean(code.path),
        "line": code.line,
        "cell": code.is_cell,
        "number": code.number,
        "first": code.first,
        "lines": [clean(line) for line in code.lines],
    }
