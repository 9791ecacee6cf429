"""What conda's packages are called on PyPI, for machines that reach no conda channel.

Only names that are known to mean the same thing are taken over. A name on PyPI that merely
equals conda's may be another project, or somebody who waits for exactly this mistake.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from aml_jupyter.spec.requirements import normalised

PUBLIC_CHANNELS = frozenset(
    (
        *("anaconda", "bioconda", "conda-forge", "defaults", "free", "main", "msys2", "pro", "r"),
        *("fastai", "intel", "microsoft", "nvidia", "rapidsai"),
        *("pytorch", "pytorch-lts", "pytorch-nightly", "pytorch3d"),
        "nodefaults",
    )
)
"""Channels that hold nothing of one company's own, so their names are everybody's."""

_TABLE = "conda_on_pypi.txt"
# Wheels bring their own of these, so nothing is missing without them.
_IN_WHEELS = frozenset(
    ("blas", "intel-openmp", "libblas", "libcblas", "liblapack", "mkl", "nomkl", "openblas")
)
_CUDA = frozenset(
    (
        *("cuda", "cuda-runtime", "cuda-version", "cudatoolkit", "cudnn", "nccl"),
        *("cpuonly", "pytorch-cuda", "pytorch-mutex"),
    )
)
# Their wheels bring the CUDA that they need.
_WITH_CUDA = frozenset(("torch", "tensorflow", "jaxlib"))

_SPEC = re.compile(
    r"(?:(?P<channel>[^\s=<>!~\[]+?)::)?(?P<name>[^\s=<>!~\[]+)\s*"
    r"(?P<version>[^\[]*?)\s*(?:\[(?P<brackets>[^\]]*)\])?"
)
_NUMBER = r"\d[\w.+!-]*?"


@dataclass(frozen=True)
class OnPyPI:
    """What takes the place of conda packages: requirements, and conda names left out."""

    requirements: tuple[str, ...]
    instead: tuple[tuple[str, str], ...]
    left_out: tuple[str, ...] = ()


class NotOnPyPI(Exception):
    """There is a package that PyPI is not known to have; ``spec`` is its match spec."""

    def __init__(self, spec: str) -> None:
        super().__init__(spec)
        self.spec = spec


def name_of(spec: str) -> str:
    """The package that a match spec is about."""
    found = _SPEC.fullmatch(spec.strip())
    return found["name"].lower() if found else spec.strip().lower()


def on_pypi(specs: Iterable[str], channels: Iterable[str]) -> OnPyPI:
    """The same packages as pip's requirements; NotOnPyPI when one has no known counterpart."""
    specs = list(specs)
    public = all(_is_public(channel) for channel in channels)
    names = [_known().get(normalised(name_of(spec))) for spec in specs]
    framework = not _WITH_CUDA.isdisjoint(names)
    requirements: dict[str, str] = {}
    left_out = []
    for spec in specs:
        name = name_of(spec)
        if name in _IN_WHEELS or (name in _CUDA and framework):
            left_out.append(spec)
        elif public:
            requirements[spec] = _requirement(spec)
        else:
            raise NotOnPyPI(spec)
    return OnPyPI(tuple(requirements.values()), tuple(requirements.items()), tuple(left_out))


def pip_version(version: str) -> str | None:
    """The version as pip writes it, of one in conda's words; None where pip has no words for it.

    ``=1.2`` means ``==1.2.*``, a bare ``1.2`` exactly that version.
    """
    version, _, build = version.strip().partition(" ")
    if build and not re.match(r"[<>=!~,|]", build.strip()):
        version = f"=={version.lstrip('=')}"  # with a build named, the version is exact
    else:
        version += build.replace(" ", "")
    if version in ("", "*", "=*", "==*"):
        return ""
    clauses = [_clause(clause) for clause in version.split(",")]
    return None if None in clauses else ",".join(filter(None, clauses))


def _clause(clause: str) -> str | None:
    fuzzy = re.fullmatch(rf"=({_NUMBER})(?:\.?\*)?", clause)
    if fuzzy:
        return f"=={fuzzy[1]}.*"
    with_build = re.fullmatch(rf"={{1,2}}({_NUMBER})=[\w.*]+", clause)
    if with_build:
        return f"=={with_build[1].removesuffix('.*')}" + ".*" * with_build[1].endswith(".*")
    bare = re.fullmatch(rf"(?:==)?({_NUMBER})(\.?\*)?", clause)
    if bare:
        return f"=={bare[1]}" + (".*" if bare[2] else "")
    ordered = re.fullmatch(rf"(>=|<=|<|>|!=|~=)({_NUMBER})(\.?\*)?", clause)
    if ordered and (not ordered[3] or ordered[1] in ("!=", ">=")):
        return ordered[1] + ordered[2] + (".*" if ordered[3] and ordered[1] == "!=" else "")
    return None


def _requirement(spec: str) -> str:
    found = _SPEC.fullmatch(spec.strip())
    name = name_of(spec)
    channel = found["channel"] if found else None
    known = _known().get(normalised(name))
    if found is None or known is None or not _is_public(channel or "conda-forge"):
        raise NotOnPyPI(spec)
    brackets = re.search(r"version\s*=\s*(['\"]?)([^'\"\s]+)\1", found["brackets"] or "")
    version = pip_version(brackets[2] if brackets else found["version"])
    if version is None:
        raise NotOnPyPI(spec)
    return known + version


@cache
def _known() -> Mapping[str, str]:
    """The name on PyPI by conda's name."""
    found: dict[str, str] = {}
    text = (Path(__file__).parent / _TABLE).read_text(encoding="utf-8")
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        name, _, other = line.partition(" -> ")
        found |= {name: other} if other else {word: word for word in line.split()}
    return {normalised(name): other for name, other in found.items()}


def _is_public(channel: str) -> bool:
    host = r"https://(?:conda\.anaconda\.org|repo\.anaconda\.com/pkgs)/"
    return re.sub(rf"^{host}", "", channel).partition("/")[0].lower() in PUBLIC_CHANNELS
