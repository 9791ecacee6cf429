"""The first thing a page asks: which version answers, and which workspaces there are."""

from __future__ import annotations

from typing import Any

from jupyter_server.auth.decorator import authorized
from tornado.web import authenticated

from .. import __version__
from .handling import API, PREFIX, Handler
from .places import Places


class Hello(Handler):
    """``Hello`` of ``api.json``."""

    @authenticated
    @authorized
    async def get(self) -> None:
        """Answer which version this is, and what it shows."""
        read_only = bool(self.settings["aml_read_only"])
        await self.answer(lambda: _hello(self.places, read_only))


def _hello(places: Places, read_only: bool) -> dict[str, Any]:
    found = [places.to_wire(place) for place in places.look()]
    return {"version": __version__, "api": API, "read_only": read_only, "places": found}


ROUTES = [(f"{PREFIX}/hello", Hello)]
