"""Environments, targets and the queue as a reader of a notebook meets them, with real builds."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.support import is_running, until
from tests.test_environment_builds import Slow, wheel
from tests.ui.lab import Lab, code_cell, running_lab
from tests.ui.notebook_page import open_notebook, run, settled

pytestmark = [pytest.mark.ui, pytest.mark.service("chromium"), pytest.mark.timeout(180)]

LOAD = "%load_ext aml_jupyter"
BUILD_LOG = "azureml-logs/20_image_build_log.txt"
DRIVER_LOG = "azureml-logs/70_driver_log.txt"
HOUR = 3600.0


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A JupyterLab whose runner remembers that runs of `wait.py` take two hours."""
    folder = tmp_path_factory.mktemp("environments")
    (folder / "aml").mkdir()
    (folder / "aml" / "durations.json").write_text(json.dumps({"line: wait.py": [2 * HOUR]}))
    with running_lab(folder) as started:
        yield started


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[Slow]:
    """A package whose build takes until it is told to go on."""
    project = Slow(tmp_path)
    yield project
    project.go.touch()


@pytest.fixture
def sign(tmp_path: Path) -> Iterator[Path]:
    """A file that jobs wait for, and that is there in the end whatever happens."""
    path = tmp_path / "sign"
    yield path
    path.touch()


class Reader:
    """Somebody who opens a notebook of some cells and runs them, one after the other."""

    def __init__(self, page: Page, lab: Lab, name: str, *cells: str) -> None:
        self.page = page
        self.root = lab.root
        lab.write_notebook(
            f"{name}.ipynb", [code_cell(text) for text in (LOAD, *cells)], kernel=True
        )
        open_notebook(page, lab, f"{name}.ipynb")
        # Else the list of files leaves no room in a narrow window.
        page.get_by_role("tab", name=re.compile("File Browser")).click()
        self._cells = page.locator(".jp-Notebook .jp-CodeCell")
        self.run(0)

    def run(self, number: int) -> Locator:
        """Run a cell of those given, the first of which is 1, and wait for its end."""
        return settled(self.begin(number))

    def begin(self, number: int) -> Locator:
        """Run a cell and do not wait."""
        return run(self._cells.nth(number))


@pytest.fixture
def reader(page: Page, lab: Lab) -> Callable[..., Reader]:
    name = f"reader-{len(list(lab.root.glob('*.ipynb')))}"
    return lambda *cells: Reader(page, lab, name, *cells)


def requirements(folder: Path, *lines: str) -> str:
    """The name of a file with these requirements, which need no network."""
    path = folder / f"{folder.name[-8:]}.txt"
    path.write_text("\n".join(["--no-index", *lines, ""]))
    return str(path)


def state_of(shown: Locator) -> Locator:
    """Where a view says how its run is."""
    return shown.get_by_role("region", name=re.compile("^Run ")).get_by_role("status").first


def words_of(shown: Locator) -> Locator:
    """Where a view says how far its run is, or what it waits for."""
    return shown.locator(".aml-v-progress-text")


def log_of(shown: Locator) -> Locator:
    """The log, and whatever stands beside it."""
    return shown.get_by_role("log", name="Log")


def log_file(shown: Locator) -> Locator:
    return shown.get_by_role("combobox", name="Log file")


def folder_of(shown: Locator, root: Path) -> Path:
    """The folder of the run that is shown."""
    return root / ".aml" / "runs" / str(shown.locator(".aml-v-id").first.text_content())


def assert_fits(shown: Locator) -> None:
    """Nothing in a view sticks out of it, nor the view out of its cell."""
    view = shown.locator(".aml-view")
    wide, room = view.evaluate("node => [node.scrollWidth, node.clientWidth]")
    assert wide <= room
    assert view.evaluate("node => node.offsetWidth <= node.parentElement.clientWidth")


# Builds ---------------------------------------------------------------------------------------


JOB = """
import os, slow, time
print("hello from slow", slow.VERSION)
while not os.path.exists({sign!r}):
    time.sleep(0.02)
print("and more")"""


def test_a_build_is_watched_live_and_then_the_job(
    reader: Callable[..., Reader],
    slow: Slow,
    sign: Path,
    screenshot: Callable[[str], None],
    tmp_path: Path,
) -> None:
    needs = requirements(tmp_path, str(slow.folder))
    job = JOB.format(sign=str(sign))
    notebook = reader(f"%%aml_run --env {needs}{job}", f"%%aml_run --env {needs}\n1 + 1")
    shown = notebook.run(1)
    expect(state_of(shown)).to_have_text("Preparing")
    expect(log_file(shown)).to_have_value(BUILD_LOG)
    expect(log_of(shown)).to_contain_text("never built here before")
    until(slow.begun, 30)
    expect(words_of(shown)).to_have_text(re.compile("^Environment: .+"))
    screenshot("environment-1-building")

    slow.go.touch()
    expect(log_of(shown)).to_contain_text("hello from slow 1.0")
    expect(log_file(shown)).to_have_value(DRIVER_LOG)
    expect(words_of(shown)).to_be_hidden()

    log_file(shown).select_option(BUILD_LOG)
    expect(log_of(shown)).to_contain_text("+ slow==1.0")
    sign.touch()
    expect(state_of(shown)).to_have_text("Completed")
    expect(log_file(shown)).to_have_value(BUILD_LOG)
    screenshot("environment-2-chosen-log")

    again = notebook.run(2)
    expect(state_of(again)).to_have_text("Completed")
    assert not (folder_of(again, notebook.root) / BUILD_LOG).exists()
    assert len(slow.begun()) == 1


def test_the_log_of_a_job_that_ends_at_once_is_shown_after_that_of_its_build(
    reader: Callable[..., Reader], tmp_path: Path
) -> None:
    wheel(tmp_path, "greet", "1.0")
    needs = requirements(tmp_path, f"--find-links {tmp_path}", "greet")
    shown = reader(f"%%aml_run --env {needs}\nimport greet; print('at once', 6 * 7)").run(1)
    expect(state_of(shown)).to_have_text("Completed")
    expect(log_of(shown).locator(".aml-v-line")).to_have_text(["at once 42"])


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
def test_a_failed_build_names_the_line_at_fault(
    theme: str,
    lab: Lab,
    page: Page,
    reader: Callable[..., Reader],
    tmp_path: Path,
    screenshot: Callable[[str], None],
) -> None:
    wheel(tmp_path, "greet", "1.0")
    needs = requirements(tmp_path, f"--find-links {tmp_path}", "greet==9")
    with lab.theme(theme):
        shown = reader(f"%%aml_run --env {needs}\nimport greet").run(1)
    expect(state_of(shown)).to_have_text("Failed")
    error = shown.get_by_role("group", name="Error")
    expect(error).to_contain_text("there is no version of greet==9")
    expect(error).to_contain_text("At fault: greet==9")
    expect(log_file(shown)).to_have_value(BUILD_LOG)
    expect(log_of(shown)).to_contain_text("Because there is no version of greet==9")
    expect(shown.get_by_role("button", name="Cancel")).to_be_hidden()
    kind = theme.rpartition(" ")[2].lower()
    for width in (1280, 480):
        page.set_viewport_size({"width": width, "height": 900})
        assert_fits(shown)
        screenshot(f"environment-3-failed-{kind}-{width}")


def test_a_build_is_cancelled_by_the_button(
    reader: Callable[..., Reader], slow: Slow, tmp_path: Path, screenshot: Callable[[str], None]
) -> None:
    shown = reader(f"%%aml_run --env {requirements(tmp_path, str(slow.folder))}\n1").run(1)
    until(slow.begun, 30)
    shown.get_by_role("button", name="Cancel").click()
    expect(state_of(shown)).to_have_text("Canceled")
    expect(words_of(shown)).to_be_hidden()
    until(lambda: not any(map(is_running, slow.begun())))
    screenshot("environment-4-cancelled")


def test_commands_show_tables_that_fit_and_a_build_in_one_display(
    reader: Callable[..., Reader], slow: Slow, tmp_path: Path, screenshot: Callable[[str], None]
) -> None:
    needs = requirements(tmp_path, str(slow.folder))
    notebook = reader(
        f"%aml_env build {needs}",
        f"%aml_env build {needs}",
        "%aml_env list",
        "%aml_target add box --type docker base_image=python:3.11-slim memory=512m cpus=2",
        "%aml_target list",
    )
    shown = notebook.begin(1)
    until(slow.begun, 30)
    expect(shown.locator(".jp-OutputArea-child")).to_contain_text(re.compile("Building .* s · "))
    expect(shown).to_contain_text("never built here before")
    screenshot("environment-5-command-building")
    slow.go.touch()
    settled(shown)
    expect(shown).to_contain_text(re.compile(r"✔ .* is ready, built in .* \(1 packages?"))
    expect(shown.locator(".jp-OutputArea-child")).to_have_count(1)
    expect(notebook.run(2)).to_contain_text("is built already")
    expect(notebook.run(3).get_by_role("row", name=Path(needs).stem)).to_contain_text("ready")
    notebook.run(4)
    listed = notebook.run(5)
    expect(listed.get_by_role("row", name="box")).to_contain_text("base_image=python:3.11-slim")
    for width in (1280, 480):
        notebook.page.set_viewport_size({"width": width, "height": 900})
        screenshot(f"environment-6-commands-{width}")


# The queue ------------------------------------------------------------------------------------

POOL = """
from aml_jupyter import AmlCompute, ComputeTarget, Experiment, ScriptRunConfig, Workspace
from pathlib import Path
ws = Workspace.from_config()
configuration = AmlCompute.provisioning_configuration(vm_size="STANDARD_D2_V2", max_nodes=1)
pool = ComputeTarget.create(ws, "pool", configuration)
Path("line").mkdir()
Path("line/wait.py").write_text(
    "import os, time\\nwhile not os.path.exists({sign!r}): time.sleep(0.02)\\nprint('over')")
config = ScriptRunConfig("line", "wait.py", compute_target=pool)
first, second, third = [Experiment(ws, "line").submit(config) for _ in range(3)]"""
WHEN = r"starts at about (\w+ )?\d\d:\d\d$"


def test_a_run_in_line_says_why_it_waits_which_it_is_and_when_it_starts(
    reader: Callable[..., Reader], sign: Path, screenshot: Callable[[str], None]
) -> None:
    notebook = reader(POOL.format(sign=str(sign)), "second", "third", "%aml_queue")
    notebook.run(1)
    second, third = notebook.run(2), notebook.run(3)
    expect(state_of(second)).to_have_text("Queued")
    first_in_line = r"^Waits for a slot of pool: the only one is taken · no\. 1 in the queue · "
    expect(words_of(second)).to_have_text(re.compile(first_in_line + WHEN))
    behind = r"^Waits for a slot of pool behind line_\w+ · no\. 2 in the queue · "
    expect(words_of(third)).to_have_text(re.compile(behind + WHEN))
    expect(stage(second, "Scaling")).to_be_visible()
    queue = notebook.run(4)
    rows = queue.get_by_role("row")
    expect(rows).to_have_count(4)
    expect(rows.nth(2)).to_contain_text(re.compile(r"in (1 h 59 min|2 h)"))
    expect(queue).to_contain_text("1 running, 2 waiting.")
    for width in (1280, 480):
        notebook.page.set_viewport_size({"width": width, "height": 900})
        assert_fits(second)
        screenshot(f"environment-7-queue-{width}")
    sign.touch()
    for shown in (second, third):
        expect(state_of(shown)).to_have_text("Completed")
        expect(words_of(shown)).to_be_hidden()
        expect(stage(shown, "Post-processing")).to_have_count(1)
    expect(log_of(third).locator(".aml-v-line")).to_have_text(["over"])


def stage(shown: Locator, name: str) -> Locator:
    """A stretch of a view's time line."""
    line = shown.get_by_role("list", name="Time line")
    return line.get_by_label(re.compile(f"^{name}: "))
