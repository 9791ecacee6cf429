"""The data of a run configuration as the frozen records that its job keeps."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from ..assets import dataset_records, stores
from ..assets.consumption import INPUT, OUTPUT, DatasetConsumptionConfig, OutputDatasetConfig
from ..assets.dataset import Dataset
from ..assets.dataset_records import DatasetRecord
from ..assets.datastore import Datastore
from ..assets.definition import Definition
from ..errors import UserErrorException
from ..spec import DataInput, DataOutput, DataPointer, JobData, RunConfiguration, reference_variable
from ..spec.configurations import DataReferenceConfiguration
from ..spec.data import DIRECT, DOWNLOAD, MOUNT, UPLOAD
from ..spec.fields import plain
from .data_option import DataAsked

_PLACEHOLDER = re.compile(rf"(?:{INPUT}|{OUTPUT}):(\w+)")
_REFERENCE = re.compile(r"\$(?:AZUREML_DATAREFERENCE_([\w-]+)|\{AZUREML_DATAREFERENCE_([\w-]+)\})")
_WAYS = {MOUNT, DOWNLOAD, DIRECT}


def job_data(config: RunConfiguration, root: str) -> JobData:
    """All data that the configuration names; ``root`` is the workspace that the run is in.

    Nothing is written, and nothing fetched. What command lines say of data becomes, in the
    configuration, what v1's classes say.
    """
    for name, asked in config.data.items():
        if isinstance(asked, DataAsked):
            config.data[name] = asked.consumption(root)
    return JobData(
        tuple(_input(name, each, root) for name, each in config.data.items()),
        tuple(_output(name, each, root) for name, each in config.output_data.items()),
        tuple(_reference(name, each, root) for name, each in config.data_references.items()),
    )


def save_inputs(data: JobData, root: str) -> None:
    """Let the ids of datasets that nobody has registered lead to them, in the run as well."""
    for each in data.inputs:
        if not each.dataset:
            dataset_records.save(root, Definition.from_json(dict(each.definition)))


def with_variables(arguments: Iterable[str], data: JobData) -> list[str]:
    """Arguments with variables of the run in place of v1's placeholders."""
    return [_with_variables(argument, data, "${}") for argument in arguments]


def command_with_variables(command: str, data: JobData) -> str:
    """The same for a line that a shell reads, where a path may have spaces in it."""
    return _with_variables(command, data, '"${}"')


def _with_variables(text: str, data: JobData, form: str) -> str:
    names = {each.name for each in data.inputs} | {each.name for each in data.outputs}
    references = {each.name for each in data.references}  # their names may have a "-"

    def variable(match: re.Match[str]) -> str:
        return form.format(match[1]) if match[1] in names else match[0]

    def reference(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        return f"${reference_variable(name)}" if name in references else match[0]

    return _REFERENCE.sub(reference, _PLACEHOLDER.sub(variable, text))


# Inputs ---------------------------------------------------------------------------------------


def _input(name: str, each: object, root: str) -> DataInput:
    if isinstance(each, DatasetConsumptionConfig):
        return _consumed(name, each, root)
    said = _mapping(name, each)
    where = said.get("dataLocation") or {}
    dataset = where.get("dataset") or {}
    if not dataset.get("id"):
        raise UserErrorException(
            f"run_config.data[{name!r}] names no dataset.",
            f"Set it to dataset.as_named_input({name!r}).as_mount().",
        )
    mode = str(said.get("mechanism") or DIRECT).lower()
    if mode not in _WAYS:
        raise UserErrorException(
            f"The mechanism {mode!r} of the input {name} is not known.",
            f"Use {DIRECT}, {MOUNT} or {DOWNLOAD}.",
        )
    record = dataset_records.by_id(root, str(dataset["id"]))
    return _of_record(name, mode, record, str(said.get("pathOnCompute") or ""))


def _consumed(name: str, each: DatasetConsumptionConfig, root: str) -> DataInput:
    dataset = each.chosen
    if isinstance(dataset, OutputDatasetConfig):
        raise UserErrorException(
            f"The input {name} is the output of a step of a pipeline, which a single run lacks.",
            "Register the output (register_on_complete) and pass the dataset to the next run.",
        )
    known, definition = dataset._known_root, dataset.definition
    in_datastores = any(source.datastore for source in definition.sources)
    if known not in (None, root) and in_datastores:
        raise UserErrorException(
            f"The input {name} lies in a datastore of another workspace: {known}.",
            "Submit the run there, or copy the files to a datastore of this workspace.",
        )
    record = dataset._record or DatasetRecord(definition.id, definition)
    return _of_record(name, each.mode, record, each.path_on_compute or "")


def _of_record(name: str, mode: str, record: DatasetRecord, path: str) -> DataInput:
    return DataInput(
        name,
        mode,
        record.definition.to_json(),
        record.id,
        record.name or "",
        int(record.version or 0),
        path,
    )


# Outputs and references -----------------------------------------------------------------------


def _output(name: str, each: object, root: str) -> DataOutput:
    if isinstance(each, OutputDatasetConfig):
        stores.store(root, each.datastore)
        return DataOutput(
            name,
            each.mode,
            each.datastore,
            each.path,
            each.source or "",
            each.source_globs,
            each.overwrite,
            dict(each.registration),
            _table(each, root),
        )
    said = _mapping(name, each)
    where = (said.get("outputLocation") or {}).get("dataPath") or {}
    more = said.get("additionalOptions") or {}
    upload = more.get("uploadOptions") or {}
    store = stores.store(root, str(where.get("datastoreName") or stores.DEFAULT))
    return DataOutput(
        name,
        UPLOAD if str(said.get("mechanism")).lower() == UPLOAD else MOUNT,
        store.name,
        str(where.get("relativePath") or "dataset/{run-id}/{output-name}"),
        str(more.get("pathOnCompute") or ""),
        tuple((upload.get("sourceGlobs") or {}).get("globPatterns") or ()),
        bool(upload.get("overwrite")),
        dict(more.get("registrationOptions") or {}),
    )


def _reference(name: str, each: object, root: str) -> DataPointer:
    if not isinstance(each, DataReferenceConfiguration):
        each = each.to_config()  # type: ignore[attr-defined]  # a DataReference
    assert isinstance(each, DataReferenceConfiguration)
    store = stores.store(root, each.data_store_name or stores.default_name(root))
    return DataPointer(
        name,
        str(each.mode or MOUNT).lower(),
        store.name,
        str(each.path_on_data_store or ""),
        str(each.path_on_compute or ""),
        bool(each.overwrite),
    )


def _mapping(name: str, each: object) -> Mapping[str, Any]:
    said = plain(each)
    if isinstance(said, Mapping):
        return said
    raise UserErrorException(
        f"{name} is {each!r} in the data of the run configuration.",
        "Set it to dataset.as_named_input('name').as_mount() or to an OutputFileDatasetConfig.",
    )


def _table(each: OutputDatasetConfig, root: str) -> Mapping[str, object]:
    """The definition of the table that an output becomes; where it lies is filled in by its run."""
    if not each.reading:
        return {}
    said = {name: value for name, value in each.reading["options"].items() if value is not None}
    make = getattr(Dataset.Tabular, f"from_{each.reading['kind']}_files")
    table = make((Datastore(root, each.datastore), each.path), validate=False, **said)
    for do, columns in each.reading["columns"]:
        table = getattr(table, f"{do}_columns")(columns)
    return {"glob": each.reading["glob"] or "", "definition": table.definition.to_json()}
