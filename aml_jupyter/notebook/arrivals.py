"""The variables that ``--out`` brings back when their run has completed."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

from ..job import states
from . import prelude

if TYPE_CHECKING:
    from ..workspace import Run

_FILE = f"outputs/{prelude.OUT}"


class Arrivals:
    """Waits for runs of this kernel; their variables arrive before the next cell is executed."""

    def __init__(self, namespace: dict[str, object]) -> None:
        self._namespace = namespace
        self._expected: dict[str, tuple[Run, list[str]]] = {}

    def expect(self, run: Run, names: list[str]) -> None:
        """Bring these variables of ``run`` when it has completed."""
        if names:
            self._expected[run.id] = (run, names)

    def bring(self, *_: Any) -> None:
        """Bring what has come; one line for each run that has ended says what."""
        for run_id, (run, names) in list(self._expected.items()):
            status = run.status
            if status not in states.TERMINAL:
                continue
            del self._expected[run_id]
            if status == states.COMPLETED:
                print(self._take(run, names))
            else:
                print(f"{', '.join(names)}: not brought back, run {run_id} is {status}.")

    def _take(self, run: Run, names: list[str]) -> str:
        path = run.folder / _FILE
        try:
            found = prelude.unpickled(path.read_bytes(), self._namespace)
        except FileNotFoundError:
            return f"{', '.join(names)}: run {run.id} left no {_FILE}."
        except (pickle.UnpicklingError, ImportError, AttributeError, LookupError, RuntimeError,
                TypeError, ValueError, EOFError) as error:  # fmt: skip
            return (
                f"{', '.join(names)}: cannot be read in this kernel ({error}); the file is {path}."
            )
        self._namespace.update(found)
        return f"From run {run.id}: {', '.join(found)}."
