"""``RunDetails.get_widget_data()``: what v1's widget shows, under the keys it used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .watch import Look, Watch, shown_time

if TYPE_CHECKING:
    from ..workspace import Run


def widget_data(run: Run, settings: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The state of the widget for ``run`` at this moment."""
    watch = Watch(run)
    look = watch.look()
    return {
        "status": look.status,
        "workbench_run_details_uri": run.get_portal_url(),
        "run_id": run.id,
        "run_properties": _properties(run, look),
        "child_runs": [_child(child) for child in run.get_children()],
        "children_metrics": {},
        "run_metrics": [
            {
                "name": name,
                "run_id": run.id,
                "categories": list(range(len(series.y))),
                "series": [{"data": series.y.tolist()}],
            }
            for name, series in look.series.items()
        ],
        "run_logs": watch.log.text(),
        "graph": {},
        "widget_settings": dict(settings or {}),
    }


def _properties(run: Run, look: Look) -> dict[str, Any]:
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
        "status": look.status,
        "log_files": dict(logs),
        "log_groups": _groups(logs),
        "run_duration": shown_time(look.elapsed),
        "run_number": str(run.number),
        "run_queued_details": {"status": look.status, "details": None},
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
