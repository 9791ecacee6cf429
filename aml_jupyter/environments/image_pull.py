"""Images that come from elsewhere: the one that is there, else the registry's."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ..engine import Engine, EngineError
from ..engine.errors import hint_for
from .image_store import KEY_LABEL, Image, inspect
from .making import BuildError, Site


def present(engine: Engine, name: str, site: Site, platform: str = "") -> Image:
    """The image of that name, pulled as the target's setting ``pull`` says.

    BuildError, in the registry's own words, when it is not there and cannot be had.
    """
    pull = site.options.get("pull") or "missing"
    found = inspect(engine, name)
    if found is not None and (pull != "always" or KEY_LABEL in found.labels):
        return found
    if pull == "never":
        raise BuildError(
            f"The engine has no image {name}, and the target's setting pull is `never`.",
            f"Get it (`docker pull {name}`, `docker load`), or set pull to `missing`.",
            line=name,
        )
    try:
        _pull(engine, name, site, platform)
    except EngineError as error:
        said = error.message.removeprefix(_FAILED)
        if found is not None:
            site.say(f"warning: {name} cannot be pulled anew ({said}); taking it as it is here.")
            return found
        message = f"The base image {name} is not there and cannot be had: {said}"
        raise BuildError(message, error.hint, line=name, said=said) from error
    found = inspect(engine, name)
    if found is None:
        raise BuildError(f"The base image {name} was pulled, and is gone again.", "Try again.")
    return found


_FAILED = "It cannot be pulled: "


def _pull(engine: Engine, name: str, site: Site, platform: str) -> None:
    site.say(f"Pulling {name}")
    site.progress(0, 0, f"pulling {name}")
    layers: dict[str, str] = {}
    is_whole = "@" in name or ":" in name.rpartition("/")[2]
    with engine.errors(_FAILED.rstrip(": ")):
        parts = engine.client.api.pull(
            name if is_whole else f"{name}:latest",
            stream=True,
            decode=True,
            platform=platform or None,
            auth_config=_credentials(name, site),
        )
        refused = ""
        # To the end in any case, since that closes the connection.
        for part in parts:
            refused = refused or str(part.get("error") or "")
            _tell(name, part, layers, site)
    if refused:
        raise EngineError(refused, hint_for(refused))


def _tell(name: str, part: Mapping[str, Any], layers: dict[str, str], site: Site) -> None:
    layer, status = str(part.get("id") or ""), str(part.get("status") or "")
    if status and not part.get("progress"):
        site.say(f"{layer} {status}".strip())
    if layer and not status.startswith("Pulling from"):
        layers[layer] = status
        done = sum(text in ("Pull complete", "Already exists") for text in layers.values())
        site.progress(done, len(layers), f"pulling {name}")


def _credentials(name: str, site: Site) -> dict[str, str] | None:
    """The registry's password that came with the environment; else docker's own are used."""
    given = site.secrets.get("registry")
    if not isinstance(given, Mapping) or not given.get("username"):
        return None
    address = re.sub(r"^https?://", "", str(given.get("address") or "")).rstrip("/")
    if address and not name.startswith(f"{address}/"):
        return None
    return {"username": str(given["username"]), "password": str(given.get("password") or "")}
