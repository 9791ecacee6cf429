"""The public face: Workspace, Experiment, Run."""

from __future__ import annotations

from .experiment import Experiment
from .run import Run, ScriptRun
from .submission import Submission
from .workspace import Workspace, open_run

__all__ = ["Experiment", "Run", "ScriptRun", "Submission", "Workspace", "open_run"]
