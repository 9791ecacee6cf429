"""`aml env` and `%aml_env`: what both can be asked for, and how it is done."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from ..backends import CONTAINERS
from ..environments import Built, cache
from ..environments.making import BuildError
from ..environments.shelf import Shelf
from ..errors import UserErrorException
from ..spec import Environment
from ..spec.words import parse_duration
from ..store.feed import read_tail
from .command_table import HELP, Command, Group, Option, Parsed
from .compute import LOCAL
from .env_facts import built_by_key, places_of, resolved_at
from .images import ImageBuildDetails
from .run_options import IMAGE, environment_of
from .workspace import Workspace

OLDEST_KEPT = 30 * 86400
"""The seconds for which `prune` leaves alone what was used."""

_LOG_BYTES = 64 * 1024
_PAUSE = 0.1

YES = Option("-y/--yes", "", "do not ask")
_DOCKER = Option("--docker", "", "for a container: its image")
_CONDA = Option("--conda", "FILE", "the packages of a conda environment file", source="paths")
_PIP = Option("--pip", "FILE", "the packages of a pip requirements file", source="paths")
_IMAGE = Option("--image", "NAME", "a container image; --conda or --pip is installed in it")
_DOCKERFILE = Option("--dockerfile", "FILE", "the image of a Dockerfile", source="paths")
_KERNEL = Option("--from-kernel", "", "exactly what is installed here, where this runs")
_OVERWRITE = Option("--overwrite", "", "replace what is in the folder")
_RESET = Option("--reset", "", "back to the Python of this notebook")
_DEEP = Option("--deep", "", "compare every file's content, not only its size")
_AS = Option("--name", "NAME", "the name to register it under")
_DRY_RUN = Option("--dry-run", "", "only say what would be removed")
_OLDER = Option(
    "--older-than", "TIME", "all that was not used for 7d, 12h …; 30d if not said", parse_duration
)
_ALL = Option("--all", "", "all that no live run uses, however new")

_NAMED = "NAME"
_ANY = "environments"


def group(name: str, in_notebook: bool, more: Sequence[Option] = ()) -> Group:
    """All that can be asked; ``name`` is how it is called, ``more`` what every command takes."""
    commands = {
        word: replace(
            command,
            name=f"{name} {word}",
            options=(*command.options, *more, HELP),
            examples=[f"{name} {example}" for example in command.examples],
        )
        for word, command in _COMMANDS.items()
        if in_notebook or word not in _IN_NOTEBOOKS
    }
    return Group(name, "Environments: what a job runs in.", commands, usual="list")


_IN_NOTEBOOKS = ("use",)
_COMMANDS: Mapping[str, Command] = {
    "list": Command("", "registered, curated and built environments", examples=("list",)),
    "show": Command(
        "",
        "all about one: what it asks for, what is built of it",
        words=_NAMED,
        least=1,
        most=1,
        sources=(_ANY,),
        examples=("show torch", "show AzureML-sklearn-CPU"),
    ),
    "use": Command(
        "",
        "what cells of this notebook run in when they do not say --env",
        words="[NAME]",
        options=(_RESET,),
        most=1,
        sources=(_ANY,),
        examples=("use torch", "use requirements.txt", "use --reset"),
    ),
    "create": Command(
        "",
        "make one and register it",
        words=_NAMED,
        options=(_CONDA, _PIP, _IMAGE, _DOCKERFILE, _KERNEL),
        least=1,
        most=1,
        examples=(
            "create torch --pip requirements.txt",
            "create gpu --image nvidia/cuda:12.4.1-runtime-ubuntu22.04 --conda env.yml",
            "create mine --from-kernel",
        ),
    ),
    "build": Command(
        "",
        "build it now, and watch",
        words=_NAMED,
        options=(_DOCKER,),
        least=1,
        most=1,
        sources=(_ANY,),
        examples=("build torch", "build torch --docker", "build requirements.txt"),
    ),
    "register": Command(
        "",
        "keep one that was saved to a folder, a file, or a variable of the notebook",
        words="FOLDER|FILE|VARIABLE",
        options=(_AS,),
        least=1,
        most=1,
        sources=("paths",),
        examples=("register ./torch-env", "register env.yml --name torch"),
    ),
    "clone": Command(
        "",
        "register a copy under another name",
        words="NAME NEW",
        least=2,
        most=2,
        sources=(_ANY, ""),
        examples=("clone AzureML-PyTorch-GPU torch",),
    ),
    "save": Command(
        "",
        "write it into a folder, to be shared or changed",
        words="NAME FOLDER",
        options=(_OVERWRITE,),
        least=2,
        most=2,
        sources=(_ANY, "paths"),
        examples=("save torch ./torch-env",),
    ),
    "check": Command(
        "",
        "look over what is built, file by file; all of it if none is named",
        words="[NAME|KEY]",
        options=(_DEEP,),
        most=1,
        sources=(_ANY,),
        examples=("check torch", "check --deep"),
    ),
    "why": Command(
        "",
        "whether the next run has to build it, and what changed since the last build",
        words=_NAMED,
        options=(_DOCKER,),
        least=1,
        most=1,
        sources=(_ANY,),
        examples=("why torch", "why requirements.txt --docker"),
    ),
    "prune": Command(
        "",
        "remove what is built and has not been used for long",
        options=(_OLDER, _ALL, _DRY_RUN, YES),
        examples=("prune --dry-run", "prune --older-than 7d -y", "prune --all"),
    ),
    "remove": Command(
        "",
        "remove what is built of one; it stays registered, and is built again when needed",
        words="NAME|KEY",
        options=(YES,),
        least=1,
        most=1,
        sources=(_ANY,),
        examples=("remove torch -y",),
    ),
}


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
        self._begun = time.monotonic()
        self._details = ImageBuildDetails(environment, self._resolved, self._options)
        self.had_nothing_to_do = self._details.state().text == "nothing had to be built"

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
    options = resolved_options(workspace)
    for each in chosen:
        problems = cache.check(each.key, deep=deep, options=options)
        yield Checked(each.key, each.name, tuple(problems))


def resolved_options(workspace: Workspace) -> dict[str, object]:
    """The settings of the engine that images are asked of."""
    from .compute import placement

    return dict(placement(workspace.folder, CONTAINERS).options)


def built_named(workspace: Workspace, text: str) -> list[Built]:
    """What is built under a key, for an environment of that name, or for what `--env` means."""
    built = built_by_key()
    if text in built:
        return [built[text]]
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
            f"Nothing is built of environment {text}.", "Build it with `env build`, or run with it."
        )
    return found
