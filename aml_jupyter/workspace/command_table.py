"""Commands as tables of options: one table that parses, explains itself and completes.

Magics are made of them, and what `aml` and the magics have in common. A mistake is a
:class:`UserErrorException` of two lines; nothing here ever exits a process.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ..errors import UserErrorException
from ..spec.words import meant
from .run_filter import is_negated


@dataclass(frozen=True)
class Option:
    """One option. Without ``metavar`` it is a switch; ``many`` may be given again and again.

    The value of a ``pair`` is two words, a name and what it is set to, or one with ``=`` between.
    """

    flags: str
    metavar: str
    help: str
    read: Callable[[str], object] = str
    many: bool = False
    source: str = ""
    pair: bool = False

    @property
    def names(self) -> list[str]:
        """All its spellings."""
        return self.flags.split("/")

    @property
    def key(self) -> str:
        """The name its value goes by: ``dry_run`` for ``--dry-run``."""
        return self.names[-1].lstrip("-").replace("-", "_")


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
    """A command as its user sees it: a line that says what it is for, words, options, examples.

    ``sources`` name what completes each of its words; the last one stands for all further ones.
    """

    name: str
    summary: str
    words: str = ""
    options: Sequence[Option] = ()
    arguments: bool = False
    least: int = 0
    most: int = 0
    sources: Sequence[str] = ()
    examples: Sequence[str] = field(default=())
    notes: Sequence[str] = ()
    negates: bool = False
    """Whether its words are a filter, which a dash in front may turn round."""

    def usage(self) -> str:
        """The help text, for ``?`` and ``--help``."""
        rest = [self.words, "[options]" if self.options else "", "[-- arguments]" * self.arguments]
        lines = [self.summary, "", "  " + " ".join([self.name, *filter(None, rest)])]
        if self.options:
            lines += ["", "Options:", *_aligned(self.options)]
        if self.notes:
            lines += ["", *self.notes]
        if self.examples:
            lines += ["", "Examples:", *(f"  {line}" for line in self.examples)]
        return "\n".join(lines)

    def parse(self, line: str) -> Parsed:
        """What a line says; :class:`UserErrorException` for what it cannot mean."""
        return self.parse_words(split(self.name, line))

    def parse_words(self, words: Sequence[str]) -> Parsed:
        """What words say that are apart already, as a shell hands them over."""
        tokens, arguments = list(words), []
        if "--" in tokens:
            dashes = tokens.index("--")
            tokens, arguments = tokens[:dashes], tokens[dashes + 1 :]
            self._check_arguments(arguments)
        values: dict[str, object] = {}
        plain = []
        while tokens:
            token = tokens.pop(0)
            is_word = self.negates and is_negated(token, {*self.flags()})
            if token.startswith("-") and token != "-" and not is_word:
                self._take(token, tokens, values)
            else:
                plain.append(token)
        if len(plain) > self.most:
            raise self._too_many(plain)
        if len(plain) < self.least and not values.get("help"):
            raise self._too_few()
        return Parsed(values, plain, arguments)

    def option(self, flag: str) -> Option | None:
        """The option with this spelling."""
        return next((option for option in self.options if flag in option.names), None)

    def flags(self) -> Iterator[str]:
        """Every spelling of every option."""
        for option in self.options:
            yield from option.names

    def source_after(self, words: Sequence[str]) -> str:
        """What completes the word that comes after these; empty when nothing does."""
        plain = 0
        for at, word in enumerate(words):
            option = self.option(words[at - 1]) if at else None
            is_value = option is not None and bool(option.metavar)
            plain += not word.startswith("-") and not is_value
        if not self.sources or plain >= self.most:
            return ""
        return self.sources[min(plain, len(self.sources) - 1)]

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
        if option.pair and "=" not in value and tokens:
            value = f"{value}={tokens.pop(0)}"
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
        message = f"{self.name} has no option {flag}."
        hint = meant(flag, self.flags(), likeness=0.65)
        if not hint and self.options:
            hint = f"It has {', '.join(o.names[-1] for o in self.options)}."
        if self.arguments:
            hint += f" Arguments for the script come after `--`: -- {flag} …"
        return UserErrorException(message, hint.strip() or f"See {self.name}? for help.")

    def _too_many(self, words: Sequence[str]) -> UserErrorException:
        extra = words[self.most]
        hint = f"See {self.name}? for help."
        if self.arguments:
            hint = f"Arguments for the script come after `--`: -- {extra}"
        return UserErrorException(f"{self.name} does not know what to do with {extra!r}.", hint)

    def _too_few(self) -> UserErrorException:
        example = f"For example: {self.examples[0]}" if self.examples else ""
        return UserErrorException(f"{self.name} needs {self.words}.", example)

    def _check_arguments(self, arguments: Sequence[str]) -> None:
        if arguments and not self.arguments:
            raise UserErrorException(
                f"{self.name} takes no arguments after `--`.", f"See {self.name}? for help."
            )


def split(name: str, text: str) -> list[str]:
    """The words of a line, as a shell would have them; ``name`` is whose line it is."""
    try:
        return shlex.split(text)
    except ValueError as error:
        raise UserErrorException(
            f"{name} cannot read its options: {str(error).lower()}.",
            "Close the quotation mark, or put a backslash before it.",
        ) from None


def _aligned(options: Sequence[Option]) -> Iterator[str]:
    lefts = [f"{', '.join(o.names)} {o.metavar}".rstrip() for o in options]
    width = max(map(len, lefts))
    for left, option in zip(lefts, options, strict=True):
        yield f"  {left:{width}}  {option.help}"


HELP = Option("-h/--help", "", "show this help")


@dataclass(frozen=True)
class Group:
    """A command whose first word says what to do; the rest is for the command of that word."""

    name: str
    summary: str
    commands: Mapping[str, Command]
    usual: str

    def usage(self) -> str:
        """The help text: all that it can do."""
        width = max(map(len, self.commands))
        lines = [f"  {word:{width}}  {each.summary}" for word, each in self.commands.items()]
        what = f"  {self.name} {'|'.join(self.commands)} …"
        return "\n".join([self.summary, "", what, "", *lines, "", self._more()])

    def _more(self) -> str:
        return f"`{self.name} {next(iter(self.commands))} --help` explains one of them."

    def command(self, words: Sequence[str]) -> tuple[Command | None, Sequence[str]]:
        """The command that the words are for, and the rest of them; None when help is wanted."""
        if words and words[0] in HELP.names:
            return None, words[1:]
        if not words or words[0].startswith("-"):
            return self.commands[self.usual], words
        if words[0] not in self.commands:
            hint = meant(words[0], self.commands) or f"It can {self._words()}."
            raise UserErrorException(f"{self.name} cannot {words[0]!r}.", hint)
        return self.commands[words[0]], words[1:]

    def _words(self) -> str:
        return ", ".join(self.commands)


Ask = Callable[[str], Sequence[str]]
"""Answers with all words of one kind: targets, experiments, runs and so on."""


def completions(what: Command | Group, line: str, symbol: str, ask: Ask) -> list[str]:
    """What may stand at the cursor; ``line`` is all before it, ``symbol`` the word it ends with."""
    before = line[: len(line) - len(symbol)] if symbol and line.endswith(symbol) else line
    return offered(what, before.split()[1:], symbol, ask)


def offered(what: Command | Group, before: Sequence[str], symbol: str, ask: Ask) -> list[str]:
    """What may stand after these words; ``symbol`` is what is typed of it already."""
    if isinstance(what, Group):
        if not before:
            return [*what.commands, *HELP.names] if symbol else list(what.commands)
        if before[0] not in what.commands:
            return []
        return offered(what.commands[before[0]], before[1:], symbol, ask)
    if "--" in before:
        return []
    option = what.option(before[-1]) if before else None
    if option is not None and option.metavar:
        return sorted(ask(option.source)) if option.source else []
    if symbol.startswith("-"):
        return sorted(what.flags())
    source = what.source_after(before)
    words = sorted(ask(source)) if source else []
    return words if symbol else [*words, *what.flags()]
