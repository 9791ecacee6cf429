"""The registered models of a workspace as MLflow's registry: the same names, versions and files.

What MLflow says of a name rather than of a version (description, tags, aliases) lies beside its
versions in ``mlflow.json``.
"""

from __future__ import annotations

import inspect
import os
import tempfile
from typing import NamedTuple
from urllib.parse import quote

from mlflow.entities.model_registry import (
    ModelVersion,
    ModelVersionTag,
    RegisteredModel,
    RegisteredModelAlias,
    RegisteredModelTag,
)
from mlflow.exceptions import MlflowException
from mlflow.protos import databricks_pb2 as codes
from mlflow.store.entities.paged_list import PagedList
from mlflow.store.model_registry.abstract_store import AbstractStore
from mlflow.utils.search_utils import SearchModelUtils, SearchModelVersionUtils, SearchUtils

from aml_jupyter.assets import model_records, model_sources
from aml_jupyter.assets.model_files import FILES
from aml_jupyter.assets.model_shelf import ModelShelf
from aml_jupyter.errors import AmlError, near
from aml_jupyter.job import layout
from aml_jupyter.job.mlflow_names import SCHEME, path_of

from .artifacts import _run_of
from .entities import milliseconds, text
from .store import TrackingStore

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, Mapping

    from .tracked import TrackedRun

    Record = Dict[str, Any]

_NAME_FILE = "mlflow.json"
_NO_STAGE = "None"
_HAS_MODEL_ID = "model_id" in inspect.signature(ModelVersion.__init__).parameters


class _MadeOf(NamedTuple):
    """The path and the files, by their names, of what becomes a version; its run, if it has one."""

    path: str
    files: Mapping[str, str]
    run_id: str | None = None
    run: TrackedRun | None = None


class RegistryStore(AbstractStore):
    """The registered models of the workspace at ``aml://<path of its .aml folder>``."""

    def __init__(self, store_uri: str, tracking_uri: str | None = None) -> None:
        super().__init__(store_uri, tracking_uri)
        self._uri = store_uri
        self._root = path_of(store_uri)
        self._shelf = ModelShelf(self._root)

    # Names

    def create_registered_model(
        self, name: str, tags: Any = None, description: str | None = None, *_: Any, **__: Any
    ) -> Any:
        """A name that has no version yet."""
        if name in self._names():
            raise MlflowException(
                f"Registered Model (name={name}) already exists.", codes.RESOURCE_ALREADY_EXISTS
            )
        _ours(model_records.checked_name, name)
        self._save(name, {"tags": {t.key: t.value for t in tags or ()}, "description": description})
        return self.get_registered_model(name)

    def update_registered_model(
        self, name: str, description: str | None, *_: Any, **__: Any
    ) -> Any:
        """The name with another description."""
        self._change(name, description=description)
        return self.get_registered_model(name)

    def rename_registered_model(self, name: str, new_name: str) -> Any:
        """Refused: a version is known by its name."""
        raise MlflowException(
            f"Model {name} cannot be renamed. Register it anew as {new_name}.",
            codes.INVALID_PARAMETER_VALUE,
        )

    def delete_registered_model(self, name: str) -> None:
        """Take all versions away; their numbers stay taken."""
        self._known(name)
        for version in self._shelf.versions(name):
            self._shelf.remove(name, version)
        path = self._path(name)
        if os.path.exists(path):
            os.unlink(path)

    def get_registered_model(self, name: str) -> Any:
        """What is known of a name."""
        known = self._known(name)
        records = list(self._shelf.records(name))
        first, last = (records[0], records[-1]) if records else (known, known)
        aliases = known.get("aliases") or {}
        return RegisteredModel(
            name,
            creation_timestamp=milliseconds(first.get("created") or 0),
            last_updated_timestamp=milliseconds(last.get("created") or 0),
            description=known.get("description"),
            latest_versions=self.get_latest_versions(name),
            tags=[RegisteredModelTag(k, text(v)) for k, v in (known.get("tags") or {}).items()],
            aliases=[RegisteredModelAlias(alias, version) for alias, version in aliases.items()],
        )

    def search_registered_models(
        self,
        filter_string: str | None = None,
        max_results: int | None = None,
        order_by: list[str] | None = None,
        page_token: str | None = None,
    ) -> Any:
        """The names that match, in the order asked for."""
        found = [self.get_registered_model(name) for name in self._names()]
        chosen = SearchModelUtils.sort(SearchModelUtils.filter(found, filter_string), order_by)
        return PagedList(*SearchUtils.paginate(chosen, page_token, max_results or 100))

    def get_latest_versions(self, name: str, stages: Any = None) -> list[Any]:
        """The latest version in each stage."""
        wanted = {stage.lower() for stage in stages or ()}
        latest = {_stage(record): record for record in self._shelf.records(name)}
        chosen = [r for stage, r in latest.items() if not wanted or stage.lower() in wanted]
        return [self._version_of(record) for record in chosen]

    def set_registered_model_tag(self, name: str, tag: Any) -> None:
        """Set a tag of a name."""
        self._change(name, tags={**(self._known(name).get("tags") or {}), tag.key: tag.value})

    def delete_registered_model_tag(self, name: str, key: str) -> None:
        """Take a tag of a name away."""
        tags = dict(self._known(name).get("tags") or {})
        tags.pop(key, None)
        self._change(name, tags=tags)

    def set_registered_model_alias(self, name: str, alias: str, version: Any) -> None:
        """Have another word for a version."""
        record = self._record(name, version)
        aliases = self._known(name).get("aliases") or {}
        self._change(name, aliases={**aliases, alias: record["version"]})

    def delete_registered_model_alias(self, name: str, alias: str) -> None:
        """Take such a word away."""
        aliases = dict(self._known(name).get("aliases") or {})
        aliases.pop(alias, None)
        self._change(name, aliases=aliases)

    def get_model_version_by_alias(self, name: str, alias: str) -> Any:
        """The version that is meant by a word."""
        aliases = self._known(name).get("aliases") or {}
        if alias not in aliases:
            raise MlflowException(
                f"Registered model alias {alias} not found. {near(alias, aliases)}",
                codes.INVALID_PARAMETER_VALUE,
            )
        return self.get_model_version(name, aliases[alias])

    # Versions

    def create_model_version(
        self,
        name: str,
        source: str,
        run_id: str | None = None,
        tags: Any = None,
        run_link: str | None = None,
        description: str | None = None,
        local_model_path: str | None = None,
        model_id: str | None = None,
    ) -> Any:
        """A new version made of the files at ``source``, which it keeps as they are."""
        self._known(name)
        with tempfile.TemporaryDirectory() as aside:
            made = self._made_of(source, local_model_path, aside)
            record = _ours(
                model_records.new_facts,
                name,
                made.path,
                run_id or made.run_id,
                made.run and made.run.experiment,
                {tag.key: tag.value for tag in tags or ()},
                None,
                description,
            )
            record["mlflow"] = {"source": source, "model_id": model_id, "run_link": run_link}
            has_ended = made.run is not None and made.run.facts.has_ended
            return self._version_of(self._shelf.add(record, made.files, may_link=has_ended))

    def _made_of(self, source: str, here: str | None, aside: str) -> _MadeOf:
        """The files of a version to be; those that are not on this machine are brought aside."""
        place = self._place(source)
        folder, below = _run_of(path_of(place)) if place.startswith(f"{SCHEME}:") else ("", "")
        if folder:
            run_id = os.path.basename(folder)
            path, files = _ours(model_sources.of_run, run_id, folder, below)
            return _MadeOf(path, files, run_id, TrackingStore(self._uri).history.at(folder))
        from mlflow.artifacts import download_artifacts

        here = here or str(download_artifacts(place, dst_path=aside))
        return _MadeOf(os.path.basename(here.rstrip("/")), _ours(model_sources.of_path, here))

    def _place(self, source: str) -> str:
        """Where the files of a version to be are."""
        if not source.startswith("models:"):
            return source
        named = source[len("models:") :].strip("/").split("/")
        if len(named) == 1:
            return str(TrackingStore(self._uri).get_logged_model(named[0]).artifact_location)
        return self.get_model_version_download_uri(named[0], named[1])

    def update_model_version(self, name: str, version: Any, description: str | None) -> Any:
        """The version with another description."""
        return self._edit(name, version, lambda record: record.update(description=description))

    def transition_model_version_stage(
        self, name: str, version: Any, stage: str, archive_existing_versions: bool
    ) -> Any:
        """The version in another stage of MLflow's."""
        if archive_existing_versions:
            for record in list(self._shelf.records(name)):
                if _stage(record).lower() == stage.lower():
                    self._edit(name, record["version"], _set_stage("Archived"))
        return self._edit(name, version, _set_stage(stage.capitalize()))

    def delete_model_version(self, name: str, version: Any) -> None:
        """Take a version away; its number stays taken."""
        self._shelf.remove(name, self._record(name, version)["version"])

    def get_model_version(self, name: str, version: Any) -> Any:
        """What is known of a version."""
        return self._version_of(self._record(name, version))

    def get_model_version_download_uri(self, name: str, version: Any) -> str:
        """Where the files of a version are."""
        record = self._record(name, version)
        files = os.path.join(self._shelf.place(name, record["version"]), FILES)
        inside = os.path.join(files, os.path.basename(str(record["path"]).rstrip("/")))
        return f"file://{quote(inside if os.path.isdir(inside) else files)}"

    def search_model_versions(
        self,
        filter_string: str | None = None,
        max_results: int | None = None,
        order_by: list[str] | None = None,
        page_token: str | None = None,
    ) -> Any:
        """The versions that match, in the order asked for."""
        found = [self._version_of(record) for record in self._shelf.records()]
        chosen = SearchModelVersionUtils.filter(found, filter_string)
        ordered = SearchModelVersionUtils.sort(
            chosen, order_by or ["last_updated_timestamp DESC", "name ASC", "version_number DESC"]
        )
        return PagedList(*SearchUtils.paginate(ordered, page_token, max_results or 10_000))

    def set_model_version_tag(self, name: str, version: Any, tag: Any) -> None:
        """Set a tag of a version."""
        self._edit(name, version, lambda record: record["tags"].update({tag.key: tag.value}))

    def delete_model_version_tag(self, name: str, version: Any, key: str) -> None:
        """Take a tag of a version away."""
        self._edit(name, version, lambda record: record["tags"].pop(key, None))

    def _edit(self, name: str, version: Any, edit: Callable[[Record], Any]) -> Any:
        number = self._record(name, version)["version"]
        return self._version_of(_ours(self._shelf.change, name, number, edit))

    def _record(self, name: str, version: Any) -> Record:
        number = str(version)
        record = self._shelf.record(name, int(number)) if number.isdigit() else None
        if record is None:
            raise MlflowException(
                f"Model Version (name={name}, version={version}) not found. "
                f"{model_records.known(self._root, name)}",
                codes.RESOURCE_DOES_NOT_EXIST,
            )
        return record

    def _version_of(self, record: Record) -> Any:
        beyond = record.get("mlflow") or {}
        names = layout.read_json(self._path(record["name"])) or {}
        aliases = names.get("aliases") or {}
        created = milliseconds(record["created"])
        more = {"model_id": beyond.get("model_id")} if _HAS_MODEL_ID else {}
        return ModelVersion(
            name=record["name"],
            version=record["version"],
            creation_timestamp=created,
            last_updated_timestamp=created,
            description=record.get("description"),
            user_id=record.get("created_by"),
            current_stage=_stage(record),
            source=beyond.get("source") or record["path"],
            run_id=record.get("run_id"),
            tags=[ModelVersionTag(key, text(value)) for key, value in record["tags"].items()],
            run_link=beyond.get("run_link"),
            aliases=[alias for alias, number in aliases.items() if number == record["version"]],
            **more,
        )

    # What is said of a name

    def _names(self) -> list[str]:
        try:
            listed = os.listdir(self._shelf.folder)
        except (FileNotFoundError, NotADirectoryError):
            return []
        said = {name for name in listed if os.path.exists(self._path(name))}
        return sorted(said | set(self._shelf.names()))

    def _known(self, name: str) -> Record:
        names = self._names()
        if name not in names:
            raise MlflowException(
                f"Registered Model with name={name} not found. {near(name, names)}",
                codes.RESOURCE_DOES_NOT_EXIST,
            )
        return layout.read_json(self._path(name)) or {}

    def _change(self, name: str, **facts: Any) -> None:
        self._save(name, {**self._known(name), **facts})

    def _save(self, name: str, facts: Record) -> None:
        os.makedirs(os.path.dirname(self._path(name)), exist_ok=True)
        layout.write_json(self._path(name), facts)

    def _path(self, name: str) -> str:
        return os.path.join(self._shelf.folder, name, _NAME_FILE)


def _stage(record: Record) -> str:
    return str((record.get("mlflow") or {}).get("stage") or _NO_STAGE)


def _set_stage(stage: str) -> Callable[[Record], None]:
    def edit(record: Record) -> None:
        record["mlflow"] = {**(record.get("mlflow") or {}), "stage": stage}

    return edit


def _ours(ask: Callable[..., Any], *arguments: Any) -> Any:
    """What ``ask`` returns; a user's mistake is MLflow's error with our words."""
    try:
        return ask(*arguments)
    except OSError:
        raise
    except AmlError as error:
        raise MlflowException(str(error), codes.INVALID_PARAMETER_VALUE) from error
