"""Workspace: the place that experiments and runs belong to, a folder of the project."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..assets.workspace_facts import PROVIDER, WorkspaceFacts
from ..errors import UserErrorException, WorkspaceException
from ..home import home
from ..job import layout
from ..job.run import text_values
from ..store import Index, Query, RunSummary, WorkspaceFolder, project_for
from ..store.progress import shown_progress
from .experiment import Experiment
from .run import Run, open_in

if TYPE_CHECKING:
    from ..spec import Environment
    from ..store.conditions import Selection
    from ..store.listing import Group
    from .compute_target import ComputeTarget
    from .environments import EnvironmentRegistry
    from .run_list import FilterWords, RunsPage

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{2,32}")
_CONFIG_FOLDERS = (".azureml", "aml_config", "")
_CONFIG_FILES = ("config.json", "project.json")


class Workspace(WorkspaceFacts):
    """Experiments and runs of one project, in its ``.aml`` folder; nothing else is needed.

    ``Workspace.from_config()`` finds it, or makes it.
    """

    DEFAULT_CPU_CLUSTER_NAME = "cpu-cluster"
    DEFAULT_GPU_CLUSTER_NAME = "gpu-cluster"

    def __init__(
        self,
        subscription_id: str | None = None,
        resource_group: str | None = None,
        workspace_name: str | None = None,
        auth: Any = None,
        **kwargs: Any,
    ) -> None:
        found = Workspace.get(workspace_name or "", None, subscription_id, resource_group)
        self._open(found.folder)

    def _open(self, folder: WorkspaceFolder) -> None:
        self._folder = folder
        self._made_index: Index | None = None
        self._experiments: dict[str, Experiment] = {}

    @property
    def _record(self) -> Mapping[str, Any]:
        return self._folder.record

    @classmethod
    def _at(cls, folder: WorkspaceFolder) -> Workspace:
        workspace = cls.__new__(cls)
        workspace._open(folder)
        _remember(folder)
        return workspace

    # Finding and making

    @staticmethod
    def from_config(
        path: str | os.PathLike[str] | None = None, auth: Any = None, _file_name: Any = None
    ) -> Workspace:
        """The workspace of the project at ``path`` (default: here), made if there is none.

        A ``config.json`` from Azure is accepted: its names become those of the local one.
        """
        start = Path(path or ".")
        if path is not None and not start.exists():
            raise UserErrorException(
                f"There is no file or folder {start}.", "Leave path out to look from here upwards."
            )
        folder, project, facts = _place(start)
        return Workspace._at(folder or WorkspaceFolder.create(project, **facts))

    @staticmethod
    def find(path: str | os.PathLike[str] | None = None) -> Workspace | None:
        """The workspace that :meth:`from_config` would find; None where it would make one."""
        folder, _, _ = _place(Path(path or "."))
        return Workspace._at(folder) if folder else None

    @staticmethod
    def create(
        name: str,
        auth: Any = None,
        subscription_id: str | None = None,
        resource_group: str | None = None,
        location: str | None = None,
        create_resource_group: bool = True,
        sku: str = "basic",
        exist_ok: bool = False,
        show_output: bool = True,
        **kwargs: Any,
    ) -> Workspace:
        """Make a workspace of that name for the project here."""
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise UserErrorException(
                f"{name!r} is not a name for a workspace.",
                "It has 3 to 33 letters, digits, _ or -, and starts with a letter or digit.",
            )
        facts = {"name": name, "subscription_id": subscription_id}
        facts.update(resource_group=resource_group, location=location)
        project = project_for(Path("."))
        existing = _named(facts, project)
        if existing is not None:
            if not exist_ok:
                raise WorkspaceException(
                    f"There is a workspace {name} already, in {existing.project}.",
                    "Use Workspace.get(name), or pass exist_ok=True.",
                )
            return Workspace._at(existing)
        if WorkspaceFolder.find(project) is not None:
            # A project has one workspace of its own; others of the user live in the home.
            project = home().make().workspaces / name
            project.mkdir(exist_ok=True)
        return Workspace._at(WorkspaceFolder.create(project, **facts))

    @staticmethod
    def get(
        name: str,
        auth: Any = None,
        subscription_id: str | None = None,
        resource_group: str | None = None,
        location: str | None = None,
        cloud: str = "AzureCloud",
        id: str | None = None,
    ) -> Workspace:
        """The workspace of that name: here, or wherever it was seen last."""
        found = _named({"name": name}, Path("."))
        if found is None:
            known = ", ".join(sorted(Workspace.list())) or "none"
            raise WorkspaceException(
                f"There is no workspace named {name!r}.",
                f"Known are: {known}. Workspace.create(name) makes one.",
            )
        return Workspace._at(found)

    @staticmethod
    def list(
        subscription_id: str | None = None, auth: Any = None, resource_group: str | None = None
    ) -> dict[str, list[Workspace]]:
        """All workspaces seen on this machine that are still there, by name."""
        found: dict[str, list[Workspace]] = {}
        for folder in _known():
            found.setdefault(str(folder.record["name"]), []).append(Workspace._at(folder))
        return found

    def write_config(self, path: str | None = None, file_name: str | None = None) -> None:
        """Write ``.azureml/config.json`` so that :meth:`from_config` finds this workspace."""
        target = Path(path or ".").absolute()
        if target.name != ".azureml":
            legacy = target / "aml_config"
            target = legacy if legacy.is_dir() else target / ".azureml"
        target.mkdir(parents=True, exist_ok=True)
        default = "project.json" if (target / "project.json").exists() else "config.json"
        content = {"Id": None, "Scope": self._scope()}
        (target / (file_name or default)).write_text(json.dumps(content))

    # What samples print

    @property
    def folder(self) -> WorkspaceFolder:
        """Where all of it is."""
        return self._folder

    @property
    def sku(self) -> str:
        """Always ``basic``."""
        return "basic"

    @property
    def tags(self) -> dict[str, str | None]:
        """What :meth:`update` was told last."""
        return dict(self._folder.record.get("tags") or {})

    @property
    def discovery_url(self) -> str:
        """The address of the workspace: its folder."""
        return self._folder.root.as_uri()

    @property
    def service_context(self) -> Workspace:
        """What v1's clients of services were made from; there is nothing but the workspace."""
        return self

    @property
    def linked_services(self) -> dict[str, object]:
        """No other services of Azure."""
        return {}

    @property
    def private_endpoints(self) -> dict[str, object]:
        """No networks of Azure."""
        return {}

    def update(
        self,
        friendly_name: str | None = None,
        description: str | None = None,
        tags: Mapping[str, Any] | None = None,
        **settings: Any,
    ) -> dict[str, Any]:
        """Note what is given, and return :meth:`get_details`; settings of Azure change nothing."""
        new_tags = None if tags is None else text_values(dict(tags))
        said = {"friendly_name": friendly_name, "description": description, "tags": new_tags}
        self._folder.note_facts({key: value for key, value in said.items() if value is not None})
        return self.get_details()

    def sync_keys(self, no_wait: bool = False) -> None:
        """Do nothing: a folder has no keys."""

    def list_keys(self) -> dict[str, Any]:
        """No keys: a folder has none."""
        return {}

    def delete(self, delete_dependent_resources: bool = False, no_wait: bool = False) -> None:
        """Refused: nothing is rented here, and every run would be lost."""
        raise WorkspaceException(
            f"The workspace {self.name} is the history of this project, and is not deleted.",
            f"Leave the call out; remove {self._folder.root} by hand if you mean it.",
        )

    def get_details(self) -> dict[str, Any]:
        """The facts of the workspace with v1's keys."""
        record = self._folder.record
        return {
            "id": self._scope(),
            "name": self.name,
            "location": self.location,
            "type": PROVIDER,
            "friendlyName": record.get("friendly_name") or self.name,
            "description": record.get("description"),
            "tags": self.tags,
            "sku": self.sku,
            "workspaceid": record["id"],
            "creationTime": layout_time(record["created"]),
            "storageAccount": str(self._folder.root),
        }

    # What is in it

    @property
    def experiments(self) -> dict[str, Experiment]:
        """Active experiments by name."""
        return {experiment.name: experiment for experiment in Experiment.list(self)}

    @property
    def environments(self) -> dict[str, Environment]:
        """The latest version of each registered and each curated environment, by name."""
        return self.environment_registry.latest()

    @property
    def environment_registry(self) -> EnvironmentRegistry:
        """Where environments are kept; what ``Environment.get`` and its family ask."""
        from .environments import EnvironmentRegistry

        return EnvironmentRegistry(self._folder)

    @property
    def compute_targets(self) -> dict[str, ComputeTarget]:
        """The compute targets by name."""
        from .compute_target import ComputeTarget

        return {target.name: target for target in ComputeTarget.list(self)}

    def get_default_compute_target(self, type: str) -> ComputeTarget | None:
        """The target that v1 calls ``cpu-cluster`` or ``gpu-cluster``, for ``"CPU"`` or ``"GPU"``.

        None if there is no such target.
        """
        names = {"CPU": self.DEFAULT_CPU_CLUSTER_NAME, "GPU": self.DEFAULT_GPU_CLUSTER_NAME}
        if str(type).upper() not in names:
            raise UserErrorException(f"{type!r} is no kind of compute target.", "CPU or GPU.")
        return self.compute_targets.get(names[str(type).upper()])

    @property
    def webservices(self) -> dict[str, object]:
        """No web services: they are not here yet."""
        return {}

    @property
    def images(self) -> dict[str, object]:
        """No container images of v1's first web services, which there are none of here."""
        return {}

    def set_default_datastore(self, name: str) -> None:
        """Let the datastore of that name be the default."""
        from ..assets.datastore import Datastore

        Datastore(self, name).set_as_default()

    def targets(self) -> dict[str, str]:
        """The names that runs may be submitted to, and their kinds."""
        from .compute import entries

        return {name: entry.kind for name, entry in entries(self._folder).items()}

    def get_run(self, run_id: str) -> Run:
        """The run with that id, or with the only id that begins so."""
        folder = self._index().locate(run_id)
        request = layout.read_json(str(folder / layout.REQUEST)) or {}
        return open_in(self._experiment_of(str(request.get("experiment"))), folder)

    def runs(
        self,
        limit: int = 50,
        experiment: str | None = None,
        state: str | None = None,
        tag: str | Mapping[str, str] | None = None,
        **more: Any,
    ) -> Sequence[RunSummary]:
        """The newest runs that match, one line each; ``more`` are fields of a ``Query``."""
        key = value = None
        if isinstance(tag, str):
            key, _, value = tag.partition("=")
        elif tag:
            key, value = next(iter(tag.items()))
        query = Query(
            experiment=experiment,
            state=state,
            tag=key,
            tag_value=value or None,
            limit=limit,
            **more,
        )
        return self.find_runs(query)

    def find_runs(self, query: Query) -> Sequence[RunSummary]:
        """The runs that a query asks for, one line each."""
        return self._index().find(query)

    def list_runs(
        self,
        filter: str | Selection = "",
        sort: str = "live",
        descending: bool | None = None,
        by: str | None = None,
        group: str | None = None,
        offset: int = 0,
        limit: int = 100,
    ) -> RunsPage:
        """A page of the runs that a filter line finds, in order; see ``run_list.list_runs``."""
        from .run_list import list_runs

        return list_runs(self._index(), filter, sort, descending, by, group, offset, limit)

    def run_groups(self, by: str, filter: str | Selection = "") -> tuple[int, Sequence[Group]]:
        """How many runs match, and their groups: ``by`` experiment, notebook or sweep."""
        from .run_list import run_groups

        return run_groups(self._index(), by, filter)

    def filter_words(self) -> FilterWords:
        """The names that a filter line can be completed with."""
        from .run_list import filter_words

        return filter_words(self._index())

    def filter_completions(self, word: str) -> Sequence[str]:
        """What the last word of a filter line may become."""
        from .run_list import completions

        return completions(self._index(), word)

    def reindex(self) -> int:
        """Build the index again from the run folders; returns how many runs there are."""
        (self._folder.root / "index.db").unlink(missing_ok=True)
        self._made_index = None
        return self._index().count()

    @property
    def index(self) -> Index:
        """The index over the runs, opened once."""
        return self._index()

    def _index(self) -> Index:
        if self._made_index is None:
            with shown_progress("reading runs", "runs") as progress:
                self._made_index = Index(self._folder, progress)
        return self._made_index

    def _experiment_of(self, name: str) -> Experiment:
        if name not in self._experiments:
            self._experiments[name] = Experiment(self, name)
        return self._experiments[name]


def open_workspace(folder: WorkspaceFolder) -> Workspace:
    """The workspace in that very folder, whatever a ``config.json`` beside it names."""
    return Workspace._at(folder)


def open_run(folder: str) -> Run:
    """The run in a folder, as a handle of its workspace; for code inside a job."""
    path = Path(folder)
    for above in path.parents:
        if (above / "workspace.json").exists():
            workspace = Workspace._at(WorkspaceFolder(above))
            request = layout.read_json(str(path / layout.REQUEST)) or {}
            return open_in(workspace._experiment_of(str(request.get("experiment"))), path)
    raise WorkspaceException(
        f"The workspace of {folder} is not within reach.", "The job sees its own folder only."
    )


def layout_time(when: float) -> str:
    """A moment as v1 prints it."""
    from ..job.run import iso

    return iso(when)


def _place(start: Path) -> tuple[WorkspaceFolder | None, Path, dict[str, str | None]]:
    """The workspace for ``start``, if there is one; the project it belongs to, and its names."""
    config = _find_config(start)
    if config is None:
        return WorkspaceFolder.find(start), project_for(start), {}
    facts, above = _read_config(config), config.parent
    project = above.parent if above.name in _CONFIG_FOLDERS else above
    return _named(facts, project) or WorkspaceFolder.at(project), project, facts


def _find_config(start: Path) -> Path | None:
    """v1's search: each kind of folder all the way up, before the next kind."""
    start = start.absolute()
    if start.is_file():
        return start
    for below in _CONFIG_FOLDERS:
        for folder in (start, *start.parents):
            for name in _CONFIG_FILES:
                path = folder / below / name
                if path.is_file() and (below or _is_config(path)):
                    return path
    return None


def _is_config(path: Path) -> bool:
    """A bare ``config.json`` may belong to anything; ours has the keys of a workspace."""
    content = layout.read_json(str(path))
    return isinstance(content, dict) and ("Scope" in content or "workspace_name" in content)


def _read_config(path: Path) -> dict[str, str | None]:
    content = layout.read_json(str(path))
    if isinstance(content, dict):
        if "workspace_name" in content:
            keys = ("workspace_name", "subscription_id", "resource_group")
            if all(content.get(key) for key in keys):
                return dict(zip(("name", *keys[1:]), (content[key] for key in keys), strict=True))
        elif str(content.get("Scope", "")).count("/") >= 8:
            parts = str(content["Scope"]).split("/")
            return {"name": parts[8], "subscription_id": parts[2], "resource_group": parts[4]}
    raise UserErrorException(
        f"{path} does not describe a workspace.",
        "It holds subscription_id, resource_group and workspace_name, or Scope.",
    )


def _named(facts: Mapping[str, str | None], start: Path) -> WorkspaceFolder | None:
    """The workspace with that name: the nearest one if it fits, else one seen before."""
    nearest = WorkspaceFolder.find(start)
    if nearest is not None and nearest.record["name"] == facts.get("name"):
        return nearest
    return next((f for f in _known() if f.record["name"] == facts.get("name")), None)


def _known() -> list[WorkspaceFolder]:
    found = []
    for path in sorted(home().workspaces.glob("*.json")):
        record = layout.read_json(str(path)) or {}
        if (Path(record.get("root", "")) / "workspace.json").exists():
            found.append(WorkspaceFolder(Path(record["root"])))
    return found


def _remember(folder: WorkspaceFolder) -> None:
    """Note where the workspace is, so that its name is enough next time."""
    note = home().workspaces / f"{folder.record['id']}.json"
    if not note.exists():
        home().make()
        layout.write_json(str(note), {"name": folder.record["name"], "root": str(folder.root)})
