"""The runs and experiments of one workspace, found and held for MLflow's questions."""

from __future__ import annotations

import os
from threading import RLock

from aml_jupyter.assets import experiments
from aml_jupyter.assets.place import MARK
from aml_jupyter.errors import UserErrorException, WorkspaceException
from aml_jupyter.job import events, layout, states
from aml_jupyter.job.mlflow_names import EXPERIMENT_ID
from aml_jupyter.job.run import Run, interactive_request, start_interactive

from .tracked import TrackedRun

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Iterable, Iterator

    Record = Dict[str, Any]

DEFAULT_ID, DEFAULT_NAME = "0", "Default"
"""The experiment that MLflow means where none is named."""

_MOST_HELD = 10_000


class History:
    """What a workspace remembers, as far as this process can see it; threads may share it.

    A job in a container has its run's folder only. Outside jobs the index answers, where the
    whole package is installed; else the folders are walked.
    """

    def __init__(self, root: str) -> None:
        self.root = root
        self.lock = RLock()
        self._held: dict[str, TrackedRun] = {}
        self._index: Any = None

    @property
    def is_whole(self) -> bool:
        """Whether the workspace is within reach, and not just the folder of one run."""
        return os.path.exists(os.path.join(self.root, MARK))

    @property
    def own_folder(self) -> str | None:
        """The folder of the run that this process is part of, if that is of this workspace."""
        folder = os.environ.get(layout.FOLDER_VARIABLE)
        if not folder:
            return None
        folder = os.path.abspath(folder)
        return folder if folder.startswith(os.path.join(self.root, "")) else None

    # Runs

    def run(self, run_id: str) -> TrackedRun | None:
        """The run with exactly this id."""
        with self.lock:
            known = self._held.get(run_id)
            if known is not None and known.is_there():
                return known
            folder = self._find(run_id)
            return None if folder is None else self.at(folder)

    def at(self, folder: str) -> TrackedRun | None:
        """The run in a folder; None where it cannot be read."""
        with self.lock:
            known = self._held.get(os.path.basename(folder))
            if known is not None and known.folder == folder:
                return known
            try:
                found = TrackedRun(_handle(folder, self.own_folder))
            except (UserErrorException, KeyError, OSError):
                return None
            if len(self._held) >= _MOST_HELD:
                self._held.clear()
            self._held[found.run.id] = found
            return found

    def runs_of(self, names: Iterable[str]) -> list[TrackedRun]:
        """The runs of these experiments, children and archived ones included, newest first."""
        wanted = set(names)
        index = self._the_index()
        if index is None:
            folders = list(run_folders(self.root))
        else:
            queries = [self._query(experiment=name, archived=True) for name in sorted(wanted)]
            found = [each for query in queries for each in index.find(query)]
            folders = [os.path.join(self.root, each.folder) for each in found]
        runs = [run for run in map(self.at, folders) if run is not None]
        chosen = [run for run in runs if run.experiment in wanted]
        return sorted(chosen, key=lambda run: run.created, reverse=True)

    def _find(self, run_id: str) -> str | None:
        direct = os.path.join(self.root, "runs", run_id)
        if os.path.exists(os.path.join(direct, layout.REQUEST)):
            return direct
        own = self.own_folder
        if own is not None:
            for folder in run_folders(self.root, own):
                if os.path.basename(folder) == run_id:
                    return folder
        index = self._the_index()
        if index is not None:
            try:
                located = str(index.locate(run_id))
            except UserErrorException:
                return None
            return located if os.path.basename(located) == run_id else None
        folders = run_folders(self.root)
        return next((each for each in folders if os.path.basename(each) == run_id), None)

    def _the_index(self) -> Any:
        """The index of the whole package; None in jobs, which have no business with it."""
        if self.own_folder is not None or not self.is_whole:
            return None
        if self._index is None:
            from importlib import import_module
            from pathlib import Path

            try:
                store = import_module("aml_jupyter.store")
            except ImportError:
                return None
            self._index = store.Index(store.WorkspaceFolder(Path(self.root)))
            self._query = store.Query
        return self._index

    def note(self, run: TrackedRun) -> None:
        """Have the index look again at a run that has ended already."""
        if self.is_whole:
            top = os.path.relpath(run.folder, os.path.join(self.root, "runs")).split(os.sep)[0]
            journal = os.path.join(self.root, "index.journal")
            for run_id in {top, run.run.id}:
                events.append_line(journal, f"{run_id}\n".encode())

    def new_run(
        self,
        experiment: str,
        parent: TrackedRun | None,
        name: str,
        properties: dict[str, str],
        user: str,
        since: float,
    ) -> TrackedRun:
        """Start an interactive run: below another one, or of its own."""
        if parent is not None:
            like = parent.run._request
            folder = os.path.join(parent.folder, layout.CHILDREN)
        else:
            like = self._like(experiment)
            folder = os.path.join(self.root, "runs")
        request = interactive_request(layout.guid(), like, parent.run.id if parent else None, name)
        request.update(created=since, properties=properties)
        request["submitted_by"] = user or request["submitted_by"]
        if _is_server():
            request["owner"] = None  # its clients are elsewhere, and outlive it
        folder = os.path.join(folder, request["id"])
        start_interactive(folder, request, since)
        found = self.at(folder)
        assert found is not None
        if parent is None or parent.facts.has_ended:
            self.note(found)
        return found

    def _like(self, experiment: str) -> Record:
        import socket

        record = layout.read_json(os.path.join(self.root, MARK)) or {}
        names = ("id", "name", "subscription_id", "resource_group")
        return {
            "experiment": experiment,
            "number": experiments.next_number(self.root, experiment),
            "workspace": {name: record.get(name) for name in names},
            "host": socket.gethostname(),
        }

    # Experiments

    def experiments(self) -> list[Record]:
        """The records of all experiments; in a container that of the run's own alone."""
        if self.is_whole:
            return experiments.records(self.root)
        own = self.at(self.own_folder) if self.own_folder else None
        if own is None:
            raise WorkspaceException(
                f"There is no workspace in {self.root}.",
                "Use the address that workspace.get_mlflow_tracking_uri() gives.",
            )
        known = os.environ.get(EXPERIMENT_ID) or own.experiment
        record = {"id": known, "name": own.experiment, "created": own.created, "tags": {}}
        return [record]

    def experiment(self, experiment_id: str) -> Record | None:
        """The record of an experiment by its id."""
        if experiment_id == DEFAULT_ID:
            return self.experiment_named(DEFAULT_NAME) or _default()
        return next((each for each in self.experiments() if each["id"] == experiment_id), None)

    def experiment_named(self, name: str) -> Record | None:
        """The record of an experiment by its name."""
        return next((each for each in self.experiments() if each["name"] == name), None)

    def new_experiment(self, name: str) -> Record:
        """The record of an experiment, made if it is not there."""
        return experiments.make(self._whole_root(), name)

    def save_experiment(self, record: Record) -> None:
        """Replace the record of an experiment."""
        experiments.save(self._whole_root(), record)

    def _whole_root(self) -> str:
        if not self.is_whole:
            raise WorkspaceException(
                "This job sees its own run only, so it cannot change experiments.",
                "Make or change them outside, or log into the run's own experiment.",
            )
        return self.root


def run_folders(root: str, below: str | None = None) -> Iterator[str]:
    """The folders of all runs of a workspace, or of those inside another run."""
    runs = os.path.join(root, "runs") if below is None else os.path.join(below, layout.CHILDREN)
    try:
        names = os.listdir(runs)
    except (FileNotFoundError, NotADirectoryError):
        return
    for name in names:
        folder = os.path.join(runs, name)
        if os.path.exists(os.path.join(folder, layout.REQUEST)):
            yield folder
            yield from run_folders(root, folder)


def id_of(record: Record) -> str:
    """The id of an experiment as MLflow knows it."""
    return DEFAULT_ID if record["name"] == DEFAULT_NAME else str(record["id"])


def _default() -> Record:
    """The experiment of that name before anybody has logged anything there."""
    return {"id": DEFAULT_ID, "name": DEFAULT_NAME, "created": 0, "archived": None, "tags": {}}


def _handle(folder: str, own: str | None) -> Run:
    """A handle on the run; on our own, the one that has its writer of metrics."""
    if folder == own:
        current = Run.get_context()
        if isinstance(current, Run):
            return current
    return Run(folder)


def _is_server() -> bool:
    """Whether this process answers for others: a tracking server of MLflow."""
    return bool(os.environ.get("_MLFLOW_SERVER_FILE_STORE"))


ENDED_AS = {"FINISHED": states.COMPLETED, "FAILED": states.FAILED, "KILLED": states.CANCELED}
"""MLflow's states that end a run, and ours."""
