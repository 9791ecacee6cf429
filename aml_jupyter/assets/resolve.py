"""From a definition to files of this machine."""

from __future__ import annotations

import os
import random
import re
from typing import NamedTuple

from aml_jupyter.errors import UserErrorException, near

from .addresses import Fetching
from .definition import FILE, Definition, Source
from .expressions import names_in, value_of
from .files import files_below, files_fitting
from .partition import PartitionFormat
from .stores import StoreRecord, store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Iterator, Mapping

    from .files import Progress

_WILD = re.compile(r"[*?]|\[.+\]")
_FETCHERS = 8


class Entry(NamedTuple):
    """A file of a dataset: its name there, where it is (``""``: not here yet), what paths say.

    ``alone`` is whether its source is the path of just this file.
    """

    name: str
    path: str
    values: Mapping[str, Any] = {}
    address: str = ""
    alone: bool = False


class Located(NamedTuple):
    """The files of a dataset, in the most convenient of three shapes.

    ``single`` is the path of a definition that is exactly one file path. ``folder`` is a folder
    that, as it stands, is the dataset. Where both are None, ``files`` has (name, path) of each.
    ``notes`` are worth telling.
    """

    single: str | None
    folder: str | None
    files: list[tuple[str, str]]
    notes: tuple[str, ...] = ()

    def listing(self) -> list[tuple[str, str]]:
        """(name, path) of every file, in whatever shape it was found."""
        return list(files_below(self.folder)) if self.folder is not None else self.files


def locate(
    definition: Definition, root: str, progress: Progress | None = None, fetch: bool = True
) -> Located:
    """Where the files of a dataset are; addresses are fetched, or with ``fetch=False`` not asked.

    ``root`` is the workspace that datastores and the cache belong to. Files that are not here
    have the path ``""`` when nothing may be fetched. ``progress`` is told (done, total).
    """
    fetching = Fetching(root, progress, fetch)
    shape = _whole(definition, root)
    if shape is not None:
        return Located(None, shape, [])
    entries = _entries(definition, root, fetching, progress)
    files = [(entry.name, entry.path) for entry in entries]
    single = files[0][1] if _is_one_path(definition, entries) else None
    return Located(single, None, files, tuple(fetching.notes))


def entries_of(
    definition: Definition, root: str, progress: Progress | None = None, fetch: bool = True
) -> tuple[list[Entry], tuple[str, ...]]:
    """Every file of a dataset with what its path says; and notes that are worth telling."""
    fetching = Fetching(root, progress, fetch)
    return _entries(definition, root, fetching, progress), tuple(fetching.notes)


def names_of(definition: Definition, root: str) -> list[str]:
    """The name of every file, without fetching any."""
    located = locate(definition, root, fetch=False)
    return [name for name, _ in located.listing()]


def files_of_store(root: str, record: StoreRecord, below: str) -> list[tuple[str, str]]:
    """(path within the datastore, path) of the files of a datastore in the folder ``below``."""
    where = record.where(root)
    if "://" not in where:
        folder = os.path.join(where, below)
        return [(f"{below}/{n}" if below else n, path) for n, path in files_below(folder)]
    fetching = Fetching(root)
    address = "/".join(part for part in (where.rstrip("/"), below) if part)
    found = [(f"{below}/{n}" if below else n, each) for n, each in fetching.below(address)]
    return [(name, fetching.file(each)) for name, each in found]


def check(definition: Definition, root: str) -> None:
    """Raise where a source of this machine has no file; addresses are asked when they are used."""
    for source in definition.sources:
        where, base = _place(source, root)
        if "://" not in base:
            next(_on_disk(where, base, source, several=False))


# Shapes ---------------------------------------------------------------------------------------


def _whole(definition: Definition, root: str) -> str | None:
    """The folder that is the dataset as it stands."""
    if len(definition.sources) != 1 or definition.steps or definition.reading.get("is_file"):
        return None
    source = definition.sources[0]
    _, base = _place(source, root)
    if "://" in base:
        return None
    # `folder/**` is what samples write for all of a folder.
    base = base[:-2].rstrip("/") or "/" if base.endswith("/**") else base
    return base if not _WILD.search(base) and os.path.isdir(base) else None


def _is_one_path(definition: Definition, entries: list[Entry]) -> bool:
    """Whether the definition is the path of one file, not a folder or glob that has just one."""
    return (
        not definition.steps and len(entries) == len(definition.sources) == 1 and entries[0].alone
    )


def _place(source: Source, root: str) -> tuple[str, str]:
    """The path or address that a source is at; before it that of its datastore."""
    if not source.datastore:
        return "", source.path
    where = store(root, source.datastore).where(root).rstrip("/")
    return where, f"{where}/{source.path}".rstrip("/")


# Entries --------------------------------------------------------------------------------------


def _entries(
    definition: Definition, root: str, fetching: Fetching, progress: Progress | None
) -> list[Entry]:
    several = len(definition.sources) > 1
    entries = [
        entry
        for source in definition.sources
        for entry in _of_source(source, root, fetching, several)
    ]
    form = definition.reading.get("partition_format")
    if form:
        said = PartitionFormat.read(form)
        # The format may name folders above those that stay in a file's name.
        entries = [e._replace(values=said.values(e.address or e.path)) for e in entries]
    if definition.kind == FILE:
        entries = _apart(entries) if several else entries
        entries = _stepped(entries, definition.steps, fetching)
    return _fetched(entries, fetching, progress)


def _of_source(source: Source, root: str, fetching: Fetching, several: bool) -> Iterator[Entry]:
    where, base = _place(source, root)
    if "://" not in base:
        yield from _on_disk(where, base, source, several)
        return
    for below, address in fetching.below(base):
        if source.datastore:
            path = "/".join(part for part in (_fixed(source.path), below) if part)
            name = f"{source.datastore}/{path}" if several else below or _last(source.path)
        else:
            name = url_name(address) if several or not below else below
        yield Entry(_inside(name), "", address=address, alone=not below)


def _inside(name: str) -> str:
    """``name``, which is an address's, without what would lead out of the folder it is put in."""
    return "/".join("%2E%2E" if part == ".." else part for part in name.split("/"))


def _apart(entries: list[Entry]) -> list[Entry]:
    """Each file once, under a name of its own: addresses may differ in what follows the ``?``."""
    import hashlib

    known: dict[str, Entry] = {}
    for entry in entries:
        namesake = known.get(entry.name, entry)
        if (namesake.path, namesake.address) != (entry.path, entry.address):
            stem, dot, kind = entry.name.rpartition(".")
            if not stem or "/" in kind:
                stem, dot, kind = entry.name, "", ""
            mark = hashlib.sha256((entry.address or entry.path).encode()).hexdigest()[:8]
            entry = entry._replace(name=f"{stem}-{mark}{dot}{kind}")
        known[entry.name] = entry
    return list(known.values())


def _on_disk(where: str, base: str, source: Source, several: bool) -> Iterator[Entry]:
    alone = False
    if os.path.isdir(base):
        found = list(files_below(base))
    elif os.path.exists(base):
        found, alone = [(os.path.basename(base), base)], True
    else:
        found = _matching(base) if _WILD.search(base) else []
    if not found:
        raise _nothing(base, source)
    for name, path in found:
        if several:
            name = "/".join(
                part for part in (source.datastore, path[len(where) :].lstrip("/")) if part
            )
        yield Entry(name, path, alone=alone)


def _matching(pattern: str) -> list[tuple[str, str]]:
    """(name below the folders without a pattern, path) of the files that match."""
    fixed = _fixed(pattern)
    wanted = pattern[len(fixed) :].lstrip("/")
    if "**" not in wanted:
        return list(files_fitting(fixed or "/", [_glob(part) for part in wanted.split("/")]))
    matches = _glob(wanted)
    return [(name, path) for name, path in files_below(fixed or "/") if matches(name)]


def _nothing(base: str, source: Source) -> UserErrorException:
    folder = os.path.dirname(_fixed(base) if _WILD.search(base) else base)
    there = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    where = f" in the datastore {source.datastore}" if source.datastore else ""
    hint = near(_last(source.path), there) if there else f"There is no folder {folder}."
    if os.path.isdir(base):
        hint = "The folder is empty."
    return UserErrorException(f"There is no file {source.path or '/'}{where}.", hint)


def url_name(address: str) -> str:
    """The name of a file that comes from an address: its protocol, host and path as folders."""
    from urllib.parse import urlsplit

    parts = urlsplit(address)
    return f"{parts.scheme}%3A/%2F{parts.netloc}/{parts.path.lstrip('/')}".rstrip("/")


def _fixed(path: str) -> str:
    """The folders of a path before the first part that is a pattern."""
    parts = path.split("/")
    for index, part in enumerate(parts):
        if _WILD.search(part):
            return "/".join(parts[:index])
    return path


def _last(path: str) -> str:
    return path.rstrip("/").rpartition("/")[2]


def _glob(pattern: str) -> Callable[[str], bool]:
    """Whether a relative path matches; ``**`` stands for any number of folders, or of files."""
    import fnmatch

    text = ""
    for part in pattern.split("/"):
        if part == "**":
            text += "(?:[^/]+/)*"
        else:
            one = fnmatch.translate(part.replace("**", "*"))
            text += one[len("(?s:") : one.rindex(")")].replace(".*", "[^/]*") + "/"
    if pattern.endswith("**"):
        text += "[^/]+/"
    found = re.compile(text)
    return lambda name: found.fullmatch(f"{name}/") is not None


# Steps ----------------------------------------------------------------------------------------


def _stepped(
    entries: list[Entry], steps: tuple[Mapping[str, Any], ...], fetching: Fetching
) -> list[Entry]:
    for step in steps:
        if step["do"] == "filter":
            entries = [
                entry
                for entry in entries
                if value_of(step["condition"], _facts(entry, step["condition"], fetching))
            ]
        else:
            entries = [
                entry for entry, taken in zip(entries, taken_by(step, len(entries))) if taken
            ]
    return entries


def taken_by(step: Mapping[str, Any], count: int) -> list[bool]:
    """Which of ``count`` files or rows a step takes; both halves of a split add up to all."""
    if step["do"] == "take":
        return [index < step["count"] for index in range(count)]
    if step["do"] == "skip":
        return [index >= step["count"] for index in range(count)]
    draw = random.Random(step["seed"])
    below = [draw.random() < step["share"] for _ in range(count)]
    return [is_below != step.get("rest", False) for is_below in below]


def _facts(entry: Entry, condition: Any, fetching: Fetching) -> Mapping[str, Any]:
    """What can be asked of a file; its size and time only if it is asked for them."""
    if not _asks_for_facts(condition):
        return entry.values
    import datetime

    path = entry.path or fetching.file(entry.address)
    found = os.stat(path)

    def when(seconds: float) -> datetime.datetime:
        return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).replace(tzinfo=None)

    return {
        **entry.values,
        "file:Size": found.st_size,
        "file:LastModifiedTime": when(found.st_mtime),
        "file:CreatedTime": when(found.st_ctime),
        "file:CanSeek": True,
    }


def _asks_for_facts(condition: Any) -> bool:
    if not isinstance(condition, list):
        return False
    return condition[:1] == ["file"] or any(_asks_for_facts(part) for part in condition)


def partition_names(definition: Definition) -> list[str]:
    """The columns that the partition format makes of paths."""
    form = definition.reading.get("partition_format")
    return list(PartitionFormat.read(form).keys) if form else []


def check_condition(condition: Any, names: list[str]) -> None:
    """Raise where a condition on files asks for what their paths do not say."""
    for name in sorted(names_in(condition) - set(names)):
        hint = near(name, names) if names else "partition_format names parts of paths."
        raise UserErrorException(f"The files of this dataset have no {name!r}.", hint)


# Fetching -------------------------------------------------------------------------------------


def _fetched(entries: list[Entry], fetching: Fetching, progress: Progress | None) -> list[Entry]:
    wanted = [index for index, entry in enumerate(entries) if not entry.path]
    if len(wanted) < 2:
        paths = [fetching.file(entries[index].address) for index in wanted]
    else:
        paths = _fetched_at_once([entries[index].address for index in wanted], fetching, progress)
    for index, path in zip(wanted, paths):
        entries[index] = entries[index]._replace(path=path)
    return entries


def _fetched_at_once(
    addresses: list[str], fetching: Fetching, progress: Progress | None
) -> list[str]:
    from concurrent.futures import ThreadPoolExecutor

    fetching.progress = None  # of several files it is told how many are here
    paths = []
    with ThreadPoolExecutor(_FETCHERS) as pool:
        for path in pool.map(fetching.file, addresses):
            paths.append(path)
            if progress:
                progress(len(paths), len(addresses))
    return paths
