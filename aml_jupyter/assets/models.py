"""Model: files registered under a name, in versions that never change."""

from __future__ import annotations

import errno
import os
import shutil

from aml_jupyter.errors import ModelNotFoundException, WebserviceException
from aml_jupyter.job import layout, states
from aml_jupyter.job.offline import _OfflineRun
from aml_jupyter.job.run import Run

from . import model_files, model_sources
from .keywords import says_its_keywords
from .model_facts import ModelFacts
from .model_records import (
    add_once,
    by_version,
    id_of,
    known,
    new_facts,
    newness,
    number_of,
    pairs_of,
    select,
    texts,
    wishes_of,
    without,
)
from .model_shelf import ModelShelf

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Iterable, Mapping, Sequence

    from .model_shelf import Record
    from .resource_configuration import ResourceConfiguration

MODELS_DIR = "azureml-models"


class Framework:
    """The frameworks that v1 has a word for."""

    CUSTOM = "Custom"
    TENSORFLOW = "TensorFlow"
    SCIKITLEARN = "ScikitLearn"
    ONNX = "Onnx"
    TFKERAS = "TfKeras"
    PYTORCH = "PyTorch"
    MULTI = "Multi"


class Model(ModelFacts):
    """One version of a registered model; without a version, the latest that matches."""

    Framework = Framework

    @says_its_keywords
    def __init__(
        self,
        workspace: Any,
        name: str | None = None,
        id: str | None = None,
        tags: Any = None,
        properties: Any = None,
        version: int | None = None,
        run_id: str | None = None,
        model_framework: str | None = None,
        expand: bool = True,
    ) -> None:
        number: Any = version
        if id is not None:
            name, _, number = str(id).rpartition(":")
        number = number_of(number)
        found = select(workspace, name, tags, properties, run_id, model_framework)
        matching = [each for each in found if number in (None, each["version"])]
        if not matching:
            filters = {"tags": tags, "properties": properties, "run_id": run_id}
            filters["model_framework"] = model_framework
            asked = f" {id}" if id is not None else "" if name is None else f" {name}"
            asked += "" if id is not None or version is None else f":{version}"
            fitting = ", ".join(f"{key}={value!r}" for key, value in filters.items() if value)
            raise WebserviceException(
                f"ModelNotFound: there is no model{asked}{fitting and f' with {fitting}'} in this "
                "workspace.",
                known(workspace, name),
            )
        self._take(workspace, max(matching, key=newness if name is None else by_version))

    def _take(self, workspace: Any, record: Record) -> None:
        self.workspace = workspace
        self._record = record

    @classmethod
    def _of(cls, workspace: Any, record: Record) -> Model:
        model = cls.__new__(cls)
        model._take(workspace, record)
        return model

    # Registering and finding

    @staticmethod
    @says_its_keywords
    def register(
        workspace: Any,
        model_path: str,
        model_name: str,
        tags: Mapping[str, Any] | None = None,
        properties: Mapping[str, Any] | None = None,
        description: str | None = None,
        datasets: Sequence[tuple[str, Any]] | None = None,
        model_framework: str | None = None,
        model_framework_version: str | None = None,
        child_paths: Sequence[str] | None = None,
        sample_input_dataset: Any = None,
        sample_output_dataset: Any = None,
        resource_configuration: ResourceConfiguration | None = None,
    ) -> Model:
        """A new version of the model ``model_name``: a copy of a file or folder here."""
        print(f"Registering model {model_name}")
        return register_from_path(
            workspace,
            model_name,
            model_path,
            child_paths,
            tags=tags,
            properties=properties,
            description=description,
            datasets=datasets,
            model_framework=model_framework,
            model_framework_version=model_framework_version,
            sample_input_dataset=sample_input_dataset,
            sample_output_dataset=sample_output_dataset,
            resource_configuration=resource_configuration,
        )

    @staticmethod
    @says_its_keywords
    def list(
        workspace: Any,
        name: str | None = None,
        tags: Any = None,
        properties: Any = None,
        run_id: str | None = None,
        latest: bool = False,
        dataset_id: str | None = None,
        expand: bool = True,
        page_count: int = 255,
        model_framework: str | None = None,
    ) -> list[Model]:
        """The registered models that match all that is said, newest first.

        ``tags`` and ``properties`` are keys, or pairs of key and value. ``latest`` leaves of each
        name only its latest version.
        """
        found = select(
            workspace, name, tags, properties, run_id, model_framework, dataset_id, latest
        )
        return [Model._of(workspace, each) for each in sorted(found, key=newness, reverse=True)]

    @staticmethod
    @says_its_keywords
    def get_model_path(model_name: str, version: int | None = None, _workspace: Any = None) -> str:
        """Where the files of a model are to be read: its only file or folder, else their folder.

        In a run (or of a given workspace) a registered model is fetched to
        ``azureml-models/<name>/<version>``. Elsewhere, as in a service, it is looked for there,
        then as a file or folder of that name in the working directory.
        """
        workspace = _workspace if _workspace is not None else _workspace_of_this_run()
        if workspace is None:
            return _path_here(model_name, version)
        try:
            model = Model(workspace, model_name, version=version)
        except WebserviceException as error:
            raise ModelNotFoundException(error.message, error.hint) from None
        return model._fetched()

    def _fetched(self) -> str:
        place = os.path.join(_models_folder(), self.name, str(self.version))
        self._notes()
        if os.path.isdir(place) and self._was_fetched_to(place):
            model_files.glance(self._folder, self.id)
            return _only_entry(place)
        aside = f"{place}.{os.urandom(4).hex()}.tmp"
        os.makedirs(aside)
        try:
            model_files.bring_out(self._folder, self.id, aside)
            if not self._was_fetched_to(place):
                shutil.rmtree(place, ignore_errors=True)
            layout.write_json(_mark_of(place), self.url)
            os.rename(aside, place)
        except OSError:
            if not os.path.isdir(place):  # else another process of the run was first
                raise
        finally:
            shutil.rmtree(aside, ignore_errors=True)
        return _only_entry(place)

    def _was_fetched_to(self, place: str) -> bool:
        """Whether what is there is this model, not one so called of a workspace before."""
        return layout.read_json(_mark_of(place)) in (None, self.url)

    @says_its_keywords
    def download(
        self, target_dir: str = ".", exist_ok: bool = False, exists_ok: bool | None = None
    ) -> str:
        """Copy the files below ``target_dir``, under the last segment of their registered path.

        Returns where they are. What is there already is an error unless ``exist_ok``.
        """
        entries = sorted({name.partition("/")[0] for name in self._notes()})
        targets = [os.path.join(target_dir, entry) for entry in entries]
        there = [target for target in targets if os.path.exists(target)]
        if there and not (exist_ok or exists_ok):
            raise WebserviceException(
                f"{', '.join(there)} exists already.",
                "Pass exist_ok=True to write over it, or another target_dir.",
            )
        try:
            os.makedirs(target_dir or ".", exist_ok=True)
            model_files.bring_out(self._folder, self.id, target_dir or ".")
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.EISDIR, errno.ENOTDIR):
                raise
            raise WebserviceException(
                f"{self.id} cannot be put into {target_dir}: {error.strerror}.",
                "A file and a folder would have the same name; use another target_dir.",
            ) from error
        return targets[0] if len(targets) == 1 else target_dir

    def get_sas_urls(self) -> dict[str, str]:
        """The address of each file; here, where it is on this machine."""
        files = os.path.join(self._folder, model_files.FILES)
        return {name: f"file://{os.path.join(files, name)}" for name in self._notes()}

    def damages(self) -> dict[str, str]:
        """What is wrong with each file that is not what was registered; {} if none is.

        All bytes are read. v1 had no such thing.
        """
        self._notes()
        return self._shelf.damages(self.name, self.version)

    # Changing what is known of it

    def update(
        self,
        tags: Mapping[str, Any] | None = None,
        description: str | None = None,
        sample_input_dataset: Any = None,
        sample_output_dataset: Any = None,
        resource_configuration: ResourceConfiguration | None = None,
    ) -> None:
        """Replace what is given: all tags, the description, …"""
        new = {
            "tags": None if tags is None else texts(tags),
            "description": description,
            "sample_input": id_of(sample_input_dataset),
            "sample_output": id_of(sample_output_dataset),
            "resources": wishes_of(resource_configuration),
        }
        given = {key: value for key, value in new.items() if value is not None}
        self._change(lambda record: record.update(given))

    def add_tags(self, tags: Mapping[str, Any]) -> None:
        """Set tags; the others stay."""
        added = texts(tags)
        self._change(lambda record: record["tags"].update(added))
        print("Model tag add operation complete.")

    def remove_tags(self, tags: str | Iterable[str]) -> None:
        """Take tags away by their keys."""
        self._change(lambda record: without(record["tags"], tags))
        print("Model tag remove operation complete.")

    def add_properties(self, properties: Mapping[str, Any]) -> None:
        """Set properties that are not set yet."""
        added = texts(properties)
        self._change(lambda record: add_once(record, added))
        print("Model properties add operation complete.")

    def update_tags_properties(
        self,
        add_tags: Mapping[str, Any] | None = None,
        remove_tags: str | Iterable[str] | None = None,
        add_properties: Mapping[str, Any] | None = None,
    ) -> None:
        """Set and take away tags, and set properties, all at once."""
        tags, properties = texts(add_tags or {}), texts(add_properties or {})

        def edit(record: Record) -> None:
            add_once(record, properties)
            record["tags"].update(tags)
            without(record["tags"], remove_tags or ())

        self._change(edit)
        print("Model tag add operation complete.")

    def add_dataset_references(self, datasets: Sequence[tuple[str, Any]]) -> None:
        """Keep more pairs of a purpose and a dataset."""
        added = pairs_of(datasets)
        self._change(lambda record: record["datasets"].extend(added))

    def delete(self) -> None:
        """Take this version away, files included; its number stays taken."""
        self._shelf.remove(self.name, self.version)

    def _change(self, edit: Callable[[Record], Any]) -> None:
        self._record = self._shelf.change(self.name, self.version, edit)

    # Web services

    @staticmethod
    def deploy(*args: Any, **kwargs: Any) -> Any:
        """Refused: there are no web services here."""
        raise _no_service("Model.deploy")

    @staticmethod
    def profile(*args: Any, **kwargs: Any) -> Any:
        """Refused: there are no web services here."""
        raise _no_service("Model.profile")

    @staticmethod
    def package(*args: Any, **kwargs: Any) -> Any:
        """Refused: there are no web services here."""
        raise _no_service("Model.package")

    @staticmethod
    def print_configuration(*args: Any, **kwargs: Any) -> Any:
        """Refused: there are no web services here."""
        raise _no_service("Model.print_configuration")

    # Its files

    @property
    def _shelf(self) -> ModelShelf:
        return ModelShelf(self.workspace)

    @property
    def _folder(self) -> str:
        return self._shelf.place(self.name, self.version)

    def _notes(self) -> model_files.Notes:
        notes = model_files.read_notes(self._folder)
        if not notes and os.path.isdir(self._folder):
            raise model_files.damaged(self.id, model_files.NOTES, model_files.UNREADABLE)
        if not notes:
            raise WebserviceException(
                f"ModelNotFound: model {self.id} has been deleted.",
                known(self.workspace, self.name),
            )
        return notes

    def __repr__(self) -> str:
        return (
            f"Model(workspace={self.workspace!r}, name={self.name}, id={self.id}, "
            f"version={self.version}, tags={self.tags}, properties={self.properties})"
        )


def register_from_path(
    workspace: Any, name: str, path: str, child_paths: Sequence[str] | None = None, **facts: Any
) -> Model:
    """A new version of a model made of a copy of a file or folder here."""
    sources = model_sources.of_path(path, child_paths)
    record = new_facts(name, os.fspath(path), **facts)
    return Model._of(workspace, ModelShelf(workspace).add(record, sources, may_link=False))


def register_from_run(run: Any, model_name: str, model_path: str, **facts: Any) -> Model:
    """A new version of a model made of the artifacts of a run at ``model_path``.

    No bytes are copied once the run has ended, as long as the file system allows it.
    """
    workspace = run.experiment.workspace
    path, sources = model_sources.of_run(run.id, run._folder, model_path)
    record = new_facts(model_name, path, run.id, run.experiment.name, **facts)
    has_ended = run.get_status() in states.TERMINAL
    return Model._of(workspace, ModelShelf(workspace).add(record, sources, may_link=has_ended))


# Where files are, outside the workspace -------------------------------------------------------


def _models_folder() -> str:
    return os.path.join(os.environ.get("AML_APP_ROOT") or "", MODELS_DIR)


def _workspace_of_this_run() -> Any:
    run = Run.get_context()
    return None if isinstance(run, _OfflineRun) else run.experiment.workspace


def _path_here(name: str, version: int | None) -> str:
    """v1's search outside a run."""
    version = number_of(version)
    place = os.path.join(_models_folder(), name)
    versions = (
        sorted(int(each) for each in os.listdir(place) if each.isdigit())
        if (os.path.isdir(place))
        else []
    )
    if version is None and versions:
        version = versions[-1]
    if version in versions:
        return _only_entry(os.path.join(place, str(version)))
    if os.path.exists(name):
        return name
    asked = f"{name}, version {version}," if version is not None else name
    raise ModelNotFoundException(
        f"Model {asked} was not found: neither in {place}, nor as a file or folder {name} in "
        f"{os.getcwd()}.",
        "This process is no run. Fetch a registered model by Model(ws, name).download(), or pass "
        "get_model_path(name, _workspace=ws).",
    )


def _mark_of(place: str) -> str:
    """The file that says which model was fetched to a folder."""
    folder, version = os.path.split(place)
    return os.path.join(folder, f".{version}.json")


def _only_entry(folder: str) -> str:
    entries = os.listdir(folder)
    return os.path.join(folder, entries[0]) if len(entries) == 1 else folder


def _no_service(what: str) -> WebserviceException:
    return WebserviceException(
        f"{what} needs web services, which aml_jupyter does not have yet.",
        "Call init() and run() of the scoring script yourself; Model.get_model_path(name, "
        "_workspace=ws) gives it the files.",
    )
