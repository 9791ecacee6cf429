"""What all routes have in common: who may ask, where the work is done, how errors are told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from typing import Any, TypeVar

from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import APIHandler
from tornado.web import HTTPError, authenticated

from ..errors import AmlError
from .places import Place, Places
from .problems import Refused, problem_of, status_of

API = 1
"""Counted up whenever a page of the version before could not work with this server."""

PREFIX = r"/aml/api"
RESOURCE = "aml"
"""What authorizers are asked about; the actions are ``read`` and ``write``."""

T = TypeVar("T")


class Handler(APIHandler):
    """A route that answers in JSON, as a type of ``api.json``."""

    auth_resource = RESOURCE

    @property
    def places(self) -> Places:
        """The workspaces that are shown."""
        found: Places = self.settings["aml_places"]
        return found

    @property
    def threads(self) -> Executor:
        """Where work is done that may take its time."""
        found: Executor = self.settings["aml_threads"]
        return found

    def may_change(self) -> None:
        """Refuse in read-only mode."""
        if self.settings["aml_read_only"]:
            raise Refused(
                "This server only shows runs: nothing can be changed or started through it.",
                "Whoever runs the server can allow it: AmlServer.read_only.",
            )

    async def in_thread(self, work: Callable[[], T]) -> T:
        """What the work returns, done beside the event loop."""
        return await asyncio.get_running_loop().run_in_executor(self.threads, work)

    async def answer(self, work: Callable[[], Any]) -> None:
        """Do the work in another thread, and send what comes of it."""
        try:
            text = await self.in_thread(lambda: json.dumps(work(), allow_nan=False))
        except (AmlError, OSError) as error:
            self.fail(error)
            return
        self.finish(text)

    async def answer_about(self, key: str, work: Callable[[Place], Any]) -> None:
        """The same for a workspace, which is looked for in that thread as well."""
        await self.answer(lambda: work(self.places.get(key)))

    def fail(self, error: BaseException) -> None:
        """Answer with what went wrong."""
        status = status_of(error)
        self.set_status(status)
        self.finish(json.dumps(problem_of(error, status)))

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """The same for what was raised: never a page in HTML, and no traceback."""
        error = (kwargs.get("exc_info") or (None, None))[1]
        self.finish(json.dumps(problem_of(error, status_code)))

    def update_api_activity(self) -> None:
        """Only who changes something is active: pages that look on may do so for days."""
        if self.request.method not in ("GET", "HEAD"):
            super().update_api_activity()

    def number(self, name: str, default: int, least: int, most: int) -> int:
        """A whole number of the query, brought within bounds."""
        text = self.get_query_argument(name, "")
        try:
            return min(most, max(least, int(text))) if text else default
        except ValueError:
            raise HTTPError(400, f"{name} must be a whole number.") from None

    def flag(self, name: str) -> bool:
        """Whether the query says yes."""
        return self.get_query_argument(name, "").lower() in ("1", "true", "yes")


class Unknown(Handler):
    """What there is no route for, told as everything else is."""

    @authenticated
    @authorized
    async def get(self) -> None:
        """Say that there is no such thing."""
        raise HTTPError(404, "The server does not know this address.")

    head = post = put = patch = delete = get


def body_of(handler: Handler) -> Mapping[str, Any]:
    """The JSON object that came with a request."""
    found = handler.get_json_body()
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise HTTPError(400, "The body must be a JSON object.")
    return found


ROUTES = [(rf"{PREFIX}/.*", Unknown)]
