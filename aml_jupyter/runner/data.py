"""The data of a job where it finds them: laid out before it starts, put in their places after.

What is mounted is linked and never copied. A folder that is the dataset as it stands is not even
linked: the job is given the folder. What the backend must know of it (mounts, variables) is in
``data.json`` of the run's folder, written last: a runner that comes after one that was killed
lays everything out anew.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..assets.definition import Definition, Source
from ..assets.resolve import Located
from ..assets.stores import ARTIFACTS, store
from ..backends import Backend, Job
from ..errors import UserErrorException
from ..job import layout
from ..spec.data import DIRECT, DOWNLOAD, MOUNT, UPLOAD, DataInput, DataOutput, DataPointer
from ..store.objects import needing
from .fetching import located, must_be_fetched
from .links import copy_files, inside, link_files

Note = Callable[[str, int, int], None]
"""Is told what is done, and how many bytes of how many; what it raises ends the work."""

_OF_WORKSPACE = ("datastores", "datasets", "models")
_OF_A_RUN = "dcid."
_MOST_MOUNTS = 40


@dataclass
class Laid:
    """Where the data of one job are, as it grows while they are laid out."""

    variables: dict[str, str] = field(default_factory=dict)
    places: list[dict[str, object]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def mount(self, source: str, target: str, read_only: bool = True) -> None:
        """Let what is at ``source`` be at ``target`` for the job, too, wherever that runs."""
        place: dict[str, object] = {"source": source, "target": target, "read_only": read_only}
        if place not in self.places:
            self.places.append(place)


def lay_out_data(job: Job, backend: Backend, note: Note) -> list[str]:
    """Lay out all data of the job; returns notes for its user."""
    remove_data(job)
    reach = backend.reach(job)
    if reach != backend.HERE:
        for name in _OF_WORKSPACE:
            (root_of(job) / name).mkdir(exist_ok=True)
    if not job.spec.data:
        return []
    laying = _Laying(job, reach, note)
    for each in job.spec.data.inputs:
        laying.bring(each)
    for output in job.spec.data.outputs:
        laying.make_room(output)
    for reference in job.spec.data.references:
        laying.point_to(reference)
    laying.write()
    return laying.laid.notes


def remove_data(job: Job) -> None:
    """Take away what was laid out for a job, and what it would have uploaded."""
    remove_inputs(job)
    shutil.rmtree(job.folder / layout.UPLOADS, ignore_errors=True)


def remove_inputs(job: Job) -> None:
    """Take the links and copies away; what they are of is where it was."""
    for name in (layout.MOUNTS, layout.DOWNLOADS):
        shutil.rmtree(job.folder / name, ignore_errors=True)


def let_go(job: Job) -> None:
    """Remove the inputs of a job that is over, unless its container is kept to look into."""
    if not job.spec.options.get("keep"):
        remove_inputs(job)


def root_of(job: Job) -> Path:
    """The ``.aml`` folder of the run."""
    return job.folder.parent.parent


def store_path(root: str, datastore: str, path: str) -> str:
    """Where a path in a datastore is: a path of this machine, or an address.

    What v1 says of a run's own files in the store of artifacts means the run's folder.
    """
    parts = [part for part in path.split("/") if part not in ("", ".", "..")]
    if datastore == ARTIFACTS and len(parts) > 1 and parts[1].startswith(_OF_A_RUN):
        run = os.path.join(root, "runs", parts[1][len(_OF_A_RUN) :])
        if os.path.isdir(run):
            return os.path.join(run, *parts[2:])
    where = store(root, datastore).where(root).rstrip("/")
    return "/".join([where, *parts])


def is_live(root: str, output: DataOutput, run_id: str, reach: str) -> bool:
    """Whether a job writes an output where it belongs at once."""
    if output.source.strip("/") in (layout.OUTPUTS, layout.LOGS):  # they are the run's own
        return False
    where = store_path(root, output.datastore, output.destination(run_id))
    return output.mode == MOUNT and reach != Backend.COPIED and "://" not in where


class _Laying:
    def __init__(self, job: Job, reach: str, note: Note) -> None:
        self._job = job
        self._root = str(root_of(job))
        self._reach = reach
        self._note = note
        self.laid = Laid()

    # Inputs

    def bring(self, each: DataInput) -> None:
        """Let an input be there, and its variable say where."""
        definition = Definition.from_json(each.definition)
        if each.mode == DIRECT:
            self.laid.variables[each.variable] = each.id
            if self._reach != Backend.HERE and not must_be_fetched(definition, self._root):
                self._show(self._find(each.name, definition))
            return
        path = self._placed(each.name, each.mode, self._find(each.name, definition))
        self.laid.variables[each.variable] = self._also_at(path, each)

    def _find(self, name: str, definition: Definition) -> Located:
        def note(done: int, total: int) -> None:
            self._note(f"fetching {name}" if done else "", done, total)

        found = located(definition, self._root, self._job.environment, note)
        self.laid.notes += [f"{name}: {text}" for text in found.notes]
        return found

    def _placed(self, name: str, mode: str, found: Located) -> str:
        """Link or copy the files; the folder that they are in, or the file that they are."""
        if mode == DOWNLOAD:
            path = self._copied(name, found)
        elif found.folder is None:
            path = self._linked(name, found)
        else:
            return self._as_it_stands(name, found.folder)
        return os.path.join(path, inside(found.files[0][0])) if found.single else path

    def _copied(self, name: str, found: Located) -> str:
        folder, files = str(self._job.folder / layout.DOWNLOADS / name), found.listing()
        size = sum(os.stat(path).st_size for _, path in files)
        os.makedirs(folder, exist_ok=True)
        with needing(size, folder):
            copy_files(files, folder, lambda done, all: self._note(f"copying {name}", done, all))
        return folder

    def _linked(self, name: str, found: Located) -> str:
        folder = str(self._job.folder / layout.MOUNTS / name)
        symbolic = link_files(found.files, folder)
        if self._reach == Backend.BOUND:
            for above in _few(sorted({os.path.dirname(path) for path in symbolic})):
                self.laid.mount(above, above)
        return folder

    def _as_it_stands(self, name: str, folder: str) -> str:
        if self._reach == Backend.COPIED:  # it travels with the run's folder
            link = self._job.folder / layout.MOUNTS / name
            link.parent.mkdir(exist_ok=True)
            link.symlink_to(folder)
            return str(link)
        self.laid.mount(folder, folder)
        return folder

    def _show(self, found: Located) -> None:
        """Let the job see the files of a dataset under their own paths."""
        if found.folder is not None:
            self.laid.mount(found.folder, found.folder)
            return
        for above in _few(sorted({os.path.dirname(path) for _, path in found.files})):
            self.laid.mount(above, above)

    # Outputs

    def make_room(self, output: DataOutput) -> None:
        """Let there be the folder that the job writes an output to."""
        work, run_id = self._job.work, self._job.request.id
        if is_live(self._root, output, run_id, self._reach):
            path = store_path(self._root, output.datastore, output.destination(run_id))
            os.makedirs(path, exist_ok=True)
            self.laid.mount(path, path, read_only=False)
            if output.source:
                path = self._link_from(work / inside(output.source), path)
        else:
            path = str(upload_folder(self._job, output))
            os.makedirs(path, exist_ok=True)
        self.laid.variables[output.variable] = path

    def _link_from(self, link: Path, path: str) -> str:
        """Let a folder of the working directory be another, in place of what the source has."""
        link.parent.mkdir(parents=True, exist_ok=True)
        if link.is_dir() and not link.is_symlink():
            shutil.rmtree(link)
        link.symlink_to(path)
        return str(link)

    # References

    def point_to(self, each: DataPointer) -> None:
        """Let the variable of a reference lead to its path in the datastore."""
        where = store_path(self._root, each.datastore, each.path)
        if each.mode == UPLOAD:
            path = str(upload_folder(self._job, each))
            os.makedirs(path, exist_ok=True)
        elif each.mode == MOUNT and "://" not in where:
            path = self._also_at(self._mounted(each, where), each)
        else:
            source = Source(each.path, each.datastore) if "://" in where else Source(where)
            found = self._find(each.name, Definition("file", (source,), {}))
            path = self._also_at(self._placed(each.name, each.mode, found), each)
        self.laid.variables[each.variable] = path

    def _mounted(self, each: DataPointer, where: str) -> str:
        if not os.path.exists(where):  # v1 mounts what is to be written as well
            os.makedirs(where)
        if self._reach == Backend.COPIED:
            return self._as_it_stands(each.name, where)
        self.laid.mount(where, where, read_only=False)
        return where

    # Both

    def _also_at(self, path: str, each: DataInput | DataPointer) -> str:
        """The path as the job is told it: where ``path_on_compute`` says, if it does."""
        wanted = each.path_on_compute
        if not wanted:
            return path
        folder, file = (path, "") if os.path.isdir(path) else os.path.split(path)
        if os.path.isabs(wanted):
            self.laid.mount(folder, os.path.normpath(wanted), read_only=each.mode == MOUNT)
            return os.path.join(os.path.normpath(wanted), file) if file else wanted
        link = self._job.work / inside(wanted)
        if os.path.lexists(link):
            raise UserErrorException(
                f"The data {each.name} cannot be at {wanted}: the source has something there.",
                "Choose another path_on_compute.",
            )
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(folder)
        return str(link / file) if file else str(link)

    def write(self) -> None:
        """Write down what the backend and the job must know."""
        data, laid = self._job.spec.data, self.laid
        laid.variables["AZUREML_DATASET_ENVIRONMENT_VARS"] = _names(data.inputs)
        laid.variables["AZUREML_DATASET_FILE_OUTPUTS"] = _names(data.outputs)
        if (self._job.folder / layout.MOUNTS).exists() and self._reach == Backend.BOUND:
            mounts = str(self._job.folder / layout.MOUNTS)
            laid.mount(mounts, mounts)
        content = {"variables": laid.variables, "places": laid.places}
        layout.write_json_below(str(self._job.folder), layout.DATA, content)


def upload_folder(job: Job, each: DataOutput | DataPointer) -> Path:
    """Where the job writes what is put in its place when it has ended."""
    source = each.source if isinstance(each, DataOutput) else each.path_on_compute
    if source and not os.path.isabs(source):
        return job.work / inside(source)
    return job.folder / layout.UPLOADS / each.name


def _names(records: Any) -> str:
    return ",".join(each.name for each in records)


def _few(folders: list[str]) -> list[str]:
    """The folders without those below others; one above all where there are too many."""
    tops: list[str] = []
    for folder in folders:
        if not tops or not f"{folder}/".startswith(f"{tops[-1]}/"):
            tops.append(folder)
    return tops if len(tops) <= _MOST_MOUNTS else [os.path.commonpath(tops)]
