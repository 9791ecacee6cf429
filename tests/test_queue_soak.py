"""Many runs for few GPUs, while jobs and the runner are killed: nobody has what another has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from aml_jupyter import Experiment
from aml_jupyter.job import layout
from aml_jupyter.runner.machine import processors
from aml_jupyter.spec import Resources
from benchmarks.soak import SLOTS, VARIABLES, Job, Soak, Stay, too_much
from tests.support import LEASE_BACK_WITHIN, experiment, project, submit, ws

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
    returns = soak.returns()
    assert len(returns) > 20
    # The figure is the benchmark's; here it holds beside whatever else the machine does.
    assert max(returns) <= LEASE_BACK_WITHIN
    run = soak.jobs[0].run
    (run.folder / layout.EVENTS).write_text("")
    assert f"{run.id} has no event of its lease" in soak.problems()


def test_a_soak_counts_what_jobs_that_lived_together_had(experiment: Experiment) -> None:
    run = submit(experiment, "print(1)")

    def stay(begin: float, end: float, gpus: tuple[int, ...] | None = None, **asked: Any) -> Stay:
        resources = Resources(None if gpus is None else len(gpus), **asked)
        return Stay(Job(run, resources, 0, "end"), gpus, begin, end)

    most = processors()
    assert not list(too_much([stay(0, 1, cpus=most), stay(1, 2, cpus=most)]))
    assert "CPUs" in next(too_much([stay(0, 2, cpus=most), stay(1, 3, cpus=0.5)]))
    assert not list(too_much([stay(0, 1, (0,)), stay(0, 1, (1,))]))
    assert "GPU 1 is had by" in next(too_much([stay(0, 1, (1,)), stay(0, 1, (1,), gpu_memory=9)]))
    assert "slots" in next(too_much([stay(n / 100, 1) for n in range(SLOTS + 1)]))
