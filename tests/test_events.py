"""The events of a run: appended whole by anybody, read by anybody, the same for everybody."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aml_jupyter.errors import StorageFullError
from aml_jupyter.job import events, states
from aml_jupyter.job.events import Facts
from tests.support import until

ROOT = Path(__file__).parent.parent


def facts_of(*happened: dict[str, Any], **request: Any) -> Facts:
    """What these events add up to; ``t`` counts up where it is not given."""
    facts = Facts({"id": "run", "created": 1.0, **request})
    for number, event in enumerate(happened):
        facts.apply({"t": 10.0 + number, **event})
    return facts


def state(name: str, **more: Any) -> dict[str, Any]:
    return {"e": "state", "state": name, **more}


def test_what_was_appended_comes_back_in_order(tmp_path: Path) -> None:
    for number in range(5):
        events.append(str(tmp_path), "tags", set={"n": str(number)})
    found, offset = events.read(str(tmp_path))
    assert [event["set"]["n"] for event in found] == list("01234")
    assert events.read(str(tmp_path), offset) == ([], offset)


def test_reading_goes_on_where_it_stood(tmp_path: Path) -> None:
    events.append(str(tmp_path), "tags", set={"a": "1"})
    _, offset = events.read(str(tmp_path))
    events.append(str(tmp_path), "tags", set={"b": "2"})
    found, _ = events.read(str(tmp_path), offset)
    assert [event["set"] for event in found] == [{"b": "2"}]


@pytest.mark.parametrize("what", ["link", "pipe", "folder"])
def test_what_a_job_puts_in_the_place_of_events_makes_room(what: str, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    place = tmp_path / "run" / "events.jsonl"
    (place / "full" if what == "folder" else place.parent).mkdir(parents=True)
    if what == "link":
        place.symlink_to(tmp_path / "mine")
    elif what == "pipe":
        os.mkfifo(place)
    assert events.read(str(place.parent)) == ([], 0)
    events.append(str(place.parent), "tags", set={"a": "1"})
    assert [event["set"] for event in events.read(str(place.parent))[0]] == [{"a": "1"}]
    assert (tmp_path / "mine").read_text() == "mine"


def test_events_that_were_taken_away_are_read_anew(tmp_path: Path) -> None:
    for number in range(3):
        events.append(str(tmp_path), "tags", set={"n": str(number)})
    _, offset = events.read(str(tmp_path))
    (tmp_path / "events.jsonl").unlink()
    events.append(str(tmp_path), "tags", set={"n": "new"})
    assert [event["set"] for event in events.read(str(tmp_path), offset)[0]] == [{"n": "new"}]


def test_a_run_without_events_has_none(tmp_path: Path) -> None:
    assert events.read(str(tmp_path)) == ([], 0)


@pytest.mark.parametrize("text", ["\n", "\u2028", '"', "\\", "\0", "ü", "\udcff", "\x1b[31m"])
def test_any_text_is_one_line(text: str, tmp_path: Path) -> None:
    events.append(str(tmp_path), "tags", set={text: text})
    events.append(str(tmp_path), "tags", set={"last": "1"})
    found, _ = events.read(str(tmp_path))
    assert [event["set"] for event in found] == [{text: text}, {"last": "1"}]


def test_a_half_written_last_line_is_not_read_yet(tmp_path: Path) -> None:
    events.append(str(tmp_path), "tags", set={"a": "1"})
    path = tmp_path / "events.jsonl"
    whole = path.stat().st_size
    with open(path, "ab") as file:
        file.write(b'{"t": 1, "e": "st')
    found, offset = events.read(str(tmp_path))
    assert len(found) == 1
    assert offset == whole


def test_a_half_written_line_costs_nobody_else_theirs(tmp_path: Path) -> None:
    events.append(str(tmp_path), "tags", set={"a": "1"})
    with open(tmp_path / "events.jsonl", "ab") as file:
        file.write(b'{"t": 1, "e": "st')
    events.append(str(tmp_path), "tags", set={"b": "2"})
    found, _ = events.read(str(tmp_path))
    assert [event["set"] for event in found] == [{"a": "1"}, {"b": "2"}]


@pytest.mark.parametrize(
    "noise",
    [b"\n", b"\0" * 100 + b"\n", b"\xff\xfe\n", b"null\n", b"[1]\n", b'"e"\n', b"{}\n", b"{\n}\n"],
)
def test_noise_between_lines_is_passed_over(noise: bytes, tmp_path: Path) -> None:
    events.append(str(tmp_path), "tags", set={"a": "1"})
    with open(tmp_path / "events.jsonl", "ab") as file:
        file.write(noise)
    events.append(str(tmp_path), "tags", set={"b": "2"})
    found, _ = events.read(str(tmp_path))
    assert [event["set"] for event in found] == [{"a": "1"}, {"b": "2"}]


@pytest.mark.parametrize(
    "odd",
    [{"e": "state"}, {"e": "state", "state": None, "t": "x"}, {"e": "tags", "set": 3}, {"e": 1}],
)
def test_an_event_that_makes_no_sense_is_passed_over(odd: dict[str, Any], tmp_path: Path) -> None:
    facts = Facts({"id": "run"})
    facts.apply(odd)
    facts.apply({"t": 2.0, **state("Running")})
    assert facts.status == "Running"


def test_processes_that_append_at_once_lose_nothing(tmp_path: Path) -> None:
    def work(process: int) -> None:
        for number in range(300):
            events.append(str(tmp_path), "tags", set={"p": f"{process} {number}"}, pad="x" * 200)

    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=work, args=(number,)) for number in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(30)
    found, _ = events.read(str(tmp_path))
    said = [event["set"]["p"] for event in found]
    assert len(said) == 1200
    for process in range(4):
        own = [each for each in said if each.startswith(f"{process} ")]
        assert own == [f"{process} {number}" for number in range(300)]


def test_death_at_any_instant_tears_nothing(tmp_path: Path) -> None:
    text = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from aml_jupyter.job import events
n = 0
while True:
    events.append({str(tmp_path)!r}, "tags", set={{"who": sys.argv[1], "n": n}}, pad="x" * 3000)
    n += 1
    if n == 1:
        print("up", flush=True)
"""
    chance = random.Random(3)
    for number in range(6):
        process = subprocess.Popen(
            [sys.executable, "-c", text, str(number)], stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(chance.uniform(0, 0.02))
        process.kill()
        process.wait()
        process.stdout.close()
    raw = (tmp_path / "events.jsonl").read_bytes().splitlines()
    found, _ = events.read(str(tmp_path))
    assert len(found) >= len(raw) - 6
    counts: dict[str, int] = {}
    for event in found:
        assert event["set"]["n"] == counts.get(event["set"]["who"], 0)
        counts[event["set"]["who"]] = event["set"]["n"] + 1


def test_a_writer_that_holds_the_lock_and_is_killed_blocks_nobody(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    text = f"""
import fcntl, time
file = open({str(path)!r}, "a")
fcntl.flock(file, fcntl.LOCK_EX)
print("locked", flush=True)
time.sleep(60)
"""
    process = subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    events.append(str(tmp_path), "tags", set={"a": "1"})
    assert len(events.read(str(tmp_path))[0]) == 1


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    point = tmp_path / "disk"
    point.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(point)], check=True)
    yield point
    subprocess.run(["umount", "-l", str(point)], check=True)


@pytest.mark.service("mount")
def test_a_full_disk_is_an_error_and_leaves_no_half_line(full_disk: Path) -> None:
    written = 0
    with pytest.raises(StorageFullError, match="No room left") as caught:  # noqa: PT012
        for written in range(10_000):
            events.append(str(full_disk), "tags", set={"n": str(written)}, pad="x" * 150)
    assert caught.value.errno == errno.ENOSPC
    assert "Free some space" in str(caught.value)
    data = (full_disk / "events.jsonl").read_bytes()
    assert data.endswith(b"}\n")
    assert len(events.parse(data)) == written


# What events add up to ----------------------------------------------------------------------


def test_the_first_terminal_state_wins() -> None:
    for first in sorted(states.TERMINAL):
        for second in ("Running", "Completed", "Failed", "Canceled"):
            facts = facts_of(state("Running"), state(first), state(second))
            assert facts.status == first
            assert facts.ended == 11.0


def test_a_request_to_cancel_shows_until_the_run_has_ended() -> None:
    facts = facts_of(state("Running"), {"e": "cancel"}, state("Finalizing"))
    assert facts.status == "CancelRequested"
    assert facts_of(state("Running"), {"e": "cancel"}, state("Canceled")).status == "Canceled"


def test_a_request_to_cancel_after_the_end_changes_nothing() -> None:
    facts = facts_of(state("Completed"), {"e": "cancel"})
    assert (facts.status, facts.cancel_requested) == ("Completed", False)


def test_the_first_who_cancels_is_remembered() -> None:
    assert facts_of({"e": "cancel", "by": "a"}, {"e": "cancel", "by": "b"}).cancel_by == "a"


def test_properties_are_written_once() -> None:
    facts = facts_of(
        {"e": "properties", "set": {"a": "1"}},
        {"e": "properties", "set": {"a": "2", "b": "2", "c": "2"}},
        properties={"c": "request"},
    )
    assert facts.properties == {"a": "1", "b": "2", "c": "request"}


def test_tags_change_as_often_as_one_likes() -> None:
    facts = facts_of(
        {"e": "tags", "set": {"a": "1", "b": None}},
        {"e": "tags", "set": {"a": "2"}, "remove": ["b", "never there"]},
        tags={"r": "0"},
    )
    assert facts.tags == {"r": "0", "a": "2"}


def test_a_clock_that_jumps_back_never_makes_a_run_end_before_it_began() -> None:
    facts = facts_of(state("Running", t=1000.0), state("Completed", t=10.0))
    assert facts.started == 1000.0
    assert facts.ended == 1000.0
    assert facts.status == "Completed"


def test_a_clock_that_jumps_back_does_not_change_the_order_of_things() -> None:
    facts = facts_of(
        state("Queued", t=500.0),
        {"t": 400.0, "e": "tags", "set": {"a": "first"}},
        {"t": 300.0, "e": "tags", "set": {"a": "second"}},
        state("Running", t=200.0),
    )
    assert (facts.status, facts.tags) == ("Running", {"a": "second"})
    assert [name for name, _ in facts.stages] == ["Queued", "Running"]


def test_events_of_a_later_version_are_passed_over() -> None:
    assert facts_of({"e": "teleported", "to": "mars"}, state("Running")).status == "Running"


@pytest.mark.parametrize("kind", ["has_ended", "apply", "__init__", "status"])
def test_no_event_reaches_what_is_not_for_events(kind: str) -> None:
    assert facts_of({"e": kind}, state("Running")).status == "Running"


_EVENTS = st.one_of(
    st.builds(lambda s: {"e": "state", "state": s}, st.sampled_from(sorted(states.ALL))),
    st.builds(
        lambda k, v: {"e": "tags", "set": {k: v}}, st.sampled_from("ab"), st.text(max_size=3)
    ),
    st.builds(
        lambda k, v: {"e": "properties", "set": {k: v}}, st.sampled_from("ab"), st.text(max_size=3)
    ),
    st.just({"e": "cancel"}),
    st.builds(lambda a: {"e": "archive", "archived": a}, st.booleans()),
)


@settings(max_examples=80, deadline=None)
@given(st.lists(_EVENTS, max_size=25), st.integers(0, 25))
def test_reading_in_two_parts_gives_the_same_facts_as_reading_at_once(
    tmp_path_factory: pytest.TempPathFactory, happened: list[dict[str, Any]], cut: int
) -> None:
    folder = tmp_path_factory.mktemp("run")
    lines = [json.dumps({"t": float(n), **event}) for n, event in enumerate(happened)]
    path, in_parts, offset = folder / "events.jsonl", Facts({"id": "r"}), 0
    for part in (lines[:cut], lines[cut:]):
        with open(path, "a") as file:
            file.writelines(f"{line}\n" for line in part)
        new, offset = events.read(str(folder), offset)
        for event in new:
            in_parts.apply(event)
    at_once = Facts({"id": "r"})
    for event in events.read(str(folder))[0]:
        at_once.apply(event)
    assert vars(in_parts) == vars(at_once)


def test_a_reader_beside_a_writer_sees_each_event_once(tmp_path: Path) -> None:
    text = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from aml_jupyter.job import events
for n in range(1500):
    events.append({str(tmp_path)!r}, "tags", set={{"n": n}})
"""
    process = subprocess.Popen([sys.executable, "-c", text])
    seen: list[int] = []
    offset = 0

    def all_seen() -> bool:
        nonlocal offset
        new, offset = events.read(str(tmp_path), offset)
        seen.extend(event["set"]["n"] for event in new)
        return len(seen) >= 1500

    until(all_seen, 20, pause=0)
    process.wait(10)
    assert seen == list(range(1500))
