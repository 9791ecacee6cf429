"""Runs seen through MLflow: the plug-ins that it loads.

Travels with every job; mlflow is the interpreter's own. MLflow looks these doors up while it is
itself being imported, so nothing behind them is fetched before it is used.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def tracking_store(store_uri: str, artifact_uri: str | None = None, **_: Any) -> Any:
    """What MLflow asks of the addresses ``aml://…``: experiments, runs, logged models."""
    from .store import TrackingStore

    return TrackingStore(store_uri)


def artifact_repository(artifact_uri: str, *args: Any, **kwargs: Any) -> Any:
    """The files of a run, for MLflow."""
    from .artifacts import RunArtifacts

    return RunArtifacts(artifact_uri, *args, **kwargs)


def model_registry_store(store_uri: str, tracking_uri: str | None = None, **_: Any) -> Any:
    """The registered models of a workspace, for MLflow."""
    from .registry import RegistryStore

    return RegistryStore(store_uri, tracking_uri)
