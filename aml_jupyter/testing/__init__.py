"""Contract suites: what a backend, or a disk that workspaces live on, must hold to.

For authors of plug-ins. Subclass a suite in a test file of yours, say how to make the thing, and
pytest runs every promise against it::

    from aml_jupyter.testing import BackendContract


    class TestMyCluster(BackendContract):
        def make_backend(self) -> Backend:
            return MyCluster("tcp://127.0.0.1:9000")

The jobs of the suite are real and take a few seconds in all. A backend that cannot be probed as
usable skips the suite, with its own words for what would make it usable.
These modules need pytest, which the package itself does not.
"""

from __future__ import annotations

from .backend import BackendContract
from .store import StoreContract

__all__ = ["BackendContract", "StoreContract"]
