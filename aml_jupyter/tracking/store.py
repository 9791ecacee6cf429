"""A workspace as a tracking store of MLflow.

Everything is kept where our own runs keep it: metrics by the run's writer, parameters, tags and
notes as its events, files in its folder. So a run is the same run whoever looks at it.
"""

from __future__ import annotations

import os
import time

from mlflow.entities import LifecycleStage, Metric, RunStatus, ViewType
from mlflow.exceptions import MlflowException
from mlflow.protos import databricks_pb2 as codes
from mlflow.store.entities.paged_list import PagedList
from mlflow.store.tracking.abstract_store import AbstractStore
from mlflow.utils import validation
from mlflow.utils.search_utils import SearchExperimentsUtils, SearchUtils

from aml_jupyter.errors import UserErrorException, near
from aml_jupyter.job import states
from aml_jupyter.job.mlflow_names import address_of, path_of

from . import entities
from .history import DEFAULT_ID, DEFAULT_NAME, ENDED_AS, History, id_of
from .logged_models import LoggedModels

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Iterable, Sequence

    from .tracked import TrackedRun

    Record = Dict[str, Any]

_MOST_RESULTS = 50_000


class TrackingStore(LoggedModels, AbstractStore):
    """Experiments and runs of the workspace at ``aml://<path of its .aml folder>``."""

    def __init__(self, store_uri: str, artifact_uri: str | None = None) -> None:
        super().__init__()
        self.history = History(path_of(store_uri))
        self.artifact_root_uri = address_of(f"{self.history.root}/runs")
        self._writing: dict[str, TrackedRun] = {}
        self._attached, self._has_autologged = 0, False
        self._checked: set[str] = set()
        self._seen: dict[str, tuple[Any, Any]] = {}

    # Experiments

    def search_experiments(
        self,
        view_type: int = ViewType.ACTIVE_ONLY,
        max_results: int = 1000,
        filter_string: str | None = None,
        order_by: list[str] | None = None,
        page_token: str | None = None,
    ) -> Any:
        """The experiments that match, newest first or in the order asked for."""
        _check_count(max_results)
        found = [
            entities.experiment_of(record, self.history.root)
            for record in self.history.experiments()
        ]
        shown = [e for e in found if LifecycleStage.matches_view_type(view_type, e.lifecycle_stage)]
        chosen = SearchExperimentsUtils.filter(shown, filter_string)
        ordered = SearchExperimentsUtils.sort(
            chosen, order_by or ["creation_time DESC", "experiment_id ASC"]
        )
        return PagedList(*SearchUtils.paginate(ordered, page_token, max_results))

    def create_experiment(
        self, name: str, artifact_location: str | None = None, tags: Any = None
    ) -> str:
        """The id of a new experiment."""
        if self.history.experiment_named(name) is not None:
            raise MlflowException(f"Experiment '{name}' already exists.", _ALREADY_EXISTS)
        record = self._ours(self.history.new_experiment, name)
        if artifact_location:
            record["artifact_location"] = artifact_location
        record["tags"] = {tag.key: tag.value for tag in tags or ()}
        self.history.save_experiment(record)
        return id_of(record)

    def get_experiment(self, experiment_id: str) -> Any:
        """The experiment with this id, deleted ones included."""
        return entities.experiment_of(self._experiment(experiment_id), self.history.root)

    def get_experiment_by_name(self, experiment_name: str) -> Any:
        """The experiment of this name; None when there is none."""
        record = self.history.experiment_named(experiment_name)
        return record and entities.experiment_of(record, self.history.root)

    def delete_experiment(self, experiment_id: str) -> None:
        """Archive it: it takes no new runs, and lists leave it out."""
        self._change(experiment_id, archived=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))

    def restore_experiment(self, experiment_id: str) -> None:
        """Make an archived one active again."""
        self._change(experiment_id, archived=None)

    def rename_experiment(self, experiment_id: str, new_name: str) -> None:
        """Refused: the ids of runs begin with the name."""
        raise MlflowException(
            f"Experiment {self._experiment(experiment_id)['name']} cannot be renamed: "
            "its runs carry its name. Use a new experiment.",
            codes.INVALID_PARAMETER_VALUE,
        )

    def set_experiment_tag(self, experiment_id: str, tag: Any) -> None:
        """Set a tag of the experiment."""
        known = self._experiment(experiment_id).get("tags") or {}
        self._change(experiment_id, tags={**known, tag.key: tag.value})

    def delete_experiment_tag(self, experiment_id: str, key: str) -> None:
        """Take a tag away."""
        known = dict(self._experiment(experiment_id).get("tags") or {})
        if key not in known:
            raise _missing(f"Experiment {experiment_id} has no tag {key}.")
        del known[key]
        self._change(experiment_id, tags=known)

    def _experiment(self, experiment_id: str | None) -> Record:
        wanted = DEFAULT_ID if experiment_id is None else str(experiment_id)
        record = self.history.experiment(wanted)
        if record is None:
            names = sorted(each["name"] for each in self.history.experiments())
            raise _missing(
                f"No experiment with id {experiment_id} exists in {self.history.root}. "
                f"There are: {', '.join(names[:10]) or 'none'}."
            )
        return record

    def _change(self, experiment_id: str, **facts: Any) -> None:
        if str(experiment_id) == DEFAULT_ID:
            self.history.new_experiment(DEFAULT_NAME)
        self.history.save_experiment({**self._experiment(experiment_id), **facts})

    # Runs

    def get_run(self, run_id: str) -> Any:
        """The run with all that is known of it."""
        return self._entity(self._run(run_id))

    def create_run(
        self, experiment_id: str, user_id: str, start_time: int, tags: Any, run_name: str | None
    ) -> Any:
        """Start a run that its process ends: below its parent, or below the job's own run."""
        record = self._experiment(experiment_id)
        if record.get("archived"):
            raise MlflowException(
                f"Experiment {record['name']} is archived and takes no new runs. Restore it first.",
                codes.INVALID_STATE,
            )
        given = {tag.key: tag.value for tag in tags or ()}
        name = run_name or given.pop(entities.RUN_NAME, None) or _random_name()
        user = user_id or given.get(entities.USER, "")
        given.pop(entities.USER, None)
        system = {k: v for k, v in given.items() if _stays(k)}
        parent = self._parent(given.get(entities.PARENT), record["name"])
        if parent is not None and self._is_meant(parent, run_name, given):
            self._attached = os.getpid()
            return self._entity(parent)
        if parent is None and self.history.is_whole:
            record = self.history.new_experiment(record["name"])
        created = self.history.new_run(
            record["name"], parent, name, system, user, (start_time or 0) / 1000 or time.time()
        )
        self._set_tags(created, {k: v for k, v in given.items() if k not in system})
        return self._entity(created)

    def _parent(self, parent_id: str | None, experiment: str) -> TrackedRun | None:
        if parent_id is not None:
            return self.history.run(parent_id)
        own = self.history.own_folder
        tracked = None if own is None else self.history.at(own)
        if tracked is not None and (tracked.experiment == experiment or not self.history.is_whole):
            return tracked
        return None

    def _is_meant(self, tracked: TrackedRun, name: str | None, tags: dict[str, str]) -> bool:
        """Whether who asks for a new run means the job's own.

        MLflow's variable for it is gone once it was used, so a process that the job starts
        afterwards knows of no run. And its autologging ends the run in which it logged a first
        training, while what the script logs then belongs with it.
        """
        is_own = tracked.folder == self.history.own_folder
        says_more = name or entities.PARENT in tags or entities.AUTOLOGGING in tags
        is_new = self._attached != os.getpid()
        return is_own and (is_new or self._has_autologged) and not says_more

    def update_run_info(
        self, run_id: str, run_status: Any, end_time: int | None, run_name: str | None
    ) -> Any:
        """End a run, or give it a name. Runs that have a job are ended by its launcher alone."""
        tracked = self._active(run_id)
        if run_name:
            tracked.append("name", display_name=run_name)
        state = ENDED_AS.get(RunStatus.to_string(run_status)) if run_status is not None else None
        is_own = tracked.folder == self.history.own_folder
        if is_own:
            self._attached = os.getpid()
        if state and not (tracked.has_job or is_own or tracked.facts.has_ended):
            tracked.run._end(state, _said_by_mlflow() if state == states.FAILED else None)
            self._writing.pop(run_id, None)
        self._noted(tracked)
        return entities.info_of(tracked, entities.experiment_record(self.history, tracked))

    def delete_run(self, run_id: str) -> None:
        """Archive the run: lists leave it out, and nothing of it is lost."""
        tracked = self._run(run_id)
        self._writing.pop(run_id, None)
        tracked.append("archive", archived=True)
        self._noted(tracked)

    def restore_run(self, run_id: str) -> None:
        """Have an archived run in lists again."""
        tracked = self._run(run_id)
        tracked.append("archive", archived=False)
        self._noted(tracked)

    def _search_runs(
        self,
        experiment_ids: Sequence[str],
        filter_string: str | None,
        run_view_type: int,
        max_results: int,
        order_by: list[str] | None,
        page_token: str | None,
    ) -> Any:
        """The runs that match, newest first or in the order asked for, and the next page."""
        _check_count(max_results)
        records = {
            r["name"]: r for r in map(self.history.experiment, map(str, experiment_ids)) if r
        }
        stages = {True: LifecycleStage.DELETED, False: LifecycleStage.ACTIVE}
        found = [
            run
            for run in self.history.runs_of(records)
            if LifecycleStage.matches_view_type(run_view_type, stages[run.facts.archived])
        ]
        if not filter_string and not order_by:  # they come newest first: only a page is read
            page, token = SearchUtils.paginate(found, page_token, max_results)
            return [self._entity(run, records[run.experiment]) for run in page], token
        runs = [self._entity(run, records[run.experiment]) for run in found]
        chosen = SearchUtils.sort(SearchUtils.filter(runs, filter_string), order_by)
        return SearchUtils.paginate(chosen, page_token, max_results)

    def _run(self, run_id: str) -> TrackedRun:
        validation._validate_run_id(run_id)
        tracked: TrackedRun | None = self._ours(self.history.run, run_id)
        if tracked is None:
            raise _missing(f"Run '{run_id}' not found in {self.history.root}.")
        return tracked

    def _active(self, run_id: str) -> TrackedRun:
        tracked = self._run(run_id)
        if tracked.facts.archived:
            raise MlflowException(
                f"Run '{run_id}' is archived; restore it before you change it.",
                codes.INVALID_PARAMETER_VALUE,
            )
        return tracked

    def _entity(self, tracked: TrackedRun, experiment: Record | None = None) -> Any:
        """The run for MLflow; kept for one that has ended, and so stays as it is."""
        with self.history.lock:
            stamp = tracked.stamp()
            known = self._seen.get(tracked.folder)
            if stamp is not None and known is not None and known[0] == stamp:
                return known[1]
            experiment = experiment or entities.experiment_record(self.history, tracked)
            entity = entities.run_of(tracked, experiment)
            if stamp is not None:
                self._seen[tracked.folder] = (stamp, entity)
            return entity

    # Logging

    def log_metric(self, run_id: str, metric: Any) -> None:
        """Add one value: the call that training code makes each step."""
        tracked = self._writing.get(run_id)
        key, value = metric.key, metric.value
        is_known = tracked is not None and key in self._checked and type(value) is float
        if tracked is None or not is_known or getattr(metric, "model_id", None) is not None:
            self.log_batch(run_id, [metric], [], [])
        else:
            tracked.put(key, value, metric.timestamp / 1000, metric.step)

    def log_batch(self, run_id: str, metrics: Any, params: Any, tags: Any) -> None:
        """Add several values, parameters and tags."""
        metrics, params, tags = validation._validate_batch_log_data(metrics, params, tags)
        validation._validate_batch_log_limits(metrics, params, tags)
        validation._validate_param_keys_unique(params)
        tracked = self._active(run_id)
        self._set_params(tracked, {param.key: str(param.value) for param in params})
        for metric in metrics:
            if getattr(metric, "model_id", None) is None or self.note_model_metric(tracked, metric):
                tracked.put(metric.key, float(metric.value), metric.timestamp / 1000, metric.step)
        self._set_tags(tracked, {tag.key: tag.value for tag in tags})
        if tracked.facts.has_ended:
            tracked.run._metrics.close()
            self._noted(tracked)
        else:
            self._writing[run_id] = tracked
            self._checked.update(metric.key for metric in metrics)

    def set_tag(self, run_id: str, tag: Any) -> None:
        """Set one tag."""
        self.log_batch(run_id, [], [], [tag])

    def delete_tag(self, run_id: str, key: str) -> None:
        """Take a tag away."""
        tracked = self._active(run_id)
        if key not in tracked.facts.tags:
            hint = near(key, tracked.facts.tags)
            raise _missing(f"No tag with name: {key} in run with id {run_id}. {hint}")
        tracked.append("tags", remove=[key])
        self._noted(tracked)

    def _set_params(self, tracked: TrackedRun, params: dict[str, str]) -> None:
        known = tracked.facts.params
        for key, value in params.items():
            if known.get(key, value) != value:
                raise MlflowException(
                    f"Changing param values is not allowed. Param with key='{key}' was already "
                    f"logged with value='{known[key]}' for run ID='{tracked.run.id}'. Attempted "
                    f"logging new value '{value}'.",
                    codes.INVALID_PARAMETER_VALUE,
                )
        new = {key: value for key, value in params.items() if key not in known}
        if new:
            tracked.append("params", set=new)

    def _set_tags(self, tracked: TrackedRun, tags: dict[str, str]) -> None:
        name, note = tags.pop(entities.RUN_NAME, None), tags.pop(entities.NOTE, None)
        named = {"display_name": name, "description": note}
        said = {fact: value for fact, value in named.items() if value is not None}
        if said:
            tracked.append("name", **said)
        if entities.AUTOLOGGING in tags and tracked.folder == self.history.own_folder:
            self._has_autologged = True
        tags.pop(entities.PARENT, None)  # where a run lies says whose child it is
        if tags:
            tracked.append("tags", set={key: str(value) for key, value in tags.items()})

    def get_metric_history(
        self,
        run_id: str,
        metric_key: str,
        max_results: int | None = None,
        page_token: str | None = None,
    ) -> Any:
        """All values of a metric, as they were logged."""
        points = self._run(run_id).history(metric_key)
        if max_results is None:
            start, token = SearchUtils.parse_start_offset_from_page_token(page_token), None
            points = points[start:]
        else:
            points, token = SearchUtils.paginate(points, page_token, max_results)
        found = [
            Metric(metric_key, value, entities.milliseconds(when), step)
            for step, when, value in points
        ]
        return PagedList(found, token)

    # What a run uses

    def log_inputs(self, run_id: str, datasets: Any = None, models: Any = None) -> None:
        """Note the datasets and models that a run uses."""
        tracked = self._active(run_id)
        for given in datasets or ():
            tracked.append("mlflow", dataset=entities.dataset_record(given))
        for model in models or ():
            tracked.append("mlflow", model_input=model.model_id)
        self._noted(tracked)

    def _search_datasets(self, experiment_ids: Iterable[str]) -> list[Any]:
        """The datasets that runs of these experiments say they used."""
        from mlflow.entities import _DatasetSummary

        records = {each["name"]: each for each in map(self._experiment, experiment_ids)}
        found = {}
        for run in self.history.runs_of(records):
            for dataset in run.notes.datasets.values():
                context = (dataset.get("tags") or {}).get("mlflow.data.context")
                of = id_of(records[run.experiment])
                key = (of, dataset["name"], dataset["digest"], context)
                found[key] = _DatasetSummary(*key)
        return list(found.values())

    # Traces are not kept

    def search_traces(self, *args: Any, **kwargs: Any) -> Any:
        """None: traces are not kept here."""
        return [], None

    def link_traces_to_run(self, trace_ids: list[str], run_id: str) -> None:
        """Refused: traces are not kept here."""
        raise MlflowException(
            "This workspace keeps no traces. Send them to a server of MLflow's own.",
            codes.INVALID_PARAMETER_VALUE,
        )

    # Shared by all of the above

    def _noted(self, tracked: TrackedRun) -> None:
        """What changes after the end of a run has to be told to whoever lists runs."""
        if tracked.facts.has_ended:
            self.history.note(tracked)

    @staticmethod
    def _ours(ask: Any, *arguments: Any) -> Any:
        """What ``ask`` returns; a user's mistake is MLflow's error with our words."""
        try:
            return ask(*arguments)
        except UserErrorException as error:
            raise MlflowException(str(error), codes.INVALID_PARAMETER_VALUE) from error


_ALREADY_EXISTS = codes.RESOURCE_ALREADY_EXISTS


def _missing(what: str) -> MlflowException:
    return MlflowException(what, codes.RESOURCE_DOES_NOT_EXIST)


def _check_count(max_results: Any) -> None:
    if not isinstance(max_results, int) or not 0 < max_results <= _MOST_RESULTS:
        raise MlflowException(
            f"max_results is a number from 1 to {_MOST_RESULTS}, not {max_results!r}.",
            codes.INVALID_PARAMETER_VALUE,
        )


def _stays(tag: str) -> bool:
    """Whether a tag that a run is made with says what made it, and never changes."""
    named = (entities.RUN_NAME, entities.NOTE, entities.PARENT)
    return tag.startswith(entities.SYSTEM) and tag not in named


def _said_by_mlflow() -> dict[str, Any]:
    from aml_jupyter.job.run import failure

    return failure("The program ended the run as failed, by MLflow.")


def _random_name() -> str:
    from mlflow.utils.name_utils import _generate_random_name

    return str(_generate_random_name())
