"""``azureml.opendatasets``: the small sets that scikit-learn carries, without a network.

They are written once into the datastore ``azureml_globaldatasets`` of the workspace. All other
sets of v1's are gigabytes on the internet; asking for one is an error that says so.
"""

from __future__ import annotations

import csv
import gzip
import os
import struct
import sys

from aml_jupyter.errors import UserErrorException
from aml_jupyter.job.layout import full_disk

from .datastore import Datastore
from .file_dataset import FileDataset, FileDatasetFactory
from .place import locked, root_here
from .stores import BLOB, StoreRecord, register, stores
from .tabular_factory import TabularDatasetFactory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    from .tabular_dataset import TabularDataset

DATASTORE = "azureml_globaldatasets"

_DIABETES = ("AGE", "SEX", "BMI", "BP", "S1", "S2", "S3", "S4", "S5", "S6", "Y")
_TRAINED_WITH = 1500
_FILTERS = {"all": ("train", "t10k"), "train": ("train",), "test": ("t10k",)}


class Diabetes:
    """442 patients, ten measurements each and the progress of their disease, a year later."""

    @staticmethod
    def get_tabular_dataset(**kwargs: Any) -> TabularDataset:
        """The table, unscaled: AGE, SEX, BMI, BP, S1 to S6 and Y."""
        datastore = _made("diabetes/diabetes.csv", _write_diabetes)
        return TabularDatasetFactory.from_delimited_files((datastore, "diabetes/diabetes.csv"))

    def to_pandas_dataframe(self) -> Any:
        """The table as a pandas DataFrame."""
        return self.get_tabular_dataset().to_pandas_dataframe()


class MNIST:
    """Handwritten digits in MNIST's files and shapes; not MNIST, but a small stand-in for it.

    1,797 digits of scikit-learn's, drawn larger: 28 x 28 pixels, 1,500 to train and 297 to test
    with, where MNIST has 60,000 and 10,000.
    """

    @staticmethod
    def get_file_dataset(dataset_filter: str = "all", **kwargs: Any) -> FileDataset:
        """The four files of images and labels; with ``"train"`` or ``"test"`` two of them."""
        if dataset_filter not in _FILTERS:
            raise UserErrorException(
                f"dataset_filter is {dataset_filter!r}.", f"It is one of {', '.join(_FILTERS)}."
            )
        datastore = _made("mnist/t10k-labels-idx1-ubyte.gz", _write_digits)
        if dataset_filter == "all":
            return FileDatasetFactory.from_files((datastore, "mnist/"))
        pattern = f"mnist/{_FILTERS[dataset_filter][0]}-*.gz"
        return FileDatasetFactory.from_files((datastore, pattern))


class _OnTheInternet:
    """A set of v1's that cannot be here; whatever is done with it says so."""

    def __init__(self, name: str) -> None:
        self._name = name

    def _refusal(self) -> UserErrorException:
        return UserErrorException(
            f"The open dataset {self._name} lies on the internet, and is not carried here.",
            "Here are Diabetes and MNIST (a small stand-in). For others, get the files and use"
            " Dataset.Tabular or Dataset.File with their path or URL.",
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise self._refusal()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise self._refusal()


BostonSafety = _OnTheInternet("BostonSafety")
ChicagoSafety = _OnTheInternet("ChicagoSafety")
NoaaGfsWeather = _OnTheInternet("NoaaGfsWeather")
NoaaIsdWeather = _OnTheInternet("NoaaIsdWeather")
NycSafety = _OnTheInternet("NycSafety")
NycTlcFhv = _OnTheInternet("NycTlcFhv")
NycTlcGreen = _OnTheInternet("NycTlcGreen")
NycTlcYellow = _OnTheInternet("NycTlcYellow")
OjSalesSimulated = _OnTheInternet("OjSalesSimulated")
PublicHolidays = _OnTheInternet("PublicHolidays")
PublicHolidaysOffline = _OnTheInternet("PublicHolidaysOffline")
SanFranciscoSafety = _OnTheInternet("SanFranciscoSafety")
SeattleSafety = _OnTheInternet("SeattleSafety")
USLaborCPI = _OnTheInternet("USLaborCPI")
USLaborLAUS = _OnTheInternet("USLaborLAUS")
USPopulationCounty = _OnTheInternet("USPopulationCounty")
USPopulationZip = _OnTheInternet("USPopulationZip")


# Making the files -----------------------------------------------------------------------------


def _made(last: str, write: Callable[[str], None]) -> Datastore:
    """The datastore, with what ``write`` makes in the folder of the file it writes last."""
    root = root_here()
    with locked(os.path.join(root, "datastores", f"{DATASTORE}.lock")):
        if DATASTORE not in stores(root):
            register(root, StoreRecord(DATASTORE, BLOB, container=DATASTORE))
        datastore = Datastore(root, DATASTORE)
        path = os.path.join(datastore.root, last)
        if not os.path.exists(path):
            os.makedirs(os.path.dirname(path), exist_ok=True)
            try:
                write(os.path.dirname(path))
            except OSError as error:
                raise full_disk(error, path) from error
    return datastore


def _carried() -> Any:
    try:
        from sklearn import datasets
    except ImportError:
        raise UserErrorException(
            "Open datasets are made from scikit-learn's, which this Python does not have"
            f" ({sys.executable}).",
            f"Install it there: {sys.executable} -m pip install scikit-learn.",
        ) from None
    return datasets


def _write_diabetes(folder: str) -> None:
    found = _carried().load_diabetes(scaled=False)
    aside = os.path.join(folder, f"diabetes.csv.{os.getpid()}.000000.tmp")
    with open(aside, "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(_DIABETES)
        for values, target in zip(found.data.tolist(), found.target.tolist()):
            table.writerow([_shortest(value) for value in (*values, target)])
    os.replace(aside, os.path.join(folder, "diabetes.csv"))


def _shortest(value: float) -> str:
    return str(int(value)) if value.is_integer() else repr(value)


def _write_digits(folder: str) -> None:
    """The digits in MNIST's four files, the labels to test with last."""
    import numpy

    found = _carried().load_digits()
    sys.stderr.write(
        "MNIST is a small stand-in here: 1,797 digits of scikit-learn's, at 28 x 28 pixels.\n"
    )
    grey = (found.images * (255 / 16)).round().astype("uint8")
    large = numpy.kron(grey, numpy.ones((1, 3, 3), dtype="uint8"))
    images = numpy.pad(large, ((0, 0), (2, 2), (2, 2)))
    labels = found.target.astype("uint8")
    for name, part in (
        ("train", slice(None, _TRAINED_WITH)),
        ("t10k", slice(_TRAINED_WITH, None)),
    ):
        _write_idx(os.path.join(folder, f"{name}-images-idx3-ubyte.gz"), images[part])
        _write_idx(os.path.join(folder, f"{name}-labels-idx1-ubyte.gz"), labels[part])


def _write_idx(path: str, numbers: Any) -> None:
    """Bytes with their dimensions before them, as the IDX format has it."""
    header = struct.pack(f">HBB{numbers.ndim}I", 0, 8, numbers.ndim, *numbers.shape)
    aside = f"{path}.{os.getpid()}.000000.tmp"
    with open(aside, "wb") as file:
        file.write(gzip.compress(header + numbers.tobytes(), 6))
    os.replace(aside, path)
