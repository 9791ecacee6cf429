"""The metric writer and its readers: nothing lost, nothing torn, whoever dies and whenever."""

from __future__ import annotations

import errno
import json
import math
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aml_jupyter.errors import StorageFullError, UserErrorException
from aml_jupyter.job import metrics
from aml_jupyter.job.metrics import MetricWriter
from aml_jupyter.store.series import MetricFeed
from tests.support import until

ROOT = Path(__file__).parent.parent
BOTH_WAYS = pytest.mark.parametrize("mapped", [True, False], ids=["mapped", "written"])


def logged(folder: Path) -> dict[str, list[Any]]:
    """The values by name, as a reader finds them."""
    return {
        name: [entry["value"] for entry in entries]
        for name, entries in metrics.read_all(str(folder)).items()
    }


def python(text: str, folder: Path, **variables: str) -> subprocess.Popen[bytes]:
    """A program with a writer ``w`` below ``folder``; it says ``up`` and is ready."""
    head = f"""
        import json, os, signal, sys, threading, time
        from aml_jupyter.job.metrics import MetricWriter
        w = MetricWriter({str(folder)!r})
        """
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(head) + textwrap.dedent(text)],
        env={**os.environ, "PYTHONPATH": str(ROOT), **variables},
        stdout=subprocess.PIPE,
    )


def said(process: subprocess.Popen[bytes]) -> bytes:
    """The next line of a program."""
    assert process.stdout is not None
    return process.stdout.readline()


def end(process: subprocess.Popen[bytes], number: int | None = None) -> int:
    """Let a program end, or make it; its exit status."""
    if number is not None:
        process.send_signal(number)
    code = process.wait(60)
    assert process.stdout is not None
    process.stdout.close()
    return code


# What comes back ----------------------------------------------------------------------------


@BOTH_WAYS
def test_numbers_come_back_as_they_went_in_and_with_their_types(
    mapped: bool, tmp_path: Path
) -> None:
    values = [0.5, -0.0, 1e308, 5e-324, math.inf, -math.inf, 1, -1, 0, 2**63 - 1, -(2**63)]
    values += [True, False]
    writer = MetricWriter(str(tmp_path), mapped)
    for value in values:
        writer.number("x", value)
    found = logged(tmp_path)["x"]
    assert found == values
    assert list(map(type, found)) == list(map(type, values))
    assert math.copysign(1, found[1]) == -1


@BOTH_WAYS
def test_nan_comes_back_as_nan(mapped: bool, tmp_path: Path) -> None:
    MetricWriter(str(tmp_path), mapped).number("x", math.nan)
    assert math.isnan(logged(tmp_path)["x"][0])


@BOTH_WAYS
def test_steps_are_kept(mapped: bool, tmp_path: Path) -> None:
    writer = MetricWriter(str(tmp_path), mapped)
    for step in (10, 0, -5):
        writer.number("x", float(step), step)
    feed = MetricFeed(tmp_path)
    feed.poll()
    (line,) = feed.lines("x")
    assert list(line.points("step", 100).x) == [-5, 0, 10]


def test_what_is_not_a_number_comes_back_too(tmp_path: Path) -> None:
    writer = MetricWriter(str(tmp_path))
    values: list[Any] = ["text", None, [1, 2.5], {"a": 1}, 2**70]
    for value in values:
        writer.other("x", "scalar", value)
    assert logged(tmp_path)["x"] == values


@BOTH_WAYS
def test_any_name_will_do(mapped: bool, tmp_path: Path) -> None:
    names = [
        "loss",
        "a b",
        "zeilen\numbruch",
        '"',
        "\\",
        "größe",
        "損失",
        "\u2028",
        "\udcff",
        "x" * 999,
    ]
    writer = MetricWriter(str(tmp_path), mapped)
    for name in names:
        writer.number(name, 1.0)
    assert list(logged(tmp_path)) == names


@pytest.mark.parametrize("name", ["", None, 3, b"loss"])
def test_a_name_that_is_none_is_refused_and_nothing_is_left(name: Any, tmp_path: Path) -> None:
    writer = MetricWriter(str(tmp_path / "metrics"))
    with pytest.raises(UserErrorException, match="non-empty string"):
        writer.number(name, 1.0)
    assert not (tmp_path / "metrics").exists()


def test_a_writer_that_never_logs_leaves_nothing(tmp_path: Path) -> None:
    writer = MetricWriter(str(tmp_path / "metrics"))
    writer.flush()
    writer.close()
    assert not (tmp_path / "metrics").exists()
    assert logged(tmp_path / "metrics") == {}


@BOTH_WAYS
def test_a_writer_that_nobody_holds_any_more_gives_its_files_back(
    mapped: bool, tmp_path: Path
) -> None:
    def open_files() -> list[str]:
        links = [f"/proc/self/fd/{number}" for number in os.listdir("/proc/self/fd")]
        found = [os.readlink(link) for link in links if os.path.islink(link)]
        return [path for path in found if path.startswith(str(tmp_path))]

    writer = MetricWriter(str(tmp_path), mapped)
    writer.number("loss", 1.0)
    writer.other("note", "scalar", "text")
    assert len(open_files()) >= 3
    del writer
    assert open_files() == []
    assert logged(tmp_path) == {"loss": [1.0], "note": ["text"]}


@BOTH_WAYS
def test_logging_goes_on_after_close(mapped: bool, tmp_path: Path) -> None:
    writer = MetricWriter(str(tmp_path), mapped)
    for number in range(5):
        writer.number("x", float(number))
        writer.close()
    (stem,) = metrics.writers(str(tmp_path))
    assert logged(tmp_path)["x"] == [0, 1, 2, 3, 4]
    assert os.path.getsize(f"{stem}.bin") == 6 * metrics.SIZE


@BOTH_WAYS
@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from("abc"),
            st.floats(allow_nan=False)
            | st.integers(-(2**63), 2**63 - 1)
            | st.booleans()
            | st.text(max_size=5)
            | st.none(),
        ),
        max_size=60,
    )
)
def test_any_sequence_comes_back_name_by_name(
    tmp_path_factory: pytest.TempPathFactory, mapped: bool, calls: list[tuple[str, Any]]
) -> None:
    folder = tmp_path_factory.mktemp("metrics")
    writer = MetricWriter(str(folder), mapped)
    expected: dict[str, list[Any]] = {}
    for name, value in calls:
        expected.setdefault(name, []).append(value)
        if isinstance(value, int | float):
            writer.number(name, value)
        else:
            writer.other(name, "scalar", value)
    found = logged(folder)
    # Numbers and the rest are in two files, brought together by their times.
    assert {name: sorted(map(repr, values)) for name, values in found.items()} == {
        name: sorted(map(repr, values)) for name, values in expected.items()
    }
    for name, values in expected.items():
        numbers = [value for value in values if isinstance(value, int | float)]
        assert [v for v in found[name] if isinstance(v, int | float)] == numbers


# Threads, signals, forks --------------------------------------------------------------------


@BOTH_WAYS
def test_threads_lose_nothing_even_when_they_begin_together(mapped: bool, tmp_path: Path) -> None:
    writer, threads, points = MetricWriter(str(tmp_path), mapped), 8, 2000
    start = threading.Barrier(threads)

    def work(thread: int) -> None:
        start.wait()
        for number in range(points):
            writer.number(f"own {thread}", float(number))
            writer.number("shared", number, number)

    workers = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    found = logged(tmp_path)
    assert all(found[f"own {thread}"] == list(range(points)) for thread in range(threads))
    assert sorted(found["shared"]) == sorted([*range(points)] * threads)


@BOTH_WAYS
def test_new_names_from_many_threads_do_not_mix(mapped: bool, tmp_path: Path) -> None:
    writer = MetricWriter(str(tmp_path), mapped)

    def work(thread: int) -> None:
        for number in range(200):
            writer.number(f"{thread} {number}", float(thread * 1000 + number))
            writer.number(f"common {number}", float(number))

    workers = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    found = logged(tmp_path)
    for number in range(200):
        assert found[f"common {number}"] == [number] * 4
        for thread in range(4):
            assert found[f"{thread} {number}"] == [thread * 1000 + number]


def test_closing_while_threads_log_harms_neither(tmp_path: Path) -> None:
    text = """
        stop = False
        def work():
            n = 0
            while not stop:
                w.number('x', float(n)); n += 1
        threads = [threading.Thread(target=work) for _ in range(3)]
        sys.setswitchinterval(1e-6)
        for t in threads: t.start()
        for _ in range(300):
            w.close()
            time.sleep(0.001)
        stop = True
        for t in threads: t.join()
        """
    assert end(python(text, tmp_path)) == 0


def test_a_signal_handler_may_log_in_the_middle_of_everything(tmp_path: Path) -> None:
    text = """
        seen = 0
        def handler(*_):
            global seen
            mine = seen = seen + 1
            w.number(f'handler {mine % 50}', float(mine))
            w.number('handled', mine)
        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, 0.0002, 0.0002)
        for n in range(40000):
            w.number('main', float(n))
            if n % 20 == 0:
                w.number(f'new {n}', float(n))
        signal.setitimer(signal.ITIMER_REAL, 0)
        print(seen, flush=True)
        """
    process = python(text, tmp_path)
    seen = int(said(process))
    assert end(process) == 0
    found = logged(tmp_path)
    assert seen > 20
    assert found["main"] == list(range(40000))
    assert sorted(found["handled"]) == list(range(1, seen + 1))
    assert all(found[f"new {n}"] == [n] for n in range(0, 40000, 20))
    handled = sorted(v for n in range(50) for v in found.get(f"handler {n}", []))
    assert handled == list(range(1, seen + 1))


@BOTH_WAYS
def test_a_forked_child_writes_files_of_its_own(mapped: bool, tmp_path: Path) -> None:
    writer = MetricWriter(str(tmp_path), mapped)
    writer.number("x", 1.0)

    def child() -> None:
        for number in range(100):
            writer.number("x", float(number))
        writer.other("y", "list", [1])

    context = multiprocessing.get_context("fork")
    children = [context.Process(target=child) for _ in range(3)]
    for process in children:
        process.start()
    for process in children:
        process.join(20)
    writer.number("x", 2.0)
    assert len(metrics.writers(str(tmp_path))) == 4
    assert sorted(logged(tmp_path)["x"]) == sorted([1.0, 2.0, *(list(range(100)) * 3)])
    assert logged(tmp_path)["y"] == [[1]] * 3


def test_handles_that_never_log_are_not_kept_alive(tmp_path: Path) -> None:
    import gc
    import weakref

    writer = MetricWriter(str(tmp_path))
    gone = weakref.ref(writer)
    del writer
    gc.collect()
    assert gone() is None


# Death at any moment ------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("io", ["mmap", "write"])
def test_a_million_points_survive_the_death_of_the_process(io: str, tmp_path: Path) -> None:
    text = """
        for n in range(1_000_000):
            w.number('x', float(n))
        os.kill(os.getpid(), signal.SIGKILL)
        """
    assert end(python(text, tmp_path, AML_METRICS_IO=io)) == -signal.SIGKILL
    (stem,) = metrics.writers(str(tmp_path))
    data, _ = metrics.read_records(stem)
    assert [value for _, _, value in metrics.decode(data)] == list(range(1_000_000))


@pytest.mark.parametrize("io", ["mmap", "write"])
def test_death_at_any_instant_tears_nothing(io: str, tmp_path: Path) -> None:
    text = """
        print('up', flush=True)
        n = 0
        while True:
            w.number('float', float(n))
            w.number('int', n, n)
            w.number(f'name {n % 1000}', float(n))
            if n % 50 == 0:
                w.other('list', 'list', [n] * 100)
            n += 1
        """
    chance = random.Random(7)
    for number in range(10):
        folder = tmp_path / str(number)
        process = python(text, folder, AML_METRICS_IO=io)
        said(process)
        time.sleep(chance.uniform(0, 0.04))
        end(process, signal.SIGKILL)
        found = logged(folder)
        floats, ints = found.get("float", []), found.get("int", [])
        assert floats == list(range(len(floats)))
        assert ints == list(range(len(ints)))
        assert len(floats) - len(ints) in (0, 1)
        for name, values in found.items():
            if name.startswith("name "):
                expected = list(range(int(name[5:]), len(ints), 1000))
                # The process may have died after the others and before this one.
                assert values in (expected, expected[: (len(ints) - 1) // 1000])
        assert all(values == [values[0]] * 100 for values in found.get("list", []))


def test_a_record_torn_by_death_is_passed_over(tmp_path: Path) -> None:
    writer = MetricWriter(str(tmp_path))
    writer.number("x", 1.0)
    (stem,) = metrics.writers(str(tmp_path))
    with open(f"{stem}.bin", "r+b") as file:
        # All but the last word, as far as a dying process may have come.
        file.seek(2 * metrics.SIZE)
        file.write(metrics._FLOAT_RECORD.pack(0, 1.0, 2.0, 1, 0)[:-4])
    assert logged(tmp_path)["x"] == [1.0]
    data, offset = metrics.read_records(stem)
    assert (len(data), offset) == (metrics.SIZE, 2 * metrics.SIZE)


def test_a_half_written_record_of_the_unmapped_kind_is_passed_over(tmp_path: Path) -> None:
    writer = MetricWriter(str(tmp_path), mapped=False)
    writer.number("x", 1.0)
    (stem,) = metrics.writers(str(tmp_path))
    with open(f"{stem}.bin", "ab") as file:
        file.write(metrics._FLOAT_RECORD.pack(0, 1.0, 2.0, 1, 1)[:20])
    assert logged(tmp_path)["x"] == [1.0]


@pytest.mark.parametrize("tail", [b'{"t": 1, "na', b"\xff\xfe\n", b'{"t": 1}\n'[:4] + b"\n"])
def test_a_half_written_line_is_passed_over(tail: bytes, tmp_path: Path) -> None:
    writer = MetricWriter(str(tmp_path))
    writer.other("x", "list", [1])
    (stem,) = metrics.writers(str(tmp_path))
    with open(f"{stem}.jsonl", "ab") as file:
        file.write(tail)
    assert logged(tmp_path)["x"] == [[1]]


def test_a_name_without_its_newline_is_not_yet_a_name(tmp_path: Path) -> None:
    writer = MetricWriter(str(tmp_path))
    writer.number("x", 1.0)
    (stem,) = metrics.writers(str(tmp_path))
    with open(f"{stem}.names", "ab") as file:
        file.write(b'"y')
    assert metrics.read_names(stem) == ["x"]


def test_metrics_without_their_names_are_no_error(tmp_path: Path) -> None:
    writer = MetricWriter(str(tmp_path))
    writer.number("x", 1.0)
    (stem,) = metrics.writers(str(tmp_path))
    os.unlink(f"{stem}.names")
    assert logged(tmp_path) == {}


# Reading while writing ----------------------------------------------------------------------


@pytest.mark.parametrize("io", ["mmap", "write"])
def test_a_reader_sees_every_point_once_and_in_order(io: str, tmp_path: Path) -> None:
    text = """
        for n in range(60_000):
            w.number('x', float(n))
            w.number('n', n)
        """
    process = python(text, tmp_path, AML_METRICS_IO=io)
    seen: dict[int, list[Any]] = {1: [], 2: []}
    offset = 0
    over = False
    while True:
        over = over or process.poll() is not None
        for stem in metrics.writers(str(tmp_path)):
            data, offset = metrics.read_records(stem, offset)
            for metric, _, value in metrics.decode(data):
                seen[metric].append(value)
        if over and len(seen[2]) >= 60_000:
            break
        assert not over or data
    end(process)
    assert seen[1] == list(range(60_000))
    assert seen[2] == list(range(60_000))
    assert {type(value) for value in seen[2]} == {int}


def test_a_point_is_there_for_others_when_the_call_returns(tmp_path: Path) -> None:
    process = python("w.number('x', 1.0)\nprint('up', flush=True)\ntime.sleep(30)", tmp_path)
    said(process)
    assert logged(tmp_path)["x"] == [1.0]
    end(process, signal.SIGKILL)


def record(value: float, when: float) -> bytes:
    return metrics._FLOAT_RECORD.pack(metrics.NO_STEP, when, value, 1, metrics.FLOAT)


def values_in(data: bytes) -> list[Any]:
    return [value for _, _, value in metrics.decode(data)]


def test_a_slot_that_a_thread_left_open_is_waited_for_but_not_for_ever(tmp_path: Path) -> None:
    (tmp_path / "w.names").write_text('"x"\n')
    stem, empty, now = str(tmp_path / "w"), bytes(metrics.SIZE), time.time()
    old = b"".join(record(n, now - 60) for n in range(3))
    new = b"".join(record(n, now) for n in range(3, 6))
    Path(f"{stem}.bin").write_bytes(metrics.HEADER + old + empty + old + empty + new + empty * 9)
    data, offset = metrics.read_records(stem)
    assert values_in(data) == [0, 1, 2, 0, 1, 2]
    assert metrics.read_records(stem, offset) == (b"", offset)
    with open(f"{stem}.bin", "r+b") as file:
        file.seek(offset)
        file.write(record(7, now))
    assert values_in(metrics.read_records(stem, offset)[0]) == [7, 3, 4, 5]


def test_a_slot_left_open_hides_nothing_once_the_run_is_over(tmp_path: Path) -> None:
    writer = MetricWriter(str(tmp_path))
    writer.number("x", 0.0)
    next(writer._slots)
    writer.number("x", 1.0)
    (stem,) = metrics.writers(str(tmp_path))
    assert values_in(metrics.read_records(stem)[0]) == [0]
    assert values_in(metrics.read_records(stem, final=True)[0]) == [0, 1]
    assert logged(tmp_path)["x"] == [0, 1]


def test_the_order_of_the_file_counts_and_not_the_clock(tmp_path: Path) -> None:
    times = iter([100.0, 50.0, 75.0, 10.0])
    (tmp_path / "w.jsonl").write_text(
        "".join(
            json.dumps({"t": next(times), "name": "x", "kind": "list", "value": [n]}) + "\n"
            for n in range(4)
        )
    )
    assert logged(tmp_path)["x"] == [[0], [1], [2], [3]]


def test_several_processes_are_brought_together_by_their_clocks(tmp_path: Path) -> None:
    for stem, moments in (("a", (1.0, 3.0)), ("b", (2.0, 4.0))):
        (tmp_path / f"{stem}.jsonl").write_text(
            "".join(
                json.dumps({"t": t, "name": "x", "kind": "list", "value": [t]}) + "\n"
                for t in moments
            )
        )
    assert logged(tmp_path)["x"] == [[1.0], [2.0], [3.0], [4.0]]


def test_what_was_allocated_ahead_is_not_read_to_find_the_end(tmp_path: Path) -> None:
    writer = MetricWriter(str(tmp_path))
    writer.number("x", 1.0)
    (stem,) = metrics.writers(str(tmp_path))
    os.truncate(f"{stem}.bin", 1 << 33)
    start = time.perf_counter()
    assert len(metrics.read_records(stem)[0]) == metrics.SIZE
    assert time.perf_counter() - start < 0.5


# Full and odd disks -------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mounts a tmpfs of the size that is asked for."""
    mounted: list[Path] = []

    def mount(size: str) -> Path:
        point = tmp_path / f"disk{len(mounted)}"
        point.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(point)]
        subprocess.run(command, check=True)
        mounted.append(point)
        return point

    yield mount
    for point in mounted:
        subprocess.run(["umount", "-l", str(point)], check=True)


@pytest.mark.service("mount")
@BOTH_WAYS
def test_a_full_disk_is_an_error_and_what_was_logged_stays(
    mapped: bool, small_disk: Callable[[str], Path]
) -> None:
    disk = small_disk("256k")
    writer = MetricWriter(str(disk / "metrics"), mapped)
    written = 0
    with pytest.raises(StorageFullError, match="No room left") as caught:  # noqa: PT012
        while True:
            writer.number("x", float(written))
            written += 1
    assert caught.value.errno == errno.ENOSPC
    assert 5000 < written < 9000
    assert logged(disk / "metrics")["x"] == list(range(written))


@pytest.mark.service("mount")
@BOTH_WAYS
def test_logging_goes_on_once_there_is_room_again(
    mapped: bool, small_disk: Callable[[str], Path]
) -> None:
    disk = small_disk("256k")
    writer = MetricWriter(str(disk / "metrics"), mapped)
    writer.number("x", -1.0)
    ballast = disk / "ballast"
    fill(ballast)
    written = 0
    with pytest.raises(StorageFullError):  # noqa: PT012
        for _ in range(100_000):
            writer.number("x", float(written))
            written += 1
    with pytest.raises(StorageFullError):  # noqa: PT012
        for _ in range(2):
            writer.other("y", "list", ["z" * 5000])
    ballast.unlink()
    writer.number("x", 1e6)
    writer.number("new", 1.0)
    writer.other("y", "list", [1])
    found = logged(disk / "metrics")
    assert found["x"] == [-1.0, *range(written), 1e6]
    assert found["new"] == [1.0]
    assert found["y"][-1] == [1]


def fill(path: Path) -> None:
    """Take all room that is left on a disk."""
    with open(path, "wb", buffering=0) as file:
        for size in (1 << 16, 4096, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue


@pytest.mark.service("mount")
def test_a_full_disk_kills_no_program_by_a_signal(small_disk: Callable[[str], Path]) -> None:
    disk = small_disk("1m")
    text = """
        from aml_jupyter.errors import StorageFullError
        lost = 0
        for n in range(100_000):
            try:
                w.number('x', float(n))
            except StorageFullError:
                lost += 1
        print(lost, flush=True)
        """
    process = python(text, disk / "metrics")
    lost = int(said(process))
    assert end(process) == 0
    assert lost > 0
    assert logged(disk / "metrics")["x"] == list(range(100_000 - lost))


@pytest.mark.service("root")
def test_a_folder_that_cannot_be_written_is_an_error_with_its_name() -> None:
    text = """
        try:
            os.setuid(65534)
            w.number('x', 1.0)
        except OSError as error:
            print(error.filename, flush=True)
        """
    with tempfile.TemporaryDirectory() as place:
        os.chmod(place, 0o755)
        process = python(text, Path(place, "metrics"))
        assert said(process).decode().strip() == f"{place}/metrics"
        assert end(process) == 0


def test_the_kind_of_file_system_decides_on_mapping(tmp_path: Path) -> None:
    assert metrics.file_system_of(str(tmp_path))
    assert metrics.file_system_of(str(tmp_path / "not" / "there")) == metrics.file_system_of(
        str(tmp_path)
    )
    assert metrics.is_mapping_safe(str(tmp_path))


def test_a_variable_overrules_the_kind_of_file_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AML_METRICS_IO", "write")
    writer = MetricWriter(str(tmp_path))
    writer.number("x", 1.0)
    (stem,) = metrics.writers(str(tmp_path))
    assert os.path.getsize(f"{stem}.bin") == 2 * metrics.SIZE


def test_where_nothing_can_be_allocated_records_are_written_one_by_one(tmp_path: Path) -> None:
    writer = MetricWriter(str(tmp_path), mapped=True)
    for number in range(3):
        writer.number("x", float(number))
    writer._stop_mapping(4 * metrics.SIZE)
    for number in range(3, 6):
        writer.number("x", float(number))
    assert logged(tmp_path)["x"] == [0, 1, 2, 3, 4, 5]


# v1's shapes --------------------------------------------------------------------------------


def entry(kind: str, value: Any) -> dict[str, Any]:
    return {"t": 0.0, "kind": kind, "value": value}


SHAPES = [
    ("one scalar is bare", [("scalar", 0.5)], 0.5),
    ("two are a list", [("scalar", 0.5), ("scalar", 1)], [0.5, 1]),
    ("None is a value", [("scalar", None)], None),
    ("a list", [("list", [1, 2])], [1, 2]),
    ("lists are joined", [("list", [1, 2]), ("list", [3])], [1, 2, 3]),
    ("a list of one is bare", [("list", [1])], 1),
    ("scalars and lists are joined", [("scalar", 1), ("list", [2, 3])], [1, 2, 3]),
    ("one row is cells", [("row", {"a": 1, "b": 2})], {"a": 1, "b": 2}),
    ("rows are columns", [("row", {"a": 1}), ("row", {"a": 2})], {"a": [1, 2]}),
    ("a missing cell", [("row", {"a": 1}), ("row", {"b": 2})], {"a": [1, None], "b": [None, 2]}),
    ("a table", [("table", {"a": [1, 2]})], {"a": [1, 2]}),
    ("a table of one row", [("table", {"a": [1]})], {"a": 1}),
    ("a table of single values", [("table", {"a": 1, "b": 2})], {"a": 1, "b": 2}),
    ("rows join a table", [("table", {"a": [1, 2]}), ("row", {"a": 3})], {"a": [1, 2, 3]}),
    ("an image is where it is", [("image", "aml://x")], "aml://x"),
    ("the last image counts", [("image", "aml://x"), ("image", "aml://y")], "aml://y"),
    ("the last kind decides", [("scalar", 1), ("table", {"a": [1, 2]})], {"a": [1, 2]}),
]


@pytest.mark.parametrize(("entries", "shape"), [s[1:] for s in SHAPES], ids=[s[0] for s in SHAPES])
def test_shapes_are_those_of_v1(entries: list[tuple[str, Any]], shape: Any) -> None:
    assert metrics.v1_shape([entry(*each) for each in entries]) == shape


def test_a_feed_follows_numbers_of_several_processes(tmp_path: Path) -> None:
    one, two = MetricWriter(str(tmp_path)), MetricWriter(str(tmp_path))
    feed = MetricFeed(tmp_path)
    assert feed.poll() is False
    one.number("x", 1.0)
    two.number("y", 2)
    assert feed.poll() is True
    one.number("x", True)
    two.number("x", -3)
    until(feed.poll, 1)
    assert sorted(list(line.points("step", 100).y) for line in feed.lines("x")) == [[-3], [1, 1]]
    assert [list(line.points("step", 100).y) for line in feed.lines("y")] == [[2]]
    assert feed.poll() is False
