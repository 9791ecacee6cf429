"""What a training script does with MLflow; it tells what it saw in outputs/told.json."""

import json
import math
import os
import signal
import sys

import mlflow

from aml_jupyter import Run

told = {"variables": {k: v for k, v in os.environ.items() if k.startswith("MLFLOW")}}
run = Run.get_context()

mlflow.log_metric("implicit", 1.5)
told["active"] = mlflow.active_run().info.run_id
for step in (5, 7):
    mlflow.log_metric("stepped", step / 10, step=step)
mlflow.log_metric("long ago", 2.0, timestamp=1_500_000_000_000)
for value in (3.0, 2.0, 1.0):
    mlflow.log_metric("loss", value)
mlflow.log_metrics({"a/b": 1, "größe": 2, "nan": math.nan, "inf": math.inf}, step=0)
run.log("ours", 0.25)
mlflow.log_param("lr", 0.1)
mlflow.log_params({"text": "x" * 6000, "a/b": "c"})
mlflow.set_tag("kind", "small")
mlflow.log_text("hello", "notes/hello.txt")
mlflow.log_dict({"x": 1}, "facts.json")


def refused(call, *arguments):
    try:
        call(*arguments)
    except Exception as error:  # noqa: BLE001
        return f"{type(error).__name__}: {error}"
    return ""


told["changed param"] = refused(mlflow.log_param, "lr", 0.2)
told["too long"] = refused(mlflow.log_param, "p", "x" * 6001)
told["hostile key"] = refused(mlflow.log_metric, "../x", 1.0)
told["endless key"] = refused(mlflow.log_metric, "k" * 300, 1.0)
told["endless step"] = refused(mlflow.log_metric, "stepped", 1.0, 2**70)

with open("loader.py", "w") as file:
    file.write("def _load_pyfunc(path):\n    return None\n")
info = mlflow.pyfunc.log_model(
    name="model", loader_module="loader", code_paths=["loader.py"], pip_requirements=["numpy"]
)
told["model"] = info.model_id
client = mlflow.MlflowClient()
second = client.create_logged_model(told["variables"]["MLFLOW_EXPERIMENT_ID"], "model", run.id)
client.log_model_artifact(second.model_id, "loader.py")
told["second model"] = mlflow.get_logged_model(second.model_id).artifact_location
told["outputs"] = [each.model_id for each in mlflow.get_run(run.id).outputs.model_outputs]

with mlflow.start_run(run_name="part", nested=True) as child:
    mlflow.log_metric("score", 0.5)
    told["child"] = child.info.run_id

# Another process logs into the run, and is killed in the next instruction.
other = os.fork()
if not other:
    for number in range(1000):
        mlflow.log_metric("other", number, step=number)
    os.kill(os.getpid(), signal.SIGKILL)
os.waitpid(other, 0)

told["read back"] = {
    "metrics": {k: repr(v) for k, v in mlflow.get_run(run.id).data.metrics.items()},
    "params": mlflow.get_run(run.id).data.params,
    "tags": mlflow.get_run(run.id).data.tags,
}
told["history"] = {}
for name in ("stepped", "long ago", "loss", "ours"):
    logged = client.get_metric_history(run.id, name)
    told["history"][name] = [(each.step, each.timestamp, each.value) for each in logged]
told["files"] = [each.path for each in client.list_artifacts(run.id)]
mlflow.end_run()
told["after the end"] = run.get_status()
with mlflow.start_run() as again:
    told["again"] = [again.info.run_id, again.data.tags["mlflow.parentRunId"]]
told["imported"] = sorted(name for name in sys.modules if name.startswith("aml_jupyter."))
with open("outputs/told.json", "w") as file:
    json.dump(told, file)
