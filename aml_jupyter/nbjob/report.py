"""Tells a run how far its notebook is, and its log what the cells say."""

from __future__ import annotations

import sys

from aml_jupyter.job import events, states

from .scraps import Scraps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .outline import Place

CELL = "cell"
"""The kind of event that tells that a cell is over: ``number``, ``of`` and ``seconds``."""

_LONGEST_IN_LOG = 10_000


class Report:
    """Reports to the run in ``folder``: events, recorded values, and ``log`` what is said."""

    def __init__(self, run: Any, folder: str, log: Any = None) -> None:
        self._folder = folder
        self._log = log
        self._scraps = Scraps(run, folder)
        self.place: Place | None = None

    def begin(self, place: Place, is_again: bool) -> None:
        """A cell begins; ``is_again`` if it is only for the state that it leaves."""
        self.place = place
        text = f"cell {place.number} of {place.of}"
        if is_again:
            text += ", again for its state"
        if place.heading:
            text += f" · {place.heading}"
        events.append(
            self._folder,
            "progress",
            stage=states.RUNNING,
            done=place.number - 1,
            total=place.of,
            text=text,
        )
        self._print(f"\n── {text}\n")

    def end(self, place: Place, seconds: float) -> None:
        """A cell is over."""
        events.append(
            self._folder, CELL, number=place.number, of=place.of, seconds=round(seconds, 4)
        )

    def trouble(self, error: OSError) -> None:
        """The executed notebook could not be written."""
        text = f"The executed notebook could not be written: {error}"
        events.append(self._folder, "warning", message=text)
        self._print(f"\n{text}\n")

    def output(self, output: Any) -> None:
        """A cell said something."""
        kind = output["output_type"]
        if kind == "stream":
            self._print(output["text"])
        elif kind == "error":
            self._print("\n".join(output["traceback"]) + "\n")
        elif kind in ("display_data", "execute_result"):
            self._scraps.take(output)
            text = output["data"].get("text/plain", "")
            if text and not output["metadata"].get("scrapbook"):
                self._print(f"{text[:_LONGEST_IN_LOG]}\n")

    def _print(self, text: str) -> None:
        log = self._log or sys.stdout
        log.write(text)
        log.flush()
