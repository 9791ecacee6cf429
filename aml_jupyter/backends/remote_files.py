"""Files of runs whose container engine does not see this machine's disk: in, live, and out.

How :mod:`.docker` uses it, where ``address.is_local`` is False (nothing is mounted then)::

    files = RemoteFiles(engine, container_id, job.folder)
    files.put(job.bundle, (uid, gid))       # after create, before start; may be repeated
    files.follow(interpreter, bundle)       # whenever a container may be running; returns at once
    files.fetch()                           # at every poll of an exited one; True once all is here

``put`` copies the run's folder (with work/) and the bundle in, to the same absolute paths, owned
by the container's user. ``interpreter`` is the one that the launcher is started with.
Until ``fetch`` says True the job counts as RUNNING, ``trouble`` says what is in the way, and the
container must stay; from then on ``job/claim.json``, ``job/exit.json`` and all else lie in the
run's folder as if the job had run here. Only ``job/claim.json`` arrives earlier, while it runs.
``follow`` and ``fetch`` are asked of a new object each time, if need be: the work is done by one
thread of this process for each container.
The launcher calls ``aml_jupyter.job.courier.note_changes(folder)`` when the job has ended and
before it exits, where the variable AML_REMOTE is set (the backend sets it for such containers):
then files of work/ that did not change need not be fetched.
"""

from __future__ import annotations

import fcntl
import json
import posixpath
import tarfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import IO, Any

from ..engine import Conflict, Engine, NotThere
from ..errors import AmlError
from ..job import courier, events, layout
from .remote_archive import Coming, Events, Going, archive_of, small_files
from .remote_live import Following
from .remote_place import Place

_LOCK = "job/courier.lock"
_FETCHED = "job/fetched.json"
_FOLLOWED = (
    "azureml-logs", layout.METRICS, layout.LOGS, layout.OUTPUTS, layout.ARTIFACTS, layout.CHILDREN
)  # fmt: skip
_MIRRORED = (layout.OUTPUTS, layout.LOGS)
_LARGEST_NOTE = 1 << 23
_SINGLY = 50
_NAMED = 3
_PATIENCE = (0.5, 10.0)

_couriers: dict[tuple[str, str], _Courier] = {}
_lock = threading.Lock()


class RemoteFiles:
    """The files of the run in ``folder``, whose container is on an engine that cannot see it."""

    def __init__(self, engine: Engine, container: str, folder: str | Path) -> None:
        self._engine = engine
        self._container = container
        self._folder = Path(folder)

    def put(
        self, bundle: Path, user: tuple[int, int], places: Sequence[Mapping[str, Any]] = ()
    ) -> None:
        """Copy all that the job needs into its container, which must not have started yet."""
        with self._engine.errors("The run's files could not be copied into its container"):
            files = Going(self._folder, bundle, user, places)
            # Here and not there, since what is there the job may change.
            layout.write_json_below(str(self._folder), courier.ARRIVED, {"events": files.events})
            self._engine.client.api.put_archive(self._container, "/", files)

    def follow(self, interpreter: str, bundle: Path) -> None:
        """See to it that logs, metrics and events arrive while the job runs."""
        if not is_fetched(self._folder, self._container):
            self._courier().follow(interpreter, bundle)

    def fetch(self) -> bool:
        """Whether all that the job left is here; it is being fetched until then."""
        if is_fetched(self._folder, self._container):
            return True
        return self._courier().fetch()

    @property
    def trouble(self) -> str:
        """What keeps the files from coming just now; empty if nothing does."""
        with _lock:
            found = _couriers.get((str(self._folder), self._container))
        return found.trouble if found else ""

    def _courier(self) -> _Courier:
        key = (str(self._folder), self._container)
        with _lock:
            found = _couriers.get(key)
            if found is None or found.is_over:
                found = _couriers[key] = _Courier(self._engine, self._container, self._folder)
            return found


def is_fetched(folder: Path, container: str) -> bool:
    """Whether everything has come from this container into the run's folder."""
    found = layout.read_json(str(folder / _FETCHED))
    return isinstance(found, dict) and found.get("container") == container


class _Courier:
    """Carries the files of one run, on a thread that begins when first needed."""

    def __init__(self, engine: Engine, container: str, folder: Path) -> None:
        self.trouble = ""
        self._engine = engine
        self._container = container
        self._folder = folder
        self._place = Place(folder)
        self._python = ("", Path())
        self._must_fetch = threading.Event()
        self._told = False
        self._following = Following(
            engine, container, folder, _FOLLOWED, _MIRRORED, self._must_fetch
        )
        self._thread: threading.Thread | None = None

    @property
    def is_over(self) -> bool:
        """Whether it has stopped, be it that all is done or that the run was deleted."""
        return self._thread is not None and not self._thread.is_alive()

    def follow(self, interpreter: str, bundle: Path) -> None:
        """Go along with a container that runs."""
        self._python = (interpreter, bundle)
        self._begin()

    def fetch(self) -> bool:
        """Fetch what a container left that has ended; whether that is done."""
        self._must_fetch.set()
        self._begin()
        return self._has_all()

    def _begin(self) -> None:
        if self._thread is None:
            name = f"files of {self._folder.name}"
            self._thread = threading.Thread(target=self._run, name=name, daemon=True)
            self._thread.start()

    def _run(self) -> None:
        with suppress(FileNotFoundError), open(self._folder / _LOCK, "w") as file:
            # Another runner may still be at it: one at a time writes to the run's folder.
            while not _is_locked(file):
                time.sleep(0.2)
            self._again_and_again(self._follow, self._must_fetch.is_set)
            self._again_and_again(self._fetch, self._has_all)
        with _lock:
            _couriers.pop((str(self._folder), self._container), None)

    def _again_and_again(self, work: Callable[[], None], is_done: Callable[[], bool]) -> None:
        """Until it is done, whatever comes between: the engine, the network, a full disk."""
        shortest, longest = _PATIENCE
        wait = shortest
        while not is_done() and self._folder.exists():
            try:
                work()
                self.trouble, wait = "", shortest
            except Conflict:  # the container does not run: not yet, or no more
                wait = shortest
            except (AmlError, OSError, EOFError, ValueError, tarfile.TarError) as error:
                self.trouble = f"its files cannot be fetched: {_words(error, self._folder)}"
                self._tell_once()
                wait = min(longest, 2 * wait)
            if is_done():
                return
            if self._must_fetch.is_set():
                time.sleep(wait)
            else:
                self._must_fetch.wait(wait)

    def _tell_once(self) -> None:
        """Say in the run what is in the way of its end; a full disk may keep even that out."""
        if self._must_fetch.is_set() and not self._told:
            message = f"The job is over, but {self.trouble}. It is tried again until it works."
            with suppress(OSError):
                events.append(str(self._folder), "warning", message=message)
                self._told = True

    def _has_all(self) -> bool:
        return is_fetched(self._folder, self._container)

    # While it runs

    def _follow(self) -> None:
        self._following.follow(*self._python, self._brought())

    def _brought(self) -> int:
        """The length of the events that were copied in."""
        arrived = layout.read_json(str(self._folder / courier.ARRIVED)) or {}
        return int(arrived.get("events") or 0)

    # When it is over

    def _fetch(self) -> None:
        """Take what is in the container now into the run's folder, the end of the job last."""
        if not self._is_there():
            self._finish(())
            return
        notes = self._notes()
        if not (self._folder / layout.CLAIM).exists():  # when it came is when the job began
            self._place_notes(notes, (layout.CLAIM,))
        coming = Coming(self._place)
        for name in (*_FOLLOWED, layout.UPLOADS):
            there = self._take(coming, name)
            if name in _MIRRORED and there:
                self._remove_all_but(name, there)
        self._take_work(coming, notes)
        self._take_events()
        self._place_notes(notes, (layout.OUTCOME, layout.EXIT))
        self._finish(coming.left_behind)

    def _is_there(self) -> bool:
        try:
            with self._engine.errors("The container cannot be looked at"):
                self._engine.client.api.inspect_container(self._container)
        except NotThere:
            return False
        return True

    def _notes(self) -> dict[str, bytes]:
        """What the launcher wrote of the job and its end."""
        found: dict[str, bytes] = {}
        with suppress(NotThere), self._archive("job") as pieces:
            found = small_files(pieces, _LARGEST_NOTE)
        return found

    def _place_notes(self, notes: dict[str, bytes], paths: Sequence[str]) -> None:
        for path in paths:
            data = notes.get(posixpath.basename(path))
            if data is not None:
                self._place.receive(path, [data], time.time_ns(), 0o644)

    def _take(self, coming: Coming, path: str) -> set[str]:
        try:
            with self._archive(path) as pieces:
                return coming.take(pieces, posixpath.dirname(path))
        except NotThere:
            return set()

    def _take_work(self, coming: Coming, notes: dict[str, bytes]) -> None:
        """What the job changed in its working directory, as far as that was noted; else all."""
        changed = _paths(notes.get(posixpath.basename(courier.CHANGED)))
        if changed is None or len(changed) > _SINGLY:
            self._take(coming, layout.WORK)
            return
        for path in changed:
            self._take(coming, path)

    def _take_events(self) -> None:
        journal = Events(self._folder)
        with suppress(NotThere), self._archive(layout.EVENTS) as pieces:
            journal.take_archive(pieces, journal.known or self._brought())

    def _remove_all_but(self, name: str, there: set[str]) -> None:
        """Let go of what came earlier and was deleted by the job since."""
        for path, _ in list(layout.files_below(str(self._folder / name), f"{name}/")):
            if path not in there:
                self._place.remove(path)

    def _archive(self, path: str) -> AbstractContextManager[Iterator[bytes]]:
        return archive_of(self._engine, self._container, str(self._folder / path))

    def _finish(self, left_behind: Sequence[str]) -> None:
        if left_behind:
            some = ", ".join(left_behind[:_NAMED])
            more = len(left_behind) - _NAMED
            rest = f" and {more} more" if more > 0 else ""
            message = f"Links that lead out of the run were not fetched: {some}{rest}."
            events.append(str(self._folder), "warning", message=message)
        layout.write_json_below(str(self._folder), _FETCHED, {"container": self._container})


def _paths(noted: bytes | None) -> list[str] | None:
    """The paths below the working directory in a note; None where it is no such note."""
    try:
        paths = json.loads(noted or b"")
    except (ValueError, RecursionError):
        return None
    if not isinstance(paths, list):
        return None
    return [path for path in paths if str(path).startswith(f"{layout.WORK}/")]


def _words(error: Exception, folder: Path) -> str:
    if isinstance(error, OSError):
        error = layout.full_disk(error, str(folder / layout.EVENTS))
    return error.message.rstrip(".") if isinstance(error, AmlError) else str(error)


def _is_locked(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
