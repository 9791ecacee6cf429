"""``RunDetails.get_widget_data()``: what v1's widget shows, under the keys it used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..job import layout
from ..store.feed import LOG_CHUNK, read_tail
from ..watching.log_text import LogText
from ..watching.markup import shown_time
from ..watching.watch import Head, Watch

_COLUMNS = 500

if TYPE_CHECKING:
    from ..workspace import Run


def widget_data(run: Run, settings: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The state of the widget for ``run`` at this moment."""
    watch = Watch(run)
    head = watch.look()
    while watch.read_metrics():
        pass
    log = LogText()
    log.feed(read_tail(run.folder / layout.DRIVER_LOG, LOG_CHUNK).decode(errors="replace"))
    return {
        "status": head.status,
        "workbench_run_details_uri": run.get_portal_url(),
        "run_id": run.id,
        "run_properties": _properties(run, head),
        "child_runs": [_child(child) for child in run.get_children()],
        "children_metrics": {},
        "run_metrics": [_metric(run, watch, name) for name in watch.metrics.names],
        "run_logs": log.text(),
        "graph": {},
        "widget_settings": dict(settings or {}),
    }


def _metric(run: Run, watch: Watch, name: str) -> dict[str, Any]:
    """The values of a metric, decimated if there are very many."""
    lines = [line.points("step", _COLUMNS) for line in watch.metrics.lines(name)]
    values = [value for points in lines for value in points.y.tolist()]
    return {
        "name": name,
        "run_id": run.id,
        "categories": list(range(len(values))),
        "series": [{"data": values}],
    }


def _properties(run: Run, head: Head) -> dict[str, Any]:
    details = run.get_details()
    definition = details.get("runDefinition") or {}
    logs = details.get("logFiles") or {}
    return {
        "run_id": run.id,
        "created_utc": details.get("startTimeUtc"),
        "properties": dict(run.properties),
        "tags": dict(run.tags),
        "script_name": definition.get("script"),
        "arguments": " ".join(map(str, definition.get("arguments") or ())) or None,
        "end_time_utc": details.get("endTimeUtc"),
        "status": head.status,
        "log_files": dict(logs),
        "log_groups": _groups(logs),
        "run_duration": shown_time(head.elapsed),
        "run_number": str(run.number),
        "run_queued_details": {"status": head.status, "details": None},
    }


def _groups(logs: Mapping[str, str]) -> list[list[str]]:
    """Log names by the number they begin with, the latest stage first."""
    groups: dict[str, list[str]] = {}
    for name in sorted(logs):
        prefix = name.rsplit("/", 1)[-1].partition("_")[0]
        groups.setdefault(prefix if prefix.isdigit() else "", []).append(name)
    return [groups[key] for key in sorted(groups, reverse=True)]


def _child(child: Run) -> dict[str, Any]:
    details = child.get_details()
    return {
        "run_id": child.id,
        "run_number": child.number,
        "metric": None,
        "status": child.status,
        "run_type": child.type,
        "training_percent": None,
        "start_time": details.get("startTimeUtc"),
        "end_time": details.get("endTimeUtc"),
        "created_time": details.get("startTimeUtc"),
    }
