"""``aml env``: what jobs run in."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..environments.making import BuildError
from ..errors import AmlError, UserErrorException
from ..spec import Environment
from ..spec.words import shown_age, shown_size
from ..store import WorkspaceFolder
from ..workspace import Workspace, env_commands, env_facts, env_prune, env_table
from ..workspace.command_table import Group, Option, Parsed
from ..workspace.env_commands import EnvironmentBuild, Look
from ..workspace.env_facts import SHORT_KEY
from ..workspace.env_prune import Candidate, Pruned
from ..workspace.run_options import environment_of
from . import OK, RUN_FAILED
from .finding import workspace_here
from .parser import Command, Parser
from .present import (
    is_terminal,
    one_line,
    print_json,
    print_table,
    printable_lines,
    say,
    shown_duration,
    styled,
)

_TAIL = 30
_WIDTH = 24
_JSON = Option("--json", "", "one JSON object on stdout")

GROUP: Group = env_table.group("aml env", in_notebook=False, more=(_JSON,))
"""All that `aml env` can be asked for."""


# Understanding --------------------------------------------------------------------------------


class _Understand(argparse.Action):
    """Reads the words by the table; whether JSON is wanted is known to all from then on."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        words = [str(word) for word in values or ()]
        namespace.json = namespace.json or "--json" in words
        namespace.words = words


def _arguments(parser: Parser) -> None:
    actions = "|".join(GROUP.commands)
    parser.add_argument(
        "words", metavar=actions, nargs=argparse.REMAINDER, action=_Understand, default=[]
    )


def _env(options: argparse.Namespace) -> int:
    command, words = GROUP.command(options.words)
    if command is None:
        print(GROUP.usage())
        return OK
    asked = command.parse_words(words)
    if asked.given("help"):
        print(command.usage())
        return OK
    return _DO[command.name.split()[-1]](asked, options.json)


def _known(environment: Environment) -> Environment:
    """The environment, after what it has to say is said."""
    for note in environment.notes:
        say(note)
    return environment


def _named(asked: Parsed) -> tuple[Workspace, Environment]:
    workspace = workspace_here()
    return workspace, _known(environment_of(asked.words[0], lambda: workspace))


# Looking --------------------------------------------------------------------------------------


def _list(asked: Parsed, as_json: bool) -> int:
    found = env_facts.listed(workspace_here())
    if as_json:
        print_json({"environments": [each.to_json() for each in found]})
    else:
        print_table(env_facts.COLUMNS, [each.row() for each in found])
    return OK


def _show(asked: Parsed, as_json: bool) -> int:
    workspace, environment = _named(asked)
    found = env_facts.described(workspace, environment)
    if as_json:
        print_json(found.to_json())
        return OK
    for name, text in found.lines():
        first, *more = printable_lines(text).split("\n")
        print(f"{name:<13} {first}".rstrip())
        for line in more:
            print(f"{'':<13} {line}")
    return OK


def _why(asked: Parsed, as_json: bool) -> int:
    workspace, environment = _named(asked)
    target = env_commands.target_for(environment, asked.given("docker"))
    found = env_facts.reasons_for(workspace.folder, environment, target)
    if as_json:
        print_json({**vars(found), "lines": list(found.lines)})
    else:
        print(printable_lines(found.text()))
    return OK


def _check(asked: Parsed, as_json: bool) -> int:
    text = asked.words[0] if asked.words else None
    found = []
    for each in env_commands.checked(workspace_here(), text, asked.given("deep")):
        found.append(each)
        if not as_json:
            mark = styled("✖", "red") if each.problems else styled("✔", "green")
            print(f"{mark} {one_line(each.name)} {each.key}", flush=True)
            for problem in each.problems:
                print(f"  {one_line(problem)}")
    works = not any(each.problems for each in found)
    if as_json:
        listed = [{**vars(each), "problems": list(each.problems)} for each in found]
        print_json({"ok": works, "environments": listed})
    elif not found:
        say("Nothing is built here.")
    elif not works:
        say("What is damaged is built again by the next run that needs it.")
    return OK if works else RUN_FAILED


# Making and keeping ---------------------------------------------------------------------------


def _tell(environment: Environment, as_json: bool) -> int:
    _known(environment)
    if as_json:
        print_json({"name": environment.name, "version": environment.version})
    else:
        print(f"{environment.name}:{environment.version} is registered.")
    return OK


def _create(asked: Parsed, as_json: bool) -> int:
    return _tell(env_commands.created(Workspace.from_config, asked), as_json)


def _register(asked: Parsed, as_json: bool) -> int:
    made = environment_of(_path(asked.words[0]), Workspace.from_config)
    name = asked.text("name")
    return _tell(env_commands.registered(Workspace.from_config, made, name), as_json)


def _path(text: str) -> str:
    if not os.path.exists(os.path.expanduser(text)):
        raise UserErrorException(
            f"There is no file or folder {text}.",
            "Name a folder that `aml env save` wrote, or a file: `aml env register env.yml`.",
        )
    return os.path.abspath(os.path.expanduser(text))


def _clone(asked: Parsed, as_json: bool) -> int:
    return _tell(env_commands.cloned(Workspace.from_config, *asked.words), as_json)


def _save(asked: Parsed, as_json: bool) -> int:
    folder = env_commands.saved(workspace_here, asked)
    if as_json:
        print_json({"folder": str(folder)})
    else:
        print(f"Saved in {folder}.")
        say("`aml env register FOLDER` registers it, here or in another workspace.")
    return OK


# Building -------------------------------------------------------------------------------------


def _build(asked: Parsed, as_json: bool) -> int:
    workspace = Workspace.from_config()
    environment = _known(environment_of(asked.words[0], lambda: workspace))
    build = EnvironmentBuild(workspace, environment, asked.given("docker"))
    line = _BuildLine(environment.name, quiet=build.had_nothing_to_do)
    try:
        for look in build.looks():
            line.show(look)
    except KeyboardInterrupt:
        line.clear()
        say("The build goes on; the same command shows it again.")
        raise
    line.clear()
    try:
        build.end()
    except BuildError as error:
        raise _with_its_words(build, error) from error
    if as_json:
        print_json(build.to_json())
    else:
        print(_result(build))
    return OK


def _with_its_words(build: EnvironmentBuild, error: BuildError) -> AmlError:
    """The error, after the end of the log is shown."""
    repeated = (f"Failed: {error.message}", error.hint)
    said = [line for line in build.tail(_TAIL) if line not in repeated]
    say(printable_lines("\n".join(said)))
    at_fault = f" At fault: {one_line(error.line)}." if error.line else ""
    return AmlError(printable_lines(error.message) + at_fault, error.hint)


def _result(build: EnvironmentBuild) -> str:
    built, name = build.built, build.environment.name
    if not build.key:
        return f"{name} needs no build: {build.result}"
    if built is None or build.had_nothing_to_do:
        return f"{name} is built already: {build.result}"
    size = f"{len(built.packages)} packages"
    size += f", {shown_size(built.size)}" if built.size else ""  # an image's is known a bit later
    return f"{name} is ready, built in {shown_duration(built.seconds)} ({size}): {build.result}"


class _BuildLine:
    """The line of a terminal that says how far a build is; elsewhere a line for each step."""

    def __init__(self, name: str, quiet: bool) -> None:
        self._name = name
        self._quiet = quiet
        self._drawn = sys.stderr.isatty() and is_terminal()
        self._reasons_said = False
        self._last = ""

    def show(self, look: Look) -> None:
        """Say how it is, if that is news."""
        if self._quiet:
            return
        if look.why and not self._reasons_said:
            self._reasons_said = True
            self.clear()
            say(f"{one_line(self._name)} is built, because:")
            say("\n".join(f"  {one_line(line)}" for line in look.why))
        if self._drawn:
            self._draw(look)
        elif look.text and look.text != self._last:
            self._last = look.text
            say(one_line(look.text))

    def _draw(self, look: Look) -> None:
        filled = min(_WIDTH, _WIDTH * look.done // look.total) if look.total else 0
        bar = f"{'█' * filled}{'·' * (_WIDTH - filled)} {look.done} of {look.total}  "
        text = f"{shown_duration(look.seconds)}  {bar if look.total else ''}{one_line(look.text)}"
        width = shutil.get_terminal_size().columns - 1
        sys.stderr.write(f"\r\033[K{styled(text[:width], 'dim')}")
        sys.stderr.flush()

    def clear(self) -> None:
        """Take the line away."""
        if self._drawn:
            sys.stderr.write("\r\033[K")
            sys.stderr.flush()


# Removing -------------------------------------------------------------------------------------


def _prune(asked: Parsed, as_json: bool) -> int:
    older = asked.count("older_than")
    if asked.given("all") and older is not None:
        raise UserErrorException(
            "--all and --older-than exclude each other.", "Leave one of them out."
        )
    usual = 0 if asked.given("all") else env_table.OLDEST_KEPT
    found = env_prune.candidates(usual if older is None else older)
    return _remove_all(found, asked, as_json)


def _remove(asked: Parsed, as_json: bool) -> int:
    built = env_commands.built_named(workspace_here(), asked.words[0])
    return _remove_all(env_prune.of_builds(built), asked, as_json)


def _remove_all(found: Sequence[Candidate], asked: Parsed, as_json: bool) -> int:
    may_go = [each for each in found if not each.kept]
    is_dry = asked.given("dry_run")
    if not as_json and found:
        print_table(_HEADS, map(_row, found))
    if may_go and not is_dry and not asked.given("yes") and not _is_agreed(may_go):
        say("Nothing was removed.")
        return OK
    if is_dry:
        done = Pruned(may_go, [each for each in found if each.kept])
    else:
        here = WorkspaceFolder.find(Path.cwd())
        done = env_prune.remove(found, here)
    if as_json:
        print_json({**done.to_json(), "dry_run": is_dry})
    else:
        _tell_removed(done, {each.key for each in found if each.kept}, is_dry)
    return OK


def _tell_removed(done: Pruned, known: set[str], is_dry: bool) -> None:
    for each in done.kept:
        if each.key not in known:
            say(f"{each.key[:SHORT_KEY]} stays: {one_line(each.kept)}.")
    verb = "Would free" if is_dry else "Freed"
    count = len(done.removed)
    print(f"{verb} {shown_size(done.freed)}: {count} environment{'' if count == 1 else 's'}.")


def _is_agreed(found: Iterable[Candidate]) -> bool:
    sizes = [each.size for each in found]
    what = f"{len(sizes)} environment{'' if len(sizes) == 1 else 's'} ({shown_size(sum(sizes))})"
    if not sys.stdin.isatty():
        raise UserErrorException(f"Removing {what} has to be confirmed.", "Say it with -y.")
    sys.stderr.write(f"Remove {what}? [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


_HEADS = ("key", "environment", "kind", "size", "used", "stays because")


def _row(each: Candidate) -> list[str]:
    used = shown_age(min(each.used, time.time()))
    return [each.key[:SHORT_KEY], each.name, each.kind, shown_size(each.size), used, each.kept]


_DO: Mapping[str, Callable[[Parsed, bool], int]] = {
    "list": _list,
    "show": _show,
    "create": _create,
    "build": _build,
    "register": _register,
    "clone": _clone,
    "save": _save,
    "check": _check,
    "why": _why,
    "prune": _prune,
    "remove": _remove,
}

COMMANDS = {
    "env": Command(
        _arguments,
        _env,
        tuple(each.examples[0] for each in GROUP.commands.values()),
        usage=f"[{'|'.join(GROUP.commands)}] …",
        notes="\n".join(f"{word:<9} {each.summary}" for word, each in GROUP.commands.items()),
    )
}
