"""CondaDependencies: the packages that an environment asks for."""

from __future__ import annotations

import copy
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping

from aml_jupyter.errors import RunConfigurationException, UserErrorException

from .fields import dump_yaml, read_yaml
from .requirements import merged, pip_name

DEFAULT_FILE_NAME = "conda_dependencies.yml"

_TEMPLATE_PYTHON = "3.8.13"
_CREATED_PYTHON = "3.10.18"
_SDK_VERSION = "1.61.0"
_KEYS = ("name", "channels", "dependencies", "prefix", "variables")
# azureml-dataprep has version numbers of its own, so it is never pinned to the SDK's.
_UNPINNED_SDK_PACKAGE = re.compile(r"azureml-(?!dataprep)[a-z-]+(\[[^\]]*\])?")
_CONDA_NAME = re.compile(r"(?:[^\s:]+::)?([^\s=<>!~\[]+)")


class CondaDependencies:
    """What conda and pip have to install; without a file, v1's template.

    ``print(dependencies.serialize_to_string())`` shows it as an environment file.
    """

    def __init__(self, conda_dependencies_file_path: str | os.PathLike[str] | None = None) -> None:
        self._name: str = "project_environment"
        self._dependencies: list[str] = [f"python={_TEMPLATE_PYTHON}"]
        self._pip: list[str] = ["azureml-defaults"]
        # Where the pip part stands among the conda packages; files keep the order they had.
        self._pip_at = 1
        self._channels: list[str] = ["anaconda", "conda-forge"]
        self._rest: dict[str, object] = {}
        if conda_dependencies_file_path is not None:
            path = os.fspath(conda_dependencies_file_path)
            self._replace(read_yaml(path, "conda environment file"), path)

    @staticmethod
    def create(
        pip_indexurl: str | None = None,
        pip_packages: Iterable[str] | None = None,
        conda_packages: Iterable[str] | None = None,
        python_version: str | None = _CREATED_PYTHON,
        pin_sdk_version: bool = True,
    ) -> CondaDependencies:
        """The template with these packages; giving any for pip drops its ``azureml-defaults``."""
        made = CondaDependencies()
        made.set_python_version(python_version or _CREATED_PYTHON)
        if pip_packages is not None:
            made._pip = []
        if pip_indexurl:
            made.set_pip_index_url(pip_indexurl)
        for package in _names(pip_packages, "pip_packages"):
            pinned = pin_sdk_version and _UNPINNED_SDK_PACKAGE.fullmatch(package)
            made.add_pip_package(f"{package}~={_SDK_VERSION}" if pinned else package)
        for package in _names(conda_packages, "conda_packages"):
            made.add_conda_package(package)
        return made

    @classmethod
    def from_dict(cls, record: Mapping[str, object], where: str) -> CondaDependencies:
        """The dependencies in ``record``, shaped as :meth:`as_dict` gives them."""
        made = cls()
        made._replace(record, where)
        return made

    @property
    def conda_channels(self) -> Iterator[str]:
        """The channels, most important first."""
        return iter(list(self._channels))

    @property
    def conda_packages(self) -> Iterator[str]:
        """What conda installs, ``python=…`` included."""
        return iter(list(self._dependencies))

    @property
    def pip_packages(self) -> Iterator[str]:
        """What pip installs, without its options."""
        return iter([entry for entry in self._pip if not entry.startswith("-")])

    @property
    def pip_entries(self) -> list[str]:
        """What stands below ``pip:``, packages and options, in its order."""
        return list(self._pip)

    @property
    def pip_options(self) -> Iterator[str]:
        """The options for pip, such as ``--index-url …``."""
        return iter([entry for entry in self._pip if entry.startswith("-")])

    def add_channel(self, channel: str) -> None:
        """Look for packages in ``channel`` too, after the others."""
        if channel not in self._channels:
            self._channels.append(channel)

    def remove_channel(self, channel: str) -> None:
        """No longer look in ``channel``."""
        self._channels = [known for known in self._channels if known != channel]

    def add_conda_package(self, conda_package: str) -> None:
        """Have conda install the package, instead of any entry of the same name."""
        _put(self._dependencies, conda_package, _conda_name)

    def remove_conda_package(self, conda_package: str) -> None:
        """Drop the package, whatever version is asked for."""
        self._drop(_conda_name(conda_package))

    def add_pip_package(self, pip_package: str) -> None:
        """Have pip install the package, instead of any entry of the same name."""
        _put(self._pip, pip_package, pip_name)

    def remove_pip_package(self, pip_package: str) -> None:
        """Drop the package, whatever version is asked for."""
        name = pip_name(pip_package)
        self._pip = [entry for entry in self._pip if pip_name(entry) != name]

    def set_pip_requirements(self, pip_requirements: Iterable[str]) -> None:
        """Have pip install these and nothing else."""
        self._pip = _names(pip_requirements, "pip_requirements")

    def set_pip_option(self, pip_option: str) -> None:
        """Give pip this option, instead of the same option with another value."""
        _put(self._pip, pip_option.strip(), _option_name)

    def remove_pip_option(self, pip_option: str) -> None:
        """No longer give pip this option."""
        name = _option_name(pip_option)
        self._pip = [
            entry for entry in self._pip if not entry.startswith("-") or _option_name(entry) != name
        ]

    def set_pip_index_url(self, index_url: str) -> None:
        """Have pip fetch packages from ``index_url``."""
        self.set_pip_option(f"--index-url {index_url}")

    def get_python_version(self) -> str | None:
        """The version asked for; None when none is."""
        for package in self._dependencies:
            found = _CONDA_NAME.match(package.strip())
            if found and found[1].lower() == "python":
                return package.strip()[found.end() :].lstrip(" =") or None
        return None

    def set_python_version(self, version: str) -> None:
        """Ask for this version of Python."""
        python = f"python={version}"
        if any(_conda_name(package) == "python" for package in self._dependencies):
            _put(self._dependencies, python, _conda_name)
        else:
            self._dependencies.insert(0, python)
            self._pip_at += 1

    def add_tensorflow_conda_package(
        self, core_type: str = "cpu", version: str | None = None
    ) -> None:
        """Have conda install TensorFlow for ``cpu`` or ``gpu``."""
        package = _for_core("tensorflow", core_type)
        self.add_conda_package(f"{package}={version}" if version else package)

    def add_tensorflow_pip_package(
        self, core_type: str = "cpu", version: str | None = None
    ) -> None:
        """Have pip install TensorFlow for ``cpu`` or ``gpu``."""
        package = _for_core("tensorflow", core_type)
        self.add_pip_package(f"{package}=={version}" if version else package)

    def add_cntk_package(self, core_type: str = "cpu") -> None:
        """Have pip install CNTK for ``cpu`` or ``gpu``."""
        self.add_pip_package(_for_core("cntk", core_type))

    @staticmethod
    def merge_requirements(requirements: Iterable[str]) -> list[str]:
        """The requirements with one entry for each package, their versions joined."""
        return merged(_names(requirements, "requirements"))

    @staticmethod
    def sdk_origin_url() -> str:
        """The index that this Python's pip takes packages from unless it is told otherwise."""
        try:
            from pip._internal.models.index import PyPI
        except ImportError:
            raise UserErrorException(
                f"{sys.executable} has no pip that could name its index.",
                "Install pip in it: python -m ensurepip.",
            ) from None
        return str(PyPI.simple_url)

    def as_dict(self) -> dict[str, object]:
        """The content of the environment file; changing it changes nothing here."""
        dependencies: list[object] = list(self._dependencies)
        if self._pip:
            dependencies.insert(self._pip_at, {"pip": list(self._pip)})
        return {
            "name": self._name,
            "dependencies": dependencies,
            "channels": list(self._channels),
            **copy.deepcopy(self._rest),
        }

    def serialize_to_string(self) -> str:
        """The environment file's text."""
        return dump_yaml(self.as_dict())

    def save(self, path: str | os.PathLike[str] | None = None) -> str:
        """Write the environment file, into the folder or to the file ``path``; returns where."""
        target = os.fspath(path) if path is not None else os.getcwd()
        if os.path.isdir(target):
            target = os.path.join(target, DEFAULT_FILE_NAME)
        try:
            with open(target, "w", encoding="utf-8") as file:
                file.write(self.serialize_to_string())
        except FileNotFoundError:
            raise UserErrorException(
                f"There is no folder {os.path.dirname(target)} to save the dependencies in.",
                "Create it first.",
            ) from None
        return target

    def save_to_file(self, base_directory: str, conda_file_path: str | None = None) -> str:
        """Write the environment file below ``base_directory``; returns where."""
        file_path = conda_file_path or DEFAULT_FILE_NAME
        return self.save(os.path.normpath(os.path.join(base_directory, file_path)))

    def _drop(self, name: str) -> None:
        for at, package in reversed(list(enumerate(self._dependencies))):
            if _conda_name(package) == name:
                del self._dependencies[at]
                self._pip_at -= at < self._pip_at

    def _replace(self, record: Mapping[str, object], where: str) -> None:
        unknown = [key for key in record if key not in _KEYS]
        if unknown:
            raise RunConfigurationException(
                f"{where} has the key {unknown[0]!r}, which a conda environment file cannot have.",
                f"Its keys are {', '.join(_KEYS)}.",
            )
        self._name = str(record.get("name") or self._name)
        self._channels = _entries(record.get("channels"), f"channels in {where}")
        self._rest = {key: record[key] for key in ("prefix", "variables") if record.get(key)}
        self._take_dependencies(record.get("dependencies"), where)

    def _take_dependencies(self, value: object, where: str) -> None:
        self._dependencies, self._pip = [], []
        mixed = (
            list(value) if isinstance(value, list) else _entries(value, f"dependencies in {where}")
        )
        pips = [(at, entry) for at, entry in enumerate(mixed) if isinstance(entry, Mapping)]
        if len(pips) > 1 or any(list(entry) != ["pip"] for _, entry in pips):
            raise RunConfigurationException(
                f"dependencies in {where} have a part that is neither a package nor `pip:`.",
                "Put everything for pip below one `- pip:` and write the rest as `- name=version`.",
            )
        self._pip_at = len(mixed)
        for at, entry in pips:
            self._pip_at, self._pip = at, _entries(entry["pip"], f"pip in {where}")
        packages = [entry for entry in mixed if not isinstance(entry, Mapping)]
        self._dependencies = _entries(packages, f"dependencies in {where}")


def _names(packages: Iterable[str] | None, what: str) -> list[str]:
    if isinstance(packages, str):
        raise UserErrorException(f"{what} is the text {packages!r}.", f"Write [{packages!r}].")
    return list(packages or ())


def _entries(value: object, where: str) -> list[str]:
    if value is None:
        return []
    if isinstance(value, list) and all(isinstance(entry, str) for entry in value):
        return list(value)
    raise RunConfigurationException(
        f"{where} have to be a list of texts, not {value!r}.",
        "Write one `- entry` a line, in quotes if it looks like a number.",
    )


def _put(entries: list[str], entry: str, name_of: Callable[[str], str]) -> None:
    """Replace the entry of the same name where it stands, or append."""
    name = name_of(entry)
    for at, known in enumerate(entries):
        if name_of(known) == name:
            entries[at] = entry
            return
    entries.append(entry)


def _conda_name(entry: str) -> str:
    found = _CONDA_NAME.match(entry.strip())
    return found[1].lower() if found else entry


def _option_name(entry: str) -> str:
    return re.split(r"[\s=]", entry.strip(), maxsplit=1)[0]


def _for_core(package: str, core_type: str) -> str:
    if core_type not in ("cpu", "gpu"):
        raise UserErrorException(f"There is no core type {core_type!r}.", "Use 'cpu' or 'gpu'.")
    return package if core_type == "cpu" else f"{package}-gpu"
