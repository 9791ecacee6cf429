"""A workspace on a network file system: a real one, served by sshd and mounted by sshfs."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from aml_jupyter import Experiment, ScriptRunConfig, Workspace
from aml_jupyter.job import metrics
from tests.services.network_disk import mounted

pytestmark = [pytest.mark.slow, pytest.mark.service("sshfs")]

SCRIPT = """
from aml_jupyter import Run

run = Run.get_context()
for step in range(500):
    run.log("loss", 1.0 / (step + 1))
run.log_row("curve", x=1, y=2)
with run.child_run("part") as child:
    child.log("score", 1)
with open("outputs/model.txt", "w") as file:
    file.write("model")
print("done")
"""


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Path]:
    with mounted(tmp_path) as disk:
        (disk / "src").mkdir()
        (disk / "src" / "train.py").write_text(SCRIPT)
        yield disk


def test_a_run_on_a_network_disk_is_whole(project: Path) -> None:
    assert metrics.file_system_of(str(project)) in metrics.NETWORK_FILE_SYSTEMS
    assert not metrics.is_mapping_safe(str(project))
    workspace = Workspace.from_config(project)
    experiment = Experiment(workspace, "far")

    runs = [experiment.submit(ScriptRunConfig(project / "src", "train.py")) for _ in range(3)]
    for run in runs:
        run.wait_for_completion()

    for run in runs:
        values = run.get_metrics()
        assert values["loss"] == [1.0 / (step + 1) for step in range(500)]
        assert values["curve"] == {"x": 1, "y": 2}
        assert [child.get_metrics() for child in run.get_children()] == [{"score": 1}]
        assert "outputs/model.txt" in run.get_file_names()
    listed = [summary.id for summary in workspace.runs(state="Completed", top_level=True)]
    assert listed == [run.id for run in reversed(runs)]
    with sqlite3.connect(project / ".aml" / "index.db") as index:
        assert index.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    index.close()
