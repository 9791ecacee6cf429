"""Addresses as files: what was fetched is kept by its content, below the workspace.

::

    .aml/datasets/cache/addresses/<hash>.json      {address, marks, sha256, size, name, stat, asked}
    .aml/datasets/cache/content/<sha256>/<name>    read-only
    .aml/datasets/cache/coming/<hash>              a download that is not whole yet

Who is offline works with what is kept, and is told. Who fetches what another process is fetching
waits for that one. An address may be mapped to a file or folder of this machine, or to another
address, by the JSON file that AML_MIRRORS names: {"https://host/path": "replacement"}.
"""

from __future__ import annotations

import hashlib
import os
import time
from contextlib import contextmanager, suppress

from aml_jupyter.errors import UserErrorException
from aml_jupyter.job.layout import full_disk, read_json, write_json

from .files import CHUNK, files_below
from .place import locked
from .remote import Unreachable, asked, found_below, protocol_of, system_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from typing import Any, Iterator, Mapping

    from .files import Progress

MIRRORS = "AML_MIRRORS"

_RECORD = {
    "address": str,
    "marks": dict,
    "sha256": str,
    "size": int,
    "name": str,
    "stat": list,
    "asked": float,
}


class Fetching:
    """Fetches addresses into a workspace; ``notes`` collects what people should know."""

    def __init__(self, root: str, progress: Progress | None = None, online: bool = True) -> None:
        self._cache = os.path.join(root, "datasets", "cache")
        self.progress = progress
        self._online = online
        self.notes: list[str] = []

    def file(self, address: str) -> str:
        """Where the file at an address is here; without asking, ``""`` for one that is not."""
        place = mirrored(address)
        if "://" not in place:
            return _existing(place, address)
        if not self._online:
            return self._kept(place)[0]
        started = time.time()
        with self._locked(self._key(place)):
            path, record = self._kept(place)
            # Another process, or thread, may have asked while this one waited.
            if path and record["asked"] >= started:
                return path
            try:
                return self._asked(place, path, record)
            except Unreachable as error:
                return self._offline(place, path, error)
            except OSError as error:
                raise full_disk(error, os.path.join(self._cache, "content")) from error

    def below(self, address: str) -> list[tuple[str, str]]:
        """(name below it, address or path) of what a folder or a glob stands for.

        One file by itself has the name ``""``; http knows nothing else.
        """
        place = mirrored(address)
        if "://" not in place:
            return [*files_below(place)] if os.path.isdir(place) else [("", address)]
        if protocol_of(place) in ("http", "https"):
            return [("", address)]
        kept = self._record_path(place).replace(".json", ".listing")
        listing = None if self._online else read_json(kept)
        if listing is None:
            try:
                listing = found_below(place)
            except Unreachable as error:
                listing = read_json(kept)
                if listing is None:
                    raise self._unreachable(place, error) from error
                self.notes.append(f"{place} cannot be reached ({error}); files known before count.")
            else:
                os.makedirs(os.path.dirname(kept), exist_ok=True)
                write_json(kept, listing)
        return [(str(name), str(found)) for name, found in listing]

    def _asked(self, place: str, path: str, record: Mapping[str, Any]) -> str:
        known, size = (record["marks"], record["size"]) if path else ({}, 0)
        with asked(place, known, size) as answer:
            if answer is None:
                write_json(self._record_path(place), {**record, "asked": time.time()})
                return path
            with self._coming(place) as coming:
                digest, size = self._receive(answer.stream, answer.size, coming, place)
                kept = self._keep(coming, digest, _file_name(place))
        facts = {"address": place, "marks": dict(answer.marks), "sha256": digest, "size": size}
        facts.update(name=_file_name(place), stat=_stat(kept), asked=time.time())
        write_json(self._record_path(place), facts)
        return kept

    @contextmanager
    def _coming(self, place: str) -> Iterator[str]:
        """Where what an address sends is put until it is whole; no half of it stays there."""
        folder = os.path.join(self._cache, "coming")
        os.makedirs(folder, exist_ok=True)
        for key in os.listdir(folder):  # left by who was killed
            with suppress(BlockingIOError, FileNotFoundError), self._locked(key, wait=False):
                os.unlink(os.path.join(folder, key))
        coming = os.path.join(folder, self._key(place))
        try:
            yield coming
        finally:
            with suppress(FileNotFoundError):
                os.unlink(coming)

    def _receive(self, stream: Any, total: int, target: str, place: str) -> tuple[str, int]:
        digest, size = hashlib.sha256(), 0
        with open(target, "wb") as file:
            while True:
                try:
                    chunk = stream.read(CHUNK)
                except Exception as error:  # of whatever protocol: the connection went
                    raise Unreachable(f"the connection ended: {error}") from error
                if not chunk:
                    break
                digest.update(chunk)
                file.write(chunk)
                size += len(chunk)
                if self.progress:
                    self.progress(size, total)
        if total and size < total:
            raise Unreachable(f"the connection ended after {size} of {total} bytes of {place}")
        return digest.hexdigest(), size

    def _keep(self, coming: str, digest: str, name: str) -> str:
        kept = self._content_path(digest, name)
        os.makedirs(os.path.dirname(kept), exist_ok=True)
        os.chmod(coming, 0o444)
        os.replace(coming, kept)
        return kept

    def _kept(self, place: str) -> tuple[str, Mapping[str, Any]]:
        """The file fetched before, if it is still whole, and its record."""
        record = _record_at(self._record_path(place))
        if not record:
            return "", {}
        path = self._content_path(record["sha256"], record["name"])
        if not os.path.exists(path):
            return "", record
        if _stat(path) != record["stat"]:  # touched since: then only its hash says what it is
            if _digest(path) != record["sha256"]:
                os.unlink(path)
                self.notes.append(f"What was kept of {place} is damaged; it is fetched again.")
                return "", record
            write_json(self._record_path(place), {**record, "stat": _stat(path)})
        return path, record

    def _offline(self, place: str, path: str, error: Unreachable) -> str:
        if not path:
            raise self._unreachable(place, error) from error
        self.notes.append(f"{place} cannot be reached ({error}); what was fetched before is used.")
        return path

    def _unreachable(self, place: str, error: Unreachable) -> UserErrorException:
        folder = os.path.join(self._cache, "addresses")
        names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
        records = [_record_at(os.path.join(folder, n)) for n in names if n.endswith(".json")]
        kept = [record["address"] for record in records if record]
        shown = f"Kept are: {', '.join(kept[:5])}" if kept else "Nothing is kept of other addresses"
        return UserErrorException(
            f"{place} cannot be reached: {error}.",
            f"{shown}{', …' if len(kept) > 5 else ''}. {MIRRORS} can map it to a local file.",
        )

    def _locked(self, key: str, wait: bool = True) -> AbstractContextManager[int]:
        return locked(os.path.join(self._cache, "addresses", f"{key}.json.lock"), wait)

    def _key(self, place: str) -> str:
        return hashlib.sha256(place.encode()).hexdigest()[:32]

    def _record_path(self, place: str) -> str:
        return os.path.join(self._cache, "addresses", f"{self._key(place)}.json")

    def _content_path(self, digest: str, name: str) -> str:
        return os.path.join(self._cache, "content", digest, name)


def _record_at(path: str) -> Mapping[str, Any]:
    """What is known of an address; nothing where the record is damaged, too."""
    record = read_json(path)
    is_whole = isinstance(record, dict) and all(
        isinstance(record.get(key), kind) for key, kind in _RECORD.items()
    )
    return record if is_whole else {}


# Mirrors --------------------------------------------------------------------------------------


def mirrored(address: str) -> str:
    """The path or address that stands for an address: itself, unless AML_MIRRORS says else."""
    listed = os.environ.get(MIRRORS)
    if not listed:
        return address
    prefixes = _mirrors(listed)
    for prefix in sorted(prefixes, key=len, reverse=True):
        if address.startswith(prefix):
            instead = prefixes[prefix] + address[len(prefix) :]
            if "://" in instead:
                return instead
            return os.path.join(os.path.dirname(os.path.abspath(listed)), instead)
    return address


def _mirrors(listed: str) -> dict[str, str]:
    found = read_json(listed)
    if isinstance(found, dict) and all(isinstance(value, str) for value in found.values()):
        return {key: os.path.expanduser(value) for key, value in found.items()}
    raise UserErrorException(
        f"{MIRRORS} names {listed}, which does not hold a JSON object of texts.",
        'For example {"https://example.org/data": "/srv/data"}.',
    )


def _existing(path: str, address: str) -> str:
    if os.path.exists(path):
        return path
    raise UserErrorException(
        f"{address} is mapped to {path} by {MIRRORS}, where nothing is.",
        f"Put it there, or correct {os.environ.get(MIRRORS)}.",
    )


# Writing to addresses -------------------------------------------------------------------------


def exists(address: str) -> bool:
    """Whether there is a file at an address that fsspec can write to."""
    system, path = system_of(address)
    return bool(_tried(address, system.exists, path))


def put(source: str, address: str) -> None:
    """Copy a file to an address that fsspec can write to."""
    system, path = system_of(address)
    _tried(address, system.makedirs, path.rpartition("/")[0], True)
    _tried(address, system.put_file, source, path)


def _tried(address: str, do: Any, *arguments: Any) -> Any:
    try:
        return do(*arguments)
    except Exception as error:  # each protocol has errors of its own
        raise UserErrorException(
            f"{address} cannot be written: {type(error).__name__}: {error}.",
            "Check the address, and that you may write there.",
        ) from error


def _file_name(place: str) -> str:
    """The last part of an address as a name for a file."""
    from urllib.parse import unquote, urlsplit

    parts = urlsplit(place)
    name = unquote(parts.path.rstrip("/").rpartition("/")[2]) or parts.netloc or "file"
    return name.replace("/", "_").replace("\0", "_")[:200] if name not in (".", "..") else "file"


def _stat(path: str) -> list[int]:
    found = os.stat(path)
    return [found.st_mtime_ns, found.st_size, found.st_ino]


def _digest(path: str) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for chunk in iter(lambda: file.read(CHUNK), b""):
            digest.update(chunk)
    return digest.hexdigest()
