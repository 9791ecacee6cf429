"""The environments that a workspace keeps: by name and version, with the wheels they install.

::

    .aml/environments/<name>/<version>/   what Environment.save_to_directory writes
    .aml/environments/<name>/labels.json  {label: version}
    .aml/wheels/<file>.whl                what add_private_pip_wheel was given
    .aml/build-contexts/<digest>/         what DockerBuildContext.from_local_directory was given
"""

from __future__ import annotations

import copy
import difflib
import hashlib
import os
import re
import shutil
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from ..backends import CONTAINERS, backend
from ..environments import ResolvedEnvironment, curated, resolve
from ..environments.wishes import folder_digest
from ..errors import AmlError, UserErrorException
from ..job import layout
from ..spec import CondaDependencies, Environment
from ..spec.credentials import masked_credentials
from ..spec.words import looks_secret
from ..store import WorkspaceFolder
from ..store.folder import NAME, locked
from .compute import placement
from .images import DockerImageDetails, ImageBuildDetails, image_details

LATEST = "latest"
"""The label that every environment has without anybody setting it."""

_RESERVED = ("azureml", "microsoft")
_PLAIN_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")
_WHEEL = re.compile(r"[A-Za-z0-9._]+(-[A-Za-z0-9._+!]+){4,5}\.whl")
_NOT_IN_CONTEXTS = shutil.ignore_patterns(NAME, ".git")
_ASIDE = ".new-"
# As docker run takes it: -e NAME=value, however it is split.
_VARIABLE_ARGUMENT = re.compile(
    r"(?P<before>(?:-e\s*|--env[=\s]\s*)?)(?P<name>[A-Za-z_]\w*)=.+", re.DOTALL
)


class EnvironmentRegistry:
    """The environments of one workspace, and the curated ones that every workspace has.

    Names are compared without case. A version, once there, never changes.
    """

    def __init__(self, folder: WorkspaceFolder) -> None:
        self._folder = folder
        self._root = folder.root / "environments"

    # Keeping and finding

    def register(self, environment: Environment) -> Environment:
        """The environment with its version: the latest if that says the same, else a new one.

        Passwords are not kept; those of a registry and of variables stay with what is returned,
        with a warning, and environments with a password in an address are refused.
        """
        _refuse_reserved(environment.name)
        _refuse_credentials(environment)
        kept, secrets = _without_secrets(environment)
        place = self._place(environment.name)
        with self._writing(place):
            versions = self._versions(place)
            made = copy.deepcopy(environment)
            if versions and _same(self._load(place, versions[-1]), kept):
                made.version = versions[-1]
            else:
                made.version = kept.version = str(int(versions[-1]) + 1 if versions else 1)
                self._save(kept, place / kept.version)
        if secrets:
            warnings.warn(_told(environment.name, secrets), stacklevel=3)
        return made

    def get(self, name: str, version: str | None = None, label: str | None = None) -> Environment:
        """The environment of that name: in this version or with this label, else the latest."""
        place = self._place(name)
        versions = self._versions(place)
        if not versions:
            found = curated.curated(name, None if version is None else str(version))
            if found is None:
                raise self._unknown(name)
            return found
        if label is not None:
            version = self._labelled(place, name, label)
        wanted = versions[-1] if version is None else str(version)
        if wanted not in versions:
            raise UserErrorException(
                f"Environment {name!r} has no version {wanted!r}.",
                f"It has {_some(versions)}; leave version out for the latest.",
            )
        return self._load(place, wanted)

    def latest(self) -> dict[str, Environment]:
        """The latest version of each environment, by name; the curated ones at the end."""
        found = sorted(self.registered(), key=lambda environment: environment.name.lower())
        ready = (curated.curated(name) for name in curated.names())
        return {each.name: each for each in (*found, *ready) if each is not None}

    def registered(self) -> list[Environment]:
        """The latest version of each environment that was registered here."""
        found = []
        for place in self._places():
            try:
                found.append(self._load(place, self._versions(place)[-1]))
            except UserErrorException as error:
                # One that is damaged must not hide the others.
                warnings.warn(error.message, stacklevel=2)
        return found

    def versions(self, name: str) -> list[str]:
        """The versions of an environment, the oldest first; none if it is not registered here."""
        return self._versions(self._place(name))

    def labels(self, name: str) -> dict[str, str]:
        """The labels of an environment, and the version that each stands for."""
        return _labels(self._place(name))

    def label(self, name: str, version: str, labels: Sequence[str]) -> None:
        """Let the labels stand for this version, and for no other of that name."""
        place, version = self._place(name), str(self.get(name, version).version)
        if not self._versions(place):
            raise UserErrorException(
                f"{name} is a curated environment and takes no labels.",
                f"Register a copy: Environment.get(ws, {name!r}).clone('name').register(ws).",
            )
        for wanted in labels:
            if not isinstance(wanted, str) or not wanted or wanted.lower() == LATEST:
                raise UserErrorException(
                    f"A label cannot be {wanted!r}.",
                    f"Give a text; {LATEST!r} always is the newest version.",
                )
        with self._writing(place):
            known = {**_labels(place), **dict.fromkeys(labels, version)}
            layout.write_json(str(place / "labels.json"), known)

    # Building

    def resolve(
        self, environment: Environment, container: bool
    ) -> tuple[ResolvedEnvironment, dict[str, object]]:
        """What the environment comes to here, and the options that its build has to be told."""
        options = self._engine_options() if container else {}
        resolved = resolve(environment, container=container, options=options)
        return resolved, {**options, **resolved.options}

    def build(self, environment: Environment) -> ImageBuildDetails:
        """Start building the image; where there is no engine, the packages for this machine."""
        return self._begin(environment, self._container(environment))

    def build_local(self, environment: Environment, use_docker: bool) -> ImageBuildDetails:
        """Build it here and print what is said, with or without Docker."""
        return self._begin(environment, use_docker).wait_for_completion(show_output=True)

    def image_details(self, environment: Environment) -> DockerImageDetails:
        """What the environment's image is made from, and whether it is there."""
        resolved, options = self.resolve(environment, container=True)
        return image_details(environment, resolved, options)

    def _begin(self, environment: Environment, container: bool) -> ImageBuildDetails:
        resolved, options = self.resolve(environment, container)
        return ImageBuildDetails(environment, resolved, options)

    def _container(self, environment: Environment) -> bool:
        """Whether an image is built: where there is an engine, or where nothing else serves."""
        if environment.needs_image():
            return True
        probe = backend(CONTAINERS).probe(self._engine_options())
        if not probe.usable:
            print(f"No image is built ({probe.reason}); its packages are, for this machine.")
        return probe.usable

    def _engine_options(self) -> dict[str, object]:
        return dict(placement(self._folder, CONTAINERS).options)

    # Files that environments need

    def keep_wheel(self, path: str | os.PathLike[str], exist_ok: bool = False) -> str:
        """Keep a copy of a wheel; returns its path, which pip takes as a requirement."""
        wheel = Path(path)
        if not wheel.is_file() or not _WHEEL.fullmatch(wheel.name):
            raise UserErrorException(
                f"{wheel} is not a wheel." if wheel.exists() else f"There is no file {wheel}.",
                "Give a file such as name-1.0-py3-none-any.whl, made by `pip wheel` or `uv build`.",
            )
        kept = self._folder.root / "wheels" / wheel.name
        with self._writing(kept.parent):
            if kept.exists() and not exist_ok:
                raise UserErrorException(
                    f"The workspace has a wheel {wheel.name} already.",
                    "Pass exist_ok=True to replace it, or give the wheel another version.",
                )
            aside = kept.with_name(_ASIDE + wheel.name)
            shutil.copyfile(wheel, aside)
            aside.replace(kept)
        return str(kept)

    def keep_build_context(self, path: str | os.PathLike[str]) -> str:
        """Keep a copy of a folder for building images; returns where it is."""
        root = self._folder.root / "build-contexts"
        with self._writing(root):
            aside = root / f"{_ASIDE}{layout.guid()}"
            shutil.copytree(path, aside, symlinks=True, ignore=_NOT_IN_CONTEXTS)
            kept = root / folder_digest(str(aside), whole=True)
            if kept.exists():
                shutil.rmtree(aside)
            else:
                aside.rename(kept)
        return str(kept)

    # On disk

    def _place(self, name: object) -> Path:
        """The folder of all versions of a name; names that are no file names get one made up."""
        if not isinstance(name, str) or not name.strip() or "\0" in name:
            raise UserErrorException(
                f"An environment's name cannot be {name!r}.", "Give it a text that says something."
            )
        plain = name.lower()
        if not _PLAIN_NAME.fullmatch(plain):
            digest = hashlib.sha256(plain.encode(errors="surrogatepass")).hexdigest()[:16]
            plain = f"{re.sub(r'[^a-z0-9]+', '-', plain)[:40].strip('-')}~{digest}"
        return self._root / plain

    def _places(self) -> Iterator[Path]:
        if self._root.is_dir():
            for place in sorted(self._root.iterdir()):
                if self._versions(place):
                    yield place

    @staticmethod
    def _versions(place: Path) -> list[str]:
        if not place.is_dir():
            return []
        return sorted((name for name in os.listdir(place) if name.isdecimal()), key=int)

    @staticmethod
    def _load(place: Path, version: str) -> Environment:
        environment = Environment.load_from_directory(place / version)
        environment.version = version
        return environment

    @staticmethod
    def _save(environment: Environment, folder: Path) -> None:
        aside = folder.with_name(_ASIDE + folder.name)
        environment.save_to_directory(aside)
        aside.rename(folder)

    @contextmanager
    def _writing(self, place: Path) -> Iterator[None]:
        """Alone at it, across processes; what a killed writer or a full disk left is cleared."""
        place.mkdir(parents=True, exist_ok=True)
        with locked(self._folder.root / "environments.lock"):
            _clear(place)
            try:
                yield
            except OSError as error:
                if isinstance(error, AmlError):
                    raise
                raise layout.full_disk(error, str(place / "x")) from error
            finally:
                _clear(place)

    @staticmethod
    def _labelled(place: Path, name: str, label: str) -> str | None:
        known = {label.lower(): version for label, version in _labels(place).items()}
        if label.lower() == LATEST or label.lower() in known:
            return known.get(label.lower())
        raise UserErrorException(
            f"Environment {name!r} has no label {label!r}.",
            f"It has {_some([LATEST, *_labels(place)])}.",
        )

    def _unknown(self, name: str) -> UserErrorException:
        names = {each.lower(): each for each in self.latest()}
        near = difflib.get_close_matches(name.lower(), names, n=3, cutoff=0.5)
        hint = f"Near it: {_some([names[each] for each in near])}. " if near else ""
        return UserErrorException(
            f"There is no environment {name!r} in workspace {self._folder.record['name']}.",
            f"{hint}Environment.list(ws) names all; environment.register(ws) adds one.",
        )


def _labels(place: Path) -> dict[str, str]:
    found = layout.read_json(str(place / "labels.json"))
    return {str(k): str(v) for k, v in found.items()} if isinstance(found, dict) else {}


def _clear(place: Path) -> None:
    for left in place.glob(f"{_ASIDE}*"):
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)


def _same(one: Environment, other: Environment) -> bool:
    """Whether they ask for the same, whatever their versions and the case of their names."""
    ours, theirs = one.to_json(), other.to_json()
    return all(ours[key] == theirs[key] for key in ours if key not in ("name", "version"))


def _refuse_reserved(name: str) -> None:
    if isinstance(name, str) and name.lower().startswith(_RESERVED):
        raise UserErrorException(
            f"The name {name!r} is reserved: so begin the names of curated environments.",
            "Give it another: environment.clone('my-name').register(workspace).",
        )


def _refuse_credentials(environment: Environment) -> None:
    for where, text in _texts(environment):
        masked = masked_credentials(text)
        if masked != text:
            raise UserErrorException(
                f"Environment {environment.name!r} has a password or token in {where} ({masked}); "
                "registered environments are kept as plain files.",
                "Take it out, and give it where you submit: in ~/.netrc, or in a variable such as "
                "UV_INDEX_URL or PIP_INDEX_URL.",
            )


def _texts(environment: Environment) -> Iterator[tuple[str, str]]:
    """Everything in an environment that may hold an address, and what to call it."""
    conda, docker = environment.python.conda_dependencies, environment.docker
    if conda is not None:
        for entry in (*conda.pip_options, *conda.pip_packages):
            yield "its pip packages", entry
        for entry in conda.conda_packages:
            yield "its conda packages", entry
        for entry in conda.conda_channels:
            yield "its channels", entry
        for name, value in _variables(conda).items():
            yield f"the variable {name} of its conda specification", str(value)
    for entry in docker.arguments:
        yield "its docker arguments", str(entry)
    for line in (docker.dockerfile_text() or "").splitlines():
        yield "its Dockerfile", line.strip()
    yield "its image", docker.base_image or ""
    for name, value in environment.environment_variables.items():
        yield f"the variable {name}", str(value)


def _without_secrets(environment: Environment) -> tuple[Environment, list[str]]:
    """A copy without what must not be kept, and the names of what it lost."""
    kept, lost = copy.deepcopy(environment), []
    registry = kept.docker.base_image_registry
    if registry.password:
        registry.password = None
        lost.append("the registry's password")
    for name in list(kept.environment_variables):
        if looks_secret(name):
            del kept.environment_variables[name]
            lost.append(f"the variable {name}")
    return kept, lost + _take_from_conda(kept) + _take_from_arguments(kept)


def _take_from_conda(environment: Environment) -> list[str]:
    conda = environment.python.conda_dependencies
    variables = _variables(conda) if conda is not None else {}
    lost = [name for name in variables if looks_secret(name)]
    if conda is not None and lost:
        rest = {name: value for name, value in variables.items() if name not in lost}
        record = {**conda.as_dict(), "variables": rest}
        made = CondaDependencies.from_dict(record, "the conda specification")
        environment.python.conda_dependencies = made
    return [f"the variable {name} of its conda specification" for name in lost]


def _take_from_arguments(environment: Environment) -> list[str]:
    """Leave the names alone, which docker takes for the variables of who submits."""
    docker, lost = environment.docker, []
    for at, text in enumerate(docker.arguments):
        found = _VARIABLE_ARGUMENT.fullmatch(str(text))
        if found and looks_secret(found["name"]):
            docker.arguments[at] = found["before"] + found["name"]
            lost.append(f"the value of {found['name']} in its docker arguments")
    return lost


def _variables(conda: CondaDependencies) -> Mapping[str, object]:
    """The ``variables:`` of a conda file; none where they make no sense."""
    variables = conda.as_dict().get("variables")
    return variables if isinstance(variables, Mapping) else {}


def _told(name: str, secrets: Sequence[str]) -> str:
    return (
        f"Not kept with environment {name!r}, which is a plain file: {' and '.join(secrets)}. "
        "Set it again on what Environment.get returns."
    )


def _some(names: Iterable[str]) -> str:
    names = list(names)
    return ", ".join(names[:8]) + (", …" if len(names) > 8 else "")
