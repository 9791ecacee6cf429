"""The options of the magics: one table that parses, explains itself and completes.

A mistake is a :class:`UserErrorException` of two lines; nothing here ever exits the kernel.
"""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ..errors import UserErrorException
from ..spec.words import parse_duration, parse_tag


def names(text: str) -> list[str]:
    """The names in ``a,b``."""
    found = [name.strip() for name in text.split(",") if name.strip()]
    wrong = [name for name in found if not name.isidentifier()]
    if wrong or not found:
        raise ValueError("name variables, with commas between them")
    return found


def variable(text: str) -> str:
    """One variable name."""
    if not text.isidentifier():
        raise ValueError("it must be the name of a variable")
    return text


def number(text: str) -> int:
    """A whole number above zero."""
    if not text.isdecimal() or int(text) < 1:
        raise ValueError("it must be a whole number above zero")
    return int(text)


@dataclass(frozen=True)
class Option:
    """One option. Without ``metavar`` it is a switch; ``many`` may be given again and again."""

    flags: str
    metavar: str
    help: str
    read: Callable[[str], object] = str
    many: bool = False
    source: str = ""

    @property
    def names(self) -> list[str]:
        """All its spellings."""
        return self.flags.split("/")

    @property
    def key(self) -> str:
        """The name its value goes by: ``dry_run`` for ``--dry-run``."""
        return self.names[-1].lstrip("-").replace("-", "_")


TARGET = Option("-t/--target", "TARGET", "where to run; `local` if not said", source="targets")
EXPERIMENT = Option(
    "-e/--experiment", "NAME", "the experiment; named after the notebook if not said",
    source="experiments",
)  # fmt: skip
ENV = Option("--env", "ENV", "a Python interpreter, or the name of an environment", source="paths")
SOURCE = Option("--source", "DIR", "take this folder along; it becomes the working directory",
                source="paths")  # fmt: skip
TIMEOUT = Option("--timeout", "TIME", "cancel the run after 90s, 30m, 2h or 1d", parse_duration)
TAG = Option("--tag", "KEY=VALUE", "tag the run; may be repeated", parse_tag, many=True)
AS = Option("--as", "NAME", "give the run to this variable", variable)
NAME = Option("--name", "TEXT", "the display name of the run")
WAIT = Option("--wait", "", "show the output here and wait for the end")
QUIET = Option("--quiet", "", "one line that follows the state, instead of the live view")
DRY_RUN = Option("--dry-run", "", "show what would be captured and done, and do nothing")
HELP = Option("-h/--help", "", "show this help")

_COMMON = (TARGET, EXPERIMENT, ENV, SOURCE, TIMEOUT, TAG, AS, NAME, WAIT, QUIET, DRY_RUN, HELP)
_WITH = Option(
    "--with", "VAR,…", "send these variables pickled", names, many=True, source="variables"
)
_OUT = Option("--out", "VAR,…", "bring these variables back when the run completes", names,
              many=True)  # fmt: skip
_LAST = "the last run of this notebook if none is named"


@dataclass(frozen=True)
class Parsed:
    """The values of the options by key, the words that are none, and what came after ``--``."""

    values: Mapping[str, object]
    words: Sequence[str]
    arguments: Sequence[str]

    def text(self, key: str) -> str | None:
        """The value of an option that is text; None if not given."""
        value = self.values.get(key)
        return None if value is None else str(value)

    def given(self, key: str) -> bool:
        """Whether a switch is on."""
        return bool(self.values.get(key))

    def many(self, key: str) -> list[object]:
        """All values of an option that may be repeated, lists of lists flattened."""
        found: list[object] = []
        for value in self.values.get(key, ()):  # type: ignore[attr-defined]
            found += value if isinstance(value, list) else [value]
        return found

    def count(self, key: str) -> int | None:
        """The value of an option that is a number; None if not given."""
        value = self.values.get(key)
        return value if isinstance(value, int) else None


@dataclass(frozen=True)
class Command:
    """A magic as its user sees it: a line that says what it is for, words, options, examples."""

    name: str
    summary: str
    words: str = ""
    options: Sequence[Option] = ()
    arguments: bool = False
    most: int = 0
    source: str = ""
    examples: Sequence[str] = field(default=())

    def usage(self) -> str:
        """The help text, for ``?`` and ``--help``."""
        rest = [self.words, "[options]" if self.options else "", "[-- arguments]" * self.arguments]
        lines = [self.summary, "", "  " + " ".join([self.name, *filter(None, rest)])]
        if self.options:
            lines += ["", "Options:", *_aligned(self.options)]
        if self.examples:
            lines += ["", "Examples:", *(f"  {line}" for line in self.examples)]
        return "\n".join(lines)

    def parse(self, line: str) -> Parsed:
        """What a line says; :class:`UserErrorException` for what it cannot mean."""
        tokens = self._split(line)
        arguments: list[str] = []
        if "--" in tokens:
            dashes = tokens.index("--")
            tokens, arguments = tokens[:dashes], tokens[dashes + 1 :]
            self._check_arguments(arguments)
        values: dict[str, object] = {}
        words = []
        while tokens:
            token = tokens.pop(0)
            if token.startswith("-") and token != "-":
                self._take(token, tokens, values)
            else:
                words.append(token)
        if len(words) > self.most:
            raise self._too_many(words)
        return Parsed(values, words, arguments)

    def option(self, flag: str) -> Option | None:
        """The option with this spelling."""
        return next((option for option in self.options if flag in option.names), None)

    def flags(self) -> Iterator[str]:
        """Every spelling of every option."""
        for option in self.options:
            yield from option.names

    def _take(
        self, token: str, tokens: list[str], values: dict[str, list[object] | object]
    ) -> None:
        flag, equals, value = token.partition("=")
        option = self.option(flag)
        if option is None:
            raise self._unknown(flag)
        if not option.metavar:
            if equals:
                raise UserErrorException(f"{flag} takes no value.", f"Write {flag} alone.")
            values[option.key] = True
            return
        if not equals:
            if not tokens or self.option(tokens[0]):
                raise UserErrorException(
                    f"{flag} needs a value.", f"{flag} {option.metavar}: {option.help}."
                )
            value = tokens.pop(0)
        try:
            read = option.read(value)
        except ValueError as error:
            raise UserErrorException(
                f"{flag} {value!r} is not understood: {error}.",
                f"{flag} {option.metavar}: {option.help}.",
            ) from None
        if option.many:
            found = values.setdefault(option.key, [])
            assert isinstance(found, list)
            found.append(read)
        else:
            values[option.key] = read

    def _unknown(self, flag: str) -> UserErrorException:
        close = difflib.get_close_matches(flag, list(self.flags()), 2, 0.65)
        message = f"{self.name} has no option {flag}."
        if close:
            hint = f"Did you mean {' or '.join(close)}?"
        else:
            hint = f"It has {', '.join(o.names[-1] for o in self.options)}." if self.options else ""
        if self.arguments:
            hint += f" Arguments for the script come after `--`: -- {flag} …"
        return UserErrorException(message, hint.strip() or f"See {self.name}? for help.")

    def _too_many(self, words: Sequence[str]) -> UserErrorException:
        extra = words[self.most]
        hint = f"See {self.name}? for help."
        if self.arguments:
            hint = f"Arguments for the script come after `--`: -- {extra}"
        return UserErrorException(f"{self.name} does not know what to do with {extra!r}.", hint)

    def _split(self, text: str) -> list[str]:
        try:
            return shlex.split(text)
        except ValueError as error:
            raise UserErrorException(
                f"{self.name} cannot read its options: {str(error).lower()}.",
                "Close the quotation mark, or put a backslash before it.",
            ) from None

    def _check_arguments(self, arguments: Sequence[str]) -> None:
        if arguments and not self.arguments:
            raise UserErrorException(
                f"{self.name} takes no arguments after `--`.", f"See {self.name}? for help."
            )


def _aligned(options: Sequence[Option]) -> Iterator[str]:
    lefts = [f"{', '.join(o.names)} {o.metavar}".rstrip() for o in options]
    width = max(map(len, lefts))
    for left, option in zip(lefts, options, strict=True):
        yield f"  {left:{width}}  {option.help}"


RUN_CELL = Command(
    "%%aml_run",
    "Run this cell as a job that outlives the notebook, and watch it here.",
    options=(_WITH, _OUT, *_COMMON),
    arguments=True,
    examples=(
        "%%aml_run -e mnist --out history --tag model=cnn",
        "%%aml_run --with train_set --timeout 2h --as run -- --epochs 5",
    ),
)
RUN_SCRIPT = Command(
    "%aml_run",
    "Run a script, with the folder it is in, as a job that outlives the notebook.",
    words="[script.py]",
    options=(Option("--script", "FILE", "the script, below --source", source="paths"), *_COMMON),
    arguments=True,
    most=1,
    source="paths",
    examples=(
        "%aml_run train.py -e mnist -- --epochs 5",
        "%aml_run --source src --script train.py --env ~/envs/torch/bin/python",
    ),
)
RUNS = Command(
    "%aml_runs",
    "List the newest runs of this workspace.",
    options=(
        Option("-n/--count", "N", "how many; 20 if not said", number),
        Option("--state", "STATE", "only runs in this state", source="states"),
        EXPERIMENT,
        Option("--tag", "KEY[=VALUE]", "only runs with this tag"),
        HELP,
    ),
    examples=("%aml_runs -n 5 --state Running", "%aml_runs -e mnist --tag model=cnn"),
)
ATTACH = Command(
    "%aml_attach",
    "Show a run live: after a restart of the kernel, or from another notebook.",
    words="[ID]",
    options=(AS, QUIET, WAIT, HELP),
    most=1,
    source="runs",
    examples=("%aml_attach", "%aml_attach mnist_17 --as run"),
)
LOGS = Command(
    "%aml_logs",
    f"Print the end of a run's log; {_LAST}.",
    words="[ID]",
    options=(Option("-n/--lines", "N", "how many lines; 50 if not said", number), HELP),
    most=1,
    source="runs",
    examples=("%aml_logs -n 200",),
)
CANCEL = Command(
    "%aml_cancel",
    "Cancel runs. What they wrote so far is kept.",
    words="ID…",
    options=(Option("--all", "", "every run of this workspace that has not ended"), HELP),
    most=10_000,
    source="runs",
    examples=("%aml_cancel mnist_17", "%aml_cancel --all"),
)
COMPARE = Command(
    "%aml_compare",
    "Show runs together: one line for each in every chart, and what differs between them.",
    words="ID ID…",
    options=(HELP,),
    most=20,
    source="runs",
    examples=("%aml_compare mnist_17 mnist_18",),
)
HELP_COMMAND = Command("%aml", "List the magics of aml_jupyter.", options=(HELP,))

COMMANDS = (RUN_CELL, RUN_SCRIPT, RUNS, ATTACH, LOGS, CANCEL, COMPARE, HELP_COMMAND)
"""Every magic there is."""


def completions(
    command: Command, line: str, symbol: str, ask: Callable[[str], Sequence[str]]
) -> list[str]:
    """What may stand where the cursor is; ``ask`` knows targets, experiments, runs and so on."""
    before = line[: len(line) - len(symbol)] if symbol and line.endswith(symbol) else line
    if re.search(r"(^|\s)--\s", before):
        return []
    previous = before.split()[-1] if before.split() else ""
    option = command.option(previous)
    if option is not None and option.metavar:
        return sorted(ask(option.source)) if option.source else []
    if symbol.startswith("-"):
        return sorted(command.flags())
    words = sorted(ask(command.source)) if command.source else []
    return words if symbol else [*words, *command.flags()]
