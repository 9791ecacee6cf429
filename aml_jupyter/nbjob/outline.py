"""Where a cell is in its notebook: which of how many, and below which heading."""

from __future__ import annotations

import re
from typing import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Place(NamedTuple):
    """A code cell: its number from 1, how many there are, and what it is about."""

    number: int
    of: int
    heading: str


_HEADING = re.compile(r"^\s{0,3}#{1,6}\s+(.+?)\s*#*\s*$", re.MULTILINE)
_FENCED = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
_LONGEST = 80


class Outline:
    """The code cells of a notebook that are executed, and the headings they are below."""

    def __init__(self, notebook: Any) -> None:
        self._places: dict[int, Place] = {}
        executed = [at for at, cell in enumerate(notebook.cells) if is_executed(cell)]
        self.count = len(executed)
        heading = ""
        for at, cell in enumerate(notebook.cells):
            if cell.get("cell_type") == "markdown":
                heading = last_heading(cell["source"]) or heading
            elif is_executed(cell):
                self._places[at] = Place(len(self._places) + 1, self.count, heading)

    def place(self, index: int) -> Place | None:
        """Where the cell is that has this index; None for one that is not executed."""
        return self._places.get(index)


def is_executed(cell: Any) -> bool:
    """Whether there is anything in it to execute."""
    return cell.get("cell_type") == "code" and bool("".join(cell["source"]).strip())


def last_heading(markdown: str) -> str:
    """The last heading in a markdown cell, without marks; empty if there is none."""
    found = _HEADING.findall(_FENCED.sub("", "".join(markdown)))
    return re.sub(r"[*_`]", "", found[-1])[:_LONGEST] if found else ""
