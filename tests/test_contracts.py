"""The contract suites, held to by what we ship."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from aml_jupyter.backends import Backend
from aml_jupyter.backends.local import LocalBackend
from aml_jupyter.testing import BackendContract, StoreContract


class TestLocalBackend(BackendContract):
    @pytest.fixture(autouse=True)
    def launchers(self) -> Iterator[None]:
        """A launcher may be about to leave when its job has ended: wait for it, as its parent."""
        self.made: list[LocalBackend] = []
        yield
        for backend in self.made:
            for launcher in backend._started.values():
                launcher.wait(10)

    def make_backend(self) -> Backend:
        self.made.append(LocalBackend())
        return self.made[-1]


class TestStoreOnAnOrdinaryDisk(StoreContract):
    def make_place(self, tmp_path: Path) -> Path:
        return tmp_path


class TestStoreWithoutMappedFiles(StoreContract):
    """As on a network file system."""

    @pytest.fixture(autouse=True)
    def no_mapping(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AML_METRICS_IO", "write")

    def make_place(self, tmp_path: Path) -> Path:
        return tmp_path


class TestStoreInAFolderWithAnOddName(StoreContract):
    def make_place(self, tmp_path: Path) -> Path:
        place = tmp_path / "odd ' \" % ? # name\nwith ü"
        place.mkdir()
        return place


@pytest.mark.service("mount")
class TestStoreInMemory(StoreContract):
    @pytest.fixture(autouse=True)
    def memory(self) -> Iterator[None]:
        self.point = Path(tempfile.mkdtemp(prefix="aml-memory-"))
        command = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(self.point)]
        subprocess.run(command, check=True)
        yield
        subprocess.run(["umount", "-l", str(self.point)], check=True)
        shutil.rmtree(self.point)

    def make_place(self, tmp_path: Path) -> Path:
        return self.point
