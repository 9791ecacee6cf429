"""``aml logs`` and ``aml attach``: what a run prints, while it prints it."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from ..errors import UserErrorException
from ..job import events, layout, states
from ..spec.words import near
from ..store import LogTail
from ..store.following import last_values
from ..workspace import Run
from . import INTERRUPTED, OK, RUN_FAILED
from .finding import Watch, find_run, workspace_here
from .parser import Command, Parser, add_run, count
from .present import described, print_json, say, shown_duration, shown_metrics, shown_state, styled

_PIECE = 1 << 20
_POLL = (0.03, 0.25)
_ATTACHED_LINES = 50


def _logs_arguments(parser: Parser) -> None:
    add_run(parser)
    parser.add_argument(
        "-f", "--follow", action="store_true", help="go on printing until the run has ended"
    )
    parser.add_argument(
        "-n", "--lines", metavar="N", type=count, help="only the last N lines; all if not said"
    )
    parser.add_argument("--file", metavar="NAME", help="another file of the run, by name")


def _logs(options: argparse.Namespace) -> int:
    run = find_run(workspace_here(), options.run)
    path = _path_of(run, options.file)
    watch = Watch(run)
    tail = LogTail(path, _start(path, options.lines))
    gathered = bytearray()
    write = gathered.extend if options.json else _to_stdout
    try:
        if options.follow:
            follow(watch, tail, write)
        elif not _copy(tail, write) and not path.exists():
            say(f"Run {run.id} has no log yet; it is {watch.look().status}.")
    except KeyboardInterrupt:
        return INTERRUPTED
    if options.json:
        name = options.file or layout.DRIVER_LOG
        text = gathered.decode(errors="replace")
        print_json({"id": run.id, "status": watch.look().status, "file": name, "text": text})
    return OK


def _attach_arguments(parser: Parser) -> None:
    add_run(parser)
    parser.add_argument(
        "-n",
        "--lines",
        metavar="N",
        type=count,
        default=_ATTACHED_LINES,
        help=f"begin with the last N lines; {_ATTACHED_LINES} if not said",
    )


def _attach(options: argparse.Namespace) -> int:
    run = find_run(workspace_here(), options.run)
    return watch_to_its_end(run, options.json, options.lines)


def watch_to_its_end(run: Run, as_json: bool, lines: int | None = None) -> int:
    """Show a run live until it ends, and return the exit code that says how it ended.

    With ``as_json`` the log goes to stderr, and the run as it ended to stdout.
    """
    watch, path = Watch(run), run.folder / layout.DRIVER_LOG
    line = _StatusLine(watch, sys.stderr if as_json else sys.stdout)
    say(f"{run.id}: {watch.look().status}. Ctrl-C leaves it running.")
    try:
        follow(watch, LogTail(path, _start(path, lines)), line.write, line.show)
    except KeyboardInterrupt:
        line.clear()
        say(f"\nRun {run.id} goes on. `aml attach {run.id}` shows it again, `aml cancel` ends it.")
        return INTERRUPTED
    line.clear()
    facts = watch.look()
    if as_json:
        root = run.experiment.workspace.folder.root
        print_json(described(watch.summary(), root) | {"error": facts.error})
    else:
        say(_ending(watch, facts))
    return OK if facts.status == states.COMPLETED else RUN_FAILED


def _ending(watch: Watch, facts: events.Facts) -> str:
    took = (facts.ended or 0) - facts.started if facts.started else None
    after = f" after {shown_duration(took)}" if took is not None else ""
    lines = [f"{watch.run.id}: {shown_state(facts.status)}{after}"]
    if facts.error:
        lines.append(str(facts.error["error"].get("message")))
    return "\n".join(lines)


def follow(
    watch: Watch,
    tail: LogTail,
    write: Callable[[bytes], object],
    each_time: Callable[[], None] = lambda: None,
) -> None:
    """Hand on what is new in a log, as it comes, until the run has ended."""
    pause, longest = _POLL
    while True:
        # The state is read before the log: what a run that has ended wrote is all there then.
        ended = watch.look().has_ended
        news = _copy(tail, write)
        if ended:
            return
        each_time()
        pause = _POLL[0] if news else min(longest, pause * 1.5)
        time.sleep(pause)


def _copy(tail: LogTail, write: Callable[[bytes], object]) -> bool:
    before = tail.offset
    while data := tail.read(_PIECE):
        write(data)
    return tail.offset > before


def _to_stdout(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def _path_of(run: Run, name: str | None) -> Path:
    if name in (None, layout.DRIVER_LOG, layout.DRIVER_LOG_ALIAS):
        return run.folder / layout.DRIVER_LOG
    found = layout.artifacts(str(run.folder))
    if name not in found:
        raise UserErrorException(
            f"Run {run.id} has no file named {name!r}.", near(str(name), found)
        )
    return Path(found[name])


def _start(path: Path, lines: int | None) -> int:
    """The offset at which the last ``lines`` lines begin; looks at no more than it must."""
    if lines is None or not path.exists():
        return 0
    with open(path, "rb") as file:
        end = file.seek(0, os.SEEK_END)
        return _nth_line_from(end, lines, lambda at, size: os.pread(file.fileno(), size, at))


def _nth_line_from(end: int, lines: int, read: Callable[[int, int], bytes]) -> int:
    if not lines or not end:
        return end
    # The newline that ends the last line begins no other.
    wanted = lines + (read(end - 1, 1) == b"\n")
    position = end
    while position:
        start = max(0, position - _PIECE)
        piece = read(start, position - start)
        found = piece.count(b"\n")
        if found >= wanted:
            at = len(piece)
            for _ in range(wanted):
                at = piece.rindex(b"\n", 0, at)
            return start + at + 1
        wanted -= found
        position = start
    return 0


class _StatusLine:
    """The last line of a terminal, below the log: how the run is now."""

    def __init__(self, watch: Watch, log: TextIO) -> None:
        self._watch = watch
        self._log = log
        self._seen = sys.stderr.isatty() and self._log.isatty() and os.environ.get("TERM") != "dumb"
        self._drawn = False
        self._at_start_of_line = True
        self._next = 0.0

    def write(self, data: bytes) -> None:
        """Print a piece of the log."""
        self.clear()
        self._log.buffer.write(data)
        self._log.buffer.flush()
        self._at_start_of_line = data.endswith(b"\n")
        self._next = 0.0

    def show(self) -> None:
        """Draw the line anew, now and then; never into a line that the run is still writing."""
        if not self._seen or not self._at_start_of_line or time.monotonic() < self._next:
            return
        self._next = time.monotonic() + 0.5
        width = shutil.get_terminal_size().columns - 1
        sys.stderr.write(f"\r\033[K{styled(self._text()[:width], 'dim')}")
        sys.stderr.flush()
        self._drawn = True

    def clear(self) -> None:
        """Take the line away."""
        if self._drawn:
            sys.stderr.write("\r\033[K")
            sys.stderr.flush()
            self._drawn = False

    def _text(self) -> str:
        facts = self._watch.facts
        elapsed = shown_duration(time.time() - (facts.started or facts.since))
        stage = str((facts.progress or {}).get("text") or "")
        metrics = shown_metrics(last_values(str(self._watch.run.folder / layout.METRICS)))
        return "  ".join(filter(None, (facts.status, elapsed, stage, metrics)))


COMMANDS = {
    "logs": Command(
        _logs_arguments,
        _logs,
        (
            "aml logs -f                        follow the last run",
            "aml logs mnist_17 -n 100",
            "aml logs mnist_17 --file logs/tensorboard.txt",
        ),
    ),
    "attach": Command(
        _attach_arguments,
        _attach,
        ("aml attach", "aml attach mnist_17 && echo it completed"),
    ),
}
