"""The filter line: what its words mean, and what is said of those that mean nothing."""

from __future__ import annotations

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aml_jupyter.errors import UserErrorException
from aml_jupyter.job import states
from aml_jupyter.store.conditions import Condition, Selection
from aml_jupyter.workspace.run_filter import FIELDS, KEYS, STATES, parse
from aml_jupyter.workspace.run_list import quoted

NOW = datetime(2026, 5, 31, 15, 30).timestamp()


def only(line: str) -> Condition:
    (condition,) = parse(line, NOW).conditions
    return condition


def test_an_empty_line_says_nothing() -> None:
    assert parse("") == parse("  \t ") == parse('""') == parse("-") == Selection()


def test_words_are_taken_one_by_one() -> None:
    found = parse("state:failed tag:best metric.loss<0.2 target:gpu  word").conditions
    assert found == (
        Condition("state", "Failed"),
        Condition("tag", key="best"),
        Condition("metric", 0.2, "loss", "<"),
        Condition("target", "gpu"),
        Condition("text", "word"),
    )


@pytest.mark.parametrize(
    ("line", "condition"),
    [
        ('"two words"', Condition("text", "two words")),
        ('"state:failed"', Condition("text", "state:failed")),
        ('"a < b"', Condition("text", "a < b")),
        (r'"a\"b\\c"', Condition("text", r'a"b\c')),
        ('"-x"', Condition("text", "-x")),
        ('-"two words"', Condition("text", "two words", negated=True)),
        ("-x", Condition("text", "x", negated=True)),
        ("x-y", Condition("text", "x-y")),
        ("12:30", Condition("text", "12:30")),
        ("model=cnn", Condition("text", "model=cnn")),
        ('"still being ty', Condition("text", "still being ty")),
        ('experiment:"my own"', Condition("experiment", "my own")),
        ('tag:"a b"="c d"', Condition("tag", "c d", "a b")),
        ("tag:a=b=c", Condition("tag", "b=c", "a")),
        ("tag:a=", Condition("tag", "", "a")),
        ("tag:a!=b", Condition("tag", "b", "a", negated=True)),
        ("-tag:a!=b", Condition("tag", "b", "a")),
        ("metric.a/b.c>=1e-3", Condition("metric", 1e-3, "a/b.c", ">=")),
        ("metric:loss==1", Condition("metric", 1.0, "loss", "=")),
        ("-metric.loss", Condition("metric", key="loss", negated=True)),
        ('metric."my loss"<-1', Condition("metric", -1.0, "my loss", "<")),
        ('metric."a<b"<inf', Condition("metric", float("inf"), "a<b", "<")),
        ("State:FAILED", Condition("state", "Failed")),
        ("state:ended", Condition("state", "Canceled,Completed,Failed")),
        ("notebook:n.ipynb", Condition("notebook", "n.ipynb")),
        ("loss.py", Condition("text", "loss.py")),
    ],
)
def test_a_word_means(line: str, condition: Condition) -> None:
    assert only(line) == condition


@pytest.mark.parametrize(
    ("time", "when"),
    [
        ("today", datetime(2026, 5, 31)),
        ("yesterday", datetime(2026, 5, 30)),
        ("90m", datetime(2026, 5, 31, 14)),
        ("1d", datetime(2026, 5, 30, 15, 30)),
        ("2026-05-01", datetime(2026, 5, 1)),
        ('"2026-05-01 12:00"', datetime(2026, 5, 1, 12)),
    ],
)
def test_a_time_is_a_moment(time: str, when: datetime) -> None:
    assert only(f"since:{time}") == Condition("created", when.timestamp(), relation=">=")
    assert only(f"before:{time}") == Condition("created", when.timestamp(), relation="<")


def test_what_lists_leave_out_is_asked_for() -> None:
    assert parse("archived:yes children:only") == Selection((), "yes", "only")
    assert parse("archived:no") == Selection()


@pytest.mark.parametrize(
    ("line", "said", "advice"),
    [
        ("stat:failed", "stat:failed", "Did you mean state"),
        ("state:faild", "'faild' is no state", "failed"),
        ("state:", "state:", "state:failed"),
        ("tag:", "tag:", "tag:best"),
        ("tag:=x", "names no tag", "tag:best"),
        ("tag:lr<0.1", "texts", "= or !="),
        ("metric.", "names no metric", "metric.loss"),
        ("metric.loss<", "what to compare with", "metric.loss<0.2"),
        ("metric.loss<low", "'low' is no", "metric.loss<0.2"),
        ("metric.loss<nan", "nan", "number"),
        ("loss<0.2", "what is compared", "metric.loss<0.2"),
        ("since:soon", "'soon' is no time", "7d"),
        ("since:0", "is no time", "7d"),
        ("archived:maybe", "neither yes", "archived:yes"),
        ("experiment:", "experiment:", "NAME"),
        ("x colour:red y", "colour:red", "quotes"),
    ],
)
def test_a_mistake_is_told_with_what_may_be_written(line: str, said: str, advice: str) -> None:
    with pytest.raises(UserErrorException) as caught:
        parse(line)
    assert said in caught.value.message
    assert advice in caught.value.hint


def test_every_state_of_v1_has_a_word() -> None:
    assert {only(f"state:{name}").value for name in states.ALL} == states.ALL
    assert {name.lower() for name in states.ALL} <= set(STATES)


def test_the_help_names_every_key() -> None:
    told = " ".join(field.written for field in FIELDS)
    assert all(key in told for key in KEYS)


WORDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)


@given(
    st.lists(st.sampled_from([*'"\\-:.<>=! ', *KEYS, "loss", "0.2", "7d", "failed"])).map("".join)
)
def test_no_line_does_worse_than_to_be_told_a_mistake(line: str) -> None:
    told = [mistake_in(line[:end]) for end in range(len(line) + 1)]
    assert all(error.message and error.hint for error in told if error is not None)


def mistake_in(line: str) -> UserErrorException | None:
    try:
        parse(line)
    except UserErrorException as error:
        return error
    return None


@given(WORDS, WORDS)
def test_quotes_take_any_name(key: str, value: str) -> None:
    assert only(f"tag:{quoted(key)}={quoted(value)}") == Condition("tag", value, key)
    assert only(f"metric.{quoted(key)}<1") == Condition("metric", 1.0, key, "<")
    assert only(f"experiment:{quoted(value)}") == Condition("experiment", value)
