"""Podman in Docker's place, without root: what holds for Docker's containers holds for its."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from tests.far_backend import Far
from tests.services import podman as service

pytestmark = [pytest.mark.service("podman"), pytest.mark.slow]

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def podman() -> Iterator[service.Podman]:
    """A rootless Podman; its user is another than root, or whoever runs the tests."""
    with (
        tempfile.TemporaryDirectory(prefix="aml-pm-") as place,
        service.service(Path(place, "e")) as podman,
    ):
        yield podman


def said_as_its_user(podman: service.Podman, *chosen: str) -> str:
    """What pytest says of tests for Docker that run against it, as the user whose it is."""
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", "-rfEs", *chosen]
    place = podman.folder / "home"
    # The interpreter of the tests may lie where only root looks.
    done = subprocess.run(
        podman.command(*command, capabilities="+dac_read_search"),
        cwd=ROOT,
        env={
            **os.environ,
            **podman.variables,
            "AML_TEST_DOCKER_HOST": podman.host,
            "TMPDIR": str(place),
            "PYTHONDONTWRITEBYTECODE": "1",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said[-20_000:]
    return said


@pytest.mark.timeout(600)
def test_the_contract_of_backends_holds(podman: service.Podman) -> None:
    chosen = ["tests/test_docker.py::TestDockerBackend"]
    if not Path("/sys/fs/cgroup/cgroup.controllers").exists():
        # Before the second version of control groups, those without root have none: nothing tells
        # which processes are in a container.
        chosen += ["-k", "not processes_of_each_job and not what_a_job_started"]
    said = said_as_its_user(podman, *chosen)
    counts = re.search(r"(\d+) passed", said)
    assert counts
    assert int(counts[1]) > 30
    assert "skipped" not in said


class TestFarPodman(Far):
    """Nobody's files are mounted, so it does not matter whose it is."""

    options: ClassVar[dict[str, Any]] = {"local": False}

    @pytest.fixture(autouse=True)
    def far_away(self, podman: service.Podman) -> None:
        self.host = podman.host
