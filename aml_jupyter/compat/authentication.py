"""v1's ways to prove who one is. Nothing here needs an account: they accept and do nothing."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NamedTuple

    class AccessToken(NamedTuple):
        """A token, and when it ends."""

        token: str
        expires_on: int
else:
    from collections import namedtuple

    AccessToken = namedtuple("AccessToken", "token expires_on")

_NO_TOKEN = "aml-jupyter-needs-no-token"
_NEVER = 253402300799  # the last second of the year 9999


class AbstractAuthentication:
    """What all ways have in common: a header and a token that nobody reads."""

    def get_authentication_header(self) -> dict[str, str]:
        """A header for requests, of the shape that v1's has."""
        return {"Authorization": f"Bearer {self.get_token().token}"}

    def get_token(self, *scopes: str, **kwargs: Any) -> AccessToken:
        """A token of the shape that v1's has."""
        return AccessToken(_NO_TOKEN, _NEVER)


class InteractiveLoginAuthentication(AbstractAuthentication):
    """v1 opened a browser to log in."""

    def __init__(
        self, force: bool = False, tenant_id: str | None = None, cloud: str | None = None
    ) -> None:
        self.tenant_id = tenant_id


class ServicePrincipalAuthentication(AbstractAuthentication):
    """v1 logged in as a program; the password is not kept."""

    def __init__(
        self,
        tenant_id: str,
        service_principal_id: str,
        service_principal_password: str,
        cloud: str = "AzureCloud",
        _enable_caching: bool = True,
    ) -> None:
        self.tenant_id = tenant_id
        self.service_principal_id = service_principal_id


class MsiAuthentication(AbstractAuthentication):
    """v1 logged in as the machine."""

    def __init__(self, cloud: str | None = None, **kwargs: Any) -> None:
        """Accept whatever v1 accepted."""


class AzureCliAuthentication(AbstractAuthentication):
    """v1 used the login of the command ``az``."""

    def __init__(self, cloud: str | None = None) -> None:
        """Accept what v1 accepted."""


class ArmTokenAuthentication(AbstractAuthentication):
    """v1 used a token that the caller had."""

    def __init__(self, arm_access_token: str, cloud: str | None = None) -> None:
        """Accept what v1 accepted."""

    def update_arm_access_token(self, new_arm_access_token: str) -> None:
        """Accept another token."""


class Audience:
    """Whom v1 asked a token for."""

    ARM = arm = "ARM"
    AZURE_ML = aml = "AML"


class TokenAuthentication(AbstractAuthentication):
    """v1 asked the caller's function for a token each time it needed one."""

    def __init__(
        self, get_token_for_audience: Callable[[str], str], cloud: str | None = None
    ) -> None:
        """Accept what v1 accepted; the function is never called."""

    @staticmethod
    def get_token_audience(audience: object) -> str:
        """The name of an audience, as the caller's function would be given it."""
        return str(audience)
