"""``aml compat``: whether ``import azureml.core`` finds ours, in notebooks and in scripts."""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from .. import compat
from ..errors import UserErrorException, near
from ..job import layout
from . import OK
from .compat_places import Place, for_notebooks, for_scripts
from .parser import Command, Parser
from .present import print_json, say

_ACTIONS = {
    "status": "where it is on, and whether SDK v1 itself is installed (the default)",
    "on": "for notebooks and for the scripts of this interpreter; says what it writes where",
    "off": "takes away exactly what `on` wrote",
    "run": "one script with it on: `aml compat run [--shims] script.py …`, `… run -m module …`",
}
_SDK = "azureml-core"


@dataclass(frozen=True)
class _Asked:
    action: str
    words: list[str]
    as_json: bool


def sdk_version() -> str | None:
    """The version of SDK v1 that is installed in this interpreter, and wins over ours."""
    try:
        return version(_SDK)
    except PackageNotFoundError:
        return None


def summary() -> str:
    """For whom the names are found, in a line."""
    shown = [f"{word} {'on' if on else 'off'}" for word, on in _state().items()]
    return f"{', '.join(shown)}; always on in jobs"


def _state() -> dict[str, bool]:
    found: dict[str, bool] = {}
    for word, place_of in (("notebooks", for_notebooks), ("scripts", for_scripts)):
        try:
            found[word] = place_of().is_on
        except UserErrorException:
            found[word] = False
    return found


def _compat(options: argparse.Namespace) -> int:
    asked = _understood(options.words, options.json)
    if asked.action == "run":
        return _run(asked.words)
    if asked.words:
        raise UserErrorException(
            f"aml compat {asked.action} does not know what to do with {asked.words[0]!r}.",
            "`aml compat --help` shows what it takes.",
        )
    if asked.action == "status":
        return _status(asked.as_json)
    return _change(asked.action == "on", asked.as_json)


def _understood(words: list[str], as_json: bool) -> _Asked:
    """What is asked; ``--json`` behind ``run`` is the script's own."""
    action, *more = words or ["status"]
    if action not in _ACTIONS:
        raise UserErrorException(f"aml compat cannot {action!r}.", near(action, _ACTIONS))
    if action == "run":
        return _Asked(action, more, as_json)
    words = [word for word in more if word != "--json"]
    return _Asked(action, words, as_json or words != more)


def _status(as_json: bool) -> int:
    sdk, state = sdk_version(), _state()
    if as_json:
        print_json({**state, "sdk": sdk})
        return OK
    for word, on in state.items():
        print(f"{word:<10} {'on' if on else 'off'}")
    print("jobs       on, always")
    if sdk is not None:
        say(f"{_SDK} {sdk} is installed in this interpreter, and wins over ours here.")
    return OK


def _change(on: bool, as_json: bool) -> int:
    changed: list[str] = []
    for place_of in (for_notebooks, for_scripts):
        place = place_of()
        if place.put() if on else place.take():
            changed.append(str(place.path))
            if not as_json:
                _tell(place, on)
    if as_json:
        print_json({"changed": changed, **_state()})
    elif not changed:
        print(f"It is {'on' if on else 'off'} already: nothing was changed.")
    elif on:
        say("`aml compat off` takes exactly this away. Kernels that run need a restart.")
    return OK


def _tell(place: Place, on: bool) -> None:
    print(f"{'Wrote to' if on else 'Taken out of'} {place.path}, for {place.purpose}.")
    if on:
        print("".join(f"    {line}\n" for line in place.text.splitlines()), end="")


def _run(words: list[str]) -> int:
    """Become Python with the script, so that it is as under ``python script.py``."""
    with_shims = words[:1] == ["--shims"]
    words = words[1:] if with_shims else words
    if not words or (words[0] == "-m" and not words[1:]):
        raise UserErrorException("No script was named.", "Say `aml compat run script.py`.")
    if not words[0].startswith("-") and not Path(words[0]).is_file():
        raise UserErrorException(f"There is no script {words[0]}.", "Check the path.")
    startup = str(Path(compat.__file__).with_name(layout.STARTUP))
    path = filter(None, [startup, os.environ.get("PYTHONPATH")])
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join(path)}
    if with_shims:
        variables[compat.SHIMS] = "1"
    sys.stdout.flush()
    os.execve(sys.executable, [sys.executable, *words], variables)


def _arguments(parser: Parser) -> None:
    parser.add_argument(
        "words", metavar="|".join(_ACTIONS), nargs=argparse.REMAINDER, default=[], help="see below"
    )


COMMANDS = {
    "compat": Command(
        _arguments,
        _compat,
        (
            "aml compat on",
            "aml compat status",
            "aml compat run train.py --epochs 5",
            "aml compat run --shims old.py",
        ),
        usage=f"[{'|'.join(_ACTIONS)}] …",
        notes="\n".join(f"{word:<7} {summary}" for word, summary in _ACTIONS.items()),
    )
}
