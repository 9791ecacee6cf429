"""``aml show``: everything about one run."""

from __future__ import annotations

import argparse
import os
import shlex
import time
from collections.abc import Iterator, Mapping
from typing import Any

from ..job import events, layout
from ..job.run import iso
from ..spec.words import shown_size
from ..store import RunSummary, read_tail
from ..workspace import Run
from . import OK
from .finding import Watch, find_run, workspace_here
from .measures import Summary, summaries
from .parser import Command, Parser, add_run
from .present import (
    ago,
    described,
    duration_of,
    one_line,
    print_json,
    printable_lines,
    shown_duration,
    shown_state,
    styled,
)

_TAIL_LINES = 15
_FILES_SHOWN = 40


def _show_arguments(parser: Parser) -> None:
    add_run(parser)
    parser.add_argument(
        "--facts",
        action="store_true",
        help="parameters, source, environment, git, script and diff instead; secrets are hidden",
    )


def _show(options: argparse.Namespace) -> int:
    run = find_run(workspace_here(), options.run)
    if options.facts:
        _show_facts(run, options.json)
        return OK
    watch = Watch(run)
    summary, measured = watch.summary(), summaries(run)
    if options.json:
        print_json(_everything(watch, summary, measured))
    else:
        print("\n".join(_lines(watch, summary, measured)))
    return OK


def _show_facts(run: Run, as_json: bool) -> None:
    from ..workspace.facts import facts_of

    found = facts_of(run)
    if as_json:
        print_json({"id": run.id, **found})
        return
    tags = {"title": "Tags", "facts": found["tags"]}
    for section in [*found["sections"], tags]:
        content = {fact["name"]: one_line(fact["value"]) for fact in section["facts"]}
        print("\n".join(_section(section["title"], content)))
    for text in found["texts"]:
        print(f"\n{styled(text['title'], 'bold')}\n{printable_lines(text['text'])}")


def _everything(
    watch: Watch, summary: RunSummary, measured: Mapping[str, Summary]
) -> dict[str, Any]:
    facts, request, run = watch.facts, watch.request, watch.run
    return {
        **described(summary, run.experiment.workspace.folder.root),
        "description": facts.description,
        "submitted_by": request.get("submitted_by"),
        "host": request.get("host"),
        "workspace": run.experiment.workspace.name,
        "job": request.get("job"),
        "source": request.get("source"),
        "git": request.get("git"),
        "stages": [{"state": state, "at": iso(when)} for state, when in facts.stages],
        "progress": (facts.progress or {}).get("text"),
        "warnings": [warning["message"] for warning in facts.warnings],
        "error": facts.error,
        "metric_counts": {name: found.count for name, found in measured.items()},
        "files": [{"name": name, "bytes": size} for name, size in _files(run)],
        "children": [child.id for child in run.get_children()],
    }


def _files(run: Run) -> list[tuple[str, int]]:
    return [
        (name, os.path.getsize(path))
        for name, path in sorted(layout.artifacts(str(run.folder)).items())
    ]


# For people -----------------------------------------------------------------------------------


def _lines(watch: Watch, summary: RunSummary, measured: Mapping[str, Summary]) -> Iterator[str]:
    facts, run = watch.facts, watch.run
    yield styled(summary.display_name or run.id, "bold")
    yield from _aligned(_facts(watch, summary))
    yield from _section("stages", _stages(facts))
    yield from _section("tags", {key: str(value) for key, value in facts.tags.items()})
    yield from _section("properties", facts.properties)
    yield from _section("metrics", {name: str(found) for name, found in measured.items()})
    files = _files(run)
    shown = {name: shown_size(size) for name, size in files[:_FILES_SHOWN]}
    if len(files) > _FILES_SHOWN:
        shown["…"] = f"{len(files) - _FILES_SHOWN} more, in {run.folder}"
    yield from _section("files", shown)
    yield from _section("children", {child.id: child.status for child in run.get_children()})
    for warning in facts.warnings:
        yield f"\n{styled('warning', 'yellow')}  {warning['message']}"
    yield from _error(facts, run)


def _facts(watch: Watch, summary: RunSummary) -> dict[str, str]:
    request = watch.request
    job = request.get("job") or {}
    source = request.get("source") or {}
    what = job.get("command") or shlex.join(filter(None, [job.get("script"), *_arguments(job)]))
    started = f"{_clock(summary.started)} ({ago(summary.started)})" if summary.started else ""
    return {
        "id": summary.id,
        "state": _state(watch.facts),
        "experiment": f"{summary.experiment} (run {summary.number})",
        "description": watch.facts.description or "",
        "parent": summary.parent or "",
        "started": started,
        "took": shown_duration(duration_of(summary)),
        "runs": what or "inside the process that started it",
        "python": job.get("interpreter") or "",
        "target": summary.target,
        "source": str(source.get("directory") or source.get("notebook") or ""),
        "by": f"{request.get('submitted_by')} on {request.get('host')}",
        "archived": "yes" if summary.archived else "",
        "folder": str(watch.run.folder),
    }


def _arguments(job: Mapping[str, Any]) -> list[str]:
    return [str(argument) for argument in job.get("arguments") or ()]


def _state(facts: events.Facts) -> str:
    text = str((facts.progress or {}).get("text") or "")
    return shown_state(facts.status) + (f", {text}" if text else "")


def _stages(facts: events.Facts) -> dict[str, str]:
    """Each stage, when it began, and how long it took."""
    ends = [when for _, when in facts.stages[1:]]
    lasted: list[float | None] = [
        max(0.0, end - when) for (_, when), end in zip(facts.stages, ends, strict=False)
    ]
    return {
        state: f"{_clock(when)}  {shown_duration(length)}".rstrip()
        for (state, when), length in zip(facts.stages, [*lasted, None], strict=False)
    }


def _error(facts: events.Facts, run: Run) -> Iterator[str]:
    if not facts.error:
        return
    error = facts.error["error"]
    yield f"\n{styled('error', 'red')}  {error.get('message')}"
    trace = (error.get("exception") or {}).get("traceback")
    if trace:
        yield f"\n{trace.rstrip()}"
        return
    tail = error.get("logTail") or _tail(run)
    if tail:
        yield "\n" + styled("end of the log", "bold")
        yield from (f"  {line}" for line in tail[-_TAIL_LINES:])


def _tail(run: Run) -> list[str]:
    return read_tail(run.folder / layout.DRIVER_LOG, 16_384).decode(errors="replace").splitlines()


def _section(name: str, content: Mapping[str, str]) -> Iterator[str]:
    if content:
        yield "\n" + styled(name, "bold")
        yield from _aligned(content)


def _aligned(content: Mapping[str, str]) -> Iterator[str]:
    width = min(40, max((len(name) for name, text in content.items() if text), default=0))
    for name, text in content.items():
        if text:
            yield f"  {name:<{width}}  {text}"


def _clock(when: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(when))


COMMANDS = {
    "show": Command(
        _show_arguments,
        _show,
        (
            "aml show",
            "aml show mnist_17 --facts",
            "aml show mnist_17 --json | jq .error",
        ),
    ),
}
