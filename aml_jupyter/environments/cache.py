"""Environments built here: found in a moment, built once however many ask, noticed when damaged."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from aml_jupyter.errors import ServiceException
from aml_jupyter.job import layout, process

from . import damage, why
from .making import BuildError, of_system
from .recipe import IMAGE, Recipe
from .shelf import BUILD_VARIABLE, Shelf, root

WAITING, BUILDING, READY, FAILED = "waiting", "building", "ready", "failed"

TRUSTED_FOR = 24 * 3600.0
"""Seconds after which an environment is looked over, file by file, before it is used again."""

_KEY_LENGTH = 20
_TERM_SECONDS = 3.0
_SETTLE_SECONDS = 5.0
_started: list[subprocess.Popen[bytes]] = []


@dataclass(frozen=True)
class Built:
    """An environment that stands ready.

    ``interpreter`` is its Python; in a container's image, the path there. ``packages`` are
    exact. ``size`` is in bytes, ``made`` and ``used`` in seconds since the epoch, ``seconds``
    how long it took. ``name`` is the Environment that it was first built for; ``notes`` what
    its build decided otherwise than asked.
    """

    key: str
    kind: str
    folder: Path
    interpreter: str
    image: str | None = None
    packages: tuple[str, ...] = ()
    python: str = ""
    size: int = 0
    made: float = 0.0
    used: float = 0.0
    seconds: float = 0.0
    name: str = ""
    notes: tuple[str, ...] = ()
    facts: Mapping[str, object] = field(default_factory=dict)
    attempt: str = ""


@dataclass(frozen=True)
class BuildState:
    """How far a build is. ``error`` says why it failed; ``why`` why it was begun.

    ``waiting`` means that its builder has not spoken yet.
    """

    phase: str
    done: int = 0
    total: int = 0
    text: str = ""
    error: BuildError | None = None
    why: tuple[str, ...] = ()
    built: Built | None = None

    @property
    def is_over(self) -> bool:
        """Whether there is nothing left to wait for."""
        return self.phase in (READY, FAILED)


def find(
    recipe: Recipe,
    options: Mapping[str, object] | None = None,
    variables: Mapping[str, str] | None = None,
    *,
    is_use: bool = False,
    is_pulled: bool = False,
) -> Built | None:
    """The environment of this recipe if it stands ready and undamaged; takes milliseconds.

    One that nobody has looked over for a day is not found: beginning its build looks it over,
    and builds only what is damaged. Images are asked of the engine that ``options`` name, or
    the submitter's ``variables``. With ``is_use`` the time is noted as that of its last use.
    Where the target's setting ``pull`` is ``always`` none is found but with ``is_pulled``, which
    says that its build has ended just now.
    """
    if must_pull(recipe, options or {}) and not is_pulled:
        return None
    shelf = Shelf.of(recipe.key)
    built = _built(shelf)
    if built is None or not _is_trusted(built, shelf):
        return None
    if quick_problems(built, options or {}, variables):
        return None
    if is_use:
        _touch(shelf.folder / "used")
    return built


def must_pull(recipe: Recipe, options: Mapping[str, object]) -> bool:
    """Whether the registry has to be asked for what the image begins from, each time."""
    return recipe.kind == IMAGE and options.get("pull") == "always"


def quick_problems(
    built: Built, options: Mapping[str, object], variables: Mapping[str, str] | None = None
) -> list[str]:
    """What is wrong with it at first sight, in words."""
    if built.kind == IMAGE:
        from . import image_store

        seen = Shelf(built.folder).read("engines")
        return image_store.problems(built, seen, options, variables)
    sealed = Shelf(built.folder).read("ready").get("seal")
    return damage.quick_problems(built.folder / "env", built.interpreter, sealed or {})


def check(
    key: str, *, deep: bool = False, options: Mapping[str, object] | None = None
) -> list[str]:
    """All that is wrong with an environment: each package's files by size, or by content.

    Empty for a whole one, which is trusted for another day. One that is not is found no more:
    the next build looks as closely, and mends it.
    """
    shelf = Shelf.of(_checked(key))
    built = _built(shelf)
    if built is None:
        return ["it is not built" if shelf.folder.is_dir() else "there is no such environment"]
    problems = quick_problems(built, options or {})
    if built.kind != IMAGE:
        problems += damage.thorough_problems(shelf.env, deep)
    was_deep = bool(shelf.read("damaged").get("deep"))
    if problems:
        shelf.write("damaged", {"deep": deep or was_deep})
    elif deep or not was_deep:
        shelf.drop("damaged")
        _touch(shelf.folder / "checked")
    return problems


def all_built() -> list[Built]:
    """Every environment that stands ready, whole or not, the one used last first."""
    try:
        keys = [name for name in os.listdir(root()) if _is_key(name)]
    except FileNotFoundError:
        return []
    found = [_built(Shelf.of(key)) for key in keys]
    return sorted(filter(None, found), key=lambda built: built.used, reverse=True)


def remove(key: str) -> int:
    """Remove what is cached under the key; returns the bytes that it took.

    Refused while it is being built. An image stays with its engine: remove that first.
    """
    shelf = Shelf.of(_checked(key))
    if not shelf.folder.is_dir():
        return 0
    built = _built(shelf)
    with contextlib.ExitStack() as inside:
        try:
            inside.enter_context(shelf.door())
        except FileNotFoundError:
            return 0  # somebody else was faster
        away = _taken_away(shelf)
    # With the door shut, those who begin a build would wait for as long as this takes. Others are
    # of removals that were cut short.
    for each in away.parent.glob(f"{away.name.partition('-')[0]}-*"):
        shutil.rmtree(each, ignore_errors=True)
    return built.size if built else 0


def _taken_away(shelf: Shelf) -> Path:
    lock = shelf.take_unless_building()
    if lock is None:
        raise ServiceException(
            f"Environment {shelf.key} is being built now.",
            "Wait for the build or cancel the runs that wait for it, then try again.",
        )
    try:
        shutil.rmtree(shelf.scratch, ignore_errors=True)
        return shelf.move_away()
    finally:
        os.close(lock)


class Build:
    """One build, of which there is at most one at a time for each recipe; others join it.

    It goes on in a process of its own, whatever becomes of those who wait. A builder that was
    killed is replaced once by whoever notices.
    """

    def __init__(self, recipe: Recipe, order: Mapping[str, object], wanted_by: str) -> None:
        self.recipe = recipe
        self._order = order
        self._shelf = Shelf.of(recipe.key)
        self._wanted_by = wanted_by
        self._attempt = ""
        self._replaced = False
        self.is_joined = False  # begun by others, who may have an engine of their own
        self._trouble: BuildError | None = None

    @classmethod
    def begin(
        cls,
        recipe: Recipe,
        *,
        wanted_by: str,
        name: str = "",
        variables: Mapping[str, str] | None = None,
        options: Mapping[str, object] | None = None,
        secrets: Mapping[str, object] | None = None,
        notes: Sequence[str] = (),
    ) -> Build:
        """Start the build, or join the one that is under way; returns at once.

        ``variables`` are the submitter's; ``secrets`` reach the builder by a pipe. ``notes``
        are lines for the head of the log.
        """
        order = {
            "recipe": recipe.to_json(),
            "name": name,
            "variables": dict(os.environ if variables is None else variables),
            "options": dict(options or {}),
            "secrets": dict(secrets or {}),
            "notes": list(notes),
        }
        build = cls(recipe, order, wanted_by)
        build._join_or_start()
        return build

    def state(self) -> BuildState:
        """How far it is now."""
        if self._trouble is not None:
            return BuildState(FAILED, error=self._trouble)
        state = self._look()
        if state is None and not self._replaced:
            self._replaced = True
            self._join_or_start(again=True)
            state = self._look()
        if state is None:
            self._clean_up()
        return state or BuildState(FAILED, error=_ended_by_others(), why=self._why())

    def read_log(self, offset: int = 0, limit: int = 1 << 20) -> bytes:
        """Bytes of the build's log from ``offset``; empty when there are none (yet)."""
        try:
            with open(self._shelf.log, "rb") as file:
                file.seek(offset)
                return file.read(limit)
        except FileNotFoundError:
            return b""

    def leave(self, wanted_by: str) -> None:
        """No longer wait for it; if nobody else does, the build ends and leaves nothing behind."""
        leave(self.recipe.key, wanted_by)

    def _look(self) -> BuildState | None:
        """The state; None when the builder is gone without a word."""
        _reap()
        # In this order: a builder speaks first and gives the lock back then.
        is_building = self._shelf.is_building
        failed = self._shelf.read("failed")
        told = self._shelf.read("state")
        built = _built(self._shelf)
        # A later attempt that others began counts for those who still wait, too, but takes nothing
        # back: it may be for another engine.
        latest = None if is_building else told.get("attempt")
        for attempt in filter(None, (self._attempt, latest)):
            if built is not None and built.attempt == attempt:
                return BuildState(READY, built=built, why=self._why())
            if failed.get("attempt") == attempt:
                return BuildState(FAILED, error=_error(failed), why=self._why())
        if not is_building:
            return None
        done, total = int(told.get("done") or 0), int(told.get("total") or 0)
        phase = BUILDING if told.get("spoken") else WAITING
        return BuildState(phase, done, total, str(told.get("text") or ""), why=self._why())

    def _clean_up(self) -> None:
        """Remove what a killed builder kept for itself: there are passwords among it."""
        if not self._shelf.scratch.exists():
            return
        lock = self._shelf.take_unless_building()
        if lock is not None:
            try:
                end_leftovers(self._shelf)
                shutil.rmtree(self._shelf.scratch, ignore_errors=True)
            finally:
                os.close(lock)

    def _why(self) -> tuple[str, ...]:
        return tuple(map(str, self._shelf.read("state").get("why") or ()))

    def _join_or_start(self, again: bool = False) -> None:
        try:
            with contextlib.ExitStack() as inside:
                _enter(self._shelf, inside)
                self._take_part(self._shelf, again)
        except OSError as error:
            self._trouble = of_system(error, self._shelf.folder)

    def _take_part(self, shelf: Shelf, again: bool) -> None:
        (shelf.wanted / _mark(self._wanted_by)).touch(mode=0o600)
        lock = _take_or_join(shelf)
        self.is_joined = lock is None
        if lock is None:
            self._attempt = str(shelf.read("state").get("attempt") or "")
            return
        try:
            self._start(lock, again)
        finally:
            os.close(lock)

    def _start(self, lock: int, again: bool) -> None:
        """Start the builder, which holds the lock from its first moment: it inherits it."""
        shelf, name = self._shelf, str(self._order["name"])
        self._attempt = layout.guid()
        reasons = why.reasons(name, self.recipe)
        if again:
            reasons = ["its builder was ended from outside, so it begins again", *reasons]
        else:
            shelf.log.write_bytes(b"")
        told = {"attempt": self._attempt, "why": reasons, "text": "starting"}
        shelf.write("state", told)
        shelf.write("recipe", self.recipe.to_json())
        order = {**self._order, "attempt": self._attempt, "why": reasons, "lock": lock}
        shelf.write("builder", process.identity(_spawn(shelf, order)))
        why.remember(name, self.recipe)


def leave(key: str, wanted_by: str) -> None:
    """What :meth:`Build.leave` does, for one who no longer has the Build."""
    shelf = Shelf.of(_checked(key))
    if not shelf.folder.is_dir():
        return
    with contextlib.ExitStack() as inside:
        try:
            inside.enter_context(shelf.door())
        except FileNotFoundError:
            return
        (shelf.wanted / _mark(wanted_by)).unlink(missing_ok=True)
        if not any(shelf.wanted.iterdir()) and shelf.is_building and not _has_ended_well(shelf):
            _end_build(shelf)


def _end_build(shelf: Shelf) -> None:
    builder = shelf.read("builder")
    for number, seconds in ((signal.SIGTERM, _TERM_SECONDS), (signal.SIGKILL, _SETTLE_SECONDS)):
        end_group(builder, number)
        if shelf.wait_until_free(seconds):
            break
    end_leftovers(shelf)
    # It may have come to its end in the last moment, and have been found since.
    if not _has_ended_well(shelf):
        shelf.clear()
        shelf.drop("state", "builder")


def _has_ended_well(shelf: Shelf) -> bool:
    ready = shelf.read("ready")
    return bool(ready) and ready.get("attempt") == shelf.read("state").get("attempt")


def end_group(builder: Mapping[str, object], number: int) -> None:
    """Send a signal to the builder and to all that it started, if it is still there."""
    if process.is_alive(dict(builder)):
        try:
            os.killpg(int(str(builder["pid"])), number)
        except ProcessLookupError:
            pass


def end_leftovers(shelf: Shelf) -> None:
    """End what a killed builder has left behind: it would go on writing into the folder."""
    import psutil

    left = []
    for found in psutil.process_iter():
        try:
            if (
                found.environ().get(BUILD_VARIABLE) == str(shelf.folder)
                and found.pid != os.getpid()
            ):
                found.kill()
                left.append(found.pid)
        except (psutil.Error, OSError):
            continue
    until = time.monotonic() + _SETTLE_SECONDS
    while any(process.started_at(pid) is not None for pid in left) and time.monotonic() < until:
        time.sleep(0.01)


def _enter(shelf: Shelf, inside: contextlib.ExitStack) -> None:
    """Go in at the door, and make the folder anew as often as it is removed meanwhile."""
    while True:
        try:
            inside.enter_context(shelf.make().door())
        except FileNotFoundError:
            continue
        shelf.make()  # whoever else makes it may not be done
        return


def _take_or_join(shelf: Shelf) -> int | None:
    """The lock; None when a build is under way that can be joined."""
    while True:
        lock = shelf.take()
        if lock is not None:
            return lock
        attempt = shelf.read("state").get("attempt")
        is_over = attempt in (
            shelf.read("failed").get("attempt"),
            shelf.read("ready").get("attempt"),
        )
        if shelf.is_building and not is_over:
            return None
        # It has said its last word, or somebody only looked: the lock is free in a moment.
        time.sleep(0.005)


def _spawn(shelf: Shelf, order: Mapping[str, object]) -> int:
    """The pid of a builder that has the order, in a session of its own."""
    package = str(Path(__file__).parents[2])
    path = os.pathsep.join([package, *filter(None, [os.environ.get("PYTHONPATH")])])
    with open(shelf.log, "ab") as log:
        builder = subprocess.Popen(
            [sys.executable, "-m", "aml_jupyter.environments", str(shelf.folder)],
            cwd="/",
            env={**os.environ, "PYTHONPATH": path, BUILD_VARIABLE: str(shelf.folder)},
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            start_new_session=True,
            pass_fds=[int(str(order["lock"]))],
        )
    _started.append(builder)
    assert builder.stdin is not None
    try:
        builder.stdin.write(json.dumps(order).encode())
        builder.stdin.close()
    except BrokenPipeError:
        pass  # It has ended already; whoever asks for its state finds that out.
    return builder.pid


def _reap() -> None:
    """Take note of builders that have ended, so that none stays a zombie."""
    _started[:] = [builder for builder in _started if builder.poll() is None]


def _built(shelf: Shelf) -> Built | None:
    """What ``ready.json`` tells of; None when it does not or cannot be read."""
    record = shelf.read("ready")
    try:
        built = Built(
            key=shelf.key,
            kind=str(record["kind"]),
            folder=shelf.folder,
            interpreter=str(record["interpreter"]),
            image=record.get("image"),
            packages=tuple(map(str, record["packages"])),
            python=str(record["python"]),
            made=float(record["made"]),
            seconds=float(record["seconds"]),
            name=str(record["name"]),
            notes=tuple(map(str, record["notes"])),
            facts=dict(record["facts"]),
            attempt=str(record["attempt"]),
        )
    except (KeyError, TypeError, ValueError):
        return None
    size = shelf.read("size").get("size")
    return replace(built, size=int(size or 0), used=_mtime(shelf.folder / "used") or built.made)


def _is_trusted(built: Built, shelf: Shelf) -> bool:
    """Whether it was looked over not long ago; an image's files are the engine's care."""
    if shelf.read("damaged"):
        return False
    return built.kind == IMAGE or _mtime(shelf.folder / "checked") + TRUSTED_FOR > time.time()


def _error(failed: Mapping[str, object]) -> BuildError:
    text = {name: str(failed.get(name) or "") for name in ("message", "hint", "line", "said")}
    return BuildError(text["message"], text["hint"], line=text["line"], said=text["said"])


def _ended_by_others() -> BuildError:
    return BuildError(
        "The build was ended from outside, twice: killed, perhaps for lack of memory.",
        "Look into its log and into the machine's, then submit again.",
    )


def _mark(wanted_by: str) -> str:
    """A file name for any text."""
    return hashlib.sha256(wanted_by.encode()).hexdigest()


def _checked(key: str) -> str:
    if not _is_key(key):
        raise ServiceException(
            f"{key!r} is not the key of an environment.", "`aml env list` shows the keys."
        )
    return key


def _is_key(name: str) -> bool:
    return len(name) == _KEY_LENGTH and all(digit in "0123456789abcdef" for digit in name)


def _touch(path: Path) -> None:
    try:
        path.touch(mode=0o600)
        os.utime(path)
    except OSError:
        pass  # A full or read-only disk must not keep anybody from what is there.


def _mtime(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
