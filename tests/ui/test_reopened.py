"""Which form of a run a notebook shows: its widget where a kernel has it, else its card."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.ui.lab import Lab, code_cell
from tests.ui.notebook_page import (
    cell_with,
    connect_to_kernel_of,
    open_notebook,
    open_without_kernel,
    restart_kernel,
    run_cell,
    save_notebook,
    settled,
    shut_down_kernel,
    wait_until_idle,
)

pytestmark = [pytest.mark.ui, pytest.mark.service("chromium")]

RUN_ID = "mnist_1795233600_0a1b2c3d"
CARD = {
    "version": 1,
    "id": RUN_ID,
    "display_name": "lively_lemur",
    "experiment": "mnist",
    "status": "Running",
    "target": "local",
    "started": 1795233600.0,
    "ended": None,
    "metrics": [],
    "log_tail": "epoch 1\n",
    "error": None,
}
SHOW = f"""
import json
from ipywidgets import HTML
from IPython.display import display

live = HTML("the live view")
card = json.loads({json.dumps(json.dumps(CARD))})

def bundle(widget, **changes):
    view = {{"version_major": 2, "version_minor": 0, "model_id": widget.model_id}}
    return {{
        "application/vnd.jupyter.widget-view+json": view,
        "application/vnd.aml.run+json": {{**card, **changes}},
        "text/html": "<p>the static form</p>",
        "text/plain": "Run",
    }}

shown = display(bundle(live), raw=True, display_id=True)
"""
UPDATE = 'shown.update(bundle(live, display_name="later"), raw=True)'
OTHER = 'shown.update(bundle(HTML("another view")), raw=True)'
CLOSE = "live.close()"
BLOCK = """
import pathlib, time
display(bundle(HTML("while busy")), raw=True)
while not pathlib.Path("go").exists():
    time.sleep(0.05)
"""
DIE = "__import__('os')._exit(1)"
CELLS = [code_cell(source) for source in (SHOW, UPDATE, OTHER, CLOSE, BLOCK, DIE)]
DEAD = re.compile("model not found|Error displaying widget|Loading widget")


@pytest.fixture(autouse=True)
def _no_kernel_is_left(request: pytest.FixtureRequest) -> Iterator[None]:
    app = request.getfixturevalue("either" if "either" in request.fixturenames else "lab")
    yield
    app.stop_kernels()


def show_live(lab: Lab, page: Page, name: str) -> Locator:
    """Open a notebook and display a run in it; the output that shows the live view."""
    lab.write_notebook(name, CELLS, kernel=True)
    open_notebook(page, lab, name)
    output = settled(run_cell(page, "def bundle")).locator(".jp-OutputArea").first
    expect(output).to_contain_text("the live view")
    return output


def saved(lab: Lab, page: Page, name: str) -> None:
    """Leave a notebook that holds a run shown live, with its kernel gone."""
    show_live(lab, page, name)
    save_notebook(page)
    page.goto("about:blank")
    lab.stop_kernels()


def expect_card(page: Page) -> Locator:
    """Expect the card alone, and no trace of the widget."""
    card = page.get_by_role("article", name="Run lively_lemur")
    expect(card).to_be_visible()
    # ipywidgets looks for a model for two seconds before it says that there is none.
    page.wait_for_timeout(2500)
    expect(card).to_be_visible()
    expect(page.get_by_text(DEAD)).to_have_count(0)
    return card


def test_with_a_kernel_the_widget_is_shown_and_not_the_card(either: Lab, page: Page) -> None:
    output = show_live(either, page, "live.ipynb")
    expect(output.get_by_role("article")).to_have_count(0)
    expect(output.locator(".aml-Live-host")).to_have_count(1)


def test_a_new_static_form_leaves_the_widget_as_it_is(lab: Lab, page: Page) -> None:
    output = show_live(lab, page, "updated.ipynb")
    output.locator(".widget-html-content").evaluate("node => { node.dataset.mark = 'same' }")
    settled(run_cell(page, "later"))
    save_notebook(page)
    assert '"display_name": "later"' in (lab.root / "updated.ipynb").read_text("utf-8")
    expect(output.locator("[data-mark=same]")).to_have_text("the live view")
    settled(run_cell(page, "another view"))
    expect(output).to_contain_text("another view")
    expect(output.locator("[data-mark=same]")).to_have_count(0)


def test_a_trusted_notebook_without_a_kernel_shows_the_card(either: Lab, page: Page) -> None:
    saved(either, page, "kernelless.ipynb")
    notebook = json.loads((either.root / "kernelless.ipynb").read_text("utf-8"))
    either.write_notebook("kernelless.ipynb", notebook["cells"])
    either.trust("kernelless.ipynb")
    open_without_kernel(page, either, "kernelless.ipynb")
    expect_card(page)


def test_a_notebook_with_a_new_kernel_shows_the_card(lab: Lab, page: Page) -> None:
    saved(lab, page, "new-kernel.ipynb")
    open_notebook(page, lab, "new-kernel.ipynb")
    expect_card(page)


def test_the_card_gives_way_when_the_kernel_of_its_widget_comes(lab: Lab, page: Page) -> None:
    show_live(lab, page, "first.ipynb")
    save_notebook(page)
    shutil.copy(lab.root / "first.ipynb", lab.root / "second.ipynb")
    page.goto("about:blank")
    open_notebook(page, lab, "second.ipynb")
    card = expect_card(page)
    connect_to_kernel_of(page, "first.ipynb")
    expect(page.locator(".widget-html-content")).to_have_text("the live view")
    expect(card).to_have_count(0)


def test_a_restarted_kernel_leaves_the_last_state_and_says_what_to_do(
    either: Lab, page: Page
) -> None:
    output = show_live(either, page, "restarted.ipynb")
    restart_kernel(page)
    strip = output.get_by_role("status")
    expect(strip).to_contain_text("The kernel was restarted; the run goes on.")
    expect(strip).to_contain_text(f"%aml_attach {RUN_ID} shows it live again.")
    expect(output).to_contain_text("the live view")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    strip.get_by_role("button", name="Copy the command").click()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == f"%load_ext aml_jupyter\n%aml_attach {RUN_ID}"
    save_notebook(page)
    page.reload()
    wait_until_idle(page)
    expect_card(page)


def test_after_a_reload_the_same_widget_goes_on(either: Lab, page: Page) -> None:
    show_live(either, page, "reloaded.ipynb")
    save_notebook(page)
    page.reload()
    output = cell_with(page, "def bundle").locator(".jp-OutputArea").first
    expect(output.locator(".widget-html-content")).to_have_text("the live view")
    expect(output.get_by_role("article")).to_have_count(0)
    expect(output.get_by_role("status")).to_have_count(0)


def test_a_kernel_that_is_shut_down_leaves_the_last_state(lab: Lab, page: Page) -> None:
    output = show_live(lab, page, "shut-down.ipynb")
    shut_down_kernel(page)
    expect(output.get_by_role("status")).to_contain_text("The kernel has ended; the run goes on.")
    expect(output).to_contain_text("the live view")


def test_a_kernel_that_died_leaves_the_last_state(lab: Lab, page: Page) -> None:
    output = show_live(lab, page, "died.ipynb")
    run_cell(page, "_exit")
    expect(output.get_by_role("status")).to_contain_text("The kernel was restarted", timeout=30_000)
    expect(output).to_contain_text("the live view")


def test_a_kernel_restarted_from_another_window_is_noticed(lab: Lab, page: Page) -> None:
    output = show_live(lab, page, "elsewhere.ipynb")
    other = page.context.new_page()
    open_notebook(other, lab, "elsewhere.ipynb")
    restart_kernel(other)
    expect(output.get_by_role("status")).to_contain_text("The kernel was restarted")


def test_a_busy_kernel_shows_the_widget_at_once(lab: Lab, page: Page) -> None:
    show_live(lab, page, "busy.ipynb")
    busy = run_cell(page, "while busy").locator(".jp-OutputArea").first
    expect(busy.locator(".widget-html-content")).to_have_text("while busy")
    expect(busy.get_by_role("article")).to_have_count(0)
    (lab.root / "go").touch()
    settled(cell_with(page, "while busy"))


def test_a_widget_that_the_kernel_closes_gives_way_to_the_card(lab: Lab, page: Page) -> None:
    output = show_live(lab, page, "closed.ipynb")
    settled(run_cell(page, "live.close()"))
    expect(output.get_by_role("article", name="Run lively_lemur")).to_be_visible()
    expect(output).not_to_contain_text("the live view")


def test_a_strangers_notebook_shows_the_card_even_beside_the_kernel(lab: Lab, page: Page) -> None:
    show_live(lab, page, "own.ipynb")
    save_notebook(page)
    text = (lab.root / "own.ipynb").read_text("utf-8")
    # Changed by somebody else: the signature no longer fits.
    (lab.root / "own.ipynb").write_text(text.replace("lively_lemur", "stranger"), "utf-8")
    page.reload()
    wait_until_idle(page)
    expect(page.get_by_role("article", name="Run stranger")).to_be_visible()
    expect(page.get_by_text(DEAD)).to_have_count(0)


def test_widget_states_saved_in_a_notebook_are_not_taken_for_live(lab: Lab, page: Page) -> None:
    saved(lab, page, "states.ipynb")
    notebook = json.loads((lab.root / "states.ipynb").read_text("utf-8"))
    data = notebook["cells"][0]["outputs"][0]["data"]
    model = data["application/vnd.jupyter.widget-view+json"]["model_id"]
    state = {
        "model_name": "HTMLModel",
        "model_module": "@jupyter-widgets/controls",
        "model_module_version": "2.0.0",
        "state": {"value": "a dead view"},
    }
    states = {"version_major": 2, "version_minor": 0, "state": {model: state}}
    widgets = {"widgets": {"application/vnd.jupyter.widget-state+json": states}}
    lab.write_notebook("states.ipynb", notebook["cells"], kernel=True, metadata=widgets)
    lab.trust("states.ipynb")
    open_notebook(page, lab, "states.ipynb")
    expect_card(page)
    expect(page.get_by_text("a dead view")).to_have_count(0)
