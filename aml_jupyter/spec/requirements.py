"""Lines of a pip requirements file: read, named, merged."""

from __future__ import annotations

import codecs
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
_INCLUDE = re.compile(r"(?:-r|--requirement)[\s=]*(\S.*)")
# What stands before a path (an option, or `name @ file:`), the path, and extras or a marker.
_PLACE = re.compile(
    r"(?P<before>(?:(?:-c|--constraint|-f|--find-links|-e|--editable)[\s=]*|[^\s@]+\s*@\s*file:)?)"
    r"(?P<path>[^\s\[;=-][^\s\[;]*)(?P<rest>.*)"
)
_ARCHIVES = (".whl", ".zip", ".tar.gz", ".tgz", ".tar.bz2")
_BESIDE = re.compile(r"(?P<option>-c|--constraint|-f|--find-links)[\s=]*(?P<value>[^\s-].*)")


def pip_name(entry: str) -> str:
    """The package's name as pip compares it; links and options stand for themselves."""
    found = _PIP_NAME.match(entry.strip())
    return normalised(found[0]) if found else entry.strip()


def normalised(name: str) -> str:
    """A package's name in the one form that all its spellings have in common."""
    return re.sub(r"[-_.]+", "-", name).lower()


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


def read_requirements(path: str | os.PathLike[str]) -> list[str]:
    """The entries of a pip requirements file; files that it includes with ``-r`` are followed."""
    return _read_requirements(os.path.abspath(os.fspath(path)), ())


def _read_requirements(path: str, within: tuple[str, ...]) -> list[str]:
    if path in within:
        raise UserErrorException(f"{path} includes itself.", "Remove its `-r` line.")
    text = _text_of(path)
    entries: list[str] = []
    for line in text.replace("\\\n", " ").splitlines():
        # As pip has it: a comment starts the line or follows a blank (URLs may hold a #).
        entry = re.sub(r"(^|\s)#.*$", "", line).strip()
        include = _INCLUDE.fullmatch(entry)
        if include:
            below = os.path.join(os.path.dirname(path), include[1])
            entries += _read_requirements(os.path.abspath(below), (*within, path))
        elif entry:
            entries.append(_beside(path, entry))
    return entries


def anchored(entries: Iterable[str], folder: str) -> list[str]:
    """The entries, with what they name relative to ``folder`` by its whole path.

    Files that they include with ``-r`` are read from there.
    """
    found: list[str] = []
    for entry in entries:
        include = _INCLUDE.fullmatch(entry.strip())
        if include:
            found += read_requirements(os.path.join(folder, include[1]))
        else:
            found.append(_at_home(entry, folder))
    return found


def _at_home(entry: str, folder: str) -> str:
    place = _PLACE.fullmatch(entry.strip())
    if place is None:
        return entry
    path = place["path"]
    # A bare word is a package, whatever folder has the same name.
    is_path = place["before"] or path.startswith(".") or path.endswith(_ARCHIVES)
    below = os.path.normpath(os.path.join(folder, path))
    if not is_path or not os.path.exists(below):
        return entry
    return f"{place['before']}{below}{place['rest']}"


def _text_of(path: str) -> str:
    try:
        with open(path, "rb") as file:
            content = file.read()
        # Editors and shells of Windows begin a file with a mark of its encoding.
        marked = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        return content.decode("utf-16" if marked else "utf-8-sig").replace("\r\n", "\n")
    except OSError as error:
        raise UserErrorException(
            f"The pip requirements file {path} cannot be read: {error.strerror}.", "Check the name."
        ) from error
    except UnicodeDecodeError as error:
        raise UserErrorException(
            f"The pip requirements file {path} is no text in UTF-8: {error}.", "Save it as UTF-8."
        ) from error


def _beside(path: str, entry: str) -> str:
    """The entry; what pip looks for beside the file that names it is an absolute path."""
    found = _BESIDE.fullmatch(entry)
    if found is None:
        return entry
    below = os.path.abspath(os.path.join(os.path.dirname(path), found["value"]))
    return f"{found['option']} {below}" if os.path.exists(below) else entry


def _split(text: str | None) -> list[str]:
    return [part.strip() for part in (text or "").split(",") if part.strip()]


def _line(name: str, extras: Iterable[str], versions: Iterable[str], marker: str) -> str:
    inside = ",".join(sorted(extras))
    line = f"{name}{f'[{inside}]' if inside else ''}{','.join(versions)}"
    return f"{line}; {marker}" if marker else line
