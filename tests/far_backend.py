"""What every backend promises, of one whose engine is far away."""

from __future__ import annotations

from typing import Any, ClassVar

from aml_jupyter.backends import Backend, Handle
from aml_jupyter.backends.docker import DockerBackend
from aml_jupyter.testing import BackendContract
from aml_jupyter.testing.backend import SLEEPS, Start
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

    def test_the_processes_of_each_job_are_told_in_order(
        self, backend: Backend, start: Start
    ) -> None:
        """None of them is a process of this machine."""
        _, handle = start(SLEEPS)
        self.is_up(backend, handle)
        assert backend.processes([handle]) == [[]]

    # The same of children; there is nothing more to tell.
    test_what_a_job_started_is_of_it_wherever_it_went = None  # type: ignore[assignment]
