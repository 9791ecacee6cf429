"""How MLflow is told where runs are kept, and which of them a process is part of."""

from __future__ import annotations

import os
import re

from .layout import read_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Mapping

SCHEME = "aml"
TRACKING_URI = "MLFLOW_TRACKING_URI"
REGISTRY_URI = "MLFLOW_REGISTRY_URI"
RUN_ID = "MLFLOW_RUN_ID"
EXPERIMENT_ID = "MLFLOW_EXPERIMENT_ID"
EXPERIMENT_NAME = "MLFLOW_EXPERIMENT_NAME"
TELEMETRY_OFF = "MLFLOW_DISABLE_TELEMETRY"

_RUN_ID = re.compile(r"[A-Za-z0-9][\w-]{0,255}")


def address_of(root: str) -> str:
    """The address of the workspace in the folder ``root``, as MLflow takes it."""
    from urllib.parse import quote

    return f"{SCHEME}://{quote(os.path.abspath(root))}"


def path_of(address: str) -> str:
    """The path in such an address."""
    from urllib.parse import unquote, urlsplit

    parts = urlsplit(address)
    return os.path.abspath(unquote(f"/{parts.netloc}{parts.path}" if parts.netloc else parts.path))


def mlflow_variables(
    folder: str, run_id: str, experiment: str, theirs: Mapping[str, str]
) -> dict[str, str]:
    """What makes MLflow log into the run in ``folder``.

    Nothing where ``theirs``, the variables that the process has besides, send it to a server of
    the user's own: that has no such run.
    """
    if _is_elsewhere(theirs.get(TRACKING_URI)):
        return {}
    root = os.path.dirname(os.path.dirname(os.path.abspath(folder)))
    record = read_json(os.path.join(root, "experiments", f"{experiment}.json")) or {}
    found = {
        TRACKING_URI: address_of(root),
        EXPERIMENT_ID: str(record.get("id") or experiment),
        EXPERIMENT_NAME: experiment,
    }
    if TELEMETRY_OFF not in theirs:  # what is kept here is told to nobody
        found[TELEMETRY_OFF] = "true"
    if not _is_elsewhere(theirs.get(REGISTRY_URI)):
        # Said, or MLflow looks for Spark each time that it logs a value.
        found[REGISTRY_URI] = found[TRACKING_URI]
    if _RUN_ID.fullmatch(run_id):  # MLflow refuses others
        found[RUN_ID] = run_id
    return found


def _is_elsewhere(address: str | None) -> bool:
    return bool(address) and not str(address).startswith(f"{SCHEME}:")
