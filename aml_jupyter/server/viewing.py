"""Runs followed for pages: what a websocket's ``open``, ``set``, ``ask`` and ``close`` come to.

Nothing here is done on the event loop: whoever calls only leaves a message, and a few threads that
all views of the server share do the work. While a page is hidden, or slower than what happens, a
view does next to nothing; what it missed is in what it sends next.
"""

from __future__ import annotations

import logging
import math
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

from ..errors import AmlError, UserErrorException
from ..watching.plots import PlotFeed
from ..watching.poller import INTERVAL, Poller
from ..watching.session import FROM_BROWSER, HIDDEN_PAUSE, OPTIONS, STATE, ViewSession, first_tab
from .places import Place

MOST_RUNS = 20
"""Runs that one view compares."""

_THREADS = 6
# Numbers that are taken in before a page is told anything, and seconds of a look that are for more.
_AT_FIRST = 100_000
_READING = 0.25
_MOST_WAITING = 1000
_MOST_CHARTS = 500
_PAGES_OWN = frozenset({"shown", "beat", "hosted"})
CHANGES = frozenset({"cancel", "rerun", "resume", "tag"})
"""Questions that are none, but change or start something."""


_log = logging.getLogger(__name__)


class Outlet(Protocol):
    """The way to a page. It may be used by any thread, and keeps none waiting."""

    @property
    def is_full(self) -> bool:
        """Whether the page takes less than it is sent: what can wait is then not sent."""

    def send(self, told: Mapping[str, Any], buffer: bytes | None = None) -> None:
        """Send a message of the type ``LiveTold`` of ``api.json``, and the bytes that belong to it.

        Nothing happens where there is no page any more.
        """


class Viewer:
    """Follows runs for all pages of a server; with ``read_only`` it changes and starts nothing."""

    def __init__(self, read_only: bool = False, threads: int = _THREADS) -> None:
        self.read_only = read_only
        self._pool = ThreadPoolExecutor(threads, "aml-view")
        self._poller = Poller()

    def open(
        self,
        name: str,
        place: Place,
        runs: Sequence[str],
        outlet: Outlet,
        state: Mapping[str, Any] | None = None,
    ) -> ServerView:
        """Follow these runs for a page that calls the view ``name``; returns at once.

        All of its state is sent to ``outlet`` as soon as it is known, then what changes, and
        ``failed`` if there is no such run. ``state`` is what the page has set of it before, so that
        a page that connects again finds the view as it was. The view lives until it is closed.
        """
        return ServerView(self, name, place, runs, outlet, state or {})

    def close(self) -> None:
        """Stop all threads; views that are still open do nothing any more."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def lane(self) -> Lane:
        """Something that does one thing after the other, on the threads of all."""
        return Lane(self._pool)

    def watch(self, view: ServerView) -> None:
        """Let a view look now, and from now on."""
        self._poller.watch(view)


class ServerView:
    """Runs that are followed for one page. Each call returns at once."""

    def __init__(
        self,
        viewer: Viewer,
        name: str,
        place: Place,
        runs: Sequence[str],
        outlet: Outlet,
        state: Mapping[str, Any],
    ) -> None:
        self._viewer = viewer
        self._screen = _PageScreen(name, outlet)
        self._charts = PlotFeed(self._screen.tell)
        self._session: ViewSession | None = None
        self._closed = False
        self._pause: float | None = INTERVAL
        self._plots: deque[Any] = deque(maxlen=1)
        # A question need not wait until a look has read what a job wrote.
        self._asking, self._looking = viewer.lane(), viewer.lane()
        self._asking.do(lambda: self._begin(place, list(runs), state))

    def set(self, name: str, value: Any) -> None:
        """Take in a part of the shared state that the page has set."""
        self._asking.do(lambda: self._set(name, value))

    def ask(self, asked: Mapping[str, Any]) -> None:
        """Answer a message of the wire's type ``Asked``."""
        if asked.get("kind") == "plots":
            # A reader who moves on does not want what was in sight before: the last one counts.
            self._plots.append(asked.get("plots") or ())
        self._asking.do(lambda: self._answer(asked))

    def close(self) -> None:
        """Send nothing any more, and forget the runs."""
        self._closed = True
        self._screen.close()
        self._asking.clear()
        self._session = None

    # What the threads do

    def _begin(self, place: Place, runs: Sequence[str], state: Mapping[str, Any]) -> None:
        try:
            if not 0 < len(runs) <= MOST_RUNS:
                raise UserErrorException(
                    f"A view of {len(runs)} runs was asked for.", f"Open 1 to {MOST_RUNS} of them."
                )
            found = [place.workspace.get_run(run) for run in runs]
            self._screen.put("tab", first_tab(found))
            for name, value in state.items():
                if name in FROM_BROWSER:
                    self._screen.put(name, _sound(name, value))
            session = ViewSession(
                found, self._screen, self._charts, self._wake, _AT_FIRST, _READING
            )
        except (AmlError, OSError) as error:
            self._fail(error)
            return
        except Exception as error:
            self._fail(AmlError(f"These runs cannot be shown ({error!r})."))
            raise
        self._screen.begin()
        self._session = session
        self._wake()

    def _set(self, name: str, value: Any) -> None:
        session = self._session
        if session is None:
            return
        if name not in FROM_BROWSER:
            self._refuse(f"A page may not set {name!r}.")
            return
        self._screen.put(name, _sound(name, value))
        session.heard(name)

    def _answer(self, asked: Mapping[str, Any]) -> None:
        session, kind = self._session, asked.get("kind")
        if session is None:
            return
        if kind in CHANGES and self._viewer.read_only:
            self._refuse("This server only shows runs: AmlServer.read_only is set.")
            return
        try:
            self._answered(session, asked)
        except (KeyError, TypeError, ValueError) as error:
            self._refuse(f"What the page asked for makes no sense ({error!r}).")
        except Exception as error:
            self._refuse(f"That could not be answered ({error!r}).")
            raise

    def _answered(self, session: ViewSession, asked: Mapping[str, Any]) -> None:
        kind = asked["kind"]
        if kind == "plots":
            if self._plots:
                self._charts.show(self._plots.popleft())
        elif kind == "folder":
            # Its desktop, if the server has one, need not be where the page is.
            self._screen.tell("said", str(session.runs[0].folder))
        else:
            if kind == "ready":
                self._charts.forget()
            session.ask(asked)

    def _refuse(self, why: str) -> None:
        self._screen.tell("said", why, bad=True)

    def _wake(self) -> None:
        if not self._closed:
            self._pause = INTERVAL
            self._viewer.watch(self)

    # Looking

    def refresh(self) -> float | None:
        """Have the threads look; for the poller."""
        if self._closed:
            return None
        self._looking.do_unless_busy(self._look)
        return self._pause

    def _look(self) -> None:
        session = self._session
        if session is None:
            return
        if self._screen.is_full:  # what it misses is read by the look after
            self._pause = INTERVAL
            return
        try:
            self._pause = session.refresh()
            if self._screen.looking and not session.has_read_all:
                self._looking.do(self._look)  # at once, but others first
        except OSError:  # a network disk that does not answer now may do so later
            self._pause = HIDDEN_PAUSE
        except Exception as error:
            self._pause = None
            self._fail(AmlError(f"This view stopped ({error!r}).", "Reload the page."))
            raise

    def _fail(self, error: Exception) -> None:
        self._screen.fail(error)


class _PageScreen:
    """A page as what a session is seen on."""

    def __init__(self, name: str, outlet: Outlet) -> None:
        self._name = name
        self._outlet: Outlet | None = outlet
        self._lock = threading.Lock()
        self._state = dict(STATE)
        self._unsent: dict[str, None] = {}
        self._begun = False

    @property
    def looking(self) -> bool:
        """Whether the page is on screen."""
        return bool(self._state["shown"])

    @property
    def is_full(self) -> bool:
        """Whether the page does not keep up."""
        outlet = self._outlet
        return outlet is not None and outlet.is_full

    def get(self, name: str) -> Any:
        """A part of the state."""
        return self._state[name]

    def set(self, name: str, value: Any) -> None:
        """Change it, and tell the page unless it is hidden; then when it is shown."""
        with self._lock:
            if self._state[name] != value:
                self._state[name] = value
                self._unsent[name] = None
                self._flush()

    def put(self, name: str, value: Any) -> None:
        """Take in what the page itself has set."""
        with self._lock:
            self._state[name] = value
            self._flush()

    def begin(self) -> None:
        """Tell the page all of the state."""
        with self._lock:
            self._begun = True
            self._unsent = dict.fromkeys(name for name in self._state if name not in _PAGES_OWN)
            self._flush()

    def tell(
        self, kind: str, content: Any = None, buffer: bytes | None = None, **more: Any
    ) -> None:
        """Send the page a message of the wire's type ``Told``."""
        told = {"kind": kind, **more}
        if content is not None:
            told[kind] = content
        self._send({"kind": "told", "told": told}, buffer)

    def fail(self, error: Exception) -> None:
        """Tell the page why there is nothing to see, or no more."""
        message = getattr(error, "message", "") or str(error) or type(error).__name__
        hint = getattr(error, "hint", "") or ""
        self._send({"kind": "failed", "problem": {"message": message, "hint": hint}})

    def close(self) -> None:
        """Send nothing any more."""
        self._outlet = None

    def _flush(self) -> None:
        if self._begun and self._state["shown"]:
            for name in self._unsent:
                self._send({"kind": "state", "name": name, "value": self._state[name]})
            self._unsent.clear()

    def _send(self, told: Mapping[str, Any], buffer: bytes | None = None) -> None:
        outlet = self._outlet
        if outlet is not None:
            outlet.send({**told, "view": self._name}, buffer)


class Lane:
    """Does one thing after the other, on threads that it shares with others."""

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self._pool = pool
        self._lock = threading.Lock()
        self._waiting: deque[Callable[[], None]] = deque()
        self._busy = False

    def do(self, work: Callable[[], None]) -> None:
        """Do this when all before is done."""
        with self._lock:
            if len(self._waiting) >= _MOST_WAITING:
                raise AmlError("A page asks faster than it can be answered.", "Reload it.")
            self._waiting.append(work)
            self._start()

    def do_unless_busy(self, work: Callable[[], None]) -> None:
        """Do this now, or not at all."""
        with self._lock:
            if not self._busy:
                self._waiting.append(work)
                self._start()

    def clear(self) -> None:
        """Do nothing of what waits."""
        with self._lock:
            self._waiting.clear()

    def _start(self) -> None:
        if self._busy:
            return
        self._busy = True
        try:
            self._pool.submit(self._run)
        except RuntimeError:  # the server ends
            self._waiting.clear()

    def _run(self) -> None:
        # One thing at a time, so that others have their turn in between.
        work = self._next()
        if work is None:
            return
        try:
            work()
        except Exception:  # noqa: BLE001 (one view must not stop the others)
            _log.exception("a view of runs could not do what it was asked")
        with self._lock:
            self._busy = False
            if self._waiting:
                self._start()

    def _next(self) -> Callable[[], None] | None:
        with self._lock:
            if not self._waiting:
                self._busy = False
                return None
            return self._waiting.popleft()


def _sound(name: str, value: Any) -> Any:
    """What a page has set, in the shape that it must have."""
    if name == "options":
        return _sound_options(value if isinstance(value, Mapping) else {})
    usual = STATE[name]
    return value if isinstance(value, type(usual)) else usual


def _sound_options(asked: Mapping[str, Any]) -> dict[str, Any]:
    options = dict(OPTIONS)
    for name, usual in OPTIONS.items():
        value = asked.get(name)
        if isinstance(usual, (bool, str)):
            sound = isinstance(value, type(usual))
        else:
            sound = isinstance(value, (int, float)) and math.isfinite(value)
        if sound:
            options[name] = value
    options["most"] = int(min(max(options["most"], 0), _MOST_CHARTS))
    return options
