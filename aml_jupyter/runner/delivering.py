"""What a job left for others, put in its place: after the job has ended, however it ended.

All of it may be done again by the next runner: files that have been moved are not there any more,
and what is registered already is found.
"""

from __future__ import annotations

import fnmatch
import os
import shutil
import threading
from collections.abc import Iterator, Mapping
from typing import Any

from ..assets import addresses
from ..assets import dataset_records as records
from ..assets.definition import FILE, Definition, Source
from ..backends import Backend, Job
from ..errors import UserErrorException
from ..job import layout
from ..spec.data import UPLOAD, DataOutput, DataPointer
from .data import is_live, let_go, root_of, store_path, upload_folder
from .links import move_file


class Delivering(threading.Thread):
    """Puts in place what a job has left, beside whatever else the runner does.

    Afterwards ``outputs`` are the datasets that it has become, or ``error`` says why not.
    """

    def __init__(self, job: Job, backend: Backend, completed: bool) -> None:
        super().__init__(daemon=True)
        self._job, self._backend, self._completed = job, backend, completed
        self.outputs: list[dict[str, Any]] = []
        self.error: BaseException | None = None
        self.finished = False
        self.start()

    def run(self) -> None:
        """Do it, and let go of what the job took in."""
        try:
            deliver(self._job, self._backend)
            self.outputs = list(outputs_of(self._job, self._completed))
            shutil.rmtree(self._job.folder / layout.UPLOADS, ignore_errors=True)
        except Exception as error:  # noqa: BLE001 - a thread ends here, and must say how
            self.error = error
        let_go(self._job)
        self.finished = True


def deliver(job: Job, backend: Backend) -> None:
    """Move what the job was to upload to where it belongs."""
    root, reach, run_id = str(root_of(job)), backend.reach(job), job.request.id
    for output in job.spec.data.outputs:
        if not is_live(root, output, run_id, reach):
            where = store_path(root, output.datastore, output.destination(run_id))
            _deliver(job, output, where, output.globs)
    for reference in job.spec.data.references:
        if reference.mode == UPLOAD:
            where = store_path(root, reference.datastore, reference.path)
            _deliver(job, reference, where, ())


def outputs_of(job: Job, completed: bool) -> Iterator[dict[str, Any]]:
    """Each output as the dataset that it has become; registered if the run has completed."""
    root = str(root_of(job))
    for output in job.spec.data.outputs:
        path = output.destination(job.request.id)
        definition = _definition(output, path)
        said: dict[str, Any] = {
            "name": output.name,
            "datastore": output.datastore,
            "path": path,
            "id": records.save(root, definition),
        }
        if output.registration and completed:
            said.update(_registered(root, definition, output.registration))
        yield said


def _registered(
    root: str, definition: Definition, wanted: Mapping[str, Any]
) -> Mapping[str, object]:
    name, tags = str(wanted.get("name")), wanted.get("tags")
    record = records.register(root, definition, name, wanted.get("description"), tags, True)
    return {"id": record.id, "dataset": record.name, "version": record.version}


def _definition(output: DataOutput, path: str) -> Definition:
    """What the output is as a dataset."""
    reading: Mapping[str, Any] = output.reading
    if not reading:
        return Definition(FILE, (Source(path, output.datastore),), {})
    glob = reading.get("glob")
    source = Source(f"{path}/{glob}" if glob else path, output.datastore)
    return Definition.from_json(reading["definition"])._replace(sources=(source,))


def _deliver(job: Job, each: DataOutput | DataPointer, where: str, globs: tuple[str, ...]) -> None:
    folder = str(upload_folder(job, each))
    if _leads_elsewhere(job, folder):
        return
    files = [
        (name, path)
        for name, path in _plain_files(folder)
        if not globs or any(fnmatch.fnmatch(name, glob) for glob in globs)
    ]
    for name, _ in files:
        target = f"{where}/{name}"
        if not each.overwrite and _is_there(target):
            raise UserErrorException(
                f"The output {each.name} was not put in its place: {target} is there already.",
                "Give it another destination, or as_upload(overwrite=True). "
                f"What the run wrote is in {folder}.",
            )
    stays = os.path.realpath(folder).startswith(_of_the_run(job))
    for name, path in files:
        _put(path, f"{where}/{name}", stays)


def _of_the_run(job: Job) -> tuple[str, ...]:
    """The folders whose files the run keeps as well."""
    kept = (layout.OUTPUTS, layout.LOGS)
    return tuple(os.path.realpath(job.folder / name) for name in kept)


def _put(path: str, target: str, stays: bool) -> None:
    if "://" in target:
        addresses.put(path, target)
    elif stays:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        shutil.copy2(path, target)
    else:
        move_file(path, target)


def _is_there(target: str) -> bool:
    return addresses.exists(target) if "://" in target else os.path.lexists(target)


def _leads_elsewhere(job: Job, folder: str) -> bool:
    """Whether the job has put a link in the way, which may lead to what is none of its business."""
    path = folder
    while path != str(job.folder):
        if os.path.islink(path) and os.path.realpath(path) != str(
            job.folder / os.path.basename(path)
        ):
            return True
        path = os.path.dirname(path)
    return False


def _plain_files(folder: str, prefix: str = "") -> Iterator[tuple[str, str]]:
    """(name, path) of each file below a folder of the job's, without links."""
    if not os.path.isdir(folder):
        return
    with os.scandir(folder) as entries:
        found = sorted(entries, key=lambda entry: entry.name)
    for entry in found:
        if entry.is_dir(follow_symlinks=False):
            yield from _plain_files(entry.path, f"{prefix}{entry.name}/")
        elif entry.is_file(follow_symlinks=False):
            yield f"{prefix}{entry.name}", entry.path
