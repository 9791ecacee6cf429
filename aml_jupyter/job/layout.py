"""Where things are in a run folder, and a few habits of writing there."""

from __future__ import annotations

import errno
import os

from aml_jupyter.errors import StorageFullError, UserErrorException

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterator

REQUEST = "run.json"
EVENTS = "events.jsonl"
METRICS = "metrics"
SYSTEM = "system"
DRIVER_LOG = "azureml-logs/70_driver_log.txt"
BUILD_LOG = "azureml-logs/20_image_build_log.txt"
DRIVER_LOG_ALIAS = "user_logs/std_log.txt"
OUTPUTS = "outputs"
LOGS = "logs"
ARTIFACTS = "artifacts"
CHILDREN = "children"
WORK = "work"
DATA = "data.json"
MOUNTS = "mounts"
DOWNLOADS = "downloads"
UPLOADS = "uploads"
CLAIM = "job/claim.json"
EXIT = "job/exit.json"
OUTCOME = "job/outcome.json"
ENVIRONMENT_LOCK = "environment.lock"

FOLDER_VARIABLE = "AML_RUN_FOLDER"
"""Tells a process which run it belongs to."""

FORMAT = 1

STARTUP = "startup"
"""The folder of a bundle with what every Python imports at its start."""


def search_path(theirs: str | None, bundle: str) -> str:
    """``PYTHONPATH`` for the processes of a job, from their own and the bundle of ours.

    What they import at their start comes first, so that nobody hides it; it imports what it
    hides itself. All else of ours comes last, and hides nothing.
    """
    return os.pathsep.join(filter(None, [os.path.join(bundle, STARTUP), theirs, bundle]))


def guid() -> str:
    """A fresh random identifier in the shape v1 uses (``uuid`` would cost the import 4 ms)."""
    digits = os.urandom(16).hex()
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def check_run_id(run_id: str) -> str:
    """``run_id`` if it can name a run, and so a folder."""
    fits = isinstance(run_id, str) and 0 < len(run_id) <= 256 and run_id[0] not in ".-"
    if not fits or not all(c.isascii() and (c.isalnum() or c in "_.-") for c in run_id):
        raise UserErrorException(
            f"{run_id!r} is not an id for a run.",
            "Use at most 256 letters, digits, _, - and dots, starting with a letter or digit.",
        )
    return run_id


def write_json(path: str, content: Any) -> None:
    """Replace ``path`` by ``content`` as JSON, whole or not at all."""
    import json

    aside = f"{path}.{os.getpid()}.{os.urandom(3).hex()}.tmp"
    try:
        with open(aside, "w", encoding="utf-8") as file:
            file.write(json.dumps(content, separators=(",", ":")))
        os.replace(aside, path)
    except OSError as error:
        if os.path.exists(aside):
            os.unlink(aside)
        raise full_disk(error, path) from error


def write_json_below(folder: str, path: str, content: Any) -> None:
    """The same for a file in a run's folder, where its job may have put links in the way."""
    import json

    from .beneath import replace

    try:
        replace(folder, path, json.dumps(content, separators=(",", ":")).encode())
    except OSError as error:
        raise full_disk(error, os.path.join(folder, path)) from error


def read_json(path: str) -> Any:
    """The JSON in ``path``; None when there is no such file or it is not (yet) JSON."""
    import json

    unreadable = (FileNotFoundError, NotADirectoryError, IsADirectoryError)
    try:
        with open(path, encoding="utf-8", opener=_at_once) as file:
            return json.load(file)
    except (*unreadable, ValueError, RecursionError):
        return None


def _at_once(path: str, flags: int) -> int:
    """Open a file without waiting for the other end of what a job may have made a pipe."""
    return os.open(path, flags | os.O_NONBLOCK)


def full_disk(error: OSError, path: str) -> OSError:
    """``error``, or the error that says what to do when the disk is what is full."""
    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
        return error
    return StorageFullError(
        f"No room left on the disk that holds {os.path.dirname(path)}; what was written is intact.",
        "Free some space (`aml delete` removes runs), then repeat what failed.",
    )


def artifact_name(name: str) -> str:
    """``name`` as runs store it: forward slashes, relative, inside the run."""
    parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".")]
    if not parts or ".." in parts:
        raise UserErrorException(
            f"{name!r} is not a name for a file of a run.",
            "Use a relative path without `..`, such as `outputs/model.pkl`.",
        )
    return "/".join(parts)


def is_driver_log_again(path: str | os.PathLike[str]) -> bool:
    """Whether a log is the driver log under another name: that of the first of many processes."""
    driver = os.path.join(os.path.dirname(path), os.path.basename(DRIVER_LOG))
    try:
        return os.fspath(path) != driver and os.path.samefile(path, driver)
    except OSError:
        return False


def files_below(folder: str, prefix: str = "") -> Iterator[tuple[str, str]]:
    """(name, path) of every file in ``folder``, names with ``/`` and below ``prefix``."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return
    for entry in entries:
        name = f"{prefix}{entry.name}"
        if entry.is_dir(follow_symlinks=False):
            yield from files_below(entry.path, f"{name}/")
        elif entry.is_file() and not name.endswith(".tmp"):
            yield name, entry.path


def artifacts(folder: str) -> dict[str, str]:
    """Every file of the run by the name v1 lists it under, and where it is."""
    found = dict(files_below(os.path.join(folder, ARTIFACTS)))
    for place in ("azureml-logs", LOGS, OUTPUTS):
        found.update(files_below(os.path.join(folder, place), f"{place}/"))
    return found
