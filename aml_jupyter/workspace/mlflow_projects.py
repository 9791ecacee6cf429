"""MLflow projects as runs: ``mlflow.projects.run(uri, backend="azureml", backend_config={…})``.

``COMPUTE`` in the configuration names a compute target; ``USE_CONDA`` false means the interpreter
that submits, and anything else the environment that the project names.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlflow
from mlflow.entities import RunStatus
from mlflow.exceptions import ExecutionException
from mlflow.projects import utils
from mlflow.projects.backend.abstract_backend import AbstractBackend
from mlflow.projects.submitted_run import SubmittedRun

from ..errors import near
from ..job import events, states
from ..job.mlflow_names import SCHEME, path_of
from ..spec import CondaDependencies, Environment, ScriptRunConfig
from ..store import WorkspaceFolder
from .run import Run
from .workspace import Workspace

_logger = logging.getLogger("mlflow.projects")

_ENDS = {
    states.COMPLETED: RunStatus.FINISHED,
    states.FAILED: RunStatus.FAILED,
    states.CANCELED: RunStatus.KILLED,
}
_KNOWN = ("COMPUTE", "USE_CONDA")
_FALSE = ("false", "0", "no", "")


class ProjectBackend(AbstractBackend):
    """Submits the entry point of a project as a run of an experiment."""

    def run(
        self,
        project_uri: str,
        entry_point: str,
        params: Mapping[str, Any] | None,
        version: str | None,
        backend_config: Mapping[str, Any] | None,
        tracking_uri: str,
        experiment_id: str,
    ) -> ProjectRun:
        """The run, which goes on without this process."""
        workspace = _workspace(tracking_uri)
        config, given = _checked(backend_config or {}), dict(params or {})
        folder = utils.fetch_and_validate_project(project_uri, version, entry_point, given)
        project = utils.load_project(folder)
        point = project.get_entry_point(entry_point)
        storage = config.get(utils.PROJECT_STORAGE_DIR)
        command = point.compute_command(given, storage)
        defaults = {each.name: each.default for each in point.parameters.values()}
        name = mlflow.MlflowClient(tracking_uri).get_experiment(experiment_id).name
        run = workspace._experiment_of(name).submit(
            _configuration(folder, command, project, config),
            tags={
                "mlflow.source.type": "PROJECT",
                "mlflow.source.name": project_uri,
                "mlflow.project.entryPoint": entry_point,
            },
        )
        said = {k: str(v) for k, v in {**defaults, **given}.items() if v is not None}
        if said:
            events.append(str(run.folder), "params", set=said)
        return ProjectRun(run)


class ProjectRun(SubmittedRun):
    """A project that was submitted: wait for it, ask for its state, cancel it."""

    def __init__(self, run: Run) -> None:
        self._run = run

    @property
    def run_id(self) -> str:
        """The id of the run, for MLflow and for us."""
        return self._run.id

    @property
    def run(self) -> Run:
        """The run itself."""
        return self._run

    def wait(self) -> bool:
        """Wait for the end; whether the run has completed."""
        details = self._run.wait_for_completion(raise_on_error=False)
        error = (details.get("error") or {}).get("error") or {}
        if error:
            last = "\n".join(error.get("logTail") or ())
            _logger.error("%s\n%s\nSee %s", error.get("message"), last, self._run.folder)
        return bool(self._run.get_status() == states.COMPLETED)

    def get_status(self) -> str:
        """MLflow's word for the state of the run now."""
        status = _ENDS.get(self._run.get_status(), RunStatus.RUNNING)
        return str(RunStatus.to_string(status))

    def cancel(self) -> None:
        """Cancel the run, and wait until it has ended."""
        self._run.cancel()
        self._run.wait_for_completion(raise_on_error=False)

    def __repr__(self) -> str:
        return f"ProjectRun(run_id={self.run_id}, status={self.get_status()})"


def _workspace(tracking_uri: str) -> Workspace:
    if not tracking_uri.startswith(f"{SCHEME}:"):
        raise ExecutionException(
            f"The project's run would not be found at {tracking_uri}, where MLflow looks for it. "
            "Call mlflow.set_tracking_uri(workspace.get_mlflow_tracking_uri()) first."
        )
    return Workspace._at(WorkspaceFolder(Path(path_of(tracking_uri))))


def _checked(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The configuration; a word that v1 did not know is most likely misspelt."""
    of_mlflow = {value for name, value in vars(utils).items() if name.startswith("PROJECT_")}
    unknown = sorted(set(config) - set(_KNOWN) - of_mlflow)
    if unknown:
        raise ExecutionException(
            f"backend_config has {', '.join(unknown)}, which means nothing here. "
            f"{near(unknown[0].upper(), _KNOWN)}"
        )
    return config


def _configuration(
    folder: str, command: str, project: Any, config: Mapping[str, Any]
) -> ScriptRunConfig:
    environment = None
    if _wants_environment(config):
        environment = _environment(project)
    return ScriptRunConfig(
        folder,
        command=command,
        compute_target=config.get("COMPUTE") or None,
        environment=environment,
    )


def _wants_environment(config: Mapping[str, Any]) -> bool:
    if config.get(utils.PROJECT_ENV_MANAGER) == "local":
        return False
    return str(config.get("USE_CONDA", True)).strip().lower() not in _FALSE


def _environment(project: Any) -> Environment | None:
    """The environment that an MLproject file names; None for one that names none."""
    name = "".join(c if c.isalnum() else "-" for c in project.name or "project")
    image = (project.docker_env or {}).get("image")
    if image:
        return Environment.from_docker_image(name, image)
    path = project.env_config_path
    if not path:
        return None
    if os.path.basename(path).startswith("python_env"):
        environment = Environment(name)
        environment.python.conda_dependencies = _python_env(path)
        return environment
    return Environment.from_conda_specification(name, path)


def _python_env(path: str) -> CondaDependencies:
    from mlflow.utils.environment import _PythonEnv

    asked = _PythonEnv.from_yaml(path)
    packages = [*(asked.build_dependencies or []), *(asked.dependencies or [])]
    return CondaDependencies.create(python_version=asked.python, pip_packages=packages)
