"""What is remembered: workspaces, runs, snapshots, and the index over them."""

from __future__ import annotations

from ..lazy import names_from

TYPE_CHECKING = False
if TYPE_CHECKING:
    from . import snapshots
    from .feed import LogTail, read_tail
    from .folder import WorkspaceFolder, project_for
    from .index import Index, Query, delete_run
    from .objects import Objects
    from .series import Line, MetricFeed, Points
    from .summary import RunSummary

__all__ = [
    "Index",
    "Line",
    "LogTail",
    "MetricFeed",
    "Objects",
    "Points",
    "Query",
    "RunSummary",
    "WorkspaceFolder",
    "delete_run",
    "project_for",
    "read_tail",
    "snapshots",
]

__getattr__ = names_from(
    __name__,
    {
        "feed": "LogTail read_tail",
        "folder": "WorkspaceFolder project_for",
        "index": "Index Query delete_run",
        "objects": "Objects",
        "series": "Line MetricFeed Points",
        "snapshots": "",
        "summary": "RunSummary",
    },
)
