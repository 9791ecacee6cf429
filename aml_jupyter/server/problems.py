"""Errors as a page is told of them: a status, what happened, and what to do next."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import TypedDict

from tornado.web import HTTPError

from ..errors import AmlError, UserErrorException


class NotHere(UserErrorException):
    """The address names a workspace, a run or a file that is not there, or no more."""


class Refused(HTTPError):
    """It may not be done here, whoever asks."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(403, message.replace("%", "%%"))
        self.hint = hint


class Problem(TypedDict):
    """``Problem`` of ``api.json``."""

    message: str
    hint: str


STATUS: Mapping[type[BaseException], HTTPStatus] = {
    NotHere: HTTPStatus.NOT_FOUND,
    UserErrorException: HTTPStatus.BAD_REQUEST,
    AmlError: HTTPStatus.CONFLICT,
    FileNotFoundError: HTTPStatus.NOT_FOUND,
    PermissionError: HTTPStatus.FORBIDDEN,
    OSError: HTTPStatus.SERVICE_UNAVAILABLE,
}
"""The first that fits the error, by its classes from the nearest to the furthest."""

_HINTS: Mapping[int, str] = {
    400: "Reload the page; if that does not help, page and server may have different versions.",
    403: "Log in again; if you are logged in, you may not do this on this server.",
    404: "Reload the page.",
    405: "Page and server have different versions: reload the page.",
    500: "What went wrong is in the log of the Jupyter server.",
}


def status_of(error: BaseException) -> HTTPStatus:
    """The status that an error is answered with."""
    if isinstance(error, HTTPError):
        return HTTPStatus(error.status_code)
    fitting = (STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)
    return next(fitting, HTTPStatus.INTERNAL_SERVER_ERROR)


def problem_of(error: BaseException | None, status: int = 500) -> Problem:
    """What a page is told of an error: of one that is not foreseen no more than that it was."""
    hint = _HINTS.get(status, "")
    if isinstance(error, AmlError):
        return {"message": error.message or type(error).__name__, "hint": error.hint or ""}
    if isinstance(error, OSError):
        return {"message": str(error) or type(error).__name__, "hint": hint}
    if isinstance(error, HTTPError) and error.log_message:
        said = error.log_message % (error.args or ())
        return {"message": said, "hint": error.hint if isinstance(error, Refused) else hint}
    usual = HTTPStatus(status).phrase if status in set(HTTPStatus) else f"Status {status}"
    return {"message": f"The server answered: {usual}.", "hint": hint}
