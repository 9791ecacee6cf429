"""The live view: a panel and its charts, kept up to date by the kernel's poller.

Only what changed is sent, a few times a second, and nothing while nobody looks. Handlers of what
a browser asks may run on another thread at the same time (subshells), so both sides take a lock.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import AmlError
from ..job import layout
from ..spec import FAMILY_TYPE
from ..watching import run_files
from ..watching.answers import Answers
from ..watching.child_table import Table, changes
from ..watching.log_text import LogText
from ..watching.log_window import LogWindow
from ..watching.markup import clean
from ..watching.presence import Presence
from ..watching.watch import Head, Watch, watch_all
from ..workspace.batch_run import as_batch, gone_on_with
from .chart_grid import ChartGrid, Source
from .panel import OPTIONS, Panel, fit
from .picture_box import PictureBox
from .poller import INTERVAL, POLLER
from .shots import take_shot

if TYPE_CHECKING:
    from ..workspace import Run
    from .forms import Shot

WIDGET_MIME = "application/vnd.jupyter.widget-view+json"

_HIDDEN_PAUSE = 5.0
_STORE_EVERY = 30.0
_TAB_EVERY = 1.0
_CHILDREN_EVERY = 2.0
_MOST_CHILDREN = 20
_CHARTS_A_LOOK = 12
_READING_AT_END = 2.0
_FROM_BROWSER = ("tab", "shown", "beat", "hosted", "options")


class LiveView:
    """The widget of one run, or of several compared, live until they have ended."""

    def __init__(self, runs: Sequence[Run]) -> None:
        import ipywidgets as widgets

        self._lock = threading.RLock()
        self._presence = Presence()
        self._handle: Any = None
        self._stored: object = None
        self._stored_at = time.monotonic()
        self._ready = False
        self._news = True
        self._backs: list[list[Run]] = []
        first = "children" if runs[0].type == FAMILY_TYPE else "overview"
        self._panel = Panel(self._on_asked, tab=first)
        self._panel.observe(self._on_browser, names=list(_FROM_BROWSER))
        self._grid = ChartGrid(self._look_soon)
        self._pictures = PictureBox()
        self.widget = widgets.VBox([self._panel, self._grid.widget, self._pictures.widget])
        self.widget.add_class("aml-view")
        # The widget is what the notebook holds on to: the view lives as long as it does.
        self.widget.aml_view = self
        self._open(list(runs))

    # Being displayed

    def show(self) -> None:
        """Display it and follow the runs; the stored static forms follow as well."""
        from IPython.display import display

        self._handle = display(self.bundle(), raw=True, display_id=True)  # type: ignore[no-untyped-call]
        self.follow()

    def follow(self) -> None:
        """Keep the widget up to date from now on."""
        POLLER.watch(self)

    def bundle(self) -> dict[str, object]:
        """The widget with all its static forms."""
        from .forms import bundle

        model = {"version_major": 2, "version_minor": 0, "model_id": self.widget.model_id}
        return {WIDGET_MIME: model, **bundle(self._shot())}

    def refresh(self) -> float | None:
        """Show what is new; seconds until the next look, None when there will be no more."""
        with self._lock:
            if self.widget.comm is None:
                self._close()
                return None
            try:
                return self._refreshed()
            except OSError:  # a network disk that does not answer now may do so later
                return _HIDDEN_PAUSE
            except Exception as error:
                said = (
                    f"This view stopped ({error!r}); %aml_attach {self._runs[0].id} shows it anew."
                )
                self._panel.tell("said", said, bad=True)
                raise

    def _refreshed(self) -> float | None:
        looking = self._presence.looking
        if looking:
            self._render()
        else:
            self._look()
        if self._is_complete():
            if not looking:
                self._read_to_end()
            self._store()
            return None
        if self._panel.hosted and time.monotonic() > self._stored_at + _STORE_EVERY:
            self._store()
        return INTERVAL if looking else _HIDDEN_PAUSE

    def _is_complete(self) -> bool:
        if not all(watch.finished for watch in self._watches):
            return False
        if not self._presence.looking:
            return True
        read = all(watch.metrics.progress >= 1 for watch in self._everyone())
        drawn = not self._grid.is_behind
        return read and drawn and self._log.caught_up and not self._news

    def _read_to_end(self) -> None:
        """Take in what came while nobody looked, for the stored forms; within bounds."""
        self._find_logs()
        while self._log.look():
            pass
        give_up = time.monotonic() + _READING_AT_END
        for watch in self._watches:
            while watch.read_metrics() and time.monotonic() < give_up:
                pass

    def _store(self) -> None:
        """Let the notebook hold the state of now, for when there is no kernel."""
        self._stored_at = time.monotonic()
        if self._handle is not None and self._stored != (now := self._state()):
            self._stored = now
            self._handle.update(self.bundle(), raw=True)

    def _state(self) -> object:
        """Changes when the static forms would."""
        points = sum(
            line.count
            for watch in self._everyone()
            for name in watch.metrics.names
            for line in watch.metrics.lines(name)
        )
        return [head.to_wire() | {"now": 0} for head in self._heads], points, self._log.size

    def _shot(self) -> Shot:
        log = LogText()
        log.feed(self._log.text())
        return take_shot(self._watches, self._heads, log, self._answers)

    def _close(self) -> None:
        self._grid.close()
        self._pictures.close()
        self._panel.close()

    # Which runs

    def _open(self, runs: list[Run]) -> None:
        """Show these runs instead; nothing of the ones before stays."""
        self._runs = runs
        self._watches = watch_all(runs)
        self._children: dict[str, Watch] = {}
        self._heads: list[Head] = []
        self._stored = None
        self._answers = Answers(self._watches)
        self._logs = run_files.logs(runs[0].folder)
        self._log = LogWindow(runs[0].folder, (self._logs or [layout.DRIVER_LOG])[0])
        self._chose_log = False
        self._next: dict[str, float] = {}
        self._sent: dict[str, Any] = {}
        self._panel.backs = [back[0].id for back in self._backs]
        for watch in self._watches:
            watch.look()
            watch.read_metrics()
        self._panel.options = {**OPTIONS}
        self._look()
        self._panel.tabs = self._tabs()
        if self._watches[0].notebooks:
            self._panel.tab = "children"
        self._log.look()
        self._panel.log = {**self._log.whole(), "files": self._files()}
        self._draw()

    def _tabs(self) -> list[str]:
        tabs = ["overview", "log", "system", "files", "facts"]
        if len(self._runs) > 1:
            return [*tabs, "compare"]
        if self._watches[0].notebooks:
            # Its notebooks have what a job leaves; of its own it has the log of a build at most.
            log = ["log"] if self._logs else []
            return ["children", "overview", *log, "files", "facts"]
        return [*tabs, "children"] if self._children else tabs

    def _everyone(self) -> list[Watch]:
        return [*self._watches, *self._children.values()]

    # Looking and sending

    def _render(self) -> None:
        self._find_logs()
        self._news = self._log.look()
        self._look()
        self._find_children()
        for watch in self._everyone():
            self._news |= watch.read_metrics()
        self._send_log()
        self._draw()
        self._send_tab()

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
            self._panel.runs = [fit(head.to_wire()) for head in heads]

    def _find_children(self) -> None:
        """Follow the youngest children as well; new ones are looked for now and then."""
        ended = self._watches[0].finished
        # Once more at the end: what lives shortly may have had children since the last look.
        late = ended and not self._sent.get("found")
        if len(self._runs) > 1 or not (late or self._is_due("find", _CHILDREN_EVERY)):
            return
        self._sent["found"] = ended
        self._follow(self._answers.children(_MOST_CHILDREN))
        self._panel.tabs = self._tabs()
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
            Source(head.name, watch.metrics, watch.started, number)
            for number, (watch, head) in enumerate(zip(self._watches, self._heads, strict=True))
        ]
        for watch in self._children.values():
            label = watch.run.display_name
            sources.append(Source(label, watch.metrics, watch.started, len(sources)))
        summary = self._grid.update(sources, self._panel.options, _CHARTS_A_LOOK)
        if summary != self._sent.get("charts"):
            self._sent["charts"] = summary
            self._panel.charts = fit(summary)
        if self._is_due("pictures", _TAB_EVERY):
            self._pictures.update([(w.run.folder, w.metrics) for w in self._watches])

    def _send_log(self) -> None:
        ended = self._watches[0].finished and self._log.caught_up
        if not self._ready:
            # Nobody has said to be there: who comes late must find all of it in the state.
            if self._is_due("unready", _TAB_EVERY) or ended:
                self._panel.log = {**self._log.whole(ended), "files": self._files()}
            return
        piece = self._log.piece(ended)
        files = self._files()
        if piece is None and (files, ended) == (self._sent.get("logs"), self._sent.get("ended")):
            return
        self._sent |= {"logs": files, "ended": ended}
        self._panel.tell("log", {**(piece or self._log.nothing(ended)), "files": files})

    def _files(self) -> list[str]:
        return [clean(name) for name in self._logs]

    def _send_tab(self) -> None:
        """What the open tab shows, where it changes by itself."""
        tab = self._panel.tab
        if tab not in ("system", "children") or tab not in self._panel.tabs:
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
            self._panel.tell(tab, fit(content))

    def _send_children(self, table: Table) -> None:
        told = changes(self._sent.get("children"), table)
        self._sent["children"] = table
        if told is not None:
            self._panel.tell("children", fit(told))

    def _is_due(self, what: str, every: float) -> bool:
        now = time.monotonic()
        if now < self._next.get(what, 0.0):
            return False
        self._next[what] = now + every
        return True

    def _look_soon(self) -> None:
        self._news = True
        POLLER.watch(self)

    # What a browser says; perhaps on another thread

    def _on_browser(self, change: Mapping[str, Any]) -> None:
        name, value = change["name"], change["new"]
        self._presence.heard(bool(value) if name == "shown" else None)
        if name in ("shown", "options", "tab") and value:
            self._next.clear()
            self._look_soon()

    def _on_asked(self, asked: Mapping[str, Any]) -> None:
        self._presence.heard()
        try:
            self._answer(asked)
        except (AmlError, OSError) as error:
            self._panel.tell("said", str(error), bad=True)

    def _answer(self, asked: Mapping[str, Any]) -> None:
        kind = str(asked["kind"])
        own = getattr(self, f"_on_{kind}", None)
        if own is not None:
            with self._lock:
                own(asked)
        elif kind == "find":
            # A log may be long: nobody else waits while it is looked through.
            search = threading.Thread(target=self._find, args=(asked,), daemon=True)
            search.start()
        else:
            said = self._answers.answer(asked)
            self._panel.tell(said.kind, fit(said.content), said.buffer)

    def _find(self, asked: Mapping[str, Any]) -> None:
        try:
            self._panel.tell("matches", self._answers.answer(asked).content)
        except (AmlError, OSError) as error:
            self._panel.tell("said", str(error), bad=True)

    def _on_ready(self, asked: Mapping[str, Any]) -> None:
        self._ready = True
        self._panel.tell("log", {**self._log.whole(), "files": self._files()})
        self._sent.pop("system", None)
        self._sent.pop("children", None)
        # Sent anew: a page that came late must know what time it is here.
        self._heads = []
        self._look()
        self._look_soon()

    def _on_system(self, asked: Mapping[str, Any]) -> None:
        self._tell_anew("system")

    def _on_children(self, asked: Mapping[str, Any]) -> None:
        self._tell_anew("children")

    def _tell_anew(self, tab: str) -> None:
        """Let the poller answer: only one thread may read measurements, and it may have slept."""
        self._sent.pop(tab, None)
        self._next.pop(tab, None)
        self._look_soon()

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
        self._look_soon()

    def _on_rerun(self, asked: Mapping[str, Any]) -> None:
        before = self._runs
        new = before[0].rerun()
        self._turn_to([new], before)
        self._panel.tell("said", f"Run {before[0].id} runs again as {new.id}.")

    def _on_resume(self, asked: Mapping[str, Any]) -> None:
        before = self._runs
        batch = as_batch(before[0])
        new = gone_on_with(batch) or batch.resume()
        if new.id == batch.id:
            self._panel.tell("said", "There is nothing left to do.")
            return
        self._turn_to([new], before)
        self._panel.tell("said", f"Batch {batch.id} goes on as {new.id}.")

    def _on_open(self, asked: Mapping[str, Any]) -> None:
        self._turn_to([self._answers.run(asked)], self._runs)

    def _on_against(self, asked: Mapping[str, Any]) -> None:
        self._turn_to([*self._runs, self._answers.run(asked)], self._runs)

    def _on_back(self, asked: Mapping[str, Any]) -> None:
        if self._backs:
            runs = self._backs.pop()
            self._open(runs)
            self._on_ready(asked)

    def _turn_to(self, runs: list[Run], before: list[Run]) -> None:
        self._backs.append(before)
        self._open(runs)
        self._on_ready({})
