"""v1's RunDetails, and how a run is shown where there is no front end."""

from __future__ import annotations

from pathlib import Path

import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

from aml_jupyter import Experiment, Run, Workspace
from aml_jupyter.errors import UserErrorException
from aml_jupyter.notebook import RunDetails
from aml_jupyter.notebook.forms import MIME
from aml_jupyter.notebook.live import WIDGET_MIME
from aml_jupyter.notebook.views import LineView
from aml_jupyter.watching.svg import PALETTE
from tests.shell import ipython

__all__ = ["ipython"]

LOG = "azureml-logs/70_driver_log.txt"


@pytest.fixture
def experiment(
    ipython: InteractiveShell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Experiment:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    return Experiment(Workspace.create("testing", show_output=False), "looks")


@pytest.fixture
def run(experiment: Experiment) -> Run:
    started = experiment.start_logging(snapshot_directory=None, display_name="<first>")
    (started.folder / LOG).parent.mkdir(exist_ok=True)
    (started.folder / LOG).write_text("hello <world>\n")
    return started


def test_it_shows_without_a_front_end_and_returns_nothing(run: Run) -> None:
    with capture_output() as caught:
        assert RunDetails(run).show(render_lib=None, widget_settings={"a": 1}) is None
    data = caught.outputs[0].data
    assert "Status: Running" in data["text/plain"]
    assert data[MIME]["id"] == run.id
    assert WIDGET_MIME not in data


def test_its_text_is_that_of_v1_and_its_picture_that_of_the_run(run: Run) -> None:
    run.log("loss", 0.5)
    run.log("loss", 0.25)
    data = RunDetails(run)._repr_mimebundle_()
    assert str(data["text/plain"]).startswith("_UserRunWidget(widget_settings={}")
    assert "<svg" in str(data["text/html"])
    assert "&lt;first&gt;" in str(data["text/html"])


def test_several_runs_are_shown_side_by_side(experiment: Experiment, run: Run) -> None:
    other = experiment.start_logging(snapshot_directory=None, display_name="second")
    for each in (run, other):
        each.log("loss", 1.0)
        each.log("loss", 0.5)
    html = str(RunDetails([run, other])._repr_mimebundle_()["text/html"])
    assert run.id in html
    assert other.id in html
    for colour, _ in PALETTE[:2]:
        assert html.count(colour) >= 2  # beside its name, and in the chart


@pytest.mark.parametrize("count", [0, 21])
def test_no_runs_and_too_many_are_refused(run: Run, count: int) -> None:
    with pytest.raises(UserErrorException, match=f"{count} runs"):
        RunDetails([run] * count)


def test_the_quiet_line_has_state_progress_and_values(run: Run) -> None:
    run.log("loss", 0.5)
    with open(run.folder / LOG, "a") as log:
        log.write(" 25%|█  | 10/40 [00:01<00:03,  9it/s]")
    bundle = LineView([run]).bundle()
    assert str(bundle["text/plain"]).startswith(f"Running · {run.id}")
    assert "10/40" in str(bundle["text/plain"])
    assert "loss 0.5" in str(bundle["text/plain"])


def test_widget_data_has_the_keys_of_v1(run: Run) -> None:
    run.log("loss", 0.5)
    run.log("loss", 0.25)
    run.complete()
    data = RunDetails(run).get_widget_data({"debug": True})
    assert data["status"] == "Completed"
    assert data["run_metrics"] == [
        {
            "name": "loss",
            "run_id": run.id,
            "categories": [0, 1],
            "series": [{"data": [0.5, 0.25]}],
        }
    ]
    assert data["run_logs"] == "hello <world>"
    assert data["run_properties"]["run_number"] == "1"
    assert data["run_properties"]["end_time_utc"]
    assert data["widget_settings"] == {"debug": True}
