"""MLflow 3's logged models: a model with an id of its own, whose files are files of its run.

The record of a model is a note of the run that made it; its id has the run's in it, so that it is
found without looking through all of them. Those that no run made are noted in ``mlflow.jsonl`` of
the workspace.
"""

from __future__ import annotations

import os
import time
from abc import ABC, abstractmethod

from mlflow.exceptions import MlflowException
from mlflow.protos import databricks_pb2 as codes
from mlflow.store.entities.paged_list import PagedList
from mlflow.utils import validation

from aml_jupyter.job import events, layout
from aml_jupyter.job.mlflow_names import address_of

from . import entities
from .tracked import Notes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Iterator, Sequence

    from .history import History
    from .tracked import TrackedRun

    Record = Dict[str, Any]

_PREFIX = "m-"
_RANDOM = 8
_WITHOUT_RUN = "mlflow.jsonl"
_FILES_WITHOUT_RUN = "mlflow"


class LoggedModels(ABC):
    """The part of the tracking store that is about logged models."""

    history: History

    def create_logged_model(
        self,
        experiment_id: str = "0",
        name: str | None = None,
        source_run_id: str | None = None,
        tags: Any = None,
        params: Any = None,
        model_type: str | None = None,
    ) -> Any:
        """A model that is about to get its files, below ``artifacts/<name>`` of its run."""
        validation._validate_logged_model_name(name)
        name = name or f"model-{os.urandom(3).hex()}"
        run = self._active(source_run_id) if source_run_id else None
        now = entities.milliseconds(time.time())
        record: Record = {
            "model_id": _new_id(run),
            "experiment_id": str(experiment_id),
            "name": name,
            "creation_timestamp": now,
            "last_updated_timestamp": now,
            "source_run_id": source_run_id,
            "status": _status("PENDING"),
            "tags": {tag.key: tag.value for tag in tags or ()},
            "params": {param.key: param.value for param in params or ()},
            "model_type": model_type,
        }
        record["artifact_location"] = self._place_of(record, run)
        self._keep(record, run)
        return self.get_logged_model(record["model_id"])

    def get_logged_model(self, model_id: str, allow_deleted: bool = False) -> Any:
        """The model with this id."""
        record, _, notes = self._model(model_id, allow_deleted)
        return _model_of(record, notes)

    def finalize_logged_model(self, model_id: str, status: Any) -> Any:
        """Say that a model is ready, or that it failed."""
        return self._changed(model_id, status=_status(status))

    def set_logged_model_tags(self, model_id: str, tags: Any) -> None:
        """Set tags of a model."""
        known = self._model(model_id)[0]["tags"]
        self._changed(model_id, tags={**known, **{tag.key: str(tag.value) for tag in tags}})

    def delete_logged_model_tag(self, model_id: str, key: str) -> None:
        """Take a tag of a model away."""
        known = dict(self._model(model_id)[0]["tags"])
        if key not in known:
            raise _missing(f"No tag with key {key!r} found for model with ID {model_id!r}.")
        del known[key]
        self._changed(model_id, tags=known)

    def log_logged_model_params(self, model_id: str, params: Any) -> None:
        """Add parameters of a model."""
        known = self._model(model_id)[0]["params"]
        self._changed(model_id, params={**known, **{param.key: param.value for param in params}})

    def delete_logged_model(self, model_id: str) -> None:
        """Have a model no more in lists; its files stay files of the run."""
        self._changed(model_id, deleted=True)

    def search_logged_models(
        self,
        experiment_ids: Sequence[str],
        filter_string: str | None = None,
        datasets: Any = None,
        max_results: int | None = None,
        order_by: Any = None,
        page_token: str | None = None,
    ) -> Any:
        """The models that match, newest first or in the order asked for."""
        from mlflow.utils.search_utils import SearchLoggedModelsUtils as Utils

        names = [self._experiment(each)["name"] for each in experiment_ids]
        wanted = set(map(str, experiment_ids))
        found = [
            _model_of(record, notes)
            for notes in (*self._notes_of(names), self._without_run())
            for record in notes.models.values()
            if record["experiment_id"] in wanted and not record.get("deleted")
        ]
        chosen = Utils.filter_logged_models(found, filter_string, datasets)
        ordered = Utils.sort(chosen, order_by)
        return PagedList(*Utils.paginate(ordered, page_token, max_results or 100))

    def log_outputs(self, run_id: str, models: Any) -> None:
        """Note the models that a run has made."""
        tracked = self._active(run_id)
        for model in models or ():
            tracked.append("mlflow", model_output=model.model_id, step=model.step)
        self._noted(tracked)

    def record_logged_model(self, run_id: str, mlflow_model: Any) -> None:
        """MLflow 2's list of the models of a run: a tag."""
        import json

        key = "mlflow.log-model.history"
        tracked = self._active(run_id)
        known = json.loads(tracked.facts.tags.get(key) or "[]")
        make = getattr(mlflow_model, "get_tags_dict", None) or mlflow_model.to_dict
        tracked.append("tags", set={key: json.dumps([*known, make()])})

    def note_model_metric(self, tracked: TrackedRun, metric: Any) -> bool:
        """Keep a value with the model it is about; whether it is to be kept with the run, too.

        When a model is logged, MLflow says again what the run logged at that step before.
        """
        record, owner, _ = self._model(metric.model_id)
        names = ("model_id", "key", "value", "timestamp", "step", "dataset_name", "dataset_digest")
        said = {name: getattr(metric, name) for name in names}
        note = {"model_metric": {**said, "run_id": tracked.run.id}}
        self._append(note, owner)
        if metric.timestamp > record["creation_timestamp"]:
            return True
        point = (metric.step, metric.timestamp, repr(metric.value))  # NaN is not equal to itself
        history = tracked.history(metric.key)
        return point not in ((step, entities.milliseconds(t), repr(v)) for step, t, v in history)

    # Records

    def _model(
        self, model_id: str, allow_deleted: bool = False
    ) -> tuple[Record, TrackedRun | None, Notes]:
        """The record of a model, the run that made it, and the notes they are in."""
        run_id = str(model_id)[len(_PREFIX) : -_RANDOM - 1]
        owner = self.history.run(run_id) if run_id else None
        notes = self._without_run()
        if owner is not None:
            notes = owner.notes
        record = notes.models.get(model_id)
        if record is None or (record.get("deleted") and not allow_deleted):
            raise _missing(f"Model '{model_id}' not found in {self.history.root}.")
        return record, owner, notes

    def _changed(self, model_id: str, **facts: Any) -> Any:
        record, owner, _ = self._model(model_id)
        now = entities.milliseconds(time.time())
        changed = {**record, "last_updated_timestamp": now, **facts}
        self._keep(changed, owner)
        return self.get_logged_model(model_id, allow_deleted=True)

    def _keep(self, record: Record, owner: TrackedRun | None) -> None:
        self._append({"model": record}, owner)

    def _append(self, note: Record, owner: TrackedRun | None) -> None:
        if owner is not None:
            owner.append("mlflow", **note)
            self._noted(owner)
            return
        import json

        line = json.dumps({"e": "mlflow", **note}, separators=(",", ":")) + "\n"
        path = os.path.join(self.history.root, _WITHOUT_RUN)
        try:
            events.append_line(path, line.encode())
        except OSError as error:
            raise layout.full_disk(error, path) from error

    def _without_run(self) -> Notes:
        notes = Notes()
        try:
            with open(os.path.join(self.history.root, _WITHOUT_RUN), "rb") as file:
                for event in events.parse(file.read()):
                    notes.apply(event)
        except FileNotFoundError:
            pass
        return notes

    def _notes_of(self, names: list[str]) -> Iterator[Notes]:
        for run in self.history.runs_of(names):
            yield run.notes

    def _place_of(self, record: Record, run: TrackedRun | None) -> str:
        """Where the files of a model go: the first free ``<name>``, ``<name>-2``, … of its run."""
        if run is None:
            place = os.path.join(self.history.root, _FILES_WITHOUT_RUN, record["model_id"])
            return address_of(place)
        base = entities.artifact_address(run, entities.experiment_record(self.history, run))
        taken = {str(each["artifact_location"]) for each in run.notes.models.values()}
        number = 1
        while True:
            name = record["name"] if number == 1 else f"{record['name']}-{number}"
            path = os.path.join(run.folder, layout.ARTIFACTS, name)
            if f"{base}/{name}" not in taken and not os.path.exists(path):
                return f"{base}/{name}"
            number += 1

    # What the rest of the store has

    @abstractmethod
    def _active(self, run_id: str) -> TrackedRun:
        """The run, which may be written to."""

    @abstractmethod
    def _experiment(self, experiment_id: str | None) -> Record:
        """The record of an experiment, by its id or its name."""

    @abstractmethod
    def _noted(self, tracked: TrackedRun) -> None:
        """Let lists of runs know that something of the run has changed."""


def _new_id(run: TrackedRun | None) -> str:
    random = os.urandom(_RANDOM // 2).hex()
    return f"{_PREFIX}{run.run.id if run else os.urandom(8).hex()}-{random}"


def _status(given: Any) -> str:
    from mlflow.entities import LoggedModelStatus

    known = LoggedModelStatus.from_int(given) if type(given) is int else LoggedModelStatus(given)
    return str(known.value)


def _model_of(record: Record, notes: Notes) -> Any:
    from mlflow.entities import LoggedModel, LoggedModelStatus, Metric

    latest: dict[Any, Record] = {}
    for each in notes.model_metrics.get(record["model_id"], ()):
        key = (each["key"], each.get("dataset_name"), each.get("dataset_digest"))
        known = latest.get(key, each)
        latest[key] = max(known, each, key=lambda metric: (metric["step"], metric["timestamp"]))
    known = {**record, "metrics": [Metric(**each) for each in latest.values()]}
    known["status"] = LoggedModelStatus(record["status"])
    return LoggedModel.from_dictionary(known)


def _missing(what: str) -> MlflowException:
    return MlflowException(what, codes.RESOURCE_DOES_NOT_EXIST)
