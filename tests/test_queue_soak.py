"""Many runs for few GPUs, while jobs and the runner are killed: nobody has what another has."""

from __future__ import annotations

from pathlib import Path

import pytest

from aml_jupyter import Experiment
from benchmarks.soak import VARIABLES, Soak
from tests.support import experiment, project, ws

__all__ = ["experiment", "project", "ws"]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_gpus_are_never_had_twice_and_every_run_ends_whoever_is_killed(
    experiment: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    soak = Soak(experiment, tmp_path, 120)
    soak.go(runner_kills=4, within=200)
    assert soak.problems() == []
    assert soak.runner_kills == 4
    assert len(soak.returns()) > 20
