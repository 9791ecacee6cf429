"""What a live view does: which runs it shows, what it sends of them and when, what it answers.

It knows of no widget and no socket: a host gives it a screen and what draws its charts, and lets
it look now and then. Only what changed is sent. What a browser asks may come on another thread
than looks do, so both take a lock.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ..errors import AmlError
from ..job import layout, states
from ..spec import FAMILY_TYPE
from ..workspace.batch_run import as_batch, gone_on_with
from . import run_files
from .answers import Answers
from .child_table import Table, changes
from .figures import Source
from .log_window import LogWindow
from .markup import clean
from .poller import INTERVAL
from .watch import Head, Watch, watch_all

if TYPE_CHECKING:
    from ..store.series import MetricFeed
    from ..workspace import Run

HIDDEN_PAUSE = 5.0
"""Seconds between looks while nobody sees what comes of them."""

OPTIONS: Mapping[str, Any] = {
    "filter": "",
    "axis": "step",
    "log_x": False,
    "log_y": False,
    "smoothing": 0.0,
    "grouping": "each",
    "most": 24,
    "zoomed": False,
}
"""How charts are drawn until a reader wants it otherwise."""

# What a browser finds that is quicker than the first look.
_NO_CHARTS: Mapping[str, Any] = {
    **dict.fromkeys(("metrics", "matching", "charts", "drawn"), 0),
    "reading": 0.0,
    "figures": [],
}
_NO_LOG: Mapping[str, Any] = {
    **dict.fromkeys(("first", "cut", "passed", "size"), 0),
    "files": [],
    "lines": [],
    "file": "",
    "reset": True,
    "ended": False,
}
STATE: Mapping[str, Any] = {
    "runs": [],
    "tabs": [],
    "tab": "overview",
    "shown": True,
    "beat": 0,
    "hosted": False,
    "options": OPTIONS,
    "charts": _NO_CHARTS,
    "log": _NO_LOG,
    "backs": [],
}
"""The wire's ``RunView`` before anything was looked at."""

FROM_BROWSER = ("tab", "shown", "beat", "hosted", "options")
"""What of it a browser sets."""

_TAB_EVERY = 1.0
_CHILDREN_EVERY = 2.0
_MOST_CHILDREN = 20
_READING_AT_END = 2.0


class Screen(Protocol):
    """What a view is seen on: it has a state, and takes messages."""

    @property
    def looking(self) -> bool:
        """Whether it is worth while to send anything."""

    def get(self, name: str) -> Any:
        """A part of the wire's ``RunView``."""

    def set(self, name: str, value: Any) -> None:
        """Change a part of it, for every browser."""

    def tell(
        self, kind: str, content: Any = None, buffer: bytes | None = None, **more: Any
    ) -> None:
        """Send a message of the wire's type ``Told``."""


class Charts(Protocol):
    """What draws what runs log."""

    @property
    def is_behind(self) -> bool:
        """Whether there is something to draw that the last update left for the next."""

    def update(self, sources: Sequence[Source], options: Mapping[str, Any]) -> dict[str, Any]:
        """Draw what is new; the wire's ``ChartSummary``."""

    def show_others(self, logged: Sequence[tuple[Path, MetricFeed]]) -> None:
        """Show what these runs, each with its folder, have logged that is no number."""


def first_tab(runs: Sequence[Run]) -> str:
    """The tab that a view of these runs begins with: of one that has failed, its error."""
    if runs[0].type == FAMILY_TYPE:
        return "children"
    return "error" if len(runs) == 1 and runs[0].status == states.FAILED else "overview"


def fit(content: Any) -> Any:
    """JSON whose every text can travel and be shown: without halves of letters and the like."""
    if isinstance(content, str):
        return clean(content)
    if isinstance(content, Mapping):
        return {clean(key): fit(value) for key, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [fit(value) for value in content]
    return content


class ViewSession:
    """A run, or several compared, followed for one view until they have ended.

    ``wake`` is called, on any thread, when there is something new to look at before it is time.
    The first look takes in ``at_first`` numbers of each run, later ones go on for ``reading``
    seconds while there is more.
    """

    def __init__(
        self,
        runs: Sequence[Run],
        screen: Screen,
        charts: Charts,
        wake: Callable[[], None],
        at_first: int = 2_000_000,
        reading: float = 0.0,
    ) -> None:
        self.lock = threading.RLock()
        """Held while anything is looked at or changed; by hosts as well."""
        self._screen = screen
        self._charts = charts
        self._wake = wake
        self._at_first, self._reading = at_first, reading
        self._ready = False
        self._news = True
        self._backs: list[list[Run]] = []
        self._open(list(runs))

    @property
    def runs(self) -> Sequence[Run]:
        """Those shown, the first one leads."""
        return self._runs

    @property
    def watches(self) -> Sequence[Watch]:
        """What is known of each of them."""
        return self._watches

    @property
    def heads(self) -> Sequence[Head]:
        """How they were at the last look."""
        return self._heads

    @property
    def log(self) -> LogWindow:
        """The log that is followed."""
        return self._log

    @property
    def answers(self) -> Answers:
        """What answers questions about them."""
        return self._answers

    def refresh(self) -> float | None:
        """Show what is new; seconds until the next look, None when there will be no more."""
        with self.lock:
            looking = self._screen.looking
            if looking:
                self._render()
            else:
                self._look()
            if self._is_complete(looking):
                return None
            return INTERVAL if looking else HIDDEN_PAUSE

    @property
    def has_read_all(self) -> bool:
        """Whether the last look has taken in all numbers that there were."""
        return all(watch.metrics.progress >= 1 for watch in self.everyone())

    def _is_complete(self, looking: bool) -> bool:
        if not all(watch.finished for watch in self._watches):
            return False
        if not looking:
            return True
        drawn = not self._charts.is_behind
        return self.has_read_all and drawn and self._log.caught_up and not self._news

    def read_to_end(self) -> None:
        """Take in what came while nobody looked; within bounds."""
        self._find_logs()
        while self._log.look():
            pass
        give_up = time.monotonic() + _READING_AT_END
        for watch in self._watches:
            while watch.read_metrics() and time.monotonic() < give_up:
                pass

    # Which runs

    def _open(self, runs: list[Run]) -> None:
        """Show these runs instead; nothing of the ones before stays."""
        self._runs = runs
        self._watches = watch_all(runs)
        self._children: dict[str, Watch] = {}
        self._heads: list[Head] = []
        self._answers = Answers(self._watches)
        self._logs = run_files.logs(runs[0].folder)
        self._log = LogWindow(runs[0].folder, (self._logs or [layout.DRIVER_LOG])[0])
        self._chose_log = False
        self._next: dict[str, float] = {}
        self._sent: dict[str, Any] = {}
        self._screen.set("backs", [back[0].id for back in self._backs])
        for watch in self._watches:
            watch.look()
            watch.begin_metrics(self._at_first)
        self._look()
        self._screen.set("tabs", self._tabs())
        self._log.look()
        self._screen.set("log", {**self._log.whole(), "files": self._files()})
        self._draw()

    def _tabs(self) -> list[str]:
        tabs = ["overview", "log", "system", "files", "facts"]
        if len(self._runs) > 1:
            return [*tabs, "compare"]
        failed = bool(self._heads) and self._heads[0].status == states.FAILED
        if self._watches[0].notebooks:
            # Its notebooks have what a job leaves; of its own it has the log of a build at most.
            log = ["log"] if self._logs else []
            error = ["error"] if failed else []
            return ["children", "overview", *error, *log, "files", "facts"]
        tabs = ["error", *tabs] if failed else tabs
        return [*tabs, "children"] if self._children else tabs

    def everyone(self) -> list[Watch]:
        """The watches of the runs and of their youngest children."""
        return [*self._watches, *self._children.values()]

    # Looking and sending

    def _render(self) -> None:
        self._find_logs()
        self._news = self._log.look()
        self._look()
        self._find_children()
        self._read_metrics()
        self._send_log()
        self._draw()
        self._send_tab()

    def _read_metrics(self) -> None:
        give_up = time.monotonic() + self._reading
        while more := [watch for watch in self.everyone() if watch.read_metrics()]:
            self._news = True
            behind = any(watch.metrics.progress < 1 for watch in more)
            if not behind or time.monotonic() > give_up:
                return

    def _look(self) -> None:
        last = self._log.last_lines()
        heads = [watch.look(last if n == 0 else ()) for n, watch in enumerate(self._watches)]
        known = [*self._heads, *[None] * len(heads)]
        changed = len(heads) != len(self._heads) or any(
            head.differs_from(before) for head, before in zip(heads, known, strict=False)
        )
        self._heads = heads
        if changed:
            self._news = True
            self._screen.set("runs", [fit(head.to_wire()) for head in heads])
            # One that fails has one tab more.
            self._screen.set("tabs", self._tabs())

    def _find_children(self) -> None:
        """Follow the youngest children as well; new ones are looked for now and then."""
        ended = self._watches[0].finished
        # Once more at the end: what lives shortly may have had children since the last look.
        late = ended and not self._sent.get("found")
        if len(self._runs) > 1 or not (late or self._is_due("find", _CHILDREN_EVERY)):
            return
        self._sent["found"] = ended
        self._follow(self._answers.children(_MOST_CHILDREN))
        self._screen.set("tabs", self._tabs())
        for watch in self._children.values():
            watch.look()

    def _follow(self, children: Sequence[Run]) -> None:
        known = self._children
        if self._watches[0].notebooks:  # there may be thousands: those that were are let go
            known = {child.id: known[child.id] for child in children if child.id in known}
        for child in children:
            if child.id not in known:
                known[child.id] = Watch(child)
        self._children = known

    def _draw(self) -> None:
        sources = [
            Source(head.name, watch.metrics, watch.started, number, head.id)
            for number, (watch, head) in enumerate(zip(self._watches, self._heads, strict=True))
        ]
        for watch in self._children.values():
            label = watch.run.display_name
            run = watch.run.id
            sources.append(Source(label, watch.metrics, watch.started, len(sources), run))
        summary = self._charts.update(sources, self._screen.get("options"))
        if summary != self._sent.get("charts"):
            self._sent["charts"] = summary
            self._screen.set("charts", fit(summary))
        if self._is_due("pictures", _TAB_EVERY):
            self._charts.show_others([(w.run.folder, w.metrics) for w in self._watches])

    def _send_log(self) -> None:
        ended = self._watches[0].finished and self._log.caught_up
        if not self._ready:
            # Nobody has said to be there: who comes late must find all of it in the state.
            if self._is_due("unready", _TAB_EVERY) or ended:
                self._screen.set("log", {**self._log.whole(ended), "files": self._files()})
            return
        piece = self._log.piece(ended)
        files = self._files()
        if piece is None and (files, ended) == (self._sent.get("logs"), self._sent.get("ended")):
            return
        self._sent |= {"logs": files, "ended": ended}
        self._screen.tell("log", {**(piece or self._log.nothing(ended)), "files": files})

    def _files(self) -> list[str]:
        return [clean(name) for name in self._logs]

    def _send_tab(self) -> None:
        """What the open tab shows, where it changes by itself."""
        tab = self._screen.get("tab")
        if tab not in ("system", "children") or tab not in self._screen.get("tabs"):
            return
        ended = self._watches[0].finished
        late = ended and self._sent.get("ended tab") != tab
        if not (late or self._is_due(tab, _TAB_EVERY)):
            return
        self._sent["ended tab"] = tab if ended else None
        if tab == "children":
            self._send_children(self._answers.child_table(at_once=ended))
            return
        content = self._answers.answer({"kind": tab}).content
        if content != self._sent.get(tab):
            self._sent[tab] = content
            self._screen.tell(tab, fit(content))

    def _send_children(self, table: Table) -> None:
        told = changes(self._sent.get("children"), table)
        self._sent["children"] = table
        if told is not None:
            self._screen.tell("children", fit(told))

    def _is_due(self, what: str, every: float) -> bool:
        now = time.monotonic()
        if now < self._next.get(what, 0.0):
            return False
        self._next[what] = now + every
        return True

    # What a browser says; perhaps on another thread

    def heard(self, name: str) -> None:
        """Look at once, because a browser has set that part of the state."""
        if name in ("shown", "options", "tab") and self._screen.get(name):
            self._next.clear()
            self.look_soon()

    def look_soon(self) -> None:
        """Look before it is time, because something is new or asked for."""
        self._news = True
        self._wake()

    def ask(self, asked: Mapping[str, Any]) -> None:
        """Answer a message of the wire's type ``Asked``, by messages."""
        try:
            self._answer(asked)
        except (AmlError, OSError) as error:
            self._screen.tell("said", str(error), bad=True)

    def _answer(self, asked: Mapping[str, Any]) -> None:
        kind = str(asked["kind"])
        own = getattr(self, f"_on_{kind}", None)
        if own is not None:
            with self.lock:
                own(asked)
        elif kind == "find":
            # A log may be long: nobody else waits while it is looked through.
            search = threading.Thread(target=self._find, args=(asked,), daemon=True)
            search.start()
        else:
            said = self._answers.answer(asked)
            self._screen.tell(said.kind, fit(said.content), said.buffer)

    def _find(self, asked: Mapping[str, Any]) -> None:
        try:
            self._screen.tell("matches", self._answers.answer(asked).content)
        except (AmlError, OSError) as error:
            self._screen.tell("said", str(error), bad=True)

    def _on_ready(self, asked: Mapping[str, Any]) -> None:
        self._ready = True
        self._screen.tell("log", {**self._log.whole(), "files": self._files()})
        self._sent.pop("system", None)
        self._sent.pop("children", None)
        # Sent anew: a page that came late must know what time it is here.
        self._heads = []
        self._look()
        self.look_soon()

    def _on_system(self, asked: Mapping[str, Any]) -> None:
        self._tell_anew("system")

    def _on_children(self, asked: Mapping[str, Any]) -> None:
        self._tell_anew("children")

    def _tell_anew(self, tab: str) -> None:
        """Let the poller answer: only one thread may read measurements, and it may have slept."""
        self._sent.pop(tab, None)
        self._next.pop(tab, None)
        self.look_soon()

    def _on_log(self, asked: Mapping[str, Any]) -> None:
        self._chose_log = True
        folder = self._runs[0].folder
        self._logs = run_files.logs(folder)
        self._log = LogWindow(folder, self._answers.log_name(asked))
        self._log.look()
        self._on_ready({})

    def _find_logs(self) -> None:
        """While an environment is built, show how; then the job's log; a chosen one stays."""
        ended = self._watches[0].finished
        # Once more at the end: a short job has said all of it since the last look.
        late = ended and not self._sent.get("found logs")
        if not (late or self._is_due("logs", _TAB_EVERY)):
            return
        self._sent["found logs"] = ended
        self._logs = run_files.logs(self._runs[0].folder)
        if self._logs and not self._chose_log and self._logs[0] != self._log.name:
            self._log = LogWindow(self._runs[0].folder, self._logs[0])

    def _on_cancel(self, asked: Mapping[str, Any]) -> None:
        for run in self._runs:
            run.cancel()
        self.look_soon()

    def _on_rerun(self, asked: Mapping[str, Any]) -> None:
        before = self._runs
        new = before[0].rerun()
        self._turn_to([new], before)
        self._screen.tell("said", f"Run {before[0].id} runs again as {new.id}.")

    def _on_resume(self, asked: Mapping[str, Any]) -> None:
        before = self._runs
        batch = as_batch(before[0])
        new = gone_on_with(batch) or batch.resume()
        if new.id == batch.id:
            self._screen.tell("said", "There is nothing left to do.")
            return
        self._turn_to([new], before)
        self._screen.tell("said", f"Batch {batch.id} goes on as {new.id}.")

    def _on_open(self, asked: Mapping[str, Any]) -> None:
        self._turn_to([self._answers.run(asked)], self._runs)

    def _on_against(self, asked: Mapping[str, Any]) -> None:
        self._turn_to([*self._runs, self._answers.run(asked)], self._runs)

    def _on_back(self, asked: Mapping[str, Any]) -> None:
        if self._backs:
            self._begin_with(self._backs.pop())

    def _turn_to(self, runs: list[Run], before: list[Run]) -> None:
        self._backs.append(before)
        self._begin_with(runs)

    def _begin_with(self, runs: list[Run]) -> None:
        self._screen.set("options", {**OPTIONS})
        if first_tab(runs) != STATE["tab"]:
            self._screen.set("tab", first_tab(runs))
        self._open(runs)
        self._on_ready({})
