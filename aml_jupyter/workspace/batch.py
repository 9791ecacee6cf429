"""Batch: one notebook, many sets of parameters; each of them becomes a run."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UserErrorException
from ..spec import (
    Environment,
    Family,
    JobSpec,
    Member,
    NotebookSpec,
    Resources,
    RunRequest,
    ScriptRunConfig,
    Source,
)
from ..store import snapshots
from ..store.objects import Objects
from . import submission
from .batch_run import BATCH_NAME, RESUMES, BatchRun, done_already, find_batch
from .batch_values import GRID, ZIP, Set, combined, names_of, title_of
from .notebook_parameters import Parameter, check, parameters_in

if TYPE_CHECKING:
    from .experiment import Experiment
    from .workspace import Workspace

_SHOWN_SETS = 20


@dataclass(frozen=True)
class Batch:
    """A notebook and the sets of parameters that it is to be executed with.

    ``parameters`` maps names to lists of values (or to one value), combined as a grid or, with
    ``how="zip"``, side by side; ``table`` is a list of sets. Nothing happens before
    :meth:`submit`, which refuses what cannot work before anything starts.

    ``name`` makes it idempotent: submitting a batch of the same name, notebook and experiment
    again takes up the one that is there, and does only what is not done.
    """

    notebook: str | os.PathLike[str]
    parameters: Mapping[str, object] = field(default_factory=dict)
    table: Sequence[Mapping[str, object]] = ()
    how: str = GRID
    name: str | None = None
    experiment: str | None = None
    workspace: Workspace | None = None
    source_directory: str | os.PathLike[str] | None = None
    compute_target: str | None = None
    environment: Environment | None = None
    kernel: str | None = None
    parallel: int | None = None
    retries: int = 0
    fail_fast: bool = False
    cell_timeout: float | None = None
    tags: Mapping[str, Any] = field(default_factory=dict)
    resources: Resources | None = None
    options: Mapping[str, object] | None = None
    config: ScriptRunConfig | None = None
    facts: Mapping[str, object] = field(default_factory=dict)

    # What it would do

    def inspect(self) -> list[Parameter]:
        """The parameters that the notebook has, with types and defaults."""
        return parameters_in(self._path())

    def sets(self) -> list[Set]:
        """The sets of parameters, checked against the notebook."""
        if self.how not in (GRID, ZIP):
            raise UserErrorException(f"how cannot be {self.how!r}.", f"Use {GRID!r} or {ZIP!r}.")
        values = {
            name: value if isinstance(value, (list, tuple, range)) else [value]
            for name, value in self.parameters.items()
        }
        empty = [name for name, each in values.items() if not each]
        if empty:
            raise UserErrorException(
                f"{empty[0]} has no values.", "Give it at least one, or leave it out."
            )
        found = combined(values, self.how, [dict(line) for line in self.table])
        check(self._shown_path(), self.inspect(), found)
        return found

    def plan(self) -> BatchPlan:
        """What :meth:`submit` would do, checked but not done; print it."""
        sets = self.sets()
        config, experiment = self.script_config(), self._experiment()
        planned = submission.plan(
            experiment.workspace.folder,
            experiment.name,
            config,
            dict(self.tags),
            source=self._source(config),
            display_name=self.name or title_of(self._shown_path(), sets),
            resources=self.resources,
            options=self.options,
            notebook=NotebookSpec(
                kernel=self.kernel, cell_timeout=_seconds(self.cell_timeout, "cell_timeout")
            ),
        )
        names = names_of(sets, Path(self.notebook).stem)
        members = tuple(Member(name, each) for name, each in zip(names, sets, strict=True))
        return BatchPlan(self, experiment, planned, members)

    def submit(self) -> BatchRun:
        """Start it, or with a ``name`` go on with the one that is there; returns at once."""
        return self.plan().submit()

    # Where things are

    def _path(self) -> str:
        path = os.path.abspath(os.path.expanduser(self._shown_path()))
        if not os.path.isfile(path):
            raise UserErrorException(
                f"There is no notebook {self._shown_path()} in {os.getcwd()}.",
                "Name a .ipynb file.",
            )
        if not path.endswith(".ipynb"):
            raise UserErrorException(
                f"{self._shown_path()} is not a notebook.",
                "Name a .ipynb file; scripts are run by `aml run` and %aml_run.",
            )
        return path

    def _shown_path(self) -> str:
        return os.fspath(self.notebook)

    def script_config(self) -> ScriptRunConfig:
        """What each notebook is as a script: its folder, target and environment."""
        if self.config is not None:
            return self.config
        path = self._path()
        source = os.path.abspath(self.source_directory or os.path.dirname(path))
        return ScriptRunConfig(
            source,
            os.path.relpath(path, source),
            compute_target=self.compute_target,
            environment=self.environment,
        )

    def _source(self, config: ScriptRunConfig) -> Source:
        folder = os.path.abspath(config.source_directory)
        return Source(folder, {}, {"kind": "notebook", **self.facts})

    def _experiment(self) -> Experiment:
        from .experiment import Experiment
        from .workspace import Workspace

        workspace = self.workspace or Workspace.from_config()
        return Experiment(workspace, self.experiment or experiment_named(self._shown_path()))


@dataclass(frozen=True)
class BatchPlan:
    """What submitting a batch would do. ``str(plan)`` is for people."""

    batch: Batch
    experiment: Experiment
    submission: submission.Submission
    members: tuple[Member, ...]

    def submit(self) -> BatchRun:
        """Carry it out."""
        batch = self.batch
        earlier = self._earlier()
        if earlier is not None and not earlier.has_ended:
            return earlier
        members = self._members(earlier)
        if earlier is not None and all(member.done_by for member in members):
            return earlier
        properties = {BATCH_NAME: batch.name} if batch.name else {}
        if earlier is not None:
            properties[RESUMES] = earlier.id
        folder = submission.submit_family(
            self.submission, lambda job: self._family(job, members), properties
        )
        run = BatchRun._in(self.experiment, folder)
        assert isinstance(run, BatchRun)
        return run

    def _family(self, job: JobSpec, members: Sequence[Member]) -> Family:
        batch = self.batch
        return Family(
            job,
            tuple(members),
            parallel=_count(batch.parallel, "parallel"),
            retries=_count(batch.retries, "retries"),
            fail_fast=batch.fail_fast,
        )

    # The same batch again

    def _earlier(self) -> BatchRun | None:
        """The newest batch of that name."""
        if not self.batch.name:
            return None
        return find_batch(self.experiment.workspace, self.batch.name, self.experiment.name)

    def _members(self, earlier: BatchRun | None) -> Sequence[Member]:
        """Those of which nothing need be done again are marked."""
        if earlier is None or not self._is_same_source(earlier):
            return self.members
        return done_already(self.members, earlier)

    def _is_same_source(self, earlier: BatchRun) -> bool:
        """Whether nothing has changed that the notebooks could see."""
        request = RunRequest.from_json(earlier._request)
        family, planned = request.family, self.submission.job
        if family is None or family.job.recipe != planned.recipe:
            return False
        if family.job.notebook and family.job.notebook.kernel != self.batch.kernel:
            return False
        objects = Objects(self.experiment.workspace.folder.objects)
        now = snapshots.take(self.submission.source.directory, objects)
        if not family.job.snapshot:
            return False
        return _files(family.job.snapshot, objects, planned.what) == _files(
            now.id, objects, planned.what
        )

    # For people

    def __str__(self) -> str:
        shown = "\n".join(f"  {member.name}" for member in self.members[:_SHOWN_SETS])
        more = len(self.members) - _SHOWN_SETS
        rest = f"\n  … and {more} more" if more > 0 else ""
        count = len(self.members)
        what = "notebook" if count == 1 else "notebooks"
        # What one has chosen comes before the many lines of how each is done.
        return f"{count} {what}\n{shown}{rest}\n\n{self.submission}"


# Shared ---------------------------------------------------------------------------------------


def experiment_named(notebook: str) -> str:
    """The experiment that runs of a notebook belong to if nobody says."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", Path(notebook).stem).strip("-_") or "default"


def _files(snapshot: str, objects: Objects, notebook: str) -> dict[str, str]:
    """The content of a snapshot, without other notebooks: one of them may be where one works."""
    entries = snapshots.read_manifest(snapshot, objects).files
    return {
        entry.path: entry.hash
        for entry in entries
        if entry.path == notebook or not entry.path.endswith(".ipynb")
    }


def _count(value: object, what: str) -> int:
    if value is None:
        return 0
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise UserErrorException(
            f"{what} cannot be {value!r}.", "It has to be a whole number, 0 or more."
        )
    return value


def _seconds(value: object, what: str) -> float:
    if value is None:
        return 0.0
    if not isinstance(value, (int, float)) or isinstance(value, bool) or value <= 0:
        raise UserErrorException(f"{what} cannot be {value!r}.", "It has to be seconds, above 0.")
    return float(value)
