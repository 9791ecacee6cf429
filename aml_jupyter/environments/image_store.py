"""The images that an engine has: looked at, read, sized and removed."""

from __future__ import annotations

import contextlib
import io
import os
import tarfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ..engine import Engine, EngineError, ImageMissing, connect, find_address

KEY_LABEL = "aml.environment"
"""On every image made here: the key of the recipe that it was made for."""

BASE_LABEL = "aml.base"
"""The id of the image that packages were put on."""

MADE, BASE, TOOLS = "aml-env", "aml-base", ("aml-uv", "aml-ca")
"""What images are called that are made here: environments, nameless bases, and what builds need."""


@dataclass(frozen=True)
class Image:
    """An image that an engine has, under the name that it was asked for, and what is known."""

    name: str
    attrs: Mapping[str, Any]

    @property
    def id(self) -> str:
        """What it is, whatever its names are: ``sha256:…``."""
        return str(self.attrs["Id"])

    @property
    def size(self) -> int:
        """Its bytes, with those of the images below."""
        return int(self.attrs.get("Size") or 0)

    @property
    def user(self) -> str:
        """Who its processes are, if they are not root."""
        return str((self.attrs.get("Config") or {}).get("User") or "")

    @property
    def labels(self) -> Mapping[str, str]:
        """Its labels."""
        return (self.attrs.get("Config") or {}).get("Labels") or {}

    @property
    def tag(self) -> str:
        """One of its names; empty for an image that lost them."""
        return next(iter(self.attrs.get("RepoTags") or ()), "")

    @property
    def digest(self) -> str:
        """The name that it has in a registry for ever; empty for one that never was in any."""
        return next(iter(self.attrs.get("RepoDigests") or ()), "")


class _HasImage(Protocol):
    @property
    def image(self) -> str | None: ...


def problems(
    built: _HasImage,
    seen: Mapping[str, Mapping[str, Any]],
    options: Mapping[str, object],
    variables: Mapping[str, str] | None = None,
) -> list[str]:
    """What speaks against an image that was built, by what the engine has now.

    ``seen`` is what each engine had when it was built, by the engine's address: the id of the
    ``image``, and those of its ``bases`` by name. A base that is gone since is no matter. When no
    engine answers the image counts as gone: a build begun then says why.
    """
    gone = [f"the engine does not have its image {built.image}"]
    try:
        engine, found = _of(built, options, variables)
        if found is None:
            return gone
        then = seen.get(engine.address.url)
        if then is None:
            return [f"it was not made for the engine at {engine.address.url} yet"]
        if found.id != then["image"]:
            return [f"{built.image} is another image now"]
        now = {name: inspect(engine, name) for name in then["bases"]}
    except EngineError:
        return gone
    moved = [name for name, base in now.items() if base and base.id != then["bases"][name]]
    return [f"its base image {name} is another one now" for name in moved]


def size(
    built: _HasImage, options: Mapping[str, object], variables: Mapping[str, str] | None = None
) -> int:
    """The bytes that an image made here takes beyond its base; 0 for one that is gone or given."""
    engine, found = _of(built, options, variables)
    if found is None or KEY_LABEL not in found.labels:
        return 0
    base = inspect(engine, found.labels.get(BASE_LABEL, ""))
    return max(found.size - (base.size if base else 0), 0)


def remove(
    built: _HasImage,
    options: Mapping[str, object],
    variables: Mapping[str, str] | None = None,
    *,
    seen: Mapping[str, Mapping[str, Any]] | None = None,
    others: Sequence[Mapping[str, Mapping[str, Any]]] = (),
) -> bool:
    """Remove an image that was made here; one that was given stays. Whether it was removed.

    Layers stay as long as another image has them. EngineError while a container needs it.
    ``seen`` is as for :func:`problems`, and ``others`` the same of other environments: what was
    made on the way to this one goes with it unless one of them has it, and our tools go with the
    last one that the engine has.
    """
    engine, found = _of(built, options, variables)
    is_ours = found is not None and KEY_LABEL in found.labels
    if found is not None and is_ours:
        with engine.errors(f"The image {found.name} could not be removed"):
            engine.client.api.remove_image(found.name)
    here = [each[engine.address.url] for each in others if engine.address.url in each]
    for name in _on_the_way(engine, (seen or {}).get(engine.address.url) or {}, here):
        forget(engine, name)
    return is_ours


def _on_the_way(
    engine: Engine, then: Mapping[str, Any], others: Sequence[Mapping[str, Any]]
) -> list[str]:
    """The names of images of ours that nothing is made with any more."""
    kept = {one for each in others for one in (each["image"], *each["bases"].values())}
    bases = then.get("bases") or {}
    names = names_for_bases({name: one for name, one in bases.items() if one not in kept})
    if not then or others:
        return names
    with engine.errors("The images cannot be listed"):
        tools = [each for tool in TOOLS for each in engine.client.api.images(name=tool)]
    return names + [tag for each in tools for tag in each.get("RepoTags") or ()]


def names_for_bases(bases: Mapping[str, str]) -> list[str]:
    """Our own names for what an image was made from; none for what others gave a name."""
    named = [name for name in bases if name.startswith(f"{MADE}:")]
    return named + [name_of_base(identity) for identity in bases.values()]


def name_of_base(identity: str) -> str:
    """What an image is called for Dockerfiles to begin from, if it has no name but its id."""
    return f"{BASE}:{identity.rpartition(':')[2][:20]}"


def forget(engine: Engine, name: str) -> None:
    """Remove a name or an image of ours; it stays where a container or another image needs it."""
    with contextlib.suppress(EngineError), engine.errors(f"{name} could not be removed"):
        engine.client.api.remove_image(name)


def inspect(engine: Engine, name: str) -> Image | None:
    """The image of that name or id; None when the engine has none."""
    if not name:
        return None
    try:
        with engine.errors(f"The image {name} cannot be looked at"):
            return Image(name, engine.client.images.get(name).attrs)
    except ImageMissing:
        return None


def read(engine: Engine, image: Image, path: str) -> str:
    """The text of a file in an image."""
    api = engine.client.api
    with engine.errors(f"{path} of the image {image.name} cannot be read"):
        container = api.create_container(image.id, ["true"], labels={KEY_LABEL: "reading"})
        try:
            parts, _ = api.get_archive(container, path)
            content = b"".join(parts)
        finally:
            api.remove_container(container, force=True)
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        file = archive.extractfile(archive.getmembers()[0])
        return file.read().decode(errors="replace") if file else ""


def image_of_file(
    engine: Engine, name: str, file: str, content: Callable[[], bytes], mode: int = 0o644
) -> str:
    """``name``, an image that holds nothing but this file, for Dockerfiles to take it from."""
    if inspect(engine, name) is None:
        data, buffer = content(), io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            entry = tarfile.TarInfo(file)
            entry.size, entry.mode = len(data), mode
            archive.addfile(entry, io.BytesIO(data))
        with engine.errors(f"{file} cannot be handed to the engine"):
            # The whole name at once: Podman heeds no tag here, and adds no registry.
            engine.client.api.import_image_from_data(
                buffer.getvalue(), repository=f"docker.io/library/{name}"
            )
    return name


def _of(
    built: _HasImage, options: Mapping[str, object], variables: Mapping[str, str] | None
) -> tuple[Engine, Image | None]:
    engine = connect(find_address(options, os.environ if variables is None else variables))
    return engine, inspect(engine, built.image or "")
