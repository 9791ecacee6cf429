"""What a workspace has besides runs: batches of notebooks, and registered models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jupyter_server.auth.decorator import authorized
from tornado.web import authenticated

from ..assets.models import Model
from ..errors import UserErrorException
from ..spec import FAMILY_TYPE
from ..store import Query, RunSummary
from ..workspace.batch_run import as_batch
from ..workspace.run_list import Group
from .handling import PREFIX, Handler, body_of
from .places import Place

_MOST_BATCHES = 50
_MOST_MODELS = 200


class Batches(Handler):
    """``BatchList`` of ``api.json``."""

    @authenticated
    @authorized
    async def get(self) -> None:
        """Answer with the newest batches of notebooks, and how far each is."""
        await self.answer_about(self.get_query_argument("place"), _batches)


class Models(Handler):
    """``ModelList`` of ``api.json``, and ``ActionDone`` when a version was deleted."""

    @authenticated
    @authorized
    async def get(self) -> None:
        """Answer with the latest version of each model."""
        await self.answer_about(self.get_query_argument("place"), _models)

    @authenticated
    @authorized
    async def post(self) -> None:
        """Delete the version that is named."""
        self.may_change()
        asked = body_of(self)
        await self.answer_about(
            self.get_query_argument("place"), lambda place: _delete(place, asked)
        )


def _batches(place: Place) -> Mapping[str, Any]:
    workspace = place.workspace
    found = workspace.find_runs(Query(type=FAMILY_TYPE))
    newest = sorted(found, key=lambda run: (run.ended is None, run.created), reverse=True)
    _, groups = workspace.run_groups("sweep", "children:only archived:yes")
    made = {group.key: group for group in groups}
    shown = newest[:_MOST_BATCHES]
    return {
        "batches": [_batch(place, run, made.get(run.id)) for run in shown],
        "more": len(newest) - len(shown),
    }


def _batch(place: Place, run: RunSummary, children: Group | None) -> Mapping[str, Any]:
    batch = as_batch(place.workspace.get_run(run.id))
    live, failed = (children.live, children.failed) if children else (0, 0)
    return {
        "id": run.id,
        "name": run.display_name,
        "notebook": batch.notebook,
        "status": run.status,
        "created": run.created,
        "notebooks": len(batch.family.members),
        "ended": (children.total - live) if children else 0,
        "running": live,
        "failed": failed,
    }


def _models(place: Place) -> Mapping[str, Any]:
    found = Model.list(place.workspace)
    versions: dict[str, list[Model]] = {}
    for model in found:
        versions.setdefault(model.name, []).append(model)
    shown = list(versions.values())[:_MOST_MODELS]
    return {
        "models": [_model(each[0], len(each)) for each in shown],
        "more": len(versions) - len(shown),
    }


def _model(model: Model, versions: int) -> Mapping[str, Any]:
    return {
        "name": model.name,
        "version": model.version,
        "versions": versions,
        "created": model.created_time.timestamp(),
        "size": model.size,
        "run": model.run_id,
        "framework": model.model_framework,
        "description": model.description or "",
        "tags": model.tags,
    }


def _delete(place: Place, asked: Mapping[str, Any]) -> Mapping[str, Any]:
    name, version = asked.get("name"), asked.get("version")
    if not (isinstance(name, str) and name and isinstance(version, int)):
        raise UserErrorException("No version was said to be deleted.", "Name a model and a number.")
    model = Model(place.workspace, name, version=version)
    model.delete()
    return {"said": f"Deleted {model.id}.", "run": None}


ROUTES = [(f"{PREFIX}/batches", Batches), (f"{PREFIX}/models", Models)]
