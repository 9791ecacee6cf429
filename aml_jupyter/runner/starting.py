"""What starting a run takes that is done beside the runner's loop."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable

from ..backends import Backend, Handle, Job
from ..environments import cache, lock
from ..errors import AmlError
from ..job import layout


class Submitting(threading.Thread):
    """Asks a backend to start a job."""

    def __init__(self, backend: Backend, job: Job) -> None:
        super().__init__(daemon=True)
        self._backend = backend
        self._job = job
        self.handle: Handle | None = None
        self.error: BaseException | None = None
        self.finished = False

    def run(self) -> None:
        """Ask; afterwards there is a ``handle`` or an ``error``, and ``finished`` is true."""
        try:
            self.handle = self._backend.submit(self._backend.plan(self._job))
        except Exception as error:  # noqa: BLE001 - a thread ends here, and must say how
            self.error = error
        self.finished = True


class Beside(threading.Thread):
    """Does what may take its time, and whose trouble is only told; ``result`` comes with the end.

    ``result`` is None where it failed.
    """

    def __init__(self, work: Callable[[], object]) -> None:
        super().__init__(daemon=True)
        self._work = work
        self.result: object = None
        self.finished = False
        self.start()

    def run(self) -> None:
        """Do it."""
        try:
            self.result = self._work()
        except Exception:  # noqa: BLE001 - a thread ends here, and must say how
            traceback.print_exc()
        self.finished = True


def note_environment(job: Job, built: cache.Built | None) -> None:
    """Write down which versions a job runs with: those built for it, or what its Python has."""
    facts, interpreter = job.request.environment, job.spec.interpreter
    python, kind = str(facts.get("python")), str(facts.get("kind"))
    try:
        if built is not None:
            python, kind, image = built.python, built.kind, built.image
            lock.write(job.folder, built.packages, python=python, kind=kind, image=image)
        elif job.spec.image is None and job.spec.script is not None:
            lock.write(job.folder, lock.installed(interpreter), python=python, kind=kind)
    except (AmlError, OSError) as error:  # the run is worth more than a list of its packages
        print(f"{job.request.id}: {layout.ENVIRONMENT_LOCK}: {error}", flush=True)
