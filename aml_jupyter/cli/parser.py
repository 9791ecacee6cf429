"""Understanding a command line: argparse, with errors of two lines that name the remedy."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from ..errors import UserErrorException
from ..job import states
from ..workspace.run_filter import is_negated

Read = TypeVar("Read")


@dataclass(frozen=True)
class Command:
    """A command: what it takes, what it does (returning the exit code), and how it is used."""

    arguments: Callable[[Parser], None]
    run: Callable[[argparse.Namespace], int]
    examples: Sequence[str]
    usage: str | None = None
    notes: str = ""
    negates: bool = False
    """Whether its words are a filter, which a dash in front may turn round."""


class Parser(argparse.ArgumentParser):
    """Understands one command's words; its mistakes are errors of ours, never an exit."""

    def __init__(self, name: str, summary: str, command: Command) -> None:
        self.name = name
        self.actions: list[argparse.Action] = []
        self._negates = command.negates
        usage = command.usage and f"aml {name} {command.usage}"
        super().__init__(
            prog=f"aml {name}",
            usage=usage,
            description=f"{summary[0].upper()}{summary[1:]}.",
            epilog="\n".join([*_notes(command), "examples:", *_indented(command.examples)]),
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        command.arguments(self)
        self.add_argument("--json", action="store_true", help="one JSON object on stdout")

    def add_argument(self, *args: Any, **kwargs: Any) -> argparse.Action:
        """Add an argument and remember it, so that it can be completed and be near a typo."""
        action = super().add_argument(*args, **kwargs)
        self.actions.append(action)
        return action

    @property
    def flags(self) -> list[str]:
        """Every spelling of every option."""
        return [flag for action in self.actions for flag in action.option_strings]

    def parse(self, words: Sequence[str]) -> argparse.Namespace:
        """What the words say."""
        negated = [word for word in words if self._negates and is_negated(word, self.flags)]
        found, unknown = self.parse_known_args([word for word in words if word not in negated])
        if negated:
            found.filter = [*found.filter, *negated]
        for word in unknown:
            flag = word.partition("=")[0]
            if flag.startswith("-"):
                raise UserErrorException(f"{self.prog} has no option {flag}.", self._near(flag))
            raise UserErrorException(
                f"{self.prog} does not know what to do with {word!r}.", self._see
            )
        return found

    def error(self, message: str) -> Any:
        """Raise what argparse found wrong."""
        raise UserErrorException(f"{self.prog}: {message.removeprefix('argument ')}.", self._see)

    @property
    def _see(self) -> str:
        return f"`{self.prog} --help` shows what it takes."

    def _near(self, flag: str) -> str:
        from ..spec.words import near

        long = [known for known in self.flags if known.startswith("--")]
        return near(flag, long if flag.startswith("--") else self.flags)


def _notes(command: Command) -> list[str]:
    return [command.notes, ""] if command.notes else []


def _indented(lines: Sequence[str]) -> list[str]:
    return [f"  {line}" for line in lines]


# What an option's text means ------------------------------------------------------------------


def duration(text: str) -> int:
    """Seconds from ``90s``, ``30m``, ``2h`` or ``1d``."""
    from ..spec.words import parse_duration

    return _read(parse_duration, text)


def tag(text: str) -> tuple[str, str]:
    """Key and value from ``key=value``."""
    from ..spec.words import parse_tag

    return _read(parse_tag, text)


def count(text: str) -> int:
    """A whole number, 0 included."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number")
    return int(text)


def state(text: str) -> str:
    """The state a word means, in v1's spelling."""
    from ..spec.words import near

    known = {name.lower(): name for name in sorted(states.ALL)}
    if text.lower() not in known:
        hint = near(text.capitalize(), known.values())
        raise UserErrorException(f"{text!r} is not a state of runs.", hint)
    return known[text.lower()]


def _read(parse: Callable[[str], Read], text: str) -> Read:
    try:
        return parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not understood, {error}") from None


def add_run(parser: Parser) -> None:
    """One run, the last one if not said."""
    parser.add_argument(
        "run", metavar="ID", nargs="?", default="last", help="a run; the last one if not said"
    )


def add_filters(parser: Parser) -> None:
    """The options that say which runs."""
    parser.add_argument("-e", "--experiment", metavar="NAME", help="only runs of this experiment")
    parser.add_argument("--state", metavar="STATE", type=state, help="only runs in this state")
