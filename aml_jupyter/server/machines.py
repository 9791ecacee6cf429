"""Where runs go and what they run in: targets with their queue, environments and what is built."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from jupyter_server.auth.decorator import authorized
from tornado.web import authenticated

from ..environments.recipe import is_key
from ..environments.shelf import Shelf
from ..errors import UserErrorException
from ..store.feed import read_tail
from ..workspace import compute, env_facts, env_prune, queue_view
from ..workspace.env_table import OLDEST_KEPT
from .handling import PREFIX, Handler, body_of
from .places import Place

_MOST_QUEUED = 100
_LOG = 256 * 1024


class Targets(Handler):
    """``TargetList`` of ``api.json``."""

    @authenticated
    @authorized
    async def get(self) -> None:
        """Answer with the targets, who is on them, and who waits."""
        await self.answer_about(self.get_query_argument("place"), _targets)


class Environments(Handler):
    """``EnvironmentList`` of ``api.json``."""

    @authenticated
    @authorized
    async def get(self) -> None:
        """Answer with the environments that have a name, and with what is built."""
        await self.answer_about(self.get_query_argument("place"), _environments)


class BuildLog(Handler):
    """``BuildLog`` of ``api.json``."""

    @authenticated
    @authorized
    async def get(self) -> None:
        """Answer with the end of what a build has said."""
        key = self.get_query_argument("key")
        await self.answer(lambda: _log(key))


class Prune(Handler):
    """``Prunable`` of ``api.json``, and ``Pruned`` when it was done."""

    @authenticated
    @authorized
    async def get(self) -> None:
        """Answer with what was not used for long."""
        await self.answer_about(self.get_query_argument("place"), lambda _: _prunable())

    @authenticated
    @authorized
    async def post(self) -> None:
        """Remove those of them that are named."""
        self.may_change()
        keys = body_of(self).get("keys")
        await self.answer_about(self.get_query_argument("place"), lambda place: _prune(place, keys))


def _targets(place: Place) -> Mapping[str, Any]:
    view = queue_view.queue_of()
    running = Counter(run.target for run in view.running)
    waiting = Counter(run.target for run in view.waiting)
    return {
        "targets": [
            {
                "name": facts.name,
                "kind": facts.kind,
                "description": facts.description,
                "slots": facts.placement.slots if facts.placement else None,
                "gpus": facts.placement.gpus if facts.placement else None,
                "remarks": facts.remarks,
                "usable": not facts.error,
                "running": running[facts.name],
                "waiting": waiting[facts.name],
            }
            for facts in compute.listed(place.workspace.folder)
        ],
        "gpus": [_gpu(gpu) for gpu in view.gpus or ()],
        "trouble": view.trouble,
        "queue": [_queued(run, place) for run in (*view.running, *view.waiting)[:_MOST_QUEUED]],
        "queued": len(view.running) + len(view.waiting),
    }


def _gpu(gpu: queue_view.GpuView) -> Mapping[str, Any]:
    row = gpu.row()
    return {
        "index": gpu.index,
        "memory": gpu.memory_total,
        "load": gpu.load,
        "holders": list(gpu.holders),
        "others": row[3],
    }


def _queued(run: queue_view.QueuedRun, place: Place) -> Mapping[str, Any]:
    return {
        "id": run.run_id,
        "here": run.folder.startswith(f"{place.workspace.folder.root}/"),
        "target": run.target,
        "status": run.state,
        "since": run.since,
        "position": run.position,
        "expected": run.expected,
        "asks": run.asks_for,
        "why": run.why,
    }


def _environments(place: Place) -> Mapping[str, Any]:
    found = env_facts.listed(place.workspace)
    return {
        "environments": [
            {
                "name": facts.name,
                "version": facts.version,
                "source": facts.source,
                "state": facts.state,
                "size": facts.size,
                "used": facts.used,
                "error": facts.error,
                "builds": [_build(build) for build in facts.builds],
            }
            for facts in found
        ]
    }


def _build(build: env_facts.BuildFacts) -> Mapping[str, Any]:
    return {
        "key": build.key,
        "kind": build.kind,
        "state": build.state,
        "size": build.size,
        "seconds": build.seconds,
        "error": build.error,
    }


def _log(key: str) -> Mapping[str, Any]:
    if not is_key(key):
        raise UserErrorException(f"{key!r} is no key of a build.", "Reload the page.")
    return {"key": key, "text": read_tail(Shelf.of(key).log, _LOG).decode(errors="replace")}


def _prunable() -> Mapping[str, Any]:
    found = env_prune.candidates(OLDEST_KEPT)
    return {"builds": [_candidate(each) for each in found], "days": OLDEST_KEPT // 86400}


def _candidate(each: env_prune.Candidate) -> Mapping[str, Any]:
    return {
        "key": each.key,
        "name": each.name,
        "kind": each.kind,
        "size": each.size,
        "used": each.used,
        "kept": each.kept,
    }


def _prune(place: Place, keys: Sequence[str] | None) -> Mapping[str, Any]:
    if not isinstance(keys, list) or not keys:
        raise UserErrorException("Nothing was said to be removed.", "Name the keys of builds.")
    chosen = [each for each in env_prune.candidates(OLDEST_KEPT) if each.key in keys]
    done = env_prune.remove(chosen, place.workspace.folder)
    return {
        "removed": len(done.removed),
        "freed": done.freed,
        "kept": [_candidate(each) for each in done.kept],
    }


ROUTES = [
    (f"{PREFIX}/targets", Targets),
    (f"{PREFIX}/environments", Environments),
    (f"{PREFIX}/environments/log", BuildLog),
    (f"{PREFIX}/environments/prune", Prune),
]
