"""Runs that are their children: the runner makes these, lets them wait in line, and counts.

What is decided stands in the parent's events before it is acted on, and a child's id says which
member and which attempt it is. So every step may be cut short by ``kill -9``: the next runner
takes each member up as it finds it, and no attempt is made twice. What takes time for each child
is done a slice at a time, between which other runs have theirs.
"""

from __future__ import annotations

import errno
import time
import traceback
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from ..errors import AmlError, ServiceException
from ..home import Home
from ..job import events, layout, states
from ..spec import Family, JobSpec, RunRequest
from ..store.folder import WorkspaceFolder
from . import queue
from .children import Child, Tally, children_left
from .ends import failure
from .lifecycle import ActiveRun
from .queue import Entry

_SLICE = 0.02
_AT_ONCE = 32
"""So many are put in the queue, or asked to end, by one look: each is then work for the runner."""
_LOOK_AT_ALL_EVERY = 5.0
_TELL_EVERY = 0.5
_RETRY = (0.5, 5.0)
_AFTER_A_FAULT = 30.0


_Where = tuple[Path, str]
"""The folder of runs that a run is in, and its id, which is unique only there."""


class Families:
    """The families that the runner has in its care."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._families: dict[str, FamilyRun] = {}
        self._ending: set[_Where] = set()

    def __len__(self) -> int:
        return len(self._families)

    def take_new(self) -> bool:
        """Take in those that are new in the queue; whether there are any."""
        new = list(queue.entries(self._home, self._families, queue.FAMILY))
        for entry in new:
            self._families[entry.path.name] = FamilyRun(entry, self._home)
        return bool(new)

    def look(self, runs: Mapping[str, ActiveRun], is_thorough: bool) -> set[str]:
        """Take each as far as it goes now; returns which of ``runs`` were asked to end.

        Only a look that ``is_thorough`` sees families that are new, and what others did to
        children that wait for their place in the queue.
        """
        if is_thorough:
            self.take_new()
        if not self._families:
            return set()
        running = Counter(_parent_of(run) for run in runs.values() if run.takes_a_slot)
        told: set[str] = set()
        self._ending.clear()
        for name, family in list(self._families.items()):
            told.update(family.look(running[family.where], is_thorough))
            if family.is_ending:
                self._ending.add(family.where)
            if family.done:
                del self._families[name]
        return told

    def holds_back(self, run: ActiveRun) -> bool:
        """Whether a run is of a family that ends, and shall not have its turn any more."""
        return bool(self._ending) and _parent_of(run) in self._ending

    def left(self, run: ActiveRun) -> None:
        """Hear that a run is no longer in the queue."""
        for family in self._families.values():
            family.left(run.entry)

    def next_looks(self) -> Iterator[float]:
        """Seconds until something must be done here even if nobody calls, of each."""
        for family in self._families.values():
            seconds = family.next_look
            yield _LOOK_AT_ALL_EVERY if seconds is None else min(seconds, _LOOK_AT_ALL_EVERY)


class FamilyRun:
    """A run that is its children; :meth:`look` takes it as far as it goes now.

    A child is *new* at first: its run has to be found, or made. Then it is *made*, then *queued*;
    when it has *left* the queue it is counted, or its member is done anew.
    """

    def __init__(self, entry: Entry, home: Home) -> None:
        self.entry = entry
        self.done = False
        self._home = home
        self._place: WorkspaceFolder | None = None
        self._request: RunRequest | None = None
        self._family = Family(JobSpec())
        self._facts = events.Facts({})
        self._offset = 0
        self._tally = Tally(())
        self._new: deque[Child] = deque()
        self._made: dict[str, Child] = {}
        self._queued: dict[str, Child] = {}
        self._left: deque[Child] = deque()
        self._to_check: deque[Child] = deque()
        self._files: dict[str, list[str]] = {}
        self._are_all_made = False
        self._running = 0
        self._said = (0, 0)
        self._say_at = 0.0
        self._until = 0.0
        self._is_loaded = False
        self._is_gone = False
        self._trouble: AmlError | None = None
        self._troubles = 0
        self._not_before = 0.0

    # How it is

    @property
    def next_look(self) -> float | None:
        """Seconds until something must be done here even if nobody calls."""
        now = time.monotonic()
        if self._not_before > now:
            return self._not_before - now
        if self._has_work:
            return 0.0
        return max(0.0, self._say_at - now) if self._is_behind else None

    @property
    def _has_work(self) -> bool:
        if not self._is_loaded or self._new or self._left or self._to_check or not self._queued:
            return True
        if self.is_ending:
            return bool(self._made) or any(not child.is_told for child in self._queued.values())
        return bool(self._made) and self._has_room

    @property
    def _has_room(self) -> bool:
        """Whether one more child may be in the queue."""
        most = self._family.parallel
        return most <= 0 or len(self._queued) < most

    @property
    def where(self) -> _Where:
        """Tells the run from those of other workspaces."""
        return self.entry.folder.parent, self.entry.run_id

    @property
    def is_ending(self) -> bool:
        """Whether no child shall start any more, and those that go on shall end."""
        facts = self._facts
        if self._is_gone or self._trouble or facts.cancel_requested or facts.has_ended:
            return True
        return self._family.fail_fast and self._tally[states.FAILED] > 0

    @property
    def _is_behind(self) -> bool:
        """Whether there is progress that was not told."""
        is_shown = self._facts.started is not None and not self._facts.has_ended
        return is_shown and self._said != (len(self._tally), self._running)

    def left(self, entry: Entry) -> None:
        """Hear that a run is no longer in the queue; it may be no child of this one."""
        child = self._queued.get(entry.run_id)
        if child is not None and child.entry == entry.path.name:
            self._left.append(self._queued.pop(entry.run_id))

    def look(self, running: int, is_thorough: bool) -> set[str]:
        """Go on as far as it goes now; trouble with its files is tried again later.

        ``running`` is how many children have their turn. Returns the queue's files of those that
        were asked to end.
        """
        told: set[str] = set()
        if time.monotonic() < self._not_before:
            return told
        self._running = running
        try:
            told.update(self._look(is_thorough))
            self._troubles = 0
        except OSError as error:
            # A full or read-only disk must not take the runner down, nor lose the run.
            self._is_gone = self._is_gone or self._was_deleted()
            shortest, longest = _RETRY
            self._put_off(min(longest, shortest * 2**self._troubles), error)
            self._troubles = min(self._troubles + 1, 10)
        except AmlError as error:
            # What cannot be understood now is not understood later either.
            self._trouble, self._is_loaded = error, True
            self._put_off(_RETRY[0], error)
        except Exception as error:  # noqa: BLE001 - one run must not take the others down with it
            traceback.print_exc()
            self._put_off(_AFTER_A_FAULT, error)
        return told

    def _put_off(self, seconds: float, why: BaseException) -> None:
        self._not_before = time.monotonic() + seconds
        print(f"{self.entry.run_id}: {why!r}; trying again in {seconds:g} s", flush=True)

    def _look(self, is_thorough: bool) -> Iterator[str]:
        if not self._is_loaded:
            self._load()
        self._read()
        if is_thorough:
            self._is_gone = self._is_gone or self._was_deleted()
            self._to_check = deque(self._made.values())
        self._until = time.monotonic() + _SLICE
        self._count_left()
        self._check_made()
        if self.is_ending:
            yield from self._stop()
        else:
            self._fill_queue()
        self._take_up()
        self._tell()
        if not (self._new or self._made or self._queued or self._left):
            self._finish()

    @property
    def _has_time(self) -> bool:
        return time.monotonic() < self._until

    # Finding out where it stands

    def _load(self) -> None:
        """Read what was asked for, and what was decided since; nothing is done yet."""
        self._files = queue.file_names(self._home)
        self._offset = 0
        if self._was_deleted():
            self._is_gone = True
            self._new = deque(children_left(self.entry.run_id, self.entry.folder.parent))
        else:
            self._load_family()
        self._is_loaded = True

    def _load_family(self) -> None:
        raw = layout.read_json(str(self.entry.folder / layout.REQUEST))
        if raw is None:
            raise FileNotFoundError(errno.ENOENT, "no request", str(self.entry.folder))
        self._facts = events.Facts(raw)
        happened = self._read()
        self._request = request = RunRequest.from_json(raw)
        if request.family is None:
            raise ServiceException(f"Run {request.id} has no children to run.", "Submit it again.")
        self._family = request.family
        self._tally = Tally(self._family.members)
        attempts = self._replay(happened)
        self._new = deque(
            self._child(*each) for each in attempts.items() if each[0] not in self._tally
        )
        self._place = WorkspaceFolder(self.entry.folder.parent.parent)

    def _replay(self, happened: list[events.Event]) -> dict[int, int]:
        """Take in which members have ended; returns at which attempt each is."""
        attempts = dict.fromkeys(range(len(self._family.members)), 1)
        for event in happened:
            index, attempt = event.get("index"), event.get("attempt")
            if event["e"] == "members":
                self._are_all_made = True
            if event["e"] != "member" or not isinstance(attempt, int) or index not in attempts:
                continue
            attempts[index] = attempt
            if "state" in event:
                self._tally.add(self._child(index, attempt), event["state"])
        return attempts

    def _child(self, index: int, attempt: int) -> Child:
        return Child(self.entry.run_id, index, attempt, self.entry.folder.parent)

    def _was_deleted(self) -> bool:
        return not (self.entry.folder / layout.REQUEST).exists()

    # Making children, and letting them wait in line

    def _take_up(self) -> None:
        """Find the runs of new children, or make them; so that all are soon to be seen."""
        while self._new and self._has_time:
            self._take_up_one(self._new[0])
            self._new.popleft()
        if not self._new and not self._are_all_made and not self.is_ending:
            self._say("members", made=len(self._family.members))
            self._are_all_made = True

    def _take_up_one(self, child: Child) -> None:
        facts = child.read()
        was_deleted = self._are_all_made and child.attempt == 1
        if facts is None and not was_deleted and not self.is_ending:
            self._make(child)
        elif facts is None or facts.has_ended:
            self._count(child, facts)
            return
        elif self._place is not None:
            self._place.note(child.id)  # whoever made it may have been killed before it did
        child.entry = self._file_of(child)
        (self._queued if child.entry else self._made)[child.id] = child

    def _file_of(self, child: Child) -> str:
        """Its file in the queue, from before this runner; empty if it has none."""
        for name in self._files.get(child.id, ()):
            entry = queue.entry(self._home, name)
            if entry is not None and entry.folder == child.folder:
                return name
        return ""

    def _make(self, child: Child) -> None:
        assert self._place is not None
        assert self._request is not None
        child.make(self._place, self._request, self._family)

    def _fill_queue(self) -> None:
        entry = self.entry
        for child in list(islice(self._made.values(), _AT_ONCE)):
            if not self._has_room or not self._has_time:
                return
            asked = (entry.environment, entry.ask, entry.secrets)
            child.entry = queue.add(self._home, child.folder, child.id, *asked).name
            self._queued[child.id] = self._made.pop(child.id)

    def _check_made(self) -> None:
        """See which of those that wait for a place in the queue were canceled by others."""
        while self._to_check and self._has_time:
            child = self._to_check[0]
            if child.id in self._made and child.has_news():
                self._check_one(child)
            self._to_check.popleft()

    def _check_one(self, child: Child) -> None:
        facts = child.read()
        if facts is not None and facts.cancel_requested and not facts.has_ended:
            child.end()
            facts = child.read()
        if facts is None or facts.has_ended:
            self._count(child, facts)
            del self._made[child.id]

    # Ending

    def _count_left(self) -> None:
        while self._left and self._has_time:
            child = self._left[0]
            facts = child.read()
            if facts is None or facts.has_ended:
                self._count(child, facts)
            else:
                self._made[child.id] = child  # its files were out of reach when it was left
            self._left.popleft()

    def _count(self, child: Child, facts: events.Facts | None) -> None:
        """Note how a child has ended, or do its member once more; one that is gone is Canceled."""
        state = states.CANCELED if facts is None else facts.status
        index, attempt = child.index, child.attempt
        has_another = state == states.FAILED and not self.is_ending
        if has_another and attempt <= self._family.retries:
            again = self._child(index, attempt + 1)
            self._say("member", index=index, attempt=again.attempt, id=again.id)
            self._new.append(again)
        else:
            self._say("member", index=index, attempt=attempt, id=child.id, state=state)
            self._tally.add(child, state)

    def _stop(self) -> Iterator[str]:
        """End the children that are left; yields the queue's files of those that were asked to."""
        for child in list(self._made.values()):
            if not self._has_time:
                return
            child.end()
            self._count(child, child.read())
            del self._made[child.id]
        untold = (child for child in self._queued.values() if not child.is_told)
        for child in islice(untold, _AT_ONCE):
            child.ask_to_end()
            yield child.entry

    def _finish(self) -> None:
        if not self._facts.has_ended and not self._is_gone:
            state, error = self._outcome()
            self._say("state", state=state, **({"error": error} if error else {}))
        self.entry.remove()
        self.done = True

    def _outcome(self) -> tuple[str, dict[str, Any] | None]:
        if self._facts.cancel_requested:
            return states.CANCELED, None
        if self._trouble is not None:
            return states.FAILED, failure("ServiceError", str(self._trouble))
        return self._tally.outcome()

    # Its own events

    def _tell(self) -> None:
        """Let the parent's state and progress be those of its children."""
        facts, now = self._facts, time.monotonic()
        if facts.has_ended:
            return
        if not facts.stages:
            self._say("state", state=states.QUEUED)
        if facts.started is None and (self._running or self._tally.has_run):
            self._say("state", state=states.RUNNING)
        if self._is_behind and now >= self._say_at:
            done, total = len(self._tally), len(self._family.members)
            text = self._tally.text(self._running)
            self._say("progress", stage=states.RUNNING, done=done, total=total, text=text)
            self._said, self._say_at = (done, self._running), now + _TELL_EVERY

    def _read(self) -> list[events.Event]:
        new, self._offset = events.read(str(self.entry.folder), self._offset)
        for event in new:
            self._facts.apply(event)
        return new

    def _say(self, kind: str, **facts: Any) -> None:
        if not self._is_gone:
            events.append(str(self.entry.folder), kind, **facts)
            self._read()


def _parent_of(run: ActiveRun) -> _Where:
    return run.entry.folder.parent, run.parent or ""
