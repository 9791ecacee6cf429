"""What is remembered: workspaces, runs, snapshots, and the index over them."""

from __future__ import annotations

from .feed import Decimator, LogTail, MetricFeed, RunFeed, Series, Update, read_tail
from .folder import WorkspaceFolder, project_for
from .home import Home, home
from .index import Index, Query, RunSummary

__all__ = [
    "Decimator",
    "Home",
    "Index",
    "LogTail",
    "MetricFeed",
    "Query",
    "RunFeed",
    "RunSummary",
    "Series",
    "Update",
    "WorkspaceFolder",
    "home",
    "project_for",
    "read_tail",
]
