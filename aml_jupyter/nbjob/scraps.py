"""Values that a notebook records for who reads it: scrapbook's ``glue``, papermill's ``record``.

They are outputs of a cell that no one sees. Each becomes part of the run: a number or a list of
numbers is logged, and all of them are kept, as they are, in ``scraps.json``.
"""

from __future__ import annotations

import os

from aml_jupyter.errors import AmlError
from aml_jupyter.job.layout import ARTIFACTS, write_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

FILE = "scraps.json"
_GLUE = "application/scrapbook.scrap."
_RECORD = "application/papermill.record+json"


class Scraps:
    """Collects what is recorded, for a run and in its folder."""

    def __init__(self, run: Any, folder: str) -> None:
        self._run = run
        self._path = os.path.join(folder, ARTIFACTS, FILE)
        self.values: dict[str, Any] = {}

    def take(self, output: Mapping[str, Any]) -> None:
        """Keep what an output records, if it is one that does."""
        found = dict(recorded(output.get("data") or {}))
        for name, value in found.items():
            self.values[name] = value
            self._log(name, value)
        if found:
            os.makedirs(os.path.dirname(self._path), exist_ok=True)
            write_json(self._path, self.values)

    def _log(self, name: str, value: Any) -> None:
        try:
            if _is_number(value) or isinstance(value, str):
                self._run.log(name, value)
            elif isinstance(value, list) and value and all(map(_is_number, value)):
                self._run.log_list(name, value)
        except AmlError as error:  # a name that no metric can have; it is in the file all the same
            print(f"{name} was recorded, but not logged: {error.message}")


def recorded(data: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Name and value of each record in the data of an output."""
    for kind, content in data.items():
        if kind.startswith(_GLUE) and isinstance(content, dict) and "name" in content:
            yield str(content["name"]), content.get("data")
        elif kind == _RECORD and isinstance(content, dict):
            yield from content.items()


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
