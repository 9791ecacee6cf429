"""The sidebar of runs in JupyterLab: how soon it shows, how smoothly, how soon it tells."""

from __future__ import annotations

import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, Page, expect

from aml_jupyter import Experiment
from aml_jupyter.store import Index
from benchmarks.bench_index import fill
from benchmarks.browser import MEASURING, SIZE, chromium
from benchmarks.report import Row, median_of, timed
from benchmarks.setting import Effort, experiment
from tests.ui.lab import Lab, running_lab

_REACH = {10: 300, 10_000: 500, 100_000: 800}
"""Milliseconds to the first paint, by the number of runs."""

_LOOKING = 5.0
"""Seconds for which a hidden panel is listened to."""

_ROW = ".aml-Item.aml-mod-run"
_TAB = '.lm-TabBar-tab[data-id="aml-jupyter-runs"]'

_SCROLL = """async ([speed, seconds]) => {
  const list = document.querySelector('.aml-List');
  const step = () => { if (list && speed) list.scrollTop += speed; };
  const frames = await new Promise(done => {
    let [count, first] = [0, 0];
    const frame = now => {
      first ||= now;
      step();
      if (now - first > 1000 * seconds) done([count, now - first]);
      else { count++; requestAnimationFrame(frame); }
    };
    requestAnimationFrame(frame);
  });
  return 1000 * frames[0] / frames[1];
}"""

_REPAINTED = """([line, first]) => new Promise(done => {
  const input = document.querySelector('.aml-Filter-input');
  const seen = () => document.querySelector('[aria-posinset="1"].aml-mod-run')?.ariaLabel ?? '';
  const before = document.querySelector('.aml-Section-note').textContent;
  const began = performance.now();
  const look = () => {
    const now = document.querySelector('.aml-Section-note').textContent;
    if (now !== before && seen().startsWith(first)) {
      const { port1, port2 } = new MessageChannel();
      port1.onmessage = () => done(performance.now() - began);
      port2.postMessage(0);
    } else requestAnimationFrame(look);
  };
  input.value = line;
  input.dispatchEvent(new Event('input', { bubbles: true }));
  requestAnimationFrame(look);
})"""

_FILTERS = {
    "by text": "run 4242",
    "by a metric": "metric.accuracy>0.75",
    "by a tag": "tag:model=vit",
}


def rows(effort: Effort) -> Iterator[Row]:
    """JupyterLab and a headless Chromium, a workspace for each number of runs, put into the index
    as for the figures of lists. *First paint* is from the click on the tab until the frame that
    has rows of runs, each time in a page loaded anew; the limit is the answer with the first rows
    alone. Frames are counted by the page while it scrolls by 40 pixels a frame, so that every row
    is seen; the limit is the same page that is not scrolled. A filter is timed from the input's
    event to the frame with other rows; the limit is the answer alone. A hidden panel is listened to
    for all that the page asks.
    """
    for count, reach in _REACH.items():
        with open_panel(effort.of(count)) as panel:
            yield from _painting(panel, reach, effort)
            if count == max(_REACH):
                yield from _filtering(panel, effort)
                yield _hidden(panel)


class Panel:
    """A page with the sidebar, in a workspace of so many runs."""

    def __init__(self, lab: Lab, browser: Browser, place: Experiment, count: int) -> None:
        self.lab, self.place, self.count = lab, place, count
        context = browser.new_context(viewport=SIZE, locale="en-GB")
        context.add_init_script(MEASURING)
        context.set_default_timeout(60_000)
        self.page: Page = context.new_page()

    def load(self) -> None:
        """A page loaded anew, whose sidebar has not been open yet."""
        self.page.goto(f"{self.lab.url}/lab/workspaces/bench?reset")
        expect(self.page.locator(".jp-Launcher-sectionTitle").first).to_be_visible(timeout=60_000)
        self.page.locator(_TAB).wait_for()
        self.page.wait_for_timeout(1500)

    def open(self) -> float:
        """Milliseconds until rows are painted, once the tab is clicked."""
        return float(
            self.page.evaluate(
                """([tab, row]) => {
                  bench.seek(row);
                  const node = document.querySelector(tab);
                  const at = node.getBoundingClientRect();
                  const options = { bubbles: true, clientX: at.x + 4, clientY: at.y + 4 };
                  node.dispatchEvent(new PointerEvent('pointerdown', { ...options, button: 0 }));
                  document.dispatchEvent(new PointerEvent('pointerup', { ...options, button: 0 }));
                  return bench.found.then(found => found - bench.sought);
                }""",
                [_TAB, _ROW],
            )
        )

    def answer(self, **query: str) -> float:
        """Milliseconds of the answer with the first rows alone, once it was asked for."""
        hello = urllib.request.urlopen(f"{self.lab.url}/aml/api/hello").read().decode()
        key = hello.split('"key": "')[1].split('"')[0]
        asked = urllib.parse.urlencode({"place": key, "limit": 100, "offset": 0, **query})
        url = f"{self.lab.url}/aml/api/runs?{asked}"
        return 1000 * median_of(timed(lambda: urllib.request.urlopen(url).read(), 5))


@contextmanager
def open_panel(count: int) -> Iterator[Panel]:
    """A page that can show the sidebar, in a workspace of so many runs."""
    with experiment() as place:
        folder = place.workspace.folder
        fill(Index(folder), folder, count)
        # The folder that the server shows lies in the project, so that its workspace is found.
        with running_lab(folder.project / "lab") as lab, chromium() as browser:
            yield Panel(lab, browser, place, count)


def _painting(panel: Panel, reach: int, effort: Effort) -> Iterator[Row]:
    painted = []
    for _ in range(effort.repeat):
        panel.load()
        painted.append(panel.open())
    panel.page.wait_for_timeout(1000)
    value, limit = median_of(painted), ("the answer alone", panel.answer(sort="live"))
    name = f"panel with {panel.count:,} runs: first paint"
    yield Row(name, value, "ms", f"≤ {reach} ms", *limit, value <= reach, painted)
    still = float(panel.page.evaluate(_SCROLL, [0, 1]))
    samples = max(3, effort.repeat)
    frames = [float(panel.page.evaluate(_SCROLL, [40, 1])) for _ in range(samples)]
    value, limit = median_of(frames), ("not scrolled", still)
    name = f"panel with {panel.count:,} runs: scrolling"
    yield Row(name, value, "frames/s", "≥ 50 frames/s", *limit, value >= 50, frames)


def _filtering(panel: Panel, effort: Effort) -> Iterator[Row]:
    for what, line in _FILTERS.items():
        found = []
        for _ in range(effort.repeat):
            found.append(float(panel.page.evaluate(_REPAINTED, [line, "run"])))
            panel.page.wait_for_timeout(300)
            panel.page.evaluate(_REPAINTED, ["", "run"])
            panel.page.wait_for_timeout(300)
        value, limit = median_of(found), ("the answer alone", panel.answer(filter=line))
        name = f"panel with {panel.count:,} runs: filter {what}, to the repainted list"
        yield Row(name, value, "ms", "≤ 100 ms", *limit, value <= 100, found)


def _hidden(panel: Panel) -> Row:
    page, asked = panel.page, []
    page.locator(_TAB).click()
    page.wait_for_timeout(1000)
    page.on("request", lambda request: asked.append(request.url))
    page.wait_for_timeout(1000 * _LOOKING)
    ours = [float("/aml/" in url) for url in asked]
    value = sum(ours)
    name = f"a hidden panel: requests in {_LOOKING:.0f} s"
    limit = ("all of JupyterLab", float(len(asked)))
    return Row(name, value, "requests", "none", *limit, value == 0, [value])
