"""What all routes have in common: who may ask, where the work is done, how errors are told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, TypeVar

from jupyter_server.base.handlers import APIHandler
from tornado.web import HTTPError

from ..errors import AmlError, UserErrorException
from .places import Place, Places

API = 1
"""Counted up whenever a page of the version before could not work with this server."""

PREFIX = r"/aml/api"
RESOURCE = "aml"
"""What authorizers are asked about; the actions are ``read`` and ``write``."""

STATUS: Mapping[type[Exception], HTTPStatus] = {
    UserErrorException: HTTPStatus.BAD_REQUEST,
    AmlError: HTTPStatus.CONFLICT,
    FileNotFoundError: HTTPStatus.NOT_FOUND,
    PermissionError: HTTPStatus.FORBIDDEN,
    OSError: HTTPStatus.SERVICE_UNAVAILABLE,
}
"""The first that fits the error, by its classes from the nearest to the furthest."""

T = TypeVar("T")


class Handler(APIHandler):
    """A route that answers in JSON, as a type of ``api.json``."""

    auth_resource = RESOURCE

    @property
    def places(self) -> Places:
        """The workspaces that are shown."""
        found: Places = self.settings["aml_places"]
        return found

    def place(self, key: str | None = None) -> Place:
        """The workspace that the address names."""
        return self.places.get(key or self.get_query_argument("place"))

    def may_change(self) -> None:
        """Refuse in read-only mode."""
        if self.settings["aml_read_only"]:
            raise HTTPError(403, "This server only shows runs: AmlServer.read_only is set.")

    async def answer(self, work: Callable[[], T]) -> None:
        """Do the work in another thread, and send what comes of it."""
        loop = asyncio.get_running_loop()
        try:
            content = await loop.run_in_executor(None, work)
        except (AmlError, OSError) as error:
            self._fail(error)
            return
        self.finish(json.dumps(content))

    def _fail(self, error: Exception) -> None:
        status = next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)
        self.set_status(status)
        hint = getattr(error, "hint", "") or ""
        message = getattr(error, "message", "") or str(error)
        self.finish(json.dumps({"message": message, "hint": hint}))


def body_of(handler: Handler) -> Mapping[str, Any]:
    """The JSON object that came with a request."""
    found = handler.get_json_body()
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise HTTPError(400, "The body must be a JSON object.")
    return found
