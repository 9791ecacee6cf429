"""A run whose environment is not there yet: who builds it, how far that is, what is said of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..backends import Job
from ..environments import cache
from ..environments.making import BuildError
from ..environments.recipe import Recipe
from ..job import layout, states

_PIECE = 1 << 18


class Preparation:
    """The environment of one run on its way; the builder's words are copied into the run's log.

    Runs that want the same environment share one builder, which outlives this process: who comes
    next joins it.
    """

    def __init__(self, job: Job, secrets: Mapping[str, object]) -> None:
        self._run_id = job.request.id
        self._log = job.folder / layout.BUILD_LOG
        self._copied = 0
        self._shown: tuple[object, ...] = ()
        self._recipe = Recipe.from_json(job.spec.recipe)
        self._options = job.spec.options
        self._variables = job.environment
        self._facts = job.request.environment
        self._secrets = secrets
        self._build = self._begun()
        self._log.write_bytes(b"")

    def _begun(self) -> cache.Build:
        notes = self._facts.get("notes")
        return cache.Build.begin(
            self._recipe,
            wanted_by=self._run_id,
            name=str(self._facts.get("name") or ""),
            notes=notes if isinstance(notes, list) else (),
            variables=self._variables,
            options=self._options,
            secrets=self._secrets,
        )

    def look(self, say: Callable[..., None]) -> cache.Built | None:
        """The environment once it is built; tells progress by ``say`` and raises a BuildError."""
        state = self._build.state()
        self._copy_log()
        if state.phase == cache.FAILED:
            self._build.leave(self._run_id)
            raise state.error or BuildError("The environment could not be built.")
        if state.phase == cache.READY:
            self._build.leave(self._run_id)
            return self._found()
        shown = (state.text, state.done, state.total)
        if state.text and shown != self._shown:
            self._shown = shown
            text, done, total = shown
            say("progress", stage=states.PREPARING, done=done, total=total, text=text)
        return None

    def _found(self) -> cache.Built | None:
        built = cache.find(
            self._recipe, self._options, self._variables, is_use=True, is_pulled=True
        )
        if built is None and self._build.is_joined:
            # Who began it has another engine, or let something else go wrong.
            self._build, self._copied = self._begun(), 0
        elif built is None:
            raise BuildError(
                "The environment was built and is damaged already.",
                "Submit the run again; if that does not help, look at the disk it is on.",
            )
        return built

    def abandon(self) -> None:
        """The run does not want it any more; the builder goes on for others only."""
        self._build.leave(self._run_id)

    def _copy_log(self) -> None:
        while piece := self._build.read_log(self._copied, _PIECE):
            with open(self._log, "ab") as log:
                log.write(piece)
            self._copied += len(piece)
