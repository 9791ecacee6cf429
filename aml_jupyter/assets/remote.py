"""Reading an address: http(s) by the standard library, everything else by fsspec.

An answer is either "as you know it" or a stream with what will tell next time whether it changed.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import NamedTuple

from aml_jupyter.errors import UserErrorException, near

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterator, Mapping

_PATIENCE = 20.0
_PACKAGES = {
    "abfs": "adlfs",
    "abfss": "adlfs",
    "adl": "adlfs",
    "az": "adlfs",
    "gs": "gcsfs",
    "gcs": "gcsfs",
    "hf": "huggingface_hub",
    "oci": "ocifs",
    "s3": "s3fs",
    "s3a": "s3fs",
    "sftp": "paramiko",
    "smb": "smbprotocol",
    "wasb": "adlfs",
    "wasbs": "adlfs",
}
_OLD_NAMES = {"wasb": "abfs", "wasbs": "abfs"}


class Unreachable(Exception):
    """Nobody answered, or the answer was no; its text says which."""


class Answer(NamedTuple):
    """What came back: the bytes, how many (0 if not said), and the marks of this state."""

    stream: Any
    size: int
    marks: Mapping[str, str]


@contextmanager
def asked(address: str, known: Mapping[str, str], known_size: int) -> Iterator[Answer | None]:
    """What ``address`` holds; None when that is still what bears the marks ``known``."""
    if protocol_of(address) in ("http", "https"):
        with _by_http(address, known, known_size) as answer:
            yield answer
    else:
        with _by_fsspec(address, known) as answer:
            yield answer


def protocol_of(address: str) -> str:
    """The part before ``://``."""
    return address.partition("://")[0].lower()


# http -----------------------------------------------------------------------------------------


@contextmanager
def _by_http(address: str, known: Mapping[str, str], known_size: int) -> Iterator[Answer | None]:
    from http.client import HTTPException
    from urllib.error import HTTPError
    from urllib.parse import quote
    from urllib.request import Request, urlopen

    headers = {"User-Agent": "aml-jupyter", "Accept-Encoding": "identity"}
    if "etag" in known:
        headers["If-None-Match"] = known["etag"]
    if "modified" in known:
        headers["If-Modified-Since"] = known["modified"]
    try:
        # Spaces and letters beyond ASCII are common in what people paste.
        request = Request(quote(address, safe=":/?#[]@!$&'()*+,;=%~"), headers=headers)
        response = urlopen(request, timeout=_PATIENCE)
    except HTTPError as error:
        error.close()
        if error.code == 304:
            yield None
            return
        raise Unreachable(f"the server said {error.code} {error.reason}") from error
    except (OSError, HTTPException, ValueError) as error:
        raise Unreachable(str(getattr(error, "reason", None) or error)) from error
    with response:
        answer = Answer(
            response, int(response.headers.get("Content-Length") or 0), _marks(response)
        )
        # A server that gives no marks is believed when the length is the same.
        same = known_size and not answer.marks and answer.size == known_size
        yield None if same else answer


def _marks(response: Any) -> dict[str, str]:
    found = {
        "etag": response.headers.get("ETag"),
        "modified": response.headers.get("Last-Modified"),
    }
    return {name: value for name, value in found.items() if value}


# Everything else ------------------------------------------------------------------------------


@contextmanager
def _by_fsspec(address: str, known: Mapping[str, str]) -> Iterator[Answer | None]:
    system, path = system_of(address)
    try:
        facts = system.info(path)
    except Exception as error:  # each protocol has errors of its own
        raise Unreachable(f"{type(error).__name__}: {error}") from error
    marks = {"info": _comparable(facts)}
    if known == marks:
        yield None
        return
    try:
        stream = system.open(path, "rb")
    except Exception as error:
        raise Unreachable(f"{type(error).__name__}: {error}") from error
    with stream:
        yield Answer(stream, int(facts.get("size") or 0), marks)


def system_of(address: str) -> tuple[Any, str]:
    """Fsspec's file system for an address, and the path in it."""
    protocol = protocol_of(address)
    try:
        import fsspec
    except ImportError:
        raise _lacks("fsspec", address) from None
    spoken = _OLD_NAMES.get(protocol, protocol) + address[len(protocol) :]
    try:
        system, path = fsspec.core.url_to_fs(spoken)
    except ImportError:
        raise _lacks(_PACKAGES.get(protocol, f"the package for {protocol}"), address) from None
    except ValueError as error:
        known = ["http", "https", *_PACKAGES, *fsspec.available_protocols()]
        raise UserErrorException(
            f"{address} begins with a protocol that nobody here speaks ({error}).",
            near(protocol, known),
        ) from error
    except Exception as error:  # an account that is missing, a malformed address
        raise UserErrorException(
            f"{address} cannot be used: {error}.",
            "Accounts and keys are taken from where the protocol's own tools look for them.",
        ) from error
    return system, str(path)


def found_below(address: str) -> list[tuple[str, str]]:
    """(name below it, address) of the files in a folder; of a glob, those that match.

    A file by itself is the one with the name ``""``.
    """
    system, path = system_of(address)
    try:
        # What other processes changed since would be hidden by what fsspec remembers.
        system.invalidate_cache()
        if "*" in path or "?" in path:
            base = path[: _first_wild(path)].rpartition("/")[0]
            names = [name for name in system.glob(path) if system.isfile(name)]
        elif system.isfile(path):
            return [("", address)]
        else:
            base = path.rstrip("/")
            names = system.find(path)
    except Exception as error:
        raise Unreachable(f"{type(error).__name__}: {error}") from error
    if not names:
        raise Unreachable("there is no such file or folder")
    start = f"{base}/" if base else ""
    return sorted((name[len(start) :], system.unstrip_protocol(name)) for name in names)


def _first_wild(path: str) -> int:
    return min(path.index(sign) for sign in "*?" if sign in path)


def _lacks(package: str, address: str) -> UserErrorException:
    import sys

    return UserErrorException(
        f"{address} needs {package}, which this Python does not have ({sys.executable}).",
        f"Install it there: {sys.executable} -m pip install {package}.",
    )


def _comparable(facts: Mapping[str, Any]) -> str:
    """What tells one state of a file from another, for whatever protocol."""
    said = {str(key).lower(): value for key, value in facts.items()}
    names = ("etag", "content_md5", "md5hash", "mtime", "lastmodified", "last_modified", "created")
    return repr([said.get("size"), *(str(said[name]) for name in names if name in said)])
