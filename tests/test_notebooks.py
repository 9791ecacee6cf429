"""The example notebooks, executed as a person would."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from tests.services.docker_engine import Engine

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
CELL_LIMIT = 100


@pytest.fixture
def apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project folder; this machine's kernels and Jupyter settings stay out of it."""
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    for name in ("CONFIG", "DATA", "RUNTIME"):
        monkeypatch.setenv(f"JUPYTER_{name}_DIR", str(tmp_path / name.lower()))
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    monkeypatch.setenv("PATH", path)
    project = tmp_path / "notebooks"
    project.mkdir()
    return project


def executed(name: str, project: Path) -> Mapping[str, str]:
    """What each code cell of the notebook said, by its source, after all were executed."""
    shutil.copy(NOTEBOOKS / name, project)
    notebook = nbformat.read(project / name, as_version=4)
    where = {"metadata": {"path": str(project)}}
    NotebookClient(notebook, timeout=CELL_LIMIT, kernel_name="python3", resources=where).execute()
    return {cell.source: _said(cell) for cell in notebook.cells if cell.cell_type == "code"}


def _said(cell: Any) -> str:
    texts = []
    for output in cell.outputs:
        shown = output.get("data", {}).get("text/plain")
        # What is printed comes in pieces, wherever they were cut.
        texts.append(output.get("text") or (f"{shown}\n" if shown else ""))
    return "".join(texts).rstrip("\n")


def of_cell(said: Mapping[str, str], part: str) -> str:
    """What the one cell said whose source has this part."""
    (found,) = (text for source, text in said.items() if part in source)
    return found


@pytest.mark.slow
@pytest.mark.service("docker", "pypi")
def test_the_notebook_of_environments_docker_and_the_queue_does_what_it_tells(
    apart: Path, docker_engine: Engine, base_image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", docker_engine.host)
    monkeypatch.setenv("AML_EXAMPLE_IMAGE", base_image)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    said = executed("environments_and_docker.ipynb", apart)

    built = of_cell(said, "first.wait_for_completion()")
    assert "Building environment" in built
    assert "never built here before" in built
    assert "tabulate==0.9.0" in built.partition("# What this run")[2]
    assert "+ humanize" in of_cell(said, "%aml_env why")
    assert "tables" in of_cell(said, "%aml_env list")
    assert f"image   {base_image}" in of_cell(said, "--dry-run")
    assert "'shared memory, MB'" in of_cell(said, "contained.wait_for_completion()")
    assert "out of memory: its limit is 64 MiB" in of_cell(said, "greedy.wait_for_completion")
    queue = of_cell(said, "%aml_queue")
    assert queue.count("cpu-cluster  no GPU") >= 2
    turns = ["the first", "the urgent one", "the second"]
    assert of_cell(said, "sorted(queued") == repr(turns)
    assert "STANDARD_NC6 with 1 GPU, but this machine has none" in of_cell(said, "gpu_size =")
    assert "is short for ScriptRunConfig" in of_cell(said, "Estimator(\n")
    assert "('Completed', 20)" in of_cell(said, "estimated.wait_for_completion()")
    left = of_cell(said, "%aml_target remove")
    assert "docker" in left
    assert "small-box" not in left
    assert "cpu-cluster" not in left


@pytest.mark.slow
def test_the_notebook_of_batches_does_what_it_tells(apart: Path) -> None:
    shutil.copy(NOTEBOOKS / "report.ipynb", apart)
    said = executed("batch.ipynb", apart)

    assert "how far each step goes" in of_cell(said, "--inspect")
    assert "has no parameter 'speed'" in of_cell(said, "Batch(")
    states = of_cell(said, "print(str(error)")
    assert states.count("Completed") == 4
    assert states.count("Failed") == 2
    assert "2 of 6 runs failed" in states
    assert "lowest" in of_cell(said, "to_frame")
    assert "AssertionError: rate 1.1 is too large" in of_cell(said, "if row.error")
    rest = of_cell(said, "row.earlier")
    assert rest.count("'Completed', 'earlier'") == 4
    assert rest.count("'Completed', 'now'") == 2
    assert "batch_report.html" in of_cell(said, "batch.report")
    page = (apart / "batch_report.html").read_text("utf-8")
    assert page.count("<section") + page.count("<details") >= 6


@pytest.mark.slow
def test_the_notebook_that_configures_runs_does_what_it_tells(apart: Path) -> None:
    said = executed("v1_configure_runs.ipynb", apart)

    assert of_cell(said, "azureml.core.VERSION").startswith("1.61.0 · ")
    assert "Succeeded" in of_cell(said, "ComputeTarget.create")
    assert "y = 1.06 x²" in of_cell(said, "details = run.wait")
    losses = of_cell(said, "src.run_config.target")
    assert losses.index("'cpu-cluster': {'final loss': 0.002") < losses.index("'local'")
    assert "outputs/model.json" in of_cell(said, "run.get_file_names()")
    assert "'azureml.git.dirty': 'True'" in of_cell(said, "tracked = ")
    assert "No module named 'a_package_that_nobody_has'" in of_cell(
        said, "experiment.submit(broken)"
    )
    assert of_cell(said, "by_hand.log_list") == "20"
    assert of_cell(said, "failed.delete()").split() == ["False", "True"]


@pytest.mark.slow
def test_the_notebook_of_a_first_model_does_what_it_tells(apart: Path) -> None:
    said = executed("v1_first_model.ipynb", apart)

    by_hand, as_a_run = of_cell(said, "!{sys"), of_cell(said, "!aml compat run")
    assert "epoch=2, batch= 40: loss" in by_hand
    assert by_hand.splitlines()[-1] in as_a_run
    assert "Streaming azureml-logs/70_driver_log.txt" in as_a_run
    assert ".aml/runs/day1-experiment-train_" in as_a_run.rstrip().splitlines()[-1]
    assert "azureml-defaults" in of_cell(said, "specification.open")
    assert "Figure" in of_cell(said, 'metrics["loss"]')


@pytest.mark.slow
def test_the_notebook_of_many_targets_does_what_it_tells(apart: Path) -> None:
    said = executed("v1_many_targets.ipynb", apart)

    assert "Did you mean cpu-cluster?" in of_cell(said, "cpu-clutser")
    assert of_cell(said, "RunConfiguration.load").startswith("('cpu-cluster', 'from-pip', {'PLACE'")
    assert "train.py --trees 20" in of_cell(said, "experiment.plan")
    ended = of_cell(said, "runs = [experiment.submit").splitlines()
    assert [line.split()[:2] for line in ended] == [
        ["local", "Completed"],
        ["cpu-cluster", "Completed"],
        ["cpu-cluster", "Completed"],
        ["local", "Completed"],
        ["local", "Completed"],
    ]
    logs = of_cell(said, "for run in more:\n    for name")
    assert "starting in work\n3 trees" in logs
    assert "70_driver_log_2.txt\nprocess 2 of 3 adds up its share: 166500" in logs
    assert of_cell(said, "get_snapshot_id").count("'") == 2
    assert of_cell(said, "endless") == "'Canceled'"


@pytest.mark.slow
def test_the_notebook_of_the_pytorch_estimator_does_what_it_tells(apart: Path) -> None:
    said = executed("v1_pytorch_estimator.ipynb", apart)

    assert "Creating a new compute target..." in of_cell(said, "ComputeTarget.create")
    assert "pillow==5.4.1" in of_cell(said, "estimator.conda_dependencies")
    assert "Epoch 29: val Acc 0.8" in of_cell(said, "experiment.submit(estimator)\nrun.wait")
    assert of_cell(said, "run.register_model") == "('pt-dnn', 1, True)"
    assert "outputs/model.npz to ./model/model.npz" in of_cell(said, "run.download_file")
    both = of_cell(said, "distributed_training=MpiConfiguration()")
    assert "{'birds': [24, 24]}" in both
    assert "process 1 of 2 has 24 of 48 birds" in both
    assert of_cell(said, "learned[").count("→") == 10


@pytest.mark.slow
def test_the_notebook_of_digits_does_what_it_tells(apart: Path) -> None:
    said = executed("v1_tensorflow_digits.ipynb", apart)

    registered = of_cell(said, "dataset.register(")
    assert "mnist-dataset 1" in registered
    assert registered.count(".gz") == 4
    assert "tensorflow" in of_cell(said, "save_to_directory")
    log = of_cell(said, 'Tutorial-TF-Mnist").submit(src)\nrun.wait')
    assert "(1500, 784) (1500,) (297, 784) (297,)" in log
    assert "Validation: 0.9" in log
    assert of_cell(said, "inputDatasets").strip() == "mnist-dataset 1 Mount"
    assert of_cell(said, "run.register_model").strip() == "tf-mnist:1 TensorFlow True"
    assert of_cell(said, "download_files") == "['mnist-tf.model.npz']"
    assert "{'type': 'worker', 'index': 1} of 2 workers cloud" in of_cell(said, "distr_config")
    assert "deploy" in of_cell(said, "Model.deploy(")
    assert "Figure" in of_cell(said, "init()\nfigure")


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.name)
def test_a_notebook_is_stored_without_outputs(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(not cell.outputs and cell.execution_count is None for cell in cells)
