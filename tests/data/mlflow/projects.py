"""Runs the MLflow project of the working directory in several ways, and prints what came of it."""

import json

import mlflow

from aml_jupyter import Workspace


def run(alpha, **config):
    """The submitted run, which has ended."""
    parameters = {"alpha": alpha}
    return mlflow.projects.run(".", parameters=parameters, backend="azureml", backend_config=config)


def refused(alpha, **config):
    """The error that came instead."""
    try:
        run(alpha, **config)
    except Exception as error:  # noqa: BLE001
        return str(error)
    return ""


ws = Workspace.from_config()
told = {"elsewhere": refused(1, USE_CONDA=False)}
mlflow.set_tracking_uri(ws.get_mlflow_tracking_uri())
mlflow.set_experiment("projects")
done = run(2, USE_CONDA="False", COMPUTE="local")
told["done"] = [done.run_id, done.get_status(), done.wait()]
told["params"] = mlflow.get_run(done.run_id).data.params
told["failed"] = refused(9, USE_CONDA=False)
told["misspelt"] = refused(9, COMPUT="x")
told["target"] = refused(9, USE_CONDA=False, COMPUTE="x")
print("TOLD" + json.dumps(told))
