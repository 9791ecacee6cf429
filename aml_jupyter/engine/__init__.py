"""Container engines: where one is, and a client that speaks with it.

::

    engine = connect(find_address(options, variables))
    with engine.errors("The container could not be made"):
        engine.client.containers.create(...)

What goes wrong is told as :class:`EngineError`, whoever noticed it.
"""

from __future__ import annotations

from .address import Address, Tls, find_address
from .client import Engine, connect, forget
from .commands import BuildCommand, BuildCommandSearch, find_build_command
from .errors import Conflict, EngineAway, EngineError, ImageMissing, NotThere, translated

__all__ = [
    "Address",
    "BuildCommand",
    "BuildCommandSearch",
    "Conflict",
    "Engine",
    "EngineAway",
    "EngineError",
    "ImageMissing",
    "NotThere",
    "Tls",
    "connect",
    "find_address",
    "find_build_command",
    "forget",
    "translated",
]
