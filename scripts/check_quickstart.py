"""Run the quickstart to its end without a browser; exit 0 only if its runs did what they should.

It happens in a copy of the folder with a home of its own, so that nothing here changes.
A cell with the tag `restart-kernel` is not executed: the kernel is restarted, as a person would.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from aml_jupyter.runner.client import stop_runner

NOTEBOOKS = Path(__file__).resolve().parent.parent / "notebooks"
NAME = "quickstart.ipynb"
CELL_LIMIT = 300
EXPECTED_RUNS = 2
RESTART = "restart-kernel"


class Reader(NotebookClient):
    """Executes a notebook as a person would: cell by cell, restarting the kernel where told to."""

    async def async_execute_cell(self, cell: Any, cell_index: int, **options: Any) -> Any:
        """Execute one cell and say so, or restart the kernel in its place."""
        if RESTART in cell.metadata.get("tags", ()):
            print("  restarting the kernel", flush=True)
            await self.km.restart_kernel()
            await self.kc.wait_for_ready(timeout=60)
            return cell
        if cell.cell_type == "code":
            print(f"  cell {cell_index + 1} of {len(self.nb.cells)}", flush=True)
        return await super().async_execute_cell(cell, cell_index, **options)


def main() -> int:
    """Check the notebook, then the runs it left behind."""
    with tempfile.TemporaryDirectory(prefix="aml-") as folder:
        place = Path(folder)
        project = place / "notebooks"
        ignore = shutil.ignore_patterns(".aml", ".ipynb_checkpoints", "__pycache__")
        shutil.copytree(NOTEBOOKS, project, ignore=ignore)
        live_apart(place)
        try:
            problems = [*failed_cell(project), *bad_runs(project)]
        finally:
            stop_runner()
    for problem in problems:
        print(problem, file=sys.stderr)
    print("the quickstart does not work" if problems else "the quickstart works")
    return 1 if problems else 0


def live_apart(place: Path) -> None:
    """Keep this machine's runner, kernels and Jupyter settings out of it."""
    os.environ["AML_HOME"] = str(place / "home")
    os.environ["IPYTHONDIR"] = str(place / "ipython")
    os.environ["JUPYTER_CONFIG_DIR"] = str(place / "config")
    os.environ["JUPYTER_DATA_DIR"] = str(place / "data")
    os.environ["JUPYTER_RUNTIME_DIR"] = str(place / "runtime")
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])


def failed_cell(project: Path) -> Iterator[str]:
    """Execute the notebook; yield what the cell says that failed, if one does."""
    print(f"executing {NAME}", flush=True)
    notebook = nbformat.read(project / NAME, as_version=4)
    where = {"metadata": {"path": str(project)}}
    try:
        Reader(notebook, timeout=CELL_LIMIT, kernel_name="python3", resources=where).execute()
    except CellExecutionError as error:
        yield str(error)


def bad_runs(project: Path) -> Iterator[str]:
    """Yield what is wrong with the runs of the workspace, as the command line lists them."""
    command = ["aml", "runs", "--json"]
    listed = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    if listed.returncode:
        yield f"`aml runs --json` failed:\n{listed.stderr}"
        return
    runs = json.loads(listed.stdout)["runs"]
    if len(runs) != EXPECTED_RUNS:
        yield f"The notebook left {len(runs)} runs, not {EXPECTED_RUNS}."
    for run in runs:
        print(f"  {run['id']}  {run['status']}  {run['metrics']}")
        if run["status"] != "Completed":
            yield f"{run['id']} is {run['status']}, not Completed."
        elif "loss" not in run["metrics"]:
            yield f"{run['id']} has no metric named loss."


if __name__ == "__main__":
    sys.exit(main())
