"""The bytes of a run's files, whole or in part, so that nothing in them can act on the page.

Whatever a run left is a stranger's: it is sent with a policy that lets no script in it run and
gives it no origin, so that it reaches neither the page nor the server's cookies.
"""

from __future__ import annotations

import errno
import mimetypes
import os
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from email.utils import formatdate, parsedate_to_datetime
from functools import partial
from pathlib import Path

from jupyter_server.auth.decorator import authorized
from tornado.iostream import StreamClosedError
from tornado.web import authenticated

from ..errors import AmlError
from ..job import beneath
from .handling import PREFIX, Handler
from .places import Place
from .problems import NotHere

CHUNK = 256 * 1024
"""Bytes that are read and sent at a time."""

POLICY = (
    "sandbox; default-src 'none'; img-src data:; media-src data:; font-src data:; "
    "style-src 'unsafe-inline'; frame-ancestors 'self'"
)

_TYPES = mimetypes.MimeTypes(filenames=())
"""The library's own table: what a machine's says besides would differ from one to the next."""

_TEXTS = {".txt", ".log", ".out", ".err", ".py", ".r", ".jl", ".sh", ".md", ".rst", ".diff"} | {
    *(".yaml", ".yml", ".toml", ".ini", ".cfg", ".jsonl", ".tsv", ".lock", ".patch", ".sql"),
    # No page shall be able to take a run's file for its script or its style.
    *(".js", ".mjs", ".ts", ".css"),
}
_OTHERS = {
    ".ipynb": "application/json",
    ".parquet": "application/vnd.apache.parquet",
    ".svg": "image/svg+xml",
    ".webp": "image/webp",
    ".json": "application/json",
    ".gz": "application/gzip",
}
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")
_GONE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO, errno.EISDIR, errno.ENAMETOOLONG)


@dataclass(frozen=True)
class Opened:
    """A file that is open, as it was at that moment: what is added later is not sent."""

    number: int
    size: int
    modified_ns: int

    @property
    def tag(self) -> str:
        """Changes whenever the file does."""
        return f'"{self.size:x}-{self.modified_ns:x}"'

    @property
    def modified(self) -> str:
        """When it was written last, as HTTP has it."""
        return formatdate(self.modified_ns // 10**9, usegmt=True)


@dataclass(frozen=True)
class Span:
    """Bytes of a file from ``start`` up to and without ``end``."""

    start: int
    end: int


class RunFile(Handler):
    """A file of a run. Ranges and what a browser has already are respected."""

    @property
    def content_security_policy(self) -> str:
        """No script, and no origin."""
        return POLICY

    @authenticated
    @authorized
    async def get(self, key: str, run: str, path: str) -> None:
        """Send it, or the part that is asked for."""
        await self._send(key, run, path, with_body=True)

    @authenticated
    @authorized
    async def head(self, key: str, run: str, path: str) -> None:
        """Tell of it what ``get`` would."""
        await self._send(key, run, path, with_body=False)

    def compute_etag(self) -> str | None:
        """None: the file's own was set, and its bytes do not have to be read for it."""
        return None

    async def _send(self, key: str, run: str, path: str, with_body: bool) -> None:
        try:
            file = await self.in_thread(lambda: opened(self.places.get(key), run, path))
        except (AmlError, OSError) as error:
            self.fail(error)
            return
        try:
            self._describe(file, path)
            if self._is_known(file):
                self.set_status(304)
                self.finish(set_content_type=content_type(path))
                return
            span = self._span(file)
            if span is None:
                self._refuse_span(file)
                return
            self.set_header("Content-Length", span.end - span.start)
            if with_body:
                await self._stream(file, span)
            self.finish(set_content_type=content_type(path))
        except StreamClosedError:
            pass  # nobody is there any more
        finally:
            os.close(file.number)

    def _describe(self, file: Opened, path: str) -> None:
        self.set_header("Content-Type", content_type(path))
        self.set_header("ETag", file.tag)
        self.set_header("Last-Modified", file.modified)
        self.set_header("Accept-Ranges", "bytes")
        self.set_header("Cache-Control", "private, no-cache")
        self.set_header("Referrer-Policy", "no-referrer")
        if self.flag("download"):
            self.set_attachment_header(path.rpartition("/")[2])

    def _is_known(self, file: Opened) -> bool:
        """Whether the browser has it as it is."""
        tags = self.request.headers.get("If-None-Match")
        if tags is not None:
            known = [tag.strip().removeprefix("W/") for tag in tags.split(",")]
            return "*" in known or file.tag in known
        since = _moment(self.request.headers.get("If-Modified-Since"))
        return since is not None and file.modified_ns // 10**9 <= since

    def _span(self, file: Opened) -> Span | None:
        """What is to be sent; None where there is nothing of what is asked for."""
        whole = Span(0, file.size)
        asked = _RANGE.fullmatch(self.request.headers.get("Range", "").replace(" ", ""))
        # What cannot be understood, several parts among it, may be answered with all.
        if asked is None or asked.group() == "bytes=-" or not self._may_be_part(file):
            return whole
        first, last = asked.groups()
        if first and last and int(first) > int(last):
            return whole
        span = _span_of(first, last, file.size)
        if span.start >= span.end:
            return None
        self.set_status(206)
        self.set_header("Content-Range", f"bytes {span.start}-{span.end - 1}/{file.size}")
        return span

    def _may_be_part(self, file: Opened) -> bool:
        """Whether what the browser has of it is of the file as it is now."""
        condition = self.request.headers.get("If-Range")
        return condition is None or condition.strip() in (file.tag, file.modified)

    def _refuse_span(self, file: Opened) -> None:
        self.clear_header("ETag")
        self.set_header("Content-Range", f"bytes */{file.size}")
        self.set_status(416)
        self.finish({"message": f"The file ends after {file.size} bytes.", "hint": "Ask for less."})

    async def _stream(self, file: Opened, span: Span) -> None:
        """Send a piece once the one before is on its way: a slow reader costs no memory."""
        async for piece in self._pieces(file, span):
            self.write(piece)
            await self.flush()

    async def _pieces(self, file: Opened, span: Span) -> AsyncIterator[bytes]:
        at = span.start
        while at < span.end:
            count = min(CHUNK, span.end - at)
            piece = await self.in_thread(partial(os.pread, file.number, count, at))
            if not piece:
                # It was cut short. What was promised cannot be kept: the browser must hear of it.
                self.request.connection.stream.close()  # type: ignore[union-attr]
                raise StreamClosedError
            yield piece
            at += len(piece)


def opened(place: Place, run_id: str, path: str) -> Opened:
    """A plain file of a run, opened; links are followed as long as they stay in its folder."""
    folder = Path(os.path.realpath(place.run(run_id).folder))
    try:
        found = Path(os.path.realpath(folder / path))
        if found == folder or not found.is_relative_to(folder):
            raise _no_file(path)
        # By now somebody may have put a link in its place: from here on none is followed.
        below = found.relative_to(folder).as_posix()
        number = beneath.open_plain(str(folder), below, os.O_RDONLY)
    except ValueError:  # a NUL in the path
        raise _no_file(path) from None
    except OSError as error:
        if error.errno in _GONE:
            raise _no_file(path) from error
        raise
    facts = os.fstat(number)
    return Opened(number, facts.st_size, facts.st_mtime_ns)


def content_type(path: str) -> str:
    """What a file is, by its name."""
    suffix = os.path.splitext(path)[1].lower()
    if suffix in _TEXTS:
        return "text/plain; charset=utf-8"
    found = _OTHERS.get(suffix) or _TYPES.guess_type(f"a{suffix}")[0] or "application/octet-stream"
    return f"{found}; charset=utf-8" if found.startswith("text/") else found


def _no_file(path: str) -> NotHere:
    return NotHere(
        f"{path!r} is not a file of this run.", "It was removed, or leads out of its folder."
    )


def _span_of(first: str, last: str, size: int) -> Span:
    if not first:
        return Span(max(0, size - int(last)), size)
    return Span(int(first), min(size, int(last) + 1) if last else size)


def _moment(text: str | None) -> float | None:
    try:
        return parsedate_to_datetime(text).timestamp() if text else None
    except (TypeError, ValueError, OverflowError):
        return None


ROUTES = [(rf"{PREFIX}/file/([^/]+)/([^/]+)/(.+)", RunFile)]
