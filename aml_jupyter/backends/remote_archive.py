"""Files as the streams of tar in which engines take and give them; never whole in memory."""

from __future__ import annotations

import base64
import io
import json
import os
import posixpath
import stat
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..engine import Engine
from ..job import events, layout
from ..job.courier import ARRIVED, is_log
from .remote_place import Place

_PIECE = 1 << 18
_BLOCK = 512
_OF_THIS_SIDE = {layout.SYSTEM, "job"}


class Going:
    """The run's folder and the bundle as one archive; each time it is asked for, afresh.

    ``events`` is the length of the events in it. Its last file is ``job/arrived.json``, newer than
    all others.
    """

    def __init__(
        self,
        folder: Path,
        bundle: Path,
        user: tuple[int, int],
        places: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        self._folder = folder
        self._bundle = bundle
        self._user = user
        self._places = places
        self.events = _whole_lines(folder / layout.EVENTS)

    def __iter__(self) -> Iterator[bytes]:
        yield from self._tree(self._bundle, (0, 0))
        yield from self._data()
        yield from self._run()
        yield from self._job()
        yield bytes(2 * _BLOCK)

    def _data(self) -> Iterator[bytes]:
        """What is not in the run's folder: data at their own paths, and links to data."""
        for each in self._places:
            source, target = Path(each["source"]), Path(each["target"])
            if source != target:
                link = tarfile.TarInfo(_absolute(target))
                link.type, link.linkname = tarfile.SYMTYPE, str(source)
                yield _header(link)
            else:
                yield from self._tree(source, self._user, follows=True)
        mark = self._folder.parent.parent / "workspace.json"
        if self._places and mark.exists():
            yield from self._entry(mark, self._user)

    def _job(self) -> Iterator[bytes]:
        """The folder that the launcher writes to; what is in it here is not for the job."""
        yield _header(self._info("job", tarfile.DIRTYPE, 0o755))
        yield _header(self._info(ARRIVED, tarfile.REGTYPE, 0o644))

    def _info(self, name: str, kind: bytes, mode: int) -> tarfile.TarInfo:
        info = tarfile.TarInfo(_absolute(self._folder / name))
        info.type, info.mode = kind, mode
        info.uid, info.gid = self._user
        return info

    def _run(self) -> Iterator[bytes]:
        yield from self._entry(self._folder, self._user)
        for entry in sorted(os.scandir(self._folder), key=lambda entry: entry.name):
            if entry.name == layout.EVENTS:
                yield from self._entry(Path(entry.path), self._user, self.events)
            elif entry.name not in _OF_THIS_SIDE:
                is_data = entry.name == layout.MOUNTS
                yield from self._tree(Path(entry.path), self._user, follows=is_data)

    def _tree(self, path: Path, user: tuple[int, int], follows: bool = False) -> Iterator[bytes]:
        """All that is below a path; of data also what links lead to."""
        yield from self._entry(path, user, follows=follows)
        if path.is_dir() and (follows or not path.is_symlink()):
            for below in sorted(os.listdir(path)):
                yield from self._tree(path / below, user, follows)

    def _entry(
        self, path: Path, user: tuple[int, int], size: int | None = None, follows: bool = False
    ) -> Iterator[bytes]:
        try:
            facts = os.stat(path) if follows else os.lstat(path)
            info = tarfile.TarInfo(_absolute(path))
            info.mode, info.mtime = stat.S_IMODE(facts.st_mode), facts.st_mtime
            info.uid, info.gid = user
            if stat.S_ISDIR(facts.st_mode):
                info.type = tarfile.DIRTYPE
            elif stat.S_ISLNK(facts.st_mode):
                info.type, info.linkname = tarfile.SYMTYPE, os.readlink(path)
            elif stat.S_ISREG(facts.st_mode):
                yield from _content(path, info, facts.st_size if size is None else size)
                return
            else:
                return
        except FileNotFoundError:
            return
        yield _header(info)


def _content(path: Path, info: tarfile.TarInfo, size: int) -> Iterator[bytes]:
    with open(path, "rb") as file:
        info.size = size
        yield _header(info)
        left = size
        while left:
            # One that becomes shorter now is filled up: the archive has said how long it is.
            data = file.read(min(left, _PIECE)) or bytes(min(left, _PIECE))
            left -= len(data)
            yield data
        yield bytes(-size % _BLOCK)


def _absolute(path: Path) -> str:
    return os.path.abspath(path).lstrip("/")


def _header(info: tarfile.TarInfo) -> bytes:
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def _whole_lines(path: Path) -> int:
    try:
        return path.read_bytes().rfind(b"\n") + 1
    except FileNotFoundError:
        return 0


@contextmanager
def archive_of(engine: Engine, container: str, path: str) -> Iterator[Iterator[bytes]]:
    """The bytes of the archive of ``path`` in a container; NotThere if there is no such thing."""
    with _asked(engine, "GET", container, path) as response:
        pieces = response.iter_content(_PIECE)
        yield pieces
        # Read to its end the connection can be used again; over ssh a new one is dear.
        for _ in pieces:
            pass


def size_of(engine: Engine, container: str, path: str) -> int:
    """The size of a file in a container."""
    with _asked(engine, "HEAD", container, path) as response:
        said = base64.b64decode(response.headers.get("X-Docker-Container-Path-Stat", ""))
    return int(json.loads(said or b"{}").get("size") or 0)


@contextmanager
def _asked(engine: Engine, method: str, container: str, path: str) -> Iterator[Any]:
    # docker-py's own get_archive gives no way to hang up.
    from docker.errors import create_api_error_from_http_exception
    from requests.exceptions import HTTPError

    api = engine.client.api
    url = f"{api.base_url}/v{api.api_version}/containers/{container}/archive"
    # Engines pack slower than networks carry, and what is large is seldom text.
    headers = {"Accept-Encoding": "identity"}
    with (
        engine.errors(f"{os.path.basename(path)} cannot be fetched from the container"),
        api.request(
            method,
            url,
            params={"path": path},
            headers=headers,
            stream=True,
            timeout=api.timeout,
        ) as response,
    ):
        try:
            response.raise_for_status()
        except HTTPError as error:
            create_api_error_from_http_exception(error)
        yield response


class Coming:
    """What an engine gives of a run's folder, taken into the folder on this side.

    ``left_behind`` collects what could not be taken: links that lead elsewhere.
    """

    def __init__(self, place: Place) -> None:
        self._place = place
        self.left_behind: list[str] = []

    def take(self, pieces: Iterable[bytes], beside: str) -> set[str]:
        """Unpack an archive whose names are below the folder ``beside``; the paths in it."""
        found = set()
        with _opened(pieces) as archive:
            for member in archive:
                path = posixpath.join(beside, posixpath.normpath(member.name))
                found.add(path)
                self._take(archive, member, path, beside)
        return found

    def _take(
        self, archive: tarfile.TarFile, member: tarfile.TarInfo, path: str, beside: str
    ) -> None:
        if member.isdir():
            self._place.make(path)
        elif member.isreg():
            write = self._place.grow if is_log(path) else self._place.receive
            file = archive.extractfile(member)
            assert file is not None
            write(path, _read(file.read, member.size), int(member.mtime * 1e9), member.mode)
        elif member.issym():
            if not self._place.link(path, member.linkname):
                self.left_behind.append(f"{path} (a link to {member.linkname})")
        elif member.islnk():
            self._place.link_hard(path, posixpath.join(beside, member.linkname))


def _read(read: Callable[[int], bytes], size: int) -> Iterator[bytes]:
    while size:
        data = read(min(size, _PIECE))
        if not data:
            raise EOFError("the archive broke off")
        size -= len(data)
        yield data


def small_files(pieces: Iterable[bytes], limit: int) -> dict[str, bytes]:
    """The files in an archive of one folder by their names, without any that is too large."""
    found = {}
    with _opened(pieces) as archive:
        for member in archive:
            if member.isreg() and member.size <= limit:
                file = archive.extractfile(member)
                assert file is not None
                found[posixpath.basename(member.name)] = file.read()
    return found


def _opened(pieces: Iterable[bytes]) -> tarfile.TarFile:
    return tarfile.open(fileobj=_Reader(pieces), mode="r|", bufsize=_PIECE)


class _Reader(io.RawIOBase):
    """Pieces of bytes as a file that is read from front to back."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = (memoryview(piece) for piece in pieces if piece)
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        parts = []
        missing = size
        while missing > 0:
            self._rest = self._rest or next(self._pieces, self._rest)
            if not self._rest:
                break
            parts.append(self._rest[:missing])
            self._rest = self._rest[missing:]
            missing -= len(parts[-1])
        return b"".join(parts)


class Events:
    """The events of a run as they come from the job, each added to the run's own once."""

    def __init__(self, folder: Path) -> None:
        self._path = str(folder / layout.EVENTS)
        self.known = self._last()

    def _last(self) -> int | None:
        """How far the job's own file has been taken: each line that came says where it ended."""
        known, _ = events.read(os.path.dirname(self._path))
        places = [event["at"] for event in known if isinstance(event.get("at"), int)]
        return max(places, default=None)

    def take(self, lines: bytes, end: int) -> None:
        """Add whole lines that end at the offset ``end`` of the job's file."""
        at = end - len(lines)
        for line in lines.splitlines(keepends=True):
            at += len(line)
            if self.known is not None and at <= self.known:
                continue
            for event in events.parse(line):
                text = json.dumps({**event, "at": at}, separators=(",", ":")) + "\n"
                events.append_line(self._path, text.encode())
            self.known = at

    def take_archive(self, pieces: Iterable[bytes], start: int) -> None:
        """Add what is in the job's file, as an archive, from the offset ``start`` on."""
        with _opened(pieces) as archive:
            for member in archive:
                file = archive.extractfile(member) if member.isreg() else None
                at = 0
                for line in file or ():
                    at += len(line)
                    if at > start and line.endswith(b"\n"):
                        self.take(line, at)
