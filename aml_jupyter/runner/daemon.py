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
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from .. import __version__
from ..backends import JobStatus
from ..home import Home
from . import queue
from .asking import Asker
from .board import Board
from .event_watch import EventWatch
from .family import Families
from .gpus import Gpus
from .leases import Lease, Machine, decide, never
from .lifecycle import ActiveRun
from .machine import MachineWatch
from .sampling import Sampler, say

IDLE_SECONDS = 600.0
_LOOK_EVERY = 0.5
_LOOK_AT_ALL_EVERY = 5.0
_AFTER_A_FAULT = 30.0
_PUBLISH_EVERY = 1.0
_WAIT_FOR_LOCK = 5.0


class Runner:
    """Takes every queued run to its end. There is one for each home."""

    def __init__(self, home: Home, idle_seconds: float = IDLE_SECONDS) -> None:
        self._home = home.make()
        self._idle_seconds = idle_seconds
        self._runs: dict[str, ActiveRun] = {}
        self._families = Families(home)
        gpus = Gpus(say)
        self._sampler = Sampler(gpus)
        self._event_watch = EventWatch()
        self._watch = MachineWatch(gpus)
        self._machine = Machine(None)
        self._askers: dict[tuple[str, str], Asker] = {}
        self._board = Board(self._home)
        self._publish_at = 0.0
        self._has_published = True
        self._reasons: Mapping[str, str] = {}
        self._asked: object = None
        self._pools: Mapping[str, int] = {}
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
            queue.tidy(self._home)
            self._bundle = self._home.bundle()
            self._listen()
            self._hear_children()
            while not self._leaving:
                self._look()
                self._wait()
                if self._is_idle() and not self._take_new() and not self._families.take_new():
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
        leaving = sum(run.is_leaving for run in self._runs.values())
        return {
            "pid": os.getpid(),
            "version": __version__,
            "running": running,
            "waiting": len(self._runs) - running - leaving,
            "since": self._since,
        }

    # The work

    def _look(self) -> None:
        """One round: take in what is new, see how jobs are, let runs have their turn."""
        everyone = self._called or time.monotonic() >= self._look_at_all
        if everyone:
            self._called = False
            self._look_at_all = time.monotonic() + _LOOK_AT_ALL_EVERY
        statuses = self._poll()
        for name, run in self._in_order():
            # Runs that wait are many: they are looked at when something concerns them.
            needs_a_look = run.takes_a_slot or run.is_preparing or run.is_leaving
            if everyone or needs_a_look:
                self._advance(run, statuses.get(name))
        # Before turns are given: which child is the next, or none, depends on those that ended.
        concerned, new = self._families.look(self._runs, everyone), self._take_new()
        self._resize_pools(new)
        for name in sorted((concerned | new) & self._runs.keys()):
            self._advance(self._runs[name])
        self._machine = self._look_at_machine()
        self._give_turns()
        self._sampler.look(self._runs)
        self._event_watch.look(self._runs)
        self._publish()
        if self._runs or self._families:
            self._busy_at = time.monotonic()

    def _publish(self) -> None:
        """Tell others how the queue is; once more when it has become empty."""
        now = time.monotonic()
        if now < self._publish_at or not (self._runs or self._has_published):
            return
        self._publish_at = now + _PUBLISH_EVERY
        self._has_published = bool(self._runs)
        runs = [run for _, run in self._in_order() if run.is_known and not run.is_leaving]
        running = [run.shown() for run in runs if run.takes_a_slot]
        waiting = [run.shown() for run in runs if not run.takes_a_slot]
        self._board.show(self._machine, self._watch.loads, running, waiting, self._reasons)

    def _in_order(self) -> list[tuple[str, ActiveRun]]:
        return sorted(self._runs.items(), key=lambda item: item[1].entry.order)

    def _give_turns(self) -> None:
        """Let those start whose turn it is; one that is over at once makes room for the next."""
        while grants := self._grants():
            for name, lease in grants.items():
                self._advance(self._runs[name], None, lease)

    def _grants(self) -> dict[str, Lease]:
        """Whose turn it is now, and what each of them gets."""
        waiting = [
            (name, run)
            for name, run in self._in_order()
            if run.is_waiting and not self._families.holds_back(run)
        ]
        held = [(run.wish, run.lease) for run in self._runs.values() if run.lease is not None]
        asked = ([name for name, _ in waiting], held, self._machine)
        if asked == self._asked:
            return {}
        self._asked = asked
        for _, run in waiting:
            self._refuse_hopeless(run)
        line = [(name, run.wish) for name, run in waiting if run.is_waiting]
        decision = decide(held, line, self._machine)
        self._reasons = decision.reasons
        return dict(decision.grants)

    def _refuse_hopeless(self, run: ActiveRun) -> None:
        """The machine may have lost since what was asked for."""
        why = None if self._machine.trouble else never(run.wish, self._machine)
        if why:
            self._take_a_step(run, lambda: run.refuse(why))

    def _look_at_machine(self) -> Machine:
        """What there is to lease, and who else uses it."""
        lessees: dict[int, set[int]] = {}
        for name, run in self._runs.items():
            for gpu in (run.lease and run.lease.gpus) or ():
                lessees.setdefault(gpu, set()).update(self._sampler.pids_of(name))
        wanted = any(run.wish.resources.gpus for run in self._runs.values() if run.is_waiting)
        return self._watch.look(lessees, wanted)

    def _advance(
        self, run: ActiveRun, status: JobStatus | None = None, lease: Lease | None = None
    ) -> None:
        before = run.shown() if run.is_running and not run.has_completed else None
        self._take_a_step(run, lambda: run.advance(status, lease))
        # One that failed says nothing of how long the next one takes.
        if before is not None and run.has_completed:
            self._board.ended(before)

    def _take_a_step(self, run: ActiveRun, step: Callable[[], None]) -> None:
        try:
            step()
        except Exception as error:  # noqa: BLE001 - one run must not take the others down with it
            traceback.print_exc()
            run.put_off(_AFTER_A_FAULT, error)
        if run.done:
            self._drop(run.entry.path.name)

    def _drop(self, name: str) -> None:
        """Forget a run that has left the queue."""
        run = self._runs.pop(name, None)
        if run is not None:
            self._families.left(run)

    def _take_new(self) -> set[str]:
        new = {entry.path.name: entry for entry in queue.entries(self._home, self._runs)}
        for name, entry in new.items():
            self._runs[name] = ActiveRun(entry, self._bundle)
        return set(new)

    def _resize_pools(self, new: set[str]) -> None:
        """A pool has the slots that were said of it last, for all of its runs."""
        pools = queue.pools(self._home)
        for name in new if pools == self._pools else self._runs:
            run = self._runs[name]
            run.resize_pool(pools.get(run.entry.ask.pool, run.entry.ask.slots))
        if pools != self._pools:
            self._pools, self._asked = pools, None

    def _poll(self) -> dict[str, JobStatus]:
        """How all jobs are, asking each backend once about those that the same one knows of."""
        together: dict[tuple[str, str], dict[str, ActiveRun]] = {whom: {} for whom in self._askers}
        for name, run in self._runs.items():
            if run.is_running:
                together.setdefault(run.whom_to_ask, {})[name] = run
        statuses: dict[str, JobStatus] = {}
        for whom, runs in together.items():
            statuses.update(self._poll_one(whom, runs) if runs else {})
            if not runs:
                del self._askers[whom]
        return statuses

    def _poll_one(
        self, whom: tuple[str, str], runs: Mapping[str, ActiveRun]
    ) -> Mapping[str, JobStatus]:
        handles = {name: run.handle or {} for name, run in runs.items()}
        of_all = next(iter(runs.values())).backend
        if of_all.starts_at_once:
            return dict(zip(handles, of_all.poll(list(handles.values())), strict=True))
        if whom not in self._askers:
            self._askers[whom] = Asker(of_all, self._wake)
        in_haste = any(run.is_starting for run in runs.values())
        return self._askers[whom].take(handles, in_haste)

    def _wake(self) -> None:
        """Interrupt the wait, from another thread."""
        with suppress(OSError):  # full of earlier wakes
            self._wakers[1].send(b"w")

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
        yield from self._families.next_looks()
        if self._runs or self._has_published:
            yield self._publish_at - time.monotonic()
        if self._watch.next_look is not None:
            yield self._watch.next_look
        for asker in self._askers.values():
            yield max(0.02, asker.next_look())
        for seconds in (self._sampler.next_look, self._event_watch.next_look):
            if seconds is not None:
                yield seconds

    def _is_idle(self) -> bool:
        is_busy = self._runs or self._families
        return not is_busy and time.monotonic() - self._busy_at >= self._idle_seconds
