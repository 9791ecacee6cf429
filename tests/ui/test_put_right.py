"""What browser tests share is put right after one that failed, for those after it."""

from __future__ import annotations

from pathlib import Path

import pytest

from aml_jupyter import Experiment, Run, ScriptRunConfig, Workspace
from tests.support import until
from tests.ui.lab import Lab

pytestmark = [pytest.mark.ui, pytest.mark.service("chromium")]


@pytest.fixture
def dock(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Experiment:
    """An experiment in a project below the server's root."""
    monkeypatch.setenv("AML_HOME", str(lab.folder / "aml"))
    project = lab.root / "dock"
    project.mkdir(exist_ok=True)
    return Experiment(Workspace.from_config(project), "dock")


def endless(folder: Path) -> ScriptRunConfig:
    (folder / "endless.py").write_text("import time\ntime.sleep(600)\n")
    return ScriptRunConfig(str(folder), script="endless.py")


def test_runs_that_go_on_are_ended_and_a_server_that_was_stopped_is_started(
    lab: Lab, dock: Experiment, tmp_path: Path
) -> None:
    runs: list[Run] = [dock.submit(endless(tmp_path)) for _ in range(3)]
    until(lambda: any(run.get_status() == "Running" for run in runs), 20)
    lab.stop()
    lab.put_right()
    until(lambda: dock.workspace.list_runs("state:live").total == 0, 20)
    assert lab.api("GET", "status")["kernels"] == 0
