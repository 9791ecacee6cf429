"""Conda environments: by a conda that is here, else by py-rattler, else from PyPI."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from aml_jupyter.spec.requirements import normalised

from . import lock, uv_settings, venv
from .conda_names import NotOnPyPI, OnPyPI, name_of, on_pypi
from .conda_settings import CondaSettings
from .conda_tools import CHANNEL_LOGINS, RATTLER, NoChannel, Tool, find_tool
from .making import BuildError, Made, Site
from .recipe import VENV, Recipe

_PLAIN_VERSION = re.compile(r"=*(\d+)\.(\d+)(?:\.(\d+|\*))?")
_OLDEST_MINOR, _NEWEST_MINOR = 6, 14
_ACTIVATION_SECONDS = 30
_DISTRIBUTION = re.compile(r"([^/]+?)-([^/-]+)(?:-py[\d.]+)?\.(?:dist|egg)-info(?:/|$)")


def make(recipe: Recipe, site: Site) -> Made:
    """The conda environment of the recipe, at ``site.target``.

    Where no channel can be reached, the packages come from PyPI if all of them are known to be
    there; the option ``conda_from_pypi`` set to false forbids it.
    """
    settings = CondaSettings.read(site.variables)
    equipped = replace(site, variables=uv_settings.variables(site, recipe.pip))
    options = dict(site.options)
    if site.secrets.get(CHANNEL_LOGINS):
        # Of the others, command lines would have to tell them.
        options.setdefault("conda_tool", RATTLER)
    tool = Tool(find_tool(site.variables, options), equipped, recipe.channels, settings)
    try:
        notes = _install(recipe, tool)
    except NoChannel as error:
        return _from_pypi(recipe, site, error)
    interpreter = str(site.target / "bin" / "python")
    notes += venv.install(recipe.pip, interpreter, equipped)
    records = _records(site.target)
    facts = {
        "tool": tool.name,
        "channels": list(settings.urls(recipe.channels)),
        "activation": _activation(site.target, site.variables),
        "notes": notes,
    }
    packages = tuple(sorted([*map(_exact, records), *_by_pip(site.target, records)]))
    python = next((str(r["version"]) for r in records if r["name"] == "python"), "")
    return Made(interpreter, packages, python, facts=facts)


def _install(recipe: Recipe, tool: Tool) -> list[str]:
    """Install with the Python asked for, or the nearest newer that a channel has; what to note."""
    if names_python(recipe):
        tool.install(recipe.conda)
        return []
    asked, *others = pythons(recipe.python)
    try:
        tool.install([asked, *recipe.conda])
    except BuildError as error:
        found = _with_first(others, recipe, tool) if error.line == asked else None
        if found is None:
            raise
        note = f"No channel has {asked}; {found} was taken instead."
        tool.site.say(f"warning: {note}")
        return [note]
    return []


def _with_first(others: Sequence[str], recipe: Recipe, tool: Tool) -> str | None:
    """The first of these that a channel has, which is installed by then."""
    for python in others:
        try:
            tool.install([python, *recipe.conda])
        except BuildError as error:
            if error.line != python:
                raise
        else:
            return python
    return None


def names_python(recipe: Recipe) -> bool:
    """Whether the conda packages say themselves which Python is to be."""
    return any(name_of(spec) == "python" for spec in recipe.conda)


def pythons(asked: str | None) -> Iterator[str]:
    """Match specs for Python, in the order to try them: v1's samples name ancient versions."""
    if not asked:
        yield "python"
        return
    found = _PLAIN_VERSION.fullmatch(asked)
    if found is None:
        yield f"python {asked}" if re.match(r"[<>=!~]", asked) else f"python={asked}"
        return
    major, minor, patch = int(found[1]), int(found[2]), found[3]
    if patch and patch != "*":
        yield f"python={major}.{minor}.{patch}"
    yield f"python={major}.{minor}"
    for newer in range(minor + 1 if major == 3 else _OLDEST_MINOR, _NEWEST_MINOR + 1):
        yield f"python=3.{newer}"


# From PyPI ----------------------------------------------------------------------------------


def _from_pypi(recipe: Recipe, site: Site, error: NoChannel) -> Made:
    """The same packages as a virtual environment; ``error`` where that cannot be."""
    if site.options.get("conda_from_pypi") is False:
        raise error
    try:
        found = on_pypi(recipe.conda, recipe.channels)
    except NotOnPyPI as missing:
        error.hint += (
            " Packages known to be on PyPI would be taken from there; of "
            f"{missing.spec!r}, in these channels, that is not known."
        )
        raise error from missing
    note = _explained(found, error.reason)
    site.say(f"warning: {note}")
    shutil.rmtree(site.target, ignore_errors=True)
    pip = (*found.requirements, *recipe.pip)
    made = venv.make(replace(recipe, kind=VENV, conda=(), channels=(), pip=pip), site)
    notes = made.facts.get("notes")
    facts = {"tool": "uv", "notes": [note, *(notes if isinstance(notes, list) else [])]}
    return replace(made, facts={**made.facts, **facts})


def _explained(found: OnPyPI, reason: str) -> str:
    taken = ", ".join(found.requirements) or "nothing"
    left_out = f"; left out, since wheels bring it: {', '.join(found.left_out)}"
    return (
        f"No conda channel can be reached ({reason}); taking {taken} from PyPI instead"
        + (left_out if found.left_out else "")
        + "."
    )


# What was made ------------------------------------------------------------------------------


def _records(prefix: Path) -> list[dict[str, object]]:
    """What conda remembers of each package that it installed."""
    return [
        json.loads(path.read_text(encoding="utf-8"))
        for path in sorted((prefix / "conda-meta").glob("*.json"))
    ]


def _exact(record: Mapping[str, object]) -> str:
    return f"{lock.CONDA_MARK}{record['name']}=={record['version']}={record['build']}"


def _by_pip(prefix: Path, records: Sequence[Mapping[str, object]]) -> list[str]:
    """What pip installed: distributions that no conda package brought."""
    brought = set()
    for record in records:
        files = record.get("files")
        for path in files if isinstance(files, list) else ():
            found = _DISTRIBUTION.search(str(path))
            if found:
                brought.add(f"{normalised(found[1])}=={found[2]}")
    return [line for line in lock.in_prefix(prefix) if line not in brought]


def _activation(prefix: Path, variables: Mapping[str, str]) -> dict[str, str]:
    """The variables that activating it sets, ``PATH`` apart."""
    before = {"CONDA_PREFIX": str(prefix)}
    scripts = sorted((prefix / "etc" / "conda" / "activate.d").glob("*.sh"))
    if not scripts:
        return before
    lines = "".join(f". '{path}' >/dev/null 2>&1\n" for path in scripts)
    path = f"{prefix}/bin{os.pathsep}{variables.get('PATH', os.defpath)}"
    asked = subprocess.run(
        ["sh", "-c", f"{lines}env -0"],
        env={**variables, **before, "PATH": path},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=_ACTIVATION_SECONDS,
    )
    pairs = (entry.partition("=") for entry in asked.stdout.decode(errors="replace").split("\0"))
    own = {"PATH", "PWD", "OLDPWD", "SHLVL", "_"}
    return before | {
        name: value
        for name, _, value in pairs
        if name and name not in own and variables.get(name) != value
    }
