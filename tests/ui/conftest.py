"""A real browser, a real JupyterLab and a real Notebook 7, one of each for all browser tests."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect

from tests.services import chromium
from tests.ui.lab import Lab, running_lab

SCREENSHOTS = Path(__file__).parent / "screenshots"
RAISED = pytest.StashKey[bool]()

# What is there at once on a quiet machine takes its time where browsers share two processors.
expect.set_options(timeout=20_000)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note whether a test, or what it was given, came to its end."""
    item.stash[RAISED] = item.stash.get(RAISED, False) or call.excinfo is not None
    return (yield)


@pytest.fixture(scope="session")
def shared() -> list[Lab]:
    """What is started once for all tests."""
    return []


@pytest.fixture(autouse=True)
def put_right(request: pytest.FixtureRequest, shared: list[Lab]) -> Iterator[None]:
    """Keep a test that failed from failing those after it."""
    yield
    if request.node.stash.get(RAISED, False):
        for each in shared:
            each.put_right()


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory, shared: list[Lab]) -> Iterator[Lab]:
    with running_lab(tmp_path_factory.mktemp("lab")) as started:
        shared.append(started)
        yield started
        shared.remove(started)


@pytest.fixture(scope="session")
def notebook7(tmp_path_factory: pytest.TempPathFactory, shared: list[Lab]) -> Iterator[Lab]:
    with running_lab(tmp_path_factory.mktemp("notebook7"), "notebook") as started:
        shared.append(started)
        yield started
        shared.remove(started)


@pytest.fixture(params=["lab", "notebook7"])
def either(request: pytest.FixtureRequest) -> Lab:
    """JupyterLab, and then Notebook 7."""
    app: Lab = request.getfixturevalue(request.param)
    return app


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with chromium.running(chromium.SHELL, chromium.WHOLE) as started:
        yield started


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1280, "height": 900}, locale="en-GB")
    page = context.new_page()
    page.set_default_timeout(30_000)
    yield page
    context.close()


@pytest.fixture
def complaints(page: Page) -> list[str]:
    """What the console of the browser has noted as errors so far, with the addresses."""
    noted: list[str] = []

    def note(message: ConsoleMessage) -> None:
        if message.type == "error":
            noted.append(f"{message.text} {message.location['url']}")

    page.on("console", note)
    return noted


@pytest.fixture
def screenshot(page: Page) -> Callable[[str], None]:
    """Keep what the page looks like now, for a person to look at."""

    def take(name: str) -> None:
        SCREENSHOTS.mkdir(exist_ok=True)
        page.screenshot(path=SCREENSHOTS / f"{name}.png")

    return take
