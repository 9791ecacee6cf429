"""Which files a model is made of: a path of this machine, or artifacts of a run."""

from __future__ import annotations

import os

from aml_jupyter.errors import ModelPathNotFoundException, WebserviceException, meant, near
from aml_jupyter.job import layout

from .files import files_below

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Sequence

    Sources = Dict[str, str]

_FILES_NAMED = 50


def of_path(path: Any, child_paths: Sequence[str] | None = None) -> Sources:
    """The files at ``path``, by their names in the model: below its last segment.

    ``child_paths`` leave only these files or folders of a folder.
    """
    path = os.path.abspath(os.path.expanduser(os.fspath(path)))
    last = os.path.basename(path)
    if os.path.isfile(path):
        return {last: path}
    if not os.path.isdir(path):
        folder = os.path.dirname(path)
        beside = os.listdir(folder) if os.path.isdir(folder) else []
        raise WebserviceException(
            f"Error, provided model path {path!r} cannot be found.",
            f"Give a file or folder that exists. {meant(last, beside)}".rstrip(),
        )
    found = {name: file for name, file in files_below(path) if _is_chosen(name, child_paths)}
    if not found:
        what = "of these child_paths" if child_paths else "at all"
        raise WebserviceException(f"{path} has no files {what}.", "A model has one file at least.")
    return {f"{last}/{name}": file for name, file in found.items()}


def of_run(run_id: str, folder: str, path: str) -> tuple[str, Sources]:
    """The artifact path that is meant, and its files in the run by their names in the model.

    ``./`` in front and back-slashes are as good as none; ``./`` alone is everything.
    """
    parts = [part for part in str(path).replace("\\", "/").split("/") if part not in ("", ".")]
    wanted = "/".join(parts)
    artifacts = layout.artifacts(folder)
    if wanted in artifacts:
        return wanted, {parts[-1]: artifacts[wanted]}
    start = f"{wanted}/" if wanted else ""
    found = {name: file for name, file in artifacts.items() if name.startswith(start)}
    if not found:
        raise ModelPathNotFoundException(
            f"Could not locate the provided model_path {path} in the set of files of run {run_id}: "
            f"{_named(artifacts)}.",
            near(wanted, {*artifacts, *map(os.path.dirname, artifacts)} - {""})
            if wanted
            else "Upload a file (run.upload_file), or write it into outputs/.",
        )
    cut = len(wanted) - len(parts[-1]) if parts else 0
    return wanted, {name[cut:]: file for name, file in found.items()}


def _is_chosen(name: str, child_paths: Sequence[str] | None) -> bool:
    if child_paths is None:
        return True
    chosen = [os.path.normpath(path).replace(os.sep, "/") for path in child_paths]
    return any(name == path or name.startswith(f"{path}/") or path == "." for path in chosen)


def _named(names: Any) -> str:
    shown = sorted(names)[:_FILES_NAMED]
    more = len(names) - len(shown)
    return (", ".join(shown) or "none") + (f" and {more} more" if more > 0 else "")
