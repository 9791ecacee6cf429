"""The sections below the runs: a batch from the notebook's button, who is where, what is kept."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from aml_jupyter import AmlCompute, ComputeTarget, Environment, Model, Workspace
from aml_jupyter.environments import cache
from aml_jupyter.store import WorkspaceFolder
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


def project(lab: Lab, name: str) -> Workspace:
    """A workspace below the server's root, which has one as well: so there is one to choose."""
    Workspace.from_config(lab.root)
    (lab.root / name).mkdir()
    # Asked for by its path, that of the root would be found.
    WorkspaceFolder.create(lab.root / name)
    return Workspace.from_config(lab.root / name)


@pytest.fixture(autouse=True)
def as_in_lab(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Be the user whose JupyterLab it is."""
    monkeypatch.setenv("AML_HOME", str(lab.folder / "aml"))


def show(page: Page, shown: Workspace) -> None:
    """Show the sidebar, and in it that workspace."""
    page.get_by_role("tab", name=re.compile("^Runs")).click()
    place = page.get_by_role("combobox", name="Workspace")
    place.select_option(label=f"{shown.name} ({shown.folder.project.name})")


def section(page: Page, name: str) -> Locator:
    """A section of the sidebar."""
    return page.get_by_role("region", name=name, exact=True)


def toggled(found: Locator) -> Locator:
    """The section, opened or closed by its heading."""
    found.get_by_role("heading", level=3).get_by_role("button").click()
    return found


def entry(found: Locator, words: str) -> Locator:
    """The entry of a section that has these words."""
    return found.get_by_role("listitem").filter(has_text=re.compile(words))


def dialog(page: Page, title: str | re.Pattern[str]) -> Locator:
    """A window that asks something."""
    return page.get_by_role("dialog").filter(has_text=title)


def test_a_notebook_becomes_a_batch_by_its_button_and_the_sections_tell_how_far_it_is(
    lab: Lab, page: Page, screenshot: Shot
) -> None:
    yard = project(lab, "yard")
    config = AmlCompute.provisioning_configuration(vm_size="STANDARD_D2_V2", max_nodes=1)
    pool = ComputeTarget.create(yard, "pool", config)
    gate = lab.root / "yard" / "gate"
    parameters = {**code_cell("alpha = 0.5"), "metadata": {"tags": ["parameters"]}}
    cells = [parameters, code_cell(WORK.format(gate=str(gate)))]
    lab.write_notebook("yard/sweep.ipynb", cells, kernel=True)
    page.goto(f"{lab.url}/lab/workspaces/yard/tree/yard/sweep.ipynb?reset")
    page.get_by_role("button", name=re.compile("Run this notebook as a batch")).first.click()
    form = page.get_by_role("dialog", name="Run sweep.ipynb as a batch")
    form.get_by_role("textbox", name="alpha").fill("0.1,2.0")
    form.get_by_role("combobox", name="Target").fill("pool")
    form.get_by_role("button", name="Preview").click()
    plan = form.get_by_role("region", name="What would be done")
    expect(plan).to_contain_text("2 notebooks")
    screenshot("sections-1-form")
    form.get_by_role("button", name="Submit").click()
    expect(form).to_have_count(0)

    # The one has the slot of the pool, the other is in the queue: until there are more slots.
    show(page, yard)
    batch = entry(toggled(section(page, "Batches")), "sweep.ipynb")
    expect(batch).to_contain_text("0 of 2", timeout=SOON)
    targets = toggled(section(page, "Targets"))
    slots = entry(targets, "^pool")
    expect(slots).to_contain_text("1 of 1 slots · 1 waiting", timeout=SOON)
    expect(entry(targets, "^sweep_").filter(has_text="no. 1 · pool")).to_have_count(1)
    assert slots.evaluate("item => item.scrollWidth <= item.clientWidth")
    screenshot("sections-2-queue")
    pool.update(max_nodes=2)
    expect(slots).to_contain_text("2 of 2 slots", timeout=SOON)

    gate.touch()
    expect(batch).to_contain_text("2 of 2", timeout=SOON)
    expect(batch).to_contain_text("1 failed")
    expect(slots).to_contain_text("0 of 2 slots", timeout=SOON)
    screenshot("sections-3-over")
    batch.get_by_role("button").click()
    shown = page.get_by_role("main").get_by_role("tabpanel", name="sweep × 2", exact=True)
    expect(shown.get_by_role("status").filter(has_text="Failed").first).to_be_visible(timeout=SOON)
    screenshot("sections-4-page")


def built(folder: Path, at: Workspace) -> None:
    """An environment that is registered and built, and was not used for long."""
    wheel(folder / "wheels", "mini", "1.0")
    file = folder / "requirements.txt"
    file.write_text(f"--no-index\n--find-links {folder / 'wheels'}\nmini\n")
    mini = Environment.from_pip_requirements("mini", str(file)).register(at)
    mini.build_local(at, useDocker=False)
    (made,) = [each for each in cache.all_built() if each.name == "mini"]
    long_ago = made.made - OLDEST_KEPT - 3600
    (made.folder / "used").touch()
    os.utime(made.folder / "used", (long_ago, long_ago))


def test_what_is_built_and_registered_is_looked_at_and_removed_after_asking(
    lab: Lab, page: Page, tmp_path: Path, screenshot: Shot
) -> None:
    attic = project(lab, "attic")
    built(tmp_path, attic)
    (tmp_path / "weights.bin").write_bytes(bytes(5000))
    Model.register(attic, str(tmp_path / "weights.bin"), "net", tags={"best": "yes"})
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto(f"{lab.url}/lab/workspaces/attic?reset")
    show(page, attic)

    environments = toggled(section(page, "Environments"))
    mini = entry(environments, "^mini:1")
    expect(mini).to_contain_text("ready")
    mini.get_by_text(re.compile("^Build log: venv · ready")).click()
    expect(mini.get_by_label("Build log", exact=True)).to_contain_text("mini==1.0")
    screenshot("sections-5-environments")
    room = environments.get_by_role("button", name="Make room…")
    room.click()
    sure = dialog(page, re.compile("Remove 1 build and free"))
    expect(sure).to_contain_text("mini (venv, ")
    screenshot("sections-6-prune")
    sure.get_by_role("button", name="Cancel").click()
    assert "mini" in [each.name for each in cache.all_built()]
    room.click()
    sure.get_by_role("button", name="Remove").click()
    expect(environments.get_by_role("status")).to_have_text(re.compile(" freed.$"))
    expect(mini).to_have_count(0)
    assert "mini" not in [each.name for each in cache.all_built()]
    room.click()
    dialog(page, "There is nothing to remove").get_by_role("button", name="Close").click()
    toggled(environments)

    models = toggled(section(page, "Models"))
    expect(entry(models, "^net:1")).to_contain_text("best=yes")
    models.get_by_role("button", name="Copy code net:1").click()
    said = models.get_by_role("status")
    expect(said).to_have_text("Copied what loads net:1 in a notebook.")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == 'Model(ws, "net", version=1)'
    screenshot("sections-7-models")
    delete = models.get_by_role("button", name="Delete… net:1")
    delete.click()
    asked = dialog(page, "Delete net:1?")
    screenshot("sections-8-delete-model")
    asked.get_by_role("button", name="Cancel").click()
    assert [model.version for model in Model.list(attic, "net")] == [1]
    delete.click()
    asked.get_by_role("button", name="Delete").click()
    expect(models.get_by_text("No model is registered yet")).to_be_visible()
    assert Model.list(attic, "net") == []
