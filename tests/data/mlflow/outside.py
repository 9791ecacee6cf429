"""What somebody does with MLflow outside of jobs; it tells what it saw in told.json."""

import json
import os
import sys
from pathlib import Path

import mlflow
from mlflow.entities import ViewType

from aml_jupyter import Experiment, ScriptRunConfig, Workspace
from aml_jupyter.assets.models import Model
from aml_jupyter.compat.mlflow_runs import get_portal_url, register_model
from aml_jupyter.errors import StorageFullError

HERE = Path(__file__).parent
told = {}


def refused(call, *arguments, **more):
    try:
        call(*arguments, **more)
    except Exception as error:  # noqa: BLE001
        return f"{type(error).__name__}: {error}"
    return ""


ws = Workspace.from_config()
job = Experiment(ws, "jobs").submit(ScriptRunConfig(str(HERE), script="job.py"))
told["job"] = job.id

mlflow.set_tracking_uri(ws.get_mlflow_tracking_uri())
mlflow.set_experiment("by-hand")
runs = []
for number in range(5):
    with mlflow.start_run(run_name=f"run {number}", tags={"half": str(number // 3)}) as run:
        mlflow.log_metric("score", number / 10)
        mlflow.log_param("n", number)
        runs.append(run.info.run_id)
told["runs"] = runs
told["ours"] = [each.id for each in ws.experiments["by-hand"].get_runs()]
told["states"] = [ws.get_run(each).get_status() for each in runs]


def search(**asked):
    return mlflow.search_runs(output_format="list", **asked)


def numbers(found):
    return [int(each.data.params["n"]) for each in found]


told["by metric"] = numbers(
    search(filter_string="metrics.score > 0.15", order_by=["metrics.score ASC"])
)
told["by tag and param"] = numbers(search(filter_string="tags.half = '1' and params.n != '4'"))
told["newest first"] = numbers(search())
client = mlflow.MlflowClient()
mine = mlflow.get_experiment_by_name("by-hand").experiment_id
pages, token = [], None
while not pages or token:
    page = client.search_runs([mine], max_results=2, page_token=token)
    pages.append(numbers(page))
    token = page.token
told["pages"] = pages

client.delete_run(runs[0])
told["deleted"] = [numbers(search()), [r.id for r in ws.experiments["by-hand"].get_runs()]]
told["log to deleted"] = refused(client.log_metric, runs[0], "x", 1.0)
told["only deleted"] = numbers(search(run_view_type=ViewType.DELETED_ONLY))
client.restore_run(runs[0])
told["restored"] = numbers(search())

client.set_tag(runs[0], "late", "yes")
client.log_metric(runs[0], "late", 7)
told["late"] = [ws.runs(tag="late=yes")[0].metrics.get("late"), client.get_run(runs[0]).info.status]
client.delete_tag(runs[0], "late")
told["tags"] = ws.get_run(runs[0]).tags
told["no such tag"] = refused(client.delete_tag, runs[0], "hlaf")

with mlflow.start_run(run_name="above"), mlflow.start_run(run_name="below", nested=True) as below:
    mlflow.log_metric("deep", 1)
told["child"] = [
    each.id for each in ws.get_run(ws.get_run(below.info.run_id).parent.id).get_children()
]
told["below"] = below.info.run_id
try:
    with mlflow.start_run() as broken:
        raise RuntimeError("no")
except RuntimeError:
    told["broken"] = [
        client.get_run(broken.info.run_id).info.status,
        ws.get_run(broken.info.run_id).get_status(),
    ]

told["experiments"] = [each.name for each in mlflow.search_experiments(order_by=["name ASC"])]
told["filtered"] = [
    each.name for each in mlflow.search_experiments(filter_string="name LIKE 'by%'")
]
client.set_experiment_tag(mine, "team", "a")
told["experiment tags"] = Experiment(ws, "by-hand").tags
client.delete_experiment(mine)
told["archived"] = [list(ws.experiments), refused(client.create_run, mine)]
client.restore_experiment(mine)
told["bad name"] = refused(mlflow.set_experiment, "a b/c")
told["renamed"] = refused(client.rename_experiment, mine, "other")
told["no such run"] = refused(client.get_run, "nothing")
told["no workspace"] = refused(mlflow.MlflowClient("aml:///nowhere/.aml").search_experiments)
mlflow.set_experiment(experiment_id="0")
with mlflow.start_run() as default:
    told["default"] = ws.get_run(default.info.run_id).experiment.name

dataset = mlflow.data.from_dict if hasattr(mlflow.data, "from_dict") else None
model = client.create_logged_model(mine, name="external", tags={"a": "b"})
told["external"] = [each.name for each in mlflow.search_logged_models([mine], output_format="list")]
client.delete_logged_model(model.model_id)
told["external deleted"] = mlflow.search_logged_models([mine], output_format="list")

client.create_registered_model("empty", description="nothing yet")
told["registry"] = [each.name for each in client.search_registered_models()]
told["no such model"] = refused(client.get_registered_model, "empt")
told["bad model name"] = refused(client.create_registered_model, "a b")

small = os.environ.get("SMALL_DISK")
if small:
    other = Workspace.from_config(small)
    away = mlflow.MlflowClient(other.get_mlflow_tracking_uri())
    run = away.create_run(away.create_experiment("full"))
    logged = 0
    try:
        for logged in range(100_000):
            away.log_metric(run.info.run_id, "x", logged)
    except StorageFullError as error:
        told["full"] = [str(error), logged, len(other.get_run(run.info.run_id).get_metrics()["x"])]

job.wait_for_completion(raise_on_error=False)
registered = mlflow.register_model(f"runs:/{job.id}/model", "answers", tags={"by": "mlflow"})
told["registered"] = [registered.version, registered.run_id, registered.status]
ours = ws.models["answers"]
told["model"] = [ours.version, ours.run_id, ours.tags, ours.name]
again = mlflow.register_model(
    mlflow.search_logged_models(
        output_format="list",
        experiment_ids=[ws.experiments["jobs"].id],
        filter_string="name = 'model'",
    )[-1].model_uri,
    "answers",
)
told["again"] = [again.version, sorted(model.version for model in Model.list(ws, "answers"))]
client.set_registered_model_alias("answers", "best", 1)
told["alias"] = client.get_model_version_by_alias("answers", "best").version
told["loaded"] = mlflow.models.get_model_info("models:/answers@best").run_id
told["versions"] = sorted(v.version for v in client.search_model_versions("name = 'answers'"))
client.delete_model_version("answers", "2")
told["left"] = [model.version for model in Model.list(ws, "answers")]
with mlflow.start_run() as run:
    mlflow.log_text("x", "weights/x.txt")
told["portal"] = [get_portal_url(run), ws.get_run(run.info.run_id).folder.as_uri()]
told["registered by v1"] = register_model(run, "weights", "weights/x.txt").id
told["job state"] = job.get_status()
with open(sys.argv[1], "w") as file:
    json.dump(told, file)
