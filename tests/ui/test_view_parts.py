"""The browser half of the live view by itself: the built module, with a model in the page."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from playwright.sync_api import Locator, Page, expect

pytestmark = [pytest.mark.ui, pytest.mark.service("chromium")]

ROOT = Path(__file__).parents[2]
STATIC = ROOT / "aml_jupyter" / "notebook" / "static"
WIRE = ROOT / "labextension" / "wire"
DRIVER = "azureml-logs/70_driver_log.txt"

# A model as anywidget hands it over, kept in memory: what it is told and what it sends can be seen.
PAGE = """
window.makeModel = state => {
  const handlers = {};
  const emit = (name, ...values) => (handlers[name] ?? []).slice().forEach(one => one(...values));
  return {
    sent: [], handlers,
    get: name => state[name],
    set(name, value) { state[name] = value; emit(`change:${name}`); },
    save_changes() {},
    send(content) { this.sent.push(content); window.answer?.(content); },
    on(name, callback) { (handlers[name] ??= []).push(callback); },
    off(name, callback) { handlers[name] = handlers[name].filter(one => one !== callback); },
    tell(told, buffer) { emit('msg:custom', told, buffer ? [new DataView(buffer)] : []); }
  };
};
window.addView = async () => {
  const view = document.createElement('div');
  view.className = 'aml-view';
  const el = view.appendChild(document.createElement('div'));
  document.querySelector('main').append(view);
  window.end = await widget.render({ model, el });
};
window.begin = async (source, state) => {
  const url = URL.createObjectURL(new Blob([source], { type: 'text/javascript' }));
  window.widget = await (await import(url)).default();
  window.model = makeModel(state);
  window.close = await widget.initialize({ model });
  await addView();
};
"""


def head(**changes: object) -> dict[str, object]:
    run: dict[str, object] = {
        "id": "mnist_1795233600_0a1b2c3d",
        "name": "lively_lemur",
        "experiment": "mnist",
        "status": "Running",
        "target": "local",
        "environment": "py311",
        "colour": "",
        "work": "/runs/one/copy",
        "source": "",
        "batch": False,
        "notebook": "",
        "started": 1000.0,
        "ended": None,
        "now": 1160.0,
        "stages": [{"state": "Running", "since": 1000.0, "until": None}],
        "progress": None,
        "error": "",
        "note": "",
    }
    return {**run, **changes}


def piece(lines: Sequence[str], first: int = 0, **changes: object) -> dict[str, object]:
    log: dict[str, object] = {
        "file": DRIVER,
        "files": [DRIVER, "logs/more.log"],
        "first": first,
        "reset": first == 0,
        "lines": list(lines),
        "cut": 0,
        "passed": 0,
        "size": 1000,
        "ended": False,
    }
    return {**log, **changes}


def state(**changes: object) -> dict[str, object]:
    shared: dict[str, object] = {
        "runs": [head()],
        "tabs": ["overview", "log", "system", "files", "facts", "children", "compare"],
        "tab": "log",
        "shown": False,
        "beat": 0,
        "hosted": False,
        "options": {
            **{"filter": "", "axis": "step", "log_x": False, "log_y": False, "smoothing": 0},
            **{"grouping": "each", "most": 24, "zoomed": False},
        },
        "charts": {
            **{"metrics": 10_000, "matching": 12, "charts": 12, "drawn": 6},
            **{"reading": 1, "figures": []},
        },
        "log": piece([]),
        "backs": [],
    }
    return {**shared, **changes}


def check(message: object, name: str) -> None:
    """See that a message is as the wire has it; all its schemas share one set of definitions."""
    schema, shared = (
        json.loads((WIRE / f"{one}.schema.json").read_text("utf-8")) for one in (name, "run-view")
    )
    jsonschema.validate(message, {**schema, "$defs": shared["$defs"]})


class View:
    """The live view in a page, and the model behind it."""

    def __init__(self, page: Page) -> None:
        self.page = page

    def begin(self, shared: Mapping[str, object], answer: str = "") -> None:
        """Show a view; ``answer`` is a function in JavaScript that plays the kernel."""
        check(shared, "run-view")
        self.page.set_content("<!doctype html><main></main>")
        self.page.add_style_tag(path=STATIC / "view.css")
        self.page.add_script_tag(content=PAGE)
        if answer:
            self.page.evaluate(f"window.answer = {answer}; null")
        source = (STATIC / "view.js").read_text("utf-8")
        self.page.evaluate("([source, state]) => begin(source, state)", [source, shared])

    def tell(self, kind: str, content: object, **more: object) -> None:
        """Let the kernel say something."""
        told = {"kind": kind, kind: content, **more}
        check(told, "run-view-told")
        self.page.evaluate("told => model.tell(told)", told)

    def set(self, name: str, value: object) -> None:
        """Let the kernel change a part of the shared state."""
        self.page.evaluate("([name, value]) => model.set(name, value)", [name, value])

    def get(self, name: str) -> Any:
        return self.page.evaluate("name => model.get(name)", name)

    def asked(self, kind: str) -> list[dict[str, Any]]:
        """What the kernel was asked for of this kind."""
        sent = self.page.evaluate("model.sent")
        for message in sent:
            check(message, "run-view-asked")
        return [message for message in sent if message["kind"] == kind]

    def role(self, role: Any, name: str) -> Locator:
        return self.page.get_by_role(role, name=name, exact=True)

    @property
    def lines(self) -> Locator:
        return self.role("log", "Log").locator(".aml-v-line")

    def expect_lines(self, *lines: str) -> None:
        expect(self.lines).to_have_text([*lines])


@pytest.fixture
def view(page: Page) -> Iterator[View]:
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    shown = View(page)
    yield shown
    assert errors == []


# Colours

WHITE = "rgb(255, 255, 255)"

LOOKS: Sequence[tuple[str, Sequence[tuple[str, Mapping[str, str]]]]] = [
    ("plain", [("plain", {})]),
    ("\x1b[1mbold\x1b[0m no", [("bold", {"font-weight": "700"}), (" no", {})]),
    ("\x1b[1;3mboth", [("both", {"font-style": "italic", "font-weight": "700"})]),
    ("\x1b[4mline\x1b[24m", [("line", {"text-decoration-line": "underline"})]),
    ("\x1b[9;4mlines", [("lines", {"text-decoration-line": "underline line-through"})]),
    ("\x1b[2mfaint\x1b[22m.", [("faint", {"opacity": "0.65"}), (".", {})]),
    ("\x1b[31mred\x1b[39m.", [("red", {"color": "rgb(209, 77, 65)"}), (".", {})]),
    ("\x1b[91mred", [("red", {"color": "rgb(224, 96, 79)"})]),
    ("\x1b[38;5;67mx", [("x", {"color": "rgb(95, 135, 175)"})]),
    ("\x1b[48;5;21mx", [("x", {"background-color": "rgb(0, 0, 255)"})]),
    ("\x1b[48;2;1;2;3mx", [("x", {"background-color": "rgb(1, 2, 3)", "color": WHITE})]),
    ("\x1b[48:2::1:2:3mx", [("x", {"background-color": "rgb(1, 2, 3)"})]),
    ("\x1b[103mx", [("x", {"background-color": "rgb(173, 133, 15)"})]),
    ("\x1b[38;2;1;2;3;7mx", [("x", {"background-color": "rgb(1, 2, 3)"})]),
    ("\x1b[m\x1b[0;0mx", [("x", {})]),
    ("\x1b[38;5mx\x1b[38mx\x1b[38;9;1mx\x1b[;;mx\x1b[1000mx", [("xxxxx", {})]),
]


def test_a_line_has_the_looks_of_its_codes(view: View) -> None:
    view.begin(state(log=piece([f"{text}\x1b[0m" for text, _ in LOOKS])))
    view.expect_lines(*("".join(part for part, _ in styles) for _, styles in LOOKS))
    for number, (_, styles) in enumerate(LOOKS):
        spans = view.lines.nth(number).locator("span")
        looks = [look for _, look in styles if look]
        expect(spans).to_have_count(len(looks))
        for span, look in zip(spans.all(), looks, strict=True):
            for name, value in look.items():
                expect(span).to_have_css(name, value)


def test_codes_that_are_no_looks_leave_no_trace(view: View) -> None:
    codes = [
        *("\x1b[2K", "\x1b[10;20H", "\x1b[?25l", "\x1b]0;title\x07", "\x1b]8;;http://x\x1b\\"),
        *("\x1b(B", "\x1bM", "\x00", "\x07", "\x08", "\x7f", "\x1b", "\x1b[", "\x1b[12;"),
    ]
    view.begin(state(log=piece([f"before{code}" for code in codes])))
    view.expect_lines(*["before"] * len(codes))


def test_a_look_lasts_until_a_later_line_ends_it(view: View) -> None:
    view.begin(state(log=piece(["\x1b[1mone", "two", "three\x1b[0m", "four"])))
    expect(view.lines.nth(1).locator("span")).to_have_css("font-weight", "700")
    expect(view.lines.nth(3)).to_have_text("four")
    assert view.lines.nth(3).locator("span").count() == 0
    view.tell("log", piece(["no more\x1b[0m", "plain"], first=1))
    view.expect_lines("one", "no more", "plain")
    assert view.lines.nth(2).locator("span").count() == 0


def test_every_colour_is_readable_on_light_and_on_dark(view: View) -> None:
    view.begin(state(log=piece([f"\x1b[38;5;{n}mx{n}" for n in range(1, 256)])))
    expect(view.lines).to_have_count(255)
    styles = view.page.evaluate(
        "[...document.querySelectorAll('.aml-v-line span')].map(n => n.style.color)"
    )
    assert len(styles) > 240
    for style in styles:
        light = luminance([int(part) for part in re.findall(r"\d+", style)])
        assert 1.05 / (light + 0.05) > 3, f"{style} on white"
        assert (light + 0.05) / 0.0556 > 2.9, f"{style} on #111111"


def luminance(colour: Sequence[int]) -> float:
    parts = [part / 255 for part in colour]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


# The log


def test_pieces_replace_lines_from_their_first_on(view: View) -> None:
    view.begin(state())
    expect(view.page.get_by_text("No output yet.")).to_be_visible()
    view.tell("log", piece(["a", "10 %"]))
    view.tell("log", piece(["50 %"], first=1))
    view.tell("log", piece(["100 %", "b", ""], first=1))
    view.expect_lines("a", "100 %", "b", "")
    view.tell("log", piece(["c"], first=2))
    view.expect_lines("a", "100 %", "c")


def test_only_nodes_of_changed_lines_are_touched(view: View) -> None:
    view.begin(state(log=piece(["a", "b", "10 %"])))
    view.expect_lines("a", "b", "10 %")
    view.page.evaluate(
        "document.querySelectorAll('.aml-v-line').forEach((n, i) => n.firstChild.mark = i)"
    )
    view.tell("log", piece(["20 %", "c"], first=2))
    view.expect_lines("a", "b", "20 %", "c")
    marks = view.page.evaluate(
        "[...document.querySelectorAll('.aml-v-line')].map(n => n.firstChild.mark ?? null)"
    )
    assert marks == [0, 1, None, None]


def test_a_reset_forgets_all_that_was_there(view: View) -> None:
    view.begin(state(log=piece(["old", "older"])))
    view.tell("log", piece(["new"], first=500, reset=True, file="logs/more.log"))
    view.expect_lines("new")
    view.tell("log", piece(["late"], first=501))
    view.tell("log", piece(["next"], first=501, file="logs/more.log"))
    view.expect_lines("new", "next")


def test_a_hole_is_asked_for_and_not_drawn(view: View) -> None:
    view.begin(state(log=piece(["a"])))
    view.page.wait_for_function("model.sent.length === 1")
    for first in (5, 6, 7):
        view.tell("log", piece(["far"], first=first))
    view.page.wait_for_function("model.sent.length === 2")
    assert len(view.asked("ready")) == 2
    view.expect_lines("a")
    view.tell("log", piece(["a", "b"]))
    view.expect_lines("a", "b")


def test_bytes_passed_over_are_said_where_they_are_missing(view: View) -> None:
    view.begin(state(log=piece(["a"])))
    view.tell("log", piece(["b", "c"], first=1, passed=12_400_000))
    view.tell("log", piece(["b again", "c"], first=1))
    passed = view.lines.nth(1).locator(".aml-v-passed")
    expect(passed).to_have_text("… 12.4 MB passed over, they are in the file")
    expect(view.page.locator(".aml-v-passed")).to_have_count(1)


def test_the_oldest_lines_go_when_there_are_too_many(view: View) -> None:
    view.begin(state(log=piece([f"line {n}" for n in range(1990)])))
    view.tell("log", piece([f"line {n}" for n in range(1990, 2100)], first=1990))
    expect(view.lines.last).to_have_text("line 2099")
    expect(view.lines).to_have_count(2000)
    expect(view.lines.first).to_have_text("line 100")
    view.tell("log", piece([f"line {n}" for n in range(2100, 12_100)], first=2100))
    expect(view.lines.last).to_have_text("line 12099")
    expect(view.lines.first).to_have_text("line 10100")


def test_large_lines_go_sooner(view: View) -> None:
    view.begin(state(log=piece([f"{n} " + "x" * 4990 for n in range(1000)])))
    expect(view.lines.last).to_contain_text("999 xxx")
    assert 300 < view.lines.count() <= 2_000_000 // 4990


def test_a_line_without_end_is_cut_once(view: View) -> None:
    cut = "y" * 5000 + "… (1,234 more characters)"
    view.begin(state(log=piece(["x" * 6234, cut])))
    view.expect_lines("x" * 5000 + "… (1,234 more characters)", cut)


def test_an_ended_run_that_wrote_nothing_says_so(view: View) -> None:
    view.begin(state(log=piece([], ended=True)))
    expect(view.page.get_by_text("The run wrote nothing.")).to_be_visible()


def test_scrolling_up_stops_following_and_the_end_resumes_it(view: View) -> None:
    view.begin(state(log=piece([f"line {n}" for n in range(200)])))
    expect(view.lines.last).to_be_in_viewport()
    log, follow = view.role("log", "Log"), view.role("switch", "Follow")
    log.evaluate("node => node.scrollTop -= 500")
    expect(follow).not_to_be_checked()
    view.tell("log", piece(["new"], first=200))
    expect(view.lines.last).to_have_text("new")
    expect(view.lines.last).not_to_be_in_viewport()
    log.evaluate("node => node.scrollTop = node.scrollHeight")
    expect(follow).to_be_checked()
    view.tell("log", piece(["newer"], first=201))
    expect(view.lines.filter(has_text="newer")).to_be_in_viewport()


def test_a_place_in_a_traceback_can_be_opened_or_is_copied(view: View) -> None:
    lines = ['  File "/a b/\x1b[32mtrain.py\x1b[0m", line 12, in f', "src/m.py:33: UserWarning"]
    view.begin(state(log=piece([*lines, "see http://x.org/a.py:1 or javascript:alert(1)"])))
    links = view.role("log", "Log").get_by_role("link")
    expect(links).to_have_text(['File "/a b/train.py", line 12', "src/m.py:33"])
    expect(view.page.locator("a")).to_have_count(0)
    links.nth(1).click()
    expect(view.page.get_by_text(re.compile(r"^src/m.py:33( \(copied\))?$")).last).to_be_visible()
    view.page.evaluate("""addEventListener('aml:open-file', event => {
        window.opened = event.detail; event.preventDefault(); })""")
    links.nth(0).focus()
    view.page.keyboard.press("Enter")
    assert view.page.evaluate("opened") == {"path": "/a b/train.py", "line": 12}


def test_a_place_in_what_a_run_copied_is_the_one_it_was_copied_from(view: View) -> None:
    lines = ['File "/runs/one/copy/a/train.py", line 3', "b.py:4: no", 'File "/lib/x.py", line 5']
    view.begin(state(runs=[{**head(), "source": "/project"}], log=piece(lines)))
    view.page.evaluate("""window.opened = []; addEventListener('aml:open-file', event => {
        window.opened.push(event.detail.path); event.preventDefault(); })""")
    for link in view.role("log", "Log").get_by_role("link").all():
        link.click()
    assert view.page.evaluate("opened") == [*("/project/a/train.py", "/project/b.py", "/lib/x.py")]


def test_a_search_marks_and_steps_through_what_is_here(view: View) -> None:
    view.begin(state(log=piece(["Loss 1", "none", "lo\x1b[1mss\x1b[0m 2", "a+b (x)"])))
    field = view.role("searchbox", "Search the log")
    field.fill("LOSS")
    expect(view.page.get_by_text("2 here")).to_be_visible()
    field.press("Enter")
    expect(view.page.get_by_text("2 of 2")).to_be_visible()
    field.press("Enter")
    expect(view.page.get_by_text("1 of 2")).to_be_visible()
    view.tell("log", piece(["loss 3"], first=4))
    expect(view.page.get_by_text("1 of 3")).to_be_visible()
    field.fill("a+b (")
    expect(view.page.locator("mark")).to_have_text(["a+b ("])
    field.press("Escape")
    expect(view.page.locator("mark")).to_have_count(0)


def log_page(start: int, end: int, size: int = 900) -> dict[str, object]:
    lines = [f"at {at}" for at in range(start, end, 10)]
    return {"file": DRIVER, "from": start, "to": end, "size": size, "lines": lines}


def test_a_match_in_the_whole_file_opens_what_is_around_it(view: View) -> None:
    view.begin(state(log=piece(["end"], cut=890)))
    view.role("searchbox", "Search the log").fill("at 3")
    view.role("button", "Search the whole file").click()
    assert view.asked("find") == [{"kind": "find", "file": DRIVER, "text": "at 3"}]
    matches = {"file": DRIVER, "text": "at 3", "more": False, "searched": 900}
    view.tell("matches", {**matches, "matches": [{"at": 300, "line": "at 300"}]})
    view.role("button", "at 300").click()
    assert view.asked("page")[-1] == {"kind": "page", "file": DRIVER, "at": 300, "text": "after"}
    view.tell("page", log_page(300, 600))
    assert view.asked("page")[-1] == {"kind": "page", "file": DRIVER, "at": 300, "text": "before"}
    view.tell("page", log_page(0, 300))
    lines = view.role("log", "Part of the log").locator(".aml-v-line")
    expect(lines).to_have_count(60)
    expect(lines.nth(30)).to_be_in_viewport()
    expect(view.role("button", "Earlier")).to_be_disabled()
    view.role("button", "Back to the end").click()
    view.expect_lines("end")


def test_earlier_pages_join_and_keep_the_place(view: View) -> None:
    view.begin(state(log=piece(["end"], cut=890)))
    expect(view.lines).to_have_count(1)
    view.role("button", "Earlier").click()
    assert view.asked("page") == [{"kind": "page", "file": DRIVER, "at": 890, "text": "before"}]
    view.tell("page", log_page(600, 890))
    lines = view.role("log", "Part of the log").locator(".aml-v-line")
    expect(lines.last).to_be_in_viewport()
    view.role("button", "Earlier").click()
    assert view.asked("page")[-1]["at"] == 600
    view.tell("page", log_page(300, 600))
    expect(lines.first).to_have_text("at 300")
    expect(lines.last).to_be_in_viewport()
    expect(view.page.get_by_text("300 B to 890 B of 900 B")).to_be_visible()


# What a kernel does not answer


def test_a_button_waits_for_its_answer_and_gives_up_politely(view: View) -> None:
    view.page.clock.install()
    view.begin(state())
    cancel = view.role("button", "Cancel")
    cancel.click()
    cancel.click()
    expect(cancel).to_have_attribute("aria-busy", "true")
    assert len(view.asked("cancel")) == 1
    view.set("runs", [head(progress={"text": "half", "done": 0.5, "left": None})])
    expect(cancel).to_have_attribute("aria-busy", "true")
    view.page.clock.run_for(16_000)
    expect(cancel).not_to_have_attribute("aria-busy", "true")
    busy = "The kernel is busy; “Cancel” will be done when it is free."
    expect(view.page.get_by_role("status").filter(has_text=busy)).to_be_visible()
    view.set("runs", [head(status="CancelRequested")])
    expect(cancel).to_be_hidden()


def test_what_went_wrong_stays_until_it_is_dismissed(view: View) -> None:
    view.page.clock.install()
    view.begin(state())
    view.tell("said", "It went well.")
    view.tell("said", "It went <b>wrong</b>.", bad=True)
    expect(view.page.get_by_text("It went well.")).to_be_visible()
    view.page.clock.run_for(11_000)
    expect(view.page.get_by_text("It went well.")).to_have_count(0)
    expect(view.page.get_by_role("alert")).to_contain_text("It went <b>wrong</b>.")
    view.role("button", "Dismiss").click()
    expect(view.page.get_by_role("alert")).to_have_text("")


def test_out_of_sight_is_told_after_a_while_and_back_at_once(view: View) -> None:
    view.page.clock.install()
    view.begin(state())
    view.page.wait_for_function("model.get('shown')")
    view.page.clock.run_for(41_000)
    assert view.get("beat") == 2
    view.page.evaluate("document.querySelector('main').style.marginTop = '5000px'")
    view.page.wait_for_timeout(100)  # for the browser to see that it is gone
    view.page.clock.run_for(2000)
    assert view.get("shown")
    view.page.clock.run_for(2000)
    view.page.wait_for_function("!model.get('shown')")
    view.page.evaluate("document.querySelector('main').style.marginTop = ''")
    view.page.wait_for_function("model.get('shown')")


# Head and tabs


def test_time_is_counted_by_the_kernels_clock(view: View) -> None:
    view.page.clock.install()
    view.begin(state(runs=[head(progress={"text": "3 of 10", "done": 0.31, "left": 185.0})]))
    expect(view.page.get_by_text("2 min 40 s")).to_be_visible()
    expect(view.page.get_by_text("about 3 min left")).to_be_visible()
    expect(view.role("progressbar", "Progress")).to_have_attribute("aria-valuenow", "31")
    view.page.clock.run_for(65_000)
    expect(view.page.get_by_text("3 min 45 s")).to_be_visible()
    expect(view.page.get_by_text("about 2 min left")).to_be_visible()
    expect(view.role("list", "Time line").get_by_role("listitem")).to_have_attribute(
        "aria-label", "Running: 3 min 45 s"
    )
    ended = head(status="Completed", ended=1200.0, now=5000.0)
    view.set("runs", [ended])
    expect(view.page.get_by_text("3 min 20 s")).to_be_visible()


def test_only_changes_of_state_are_announced(view: View) -> None:
    view.begin(state())
    status = view.page.get_by_role("status").filter(has_text="Running")
    expect(status).to_have_text("Running")
    view.page.evaluate("""window.changes = 0; new MutationObserver(() => changes++).observe(
        document.querySelector('.aml-v-state'), {subtree: true, childList: true})""")
    view.set("runs", [head(now=1170.0)])
    expect(view.page.get_by_text("2 min 50 s")).to_be_visible()
    assert view.page.evaluate("changes") == 0
    view.set("runs", [head(status="Failed", error="ValueError: <b>bad</b>", ended=1170.0)])
    expect(view.page.get_by_role("status").filter(has_text="Failed")).to_be_visible()
    expect(view.role("group", "Error")).to_have_text("ValueError: <b>bad</b>")


def test_tabs_follow_the_arrow_keys_and_are_remembered(view: View) -> None:
    view.begin(state(tab="overview"))
    view.role("tab", "Overview").focus()
    for key, name in (("ArrowRight", "Log"), ("End", "Compare"), ("ArrowRight", "Overview"),
                      ("ArrowLeft", "Compare"), ("Home", "Overview")):  # fmt: skip
        view.page.keyboard.press(key)
        expect(view.role("tab", name)).to_be_focused()
        expect(view.role("tab", name)).to_have_attribute("aria-selected", "true")
        expect(view.role("tabpanel", name)).to_be_visible()
    assert view.get("tab") == "overview"
    view.set("tabs", ["overview", "log"])
    expect(view.page.get_by_role("tab")).to_have_text(["Overview", "Log"])


def test_plain_keys_are_kept_from_jupyterlab_but_not_those_with_control(view: View) -> None:
    view.begin(state(tab="overview"))
    view.page.evaluate("""window.kept = {}; document.addEventListener('keydown', event => {
        kept[event.key] = event.target.hasAttribute('data-lm-suppress-shortcuts'); }, true)""")
    view.role("tab", "Overview").focus()
    for keys in ("ArrowDown", "Enter", "Control+s"):
        view.page.keyboard.press(keys)
    kept = view.page.evaluate("kept")
    assert kept["ArrowDown"]
    assert kept["Enter"]
    assert not kept["s"]


def test_a_tab_asks_for_what_it_shows_when_it_is_opened(view: View) -> None:
    # What goes on is asked for now and then as well.
    view.begin(state(tab="overview", runs=[head(status="Completed")]))
    expect(view.role("tab", "System")).to_be_visible()
    assert not view.asked("system")
    for tab, kind in (("System", "system"), ("Files", "files"), ("Facts", "facts"),
                      ("Runs", "children"), ("Compare", "compare")):  # fmt: skip
        view.role("tab", tab).click()
        assert len(view.asked(kind)) == 1
    view.set("runs", [head(id="another", status="Completed")])
    assert len(view.asked("compare")) == 2


def test_several_views_of_a_model_show_the_same(view: View) -> None:
    view.begin(state(log=piece(["a"])))
    view.page.evaluate("addView()")
    view.tell("log", piece(["b"], first=1))
    expect(view.page.locator(".aml-v-line")).to_have_text(["a", "b", "a", "b"])
    view.role("tab", "Facts").first.click()
    for panel in view.role("tabpanel", "Facts").all():
        expect(panel).to_be_visible()
    assert view.page.locator(".aml-view").evaluate_all(
        "all => all.map(one => one.dataset.tab)"
    ) == [
        "facts",
        "facts",
    ]


def test_a_closed_view_leaves_nothing_behind(view: View) -> None:
    view.begin(state())
    view.page.evaluate("end(); close()")
    handlers = view.page.evaluate("Object.values(model.handlers).flat().length")
    assert handlers == 0


def test_a_run_to_compare_with_is_chosen_from_a_list(view: View) -> None:
    view.begin(state())
    view.role("button", "Compare…").click()
    others = [{"id": f"r{n}", "name": f"hippo_{n}", "status": "Completed", "started": 1.0}
              for n in range(12)]  # fmt: skip
    view.tell("candidates", others)
    field = view.role("searchbox", "Search runs")
    expect(field).to_be_focused()
    field.fill("hippo_1 compl")
    choices = view.role("group", "Compare with").get_by_role("button")
    expect(choices).to_have_count(3)
    choices.last.click()
    assert view.asked("against") == [{"kind": "against", "run": "r11"}]
    expect(field).to_be_hidden()


def test_the_chart_bar_sets_options(view: View) -> None:
    view.begin(state(tab="overview"))
    expect(view.page.get_by_text("12 of 10,000 metrics")).to_be_visible()
    view.role("searchbox", "Filter metrics").fill("loss")
    view.page.wait_for_function("model.get('options').filter === 'loss'")
    view.role("button", "log y").click()
    view.role("combobox", "Horizontal axis").select_option("by clock")
    view.role("combobox", "Grouping").select_option("by prefix")
    view.role("slider", "Smoothing").fill("0.6")
    view.page.wait_for_function("model.get('options').smoothing === 0.6")
    view.role("button", "Show more charts (6 of 12)").click()
    options = view.get("options")
    wanted = {"axis": "clock", "grouping": "prefix", "log_x": False, "log_y": True, "most": 48}
    assert {**options, **wanted} == options
    expect(view.role("button", "Show everything")).to_be_hidden()
    view.set("options", {**options, "zoomed": True})
    view.role("button", "Show everything").click()
    assert view.get("options")["zoomed"] is False


# Files

SERVE = """asked => {
  if (asked.kind !== 'bytes') return;
  const all = window.files[asked.path];
  const part = all.slice(asked.from, asked.from + asked.count);
  const about = { size: all.length, modified: 1, ended: true };
  const bytes = { path: asked.path, from: asked.from, token: asked.token, ...about };
  setTimeout(() => model.tell({ kind: 'bytes', bytes }, part.buffer));
}"""


def serve(view: View, files: Mapping[str, bytes], tab: str) -> None:
    """Show a run with these files, and a kernel that hands out their bytes."""
    view.begin(state(log=piece(["x"], size=len(files.get(DRIVER, b"")))), answer=SERVE)
    view.page.evaluate(
        "files => { window.files = Object.fromEntries(Object.entries(files).map("
        "([name, text]) => [name, Uint8Array.from(atob(text), letter => letter.charCodeAt(0))])) }",
        {name: encoded(data) for name, data in files.items()},
    )
    view.role("tab", tab).click()
    listed = [{"path": name, "size": len(data), "modified": 1.0} for name, data in files.items()]
    view.tell("files", {"folder": "/runs/x", "files": listed, "more": 0})


def encoded(data: bytes) -> str:
    return b64encode(data).decode("ascii")


def test_a_download_is_the_file_in_pieces(view: View, tmp_path: Path) -> None:
    content = bytes(range(256)) * 5000
    serve(view, {DRIVER: content}, "Log")
    with view.page.expect_download() as download:
        view.role("button", "Download").click()
    download.value.save_as(tmp_path / "log")
    assert download.value.suggested_filename == "70_driver_log.txt"
    assert (tmp_path / "log").read_bytes() == content
    assert [one["from"] for one in view.asked("bytes")] == [0, 524_288, 1_048_576]


def test_a_download_that_fails_says_why(view: View) -> None:
    view.begin(state(log=piece(["x"], size=10)))
    view.role("button", "Download").click()
    view.tell("said", "The file is gone.", bad=True)
    expect(view.page.get_by_role("alert")).to_contain_text("The file is gone.")
    expect(view.role("button", "Stop")).to_be_hidden()


PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010806000000"
    "1f15c4890000000d49444154789c63f8cfc0f01f00050001ff89993d1d0000000049454e44ae426082"
)


LOOKED_AT = {
    "a.txt": (b"\x1b[31mred\x1b[0m <b>\n", "red <b>"),
    "a.json": (b'{"a": [1, "<i>"]}', '{\n  "a": [\n    1,\n    "<i>"\n  ]\n}'),
    "nan.json": (b'{"a": NaN}', '{"a": NaN}'),
    "long.txt": (b"x" * 300_000, "The beginning of 300 kB."),
    "a.bin": (b"\x00\x01", "There is no preview of this kind of file."),
    "broken.png": (b"not a picture", "This picture cannot be shown."),
    "empty.log": (b"", "The file is empty."),
}


def test_files_can_be_looked_at(view: View) -> None:
    serve(view, {f"outputs/{name}": data for name, (data, _) in LOOKED_AT.items()}, "Files")
    for name, (_, seen) in LOOKED_AT.items():
        view.page.locator(f"[data-path='outputs/{name}']").click()
        expect(view.role("region", "Preview")).to_contain_text(seen, use_inner_text=True)


def test_a_table_of_values_is_shown_as_one_within_bounds(view: View) -> None:
    rows = ['name,"a ""b""",' + ",".join(f"c{n}" for n in range(40))]
    rows += [f'"<i>x,\n{n}",{n},' + "," * 39 for n in range(150)]
    serve(view, {"outputs/t.csv": "\r\n".join(rows).encode()}, "Files")
    view.page.locator(".aml-v-file").click()
    table = view.page.get_by_role("table")
    expect(table.get_by_role("columnheader").nth(1)).to_have_text('a "b"')
    expect(table.get_by_role("columnheader")).to_have_count(30)
    expect(table.get_by_role("row")).to_have_count(101)
    expect(table.get_by_role("row").nth(1).get_by_role("cell").first).to_have_text("<i>x, 0")
    expect(view.page.get_by_text("The first 100 rows. The first 30 of 42 columns.")).to_be_visible()


def test_a_picture_is_shown_from_memory(view: View) -> None:
    serve(view, {"outputs/p.png": PIXEL}, "Files")
    view.page.locator(".aml-v-file").click()
    image = view.role("img", "outputs/p.png")
    expect(image).to_have_attribute("src", re.compile("^blob:"))
    view.page.wait_for_function("document.querySelector('img').naturalWidth === 1")


def test_folders_stay_as_the_reader_left_them(view: View) -> None:
    serve(view, {"outputs/a/x": b"1", "outputs/b": b"2"}, "Files")
    view.page.get_by_text("a/").click()
    expect(view.page.locator("[data-path='outputs/a/x']")).to_be_hidden()
    view.page.locator("[data-path='outputs/b']").focus()
    grown = [{"path": path, "size": 5, "modified": 1.0} for path in ("outputs/a/x", "outputs/b")]
    view.tell("files", {"folder": "/runs/x", "files": grown, "more": 7})
    expect(view.page.get_by_text("7 more files are not listed.")).to_be_visible()
    expect(view.page.locator("[data-path='outputs/a/x']")).to_have_count(0)
    expect(view.page.locator("[data-path='outputs/b']")).to_be_focused()


# Facts, children, measurements

FACTS = {
    "sections": [{"title": "Parameters", "facts": [{"name": "lr", "value": "0.1"}]}],
    "tags": [{"name": "owner", "value": "ada"}],
    "texts": [{"title": "Changes", "kind": "diff", "text": "@@ -1 +1 @@\n-old\n+new"}],
}


def test_tags_are_added_changed_and_removed(view: View) -> None:
    view.begin(state(tab="facts"))
    view.tell("facts", FACTS)
    view.role("textbox", "Name of the tag").fill("purpose")
    view.role("textbox", "Value of the tag").fill("a try")
    view.page.keyboard.press("Enter")
    view.role("button", "Change owner, which is ada").click()
    field = view.role("textbox", "Value of owner")
    expect(field).to_be_focused()
    view.tell("facts", {**FACTS, "tags": [{"name": "owner", "value": "eve"}]})
    expect(field).to_have_value("ada")
    field.fill("bob")
    field.press("Enter")
    view.role("button", "Remove owner").click()
    assert [(one["name"], one["value"]) for one in view.asked("tag")] == [
        ("purpose", "a try"),
        ("owner", "bob"),
        ("owner", None),
    ]


def test_texts_open_with_a_diff_in_colours(view: View) -> None:
    view.begin(state(tab="facts"))
    view.tell("facts", FACTS)
    view.page.get_by_text("Changes").click()
    expect(view.page.locator(".aml-v-removed")).to_have_text("-old")
    view.tell("facts", FACTS)
    expect(view.page.locator(".aml-v-added")).to_be_visible()


def child(name: str, lr: str, loss: float | None) -> dict[str, object]:
    number = float(lr) if lr else None
    cells = [lr, "" if loss is None else str(loss)]
    facts = {
        "id": f"id_{name}",
        "name": name,
        "status": "Completed",
        "started": 1.0,
        "seconds": 2.0,
    }
    rest = {"key": name, "progress": None, "error": "", "note": "", "notebook": ""}
    return {**facts, **rest, "cells": cells, "numbers": [number, loss]}


def children(*rows: dict[str, object]) -> dict[str, object]:
    columns = [{"name": "lr", "kind": "parameter"}, {"name": "loss", "kind": "metric"}]
    return table_of(columns, rows)


def table_of(columns: object, rows: Iterable[object], of: str = "runs") -> dict[str, object]:
    facts = {"of": of, "more": 0, "picture": "", "partial": False}
    return {**facts, "columns": columns, "rows": list(rows)}


def test_children_are_sorted_with_missing_values_last(view: View) -> None:
    view.begin(state(tab="children"))
    rows = [child("t10", "0.1", 3.0), child("t9", "", None), child("t1", "0.02", 20.0)]
    view.tell("children", children(*rows))
    names = view.page.locator("tbody tr td:first-child")
    expect(names).to_have_text(["t10", "t9", "t1"])
    loss = view.role("button", "loss")
    loss.focus()
    view.page.keyboard.press("Enter")
    expect(names).to_have_text(["t1", "t10", "t9"])
    expect(view.role("columnheader", "loss")).to_have_attribute("aria-sort", "descending")
    loss.click()
    expect(names).to_have_text(["t10", "t1", "t9"])
    view.role("button", "Run").click()
    expect(names).to_have_text(["t1", "t9", "t10"])
    view.tell("children", children(child("t2", "1", 1.0), *rows))
    expect(names).to_have_text(["t1", "t2", "t9", "t10"])
    expect(view.role("columnheader", "loss")).to_have_attribute("aria-sort", "none")


def test_a_child_is_opened_by_mouse_and_by_keyboard(view: View) -> None:
    view.begin(state(tab="children"))
    view.tell("children", children(child("a", "1", 1.0), child("b", "2", 2.0)))
    view.page.get_by_role("cell").nth(1).click()
    view.role("button", "b").focus()
    view.page.keyboard.press("Enter")
    assert [one["run"] for one in view.asked("open")] == ["id_a", "id_b"]


def notebook(name: str, **facts: object) -> dict[str, object]:
    running = {"text": "cell 2 of 5 · Train", "done": 0.2, "left": 31.0}
    place = {"notebook": "outputs/report.ipynb"}
    return {**child(name, "", 0.5), "status": "Running", "progress": running, **place, **facts}


def notebooks(*rows: dict[str, object], partial: bool = False) -> dict[str, object]:
    table = children(*rows)
    return {**table, "of": "notebooks", "partial": partial}


def test_only_lines_of_notebooks_that_changed_are_drawn_anew(view: View) -> None:
    view.begin(state(tab="children", runs=[head(batch=True)]))
    view.tell("children", notebooks(notebook("a"), notebook("b"), notebook("c", id="")))
    first, second = (view.page.get_by_role("row", name=re.compile(f"^{name} ")) for name in "ab")
    expect(first).to_contain_text("cell 2 of 5 · Train")
    expect(first).to_contain_text("2 s · about 35 s left")
    expect(first.get_by_role("progressbar")).to_have_attribute("aria-valuenow", "20")
    for row in (first, second):
        row.evaluate("row => { row.dataset.mark = 'same' }")
    opener = second.get_by_role("button", name="Open the executed notebook")
    opener.focus()
    ended = {"status": "Failed", "progress": None, "error": "ValueError: no\nof all"}
    view.tell("children", notebooks(notebook("b", **ended), partial=True))
    expect(second).to_contain_text("ValueError: no")
    expect(opener).to_be_focused()
    expect(view.page.locator("tr[data-mark=same]")).to_have_count(2)
    second.locator("summary").click()
    expect(second.locator("pre")).to_have_text("ValueError: no\nof all")
    assert view.asked("open") == []
    states = view.role("group", "State")
    expect(states.get_by_role("button")).to_have_text(["All 3", "Running 2", "Failed 1"])
    states.get_by_role("button", name="Failed 1").click()
    expect(view.page.locator("tbody tr")).to_have_count(1)


def test_an_executed_notebook_that_nobody_shows_is_told_where_it_is(view: View) -> None:
    view.begin(state(tab="children", runs=[head(batch=True, work="/w/.aml/runs/batch/work")]))
    view.tell("children", notebooks(notebook("a")))
    view.page.get_by_role("button", name="Open the executed notebook of a").click()
    place = "/w/.aml/runs/id_a/outputs/report.ipynb"
    expect(view.page.get_by_role("status").get_by_text(place)).to_be_visible()


def test_a_batch_that_ended_with_something_left_can_go_on(view: View) -> None:
    view.begin(state(tabs=["children", "overview", "files"], runs=[head(batch=True)]))
    expect(view.page.get_by_role("tab")).to_have_text(["Notebooks", "Charts", "Files"])
    again = view.role("button", "Go on with the rest")
    expect(again).to_be_hidden()
    view.set("runs", [head(batch=True, status="Completed", ended=9.0)])
    expect(again).to_be_hidden()
    view.set("runs", [head(batch=True, status="Canceled", ended=9.0)])
    again.click()
    assert len(view.asked("resume")) == 1
    expect(view.role("button", "Run again")).to_be_hidden()


def test_measurements_are_charts_with_gaps_and_words(view: View) -> None:
    view.begin(state(tab="system"))
    line = {"group": "Memory", "unit": "B", "note": "resident", "x": [0, 1, 2, 3]}
    view.tell("system", [{**line, "name": "memory", "y": [1e9, None, 2e9, 1.4e9]}])
    chart = view.role("img", "Memory: memory last 1.4 GB")
    expect(chart).to_be_visible()
    path = chart.locator("path").last.get_attribute("d") or ""
    assert [path.count(letter) for letter in "MLh"] == [2, 1, 1]
    expect(view.page.get_by_text("resident")).to_be_visible()


# Hostile words

HOSTILE = '<img src=x onerror="window.hurt=1"><script>hurt=1</script></pre>&lt;\u202e\'`${hurt=1}'


def hostile_messages() -> list[tuple[str, object]]:
    text = HOSTILE
    fact = {"name": text, "value": text}
    series = {"name": text, "unit": text, "group": text, "x": [0], "y": [1], "note": text}
    progress = {"text": text, "done": 0.5, "left": 3.0}
    facts = {"id": text, "status": text, "error": text, "note": text, "notebook": text}
    row = {**child(text, "1", 1.0), **facts, "progress": progress, "cells": [text, text]}
    columns = [{"name": text, "kind": "parameter"}, {"name": text, "kind": "metric"}]
    files = [{"path": f"outputs/{text}", "size": 1, "modified": 1.0}]
    candidate = {"id": text, "name": text, "status": text, "started": 1.0}
    texts = [{"title": text, "text": text, "kind": "diff"}]
    sections = [{"title": text, "facts": [fact]}]
    return [
        ("system", [series, {**series, "name": f"{text}2"}]),
        ("files", {"folder": text, "files": files, "more": 0}),
        ("facts", {"sections": sections, "tags": [fact], "texts": texts}),
        ("children", table_of(columns, [row], of="notebooks")),
        ("candidates", [candidate]),
        ("said", text),
        ("log", piece([text, f'File "{text}", line 1', f"{text}.py:1"], files=[text], file=text)),
    ]


def test_nothing_that_comes_from_a_job_becomes_markup(view: View) -> None:
    words = ("id", "name", "experiment", "status", "target", "environment", "colour", "error")
    run = head(**dict.fromkeys([*words, "note"], HOSTILE))
    run["progress"] = {"text": HOSTILE, "done": 0.5, "left": None}
    run["stages"] = [{"state": HOSTILE, "since": 1000.0, "until": None}]
    view.begin(state(runs=[run, run], backs=[HOSTILE], tab="overview"))
    view.role("button", "Compare…").click()
    for kind, content in hostile_messages():
        view.tell(kind, content)
    for tab in ("System", "Files", "Facts", "Runs", "Log"):
        view.role("tab", tab).click()
    view.role("searchbox", "Search the log").fill("onerror")
    expect(view.page.locator("mark").first).to_have_text("onerror")
    view.role("tab", "Facts").click()
    view.page.locator("details summary", has_text="img").last.click()
    expect(view.page.locator(".aml-v-diff")).to_contain_text("<script>")
    assert view.page.evaluate("window.hurt ?? null") is None
    expect(view.page.locator("main").locator("script, img, [onerror], a, iframe")).to_have_count(0)
    expect(view.page.get_by_text("<img src=x").first).to_be_visible()


def test_no_part_is_wider_than_its_cell(view: View) -> None:
    word = "w" * 300
    run = head(name=word, environment=word, error=word, note=word)
    view.begin(state(runs=[run], log=piece([word], files=[DRIVER, word])))
    columns = [{"name": f"{word}{n}", "kind": "metric"} for n in range(9)]
    row = {**child(word, "1", 1.0), "cells": [word] * 9, "numbers": [None] * 9}
    view.tell("facts", {**FACTS, "tags": [{"name": word, "value": word}]})
    view.tell("children", table_of(columns, [row], of="notebooks"))
    files = [{"path": f"outputs/{word}", "size": 1, "modified": 1.0}]
    view.tell("files", {"folder": word, "files": files, "more": 0})
    for width in (400, 900, 1600):
        view.page.set_viewport_size({"width": width, "height": 900})
        for tab in ("Overview", "Log", "System", "Files", "Facts", "Runs", "Compare"):
            view.role("tab", tab).click()
            box = view.page.locator(".aml-view")
            wide, room = box.evaluate("view => [view.scrollWidth, view.clientWidth]")
            assert wide <= room < width, tab
