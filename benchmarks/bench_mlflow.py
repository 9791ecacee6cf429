"""What ``mlflow.log_metric`` costs in a job."""

from __future__ import annotations

from collections.abc import Iterator

from aml_jupyter.job import layout
from benchmarks.report import Row, median_of
from benchmarks.setting import Effort, experiment, submit


def rows(effort: Effort) -> Iterator[Row]:
    """A submitted job calls ``mlflow.log_metric`` in a loop, which returns when the value is kept:
    by turns for its own run and, in the same process, for a run in MLflow's sqlite store, in a
    file of the job's working directory.
    """
    with experiment() as place:
        calls = effort.of(5000), max(50, effort.of(200))
        run = submit(place, "mlflow_loop.py", effort.repeat, *calls)
        run.wait_for_completion()
        samples = layout.read_json(str(run.folder / "outputs" / "samples.json"))
    logged, peer = ([1e6 * second for second in column] for column in zip(*samples, strict=True))
    value, limit = median_of(logged), median_of(peer)
    name = "mlflow.log_metric in a job, a call"
    reach, beside = "≤ 1/20 of sqlite", "MLflow's own sqlite store"
    yield Row(name, value, "µs", reach, beside, limit, value * 20 <= limit, logged)
