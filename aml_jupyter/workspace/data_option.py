"""``--data NAME=DATASET``: an input of a run as it is said on a command line or in a magic."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from ..assets import dataset_records
from ..assets.abstract_dataset import opened
from ..assets.consumption import DatasetConsumptionConfig, check_name
from ..assets.dataset import Dataset
from ..assets.definition import TABULAR
from ..errors import UserErrorException, near
from ..spec.data import DIRECT, DOWNLOAD, MOUNT

_MODES = (MOUNT, DOWNLOAD, DIRECT)
_LATEST = "latest"


@dataclass(frozen=True)
class DataAsked:
    """An input that was asked for: of a registered dataset, or of a path or address.

    Without a ``mode`` files are mounted, and tables are passed as they are.
    """

    name: str
    what: str
    mode: str = ""

    def consumption(self, root: str) -> DatasetConsumptionConfig:
        """The input, of the workspace at ``root``."""
        dataset = self._dataset(root)
        is_table = dataset.definition.kind == TABULAR
        mode = self.mode or (DIRECT if is_table else MOUNT)
        return DatasetConsumptionConfig(self.name, dataset, mode)

    def _dataset(self, root: str) -> Any:
        if "://" in self.what or os.sep in self.what:
            return Dataset.File.from_files(self.what)
        name, _, version = self.what.rpartition(":")
        if name and (version.isdecimal() or version == _LATEST):
            return opened(root, dataset_records.find(root, name, version))
        return opened(root, dataset_records.find(root, self.what))


def data_asked(text: str) -> DataAsked:
    """What ``NAME=DATASET[:VERSION][@MODE]`` says."""
    name, is_said, what = text.partition("=")
    if not (name and is_said and what):
        raise ValueError("write NAME=DATASET, such as train=mnist, train=mnist:2 or train=./data")
    try:
        check_name(name)
    except UserErrorException as error:
        raise ValueError(f"{error.message} {error.hint}") from None
    rest, is_said, mode = what.rpartition("@")
    if is_said and mode in _MODES:
        return DataAsked(name, rest, mode)
    if is_said and os.sep not in mode and ":" not in mode:
        raise ValueError(f"there is no way @{mode} to pass data. {near(mode, _MODES)}")
    return DataAsked(name, what)
