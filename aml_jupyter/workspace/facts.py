"""What there is to know about a run besides what it logged: facts for people, secrets hidden."""

from __future__ import annotations

import os
import re
import shlex
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import AmlError
from ..spec import JobSpec, RunRequest
from ..spec.fields import dump_yaml
from ..spec.words import HIDDEN, looks_secret
from ..store import Objects
from ..store.gitfacts import without_credentials_inside
from .sources import SnapshotFiles

if TYPE_CHECKING:
    from .run import Run

GIT_DIFF = "git.diff"
"""The file in a run's folder with what was not committed when the run was submitted."""

_LONGEST = 2_000
_LONGEST_NAME = 200
_MOST_FACTS = 1_000
_LONGEST_DIFF = 200_000
_LONGEST_SCRIPT = 100_000

_OPTION = re.compile(r"--?([A-Za-z][^=\s]*)(?:=(.*))?", re.DOTALL)
_ASSIGNMENT = re.compile(r"\+{0,2}([A-Za-z_][\w./@-]*)=(.*)", re.DOTALL)
_SETTING = re.compile(r"\s*-*([\w.-]+)=(.*)", re.DOTALL)
_OPERATORS = frozenset("();<>|&")


def facts_of(run: Run) -> dict[str, Any]:
    """All facts about a run, as the wire type ``RunFacts``: sections, tags, and longer texts.

    Names and values are bounded in length and number, and secrets are hidden; they are not
    escaped.
    """
    request = RunRequest.from_json(run._request)
    sections: dict[str, Mapping[str, object]] = {
        "Parameters": parameters_of(run),
        "Data": _data(run, request),
        "Source": _source(request),
        "Environment": _environment(request),
        "Git": _git(request),
        "Run": _identity(run, request),
        "Properties": dict(sorted(run.properties.items())),
    }
    shown = {title: _facts(content) for title, content in sections.items()}
    return {
        "sections": [{"title": title, "facts": facts} for title, facts in shown.items() if facts],
        "tags": [_fact(name, value) for name, value in sorted(run.tags.items())[:_MOST_FACTS]],
        "texts": [
            {"title": title, "text": text, "kind": kind}
            for title, text, kind in _texts(run, request)
            if text
        ],
    }


def parameters_of(run: Run) -> dict[str, str]:
    """What the run was started with, by name: arguments of its script, values of its cell.

    And what it logged as a parameter by MLflow, which is the later word.
    """
    logged = {name: _hidden(name, value) for name, value in run._read().params.items()}
    return {**parameters_in(RunRequest.from_json(run._request)), **logged}


def parameters_in(request: RunRequest) -> dict[str, str]:
    """What a run's request says of them. An option that is only a word has the value ``yes``."""
    found: dict[str, str] = {}
    if request.job is not None and request.job.notebook is not None:
        found = {name: str(value) for name, value in request.job.notebook.parameters.items()}
    named = _named_data(request.job)
    for name, value in _arguments(request.job):
        value = named.get(value, value)
        found[name] = f"{found[name]} {value}" if name in found else value
    for variable in captured_in(request):
        name, known = str(variable["name"]), variable.get("value")
        if variable.get("how") == "value" and known is not None:
            found[f"{name} (variable)" if name in found else name] = str(known)
    return {name: _hidden(name, value) for name, value in found.items()}


def captured_in(request: RunRequest) -> list[dict[str, Any]]:
    """What the run's cell took along from its notebook; empty for other runs."""
    found = request.source.get("captured")
    listed = found if isinstance(found, list) else []
    return [each for each in listed if isinstance(each, dict) and "name" in each]


def environment_text(request: RunRequest) -> str:
    """The environment of a run as YAML: what was found, what was asked for, and variables."""
    asked = request.definition.get("environment")
    content = {
        "found": dict(request.environment),
        "variables": dict(request.job.environment_variables) if request.job else {},
        "asked": asked,
    }
    told = {key: _without_secrets(value) for key, value in content.items() if value}
    return without_credentials_inside(dump_yaml(told)) if told else ""


def shown_duration(seconds: float | None) -> str:
    """A length of time: ``4.2 s`` or hours, minutes and seconds; "" for None."""
    if seconds is None:
        return ""
    minutes, rest = divmod(round(seconds), 60)
    if not minutes:
        return f"{seconds:.1f} s"
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"


# Parameters -----------------------------------------------------------------------------------


def _arguments(job: JobSpec | None) -> Iterator[tuple[str, str]]:
    if job is None:
        return
    if job.command is None:
        yield from _named(job.arguments)
    else:
        yield from _of_command(job.command)


def _of_command(command: str) -> Iterator[tuple[str, str]]:
    """The options and assignments in a line for a shell."""
    try:
        words = shlex.split(command)
    except ValueError:  # a quotation mark that only its shell understands
        return
    for is_operator, part in groupby(words, key=_OPERATORS.issuperset):
        if not is_operator:
            yield from (pair for pair in _named(list(part)) if not pair[0].startswith("arg "))


def _named(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """``--name value``, ``--name=value``, ``name=value`` and ``--flag``; others as ``arg 1`` ….

    What a script takes for an option only it can know: a word behind one counts as its value.
    """
    rest, place, only_words = list(reversed(words)), 0, False
    while rest:
        word = rest.pop()
        option = None if only_words else _OPTION.fullmatch(word)
        if word == "--" and not only_words:
            only_words = True
        elif option:
            name, value = option.groups()
            if value is None and rest and not _OPTION.fullmatch(rest[-1]) and rest[-1] != "--":
                value = rest.pop()
            yield name, "yes" if value is None else value
        elif assignment := _ASSIGNMENT.fullmatch(word):
            yield assignment[1], assignment[2]
        else:
            place += 1
            yield f"arg {place}", word


def _named_data(job: JobSpec | None) -> dict[str, str]:
    """What people call an input or an output, by the variable that stands for it."""
    if job is None:
        return {}
    inputs = {f"${each.variable}": each.title for each in job.data.inputs}
    return {**inputs, **{f"${each.variable}": each.name for each in job.data.outputs}}


# Sections -------------------------------------------------------------------------------------


def _data(run: Run, request: RunRequest) -> dict[str, object]:
    """Where the run's data came from, and what became of what it wrote."""
    if request.job is None:
        return {}
    data, made = request.job.data, run._read().outputs
    found: dict[str, object] = {each.name: f"{each.title} ({each.mode})" for each in data.inputs}
    for output in data.outputs:
        where = f"{output.datastore}/{output.destination(request.id)}"
        became = made.get(output.name, {})
        named = f", {became['dataset']}:{became['version']}" if became.get("dataset") else ""
        found[f"{output.name} (output)"] = f"{where}{named}"
    for each in data.references:
        found[each.variable] = f"{each.datastore}/{each.path} ({each.mode})"
    return found


def _source(request: RunRequest) -> dict[str, object]:
    source, job = request.source, request.job
    count = source.get("execution_count")
    size = source.get("bytes")
    return {
        "kind": source.get("kind"),
        "notebook": source.get("notebook"),
        "cell": " ".join(
            filter(None, [f"[{count}]" if count else "", str(source.get("cell") or "")])
        ),
        "folder": source.get("directory"),
        "script": job.script if job else source.get("script"),
        "command": _shown_command(job.command) if job and job.command else None,
        "arguments": shlex.join(_without_secrets(list(job.arguments))) if job else None,
        "snapshot": (job.snapshot if job else None) or request.properties.get("ContentSnapshotId"),
        "files": source.get("files"),
        "size": f"{size:,} bytes" if isinstance(size, int) else None,
        "rerun of": source.get("again"),
    }


def _shown_command(command: str) -> str:
    for name, value in _of_command(command):
        if value and looks_secret(name):
            command = command.replace(value, HIDDEN)
    return command


def _environment(request: RunRequest) -> dict[str, object]:
    found, job = request.environment, request.job
    packages, notes = found.get("packages"), found.get("notes")
    variables = job.environment_variables if job else {}
    return {
        "name": found.get("name"),
        "version": found.get("version"),
        "kind": found.get("kind"),
        "interpreter": job.interpreter if job else None,
        "python": found.get("python"),
        "packages": ", ".join(map(str, packages)) if isinstance(packages, list) else packages,
        "notes": " ".join(map(str, notes)) if isinstance(notes, list) else None,
        **{f"${name}": value for name, value in variables.items()},
    }


def _git(request: RunRequest) -> dict[str, object]:
    git = request.git
    dirty = {"True": "yes", "False": "no"}.get(str(git.get("azureml.git.dirty")))
    return {
        "repository": git.get("azureml.git.repository_uri"),
        "branch": git.get("azureml.git.branch"),
        "commit": git.get("azureml.git.commit"),
        "uncommitted changes": dirty,
        "build": git.get("azureml.git.build_id"),
        "build address": git.get("azureml.git.build_uri"),
    }


def _identity(run: Run, request: RunRequest) -> dict[str, object]:
    known = run._read()
    ended = known.ended or time.time()
    return {
        "id": run.id,
        "name": known.display_name if known.display_name != run.id else None,
        "description": known.description,
        "number": request.number or None,
        "experiment": request.experiment,
        "state": known.status,
        "target": request.target,
        "host": request.host,
        "submitted by": request.submitted_by,
        "created": _clock(request.created),
        "started": _clock(known.started),
        "ended": _clock(known.ended),
        "took": shown_duration(None if known.started is None else ended - known.started),
        "parent": request.parent,
        "folder": run.folder,
    }


def _clock(when: float | None) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(when)) if when else ""


# Texts ----------------------------------------------------------------------------------------


def _texts(run: Run, request: RunRequest) -> Iterator[tuple[str, str, str]]:
    """(title, text, kind) of what is too long for a line."""
    yield "Uncommitted changes", _beginning(run.folder / GIT_DIFF, _LONGEST_DIFF), "diff"
    script = request.job.script if request.job else None
    if script and request.job:
        yield script, _script_text(run._objects(), request.job.snapshot, script), "text"
    yield "Captured", _captured_text(captured_in(request)), "text"
    yield "Environment", _cut(environment_text(request), _LONGEST_SCRIPT), "text"


def _beginning(path: Path, most: int) -> str:
    try:
        with open(path, "rb") as file:
            data = file.read(most + 1)
    except OSError:
        return ""
    return _cut(data.decode("utf-8", "replace"), most)


def _script_text(objects: Objects, snapshot_id: str | None, script: str) -> str:
    """The script as it was submitted; "" where its snapshot is gone, for the rest is true yet."""
    try:
        files = SnapshotFiles(objects, snapshot_id)
        return files.text(os.path.normpath(script), _LONGEST_SCRIPT)
    except (AmlError, OSError):
        return ""


def _captured_text(captured: Iterable[Mapping[str, Any]]) -> str:
    return "\n".join(_captured_line(each) for each in captured)


def _captured_line(each: Mapping[str, Any]) -> str:
    how, size, value = each.get("how"), each.get("size"), each.get("value")
    about = f"{each.get('type')}, {how}" + (f", {size} bytes" if size else "")
    name = str(each["name"])
    if how != "value":
        return f"{name}  ({about})"
    return f"{name} = {HIDDEN if value is None else _hidden(name, str(value))}  ({about})"


# Shared ---------------------------------------------------------------------------------------


def _facts(content: Mapping[str, object]) -> list[dict[str, str]]:
    """Those of the facts that say something, cut to what a page can hold."""
    said = [(name, value) for name, value in content.items() if value not in (None, "")]
    facts = [_fact(name, _hidden(name, str(value))) for name, value in said[:_MOST_FACTS]]
    more = len(said) - len(facts)
    return [*facts, *([{"name": "…", "value": f"{more:,} more"}] if more > 0 else [])]


def _fact(name: str, value: object) -> dict[str, str]:
    text = "" if value is None else str(value)
    return {"name": _cut(name, _LONGEST_NAME), "value": _cut(text, _LONGEST)}


def _cut(text: str, most: int) -> str:
    text = text[: most + 1].encode("utf-8", "replace").decode()  # half characters travel nowhere
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _hidden(name: str, value: str) -> str:
    """The value, unless its name is that of a secret; addresses lose their credentials."""
    return HIDDEN if looks_secret(name) else without_credentials_inside(value)


def _without_secrets(value: Any) -> Any:
    """Plain data with every secret in it hidden, also ``NAME=value`` and ``--name value`` texts."""
    if isinstance(value, Mapping):
        return {
            str(key): HIDDEN if inner and looks_secret(str(key)) else _without_secrets(inner)
            for key, inner in value.items()
        }
    if isinstance(value, (list, tuple)):
        before = ["", *value]
        return [
            HIDDEN if _asks_for_secret(last) and isinstance(item, str) else _without_secrets(item)
            for last, item in zip(before, value, strict=False)
        ]
    setting = _SETTING.fullmatch(value) if isinstance(value, str) else None
    if setting and looks_secret(setting[1]):
        return f"{value[: setting.start(2)]}{HIDDEN}"
    return value


def _asks_for_secret(word: object) -> bool:
    option = _OPTION.fullmatch(word) if isinstance(word, str) else None
    return option is not None and option[2] is None and looks_secret(option[1])
