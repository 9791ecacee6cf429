"""What ``Run.get_context()`` returns outside a run: it prints, and has nothing else.

Scripts tell by the class and by what is *missing* (``hasattr(run, 'experiment')``), so nothing
may be added here.
"""

from __future__ import annotations

from .layout import guid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def _attempt(kind: str, name: str, value: Any) -> None:
    print(f"Attempted to log {kind} metric {name}:\n{value}")


class _OfflineRun:
    """A stand-in for a run, for scripts that are run by hand."""

    def __init__(self, parent_logger: Any = None, run_id: str | None = None) -> None:
        self._id = run_id or f"OfflineRun_{guid()}"

    @property
    def id(self) -> str:
        """``OfflineRun_`` and a random identifier."""
        return self._id

    @property
    def identity(self) -> str:
        """The same as ``id``."""
        return self._id

    def log(self, name: str, value: Any, description: str = "", step: int | None = None) -> None:
        """Print the value."""
        _attempt("scalar", name, value)

    def log_list(self, name: str, value: Any, description: str = "") -> None:
        """Print the values."""
        _attempt("list", name, value)

    def log_row(self, name: str, description: str | None = None, **kwargs: Any) -> None:
        """Print the row."""
        _attempt("row", name, kwargs)

    def log_table(self, name: str, value: Any, description: str = "") -> None:
        """Print the table."""
        _attempt("table", name, value)

    def log_image(
        self, name: str, path: str | None = None, plot: Any = None, description: str = ""
    ) -> None:
        """Print what would be stored."""
        _attempt("image", name, path if path is not None else plot)

    def log_confusion_matrix(self, name: str, value: Any, description: str | None = None) -> None:
        """Print the matrix."""
        _attempt("confusion_matrix", name, value)

    def log_accuracy_table(self, name: str, value: Any, description: str | None = None) -> None:
        """Print the table."""
        _attempt("accuracy_table", name, value)

    def log_residuals(self, name: str, value: Any, description: str | None = None) -> None:
        """Print the residuals."""
        _attempt("residual", name, value)

    def log_predictions(self, name: str, value: Any, description: str | None = None) -> None:
        """Print the predictions."""
        _attempt("predictions", name, value)

    def tag(self, name: str, value: Any = None) -> None:
        """Print the tag."""
        print(f"Attempted to add tag {name} with value {value}")

    def set_tags(self, tags: Any) -> None:
        """Print the tags."""
        print(f"Attempted to set tags {tags}")

    def add_properties(self, properties: Any) -> None:
        """Print the properties."""
        print(f"Attempted to add properties {properties}")

    def upload_file(
        self, name: str, path_or_stream: Any, datastore_name: str | None = None
    ) -> None:
        """Print what would be stored."""
        print(f"Attempted to track file {name} at {path_or_stream}")

    def upload_files(
        self,
        names: Any,
        paths: Any,
        return_artifacts: bool = False,
        timeout_seconds: int | None = None,
        datastore_name: str | None = None,
    ) -> None:
        """Print what would be stored."""
        for name, path in zip(names, paths):
            self.upload_file(name, path)

    def upload_folder(self, name: str, path: str, datastore_name: str | None = None) -> None:
        """Print what would be stored."""
        print(f"Attempted to track folder {name} at {path}")

    def child_run(
        self, name: str | None = None, run_id: str | None = None, outputs: Any = None
    ) -> _OfflineRun:
        """Another stand-in, named below this one."""
        return _OfflineRun(run_id=run_id or f"{self._id}.{name}")

    def complete(self) -> None:
        """Do nothing."""

    def cancel(self) -> None:
        """Do nothing."""

    def fail(self, error_details: Any = None, error_code: str | None = None) -> None:
        """Print the error."""
        print(f"Run failed with error code {error_code}:\n{error_details}")

    def flush(self) -> None:
        """Print that there is nothing to flush."""
        print(f"Attempted to flush run with id {self._id}")

    def __enter__(self) -> _OfflineRun:
        print(f"[START] Run {self._id} context")
        return self

    def __exit__(self, kind: Any, value: Any, traceback: Any) -> None:
        print(f"[STOP] Run {self._id} context")
