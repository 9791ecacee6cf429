"""Runs against each other: what a page that compares them shows."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from jupyter_server.auth.decorator import authorized
from tornado.web import HTTPError, authenticated

from ..errors import AmlError
from ..spec import RunRequest
from ..watching.markup import clean
from ..workspace import Run
from ..workspace.comparison import Comparison, Rows, side_by_side
from ..workspace.comparison_forms import differ
from ..workspace.metric_ranges import MetricRange, better_of
from .handling import PREFIX, Handler, body_of
from .places import Place

MOST = 500
"""How many runs one page compares."""

_MOST_POINTS = 4_000_000
_MOST_ROWS = 1_000
_LONGEST = 300


class Compare(Handler):
    """``Comparison`` of ``api.json``.

    Asked by POST although it changes nothing: the ids of hundreds of runs are more than the
    addresses hold that proxies let through.
    """

    @authenticated
    @authorized(action="read")  # type: ignore[untyped-decorator]
    async def post(self) -> None:
        """Answer what the runs named in the body were started with, and what came of them."""
        key, asked = self.get_query_argument("place"), body_of(self)
        ids, points = _ids(asked), _MOST_POINTS if asked.get("ranges") else 0
        await self.answer(lambda: compared(self.places.get(key), ids, points))


def compared(place: Place, ids: Sequence[str], most_points: int) -> dict[str, Any]:
    """The runs with these ids beside each other, as far as they are there."""
    runs, gone = _opened(place, ids)
    found = side_by_side(runs, most_points)
    return {
        "now": time.time(),
        "runs": [_run(each) for each in runs],
        "gone": gone,
        "sections": [
            _section("facts", _without_duration(found)),
            _section("parameters", found.all_parameters),
            _section("tags", found.tags),
        ],
        "metrics": [_metric(name, row) for name, row in list(found.metrics.items())[:_MOST_ROWS]],
        "more_metrics": max(0, len(found.metrics) - _MOST_ROWS),
    }


# Runs -----------------------------------------------------------------------------------------


def _ids(asked: Mapping[str, Any]) -> list[str]:
    ids = asked.get("runs")
    if not isinstance(ids, list) or not all(isinstance(each, str) for each in ids):
        raise HTTPError(400, "`runs` must be a list of ids.")
    ids = list(dict.fromkeys(ids))
    if len(ids) > MOST:
        raise HTTPError(400, f"{len(ids)} runs are more than the {MOST} that can be compared.")
    return ids


def _opened(place: Place, ids: Iterable[str]) -> tuple[list[Run], list[dict[str, str]]]:
    """The runs, and of those that cannot be read why."""
    runs: dict[str, Run] = {}
    gone = []
    for each in ids:
        try:
            run = place.workspace.get_run(each)
            RunRequest.from_json(run._request)
            run._read()
        except (AmlError, OSError) as error:
            gone.append({"id": each, "why": getattr(error, "message", "") or str(error)})
        else:
            runs[run.id] = run
    return list(runs.values()), gone


def _run(run: Run) -> dict[str, Any]:
    known = run._read()
    return {
        "id": run.id,
        "name": _cut(known.display_name or run.id),
        "number": run.number or 0,
        "experiment": run.experiment.name,
        "status": known.status,
        "created": float(run._request.get("created") or 0),
        "started": known.started,
        "ended": known.ended,
    }


# Rows -----------------------------------------------------------------------------------------


def _without_duration(found: Comparison) -> Rows:
    """The facts; how long runs took the page knows from their times."""
    return {name: row for name, row in found.facts.items() if name not in ("duration", "state")}


def _section(kind: str, rows: Rows) -> dict[str, Any]:
    """Rows that differ first, so that a limit leaves out what tells less."""
    telling = {name: row for name, row in rows.items() if differ(row)}
    ordered = list({**telling, **rows}.items())
    return {
        "kind": kind,
        "rows": [_row(*each) for each in ordered[:_MOST_ROWS]],
        "more": max(0, len(ordered) - _MOST_ROWS),
    }


def _row(name: str, row: Sequence[str | None]) -> dict[str, Any]:
    """A row; where all is the same, it is said once."""
    differs = differ(row)
    said = row if differs else row[:1]
    values = [None if each is None else _cut(each) for each in said]
    return {"name": _cut(name), "differs": differs, "values": values}


def _metric(name: str, row: Sequence[MetricRange | None]) -> dict[str, Any]:
    return {
        "name": _cut(name),
        "better": better_of(name),
        "last": [None if each is None else _sayable(each.last) for each in row],
        "min": [None if each is None else _finite(each.min) for each in row],
        "max": [None if each is None else _finite(each.max) for each in row],
    }


def _sayable(value: float | str | None) -> float | str | None:
    """The value as JSON has it, which knows neither NaN nor infinity."""
    if isinstance(value, str):
        return _cut(value)
    return value if value is None or math.isfinite(value) else str(value)


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _cut(text: str) -> str:
    text = clean(text)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


ROUTES = [(f"{PREFIX}/compare", Compare)]
