"""Container images: one as given, one that a Dockerfile makes, and packages on top of either."""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from ..engine import (
    BuildCommand,
    BuildCommandSearch,
    Engine,
    EngineError,
    connect,
    find_address,
)
from . import dockerfile, image_context, image_faults
from .image_builders import BuildFailed, Order, build
from .image_pull import present
from .image_store import (
    BASE,
    BASE_LABEL,
    KEY_LABEL,
    MADE,
    Image,
    forget,
    image_of_file,
    inspect,
    name_of_base,
    read,
    remove,
    size,
)
from .lock import CONDA_MARK
from .making import BuildError, Made, Site
from .recipe import Recipe
from .venv import uv

__all__ = ["make", "remove", "size", "tag_of"]

ENGINE, BASES = "engine", "bases"
"""Among the facts of what was made: where the image is, and the ids of what it was made from."""

_FROM_LABEL = "aml.from"
_LIKE_LABEL = "aml.like"
_PIP_LABEL = "aml.pip"
_DEPTH_LABEL = "aml.depth"
_UV_LABEL = "aml.uv"
_MOST_LAYERS = 8
_LOCK_TOLD = re.compile(
    r".*^aml: lock\n(.*?)^aml: end of lock, (\d+) lines$", re.DOTALL | re.MULTILINE
)
_LOOK = """
import importlib.metadata as m, json, platform
found = {d.metadata["Name"]: d.version for d in reversed(list(m.distributions()))}
print(json.dumps([platform.python_version(), found]))
"""


def make(recipe: Recipe, site: Site) -> Made:
    """The recipe's image, in the engine that the site's options mean.

    An image that needs nothing more is taken as it is. Everything else is built, packages as
    one layer: on the base, or on an earlier image of ours from which little differs.
    """
    site.progress(0, 0, "looking for the base image")
    try:
        address = find_address(site.options, site.variables)
        search = BuildCommandSearch(site.variables)
        engine = connect(address)
        base = _Base(engine, recipe, site, search).found()
        if recipe.adds_packages:
            made = _Packages(engine, recipe, site, base, search).made()
        else:
            made = _as_it_is(engine, base)
        bases = _starts_of(base) if recipe.dockerfile is not None else {}
        bases |= {base.name: base.id} if base.name != made.image else {}
        facts = {**made.facts, ENGINE: address.url, BASES: bases}
        return replace(made, facts=facts)
    except EngineError as error:
        raise BuildError(error.message, error.hint) from error


def tag_of(recipe: Recipe) -> str:
    """The name of the image that is made for a recipe: ``aml-env:`` and its key."""
    return f"{MADE}:{recipe.key}"


class _Base:
    """What a recipe begins from: an image that is there or pulled, or a Dockerfile's."""

    def __init__(
        self, engine: Engine, recipe: Recipe, site: Site, search: BuildCommandSearch
    ) -> None:
        self._engine = engine
        self._search = search
        # Alone, a Dockerfile's image is the same whatever packages come on top.
        self._recipe = replace(recipe, python=None, pip=(), conda=(), channels=(), contents=())
        self._site = site

    def found(self) -> Image:
        if self._recipe.dockerfile is not None:
            return self._of_dockerfile(self._recipe.dockerfile)
        if not self._recipe.base:
            raise BuildError(
                "The environment names no image to begin from.",
                "Set env.docker.base_image, or the target's setting base_image.",
            )
        return present(self._engine, self._recipe.base, self._site, _platform(self._recipe))

    def _of_dockerfile(self, text: str) -> Image:
        """The image that the Dockerfile makes; one that was made from the same is taken."""
        tag = tag_of(self._recipe)
        arguments = {**_build_arguments(self._site), **dict(self._recipe.build_args)}
        names = dockerfile.images_used(text, arguments)
        ready = inspect(self._engine, tag)
        must_pull = self._site.options.get("pull") == "always"
        if ready is not None and not must_pull and self._is_of(ready, self._there(names)):
            return ready
        command = _build_command(self._search, self._engine, self._site)
        # BuildKit keeps to itself what it pulls, and has no password of ours to pull it with.
        pulls = command is None or must_pull or bool(self._site.secrets.get("registry"))
        starts = self._pulled(names) if pulls else self._there(names)
        if ready is not None and self._is_of(ready, starts):
            return ready
        path = self._site.scratch / "Dockerfile"
        path.write_text(self._trusting(text), encoding="utf-8")
        order = Order(
            tag,
            self._folder(),
            path,
            labels={KEY_LABEL: self._recipe.key, _FROM_LABEL: json.dumps(starts)},
            arguments=arguments,
            secrets=_build_secrets(self._site, command),
            platform=_platform(self._recipe),
        )
        try:
            build(order, self._engine, self._site, command)
        except BuildFailed as error:
            raise image_faults.of_step(error, text) from error
        return _in_place_of(ready, self._engine, tag)

    def _is_of(self, ready: Image, starts: Mapping[str, str]) -> bool:
        """Whether an image that is there was made from these; those not known then may be it."""
        before = _starts_of(ready)
        moved = [name for name, now in starts.items() if before.get(name, now) != now]
        for name in moved:
            self._site.say(f"{name} is another image than when {ready.name} was made from it.")
        if not moved:
            self._site.say(f"The engine has the Dockerfile's image {ready.name} already.")
        return not moved

    def _there(self, names: Sequence[str]) -> dict[str, str]:
        """The ids of those images that the engine has."""
        found = [inspect(self._engine, name) for name in names]
        return {image.name: image.id for image in found if image is not None}

    def _pulled(self, names: Sequence[str]) -> dict[str, str]:
        platform = _platform(self._recipe)
        found = [present(self._engine, name, self._site, platform) for name in names]
        return {image.name: image.id for image in found}

    def _trusting(self, text: str) -> str:
        """The Dockerfile; with the company's certificates where the target has them."""
        if not self._site.options.get("ca_certificates"):
            return text
        from .uv_settings import variables

        bundle = Path(variables(self._site)["SSL_CERT_FILE"]).read_bytes()
        name = f"aml-ca:{hashlib.sha256(bundle).hexdigest()[:20]}"
        return dockerfile.with_certificates(
            text, image_of_file(self._engine, name, "ca.pem", lambda: bundle)
        )

    def _folder(self) -> Path:
        given = self._site.options.get("context_folder")
        if given and not Path(str(given)).is_dir():
            raise BuildError(
                f"The build context {given} is not there any more.",
                "Restore the folder, or submit the run again from where it is now.",
            )
        if given:
            return Path(str(given))
        empty = self._site.scratch / "empty"
        empty.mkdir(exist_ok=True)
        return empty


class _Packages:
    """The packages of a recipe, put on its base."""

    def __init__(
        self,
        engine: Engine,
        recipe: Recipe,
        site: Site,
        base: Image,
        search: BuildCommandSearch,
    ) -> None:
        self._engine = engine
        self._recipe = recipe
        self._site = site
        self._base = base
        self._search = search

    def made(self) -> Made:
        tag, told = tag_of(self._recipe), ""
        ready = inspect(self._engine, tag)
        if ready is None or ready.labels.get(BASE_LABEL) != self._base.id:
            told = _lock_told(self._build(tag))
            ready = _in_place_of(ready, self._engine, tag)
        else:
            self._site.say(f"The engine has {tag} already.")
        lock = told or read(self._engine, ready, dockerfile.LOCK)
        python = re.search(r"^# python (\S+)", lock, re.MULTILINE)
        conda = re.findall(r"^# conda (\S+)", lock, re.MULTILINE)
        by_pip = [line for line in lock.splitlines() if "==" in line and line[0] != "#"]
        notes = re.findall(r"^# note (.*)$", lock, re.MULTILINE)
        return Made(
            interpreter=f"{dockerfile.ENVIRONMENT}/bin/python",
            packages=tuple(sorted([*(CONDA_MARK + line for line in conda), *by_pip])),
            python=python[1] if python else "",
            image=tag,
            facts={**_facts(self._base, ready), "notes": notes},
        )

    def _build(self, tag: str) -> list[str]:
        """Build it, and what was said."""
        parent = self._nearest()
        if parent is not None:
            self._site.say(f"Beginning from {parent.name}, from which little differs.")
        by_buildkit = self._command is not None
        context = image_context.write(self._recipe, self._site, by_buildkit=by_buildkit)
        text = self._dockerfile(parent)
        (context.folder / "Dockerfile").write_text(text, encoding="utf-8")
        order = Order(
            tag,
            context.folder,
            context.folder / "Dockerfile",
            arguments=_build_arguments(self._site),
            secrets=context.secrets,
            platform=_platform(self._recipe),
            about="installing packages into the image",
        )
        try:
            return build(order, self._engine, self._site, self._command)
        except BuildFailed as error:
            lines = context.requirements
            raise image_faults.of_packages(error, self._recipe, lines) from error

    def _dockerfile(self, parent: Image | None) -> str:
        start = parent or self._base
        by_buildkit = self._command is not None
        with_uv = self._image_of_uv()
        labels = {
            KEY_LABEL: self._recipe.key,
            BASE_LABEL: self._base.id,
            _LIKE_LABEL: self._like,
            _PIP_LABEL: json.dumps(self._recipe.pip),
            _DEPTH_LABEL: str(_depth(start.labels) + 1),
            _UV_LABEL: "" if by_buildkit else with_uv,
        }
        return dockerfile.packages(
            self._name_for_from(start),
            user=self._base.user,
            labels=labels,
            is_first=parent is None,
            uv="" if with_uv == start.labels.get(_UV_LABEL) else with_uv,
            by_buildkit=by_buildkit,
        )

    @cached_property
    def _like(self) -> str:
        """What images have in common that differ in their packages only."""
        return replace(self._recipe, pip=(), contents=()).key

    def _nearest(self) -> Image | None:
        """The image of ours that has the fewest other packages; None when none is near."""
        # What is there already would not be held against its hash.
        if self._recipe.conda or any("--hash" in line for line in self._recipe.pip):
            return None
        with self._engine.errors("The images cannot be listed"):
            filters = {"label": [f"{_LIKE_LABEL}={self._like}"]}
            made_like = list(self._engine.client.api.images(filters=filters))
        near = [(self._distance(one.get("Labels") or {}), str(one["Id"])) for one in made_like]
        for distance, identity in sorted(pair for pair in near if pair[0] is not None):
            found = inspect(self._engine, identity) if distance is not None else None
            if found and found.tag:
                return replace(found, name=found.tag)
        return None

    def _distance(self, labels: Mapping[str, Any]) -> int | None:
        """In how many lines another environment differs; None for one that does not serve."""
        wanted = self._recipe.pip
        theirs = tuple(json.loads(labels.get(_PIP_LABEL) or "[]"))
        if (
            labels.get(BASE_LABEL) != self._base.id
            or _depth(labels) >= _MOST_LAYERS
            or _options(theirs) != _options(wanted)
        ):
            return None
        lines = len(set(theirs) ^ set(wanted))
        # What is replaced still lies in the layer below, so it should not be much.
        return lines if lines <= max(4, len(wanted) // 2) else None

    def _name_for_from(self, image: Image) -> str:
        """A name that a Dockerfile can begin from: builders take an id for a registry's name."""
        if not re.fullmatch(r"(sha256:)?[0-9a-f]{8,64}", image.name):
            return image.name
        name = name_of_base(image.id)
        with self._engine.errors(f"The image {image.name} cannot be named"):
            self._engine.client.api.tag(image.id, BASE, name.partition(":")[2])
        return name

    def _image_of_uv(self) -> str:
        """An image with our own uv, handed to the engine once; empty when it is for other images.

        What uv is linked with shows only when it is started there.
        """
        import platform
        from importlib.metadata import version

        ours = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
        about = self._base.attrs
        if sys.platform != "linux" or about.get("Architecture") != ours:
            return ""
        name = f"aml-uv:{version('uv')}-{ours}"
        return image_of_file(self._engine, name, "uv", lambda: Path(uv()).read_bytes(), 0o755)

    @cached_property
    def _command(self) -> BuildCommand | None:
        return _build_command(self._search, self._engine, self._site)


def _as_it_is(engine: Engine, image: Image) -> Made:
    """An image that nothing is added to, and what its own Python has."""
    for interpreter in ("python", "python3"):
        try:
            said = _said_by(engine, image, interpreter)
            version, found = json.loads(said.decode().strip().splitlines()[-1])
        except (EngineError, ValueError, IndexError):
            continue
        packages = tuple(sorted(f"{name}=={number}" for name, number in found.items()))
        return Made(interpreter, packages, str(version), image.name, _facts(image, image))
    return Made("python", image=image.name, facts=_facts(image, image))


def _said_by(engine: Engine, image: Image, interpreter: str) -> bytes:
    """What an interpreter of the image says of itself; no container of it stays."""
    with engine.errors("The image cannot be looked into"):
        container = engine.client.containers.create(
            image.id, ["-c", _LOOK], entrypoint=interpreter, network_mode="none"
        )
        try:
            container.start()
            container.wait()
            said: bytes = container.logs(stdout=True, stderr=False)
        finally:
            container.remove(force=True)
    return said


def _starts_of(image: Image) -> dict[str, str]:
    """The ids of the images that a Dockerfile's was made from, as far as the engine had them."""
    return dict(json.loads(image.labels.get(_FROM_LABEL) or "{}"))


def _in_place_of(old: Image | None, engine: Engine, tag: str) -> Image:
    """What has the name now; the image that had it goes, which nobody would find any more."""
    made = _there(engine, tag)
    if old is not None and old.id != made.id and len(old.attrs.get("RepoTags") or ()) <= 1:
        forget(engine, old.id)
    return made


def _there(engine: Engine, name: str) -> Image:
    found = inspect(engine, name)
    if found is None:
        raise BuildError(
            f"The image {name} was made, and is gone again.",
            "Something else removes images here, such as `docker system prune`; try again.",
        )
    return found


def _lock_told(said: Sequence[str]) -> str:
    """The lock as build.sh tells it at its end; empty when it does not, or not in full."""
    found = _LOCK_TOLD.match("\n".join(said))
    return found[1] if found and found[1].count("\n") == int(found[2]) else ""


def _build_command(search: BuildCommandSearch, engine: Engine, site: Site) -> BuildCommand | None:
    command = search.result(engine)
    if command is None:
        site.say("Building without BuildKit, by the engine's own builder.")
    return command


def _build_arguments(site: Site) -> dict[str, str]:
    given = site.options.get("build_args")
    return {str(k): str(v) for k, v in given.items()} if isinstance(given, Mapping) else {}


def _build_secrets(site: Site, command: BuildCommand | None) -> dict[str, Path]:
    """The files that the target lets a Dockerfile see while it is built."""
    given = site.options.get("build_secrets")
    if not isinstance(given, Mapping) or not given:
        return {}
    if command is None:
        raise BuildError(
            f"The build has secrets ({', '.join(map(str, given))}), which only BuildKit can keep.",
            "Install Docker's buildx (Debian and Ubuntu: `apt install docker-buildx`), or take "
            "build_secrets out of the target.",
        )
    return {str(name): _secret_file(str(name), str(place), site) for name, place in given.items()}


def _secret_file(name: str, place: str, site: Site) -> Path:
    variable = place.strip("${}") if place.startswith("$") else ""
    if variable in site.variables:
        return site.private_file(f"build-secret-{name}", site.variables[variable])
    if variable or not Path(place).is_file():
        raise BuildError(
            f"The build secret {name} is not there: there is no {place}.",
            "Correct build_secrets of the target: a file, or $NAME for a variable of yours.",
        )
    return Path(place)


def _depth(labels: Mapping[str, Any]) -> int:
    return int(labels.get(_DEPTH_LABEL) or 0)


def _options(lines: Sequence[str]) -> list[str]:
    return [line for line in lines if line.startswith("-")]


def _platform(recipe: Recipe) -> str:
    return recipe.platform if "/" in recipe.platform else ""


def _facts(base: Image, image: Image) -> dict[str, object]:
    facts = {"image": image.id, "base": base.name, "base_id": base.id, "base_digest": base.digest}
    return {name: value for name, value in facts.items() if value}
