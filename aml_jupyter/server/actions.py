"""What can be done to a run: cancelled, repeated, hidden, deleted, named and tagged."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from jupyter_server.auth.decorator import authorized
from tornado.web import authenticated

from ..errors import UserErrorException
from ..workspace import Run
from .handling import PREFIX, Handler, body_of
from .places import Place
from .problems import NotHere

Asked = Mapping[str, Any]
Done = dict[str, Any]

_LONGEST_NAME = 1000
_LONGEST_VALUE = 10_000


class RunAction(Handler):
    """``ActionDone`` of ``api.json``."""

    @authenticated
    @authorized
    async def post(self, key: str, run: str, action: str) -> None:
        """Do it."""
        self.may_change()
        asked = body_of(self)
        await self.answer_about(key, lambda place: _act(place, run, action, asked))


def _act(place: Place, run_id: str, action: str, asked: Asked) -> Done:
    if action not in ACTIONS:
        raise NotHere(
            f"This server does not know how to {action!r} a run.",
            f"It knows: {', '.join(sorted(ACTIONS))}. Page and server may have different versions.",
        )
    return ACTIONS[action](place.run(run_id), asked)


def _cancel(run: Run, asked: Asked) -> Done:
    if run._read().has_ended:
        return _said(f"{run.display_name} had ended already: {run.status}.")
    run.cancel()
    return _said(f"{run.display_name} is being cancelled.")


def _rerun(run: Run, asked: Asked) -> Done:
    new = run.rerun(display_name=_text(asked, "name", _LONGEST_NAME) or None)
    return _said(f"{run.display_name} runs again as {new.id}.", new.id)


def _archive(run: Run, asked: Asked) -> Done:
    run.archive()
    return _said(f"{run.display_name} is in the archive: a filter `archived` shows it.")


def _restore(run: Run, asked: Asked) -> Done:
    run.reactivate()
    return _said(f"{run.display_name} is shown in lists again.")


def _delete(run: Run, asked: Asked) -> Done:
    name = run.display_name
    run.delete()
    return _said(f"{name} was deleted with all its files.")


def _tag(run: Run, asked: Asked) -> Done:
    name, value = _name(asked, "A tag"), asked.get("value")
    run.tag(name, None if value is None else _text(asked, "value", _LONGEST_VALUE))
    return _said(f"{run.display_name} has the tag {name}.")


def _untag(run: Run, asked: Asked) -> Done:
    name = _name(asked, "A tag")
    run.remove_tags([name])
    return _said(f"{run.display_name} has no tag {name} any more.")


def _rename(run: Run, asked: Asked) -> Done:
    run.display_name = name = _name(asked, "A run")
    return _said(f"The run is called {name}.")


ACTIONS: Mapping[str, Callable[[Run, Asked], Done]] = {
    "cancel": _cancel,
    "rerun": _rerun,
    "archive": _archive,
    "restore": _restore,
    "delete": _delete,
    "tag": _tag,
    "untag": _untag,
    "name": _rename,
}


def _name(asked: Asked, what: str) -> str:
    found = _text(asked, "name", _LONGEST_NAME).strip()
    if not found:
        raise UserErrorException(f"{what} needs a name.", "Write at least one letter.")
    return found


def _text(asked: Asked, key: str, longest: int) -> str:
    found = asked.get(key, "")
    if not isinstance(found, str):
        raise UserErrorException(f"{key} must be text, not {found!r}.", "Reload the page.")
    if len(found) > longest:
        raise UserErrorException(
            f"{key} has {len(found)} characters; {longest} is the most.", "Write less."
        )
    return found


def _said(text: str, run_id: str | None = None) -> Done:
    return {"said": text, "run": run_id}


ROUTES = [(rf"{PREFIX}/run/([^/]+)/([^/]+)/([^/]+)", RunAction)]
