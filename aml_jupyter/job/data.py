"""The data of a run as its script asks for them: paths, and datasets in direct mode."""

from __future__ import annotations

import os

from aml_jupyter.errors import UserErrorException

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Mapping


class RunData(dict):  # type: ignore[type-arg]  # subscripting is 3.9's
    """Inputs or outputs by name; a name that is not among them is a KeyError that lists them."""

    def __init__(self, what: str, values: Mapping[str, Any]) -> None:
        super().__init__(values)
        self._what = what

    def __missing__(self, name: object) -> Any:
        known = ", ".join(self) or "none"
        raise KeyError(f"The run has no {self._what} named {name!r}. It has: {known}.")


def inputs_of(folder: str, request: Mapping[str, Any]) -> RunData:
    """The path of each input, or the dataset itself of one in direct mode."""
    return RunData(
        "input",
        {each["name"]: _input(folder, each) for each in _data(request, "inputs")},
    )


def outputs_of(request: Mapping[str, Any]) -> RunData:
    """The path of each output."""
    names = [each["name"] for each in _data(request, "outputs")]
    return RunData("output", {name: os.environ.get(name, "") for name in names})


def input_details(folder: str, request: Mapping[str, Any]) -> list[dict[str, Any]]:
    """``inputDatasets`` as ``get_details()`` shows them."""
    return [
        {
            "dataset": _dataset(folder, each),
            "consumptionDetails": {
                "type": "RunInput",
                "inputName": each["name"],
                "mechanism": str(each["mode"]).capitalize(),
                "pathOnCompute": each.get("path_on_compute") or None,
            },
        }
        for each in _data(request, "inputs")
    ]


def output_details(folder: str, outputs: Mapping[str, Any]) -> list[dict[str, Any]]:
    """``outputDatasets`` as ``get_details()`` shows them."""
    return [
        {
            "identifier": {
                "savedId": each.get("id"),
                "registeredId": each.get("id") if each.get("dataset") else None,
                "registeredVersion": each.get("version"),
            },
            "outputType": "RunOutput",
            "outputDetails": {"outputName": name},
            "dataset": _by_id(folder, str(each.get("id"))),
        }
        for name, each in outputs.items()
    ]


def _data(request: Mapping[str, Any], what: str) -> list[Any]:
    return ((request.get("job") or {}).get("data") or {}).get(what) or []


def _input(folder: str, each: Mapping[str, Any]) -> Any:
    if each["mode"] == "direct":
        return _dataset(folder, each)
    return os.environ.get(each["name"], "")


def _dataset(folder: str, each: Mapping[str, Any]) -> Any:
    """The dataset that an input is, as it was when the run was submitted."""
    from importlib import import_module

    records = import_module("aml_jupyter.assets.dataset_records")
    definition = import_module("aml_jupyter.assets.definition")
    record = records.DatasetRecord(
        each["id"],
        definition.Definition.from_json(each["definition"]),
        each.get("dataset") or None,
        each.get("version") or None,
    )
    return _opened(folder, record)


def _by_id(folder: str, dataset_id: str) -> Any:
    """The dataset with an id; None where the workspace has lost it."""
    from importlib import import_module

    records = import_module("aml_jupyter.assets.dataset_records")
    try:
        record = records.by_id(_root(folder), dataset_id)
    except UserErrorException:
        return None
    return _opened(folder, record)


def _opened(folder: str, record: Any) -> Any:
    from importlib import import_module

    return import_module("aml_jupyter.assets.abstract_dataset").opened(_root(folder), record)


def _root(folder: str) -> str:
    """The workspace's folder; where the job does not see it, the run's own has to do."""
    from importlib import import_module

    return import_module("aml_jupyter.assets.place").root_above(folder) or folder
