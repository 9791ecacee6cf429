"""What every backend promises, of one whose engine is far away."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from aml_jupyter.backends import Backend, Handle
from aml_jupyter.backends.docker import DockerBackend
from aml_jupyter.testing import BackendContract
from tests.services import images


class Far(BackendContract):
    """The suite for a backend whose engine, at ``host``, sees no file of this machine."""

    host = ""
    options: ClassVar[dict[str, Any]] = {}

    def make_backend(self) -> Backend:
        return DockerBackend()

    def job_defaults(self) -> dict[str, Any]:
        options = {"host": self.host, **self.options}
        return {"interpreter": "python", "image": images.BASE, "options": options}

    def log(self, backend: Backend, handle: Handle) -> bytes:
        backend.poll([handle])  # as the runner does all the time: that lets files come
        return super().log(backend, handle)

    def needs_processes(self, backend: Backend) -> None:
        pytest.skip("jobs far away are not processes of this machine")
