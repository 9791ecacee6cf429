"""Lists of runs, their groups, and the words that a filter can be completed with."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from jupyter_server.auth.decorator import authorized
from tornado.web import authenticated

from ..errors import UserErrorException
from ..store.conditions import Selection
from ..workspace import run_filter
from .handling import PREFIX, Handler
from .hub import Hub, Hubs
from .places import Place
from .problems import problem_of

MOST_ROWS = 1000
"""Rows in one answer."""

_FURTHEST = 1 << 40


class ForRuns(Handler):
    """A route about the runs of a workspace, which the query names."""

    @property
    def hubs(self) -> Hubs:
        """What follows the workspaces."""
        found: Hubs = self.settings["aml_hubs"]
        return found

    def line(self) -> Line:
        """The filter that the query has."""
        return Line(self.get_query_argument("filter", ""), self.flag("typed"))


@dataclass(frozen=True)
class Line:
    """A filter; of one that is ``typed`` right now it is no error that it is not finished."""

    text: str
    typed: bool

    def understood(self) -> Selection | UserErrorException:
        """What it asks for; what is wrong with it if that is wanted as an answer."""
        try:
            return run_filter.parse(self.text)
        except UserErrorException as error:
            if not self.typed:
                raise
            return error


@dataclass(frozen=True)
class Stretch:
    """Which rows are asked for."""

    filter: Line
    sort: str
    descending: bool | None
    by: str | None
    group: str | None
    offset: int
    limit: int


class Runs(ForRuns):
    """``RunList`` of ``api.json``."""

    @authenticated
    @authorized
    async def get(self) -> None:
        """Answer with a stretch of the list."""
        asked = self._asked()
        key = self.get_query_argument("place")
        await self.answer_about(key, lambda place: _list(self.hubs.of(place), place, asked))

    def _asked(self) -> Stretch:
        text = self.get_query_argument
        group = text("group", None)
        return Stretch(
            filter=self.line(),
            sort=text("sort", "") or "live",
            descending=self.flag("descending") if text("descending", "") else None,
            # Of which group there is none, the rest are shown: not those of no group.
            by=text("by", None) or None if group is not None else None,
            group=group,
            offset=self.number("offset", 0, 0, _FURTHEST),
            limit=self.number("limit", 100, 0, MOST_ROWS),
        )


class Groups(ForRuns):
    """``GroupList`` of ``api.json``."""

    @authenticated
    @authorized
    async def get(self) -> None:
        """Answer with the experiments, notebooks or sweeps."""
        by, line = self.get_query_argument("by"), self.line()
        key = self.get_query_argument("place")
        await self.answer_about(key, lambda place: _groups(self.hubs.of(place), place, by, line))


class Words(ForRuns):
    """``FilterWords`` of ``api.json``."""

    @authenticated
    @authorized
    async def get(self) -> None:
        """Answer with the names that there are."""
        key = self.get_query_argument("place")
        await self.answer_about(key, lambda place: asdict(place.workspace.filter_words()))


def _list(hub: Hub, place: Place, asked: Stretch) -> Mapping[str, Any]:
    # What changes from here on is told by the websocket, even if it is in the list already.
    seq = hub.begin()
    selection = asked.filter.understood()
    if isinstance(selection, UserErrorException):
        none = {"seq": seq, "now": time.time(), "total": 0, "offset": 0, "rows": []}
        return {**none, "problem": problem_of(selection)}
    found = place.workspace.list_runs(
        selection,
        asked.sort,
        asked.descending,
        asked.by,
        asked.group,
        asked.offset,
        asked.limit,
    )
    return {
        "seq": seq,
        "now": time.time(),
        "total": found.total,
        "offset": found.offset,
        "rows": hub.rows.of(found.runs),
    }


def _groups(hub: Hub, place: Place, by: str, line: Line) -> Mapping[str, Any]:
    seq = hub.begin()
    selection = line.understood()
    if isinstance(selection, UserErrorException):
        return {"seq": seq, "total": 0, "groups": [], "problem": problem_of(selection)}
    total, groups = place.workspace.run_groups(by, selection)
    return {"seq": seq, "total": total, "groups": [asdict(group) for group in groups]}


ROUTES = [
    (f"{PREFIX}/runs", Runs),
    (f"{PREFIX}/groups", Groups),
    (f"{PREFIX}/words", Words),
]
