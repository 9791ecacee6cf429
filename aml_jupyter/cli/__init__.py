"""``aml``: runs from the command line.

Every command ends with 0 when it did what was asked, 1 when the run it waited for failed or was
canceled, 2 when something asked for cannot be. With ``--json`` there is one JSON object on
stdout, for errors too. What is slow to import is imported by the command that needs it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from io import TextIOWrapper
from typing import TYPE_CHECKING

from .. import __version__
from ..errors import AmlError, UserErrorException

if TYPE_CHECKING:
    from argparse import Namespace

    from .parser import Command, Parser

__all__ = ["COMMANDS", "command_named", "main", "parser_for"]

OK, RUN_FAILED, REFUSED, INTERRUPTED = 0, 1, 2, 130

COMMANDS = {
    "run": ("submit", "run a script, a notebook or a command, as a job that outlives this shell"),
    "rerun": ("submit", "do a run once more, from its own snapshot"),
    "batch": ("batch", "execute a notebook with many sets of parameters, each as a run"),
    "runs": ("lists", "list the newest runs, filtered, or ranked by a metric"),
    "show": ("show", "everything about one run"),
    "logs": ("follow", "print a run's log, or follow it to its end"),
    "metrics": ("measures", "what a run logged: summaries, points, CSV"),
    "compare": ("compare", "runs side by side: parameters, metrics, environment, source"),
    "tensorboard": ("tensorboard", "show runs in TensorBoard until Ctrl-C"),
    "attach": ("follow", "watch a run live; Ctrl-C leaves it running"),
    "cancel": ("housekeeping", "end runs; what they wrote so far is kept"),
    "delete": ("housekeeping", "remove runs and all they left"),
    "reindex": ("housekeeping", "build the list of runs again from their folders"),
    "models": ("models", "registered models: list, show, register, download, delete, verify"),
    "env": ("environments", "environments: list, create, build, why, prune and more"),
    "target": ("targets", "compute targets: list, show, add, test, remove"),
    "data": ("data", "datasets and datastores: list, show, add"),
    "queue": ("queue", "who runs on this machine, who waits, and what for"),
    "compat": ("compat", "let `import azureml.core` find ours: on, off, status, run a script"),
    "migrate": ("migrate", "what of a program for SDK v1 runs here; the same with our names"),
    "doctor": ("doctor", "what works here, and what would make the rest work"),
    "runner": ("housekeeping", "the process that starts runs: its status, or stop it"),
    "completion": ("completion", "print the completion script for bash, zsh or fish"),
}
"""Every command: the module it lives in, and what it is for."""


def main(argv: Sequence[str] | None = None) -> int:
    """Carry out one command line and return its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    _print_whatever_it_is()
    as_json = "--json" in words
    try:
        if _is_about_aml(words):
            return OK
        options = _understood(parser_for(words[0]), words[1:])
        as_json = options.json  # in `aml run script --json` it is the script's
        code = command_named(words[0]).run(options)
        sys.stdout.flush()
        return code
    except AmlError as error:
        return _refuse(error, as_json)
    except BrokenPipeError:
        # The reader (`head`, a pager) has seen enough. Python must not complain while closing.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except OSError as error:
        hint = "Check the path, its permissions and the room on its disk."
        return _refuse(AmlError(f"{error}.", hint, error), as_json)
    except KeyboardInterrupt:
        return INTERRUPTED


def _understood(parser: Parser, words: list[str]) -> Namespace:
    from .options import joined, paired

    if "--docker-arg" in words:
        words = joined(parser, words)
    words = paired(parser, words)
    return parser.parse(words)


def _print_whatever_it_is() -> None:
    """Names of files and what runs log need not be valid text; printing them is no error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _is_about_aml(words: list[str]) -> bool:
    """Whether no command but `aml` itself is asked about; if so, the answer is given."""
    if words[:1] == ["help"]:
        words[:] = [*words[1:2], "--help"]
    if not words or words[0] in ("-h", "--help"):
        print(_help())
    elif words[0] in ("--version", "-V"):
        print(f"aml {__version__}")
    else:
        return False
    return True


def command_named(name: str) -> Command:
    """The command of that name; an error naming the nearest one when there is none."""
    if name not in COMMANDS:
        from ..spec.words import near

        raise UserErrorException(f"aml has no command {name!r}.", near(name, COMMANDS))
    found: Command = import_module(f".{COMMANDS[name][0]}", __name__).COMMANDS[name]
    return found


def parser_for(name: str) -> Parser:
    """What understands the words after that command."""
    from .parser import Parser

    command = command_named(name)
    return Parser(name, COMMANDS[name][1], command)


def _help() -> str:
    lines = [f"  {name:<11} {summary}" for name, (_, summary) in COMMANDS.items()]
    return "\n".join(
        [
            "aml: runs that outlive the shell they were started from.",
            "",
            *lines,
            "",
            "`aml COMMAND --help` explains one of them; every one takes --json.",
            "A run is named by its id, by the beginning of it, or by the word `last`.",
        ]
    )


def _refuse(error: AmlError, as_json: bool) -> int:
    if os.environ.get("AML_TRACEBACKS"):
        sys.__excepthook__(type(error), error, error.__traceback__)
    elif not as_json:
        print("\n".join(filter(None, (error.message, error.hint))), file=sys.stderr)
    if as_json:
        from .present import print_json

        print_json({"error": {"message": error.message, "hint": error.hint}})
    return REFUSED
