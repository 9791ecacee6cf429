"""Submits a script to a cluster that is expected to exist, as v1's examples do."""

from pathlib import Path

from azureml.core import Experiment, ScriptRunConfig, Workspace

ws = Workspace.from_config()
src = ScriptRunConfig(
    source_directory=str(Path(__file__).parent / "src"),
    script="hello.py",
    compute_target="own-cluster",
)
run = Experiment(ws, "own-script").submit(src)
run.wait_for_completion(show_output=True)
print("submitted", run.id)
