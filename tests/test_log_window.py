"""The end of a log for a browser: bounded lines, of which only what changed is sent."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aml_jupyter.watching import log_window
from aml_jupyter.watching.log_window import LINES, PIECE, WINDOW, LogWindow

NAME = "azureml-logs/70_driver_log.txt"


class Browser:
    """What a page makes of the pieces that it is sent."""

    def __init__(self) -> None:
        self.lines: dict[int, str] = {}
        self.passed = 0

    def take(self, piece: Mapping[str, Any] | None) -> None:
        if piece is None:
            return
        if piece["reset"]:
            self.lines.clear()
        first = piece["first"]
        assert not self.lines or first <= max(self.lines) + 1, "a piece leaves a hole"
        self.lines = {number: line for number, line in self.lines.items() if number < first}
        self.lines |= dict(enumerate(piece["lines"], start=first))
        self.passed += piece["passed"]

    def follow(self, window: LogWindow) -> None:
        self.take(window.piece())
        while window.look():
            self.take(window.piece())

    @property
    def text(self) -> str:
        return "\n".join(self.lines[number] for number in sorted(self.lines))


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / NAME
    path.parent.mkdir()
    path.touch()
    return path


def append(path: Path, data: bytes) -> None:
    with open(path, "ab") as file:
        file.write(data)


def test_a_log_that_is_not_there_yet_is_an_empty_one(tmp_path: Path) -> None:
    window = LogWindow(tmp_path, NAME)
    assert not window.look()
    piece = window.piece()
    assert piece is not None
    assert piece["reset"]
    assert piece["lines"] == []
    assert window.piece() is None


def test_a_pipe_in_the_place_of_a_log_keeps_nobody_waiting(log: Path) -> None:
    log.unlink()
    os.mkfifo(log)
    assert not LogWindow(log.parent.parent, NAME).look()


def test_only_what_changed_is_sent(log: Path) -> None:
    window = LogWindow(log.parent.parent, NAME)
    append(log, b"one\ntwo\nthr")
    window.look()
    window.piece()
    append(log, b"ee\nfour\n")
    window.look()
    piece = window.piece()
    assert piece is not None
    assert (piece["first"], piece["lines"]) == (2, ["three", "four"])
    assert window.piece() is None


def test_news_without_lines_changes_no_line(log: Path) -> None:
    window, browser = LogWindow(log.parent.parent, NAME), Browser()
    append(log, b"one\nunfinished")
    browser.follow(window)
    browser.take(window.nothing(ended=True))
    assert browser.text == "one\nunfinished"


def test_a_progress_bar_is_one_line_that_is_sent_again_in_its_last_state(log: Path) -> None:
    window, browser = LogWindow(log.parent.parent, NAME), Browser()
    for state in (b"start\n 0%", b"\r10%", b"\r20%\r", b"\r30%\r31%"):
        append(log, state)
        browser.follow(window)
    assert browser.text == "start\n31%"
    append(log, b"\rdone\nend\n")
    browser.follow(window)
    assert browser.text == "start\ndone\nend"


@given(
    st.lists(st.text(alphabet="ab\nä漢😀 ", max_size=40), max_size=20),
    st.lists(st.integers(1, 30), min_size=1, max_size=20),
)
def test_however_a_log_is_cut_into_pieces_the_page_shows_the_file(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], cuts: list[int]
) -> None:
    folder = tmp_path_factory.mktemp("log")
    path = folder / "x.txt"
    path.touch()
    window, browser = LogWindow(folder, "x.txt"), Browser()
    data = "".join(texts).encode()
    at = 0
    while at < len(data):
        cut = cuts[at % len(cuts)]  # in the middle of letters, too
        append(path, data[at : at + cut])
        at += cut
        browser.follow(window)
    assert browser.text == data.decode().removesuffix("\n")


def test_what_a_page_cannot_follow_is_passed_over_and_said(log: Path) -> None:
    window, browser = LogWindow(log.parent.parent, NAME), Browser()
    append(log, b"first\n")
    browser.follow(window)
    flood = b"".join(b"line %07d\n" % number for number in range(100_000))
    append(log, flood)
    browser.follow(window)
    lines = [browser.lines[number] for number in sorted(browser.lines)]
    assert lines[-1] == "line 0099999"
    numbers = [int(line[5:]) for line in lines if line != "first"]
    assert numbers == list(range(numbers[0], 100_000))
    assert len(flood) - WINDOW <= browser.passed <= len(flood)


def test_no_piece_is_larger_than_a_notebook_server_takes(log: Path) -> None:
    window = LogWindow(log.parent.parent, NAME)
    append(log, b"\x1b[31mx" * 200_000)
    append(log, b"\n" * 10_000)
    largest = 0
    while window.look():
        largest = max(largest, len(json.dumps(window.piece(), ensure_ascii=False)))
    assert largest < 4 * PIECE
    assert len(window.whole()["lines"]) <= LINES + 1


def test_of_a_line_that_never_ends_the_beginning_is_kept(log: Path) -> None:
    window = LogWindow(log.parent.parent, NAME)
    for _ in range(40):
        append(log, b"x" * 10_000)
        window.look()
        window.piece()
    shown = window.whole()["lines"]
    assert len(shown) == 1
    assert re.fullmatch(r"x{5000} … \([\d,]+ more characters\)", shown[0])


def test_a_log_that_begins_anew_is_shown_anew(log: Path) -> None:
    window, browser = LogWindow(log.parent.parent, NAME), Browser()
    append(log, b"before\n")
    browser.follow(window)
    log.write_bytes(b"now\n")
    browser.follow(window)
    assert browser.text == "now"


def test_pages_lead_from_the_window_back_to_the_beginning(log: Path) -> None:
    lines = [f"line {number:07d}" for number in range(30_000)]
    append(log, "\n".join(lines).encode() + b"\n")
    window = LogWindow(log.parent.parent, NAME)
    while window.look():
        pass
    at = window.whole()["cut"]
    found = window.whole()["lines"]
    while at > 0:
        page = log_window.page(log.parent.parent, NAME, at, before=True)
        assert page["to"] == at
        assert page["from"] < at
        found = page["lines"] + found
        at = page["from"]
    assert found == lines
    following = log_window.page(log.parent.parent, NAME, 0, before=False)
    assert following["lines"][:2] == lines[:2]


def test_a_search_finds_every_line_of_the_file_once_whatever_its_case(log: Path) -> None:
    append(log, b"Error: a\nfine\nan error and an ERROR\n")
    append(log, b"fine\n" * 1_000_000)
    append(log, b"the last error")
    found = log_window.find(log.parent.parent, NAME, "error")
    assert [match["line"] for match in found["matches"]] == [
        *("Error: a", "an error and an ERROR", "the last error")
    ]
    assert not found["more"]
    assert found["searched"] == log.stat().st_size
    at = found["matches"][1]["at"]
    assert log_window.page(log.parent.parent, NAME, at, before=False)["lines"][0].startswith("an ")


def test_a_search_for_what_is_everywhere_ends_soon_and_says_so(log: Path) -> None:
    append(log, b"x\n" * 100_000)
    found = log_window.find(log.parent.parent, NAME, "x")
    assert found["more"]
    assert len(found["matches"]) == 200
