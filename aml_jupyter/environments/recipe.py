"""What has to be built for an environment: all that matters, and nothing else."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields

from aml_jupyter.errors import ServiceException

VENV, CONDA, IMAGE = "venv", "conda", "image"
"""The kinds: a virtual environment, a conda environment, a container image."""

_FORMAT = 1
_KEY_LENGTH = 20


@dataclass(frozen=True)
class Recipe:
    """What is built: equal recipes give the same environment and have the same :attr:`key`.

    Names, versions of the Environment, variables, how a container is started, proxies and
    certificates are not in it; neither are credentials (an index URL is kept without them).
    ``pip`` holds requirements and options as pip writes them, ``conda`` match specs without
    Python. With ``--no-deps`` among the options, nothing is installed but what is named.
    ``python`` is the version asked for, such as ``3.10.18`` or ``3.10`` (of which another patch
    will do) or a range like ``>=3.9,<3.12``; None takes what is there. ``base`` is an image,
    ``dockerfile`` a Dockerfile's text, ``context`` the digest of the folder that it is built in;
    ``contents`` are digests of the local files and folders that the pip lines name.
    """

    kind: str
    python: str | None = None
    pip: tuple[str, ...] = ()
    conda: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    base: str | None = None
    dockerfile: str | None = None
    context: str | None = None
    build_args: tuple[tuple[str, str], ...] = ()
    platform: str = ""
    contents: tuple[tuple[str, str], ...] = ()

    @property
    def key(self) -> str:
        """The name it is cached by, and the tag of its image: 20 hexadecimal digits."""
        content = json.dumps([_FORMAT, self.to_json()], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:_KEY_LENGTH]

    @property
    def adds_packages(self) -> bool:
        """Whether there is more in it than in the image that it starts from."""
        return bool(self.pip or self.conda or self.python)

    def to_json(self) -> dict[str, object]:
        """The fields that say something."""
        return {name: value for name, value in asdict(self).items() if value}

    @classmethod
    def from_json(cls, record: Mapping[str, object]) -> Recipe:
        """The recipe that :meth:`to_json` wrote."""
        known = {field.name for field in fields(cls)}
        if "kind" not in record or not known.issuperset(record):
            raise ServiceException(
                "The run's recipe for its environment is not understood.",
                "It was written by another version of aml-jupyter; submit the run again.",
            )
        return cls(**{name: _frozen(value) for name, value in record.items()})  # type: ignore[arg-type]


def is_key(name: str) -> bool:
    """Whether a recipe may have that key."""
    return len(name) == _KEY_LENGTH and set(name) <= set("0123456789abcdef")


def _frozen(value: object) -> object:
    return tuple(map(_frozen, value)) if isinstance(value, (list, tuple)) else value
