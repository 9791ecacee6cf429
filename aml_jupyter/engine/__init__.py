"""Container engines: where one is, and a client that speaks with it."""

from __future__ import annotations
