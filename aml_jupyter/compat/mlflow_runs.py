"""``azureml.mlflow``: what v1 did with a run of MLflow's; it is a run of the workspace, too."""

from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def get_portal_url(run: Any) -> str:
    """The address of the run: its folder."""
    return str(_run_of(run).get_portal_url())


def register_model(run: Any, name: str, path: str, **facts: Any) -> Any:
    """The registered model of that name, from a path among the run's artifacts.

    ``facts`` are those of ``run.register_model``: tags, properties, description, ….
    """
    return _run_of(run).register_model(model_name=name, model_path=path, **facts)


def _run_of(run: Any) -> Any:
    """The run of the workspace; ``run`` may be that itself, or MLflow's."""
    if not hasattr(run, "info"):
        return run
    workspace = import_module(__name__.partition(".")[0]).Workspace.from_config()
    return workspace.get_run(run.info.run_id)
