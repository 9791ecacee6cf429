"""The options that `aml` has in common with the magics, as argparse takes them."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Sequence

from ..workspace.command_table import Option
from .parser import Parser

_TAKES_DASHES = "takes_dashes"
_IS_PAIR = "is_pair"


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
        setattr(action, _IS_PAIR, option.pair)


def _reader(option: Option) -> Callable[[str], object]:
    def read(text: str) -> object:
        try:
            return option.read(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"{text!r} is not understood, {error}") from None

    return read


def paired(parser: Parser, words: Sequence[str]) -> list[str]:
    """The words with ``-p NAME VALUES`` as ``-p NAME=VALUES``; a value may begin with a dash."""
    pairs = {
        flag
        for action in parser.actions
        if getattr(action, _IS_PAIR, False)
        for flag in action.option_strings
    }
    left, done = list(words), []
    while left:
        word = left.pop(0)
        if word in pairs and len(left) > 1 and "=" not in left[0]:
            word = f"{word}={left.pop(0)}={left.pop(0)}"
        done.append(word)
    return done


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
