"""FileDataset: files by their paths, to be mounted, downloaded or listed."""

from __future__ import annotations

import fnmatch
import os
import tempfile

from aml_jupyter.errors import UserErrorException

from .abstract_dataset import AbstractDataset, shown_progress, tell
from .consumption import ConsumableFiles
from .definition import FILE, Definition
from .expressions import Expression, checked, metadata
from .files import copy_whole
from .keywords import says_its_keywords
from .partition import PartitionFormat
from .resolve import Located, check, check_condition, locate, names_of
from .sources import sources_of, target_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class FileDataset(ConsumableFiles, AbstractDataset):
    """Files in datastores, at addresses, or of this machine; made by ``Dataset.File``."""

    def to_path(self) -> list[str]:
        """The paths of the files in the dataset, each with a ``/`` in front."""
        return [f"/{name}" for name in names_of(self._definition, self.root)]

    def located(self) -> Located:
        """Where the files are on this machine; what is at an address is fetched."""
        with shown_progress(self._definition) as progress:
            found = locate(self._definition, self.root, progress)
        tell(found.notes)
        return found

    @says_its_keywords
    def download(
        self,
        target_path: str | os.PathLike[str] | None = None,
        overwrite: bool = False,
        ignore_not_found: bool = False,
    ) -> list[str]:
        """Copy the files to a folder (a temporary one if not said) and return their paths."""
        folder = os.path.abspath(os.fspath(target_path or tempfile.mkdtemp(prefix="aml-data-")))
        files = self._found(ignore_not_found)
        targets = [os.path.join(folder, name) for name, _ in files]
        if not overwrite:
            _refuse_existing(targets)
        for (_, path), target in zip(files, targets):
            copy_whole(path, target)
        return targets

    def _found(self, ignore_not_found: bool) -> list[tuple[str, str]]:
        try:
            return self.located().listing()
        except UserErrorException:
            if ignore_not_found:
                return []
            raise

    def mount(self, mount_point: str | os.PathLike[str] | None = None, **kwargs: Any) -> Mount:
        """A folder with the files, there while the context is open; no bytes are copied."""
        return Mount(self, os.fspath(mount_point) if mount_point else None)

    def file_metadata(self, col: str) -> Expression:
        """A fact of each file in a condition: Size, LastModifiedTime, CreatedTime or CanSeek."""
        return metadata(col)

    def filter(self, expression: Expression) -> FileDataset:
        """The files for which a condition holds: on their facts, or on what their paths say."""
        check_condition(checked(expression), self.partition_keys)
        found: FileDataset = super().filter(expression)
        return found


class Mount:
    """Files of a dataset as a folder of links, made by ``start()`` and gone after ``stop()``."""

    def __init__(self, dataset: FileDataset, mount_point: str | None) -> None:
        self._dataset = dataset
        self._own = mount_point is None
        self._point = os.path.abspath(mount_point or tempfile.mkdtemp(prefix="aml-mount-"))
        self._made: list[str] = []

    @property
    def mount_point(self) -> str:
        """The folder."""
        return self._point

    def start(self) -> None:
        """Put the files there."""
        if os.path.isdir(self._point) and os.listdir(self._point):
            raise UserErrorException(
                f"{self._point} is not empty.", "Mount at a folder that is new or empty."
            )
        for name, path in self._dataset.located().listing():
            target = os.path.join(self._point, name)
            os.makedirs(os.path.dirname(target), exist_ok=True)
            os.symlink(os.path.abspath(path), target)
            self._made.append(target)

    def stop(self) -> None:
        """Take the links away; what else was written there stays."""
        for target in self._made:
            if os.path.islink(target):
                os.unlink(target)
        self._made.clear()
        for folder, _, _ in os.walk(self._point, topdown=False):
            if not os.listdir(folder) and (self._own or folder != self._point):
                os.rmdir(folder)

    def __enter__(self) -> Mount:
        self.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self.stop()


class FileDatasetFactory:
    """``Dataset.File``: makes datasets of files."""

    @staticmethod
    @says_its_keywords
    def from_files(
        path: Any,
        validate: bool = True,
        partition_format: str | None = None,
        is_file: bool = False,
    ) -> FileDataset:
        """The files at URLs, in datastores, or of this machine; folders and globs count as well.

        ``validate`` looks whether there are any; URLs are asked when they are used.
        """
        sources, root = sources_of(path)
        reading: dict[str, Any] = {}
        if partition_format:
            reading["partition_format"] = PartitionFormat.read(partition_format).text
        if is_file:
            reading["is_file"] = True
        dataset = FileDataset(Definition(FILE, sources, reading), root)
        if validate:
            check_here(dataset)
        return dataset

    @staticmethod
    @says_its_keywords
    def upload_directory(
        src_dir: str | os.PathLike[str],
        target: Any,
        pattern: str | None = None,
        overwrite: bool = False,
        show_progress: bool = True,
    ) -> FileDataset:
        """Copy a folder (of it what matches ``pattern``) to a datastore; the files there."""
        datastore, below = target_of(target)
        folder = os.path.abspath(os.path.expanduser(os.fspath(src_dir)))
        names = [
            name
            for name, _ in datastore.files_to_upload(folder)
            if pattern is None or _matches(name, str(pattern))
        ]
        if not names:
            what = f"that match {pattern!r} " if pattern else ""
            raise UserErrorException(f"There are no files {what}in {folder}.", "Check the path.")
        if show_progress:
            print("Validating arguments.\nArguments validated.")
            print(f"Uploading file to {below or '/'}")
        paths = [os.path.join(folder, name) for name in names]
        datastore.upload_files(paths, folder, below, overwrite, show_progress)
        if show_progress:
            print("Creating new dataset")
        where = [(datastore, f"{below}/{name}" if below else name) for name in names]
        return FileDatasetFactory.from_files(where if pattern else (datastore, f"{below}/"))


def check_here(dataset: AbstractDataset) -> None:
    """Raise where a dataset has no file; the workspace is only asked for if it has datastores."""
    local = [s for s in dataset.definition.sources if not s.is_address]
    if local:
        definition = dataset.definition._replace(sources=tuple(local))
        check(definition, dataset.root if any(s.datastore for s in local) else "")


def _matches(name: str, pattern: str) -> bool:
    """Whether a relative path matches; a pattern without folders is asked of the file's name."""
    wanted = pattern[2:] if pattern.startswith("./") else pattern
    last = os.path.basename(name)
    return fnmatch.fnmatch(name, wanted) or ("/" not in wanted and fnmatch.fnmatch(last, wanted))


def _refuse_existing(targets: list[str]) -> None:
    for target in targets:
        if os.path.lexists(target):
            raise UserErrorException(
                f"There is a file {target} already.", "Pass overwrite=True, or another folder."
            )
