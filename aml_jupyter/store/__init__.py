"""What is remembered: workspaces, runs, snapshots, and the index over them."""

from __future__ import annotations

from ..lazy import names_from

TYPE_CHECKING = False
if TYPE_CHECKING:
    from . import snapshots
    from .feed import Decimator, LogTail, MetricFeed, RunFeed, Series, Update, read_tail
    from .folder import WorkspaceFolder, project_for
    from .home import Home
    from .index import Index, Query, RunSummary, delete_run
    from .objects import Objects

__all__ = [
    "Decimator",
    "Home",
    "Index",
    "LogTail",
    "MetricFeed",
    "Objects",
    "Query",
    "RunFeed",
    "RunSummary",
    "Series",
    "Update",
    "WorkspaceFolder",
    "delete_run",
    "project_for",
    "read_tail",
    "snapshots",
]

__getattr__ = names_from(
    __name__,
    {
        "feed": "Decimator LogTail MetricFeed RunFeed Series Update read_tail",
        "folder": "WorkspaceFolder project_for",
        "home": "Home",
        "index": "Index Query RunSummary delete_run",
        "objects": "Objects",
        "snapshots": "",
    },
)
