"""What `aml env` and `%aml_env` do, whoever shows it."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..backends import CONTAINERS
from ..environments import Built, cache
from ..environments.making import BuildError
from ..environments.shelf import Shelf
from ..errors import UserErrorException
from ..spec import Environment
from ..store.feed import read_tail
from .command_table import Parsed
from .compute import LOCAL, placement
from .env_facts import SHORT_KEY, built_by_key, places_of, resolved_at
from .images import ImageBuildDetails
from .run_options import IMAGE, environment_of
from .workspace import Workspace

_LOG_BYTES = 64 * 1024
_PAUSE = 0.1


# Making and keeping ---------------------------------------------------------------------------


@contextmanager
def noted(environments: list[Environment]) -> Iterator[None]:
    """Turn warnings that come up inside into notes of the environments made inside."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for environment in environments:
        said = [str(each.message) for each in caught]
        environment.notes += [note for note in said if note not in environment.notes]


def created(workspace: Callable[[], Workspace], asked: Parsed) -> Environment:
    """Make what `create` asks for and register it."""
    name = _new_name(asked.words[0])
    made: list[Environment] = []
    with noted(made):
        environment = _made(name, asked)
        made.append(environment.register(workspace()))
    return made[0]


def _made(name: str, asked: Parsed) -> Environment:
    conda, pip = _file(asked, "conda"), _file(asked, "pip")
    image, dockerfile = asked.text("image"), _file(asked, "dockerfile")
    ways = [bool(image), bool(dockerfile), asked.given("from_kernel"), not (image or dockerfile)
            and bool(conda or pip)]  # fmt: skip
    if sum(ways) != 1 or (conda and pip) or (asked.given("from_kernel") and (conda or pip)):
        raise UserErrorException(
            f"What {name} is made from is not clear.",
            "Say one of --conda FILE, --pip FILE, --image NAME, --dockerfile FILE, --from-kernel; "
            "an image may have --conda or --pip besides.",
        )
    if image:
        return Environment.from_docker_image(
            name, image.removeprefix(IMAGE), conda_specification=conda, pip_requirements=pip
        )
    if dockerfile:
        return Environment.from_dockerfile(
            name, dockerfile, conda_specification=conda, pip_requirements=pip
        )
    if conda:
        return Environment.from_conda_specification(name, conda)
    if pip:
        return Environment.from_pip_requirements(name, pip)
    return Environment.from_kernel(name)


def _file(asked: Parsed, key: str) -> str | None:
    named = asked.text(key)
    if named is None:
        return None
    path = os.path.abspath(os.path.expanduser(named))
    if not os.path.isfile(path):
        raise UserErrorException(
            f"--{key} {named}: there is no such file.", f"Paths are relative to {Path.cwd()}."
        )
    return path


def _new_name(name: str) -> str:
    """A name that can be told from a version, a path and an image."""
    if ":" in name or os.sep in name or name.startswith("-"):
        raise UserErrorException(
            f"An environment cannot be named {name!r}.",
            "Use letters, digits, _, - and dots; versions are counted by themselves.",
        )
    return name


def registered(
    workspace: Callable[[], Workspace], environment: Environment, name: str | None
) -> Environment:
    """Register an environment that is at hand, under another name if one is given."""
    made: list[Environment] = []
    with noted(made):
        named = environment.clone(_new_name(name)) if name else environment
        made.append(named.register(workspace()))
    return made[0]


def cloned(workspace: Callable[[], Workspace], name: str, new: str) -> Environment:
    """Register a copy of an environment under the new name."""
    return registered(workspace, environment_of(name, workspace), new)


def saved(workspace: Callable[[], Workspace], asked: Parsed) -> Path:
    """Write an environment into a folder; returns that."""
    name, folder = asked.words
    path = Path(folder).expanduser().absolute()
    environment = environment_of(name, workspace)
    try:
        environment.save_to_directory(path, overwrite=asked.given("overwrite"))
    except FileExistsError:
        raise UserErrorException(
            f"{path} exists already.", "Name another folder, or say --overwrite."
        ) from None
    return path


# Building -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Look:
    """A build at one moment: how far it is, in words and numbers, and the end of its log."""

    phase: str
    done: int
    total: int
    text: str
    why: tuple[str, ...]
    seconds: float
    error: BuildError | None = None

    @property
    def is_over(self) -> bool:
        """Whether this was the last look."""
        return self.phase in (cache.READY, cache.FAILED)


class EnvironmentBuild:
    """A build that was begun here, or joined; it goes on by itself, whoever watches."""

    def __init__(self, workspace: Workspace, environment: Environment, docker: bool) -> None:
        self.environment = environment
        target = target_for(environment, docker)
        self._resolved, self._options = resolved_at(workspace.folder, environment, target)
        recipe = self._resolved.recipe
        self.had_nothing_to_do = recipe is None or bool(cache.find(recipe, self._options))
        self._begun = time.monotonic()
        self._details = ImageBuildDetails(environment, self._resolved, self._options)

    @property
    def key(self) -> str:
        """What it is cached by; empty for an environment that needs no build."""
        return self._resolved.recipe.key if self._resolved.recipe else ""

    @property
    def result(self) -> str:
        """What comes of it: an image's name, or the path of an interpreter."""
        return self._resolved.image or self._resolved.interpreter

    @property
    def built(self) -> Built | None:
        """What was built; None before, and where nothing has to be."""
        return built_by_key().get(self.key)

    def looks(self) -> Iterator[Look]:
        """How it is, again and again until it is over. Stopping to ask does not stop it."""
        while True:
            state = self._details.state()
            seconds = time.monotonic() - self._begun
            yield Look(
                state.phase, state.done, state.total, state.text, state.why, seconds, state.error
            )
            if state.is_over:
                return
            time.sleep(_PAUSE)

    def tail(self, lines: int) -> list[str]:
        """The last lines of its log."""
        path = Shelf.of(self.key).log
        if not self.key or not path.exists():
            return []
        return read_tail(path, _LOG_BYTES).decode(errors="replace").splitlines()[-lines:]

    def end(self) -> None:
        """Take note that it is over; BuildError when it failed."""
        self._details.wait_for_completion(show_output=False)

    def to_json(self) -> dict[str, object]:
        """What came of it."""
        built = self.built
        return {
            "environment": self.environment.name,
            "version": self.environment.version,
            "key": self.key,
            "kind": self._resolved.kind,
            "built": not self.had_nothing_to_do,
            "interpreter": self._resolved.interpreter,
            "image": self._resolved.image,
            "python": built.python if built else None,
            "packages": list(built.packages) if built else [],
            "size": built.size if built else 0,
            "seconds": round(built.seconds, 3) if built else 0,
        }


def target_for(environment: Environment, docker: bool) -> str:
    """The target that it is for, if nothing but `--docker` was said."""
    return CONTAINERS if docker or environment.needs_image() else LOCAL


# Checking -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Checked:
    """One built environment that was looked over; ``problems`` is empty for a whole one."""

    key: str
    name: str
    problems: tuple[str, ...]


def checked(workspace: Workspace, text: str | None, deep: bool) -> Iterator[Checked]:
    """Look over what is built of an environment, or all that is built: one after the other."""
    built = built_by_key()
    chosen = list(built.values()) if text is None else built_named(workspace, text)
    options = placement(workspace.folder, CONTAINERS).options
    for each in chosen:
        problems = cache.check(each.key, deep=deep, options=options)
        yield Checked(each.key, each.name, tuple(problems))


def built_named(workspace: Workspace, text: str) -> list[Built]:
    """What is built under a key, for an environment of that name, or for what `--env` means."""
    built = built_by_key()
    by_key = [each for key, each in built.items() if key.startswith(text)]
    if by_key and len(text) >= SHORT_KEY:
        return by_key
    by_name = [each for each in built.values() if each.name.lower() == text.lower()]
    try:
        environment = environment_of(text, lambda: workspace)
    except UserErrorException:
        if by_name:
            return by_name
        raise
    keys = {each.key for each in by_name if environment.name.lower() == text.lower()}
    for target in places_of(environment):
        recipe = resolved_at(workspace.folder, environment, target)[0].recipe
        keys |= {recipe.key} if recipe else set()
    found = [built[key] for key in keys if key in built]
    if not found:
        raise UserErrorException(
            f"Nothing is built of environment {text}.",
            "It is built by `aml env build`, `%aml_env build`, or a run.",
        )
    return found
