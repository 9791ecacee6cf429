"""The card of a run in a saved notebook, in a browser, without a kernel."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path

import jsonschema
import pytest
from playwright.sync_api import Locator, Page, expect

from tests.ui.lab import Lab, code_cell
from tests.ui.notebook_page import open_without_kernel

pytestmark = [pytest.mark.ui, pytest.mark.service("chromium")]

MIME = "application/vnd.aml.run+json"
WIRE = Path(__file__).parents[2] / "labextension" / "wire" / "run-card.schema.json"
RUN_ID = "mnist_1795233600_0a1b2c3d"


def series(name: str, y: list[float | None]) -> dict[str, object]:
    finite = [value for value in y if value is not None]
    last = finite[-1] if finite else None
    return {"name": name, "x": list(range(len(y))), "y": y, "last": last, "count": len(y) * 10}


def completed_run(**changes: object) -> dict[str, object]:
    loss: list[float | None] = [2.3 * math.exp(-i / 60) + 0.05 * math.sin(i) for i in range(300)]
    loss[120:140] = [None] * 20
    run: dict[str, object] = {
        "version": 1,
        "id": RUN_ID,
        "display_name": "lively_lemur",
        "experiment": "mnist",
        "status": "Completed",
        "target": "local",
        "started": 1795233600.0,
        "ended": 1795233800.5,
        "metrics": [
            series("loss", loss),
            series("accuracy", [1 - math.exp(-i / 40) for i in range(200)]),
            series("epochs", [10.0]),
        ],
        "log_tail": "".join(f"epoch {i}: loss {2.3 / (i + 1):.4f}\n" for i in range(600)),
        "error": None,
    }
    return {**run, **changes}


def failed_run() -> dict[str, object]:
    message = "ValueError: batch <b>size</b> must be positive\nUser program failed, exit code 1"
    return completed_run(
        status="Failed",
        display_name="<img src=x onerror=alert(1)>",
        metrics=[series("loss", [None, None])],
        error={"message": message},
    )


@pytest.fixture
def show(lab: Lab, page: Page) -> Callable[[str, Mapping[str, object]], Locator]:
    """Open a notebook that holds this output, with no kernel."""

    def opened(name: str, bundle: Mapping[str, object]) -> Locator:
        lab.write_notebook(f"{name}.ipynb", [code_cell("%%aml_run\ntrain()", [dict(bundle)])])
        open_without_kernel(page, lab, f"{name}.ipynb")
        return page.get_by_role("article")

    return opened


def bundle_of(run: dict[str, object]) -> dict[str, object]:
    jsonschema.validate(run, json.loads(WIRE.read_text("utf-8")))
    return {
        "text/plain": ["Run(Experiment: mnist)"],
        "text/html": ["<p>the static card</p>"],
        MIME: run,
    }


def shows_its_end(log: Locator) -> bool:
    bottom = "node => node.lastElementChild.getBoundingClientRect().bottom"
    edge = "node => node.getBoundingClientRect().bottom"
    return bool(log.evaluate(bottom) <= log.evaluate(edge))


def test_a_saved_run_is_drawn_without_a_kernel(show, page, screenshot) -> None:
    card = show("completed", bundle_of(completed_run()))
    expect(card).to_have_accessible_name("Run lively_lemur")
    expect(card.get_by_role("heading", name="lively_lemur")).to_be_visible()
    expect(card.get_by_role("status")).to_have_text("Completed")
    expect(card.get_by_text("3 min 21 s")).to_be_visible()
    expect(card.get_by_text(RUN_ID)).to_be_visible()
    expect(card.get_by_role("img", name="loss: 3000 points from")).to_be_visible()
    expect(card.get_by_role("img")).to_have_count(3)
    log = card.get_by_role("log")
    expect(log).to_contain_text("epoch 599")
    expect(log).not_to_contain_text("epoch 199:")
    assert shows_its_end(log)
    expect(page.get_by_text("the static card")).to_have_count(0)
    screenshot("run-card-completed")


def test_a_failed_run_shows_its_error_as_text_and_never_as_markup(show, page, screenshot) -> None:
    alerts: list[str] = []
    page.on("dialog", lambda dialog: (alerts.append(dialog.message), dialog.dismiss()))
    card = show("failed", bundle_of(failed_run()))
    expect(card.get_by_role("status")).to_have_text("Failed")
    error = card.get_by_role("group", name="Error")
    expect(error).to_contain_text("batch <b>size</b> must be positive")
    expect(card.get_by_role("heading")).to_have_text("<img src=x onerror=alert(1)>")
    expect(card.get_by_text("No finite values")).to_be_visible()
    assert alerts == []
    screenshot("run-card-failed")


def test_the_id_of_a_run_can_be_copied(show, page) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    card = show("copied", bundle_of(completed_run()))
    card.get_by_role("button", name="Copy run id").click()
    expect(card.get_by_text("Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == RUN_ID


def test_a_card_of_a_later_version_says_what_to_update(show, page) -> None:
    show("later", {MIME: {"version": 2}})
    expect(page.get_by_text("Update aml_jupyter to see it")).to_be_visible()


def test_a_run_follows_the_dark_theme(lab, show, page, screenshot) -> None:
    with lab.theme("JupyterLab Dark"):
        card = show("dark", bundle_of(completed_run(status="Running", ended=None)))
        expect(card.get_by_role("status")).to_have_text("Running")
        expect(page.locator("body[data-jp-theme-light=false]")).to_be_attached()
        screenshot("run-card-dark")
