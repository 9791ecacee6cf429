"""Style sheets that come with the page that needs them overrule each other as if all were there."""

from __future__ import annotations

import itertools

import pytest
from playwright.sync_api import Browser, expect

from tests.ui.plot_page import plot_page

pytestmark = [pytest.mark.ui, pytest.mark.service("chromium")]

# Of these the later one holds, as it does for a button of the live view on a page of its own.
SHEETS = {"view": "main { color: red }", "page": "main { color: blue }"}
ALWAYS = {"panel": "main { color: gray }", "cards": ""}
ADD = "async sheets => (await import('/lib/styles')).addStyles(sheets)"


@pytest.mark.parametrize("order", [*itertools.permutations(SHEETS)], ids=" before ".join)
def test_the_same_style_sheet_holds_whichever_page_was_opened_first(
    browser: Browser, order: tuple[str, ...]
) -> None:
    with plot_page() as url, browser.new_context() as context:
        page = context.new_page()
        page.goto(url)
        page.evaluate("document.body.append(document.createElement('main'))")
        for sheets in [ALWAYS, *({name: SHEETS[name]} for name in order), SHEETS]:
            page.evaluate(ADD, sheets)
        expect(page.locator("main")).to_have_css("color", "rgb(0, 0, 255)")
        assert page.locator("style[data-aml-sheet]").count() == len(ALWAYS) + len(SHEETS)
