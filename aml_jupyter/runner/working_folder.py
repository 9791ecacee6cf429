"""The working directory of a run: laid out before its job starts, gathered from when it is over."""

from __future__ import annotations

import errno
import os
import shutil
import threading
from functools import partial
from pathlib import Path
from typing import Any

from ..backends import Backend, Job
from ..errors import AmlError
from ..job import layout, metrics
from ..job.beneath import IN_THE_WAY, open_plain
from ..store import snapshots
from ..store.objects import Objects
from .data import lay_out_data, remove_data


class LayingOut(threading.Thread):
    """Lays out the working directory and the data, beside whatever else the runner does."""

    def __init__(self, job: Job, backend: Backend) -> None:
        super().__init__(daemon=True)
        self.job = job
        self.progress: tuple[str, int, int] | None = None
        self.notes: list[str] = []
        self._backend = backend
        self.error: BaseException | None = None
        self.finished = False
        self.abandoned = False

    def run(self) -> None:
        """Lay it out; ``error`` says what went wrong, ``finished`` that it is over."""
        try:
            lay_out(self.job, partial(self._note, "laying out"))
            self.notes = lay_out_data(self.job, self._backend, self._note)
        except OSError as error:
            self.error = layout.full_disk(error, str(self.job.work))
        except Exception as error:  # noqa: BLE001 - a thread ends here, and must say how
            self.error = error
        if self.abandoned:
            remove(self.job)
        self.finished = True

    def _note(self, what: str, done: int, total: int) -> None:
        """Take notice of what is done; a run that was canceled meanwhile goes no further."""
        if what:
            self.progress = (what, done, total)
        if self.abandoned:
            raise AmlError("The run was canceled.")


def lay_out(job: Job, progress: Any = None) -> None:
    """Make the working directory from the snapshot; what a killed runner left is replaced."""
    work = job.work
    if work.exists():
        shutil.rmtree(work)
    work.mkdir(parents=True)
    for name in (layout.OUTPUTS, layout.LOGS):
        (job.folder / name).mkdir(exist_ok=True)
        _lead_out(work, name)
    if job.spec.snapshot:
        snapshots.lay_out(job.spec.snapshot, objects_of(job), work, progress)


def remove(job: Job) -> None:
    """Take away what was laid out for a job that did not start."""
    shutil.rmtree(job.work, ignore_errors=True)
    remove_data(job)


def _lead_out(work: Path, name: str) -> None:
    """Let ``work/outputs`` be the run's own; a plain folder where links cannot be followed."""
    link = work / name
    try:
        link.symlink_to(Path("..") / name)
        if link.is_dir():
            return
    except OSError:  # some network file systems make links and then cannot read them
        pass
    if os.path.lexists(link):
        link.unlink()
    link.mkdir()


def gather(job: Job) -> None:
    """Take into the run what it wrote where ``outputs`` and ``logs`` could not be links.

    A job that has put links of its own in the way keeps what it wrote where it is.
    """
    for name in (layout.OUTPUTS, layout.LOGS):
        place = job.work / name
        # The job is over: nobody changes what is looked at here.
        if place.is_symlink() or not place.is_dir() or _is_linked(job.folder, place):
            continue
        for below, path in list(layout.files_below(str(place))):
            target = job.folder / name / below
            if not _is_linked(job.folder, target.parent):
                target.parent.mkdir(parents=True, exist_ok=True)
                os.replace(path, target)


def _is_linked(folder: Path, path: Path) -> bool:
    """Whether a link is on the way from a run's folder to a path below it."""
    return any(each.is_symlink() for each in (path, *path.parents) if folder in each.parents)


def trim(folder: str) -> None:
    """Cut off what metric files of the run in ``folder`` hold for records that never came."""
    for stem in metrics.writers(os.path.join(folder, layout.METRICS)):
        _trim(folder, f"{layout.METRICS}/{os.path.basename(stem)}.bin")


def _trim(folder: str, path: str) -> None:
    try:
        file = open_plain(folder, path, os.O_RDWR)
    except OSError as error:
        # A job may have put a link there, which is its business.
        if error.errno not in (errno.ENOENT, *IN_THE_WAY):
            raise
        return
    try:
        metrics.trim(file)
    finally:
        os.close(file)


def objects_of(job: Job) -> Objects:
    """The workspace's objects, found from the run's folder: `.aml/runs/<id>`."""
    return Objects(job.folder.parent.parent / "objects")
