"""Lines of a pip requirements file: read, named, merged, and what in them is a secret."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

from aml_jupyter.errors import UserErrorException

_PIP_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(?=\s*(?:$|[\[<>=!~;@ ]))")
# name [extras] (versions) ; marker, where extras, versions and marker may be missing.
_REQUIREMENT = re.compile(
    r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[(?P<extras>[^\]]*)\])?"
    r"\s*\(?(?P<versions>(?:[<>=!~][^;()@]*)?)\)?\s*(?:;\s*(?P<marker>.*))?"
)
# A user alone is a secret only where a token can stand in its place; `${TOKEN}` is none, since
# pip and uv put the variable's value there when they need it.
_PASSWORD = re.compile(r"(://[^\s/@:]*:)(?!\$\{\w+\}@)[^\s/@]+@")
_TOKEN = re.compile(r"(https?://)(?!\$\{\w+\}@)[^\s/@:]+@")
# What Anaconda's servers take as a password stands in the path.
_CONDA_TOKEN = re.compile(r"(://[^\s/]+/t/)[^\s/]+")


def pip_name(entry: str) -> str:
    """The package's name as pip compares it; links and options stand for themselves."""
    found = _PIP_NAME.match(entry.strip())
    return re.sub(r"[-_.]+", "-", found[0]).lower() if found else entry.strip()


def merged(requirements: Iterable[str]) -> list[str]:
    """The requirements with one entry for each package: extras together, versions joined.

    Entries for different markers stay apart; links and options stay as they are.
    """
    found: dict[tuple[str, str], tuple[str, dict[str, None], dict[str, None]]] = {}
    for entry in requirements:
        parts = _REQUIREMENT.fullmatch(entry.strip())
        if parts is None:
            found[entry, ""] = (entry, {}, {})
            continue
        marker = (parts["marker"] or "").strip()
        _, extras, versions = found.setdefault(
            (pip_name(parts["name"]), marker), (parts["name"], {}, {})
        )
        extras.update(dict.fromkeys(_split(parts["extras"])))
        versions.update(dict.fromkeys(_split(parts["versions"])))
    return [
        _line(name, extras, versions, key[1]) for key, (name, extras, versions) in found.items()
    ]


def masked_credentials(text: str) -> str:
    """``text`` with ``***`` for every password and token in the addresses in it."""
    for secret, shown in ((_PASSWORD, r"\1***@"), (_TOKEN, r"\1***@"), (_CONDA_TOKEN, r"\1***")):
        text = secret.sub(shown, text)
    return text


def without_credentials(url: str) -> str:
    """The address without user, password and token: others put in their own."""
    return re.sub(r"(://[^\s/]+)/t/[^\s/]+", r"\1", re.sub(r"(://)[^\s/@]+@", r"\1", url))


def read_requirements(path: str | os.PathLike[str]) -> list[str]:
    """The entries of a pip requirements file; files that it includes with ``-r`` are followed."""
    return _read_requirements(os.path.abspath(os.fspath(path)), ())


def _read_requirements(path: str, within: tuple[str, ...]) -> list[str]:
    if path in within:
        raise UserErrorException(f"{path} includes itself.", "Remove its `-r` line.")
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
    except (OSError, UnicodeDecodeError) as error:
        raise UserErrorException(
            f"The pip requirements file {path} cannot be read: {error}.", "Check the name."
        ) from error
    entries: list[str] = []
    for line in text.replace("\\\n", " ").splitlines():
        # As pip has it: a comment starts the line or follows a blank (URLs may hold a #).
        entry = re.sub(r"(^|\s)#.*$", "", line).strip()
        include = re.fullmatch(r"(?:-r|--requirement)[\s=]*(\S.*)", entry)
        if include:
            below = os.path.join(os.path.dirname(path), include[1])
            entries += _read_requirements(os.path.abspath(below), (*within, path))
        elif entry:
            entries.append(entry)
    return entries


def _split(text: str | None) -> list[str]:
    return [part.strip() for part in (text or "").split(",") if part.strip()]


def _line(name: str, extras: Iterable[str], versions: Iterable[str], marker: str) -> str:
    inside = ",".join(sorted(extras))
    line = f"{name}{f'[{inside}]' if inside else ''}{','.join(versions)}"
    return f"{line}; {marker}" if marker else line
