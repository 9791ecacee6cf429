"""Forms for runs: what a file or a run can be submitted with, and its submission."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from jupyter_server.auth.decorator import authorized
from tornado.web import authenticated

from ..errors import UserErrorException
from ..workspace import Workspace
from ..workspace.file_forms import form_for
from ..workspace.repeat_form import RepeatForm
from ..workspace.run_form import Form, FormException
from .handling import PREFIX, Handler, body_of
from .places import Places

Asked = Mapping[str, Any]

_MOST_FIELDS = 1000
_LONGEST_TEXT = 100_000


class Options(Handler):
    """``Form`` of ``api.json``."""

    @authenticated
    @authorized
    async def get(self) -> None:
        """Answer what the file or the run can be submitted with."""
        names = ("path", "place", "run", "batch")
        asked = {name: self.get_query_argument(name, "") for name in names}
        await self.answer(lambda: _form(self.places, asked))


class Submit(Handler):
    """``FormAnswer`` of ``api.json``."""

    @authenticated
    @authorized
    async def post(self) -> None:
        """Check the form, plan what it asks for, or do it."""
        asked = body_of(self)
        if asked.get("do") != "check":
            self.may_change()
        await self.answer(lambda: _submit(self.places, asked))


def _form(places: Places, asked: Asked) -> dict[str, Any]:
    form = _found(places, asked)
    return {
        "title": form.title,
        "kind": form.kind,
        "place": _key(places, form.workspace),
        "fields": [each.to_json() for each in form.fields],
    }


def _submit(places: Places, asked: Asked) -> dict[str, Any]:
    form, texts, do = _found(places, asked), _texts(asked), asked.get("do")
    answer: dict[str, Any] = {"problems": [], "plan": "", "said": "", "place": None, "run": None}
    try:
        if do == "check":
            form.read(texts)
            return answer
        plan = form.plan(texts)
    except FormException as error:
        return {**answer, "problems": [asdict(problem) for problem in error.problems]}
    if do == "plan":
        return {**answer, "plan": str(plan)}
    if do != "submit":
        raise UserErrorException(f"A form cannot be told to {do!r}.", "check, plan or submit it.")
    run = plan.submit()
    place = _key(places, run.experiment.workspace)
    said = f"{run.display_name or run.id} was submitted."
    return {**answer, "said": said, "place": place, "run": run.id}


def _found(places: Places, asked: Asked) -> Form:
    """The form that is meant."""
    run, path = asked.get("run"), asked.get("path")
    if run:
        return RepeatForm(places.get(str(asked.get("place"))).workspace.get_run(str(run)))
    if not isinstance(path, str) or not path:
        raise UserErrorException("The form of which file?", "Name its path, or a place and a run.")
    return form_for(_file(places.root, path), places.root, asked.get("batch") in (True, "true"))


def _file(root: Path, path: str) -> Path:
    """The file that a page calls so; links that lead out of what the server shows are refused."""
    # Lab's names of files may begin with a drive: `RTC:train.py`.
    found = (root / path.rpartition(":")[2].lstrip("/")).resolve()
    if not found.is_relative_to(root):
        raise UserErrorException(
            f"{path} is not below the folder that the server shows.", "Copy it there first."
        )
    return found


def _key(places: Places, workspace: Workspace | None) -> str | None:
    """The key of the place that shows the workspace; None where there is none yet."""
    if workspace is None:
        return None
    project = workspace.folder.project.resolve()
    return next((each.key for each in places.look() if each.project.resolve() == project), None)


def _texts(asked: Asked) -> dict[str, list[str]]:
    """What is filled in, which a page may have sent in any shape."""
    values = asked.get("values") or {}
    is_form = isinstance(values, dict) and len(values) <= _MOST_FIELDS
    for texts in values.values() if is_form else (None,):
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise UserErrorException("values must be lists of texts by name.", "Reload the page.")
        if sum(map(len, texts)) > _LONGEST_TEXT:
            raise UserErrorException("A field holds too much text.", "Put it into a file.")
    return dict(values)


ROUTES = [(f"{PREFIX}/options", Options), (f"{PREFIX}/submit", Submit)]
