"""Authorizers as an administrator may have them, for servers of tests."""

from __future__ import annotations

from jupyter_server.auth import Authorizer, User
from jupyter_server.base.handlers import JupyterHandler


class NoWriting(Authorizer):
    """Runs may be looked at only."""

    def is_authorized(
        self, handler: JupyterHandler, user: User, action: str, resource: str
    ) -> bool:
        return resource != "aml" or action == "read"


class Nothing(Authorizer):
    """Runs are not for this user."""

    def is_authorized(
        self, handler: JupyterHandler, user: User, action: str, resource: str
    ) -> bool:
        return resource != "aml"
