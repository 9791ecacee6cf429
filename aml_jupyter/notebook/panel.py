"""The widget around the charts of a live view: everything in it but the charts themselves.

Its browser half is `labextension/src/view`, which travels over the widget's own channel; what the
two say to each other is in `labextension/wire/run-view*.schema.json`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from ..errors import AmlError
from ..watching.session import STATE
from .subshells import HeardAnywhere

Asked = Callable[[Mapping[str, Any]], None]
"""Takes a message of the wire's type ``Asked``."""

_STATIC = Path(__file__).parent / "static"


@cache
def _asset(name: str) -> str:
    path = _STATIC / name
    if not path.is_file():
        raise AmlError(
            f"The live view is not built: there is no {path.name} in {path.parent}.",
            "In a source checkout, scripts/setup builds it.",
        )
    return path.read_text(encoding="utf-8")


class Panel(HeardAnywhere, anywidget.AnyWidget):
    """Head, tabs, log, files and facts of the runs in a live view."""

    _esm = traitlets.Unicode().tag(sync=True)
    _css = traitlets.Unicode().tag(sync=True)

    runs = traitlets.List(traitlets.Dict()).tag(sync=True)
    tabs = traitlets.List(traitlets.Unicode()).tag(sync=True)
    tab = traitlets.Unicode(STATE["tab"]).tag(sync=True)
    shown = traitlets.Bool(STATE["shown"]).tag(sync=True)
    beat = traitlets.Int(STATE["beat"]).tag(sync=True)
    hosted = traitlets.Bool(STATE["hosted"]).tag(sync=True)
    options = traitlets.Dict(dict(STATE["options"])).tag(sync=True)
    charts = traitlets.Dict(dict(STATE["charts"])).tag(sync=True)
    log = traitlets.Dict(dict(STATE["log"])).tag(sync=True)
    backs = traitlets.List(traitlets.Unicode()).tag(sync=True)

    def __init__(self, on_asked: Asked, **kwargs: Any) -> None:
        super().__init__(_esm=_asset("view.js"), _css=_asset("view.css"), **kwargs)
        self._on_asked = on_asked
        self.on_msg(self._heard)

    def tell(
        self, kind: str, content: Any = None, buffer: bytes | None = None, **more: Any
    ) -> None:
        """Send the browser a message of the wire's type ``Told``."""
        told = {"kind": kind, **more}
        if content is not None:
            told[kind] = content
        self.send(told, [buffer] if buffer is not None else None)

    def _heard(self, _: object, content: Any, buffers: object) -> None:
        if isinstance(content, dict) and isinstance(content.get("kind"), str):
            self._on_asked(content)
