"""The workspace as a job sees it where the whole package is not: a bare Python, a container.

Names, datastores, datasets, models, and the runs that are there already. What needs the machinery
that submits and builds says so.
"""

from __future__ import annotations

import os

from aml_jupyter.errors import UserErrorException, WorkspaceException
from aml_jupyter.job import layout
from aml_jupyter.job.run import Run, _RunInJob, iso

from .of_workspace import OfWorkspace
from .place import MARK, root_above
from .workspace_facts import PROVIDER, WorkspaceFacts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterator, Mapping

_FULL = "Install aml-jupyter in the job's interpreter, or do it outside the job."


def open_run(folder: str) -> WorkspaceRun:
    """The run in ``folder``, as a handle of its workspace."""
    return WorkspaceRun(folder)


class Workspace(WorkspaceFacts):
    """The workspace of the run that this process is part of."""

    def __init__(
        self,
        subscription_id: str | None = None,
        resource_group: str | None = None,
        workspace_name: str | None = None,
        auth: Any = None,
        **kwargs: Any,
    ) -> None:
        folder = os.environ.get(layout.FOLDER_VARIABLE)
        if not folder:
            raise WorkspaceException(
                "This process is not part of a run, and this is a job's part of aml-jupyter.",
                "Install aml-jupyter in this interpreter.",
            )
        self._open(folder)
        if workspace_name not in (None, self.name):
            raise WorkspaceException(
                f"A job sees its own workspace only, {self.name!r}, and not {workspace_name!r}.",
                "Use Run.get_context().experiment.workspace.",
            )

    def _open(self, run_folder: str) -> None:
        self._root = root_above(run_folder)
        if self._root is None:
            # A container that has only the run's folder: the names are in the run's request.
            request = layout.read_json(os.path.join(run_folder, layout.REQUEST)) or {}
            self._said: Mapping[str, Any] = request.get("workspace") or {}
        else:
            self._said = layout.read_json(os.path.join(self._root, MARK)) or {}

    @property
    def _record(self) -> Mapping[str, Any]:
        return self._said

    @classmethod
    def _of_run(cls, folder: str) -> Workspace:
        workspace = cls.__new__(cls)
        workspace._open(folder)
        return workspace

    @staticmethod
    def from_config(path: Any = None, auth: Any = None, _file_name: Any = None) -> Workspace:
        """The workspace of the run that this process is part of."""
        return Workspace()

    @staticmethod
    def get(
        name: str,
        auth: Any = None,
        subscription_id: str | None = None,
        resource_group: str | None = None,
        **kwargs: Any,
    ) -> Workspace:
        """The same, by its name."""
        return Workspace(workspace_name=name)

    @property
    def root(self) -> str:
        """Its ``.aml`` folder."""
        if self._root is None:
            raise WorkspaceException(
                f"The files of workspace {self.name} are not within reach of this job, which has "
                "the run's folder alone.",
                "Hand it datasets as inputs, write into outputs/ what is to stay, and register "
                "models once the run has ended.",
            )
        return self._root

    def get_details(self) -> dict[str, Any]:
        """The facts of the workspace with v1's keys."""
        return {
            "id": self._scope(),
            "name": self.name,
            "location": self.location,
            "type": PROVIDER,
            "workspaceid": self._record.get("id"),
            "creationTime": iso(self._record.get("created") or 0),
            "storageAccount": self._root,
        }

    @property
    def experiments(self) -> dict[str, Experiment]:
        """The experiments by name."""
        folder = os.path.join(self.root, "experiments")
        files = os.listdir(folder) if os.path.isdir(folder) else []  # a container lacks it
        names = [name[:-5] for name in files if name.endswith(".json")]
        return {name: Experiment(self, name) for name in sorted(names)}

    def get_run(self, run_id: str) -> Run:
        """The run with that id."""
        for folder in self._run_folders():
            if os.path.basename(folder) == run_id:
                return _RunInJob(folder)
        raise UserErrorException(
            f"There is no run {run_id} in workspace {self.name}.", "Give the whole id."
        )

    def _run_folders(self, below: str | None = None) -> Iterator[str]:
        """The folders of all runs, children included."""
        runs = os.path.join(self.root, "runs") if below is None else below
        for name in os.listdir(runs) if os.path.isdir(runs) else []:
            folder = os.path.join(runs, name)
            if os.path.exists(os.path.join(folder, layout.REQUEST)):
                yield folder
                yield from self._run_folders(os.path.join(folder, layout.CHILDREN))

    def __getattr__(self, name: str) -> Any:
        raise _needs_more(f"workspace.{name}", name)


class Experiment:
    """An experiment of that workspace: its name and its runs."""

    def __init__(self, workspace: Workspace, name: str, **kwargs: Any) -> None:
        self.workspace = workspace
        self.name = name

    @property
    def workspace_object(self) -> Workspace:
        """The older name of ``workspace``."""
        return self.workspace

    def get_runs(self, include_children: bool = False) -> Iterator[Run]:
        """The runs, newest first."""
        found = []
        for folder in self.workspace._run_folders():
            request = layout.read_json(os.path.join(folder, layout.REQUEST)) or {}
            is_asked = include_children or not request.get("parent")
            if request.get("experiment") == self.name and is_asked:
                found.append((request.get("created") or 0, folder))
        return (_RunInJob(folder) for _, folder in sorted(found, reverse=True))

    def __getattr__(self, name: str) -> Any:
        raise _needs_more(f"experiment.{name}", name)

    def __repr__(self) -> str:
        return f"Experiment(Name: {self.name},\nWorkspace: {self.workspace.name})"


class WorkspaceRun(OfWorkspace, Run):
    """A run with its workspace beside it."""

    @property
    def experiment(self) -> Experiment:
        """The experiment the run belongs to."""
        return Experiment(Workspace._of_run(self._folder), str(self._request.get("experiment")))

    @property
    def parent(self) -> Run | None:
        """The run that this one is a child of."""
        parent = self._request.get("parent")
        return self.experiment.workspace.get_run(parent) if parent else None

    def get_children(self, recursive: bool = False) -> Iterator[Run]:
        """The children, newest first."""
        runs = self.experiment.get_runs(include_children=True)
        for run in runs:
            if run._request.get("parent") == self.id:
                yield run
                if recursive:
                    yield from WorkspaceRun(run._folder).get_children(recursive=True)

    def get_snapshot_id(self) -> str | None:
        """Names the source that the run was started from."""
        return self.properties.get("ContentSnapshotId")

    def get_portal_url(self) -> str:
        """The address of the run: its folder."""
        return f"file://{self._folder}"

    def __getattr__(self, name: str) -> Any:
        raise _needs_more(f"run.{name}", name)


def _needs_more(what: str, name: str) -> AttributeError:
    if name.startswith("_"):
        return AttributeError(name)
    return AttributeError(f"{what} needs the aml-jupyter package in this interpreter. {_FULL}")
