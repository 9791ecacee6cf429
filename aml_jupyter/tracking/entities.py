"""MLflow's words for what a workspace remembers."""

from __future__ import annotations

import os

from mlflow import entities
from mlflow.entities import (
    Dataset,
    DatasetInput,
    Experiment,
    ExperimentTag,
    InputTag,
    LifecycleStage,
    Metric,
    Param,
    RunData,
    RunInfo,
    RunInputs,
    RunStatus,
    RunTag,
)
from mlflow.entities import Run as MlflowRun

from aml_jupyter.job import layout, states
from aml_jupyter.job.mlflow_names import address_of

from .history import id_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict

    from .history import History
    from .tracked import TrackedRun

    Record = Dict[str, Any]

RUN_NAME, NOTE, PARENT, ROOT = "mlflow.runName", "mlflow.note.content", "mlflow.parentRunId", (
    "mlflow.rootRunId"
)  # fmt: skip
USER, SOURCE_NAME, SOURCE_TYPE = "mlflow.user", "mlflow.source.name", "mlflow.source.type"
AUTOLOGGING = "mlflow.autologging"
SYSTEM = "mlflow."
"""How the names of tags begin that MLflow sets itself."""

_WAITING = (states.NOT_STARTED, states.QUEUED, states.PREPARING, states.STARTING)
_STATUS = {
    states.COMPLETED: RunStatus.FINISHED,
    states.FAILED: RunStatus.FAILED,
    states.CANCELED: RunStatus.KILLED,
    **dict.fromkeys(_WAITING, RunStatus.SCHEDULED),
}


def experiment_of(record: Record, root: str) -> Experiment:
    """An experiment from its record."""
    created = milliseconds(record.get("created") or 0)
    return Experiment(
        experiment_id=id_of(record),
        name=record["name"],
        artifact_location=record.get("artifact_location") or address_of(os.path.join(root, "runs")),
        lifecycle_stage=LifecycleStage.DELETED if record.get("archived") else LifecycleStage.ACTIVE,
        tags=[ExperimentTag(key, text(value)) for key, value in (record.get("tags") or {}).items()],
        creation_time=created,
        last_update_time=created,
    )


def run_of(tracked: TrackedRun, experiment: Record) -> MlflowRun:
    """A run with all that MLflow knows of one."""
    info = info_of(tracked, experiment)
    latest = tracked.latest().items()
    run_metrics = [
        Metric(name, value, milliseconds(when), step) for name, (step, when, value) in latest
    ]
    params = [Param(name, value) for name, value in tracked.facts.params.items()]
    tags = [RunTag(name, value) for name, value in tags_of(tracked).items()]
    given = [inputs_of(tracked)]
    if hasattr(entities, "RunOutputs"):  # MLflow 3
        outputs = tracked.notes.model_outputs.items()
        listed = [entities.LoggedModelOutput(model, step) for model, step in outputs]
        given.append(entities.RunOutputs(listed))
    return MlflowRun(info, RunData(run_metrics, params, tags), *given)


def info_of(tracked: TrackedRun, experiment: Record) -> RunInfo:
    """The short facts of a run."""
    facts, request = tracked.facts, tracked.run._request
    started = facts.started or tracked.created
    status = _STATUS.get(facts.status, RunStatus.RUNNING)
    known = {
        "run_id": tracked.run.id,
        "run_uuid": tracked.run.id,
        "experiment_id": id_of(experiment),
        "user_id": request.get("submitted_by") or "",
        "status": RunStatus.to_string(status),
        "start_time": milliseconds(started),
        "end_time": None if facts.ended is None else milliseconds(facts.ended),
        "lifecycle_stage": LifecycleStage.DELETED if facts.archived else LifecycleStage.ACTIVE,
        "artifact_uri": artifact_address(tracked, experiment),
        "run_name": facts.display_name or tracked.run.id,
    }
    return RunInfo.from_dictionary(known)


def artifact_address(tracked: TrackedRun, experiment: Record) -> str:
    """Where the files of a run are: in its folder, or where its experiment says."""
    elsewhere = experiment.get("artifact_location")
    if elsewhere:
        return f"{elsewhere.rstrip('/')}/{tracked.run.id}/artifacts"
    return address_of(os.path.join(tracked.folder, layout.ARTIFACTS))


def tags_of(tracked: TrackedRun) -> dict[str, str]:
    """The tags of a run, and those that MLflow expects of every run."""
    facts, request = tracked.facts, tracked.run._request
    source = request.get("source") or {}
    found = {
        RUN_NAME: facts.display_name or tracked.run.id,
        USER: request.get("submitted_by") or "",
        SOURCE_TYPE: "JOB" if tracked.has_job else "LOCAL",
        SOURCE_NAME: str(source.get("script") or source.get("notebook") or ""),
    }
    if request.get("parent"):
        found[PARENT] = str(request["parent"])
        found[ROOT] = _root_of(tracked.folder)
    if facts.description:
        found[NOTE] = facts.description
    own = {k: v for k, v in facts.properties.items() if k.startswith(SYSTEM)}
    found.update(own)
    found.update({name: text(value) for name, value in facts.tags.items()})
    return {name: value for name, value in found.items() if value or name not in (SOURCE_NAME,)}


def _root_of(folder: str) -> str:
    """The run at the top, by where the folder of a child lies."""
    while os.path.basename(os.path.dirname(folder)) == layout.CHILDREN:
        folder = os.path.dirname(os.path.dirname(folder))
    return os.path.basename(folder)


def inputs_of(tracked: TrackedRun) -> RunInputs:
    """The datasets and models that a run says it used."""
    datasets = [dataset_input(record) for record in tracked.notes.datasets.values()]
    if not hasattr(entities, "LoggedModelInput"):
        return RunInputs(datasets)
    models = [entities.LoggedModelInput(model) for model in tracked.notes.model_inputs]
    return RunInputs(datasets, models)


def dataset_input(record: Record) -> DatasetInput:
    """A dataset that a run used, from its note."""
    names = ("name", "digest", "source_type", "source", "schema", "profile")
    tags = [InputTag(key, value) for key, value in (record.get("tags") or {}).items()]
    return DatasetInput(Dataset(**{name: record.get(name) for name in names}), tags)


def dataset_record(given: DatasetInput) -> Record:
    """The note of a dataset that a run used."""
    names = ("name", "digest", "source_type", "source", "schema", "profile")
    record = {name: getattr(given.dataset, name) for name in names}
    return {**record, "tags": {tag.key: tag.value for tag in given.tags}}


def experiment_record(history: History, tracked: TrackedRun) -> Record:
    """The record of a run's experiment, even of one that has been deleted since."""
    record = history.experiment_named(tracked.experiment)
    return record or {"id": tracked.experiment, "name": tracked.experiment}


def milliseconds(seconds: float) -> int:
    """A moment as MLflow counts."""
    return round(seconds * 1000)


def text(value: Any) -> str:
    """A tag's value as MLflow has it: text, empty for none."""
    return "" if value is None else str(value)
