"""What a run logged that is no number, as pictures and tables beside the live charts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import ipywidgets as widgets

from ..store.series import MetricFeed
from ..watching.pictures import picture_of

_MOST = 40
_IMAGE_BYTES = 1_000_000


class PictureBox:
    """One picture for each name; drawn again only when more was logged under it."""

    def __init__(self) -> None:
        self.widget = widgets.HBox()
        self.widget.add_class("aml-pictures")
        self._shown: dict[tuple[Path, str], tuple[int, widgets.HTML]] = {}

    def update(self, sources: Sequence[tuple[Path, MetricFeed]]) -> bool:
        """Show what these runs, each with its folder, have logged by now; whether it was news."""
        wanted = [
            (folder, name, feed) for folder, feed in sources for name in list(feed.others)[:_MOST]
        ]
        news = self._drop({(folder, name) for folder, name, _ in wanted})
        for folder, name, feed in wanted:
            news |= self._draw(folder, name, feed)
        if news:
            shown = [self._shown[folder, name][1] for folder, name, _ in wanted]
            self.widget.children = shown
        return news

    def close(self) -> None:
        """Take everything away."""
        self._drop(set())
        self.widget.close()

    def _draw(self, folder: Path, name: str, feed: MetricFeed) -> bool:
        version = feed.others_version[name]
        known = self._shown.get((folder, name))
        if known is not None and known[0] == version:
            return False
        html = known[1] if known is not None else widgets.HTML()
        html.value = picture_of(name, feed.others[name], folder, _IMAGE_BYTES)
        self._shown[folder, name] = (version, html)
        return True

    def _drop(self, wanted: set[tuple[Path, str]]) -> bool:
        gone = set(self._shown) - wanted
        for key in gone:
            self._shown.pop(key)[1].close()
        return bool(gone)
