"""The page and the server's half when they lose each other: slow, of another version, not there."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Locator, Page, WebSocket, expect

import aml_jupyter
from aml_jupyter import Experiment, Workspace
from aml_jupyter.server.handling import API
from tests.services.relay import relay_to
from tests.support import until
from tests.ui.lab import Lab, running_lab

pytestmark = [pytest.mark.ui, pytest.mark.service("chromium"), pytest.mark.timeout(240)]

LIVE = "/aml/api/live"
LONG = {f"tag-{number}": "x" * 1000 for number in range(100)}
SOON = 40_000
Shot = Callable[[str], None]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A JupyterLab that keeps as little as can be chosen for a page that is slow."""
    folder = tmp_path_factory.mktemp("connection")
    chosen = settings(folder / "chosen", {"AmlServer": {"buffer": 64 * 1024, "look_every": 0.1}})
    with running_lab(folder / "lab", JUPYTER_CONFIG_PATH=chosen) as started:
        yield started


def settings(folder: Path, values: dict[str, object], file: str = "jupyter_server_config") -> str:
    """A folder with settings of the server."""
    (folder / file).parent.mkdir(parents=True)
    (folder / f"{file}.json").write_text(json.dumps(values))
    return str(folder)


@pytest.fixture
def fleet(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Iterator[Experiment]:
    """An experiment in a project below the server's root."""
    monkeypatch.setenv("AML_HOME", str(lab.folder / "aml"))
    project = lab.root / "fleet"
    project.mkdir()
    yield Experiment(Workspace.from_config(project), "fleet")
    shutil.rmtree(project)


def restart(lab: Lab, **variables: str) -> None:
    """Start the server again, with what else is given in its environment."""
    lab.stop()
    lab.start(**variables)


def sail(experiment: Experiment, name: str, tags: dict[str, str] | None = None) -> None:
    """A run that begins and ends at once."""
    run = experiment.start_logging(display_name=name, snapshot_directory=None)
    run.set_tags(tags or {})
    run.complete()


def opened(page: Page, url: str) -> Locator:
    """The list of the project's runs."""
    page.goto(f"{url}/lab/workspaces/fleet?reset")
    page.get_by_role("tab", name="Launcher").wait_for()
    page.get_by_role("tab", name=re.compile("^Runs")).click()
    place = page.get_by_role("combobox", name="Workspace")
    if place.is_visible():
        place.select_option(label="fleet (fleet)")
    return page.get_by_role("tree", name="Runs")


def row(tree: Locator, name: str) -> Locator:
    return tree.get_by_role("treeitem", name=re.compile(f"^{name}, Completed"))


def notice(page: Page) -> Locator:
    """What the sidebar says of the server."""
    return page.get_by_role("region", name="Runs", exact=True).get_by_role("status").first


class Heard:
    """What the page and the server have told each other over each websocket of ours."""

    def __init__(self, page: Page) -> None:
        self.sockets: list[tuple[list[dict[str, Any]], list[dict[str, Any]]]] = []
        page.on("websocket", self._add)

    def _add(self, socket: WebSocket) -> None:
        if LIVE not in socket.url:
            return
        asked: list[dict[str, Any]] = []
        told: list[dict[str, Any]] = []
        self.sockets.append((asked, told))
        socket.on("framesent", lambda text: asked.append(json.loads(text)))
        socket.on("framereceived", lambda text: told.append(json.loads(text)))

    def told_last(self, number: int) -> int:
        """The number of the last change whose rows were told over a websocket."""
        return max(told["seq"] for told in self.sockets[number][1] if told["kind"] == "changed")

    def asked_since(self, number: int) -> int:
        """The number of the change after which the page wants to hear all, on that websocket."""
        asked = self.sockets[number][0]
        return next(each["since"] for each in asked if each.get("level") == "rows")


def test_a_page_that_is_too_slow_goes_on_where_it_was_and_lacks_nothing(
    lab: Lab, page: Page, fleet: Experiment
) -> None:
    log = lab.folder / "server.log"
    before = len(log.read_text())
    heard = Heard(page)
    sail(fleet, "first")
    with relay_to(urlsplit(lab.url).port or 0, LIVE) as relay:
        tree = opened(page, f"http://127.0.0.1:{relay.port}")
        expect(row(tree, "first")).to_be_visible()
        sail(fleet, "second")
        expect(row(tree, "second")).to_be_visible(timeout=SOON)

        relay.hold()
        sent = 0

        def is_given_up() -> bool:
            nonlocal sent
            sail(fleet, f"long {sent}", LONG)
            sent += 1
            return "takes less than it is sent" in log.read_text()[before:]

        # Not faster than the server tells of them, which it does one look at a time.
        until(is_given_up, 60, pause=0.2)
        sail(fleet, "missed")
        relay.release()
        expect(row(tree, "missed")).to_be_visible(timeout=SOON)
        expect(tree.get_by_role("treeitem").first).to_have_attribute("aria-setsize", str(sent + 3))
        until(lambda: 4408 in relay.codes)
        assert heard.asked_since(1) == heard.told_last(0)
        sail(fleet, "after")
        expect(row(tree, "after")).to_be_visible(timeout=SOON)


def installed(folder: Path, api: int) -> str:
    """A second installation of the package, whose server speaks another version; its PYTHONPATH."""
    package = folder / f"api-{api}" / "aml_jupyter"
    shutil.copytree(Path(aml_jupyter.__file__).parent, package)
    module = package / "server" / "handling.py"
    text = module.read_text()
    assert f"\nAPI = {API}\n" in text
    module.write_text(text.replace(f"\nAPI = {API}\n", f"\nAPI = {api}\n"))
    return str(package.parent)


def test_of_another_version_the_page_says_which_half_to_update_and_what_is_missing(
    lab: Lab, page: Page, fleet: Experiment, tmp_path: Path, screenshot: Shot
) -> None:
    sail(fleet, "first")
    tree = opened(page, lab.url)
    row(tree, "first").dblclick()
    shown = page.get_by_role("tabpanel", name=re.compile("first"))
    expect(shown.get_by_role("tab", name="Facts")).to_be_visible(timeout=SOON)

    # What JupyterLab itself says while its server is away.
    lost = page.get_by_role("dialog", name=re.compile("Server Connection Error"))
    page.add_locator_handler(lost, lambda dialog: dialog.get_by_role("button").last.click())

    # The server was updated while the page was open.
    newer = "This page is older than the aml_jupyter of the server"
    restart(lab, PYTHONPATH=installed(tmp_path, API + 1))
    expect(notice(page)).to_contain_text(newer, timeout=SOON)
    expect(notice(page)).to_contain_text("Reload the page")
    expect(shown.get_by_role("status").filter(has_text=newer)).to_be_visible()
    expect(page.get_by_text("Reconnecting…")).to_be_hidden()
    screenshot("connection-1-newer")
    toast = page.locator(".Toastify__toast", has_text=newer)
    expect(toast.get_by_role("button", name="Reload")).to_be_visible()

    # An older one, and none; the page finds out by itself.
    restart(lab, PYTHONPATH=installed(tmp_path, API - 1))
    expect(notice(page)).to_contain_text("of the server is older than this page", timeout=SOON)
    expect(notice(page)).to_contain_text(
        "Restart the Jupyter server; if that does not help, update"
    )
    disabled = {"ServerApp": {"jpserver_extensions": {"aml_jupyter": False}}}
    file = "jupyter_server_config.d/aml_jupyter"
    restart(lab, JUPYTER_CONFIG_PATH=settings(tmp_path / "disabled", disabled, file))
    expect(notice(page)).to_contain_text("server's half of aml_jupyter does not", timeout=SOON)
    expect(notice(page)).to_contain_text("jupyter server extension enable aml_jupyter")
    expect(shown.get_by_role("status").filter(has_text="does not answer")).to_be_visible()
    toasts = page.locator(".Toastify__toast", has_text=re.compile("aml_jupyter"))
    expect(toasts).to_have_count(1)
    screenshot("connection-2-disabled")
    restart(lab)
    expect(row(tree, "first")).to_be_visible(timeout=SOON)
    expect(shown.get_by_role("tab", name="Facts")).to_be_visible()
    expect(toasts).to_have_count(0)
    expect(page.get_by_text("does not answer").locator("visible=true")).to_have_count(0)
