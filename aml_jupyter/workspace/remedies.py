"""What to try after a failure: a table of what is seen, what it means, and what to do."""

from __future__ import annotations

import re
import shlex
import signal
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

MOST = 4
"""How many hints are given of one failure: the first ones are the most likely."""

_DISTRIBUTIONS: Mapping[str, str] = {
    "bs4": "beautifulsoup4",
    "Crypto": "pycryptodome",
    "cv2": "opencv-python-headless",
    "dateutil": "python-dateutil",
    "dotenv": "python-dotenv",
    "fitz": "pymupdf",
    "git": "GitPython",
    "PIL": "pillow",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "yaml": "pyyaml",
}
"""Packages whose name in an index is not the one that is imported."""


class Hint(NamedTuple):
    """What may be the matter and what to do; ``code`` is to be copied, and may be empty."""

    text: str
    code: str = ""


@dataclass(frozen=True)
class Symptoms:
    """What is known of a failure, and of the run that failed."""

    name: str = ""
    """The exception's."""
    text: str = ""
    """All that was said: the message, the traceback, the end of the log."""
    signal: int | None = None
    exit_code: int | None = None
    code: str = ""
    """v1's word for the kind of failure."""
    environment: str = ""
    environment_kind: str = ""
    interpreter: str = ""
    in_container: bool = False
    is_cell: bool = False


Remedy = Callable[[Symptoms, "re.Match[str]"], Hint]


class _Rule(NamedTuple):
    """A hint for failures in whose text the pattern is found."""

    pattern: re.Pattern[str]
    remedy: Remedy


def _rule(pattern: str, remedy: Remedy | str, code: str = "") -> _Rule:
    if isinstance(remedy, str):
        hint = Hint(remedy, code)
        return _Rule(re.compile(pattern, re.IGNORECASE | re.MULTILINE), lambda *_: hint)
    return _Rule(re.compile(pattern, re.MULTILINE), remedy)


def hints_for(symptoms: Symptoms) -> list[Hint]:
    """What to try, the most likely first; nothing where nothing is known."""
    found = dict.fromkeys([*_of_end(symptoms), *_of_text(symptoms)])
    return list(found)[:MOST]


def _of_text(symptoms: Symptoms) -> Iterator[Hint]:
    for rule in _RULES:
        match = rule.pattern.search(symptoms.text)
        if match is not None:
            yield rule.remedy(symptoms, match)


# Modules and files --------------------------------------------------------------------------------


def _missing_module(symptoms: Symptoms, match: re.Match[str]) -> Hint:
    module = match[1].partition(".")[0]
    package = _DISTRIBUTIONS.get(module, module)
    named = f"The environment {symptoms.environment}" if symptoms.environment else "Its environment"
    if symptoms.environment_kind in ("submitter", "user-managed"):
        text = f"The Python that ran it has no module {module}. Install the package and run again."
        python = shlex.quote(symptoms.interpreter or "python")
        return Hint(text, f"{python} -m pip install {package}")
    text = f"{named} has no module {module}. Add the package, and run with that environment."
    return Hint(text, f"--env requirements.txt   # with a line: {package}")


def _own_module(symptoms: Symptoms, match: re.Match[str]) -> Hint:
    module = match[1].partition(".")[0]
    return Hint(
        f"If {module} is a file or folder of yours: only what is in the source travels with a run. "
        "Name the folder that holds it.",
        "--source .",
    )


def _missing_file(symptoms: Symptoms, match: re.Match[str]) -> Hint:
    path = match[1] or match[2]
    if path.startswith("/") and symptoms.in_container:
        return Hint(
            f"A container does not see this machine's files, such as {path}. "
            "Give the run its data, and take the path that it is told.",
            f"--data name={path}",
        )
    if path.startswith("/"):
        return Hint(f"{path} is not there where the run was executed. Is the path right?")
    shown = path if path.startswith(".") else f"./{path}"
    return Hint(
        f"A run works in a copy of its source, so {path} must be in that folder, or be given "
        "as data.",
        f"--source .   or   --data name={shown}",
    )


def _missing_name(symptoms: Symptoms, match: re.Match[str]) -> Hint:
    if symptoms.is_cell:
        return Hint(
            f"{match[1]} was not taken along from the notebook, since the cell does not name it "
            "openly. Send it.",
            f"--with {match[1]}",
        )
    return Hint(f"{match[1]} is used before anything gives it a value. Is it spelled right?")


def _shared_memory(symptoms: Symptoms, match: re.Match[str]) -> Hint:
    return Hint(
        "Workers of a data loader share memory, of which a container has little. Give the target "
        "more in its settings, or load with fewer workers.",
        "shm_size: 8g" if symptoms.in_container else "",
    )


_RULES = (
    _rule(r"No module named '([\w.]+)'", _missing_module),
    _rule(r"No module named '([\w.]+)'", _own_module),
    _rule(
        r"cannot open shared object file",
        "A system library is missing, which pip does not bring. Install it, or run in an image "
        "that has it.",
        "--env image:IMAGE   or   --env Dockerfile",
    ),
    _rule(r"cannot import name '[^']+' from '([\w.]+)'", lambda _, match: Hint(
        f"The version of {match[1].partition('.')[0]} there is not the one that the code is "
        "written for. The tab Facts lists what the environment has."
    )),
    _rule(
        r"FileNotFoundError: \[Errno 2\][^\n]*?: (?:'([^'\n]+)'|\"([^\"\n]+)\")", _missing_file
    ),
    _rule(
        r"CUDA out of memory|CUDA error: out of memory|CUDA_ERROR_OUT_OF_MEMORY"
        r"|\bOutOfMemoryError: CUDA",
        "The GPU's memory was full. Take smaller batches, or wait for a GPU that nobody shares; "
        "the tab System shows what was used.",
        "--gpus 1",
    ),
    _rule(
        r"Found no NVIDIA driver|Torch not compiled with CUDA|No CUDA GPUs are available"
        r"|no CUDA-capable device",
        "It wants a GPU and saw none. Ask for one, and see that its environment is made for CUDA.",
        "--gpus 1",
    ),
    _rule(
        r"CUDA driver version is insufficient|no kernel image is available",
        "The packages are made for another CUDA than this machine's driver has. Choose a version "
        "of them that fits it (nvidia-smi tells the driver's).",
    ),
    _rule(r"DataLoader worker .* killed by signal: Bus error|unable to allocate shared memory",
          _shared_memory),
    _rule(
        r"^MemoryError\b|\bMemoryError:|std::bad_alloc|Cannot allocate memory|Unable to allocate",
        "It wanted more memory than it could have. Hold less at a time, or wait until so much is "
        "free.",
        "--mem 16G",
    ),
    _rule(
        r"No space left on device|\[Errno 28\]|Disk quota exceeded",
        "The disk is full. Remove old runs or environments, and run it again.",
        "aml env prune",
    ),
    _rule(r"PermissionError: \[Errno 13\][^\n]*?: '([^'\n]+)'", lambda _, match: Hint(
        f"It may not touch {match[1]}. What it writes belongs into ./outputs, which is kept."
    )),
    _rule(
        r"Temporary failure in name resolution|Name or service not known|Max retries exceeded"
        r"|Network is unreachable|Connection refused|getaddrinfo failed",
        "Something on the network did not answer from where it ran. Is the address right, and is "
        "there a proxy to name?",
    ),
    _rule(
        r"\b401 Client Error|\b403 Client Error|Unauthorized for url|GatedRepoError",
        "The other side asks who is there. Give the run the key as a variable of its environment; "
        "it is not written down.",
    ),
    _rule(
        r"EOFError: EOF when reading a line|StdinNotImplementedError",
        "It asks for input, and in a run there is nobody to answer. Make the value an argument.",
        "-- --name value",
    ),
    _rule(r"^NameError: name '(\w+)' is not defined", _missing_name),
    _rule(
        r"^usage: .*\n(?:.*\n)*?.*: error: ",
        "The script does not know one of its arguments, or misses one. What comes after -- is "
        "for the script.",
        "-- --help",
    ),
    _rule(
        r"Address already in use|EADDRINUSE|\[Errno 98\]",
        "Another process listens on that port. Let the system choose one: port 0.",
    ),
)  # fmt: skip


# How it ended -------------------------------------------------------------------------------------

_MEMORY = Hint(
    "A process that is killed so has most often used more memory than there was. Hold less at a "
    "time, or wait until so much is free; the tab System shows what was used.",
    "--mem 16G",
)
_NATIVE = "Compiled code did that. Print a traceback of Python at that moment."
_FAULTS = "PYTHONFAULTHANDLER=1"
_SIGNALS: Mapping[int, Hint] = {
    signal.SIGKILL: _MEMORY,
    signal.SIGTERM: Hint(
        "Somebody asked it to end, and it was not by canceling the run: a shutdown of the "
        "machine, or a command. Run it again."
    ),
    signal.SIGINT: Hint("It was interrupted as if by Ctrl+C. Run it again."),
    signal.SIGSEGV: Hint(f"It reached for memory that is not its own. {_NATIVE}", _FAULTS),
    signal.SIGABRT: Hint(f"A library gave up; its last words are in the log. {_NATIVE}", _FAULTS),
    signal.SIGBUS: Hint(
        "Memory that it had was gone: a file became shorter, or /dev/shm was full. "
        "Load data with fewer workers."
    ),
    signal.SIGILL: Hint(
        "Compiled code has an instruction that this processor does not know. Take a build of the "
        "package for an older processor."
    ),
    signal.SIGFPE: Hint(f"It divided a whole number by zero. {_NATIVE}", _FAULTS),
}
_CODES: Mapping[int, Hint] = {
    126: Hint("The command is there and cannot be executed. Is it a script without `chmod +x`?"),
    127: Hint(
        "A command was not found where it ran. Is it part of the environment, and in its PATH?"
    ),
}
_WORDS: Mapping[str, Hint] = {
    "ImageBuildFailure": Hint(
        "Its environment could not be built. Change what it asks for, and build it alone to see "
        "whether that works.",
        "%aml_env build NAME",
    ),
    "PreparationFailed": Hint(
        "Its data or files could not be laid out, so nothing of it has run. See that they are "
        "still where they were."
    ),
}


def _of_end(symptoms: Symptoms) -> Iterator[Hint]:
    if symptoms.code in _WORDS:
        yield _WORDS[symptoms.code]
    number = symptoms.signal
    if number is None and symptoms.exit_code is not None and 128 < symptoms.exit_code < 160:
        # As a shell tells of a signal.
        number = symptoms.exit_code - 128
    if number is not None and number in _SIGNALS:
        yield _SIGNALS[number]
    code = symptoms.exit_code
    if not symptoms.name and code is not None and code in _CODES:
        yield _CODES[code]
