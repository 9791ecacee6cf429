"""The options that `aml` has in common with the magics, as argparse takes them."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Sequence

from ..workspace.command_table import Option
from .parser import Parser

_TAKES_DASHES = "takes_dashes"


def add_options(parser: Parser, options: Iterable[Option]) -> None:
    """Add the options of a table; what they read is under their keys."""
    for option in options:
        if not option.metavar:
            parser.add_argument(*option.names, action="store_true", help=option.help)
            continue
        action = parser.add_argument(
            *option.names,
            metavar=option.metavar,
            type=_reader(option),
            action="append" if option.many else "store",
            help=option.help.replace("%", "%%"),
        )
        setattr(action, _TAKES_DASHES, "--" in option.help)


def _reader(option: Option) -> Callable[[str], object]:
    def read(text: str) -> object:
        try:
            return option.read(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"{text!r} is not understood, {error}") from None

    return read


def joined(parser: Parser, words: Sequence[str]) -> list[str]:
    """The words with ``--docker-arg --network=host`` as one, since argparse takes two options.

    From the first word on that belongs to no option, all is left as it is.
    """
    actions = {flag: action for action in parser.actions for flag in action.option_strings}
    left, done = list(words), []
    while left and left[0].startswith("-") and left[0] != "--":
        flag = left.pop(0)
        action = actions.get(flag)
        has_value = action is not None and action.nargs != 0 and bool(left)
        if not has_value:
            done.append(flag)
        elif getattr(action, _TAKES_DASHES, False) and left[0] not in actions:
            done.append(f"{flag}={left.pop(0)}")
        elif left[0].startswith("-") and left[0] in actions:
            done.append(flag)  # argparse says that the value is missing
        else:
            done += [flag, left.pop(0)]
    return [*done, *left]
