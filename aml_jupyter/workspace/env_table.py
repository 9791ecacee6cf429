"""What `aml env` and `%aml_env` can be asked for, as a table: cheap to import."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ..spec.words import parse_duration
from .command_table import HELP, Command, Group, Option

OLDEST_KEPT = 30 * 86400
"""The seconds for which `prune` leaves alone what was used."""

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
