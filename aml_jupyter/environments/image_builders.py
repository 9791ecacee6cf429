"""How an image is built: by BuildKit through a docker command, else by the engine's own builder."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..engine import BuildCommand, Engine, EngineError
from ..engine.errors import hint_for
from .making import BuildError, Site

_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY")
_TAIL_LINES = 30
_BUILDKIT = re.compile(r"#(\d+) (?:\d+\.\d+ )?(.*)")
_BUILDKIT_STEP = re.compile(r"\[(?:\S+ )?(\d+)/(\d+)\] (.*)")
_CLASSIC_STEP = re.compile(r"(?:Step|STEP) (\d+)/(\d+) ?: (.*)")
_TOLD_OF_UV = re.compile(
    r"\s*(Resolved|Prepared|Installed|Downloading|Downloaded|Building|Built) \S"
)
_NO_ROOM = "no space left on device"
_GONE = ("code = Unavailable", "error during connect", "Cannot connect to the Docker daemon")


@dataclass(frozen=True)
class Order:
    """An image to be built: from a folder and a Dockerfile, which may lie elsewhere.

    ``secrets`` are files; only BuildKit can be given them.
    """

    tag: str
    folder: Path
    dockerfile: Path
    labels: Mapping[str, str] = field(default_factory=dict)
    arguments: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, Path] = field(default_factory=dict)
    platform: str = ""
    about: str = ""
    """What its steps do, in words for people; without, they speak for themselves."""


class BuildFailed(Exception):
    """A step that failed: its text in the Dockerfile's words, if it is known, and what it said."""

    def __init__(self, step: str, said: str) -> None:
        super().__init__(said)
        self.step = step
        self.said = said


@dataclass
class _Step:
    text: str = ""
    said: list[str] = field(default_factory=list)


class Narrator:
    """Listens to a builder: tells how far it is, and remembers what each step said."""

    def __init__(self, site: Site, about: str = "") -> None:
        self._site = site
        self._about = about
        self._steps: dict[str, _Step] = {}
        self._now = ""
        self._failed: str | None = None
        self._number, self._total = 0, 0

    def hear(self, line: str) -> None:
        """Take in one line of a builder's plain output."""
        of_buildkit = _BUILDKIT.match(line)
        if of_buildkit:
            self._now, line = of_buildkit[1], of_buildkit[2]
        step = (_BUILDKIT_STEP if of_buildkit else _CLASSIC_STEP).match(line)
        if step:
            self._begin(int(step[1]), int(step[2]), step[3], bool(of_buildkit))
        elif of_buildkit and line.startswith("ERROR"):
            self._failed = self._now
            self._step().said.append(line)
        elif self._failed is None and not line.startswith("sha256:"):
            self._step().said.append(line)
            if _TOLD_OF_UV.match(line):
                self._site.progress(max(self._number - 1, 0), self._total, line.strip())

    def said(self) -> list[str]:
        """What the steps said, one step after the other."""
        return [line for step in self._steps.values() for line in step.said]

    def failure(self, words: str = "") -> BuildFailed:
        """What went wrong, by what was heard; ``words`` are the builder's last."""
        step = self._steps.get(self._now if self._failed is None else self._failed, _Step())
        said = [*step.said, *words.splitlines()][-_TAIL_LINES:]
        return BuildFailed(step.text, "\n".join(said).strip())

    def _begin(self, number: int, total: int, text: str, of_buildkit: bool) -> None:
        if not of_buildkit:
            self._now = str(number)
        self._step().text = text
        self._number, self._total = number, total
        self._site.progress(number - 1, total, self._about or text)

    def _step(self) -> _Step:
        return self._steps.setdefault(self._now, _Step())


def build(order: Order, engine: Engine, site: Site, command: BuildCommand | None) -> list[str]:
    """Build the image, and what its steps said: nothing of those that the builder remembers.

    Its tag is there afterwards. BuildFailed when a step fails.

    Whatever ends this process ends the build: the command with it, or the connection.
    """
    narrator = Narrator(site, order.about)
    try:
        if command is not None:
            _by_buildkit(order, site, command, narrator)
        else:
            _by_engine(order, engine, site, narrator)
        return narrator.said()
    except BuildFailed as error:
        if any(words in error.said for words in _GONE) or not engine.is_alive():
            raise BuildError(
                f"The container engine at {engine.address.url} went away during the build.",
                "Start it again and submit the run once more; finished steps are kept.",
                said=error.said,
            ) from error
        if _NO_ROOM in error.said.lower():
            raise BuildError(
                "No room left on the disk where the container engine keeps its images.",
                hint_for(_NO_ROOM),
                said=error.said,
            ) from error
        raise


def proxies(site: Site) -> dict[str, str]:
    """The proxies of who submits, as the build arguments that every builder knows by itself."""
    names = [name for proxy in _PROXIES for name in (proxy, proxy.lower())]
    return {name: site.variables[name] for name in names if site.variables.get(name)}


def _by_buildkit(order: Order, site: Site, command: BuildCommand, narrator: Narrator) -> None:
    words = [*command.words, "--progress=plain", "--tag", order.tag]
    words += ["--file", os.fspath(order.dockerfile)]
    network = site.options.get("build_network")
    words += ["--network", str(network)] if network else []
    words += ["--platform", order.platform] if order.platform else []
    words += _pairs("--label", order.labels)
    # The values may hold passwords; the command takes them from its variables, unless it has
    # others of that name for itself.
    own = {**site.variables, **command.variables}
    hidden = {name: text for name, text in order.arguments.items() if name not in own}
    shown = {name: text for name, text in order.arguments.items() if name in own}
    words += _pairs("--build-arg", shown)
    names = [*hidden, *(name for name in proxies(site) if name not in shown)]
    words += [word for name in names for word in ("--build-arg", name)]
    for name, path in order.secrets.items():
        words += ["--secret", f"id={name},src={path}"]
    try:
        variables = {**hidden, **command.variables}
        site.run([*words, os.fspath(order.folder)], variables, on_line=narrator.hear)
    except BuildError as error:
        failure = narrator.failure()
        raise (failure if failure.said else BuildFailed("", error.said)) from error


def _pairs(option: str, values: Mapping[str, str]) -> list[str]:
    return [word for name, text in values.items() for word in (option, f"{name}={text}")]


def _by_engine(order: Order, engine: Engine, site: Site, narrator: Narrator) -> None:
    try:
        with (
            engine.errors("The image could not be built"),
            _asked_of(engine, order, site) as parts,
        ):
            for line in _lines(parts):
                site.say(line)
                narrator.hear(line)
    except _Refused as error:
        site.say(str(error))
        raise narrator.failure(str(error)) from error
    except EngineError as error:
        raise narrator.failure(error.message) from error


@contextmanager
def _asked_of(engine: Engine, order: Order, site: Site) -> Iterator[Iterator[Mapping[str, object]]]:
    from docker.utils.build import tar

    network = site.options.get("build_network")
    # docker-py's own way with a Dockerfile from elsewhere is not understood by Podman.
    name = f".Dockerfile.{os.urandom(8).hex()}"
    text = order.dockerfile.read_text("utf-8")
    made: Any = tar(order.folder, _ignored(order.folder), (name, text))
    with closing(made) as context:
        yield iter(
            engine.client.api.build(
                fileobj=context,
                custom_context=True,
                dockerfile=name,
                tag=order.tag,
                labels=dict(order.labels),
                buildargs={**proxies(site), **order.arguments},
                network_mode=str(network) if network else None,
                platform=order.platform or None,
                rm=True,
                forcerm=True,
                decode=True,
            )
        )


def _ignored(folder: Path) -> list[str]:
    """The patterns in a folder's .dockerignore; BuildKit reads it by itself."""
    try:
        lines = (folder / ".dockerignore").read_text("utf-8").splitlines()
    except FileNotFoundError:
        return []
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


class _Refused(Exception):
    """What the engine's builder says when a step fails."""


def _lines(parts: Iterator[Mapping[str, object]]) -> Iterator[str]:
    """The engine's messages as lines of text; without the growing bars of a pull."""
    rest, refused = "", ""
    # To the end in any case, since that closes the connection.
    for part in parts:
        refused = refused or str(part.get("error") or "")
        text = str(part.get("stream") or "")
        if part.get("status") and not part.get("progress"):
            text = f"{part.get('id', '')} {part['status']}".strip() + "\n"
        *whole, rest = (rest + text).split("\n")
        yield from filter(None, (line.rpartition("\r")[2] for line in whole))
    if rest:
        yield rest
    if refused:
        raise _Refused(refused)
