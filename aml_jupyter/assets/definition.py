"""What a dataset is: where its files come from, how they are read, and what is done then.

A definition is a value: it is kept as JSON, travels with runs, and two datasets are the same
when their definitions are.
"""

from __future__ import annotations

import hashlib
import json
from typing import NamedTuple

from aml_jupyter.errors import ServiceException

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Mapping

FILE = "file"
TABULAR = "tabular"

_FORMAT = 1


class Source(NamedTuple):
    """A path or glob: in a datastore when that is named, else an address or an absolute path."""

    path: str
    datastore: str = ""

    @property
    def is_address(self) -> bool:
        """Whether it is a URL."""
        return not self.datastore and "://" in self.path

    def __str__(self) -> str:
        return f"{self.datastore}/{self.path}" if self.datastore else self.path


class Definition(NamedTuple):
    """A dataset as a value; whoever has it never changes ``reading`` and ``steps``."""

    kind: str
    sources: tuple[Source, ...]
    reading: Mapping[str, Any]
    steps: tuple[Mapping[str, Any], ...] = ()

    def then(self, do: str, **how: Any) -> Definition:
        """The same with one step more."""
        return self._replace(steps=(*self.steps, {"do": do, **how}))

    def to_json(self) -> dict[str, Any]:
        """The definition as JSON knows it."""
        return {
            "format": _FORMAT,
            "kind": self.kind,
            "sources": [list(source) for source in self.sources],
            "reading": dict(self.reading),
            "steps": [dict(step) for step in self.steps],
        }

    @staticmethod
    def from_json(record: Mapping[str, Any]) -> Definition:
        """What :meth:`to_json` wrote."""
        if record.get("format") != _FORMAT:
            raise ServiceException(
                f"The definition of a dataset has format {record.get('format')!r}, not {_FORMAT}.",
                "It was written by another version of aml-jupyter; use that one.",
            )
        return Definition(
            str(record["kind"]),
            tuple(Source(*source) for source in record["sources"]),
            record["reading"],
            tuple(record["steps"]),
        )

    @property
    def digest(self) -> str:
        """The same for definitions that are the same, and only for them."""
        text = json.dumps(self.to_json(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def id(self) -> str:
        """The digest in the shape of the ids that v1 gives to datasets."""
        digits = self.digest
        return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:32]))
