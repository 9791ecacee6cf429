"""Whether a built environment is still what was built: a quick look, and a thorough one."""

from __future__ import annotations

import base64
import csv
import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from aml_jupyter.errors import RunConfigurationException

from . import interpreter

_IGNORED = "__pycache__"
_DIGEST_PREFIX = "sha256="


def seal(folder: Path, python: str) -> dict[str, object]:
    """What :func:`quick_problems` compares later: the base interpreter and what lies on top.

    ``folder`` is the environment's, ``python`` its interpreter.
    """
    base = os.path.realpath(python)
    return {
        "base": base,
        "base_stamp": _stamp(base),
        "base_version": interpreter.version_of(base),
        "listing": {
            str(top.relative_to(folder)): sorted(_entries(top)) for top in _top_folders(folder)
        },
    }


def quick_problems(folder: Path, python: str, sealed: Mapping[str, Any]) -> list[str]:
    """What is wrong at first sight, in words; takes a millisecond and starts no process."""
    if not os.access(python, os.X_OK):
        return [_gone_interpreter(python)]
    return [*_base_problems(python, sealed), *_listing_problems(folder, sealed)]


def thorough_problems(folder: Path, deep: bool = False) -> list[str]:
    """What is wrong with the files of each package: one gone or of another size.

    With ``deep``, or of another content.
    """
    problems: list[str] = []
    for top in _top_folders(folder):
        for record in sorted(top.glob("*.dist-info/RECORD")):
            problems += _wheel_problems(top, record, deep)
        if top.name == "conda-meta":
            for record in sorted(top.glob("*.json")):
                problems += _conda_problems(folder, record, deep)
    return problems


def _gone_interpreter(python: str) -> str:
    if os.path.islink(python) and not os.path.exists(python):
        return f"the Python that it was made from, {os.path.realpath(python)}, is gone"
    return f"its interpreter {python} is gone or not executable"


def _base_problems(python: str, sealed: Mapping[str, Any]) -> Iterator[str]:
    base = os.path.realpath(python)
    if base != sealed.get("base"):
        yield f"the Python that it was made from was {sealed.get('base')} and is now {base}"
    elif _stamp(base) != sealed.get("base_stamp"):
        try:
            version = interpreter.version_of(base)
        except RunConfigurationException as error:
            yield error.message
            return
        was = str(sealed.get("base_version"))
        if version.split(".")[:2] != was.split(".")[:2]:
            yield f"the Python that it was made from, {base}, was {was} and is now {version}"


def _listing_problems(folder: Path, sealed: Mapping[str, Any]) -> Iterator[str]:
    for top, names in dict(sealed.get("listing") or {}).items():
        there, known = set(_entries(folder / top)), set(names)
        if known - there:
            yield f"{_some(known - there)} is gone from {top}"
        if there - known:
            yield f"{_some(there - known)} was put into {top}"


def _wheel_problems(top: Path, record: Path, deep: bool) -> Iterator[str]:
    package = record.parent.name.removesuffix(".dist-info")
    try:
        with open(record, encoding="utf-8", newline="") as file:
            rows = [row for row in csv.reader(file) if len(row) == 3]
    except (OSError, ValueError) as error:
        yield f"{package}: its list of files cannot be read ({error})"
        return
    for name, digest, size in rows:
        if _IGNORED not in name.split("/"):
            problem = _file_problem(top / name, _hex(digest), size, deep)
            if problem:
                yield f"{package}: {name} {problem}"


def _conda_problems(folder: Path, record: Path, deep: bool) -> Iterator[str]:
    import json

    try:
        listed = json.loads(record.read_text("utf-8"))["paths_data"]["paths"]
    except (OSError, ValueError, KeyError, TypeError):
        yield f"{record.stem}: its list of files cannot be read"
        return
    for entry in listed:
        name = str(entry.get("_path"))
        if _IGNORED not in name.split("/"):
            # The size is from before the prefix was written into the file; the digest is not.
            digest = entry.get("sha256_in_prefix") or ""
            problem = _file_problem(folder / name, digest, "", deep)
            if problem:
                yield f"{record.stem}: {name} {problem}"


def _file_problem(path: Path, digest: str, size: str, deep: bool) -> str:
    try:
        found = os.stat(path).st_size
        if size and int(size) != found:
            return f"has {found} bytes instead of {size}"
        if deep and digest and not path.is_symlink():
            with open(path, "rb") as file:
                content = hashlib.sha256(file.read()).hexdigest()
            return "" if content == digest else "has another content"
    except FileNotFoundError:
        return "" if path.is_symlink() else "is gone"
    except (OSError, ValueError) as error:
        return f"cannot be read ({error})"
    return ""


def _top_folders(folder: Path) -> Iterator[Path]:
    yield from sorted((folder / "lib").glob("python*/site-packages"))
    if (folder / "conda-meta").is_dir():
        yield folder / "conda-meta"


def _entries(folder: Path) -> list[str]:
    try:
        return [name for name in os.listdir(folder) if name != _IGNORED]
    except OSError:
        return []


def _stamp(path: str) -> list[int]:
    found = os.stat(path)
    return [found.st_mtime_ns, found.st_size]


def _hex(digest: str) -> str:
    """The digest of a RECORD's row, which is written in base 64, in hexadecimal digits."""
    if not digest.startswith(_DIGEST_PREFIX):
        return ""
    encoded = digest.removeprefix(_DIGEST_PREFIX)
    return base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).hex()


def _some(names: set[str]) -> str:
    shown = sorted(names)
    return ", ".join(shown[:3]) + (f" and {len(shown) - 3} more" if len(shown) > 3 else "")
