"""The filter line: words that say which runs, as ``state:failed metric.loss<0.2 since:7d``.

:func:`parse` reads it. :data:`FIELDS` says what may be written, for every help that shows it.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from ..errors import UserErrorException
from ..job import states
from ..spec.words import near, parse_duration
from ..store.conditions import ALSO, EXACTLY, NO, ONLY, Condition, Selection


@dataclass(frozen=True)
class Field:
    """A word of the filter line: how it is written, and which runs it finds."""

    written: str
    finds: str


FIELDS: Sequence[Field] = (
    Field("WORD", "with it in their name, id, experiment, notebook or a tag"),
    Field('"SOME WORDS"', "with them there as they stand"),
    Field(
        "state:STATE", "in this state: running, waiting, failed, … or live, ended; a,b for either"
    ),
    Field("tag:KEY, tag:KEY=VALUE", "with this tag; VALUE may have * for anything"),
    Field("metric.NAME", "that logged this metric"),
    Field("metric.NAME<NUMBER", "whose last value is so: < <= > >= = !="),
    Field("experiment:NAME", "of the experiment, or of all whose names have NAME as a part"),
    Field("notebook:NAME", "submitted from the notebook; as with experiment"),
    Field("target:NAME", "on the target; as with experiment"),
    Field("since:TIME, before:TIME", "made since then, or before: 90m, 12h, 7d, today, 2026-05-31"),
    Field("id:START", "whose id begins so"),
    Field("parent:START", "that belong to the run whose id begins so"),
    Field("children:yes", "runs inside other runs as well; only: nothing else"),
    Field("archived:yes", "archived runs as well; only: nothing else"),
    Field("-…", "that the word does not find: -state:completed -tag:old -draft"),
)
"""What a filter line may hold."""

WAITING = frozenset(
    {states.NOT_STARTED, states.QUEUED, states.PREPARING, "Provisioning", states.STARTING}
)
"""The states of a run that was submitted and does not run yet."""

_FRIENDLY: Mapping[str, frozenset[str]] = {
    "live": states.ALL - states.TERMINAL,
    "ended": states.TERMINAL,
    "waiting": WAITING,
    "cancelled": frozenset({states.CANCELED}),
    "succeeded": frozenset({states.COMPLETED}),
}
_SPELLED: Mapping[str, frozenset[str]] = {
    **{name.lower(): frozenset({name}) for name in states.ALL},
    **_FRIENDLY,
}
STATES: Sequence[str] = (
    *("running", "waiting", "failed", "completed", "canceled", "live", "ended"),
    *sorted(set(_SPELLED) - {"running", "failed", "completed", "canceled"} - set(_FRIENDLY)),
)
"""The words for states, those that are used most first."""

_WHOSE = ("experiment", "notebook", "target", "parent", "id")
_SHOWN = ("archived", "children")
KEYS: Sequence[str] = ("state", "tag", "metric", "since", "before", *_WHOSE, *_SHOWN)
"""What may stand in front of a colon."""

_FIELD = re.compile(r"([A-Za-z_]+)([:.])")
_RELATION = re.compile(r"<=|>=|!=|==|<|>|=")
_COMPARISON = re.compile(r"[\w./-]+(<=|>=|!=|<|>)")
_CHOICES = {"yes": ALSO, "no": NO, "only": ONLY}
_QUOTED = "\0"
_EXACT = 3600.0
_STEP = 10


@dataclass(frozen=True)
class _Word:
    """A word of the line; ``plain`` has another character for each that was in quotes."""

    written: str
    text: str
    plain: str
    negated: bool

    def wrong(self, what: str, hint: str) -> UserErrorException:
        return UserErrorException(f"In the filter, {self.written}: {what}.", hint)


def parse(line: str, now: float | None = None) -> Selection:
    """Which runs the line says; an empty line says all that a list shows.

    A line that is still being typed is understood as far as it goes: a quote that is open yet
    ends with the line. What is wrong is told with what may be written in its place.
    """
    return _selection(_words(line), now)


def parse_words(words: Iterable[str], now: float | None = None) -> Selection:
    """The same for words that are apart already, as a shell hands them over: with their spaces."""
    return _selection((each for word in words for each in _words(word, splits=False)), now)


def narrowed(
    found: Selection,
    *,
    experiment: str | None = None,
    state: str | None = None,
    tags: Sequence[str] = (),
    since: float | None = None,
    metric: str | None = None,
    archived: bool = False,
    children: bool = False,
) -> Selection:
    """The runs of a filter of which all this is true as well, to the letter.

    ``tags`` are ``key`` or ``key=value``, ``metric`` is one that they logged; archived runs and
    children are among them where that is said.
    """
    said = [("experiment", experiment), ("state", state)]
    more = [Condition(kind, value, relation=EXACTLY) for kind, value in said if value is not None]
    for key, _, value in (tag.partition("=") for tag in tags):
        more.append(Condition("tag", value or None, key, EXACTLY))
    if since is not None:
        more.append(Condition("created", since, relation=">="))
    if metric is not None:
        more.append(Condition("metric", key=metric))
    return replace(
        found,
        conditions=(*found.conditions, *more),
        archived=ALSO if archived else found.archived,
        children=ALSO if children else found.children,
    )


def is_negated(word: str, flags: Container[str]) -> bool:
    """Whether a word with a dash in front is one of a filter, and none of these options."""
    found = _FIELD.match(word[1:])
    is_field = found is not None and found[1].lower() in KEYS
    return word[:1] == "-" != word[1:2] and len(word) > 2 and (is_field or word[:2] not in flags)


def help_lines() -> list[str]:
    """What may be written, as lines for a help in text."""
    width = max(len(field.written) for field in FIELDS)
    return [f"  {field.written:{width}}  {field.finds}" for field in FIELDS]


def _selection(words: Iterable[_Word], now: float | None) -> Selection:
    conditions: list[Condition] = []
    shown: dict[str, str] = {}
    for word in words:
        name, rest = _split(word)
        if name in _SHOWN:
            shown[name] = _choice(word, name, rest.text)
        else:
            conditions.append(_condition(word, name, rest, time.time() if now is None else now))
    return Selection(tuple(conditions), shown.get("archived", NO), shown.get("children", NO))


# Words ----------------------------------------------------------------------------------------


def _words(line: str, splits: bool = True) -> Iterator[_Word]:
    text = plain = written = ""
    quoted = escaped = False
    for sign in f"{line} ":
        if escaped:
            text, plain, escaped = text + sign, plain + _QUOTED, False
        elif quoted and sign == "\\":
            escaped = True
        elif sign == '"':
            quoted = not quoted
        elif quoted or (sign.isspace() and not splits):
            text, plain = text + sign, plain + _QUOTED
        elif sign.isspace():
            yield from _word(written, text, plain)
            text = plain = written = ""
            continue
        else:
            text, plain = text + sign, plain + sign
        written += sign
    if written:  # a quote that is open yet, or a word that is not split
        yield from _word(written[:-1], text[:-1], plain[:-1])


def _word(written: str, text: str, plain: str) -> Iterator[_Word]:
    negated = plain.startswith("-")
    if negated:
        text, plain = text[1:], plain[1:]
    if text:
        yield _Word(written, text, plain, negated)


def _split(word: _Word) -> tuple[str, _Word]:
    """The field that a word begins with, empty for plain text, and what comes after it."""
    found = _FIELD.match(word.plain)
    name = found[1].lower() if found else ""
    if found is None or (found[2] == "." and name != "metric"):
        return "", word
    if name not in KEYS:
        raise word.wrong(
            f"there is no {name}: to look for",
            f"{near(name, KEYS)} Put it in quotes to look for the text.".strip(),
        )
    end = found.end()
    return name, _Word(word.written, word.text[end:], word.plain[end:], word.negated)


# Meanings -------------------------------------------------------------------------------------


def _condition(word: _Word, name: str, rest: _Word, now: float) -> Condition:
    if not name:
        return _text(word)
    if name == "metric":
        return _metric(rest)
    if not rest.text:
        raise word.wrong("it says no more", _may_be_written(name))
    if name == "state":
        return Condition("state", _states(rest), negated=word.negated)
    if name == "tag":
        return _tag(rest)
    if name in ("since", "before"):
        relation = ">=" if name == "since" else "<"
        return Condition("created", _moment(rest, now), relation=relation, negated=word.negated)
    return Condition(name, rest.text, negated=word.negated)


def _text(word: _Word) -> Condition:
    if _COMPARISON.match(word.plain):
        raise word.wrong(
            "it does not say what is compared",
            f"metric.{word.text} compares a metric; in quotes it is looked for as text.",
        )
    return Condition("text", word.text.casefold(), negated=word.negated)


def _states(word: _Word) -> str:
    found: set[str] = set()
    for name in filter(None, word.text.split(",")):
        spelled = name.lower()
        if spelled not in _SPELLED:
            raise word.wrong(f"{name!r} is no state of runs", near(spelled, STATES))
        found |= _SPELLED[spelled]
    return ",".join(sorted(found))


def _tag(word: _Word) -> Condition:
    key, relation, value = _compared(word)
    if not key:
        raise word.wrong("it names no tag", _may_be_written("tag"))
    if relation not in ("", "=", "!="):
        raise word.wrong("tags are texts", "Compare them by = or !=; metrics are compared by <.")
    if not relation:
        return Condition("tag", key=key, negated=word.negated)
    return Condition("tag", value, key, "=", word.negated != (relation == "!="))


def _metric(word: _Word) -> Condition:
    name, relation, value = _compared(word)
    if not name:
        raise word.wrong("it names no metric", _may_be_written("metric"))
    if not relation:
        return Condition("metric", key=name, negated=word.negated)
    return Condition("metric", _number(word, name, relation, value), name, relation, word.negated)


def _compared(word: _Word) -> tuple[str, str, str]:
    """What stands before, in and behind a comparison."""
    found = _RELATION.search(word.plain)
    if found is None:
        return word.text, "", ""
    relation = "=" if found[0] == "==" else found[0]
    return word.text[: found.start()], relation, word.text[found.end() :]


def _number(word: _Word, name: str, relation: str, value: str) -> float:
    example = f"Write a number behind it, such as metric.{name}{relation}0.2."
    if not value:
        raise word.wrong("it does not say what to compare with", example)
    try:
        number = float(value)
    except ValueError:
        raise word.wrong(f"{value!r} is not a number", example) from None
    if math.isnan(number):
        raise word.wrong("nothing compares to nan", example)
    return number


def _moment(word: _Word, now: float) -> float:
    text = word.text.strip().lower()
    midnight = datetime.fromtimestamp(now).replace(hour=0, minute=0, second=0, microsecond=0)
    if text == "today":
        return midnight.timestamp()
    if text == "yesterday":
        return (midnight - timedelta(days=1)).timestamp()
    try:
        return _ago(parse_duration(text), now)
    except ValueError:
        pass
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError, OSError):
        raise word.wrong(f"{word.text!r} is no time", _may_be_written("since")) from None


def _ago(seconds: float, now: float) -> float:
    """That long ago; what is asked again in a moment is the same, where nobody would mind."""
    when = now - seconds
    return when if seconds < _EXACT else when // _STEP * _STEP


def _choice(word: _Word, name: str, value: str) -> str:
    if value.lower() not in _CHOICES:
        raise word.wrong(
            f"{value!r} is neither yes, no nor only" if value else "it says no more",
            f"{name}:yes shows them as well, {name}:only nothing else.",
        )
    return _CHOICES[value.lower()]


def _may_be_written(name: str) -> str:
    examples = {
        "state": "state:failed, state:running,waiting; also live and ended.",
        "tag": "tag:best finds runs with that tag, tag:model=cnn those with that value.",
        "metric": "metric.loss finds runs that logged it, metric.loss<0.2 compares its last value.",
        "since": "Write it as 90m, 12h, 7d, today, yesterday or 2026-05-31.",
        "before": "Write it as 90m, 12h, 7d, today, yesterday or 2026-05-31.",
        "parent": "parent:ID finds the runs inside that run, parent:* those inside any.",
        "id": "id:START finds runs whose ids begin so.",
    }
    return examples.get(name, f"Write {name}:NAME, or a part of the name.")
