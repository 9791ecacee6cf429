"""The websocket of a page: what changes in workspaces, and runs followed as views.

Whatever is wrong ends the connection with a code that the page can act on. A page that takes less
than it is sent is told of no more rows until it has caught up, and then that it is behind.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from enum import IntEnum
from typing import Any, TypeVar

from jupyter_core.utils import ensure_async
from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.base.websocket import WebSocketMixin
from tornado.web import HTTPError
from tornado.websocket import WebSocketClosedError, WebSocketHandler

from ..errors import AmlError
from .handling import API, PREFIX, RESOURCE
from .hub import Hubs, Level, Message
from .places import Places
from .problems import NotHere, Problem, problem_of
from .viewing import CHANGES, ServerView, Viewer

LONGEST_ASKED = 256 * 1024
"""Bytes of a message from a page."""

MOST_PLACES = 100
"""Workspaces that one page watches."""

MOST_VIEWS = 32
"""Views that one page has open."""

_ALIGNED = 8
_LONGEST_REASON = 120

T = TypeVar("T")


class Close(IntEnum):
    """Why a connection was ended; the page knows what to do about each."""

    GOING_AWAY = 1001
    BAD_MESSAGE = 4400
    NO_PLACE = 4404
    TOO_SLOW = 4408
    OTHER_VERSION = 4426
    INTERNAL = 4500


class Bad(Exception):
    """A message that no page of this version sends."""


class Live(WebSocketMixin, WebSocketHandler, JupyterHandler):
    """``LiveAsked`` comes, ``LiveTold`` goes."""

    auth_resource = RESOURCE

    async def get(self, *args: Any, **kwargs: Any) -> None:
        """Refuse who may not read before anything is opened."""
        user = self.current_user
        if user is None:
            raise HTTPError(403)
        if not await ensure_async(self.authorizer.is_authorized(self, user, "read", RESOURCE)):
            raise HTTPError(403)
        await super().get(*args, **kwargs)

    @property
    def sessions(self) -> Sessions:
        """All pages that are connected."""
        found: Sessions = self.settings["aml_sessions"]
        return found

    @property
    def max_message_size(self) -> int:
        """What is longer ends the connection before it is read."""
        return LONGEST_ASKED

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """What was wrong, in JSON as everywhere."""
        error = (kwargs.get("exc_info") or (None, None))[1]
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps(problem_of(error, status_code)))

    def open(self, *args: Any, **kwargs: Any) -> None:
        """Begin, if the page speaks this version."""
        super().open(*args, **kwargs)
        self.outbox = Outbox(self, self.settings["aml_buffer"])
        self.session = Session(self, self.outbox)
        self.sessions.add(self.session)
        if self.get_query_argument("api", "") != str(API):
            self.end(Close.OTHER_VERSION, f"The server speaks version {API} of the interface.")

    async def on_message(self, message: str | bytes) -> None:
        """Do what the page asks for."""
        try:
            await self.session.take(_asked(message))
        except Bad as error:
            self.end(Close.BAD_MESSAGE, str(error))
        except Exception:
            self.log.exception("a message of a page could not be answered")
            self.end(Close.INTERNAL, "The server could not answer; its log says why.")

    def on_close(self) -> None:
        """Let go of all that was for this page."""
        super().on_close()
        session = getattr(self, "session", None)
        if session is not None:
            self.sessions.discard(session)
            session.close()

    def end(self, code: Close, reason: str) -> None:
        """Close the connection and say why."""
        shown = reason.encode()[:_LONGEST_REASON].decode(errors="ignore")
        self.log.info("a page's connection is closed with %d: %s", code, shown)
        self.close(int(code), shown)

    async def may_write(self) -> bool:
        """Whether this page may change anything."""
        if self.settings["aml_read_only"]:
            return False
        asked = self.authorizer.is_authorized(self, self.current_user, "write", RESOURCE)
        return bool(await ensure_async(asked))


class Outbox:
    """What waits to be sent to a page, within bounds; any thread may put something in."""

    def __init__(self, socket: Live, most: int) -> None:
        self._socket = socket
        self._most = most
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._waiting = 0
        self._unread = 0
        self._closed = False
        self.on_room: Callable[[], None] = lambda: None

    @property
    def is_full(self) -> bool:
        """Whether the page takes less than it is sent: what can wait is then not sent."""
        return self._waiting > self._most // 4

    def send(self, told: Mapping[str, Any], buffer: bytes | None = None) -> None:
        """Send a message, and the bytes that belong to it."""
        text = json.dumps(told, separators=(",", ":")).encode()
        self.put(text if buffer is None else with_bytes(text, buffer), binary=buffer is not None)

    def put(self, data: bytes, binary: bool = False) -> None:
        """Send what is as it shall travel."""
        if self._closed:
            return
        with self._lock:
            self._waiting += len(data)
        try:
            self._loop.call_soon_threadsafe(self._write, data, binary)
        except RuntimeError:  # the server has stopped
            self._closed = True

    def close(self) -> None:
        """Send nothing any more."""
        self._closed = True

    def _write(self, data: bytes, binary: bool) -> None:
        if self._closed:
            return
        # Not what is only now to be sent: a page that is quick gets a long message, too.
        if self._unread > self._most:
            self._closed = True
            self._socket.end(Close.TOO_SLOW, "The page takes less than it is sent.")
            return
        try:
            sent = self._socket.write_message(data, binary)
        except WebSocketClosedError:
            self._closed = True
            return
        self._unread += len(data)
        sent.add_done_callback(lambda done: self._written(done, len(data)))

    def _written(self, done: asyncio.Future[None], count: int) -> None:
        if not done.cancelled():
            done.exception()  # that it is closed is told by `on_close`
        self._unread -= count
        with self._lock:
            self._waiting -= count
        if not self.is_full and not self._closed:
            self.on_room()


class Session:
    """What one page has asked for."""

    def __init__(self, socket: Live, outbox: Outbox) -> None:
        self._socket = socket
        self._outbox = outbox
        outbox.on_room = self._catch_up
        self._places: Places = socket.settings["aml_places"]
        self._hubs: Hubs = socket.settings["aml_hubs"]
        self._threads: Executor = socket.settings["aml_threads"]
        self._viewer: Viewer = socket.settings["aml_viewer"]
        self._views: dict[str, ServerView] = {}
        self._wanted: dict[str, Level] = {}
        self._behind: set[str] = set()
        self._turn = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    async def take(self, asked: Mapping[str, Any]) -> None:
        """Do what a message asks for."""
        kind = asked.get("kind")
        if kind == "watch":
            self._watch(asked)
        elif kind == "unwatch":
            self._unwatch(_text(asked, "place"))
        elif kind == "open":
            await self._open(asked)
        elif kind == "set":
            self._view(asked, lambda view: view.set(_text(asked, "name"), asked.get("value")))
        elif kind == "ask":
            await self._ask(asked)
        elif kind == "close":
            self._close_view(_text(asked, "view"))
        else:
            raise Bad(f"There is no message {kind!r}.")

    def close(self) -> None:
        """Let go of everything; the page is gone."""
        self._closed = True
        self._outbox.close()
        for key in list(self._wanted):
            self._unwatch(key)
        for name in list(self._views):
            self._close_view(name)

    def end(self) -> None:
        """Close the connection, because the server stops."""
        self._socket.end(Close.GOING_AWAY, "The server stops.")

    def tell(self, told: Mapping[str, Any]) -> None:
        """Send a message that is for every page."""
        self._outbox.send(told)

    # Workspaces

    def _watch(self, asked: Mapping[str, Any]) -> None:
        key, level, since = _text(asked, "place"), asked.get("level"), asked.get("since")
        if level not in ("rows", "counts"):
            raise Bad(f"There is no level {level!r}.")
        if since is not None and (not isinstance(since, int) or isinstance(since, bool)):
            raise Bad(f"{since!r} is no number of a change.")
        if key not in self._wanted and len(self._wanted) >= MOST_PLACES:
            raise Bad(f"A page watches {MOST_PLACES} workspaces at most.")
        self._wanted[key] = level
        self._behind.discard(key)
        self._begin(self._follow(key, level, since))

    async def _follow(self, key: str, level: Level, since: int | None) -> None:
        """Hear of the workspace; the first look at a large one takes a while."""
        loop = asyncio.get_running_loop()

        def follow() -> None:
            self._hubs.of(self._places.get(key)).watch(self, level, since, loop)

        async with self._turn:
            if self._wanted.get(key) != level:
                return
            try:
                await self._in_thread(follow)
            except NotHere as error:
                self._lose_place(key, problem_of(error))
            if key not in self._wanted:  # meanwhile nobody wants to hear of it any more
                self._unhear(key)

    def _unwatch(self, key: str) -> None:
        self._wanted.pop(key, None)
        self._behind.discard(key)
        self._unhear(key)

    def _unhear(self, key: str) -> None:
        hub = self._hubs.known(key)
        if hub is not None:
            hub.unwatch(self)

    def hear(self, key: str, messages: Sequence[Message]) -> None:
        """Send what has happened; rows only while the page keeps up."""
        if key not in self._wanted or self._closed:
            return
        for message in messages:
            if message.for_rows and (self._outbox.is_full or key in self._behind):
                self._behind.add(key)
            else:
                self._outbox.put(message.text)

    def lose(self, key: str, message: Message) -> None:
        """The workspace is gone."""
        if key in self._wanted and not self._closed:
            self._outbox.put(message.text)
            self._lose_place(key, None)

    def _lose_place(self, key: str, problem: Problem | None) -> None:
        self._wanted.pop(key, None)
        if problem is not None:
            self._outbox.send({"kind": "failed", "place": key, "problem": problem})
        # After what was just put there to be sent.
        reason = problem["message"] if problem else "The workspace is gone."
        asyncio.get_running_loop().call_soon(self._socket.end, Close.NO_PLACE, reason)

    def _catch_up(self) -> None:
        for key in list(self._behind):
            hub = self._hubs.known(key)
            if hub is not None:
                self._behind.discard(key)
                self._outbox.put(hub.behind().text)

    # Views

    async def _open(self, asked: Mapping[str, Any]) -> None:
        name, key = _text(asked, "view"), _text(asked, "place")
        runs, state = asked.get("runs"), asked.get("state") or {}
        if not isinstance(runs, list) or not all(isinstance(run, str) for run in runs):
            raise Bad("runs must be ids.")
        if not isinstance(state, dict):
            raise Bad("state must be an object.")
        self._close_view(name)
        if len(self._views) >= MOST_VIEWS:
            raise Bad(f"A page has {MOST_VIEWS} views at most.")
        try:
            place = await self._in_thread(lambda: self._places.get(key))
        except (AmlError, OSError) as error:
            self._fail_view(name, error)
            return
        if not self._closed:
            self._views[name] = self._viewer.open(name, place, runs, self._outbox, state)

    async def _ask(self, asked: Mapping[str, Any]) -> None:
        question = asked.get("asked")
        if not isinstance(question, dict):
            raise Bad("asked must be an object.")
        if question.get("kind") in CHANGES and not await self._socket.may_write():
            told = {"kind": "said", "said": "You may not change runs on this server.", "bad": True}
            self._outbox.send({"kind": "told", "view": _text(asked, "view"), "told": told})
            return
        self._view(asked, lambda view: view.ask(question))

    def _view(self, asked: Mapping[str, Any], do: Callable[[ServerView], None]) -> None:
        """Do it to a view; one that has failed may still be talked to by a page."""
        name = _text(asked, "view")
        view = self._views.get(name)
        if view is None:
            return
        try:
            do(view)
        except AmlError as error:  # it is asked faster than it answers
            self._close_view(name)
            self._fail_view(name, error)

    def _close_view(self, name: str) -> None:
        view = self._views.pop(name, None)
        if view is not None:
            view.close()

    def _fail_view(self, name: str, error: Exception) -> None:
        self._outbox.send({"kind": "failed", "view": name, "problem": problem_of(error)})

    # Tasks

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def _begin(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._socket.log.error("a page could not be told of runs", exc_info=error)
            self._socket.end(Close.INTERNAL, str(problem_of(error)["message"]))


class Sessions:
    """All pages that are connected. They hear when workspaces come or go; nobody looks else."""

    def __init__(self, places: Places, threads: Executor, pause: float = 2.0) -> None:
        self._places = places
        self._threads = threads
        self._pause = pause
        self._sessions: set[Session] = set()
        self._task: asyncio.Task[None] | None = None

    def add(self, session: Session) -> None:
        """Let it hear of workspaces from now on."""
        self._sessions.add(session)
        if self._task is None:
            self._task = asyncio.ensure_future(self._look())

    def discard(self, session: Session) -> None:
        """Tell it nothing more."""
        self._sessions.discard(session)
        if not self._sessions and self._task is not None:
            self._task.cancel()
            self._task = None

    def end(self) -> None:
        """Close all connections, because the server stops."""
        for session in list(self._sessions):
            session.end()

    async def _look(self) -> None:
        before: list[dict[str, Any]] | None = None
        while True:
            found = before
            try:
                found = await asyncio.get_running_loop().run_in_executor(self._threads, self._now)
            except (OSError, AmlError):
                pass  # the next look may go well
            if before is not None and found != before:
                for session in list(self._sessions):
                    session.tell({"kind": "places", "places": found})
            before = found
            await asyncio.sleep(self._pause)

    def _now(self) -> list[dict[str, Any]]:
        return [self._places.to_wire(place) for place in self._places.look(walk=False)]


def with_bytes(text: bytes, buffer: bytes) -> bytes:
    """A message and its bytes as one: the bytes begin where numbers may lie."""
    start = 4 + len(text)
    padding = -start % _ALIGNED
    return b"".join((len(text).to_bytes(4, "little"), text, bytes(padding), buffer))


def _asked(message: str | bytes) -> Mapping[str, Any]:
    if isinstance(message, bytes):
        raise Bad("Messages are text.")
    try:
        found = json.loads(message)
    except (ValueError, RecursionError):
        raise Bad("A message is JSON.") from None
    if not isinstance(found, dict):
        raise Bad("A message is a JSON object.")
    return found


def _text(asked: Mapping[str, Any], name: str) -> str:
    found = asked.get(name)
    if not isinstance(found, str):
        raise Bad(f"{name} must be text.")
    return found


ROUTES = [(f"{PREFIX}/live", Live)]
