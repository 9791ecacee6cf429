"""The runner's loop: who is here, whose turn it is, who has ended."""

from __future__ import annotations

import fcntl
import json
import os
import selectors
import signal
import socket
import time
import traceback
from collections.abc import Iterator
from typing import Any

from .. import __version__
from ..backends import JobStatus
from ..home import Home
from . import queue
from .lifecycle import ActiveRun
from .sampling import Sampler

IDLE_SECONDS = 600.0
_LOOK_EVERY = 0.5
_LOOK_AT_ALL_EVERY = 5.0
_AFTER_A_FAULT = 30.0
_WAIT_FOR_LOCK = 5.0


class Runner:
    """Takes every queued run to its end. There is one for each home."""

    def __init__(self, home: Home, idle_seconds: float = IDLE_SECONDS) -> None:
        self._home = home.make()
        self._idle_seconds = idle_seconds
        self._runs: dict[str, ActiveRun] = {}
        self._sampler = Sampler()
        self._leaving = False
        self._called = False
        self._look_at_all = 0.0
        self._since = time.time()
        self._busy_at = time.monotonic()
        self._selector = selectors.DefaultSelector()
        self._listener: socket.socket | None = None

    def serve(self) -> None:
        """Run until idle for long, or asked to leave; jobs never notice either."""
        lock = self._acquire()
        if lock is None:
            return
        try:
            self._bundle = self._home.bundle()
            self._listen()
            self._hear_children()
            while not self._leaving:
                self._look()
                self._wait()
                if self._is_idle() and not self._take_new():
                    break
        finally:
            self._hang_up()
            os.close(lock)

    # Being the only one, and being reachable

    def _acquire(self) -> int | None:
        """The lock, with our pid in it; None when another runner keeps it."""
        file = os.open(self._home.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        until = time.monotonic() + _WAIT_FOR_LOCK
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                # The holder may be about to leave: it closes its socket first, then unlocks.
                if time.monotonic() > until or self._home.socket.exists():
                    os.close(file)
                    return None
                time.sleep(0.02)
        os.ftruncate(file, 0)
        os.pwrite(file, str(os.getpid()).encode(), 0)
        return file

    def _listen(self) -> None:
        path = self._home.socket
        path.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        os.chmod(path, 0o600)
        self._listener.listen(64)
        self._listener.setblocking(False)
        self._selector.register(self._listener, selectors.EVENT_READ, self._accept)

    def _hang_up(self) -> None:
        if self._listener is not None:
            self._home.socket.unlink(missing_ok=True)
            self._listener.close()

    def _hear_children(self) -> None:
        """Let an ending job or a polite signal interrupt the wait."""
        reader, writer = socket.socketpair()
        reader.setblocking(False)
        writer.setblocking(False)
        self._wakers = (reader, writer)
        signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._on_leave)
        self._selector.register(reader, selectors.EVENT_READ, lambda: reader.recv(4096))

    def _on_leave(self, *_: object) -> None:
        self._leaving = True

    def _accept(self) -> None:
        assert self._listener is not None
        try:
            connection, _ = self._listener.accept()
        except BlockingIOError:
            return
        with connection:
            connection.settimeout(1.0)
            try:
                question = connection.recv(4096).decode(errors="replace").strip()
                connection.sendall(json.dumps(self._answer(question)).encode() + b"\n")
            except OSError:
                return

    def _answer(self, question: str) -> dict[str, Any]:
        if question == "wake":
            self._called = True
        if question == "leave":
            self._leaving = True
            self._hang_up()
        running = sum(run.takes_a_slot for run in self._runs.values())
        return {
            "pid": os.getpid(),
            "version": __version__,
            "running": running,
            "waiting": len(self._runs) - running,
            "since": self._since,
        }

    # The work

    def _look(self) -> None:
        """One round: take in what is new, see how jobs are, let runs have their turn."""
        new = self._take_new()
        statuses = self._poll()
        everyone = self._called or time.monotonic() >= self._look_at_all
        if everyone:
            self._called = False
            self._look_at_all = time.monotonic() + _LOOK_AT_ALL_EVERY
        used = sum(run.takes_a_slot for run in self._runs.values())
        # Those that end free a slot for those that wait, whose order then decides.
        for name, run in sorted(self._runs.items(), key=lambda item: _turn(item[1])):
            active = run.takes_a_slot
            may_start = not active and (used < run.entry.slots or self._borrows(run))
            # Runs that wait are many: they are looked at when something concerns them.
            if active or may_start or everyone or name in new:
                self._advance(run, statuses.get(name), may_start)
                used += run.takes_a_slot - active
            if run.done:
                del self._runs[name]
        self._sampler.look(self._runs)
        if self._runs:
            self._busy_at = time.monotonic()

    def _advance(self, run: ActiveRun, status: JobStatus | None, may_start: bool) -> None:
        try:
            run.advance(status, may_start)
        except Exception as error:  # noqa: BLE001 - one run must not take the others down with it
            traceback.print_exc()
            run.put_off(_AFTER_A_FAULT, error)

    def _take_new(self) -> set[str]:
        new = {entry.path.name: entry for entry in queue.entries(self._home, self._runs)}
        for name, entry in new.items():
            self._runs[name] = ActiveRun(entry, self._bundle)
        return set(new)

    def _poll(self) -> dict[str, JobStatus]:
        """How all jobs are, asking each backend once."""
        by_backend: dict[int, list[tuple[str, ActiveRun]]] = {}
        for name, run in self._runs.items():
            if run.is_running:
                by_backend.setdefault(id(run.backend), []).append((name, run))
        statuses: dict[str, JobStatus] = {}
        for runs in by_backend.values():
            handles = [run.handle or {} for _, run in runs]
            answers = runs[0][1].backend.poll(handles)
            statuses.update(zip((name for name, _ in runs), answers, strict=True))
        return statuses

    def _borrows(self, run: ActiveRun) -> bool:
        """A run that waits for its child must not keep the child from starting."""
        if run.parent is None:
            return False
        runs = list(self._runs.values())
        parent_runs = any(r.takes_a_slot and r.entry.run_id == run.parent for r in runs)
        sibling_runs = any(r.takes_a_slot and r.parent == run.parent for r in runs)
        return parent_runs and not sibling_runs

    def _wait(self) -> None:
        for key, _ in self._selector.select(self._timeout()):
            key.data()

    def _timeout(self) -> float:
        if self._leaving:
            return 0.0
        return max(0.0, min(self._times()))

    def _times(self) -> Iterator[float]:
        yield self._idle_seconds - (time.monotonic() - self._busy_at)
        for run in self._runs.values():
            yield _LOOK_EVERY if run.takes_a_slot else _LOOK_AT_ALL_EVERY
            for seconds in (run.next_look, run.seconds_left() if run.is_running else None):
                if seconds is not None:
                    yield seconds
        seconds = self._sampler.next_look
        if seconds is not None:
            yield seconds

    def _is_idle(self) -> bool:
        return not self._runs and time.monotonic() - self._busy_at >= self._idle_seconds


def _turn(run: ActiveRun) -> tuple[bool, tuple[int, int]]:
    return (not run.takes_a_slot, run.entry.order)
