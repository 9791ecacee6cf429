"""Where a workspace lies, for what travels with jobs: the path of its ``.aml`` folder."""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager

from aml_jupyter.errors import UserErrorException, WorkspaceException
from aml_jupyter.job.layout import FOLDER_VARIABLE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterator, Union

    AnyPath = Union[str, "os.PathLike[str]"]

MARK = "workspace.json"
"""The file that makes a folder a workspace's."""


def root_of(workspace: Any) -> str:
    """The ``.aml`` folder of a ``Workspace``, of one inside a job, or the path itself."""
    root = workspace
    if not isinstance(workspace, (str, os.PathLike)):
        root = getattr(getattr(workspace, "folder", workspace), "root", None)
    if root is None:
        raise UserErrorException(
            f"{workspace!r} is not a workspace.", "Pass one: Workspace.from_config()."
        )
    return str(os.fspath(root))


def root_above(folder: AnyPath) -> str | None:
    """The workspace that a run's folder lies in; None where it is not within reach."""
    above = os.path.dirname(os.path.abspath(folder))
    while not os.path.exists(os.path.join(above, MARK)):
        if above == os.path.dirname(above):
            return None
        above = os.path.dirname(above)
    return above


def root_here() -> str:
    """The ``.aml`` folder of this process: its run's, or what ``Workspace.from_config()`` finds."""
    run = os.environ.get(FOLDER_VARIABLE)
    if not run:
        from importlib import import_module

        return root_of(import_module("aml_jupyter.workspace").Workspace.from_config())
    root = root_above(run)
    if root is None:
        raise WorkspaceException(
            "The workspace of this run is not within reach: the job sees its own folder only.",
            "Pass the data to the run as an input: ds.as_named_input('data').as_mount().",
        )
    return root


@contextmanager
def locked(path: AnyPath, wait: bool = True) -> Iterator[int]:
    """An open file that no other process has locked this way; made, with its folder.

    Whoever will not wait for another to let go of it gets a BlockingIOError.
    """
    os.makedirs(os.path.dirname(path), exist_ok=True)
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield file
    finally:
        os.close(file)
