"""What a user has who installed the wheel: both halves of the extension, with no Node.js there."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect
from uv import find_uv_bin

import aml_jupyter
from tests.ui.lab import App, running_lab

pytestmark = [pytest.mark.ui, pytest.mark.service("chromium"), pytest.mark.service("pypi")]


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("app", "pins"),
    [
        ("jupyterlab", []),
        ("jupyterlab", ["jupyterlab==4.2.*"]),
        ("notebook", ["notebook==7.*"]),
    ],
    ids=["the newest JupyterLab", "the oldest JupyterLab", "Notebook 7"],
)
def test_it_works_where_only_the_wheel_was_installed_and_there_is_no_node(
    built: Path, tmp_path: Path, browser: Browser, app: App, pins: list[str]
) -> None:
    home = installed(built, tmp_path / "environment", pins)
    (tmp_path / "path").mkdir()
    path = os.pathsep.join([str(home), str(tmp_path / "path")])
    assert shutil.which("node", path=path) is None
    for listed in (["labextension", "list"], ["server", "extension", "list"]):
        told = said(home, path, *listed)
        assert re.search(r"aml.jupyter\b.*\benabled\b", told), told
        assert re.search(r"aml.jupyter\b.*\bOK\b", told), told
    with running_lab(tmp_path / "lab", app, str(home / "python"), PATH=path) as lab:
        (lab.root / ".aml").mkdir()
        with urllib.request.urlopen(f"{lab.url}/aml/api/hello", timeout=30) as answer:
            assert json.loads(answer.read())["version"] == aml_jupyter.__version__
        context = browser.new_context(viewport={"width": 1280, "height": 900}, locale="en-GB")
        troubles = shown_without_trouble(context.new_page(), lab.url, app)
        context.close()
    assert troubles == []


def installed(wheel: Path, environment: Path, pins: list[str]) -> Path:
    """The folder of programs of a new environment with nothing but the wheel and what it needs."""
    uv = find_uv_bin()
    subprocess.run([uv, "venv", "-q", "--python", sys.executable, environment], check=True)
    home = environment / "bin"
    command = [uv, "pip", "install", "-q", "--python", home / "python", wheel, *pins]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return home


def said(home: Path, path: str, *arguments: str) -> str:
    """What ``jupyter`` prints, without colours."""
    command = [str(home / "jupyter"), *arguments]
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "PATH": path}, check=True
    )
    return re.sub(r"\x1b\[[0-9;]*m", "", done.stdout + done.stderr)


def shown_without_trouble(page: Page, url: str, app: App) -> list[str]:
    """Open the application and our part of it; what went wrong meanwhile."""
    troubles: list[str] = []
    page.on("pageerror", lambda error: troubles.append(error.stack or str(error)))

    def hear(said: ConsoleMessage) -> None:
        if said.type == "error":
            troubles.append(f"{said.text} {said.location}")

    page.on("console", hear)
    page.goto(url)
    if app == "jupyterlab":
        page.get_by_role("tab", name=re.compile("^Runs")).click(timeout=60_000)
        expect(page.get_by_role("region", name=re.compile("^Runs"))).to_be_visible()
    else:
        expect(page.get_by_role("main")).to_be_visible(timeout=60_000)
    page.wait_for_load_state("networkidle")
    # Notebook 7 has a trouble of its own with settings; of ours there is none.
    return [each for each in troubles if app == "jupyterlab" or "aml-jupyter" in each]
