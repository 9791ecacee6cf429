"""The extension of the Jupyter server: its options, and the routes that it adds."""

from __future__ import annotations

import traitlets
from jupyter_server.extension.application import ExtensionApp

from . import comparing, hello, sources, submitting
from .places import Places


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

    def initialize_settings(self) -> None:
        """Make what all handlers share."""
        assert self.serverapp is not None
        self.settings["aml_places"] = Places(self.serverapp.root_dir)
        self.settings["aml_read_only"] = self.read_only

    def initialize_handlers(self) -> None:
        """Add the routes of every module that has some."""
        self.handlers.extend(
            [*hello.ROUTES, *comparing.ROUTES, *sources.ROUTES, *submitting.ROUTES]
        )
