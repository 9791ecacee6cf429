"""Run: a handle on a run of a workspace, wherever it runs and whoever started it."""

from __future__ import annotations

import os
import sys
import time

from .. import runner, store
from ..assets.of_workspace import OfWorkspace
from ..errors import (
    ActivityFailedException,
    ExperimentExecutionException,
    UserErrorException,
)
from ..job import layout, states
from ..job import run as job_run
from ..job.events import Facts

# Training code that is run by hand imports this module too, and must not wait for it: what
# only some methods need is fetched there, and types are for the reader and the type checker.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from typing import Any

    from ..assets.reference import DataPath
    from ..spec import Environment, ScriptRunConfig
    from ..store import LogTail, Objects, Query, RunSummary
    from .compute_target import ComputeTarget
    from .experiment import Experiment

    Wanted = str | Mapping[str, str | None] | None

__all__ = ["InteractiveRun", "Run", "ScriptRun", "open_in", "select"]

_PAGE = 200
_POLL = (0.05, 0.5)
_LOG_ORDER = ("20_", "55_", "60_", "65_", "70_", "75_")


class Run(OfWorkspace, job_run.Run):
    """A run of an experiment: watch it, wait for it, cancel it, look at what it left."""

    def __init__(
        self, experiment: Experiment, run_id: str, outputs: Any = None, **kwargs: Any
    ) -> None:
        self._experiment = experiment
        super().__init__(str(experiment.workspace._index().locate(run_id)))

    @classmethod
    def _in(cls, experiment: Experiment, folder: str | os.PathLike[str]) -> Run:
        run = cls.__new__(cls)
        run._experiment = experiment
        job_run.Run.__init__(run, os.fspath(folder))
        return run

    def _at(self, folder: str) -> Run:
        return open_in(self._experiment, folder)

    @staticmethod
    def get(workspace: Any, run_id: str) -> Run:
        """The run with that id in a workspace."""
        run: Run = workspace.get_run(run_id)
        return run

    @staticmethod
    def list(
        experiment: Experiment,
        type: str | None = None,
        tags: Wanted = None,
        properties: Wanted = None,
        status: str | None = None,
        include_children: bool = False,
    ) -> Iterator[Run]:
        """The runs of an experiment, newest first, as they are asked for."""
        query = store.Query(
            experiment=experiment.name, state=status, top_level=not include_children
        )
        return select(experiment, query, type, tags, properties)

    @staticmethod
    def list_by_compute(
        compute: ComputeTarget,
        type: str | None = None,
        tags: Wanted = None,
        properties: Wanted = None,
        status: str | None = None,
    ) -> Iterator[Run]:
        """The runs of a compute target, whatever their experiment, newest first."""
        workspace = compute.workspace
        for summary in workspace.find_runs(store.Query(state=status, limit=-1)):
            if summary.target == compute.name and matches(summary, type, tags, properties):
                yield workspace.get_run(summary.id)

    # Identity and place

    @property
    def experiment(self) -> Experiment:
        """The experiment the run belongs to."""
        return self._experiment

    @property
    def folder(self) -> Path:
        """The run's folder: everything that is true about it."""
        from pathlib import Path

        return Path(self._folder)

    @property
    def parent(self) -> Run | None:
        """The run that this one is a child of."""
        parent = self._request.get("parent")
        return self._experiment.workspace.get_run(parent) if parent else None

    def get_environment(self) -> Environment | None:
        """The environment the run was submitted with; None for an interactive run."""
        from ..spec import RunConfiguration

        definition = self._request.get("definition")
        return RunConfiguration.from_definition(definition).environment if definition else None

    # Following

    def wait_for_completion(
        self,
        show_output: bool = False,
        wait_post_processing: bool = False,
        raise_on_error: bool = True,
    ) -> dict[str, Any]:
        """Wait until the run has ended and return :meth:`get_details`.

        Raises :class:`ActivityFailedException` if it failed. Interrupting the wait leaves the
        run alone.
        """
        try:
            if show_output:
                _Stream(self).follow()
            else:
                for _ in self._ticks():
                    pass
        except KeyboardInterrupt:
            raise ExperimentExecutionException(
                f"Waiting for run {self.id} was interrupted; the run itself goes on.",
                "run.cancel() ends it; run.wait_for_completion() waits again.",
            ) from None
        details = self.get_details()
        if self.status == states.FAILED and raise_on_error:
            raise _failed(self, details)
        return details

    def _ticks(self) -> Iterator[None]:
        """Yields now and then until the run has ended, and once after it has."""
        pause, longest = _POLL
        while not self._read().has_ended:
            yield
            time.sleep(pause)
            pause = min(longest, pause * 1.2)
        yield

    # Ending

    def cancel(self) -> None:
        """Ask the run and its children to end; a run that has ended stays as it is."""
        if self._read().has_ended:
            return
        # The runner asks the children of a family: it knows those that are still to come.
        if not self._request.get("family"):
            for child in list(self.get_children()):
                child.cancel()
        if self._is_the_runners:
            self._append("cancel", by=f"pid {os.getpid()}")
            runner.wake()
        else:
            super().cancel()

    def delete(self) -> None:
        """Remove the run and all it left, children included. v1 could not.

        A run that has not ended is refused.
        """
        if not self._read().has_ended:
            raise UserErrorException(
                f"Run {self.id} is {self.status}; only a run that has ended can be deleted.",
                "Cancel it first: run.cancel().",
            )
        for child in list(self.get_children()):
            child.delete()
        store.delete_run(self.folder)
        self._experiment.workspace.folder.note(self.id)

    # Children

    def get_children(
        self,
        recursive: bool = False,
        tags: Wanted = None,
        properties: Wanted = None,
        type: str | None = None,
        status: str | None = None,
    ) -> Iterator[Run]:
        """The children, newest first, as they are asked for."""
        query = store.Query(parent=self.id, state=None if recursive else status)
        for child in select(self._experiment, query):
            if matches(child, type, tags, properties) and status in (None, child.status):
                yield child
            if recursive:
                yield from child.get_children(True, tags, properties, type, status)

    def _descendants(self) -> Iterator[Run]:
        return self.get_children(recursive=True)

    def child_run(
        self, name: str | None = None, run_id: str | None = None, outputs: Any = None
    ) -> Run:
        """Start a run below this one; use it as a context manager or complete it."""
        child: Run = super().child_run(name, run_id, outputs)
        self._experiment.workspace.folder.note(self.id)
        return child

    def submit_child(
        self, config: ScriptRunConfig, tags: Mapping[str, Any] | None = None, **kwargs: Any
    ) -> Run:
        """Submit a run with this one as its parent."""
        return self._experiment._submit(config, tags, parent=self.id, **kwargs)

    def rerun(
        self,
        tags: Mapping[str, Any] | None = None,
        display_name: str | None = None,
        locked: bool = False,
    ) -> Run:
        """Submit a new run of the same source, job and target, and return it at once.

        The source is this run's snapshot: what the folder holds by now does not matter. With
        ``locked`` the packages are exactly those in this run's ``environment.lock``. Tags and
        name are those this run was submitted with, unless given. v1 had no such thing.
        """
        from ..spec import RunRequest
        from . import submission

        experiment = self._experiment
        experiment._refuse_archived()
        request = RunRequest.from_json(self._request)
        place = experiment.workspace.folder
        again = submission.submit_again(place, request, tags, display_name, locked)
        return open_in(experiment, again)

    def _get_outputs_datapath(self) -> DataPath:
        """Where the run's outputs are, as v1's samples ask for it to resume from them."""
        from ..assets.datastore import Datastore
        from ..assets.reference import DataPath
        from ..assets.stores import ARTIFACTS

        artifacts = Datastore(self._experiment.workspace, ARTIFACTS)
        return DataPath(artifacts, f"ExperimentRun/dcid.{self.id}/{layout.OUTPUTS}")

    # Source

    def get_snapshot_id(self) -> str | None:
        """Names the source that the run was started from."""
        return self.properties.get("ContentSnapshotId")

    def take_snapshot(self, file_or_folder_path: str) -> str:
        """Remember a folder as the source of this run; a run has one snapshot."""
        if self.get_snapshot_id():
            raise UserErrorException(
                f"Run {self.id} has a snapshot already.", "A run has one snapshot."
            )
        from pathlib import Path

        path = Path(file_or_folder_path)
        files = {path.name: path.read_bytes()} if path.is_file() else {}
        snapshot = store.snapshots.take(None if files else path, self._objects(), files=files)
        self.add_properties({"ContentSnapshotId": snapshot.id})
        return snapshot.id

    def restore_snapshot(self, snapshot_id: str | None = None, path: str | None = None) -> str:
        """Write the run's source as ``<snapshot id>.zip`` below ``path``; returns where it is."""
        snapshot_id = snapshot_id or self.get_snapshot_id()
        if not snapshot_id:
            raise UserErrorException(
                f"Run {self.id} has no snapshot.", "Interactive runs may be made without one."
            )
        from pathlib import Path

        folder = Path(path or ".")
        folder.mkdir(parents=True, exist_ok=True)
        return str(
            store.snapshots.zip_to(snapshot_id, self._objects(), folder / f"{snapshot_id}.zip")
        )

    def _objects(self) -> Objects:
        return store.Objects(self._experiment.workspace.folder.objects)

    # Shared

    def _read(self) -> Facts:
        facts = super()._read()
        if not facts.has_ended and self._is_the_runners:
            runner.look_after()
        return facts

    @property
    def _is_the_runners(self) -> bool:
        """Whether the runner takes it to its end: it has a job, or is its children."""
        return bool(self._request.get("job") or self._request.get("family"))

    def _append(self, kind: str, **facts: Any) -> None:
        super()._append(kind, **facts)
        self._experiment.workspace.folder.note(self.id)

    def archive(self) -> None:
        """Leave the run out of lists; it stays where it is."""
        self._append("archive", archived=True)

    def reactivate(self) -> None:
        """Show an archived run in lists again."""
        self._append("archive", archived=False)

    def _repr_html_(self) -> str:
        import html

        cells = {
            "Experiment": self._experiment.name,
            "Id": self.id,
            "Type": self.type or "",
            "Status": self.status,
        }
        head = "".join(f"<th>{name}</th>" for name in [*cells, "Details Page"])
        row = "".join(f"<td>{html.escape(value)}</td>" for value in cells.values())
        link = f'<td><a href="{html.escape(self.get_portal_url())}">folder of the run</a></td>'
        return f"<table><tr>{head}</tr><tr>{row}{link}</tr></table>"


class ScriptRun(Run):
    """A submitted script."""

    RUN_TYPE = "azureml.scriptrun"


class InteractiveRun(Run):
    """A run that is this process: ``experiment.start_logging()``."""

    _outputs: Path | None = None

    def _end(self, state: str, error: dict[str, Any] | None = None) -> None:
        if self._outputs is not None and self._outputs.is_dir():
            for name, path in layout.files_below(str(self._outputs)):
                target = self.folder / layout.OUTPUTS / name
                if not target.exists():
                    job_run._copy(path, str(target))
        super()._end(state, error)


def open_in(experiment: Experiment, folder: str | os.PathLike[str]) -> Run:
    """The run in ``folder`` with the class that fits its type."""
    run = Run._in(experiment, folder)
    if run.type == ScriptRun.RUN_TYPE:
        run.__class__ = ScriptRun
    return run


def select(
    experiment: Experiment,
    query: Query,
    type: str | None = None,
    tags: Wanted = None,
    properties: Wanted = None,
) -> Iterator[Run]:
    """The runs that match, fetched a page at a time as they are asked for."""
    from dataclasses import replace

    place = experiment.workspace
    if isinstance(tags, str):
        query = replace(query, tag=tags)
    offset = 0
    while True:
        page = place._index().find(replace(query, limit=_PAGE, offset=offset))
        for summary in page:
            if matches(summary, type, tags, properties):
                owner = place._experiment_of(summary.experiment)
                yield open_in(owner, place.folder.root / summary.folder)
        if len(page) < _PAGE:
            return
        offset += _PAGE


def matches(run: Run | RunSummary, type: str | None, tags: Wanted, properties: Wanted) -> bool:
    """Whether a run is of that type and has these tags and properties; None asks for nothing."""
    return type in (None, run.type) and _has(run.tags, tags) and _has(run.properties, properties)


def _has(facts: Mapping[str, str | None], wanted: Wanted) -> bool:
    """v1's rule: a string asks for the key, a dict for all of its pairs."""
    if wanted is None:
        return True
    if isinstance(wanted, str):
        return wanted in facts
    return all(key in facts and facts[key] == value for key, value in wanted.items())


def _failed(run: Run, details: Mapping[str, Any]) -> ActivityFailedException:
    import json

    error = _brief(details.get("error"))
    return ActivityFailedException(
        f"Run {run.id} failed: {error['error']['message']}\n{json.dumps(error, indent=4)}",
        f"Its log: {run.folder / _telling_log(run)}",
    )


def _brief(error: Mapping[str, Any] | None) -> dict[str, dict[str, Any]]:
    """An error as v1 prints it: without the traceback and log that were just on the screen."""
    inner = (error or {}).get("error") or {}
    return {"error": {key: inner.get(key) for key in ("code", "message")}}


def _telling_log(run: Run) -> str:
    """The log of the job; of its environment's build when that was the end."""
    has_begun = (run.folder / layout.DRIVER_LOG).exists()
    return layout.DRIVER_LOG if has_begun else layout.BUILD_LOG


class _Stream:
    """Prints a run's logs as v1 does, one block for each log as it appears."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._tails: dict[str, LogTail] = {}

    def follow(self) -> None:
        run = self._run
        print(f"RunId: {run.id}\nWeb View: {run.get_portal_url()}")
        for _ in run._ticks():
            self._show_new()
        self._show_new()
        print(f"\nExecution Summary\n=================\nRunId: {run.id}")
        print(f"Web View: {run.get_portal_url()}\n")
        self._show_troubles()

    def _show_new(self) -> None:
        logs = self._run.folder / "azureml-logs"
        for path in sorted(logs.glob("*.txt")):
            if path.name.startswith(_LOG_ORDER) and not layout.is_driver_log_again(path):
                tail = self._tails.get(path.name) or self._begin(path)
                if tail is not None:
                    self._copy(tail)

    def _begin(self, path: Path) -> LogTail | None:
        if not path.stat().st_size:
            return None
        name = f"azureml-logs/{path.name}"
        print(f"\nStreaming {name}\n{'=' * (len(name) + 10)}\n")
        self._tails[path.name] = store.LogTail(path)
        return self._tails[path.name]

    @staticmethod
    def _copy(tail: LogTail) -> None:
        while text := tail.text():
            sys.stdout.write(text)
        sys.stdout.flush()

    def _show_troubles(self) -> None:
        import json

        details = self._run.get_details()
        if details.get("warnings"):
            print(f"Warnings:\n{json.dumps(details['warnings'], indent=4)}\n")
        if details.get("error"):
            print(f"Error:\n{json.dumps(_brief(details['error']), indent=4)}\n")
