"""What is shipped: the wheel, and the versions that must agree."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import aml_jupyter

ROOT = Path(__file__).resolve().parent.parent
SHARED = f"aml_jupyter-{aml_jupyter.__version__}.data/data/share/jupyter/labextensions/aml-jupyter"


@pytest.fixture(scope="module")
def wheel(built: Path) -> Iterator[zipfile.ZipFile]:
    """What is in it."""
    with zipfile.ZipFile(built) as archive:
        yield archive


@pytest.mark.slow
def test_the_wheel_carries_the_built_labextension(wheel) -> None:
    names = wheel.namelist()
    package = json.loads(wheel.read(f"{SHARED}/package.json"))
    assert f"{SHARED}/{package['jupyterlab']['_build']['load']}" in names
    assert json.loads(wheel.read(f"{SHARED}/install.json"))["packageName"] == "aml_jupyter"


@pytest.mark.slow
def test_the_wheel_holds_every_module_and_nothing_of_the_workshop(wheel) -> None:
    here = {str(path.relative_to(ROOT)) for path in (ROOT / "aml_jupyter").rglob("*.py")}
    shipped = {name for name in wheel.namelist() if name.endswith(".py")}
    assert shipped == here


def test_the_labextension_has_the_version_of_the_package() -> None:
    package = json.loads((ROOT / "package.json").read_text("utf-8"))
    assert package["version"] == aml_jupyter.__version__


def test_the_changelog_begins_with_the_version_of_the_package() -> None:
    versions = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    assert versions[0] == aml_jupyter.__version__


@pytest.mark.parametrize("name", ["requirements/dev.txt", "yarn.lock"])
def test_what_is_pinned_is_pinned_by_version_alone(name: str) -> None:
    assert "://" not in (ROOT / name).read_text("utf-8")
