"""Images built by a real engine, by BuildKit and by the engine's own builder."""

from __future__ import annotations

import base64
import contextlib
import gzip
import hashlib
import http.server
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import tempfile
import textwrap
import threading
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import docker.errors
import pytest

from aml_jupyter.engine import Engine, connect, find_address, find_build_command, forget
from aml_jupyter.environments import cache, dockerfile, image, image_context, image_store
from aml_jupyter.environments.cache import Built
from aml_jupyter.environments.making import BuildError, Made, Site
from aml_jupyter.environments.recipe import IMAGE, Recipe
from aml_jupyter.environments.shelf import Shelf
from aml_jupyter.spec.frameworks import TORCH_FOR_CPU
from tests.services import conda_channel, images
from tests.services import docker_engine as docker_service
from tests.services import podman as podman_service
from tests.support import is_running, until

BUILDKIT, CLASSIC = "buildkit", "classic"
both = pytest.mark.parametrize("builder", [BUILDKIT, CLASSIC])
# docker-py leaves a socket open when nobody answers, as while an engine starts.
with_an_engine_that_starts = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
PASSWORD = "correct-horse-battery"


@pytest.fixture(scope="module")
def engine(docker_engine: docker_service.Engine) -> Engine:
    return connect(find_address({"host": docker_engine.host}, {}))


@pytest.fixture
def maker(engine: Engine, base_image: str, tmp_path: Path) -> Iterator[Maker]:
    """Makes images from wheels of its own; they go with the test."""
    maker = Maker(engine, base_image, tmp_path)
    yield maker
    maker.clean()


class Maker:
    """A place to build images, with an index of tiny packages that nobody else has."""

    def __init__(self, engine: Engine, base: str, folder: Path) -> None:
        self.engine = engine
        self.base = base
        self.folder = folder
        self.wheels = folder / "wheels"
        self.wheels.mkdir()
        self.mark = os.urandom(4).hex()
        self.log = ""
        self.told: list[tuple[int, int, str]] = []
        self._made: list[str] = []
        self._count = 0

    def name(self, short: str) -> str:
        """The name of a package that is only in this test."""
        return f"{short}-{self.mark}"

    def wheel(self, short: str, version: str, *needs: str) -> str:
        """Put a package into the index; its module is called ``short``. Returns its name."""
        name = self.name(short)
        known = name.replace("-", "_")
        info = f"{known}-{version}.dist-info"
        metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        metadata += "".join(f"Requires-Dist: {need}\n" for need in needs)
        files = {
            f"{short}.py": f"version = {version!r}\n",
            f"{info}/METADATA": metadata,
            f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        }
        record = "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"])
        path = self.wheels / f"{known}-{version}-py3-none-any.whl"
        with zipfile.ZipFile(path, "w") as archive:
            for file, text in {**files, f"{info}/RECORD": record}.items():
                archive.writestr(file, text)
        return name

    def recipe(self, *pip: str, **fields: Any) -> Recipe:
        """A recipe with these packages from the index, and from nowhere else."""
        lines = ("--no-index", f"--find-links {self.wheels}", *pip) if pip else ()
        given = {"base": self.base, **fields}
        if "dockerfile" in given:
            given.pop("base")
        return Recipe(IMAGE, pip=lines, **given)

    def site(
        self,
        builder: str = BUILDKIT,
        options: dict[str, object] | None = None,
        secrets: dict[str, object] | None = None,
        **variables: str,
    ) -> Site:
        """Where it is built, by that builder."""
        self._count += 1
        place = self.folder / f"site{self._count}"
        (place / "scratch").mkdir(parents=True)
        path = f"{os.environ['PATH']}:/usr/bin" if builder == BUILDKIT else str(place)
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("UV_", "PIP_"))}
        return Site(
            place / "env",
            place / "scratch",
            {**kept, "PATH": path, **variables},
            {"host": self.engine.address.url, "build_network": "host", **(options or {})},
            secrets or {},
            place / "log",
            lambda done, total, text: self.told.append((done, total, text)),
        )

    def make(self, recipe: Recipe, site: Site | None = None) -> Made:
        """Build it; what was logged is in ``log``, also when it fails."""
        site = site or self.site()
        self.told.clear()
        try:
            made = image.make(recipe, site)
            self._made += [made.image] if made.image and made.image.startswith("aml-env:") else []
        finally:
            self.log = site.log.read_text() if site.log.exists() else ""
        return made

    def built(self, recipe: Recipe, site: Site) -> Built:
        """Build it for the cache, as runs have it built; what was logged is in ``log``."""
        build = cache.Build.begin(
            recipe, wanted_by="test", options=site.options, variables=site.variables
        )
        state = until(lambda: state if (state := build.state()).is_over else None, 60)
        until(lambda: not Shelf.of(recipe.key).is_building and build.state().is_over)
        self.log = build.read_log().decode()
        assert state.built is not None, self.log
        self._made += [str(state.built.image)] if recipe.adds_packages or recipe.dockerfile else []
        return state.built

    def image(self, name: str, text: str) -> str:
        """Make an image of the base with that in ``/made``, under that name; returns the name."""
        lines = f"FROM {self.base}\nRUN echo {text} > /made\n"
        self.engine.client.images.build(fileobj=io.BytesIO(lines.encode()), tag=name, rm=True)
        self._made += [name] if name not in self._made else []
        return name

    def run(self, made: Made | Built | str, *command: str, **options: Any) -> str:
        """What a command says in a container of the image."""
        name = made if isinstance(made, str) else made.image
        said = self.engine.client.containers.run(name, list(command), remove=True, **options)
        return said.decode().strip()

    def layers(self, made: Made) -> list[str]:
        """The layers of the image, the lowest first."""
        assert made.image is not None
        return list(self.engine.client.images.get(made.image).attrs["RootFS"]["Layers"])

    def readings(self, made: Made, since: float) -> int:
        """How many containers were made since then, to read a file out of the image."""
        wanted = {"type": "container", "event": "create", "label": "aml.environment=reading"}
        identity = self.engine.client.images.get(made.image).id
        # The stream ends at `until`, so each is there by then.
        events = self.engine.client.events(
            since=int(since), until=f"{time.time():.6f}", filters=wanted, decode=True
        )
        return sum(event["Actor"]["Attributes"]["image"] == identity for event in events)

    def tells(self, made: Made, word: str) -> bool:
        """Whether the word is anywhere in the image's history, settings or own layers."""
        found = self.engine.client.images.get(made.image)
        if word in json.dumps([found.attrs, found.history()]):
            return True
        saved = self.folder / "saved.tar"
        with saved.open("wb") as file:
            file.writelines(found.save())
        base = len(self.engine.client.images.get(self.base).attrs["RootFS"]["Layers"])
        with tarfile.open(saved) as archive:
            manifest = json.load(archive.extractfile("manifest.json") or io.BytesIO())
            names = archive.getnames()
            own = manifest[0]["Layers"][base:]
            assert own
            read = {name for name in names if name.endswith("json")} | set(own)
            return any(
                word.encode() in _unzipped((archive.extractfile(name) or io.BytesIO()).read())
                for name in read
            )

    def clean(self) -> None:
        """Remove what was made, the newest first: others may lie on it."""
        for name in reversed(self._made):
            with contextlib.suppress(Exception):
                self.engine.client.images.remove(name, force=True)


# Packages -----------------------------------------------------------------------------------


@pytest.mark.service("docker")
@both
def test_packages_are_put_on_the_base_image_and_told_exactly(maker: Maker, builder: str) -> None:
    words = maker.wheel("words", "1.2")
    greet = maker.wheel("greet", "2.0", f"{words}>=1")
    recipe = maker.recipe(greet)
    made = maker.make(recipe, maker.site(builder))
    assert made.packages == (f"{greet}==2.0", f"{words}==1.2")
    assert made.image == f"aml-env:{recipe.key}"
    assert made.interpreter == "/opt/aml/env/bin/python"
    assert maker.run(made, made.interpreter, "-c", "import greet; print(greet.version)") == "2.0"
    assert maker.run(made, "python", "-c", "import words; print(words.version)") == "1.2"
    assert maker.run(made, "python", "-V") == f"Python {made.python}"
    assert "Installed 2 packages" in maker.log
    assert ("Without BuildKit" in maker.log or "without BuildKit" in maker.log) == (
        builder == CLASSIC
    )
    assert any("Installed 2 packages" in text for _, _, text in maker.told)


@pytest.mark.service("docker")
@both
def test_what_is_installed_is_told_by_the_build_and_read_from_an_image_that_is_there(
    maker: Maker, builder: str
) -> None:
    begun = time.time()
    greet = maker.wheel("greet", "1.0")
    made = maker.make(maker.recipe(greet), maker.site(builder))
    assert made.packages == (f"{greet}==1.0",)
    assert maker.readings(made, begun) == 0
    again = maker.make(maker.recipe(greet), maker.site(builder))
    assert "already" in maker.log
    assert (again.packages, again.python) == (made.packages, made.python)
    assert maker.readings(made, begun) == 1


@pytest.mark.service("docker")
def test_what_the_builder_remembers_is_read_from_the_image(maker: Maker) -> None:
    begun = time.time()
    greet = maker.wheel("greet", "1.0")
    first = maker.make(maker.recipe(greet))
    maker.engine.client.images.remove(first.image, force=True)
    made = maker.make(maker.recipe(greet))
    assert "Installed 1 package" not in maker.log
    assert (made.packages, made.python) == (first.packages, first.python)
    assert maker.readings(made, begun) == 1


@pytest.mark.service("docker")
@both
def test_a_list_of_packages_that_is_cut_short_is_read_from_the_image(
    maker: Maker, builder: str
) -> None:
    # This cat loses the last line of what it shows, but not of what it writes into files.
    lossy = r'''#!/bin/sh\ncase $1 in *.lock) exec head -n -1 "$1";; esac\nexec /bin/cat "$@"'''
    text = f"""
        FROM {maker.base}
        RUN printf '{lossy}' >/usr/local/bin/cat && chmod +x /usr/local/bin/cat
    """
    begun = time.time()
    names = [maker.wheel(short, "1.0") for short in ("ant", "bee")]
    recipe = maker.recipe(*names, dockerfile=textwrap.dedent(text))
    made = maker.make(recipe, maker.site(builder))
    assert "aml: end of lock, 3 lines" in maker.log
    assert f"{names[1]}==1.0" not in maker.log.partition("aml: lock")[2].splitlines()
    assert made.packages == tuple(f"{name}==1.0" for name in names)
    assert maker.readings(made, begun) == 1


@pytest.mark.service("docker")
@both
def test_any_user_can_use_what_root_installed(maker: Maker, builder: str) -> None:
    made = maker.make(maker.recipe(maker.wheel("greet", "1.0")), maker.site(builder))
    ask = "import greet, os; print(os.path.exists(greet.__cached__), os.getuid())"
    assert maker.run(made, "python", "-c", ask, user="4321:4321") == "True 4321"


@pytest.mark.service("docker")
def test_what_the_base_image_has_stays_in_sight(maker: Maker) -> None:
    made = maker.make(maker.recipe(maker.wheel("greet", "1.0")))
    assert maker.run(made, "python", "-c", "import greet, pip; print(greet.version)") == "1.0"
    assert not any(line.startswith("pip==") for line in made.packages)


@pytest.mark.slow
@pytest.mark.service("docker")
def test_packages_of_a_virtual_environment_in_the_image_stay_in_sight(maker: Maker) -> None:
    text = f"""
        FROM {maker.base}
        RUN python3 -m venv /venv
        RUN echo 'here = 1' > $(echo /venv/lib/python*/site-packages)/own.py
        ENV PATH=/venv/bin:$PATH
    """
    recipe = maker.recipe(maker.wheel("greet", "1.0"), dockerfile=textwrap.dedent(text))
    made = maker.make(recipe)
    assert maker.run(made, "python", "-c", "import greet, own; print(own.here)") == "1"


@pytest.mark.service("docker")
def test_an_image_that_needs_nothing_is_taken_as_it_is(maker: Maker) -> None:
    before = len(maker.engine.client.images.list(all=True))
    made = maker.make(maker.recipe())
    assert made.image == maker.base
    assert made.interpreter in ("python", "python3")
    assert any(line.startswith("pip==") for line in made.packages)
    assert made.facts["base_id"] == maker.engine.client.images.get(maker.base).id
    assert len(maker.engine.client.images.list(all=True)) == before


@pytest.mark.service("docker")
def test_a_base_image_is_found_by_its_id(maker: Maker) -> None:
    identity = maker.engine.client.images.get(maker.base).id
    recipe = maker.recipe(maker.wheel("greet", "1.0"), base=identity)
    made = maker.make(recipe)
    assert maker.run(made, "python", "-c", "import greet; print(greet.version)") == "1.0"


@pytest.mark.service("docker")
def test_the_image_keeps_its_user(maker: Maker) -> None:
    text = f"FROM {maker.base}\nRUN useradd -m -u 1234 someone\nUSER someone\n"
    recipe = maker.recipe(maker.wheel("greet", "1.0"), dockerfile=text)
    made = maker.make(recipe)
    assert maker.run(made, "python", "-c", "import greet, os; print(os.getuid())") == "1234"


@pytest.mark.service("docker")
@both
def test_wheels_and_folders_that_lines_name_are_brought_along(maker: Maker, builder: str) -> None:
    words = maker.wheel("words", "1.2")
    wheel = next(maker.wheels.iterdir())
    elsewhere = maker.folder / "else where"
    elsewhere.mkdir()
    moved = wheel.rename(elsewhere / wheel.name)
    greet = maker.wheel("greet", "1.0", words)
    maker.site(builder)
    lines = (f"{words} @ file://{str(moved).replace(' ', '%20')}", f'{greet}; python_version>"3"')
    made = maker.make(maker.recipe(*lines), maker.site(builder))
    assert made.packages == (f"{greet}==1.0", f"{words}==1.2")


@pytest.mark.service("docker")
def test_a_folder_of_wheels_in_the_settings_is_brought_along(maker: Maker) -> None:
    greet = maker.wheel("greet", "1.0")
    recipe = Recipe(IMAGE, base=maker.base, pip=("--no-index", greet))
    made = maker.make(recipe, maker.site(PIP_FIND_LINKS=str(maker.wheels)))
    assert made.packages == (f"{greet}==1.0",)


@pytest.mark.service("docker")
def test_an_editable_folder_is_refused_with_what_to_write_instead(maker: Maker) -> None:
    with pytest.raises(BuildError, match="does not have") as caught:
        maker.make(maker.recipe("-e /some/project"))
    assert caught.value.line == "-e /some/project"
    assert "without -e" in caught.value.hint


@pytest.mark.service("docker")
@both
def test_a_package_that_cannot_be_had_is_named_in_the_resolvers_words(
    maker: Maker, builder: str
) -> None:
    greet, nowhere = maker.wheel("greet", "1.0"), maker.name("nowhere")
    with pytest.raises(BuildError) as caught:
        maker.make(maker.recipe(greet, f"{nowhere}>=3"), maker.site(builder))
    assert caught.value.line == f"{nowhere}>=3"
    assert nowhere in caught.value.message
    assert nowhere in caught.value.said
    assert "no versions" in caught.value.said or "not found" in caught.value.said
    assert "refused: packages" in maker.log


@pytest.mark.service("docker")
@both
def test_an_image_without_python_is_refused_with_the_remedy(
    maker: Maker, image_without_python: str, builder: str
) -> None:
    recipe = maker.recipe(maker.wheel("greet", "1.0"), base=image_without_python)
    with pytest.raises(BuildError, match="has no Python") as caught:
        maker.make(recipe, maker.site(builder, UV_PYTHON_DOWNLOADS="never"))
    assert image_without_python in caught.value.message
    assert "UV_PYTHON_INSTALL_MIRROR" in caught.value.hint


@pytest.mark.service("docker")
def test_a_python_that_nobody_has_any_more_is_made_up_for(maker: Maker) -> None:
    recipe = maker.recipe(maker.wheel("greet", "1.0"), python="3.8.13")
    made = maker.make(recipe, maker.site(UV_PYTHON_DOWNLOADS="never"))
    assert tuple(map(int, made.python.split(".")[:2])) > (3, 8)
    assert any("3.8.13" in note for note in made.facts["notes"])  # type: ignore[attr-defined]


@pytest.mark.service("docker")
def test_a_range_of_pythons_that_the_image_does_not_meet_is_refused(maker: Maker) -> None:
    recipe = maker.recipe(maker.wheel("greet", "1.0"), python=">=3.8,<3.9")
    with pytest.raises(BuildError, match="has no Python") as caught:
        maker.make(recipe, maker.site(UV_PYTHON_DOWNLOADS="never"))
    assert caught.value.line == "python=>=3.8,<3.9"


# One package changed ------------------------------------------------------------------------


@pytest.mark.service("docker")
@both
def test_one_package_more_is_one_layer_more(maker: Maker, builder: str) -> None:
    names = [maker.wheel(short, "1.0") for short in ("ant", "bee", "cat")]
    first = maker.make(maker.recipe(*names[:2]), maker.site(builder))
    second = maker.make(maker.recipe(*names), maker.site(builder))
    assert f"Beginning from {first.image}" in maker.log
    assert second.packages == tuple(f"{name}==1.0" for name in names)
    added = len(maker.layers(second)) - len(maker.layers(first))
    # The engine's own builder has a layer for the few lines that say what to install.
    assert added == (1 if builder == BUILDKIT else 2)
    assert maker.layers(second)[: len(maker.layers(first))] == maker.layers(first)


@pytest.mark.service("docker")
@both
def test_from_an_earlier_image_comes_what_would_come_from_none(maker: Maker, builder: str) -> None:
    words = maker.wheel("words", "1.0")
    maker.wheel("words", "2.0")
    fleas = maker.wheel("fleas", "1.0")
    ant, bee = maker.wheel("ant", "1.0", fleas), maker.wheel("bee", "1.0")
    old = maker.make(maker.recipe(ant, bee, f"{words}<2"), maker.site(builder))
    assert old.packages == (f"{ant}==1.0", f"{bee}==1.0", f"{fleas}==1.0", f"{words}==1.0")
    new = maker.make(maker.recipe(bee, words), maker.site(builder))
    assert f"Beginning from {old.image}" in maker.log
    # Nothing is left of ant and what it needed, and the newest words are there again.
    assert new.packages == (f"{bee}==1.0", f"{words}==2.0")
    ask = "import importlib.util as u; print(u.find_spec('ant'), u.find_spec('fleas'))"
    assert maker.run(new, "python", "-c", ask) == "None None"


@pytest.mark.service("docker")
def test_an_image_is_not_begun_from_one_that_is_otherwise_different(maker: Maker) -> None:
    names = [maker.wheel(short, "1.0") for short in ("ant", "bee")]
    maker.make(maker.recipe(names[0]))
    others = {"python": ">=3.8"}, {"base": "", "dockerfile": f"FROM {maker.base}\nENV A=1\n"}
    for other in others:
        maker.make(maker.recipe(*names, **other))
        assert "Beginning from" not in maker.log


@pytest.mark.service("docker")
@pytest.mark.slow
def test_images_are_not_heaped_up_without_end(maker: Maker) -> None:
    names = [maker.wheel(f"one{number}", "1.0") for number in range(10)]
    heights = []
    for count in range(1, 11):
        made = maker.make(maker.recipe(*names[:count]))
        heights.append(len(maker.layers(made)))
        assert len(made.packages) == count
    lowest = len(maker.engine.client.images.get(maker.base).attrs["RootFS"]["Layers"])
    assert heights[:8] == [lowest + count for count in range(1, 9)]
    assert max(heights) == lowest + 8


@pytest.mark.service("docker")
def test_an_image_that_is_there_already_is_not_built_again(maker: Maker) -> None:
    recipe = maker.recipe(maker.wheel("greet", "1.0"))
    first = maker.make(recipe)
    again = maker.make(recipe)
    assert again == first
    assert "already" in maker.log
    assert "Installed" not in maker.log


# Dockerfiles --------------------------------------------------------------------------------


@pytest.mark.service("docker")
@both
def test_a_dockerfile_that_is_not_understood_is_told_in_the_builders_words(
    maker: Maker, builder: str
) -> None:
    with pytest.raises(BuildError, match=r"(?i)unknown instruction: FRM"):
        maker.make(maker.recipe(dockerfile="FRM x\n"), maker.site(builder))


@pytest.mark.service("docker")
@both
def test_a_dockerfile_is_built_in_its_folder_with_its_arguments(maker: Maker, builder: str) -> None:
    folder = maker.folder / "context"
    folder.mkdir()
    (folder / "data.txt").write_text(f"{maker.mark} ")
    (folder / "secret.txt").write_text("not for the image")
    (folder / ".dockerignore").write_text("secret.txt\n")
    text = f"FROM {maker.base}\nARG WHO\nCOPY . /data\nRUN echo hello $WHO > /who\n"
    recipe = maker.recipe(
        dockerfile=text, context=f"{builder}{maker.mark}", build_args=(("WHO", "world"),)
    )
    options: dict[str, object] = {"context_folder": str(folder)}
    made = maker.make(recipe, maker.site(builder, options))
    assert maker.run(made, "cat", "/data/data.txt", "/who").split() == [
        maker.mark,
        "hello",
        "world",
    ]
    assert maker.run(made, "ls", "/data") == "data.txt"


@pytest.mark.service("docker")
def test_the_value_of_a_build_argument_is_on_no_command_line(maker: Maker) -> None:
    real = find_build_command(maker.engine, maker.site().variables)
    assert real is not None
    told = maker.folder / "told"
    docker = maker.folder / "bin" / "docker"
    docker.parent.mkdir()
    docker.write_text(f'#!/bin/sh\necho "$@" >>{told}\nexec {real.words[0]} "$@"\n')
    docker.chmod(0o755)
    recipe = maker.recipe(
        dockerfile=f"FROM {maker.base}\nARG WHO\nARG HOME\nRUN echo $WHO $HOME > /who\n",
        build_args=(("WHO", f"me-{maker.mark}"), ("HOME", "/other")),
    )
    made = maker.make(recipe, maker.site(PATH=f"{docker.parent}:{os.environ['PATH']}"))
    assert maker.run(made, "cat", "/who") == f"me-{maker.mark} /other"
    assert "--build-arg WHO" in told.read_text()
    assert f"me-{maker.mark}" not in told.read_text()


@pytest.mark.service("docker")
def test_a_secret_is_seen_by_the_steps_of_a_dockerfile_and_is_nowhere_in_the_image(
    maker: Maker,
) -> None:
    (maker.folder / "key").write_text(PASSWORD[::-1])
    mount = "RUN --mount=type=secret,id="
    steps = [f"{mount}{name} rev /run/secrets/{name} >&2  # {maker.mark}" for name in "ab"]
    # Backwards, so that the log tells it in other words than those that are looked for.
    recipe = maker.recipe(dockerfile="\n".join([f"FROM {maker.base}", *steps, ""]))
    options: dict[str, object] = {"build_secrets": {"a": "$TOKEN", "b": str(maker.folder / "key")}}
    made = maker.make(recipe, maker.site(options=options, TOKEN=PASSWORD))
    assert PASSWORD[::-1] in maker.log
    assert PASSWORD in maker.log
    for word in (PASSWORD, PASSWORD[::-1]):
        assert not maker.tells(made, word)


@pytest.mark.service("docker")
def test_secrets_for_a_dockerfile_are_refused_where_they_are_not_there_or_would_stay(
    maker: Maker,
) -> None:
    recipe = maker.recipe(dockerfile=f"FROM {maker.base}\nRUN echo {maker.mark}\n")
    options: dict[str, object] = {"build_secrets": {"a": "$NOBODY_HAS_THIS"}}
    with pytest.raises(BuildError, match=r"there is no \$NOBODY_HAS_THIS") as caught:
        maker.make(recipe, maker.site(options=options))
    assert "build_secrets" in caught.value.hint
    with pytest.raises(BuildError, match="only BuildKit can keep") as caught:
        maker.make(recipe, maker.site(CLASSIC, options))
    assert "buildx" in caught.value.hint


@pytest.mark.service("docker")
@both
def test_a_step_that_fails_is_named_by_its_line(maker: Maker, builder: str) -> None:
    text = f"FROM {maker.base}\n# first\nRUN true\nRUN echo {maker.mark} && \\\n    exit 7\n"
    with pytest.raises(BuildError) as caught:
        maker.make(maker.recipe(dockerfile=text), maker.site(builder))
    assert caught.value.line == f"line 4: RUN echo {maker.mark} && \\"
    assert maker.mark in caught.value.said
    assert maker.mark in maker.log


@pytest.mark.slow
@pytest.mark.service("docker")
def test_packages_come_on_top_of_a_dockerfile_which_is_built_once(maker: Maker) -> None:
    ant, bee = maker.wheel("ant", "1.0"), maker.wheel("bee", "1.0")
    text = f"FROM {maker.base}\nRUN echo {maker.mark} > /made\n"
    maker.make(maker.recipe(ant, dockerfile=text))
    made = maker.make(maker.recipe(ant, bee, dockerfile=text))
    assert "Dockerfile's image" in maker.log
    assert maker.run(made, "cat", "/made") == maker.mark
    assert made.packages == (f"{ant}==1.0", f"{bee}==1.0")
    alone = maker.make(maker.recipe(dockerfile=text))
    assert maker.layers(made)[: len(maker.layers(alone))] == maker.layers(alone)


@pytest.mark.service("docker")
def test_a_build_context_that_is_gone_is_told(maker: Maker) -> None:
    site = maker.site(options={"context_folder": str(maker.folder / "gone")})
    with pytest.raises(BuildError, match="not there any more"):
        maker.make(maker.recipe(dockerfile=f"FROM {maker.base}\n", context=maker.mark), site)


def test_instructions_are_told_apart_as_builders_do() -> None:
    text = textwrap.dedent(
        """\
        # syntax=docker/dockerfile:1
        ARG TAG=3
        FROM python:${TAG}-slim AS one
        RUN echo a && \\
          # a comment in between
          echo b

        RUN <<EOF
        FROM nothing
        EOF
        COPY --from=one /a /b
        from one
        """
    )
    found = [(one.line, one.word) for one in dockerfile.instructions(text)]
    assert found == [(2, "ARG"), (3, "FROM"), (4, "RUN"), (8, "RUN"), (11, "COPY"), (12, "FROM")]
    assert dockerfile.place(text, "RUN echo a &&   echo b") == "line 4: RUN echo a && \\"
    assert dockerfile.images_used(text, {}) == ["python:3-slim"]
    assert dockerfile.images_used(text, {"TAG": "3.12"}) == ["python:3.12-slim"]


def test_certificates_are_trusted_in_every_stage_but_an_empty_one() -> None:
    text = "FROM a AS b\nRUN x\nFROM scratch\nCOPY --from=b /x /x\nFROM b\nRUN y"
    lines = dockerfile.with_certificates(text, "aml-ca:1").splitlines()
    copies = [number for number, line in enumerate(lines) if "aml-ca:1" in line]
    assert [lines[number - 1] for number in copies] == ["FROM a AS b", "FROM b"]
    assert "ARG SSL_CERT_FILE=/opt/aml/ca.pem" in lines


@pytest.mark.parametrize(
    ("asked", "tries"),
    [
        (None, ["no-managed-python >=3.8", "managed-python >=3.8"]),
        (">=3.9, <3.12", ["no-managed-python >=3.9,<3.12", "managed-python >=3.9,<3.12"]),
        ("3.14", ["no-managed-python 3.14", "managed-python 3.14"]),
    ],
)
def test_which_pythons_are_tried(asked: str | None, tries: list[str]) -> None:
    assert list(image_context.pythons(asked)) == tries


# Secrets, proxies, certificates -------------------------------------------------------------


class Index:
    """A package index over HTTP on loopback, and what it was asked."""

    def __init__(self, folder: Path, port: int, asked: list[tuple[str, str]]) -> None:
        self.folder, self.port, self.asked = folder, port, asked


@contextlib.contextmanager
def index(folder: Path, *, password: str = "", as_proxy: bool = False) -> Iterator[Index]:
    """An index of the wheels in ``folder``; behind a password, or as the proxy of one elsewhere."""
    asked: list[tuple[str, str]] = []
    header = "Proxy-Authorization" if as_proxy else "Authorization"
    wanted = "Basic " + base64.b64encode(f"me:{password}".encode()).decode()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append((self.path, self.headers.get(header, "")))
            if password and self.headers.get(header) != wanted:
                self._answer(407 if as_proxy else 401, b"who are you?")
                return
            path = self.path.removeprefix("http://packages.invalid").partition("?")[0]
            file = folder / path.rpartition("/")[2]
            if path.endswith(".whl") and file.is_file():
                self._answer(200, file.read_bytes())
                return
            name = path.strip("/").rpartition("/")[2].replace("-", "_")
            files = [one.name for one in sorted(folder.glob(f"{name}-*.whl"))]
            links = "".join(f'<a href="/files/{one}">{one}</a>' for one in files)
            self._answer(200 if files else 404, f"<html><body>{links}</body></html>".encode())

        do_HEAD = do_GET

        def _answer(self, status: int, content: bytes) -> None:
            self.send_response(status)
            if status == 401:
                self.send_header("WWW-Authenticate", 'Basic realm="packages"')
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    with serving(Handler) as port:
        yield Index(folder, port, asked)


@contextlib.contextmanager
def serving(handler: type[http.server.BaseHTTPRequestHandler]) -> Iterator[int]:
    """The port on loopback where requests are answered by ``handler``."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.slow
@pytest.mark.service("docker")
def test_a_password_for_the_index_is_used_and_is_nowhere_in_the_image(maker: Maker) -> None:
    greet = maker.wheel("greet", "1.0")
    with index(maker.wheels, password=PASSWORD) as server:
        url = f"http://127.0.0.1:{server.port}/simple"
        recipe = Recipe(IMAGE, base=maker.base, pip=(f"--index-url {url}", greet))
        netrc = f"machine 127.0.0.1 login me password {PASSWORD}\n"
        made = maker.make(recipe, maker.site(secrets={"netrc": netrc}))
    assert made.packages == (f"{greet}==1.0",)
    assert any(said for _, said in server.asked)
    assert maker.tells(made, greet)
    assert not maker.tells(made, PASSWORD)
    assert PASSWORD not in maker.log


@pytest.mark.slow
@pytest.mark.service("docker")
@both
def test_without_pytorchs_own_index_its_packages_come_from_the_others(
    maker: Maker, builder: str
) -> None:
    greet = maker.wheel("greet", "1.0")
    with index(maker.wheels) as server:
        lines = (f"--index-url http://127.0.0.1:{server.port}/simple", TORCH_FOR_CPU, greet)
        away = {"HTTPS_PROXY": "http://127.0.0.1:9", "UV_HTTP_RETRIES": "0"}
        made = maker.make(Recipe(IMAGE, base=maker.base, pip=lines), maker.site(builder, **away))
    assert made.packages == (f"{greet}==1.0",)
    assert "PyTorch's own index cannot be reached" in str(made.facts["notes"])


@pytest.mark.slow
@pytest.mark.service("docker")
def test_a_password_in_the_settings_of_uv_is_nowhere_in_the_image(maker: Maker) -> None:
    greet = maker.wheel("greet", "1.0")
    with index(maker.wheels, password=PASSWORD) as server:
        url = f"http://me:{PASSWORD}@127.0.0.1:{server.port}/simple"
        recipe = Recipe(IMAGE, base=maker.base, pip=(greet,))
        made = maker.make(recipe, maker.site(UV_DEFAULT_INDEX=url))
    assert made.packages == (f"{greet}==1.0",)
    assert not maker.tells(made, PASSWORD)
    assert PASSWORD not in maker.log


@pytest.mark.slow
@pytest.mark.service("docker")
def test_a_password_in_a_variable_that_the_requirements_name_is_nowhere_in_the_image(
    maker: Maker,
) -> None:
    greet = maker.wheel("greet", "1.0")
    with index(maker.wheels, password=PASSWORD) as server:
        url = f"http://me:${{INDEX_TOKEN}}@127.0.0.1:{server.port}/simple"
        recipe = Recipe(IMAGE, base=maker.base, pip=(f"--index-url {url}", greet))
        made = maker.make(recipe, maker.site(INDEX_TOKEN=PASSWORD))
        assert made.packages == (f"{greet}==1.0",)
        other = replace(recipe, pip=(f"--index-url {url}", "other"))
        with pytest.raises(BuildError, match=r"needs a password \(INDEX_TOKEN\)"):
            maker.make(other, maker.site(CLASSIC, INDEX_TOKEN=PASSWORD))
    assert not maker.tells(made, PASSWORD)
    assert PASSWORD not in maker.log


@pytest.mark.service("docker")
def test_without_buildkit_a_password_is_refused_with_the_remedy(maker: Maker) -> None:
    recipe = Recipe(IMAGE, base=maker.base, pip=("greet",))
    netrc: dict[str, object] = {"netrc": f"machine x login me password {PASSWORD}\n"}
    for site in (
        maker.site(CLASSIC, secrets=netrc),
        maker.site(CLASSIC, UV_DEFAULT_INDEX=f"https://me:{PASSWORD}@x/simple"),
    ):
        with pytest.raises(BuildError, match="needs a password") as caught:
            maker.make(recipe, site)
        assert "buildx" in caught.value.hint
        assert PASSWORD not in str(caught.value)


@pytest.mark.slow
@pytest.mark.service("docker")
@both
def test_packages_come_through_the_proxy_whose_password_is_not_in_the_image(
    maker: Maker, builder: str
) -> None:
    greet = maker.wheel("greet", "1.0")
    with index(maker.wheels, password=PASSWORD, as_proxy=True) as proxy:
        site = maker.site(
            builder,
            HTTP_PROXY=f"http://me:{PASSWORD}@127.0.0.1:{proxy.port}",
            http_proxy=f"http://me:{PASSWORD}@127.0.0.1:{proxy.port}",
            NO_PROXY="",
            no_proxy="",
        )
        lines = ("--index-url http://packages.invalid/simple", greet)
        made = maker.make(Recipe(IMAGE, base=maker.base, pip=lines), site)
    assert made.packages == (f"{greet}==1.0",)
    assert any(path.startswith("http://packages.invalid/") for path, _ in proxy.asked)
    assert not maker.tells(made, PASSWORD)
    assert PASSWORD not in maker.log


@pytest.fixture
def company(tmp_path: Path) -> Path:
    """A folder with ca.pem, and the certificate of 127.0.0.1 that it vouches for."""
    folder = tmp_path / "company"
    folder.mkdir()
    made = [
        "req -x509 -newkey rsa:2048 -nodes -days 2 -keyout ca.key -out ca.pem -subj /CN=Company"
        " -addext basicConstraints=critical,CA:TRUE",
        "req -newkey rsa:2048 -nodes -keyout server.key -out server.csr -subj /CN=127.0.0.1",
        "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -out server.pem"
        " -extfile names",
    ]
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1\n")
    for words in made:
        subprocess.run(["openssl", *words.split()], cwd=folder, check=True, capture_output=True)
    return folder


@contextlib.contextmanager
def https(folder: Path, company: Path) -> Iterator[int]:
    """The port of a server of the files below ``folder``, with the company's certificate."""
    code = (
        "import functools, http.server as h, ssl, sys\n"
        "make = functools.partial(h.SimpleHTTPRequestHandler, directory=sys.argv[1])\n"
        "server = h.ThreadingHTTPServer(('127.0.0.1', 0), make)\n"
        "context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)\n"
        "context.load_cert_chain(sys.argv[2] + '/server.pem', sys.argv[2] + '/server.key')\n"
        "server.socket = context.wrap_socket(server.socket, server_side=True)\n"
        "print(server.server_address[1], flush=True)\n"
        "server.serve_forever()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(folder), str(company)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.terminate()


@pytest.mark.service("docker")
@both
def test_a_companys_certificates_are_trusted_while_it_is_built(
    maker: Maker, company: Path, builder: str
) -> None:
    greet = maker.wheel("greet", "1.0")
    with https(maker.wheels, company) as port:
        lines = ("--no-index", f"--find-links https://127.0.0.1:{port}/", greet)
        recipe = Recipe(IMAGE, base=maker.base, pip=lines)
        with pytest.raises(BuildError) as caught:
            maker.make(recipe, maker.site(builder))
        assert "ca_certificates" in caught.value.hint
        trusting = maker.site(builder, {"ca_certificates": str(company / "ca.pem")})
        made = maker.make(recipe, trusting)
    assert made.packages == (f"{greet}==1.0",)
    assert "SSL_CERT_FILE" not in maker.run(made, "env")


@pytest.mark.slow
@pytest.mark.service("docker")
@both
def test_a_companys_certificates_are_trusted_by_the_steps_of_a_dockerfile(
    maker: Maker, company: Path, builder: str
) -> None:
    (maker.wheels / "hello").write_text("hello")
    with https(maker.wheels, company) as port:
        ask = (
            f"import urllib.request as r; print(r.urlopen('https://127.0.0.1:{port}/hello').read())"
        )
        text = f'FROM {maker.base}\nRUN python3 -c "{ask}" > /answer\n'
        recipe = maker.recipe(dockerfile=text)
        made = maker.make(recipe, maker.site(builder, {"ca_certificates": str(company / "ca.pem")}))
    assert maker.run(made, "cat", "/answer") == "b'hello'"
    assert "SSL_CERT_FILE" not in maker.run(made, "env")


# Registries ---------------------------------------------------------------------------------


_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


def box(content: bytes = b"hello") -> tuple[bytes, dict[str, bytes]]:
    """An image with one small file, as a registry keeps it: its manifest, and its parts."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        entry = tarfile.TarInfo("hello.txt")
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
    layer = buffer.getvalue()
    layers = {"type": "layers", "diff_ids": [_digest(gzip.decompress(layer))]}
    settings = {"architecture": "amd64", "os": "linux", "config": {}, "rootfs": layers}
    config = json.dumps(settings).encode()
    kinds = {
        "application/vnd.docker.container.image.v1+json": config,
        "application/vnd.docker.image.rootfs.diff.tar.gzip": layer,
    }
    about = [
        {"mediaType": kind, "size": len(content), "digest": _digest(content)}
        for kind, content in kinds.items()
    ]
    manifest = {"schemaVersion": 2, "mediaType": _MANIFEST, "config": about[0], "layers": about[1:]}
    return json.dumps(manifest).encode(), {_digest(one): one for one in kinds.values()}


@contextlib.contextmanager
def registry(password: str = "", contents: Sequence[bytes] = (b"hello",)) -> Iterator[int]:
    """The port of a registry on loopback that has ``box:1`` for those who know the password.

    Of ``contents``, the last is what is in it now.
    """
    wanted = "Basic " + base64.b64encode(f"me:{password}".encode()).decode()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            manifest, parts = box(contents[-1])
            if password and self.headers.get("Authorization") != wanted:
                self._answer(401, b"{}", "application/json")
            elif self.path == "/v2/":
                self._answer(200, b"{}", "application/json")
            elif "/manifests/" in self.path:
                self._answer(200, manifest, _MANIFEST)
            else:
                self._answer(200, parts[self.path.rpartition("/")[2]], "application/octet-stream")

        do_HEAD = do_GET

        def _answer(self, status: int, content: bytes, kind: str) -> None:
            self.send_response(status)
            if status == 401:
                self.send_header("WWW-Authenticate", 'Basic realm="registry"')
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("Docker-Content-Digest", _digest(content))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    with serving(Handler) as port:
        yield port


def _unzipped(content: bytes) -> bytes:
    return gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@pytest.mark.service("docker")
def test_a_base_image_is_pulled_with_the_password_of_its_registry(maker: Maker) -> None:
    with registry(PASSWORD) as port:
        name = f"127.0.0.1:{port}/box:1"
        recipe = Recipe(IMAGE, base=name)
        with pytest.raises(BuildError, match="cannot be had") as caught:
            maker.make(recipe)
        assert "docker login" in caught.value.hint
        assert caught.value.line == name
        login = {"address": f"127.0.0.1:{port}", "username": "me", "password": PASSWORD}
        try:
            made = maker.make(recipe, maker.site(secrets={"registry": login}))
            assert made.image == name
            assert f"Pulling {name}" in maker.log
            assert PASSWORD not in maker.log
            assert maker.engine.client.images.get(name)
        finally:
            maker.engine.client.images.remove(name, force=True)


@pytest.mark.service("docker")
def test_a_registry_that_is_out_of_reach_is_told_with_what_to_do(maker: Maker) -> None:
    with pytest.raises(BuildError, match="connection refused") as caught:
        maker.make(Recipe(IMAGE, base="127.0.0.1:9/box:1", pip=("greet",)))
    assert "base_image" in caught.value.hint
    with pytest.raises(BuildError) as caught:
        maker.make(Recipe(IMAGE, dockerfile="FROM 127.0.0.1:9/box:1\nRUN true\n"))
    assert "base_image" in caught.value.hint


@pytest.mark.service("docker")
def test_an_image_may_be_asked_never_to_be_pulled(maker: Maker) -> None:
    with pytest.raises(BuildError, match="`never`"):
        maker.make(Recipe(IMAGE, base="127.0.0.1:9/box:1"), maker.site(options={"pull": "never"}))


@pytest.mark.service("docker")
def test_an_image_that_cannot_be_pulled_anew_is_taken_as_it_is(maker: Maker) -> None:
    name = f"127.0.0.1:9/{maker.mark}:1"
    maker.engine.client.images.get(maker.base).tag(name)
    try:
        assert maker.make(Recipe(IMAGE, base=name), maker.site(options={"pull": "always"})).image
        assert "cannot be pulled anew" in maker.log
    finally:
        maker.engine.client.images.remove(name)


# Keeping images -----------------------------------------------------------------------------


@pytest.mark.service("docker")
def test_images_are_sized_and_removed(maker: Maker) -> None:
    options = {"host": maker.engine.address.url}
    recipe = maker.recipe(maker.wheel("greet", "1.0"))
    made = maker.make(recipe)
    base = maker.engine.client.images.get(maker.base)
    assert 0 < image.size(made, options) < base.attrs["Size"]
    assert image.remove(made, options)
    assert image.size(made, options) == 0
    assert not image.remove(made, options)
    assert maker.make(recipe).packages == made.packages


@pytest.mark.service("docker")
def test_an_image_that_was_given_is_never_removed(maker: Maker) -> None:
    options = {"host": maker.engine.address.url}
    made = maker.make(maker.recipe())
    assert not image.remove(made, options)
    assert maker.run(maker.base, "echo", "there") == "there"


@pytest.mark.service("docker")
@pytest.mark.parametrize(
    ("kind", "builder"),
    [
        ("as it is", BUILDKIT),
        ("packages", BUILDKIT),
        ("Dockerfile", BUILDKIT),
        ("Dockerfile", CLASSIC),
        ("packages on a Dockerfile", BUILDKIT),
    ],
)
def test_an_image_is_made_anew_when_what_it_begins_from_is_another(
    maker: Maker, kind: str, builder: str
) -> None:
    base = maker.image(f"mybase-{maker.mark}:latest", "before")
    pip = [maker.wheel("greet", "1.0")] if "packages" in kind else []
    start = {"dockerfile": f"FROM {base}\nRUN true\n"} if "Dockerfile" in kind else {"base": base}
    recipe, site = maker.recipe(*pip, **start), maker.site(builder)
    first = maker.built(recipe, site)
    assert cache.find(recipe, site.options, site.variables) is not None
    maker.image(base, "after")
    assert cache.find(recipe, site.options, site.variables) is None
    then = maker.built(recipe, site)
    assert maker.run(then, "cat", "/made") == "after"
    assert then.facts["image"] != first.facts["image"]
    assert f"{base} is another" in maker.log
    if kind != "as it is":
        with pytest.raises(docker.errors.ImageNotFound):
            maker.engine.client.images.get(first.facts["image"])
    assert cache.find(recipe, site.options, site.variables) is not None
    maker.engine.client.images.remove(base, force=True)
    if kind != "as it is":
        assert cache.find(recipe, site.options, site.variables) is not None


@pytest.mark.service("docker")
def test_an_image_that_the_engine_lost_is_not_found(maker: Maker) -> None:
    recipe, site = maker.recipe(maker.wheel("greet", "1.0")), maker.site()
    image.remove(maker.built(recipe, site), site.options)
    assert cache.find(recipe, site.options, site.variables) is None


@pytest.mark.service("docker")
def test_what_is_always_to_be_pulled_is_pulled_for_each_run(maker: Maker) -> None:
    contents = [b"before"]
    with registry(contents=contents) as port:
        recipe = Recipe(IMAGE, base=f"127.0.0.1:{port}/box:1")
        site = maker.site(options={"pull": "always"})
        try:
            first = maker.built(recipe, site)
            assert cache.find(recipe, site.options, site.variables) is None
            assert cache.find(recipe, site.options, site.variables, is_pulled=True) is not None
            contents[:] = [b"after"]
            assert maker.built(recipe, site).facts["image"] != first.facts["image"]
            assert "pull is `always`" in maker.log
        finally:
            maker.engine.client.images.remove(recipe.base, force=True)


def test_without_an_engine_no_image_is_there(tmp_path: Path) -> None:
    options = {"host": f"unix://{tmp_path}/no.sock"}
    made = Made("python", image="anything:1")
    assert image_store.problems(made, {}, options)
    site = Site(tmp_path, tmp_path, {}, options, {}, tmp_path / "log", lambda *_: None)
    with pytest.raises(BuildError, match="is not there") as caught:
        image.make(Recipe(IMAGE, base="anything:1"), site)
    assert "DOCKER_HOST" in caught.value.hint


# Faults -------------------------------------------------------------------------------------

_BUILDER = """
import json, os, sys
from pathlib import Path
from aml_jupyter.environments import image
from aml_jupyter.environments.making import Site
from aml_jupyter.environments.recipe import Recipe

order = json.loads(sys.argv[1])
place = Path(order["place"])
site = Site(place, place, dict(os.environ), order["options"], {}, place / "log", lambda *_: None)
image.make(Recipe(**order["recipe"]), site)
"""


@contextlib.contextmanager
def builder_process(maker: Maker, text: str, builder: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process of its own group that builds the Dockerfile, as the real builder is."""
    place = Path(tempfile.mkdtemp(dir=maker.folder))
    order = {
        "place": str(place),
        "options": {"host": maker.engine.address.url},
        "recipe": {"kind": IMAGE, "dockerfile": text},
    }
    site = maker.site(builder)
    process = subprocess.Popen(
        [sys.executable, "-c", _BUILDER, json.dumps(order)],
        env=dict(site.variables),
        start_new_session=True,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def processes_with(word: str) -> list[int]:
    """The processes whose command line ends in ``word``, in any container."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            words = Path(f"/proc/{name}/cmdline").read_bytes().split(b"\0")
            if words[-2:-1] == [word.encode()] and is_running(int(name)):
                found.append(int(name))
    return found


@pytest.mark.service("docker")
@both
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_ending_the_builder_ends_the_build_in_the_engine(
    maker: Maker, builder: str, number: signal.Signals
) -> None:
    long = f"3{int(maker.mark, 16) % 100000:05d}.{os.getpid() % 1000}"
    text = f"FROM {maker.base}\nRUN sleep {long}\n"
    with builder_process(maker, text, builder) as process:
        until(lambda: processes_with(long), 30)
        os.killpg(process.pid, number)
        process.wait(10)
        until(lambda: not processes_with(long), 20)


@pytest.fixture
def own_engine() -> Iterator[Callable[..., docker_service.OwnEngine]]:
    """Starts engines that a test may stop."""
    with contextlib.ExitStack() as stack:

        def start(**options: Any) -> docker_service.OwnEngine:
            place = stack.enter_context(tempfile.TemporaryDirectory(prefix="aml-dk-"))
            return stack.enter_context(docker_service.engine(Path(place, "e"), **options))

        yield start


@with_an_engine_that_starts
@pytest.mark.slow
@pytest.mark.service("docker")
@pytest.mark.service("root")
@both
def test_an_engine_that_stops_during_a_build_is_told(
    own_engine: Callable[..., docker_service.OwnEngine],
    base_image: str,
    tmp_path: Path,
    builder: str,
) -> None:
    own = own_engine()
    maker = Maker(connect(find_address({"host": own.host}, {})), base_image, tmp_path)
    long = f"4{int(maker.mark, 16) % 100000:05d}"

    def stop() -> None:
        until(lambda: processes_with(long), 60)
        own.kill()

    thread = threading.Thread(target=stop)
    thread.start()
    try:
        text = f"FROM {maker.base}\nRUN sleep {long}\n"
        with pytest.raises(BuildError, match="went away during the build") as caught:
            maker.make(maker.recipe(dockerfile=text), maker.site(builder))
    finally:
        thread.join()
    assert "Start it again" in caught.value.hint


@with_an_engine_that_starts
@pytest.mark.slow
@pytest.mark.service("docker")
@pytest.mark.service("mount")
@both
def test_a_disk_that_is_full_in_a_build_is_told_with_what_to_do(
    own_engine: Callable[..., docker_service.OwnEngine],
    base_image: str,
    tmp_path: Path,
    builder: str,
) -> None:
    own = own_engine(data_size="700m")
    maker = Maker(connect(find_address({"host": own.host}, {})), base_image, tmp_path)
    text = f"FROM {maker.base}\nRUN head -c 900000000 /dev/zero > /big\n"
    with pytest.raises(BuildError, match="No room left") as caught:
        maker.make(maker.recipe(dockerfile=text), maker.site(builder))
    assert "aml env prune" in caught.value.hint
    greet = maker.wheel("greet", "1.0")
    assert maker.make(maker.recipe(greet), maker.site(builder)).packages == (f"{greet}==1.0",)


@pytest.mark.slow
@pytest.mark.service("docker")
@pytest.mark.service("pypi")
def test_conda_packages_come_from_pypi_where_no_channel_is_in_reach(maker: Maker) -> None:
    recipe = Recipe(IMAGE, base=maker.base, conda=("six=1.16",), channels=("conda-forge",))
    variables = {"CONDA_CHANNEL_ALIAS": "http://127.0.0.1:9"}
    variables |= {k: v for k, v in os.environ.items() if k.startswith(("UV_", "PIP_"))}
    made = maker.make(recipe, maker.site(BUILDKIT, None, None, **variables))
    assert "six==1.16.0" in made.packages
    assert any("from PyPI instead" in note for note in made.facts["notes"])  # type: ignore[attr-defined]
    forbidding = maker.site(BUILDKIT, {"conda_from_pypi": False}, None, **variables)
    with pytest.raises(BuildError, match="No conda channel can be reached") as caught:
        maker.make(replace(recipe, conda=("six=1.15",)), forbidding)
    assert "conda_from_pypi" in caught.value.hint


@pytest.mark.slow
@pytest.mark.service("docker")
@pytest.mark.service("pypi")
@both
def test_conda_packages_are_solved_inside_the_image(maker: Maker, builder: str) -> None:
    version = maker.make(maker.recipe()).python
    python = f"python{version.rpartition('.')[0]}"
    packages = [one for one in conda_channel.near() if one.name in ("words", "greet")]
    packages.append(
        conda_channel.Package(
            "python",
            version,
            files={"pyvenv.cfg": f"home = /usr/bin\nversion = {version}\n"},
            links={f"bin/{python}": f"/usr/bin/{python}", "bin/python": python},
            noarch=False,
        )
    )
    channel = conda_channel.write(maker.folder / "channel", packages)
    own = maker.wheel("own", "1.0")
    recipe = maker.recipe(own, conda=("greet=1.0",), channels=(channel,))
    variables = {k: v for k, v in os.environ.items() if k.startswith(("UV_", "PIP_"))}
    made = maker.make(recipe, maker.site(builder, **variables))
    assert "conda:greet==1.0=0" in made.packages
    assert "conda:words==1.0=0" in made.packages
    assert f"{own}==1.0" in made.packages
    assert not any(line.startswith(("greet==", "words==")) for line in made.packages)
    assert not made.facts["notes"]
    with pytest.raises(BuildError, match="It is about 'greet=9'") as caught:
        maker.make(replace(recipe, conda=("greet=9", "six")), maker.site(builder, **variables))
    assert caught.value.line == "greet=9"
    assert "No candidates were found for greet" in caught.value.said
    assert "from PyPI instead" not in maker.log
    ask = "import own, words; print(words.HELLO, own.version)"
    assert maker.run(made, "python", "-c", ask, user="4321:4321") == "Hello 1.0"
    assert maker.run(made, "greet").endswith("Hello from 1.0")


_MICROMAMBA = """#!/bin/sh
# Has no channel that is called away, and of Python 3.11 on; of greet the versions below 9.
case "$*" in
    *away*) echo "critical libmamba Could not resolve host: away" >&2; exit 1;;
    *python*=3.[6-9]*|*python=3.10*) echo "nothing provides requested python" >&2; exit 1;;
    *greet=9*) echo "└─ greet 9** does not exist (perhaps a typo)." >&2; exit 1;;
esac
mkdir -p /opt/aml/env/conda-meta /opt/aml/env/bin
ln -s "$(command -v python3)" /opt/aml/env/bin/python
"""


@pytest.mark.service("docker")
def test_a_conda_in_the_image_is_tried_with_each_python_and_its_refusals_are_told(
    maker: Maker,
) -> None:
    folder = maker.folder / "context"
    folder.mkdir()
    (folder / "micromamba").write_text(_MICROMAMBA)
    (folder / "micromamba").chmod(0o755)
    (folder / "Dockerfile").write_text(f"FROM {maker.base}\nCOPY micromamba /usr/local/bin/\n")
    name = f"mamba-{maker.mark}:latest"
    maker.engine.client.images.build(path=str(folder), tag=name, rm=True)
    try:
        recipe = Recipe(IMAGE, base=name, python="3.9", conda=("greet=1",), channels=("near",))
        notes = maker.make(recipe).facts["notes"]
        assert notes == ["No channel has python=3.9; python=3.11 was taken instead."]
        refused = replace(recipe, conda=("greet=9", "numpy"))
        with pytest.raises(BuildError, match="It is about 'greet=9'") as caught:
            maker.make(refused)
        assert caught.value.line == "greet=9"
        assert caught.value.hint == "Change 'greet=9' in the environment."
        with pytest.raises(BuildError, match=r"It is about 'python>=3\.9,<3\.10'"):
            maker.make(replace(recipe, conda=("python>=3.9,<3.10", "numpy")))
        with pytest.raises(BuildError, match="No conda channel can be reached"):
            maker.make(replace(recipe, channels=("away",)))
    finally:
        maker.engine.client.images.remove(name, force=True)


@pytest.mark.slow
@pytest.mark.service("podman")
@with_an_engine_that_starts
def test_podman_builds_the_same(tmp_path: Path) -> None:
    with (
        tempfile.TemporaryDirectory(prefix="aml-pm-") as place,
        podman_service.service(Path(place, "e")) as podman,
    ):
        address = find_address({"host": podman.host}, {})
        maker = Maker(connect(address), images.BASE, tmp_path)
        names = [maker.wheel(short, "1.0") for short in ("ant", "bee", "cat")]
        first = maker.make(maker.recipe(*names[:2]))
        second = maker.make(maker.recipe(*names))
        assert "Beginning from" in maker.log
        assert second.packages == tuple(f"{name}==1.0" for name in names)
        assert image.size(first, {"host": podman.host}) > 0
        text = f"FROM {maker.base}\nRUN echo {maker.mark} && exit 7\n"
        with pytest.raises(BuildError) as caught:
            maker.make(maker.recipe(dockerfile=text))
        assert caught.value.line.startswith("line 2: RUN echo")
        assert maker.mark in caught.value.said
        forget(address)


@pytest.mark.service("docker")
def test_the_engine_of_these_tests_has_buildkit(maker: Maker) -> None:
    # Without it half of them would test the other half's way.
    assert find_build_command(maker.engine, maker.site(BUILDKIT).variables)
    assert not find_build_command(maker.engine, maker.site(CLASSIC).variables)
