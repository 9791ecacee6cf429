"""Where the samples come from: checkouts on this machine, which are only read.

``AML_SAMPLES_MLN`` is a folder with one sub-folder for each snapshot (``S25``, ``S21``, …) or a git
repository that has the commits; ``AML_SAMPLES_EX`` the folder with ``v1/``, or its repository.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

NOTEBOOKS, EXAMPLES = "AML_SAMPLES_MLN", "AML_SAMPLES_EX"

COMMITS = {
    "S19": "8f4efe15eb50984445935b07047b33a4694ad35c",
    "S20": "9c32ca9db5da489be27b2490348e21b382f8cfb5",
    "S21": "6f893ff0b40d3d6af94ac43867676a3d9df1fcbd",
    "S22": "9b1e130d18d3c61d41dc225488a4575904897c85",
    "S25": "f1aff553c475be391acb2e5d4e4094867b5963c0",
    "EX": "96241c3a2aec6eb2882688beb9e369b0f181e79c",
}
"""Snapshot → commit: S… of Azure/MachineLearningNotebooks, EX of Azure/azureml-examples."""


class MissingError(Exception):
    """There is no checkout, or it lacks the folder that was asked for."""


def copy(code: str, folder: str, into: Path) -> None:
    """Copy a folder of a snapshot; files that the checkout lacks are passed over."""
    place = _place(code)
    plain = place / code if (place / code).is_dir() else place
    if plain == place and _is_repository(place):
        _copy_from_git(place, COMMITS[code], folder, into)
    elif (plain / folder).is_dir():
        shutil.copytree(plain / folder, into, dirs_exist_ok=True, symlinks=True)
    else:
        raise MissingError(f"{folder} of {code} is not in {place}")


def extract(repository: Path, code: str, into: Path) -> int:
    """Write a whole snapshot of a repository below ``into/<code>``; returns how many files."""
    below = "v1" if code == "EX" else ""
    return _copy_from_git(repository, COMMITS[code], below, into / code / below)


def _place(code: str) -> Path:
    variable = EXAMPLES if code == "EX" else NOTEBOOKS
    given = os.environ.get(variable)
    if not given:
        raise MissingError(f"{variable} names no checkout")
    return Path(given)


def _is_repository(place: Path) -> bool:
    return (place / ".git").exists() or (place / "HEAD").exists()


def _copy_from_git(repository: Path, commit: str, folder: str, into: Path) -> int:
    tree = _git(repository, "ls-tree", "-r", "-z", commit, *([f"{folder}/"] if folder else []))
    entries = dict(_blobs(tree.decode(), folder))
    if not entries:
        raise MissingError(f"{folder} of {commit[:12]} is not in {repository}")
    read = 0
    for name, content in _contents(repository, entries):
        target = into / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        read += 1
    return read


def _blobs(tree: str, folder: str) -> Iterator[tuple[str, str]]:
    for line in filter(None, tree.split("\0")):
        facts, _, path = line.partition("\t")
        _, kind, blob = facts.split()
        if kind == "blob":
            yield path[len(folder) :].lstrip("/") if folder else path, blob


def _contents(repository: Path, entries: dict[str, str]) -> Iterator[tuple[str, bytes]]:
    command = [*_command(repository), "cat-file", "--batch"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as git:
        assert git.stdin
        assert git.stdout
        for name, blob in entries.items():
            git.stdin.write(f"{blob}\n".encode())
            git.stdin.flush()
            facts = git.stdout.readline().split()
            if facts[-1] == b"missing":
                continue
            content = git.stdout.read(int(facts[2]))
            git.stdout.read(1)
            yield name, content


def _git(repository: Path, *arguments: str) -> bytes:
    command = [*_command(repository), *arguments]
    return subprocess.run(command, capture_output=True, check=True).stdout


def _command(repository: Path) -> list[str]:
    inside = repository / ".git"
    return ["git", "--git-dir", str(inside if inside.exists() else repository)]
