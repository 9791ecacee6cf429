"""How soon hundreds of runs stand against each other on a page of JupyterLab."""

from __future__ import annotations

import copy
import json
import os
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
from playwright.sync_api import Page, expect

from aml_jupyter import Experiment, Workspace
from aml_jupyter.job import layout, metrics, states
from aml_jupyter.server.comparing import compared
from aml_jupyter.server.places import Places
from aml_jupyter.store import Query, WorkspaceFolder
from benchmarks.browser import chromium
from benchmarks.points import RECORD
from benchmarks.report import Row, median_of, timed
from benchmarks.setting import Effort, experiment, submit
from tests.ui.lab import Lab, running_lab

_METRICS, _POINTS = 50, 100
_ALL_POINTS = 4_000_000

# From the click on the dialog's button to the frame that has every run in the table.
_PAINTED = """count => {
  window.whenPainted = new Promise(done => {
    document.addEventListener('click', ({ timeStamp }) => {
      const look = () => {
        const rows = document.querySelectorAll('.aml-Compare-table tbody tr').length;
        const there = rows >= count;
        requestAnimationFrame(() => {
          const { port1, port2 } = new MessageChannel();
          port1.onmessage = () => (there ? done(performance.now() - timeStamp) : look());
          port2.postMessage(0);
        });
      };
      look();
    }, { capture: true, once: true });
  });
}"""


def rows(effort: Effort) -> Iterator[Row]:
    """Runs that have ended, each with 50 metrics of 100 points, copied as folders from one that was
    made, with other arguments. All are chosen in the dialog of the command; from the click on
    *Compare* until the frame that has the whole table, which fills the screen, each time in a page
    loaded anew; charts lie below it. The limit is the server's answer alone, in this process; that
    of the answers is to read the same rows from the index.
    """
    count = max(20, effort.of(200))
    with (
        experiment() as place,
        running_lab(place.workspace.folder.project.parent / "lab") as lab,
    ):
        WorkspaceFolder.create(lab.root)
        to = Experiment(Workspace.from_config(lab.root), "compared")
        ids = _make(to, count)
        least = timed(partial(to.workspace.find_runs, Query(ids=tuple(ids))), effort.repeat)
        known = Places(lab.root).look()[0]
        first = timed(lambda: compared(known, ids, 0), effort.repeat)
        ranges = timed(lambda: compared(known, ids, _ALL_POINTS), effort.repeat)
        painted = list(_pages(lab, count, max(3, effort.repeat)))
    name = f"{count} runs with {_METRICS} metrics compared"
    yield _row(f"{name}: page painted", painted, "≤ 2 s", "the answer", first)
    yield _row(f"{name}: answer", first, "≤ 0.5 s", "rows of the index", least)
    yield _row(f"{name}: with the least and greatest", ranges, "≤ 2 s", "rows of the index", least)


def _row(name: str, samples: list[float], reach: str, limit: str, limits: list[float]) -> Row:
    value = median_of(samples)
    ok = value <= float(reach.split()[1])
    return Row(name, value, "s", reach, limit, median_of(limits), ok, samples)


def _make(to: Experiment, count: int) -> list[str]:
    """The ids of new runs."""
    run = submit(to, "train.py")
    run.wait_for_completion()
    like = layout.read_json(str(run.folder / layout.REQUEST))
    names = ["loss", "accuracy", *(f"layer{number}/norm" for number in range(_METRICS - 2))]
    random = np.random.default_rng(0)
    return [_copy(to, like, number, names, random) for number in range(count)]


def _copy(
    to: Experiment,
    like: dict[str, Any],
    number: int,
    names: list[str],
    random: np.random.Generator,
) -> str:
    request = copy.deepcopy(like)
    created = time.time() - 60 * number
    request |= {"id": f"copy_{number:04}", "number": number + 2, "created": created}
    rates = [0.3, 0.1, 0.03, 0.01]
    request["job"]["arguments"] = [
        "--lr",
        str(rates[number % 4]),
        "--seed",
        str(number),
        "--width",
        "64",
    ]
    folder = to.workspace.folder.new_run(request)
    times = [(created + 1, states.RUNNING), (created + 40 + number, states.COMPLETED)]
    told = [{"t": when, "e": "state", "state": state} for when, state in times]
    (folder / layout.EVENTS).write_text("".join(f"{json.dumps(each)}\n" for each in told))
    records = np.empty((_POINTS, len(names)), RECORD)
    records["step"] = np.arange(_POINTS)[:, None]
    records["time"] = created + records["step"]
    records["metric"] = np.arange(1, len(names) + 1)
    records["kind"] = metrics.FLOAT
    records["value"] = random.standard_normal(records.shape)
    (folder / layout.METRICS).mkdir(exist_ok=True)
    stem = folder / layout.METRICS / "bench"
    stem.with_suffix(".names").write_text("".join(f"{json.dumps(name)}\n" for name in names))
    stem.with_suffix(".bin").write_bytes(metrics.HEADER + records.tobytes())
    to.workspace.folder.note(str(request["id"]))
    return str(request["id"])


def _pages(lab: Lab, count: int, repeat: int) -> Iterator[float]:
    with chromium() as browser:
        page = browser.new_page(viewport={"width": 1280, "height": 900}, locale="en-GB")
        page.set_default_timeout(60_000)
        for _ in range(repeat):
            yield _painted(page, lab, count)


def _painted(page: Page, lab: Lab, count: int) -> float:
    """Seconds until a page of all runs stands there."""
    page.goto(f"{lab.url}/lab/workspaces/bench-{os.urandom(3).hex()}?reset")
    page.locator(".jp-Launcher-sectionTitle").first.wait_for()
    page.keyboard.press("Control+Shift+c")
    page.locator(".lm-CommandPalette-input, jp-search input").last.fill("compare runs")
    page.locator(".lm-CommandPalette-item", has_text="Compare Runs…").first.click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("searchbox").fill("id:copy_")
    dialog.get_by_role("button", name=f"Choose all {count}").click()
    expect(dialog.get_by_text(f"{count} chosen.")).to_be_visible(timeout=60_000)
    page.evaluate(_PAINTED, count)
    dialog.get_by_role("button", name="Compare").click()
    return float(page.evaluate("window.whenPainted")) / 1000
