"""A run as its own folder knows it: enough for training code, with nothing installed."""

from __future__ import annotations

import os
import time

from aml_jupyter.errors import (
    RunEnvironmentException,
    UserErrorException,
    WorkspaceException,
)

from . import data, events, layout, metrics, states
from .layout import FOLDER_VARIABLE, artifact_name, full_disk
from .metric_log import MetricLog
from .offline import _OfflineRun
from .process import identity

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterator, Sequence

REQUIRED_VARIABLES = (
    "AZUREML_RUN_ID",
    "AZUREML_ARM_SUBSCRIPTION",
    "AZUREML_ARM_RESOURCEGROUP",
    "AZUREML_ARM_WORKSPACE_NAME",
    "AZUREML_ARM_PROJECT_NAME",
    "AZUREML_RUN_TOKEN",
    "AZUREML_SERVICE_ENDPOINT",
)
"""v1 takes a process for part of a run when all of these are set."""

_current: dict[str, Run] = {}


class Run(MetricLog):
    """A run: what it logged, its files, tags, properties, children and state."""

    def __init__(self, folder: str) -> None:
        request = layout.read_json(os.path.join(folder, layout.REQUEST))
        if request is None:
            raise UserErrorException(
                f"{folder} is not the folder of a run.", "It has no readable run.json."
            )
        super().__init__(folder, request["id"])
        self._request: dict[str, Any] = request
        self._facts = events.Facts(request)
        self._offset = 0

    # Where we are

    @staticmethod
    def get_context(
        allow_offline: bool = True, used_for_context_manager: bool = False, **kwargs: Any
    ) -> Any:
        """The run this process is part of; outside a run, a stand-in that only prints."""
        folder = os.environ.get(FOLDER_VARIABLE)
        missing = [name for name in REQUIRED_VARIABLES if not os.environ.get(name)]
        if folder and not missing:
            if folder not in _current:
                _current[folder] = _SubmittedRun(folder)
            return _current[folder]
        if allow_offline:
            return _OfflineRun()
        raise RunEnvironmentException(
            f"This process is not part of a run: {', '.join(missing) or FOLDER_VARIABLE} not set.",
            "Submit the script, or call Run.get_context() to get a stand-in that prints.",
        )

    @staticmethod
    def get_submitted_run(**kwargs: Any) -> Any:
        """The old name of :meth:`get_context`."""
        return Run.get_context(**kwargs)

    @property
    def id(self) -> str:
        """The identifier of the run, unique in its workspace."""
        return self._run_id

    def get_portal_url(self) -> str:
        """The address of the run: its folder."""
        from pathlib import Path

        return Path(self._folder).absolute().as_uri()

    @property
    def number(self) -> int:
        """Counts the runs of the experiment, from 1."""
        return int(self._request.get("number") or 0)

    @property
    def type(self) -> str | None:
        """``azureml.scriptrun`` for a submitted script; None for an interactive run."""
        return self._request.get("type")

    @property
    def display_name(self) -> str:
        """A name for people; it may be set."""
        return self._read().display_name

    @display_name.setter
    def display_name(self, name: str) -> None:
        self._append("name", display_name=str(name))

    @property
    def name(self) -> str:
        """The old name of ``display_name``."""
        return self.display_name

    @property
    def description(self) -> str | None:
        """Free text about the run; it may be set."""
        return self._read().description

    @description.setter
    def description(self, text: str) -> None:
        self._append("name", description=str(text))

    # State

    @property
    def status(self) -> str:
        """The last known state; :meth:`get_status` looks again."""
        return self._facts.status if self._offset else self.get_status()

    def get_status(self) -> str:
        """The state of the run now."""
        return self._read().status

    def get_detailed_status(self) -> dict[str, Any]:
        """The state and its details, as v1 shapes them."""
        facts = self._read()
        return {"status": facts.status, "details": (facts.progress or {}).get("text", "")}

    def start(self) -> None:
        """Mark the run as running."""
        self._append("state", state=states.RUNNING)

    def complete(self) -> None:
        """End the run as Completed."""
        self._end(states.COMPLETED)

    def fail(self, error_details: Any = None, error_code: str | None = None) -> None:
        """End the run as Failed."""
        self._end(states.FAILED, failure(error_details, error_code))

    def cancel(self) -> None:
        """End the run as Canceled."""
        self._end(states.CANCELED)

    def _end(self, state: str, error: dict[str, Any] | None = None) -> None:
        self._metrics.close()
        self._append("state", state=state, **({"error": error} if error else {}))

    def __enter__(self) -> Any:
        return self

    def __exit__(self, kind: Any, value: Any, traceback: Any) -> None:
        if kind is None or (kind is SystemExit and value.code in (None, 0)):
            self.complete()
        else:
            self.fail(describe(value))

    def get_details(self) -> dict[str, Any]:
        """All of the run as one dictionary with v1's keys."""
        facts, request = self._read(), self._request
        details: dict[str, Any] = {
            "runId": self.id,
            "target": request.get("target"),
            "status": facts.status,
        }
        if facts.started is not None:
            details["startTimeUtc"] = iso(facts.started)
        if facts.ended is not None:
            details["endTimeUtc"] = iso(facts.ended)
        details["services"] = {}
        if facts.warnings:
            details["warnings"] = list(facts.warnings)
        if facts.error:
            details["error"] = facts.error
        details.update(
            properties=dict(facts.properties),
            inputDatasets=data.input_details(self._folder, request),
            outputDatasets=data.output_details(self._folder, facts.outputs),
        )
        if request.get("definition"):
            details["runDefinition"] = request["definition"]
        details["logFiles"] = {
            name: f"file://{path}"
            for name, path in layout.artifacts(self._folder).items()
            if name.startswith(("azureml-logs/", "logs/azureml/"))
        }
        details["submittedBy"] = request.get("submitted_by")
        return details

    # Metrics

    def get_metrics(
        self,
        name: str | None = None,
        recursive: bool = False,
        run_type: str | None = None,
        populate: bool = False,
    ) -> dict[str, Any]:
        """What was logged, by name: one value bare, several as a list, rows as columns.

        ``recursive=True`` gives ``{run id: metrics}`` for this run and all below it.
        """
        if recursive:
            runs = [self, *self._descendants()]
            found = {run.id: run.get_metrics(name, populate=populate) for run in runs}
            return {run_id: values for run_id, values in found.items() if values}
        entries = metrics.read_all(os.path.join(self._folder, layout.METRICS))
        return {
            metric: self._populated(logged) if populate else metrics.v1_shape(logged)
            for metric, logged in entries.items()
            if name is None or metric == name
        }

    def _populated(self, entries: list[metrics.Entry]) -> Any:
        value = metrics.v1_shape(entries)
        if entries[-1]["kind"] not in (
            "confusion_matrix",
            "accuracy_table",
            "residuals",
            "predictions",
        ):
            return value
        stored = value.partition(f"dcid.{self._run_id}/")[2]
        return layout.read_json(os.path.join(self._folder, layout.ARTIFACTS, stored))

    # Tags and properties

    @property
    def tags(self) -> dict[str, str | None]:
        """The tags of the run now."""
        return dict(self._read().tags)

    def get_tags(self) -> dict[str, str | None]:
        """The tags of the run now."""
        return self.tags

    def tag(self, key: str, value: Any = None) -> None:
        """Set one tag."""
        self.set_tags({key: value})

    def set_tags(self, tags: dict[str, Any]) -> None:
        """Set several tags; the others stay."""
        self._append("tags", set=text_values(tags))

    def remove_tags(self, tags: str | Sequence[str]) -> None:
        """Take tags away by their keys."""
        self._append("tags", remove=[tags] if isinstance(tags, str) else list(tags))

    @property
    def properties(self) -> dict[str, str]:
        """The properties of the run now; a property never changes once set."""
        return dict(self._read().properties)

    def get_properties(self) -> dict[str, str]:
        """The properties of the run now."""
        return self.properties

    def add_properties(self, properties: dict[str, Any]) -> None:
        """Set properties that are not set yet."""
        known = self.properties
        taken = sorted(set(known) & set(properties))
        if taken:
            raise UserErrorException(
                f"Properties never change, and run {self.id} has {', '.join(taken)} already.",
                "Use a tag (run.tag) for what may change.",
            )
        self._append("properties", set=text_values(properties))

    # Files

    def get_file_names(self) -> list[str]:
        """The names of all files of the run, sorted."""
        return sorted(layout.artifacts(self._folder))

    def upload_file(
        self, name: str, path_or_stream: Any, datastore_name: str | None = None
    ) -> None:
        """Store a file, or what a stream holds, under ``name``; a name is used once."""
        name = artifact_name(name)
        if name in layout.artifacts(self._folder):
            raise UserErrorException(
                f"Run {self.id} has a file named {name} already.", "Give it another name."
            )
        target = os.path.join(self._folder, layout.ARTIFACTS, name)
        try:
            os.makedirs(os.path.dirname(target), exist_ok=True)
            _copy(path_or_stream, target)
        except OSError as error:
            raise full_disk(error, target) from error
        self._append("upload", name=name)

    def upload_files(
        self,
        names: Sequence[str],
        paths: Sequence[str],
        return_artifacts: bool = False,
        timeout_seconds: int | None = None,
        datastore_name: str | None = None,
    ) -> None:
        """Store several files."""
        if len(names) != len(paths):
            raise TypeError(f"{len(names)} names for {len(paths)} paths")
        for name, path in zip(names, paths):
            self.upload_file(name, path)

    def upload_folder(self, name: str, path: str, datastore_name: str | None = None) -> None:
        """Store all files of a folder below the prefix ``name``."""
        if not os.path.isdir(path):
            raise UserErrorException(f"There is no folder {path}.", "Check the path.")
        for below, file in list(layout.files_below(path)):
            self.upload_file(f"{name}/{below}", file)

    def download_file(self, name: str, output_file_path: str | None = None) -> None:
        """Copy a file of the run; by default to its base name in the working directory."""
        source = self._artifact(name)
        target = os.fspath(output_file_path) if output_file_path else ""
        if not target or target.endswith(os.sep) or os.path.isdir(target):
            target = os.path.join(target, os.path.basename(artifact_name(name)))
        _copy(source, target)

    def download_files(
        self,
        prefix: str | None = None,
        output_directory: str | None = None,
        output_paths: Sequence[str] | None = None,
        batch_size: int = 100,
        append_prefix: bool = True,
        timeout_seconds: int | None = None,
    ) -> None:
        """Copy all files below ``prefix``, keeping their paths below ``output_directory``."""
        start = f"{artifact_name(prefix)}/" if prefix else ""
        found = layout.artifacts(self._folder)
        names = sorted(name for name in found if name.startswith(start) or name == start[:-1])
        if output_paths is not None:
            targets = [output_paths] if isinstance(output_paths, str) else list(output_paths)
            if len(targets) != len(names):
                raise UserErrorException(
                    f"{len(targets)} output paths for {len(names)} files below {prefix!r}.",
                    f"The files are {', '.join(names) or 'none'}.",
                )
        else:
            cut = len(start) if output_directory and not append_prefix else 0
            targets = [os.path.join(output_directory or "", name[cut:]) for name in names]
        for name, target in zip(names, targets):
            _copy(found[name], target)

    def get_all_logs(self, destination: str | None = None) -> list[str]:
        """Copy all logs to ``destination`` and return their paths."""
        copied = []
        for name, path in sorted(layout.artifacts(self._folder).items()):
            if name.startswith(("azureml-logs/", "logs/")):
                copied.append(os.path.join(destination or ".", name))
                _copy(path, copied[-1])
        return copied

    def get_details_with_logs(self) -> dict[str, Any]:
        """:meth:`get_details` with the text of each log in place of its address."""
        details = self.get_details()
        for name in details["logFiles"]:
            with open(self._artifact(name), encoding="utf-8", errors="replace") as file:
                details["logFiles"][name] = file.read()
        return details

    def _artifact(self, name: str) -> str:
        wanted = artifact_name(name)
        if wanted == layout.DRIVER_LOG_ALIAS:
            wanted = layout.DRIVER_LOG
        found = layout.artifacts(self._folder)
        if wanted not in found:
            raise UserErrorException(
                f"File with path {name} was not found in run {self.id}.",
                f"Available files: {', '.join(sorted(found)) or 'none'}.",
            )
        return found[wanted]

    # Children

    def child_run(
        self, name: str | None = None, run_id: str | None = None, outputs: Any = None
    ) -> Any:
        """Start a run below this one; use it as a context manager or complete it."""
        request = interactive_request(
            layout.guid() if run_id is None else run_id,
            self._request,
            parent=self.id,
            display_name=name,
        )
        folder = os.path.join(self._folder, layout.CHILDREN, request["id"])
        start_interactive(folder, request)
        return self._at(folder)

    def create_children(
        self,
        count: int | None = None,
        tag_key: str | None = None,
        tag_values: Sequence[Any] | None = None,
    ) -> list[Any]:
        """Start several children: ``count`` of them, or one for each value of a tag."""
        if (count is None) == (tag_key is None) or (tag_key is None) != (tag_values is None):
            raise UserErrorException(
                "create_children() takes either count, or tag_key and tag_values.",
                "For example run.create_children(tag_key='fold', tag_values=[1, 2, 3]).",
            )
        children = [self.child_run() for _ in range(count or len(tag_values or ()))]
        for child, value in zip(children, tag_values or ()):
            child.tag(tag_key, value)
        return children

    def _children(self) -> list[Any]:
        below = os.path.join(self._folder, layout.CHILDREN)
        names = sorted(os.listdir(below)) if os.path.isdir(below) else []
        return [
            self._at(os.path.join(below, name))
            for name in names
            if os.path.exists(os.path.join(below, name, layout.REQUEST))
        ]

    def _descendants(self) -> Iterator[Any]:
        for child in self._children():
            yield child
            yield from child._descendants()

    def _at(self, folder: str) -> Any:
        """The run in ``folder``, as the same kind of handle as this one."""
        return Run(folder)

    # Secrets of the workspace

    def get_secret(self, name: str) -> str:
        """The secret of that name in the workspace's keyvault, where that is within reach."""
        return str(self.get_secrets([name])[name])

    def get_secrets(self, secrets: Sequence[str]) -> dict[str, str]:
        """Several secrets by name."""
        from importlib import import_module

        root = import_module("aml_jupyter.assets.place").root_above(self._folder)
        if root is None:
            raise UserErrorException(
                "The keyvault is not within reach: the job sees its own folder only.",
                "Pass the secret as an environment variable of the run.",
            )
        keyvault = import_module("aml_jupyter.assets.keyvault").Keyvault(root)
        found: dict[str, str] = keyvault.get_secrets(secrets)
        return found

    # Shared by all of the above

    def _append(self, kind: str, **facts: Any) -> None:
        events.append(self._folder, kind, **facts)
        self._read()

    def _read(self) -> events.Facts:
        """The facts, with all that happened since the last look."""
        new, self._offset = events.read(self._folder, self._offset)
        for event in new:
            self._facts.apply(event)
        return self._facts

    def __repr__(self) -> str:
        return (
            f"Run(Experiment: {self._request.get('experiment')},\nId: {self.id},\n"
            f"Type: {self.type},\nStatus: {self.status})"
        )


class _RunInJob(Run):
    """A run as code inside a job sees it; what its folder cannot answer is asked beyond."""

    def _at(self, folder: str) -> Any:
        return _RunInJob(folder)

    def __getattr__(self, name: str) -> Any:
        # The workspace's part of a run: experiment, parent, register_model, submit_child, …
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(_in_workspace(self._folder), name)


class _SubmittedRun(_RunInJob):
    """The run that this process is part of. Its end is decided by the launcher alone."""

    def complete(self) -> None:
        """Make what was logged durable; the run goes on until the script ends."""
        self.flush()

    def fail(self, error_details: Any = None, error_code: str | None = None) -> None:
        """Record an error; whether the run failed is decided by the script's exit."""
        self.flush()
        self._append("warning", message=str(failure(error_details, error_code)["error"]["message"]))

    def cancel(self) -> None:
        """Do nothing but say so: a script ends by itself, others cancel it."""
        print("A run cannot cancel itself from inside; end the script, or cancel it from outside.")

    @property
    def input_datasets(self) -> dict[str, Any]:
        """The inputs by name: a path if mounted or downloaded, the dataset in direct mode."""
        return data.inputs_of(self._folder, self._request)

    @property
    def output_datasets(self) -> dict[str, str]:
        """The paths of outputs by name."""
        return data.outputs_of(self._request)


def _in_workspace(folder: str) -> Any:
    """The run in ``folder`` as a handle of its workspace.

    By the whole package, where the interpreter has it and the workspace is within reach; else by
    the part of it that came along with the job.
    """
    from importlib import import_module

    try:
        return import_module("aml_jupyter.workspace").open_run(folder)
    except (ImportError, WorkspaceException):
        return import_module("aml_jupyter.assets.jobspace").open_run(folder)


def interactive_request(
    run_id: str,
    like: dict[str, Any],
    parent: str | None = None,
    display_name: str | None = None,
) -> dict[str, Any]:
    """The request of a run that this process is, rather than one that is submitted."""
    return {
        "format": layout.FORMAT,
        "id": layout.check_run_id(run_id),
        "experiment": like.get("experiment"),
        "number": like.get("number", 0),
        "type": None,
        "created": time.time(),
        "display_name": display_name,
        "description": None,
        "parent": parent,
        "workspace": like.get("workspace"),
        "submitted_by": like.get("submitted_by"),
        "host": like.get("host"),
        "target": "local",
        "job": None,
        "definition": None,
        "environment": {},
        "source": {"kind": "interactive"},
        "git": {},
        "tags": {},
        "properties": {},
        "owner": identity(),
    }


def start_interactive(folder: str, request: dict[str, Any], since: float | None = None) -> None:
    """Make the folder of an interactive run; it is Running, ``since`` then, when this returns."""
    try:
        os.makedirs(folder)
        layout.write_json(os.path.join(folder, layout.REQUEST), request)
    except FileExistsError:
        raise UserErrorException(
            f"There is a run {request['id']} already.", "Leave out run_id, or give another one."
        ) from None
    except OSError as error:
        raise full_disk(error, folder) from error
    events.append(folder, "state", state=states.RUNNING, **({"since": since} if since else {}))


def failure(details: Any = None, code: str | None = None) -> dict[str, Any]:
    """An error as ``get_details()`` shows it."""
    message = details if isinstance(details, str) else "" if details is None else repr(details)
    if isinstance(details, BaseException):
        message = f"{type(details).__name__}: {details}"
    return {"error": {"code": code or "UserError", "message": message}}


def describe(error: BaseException) -> str:
    """The traceback of an exception as text."""
    import traceback

    return "".join(traceback.format_exception(type(error), error, error.__traceback__))


def text_values(values: dict[str, Any]) -> dict[str, str | None]:
    """Tags and properties hold text: other values are converted, as v1 does."""
    if not isinstance(values, dict):
        raise UserErrorException(
            f"Tags and properties are a dictionary, not {type(values).__name__}.",
            "For example {'dataset': 'v2'}.",
        )
    return {
        str(key): value if value is None or isinstance(value, str) else str(value)
        for key, value in values.items()
    }


def iso(when: float) -> str:
    """A moment as v1 prints it: UTC with microseconds and ``Z``."""
    whole = int(when // 1)
    return (
        time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole))
        + f".{int((when - whole) * 1e6):06d}Z"
    )


def _copy(source: Any, target: str) -> None:
    """Copy a file or a stream to ``target``, whole or not at all."""
    import shutil

    if os.path.dirname(target):
        os.makedirs(os.path.dirname(target), exist_ok=True)
    aside = f"{target}.{os.getpid()}.tmp"
    try:
        if hasattr(source, "read"):
            with open(aside, "wb") as file:
                _drain(source, file)
        else:
            shutil.copyfile(source, aside)
        os.replace(aside, target)
    except FileNotFoundError as error:
        raise UserErrorException(f"There is no file {source}.", "Check the path.") from error
    except OSError:
        if os.path.exists(aside):
            os.unlink(aside)
        raise


def _drain(stream: Any, file: Any) -> None:
    while True:
        chunk = stream.read(1 << 20)
        if not chunk:
            return
        file.write(chunk.encode() if isinstance(chunk, str) else chunk)
