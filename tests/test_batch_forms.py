"""What is left of a run in notebooks that papermill and nbconvert run, without a browser."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import papermill
import pytest

pytestmark = pytest.mark.slow

WIDGET = "application/vnd.jupyter.widget-view+json"
CARD = "application/vnd.aml.run+json"

JOB = """%%aml_run --as run {options}
import math, time
from aml_jupyter import Run
run = Run.get_context()
for step in range(50):
    run.log("loss", math.exp(-step / 10))
    print("epoch", step, flush=True)
    time.sleep(0.02)
print("done <b>all</b>")
"""
WAIT = "run.wait_for_completion()"


@pytest.fixture
def notebook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Makes a notebook that runs a cell with these options, where no front end is."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)

    def write(options: str = "") -> Path:
        texts = ["%load_ext aml_jupyter", JOB.format(options=options), WAIT]
        cells = [nbformat.v4.new_code_cell(text) for text in texts]
        written = nbformat.v4.new_notebook(cells=cells)
        written.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
        nbformat.write(written, tmp_path / "training.ipynb")
        return tmp_path / "training.ipynb"

    return write


def by_papermill(notebook: Path) -> Path:
    """The notebook as papermill leaves it."""
    target = notebook.with_name("by_papermill.ipynb")
    papermill.execute_notebook(str(notebook), str(target), progress_bar=False)
    return target


def by_nbconvert(notebook: Path, form: str = "notebook") -> Path:
    """What nbconvert makes of the notebook when it executes it."""
    command = [sys.executable, "-m", "nbconvert", "--execute", "--to", form]
    outcome = ["--output", "by_nbconvert", str(notebook)]
    done = subprocess.run([*command, *outcome], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return notebook.with_name("by_nbconvert" + (".html" if form == "html" else ".ipynb"))


def outputs_of(path: Path) -> list[dict[str, Any]]:
    """What is stored below the cell of the run; nothing in the notebook is an error."""
    read = nbformat.read(path, as_version=4)
    outputs = [[dict(output) for output in cell.outputs] for cell in read.cells]
    assert all(output["output_type"] != "error" for cell in outputs for output in cell)
    assert "widgets" not in read.metadata
    return outputs[1]


@pytest.mark.parametrize("executed", [by_papermill, by_nbconvert])
def test_the_stored_output_shows_the_run_as_it_ended(
    notebook: Callable[[str], Path], executed: Callable[[Path], Path]
) -> None:
    (shown,) = outputs_of(executed(notebook()))
    data = shown["data"]
    assert WIDGET not in data
    assert "Completed" in data["text/plain"]
    page = data["text/html"]
    assert "Completed" in page
    assert "<svg" in page
    assert "done &lt;b&gt;all&lt;/b&gt;" in page
    assert "<script" not in page
    card = data[CARD]
    assert card["status"] == "Completed"
    assert card["metrics"][0]["count"] == 50
    assert card["log_tail"].splitlines()[-1] == "done <b>all</b>"


@pytest.mark.parametrize("executed", [by_papermill, by_nbconvert])
def test_a_quiet_run_is_stored_as_one_line(
    notebook: Callable[[str], Path], executed: Callable[[Path], Path]
) -> None:
    (shown,) = outputs_of(executed(notebook("--quiet")))
    line = shown["data"]["text/plain"]
    assert line.startswith("Completed · notebook_")
    assert re.search(r" · loss 0\.0074\d*", line)
    assert shown["data"].keys() == {"text/plain", "text/html"}


def test_a_page_made_by_nbconvert_has_the_chart_and_the_log(
    notebook: Callable[[str], Path],
) -> None:
    page = by_nbconvert(notebook(), "html").read_text("utf-8")
    start = page.index('<div class="aml-run"')
    card = page[start : page.index("wait_for_completion", start)]
    assert "Completed" in card
    assert re.search(r"<svg.*<path", card, re.DOTALL)
    assert "loss" in card
    assert "done &lt;b&gt;all&lt;/b&gt;" in card
    assert "<script" not in card
    assert WIDGET not in page
    assert "done <b>" not in page


def test_a_notebook_that_another_notebook_runs_has_no_widget(
    notebook: Callable[[str], Path],
) -> None:
    path = notebook("")
    target = path.with_name("inner.ipynb")
    inherited = {**os.environ, "JPY_SESSION_NAME": str(path.with_name("outer.ipynb"))}
    command = [sys.executable, "-m", "papermill", "--no-progress-bar", str(path), str(target)]
    subprocess.run(command, env=inherited, check=True, capture_output=True)
    (shown,) = outputs_of(target)
    assert WIDGET not in shown["data"]
    assert shown["data"][CARD]["status"] == "Completed"
