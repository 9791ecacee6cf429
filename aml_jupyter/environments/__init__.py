"""An Environment becomes something that runs."""

from __future__ import annotations

from .resolve import ResolvedEnvironment, resolve

__all__ = ["ResolvedEnvironment", "resolve"]
