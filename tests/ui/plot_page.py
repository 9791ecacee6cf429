"""A page that shows the extension's charts without a Jupyter: its modules as they were compiled."""

from __future__ import annotations

import contextlib
import mimetypes
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

_HERE = Path(__file__).parent
_ROOT = _HERE.parent.parent
_THEMES = Path(sys.prefix) / "share" / "jupyter" / "lab" / "themes" / "@jupyterlab"
_PLACES = {
    "lib": _ROOT / "labextension" / "lib",
    "style": _ROOT / "labextension" / "style",
    "npm": _ROOT / "node_modules",
    "themes": _THEMES,
}


class _Files(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        """Send a module, a style sheet, or the page."""
        path = self._path()
        if not path.is_file():
            self.send_error(404)
            return
        body = path.read_bytes()
        self.send_response(200)
        self.send_header("Content-Type", mimetypes.guess_type(path.name)[0] or "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""

    def _path(self) -> Path:
        place, _, rest = self.path.lstrip("/").partition("/")
        if place not in _PLACES:
            return _HERE / (place or "plots.html")
        path = _PLACES[place] / rest
        # Modules that were compiled name others without an ending.
        return path if path.suffix else path.with_suffix(".js")


@contextlib.contextmanager
def plot_page() -> Iterator[str]:
    """The address of the page while a ``with`` block lasts."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Files)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()
