"""What v1 calls the types of columns, and how headers of several files are understood."""

from __future__ import annotations

from enum import Enum

from aml_jupyter.errors import UserErrorException, near

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Mapping

_KINDS = ("bool", "datetime", "double", "long", "stream", "string")


class PromoteHeadersBehavior(Enum):
    """Which files of a delimited dataset begin with the names of the columns."""

    NO_HEADERS = 0
    ONLY_FIRST_FILE_HAS_HEADERS = 1
    COMBINE_ALL_FILES_HEADERS = 2
    ALL_FILES_HAVE_SAME_HEADERS = 3

    @staticmethod
    def of(header: Any) -> PromoteHeadersBehavior:
        """What ``header`` means: True is that all have the same, False that none has."""
        if isinstance(header, PromoteHeadersBehavior):
            return header
        if header is True or header is False:
            same, none = "ALL_FILES_HAVE_SAME_HEADERS", "NO_HEADERS"
            return PromoteHeadersBehavior[same if header else none]
        raise UserErrorException(
            f"header is {header!r}.",
            f"It is True, False or one of {', '.join(PromoteHeadersBehavior.__members__)}.",
        )


class DataType:
    """The type that a column is read as; made by the ``to_…`` methods."""

    def __init__(self, kind: str, **how: Any) -> None:
        self.kind = kind
        self.how = how

    @staticmethod
    def to_string() -> DataType:
        """Text, as it stands in the file."""
        return DataType("string")

    @staticmethod
    def to_long() -> DataType:
        """Whole numbers."""
        return DataType("long")

    @staticmethod
    def to_float(decimal_mark: str = ".") -> DataType:
        """Numbers, with ``.`` or ``,`` before their fractions."""
        return DataType("double", decimal_mark=decimal_mark)

    @staticmethod
    def to_bool() -> DataType:
        """True and false: written so, or as yes and no, or 1 and 0."""
        return DataType("bool")

    @staticmethod
    def to_datetime(formats: Any = None) -> DataType:
        """Times, in ISO format or in ``formats`` such as ``%d/%m/%Y``."""
        listed = [formats] if isinstance(formats, str) else list(formats or ())
        return DataType("datetime", formats=listed)

    @staticmethod
    def to_stream(workspace: Any = None, escaped: bool = False) -> DataType:
        """Paths of files, which ``download(stream_column)`` fetches."""
        return DataType("stream")

    def to_json(self) -> list[Any]:
        """The type as JSON."""
        return [self.kind, self.how]

    def __repr__(self) -> str:
        return f"DataType({self.kind!r})"


def column_types(given: Mapping[str, Any] | None) -> dict[str, Any]:
    """``set_column_types`` as JSON; a type may also be given by its name."""
    found = {}
    for name, kind in (given or {}).items():
        if isinstance(kind, str):
            if kind not in _KINDS:
                raise UserErrorException(f"There is no type {kind!r}.", near(kind, _KINDS))
            kind = DataType(kind)
        if not isinstance(kind, DataType):
            raise UserErrorException(
                f"The type of the column {name!r} is {kind!r}.",
                "Give DataType.to_string(), .to_long(), .to_float(), .to_bool() or .to_datetime().",
            )
        found[name] = kind.to_json()
    return found
