"""What ended a notebook before its end, in words that say what to do."""

from __future__ import annotations

import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .outline import Place

_NO_INPUT = "StdinNotImplementedError"
_NOT_DEFINED = "NameError"
_MEANS = {
    signal.SIGSEGV: " Compiled code reached for memory that is not its own.",
    signal.SIGABRT: " Compiled code gave up; the log may tell why.",
    signal.SIGBUS: " Compiled code reached for memory that is gone: a file that became shorter?",
    signal.SIGILL: " It has an instruction that this processor does not know.",
    signal.SIGKILL: " Somebody did that, or the system for want of memory.",
}


class NotebookFailed(Exception):
    """A cell failed, or the kernel did. Its text names the cell, and what to do about it.

    ``aml_outcome`` is what the launcher notes: the error's own name, the cell, its traceback.
    """

    def __init__(self, message: str, outcome: dict[str, Any]) -> None:
        super().__init__(message)
        self.aml_outcome = outcome


class Unable(Exception):
    """What it takes to execute the notebook is not there."""


class KernelDied(Exception):
    """The kernel's process ended while a cell was executed."""


class OutOfMemory(KernelDied):
    """The system ended the kernel, since there was no memory left."""


class CellTimedOut(Exception):
    """A cell took longer than it may."""


class Canceled(BaseException):
    """The execution was asked to end, and has done so with everything in its place."""


def death(number: int | None, code: int | None, out_of_memory: bool) -> KernelDied:
    """The end of a kernel by a signal, or by itself with an exit code where there was none."""
    if out_of_memory and number == signal.SIGKILL:
        return OutOfMemory(
            "The kernel was ended because memory ran out. "
            "Ask for more with --mem, or let the cell hold less at a time."
        )
    if number is None:
        told = "" if code is None else f" with exit code {code}"
        return KernelDied(f"The kernel ended by itself{told}: something called os._exit, or exec.")
    means = next((text for known, text in _MEANS.items() if known == number), "")
    return KernelDied(f"The kernel was ended by {_name_of(number)}.{means}")


def _name_of(number: int) -> str:
    return signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"


def advice(name: str, message: str) -> str:
    """What to do about an error of a cell, where that can be told; else nothing."""
    if name == _NO_INPUT:
        return (
            "It asks for input, and in a run there is nobody to answer: "
            "make the value a parameter (a cell tagged `parameters`)."
        )
    if name == _NOT_DEFINED and "not defined" in message:
        return "Define it in a cell above, or give it with -p and a cell tagged `parameters`."
    if name == "MemoryError":
        return "Ask for more with --mem, or let the cell hold less at a time."
    return ""


def failed(
    place: Place | None, count: int | None, name: str, message: str, trace: str
) -> NotebookFailed:
    """The failure of a notebook in the cell at ``place``; ``count`` stands in its brackets."""
    number = place.number if place else 0
    below = f", below “{place.heading}”" if place and place.heading else ""
    where = f"cell {number}" + (f" (In [{count}])" if count else "") + below
    hint = advice(name, message)
    if message.endswith("."):
        said = f"{message} It was in {where}."
    else:
        said = f"{message}, in {where}" if message else f"In {where}"
    text = "\n".join(filter(None, (said, hint)))
    return NotebookFailed(
        text,
        {
            "type": name,
            "message": text,
            "traceback": trace,
            "cell": number,
            "file": None,
            "line": None,
        },
    )
