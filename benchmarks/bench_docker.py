"""Containers beside ``docker run``, and a changed package beside the same by hand."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from aml_jupyter import Environment, Experiment, Run, ScriptRunConfig
from aml_jupyter.engine import connect, find_address, find_build_command
from aml_jupyter.environments import Recipe, cache, resolve
from aml_jupyter.environments.shelf import Shelf
from aml_jupyter.environments.venv import uv
from aml_jupyter.home import home
from aml_jupyter.job import states
from benchmarks.report import Row, median_of, not_measured
from benchmarks.setting import JOBS, Effort, experiment
from tests.conftest import SERVICES
from tests.services import docker_engine, images

_PYTHON = "/opt/aml/env/bin/python"
_PACKAGES = ("scikit-learn==1.5.2", "pandas==2.2.3")
_CHANGED = "tqdm"
_FIRST, *_VERSIONS = ("4.66.0", "4.66.1", "4.66.2", "4.66.3", "4.66.4", "4.66.5", "4.66.6")
_WITHIN = 300.0
_START = "submit to the script's first line in a container, runner already up"
_LAYERS = "one package changed in a Docker environment: layers that are new"
_CHANGE = "the same: until the image is ready"
_CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"


def rows(effort: Effort) -> Iterator[Row]:
    """In an engine of its own. A script writes down the time of its first line; the limit is the
    same script by ``docker run``, of the same image and with the same options, mounts and user,
    by turns. Then an image with scikit-learn, pandas and tqdm is made, and from it one with
    another tqdm, which nobody has downloaded yet; by turns with ``uv pip install`` of it by hand
    in a container of the former image (``docker run`` with uv, its cache and the certificates
    mounted), and ``docker commit``.
    """
    if not SERVICES["docker"].probe():
        yield from _not_measured(f"no Docker engine; {SERVICES['docker'].how}", _START)
        yield from _not_measured(f"no Docker engine; {SERVICES['docker'].how}", _LAYERS, _CHANGE)
        return
    with _engine() as engine, experiment(DOCKER_HOST=engine.host) as place:
        yield _start(place, max(effort.repeat, effort.of(11)))
        if not SERVICES["pypi"].probe():
            yield from _not_measured(f"no PyPI; {SERVICES['pypi'].how}", _LAYERS, _CHANGE)
            return
        with engine.client() as client:
            yield from _Change(client).rows(_VERSIONS[: effort.repeat])


def _not_measured(why: str, *names: str) -> Iterator[Row]:
    for name in names:
        yield not_measured(name, "1" if name == _LAYERS else "≤ 1.3 × by hand", why)


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
            run, ours = _by_run(place, folder)
            samples.append((ours, _by_docker(run)))
    ours, dockers = (list(column) for column in zip(*samples, strict=True))
    value, limit = median_of(ours), ("docker run", median_of(dockers))
    return Row(_START, value, "ms", "≤ 1.3 × docker run", *limit, value <= 1.3 * limit[1], ours)


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
        self._former = self._make(_FIRST)
        self._volume = f"aml-bench-{os.urandom(4).hex()}"

    def rows(self, versions: list[str]) -> Iterator[Row]:
        """What of the image is new with each version, and how long it takes to make."""
        try:
            self._by_hand(_FIRST)  # so that the index is in this cache, too
            samples = [self._changed(version) for version in versions]
        finally:
            self._client.api.remove_image(self._former, force=True)
            with contextlib.suppress(Exception):
                self._client.api.remove_volume(self._volume, force=True)
        new, ours, hands = (list(column) for column in zip(*samples, strict=True))
        most = max(new)
        yield Row(_LAYERS, most, "layers", "1", "packages", 1.0, most == 1, new)
        value, limit = median_of(ours), ("uv pip install and docker commit", median_of(hands))
        fits = value <= 1.3 * limit[1]
        yield Row(_CHANGE, value, "s", "≤ 1.3 × by hand", *limit, fits, ours)

    def _changed(self, version: str) -> tuple[float, float, float]:
        """New layers, and seconds: by an environment and by hand."""
        started = time.monotonic()
        image = self._make(version)
        ours = time.monotonic() - started
        new = len(set(self._layers(image)) - set(self._layers(self._former)))
        # Else the next would begin from this one, which is not what is measured by hand.
        self._client.api.remove_image(image, force=True)
        return float(new), ours, self._by_hand(version)

    def _make(self, version: str) -> str:
        """The image of the environment with this version."""
        recipe = _recipe((*_PACKAGES, f"{_CHANGED}=={version}"))
        build = cache.Build.begin(recipe, wanted_by="bench", options={"build_network": "host"})
        while not (state := build.state()).is_over:
            time.sleep(0.005)
        if state.error is not None:
            raise state.error
        assert state.built is not None
        Shelf.of(recipe.key).wait_until_free(_WITHIN)
        build.leave("bench")
        return str(state.built.image)

    def _by_hand(self, version: str) -> float:
        name = f"aml-bench-{os.urandom(4).hex()}"
        options = ["--name", name, "--network", "host", "--user", "0:0"]
        options += ["--volume", f"{uv()}:/uv:ro", "--volume", f"{self._volume}:/cache"]
        options += ["--env", "UV_CACHE_DIR=/cache", "--env", "UV_LINK_MODE=copy"]
        trusted = os.environ.get("SSL_CERT_FILE")
        if trusted:
            options += ["--volume", f"{os.path.realpath(trusted)}:{_CERTIFICATES}:ro"]
            options += ["--env", f"SSL_CERT_FILE={_CERTIFICATES}"]
        install = ["/uv", "pip", "install", "--compile-bytecode", "--python", _PYTHON]
        started = time.monotonic()
        _call(["docker", "run", *options, self._former, *install, f"{_CHANGED}=={version}"])
        _call(["docker", "commit", name, f"{name}:1"])
        seconds = time.monotonic() - started
        self._client.api.remove_container(name, force=True)
        self._client.api.remove_image(f"{name}:1", force=True)
        return seconds

    def _layers(self, image: str) -> list[str]:
        return list(self._client.api.inspect_image(image)["RootFS"]["Layers"])


def _recipe(packages: tuple[str, ...]) -> Recipe:
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


def _call(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()[-2000:]}")
