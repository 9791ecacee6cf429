"""Conditions on the rows or files of a dataset: ``ds['AGE'] > 60``, kept as JSON.

The same condition is asked of one file (its values are plain) and of a table (its values are
columns), so it is evaluated by Python's own operators either way.
"""

from __future__ import annotations

import datetime
import operator

from aml_jupyter.errors import UserErrorException, near

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Mapping

_TWO_SIDED: dict[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "&": operator.and_,
    "|": operator.or_,
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "%": operator.mod,
}
_OF_TEXT = {"contains": "contains", "starts_with": "startswith", "ends_with": "endswith"}


class Expression:
    """A condition, or a part of one; made by ``ds['column']`` and Python's operators."""

    __hash__ = None  # type: ignore[assignment]  # two are compared into a third

    def __init__(self, content: Any) -> None:
        self._content = content

    def to_json(self) -> Any:
        """The expression as lists and plain values."""
        return self._content

    def _with(self, sign: str, other: Any) -> Expression:
        return Expression([sign, self._content, _plain(other)])

    def __eq__(self, other: object) -> Any:
        return self._with("==", other)

    def __ne__(self, other: object) -> Any:
        return self._with("!=", other)

    def __lt__(self, other: Any) -> Expression:
        return self._with("<", other)

    def __le__(self, other: Any) -> Expression:
        return self._with("<=", other)

    def __gt__(self, other: Any) -> Expression:
        return self._with(">", other)

    def __ge__(self, other: Any) -> Expression:
        return self._with(">=", other)

    def __and__(self, other: Any) -> Expression:
        return self._with("&", other)

    def __or__(self, other: Any) -> Expression:
        return self._with("|", other)

    def __add__(self, other: Any) -> Expression:
        return self._with("+", other)

    def __sub__(self, other: Any) -> Expression:
        return self._with("-", other)

    def __mul__(self, other: Any) -> Expression:
        return self._with("*", other)

    def __truediv__(self, other: Any) -> Expression:
        return self._with("/", other)

    def __mod__(self, other: Any) -> Expression:
        return self._with("%", other)

    def __invert__(self) -> Expression:
        return Expression(["~", self._content])

    def contains(self, text: str) -> Expression:
        """Whether the value has ``text`` in it."""
        return self._with("contains", text)

    def starts_with(self, text: str) -> Expression:
        """Whether the value begins with ``text``."""
        return self._with("starts_with", text)

    def ends_with(self, text: str) -> Expression:
        """Whether the value ends with ``text``."""
        return self._with("ends_with", text)

    def is_in(self, values: Any) -> Expression:
        """Whether the value is one of ``values``."""
        return Expression(["in", self._content, [_plain(value) for value in values]])

    def is_null(self) -> Expression:
        """Whether there is no value."""
        return Expression(["null", self._content])

    def __bool__(self) -> bool:
        raise UserErrorException(
            "A condition on a dataset is neither true nor false by itself.",
            "Join conditions by & and |, in brackets: (ds['a'] > 1) & (ds['b'] < 2).",
        )

    def __repr__(self) -> str:
        return f"Expression({self._content!r})"


def column(name: str) -> Expression:
    """The value of a column, or of a part of the path that a partition format names."""
    return Expression(["column", name])


def metadata(name: str) -> Expression:
    """A fact of each file, such as ``Size``."""
    return Expression(["file", name])


def checked(condition: Any) -> Any:
    """The JSON of a condition that was given to ``filter``."""
    if isinstance(condition, Expression):
        return condition.to_json()
    raise UserErrorException(
        f"filter() takes a condition, not {condition!r}.",
        "Write it with the dataset's columns: ds.filter(ds['AGE'] > 60).",
    )


def names_in(content: Any) -> set[str]:
    """The columns that an expression asks for."""
    if not isinstance(content, list):
        return set()
    if content[:1] == ["column"]:
        return {content[1]}
    return set().union(*(names_in(part) for part in content))


def value_of(content: Any, values: Mapping[str, Any]) -> Any:
    """What an expression is for one file or for a table; file facts are below ``file:<name>``."""
    if not isinstance(content, list):
        return content
    sign, parts = content[0], content[1:]
    if sign in ("column", "file"):
        return _named(sign, parts[0], values)
    if sign == "time":
        return datetime.datetime.fromisoformat(parts[0])
    first = value_of(parts[0], values)
    if sign == "~":
        return not first if isinstance(first, bool) else ~first
    if sign == "null":
        return first.isna() if hasattr(first, "isna") else first is None
    if sign == "in":
        among = [value_of(part, values) for part in parts[1]]
        return first.isin(among) if hasattr(first, "isin") else first in among
    second = value_of(parts[1], values)
    if sign in _OF_TEXT:
        return _of_text(sign, first, second)
    return _two_sided(sign, first, second)


def _two_sided(sign: str, first: Any, second: Any) -> Any:
    try:
        return _TWO_SIDED[sign](first, second)
    except TypeError as error:
        raise UserErrorException(
            f"The condition cannot be asked of this data: {error}.",
            "Compare numbers with numbers, times with times; set_column_types says what they are.",
        ) from error


def _of_text(sign: str, first: Any, text: Any) -> Any:
    if not isinstance(text, str):
        raise UserErrorException(f"{sign}() takes a text, not {text!r}.", "Put it in quotes.")
    if hasattr(first, "isna"):
        first = first if hasattr(first, "str") else first.astype(str)
        matches = getattr(first.str, _OF_TEXT[sign])
        found = matches(text, regex=False) if sign == "contains" else matches(text)
        return found.fillna(False).astype(bool)
    if sign == "contains":
        return text in str(first)
    return getattr(str(first), _OF_TEXT[sign])(text)


def _named(kind: str, name: str, values: Mapping[str, Any]) -> Any:
    key = f"file:{name}" if kind == "file" else name
    if key in values:
        return values[key]
    known = [str(each) for each in values if str(each).startswith("file:") == (kind == "file")]
    if kind == "file":
        known = [each[len("file:") :] for each in known]
    raise UserErrorException(
        f"There is no {'fact' if kind == 'file' else 'column'} {name!r} to filter by.",
        near(name, known),
    )


def _plain(value: Any) -> Any:
    if isinstance(value, Expression):
        return value.to_json()
    if hasattr(value, "to_pydatetime"):
        value = value.to_pydatetime()
    if isinstance(value, datetime.datetime) and value.tzinfo is not None:
        # As columns have them: in UTC, without saying so.
        value = value.astimezone(datetime.timezone.utc).replace(tzinfo=None)
    if isinstance(value, datetime.date):
        return ["time", value.isoformat()]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if hasattr(value, "item"):
        return value.item()
    raise UserErrorException(
        f"{value!r} cannot be part of a condition.", "Use numbers, texts, times and columns."
    )
