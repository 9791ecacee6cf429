"""How soon what a job does is in its row of the sidebar, and how soon it could be at best."""

from __future__ import annotations

import contextlib
import struct
import subprocess
import sys
import tempfile
import time
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Page

from aml_jupyter import Experiment
from aml_jupyter.job import events, layout, states
from benchmarks.bench_panel import open_panel
from benchmarks.points import Numbers
from benchmarks.report import Row, median_of
from benchmarks.setting import JOBS, Effort, submit

_RUNS = 100_000
_REACH = 500
_PAUSE = 130
"""Milliseconds between two changes, so that they fall anywhere between two looks of the server."""

_BEST = "another process that reads the file, and a bare websocket"

_TELL = """([label, address]) => {
  const painted = then =>
    requestAnimationFrame(() => {
      const { port1, port2 } = new MessageChannel();
      port1.onmessage = () => then(Date.now());
      port2.postMessage(0);
    });
  const row = `[role="treeitem"][aria-label*="${label}"]`;
  window.told = new Promise(done => {
    const look = () => (document.querySelector(row) ? painted(done) : requestAnimationFrame(look));
    look();
  });
  window.toldAtBest = new Promise(done => {
    if (address !== null) new WebSocket(address).onmessage = () => painted(done);
  });
}"""


def rows(effort: Effort) -> Iterator[Row]:
    """The page of the sidebar with 100,000 runs, as for *panel*, its list sorted as it is at first.
    A metric is late by the time from before `run.log` to the frame whose row says it. A job that is
    submitted begins to run and, told so, ends: its states are late by the time from the one that
    their record has, to the frame whose row says so. The limit is the frame after a message that
    the same record is in its file, from a process that does nothing but read this file every
    millisecond, over a websocket that has nothing else; of a job that begins the file is not known
    before. The server looks every 330 ms, which makes 165 ms.
    """
    with open_panel(effort.of(_RUNS)) as panel, _teller() as address:
        panel.load()
        panel.open()
        telling = _Telling(panel.page, address)
        _log(telling, panel.place, effort)
        yield telling.row("a metric logged by a job, to its row")
        telling = _Telling(panel.page, address)
        _begin_and_end(telling, panel.place, effort)
        yield telling.row("a job that begins or ends, to its row")


class _Telling:
    """A page that is told of changes by the sidebar, and beside it without anything of ours."""

    def __init__(self, page: Page, address: str) -> None:
        self.page = page
        self._address = address
        self._late: list[float] = []
        self._late_at_best: list[float] = []

    def expect(self, label: str, file: Path | None = None, content: bytes = b"") -> None:
        """From now on, wait for a row of these words, and for the file to have this content."""
        query = urllib.parse.urlencode({"file": file, "content": content.hex()})
        self.page.evaluate(_TELL, [label, file and f"{self._address}?{query}"])

    def wait(self) -> None:
        """Return when the row says it."""
        self._painted("told")

    def happened(self, at: float, at_best: bool = True) -> None:
        """Note how late the page tells of what happened then."""
        self._late.append(self._painted("told") - 1000 * at)
        if at_best:
            self._late_at_best.append(self._painted("toldAtBest") - 1000 * at)
        self.page.wait_for_timeout(_PAUSE)

    def row(self, name: str) -> Row:
        """All that was noted."""
        value, limit = median_of(self._late), (_BEST, median_of(self._late_at_best))
        reach = f"≤ {_REACH} ms median"
        return Row(name, value, "ms", reach, *limit, value <= _REACH, self._late)

    def _painted(self, what: str) -> float:
        return float(self.page.evaluate(f"window.{what}"))


def _log(telling: _Telling, place: Experiment, effort: Effort) -> None:
    numbers = Numbers(place, ["loss"])
    run, page = numbers.run, telling.page
    run.log("loss", 0.25)
    words = f"#{run.number} {place.name}"
    page.locator(f'[role="treeitem"][aria-label*="{words}"]').wait_for()
    page.get_by_label("Sort by").select_option("metric.loss")
    page.get_by_label("Always show loss").click()
    page.get_by_label("Sort by").select_option("live")
    folder = run.folder / layout.METRICS
    (file,) = (each for each in folder.glob("*.bin") if each != numbers.file)
    for turn in range(max(10, effort.of(40))):
        value = turn + 0.5
        telling.expect(f"{words}, loss {value}", file, struct.pack("<d", value))
        page.wait_for_timeout(_PAUSE)
        began = time.time()
        run.log("loss", value)
        telling.happened(began)
    numbers.end()


def _begin_and_end(telling: _Telling, place: Experiment, effort: Effort) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(max(5, effort.of(20))):
            number = next(iter(place.get_runs())).number + 1
            telling.expect(f", Running, #{number} {place.name}")
            run = submit(place, "hold.py", end := Path(folder, f"end{turn}"))
            assert run.number == number
            telling.wait()
            telling.happened(_entered(run.folder, states.RUNNING), at_best=False)
            label = f", Completed, #{number} {place.name}"
            telling.expect(label, run.folder / layout.EVENTS, states.COMPLETED.encode())
            telling.page.wait_for_timeout(_PAUSE)
            end.touch()
            telling.wait()
            telling.happened(_entered(run.folder, states.COMPLETED))


def _entered(folder: Path, state: str) -> float:
    """When the run entered the state, as its file of events has it."""
    told, _ = events.read(str(folder))
    return float(next(event["t"] for event in told if event.get("state") == state))


@contextlib.contextmanager
def _teller() -> Iterator[str]:
    """The address of a process that says over a websocket when a file has some content."""
    command = [sys.executable, str(JOBS / "tell.py")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield f"ws://127.0.0.1:{int(process.stdout.readline())}/"
    finally:
        process.kill()
        process.wait()
