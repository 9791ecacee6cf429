"""The public face: Workspace, Experiment, Run."""

from __future__ import annotations

from ..lazy import names_from

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .comparison import Comparison, compare
    from .experiment import Experiment
    from .run import Run, ScriptRun
    from .submission import Submission
    from .workspace import Workspace, open_run

__all__ = [
    "Comparison",
    "Experiment",
    "Run",
    "ScriptRun",
    "Submission",
    "Workspace",
    "compare",
    "open_run",
]

__getattr__ = names_from(
    __name__,
    {
        "comparison": "Comparison compare",
        "experiment": "Experiment",
        "run": "Run ScriptRun",
        "submission": "Submission",
        "workspace": "Workspace open_run",
    },
)
