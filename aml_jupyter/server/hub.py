"""Follows a workspace for all pages that watch it: one look for all, told once and sent to each.

What has changed is numbered. The last changes are remembered, so that a page that was away for a
while is told what it has missed, or that it is too far behind.
"""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from ..errors import AmlError
from ..job import states
from ..store.listing import ALSO, Condition, Selection
from .places import Place, Places
from .problems import NotHere, problem_of
from .rows import Row, Rows

if TYPE_CHECKING:
    from ..watching.changes import Changed, Changes

Level = Literal["rows", "counts"]

_log = logging.getLogger(__name__)

_MOST_TOLD = 500
"""Rows in one message: of more than that a page asks what it shows."""
_REMEMBERED = 2000
_ENDS_REMEMBERED = 200
_RESTING = 6
"""A look is followed by a pause of so many times what it used of a processor, at least."""
_AFTER_TROUBLE = 5.0
_RUNNING = Selection((Condition("state", states.RUNNING),), archived=ALSO, children=ALSO)


@dataclass(frozen=True)
class Message:
    """Something to be told, as it is sent; what is only for who hears of ``rows`` says so."""

    kind: str
    seq: int
    text: bytes
    for_rows: bool = False


class Listener(Protocol):
    """A page. All of it is called on the event loop."""

    def hear(self, key: str, messages: Sequence[Message]) -> None:
        """Be told something of the workspace with that key."""

    def lose(self, key: str, message: Message) -> None:
        """Be told that there will be no more of it, and why."""


class Hub:
    """What changes in one workspace, for all who watch it.

    A thread looks every ``interval`` seconds while there are any, and ``linger`` seconds longer.
    """

    def __init__(self, place: Place, interval: float = 0.33, linger: float = 5.0) -> None:
        self.place = place
        self.rows = Rows(place)
        self._interval = interval
        self._linger = linger
        self._changes: Changes | None = None
        self._looking = threading.Lock()
        self._state = threading.Condition()
        self._stopped = False
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._listeners: dict[Listener, Level] = {}
        # Later than any number of a server before this one, which remembered other things.
        self._seq = self._oldest = time.time_ns() // 1_000_000
        self._rows: OrderedDict[str, tuple[int, bytes | None]] = OrderedDict()
        self._ends: deque[tuple[int, bytes]] = deque(maxlen=_ENDS_REMEMBERED)
        self._counts: Mapping[str, int] = {}

    def begin(self) -> int:
        """The number of the last change; all that happens from now on gets a higher one."""
        self._begun()
        return self._seq

    def _begun(self) -> Changes:
        if self._changes is not None:  # a list need not wait for a look that takes its time
            return self._changes
        with self._looking:
            if self._changes is None:
                from ..watching.changes import Changes

                workspace = self.place.workspace
                self._changes = Changes(workspace)
                # From now on it is seen how far they come.
                self.rows.of(workspace.list_runs(_RUNNING).runs)
                self._counts = asdict(self._changes.counts)
            return self._changes

    @property
    def is_followed(self) -> bool:
        """Whether a thread looks."""
        return self._thread is not None and self._thread.is_alive()

    # Who watches

    def watch(
        self, listener: Listener, level: Level, since: int | None, loop: asyncio.AbstractEventLoop
    ) -> None:
        """Tell what happened after ``since``, and all that happens from now on.

        It may take a while, and does not belong on the event loop.
        """
        self.begin()
        if not self.is_followed:
            self._look()  # what happened while nobody watched is news to who asks since then only
        with self._state:
            if self._stopped:
                raise NotHere(f"The workspace {self.place.name} is gone.", "Reload the page.")
            self._loop = loop
            self._listeners[listener] = level
            first = [m for m in self._resumed(since) if level == "rows" or not m.for_rows]
            _soon(loop, lambda: listener.hear(self.place.key, first))
            if not self.is_followed:
                name = f"aml-hub-{self.place.name}"
                self._thread = threading.Thread(target=self._run, name=name, daemon=True)
                self._thread.start()
            self._state.notify()

    def unwatch(self, listener: Listener) -> None:
        """Tell it no more."""
        with self._state:
            self._listeners.pop(listener, None)
            self._state.notify()

    def stop(self) -> None:
        """Tell nobody anything any more; the thread ends soon."""
        with self._state:
            self._stopped = True
            self._listeners.clear()
            self._state.notify()

    def behind(self) -> Message:
        """What is told who has not been told everything."""
        return self._message("behind", self._seq, for_rows=True)

    def _resumed(self, since: int | None) -> Iterable[Message]:
        yield self._message("counts", self._seq, counts=self._counts)
        if since is None:
            return
        if since < self._oldest or since > self._seq:
            yield self.behind()
        else:
            missed = {run: text for run, (seq, text) in self._rows.items() if seq > since}
            if missed:
                yield self._changed(missed)
        ends = [text for seq, text in self._ends if since < seq]
        if ends:
            yield self._ended(ends)

    # Looking

    def _run(self) -> None:
        pause = 0.0
        while self._waited(pause):
            try:
                begun, used = time.monotonic(), time.thread_time()
                self._look()
                # What others or a slow disk kept waiting has used nothing, and waits as long again.
                took, used = time.monotonic() - begun, time.thread_time() - used
                pause = max(self._interval, took, _RESTING * used)
            except NotHere as error:
                self._lose(error)
                return
            except Exception as error:  # noqa: BLE001 (the next look may go well)
                if not isinstance(error, (AmlError, OSError)):
                    _log.exception("looking at the workspace %s failed", self.place.root)
                pause = _AFTER_TROUBLE

    def _waited(self, pause: float) -> bool:
        """Wait until the next look; False when there is nobody to look for."""
        with self._state:
            end = time.monotonic() + pause
            alone_until = end + self._linger
            while not self._stopped:
                now = time.monotonic()
                if self._listeners and now >= end:
                    return True
                if not self._listeners and now >= alone_until:
                    break
                self._state.wait((end if self._listeners else alone_until) - now)
            self._thread = None
            return False

    def _look(self) -> None:
        changes = self._begun()
        with self._looking:
            _ = self.place.workspace  # an error if it is gone
            seen = changes.look()
            rows = self.rows.of(seen.runs)
            self.rows.forget(seen.gone)
            rows += self.rows.progressed(besides=[row["id"] for row in rows])
            self._publish(seen, rows)

    def _publish(self, seen: Changed, rows: Sequence[Row]) -> None:
        texts: dict[str, bytes | None] = {row["id"]: _text(row) for row in rows}
        texts.update(dict.fromkeys(seen.gone))
        with self._state:
            counts = asdict(seen.counts)
            counted, self._counts = counts != self._counts, counts
            if not (texts or counted or seen.behind):
                return
            self._seq += 1
            if seen.behind:
                self._rows.clear()
                self._oldest = self._seq
            self._remember(texts)
            ends = [text for run in seen.ended if (text := texts.get(run.id)) is not None]
            self._ends.extend((self._seq, text) for text in ends)
            too_much = seen.behind or len(texts) > _MOST_TOLD
            self._tell(list(self._messages({} if too_much else texts, counted, too_much, ends)))

    def _messages(
        self,
        texts: Mapping[str, bytes | None],
        counted: bool,
        too_much: bool,
        ends: Sequence[bytes],
    ) -> Iterable[Message]:
        if counted:
            yield self._message("counts", self._seq, counts=self._counts)
        if too_much:
            yield self.behind()
        if texts:
            yield self._changed(texts)
        if ends:
            yield self._ended(ends)

    def _remember(self, texts: Mapping[str, bytes | None]) -> None:
        for run_id, text in texts.items():
            self._rows[run_id] = (self._seq, text)
            self._rows.move_to_end(run_id)
        while len(self._rows) > _REMEMBERED:
            _, (seq, _) = self._rows.popitem(last=False)
            self._oldest = max(self._oldest, seq)

    # Telling

    def _tell(self, messages: Sequence[Message]) -> None:
        if self._loop is None or not self._listeners or not messages:
            return
        self._post(self._loop, messages, dict(self._listeners))

    def _post(
        self,
        loop: asyncio.AbstractEventLoop,
        messages: Sequence[Message],
        listeners: Mapping[Listener, Level],
    ) -> None:
        for_counts = [message for message in messages if not message.for_rows]

        def deliver() -> None:
            for listener, level in listeners.items():
                told = messages if level == "rows" else for_counts
                if told:
                    listener.hear(self.place.key, told)

        _soon(loop, deliver)

    def _lose(self, error: AmlError) -> None:
        """The workspace is gone: say so, and be of no more use."""
        with self._state:
            listeners, self._stopped = list(self._listeners), True
            self._listeners.clear()
            self._thread = None
            message = self._message("failed", self._seq, problem=problem_of(error))

        def deliver() -> None:
            for listener in listeners:
                listener.lose(self.place.key, message)

        if self._loop is not None:
            _soon(self._loop, deliver)

    def _message(self, kind: str, seq: int, for_rows: bool = False, **content: Any) -> Message:
        told = {"kind": kind, "place": self.place.key, "seq": seq, **content}
        return Message(kind, seq, _text(told), for_rows)

    def _changed(self, texts: Mapping[str, bytes | None]) -> Message:
        """Rows are not made into JSON again that are JSON already."""
        rows = b",".join(text for text in texts.values() if text is not None)
        gone = _text([run_id for run_id, text in texts.items() if text is None])
        return self._joined("changed", b'"rows":[' + rows + b'],"gone":' + gone, for_rows=True)

    def _ended(self, texts: Sequence[bytes]) -> Message:
        return self._joined("ended", b'"rows":[' + b",".join(texts) + b"]", for_rows=False)

    def _joined(self, kind: str, content: bytes, for_rows: bool) -> Message:
        head = _text({"kind": kind, "place": self.place.key, "seq": self._seq})
        return Message(kind, self._seq, head[:-1] + b"," + content + b"}", for_rows)


class Hubs:
    """The hubs of all workspaces that anybody has asked for."""

    def __init__(self, places: Places, interval: float, linger: float) -> None:
        self._places = places
        self._interval = interval
        self._linger = linger
        self._lock = threading.Lock()
        self._hubs: dict[str, Hub] = {}

    def of(self, place: Place) -> Hub:
        """That of a workspace, which is made anew where another has taken its place."""
        workspace = place.workspace
        with self._lock:
            known = self._hubs.get(place.key)
            if known is None or known.place.opened is not workspace or known._stopped:
                if known is not None:
                    known.stop()
                known = self._hubs[place.key] = Hub(place, self._interval, self._linger)
            return known

    def known(self, key: str) -> Hub | None:
        """That of the workspace with that key, if anybody has asked for it."""
        return self._hubs.get(key)

    def stop(self) -> None:
        """Stop them all."""
        with self._lock:
            for hub in self._hubs.values():
                hub.stop()


def _text(content: Any) -> bytes:
    return json.dumps(content, separators=(",", ":"), allow_nan=False).encode()


def _soon(loop: asyncio.AbstractEventLoop, call: Any) -> None:
    try:
        loop.call_soon_threadsafe(call)
    except RuntimeError:  # the server has stopped
        pass
