"""v1's nine ``log`` methods, over a metric writer and a place for artifacts."""

from __future__ import annotations

import os
import time

from aml_jupyter.errors import UserErrorException

from .layout import ARTIFACTS, artifact_name
from .metrics import MetricWriter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

SCHEMAS = {
    "confusion_matrix": ("class_labels", "matrix"),
    "accuracy_table": (
        "probability_tables",
        "percentile_tables",
        "probability_thresholds",
        "percentile_thresholds",
        "class_labels",
    ),
    "residuals": ("bin_edges", "bin_counts"),
    "predictions": ("bin_averages", "bin_errors", "bin_counts", "bin_edges"),
}
"""The data that each of v1's chart metrics must hold."""

_IMAGES = (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".svg", ".webp", ".tif", ".tiff")
_INTEGERS = range(-(1 << 63), 1 << 63)


class MetricLog:
    """The ``log`` methods of a run; what they write is durable when they return."""

    def __init__(self, folder: str, run_id: str) -> None:
        self._folder = folder
        self._run_id = run_id
        self._metrics = MetricWriter(os.path.join(folder, "metrics"))

    def log(self, name: str, value: Any, description: str = "", step: int | None = None) -> None:
        """Add one value to the metric ``name``; logging again makes it a series."""
        if type(value) is float and step is None:
            self._metrics.number(name, value)
        else:
            self._log_any(name, value, description, step)

    def _log_any(self, name: str, value: Any, description: str, step: Any) -> None:
        value = scalar(name, value)
        step = None if step is None else _step(step)
        if (
            type(value) is float
            or type(value) is bool
            or (type(value) is int and value in _INTEGERS)
        ):
            self._metrics.number(name, value, step)
        else:
            _check_name(name)
            self._metrics.other(name, "scalar", value, description)

    def log_list(self, name: str, value: Any, description: str = "") -> None:
        """Add several values at once; the same name again adds to the list."""
        _check_name(name)
        if isinstance(value, (str, bytes, dict)) or not hasattr(value, "__iter__"):
            raise UserErrorException(
                f"run.log_list({name!r}, …) takes a list, a range or a generator, "
                f"not {type(value).__name__}.",
                f"Use run.log({name!r}, value) for one value.",
            )
        self._metrics.other(name, "list", [scalar(name, one) for one in value], description)

    def log_row(self, name: str, description: str | None = None, **kwargs: Any) -> None:
        """Add one row of named cells; several rows of a name make a table."""
        _check_name(name)
        if not kwargs:
            raise UserErrorException(
                f"run.log_row({name!r}) has no columns.",
                "Give them as keywords: run.log_row('curve', x=1.0, y=2.0).",
            )
        cells = {column: scalar(name, value) for column, value in kwargs.items()}
        self._metrics.other(name, "row", cells, description)

    def log_table(self, name: str, value: dict[str, Any], description: str = "") -> None:
        """Add a table: a dict of columns, all lists of one length or all single values."""
        _check_name(name)
        if not isinstance(value, dict) or not value:
            raise UserErrorException(
                f"run.log_table({name!r}, …) takes a dict of columns, not {type(value).__name__}.",
                "For example run.log_table('table', {'x': [1, 2], 'y': [3, 4]}).",
            )
        columns = {str(key): _column(name, cells) for key, cells in value.items()}
        lengths = {len(cells) if isinstance(cells, list) else 1 for cells in columns.values()}
        if len(lengths) > 1:
            raise UserErrorException(
                f"The columns of table {name!r} have different lengths: {sorted(lengths)}.",
                "Give every column the same number of cells.",
            )
        self._metrics.other(name, "table", columns, description)

    def log_image(
        self, name: str, path: str | None = None, plot: Any = None, description: str = ""
    ) -> None:
        """Store a picture, from a file or from anything with ``savefig``."""
        _check_name(name)
        if (path is None) == (plot is None):
            raise UserErrorException(
                f"run.log_image({name!r}) takes exactly one of path= and plot=.",
                "Give plot=plt, or path='figure.png'.",
            )
        stored = self._store_plot(name, plot) if path is None else self._store_image(name, path)
        location = f"aml://artifactId/ExperimentRun/dcid.{self._run_id}/{stored}"
        self._metrics.other(name, "image", location, description)

    def log_confusion_matrix(self, name: str, value: Any, description: str = "") -> None:
        """Store a confusion matrix in v1's JSON form."""
        self._log_schema(name, "confusion_matrix", value, description)

    def log_accuracy_table(self, name: str, value: Any, description: str = "") -> None:
        """Store an accuracy table (ROC, precision and recall, …) in v1's JSON form."""
        self._log_schema(name, "accuracy_table", value, description)

    def log_residuals(self, name: str, value: Any, description: str = "") -> None:
        """Store a histogram of residuals in v1's JSON form."""
        self._log_schema(name, "residuals", value, description)

    def log_predictions(self, name: str, value: Any, description: str = "") -> None:
        """Store predicted against true values in v1's JSON form."""
        self._log_schema(name, "predictions", value, description)

    def flush(self, timeout_seconds: int = 300) -> None:
        """Return when everything logged is durable, which it is already."""
        self._metrics.flush()

    def _store_plot(self, name: str, plot: Any) -> str:
        if not hasattr(plot, "savefig"):
            raise UserErrorException(
                f"plot= of run.log_image({name!r}) has no savefig method ({type(plot).__name__}).",
                "Give the pyplot module or a Figure.",
            )
        stored, target = self._new_artifact(f"{name}_{int(time.time())}.png")
        plot.savefig(target, format="png")
        return stored

    def _store_image(self, name: str, path: str) -> str:
        path = os.fspath(path)
        if not path.lower().endswith(_IMAGES) or not os.path.isfile(path):
            what = "is not a picture" if os.path.isfile(path) else "does not exist"
            raise UserErrorException(
                f"run.log_image({name!r}): {path} {what}.", f"Give one of {', '.join(_IMAGES)}."
            )
        stored, target = self._new_artifact(path.lstrip("/"))
        import shutil

        shutil.copyfile(path, target)
        return stored

    def _new_artifact(self, wanted: str) -> tuple[str, str]:
        """An artifact name that is still free, and the path to write it to."""
        stem, suffix = os.path.splitext(artifact_name(wanted))
        for number in range(1_000_000):
            stored = f"{stem}_{number}{suffix}" if number else f"{stem}{suffix}"
            target = os.path.join(self._folder, ARTIFACTS, stored)
            if not os.path.lexists(target):
                break
        os.makedirs(os.path.dirname(target), exist_ok=True)
        return stored, target

    def _log_schema(self, name: str, kind: str, value: Any, description: str | None) -> None:
        import json

        _check_name(name)
        content = _schema_content(name, kind, value)
        stored, target = self._new_artifact(name)
        with open(target, "w", encoding="utf-8") as file:
            json.dump(content, file)
        location = f"aml://artifactId/ExperimentRun/dcid.{self._run_id}/{stored}"
        self._metrics.other(name, kind, location, description)


def scalar(name: str, value: Any) -> float | int | bool | str | None:
    """``value`` as one number, text or None; anything else as v1 stores it, by its repr.

    Numbers of numpy, torch and their like are taken for what they hold.
    """
    if value is None or type(value) in (float, int, bool, str):
        return value  # type: ignore[no-any-return]
    if isinstance(value, (list, tuple, set, dict, range)):
        raise _not_a_scalar(name, value)
    if isinstance(value, (bool, int, float, str)):
        return _plain(value)
    if hasattr(value, "item") and _is_single(value):
        return scalar(name, value.item())
    if isinstance(value, (bytes, bytearray)):
        return repr(value)
    if hasattr(value, "__iter__") or hasattr(value, "__array__"):
        raise _not_a_scalar(name, value)
    return repr(value)


def _plain(value: Any) -> float | int | bool | str:
    for kind in (bool, int, float):
        if isinstance(value, kind):
            return kind(value)
    return str(value)


def _is_single(value: Any) -> bool:
    """Torch tensors have ``numel()`` where numpy has ``size``."""
    count = getattr(value, "numel", None)
    return bool((getattr(value, "size", None) if count is None else count()) == 1)


def _not_a_scalar(name: str, value: Any) -> UserErrorException:
    return UserErrorException(
        f"run.log({name!r}, …) takes one value, not {type(value).__name__}.",
        f"Use run.log_list({name!r}, values) for several at once.",
    )


def _step(step: Any) -> int:
    try:
        number = int(step)
        if number in _INTEGERS:
            return number
        raise ValueError(step)
    except (TypeError, ValueError):
        raise UserErrorException(
            f"step= is a whole number, not {step!r}.", "Leave it out to count the calls."
        ) from None


def _check_name(name: str) -> None:
    if not isinstance(name, str) or not name:
        raise UserErrorException(
            f"A metric's name is a non-empty string, not {name!r}.",
            "Use for example run.log('loss', value).",
        )


def _column(name: str, cells: Any) -> list[Any] | Any:
    if isinstance(cells, (str, bytes)) or not hasattr(cells, "__iter__"):
        return scalar(name, cells)
    return [scalar(name, cell) for cell in cells]


def _schema_content(name: str, kind: str, value: Any) -> dict[str, Any]:
    import json

    try:
        content = json.loads(value) if isinstance(value, (str, bytes)) else dict(value)
        missing = [key for key in SCHEMAS[kind] if key not in content["data"]]
        named = content["schema_type"]
    except (ValueError, TypeError, KeyError) as error:
        raise UserErrorException(
            f"run.log_{kind}({name!r}, …) takes JSON with schema_type, schema_version and data "
            f"({type(error).__name__}: {error}).",
            f'For example {{"schema_type": "{kind}", "schema_version": "1.0.0", "data": …}}.',
        ) from None
    if named != kind or missing:
        wrong = f"schema_type {named!r}" if named != kind else f"no {', '.join(missing)} in data"
        raise UserErrorException(
            f"run.log_{kind}({name!r}, …) was given {wrong}.",
            f"Its data holds {', '.join(SCHEMAS[kind])}.",
        )
    return content
