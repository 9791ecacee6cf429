"""The extension of the Jupyter server: its options, and the routes that it adds."""

from __future__ import annotations

import gc
from concurrent.futures import ThreadPoolExecutor

import traitlets
from jupyter_server.extension.application import ExtensionApp

from . import (
    actions,
    assets,
    comparing,
    details,
    files,
    handling,
    hello,
    live,
    machines,
    runs,
    sources,
    submitting,
)
from .hub import Hubs
from .live import Sessions
from .places import Places
from .viewing import Viewer

_THREADS = 8

ROUTES = [
    *hello.ROUTES,
    *runs.ROUTES,
    *details.ROUTES,
    *comparing.ROUTES,
    *sources.ROUTES,
    *submitting.ROUTES,
    *actions.ROUTES,
    *files.ROUTES,
    *assets.ROUTES,
    *machines.ROUTES,
    *live.ROUTES,
    # The last: it takes what is left over.
    *handling.ROUTES,
]


class AmlServer(ExtensionApp):
    """Runs of the workspaces below the server's root, for JupyterLab."""

    name = "aml_jupyter"
    app_name = "aml_jupyter"
    extension_url = "/aml"
    load_other_extensions = True

    read_only = traitlets.Bool(
        False,
        help="Refuse everything that changes or starts something: runs can be looked at only.",
    ).tag(config=True)

    depth = traitlets.Int(
        4,
        min=0,
        help="How many folders below the server's root are looked through for projects. A project "
        "that lies deeper is shown once one of its runs was started on this machine.",
    ).tag(config=True)

    look_every = traitlets.Float(
        0.33,
        min=0.05,
        help="Seconds between two looks at a workspace that a page watches. Nothing is looked at "
        "while no page does, and the more there is to look at, the rarer.",
    ).tag(config=True)

    linger = traitlets.Float(
        5.0,
        min=0.0,
        help="Seconds that a workspace is looked at after the last page has turned away, so that "
        "a page that is reloaded need not begin anew.",
    ).tag(config=True)

    buffer = traitlets.Int(
        16 * 1024 * 1024,
        min=64 * 1024,
        help="Bytes that may wait to be sent to one page. A page that is slower is told of no "
        "more changes at a quarter of it, and has to connect anew when all of it is full.",
    ).tag(config=True)

    def initialize_settings(self) -> None:
        """Make what all handlers share."""
        assert self.serverapp is not None
        places = Places(self.serverapp.root_dir, self.depth)
        threads = ThreadPoolExecutor(_THREADS, "aml-server")
        self.settings.update(
            aml_places=places,
            aml_hubs=Hubs(places, self.look_every, self.linger),
            aml_viewer=Viewer(self.read_only),
            aml_sessions=Sessions(places, threads),
            aml_read_only=self.read_only,
            aml_buffer=self.buffer,
            aml_threads=threads,
        )
        self.serverapp.io_loop.add_callback(_settle)

    def initialize_handlers(self) -> None:
        """Add the routes of every module that has some."""
        self.handlers.extend(ROUTES)

    async def stop_extension(self) -> None:
        """Say goodbye to all pages, and let go of what is being done, when the server stops."""
        self.settings["aml_sessions"].end()
        self.settings["aml_hubs"].stop()
        self.settings["aml_viewer"].close()
        self.settings["aml_threads"].shutdown(wait=False, cancel_futures=True)


def _settle() -> None:
    """Let the garbage collector pass over what was loaded when the server began.

    To look through all of it, some hundred thousand objects of Jupyter's and others' modules,
    takes 100 ms, in which no page would get an answer; it stays until the server ends anyway.
    """
    gc.collect()
    gc.freeze()
