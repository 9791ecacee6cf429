"""Credentials in addresses: masked for people, cut out of what is kept."""

from __future__ import annotations

import re
from collections.abc import Mapping

# A user alone is a secret only where a token can stand in its place; `${TOKEN}` is none, since
# pip and uv put the variable's value there when they need it.
_PASSWORD = re.compile(r"(://[^\s/@:]*:)(?!\$\{\w+\}@)[^\s/@]+@")
_TOKEN = re.compile(r"(https?://)(?!\$\{\w+\}@)[^\s/@:]+@")
# What Anaconda's servers take as a password stands in the path.
_CHANNEL_TOKEN = re.compile(r"(://[^\s/]+)/t/[^\s/]+")
_USER = re.compile(r"((?:\w+::)?([\w+.-]+)://)([^/]*)@(.*)", re.DOTALL)


def masked_credentials(text: str) -> str:
    """``text`` with ``***`` for every password and token in the addresses in it."""
    for secret, shown in (
        (_PASSWORD, r"\1***@"),
        (_TOKEN, r"\1***@"),
        (_CHANNEL_TOKEN, r"\1/t/***"),
    ):
        text = secret.sub(shown, text)
    return text


def masked_inside(content: object) -> object:
    """Plain data with :func:`masked_credentials` for every text at any depth."""
    if isinstance(content, str):
        return masked_credentials(content)
    if isinstance(content, Mapping):
        return {key: masked_inside(value) for key, value in content.items()}
    return [masked_inside(item) for item in content] if isinstance(content, list) else content


def without_credentials(url: str) -> str:
    """The address without user and password; over ssh the user is part of it and stays."""
    found = _USER.match(url)
    if not found:
        return url
    start, scheme, who, rest = found.groups()
    user = who.split(":")[0]
    return f"{start}{user}@{rest}" if "ssh" in scheme and user else f"{start}{rest}"


def without_channel_token(url: str) -> str:
    """The address of a conda channel without the token in its path."""
    return _CHANNEL_TOKEN.sub(r"\1", url)
