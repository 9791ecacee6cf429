"""Which packages a framework of v1 means today: its name and version, as pip requirements.

v1's samples ask for versions that no Python of today can install (PyTorch 1.4, scikit-learn
0.20.3). They still have to run, so the nearest version that each Python can install is taken.
Which Python it will be is known only where the environment is built; the requirements
therefore carry markers, and one set of them serves every Python.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby

from aml_jupyter.errors import UserErrorException

TORCH_FOR_CPU = "--extra-index-url https://download.pytorch.org/whl/cpu"
"""Where PyTorch's wheels are that bring no CUDA; on Linux, those of PyPI bring gigabytes of it."""

_NEWEST = "newest"
_PYTHONS = ("3.8", "3.9", "3.10", "3.11", "3.12", "3.13", "3.14")
# A version that only a Python before this one can install counts as out of reach.
_USUAL_PYTHON = "3.10"


@dataclass(frozen=True)
class FrameworkPackages:
    """What to install for a framework: ``requirements`` as pip writes them.

    ``note`` is empty, or says that the version asked for cannot be had any more and what is
    taken instead. Several requirements may name one package, for different Pythons.
    """

    requirements: tuple[str, ...]
    note: str = ""


@dataclass(frozen=True)
class _Framework:
    """A package, its lines of versions (2.1 stands for all 2.1.x), and the first for each Python.

    ``last`` is there for Pythons that newer lines have left behind. ``beside`` comes along
    always, ``below`` with lines older than the one named.
    """

    title: str
    package: str
    lines: str
    first: Mapping[str, str]
    last: Mapping[str, str]
    beside: tuple[str, ...] = ()
    below: tuple[tuple[str, str], ...] = ()
    gpu_extra: tuple[str, str] | None = None

    def lines_for(self, python: str) -> list[str]:
        """The lines that this Python can install."""
        if python not in self.first:
            return []
        least = _parts(self.first[python])
        most = _parts(self.last.get(python, self.lines.split()[-1]))
        return [line for line in self.lines.split() if least <= _parts(line) <= most]


def _by_python(lines: str) -> dict[str, str]:
    return dict(zip(_PYTHONS, lines.split(), strict=False))


_FRAMEWORKS = {
    # torchvision came later to a new Python than torch itself, so its wheels decide.
    "pytorch": _Framework(
        title="PyTorch",
        package="torch",
        lines="1.4 1.5 1.6 1.7 1.8 1.9 1.10 1.11 1.12 1.13 2.0 2.1 2.2 2.3 2.4 2.5 2.6 2.7 2.8 "
        "2.9 2.10 2.11 2.12 2.13 2.14 2.15",
        first=_by_python("1.4 1.8 1.11 2.0 2.2 2.6 2.9"),
        last={"3.8": "2.4", "3.9": "2.8", "3.10": "2.14"},
        beside=("torchvision",),
        below=(("2.3", "numpy<2"),),
    ),
    "tensorflow": _Framework(
        title="TensorFlow",
        package="tensorflow",
        lines="2.2 2.3 2.4 2.5 2.6 2.7 2.8 2.9 2.10 2.11 2.12 2.13 2.14 2.15 2.16 2.17 2.18 2.19 "
        "2.20 2.21",
        first=_by_python("2.2 2.5 2.8 2.12 2.16 2.20"),
        last={"3.8": "2.13", "3.9": "2.20"},
        below=(("2.18", "numpy<2"),),
        gpu_extra=("2.14", "and-cuda"),
    ),
    "sklearn": _Framework(
        title="scikit-learn",
        package="scikit-learn",
        lines="0.22 0.23 0.24 1.0 1.1 1.2 1.3 1.4 1.5 1.6 1.7 1.8 1.9",
        first=_by_python("0.22 0.24 1.0 1.1 1.3 1.5 1.7"),
        last={"3.8": "1.3", "3.9": "1.6", "3.10": "1.7"},
        below=(("1.4", "numpy<2"), ("1.3", "scipy<1.14")),
    ),
    # These two have wheels for every Python, but older ones fail with today's scikit-learn.
    "lightgbm": _Framework(
        title="LightGBM",
        package="lightgbm",
        lines="4.6 4.7",
        first=dict.fromkeys(_PYTHONS, "4.6"),
        last={"3.8": "4.6", "3.9": "4.6"},
    ),
    "xgboost": _Framework(
        title="XGBoost",
        package="xgboost",
        lines="2.1 3.0 3.1 3.2 3.3 3.4",
        first=dict.fromkeys(_PYTHONS, "2.1"),
        last={"3.8": "2.1", "3.9": "2.1", "3.10": "3.2", "3.11": "3.2"},
    ),
    # Its last release is of 2022: newer versions of these two took away what it imports.
    "chainer": _Framework(
        title="Chainer",
        package="chainer",
        lines="7.8",
        first=dict.fromkeys(_PYTHONS[:4], "7.8"),
        last={},
        beside=("numpy<1.24", "setuptools<74"),
    ),
}
FRAMEWORK_NAMES = tuple(_FRAMEWORKS)
"""The frameworks known, by the word for them in v1's names."""


def framework_packages(
    framework: str, version: str | None = None, gpu: bool = False
) -> FrameworkPackages:
    """The packages of a framework in the version asked for, or in the nearest that can be had.

    ``framework`` is one of ``FRAMEWORK_NAMES`` (in any case); without a version it is the
    newest. ``1.4`` stands for every ``1.4.x``, ``1.4.0`` for itself.
    """
    known = _known(framework)
    if version is None:
        return FrameworkPackages((_required(known, _NEWEST, gpu), *known.beside))
    taken = {
        python: _nearest(known.lines_for(python), version)
        for python in _PYTHONS
        if python in known.first
    }
    requirements = [
        _required(known, _exact(line, version), gpu) + _marker(pythons, known)
        for line, pythons in _runs(taken)
    ]
    for below, companion in known.below:
        older = [python for python, line in taken.items() if _parts(line) < _parts(below)]
        if older:
            requirements.append(companion + _marker(older, known))
    return FrameworkPackages((*requirements, *known.beside), _note(known, version, taken))


def framework_versions(framework: str) -> list[str]:
    """The lines of versions that some Python can install, the oldest first."""
    return _known(framework).lines.split()


def _known(framework: str) -> _Framework:
    try:
        return _FRAMEWORKS[framework.lower()]
    except KeyError:
        raise UserErrorException(
            f"There is no framework {framework!r}.", f"Known are {', '.join(FRAMEWORK_NAMES)}."
        ) from None


def _nearest(lines: list[str], version: str) -> str:
    """The line that has the version; else the next newer one, else the newest there is."""
    wanted = _parts(version)[:2]
    newer = [line for line in lines if _parts(line) >= wanted]
    return newer[0] if newer else lines[-1]


def _exact(line: str, version: str) -> str:
    """What of a line is meant: the very version when it was asked for, else any of the line."""
    asked = _parts(version)
    if len(asked) > 2 and asked[:2] == _parts(line):
        return f"=={version}"
    return f"=={line}.*"


def _required(known: _Framework, which: str, gpu: bool) -> str:
    extra = ""
    if gpu and known.gpu_extra:
        since, name = known.gpu_extra
        if which == _NEWEST or _parts(which) >= _parts(since):
            extra = f"[{name}]"
    return f"{known.package}{extra}{'' if which == _NEWEST else which}"


def _runs(taken: Mapping[str, str]) -> list[tuple[str, list[str]]]:
    """Neighbouring Pythons that take the same line, together."""
    return [(line, list(pythons)) for line, pythons in groupby(taken, key=taken.__getitem__)]


def _marker(pythons: list[str], known: _Framework) -> str:
    """The condition for these neighbouring Pythons; open at the ends of what is known."""
    able = list(known.first)
    first, last = pythons[0], pythons[-1]
    bounds = []
    if first == last and able[0] != first and able[-1] != last:
        bounds = [f'python_version == "{first}"']
    else:
        bounds += [f'python_version >= "{first}"'] if first != able[0] else []
        bounds += [f'python_version <= "{last}"'] if last != able[-1] else []
    return f"; {' and '.join(bounds)}" if bounds else ""


def _note(known: _Framework, version: str, taken: Mapping[str, str]) -> str:
    oldest = _parts(_USUAL_PYTHON)
    usual = {python: line for python, line in taken.items() if _parts(python) >= oldest}
    if any(_parts(line) == _parts(version)[:2] for line in usual.values()):
        return ""
    instead = ", ".join(
        f"{line} for Python {pythons[0]}" + (f" to {pythons[-1]}" if len(pythons) > 1 else "")
        for line, pythons in _runs(usual)
    )
    return (
        f"There is no {known.title} {version} for Python {_USUAL_PYTHON} or newer; "
        f"the nearest is taken: {instead}."
    )


def _parts(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version))
