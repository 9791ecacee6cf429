"""Environments as people ask for them: which there are, what is built of them, and why."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field

from ..backends import CONTAINERS
from ..environments import Built, ResolvedEnvironment, cache, resolve, why
from ..environments.curated import is_reserved
from ..environments.shelf import Shelf
from ..errors import AmlError
from ..job.run import iso
from ..spec import Environment
from ..spec.words import HIDDEN, looks_secret
from ..spec.words import shown_age as shown_age
from ..spec.words import shown_size as shown_size
from ..store import WorkspaceFolder
from .compute import LOCAL, placement
from .workspace import Workspace

READY, BUILDING, FAILED, NOT_BUILT = "ready", "building", "failed", "not built"
NO_BUILD, UNUSABLE = "needs no build", "cannot be used"
REGISTERED, CURATED, CACHED = "registered", "curated", "built"

COLUMNS = ("environment", "from", "state", "size", "used", "key")

SHORT_KEY = 8
"""The letters of a key that lists show, and that are enough to name one."""


# What is built --------------------------------------------------------------------------------


@dataclass(frozen=True)
class BuildFacts:
    """What is built of an environment for a bare process or a container, or how far that is.

    ``interpreter`` and ``image`` are what it comes to; ``error`` is why the last build failed.
    """

    key: str
    kind: str
    state: str
    interpreter: str = ""
    image: str | None = None
    python: str = ""
    packages: tuple[str, ...] = ()
    size: int = 0
    made: float | None = None
    used: float | None = None
    seconds: float | None = None
    notes: tuple[str, ...] = ()
    error: str = ""

    @classmethod
    def of_built(cls, built: Built) -> BuildFacts:
        """The facts of what stands ready."""
        return cls(
            built.key,
            built.kind,
            READY,
            built.interpreter,
            built.image,
            built.python,
            built.packages,
            built.size,
            built.made,
            built.used,
            built.seconds,
            built.notes,
        )

    def to_json(self) -> dict[str, object]:
        """All of it, with times as every command writes them."""
        times = {"made": self.made and iso(self.made), "used": self.used and iso(self.used)}
        return {**asdict(self), **times}


def build_facts(resolved: ResolvedEnvironment, built: Mapping[str, Built]) -> BuildFacts | None:
    """What is built of it; None when there is nothing to build. No engine is asked."""
    recipe = resolved.recipe
    if recipe is None:
        return None
    shelf = Shelf.of(recipe.key)
    # In this order: a builder stays for a moment after its last word.
    if recipe.key in built:
        return BuildFacts.of_built(built[recipe.key])
    if shelf.is_building:
        return BuildFacts(recipe.key, recipe.kind, BUILDING)
    failed = shelf.read("failed")
    if failed:
        return BuildFacts(recipe.key, recipe.kind, FAILED, error=str(failed.get("message") or ""))
    return BuildFacts(recipe.key, recipe.kind, NOT_BUILT)


def resolved_at(
    folder: WorkspaceFolder, environment: Environment, target: str
) -> tuple[ResolvedEnvironment, dict[str, object]]:
    """What an environment comes to on a target, and the options that its build is told."""
    place = placement(folder, target)
    is_container = place.backend == CONTAINERS
    resolved = resolve(environment, container=is_container, options=place.options)
    return resolved, {**place.options, **resolved.options}


def places_of(environment: Environment) -> Sequence[str]:
    """The targets that an environment may run on, the usual one first."""
    return (CONTAINERS,) if environment.needs_image() else (LOCAL, CONTAINERS)


def built_by_key() -> dict[str, Built]:
    """All that stands ready, by key."""
    return {built.key: built for built in cache.all_built()}


# The environments -----------------------------------------------------------------------------


@dataclass(frozen=True)
class EnvironmentFacts:
    """An environment that can be named; ``builds`` are those that exist of it.

    ``source`` says where it comes from. ``state`` is that of the build for a bare process, or
    of its image if it has one; ``error`` says why it comes to nothing here.
    """

    name: str
    version: str
    source: str
    state: str
    builds: tuple[BuildFacts, ...] = ()
    error: str = ""
    keys: tuple[str, ...] = field(default=(), repr=False)

    @property
    def size(self) -> int:
        """The bytes of all that is built of it."""
        return sum(build.size for build in self.builds)

    @property
    def used(self) -> float | None:
        """When it was used last, in seconds since the epoch."""
        return max((build.used for build in self.builds if build.used), default=None)

    def row(self) -> list[str]:
        """The cells of its line in a list; :data:`COLUMNS` names them."""
        states = ", ".join(_in_words(build) for build in self.builds) or self.state
        is_one_of_many = self.source == REGISTERED
        return [
            f"{self.name}:{self.version}" if is_one_of_many else self.name,
            self.source,
            f"{UNUSABLE}: {self.error}" if self.error else states,
            shown_size(self.size) if self.size else "",
            shown_age(self.used),
            " ".join(build.key[:SHORT_KEY] for build in self.builds),
        ]

    def to_json(self) -> dict[str, object]:
        """All of it."""
        return {
            "name": self.name,
            "version": self.version,
            "source": self.source,
            "state": self.state,
            "size": self.size,
            "used": self.used and iso(self.used),
            "builds": [build.to_json() for build in self.builds],
            "error": self.error,
        }


def _in_words(build: BuildFacts) -> str:
    return f"{build.state} ({build.kind})"


def listed(workspace: Workspace) -> list[EnvironmentFacts]:
    """Registered ones, curated ones, and what was built for runs without being either."""
    built = built_by_key()
    named = workspace.environment_registry.latest().values()
    found = [facts_of(workspace.folder, environment, built) for environment in named]
    known = {key for facts in found for key in facts.keys}
    return [*found, *_unnamed(each for key, each in built.items() if key not in known)]


def facts_of(
    folder: WorkspaceFolder, environment: Environment, built: Mapping[str, Built]
) -> EnvironmentFacts:
    """One environment, with what is built of it wherever it may run."""
    builds: list[BuildFacts] = []
    state = error = ""
    for target in places_of(environment):
        try:
            facts = build_facts(resolved_at(folder, environment, target)[0], built)
        except AmlError as problem:
            # The usual place counts; that it cannot be had at another one is no fault.
            error = error if state else problem.message
            state = state or UNUSABLE
            continue
        state = state or (NO_BUILD if facts is None else facts.state)
        builds += [facts] if facts is not None else []
    return EnvironmentFacts(
        environment.name,
        str(environment.version or ""),
        CURATED if is_reserved(environment.name) else REGISTERED,
        state,
        tuple(build for build in builds if build.state != NOT_BUILT),
        error,
        tuple(build.key for build in builds),
    )


def _unnamed(found: Iterable[Built]) -> Iterator[EnvironmentFacts]:
    for built in found:
        builds = (BuildFacts.of_built(built),)
        yield EnvironmentFacts(built.name, "", CACHED, READY, builds, keys=(built.key,))


# One environment ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Description:
    """An environment in all detail: its facts, and what it asks for."""

    facts: EnvironmentFacts
    versions: tuple[str, ...]
    labels: Mapping[str, str]
    environment: Environment

    def to_json(self) -> dict[str, object]:
        """All of it; values that look secret are hidden."""
        definition = self.environment.definition()
        definition["environmentVariables"] = dict(_variables(self.environment))
        return {
            **self.facts.to_json(),
            "versions": list(self.versions),
            "labels": dict(self.labels),
            "notes": list(self.environment.notes),
            "definition": definition,
        }

    def lines(self) -> list[tuple[str, str]]:
        """All of it for people, a name and a text each; a text may have several lines."""
        facts, environment = self.facts, self.environment
        said = [("environment", facts.name), ("version", facts.version), ("from", facts.source)]
        said += [("versions", ", ".join(self.versions))] if len(self.versions) > 1 else []
        said += [("label", f"{label} = {version}") for label, version in self.labels.items()]
        said += [("note", note) for note in environment.notes]
        said += list(_asked(environment))
        said += [("variable", f"{k}={v}") for k, v in _variables(environment)]
        said += [("state", facts.error or facts.state)] if not facts.builds else []
        for build in facts.builds:
            said += _built_lines(build)
        return [(name, text) for name, text in said if text]


def described(workspace: Workspace, environment: Environment) -> Description:
    """All that is known of an environment."""
    registry = workspace.environment_registry
    return Description(
        facts_of(workspace.folder, environment, built_by_key()),
        tuple(registry.versions(environment.name)),
        registry.labels(environment.name),
        environment,
    )


def _asked(environment: Environment) -> Iterator[tuple[str, str]]:
    python, docker = environment.python, environment.docker
    if environment.needs_image():
        yield "image", docker.base_image or ""
        yield "Dockerfile", (docker.dockerfile_text() or "").rstrip()
        yield "build context", repr(docker.build_context) if docker.build_context else ""
    if python.user_managed_dependencies:
        yield "python", python.interpreter_path
    elif python.conda_dependencies is not None:
        text = python.conda_dependencies.serialize_to_string()
        kept = [line for line in text.splitlines() if line.strip() and line[:1] != "#"]
        yield "packages", "\n".join(kept)


def _variables(environment: Environment) -> Iterator[tuple[str, str]]:
    from ..spec import process_variables

    for name, value in process_variables(environment.environment_variables).items():
        yield name, HIDDEN if looks_secret(name) else value


def _built_lines(build: BuildFacts) -> list[tuple[str, str]]:
    lines = [("state", f"{_in_words(build)} {build.key}"), ("error", build.error)]
    if build.state == READY:
        where = build.image or build.interpreter
        size = f"{len(build.packages)} packages, {shown_size(build.size)}"
        took = f"in {build.seconds:.1f} s" if build.seconds else ""
        lines += [("", where), ("", f"Python {build.python}, {size}, built {took}".rstrip(", "))]
        lines += [("", f"used {shown_age(build.used)} ago")] if build.used else []
        lines += [("", note) for note in build.notes]
    return lines


# Why it is built ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Reasons:
    """Whether an environment has to be built for a target, and the lines that say why."""

    name: str
    target: str
    key: str
    must_build: bool
    summary: str
    lines: tuple[str, ...] = ()

    def text(self) -> str:
        """All of it for people."""
        return "\n".join([self.summary, *(f"  {line}" for line in self.lines)])


def reasons_for(folder: WorkspaceFolder, environment: Environment, target: str) -> Reasons:
    """Why the next run with this environment has it built, or why not; nothing is built."""
    resolved, options = resolved_at(folder, environment, target)
    name, recipe = environment.name, resolved.recipe
    if recipe is None:
        return Reasons(name, target, "", False, f"{name} needs no build: {resolved.interpreter}.")
    facts = build_facts(resolved, built_by_key())
    assert facts is not None
    named = f"{name} ({recipe.kind} {recipe.key})"
    if facts.state == READY:
        return _of_ready(Reasons(name, target, recipe.key, False, named), facts, options)
    lines = Shelf.of(recipe.key).read("state").get("why") if facts.state == BUILDING else None
    if facts.state == BUILDING:
        said = tuple(map(str, lines or ()))
        return Reasons(name, target, recipe.key, True, f"{named} is being built now:", said)
    changed = why.reasons(name, recipe) or ["it was built before, and what was built is gone"]
    changed += [f"the last build failed: {facts.error}"] if facts.state == FAILED else []
    summary = f"{named} has to be built:"
    return Reasons(name, target, recipe.key, True, summary, tuple(changed))


def _of_ready(about: Reasons, facts: BuildFacts, options: Mapping[str, object]) -> Reasons:
    """The reasons for one that was built: none, if it is not damaged."""
    built, named = built_by_key()[about.key], about.summary
    problems = cache.quick_problems(built, options)
    if problems:
        summary = f"{named} has to be built again, it is damaged:"
        return Reasons(about.name, about.target, about.key, True, summary, tuple(problems))
    summary = f"{named} is ready, built {shown_age(facts.made)} ago because:"
    then = tuple(map(str, Shelf.of(about.key).read("state").get("why") or ()))
    if not then:
        summary = summary.removesuffix(" because:") + "."
    return Reasons(about.name, about.target, about.key, False, summary, then)
