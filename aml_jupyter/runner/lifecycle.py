"""One run on its way from asked for to ended.

Every step may be cut short by ``kill -9`` and is then taken again by the next runner: laying
out starts over, starting finds the job that is there, finishing repeats.
"""

from __future__ import annotations

import errno
import math
import os
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from ..backends import Backend, Handle, Job, JobStatus, backend
from ..engine import EngineAway, ImageMissing
from ..environments import BuildError, cache
from ..environments.recipe import Recipe
from ..environments.resolution import PYTHON_IN_IMAGE
from ..errors import AmlError
from ..job import events, layout, states
from ..job.process import boot_id
from ..spec import RunRequest
from ..store import snapshots
from .board import BoardRun
from .data import let_go
from .delivering import Delivering
from .ends import build_failure, explain, failure
from .event_logs import EventLogs
from .leases import Lease, Wish
from .preparing import Preparation
from .queue import Entry
from .starting import Beside, Submitting, note_environment
from .working_folder import LayingOut, gather, objects_of, remove, trim

GRACE = 10.0
"""Seconds between asking a job to end and ending it; ``AML_CANCEL_GRACE`` is for other habits."""

ENGINE_PATIENCE = 60.0
"""Seconds for which a run that is to start, or to end, waits for its engine.

``AML_ENGINE_PATIENCE`` is for other habits.
"""

_ASK_ENGINE_EVERY = 1.0
_ANY_PYTHON = ("python", PYTHON_IN_IMAGE)
_RETRY = (0.5, 5.0)
_TIME_LIMIT = "max_run_duration_seconds"
_INLINE_FILES, _INLINE_BYTES, _INLINE_SECONDS = 300, 20_000_000, 0.05
_LAYING_OUT_LOOKS = 0.2
# What an ended job wrote for TensorBoard is taken in so long at a time, and in all.
_EVENTS_AT_ONCE, _EVENTS_PATIENCE = 0.02, 30.0


class ActiveRun:
    """A run that the runner has in its care; :meth:`advance` takes it as far as it goes now."""

    def __init__(self, entry: Entry, bundle: Path) -> None:
        self.entry = entry
        self.done = False
        self.job: Job | None = None
        self.event_logs = EventLogs(str(entry.folder))
        given = entry.lease()
        self.lease = Lease.from_json(given) if given is not None else None
        self._bundle = bundle
        self._backend: Backend | None = None
        self._handle: Handle | None = None
        self._facts: events.Facts | None = None
        self._offset = 0
        self._not_before = 0.0
        self._troubles = 0
        self._preparation: Preparation | None = None
        self._is_ready = False
        self._has_prepared_anew = False
        self._may_be_there = False
        self._away_since: float | None = None
        self._laying_out: LayingOut | None = None
        self._submitting: Submitting | None = None
        self._delivering: Delivering | None = None
        self._end_of_job: JobStatus | None = None
        self._told: set[str] = set()
        self._asked_to_end: float | None = None
        self._must_end_since: float | None = None
        self._is_unheard = False
        self._canceling: Beside | None = None
        self._releasing: Beside | None = None
        self._whom_to_ask: str | None = None
        self._claim: dict[str, Any] | None = None
        self._built: cache.Built | None = None
        self._shown: BoardRun | None = None
        self._end: JobStatus | None = None
        self._must_have_read = math.inf

    @property
    def folder(self) -> str:
        """The run's folder."""
        return str(self.entry.folder)

    @property
    def parent(self) -> str | None:
        """The run that submitted this one, if any."""
        return self.job.request.parent if self.job else None

    @property
    def wish(self) -> Wish:
        """What the run must have all of before it can start."""
        ask = self.entry.ask
        return Wish(ask.resources, ask.pool, ask.slots, self.parent or "", self.entry.run_id)

    def resize_pool(self, slots: int) -> None:
        """Take one of so many slots; the pool has become another size."""
        ask = self.entry.ask
        if ask.slots != slots:
            self.entry = replace(self.entry, ask=replace(ask, slots=slots))
            self._shown = None

    @property
    def is_waiting(self) -> bool:
        """Whether all that the run lacks is its turn."""
        is_put_off = time.monotonic() < self._not_before
        is_over = self.done or self.is_leaving
        return self._is_ready and not self.takes_a_slot and not is_over and not is_put_off

    @property
    def is_leaving(self) -> bool:
        """Whether the run is over, and only what its backend kept for it is still there."""
        return self._releasing is not None

    @property
    def is_preparing(self) -> bool:
        """Whether its environment is being built."""
        return self._preparation is not None

    @property
    def is_known(self) -> bool:
        """Whether its files have been read."""
        return self.job is not None and self._facts is not None

    def shown(self) -> BoardRun:
        """The run as others see it; only of one that :attr:`is_known`."""
        assert self._facts is not None
        state, key = self._facts.status, self.entry.path.name
        run = self._shown
        if run is None or run.state != state or run.lease != self.lease:
            run = BoardRun.waiting(key, self.folder, self._job().request, self.wish, state)
            if self.lease is not None:
                run = run.running(self.lease, state, self._facts.started)
            self._shown = run
        return run

    @property
    def takes_a_slot(self) -> bool:
        """Whether the run has had its turn and is not over."""
        return self.lease is not None

    @property
    def is_starting(self) -> bool:
        """Whether the job was asked to start and has not been seen running."""
        return self._handle is not None and self._facts is not None and not self._facts.started

    @property
    def is_running(self) -> bool:
        """Whether there is a job to look after."""
        return self._handle is not None

    @property
    def has_completed(self) -> bool:
        """Whether it is over and did what it was to do."""
        return self._facts is not None and self._facts.status == states.COMPLETED

    @property
    def next_look(self) -> float | None:
        """Seconds until something must be done here even if nobody calls."""
        if self._not_before > time.monotonic():
            return self._not_before - time.monotonic()
        if self._end is not None:
            return 0.0
        if self._asked_to_end is not None:
            return 0.05
        if self._submitting is not None or self._canceling is not None or self.is_leaving:
            return 0.02
        if self._delivering is not None:
            return 0.02
        if self._preparation is not None:
            return 0.2
        if self.is_starting:
            return 0.02
        return None

    def advance(self, status: JobStatus | None = None, lease: Lease | None = None) -> None:
        """Take the run as far as it goes; trouble with its files is tried again later.

        With a ``lease`` it is the run's turn: it has what it asked for until it ends.
        """
        if time.monotonic() >= self._not_before:
            self._try(lambda: self._advance(status, lease))

    def refuse(self, why: str) -> None:
        """End the run, which can never have what it asks for; trouble is as in :meth:`advance`."""
        self._try(lambda: self._finish(states.FAILED, failure("UserError", why)))

    def _try(self, step: Callable[[], None]) -> None:
        try:
            step()
            self._troubles = 0
        except OSError as error:
            if not (self.entry.folder / layout.REQUEST).exists():
                self._leave()  # the run was deleted under us
                return
            # A full or read-only disk must not take the runner down, nor lose the run.
            shortest, longest = _RETRY
            self.put_off(min(longest, shortest * 2**self._troubles), error)
            self._troubles = min(self._troubles + 1, 10)
        except AmlError as error:
            # What cannot be understood now is not understood later either.
            self._finish(states.FAILED, failure("ServiceError", str(error)))

    def put_off(self, seconds: float, why: BaseException) -> None:
        """Leave the run as it is for a while; its files may be better by then."""
        self._not_before = time.monotonic() + seconds
        print(f"{self.entry.run_id}: {why!r}; trying again in {seconds:g} s", flush=True)

    def _advance(self, status: JobStatus | None, lease: Lease | None) -> None:
        if self._releasing is not None:
            self._go_on_leaving(self._releasing)
            return
        facts = self._read()
        if self._delivering is not None:
            self._go_on_delivering(self._delivering)
            return
        if facts.has_ended and self._handle is None:
            self._leave()
        elif self._end is not None:
            self._go_on_concluding(self._end)
        elif status is not None and status.ended:
            self._conclude(status)
        elif self._handle is not None:
            self._watch(status)
        elif self._submitting is not None:
            self._go_on_starting()
        elif self._may_be_there and self.lease is not None:
            self._start()  # a runner was killed here, or an engine; the job may be on its way
        elif facts.cancel_requested:
            self._finish(states.CANCELED)
        elif self._laying_out is not None:
            self._go_on_laying_out()
        elif self.lease is not None and facts.status == states.STARTING:
            self._start()  # trouble with a disk kept it from starting
        elif self.lease is not None:
            self._take_turn(self.lease)
        elif lease is not None and self._is_ready:
            self._take_turn(lease)
        elif not self._is_ready:
            self._prepare()

    # Looking

    def _read(self) -> events.Facts:
        if self._facts is None or self.job is None:
            self._load()
        assert self._facts is not None
        new, self._offset = events.read(self.folder, self._offset)
        for event in new:
            self._facts.apply(event)
        return self._facts

    def _load(self) -> None:
        raw = layout.read_json(os.path.join(self.folder, layout.REQUEST))
        if raw is None:
            raise FileNotFoundError(errno.ENOENT, "no request", self.folder)
        request = RunRequest.from_json(raw)
        spec = request.job
        if spec is None:
            raise AmlError(f"Run {request.id} has nothing to start.", "It is interactive.")
        self.job = Job(request, spec, self.entry.folder, self._bundle, self.entry.environment)
        self._facts = events.Facts(raw)
        self._backend = backend(_kind_of(request))
        self._adopt()

    def _adopt(self) -> None:
        """Find the job again that an earlier runner started, noted or not."""
        facts = self._facts
        assert facts is not None
        new, self._offset = events.read(self.folder, 0)
        for event in new:
            facts.apply(event)
        if facts.handle is not None:
            # A job may write events, too, but not which run this is.
            self._handle = {**facts.handle, "folder": self.folder}
        elif self.backend.starts_at_once and os.path.exists(self._path(layout.CLAIM)):
            self._handle = {"folder": self.folder}
        self._may_be_there = self._handle is None and _stage(facts) == states.STARTING
        if self._handle is not None and self.lease is None:
            self.lease = Lease()
        if self.lease is not None:
            self._resume(self.lease)

    def _resume(self, lease: Lease) -> None:
        """Go on with what the run was given before."""
        self._is_ready = True
        job = self.job = replace(self._job(), gpus=lease.gpus)
        if job.spec.recipe and self._handle is None:
            built = self._find_built(is_pulled=True)
            if built is not None:
                self._take_environment(built)
            elif self.backend.starts_at_once or not self._may_be_there:
                self._let_go()  # else the engine that has the image may be away, and the job there

    def _let_go(self) -> None:
        """Wait in line anew, once the environment is there again."""
        self.entry.keep_lease(None)
        self.lease, self._is_ready = None, False

    @property
    def handle(self) -> Handle | None:
        """What the backend finds the job by, once there is one."""
        return self._handle

    @property
    def whom_to_ask(self) -> tuple[str, str]:
        """The backend of a job, and whom it will ask about it."""
        if self._whom_to_ask is None:
            self._whom_to_ask = self.backend.whom_to_ask(self._handle or {"folder": self.folder})
        return self.backend.name, self._whom_to_ask

    @property
    def backend(self) -> Backend:
        """Where the run runs."""
        assert self._backend is not None
        return self._backend

    # The environment

    def _prepare(self) -> None:
        """See to it that the run's environment is there; then the run waits for its turn."""
        job, facts = self._job(), self._facts
        if self._preparation is None and job.spec.recipe:
            built = self._find_built()
            if built is None:
                self._say("state", state=states.PREPARING)
                self._preparation = Preparation(job, self.entry.secrets)
                return
            self._take_environment(built)
        elif self._preparation is not None:
            try:
                built = self._preparation.look(self._say)
            except BuildError as error:
                self._preparation = None
                self._finish(states.FAILED, build_failure(error))
                return
            if built is None:
                return
            self._preparation = None
            self._take_environment(built)
        self._is_ready = True
        if facts is not None and facts.status != states.QUEUED:
            self._say("state", state=states.QUEUED)

    def _find_built(self, is_pulled: bool = False) -> cache.Built | None:
        job = self._job()
        recipe, options = Recipe.from_json(job.spec.recipe), job.spec.options
        return cache.find(recipe, options, job.environment, is_use=True, is_pulled=is_pulled)

    def _take_environment(self, built: cache.Built) -> None:
        job = self._job()
        # A Python of the image that was named is taken, whatever was built beside it.
        is_named = built.image is not None and job.spec.interpreter not in _ANY_PYTHON
        interpreter = job.spec.interpreter if is_named else built.interpreter
        # What activating a conda environment sets; what the run itself sets counts for more.
        activation = built.facts.get("activation")
        variables = {**(activation if isinstance(activation, dict) else {})}
        variables.update(job.spec.environment_variables)
        spec = replace(job.spec, interpreter=interpreter, image=built.image)
        self.job = replace(job, spec=replace(spec, environment_variables=variables))
        self._built = built

    # Starting

    def _take_turn(self, lease: Lease) -> None:
        """Prepare the working directory: a small one now, a large one beside the other work."""
        self.lease = lease
        job = self.job = replace(self._job(), gpus=lease.gpus)
        self.entry.keep_lease(lease.to_json())
        self._say("lease", **lease.to_json())
        self._say("state", state=states.PREPARING)
        work = self._laying_out = LayingOut(job, self.backend)
        source = job.request.source
        small = int(str(source.get("files") or 0)) <= _INLINE_FILES
        if small and int(str(source.get("bytes") or 0)) <= _INLINE_BYTES and not job.spec.data:
            work.run()
        else:
            work.start()
            work.join(_INLINE_SECONDS)
        self._go_on_laying_out()

    def _go_on_laying_out(self) -> None:
        work = self._laying_out
        assert work is not None
        if work.progress is not None and not work.finished:
            what, done, total = work.progress
            work.progress = None
            of = f" of {total / 1e6:.0f}" if total else ""
            text = f"{what}: {done / 1e6:.0f}{of} MB"
            self._say("progress", stage=states.PREPARING, done=done, total=total, text=text)
        if not work.finished:
            self._not_before = time.monotonic() + _LAYING_OUT_LOOKS
            return
        self._laying_out = None
        for note in work.notes:
            self._say("warning", message=note)
        if work.error is None:
            self._start()
            return
        remove(self._job())
        self._finish(states.FAILED, failure("PreparationFailed", str(work.error)))

    def _start(self) -> None:
        """Have the backend start the job: at once, or beside the other work where it takes long."""
        self._may_be_there = False
        if self._facts is None or _stage(self._facts) != states.STARTING:
            self._say("state", state=states.STARTING)
        self._submitting = Submitting(self.backend, self._job())
        if self.backend.starts_slowly(self._job()):
            self._submitting.start()
        else:
            self._submitting.run()
            self._go_on_starting()

    def _go_on_starting(self) -> None:
        work = self._submitting
        assert work is not None
        if not work.finished:
            return
        self._submitting = None
        if work.handle is not None:
            self._handle = work.handle
            self._say("job", handle=dict(work.handle))
            self._note_environment()
        elif isinstance(work.error, ImageMissing) and not self._has_prepared_anew:
            self._prepare_anew(work.error)
        elif isinstance(work.error, OSError):
            raise work.error
        elif not isinstance(work.error, EngineAway):
            self._finish(states.FAILED, failure("UserError", str(work.error)))
        elif not self._waits_for_engine(work.error):
            self._end_unstarted(work.error)

    def _waits_for_engine(self, error: EngineAway) -> bool:
        """Whether the engine may be back soon: a restart, even in mid-start, fails no queue."""
        now = time.monotonic()
        if self._away_since is None:
            self._away_since = now
            self._say("warning", message=f"{error.message} It is asked again for a while.")
        self._may_be_there = True
        self._not_before = now + _ASK_ENGINE_EVERY
        return now - self._away_since < _engine_patience()

    def _end_unstarted(self, error: EngineAway) -> None:
        """The engine did not come back; the job may have begun, if only its answer was lost."""
        self.backend.give_up({"folder": self.folder})
        if self._facts is not None and self._facts.cancel_requested:
            self._finish(states.CANCELED)
        else:
            self._finish(states.FAILED, failure("UserError", str(error)))

    def _prepare_anew(self, error: ImageMissing) -> None:
        """The image went between plan and start: make it again, once, and wait in line anew."""
        self._has_prepared_anew = True
        self._say("warning", message=f"{error.message} It is made again.")
        self._let_go()

    def _note_environment(self) -> None:
        """Write down which versions the job runs with, beside the other work: it may take long."""
        job, built = self._job(), self._built
        if built is None and job.spec.recipe:
            built = self._find_built(is_pulled=True)
        threading.Thread(target=note_environment, args=(job, built), daemon=True).start()

    # Running

    def _watch(self, status: JobStatus | None) -> None:
        facts = self._facts
        assert facts is not None
        assert self._handle is not None
        if status is not None and status.phase == JobStatus.RUNNING and facts.started is None:
            self._say("state", state=states.RUNNING, since=status.since)
        if status is not None and status.detail and status.detail not in self._told:
            self._told.add(status.detail)
            self._say("warning", message=f"{status.detail[:1].upper()}{status.detail[1:]}.")
        too_long = self._is_over_time(status) and not facts.cancel_requested
        if too_long or facts.cancel_requested or facts.has_ended:
            self._end_job(status)
        if too_long:
            # Noted, so that the next runner knows why the job ended.
            self._say("cancel", by=_TIME_LIMIT)

    def _end_job(self, status: JobStatus | None) -> None:
        """Ask the job to end, end it after the grace, and end without it after much longer."""
        now = time.monotonic()
        if self._must_end_since is None:
            self._must_end_since = now
        if status is not None:
            self._is_unheard = status.is_unheard
        if self._is_unheard and now - self._must_end_since > _grace() + _engine_patience():
            self._end_unheard()
        elif self._asked_to_end is None:
            # A job that is only just starting may have no process yet that could be asked.
            if self._cancel():
                self._asked_to_end = now
        elif now - self._asked_to_end > _grace():
            self._cancel(force=True)

    def _cancel(self, force: bool = False) -> bool:
        """Ask the job to end; whether there was something to ask, as far as that is known now."""
        assert self._handle is not None
        if self.backend.starts_at_once:
            return self.backend.cancel(self._handle, force)
        if self._canceling is None:
            self._canceling = Beside(partial(self.backend.cancel, self._handle, force))
        elif self._canceling.finished:
            work, self._canceling = self._canceling, None
            return bool(work.result)
        return False

    def _end_unheard(self) -> None:
        """End a run that was to end, although nobody can be asked whether its job has."""
        assert self._handle is not None
        assert self._facts is not None
        message = "Its engine did not come back, so its container may still run. It is removed "
        self._say("warning", message=f"{message}when the next run goes to that engine.")
        self.backend.give_up(self._handle)
        self._handle = None
        if self._facts.has_ended:
            self._leave()
        else:
            self._finish_canceled()

    def _is_over_time(self, status: JobStatus | None) -> bool:
        left = self.seconds_left() if status is not None else None
        return left is not None and left <= 0

    @property
    def age(self) -> float | None:
        """Seconds since the job began; None until it has."""
        if self._claim is None:
            self._claim = layout.read_json(os.path.join(self.folder, layout.CLAIM))
        if self._claim and self._claim.get("boot") != boot_id():
            # Another machine's clock may be wrong: what counts is when it was first seen here.
            started = self._facts.started if self._facts else None
            return None if started is None else time.time() - started
        return _age(self._claim) if self._claim else None

    def seconds_left(self) -> float | None:
        """Until the run has used up its time; None when there is no limit in sight."""
        limit = self.job.spec.max_seconds if self.job else 0.0
        age = self.age if limit else None
        return None if age is None else max(0.0, limit - age)

    # Ending

    def _conclude(self, status: JobStatus) -> None:
        facts = self._facts
        assert facts is not None
        if facts.started is None and status.since is not None:
            self._say("state", state=states.RUNNING, since=status.since)
        if not facts.has_ended and _stage(facts) != states.FINALIZING:
            self._say("state", state=states.FINALIZING)
        if self.backend.starts_at_once:
            self._end_leftovers()
        if self.job is not None:
            gather(self.job)
        self._end, self._must_have_read = status, time.monotonic() + _EVENTS_PATIENCE
        self._go_on_concluding(status)

    def _go_on_concluding(self, status: JobStatus) -> None:
        """Go on once all that its job wrote for TensorBoard is taken in."""
        facts = self._facts
        assert facts is not None
        if not self._has_taken_in_events():
            return
        self._end = None
        if self._job().spec.data:
            completed = status.code == 0 and not facts.cancel_requested
            self._end_of_job = status
            self._delivering = Delivering(self._job(), self.backend, completed)
            self._delivering.join(_INLINE_SECONDS)
            self._go_on_delivering(self._delivering)
        else:
            self._finish_as(status)

    def _go_on_delivering(self, work: Delivering) -> None:
        """End the run once all that it left for others is in its place."""
        status, facts = self._end_of_job, self._facts
        assert status is not None
        assert facts is not None
        if not work.finished:
            return
        self._delivering = None
        if isinstance(work.error, OSError):
            raise work.error
        for output in work.outputs:
            self._say("output", **output)
        if work.error is None:
            self._finish_as(status)
        elif status.code == 0 and not facts.cancel_requested:
            self._finish(states.FAILED, failure("UserError", str(work.error)))
        else:
            self._say("warning", message=str(work.error))
            self._finish_as(status)

    def _finish_as(self, status: JobStatus) -> None:
        """End the run as its job has ended."""
        assert self._facts is not None
        if self._facts.cancel_requested:
            self._finish_canceled()
        elif status.code == 0:
            self._finish(states.COMPLETED)
        else:
            self._finish(states.FAILED, explain(self.folder, status))

    def _has_taken_in_events(self) -> bool:
        """Take in some more of the event files; whether there is nothing left to wait for."""
        try:
            is_all = self.event_logs.look(_EVENTS_AT_ONCE)
        except Exception as error:  # noqa: BLE001 - it is only about a few charts
            print(f"{self.entry.run_id}: its event files are not read: {error!r}", flush=True)
            return True
        return is_all or time.monotonic() > self._must_have_read

    def _finish_canceled(self) -> None:
        assert self._facts is not None
        if self._facts.cancel_by != _TIME_LIMIT:
            self._finish(states.CANCELED)
            return
        limit = self._job().spec.max_seconds
        message = f"The run was canceled after {_TIME_LIMIT} = {limit:g}."
        self._finish(states.CANCELED, failure("Timeout", message))

    def _end_leftovers(self) -> None:
        """Nothing that a run started outlives it."""
        assert self._handle is not None
        if not self.backend.cancel(self._handle):
            return
        until = time.monotonic() + 0.5
        while time.monotonic() < until:
            if not self.backend.cancel(self._handle):
                break
            time.sleep(0.02)
        else:
            self.backend.cancel(self._handle, force=True)
        self._say("warning", message="Processes that the run had left behind were ended.")

    def _finish(self, state: str, error: dict[str, Any] | None = None) -> None:
        if self._laying_out is not None:
            self._laying_out.abandoned = True
        if self._preparation is not None:
            self._preparation.abandon()
        trim(self.folder)
        spec = self.job.spec if self.job else None
        if state == states.COMPLETED and spec is not None and spec.snapshot:
            snapshots.remove_unchanged(spec.snapshot, objects_of(self._job()), self._job().work)
        if self.job is not None:
            gather(self.job)
            let_go(self.job)
        self._say("state", state=state, **({"error": error} if error else {}))
        self._leave()

    def _leave(self) -> None:
        """Be done once the backend has let go of what it kept, which may take its time."""
        handle = self._handle
        if handle is not None and not self.backend.starts_at_once:
            # The entry stays until then: a runner that is killed here leaves it to the next.
            self._releasing = Beside(partial(self._release, handle))
            self._handle = self.lease = None
            return
        if handle is not None:
            self.backend.release(handle)
        self._be_done()

    def _be_done(self) -> None:
        self.entry.remove()
        self._handle = self.lease = None
        self.done = True

    def _go_on_leaving(self, work: Beside) -> None:
        if work.finished:
            self._be_done()

    def _release(self, handle: Handle) -> None:
        try:
            if self.backend.cancel(handle):  # nothing that a run started outlives it
                self.backend.cancel(handle, force=True)
            self.backend.release(handle)
        except EngineAway as error:  # its leftovers are found by label, `aml doctor` names them
            print(f"{self.entry.run_id}: not released: {error.message}", flush=True)

    def _path(self, name: str) -> str:
        return os.path.join(self.folder, name)

    def _job(self) -> Job:
        assert self.job is not None
        return self.job

    def _say(self, kind: str, **facts: Any) -> None:
        events.append(self.folder, kind, **facts)
        new, self._offset = events.read(self.folder, self._offset)
        for event in new:
            if self._facts is not None:
                self._facts.apply(event)


def _grace() -> float:
    return float(os.environ.get("AML_CANCEL_GRACE") or GRACE)


def _engine_patience() -> float:
    return float(os.environ.get("AML_ENGINE_PATIENCE") or ENGINE_PATIENCE)


def _stage(facts: events.Facts) -> str:
    """The state that the runner put the run in last, whatever its user asked for since."""
    return facts.stages[-1][0] if facts.stages else ""


def _age(claim: dict[str, Any]) -> float:
    """Seconds since the launcher started, by a clock that nobody sets; 0 for a spoiled claim."""
    here = claim.get("boot") == boot_id()
    try:
        if here and claim.get("started") and hasattr(time, "CLOCK_BOOTTIME"):
            ticks = os.sysconf("SC_CLK_TCK")
            return time.clock_gettime(time.CLOCK_BOOTTIME) - float(claim["started"]) / ticks
        return time.time() - float(claim["t"])
    except (KeyError, TypeError, ValueError):
        return 0.0


def _kind_of(request: RunRequest) -> str:
    return str(request.source.get("backend") or "local")
