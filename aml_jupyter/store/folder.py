"""The workspace on disk: the ``.aml`` folder of a project."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..assets import experiments
from ..assets.place import locked as locked
from ..errors import UserErrorException, WorkspaceException
from ..job import events, layout
from .targets import FILE_NAME, Entry, read_entries, read_text, write_text

FORMAT = 1
NAME = ".aml"
_BELOW = ("runs", "objects", "experiments", "datastores", "datasets", "models")
_NO_SUBSCRIPTION = "00000000-0000-0000-0000-000000000000"


class WorkspaceFolder:
    """The folders and small records of one workspace; the runs in it are its truth."""

    def __init__(self, root: Path) -> None:
        self.root = root
        record = layout.read_json(str(root / "workspace.json"))
        if record is None:
            raise WorkspaceException(
                f"{root} is not a workspace: it has no readable workspace.json.",
                "Delete the folder if it is empty, or restore the file.",
            )
        if record.get("format", 0) > FORMAT:
            raise WorkspaceException(
                f"The workspace in {root} was made by a later version of aml-jupyter.",
                "Upgrade: pip install --upgrade aml-jupyter.",
            )
        self.record: dict[str, Any] = record

    @classmethod
    def create(cls, project: Path, name: str | None = None, **facts: str | None) -> WorkspaceFolder:
        """The workspace of ``project``, made if it is not there."""
        root = project.absolute() / NAME
        if not (root / "workspace.json").exists():
            _make(root, name or _name_for(project.absolute()), facts)
        return cls(root)

    @classmethod
    def at(cls, project: Path) -> WorkspaceFolder | None:
        """The workspace of ``project`` itself, if it has one."""
        root = project.absolute() / NAME
        return cls(root) if (root / "workspace.json").exists() else None

    @classmethod
    def find(cls, start: Path) -> WorkspaceFolder | None:
        """The workspace of the nearest folder at or above ``start``."""
        start = start.absolute()
        for folder in (start, *start.parents):
            if (folder / NAME / "workspace.json").exists():
                return cls(folder / NAME)
        return None

    def note_facts(self, facts: dict[str, Any]) -> None:
        """Replace facts of the record, such as its tags."""
        with locked(self.root / "workspace.lock"):
            record = layout.read_json(str(self.root / "workspace.json")) or self.record
            self.record = {**record, **facts}
            layout.write_json(str(self.root / "workspace.json"), self.record)

    @property
    def runs(self) -> Path:
        """The folder of run folders."""
        return self.root / "runs"

    @property
    def objects(self) -> Path:
        """The folder of snapshots and their bytes."""
        return self.root / "objects"

    @property
    def project(self) -> Path:
        """The folder that holds ``.aml``."""
        return self.root.parent

    def new_run(self, request: dict[str, Any]) -> Path:
        """Make the folder of a run that was asked for; its request is in place on return."""
        folder = self.runs / layout.check_run_id(request["id"])
        try:
            folder.mkdir(parents=True)
            for below in ("job", "azureml-logs", "outputs", "logs", "metrics"):
                (folder / below).mkdir()
            layout.write_json(str(folder / layout.REQUEST), request)
        except FileExistsError:
            raise UserErrorException(
                f"There is a run {request['id']} in this workspace already.",
                "Leave out run_id, or give another one.",
            ) from None
        except OSError as error:
            raise layout.full_disk(error, str(folder)) from error
        self.note(request["id"])
        return folder

    def note(self, run_id: str) -> None:
        """Tell the index that something about a run changed."""
        events.append_line(str(self.root / "index.journal"), f"{run_id}\n".encode())

    # Experiments

    def experiment(self, name: str) -> dict[str, Any]:
        """The record of an experiment, made if it is not there."""
        return experiments.make(str(self.root), name)

    def save_experiment(self, record: dict[str, Any]) -> None:
        """Replace the record of an experiment."""
        experiments.save(str(self.root), record)

    def experiments(self) -> list[dict[str, Any]]:
        """The records of all experiments, by name."""
        return experiments.records(str(self.root))

    def next_number(self, experiment: str) -> int:
        """Counts the runs of an experiment, across all processes."""
        return experiments.next_number(str(self.root), experiment)

    # Targets

    def target_entries(self) -> dict[str, Entry]:
        """The compute targets that are written in ``targets.yaml``, by name."""
        return read_entries(self.targets_file)

    def targets(self) -> dict[str, dict[str, Any]]:
        """Compute targets by name, as they are written; ``local`` is always there."""
        found: dict[str, dict[str, Any]] = {"local": {"type": "local"}}
        found.update({name: dict(e.settings) for name, e in self.target_entries().items()})
        return found

    @property
    def targets_file(self) -> Path:
        """Where compute targets are written, by hand or by us; it need not be there."""
        return self.root / FILE_NAME

    def edit_targets(self, edit: Callable[[str], str]) -> None:
        """Replace the text of ``targets.yaml`` by what ``edit`` makes of it, as a whole.

        Nobody else who edits it this way gets in between.
        """
        try:
            with locked(self.root / "targets.lock"):
                write_text(self.targets_file, edit(read_text(self.targets_file)))
        except PermissionError as error:
            raise UserErrorException(
                f"{self.targets_file} cannot be changed: {error.strerror}.",
                f"Get permission to write to {self.root}.",
            ) from error


def project_for(start: Path) -> Path:
    """Where a new workspace belongs: the root of the git repository, else ``start``."""
    start = start.absolute()
    for folder in (start, *start.parents):
        if (folder / ".git").exists():
            return folder
    return start


def bytes_below(folder: str | os.PathLike[str]) -> int:
    """The room that all in a folder takes on the disk."""
    total = 0
    for place, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            try:
                total += os.lstat(os.path.join(place, name)).st_blocks * 512
            except FileNotFoundError:
                continue
    return total


def _name_for(project: Path) -> str:
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", project.name).strip("-_")[:33]
    return name if len(name) >= 3 else "workspace"


def _make(root: Path, name: str, facts: dict[str, str | None]) -> None:
    try:
        for below in _BELOW:
            (root / below).mkdir(parents=True, exist_ok=True)
        (root / ".gitignore").write_text("*\n")
        record = {
            "format": FORMAT,
            "id": layout.guid(),
            "name": name,
            "subscription_id": facts.get("subscription_id") or _NO_SUBSCRIPTION,
            "resource_group": facts.get("resource_group") or "local",
            "location": facts.get("location") or "local",
            "created": time.time(),
        }
        with locked(root / "workspace.lock"):
            if not (root / "workspace.json").exists():
                layout.write_json(str(root / "workspace.json"), record)
    except PermissionError as error:
        raise WorkspaceException(
            f"Cannot make a workspace in {root.parent}: {error.strerror}.",
            "Work in a folder you may write to.",
            error,
        ) from error
