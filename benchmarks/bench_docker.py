"""Containers beside ``docker run``, and a changed package beside the same by hand."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from aml_jupyter import Environment, Experiment, Run, ScriptRunConfig
from aml_jupyter.engine import BuildCommand, connect, find_address, find_build_command
from aml_jupyter.environments import Recipe, cache, resolve
from aml_jupyter.environments.shelf import Shelf
from aml_jupyter.home import home
from aml_jupyter.job import states
from benchmarks.report import Row, median_of, not_measured
from benchmarks.setting import JOBS, Effort, experiment
from tests.conftest import SERVICES
from tests.services import docker_engine, images

_START = "submit to the script's first line in a container, runner already up"
_LAYERS = "one package changed in a Docker environment: new layers"
_REACH = {_START: "≤ 1.3 × docker run", _LAYERS: "1"}
_CHANGES = {
    "pandas": ("2.2.3", "2.2.2", "2.2.1", "2.2.0", "2.1.4", "2.1.3"),
    "tqdm": ("4.66.6", "4.66.5", "4.66.4", "4.66.3", "4.66.2", "4.66.1"),
}
"""A large package and a small one: the version in the former image, and those it is changed to."""
_OTHERS = ("scikit-learn==1.5.2", "numpy==1.26.4")
_WITHIN = 300.0
_BY_HAND = """\
FROM {former}
RUN --mount=type=bind,from={uv},target=/opt/uv --mount=type=cache,id=aml-uv,target=/opt/cache \
    --mount=type=secret,id=certificates export {settings} && {commands}
"""
_INSTALL = "/opt/uv/uv pip install --python /opt/aml/env/bin/python"
_SETTINGS = "UV_LINK_MODE=copy UV_CACHE_DIR=/opt/cache/uv"
_TRUST = "SSL_CERT_FILE=/run/secrets/certificates"


def rows(effort: Effort) -> Iterator[Row]:
    """In an engine of its own. A script writes down the time of its first line; the limit is the
    same script by ``docker run``, of the same image and with the same options, mounts and user,
    by turns. Then one package of an environment with scikit-learn, numpy, pandas and tqdm is
    changed, a large one or a small one, each time to another version; the figure is the time until
    the image is ready. The limit, by turns: ``docker build`` of two lines, FROM the former image
    and RUN ``uv pip install`` of that version, compiled as well, by the same builder with the same
    cache, in which both find the downloads.
    """
    if not SERVICES["docker"].probe():
        missing = f"no Docker engine; {SERVICES['docker'].how}"
        yield from _not_measured(missing, _START, _LAYERS, *_names())
        return
    with _engine() as engine, experiment(DOCKER_HOST=engine.host) as place:
        yield _start(place, max(effort.repeat, effort.of(21)))
        missing = _missing()
        if missing:
            yield from _not_measured(missing, _LAYERS, *_names())
            return
        with engine.client() as client:
            yield from _Change(client).rows(effort.repeat)


def _missing() -> str:
    """What a build needs and this machine lacks."""
    if _build_command() is None:
        return "no BuildKit; install Docker's buildx"
    return "" if SERVICES["pypi"].probe() else f"no PyPI; {SERVICES['pypi'].how}"


def _build_command() -> BuildCommand | None:
    return find_build_command(connect(find_address({}, os.environ)), os.environ)


def _names() -> list[str]:
    return [f"another {package} in a Docker environment" for package in _CHANGES]


def _not_measured(why: str, *names: str) -> Iterator[Row]:
    for name in names:
        yield not_measured(name, _REACH.get(name, "≤ 1.3 × by hand"), why)


@contextlib.contextmanager
def _engine() -> Iterator[docker_engine.Engine]:
    given = docker_engine.given()
    if given is not None:
        with given.client() as client:
            images.provide(client, images.BASE)
        yield given
        return
    # A unix socket's path is limited to about a hundred bytes.
    with (
        tempfile.TemporaryDirectory(prefix="aml-dk-") as folder,
        docker_engine.engine(Path(folder, "e")) as own,
    ):
        yield own


# A container that starts ---------------------------------------------------------------------


def _start(place: Experiment, repeat: int) -> Row:
    with tempfile.TemporaryDirectory(prefix="aml-bench-") as scratch:
        folder = Path(scratch)
        shutil.copy(JOBS / "first_line.py", folder)
        _by_run(place, folder)  # the first run of a home makes the bundle that jobs import
        samples = []
        for _ in range(repeat):
            run, taken = _by_run(place, folder)
            samples.append((taken, _by_docker(run)))
    ours, dockers = [each for each, _ in samples], [each for _, each in samples]
    value, limit = median_of(ours), ("docker run", median_of(dockers))
    return Row(_START, value, "ms", _REACH[_START], *limit, value <= 1.3 * limit[1], ours)


def _by_run(place: Experiment, folder: Path) -> tuple[Run, float]:
    """A run in a container, and milliseconds from the call of submit to its first line."""
    config = ScriptRunConfig(
        str(folder),
        script="first_line.py",
        arguments=["outputs/note"],
        compute_target="docker",
        environment=Environment.from_docker_image("bench", images.BASE),
    )
    started = time.time_ns()
    run = place.submit(config)
    run.wait_for_completion()
    if run.get_status() != states.COMPLETED:
        raise RuntimeError(f"{run.id}: {run.get_details().get('error')}")
    return run, (int((run.folder / "outputs/note").read_text()) - started) / 1e6


def _by_docker(run: Run) -> float:
    """The same script by ``docker run``, with what the run's container had."""
    folder, bundle = run.folder, home().state / "bundle"
    note, script = folder / "outputs/by-docker", folder / "outputs/first_line.py"
    shutil.copy(JOBS / "first_line.py", script)
    options = ["--rm", "--init", "--user", f"{os.getuid()}:{os.getgid()}", "--shm-size", "2g"]
    options += ["--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--no-healthcheck"]
    options += ["--log-driver", "json-file", "--workdir", str(folder / "outputs")]
    options += ["--mount", f"type=bind,source={folder},target={folder}"]
    options += ["--mount", f"type=bind,source={bundle},target={bundle},readonly"]
    started = time.time_ns()
    _call(["docker", "run", *options, images.BASE, "python3", str(script), str(note)])
    return (int(note.read_text()) - started) / 1e6


# A package that changes ----------------------------------------------------------------------


class _Change:
    """An image with packages, one of which is changed."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._former = self._make({})
        command = _build_command()
        assert command is not None
        self._command = command

    def rows(self, repeat: int) -> Iterator[Row]:
        """What of the image is new with each version, and how long it takes to make."""
        new: list[float] = []
        times = []
        try:
            self._download(repeat)
            for package, (_, *others) in _CHANGES.items():
                samples = [
                    self._changed(package, other, number % 2 == 0)
                    for number, other in enumerate(others[:repeat])
                ]
                new += [layers for layers, _, _ in samples]
                times.append(samples)
        finally:
            self._client.api.remove_image(self._former, force=True)
        worst = max(new)
        yield Row(
            _LAYERS, worst, "layers", _REACH[_LAYERS], "packages changed", 1.0, worst == 1, new
        )
        for name, samples in zip(_names(), times, strict=True):
            ours, hands = [each for _, each, _ in samples], [each for _, _, each in samples]
            value, limit = median_of(ours), ("FROM, RUN uv pip install", median_of(hands))
            fits = value <= 1.3 * limit[1]
            yield Row(name, value, "s", "≤ 1.3 × by hand", *limit, fits, ours)

    def _changed(self, package: str, other: str, we_first: bool) -> tuple[float, float, float]:
        """New layers, and seconds: by an environment and by hand.

        Who comes first finds less of what it reads in memory.
        """
        if we_first:
            (new, ours), hand = self._by_us(package, other), self._by_hand(package, other)
        else:
            hand, (new, ours) = self._by_hand(package, other), self._by_us(package, other)
        return new, ours, hand

    def _by_us(self, package: str, other: str) -> tuple[float, float]:
        started = time.monotonic()
        image = self._make({package: other})
        seconds = time.monotonic() - started
        new = set(self._layers(image)) - set(self._layers(self._former))
        # Else the next would begin from this one, which is not what is measured by hand.
        self._client.api.remove_image(image, force=True)
        return float(len(new)), seconds

    def _by_hand(self, package: str, other: str) -> float:
        return self._seconds_for(f"{_INSTALL} --compile-bytecode {package}=={other}")

    def _make(self, changed: Mapping[str, str]) -> str:
        """The image of the environment with these versions, others being the former."""
        versions = {package: former for package, (former, *_) in _CHANGES.items()} | {**changed}
        recipe = _recipe([*_OTHERS, *(f"{name}=={text}" for name, text in versions.items())])
        build = cache.Build.begin(recipe, wanted_by="bench", options={"build_network": "host"})
        while not (state := build.state()).is_over:
            time.sleep(0.005)
        if state.error is not None:
            raise state.error
        assert state.built is not None
        Shelf.of(recipe.key).wait_until_free(_WITHIN)
        build.leave("bench")
        return str(state.built.image)

    def _download(self, repeat: int) -> None:
        """Fill the builder's cache with all that will be wanted."""
        wanted = [f"{name}=={other}" for name in _CHANGES for other in _CHANGES[name][1:][:repeat]]
        aside = f"{_INSTALL} --no-deps --target /tmp/aside"
        self._seconds_for(" && ".join(f"{aside} {package}" for package in wanted))

    def _seconds_for(self, commands: str) -> float:
        """Seconds for the image with what the commands do to the former one."""
        trusted = os.environ.get("SSL_CERT_FILE")
        settings = f"{_SETTINGS} {_TRUST}" if trusted else _SETTINGS
        text = _BY_HAND.format(
            former=self._former, uv=self._image_of_uv(), commands=commands, settings=settings
        )
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "Dockerfile").write_text(text)
            words = [*self._command.words, "--network", "host", "--no-cache", "--tag", "aml-bench"]
            words += ["--secret", f"id=certificates,src={trusted}"] if trusted else []
            started = time.monotonic()
            _call([*words, folder], {**os.environ, **self._command.variables})
            seconds = time.monotonic() - started
        self._client.api.remove_image("aml-bench", force=True)
        return seconds

    def _image_of_uv(self) -> str:
        """The image that our builds have uv from."""
        found = self._client.api.images(name="aml-uv")
        tags = [tag for image in found for tag in image["RepoTags"] or ()]
        return str(next(tag for tag in tags if tag.startswith(f"aml-uv:{version('uv')}-")))

    def _layers(self, image: str) -> list[str]:
        return list(self._client.api.inspect_image(image)["RootFS"]["Layers"])


def _recipe(packages: Iterable[str]) -> Recipe:
    with tempfile.TemporaryDirectory() as folder:
        requirements = Path(folder, "requirements.txt")
        requirements.write_text("\n".join(packages))
        environment = Environment.from_docker_image(
            "bench", images.BASE, pip_requirements=requirements
        )
        recipe = resolve(environment, container=True).recipe
    if recipe is None:
        raise RuntimeError("nothing is built for packages on an image")
    return recipe


def _call(command: list[str], variables: Mapping[str, str] | None = None) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=variables)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()[-2000:]}")
