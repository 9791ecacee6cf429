"""What those that build environments have in common: a place, a log, and how they fail."""

from __future__ import annotations

import errno
import os
import re
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from aml_jupyter.errors import AmlError

_TAIL_LINES = 30
_COLOURS = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


class BuildError(AmlError):
    """An environment that cannot be built.

    ``line`` is the entry of the specification at fault, when it is known; ``said`` the last
    lines of whoever refused: the resolver, the engine, a command of the Dockerfile.
    """

    def __init__(self, message: str, hint: str = "", *, line: str = "", said: str = "") -> None:
        super().__init__(message, hint)
        self.line = line
        self.said = said


@dataclass(frozen=True)
class Made:
    """What a maker made. ``packages`` are exact: ``name==version``, one for each installed."""

    interpreter: str
    packages: tuple[str, ...] = ()
    python: str = ""
    image: str | None = None
    facts: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Site:
    """Where one environment is built, and what the builder may use.

    ``target`` is the folder to build in, empty or absent; ``variables`` the environment of who
    wants it (proxies, index URLs, certificates); ``options`` the settings of the target that it
    is for; ``secrets`` are credentials, for files that go when the build ends, and never for a
    command line, a log or a layer.
    """

    target: Path
    scratch: Path
    variables: Mapping[str, str]
    options: Mapping[str, object]
    secrets: Mapping[str, object]
    log: Path
    on_progress: Callable[[int, int, str], None]

    def say(self, text: str) -> None:
        """Append a line to the build's log."""
        with open(self.log, "a", encoding="utf-8", errors="replace") as file:
            file.write(text.rstrip("\n") + "\n")

    def private_file(self, name: str, text: str) -> Path:
        """A file that nobody else can read, and that goes when the build ends: for secrets."""
        path = self.scratch / name
        path.unlink(missing_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text)
        return path

    def progress(self, done: int, total: int, text: str) -> None:
        """Tell whoever waits how far it is; ``total`` 0 when nobody knows."""
        self.on_progress(done, total, text)

    def run(
        self,
        command: Sequence[str | os.PathLike[str]],
        variables: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        on_line: Callable[[str], None] | None = None,
    ) -> str:
        """What a command said, without colours; BuildError when it failed.

        The log has it as it was said.
        """
        said: list[str] = []
        with (
            open(self.log, "a", encoding="utf-8", errors="replace") as log,
            subprocess.Popen(
                [os.fspath(word) for word in command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                cwd=cwd,
                env={**self.variables, **(variables or {})},
                text=True,
                errors="replace",
            ) as process,
        ):
            assert process.stdout is not None
            for coloured in process.stdout:
                log.write(coloured)
                log.flush()
                line = _COLOURS.sub("", coloured)
                said.append(line)
                if on_line is not None:
                    on_line(line.rstrip("\n"))
        if process.returncode:
            tail = "".join(said[-_TAIL_LINES:])
            raise BuildError(f"{os.path.basename(os.fspath(command[0]))} failed.", said=tail)
        return "".join(said)


def of_system(error: OSError, folder: Path) -> BuildError:
    """The error of a build in ``folder`` that the system put an end to."""
    what = os.strerror(error.errno) if error.errno else str(error)
    where = f": {error.filename}" if error.filename else ""
    failed = BuildError(f"The environment could not be built: {what}{where}.", said=str(error))
    return with_room_in_mind(failed, folder)


def with_room_in_mind(error: BuildError, folder: Path) -> BuildError:
    """``error``, or the one that says what to do when the disk is what is full."""
    text = f"{error.message} {error.said}"
    if not any(os.strerror(number) in text for number in _NO_ROOM):
        return error
    return BuildError(
        f"No room left on the disk to build the environment in {folder}.",
        "`aml env prune` removes environments that are no longer used; then submit again.",
        line=error.line,
        said=error.said,
    )
