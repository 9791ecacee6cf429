"""Experiment: a name that runs are kept under."""

from __future__ import annotations

import copy
import html
import os
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UserErrorException
from ..job import layout
from ..job.run import interactive_request, start_interactive, text_values
from ..spec import MMLBaseEstimator, NotebookSpec, Resources, ScriptRunConfig, Source
from ..spec.data_arguments import inputs_of
from ..store import Query, snapshots
from ..store.objects import Objects
from . import submission
from .run import InteractiveRun, Run, open_in, select

if TYPE_CHECKING:
    from .run import Wanted
    from .workspace import Workspace

_VIEWS = ("ActiveOnly", "ArchivedOnly", "All")


class Experiment:
    """A named series of runs in a workspace; made when first mentioned."""

    def __init__(self, workspace: Workspace, name: str, **kwargs: Any) -> None:
        self._workspace = workspace
        self._record = workspace.folder.experiment(name)

    @property
    def name(self) -> str:
        """The name."""
        return str(self._record["name"])

    @property
    def id(self) -> str:
        """The identifier, which stays when things are renamed."""
        return str(self._record["id"])

    @property
    def workspace(self) -> Workspace:
        """The workspace it belongs to."""
        return self._workspace

    @property
    def workspace_object(self) -> Workspace:
        """The older name of ``workspace``."""
        return self._workspace

    @property
    def archived_time(self) -> str | None:
        """When it was archived; None while it is active."""
        return self._record.get("archived")

    @property
    def tags(self) -> dict[str, str | None]:
        """The tags of the experiment."""
        return dict(self._record.get("tags") or {})

    # Runs

    def submit(
        self,
        config: ScriptRunConfig | MMLBaseEstimator,
        tags: Mapping[str, Any] | None = None,
        *,
        run_id: str | None = None,
        display_name: str | None = None,
        source: Source | None = None,
        resources: Resources | None = None,
        options: Mapping[str, Any] | None = None,
        script_params: Mapping[str, Any] | None = None,
        inputs: Sequence[Any] | None = None,
        source_directory_data_store: str | None = None,
        notebook: NotebookSpec | None = None,
        credential_passthrough: bool = False,
        show_output: bool = False,
    ) -> Run:
        """Submit a script and return its run at once; it goes on without this process.

        Everything that can be wrong with the request is said here, before anything is queued.
        ``resources`` are what it waits for; ``options`` are settings of its target that hold for
        this run only. ``script_params`` take the place of those of an estimator; ``inputs`` are
        data that the run has besides, and the other names of v1 change nothing. ``notebook`` says
        how a script that is a notebook is executed, and with which parameters.
        """
        return self._submit(
            config,
            tags,
            run_id=run_id,
            display_name=display_name,
            source=source,
            resources=resources,
            options=options,
            script_params=script_params,
            inputs=inputs,
            source_directory_data_store=source_directory_data_store,
            notebook=notebook,
        )

    def plan(
        self,
        config: ScriptRunConfig | MMLBaseEstimator,
        tags: Mapping[str, Any] | None = None,
        **details: Any,
    ) -> submission.Submission:
        """What :meth:`submit` would do, checked but not done; print it."""
        inputs, given = details.pop("inputs", None), config
        # Where v1 kept the source until a node fetched it.
        details.pop("source_directory_data_store", None)
        script_params = details.pop("script_params", None)
        if isinstance(config, MMLBaseEstimator):
            details["liked_gpus"] = config.resources.gpus
        config = _script_run_config(config, script_params)
        if inputs:
            config = copy.deepcopy(config)
            inputs_of(config.run_config, inputs, type(given).__name__)
        return submission.plan(self._workspace.folder, self.name, config, tags, **details)

    def _submit(
        self,
        config: ScriptRunConfig | MMLBaseEstimator,
        tags: Mapping[str, Any] | None = None,
        *,
        run_id: str | None = None,
        **details: Any,
    ) -> Run:
        self._refuse_archived()
        planned = self.plan(config, tags, **details)
        return open_in(self, submission.submit(planned, run_id))

    def start_logging(
        self,
        *args: Any,
        outputs: Any = None,
        snapshot_directory: str | None = ".",
        display_name: str | None = None,
        name: str | None = None,
        run_id: str | None = None,
        **kwargs: Any,
    ) -> Run:
        """Start a run that is this process; end it by ``complete()`` or as a context manager.

        ``./outputs`` is made, and taken into the run when it ends, unless ``outputs=False``.
        """
        self._refuse_archived()
        place = self._workspace.folder
        request = self._interactive_request(run_id, display_name or name)
        if snapshot_directory is not None:
            taken = snapshots.take(snapshot_directory, Objects(place.objects))
            request["properties"]["ContentSnapshotId"] = taken.id
        folder = place.runs / request["id"]
        start_interactive(str(folder), request)
        place.note(request["id"])
        run = InteractiveRun._in(self, folder)
        assert isinstance(run, InteractiveRun)
        if outputs is not False:
            run._outputs = Path(outputs if isinstance(outputs, str) else "outputs").absolute()
            run._outputs.mkdir(parents=True, exist_ok=True)
        return run

    def _interactive_request(self, run_id: str | None, name: str | None) -> dict[str, Any]:
        place = self._workspace.folder
        like = {
            "experiment": self.name,
            "number": place.next_number(self.name),
            "workspace": {
                key: place.record.get(key)
                for key in ("id", "name", "subscription_id", "resource_group")
            },
            "submitted_by": submission.user(),
            "host": socket.gethostname(),
        }
        return interactive_request(run_id or layout.guid(), like, display_name=name)

    def get_runs(
        self,
        type: str | None = None,
        tags: Wanted = None,
        properties: Wanted = None,
        include_children: bool = False,
    ) -> Iterator[Run]:
        """The runs, newest first, as they are asked for."""
        query = Query(experiment=self.name, top_level=not include_children)
        return select(self, query, type, tags, properties)

    # The experiment itself

    @staticmethod
    def list(
        workspace: Workspace,
        experiment_name: str | None = None,
        view_type: str = "ActiveOnly",
        tags: Wanted = None,
    ) -> list[Experiment]:
        """The experiments of a workspace; archived ones only when asked for."""
        if view_type not in _VIEWS:
            raise UserErrorException(
                f"{view_type!r} is not a view of experiments.", f"Use one of {', '.join(_VIEWS)}."
            )
        wanted = {"ActiveOnly": (False,), "ArchivedOnly": (True,), "All": (False, True)}[view_type]
        return [
            Experiment(workspace, record["name"])
            for record in workspace.folder.experiments()
            if bool(record.get("archived")) in wanted
            and experiment_name in (None, record["name"])
            and _has_tags(record, tags)
        ]

    @staticmethod
    def delete(workspace: Workspace, experiment_id: str) -> None:
        """Remove an experiment that has no runs."""
        for record in workspace.folder.experiments():
            if record["id"] == experiment_id:
                experiment = Experiment(workspace, record["name"])
                if next(experiment.get_runs(include_children=True), None) is not None:
                    raise UserErrorException(
                        f"Experiment {experiment.name} has runs.", "Delete or archive them first."
                    )
                os.unlink(workspace.folder.root / "experiments" / f"{record['name']}.json")
                return
        raise UserErrorException(
            f"There is no experiment with id {experiment_id}.", "Experiment.list(ws) shows them."
        )

    def archive(self) -> None:
        """Leave the experiment out of lists, and refuse new runs."""
        self._record["archived"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        self._save()

    def reactivate(self, new_name: str | None = None) -> None:
        """Make an archived experiment active again."""
        if new_name not in (None, self.name):
            raise UserErrorException(
                "An experiment cannot be renamed here: runs carry its name in their ids.",
                "Call reactivate() without a name, or use a new experiment.",
            )
        self._record["archived"] = None
        self._save()

    def tag(self, key: str, value: Any = None) -> None:
        """Set one tag."""
        self.set_tags({key: value})

    def set_tags(self, tags: dict[str, Any]) -> None:
        """Set several tags; the others stay."""
        self._record["tags"] = {**self.tags, **text_values(tags)}
        self._save()

    def remove_tags(self, tags: Any) -> None:
        """Take tags away by their keys."""
        gone = [tags] if isinstance(tags, str) else tags
        self._record["tags"] = {k: v for k, v in self.tags.items() if k not in gone}
        self._save()

    def refresh(self) -> None:
        """Read again what others may have changed."""
        self._record = self._workspace.folder.experiment(self.name)

    def get_portal_url(self) -> str:
        """The address of the experiment: the folder of runs."""
        return self._workspace.folder.runs.as_uri()

    def _save(self) -> None:
        self._workspace.folder.save_experiment(self._record)

    def _refuse_archived(self) -> None:
        self.refresh()
        if self._record.get("archived"):
            raise UserErrorException(
                f"Experiment {self.name} is archived and takes no new runs.",
                "Call experiment.reactivate() first.",
            )

    def __repr__(self) -> str:
        return f"Experiment(Name: {self.name},\nWorkspace: {self._workspace.name})"

    def _repr_html_(self) -> str:
        name, place = html.escape(self.name), html.escape(self._workspace.name)
        link = f'<a href="{html.escape(self.get_portal_url())}">folder of runs</a>'
        return (
            "<table><tr><th>Name</th><th>Workspace</th><th>Report Page</th></tr>"
            f"<tr><td>{name}</td><td>{place}</td><td>{link}</td></tr></table>"
        )


def _script_run_config(config: Any, script_params: Mapping[str, Any] | None) -> Any:
    """What an estimator means; anything else is for the submission to judge."""
    if isinstance(config, MMLBaseEstimator):
        return config.to_script_run_config(script_params)
    if script_params is not None:
        raise UserErrorException(
            "script_params are for estimators.", "Put them in the arguments of the ScriptRunConfig."
        )
    return config


def _has_tags(record: Mapping[str, Any], wanted: Wanted) -> bool:
    tags = record.get("tags") or {}
    if wanted is None or isinstance(wanted, str):
        return wanted is None or wanted in tags
    return all(key in tags and tags[key] == value for key, value in wanted.items())
