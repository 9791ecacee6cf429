"""The sections below the runs: a batch from the notebook's button, who is where, what is kept."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from aml_jupyter import Model, Workspace
from aml_jupyter.environments import cache
from aml_jupyter.workspace.env_table import OLDEST_KEPT
from tests.test_environment_builds import wheel
from tests.ui.lab import Lab, code_cell

pytestmark = [pytest.mark.ui, pytest.mark.service("chromium"), pytest.mark.timeout(240)]

SOON = 60_000
WORK = """\
import os, time
while not os.path.exists({gate!r}):
    time.sleep(0.1)
assert alpha < 1, f"alpha is {{alpha}}"
"""
Shot = Callable[[str], None]


@pytest.fixture
def yard(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    """A project below the server's root."""
    monkeypatch.setenv("AML_HOME", str(lab.folder / "aml"))
    project = lab.root / "yard"
    project.mkdir()
    yield Workspace.from_config(project)
    shutil.rmtree(project)


def show_yard(page: Page) -> None:
    """Show the sidebar, and in it that project."""
    page.get_by_role("tab", name=re.compile("^Runs")).click()
    place = page.get_by_role("combobox", name="Workspace")
    if place.is_visible():
        place.select_option(label="yard (yard)")


def section(page: Page, name: str) -> Locator:
    """A section of the sidebar, opened; the one before it is closed."""
    found = page.get_by_role("region", name=name, exact=True)
    found.get_by_role("button", name=re.compile(f"^{name}")).click()
    return found


def close_section(found: Locator) -> None:
    found.get_by_role("heading").get_by_role("button").first.click()


def dialog(page: Page, title: str) -> Locator:
    """A window that asks something."""
    return page.get_by_role("dialog").filter(has_text=title)


def test_the_button_of_a_notebook_runs_it_as_a_batch_and_the_sections_follow(
    lab: Lab, page: Page, yard: Workspace, screenshot: Shot
) -> None:
    gate = lab.root / "yard" / "gate"
    parameters = {**code_cell("alpha = 0.5"), "metadata": {"tags": ["parameters"]}}
    cells = [parameters, code_cell(WORK.format(gate=str(gate)))]
    lab.write_notebook("yard/sweep.ipynb", cells, kernel=True)
    page.goto(f"{lab.url}/lab/workspaces/yard/tree/yard/sweep.ipynb?reset")
    page.get_by_role("button", name=re.compile("Run this notebook as a batch")).first.click()
    form = page.get_by_role("dialog", name="Run sweep.ipynb as a batch")
    form.get_by_role("textbox", name="alpha").fill("0.1,2.0")
    form.get_by_role("button", name="Preview").click()
    plan = form.get_by_role("region", name="What would be done")
    expect(plan).to_contain_text("2 notebooks")
    screenshot("sections-1-batch-form")
    form.get_by_role("button", name="Submit").click()
    expect(form).to_have_count(0)

    show_yard(page)
    batches = section(page, "Batches")
    batch = batches.get_by_role("listitem").filter(has_text="sweep.ipynb")
    expect(batch).to_contain_text("0 of 2", timeout=SOON)
    targets = section(page, "Targets")
    local = targets.get_by_role("listitem").filter(has_text=re.compile("^local"))
    expect(local).to_contain_text(re.compile("[12] running|[12] of"), timeout=SOON)
    expect(targets.get_by_role("button", name=re.compile("^sweep_")).first).to_be_visible()
    screenshot("sections-2-batch")
    gate.touch()
    expect(batch).to_contain_text("2 of 2", timeout=SOON)
    expect(batch).to_contain_text("1 failed")
    expect(targets.get_by_text("Nothing runs or waits.")).to_be_visible(timeout=SOON)
    screenshot("sections-3-over")
    batch.get_by_role("button").first.click()
    shown = page.get_by_role("main").get_by_role("tabpanel", name=re.compile("sweep"))
    expect(shown.get_by_role("status").filter(has_text="Failed").first).to_be_visible(timeout=SOON)
    screenshot("sections-4-page")


def built(folder: Path, project: Path) -> None:
    """An environment that is registered and built, and was not used for long."""
    wheel(folder / "wheels", "mini", "1.0")
    file = folder / "env.yml"
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    lines = ["--no-index", f"--find-links {folder / 'wheels'}", "mini"]
    pip = "".join(f"  - {line}\n" for line in lines)
    file.write_text(f"dependencies:\n- python={python}\n- pip:\n{pip}")
    aml = Path(sys.executable).with_name("aml")
    for words in (["create", "mini", "--conda", str(file)], ["build", "mini"]):
        subprocess.run([aml, "env", *words], cwd=project, check=True, capture_output=True)
    (made,) = [each for each in cache.all_built() if each.name == "mini"]
    used = made.made - OLDEST_KEPT - 3600
    (made.folder / "used").touch()
    os.utime(made.folder / "used", (used, used))


def test_environments_and_models_are_looked_at_and_removed_after_asking(
    lab: Lab, page: Page, yard: Workspace, tmp_path: Path, screenshot: Shot
) -> None:
    built(tmp_path, lab.root / "yard")
    (tmp_path / "weights.bin").write_bytes(bytes(5000))
    Model.register(yard, str(tmp_path / "weights.bin"), "net", tags={"best": "yes"})
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto(f"{lab.url}/lab/workspaces/kept?reset")
    page.get_by_role("tab", name="Launcher").wait_for()
    show_yard(page)

    environments = section(page, "Environments")
    mini = environments.get_by_role("listitem").filter(has_text="mini:1")
    expect(mini).to_contain_text("ready")
    mini.get_by_text(re.compile("^Build log: venv · ready")).click()
    expect(mini.get_by_label("Build log", exact=True)).to_contain_text("mini==1.0")
    screenshot("sections-5-environments")
    room = environments.get_by_role("button", name="Make room…")
    room.click()
    sure = dialog(page, "Remove 1 build and free")
    expect(sure).to_contain_text(re.compile(r"mini \(venv, "))
    screenshot("sections-6-prune")
    sure.get_by_role("button", name="Cancel").click()
    expect(mini).to_contain_text("ready")
    room.click()
    sure.get_by_role("button", name="Remove").click()
    expect(environments.get_by_text(re.compile(" freed.$"))).to_be_visible()
    expect(environments.get_by_text("Nothing is built yet.")).to_be_visible()
    assert [each for each in cache.all_built() if each.name == "mini"] == []
    room.click()
    nothing = dialog(page, "There is nothing to remove")
    nothing.get_by_role("button", name="Close").click()
    close_section(environments)

    models = section(page, "Models")
    expect(models.get_by_role("listitem").filter(has_text="net:1")).to_contain_text("best=yes")
    models.get_by_role("button", name="Copy code net:1").click()
    expect(models.get_by_text("Copied what loads net:1 in a notebook.")).to_be_visible()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == 'Model(ws, "net", version=1)'
    screenshot("sections-7-models")
    delete = models.get_by_role("button", name="Delete… net:1")
    delete.click()
    asked = dialog(page, "Delete net:1?")
    screenshot("sections-8-delete-model")
    asked.get_by_role("button", name="Cancel").click()
    assert [model.version for model in Model.list(yard, "net")] == [1]
    delete.click()
    asked.get_by_role("button", name="Delete").click()
    expect(models.get_by_text("No model is registered yet")).to_be_visible()
    assert Model.list(yard, "net") == []
