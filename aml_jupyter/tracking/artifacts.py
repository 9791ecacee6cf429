"""The files of a run as MLflow's artifacts: the same names as ``run.get_file_names()``."""

from __future__ import annotations

import os

from mlflow.entities import FileInfo
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST
from mlflow.store.artifact.artifact_repo import ArtifactRepository, verify_artifact_path
from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository

from aml_jupyter.job import events, layout
from aml_jupyter.job.layout import full_disk
from aml_jupyter.job.mlflow_names import path_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class RunArtifacts(LocalArtifactRepository):  # type: ignore[misc, unused-ignore]
    """Stores below ``artifacts/`` of a run; what the run wrote to ``outputs/`` is seen, too."""

    def __init__(self, artifact_uri: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(artifact_uri, *args, **kwargs)
        self._artifact_dir = path_of(artifact_uri)
        self._run, self._below = _run_of(self._artifact_dir)

    # Writing

    def log_artifact(self, local_file: str, artifact_path: str | None = None) -> None:
        """Store a file under its own name, below ``artifact_path``."""
        verify_artifact_path(artifact_path)
        try:
            super().log_artifact(local_file, artifact_path)
        except OSError as error:
            raise full_disk(error, self._artifact_dir) from error
        self._told(artifact_path, os.path.basename(local_file))

    def log_artifacts(self, local_dir: str, artifact_path: str | None = None) -> None:
        """Store all files of a folder below ``artifact_path``."""
        verify_artifact_path(artifact_path)
        try:
            super().log_artifacts(local_dir, artifact_path)
        except OSError as error:
            raise full_disk(error, self._artifact_dir) from error
        self._told(artifact_path)

    def _told(self, *path: str | None) -> None:
        """Have it among the run's events, as ``upload_file`` does."""
        if self._run:
            name = "/".join(filter(None, (self._below, *path)))
            events.append(self._run, "upload", name=name)

    # Reading

    def list_artifacts(self, path: str | None = None) -> list[FileInfo]:
        """The files and folders directly below ``path``."""
        verify_artifact_path(path)
        start = f"{path.strip('/')}/" if path else ""
        files, folders = {}, set()
        for name, place in self._names().items():
            if name.startswith(start):
                first, slash, _ = name[len(start) :].partition("/")
                if slash:
                    folders.add(f"{start}{first}")
                else:
                    files[name] = os.path.getsize(place)
        found = [FileInfo(name, False, size) for name, size in files.items()]
        found += [FileInfo(name, True, None) for name in folders]
        return sorted(found, key=lambda info: info.path)

    def get_local_path(self, artifact_path: str) -> str:
        """Where a file or folder lies on this machine."""
        verify_artifact_path(artifact_path)
        wanted = os.path.normpath(artifact_path) if artifact_path else ""
        place = self._names().get(wanted)
        if place is None and not wanted.startswith(".."):
            for top in (self._artifact_dir, self._run if not self._below else ""):
                path = os.path.join(top, wanted) if top else ""
                if path and os.path.isdir(path) and (top != self._run or _is_shown(wanted)):
                    place = path
                    break
        if place is None:
            known = ", ".join(sorted(self._names())[:10]) or "none"
            raise MlflowException(
                f"No such artifact: '{artifact_path}'. There are: {known}.",
                RESOURCE_DOES_NOT_EXIST,
            )
        return os.path.abspath(place)

    def download_artifacts(self, artifact_path: str, dst_path: str | None = None) -> str:
        """A copy below ``dst_path``; without it the place where it lies, which is not a copy."""
        if dst_path is None and artifact_path:
            return self.get_local_path(artifact_path)
        if dst_path is None and not os.path.isdir(self._artifact_dir):
            os.makedirs(self._artifact_dir, exist_ok=True)
        if dst_path is None:
            return self._artifact_dir
        return str(ArtifactRepository.download_artifacts(self, artifact_path, dst_path))

    def _download_file(self, remote_file_path: str, local_path: str) -> None:
        import shutil

        shutil.copyfile(self.get_local_path(remote_file_path), local_path)

    def delete_artifacts(self, artifact_path: str | None = None) -> None:
        """Remove a file or a folder of the run."""
        import shutil

        place = self.get_local_path(artifact_path) if artifact_path else self._artifact_dir
        if os.path.isdir(place):
            shutil.rmtree(place)
        else:
            os.unlink(place)

    def _names(self) -> dict[str, str]:
        """The files below this place by their names, and where they are."""
        if not self._run:
            return dict(layout.files_below(self._artifact_dir))
        start = f"{self._below}/" if self._below else ""
        found = layout.artifacts(self._run)
        return {name[len(start) :]: at for name, at in found.items() if name.startswith(start)}


def _run_of(folder: str) -> tuple[str, str]:
    """The run that a folder of artifacts is in, and the name of the folder there."""
    below: list[str] = []
    place = folder
    while place != os.path.dirname(place):
        above, name = os.path.split(place)
        if name == layout.ARTIFACTS and os.path.exists(os.path.join(above, layout.REQUEST)):
            return above, "/".join(reversed(below))
        below.append(name)
        place = above
    return "", ""


def _is_shown(path: str) -> bool:
    """Whether files of a run outside ``artifacts/`` are listed under this name."""
    return path.split("/")[0] in (layout.OUTPUTS, layout.LOGS, "azureml-logs")
